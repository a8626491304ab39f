"""Edges as the condition: the structure of a photograph without its look."""

from functools import reduce

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from kornia.filters import canny
from torch import Tensor

LOW, HIGH = 0.12, 0.3
"""Canny's two thresholds on kornia's Sobel magnitude after a blur of σ = 1 pixel, where a sharp step from black to white gives
2.6: an edge starts at a step of 0.12 (HIGH) and is followed down to one of 0.05 (LOW)."""

REACH = 8
"""The nearness map falls to 0 at 1/8 of the side: 8 pixels at 64², so that most flat regions still know their nearest edge."""

CHANNELS = 2


def canny_edges(image: Float[Tensor, "b 3 h w"], low: float = LOW, high: float = HIGH) -> Float[Tensor, "b 1 h w"]:
    """Canny edges of images in [0, 1], one pixel wide: 1 on an edge, 0 elsewhere. No gradient flows through them."""
    candidates = canny(image.detach(), low, high, hysteresis=False)[1]
    return _track(candidates > 0, candidates == 1).to(image.dtype)


def nearness(edges: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
    """max(0, 1 − d / reach), d the exact Euclidean distance to the nearest edge, reach = min(h, w) / REACH, both in pixels."""
    height, width = edges.shape[-2:]
    reach = max(1, min(height, width) // REACH)
    steps = range(-reach, reach + 1)
    # Squared distances separate: the nearest edge along the column first, then the nearest of those along the row.
    far = F.pad(torch.where(edges > 0, 0.0, torch.inf), [reach] * 4, value=torch.inf)
    column = reduce(torch.minimum, (far[..., reach + by : reach + by + height, :] + by * by for by in steps))
    square = reduce(torch.minimum, (column[..., reach + by : reach + by + width] + by * by for by in steps))
    return (1 - square.sqrt() / reach).clamp_min(0)


def edge_condition(image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 2 h w"]:
    """What a model is given: the edges, and their nearness map.

    A one-pixel line covers a sixth of the pixels and fades when it is averaged down to the correlation grid; the nearness map
    stays, and tells a network of small receptive field which way the structure lies. A network that sees far has no need of it:
    in 300 steps of supervised matching at 64², edges, nearness and both reached PCK@0.1 of 0.53, 0.52 and 0.52 on the
    photographs held out (mean of two seeds, which differ by as much as 0.05).

    Released code: CoCosNet's edge channels are distances min(d / 3, 255) / 255 in city blocks, beside the binary edges.
    """
    edges = canny_edges(image)
    return torch.cat([edges, nearness(edges)], dim=1)


def _track(weak: Bool[Tensor, "b 1 h w"], strong: Bool[Tensor, "b 1 h w"]) -> Bool[Tensor, "b 1 h w"]:
    """Hysteresis: the weak pixels that touch a strong one, and those that touch these, until nothing changes.

    kornia does the same with eight convolutions per round, which takes 10 to 25 times as long as all the rest of Canny.
    """
    while True:
        row = strong.clone()
        row[..., 1:] |= strong[..., :-1]
        row[..., :-1] |= strong[..., 1:]
        grown = row.clone()
        grown[..., 1:, :] |= row[..., :-1, :]
        grown[..., :-1, :] |= row[..., 1:, :]
        grown &= weak
        if torch.equal(grown, strong):
            return strong
        strong = grown
