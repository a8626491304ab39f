"""The only place where batch, output and losses meet."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from exemplar_lab.losses.adversarial import hinge_discriminator, hinge_generator, log_discriminator, log_generator
from exemplar_lab.losses.contextual import CONTEXTUAL_WEIGHTS, contextual_layers
from exemplar_lab.losses.correspondence import cascade_matching, cycle, domain_alignment, mask_alignment, warp_matching
from exemplar_lab.losses.perceptual import feature_matching, perceptual
from exemplar_lab.losses.reconstruction import reconstruction
from exemplar_lab.losses.style import CONTENT_LAYER, STYLE_LAYERS, style_transfer
from exemplar_lab.models import ModelConfig
from exemplar_lab.models.cocosnet import CoCosNet, CoCosNetConfig
from exemplar_lab.models.dynast import DynaSTConfig
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


def dynast_terms(
    discriminator: nn.Module,
    features: nn.Module,
    batch: Batch,
    translation: Translation,
    weights: Mapping[str, float],
    feature_weights: Mapping[str, float],
) -> dict[str, Tensor]:
    """The terms of DynaST Eq. (15) that `weights` asks for; a term of weight 0 costs nothing.

    By name: pixel, feat, adv (Eq. 10), content, style (Eq. 11), match (Eq. 14). Content is the target, style the exemplar.
    """
    terms = {}
    image_layers = tuple(feature_weights) if weights.get("feat") else ()
    style_layers = (*STYLE_LAYERS, CONTENT_LAYER) if weights.get("content") or weights.get("style") else ()
    made = features(translation.image, set(image_layers + style_layers)) if image_layers or style_layers else {}
    with torch.no_grad():
        of_target = features(batch.target, set(image_layers + style_layers)) if made else {}
        of_exemplar = features(batch.exemplar, STYLE_LAYERS) if style_layers else {}
    if weights.get("pixel") or image_layers:
        layers = feature_weights if image_layers else {}
        terms["pixel"], feat = reconstruction(translation.image, batch.target, made, of_target, layers, batch.paired)
        terms |= {"feat": feat} if image_layers else {}
    if weights.get("adv"):
        terms["adv"] = log_generator(discriminator(shown_to_discriminator(DynaSTConfig, batch.condition, translation.image)))
    if style_layers:
        terms["content"], terms["style"] = style_transfer(made, of_target, of_exemplar)
    if weights.get("match"):
        terms["match"] = cascade_matching(translation.warps, batch.target, batch.paired)
    return {name: term for name, term in terms.items() if weights.get(name)}


def shown_to_discriminator(
    kind: type[ModelConfig], condition: Float[Tensor, "b cc h w"], image: Float[Tensor, "b 3 h w"]
) -> Float[Tensor, "b _ h w"]:
    """CoCosNet Eq. (13) judges the image alone, DynaST Eq. (10) together with the structure."""
    return image if kind is CoCosNetConfig else torch.cat([condition, image], dim=1)


def discriminator_channels(config: ModelConfig) -> int:
    return 3 if isinstance(config, CoCosNetConfig) else 3 + config.condition_channels


def discriminator_loss(config: ModelConfig, discriminator: nn.Module, batch: Batch, image: Float[Tensor, "b 3 h w"]) -> Tensor:
    """Real against made, in one pass. Real is the exemplar (CoCosNet Eq. 13) or the target (DynaST Eq. 10)."""
    kind = type(config)
    real = batch.exemplar if kind is CoCosNetConfig else batch.target
    both = [shown_to_discriminator(kind, batch.condition, one) for one in (real, image)]
    logits = [logit.chunk(2) for logit in discriminator(torch.cat(both))]
    loss = hinge_discriminator if kind is CoCosNetConfig else log_discriminator
    return loss([real for real, _ in logits], [made for _, made in logits])


def _warp_to_target(model: CoCosNet, translation: Translation, value: Tensor) -> Tensor:
    query, key = translation.features["query"], translation.features["key"]
    return correlation_warp(query, key, value, model.config.match_size, model.config.temperature)


def _warp_to_exemplar(model: CoCosNet, translation: Translation, value: Tensor) -> Tensor:
    """r_{y→x→y}: the same scores, with the softmax over the target's positions."""
    query, key = translation.features["query"], translation.features["key"]
    return correlation_warp(key, query, value, model.config.match_size, model.config.temperature)
