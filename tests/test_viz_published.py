"""Figures of printed and measured numbers: nothing leaves the page, misprints are not drawn, axes say what they hold."""

import math

import pytest
from pages import on_the_page

from exemplar_lab.published.comparison import order_changes, shared_cells
from exemplar_lab.published.results import published_results, reproductions
from exemplar_lab.viz.published import OF_PAPER, Panel, beside, disagreements, published_overview

RESULTS = published_results()
OURS = {
    "CoCosNet": {"mean": 0.4, "half_width": 0.1, "low": 0.2, "high": 0.35, "features": "fixed-seed-v1"},
    "DynaST": {"mean": 0.3, "half_width": 0.1},
    "copy": {"mean": 0.9, "half_width": 0.0},
    "oracle": {"mean": math.nan, "half_width": math.nan},
}


def test_the_overview_draws_every_number_but_the_misprints():
    figure = published_overview(RESULTS, title="All")
    assert on_the_page(figure)
    points = sum(len(dots.get_offsets()) for axis in figure.axes for dots in axis.collections)
    assert points == len(RESULTS) - RESULTS["misprint"].sum()
    titles = [axis.get_title() for axis in figure.axes]
    assert titles[:5] == ["FID ↓", "SWD ↓", "Sem ↑", "Col ↑", "Tex ↑"] and "L1 ↓" in titles
    l1 = figure.axes[titles.index("L1 ↓")]
    assert l1.get_xlim()[1] < 1, "an L1 of 13.1 is a misprint"


def test_disagreements_are_ranked_and_counted():
    changes = {name: order_changes(RESULTS, name) for name in ("paper", "dataset")}
    figure = disagreements(shared_cells(RESULTS), reproductions(), changes, title="Who")
    assert on_the_page(figure)
    left, middle, right = figure.axes
    names = [label.get_text() for label in left.get_yticklabels()]
    assert names[-1] == "CoCosNet-v2, time" and len(names) == 4 + 3
    assert "46\nof 46" in [text.get_text() for text in middle.texts]
    assert right.texts[0].get_text() == "0 of 136"


def test_beside_keeps_kinds_apart():
    there = {name: {"mean": value} for name, value in {"DynaST": 8.36, "CoCosNet-v2": 13.0, "CoCosNet": 14.4}.items()}
    panels = [
        Panel("DeepFashion", "FID (Inception)", "lower", there, True),
        Panel("people, here", "FD (fixed-seed-v1)", "lower", OURS, False, ("copy", "oracle")),
        Panel("people, here", "Sem (fixed-seed-v1)", "higher", OURS, False, ("copy", "oracle")),
    ]
    figure = beside(panels, columns=2, title="Beside")
    assert on_the_page(figure)
    published, lower, higher, empty = figure.axes
    assert not empty.axison
    assert published.get_facecolor() != lower.get_facecolor() == higher.get_facecolor()
    assert published.get_xlabel() == "FID (Inception) ↓" and higher.get_xlabel() == "Sem (fixed-seed-v1) ↑"
    names = [[label.get_text() for label in axis.get_yticklabels()] for axis in (published, lower, higher)]
    assert names == [["DynaST", "CoCosNet-v2", "CoCosNet"], ["DynaST", "CoCosNet", "copy"], ["copy", "CoCosNet", "DynaST"]]
    dots = {line.get_ydata()[0]: line for line in published.lines if line.get_marker() == "o"}
    assert dots[0].get_markerfacecolor() == OF_PAPER["DynaST"] and dots[2].get_markerfacecolor() == OF_PAPER["CoCosNet"]
    assert dots[1].get_markerfacecolor() not in OF_PAPER.values(), "CoCosNet-v2 is another paper's method"
    interval = next(line for line in lower.lines if len(line.get_xdata()) == 2 and line.get_ydata()[0] == 1)
    assert list(interval.get_xdata()) == pytest.approx([0.2, 0.35])
