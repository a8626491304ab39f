"""Structure: the generated image should have its edges where the target has them, whatever the style says."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from exemplar_lab.losses.reduction import batch_mean
from exemplar_lab.ops.feature_distance import unit_distance

SHORTEST = 1e-4
"""Features shorter than this count as none: their direction is rounding noise, and its gradient would have no bound."""


def structural(edges_image: Mapping[str, Tensor], edges_target: Mapping[str, Tensor]) -> Float[Tensor, ""]:
    """Eq. (12) of [MATEBIT]: L_str = LPIPS(H(x̂_B), H(x_B)), between the edges of the generated image and those of the target.

    edges_image, edges_target: layer name -> b c h w, what a feature network gives for edge maps repeated to three channels,
    which an edge network (`edge_network(…)`), H, makes of the images. All layers count the same.
    The form of LPIPS, `unit_distance` averaged over layers, without its learned weights, which belong to the channels of one
    network; the scale is that of the metric `perceptual_distance`. Mean over samples.
    Released code: has no such term.
    """
    if edges_image.keys() != edges_target.keys() or not edges_image:
        raise ValueError(
            f"got features of {', '.join(edges_image) or 'no layer'} and of {', '.join(edges_target) or 'no layer'}, expected "
            "the same layers, at least one: ask the network for them in both"
        )
    per_layer = [unit_distance(edges_image[layer], edges_target[layer], SHORTEST) for layer in edges_target]
    return batch_mean(torch.stack(per_layer).mean(0))
