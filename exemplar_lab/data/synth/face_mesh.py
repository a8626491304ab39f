"""The surface of a portrait as grids of small quads, and what each point of the picture sees of it.

Every layer (head, neck and shoulders, ears, eyeballs, mouth, hair, glasses) is a grid over its own coordinates: around and
along the axis of the head for the large ones. A quad is two triangles, and on a triangle the way from the picture to the surface
and back is affine: the truth is exact however the face smiles, and a nose may stick out of the cheek that it hides. All numbers
per vertex, per triangle and per pixel come from + − × ÷ √ and comparisons, which round alike in every batch.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class Grid(NamedTuple):
    """A layer of rows × columns vertices; seen from outside, columns run to the right and rows upwards.

    closed: the last column lies on the first. both: it is seen from inside too. twin: the layer on the other side, or itself,
    mirrored; a layer and its twin differ in the sign of x. cut: parts of it are cut away by `Keep`.
    """

    rows: int
    columns: int
    closed: bool = False
    both: bool = False
    twin: str = ""
    cut: bool = False


GRIDS = {
    "head": Grid(54, 65, closed=True, cut=True),
    "neck": Grid(19, 33, closed=True),
    "ear_right": Grid(6, 17, closed=True, twin="ear_left", both=True),
    "ear_left": Grid(6, 17, closed=True, twin="ear_right", both=True),
    "eye_right": Grid(9, 9, twin="eye_left"),
    "eye_left": Grid(9, 9, twin="eye_right"),
    "mouth": Grid(7, 9),
    "cap": Grid(26, 65, closed=True, cut=True),
    "drape": Grid(20, 41, both=True, cut=True),
    "bun": Grid(11, 17, closed=True),
    "rim_right": Grid(2, 33, closed=True, twin="rim_left", both=True),
    "rim_left": Grid(2, 33, closed=True, twin="rim_right", both=True),
    "bridge": Grid(2, 7, both=True),
    "arm_right": Grid(2, 7, twin="arm_left", both=True),
    "arm_left": Grid(2, 7, twin="arm_right", both=True),
}
MESHES = tuple(GRIDS)
NUMBER = {name: i for i, name in enumerate(MESHES)}
START: dict[str, int] = {}
"""The first vertex of each layer."""
_total = 0
for _name, _grid in GRIDS.items():
    START[_name] = _total
    _total += _grid.rows * _grid.columns
VERTICES = _total


def _build() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    quads, owner, mirror = [], [], torch.empty(VERTICES, dtype=torch.long)
    for name, grid in GRIDS.items():
        at = START[name] + torch.arange(grid.rows * grid.columns).view(grid.rows, grid.columns)
        a, b, c, d = at[:-1, :-1], at[:-1, 1:], at[1:, 1:], at[1:, :-1]
        # The diagonal leans to the other side on the other half, so that mirrored points lie on mirrored triangles.
        half = torch.arange(grid.columns - 1) < (grid.columns - 1) // 2
        if grid.twin:
            half = half & False
            mirror[at] = START[grid.twin] + at - START[name]
        else:
            mirror[at] = at.flip(1)
        quad = torch.where(half[:, None], torch.stack([b, c, d, a], -1), torch.stack([a, b, c, d], -1)).flatten(0, 1)
        if name.endswith("left"):  # the mirrored layer of a right one: the same vertices, seen in a mirror
            quad = quad[:, [0, 3, 2, 1]]
        sides = [quad, quad[:, [0, 3, 2, 1]]] if grid.both else [quad]
        for side in sides:
            quads.append(side)
            owner.append(torch.full((len(side),), NUMBER[name]))
    quads, owner = torch.cat(quads), torch.cat(owner)
    cut = torch.tensor([GRIDS[name].cut for name in MESHES])[owner]
    return quads, owner, mirror, cut


QUADS, OWNER, MIRROR, CUT = _build()
"""Corners of each quad, its layer; the mirrored vertex of each vertex; quads of layers that are cut. A quad is split between
its corners 0 and 2, and seen when its corners run anticlockwise."""

Keep = Callable[[Int[Tensor, " n"], Int[Tensor, " n"], Float[Tensor, "3 n"]], Bool[Tensor, " n"]]
"""Whether n points are there: (sample, layer, where on the layer) -> True; False where the layer is cut away."""

_SLACK = 1e-5
"""How far outside a triangle a point may lie, as a share of its height: what rounding takes away where two triangles meet."""


class Spot(NamedTuple):
    """What n points of pictures see: the quad, −1 for none, and the depth, in pixels towards the viewer, −inf for none."""

    quad: Int[Tensor, " n"]
    depth: Float[Tensor, " n"]


class _Candidates(NamedTuple):
    sample: Tensor
    quad: Tensor
    numbers: Tensor
    low_x: Tensor
    low_y: Tensor
    wide: Tensor
    many: Tensor


def _candidates(posed: Tensor, on: Tensor, size: int, grid: bool) -> _Candidates:
    """The quads that face the viewer inside the frame, with the numbers that the test of a point needs."""
    quads = QUADS.to(posed.device)
    corner = posed[:, :, quads]  # b 3 q 4
    x, y, z = corner.unbind(1)
    x0, y0 = x[..., 0], y[..., 0]
    dx, dy = x[..., 1:] - x0[..., None], y[..., 1:] - y0[..., None]
    first = dy[..., 0] * dx[..., 1] - dx[..., 0] * dy[..., 1]
    second = dy[..., 1] * dx[..., 2] - dx[..., 1] * dy[..., 2]
    low_x, high_x, low_y, high_y = x.amin(-1), x.amax(-1), y.amin(-1), y.amax(-1)
    if grid:
        low_x, low_y, high_x, high_y = (
            (low_x - 0.5).ceil(),
            (low_y - 0.5).ceil(),
            (high_x - 0.5).floor(),
            (high_y - 0.5).floor(),
        )
    else:
        low_x, low_y, high_x, high_y = low_x.floor(), low_y.floor(), high_x.floor(), high_y.floor()
    low_x, low_y = low_x.clamp(-1, size), low_y.clamp(-1, size)
    wide = (high_x.clamp(-1, size - 1) - low_x.clamp_min(0) + 1).clamp_min(0)
    high = (high_y.clamp(-1, size - 1) - low_y.clamp_min(0) + 1).clamp_min(0)
    low_x, low_y = low_x.clamp_min(0), low_y.clamp_min(0)
    faces = ((first > 1e-6) | (second > 1e-6)) & on[:, OWNER.to(posed.device)] & (wide * high > 0)
    sample, quad = faces.nonzero().unbind(1)
    at = sample * len(quads) + quad
    dx, dy, dz = dx.flatten(0, 1), dy.flatten(0, 1), (z[..., 1:] - z[..., :1]).flatten(0, 1)
    columns = [x0.flatten(), y0.flatten(), *(v[:, k] for k in range(3) for v in (dx, dy))]
    columns += [torch.where(v > 1e-6, 1 / v, torch.nan).flatten() for v in (first, second)]
    columns += [z[..., 0].flatten(), *dz.unbind(1)]
    numbers = torch.stack([v.index_select(0, at) for v in columns])
    wide, high, low_x, low_y = (v.flatten().index_select(0, at).long() for v in (wide, high, low_x, low_y))
    return _Candidates(sample, quad, numbers, low_x, low_y, wide, wide * high)


def _with_points(found: _Candidates, table: Tensor, size: int) -> _Candidates:
    """The candidates in whose rectangle there are points; table: how many lie above and left of each corner of a cell."""
    first = (found.sample * (size + 1) + found.low_y) * (size + 1) + found.low_x
    high = found.many.div(found.wide, rounding_mode="floor") * (size + 1)
    left, right = table.index_select(0, first), table.index_select(0, first + found.wide)
    many = table.index_select(0, first + high + found.wide) - table.index_select(0, first + high) - right + left
    at = (many > 0).nonzero().flatten()
    return _Candidates(*(v.index_select(-1, at) for v in found))


def _solve(numbers: Tensor | list[Tensor], x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
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


def _visit(
    found: _Candidates, which: Tensor, x: Tensor, y: Tensor, slot: Tensor, best: Tensor, coordinates: Tensor, keep: Keep
) -> None:
    """Try candidate points on candidate quads, and note in `best` the nearest quad of each slot."""
    upper, share, second = _solve(found.numbers[:10].index_select(1, which), x, y)
    hit = _inside(share, second).nonzero().flatten()
    upper, share, second, which, slot = (v.index_select(0, hit) for v in (upper, share, second, which, slot))
    z, one, two, three = found.numbers[10:].index_select(1, which)
    depth = z + share * torch.where(upper, three, one) + second * two
    quad, sample = found.quad.index_select(0, which), found.sample.index_select(0, which)
    cut = CUT.to(x.device).index_select(0, quad).nonzero().flatten()
    if len(cut):
        quad_, upper_, share_, second_, sample_ = (v.index_select(0, cut) for v in (quad, upper, share, second, sample))
        point = blend(coordinates, sample_, corners(quad_, upper_), torch.stack([1 - share_ - second_, share_, second_]))
        there = keep(sample_, OWNER.to(x.device).index_select(0, quad_), point)
        depth = depth.index_copy(0, cut, torch.where(there, depth.index_select(0, cut), -1.0))
    # A positive float32 read as an integer keeps its order, so that depth and quad fit one number.
    code = (depth.clamp_min(0).view(torch.int32).long() << 32) | (quad + 1)
    best.scatter_reduce_(0, slot, torch.where(depth > 0, code, 0), "amax")


def _spots(best: Tensor) -> Spot:
    quad = (best & (2**32 - 1)) - 1
    depth = (best >> 32).to(torch.int32).view(torch.float32)
    return Spot(quad, torch.where(quad < 0, -torch.inf, depth))


_CHUNK = {"cpu": 1 << 17}


def _pieces(many: Tensor) -> list[tuple[int, int]]:
    """Ranges of candidates whose points fit the cache of a processor; on a device with its own memory, few of them."""
    total = many.cumsum(0)
    limit = _CHUNK.get(many.device.type, 1 << 25)
    if not len(many) or total[-1] <= limit:
        return [(0, len(many))]
    edges = torch.searchsorted(total, torch.arange(limit, int(total[-1]), limit, device=many.device)).tolist()
    edges = sorted({0, *edges, len(many)})
    return list(zip(edges[:-1], edges[1:], strict=True))


def cast_pixels(
    posed: Float[Tensor, "b 3 v"], coordinates: Float[Tensor, "b 3 v"], on: Bool[Tensor, "b m"], size: int, keep: Keep
) -> Spot:
    """What the centre of every pixel of b pictures sees; n = b · size².

    posed: x, y in pixels and depth, positive, growing towards the viewer. coordinates: where each vertex lies on its layer,
    for `keep`. on: which layers a sample has.
    """
    found = _candidates(posed, on, size, True)
    best = torch.zeros(len(posed) * size * size, dtype=torch.long, device=posed.device)
    for first, last in _pieces(found.many):
        which, x, y, slot = _cells(found, first, last, size)
        _visit(found, which, x + 0.5, y + 0.5, slot, best, coordinates, keep)
    return _spots(best)


def cast_points(
    posed: Float[Tensor, "b 3 v"],
    coordinates: Float[Tensor, "b 3 v"],
    on: Bool[Tensor, "b m"],
    size: int,
    keep: Keep,
    sample: Int[Tensor, " n"],
    x: Float[Tensor, " n"],
    y: Float[Tensor, " n"],
) -> Spot:
    """The same for n points (x, y) of pictures `sample`; a point outside the frame sees nothing."""
    best = torch.zeros(len(x), dtype=torch.long, device=posed.device)
    inside = ((x >= 0) & (x < size) & (y >= 0) & (y < size)).nonzero().flatten()
    cell = (sample[inside] * size + y[inside].long()) * size + x[inside].long()
    cell, order = cell.sort(stable=True)
    order = inside[order]
    count = torch.bincount(cell, minlength=len(posed) * size * size)
    start = count.cumsum(0) - count
    found = _candidates(posed, on, size, False)
    table = torch.nn.functional.pad(count.view(-1, size, size).cumsum(1).cumsum(2), (1, 0, 1, 0)).flatten()
    found = _with_points(found, table, size)
    for first, last in _pieces(found.many):
        which, _, _, place = _cells(found, first, last, size)
        many = count.index_select(0, place)
        again, inner = _expand(many)
        which, place = which.index_select(0, again), place.index_select(0, again)
        point = order.index_select(0, start.index_select(0, place) + inner)
        _visit(found, which, x.index_select(0, point), y.index_select(0, point), point, best, coordinates, keep)
    return _spots(best)


def _cells(found: _Candidates, first: int, last: int, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """All cells of the rectangles of candidates first … last: whose they are, x, y, and their number in the batch."""
    which, inner = _expand(found.many[first:last])
    wide, low_x, low_y, sample = (
        v[first:last].index_select(0, which) for v in (found.wide, found.low_x, found.low_y, found.sample)
    )
    row = inner.div(wide, rounding_mode="floor")
    x, y = low_x + inner - row * wide, low_y + row
    return which + first, x, y, (sample * size + y) * size + x


def _expand(many: Tensor) -> tuple[Tensor, Tensor]:
    """For counts (2, 3): (0, 0, 1, 1, 1) and (0, 1, 0, 1, 2)."""
    which = torch.repeat_interleave(torch.arange(len(many), device=many.device), many)
    start = many.cumsum(0) - many
    return which, torch.arange(len(which), device=many.device) - start[which]


def corners(quad: Int[Tensor, " n"], upper: Bool[Tensor, " n"]) -> Int[Tensor, "3 n"]:
    """The vertices of the triangles on which points lie, in the order of their shares."""
    quads = QUADS.to(quad.device).T
    zero, one, two, three = (quads[k][quad] for k in range(4))
    return torch.stack([zero, torch.where(upper, three, one), two])


def blend(
    values: Float[Tensor, "b c v"], sample: Int[Tensor, " n"], vertex: Int[Tensor, "3 n"], share: Float[Tensor, "3 n"]
) -> Float[Tensor, "c n"]:
    """Values of vertices carried to points of triangles."""
    total = values.shape[2]
    flat = values.movedim(1, 0).flatten(1)
    at = sample * total + vertex
    first, second, third = (flat.index_select(1, at[k]) * share[k] for k in range(3))
    return first + second + third


def locate(
    posed: Float[Tensor, "b 3 v"],
    sample: Int[Tensor, " n"],
    quad: Int[Tensor, " n"],
    x: Float[Tensor, " n"],
    y: Float[Tensor, " n"],
) -> tuple[Int[Tensor, "3 n"], Float[Tensor, "3 n"]]:
    """Where points (x, y) lie on the quads that they see: three vertices and their shares."""
    at = (sample * posed.shape[2] + QUADS.to(quad.device).T[:, quad]).flatten()
    px, py = (posed[:, axis].flatten().index_select(0, at).view(4, -1) for axis in (0, 1))
    dx, dy = px[1:] - px[0], py[1:] - py[0]
    first, second = dy[0] * dx[1] - dx[0] * dy[1], dy[1] * dx[2] - dx[1] * dy[2]
    numbers = [px[0], py[0], dx[0], dy[0], dx[1], dy[1], dx[2], dy[2]]
    upper, share, second = _solve([*numbers, *(torch.where(v > 1e-6, 1 / v, torch.nan) for v in (first, second))], x, y)
    return corners(quad, upper), torch.stack([1 - share - second, share, second])


def upper_of(quad: Int[Tensor, " n"], vertex: Int[Tensor, "3 n"]) -> Float[Tensor, " n"]:
    """1 for the triangle of corners 0, 1, 2 of a quad, −1 for that of corners 0, 3, 2."""
    return (QUADS.to(quad.device)[:, 1][quad] == vertex[1]).float() * 2 - 1


def facing(
    posed: Float[Tensor, "b 3 v"], sample: Int[Tensor, " n"], vertex: Int[Tensor, "3 n"], sign: Float[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """Twice the area of triangles in the picture, positive when they face the viewer; `sign` is that of `upper_of`."""
    at = sample * posed.shape[2] + vertex
    x, y = (posed[:, axis].flatten()[at] for axis in (0, 1))
    return ((y[1] - y[0]) * (x[2] - x[0]) - (x[1] - x[0]) * (y[2] - y[0])) * sign


def areas_of(
    posed: Float[Tensor, "b 3 v"], on: Bool[Tensor, "b m"], layers: list[int]
) -> tuple[Float[Tensor, "b q"], Float[Tensor, "b q"]]:
    """Areas in the picture of the quads of some layers that face the viewer, 0 for others, and x of their middles."""
    x, y = (posed[:, axis][:, QUADS.to(posed.device)] for axis in (0, 1))
    cross = (y[..., 2] - y[..., 0]) * (x[..., 1] - x[..., 3]) - (x[..., 2] - x[..., 0]) * (y[..., 1] - y[..., 3])
    owner = OWNER.to(posed.device)
    wanted = on[:, owner] & torch.isin(owner, torch.tensor(layers, device=posed.device))
    return (-cross).clamp_min(0) * wanted, (x[..., 0] + x[..., 1] + x[..., 2] + x[..., 3]) * 0.25


def normals(posed: Float[Tensor, "b 3 v"]) -> Float[Tensor, "b 3 v"]:
    """Directions across the surface at its vertices, unit length, x right, y down, z towards the viewer."""
    result = torch.empty_like(posed)
    for name, grid in GRIDS.items():
        part = slice(START[name], START[name] + grid.rows * grid.columns)
        at = posed[:, :, part].unflatten(2, (grid.rows, grid.columns))
        if grid.closed:
            right = torch.cat([at[..., 1:], at[..., 1:2]], -1) - torch.cat([at[..., -2:-1], at[..., :-1]], -1)
        else:
            right = torch.cat([at[..., 1:], at[..., -1:]], -1) - torch.cat([at[..., :1], at[..., :-1]], -1)
        up = torch.cat([at[:, :, 1:], at[:, :, -1:]], 2) - torch.cat([at[:, :, :1], at[:, :, :-1]], 2)
        (rx, ry, rz), (ux, uy, uz) = right.unbind(1), up.unbind(1)
        across = torch.stack([uy * rz - uz * ry, uz * rx - ux * rz, ux * ry - uy * rx], 1)
        if name.endswith("left"):
            across = -across
        length = (across * across).sum(1, keepdim=True).sqrt().clamp_min(1e-9)
        result[:, :, part] = (across / length).flatten(2)
    return result
