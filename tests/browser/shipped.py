"""Explorers of shipped models, for the tests themselves and for the kernels of the notebooks that they write."""

import torch

from exemplar_lab.data.synth.people import People
from exemplar_lab.data.synth.scenes import Scenes
from exemplar_lab.data.synth.world import LABELS
from exemplar_lab.training.checkpoint import find_checkpoint, read_checkpoint
from exemplar_lab.widgets.explorer import AttentionExplorer

MODELS = {
    "dense": ("cocosnet-people-cpu", "people"),
    "sparse": ("dynast-people-cpu", "people"),
    "factored": ("msca-scenes-cpu", "scenes"),
}
"""{kind of rows: (checkpoint, its task)}."""

SOURCES = {"people": People, "scenes": Scenes}


def explorer_of(kind: str, links: int = 0) -> AttentionExplorer:
    """What a model makes of two pairs of 64 × 64; its title is the kind."""
    name, task = MODELS[kind]
    batch = SOURCES[task](size=64, split="val").batch(torch.arange(2))
    model = read_checkpoint(find_checkpoint(name)).build()
    with torch.inference_mode():
        translation = model(batch.condition, batch.exemplar, batch.exemplar_condition)
    return AttentionExplorer(translation, batch, portable=links, label_names=LABELS[task], title=kind)
