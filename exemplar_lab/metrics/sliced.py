"""The sliced Wasserstein distance (SWD) between the patches of two sets of images, as Karras and others (2018) define it.

Levels of a Laplacian pyramid, from the full size down to 16; of each image and level 128 patches of 7 × 7 × 3, at random
places; each set standardised per channel; the mean distance of the sorted projections onto 512 random directions, times 1000.
It needs no network. Every place is a hash of the image's number and a seed; the range of the images does not matter.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from exemplar_lab.metrics.resampling import half_times
from exemplar_lab.ops.hashing import GOLDEN, counted, mix, signed, unit

SIDE, PER_IMAGE, DIRECTIONS, COARSEST = 7, 128, 512, 16
KEPT = 1024 * PER_IMAGE
"""Patches that a record keeps at most, at each level: all of 1024 images; 77 MB a level, 231 MB for images of 64 × 64. Of more
images a uniform sample stays, and up to a quarter more between two thinnings."""
FEW_DIRECTIONS = 16
"""For replicates, in which images are drawn again: their spread is almost the same along all directions."""


@dataclass(frozen=True)
class Patches:
    """A uniform sample of the patches of any number of images, on the CPU; in parts, so that joining copies nothing."""

    images: int
    """How many were seen."""
    number: tuple[Int[Tensor, " _"], ...]
    """Of the image that each patch is from."""
    priority: tuple[Int[Tensor, " _"], ...]
    """A hash; where there are too many patches, the least stay."""
    value: tuple[Float[Tensor, "levels _ d"], ...]
    """Row c · 49 + y · 7 + x of a patch at each level."""


def patches(image: Float[Tensor, "b 3 h w"], number: Int[Tensor, " b"], seed: int = 0) -> Patches:
    """128 patches of each level of images in [0, 1]. Two sets that are compared want different seeds, as places are
    independent between the sets in PGGAN.

    Raises ValueError for images below 16 × 16, and for sides that cannot be halved down to the coarsest level.
    """
    levels = laplacian_pyramid(image.detach().float())
    key = mix(mix(number.long().cpu()) + signed(seed * GOLDEN))
    place = unit(counted(key, 2 * len(levels) * PER_IMAGE)).unflatten(1, (len(levels), 2, PER_IMAGE)).to(image.device)
    found = []
    for n, level in enumerate(levels):
        sides = torch.tensor(level.shape[:1:-1], device=image.device) - SIDE + 1
        left, top = (place[:, n] * sides[:, None]).long().unbind(1)
        found.append(patches_at(level, left, top).flatten(0, 1))
    priority = mix(counted(mix(key), PER_IMAGE)).flatten()
    which = number.long().cpu().repeat_interleave(PER_IMAGE)
    return Patches(len(image), (which,), (priority,), (torch.stack(found).cpu(),))


def laplacian_pyramid(image: Float[Tensor, "b c h w"]) -> list[Float[Tensor, "b c _ _"]]:
    """What each halving takes away, from the full size to the last of at least 16 pixels, which is whole.

    5 × 5 binomial filters, the border mirrored, as in PGGAN.
    """
    height, width = image.shape[-2:]
    halvings = int(math.log2(min(height, width) / COARSEST)) if min(height, width) >= COARSEST else -1
    if halvings < 0 or height % 2**halvings or width % 2**halvings:
        multiple = COARSEST if halvings < 0 else 2**halvings
        raise ValueError(
            f"got images of {height} × {width}, expected sides of at least {COARSEST} that can be halved down to it: "
            f"resize to multiples of {multiple}"
        )
    levels = [image]
    for _ in range(halvings):
        fine, coarse = levels[-1], _filtered(levels[-1], stride=2)
        spread = torch.zeros_like(fine)
        spread[..., ::2, ::2] = 4 * coarse
        levels[-1:] = [fine - _filtered(spread), coarse]
    return levels


def patches_at(level: Float[Tensor, "b c h w"], left: Int[Tensor, "b n"], top: Int[Tensor, "b n"]) -> Float[Tensor, "b n d"]:
    """The patches whose first pixels are (left, top), flattened as c, y, x."""
    step = torch.arange(SIDE, device=level.device)
    y, x = top[..., None, None] + step[:, None], left[..., None, None] + step
    image = torch.arange(len(level), device=level.device)[:, None, None, None]
    return level.movedim(1, -1)[image, y, x].movedim(-1, 2).flatten(2)


def join_patches(parts: Sequence[Patches]) -> Patches:
    """The patches of all parts, in any order; beyond `KEPT` by more than a quarter, those of the least priority stay."""
    if not parts:
        raise ValueError("got no patches to join, expected at least one")
    if len(levels := {part.value[0].shape[0] for part in parts}) > 1:
        raise ValueError(f"got patches of {sorted(levels)} levels, expected images of one size")
    number, priority, value = (sum((getattr(part, name) for part in parts), ()) for name in ("number", "priority", "value"))
    joined = Patches(sum(part.images for part in parts), number, priority, value)
    return _trimmed(joined) if sum(map(len, number)) > KEPT * 5 // 4 else joined


def sliced_wasserstein(
    one: Patches, other: Patches, draws: int = 0, seed: int = 0, other_seed: int | None = None
) -> Float[Tensor, "r levels"]:
    """The distance × 1000 at each level, finest first, and of `draws` replicates below it; PGGAN's number is their mean.

    Replicates are of half of the images, by `half_times` of their number and `seed`, with both sets standardised again;
    other_seed: where equal numbers in the two sets are not pairs. One is what 512 directions gave plus the change along 16 of
    them. `distance_interval` with root=True makes an interval of the mean of levels.
    Raises ValueError for sets of different size: fewer images lie further apart.
    """
    if one.images != other.images:
        raise ValueError(
            f"got {one.images} and {other.images} images, expected as many: distances of fewer images are larger, so leave "
            "some out of the larger set"
        )
    orders = [_order(each) for each in (one, other)]
    seeds = (seed, seed if other_seed is None else other_seed)
    numbers = [torch.cat(each.number)[order] for each, order in zip((one, other), orders, strict=True)]
    halves = [_halves(number, draws, which) for number, which in zip(numbers, seeds, strict=True)]
    direction = directions(one.value[0].shape[-1], seed)
    levels = []
    for n in range(len(one.value[0])):
        pair = [_level(each, order, n) for each, order in zip((one, other), orders, strict=True)]
        measured = sliced_distance(*(standardised(each) for each in pair), direction)
        drawn = _replicates(pair, halves, direction[:, :FEW_DIRECTIONS])
        levels.append(1000 * torch.cat([measured[None], measured + drawn[1:] - drawn[0]]))
    return torch.stack(levels, 1)


def directions(width: int, seed: int = 0) -> Float[Tensor, "d k"]:
    """512 unit vectors, uniform on the sphere."""
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(width, DIRECTIONS, generator=generator), dim=0)


def standardised(value: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """Mean 0 and deviation 1 of each of the three channels over all patches of the set."""
    deviation, mean = torch.std_mean(value.unflatten(1, (3, -1)), dim=(0, 2), correction=0, keepdim=True)
    return ((value.unflatten(1, (3, -1)) - mean) / deviation).flatten(1)


def sliced_distance(
    one: Float[Tensor, "n d"], other: Float[Tensor, "n d"], direction: Float[Tensor, "d k"]
) -> Float[Tensor, ""]:
    """The mean over directions of the mean difference of sorted projections."""
    chunks = direction.split(64, dim=1)
    return (
        torch.stack([(_sorted(chunk.T @ one.T) - _sorted(chunk.T @ other.T)).abs().mean() for chunk in chunks]).mean().double()
    )


def _replicates(
    pair: list[Float[Tensor, "n d"]],
    halves: list[tuple[Bool[Tensor, "r i"], Int[Tensor, " n"]]],
    direction: Float[Tensor, "d k"],
) -> Float[Tensor, " r"]:
    """`sliced_distance` of the patches of the images drawn, standardised again. That each counts twice makes no difference."""
    by_channel = [_by_channel(value, direction) for value in pair]
    found = []
    for r in range(len(halves[0][0])):
        sets = [_drawn(*each, drawn[r][image]) for each, (drawn, image) in zip(by_channel, halves, strict=True)]
        found.append(_between(*map(_sorted, sets)))
    return torch.stack(found).double()


def _by_channel(value: Float[Tensor, "n d"], direction: Float[Tensor, "d k"]) -> tuple[Tensor, Tensor, Tensor]:
    """What standardising needs, so that it need not touch the patches again: the projection of each channel (3 k n), mean and
    mean square of each channel of each patch (2 3 n), and the sum of the direction over each channel (3 k)."""
    channels, along = value.unflatten(1, (3, -1)), direction.unflatten(0, (3, -1))
    projection = torch.einsum("ncd,cdk->ckn", channels, along)
    return projection, torch.stack([channels.mean(2).T, channels.square().mean(2).T]), along.sum(1)


def _drawn(
    projection: Float[Tensor, "3 k n"], sums: Float[Tensor, "2 3 n"], along: Float[Tensor, "3 k"], kept: Bool[Tensor, " n"]
) -> Float[Tensor, "k m"]:
    mean, square = (sums.double() @ kept.double()) / kept.sum()
    deviation = (square - mean.square()).clamp_min(0).sqrt()
    scale, shift = (1 / deviation).float(), (mean / deviation).float()
    return torch.einsum("ckn,c->kn", projection[..., kept], scale) - (along * shift[:, None]).sum(0)[:, None]


def _between(one: Float[Tensor, "k n"], other: Float[Tensor, "k m"]) -> Float[Tensor, ""]:
    """The mean difference of sorted numbers; of more numbers on one side, as many are taken at even steps."""
    fewest = min(one.shape[1], other.shape[1])
    if not fewest:
        return one.new_tensor(math.nan)
    step = (torch.arange(fewest) + 0.5) / fewest
    one, other = (each[:, (step * each.shape[1]).long()] if each.shape[1] > fewest else each for each in (one, other))
    return (one - other).abs().mean()


def _sorted(value: Float[Tensor, "k n"]) -> Float[Tensor, "k n"]:
    """By NumPy, whose sort of float32 takes a fiftieth of torch's time on a CPU."""
    return torch.from_numpy(np.sort(value.numpy(), axis=1))


def _order(sample: Patches) -> Int[Tensor, " n"]:
    """Which patches of all parts stay, sorted by image: the same from any order of the parts."""
    order = torch.cat(sample.priority).argsort(stable=True)[:KEPT]
    return order[torch.cat(sample.number)[order].argsort(stable=True)]


def _level(sample: Patches, order: Int[Tensor, " n"], level: int) -> Float[Tensor, "n d"]:
    return torch.cat([part[level] for part in sample.value])[order]


def _trimmed(sample: Patches) -> Patches:
    order = _order(sample)
    number, priority = torch.cat(sample.number)[order], torch.cat(sample.priority)[order]
    value = torch.stack([_level(sample, order, n) for n in range(len(sample.value[0]))])
    return Patches(sample.images, (number,), (priority,), (value,))


def _halves(number: Int[Tensor, " n"], draws: int, seed: int) -> tuple[Bool[Tensor, "r i"], Int[Tensor, " n"]]:
    """Which images are drawn, and which of these images each patch is from."""
    image, which = number.unique(return_inverse=True)
    return half_times(image, draws, seed) > 0, which


def _filtered(image: Float[Tensor, "b c h w"], stride: int = 1) -> Float[Tensor, "b c _ _"]:
    line = image.new_tensor([1, 4, 6, 4, 1]) / 16
    filters = line.outer(line).expand(image.shape[1], 1, 5, 5)
    return F.conv2d(F.pad(image, (2, 2, 2, 2), mode="reflect"), filters, stride=stride, groups=image.shape[1])
