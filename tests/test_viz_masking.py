"""Figures of masked matches: drawn on the page, with every map, word and outline that they were given."""

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection
from pages import on_the_page

from exemplar_lab.viz import masking


def a_query(lines: int = 3, columns: int = 4) -> dict:
    generator = torch.Generator().manual_seed(0)
    maps = {
        f"block {line}": {f"map {column}": torch.rand(8, 8, generator=generator) for column in range(columns)}
        for line in range(lines)
    }
    picture = torch.rand(3, 32, 32, generator=generator)
    outline = torch.zeros(8, 8, dtype=torch.bool)
    outline[2:4, 5:8] = True
    return {
        "pictures": {"target": (picture, (20.0, 9.0)), "exemplar": (picture.flip(2), (27.0, 12.0)), "output": (picture, None)},
        "painted": picture.flip(2),
        "maps": maps,
        "words": {line: {name: f"{line}, {name}" for name in of_line} for line, of_line in maps.items()},
        "outline": outline,
    }


def test_maps_of_a_query_says_all_it_was_given():
    given, before = a_query(), dict(matplotlib.rcParams)
    figure = masking.maps_of_a_query(**given, title="Fig. 3d")
    assert on_the_page(figure) and dict(matplotlib.rcParams) == before
    axes = np.array(figure.axes).reshape(3, 5)
    assert [axis.get_title() for axis in axes[0]] == ["", "map 0", "map 1", "map 2", "map 3"]
    assert not any(axis.get_title() for axis in axes[1:].flat)
    assert [axis.get_xlabel() for axis in axes[:, 0]] == ["target", "exemplar", "output"]
    assert [axis.get_ylabel() for axis in axes[:, 1]] == list(given["maps"])
    assert axes[2, 4].get_xlabel() == "block 2, map 3"
    assert len(axes[0, 0].lines) == 1 and len(axes[1, 0].lines) == 2 and not axes[2, 0].lines  # a mark, a ring, nothing


def test_a_line_with_names_of_its_own_shows_them():
    painted, values = a_query()["painted"], torch.rand(8, 8)
    maps = {"weights": {"block 1": values, "block 2": values}, "gradient": {"all of it": values, "through z": values}}
    figure = masking.maps_of_a_query({}, painted, maps, title="Two kinds")
    assert on_the_page(figure)
    assert [axis.get_title() for axis in figure.axes] == ["", "block 1", "block 2", "", "all of it", "through z"]


def test_the_outline_runs_round_the_cells():
    given = a_query(1, 1)
    figure = masking.maps_of_a_query(**given | {"pictures": {}})
    *_, line = (child for axis in figure.axes for child in axis.get_children() if isinstance(child, LineCollection))
    edges = np.array(line.get_segments())
    assert len(edges) == 10  # two cells high, three wide
    assert edges[..., 0].min() == 20 and edges[..., 0].max() == 32 and edges[..., 1].min() == 8 and edges[..., 1].max() == 16


def test_the_largest_value_of_a_map_is_the_brightest():
    given = a_query(1, 1)
    values = torch.zeros(8, 8)
    values[6, 1] = 1e-9  # relative to the largest, however small that is
    figure = masking.maps_of_a_query({}, given["painted"], {"one": {"map": values}})
    cells = figure.axes[1].images[0].get_array().sum(-1).reshape(8, 4, 8, 4).max((1, 3))
    assert cells[6, 1] > np.delete(cells, 6 * 8 + 1).max()


@pytest.mark.parametrize("title", [None, "The mask to the letter"])
def test_printed_mask_counts_every_position(title):
    generator = torch.Generator().manual_seed(0)
    names = ("block 1", "block 2")
    printed = {name: -40 * torch.rand(500, generator=generator) for name in names}
    used = {name: torch.rand(500, generator=generator) for name in names}
    peak = {name: torch.rand(500, generator=generator) for name in names}
    on_cut = {name: torch.zeros(500) for name in names}
    figure = masking.printed_mask(printed, used, peak, on_cut, keys=64, title=title)
    assert on_the_page(figure)
    left, middle, right = figure.axes
    for axis in (left, middle):
        assert [patch.get_data().values.sum() for patch in axis.patches if hasattr(patch, "get_data")] == pytest.approx([1, 1])
    line, *points = right.lines
    assert line.get_ydata()[0] == pytest.approx(32 / 33) and len(points) == 2
    assert all(len(one.get_xdata()) == 500 and min(one.get_ydata()) > 0 for one in points)  # zero has no logarithm
