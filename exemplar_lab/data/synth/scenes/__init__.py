"""Labels → scenes."""

from exemplar_lab.data.synth.scenes.source import VERSION, Scenes, repaint

__all__ = ["VERSION", "Scenes", "repaint"]
