"""Photographs → paintings."""

from exemplar_lab.data.synth.paintings.source import VERSION, Paintings, paint

__all__ = ["VERSION", "Paintings", "paint"]
