"""How good a match is, measured on exact truth. Every number is per image; images without the cells in question answer NaN.

Predicted and true points are (x, y) in exemplar pixels, on the query grid of the match.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from exemplar_lab.correspondence import Correspondence
from exemplar_lab.grid import cell_centres
from exemplar_lab.metrics.appearance import warp_scores
from exemplar_lab.metrics.cells import CellTruth, truth_of_cells
from exemplar_lab.translation import Batch

INDEX_FLOOR = (math.sqrt(2) + math.asinh(1)) / 6
"""Mean distance of a point to the centre of its cell, in cells: 0.383, the error of a perfect answer given as an index."""

ALPHAS = (0.1, 0.05, 0.01)


def predicted_points(match: Correspondence, image_size: tuple[int, int]) -> Float[Tensor, "b 2 hq wq"]:
    """`match.xy()` in exemplar pixels."""
    xy = match.xy()
    return xy * xy.new_tensor([image_size[1] / match.key_size[1], image_size[0] / match.key_size[0]])[:, None, None]


def mean_where(value: Float[Tensor, "b hq wq"], keep: Bool[Tensor, "b hq wq"]) -> Float[Tensor, " b"]:
    """The mean of each image over the cells of `keep`; NaN where it keeps none."""
    return torch.where(keep, value, 0).flatten(1).sum(1) / keep.flatten(1).sum(1)


def point_error(points: Float[Tensor, "b 2 hq wq"], cells: CellTruth) -> Float[Tensor, "b hq wq"]:
    """Distance to the true point, in pixels; NaN where there is none."""
    return (points - cells.points[:, 0]).norm(dim=1)


def set_error(points: Float[Tensor, "b 2 hq wq"], cells: CellTruth) -> Float[Tensor, "b hq wq"]:
    """Distance to the nearest of the equally right answers (either of two sleeves with the same texture), in pixels."""
    return (points[:, None] - cells.points).norm(dim=2).nan_to_num(nan=math.inf).amin(1)


def end_point_error(points: Float[Tensor, "b 2 hq wq"], cells: CellTruth) -> Float[Tensor, " b"]:
    """AEPE: the mean distance to the true point over visible cells, in pixels."""
    return mean_where(point_error(points, cells), cells.visible)


def pck(error: Float[Tensor, "b hq wq"], cells: CellTruth, alpha: float) -> Float[Tensor, " b"]:
    """PCK@α: the share of visible cells whose error is at most α times the longer side of the image."""
    return mean_where((error <= alpha * max(cells.image_size)).to(error.dtype), cells.visible)


def mass_in_footprint(match: Correspondence, cells: CellTruth) -> Float[Tensor, " b"]:
    """The weight that falls on the true footprint of each visible cell, so that a soft row is judged whole, not by its peak.

    The footprint is a disc round the true point (any of the equally right ones) with the area that the cell covers in the
    exemplar, widened by half a cell's diagonal so that the cell holding the point always belongs to it.
    """
    scale = cells.points.new_tensor([match.key_size[i] / cells.image_size[i] for i in (1, 0)])
    truth = cells.points.flatten(3).movedim(2, -1) * scale
    keys_per_query = math.prod(match.key_size) / math.prod(match.query_size)
    radius = (cells.count.flatten(1) * keys_per_query / math.pi).sqrt() + math.sqrt(0.5)
    centres = cell_centres(match.key_size, device=truth.device, dtype=truth.dtype)
    visible = cells.visible.flatten(1)
    inside = torch.zeros_like(radius)
    for query in visible.any(0).nonzero()[:, 0].split(max(1, 2**22 // (len(truth) * len(centres)))):
        exact = "donot_use_mm_for_euclid_dist"  # a GPU's matrix product may round to ten bits
        distance = torch.cdist(truth[:, :, query], centres, compute_mode=exact).nan_to_num(nan=math.inf).amin(1)
        inside[:, query] = (match.rows(query) * (distance <= radius[:, query, None])).sum(-1)
    return mean_where(inside.unflatten(1, match.query_size), cells.visible)


def no_match_auroc(match: Correspondence, cells: CellTruth) -> Float[Tensor, " b"]:
    """How well lost mass tells cells without a counterpart from visible ones: the chance that the former has less mass.

    0.5 is a guess. Mass is rounded to 1e-5 first, so that the rounding of a softmax does not pass for knowledge.
    """
    mass = (match.mass() * 1e5).round()
    answer = []
    for of_image, positive, negative in zip(mass, cells.no_match, cells.visible, strict=True):
        others = of_image[negative].sort().values
        below, up_to = (torch.searchsorted(others, of_image[positive], right=right) for right in (False, True))
        answer.append(1 - (below + up_to).to(mass.dtype).mean() / 2 / len(others) if len(others) else mass.new_tensor(math.nan))
    return torch.stack(answer)


def evaluate_matching(
    match: Correspondence, batch: Batch, alphas: tuple[float, ...] = ALPHAS
) -> dict[str, Float[Tensor, " b"]]:
    """All numbers of one batch, one value per image; join batches with `metrics.tables.summarise`.

    cells: visible cells, the weight of the image in averages over points.
    epe: pixels. pck@α, set_pck@α, footprint, no_match_auroc: shares in [0, 1].
    warp_l1, warp_psnr, warp_ssim: the warped exemplar against the target on visible cells; copy_l1: the exemplar as it is;
    albedo_l1, copy_albedo_l1: the same for the colours before light, where the truth has them.
    """
    if batch.truth is None:
        raise ValueError(
            "got a batch without truth, expected one from a made world: use Source `People`, or a photo with its warp"
        )
    cells = truth_of_cells(batch.truth, match.query_size)
    points = predicted_points(match, cells.image_size)
    error, nearest = point_error(points, cells), set_error(points, cells)
    scores = {"cells": cells.visible.flatten(1).sum(1).to(points.dtype), "epe": end_point_error(points, cells)}
    scores |= {f"pck@{alpha:g}": pck(error, cells, alpha) for alpha in alphas}
    scores |= {f"set_pck@{alpha:g}": pck(nearest, cells, alpha) for alpha in alphas}
    scores |= {"footprint": mass_in_footprint(match, cells), "no_match_auroc": no_match_auroc(match, cells)}
    return scores | warp_scores(match, batch, cells.visible)
