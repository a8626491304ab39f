"""Things that stand in a landscape, drawn once: outline as signed distance, tone, normal, and which paint goes where.

A sprite is a square of 128 texels, 8 numbers each: signed distance to the outline (in sides of the square, inside > 0), tone
(1 is neutral), normal to the right and down, and the shares of the paints 1 … 4; the rest is paint 0. Smaller copies follow
for things seen from far away.
"""

from functools import lru_cache

import numpy
import torch
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.data.synth.scenes import drawings as draw
from exemplar_lab.data.synth.scenes.noise import blend

SIDES = (128, 64, 32, 16)

KINDS = {
    "conifer": 5,
    "broadleaf": 6,
    "poplar": 3,
    "palm": 4,
    "bush": 5,
    "house": 6,
    "balloon": 4,
    "cloud": 10,
}
"""How many drawings there are of each kind; they follow one another in this order."""

FIRST = {name: sum(list(KINDS.values())[:i]) for i, name in enumerate(KINDS)}
COUNT = sum(KINDS.values())

BASE = 0.97
"""Where on the sprite, downwards, a thing touches the ground."""


def _distance(inside: numpy.ndarray, reach: int) -> numpy.ndarray:
    """Signed Euclidean distance to the outline in texels, right up to `reach`."""
    signed = []
    height, width = inside.shape
    for region, outer in ((inside, 0.0), (~inside, numpy.inf)):
        far = numpy.pad(numpy.where(region, numpy.inf, 0.0).astype(numpy.float32), reach, constant_values=outer)
        column = far[reach : reach + height].copy()
        for d in range(1, reach + 1):
            for at in (reach - d, reach + d):
                numpy.minimum(column, far[at : at + height] + numpy.float32(d * d), out=column)
        square = column[:, reach : reach + width].copy()
        for d in range(1, reach + 1):
            for at in (reach - d, reach + d):
                numpy.minimum(square, column[:, at : at + width] + numpy.float32(d * d), out=square)
        signed.append(numpy.minimum(numpy.sqrt(square), reach))
    return numpy.where(inside, signed[0] - 0.5, 0.5 - signed[1])


def _spread(planes: numpy.ndarray, inside: numpy.ndarray) -> numpy.ndarray:
    """Values outside the outline taken from near inside, so that a blurred edge shows no foreign colour."""
    weight = inside.astype(float)
    value = planes * weight
    total, share = value.copy(), weight.copy()
    for step in (1, 2, 4, 8, 16):
        for axis in (-2, -1):
            value = value + numpy.roll(value, step, axis) + numpy.roll(value, -step, axis)
            weight = weight + numpy.roll(weight, step, axis) + numpy.roll(weight, -step, axis)
        empty = share == 0
        total = numpy.where(empty, value, total)
        share = numpy.where(empty, weight, share)
    return total / numpy.maximum(share, 1e-9)


def _halve(planes: numpy.ndarray) -> numpy.ndarray:
    return (planes[:, ::2, ::2] + planes[:, 1::2, ::2] + planes[:, ::2, 1::2] + planes[:, 1::2, 1::2]) / 4


@lru_cache(maxsize=4)
def _atlas(device: str) -> Tensor:
    levels = [[] for _ in SIDES]
    for name, variants in KINDS.items():
        for variant in range(variants):
            canvas = getattr(draw, name)(variant)
            distance = _distance(canvas.inside, 24) / draw.SIDE
            planes = numpy.concatenate([distance[None], _spread(canvas.planes, canvas.inside)])
            for level in levels:
                planes = _halve(planes)
                level.append(numpy.pad(planes, ((0, 0), (0, 1), (0, 1)), mode="edge").transpose(1, 2, 0).reshape(-1, 8))
    table = numpy.concatenate([numpy.concatenate(level) for level in levels])
    return torch.from_numpy(numpy.round(table * 4096) / 4096).float().to(device)


def level_of(pixels: Float[Tensor, "..."]) -> Int[Tensor, "..."]:
    """Which copy to read when the square covers so many pixels on a side."""
    return (128 / pixels.double().clamp_min(1)).log2().round().long().clamp(0, len(SIDES) - 1)


@lru_cache(maxsize=4)
def _outlines(device: str) -> Tensor:
    return _atlas(device)[:, :1].contiguous()


@lru_cache(maxsize=4)
def extents(device: str) -> Float[Tensor, "count 4"]:
    """Left, top, right and bottom of what each drawing covers, with a little room for soft edges."""
    side = SIDES[0] + 1
    near = _atlas(device)[: COUNT * side * side, 0].reshape(COUNT, side, side) > -0.02
    index = torch.arange(side, device=near.device)
    edges = []
    for axis in (1, 2):
        seen = near.any(axis)
        edges.append((torch.where(seen, index, side).amin(1) / SIDES[0], (torch.where(seen, index, 0).amax(1) + 1) / SIDES[0]))
    return torch.stack([edges[0][0], edges[1][0], edges[0][1], edges[1][1]], dim=1).clamp(0, 1)


def sprite(
    which: Int[Tensor, " n"], level: Int[Tensor, " n"], u: Float[Tensor, " n"], v: Float[Tensor, " n"], outline: bool = False
) -> Float[Tensor, "c n"]:
    """The eight numbers of the drawings `which` at (u, v) in 0 … 1, right and down, read bilinearly; clamped outside.

    outline: the distance alone.
    """
    table = (_outlines if outline else _atlas)(str(u.device))
    sides = torch.tensor(SIDES, device=u.device)
    area = (sides + 1) * (sides + 1) * COUNT
    starts = area.cumsum(0) - area
    side = sides[level]
    x, y = (u * side - 0.5).clamp_min(0), (v * side - 0.5).clamp_min(0)
    x, y = torch.minimum(x, side - 1.0), torch.minimum(y, side - 1.0)
    left, top = x.floor(), y.floor()
    x, y = (x - left)[:, None], (y - top)[:, None]
    first = starts[level] + (which * (side + 1) + top.long()) * (side + 1) + left.long()
    upper = _between(table, first, x)
    return blend(upper, _between(table, first + (side + 1), x), y).T.contiguous()


def _between(table: Tensor, first: Tensor, share: Tensor) -> Tensor:
    return blend(table.index_select(0, first), table.index_select(0, first + 1), share)
