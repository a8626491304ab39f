"""One look for all figures: type, colours that the colour-blind can tell apart, axes for pictures, and the file on disk."""

import json
import math
import os
import platform
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import ParamSpec

import matplotlib
import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from torch import Tensor

import exemplar_lab
from exemplar_lab.viz.palette import in_few_colours

COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#D55E00", "#0072B2", "#F0E442", "#000000")
"""Okabe and Ito's eight, in an order that keeps neighbours apart on pictures."""

INK, FAINT = "#1b1b1f", "#6b6b76"

STYLE = {
    "figure.dpi": 96,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.w_pad": 0.03,
    "figure.constrained_layout.h_pad": 0.03,
    "figure.constrained_layout.wspace": 0.02,
    "figure.constrained_layout.hspace": 0.02,
    "font.family": "sans-serif",
    "font.size": 8.5,
    "text.color": INK,
    "axes.titlesize": 8.5,
    "axes.titlepad": 4,
    "axes.labelsize": 8.5,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": matplotlib.cycler(color=COLOURS),
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "grid.color": "#e4e4ea",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.6,
    "image.interpolation": "nearest",
    "image.cmap": "viridis",
}

P = ParamSpec("P")
PAGE = 9.0
"""Width of a figure in inches, as a notebook shows it."""
_LARGEST_FILE = 500_000


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Run a drawing function in the common style, leaving matplotlib's global settings as they were."""

    @wraps(draw)
    def in_style(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with matplotlib.rc_context(STYLE):
            return draw(*args, **kwargs)

    return in_style


def picture_axes(
    rows: int,
    columns: int,
    aspect: float,
    title: str | None = None,
    width: float | None = None,
    room: float = 0.2,
    words: float = 0.0,
    bar: float = 0.0,
) -> tuple[Figure, np.ndarray]:
    """A figure of rows × columns axes for pictures of height/width `aspect`, as large as the page allows without gaps.

    width: of one picture in inches; by default the page is shared, but no picture is wider than 2.4. room: inches around
    each picture for its words; words: once, for names over the columns; bar: inches at the right for a colour bar.
    """
    width = width or min(2.4, (PAGE - bar) / columns)
    head = 0.3 if title else 0.0
    figure = Figure(figsize=(width * columns + bar, (width * aspect + room) * rows + words + head))
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    if title:
        headline(figure, title)
    return figure, axes


def frame(axis: Axes) -> None:
    """A hairline round a picture, no ticks: white pictures need an edge."""
    axis.set_axis_on()
    axis.set(xticks=[], yticks=[])
    for spine in axis.spines.values():
        spine.set(visible=True, linewidth=0.4, color="#c9c9d1")


def headline(figure: Figure, title: str) -> None:
    """A title at the left, smaller where the figure is too narrow for it."""
    room = 72 * figure.get_size_inches()[0] / (0.66 * max(len(title), 1))  # a bold letter is about 0.66 of its size wide
    figure.suptitle(title, x=0.006, ha="left", fontsize=min(10.5, room), fontweight="bold")


def show_image(axis: Axes, image: Float[Tensor, "c h w"] | np.ndarray, title: str | None = None) -> None:
    """A picture in pixels of its own, its first pixel's centre at (0.5, 0.5), so that points need no shift."""
    pixels = image if isinstance(image, np.ndarray) else as_rgb(image)
    frame(axis)
    axis.imshow(pixels, extent=(0, pixels.shape[1], pixels.shape[0], 0))
    if title:
        axis.set_title(title)


def as_rgb(image: Float[Tensor, "c h w"]) -> np.ndarray:
    """Height × width × 3 in [0, 1]: grey for one channel; many channels (a pose) each get a hue, the strongest wins.

    Many channels are sharpened first, or the slow fall of distance maps would cover everything.
    """
    image = image.detach().float().cpu().clamp(0, 1)
    if len(image) not in (1, 3):
        hue = matplotlib.colormaps["hsv"](np.linspace(0, 0.92, len(image)))[:, :3]
        image = (image.pow(16)[:, None] * torch.from_numpy(hue).float()[:, :, None, None]).amax(0)
    return image.expand(3, -1, -1).movedim(0, -1).numpy()


def mark(axis: Axes, x: float, y: float, colour: str, label: str | None = None) -> None:
    """A ring round a point, its number beside it, readable on any picture: above the point, at the upper edge below it."""
    axis.plot(x, y, "o", ms=7, mfc=colour, mec="white", mew=1.3, zorder=5, clip_on=False)
    if label:
        lower, upper = axis.get_ylim()
        above = abs(y - upper) > 0.08 * abs(lower - upper)
        axis.annotate(
            label, (x, y), xytext=(5, 4 if above else -10), textcoords="offset points", color="white", fontsize=8,
            fontweight="bold", path_effects=[withStroke(linewidth=2.2, foreground=INK)], zorder=6, annotation_clip=False,
        )  # fmt: skip


def ring(axis: Axes, x: float, y: float) -> None:
    """The true point: a ring that leaves what lies in it to be seen."""
    axis.plot(x, y, "o", ms=13, mfc="none", mec=INK, mew=2.6, zorder=6, clip_on=False)
    axis.plot(x, y, "o", ms=13, mfc="none", mec="white", mew=1.2, zorder=7, clip_on=False)


def save_figure(figure: Figure, folder: str | Path, name: str, **parameters: object) -> Path | None:
    """Write folder/name.png (at most 500 kB) and folder/name.json, which says what parameters and versions made it.

    An empty `folder` writes nothing, so that a notebook which is only tested leaves no trace. Both files appear whole or not
    at all.
    """
    if not str(folder):
        return None
    path = Path(folder) / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".png.part")
    for dpi in (170, 140, 110, 90, 70, 50):
        figure.savefig(part, format="png", dpi=dpi, metadata={"Software": None}, pil_kwargs={"optimize": True})
        part.write_bytes(in_few_colours(part.read_bytes()))
        if part.stat().st_size <= _LARGEST_FILE:
            break
    versions = {"exemplar_lab": exemplar_lab.__version__, "python": platform.python_version(), "torch": torch.__version__}
    manifest = {"figure": name, "dpi": dpi, "parameters": parameters, "versions": versions}
    note = path.with_suffix(".json.part")
    note.write_text(_in_lines(_with_null(manifest)) + "\n")
    os.replace(part, path)
    os.replace(note, path.with_suffix(".json"))
    return path


def _in_lines(value: object, depth: int = 2, margin: str = "") -> str:
    """JSON with a line for each parameter: tables of numbers, a line for each number, would be half margins."""
    if not depth or not isinstance(value, Mapping) or not value:
        return json.dumps(value, sort_keys=True, default=str, allow_nan=False)
    inner = margin + "  "
    rows = [f"{inner}{json.dumps(str(name))}: {_in_lines(value[name], depth - 1, inner)}" for name in sorted(value)]
    return "{\n" + ",\n".join(rows) + f"\n{margin}}}"


def _with_null(value: object) -> object:
    """JSON has no NaN, which is what the interval of a single run is; null stands for it."""
    if isinstance(value, Mapping):
        return {name: _with_null(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_with_null(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
