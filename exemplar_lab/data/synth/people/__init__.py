"""Poses → people."""

from exemplar_lab.data.synth.people.source import VERSION, People

__all__ = ["VERSION", "People"]
