"""Pages for looks that are mixed, and for a canvas made around a patch."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from exemplar_lab.viz.style import COLOURS, FAINT, INK, PAGE, headline, picture_axes, show_image, styled


@styled
def mixture_grid(
    images: Float[Tensor, "n 3 h w"],
    corners: Sequence[Float[Tensor, "3 h w"]],
    columns: int,
    title: str | None = None,
) -> Figure:
    """Fig. 5 of [MSCA]: a grid of mixtures (row-major) of four exemplars, each of which stands outside of its own corner.

    corners: upper left, upper right, lower left, lower right.
    """
    rows = len(images) // columns
    if len(corners) != 4 or rows * columns != len(images) or rows < 2:
        raise ValueError(
            f"got {len(images)} images in {columns} columns and {len(corners)} exemplars, expected whole rows, at least "
            "two, and four exemplars"
        )
    figure, axes = picture_axes(
        rows, columns + 2, images.shape[2] / images.shape[3], title, PAGE / (columns + 2), room=0.0, words=0.2
    )
    for number, image in enumerate(images):
        show_image(axes[number // columns, number % columns + 1], image)
    for number, image in enumerate(corners):
        axis = axes[(rows - 1) * (number // 2), (columns + 1) * (number % 2)]
        show_image(axis, image, "exemplar" if number < 2 else None)
        for spine in axis.spines.values():
            spine.set(color=COLOURS[number], linewidth=2.5)
    return figure


@styled
def ramps(
    ends: tuple[Float[Tensor, "3 h w"], Float[Tensor, "3 h w"]],
    images: Mapping[str, Float[Tensor, "3 h w"]],
    wanted: Mapping[str, Float[Tensor, " w"]],
    found: Mapping[str, Float[Tensor, " n"]],
    title: str | None = None,
) -> Figure:
    """Fig. 7 of [MSCA]: pictures that go from the look of one exemplar to that of another, left to right.

    ends: the exemplars, at either side. wanted: the share of the second that was asked for, by column; found: the share that is
    found in bands of equal width. Both by the names of the images; names that are missing have no line.
    """
    count = len(images) + 2
    first = next(iter(images.values()))
    side = PAGE / count
    figure = Figure(figsize=(PAGE, side * first.shape[1] / first.shape[2] + 1.35 + (0.3 if title else 0)))
    if title:
        headline(figure, title)
    axes = figure.subplots(2, count, height_ratios=(side * first.shape[1] / first.shape[2], 0.9), squeeze=False)
    named: tuple[list, list] = ([], [])
    shown = {"first exemplar": ends[0], **images, "second exemplar": ends[1]}
    for column, (name, image) in enumerate(shown.items()):
        show_image(axes[0, column], image, name)
        axis = axes[1, column]
        if name not in found and name not in wanted:
            axis.set_axis_off()
            continue
        if name in wanted:
            line = wanted[name].cpu().numpy()
            axis.plot((np.arange(len(line)) + 0.5) / len(line), line, color=FAINT, ls=":", label="wanted")
        if name in found:
            line = found[name].cpu().numpy()
            axis.plot((np.arange(len(line)) + 0.5) / len(line), line, "o-", ms=3, color=COLOURS[5], label="found")
        axis.set(xlim=(0, 1), ylim=(-0.1, 1.1), xticks=[], yticks=[0, 1])
        axis.tick_params(axis="y", length=0, pad=-9)
        axis.grid(axis="y")
        named = axis.get_legend_handles_labels()
    axes[1, 0].legend(*named, title="share of the second,\nfrom left to right", loc="center left", borderpad=0)
    return figure


@styled
def canvases(rows: Sequence[Mapping[str, Float[Tensor, "3 h w"]]], patch: tuple[int, int], title: str | None = None) -> Figure:
    """Fig. 8 of [MSCA]: canvases made around a patch, the patch at the centre framed; a line of pictures for each sample.

    patch: its (height, width) in pixels of the canvases.
    """
    first = next(iter(rows[0].values()))
    figure, axes = picture_axes(
        len(rows), len(rows[0]), first.shape[1] / first.shape[2], title, min(2.4, PAGE / len(rows[0])), room=0.0, words=0.3
    )
    for row, shown in enumerate(rows):
        for column, (name, image) in enumerate(shown.items()):
            axis = axes[row, column]
            show_image(axis, image, name if row == 0 else None)
            (height, width), (h, w) = image.shape[1:], patch
            corner = (width - w) / 2, (height - h) / 2
            axis.add_patch(Rectangle(corner, w, h, fill=False, color="white", lw=1.6))
            axis.add_patch(Rectangle(corner, w, h, fill=False, color=INK, lw=0.7, ls=(0, (3, 2))))
    return figure
