"""Every structure with every exemplar as numbers: for images that may not be shown."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import seaborn
from jaxtyping import Bool, Float
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from exemplar_lab.viz.style import PAGE, headline, styled

RIGHT = "#E69F00"


class SwapPanel(NamedTuple):
    """A number for each structure (row) and exemplar (column), and where the answer is right, which gets a frame.

    even: the value at which neither colour is seen, for numbers that lie on both sides of it; None: from small to large.
    """

    values: Float[Tensor, "n m"]
    right: Bool[Tensor, "n m"] | None = None
    even: float | None = None


@styled
def swap_numbers(
    panels: dict[str, SwapPanel],
    structures: Sequence[str],
    exemplars: Sequence[str],
    columns: int = 2,
    title: str | None = None,
) -> Figure:
    """Heat maps of `panels` by name, all with the same structures and exemplars; below each column how many cells are right."""
    rows = -(-len(panels) // columns)
    longest = max(map(len, structures))
    side = (PAGE - 0.065 * longest - 0.5) / columns
    height = side * len(structures) / len(exemplars)
    figure = Figure(figsize=(PAGE, rows * (height + 0.5) + 0.065 * longest + (0.4 if title else 0.1)))
    if title:
        headline(figure, title)
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    for number, (name, panel) in enumerate(panels.items()):
        axis, first, last = axes[number], number % columns == 0, number + columns >= len(panels)
        seaborn.heatmap(
            _numbers(panel.values), ax=axis, square=True, annot=True, fmt=".2f", annot_kws={"fontsize": 6.8}, linewidths=0.6,
            cbar=False, **_colours(panels.values(), panel.even),
        )  # fmt: skip
        axis.set_title(name, loc="left")
        axis.tick_params(length=0)
        right = None if panel.right is None else panel.right.cpu().numpy()
        counts = [""] * len(exemplars) if right is None else [f"{int(n)}/{len(right)}" for n in right.sum(0)]
        axis.set_xticklabels(
            [f"{word}\n{count}" if last else count for word, count in zip(exemplars, counts, strict=True)], rotation=0
        )
        axis.set_yticklabels(structures if first else [""] * len(structures), rotation=0)
        axis.set(xlabel="exemplar; framed cells of each column" if last else "", ylabel="structure" if first else "")
        for row, column in [] if right is None else np.argwhere(right):
            axis.add_patch(Rectangle((column + 0.06, row + 0.06), 0.88, 0.88, fill=False, ec=RIGHT, lw=1.5, zorder=4))
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    return figure


def _colours(panels: Iterable[SwapPanel], even: float | None) -> dict[str, object]:
    """One scale for all panels of one kind, so that they can be compared."""
    values = np.concatenate([_numbers(one.values).ravel() for one in panels if one.even == even])
    if even is None:
        return {"cmap": "mako", "vmin": float(np.nanmin(values)), "vmax": float(np.nanmax(values))}
    reach = max(float(np.nanmax(np.abs(values - even))), 1e-6)
    return {"cmap": "vlag", "vmin": even - reach, "vmax": even + reach}


def _numbers(values: Float[Tensor, "n m"]) -> np.ndarray:
    return values.detach().float().cpu().numpy()
