"""Brush strokes, thousands at once: layers of blocks with one stroke in each, so that strokes of a layer never touch.

A stroke lies anywhere in its block, as far as it stays inside; every layer shifts its blocks by another amount, and covers the
layers below. So the order of strokes is that of their layers, and each layer is drawn by a dozen operations on the whole batch.
Lengths are fractions of the image side.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.data.synth.lattice import hashed, noise, noise_map


class Level(NamedTuple):
    """Strokes of one size.

    blocks: number of blocks across the image; a stroke of length 1 is up to 0.84 of a block long. layers: how many lie on each
    other. error: how far from the picture (sum over channels) the layers below must be for a stroke to be laid. detail: cells
    across the picture that colours are read from.
    """

    blocks: int
    layers: int
    error: float
    detail: int


class Brush(NamedTuple):
    """How strokes look, one number per sample, (b,). length, width: relative to what a level says. jitter: of colours and
    directions, 0 … 1. edge: softness of the border in pixels. opacity: 0 … 1."""

    length: Tensor
    width: Tensor
    jitter: Tensor
    edge: float
    opacity: Tensor


class Painted(NamedTuple):
    """A canvas and, for each pixel, the trace of the topmost stroke: the stroke's number 1 … 2000 plus how far across it the
    pixel lies, 0 … 1; 0 where there is none."""

    canvas: Float[Tensor, "b 3 h w"]
    trace: Float[Tensor, "b h w"]


def pooled(image: Float[Tensor, "b c h w"], cells: int) -> Float[Tensor, "b c n n"]:
    """The means over cells × cells squares; a smaller image stays as it is."""
    size = image.shape[-1]
    if size <= cells:
        return image
    return F.adaptive_avg_pool2d(image, cells) if size % cells else F.avg_pool2d(image, size // cells)


def smooth(value: Float[Tensor, "b c h w"], times: int) -> Float[Tensor, "b c h w"]:
    """A binomial blur of width 3, `times` over; σ² = times / 2 pixels."""
    for _ in range(times):
        value = F.pad(value, (1, 1, 0, 0), mode="replicate")
        value = (value[..., :-2] + value[..., 2:]) * 0.25 + value[..., 1:-1] * 0.5
        value = F.pad(value, (0, 0, 1, 1), mode="replicate")
        value = (value[..., :-2, :] + value[..., 2:, :]) * 0.25 + value[..., 1:-1, :] * 0.5
    return value


def directions(image: Float[Tensor, "b 3 h w"], seed: Int[Tensor, " b"], cells: int = 64) -> Float[Tensor, "b 2 n n"]:
    """Where strokes should lead: cosine and sine of twice the angle, along edges where there are any (from the structure
    tensor), along slow currents where there are none."""
    small = F.pad(smooth(pooled(image, cells), 1), (1, 1, 1, 1), mode="replicate")
    across = small[:, :, 1:-1, 2:] - small[:, :, 1:-1, :-2]
    down = small[:, :, 2:, 1:-1] - small[:, :, :-2, 1:-1]
    product = torch.stack([across * across - down * down, across * down * 2], dim=2)
    product = smooth(product[:, 0] + product[:, 1] + product[:, 2], 5)
    at = (torch.arange(product.shape[-1], device=image.device) + 0.5) / product.shape[-1] * 2.2
    seed = seed[:, None, None]
    currents = torch.stack([noise(seed, at[None, None, :], at[None, :, None], salt) - 0.5 for salt in (31, 32)], dim=1)
    lead = currents * 0.004 - product
    return lead / (lead[:, :1] * lead[:, :1] + lead[:, 1:] * lead[:, 1:]).sqrt().clamp_min(1e-9)


def begin(canvas: Float[Tensor, "b 3 h w"]) -> Painted:
    return Painted(canvas, torch.zeros_like(canvas[:, 0]))


def lay(
    painted: Painted,
    picture: Float[Tensor, "b 3 h w"],
    lead: Float[Tensor, "b 2 n n"],
    level: Level,
    brush: Brush,
    seed: Int[Tensor, " b"],
) -> Painted:
    """Strokes of one level on what is painted so far, in the colours of `picture`."""
    samples, size, device = len(seed), picture.shape[-1], seed.device
    side = max(2, -(-size // level.blocks))
    count = -(-size // side) + 1
    whole = (count + 1) * side
    room = (side, whole - side - size) * 2
    canvas = F.pad(torch.cat([painted.canvas, painted.trace[:, None]], dim=1), room).movedim(1, 0).flatten(1)
    at = torch.arange(side, device=device)
    inner = (at[:, None] * whole + at).flatten()
    down, across = ((v + 0.5)[:, None] / side for v in (at.repeat_interleave(side), at.repeat(side)))
    rough = _roughness(side, level.blocks, device)

    for layer in _strokes(painted, picture, lead, level, brush, seed, count, side):
        corner, (x, y, cos, sin, length, width, opacity, number, *colour) = layer
        right, below = across - x, down - y
        along, off = right * cos + below * sin, below * cos - right * sin
        # Bristles end where they end: the tips are frayed by a fine noise.
        beyond = along.abs_().add_(rough).sub_(length - width).clamp_min_(0)
        distance = beyond.mul_(beyond).add_(off * off).sqrt_()
        cover = (width - distance).mul_(side / brush.edge).add_(0.5).clamp_(0, 1).mul_(opacity)
        # No two strokes of a layer share a pixel: those they cover are read, mixed and written back all at once.
        pixel, which = (cover > 0).nonzero(as_tuple=True)
        index = inner.index_select(0, pixel) + corner.index_select(0, which)
        hit = pixel * len(corner) + which
        mark = off.mul_(0.5 / width).add_(number + 0.5)
        share, mark = (v.flatten().index_select(0, hit) for v in (cover, mark))
        under = canvas.index_select(1, index)
        under[:3] += (torch.stack(colour).index_select(1, which) - under[:3]).mul_(share)
        under[3] = torch.where(share > 0.5, mark, under[3])
        canvas.index_copy_(1, index, under)
    canvas = canvas.unflatten(1, (samples, whole, whole))[..., side : side + size, side : side + size].movedim(0, 1)
    return Painted(canvas[:, :3].contiguous(), canvas[:, 3].contiguous())


def bristles(painted: Painted, seed: Int[Tensor, " b"], relief: Float[Tensor, " b"]) -> Float[Tensor, "b 3 h w"]:
    """The canvas with the furrows that bristles leave, lit from the upper left; `relief` is how thick the paint is, 0 … 1."""
    size = painted.canvas.shape[-1]
    number = painted.trace.floor()
    across = painted.trace - number
    seed = seed[:, None, None]
    at = across * 6
    left = at.floor()
    u = at - left
    u = u * u * (3 - 2 * u)
    column, row = left.int(), number.int()
    first = hashed(seed, column, row)
    furrow = first + (hashed(seed, column + 1, row) - first) * u
    # Paint piles up along both edges of a stroke.
    rim = (across - 0.5).abs() * 2
    thick = torch.where(number > 0, 0.55 * furrow + 0.45 * rim * rim * rim + 0.25 * hashed(seed, row, row, 3), 0.3)
    thick = smooth(thick[:, None], 1)[:, 0] if size >= 128 else thick
    slope = F.pad(thick, (1, 1, 1, 1), mode="replicate")
    slope = slope[:, 1:-1, 1:-1] * 2 - slope[:, :-2, 1:-1] - slope[:, 1:-1, :-2]
    strength = (relief * min(1.0, size / 200))[:, None, None]
    lit = slope.clamp(-1, 1) * 0.22 * strength
    shine = (slope - 0.3).clamp(0, 1) * 0.2 * strength
    tone = 1 + lit + 0.16 * strength * (furrow - 0.5)
    return (painted.canvas * tone[:, None] + shine[:, None]).clamp(0, 1)


def _strokes(
    painted: Painted, picture: Tensor, lead: Tensor, level: Level, brush: Brush, seed: Tensor, count: int, side: int
) -> Iterator[tuple[Int[Tensor, " n"], Float[Tensor, "11 n"]]]:
    """The strokes of each layer: the pixel where the block of each begins, and x, y, cosine, sine, half length, half width,
    opacity, number, red, green, blue; lengths in blocks. Strokes that the picture does not need are left out."""
    samples, size, device = len(seed), picture.shape[-1], seed.device
    shifts = torch.tensor(_shifts(level.layers, side), device=device)
    shape = (level.layers, samples, count, count)
    place = torch.arange(level.layers * samples * count * count, device=device)
    opacity = brush.opacity[None, :, None, None].expand(shape).flatten()
    stroke = _blocks(place, samples, count, seed)
    image_x, image_y = _in_image(stroke, brush, level, shifts, side, size)[:2]
    if level.error > 0:
        # Where the canvas is wrong by more than jitter made it, and where the picture has details of this size.
        wrong = pooled((picture - painted.canvas).abs().sum(1, keepdim=True), 2 * level.blocks)
        small = pooled(picture, 4 * level.blocks)
        fine = pooled((small - smooth(small, 4)).abs().sum(1, keepdim=True), 2 * level.blocks)
        wrong = torch.maximum(wrong - 0.25 * brush.jitter[:, None, None, None], fine * 1.3)
        wrong = torch.maximum(wrong, smooth(wrong, 1))
        opacity = opacity * ((_read(wrong, stroke.sample, image_x, image_y)[0] / level.error - 0.8) * 4).clamp(0, 1)
        needed = (opacity > 0).nonzero().flatten()
        place, opacity = place[needed], opacity[needed]
        stroke = _blocks(place, samples, count, seed)
    image_x, image_y, x, y, length, width = _in_image(stroke, brush, level, shifts, side, size)

    wobble = brush.jitter[stroke.sample]
    turn = _read(lead, stroke.sample, image_x, image_y)
    double = torch.stack([turn[axis] + (stroke.random(5 + axis, level) - 0.5) * 1.6 * wobble for axis in (0, 1)])
    double = double / (double[0] * double[0] + double[1] * double[1]).sqrt().clamp_min(1e-6)
    cos, sin = (((1 + sign * double[0]) * 0.5).clamp_min(0).sqrt() for sign in (1, -1))
    sin = torch.where(double[1] < 0, -sin, sin)
    # Lighter or darker, warmer or cooler: a painter never mixes the same colour twice.
    colour = _read(pooled(picture, level.detail), stroke.sample, image_x, image_y)
    light = 1 + (stroke.random(7, level) - 0.5) * 0.34 * wobble
    tint = [(stroke.random(8 + channel, level) - 0.5) * 0.12 * wobble for channel in range(3)]
    mixed = [(colour[channel] * light + tint[channel]).clamp(0, 1) for channel in range(3)]
    number = 1 + (stroke.random(12, level) * 2000).floor()
    numbers = torch.stack([x, y, cos, sin, length, width, opacity, number, *mixed])

    whole = (count + 1) * side
    row, column = (of * side + shifts[stroke.layer, axis] for of, axis in ((stroke.row, 1), (stroke.column, 0)))
    corner = stroke.sample * whole * whole + row * whole + column
    per_layer = torch.bincount(stroke.layer, minlength=level.layers).tolist()
    yield from zip(corner.split(per_layer), numbers.split(per_layer, dim=1), strict=True)


class _Blocks(NamedTuple):
    """Which blocks are meant, (n,) each."""

    layer: Tensor
    sample: Tensor
    row: Tensor
    column: Tensor
    seed: Tensor

    def random(self, salt: int, level: Level) -> Float[Tensor, " n"]:
        return hashed(self.seed, self.column.int(), self.row.int(), salt + 100 * level.blocks)


def _blocks(place: Int[Tensor, " n"], samples: int, count: int, seed: Int[Tensor, " b"]) -> _Blocks:
    """`place` counts through layers, samples, rows and columns."""
    column, rest = place % count, place.div(count, rounding_mode="floor")
    row, rest = rest % count, rest.div(count, rounding_mode="floor")
    sample, layer = rest % samples, rest.div(samples, rounding_mode="floor")
    return _Blocks(layer, sample, row, column, seed[sample] + layer.int() * 7919)


def _in_image(stroke: _Blocks, brush: Brush, level: Level, shifts: Tensor, side: int, size: int) -> tuple[Tensor, ...]:
    """x and y in the image (in sides) and in the block (in blocks), half length and half width (in blocks)."""
    length = (0.30 + 0.12 * stroke.random(1, level)) * brush.length[stroke.sample]
    width = (0.085 + 0.035 * stroke.random(2, level)) * brush.width[stroke.sample]
    length = torch.maximum(length, width * 1.3).clamp_max(0.47)
    x, y = (length + (1 - 2 * length) * stroke.random(salt, level) for salt in (3, 4))
    image_x = ((stroke.column + x) * side + shifts[stroke.layer, 0] - side) / size
    image_y = ((stroke.row + y) * side + shifts[stroke.layer, 1] - side) / size
    return image_x, image_y, x, y, length, width


def _shifts(layers: int, side: int) -> list[tuple[int, int]]:
    """How far the blocks of each layer are shifted, in pixels: multiples of the golden ratio and of √2 spread evenly."""
    return [(int(side * (0.618034 * i % 1)), int(side * (0.414214 * i + 0.3) % side)) for i in range(1, layers + 1)]


@lru_cache(maxsize=16)
def _roughness(side: int, salt: int, device: torch.device) -> Float[Tensor, "n 1"]:
    """Fine noise for the tips of strokes, over a block; strokes lie in it everywhere and turn every way."""
    return 0.10 * noise_map(torch.zeros(1, dtype=torch.int32, device=device), side, 110 / salt, 110 / salt, salt).reshape(-1, 1)


def _read(
    picture: Float[Tensor, "b c n m"], sample: Int[Tensor, " k"], x: Float[Tensor, " k"], y: Float[Tensor, " k"]
) -> Float[Tensor, "c k"]:
    """Bilinear, from points in sides; beyond the border the border repeats. Gathered, so that every batch rounds alike."""
    height, width = picture.shape[-2:]
    x, y = (x * width - 0.5).clamp(0, width - 1), (y * height - 0.5).clamp(0, height - 1)
    left, top = x.floor().clamp(max=width - 2), y.floor().clamp(max=height - 2)
    u, v = x - left, y - top
    flat = picture.movedim(1, 0).flatten(1)
    first = (top * width + left).long() + sample * (height * width)
    a, b, c, d = (flat.index_select(1, first + step) for step in (0, 1, width, width + 1))
    upper, lower = a + (b - a) * u, c + (d - c) * u
    return upper + (lower - upper) * v
