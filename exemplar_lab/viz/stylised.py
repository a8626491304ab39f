"""Style transfer: all contents in all styles, and how much of both wishes each method fulfils."""

from collections.abc import Mapping

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
) -> Figure:
    """Fig. 13 of [DynaST]: styles above, contents at the left, and every content in every style.

    words: a few for each content, and for each style. width: of one picture, in inches.
    """
    figure, axes = picture_axes(
        len(contents) + 1, len(styles) + 1, contents.shape[-2] / contents.shape[-1], title, width, room=0.06, words=0.18
    )
    for column, (style, name) in enumerate(zip(styles, words[1], strict=True), start=1):
        show_image(axes[0, column], style, name)
    for row, (content, name) in enumerate(zip(contents, words[0], strict=True), start=1):
        show_image(axes[row, 0], content)
        axes[row, 0].text(-0.04, 0.5, name, transform=axes[row, 0].transAxes, rotation=90, ha="right", va="center")
        for column, image in enumerate(made[row - 1], start=1):
            show_image(axes[row, column], image)
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
