"""Cosine correlation between two feature maps, and the warp that follows from it (CoCosNet Eq. 3 and 4)."""

from math import log
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from exemplar_lab.correspondence import DenseMatch

Centring = Literal["channel", "space", "none"]

_CHUNK = {"cpu": 2**20, "cuda": 2**26}
"""Scores that `attend` holds at once: 4 MB of float32 stay in a core's cache, 256 MB keep a GPU busy."""


def normalise(
    feature: Float[Tensor, "b c h w"],
    centring: Centring = "channel",
    patch: int = 1,
    eps: float = 1e-6,
) -> Float[Tensor, "b n d"]:
    """One vector of length one per position, ready for a cosine: the hats and the denominator of CoCosNet Eq. (3).

    feature: x_S or y_S, any scale.
    centring: what mean is taken away first: "channel", of each position over its channels (the paper); "space", of each channel
        over all positions (the alternative of its Fig. 19).
    patch: odd side of the neighbourhood that is matched as one vector; d = c · patch². Beyond the border stand zeros.
    eps: floor of the length, so that an all-zero feature matches everything equally instead of giving NaN.
    Released code: a patch of 3, where the paper compares single positions.
    """
    feature = F.unfold(feature, patch, padding=patch // 2) if patch > 1 else feature.flatten(2)
    if centring == "channel":
        feature = feature - feature.mean(1, keepdim=True)
    elif centring == "space":
        feature = feature - feature.mean(2, keepdim=True)
    return F.normalize(feature.transpose(1, 2), dim=-1, eps=eps)


def cosine_score(query: Float[Tensor, "b q d"], key: Float[Tensor, "b k d"]) -> Float[Tensor, "b q k"]:
    """Eq. (3) of [CoCosNet] and Eq. (1) of [MATEBIT]: M(u, v), the cosine between centred features.

    u is a position of the input, v one of the exemplar.

    query, key: x̂_S(u)/‖x̂_S(u)‖ and ŷ_S(v)/‖ŷ_S(v)‖, as `normalise` returns them. The score lies in [−1, 1].
    """
    return query @ key.transpose(1, 2)


def softmax_match(
    score: Float[Tensor, "b q k"],
    query_size: tuple[int, int],
    key_size: tuple[int, int],
    temperature: float = 0.01,
) -> DenseMatch:
    """The weights softmax_v(α M(u, v)) of CoCosNet Eq. (4) as a record, α = 1 / temperature = 100; q × k floats per sample."""
    return DenseMatch(query_size, key_size, torch.softmax(score / temperature, dim=-1))


def correlation_warp(
    query: Float[Tensor, "b q d"],
    key: Float[Tensor, "b k d"],
    value: Float[Tensor, "b c hk wk"],
    query_size: tuple[int, int],
    temperature: float = 0.01,
) -> Float[Tensor, "b c hq wq"]:
    """Eq. (4) of [CoCosNet]: r(u) = Σ_v softmax_v(α M(u, v)) · y_B(v), exact, without ever holding the q × k weights.

    The same numbers as `softmax_match(cosine_score(query, key), …).warp(value)`, for when nobody asked for the record.
    Swapping query and key warps the other way, which gives r_{y→x→y} of Eq. (12).

    query, key: unit vectors from `normalise`. value: what lives on the exemplar (y_B, at the resolution of the match).
    """
    return attend(query, key, value.flatten(2).transpose(1, 2), 1 / temperature).transpose(1, 2).unflatten(2, query_size)


def attend(
    query: Float[Tensor, "b q d"],
    key: Float[Tensor, "b k d"],
    value: Float[Tensor, "b k c"],
    scale: float,
    positive: bool = False,
) -> Float[Tensor, "b q c"]:
    """softmax(scale · query keyᵀ) · value, a few rows at a time, forward and backward; memory is linear in q and k.

    positive: only links with a score above 0 count; a row that has none is zero.
    """
    return _Attend.apply(query, key, value, scale, positive)


def _cut(score: Tensor) -> Tensor:
    """In place: scores that are not positive get one so low that their weight underflows to zero."""
    return F.threshold_(score, 0.0, max(-1e30, torch.finfo(score.dtype).min / 2))


def _row_chunks(query: Tensor, key: Tensor) -> list[slice]:
    rows = max(1, _CHUNK.get(query.device.type, 2**20) // (query.shape[0] * key.shape[1]))
    return [slice(start, start + rows) for start in range(0, query.shape[1], rows)]


class _Attend(torch.autograd.Function):
    """Keeps log₂ Σ 2^score of each row; the backward pass makes the weights again from it, chunk by chunk.

    Powers of two, because at a temperature of 0.01 most weights underflow, where exp costs a CPU 14 times as much.
    """

    @staticmethod
    def forward(ctx, query: Tensor, key: Tensor, value: Tensor, scale: float, positive: bool) -> Tensor:
        answer = value.new_empty(*query.shape[:2], value.shape[2])
        normaliser = query.new_empty(query.shape[:2])
        for rows in _row_chunks(query, key):
            score = torch.baddbmm(query.new_zeros(()), query[:, rows], key.transpose(1, 2), beta=0, alpha=scale / log(2))
            score = _cut(score) if positive else score
            peak = score.amax(-1, keepdim=True)
            weight = score.sub_(peak).exp2_()
            total = weight.sum(-1, keepdim=True)
            total = total.masked_fill_(peak <= 0, torch.inf) if positive else total
            answer[:, rows] = (weight @ value) / total
            normaliser[:, rows] = (peak + total.log2()).squeeze(-1)
        ctx.save_for_backward(query, key, value, answer, normaliser)
        ctx.scale, ctx.positive = scale, positive
        return answer

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad: Tensor):
        query, key, value, answer, normaliser = ctx.saved_tensors
        needs_match = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        grad_query, grad_key, grad_value = torch.empty_like(query), torch.zeros_like(key), torch.zeros_like(value)
        inner = (grad * answer).sum(-1)
        for rows in _row_chunks(query, key):
            of_row, keys = normaliser[:, rows, None], key.transpose(1, 2)
            if ctx.positive:
                score = torch.baddbmm(query.new_zeros(()), query[:, rows], keys, beta=0, alpha=ctx.scale / log(2))
                score = _cut(score).sub_(of_row)
            else:
                score = torch.baddbmm(of_row, query[:, rows], keys, beta=-1, alpha=ctx.scale / log(2))
            weight = score.exp2_()
            if ctx.needs_input_grad[2]:
                grad_value.baddbmm_(weight.transpose(1, 2), grad[:, rows])
            if needs_match:
                grad_score = torch.baddbmm(inner[:, rows, None], grad[:, rows], value.transpose(1, 2), beta=-1)
                grad_score.mul_(weight).mul_(ctx.scale)
                grad_query[:, rows] = grad_score @ key
                grad_key.baddbmm_(grad_score.transpose(1, 2), query[:, rows])
        return grad_query, grad_key, grad_value, None, None
