"""Does a generated image say which exemplar it was made from? Asked of MATEBIT's style codes, Eq. (7)."""

import torch
from torch import Tensor

from exemplar_lab.metrics.retrieval import retrieval_scores
from exemplar_lab.models.matebit import MATEBIT
from exemplar_lab.training.evaluation import PerImage
from exemplar_lab.translation import Batch, Source

GALLERY = 32
"""Exemplars among which an image looks for its own."""


@torch.inference_mode()
def measure_style_retrieval(
    model: MATEBIT, source: Source, galleries: int = 4, gallery: int = GALLERY, device: torch.device | str = "cpu"
) -> PerImage:
    """{row: {"top-1", "reciprocal rank": one value per image}}: z of an image against z of all exemplars of its gallery.

    "own structure": images made from pairs as they are, whose structure shows the person of the exemplar. "other structure":
    from the structure of the next pair of the gallery, so that the look alone can tell. "target": the true target image, which
    knows the answer. galleries: how many, of `gallery` pairs each, from the first pair of `source` on. Guessing finds
    1 / gallery.
    """
    found: dict[str, list[dict[str, Tensor]]] = {}
    for start in range(0, galleries * gallery, gallery):
        batch = source.batch(torch.arange(start, start + gallery), device=device)
        codes = model.style_code(batch.exemplar, batch.exemplar_condition)
        made = {"own structure": (batch.condition, _made(model, batch, batch.condition))}
        moved = batch.condition.roll(1, 0)
        made |= {"other structure": (moved, _made(model, batch, moved)), "target": (batch.condition, batch.target)}
        for row, (condition, image) in made.items():
            distance = torch.cdist(model.style_code(image, condition), codes)
            found.setdefault(row, []).append(retrieval_scores(distance))
    return {row: {name: torch.cat([one[name] for one in scores]) for name in scores[0]} for row, scores in found.items()}


def _made(model: MATEBIT, batch: Batch, condition: Tensor) -> Tensor:
    return model(condition, batch.exemplar, batch.exemplar_condition, record=False).image
