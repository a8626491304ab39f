"""Does a match know when it is wrong? Lost mass against what has no counterpart, uncertainty against error."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from exemplar_lab.correspondence import Correspondence
from exemplar_lab.metrics.cells import CellTruth
from exemplar_lab.metrics.ranks import auroc


def no_match_auroc(match: Correspondence, cells: CellTruth) -> Float[Tensor, " b"]:
    """How well lost mass, 1 − Σ weights, tells cells without a counterpart from visible ones: the chance that the former has
    less mass.

    0.5 is a guess. Mass is rounded to 1e-5 first, so that the rounding of a softmax does not pass for knowledge.
    """
    mass = (match.mass() * 1e5).round()
    images = zip(mass, cells.no_match, cells.visible, strict=True)
    return torch.stack([auroc(of_image[positive], of_image[negative]) for of_image, positive, negative in images])


def sparsification_error(
    error: Float[Tensor, "b hq wq"], uncertainty: Float[Tensor, "b hq wq"], keep: Bool[Tensor, "b hq wq"]
) -> Float[Tensor, " b"]:
    """AUSE: how much worse it is to drop cells by their uncertainty than by their error; 0 is perfect.

    Both curves tell the mean error of the cells that are left when a growing share is dropped, relative to that of all cells,
    and end in 0 when none is left; AUSE is the area between them (the definition of PDC-Net and DenseMatching, whose 50 steps
    are here one per cell). Cells of equal uncertainty are dropped in no order: each counts with the mean error of its equals.
    NaN where an image keeps no cell or makes no error.
    """
    answer = []
    for of_image, doubt, kept in zip(error.double(), uncertainty, keep, strict=True):
        of_image, (_, group) = of_image[kept], doubt[kept].unique(return_inverse=True)
        size = torch.zeros_like(of_image).index_add(0, group, torch.ones_like(of_image))
        expected = torch.zeros_like(of_image).index_add(0, group, of_image) / size
        by_doubt = expected[group[group.argsort()]]
        answer.append(_area(by_doubt) - _area(of_image.sort().values))
    return torch.stack(answer).to(error.dtype)


def _area(ascending: Float[Tensor, " n"]) -> Float[Tensor, ""]:
    """Under the curve of means of the first n, n − 1, … 1 values and 0, over [0, 1], relative to the first."""
    if not len(ascending) or not ascending.sum() > 0:
        return ascending.new_tensor(math.nan)
    curve = ascending.cumsum(0).flip(0) / torch.arange(len(ascending), 0, -1, device=ascending.device)
    curve = torch.cat([curve, curve.new_zeros(1)]) / curve[0]
    return torch.trapezoid(curve) / len(ascending)
