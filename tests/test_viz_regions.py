"""Figures of regions: every region, gate and class that was given is drawn, on the page, and says its number."""

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from pages import on_the_page

from exemplar_lab.correspondence import FactoredMatch
from exemplar_lab.viz import regions

CLASSES = ("sky", "river", "grass")
COLOURS = ((0.5, 0.7, 1.0), (0.1, 0.3, 0.9), (0.3, 0.7, 0.2))


def a_match(count: int) -> FactoredMatch:
    generator = torch.Generator().manual_seed(0)
    beta = torch.softmax(torch.randn(2, 16, count, generator=generator), -1)
    alpha = torch.softmax(torch.randn(2, count, 64, generator=generator), -1)
    return FactoredMatch((4, 4), (8, 8), beta, torch.rand(2, count, generator=generator), alpha)


def words(figure: Figure) -> list[str]:
    return [text.get_text() for axis in figure.axes for text in axis.texts]


@pytest.mark.parametrize("count", [1, 8, 11])
@pytest.mark.parametrize("title", [None, "Fig. 6"])
def test_region_maps_show_every_region_with_its_gate(count, title):
    match, before = a_match(count), dict(matplotlib.rcParams)
    picture = torch.rand(2, 3, 32, 32)
    figure = regions.region_maps(match, picture, picture.flip(3), sample=1, title=title)
    assert on_the_page(figure) and dict(matplotlib.rcParams) == before
    titles = [axis.get_title() for axis in figure.axes if axis.get_title().startswith("region")]
    assert titles == [f"region {number + 1}" for number in range(count)]
    gates = [one for one in words(figure) if one.replace(".", "").isdigit()]
    assert gates == [f"{gate:.2f}" for gate in match.gate[1].tolist()]


def test_the_bar_has_the_length_of_the_gate_and_the_colour_that_is_gathered():
    alpha = torch.zeros(1, 2, 64)
    alpha[0, 0, :32], alpha[0, 1, 32:] = 1 / 32, 1 / 32
    match = FactoredMatch((4, 4), (8, 8), torch.full((1, 16, 2), 0.5), torch.tensor([[0.25, 1.0]]), alpha)
    exemplar = torch.zeros(1, 3, 32, 32)
    exemplar[:, 2, :16], exemplar[:, 0, 16:] = 1, 0.5
    figure = regions.region_maps(match, torch.rand(1, 3, 32, 32), exemplar)
    bars = [axis.patches[1] for axis in figure.axes if len(axis.patches) == 3]
    assert [bar.get_width() for bar in bars] == [0.25, 1.0]
    assert np.allclose([bar.get_facecolor()[:3] for bar in bars], [(0, 0, 1), (0.5, 0, 0)], atol=1e-5)


def test_lit_is_the_picture_at_one_and_a_tenth_of_it_at_zero():
    picture = torch.rand(3, 8, 8)
    share = torch.zeros(2, 2)
    share[0, 1] = 1
    shown = regions.lit(picture, share)
    expected = picture.movedim(0, -1).numpy()
    assert np.allclose(shown[:4, 4:], expected[:4, 4:]) and np.allclose(shown[4:], 0.1 * expected[4:], atol=1e-6)


@pytest.mark.parametrize("area", [None, torch.tensor([0.5, 0.25, 0.25])])
def test_region_classes_write_what_is_large_and_leave_out_what_is_unknown(area):
    gathered = torch.tensor([[0.93, 0.0, 0.07], [0.0, 0.31, 0.69]])
    served = torch.tensor([[0.81, 0.19], [torch.nan, torch.nan], [0.02, 0.98]])
    figure = regions.region_classes(gathered, served, CLASSES, area, title="What regions learned")
    assert on_the_page(figure)
    left, right = figure.axes
    assert len(left.get_yticklabels()) == 2 + (area is not None) and len(right.get_yticklabels()) == 2
    assert [label.get_text() for label in left.get_xticklabels()] == list(CLASSES)
    found = {one for one in words(figure) if one}
    assert {".93", ".31", ".69", ".81", ".19", ".98"} <= found and ".07" not in found and ".02" not in found
    assert (".25" in found) == (area is not None)


def test_gate_ranges_stand_at_the_median():
    gates = {"coarse": torch.tensor([[0.1, 0.9], [0.2, 0.9], [0.6, 0.9]]), "fine": torch.rand(5, 8)}
    figure = regions.gate_ranges(gates, title="Gates")
    assert on_the_page(figure) and [axis.get_title() for axis in figure.axes] == ["coarse", "fine"]
    assert figure.axes[0].lines[0].get_ydata() == pytest.approx([0.2, 0.9])
    assert len(figure.axes[1].lines[0].get_ydata()) == 8


def test_class_shares_cut_a_bar_where_each_class_ends():
    rows = {
        "truth": [{"mean": 0.6, "half_width": 0.05}, {"mean": 0.0, "half_width": 0.0}, {"mean": 0.4, "half_width": 0.05}],
        "evenly": [{"mean": 0.3, "half_width": 0.0}, {"mean": 0.0, "half_width": 0.0}, {"mean": 0.7, "half_width": 0.0}],
    }
    figure = regions.class_shares(rows, CLASSES, COLOURS, title="Water")
    assert on_the_page(figure)
    (axis,) = figure.axes
    assert [bar.get_x() for bar in axis.patches] == pytest.approx([0, 0.6, 0.6, 0, 0.3, 0.3])
    assert words(figure) == [".60\n±0.05", ".40\n±0.05", ".30", ".70"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["sky", "grass"]  # no bar has river
