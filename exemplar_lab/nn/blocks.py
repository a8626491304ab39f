"""Layers that more than one network is built from."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from exemplar_lab.ops.correlation import attend


def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, bias: bool = True) -> nn.Module:
    """A convolution that keeps the size (divided by `stride`), spectrally normalised as all layers of CoCosNet are.

    bias: False where the next layer takes a constant per channel away again (InstanceNorm), so that no parameter is idle.
    """
    return spectral_norm(nn.Conv2d(inputs, outputs, kernel, stride, padding=(kernel - 1) // 2, bias=bias))


def upsample(feature: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
    """Twice the size, each value repeated."""
    return F.interpolate(feature, scale_factor=2, mode="nearest")


class ResidualBlock(nn.Module):
    """x + IN(conv(LReLU(IN(conv x)))), with a 1×1 convolution on the way past when the width changes."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.body = nn.Sequential(
            conv(inputs, outputs, bias=False),
            nn.InstanceNorm2d(outputs),
            nn.LeakyReLU(0.2),
            conv(outputs, outputs, bias=False),
            nn.InstanceNorm2d(outputs),
        )
        self.past = conv(inputs, outputs, kernel=1) if inputs != outputs else nn.Identity()

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        return self.past(x) + self.body(x)


class NonLocal(nn.Module):
    """Every position looks at every other (SAGAN): keys and values at half the size, a residual whose weight starts at 0.

    No biases: one on the keys would add the same to every score of a row, which the softmax does not see.
    The attention is exact and never holds its matrix, which at 128² would take 256 MB per image.
    """

    def __init__(self, width: int):
        super().__init__()
        self.query, self.key = conv(width, width // 8, 1, bias=False), conv(width, width // 8, 1, bias=False)
        self.value, self.out = conv(width, width // 2, 1, bias=False), conv(width // 2, width, 1, bias=False)
        self.gain = nn.Parameter(torch.zeros(()))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        maps = self.query(x), F.max_pool2d(self.key(x), 2), F.max_pool2d(self.value(x), 2)
        query, key, value = (f.flatten(2).transpose(1, 2) for f in maps)
        seen = attend(query.contiguous(), key.contiguous(), value.contiguous(), 1.0)
        return x + self.gain * self.out(seen.transpose(1, 2).unflatten(2, x.shape[-2:]))
