"""The attention explorer's view as a figure for a page that cannot be clicked: a paper, a talk, a saved notebook."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from torch import Tensor

from exemplar_lab.grid import index_to_xy
from exemplar_lab.ops.rows import Row
from exemplar_lab.viz.matches import in_the_dark, with_heat
from exemplar_lab.viz.style import COLOURS, FAINT, INK, PAGE, as_rgb, headline, in_few_colours, mark, ring, show_image, styled

_CURRENT = "#22d3ee"
"""The colour of the query that is asked, as on the page."""

_DOTS, _LEAST = 32, 0.01
"""Links that are drawn as dots: the largest ones, of at least that share of the largest; more could not be told apart."""


@dataclass(frozen=True)
class Look:
    """A query and what is drawn of its row; points are (x, y) in pixels of the picture they lie in.

    at: the query. row: where it looks. expected: the middle of where it looks, or None. right: the right answers, if known.
    users: where the exemplar is asked, the middles of the target pixels that truly come from there.
    """

    at: tuple[float, float]
    row: Row
    expected: tuple[float, float] | None = None
    right: Sequence[tuple[float, float]] = ()
    users: Sequence[tuple[float, float]] = ()


@styled
def explorer_view(
    asked: Float[Tensor, "_ h w"],
    looked_at: Float[Tensor, "_ he we"],
    look: Look | None,
    pins: Sequence[Look] = (),
    layers: Sequence[tuple[str, Float[Tensor, "_ _ _"], Row | None]] = (),
    current: int = 0,
    names: tuple[str, str] = ("target", "exemplar"),
    words: str = "",
    title: str = "",
) -> Figure:
    """A query of one picture, its row as heat over the other one, and the same query in every layer.

    asked, looked_at: target and exemplar, or the other way round. look: None where nothing is asked.
    pins: further queries, numbered, each in a colour.
    layers: name, warp and the query's row of each; `current` is the one that is shown large.
    """
    side = (PAGE - 0.3) / 2.6
    height = side * max(one.shape[1] / one.shape[2] for one in (asked, looked_at)) + 0.55
    small = min(1.2, PAGE / max(len(layers), 5))
    strip = 2 * small * max(1.0, looked_at.shape[1] / looked_at.shape[2]) + 0.45 if len(layers) > 1 else 0.0
    figure = Figure(figsize=(max(2 * side + 0.3, small * len(layers)), height + strip + (0.3 if title else 0.0)))
    if title:
        headline(figure, _plain(title))
    upper, lower = figure.subfigures(2, 1, height_ratios=[height, strip]) if strip else (figure, None)
    left, right = upper.subplots(1, 2)
    show_image(left, asked, names[0])
    show_image(right, _heated(looked_at, look.row if look else None), names[1] + (": where the row lies" if look else ""))
    for number, pin in enumerate(pins, 1):
        colour = COLOURS[(number - 1) % len(COLOURS)]
        mark(left, *pin.at, colour, str(number))
        _answers(right, pin, colour, str(number))
    if look:
        _query(left, *look.at)
        _links(right, look.row, looked_at)
        _answers(right, look, _CURRENT, None)
    upper.supxlabel(_plain(words), fontsize=8, color=FAINT)
    if lower is not None:
        axes = lower.subplots(2, len(layers), squeeze=False)
        for number, (name, warp, row) in enumerate(layers):
            show_image(axes[0, number], warp)
            show_image(axes[1, number], _heated(looked_at, row))
            chosen = number == current
            axes[0, number].set_title(
                _plain(name), fontsize=7, fontweight="bold" if chosen else "normal", color=INK if chosen else FAINT
            )
        axes[0, 0].set_ylabel("warp", fontsize=7)
        axes[1, 0].set_ylabel("this query", fontsize=7)
    return figure


def _plain(words: str) -> str:
    """Words of a user, in which two dollars are no formula."""
    return words.replace("$", r"\$")


def _heated(picture: Tensor, row: Row | None) -> np.ndarray:
    """The picture in the dark, and the row as heat over it; as it is where nothing is asked."""
    return as_rgb(picture) if row is None else with_heat(in_the_dark(picture), _on_grid(row))


def _on_grid(row: Row) -> Float[Tensor, "h w"]:
    return torch.zeros(row.size[0] * row.size[1], dtype=torch.float64).scatter(0, row.index, row.weight).unflatten(0, row.size)


def _query(axis: Axes, x: float, y: float) -> None:
    for width, colour in ((3.0, INK), (1.4, _CURRENT)):
        axis.plot(x, y, "+", ms=14, mew=width, color=colour, zorder=8, clip_on=False)


def _links(axis: Axes, row: Row, picture: Tensor) -> None:
    """Dots as large as the weights; hollow diamonds where a candidate got none, unless these are too many to be told apart."""
    scale = torch.tensor([picture.shape[2] / row.size[1], picture.shape[1] / row.size[0]])
    points = index_to_xy(row.index, row.size) * scale
    best = row.weight.argsort(descending=True)[:_DOTS]
    best = best[row.weight[best] > _LEAST * row.weight.max()]
    if len(best):
        size = 26 * (row.weight[best] / row.weight.max()).sqrt()
        axis.scatter(*points[best].T, s=size, c="none", edgecolors="white", linewidths=0.7, zorder=4)
    pruned = points[row.weight == 0]
    if 0 < len(pruned) <= _DOTS:
        axis.scatter(*pruned.T, s=16, marker="D", c="none", edgecolors=COLOURS[1], linewidths=0.9, zorder=4)


def _answers(axis: Axes, look: Look, colour: str, label: str | None) -> None:
    """The expected point, and a line from it to the nearest of the right answers, which are rings; squares for true users."""
    if look.users:
        axis.scatter(*zip(*look.users, strict=True), s=9, marker="s", c="none", edgecolors="white", linewidths=0.8, zorder=4)
    if look.expected is not None and look.right:
        nearest = min(look.right, key=lambda point: math.dist(point, look.expected))
        x, y = zip(look.expected, nearest, strict=True)
        axis.plot(x, y, color=colour, lw=1.2, zorder=5, path_effects=[withStroke(linewidth=2.6, foreground=INK)])
    if look.right:
        ring(axis, *look.right[0])
        for x, y in look.right[1:]:
            axis.plot(x, y, "o", ms=10, mfc="none", mec="white", mew=0.7, zorder=6, clip_on=False)
    if look.expected is not None:
        mark(axis, *look.expected, colour, label)


def figure_bytes(figure: Figure, kind: str, source: str = "", dpi: int = 96) -> bytes:
    """A figure as a file: png, svg or pdf, the same bytes each time. source: a word on where its numbers are, kept in it.

    Words stay words in a vector file, so that they can be edited and searched.
    """
    known = {
        "png": {"Software": None},
        "svg": {"Date": None, "Description": source},
        "pdf": {"CreationDate": None, "Subject": source},
    }
    if kind not in known:
        raise ValueError(f"got the file type {kind!r}, expected one of {', '.join(known)}")
    file = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "exemplar_lab", "pdf.fonttype": 42}):
        figure.savefig(file, format=kind, dpi=dpi, metadata=known[kind])
    return in_few_colours(file.getvalue()) if kind == "png" else file.getvalue()
