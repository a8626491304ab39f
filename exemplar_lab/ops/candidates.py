"""Which exemplar positions are worth a look: DynaST's candidates, handed down from scale to scale and from neighbour to
neighbour.

Candidates are indices into the key grid, row by row, shape b q t. Equal ones may stand in one row: `first_of_each` marks those
that count when each position shall count once.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

NEIGHBOURS = ((0, 0), (0, -1), (0, 1), (-1, 0), (1, 0))
"""(x, y) steps to the position itself and to those above, below, left and right, in the order of the released code."""


def top_candidates(weight: Float[Tensor, "b q k"], count: int) -> Int[Tensor, "b q {count}"]:
    """TopK of [DynaST]: the `count` positions of each row with the largest weight (or score), best first."""
    if not 1 <= count <= weight.shape[-1]:
        raise ValueError(f"got a count of {count}, expected 1 … {weight.shape[-1]}: there are no more positions to choose from")
    return weight.topk(count, dim=-1).indices


def kept_candidates(
    weight: Float[Tensor, "b q t"], index: Int[Tensor, "b q t"], count: int, once: bool = False
) -> Int[Tensor, "b q {count}"]:
    """The `count` best of the candidates in hand, best first.

    once: a position that stands several times is chosen once, with the sum of its weights, as long as there are others.
    Released code: without, so that the rows of the second inner block hold 1.02 distinct positions of four on a smooth flow.
    """
    if once:
        index, order = index.sort(dim=-1, stable=True)
        index = index.contiguous()
        first = torch.searchsorted(index, index)
        summed = torch.zeros_like(weight).scatter_add(-1, first, weight.gather(-1, order))
        weight = summed.masked_fill(first != torch.arange(index.shape[-1], device=index.device), -1.0)
    return index.gather(-1, top_candidates(weight, count))


def inter_scale(index: Int[Tensor, "b q t"], query_size: tuple[int, int], key_size: tuple[int, int]) -> Int[Tensor, "b q4 t4"]:
    """Candidates of a grid twice as fine: each position asks the one it came from, and takes the 4 children of its t answers.

    query_size, key_size: (h, w) of the coarse grids.
    """
    parent = index.unflatten(1, query_size).repeat_interleave(2, 1).repeat_interleave(2, 2).flatten(1, 2)
    y, x = parent.div(key_size[1], rounding_mode="floor"), parent % key_size[1]
    corner = 4 * y * key_size[1] + 2 * x
    children = torch.tensor([0, 1, 2 * key_size[1], 2 * key_size[1] + 1], device=index.device)
    return (corner[..., None] + children).flatten(2)


def inner_scale(index: Int[Tensor, "b q t"], query_size: tuple[int, int], key_size: tuple[int, int]) -> Int[Tensor, "b q t5"]:
    """𝒩 of [DynaST]: the answers of the position itself and of its four neighbours, each moved back by the step taken to it.

    Neighbours in the target that match at the same offset point at one place. A position at the border asks itself in place
    of the neighbour it lacks, and an answer that would leave the exemplar stays at its border.
    """
    grid = index.unflatten(1, query_size)
    rows, columns = (torch.arange(n, device=index.device) for n in query_size)
    found = []
    for step_x, step_y in NEIGHBOURS:
        down = (rows + step_y).clamp(0, query_size[0] - 1)
        right = (columns + step_x).clamp(0, query_size[1] - 1)
        answer = grid[:, down][:, :, right]
        y = (answer.div(key_size[1], rounding_mode="floor") - step_y).clamp(0, key_size[0] - 1)
        x = (answer % key_size[1] - step_x).clamp(0, key_size[1] - 1)
        found.append(y * key_size[1] + x)
    return torch.cat(found, dim=-1).flatten(1, 2)


def first_of_each(index: Int[Tensor, "b q t"]) -> Bool[Tensor, "b q t"]:
    """True at the first place where a position stands in its row, False at its repetitions."""
    order = index.argsort(dim=-1, stable=True)
    ordered = index.gather(-1, order)
    fresh = torch.ones_like(index, dtype=torch.bool)
    fresh[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
    return torch.empty_like(fresh).scatter_(-1, order, fresh)
