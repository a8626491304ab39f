"""The regions of a factored match, drawn: where each looks, what its gate leaves, whom it serves, which classes it holds."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
import seaborn
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from torch import Tensor

from exemplar_lab.correspondence import FactoredMatch
from exemplar_lab.viz.intervals import Number
from exemplar_lab.viz.matches import in_the_dark, with_heat
from exemplar_lab.viz.style import COLOURS, FAINT, INK, PAGE, as_rgb, headline, show_image, styled

_ABREAST = 8
"""Regions in a line."""


@styled
def region_maps(
    match: FactoredMatch,
    target: Float[Tensor, "b 3 h w"],
    exemplar: Float[Tensor, "b 3 h w"],
    sample: int = 0,
    title: str | None = None,
) -> Figure:
    """Fig. 6 of [MSCA]: of each region where it gathers, over the exemplar, and under it where it is given, over the target.

    target: a picture, or a label map as people look at it. Heat is relative to the largest weight of its region; the target is
    lit by β itself, from dark (0) to its own colours (1). The bar between them is the gate, 0 … 1, in the mean colour of what
    the region gathers.
    """
    regions = match.gate.shape[1]
    columns = min(_ABREAST, regions)
    blocks = -(-regions // columns)
    aspect = exemplar.shape[2] / exemplar.shape[3]
    width = min(1.6, PAGE / (columns + 1.0))
    bar, gap = 0.15, 0.1
    height = blocks * (2 * width * aspect + bar + 0.3 + gap)
    figure = Figure(figsize=(width * (columns + 1), height + (0.35 if title else 0.05)))
    if title:
        headline(figure, title)
    grid = figure.add_gridspec(
        4 * blocks, columns + 1, height_ratios=[width * aspect, bar, width * aspect, gap] * blocks, hspace=0
    )
    picture = torch.nn.functional.interpolate(exemplar[sample : sample + 1].detach(), match.key_size, mode="area")[0]
    alpha, beta, gate = (one[sample].detach() for one in (match.key_factor, match.query_factor, match.gate))
    gathered = (alpha @ picture.flatten(1).T / alpha.sum(1, keepdim=True).clamp_min(1e-12)).clamp(0, 1)
    ground = in_the_dark(exemplar[sample])
    for block in range(blocks):
        top, middle, low = (4 * block + line for line in range(3))
        show_image(figure.add_subplot(grid[top, 0]), exemplar[sample], "exemplar")
        words = figure.add_subplot(grid[middle, 0])
        words.set_axis_off()
        words.text(0.5, 0.5, "gate, 0 … 1", ha="center", va="center", fontsize=7.5, color=FAINT)
        show_image(figure.add_subplot(grid[low, 0]), target[sample])
        for column, region in enumerate(range(block * columns, min(regions, (block + 1) * columns))):
            axis = figure.add_subplot(grid[top, column + 1])
            show_image(axis, with_heat(ground, alpha[region].cpu().unflatten(0, match.key_size)), f"region {region + 1}")
            _gate_bar(figure.add_subplot(grid[middle, column + 1]), float(gate[region]), gathered[region].tolist())
            axis = figure.add_subplot(grid[low, column + 1])
            show_image(axis, lit(target[sample], beta[:, region].unflatten(0, match.query_size)))
    return figure


def lit(picture: Float[Tensor, "3 h w"], share: Float[Tensor, "_ _"]) -> np.ndarray:
    """The picture where the share is 1, almost dark where it is 0."""
    share = share.detach().float().cpu().clamp(0, 1)
    share = torch.nn.functional.interpolate(share[None, None], picture.shape[1:], mode="nearest")[0, 0].numpy()[..., None]
    return as_rgb(picture) * (0.1 + 0.9 * share)


def _gate_bar(axis: Axes, gate: float, colour: Sequence[float]) -> None:
    axis.barh(0, 1, height=1, color="#ececf1", lw=0)
    axis.barh(0, gate, height=1, color=colour, lw=0)
    axis.barh(0, 1, height=1, color="none", edgecolor="#c9c9d1", lw=0.5)
    axis.text(
        0.5, 0, f"{gate:.2f}", ha="center", va="center_baseline", fontsize=7,
        path_effects=[withStroke(linewidth=1.8, foreground="white")],
    )  # fmt: skip
    axis.set(xlim=(0, 1), ylim=(-0.5, 0.5), xticks=[], yticks=[])
    axis.spines[:].set_visible(False)


@styled
def region_classes(
    gathered: Float[Tensor, "r c"],
    served: Float[Tensor, "c r"],
    classes: Sequence[str],
    area: Float[Tensor, " c"] | None = None,
    title: str | None = None,
) -> Figure:
    """Region by class: at the left what each region gathers, at the right what share of each target class it gives.

    Lines at the left sum to one, columns at the right do. area: the share of each class in the exemplars, which is what one
    even region would gather; a last line at the left. NaN stays white.
    """
    regions = len(gathered)
    lines = regions + (area is not None)
    figure = Figure(figsize=(PAGE, 0.2 * lines + 1.15 + (0.3 if title else 0)))
    if title:
        headline(figure, title)
    left, right = figure.subplots(1, 2)
    numbers = [str(number + 1) for number in range(regions)]
    extra = [] if area is None else ["all, evenly"]
    holds = gathered if area is None else torch.cat([gathered, area[None]])
    for axis, values, names in ((left, holds, numbers + extra), (right, served.T, numbers)):
        shares = values.detach().double().cpu().numpy()
        written = np.vectorize(lambda share: f"{share:.2f}".lstrip("0") if share >= 0.095 else "")(np.nan_to_num(shares))
        seaborn.heatmap(
            shares, ax=axis, vmin=0, vmax=1, cmap="mako", cbar=False, annot=written, fmt="", annot_kws={"fontsize": 6.5},
            linewidths=0.4, xticklabels=classes, yticklabels=names,
        )  # fmt: skip
        axis.tick_params(length=0, labelsize=7.5)
        axis.tick_params(axis="x", rotation=90)
        axis.tick_params(axis="y", rotation=0)
    if area is not None:
        left.axhline(regions, color="white", lw=3)
    left.set(title="what a region gathers (a line sums to 1)", xlabel="class of the exemplar", ylabel="region")
    right.set(title="who gives to a class (a column sums to 1)", xlabel="class of the target")
    return figure


@styled
def gate_ranges(gates: Mapping[str, Float[Tensor, "n r"]], title: str | None = None) -> Figure:
    """The gate of each region over n pairs, a panel for each name: median, the middle half, and from the 5th to the 95th
    percentile."""
    figure = Figure(figsize=(PAGE, 2.1 + (0.3 if title else 0)))
    if title:
        headline(figure, title)
    widths = [max(4, gate.shape[1]) for gate in gates.values()]
    axes = figure.subplots(1, len(gates), squeeze=False, sharey=True, gridspec_kw={"width_ratios": widths})[0]
    for axis, (name, gate) in zip(axes, gates.items(), strict=True):
        levels = torch.tensor([0.05, 0.25, 0.5, 0.75, 0.95], dtype=torch.float64)
        low, first, middle, third, high = gate.detach().double().cpu().quantile(levels, dim=0).numpy()
        at = np.arange(1, gate.shape[1] + 1)
        axis.vlines(at, low, high, color=COLOURS[1], lw=1.2)
        axis.vlines(at, first, third, color=COLOURS[5], lw=4.5)
        axis.plot(at, middle, "o", ms=3.2, mfc="white", mec=INK, mew=0.8)
        axis.set(title=name, xlabel="region", xlim=(0.3, gate.shape[1] + 0.7), ylim=(-0.02, 1.02))
        axis.set_xticks(at if len(at) <= 8 else at[::3])
        axis.grid(axis="y")
    axes[0].set_ylabel("gate")
    return figure


@styled
def class_shares(
    rows: Mapping[str, Sequence[Number]],
    classes: Sequence[str],
    colours: Sequence[tuple[float, float, float]],
    xlabel: str = "share",
    title: str | None = None,
) -> Figure:
    """A bar for each row, cut by what each class gives; under each part its share and half of its 95 % interval.

    colours: of the classes. Parts below four hundredths have no words.
    """
    figure = Figure(figsize=(PAGE, 0.46 * len(rows) + 0.75 + (0.3 if title else 0)))
    if title:
        headline(figure, title)
    axis = figure.subplots()
    for line, numbers in enumerate(rows.values()):
        start = 0.0
        for number, colour in zip(numbers, colours, strict=True):
            share = float(np.nan_to_num(number["mean"]))
            axis.barh(line, share, left=start, height=0.78, color=colour, edgecolor="white", lw=0.8)
            if share >= 0.04:
                half = float(np.nan_to_num(number["half_width"]))
                words = f"{share:.2f}".lstrip("0") + (f"\n±{half:.2f}" if half else "")
                dark = float(np.dot(colour, (0.299, 0.587, 0.114))) < 0.5
                axis.text(
                    start + share / 2, line, words, ha="center", va="center", fontsize=6.5, linespacing=1.0,
                    color="white" if dark else INK,
                )  # fmt: skip
            start += share
    axis.set(yticks=range(len(rows)), yticklabels=list(rows), xlim=(0, 1), xlabel=xlabel)
    axis.tick_params(axis="y", colors=INK, length=0, labelsize=8.5)
    axis.invert_yaxis()
    axis.spines[:].set_visible(False)
    used = [
        number for number in range(len(classes)) if any(np.nan_to_num(row[number]["mean"]) > 0.004 for row in rows.values())
    ]
    handles = [matplotlib.patches.Patch(color=colours[number], label=classes[number]) for number in used]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), handlelength=1, columnspacing=1.0)
    return figure
