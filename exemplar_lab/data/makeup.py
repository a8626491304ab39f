"""Makeup as it is painted on a portrait: a layer of colours over it, with how much of each pixel they cover."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from exemplar_lab.data.seeds import sample_keys, uniform

STROKES = ("lips", "eyes", "cheeks")
OPACITY = 0.8
_FINER = 4
_FEWEST = 0.6
"""A stroke is painted where so many of its landmarks are seen."""

_LIPS = ([48, 49, 50, 51, 52, 53, 54, 64, 63, 62, 61, 60], [48, 60, 67, 66, 65, 64, 54, 55, 56, 57, 58, 59])
_EYES = (([36, 37, 38, 39], [17, 18, 19, 20, 21]), ([45, 44, 43, 42], [26, 25, 24, 23, 22]))
_CHEEKS = ((36, 48, 3), (45, 54, 13))
_CORNERS = 16
_COLOURS = {
    "lips": ((0.78, 0.05, 0.16), (0.55, 0.02, 0.30), (0.92, 0.30, 0.16)),
    "eyes": ((0.10, 0.35, 0.75), (0.45, 0.15, 0.65), (0.05, 0.50, 0.42)),
    "cheeks": ((0.95, 0.42, 0.45), (0.93, 0.45, 0.62), (0.96, 0.52, 0.32)),
}


class Makeup(NamedTuple):
    """A layer for each of `STROKES`: colour b s 3, how much is covered b s h w."""

    colour: Tensor
    cover: Tensor

    def layer(self) -> Float[Tensor, "b 4 h w"]:
        """All strokes as one layer, red, green, blue, alpha; later strokes lie over earlier ones."""
        done = self.cover.new_zeros(len(self.cover), 4, *self.cover.shape[2:])
        for stroke in range(self.cover.shape[1]):
            alpha = self.cover[:, stroke, None]
            over = torch.cat([self.colour[:, stroke, :, None, None] * alpha, alpha], dim=1)
            done = over + done * (1 - alpha)
        return straight(done)


def premultiplied(layer: Float[Tensor, "b 4 h w"]) -> Float[Tensor, "b 4 h w"]:
    """Colours times alpha: the form in which layers can be averaged, for what is not painted has no colour."""
    return torch.cat([layer[:, :3] * layer[:, 3:], layer[:, 3:]], dim=1)


def straight(layer: Float[Tensor, "b 4 h w"]) -> Float[Tensor, "b 4 h w"]:
    """The way back from `premultiplied`; black where nothing is painted."""
    return torch.cat([(layer[:, :3] / layer[:, 3:].clamp_min(1e-6)).clamp(0, 1), layer[:, 3:]], dim=1)


def painted_over(image: Float[Tensor, "b 3 h w"], layer: Float[Tensor, "b 4 h w"]) -> Float[Tensor, "b 3 h w"]:
    """The layer over the image. Raises ValueError for a layer of another size."""
    if image.shape[-2:] != layer.shape[-2:]:
        raise ValueError(
            f"got a layer of {tuple(layer.shape[-2:])} pixels over a picture of {tuple(image.shape[-2:])}, expected one size: "
            "paint on the picture itself, or resize the layer"
        )
    return image + (layer[:, :3] - image) * layer[:, 3:]


def makeup_at(
    points: Float[Tensor, "b 68 2"],
    size: tuple[int, int],
    numbers: Int[Tensor, " b"],
    skin: Bool[Tensor, "b h w"] | None = None,
) -> Makeup:
    """Lipstick, eye shadow and blusher at the 68 landmarks of faces, one of three colours each by number.

    points: (x, y) in pixels, NaN where a landmark is hidden; a stroke that lacks more than two in five of its own is not
    painted. skin: where a brush may paint; everywhere if not given.
    """
    drawn = []
    for face in points.double().cpu():
        lips = sum(_polygon(face[line], size) for line in _LIPS)
        eyes = sum(_polygon(_lid(face, *line), size) for line in _EYES)
        cheeks = sum(_polygon(_round(face[list(three)]), size) for three in _CHEEKS)
        drawn.append(torch.stack([lips, eyes, cheeks]).clamp(0, 1))
    cover = OPACITY * torch.stack(drawn).float().to(points.device)
    if skin is not None:
        cover = cover * skin[:, None]
    keys = sample_keys(1, "val", numbers.cpu())
    which = [(uniform(keys, name) * 3).long() for name in STROKES]
    colours = [torch.tensor(_COLOURS[name])[one] for name, one in zip(STROKES, which, strict=True)]
    return Makeup(torch.stack(colours, dim=1).to(cover), cover)


def _lid(face: Tensor, eye: list[int], brow: list[int]) -> Float[Tensor, "n 2"]:
    """The lid: from the upper edge of the eye to half way up to the brow."""
    up = torch.stack([face[eye[i]] * 0.45 + face[brow[j]] * 0.55 for i, j in ((3, 4), (2, 3), (1, 2), (0, 0))])
    return torch.cat([face[eye], up])


def _round(three: Float[Tensor, "3 2"]) -> Float[Tensor, "n 2"]:
    """A round patch on the cheek, between the corners of eye and mouth and the jaw."""
    eye, mouth, jaw = three
    middle, reach = 0.36 * eye + 0.36 * mouth + 0.28 * jaw, 0.27 * (eye - mouth).norm()
    angle = torch.arange(_CORNERS, dtype=torch.float64) * (2 * torch.pi / _CORNERS)
    return middle + reach * torch.stack([angle.cos(), angle.sin()], dim=1)


def _polygon(corners: Float[Tensor, "n 2"], size: tuple[int, int]) -> Float[Tensor, "h w"]:
    """How much of each pixel lies inside a polygon (even-odd rule, 4 × 4 points a pixel)."""
    known = corners[corners.isfinite().all(1)]
    if len(known) < max(3, _FEWEST * len(corners)):
        return torch.zeros(size, dtype=torch.float64)
    y, x = ((torch.arange(one * _FINER, dtype=torch.float64) + 0.5) / _FINER for one in size)
    inside = torch.zeros(len(y), len(x), dtype=torch.bool)
    for (x0, y0), (x1, y1) in zip(known.tolist(), known.roll(-1, 0).tolist(), strict=True):
        if y0 != y1:
            crossed = (y > y0) != (y > y1)
            inside ^= crossed[:, None] & (x < ((x1 - x0) * (y - y0) / (y1 - y0) + x0)[:, None])
    return inside.double().unflatten(0, (size[0], _FINER)).unflatten(2, (size[1], _FINER)).mean((1, 3))
