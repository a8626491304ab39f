"""The exemplar's style, put into a generator position by position (CoCosNet Sec. 3.2)."""

from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from exemplar_lab.nn.blocks import conv
from exemplar_lab.ops.modulation import positional_norm, spade

Normalisation = Literal["position", "batch"]


class StyleEncoder(nn.Module):
    """Eq. (6) of [CoCosNet]: α, β = T(r; θ_T), two plain convolutions from the warped exemplar to scale and shift per position.

    style: r_{y→x} at any size; it is brought to `size` bilinearly (Table 5). The scale starts near 1 and the shift near 0.
    Released code: nearest neighbour instead of bilinear, reflection instead of zero padding, no spectral normalisation here.
    """

    def __init__(self, style_channels: int, width: int, hidden: int):
        super().__init__()
        self.shared = conv(style_channels, hidden)
        self.affine = conv(hidden, 2 * width)
        self.width = width

    def forward(
        self, style: Float[Tensor, "b s hq wq"], size: tuple[int, int]
    ) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, "b c h w"]]:
        style = F.interpolate(style, size, mode="bilinear", align_corners=False)
        scale, shift = self.affine(F.relu(self.shared(style))).chunk(2, dim=1)
        return 1 + scale, shift


class SpadeNorm(nn.Module):
    """Normalise, then modulate by the style: positional normalisation, or batch normalisation for the comparison of Fig. 18."""

    def __init__(self, width: int, style_channels: int, hidden: int, norm: Normalisation):
        super().__init__()
        self.norm = nn.BatchNorm2d(width, affine=False) if norm == "batch" else positional_norm
        self.style = StyleEncoder(style_channels, width, hidden)

    def forward(self, x: Float[Tensor, "b c h w"], style: Float[Tensor, "b s hq wq"]) -> Float[Tensor, "b c h w"]:
        return spade(self.norm(x), *self.style(style, x.shape[-2:]))


class SpadeResidualBlock(nn.Module):
    """past(x) + conv(LReLU(SPADE(conv(LReLU(SPADE(x)))))): the residual block of [SPADE], as Table 5 uses it.

    Table 5 counts one style encoder per block; the SPADE block that the text cites normalises once before each of its
    convolutions, and each normalisation has its own encoder here, as in the released code.
    Released code: reflection padding here too, and no bias on the way past; else the same numbers from the same weights.
    """

    def __init__(self, inputs: int, outputs: int, style_channels: int, hidden: int, norm: Normalisation = "position"):
        super().__init__()
        middle = min(inputs, outputs)
        self.norm_0 = SpadeNorm(inputs, style_channels, hidden, norm)
        self.conv_0 = conv(inputs, middle)
        self.norm_1 = SpadeNorm(middle, style_channels, hidden, norm)
        self.conv_1 = conv(middle, outputs)
        self.norm_past = SpadeNorm(inputs, style_channels, hidden, norm) if inputs != outputs else None
        self.conv_past = conv(inputs, outputs, kernel=1) if inputs != outputs else None

    def forward(self, x: Float[Tensor, "b c h w"], style: Float[Tensor, "b s hq wq"]) -> Float[Tensor, "b d h w"]:
        past = x if self.conv_past is None else self.conv_past(self.norm_past(x, style))
        x = self.conv_0(F.leaky_relu(self.norm_0(x, style), 0.2))
        return past + self.conv_1(F.leaky_relu(self.norm_1(x, style), 0.2))
