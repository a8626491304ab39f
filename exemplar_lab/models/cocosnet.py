"""CoCosNet: a dense correspondence between a structure and an exemplar, and an image made from the warped exemplar."""

from dataclasses import asdict, dataclass
from itertools import pairwise
from math import lcm, prod
from typing import get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from exemplar_lab.models.config import check_settings
from exemplar_lab.nn.blocks import NonLocal, conv, upsample
from exemplar_lab.nn.domain import DomainAdaptor, shared_block
from exemplar_lab.nn.spade import Normalisation, SpadeResidualBlock
from exemplar_lab.ops.correlation import Centring, correlation_warp, cosine_score, normalise, softmax_match
from exemplar_lab.translation import Translation


@dataclass(frozen=True)
class CoCosNetConfig:
    """The widths of Table 5; the defaults are the paper's.

    size: side of the image. condition_channels: channels of x_A.
    adaptor_convolutions: (width, stride) of each; strides of 2 take the image down to the grid of the match (256 → 64).
    adaptor_blocks: widths of the residual blocks after them; the last is the width of S.
    generator_blocks: (width, upsample before it?) of each of the residual blocks. nonlocal_after: how many of them stand before
        the non-local block, or None for no such block.
    centring: over "channel" (the paper) or over "space" (its Fig. 19). patch: odd side of what is compared.
    norm: "position" or "batch" (Fig. 18).
    style_sees_condition: SPADE reads [warp, condition]; in Eq. (7) it reads the warp alone.
    exemplar_sees_condition: the exemplar's adaptor sees the exemplar's own condition beside the image: its label map during the
        warm-up of App. E (noise after it), or its edges for good, which any photograph has.
    Released code: patch 3, style_sees_condition True.
    Raises ValueError for settings that make no network.
    """

    size: int = 256
    condition_channels: int = 3
    adaptor_convolutions: tuple[tuple[int, int], ...] = ((64, 1), (128, 2), (256, 1), (512, 2), (512, 1))
    adaptor_blocks: tuple[int, ...] = (512, 512, 256)
    shared_blocks: int = 4
    match_channels: int = 256
    temperature: float = 0.01
    centring: Centring = "channel"
    patch: int = 1
    generator_blocks: tuple[tuple[int, bool], ...] = (
        (1024, False),
        (1024, True),
        (1024, False),
        (512, True),
        (256, True),
        (128, True),
        (64, True),
    )
    nonlocal_after: int | None = 5
    style_hidden: int = 128
    norm: Normalisation = "position"
    style_sees_condition: bool = False
    exemplar_sees_condition: bool = False

    def __post_init__(self):
        step = lcm(prod(stride for _, stride in self.adaptor_convolutions), 2 ** sum(up for _, up in self.generator_blocks))
        blocks = len(self.generator_blocks)
        check_settings(
            "CoCosNetConfig",
            (
                (self.size > 0 and self.size % step == 0, f"size {self.size}", f"a multiple of {step}"),
                (self.patch > 0 and self.patch % 2 == 1, f"patch {self.patch}", "an odd number"),
                (self.temperature > 0, f"temperature {self.temperature}", "a number above 0"),
                (self.centring in get_args(Centring), f"centring {self.centring!r}", f"one of {', '.join(get_args(Centring))}"),
                (self.norm in get_args(Normalisation), f"norm {self.norm!r}", f"one of {', '.join(get_args(Normalisation))}"),
                (
                    self.nonlocal_after is None or 0 < self.nonlocal_after < blocks,
                    f"nonlocal_after {self.nonlocal_after}",
                    f"None or a number from 1 to {blocks - 1}, so that a block comes before and after it",
                ),
            ),
        )

    @property
    def match_size(self) -> tuple[int, int]:
        side = self.size
        for _, stride in self.adaptor_convolutions:
            side //= stride
        return side, side

    @property
    def code_size(self) -> int:
        return self.size // 2 ** sum(up for _, up in self.generator_blocks)

    def to_dict(self) -> dict:
        return asdict(self)


class CoCosNet(nn.Module):
    """The whole of the paper's Fig. 2. Built from `CoCosNetConfig`; see `forward`."""

    def __init__(self, config: CoCosNetConfig):
        super().__init__()
        self.config = config
        width = config.adaptor_blocks[-1]
        adaptor = (config.adaptor_convolutions, config.adaptor_blocks)
        self.condition_adaptor = DomainAdaptor(config.condition_channels, *adaptor)
        self.exemplar_adaptor = DomainAdaptor(3 + config.condition_channels * config.exemplar_sees_condition, *adaptor)
        self.shared = shared_block(width, config.match_channels, config.shared_blocks)
        self.generator = Generator(config)

    def forward(
        self,
        condition: Float[Tensor, "b cc h w"],
        exemplar: Float[Tensor, "b 3 h w"],
        exemplar_condition: Float[Tensor, "b cc h w"] | None = None,
        *,
        record: bool = True,
    ) -> Translation:
        """The image that has the structure of `condition` and the look of `exemplar`.

        condition, exemplar: in [0, 1], both of the size in the config.
        exemplar_condition: used only with `exemplar_sees_condition`: its label map while the mask warm-up lasts, noise after
            it; None stands for the mean of that noise, which is what a trained model expects.
        record: True gives the `DenseMatch` (h·w × h·w weights per sample); False the same image and warp in linear memory.
        Returned features: `adapted_condition` (x_S), and the unit vectors `query` and `key` that were matched.
        Raises ValueError when sizes or channels are not those of the config, or there are more of the one than of the other.
        """
        self._check(condition, exemplar, exemplar_condition)
        config = self.config
        adapted_condition = self.condition_adaptor(condition * 2 - 1)
        query = self._match_features(adapted_condition)
        key = self._match_features(self.adapt_exemplar(exemplar, exemplar_condition))
        small = F.interpolate(exemplar, config.match_size, mode="area")
        if record:
            match = softmax_match(cosine_score(query, key), config.match_size, config.match_size, config.temperature)
            matches, warp = (match,), match.warp(small)
        else:
            matches, warp = (), correlation_warp(query, key, small, config.match_size, config.temperature)
        features = {"adapted_condition": adapted_condition, "query": query, "key": key}
        return Translation(self.generator(self._style(warp, condition)), (warp,), matches, features)

    def adapt_exemplar(
        self, image: Float[Tensor, "b 3 h w"], condition: Float[Tensor, "b cc h w"] | None = None
    ) -> Float[Tensor, "b c hs ws"]:
        """y_S = F_{B→S}(y_B); also what Eq. (9) applies to the target."""
        image = image * 2 - 1
        if self.config.exemplar_sees_condition:
            if condition is None:
                condition = image.new_zeros(image.shape[0], self.config.condition_channels, *image.shape[-2:])
            image = torch.cat([image, condition], dim=1)
        return self.exemplar_adaptor(image)

    def _match_features(self, adapted: Tensor) -> Tensor:
        return normalise(self.shared(adapted), self.config.centring, self.config.patch)

    def _style(self, warp: Tensor, condition: Tensor) -> Tensor:
        """What the style encoders read, in [−1, 1], so that their zero padding is grey and not black."""
        if self.config.style_sees_condition:
            warp = torch.cat([F.interpolate(warp, condition.shape[-2:], mode="bilinear"), condition], dim=1)
        return warp * 2 - 1

    def _check(self, condition: Tensor, exemplar: Tensor, exemplar_condition: Tensor | None) -> None:
        inputs = [("condition", condition, self.config.condition_channels), ("exemplar", exemplar, 3)]
        if self.config.exemplar_sees_condition and exemplar_condition is not None:
            inputs.append(("exemplar_condition", exemplar_condition, self.config.condition_channels))
        for name, tensor, channels in inputs:
            expected = (channels, self.config.size, self.config.size)
            if tuple(tensor.shape[1:]) != expected:
                raise ValueError(
                    f"got {name} of shape (channels, height, width) = {tuple(tensor.shape[1:])}, expected {expected}: "
                    "resize it, or load a checkpoint trained for this size and kind of condition"
                )
            if len(tensor) != len(condition):
                raise ValueError(
                    f"got {len(condition)} of condition and {len(tensor)} of {name}, expected equally many: "
                    f"repeat a single one with {name}.expand({len(condition)}, -1, -1, -1)"
                )


class Generator(nn.Module):
    """Eq. (7) of [CoCosNet]: x̂ = G(z, T_i(r_{y→x})): a constant code, grown to an image, styled by the warp in every block.

    Released code: starts from a convolution of the down-sampled [warp, condition] in place of the constant code.
    """

    def __init__(self, config: CoCosNetConfig):
        super().__init__()
        widths = [width for width, _ in config.generator_blocks]
        style_channels = 3 + config.condition_channels * config.style_sees_condition
        noise = torch.Generator().manual_seed(0)
        self.register_buffer("code", torch.randn(1, widths[0], config.code_size, config.code_size, generator=noise))
        self.first = conv(widths[0], widths[0])
        self.blocks = nn.ModuleList(
            SpadeResidualBlock(before, after, style_channels, config.style_hidden, config.norm)
            for before, after in pairwise([widths[0], *widths])
        )
        self.last = conv(widths[-1], 3)
        self.nonlocal_block = NonLocal(widths[config.nonlocal_after - 1]) if config.nonlocal_after else None
        self.config = config

    def forward(self, style: Float[Tensor, "b s hq wq"]) -> Float[Tensor, "b 3 h w"]:
        x = self.first(self.code).expand(style.shape[0], -1, -1, -1)
        for i, (block, (_, up)) in enumerate(zip(self.blocks, self.config.generator_blocks, strict=True)):
            if i == self.config.nonlocal_after:
                # Table 5 lists the non-local block at 128², after the up-sampling that the sixth block begins with
                x = self.nonlocal_block(upsample(x) if up else x)
            elif up:
                x = upsample(x)
            x = block(x, style)
        return torch.sigmoid(2 * self.last(F.leaky_relu(x, 0.2)))
