"""DynaST: a correspondence followed from coarse to fine, a few candidates per position, pruned by a learnt decision."""

from dataclasses import asdict, dataclass
from typing import get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from exemplar_lab.models.config import check_settings
from exemplar_lab.nn.dynast import Decoder, DynaSTBlock, Links, MatchNorm, PatchEmbedding, PositionMaps, start_alike
from exemplar_lab.ops.candidates import inner_scale, inter_scale, kept_candidates, top_candidates
from exemplar_lab.translation import Translation


@dataclass(frozen=True)
class DynaSTConfig:
    """Widths and choices; the defaults are the paper's: 35.4 M parameters, and 318 GFLOP for one pair at 256².

    size: side of the images. condition_channels: of S_tgt and S_ref.
    widths: channels of each scale, coarse to fine; each scale is twice as fine as the one before, the last has the side `size`.
    blocks: per scale. top_k: candidates that a row hands on. patches: channels of each patch embedding.
    tau: τ, the factor of the scores. norm: see `DynaSTBlock`.
    pruning, inner_scale: False takes it away (Table 1); without the latter a block that would ask its neighbours looks once
        more at the candidates of the block before it.
    finest_match: side of the finest scale that matches, the finer ones see the structure alone (Table 1); None: all match.
    once: count equal candidates once. released_mask: warp with the *pruned* links, as the released code does.
    Released code: 92.5 M parameters and 707 GFLOP.
    Raises ValueError for settings that make no network.
    """

    size: int = 256
    condition_channels: int = 3
    widths: tuple[int, ...] = (512, 256, 128, 64)
    blocks: int = 2
    top_k: int = 4
    patches: int = 64
    style_hidden: int = 64
    tau: float = 100.0
    norm: MatchNorm = "unit"
    pruning: bool = True
    inner_scale: bool = True
    finest_match: int | None = None
    once: bool = False
    released_mask: bool = False

    def __post_init__(self):
        widths = (len(self.widths) > 0 and min(self.widths) >= 8, f"widths {self.widths}", "one per scale, each at least 8")
        check_settings("DynaSTConfig", [widths])
        step = 2 ** (len(self.widths) - 1)
        check_settings(
            "DynaSTConfig",
            (
                (self.size > 0 and self.size % step == 0, f"size {self.size}", f"a multiple of {step}"),
                *(
                    (getattr(self, name) > 0, f"{name} {getattr(self, name)}", "at least 1")
                    for name in ("blocks", "patches", "style_hidden", "condition_channels")
                ),
                (
                    0 < self.top_k <= self.sides[0] ** 2,
                    f"top_k {self.top_k}",
                    f"1 … {self.sides[0] ** 2}, the positions of the coarsest scale",
                ),
                (self.tau > 0, f"tau {self.tau}", "a number above 0"),
                (self.norm in get_args(MatchNorm), f"norm {self.norm!r}", f"one of {', '.join(get_args(MatchNorm))}"),
                (
                    self.finest_match is None or self.finest_match in self.sides,
                    f"finest_match {self.finest_match}",
                    f"None or one of {', '.join(map(str, self.sides))}, the sides of the scales",
                ),
            ),
        )

    @property
    def sides(self) -> tuple[int, ...]:
        """Of the scales, coarse to fine."""
        return tuple(self.size >> step for step in reversed(range(len(self.widths))))

    @property
    def matching_scales(self) -> int:
        return len(self.sides) if self.finest_match is None else self.sides.index(self.finest_match) + 1

    def to_dict(self) -> dict:
        return asdict(self)


class DynaST(nn.Module):
    """The whole of the paper's Fig. 2. Built from `DynaSTConfig`; see `forward`."""

    def __init__(self, config: DynaSTConfig):
        super().__init__()
        self.config = config
        positions = tuple(width // 4 for width in config.widths)
        self.target_embedding = PatchEmbedding(config.condition_channels, config.widths, config.patches)
        self.reference_embedding = PatchEmbedding(
            config.condition_channels + 3, config.widths, config.patches, config.matching_scales
        )
        start_alike(self.target_embedding, self.reference_embedding)
        matching = config.matching_scales
        self.positions = PositionMaps((config.sides[0],) * 2, positions[:matching])
        self.scales = nn.ModuleList(
            nn.ModuleList(
                DynaSTBlock(
                    width,
                    position,
                    max(8, width // 4),
                    config.condition_channels,
                    config.style_hidden,
                    config.tau,
                    config.norm,
                    config.pruning,
                    config.once,
                )
                for _ in range(config.blocks)
            )
            for width, position in list(zip(config.widths, positions, strict=True))[:matching]
        )
        self.decoder = Decoder(config.widths)

    def forward(
        self,
        condition: Float[Tensor, "b cc h w"],
        exemplar: Float[Tensor, "b 3 h w"],
        exemplar_condition: Float[Tensor, "b cc h w"] | None = None,
        *,
        record: bool = True,
    ) -> Translation:
        """The image that has the structure of `condition` and the look of `exemplar`.

        condition, exemplar, exemplar_condition: S_tgt, I_ref and S_ref in [0, 1], all of one size: that of the config, or
            another multiple of the coarsest patch, for which the learnt positions are resized.
        record: True gives one match per block, coarse to fine: a `DenseMatch` each at the coarsest scale, then
            `SparseMatch`es; their weights are Ã (Eq. 7), and what a row lost was filled by SPADE (Eq. 8).
        Returned warps: one per block, by the weights of Eq. (12); a row that kept no link is mid grey.
        Raises ValueError when sizes or channels do not fit.
        """
        self._check(condition, exemplar, exemplar_condition)
        # Structures stay in [0, 1]: where a pose shows nothing, 35 channels of −1 would drown the three of the image.
        target = self.target_embedding(condition)
        reference = self.reference_embedding(torch.cat([exemplar_condition, exemplar * 2 - 1], dim=1))
        positions = self.positions(tuple(target[0].shape[-2:]))
        features, warps, matches, links = [], [], [], None
        for scale, blocks in enumerate(self.scales):
            x = target[scale]
            small = F.interpolate(exemplar, x.shape[-2:], mode="area") * 2 - 1
            for number, block in enumerate(blocks):
                index = self._candidates(links, first=number == 0)
                x, links = block(x, reference[scale], (positions[scale],) * 2, condition, index)
                warps.append((links.warp(small, self.config.released_mask) + 1) / 2)
                if record:
                    matches.append(links.pruned())
            features.append(x)
        image = self.decoder(features + target[len(features) :])
        return Translation(image, tuple(warps), tuple(matches))

    def _check(self, condition: Tensor, exemplar: Tensor, exemplar_condition: Tensor | None) -> None:
        if exemplar_condition is None:
            raise ValueError("got no exemplar_condition, expected the exemplar's structure: DynaST reads it beside the image")
        step = 2 ** (len(self.config.widths) - 1)
        height, width = condition.shape[-2:]
        if height % step or width % step:
            raise ValueError(f"got condition of {height} × {width}, expected multiples of {step}: resize or crop it")
        if height * width < max(2, self.config.top_k) * step**2:
            raise ValueError(
                f"got condition of {height} × {width}, expected at least {max(2, self.config.top_k)} patches of {step}² pixels "
                "for the coarsest scale to choose from: take larger images"
            )
        channels = self.config.condition_channels
        for name, tensor, count in (
            ("condition", condition, channels),
            ("exemplar", exemplar, 3),
            ("exemplar_condition", exemplar_condition, channels),
        ):
            expected = (len(condition), count, height, width)
            if tuple(tensor.shape) != expected:
                raise ValueError(
                    f"got {name} of shape {tuple(tensor.shape)}, expected {expected}: resize or repeat it, "
                    "or load a checkpoint trained for this kind of condition"
                )

    def _candidates(self, links: Links | None, first: bool) -> Tensor | None:
        """For the block that comes after the one with these links."""
        if links is None or (links.index is None and not first):
            return None
        weight = links.weight.detach()
        if links.index is None:
            best = top_candidates(weight, self.config.top_k)
        elif first or self.config.inner_scale:
            best = kept_candidates(weight, links.index, self.config.top_k, self.config.once)
        else:
            return links.index
        return (inter_scale if first else inner_scale)(best, links.query_size, links.key_size)
