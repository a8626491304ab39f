"""What papers print: every number at once, what papers have in common, where they differ, and prints beside measurements."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator

from exemplar_lab.viz.intervals import Number
from exemplar_lab.viz.style import COLOURS, FAINT, INK, PAGE, headline, styled

OF_PAPER = {"CoCosNet": COLOURS[0], "MSCA": COLOURS[2], "DynaST": COLOURS[5], "MATEBIT": COLOURS[3]}
"""The colour of a paper, and of its method wherever that is measured."""

OTHERS, ABLATION = "another method", "an ablation"
_LOOK = OF_PAPER | {OTHERS: "#8c8c96", ABLATION: "#d0d0d8"}
_LOGARITHMIC = {"FID", "SWD", "L_style", "time"}
_UNITS = {"time": "time, s", "user choice": "chosen, %", "L_style": "10³ style loss"}
_READER = {"marker": "D", "ms": 5, "mfc": "none", "mec": INK, "color": INK}
_ROWS = (("FID", "SWD", "Sem", "Col", "Tex"), ("PSNR", "SSIM", "L1", "LPIPS", "L_style", "time", "user choice"))


@dataclass(frozen=True)
class Panel:
    """One axis of `beside`: a number of several rows, which must all be of the same kind to share it.

    xlabel: what was measured and through which network: "FD (lab-v1)". better: "lower" or "higher".
    """

    title: str
    xlabel: str
    better: str
    rows: Mapping[str, Number]
    published: bool
    references: Sequence[str] = ()
    """Rows that no model made: rings instead of dots."""


@styled
def published_overview(results: pandas.DataFrame, title: str | None = None) -> Figure:
    """Every number of the tables, a panel for each metric and a line for each data set; misprints are left out.

    results: as `published.results.published_results` gives them. Methods of the four papers have their colours.
    """
    results = results[~results["misprint"]].copy()
    results["kind"] = [_kind(row.method, row.ablation) for row in results.itertuples()]
    results["dataset"] = results["dataset"].where(results["metric"] != "time", "one image").str.replace("COCO-stuff:", "COCO ")
    heights = [results.loc[results["metric"].isin(metrics), "dataset"].nunique() for metrics in _ROWS]
    figure = Figure(figsize=(PAGE, 0.21 * sum(heights) + 1.9))
    if title:
        headline(figure, title)
    rows = figure.add_gridspec(len(_ROWS), 1, height_ratios=[height + 2 for height in heights])
    for at, metrics in enumerate(_ROWS):
        axes = rows[at].subgridspec(1, len(metrics)).subplots(sharey=True)
        shown = results[results["metric"].isin(metrics)]
        datasets = list(dict.fromkeys(shown["dataset"]))
        for metric, axis in zip(metrics, axes, strict=True):
            _strip(axis, shown[shown["metric"] == metric], datasets, metric)
    handles = [Line2D([], [], ls="", marker="o", ms=5, color=colour, label=kind) for kind, colour in _LOOK.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), columnspacing=1.2, handletextpad=0.2)
    return figure


def _strip(axis: Axes, numbers: pandas.DataFrame, datasets: list[str], metric: str) -> None:
    for kinds, size in (((ABLATION,), 3.0), ((OTHERS,), 4.5), (tuple(OF_PAPER), 6.0)):
        chosen = numbers[numbers["kind"].isin(kinds)]
        seaborn.stripplot(
            data=chosen, x="value", y="dataset", hue="kind", order=datasets, hue_order=list(_LOOK), palette=_LOOK, ax=axis,
            jitter=False, size=size, linewidth=0.5, edgecolor="white", legend=False,
        )  # fmt: skip
    for at, dataset in enumerate(datasets):
        values = numbers.loc[numbers["dataset"] == dataset, "value"]
        if len(values):
            axis.plot([values.min(), values.max()], [at, at], color="#e4e4ea", lw=1.0, zorder=0)
    if metric in _LOGARITHMIC:
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if metric in _ROWS[0] else (1, 3), numticks=12))
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value * (1000 if metric == 'L_style' else 1):g}"))
        axis.tick_params(axis="x", labelsize=7)
    arrow = "↓" if (numbers["better"] == "lower").all() else "↑"
    axis.set(xlabel="", ylabel="", title=f"{_UNITS.get(metric, metric)} {arrow}")
    axis.margins(x=0.08)
    axis.set_ylim(len(datasets) - 0.4, -0.6)
    axis.tick_params(axis="y", length=0, colors=INK)
    axis.minorticks_off()


def _kind(method: str, ablation: bool) -> str:
    if ablation:
        return ABLATION
    return method if method in OF_PAPER else OTHERS


@styled
def disagreements(
    shared: pandas.DataFrame,
    again: pandas.DataFrame,
    changes: Mapping[str, pandas.DataFrame],
    title: str | None = None,
) -> Figure:
    """Left: the numbers that were printed or found twice and differ. Middle: what two papers both print. Right: turned orders.

    shared: `published.comparison.shared_cells`; again: `published.results.reproductions`; changes: name -> `order_changes`.
    """
    figure = Figure(figsize=(PAGE, 3.5))
    if title:
        headline(figure, title)
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.5, 1.0, 1.3))
    _dumbbells(left, shared[(shared["verdict"] == "differs") & (shared["papers"] == 2)], again)
    _in_common(middle, shared)
    _turned(right, changes)
    return figure


def _dumbbells(axis: Axes, differ: pandas.DataFrame, again: pandas.DataFrame) -> None:
    lines = [
        (
            f"{row.method}, {row.metric}" + ("" if row.metric == "time" else f", {row.dataset}"),
            {row.one.split()[0]: row.of_one, row.other.split()[0]: row.of_other},
        )
        for row in differ.itertuples()
    ]
    lines += [(f"{r.method}, {r.metric}, {r.dataset}", {r.paper: r.printed, "a reader": r.found}) for r in again.itertuples()]
    lines.sort(key=lambda line: max(line[1].values()) / min(line[1].values()))
    for at, (_, values) in enumerate(lines):
        least = min(values.values())
        axis.plot([1, max(values.values()) / least], [at, at], color="#c9c9d1", lw=2, zorder=1)
        for who, value in values.items():
            look = {"marker": "o", "ms": 6, "mec": "white", "color": OF_PAPER[who]} if who in OF_PAPER else _READER
            axis.plot(value / least, at, **look)
        low, high = sorted(values.values())
        words = f"{low:g} and {high:g}" + (" s" if ", time" in lines[at][0] else "")
        axis.annotate(words, (high / least, at), (6, 0), textcoords="offset points", va="center", fontsize=7, color=FAINT)
    axis.set_xscale("log", base=2)
    axis.set_xlim(0.93, 20)
    axis.set_xticks([1, 2, 4, 8], ["1", "2", "4", "8"])
    axis.minorticks_off()
    axis.set_yticks(range(len(lines)), [name for name, _ in lines])
    axis.tick_params(axis="y", length=0, colors=INK)
    axis.set_xlabel("times the smaller of the two")
    axis.set_title("Two numbers for one thing", loc="left")
    whose = [who for who in (*OF_PAPER, "a reader") if any(who in values for _, values in lines)]
    handles = [
        Line2D([], [], ls="", label=who, **({"marker": "o", "ms": 5, "color": OF_PAPER[who]} if who in OF_PAPER else _READER))
        for who in whose
    ]
    axis.legend(handles=handles, loc="lower right", handletextpad=0.2, borderaxespad=0)


def _in_common(axis: Axes, shared: pandas.DataFrame) -> None:
    shared = shared[shared["papers"] == 2]
    pairs = shared.assign(one=shared["one"].str.split().str[0], other=shared["other"].str.split().str[0])
    pairs = pairs.drop_duplicates(["method", "dataset", "metric", "one", "other"])
    papers = list(OF_PAPER)
    count, same = np.full((4, 4), np.nan), np.zeros((4, 4), dtype=int)
    words = np.full((4, 4), "", dtype=object)
    for (one, other), group in pairs.groupby(["one", "other"]):
        at = papers.index(other), papers.index(one)
        count[at], same[at] = len(group), (group["verdict"] == "same").sum()
        words[at] = f"{same[at]}\nof {len(group)}"
    for down in range(4):
        for across in range(down):
            if not words[down, across]:
                words[down, across], count[down, across] = "0", 0
    seaborn.heatmap(
        count[1:, :3], annot=words[1:, :3], fmt="", cmap="crest", cbar=False, linewidths=1.5, ax=axis,
        xticklabels=papers[:3], yticklabels=papers[1:], annot_kws={"fontsize": 8}, vmin=0, vmax=np.nanmax(count) * 1.15,
    )  # fmt: skip
    axis.tick_params(length=0, colors=INK)
    axis.tick_params(axis="y", rotation=0)
    axis.set_title("Alike, of what both print", loc="left")


def _turned(axis: Axes, changes: Mapping[str, pandas.DataFrame]) -> None:
    names, shares, words = [], [], []
    for name, one in changes.items():
        known = one["turned"].dropna().astype(bool)
        if len(known):
            names.append(name)
            shares.append(100 * known.mean())
            words.append(f"{known.sum()} of {len(known)}")
    at = np.arange(len(names))
    axis.barh(at, shares, color=[COLOURS[5] if " and " not in name else "#b9c6d6" for name in names], height=0.62)
    for y, share, word in zip(at, shares, words, strict=True):
        axis.annotate(word, (share, y), (3, 0), textcoords="offset points", va="center", fontsize=7, color=FAINT)
    axis.set_yticks(at, names)
    axis.set_xlim(0, max(shares, default=1) * 1.5 + 1)
    axis.invert_yaxis()
    axis.tick_params(axis="y", length=0, colors=INK)
    axis.set_xlabel("per cent of pairs of methods")
    axis.set_title("Two methods change order", loc="left")


@styled
def beside(panels: Sequence[Panel], columns: int = 4, title: str | None = None) -> Figure:
    """Panels next to each other, each with an axis of its own, the best row on top; intervals where there are some.

    Methods of the four papers have their colours. What is `published` stands on a grey ground, so that nobody reads its numbers
    and the measured ones on one scale.
    """
    down = math.ceil(len(panels) / columns)
    most = [max(len(panel.rows) for panel in panels[row * columns : (row + 1) * columns]) for row in range(down)]
    figure = Figure(figsize=(PAGE, 0.19 * sum(most) + 0.75 * down + (0.35 if title else 0)))
    if title:
        headline(figure, title)
    axes = figure.subplots(down, columns, squeeze=False, height_ratios=[rows + 1.5 for rows in most]).flatten()
    for axis, panel in zip(axes, panels, strict=False):
        _dots(axis, panel)
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    return figure


def _dots(axis: Axes, panel: Panel) -> None:
    sign = 1 if panel.better == "lower" else -1
    rows = {name: row for name, row in panel.rows.items() if row["mean"] is not None and math.isfinite(row["mean"])}
    names = sorted(rows, key=lambda name: sign * rows[name]["mean"])
    for at, name in enumerate(names):
        mean, half = rows[name]["mean"], rows[name].get("half_width") or 0.0
        colour = next((shade for paper, shade in OF_PAPER.items() if _is_of(name, paper)), _LOOK[OTHERS])
        low, high = rows[name].get("low", mean - half), rows[name].get("high", mean + half)
        if high > low:
            axis.plot([low, high], [at, at], color=colour, lw=2.2, alpha=0.45, solid_capstyle="butt")
        reference = name in panel.references
        size = 7 if _is_of_a_paper(name) else 5
        look = {"mfc": "white", "mec": colour, "mew": 1.2} if reference else {"mfc": colour, "mec": "white", "mew": 0.6}
        axis.plot(mean, at, "o", ms=size, **look)
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.4, -0.6)
    axis.tick_params(axis="y", length=0, colors=INK)
    for name, label in zip(names, axis.get_yticklabels(), strict=True):
        if _is_of_a_paper(name):
            label.set_fontweight("bold")
    axis.grid(axis="x")
    axis.set_axisbelow(True)
    axis.margins(x=0.08)
    arrow = "↓" if panel.better == "lower" else "↑"
    axis.set_xlabel(f"{panel.xlabel} {arrow}")
    axis.set_title(panel.title, loc="left")
    if panel.published:
        axis.set_facecolor("#f3f3f6")


def _is_of_a_paper(name: str) -> bool:
    return any(_is_of(name, paper) for paper in OF_PAPER)


def _is_of(name: str, paper: str) -> bool:
    """ "DynaST", "DynaST, people", but not the ablation "DynaST −inner" nor the other method "CoCosNet-v2"."""
    return name == paper or name.startswith((f"{paper},", f"{paper} ("))
