"""Left and right alike: what a match puts on the true place, and what on its twin on the other side."""

from dataclasses import replace
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from exemplar_lab.metrics.cells import CellTruth
from exemplar_lab.metrics.links import footprint
from exemplar_lab.metrics.points import mean_where
from exemplar_lab.ops.masking import cut_negative


class Twins(NamedTuple):
    """true, twin: the footprints of the true point and of the second right answer. apart: visible cells of the target that have
    both, without a cell in common."""

    true: Bool[Tensor, "b q k"]
    twin: Bool[Tensor, "b q k"]
    apart: Bool[Tensor, "b hq wq"]


def twins_of(cells: CellTruth, key_size: tuple[int, int]) -> Twins:
    """cells: of a batch whose truth has a second answer where both sides look alike. Raises ValueError where it has none."""
    if cells.points.shape[1] < 2:
        raise ValueError(
            "got cells with one right answer, expected a second one for the other side: use faces or people with truth, and "
            "the dial distinct=0"
        )
    true, twin = (footprint(replace(cells, points=cells.points[:, some]), key_size) for some in (slice(1), slice(1, 2)))
    both = true.any(-1) & twin.any(-1) & ~(true & twin).any(-1)
    return Twins(true, twin, cells.visible & both.unflatten(1, tuple(cells.visible.shape[1:])))


def twin_scores(
    score: Float[Tensor, "b q k"], weight: Float[Tensor, "b q k"], twins: Twins, ask: Bool[Tensor, "b hq wq"]
) -> dict[str, Float[Tensor, " b"]]:
    """Means over the cells of `ask`, some of `twins.apart`; NaN for images without any.

    score: A, before any cut. weight: what gathers. true, twin: the weight on either footprint. twin has more: how often it is
    the larger one. true score > 0, twin score < 0: how often the mean score of a footprint is so, which a ReLU could tell
    apart. true in …, twin in …: the share of the magnitudes |A|, or of ReLU(A), on either footprint.
    """
    scores = {}
    held, mean = {}, {}
    for name, disc in (("true", twins.true), ("twin", twins.twin)):
        held[name], mean[name] = (weight * disc).sum(-1), (score * disc).sum(-1)
        for kind, magnitude in (("|A|", score.abs()), ("ReLU(A)", cut_negative(score))):
            tiny = torch.finfo(score.dtype).tiny
            scores[f"{name} in {kind}"] = (magnitude * disc).sum(-1) / magnitude.sum(-1).clamp_min(tiny)
    more = {
        "twin has more": held["twin"] > held["true"],
        "true score > 0": mean["true"] > 0,
        "twin score < 0": mean["twin"] < 0,
    }
    scores = held | {name: value.to(score.dtype) for name, value in more.items()} | scores
    return {name: mean_where(value.unflatten(1, tuple(ask.shape[1:])), ask) for name, value in scores.items()}
