"""Mutual neighbours and cycles: against loops over rows and columns, and where agreement is not truth."""

import math

import pytest
import torch
from hypothesis import given, settings
from worlds import all_three, mean, read_point, worlds

from exemplar_lab.correspondence import SparseMatch
from exemplar_lab.grid import xy_to_index
from exemplar_lab.metrics.cells import CellTruth, copy_match, truth_of_cells
from exemplar_lab.metrics.mutual import cycle_error, mutual_neighbours, mutual_scores
from exemplar_lab.metrics.points import end_point_error, predicted_points
from exemplar_lab.metrics.tables import table
from exemplar_lab.translation import Truth

quick = settings(max_examples=25)


def shifted(size: tuple[int, int], by: int) -> CellTruth:
    """Every cell came from `by` cells further right, where that lies inside."""
    height, width = size
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    visible = (x + by < width)[None]
    return truth_of_cells(Truth(torch.stack([x + by, y])[None], visible), size)


@quick
@given(worlds())
def test_mutual_neighbours_against_a_loop(world):
    matrix, cells, key_size = world
    query_size = tuple(cells.visible.shape[1:])
    height, width = cells.image_size
    for match in all_three(matrix, query_size, key_size):
        scores = mutual_scores(match, cells, alpha=0.2)
        for b in range(len(matrix)):
            pairs, right, false = [], [], []
            for q in range(matrix.shape[1]):
                y, x = divmod(q, query_size[1])
                row = matrix[b, q]
                key = int(row.argmax())
                mutual = bool(row.sum() > 0) and int(matrix[b, :, key].argmax()) == q
                assert bool(mutual_neighbours(match)[b, y, x]) == mutual
                at = read_point(row.tolist(), key_size)
                at = at[0] * width / key_size[1], at[1] * height / key_size[0]
                if cells.visible[b, y, x]:
                    distances = [math.dist(at, p) for p in cells.points[b, :, :, y, x].tolist() if not math.isnan(p[0])]
                    pairs.append(float(mutual))
                    right.append(float(mutual and min(distances) <= 0.2 * max(height, width)))
                elif cells.no_match[b, y, x]:
                    false.append(float(mutual))
            expected = {
                "mutual_rate": mean(pairs),
                "mutual_precision": sum(right) / sum(pairs) if sum(pairs) else math.nan,
                "mutual_recall": mean(right),
                "mutual_false": mean(false),
            }
            for name, number in expected.items():
                assert scores[name][b].item() == pytest.approx(number, abs=1e-9, nan_ok=True), name


def test_one_exemplar_position_has_one_partner():
    """Four queries look at one key; the key answers to one of them."""
    index = torch.zeros(1, 4, 1, dtype=torch.long)
    match = SparseMatch((2, 2), (2, 2), index, torch.tensor([0.2, 0.9, 0.3, 0.0])[None, :, None])
    assert mutual_neighbours(match).flatten().tolist() == [False, True, False, False]
    empty = SparseMatch((2, 2), (2, 2), index, torch.zeros(1, 4, 1))
    assert not mutual_neighbours(empty).any()


def test_a_match_of_its_own_for_the_way_back():
    there = copy_match(1, (3, 4), (3, 4))
    back = SparseMatch((3, 4), (3, 4), (there.index + 1) % 12, there.weight)
    cells = shifted((3, 4), 0)
    assert mutual_neighbours(there).all() and not mutual_neighbours(there, back).any()
    cycle, epe = cycle_error(there, cells, back)
    assert epe.item() == 0 and cycle.item() == pytest.approx((9 * 1 + 2 * math.hypot(3, 1) + math.hypot(3, 2)) / 12, rel=1e-5)


@quick
@given(worlds())
def test_cycle_against_a_loop(world):
    """Column by column, read bilinearly between the exemplar positions that somebody looks at."""
    matrix, cells, key_size = world
    query_size = tuple(cells.visible.shape[1:])
    pixel = cells.image_size[1] / query_size[1], cells.image_size[0] / query_size[0]
    for match in all_three(matrix, query_size, key_size):
        cycle, epe = cycle_error(match, cells)
        assert torch.allclose(epe, end_point_error(predicted_points(match, cells.image_size), cells), equal_nan=True)
        for b in range(len(matrix)):
            lengths = []
            for y, x in cells.visible[b].nonzero().tolist():
                there = read_point(matrix[b, y * query_size[1] + x].tolist(), key_size)
                left, top = math.floor(there[0] - 0.5), math.floor(there[1] - 0.5)
                total = back_x = back_y = 0.0
                for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
                    share = (1 - abs(there[0] - 0.5 - left - j)) * (1 - abs(there[1] - 0.5 - top - i))
                    at = min(max(top + i, 0), key_size[0] - 1) * key_size[1] + min(max(left + j, 0), key_size[1] - 1)
                    column = matrix[b, :, at]
                    if column.sum() > 0:
                        point = read_point(column.tolist(), query_size)
                        total, back_x, back_y = total + share, back_x + share * point[0], back_y + share * point[1]
                back = (back_x / total, back_y / total) if total > 1e-9 else (0.0, 0.0)
                lengths.append(math.hypot((back[0] - x - 0.5) * pixel[0], (back[1] - y - 0.5) * pixel[1]))
            assert cycle[b].item() == pytest.approx(mean(lengths), abs=1e-6, nan_ok=True)


def test_the_identity_has_no_cycle_error_and_any_error_at_all():
    size = (6, 16)
    cells = shifted(size, 9)
    identity = copy_match(1, size, size)
    cycle, epe = cycle_error(identity, cells)
    assert cycle.item() < 1e-6 and epe.item() == pytest.approx(9)
    right = SparseMatch(
        size, size, xy_to_index(cells.points[:, 0].flatten(2).transpose(1, 2), size)[..., None], identity.weight
    )
    right = SparseMatch(size, size, right.index, cells.visible.flatten(1)[..., None].float())
    cycle, epe = cycle_error(right, cells)
    assert cycle.item() == pytest.approx(0, abs=1e-5) and epe.item() == pytest.approx(0, abs=1e-5)
    assert mutual_scores(identity, cells)["mutual_rate"].item() == 1
    assert mutual_scores(identity, cells)["mutual_precision"].item() == 0
    assert mutual_scores(right, cells)["mutual_recall"].item() == 1
    assert mutual_scores(right, cells)["mutual_false"].item() == 0


def test_exemplar_positions_that_nobody_looks_at_say_nothing():
    """One query looks at two opposite corners of 2 × 2 cells, that is between four; the other two corners have no way back."""
    index, weight = torch.zeros(1, 4, 2, dtype=torch.long), torch.zeros(1, 4, 2)
    index[0, 0], weight[0, 0] = torch.tensor([0, 3]), 0.5
    seen = torch.tensor([[[True, False], [False, False]]])
    cells = truth_of_cells(Truth(torch.ones(1, 2, 2, 2), seen), (2, 2))
    cycle, epe = cycle_error(SparseMatch((2, 2), (2, 2), index, weight), cells)
    assert cycle.item() == pytest.approx(0, abs=1e-6) and epe.item() == pytest.approx(0, abs=1e-6)


def test_a_table_never_shows_a_cycle_alone():
    rows = {"identity": {"cycle": {"mean": 0.0, "half_width": 0.0}, "epe": {"mean": 132.0, "half_width": 1.0}}}
    assert "132.0" in table(rows, ("epe", "cycle"))
    with pytest.raises(ValueError, match="got the column cycle without epe, expected both"):
        table(rows, ("cycle", "pck@0.1"))
    with pytest.raises(ValueError, match="got the column cycle without epe"):
        table({"identity": {"cycle": rows["identity"]["cycle"]}}, ("epe", "cycle"))
    point = {"cycle per point": rows["identity"]["cycle"]}
    with pytest.raises(ValueError, match="got the column cycle per point without epe per point"):
        table({"identity": point}, ("cycle per point",))
