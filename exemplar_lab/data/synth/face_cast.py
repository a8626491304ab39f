"""What each point of a picture sees of a surface of quads: the nearest triangle that covers it and faces the viewer."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from exemplar_lab.data.synth.face_mesh import CUT, OWNER, QUADS, blend, corners

Keep = Callable[[Int[Tensor, " n"], Int[Tensor, " n"], Float[Tensor, "3 n"]], Bool[Tensor, " n"]]
"""Whether n points are there: (sample, layer, where on the layer) -> True; False where the layer is cut away."""

_SLACK = 1e-5
"""How far outside a triangle a point may lie, as a share of its height: what rounding takes away where two triangles meet."""
_THIN = 1e-6
"""Twice the area, in square pixels, from which on a triangle is seen."""
_CHUNK = {"cpu": 1 << 17}
"""Candidates at a time: what fits the cache of a processor."""


class Spot(NamedTuple):
    """What n points of pictures see: the quad, −1 for none, and the depth, in pixels towards the viewer, −inf for none."""

    quad: Int[Tensor, " n"]
    depth: Float[Tensor, " n"]


class Bands(NamedTuple):
    """All rows of pixels that quads cross: whose, which row, and from where to where the quad reaches in it."""

    which: Tensor
    row: Tensor
    low: Tensor
    high: Tensor


class Front(NamedTuple):
    """The f quads that face the viewer: whose they are, corners x and y (4, f), and the numbers that a test needs (14, f)."""

    sample: Tensor
    quad: Tensor
    x: Tensor
    y: Tensor
    numbers: Tensor


def front_of(posed: Float[Tensor, "b 3 v"], on: Bool[Tensor, "b q"]) -> Front:
    """posed: x, y in pixels and depth, positive, growing towards the viewer. on: which quads a sample has."""
    sample, quad = on.nonzero().unbind(1)
    flat = posed.movedim(1, 0).flatten(1)
    at = QUADS.to(posed.device).T.index_select(1, quad) + sample * posed.shape[2]
    x, y = (flat[axis].index_select(0, at.flatten()).view(4, -1) for axis in (0, 1))
    dx, dy = x[1:] - x[0], y[1:] - y[0]
    areas = torch.stack([dy[0] * dx[1] - dx[0] * dy[1], dy[1] * dx[2] - dx[1] * dy[2]])
    seen = (areas > _THIN).any(0).nonzero().flatten()
    sample, quad = sample.index_select(0, seen), quad.index_select(0, seen)
    x, y, dx, dy, areas, at = (v.index_select(1, seen) for v in (x, y, dx, dy, areas, at))
    z = flat[2].index_select(0, at.flatten()).view(4, -1)
    inverse = torch.where(areas > _THIN, 1 / areas, torch.nan)
    sides = torch.stack([dx, dy], dim=1).flatten(0, 1)
    return Front(sample, quad, x, y, torch.cat([x[:1], y[:1], sides, inverse, z[:1], z[1:] - z[0]]))


def cast_pixels(front: Front, own: Float[Tensor, "b 3 v"], size: int, keep: Keep) -> Spot:
    """What the centre of every pixel of b pictures sees; n = b · size².

    own: where each vertex lies on its layer, for `keep`.
    """
    best = torch.zeros(len(own) * size * size, dtype=torch.long, device=own.device)
    which, row, low, high = bands_of(front, size, 0.5, 0.5)
    first = (low - 0.5).ceil().clamp(0, size).long()
    many = ((high - 0.5).floor().clamp(-1, size - 1).long() + 1 - first).clamp_min(0)
    start = (front.sample.index_select(0, which) * size + row) * size + first
    for begin, end in _pieces(many):
        again, inner = _expand(many[begin:end])
        slot = start[begin:end].index_select(0, again) + inner
        x = first[begin:end].index_select(0, again) + inner
        y = row[begin:end].index_select(0, again)
        _visit(front, which[begin:end].index_select(0, again), x + 0.5, y + 0.5, slot, best, own, keep)
    return _spots(best)


def cast_points(
    front: Front,
    bands: Bands,
    own: Float[Tensor, "b 3 v"],
    size: int,
    keep: Keep,
    sample: Int[Tensor, " n"],
    x: Float[Tensor, " n"],
    y: Float[Tensor, " n"],
) -> Spot:
    """The same for n points (x, y) of pictures `sample`; a point outside the frame sees nothing. bands: those of the front."""
    best = torch.zeros(len(x), dtype=torch.long, device=own.device)
    inside = ((x >= 0) & (x < size) & (y >= 0) & (y < size)).nonzero().flatten()
    cell = (sample[inside] * size + y[inside].long()) * size + x[inside].long()
    if bool((cell[1:] < cell[:-1]).any()):
        cell, order = cell.int().sort(stable=True)
        inside = inside[order]
    before = torch.nn.functional.pad(torch.bincount(cell, minlength=len(own) * size * size).cumsum(0), (1, 0))
    # In the order of their cells, the points between two columns of a row stand side by side.
    which, row, low, high = bands
    low, high = low.floor().clamp(0, size).long(), high.floor().clamp(-1, size - 1).long() + 1
    start = (front.sample.index_select(0, which) * size + row) * size
    first = before.index_select(0, start + low)
    many = (before.index_select(0, start + torch.maximum(low, high)) - first).clamp_min(0)
    some = many.nonzero().flatten()
    which, first, many = (v.index_select(0, some) for v in (which, first, many))
    for begin, end in _pieces(many):
        again, inner = _expand(many[begin:end])
        point = inside.index_select(0, first[begin:end].index_select(0, again) + inner)
        again = which[begin:end].index_select(0, again)
        _visit(front, again, x.index_select(0, point), y.index_select(0, point), point, best, own, keep)
    return _spots(best)


def bands_of(front: Front, size: int, top: float = 0.0, bottom: float = 1.0) -> Bands:
    """Where quads reach between row + top and row + bottom of every row of a picture."""
    wide = (front.x.amax(0) > 0) & (front.x.amin(0) < size)
    low, high = (front.y.amin(0) - bottom).ceil().clamp(0, size), (front.y.amax(0) - top).floor().clamp(-1, size - 1)
    # Rounded outwards, so that rounding loses no row.
    low, high = (low - (low - front.y.amin(0) + bottom > 0.999).float()).clamp_min(0), high
    which, row = _expand(((high - low + 1).clamp_min(0) * wide).long())
    row = row + low.long().index_select(0, which)
    x, y = front.x.index_select(1, which), front.y.index_select(1, which)
    upper, lower = row + (top - 1e-3), row + (bottom + 1e-3)
    left, right = torch.full_like(upper, torch.inf), torch.full_like(upper, -torch.inf)
    for here, there in ((0, 1), (1, 2), (2, 3), (3, 0)):
        dy = y[there] - y[here]
        flat = dy.abs() < 1e-6
        step = torch.where(flat, 0, 1 / dy)
        one, two = ((upper - y[here]) * step).clamp(0, 1), ((lower - y[here]) * step).clamp(0, 1)
        dx = x[there] - x[here]
        one, two = x[here] + one * dx, x[here] + torch.where(flat, 1, two) * dx
        meets = (torch.maximum(y[here], y[there]) >= upper) & (torch.minimum(y[here], y[there]) <= lower)
        left = torch.where(meets, torch.minimum(left, torch.minimum(one, two)), left)
        right = torch.where(meets, torch.maximum(right, torch.maximum(one, two)), right)
    return Bands(which, row, left - 1e-3, right + 1e-3)


def _visit(front: Front, which: Tensor, x: Tensor, y: Tensor, slot: Tensor, best: Tensor, own: Tensor, keep: Keep) -> None:
    """Try candidate points on candidate quads, and note in `best` the nearest quad of each slot."""
    upper, share, second = _solve(front.numbers[:10].index_select(1, which).unbind(0), x, y)
    hit = _inside(share, second).nonzero().flatten()
    upper, share, second, which, slot = (v.index_select(0, hit) for v in (upper, share, second, which, slot))
    z, one, two, three = front.numbers[10:].index_select(1, which)
    depth = z + share * torch.where(upper, three, one) + second * two
    quad, sample = front.quad.index_select(0, which), front.sample.index_select(0, which)
    cut = CUT.to(x.device).index_select(0, quad).nonzero().flatten()
    if len(cut):
        quad_, upper_, share_, second_, sample_ = (v.index_select(0, cut) for v in (quad, upper, share, second, sample))
        point = blend(own, sample_, corners(quad_, upper_), torch.stack([1 - share_ - second_, share_, second_]))
        there = keep(sample_, OWNER.to(x.device).index_select(0, quad_), point)
        depth = depth.index_copy(0, cut, torch.where(there, depth.index_select(0, cut), -1.0))
    # A positive float32 read as an integer keeps its order, so that depth and quad fit one number.
    code = (depth.clamp_min(0).view(torch.int32).long() << 32) | (quad + 1)
    best.scatter_reduce_(0, slot, torch.where(depth > 0, code, 0), "amax")


def _solve(numbers: tuple[Tensor, ...] | list[Tensor], x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Which triangle of its quad each point lies on, and the shares of corner 1 or 3 and of corner 2."""
    x0, y0, x1, y1, x2, y2, x3, y3, first, second = numbers
    x, y = x - x0, y - y0
    side = y2 * x - x2 * y
    upper = side > 0
    inverse = torch.where(upper, second, first)
    other = (torch.where(upper, y3, y1) * x - torch.where(upper, x3, x1) * y) * inverse
    return upper, side.abs() * inverse, torch.where(upper, -other, other)


def _inside(share: Tensor, second: Tensor) -> Tensor:
    return (share >= -_SLACK) & (second >= -_SLACK) & (share + second <= 1 + _SLACK)


def _spots(best: Tensor) -> Spot:
    quad = (best & (2**32 - 1)) - 1
    depth = (best >> 32).to(torch.int32).view(torch.float32)
    return Spot(quad, torch.where(quad < 0, -torch.inf, depth))


def _pieces(many: Tensor) -> list[tuple[int, int]]:
    """Ranges of rows with about as many candidates each; on a device with its own memory, few of them."""
    total = many.cumsum(0)
    limit = _CHUNK.get(many.device.type, 1 << 25)
    if not len(many) or total[-1] <= limit:
        return [(0, len(many))]
    edges = torch.searchsorted(total, torch.arange(limit, int(total[-1]), limit, device=many.device)).tolist()
    edges = sorted({0, *edges, len(many)})
    return list(zip(edges[:-1], edges[1:], strict=True))


def _expand(many: Tensor) -> tuple[Tensor, Tensor]:
    """For counts (2, 3): (0, 0, 1, 1, 1) and (0, 1, 0, 1, 2)."""
    which = torch.repeat_interleave(torch.arange(len(many), device=many.device), many)
    start = many.cumsum(0) - many
    return which, torch.arange(len(which), device=many.device) - start.index_select(0, which)


def locate(
    posed: Float[Tensor, "b 3 v"],
    sample: Int[Tensor, " n"],
    quad: Int[Tensor, " n"],
    x: Float[Tensor, " n"],
    y: Float[Tensor, " n"],
) -> tuple[Int[Tensor, "3 n"], Float[Tensor, "3 n"]]:
    """Where points (x, y) lie on the quads that they see: three vertices and their shares."""
    at = (sample * posed.shape[2] + QUADS.to(quad.device).T.index_select(1, quad)).flatten()
    px, py = (posed[:, axis].flatten().index_select(0, at).view(4, -1) for axis in (0, 1))
    dx, dy = px[1:] - px[0], py[1:] - py[0]
    areas = dy[0] * dx[1] - dx[0] * dy[1], dy[1] * dx[2] - dx[1] * dy[2]
    numbers = [px[0], py[0], dx[0], dy[0], dx[1], dy[1], dx[2], dy[2]]
    upper, share, second = _solve([*numbers, *(torch.where(v > _THIN, 1 / v, torch.nan) for v in areas)], x, y)
    return corners(quad, upper), torch.stack([1 - share - second, share, second])
