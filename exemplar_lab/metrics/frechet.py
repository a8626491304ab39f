"""The Fréchet distance between two sets of images, in the features of any network, streamed and with replicates.

Heusel and others (2017) named it FID for the features of one Inception network, and no other number may bear that name: on
other features, say which, as in "Fréchet distance (lab-v1)". torchmetrics has the same sums for one weighting only. For
replicates its BootStrapper copies the metric with its network, and shows the images to each copy; here the network sees an
image once, and a replicate costs the sums alone. A test holds the two together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Moments:
    """Sums over images x, each counted so often in each of r replicates, the first as measured; float64, on the CPU.

    8·r·d² bytes, whatever the number of images: 212 MB for r = 101 and d = 512.
    """

    weight: Float[Tensor, " r"]
    """Σ times"""
    total: Float[Tensor, "r d"]
    """Σ times · x"""
    square: Float[Tensor, "r d d"]
    """Σ times · x xᵀ"""


def pooled(feature: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c"]:
    """One vector per image: the mean over all positions, as Inception's last layer takes it."""
    return feature.mean((2, 3))


def moments(feature: Float[Tensor, "n d"], times: Float[Tensor, "r n"]) -> Moments:
    """The sums over n images. times: how often each counts, from `resampling.half_times`.

    Raises ValueError for features that are not finite, which would spoil the sums of all images.
    """
    if feature.shape[:1] != times.shape[1:]:
        raise ValueError(f"got features of {len(feature)} images and times of {times.shape[1]}, expected as many")
    if bad := int((~feature.isfinite()).any(1).sum()):
        raise ValueError(f"got features that are NaN or infinite of {bad} of {len(feature)} images: look at these images")
    x, times = feature.detach().double().cpu(), times.double().cpu()
    square = x.new_empty(len(times), x.shape[1], x.shape[1])
    for one, weight in zip(square, times, strict=True):
        torch.matmul(x.T * weight, x, out=one)
    return Moments(times.sum(1), times @ x, square)


def join_moments(parts: Sequence[Moments]) -> Moments:
    """The sums over the images of all parts, in any order. A long stream joins as it goes and keeps one record."""
    if not parts:
        raise ValueError("got no moments to join, expected at least one")
    if len(shapes := {part.total.shape for part in parts}) > 1:
        raise ValueError(f"got moments of (replicates, width) {sorted(map(tuple, shapes))}, expected the same of all parts")
    weight, total, square = (torch.zeros_like(each) for each in (parts[0].weight, parts[0].total, parts[0].square))
    for part in parts:
        weight, total, square = weight.add_(part.weight), total.add_(part.total), square.add_(part.square)
    return Moments(weight, total, square)


def frechet_distance(one: Moments, other: Moments) -> Float[Tensor, " r"]:
    """|μ₁ − μ₂|² + tr(C₁ + C₂ − 2 (C₁C₂)^½) of each replicate, with unbiased covariances; NaN for a replicate of one image.

    The trace of the root is that of (C₁^½ C₂ C₁^½)^½, whose matrix is symmetric: its eigenvalues are real, those that rounding
    made negative are zero, and C₁ may be singular, as it is for fewer images than features. Accurate to about 1e-6 of the trace
    of the covariances. Fewer images give larger distances: compare only numbers of equally many.
    Raises ValueError for fewer than two images and for features of different networks.
    """
    if one.total.shape != other.total.shape:
        raise ValueError(
            f"got moments of (replicates, width) {tuple(one.total.shape)} and {tuple(other.total.shape)}, expected the same: "
            "measure both with one network and equally many draws"
        )
    if (fewest := min(one.weight[0], other.weight[0])) < 2:
        raise ValueError(f"got a set of {int(fewest)} images, expected at least 2: one image has no covariance")
    return torch.stack([_distance(*_gaussian(one, r), *_gaussian(other, r)) for r in range(len(one.weight))])


def _gaussian(sums: Moments, r: int) -> tuple[Float[Tensor, " d"], Float[Tensor, "d d"]]:
    """Mean and unbiased covariance of one replicate."""
    weight, mean = sums.weight[r], sums.total[r] / sums.weight[r]
    return mean, (sums.square[r] - weight * mean.outer(mean)) / (weight - 1)


def _distance(mean: Tensor, covariance: Tensor, other_mean: Tensor, other_covariance: Tensor) -> Float[Tensor, ""]:
    if not (covariance.isfinite().all() and other_covariance.isfinite().all()):
        return mean.new_tensor(torch.nan)
    value, vector = torch.linalg.eigh(covariance)
    root = vector * value.clamp_min(0).sqrt()
    overlap = torch.linalg.eigvalsh(root.T @ other_covariance @ root).clamp_min(0).sqrt().sum()
    return (mean - other_mean).square().sum() + covariance.trace() + other_covariance.trace() - 2 * overlap
