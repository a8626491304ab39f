"""What feature networks see: distorted images with their distances, how distances grow, what is found by style and by part."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from jaxtyping import Float, Int
from matplotlib.figure import Figure
from torch import Tensor

from exemplar_lab.viz.style import COLOURS, FAINT, PAGE, frame, headline, picture_axes, show_image, styled

_LINES = (7, 1, 5, 4, 2, 3, 0)
"""Places in COLOURS of the looks, in the order in which they are given."""


@styled
def distortion_strip(
    image: Float[Tensor, "3 h w"],
    worse: Mapping[str, Float[Tensor, "l 3 h w"]],
    strengths: Sequence[float],
    distances: Mapping[str, Mapping[str, Float[Tensor, " l"]]],
    title: str | None = None,
) -> Figure:
    """One image and how it is distorted, a row per family, its distance from the original under every picture.

    distances: {look: {family: l numbers}}; printed relative to the largest of the look in the figure, 0 … 99, because looks
    have different units.
    """
    largest = {look: max(float(one.max()) for one in families.values()) for look, families in distances.items()}
    columns = len(strengths) + 1
    figure, axes = picture_axes(
        len(worse),
        columns,
        image.shape[-2] / image.shape[-1],
        title,
        min(1.0, PAGE / columns),
        0.1 + 0.12 * len(largest),
        0.18,
    )
    for number, (row, (family, pictures)) in enumerate(zip(axes, worse.items(), strict=True)):
        if number == 0:
            show_image(row[0], image, "original")
        row[0].set_axis_on()
        row[0].set(xticks=[], yticks=[], frame_on=number == 0)
        row[0].set_ylabel(family)
        names = row[1].text(-0.1, -0.04, "\n".join(largest), transform=row[1].transAxes, ha="right", va="top")
        names.set(fontsize=7, color=FAINT, in_layout=False)
        for column, picture in enumerate(pictures):
            show_image(row[column + 1], picture, None if number else f"strength {strengths[column]:.2g}")
            words = [f"{99 * float(distances[look][family][column]) / top:.0f}" for look, top in largest.items()]
            row[column + 1].text(
                0.5, -0.04, "\n".join(words), transform=row[column + 1].transAxes, ha="center", va="top", fontsize=7
            )
    return figure


@styled
def distance_curves(
    strengths: Sequence[float],
    distances: Mapping[str, Mapping[str, Float[Tensor, "n l"]]],
    correlation: Mapping[str, Mapping[str, float]],
    title: str | None = None,
) -> Figure:
    """A column per family, a row per look: the median over images, and the band that holds the middle eight in ten, relative to
    the look's mean at the strongest level. A wide band: the same strength is far in one image and near in another.

    distances: {look: {family: n images × l strengths}}; correlation: {look: {family: ρ over all images}}, written there.
    """
    families = list(next(iter(distances.values())))
    figure = Figure(figsize=(PAGE, 1.2 * len(distances) + 0.5 + (0.3 if title else 0)))
    if title:
        headline(figure, title)
    axes = figure.subplots(len(distances), len(families), squeeze=False, sharex=True, sharey=True)
    for number, (row, (look, of_look)) in enumerate(zip(axes, distances.items(), strict=True)):
        colour = COLOURS[_LINES[number % len(_LINES)]]
        for axis, family in zip(row, families, strict=True):
            lines = (of_look[family] / of_look[family][:, -1].mean()).cpu().numpy()
            low, middle, high = np.quantile(lines, (0.1, 0.5, 0.9), axis=0)
            axis.fill_between(strengths, low, high, color=colour, alpha=0.3, lw=0)
            axis.plot(strengths, middle, color=colour, lw=1.4)
            axis.text(0.04, 0.96, f"ρ {correlation[look][family]:.2f}", transform=axis.transAxes, va="top")
            axis.set_ylim(0, 2)
            axis.set_xticks([0, 0.5, 1], ["0", "½", "1"])
            axis.grid(axis="y")
        row[0].set_ylabel(look)
    for axis, family in zip(axes[0], families, strict=True):
        axis.set_title(family)
    for axis in axes[-1]:
        axis.set_xlabel("true strength")
    return figure


@styled
def retrieved_by_style(
    query: Float[Tensor, "n 3 h w"],
    gallery: Float[Tensor, "m 3 h w"],
    right: Int[Tensor, " n"],
    same: Mapping[str, Int[Tensor, " m"]],
    order: Mapping[str, Int[Tensor, "n m"]],
    best: int = 3,
    title: str | None = None,
) -> Figure:
    """For each query a row per look with the `best` nearest of the gallery: a thick frame round the painting by the same hand,
    whose place stands at the end; a thin one round those that share a quality with it.

    same: {quality: its number for every gallery image}, such as the medium. order: {look: gallery numbers, nearest first}.
    """
    rows = [(number, look) for number in range(len(query)) for look in order]
    figure, axes = picture_axes(
        len(rows), best + 2, query.shape[-2] / query.shape[-1], title, min(1.0, PAGE / (best + 3)), 0.06, 0.2
    )
    for line, (row, (number, look)) in enumerate(zip(axes, rows, strict=True)):
        if look == next(iter(order)):
            show_image(row[0], query[number], None if line else "query")
        wanted = int(right[number])
        for place, found in enumerate(order[look][number, :best].tolist()):
            show_image(row[place + 1], gallery[found], None if line else f"{place + 1}.")
            shared = any(int(of[found]) == int(of[wanted]) for of in same.values())
            width, colour = (2.6, COLOURS[2]) if found == wanted else (1.2, COLOURS[0]) if shared else (0.4, "#c9c9d1")
            for spine in row[place + 1].spines.values():
                spine.set(linewidth=width, color=colour)
        place = (order[look][number] == wanted).nonzero().item() + 1
        row[best + 1].text(0.05, 0.5, f"{look}:\nright one at\nplace {place}", transform=row[best + 1].transAxes, va="center")
    return figure


@styled
def part_maps(
    rows: Sequence[tuple[Mapping[str, Float[Tensor, "3 h w"]], Mapping[str, Int[Tensor, "hp wp"]], Mapping[str, float]]],
    title: str | None = None,
) -> Figure:
    """Pictures, then maps of parts in colours, then how much of a map is right (written under it), one row per sample; what is
    no part is white. All rows have the same columns.
    """
    pictures, parts, _ = rows[0]
    columns = len(pictures) + len(parts)
    figure, axes = picture_axes(len(rows), columns, 1.0, title, min(1.3, PAGE / columns), 0.2, 0.18)
    for line, (row, (pictures, parts, share)) in enumerate(zip(axes, rows, strict=True)):
        colours = _part_colours(max(int(one.max()) for one in parts.values()) + 1)
        for axis, (name, picture) in zip(row, pictures.items(), strict=False):
            show_image(axis, picture, None if line else name)
        for axis, (name, one) in zip(row[len(pictures) :], parts.items(), strict=True):
            frame(axis)
            axis.imshow(colours[(one + 1).cpu().numpy()])
            if not line:
                axis.set_title(name)
            if name in share:
                axis.set_xlabel(f"{share[name]:.0%} right", labelpad=2)
    return figure


def _part_colours(count: int) -> np.ndarray:
    """White for −1, then hues in an order that keeps neighbours apart."""
    hues = matplotlib.colormaps["tab20"](np.arange(count) % 20)[:, :3]
    return np.concatenate([np.ones((1, 3)), hues])
