"""Who a face is: the shape of the head, skin, eyes, hair, beard, glasses, clothes; the same in both images of a pair.

Lengths are in half heads: the chin is at −1, the crown at 1, the eyes near 0. A person is a dict of numbers, one per sample.
"""

import torch
from jaxtyping import Int
from torch import Tensor

from exemplar_lab.data.seeds import choose, uniform

Person = dict[str, Tensor]

_SKIN = ((0.99, 0.85, 0.76), (0.96, 0.79, 0.67), (0.92, 0.73, 0.59), (0.85, 0.64, 0.49), (0.74, 0.52, 0.38), (0.60, 0.40, 0.29),
         (0.46, 0.30, 0.22), (0.36, 0.23, 0.17))  # fmt: skip
_HAIR = ((0.11, 0.09, 0.10), (0.21, 0.14, 0.11), (0.36, 0.22, 0.14), (0.50, 0.24, 0.12), (0.74, 0.38, 0.15), (0.82, 0.62, 0.34),
         (0.92, 0.82, 0.62), (0.66, 0.65, 0.66))  # fmt: skip
_DYED = ((0.86, 0.36, 0.56), (0.16, 0.55, 0.58), (0.52, 0.38, 0.74), (0.22, 0.36, 0.70))
"""Out of distribution: hair that the other splits never show."""
_IRIS = ((0.36, 0.22, 0.12), (0.46, 0.31, 0.15), (0.40, 0.46, 0.22), (0.30, 0.50, 0.62), (0.24, 0.38, 0.60), (0.46, 0.52, 0.55))
_CLOTH = (
    (0.80, 0.26, 0.24),
    (0.93, 0.66, 0.22),
    (0.20, 0.50, 0.42),
    (0.16, 0.34, 0.55),
    (0.42, 0.30, 0.55),
    (0.92, 0.90, 0.85),
    (0.16, 0.17, 0.21),
    (0.88, 0.50, 0.40),
    (0.46, 0.62, 0.70),
    (0.50, 0.46, 0.28),
)
_CLOTH_OOD = ((0.95, 0.84, 0.16), (0.90, 0.28, 0.62), (0.10, 0.62, 0.78), (0.62, 0.82, 0.34))
_FRAME = ((0.10, 0.09, 0.10), (0.36, 0.20, 0.11), (0.62, 0.50, 0.28), (0.60, 0.14, 0.16), (0.14, 0.26, 0.40))

STYLES = ("bald", "buzz", "short", "parted", "quiff", "fringe", "bob", "long", "bun", "afro", "tail", "undercut")
"""Hair. The last two are of the split out of distribution alone."""

KNOTS = (0.0, 0.12, 0.24, 0.34, 0.42, 0.5, 0.58, 0.7, 1.0)
"""Angles from the front, in half turns, at which a hairline is given."""
_LINE = {
    "bald": (1.3, 1.3, 1.3, 1.3, 1.3, 1.3, 1.3, 1.3, 1.3),
    "buzz": (0.62, 0.58, 0.49, 0.4, 0.12, -0.04, 0.1, -0.2, -0.36),
    "short": (0.66, 0.63, 0.53, 0.42, 0.06, -0.16, 0.12, -0.22, -0.4),
    "parted": (0.64, 0.6, 0.5, 0.41, 0.02, -0.14, 0.1, -0.24, -0.42),
    "quiff": (0.66, 0.63, 0.53, 0.43, 0.1, -0.1, 0.12, -0.22, -0.4),
    "fringe": (0.31, 0.31, 0.29, 0.22, -0.06, -0.22, 0.02, -0.26, -0.44),
    "bob": (0.34, 0.34, 0.33, 0.26, -0.02, -0.4, -0.4, -0.42, -0.45),
    "long": (0.66, 0.6, 0.46, 0.32, -0.02, -0.35, -0.4, -0.42, -0.45),
    "bun": (0.62, 0.59, 0.5, 0.42, 0.16, -0.02, 0.14, -0.18, -0.36),
    "afro": (0.54, 0.52, 0.46, 0.36, 0.02, -0.2, -0.2, -0.3, -0.42),
    "tail": (0.62, 0.59, 0.5, 0.42, 0.16, -0.05, 0.14, -0.18, -0.36),
    "undercut": (0.52, 0.50, 0.48, 0.46, 0.36, 0.30, 0.30, 0.20, 0.10),
}
_VOLUME = {"bald": 0.02, "buzz": 0.028, "short": 0.12, "parted": 0.15, "quiff": 0.15, "fringe": 0.12, "bob": 0.15, "long": 0.13,
           "bun": 0.07, "afro": 0.38, "tail": 0.08, "undercut": 0.16}  # fmt: skip
_DRAPE = {"bob": -0.78, "long": -1.75}
_BUN = {"bun": 1.0, "tail": 1.0}


def _palette(colours: tuple, at: Tensor) -> Tensor:
    """Between neighbouring colours of a row, `at` from 0 to 1."""
    table = torch.tensor(colours, dtype=torch.float64, device=at.device)
    place = at * (len(colours) - 1)
    low = place.floor().long().clamp(max=len(colours) - 2)
    return table[low] + (table[low + 1] - table[low]) * (place - low)[:, None]


def _pick(colours: tuple, key: Tensor, name: str) -> Tensor:
    chosen = choose(key, name, (1,) * len(colours))
    return torch.tensor(colours, dtype=torch.float64, device=key.device)[chosen] + uniform(
        key, name + " shade", (3,), -0.03, 0.03
    )


def draw_person(key: Int[Tensor, " b"], ood: bool, distinct: float | None, entropy: float | None) -> Person:
    """One person per key. distinct, entropy: the dials of that name."""

    def one(name, low=0.0, high=1.0):
        return uniform(key, name, (), low, high)

    person: Person = {}
    soft = (one("build") > 0.5).double()  # slighter jaw and brows, fuller lips, longer lashes; or the other way round
    person["soft"] = soft
    person["width"] = one("width", 0.70, 0.78) - 0.02 * soft
    person["chin"] = one("chin", 0.50, 0.64) - 0.07 * soft
    person["jaw"] = one("jaw", 0.86, 1.04) - 0.06 * soft
    person["cheek"] = one("cheek", 0.0, 1.0)
    person["age"] = (one("age") - 0.35).clamp_min(0) / 0.65
    person["eye_x"] = one("eye x", 0.285, 0.325)
    person["eye_y"] = one("eye y", -0.09, -0.01)
    person["eye_wide"] = one("eye wide", 0.158, 0.185) + 0.008 * soft
    person["eye_high"] = one("eye high", 0.082, 0.108) + 0.012 * soft
    person["eye_tilt"] = one("eye tilt", -0.02, 0.16)
    person["iris"] = one("iris", 0.086, 0.098)
    person["brow_y"] = one("brow y", 0.215, 0.26) + 0.015 * soft
    person["brow_thick"] = one("brow thick", 0.030, 0.052) - 0.010 * soft
    person["brow_arch"] = one("brow arch", 0.2, 1.0)
    person["nose_long"] = one("nose long", -0.02, 0.05)
    person["nose_high"] = one("nose high", 0.24, 0.34) - 0.055 * soft
    person["nose_wide"] = one("nose wide", 0.125, 0.180) - 0.016 * soft
    person["nose_hook"] = one("nose hook", -0.02, 0.05) - 0.02 * soft
    person["mouth_y"] = one("mouth y", -0.64, -0.59)
    person["mouth_wide"] = one("mouth wide", 0.225, 0.285)
    person["lip_upper"] = one("lip upper", 0.045, 0.075) + 0.012 * soft
    person["lip_lower"] = one("lip lower", 0.065, 0.105) + 0.014 * soft
    person["ear"] = one("ear", 0.85, 1.1)
    person["neck"] = one("neck", 0.98, 1.16) - 0.14 * soft

    tone = one("tone")
    person["skin"] = _palette(_SKIN, tone) + uniform(key, "skin", (3,), -0.015, 0.015)
    dark_hair = one("hair tone") * (1 - 0.85 * (tone > 0.55).double() * (one("dark hair") > 0.1))
    hair = _palette(_HAIR, dark_hair)
    old = (person["age"] > 0.75) & (one("grey") > 0.35)
    hair = torch.where(old[:, None], _palette(_HAIR[-1:] + ((0.90, 0.89, 0.88),), one("white")), hair)
    if ood:
        hair = _pick(_DYED, key, "dye")
    person["hair"] = hair
    person["brow"] = hair * 0.62 + 0.02 if not ood else _palette(_HAIR, dark_hair) * 0.7
    # Dark skin comes with dark eyes, mostly.
    deep = (tone > 0.5) & (one("deep eyes") > 0.12)
    person["iris_right"] = torch.where(deep[:, None], _pick(_IRIS[:2], key, "iris"), _pick(_IRIS, key, "iris"))
    person["lip"] = uniform(key, "lip", (3,), -0.03, 0.03) + torch.stack(
        [0.05 + 0.10 * soft, -0.06 - 0 * soft, -0.03 - 0 * soft], -1
    )
    person["blush"] = one("blush", 0.25, 1.0)
    person["makeup"] = soft * (one("makeup") > 0.45)

    weights = {"bald": 0.5, "buzz": 0.8, "short": 1.3, "parted": 1.3, "quiff": 1.0, "afro": 0.6} | {
        "fringe": 0.5,
        "bun": 0.3,
        "long": 0.35,
    }
    lovely = {"fringe": 1.0, "bob": 1.6, "long": 1.8, "bun": 1.1, "afro": 0.7, "parted": 0.4, "short": 0.5}
    held = {"tail": 1.0, "undercut": 1.0}
    hard, mild = (
        choose(key, "style", tuple(table.get(name, 0.0) for name in STYLES))
        for table in ((held, held) if ood else (weights, lovely))
    )
    style = torch.where(soft > 0, mild, hard)
    person["style"] = style.double()

    def of_style(table, default=0.0):
        return torch.tensor([table.get(name, default) for name in STYLES], dtype=torch.float64, device=key.device)[style]

    person["hairline"] = torch.tensor([_LINE[name] for name in STYLES], dtype=torch.float64, device=key.device)[style]
    person["hairline"] = person["hairline"] + uniform(key, "hairline", (len(KNOTS),), -0.02, 0.02)
    parted = of_style({"parted": 1.0, "long": 0.8, "quiff": 0.5, "undercut": 1.0, "fringe": 0.4, "short": 0.6, "bun": 0.2})
    side = torch.where(one("side") > 0.5, 1.0, -1.0)
    person["sweep"] = parted * side * one("sweep", 0.5, 1.0)
    person["volume"] = of_style(_VOLUME) * one("volume", 0.8, 1.2)
    person["quiff"] = of_style({"quiff": 1.0, "undercut": 0.8, "parted": 0.4, "short": 0.45}) * one("quiff", 0.6, 1.2)
    person["curl"] = torch.maximum(
        of_style({"afro": 1.0}), of_style({"long": 1.0, "bob": 0.6, "short": 0.6}) * (one("curl") > 0.6)
    )
    person["drape"] = of_style(_DRAPE, 0.0) + of_style({"long": 0.35}) * one("length", -0.3, 1.0)
    person["bun"] = of_style(_BUN)
    person["bun_low"] = of_style({"tail": 1.0})
    person["has_cap"] = (style != STYLES.index("bald")).double()
    person["buzz"] = of_style({"buzz": 1.0, "undercut": 0.5})
    person["strand"] = one("strand", 0.75, 1.25)

    bearded = (1 - soft) * (one("has beard") > 0.45)
    kind = choose(key, "beard", (1.2, 0.8, 1.0, 1.4))
    for number, name in enumerate(("stubble", "moustache", "goatee", "full")):
        person[name] = bearded * (kind == number)
    person["glasses"] = (one("has glasses") > 0.66).double()
    person["rim_shape"] = one("rim shape")
    person["rim_cat"] = soft * one("rim cat")
    person["rim_size"] = one("rim size", 0.23, 0.28)
    person["rim_thick"] = one("rim thick", 0.020, 0.040)
    person["frame"] = _pick(_FRAME, key, "frame")
    person["earring"] = soft * (one("has earring") > 0.5)

    clothes = _CLOTH_OOD if ood else _CLOTH
    person["cloth"] = _pick(clothes, key, "cloth")
    person["cloth_second"] = _pick(clothes[::-1], key, "cloth second")
    person["pattern"] = (
        choose(key, "pattern", (0, 0, 0, 0, 1)) if ood else choose(key, "pattern", (2.0, 1.2, 1.0, 0.8))
    ).double()
    person["collar"] = choose(key, "collar", (1.2, 1.0, 1.0, 0.9)).double()  # round neck, V, shirt, roll-neck

    busy = 0.5 * one("texture") ** 2 if entropy is None else torch.full_like(soft, entropy)
    person["texture"] = busy
    person["freckles"] = (
        (one("has freckles") > 0.7).double() * one("freckles", 0.4, 1.0) * (tone < 0.5) if entropy is None else busy
    )
    person["seed"] = one("seed", 0.0, 64.0)
    differs = (one("distinct") < (0.3 if distinct is None else distinct)).double()
    person["distinct"] = differs
    other = _pick(_IRIS[::-1], key, "iris other")
    person["iris_left"] = torch.where(differs[:, None] > 0, other, person["iris_right"])
    person["mole_x"] = differs * torch.where(one("mole side") > 0.5, 1.0, -1.0) * one("mole x", 0.30, 0.48)
    person["mole_y"] = one("mole y", -0.62, -0.26)
    person["scar"] = differs * (one("scar") > 0.5) * torch.where(one("mole side") > 0.5, -1.0, 1.0)
    person["slit"] = differs * (one("scar") <= 0.5) * torch.where(one("mole side") > 0.5, -1.0, 1.0)
    return {name: value.clamp(0, 1).float() if value.ndim == 2 and value.shape[1] == 3 and name != "lip" else value.float()
            for name, value in person.items()}  # fmt: skip


def twice(person: Person) -> Person:
    """The person for targets and exemplars, one after the other."""
    return {name: value.repeat(2, *[1] * (value.ndim - 1)) for name, value in person.items()}
