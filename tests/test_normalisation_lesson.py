"""What the notebook on normalisation stands on: the linear readout, AdaIN as SPADE with constant maps, and its figures."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as some

from exemplar_lab.metrics.readout import fit_readout
from exemplar_lab.ops.modulation import adain, channel_statistics, positional_norm, spade
from exemplar_lab.viz.normalisation import averaged_sets, grouped_pictures, interval_rows, maps_of_channels, worst_cases


def test_the_readout_is_least_squares():
    feature, answer = torch.randn(50, 4, dtype=torch.float64), torch.randn(50, 2, dtype=torch.float64)
    weight, bias = fit_readout(feature, answer, ridge=0.0, floor=0.0)
    with_one = np.concatenate([feature.numpy(), np.ones((50, 1))], axis=1)
    expected = np.linalg.lstsq(with_one, answer.numpy(), rcond=None)[0]
    np.testing.assert_allclose(torch.cat([weight, bias[None]]).numpy(), expected, atol=1e-10)


@given(scale=some.floats(0.5, 100), ridge=some.floats(1e-6, 1.0))
def test_the_readout_does_not_depend_on_the_unit_of_a_feature(scale, ridge):
    feature, answer = torch.randn(30, 3, dtype=torch.float64), torch.randn(30, 1, dtype=torch.float64)
    weight, bias = fit_readout(feature, answer, ridge, floor=0.0)
    other, same = fit_readout(feature * scale + 7, answer, ridge, floor=0.0)
    torch.testing.assert_close((feature * scale + 7) @ other + same, feature @ weight + bias)


def test_the_readout_does_not_read_rounding():
    answer = torch.randn(40, 1)
    whisper = 1 + 1e-6 * answer  # tells everything, far below the floor
    weight, bias = fit_readout(whisper, answer)
    assert (whisper @ weight + bias).std() < 1e-2 * answer.std()
    loud, level = fit_readout(whisper, answer, floor=0.0)
    assert (whisper @ loud + level).std() > 0.5 * answer.std()


def test_what_was_taken_and_is_put_back_leaves_no_trace():
    x = torch.randn(3, 5, 4, 6, dtype=torch.float64)
    variance, mean = torch.var_mean(x, dim=1, keepdim=True)
    deviation = (variance + 1e-5).sqrt()
    torch.testing.assert_close(spade(positional_norm(x), deviation.expand_as(x), mean.expand_as(x)), x)


def test_spade_with_one_scale_and_shift_for_all_positions_is_adain():
    content, style = torch.randn(2, 2, 5, 4, 6, dtype=torch.float64)
    (mean, deviation), (own_mean, own_deviation) = channel_statistics(style), channel_statistics(content)
    normalised = (content - own_mean[..., None, None]) / own_deviation[..., None, None]
    maps = (one[..., None, None].expand_as(content) for one in (deviation, mean))
    torch.testing.assert_close(spade(normalised, *maps), adain(content, mean, deviation))


def test_what_was_taken_is_drawn_as_what_it_is():
    images, x = torch.rand(2, 3, 8, 8), torch.randn(2, 6, 4, 4)
    sets = {"batch": (0, 2, 3), "instance": (2, 3), "layer": (1, 2, 3), "positional": (1,)}
    taken = {name: torch.var_mean(x, axes, keepdim=True)[::-1] for name, axes in sets.items()}
    figure = averaged_sets(images, sets, taken)
    shapes = [axis.images[0].get_array().shape for axis in figure.axes if axis.images]
    assert shapes.count((2, 3)) == 2 + 4  # channels: once for the batch, once for each sample; mean and deviation
    assert shapes.count((1, 1)) == 4 and shapes.count((4, 4)) == 4
    blocks = {axis.get_title(): axis.images[0].get_array() for axis in figure.axes if axis.get_title() in sets}
    coloured = {name: int(np.nansum(block.filled(np.nan))) for name, block in blocks.items()}
    assert coloured == {"batch": 3 * 9, "instance": 9, "layer": 4 * 9, "positional": 4}  # of 3 × 4 × 3 × 3
    words = {axis.get_title(): axis.get_xlabel().splitlines()[-1] for axis in figure.axes if axis.get_title() in sets}
    assert words["batch"] == "2 × 6 numbers taken" and words["positional"] == "2 × 2 × 4 × 4 numbers taken"


def test_maps_stand_beside_their_strength():
    x = torch.randn(6, 4, 4)
    normal = positional_norm(x[None])[0]
    figure = maps_of_channels({"raw": x, "positional": normal}, [5, 2])
    pictures = [axis.images[0] for axis in figure.axes if axis.images]
    assert np.allclose(pictures[3].get_array(), (5 / 6) ** 0.5, atol=1e-3)  # positional norm leaves one strength everywhere
    assert np.allclose(pictures[1].get_array(), x[5]) and pictures[1].get_clim() == (-3, 3)
    assert figure.axes[3].get_ylabel() == "positional"


def test_groups_of_pictures_need_as_many_in_each_column():
    images = torch.rand(2, 3, 8, 8)
    figure = grouped_pictures({"": {"picture": images}, "read": {"one": images, "other": images}}, title="a title")
    assert [axis.get_title() for axis in figure.axes if axis.get_title()] == ["picture", "one", "other"]
    assert sum(bool(axis.images) for axis in figure.axes) == 6
    with pytest.raises(ValueError, match=r"got columns of \[1, 2\] images"):
        grouped_pictures({"a": {"one": images}, "b": {"other": images[:1]}})


def test_a_series_looks_alike_in_every_panel():
    number = {"mean": 0.5, "half_width": 0.1}
    panels = {"one": {"row": {"left": number, "taken": number}}, "two": {"row": {"left": number, "taken": number}}}
    figure = interval_rows(panels, "told", limits=(0, 1))
    first, second = ([line.get_color() for line in axis.lines] for axis in figure.axes)
    assert first == second and len(set(first)) == 2
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["left", "taken"]


def test_worst_cases_share_one_axis():
    image, number = torch.rand(3, 8, 8), {"batch": {"mean": 0.1, "half_width": 0.02}}
    wide = {"batch": {"mean": 0.9, "half_width": 0.3}}
    pictures = {name: {"batch": image, "target": F.relu(image)} for name in ("plain", "hard")}
    figure = worst_cases(pictures, {"plain": {"mean": number}, "hard": {"mean": wide}}, "error")
    limits = [axis.get_xlim() for axis in figure.axes if not axis.images]
    assert len(limits) == 2 and limits[0] == limits[1] and limits[0][0] == 0 and limits[0][1] >= 1.2
