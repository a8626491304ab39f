"""Who a figure is: its measures, and what it wears. Nothing here depends on the pose, so it is the same in both images of a
pair."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.data.seeds import choose, uniform
from exemplar_lab.data.synth.body import INDEX, PARTS

MATERIALS = ("skin", "top", "bottom", "shoe", "hair", "sleeve", "leg", "sock")
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


def draw_identity(key: Int[Tensor, " b"]) -> tuple[dict[str, Tensor], Wardrobe]:
    """The measures of a body (body heights, float64) and its wardrobe (float32), by the key of the sample."""
    device = key.device

    def number(name, low=0.0, high=1.0):
        return uniform(key, name, (), low, high)

    def chance(name, probability):
        return (number(name) < probability).double()

    def from_list(name, colours):
        table = torch.tensor(colours, dtype=torch.float64, device=device)
        return table[choose(key, name, (1.0,) * len(colours))]

    slim = number("slim", 0.0, 1.0)
    measures = {
        "shoulders": 0.082 + number("shoulders", -0.006, 0.008),
        "chest": 0.088 + 0.012 * slim + number("chest", -0.004, 0.004),
        "waist": 0.064 + 0.016 * slim + number("waist", -0.003, 0.004),
        "hips": 0.080 + 0.010 * slim + number("hips", -0.004, 0.006),
        "build": 0.90 + 0.22 * slim,
        "head": 0.067 + number("head", -0.002, 0.004),
        "face": 0.054 + number("face", -0.003, 0.006),
    }
    dress = chance("dress", 0.16)
    skirt = torch.maximum(dress, chance("skirt", 0.14))
    style = choose(key, "hair style", (3, 2, 2, 1.6, 1.6, 1, 0.5))
    pick = {  # short, bob, long, ponytail, bun, afro, shaved
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
    measures |= {name: torch.tensor(values, dtype=torch.float64, device=device)[style] for name, values in pick.items()}
    sleeve_end = torch.tensor((0.12, 0.62, 0.85, 1.5, 1.94), dtype=torch.float64, device=device)[
        choose(key, "sleeve end", (0.6, 3, 1, 1, 3))
    ]
    leg_end = torch.tensor((0.62, 0.9, 1.55, 1.93), dtype=torch.float64, device=device)[
        choose(key, "leg end", (0.8, 1, 0.7, 4))
    ]
    leg_end = torch.where(skirt > 0, 0.0, leg_end)
    measures |= {
        "skirt": skirt,
        "skirt_length": number("skirt length", 0.70, 1.05),
        "flare": number("flare", 1.35, 1.7),
        "top_cloth": number("top cloth", 0.002, 0.006) * (1 - dress),
        "top_hem": torch.where(dress > 0, 2.0, number("top hem", 1.25, 1.75)),
        "sleeve_cloth": number("sleeve cloth", 0.002, 0.007),
        "leg_cloth": number("leg cloth", 0.002, 0.007),
    }
    odd = chance("odd sleeve", 0.12)
    for side in ("right", "left"):
        measures[f"sleeve_{side}"] = sleeve_end
        measures[f"leg_{side}"] = leg_end

    colour = {
        "skin": from_list("skin", _SKIN) * number("skin shade", 0.94, 1.02)[:, None],
        "hair": from_list("hair", _HAIR),
        "top": from_list("top", _CLOTH),
        "accent": from_list("accent", _CLOTH),
        "bottom": from_list("bottom", _TROUSERS),
        "shoe": from_list("shoe", _SHOES),
    }
    # An accent too close to its ground would hide the pattern, so it is moved to light or dark.
    apart = (colour["accent"] - colour["top"]).abs()
    close = (apart[:, 0] + apart[:, 1] + apart[:, 2] < 0.5)[:, None]
    light = (colour["top"][:, 0] + colour["top"][:, 1] + colour["top"][:, 2] > 1.6)[:, None]
    colour["accent"] = torch.where(close, torch.where(light, colour["top"] * 0.45, colour["top"] * 0.4 + 0.6), colour["accent"])
    white = torch.full_like(colour["skin"], 0.93)
    first = [
        colour["skin"],
        colour["top"],
        colour["bottom"],
        colour["shoe"],
        colour["hair"],
        colour["accent"],
        colour["accent"],
        white,
    ]
    skirted = choose(key, "skirt is", (1.0, 1.0))[:, None]
    skirt_colour = torch.where(dress[:, None] > 0, colour["top"], torch.where(skirted > 0, colour["bottom"], colour["accent"]))
    second_bottom = colour["bottom"] * 0.72 + 0.05
    second = [
        colour["skin"],
        colour["accent"],
        second_bottom,
        white,
        colour["hair"] * 0.8,
        colour["top"],
        colour["top"],
        colour["accent"],
    ]
    first[2] = torch.where(skirt[:, None] > 0, skirt_colour, first[2])
    second[2] = torch.where(dress[:, None] > 0, colour["accent"], second[2])

    zero = torch.zeros_like(slim)
    top_pattern = choose(key, "top pattern", (1.6, 3, 1.5, 1.5, 1.2)).double()
    bottom_pattern = choose(key, "bottom pattern", (5, 0.7, 1, 0.3)).double()
    bottom_pattern = torch.where(dress > 0, top_pattern, bottom_pattern)
    tilt_choice = choose(key, "tilt", (3, 1, 1.2, 0.8))
    tilt = torch.tensor((0.0, 1.5707963, 0.7, -0.7), dtype=torch.float64, device=device)[tilt_choice]
    period, low_period = number("period", 0.038, 0.085), number("low period", 0.045, 0.075)
    low_period = torch.where(dress > 0, period, low_period)
    duty = number("duty", 0.25, 0.6)
    low_tilt = torch.where(dress > 0, tilt, torch.where(choose(key, "low tilt", (1, 1)) > 0, zero + 1.5707963, zero))
    pattern = [
        zero,
        top_pattern,
        bottom_pattern,
        zero,
        zero,
        torch.where(number("odd pattern") < 0.5, zero, zero + 1),
        zero,
        zero + 1,
    ]
    periods = [zero + 1, period, low_period, zero + 1, zero + 1, zero + 0.05, zero + 0.05, zero + 0.03]
    tilts = [zero, tilt, low_tilt, zero, zero, zero, zero, zero]
    duties = [zero, duty, duty, zero, zero, zero + 0.5, zero, zero + 0.3]

    inner, outer, cut = _dress(skirt, dress, odd, sleeve_end, leg_end, measures["top_hem"], number("sock", -0.2, 0.6))
    columns = [torch.stack([c[:, i] for c in group], dim=1) for group in (first, second) for i in range(3)]
    columns += [
        torch.stack(v, dim=1)
        for v in (pattern, periods, [t.sin() for t in tilts], [t.cos() for t in tilts], duties, inner, outer, cut)
    ]
    person = {
        "hairline": number("hairline", 0.0, 1.0),
        "fringe": torch.where(style == 6, zero - 1.6, number("fringe", -0.5, 0.25)),
        "smile": number("smile", -0.1, 0.5),
        "eye": number("eye", 0.9, 1.25),
        "iris_hue": number("iris hue"),
        "badge": chance("badge", 0.4) * (top_pattern == 0),
        "neckline": number("neckline", 0.1, 0.55),
        "vee": chance("vee", 0.4),
        "belt": chance("belt", 0.5) * (1 - dress),
        "lips": number("lips", 0.0, 1.0),
        "beard": chance("beard", 0.22) * ((style == 0) | (style == 6)),
        "glasses": chance("glasses", 0.2),
        "side_stripe": chance("side stripe", 0.25) * (bottom_pattern == 0) * (1 - skirt),
        "odd": odd,
    }
    return measures, Wardrobe(*(c.float() for c in columns), {name: v.float() for name, v in person.items()})


def _dress(skirt, dress, odd, sleeve_end, leg_end, top_hem, sock) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Which material covers which part, and where along the part it ends."""
    zero = torch.zeros_like(skirt)

    def material(name):
        return zero + MATERIALS.index(name)

    inner = [material("skin") for _ in PARTS]
    outer = [material("skin") for _ in PARTS]
    cut = [zero + 9 for _ in PARTS]

    def wear(part, cover, beyond, end):
        inner[INDEX[part]], outer[INDEX[part]], cut[INDEX[part]] = cover, beyond, end

    wear("chest", material("top"), material("bottom"), top_hem)
    wear("pelvis", material("top"), material("bottom"), top_hem - 1)
    wear("skirt", material("bottom"), material("bottom"), zero + 9)
    wear("hair", material("hair"), material("hair"), zero + 9)
    wear("bun", material("hair"), material("hair"), zero + 9)
    for side in ("right", "left"):
        cloth = torch.where(odd > 0, material("sleeve"), material("top")) if side == "left" else material("top")
        wear(f"upper_arm_{side}", cloth, material("skin"), sleeve_end)
        wear(f"forearm_{side}", cloth, material("skin"), sleeve_end - 1)
        wear(f"thigh_{side}", material("bottom"), material("skin"), leg_end)
        bare = leg_end < 1.9
        wear(
            f"shin_{side}",
            torch.where(bare, material("skin"), material("bottom")),
            material("sock"),
            torch.where(bare, 1.0 - sock.clamp_min(0), zero + 9),
        )
        covered = (leg_end > 1) & bare
        inner[INDEX[f"shin_{side}"]] = torch.where(covered, material("bottom"), inner[INDEX[f"shin_{side}"]])
        outer[INDEX[f"shin_{side}"]] = torch.where(covered, material("skin"), outer[INDEX[f"shin_{side}"]])
        cut[INDEX[f"shin_{side}"]] = torch.where(covered, leg_end - 1, cut[INDEX[f"shin_{side}"]])
        wear(f"foot_{side}", material("shoe"), material("shoe"), zero + 9)
    return inner, outer, cut


def twins_alike(wardrobe: Wardrobe) -> Float[Tensor, "b parts"]:
    """1 where the part looks as its twin does: everywhere but on the arms of those who wear an odd sleeve."""
    alike = torch.ones_like(wardrobe.inner)
    for part in ("upper_arm", "forearm"):
        for side in ("right", "left"):
            number = INDEX[f"{part}_{side}"]
            alike[:, number] = (wardrobe.inner[:, INDEX[f"{part}_right"]] == wardrobe.inner[:, INDEX[f"{part}_left"]]).float()
    return alike
