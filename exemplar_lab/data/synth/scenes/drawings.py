"""The drawings behind the sprites, made with brush and scissors: leaf clusters, skirts of branches, fronds, walls, gores."""

from typing import NamedTuple

import numpy

from exemplar_lab.data.synth.scenes.noise import numbers

SIDE = 256
_Y, _X = (numpy.mgrid[0:SIDE, 0:SIDE] + 0.5) / SIDE


class Canvas(NamedTuple):
    """inside: what is covered. planes: tone, normal right and down, shares of paints 1 … 4."""

    inside: numpy.ndarray
    planes: numpy.ndarray


def _blank() -> Canvas:
    return Canvas(numpy.zeros((SIDE, SIDE), bool), numpy.zeros((7, SIDE, SIDE)))


_ALL = (slice(0, SIDE), slice(0, SIDE))


def _window(x: float, y: float, reach_x: float, reach_y: float) -> tuple[slice, slice]:
    """Rows and columns within reach of a point."""
    return tuple(
        slice(max(0, int((at - reach) * SIDE)), max(0, int((at + reach) * SIDE) + 2))
        for at, reach in ((y, reach_y), (x, reach_x))
    )


def _put(canvas: Canvas, where: numpy.ndarray, tone, right=0.0, down=0.0, paint: int = 0, window=_ALL) -> None:
    """Cover `where` of the window; tone and normal are numbers or planes of the window."""
    canvas.inside[window][where] = True
    planes = canvas.planes[(slice(None), *window)]
    for plane, value in zip(planes[:3], (tone, right, down), strict=True):
        plane[where] = value[where] if isinstance(value, numpy.ndarray) else value
    planes[3:, where] = 0
    if paint:
        planes[2 + paint, where] = 1


def _grain(name: str, cells: int) -> numpy.ndarray:
    """Smooth noise −1 … 1 with so many cells across."""
    grid = numbers(name, (cells + 1, cells + 1)) * 2 - 1
    x, y = _X * cells, _Y * cells
    i, j = x.astype(int), y.astype(int)
    x, y = x - i, y - j
    x, y = x * x * (3 - 2 * x), y * y * (3 - 2 * y)
    upper = grid[j, i] * (1 - x) + grid[j, i + 1] * x
    lower = grid[j + 1, i] * (1 - x) + grid[j + 1, i + 1] * x
    return upper * (1 - y) + lower * y


def _limb(canvas: Canvas, a, b, wide_a: float, wide_b: float, paint: int, tone: float = 1.0) -> None:
    """A tapered stroke from a to b, rounded like a stem."""
    dx, dy = b[0] - a[0], b[1] - a[1]
    square = dx * dx + dy * dy
    margin = max(wide_a, wide_b) + 0.01
    window = _window((a[0] + b[0]) / 2, (a[1] + b[1]) / 2, abs(dx) / 2 + margin, abs(dy) / 2 + margin)
    x, y = _X[window] - a[0], _Y[window] - a[1]
    t = ((x * dx + y * dy) / square).clip(0, 1)
    across = ((x - t * dx) * -dy + (y - t * dy) * dx) / numpy.sqrt(square)
    off = numpy.hypot(x - t * dx, y - t * dy)
    wide = wide_a + (wide_b - wide_a) * t
    turn = -across / numpy.maximum(wide, 1e-6)
    length = numpy.sqrt(square)
    _put(canvas, off < wide, tone, turn * abs(dy) / length, -turn * dx / length * 0.5, paint, window)


def _clusters(canvas: Canvas, name: str, lobes, count: int, small: float, large: float, bloom: float = 0.0) -> None:
    """Leaf clusters over lobes (x, y, rx, ry): those behind and below first, each turned outwards, with jagged edges."""
    r = numbers(name, (count, 12))
    spots = []
    for i in range(count):
        x0, y0, rx, ry = lobes[int(r[i, 0] * len(lobes))]
        angle, radius = r[i, 1] * 2 * numpy.pi, numpy.sqrt(r[i, 2]) * 0.93
        spots.append((x0 + numpy.cos(angle) * radius * rx, y0 + numpy.sin(angle) * radius * ry, x0, y0, rx, ry, i))
    middle = sum(lobe[1] for lobe in lobes) / len(lobes)
    spots.sort(key=lambda s: -(s[1] - middle) + 0.10 * (r[s[6], 3] - 0.5))
    leaf = _grain(name + " leaf", 72) * 0.6 + _grain(name + " leaf 2", 40) * 0.4
    centre_x = sum(lobe[0] for lobe in lobes) / len(lobes)
    spread = max(abs(lobe[0] - centre_x) + lobe[2] for lobe in lobes)
    petals = _grain(name + " bloom", 60)
    for x, y, x0, y0, rx, ry, i in spots:
        size = small + (large - small) * r[i, 4]
        window = _window(x, y, size * 1.6, size * 1.6)
        dx, dy, grain = _X[window] - x, _Y[window] - y, leaf[window]
        angle = numpy.arctan2(dy, dx)
        edge = 1 + 0.16 * numpy.sin(5 * angle + 6.3 * r[i, 5]) + 0.11 * numpy.sin(11 * angle + 6.3 * r[i, 6]) + 0.22 * grain
        q = numpy.hypot(dx, dy * 1.12) / (size * edge)
        outward_x = 0.55 * (x - x0) / rx + 0.45 * (x - centre_x) / spread
        outward_y = 0.6 * (y - y0) / ry - 0.18
        right = (outward_x * 0.85 + 0.45 * dx / size).clip(-1, 1)
        down = (outward_y * 0.85 + 0.45 * dy / size).clip(-1, 1)
        depth = ((y - middle) / max(ry, 1e-3)).clip(-1, 1)
        tone = 1.0 + 0.16 * (r[i, 7] - 0.5) - 0.13 * depth + 0.13 * grain - 0.18 * (q.clip(0, 1) ** 3) * (dy > 0)
        _put(canvas, q < 1, tone, right, down, 0, window)
        if bloom:
            _put(canvas, (q < 0.9) & (petals[window] > 1 - bloom), 1.05, right, down, 2, window)


def conifer(variant: int) -> Canvas:
    """Skirts of branches, the lower ones first; each lighter at its lip and dark where the next one shades it."""
    name, canvas = f"conifer {variant}", _blank()
    r = numbers(name, (40, 8))
    _limb(canvas, (0.5, 0.99), (0.5, 0.3), 0.026, 0.008, 1)
    tiers = 11 + variant % 3
    wide = (0.19, 0.24, 0.15, 0.28, 0.21)[variant % 5]
    needle = _grain(name, 90)
    for i in range(tiers):
        t = (tiers - 1 - i) / (tiers - 1)
        top, low = 0.015 + 0.76 * t**1.05, 0.115 + 0.80 * t**1.0
        half = (0.045 + wide * t**0.86) * (0.9 + 0.2 * r[i, 0])
        lean = 0.012 * (r[i, 1] - 0.5)
        x = (_X - 0.5 - lean) / half
        cells = 5 + int(6 * t)
        fringe = numpy.abs(((x * cells / 2 + r[i, 2]) % 1) * 2 - 1)
        # Branches droop at their ends and leave gaps between the tips.
        lip = low + 0.03 * numpy.minimum(x * x, 1) - (0.022 + 0.022 * t) * fringe + 0.010 * needle
        side = numpy.abs(x) < ((_Y - top) / (low - top)).clip(0, 1.2) ** 0.8 * (1 + 0.16 * needle)
        where = (top < _Y) & (lip > _Y) & side & (numpy.abs(x) < 1.02)
        near = ((_Y - top) / (low - top)).clip(0, 1)
        tone = 0.72 + 0.42 * near + 0.10 * needle + 0.1 * (r[i, 3] - 0.5)
        _put(canvas, where, tone, (0.92 * x).clip(-1, 1), -0.10 - 0.25 * (1 - near), 0)
    return canvas


def broadleaf(variant: int) -> Canvas:
    """A trunk that forks into a crown of leaf clusters."""
    name, canvas = f"broadleaf {variant}", _blank()
    r = numbers(name, (40, 4))
    lean = 0.05 * (r[0, 0] - 0.5)
    fork = (0.5 + lean, 0.70)
    _limb(canvas, (0.5, 1.0), fork, 0.036, 0.024, 1)
    lobes = []
    count = 5 + variant % 3
    for i in range(count):
        angle = numpy.pi * (0.08 + 0.84 * (i + 0.35 * r[i + 1, 0]) / (count - 1 + 0.35))
        reach = 0.19 + 0.10 * r[i + 1, 1]
        x, y = 0.5 + lean - numpy.cos(angle) * reach * 1.15, 0.50 - numpy.sin(angle) * reach * (0.95 + 0.2 * (variant % 2))
        size = 0.125 + 0.05 * r[i + 1, 2]
        lobes.append((x, y, size * 1.12, size))
        _limb(canvas, fork, (x, y + 0.04), 0.019, 0.008, 1, 0.85)
    lobes.append((0.5 + lean, 0.44, 0.23, 0.17))
    lobes.append((0.36 + lean, 0.56, 0.15, 0.10))
    lobes.append((0.64 + lean, 0.57, 0.15, 0.10))
    lobes = [(numpy.clip(x, 0.2, 0.8), max(y, 0.19), rx, ry) for x, y, rx, ry in lobes]
    _clusters(canvas, name, lobes, 190, 0.034, 0.06)
    return canvas


def poplar(variant: int) -> Canvas:
    """A tall flame of leaves, or a cypress."""
    name, canvas = f"poplar {variant}", _blank()
    _limb(canvas, (0.5, 1.0), (0.5, 0.5), 0.020, 0.012, 1)
    r = numbers(name, (9, 2))
    wide = (0.085, 0.11, 0.07)[variant % 3]
    lobes = []
    for i in range(18):
        t = i / 17
        swell = numpy.sin(numpy.pi * (0.04 + 0.9 * t**0.8)) ** 0.8
        lobes.append((0.5 + 0.02 * (r[i % 9, 0] - 0.5), 0.07 + 0.84 * t, wide * (0.12 + 1.0 * swell), 0.06))
    _clusters(canvas, name, lobes, 330, 0.018, 0.034)
    return canvas


def palm(variant: int) -> Canvas:
    """A bent, ringed trunk and a head of serrated fronds."""
    name, canvas = f"palm {variant}", _blank()
    r = numbers(name, (16, 6))
    bend = (0.14, -0.12, 0.05, -0.2)[variant % 4]
    points = [(0.5 - bend * 0.6 + bend * t * t, 0.99 - 0.60 * t) for t in numpy.linspace(0, 1, 9)]
    for i, (a, b) in enumerate(zip(points[:-1], points[1:], strict=True)):
        _limb(canvas, a, b, 0.024 - 0.0012 * i, 0.0235 - 0.0012 * i, 1, 1.05 if i % 2 else 0.92)
    head = points[-1]
    fronds = 13
    order = sorted(range(fronds), key=lambda i: -abs(i - (fronds - 1) / 2))
    for i in order[::-1] if variant % 2 else order:
        angle = numpy.pi * (-0.18 + 1.36 * (i + 0.5 * r[i, 0]) / fronds)
        length = 0.25 + 0.07 * r[i, 1]
        direction = -numpy.cos(angle), -numpy.sin(angle) * 0.95
        steps = 16
        for s in range(steps):
            t0, t1 = s / steps, (s + 1) / steps
            fall = 0.30 + 0.10 * r[i, 2]
            a, b = (
                (
                    head[0] + direction[0] * length * t,
                    head[1] + direction[1] * length * t * (1 - 0.25 * t) + fall * length * 1.3 * t * t,
                )
                for t in (t0, t1)
            )
            blade = 0.024 * numpy.sin(numpy.pi * (0.12 + 0.88 * t0)) ** 0.8 * (1.0 if s % 2 else 0.55)
            tone = 0.86 + 0.22 * t0 + 0.12 * (r[i, 3] - 0.5) + (0.12 if direction[1] < -0.5 else 0)
            _limb(canvas, a, b, blade + 0.004, blade + 0.002, 0, tone)
    for i in range(3):
        x, y = head[0] + 0.022 * (i - 1), head[1] + 0.022 + 0.008 * (i % 2)
        _put(canvas, numpy.hypot(_X - x, _Y - y) < 0.017, 0.9, (_X - x) / 0.017, (_Y - y) / 0.017, 3)
    return canvas


def bush(variant: int) -> Canvas:
    """Leaf clusters on the ground, some with blossoms."""
    name, canvas = f"bush {variant}", _blank()
    r = numbers(name, (8, 4))
    lobes = []
    for i in range(4 + variant % 2):
        x = 0.22 + 0.56 * (i + 0.4 * r[i, 0]) / (3.4 + variant % 2)
        tall = 0.15 + 0.15 * r[i, 1]
        lobes.append((x, 0.93 - tall, 0.15, tall))
    _clusters(canvas, name, lobes, 80, 0.045, 0.075, bloom=(0.0, 0.5, 0.0, 0.42, 0.55)[variant % 5])
    canvas.inside[_Y > 0.975] = False
    return canvas


def _panel(points) -> numpy.ndarray:
    """A convex polygon, corners clockwise on the picture."""
    inside = numpy.ones((SIDE, SIDE), bool)
    for (ax, ay), (bx, by) in zip(points, points[1:] + points[:1], strict=True):
        inside &= (bx - ax) * (_Y - ay) - (by - ay) * (_X - ax) >= 0
    return inside


def house(variant: int) -> Canvas:
    """A gable and a long side under one roof, with windows (paint 2), a door (3) and a chimney (4); the roof is paint 1."""
    canvas = _blank()
    r = numbers(f"house {variant}", (8,))
    left, middle, right = 0.10, 0.40 + 0.08 * r[0], 0.92
    tower = variant % 3 == 2
    eave, low = (0.50 if tower else 0.60) - 0.04 * r[1], 0.975
    ridge_y = eave - 0.23 - 0.08 * r[2]
    peak = (left + middle) / 2
    far_peak = right - (middle - left) * 0.32
    if variant % 2:
        _put(canvas, _panel([(0.62, ridge_y - 0.09), (0.69, ridge_y - 0.09), (0.69, eave), (0.62, eave)]), 1.0, 0.3, 0.0, 4)
    planks = 1 + 0.05 * (((_Y * 34) % 1) < 0.16) * -1.0
    gable = [(left, eave), (peak, ridge_y), (middle, eave), (middle, low), (left, low)]
    _put(canvas, _panel(gable), planks * 1.0, -0.55, 0.0, 0)
    _put(canvas, _panel([(middle, eave), (right, eave), (right, low), (middle, low)]), planks * 0.95, 0.6, 0.0, 0)
    tiles = 1 + 0.07 * numpy.sin(_Y * 190) + 0.05 * (((_X * 30 + (_Y * 30).astype(int) * 0.5) % 1) < 0.14)
    over = 0.035
    _put(
        canvas,
        _panel(
            [(peak, ridge_y - 0.012), (far_peak, ridge_y - 0.012), (right + over, eave + 0.03), (middle - 0.005, eave + 0.03)]
        ),
        tiles,
        0.35,
        -0.65,
        1,
    )
    slope = [(left - over, eave + 0.03), (peak, ridge_y - 0.014), (peak, ridge_y + 0.03), (left - over + 0.02, eave + 0.06)]
    _put(canvas, _panel(slope), 0.92, -0.6, -0.5, 1)
    slope = [(peak, ridge_y - 0.014), (middle + 0.01, eave + 0.03), (middle - 0.012, eave + 0.055), (peak, ridge_y + 0.03)]
    _put(canvas, _panel(slope), 0.85, 0.0, -0.4, 1)

    def window(x, y, wide, tall):
        frame = (numpy.abs(_X - x) < wide + 0.011) & (numpy.abs(_Y - y) < tall + 0.011)
        _put(canvas, frame, 1.12, 0.0, 0.0, 0)
        pane = (numpy.abs(_X - x) < wide) & (numpy.abs(_Y - y) < tall)
        pane &= (numpy.abs(_X - x) > 0.005) & (numpy.abs(_Y - y + tall * 0.2) > 0.005)
        _put(canvas, pane, 1.0, 0.0, -0.2, 2)

    rows = [eave + 0.12, eave + 0.30] if tower else [eave + 0.16]
    for y in rows:
        for x in numpy.linspace(middle + 0.10, right - 0.09, 3):
            window(x, y, 0.032, 0.048)
    window(peak, eave - 0.05, 0.028, 0.034)
    door = (numpy.abs(_X - peak) < 0.045) & (low - 0.20 < _Y) & (low > _Y)
    _put(canvas, door, 1.0, 0.0, 0.0, 3)
    if tower:
        window(peak - 0.085, eave + 0.10, 0.026, 0.04)
        window(peak + 0.085, eave + 0.10, 0.026, 0.04)
    return canvas


def balloon(variant: int) -> Canvas:
    """An envelope of gores in two colours (0 and 1), ropes and a basket (3)."""
    canvas = _blank()
    y0, radius = 0.36, 0.34
    t = ((_Y - 0.02) / 0.80).clip(0, 1)
    half = numpy.where(y0 > _Y, numpy.sqrt((radius**2 - (_Y - y0) ** 2).clip(0)), 0.0)
    s = ((_Y - y0) / (0.80 - y0)).clip(0, 1)
    half = numpy.where(y0 <= _Y, radius * (1 - 0.86 * s * s * (1.35 - 0.35 * s)), half)
    x = (_X - 0.5) / numpy.maximum(half, 1e-3)
    where = (numpy.abs(x) < 1) & (_Y < 0.80) & (_Y > 0.02)
    angle = numpy.arcsin(x.clip(-1, 1)) / numpy.pi + 0.5
    gores = 9
    wave = angle * gores
    seam = 1 - 0.10 * (numpy.abs((wave % 1) - 0.5) > 0.42)
    down = ((_Y - y0) / radius * 0.9).clip(-1, 1)
    for x0, x1 in ((0.40, 0.455), (0.60, 0.545)):
        _limb(canvas, (x0 + 0.03 * (0.5 - x0) / 0.1, 0.79), (x1, 0.91), 0.004, 0.004, 3, 0.6)
    _put(canvas, where, seam, x.clip(-1, 1) * 0.95, down, 0)
    if variant == 0:
        second = (wave.astype(int) % 2) == 1
    elif variant == 1:
        second = (t > 0.34) & (t < 0.62) & (numpy.abs(((wave + t * 0) % 2) - 1) > 2.6 * numpy.abs(t - 0.48) / 0.34)
    elif variant == 2:
        second = ((t * 6).astype(int) % 2) == 1
    else:
        second = ((wave.astype(int) + (t * 7).astype(int)) % 2) == 1
    _put(canvas, where & second, seam, x.clip(-1, 1) * 0.95, down, 1)
    basket = (numpy.abs(_X - 0.5) < 0.058) & (_Y > 0.90) & (_Y < 0.985)
    weave = 1 + 0.14 * (((_X * 64).astype(int) + (_Y * 64).astype(int)) % 2)
    _put(canvas, basket, weave, (_X - 0.5) / 0.07, 0.1, 3)
    return canvas


def cloud(variant: int) -> Canvas:
    """Billows over a flat base, the small ones in front."""
    name, canvas = f"cloud {variant}", _blank()
    r = numbers(name, (60, 5))
    soft = _grain(name, 26) * 0.6 + _grain(name + " 2", 52) * 0.4
    base = 0.66
    towers = [(0.20 + 0.6 * r[i, 0], 0.13 + 0.30 * r[i, 1] * (0.5 + 0.5 * (variant % 3))) for i in range(3)]
    blobs = []
    for i in range(46):
        t = 0.06 + 0.88 * r[i, 0]
        tall = max(h * max(0.0, 1 - ((t - x) / 0.24) ** 2) for x, h in towers) + 0.05 * (1 - (2 * t - 1) ** 2)
        y = base - tall * r[i, 1]
        size = (0.032 + 0.055 * r[i, 2] * (tall / 0.2 + 0.4)) * (1 - 0.45 * abs(2 * t - 1))
        blobs.append((y, t, min(size, t - 0.02, 0.98 - t)))
    blobs.sort()
    for number, (y, x, size) in enumerate(blobs):
        window = _window(x, y, size * 1.3, size * 1.3)
        dx, dy, fluff = (_X[window] - x) / size, (_Y[window] - y) / size, soft[window]
        q = numpy.hypot(dx, dy) + 0.22 * fluff
        high = (base - y) / 0.4
        tone = 0.94 + 0.08 * high + 0.03 * (r[number, 3] - 0.5) + 0.03 * fluff
        where = (q < 1) & (_Y[window] < base + 0.012 * fluff)
        right, down = 0.42 * dx + 0.8 * (x - 0.5) + 0.15 * fluff, 0.42 * dy + 0.45 - 1.5 * high + 0.15 * fluff
        _put(canvas, where, tone, right.clip(-1, 1), down.clip(-1, 1), 0, window)
    return canvas
