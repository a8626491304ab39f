"""Does a mask on the scores put more of a row where the truth lies? The same scores with it and without, read in each way.

"Masked rows put more mass in the true footprint than unmasked ones" has as many answers as there are readings of a row:

"magnitude": what Fig. 1 and 3d of [MATEBIT] draw, |A| against ReLU(A), each row as shares of its sum.
"cosine", "mass", "printed": the weights that gather, softmax(α A) against Ã of `ops.masking.masked_weight` in that form.

The weights of α = 100 differ by so little that a plain difference would be rounding. Here it is put together from what the mask
adds and takes, in double precision, so that sign and size are known down to about 1e-80.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from exemplar_lab.ops.masking import cut_negative

READINGS = ("magnitude", "cosine", "mass", "printed")


class Gain(NamedTuple):
    """Of every row: its share in the footprint without the mask, with it, and masked − full without cancellation."""

    full: Float[Tensor, "b q"]
    masked: Float[Tensor, "b q"]
    gain: Float[Tensor, "b q"]


def mask_gains(score: Float[Tensor, "b q k"], inside: Bool[Tensor, "b q k"], alpha: float = 100.0) -> dict[str, Gain]:
    """A `Gain` for each of `READINGS`. score: A, before the cut. inside: from `links.footprint`.

    A row of which every link is cut has no masked share at all, 0, unless "printed". alpha: up to about 700, where
    double precision ends.
    """
    score = score.double()
    cut, peak = score <= 0, score.amax(-1, keepdim=True)
    weight, magnitude = (alpha * (score - peak)).exp(), score.abs()
    lost = -weight * cut
    lifted = ((-alpha * peak).exp() - weight) * cut  # in the printed form a cut link counts as one of score 0
    return {
        "magnitude": _gain(magnitude, -magnitude * cut, inside),
        "cosine": _gain(weight, lost, inside),
        "mass": _gain(weight, lost, inside, rescaled=False),
        "printed": _gain(weight, lifted, inside),
    }


def _gain(full: Tensor, change: Tensor, inside: Tensor, rescaled: bool = True) -> Gain:
    """full: weights before the mask, up to a factor. change: what the mask adds to them. rescaled: rows sum to one after it."""
    of_all, of_inside = full.sum(-1), (full * inside).sum(-1)
    added, added_inside = change.sum(-1), (change * inside).sum(-1)
    share = of_inside / of_all
    if not rescaled:
        return Gain(share, (of_inside + added_inside) / of_all, added_inside / of_all)
    left = of_all + added
    empty = (full + change == 0).all(-1)
    masked = torch.where(empty, 0, (of_inside + added_inside) / left)
    gain = torch.where(empty, -share, (added_inside - share * added) / left)
    return Gain(share, masked, gain)


def weight_on_cut(score: Float[Tensor, "b q k"], alpha: float = 100.0) -> Float[Tensor, "b q"]:
    """The weight that links which the mask has cut still have in the printed Eq. (3), softmax(α ReLU(A)); 1 if all are cut."""
    return (torch.softmax(alpha * cut_negative(score), dim=-1) * (score <= 0)).sum(-1)
