"""The kernel distance between two sets of images, in the features of any network: constant memory, no bias.

Bińkowski and others (2018) named it KID for Inception's features; on other features, say which. All pairs of n images are n²
numbers, so pairs are taken within blocks of 64 images only, as in the B-test of Zaremba and others (2013).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

BLOCK = 64
"""Images of the numbers 0 … 63, 64 … 127, and so on, are compared with each other."""


@dataclass(frozen=True)
class KernelSums:
    """Sums over pairs of images of one block, in each of r replicates, and the images whose block is not full; on the CPU.

    The three rows: pairs of two made images, of two targets, of one made and one target.
    """

    total: Float[Tensor, "3 r"]
    """Σ times · times · kernel"""
    pairs: Float[Tensor, "3 r"]
    """Σ times · times"""
    number: Int[Tensor, " p"]
    made: Float[Tensor, "p d"]
    target: Float[Tensor, "p d"]
    times: Float[Tensor, "r p"]
    target_times: Float[Tensor, "r p"] | None


def kernel_sums(
    made: Float[Tensor, "n d"],
    target: Float[Tensor, "n d"],
    number: Int[Tensor, " n"],
    times: Float[Tensor, "r n"],
    target_times: Float[Tensor, "r n"] | None = None,
) -> KernelSums:
    """The sums over n rows, one made image and one target each. times: how often each counts, from `half_times`.

    number: of the row; it says the block, so consecutive numbers are needed for a constant memory. Rows of one number are
        never compared: they are one pair at several levels of a dial.
    target_times: given where the two sets are independent. Otherwise a row is a made image and its own target, which are drawn
        together and never compared: alike as they are, they would make the distance too small, by the same amount for any
        number of images, because blocks do not grow.
    Raises ValueError for features that are not finite.
    """
    for name, feature in (("made images", made), ("targets", target)):
        if bad := int((~feature.isfinite()).any(1).sum()):
            raise ValueError(f"got features that are NaN or infinite of {bad} of {len(feature)} {name}: look at these images")
    if made.shape != target.shape:
        raise ValueError(f"got features {tuple(made.shape)} and {tuple(target.shape)}, expected equally many of one network")
    made, target, times = (each.detach().double().cpu() for each in (made, target, times))
    target_times = None if target_times is None else target_times.double().cpu()
    nothing = times.new_zeros(3, len(times))
    return _settled(KernelSums(nothing, nothing, number.long().cpu(), made, target, times, target_times), BLOCK)


def join_kernel_sums(parts: Sequence[KernelSums]) -> KernelSums:
    """The sums over the rows of all parts, in any order."""
    if not parts:
        raise ValueError("got no sums to join, expected at least one")
    if len(shapes := {(part.total.shape[1], part.made.shape[1], part.target_times is None) for part in parts}) > 1:
        raise ValueError(f"got sums of (replicates, width, paired) {sorted(shapes)}, expected the same of all parts")
    independent = None if parts[0].target_times is None else torch.cat([part.target_times for part in parts], 1)
    joined = KernelSums(
        sum(part.total for part in parts),
        sum(part.pairs for part in parts),
        torch.cat([part.number for part in parts]),
        torch.cat([part.made for part in parts]),
        torch.cat([part.target for part in parts]),
        torch.cat([part.times for part in parts], 1),
        independent,
    )
    return _settled(joined, BLOCK)


def kernel_distance(sums: KernelSums) -> Float[Tensor, " r"]:
    """Squared maximum mean discrepancy under the kernel (x · y / d + 1)³, of each replicate; below 0 by chance where there is
    no difference.

    E k(made, made′) + E k(target, target′) − 2 E k(made, target), each the mean over all pairs of different images in a block:
    an unbiased estimate from any number of images. A block that is not full counts with the pairs it has; an image alone in its
    block counts for nothing. The usual KID, for independent sets of at most 64 images with numbers of one block.
    Raises ValueError where no block has two images.
    """
    sums = _settled(sums, 1)
    if (sums.pairs[:, 0] <= 0).any():
        raise ValueError("got no two images in a block, expected at least 2 images, with consecutive numbers")
    made, target, across = sums.total / sums.pairs
    return made + target - 2 * across


def _settled(sums: KernelSums, least: int) -> KernelSums:
    """The pairs of all blocks of at least so many rows are summed up, and their rows left out."""
    total, pairs = sums.total.clone(), sums.pairs.clone()
    blocks, which, count = (sums.number // BLOCK).unique(return_inverse=True, return_counts=True)
    full = count >= least
    for block in range(len(blocks)):
        if full[block]:
            rows = which == block
            for row, part in enumerate(_pairs(_chosen(sums, rows))):
                total[row] += part[0]
                pairs[row] += part[1]
    left = _chosen(sums, ~full[which])
    return KernelSums(total, pairs, left.number, left.made, left.target, left.times, left.target_times)


def _chosen(sums: KernelSums, rows: Bool[Tensor, " p"]) -> KernelSums:
    independent = None if sums.target_times is None else sums.target_times[:, rows]
    fields = (sums.number[rows], sums.made[rows], sums.target[rows], sums.times[:, rows], independent)
    return KernelSums(sums.total, sums.pairs, *fields)


def _pairs(block: KernelSums) -> list[tuple[Float[Tensor, " r"], Float[Tensor, " r"]]]:
    """(Σ times · times · kernel, Σ times · times) of the three kinds of pairs."""
    different = (block.number[:, None] != block.number).double()
    across = different if block.target_times is None else torch.ones_like(different)
    target_times = block.times if block.target_times is None else block.target_times
    kinds = (
        (block.made, block.times, block.made, block.times, different),
        (block.target, target_times, block.target, target_times, different),
        (block.made, block.times, block.target, target_times, across),
    )
    found = []
    for x, x_times, y, y_times, keep in kinds:
        kernel = (x @ y.T / x.shape[1] + 1) ** 3 * keep
        found.append((((x_times @ kernel) * y_times).sum(1), ((x_times @ keep) * y_times).sum(1)))
    return found
