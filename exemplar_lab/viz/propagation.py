"""How candidates travel from scale to scale and from neighbour to neighbour: one position followed through a cascade."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Polygon, Rectangle
from matplotlib.patheffects import withStroke
from torch import Tensor

from exemplar_lab.ops.candidates import NEIGHBOURS
from exemplar_lab.ops.cascade import CascadeLayer
from exemplar_lab.translation import Truth
from exemplar_lab.viz.style import COLOURS, FAINT, INK, PAGE, as_rgb, picture_axes, show_image, styled

Cell = tuple[int, int]
"""(x, y) of a cell, counted from the upper left."""

_VOTERS = {"itself": INK, "above": COLOURS[0], "below": COLOURS[1], "left": COLOURS[2], "right": COLOURS[3]}
_WHOLE = ((0, 0), (1, 0), (1, 1), (0, 1))
_WEDGES = (
    ((0.3, 0.3), (0.7, 0.3), (0.7, 0.7), (0.3, 0.7)),
    ((0, 0), (1, 0), (0.5, 0.5)),
    ((0, 1), (1, 1), (0.5, 0.5)),
    ((0, 0), (0, 1), (0.5, 0.5)),
    ((1, 0), (1, 1), (0.5, 0.5)),
)
"""The part of a cell that stands for each of `NEIGHBOURS`, so that one cell can be named by all five."""
_DASHES = (0, (2.2, 1.6))
_SHOWN = 13
"""Cells along the side of a cut."""


@styled
def candidate_journey(
    layers: Sequence[CascadeLayer],
    target: Float[Tensor, "b 3 h w"],
    exemplar: Float[Tensor, "b 3 h w"],
    query: int,
    truth: Truth | None = None,
    sample: int = 0,
    title: str | None = None,
) -> Figure:
    """Fig. 3 of [DynaST], with real candidates: a column per block, the target above, the exemplar below.

    layers: from `match_cascade`, the dense block first, on square grids. query: a position of the last grid; in coarser blocks,
    the cell that holds it. Each candidate is coloured on the side of the neighbours that named it. Finer grids are shown in a
    cut round the true point, or round the best candidate where there is none.
    """
    figure, axes = picture_axes(
        2, len(layers), 1.0, title, min(1.9, PAGE / len(layers)), room=0.08, words=0.66 + 0.16 * (len(layers) < 5)
    )
    finest = layers[-1].match.query_size[0]
    start = _point(query, finest, target.shape[-1])
    true = None if truth is None else truth.flow[sample, :, int(start[1]), int(start[0])].tolist()
    true = true if true is not None and np.isfinite(true).all() else None
    for number, layer in enumerate(layers):
        side = layer.match.query_size[0]
        cell = target.shape[-1] / side
        at = int(start[0] / cell), int(start[1] / cell)
        above, below = axes[:, number]
        for axis, picture in ((above, target), (below, exemplar)):
            show_image(axis, 0.55 * as_rgb(picture[sample]) + 0.45)
        kept = _cells(layer.kept[sample, at[1] * side + at[0]], side)
        offered = kept if layer.kind == "dense" else _cells(layer.match.index[sample, at[1] * side + at[0]], side)
        if layer.kind == "inner":
            _votes(above, below, at, offered, cell, side)
        else:
            _wedge(above, at, cell, 0, whole=True)
        if layer.kind == "inter":
            _children(above, below, at, offered, cell)
        for chosen in dict.fromkeys(kept):
            _square(below, chosen, cell, INK, width=1.8)
        if true is not None:
            below.plot(*true, "x", color="white", ms=7, mew=3.4, zorder=8)
            below.plot(*true, "x", color=COLOURS[4], ms=6, mew=1.8, zorder=9)
        centre = true if true is not None else [(part + 0.5) * cell for part in kept[0]]
        hidden = 0
        if layer.kind != "dense":
            _cut(above, start, cell, target.shape[-1])
            shown = _cut(below, centre, cell, target.shape[-1])
            hidden = sum(not shown(one) for one in set(offered))
        above.set_title(f"{number + 1}  {_what(layer, offered)}", loc="left", fontsize=7.5)
        below.set_xlabel(_outcome(layer, offered, kept, true, cell, hidden), fontsize=7.5, linespacing=1.3)
    per_line = 8 if len(layers) > 4 else 4 if len(layers) > 2 else 2
    names = _legend(true is not None)
    figure.legend(handles=names, loc="outside lower center", ncols=per_line, handlelength=1.1, columnspacing=1.2)
    return figure


def _votes(above: Axes, below: Axes, at: Cell, offered: list[Cell], cell: float, side: int) -> None:
    """The position and its neighbours, a neighbour that is missing standing in the position; each answer by who gave it."""
    for voter, (step_x, step_y) in enumerate(NEIGHBOURS):
        asked = min(max(at[0] + step_x, 0), side - 1), min(max(at[1] + step_y, 0), side - 1)
        _wedge(above, asked, cell, voter, whole=asked != at or voter == 0)
    each = len(offered) // len(NEIGHBOURS)
    for named in dict.fromkeys(offered):
        _square(below, named, cell, FAINT, fill="#ffffffcc", width=0.4)
    for voter, named in dict.fromkeys((t // each, one) for t, one in enumerate(offered)):
        _wedge(below, named, cell, voter)


def _children(above: Axes, below: Axes, at: Cell, offered: list[Cell], cell: float) -> None:
    """The parent of the position, the parent's answers, and the four children of each."""
    _square(above, (at[0] // 2, at[1] // 2), 2 * cell, INK, dashed=True)
    for child in dict.fromkeys(offered):
        _square(below, child, cell, FAINT, fill="#ffffffaa", width=0.6)
    for parent in dict.fromkeys((x // 2, y // 2) for x, y in offered):
        _square(below, parent, 2 * cell, INK, dashed=True)


def _square(
    axis: Axes, at: Cell, side: float, colour: str, fill: str = "none", width: float = 1.2, dashed: bool = False
) -> None:
    strong = colour == INK
    axis.add_patch(
        Rectangle(
            (at[0] * side, at[1] * side), side, side, fc=fill, ec=colour, lw=width, ls=_DASHES if dashed else "-",
            path_effects=[withStroke(linewidth=width + 1.4, foreground="white")] if strong else None,
            zorder=3 + 2 * strong + (strong and not dashed),
        )
    )  # fmt: skip


def _wedge(axis: Axes, at: Cell, side: float, voter: int, whole: bool = False) -> None:
    corners = side * (np.array(at) + np.array(_WHOLE if whole else _WEDGES[voter]))
    colour = list(_VOTERS.values())[voter]
    axis.add_patch(Polygon(corners, fc=colour, ec="white", lw=0.4, zorder=4 + 0.1 * (voter == 0) * (not whole)))


def _cut(axis: Axes, centre: Sequence[float], cell: float, width: int):
    """Show `_SHOWN` cells round a point, moved so that they lie inside the picture; answers which cells are seen."""
    side = min(float(width), _SHOWN * cell)
    x, y = (min(max(0.0, part - side / 2), width - side) for part in centre)
    axis.set(xlim=(x, x + side), ylim=(y + side, y))
    return lambda one: x <= (one[0] + 0.5) * cell <= x + side and y <= (one[1] + 0.5) * cell <= y + side


def _what(layer: CascadeLayer, offered: list[Cell]) -> str:
    side, kept = layer.match.query_size[0], layer.kept.shape[-1]
    if layer.kind == "dense":
        return f"dense, {side}²\n{math.prod(layer.match.key_size)} scores, {kept} kept"
    links = len(offered)
    how = f"{links // 4} × 4 children" if layer.kind == "inter" else f"{links // 5} × 5 votes"
    return f"{layer.kind}-scale, {side}²\n{how}, {len(set(offered))} distinct"


def _outcome(layer, offered: list[Cell], kept: list[Cell], true, cell: float, hidden: int) -> str:
    words = []
    if true is not None:
        where = int(true[0] / cell), int(true[1] / cell)
        seen = layer.kind == "dense" or where in offered
        words = ["true cell " + ("kept" if where in kept else "seen, not kept" if seen else "not among them")]
    words.append(f"{len(set(kept))} distinct kept" + (f"; {hidden} out of view" if hidden else ""))
    return "\n".join(words)


def _cells(index: Tensor, side: int) -> list[Cell]:
    return [(one % side, one // side) for one in index.tolist()]


def _point(index: int, side: int, width: int) -> tuple[float, float]:
    """The centre of a cell in pixels."""
    return (index % side + 0.5) * width / side, (index // side + 0.5) * width / side


def _legend(with_truth: bool) -> list:
    handles = [Patch(fc=colour, ec="white", label=word) for word, colour in _VOTERS.items()]
    handles[0].set_label("the position itself")
    handles.append(Patch(fc="none", ec=INK, lw=1.2, ls=_DASHES, label="parent"))
    handles.append(Patch(fc="none", ec=INK, lw=1.8, label="kept"))
    if with_truth:
        handles.append(Line2D([], [], marker="x", ls="", color=COLOURS[4], mew=1.8, label="true point"))
    return handles
