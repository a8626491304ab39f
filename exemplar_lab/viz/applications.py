"""Pages for what can be done with a match: points and pictures carried over by several matchers, and edited pictures."""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from exemplar_lab.viz.style import COLOURS, INK, PAGE, mark, picture_axes, ring, show_image, styled


class Shown(NamedTuple):
    """A picture, c h w, with points (x, y) in its pixels, n 2 (NaN: not drawn), the true ones beside them, and the border of an
    area, h w."""

    picture: Tensor
    points: Tensor | None = None
    true: Tensor | None = None
    area: Tensor | None = None


@styled
def named_rows(rows: Sequence[Mapping[str, Shown]], title: str | None = None, width: float | None = None) -> Figure:
    """Rows of pictures, each with its own names: Fig. 8 (with points) and Fig. 10, 11, 17 (without) of [CoCosNet].

    A name is written where it differs from the one above it. Points have one colour and number in all pictures of a row; a line
    leads to the true point, a ring. width: of one picture in inches.
    """
    first = next(iter(rows[0].values())).picture
    columns, many = max(map(len, rows)), any(set(row) - set(rows[0]) for row in rows)
    width = width or min(2.2, PAGE / columns)
    aspect = first.shape[1] / first.shape[2]
    figure, axes = picture_axes(len(rows), columns, aspect, title, width, 0.22 if many else 0.05, 0.0 if many else 0.2)
    above: list[str] = []
    for line, row in zip(axes, rows, strict=True):
        for column, (name, shown) in enumerate(row.items()):
            same = column < len(above) and above[column] == name
            show_image(line[column], shown.picture, None if same else name)
            _draw(line[column], shown)
        above = list(row)
    return figure


def _draw(axis: Axes, shown: Shown) -> None:
    for number, (x, y) in enumerate([] if shown.points is None else shown.points.tolist()):
        if not isfinite(x + y):  # it looks nowhere
            continue
        colour = COLOURS[number % len(COLOURS)]
        if shown.true is not None and shown.true[number].isfinite().all():
            point = shown.true[number].tolist()
            axis.plot([x, point[0]], [y, point[1]], color=colour, lw=1.4, zorder=4)
            ring(axis, *point)
        mark(axis, x, y, colour, str(number + 1))
    if shown.area is not None and shown.area.any():
        height, width = shown.area.shape
        for colour, wide in (("white", 1.8), (INK, 0.7)):
            axis.contour(
                *(_centres(width), _centres(height)), shown.area.float().cpu().numpy(), [0.5], colors=colour, linewidths=wide
            )


def _centres(pixels: int) -> list[float]:
    """The centres of pixels along a side."""
    return [at + 0.5 for at in range(pixels)]
