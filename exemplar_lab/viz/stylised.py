"""Style transfer: all contents in all styles, and how much of both wishes each method fulfils."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from exemplar_lab.viz.intervals import Number
from exemplar_lab.viz.style import COLOURS, FAINT, INK, headline, picture_axes, show_image, styled


@styled
def style_matrix(
    contents: Float[Tensor, "n 3 h w"],
    styles: Float[Tensor, "m 3 h w"],
    made: Float[Tensor, "n m 3 h w"],
    words: tuple[list[str], list[str]],
    title: str | None = None,
    width: float | None = None,
    truth: Float[Tensor, "n m 3 h w"] | None = None,
    numbers: list[list[str]] | None = None,
    own: bool = False,
) -> Figure:
    """Fig. 13 of [DynaST], Fig. 9 and 14 of [MSCA]: styles above, contents at the left, and every content in every style.

    words: a few for each content, and for each style. width: of one picture, in inches. truth: the right answer to each cell,
    shown at its right. numbers: of each cell, written above it. own: frame the diagonal, where both are of one picture.
    """
    wide = 1 if truth is None else 2
    aspect = contents.shape[-2] / contents.shape[-1] / wide
    figure, axes = picture_axes(
        len(contents) + 1, len(styles) + 1, aspect, title, width and wide * width, 0.08 if numbers else 0.06, 0.18
    )
    for column, (style, name) in enumerate(zip(styles, words[1], strict=True), start=1):
        show_image(axes[0, column], style, name)
    for row, (content, name) in enumerate(zip(contents, words[0], strict=True), start=1):
        show_image(axes[row, 0], content)
        axes[row, 0].text(-0.04, 0.5, name, transform=axes[row, 0].transAxes, rotation=90, ha="right", va="center")
        for column, image in enumerate(made[row - 1], start=1):
            axis = axes[row, column]
            both = image if truth is None else torch.cat([image, truth[row - 1, column - 1]], dim=-1)
            show_image(axis, both)
            if numbers:
                axis.set_title(numbers[row - 1][column - 1], fontsize=7, pad=2)
            if own and row == column:
                for spine in axis.spines.values():
                    spine.set(linewidth=1.8, color=COLOURS[4], zorder=5)
    axes[0, 0].text(0.96, 0.04, "style →\n\ncontent ↓", transform=axes[0, 0].transAxes, ha="right", va="bottom", color=FAINT)
    return figure


@styled
def style_scatter(
    rows: Mapping[str, Mapping[str, Float[Tensor, " n"]]],
    means: Mapping[str, Mapping[str, Number]],
    features: str,
    title: str | None = None,
) -> Figure:
    """Fig. 8, left, of [DynaST]: content SSIM against style loss; each image a faint dot, each method's mean a large one with
    its 95 % intervals. Good is to the right and low.

    rows: {method: {"content_ssim", "style_loss": one value per image}}; means: the same, summarised. features: their name.
    """
    figure = Figure(figsize=(6.2, 4.2))
    if title:
        headline(figure, title)
    axis = figure.subplots()
    for number, (name, numbers) in enumerate(rows.items()):
        colour = COLOURS[(7, 1, 0, 3, 5, 2, 4)[number % 7]]
        axis.plot(numbers["content_ssim"], numbers["style_loss"], ".", ms=6, color=colour, alpha=0.4, mew=0, clip_on=False)
        across, up = means[name]["content_ssim"], means[name]["style_loss"]
        axis.errorbar(
            across["mean"], up["mean"], xerr=across["half_width"], yerr=up["half_width"],
            fmt="o", ms=7, color=colour, mec=INK, mew=0.6, elinewidth=1.2, label=name, zorder=4, clip_on=False,
        )  # fmt: skip
    axis.set(xlabel="content SSIM (luminance)", ylabel=f"style loss, Eq. (11), through {features}")
    axis.set_xlim(right=1.0)
    axis.set_yscale("symlog", linthresh=0.1)
    axis.set_ylim(bottom=0)
    axis.grid(True)
    figure.legend(loc="outside right upper")
    return figure
