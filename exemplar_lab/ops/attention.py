"""Attention over a few candidates per position: scores and warps that never write out the candidates' features.

The plain way gathers t feature vectors for each of q positions, b · q · t · c numbers, 400 MB at 256² with 80 channels and 20
candidates, copies them once more for the product, and does the same with the values. Here the sums run inside the kernels of an
embedding bag, which read each candidate's vector where it lies: a weighted sum of rows is what a bag computes
(`SparseMatch.warp`), and the gradient of its weights is a dot product per link.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable


def gather_dot(
    query: Float[Tensor, "b q c"], key: Float[Tensor, "b k c"], index: Int[Tensor, "b q t"]
) -> Float[Tensor, "b q t"]:
    """⟨query_i, key_j⟩ for the candidates j = index[i, ·] of each position i; memory for the answer only.

    Gradients reach query and key. Equal candidates are computed as often as they stand.
    """
    return _GatherDot.apply(query, key, index)


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


def dense_attention(
    query: Float[Tensor, "b q c"], key: Float[Tensor, "b k c"], tau: float = 100.0
) -> tuple[Float[Tensor, "b q k"], Float[Tensor, "b q k"]]:
    """Eq. (2) of [DynaST]: A = softmax(τ α(F̄_tgt) β(F̄_ref)ᵀ) over all positions, for the coarsest scale; (score, weight).

    Released code: 1/√640 in place of τ here, and 100 at the finer scales.
    """
    score = query @ key.transpose(1, 2) * tau
    return score, torch.softmax(score, dim=-1)


class _GatherDot(torch.autograd.Function):
    @staticmethod
    def forward(ctx, query: Tensor, key: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(query, key, index)
        bags, rows, flat = _bags(query, key, index)
        starts, owner = _layout(index)
        dots = torch.ops.aten._embedding_bag_per_sample_weights_backward(bags, rows, flat, starts, owner, 0, -1)
        return dots.view(index.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        query, key, index = ctx.saved_tensors
        bags, rows, flat = _bags(query, key, index)
        to_query = to_key = None
        if ctx.needs_input_grad[0]:
            links = flat.view(-1, index.shape[-1])
            weights = gradient.reshape(links.shape)
            to_query = F.embedding_bag(links, rows, per_sample_weights=weights, mode="sum").view(query.shape)
        if ctx.needs_input_grad[1]:
            to_key = _scatter(bags, gradient, flat, index.shape[-1], len(rows)).view(key.shape)
        return to_query, to_key, None


def _scatter(bags: Tensor, gradient: Tensor, flat: Tensor, links: int, rows: int) -> Tensor:
    """Σ over the links that end at a row of gradient · bag: the weighted gather of the transposed links, sorted by row.

    Faster than the backward kernel of the embedding bag, which sorts more and adds one vector at a time: 28 against 74 ms at
    256² with 80 channels and 20 candidates on one core.
    """
    order = flat.to(torch.int32).sort(stable=True).indices
    count = torch.bincount(flat, minlength=rows)
    owner = order.div(links, rounding_mode="floor")
    return F.embedding_bag(owner, bags, count.cumsum(0) - count, per_sample_weights=gradient.reshape(-1)[order], mode="sum")


def _bags(query: Tensor, key: Tensor, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Positions of the whole batch as one list of bags, keys as one table, links as indices into it."""
    start = torch.arange(len(index), device=index.device)[:, None, None] * key.shape[1]
    return query.flatten(0, 1).contiguous(), key.flatten(0, 1).contiguous(), (index + start).flatten()


def _layout(index: Tensor) -> tuple[Tensor, Tensor]:
    """Where each bag begins, and which bag each link belongs to."""
    bags, links = index.shape[0] * index.shape[1], index.shape[2]
    starts = torch.arange(0, bags * links, links, device=index.device)
    return starts, torch.arange(bags, device=index.device).repeat_interleave(links)
