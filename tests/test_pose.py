"""Pose maps: against a double loop, at several sizes, and with missing points."""

import numpy as np
import pytest
import torch

from exemplar_lab.data.pose import CHANNELS, COLOURS, KEYPOINTS, LIMBS, REACH, SIGMA, pose_maps, pose_rgb


def _points(seed=0, size=20.0):
    return torch.rand(2, 18, 2, generator=torch.Generator().manual_seed(seed)) * size


def _brute_force(points, size):
    maps = np.zeros((35, size, size))
    for row in range(size):
        for column in range(size):
            here = np.array([column + 0.5, row + 0.5])
            for k in range(18):
                maps[k, row, column] = np.exp(-(((here - points[k]) / (SIGMA * size)) ** 2).sum() / 2)
            for k, (a, b) in enumerate(LIMBS):
                along = points[b] - points[a]
                t = np.clip((here - points[a]) @ along / (along @ along), 0, 1)
                distance = np.linalg.norm(here - points[a] - t * along)
                maps[18 + k, row, column] = max(0, 1 - distance / (REACH * size))
    return maps


def test_maps_agree_with_a_double_loop():
    points = _points()
    maps = pose_maps(points, 20)
    for one, expected in zip(maps, points.double().numpy(), strict=True):
        assert np.abs(one.numpy() - _brute_force(expected, 20)).max() < 1e-5


def test_the_tables_fit_together():
    assert len(KEYPOINTS) == len(COLOURS) == 18
    assert len(LIMBS) == 17
    assert CHANNELS == 35
    assert {i for limb in LIMBS for i in limb} == set(range(18))


def test_the_picture_is_the_same_at_every_size():
    points = _points(1, 32.0)
    small, large = pose_maps(points, 32), pose_maps(points * 4, 128)
    assert (torch.nn.functional.avg_pool2d(large, 4) - small).abs().mean() < 2e-3


def test_a_missing_point_leaves_its_maps_empty_and_others_alone():
    points = _points(2)
    maps = pose_maps(points, 20)
    points[:, 3] = torch.nan
    without = pose_maps(points, 20)
    empty = [3, *(18 + i for i, limb in enumerate(LIMBS) if 3 in limb)]
    rest = [i for i in range(35) if i not in empty]
    assert (without[:, empty] == 0).all()
    assert torch.equal(without[:, rest], maps[:, rest])
    assert not pose_rgb(without).isnan().any()


def test_points_outside_are_allowed_and_values_stay_in_range():
    maps = pose_maps(_points(3) * 4 - 30, 20)
    assert maps.min() >= 0
    assert maps.max() <= 1
    assert not maps.isnan().any()


def test_a_point_stands_where_it_was_put():
    points = torch.full((1, 18, 2), torch.nan)
    points[0, 5] = torch.tensor([12.5, 7.5])
    heat = pose_maps(points, 20)[0, 5]
    assert heat[7, 12] == heat.max() == 1


def test_the_skeleton_is_drawn_in_its_colours():
    points = torch.full((1, 18, 2), torch.nan)
    points[0, 0] = torch.tensor([32.5, 32.5])
    picture = pose_rgb(pose_maps(points, 64))
    assert torch.allclose(picture[0, :, 32, 32], torch.tensor(COLOURS[0]) / 255)
    assert picture[0, :, 5, 5].sum() == 0


@pytest.mark.parametrize("size", [0, -3])
def test_a_wrong_size_is_refused(size):
    with pytest.raises(ValueError, match="positive integer"):
        pose_maps(_points(), size)
