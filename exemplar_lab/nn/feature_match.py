"""A match that needs no training on the pair's task: every position of one image looks for the most similar one of another."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from exemplar_lab.correspondence import DenseMatch
from exemplar_lab.ops.correlation import Centring, cosine_score, normalise, softmax_match
from exemplar_lab.translation import Batch, Translation

LAYER, TEMPERATURE = "relu3_2", 0.05
"""For lab features at 64². End-point error in px over 16 easy validation pairs of each task: people 2.0, faces 3.0, scenes 3.8,
paintings 7.3, photographs 9.3; of the layers relu2_2 … relu4_2 this one is best or near it everywhere. It sees the target,
which a model never does, so that these numbers stand beside no model's."""


def match_features(
    target: Float[Tensor, "b 3 h w"],
    exemplar: Float[Tensor, "b 3 he we"],
    network: nn.Module,
    layer: str = LAYER,
    temperature: float = TEMPERATURE,
    centring: Centring = "space",
) -> DenseMatch:
    """The softmax of the centred cosine between the features of two images in [0, 1], of any sizes.

    network: of `nn.features.features`. layer: its stride is that of the grids: relu1_* 1, relu2_* 2, relu3_* 4, relu4_* 8,
    relu5_* 16. centring: see `ops.correlation.normalise`. Raises ValueError for an unknown layer, images that are too small
    for it, and a temperature that is not positive.
    """
    if not temperature > 0:
        raise ValueError(f"got the temperature {temperature:g}, expected one above 0, for example {TEMPERATURE:g}")
    seen = [network(image, [layer])[layer] for image in (target, exemplar)]
    query, key = (normalise(one, centring) for one in seen)
    sizes = [(one.shape[2], one.shape[3]) for one in seen]
    return softmax_match(cosine_score(query, key), sizes[0], sizes[1], temperature)


def feature_translation(
    target: Float[Tensor, "b 3 h w"], exemplar: Float[Tensor, "b 3 he we"], match: DenseMatch
) -> Translation:
    """A match of two images as a model would answer it: the image is the warped exemplar, at the size of the target."""
    warp = match.warp(F.interpolate(exemplar, match.key_size, mode="area"))
    image = F.interpolate(warp, target.shape[-2:], mode="bilinear", align_corners=False).clamp(0, 1)
    return Translation(image, (warp,), (match,))


def answer_by_features(
    network: nn.Module, layer: str = LAYER, temperature: float = TEMPERATURE
) -> Callable[[Batch], Translation]:
    """`match_features` of a batch's target and exemplar; unlike a model, it sees the target."""

    @torch.inference_mode()
    def answer(batch: Batch) -> Translation:
        match = match_features(batch.target, batch.exemplar, network, layer, temperature)
        return feature_translation(batch.target, batch.exemplar, match)

    return answer
