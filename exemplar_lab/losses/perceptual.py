"""Distances between the features of two images at the same positions."""

from collections.abc import Mapping

from jaxtyping import Bool, Float
from torch import Tensor

from exemplar_lab.losses.reduction import batch_mean

FEATURE_WEIGHTS = {"relu1_2": 1 / 32, "relu2_2": 1 / 16, "relu3_2": 1 / 8, "relu4_2": 1 / 4, "relu5_2": 1.0}
"""λ_l of Eq. (8) as in the released code, which multiplies the sum by 10; the paper prints none."""


def feature_matching(
    features_generated: Mapping[str, Tensor],
    features_target: Mapping[str, Tensor],
    weights: Mapping[str, float | int],
    sample_weight: Float[Tensor, " b"] | Bool[Tensor, " b"] | None = None,
) -> Float[Tensor, ""]:
    """Eq. (8) of [CoCosNet]: Σ_l λ_l ‖φ_l(x̂_B) − φ_l(x_B)‖₁ over pseudo exemplar pairs, whose right answer x_B is known.

    features_generated, features_target: φ_l, layer name -> b c h w. weights: λ_l by layer name; other layers are not looked at.
    sample_weight: which samples are pairs (`Batch.paired`), or how much each counts. ‖·‖₁ is the mean over channels and
    positions, so that λ does not depend on the width of a layer; see `batch_mean` for the mean over samples.
    Released code: divides by the number of pairs and then again by the batch size. The same function with the activations of a
    discriminator, weight 10, is its extra term "GAN_Feat", which the paper does not have.
    """
    per_layer = [
        weight * (features_generated[layer] - features_target[layer]).abs().flatten(1).mean(1)
        for layer, weight in weights.items()
    ]
    return batch_mean(sum(per_layer), sample_weight)


def perceptual(
    features_generated: Mapping[str, Tensor], features_target: Mapping[str, Tensor], layer: str = "relu4_2"
) -> Float[Tensor, ""]:
    """Eq. (10) of [CoCosNet] and Eq. (10) of [MATEBIT]: ‖φ_l(x̂_B) − φ_l(x_B)‖₁ at one deep layer.

    Such a layer holds semantics more than look.

    All samples count: whatever the exemplar, the image must mean what its structure says. ‖·‖₁ is the mean of all elements.
    Released code: mean squared difference, weight 0.001, with features of images that span about ±128.
    """
    return feature_matching(features_generated, features_target, {layer: 1.0})
