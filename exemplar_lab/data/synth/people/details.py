"""What makes a figure somebody: face, hair, neckline, belt, badge, trouser stripe, shoes, hat band; painted over the plain
materials."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from exemplar_lab.data.synth.curves import positive, step, wave
from exemplar_lab.data.synth.people.body import INDEX, PARTS


class Point(NamedTuple):
    """k surface points on each of n tubes: where they lie (`turn` in half turns, `down` and `around` in body heights), (n,
    k), and the colours at hand, (3, n, 1)."""

    part: Tensor
    """(n, 1)"""
    along: Tensor
    turn: Tensor
    down: Tensor
    around: Tensor
    low: Tensor
    """1 where trousers or skirt cover the point, else 0."""
    second: Tensor
    skin: Tensor
    hair: Tensor
    bottom: Tensor


def _over(colour: Tensor, paint: Tensor | tuple[float, float, float], cover: Tensor) -> Tensor:
    """`paint` laid over `colour`, as densely as `cover` says."""
    paint = paint if isinstance(paint, Tensor) else torch.tensor(paint, device=colour.device)[:, None, None]
    return colour + (paint - colour) * cover


def _tint(colour: Tensor, red: float, green: float, blue: float) -> Tensor:
    return colour * torch.tensor((red, green, blue), device=colour.device)[:, None, None]


def _torso(colour: Tensor, at: Point, person: dict[str, Tensor]) -> Tensor:
    chest, pelvis, side = (at.part == INDEX["chest"]).float(), (at.part == INDEX["pelvis"]).float(), at.turn.abs()
    front = positive(0.5 - side) * chest
    # A round or pointed opening below the neck, and a collar around it.
    deep = person["neckline"] * 0.3
    vee, round_ = deep * 1.5 - at.along - side * 3.2, deep * 0.6 - 0.07 - at.along - side * side * 9
    opening = round_ + (vee - round_) * person["vee"]
    colour = colour * (1 - 0.28 * step(opening + 0.06, 0.02) * front)
    colour = _over(colour, at.skin, step(opening, 0.02) * front)
    x, y = at.around * 30, (at.down - 0.075) * 30
    ring = step(1 - (x * x + y * y).sqrt(), 0.1) * (1 - step(0.45 - (x.abs() + y.abs()), 0.1))
    colour = _over(colour, at.second, ring * person["badge"] * front)
    belt = step(0.085 - (at.along - 0.55).abs(), 0.03) * (person["belt"] * pelvis) * at.low
    colour = _over(colour, (0.24, 0.16, 0.12), belt)
    return _over(colour, (0.86, 0.74, 0.42), belt * step(0.055 - side, 0.02))


def _skirt(colour: Tensor, at: Point, person: dict[str, Tensor]) -> Tensor:
    """Pleats, deeper towards the hem, which is a little darker."""
    pleat = wave(at.turn * 9)
    return colour * (1 - 0.22 * (pleat * pleat) * at.along.clamp(0, 1) - 0.12 * step(at.along - 0.95, 0.02))


def _legs(colour: Tensor, at: Point, person: dict[str, Tensor]) -> Tensor:
    outside = step(0.09 - (at.turn + 0.5).abs(), 0.03) * person["side_stripe"] * at.low
    return _over(colour, at.bottom * 0.4 + 0.55, outside)


def _feet(colour: Tensor, at: Point, person: dict[str, Tensor]) -> Tensor:
    """A pale sole below."""
    return _over(colour, (0.9, 0.9, 0.9), step(at.turn.abs() - 0.68, 0.05) * 0.9)


def _locks(colour: Tensor, at: Point, person: dict[str, Tensor]) -> Tensor:
    return at.hair * (0.86 + 0.24 * wave(at.turn * 9 + at.along * 0.7))


def _head(colour: Tensor, at: Point, person: dict[str, Tensor]) -> Tensor:
    skin, hair, x, y = at.skin, at.hair, at.turn * 3.1415927, at.along
    side, eye = x.abs(), person["eye"]

    def ellipse(cx, cy, rx, ry, softness=0.25):
        """Cover of a pair of ellipses, mirrored left and right."""
        ex, ey = (side - cx) / rx, (y - cy) / ry
        return step(1 - (ex * ex + ey * ey).sqrt(), softness)

    def bow(cx, cy, curve, thickness, first, last):
        """Cover of a pair of arcs over first < side < last."""
        height = y - cy - (side - cx) * (side - cx) * curve
        return step(thickness - height.abs(), thickness) * positive(side - first) * positive(last - side)

    colour = _over(
        colour,
        skin * 0.8 + torch.tensor((0.20, 0.03, 0.04), device=x.device)[:, None, None],
        ellipse(0.55, 0.78, 0.26, 0.26, 1.2) * 0.55,
    )
    colour = _over(colour, _tint(skin, 0.78, 0.66, 0.62), ellipse(0.0, 0.70, 0.12, 0.055, 0.6) * 0.8)
    colour = _over(colour, (0.98, 0.98, 0.97), ellipse(0.36, 0.26, 0.155 * eye, 0.165 * eye))
    hue = person["iris_hue"]
    iris = torch.stack([0.16 + 0.22 * hue, 0.22 + 0.10 * hue, 0.42 - 0.30 * hue])
    colour = _over(colour, iris, ellipse(0.35, 0.27, 0.095 * eye, 0.135 * eye))
    colour = _over(colour, (0.05, 0.04, 0.05), ellipse(0.35, 0.27, 0.05 * eye, 0.08 * eye))
    colour = _over(colour, (1.0, 1.0, 1.0), ellipse(0.32, 0.20, 0.032, 0.045))
    colour = _over(colour, (0.10, 0.07, 0.07), bow(0.36, 0.26 - 0.165 * eye, 3.0, 0.035, 0.16, 0.58) * 0.9)
    colour = _over(colour, hair * 0.75, bow(0.38, -0.16 - 0.12 * eye, 1.6, 0.045, 0.18, 0.60))
    curve = y - 1.04 + person["smile"] * side * side * 4
    mouth = step(0.05 - curve.abs(), 0.04) * step(0.27 - side, 0.06)
    colour = _over(colour, _tint(skin, 0.74, 0.38, 0.38), mouth)
    beard = step(y - 0.82 - 0.25 * step(0.24 - side, 0.1) + 0.5 * (side - 0.9).clamp_min(0), 0.12) * positive(1.5 - side)
    colour = _over(colour, hair * 0.9, beard * person["beard"] * (1 - mouth) * 0.85)
    ring = ((side - 0.36) * (side - 0.36) / 0.075 + (y - 0.26) * (y - 0.26) / 0.085).sqrt()
    bridge = step(0.035 - (y - 0.2).abs(), 0.03) * (positive(0.12 - side) + positive(side - 0.6) * positive(1.5 - side))
    colour = _over(colour, (0.12, 0.11, 0.13), torch.maximum(step(0.09 - (ring - 1).abs(), 0.06), bridge) * person["glasses"])
    # Hair: the crown, a fringe parted to one side, and everything behind the ears.
    parting = ((x - 0.25) * (person["hairline"] * 0.5 + 0.05)).abs()
    behind = 0.30 * (side - 0.75).clamp_min(0) + 1.6 * (side - 1.25).clamp_min(0)
    line = -0.30 + person["fringe"] * 0.5 - parting * 0.4 + behind
    colour = _over(colour, hair * (0.92 + 0.16 * wave(x * 5 + y * 1.5)), step(line - y, 0.05))
    return _over(colour, _tint(skin, 0.93, 0.82, 0.80), ellipse(1.45, 0.42, 0.12, 0.22, 0.3))


def _hat(colour: Tensor, at: Point, person: dict[str, Tensor]) -> Tensor:
    """A band in the second colour above the edge of a hat, and a seam up its front."""
    hat = (at.part == INDEX["hat"]).float()
    band = step(0.30 - (at.along - 0.72).abs(), 0.06) * hat
    seam = step(0.04 - wave(at.turn * 3 + 0.5), 0.05) * hat * (1 - band)
    return _over(colour, at.second, band) * (1 - 0.18 * seam)


def _bag(colour: Tensor, at: Point, person: dict[str, Tensor]) -> Tensor:
    """A flap with a clasp on both faces of a bag; straps are plain."""
    bag = (at.part == INDEX["bag"]).float()
    side = 0.5 - (at.turn.abs() - 0.5).abs()
    colour = colour * (1 - 0.4 * step(0.03 - (at.along - 0.45 + side * 0.25).abs(), 0.03) * bag)
    return _over(colour, at.second, step(0.09 - (at.along - 0.5).abs(), 0.03) * step(0.05 - side, 0.03) * bag)


def _both_sides(*names: str) -> tuple[str, ...]:
    return tuple(name for name in PARTS if name.removesuffix("_right").removesuffix("_left") in names)


DETAILS: dict[tuple[str, ...], Callable[[Tensor, Point, dict[str, Tensor]], Tensor]] = {
    ("chest", "pelvis"): _torso,
    ("skirt",): _skirt,
    _both_sides("thigh", "shin"): _legs,
    _both_sides("foot"): _feet,
    ("head",): _head,
    ("hair", "bun"): _locks,
    ("hat", "brim"): _hat,
    ("bag",): _bag,
}
"""Painters by the parts they paint, which follow each other in PARTS: (colour (3, n, k), points, person) -> colour."""
