"""Who a figure is: its measures, and what it wears. Nothing here depends on the pose, so it is the same in both images of a
pair."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.data.seeds import choose, uniform
from exemplar_lab.data.synth.body import INDEX, PARTS

MATERIALS = ("skin", "top", "bottom", "shoe", "hair", "sleeve", "sock")
PATTERNS = ("plain", "stripes", "checks", "dots", "blocks")

_SKIN = (
    (1.00, 0.86, 0.76),
    (0.98, 0.80, 0.67),
    (0.93, 0.72, 0.56),
    (0.83, 0.60, 0.44),
    (0.68, 0.46, 0.33),
    (0.50, 0.33, 0.24),
    (0.38, 0.25, 0.19),
)
_HAIR = (
    *((0.11, 0.09, 0.10), (0.20, 0.13, 0.10), (0.36, 0.22, 0.14), (0.52, 0.32, 0.18), (0.82, 0.62, 0.34), (0.93, 0.80, 0.54)),
    *((0.66, 0.28, 0.14), (0.72, 0.72, 0.74), (0.85, 0.36, 0.52), (0.22, 0.46, 0.62)),
)
_CLOTH = (
    *((0.90, 0.32, 0.27), (0.95, 0.58, 0.25), (0.97, 0.79, 0.33), (0.56, 0.74, 0.36), (0.22, 0.60, 0.50), (0.25, 0.56, 0.78)),
    *((0.26, 0.36, 0.66), (0.52, 0.38, 0.68), (0.90, 0.50, 0.62), (0.96, 0.94, 0.89), (0.70, 0.20, 0.30), (0.42, 0.76, 0.80)),
    *((0.85, 0.70, 0.52), (0.30, 0.33, 0.40), (0.96, 0.66, 0.58), (0.35, 0.48, 0.34)),
)
_TROUSERS = (
    *((0.27, 0.38, 0.58), (0.19, 0.25, 0.40), (0.46, 0.58, 0.74), (0.24, 0.24, 0.28), (0.62, 0.52, 0.38), (0.42, 0.44, 0.34)),
    *((0.50, 0.24, 0.26), (0.84, 0.80, 0.72), (0.34, 0.28, 0.42), (0.20, 0.42, 0.44)),
)
_SHOES = (
    (0.94, 0.94, 0.94),
    (0.16, 0.16, 0.18),
    (0.80, 0.24, 0.22),
    (0.44, 0.28, 0.18),
    (0.24, 0.36, 0.62),
    (0.95, 0.80, 0.35),
)


class Wardrobe(NamedTuple):
    """Colours and patterns. The first fields are (b, materials); `inner`, `outer` are (b, parts); the rest is one number per
    figure."""

    red: Tensor
    green: Tensor
    blue: Tensor
    red2: Tensor
    green2: Tensor
    blue2: Tensor
    pattern: Tensor
    """Index into PATTERNS."""
    period: Tensor
    """Length of one repeat, in body heights."""
    tilt_sin: Tensor
    tilt_cos: Tensor
    duty: Tensor
    """Share of a repeat that has the second colour."""
    inner: Tensor
    """Material of a part up to along = cut."""
    outer: Tensor
    """Material beyond."""
    cut: Tensor
    person: dict[str, Tensor]


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
_SLEEVE_ENDS = (0.12, 0.62, 0.85, 1.5, 1.94)
"""Where sleeves end: 0 … 1 on the upper arm, 1 … 2 on the forearm."""
_LEG_ENDS = (0.62, 0.9, 1.55, 1.93)
_TILTS = (0.0, math.pi / 2, 0.7, -0.7)


def draw_identity(key: Int[Tensor, " b"]) -> tuple[dict[str, Tensor], Wardrobe]:
    """The measures of a body (body heights, float64) and its wardrobe (float32), by the key of the sample."""
    measures = _measures(key)
    colours = _colours(key, measures)
    patterns = _patterns(key, measures)
    odd = _chance(key, "odd sleeve", 0.12)
    covers = _dress(measures, odd, uniform(key, "sock", (), -0.2, 0.6))
    columns = [torch.stack(v, dim=1).float() for v in (*colours, *patterns, *covers)]
    person = {name: v.float() for name, v in _character(key, measures).items()}
    return measures, Wardrobe(*columns, person)


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
    return hair | {
        "shoulders": uniform(key, "shoulders", (), 0.076, 0.090),
        "chest": 0.088 + 0.012 * slim + uniform(key, "chest", (), -0.004, 0.004),
        "waist": 0.064 + 0.016 * slim + uniform(key, "waist", (), -0.003, 0.004),
        "hips": 0.080 + 0.010 * slim + uniform(key, "hips", (), -0.004, 0.006),
        "build": 0.90 + 0.22 * slim,
        "head": uniform(key, "head", (), 0.065, 0.071),
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


def _colours(key: Tensor, measures: dict[str, Tensor]) -> list[list[Tensor]]:
    """Red, green and blue of the first and then the second colour of every material."""
    skin = _pick(key, "skin", _SKIN) * uniform(key, "skin shade", (1,), 0.94, 1.02)
    hair, top, accent = _pick(key, "hair", _HAIR), _pick(key, "top", _CLOTH), _pick(key, "accent", _CLOTH)
    bottom, shoe = _pick(key, "bottom", _TROUSERS), _pick(key, "shoe", _SHOES)
    # An accent too close to its ground would hide the pattern, so it is moved to light or dark.
    apart = (accent - top).abs()
    close = (apart[:, 0] + apart[:, 1] + apart[:, 2] < 0.5)[:, None]
    light = (top[:, 0] + top[:, 1] + top[:, 2] > 1.6)[:, None]
    accent = torch.where(close, torch.where(light, top * 0.45, top * 0.4 + 0.6), accent)
    dress, skirt = measures["dress"][:, None] > 0, measures["skirt"][:, None] > 0
    second_bottom = torch.where(dress, accent, bottom * 0.72 + 0.05)
    skirt_colour = torch.where(choose(key, "skirt is", (1, 1))[:, None] > 0, bottom, accent)
    bottom = torch.where(dress, top, torch.where(skirt, skirt_colour, bottom))
    white = torch.full_like(skin, 0.93)
    first = {"skin": skin, "top": top, "bottom": bottom, "shoe": shoe, "hair": hair, "sleeve": accent, "sock": white}
    second = first | {"top": accent, "bottom": second_bottom, "shoe": white, "hair": hair * 0.8, "sleeve": top, "sock": accent}
    return [[colour[name][:, i] for name in MATERIALS] for colour in (first, second) for i in range(3)]


def _patterns(key: Tensor, measures: dict[str, Tensor]) -> list[list[Tensor]]:
    """Pattern, period, sine and cosine of the tilt, and duty of every material."""
    zero = torch.zeros_like(measures["skirt"])
    plain = {"pattern": zero, "period": zero + 1, "tilt": zero, "duty": zero}
    top = {
        "pattern": choose(key, "top pattern", (1.6, 3, 1.5, 1.5, 1.2)).double(),
        "period": uniform(key, "period", (), 0.038, 0.085),
        "tilt": _pick(key, "tilt", _TILTS, (3, 1, 1.2, 0.8)),
        "duty": uniform(key, "duty", (), 0.25, 0.6),
    }
    bottom = {
        "pattern": choose(key, "bottom pattern", (5, 0.7, 1, 0.3)).double(),
        "period": uniform(key, "low period", (), 0.045, 0.075),
        "tilt": _pick(key, "low tilt", (0.0, math.pi / 2)),
        "duty": top["duty"],
    }
    bottom = {name: torch.where(measures["dress"] > 0, top[name], bottom[name]) for name in bottom}
    striped = {"pattern": zero + PATTERNS.index("stripes"), "period": zero + 0.05, "tilt": zero, "duty": zero + 0.5}
    sleeve = striped | {"pattern": striped["pattern"] * _chance(key, "odd pattern", 0.5)}
    by_material = {
        "top": top,
        "bottom": bottom,
        "sleeve": sleeve,
        "sock": striped | {"period": zero + 0.03, "duty": zero + 0.3},
    }
    wanted = [by_material.get(name, plain) for name in MATERIALS]
    tilts = [w["tilt"] for w in wanted]
    pattern, period, duty = ([w[name] for w in wanted] for name in ("pattern", "period", "duty"))
    return [pattern, period, [t.sin() for t in tilts], [t.cos() for t in tilts], duty]


def _character(key: Tensor, measures: dict[str, Tensor]) -> dict[str, Tensor]:
    """What `details` paints."""
    style, plain_legs = measures["style"], 1 - measures["skirt"]
    bare = (style == _SHORT) | (style == _SHAVED)
    return {
        "hairline": uniform(key, "hairline"),
        "fringe": torch.where(style == _SHAVED, -1.6, uniform(key, "fringe", (), -0.5, 0.25)),
        "smile": uniform(key, "smile", (), 0.0, 0.55),
        "eye": uniform(key, "eye", (), 0.9, 1.25),
        "iris_hue": uniform(key, "iris hue"),
        "badge": _chance(key, "badge", 0.4) * (choose(key, "top pattern", (1.6, 3, 1.5, 1.5, 1.2)) == 0),
        "neckline": uniform(key, "neckline", (), 0.1, 0.55),
        "vee": _chance(key, "vee", 0.4),
        "belt": _chance(key, "belt", 0.5) * (1 - measures["dress"]),
        "beard": _chance(key, "beard", 0.22) * bare,
        "glasses": _chance(key, "glasses", 0.2),
        "side_stripe": _chance(key, "side stripe", 0.25) * plain_legs,
    }


def _dress(measures: dict[str, Tensor], odd: Tensor, sock: Tensor) -> list[list[Tensor]]:
    """Which material covers each part, which lies beyond, and where along the part it changes."""
    zero = torch.zeros_like(odd)
    never = zero + 9
    skin, top, bottom, shoe, hair, sleeve, socks = (zero + i for i in range(len(MATERIALS)))
    worn = {part: (skin, skin, never) for part in PARTS}
    worn["chest"] = top, bottom, measures["top_hem"]
    worn["pelvis"] = top, bottom, measures["top_hem"] - 1
    worn["skirt"] = bottom, bottom, never
    worn["hair"] = worn["bun"] = hair, hair, never
    for side in ("right", "left"):
        cloth = torch.where(odd > 0, sleeve, top) if side == "left" else top
        cuff, leg = measures[f"sleeve_{side}"], measures[f"leg_{side}"]
        worn[f"upper_arm_{side}"] = cloth, skin, cuff
        worn[f"forearm_{side}"] = cloth, skin, cuff - 1
        worn[f"thigh_{side}"] = bottom, skin, leg
        # Below shorts and skirts there may be a sock; below the knee trousers end in skin, or at the shoe.
        short = leg < 1
        end = torch.where(short, 1 - sock.clamp_min(0), torch.where(leg < 1.9, leg - 1, never))
        worn[f"shin_{side}"] = torch.where(short, skin, bottom), torch.where(short, socks, skin), end
        worn[f"foot_{side}"] = shoe, shoe, never
    return [[worn[part][i] for part in PARTS] for i in range(3)]


def twins_alike(wardrobe: Wardrobe) -> Float[Tensor, "b parts"]:
    """1 where the part looks as its twin does: everywhere but on the arms of those who wear an odd sleeve."""
    alike = torch.ones_like(wardrobe.inner)
    for part in ("upper_arm", "forearm"):
        for side in ("right", "left"):
            number = INDEX[f"{part}_{side}"]
            alike[:, number] = (wardrobe.inner[:, INDEX[f"{part}_right"]] == wardrobe.inner[:, INDEX[f"{part}_left"]]).float()
    return alike
