"""Curves of operations that round alike in every batch: a wave, a step, an angle."""

import torch
from torch import Tensor


def wave(x: Tensor) -> Tensor:
    """A triangle wave: 1 at whole numbers, 0 halfway."""
    return (x - x.floor() - 0.5).abs() * 2


def step(x: Tensor, softness: float) -> Tensor:
    """0 below, 1 above zero, over a width of `softness`."""
    return (x * (1 / softness) + 0.5).clamp(0, 1)


def positive(x: Tensor) -> Tensor:
    """1 where x > 0, else 0; exact unless |x| < 1e-30."""
    return (x * 1e30).clamp(0, 1)


def turn_of(sin: Tensor, cos: Tensor) -> Tensor:
    """The angle of (sin, cos) as a fraction of half a turn, in [−1, 1]; a polynomial, right to 3e-6, of operations that round
    alike."""
    beside, ahead = sin.abs(), cos.abs()
    a = torch.minimum(beside, ahead) / torch.maximum(beside, ahead).clamp_min(1e-12)
    q = a * a
    angle = a * (0.99997726 + q * (-0.33262347 + q * (0.19354346 + q * (-0.11643287 + q * (0.05265332 - q * 0.01172120)))))
    angle = angle + positive(beside - ahead) * (1.5707963 - 2 * angle)
    angle = angle + positive(-cos) * (3.1415927 - 2 * angle)
    return angle * ((sin + 1e-20) * 1e30).clamp(-1, 1) * 0.31830987
