"""Attention over a few candidates per position: scores and warps that never write out the candidates' features.

How: `exemplar_lab.gather`. How fast, beside the plain way: `exemplar-lab benchmark attention`.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from exemplar_lab.correspondence import SparseMatch
from exemplar_lab.gather import gather_dot


def sparse_attention(
    query: Float[Tensor, "b q c"],
    key: Float[Tensor, "b k c"],
    index: Int[Tensor, "b q t"],
    tau: float = 100.0,
    counted: Bool[Tensor, "b q t"] | None = None,
) -> tuple[Float[Tensor, "b q t"], Float[Tensor, "b q t"]]:
    """Eq. (3), (4) of [DynaST]: A = softmax(τ α(F_tgt) β(F_ref)ᵀ) over the candidates `index`; (score, weight).

    query, key: α(F̄_tgt) and β(F̄_ref), normalised and projected, position embedding included. tau: τ, 100 in the paper.
    index: from `candidates.inter_scale` for Eq. (3), from `candidates.inner_scale` for Eq. (4).
    counted: True where a candidate counts; `candidates.first_of_each(index)` counts each position once. None, as the released
        code: a position that stands twice has twice the weight.
    """
    score = gather_dot(query, key, index) * tau
    shown = score if counted is None else score.masked_fill(~counted, -torch.inf)
    return score, torch.softmax(shown, dim=-1)


def sparse_match(
    query: Float[Tensor, "b q c"],
    key: Float[Tensor, "b k c"],
    index: Int[Tensor, "b q t"],
    query_size: tuple[int, int],
    key_size: tuple[int, int],
    tau: float = 100.0,
    counted: Bool[Tensor, "b q t"] | None = None,
) -> SparseMatch:
    """The weights of `sparse_attention` as a record; its `warp` gathers values in the same way. The scores are let go."""
    return SparseMatch(query_size, key_size, index, sparse_attention(query, key, index, tau, counted)[1])


def dense_attention(
    query: Float[Tensor, "b q c"], key: Float[Tensor, "b k c"], tau: float = 100.0
) -> tuple[Float[Tensor, "b q k"], Float[Tensor, "b q k"]]:
    """Eq. (2) of [DynaST]: A = softmax(τ α(F̄_tgt) β(F̄_ref)ᵀ) over all positions, for the coarsest scale; (score, weight).

    Released code: 1/√640 in place of τ here, and 100 at the finer scales.
    """
    score = query @ key.transpose(1, 2) * tau
    return score, torch.softmax(score, dim=-1)
