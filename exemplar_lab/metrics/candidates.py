"""Candidates against the truth: is the true place among them, how many different ones are there, and do the answers show the
seams of the blocks that share them?"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.correspondence import Correspondence
from exemplar_lab.grid import xy_to_index
from exemplar_lab.metrics.cells import CellTruth
from exemplar_lab.metrics.points import mean_where
from exemplar_lab.ops.candidates import first_of_each


def true_index(cells: CellTruth, key_size: tuple[int, int]) -> Int[Tensor, "b hq wq"]:
    """The cell of the key grid that holds the true point; −1 where nothing is visible."""
    scale = cells.points.new_tensor([key_size[1] / cells.image_size[1], key_size[0] / cells.image_size[0]])
    point = cells.points[:, 0].movedim(1, -1).nan_to_num() * scale
    return torch.where(cells.visible, xy_to_index(point, key_size), -1)


def candidate_recall(index: Int[Tensor, "b q t"], cells: CellTruth, key_size: tuple[int, int]) -> Float[Tensor, " b"]:
    """The share of visible cells with the true cell among their candidates."""
    found = (index == true_index(cells, key_size).flatten(1)[..., None]).any(-1)
    return mean_where(found.unflatten(1, cells.visible.shape[1:]).to(cells.points.dtype), cells.visible)


def exact_match(match: Correspondence, cells: CellTruth) -> Float[Tensor, " b"]:
    """The share of visible cells whose largest weight lies on the true cell."""
    return candidate_recall(match.argmax().flatten(1)[..., None], cells, match.key_size)


def distinct_candidates(index: Int[Tensor, "b q t"], cells: CellTruth) -> Float[Tensor, " b"]:
    """How many different positions stand among the candidates of a visible cell, on average."""
    count = first_of_each(index).sum(-1).unflatten(1, cells.visible.shape[1:])
    return mean_where(count.to(cells.points.dtype), cells.visible)


def block_seams(points: Float[Tensor, "b 2 hq wq"], cells: CellTruth) -> Float[Tensor, " b"]:
    """How much of a checkerboard the errors are: the share of their steps from cell to cell that lies between 2 × 2 blocks.

    The four cells of a block come from one parent and share its candidates. points: in exemplar pixels, from
    `predicted_points`; their error is a field, and a step the length of its change between two visible neighbours. 0.5: the
    error changes inside a block as much as between blocks; 1: each block errs as one. NaN where there is no step at all.
    """
    error = points - cells.points[:, 0]
    inside, between = [], []
    for axis in (1, 2):
        field, seen = error.movedim(axis + 1, -1), cells.visible.movedim(axis, -1)
        step = (field[..., 1:] - field[..., :-1]).norm(dim=1)
        both = seen[..., 1:] & seen[..., :-1]
        inside.append((step[..., 0::2], both[..., 0::2]))
        between.append((step[..., 1::2], both[..., 1::2]))
    within, across = (_mean_of(parts) for parts in (inside, between))
    return across / (within + across)


def _mean_of(parts: list[tuple[Tensor, Tensor]]) -> Float[Tensor, " b"]:
    total = sum(torch.where(keep, step, 0).flatten(1).sum(1) for step, keep in parts)
    return total / sum(keep.flatten(1).sum(1) for _, keep in parts)
