"""What each point of a picture sees of a surface of quads: the nearest triangle that covers it and faces the viewer."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from exemplar_lab.data.synth.faces.mesh import OWNER, QUADS, blend, corners, flat

Keep = Callable[[Int[Tensor, " n"], Int[Tensor, " n"], Float[Tensor, "3 n"]], Bool[Tensor, " n"]]
"""Whether n points are there: (sample, layer, where on the layer) -> True; False where the layer is cut away."""

_SLACK = 1e-5
"""How far outside a triangle a point may lie, as a share of its height: what rounding takes away where two triangles meet."""
_THIN = 1e-6
"""Twice the area, in square pixels, from which on a triangle is seen."""
_NARROW = 2.0
"""A quad narrower than this, in pixels, is tried wherever its columns reach, unless it is a sliver."""
_SLIVER = 0.05
"""Twice the area, in square pixels, of triangles of which rounding leaves a good idea only between their edges."""
_CHUNK = {"cpu": 1 << 15}
"""Candidates at a time: what fits the cache of a processor."""


class Spot(NamedTuple):
    """What n points of pictures see: which quad of the front, −1 for none, and the depth, in pixels towards the viewer, −inf
    for none."""

    which: Int[Tensor, " n"]
    depth: Float[Tensor, " n"]


class Bands(NamedTuple):
    """All rows of pixels that quads cross: whose, which row, and from where to where the quad reaches in it."""

    which: Tensor
    row: Tensor
    low: Tensor
    high: Tensor


class Front(NamedTuple):
    """The f quads that face the viewer: whose they are, whether parts of them may be cut away, corners x and y (4, f); corner
    0 and what leads from it to corner 2, (4, f); and what else a test needs, (6, 2 f), first of all lower triangles, then of
    all upper ones. own: where each vertex of all samples lies on its layer, (3, b · v)."""

    sample: Tensor
    quad: Tensor
    cut: Tensor
    x: Tensor
    y: Tensor
    base: Tensor
    numbers: Tensor
    own: Tensor

    def of(self, some: Int[Tensor, " n"]) -> "Front":
        """Some of the quads."""
        both = torch.cat([some, some + len(self.quad)])
        sample, quad, cut = (v.index_select(0, some) for v in self[:3])
        x, y, base = (v.index_select(1, some) for v in self[3:6])
        return Front(sample, quad, cut, x, y, base, self.numbers.index_select(1, both), self.own)


def front_of(
    posed: Float[Tensor, "b 3 v"], own: Float[Tensor, "b 3 v"], on: Bool[Tensor, "b q"], cut: Bool[Tensor, "b q"]
) -> Front:
    """posed: x, y in pixels and depth, positive, growing towards the viewer. on: which quads a sample has; cut: of which of
    them a part may be missing."""
    step = max(1, _CHUNK.get(posed.device.type, 1 << 25) // on.shape[1])
    parts = [
        _faced(*(v[begin : begin + step] for v in (posed, on, cut)), begin) for begin in range(0, max(len(posed), 1), step)
    ]
    *rest, numbers = (torch.cat(of, dim=-1) for of in zip(*parts, strict=True))
    return Front(*rest, numbers.flatten(1), flat(own))


def _faced(posed: Tensor, on: Tensor, cut: Tensor, begin: int) -> tuple[Tensor, ...]:
    """All of `Front` but own, of samples from number `begin` on."""
    sample, quad = on.nonzero().unbind(1)
    places = flat(posed)
    at = QUADS.to(posed.device).T.index_select(1, quad) + sample * posed.shape[2]
    x, y = (places[axis].index_select(0, at.flatten()).view(4, -1) for axis in (0, 1))
    dx, dy = x[1:] - x[0], y[1:] - y[0]
    areas = torch.stack([dy[0] * dx[1] - dx[0] * dy[1], dy[1] * dx[2] - dx[1] * dy[2]])
    seen = (areas > _THIN).any(0).nonzero().flatten()
    sample, quad = sample.index_select(0, seen), quad.index_select(0, seen)
    x, y, dx, dy, areas, at = (v.index_select(1, seen) for v in (x, y, dx, dy, areas, at))
    z = places[2].index_select(0, at.flatten()).view(4, -1)
    inverse = torch.where(areas > _THIN, 1 / areas, torch.nan)
    dz = z[1:] - z[0]
    # Lower triangles and upper ones.
    numbers = torch.stack(
        [
            torch.stack([dx[0], dy[0], inverse[0], z[0], dz[0], dz[1]]),
            torch.stack([-dx[2], -dy[2], inverse[1], z[0], dz[2], dz[1]]),
        ],
        dim=1,
    )
    doubtful = cut.flatten().index_select(0, sample * cut.shape[1] + quad)
    return sample + begin, quad, doubtful, x, y, torch.stack([x[0], y[0], dx[1], dy[1]]), numbers


def cast_pixels(front: Front, pictures: int, size: int, keep: Keep) -> Spot:
    """What the centre of every pixel of so many pictures sees; n = pictures · size²."""
    best = torch.zeros(pictures * size * size, dtype=torch.long, device=front.x.device)
    doubts: list[Tensor] = []
    which, row, low, high = bands_of(front, size, 0.5, 0.5)
    first = (low - 0.5).ceil().clamp(0, size).long()
    many = ((high - 0.5).floor().clamp(-1, size - 1).long() + 1 - first).clamp_min(0)
    start = (front.sample.index_select(0, which) * size + row) * size
    for begin, end in pieces(many):
        again, inner = expand(many[begin:end])
        x = first[begin:end].index_select(0, again) + inner
        slot = start[begin:end].index_select(0, again) + x
        y = row[begin:end].index_select(0, again)
        _visit(front, which[begin:end].index_select(0, again), x + 0.5, y + 0.5, slot, best, doubts)
    return _settle(front, best, doubts, keep)


def cast_finer(
    front: Front, bands: Bands, size: int, keep: Keep, pixels: Int[Tensor, " m"], pictures: int, inner: Float[Tensor, "k 2"]
) -> Spot:
    """What k points of each of m pixels, in order, see; n = k · m. inner: where they lie, in pixels from the corner."""
    asked = torch.zeros(pictures * size * size, dtype=torch.long, device=pixels.device).index_fill_(0, pixels, 1)
    best = torch.zeros(len(inner) * len(pixels), dtype=torch.long, device=pixels.device)
    doubts: list[Tensor] = []
    column, row = (pixels % size).float(), (pixels.div(size, rounding_mode="floor") % size).float()
    offset = torch.arange(len(inner), device=pixels.device)[:, None] * len(pixels)
    which, first, many = _meetings(front, bands, size, asked)
    for begin, end in pieces(many, len(inner)):
        again, at = expand(many[begin:end])
        at = first[begin:end].index_select(0, again) + at
        again = which[begin:end].index_select(0, again)
        x, y = (v.index_select(0, at) + inner[:, axis, None] for axis, v in enumerate((column, row)))
        _visit(front, again, x, y, offset + at, best, doubts)
    return _settle(front, best, doubts, keep)


def cast_points(
    front: Front,
    bands: Bands,
    pictures: int,
    size: int,
    keep: Keep,
    sample: Int[Tensor, " n"],
    x: Float[Tensor, " n"],
    y: Float[Tensor, " n"],
) -> Spot:
    """The same for n points (x, y) of pictures `sample`; a point outside the frame sees nothing. bands: those of the front."""
    best = torch.zeros(len(x), dtype=torch.long, device=x.device)
    doubts: list[Tensor] = []
    inside = ((x >= 0) & (x < size) & (y >= 0) & (y < size)).nonzero().flatten()
    cell = (sample.index_select(0, inside) * size + y.index_select(0, inside).long()) * size
    cell, order = (cell + x.index_select(0, inside).long()).int().sort(stable=True)
    inside = inside.index_select(0, order)
    asked = torch.bincount(cell, minlength=pictures * size * size)
    # In the order of their cells, the points between two columns of a row stand side by side.
    which, first, many = _meetings(front, bands, size, asked)
    for begin, end in pieces(many):
        again, inner = expand(many[begin:end])
        point = inside.index_select(0, first[begin:end].index_select(0, again) + inner)
        again = which[begin:end].index_select(0, again)
        _visit(front, again, x.index_select(0, point), y.index_select(0, point), point, best, doubts)
    return _settle(front, best, doubts, keep)


def _meetings(front: Front, bands: Bands, size: int, asked: Int[Tensor, " cells"]) -> tuple[Tensor, Tensor, Tensor]:
    """Of the bands in which something is asked: the quad, the first thing, and how many. asked: how many in each pixel."""
    before = torch.nn.functional.pad(asked.cumsum(0), (1, 0))
    found = []
    for which, row, low, high in zip(*(v.split(_CHUNK.get(before.device.type, 1 << 25)) for v in bands), strict=True):
        low, high = low.floor().clamp(0, size).long(), high.floor().clamp(-1, size - 1).long() + 1
        start = (front.sample.index_select(0, which) * size + row) * size
        first = before.index_select(0, start + low)
        many = (before.index_select(0, start + torch.maximum(low, high)) - first).clamp_min(0)
        some = many.nonzero().flatten()
        found.append([v.index_select(0, some) for v in (which, first, many)])
    return tuple(torch.cat(of) for of in zip(*found, strict=True))


def crowded(front: Front, size: int, sample: Int[Tensor, " n"], x: Float[Tensor, " n"], y: Float[Tensor, " n"]) -> Front:
    """The quads beside at least one of n points of pictures `sample`, each picture size × size."""
    inside = ((x >= 0) & (x < size) & (y >= 0) & (y < size)).nonzero().flatten()
    sample, x, y = (v.index_select(0, inside) for v in (sample, x.long(), y.long()))
    pictures = int(front.sample[-1]) + 1 if len(front.sample) else 0
    cell = (sample * size + y) * size + x
    table = torch.bincount(cell, minlength=pictures * size * size)[: pictures * size * size].view(-1, size, size)
    table = torch.nn.functional.pad(table.cumsum(1).cumsum(2), (1, 0, 1, 0)).flatten()
    left, top = ((v.amin(0) - 1e-2).floor().clamp(0, size).long() for v in (front.x, front.y))
    right, bottom = ((v.amax(0) + 1e-2).ceil().clamp(0, size).long() for v in (front.x, front.y))
    start, side = front.sample * (size + 1) * (size + 1), size + 1
    corners_ = (table.index_select(0, start + b * side + a) for b in (top, bottom) for a in (left, right))
    first, second, third, fourth = corners_
    return front.of((fourth - third - second + first > 0).nonzero().flatten())


def bands_of(front: Front, size: int, top: float = 0.0, bottom: float = 1.0) -> Bands:
    """Where quads reach between row + top and row + bottom of every row of a picture."""
    least, most = front.y.amin(0), front.y.amax(0)
    wide = (front.x.amax(0) > 0) & (front.x.amin(0) < size)
    low, high = (least - bottom).ceil().clamp(0, size), (most - top).floor().clamp(-1, size - 1)
    # Rounded outwards, so that rounding loses no row.
    low = (low - (low - least + bottom > 0.999).float()).clamp_min(0)
    many = ((high - low + 1).clamp_min(0) * wide).long()
    low = low.long()
    # Of narrow quads, the columns that they lie in are enough.
    left, right = front.x.amin(0) - 1e-3, front.x.amax(0) + 1e-3
    plump = (front.numbers[2].view(2, -1) < 1 / _SLIVER).all(0)  # false where the other half faces away
    narrow = (right - left < _NARROW) & plump
    some = (narrow & (many > 0)).nonzero().flatten()
    again, row = expand(many.index_select(0, some))
    which = some.index_select(0, again)
    made = [(which, row + low.index_select(0, which), left.index_select(0, which), right.index_select(0, which))]
    some = (~narrow & (many > 0)).nonzero().flatten()
    x, y = front.x.index_select(1, some), front.y.index_select(1, some)
    dx, dy = x.roll(-1, 0) - x, y.roll(-1, 0) - y
    # Selections are sums and products with 0 and 1, which are exact, and quicker than asking for each number.
    level = (dy.abs() < 1e-6).float()
    step = (1 - level) / (dy + level)
    above, below = torch.maximum(y, y.roll(-1, 0)), torch.minimum(y, y.roll(-1, 0))
    lines = torch.stack([x, y, dx, step, level, above, below], 1)
    many = many.index_select(0, some)
    for begin, end in pieces(many):
        again, row = expand(many[begin:end])
        at = again + begin
        which = some.index_select(0, at)
        row = row + low.index_select(0, which)
        upper, lower = row + (top - 1e-3), row + (bottom + 1e-3)
        left, right = torch.full_like(upper, torch.inf), torch.full_like(upper, -torch.inf)
        for x, y, dx, step, level, down, up in lines:
            x, y, dx, step, level, down, up = (v.index_select(0, at) for v in (x, y, dx, step, level, down, up))
            one, two = ((upper - y) * step).clamp(0, 1), ((lower - y) * step).clamp(0, 1)
            one, two = x + one * dx, x + torch.maximum(level, two) * dx
            misses = ((down < upper) | (up > lower)) * 1e9
            left = torch.minimum(left, torch.minimum(one, two) + misses)
            right = torch.maximum(right, torch.maximum(one, two) - misses)
        made.append((which, row, left - 1e-3, right + 1e-3))
    return Bands(*(torch.cat(v) for v in zip(*made, strict=True)))


def _visit(front: Front, which: Tensor, x: Tensor, y: Tensor, slot: Tensor, best: Tensor, doubts: list[Tensor]) -> None:
    """Try candidate points, (m) or (k, m), on m candidate quads, and note in `best` the nearest quad of each slot; what may be
    cut away there goes to `doubts` instead."""
    triangle, share, second = _solve(front, which, x, y)
    hit = _inside(share, second).flatten().nonzero().flatten()
    triangle, share, second, slot = (v.flatten().index_select(0, hit) for v in (triangle, share, second, slot))
    upper = triangle >= len(front.quad)
    which = triangle - upper.long() * len(front.quad)
    z, one, two = (v.index_select(0, triangle) for v in front.numbers[3:])
    depth = z + share * one + second * two
    # A positive float32 read as an integer keeps its order, so that depth and quad fit one number.
    code = ((depth.clamp_min(0).view(torch.int32).long() << 32) | (which + 1)) * (depth > 0)
    cut = front.cut.index_select(0, which)
    best.scatter_reduce_(0, slot, code * ~cut, "amax")
    cut = cut.nonzero().flatten()
    whole = torch.stack([slot.index_select(0, cut), code.index_select(0, cut), upper.index_select(0, cut).long()])
    doubts.append(whole)
    doubts.append(torch.stack([share.index_select(0, cut), second.index_select(0, cut)]))


def _settle(front: Front, best: Tensor, doubts: list[Tensor], keep: Keep) -> Spot:
    """Ask of the quads in doubt that would be the nearest whether they are there."""
    if doubts:
        slot, code, upper = torch.cat(doubts[::2], dim=1)
        some = (code > best.index_select(0, slot)).nonzero().flatten()
        slot, code, upper = (v.index_select(0, some) for v in (slot, code, upper))
        share, second = torch.cat(doubts[1::2], dim=1).index_select(1, some)
        which = (code & (2**32 - 1)) - 1
        sample, quad = front.sample.index_select(0, which), front.quad.index_select(0, which)
        point = blend(front.own, sample, corners(quad, upper > 0), torch.stack([1 - share - second, share, second]))
        there = keep(sample, OWNER.to(point.device).index_select(0, quad), point)
        best.scatter_reduce_(0, slot, code * there, "amax")
    which = (best & (2**32 - 1)) - 1
    depth = (best >> 32).to(torch.int32).view(torch.float32)
    return Spot(which, torch.where(which < 0, -torch.inf, depth))


def _solve(front: Front, which: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """On which triangle of its quad each point lies, and the shares of corner 1 or 3 and of corner 2."""
    x0, y0, x2, y2 = (v.index_select(0, which) for v in front.base)
    x, y = x - x0, y - y0
    side = y2 * x - x2 * y
    triangle = which + (side > 0).long() * len(front.quad)
    dx, dy, inverse = (v.index_select(0, triangle.flatten()).view_as(side) for v in front.numbers[:3])
    return triangle, side.abs() * inverse, (dy * x - dx * y) * inverse


def _inside(share: Tensor, second: Tensor) -> Tensor:
    return (share >= -_SLACK) & (second >= -_SLACK) & (share + second <= 1 + _SLACK)


def pieces(many: Tensor, points: int = 1) -> list[tuple[int, int]]:
    """Ranges of rows with about as many candidates each, each of so many points; on a device with its own memory, few."""
    total = many.cumsum(0)
    limit = _CHUNK.get(many.device.type, 1 << 25) // points
    if not len(many) or total[-1] <= limit:
        return [(0, len(many))]
    edges = torch.searchsorted(total, torch.arange(limit, int(total[-1]), limit, device=many.device)).tolist()
    edges = sorted({0, *edges, len(many)})
    return list(zip(edges[:-1], edges[1:], strict=True))


def expand(many: Tensor) -> tuple[Tensor, Tensor]:
    """For counts (2, 3): (0, 0, 1, 1, 1) and (0, 1, 0, 1, 2)."""
    which = torch.repeat_interleave(torch.arange(len(many), device=many.device), many)
    start = many.cumsum(0) - many
    return which, torch.arange(len(which), device=many.device) - start.index_select(0, which)


def locate(
    front: Front, which: Int[Tensor, " n"], x: Float[Tensor, " n"], y: Float[Tensor, " n"]
) -> tuple[Int[Tensor, "3 n"], Float[Tensor, "3 n"]]:
    """Where points (x, y) lie on the quads that they see: three vertices and their shares."""
    triangle, share, second = _solve(front, which, x, y)
    vertex = corners(front.quad.index_select(0, which), triangle >= len(front.quad))
    return vertex, torch.stack([1 - share - second, share, second])
