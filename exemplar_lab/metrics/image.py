"""All numbers of images at once, streamed: each batch becomes a record, records are joined, and no image is kept.

The numbers themselves live in the files beside this one. Nothing is written to a file between image and number: the published
Fréchet distance of one model moved by more than 2 between PNG and JPEG.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from exemplar_lab.metrics.appearance import l1, masked_ssim, psnr
from exemplar_lab.metrics.frechet import Moments, frechet_distance, join_moments, moments, pooled
from exemplar_lab.metrics.kernel import BLOCK, KernelSums, join_kernel_sums, kernel_distance, kernel_sums
from exemplar_lab.metrics.perceptual import PERCEPTUAL_LAYERS, gram_style_distance, perceptual_distance
from exemplar_lab.metrics.regions import (
    COLOUR_LAYER,
    REGION_SIDE,
    SEMANTIC_LAYERS,
    TEXTURE_LAYER,
    colour_consistency,
    region_labels,
    resized,
    semantic_consistency,
    texture_consistency,
)
from exemplar_lab.metrics.resampling import distance_interval, half_times
from exemplar_lab.metrics.sliced import Patches, join_patches, patches, sliced_wasserstein
from exemplar_lab.metrics.structure import content_ssim
from exemplar_lab.metrics.tables import summarise
from exemplar_lab.translation import Batch

OF_IMAGES = ("l1", "psnr", "ssim", "content_ssim", "perceptual", "style")
OF_REGIONS = ("semantic", "colour", "texture")
OF_SETS = ("fd", "kd", "swd")
IMAGE_NUMBERS = OF_IMAGES + OF_REGIONS + OF_SETS
OF_EXEMPLAR = ("style", "colour", "texture")
"""Numbers that compare with the exemplar; all others with the target."""

THROUGH_FEATURES = ("perceptual", "style", *OF_REGIONS, "fd", "kd")
"""Numbers that mean nothing without the name of the network beside them."""

SET_LAYER = "relu5_2"
"""Its mean over all positions stands for the image where sets are compared."""

DRAWS = 100
"""Of the bootstrap of distances between sets."""

LEAST = {"fd": 64, "kd": 8, "swd": 8}
"""Images of different number below which a distance of sets has no interval: halves of fewer say too little of their noise."""

_REGION_LAYERS = (COLOUR_LAYER, TEXTURE_LAYER, *SEMANTIC_LAYERS)
_AT_ONCE = 4
"""Images that the network sees at once: its early maps are the largest tensors around."""


@dataclass(frozen=True)
class ImageStatistics:
    """What is kept of n images: a few values each, and sums over all of them; `sum_up_images` makes numbers of it.

    features: the name of the network. number: of each image's pair; images of one number are drawn together. values: one per
    image, by the name of the number. made, target: of the features of both sets; made_patches, target_patches: of the images
    themselves, a bounded number.
    """

    features: str
    number: Int[Tensor, " n"]
    values: dict[str, Float[Tensor, " n"]]
    made: Moments
    target: Moments
    kernel: KernelSums
    made_patches: Patches
    target_patches: Patches


class Looks(NamedTuple):
    """Images as a network sees them: at their own side, and at `REGION_SIDE` where regions are compared (otherwise nothing)."""

    own: dict[str, Tensor]
    regions: dict[str, Tensor]


class Shared(NamedTuple):
    """What all that is made of one batch is compared with. labels: of target and exemplar, from 0 up; None where unknown."""

    target: Looks
    exemplar: Looks
    labels: tuple[Int[Tensor, "b h w"], Int[Tensor, "b h w"]] | None
    times: Float[Tensor, "r b"]
    of_target: Moments
    target_patches: Patches


def image_statistics(
    made: Float[Tensor, "b 3 h w"],
    batch: Batch,
    network: nn.Module,
    numbers: Int[Tensor, " b"],
    draws: int = DRAWS,
    shared: Shared | None = None,
) -> ImageStatistics:
    """The record of images made for a batch; they are brought into [0, 1] first, as any file would.

    network: of `nn.features.features`. numbers: of the pairs. draws: replicates, as many for all that is joined.
    shared: of `shared_by_rows`, which saves the work where several things are made of one batch.

    Against the target: l1, psnr (dB), ssim, content_ssim (of luminances), perceptual (see `perceptual_distance`); semantic (see
    `semantic_consistency`). Against the exemplar: style (see `gram_style_distance`), colour, texture (see `regions`). The
    regions, where `batch.truth` knows parts, are compared in images of `REGION_SIDE`, all else at their own side.
    Against all targets: fd and kd, the Fréchet and the kernel distance of the features at `SET_LAYER`, and swd, the sliced
    Wasserstein distance of small patches, mean of its levels.
    """
    if made.shape != batch.target.shape:
        raise ValueError(
            f"got images of {tuple(made.shape)} for targets of {tuple(batch.target.shape)}, expected equal shapes: resize them "
            "to the target's side"
        )
    if shared is None:
        shared = shared_by_rows(batch, network, numbers, draws)
    copied = made is batch.exemplar
    made = made.clamp(0, 1)
    seen = shared.exemplar if copied else look(made, network, shared.labels is not None)
    everywhere = torch.ones_like(made[:, 0], dtype=torch.bool)
    values = {name: function(made, batch.target, everywhere) for name, function in _PIXELS.items()}
    values |= {
        "content_ssim": content_ssim(made, batch.target),
        "perceptual": perceptual_distance(seen.own, shared.target.own),
        "style": gram_style_distance(seen.own, shared.exemplar.own),
    }
    if shared.labels is not None:
        exemplar = seen.regions, shared.exemplar.regions, *shared.labels
        values |= {
            "semantic": semantic_consistency(seen.regions, shared.target.regions, shared.labels[0]),
            "colour": colour_consistency(*exemplar),
            "texture": texture_consistency(*exemplar),
        }
    values = {name: value.cpu() for name, value in values.items()}
    feature = pooled(seen.own[SET_LAYER])
    return ImageStatistics(
        network.name,
        numbers.cpu(),
        values,
        moments(feature, shared.times),
        shared.of_target,
        kernel_sums(feature, pooled(shared.target.own[SET_LAYER]), numbers, shared.times),
        patches(made, numbers, seed=1),
        shared.target_patches,
    )


def shared_by_rows(batch: Batch, network: nn.Module, numbers: Int[Tensor, " b"], draws: int = DRAWS) -> Shared:
    """What target and exemplar of a batch look like to the network, once for all that is made of it."""
    truth = batch.truth
    known = truth is not None and truth.target_part is not None and truth.exemplar_part is not None
    labels = (region_labels(truth.target_part), region_labels(truth.exemplar_part)) if known else None
    target, exemplar = (look(image, network, known) for image in (batch.target, batch.exemplar))
    times = half_times(numbers, draws)
    of_target = moments(pooled(target.own[SET_LAYER]), times)
    return Shared(target, exemplar, labels, times, of_target, patches(batch.target, numbers))


@torch.no_grad()
def look(image: Float[Tensor, "b 3 h w"], network: nn.Module, regions: bool) -> Looks:
    """The maps that numbers are made of, those of regions only if asked for; one pass, where the image has `REGION_SIDE`."""
    own = _maps(image, network, PERCEPTUAL_LAYERS)
    if not regions:
        return Looks(own, {})
    same = image.shape[-2:] == (REGION_SIDE, REGION_SIDE)
    return Looks(own, own if same else _maps(image, network, _REGION_LAYERS, REGION_SIDE))


def join_statistics(parts: Sequence[ImageStatistics]) -> ImageStatistics:
    """The images of all parts, in any order; a long stream joins as it goes. ValueError unless all are of one kind."""
    if not parts:
        raise ValueError("got no statistics to join, expected at least one")
    if len(kinds := {(part.features, *part.values) for part in parts}) > 1:
        raise ValueError(
            f"got statistics of {' and '.join(sorted(map(str, kinds)))}, expected one network and the same numbers in all"
        )
    first = parts[0]
    return ImageStatistics(
        first.features,
        torch.cat([part.number for part in parts]),
        {name: torch.cat([part.values[name] for part in parts]) for name in first.values},
        join_moments([part.made for part in parts]),
        join_moments([part.target for part in parts]),
        join_kernel_sums([part.kernel for part in parts]),
        join_patches([part.made_patches for part in parts]),
        join_patches([part.target_patches for part in parts]),
    )


def sum_up_images(statistics: ImageStatistics) -> dict[str, dict[str, float | str]]:
    """{number: {"mean", "half_width"}} over all images, ready for JSON; of sets also "low" and "high", see `distance_interval`.

    Numbers made through features say which: {"features": "lab-v1"}. Images of one pair are drawn together. NaN are fd for fewer
    than two images, kd where no two pairs of different number are of one block (see `kernel_sums`), and intervals for fewer
    images than LEAST.
    """
    summary: dict[str, dict[str, float | str]] = dict(summarise([statistics.values], group=statistics.number))
    pairs = len(statistics.number.unique())
    for name, distance in set_distances(statistics).items():
        known = distance if pairs >= LEAST[name] else distance[:1]
        summary[name] = distance_interval(known, root=name == "swd")
    for name in summary.keys() & THROUGH_FEATURES:
        summary[name] |= {"features": statistics.features}
    return {name: summary[name] for name in IMAGE_NUMBERS if name in summary}


_PIXELS = {"l1": l1, "psnr": psnr, "ssim": masked_ssim}


def set_distances(statistics: ImageStatistics) -> dict[str, Float[Tensor, " r"]]:
    """{number of OF_SETS: as measured, then its replicates}; NaN alone where there are too few images."""
    draws, number = len(statistics.made.weight) - 1, statistics.number
    unknown = torch.full((1,), math.nan)
    comparable = len(number.unique()) > len((number // BLOCK).unique())
    return {
        "fd": frechet_distance(*on_their_span(statistics.target, statistics.made)) if len(number) > 1 else unknown,
        "kd": kernel_distance(statistics.kernel) if comparable else unknown,
        "swd": sliced_wasserstein(statistics.made_patches, statistics.target_patches, draws).mean(1),
    }


def on_their_span(one: Moments, other: Moments) -> tuple[Moments, Moments]:
    """The same sums in a basis of the directions that features of the images take: their Fréchet distance is the same.

    n images span at most n directions, and the root of a matrix costs the cube of its side. Replicates repeat images, so they
    need no others.
    """
    value, vector = torch.linalg.eigh(one.square[0] + other.square[0])
    basis = vector[:, value > 1e-12 * value[-1]]
    if basis.shape[1] > 0.9 * len(basis):
        return one, other
    return tuple(Moments(part.weight, part.total @ basis, basis.T @ part.square @ basis) for part in (one, other))


def _maps(image: Tensor, network: nn.Module, layers: Sequence[str], side: int | None = None) -> dict[str, Tensor]:
    parts = [network(resized(part, side) if side else part, layers) for part in image.split(_AT_ONCE)]
    return {layer: torch.cat([part[layer] for part in parts]) for layer in layers}
