"""Random numbers by counting: a number is a hash of (version, split, index, name), so no sample depends on another or on the
order.

The hash is the finaliser of SplitMix64 (Steele, Lea, Flood 2014) on int64 tensors, which wrap alike on every device. Numbers
are float64: what is computed from them and then rounded to float32 is the same in any batch, though a vectorised sine is not.
"""

import zlib

import torch
from jaxtyping import Float, Int
from torch import Tensor

SPLITS = {"train": 1, "val": 2, "test": 3, "ood": 4}
"""ood: out of distribution, with patterns, palettes and pairs of classes that the other three never show."""


def sample_keys(version: int, split: str, index: Int[Tensor, " b"]) -> Int[Tensor, " b"]:
    """One 64-bit key per sample. Raises ValueError for an unknown split."""
    if split not in SPLITS:
        raise ValueError(f"got split {split!r}, expected one of {', '.join(SPLITS)}: choose one of these")
    return _mix(_mix(index.long() + _signed(version * _GOLDEN)) + _signed(SPLITS[split] * _GOLDEN))


def fold(key: Int[Tensor, " b"], name: str) -> Int[Tensor, " b"]:
    """A new key for the purpose `name`, unrelated to the old one."""
    return _mix(key ^ _signed(zlib.crc32(name.encode()) * _GOLDEN))


def uniform(
    key: Int[Tensor, " b"], name: str, shape: tuple[int, ...] = (), low: float = 0.0, high: float = 1.0
) -> Float[Tensor, "b ..."]:
    """Numbers in [low, high) for the purpose `name`, float64, one set of `shape` per key."""
    total = 1
    for side in shape:
        total *= side
    counter = torch.tensor([_signed((i + 1) * _GOLDEN) for i in range(total)], device=key.device)
    bits = _mix(fold(key, name)[:, None] + counter)
    unit = _shift(bits, 11).double() * 2.0**-53
    return (low + (high - low) * unit).reshape(-1, *shape)


def choose(key: Int[Tensor, " b"], name: str, weights: tuple[float | int, ...]) -> Int[Tensor, " b"]:
    """An integer 0 … len(weights) − 1 per key, drawn in proportion to `weights`."""
    edges = torch.tensor(weights, dtype=torch.float64).cumsum(0)
    edges = (edges / edges[-1])[:-1].to(key.device)
    return (uniform(key, name)[:, None] >= edges).long().sum(1)


_GOLDEN = 0x9E3779B97F4A7C15


def _signed(value: int) -> int:
    """The integer modulo 2⁶⁴, written as torch writes int64."""
    return (value + 2**63) % 2**64 - 2**63


def _shift(bits: Tensor, by: int) -> Tensor:
    """A right shift that fills with zeros; torch's own repeats the sign."""
    return (bits >> by) & (2 ** (64 - by) - 1)


def _mix(bits: Tensor) -> Tensor:
    bits = bits + _signed(_GOLDEN)
    bits = (bits ^ _shift(bits, 30)) * _signed(0xBF58476D1CE4E5B9)
    bits = (bits ^ _shift(bits, 27)) * _signed(0x94D049BB133111EB)
    return bits ^ _shift(bits, 31)
