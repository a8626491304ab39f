"""What stands behind a portrait: a wall with a window, shelves, panels, leaves or lamps; the same in both images."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.data.seeds import choose, uniform
from exemplar_lab.data.synth.curves import wave
from exemplar_lab.data.synth.faces.surface import bump, soft

Backdrop = dict[str, Tensor]

KINDS = ("studio", "window", "shelves", "panels", "leaves", "lamps", "tiles")
"""The last is of the split out of distribution alone."""

_WALLS = ((0.80, 0.74, 0.66), (0.62, 0.70, 0.74), (0.72, 0.62, 0.60), (0.56, 0.64, 0.56), (0.42, 0.48, 0.58),
          (0.84, 0.80, 0.76), (0.76, 0.66, 0.50), (0.34, 0.36, 0.42))  # fmt: skip


def draw_backdrop(key: Int[Tensor, " b"], ood: bool) -> Backdrop:
    """One backdrop per key."""
    kind = choose(key, "kind", (0, 0, 0, 0, 0, 0, 1) if ood else (0.8, 1, 1, 1, 1, 0.8, 0))
    table = torch.tensor(_WALLS, dtype=torch.float64, device=key.device)
    wall = table[choose(key, "wall", (1,) * len(_WALLS))] + uniform(key, "wall tint", (3,), -0.04, 0.04)
    backdrop = {
        "kind": kind.double(),
        "wall": wall,
        "second": table[choose(key, "second", (1,) * len(_WALLS))] + uniform(key, "second tint", (3,), -0.05, 0.05),
        "accents": uniform(key, "accents", (6, 3), 0.15, 0.9),
        "x": uniform(key, "x", (), -0.28, 0.28),
        "y": uniform(key, "y", (), -0.1, 0.1),
        "turn": uniform(key, "turn", (), -1.0, 1.0),
        "glow": uniform(key, "glow", (), 0.10, 0.26),
        "numbers": uniform(key, "numbers", (24,), 0.0, 1.0),
    }
    return {name: value.float() for name, value in backdrop.items()}


def _cover(x: Tensor, fine: float) -> Tensor:
    return (x / fine + 0.5).clamp(0, 1)


def _over(colour: Tensor, paint: Tensor, cover: Tensor) -> Tensor:
    return colour + (paint - colour) * cover


def behind(
    backdrop: Backdrop, sample: Int[Tensor, " n"], x: Float[Tensor, " n"], y: Float[Tensor, " n"], fine: float
) -> Tensor:
    """Colours (3, n) at points of pictures, as fractions of the side; fine: the width of a pixel."""

    def of(name, which=None, at=None):
        """The number `name` of each point's sample, or the colour; of several, that of number `which`."""
        value, owner = backdrop[name], sample if at is None else sample.index_select(0, at)
        if which is not None:
            value, owner = value.flatten(0, 1), owner * value.shape[1] + which
        return value.movedim(0, -1).contiguous().index_select(-1, owner)

    cx, cy = x - 0.5 - of("x"), y - 0.42 - of("y")
    wall = of("wall") * (1.0 - 0.30 * soft(y)) * (0.90 + of("glow") * 1.3 / (1 + 5 * (cx * cx + cy * cy)))
    colour = wall
    kind = of("kind")
    for number, painter in enumerate((None, _window, _shelves, _panels, _leaves, _lamps, _tiles)):
        at = (kind == number).nonzero().flatten()
        if painter is not None and len(at):
            painted = painter(colour[:, at], lambda name, which=None, at=at: of(name, which, at), x[at], y[at], fine * 1.5)
            colour = colour.index_copy(1, at, painted)
    return colour.clamp(0, 1)


def _window(colour, of, x, y, fine):
    """A tall window with bars beside the head, a sky and hills in it; a wainscot below."""
    centre = 0.5 + torch.where(of("turn") > 0, 0.30, -0.30) + 0.10 * of("x")
    u, v = (x - centre) / 0.27, (y - 0.32) / 0.36
    box = torch.maximum(u.abs(), v.abs())
    edge = torch.minimum((1 - u.abs()) * 0.27, (1 - v.abs()) * 0.36)
    light = torch.stack([0.66 + 0.22 * soft(v * 0.5 + 0.5), 0.80 + 0.08 * v, 0.92 - 0.06 * v])
    hill = 0.42 + 0.10 * wave(u * 0.45 + of("x")) + 0.06 * wave(u * 1.1 + of("y") * 5)
    light = _over(
        light, of("second") * 0.6 + torch.tensor((0.05, 0.22, 0.16), device=x.device)[:, None], _cover((v - hill) * 0.36, fine)
    )
    bars = torch.maximum(_cover(0.010 - u.abs() * 0.27, fine), _cover(0.010 - ((v + 0.15).abs()) * 0.36, fine))
    frame = of("wall") * 0.35 + 0.58
    light = _over(light, frame * (1 - 0.12 * wave(x * 9)), bars)
    colour = _over(colour, frame * 0.92, _cover((1.0 - box) * 0.27 + 0.028, fine))
    colour = _over(colour, light, _cover(edge, fine))
    sill = _cover(0.018 - (y - 0.705).abs(), fine) * _cover(0.33 - (x - centre).abs(), fine)
    colour = _over(colour, frame * 0.98, sill)
    low = _cover(y - 0.80, fine)
    return _over(colour, of("second") * 0.75 * (1 - 0.10 * _cover(0.006 - wave(x * 6) * 0.08, fine)[None]), low)


def _shelves(colour, of, x, y, fine):
    """Shelves of books of many colours and heights."""
    rows = 3.4
    level = y * rows + 0.25 + of("y")
    row = level.floor()
    inside = level - row
    # Books: a width and a height from the row's numbers, by position.
    place = x * (9.0 + 3 * of("glow")) + row * 3.7
    book = place.floor()
    across = place - book
    which = (book * 7 + row * 5) % 24
    pick = of("numbers", which.long())
    spine = of("accents", ((book * 5 + row * 3) % 6).long())
    spine = spine * 0.62 + of("wall") * 0.22
    top = 0.18 + 0.34 * pick
    gap = ((which * 5) % 7) < 1.5
    there = _cover((inside - top) / rows, fine) * (~gap)
    back = of("second") * 0.42
    shelf = _over(back.expand_as(colour), spine * (1 - 0.25 * (2 * across - 1) * (2 * across - 1)), there)
    band = _cover(0.012 - ((inside - top - 0.14).abs()) / rows, fine) * there * (pick > 0.4)
    shelf = _over(shelf, spine * 0.4 + 0.52, band)
    shelf = shelf * (1 - 0.5 * _cover(0.02 - (across - 0.02).abs() / 10, fine) * there)
    board = _cover((inside - 0.90) / rows, fine)
    shelf = _over(shelf, of("wall") * 0.62 + torch.tensor((0.10, 0.05, 0.0), device=x.device)[:, None], board)
    shelf = shelf * (1 - 0.35 * soft((0.22 - inside) / 0.2))
    return shelf * 0.92 + 0.03


def _panels(colour, of, x, y, fine):
    """Large fields of colour, a circle and a slanting edge: a poster wall."""
    wall, numbers = of("wall"), [of("numbers", k) for k in range(3)]
    paints = [of("accents", k) * 0.55 + wall * 0.45 for k in range(3)]
    slope = of("turn") * 0.5
    colour = _over(colour, paints[0], _cover(y - 0.62 - slope * (x - 0.5), fine))
    colour = _over(colour, paints[1], _cover(x - 0.66 - 0.12 * numbers[0] + 0.1 * slope * y, fine))
    px, py = x - 0.18 - 0.1 * numbers[1], y - 0.26 - 0.1 * numbers[2]
    ring = (px * px + py * py + 1e-9).sqrt()
    colour = _over(colour, paints[2], _cover(0.16 - ring, fine))
    stripes = _cover(wave(y * 11) * 0.045 - 0.022, fine) * _cover(x - 0.84, fine)
    return _over(colour, wall * 0.5 + 0.45, stripes)


def _leaves(colour, of, x, y, fine):
    """Arched leaves of house plants from below and from the sides, each with a rib."""
    green = of("second") * 0.25 + torch.tensor((0.14, 0.38, 0.24), device=x.device)[:, None]
    for k in range(10):
        side = -1.0 if k % 2 else 1.0
        a, b, c = (of("numbers", number % 24) for number in (2 * k, 2 * k + 1, 3 * k + 5))
        # A leaf leans outwards from its root; along it t, across it s.
        root_x, root_y = 0.5 + side * (0.50 - 0.22 * a), 1.02 - 0.45 * b
        dx, dy = side * (0.55 * c - 0.28), -(0.55 + 0.3 * a)
        norm = (dx * dx + dy * dy).sqrt()
        dx, dy = dx / norm, dy / norm
        px, py = x - root_x, y - root_y
        t = (px * dx + py * dy) / (0.34 + 0.22 * b)
        s = px * dy - py * dx + 0.10 * side * t * t * (c - 0.3)
        width = 0.075 * (0.7 + 0.6 * c) * t.clamp(0, 1).sqrt() * (1 - t.clamp(0, 1)) * 2.0
        leaf = _cover(width - s.abs(), fine) * (t > 0) * (t < 1)
        tone = green * (0.62 + 0.5 * a + 0.22 * (s > 0))
        colour = _over(colour, tone * (0.88 + 0.16 * wave(t * 9 - s.abs() * 18)), leaf)
        colour = _over(colour, tone * 1.25 + 0.04, _cover(0.003 - s.abs(), fine) * leaf)
    return colour


def _lamps(colour, of, x, y, fine):
    """A street at night, out of focus: discs of light."""
    colour = colour * 0.34 + torch.tensor((0.03, 0.04, 0.09), device=x.device)[:, None]
    for k in range(11):
        px = x - (of("numbers", k) * 1.1 - 0.05)
        py = y - (0.06 + 0.62 * of("numbers", (k * 7 + 3) % 24))
        radius = 0.035 + 0.05 * of("numbers", (k * 5 + 11) % 24)
        away = (px * px + py * py + 1e-9).sqrt()
        disc = _cover(radius - away, fine * 1.2) * (0.45 + 0.35 * soft(away / radius) ** 2)
        here = (disc > 0).nonzero().flatten()
        light = of("accents", k % 6)[:, here] * 0.6 + torch.tensor((0.42, 0.32, 0.18), device=x.device)[:, None]
        colour = colour.index_add(1, here, light * disc[here] * 0.62)
    return colour


def _tiles(colour, of, x, y, fine):
    """Glazed tiles in two colours."""
    u, v = x * 7 + 0.5 * ((y * 7).floor() % 2), y * 7
    odd = (u.floor() + v.floor()) % 2
    colour = _over(of("wall"), of("second"), odd)
    gloss = 0.9 + 0.16 * (1 - wave(u * 0.5 + v * 0.5))
    joint = torch.minimum((u - u.floor() - 0.5).abs() * -1 + 0.5, (v - v.floor() - 0.5).abs() * -1 + 0.5)
    colour = colour * gloss * (1 - 0.2 * y)
    return _over(colour, of("wall") * 0.25 + 0.66, _cover(0.006 - joint / 7, fine) + 0 * bump(u, v, 1.0, 1.0))
