"""The one idea of the package: for every target position, a row of weights over the exemplar says where its look comes from.

The four papers store the rows in three ways, hence three records: `DenseMatch` (CoCosNet, MATEBIT), `SparseMatch` (DynaST) and
`FactoredMatch` (MSCA). All answer the same questions, and no viewer or metric asks which of them it holds.

Positions are numbered row by row: index = y · width + x. Points are (x, y) in cells of the key grid, the first cell's centre
being (0.5, 0.5). A row need not sum to one: what is missing (1 − mass) is the part of the look that the exemplar does not give.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Protocol, TypeVar, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from exemplar_lab.gather import gather_sum, scatter_sum
from exemplar_lab.grid import cell_centres, index_to_xy

Match = TypeVar("Match", bound="_Match")
"""The kind of record one has; typing.Self would say it better, but the run-time check of annotations refuses it in methods."""

_CHUNK = 2**22
"""Weights that a row-by-row pass may hold at once (16 MB of float32), so that no viewer ever makes a q × k matrix."""


_MOST_PADDING = 16
"""Places that a transposed sparse match may have per link; if all positions look at one, each row would need q of them."""


@runtime_checkable
class Correspondence(Protocol):
    """What every match answers. q = h·w of the query grid (target), k = h·w of the key grid (exemplar)."""

    query_size: tuple[int, int]
    key_size: tuple[int, int]

    def rows(self, query: Int[Tensor, " n"]) -> Float[Tensor, "b n k"]:
        """The weights with which the target positions `query` look at every exemplar position."""
        ...

    def links(self, query: Int[Tensor, " n"]) -> tuple[Int[Tensor, "b n t"], Float[Tensor, "b n t"]]:
        """`rows` without the positions that nothing can be linked to: those that are left, and their weights."""
        ...

    def columns(self, key: Int[Tensor, " n"]) -> Float[Tensor, "b n q"]:
        """The weights with which every target position looks at the exemplar positions `key`: who uses this pixel."""
        ...

    def warp(self, value: Float[Tensor, "b c hk wk"]) -> Float[Tensor, "b c hq wq"]:
        """Carry anything that lives on the exemplar (colours, labels, coordinates) to the target: W · value."""
        ...

    def mass(self) -> Float[Tensor, "b hq wq"]:
        """The sum of every row; 1 where nothing was lost."""
        ...

    def argmax(self) -> Int[Tensor, "b hq wq"]:
        """The exemplar position with the largest weight, as an index."""
        ...

    def xy(self, radius: float | None = 1.5) -> Float[Tensor, "b 2 hq wq"]:
        """The exemplar point (x, y) each target position looks at, to a fraction of a cell."""
        ...

    def entropy(self) -> Float[Tensor, "b hq wq"]:
        """How undecided each row is, in nats, after its mass is scaled to one."""
        ...

    def transfer_labels(self, label: Int[Tensor, "b hk wk"], classes: int) -> Int[Tensor, "b hq wq"]:
        """The exemplar's label map carried to the target: the class that gathers most weight."""
        ...

    def transpose(self) -> "Correspondence":
        """The same weights asked from the exemplar's side: a row per exemplar position, over the positions that use it."""
        ...


def _tiny(like: Tensor) -> float:
    return torch.finfo(like.dtype).tiny


def _neighbourhood(
    index: Int[Tensor, "b n"], size: tuple[int, int], radius: float
) -> tuple[Int[Tensor, "b n t"], Bool[Tensor, "b n t"]]:
    """The cells within `radius` of each cell, along both axes, and which of them lie inside the grid (the others are void)."""
    reach = torch.arange(-int(radius), int(radius) + 1, device=index.device)
    y = (index.div(size[1], rounding_mode="floor")[..., None] + reach)[..., :, None]
    x = (index[..., None] % size[1] + reach)[..., None, :]
    inside = (y >= 0) & (y < size[0]) & (x >= 0) & (x < size[1])
    return ((y * size[1] + x) * inside).flatten(2), inside.flatten(2)


def _normalised(weight: Tensor) -> Tensor:
    """Rows scaled to sum to one; a row without any weight stays zero."""
    return weight / weight.sum(-1, keepdim=True).clamp_min(_tiny(weight))


@dataclass(frozen=True)
class _Match:
    """The answers that follow from `rows` and `warp` alone, computed a few rows at a time."""

    query_size: tuple[int, int]
    key_size: tuple[int, int]

    @property
    def batch(self) -> int:
        return next(v for f in fields(self) if isinstance(v := getattr(self, f.name), Tensor)).shape[0]

    def _map_rows(self, answer: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """`answer(rows, query)`, shape b n …, for all queries in order, joined along n."""
        return torch.cat([answer(self.rows(query), query) for query in self._chunks()], dim=1)

    def _chunks(self) -> tuple[Tensor, ...]:
        queries = self.query_size[0] * self.query_size[1]
        keys = self.key_size[0] * self.key_size[1]
        return torch.arange(queries, device=self._device).split(max(1, _CHUNK // (self.batch * keys)))

    @property
    def _device(self) -> torch.device:
        return next(v for f in fields(self) if isinstance(v := getattr(self, f.name), Tensor)).device

    @property
    def _dtype(self) -> torch.dtype:
        return next(v for f in fields(self) if isinstance(v := getattr(self, f.name), Tensor) and v.is_floating_point()).dtype

    def _on_query_grid(self, per_query: Tensor) -> Tensor:
        """b q … -> b … hq wq"""
        return per_query.movedim(1, -1).unflatten(-1, self.query_size)

    def _flat(self, value: Float[Tensor, "b c hk wk"]) -> Float[Tensor, "b k c"]:
        if tuple(value.shape[-2:]) != self.key_size:
            raise ValueError(
                f"got a value of size {tuple(value.shape[-2:])}, expected the key grid {self.key_size}: resize it to "
                "the grid of the match first, e.g. torch.nn.functional.interpolate(value, match.key_size, mode='area')"
            )
        return value.flatten(2).transpose(1, 2)

    def to(self: Match, device: torch.device | str) -> Match:
        return self._map_tensors(lambda tensor: tensor.to(device))

    def detach(self: Match) -> Match:
        return self._map_tensors(Tensor.detach)

    def __getitem__(self: Match, which: slice | Tensor | list[int]) -> Match:
        """The samples `which` of the batch."""
        if isinstance(which, int):
            raise TypeError(f"got the integer {which}, expected a slice or a list: use [{which}:{which + 1}]")
        return self._map_tensors(lambda tensor: tensor[which])

    def _map_tensors(self: Match, function: Callable[[Tensor], Tensor]) -> Match:
        return replace(self, **{f.name: function(v) for f in fields(self) if isinstance(v := getattr(self, f.name), Tensor)})

    def links(self, query: Int[Tensor, " n"]) -> tuple[Int[Tensor, "b n t"], Float[Tensor, "b n t"]]:
        rows = self.rows(query)
        return torch.arange(rows.shape[-1], device=rows.device).expand(rows.shape), rows

    def argmax(self) -> Int[Tensor, "b hq wq"]:
        return self._on_query_grid(self._map_rows(lambda rows, _: rows.argmax(-1)))

    def xy(self, radius: float | None = 1.5) -> Float[Tensor, "b 2 hq wq"]:
        """The expected exemplar point within `radius` cells of the argmax (None: of the whole row), in cells of the key grid.

        The whole-row expectation of a row with two peaks lies between them, where neither looks; the window keeps to one peak.
        A row without any weight looks nowhere and answers (0, 0), the corner where no cell has its centre.
        """

        if radius is None:
            centres = cell_centres(self.key_size, device=self._device, dtype=self._dtype).T.unflatten(1, self.key_size)
            return self.warp(centres.expand(self.batch, -1, -1, -1)) / self.mass()[:, None].clamp_min(_tiny(centres))

        def expectation(rows: Tensor, _) -> Tensor:
            index, inside = _neighbourhood(rows.argmax(-1), self.key_size, radius)
            weight = _normalised(rows.gather(-1, index) * inside)
            return (weight[..., None] * index_to_xy(index, self.key_size)).sum(2)

        return self._on_query_grid(self._map_rows(expectation))

    def entropy(self) -> Float[Tensor, "b hq wq"]:
        def of_rows(rows: Tensor, _) -> Tensor:
            return torch.special.entr(_normalised(rows)).sum(-1)

        return self._on_query_grid(self._map_rows(of_rows))

    def transfer_labels(self, label: Int[Tensor, "b hk wk"], classes: int) -> Int[Tensor, "b hq wq"]:
        if label.min() < 0 or label.max() >= classes:
            raise ValueError(
                f"got labels from {int(label.min())} to {int(label.max())}, expected 0 … {classes - 1}: "
                "shift them, or raise `classes`"
            )
        votes = F.one_hot(label.long(), classes).movedim(-1, 1).to(torch.get_default_dtype())
        return self.warp(votes).argmax(1)

    def transpose(self) -> "Correspondence":
        return self.dense().transpose()

    def dense(self) -> "DenseMatch":
        """The same correspondence with every weight written out; q × k floats per sample."""
        return DenseMatch(self.query_size, self.key_size, self._map_rows(lambda rows, _: rows))


@dataclass(frozen=True)
class DenseMatch(_Match):
    """All weights, b q k: CoCosNet Eq. (4), and MATEBIT with its negatives cut."""

    weight: Float[Tensor, "b q k"]

    def rows(self, query: Int[Tensor, " n"]) -> Float[Tensor, "b n k"]:
        return self.weight[:, query]

    def columns(self, key: Int[Tensor, " n"]) -> Float[Tensor, "b n q"]:
        return self.weight[:, :, key].transpose(1, 2)

    def warp(self, value: Float[Tensor, "b c hk wk"]) -> Float[Tensor, "b c hq wq"]:
        return self._on_query_grid(self.weight @ self._flat(value).to(self.weight.dtype))

    def mass(self) -> Float[Tensor, "b hq wq"]:
        return self._on_query_grid(self.weight.sum(-1))

    def transpose(self) -> "DenseMatch":
        return DenseMatch(self.key_size, self.query_size, self.weight.transpose(1, 2))


@dataclass(frozen=True)
class SparseMatch(_Match):
    """t candidates per query (DynaST): `index` says which exemplar positions, `weight` how much of each.

    A position may stand several times in a row; its weights add up.
    """

    index: Int[Tensor, "b q t"]
    weight: Float[Tensor, "b q t"]

    def rows(self, query: Int[Tensor, " n"]) -> Float[Tensor, "b n k"]:
        empty = self.weight.new_zeros(self.batch, len(query), self.key_size[0] * self.key_size[1])
        return empty.scatter_add(2, self.index[:, query], self.weight[:, query])

    def links(self, query: Int[Tensor, " n"]) -> tuple[Int[Tensor, "b n t"], Float[Tensor, "b n t"]]:
        """Where a position stands several times in a row, its weight is in one place, and zero in the others."""
        return replace(self, index=self.index[:, query], weight=self.weight[:, query])._merged()

    def columns(self, key: Int[Tensor, " n"]) -> Float[Tensor, "b n q"]:
        asked, which = key.unique(return_inverse=True)
        place = torch.full((self.key_size[0] * self.key_size[1],), len(asked), device=self._device)
        place[asked] = torch.arange(len(asked), device=self._device)
        column = self.weight.new_zeros(*self.index.shape[:2], len(asked) + 1).scatter_add(2, place[self.index], self.weight)
        return column[..., which].transpose(1, 2)

    def warp(self, value: Float[Tensor, "b c hk wk"]) -> Float[Tensor, "b c hq wq"]:
        gathered = gather_sum(self.weight, self._flat(value).to(self.weight.dtype), self.index)
        return self._on_query_grid(gathered)

    def mass(self) -> Float[Tensor, "b hq wq"]:
        return self._on_query_grid(self.weight.sum(-1))

    def argmax(self) -> Int[Tensor, "b hq wq"]:
        index, weight = self._merged()
        return self._on_query_grid(index.gather(-1, weight.argmax(-1, keepdim=True)).squeeze(-1))

    def xy(self, radius: float | None = 1.5) -> Float[Tensor, "b 2 hq wq"]:
        if radius is None:
            return super().xy(None)
        centres = index_to_xy(self.index, self.key_size).to(self.weight.dtype)
        peak = index_to_xy(self.argmax().flatten(1), self.key_size)[:, :, None]
        near = self.weight * ((centres - peak).abs().amax(-1) <= radius)
        return self._on_query_grid((_normalised(near)[..., None] * centres).sum(2))

    def entropy(self) -> Float[Tensor, "b hq wq"]:
        return self._on_query_grid(torch.special.entr(_normalised(self._merged()[1])).sum(-1))

    def transpose(self) -> "SparseMatch | TransposedMatch":
        """As many links per exemplar position as the most used one has; links without weight are left out.

        Where one position is used so much more than the others that this would be mostly padding, the links stay as they are.
        """
        keys = self.key_size[0] * self.key_size[1]
        key, order = torch.where(self.weight != 0, self.index, keys).flatten(1).sort(dim=1, stable=True)
        key = key.contiguous()
        rank = torch.arange(key.shape[1], device=self._device) - torch.searchsorted(key, key)
        real = key < keys
        links = int(rank[real].max()) + 1 if real.any() else 1
        if keys * links > _MOST_PADDING * key.shape[1]:
            return TransposedMatch(self.key_size, self.query_size, self)
        place = torch.where(real, key * links + rank, keys * links)
        query = order.div(self.index.shape[2], rounding_mode="floor")

        def placed(value: Tensor) -> Tensor:
            empty = value.new_zeros(self.batch, keys * links + 1)
            return empty.scatter(1, place, value)[:, :-1].unflatten(1, (keys, links))

        return SparseMatch(self.key_size, self.query_size, placed(query), placed(self.weight.flatten(1).gather(1, order)))

    def _merged(self) -> tuple[Int[Tensor, "b q t"], Float[Tensor, "b q t"]]:
        """The candidates in rising order, the weights of equal ones summed in the first of them and zero in the others."""
        index, order = self.index.sort(dim=-1)
        index = index.contiguous()
        first = torch.searchsorted(index, index)
        return index, torch.zeros_like(self.weight).scatter_add(-1, first, self.weight.gather(-1, order))


@dataclass(frozen=True)
class TransposedMatch(_Match):
    """A sparse match asked from the other side: a row of this is a column of that."""

    of: SparseMatch

    @property
    def batch(self) -> int:
        return self.of.batch

    @property
    def _device(self) -> torch.device:
        return self.of._device

    @property
    def _dtype(self) -> torch.dtype:
        return self.of._dtype

    def _map_tensors(self, function: Callable[[Tensor], Tensor]) -> "TransposedMatch":
        return replace(self, of=self.of._map_tensors(function))

    def rows(self, query: Int[Tensor, " n"]) -> Float[Tensor, "b n k"]:
        return self.of.columns(query)

    def columns(self, key: Int[Tensor, " n"]) -> Float[Tensor, "b n q"]:
        return self.of.rows(key)

    def warp(self, value: Float[Tensor, "b c hk wk"]) -> Float[Tensor, "b c hq wq"]:
        flat = self._flat(value).to(self._dtype)
        return self._on_query_grid(scatter_sum(self.of.weight, flat, self.of.index, self.query_size[0] * self.query_size[1]))

    def mass(self) -> Float[Tensor, "b hq wq"]:
        return self.warp(torch.ones((self.batch, 1, *self.key_size), dtype=self._dtype, device=self._device))[:, 0]

    def argmax(self) -> Int[Tensor, "b hq wq"]:
        index, weight = (each.flatten(1) for each in self.of._merged())
        queries, keys = (height * width for height, width in (self.query_size, self.key_size))
        largest = weight.new_zeros(self.batch, queries).scatter_reduce(1, index, weight, "amax")
        key = torch.arange(keys, device=index.device).repeat_interleave(self.of.index.shape[2]).expand(index.shape)
        key = torch.where((weight > 0) & (weight == largest.gather(1, index)), key, keys)
        first = key.new_full((self.batch, queries), keys).scatter_reduce(1, index, key, "amin")
        return self._on_query_grid(torch.where(first < keys, first, 0))

    def xy(self, radius: float | None = 1.5) -> Float[Tensor, "b 2 hq wq"]:
        if radius is None:
            return super().xy(None)
        centres = cell_centres(self.key_size, device=self._device, dtype=self._dtype).expand(self.batch, -1, -1)
        peak = index_to_xy(self.argmax().flatten(1), self.key_size).to(self._dtype)
        of_link = peak.gather(1, self.of.index.flatten(1)[..., None].expand(-1, -1, 2)).view(*self.of.index.shape, 2)
        near = self.of.weight * ((centres[:, :, None] - of_link).abs().amax(-1) <= radius)
        total = torch.cat([centres, torch.ones_like(centres[..., :1])], -1)
        total = scatter_sum(near, total, self.of.index, peak.shape[1])
        return self._on_query_grid(total[..., :2] / total[..., 2:].clamp_min(_tiny(total)))

    def transpose(self) -> SparseMatch:
        return self.of


@dataclass(frozen=True)
class FactoredMatch(_Match):
    """A matrix of rank r, W = query_factor · diag(gate) · key_factor (MSCA): r regions are gathered, gated and given out."""

    query_factor: Float[Tensor, "b q r"]
    gate: Float[Tensor, "b r"]
    key_factor: Float[Tensor, "b r k"]

    def rows(self, query: Int[Tensor, " n"]) -> Float[Tensor, "b n k"]:
        return (self.query_factor[:, query] * self.gate[:, None]) @ self.key_factor

    def columns(self, key: Int[Tensor, " n"]) -> Float[Tensor, "b n q"]:
        return ((self.query_factor * self.gate[:, None]) @ self.key_factor[:, :, key]).transpose(1, 2)

    def warp(self, value: Float[Tensor, "b c hk wk"]) -> Float[Tensor, "b c hq wq"]:
        regions = self.gate[..., None] * (self.key_factor @ self._flat(value).to(self.key_factor.dtype))
        return self._on_query_grid(self.query_factor @ regions)

    def mass(self) -> Float[Tensor, "b hq wq"]:
        of_region = self.gate * self.key_factor.sum(-1)
        return self._on_query_grid((self.query_factor @ of_region[..., None]).squeeze(-1))

    def transpose(self) -> "FactoredMatch":
        return FactoredMatch(
            self.key_size, self.query_size, self.key_factor.transpose(1, 2), self.gate, self.query_factor.transpose(1, 2)
        )
