"""Random numbers by counting: a number is a hash of (version, split, index, name), so no sample depends on another or on the
order.

Numbers are float64: what is computed from them and then rounded to float32 is the same in any batch, though a vectorised
sine is not.
"""

import zlib

import torch
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.ops.hashing import GOLDEN, counted, mix, signed, unit

SPLITS = {"train": 1, "val": 2, "test": 3, "ood": 4}
"""ood: out of distribution, with patterns, palettes and pairs of classes that the other three never show."""


def sample_keys(version: int, split: str, index: Int[Tensor, " b"]) -> Int[Tensor, " b"]:
    """One 64-bit key per sample. Raises ValueError for an unknown split."""
    if split not in SPLITS:
        raise ValueError(f"got split {split!r}, expected one of {', '.join(SPLITS)}: choose one of these")
    return mix(mix(index.long() + signed(version * GOLDEN)) + signed(SPLITS[split] * GOLDEN))


def fold(key: Int[Tensor, " b"], name: str) -> Int[Tensor, " b"]:
    """A new key for the purpose `name`, unrelated to the old one."""
    return mix(key ^ signed(zlib.crc32(name.encode()) * GOLDEN))


def uniform(
    key: Int[Tensor, " b"], name: str, shape: tuple[int, ...] = (), low: float = 0.0, high: float = 1.0
) -> Float[Tensor, "b ..."]:
    """Numbers in [low, high) for the purpose `name`, float64, one set of `shape` per key."""
    total = 1
    for side in shape:
        total *= side
    return (low + (high - low) * unit(counted(fold(key, name), total))).reshape(-1, *shape)


def choose(key: Int[Tensor, " b"], name: str, weights: tuple[float | int, ...]) -> Int[Tensor, " b"]:
    """An integer 0 … len(weights) − 1 per key, drawn in proportion to `weights`."""
    edges = torch.tensor(weights, dtype=torch.float64).cumsum(0)
    edges = (edges / edges[-1])[:-1].to(key.device)
    return (uniform(key, name)[:, None] >= edges).long().sum(1)
