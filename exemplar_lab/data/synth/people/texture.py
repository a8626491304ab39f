"""Colour before light, as a function of the surface point alone: the same point has the same colour in every pose."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.data.synth.curves import step, turn_of, wave
from exemplar_lab.data.synth.lattice import clouds
from exemplar_lab.data.synth.people.body import INDEX, PARTS, TWIN
from exemplar_lab.data.synth.people.cast import part_slices
from exemplar_lab.data.synth.people.details import DETAILS, Point
from exemplar_lab.data.synth.people.wardrobe import CHEST_GIRTH, CHEST_LENGTH, FABRIC, MATERIALS, PATTERNS, Wardrobe

# Length, girth and start of the pattern along each part, in body heights; limbs go on where their upper part ends.
_LENGTH = {
    "chest": CHEST_LENGTH,
    "pelvis": 0.105,
    "head": 0.05,
    "skirt": 0.2,
    "upper_arm": 0.15,
    "forearm": 0.13,
    "thigh": 0.215,
    "shin": 0.215,
}
_GIRTH = {
    "chest": CHEST_GIRTH,
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


class Look(NamedTuple):
    """A wardrobe as the painter wants it: all that is known of a tube in one column."""

    tubes: Float[Tensor, "q t"]
    """Fabric up to the cut, fabric beyond, the cut, four flags, length, girth, start and mirror of the pattern; t = figure ·
    parts + part."""
    people: Float[Tensor, "p b"]
    """Colours of skin, hair and bottom, then the numbers of `names`."""
    names: tuple[str, ...]
    seed: Int[Tensor, " b"]
    entropy: float | None


def look_of(wardrobe: Wardrobe, seed: Int[Tensor, " b"], entropy: float | None = None) -> Look:
    """`entropy` is the dial, and `seed` what its noise is drawn from."""
    fabric, cover = wardrobe.fabric, wardrobe.cover
    samples = fabric.shape[1]
    worn = [fabric.gather(2, cover[i].long().expand(len(FABRIC), -1, -1)) for i in (0, 1)]
    constant = [_per_part(table, default) for table, default in ((_LENGTH, 0.05), (_GIRTH, 0.03), (_START, 0.0))]
    constant += [tuple(-1.0 if twin < i else 1.0 for i, twin in enumerate(TWIN))]
    flags = [sum((cover[i] == MATERIALS.index(name)).float() for name in names) for names in _FLAGS for i in (0, 1)]
    tubes = torch.cat([*worn, torch.stack([cover[2], *flags]), fabric.new_tensor(constant)[:, None].expand(-1, samples, -1)])
    colours = [fabric[:3, :, MATERIALS.index(name)] for name in ("skin", "hair", "bottom")]
    people = torch.cat([*colours, torch.stack(list(wardrobe.person.values()))])
    return Look(tubes.flatten(1), people, tuple(wardrobe.person), seed, entropy)


_FLAGS = (("skin", "hair", "hat", "other_limb"), ("bottom", "other_leg"))
"""Materials without creases; materials that trousers and skirts are made of."""


def albedo(
    look: Look, figure: Int[Tensor, " n"], part: Int[Tensor, " n"], along: Float[Tensor, "n k"], sin: Tensor, cos: Tensor
) -> Float[Tensor, "3 n k"]:
    """Colours in [0, 1] of k surface points on each of n tubes, in the order of their parts; `figure` names the wardrobe."""
    tube = look.tubes.index_select(1, figure * len(PARTS) + part)[..., None]
    kinds = len(FABRIC)
    inner, outer = tube[:kinds], tube[kinds : 2 * kinds]
    cut, bare_in, bare_out, low_in, low_out, length, girth, start, mirror = tube[2 * kinds :].unbind(0)
    people = look.people.index_select(1, figure)[..., None]
    person = dict(zip(look.names, people[9:].unbind(0), strict=True))
    turn = turn_of(sin * mirror, cos)
    # The back repeats the front mirrored, so that patterns meet at the sides, as cloth does, and not behind.
    front = turn.clamp(-0.5, 0.5)
    down, around = start + length * along, (girth * 3.1415927) * (front * 2 - turn)
    beyond = ((along - cut) * 1e6).clamp(0, 1)
    colour = _woven(inner, down, around)
    colour = colour + (_woven(outer, down, around) - colour) * beyond
    plain = inner[:3] + (outer[:3] - inner[:3]) * beyond
    # A darker seam where one material ends, and soft creases that lend the cloth some life.
    hem = 1 - 0.22 * step(0.02 - (along - cut).abs(), 0.02)
    cloth = ((1 - bare_in) + (bare_in - bare_out) * beyond) * (0.05 * person["creases"])
    colour = colour * (hem * (1 + (wave(down * 19 + around * 9) + wave(down * 8 - around * 17) - 1) * cloth))
    low = low_in + (low_out - low_in) * beyond
    at = Point(part[:, None], along, turn, down, around, low, inner[3:6], people[:3], people[3:6], people[6:9])
    found = dict(part_slices(part))
    for parts, details in DETAILS.items():
        spans = [found[INDEX[name]] for name in parts if INDEX[name] in found]
        if spans:
            rows = slice(spans[0].start, spans[-1].stop)
            here = Point(*(v[rows] if v.dim() == 2 else v[:, rows] for v in at))
            colour[:, rows] = details(colour[:, rows], here, {name: v[rows] for name, v in person.items()})
    if look.entropy is not None:
        colour = _stir(look.entropy, colour, plain, look.seed[figure] + part.int() * 9176, down, around)
    return colour.clamp(0, 1)


def repeats_of(look: Look) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """One repeat of the pattern of each tube: along, the sine and cosine of the turn, and 1 where there is a pattern; (t,)."""
    kinds = len(FABRIC)
    pattern, period, around = look.tubes[FABRIC.index("pattern") : FABRIC.index("around") + 1].double()
    length, girth = look.tubes[2 * kinds + 5 : 2 * kinds + 7].double()
    turn = around / girth
    return (period / length).float(), turn.sin().float(), turn.cos().float(), (pattern > 0).float()


def _woven(fabric: Float[Tensor, "f n 1"], down: Tensor, around: Tensor) -> Float[Tensor, "3 n k"]:
    """Two colours in a pattern; only tubes that have one are asked for it."""
    colour = fabric[:3].expand(-1, -1, down.shape[1])
    rows = fabric[6, :, 0].nonzero().flatten()
    if not len(rows):
        return colour
    first, second = fabric[:3, rows], fabric[3:6, rows]
    pattern, period, period_around, tilt_sin, tilt_cos, duty = fabric[6:, rows].unbind(0)
    down, around = down[rows], around[rows]
    lengthways = down * (tilt_cos / period) + around * (tilt_sin / period)
    crossways = around * (tilt_cos / period_around) - down * (tilt_sin / period_around)
    high, wide = wave(lengthways), wave(crossways)
    stripe, cross = step(high - 1 + duty, 0.12), step(wide - 1 + duty, 0.12)
    lozenge = (1 - wide) + (1 - high)
    drawn = {
        "stripes": stripe,
        "checks": (stripe + cross) * 0.5,
        "dots": step(0.5 - ((1 - wide) * (1 - wide) + (1 - high) * (1 - high)).sqrt(), 0.15),
        "blocks": step(0.105 - down, 0.004),
        "zigzag": step(wave(lengthways + wide * 0.5) - 1 + duty, 0.12),
        "diamonds": torch.maximum(step(0.72 - lozenge, 0.12), 0.7 * step(0.06 - (lozenge - 1).abs(), 0.08)),
    }
    mix = sum(value * (pattern == PATTERNS.index(name)) for name, value in drawn.items())
    return colour.index_copy(1, rows, first + (second - first) * mix)


def _stir(entropy: float, colour: Tensor, plain: Tensor, seed: Tensor, down: Tensor, around: Tensor) -> Tensor:
    """The dial entropy: 0 flat colours, ½ as drawn, 1 a colour of its own for every point."""
    colour = plain + (colour - plain) * min(1.0, 2 * entropy)
    if entropy <= 0.5:
        return colour
    noise = torch.stack([clouds(seed[:, None] + i * 77731, down * 32, around * 32, 3) for i in range(3)])
    return colour + ((noise - 0.5) * 2.4 + 0.5 - colour) * (2 * entropy - 1)
