"""How far two images are apart to a network that was made for looking: position by position, or as styles.

Both ask for the maps of `features(…)` of two images and nothing else. A number depends on the network as much as on the images,
so write the network's `name` beside it. Maps of half precision are compared in single.
"""

from collections.abc import Iterable, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from exemplar_lab.ops.feature_distance import unit_distance
from exemplar_lab.ops.modulation import gram_matrix

PERCEPTUAL_LAYERS = ("relu1_2", "relu2_2", "relu3_2", "relu4_2", "relu5_2")
GATYS_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")


def perceptual_distance(
    of_image: Mapping[str, Tensor], of_target: Mapping[str, Tensor], layers: Sequence[str] = PERCEPTUAL_LAYERS
) -> Float[Tensor, " b"]:
    """How different the features are at the same position: 0 for equal images, at most 2 where none is negative.

    of_image, of_target: layer name -> b c h w, of images of one size. The mean over layers of `unit_distance`.
    The form of LPIPS (Zhang, Isola, Efros, Shechtman, Wang 2018) without its learned weights, which belong to the channels of
    one network. It is therefore not the LPIPS that [MSCA] prints in Table 1, with "the linearly calibrated VGG model".
    """
    pairs = zip(maps_of(of_image, layers), maps_of(of_target, layers), strict=True)
    return torch.stack([unit_distance(one, other) for one, other in pairs]).mean(0)


def gram_style_distance(
    of_image: Mapping[str, Tensor], of_style: Mapping[str, Tensor], layers: Sequence[str] = PERCEPTUAL_LAYERS
) -> Float[Tensor, " b"]:
    """How different the styles are: mean absolute difference of the Gram matrices, the first layer counts 1, the next half …

    of_image, of_style: layer name -> b c h w; the two images may differ in size. What is compared is which channels are active
    together, not where. The number has the scale of squared activations, so those of two networks do not compare.
    The text of [MATEBIT] knows no such term: its style loss is the contrastive one, Eq. (7).
    Released code: this is MATEBIT's "Style" term, on these five layers, between the generated image and the exemplar.
    """
    pairs = zip(maps_of(of_image, layers), maps_of(of_style, layers), strict=True)
    return sum(_gram_distance(one, other) / 2**step for step, (one, other) in enumerate(pairs))


def gatys_style_loss(
    of_image: Mapping[str, Tensor], of_style: Mapping[str, Tensor], layers: Sequence[str] = GATYS_LAYERS
) -> Float[Tensor, " b"]:
    """The style loss of Gatys, Ecker, Bethge (2016): mean over layers of ¼ Σ (G − A)², all layers alike.

    of_image, of_style: layer name -> b c h w; the two images may differ in size. G and A are of `gram_matrix`, which divides by
    c · h · w: their 1 / (N M), drawn inside the square.
    L_style of Table 1 of [MSCA], "style loss of [9]", through "the VGG" there. Numbers of two networks do not compare.
    """
    pairs = zip(maps_of(of_image, layers), maps_of(of_style, layers), strict=True)
    squares = [(gram_matrix(one) - gram_matrix(other)).square().flatten(1).sum(1) / 4 for one, other in pairs]
    return torch.stack(squares).mean(0)


def maps_of(features: Mapping[str, Tensor], layers: Iterable[str]) -> list[Float[Tensor, "b _ _ _"]]:
    """The maps of `layers` in that order; ValueError, naming them, where some are missing."""
    layers = tuple(layers)
    if missing := [layer for layer in layers if layer not in features]:
        raise ValueError(
            f"got features of {', '.join(features) or 'no layer'}, expected also {', '.join(missing)}: ask the network for them"
        )
    return [features[layer] for layer in layers]


def _gram_distance(image: Float[Tensor, "b c h w"], style: Float[Tensor, "b c hs ws"]) -> Float[Tensor, " b"]:
    return (gram_matrix(image) - gram_matrix(style)).abs().flatten(1).mean(1)
