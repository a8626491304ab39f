"""Edges: kornia's Canny, followed by our own hysteresis and an exact distance map."""

import pytest
import torch
import torch.nn.functional as F
from kornia.filters import canny
from scipy.ndimage import distance_transform_edt

from exemplar_lab.data import edges


def blurred_noise(batch: int, size: tuple[int, int]) -> torch.Tensor:
    return F.interpolate(torch.rand(batch, 3, size[0] // 4, size[1] // 4), size, mode="bilinear")


@pytest.mark.parametrize("size", [(64, 64), (40, 72)])
def test_hysteresis_gives_what_kornia_gives(size):
    image = blurred_noise(6, size)
    ours, theirs = edges.canny_edges(image), canny(image, edges.LOW, edges.HIGH)[1]
    assert torch.equal(ours, theirs)
    assert 0.02 < ours.mean() < 0.4
    # The case is a real one: some edges are there only because they were followed.
    assert ours.sum() > (canny(image, edges.LOW, edges.HIGH, hysteresis=False)[1] == 1).sum()


def test_a_step_is_one_line_and_thresholds_are_steps_of_grey():
    def step(height: float) -> torch.Tensor:
        image = torch.zeros(1, 3, 32, 32)
        image[..., 16:] = height
        return edges.canny_edges(image)[0, 0, 2:-2, 2:-2]

    assert (step(1.0).sum(1) == 1).all()
    assert (step(1.3 * edges.HIGH / 2.6).sum(1) == 1).all()
    assert step(0.7 * edges.HIGH / 2.6).sum() == 0


def test_a_flat_image_has_no_edges():
    assert (edges.edge_condition(torch.full((1, 3, 32, 32), 0.6)) == 0).all()


@pytest.mark.parametrize("size", [(64, 64), (40, 72)])
def test_nearness_is_the_exact_distance(size):
    line = torch.rand(3, 1, *size) < 0.01
    reach = min(size) // edges.REACH
    expected = (1 - torch.from_numpy(distance_transform_edt(~line[:, 0].numpy()[0])) / reach).clamp_min(0)
    torch.testing.assert_close(edges.nearness(line.float())[0, 0].double(), expected, atol=1e-6, rtol=0)


def test_condition_is_both_and_lies_in_0_1():
    condition = edges.edge_condition(blurred_noise(2, (64, 64)))
    assert condition.shape == (2, edges.CHANNELS, 64, 64)
    assert condition.min() == 0 and condition.max() == 1
    assert torch.equal(condition[:, 0] == 1, condition[:, 1] == 1)
