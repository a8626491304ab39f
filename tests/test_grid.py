"""Indices and points are two names of the same cells, and reading between pixels is what NumPy says it is."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from exemplar_lab.grid import cell_centres, index_to_xy, sample_at, xy_to_index

sizes = st.tuples(st.integers(1, 7), st.integers(1, 7))
quick = settings(max_examples=50)


def test_indices_run_along_rows_and_centres_lie_at_halves():
    index = torch.tensor([[0, 1, 2], [3, 4, 5]])
    expected = torch.tensor([[[0.5, 0.5], [1.5, 0.5], [2.5, 0.5]], [[0.5, 1.5], [1.5, 1.5], [2.5, 1.5]]])
    assert torch.equal(index_to_xy(index, (2, 3)), expected)
    assert torch.equal(cell_centres((2, 3)), expected.flatten(0, 1))
    assert cell_centres((2, 3), dtype=torch.float64).dtype == torch.float64


@quick
@given(sizes, st.floats(-0.499, 0.499), st.floats(-0.499, 0.499))
def test_every_point_of_a_cell_has_its_index(size, right, down):
    points = cell_centres(size) + torch.tensor([right, down])
    assert torch.equal(xy_to_index(points, size), torch.arange(size[0] * size[1]))


def test_points_outside_fall_into_the_nearest_cell():
    points = torch.tensor([[-3.0, 0.5], [99.0, 0.5], [1.5, -0.1], [1.5, 7.0], [-1.0, 9.0]])
    assert xy_to_index(points, (2, 3)).tolist() == [0, 2, 1, 4, 3]


def bilinear_twin(image: np.ndarray, x: float, y: float) -> np.ndarray:
    """c h w at one point; the border pixel is repeated outwards."""
    height, width = image.shape[1:]
    x, y = min(max(x - 0.5, 0), width - 1), min(max(y - 0.5, 0), height - 1)
    left, top = int(x), int(y)
    right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
    above = (1 - x + left) * image[:, top, left] + (x - left) * image[:, top, right]
    below = (1 - x + left) * image[:, bottom, left] + (x - left) * image[:, bottom, right]
    return (1 - y + top) * above + (y - top) * below


@quick
@given(sizes, sizes, st.integers(0, 2**31))
def test_sample_at_is_its_twin(size, asked, seed):
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(2, 3, *size, generator=generator, dtype=torch.float64)
    xy = torch.rand(2, 2, *asked, generator=generator, dtype=torch.float64) * 12 - 2
    expected = np.empty((2, 3, *asked))
    for b, y, x in np.ndindex(2, *asked):
        expected[b, :, y, x] = bilinear_twin(image[b].numpy(), *xy[b, :, y, x].tolist())
    np.testing.assert_allclose(sample_at(image, xy), expected, atol=1e-12)


@quick
@given(sizes)
def test_reading_at_the_centres_copies_the_image(size):
    image = torch.rand(1, 2, *size)
    centres = cell_centres(size).T.unflatten(1, size)[None]
    torch.testing.assert_close(sample_at(image, centres), image)


def test_a_nan_point_reads_a_number_and_stops_no_gradient():
    image = torch.rand(1, 3, 2, 2, requires_grad=True)
    xy = torch.tensor([torch.nan, 0.5]).reshape(1, 2, 1, 1).expand(1, 2, 1, 2)
    read = sample_at(image, xy)
    torch.testing.assert_close(read, image[:, :, :1, :1].expand(1, 3, 1, 2))
    read.sum().backward()
    assert image.grad.isfinite().all()


def test_gradient():
    image = torch.rand(1, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    xy = (torch.rand(1, 2, 2, 2, dtype=torch.float64) * 0.8 + 1.6).requires_grad_()
    assert gradcheck(sample_at, (image, xy))
