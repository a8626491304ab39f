"""How much an image looks like another, on the cells where the question makes sense."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from kornia.metrics import ssim
from torch import Tensor

from exemplar_lab.correspondence import Correspondence
from exemplar_lab.translation import Batch


def l1(image: Float[Tensor, "b c h w"], target: Float[Tensor, "b c h w"], keep: Bool[Tensor, "b h w"]) -> Float[Tensor, " b"]:
    """Mean absolute difference over the pixels of `keep` and the channels; NaN where it keeps none."""
    return _mean((image - target).abs(), keep)


def psnr(image: Float[Tensor, "b c h w"], target: Float[Tensor, "b c h w"], keep: Bool[Tensor, "b h w"]) -> Float[Tensor, " b"]:
    """Peak signal-to-noise ratio in dB over the pixels of `keep`, for images in [0, 1]; at most 100, where nothing differs."""
    return -10 * _mean((image - target).square(), keep).clamp_min(1e-10).log10()


def masked_ssim(
    image: Float[Tensor, "b c h w"], target: Float[Tensor, "b c h w"], keep: Bool[Tensor, "b h w"]
) -> Float[Tensor, " b"]:
    """Structural similarity (Gaussian window of 11, σ 1.5, mean over RGB) averaged over the pixels of `keep`.

    Outside `keep` the image takes the target's values first: nothing is known there, so a window is not blamed for it.
    """
    return _mean(ssim(torch.where(keep[:, None], image, target), target, window_size=11), keep)


def warp_scores(match: Correspondence, batch: Batch, visible: Bool[Tensor, "b hq wq"]) -> dict[str, Float[Tensor, " b"]]:
    """The exemplar warped by the match against the target, and the unwarped exemplar against it, on the query grid."""

    def resized(image: Tensor, size: tuple[int, int]) -> Tensor:
        return F.interpolate(image, size, mode="area")

    target = resized(batch.target, match.query_size)
    warp = match.warp(resized(batch.exemplar, match.key_size))
    scores = {
        "warp_l1": l1(warp, target, visible),
        "copy_l1": l1(resized(batch.exemplar, match.query_size), target, visible),
        "warp_psnr": psnr(warp, target, visible),
        "warp_ssim": masked_ssim(warp, target, visible),
    }
    truth = batch.truth
    if truth is not None and truth.target_albedo is not None and truth.exemplar_albedo is not None:
        albedo = resized(truth.target_albedo, match.query_size)
        warp = match.warp(resized(truth.exemplar_albedo, match.key_size))
        scores |= {
            "albedo_l1": l1(warp, albedo, visible),
            "copy_albedo_l1": l1(resized(truth.exemplar_albedo, match.query_size), albedo, visible),
            "albedo_psnr": psnr(warp, albedo, visible),
            "albedo_ssim": masked_ssim(warp, albedo, visible),
        }
    return scores


def _mean(value: Float[Tensor, "b c h w"], keep: Bool[Tensor, "b h w"]) -> Float[Tensor, " b"]:
    return torch.where(keep, value.mean(1), 0).flatten(1).sum(1) / keep.flatten(1).sum(1)
