"""A row in numbers that a person can read, in pixels and labels; the explorer's page computes the same (static/explorer)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from exemplar_lab.grid import cell_centres, index_to_xy
from exemplar_lab.ops.rows import Row, dropped_share, reading, reweighted
from exemplar_lab.widgets.contents import UNKNOWN, Contents, point_of

NO_LABEL = "no label"
_SHARES = 3
"""How many labels are named of those that a row looks at."""

Numbers = dict[str, object]


def numbers_of(
    contents: Contents,
    row: Row,
    side: str,
    point: Sequence[float],
    cell: int,
    grid: tuple[int, int],
    temperature: float = 1.0,
    top_k: int = 0,
) -> Numbers:
    """What the row of `cell`, a cell of `grid` on `side` that holds `point`, says at this temperature with the top_k alone.

    mass, kept, pruned, never, entropy, as in `ops.rows.Reading`; argmax: index; expected: (x, y) in pixels of the other
    picture; distance: from there to the nearest right answer, in pixels of the exemplar (None where nothing is known, and on
    the exemplar's side); cut: the share of the mass that top_k dropped; label: of the pixel at `point`; shares: of the weight
    on each label of the other picture, the three largest.
    """
    found = reading(reweighted(row, temperature, top_k))
    other = "exemplar" if side == "target" else "target"
    height, width = contents.picture(other).shape[1:]
    expected = None
    if found.expected is not None:
        expected = (found.expected[0] * width / row.size[1], found.expected[1] * height / row.size[0])
    return {
        "mass": found.mass,
        "kept": found.kept,
        "pruned": found.pruned,
        "never": found.never,
        "entropy": found.entropy,
        "argmax": found.argmax,
        "expected": expected,
        "distance": _distance(contents, side, cell, grid, expected),
        "cut": dropped_share(row, top_k),
        "label": label_at(contents, side, point),
        "shares": label_shares(contents, reweighted(row, temperature, top_k), other),
    }


def right_points(contents: Contents, cell: int, grid: tuple[int, int]) -> list[tuple[float, float]]:
    """The right answers for a target cell: those of the pixel that holds its centre, the first one first; [] where none."""
    if contents.answers is None:
        return []
    x, y = (int(one) for one in point_of(cell, contents.picture("target").shape[1:], grid))
    return [tuple(one) for one in contents.answers[:, :, y, x].tolist() if all(value == value for value in one)]


def _distance(contents: Contents, side: str, cell: int, grid: tuple[int, int], expected: tuple | None) -> float | None:
    right = right_points(contents, cell, grid) if side == "target" and expected else []
    return min((((x - expected[0]) ** 2 + (y - expected[1]) ** 2) ** 0.5 for x, y in right), default=None)


def label_at(contents: Contents, side: str, point: Sequence[float]) -> str | None:
    """The name of the label of the pixel that holds `point`; None where no labels are known."""
    labels = _labels(contents, side)
    if labels is None:
        return None
    height, width = labels.shape
    x, y = (min(max(int(one), 0), size - 1) for one, size in zip(point, (width, height), strict=True))
    return name_of(contents, int(labels[y, x]))


def label_shares(contents: Contents, row: Row, side: str) -> dict[str, float]:
    """The share of a row's weight on each label of the picture of `side`, the three largest; {} where nothing is known."""
    labels = _labels(contents, side)
    if labels is None or not row.weight.sum() > 0:
        return {}
    pixels = torch.tensor(labels.shape[::-1], dtype=torch.float64) / torch.tensor(row.size[::-1])
    x, y = (index_to_xy(row.index, row.size) * pixels).long().unbind(-1)
    under = labels[y, x].long()
    under = torch.where(under < 0, UNKNOWN, under)
    share = torch.zeros(UNKNOWN + 1, dtype=torch.float64).scatter_add(0, under, row.weight / row.weight.sum())
    best = share.sort(descending=True, stable=True)
    shown = [(int(label), float(value)) for label, value in zip(best.indices, best.values, strict=True) if value > 0][:_SHARES]
    return {name_of(contents, label): value for label, value in shown}


def name_of(contents: Contents, label: int) -> str:
    if not 0 <= label < UNKNOWN:
        return NO_LABEL
    return contents.label_names[label] if label < len(contents.label_names) else f"label {label}"


def _labels(contents: Contents, side: str) -> Tensor | None:
    labels = contents.target_labels if side == "target" else contents.exemplar_labels
    return None if contents.target_labels is None or contents.exemplar_labels is None else labels.detach().cpu()


def truly_used_by(contents: Contents, cell: int, grid: tuple[int, int]) -> list[tuple[float, float]]:
    """The centres (x, y) of the target pixels whose first right answer lies in a cell of the exemplar's grid."""
    if contents.answers is None:
        return []
    flow = contents.answers[0].detach().cpu().flatten(1).T
    height, width = contents.picture("exemplar").shape[1:]
    cells = (flow * torch.tensor([grid[1] / width, grid[0] / height])).floor()
    here = (cells == torch.tensor([cell % grid[1], cell // grid[1]])).all(1)
    return [tuple(one) for one in cell_centres(tuple(contents.answers.shape[2:]))[here].tolist()]
