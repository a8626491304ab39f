"""Layers of MSCA: the features that are matched, and the attention that carries them from one scene to another."""

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from exemplar_lab.correspondence import FactoredMatch
from exemplar_lab.nn.feature_stack import built_in, layer_widths
from exemplar_lab.ops.msca import (
    channel_aggregation,
    channel_attention,
    label_attention,
    region_shares,
    spatial_aggregation,
    spatial_attention,
)

Attention = Literal["learnt", "average", "labels"]
"""Who says what a region is: the network, nobody (global average pooling), or the labels: the rows of Table 1."""


_PACE = 10.0
"""Scores of attention are so many times what their convolution gives: the same functions in other units, in which the equal
steps of Adam move the attention as much faster. Without it regions hardly leave their start in a short training."""

_SPREAD = 5.0
"""Standard deviation of the scores at the start, for labels whose features have deviation one."""


class ExemplarFeatures(nn.Module):
    """Eq. (1) of [MSCA]: F_x = W_x * F_vgg(x), what a frozen network sees at every scale, compressed by a 1×1 convolution.

    extractor: VGG-19 or another network of its shape; it stays as it is and is not saved with the model. The paper does not say
    which layer a scale is; here the last of two names that all of them have, relu1_2 … relu5_2, fine to coarse.
    """

    def __init__(self, extractor: nn.Module, widths: tuple[int, ...]):
        super().__init__()
        self.extractor = built_in(extractor)
        self.layers = tuple(f"relu{stage}_2" for stage in range(1, len(widths) + 1))
        seen = layer_widths(extractor)
        self.seen_widths = tuple(seen[layer] for layer in self.layers)
        self.compress = nn.ModuleList(
            nn.Conv2d(seen[layer], width, 1) for layer, width in zip(self.layers, widths, strict=True)
        )

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b _ _ _"]]:
        """F_x, fine to coarse, for images in [0, 1]."""
        return [compress(one) for compress, one in zip(self.compress, self.see(image), strict=True)]

    def see(self, image: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b _ _ _"]]:
        """F_vgg, fine to coarse: what the pretraining of App. G reconstructs."""
        found = self.extractor(image, self.layers)
        return [found[layer] for layer in self.layers]


class LabelPyramid(nn.Module):
    """Eq. (2) of [MSCA] and Eq. (3) of [MSCA]: F_c = LReLU(W_c * [⇑F_c of the next coarser scale, c resized to this one]).

    Eq. (3) is the same with the same weights, on the exemplar's labels. The coarsest scale has the labels alone. W_c: 1×1.
    Labels are resized to shares, the mean over each cell; nearest neighbour would drop what is small.
    """

    def __init__(self, classes: int, widths: tuple[int, ...]):
        super().__init__()
        coarser = (*widths[1:], 0)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(classes + before, width, 1) for width, before in zip(widths, coarser, strict=True)
        )
        for convolution, before in zip(self.convolutions, coarser, strict=True):  # one class fills a cell: deviation one
            nn.init.normal_(convolution.weight)
            with torch.no_grad():
                convolution.weight[:, :before] /= max(before, 1) ** 0.5

    def forward(self, label: Float[Tensor, "b cc h w"]) -> list[Float[Tensor, "b _ _ _"]]:
        """F_c, fine to coarse; the finest has the size of the label map, each further one half of it."""
        features: list[Tensor] = []
        for scale in reversed(range(len(self.convolutions))):
            x = F.avg_pool2d(label, 2**scale) if scale else label
            if features:
                x = torch.cat([F.interpolate(features[-1], scale_factor=2, mode="bilinear", align_corners=False), x], dim=1)
            features.append(F.leaky_relu(self.convolutions[scale](x), 0.2))
        return features[::-1]


class RegionGate(nn.Module):
    """Eq. (6) of [MSCA]: Ṽ = Vᵀ ∘ mlp([gap(F_c1), gap(F_c2)]), a number in (0, 1) for each region, from what both scenes hold.

    Two layers, the hidden one with LReLU, which the paper does not name.
    """

    def __init__(self, label_width: int, regions: int):
        super().__init__()
        hidden = max(label_width, regions)
        self.mlp = nn.Sequential(nn.Linear(2 * label_width, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, regions))

    def forward(self, label: Float[Tensor, "b m hq wq"], exemplar_label: Float[Tensor, "b m hk wk"]) -> Float[Tensor, "b r"]:
        return torch.sigmoid(self.mlp(torch.cat([label.mean((2, 3)), exemplar_label.mean((2, 3))], dim=1)))


class Regions(NamedTuple):
    """What one exemplar offers at one scale.

    value: V, b r c. attention: α, b r k. log_total: log Σ exp of the scores behind each row of α, b r. gate: b r.
    """

    value: Tensor
    attention: Tensor
    log_total: Tensor
    gate: Tensor


class Aligned(NamedTuple):
    """What exemplars give to a target at one scale.

    feature: F_x1, b c hq wq. wanted: of each exemplar, β times its share, b q r. gate: of all of them, b 1 r, or b q r where
    they are mixed from place to place. regions: of each.
    """

    feature: Tensor
    wanted: tuple[Tensor, ...]
    gate: Tensor
    regions: tuple[Regions, ...]

    def match(self, key_size: tuple[int, int]) -> FactoredMatch:
        """The record. Of one exemplar: β, the gate, and α. Of several: they lie side by side in one key grid, each with regions
        of its own, and what they share is part of the query's factor; gates are then one.
        """
        size = (self.feature.shape[2], self.feature.shape[3])
        if len(self.regions) == 1:
            return FactoredMatch(size, key_size, self.wanted[0], self.regions[0].gate, self.regions[0].attention)
        n, (h, w) = len(self.regions), key_size
        keys = [F.pad(one.attention.unflatten(2, key_size), (i * w, (n - 1 - i) * w)) for i, one in enumerate(self.regions)]
        key_factor = torch.cat(keys, dim=1).flatten(2)
        gate = key_factor.new_ones(key_factor.shape[:2])
        return FactoredMatch(size, (h, n * w), torch.cat([one * self.gate for one in self.wanted], dim=2), gate, key_factor)


class MaskedSpatialChannelAttention(nn.Module):
    """The right half of Fig. 2 at one scale: Eq. (4) to (8).

    feature_width, label_width: N and M of the scale. regions: K. gated: False leaves Eq. (6) out (w/o fm).
    attention: "average" is global average pooling, one region that is the mean of the exemplar; "labels" has one region per
        class, read from the label maps (w/o att); then `regions` is the number of classes.
    """

    def __init__(self, feature_width: int, label_width: int, regions: int, attention: Attention = "learnt", gated: bool = True):
        super().__init__()
        self.attention = attention
        self.regions = 1 if attention == "average" else regions
        if attention == "learnt":
            # No bias: one number for all positions of a region would not change its softmax over positions.
            self.spatial = nn.Conv2d(feature_width + label_width, regions, 1, bias=False)
            self.channel = nn.Conv2d(label_width, regions, 1)
            self._start_alike(feature_width)
        self.gate = RegionGate(label_width, self.regions) if gated and attention != "average" else None

    def _start_alike(self, feature_width: int) -> None:
        """Regions that group the labels of both scenes in the same way, so that from the first step a class looks at its like.

        From independent starts the attention stays uniform for hundreds of steps, which is global average pooling.
        """
        nn.init.normal_(self.channel.weight, std=_SPREAD / _PACE / self.channel.in_channels**0.5)
        nn.init.normal_(self.spatial.weight, std=0.01 / feature_width**0.5)
        with torch.no_grad():
            self.spatial.weight[:, feature_width:] = self.channel.weight

    def gather(self, feature: Tensor, exemplar_label: Tensor, exemplar_classes: Tensor, label: Tensor) -> Regions:
        """The regions of one exemplar. feature: F_x2; exemplar_label: F_c2; exemplar_classes: c2 on this grid; label: F_c1."""
        b, _, h, w = feature.shape
        if self.attention == "learnt":
            score = _PACE * self.spatial(torch.cat([feature, exemplar_label], dim=1))
            attention, log_total = spatial_attention(score), score.flatten(2).logsumexp(2)
        elif self.attention == "average":
            attention, log_total = feature.new_full((b, 1, h * w), 1 / (h * w)), feature.new_zeros(b, 1)
        else:
            attention, _ = label_attention(exemplar_classes)
            log_total = exemplar_classes.flatten(2).sum(2).clamp_min(1e-6).log()
        gate = feature.new_ones(b, self.regions) if self.gate is None else self.gate(label, exemplar_label)
        return Regions(spatial_aggregation(feature, attention), attention, log_total, gate)

    def give(self, label: Tensor, classes: Tensor) -> Float[Tensor, "b q r"]:
        """β. label: F_c1; classes: c1 on this grid."""
        if self.attention == "learnt":
            return channel_attention(_PACE * self.channel(label))
        if self.attention == "average":
            return label.new_ones(len(label), label[0, 0].numel(), 1)
        return label_attention(classes)[1]

    def forward(
        self,
        label: Float[Tensor, "b m hq wq"],
        classes: Float[Tensor, "b cc hq wq"],
        exemplars: list[tuple[Tensor, Tensor, Tensor]],
        amount: Float[Tensor, "b n hq wq"] | None = None,
    ) -> Aligned:
        """F_x1 and the factors of what carried it.

        label, classes: F_c1 and c1 on this grid. exemplars: (F_x2, F_c2, c2) of each. amount: how much each exemplar counts at
        each position (see `ops.msca.region_shares`); None for a single one.
        """
        regions = [self.gather(*one, label) for one in exemplars]
        size = (label.shape[2], label.shape[3])
        beta = self.give(label, classes)
        if amount is None:
            wanted, gate = [beta], regions[0].gate[:, None]
        else:
            amount = amount.flatten(2)
            share = region_shares(torch.stack([one.log_total for one in regions], dim=1), amount)
            gate = sum(a[..., None] * one.gate[:, None] for a, one in zip(amount.unbind(1), regions, strict=True))
            wanted = [beta * one for one in share.unbind(1)]
        given = [channel_aggregation(one.value, factor * gate, size) for one, factor in zip(regions, wanted, strict=True)]
        return Aligned(sum(given[1:], start=given[0]), tuple(wanted), gate, tuple(regions))
