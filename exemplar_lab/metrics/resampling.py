"""Images drawn again while they stream by: the Poisson bootstrap, and an interval that sees a bias.

Drawing n images with replacement shows each about Poisson(1) times, and for many images independently of the others (Chamandy
and others 2012): so a replicate needs no list of all images, sums of any number of batches can be joined, and how often an
image counts is a hash of its number. `tables.drawn_again` draws exactly n of n, for numbers per image that are all there.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.ops.hashing import GOLDEN, counted, mix, signed, unit

_SHARES = torch.tensor([1 / math.factorial(k) for k in range(18)], dtype=torch.float64).cumsum(0) / math.e
"""Of Poisson(1): the chance of at most 0, 1, … 17; 53 bits reach no further."""


def poisson_times(number: Int[Tensor, " n"], draws: int, seed: int = 0) -> Float[Tensor, "r n"]:
    """How often each image occurs: once in row 0, then Poisson(1) times in each of `draws` replicates; float64.

    It depends on the image's number, the replicate and the seed alone: the same in any order and any batch, and images of one
    number, such as one pair at several levels of a dial, are drawn together. Sets that are drawn independently need different
    numbers or seeds.
    """
    if draws < 0:
        raise ValueError(f"got {draws} draws, expected 0, which gives no interval, or more")
    key = mix(mix(number.long().cpu()) + signed(seed * GOLDEN))
    drawn = torch.bucketize(unit(counted(key, draws)), _SHARES, right=True)
    return torch.cat([torch.ones(1, len(key), dtype=torch.float64), drawn.T.double()])


def basic_interval(values: Float[Tensor, " r"]) -> dict[str, float]:
    """{"mean", "half_width", "low", "high"}: the first value θ as measured, and the 95 % interval 2θ − q of the others.

    The basic, or reverse percentile, bootstrap: replicates stand to θ as θ stands to the truth. A distance between two sets of
    few images is too large, because each set misses the truth in its own way; replicates are too large once more and by about
    as much, so the interval lies below θ where percentiles of the replicates would lie above it. It may therefore not contain
    θ, and it may reach below 0: then the sets cannot be told apart. NaN replicates are left out; NaN where there are none.
    """
    theta, drawn = float(values[0]), values[1:][values[1:].isfinite()].double()
    high, low = (2 * theta - drawn.quantile(drawn.new_tensor([0.025, 0.975]))).tolist() if len(drawn) else (math.nan, math.nan)
    return {"mean": theta, "half_width": (high - low) / 2, "low": low, "high": high}
