"""Which class feeds which: transfer matrices as heat maps, and the trees of classes that follow from them."""

import math
from collections.abc import Sequence

import numpy as np
import seaborn
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from scipy.cluster.hierarchy import dendrogram
from torch import Tensor

from exemplar_lab.viz.style import FAINT, INK, PAGE, headline, styled

GROUP_COLOURS = ("#0072B2", "#4B0092", "#D55E00", "#8A6D00", "#007A5A", "#B0568A", INK)
"""Of the names of classes, dark enough for letters."""


@styled
def transfer_heatmaps(matrices: dict[str, Float[Tensor, "c c"]], classes: tuple[str, ...], title: str | None = None) -> Figure:
    """Fig. 10 of [MSCA], turned so that a row says where the look of a target class comes from, as shares of the exemplar's.

    NaN, for classes that never occurred, stays white.
    """
    side = min(4.6, PAGE / len(matrices))
    figure = Figure(figsize=(side * len(matrices), side + (0.35 if title else 0.05)))
    if title:
        headline(figure, title)
    largest = {name: max(float(np.nan_to_num(_numbers(matrix)).max()), 1e-6) for name, matrix in matrices.items()}
    for axis, (name, matrix) in zip(figure.subplots(1, len(matrices), squeeze=False)[0], matrices.items(), strict=True):
        _heatmap(axis, _numbers(matrix), classes, classes, largest[name], 54 / len(classes), 0.0)
        axis.set(xlabel="exemplar", ylabel="target", title=name)
    return figure


@styled
def transfer_page(
    matrices: dict[str, Float[Tensor, "c c"]],
    classes: tuple[str, ...],
    true: Float[Tensor, "c c"] | None = None,
    columns: int = 3,
    title: str | None = None,
) -> Figure:
    """`transfer_heatmaps` of many models on a page, with one scale of colours and names at the left and below only.

    Numbers stand from 0.1 on. true: the two classes that it lets a target class take most from, apart from itself, are framed
    in every map.
    """
    rows = math.ceil(len(matrices) / columns)
    cell = (PAGE - 1.75) / columns
    figure = Figure(figsize=(PAGE, rows * (cell + 0.24) + 0.75 + (0.36 if title else 0)))
    if title:
        headline(figure, title)
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    for number, (name, matrix) in enumerate(matrices.items()):
        axis, left, lowest = axes[number], number % columns == 0, number + columns >= len(matrices)
        _heatmap(axis, _numbers(matrix), classes if lowest else (), classes if left else (), 1.0, 56 / len(classes), 0.095)
        axis.set_title(name, loc="left")
        axis.set(xlabel="exemplar" if lowest else "", ylabel="target" if left else "")
        if true is not None:
            _frame_largest(axis, _numbers(true))
    for axis in axes[len(matrices) :]:
        axis.set_axis_off()
    bar = figure.colorbar(axes[0].collections[0], ax=list(axes), shrink=0.5, aspect=30, pad=0.01)
    bar.outline.set_visible(False)
    bar.set_label("share of a row")
    return figure


@styled
def class_trees(
    linkages: dict[str, np.ndarray],
    classes: tuple[str, ...],
    title: str | None = None,
    columns: int | None = None,
    groups: Sequence[int] | None = None,
) -> Figure:
    """Fig. 12 of [MSCA]: which classes are exchanged for which, as dendrograms of linkages in SciPy's form (c − 1, 4).

    columns: trees beside each other, by default all. groups: a number for each class; names of one group have one colour.
    """
    columns = columns or len(linkages)
    rows = math.ceil(len(linkages) / columns)
    height = (0.24 if rows == 1 else 0.17) * len(classes) + 0.45
    figure = Figure(figsize=(min(4.4 * columns, PAGE), height * rows + (0.3 if title else 0)))
    if title:
        headline(figure, title)
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    colour = dict.fromkeys(classes, INK)
    if groups is not None:
        colour = {name: GROUP_COLOURS[group % len(GROUP_COLOURS)] for name, group in zip(classes, groups, strict=True)}
    for number, (name, linkage) in enumerate(linkages.items()):
        axis = axes[number]
        dendrogram(
            np.asarray(linkage), labels=list(classes), orientation="left", ax=axis, color_threshold=0,
            above_threshold_color=INK, leaf_font_size=8,
        )  # fmt: skip
        axis.set_title(name)
        if number + columns >= len(linkages):
            axis.set_xlabel("distance")
        for label in axis.get_yticklabels():
            label.set_color(colour[label.get_text()])
            label.set_fontweight("normal" if groups is None else "bold")
        axis.spines["left"].set_visible(False)
        axis.grid(axis="x", color=FAINT, alpha=0.2)
    for axis in axes[len(linkages) :]:
        axis.set_axis_off()
    return figure


def _numbers(matrix: Float[Tensor, "c c"]) -> np.ndarray:
    return matrix.detach().float().cpu().numpy()


def _heatmap(
    axis: Axes, shares: np.ndarray, below: Sequence[str], left: Sequence[str], largest: float, size: float, least: float
) -> None:
    """below, left: names of the columns and rows, empty for none. least: smaller shares have no number."""
    words = np.array([[f"{share:.2f}" if share >= least else "" for share in row] for row in shares])
    seaborn.heatmap(
        shares, ax=axis, vmin=0, vmax=largest, cmap="mako", square=True, cbar=False, annot=words, fmt="",
        annot_kws={"fontsize": size}, linewidths=0.4, xticklabels=list(below), yticklabels=list(left),
    )  # fmt: skip
    axis.tick_params(length=0)


def _frame_largest(axis: Axes, true: np.ndarray, count: int = 2) -> None:
    others = np.where(np.eye(len(true), dtype=bool), -1, np.nan_to_num(true))
    for row, best in enumerate(np.argsort(-others, axis=1)[:, :count]):
        for column in best:
            axis.add_patch(Rectangle((column, row), 1, 1, fill=False, ec="#E69F00", lw=1.0, zorder=4))
