"""Edges → faces."""

from exemplar_lab.data.synth.faces.source import VERSION, Faces

__all__ = ["VERSION", "Faces"]
