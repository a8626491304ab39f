"""Normalisations, drawn: which numbers share a mean, what is taken away, what is left, and how well either can be read."""

from collections.abc import Mapping, Sequence
from math import isqrt

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from torch import Tensor

from exemplar_lab.viz.style import COLOURS, FAINT, INK, PAGE, frame, headline, picture_axes, show_image, styled

Number = Mapping[str, float]
"""{"mean", "half_width"}, as `metrics.tables.summarise` gives them."""

_SERIES = (5, 4, 2, 3, 0, 1)


@styled
def averaged_sets(
    images: Float[Tensor, "b 3 h w"],
    sets: Mapping[str, Sequence[int]],
    taken: Mapping[str, tuple[Float[Tensor, "_ _ _ _"], Float[Tensor, "_ _ _ _"]]],
    title: str | None = None,
) -> Figure:
    """Above, the block b × c × h × w of each normalisation, a row per sample, a column per channel; coloured is what shares its
    mean with the ringed number. Below, the means and deviations that were taken from these images, as what they are: one square
    per channel, one per sample, or one per position, which is a picture.

    sets: the axes averaged over, of b c h w = 0 1 2 3. taken: mean and deviation, averaged axes kept with length 1.
    """
    samples, columns = len(images), 2 * len(sets)
    side = PAGE / (columns + 1.25)
    figure = Figure(figsize=(PAGE, 1.9 + samples * (side + 0.06) + (0.3 if title else 0)))
    if title:
        headline(figure, title)
    grid = GridSpec(
        samples + 1, columns + 1, figure, height_ratios=[1.7 / side, *[1] * samples], width_ratios=[1.25, *[1] * columns]
    )
    for row, image in enumerate(images):
        show_image(figure.add_subplot(grid[row + 1, 0]), image)
    words = figure.add_subplot(grid[0, 0])
    words.set_axis_off()
    words.text(0, 0.5, "the numbers that\nshare one mean\nand one deviation", transform=words.transAxes, va="center")
    words.text(0, 0.0, "what was taken:", transform=words.transAxes, va="bottom", color=FAINT)
    for number, (name, axes) in enumerate(sets.items()):
        _block(figure.add_subplot(grid[0, 2 * number + 1 : 2 * number + 3]), axes, name, taken[name][0].shape)
        for part, (one, words) in enumerate(zip(taken[name], ("mean", "deviation"), strict=True)):
            low, high = np.quantile(one.detach().cpu().numpy(), (0.01, 0.99))
            column = 2 * number + 1 + part
            for row in range(len(one)):
                place = grid[1:, column] if len(one) < samples else grid[row + 1, column]
                axis = figure.add_subplot(place)
                _as_what_it_is(axis, one[row], low, high)
                if row == 0:
                    axis.set_title(words, color=FAINT, fontsize=7.5)
                if len(one) < samples:
                    axis.set_xlabel("one for all", color=FAINT, fontsize=7, labelpad=2)
    return figure


def _block(axis: Axes, averaged: Sequence[int], name: str, kept: Sequence[int], samples: int = 3, side: int = 3) -> None:
    """A small b × c × h × w block as pictures in rows and columns, coloured where one mean is taken."""
    channels, marked = 4, (1, 1, 1, 1)
    places = np.indices((samples, channels, side, side))
    together = np.all([places[k] == marked[k] for k in range(4) if k not in averaged], axis=0)
    step = side + 1
    sheet = np.full((samples * step - 1, channels * step - 1), np.nan)
    for sample in range(samples):
        for channel in range(channels):
            sheet[sample * step : sample * step + side, channel * step : channel * step + side] = together[sample, channel]
    axis.imshow(sheet, cmap=matplotlib.colors.ListedColormap(["#dfdfe6", COLOURS[0]]), vmin=0, vmax=1)
    axis.plot(marked[1] * step + marked[3], marked[0] * step + marked[2], "o", ms=4, mfc="none", mec=INK, mew=1.1)
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)
    axis.set_title(name, fontweight="bold")
    axis.set_ylabel("samples", color=FAINT, fontsize=7)
    count = " × ".join(["2", *(f"{length}" for length in kept if length > 1)])
    axis.set_xlabel(f"channels →\n{count} numbers taken", color=FAINT, fontsize=7, labelpad=2)


def _as_what_it_is(axis: Axes, one: Float[Tensor, "c h w"], low: float, high: float) -> None:
    """One number per channel as a board of squares, one per position as a picture, a single one as a single square."""
    if one.shape[-1] * one.shape[-2] > 1:
        values = one[0]
    else:
        rows = max(k for k in range(1, isqrt(len(one)) + 1) if len(one) % k == 0)
        values = one.flatten().view(rows, -1)
    frame(axis)
    axis.set_anchor("N")
    axis.imshow(values.detach().cpu().numpy(), vmin=low, vmax=max(high, low + 1e-9), cmap="viridis")


@styled
def maps_of_channels(
    maps: Mapping[str, Float[Tensor, "c h w"]], channels: Sequence[int], limit: float = 3.0, title: str | None = None
) -> Figure:
    """A row per name, a column per channel, all on one scale from −limit (blue) over 0 (white) to limit (red); before them the
    strength of each position, the root mean square over its channels, from 0 (black) to limit.
    """
    first = next(iter(maps.values()))
    columns = len(channels) + 1
    figure, axes = picture_axes(
        len(maps),
        columns,
        first.shape[-2] / first.shape[-1],
        title,
        min(1.0, (PAGE - 1.0) / columns),
        room=0.03,
        words=0.2,
        bar=1.0,
    )
    for number, (row, (name, one)) in enumerate(zip(axes, maps.items(), strict=True)):
        for axis in row:
            frame(axis)
        strong = row[0].imshow(one.square().mean(0).sqrt().detach().cpu().numpy(), vmin=0, vmax=limit, cmap="magma")
        row[0].set_ylabel(name, fontweight="bold")
        for axis, channel in zip(row[1:], channels, strict=True):
            shown = axis.imshow(one[channel].detach().cpu().numpy(), vmin=-limit, vmax=limit, cmap="RdBu_r")
        if number == 0:
            row[0].set_title("strength")
            for axis, channel in zip(row[1:], channels, strict=True):
                axis.set_title(f"channel {channel}")
    upper = len(maps) // 2
    for name, one, rows, beyond in (("strength", strong, axes[:upper], "max"), ("channels", shown, axes[upper:], "both")):
        figure.colorbar(one, ax=rows.ravel().tolist(), shrink=0.9, pad=0.015, aspect=18, extend=beyond, label=name)
    return figure


@styled
def grouped_pictures(groups: Mapping[str, Mapping[str, Float[Tensor, "n 3 h w"]]], title: str | None = None) -> Figure:
    """A row per sample, a column per name, the columns of a group under its name and apart from other groups'."""
    columns = [(group, name, images) for group, of_group in groups.items() for name, images in of_group.items()]
    samples = {len(images) for _, _, images in columns}
    if len(samples) != 1:
        raise ValueError(f"got columns of {sorted(samples)} images, expected the same number in each: cut the longer ones")
    images, gap = columns[0][2], 0.15
    width = (PAGE - gap * (len(groups) - 1)) / len(columns)
    height = width * images.shape[-2] / images.shape[-1]
    figure = Figure(figsize=(PAGE, (height + 0.05) * len(images) + 0.4 + (0.3 if title else 0)))
    if title:
        headline(figure, title)
    widths = [gap, *(one for of_group in groups.values() for one in [*[width] * len(of_group), gap])][1:-1]
    grid = GridSpec(len(images) + 1, len(widths), figure, width_ratios=widths, height_ratios=[0.06, *[height] * len(images)])
    first = 0
    for group, of_group in groups.items():
        over = figure.add_subplot(grid[0, first : first + len(of_group)])
        over.set_axis_off()
        over.text(0.5, 0.5, group, transform=over.transAxes, ha="center", fontweight="bold")
        for column, (name, pictures) in enumerate(of_group.items(), first):
            for row, picture in enumerate(pictures):
                show_image(figure.add_subplot(grid[row + 1, column]), picture, name if row == 0 else None)
        first += len(of_group) + 1
    return figure


@styled
def interval_rows(
    panels: Mapping[str, Mapping[str, Mapping[str, Number]]],
    xlabel: str | Sequence[str],
    limits: tuple[int | float, int | float] | None = None,
    title: str | None = None,
) -> Figure:
    """A panel per name, a line per row, in it a point with its 95 % interval for each series, which looks alike everywhere."""
    rows = max(len(of_panel) for of_panel in panels.values())
    figure = Figure(figsize=(PAGE, 0.27 * rows + 0.95 + (0.3 if title else 0)))
    if title:
        headline(figure, title)
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    xlabels = [xlabel] * len(panels) if isinstance(xlabel, str) else list(xlabel)
    for axis, (name, of_panel), words in zip(axes, panels.items(), xlabels, strict=True):
        _points(axis, of_panel)
        axis.set_title(name, loc="left")
        axis.set_xlabel(words)
        if limits:
            axis.set_xlim(limits)
    _name_series(figure, list(axes))
    return figure


@styled
def worst_cases(
    pictures: Mapping[str, Mapping[str, Float[Tensor, "3 h w"]]],
    numbers: Mapping[str, Mapping[str, Mapping[str, Number]]],
    xlabel: str,
    title: str | None = None,
) -> Figure:
    """A line per situation: pictures of one case, and beside them the numbers over all, as `interval_rows` draws them."""
    first = next(iter(pictures.values()))
    side, room = 1.0, 3.6
    figure = Figure(figsize=(room + side * len(first), (side + 0.08) * len(pictures) + 0.75 + (0.3 if title else 0)))
    if title:
        headline(figure, title)
    axes = figure.subplots(len(pictures), len(first) + 1, squeeze=False, width_ratios=[*[side] * len(first), room])
    for number, (row, (name, images)) in enumerate(zip(axes, pictures.items(), strict=True)):
        for axis, (what, image) in zip(row, images.items(), strict=False):
            show_image(axis, image, what if number == 0 else None)
        row[0].set_ylabel(name)
        _points(row[-1], numbers[name])
    right = max(axis.get_xlim()[1] for axis in axes[:, -1])
    for axis in axes[:, -1]:
        axis.set_xlim(0, right)
    axes[-1, -1].set_xlabel(xlabel)
    _name_series(figure, list(axes[:, -1]))
    return figure


def _points(axis: Axes, of_panel: Mapping[str, Mapping[str, Number]]) -> None:
    series = list(dict.fromkeys(name for of_row in of_panel.values() for name in of_row))
    for number, name in enumerate(series):
        lines = [line for line, of_row in enumerate(of_panel.values()) if name in of_row]
        found = [of_row[name] for of_row in of_panel.values() if name in of_row]
        at = np.array(lines, dtype=float) + 0.26 * (number - (len(series) - 1) / 2)
        axis.errorbar(
            [one["mean"] for one in found], at, xerr=[one["half_width"] for one in found], fmt="os^Dv"[number % 5], ms=4.5,
            mfc="white" if number % 2 else None, lw=0, elinewidth=1.2, color=COLOURS[_SERIES[number % 6]], label=name,
        )  # fmt: skip
    axis.set_yticks(range(len(of_panel)), list(of_panel))
    axis.set_ylim(len(of_panel) - 0.5, -0.5)
    axis.grid(axis="x")


def _name_series(figure: Figure, axes: Sequence[Axes]) -> None:
    found = {text: handle for axis in axes for handle, text in zip(*axis.get_legend_handles_labels(), strict=True)}
    if len(found) > 1:
        figure.legend(found.values(), found.keys(), loc="outside lower center", ncols=min(4, len(found)))
