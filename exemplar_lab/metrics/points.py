"""Where a match points, and how far that is from the truth: end-point error, PCK, outliers. One number per image.

Points are (x, y) in exemplar pixels, on the query grid of the match. Images without the cells in question answer NaN.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from exemplar_lab.correspondence import Correspondence
from exemplar_lab.grid import cell_centres
from exemplar_lab.metrics.cells import CellTruth

ALPHAS = (0.1, 0.05, 0.01)
"""Thresholds of PCK relative to the longer side of the image, and of the box round the exemplar's objects."""

PIXELS = (1, 3, 5)
"""Thresholds of PCK in pixels of the image."""


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
    """Distance to the nearest of the equally right answers (either of two alike sleeves, any of the balloons), in pixels."""
    return (points[:, None] - cells.points).norm(dim=2).nan_to_num(nan=math.inf).amin(1)


def end_point_error(points: Float[Tensor, "b 2 hq wq"], cells: CellTruth) -> Float[Tensor, " b"]:
    """AEPE: the mean distance to the true point over visible cells, in pixels."""
    return mean_where(point_error(points, cells), cells.visible)


def within(error: Float[Tensor, "b hq wq"], cells: CellTruth, threshold: float | Float[Tensor, " b"]) -> Float[Tensor, " b"]:
    """The share of visible cells whose error is at most `threshold` pixels, which may differ from image to image."""
    if isinstance(threshold, Tensor):
        threshold = threshold[:, None, None]
    return mean_where((error <= threshold).to(error.dtype), cells.visible)


def pck(error: Float[Tensor, "b hq wq"], cells: CellTruth, alpha: float) -> Float[Tensor, " b"]:
    """PCK@α: the share of visible cells whose error is at most α times the longer side of the image."""
    return within(error, cells, alpha * max(cells.image_size))


def pck_scores(
    error: Float[Tensor, "b hq wq"], cells: CellTruth, name: str = "pck", alphas: tuple[float, ...] = ALPHAS
) -> dict[str, Float[Tensor, " b"]]:
    """PCK at every threshold. pck@0.1: of the longer image side. pck@0.1 box: of the longer side of the box round the
    exemplar's objects, the image that is predicted into. pck@3px: in pixels."""
    scores = {f"{name}@{alpha:g}": pck(error, cells, alpha) for alpha in alphas}
    scores |= {f"{name}@{alpha:g} box": within(error, cells, alpha * cells.box) for alpha in alphas}
    return scores | {f"{name}@{pixels}px": within(error, cells, float(pixels)) for pixels in PIXELS}


def outliers(error: Float[Tensor, "b hq wq"], cells: CellTruth) -> Float[Tensor, " b"]:
    """Fl, as KITTI counts it: the share of visible cells off by more than 3 px and by more than 5 % of their true motion."""
    height, width = cells.visible.shape[1:]
    scale = error.new_tensor([cells.image_size[1] / width, cells.image_size[0] / height])
    start = (cell_centres((height, width), device=error.device, dtype=error.dtype) * scale).T.unflatten(1, (height, width))
    motion = (cells.points[:, 0] - start).norm(dim=1)
    return mean_where(((error > 3) & (error > 0.05 * motion)).to(error.dtype), cells.visible)
