"""Paintings of areas and lines: ink wash, colour woodblock, watercolour. Everything is a function of a pixel's surroundings.

Lengths are fractions of the image side; the few that cannot be smaller than a pixel are not, so that small pictures keep their
lines.
"""

from functools import lru_cache

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.data.seeds import uniform
from exemplar_lab.data.synth.lattice import clouds_map, noise, noise_map, seed_of
from exemplar_lab.data.synth.paintings.strokes import pooled, smooth
from exemplar_lab.data.synth.paintings.style import Style, graded, luminance, table_of

_PIGMENTS = {
    "sumi": (0.13, 0.13, 0.17),
    "slate": (0.36, 0.38, 0.43),
    "mist": (0.68, 0.69, 0.68),
    "paper": (0.95, 0.91, 0.82),
    "prussian": (0.10, 0.22, 0.45),
    "indigo": (0.28, 0.46, 0.62),
    "sky": (0.62, 0.76, 0.82),
    "pine": (0.18, 0.36, 0.28),
    "moss": (0.45, 0.54, 0.33),
    "tea": (0.71, 0.72, 0.50),
    "ochre": (0.80, 0.63, 0.33),
    "straw": (0.92, 0.82, 0.56),
    "bark": (0.42, 0.29, 0.22),
    "clay": (0.66, 0.45, 0.34),
    "skin": (0.91, 0.74, 0.61),
    "vermilion": (0.80, 0.28, 0.20),
    "crimson": (0.58, 0.16, 0.24),
    "peach": (0.92, 0.60, 0.50),
    "plum": (0.46, 0.32, 0.46),
    "wisteria": (0.70, 0.62, 0.76),
}


def ink(image: Float[Tensor, "b 3 h w"], style: Style, key: Int[Tensor, " b"]) -> Float[Tensor, "b 3 h w"]:
    """Ink on paper: few tones that run into each other and pool at their borders, brush lines, a breath of colour."""
    size = image.shape[-1]
    x, y = _grid(size, image.device)
    seed = seed_of(key, "ink")
    free = _of(style.jitter)
    flat = kuwahara(wobbled(image, seed, 0.005 + 0.008 * free), max(1, round(size / 110)))
    flat = smooth(flat, 2)
    grey = luminance(flat)
    low, high = _levels(grey, 0.04), _levels(grey, 0.90)
    dark = ((high - grey) / (high - low).clamp_min(0.25)).clamp(-0.2, 1.1)
    run = clouds_map(seed, size, 7, 7, 3)
    dark = dark + (run - 0.5) * (0.12 + 0.16 * free)
    wet = smooth(dark, max(1, round(size * size / 256**2 * 14)))
    dark = dark + (wet - dark) * _ramp(clouds_map(seed + 5, size, 3, 3, 2), 0.35, 0.7)
    tone = torch.zeros_like(dark)
    for at, depth in ((0.12, 0.14), (0.34, 0.19), (0.56, 0.26), (0.78, 0.32)):
        tone = tone + depth * (_ramp(dark, at - 0.07, at + 0.07) * 0.72 + 0.28 * _pool(dark, at))
    tooth = tooth_of(size, image.device)
    tone = tone * (0.86 + 0.28 * run) * (0.93 + 0.14 * tooth)
    swell = 0.35 + 1.3 * noise_map(seed + 3, size, 8, 8, 45)  # the brush is pressed and lifted
    stroke = _drawn(image, flat, 0.0044 * style.width, 0.8, swell) * (0.55 + 0.45 * _of(style.outline))
    dry = _ramp(tooth + clouds_map(seed + 9, size, 9, 9, 2), 0.55, 0.95)  # a dry brush skips the hollows of the paper
    stroke = stroke * (0.45 + 0.55 * dry)
    tone = 1 - (1 - tone) * (1 - stroke * 0.9)

    paper = _paper(style, seed, size)
    colour = graded(flat, style)
    hue = colour / luminance(colour).clamp_min(0.08)
    faint = (0.06 + 0.34 * _ramp(_of(style.saturation), 0.85, 1.35)) * (1 - stroke)
    black = table_of(style, "dark")[..., None, None] * 0.30 + 0.04
    wash = paper * (1 + (hue.clamp(0.35, 1.7) - 1) * faint * _ramp(tone, 0.02, 0.25))
    return (wash + (black - wash) * tone).clamp(0, 1)


def woodblock(image: Float[Tensor, "b 3 h w"], style: Style, key: Int[Tensor, " b"]) -> Float[Tensor, "b 3 h w"]:
    """Ukiyo-e: flat pigments cut from blocks, a key block of dark lines, graded bands (bokashi), the grain of the wood."""
    size = image.shape[-1]
    x, y = _grid(size, image.device)
    seed = seed_of(key, "woodblock")
    flat = kuwahara(image, max(1, round(size / 80)))
    if size >= 128:
        flat = smooth(kuwahara(flat, round(size / 128)), round(size / 64))  # round off the corners of squares
    colour = _pigments(graded(flat, style), style)
    colour = smooth(colour, 1) if size >= 128 else colour
    # Wiped by hand: a band of dark blue comes down from the upper edge, another rises from below.
    depth = 0.16 + 0.22 * uniform(key, "band").float()[:, None, None, None]
    edge = 0.02 * (noise_map(seed, size, 3, 0, 42) - 0.5)
    band = 1 - _ramp(y + edge, 0.0, 1.0) / depth
    band = band.clamp(0, 1)
    low = ((y + edge - 1) / (depth * 0.6) + 1).clamp(0, 1) * 0.35
    blue = table_of(style, "dark")[..., None, None] * 0.3 + torch.tensor([0.12, 0.26, 0.52], device=image.device)[:, None, None]
    colour = colour * (1 + (blue - 1) * (band * band * 0.8 + low * low))
    rings = clouds_map(seed + 3, size, 1.5, 4, 2) * 5
    grain = noise(seed[:, None, None, None], x * 4 + rings, y * 55 + rings * 2, 43)
    colour = colour * (1 + (grain - 0.5) * 0.13 * _of(style.paper))
    swell = 0.55 + 0.9 * noise_map(seed, size, 14, 14, 44)  # a line swells and thins as the knife turned
    clean = kuwahara(image, max(1, round(size / 150)))
    line = _drawn(image, clean, 0.0046 * style.width, 0.6 + 0.35 * style.outline, swell)
    black = table_of(style, "dark")[..., None, None] * 0.5 + 0.04
    paper = _paper(style, seed, size)
    colour = colour * (0.25 + 0.75 * paper)
    return (colour + (black - colour) * line).clamp(0, 1)


def watercolour(image: Float[Tensor, "b 3 h w"], style: Style, key: Int[Tensor, " b"]) -> Float[Tensor, "b 3 h w"]:
    """Transparent washes on white paper: darker where they dried at their borders, grainy, lifted in the lights, on pencil."""
    size = image.shape[-1]
    x, y = _grid(size, image.device)
    seed = seed_of(key, "watercolour")
    free = _of(style.jitter)
    flat = kuwahara(wobbled(image, seed, 0.003 + 0.009 * free), max(1, round(size / 100)))
    flat = smooth(flat, 2)
    colour = graded(flat, style)
    grey = luminance(colour)
    colour = (grey + (colour - grey) * 1.25).clamp(0, 1)  # transparent paint is purer than body colour
    colour = colour + (1 - colour) * 0.15
    blot = clouds_map(seed + 1, size, 4.5, 4.5, 4)
    level = luminance(colour) + (blot - 0.5) * 0.22 * free
    steps = level * 5
    at = steps - steps.floor()
    stepped = (steps.floor() + _ramp(at, 0.25, 0.75)) / 5
    border = (1 - (at - 0.5).abs() * 5).clamp(0, 1)
    density = (1 - colour) * 1.06 * (1 + (level - stepped) * 1.6)
    thin = 0.88 + 0.5 * (blot - 0.5) + 0.20 * border * _ramp(1 - level, 0.1, 0.4)
    tooth = tooth_of(size, image.device)
    density = density * thin * (1 + (tooth - 0.5) * 0.35 * _of(style.paper))
    rim = smooth(density, max(1, round(size * size / 256**2 * 10)))
    density = density + (density - rim) * 0.55  # pigment wanders to where a wash ends
    density = density * _ramp(1 - luminance(colour), 0.02, 0.22)
    pencil = lines(image, 0.0028 * style.width, 0.75) * 0.45 * _of(style.outline) * (0.6 + 0.4 * tooth)
    paper = _paper(style, seed, size)
    return (paper * (1 - density.clamp(0, 1)) * (1 - pencil)).clamp(0, 1)


def kuwahara(image: Float[Tensor, "b 3 h w"], radius: int) -> Float[Tensor, "b 3 h w"]:
    """Each pixel takes the mean of that neighbouring square, of four, which varies least: areas become flat, edges stay."""
    height, width = image.shape[-2:]
    grey = luminance(image)
    both = torch.cat([image, grey, grey * grey], dim=1)
    means = _box(F.pad(both, [2 * radius] * 4, mode="replicate"), radius)  # size + 2 radius
    spread = means[:, 4:] - means[:, 3:4] * means[:, 3:4]
    best, result = None, None
    for down in (0, 2 * radius):
        for across in (0, 2 * radius):
            part = (..., slice(down, down + height), slice(across, across + width))
            if best is None:
                best, result = spread[part], means[:, :3][part]
                continue
            less = spread[part] < best
            best, result = torch.minimum(best, spread[part]), torch.where(less, means[:, :3][part], result)
    return result


def lines(
    image: Float[Tensor, "b 3 h w"],
    width: Float[Tensor, " b"],
    amount: Float[Tensor, " b"] | float,
    swell: Tensor | float = 1.0,
) -> Float[Tensor, "b 1 h w"]:
    """How much ink a line drawing of the image has at each pixel, 0 … 1: the dark side of edges.

    width: of the lines, in sides. amount: 0 only the strongest edges, 1 faint ones too.
    """
    size = image.shape[-1]
    once = max(1, round((0.0035 * size) ** 2 * 2))
    # Brightness, and how much red there is against blue: enough to tell most colours apart, and less work than three channels.
    fine = smooth(torch.cat([luminance(image), (image[:, :1] - image[:, 2:]) * 0.8], dim=1), once)
    light, warm = (smooth(fine, 3 * once) - fine).split(1, dim=1)
    response = torch.maximum(light, warm.abs() * 0.6 + light * 0.4)
    amount = amount if isinstance(amount, float) else _of(amount)
    threshold = 0.055 - 0.042 * amount
    response = response * swell * (_of(width) / 0.004)
    return _ramp(response, threshold, threshold * 2.2)


def _drawn(image: Tensor, flat: Tensor, width: Tensor, amount: Tensor | float, swell: Tensor) -> Float[Tensor, "b 1 h w"]:
    """Lines around the areas of `flat`, and the strongest few inside them: features, but no texture."""
    return torch.maximum(lines(flat, width, amount, swell), lines(image, width * 0.8, amount * 0.55, swell))


def wobbled(image: Float[Tensor, "b 3 h w"], seed: Tensor, reach: Float[Tensor, "b 1 1 1"]) -> Float[Tensor, "b 3 h w"]:
    """The image with every pixel read from up to `reach` sides away, as smooth noise says: outlines by an unsteady hand."""
    height, width = image.shape[-2:]
    right, down = (((noise_map(seed, width, 16, 16, salt) - 0.5) * 2 * reach * width).round().long() for salt in (51, 52))
    column = (torch.arange(width, device=image.device) + right).clamp(0, width - 1)
    row = (torch.arange(height, device=image.device)[:, None] + down).clamp(0, height - 1)
    index = (row * width + column).flatten(1)[:, None].expand(-1, 3, -1)
    return image.flatten(2).gather(2, index).unflatten(2, (height, width))


def _pigments(image: Float[Tensor, "b 3 h w"], style: Style) -> Float[Tensor, "b 3 h w"]:
    """Each pixel in the pigment nearest to it, give or take what remains of its own colour."""
    nearest, chosen = None, torch.zeros_like(image[:, 0], dtype=torch.long)
    grey = luminance(image)[:, 0]
    warm, green = image[:, 0] - image[:, 2], image[:, 1] - (image[:, 0] + image[:, 2]) * 0.5
    for number, pigment in enumerate(_PIGMENTS.values()):
        red, mid, blue = pigment
        light = grey - (0.3 * red + 0.59 * mid + 0.11 * blue)
        one, two = warm - (red - blue), green - (mid - (red + blue) * 0.5)
        distance = light * light * 1.2 + one * one + two * two * 1.5
        if nearest is None:
            nearest = distance
            continue
        chosen = torch.where(distance < nearest, number, chosen)
        nearest = torch.minimum(nearest, distance)
    table = torch.tensor(list(_PIGMENTS.values()), device=image.device)
    pigments = table[chosen].movedim(-1, 1)
    paper = table_of(style, "paper")[..., None, None]
    return pigments * 0.72 + image * 0.28 * (0.8 + 0.2 * paper)


def _levels(grey: Float[Tensor, "b 1 h w"], share: float) -> Float[Tensor, "b 1 1 1"]:
    """The brightness that `share` of the picture stays below."""
    return pooled(grey, 32).flatten(1).sort(dim=1).values[:, int(share * 1024), None, None, None]


def _paper(style: Style, seed: Tensor, size: int) -> Float[Tensor, "b 3 h w"]:
    """Bare paper: its colour, clouds, and a tooth."""
    x, y = _grid(size, seed.device)
    uneven = (clouds_map(seed + 77, size, 3, 3, 3) - 0.5) * 0.07 + (tooth_of(size, seed.device) - 0.5) * 0.07
    return (table_of(style, "paper")[..., None, None] * (1 + uneven * _of(style.paper))).clamp(0, 1)


@lru_cache(maxsize=8)
def tooth_of(size: int, device: torch.device) -> Float[Tensor, "1 1 h w"]:
    """The grain of paper, 0 … 1: the same sheet for everybody."""
    x, y = _grid(size, device)
    seed = torch.zeros(1, 1, 1, 1, dtype=torch.int32, device=device)
    return noise(seed, x * 120, y * 120, 61) * 0.5 + noise(seed, x * 60 + 0.3 * y, y * 75, 62) * 0.5


def _grid(size: int, device: torch.device) -> tuple[Float[Tensor, "1 1 1 w"], Float[Tensor, "1 1 h 1"]]:
    at = (torch.arange(size, device=device) + 0.5) / size
    return at[None, None, None, :], at[None, None, :, None]


def _of(column: Float[Tensor, " b"]) -> Float[Tensor, "b 1 1 1"]:
    return column[:, None, None, None]


def _ramp(x: Tensor, low: Tensor | float, high: Tensor | float) -> Tensor:
    """0 below `low`, 1 above `high`, a cubic step between."""
    t = ((x - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def _pool(dark: Tensor, at: float) -> Tensor:
    """A narrow ridge just inside the border of a tone, where a wash dries last."""
    return (1 - ((dark - at - 0.05) / 0.05).abs()).clamp(0, 1)


def _box(value: Float[Tensor, "b c h w"], radius: int) -> Float[Tensor, "b c hn wn"]:
    """Means over squares of 2 radius + 1, where they fit."""
    for dim in (2, 3):
        value = _runs(value, 2 * radius + 1, dim)
    return value * (1 / (2 * radius + 1) ** 2)


def _runs(value: Tensor, width: int, dim: int) -> Tensor:
    """Sums of `width` neighbours: runs of 1, 2, 4 … are doubled, and those that add up to the width are joined."""
    count = value.shape[dim] - width + 1
    result, begin, run = None, 0, 1
    while True:
        if width & run:
            part = value.narrow(dim, begin, count)
            result = part if result is None else result + part
            begin += run
        if 2 * run > width:
            return result
        length = value.shape[dim] - run
        value = value.narrow(dim, 0, length) + value.narrow(dim, run, length)
        run *= 2
