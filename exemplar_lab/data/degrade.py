"""Images made worse by a known amount, so that a distance between images can be held against the truth.

What is drawn at random (the noise, the direction of the colours, the field of the warp, the order of the swaps) depends on the
seed alone and not on the strength: a stronger distortion is more of the same. Strength 1 is what a person still recognises.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from kornia.filters import gaussian_blur2d
from torch import Tensor

from exemplar_lab.data.distort import pixel_centres
from exemplar_lab.data.seeds import uniform
from exemplar_lab.grid import sample_at

BLUR = 0.04
"""Deviation of the Gaussian at strength 1, in longer sides of the image."""

NOISE = 0.25
"""Deviation of the Gaussian noise at strength 1, where colours span [0, 1]."""

COLOUR = 0.35
"""How far all colours move at strength 1 (Euclidean, RGB); what would leave [0, 1] stays at its end."""

WARP = 0.06
"""Root mean square of the displacement at strength 1, in longer sides; the field is smooth between 4 × 4 knots."""

BLOCKS, SHUFFLED = 8, 0.5
"""The image is cut into BLOCKS × BLOCKS; at strength 1 this share of them has swapped places, two and two."""

SMEAR = 0.08
"""How far a motion blur smears to each side at strength 1, in longer sides."""

DEAD = 0.3
"""Share of pixels at strength 1 that are black or white, whatever was there."""

FADED = 0.75
"""Share of the way to their mean that all colours of an image have gone at strength 1."""

PATCH = 0.6
"""Side of the square that covers the image at strength 1, in shorter sides."""


def degrade(
    image: Float[Tensor, "b 3 h w"], family: str, strength: float | int | Float[Tensor, " b"], seeds: Int[Tensor, " b"]
) -> Float[Tensor, "b 3 h w"]:
    """The images, in [0, 1], distorted by a family of FAMILIES or of HELD_OUT; strength 0 … 1, one for all or one
    for each.

    Strength 0 gives the image back. block shuffle: the number of swaps is rounded, 16 of them at strength 1.
    Raises ValueError for an unknown family, a strength outside [0, 1], and for sides that are no multiples of BLOCKS.
    """
    known = FAMILIES | HELD_OUT
    if family not in known:
        raise ValueError(f"got the family {family!r}, expected one of {', '.join(known)}: choose one of these")
    strength = torch.as_tensor(strength, dtype=image.dtype, device=image.device).expand(len(image))
    if not ((strength >= 0) & (strength <= 1)).all():
        raise ValueError(f"got strengths from {strength.min():g} to {strength.max():g}, expected 0 … 1: scale them")
    if not len(image):
        return image.clone()
    return known[family](image, strength, seeds.to(image.device))


def _blur(image: Tensor, strength: Tensor, seeds: Tensor) -> Tensor:
    longest = BLUR * max(image.shape[-2:])
    kernel = 2 * min(int(3 * longest + 1), min(image.shape[-2:]) - 1) + 1
    # A deviation of a thousandth of a pixel leaves one weight that is not zero.
    sigma = (strength * longest).clamp_min(1e-3)[:, None].expand(-1, 2)
    return gaussian_blur2d(image, (kernel, kernel), sigma)


def _noise(image: Tensor, strength: Tensor, seeds: Tensor) -> Tensor:
    field = torch.special.ndtri(uniform(seeds, "noise", tuple(image.shape[1:])).clamp_min(1e-12)).to(image.dtype)
    return (image + _per_image(strength) * NOISE * field).clamp(0, 1)


def _colour_shift(image: Tensor, strength: Tensor, seeds: Tensor) -> Tensor:
    direction = torch.special.ndtri(uniform(seeds, "colour", (3,)).clamp_min(1e-12))
    direction = F.normalize(direction, dim=1).to(image.dtype)[..., None, None]
    return (image + _per_image(strength) * COLOUR * direction).clamp(0, 1)


def _warp(image: Tensor, strength: Tensor, seeds: Tensor) -> Tensor:
    size = (image.shape[-2], image.shape[-1])
    field = F.interpolate(uniform(seeds, "warp", (2, 4, 4), -1.0, 1.0), size, mode="bicubic", align_corners=True)
    field = field / field.square().sum(1).flatten(1).mean(1).sqrt()[:, None, None, None]
    moved = _per_image(strength) * WARP * max(size) * field.to(image.dtype)
    return sample_at(image, pixel_centres(size, device=image.device).to(image.dtype) + moved)


def _block_shuffle(image: Tensor, strength: Tensor, seeds: Tensor) -> Tensor:
    height, width = image.shape[-2:]
    if height % BLOCKS or width % BLOCKS:
        raise ValueError(f"got images of {height} × {width} pixels, expected sides that are multiples of {BLOCKS}: resize them")
    pairs = uniform(seeds, "shuffle", (BLOCKS**2,)).argsort(1).unflatten(1, (-1, 2))
    swapped = (strength * SHUFFLED * BLOCKS**2 / 2).round()
    taken = torch.arange(pairs.shape[1], device=image.device) < swapped[:, None]
    source = torch.where(taken[..., None], pairs.flip(2), pairs)
    order = torch.empty_like(pairs.flatten(1)).scatter_(1, pairs.flatten(1), source.flatten(1))
    cell = (height // BLOCKS, width // BLOCKS)
    blocks = F.unfold(image, cell, stride=cell)
    blocks = blocks.gather(2, order[:, None].expand_as(blocks))
    return F.fold(blocks, (height, width), cell, stride=cell)


def _motion_blur(image: Tensor, strength: Tensor, seeds: Tensor) -> Tensor:
    size = (image.shape[-2], image.shape[-1])
    turn = uniform(seeds, "smear", (), 0.0, torch.pi).to(image.dtype)
    far = _per_image(strength) * SMEAR * max(size) * torch.stack([turn.cos(), turn.sin()], dim=1)[..., None, None]
    centre = pixel_centres(size, device=image.device).to(image.dtype)
    return torch.stack([sample_at(image, centre + step / 6 * far) for step in range(-6, 7)]).mean(0)


def _dead_pixels(image: Tensor, strength: Tensor, seeds: Tensor) -> Tensor:
    place, colour = uniform(seeds, "dead", (2, 1, *image.shape[2:])).unbind(1)
    return torch.where(place < _per_image(strength) * DEAD, (colour < 0.5).to(image.dtype), image)


def _fading(image: Tensor, strength: Tensor, seeds: Tensor) -> Tensor:
    return image.lerp(image.mean((2, 3), keepdim=True), _per_image(strength) * FADED)


def _patch(image: Tensor, strength: Tensor, seeds: Tensor) -> Tensor:
    height, width = image.shape[-2:]
    side = strength * PATCH * min(height, width)
    middle = uniform(seeds, "place", (2,), PATCH / 2, 1 - PATCH / 2).to(image.dtype) * torch.tensor([width, height]).to(image)
    far = (pixel_centres((height, width), device=image.device).to(image.dtype) - middle[..., None, None]).abs()
    share = (_per_image(side) / 2 + 0.5 - far).clamp(0, 1).prod(1, keepdim=True) * (_per_image(side) > 0)
    return image.lerp(uniform(seeds, "paint", (3, 1, 1)).to(image.dtype), share)


def _per_image(strength: Float[Tensor, " b"]) -> Float[Tensor, "b 1 1 1"]:
    return strength[:, None, None, None]


FAMILIES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "blur": _blur,
    "noise": _noise,
    "colour shift": _colour_shift,
    "warp": _warp,
    "block shuffle": _block_shuffle,
}

HELD_OUT: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "motion blur": _motion_blur,
    "dead pixels": _dead_pixels,
    "fading": _fading,
    "patch": _patch,
}
"""Families that no network of this package is trained with: has it learnt distances, or only the families above?"""
