"""One call gives the transfer matrix of any match; the rows that no model made read as they should."""

import pytest
import torch

from exemplar_lab.correspondence import DenseMatch, FactoredMatch
from exemplar_lab.data.synth.scenes import Scenes
from exemplar_lab.data.synth.scenes.materials import CLASSES, true_transfer_matrix
from exemplar_lab.metrics.preference import class_area
from exemplar_lab.metrics.transfer import expected_transfer, transfer_matrix
from exemplar_lab.models.msca import MSCA, MSCAConfig
from exemplar_lab.training.evaluation import score, translate
from exemplar_lab.training.references import part_labels
from exemplar_lab.training.transfer_evaluation import (
    NUMBERS,
    TRANSFER_REFERENCES,
    mean_matrices,
    preference_matrices,
    transfer_of,
    transfer_rows,
    with_open_gate,
)
from exemplar_lab.translation import Batch

GRID = (8, 8)
SCENES = Scenes(size=32, split="val", scheme="retrieval")
TRUE = true_transfer_matrix()


@pytest.fixture(scope="module")
def references():
    return transfer_of({}, SCENES, torch.arange(48), TRUE, references=True, grid=(16, 16))


@pytest.fixture(scope="module")
def msca() -> MSCA:
    torch.manual_seed(0)
    narrow = dict.fromkeys(("exemplar_widths", "label_widths", "generator_widths"), (8,) * 5)
    return MSCA(MSCAConfig(size=32, condition_channels=len(CLASSES), style_hidden=8, **narrow)).eval()


def test_rows_that_no_model_made(references):
    assert tuple(references) == TRANSFER_REFERENCES
    rows = transfer_rows(references, TRUE, draws=10)
    assert all(tuple(numbers) == NUMBERS for numbers in rows.values())
    means = {row: {number: found["mean"] for number, found in numbers.items()} for row, numbers in rows.items()}
    assert means["oracle of classes"]["transfer_rank"] == pytest.approx(1) == means["oracle of classes"]["cophenetic"]
    assert means["oracle of pixels"]["preference_rank"] == pytest.approx(1)
    assert means["oracle of pixels"]["preference_cophenetic"] > 0.95
    assert 0.7 < means["oracle of pixels"]["transfer_rank"] < 0.95
    assert means["uniform"]["preference_rank"] == 0 and means["uniform"]["transfer_rank"] < 0.1
    assert means["oracle of classes"]["self_share"] > 0.5 > 0.2 > means["uniform"]["self_share"]
    assert rows["copy"]["self_share"]["half_width"] > 0


def test_matrices_of_the_oracles_are_true(references):
    wanted = references["oracle of classes"]["expected_transfer"].double().nanmean(0)
    torch.testing.assert_close(mean_matrices(references)["oracle of classes"], wanted, equal_nan=True, atol=1e-5, rtol=0)
    preference = preference_matrices(references)["oracle of pixels"]
    known = preference.isfinite()
    among_known = TRUE * known / (TRUE * known).sum(1, keepdim=True)
    torch.testing.assert_close(preference[known], among_known[known], atol=0.001, rtol=0.05)


def colour_match(batch: Batch) -> DenseMatch:
    """A similarity of one's own."""
    one, other = (torch.nn.functional.interpolate(x, GRID, mode="area").flatten(2).mT for x in (batch.target, batch.exemplar))
    return DenseMatch(GRID, GRID, torch.softmax(-torch.cdist(one, other) / 0.05, dim=2))


def test_a_match_of_ones_own_is_measured_as_score_does():
    measured = transfer_of({"mine": colour_match}, SCENES, torch.arange(6), TRUE, batch_size=4)["mine"]
    by_score = score({"mine": colour_match}, SCENES, torch.arange(6), references=False, transfer=TRUE, batch_size=4)["mine"]
    for number in ("transfer", "expected_transfer"):
        torch.testing.assert_close(measured[number], by_score[number], equal_nan=True)
    batch = SCENES.batch(torch.arange(6))
    labels = part_labels(batch, GRID, GRID, len(CLASSES))
    torch.testing.assert_close(
        measured["transfer"], transfer_matrix(colour_match(batch), *labels, len(CLASSES)), equal_nan=True, atol=1e-6, rtol=1e-5
    )
    torch.testing.assert_close(measured["expected_transfer"], expected_transfer(TRUE, *labels), equal_nan=True)
    torch.testing.assert_close(measured["exemplar_area"].sum(1), torch.ones(6, dtype=torch.float64))


def test_every_scale_of_a_model_is_measured_coarse_to_fine(msca):
    indices, answers = torch.arange(3), {"MSCA": translate(msca)}
    measured = transfer_of(answers | {"mine": colour_match}, SCENES, indices, TRUE, layers=True)
    sides = [2, 4, 8, 16, 32]
    assert list(measured) == [f"MSCA, {n} × {n}, block 1" for n in sides] + ["mine, 8 × 8, block 1"]
    last = transfer_of(answers, SCENES, indices, TRUE)["MSCA"]
    torch.testing.assert_close(measured["MSCA, 32 × 32, block 1"]["transfer"], last["transfer"], equal_nan=True)
    assert measured["mine, 8 × 8, block 1"]["transfer"].nansum() > 0


def test_open_gates_are_ones_and_change_what_a_gate_decides(msca):
    batch = SCENES.batch(torch.arange(3))
    opened = with_open_gate(translate(msca))(batch).matches[-1]
    given = translate(msca)(batch).matches[-1]
    assert (opened.gate == 1).all() and (given.gate < 1).all()
    assert torch.equal(opened.key_factor, given.key_factor) and torch.equal(opened.query_factor, given.query_factor)
    assert with_open_gate(colour_match)(batch).weight.equal(colour_match(batch).weight)

    def half_shut(batch: Batch) -> FactoredMatch:
        """Two regions, the left half and the right half of the exemplar, the second of them shut."""
        halves = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).repeat_interleave(4, 1).repeat(1, 8) / 32
        n = len(batch)
        gate = torch.tensor([1.0, 0.0]).expand(n, -1)
        return FactoredMatch(GRID, GRID, torch.full((n, 64, 2), 0.5), gate, halves.expand(n, -1, -1))

    both = transfer_of({"shut": half_shut, "open": with_open_gate(half_shut)}, SCENES, torch.arange(3), TRUE)
    areas = both["open"]["exemplar_area"][:, None].float()
    even = both["open"]["transfer"].isfinite()
    torch.testing.assert_close(both["open"]["transfer"][even], areas.expand(-1, 12, -1)[even])
    left = class_area(part_labels(batch, GRID, GRID, len(CLASSES))[0][:, :, :4], len(CLASSES))[:, None].float()
    torch.testing.assert_close(both["shut"]["transfer"][even], left.expand(-1, 12, -1)[even])
