"""Colour before light, as a function of the surface point alone: the same point has the same colour in every pose."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.data.synth.body import INDEX, PARTS, TWIN
from exemplar_lab.data.synth.wardrobe import PATTERNS, Wardrobe

# Length, girth and start of the pattern along each part, in body heights; limbs go on where their upper part ends.
_LENGTH = {"chest": 0.175, "pelvis": 0.105, "head": 0.05, "skirt": 0.2, "upper_arm": 0.15, "forearm": 0.13, "thigh": 0.215, "shin": 0.215}
_GIRTH = {"chest": 0.09, "pelvis": 0.08, "head": 0.062, "skirt": 0.11, "upper_arm": 0.034, "forearm": 0.03, "thigh": 0.05, "shin": 0.04}
_START = {"pelvis": 0.175, "skirt": 0.22, "forearm": 0.15, "shin": 0.215}


def _per_part(values: dict[str, float], default: float) -> tuple[float, ...]:
    return tuple(values.get(name.removesuffix("_right").removesuffix("_left"), default) for name in PARTS)


def turn_of(sin: Tensor, cos: Tensor) -> Tensor:
    """The angle of (sin, cos) as a fraction of half a turn, in [−1, 1]; a polynomial, right to 3e-6, of operations that round alike."""
    low, high = torch.minimum(sin.abs(), cos.abs()), torch.maximum(sin.abs(), cos.abs()).clamp_min(1e-12)
    a = low / high
    q = a * a
    angle = a * (0.99997726 + q * (-0.33262347 + q * (0.19354346 + q * (-0.11643287 + q * (0.05265332 - q * 0.01172120)))))
    angle = torch.where(sin.abs() > cos.abs(), 1.5707963 - angle, angle)
    angle = torch.where(cos < 0, 3.1415927 - angle, angle)
    return torch.where(sin < 0, -angle, angle) * 0.31830987


def _wave(x: Tensor) -> Tensor:
    """A triangle wave: 1 at whole numbers, 0 halfway."""
    return (x - x.floor() - 0.5).abs() * 2


def _step(x: Tensor, softness: float) -> Tensor:
    """0 below, 1 above zero, over a width of `softness`."""
    return (x * (1 / softness) + 0.5).clamp(0, 1)


def albedo(
    wardrobe: Wardrobe, owner: Int[Tensor, " n"], part: Int[Tensor, " n"], along: Float[Tensor, " n"], sin: Tensor, cos: Tensor
) -> Float[Tensor, "3 n"]:
    """Colours in [0, 1] of n surface points; owner names the sample."""
    device = along.device
    mirrored = torch.tensor([-1.0 if twin < i else 1.0 for i, twin in enumerate(TWIN)], device=device)[part]
    sin = sin * mirrored
    turn = turn_of(sin, cos)
    length, girth, start = (
        torch.tensor(_per_part(table, default), device=device)[part] for table, default in ((_LENGTH, 0.05), (_GIRTH, 0.03), (_START, 0.0))
    )
    down = start + length * along
    around = girth * 3.1415927 * turn

    slot = owner * len(PARTS) + part
    inner, outer, cut = (v.flatten()[slot] for v in (wardrobe.inner, wardrobe.outer, wardrobe.cut))
    material = torch.where(along < cut, inner, outer).long()
    cloth = torch.stack(wardrobe[:11]).flatten(1)[:, owner * wardrobe.red.shape[1] + material]
    first, second = cloth[0:3], cloth[3:6]
    pattern, period, tilt_sin, tilt_cos, duty = cloth[6:11].unbind(0)

    lengthways = (down * tilt_cos + around * tilt_sin) / period
    crossways = (around * tilt_cos - down * tilt_sin) / period
    stripe = _step(_wave(lengthways) - 1 + duty, 0.12)
    cross = _step(_wave(crossways) - 1 + duty, 0.12)
    dot_x, dot_y = _wave(crossways), _wave(lengthways)
    dots = _step(0.5 - ((1 - dot_x) * (1 - dot_x) + (1 - dot_y) * (1 - dot_y)).sqrt(), 0.15)
    blocks = _step(0.105 - down, 0.004)
    patterns = {"plain": torch.zeros_like(stripe), "stripes": stripe, "checks": (stripe + cross) * 0.5, "dots": dots, "blocks": blocks}
    mix = torch.zeros_like(stripe)
    for number, name in enumerate(PATTERNS):
        mix = torch.where(pattern == number, patterns[name], mix)
    colour = first + (second - first) * mix
    # A darker seam where one material ends, and a weave so fine that it only lends the cloth some life.
    hem = 1 - 0.22 * _step(0.02 - (along - cut).abs(), 0.02)
    weave = 1 + 0.03 * (_wave(down * 61 + around * 23) - 0.5) + 0.03 * (_wave(down * 17 - around * 47) - 0.5)
    colour = colour * (hem * weave)

    person = {name: v[owner] for name, v in wardrobe.person.items()}
    colour = _torso(colour, part, along, turn, down, around, person, cloth, wardrobe, owner)
    colour = _legs(colour, part, along, turn, person, wardrobe, owner)
    colour = _head(colour, part, along, turn, sin, cos, person, wardrobe, owner)
    return colour.clamp(0, 1)


def _material(wardrobe: Wardrobe, owner: Tensor, material: int, which: int = 0) -> Float[Tensor, "3 n"]:
    return torch.stack([v[:, material][owner] for v in wardrobe[3 * which : 3 * which + 3]])


def _blend(colour: Tensor, over: Tensor, cover: Tensor) -> Tensor:
    return colour + (over - colour) * cover


def _torso(colour, part, along, turn, down, around, person, cloth, wardrobe, owner):
    chest, pelvis = part == INDEX["chest"], part == INDEX["pelvis"]
    skin = _material(wardrobe, owner, 0)
    # A round or pointed opening below the neck, with a collar of the second colour.
    side = turn.abs()
    depth = person["neckline"] * 0.30
    height = along + 0.55
    opening = torch.where(person["vee"] > 0, depth * 1.5 + 0.55 - height - side * 3.2, depth * 0.6 + 0.48 - height - side * side * 9)
    opening = torch.where(chest & (side < 0.5), opening, -1)
    colour = _blend(colour, colour * 0.72, _step(opening + 0.06, 0.02))
    colour = _blend(colour, skin, _step(opening, 0.02))
    # A badge on a plain chest.
    x, y = around * 30, (down - 0.075) * 30
    badge = _step(1.0 - (x * x + y * y).sqrt(), 0.1) * (1 - _step(0.45 - (x.abs() + y.abs()), 0.1))
    colour = _blend(colour, cloth[3:6], badge * person["badge"] * chest * (side < 0.5))
    # A belt with a buckle, where trousers begin under the shirt.
    at = torch.where(chest, along - 1, along) - 0.55
    belt = _step(0.075 - at.abs(), 0.02) * (pelvis & (cloth[0:3] == _material(wardrobe, owner, 2)).all(0)) * person["belt"]
    leather = torch.stack([torch.full_like(at, v) for v in (0.24, 0.16, 0.12)])
    colour = _blend(colour, leather, belt)
    buckle = torch.stack([torch.full_like(at, v) for v in (0.86, 0.74, 0.42)])
    return _blend(colour, buckle, belt * _step(0.055 - side, 0.02))


def _legs(colour, part, along, turn, person, wardrobe, owner):
    leg = torch.zeros_like(part, dtype=torch.bool)
    foot = torch.zeros_like(leg)
    for side in ("right", "left"):
        leg = leg | (part == INDEX[f"thigh_{side}"]) | (part == INDEX[f"shin_{side}"])
        foot = foot | (part == INDEX[f"foot_{side}"])
    outside = _step(0.09 - (turn - 0.5).abs(), 0.03) * person["side_stripe"] * leg
    trousers = (colour - _material(wardrobe, owner, 0)).abs().amax(0) > 0.1
    colour = _blend(colour, _material(wardrobe, owner, 2, 1) * 0.5 + 0.45, outside * trousers)
    # A shoe has a pale sole below and a lace patch above.
    sole = _step(turn.abs() - 0.68, 0.05) * foot
    return _blend(colour, torch.full_like(colour, 0.90), sole * 0.9)


def _head(colour, part, along, turn, sin, cos, person, wardrobe, owner):
    head = part == INDEX["head"]
    skin, hair = _material(wardrobe, owner, 0), _material(wardrobe, owner, 4)
    x, y = turn * 3.1415927, along
    side = x.abs()

    def ellipse(cx, cy, rx, ry, softness=0.25):
        ex, ey = (side - cx) / rx, (y - cy) / ry
        return _step(1 - (ex * ex + ey * ey).sqrt(), softness) * head

    def flat(red, green, blue):
        return torch.stack([torch.full_like(x, v) for v in (red, green, blue)])

    eye = person["eye"]
    blush = ellipse(0.55, 0.78, 0.26, 0.26, 1.2)
    colour = _blend(colour, skin * 0.8 + flat(0.20, 0.03, 0.04), blush * 0.55)
    shade = (side < 0.10) & (y > 0.30) & (y < 0.78)
    colour = _blend(colour, skin * 0.88, _step(0.10 - side, 0.1) * shade * 0.35)
    colour = _blend(colour, skin * flat(0.78, 0.66, 0.62), ellipse(0.0, 0.70, 0.12, 0.055, 0.6) * 0.8)
    colour = _blend(colour, flat(0.98, 0.98, 0.97), ellipse(0.36, 0.26, 0.155 * eye, 0.165 * eye))
    hue = person["iris_hue"]
    iris = torch.stack([0.16 + 0.22 * hue, 0.22 + 0.10 * hue, 0.42 - 0.30 * hue])
    colour = _blend(colour, iris, ellipse(0.35, 0.27, 0.095 * eye, 0.135 * eye))
    colour = _blend(colour, flat(0.05, 0.04, 0.05), ellipse(0.35, 0.27, 0.05 * eye, 0.08 * eye))
    colour = _blend(colour, flat(1, 1, 1), ellipse(0.32, 0.20, 0.032, 0.045))
    lash = _step(0.035 - (y - 0.26 + 0.165 * eye - (side - 0.36) * (side - 0.36) * 3.0).abs(), 0.03) * (side > 0.16) * (side < 0.58) * head
    colour = _blend(colour, flat(0.10, 0.07, 0.07), lash * 0.9)
    brow = _step(0.045 - (y + 0.16 + 0.12 * eye - (side - 0.38) * (side - 0.38) * 1.6).abs(), 0.04) * (side > 0.18) * (side < 0.60) * head
    colour = _blend(colour, hair * 0.75, brow)
    curve = y - 1.04 + person["smile"] * side * side * 4
    mouth = _step(0.05 - curve.abs(), 0.04) * _step(0.27 - side, 0.06) * head
    colour = _blend(colour, skin * flat(0.72, 0.36, 0.36) + flat(0.06, 0, 0), mouth)
    beard = _step(y - 0.82 - 0.25 * _step(0.24 - side, 0.1) + 0.5 * (side - 0.9).clamp_min(0), 0.12) * (side < 1.5) * head
    colour = _blend(colour, hair * 0.9, beard * person["beard"] * (1 - mouth) * 0.85)
    ring = ((side - 0.36) * (side - 0.36) / 0.075 + (y - 0.26) * (y - 0.26) / 0.085).sqrt()
    frame = torch.maximum(_step(0.09 - (ring - 1).abs(), 0.06), _step(0.035 - (y - 0.2).abs(), 0.03) * ((side < 0.12) | (side > 0.6)) * (side < 1.5))
    colour = _blend(colour, flat(0.12, 0.11, 0.13), frame * person["glasses"] * head)
    # Hair: the crown, a fringe parted to one side, and everything behind the ears.
    parting = (x - 0.25) * (person["hairline"] * 0.5 + 0.05)
    line = -0.30 + person["fringe"] * 0.5 - parting.abs() * 0.4 + 0.30 * (side - 0.75).clamp_min(0) + 1.6 * (side - 1.25).clamp_min(0)
    strands = 0.92 + 0.16 * _wave(x * 5 + y * 1.5)
    colour = _blend(colour, hair * strands, _step(line - y, 0.05) * head)
    ear = ellipse(1.45, 0.42, 0.12, 0.22, 0.3)
    colour = _blend(colour, skin * flat(0.93, 0.82, 0.80), ear)
    locks = (part == INDEX["hair"]) | (part == INDEX["bun"])
    return _blend(colour, hair * (0.86 + 0.24 * _wave(turn * 9 + along * 0.7)), locks * 1.0)
