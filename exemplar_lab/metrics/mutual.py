"""Mutual nearest neighbours and cycles: does the exemplar agree with the target about who belongs to whom?

Agreement is not truth. A match that maps every position to itself agrees with itself everywhere, so none of these numbers is
given without the error beside it.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from exemplar_lab.correspondence import Correspondence
from exemplar_lab.grid import cell_centres, sample_at
from exemplar_lab.metrics.cells import CellTruth
from exemplar_lab.metrics.points import mean_where, point_error, predicted_points, set_error


def mutual_neighbours(match: Correspondence, back: Correspondence | None = None) -> Bool[Tensor, "b hq wq"]:
    """Queries whose best exemplar position has them as its best query in turn; a row without any weight has no best.

    back: a match from the exemplar to the target; by default the columns of `match`.
    """
    back = match.transpose() if back is None else back
    best = match.argmax().flatten(1)
    returned = back.argmax().flatten(1).gather(1, best)
    itself = torch.arange(best.shape[1], device=best.device)
    return (returned == itself).unflatten(1, match.query_size) & (match.mass() > 0)


def mutual_scores(
    match: Correspondence, cells: CellTruth, alpha: float = 0.1, back: Correspondence | None = None
) -> dict[str, Float[Tensor, " b"]]:
    """Shares in [0, 1]. A pair is right when it lies within α of the longer image side of one of the equally right answers.

    mutual_rate: visible cells in a mutual pair. mutual_precision: right ones among these pairs (NaN without any), to be
    compared with set_pck@α, which does without the check. mutual_recall: visible cells in a right pair. mutual_false: cells
    without a counterpart that are in a pair nevertheless. One exemplar position pairs with one query only, so the oracle's
    recall is below 1 wherever the exemplar is the smaller.
    """
    mutual = mutual_neighbours(match, back)
    near = set_error(predicted_points(match, cells.image_size), cells) <= alpha * max(cells.image_size)
    mutual_share, right = mutual.to(cells.points.dtype), (mutual & near).to(cells.points.dtype)
    return {
        "mutual_rate": mean_where(mutual_share, cells.visible),
        "mutual_precision": mean_where(right, cells.visible & mutual),
        "mutual_recall": mean_where(right, cells.visible),
        "mutual_false": mean_where(mutual_share, cells.no_match),
    }


class CycleError(NamedTuple):
    """In pixels, one value per image. The identity map has a cycle of 0 and any error at all, hence the two together."""

    cycle: Float[Tensor, " b"]
    epe: Float[Tensor, " b"]


def cycle_error(match: Correspondence, cells: CellTruth, back: Correspondence | None = None) -> CycleError:
    """‖φ_ba(φ_ab(x)) − x‖ over visible cells x, and the end-point error of φ_ab over the same cells.

    φ_ab(x) is `match.xy()`, φ_ba that of `back`, a match from the exemplar to the target, read bilinearly at φ_ab(x); without
    one, φ_ba comes from the columns of `match` itself, each scaled to sum to one. Positions that no query looks at say nothing.
    Eq. (12) of [CoCosNet] asks the same of colours, ‖r_{y→x→y} − y_B‖₁, where any two positions of one colour agree.
    """
    back = match.transpose() if back is None else back
    there = match.xy()
    known = (back.mass() > 0)[:, None].to(there.dtype)
    returned = sample_at(torch.cat([back.xy() * known, known], 1), there)
    returned = returned[:, :2] / returned[:, 2:].clamp_min(torch.finfo(there.dtype).tiny)
    start = cell_centres(match.query_size, device=there.device, dtype=there.dtype).T.unflatten(1, match.query_size)
    pixels = there.new_tensor([cells.image_size[i] / match.query_size[i] for i in (1, 0)])[:, None, None]
    cycle = ((returned - start) * pixels).norm(dim=1)
    error = point_error(predicted_points(match, cells.image_size), cells)
    return CycleError(mean_where(cycle, cells.visible), mean_where(error, cells.visible))
