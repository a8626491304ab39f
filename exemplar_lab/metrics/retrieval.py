"""What features find: the image of the same style among many, and in another image the place that is the same part."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.ops.modulation import channel_statistics


def style_descriptor(of_image: Mapping[str, Float[Tensor, "b _ _ _"]]) -> dict[str, Float[Tensor, "b _"]]:
    """Means and deviations of the channels of each layer: what Eq. (11) of DynaST calls style."""
    return {layer: torch.cat(channel_statistics(feature), dim=1) for layer, feature in of_image.items()}


def descriptor_distance(
    query: Mapping[str, Float[Tensor, "n _"]], gallery: Mapping[str, Float[Tensor, "m _"]]
) -> Float[Tensor, "n m"]:
    """The sum over layers of Euclidean distances, each layer in units of how far the gallery spreads in it, so that layers and
    networks of any scale count alike."""
    total = 0
    for layer, descriptor in gallery.items():
        spread = (descriptor - descriptor.mean(0)).square().sum(1).mean().sqrt().clamp_min(1e-12)
        total = total + torch.cdist(query[layer], descriptor, compute_mode="donot_use_mm_for_euclid_dist") / spread
    return total


def retrieval_scores(distance: Float[Tensor, "n n"]) -> dict[str, Float[Tensor, " n"]]:
    """Query i looks for gallery item i. top-1: whether it is the nearest; reciprocal rank: 1 / its place. Items as near as the
    right one stand before it, so that a descriptor which tells nothing apart finds nothing."""
    place = (distance <= distance.diagonal()[:, None]).sum(1).to(distance.dtype)
    return {"top-1": (place == 1).to(distance.dtype), "reciprocal rank": 1 / place}


def nearest_positions(query: Float[Tensor, "b c h w"], key: Float[Tensor, "b c hk wk"]) -> Int[Tensor, "b h w"]:
    """For each position of `query` the index of the position of `key` whose feature points the same way most (cosine)."""
    one, other = (F.normalize(feature.flatten(2), dim=1) for feature in (query, key))
    return (one.transpose(1, 2) @ other).argmax(2).unflatten(1, query.shape[-2:])


def part_accuracy(
    index: Int[Tensor, "b h w"], part: Int[Tensor, "b h w"], key_part: Int[Tensor, "b hk wk"]
) -> Float[Tensor, " b"]:
    """The share of positions of a part, −1 being none, that are led to a position of the same part; parts that the other image
    lacks are not asked for. NaN where nothing is left to ask."""
    found = key_part.flatten(1).gather(1, index.flatten(1))
    part = part.flatten(1)
    asked = (part >= 0) & torch.stack([torch.isin(one, other) for one, other in zip(part, key_part, strict=True)])
    right = ((found == part) & asked).sum(1)
    return right / asked.sum(1)
