"""An image beside the right answer, pixel by pixel and feature by feature."""

from collections.abc import Mapping

from jaxtyping import Bool, Float
from torch import Tensor

from exemplar_lab.losses.reduction import batch_mean


def reconstruction(
    image: Float[Tensor, "b 3 h w"],
    target: Float[Tensor, "b 3 h w"],
    features_image: Mapping[str, Tensor],
    features_target: Mapping[str, Tensor],
    weights: Mapping[str, float | int],
    paired: Bool[Tensor, " b"] | None = None,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Eq. (10) of [DynaST], its first two terms: ‖Î − I‖² and Σ_i λ_i ‖φ_i(Î) − φ_i(I)‖², on the samples that are `paired`.

    The third, the conditional GAN, is `adversarial.log_generator`. ‖·‖² is the mean over channels and positions. features_…:
    φ_i, layer name -> b c h w; weights: λ_i by layer, which the paper does not print; no layers give 0.
    Released code: no pixel term; L1 over VGG features ×10 with λ of 1/32 … 1, and the squared distance of relu4_2 × 0.001.
    """
    pixels = (image - target).square().flatten(1).mean(1)
    layers = [
        weight * (features_image[layer] - features_target[layer]).square().flatten(1).mean(1)
        for layer, weight in weights.items()
    ]
    return batch_mean(pixels, paired), batch_mean(sum(layers, start=0 * pixels), paired)
