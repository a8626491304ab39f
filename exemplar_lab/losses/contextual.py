"""The contextual loss: every generated feature should find a near twin somewhere in the exemplar, wherever that is.

All pairs of positions are compared, N × N of them, but never held at once: a few rows are computed at a time, and computed a
second time for the gradient.
"""

from collections.abc import Iterable, Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from exemplar_lab.losses.reduction import batch_mean

CONTEXTUAL_WEIGHTS = {"relu2_2": 1.0, "relu3_2": 2.0, "relu4_2": 4.0, "relu5_2": 8.0}
"""ω_l of Eq. (11) on the paper's layers. The paper prints none; these are the released code's, which multiplies the sum by 10
and leaves relu2_2 out by default."""

Centring = Literal["channel", "space", "exemplar_channel"]

_CHUNK = {"cpu": 2**20, "cuda": 2**24}
"""Pairs compared at once: 4 MB of float32 stay in a core's cache, 64 MB keep a GPU busy."""


def contextual_layers(
    features_generated: Mapping[str, Tensor],
    features_exemplar: Mapping[str, Tensor],
    weights: Mapping[str, float | int],
    *,
    longest: int | None = None,
    bandwidth: float = 0.1,
    centring: Centring = "channel",
) -> Float[Tensor, ""]:
    """Eq. (11) of [CoCosNet]: Σ_l ω_l [−log((1/n_l) Σ_i max_j A^l(φ_i^l(x̂_B), φ_j^l(y_B)))]; one layer is `contextual`.

    features_generated, features_exemplar: layer name -> b c h w. weights: ω_l by layer name. Mean over samples.
    longest: layers with more cells than this along a side are averaged down to it, because the work grows with the fourth
    power of the side; None compares every cell. Released code: 32 at 256² (relu3_2 pooled by 2, relu2_2 by 4).
    """
    per_layer = _per_layer(features_generated, features_exemplar, weights, longest, bandwidth, centring)
    return batch_mean(sum(weights[layer] * loss for layer, loss in per_layer.items()))


def contextual_sum(
    features_generated: Mapping[str, Tensor],
    features_exemplar: Mapping[str, Tensor],
    weights: Mapping[str, float | int],
    *,
    longest: int | None = None,
    bandwidth: float = 0.1,
    centring: Centring = "channel",
) -> Float[Tensor, ""]:
    """Eq. (11) of [MATEBIT]: −log(Σ_l w_l CX(φ_l(x̂_B), φ_l(y_B))), the logarithm of the sum, not the sum of logarithms.

    As `contextual_layers`, but that a layer which fits well makes up for one that does not. weights: w_l, none printed; they
    are divided by their sum here, so that the loss is 0 where every layer fits. Mean over samples.
    Released code: the sum of logarithms of [CoCosNet], weights 2, 4, 8 for relu3_2, relu4_2, relu5_2.
    """
    per_layer = _per_layer(features_generated, features_exemplar, weights, longest, bandwidth, centring)
    share = {layer: weight / sum(weights.values()) for layer, weight in weights.items()}
    return batch_mean(-sum(share[layer] * torch.exp(-loss) for layer, loss in per_layer.items()).log())


def contextual(
    generated: Float[Tensor, "b c h w"],
    exemplar: Float[Tensor, "b c hk wk"],
    *,
    bandwidth: float = 0.1,
    epsilon: float = 1e-3,
    centring: Centring = "channel",
    average_over: Literal["generated", "exemplar"] = "generated",
) -> Float[Tensor, " b"]:
    """One layer of the contextual loss, in nats, per sample: −log of the mean over i of max_j A_ij, between 0 and log(hk · wk).

    With the cosine distance d_ij of centred features: d̃_ij = d_ij / (min_j d_ij + ε) and A_ij = softmax_j((1 − d̃_ij) / h).
    bandwidth: h. epsilon: ε; neither is printed, both are the released code's.

    centring: what is taken away before the cosine, which the paper does not say.
        "channel": from every feature vector its own mean over channels, as Eq. (3) does for matching.
        "space": from both maps the exemplar's mean over positions, channel by channel, as in the contextual loss's own paper.
        "exemplar_channel": from both maps the exemplar's mean over channels at the same position. Needs equal sizes, and
            makes a loss that should not know where things are depend on it.
    average_over: "generated", as printed: every generated feature needs a source in the exemplar. "exemplar", the mean over j
        of max_i: every exemplar feature must be used; the order of the contextual loss's own paper, there with ε = 1e-5.
    Released code: centring "exemplar_channel" with --PONO, which every published command sets, else "space".
    """
    query, key = (direction(features.flatten(2)) for features in _centred(generated, exemplar, centring))
    return -_BestAffinity.apply(query, key, bandwidth, epsilon, average_over == "generated").mean(1).log()


def direction(features: Float[Tensor, "b c *size"]) -> Float[Tensor, "b c *size"]:
    """Feature vectors scaled to unit length over channels.

    Vectors much shorter than 1e-4 go to zero instead: their direction is rounding noise, and its gradient would have no bound.
    """
    return features * (features.square().sum(1, keepdim=True) + 1e-8).rsqrt()


class _BestAffinity(torch.autograd.Function):
    """max_j A_ij for every row i, or max_i A_ij for every column j, and its gradient, holding a few rows of A at a time.

    query: b c i, key: b c j, of unit length over c. The gradient is written by hand: with torch.utils.checkpoint, the little
    kept of each chunk lies between the large blocks and stops them from being used again (570 MB at N = 9216 instead of 43).
    """

    @staticmethod
    def forward(ctx, query: Tensor, key: Tensor, bandwidth: float, epsilon: float, per_row: bool) -> Tensor:
        best = query.new_zeros(query.shape[0], (query if per_row else key).shape[2])
        winner = torch.zeros_like(best, dtype=torch.long)
        for rows in _row_chunks(query, key):
            affinity, *_ = _affinity(query[:, :, rows], key, bandwidth, epsilon)
            if per_row:
                best[:, rows], winner[:, rows] = affinity.max(2)
            else:
                here, row = affinity.max(1)
                winner = torch.where(here > best, row + rows.start, winner)
                best = torch.maximum(best, here)
        ctx.save_for_backward(query, key, winner)
        ctx.options = bandwidth, epsilon, per_row
        return best

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad: Tensor):
        query, key, winner = ctx.saved_tensors
        bandwidth, epsilon, per_row = ctx.options
        grad_query, grad_key = torch.empty_like(query), torch.zeros_like(key)
        for rows in _row_chunks(query, key):
            affinity, exponent, nearest, sharpness = _affinity(query[:, :, rows], key, bandwidth, epsilon)
            chosen = torch.zeros_like(affinity)
            if per_row:
                chosen.scatter_(2, winner[:, rows, None], grad[:, rows, None])
            else:
                row = winner - rows.start
                inside = (row >= 0) & (row < affinity.shape[1])
                chosen.scatter_(1, row.clamp(0, affinity.shape[1] - 1)[:, None], (grad * inside)[:, None])
            grad_exponent = chosen.mul_(affinity)
            grad_exponent.sub_(affinity.mul_(grad_exponent.sum(2, keepdim=True)))
            # The exponents of a row sum to a gradient of zero, so the nearest feature matters only through the sharpness.
            through_sharpness = bandwidth * exponent.mul_(grad_exponent).sum(2, keepdim=True)
            grad_cosine = grad_exponent.scatter_add_(2, nearest, through_sharpness).mul_(sharpness)
            grad_query[:, :, rows] = key @ grad_cosine.transpose(1, 2)
            if ctx.needs_input_grad[1]:
                grad_key.baddbmm_(query[:, :, rows], grad_cosine)
        return grad_query, grad_key, None, None, None


def _affinity(query: Tensor, key: Tensor, bandwidth: float, epsilon: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A, the exponents of its softmax, the nearest j of each row, and the sharpness 1 / (h · (min_j d + ε)) of each row.

    The exponents are (max_j cos − cos) · sharpness, which is (1 − d̃) / h up to a constant of the row.
    """
    exponent = query.transpose(1, 2) @ key
    largest, nearest = exponent.max(2, keepdim=True)
    sharpness = 1 / (bandwidth * (1 - largest + epsilon))
    exponent.sub_(largest).mul_(sharpness)
    return exponent.softmax(2), exponent, nearest, sharpness


def _row_chunks(query: Tensor, key: Tensor) -> list[slice]:
    rows = max(1, _CHUNK.get(key.device.type, 2**20) // (key.shape[0] * key.shape[2]))
    return [slice(start, min(start + rows, query.shape[2])) for start in range(0, query.shape[2], rows)]


def _centred(generated: Tensor, exemplar: Tensor, centring: Centring) -> tuple[Tensor, Tensor]:
    if centring == "channel":
        return generated - generated.mean(1, keepdim=True), exemplar - exemplar.mean(1, keepdim=True)
    mean = exemplar.mean((2, 3) if centring == "space" else 1, keepdim=True)
    return generated - mean, exemplar - mean


def _per_layer(
    of_generated: Mapping[str, Tensor],
    of_exemplar: Mapping[str, Tensor],
    layers: Iterable[str],
    longest: int | None,
    bandwidth: float,
    centring: Centring,
) -> dict[str, Float[Tensor, " b"]]:
    """−log CX of each layer."""
    maps = {layer: [_shrunk(features[layer], longest) for features in (of_generated, of_exemplar)] for layer in layers}
    return {layer: contextual(*pair, bandwidth=bandwidth, centring=centring) for layer, pair in maps.items()}


def _shrunk(features: Float[Tensor, "b c h w"], longest: int | None) -> Float[Tensor, "b c hs ws"]:
    side = max(features.shape[-2:])
    if longest is None or side <= longest:
        return features
    return F.adaptive_avg_pool2d(features, [max(1, round(length * longest / side)) for length in features.shape[-2:]])
