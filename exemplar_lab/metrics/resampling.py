"""Images drawn again while they stream by, in complementary halves, and intervals that see a bias.

A replicate that draws each image independently of the others needs no list of all images, and sums of any number of batches can
be joined: how often an image counts is a hash of its number. `tables.drawn_again` draws exactly n of n, for numbers per image
that are all there.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.ops.hashing import GOLDEN, counted, mix, signed

_DEVIATIONS = 1.96
"""Of a normal distribution, to hold 95 % of it."""


def half_times(number: Int[Tensor, " n"], draws: int, seed: int = 0) -> Float[Tensor, "r n"]:
    """How often each image occurs: once in row 0; then rows 1 and 2, 3 and 4, … each split the images in two halves, of which
    the first counts twice in the one row and the second twice in the other; float64.

    Of mean 1 and variance 1, as if drawn with replacement; but what one half adds to the noise the other takes away, by which
    `distance_interval` tells noise from difference (complementary half-samples, McCarthy 1969). It depends on the image's
    number, the replicate and the seed alone: the same in any order and any batch, and images of one number, such as one pair at
    several levels of a dial, are drawn together. Sets that are drawn independently need different numbers or seeds.
    An odd number of draws ends with half a pair, of which no interval makes use. Raises ValueError for fewer than 0 draws.
    """
    if draws < 0:
        raise ValueError(f"got {draws} draws, expected 0, which gives no interval, or more")
    key = mix(mix(number.long().cpu()) + signed(seed * GOLDEN))
    first = (counted(key, (draws + 1) // 2) < 0).T.double() * 2
    return torch.cat([torch.ones(1, len(key), dtype=torch.float64), torch.stack([first, 2 - first], 1).flatten(0, 1)[:draws]])


def distance_interval(values: Float[Tensor, " r"], root: bool = False) -> dict[str, float]:
    """{"mean", "half_width", "low", "high"} of a distance between two sets: θ as measured, and the 95 % interval of what it
    would be for endless sets, from the replicates of `half_times`.

    Near its least value a distance is a square |u|² of the difference u of the sets, itself a true difference plus noise e. In
    a pair of complementary halves it is |u ± e|²: their mean, less θ, is |e|², by which θ is too large on average; half their
    difference is 2u · e. The interval holds every λ for which (θ − |e|² − λ)² ≤ 1.96² · (4λσ² + var |e|²), where σ² is the
    variance of e along u: at λ = 0 a test against noise alone, and far from 0 the usual interval. It need not contain θ.
    low at most 0: the sets cannot be told apart. Of simulated sets that differ by anything from nothing to three deviations in
    1 to 100 dimensions, 90 to 99 % of the intervals hold the truth, where quantiles do not: see `basic_interval`.
    Of the Fréchet distance only where images are many against the directions that they vary in: with fewer, twice the images do
    not halve its excess, and the interval lies too high. Of two sets of one kind, in 160 dimensions with variances 1/k, 9 of 10
    intervals held 0 for 256 images and none of 30 for 128. Of two disjoint sets of test people in lab features low was at most
    0 in 17 of 20 for 32 images and in 18 of 20 for 128; of scenes in 9 for 8, in 16 for 32 and in 19 for 128.
    root: of values that are no squares themselves, as the sliced Wasserstein distance. NaN pairs are left out.
    """
    square = values.double().square() if root else values.double()
    theta, pairs = square[0], square[1 : len(square) - (len(square) - 1) % 2].unflatten(0, (-1, 2))
    pairs = pairs[pairs.isfinite().all(1)]
    if len(pairs) < 2:
        return {"mean": float(values[0]), "half_width": math.nan, "low": math.nan, "high": math.nan}
    noise, along = pairs.mean(1) - theta, (pairs[:, 0] - pairs[:, 1]) / 2
    spread = noise.var()
    corrected = theta - noise.mean()
    energy = corrected.clamp_min(0) + torch.maximum(noise.mean(), (spread / 2).sqrt())  # |u|²: an unbiased θ lacks its |e|²
    middle = corrected + _DEVIATIONS**2 * along.square().mean() / (2 * energy).clamp_min(1e-300)
    half = (middle.square() - corrected.square() + _DEVIATIONS**2 * spread).clamp_min(0).sqrt()
    low, high = (float(end.sign() * end.abs().sqrt() if root else end) for end in (middle - half, middle + half))
    return {"mean": float(values[0]), "half_width": (high - low) / 2, "low": low, "high": high}


def basic_interval(values: Float[Tensor, " r"]) -> dict[str, float]:
    """{"mean", "half_width", "low", "high"}: the first value θ as measured, and the 95 % interval 2θ − q of the others.

    The basic, or reverse percentile, bootstrap: replicates stand to θ as θ stands to the truth. A distance between two sets of
    few images is too large, because each set misses the truth in its own way; replicates are too large once more and by about
    as much, so the interval lies below θ where percentiles of the replicates would lie above it. It may therefore not contain
    θ. It is meant for differences of distances. Of a distance itself it is too wide near 0, where the replicates spread three
    times as much as θ does: use `distance_interval`. NaN replicates are left out; NaN where there are none.
    """
    theta, drawn = float(values[0]), values[1:][values[1:].isfinite()].double()
    high, low = (2 * theta - drawn.quantile(drawn.new_tensor([0.025, 0.975]))).tolist() if len(drawn) else (math.nan, math.nan)
    return {"mean": theta, "half_width": (high - low) / 2, "low": low, "high": high}
