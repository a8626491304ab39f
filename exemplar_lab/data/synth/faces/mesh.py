"""The surface of a portrait as grids of small quads.

Every layer (head, neck and shoulders, ears, eyeballs, mouth, hair, glasses) is a grid over its own coordinates: around and
along the axis of the head for the large ones. A quad is two triangles, and on a triangle the way from picture to surface
and back is affine: the truth is exact however the face smiles, and a nose may stick out of the cheek that it hides. All numbers
per vertex, per triangle and per pixel come from + − × ÷ √ and comparisons, which round alike in every batch.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class Grid(NamedTuple):
    """A layer of rows × columns vertices; seen from outside, columns run to the right and rows upwards.

    closed: the last column lies on the first. both: it is seen from inside too. twin: the layer on the other side, or itself,
    mirrored; a layer and its twin differ in the sign of x. cut: parts of it are cut away.
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
    "cap": Grid(26, 65, closed=True, both=True, cut=True),
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


def _build() -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    quads, owner, inner, mirror = [], [], [], torch.empty(VERTICES, dtype=torch.long)
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
        for number, side in enumerate(sides):
            quads.append(side)
            owner.append(torch.full((len(side),), NUMBER[name]))
            inner.append(torch.full((len(side),), number == 1))
    quads, owner, inner = torch.cat(quads), torch.cat(owner), torch.cat(inner)
    cut = torch.tensor([GRIDS[name].cut for name in MESHES])[owner]
    return quads, owner, mirror, cut, inner


QUADS, OWNER, MIRROR, CUT, INNER = _build()
"""Corners of each quad, its layer; the mirrored vertex of each vertex; quads of layers that are cut, and those from inside.

A quad is split between its corners 0 and 2, and seen when its corners run anticlockwise."""
_TRIANGLES = torch.cat([QUADS[:, [0, 1, 2]], QUADS[:, [0, 3, 2]]]).T.contiguous()
"""Vertices of all lower triangles, then of all upper ones."""


def corners(quad: Int[Tensor, " n"], upper: Bool[Tensor, " n"]) -> Int[Tensor, "3 n"]:
    """The vertices of the triangles on which points lie, in the order of their shares."""
    return _TRIANGLES.to(quad.device).index_select(1, quad + upper.long() * len(QUADS))


def blend(
    values: Float[Tensor, "c bv"], sample: Int[Tensor, " n"], vertex: Int[Tensor, "3 n"], share: Float[Tensor, "3 n"]
) -> Float[Tensor, "c n"]:
    """Values of vertices carried to points of triangles; values: of all vertices of one sample after the other."""
    first, second, third = sample * VERTICES + vertex
    total = values.index_select(1, first).mul_(share[0])
    total += values.index_select(1, second).mul_(share[1])
    return total.add_(values.index_select(1, third).mul_(share[2]))


def flat(values: Float[Tensor, "b c v"]) -> Float[Tensor, "c bv"]:
    """Values as `blend` takes them."""
    return values.movedim(1, 0).flatten(1)


def upper_of(quad: Int[Tensor, " n"], vertex: Int[Tensor, "3 n"]) -> Float[Tensor, " n"]:
    """1 for the triangle of corners 0, 1, 2 of a quad, −1 for that of corners 0, 3, 2."""
    return (QUADS.to(quad.device)[:, 1][quad] == vertex[1]).float() * 2 - 1


def facing(
    places: Float[Tensor, "3 bv"], sample: Int[Tensor, " n"], vertex: Int[Tensor, "3 n"], sign: Float[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """Twice the area of triangles in the picture, positive when they face the viewer; `sign` is that of `upper_of`. places:
    posed vertices, `flat`."""
    at = (sample * VERTICES + vertex).flatten()
    x, y = (places[axis].index_select(0, at).view(3, -1) for axis in (0, 1))
    return ((y[1] - y[0]) * (x[2] - x[0]) - (x[1] - x[0]) * (y[2] - y[0])) * sign


def areas_of(
    posed: Float[Tensor, "b 3 v"], on: Bool[Tensor, "b q"], layers: list[int]
) -> tuple[Float[Tensor, "b q"], Float[Tensor, "b q"]]:
    """Areas in the picture of the quads of some layers that face the viewer, 0 for others, and x of their middles."""
    x, y = (posed[:, axis][:, QUADS.to(posed.device)] for axis in (0, 1))
    cross = (y[..., 2] - y[..., 0]) * (x[..., 1] - x[..., 3]) - (x[..., 2] - x[..., 0]) * (y[..., 1] - y[..., 3])
    owner = OWNER.to(posed.device)
    wanted = on & torch.isin(owner, torch.tensor(layers, device=posed.device))
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
