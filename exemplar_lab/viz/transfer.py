"""Which class feeds which: transfer matrices as heat maps, and the trees of classes that follow from them."""

import numpy as np
import seaborn
from jaxtyping import Float
from matplotlib.figure import Figure
from scipy.cluster.hierarchy import dendrogram
from torch import Tensor

from exemplar_lab.viz.style import FAINT, INK, PAGE, headline, styled


@styled
def transfer_heatmaps(matrices: dict[str, Float[Tensor, "c c"]], classes: tuple[str, ...], title: str | None = None) -> Figure:
    """Fig. 10 of [MSCA], turned so that a row says where the look of a target class comes from, as shares of the exemplar's.

    NaN, for classes that never occurred, stays white.
    """
    side = min(4.6, PAGE / len(matrices))
    figure = Figure(figsize=(side * len(matrices), side + (0.35 if title else 0.05)))
    if title:
        headline(figure, title)
    for axis, (name, matrix) in zip(figure.subplots(1, len(matrices), squeeze=False)[0], matrices.items(), strict=True):
        shares = matrix.detach().float().cpu().numpy()
        seaborn.heatmap(
            shares, ax=axis, vmin=0, vmax=max(float(np.nan_to_num(shares).max()), 1e-6), cmap="mako", square=True, cbar=False,
            annot=True, fmt=".2f", annot_kws={"fontsize": 54 / len(classes)}, linewidths=0.4,
            xticklabels=classes, yticklabels=classes,
        )  # fmt: skip
        axis.set(xlabel="exemplar", ylabel="target", title=name)
        axis.tick_params(length=0)
    return figure


@styled
def class_trees(linkages: dict[str, np.ndarray], classes: tuple[str, ...], title: str | None = None) -> Figure:
    """Fig. 12 of [MSCA]: which classes are exchanged for which, as dendrograms of linkages in SciPy's form (c − 1, 4)."""
    figure = Figure(figsize=(min(4.4 * len(linkages), PAGE), 0.24 * len(classes) + (0.75 if title else 0.45)))
    if title:
        headline(figure, title)
    for axis, (name, linkage) in zip(figure.subplots(1, len(linkages), squeeze=False)[0], linkages.items(), strict=True):
        dendrogram(
            np.asarray(linkage), labels=list(classes), orientation="left", ax=axis, color_threshold=0,
            above_threshold_color=INK, leaf_font_size=8,
        )  # fmt: skip
        axis.set(title=name, xlabel="distance")
        axis.tick_params(axis="y", colors=INK)
        axis.spines["left"].set_visible(False)
        axis.grid(axis="x", color=FAINT, alpha=0.2)
    return figure
