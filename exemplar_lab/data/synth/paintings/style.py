"""What a painting is drawn from: a medium, a palette, and how the brush is held."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.data.seeds import SPLITS, choose, fold, uniform

MEDIA = ("oil", "ink", "ukiyo-e", "watercolour", "pastel")


class Palette(NamedTuple):
    """What black and white become, how far colours are drawn there, and the colour of bare paper."""

    dark: tuple[float, float, float]
    light: tuple[float, float, float]
    strength: float
    paper: tuple[float, float, float]


PALETTES = {
    "studio": Palette((0.05, 0.05, 0.07), (1.0, 0.99, 0.96), 0.30, (0.95, 0.93, 0.88)),
    "umber": Palette((0.17, 0.10, 0.05), (1.0, 0.92, 0.74), 0.50, (0.93, 0.88, 0.77)),
    "impression": Palette((0.20, 0.17, 0.42), (1.0, 0.97, 0.86), 0.45, (0.94, 0.92, 0.90)),
    "nordic": Palette((0.07, 0.14, 0.22), (0.90, 0.95, 1.0), 0.45, (0.91, 0.93, 0.93)),
    "southern": Palette((0.34, 0.12, 0.18), (1.0, 0.95, 0.72), 0.45, (0.96, 0.92, 0.82)),
    "verdigris": Palette((0.03, 0.24, 0.22), (0.93, 1.0, 0.84), 0.55, (0.88, 0.92, 0.86)),
    "rose": Palette((0.33, 0.07, 0.28), (1.0, 0.90, 0.90), 0.55, (0.96, 0.90, 0.89)),
}

HELD_OUT_PALETTES = ("verdigris", "rose")
HELD_OUT_PAIRS = (("oil", "nordic"), ("ukiyo-e", "southern"), ("watercolour", "umber"), ("pastel", "studio"), ("ink", "umber"))
"""Palettes, and pairs of medium and palette, that only split "ood" shows; all it shows is one or the other."""

STYLE_COLUMNS = ("medium", "palette", "length", "width", "jitter", "warmth", "saturation", "outline", "paper")
"""The columns of `Truth.target_style`: places in MEDIA and PALETTES; length and width of strokes and washes relative to 1; how
freely the brush moves, colours are mixed and washes run, 0 … 1; warmth −1 … 1; saturation, 1 that of the photograph; strength
of outlines 0 … 1; how much the paper or canvas shows, 0 … 1."""


class Style(NamedTuple):
    """One number per sample and column of STYLE_COLUMNS: medium and palette whole, the rest float32."""

    medium: Int[Tensor, " b"]
    palette: Int[Tensor, " b"]
    length: Float[Tensor, " b"]
    width: Float[Tensor, " b"]
    jitter: Float[Tensor, " b"]
    warmth: Float[Tensor, " b"]
    saturation: Float[Tensor, " b"]
    outline: Float[Tensor, " b"]
    paper: Float[Tensor, " b"]

    def of(self, which: Tensor) -> "Style":
        return Style(*(column[which] for column in self))

    def numbers(self) -> Float[Tensor, "b 9"]:
        return torch.stack([column.float() for column in self], dim=1)


def draw_style(key: Int[Tensor, " b"], split: str = "train", medium: str | None = None) -> Style:
    """A style per key. medium: None draws one of MEDIA.

    Raises ValueError for an unknown split or medium.
    """
    if split not in SPLITS:
        raise ValueError(f"got split {split!r}, expected one of {', '.join(SPLITS)}: choose one of these")
    if medium is not None and medium not in MEDIA:
        raise ValueError(f"got medium {medium!r}, expected one of {', '.join(MEDIA)} or None: choose one of these")
    key = fold(key, "style")
    wanted = [(m, p) for m in MEDIA for p in PALETTES if is_held_out(m, p) == (split == "ood") and medium in (None, m)]
    # Every medium as often as the others, whatever the number of palettes it goes with.
    pair = choose(key, "pair", tuple(1 / sum(m == other for other, _ in wanted) for m, _ in wanted))
    media, palettes = list(MEDIA), list(PALETTES)

    def between(name: str, low: float, high: float) -> Float[Tensor, " b"]:
        return uniform(key, name, (), low, high).float()

    return Style(
        medium=torch.tensor([media.index(m) for m, _ in wanted], device=key.device)[pair],
        palette=torch.tensor([palettes.index(p) for _, p in wanted], device=key.device)[pair],
        length=between("length", 0.75, 1.12),
        width=between("width", 0.75, 1.3),
        jitter=between("jitter", 0.25, 0.9),
        warmth=between("warmth", -0.8, 0.8),
        saturation=between("saturation", 0.9, 1.5),
        outline=between("outline", 0.0, 1.0),
        paper=between("paper", 0.3, 1.0),
    )


def is_held_out(medium: str, palette: str) -> bool:
    """Whether only split "ood" paints so."""
    return palette in HELD_OUT_PALETTES or (medium, palette) in HELD_OUT_PAIRS


def graded(image: Float[Tensor, "b 3 h w"], style: Style) -> Float[Tensor, "b 3 h w"]:
    """The colours a painter would mix for the colours of the image: saturation, warmth, and the palette's darks and lights."""
    grey = luminance(image)
    image = (grey + (image - grey) * style.saturation[:, None, None, None]).clamp(0, 1)
    warm = style.warmth[:, None] * torch.tensor([0.07, 0.01, -0.08], device=image.device)
    dark, light = (table_of(style, field)[..., None, None] for field in ("dark", "light"))
    strength = torch.tensor([p.strength for p in PALETTES.values()], device=image.device)[style.palette][:, None, None, None]
    image = (image * (1 + warm)[..., None, None]).clamp(0, 1)
    return (image + (dark + (light - dark) * image - image) * strength).clamp(0, 1)


def table_of(style: Style, field: str) -> Float[Tensor, "b 3"]:
    """A colour of each sample's palette: dark, light or paper."""
    return torch.tensor([getattr(p, field) for p in PALETTES.values()], device=style.palette.device)[style.palette]


def luminance(image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 h w"]:
    return image[:, :1] * 0.3 + image[:, 1:2] * 0.59 + image[:, 2:] * 0.11
