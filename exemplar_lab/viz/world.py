"""The procedural world on one page: pairs with all that is known about them, and one pair at every level of a dial."""

import numpy as np
import torch
from jaxtyping import Float, Int
from matplotlib import colormaps
from matplotlib.figure import Figure
from torch import Tensor

from exemplar_lab.grid import sample_at
from exemplar_lab.translation import Batch, Truth
from exemplar_lab.viz.pictures import image_grid
from exemplar_lab.viz.style import PAGE, as_rgb, styled

_HIDDEN, _NOTHING = 0.80, 0.97
"""Greys of what has a counterpart that cannot be seen, and of what has none."""


@styled
def contact_sheet(batch: Batch, structure: Float[Tensor, "b 3 h w"], title: str | None = None) -> Figure:
    """One pair a row: structure, exemplar, target, the exemplar warped by the true flow, match count, parts.

    structure: the condition as people look at it. The count is that of exemplar pixels per target pixel, on a scale of powers
    of two from 1/8 (dark) to 8 (bright). Dark grey: hidden in the exemplar or outside its frame; pale grey: no counterpart.
    """
    truth = _known(batch)
    columns = {
        "structure": structure,
        "exemplar": batch.exemplar,
        "target": batch.target,
        "by the true flow": true_warp(batch),
        "pixels needed": count_picture(truth),
    }
    if truth.target_part is not None and truth.exemplar_part is not None:
        columns |= {"parts, target": part_picture(truth.target_part), "parts, exemplar": part_picture(truth.exemplar_part)}
    return image_grid(columns, title=title)


@styled
def dial_strip(levels: dict[str, Batch], structures: dict[str, Tensor] | None = None, title: str | None = None) -> Figure:
    """The same pairs at each level of a dial, one level a column: target, exemplar, and the exemplar by the true flow.

    structures: per level the condition as people look at it, b c h w, for the dials that change it; a row above the others.
    """
    samples = len(next(iter(levels.values())))
    columns, rows = {}, []
    for level, batch in levels.items():
        above = {} if structures is None else {"structure": torch.stack([_as_picture(one) for one in structures[level]])}
        shown = above | {"target": batch.target, "exemplar": batch.exemplar, "by the true flow": true_warp(batch)}
        columns[level] = torch.stack(list(shown.values()), dim=1).flatten(0, 1)
        rows = list(shown) * samples
    return image_grid(columns, rows=rows, title=title, width=min(1.12, PAGE / len(columns)))


def _as_picture(structure: Float[Tensor, "c h w"]) -> Float[Tensor, "3 h w"]:
    return torch.from_numpy(as_rgb(structure).copy()).movedim(-1, 0)


def true_warp(batch: Batch) -> Float[Tensor, "b 3 h w"]:
    """The exemplar read at the true flow; the greys of the sheet where there is nothing to read."""
    truth = _known(batch)
    warp = sample_at(batch.exemplar, truth.flow)
    return torch.where(truth.visible[:, None], warp, _greys(truth)[:, None])


def count_picture(truth: Truth) -> Float[Tensor, "b 3 h w"]:
    """log₂ of the match count from −3 to 3 as colours."""
    if truth.count is None:
        raise ValueError("got a truth without match counts, expected one of the procedural world")
    level = (truth.count.clamp_min(1e-6).log2() / 6 + 0.5).clamp(0, 1)
    table = torch.from_numpy(colormaps["viridis"](np.linspace(0, 1, 256))[:, :3]).float().to(level.device)
    colours = table[(level * 255).long()].movedim(-1, 1)
    return torch.where(truth.visible[:, None], colours, _greys(truth)[:, None])


def part_picture(part: Int[Tensor, "b h w"]) -> Float[Tensor, "b 3 h w"]:
    """Parts or classes as colours, neighbours in number far apart in hue; −1 is nearly white."""
    number = part.clamp_min(0).float()
    hue = (number * 0.61803399) % 1
    value = 0.95 - 0.25 * (number % 3 == 1) - 0.45 * (number % 5 == 3)
    channels = [((hue + shift) % 1 * 6 - 3).abs().sub(1).clamp(0, 1) for shift in (0, 2 / 3, 1 / 3)]
    colours = torch.stack([value * (0.35 + 0.65 * channel) for channel in channels], dim=1)
    return torch.where(part[:, None] >= 0, colours, _NOTHING)


def _greys(truth: Truth) -> Float[Tensor, "b h w"]:
    return torch.where(truth.flow.isnan().any(1), _NOTHING, _HIDDEN)


def _known(batch: Batch) -> Truth:
    if batch.truth is None:
        raise ValueError("got a batch without truth, expected one of a source with truth=True")
    return batch.truth
