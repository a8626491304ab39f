"""Random numbers per point of the plane: cheap hashes of whole coordinates, the same in every batch and on every device."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.data.seeds import fold


def seed_of(key: Int[Tensor, " b"], name: str) -> Int[Tensor, " b"]:
    """A 32-bit seed for `hashed`, one per sample."""
    return fold(key, name).bitwise_and(0x7FFFFFFF).int()


def hashed(seed: Int[Tensor, "..."], x: Int[Tensor, "..."], y: Int[Tensor, "..."], salt: int = 0) -> Float[Tensor, "..."]:
    """A number in [0, 1) for each whole point (x, y), unrelated to its neighbours; int32 in, float32 out.

    Multiplications wrap alike on every device; the shifts are of numbers made positive first, because torch repeats the sign.
    """
    bits = x * 374761393 + y * 668265263 + (seed + salt * 1013904223)
    bits = (bits ^ ((bits >> 15) & 0x1FFFF)) * 739982445
    bits = (bits ^ ((bits >> 12) & 0xFFFFF)) * 695872825
    return ((bits >> 9) & 0x3FFFFF).float() * 2.0**-22


def noise(seed: Int[Tensor, "..."], x: Float[Tensor, "..."], y: Float[Tensor, "..."], salt: int = 0) -> Float[Tensor, "..."]:
    """Smooth noise in [0, 1) with one independent value per unit square: lattice values joined by cubic steps."""
    left, top = x.floor(), y.floor()
    u, v = x - left, y - top
    u, v = u * u * (3 - 2 * u), v * v * (3 - 2 * v)
    left, top = left.int(), top.int()
    a, b = hashed(seed, left, top, salt), hashed(seed, left + 1, top, salt)
    c, d = hashed(seed, left, top + 1, salt), hashed(seed, left + 1, top + 1, salt)
    upper, lower = a + (b - a) * u, c + (d - c) * u
    return upper + (lower - upper) * v


def clouds(
    seed: Int[Tensor, "..."], x: Float[Tensor, "..."], y: Float[Tensor, "..."], octaves: int = 3
) -> Float[Tensor, "..."]:
    """Noise on noise half as large and half as strong, around 0.5; within [0, 1)."""
    total, weight, sum_ = 0.0, 1.0, 0.0
    for octave in range(octaves):
        total = total + weight * noise(seed, x * 2**octave + 17 * octave, y * 2**octave, octave)
        weight, sum_ = weight / 2, sum_ + weight
    return total / sum_


def noise_map(
    seed: Int[Tensor, " b"], size: int, across: float | int, down: float | int, salt: int = 0, start: float = 0.0
) -> Float[Tensor, "b 1 h w"]:
    """`noise` at (across · x + start, down · y) for the pixel centres (x, y) of a picture: the same values for a tenth
    of the work, because lattice values are drawn once each."""
    at = (torch.arange(size, device=seed.device) + 0.5) / size
    (column, u), (row, v) = ((t.floor().int(), t - t.floor()) for t in (at * across + start, at * down))
    u, v = u * u * (3 - 2 * u), v * v * (3 - 2 * v)
    first_x, last_x, last_y = int(start), int(start + across) + 2, int(down) + 2
    x = torch.arange(first_x, last_x, device=seed.device, dtype=torch.int32)
    y = torch.arange(0, last_y, device=seed.device, dtype=torch.int32)
    lattice = hashed(seed[:, None, None], x, y[:, None], salt)
    left = lattice.index_select(2, column - first_x)
    wide = left + (lattice.index_select(2, column - first_x + 1) - left) * u
    upper = wide.index_select(1, row)
    return torch.add(upper, (wide.index_select(1, row + 1) - upper) * v[:, None])[:, None]


def clouds_map(
    seed: Int[Tensor, " b"], size: int, across: float | int, down: float | int, octaves: int = 3
) -> Float[Tensor, "b 1 h w"]:
    """`clouds` at (across · x, down · y) for the pixel centres of a picture, in sides."""
    total, weight, sum_ = 0.0, 1.0, 0.0
    for octave in range(octaves):
        scale = 2**octave
        total = total + weight * noise_map(seed, size, across * scale, down * scale, octave, 17.0 * octave)
        weight, sum_ = weight / 2, sum_ + weight
    return total / sum_
