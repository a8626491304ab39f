"""Brush strokes, thousands at once: layers of blocks with one stroke in each, so that strokes of a layer never touch.

A stroke lies anywhere in its block, as far as it stays inside; every layer shifts its blocks by another amount, and covers the
layers below. So the order of strokes is that of their layers, and each layer is drawn by a dozen operations on the whole batch.
Lengths are fractions of the image side.
"""

from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.data.synth.paint_noise import hashed, noise


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
    """The means over cells × cells squares, whatever the size of the image."""
    return F.adaptive_avg_pool2d(image, cells)


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
    at = (torch.arange(cells, device=image.device) + 0.5) / cells * 2.2
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
    size = picture.shape[-1]
    side = max(2, -(-size // level.blocks))
    count = -(-size // side) + 1
    stroke = _strokes(painted, picture, lead, level, brush, seed, count, side)

    # Each block row and column of the canvas becomes an axis of its own; numbers of strokes are spread over their blocks.
    whole = (count + 1) * side
    room = (side, whole - side - size) * 2
    canvas = F.pad(painted.canvas, room)
    traces = F.pad(painted.trace, room)
    at = (torch.arange(side, device=seed.device) + 0.5) / side
    rough = _roughness(side * count, size, level.blocks, seed.device).unflatten(2, (count, side)).unflatten(1, (count, side))

    def spread(value: Tensor) -> Tensor:
        return value[..., :, None, :, None]

    for layer, (shift_x, shift_y) in enumerate(_shifts(level.layers, side)):
        x, y, cos, sin, length, width, opacity, number, *colour = (v[:, layer] for v in stroke)
        x, y = at - x[..., None], at[:, None] - y[:, :, None, :]  # b gh gw s, b gh s gw
        x, y = x[:, :, None], y[..., None]
        cos, sin, length, width = (spread(v) for v in (cos, sin, length, width))
        along, across = x * cos + y * sin, y * cos - x * sin
        # Bristles end where they end: the tips are frayed by a fine noise.
        beyond = along.abs_().add_(rough).sub_(length - width).clamp_min_(0)
        distance = beyond.mul_(beyond).add_(across * across).sqrt_()
        cover = (width - distance).mul_(side / brush.edge).add_(0.5).clamp_(0, 1).mul_(spread(opacity))
        window = (slice(shift_y, shift_y + count * side), slice(shift_x, shift_x + count * side))
        view = canvas[..., window[0], window[1]].unflatten(3, (count, side)).unflatten(2, (count, side))
        paint = torch.stack([spread(v) for v in colour], dim=1)
        view.add_((paint - view).mul_(cover[:, None]))
        trace = traces[..., window[0], window[1]].unflatten(2, (count, side)).unflatten(1, (count, side))
        mark = across.mul_(0.5 / width).add_(spread(number) + 0.5)
        trace.copy_(torch.where(cover > 0.5, mark, trace))
    inner = slice(side, side + size)
    return Painted(canvas[..., inner, inner].contiguous(), traces[..., inner, inner].contiguous())


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
) -> list[Float[Tensor, "b l gh gw"]]:
    """x, y, cosine, sine, half length, half width, opacity, number, red, green, blue; lengths in blocks."""
    size, device = picture.shape[-1], seed.device
    steps = torch.arange(count, device=device, dtype=torch.int32)
    layers = torch.arange(level.layers, device=device, dtype=torch.int32)[:, None, None]
    seed = seed[:, None, None, None] + layers * 7919

    def random(salt: int) -> Float[Tensor, "b l gh gw"]:
        return hashed(seed, steps, steps[:, None], salt + 100 * level.blocks)

    length = (0.30 + 0.12 * random(1)) * brush.length[:, None, None, None]
    width = (0.085 + 0.035 * random(2)) * brush.width[:, None, None, None]
    length = torch.maximum(length, width * 1.3).clamp_max(0.47)
    x, y = (length + (1 - 2 * length) * random(salt) for salt in (3, 4))
    shifts = torch.tensor(_shifts(level.layers, side), device=device)
    image_x, image_y = (
        (of[None, None] * side + at * side + shifts[None, :, axis, None, None] - side) / size
        for axis, (of, at) in enumerate(((steps[None, :], x), (steps[:, None], y)))
    )
    colour = _read(pooled(picture, level.detail), image_x, image_y)
    turn = _read(lead, image_x, image_y)
    wobble = brush.jitter[:, None, None, None]
    double = torch.stack([turn[:, axis] + (random(5 + axis) - 0.5) * 1.6 * wobble for axis in (0, 1)], dim=1)
    double = double / (double * double).sum(1, keepdim=True).sqrt().clamp_min(1e-6)
    cos = ((1 + double[:, 0]) * 0.5).clamp_min(0).sqrt()
    sin = ((1 - double[:, 0]) * 0.5).clamp_min(0).sqrt()
    sin = torch.where(double[:, 1] < 0, -sin, sin)

    opacity = brush.opacity[:, None, None, None].expand_as(x)
    if level.error > 0:
        # Where the canvas is wrong by more than jitter made it, and where the picture has details of this size.
        wrong = pooled((picture - painted.canvas).abs().sum(1, keepdim=True), 2 * level.blocks)
        small = pooled(picture, 4 * level.blocks)
        fine = pooled((small - smooth(small, 4)).abs().sum(1, keepdim=True), 2 * level.blocks)
        wrong = torch.maximum(wrong - 0.25 * brush.jitter[:, None, None, None], fine * 1.3)
        wrong = torch.maximum(wrong, smooth(wrong, 1))
        opacity = opacity * ((_read(wrong, image_x, image_y)[:, 0] / level.error - 0.8) * 4).clamp(0, 1)
    # Lighter or darker, warmer or cooler: a painter never mixes the same colour twice.
    light = 1 + (random(7) - 0.5) * 0.34 * wobble
    tint = [(random(8 + channel) - 0.5) * 0.12 * wobble for channel in range(3)]
    channels = [(colour[:, channel] * light + tint[channel]).clamp(0, 1) for channel in range(3)]
    return [x, y, cos, sin, length, width, opacity, 1 + (random(12) * 2000).floor(), *channels]


def _shifts(layers: int, side: int) -> list[tuple[int, int]]:
    """How far the blocks of each layer are shifted, in pixels: multiples of the golden ratio and of √2 spread evenly."""
    return [(int(side * (0.618034 * i % 1)), int(side * (0.414214 * i + 0.3) % side)) for i in range(1, layers + 1)]


@lru_cache(maxsize=16)
def _roughness(length: int, size: int, salt: int, device) -> Float[Tensor, "1 n n"]:
    """Fine noise for the tips of strokes; the same on every canvas."""
    at = (torch.arange(length, device=device) + 0.5) / size * 110
    return 0.10 * noise(torch.zeros(1, 1, 1, dtype=torch.int32, device=device), at[None, None, :], at[None, :, None], salt)


def _read(picture: Float[Tensor, "b c n m"], x: Float[Tensor, "b l gh gw"], y: Float[Tensor, "b l gh gw"]) -> Tensor:
    """Bilinear, from points in sides; beyond the border the border repeats. Gathered, so that every batch rounds alike."""
    height, width = picture.shape[-2:]
    x, y = (x * width - 0.5).clamp(0, width - 1), (y * height - 0.5).clamp(0, height - 1)
    left, top = x.floor().clamp(max=max(width - 2, 0)), y.floor().clamp(max=max(height - 2, 0))
    u, v = (x - left)[:, None], (y - top)[:, None]
    flat = picture.flatten(2)
    first = (top * width + left).long().flatten(1)

    def corner(step: int) -> Tensor:
        index = (first + step).clamp_max(flat.shape[2] - 1)
        return flat.gather(2, index[:, None].expand(-1, flat.shape[1], -1)).unflatten(2, x.shape[1:])

    a, b, c, d = (corner(step) for step in (0, 1, width, width + 1))
    upper, lower = a + (b - a) * u, c + (d - c) * u
    return upper + (lower - upper) * v
