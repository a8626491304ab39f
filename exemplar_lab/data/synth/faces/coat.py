"""What covers the surface of a portrait: parts by name, and the brushes that painters share."""

from typing import NamedTuple

import torch
from torch import Tensor

from exemplar_lab.data.synth.faces.identity import Person
from exemplar_lab.data.synth.lattice import noise

PARTS = (
    "skin",
    "nose",
    "eye_right",
    "eye_left",
    "brow_right",
    "brow_left",
    "ear_right",
    "ear_left",
    "mouth",
    "lip_upper",
    "lip_lower",
    "neck",
    "clothes",
    "hair",
    "hair_back",
    "beard",
    "glasses",
    "earring_right",
    "earring_left",
)
"""CelebAMask-HQ's classes, without hat and necklace, with beard and hair_back beside. Right is the person's own."""
INDEX = {name: i for i, name in enumerate(PARTS)}


class Coat(NamedTuple):
    """What covers n points: colour (3, n), part (n), how glossy, how dark in a crease (1 open), how the light strays inside."""

    colour: Tensor
    part: Tensor
    gloss: Tensor
    open: Tensor
    skin: Tensor


class Brush:
    """Numbers of the samples that n points belong to, one per point; `fine` is the size of a pixel there, in half heads."""

    def __init__(self, person: Person, sample: Tensor, fine: Tensor):
        self.person, self.sample, self.fine = person, sample, fine

    def __getitem__(self, name: str) -> Tensor:
        return self.of(self.person[name])

    def of(self, value: Tensor) -> Tensor:
        """Numbers of samples (n, …), one set per point (…, points); gathered so that each number's points lie side by side."""
        return value.movedim(0, -1).contiguous().index_select(-1, self.sample)

    def at(self, some: Tensor) -> "Brush":
        """The brush of some of the points."""
        return Brush(self.person, self.sample.index_select(0, some), self.fine.index_select(0, some))


def over_(colour: Tensor, paint: Tensor | tuple[float, float, float], cover: Tensor) -> Tensor:
    paint = paint if isinstance(paint, Tensor) else torch.tensor(paint, device=colour.device)[:, None]
    return colour + (paint - colour) * cover


def tint(colour: Tensor, red: float, green: float, blue: float) -> Tensor:
    return colour * torch.tensor((red, green, blue), device=colour.device)[:, None]


def edge_of(x: Tensor, width: Tensor | float) -> Tensor:
    """0 below, 1 above zero, over `width`."""
    return (x / width + 0.5).clamp(0, 1)


def grain(x: Tensor, y: Tensor, seed: Tensor) -> Tensor:
    """Mottling in −1 … 1, with nothing that repeats."""
    whole = (seed * 4096).int()
    return noise(whole, x * 6.1, y * 6.1) + noise(whole, x * 15.7, y * 15.7, 1) - 1


def spots(x: Tensor, y: Tensor, scale: float, seed: Tensor, share: Tensor) -> Tensor:
    """Small dots, one per cell of a grid of `scale`, in a share of the cells."""
    x, y = x * scale + seed, y * scale + seed * 0.37
    cx, cy = x.floor(), y.floor()
    # Three unrelated numbers per cell by a hash of whole numbers.
    bits = cx.int() * 374761393 + cy.int() * 668265263
    bits = (bits ^ ((bits >> 15) & 0x1FFFF)) * 739982445
    a, b, c = (((bits >> k) & 1023).float() * (1 / 1024) for k in (3, 11, 20))
    dx, dy = x - cx - 0.25 - 0.5 * a, y - cy - 0.25 - 0.5 * b
    radius = 0.10 + 0.12 * c
    return (1 - (dx * dx + dy * dy) / (radius * radius)).clamp(0, 1) * ((a * 7.3 + c * 3.1) % 1 < share)


def coat_of(colour: Tensor, part: Tensor | int, gloss: Tensor | float, open_: Tensor | float, skin: Tensor | float) -> Coat:
    ones = torch.ones_like(colour[0])
    return Coat(colour, *(v if isinstance(v, Tensor) else ones * v for v in (part, gloss, open_, skin)))
