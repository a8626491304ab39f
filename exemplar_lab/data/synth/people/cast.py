"""Who is seen where: tubes against blocks of points, all tubes and blocks at once.

Every block (a square of pixels, or the places to which such a square was carried) is tried with the tubes near it. Depth and
number of a candidate form one `key`, a float whose last five bits name the part, so that the largest key of a point tells both
the nearest surface and whose it is.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from exemplar_lab.data.synth.people.body import PARTS, Bones, depth, take, widest

_NOBODY = 31
_CHUNK = 1 << 16
"""Points treated at once, so that what is computed in between stays in the cache; a GPU wants many more."""


class Blocks(NamedTuple):
    """Blocks of points; all but `points` are (n,)."""

    sample: Tensor
    x: Tensor
    """Centre of the block."""
    y: Tensor
    spread: Tensor
    """Distance from the centre that no point of the block exceeds."""
    points: Callable[[Tensor], tuple[Tensor, Tensor]]
    """x and y, each (m, k), of the m blocks asked for."""


class Candidates(NamedTuple):
    """m pairs of a part and a block near it, in the order of the parts."""

    part: Int[Tensor, " m"]
    block: Int[Tensor, " m"]
    key: Float[Tensor, "m k"]
    """0 where the part does not cover the point."""


def chunks(rows: int, columns: int, device: torch.device) -> Iterator[slice]:
    """Slices of `rows` rows of `columns` points."""
    step = max(1, (_CHUNK if device.type == "cpu" else _CHUNK << 10) // max(columns, 1))
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


def part_slices(part: Int[Tensor, " m"]) -> list[tuple[int, slice]]:
    """For parts in order: each part that occurs, and where."""
    edges = torch.searchsorted(part, torch.arange(len(PARTS) + 1, device=part.device)).tolist()
    return [
        (number, slice(edges[number], edges[number + 1])) for number in range(len(PARTS)) if edges[number] < edges[number + 1]
    ]


def hulls(tubes: Float[Tensor, "q t"]) -> Float[Tensor, "6 parts b"]:
    """Of each tube: x, y, dx and dy of its bone, 1 / length², and the distance beyond which it cannot be seen (−∞: never)."""
    bone = Bones(*tubes.unbind(0))
    dx, dy = bone.bx - bone.ax, bone.by - bone.ay
    inverse = 1 / (dx * dx + dy * dy).clamp_min(1e-8)
    wide = widest(bone)
    reach = torch.maximum(wide, torch.maximum(bone.cap_a, bone.cap_b))
    reach = torch.where(wide > 1e-3, reach, -torch.inf)
    return torch.stack([bone.ax, bone.ay, dx, dy, inverse, reach]).unflatten(1, (-1, len(PARTS))).transpose(1, 2).contiguous()


def near(hull: Float[Tensor, "6 parts *b"], x: Tensor, y: Tensor, margin: Tensor) -> Int[Tensor, "d m"]:
    """Which tubes come within `margin` of which (x, y), as indices, the part first; generous, for leaving out what cannot
    matter."""
    found = [_is_near(hull[:, number], x, y, margin).nonzero() for number in range(len(PARTS))]
    number = torch.tensor([len(of) for of in found], device=hull.device)
    part = torch.arange(len(PARTS), device=hull.device).repeat_interleave(number)
    return torch.cat([part[None], torch.cat(found).T])


def _is_near(hull: Tensor, x: Tensor, y: Tensor, margin: Tensor) -> Tensor:
    ax, ay, dx, dy, inverse, reach = hull.unbind(0)
    x, y = x - ax, y - ay
    u = (x * (dx * inverse) + y * (dy * inverse)).clamp(0, 1)
    x, y = x - u * dx, y - u * dy
    reach = (reach + margin).clamp_min(0)
    return x * x + y * y < reach * reach


def cast(
    tubes: Float[Tensor, "q t"], hull: Float[Tensor, "6 parts b"], blocks: Blocks, k: int, samples: int = 0
) -> tuple[Float[Tensor, "n k"], Candidates]:
    """The largest key of every point of n blocks, 0 where nothing is seen, and the candidates it was taken from.

    samples > 0 says that every sample has the same blocks: x, y and spread then are those of one sample.
    """
    if samples:
        number, sample, block = near(hull[..., None], blocks.x, blocks.y, blocks.spread)
        block = sample * len(blocks.x) + block
    else:
        number, block = near(hull.index_select(2, blocks.sample), blocks.x, blocks.y, blocks.spread)
        sample = blocks.sample[block]
    tube = sample * len(PARTS) + number
    key = torch.empty(len(number), k, device=tubes.device)
    for chunk in chunks(len(number), k, tubes.device):
        key[chunk] = key_of(*depth(take(tubes, tube[chunk]), *blocks.points(block[chunk])), number[chunk, None])
    best = torch.zeros(len(blocks.sample), k, device=tubes.device)
    for _, rows in part_slices(number):
        at = block[rows]
        best.index_copy_(0, at, torch.maximum(best.index_select(0, at), key[rows]))
    return best, Candidates(number, block, key)


def key_of(z: Tensor, inside: Tensor, number: Tensor) -> Tensor:
    """A float in [1, 2) that grows with z, −2 … 2, and names the part in its last bits; 0 where not inside."""
    bits = (z * 0.25 + 1.5).clamp(1, 1.9999).view(torch.int32)
    return ((bits & ~_NOBODY) | number.int()).view(torch.float32) * inside


def part_of(key: Shaped[Tensor, "*n"]) -> Int[Tensor, "*n"]:
    """The part that a key names, −1 for none."""
    return (key.view(torch.int32) & _NOBODY).long() - (key == 0).long()


def wins(key: Shaped[Tensor, "m k"], best: Shaped[Tensor, "m k"]) -> Float[Tensor, "m k"]:
    """1 where the key is the best one of its point, else 0."""
    return ((key - best.clamp_min(0.5)) * 1e30 + 1).clamp(0, 1)


class Tiling(NamedTuple):
    """A square picture in square tiles."""

    size: int
    side: int
    """Pixels of a tile along one side."""
    across: int
    """Tiles along one side of the picture."""


_SIDE = 4
"""Smaller tiles waste fewer points beside a tube, larger ones fetch less; measured best from 64 to 256."""


def tiling(size: int) -> Tiling:
    return Tiling(size, _SIDE, -(-size // _SIDE))


def offsets(tiles: Tiling, fine: bool, middle: bool, device: torch.device) -> tuple[Tensor, Tensor]:
    """Points of a tile relative to its corner, as fractions of the image side: four per pixel (fine), then its centre (middle);
    each (k,), pixel by pixel within each of the five."""
    step = torch.arange(tiles.side, device=device, dtype=torch.float32)
    y, x = torch.meshgrid(step, step, indexing="ij")
    inner = [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)] * fine + [(0.5, 0.5)] * middle
    return tuple(torch.cat([(of + at[i]).flatten() for at in inner]) / tiles.size for i, of in ((0, x), (1, y)))


def corners(tiles: Tiling, device: torch.device) -> tuple[Tensor, Tensor]:
    """The upper left corners of all tiles, as fractions of the image side."""
    corner = torch.arange(tiles.across, device=device, dtype=torch.float32) * (tiles.side / tiles.size)
    y, x = torch.meshgrid(corner, corner, indexing="ij")
    return x.flatten(), y.flatten()


def picture_of(rows: Shaped[Tensor, "n c k"], tiles: Tiling) -> Shaped[Tensor, "b c h w"]:
    """From tiles, sample by sample, to pictures."""
    size, side, across = tiles
    value = rows.reshape(-1, across, across, rows.shape[1], side, side)
    return value.permute(0, 3, 1, 4, 2, 5).reshape(-1, rows.shape[1], across * side, across * side)[..., :size, :size]


def gather_rows(rows: Int[Tensor, " m"], part: Int[Tensor, " m"], value: Shaped[Tensor, "m c k"], n: int) -> Tensor:
    """The sums (n, c, k) of values that belong to the same of n rows, part after part, so that sums round alike everywhere."""
    total = value.new_zeros(n, *value.shape[1:])
    for _, of in part_slices(part):
        total.index_add_(0, rows[of], value[of])
    return total
