"""The finaliser of SplitMix64 (Steele, Lea, Flood 2014) on int64 tensors, which wrap alike on every device.

What is random here and must not depend on the order in which it is asked for is a hash of what it is for.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

GOLDEN = 0x9E3779B97F4A7C15
"""2⁶⁴ over the golden ratio: steps of it visit all 64-bit integers evenly."""


def signed(value: int) -> int:
    """The integer modulo 2⁶⁴, written as torch writes int64."""
    return (value + 2**63) % 2**64 - 2**63


def mix(bits: Int[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
    """Another 64-bit integer for each; every bit depends on every bit."""
    bits = bits + signed(GOLDEN)
    bits = (bits ^ _shift(bits, 30)) * signed(0xBF58476D1CE4E5B9)
    bits = (bits ^ _shift(bits, 27)) * signed(0x94D049BB133111EB)
    return bits ^ _shift(bits, 31)


def counted(key: Int[Tensor, " b"], total: int) -> Int[Tensor, "b total"]:
    """`total` 64-bit integers for each key."""
    counter = torch.tensor([signed((i + 1) * GOLDEN) for i in range(total)], dtype=torch.int64, device=key.device)
    return mix(key[:, None] + counter)


def unit(bits: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The upper 53 bits as a number in [0, 1), float64."""
    return _shift(bits, 11).double() * 2.0**-53


def _shift(bits: Tensor, by: int) -> Tensor:
    """A right shift that fills with zeros; torch's own repeats the sign."""
    return (bits >> by) & (2 ** (64 - by) - 1)
