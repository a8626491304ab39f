"""How every loss here becomes one number: the mean over all samples, so that shards of a batch average to the whole."""

from jaxtyping import Bool, Float
from torch import Tensor


def batch_mean(
    per_sample: Float[Tensor, " b"], sample_weight: Float[Tensor, " b"] | Bool[Tensor, " b"] | None = None
) -> Float[Tensor, ""]:
    """mean_b(weight_b · loss_b); a boolean weight keeps the samples that are True. No weight: the plain mean.

    The divisor is b, not the sum of the weights. A batch without a single paired sample gives 0 instead of 0/0, and processes
    that share a batch give together what one process gives, however the paired samples fall on them.
    """
    if sample_weight is not None:
        per_sample = per_sample * sample_weight.to(per_sample.dtype)
    return per_sample.mean()
