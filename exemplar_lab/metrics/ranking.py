"""Does a distance know how far it is? Its rank correlation with the true strength, image by image and over all at once."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.metrics.ranks import spearman
from exemplar_lab.metrics.tables import drawn_again, summarise, with_interval


def ranked(distance: Float[Tensor, "n l"], strength: Float[Tensor, " l"], draws: int = 200) -> dict[str, dict[str, float]]:
    """{"per image", "pooled"}: Spearman's ρ of the distances of n images at l strengths with these strengths.

    per image: the mean over images, each ranked for itself. pooled: all images in one order, so that a distance which means
    more in one image than in another is punished. Intervals draw whole images again, as `tables.summarise` does; an image
    whose distances never change counts as ρ = 0.
    """
    each = torch.stack([spearman(one.double(), strength.double()) for one in distance.cpu()]).nan_to_num(0)
    times = torch.cat([torch.ones(1, len(distance), dtype=torch.float64), drawn_again(len(distance), draws)])
    of_all = strength.cpu().expand_as(distance).flatten()
    pooled = weighted_spearman(distance.cpu().flatten(), of_all, times.repeat_interleave(len(strength), 1))
    return {"per image": summarise([{"rho": each}])["rho"], "pooled": with_interval(pooled.nan_to_num(0))}


def weighted_spearman(one: Float[Tensor, " n"], other: Float[Tensor, " n"], times: Float[Tensor, "r n"]) -> Float[Tensor, " r"]:
    """Spearman's ρ where value i occurs times[·, i] times, for r ways of counting; NaN where a value never changes.

    Equal to `ranks.spearman` of the values written out so many times.
    """
    one, other = (_weighted_ranks(value, times) for value in (one, other))
    total = times.sum(1, keepdim=True)
    one, other = (rank - (rank * times).sum(1, keepdim=True) / total for rank in (one, other))
    spread = ((one.square() * times).sum(1) * (other.square() * times).sum(1)).sqrt()
    return torch.where(spread > 0, (one * other * times).sum(1) / spread, torch.nan)


def _weighted_ranks(value: Float[Tensor, " n"], times: Float[Tensor, "r n"]) -> Float[Tensor, "r n"]:
    """The mean rank of each value among all copies of all values."""
    which: Int[Tensor, " n"] = value.unique(return_inverse=True)[1]
    count = times.new_zeros(len(times), int(which.max()) + 1).index_add_(1, which, times)
    return (count.cumsum(1) - (count - 1) / 2)[:, which]
