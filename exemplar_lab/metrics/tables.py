"""From numbers per image to the mean with its 95 % interval, and to a table that a terminal can show."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Float, Int
from scipy.stats import t as student
from torch import Tensor

Rows = dict[str, dict[str, dict[str, Any]]]
"""{row: {number: {"mean", "half_width"}}}; some numbers also have "low" and "high", or "features", what they were made with."""

PER_POINT = ("epe", "fl", "pck", "set_pck", "footprint", "cycle")
"""Numbers, or the first words of their names, that are means over visible cells: given as means over all points too."""

_OF_MATCHES = ("epe", "pck@0.1", "pck@0.05", "set_pck@0.1", "footprint")
_OF_WARPS = ("warp_l1", "warp_l1_ratio", "albedo_l1_ratio", "warp_ssim")
_OF_STYLES = ("content_ssim", "edge_correlation", "style_loss", "content_loss", "painting_l1")
_OF_PAIRS = ("pair_warp_l1", "pair_warp_psnr", "pair_image_l1", "pair_image_psnr")
_OF_CLASSES = ("transfer_rank", "cophenetic")
SHOWN = _OF_MATCHES + _OF_WARPS + _OF_PAIRS + _OF_CLASSES + _OF_STYLES
"""What a table shows where nothing else is asked for; columns that no row has are left out."""


def summarise(
    batches: list[dict[str, Tensor]], draws: int = 1000, group: Int[Tensor, " n"] | None = None
) -> dict[str, dict[str, float]]:
    """{name: {"mean", "half_width"}} over all images of all batches, ready for JSON.

    The half width is that of the 95 % interval when images are drawn again with replacement (`draws` times, always the same
    draws); NaN values, of images without the cells in question, are left out. group: images of one number are drawn together,
    because they are not independent: one pair at several levels of a dial. Two kinds of number are added:
    `… per point`: errors and PCK averaged over cells rather than images, as some papers print them;
    `…_ratio`: the error of the warp over that of the unwarped exemplar, a ratio of means.
    """
    per_image = {name: torch.cat([batch[name] for batch in batches]).double().cpu() for name in batches[0]}
    images = len(next(iter(per_image.values())))
    times = torch.cat([torch.ones(1, images, dtype=torch.float64), drawn_again(images, draws, group)])
    ones = torch.ones(images, dtype=torch.float64)
    weighted = {name: (value, ones) for name, value in per_image.items()}
    if "cells" in per_image:
        cells = per_image["cells"]
        by_point = [name for name in per_image if name.partition("@")[0] in PER_POINT]
        weighted |= {f"{name} per point": (per_image[name], cells) for name in by_point}
    summary = {name: with_interval(_mean(value, weight * times)) for name, (value, weight) in weighted.items()}
    for warp, copy in (("warp_l1", "copy_l1"), ("albedo_l1", "copy_albedo_l1")):
        if warp in per_image and copy in per_image:
            summary[f"{warp}_ratio"] = with_interval(_mean(per_image[warp], times) / _mean(per_image[copy], times))
    return summary


def drawn_again(images: int, draws: int, group: Int[Tensor, " n"] | None = None) -> Float[Tensor, "draws n"]:
    """How often each image occurs when all are drawn again with replacement, those of one group together; always the same."""
    which = torch.arange(images) if group is None else group.unique(return_inverse=True)[1]
    groups = int(which.max()) + 1
    again = torch.randint(groups, (draws, groups), generator=torch.Generator().manual_seed(0))
    times = torch.zeros(draws, groups, dtype=torch.float64).scatter_add(1, again, torch.ones(again.shape, dtype=torch.float64))
    return times[:, which]


def with_interval(numbers: Float[Tensor, " n"]) -> dict[str, float]:
    """The first number as the mean; half of the range that holds 95 % of the others, those that are known."""
    mean, drawn = numbers[0], numbers[1:][numbers[1:].isfinite()]
    low, high = drawn.quantile(drawn.new_tensor([0.025, 0.975])).tolist() if len(drawn) else (math.nan, math.nan)
    return {"mean": mean.item(), "half_width": (high - low) / 2}


def over_runs(values: Iterable[float]) -> dict[str, float]:
    """{"mean", "half_width"} of one number of several training runs: Student's 95 % interval, NaN for a single run."""
    runs = torch.tensor(list(values), dtype=torch.float64)
    half = student.ppf(0.975, len(runs) - 1) * float(runs.std()) / math.sqrt(len(runs)) if len(runs) > 1 else math.nan
    return {"mean": float(runs.mean()), "half_width": float(half)}


def table(rows: Rows, columns: tuple[str, ...] = SHOWN, width: int | None = None) -> str:
    """One line per row name, one column per number, `mean ±half width`, or `mean [low, high]` where the interval has both ends;
    columns that no row has are left out. width: a longest line; what is wider becomes several tables, one below the other.

    Raises ValueError for a cycle error without the end-point error beside it: the identity map has a cycle of 0.
    """
    columns = tuple(column for column in columns if any(column in row for row in rows.values()))
    if alone := [column for column in columns if column.startswith("cycle") and column.replace("cycle", "epe") not in columns]:
        raise ValueError(
            f"got the column {alone[0]} without {alone[0].replace('cycle', 'epe')}, expected both: a match that maps every "
            "position to itself has no cycle error at all"
        )
    names = _column(["", *rows], str.ljust)
    tables, length = [[names]], len(names[0])
    for column in columns:
        cells = _column([column, *(_written(row.get(column)) for row in rows.values())], str.rjust)
        length += 2 + len(cells[0])
        if width is not None and length > width and len(tables[-1]) > 1:
            tables.append([names])
            length = len(names[0]) + 2 + len(cells[0])
        tables[-1].append(cells)
    texts = [["  ".join(cells) for cells in zip(*one, strict=True)] for one in tables]
    return "\n\n".join("\n".join([head, "─" * len(head), *lines]) for head, *lines in texts)


def _column(cells: list[str], justify: Callable[[str, int], str]) -> list[str]:
    return [justify(cell, max(map(len, cells))) for cell in cells]


def _mean(value: Float[Tensor, " n"], weight: Float[Tensor, "m n"]) -> Float[Tensor, " m"]:
    """Weighted means of the known values, one for each row of weights."""
    known = value.isfinite().to(weight.dtype)
    return (weight @ value.nan_to_num(0, 0, 0)) / (weight @ known)


def _written(number: dict[str, Any] | None) -> str:
    if number is None or number["mean"] is None or math.isnan(number["mean"]):
        return "–"
    digits = 3 if abs(number["mean"]) < 10 else 1
    mean, half_width = f"{number['mean']:.{digits}f}", number["half_width"] or 0
    if half_width > 0 and "low" in number:
        return f"{mean} [{number['low']:.{digits}f}, {number['high']:.{digits}f}]"
    return f"{mean} ±{half_width:.{digits}f}" if half_width > 0 else mean
