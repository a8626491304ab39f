"""What the classes of a landscape are made of. Linked classes share pigments, so it is known which could lend its look to
which."""

from functools import lru_cache

import numpy
import torch
from jaxtyping import Float
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import squareform
from torch import Tensor

from exemplar_lab.data.seeds import sample_keys
from exemplar_lab.data.synth.scenes.style import anchors, draw_style, light_of, ramp

CLASSES = ("sky", "mountain", "hill", "sea", "river", "sand", "dirt", "grass", "bush", "tree", "house", "balloon")

LABEL_COLOURS = (
    *((0.53, 0.75, 0.95), (0.50, 0.44, 0.46), (0.50, 0.66, 0.42), (0.10, 0.30, 0.70), (0.25, 0.55, 0.90), (0.93, 0.83, 0.55)),
    *((0.60, 0.42, 0.26), (0.45, 0.78, 0.33), (0.20, 0.58, 0.25), (0.05, 0.36, 0.16), (0.80, 0.35, 0.30), (0.95, 0.65, 0.15)),
)
"""How maps of labels are shown, one colour per class."""

PIGMENTS = ("green", "rock", "earth", "sand", "water", "sky", "paint")
"""Seven colours that follow the style, see `pigments`."""

LOADINGS = {
    "sky": (0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    "mountain": (0.10, 0.90, 0.0, 0.0, 0.0, 0.0, 0.0),
    "hill": (0.72, 0.20, 0.08, 0.0, 0.0, 0.0, 0.0),
    "sea": (0.0, 0.0, 0.0, 0.0, 0.72, 0.28, 0.0),
    "river": (0.0, 0.0, 0.0, 0.0, 0.45, 0.55, 0.0),
    "sand": (0.0, 0.0, 0.15, 0.85, 0.0, 0.0, 0.0),
    "dirt": (0.0, 0.0, 0.55, 0.45, 0.0, 0.0, 0.0),
    "grass": (1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    "bush": (0.80, 0.0, 0.04, 0.0, 0.0, 0.0, 0.0),
    "tree": (0.70, 0.0, 0.06, 0.0, 0.0, 0.0, 0.0),
    "house": (0.0, 0.10, 0.0, 0.15, 0.0, 0.0, 0.75),
    "balloon": (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0),
}
"""How much of each pigment a class is made of; what is missing to 1 is shade between leaves."""

TEXTURE = {
    "sky": (0.15, 0.15, 0.8),
    "mountain": (0.60, 0.70, 0.0),
    "hill": (0.55, 0.45, 0.0),
    "sea": (0.25, 0.30, 1.0),
    "river": (0.20, 0.25, 1.0),
    "sand": (0.60, 0.15, 0.1),
    "dirt": (0.60, 0.20, 0.1),
    "grass": (0.72, 0.45, 0.0),
    "bush": (0.82, 0.55, 0.0),
    "tree": (0.85, 0.60, 0.0),
    "house": (0.35, 0.85, 0.1),
    "balloon": (0.15, 0.90, 0.2),
}
"""How fine the texture is, its contrast, and gloss (the sky's: that it glows); each 0 … 1."""

SNOW = {"mountain": 1.0, "hill": 0.85, "sand": 0.5, "dirt": 0.5, "grass": 0.9, "bush": 0.6, "tree": 0.55, "house": 0.25}
"""How much snow stays on a class."""

_SPREAD = 0.10
"""Distance of two materials at which one still lends the other exp(−1/2) of what it keeps for itself."""


def label_rgb(condition: Float[Tensor, "b 12 h w"]) -> Float[Tensor, "b 3 h w"]:
    """A map of labels as people look at it; black where it was lost."""
    table = torch.tensor(LABEL_COLOURS, device=condition.device, dtype=condition.dtype)
    return torch.einsum("bchw,cd->bdhw", condition, table)


def pigments(style: Float[Tensor, "n 9"]) -> Float[Tensor, "n 7 3"]:
    """The seven colours of each style."""
    _, warmth, _, season, _, palette, wetness, sea, _ = style.unbind(-1)
    green = anchors(
        season, ((0.50, 0.66, 0.24), (0.36, 0.56, 0.21), (0.46, 0.54, 0.20), (0.76, 0.52, 0.17), (0.58, 0.43, 0.24))
    )
    tint = anchors(palette, ((1.0, 1.0, 1.0), (1.12, 1.0, 0.80), (0.80, 0.93, 1.02), (1.08, 1.02, 1.10), (0.55, 0.85, 1.75)))
    rock = anchors(
        palette, ((0.48, 0.46, 0.46), (0.66, 0.52, 0.42), (0.40, 0.44, 0.50), (0.60, 0.52, 0.54), (0.50, 0.38, 0.62))
    )
    earth = anchors(
        palette, ((0.56, 0.41, 0.27), (0.68, 0.44, 0.28), (0.46, 0.38, 0.32), (0.66, 0.50, 0.40), (0.62, 0.34, 0.42))
    )
    sand = anchors(
        palette, ((0.88, 0.77, 0.56), (0.93, 0.76, 0.50), (0.78, 0.73, 0.64), (0.92, 0.80, 0.66), (0.94, 0.68, 0.62))
    )
    water = anchors(sea, ((0.22, 0.36, 0.38), (0.12, 0.34, 0.52), (0.10, 0.50, 0.62), (0.16, 0.62, 0.64)))
    paint = anchors(
        palette, ((0.80, 0.52, 0.42), (0.86, 0.58, 0.40), (0.66, 0.44, 0.42), (0.84, 0.60, 0.54), (0.66, 0.40, 0.66))
    )
    none = torch.zeros_like(warmth)
    light = light_of(style, none, none)
    sky = (light.zenith + light.horizon).double() * 0.5
    wet = (1 - 0.30 * wetness)[:, None]
    return torch.stack([green * tint, rock, earth * wet, sand * (1 - 0.22 * wetness)[:, None], water, sky, paint], dim=1).clamp(
        0, 1
    )


def colours(style: Float[Tensor, "n 9"]) -> Float[Tensor, "n 12 3"]:
    """The colour of each class in each style, before light, snow included."""
    table = torch.tensor([LOADINGS[name] for name in CLASSES], dtype=torch.float64, device=style.device)
    colour = (table[None, :, :, None] * pigments(style)[:, None]).sum(2)
    snow = torch.tensor([SNOW.get(name, 0.0) for name in CLASSES], dtype=torch.float64, device=style.device)
    cover = (ramp(style[:, 8], 0.0, 0.8)[:, None] * snow)[..., None]
    return colour + (0.93 - colour) * cover


@lru_cache(maxsize=1)
def true_distance() -> Float[Tensor, "12 12"]:
    """How different two materials are: root mean square over 2,000 styles of the difference of colour, and of texture."""
    style = draw_style(sample_keys(1, "train", torch.arange(2000)), "train", torch.ones(2000, dtype=torch.float64))
    look = colours(style)
    colour = (look[:, :, None] - look[:, None]).pow(2).mean((0, 3))
    texture = torch.tensor([TEXTURE[name] for name in CLASSES], dtype=torch.float64)
    return (colour + 0.15 * (texture[:, None] - texture[None]).pow(2).mean(-1)).sqrt()


def true_transfer_matrix() -> Float[Tensor, "12 12"]:
    """What a class of the target (row) should take from each class of the exemplar (columns), rows summing to 1.

    exp(−d² / 2s²) of the distance of their materials. Fig. 10 of [MSCA] has the exemplar's classes down and the target's
    across; rows of the target are what every record of a match holds here.
    """
    distance = true_distance()
    weight = (-0.5 * (distance / _SPREAD) ** 2).exp()
    return weight / weight.sum(1, keepdim=True)


def true_dendrogram() -> numpy.ndarray:
    """The tree of the materials, average linkage of `true_distance`, in SciPy's form (11, 4): each row joins two groups, at a
    distance, into one of so many classes."""
    return linkage(squareform(true_distance().numpy(), checks=False), "average")
