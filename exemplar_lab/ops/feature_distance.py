"""How far apart two maps of features are, position by position: the kernel of perceptual distance, metric and loss."""

import torch
from jaxtyping import Float
from torch import Tensor


def unit_distance(
    one: Float[Tensor, "b c h w"], other: Float[Tensor, "b c h w"], shortest: float = 1e-10
) -> Float[Tensor, " b"]:
    """Features of each position brought to length one; squares of their differences, summed over channels, mean over positions.

    Between 0 and 4, and at most 2 where no feature is negative. A position without any activation stays zero: at 0 from another
    such one, at 1 from any other. Maps of half precision are compared in single.
    shortest: what is shorter is divided by this instead of its length, so that no position's gradient is longer than
    4 / shortest; a loss takes a larger one than a metric.
    """
    if one.shape != other.shape:
        raise ValueError(
            f"got feature maps of {tuple(one.shape)} and {tuple(other.shape)}, expected equal ones: resize the images first"
        )
    # One image after the other: the first layers of a batch are the largest tensors around, and this needs copies of them.
    pairs = zip(one, other, strict=True)
    return torch.stack([(_unit(a, shortest) - _unit(b, shortest)).square().sum(0).mean() for a, b in pairs])


def _unit(feature: Float[Tensor, "c h w"], shortest: float) -> Float[Tensor, "c h w"]:
    feature = feature.to(torch.promote_types(feature.dtype, torch.float32))
    return feature * feature.square().sum(0).clamp_min(shortest**2).rsqrt()  # on a CPU a fifth of the time of F.normalize
