"""A masked match, drawn: one position's maps side by side, and what the printed mask and its row sums come to."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from torch import Tensor

from exemplar_lab.viz.matches import in_the_dark, with_heat
from exemplar_lab.viz.style import COLOURS, FAINT, INK, PAGE, headline, mark, ring, show_image, styled

Point = tuple[float, float]


@styled
def maps_of_a_query(
    pictures: Mapping[str, tuple[Float[Tensor, "3 h w"], Point | None]],
    painted: Float[Tensor, "3 h w"],
    maps: Mapping[str, Mapping[str, Float[Tensor, "_ _"]]],
    words: Mapping[str, Mapping[str, str]] | None = None,
    outline: Bool[Tensor, "hk wk"] | None = None,
    title: str | None = None,
) -> Figure:
    """Fig. 1 and 3d of [MATEBIT]: maps over the exemplar, a line for each name of `maps`, a column for each name in it.

    pictures: in the first column, with a point each: in the first, the target, it is marked, in the others ringed. painted: the
    exemplar, over which the maps lie as heat relative to the largest value of each; a line with names of its own shows them.
    words: under a map, by the same names.
    outline: cells round which a line is drawn, such as the true footprint; the same in all maps.
    """
    lines, columns = len(maps), len(next(iter(maps.values())))
    lines_of_words = max((text.count("\n") + 1 for of_line in (words or {}).values() for text in of_line.values()), default=1)
    names = [list(of_line) for of_line in maps.values()]
    named = [row == 0 or of_line != names[0] for row, of_line in enumerate(names)]
    room = 0.1 + 0.15 * lines_of_words + 0.2 * any(named[1:])
    width = min(1.55, (PAGE - 0.25) / (columns + 1))
    height = lines * (width * painted.shape[1] / painted.shape[2] + room)
    figure = Figure(figsize=(width * (columns + 1) + 0.25, height + (0.3 if title else 0) + 0.15))
    if title:
        headline(figure, title)
    axes = figure.subplots(max(lines, len(pictures)), columns + 1, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for number, (name, (picture, point)) in enumerate(pictures.items()):
        show_image(axes[number, 0], picture)
        axes[number, 0].set_xlabel(name)
        if point is not None and number == 0:
            mark(axes[number, 0], *point, COLOURS[4])
        elif point is not None:
            ring(axes[number, 0], *point)
    ground = in_the_dark(painted)
    for row, (line, of_line) in enumerate(maps.items()):
        for column, (name, values) in enumerate(of_line.items()):
            axis = axes[row, column + 1]
            show_image(axis, with_heat(ground, values.detach().cpu().double()), name if named[row] else None)
            if outline is not None:
                _outlined(axis, outline, painted.shape[2] / outline.shape[1])
            if column == 0:
                axis.set_ylabel(line)
            if words is not None:
                axis.set_xlabel(words[line][name], fontsize=7.5, color=FAINT, linespacing=1.2)
    return figure


def _outlined(axis: Axes, inside: Bool[Tensor, "h w"], cell: float) -> None:
    """A line round the cells of `inside`, dark on light so that it shows on any ground."""
    padded = np.pad(inside.cpu().numpy(), 1).astype(int)
    y, x = np.nonzero(np.diff(padded, axis=0)[:, 1:-1])
    level = [[(left, top), (left + 1, top)] for left, top in zip(x, y, strict=True)]
    y, x = np.nonzero(np.diff(padded, axis=1)[1:-1])
    upright = [[(left, top), (left, top + 1)] for left, top in zip(x, y, strict=True)]
    edges = np.array(level + upright, dtype=float).reshape(-1, 2, 2) * cell
    axis.add_collection(LineCollection(edges, colors=INK, linewidths=2.0))
    axis.add_collection(LineCollection(edges, colors="white", linewidths=0.9))


@styled
def printed_mask(
    printed: Mapping[str, Float[Tensor, " n"]],
    used: Mapping[str, Float[Tensor, " n"]],
    peak: Mapping[str, Float[Tensor, " n"]],
    on_cut: Mapping[str, Float[Tensor, " n"]],
    keys: int,
    alpha: float = 100.0,
    title: str | None = None,
) -> Figure:
    """Two equations of [MATEBIT] to the letter, on the positions of a trained network, a colour for each name (block).

    printed: 1 − Σ_j A_mask of Eq. (5); used: one less what stands in its place, in [0, 1]. peak, on_cut: the best score of a
    row, and the weight that Eq. (3) leaves on its cut links. keys: positions of the exemplar; the line is what a row would have
    on the cut ones if half of them were cut and one kept link bore the peak.
    """
    figure = Figure(figsize=(PAGE, 2.75 if title else 2.45))
    if title:
        headline(figure, title)
    left, middle, right = figure.subplots(1, 3)
    reach = min(float(torch.cat(list(printed.values())).min()), -1.0)
    for axis, values, bins in ((left, printed, np.linspace(reach, 1, 60)), (middle, used, np.linspace(0, 1, 50))):
        for number, (name, of_name) in enumerate(values.items()):
            colour = COLOURS[(0, 4, 5, 2)[number % 4]]
            heights, edges = np.histogram(of_name.double().cpu().numpy(), bins)
            axis.stairs(heights / max(1, len(of_name)), edges, color=colour, lw=1.4, label=name)
        axis.set_yticks([])
    left.axvspan(0, 1, color=COLOURS[2], alpha=0.5, lw=0)
    left.set(title="Eq. (5) as printed", xlabel="$1 - \\sum_j A_{mask}$   (green: 0 … 1)", ylabel="share of positions")
    middle.set(title="in its place here", xlabel="1 − reliable", xlim=(0, 1))
    best = torch.linspace(0, 1, 200, dtype=torch.float64)
    half, floor = keys / 2, 1e-37  # single precision knows no less
    right.plot(best, half / (half + (alpha * best).exp()), color=FAINT, lw=1.0, ls="--")
    for number, name in enumerate(peak):
        colour = COLOURS[(0, 4, 5, 2)[number % 4]]
        every = max(1, len(peak[name]) // 800)
        weight = on_cut[name][::every].double().cpu().clamp_min(floor)
        right.plot(peak[name][::every].cpu(), weight, ".", ms=2, color=colour, alpha=0.5, mew=0)
    right.set_yscale("log")
    right.set(
        title="Eq. (3) as printed", xlabel="best score of the row", ylabel="weight on cut links", xlim=(0, 1), ylim=(floor, 3)
    )
    right.grid(axis="y")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=len(printed))
    return figure
