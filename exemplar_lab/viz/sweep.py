"""What a grid of runs found: a panel for each number, the runs as points, their mean with its interval."""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import t as student

from exemplar_lab.viz.style import COLOURS, INK, PAGE, headline, styled

Row = Mapping[str, object]
REPEATS = "seed"
"""The axis over which means are taken."""


@styled
def sweep_figure(
    rows: Sequence[Row], axes: Sequence[str], numbers: Sequence[str] | None = None, title: str | None = None
) -> Figure:
    """One panel for each of `numbers`: over the first axis, coloured by the others, a mean with its 95 % interval over seeds.

    rows: one for each run, or several when a run tells its lines apart by words (a column of strings is one more axis);
    numbers by name, what is not known as None or left out. axes: what was varied. When the other axes have more than eight
    combinations, the second alone gives the colours, and the mean goes over the rest too; the title says so.
    The interval is Student's, for a normal distribution of runs; with a single run there is none.
    numbers: by default every column of numbers, or the seconds where there is nothing else.
    """
    if not rows:
        raise ValueError("got no rows, expected at least one: run the sweep first")
    columns = list(dict.fromkeys(name for row in rows for name in row))
    words = [name for name in columns if name not in axes and any(isinstance(row.get(name), str) for row in rows)]
    numbers = _numbers(rows, [name for name in columns if name not in {*axes, *words}], numbers)
    axes = sorted(axes, key=lambda name: name == REPEATS)
    knobs = [name for name in (*axes, *words) if name != REPEATS and len(_levels(rows, name)) > 1]
    x, *others = knobs or [*axes[:1], ""][:1]
    if math.prod(len(_levels(rows, name)) for name in others) > len(COLOURS):
        others = others[:1]
    repeats = [name for name in (*axes, *words) if name not in (x, *others) and len(_levels(rows, name)) > 1]
    hues = list(dict.fromkeys(_name(row, others) for row in rows)) if others else []
    if len(hues) > len(COLOURS):
        raise ValueError(f"got {len(hues)} values of {others[0]}, expected at most {len(COLOURS)}, one for each colour")
    across = min(3, len(numbers))
    down = math.ceil(len(numbers) / across)
    figure = Figure(figsize=(PAGE if across > 1 else 4.2, 2.35 * down + 0.3 + (0.25 if hues else 0)))
    over = f": mean and 95 % interval over {', '.join(repeats)}" if repeats else ""
    headline(figure, f"{title or 'Sweep'}{over}")
    panels = figure.subplots(down, across, squeeze=False).flatten()
    for axis, number in zip(panels, numbers, strict=False):
        _panel(axis, rows, x, number, others, hues, bool(repeats))
    for axis in panels[len(numbers) :]:
        axis.set_axis_off()
    if hues:
        handles = [axis.plot([], [], "o-", color=COLOURS[at], label=hue)[0] for at, hue in enumerate(hues)]
        fit = int(figure.get_size_inches()[0] / (0.075 * max(map(len, hues)) + 0.55))
        figure.legend(handles=handles, title=", ".join(others), loc="outside lower center", ncols=max(1, min(len(hues), fit)))
    return figure


def _panel(
    axis: Axes, rows: Sequence[Row], x: str, number: str, others: Sequence[str], hues: Sequence[str], several: bool
) -> None:
    levels = _levels(rows, x)
    ordered = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in levels)
    known = [row for row in rows if _is_number(row.get(number))]
    data = {"x": [row.get(x) if ordered else str(row.get(x, "")) for row in known], "y": [float(row[number]) for row in known]}
    look = {"data": data, "x": "x", "y": "y", "ax": axis, "legend": False}
    if hues:
        data["hue"] = [_name(row, others) for row in known]
        look |= {"hue": "hue", "hue_order": hues, "palette": list(COLOURS[: len(hues)])}
    else:
        look |= {"color": COLOURS[5]}
    logarithmic = ordered and min(levels) > 0 and max(levels) >= 8 * min(levels)
    if ordered:
        look |= {"native_scale": True}
    else:
        look |= {"order": list(map(str, levels))}
    aside = not ordered and len(hues) > 1
    if logarithmic:
        axis.set_xscale("log")
    if known and several:
        seaborn.stripplot(**look, dodge=aside, jitter=False, size=3.8, linewidth=0.7, edgecolor="white", zorder=4)
    if known:
        seaborn.pointplot(
            **look, errorbar=_interval, dodge=0.8 - 0.8 / len(hues) if aside else False, markersize=6, linewidth=1.4,
            capsize=0, err_kws={"linewidth": 1.2, "alpha": 0.6}, linestyle="-" if ordered else "none",
        )  # fmt: skip
    if ordered:
        axis.minorticks_off()
        axis.set_xticks(levels, [f"{value:.4g}" for value in levels])
    elif sum(len(str(value)) for value in levels) > 28:
        axis.tick_params(axis="x", rotation=25)
        for label in axis.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
    axis.set(xlabel=x, ylabel="")
    axis.set_title(number, loc="left", color=INK)
    axis.grid(axis="y")


def _numbers(rows: Sequence[Row], columns: Sequence[str], asked: Sequence[str] | None) -> list[str]:
    found = [name for name in columns if any(_is_number(row.get(name)) for row in rows)]
    if missing := [name for name in asked or [] if name not in found]:
        raise ValueError(f"got no number {missing[0]!r} to draw, expected some of {', '.join(found)}")
    return list(asked or []) or [name for name in found if name != "seconds"] or found


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _levels(rows: Sequence[Row], name: str) -> list[object]:
    """The different values of a column, numbers by size and everything else as it comes."""
    levels = list({repr(row.get(name, "")): row.get(name, "") for row in rows}.values())
    return sorted(levels) if all(map(_is_number, levels)) else levels


def _name(row: Row, columns: Sequence[str]) -> str:
    return ", ".join(str(row.get(name, "–")) for name in columns)


def _interval(values: Iterable[float]) -> tuple[float, float]:
    """Mean ± Student's half width for 95 %; NaN for a single value, which says nothing of its spread."""
    values = np.array(list(values), dtype=float)
    if len(values) < 2:
        return math.nan, math.nan
    half = student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    return values.mean() - half, values.mean() + half
