"""The only place where batch, output and losses meet."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from exemplar_lab.losses.adversarial import hinge_generator
from exemplar_lab.losses.contextual import CONTEXTUAL_WEIGHTS, contextual_layers
from exemplar_lab.losses.correspondence import cycle, domain_alignment, mask_alignment, warp_matching
from exemplar_lab.losses.perceptual import feature_matching, perceptual
from exemplar_lab.models.cocosnet import CoCosNet
from exemplar_lab.ops.correlation import correlation_warp
from exemplar_lab.translation import Batch, Translation

LONGEST_CONTEXT = 16
"""Feature maps are averaged down to this many cells a side before the contextual loss; the work grows with its fourth power."""


def cocosnet_terms(
    model: CoCosNet,
    discriminator: nn.Module,
    features: nn.Module,
    batch: Batch,
    translation: Translation,
    weights: Mapping[str, float],
    feature_weights: Mapping[str, float],
    target_mask: Float[Tensor, "b m h w"] | None = None,
) -> dict[str, Tensor]:
    """The terms of CoCosNet Eq. (14) that `weights` asks for; a term of weight 0 costs nothing.

    By name: feat, perc, context, adv, domain, reg, in the order of the equation; then the released code's warp (DeepFashion)
    and the warm-up's mask (App. E).

    model, discriminator: bare modules, not wrapped for several processes; the caller freezes the discriminator's parameters.
    features: φ, on images in [0, 1]; feature_weights: λ of Eq. (8) by layer.
    target_mask: what the target's adaptor sees beside the target, as the exemplar's did.
    """
    terms = {}
    image_layers = (tuple(feature_weights) if weights.get("feat") else ()) + (("relu4_2",) if weights.get("perc") else ())
    look_layers = tuple(CONTEXTUAL_WEIGHTS) if weights.get("context") else ()
    if image_layers or look_layers:
        made = features(translation.image, set(image_layers + look_layers))
    if image_layers:
        with torch.no_grad():
            of_target = features(batch.target, image_layers)
        if weights.get("feat"):
            terms["feat"] = feature_matching(made, of_target, feature_weights, batch.paired)
        if weights.get("perc"):
            terms["perc"] = perceptual(made, of_target)
    if look_layers:
        with torch.no_grad():
            of_exemplar = features(batch.exemplar, look_layers)
        terms["context"] = contextual_layers(made, of_exemplar, CONTEXTUAL_WEIGHTS, longest=LONGEST_CONTEXT)
    if weights.get("adv"):
        terms["adv"] = hinge_generator(discriminator(translation.image))
    if weights.get("domain"):
        adapted_target = model.adapt_exemplar(batch.target, target_mask)
        terms["domain"] = domain_alignment(translation.features["adapted_condition"], adapted_target)
    if weights.get("reg"):
        terms["reg"] = cycle(_warp_to_exemplar(model, translation, translation.warps[0]), batch.exemplar)
    if weights.get("warp"):
        terms["warp"] = warp_matching(translation.warps[0], batch.target, batch.paired)
    if weights.get("mask"):
        label = F.interpolate(batch.exemplar_condition, model.config.match_size, mode="area")
        terms["mask"] = mask_alignment(_warp_to_target(model, translation, label), batch.condition)
    return terms


def _warp_to_target(model: CoCosNet, translation: Translation, value: Tensor) -> Tensor:
    query, key = translation.features["query"], translation.features["key"]
    return correlation_warp(query, key, value, model.config.match_size, model.config.temperature)


def _warp_to_exemplar(model: CoCosNet, translation: Translation, value: Tensor) -> Tensor:
    """r_{y→x→y}: the same scores, with the softmax over the target's positions."""
    query, key = translation.features["query"], translation.features["key"]
    return correlation_warp(key, query, value, model.config.match_size, model.config.temperature)
