"""Style as the statistics of feature maps, content as the deep features themselves."""

from collections.abc import Mapping

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from exemplar_lab.losses.reduction import batch_mean
from exemplar_lab.ops.modulation import channel_statistics

CONTENT_LAYER = "relu4_1"
STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")


def style_transfer(
    features_image: Mapping[str, Tensor], features_content: Mapping[str, Tensor], features_style: Mapping[str, Tensor]
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Eq. (11) of [DynaST]: l_c = ‖φ_4.1(I_cs) − φ_4.1(I_c)‖² and l_s, the distance of the means and deviations at four layers.

    I_cs is the image, I_c the content, I_s the style; the loss is l_c + λ_s l_s with λ_s = 3. ‖·‖² is the mean of all elements.
    """
    layer = CONTENT_LAYER
    content = (features_image[layer] - features_content[layer]).square().flatten(1).mean(1)
    style = sum(_statistics_distance(features_image[layer], features_style[layer]) for layer in STYLE_LAYERS)
    return batch_mean(content), batch_mean(style)


def _statistics_distance(image: Float[Tensor, "b c h w"], style: Float[Tensor, "b c hs ws"]) -> Float[Tensor, " b"]:
    pairs = zip(channel_statistics(image), channel_statistics(style), strict=True)
    return sum(F.mse_loss(one, other, reduction="none").mean(1) for one, other in pairs)
