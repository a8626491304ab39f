"""Take statistics away, put statistics back: PONO, AdaIN and the SPADE affine; and the Gram matrix, which is only looked at."""

import torch
from jaxtyping import Float
from torch import Tensor


def positional_norm(feature: Float[Tensor, "b c h w"], eps: float = 1e-5) -> Float[Tensor, "b c h w"]:
    """Mean 0 and deviation 1 over the channels of each position (PONO, "PN" in CoCosNet).

    What it removes is one mean and one deviation per position; what it keeps is every difference between positions' directions.
    The variance is the unbiased one, as in the papers' released code; eps stands under the root. At least two channels.
    Released code: eps 1e-5 in CoCosNet, 1e-8 in DynaST and MATEBIT.
    """
    centred = feature - feature.mean(dim=1, keepdim=True)
    variance = centred.square().sum(dim=1, keepdim=True) / (feature.shape[1] - 1)
    return centred * torch.rsqrt(variance + eps)  # torch.var_mean over channels takes a hundred times as long on a CPU


def spade(
    normalised: Float[Tensor, "b c h w"], scale: Float[Tensor, "b c h w"], shift: Float[Tensor, "b c h w"]
) -> Float[Tensor, "b c h w"]:
    """Eq. (5) of [CoCosNet] and Eq. (4) of [MATEBIT]: α(r) × (F − μ)/σ + β(r), for each position its own.

    normalised: (F − μ)/σ, after `positional_norm` (CoCosNet) or batch normalisation (SPADE).
    scale, shift: α and β, read from the warped exemplar; in [MATEBIT] γ and β, read from the condition x_A.
    Released code: multiplies by 1 + α; the same function with α moved by one, as the layers here start it at 1.
    """
    return torch.addcmul(shift, normalised, scale)


def adain(
    content: Float[Tensor, "b c h w"],
    style_mean: Float[Tensor, "b c"],
    style_deviation: Float[Tensor, "b c"],
    eps: float = 1e-5,
) -> Float[Tensor, "b c h w"]:
    """Give each channel of `content` the mean and deviation of the style: one look for the whole image (AdaIN).

    style_mean, style_deviation: from `channel_statistics` of a style feature map, or predicted from a style code.
    """
    mean, deviation = channel_statistics(content, eps)
    scale = (style_deviation / deviation)[..., None, None]
    return (content - mean[..., None, None]) * scale + style_mean[..., None, None]


def channel_statistics(
    feature: Float[Tensor, "b c h w"], eps: float = 1e-5
) -> tuple[Float[Tensor, "b c"], Float[Tensor, "b c"]]:
    """Mean and deviation of each channel over all positions, at least two; unbiased variance, eps under the root."""
    variance, mean = torch.var_mean(feature.flatten(2), dim=2)
    return mean, (variance + eps).sqrt()


def gram_matrix(feature: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c c"]:
    """Which channels are active together: Σ over positions of F_i F_j, divided by c · h · w, in single precision at least.

    Symmetric, and the same for any order of the positions; dividing makes images of different sizes comparable.
    Gatys, Ecker, Bethge (2016), who do not divide. Released code: divided like this in MATEBIT, whose text has no Gram matrix.
    """
    flat = feature.to(torch.promote_types(feature.dtype, torch.float32)).flatten(2)
    return flat @ flat.transpose(1, 2) / flat[0].numel()
