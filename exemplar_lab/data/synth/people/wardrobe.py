"""Who a figure is: its measures, and what it wears. Nothing here depends on the pose, so it is the same in both images of a
pair."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.data.seeds import choose, uniform
from exemplar_lab.data.synth.people.body import PARTS, TWIN
from exemplar_lab.data.synth.people.palettes import OUTSIDE, WITHIN

_ODD = ("other_shoe", "other_limb", "other_leg")
"""What the left side wears when left and right differ by the dial; the left sleeve then is the odd one."""
MATERIALS = ("skin", "top", "bottom", "shoe", "hair", "sleeve", "sock", "hat", "bag", *_ODD)
PATTERNS = ("plain", "stripes", "checks", "dots", "blocks", "zigzag", "diamonds")
_WITHIN, _OUTSIDE = (1.6, 3, 1.5, 1.5, 1.2, 0, 0), (0, 0, 0, 0, 0, 1, 1)
"""How often tops show each pattern: in train, val and test, and in ood."""
CHEST_LENGTH, CHEST_GIRTH = 0.175, 0.09
"""In body heights, as patterns measure it; the girth is the radius."""
_WORN = 0.15
"""Chance of a hat, and of a bag, that belong to who one is and are there in both images."""

FABRIC = ("red", "green", "blue", "red2", "green2", "blue2", "pattern", "period", "around", "tilt_sin", "tilt_cos", "duty")
"""What is known of a material: first and second colour, index into PATTERNS, length of one repeat along and around in body
heights, the tilt, and the share of a repeat that has the second colour."""


class Wardrobe(NamedTuple):
    """Colours and patterns of b figures, float32."""

    fabric: Float[Tensor, "fabric b materials"]
    cover: Float[Tensor, "3 b parts"]
    """The material of a part up to along = cut, the material beyond, and cut."""
    person: dict[str, Float[Tensor, " b"]]


_HAIR_STYLES = {  # short, bob, long, ponytail, bun, afro, shaved
    "hair_girth": (0.074, 0.080, 0.079, 0.073, 0.073, 0.104, 0.0),
    "hair_back": (0.012, 0.034, 0.038, 0.012, 0.012, 0.060, 0.0),
    "hair_length": (0.012, 0.062, 0.165, 0.012, 0.010, 0.006, 0.010),
    "hair_taper": (0.95, 0.98, 0.80, 0.95, 0.95, 1.0, 1.0),
    "bun_girth": (0.0, 0.0, 0.0, 0.026, 0.034, 0.0, 0.0),
    "bun_back": (0.0, 0.0, 0.0, 0.078, 0.040, 0.0, 0.0),
    "bun_up": (0.0, 0.0, 0.0, 0.030, 0.074, 0.0, 0.0),
    "bun_length": (0.01, 0.01, 0.01, 0.120, 0.006, 0.01, 0.01),
    "bun_taper": (1.0, 1.0, 1.0, 0.45, 1.0, 1.0, 1.0),
}
_SHORT, _SHAVED = 0, 6
_HATS = {  # cap, brimmed hat, beanie with a bobble, which is its brim
    "hat_girth": (0.081, 0.081, 0.084),
    "hat_up": (0.040, 0.062, 0.046),
    "hat_back": (0.009, 0.009, 0.009),
    "hat_length": (0.024, 0.046, 0.036),
    "hat_dome": (0.56, 0.20, 0.72),
    "hat_taper": (0.95, 0.86, 0.92),
    "brim_girth": (0.056, 0.128, 0.024),
    "brim_up": (0.014, 0.018, 0.122),
    "brim_forward": (0.050, 0.0, -0.004),
    "brim_length": (0.004, 0.004, 0.004),
    "brim_flat": (0.26, 0.19, 0.95),
    "brim_behind": (0.9, 1.6, 0.0),
}
_SLEEVE_ENDS = (0.12, 0.62, 0.85, 1.5, 1.94)
"""Where sleeves end: 0 … 1 on the upper arm, 1 … 2 on the forearm."""
_LEG_ENDS = (0.62, 0.9, 1.55, 1.93)
_TILTS = (0.0, math.pi / 2, 0.7, -0.7)


def draw_identity(
    key: Int[Tensor, " b"], outside: bool = False, distinct: float | None = None, repetition: int = 0
) -> tuple[dict[str, Tensor], Wardrobe]:
    """The measures of a body (body heights, float64) and its wardrobe (float32), by the key of the sample.

    outside: patterns and palettes of the split ood. distinct, repetition: the dials.
    """
    measures = _measures(key)
    palette = OUTSIDE if outside else WITHIN
    colours = _colours(key, measures, palette)
    patterns = _patterns(key, measures, _OUTSIDE if outside else _WITHIN, repetition)
    differs = None if distinct is None else _chance(key, "distinct", distinct)
    odd = _chance(key, "odd sleeve", 0.12) if differs is None else differs
    differs = torch.zeros_like(odd) if differs is None else differs
    covers = _dress(measures, odd, uniform(key, "sock", (), -0.2, 0.6), differs)
    fabric, cover = (torch.stack([torch.stack(v, dim=1) for v in of]).float() for of in ([*colours, *patterns], covers))
    person = _character(key, measures, _OUTSIDE if outside else _WITHIN, repetition)
    return measures, Wardrobe(fabric, cover, {name: v.float() for name, v in person.items()})


def _chance(key: Tensor, name: str, probability: float) -> Tensor:
    return (uniform(key, name) < probability).double()


def _pick(key: Tensor, name: str, values: tuple, weights: tuple[float | int, ...] | None = None) -> Tensor:
    """One of `values` (numbers or colours) per sample, in proportion to `weights`."""
    table = torch.tensor(values, dtype=torch.float64, device=key.device)
    return table[choose(key, name, weights or (1,) * len(values))]


def _measures(key: Tensor) -> dict[str, Tensor]:
    slim = uniform(key, "slim")
    dress = _chance(key, "dress", 0.16)
    skirt = torch.maximum(dress, _chance(key, "skirt", 0.14))
    style = choose(key, "hair style", (3, 2, 2, 1.6, 1.6, 1, 0.5))
    sleeve = _pick(key, "sleeve end", _SLEEVE_ENDS, (0.6, 3, 1, 1, 3))
    leg = torch.where(skirt > 0, 0.0, _pick(key, "leg end", _LEG_ENDS, (0.8, 1, 0.7, 4)))
    hair = {name: torch.tensor(values, dtype=torch.float64, device=key.device)[style] for name, values in _HAIR_STYLES.items()}
    worn = choose(key, "hat kind", (1, 1, 1))
    hat = {name: torch.tensor(values, dtype=torch.float64, device=key.device)[worn] for name, values in _HATS.items()}
    head = uniform(key, "head", (), 0.065, 0.071)
    return (
        hair
        | hat
        | {
            "hat": _chance(key, "hat", _WORN),
            "bag": _chance(key, "bag", _WORN),
            "backpack": _chance(key, "backpack", 0.5),
            "shoulders": uniform(key, "shoulders", (), 0.076, 0.090),
            "chest": 0.088 + 0.012 * slim + uniform(key, "chest", (), -0.004, 0.004),
            "waist": 0.064 + 0.016 * slim + uniform(key, "waist", (), -0.003, 0.004),
            "hips": 0.080 + 0.010 * slim + uniform(key, "hips", (), -0.004, 0.006),
            "build": 0.90 + 0.22 * slim,
            "head": head,
            "face": uniform(key, "face", (), 0.051, 0.060),
            "style": style,
            "dress": dress,
            "skirt": skirt,
            "skirt_length": uniform(key, "skirt length", (), 0.70, 1.05),
            "flare": uniform(key, "flare", (), 1.35, 1.7),
            "top_cloth": uniform(key, "top cloth", (), 0.002, 0.006) * (1 - dress),
            "top_hem": torch.where(dress > 0, 2.0, uniform(key, "top hem", (), 1.25, 1.75)),
            "sleeve_cloth": uniform(key, "sleeve cloth", (), 0.002, 0.007),
            "leg_cloth": uniform(key, "leg cloth", (), 0.002, 0.007),
            **{f"{name}_{side}": end for name, end in (("sleeve", sleeve), ("leg", leg)) for side in ("right", "left")},
        }
    )


def _apart(colour: Tensor, ground: Tensor, least: float) -> Tensor:
    """The colour, or light or dark of the ground where the two would be too close to tell apart."""
    apart = (colour - ground).abs()
    close = (apart[:, 0] + apart[:, 1] + apart[:, 2] < least)[:, None]
    light = (ground[:, 0] + ground[:, 1] + ground[:, 2] > 1.6)[:, None]
    return torch.where(close, torch.where(light, ground * 0.45, ground * 0.4 + 0.6), colour)


def under_hat(measures: dict[str, Tensor]) -> dict[str, Tensor]:
    """Hair as a hat presses it: closer to the head, and a bun hangs low."""
    bare = 1 - measures["hat"]
    pressed = {
        "hair_girth": measures["hair_girth"].clamp_max(0.064),
        "hair_back": measures["hair_back"].clamp(0.030, 0.034),
        "bun_up": measures["bun_up"].clamp_max(-0.01),
        "bun_back": measures["bun_back"].clamp_min(0.072),
    }
    return {name: value + (measures[name] - value) * bare for name, value in pressed.items()}


def _colours(key: Tensor, measures: dict[str, Tensor], palette: dict[str, tuple]) -> list[list[Tensor]]:
    """Red, green and blue of the first and then the second colour of every material."""
    skin = _pick(key, "skin", palette["skin"]) * uniform(key, "skin shade", (1,), 0.94, 1.02)
    hair, top, accent = (
        _pick(key, name, palette[of]) for name, of in (("hair", "hair"), ("top", "cloth"), ("accent", "cloth"))
    )
    bottom, shoe = _pick(key, "bottom", palette["trousers"]), _pick(key, "shoe", palette["shoe"])
    hat, bag, other = (_pick(key, name, palette["cloth"]) for name in ("hat colour", "bag colour", "other side"))
    accent = _apart(accent, top, 0.5)
    dress, skirt = measures["dress"][:, None] > 0, measures["skirt"][:, None] > 0
    second_bottom = torch.where(dress, accent, bottom * 0.72 + 0.05)
    skirt_colour = torch.where(choose(key, "skirt is", (1, 1))[:, None] > 0, bottom, accent)
    bottom = torch.where(dress, top, torch.where(skirt, skirt_colour, bottom))
    white = torch.full_like(skin, 0.93)
    first = {"skin": skin, "top": top, "bottom": bottom, "shoe": shoe, "hair": hair, "sleeve": accent, "sock": white}
    first |= {"hat": _apart(hat, hair, 0.6), "bag": _apart(bag, top, 0.6) * 0.9}
    first |= {
        "other_shoe": _apart(_pick(key, "other shoe", palette["shoe"]), shoe, 0.8),
        "other_limb": torch.where(((other - skin).abs().amax(1) < 0.4)[:, None], 1 - skin, other),
        "other_leg": _apart(_pick(key, "other leg", palette["trousers"]), bottom, 0.8),
    }
    second = first | {"top": accent, "bottom": second_bottom, "shoe": white, "hair": hair * 0.8, "sleeve": top, "sock": accent}
    second |= {"hat": first["hat"] * 0.55, "bag": first["bag"] * 0.6}
    return [[colour[name][:, i] for name in MATERIALS] for colour in (first, second) for i in range(3)]


def _patterns(key: Tensor, measures: dict[str, Tensor], weights: tuple, repetition: int) -> list[list[Tensor]]:
    """Pattern, period along and around, sine and cosine of the tilt, and duty of every material."""
    zero = torch.zeros_like(measures["skirt"])
    plain = {"pattern": zero, "period": zero + 1, "around": zero + 1, "tilt": zero, "duty": zero}
    top = {
        "pattern": choose(key, "top pattern", weights).double(),
        "period": uniform(key, "period", (), 0.038, 0.085),
        "around": uniform(key, "period", (), 0.038, 0.085),
        "tilt": _pick(key, "tilt", _TILTS, (3, 1, 1.2, 0.8)),
        "duty": uniform(key, "duty", (), 0.25, 0.6),
    }
    if repetition:
        top |= {
            "pattern": choose(key, "repeated pattern", (0, 1, 1, 1)).double(),
            "period": zero + CHEST_LENGTH / repetition,
            "around": zero + 2 * math.pi * CHEST_GIRTH / repetition,
            "tilt": zero,
        }
    low = (5, 0.7, 1, 0.3, 0, 0, 0) if weights is _WITHIN else (5, 0, 0, 0, 0, 1, 1)
    bottom = {
        "pattern": choose(key, "bottom pattern", low).double(),
        "period": uniform(key, "low period", (), 0.045, 0.075),
        "around": uniform(key, "low period", (), 0.045, 0.075),
        "tilt": _pick(key, "low tilt", (0.0, math.pi / 2)),
        "duty": top["duty"],
    }
    bottom = {name: torch.where(measures["dress"] > 0, top[name], bottom[name]) for name in bottom}
    striped = {
        "pattern": zero + PATTERNS.index("stripes"),
        "period": zero + 0.05,
        "around": zero + 0.05,
        "tilt": zero,
        "duty": zero + 0.5,
    }
    sleeve = striped | {"pattern": striped["pattern"] * _chance(key, "odd pattern", 0.5)}
    by_material = {
        "top": top,
        "bottom": bottom,
        "sleeve": sleeve,
        "sock": striped | {"period": zero + 0.03, "duty": zero + 0.3},
    }
    wanted = [by_material.get(name, plain) for name in MATERIALS]
    tilts = [w["tilt"] for w in wanted]
    pattern, period, around, duty = ([w[name] for w in wanted] for name in ("pattern", "period", "around", "duty"))
    return [pattern, period, around, [t.sin() for t in tilts], [t.cos() for t in tilts], duty]


def _character(key: Tensor, measures: dict[str, Tensor], weights: tuple, repetition: int) -> dict[str, Tensor]:
    """What `details` paints."""
    style, plain_legs = measures["style"], 1 - measures["skirt"]
    bare = (style == _SHORT) | (style == _SHAVED)
    return {
        "hairline": uniform(key, "hairline"),
        "fringe": torch.where(style == _SHAVED, -1.6, uniform(key, "fringe", (), -0.5, 0.25)),
        "smile": uniform(key, "smile", (), 0.0, 0.55),
        "eye": uniform(key, "eye", (), 0.9, 1.25),
        "iris_hue": uniform(key, "iris hue"),
        "badge": _chance(key, "badge", 0.4) * (choose(key, "top pattern", weights) == 0) * (repetition == 0),
        "neckline": uniform(key, "neckline", (), 0.1, 0.55),
        "vee": _chance(key, "vee", 0.4),
        "belt": _chance(key, "belt", 0.5) * (1 - measures["dress"]),
        "beard": _chance(key, "beard", 0.22) * bare,
        "glasses": _chance(key, "glasses", 0.2),
        "creases": torch.full_like(plain_legs, float(repetition == 0)),
        "side_stripe": _chance(key, "side stripe", 0.25) * plain_legs,
    }


def _dress(measures: dict[str, Tensor], odd: Tensor, sock: Tensor, differs: Tensor) -> list[list[Tensor]]:
    """Which material covers each part, which lies beyond, and where along the part it changes."""
    zero = torch.zeros_like(odd)
    never = zero + 9
    of = {name: zero + i for i, name in enumerate(MATERIALS)}
    worn = {part: (of["skin"], of["skin"], never) for part in PARTS}
    worn["chest"] = of["top"], of["bottom"], measures["top_hem"]
    worn["pelvis"] = of["top"], of["bottom"], measures["top_hem"] - 1
    worn["skirt"] = of["bottom"], of["bottom"], never
    worn["hair"] = worn["bun"] = of["hair"], of["hair"], never
    worn["hat"] = worn["brim"] = of["hat"], of["hat"], never
    worn["bag"] = worn["strap_right"] = worn["strap_left"] = of["bag"], of["bag"], never
    for side in ("right", "left"):
        other = differs if side == "left" else zero

        def either(name, instead, other=other):
            return torch.where(other > 0, of[instead], of[name])

        cloth = torch.where(odd > 0, of["sleeve"], of["top"]) if side == "left" else of["top"]
        skin, bottom, shoe = either("skin", "other_limb"), either("bottom", "other_leg"), either("shoe", "other_shoe")
        cuff, leg = measures[f"sleeve_{side}"], measures[f"leg_{side}"]
        worn[f"upper_arm_{side}"] = cloth, skin, cuff
        worn[f"forearm_{side}"] = cloth, skin, cuff - 1
        worn[f"hand_{side}"] = skin, skin, never
        worn[f"thigh_{side}"] = bottom, skin, leg
        # Below shorts and skirts there may be a sock; below the knee trousers end in skin, or at the shoe.
        short = leg < 1
        end = torch.where(short, 1 - sock.clamp_min(0), torch.where(leg < 1.9, leg - 1, never))
        worn[f"shin_{side}"] = torch.where(short, skin, bottom), torch.where(short, of["sock"], skin), end
        worn[f"foot_{side}"] = shoe, shoe, never
    return [[worn[part][i] for part in PARTS] for i in range(3)]


def twins_alike(wardrobe: Wardrobe) -> Float[Tensor, "b parts"]:
    """1 where the part looks as its twin does: everywhere but on the arms of those who wear an odd sleeve, and on all limbs of
    those whose left and right differ."""
    return (wardrobe.cover == wardrobe.cover[:, :, TWIN]).all(0).float()
