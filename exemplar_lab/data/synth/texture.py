"""Colour before light, as a function of the surface point alone: the same point has the same colour in every pose."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.data.synth.body import PARTS, TWIN
from exemplar_lab.data.synth.details import DETAILS, Point, step, wave
from exemplar_lab.data.synth.wardrobe import MATERIALS, PATTERNS, Wardrobe

# Length, girth and start of the pattern along each part, in body heights; limbs go on where their upper part ends.
_LENGTH = {
    "chest": 0.175,
    "pelvis": 0.105,
    "head": 0.05,
    "skirt": 0.2,
    "upper_arm": 0.15,
    "forearm": 0.13,
    "thigh": 0.215,
    "shin": 0.215,
}
_GIRTH = {
    "chest": 0.09,
    "pelvis": 0.08,
    "head": 0.062,
    "skirt": 0.11,
    "upper_arm": 0.034,
    "forearm": 0.03,
    "thigh": 0.05,
    "shin": 0.04,
}
_START = {"pelvis": 0.175, "skirt": 0.22, "forearm": 0.15, "shin": 0.215}


def _per_part(values: dict[str, float], default: float) -> tuple[float, ...]:
    return tuple(values.get(name.removesuffix("_right").removesuffix("_left"), default) for name in PARTS)


def turn_of(sin: Tensor, cos: Tensor) -> Tensor:
    """The angle of (sin, cos) as a fraction of half a turn, in [−1, 1]; a polynomial, right to 3e-6, of operations that round
    alike."""
    low, high = torch.minimum(sin.abs(), cos.abs()), torch.maximum(sin.abs(), cos.abs()).clamp_min(1e-12)
    a = low / high
    q = a * a
    angle = a * (0.99997726 + q * (-0.33262347 + q * (0.19354346 + q * (-0.11643287 + q * (0.05265332 - q * 0.01172120)))))
    angle = torch.where(sin.abs() > cos.abs(), 1.5707963 - angle, angle)
    angle = torch.where(cos < 0, 3.1415927 - angle, angle)
    return torch.where(sin < 0, -angle, angle) * 0.31830987


def albedo(
    wardrobe: Wardrobe, owner: Int[Tensor, " n"], part: Int[Tensor, " n"], along: Float[Tensor, " n"], sin: Tensor, cos: Tensor
) -> Float[Tensor, "3 n"]:
    """Colours in [0, 1] of n surface points; owner names the sample."""
    device = along.device
    mirrored = torch.tensor([-1.0 if twin < i else 1.0 for i, twin in enumerate(TWIN)], device=device)[part]
    sin = sin * mirrored
    turn = turn_of(sin, cos)
    length, girth, start = (
        torch.tensor(_per_part(table, default), device=device)[part]
        for table, default in ((_LENGTH, 0.05), (_GIRTH, 0.03), (_START, 0.0))
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
    stripe = step(wave(lengthways) - 1 + duty, 0.12)
    cross = step(wave(crossways) - 1 + duty, 0.12)
    dot_x, dot_y = wave(crossways), wave(lengthways)
    dots = step(0.5 - ((1 - dot_x) * (1 - dot_x) + (1 - dot_y) * (1 - dot_y)).sqrt(), 0.15)
    blocks = step(0.105 - down, 0.004)
    patterns = {
        "plain": torch.zeros_like(stripe),
        "stripes": stripe,
        "checks": (stripe + cross) * 0.5,
        "dots": dots,
        "blocks": blocks,
    }
    mix = torch.zeros_like(stripe)
    for number, name in enumerate(PATTERNS):
        mix = torch.where(pattern == number, patterns[name], mix)
    colour = first + (second - first) * mix
    # A darker seam where one material ends, and soft creases that lend the cloth some life.
    hem = 1 - 0.22 * step(0.02 - (along - cut).abs(), 0.02)
    cloth_here = (material != MATERIALS.index("skin")) & (material != MATERIALS.index("hair"))
    creases = wave(down * 19 + around * 9) + wave(down * 8 - around * 17) - 1
    colour = colour * (hem * (1 + 0.05 * creases * cloth_here))

    for parts, details in DETAILS.items():
        wanted = torch.tensor([name in parts for name in PARTS], device=device)
        at = wanted[part].nonzero().flatten()
        person = {name: v[owner[at]] for name, v in wardrobe.person.items()}
        of_sample = [
            torch.stack([v[:, MATERIALS.index(name)] for v in wardrobe[:6]])[:, owner[at]]
            for name in ("skin", "hair", "bottom")
        ]
        point = Point(part[at], along[at], turn[at], down[at], around[at], cloth[:6, at], *of_sample)
        colour.index_copy_(1, at, details(colour[:, at], point, person))
    return colour.clamp(0, 1)
