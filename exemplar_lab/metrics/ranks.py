"""Order without scale: ranks, Spearman's correlation, the area under a ROC curve. Equal values share their mean rank."""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def ranks(value: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """1 for the smallest … n for the largest; equal values share the mean of their ranks."""
    ordered = value.sort().values
    below, up_to = (torch.searchsorted(ordered, value.contiguous(), right=right) for right in (False, True))
    return (below + up_to + 1).to(value.dtype) / 2


def spearman(one: Float[Tensor, " n"], other: Float[Tensor, " n"]) -> Float[Tensor, ""]:
    """Spearman's ρ, the correlation of the ranks, in [−1, 1]; NaN where either of the two never changes."""
    one, other = (ranks(value.double()) for value in (one, other))
    one, other = one - one.mean(), other - other.mean()
    spread = one.norm() * other.norm()
    return ((one * other).sum() / spread.clamp_min(1e-30)).where(spread > 0, math.nan).float()


def auroc(low: Float[Tensor, " n"], high: Float[Tensor, " m"]) -> Float[Tensor, ""]:
    """The chance that a value of `low` lies below one of `high`, equal ones counting half; NaN where either is empty."""
    ordered = high.sort().values
    below, up_to = (torch.searchsorted(ordered, low.contiguous(), right=right) for right in (False, True))
    return 1 - (below + up_to).to(high.dtype).mean() / 2 / len(high) if len(high) else high.new_tensor(math.nan)


def roc(low: Float[Tensor, " n"], high: Float[Tensor, " m"]) -> Float[Tensor, "2 p"]:
    """The ROC curve whose area is `auroc`: what is below a rising threshold, as a share of `high` (x) and of `low` (y).

    From (0, 0) to (1, 1), a point for each distinct value; values that equal each other are passed in one straight step.
    """
    threshold = torch.cat([low, high]).unique()
    curve = [
        torch.searchsorted(one.sort().values, threshold, right=True).to(torch.float32) / max(1, len(one)) for one in (high, low)
    ]
    return torch.stack([torch.cat([one.new_zeros(1), one]) for one in curve])
