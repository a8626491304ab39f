"""Two images of different kinds, brought into one domain S where they can be compared (CoCosNet Sec. 3.1, Table 5)."""

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from exemplar_lab.nn.blocks import ResidualBlock, conv
from exemplar_lab.ops.modulation import positional_norm


class DomainAdaptor(nn.Module):
    """Eq. (1), (2) of [CoCosNet]: x_S = F_{A→S}(x_A) and y_S = F_{B→S}(y_B), one such network each, no weights shared.

    convolutions: (width, stride) of each Conv-InstanceNorm-LeakyReLU; blocks: widths of the residual blocks after them.
    The last layer normalises every position over its channels, so that Eq. (9) cannot be met by making everything small.
    The appendix also says "synchronous batch normalization within this sub-network"; Table 5's text names InstanceNorm, which
    is used, and which makes an image's features independent of the batch it stands in.
    Released code: SPADE residual blocks conditioned on the raw input instead of these plain ones, and the last layer only
    scales each position to length one.
    """

    def __init__(self, inputs: int, convolutions: tuple[tuple[int, int], ...], blocks: tuple[int, ...]):
        super().__init__()
        widths = [inputs, *(width for width, _ in convolutions)]
        layers = []
        for (before, after), (_, stride) in zip(pairwise(widths), convolutions, strict=True):
            kernel = 4 if stride == 2 else 3
            layers += [conv(before, after, kernel, stride, bias=False), nn.InstanceNorm2d(after), nn.LeakyReLU(0.2)]
        layers += [ResidualBlock(before, after) for before, after in pairwise([widths[-1], *blocks])]
        self.layers = nn.Sequential(*layers)

    def forward(self, image: Float[Tensor, "b i h w"]) -> Float[Tensor, "b c hs ws"]:
        return positional_norm(self.layers(image))


def shared_block(width: int, outputs: int, blocks: int) -> nn.Module:
    """The adaptive feature block that both sides pass after S: residual blocks and a 1×1 convolution (Table 5)."""
    return nn.Sequential(*(ResidualBlock(width, width) for _ in range(blocks)), conv(width, outputs, kernel=1))
