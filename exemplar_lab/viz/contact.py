"""The contact sheet of a prepared folder: what a model will be shown, before anything is trained."""

from collections.abc import Mapping, Sequence
from functools import cache

import torch
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.patches import Rectangle
from torch import Tensor

from exemplar_lab.viz.style import COLOURS, FAINT, INK, PAGE, STYLE, show_image, styled
from exemplar_lab.viz.world import part_picture

Named = tuple[str | None, Float[Tensor, "3 h w"]]
Row = tuple[Named, Float[Tensor, "3 s s"] | Int[Tensor, "s s"], list[Named]]

_EDGE, _GAP, _WIDE, _BETWEEN = 0.12, 0.045, 0.16, 0.4
"""Inches at the border, between pictures, before the exemplars, and between training and held out."""
_NAME, _OVER, _HEAD = 0.14, 0.42, 0.62
"""Inches for the name under a picture, for the words over the columns, and for the title."""
_LARGEST, _DEEPEST, _LEGEND, _CLASSES, _OTHERS = 1.3, 5.4, 0.2, 15, 0.72
_HALVES = {"train": "to train on", "val": "held out"}


@styled
def prepared_sheet(
    rows: Mapping[str, Sequence[Row]], reads: str, title: str, words: str = "", classes: Sequence[str] = ()
) -> Figure:
    """Targets, their structure and their exemplars, by split: training images at the left, held out ones at the right.

    rows: by split; a target and its name, its structure (colours, or the class of each pixel), its exemplars and their names;
    None in place of a name: a distorted copy, which gets a frame in orange. reads: what the condition is, over its column; ""
    shows no such column. classes: their names, for a legend of those that cover most. Raises ValueError for no rows at all.
    """
    halves = {split: few for split, few in rows.items() if few}
    if not halves:
        raise ValueError("got no rows, expected at least one pair to show")
    wide = {split: max(len(exemplars) for _, _, exemplars in few) for split, few in halves.items()}
    own = 2 if reads else 1
    pictures = sum(own + most for most in wide.values())
    gaps = sum((own + most - 2) * _GAP + _WIDE for most in wide.values()) + (len(halves) - 1) * _BETWEEN + 2 * _EDGE
    deep = max(len(few) for few in halves.values())
    side = min(_LARGEST, _DEEPEST / deep, (PAGE - gaps) / pictures)
    legend = _legend(halves, classes)
    other = _has_others(halves, legend)
    width = max(pictures * side + gaps, 5.4)
    lines = -(-(len(legend) + other) // _across(width))
    foot = lines * _LEGEND + 0.08 * bool(lines) + _EDGE
    height = _HEAD + _OVER + deep * (side + _NAME) + foot
    figure = Figure(figsize=(width, height), layout="none")
    _headline(figure, title, words)
    left, short = _EDGE, _short_names(halves)
    for split, few in halves.items():
        left = _half(figure, few, left, side, wide[split], reads, _HALVES.get(split, split), legend, short) + _BETWEEN
    _draw_legend(figure, legend, classes, other)
    return figure


def _half(
    figure: Figure, rows: Sequence[Row], left: float, side: float, most: int, reads: str, split: str, legend: list, short: dict
) -> float:
    """One split; gives where it ends."""
    copies = all(name is None for _, _, exemplars in rows for name, _ in exemplars)
    starts = [left + at * (side + _GAP) for at in range(2 if reads else 1)]
    first = starts[-1] + side + _WIDE
    found = [first + at * (side + _GAP) for at in range(most)]
    top = _HEAD + _OVER
    _text(figure, left, top - 0.25, split, weight="bold", size=8.5)
    _line(figure, left, found[-1] + side, top - 0.215)
    for x, name in zip(starts, ("target", reads), strict=False):
        _text(figure, x, top - 0.06, name, colour=FAINT, size=7.5)
    several = "exemplar" if most == 1 else "exemplars, best first"
    _text(figure, first, top - 0.06, "a distorted copy" if copies else several, colour=FAINT, size=7.5)
    for number, (target, structure, exemplars) in enumerate(rows):
        y = top + number * (side + _NAME)
        _picture(figure, starts[0], y, side, target[1], short[target[0]])
        if reads:
            shown = structure if structure.ndim == 3 else _coloured(structure, legend)
            _picture(figure, starts[1], y, side, shown)
        for x, (name, image) in zip(found, exemplars, strict=False):
            axis = _picture(figure, x, y, side, image, short.get(name, "distorted copy"))
            if name is None:
                axis.add_patch(
                    Rectangle((0, 0), 1, 1, transform=axis.transAxes, fill=False, lw=2, ec=COLOURS[0], clip_on=False)
                )
    return found[-1] + side


def _picture(figure: Figure, x: float, y: float, side: float, image: Tensor, name: str | None = None) -> Axes:
    """Its upper left corner is x, y inches from that of the page; the end of a long name is what tells it from others."""
    width, height = figure.get_size_inches()
    axis = figure.add_axes((x / width, 1 - (y + side) / height, side / width, side / height))
    show_image(axis, image)
    if name:
        room = max(4, int(side * 72 / 2.9))
        short = name if len(name) <= room else f"…{name[1 - room :]}"
        _text(figure, x, y + side + 0.095, short, colour=FAINT, size=5.0)
    return axis


def _short_names(halves: Mapping[str, Sequence[Row]]) -> dict[str, str]:
    """Names of files without folder and suffix, or with folders where two would be called the same."""
    named = [one for rows in halves.values() for target, _, few in rows for one, _ in (target, *few) if one is not None]
    whole = {name: name.rpartition(".")[0] or name for name in named}
    alone = {name: words.rpartition("/")[2] for name, words in whole.items()}
    return alone if len(set(alone.values())) == len(set(whole.values())) else whole


def _headline(figure: Figure, title: str, words: str) -> None:
    room = 72 * (figure.get_size_inches()[0] - 2 * _EDGE)
    _text(figure, _EDGE, 0.27, title, weight="bold", size=min(12.0, room / (0.62 * max(len(title), 1))))
    _text(figure, _EDGE, 0.47, words, colour=FAINT, size=min(8.0, room / (0.5 * max(len(words), 1))))


def _text(figure: Figure, x: float, y: float, words: str, colour: str = INK, size: float = 8.0, weight: str = "normal") -> None:
    """Words on a base line y inches from the top; what looks like a formula is none."""
    width, height = figure.get_size_inches()
    words = "".join(letter if ord(letter) in _letters() else "□" for letter in words)
    figure.text(x / width, 1 - y / height, words, color=colour, fontsize=size, fontweight=weight, parse_math=False)


@cache
def _letters() -> frozenset[int]:
    """That can be drawn. Of others matplotlib warns one by one; of a file's name it may have half a letter, and stops."""
    return frozenset(get_font(findfont(FontProperties(family=[STYLE["font.family"]]))).get_charmap())


def _line(figure: Figure, left: float, right: float, y: float) -> None:
    width, height = figure.get_size_inches()
    figure.add_artist(Rectangle((left / width, 1 - y / height), (right - left) / width, 0.006 / height, color="#c9c9d1", lw=0))


def _legend(halves: Mapping[str, Sequence[Row]], classes: Sequence[str]) -> list[int]:
    """The classes that cover most of what is shown, in their own order; the place in this list gives a class its colour."""
    shown = [part.flatten() for rows in halves.values() for _, part, _ in rows if part.ndim == 2]
    if not shown:
        return []
    part = torch.cat(shown).long()
    area = torch.bincount(part[part >= 0], minlength=len(classes))
    return sorted(number for number in area.argsort(descending=True, stable=True)[:_CLASSES].tolist() if area[number])


def _coloured(part: Int[Tensor, "s s"], legend: list[int]) -> Float[Tensor, "3 s s"]:
    """Classes of the legend in colours that are far apart, all others in one grey, unknown ones nearly white."""
    place = torch.full_like(part, -1, dtype=torch.long)
    for at, number in enumerate(legend):
        place[part == number] = at
    return torch.where((place < 0) & (part >= 0), _OTHERS, part_picture(place[None])[0])


def _has_others(halves: Mapping[str, Sequence[Row]], legend: list[int]) -> bool:
    """Whether any class is shown that the legend does not name."""
    shown = [part for rows in halves.values() for _, part, _ in rows if part.ndim == 2]
    return any(bool((~torch.isin(part, torch.tensor([-1, *legend]))).any()) for part in shown)


def _across(width: float) -> int:
    """Classes in a line of the legend."""
    return int((width - 2 * _EDGE) / 1.05)


def _draw_legend(figure: Figure, legend: list[int], classes: Sequence[str], other: bool) -> None:
    """In lines at the foot of the page."""
    entries = [(classes[number], part_picture(torch.tensor([[[at]]]))[0, :, 0, 0].tolist()) for at, number in enumerate(legend)]
    entries += [("other classes", [_OTHERS] * 3)] * other
    width, height = figure.get_size_inches()
    across = _across(width)
    lines, step = -(-len(entries) // across), (width - 2 * _EDGE) / across
    for place, (name, colour) in enumerate(entries):
        x, y = _EDGE + place % across * step, height - _EDGE - (lines - 1 - place // across) * _LEGEND
        figure.add_artist(Rectangle((x / width, 1 - y / height), 0.11 / width, 0.11 / height, color=colour, lw=0))
        room = int((step - 0.2) * 72 / 3.6)
        _text(figure, x + 0.16, y - 0.02, name if len(name) <= room else f"{name[: room - 1]}…", size=6.5)
