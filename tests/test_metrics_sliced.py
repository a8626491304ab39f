"""The sliced Wasserstein distance: the recording of the released code, loops, merging, and what it can tell apart."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.stats import wasserstein_distance
from torch import Tensor

from exemplar_lab.metrics import sliced
from exemplar_lab.metrics.sliced import (
    directions,
    join_patches,
    laplacian_pyramid,
    patches,
    patches_at,
    sliced_distance,
    sliced_wasserstein,
    standardised,
)

quick = settings(max_examples=5)


def pictures(n: int, seed: int = 0, size: int = 32) -> Tensor:
    """Smooth noise with some contrast that differs from image to image."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, 3, size // 4, size // 4, generator=generator) * torch.rand(n, 1, 1, 1, generator=generator)
    return torch.nn.functional.interpolate(coarse, (size, size), mode="bilinear")


# The recording


def test_pyramid_equals_the_recording(parity):
    recorded = parity("eval_swd")
    levels = laplacian_pyramid(recorded["reals"].float())
    assert len(levels) == 3
    for n, level in enumerate(levels):
        torch.testing.assert_close(level, recorded[f"pyr{n}"], atol=1e-4, rtol=0)  # of 255


def test_distance_equals_the_recording(parity):
    """The released code's own draws from NumPy's global state: places of reals and then of fakes, four images at a time, x
    before y; then four times 128 directions for each level."""
    recorded = parity("eval_swd")
    np.random.seed(0)
    drawn: list[list[Tensor]] = []
    for name in ("reals", "fakes"):
        parts: list[list[Tensor]] = [[], [], []]
        for images in (recorded[name].float() / 255).split(4):
            for level, found in zip(laplacian_pyramid(images), parts, strict=True):
                x, y = (torch.from_numpy(np.random.randint(0, level.shape[-1] - 6, (len(images), 128))) for _ in range(2))
                found.append(patches_at(level, x, y).flatten(0, 1))
        drawn.append([standardised(torch.cat(found)) for found in parts])
    distances = []
    for real, fake in zip(*drawn, strict=True):
        direction = np.concatenate([np.random.randn(147, 128) for _ in range(4)], 1)
        direction /= np.linalg.norm(direction, axis=0)
        direction = direction.reshape(3, 7, 7, -1).swapaxes(1, 2).reshape(147, -1)  # its patches are turned: c, x, y
        distances.append(1000 * sliced_distance(real, fake, torch.from_numpy(direction).float()).item())
    assert distances == pytest.approx(recorded["out_swd"][:3].tolist(), rel=1e-4)
    assert np.mean(distances) == pytest.approx(recorded["out_swd"][3].item(), rel=1e-4)


def test_our_own_draws_come_close_to_the_recording(parity):
    """Eight images at other places: within four deviations of ten seeds."""
    recorded = parity("eval_swd")
    sets = [recorded[name].float() / 255 for name in ("reals", "fakes")]
    found = []
    for seed in range(10):
        pair = [patches(images, torch.arange(8), 2 * seed + n) for n, images in enumerate(sets)]
        found.append(sliced_wasserstein(*pair, seed=seed)[0])
    values = torch.stack(found)
    assert ((values.mean(0) - recorded["out_swd"][:3]).abs() < 4 * values.std(0)).all()


# Its parts against loops


@pytest.mark.parametrize("size", [(16, 16), (32, 48), (40, 64), (64, 100)])
def test_pyramid_equals_scipy_and_adds_up(size):
    image = torch.rand(2, 3, *size)
    levels = laplacian_pyramid(image)
    line = np.array([1, 4, 6, 4, 1]) / 16
    kernel = np.outer(line, line)[None, None]
    assert 16 <= min(levels[-1].shape[-2:]) < 32
    rest, taken = image.double().numpy(), []
    for _ in levels[1:]:
        coarse = ndimage.convolve(rest, kernel, mode="mirror")[..., ::2, ::2]
        spread = np.zeros_like(rest)
        spread[..., ::2, ::2] = coarse
        taken.append(rest - ndimage.convolve(spread, 4 * kernel, mode="mirror"))
        rest = coarse
    for level, expected in zip(levels, [*taken, rest], strict=True):
        np.testing.assert_allclose(level.numpy(), expected, atol=1e-6)


def test_patches_are_cut_where_they_say():
    level = torch.rand(2, 3, 20, 30)
    left, top = torch.tensor([[0, 23], [5, 11]]), torch.tensor([[13, 0], [2, 4]])
    found = patches_at(level, left, top)
    for b in range(2):
        for n in range(2):
            x, y = int(left[b, n]), int(top[b, n])
            assert torch.equal(found[b, n], level[b, :, y : y + 7, x : x + 7].flatten())


def test_places_are_uniform_and_reach_the_border():
    ramp = torch.arange(16.0)[:, None] * 100 + torch.arange(16.0)
    sample = patches(ramp.expand(200, 3, 16, 16), torch.arange(200))
    first = sample.value[0][0, :, 0]
    top, left = first // 100, first % 100
    for place in (top, left):
        share = torch.bincount(place.long(), minlength=10) / len(place)
        assert len(share) == 10 and (share - 0.1).abs().max() < 5 * math.sqrt(0.09 / len(place))
    assert abs(torch.corrcoef(torch.stack([top, left]))[0, 1]) < 0.05


def test_distance_is_the_mean_of_one_dimensional_ones():
    one, other = torch.randn(50, 147), torch.randn(50, 147) * 2 + 1
    direction = directions(147)
    torch.testing.assert_close(direction.norm(dim=0), torch.ones(512))
    expected = np.mean([wasserstein_distance(one @ along, other @ along) for along in direction.T])
    assert sliced_distance(one, other, direction).item() == pytest.approx(expected, rel=1e-5)


def test_each_channel_is_standardised_over_the_set():
    value = standardised(torch.rand(40, 147) * torch.arange(1, 148) + 5).unflatten(1, (3, 49))
    torch.testing.assert_close(value.mean((0, 2)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(value.std((0, 2), correction=0), torch.ones(3))


# Streaming


@quick
@given(st.permutations(range(10)), st.integers(1, 9), st.booleans())
def test_any_order_and_any_batches_give_the_same(order, cut, overfull):
    image, number = pictures(10), torch.arange(10) + 7
    chosen = torch.tensor(order)
    with pytest.MonkeyPatch.context() as patch:
        if overfull:
            patch.setattr(sliced, "KEPT", 300)
        patch.setattr(sliced, "DIRECTIONS", 64)
        whole = patches(image, number)
        parts = [patches(image[part], number[part]) for part in (chosen[:cut], chosen[cut:])]
        other = patches(pictures(10, 1), number, 1)
        expected = sliced_wasserstein(whole, other, 2)
        assert torch.equal(sliced_wasserstein(join_patches(parts), other, 2), expected)
        assert torch.equal(sliced_wasserstein(join_patches([join_patches(parts[:1]), parts[1]]), other, 2), expected)


def test_beyond_its_size_a_record_keeps_a_uniform_sample_of_all_images(monkeypatch):
    monkeypatch.setattr(sliced, "KEPT", 1000)
    sample = patches(pictures(1), torch.arange(1))
    most = 0
    for n in range(1, 60):
        sample = join_patches([sample, patches(pictures(1), torch.tensor([n]))])
        most = max(most, sum(map(len, sample.number)))
    assert sample.images == 60 and most <= 1250
    kept = sliced._trimmed(sample)
    share = torch.bincount(kept.number[0], minlength=60).double()
    assert share.sum() == 1000
    assert share.min() > 4 and share.max() < 35  # 16.7 on average, deviation 4


def test_a_replicate_is_the_distance_of_half_of_the_images(monkeypatch):
    """With as many directions the shortcut through the channels' projections equals the definition."""
    monkeypatch.setattr(sliced, "DIRECTIONS", 32)
    monkeypatch.setattr(sliced, "FEW_DIRECTIONS", 32)
    images, number = (pictures(12), pictures(12, 1)), torch.arange(12)
    samples = [patches(image, number, n) for n, image in enumerate(images)]
    found = sliced_wasserstein(*samples, draws=3, seed=5)
    times = sliced.half_times(number, 3, 5).long()
    for r in range(4):
        again = [number.repeat_interleave(times[r]) for _ in samples]
        repeated = []
        for image, which, n in zip(images, again, range(2), strict=True):
            parts = [patches(image[i : i + 1], torch.tensor([i]), n) for i in which.tolist()]
            repeated.append(torch.cat([part.value[0] for part in parts], 1))
        for level, (one, other) in enumerate(zip(*repeated, strict=True)):
            expected = 1000 * sliced_distance(standardised(one), standardised(other), directions(147, 5)).item()
            assert found[r, level].item() == pytest.approx(expected, rel=1e-3)


def test_sets_of_other_size_after_drawing_are_read_at_even_steps():
    one, other = torch.sort(torch.rand(2, 600)).values, torch.sort(torch.rand(2, 500) + 0.3).values
    expected = np.mean([wasserstein_distance(a, b) for a, b in zip(one, other, strict=True)])
    assert sliced._between(one, other).item() == pytest.approx(expected, abs=2e-3)
    assert sliced._between(other, one).item() == pytest.approx(expected, abs=2e-3)


# What it tells apart


def test_range_and_contrast_do_not_matter_and_structure_does():
    image, number = pictures(24), torch.arange(24)
    sample = patches(image, number)
    assert sliced_wasserstein(sample, sample).abs().max() == 0
    assert sliced_wasserstein(sample, patches(image * 255, number)).max() < 1e-2
    noisy = sliced_wasserstein(sample, patches(image + 0.2 * torch.randn_like(image), number, 1)).mean()
    alike = sliced_wasserstein(sample, patches(pictures(24, 2), number, 1)).mean()
    assert noisy > 1.5 * alike


def test_what_cannot_be_measured_is_refused(unchecked):
    few, many = patches(pictures(2), torch.arange(2)), patches(pictures(3), torch.arange(3))
    with pytest.raises(ValueError, match="got 2 and 3 images, expected as many"):
        sliced_wasserstein(few, many)
    with pytest.raises(ValueError, match="15 × 40, expected sides of at least 16"):
        laplacian_pyramid(torch.rand(1, 3, 15, 40))
    with pytest.raises(ValueError, match="resize to multiples of 4"):
        laplacian_pyramid(torch.rand(1, 3, 70, 70))
    with pytest.raises(ValueError, match="at least one"):
        join_patches([])
    with pytest.raises(ValueError, match="images of one size"):
        join_patches([few, patches(pictures(2, size=64), torch.arange(2))])


def test_replicates_are_the_measured_distance_and_a_change(monkeypatch):
    """Few directions give another distance than all of them, but much the same change when images are drawn again."""
    one, other = (patches(torch.rand(4, 3, 32, 32), torch.arange(4), seed) for seed in range(2))
    measured = sliced_wasserstein(one, other)
    monkeypatch.setattr(sliced, "_replicates", lambda *_: torch.tensor([5.0, 6.0, 4.5], dtype=torch.float64))
    drawn = sliced_wasserstein(one, other, draws=2)
    torch.testing.assert_close(drawn, measured + 1000 * torch.tensor([[0.0], [1.0], [-0.5]], dtype=torch.float64))
