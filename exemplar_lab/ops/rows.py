"""One row of a correspondence as a person asks for it: what was considered, what was kept, and how decided it is."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.correspondence import Correspondence
from exemplar_lab.grid import index_to_xy
from exemplar_lab.ops.temperature import softened


@dataclass(frozen=True)
class Row:
    """Where one position looks, or who looks at it.

    size: the grid (h, w) that the positions are numbered in. index: the positions that were considered, each once, rising.
    weight: theirs, in float64; 0 where the link was cut or pruned, or is too small for a float. considered: how many there
    were before `reweighted` let some go; all others of the grid never were candidates.
    """

    size: tuple[int, int]
    index: Int[Tensor, " n"]
    weight: Float[Tensor, " n"]
    considered: int


@dataclass(frozen=True)
class Reading:
    """A row in numbers.

    mass: sum of the weights. kept, pruned, never: positions with weight, considered without getting any, never considered.
    entropy: in nats, of the row scaled to one; exp(entropy) is the number of cells that it is spread over. argmax: the index
    with most weight, the first of equals. expected: the mean point (x, y) within 1.5 cells of it, in cells, as `xy()` answers.
    argmax and expected are None for a row without any weight.
    """

    mass: float
    kept: int
    pruned: int
    never: int
    entropy: float
    argmax: int | None
    expected: tuple[float, float] | None


def row_of(match: Correspondence, query: int, device: torch.device | str = "cpu") -> Row:
    """The row of one target position, of the first sample. device: where the match lies."""
    index, weight = (one[0, 0].detach().cpu() for one in match.links(torch.tensor([query], device=device)))
    return _row(match.key_size, index, weight)


def users_of(match: Correspondence, key: int, device: torch.device | str = "cpu") -> Row:
    """The target positions that look at one exemplar position, of the first sample; those that give it nothing are left out."""
    column = match.columns(torch.tensor([key], device=device))[0, 0].detach().cpu()
    index = column.nonzero()[:, 0]
    return _row(match.query_size, index, column[index])


def _row(size: tuple[int, int], index: Tensor, weight: Tensor) -> Row:
    each, place = index.unique(return_inverse=True)
    total = torch.zeros(len(each), dtype=torch.float64).scatter_add(0, place, weight.double())
    return Row(tuple(size), each, total, len(each))


def reweighted(row: Row, temperature: float = 1.0, top_k: int = 0) -> Row:
    """The row as it were at another temperature, and with the `top_k` largest links alone (0: all); it keeps its mass.

    See `ops.temperature.softened`. Of equal weights the one with the lower index goes first. Raises ValueError for a
    temperature that is not above 0 and a negative top_k.
    """
    if top_k < 0:
        raise ValueError(f"got top_k = {top_k}, expected 0 (all links) or a number of links to keep")
    best = row.weight.argsort(descending=True, stable=True)[: top_k or None].sort().values
    kept = best[row.weight[best] > 0]
    if temperature == 1 and len(kept) == int((row.weight > 0).sum()):
        return row
    weight = torch.zeros_like(row.weight)
    weight[kept] = softened(row.weight[kept], temperature) * (row.weight.sum() / row.weight[kept].sum())
    stays = (weight > 0) | (row.weight == 0)
    return replace(row, index=row.index[stays], weight=weight[stays])


def dropped_share(row: Row, top_k: int) -> float:
    """The share of a row's mass that lies outside its `top_k` largest links (0: all of them are kept)."""
    if not top_k or not row.weight.sum() > 0:
        return 0.0
    return float(row.weight.sort(descending=True).values[top_k:].sum() / row.weight.sum())


def reading(row: Row) -> Reading:
    """What a row says, in numbers."""
    mass, cells = row.weight.sum(), row.size[0] * row.size[1]
    kept, pruned = int((row.weight > 0).sum()), int((row.weight == 0).sum())
    if not mass > 0:
        return Reading(float(mass), kept, pruned, cells - row.considered, 0.0, None, None)
    entropy = torch.special.entr(row.weight.clamp_min(0) / mass).sum()
    peak = int(row.weight.argmax())
    centres = index_to_xy(row.index, row.size).double()
    near = row.weight * ((centres - centres[peak]).abs().amax(1) <= 1.5)
    x, y = ((near[:, None] * centres).sum(0) / near.sum()).tolist()
    return Reading(float(mass), kept, pruned, cells - row.considered, float(entropy), int(row.index[peak]), (x, y))
