"""Masked spatial-channel attention: r regions of the exemplar are gathered, gated, and given out again.

Every function is linear in the number of positions: nothing of the size q × k is ever made. The four steps together are one
matrix of rank r, W = β · diag(gate) · α, which `correspondence.FactoredMatch` holds; its `warp` is Eq. (5), (6) and (8) in one.
Eq. (6) itself, which has parameters, is `nn.msca.RegionGate`.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def spatial_attention(score: Float[Tensor, "b r hk wk"]) -> Float[Tensor, "b r k"]:
    """Eq. (4) of [MSCA]: α = softmax over the positions; each of the r regions is a distribution over the exemplar.

    score: φ * [F_x2, F_c2], one map per region. Rows of α sum to one.
    """
    return torch.softmax(score.flatten(2), dim=2)


def spatial_aggregation(feature: Float[Tensor, "b c hk wk"], attention: Float[Tensor, "b r k"]) -> Float[Tensor, "b r c"]:
    """Eq. (5) of [MSCA]: V = F_x2 αᵀ, the mean feature of every region. Printed with the channels first: this is Vᵀ."""
    return attention @ feature.flatten(2).transpose(1, 2)


def channel_attention(score: Float[Tensor, "b r hq wq"]) -> Float[Tensor, "b q r"]:
    """Eq. (7) of [MSCA]: β = softmax over the regions; each target position is a mixture of regions.

    score: ψ * F_c1, one map per region. The sum of β over the regions is one.
    """
    return torch.softmax(score.flatten(2).transpose(1, 2), dim=2)


def channel_aggregation(
    region: Float[Tensor, "b r c"], attention: Float[Tensor, "b q r"], size: tuple[int, int]
) -> Float[Tensor, "b c hq wq"]:
    """Eq. (8) of [MSCA]: F_x1 = Ṽ βᵀ, what the gated regions give to each position of a target grid of `size`."""
    return (attention @ region).transpose(1, 2).unflatten(2, size)


def label_attention(label: Float[Tensor, "b n h w"]) -> tuple[Float[Tensor, "b n k"], Float[Tensor, "b k n"]]:
    """α and β that are not learnt but read from labels: a region per class (Table 1 of [MSCA], w/o att).

    label: the share of each class in each cell, 0 … 1. α averages over the cells of a class; a class that is not there has a
    row of zeros, and positions that want it get nothing.
    """
    share = label.flatten(2)
    return share / share.sum(2, keepdim=True).clamp_min(1e-6), share.transpose(1, 2)


def region_shares(log_total: Float[Tensor, "b n r"], amount: Float[Tensor, "b n q"]) -> Float[Tensor, "b n q r"]:
    """How much of each region of several exemplars comes from each of them: log(a) is added to the scores of Eq. (4), and one
    softmax runs over the positions of all exemplars together (Fig. 5 and 7 of [MSCA]).

    log_total: log Σ exp of the scores of each region, over the positions of each of n exemplars. amount: a, how much each
    exemplar counts at each target position, 0 … 1, their sum one. The joint α of exemplar n is its own α times its share. The
    shares sum to one over the exemplars; one of amount 0 has the share 0, and one of amount 1 the share 1, exactly.

    The paper has two exemplars and prints α₂ := α₂ + log(α₂ / (1 − α₂)): the factor has lost its own letter, and a logarithm is
    added to what is a softmax already. With logit(a) added to the scores of the first of two, as meant, the odds are those of
    log(a) on the one side and log(1 − a) on the other, which also says what to do with three.
    """
    return torch.softmax(amount.log()[..., None] + log_total[:, :, None], dim=1)
