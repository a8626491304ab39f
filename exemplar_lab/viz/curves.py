"""Lines: what changes along a knob, and what changed during training."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from exemplar_lab.viz.style import COLOURS, FAINT, headline, styled


@styled
def sweep_curves(
    knob: Sequence[int | float],
    panels: Mapping[str, Mapping[str, Sequence[int | float]]],
    xlabel: str,
    logarithmic: bool = False,
    chosen: float | None = None,
    title: str | None = None,
) -> Figure:
    """One panel per quantity (its name is the y label), one line per method, over the values of a knob.

    chosen: the value used elsewhere, as a thin upright line.
    """
    figure = Figure(figsize=(min(9.0, 3.0 * len(panels)), 2.7 if title else 2.4))
    if title:
        headline(figure, title)
    several = []
    for axis, (ylabel, lines) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        for number, (name, values) in enumerate(lines.items()):
            axis.plot(knob, values, "o-", ms=3.5, color=COLOURS[number % len(COLOURS)], label=name)
        if logarithmic:
            axis.set_xscale("log")
            axis.minorticks_off()
            axis.set_xticks(knob, [f"{value:.2g}" for value in knob])
        if chosen is not None:
            axis.axvline(chosen, color=FAINT, lw=0.8, ls=":")
        axis.set(xlabel=xlabel, ylabel=ylabel)
        axis.grid(axis="y")
        if len(lines) > 1:
            several.append(axis)
    names = [axis.get_legend_handles_labels()[1] for axis in several]
    longest = max(names, key=len, default=[])
    if len(several) > 1 and all(labels == longest[: len(labels)] for labels in names):
        # The same methods in all panels are named once, where the names hide no line.
        handles = several[names.index(longest)].get_legend_handles_labels()[0]
        figure.legend(handles, longest, loc="outside lower center", ncols=len(longest))
    else:
        for axis in several:
            axis.legend()
    return figure


@styled
def training_curves(
    steps: Sequence[Mapping[str, int | float]],
    names: Sequence[str] | None = None,
    smoothing: float = 0.9,
    title: str | None = None,
) -> Figure:
    """One small panel per logged number: every value faintly, their running mean on top.

    steps: what the training generator yields or the CSV log holds, each with "step"; what a step did not log is left out.
    names: which numbers, in order; by default all.
    """
    names = names or list(dict.fromkeys(name for step in steps for name in step if name != "step"))
    if not steps or not names:
        raise ValueError(f"got {len(steps)} steps and the names {list(names)}, expected at least one of each: train first")
    columns = min(4, len(names))
    rows = math.ceil(len(names) / columns)
    figure = Figure(figsize=(9.0 if columns > 2 else 3.4 * columns, 1.75 * rows + (0.3 if title else 0)))
    if title:
        headline(figure, title)
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    for number, axis in enumerate(axes):
        if number >= len(names):
            axis.set_axis_off()
            continue
        name = names[number]
        known = [(step["step"], step[name]) for step in steps if math.isfinite(step.get(name, math.nan))]
        axis.set_title(name, loc="left")
        axis.grid(axis="y")
        if number >= len(names) - columns:
            axis.set_xlabel("step")
        if known:
            at, value = np.array(known, dtype=float).T
            colour = COLOURS[5]
            axis.plot(at, value, color=colour, alpha=0.25, lw=0.8)
            axis.plot(at, _running_mean(value, smoothing), color=colour)
    return figure


def _running_mean(value: np.ndarray, keep: float) -> np.ndarray:
    """Exponential, and corrected for its start, so that the first value is not a mean with zero."""
    smooth, weight, out = 0.0, 0.0, []
    for one in value:
        smooth, weight = keep * smooth + (1 - keep) * one, keep * weight + (1 - keep)
        out.append(smooth / weight)
    return np.array(out)
