"""How much of a content a stylised image still shows: Fig. 8 of [DynaST] asks, and its word "undistorted"."""

from collections.abc import Mapping

from jaxtyping import Float
from kornia.metrics import ssim
from torch import Tensor

from exemplar_lab.metrics.tables import summarise
from exemplar_lab.ops.edges import sobel

_LUMINANCE = (0.299, 0.587, 0.114)
"""Of Rec. 601."""


def content_ssim(image: Float[Tensor, "b 3 h w"], content: Float[Tensor, "b 3 h w"]) -> Float[Tensor, " b"]:
    """Structural similarity of the luminances (Gaussian window of 11, σ 1.5): 1 where nothing but colour changed."""
    return ssim(luminance(image), luminance(content), window_size=11).flatten(1).mean(1)


def edge_correlation(image: Float[Tensor, "b 3 h w"], content: Float[Tensor, "b 3 h w"]) -> Float[Tensor, " b"]:
    """Pearson's correlation of the lengths of the luminance's gradients (Sobel): 1 where all edges stay where they are and keep
    their relative strength, whatever became of brightness and contrast; NaN for an image without edges."""
    one, other = (edge_strength(luminance(each)).flatten(1) for each in (image, content))
    one, other = (each - each.mean(1, keepdim=True) for each in (one, other))
    return (one * other).sum(1) / (one.square().sum(1) * other.square().sum(1)).sqrt()


def edge_strength(grey: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
    """The length of the gradient per pixel, by Sobel's filters; the border is repeated."""
    return sobel(grey).square().sum(2).sqrt()


def luminance(image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 h w"]:
    """Y of Rec. 601."""
    return (image * image.new_tensor(_LUMINANCE)[:, None, None]).sum(1, keepdim=True)


def dominated(
    rows: Mapping[str, Mapping[str, Float[Tensor, " n"]]], name: str, higher: str = "content_ssim", lower: str = "style_loss"
) -> dict[str, str]:
    """Which of the other rows are better than the row `name` in one number and not worse in the other; none: a Pareto front.

    rows: {row: {number: one value per image}} over the same images; `higher` is better when higher, `lower` when lower.
    Answers {row: "surely" or "in the mean"}: surely, when the 95 % intervals of both paired differences exclude zero.
    """
    found = {}
    for other, numbers in rows.items():
        if other == name:
            continue
        gains = {
            "higher": numbers[higher] - rows[name][higher],
            "lower": rows[name][lower] - numbers[lower],
        }
        gain = summarise([gains])
        means = [gain[one]["mean"] for one in gains]
        if min(means) >= 0 and max(means) > 0:
            found[other] = "surely" if all(gain[one]["mean"] > gain[one]["half_width"] for one in gains) else "in the mean"
    return found
