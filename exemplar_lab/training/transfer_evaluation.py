"""The transfer matrix of any model beside the true one and beside matches that no model made: only what that needs.

`evaluation.score` measures end points as well, which takes longer; the matrices are the same.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.correspondence import Correspondence, FactoredMatch
from exemplar_lab.metrics.preference import class_area, class_preference, pixel_oracle, preference_summary, uniform_match
from exemplar_lab.metrics.tables import Rows, drawn_again, with_interval
from exemplar_lab.metrics.transfer import class_oracle, expected_transfer, mean_transfer, transfer_matrix, transfer_summary
from exemplar_lab.training.evaluation import Answer, PerImage, ask, joined, last_match, layer_names
from exemplar_lab.training.references import SEED, part_labels, reference_matches
from exemplar_lab.translation import Batch, Source, Translation

ORACLES = ("oracle of classes", "oracle of pixels")
TRANSFER_REFERENCES = (*ORACLES, "uniform", "copy", "nearest label", "random")
"""Rows that no model made. The two oracles know the truth: one gives each class its share whatever area it covers, the other
each pixel its weight. "uniform" looks everywhere alike."""

NUMBERS = ("transfer_rank", "cophenetic", "preference_rank", "preference_cophenetic", "self_share")


@torch.inference_mode()
def transfer_of(
    answers: dict[str, Answer],
    source: Source,
    indices: Int[Tensor, " n"],
    true: Float[Tensor, "c c"],
    layers: bool = False,
    references: bool = False,
    grid: tuple[int, int] | None = None,
    device: torch.device | str = "cpu",
    batch_size: int = 16,
    progress: Callable[[Iterable], Iterator] = iter,
) -> PerImage:
    """{row: {"transfer", "expected_transfer", b c c, "exemplar_area", b c}} of any models or matches, on the very same pairs.

    answers: name of the row -> function of a batch that gives a `Translation` (`translate(model)`) or a match of your own.
    Measured is the last match, as in Fig. 10 of [MSCA], or with `layers` every match, in rows "name, 4 × 4, block 1". source:
    knows the classes of both images (truth.target_part, exemplar_part), of which `true` is the matrix. references: also
    `TRANSFER_REFERENCES`, on `grid`, by default half the side of the images. `transfer_rows` makes numbers of it.
    """
    rows: dict[str, list[dict[str, Tensor]]] = {}
    for asked in ask(answers, source, indices, device, False, None, batch_size, progress):
        matches = _matches(asked.given, layers)
        if references:
            half = grid or tuple(side // 2 for side in asked.batch.target.shape[-2:])
            matches |= _references(asked.batch, half, true, SEED + int(asked.numbers[0]))
        for name, match in matches.items():
            rows.setdefault(name, []).append(_measured(match, asked.batch, true))
    return joined(rows)


def transfer_rows(
    measured: PerImage, true: Float[Tensor, "c c"], draws: int = 200, group: Int[Tensor, " n"] | None = None
) -> Rows:
    """{row: {number: {"mean", "half_width"}}} with the five `NUMBERS`; `metrics.tables.table` prints them.

    transfer_rank, cophenetic: of the paper's matrix, against what was expected of the same images (`transfer_summary`).
    preference_…: of the matrix freed from the areas of the classes (`preference_summary`). self_share: how much of a class
    comes from that class, the mean of the diagonal. draws, group: of the intervals, see `tables.drawn_again`; those of
    preference_… come from at most 50 draws, each of which is a fit.
    """
    rows = {}
    for row, found in measured.items():
        matrices = found["transfer"].double().cpu()
        times = torch.cat([torch.ones(1, len(matrices), dtype=torch.float64), drawn_again(len(matrices), draws, group)])
        rows[row] = transfer_summary(matrices, found["expected_transfer"], draws, group)
        rows[row] |= preference_summary(matrices, found["exemplar_area"], true, min(draws, 50), group)
        own = mean_transfer(matrices, times).diagonal(dim1=1, dim2=2).nanmean(1)
        rows[row]["self_share"] = with_interval(own)
    return rows


def mean_matrices(measured: PerImage) -> dict[str, Float[Tensor, "c c"]]:
    """The paper's matrix of each row, the mean over images."""
    return {row: mean_transfer(found["transfer"].double()) for row, found in measured.items()}


def preference_matrices(measured: PerImage) -> dict[str, Float[Tensor, "c c"]]:
    """The same freed from the areas of the classes (`class_preference`)."""
    return {row: class_preference(found["transfer"], found["exemplar_area"]) for row, found in measured.items()}


def with_open_gate(answer: Answer) -> Answer:
    """The same with every gate of a factored match at one, which is what Eq. (6) of [MSCA] would not have changed."""

    def opened(batch: Batch) -> Translation | Correspondence:
        given = answer(batch)
        if isinstance(given, Translation):
            return replace(given, matches=tuple(map(_open, given.matches)))
        return _open(given)

    return opened


def _open(match: Correspondence) -> Correspondence:
    return replace(match, gate=torch.ones_like(match.gate)) if isinstance(match, FactoredMatch) else match


def _matches(given: dict[str, Translation | Correspondence], layers: bool) -> dict[str, Correspondence]:
    if not layers:
        return {name: last_match(one) for name, one in given.items()}
    every = {name: one.matches if isinstance(one, Translation) else (one,) for name, one in given.items()}
    return {
        f"{name}, {layer}": match
        for name, matches in every.items()
        for layer, match in zip(layer_names(matches), matches, strict=True)
    }


def _references(batch: Batch, grid: tuple[int, int], true: Tensor, seed: int) -> dict[str, Correspondence]:
    labels = part_labels(batch, grid, grid, len(true))
    oracles = (one(true.to(batch.target.device), *labels) for one in (class_oracle, pixel_oracle))
    found = dict(zip(ORACLES, oracles, strict=True))
    found["uniform"] = uniform_match(len(batch), grid, grid).to(batch.target.device)
    return found | reference_matches(batch, grid, grid, seed)


def _measured(match: Correspondence, batch: Batch, true: Tensor) -> dict[str, Tensor]:
    labels = part_labels(batch, match.query_size, match.key_size, len(true))
    return {
        "transfer": transfer_matrix(match, *labels, len(true)),
        "expected_transfer": expected_transfer(true, *labels),
        "exemplar_area": class_area(labels[0], len(true)),
    }
