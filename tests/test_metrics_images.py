"""L1, PSNR and SSIM against the implementations of torchmetrics and scikit-image."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import structural_similarity
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure
from torchmetrics.functional.regression import mean_absolute_error

from exemplar_lab.metrics.appearance import l1, masked_ssim, psnr
from exemplar_lab.metrics.structure import content_ssim, luminance

few = settings(max_examples=10)


def pair(seed: int = 0, height: int = 24, width: int = 31, noise: float = 0.2) -> tuple[torch.Tensor, torch.Tensor]:
    """Smooth images with some noise, in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(3, 3, 5, 6, generator=generator)
    target = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)
    return (target + noise * torch.randn(target.shape, generator=generator)).clamp(0, 1), target


def everywhere(image: torch.Tensor) -> torch.Tensor:
    return torch.ones_like(image[:, 0], dtype=torch.bool)


@few
@given(st.integers(0, 2**20), st.integers(12, 40), st.integers(12, 40), st.sampled_from([0.01, 0.1, 0.5]))
def test_the_same_as_torchmetrics_over_whole_images(seed, height, width, noise):
    """Borders too: both reflect the image there, at least 6 pixels of it."""
    image, target = pair(seed, height, width, noise)
    keep = everywhere(image)
    expected = [mean_absolute_error(one.flatten(), other.flatten()) for one, other in zip(image, target, strict=True)]
    torch.testing.assert_close(l1(image, target, keep), torch.stack(expected))
    expected = peak_signal_noise_ratio(image, target, data_range=1.0, reduction="none", dim=(1, 2, 3))
    torch.testing.assert_close(psnr(image, target, keep), expected)
    expected = structural_similarity_index_measure(image, target, data_range=1.0, reduction="none")
    torch.testing.assert_close(masked_ssim(image, target, keep), expected, atol=1e-4, rtol=0)
    expected = structural_similarity_index_measure(luminance(image), luminance(target), data_range=1.0, reduction="none")
    torch.testing.assert_close(content_ssim(image, target), expected, atol=1e-4, rtol=0)


def test_ssim_over_a_patch_is_that_of_an_image_that_differs_there_alone():
    """Against scikit-image's map, which treats borders otherwise, so the patch stays away from them."""
    image, target = (each.double() for each in pair(height=40, width=48))
    keep = torch.zeros_like(everywhere(image))
    keep[:, 11:-11, 11:-11] = True
    patched = torch.where(keep[:, None], image, target)
    window = {"win_size": 11, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    for i in range(3):
        one, other = patched[i].numpy(), target[i].numpy()
        _, quality = structural_similarity(one, other, channel_axis=0, data_range=1.0, full=True, **window)
        assert masked_ssim(image, target, keep)[i].item() == pytest.approx(quality[:, keep[i]].mean(), abs=1e-7)
        assert masked_ssim(patched, target, everywhere(image))[i].item() == pytest.approx(quality.mean(), abs=1e-7)
    assert (masked_ssim(image, target, everywhere(image)) < masked_ssim(patched, target, everywhere(image))).all()


def test_psnr_of_equal_images_is_100_where_torchmetrics_says_infinity():
    _, target = pair()
    assert psnr(target, target, everywhere(target)).tolist() == [100, 100, 100]
    assert peak_signal_noise_ratio(target, target, data_range=1.0).isinf()
    assert psnr(target, target + 1e-3, everywhere(target))[0].item() == pytest.approx(60, abs=1e-2)


def test_ssim_of_equal_images_is_one_and_of_opposite_ones_negative():
    image, target = pair()
    assert masked_ssim(target, target, everywhere(target)).tolist() == pytest.approx([1, 1, 1], abs=1e-5)
    contrary = 1 - target
    assert (masked_ssim(contrary, target, everywhere(target)) < 0.1).all()
    assert (masked_ssim(contrary, target, everywhere(target)) < masked_ssim(image, target, everywhere(target))).all()
