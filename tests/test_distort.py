"""Distortions: where every pixel went must be exact, because everything measured on pseudo exemplars leans on it."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import RBFInterpolator

from exemplar_lab.data import distort
from exemplar_lab.data.distort import (
    exemplar_to_target,
    pixel_centres,
    pseudo_exemplar,
    random_distortion,
    random_flow,
    target_to_exemplar,
)
from exemplar_lab.grid import sample_at
from exemplar_lab.translation import Batch, Truth

SEEDS = torch.arange(40)


def smooth_image(batch: int, size: tuple[int, int]) -> torch.Tensor:
    """Waves of several pixels, which bilinear reading hardly blurs."""
    xy = pixel_centres(size)
    waves = torch.stack([torch.sin(xy[:, 0] * a + xy[:, 1] * b) for a, b in ((0.2, 0.05), (-0.1, 0.2), (0.15, 0.15))], dim=1)
    return (0.5 + 0.4 * waves).expand(batch, -1, -1, -1)


def make_batch(batch: int, size: tuple[int, int], truth: Truth | None = None) -> Batch:
    target = smooth_image(batch, size)
    return Batch(target[:, :2], target, target.flip(0), target[:, :2].flip(0), torch.zeros(batch, dtype=torch.bool), truth)


def round_trip(seeds: torch.Tensor, size: tuple[int, int], strength: float) -> float:
    distortion = random_distortion(seeds, size, strength)
    centres = pixel_centres(size)
    there, _ = target_to_exemplar(distortion, centres)
    return (exemplar_to_target(distortion, there) - centres).abs().max().item()


@given(seed=st.integers(-(2**63), 2**63 - 1), strength=st.floats(0, 4), size=st.sampled_from([(32, 32), (64, 64), (24, 48)]))
def test_round_trip_is_exact(seed, strength, size):
    assert round_trip(torch.tensor([seed]), size, strength) < 0.003


def test_round_trip_is_exact_at_full_size():
    assert round_trip(SEEDS[:12], (256, 256), strength=2.0) < 0.01


@pytest.mark.parametrize("strength", [1.0, 3.0])
def test_never_folds(strength):
    mirrored = random_distortion(SEEDS, (64, 64), strength, flip=1.0)
    upright = random_distortion(SEEDS, (64, 64), strength, flip=0.0)
    centres = pixel_centres((64, 64))
    assert (target_to_exemplar(upright, centres)[1] > 0).all()
    assert (target_to_exemplar(mirrored, centres)[1] < 0).all()


def test_spline_is_the_thin_plate_spline_of_scipy(monkeypatch):
    monkeypatch.setattr(distort, "STEEPEST", 1e9)
    size = (60, 80)
    distortion = random_distortion(torch.tensor([3]), size, 1.5, flip=1.0)
    knots = distort._KNOTS.numpy()
    moves = distort.uniform(torch.tensor([3]), "bend", (2, 16), -distort.BEND, distort.BEND)[0].numpy().T * 1.5
    point = (pixel_centres(size)[0].flatten(1).T.double().numpy() - [40, 30]) / 40
    bent = point + RBFInterpolator(knots, moves, kernel="thin_plate_spline", degree=1)(point)
    expected = (bent @ distortion.linear[0].double().numpy().T + distortion.shift[0].numpy()) * 40 + [40, 30]
    got = exemplar_to_target(distortion, pixel_centres(size))[0].flatten(1).T
    np.testing.assert_allclose(got, expected, atol=1e-3)


def test_slope_is_the_derivative_of_the_bend_and_stays_below_its_bound():
    spline = random_distortion(SEEDS, (64, 64), strength=1.0).spline.double()
    point = (3 * torch.rand(len(SEEDS), 2, 500, dtype=torch.float64) - 1.5).requires_grad_()
    offset = point[:, None] - distort._KNOTS[..., None]
    square = offset.square().sum(2)
    bend = distort._bend(spline, point, square, square.log())
    derivative = torch.stack([torch.autograd.grad(bend[:, i].sum(), point, retain_graph=True)[0] for i in (0, 1)], dim=1)
    slope = distort._slope(spline, point.detach(), distort._to_knots(point.detach())[1])
    torch.testing.assert_close(slope, derivative, atol=1e-6, rtol=0)
    steepest = slope.square().sum((1, 2)).sqrt().amax(1)
    assert steepest.max() < 1.05 * distort.STEEPEST and steepest.min() > 0.1


def test_determinant_is_that_of_the_flow():
    distortion = random_distortion(SEEDS[:8], (64, 64), 2.0)
    centres, step = pixel_centres((64, 64)), 0.5
    across, down = torch.tensor([step, 0])[:, None, None], torch.tensor([0, step])[:, None, None]
    x = (target_to_exemplar(distortion, centres + across)[0] - target_to_exemplar(distortion, centres - across)[0]) / (2 * step)
    y = (target_to_exemplar(distortion, centres + down)[0] - target_to_exemplar(distortion, centres - down)[0]) / (2 * step)
    determinant = target_to_exemplar(distortion, centres)[1]
    torch.testing.assert_close(x[:, 0] * y[:, 1] - x[:, 1] * y[:, 0], determinant, rtol=0.02, atol=0.02)


def test_strength_zero_is_identity_or_mirror():
    batch = make_batch(2, (32, 48))
    same = pseudo_exemplar(batch, SEEDS[:2], strength=0.0, flip=0.0)
    torch.testing.assert_close(same.exemplar, batch.target, atol=1e-4, rtol=0)
    torch.testing.assert_close(same.truth.flow, pixel_centres((32, 48)).expand(2, -1, -1, -1), atol=1e-4, rtol=0)
    mirror = pseudo_exemplar(batch, SEEDS[:2], strength=0.0, flip=1.0)
    torch.testing.assert_close(mirror.exemplar, batch.target.flip(-1), atol=1e-4, rtol=0)
    for truth in (same.truth, mirror.truth):
        assert truth.visible.all()
        torch.testing.assert_close(truth.count, torch.ones(2, 32, 48))


def test_flip_happens_as_often_as_asked():
    mirrored = random_distortion(torch.arange(2000), (16, 16), flip=0.3).linear.det() < 0
    assert 0.26 < mirrored.float().mean() < 0.34


@pytest.mark.parametrize("size", [(64, 64), (48, 96)])
def test_warping_the_exemplar_gives_the_target(size):
    pair = pseudo_exemplar(make_batch(16, size), SEEDS[:16])
    visible = pair.truth.visible[:, None].expand_as(pair.target)
    error = (sample_at(pair.exemplar, pair.truth.flow) - pair.target).abs()[visible]
    assert error.mean() < 0.005
    assert (pair.exemplar - pair.target).abs()[visible].mean() > 0.1
    condition = (sample_at(pair.exemplar_condition, pair.truth.flow) - pair.condition).abs()
    assert condition[pair.truth.visible[:, None].expand_as(condition)].mean() < 0.005
    assert pair.paired.all()
    assert 0.5 < pair.truth.visible.float().mean() < 0.98


def test_count_measures_the_exemplar():
    size = (64, 64)
    distortion = random_distortion(SEEDS, size)
    source = exemplar_to_target(distortion, pixel_centres(size, per_pixel=2))
    inside = ((source > 0) & (source < 64)).all(1).float().sum((1, 2)) / 4
    truth = pseudo_exemplar(make_batch(len(SEEDS), size), SEEDS).truth
    torch.testing.assert_close(truth.count.sum((1, 2)), inside, rtol=0.02, atol=20)
    assert (truth.count[~truth.visible] == 0).all()


def test_a_sample_depends_on_its_seed_alone():
    state = torch.get_rng_state()
    together = random_flow(SEEDS, (64, 64))
    alone = random_flow(SEEDS[7:8], (64, 64))
    assert torch.equal(torch.get_rng_state(), state)
    torch.testing.assert_close(together[7:8], alone, atol=1e-4, rtol=0)
    assert (together[1:] - together[:-1]).abs().flatten(1).amax(1).min() > 1


def test_parts_uv_keypoints_and_albedo_follow():
    size = (64, 64)
    part = torch.zeros(2, *size, dtype=torch.long)
    part[:, 10:40, 15:40] = 5
    keypoints = torch.tensor([[20.0, 30.0], [15.0, 12.0]] + [[torch.nan, torch.nan]] * 16).expand(2, -1, -1)
    uv = torch.stack([part, -part], dim=1).float()
    albedo = smooth_image(2, size) / 2
    nothing = torch.zeros(2, 2, *size), torch.zeros(2, *size, dtype=torch.bool)
    known = Truth(*nothing, target_albedo=albedo, target_part=part, target_uv=uv, target_keypoints=keypoints)
    pair = pseudo_exemplar(make_batch(2, size, known), SEEDS[:2])
    truth, target_part, visible = pair.truth, part[:, None].float(), pair.truth.visible
    there = sample_at(truth.exemplar_part[:, None].float(), truth.flow)
    assert ((there - target_part).abs()[visible[:, None]] > 2.5).float().mean() < 0.02
    assert torch.equal(truth.exemplar_uv[:, 0].long(), truth.exemplar_part)
    back = exemplar_to_target(random_distortion(SEEDS[:2], size), truth.exemplar_keypoints[:, :2].mT[..., None])
    torch.testing.assert_close(back.squeeze(-1).mT, keypoints[:, :2], atol=0.01, rtol=0)
    assert truth.exemplar_keypoints[:, 2:].isnan().all()
    error = (sample_at(truth.exemplar_albedo, truth.flow) - albedo).abs()
    assert error[visible[:, None].expand_as(error)].mean() < 0.005


@pytest.mark.parametrize("wrong", [{"strength": -1.0}, {"flip": 1.5}])
def test_wrong_arguments_are_named(wrong):
    with pytest.raises(ValueError, match="expected strength >= 0 and 0 <= flip <= 1"):
        random_distortion(SEEDS, (16, 16), **wrong)
