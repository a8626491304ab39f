"""Edges that a gradient can pass: Canny's steps, smoothing, slope, thinning and threshold, each of them made soft."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from kornia.filters import gaussian_blur2d
from torch import Tensor

FAINT = 1e-3
"""Slopes of this height are nothing: under roots and quotients it keeps gradients finite where the image is flat."""

_DIRECTIONS = ((1, 0), (1, 1), (0, 1), (-1, 1))
"""Steps (x, y) to a neighbour; the other neighbour lies opposite. Canny rounds to one of the four."""


def soft_edges(
    image: Float[Tensor, "b c h w"], sigma: float = 1.0, threshold: float = 0.1, crispness: float = 3.0, tie: float = 1.0
) -> Float[Tensor, "b 1 h w"]:
    """Edges of images in [0, 1], from 0 to 1, with a gradient everywhere: a drawing in lines of one or two pixels.

    Unchanged by a constant added to a channel, by a mirror and by a quarter turn. All channels count the same, so that red
    against a green of equal luminance is an edge.
    sigma: of the Gaussian that smooths first, in pixels; details much smaller are lost. threshold: the height of a step that
    becomes an edge of 1/2. crispness: how surely the pixel beside a line is suppressed, in logits: 3 is 0.95. tie: the logit by
    which two pixels that share a line stay, the step between them: 1 is 0.73, 0 is 0.5.
    """
    smooth = gaussian_blur2d(image, _kernel(sigma), (sigma, sigma), border_type="replicate")
    strength, along = steepest(_step_gain(sigma) * sobel(smooth))
    square = strength.square()
    # Across a smoothed step the strength is nearly a Gaussian of variance v = sigma² + 1/2, with (m − n) / (m + n) ≈ 1 / (4v).
    return thinned(strength, along, crispness * 4 * (sigma**2 + 0.5), tie) * square / (square + threshold**2)


def sobel(image: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c 2 h w"]:
    """Slope per pixel in x and in y by Sobel's filters; the border is repeated."""
    across = image.new_tensor([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8
    padded = F.pad(image, (1, 1, 1, 1), mode="replicate").flatten(0, 1)[:, None]
    return F.conv2d(padded, torch.stack([across, across.T])[:, None]).unflatten(0, image.shape[:2])


def steepest(slopes: Float[Tensor, "b c 2 h w"]) -> tuple[Float[Tensor, "b 1 h w"], Float[Tensor, "b 4 h w"]]:
    """How steep the channels are together, √(mean_c |∇c|²), and the share of that in each of four directions.

    The share of a direction u grows with (uᵀJu / tr J)⁴, J = mean_c ∇c∇cᵀ being the structure tensor, and all add up to one:
    nearly all of it lies in the direction nearest to the gradient. Unlike an angle it has no jump and knows no sign.
    """
    x, y = slopes.unbind(2)
    xx, yy, xy = ((one * other).mean(1, keepdim=True) for one, other in ((x, x), (y, y), (x, y)))
    energy = xx + yy + FAINT**2
    along = torch.cat([(u * u * xx + v * v * yy + 2 * u * v * xy) / (u * u + v * v) for u, v in _DIRECTIONS], dim=1)
    share = ((along + FAINT**2 / 2) / energy).square().square()
    return energy.sqrt() - FAINT, share / share.sum(1, keepdim=True)


def thinned(
    strength: Float[Tensor, "b 1 h w"], along: Float[Tensor, "b 4 h w"], sharpness: float, tie: float = 0.0
) -> Float[Tensor, "b 1 h w"]:
    """How far each position is the crest of an edge, 0 to 1: not weaker than its two neighbours across the edge.

    Beside a neighbour of strength n, strength m stays by σ(sharpness · (m − n) / (m + n) + tie). Both neighbours must let it;
    the four directions count by their share `along`. As sharpness grows this is Canny's suppression of what is no maximum.
    """
    height, width = strength.shape[-2:]
    padded = F.pad(strength, (1, 1, 1, 1), mode="replicate")

    def stays(x: int, y: int) -> Tensor:
        beside = padded[..., 1 + y : 1 + y + height, 1 + x : 1 + x + width]
        return torch.sigmoid(sharpness * (strength - beside) / (strength + beside + FAINT) + tie)

    crest = torch.cat([stays(x, y) * stays(-x, -y) for x, y in _DIRECTIONS], dim=1)
    return (crest * along).sum(1, keepdim=True)


def _kernel(sigma: float) -> int:
    return 2 * max(1, round(3 * sigma)) + 1


def _step_gain(sigma: float) -> float:
    """Height of a step over its largest slope once smoothed, which is the mean of two middle weights of the Gaussian."""
    reach = _kernel(sigma) // 2
    weight = torch.exp(-torch.arange(-reach, reach + 1, dtype=torch.float64).square() / (2 * sigma**2))
    return (2 * weight.sum() / (weight[reach] + weight[reach + 1])).item()
