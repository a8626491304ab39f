"""Pruned links, drawn: the sign and its borrowed slope, decisions while they are learnt, what is told apart, what is kept."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from exemplar_lab.correspondence import Correspondence
from exemplar_lab.grid import index_to_xy
from exemplar_lab.ops.pruning import decide, decision_slope
from exemplar_lab.viz.style import COLOURS, FAINT, INK, headline, mark, picture_axes, ring, show_image, styled


@styled
def step_and_slope(reach: float = 6.0, title: str | None = None) -> Figure:
    """The decision of Eq. (5), (6) drawn: the step, the sigmoid it is taken for on the way back, and the slope of either."""
    score = torch.linspace(-reach, reach, 601)
    figure = Figure(figsize=(6.4, 2.3 if title else 2.0))
    if title:
        headline(figure, title)
    forward, backward = figure.subplots(1, 2)
    forward.plot(score, decide(score), color=COLOURS[5], label="decision D, Eq. (5)")
    forward.plot(score, score.sigmoid(), color=COLOURS[4], ls="--", lw=1.2, label="sigmoid")
    forward.set(title="forward", xlabel="decision score P", ylabel="D")
    backward.plot(score, torch.zeros_like(score), color=COLOURS[5], label="slope of the step")
    backward.plot(score, decision_slope(score), color=COLOURS[4], ls="--", label="what is used, Eq. (6)")
    backward.set(title="backward", xlabel="decision score P", ylabel="dD / dP", ylim=(-0.02, 0.37))
    for axis, corner in ((forward, "lower right"), (backward, "upper left")):
        axis.grid(axis="y")
        axis.legend(loc=corner)
    return figure


@styled
def decision_history(
    losses: Mapping[str, Sequence[float]],
    keeps: Mapping[str, Float[Tensor, "steps n"]],
    right: Sequence[bool],
    title: str | None = None,
) -> Figure:
    """Loss over the steps, one line per name; beside it the decisions of each name, a line of pixels per link, dark where kept.

    right: whether the link should be kept; those that should stand above the red line.
    """
    figure = Figure(figsize=(3.0 * (len(keeps) + 1), 2.5 if title else 2.2))
    if title:
        headline(figure, title)
    axes = figure.subplots(1, len(keeps) + 1)
    for number, (name, values) in enumerate(losses.items()):
        axes[0].plot(values, color=COLOURS[(5, 4, 2, 3)[number % 4]], ls=("-", "--", "-.", ":")[number % 4], label=name)
    axes[0].set(xlabel="step", ylabel="loss", ylim=(0, None))
    axes[0].grid(axis="y")
    axes[0].legend()
    order = np.argsort([not one for one in right], kind="stable")
    for axis, (name, keep) in zip(axes[1:], keeps.items(), strict=True):
        axis.imshow(keep.T.numpy()[order], aspect="auto", cmap="Greys", vmin=0, vmax=1.3, interpolation="nearest")
        axis.axhline(sum(right) - 0.5, color=COLOURS[4], lw=1.2)
        axis.set(title=name, xlabel="step", yticks=[])
        axis.set_ylabel("cut these        keep these")
    return figure


@styled
def roc_curves(
    panels: Mapping[str, Mapping[str, Float[Tensor, "2 p"]]], xlabel: str, ylabel: str, title: str | None = None
) -> Figure:
    """A panel per name, in it a curve per name from `metrics.ranks.roc`; the dotted diagonal is a guess."""
    figure = Figure(figsize=(3.0 * len(panels), 3.3 if title else 3.0))
    if title:
        headline(figure, title)
    named: dict[str, str] = {}
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, (name, curves) in zip(axes, panels.items(), strict=True):
        axis.plot([0, 1], [0, 1], color=FAINT, ls=":", lw=0.9)
        for line, (x, y) in curves.items():
            axis.plot(x, y, color=named.setdefault(line, COLOURS[(5, 4, 2, 3, 0, 1)[len(named) % 6]]), label=line)
        axis.set(xlabel=xlabel, ylabel=ylabel if axis is axes[0] else "", xlim=(0, 1), ylim=(0, 1.01), aspect="equal")
        axis.set_title(name, loc="left")
    found = {text: handle for axis in axes for handle, text in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(found.values(), found.keys(), loc="outside lower center", ncols=min(4, len(found)))
    return figure


@styled
def links_of_queries(
    before: Correspondence,
    after: Correspondence,
    target: Float[Tensor, "b 3 h w"],
    exemplar: Float[Tensor, "b 3 h w"],
    query: Sequence[tuple[int, int]],
    words: Sequence[str],
    points: Sequence[tuple[float, float] | None] | None = None,
    share: float = 1e-3,
    title: str | None = None,
) -> Figure:
    """Fig. 5 of [DynaST], measured: a column per query, the target above, the exemplar below with the cells of its links.

    before, after: the match with all its links and with the kept ones. query: (sample, position). Kept links are filled, the
    stronger the fuller, those cut are outlined; links below `share` of what their row holds `before` are left out.
    words: over each column. points: the true points (x, y) in pixels of the exemplar; None where there is none.
    """
    figure, axes = picture_axes(2, len(query), 1.0, title, width=2.2, room=0.26, words=0.1)
    for column, (sample, position) in enumerate(query):
        above, below = axes[:, column]
        show_image(above, target[sample], words[column])
        show_image(below, exemplar[sample])
        asked = torch.tensor([position])
        all_links, kept = (match[sample : sample + 1].rows(asked)[0, 0].detach() for match in (before, after))
        scale = target.shape[-1] / before.query_size[1]
        mark(above, *(index_to_xy(asked[0], before.query_size) * scale).tolist(), COLOURS[4])
        cell = exemplar.shape[-1] / before.key_size[1]
        real = (all_links > share * all_links.sum()).nonzero()[:, 0]
        left = 0
        for key in real.tolist():
            x, y = ((index_to_xy(torch.tensor(key), before.key_size) - 0.5) * cell).tolist()
            strength = float(kept[key] / kept.max().clamp_min(1e-12))
            left += strength > 0
            full = matplotlib.colors.to_rgba(COLOURS[4], 0.25 + 0.75 * strength) if strength > 0 else "none"
            below.add_patch(Rectangle((x, y), cell, cell, fc=full, ec=COLOURS[4] if strength > 0 else INK, lw=0.6))
        if points is not None and points[column] is not None:
            ring(below, *points[column])
        below.set_xlabel(f"{left} of {len(real)} links kept, mass {kept.sum():.2f}", fontsize=7.5)
    return figure
