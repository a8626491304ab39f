"""Lines with their intervals: what changes along a knob, and how sure that is; and lines over many powers of ten."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from exemplar_lab.viz.style import COLOURS, FAINT, PAGE, headline, styled

Number = Mapping[str, float]
"""{"mean", "half_width"}, as `metrics.tables.summarise` gives them."""


@styled
def interval_curves(
    knob: Sequence[int | float | str],
    panels: Mapping[str, Mapping[str, Sequence[Number]]],
    xlabel: str,
    ylabel: str | Sequence[str],
    columns: int | None = None,
    logarithmic: bool = False,
    limits: tuple[int | float, int | float] | None = None,
    levels: Mapping[str, float] | None = None,
    title: str | None = None,
) -> Figure:
    """A panel for each name, a line with its band of 95 % for each method; all lines are named once, under the panels.

    knob: values, or words that are set at equal distances. ylabel: one for all, or one for each panel. logarithmic: powers of
    two along the knob. limits: of the upright axes; by default, panels of one ylabel share theirs. levels: a dotted line across
    the panel of this name.
    """
    columns = columns or len(panels)
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(min(PAGE, 3.0 * columns), 2.15 * rows + 0.3 + (0.3 if title else 0)))
    if title:
        headline(figure, title)
    ylabels = [ylabel] * len(panels) if isinstance(ylabel, str) else list(ylabel)
    share = "all" if isinstance(ylabel, str) else False
    axes = figure.subplots(rows, columns, squeeze=False, sharey=share).flatten()
    words = isinstance(knob[0], str)
    at = np.arange(len(knob)) if words else np.array(knob, dtype=float)
    named: dict[str, str] = {}
    for number, (name, lines) in enumerate(panels.items()):
        axis = axes[number]
        for line, values in lines.items():
            colour = named.setdefault(line, COLOURS[(5, 4, 2, 3, 0, 1)[len(named) % 6]])
            _band(axis, at, values, colour, line)
        axis.set_title(name, loc="left")
        if logarithmic:
            axis.set_xscale("log", base=2)
            axis.minorticks_off()
        axis.set_xticks(at, [one if words else f"{one:g}" for one in knob])
        if levels and name in levels:
            axis.axhline(levels[name], color=FAINT, lw=0.9, ls=":")
        if number % columns == 0 or share is False:
            axis.set_ylabel(ylabels[number])
        if number >= len(panels) - columns:
            axis.set_xlabel(xlabel)
        if limits:
            axis.set_ylim(limits)
        axis.grid(axis="y")
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    if len(named) > 1:
        found = {text: handle for axis in axes for handle, text in zip(*axis.get_legend_handles_labels(), strict=True)}
        figure.legend(found.values(), found.keys(), loc="outside lower center", ncols=min(4, len(found)))
    return figure


def _band(axis: Axes, at: np.ndarray, values: Sequence[Number], colour: str, name: str) -> None:
    mean, half = (np.array([value[part] for value in values], dtype=float) for part in ("mean", "half_width"))
    axis.fill_between(at, mean - half, mean + half, color=colour, alpha=0.18, lw=0)
    axis.plot(at, mean, "o-", ms=3.5, color=colour, label=name)


@styled
def scaling_curves(
    sides: Sequence[int],
    panels: Mapping[str, Mapping[str, Sequence[int | float]]],
    xlabel: str = "image side in pixels",
    chosen: int | None = None,
    columns: int = 3,
    title: str | None = None,
) -> Figure:
    """A panel per quantity, both axes logarithmic; values that are NaN are left out, and a line named alike looks alike.

    chosen: a side that is used elsewhere, as a thin upright line. The names stand in the panel that is left over, if one is.
    """
    columns = min(columns, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(min(PAGE, 3.0 * columns), 2.3 * rows + 0.3 + (0.3 if title else 0)))
    if title:
        headline(figure, title)
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    named: dict[str, tuple[str, str]] = {}
    for axis, (name, lines) in zip(axes, panels.items(), strict=False):
        for line, values in lines.items():
            colour, marker = named.setdefault(line, (COLOURS[(4, 0, 5, 2, 3)[len(named) % 5]], "osD^v"[len(named) % 5]))
            known = np.isfinite(np.array(values, dtype=float))
            at, values = np.array(sides)[known], np.array(values, dtype=float)[known]
            axis.plot(at, values, f"{marker}-", ms=3.5, lw=1.2, color=colour, label=line)
        axis.set_xscale("log", base=2)
        axis.set_yscale("log")
        axis.minorticks_off()
        axis.set_xticks(list(sides), [str(side) for side in sides])
        axis.set_title(name, loc="left")
        axis.set_xlabel(xlabel)
        axis.grid(axis="y")
        if chosen is not None:
            axis.axvline(chosen, color=FAINT, lw=0.8, ls=":")
    found = {text: handle for axis in axes for handle, text in zip(*axis.get_legend_handles_labels(), strict=True)}
    spare = axes[len(panels) :]
    for axis in spare:
        axis.set_axis_off()
    if len(spare):
        spare[0].legend(found.values(), found.keys(), loc="center left", labelspacing=0.9)
    else:
        figure.legend(found.values(), found.keys(), loc="outside lower center", ncols=min(4, len(found)))
    return figure
