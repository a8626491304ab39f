"""The style of a landscape: nine numbers, and the light that follows from them."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.data.seeds import uniform

STYLE = ("sun", "warmth", "haze", "season", "cloud", "palette", "wetness", "sea", "snow")
"""Height of the sun (0 night, 0.25 dusk, 1 noon), warmth of its light, haze, season (0 spring … 1 late autumn), overcast,
palette, wet ground, colour of the sea (0 grey-green … 1 turquoise), snow; each 0 … 1."""

HELD_OUT = 0.8
"""Palettes from here on are seen in split ood alone; the other splits end at 0.75."""


class Light(NamedTuple):
    """Sun or moon and sky. Colours (n, 3); the direction to the light (n, 3): right, down, towards the viewer; its place in the
    sky (n, 2), as tangents right of the axis and above the horizon; night, dusk and overcast, (n,), 0 … 1."""

    key: Tensor
    fill: Tensor
    zenith: Tensor
    horizon: Tensor
    haze: Tensor
    towards: Tensor
    place: Tensor
    night: Tensor
    dusk: Tensor
    overcast: Tensor


def draw_style(key: Int[Tensor, " n"], split: str, frost: Float[Tensor, " n"]) -> Float[Tensor, "n 9"]:
    """Styles as drawn for a split. `frost` says whether there may be snow, 0 or 1; split ood does not ask."""
    raw = uniform(key, "style", (len(STYLE),))
    sun, warmth, haze, season, cloud, palette, wetness, sea, snow = raw.unbind(-1)
    sun = 0.06 + 0.94 * sun
    palette = HELD_OUT + 0.2 * palette if split == "ood" else 0.75 * palette
    winter = (snow > 0.72).double() * (1.0 if split == "ood" else frost)
    snow = winter * (0.35 + 0.65 * (snow - 0.72) / 0.28)
    return torch.stack([sun, warmth, 0.08 + 0.92 * haze * haze, season, cloud * cloud, palette, wetness, sea, snow], dim=-1)


def anchors(at: Float[Tensor, " n"], colours: tuple[tuple[float, float, float], ...]) -> Float[Tensor, "n 3"]:
    """Colours evenly spaced over 0 … 1, read linearly at `at`."""
    table = torch.tensor(colours, dtype=torch.float64, device=at.device)
    x = at.clamp(0, 1) * (len(colours) - 1)
    low = x.floor().clamp(max=len(colours) - 2)
    here, there = table[low.long()], table[low.long() + 1]
    return here + (there - here) * (x - low)[:, None]


def ramp(x: Tensor, low: float, high: float) -> Tensor:
    """0 below low, 1 above high, smooth between."""
    t = ((x - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


_DAY = ((0.25, 0.50, 0.86), (0.32, 0.62, 0.84), (0.40, 0.55, 0.72), (0.46, 0.68, 0.76), (0.50, 0.40, 0.74))
_DAY_LOW = ((0.80, 0.90, 0.97), (0.98, 0.91, 0.76), (0.87, 0.90, 0.91), (0.97, 0.87, 0.76), (0.99, 0.74, 0.68))
_DUSK = ((0.28, 0.30, 0.56), (0.42, 0.30, 0.50), (0.22, 0.32, 0.52), (0.40, 0.38, 0.60), (0.28, 0.14, 0.46))
_DUSK_LOW = ((1.00, 0.64, 0.38), (1.00, 0.55, 0.34), (0.97, 0.72, 0.62), (0.99, 0.68, 0.60), (1.00, 0.45, 0.56))


def light_of(style: Float[Tensor, "n 9"], side: Float[Tensor, " n"], lift: Float[Tensor, " n"]) -> Light:
    """The light of a style with the sun `side` of the axis (−1 left … 1 right) and lifted by `lift` (about −0.3 … 0.3)."""
    sun, warmth, haze, _, cloud, palette, wetness, *_ = style.unbind(-1)
    night, day = 1 - ramp(sun, 0.08, 0.17), ramp(sun, 0.20, 0.48)
    dusk = (1 - night) * (1 - day)
    night3, dusk3, day3, cloud3 = (v[:, None] for v in (night, dusk, day, cloud))

    def mixed(of_day, of_dusk, of_night):
        return of_day * day3 + of_dusk * dusk3 + torch.tensor(of_night, dtype=torch.float64, device=sun.device) * night3

    tint = torch.stack([1 + 0.10 * (warmth - 0.5), torch.ones_like(sun), 1 - 0.16 * (warmth - 0.5)], dim=-1)
    zenith = mixed(anchors(palette, _DAY), anchors(palette, _DUSK), (0.06, 0.09, 0.23))
    horizon = mixed(anchors(palette, _DAY_LOW), anchors(palette, _DUSK_LOW), (0.20, 0.29, 0.48)) * tint
    grey = (0.3 * zenith + 0.7 * horizon).mean(-1, keepdim=True)
    zenith = zenith + (grey * 0.80 - zenith) * (0.72 * cloud3)
    horizon = horizon + (grey * 1.02 - horizon) * (0.62 * cloud3)
    warm = torch.tensor([1.0, 0.97, 0.90], dtype=torch.float64, device=sun.device) * tint
    low = torch.tensor([1.0, 0.60, 0.34], dtype=torch.float64, device=sun.device) * tint
    key = mixed(warm * 0.98, low * 0.92, (0.34, 0.42, 0.60)) * (1 - 0.62 * cloud3)
    fill = (0.35 * zenith + 0.30 * horizon + 0.10) * (0.88 + 0.22 * cloud3) * (1 - 0.28 * dusk3) + 0.09 * night3
    height = 0.10 + 0.62 * (sun - 0.14).clamp_min(0) + 0.30 * night + 0.10 * lift
    direction = torch.stack([side * 0.95, -(0.28 + 0.9 * height.clamp_min(0)), 0.34 + 0.25 * day], dim=-1)
    direction = direction / (direction * direction).sum(-1, keepdim=True).sqrt()
    place = torch.stack([side * 0.42, height.clamp_min(0.03)], dim=-1)
    mist = (horizon * 0.86 + 0.14 * zenith).clamp(0, 1)
    return Light(*(v.float() for v in (key, fill, zenith, horizon, mist, direction, place, night, dusk, cloud)))
