"""MSCA: a few regions of an arbitrary scene, gathered at five scales, gated, and given to the places of another label map."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from exemplar_lab.models.config import check_settings
from exemplar_lab.nn.blocks import conv, upsample
from exemplar_lab.nn.features import NETWORKS, features
from exemplar_lab.nn.msca import Aligned, Attention, ExemplarFeatures, LabelPyramid, MaskedSpatialChannelAttention
from exemplar_lab.nn.spade import Normalisation, SpadeResidualBlock
from exemplar_lab.translation import Translation

SCALES = 5
"""Scales of VGG-19 and of the networks with its shape; L = 4 in the paper, which counts from 0."""


@dataclass(frozen=True)
class MSCAConfig:
    """Widths and choices, of each five, fine to coarse. The paper prints K, the scales and the size, but no widths:
    these are SPADE's in the generator, and half of VGG's for the features.

    size: side of the images. condition_channels: classes of the label maps. features: F_vgg, see `nn.features.features`; the
        paper's is "vgg19", whose weights do not come with the package.
    regions: K. exemplar_widths, label_widths: N and M. generator_widths: of the SPADE blocks. style_hidden: inside of SPADE.
    attention, gated: see `MaskedSpatialChannelAttention`. norm: what SPADE modulates, see `SpadeNorm`; [SPADE] has "batch".
    Raises ValueError for settings that make no network.
    """

    size: int = 256
    condition_channels: int = 182
    features: str = "lab"
    regions: tuple[int, ...] = (8, 16, 16, 16, 16)
    exemplar_widths: tuple[int, ...] = (32, 64, 128, 256, 256)
    label_widths: tuple[int, ...] = (32, 64, 128, 256, 256)
    generator_widths: tuple[int, ...] = (64, 128, 256, 512, 512)
    style_hidden: int = 128
    attention: Attention = "learnt"
    gated: bool = True
    norm: Normalisation = "batch"

    def __post_init__(self):
        step = 2 ** (SCALES - 1)
        fives = ("regions", "exemplar_widths", "label_widths", "generator_widths")
        choices = {"attention": get_args(Attention), "norm": get_args(Normalisation), "features": NETWORKS}
        check_settings(
            "MSCAConfig",
            (
                (self.size > step and self.size % step == 0, f"size {self.size}", f"a multiple of {step}, at least {2 * step}"),
                *(
                    (getattr(self, name) > 0, f"{name} {getattr(self, name)}", "at least 1")
                    for name in ("condition_channels", "style_hidden")
                ),
                *(
                    (
                        len(getattr(self, name)) == SCALES and min(getattr(self, name)) > 0,
                        f"{name} {getattr(self, name)}",
                        f"{SCALES} numbers from 1 on, fine to coarse",
                    )
                    for name in fives
                ),
                *(
                    (getattr(self, name) in known, f"{name} {getattr(self, name)!r}", f"one of {', '.join(known)}")
                    for name, known in choices.items()
                ),
            ),
        )

    def to_dict(self) -> dict:
        return asdict(self)


class MSCA(nn.Module):
    """The whole of the paper's Fig. 2. Built from `MSCAConfig`; see `forward` and `mix`.

    extractor: F_vgg where the one that the config names is not wanted, as for a test without its weights.
    """

    def __init__(self, config: MSCAConfig, extractor: nn.Module | None = None):
        super().__init__()
        self.config = config
        self.exemplar_features = ExemplarFeatures(extractor or features(config.features), config.exemplar_widths)
        self.label_features = LabelPyramid(config.condition_channels, config.label_widths)
        kept = config.condition_channels if config.attention == "labels" else None
        self.attention = nn.ModuleList(
            MaskedSpatialChannelAttention(width, label, kept or regions, config.attention, config.gated)
            for width, label, regions in zip(config.exemplar_widths, config.label_widths, config.regions, strict=True)
        )
        both = [width + label for width, label in zip(config.exemplar_widths, config.label_widths, strict=True)]
        seen = self.exemplar_features.seen_widths
        self.decoders = nn.ModuleList(nn.Conv2d(width, out, 1) for width, out in zip(both, seen, strict=True))
        self.synthesis = Synthesis(both, config.generator_widths, config.style_hidden, config.norm)

    def forward(
        self,
        condition: Float[Tensor, "b cc h w"],
        exemplar: Float[Tensor, "b 3 h w"],
        exemplar_condition: Float[Tensor, "b cc h w"] | None = None,
        *,
        record: bool = True,
        synthesise: bool = True,
    ) -> Translation:
        """The image that has the structure of `condition` and the look of `exemplar`.

        condition, exemplar_condition: c1 and c̃2, one channel per class, in [0, 1]; the second is needed. exemplar: x2, in
            [0, 1]. All of one size: that of the config, or any multiple of 16 from 32 on.
        record: True gives one `FactoredMatch` per scale, coarse to fine.
        synthesise: False leaves the generator out, as App. G does while the attention is pretrained; the image is then the
            finest warp.
        Returned warps: the exemplar by the weights of each scale, without the gate, so that it is not darker where a region is
            gated; the record has the gate.
        Returned features: without `synthesise` F_vgg of the target as the decoders of App. G see it, by layer.
        Raises ValueError when sizes or channels do not fit.
        """
        if exemplar_condition is None:
            raise ValueError("got no exemplar_condition, expected the exemplar's label map: MSCA looks at both scenes' labels")
        return self._translate(condition, [exemplar], [exemplar_condition], None, record, synthesise)

    def mix(
        self,
        condition: Float[Tensor, "b cc h w"],
        exemplars: Sequence[Float[Tensor, "b 3 h w"]],
        exemplar_conditions: Sequence[Float[Tensor, "b cc h w"]],
        amount: Float[Tensor, "b n _ _"],
        *,
        record: bool = True,
    ) -> Translation:
        """The look of several exemplars at once, in style (Fig. 5 of [MSCA]) and from place to place (Fig. 7).

        amount: how much each of the n exemplars counts at each position, at any resolution (1 × 1: the same everywhere), at
            least 0; scaled to the sum one. With all on one exemplar the image is exactly that of `forward` with it.
        Matches and warps have the exemplars side by side in one key grid, as the paper concatenates them.
        Raises ValueError for other numbers of exemplars, conditions and amounts, and for amounts below 0 or all 0.
        """
        if not len(exemplars) == len(exemplar_conditions) == amount.shape[1] or len(amount) != len(condition):
            raise ValueError(
                f"got {len(exemplars)} exemplars, {len(exemplar_conditions)} label maps of them and amounts of shape "
                f"{tuple(amount.shape)} for {len(condition)} conditions, expected as many of each, and (samples, exemplars, "
                "height, width)"
            )
        amount = amount.to(condition)
        total = amount.sum(1, keepdim=True)
        if not (amount.min() >= 0 and total.min() > 0 and total.max() < torch.inf):  # NaN is nothing of this
            raise ValueError(
                f"got amounts from {float(amount.min()):g} with sums from {float(total.min()):g}, expected none below 0 and "
                "every sum above it"
            )
        return self._translate(condition, exemplars, exemplar_conditions, amount / total, record, True)

    def _translate(
        self,
        condition: Tensor,
        exemplars: Sequence[Tensor],
        exemplar_conditions: Sequence[Tensor],
        amount: Tensor | None,
        record: bool,
        synthesise: bool,
    ) -> Translation:
        self._check(condition, exemplars, exemplar_conditions)
        label = self.label_features(condition)
        offers = [
            (self.exemplar_features(x), self.label_features(c), c) for x, c in zip(exemplars, exemplar_conditions, strict=True)
        ]
        aligned = []
        for scale, module in enumerate(self.attention):
            size = label[scale].shape[-2:]
            here = [(x[scale], c[scale], _shares(one, scale)) for x, c, one in offers]
            wanted = None if amount is None else F.interpolate(amount, size, mode="bilinear", align_corners=False)
            aligned.append(module(label[scale], _shares(condition, scale), here, wanted))
        both = [torch.cat([one.feature, c], dim=1) for one, c in zip(aligned, label, strict=True)]
        coarse_first = list(enumerate(aligned))[::-1]
        warps = tuple(_warp(one, [_shares(x, scale) for x in exemplars]) for scale, one in coarse_first)
        matches = tuple(one.match(label[scale].shape[-2:]) for scale, one in coarse_first) if record else ()
        if synthesise:
            return Translation(self.synthesis(both), warps, matches, {})
        decoded = {
            layer: decoder(x) for layer, decoder, x in zip(self.exemplar_features.layers, self.decoders, both, strict=True)
        }
        return Translation(warps[-1], warps, matches, decoded)

    def _check(self, condition: Tensor, exemplars: Sequence[Tensor], exemplar_conditions: Sequence[Tensor]) -> None:
        step = 2 ** (SCALES - 1)
        height, width = condition.shape[-2:]
        if height % step or width % step or min(height, width) < 2 * step:
            raise ValueError(
                f"got condition of {height} × {width}, expected multiples of {step}, at least {2 * step}: resize or crop it"
            )
        inputs = [("condition", condition, self.config.condition_channels)]
        inputs += [("exemplar", one, 3) for one in exemplars]
        inputs += [("exemplar_condition", one, self.config.condition_channels) for one in exemplar_conditions]
        for name, tensor, channels in inputs:
            expected = (len(condition), channels, height, width)
            if tuple(tensor.shape) != expected:
                raise ValueError(
                    f"got {name} of shape {tuple(tensor.shape)}, expected {expected}: resize or repeat it, "
                    "or load a checkpoint trained for these classes"
                )


class Synthesis(nn.Module):
    """Fig. 15 of [MSCA]: SPADE blocks from the coarsest scale to the finest, each styled by [F_x1, F_c1] of its scale.

    style_channels, widths: of each scale, fine to coarse. The paper does not say what the first block grows from; here a
    convolution of the coarsest [F_x1, F_c1], as [SPADE] grows from its label map.
    """

    def __init__(self, style_channels: Sequence[int], widths: Sequence[int], hidden: int, norm: Normalisation):
        super().__init__()
        self.first = conv(style_channels[-1], widths[-1])
        coarser = (*widths[1:], widths[-1])
        self.blocks = nn.ModuleList(
            SpadeResidualBlock(before, after, style, hidden, norm)
            for before, after, style in zip(coarser, widths, style_channels, strict=True)
        )
        self.last = conv(widths[0], 3)

    def forward(self, style: Sequence[Float[Tensor, "b _ _ _"]]) -> Float[Tensor, "b 3 h w"]:
        x = self.first(style[-1])
        for scale in reversed(range(len(self.blocks))):
            x = self.blocks[scale](x, style[scale])
            x = upsample(x) if scale else x
        return torch.sigmoid(2 * self.last(F.leaky_relu(x, 0.2)))


def _shares(value: Float[Tensor, "b c h w"], scale: int) -> Float[Tensor, "b c _ _"]:
    """Means over the cells of a scale: of labels the share of each class, of an image its colours."""
    return F.avg_pool2d(value, 2**scale) if scale else value


def _warp(aligned: Aligned, exemplars: list[Tensor]) -> Float[Tensor, "b 3 hq wq"]:
    """The exemplars' colours by the weights of one scale, scaled to sum to one."""
    size = (aligned.feature.shape[2], aligned.feature.shape[3])
    seen = [torch.cat([x, torch.ones_like(x[:, :1])], dim=1).flatten(2).transpose(1, 2) for x in exemplars]
    total = sum(factor @ (one.attention @ x) for factor, one, x in zip(aligned.wanted, aligned.regions, seen, strict=True))
    return (total[..., :3] / total[..., 3:].clamp_min(1e-6)).transpose(1, 2).unflatten(2, size)
