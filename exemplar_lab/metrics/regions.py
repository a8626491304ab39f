"""Does each region of the image mean what it should, and have the exemplar's colour and texture?

The numbers of Tables 2 and 3 of [CoCosNet] and Table 1 of [MATEBIT]. The texts say only which layers of VGG-19 are compared by
their cosine; over what stands in the released code alone: mean features of regions with one label, in images of 256².
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.metrics.perceptual import maps_of

SEMANTIC_LAYERS = ("relu3_2", "relu4_2", "relu5_2")
COLOUR_LAYER, TEXTURE_LAYER = "relu1_2", "relu2_2"

REGION_SIDE = 256
"""Height and width that images are resized to before their features are compared here."""


def semantic_consistency(
    of_image: Mapping[str, Tensor], of_target: Mapping[str, Tensor], label: Int[Tensor, "b h w"]
) -> Float[Tensor, " b"]:
    """How much the regions of the image mean what those of the ground truth mean: 1 is the same, 0 has nothing in common.

    of_image, of_target: layer name -> b c h w, of the generated image and of the *target*, which [CoCosNet] does not say; both
    resized to `REGION_SIDE` first. label: of the target, from 0 up; every region counts by its area, label 0 too.
    The mean of three layers' cosines.
    """
    pairs = zip(maps_of(of_image, SEMANTIC_LAYERS), maps_of(of_target, SEMANTIC_LAYERS), strict=True)
    return torch.stack([_consistency(one, other, label, label, least=0) for one, other in pairs]).mean(0)


def colour_consistency(
    of_image: Mapping[str, Tensor],
    of_exemplar: Mapping[str, Tensor],
    label_image: Int[Tensor, "b h w"],
    label_exemplar: Int[Tensor, "b hk wk"],
) -> Float[Tensor, " b"]:
    """How much the regions of the image have the colour of the exemplar's regions with the same label, in [0, 1].

    of_image, of_exemplar: layer name -> b c h w, of images resized to `REGION_SIDE`. label_image: what the image was made from.
    Only labels above 0 that both have are compared, and count by their area in `label_image`; NaN where there is none.
    Released code: 0 there, which lowers the mean over images. Its exemplar is the second of its list, not the one of the test;
    where a data set has no labels (MetFaces, AAHQ), the grey levels of edge maps are taken for labels.
    """
    (one,), (other,) = (maps_of(features, [COLOUR_LAYER]) for features in (of_image, of_exemplar))
    return _consistency(one, other, label_image, label_exemplar, least=1)


def texture_consistency(
    of_image: Mapping[str, Tensor],
    of_exemplar: Mapping[str, Tensor],
    label_image: Int[Tensor, "b h w"],
    label_exemplar: Int[Tensor, "b hk wk"],
) -> Float[Tensor, " b"]:
    """`colour_consistency` one stage deeper, where features have seen enough of the neighbourhood to tell textures."""
    (one,), (other,) = (maps_of(features, [TEXTURE_LAYER]) for features in (of_image, of_exemplar))
    return _consistency(one, other, label_image, label_exemplar, least=1)


def resized(image: Float[Tensor, "b c h w"], side: int = REGION_SIDE) -> Float[Tensor, "b c {side} {side}"]:
    """The image at side × side, bilinear; what makes it smaller averages, as Pillow does, and so did the published numbers."""
    if image.shape[-2:] == (side, side):
        return image
    return F.interpolate(image, (side, side), mode="bilinear", align_corners=False, antialias=True)


def region_labels(part: Int[Tensor, "b h w"]) -> Int[Tensor, "b h w"]:
    """Parts or classes of a truth (−1 is background) as labels from 0 up: the background becomes 0, which has no style."""
    return part + 1


def _consistency(
    one: Float[Tensor, "b c h w"],
    other: Float[Tensor, "b c hk wk"],
    label_one: Int[Tensor, "b hl wl"],
    label_other: Int[Tensor, "b hm wm"],
    least: int,
) -> Float[Tensor, " b"]:
    lowest = min(int(label_one.min()), int(label_other.min()))
    if lowest < 0:
        raise ValueError(
            f"got the label {lowest}, expected labels from 0 up: region_labels(part) makes them of a truth's parts"
        )
    every = zip(one, other, label_one.long(), label_other.long(), strict=True)
    return torch.stack([_region_cosine(*pair, least) for pair in every])


def _region_cosine(
    one: Float[Tensor, "c h w"],
    other: Float[Tensor, "c hk wk"],
    label_one: Int[Tensor, "hl wl"],
    label_other: Int[Tensor, "hm wm"],
    least: int,
) -> Float[Tensor, ""]:
    """Σ over shared labels from `least` up of the cosine of the two mean features, weighted by the area in `label_one`."""
    labels = int(torch.maximum(label_one.max(), label_other.max())) + 1
    areas = [label.flatten().bincount(minlength=labels) for label in (label_one, label_other)]
    shared = (areas[0] > 0) & (areas[1] > 0)
    shared[:least] = False
    regions = int(shared.sum())
    region = torch.where(shared, shared.cumsum(0) - 1, regions)
    sums = [_sums(feature, region[label], regions) for feature, label in ((one, label_one), (other, label_other))]
    cosine = (F.normalize(sums[0], dim=1) * F.normalize(sums[1], dim=1)).sum(1)
    weight = areas[0][shared].to(cosine.dtype)
    return (cosine * weight).sum() / weight.sum()


def _sums(feature: Float[Tensor, "c h w"], region: Int[Tensor, "hl wl"], regions: int) -> Float[Tensor, "{regions} c"]:
    """The features summed over each region below `regions`, as if the map were repeated to the size of the labels.

    Instead, the pixels of each region are counted in each cell of the map: the same sum, without the large tensor, at any two
    sizes. Labels coarser than the map are repeated over it. A sum has the direction of its mean, and a cosine asks no more.
    """
    height, width = (max(pair) for pair in zip(feature.shape[1:], region.shape, strict=True))
    region = region[_nearest(height, region.shape[0], region.device)][:, _nearest(width, region.shape[1], region.device)]
    row, column = (_nearest(n, of, region.device) for n, of in ((height, feature.shape[1]), (width, feature.shape[2])))
    cell = row[:, None] * feature.shape[2] + column
    cells = feature[0].numel()
    pixels = (region * cells + cell).flatten().bincount(minlength=(regions + 1) * cells).view(-1, cells)[:regions]
    feature = feature.to(torch.promote_types(feature.dtype, torch.float32))
    return pixels.to(feature.dtype) @ feature.flatten(1).T


def _nearest(number: int, of: int, device: torch.device) -> Int[Tensor, " {number}"]:
    """Which of `of` lies at the centre of each of `number` that share its extent."""
    return (2 * torch.arange(number, device=device) + 1) * of // (2 * number)
