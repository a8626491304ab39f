"""The only place where batch, output and losses meet."""

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from exemplar_lab.losses.adversarial import (
    discriminator_matching,
    hinge_discriminator,
    hinge_generator,
    log_discriminator,
    log_generator,
)
from exemplar_lab.losses.contextual import CONTEXTUAL_WEIGHTS, contextual_layers, contextual_sum
from exemplar_lab.losses.contrast import contrastive_style
from exemplar_lab.losses.correspondence import cascade_matching, cycle, domain_alignment, mask_alignment, warp_matching
from exemplar_lab.losses.perceptual import feature_matching, perceptual
from exemplar_lab.losses.reconstruction import reconstruction
from exemplar_lab.losses.structure import structural
from exemplar_lab.losses.style import CONTENT_LAYER, STYLE_LAYERS, style_transfer
from exemplar_lab.models import ModelConfig
from exemplar_lab.models.cocosnet import CoCosNet
from exemplar_lab.models.dynast import DynaSTConfig
from exemplar_lab.models.matebit import MATEBIT
from exemplar_lab.models.msca import MSCA, MSCAConfig
from exemplar_lab.ops.correlation import correlation_warp
from exemplar_lab.translation import Batch, Translation

STYLE_TERMS = ("style", "style_exemplars", "style_cast")
"""Eq. (7) of [MATEBIT], and what may stand in its place; they differ in what is held against an image: `matebit_terms`."""

EDGE_LAYERS = ("relu1_2", "relu2_2", "relu3_2")
"""Where Eq. (12) of [MATEBIT] looks at edge maps: deeper layers of a small network say little about lines."""

Tasks = Sequence[tuple[slice, float]]
"""Parts of a batch and how much each counts: patches, and whole canvases times λ, in Eq. (11) of [MSCA]."""

ONE_TASK: Tasks = ((slice(None), 1.0),)

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
    terms = _seen_terms(features, batch, translation.image, weights, feature_weights, contextual_layers)
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
        terms["adv"] = log_generator(discriminator(shown_to_discriminator(DynaSTConfig, batch, translation.image)))
    if style_layers:
        terms["content"], terms["style"] = style_transfer(made, of_target, of_exemplar)
    if weights.get("match"):
        terms["match"] = cascade_matching(translation.warps, batch.target, batch.paired)
    return {name: term for name, term in terms.items() if weights.get(name)}


def matebit_terms(
    model: MATEBIT,
    discriminator: nn.Module,
    features: nn.Module,
    edges: nn.Module | None,
    batch: Batch,
    translation: Translation,
    weights: Mapping[str, float],
    feature_weights: Mapping[str, float],
    made_style: Float[Tensor, "b z"] | None = None,
) -> dict[str, Tensor]:
    """The terms of MATEBIT Eq. (14) that `weights` asks for; a term of weight 0 costs nothing.

    By name: style (Eq. 7), align (8), corr (9, mean over blocks), perc (10), context (11), str (12), adv (13). The paper has
    neither feat, Eq. (8) of [CoCosNet], nor pixel, the mean L1 distance to the target of paired samples. In the place of style,
    with the queue filled accordingly: "style_exemplars" holds earlier exemplars against an image, as the released code does;
    "style_cast" does so too and asks, as CAST does, that a mirrored exemplar has the style of the exemplar.

    made_style: z of the generated images, needed for the style terms. edges: H of Eq. (12), needed for "str" alone. The rest as
    in `cocosnet_terms`.
    """
    terms = _seen_terms(features, batch, translation.image, weights, feature_weights, contextual_sum)
    if any(weights.get(name) for name in STYLE_TERMS):
        terms |= _style_terms(model, batch, translation.features["style"], made_style, weights)
    if weights.get("align"):
        aligned = model.align(batch.target, batch.condition)
        terms["align"] = domain_alignment(translation.features["structure"], aligned)
    if weights.get("corr") and translation.warps:
        per_block = [warp_matching(warp, batch.target, batch.paired) for warp in translation.warps]
        terms["corr"] = torch.stack(per_block).mean()
    if weights.get("str"):
        drawn = features(edges(translation.image).expand(-1, 3, -1, -1), EDGE_LAYERS)
        with torch.no_grad():
            of_target = features(edges(batch.target).expand(-1, 3, -1, -1), EDGE_LAYERS)
        terms["str"] = structural(drawn, of_target)
    if weights.get("pixel"):
        terms["pixel"] = warp_matching(translation.image, batch.target, batch.paired)
    if weights.get("adv"):
        terms["adv"] = hinge_generator(discriminator(translation.image))
    return terms


def msca_terms(
    discriminator: nn.Module,
    features: nn.Module,
    batch: Batch,
    image: Float[Tensor, "b 3 h w"],
    tasks: Tasks,
    weights: Mapping[str, float],
    feature_weights: Mapping[str, float],
) -> dict[str, Tensor]:
    """Eq. (11) of [MSCA]: log(1 − D(x̂_p, c_p, x_q, c̃_q)) + L_spade(x̂_p, x_p), and λ times the same of the whole canvas.

    As far as the generator sees it; D's part is `discriminator_loss`. L_spade is two terms: "feat", features of the image
    against those of the target, and "gan", activations of the discriminator for both; "adv" is the logarithm. "pixel", the mean
    L1 distance to the target, is not in the paper. A term of weight 0 costs nothing. tasks: see `Tasks`.
    """
    layers = tuple(feature_weights) if weights.get("feat") else ()
    terms: dict[str, Tensor] = {}
    for part, share in tasks:
        here, made = batch[part], image[part]
        found = {}
        if layers:
            with torch.no_grad():
                of_target = features(here.target, layers)
            found["feat"] = feature_matching(features(made, layers), of_target, feature_weights)
        if weights.get("adv") or weights.get("gan"):
            inner = discriminator.activations(shown_to_discriminator(MSCAConfig, here, made))
            found["adv"] = log_generator([one[-1] for one in inner])
            with torch.no_grad():
                real = discriminator.activations(shown_to_discriminator(MSCAConfig, here, here.target))
            found["gan"] = discriminator_matching(inner, real)
        if weights.get("pixel"):
            found["pixel"] = (made - here.target).abs().mean()
        terms = {name: terms.get(name, 0.0) + share * term for name, term in found.items() if weights.get(name)}
    return terms


def pretraining_terms(
    model: MSCA, batch: Batch, translation: Translation, feature_weights: Mapping[str, float]
) -> dict[str, Tensor]:
    """App. G of [MSCA]: F_vgg of the target against what 1×1 decoders make of [F_x1, F_c1], L1, a weighted sum over scales."""
    with torch.no_grad():
        seen = dict(zip(model.exemplar_features.layers, model.exemplar_features.see(batch.target), strict=True))
    return {"decoded": feature_matching(translation.features, seen, feature_weights)}


def _seen_terms(
    features: nn.Module,
    batch: Batch,
    image: Float[Tensor, "b 3 h w"],
    weights: Mapping[str, float],
    feature_weights: Mapping[str, float],
    contextual: Callable[..., Tensor],
) -> dict[str, Tensor]:
    """feat, perc and context: what a network sees of the image, of the target and of the exemplar, each asked once."""
    terms = {}
    image_layers = (tuple(feature_weights) if weights.get("feat") else ()) + (("relu4_2",) if weights.get("perc") else ())
    look_layers = tuple(CONTEXTUAL_WEIGHTS) if weights.get("context") else ()
    if image_layers or look_layers:
        made = features(image, set(image_layers + look_layers))
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
        terms["context"] = contextual(made, of_exemplar, CONTEXTUAL_WEIGHTS, longest=LONGEST_CONTEXT)
    return terms


def _style_terms(
    model: MATEBIT, batch: Batch, style: Tensor, made_style: Tensor, weights: Mapping[str, float]
) -> dict[str, Tensor]:
    """z⁺ is held fixed, as in the released code; the paper does not say so. Moved towards z, all codes become one."""
    name = next(name for name in STYLE_TERMS if weights.get(name))
    negatives = model.queue.negatives()
    loss = contrastive_style(made_style, style.detach(), negatives)
    if name == "style_cast":
        mirrored = model.style_code(batch.exemplar.flip(-1), batch.exemplar_condition.flip(-1))
        loss = (loss + contrastive_style(mirrored, style.detach(), negatives)) / 2
    return {name: loss}


def shown_to_discriminator(kind: type[ModelConfig], batch: Batch, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b _ h w"]:
    """DynaST Eq. (10) judges the image together with the structure, Eq. (11) of MSCA with exemplar and its structure beside,
    Eq. (13) of CoCosNet and of MATEBIT the image alone."""
    if kind is MSCAConfig:
        return torch.cat([image, batch.condition, batch.exemplar, batch.exemplar_condition], dim=1)
    return torch.cat([batch.condition, image], dim=1) if kind is DynaSTConfig else image


def discriminator_channels(config: ModelConfig) -> int:
    """How many channels `shown_to_discriminator` shows."""
    if isinstance(config, MSCAConfig):
        return 2 * (3 + config.condition_channels)
    return 3 + config.condition_channels * isinstance(config, DynaSTConfig)


def discriminator_loss(
    config: ModelConfig, discriminator: nn.Module, batch: Batch, image: Float[Tensor, "b 3 h w"], tasks: Tasks = ONE_TASK
) -> Tensor:
    """Real against made, in one pass. Real is the exemplar (Eq. 13 of CoCosNet and MATEBIT), or the target (Eq. 10 of DynaST,
    Eq. 11 of MSCA, where two tasks are added)."""
    kind = type(config)
    logarithmic = kind in (DynaSTConfig, MSCAConfig)
    real = batch.target if logarithmic else batch.exemplar
    both = [shown_to_discriminator(kind, batch, one) for one in (real, image)]
    logits = [logit.chunk(2) for logit in discriminator(torch.cat(both))]
    loss = log_discriminator if logarithmic else hinge_discriminator
    return sum(share * loss([real[part] for real, _ in logits], [made[part] for _, made in logits]) for part, share in tasks)


def _warp_to_target(model: CoCosNet, translation: Translation, value: Tensor) -> Tensor:
    query, key = translation.features["query"], translation.features["key"]
    return correlation_warp(query, key, value, model.config.match_size, model.config.temperature)


def _warp_to_exemplar(model: CoCosNet, translation: Translation, value: Tensor) -> Tensor:
    """r_{y→x→y}: the same scores, with the softmax over the target's positions."""
    query, key = translation.features["query"], translation.features["key"]
    return correlation_warp(key, query, value, model.config.match_size, model.config.temperature)
