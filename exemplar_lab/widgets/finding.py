"""A query found by what is measured, not by hand: where a map over a grid is largest."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from exemplar_lab.widgets.contents import point_of


class Place(NamedTuple):
    """sample: of the batch. point: (x, y), the middle of the cell in pixels of the picture. value: what stands there."""

    sample: int
    point: tuple[float, float]
    value: float


def largest(value: Float[Tensor, "b h w"], picture: tuple[int, int], count: int = 1, apart: float = 0.0) -> list[Place]:
    """The `count` largest values, the largest first; NaN is passed over.

    picture: (h, w) in pixels of what the grid covers. apart: two places of one sample are at least so many pixels from each
    other, so that they do not all lie side by side. Fewer places where there are no more.
    """
    left = value.detach().double().nan_to_num(nan=-torch.inf, posinf=torch.finfo(torch.float64).max)
    grid, found = tuple(value.shape[1:]), []
    places = torch.tensor([point_of(cell, picture, grid) for cell in range(grid[0] * grid[1])], dtype=torch.float64)
    left = left.flatten(1).clone()
    while len(found) < count and left.max() > -torch.inf:
        sample, cell = divmod(int(left.argmax()), left.shape[1])
        found.append(Place(sample, point_of(cell, picture, grid), float(value[sample].flatten()[cell])))
        near = (places - places[cell]).norm(dim=1) < max(apart, 1e-9)
        left[sample, near] = -torch.inf
    return found
