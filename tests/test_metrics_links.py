"""Links kept and links needed, ranks, and the oracle that keeps as many as it needs."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from worlds import all_three, mean, worlds

from exemplar_lab.correspondence import DenseMatch
from exemplar_lab.metrics.cells import copy_match, footprint_match, oracle_match, truth_of_cells
from exemplar_lab.metrics.links import (
    count_correlation,
    effective_links,
    kept_links,
    link_scores,
    mass_in_footprint,
    peak_weight,
)
from exemplar_lab.metrics.ranks import auroc, ranks, spearman
from exemplar_lab.translation import Truth

quick = settings(max_examples=25)
numbers = st.lists(st.integers(-4, 4), min_size=3, max_size=30)


@quick
@given(numbers, st.randoms(use_true_random=False))
def test_ranks_and_spearman_as_scipy_has_them(values, random):
    other = [random.randint(-3, 3) for _ in values]
    one, two = torch.tensor(values, dtype=torch.float64), torch.tensor(other, dtype=torch.float64)
    np.testing.assert_array_equal(ranks(one), stats.rankdata(values))
    if len(set(values)) > 1 and len(set(other)) > 1:
        assert spearman(one, two).item() == pytest.approx(stats.spearmanr(values, other).statistic, abs=1e-6)
    else:
        assert spearman(one, two).isnan()


@quick
@given(numbers, numbers)
def test_auroc_counts_pairs(low, high):
    pairs = [(a < b) + (a == b) / 2 for a in low for b in high]
    assert auroc(torch.tensor(low).double(), torch.tensor(high).double()).item() == pytest.approx(np.mean(pairs), abs=1e-9)


def test_auroc_of_nothing_is_unknown():
    some, none = torch.rand(3), torch.rand(0)
    assert auroc(some, none).isnan() and auroc(none, some).isnan()


@quick
@given(worlds())
def test_links_against_a_loop(world):
    matrix, cells, key_size = world
    query_size = tuple(cells.visible.shape[1:])
    for match in all_three(matrix, query_size, key_size):
        kept, effective, peak = (f(match).flatten(1) for f in (kept_links, effective_links, peak_weight))
        for b, q in np.ndindex(*matrix.shape[:2]):
            row = matrix[b, q].numpy()
            total = row.sum()
            assert peak[b, q].item() == pytest.approx(row.max(), abs=1e-12)
            assert kept[b, q].item() == sum(w > 1e-3 * total for w in row)
            expected = math.exp(-sum(w / total * math.log(w / total) for w in row if w > 0)) if total > 0 else 0
            assert effective[b, q].item() == pytest.approx(expected, rel=1e-4)
        scores = link_scores(match, cells)
        for b in range(len(matrix)):
            seen = cells.visible[b].flatten()
            assert scores["links"][b].item() == pytest.approx(mean(effective[b, seen].tolist()), nan_ok=True)
            if seen.sum() > 2 and effective[b, seen].min() < effective[b, seen].max():
                truth = cells.count[b].flatten()[seen].numpy()
                expected = stats.spearmanr(effective[b, seen].numpy(), truth).statistic
                assert scores["links_rank"][b].item() == pytest.approx(expected, abs=1e-6)


@quick
@given(worlds())
def test_footprint_against_a_loop_in_all_records(world):
    matrix, cells, key_size = world
    query_size = tuple(cells.visible.shape[1:])
    scale = np.array([key_size[1] / cells.image_size[1], key_size[0] / cells.image_size[0]])
    ratio = math.prod(key_size) / math.prod(query_size)
    for match in all_three(matrix, query_size, key_size):
        for b, answer in enumerate(mass_in_footprint(match, cells).tolist()):
            gathered = []
            for y, x in cells.visible[b].nonzero().tolist():
                radius = math.sqrt(cells.count[b, y, x].item() * ratio / math.pi) + math.sqrt(0.5)
                points = cells.points[b, :, :, y, x].numpy() * scale
                row = matrix[b, y * query_size[1] + x].tolist()
                spots = [(i % key_size[1] + 0.5, i // key_size[1] + 0.5) for i in range(len(row))]
                gathered.append(
                    sum(w for w, at in zip(row, spots, strict=True) if any(math.dist(at, p) <= radius for p in points))
                )
            assert answer == pytest.approx(mean(gathered), abs=1e-9, nan_ok=True)


def test_a_number_that_never_changes_knows_nothing():
    seen = torch.ones(1, 2, 3, dtype=torch.bool)
    flow, count = torch.rand(1, 2, 2, 3), torch.rand(1, 2, 3)
    cells = truth_of_cells(Truth(flow, seen, count), (2, 3))
    assert count_correlation(torch.ones(1, 2, 3), cells).item() == 0
    assert count_correlation(count, cells).item() == pytest.approx(1) and count_correlation(-count, cells).item() == -1
    assert count_correlation(count, truth_of_cells(Truth(flow, seen), (2, 3))).isnan()
    tail = DenseMatch((1, 1), (1, 4), torch.tensor([[[0.9995, 2e-4, 2e-4, 1e-4]]]))
    assert kept_links(tail).item() == 1


def zooming_truth(count: float | torch.Tensor, side: int = 24) -> Truth:
    """Every pixel sees one in the middle of the exemplar, of which it needs `count` pixels."""
    flow = 0.3 * torch.rand(1, 2, side, side) + side / 2
    seen = torch.ones(1, side, side, dtype=torch.bool)
    seen[:, :3] = False
    return Truth(flow, seen, seen * torch.as_tensor(count, dtype=torch.float32))


@pytest.mark.parametrize("count", [0.2, 1.0, 2.5, 9.0, 20.0])
@pytest.mark.parametrize("grid", [24, 12])
def test_the_footprint_oracle_keeps_as_many_as_are_needed_around_the_point(count, grid):
    truth = zooming_truth(count)
    match = footprint_match(truth, (grid, grid), (grid, grid))
    cells = truth_of_cells(truth, (grid, grid))
    assert kept_links(match)[cells.visible].unique().tolist() == [max(1, math.ceil(count))]
    assert match.mass()[cells.visible].tolist() == pytest.approx([1.0] * int(cells.visible.sum()))
    assert match.mass()[~cells.visible].abs().max() == 0
    assert mass_in_footprint(match, cells).item() > 0.9
    whole = [1.0] * int(max(1, count)) + [count % 1] * (count > 1 and count % 1 > 0)
    written = match.weight[cells.visible.flatten(1)]
    assert written[0][: len(whole)].tolist() == pytest.approx([w / sum(whole) for w in whole], rel=1e-4)
    off = (match.xy(None) - cells.points[:, 0] * grid / 24).norm(dim=1)[cells.visible]
    assert off.max() < 1


def test_the_footprint_oracle_knows_the_count():
    count = torch.rand(1, 24, 24) * 8 + 1
    truth = zooming_truth(count)
    grids = (24, 24), (24, 24)
    cells = truth_of_cells(truth, grids[0])
    assert link_scores(footprint_match(truth, *grids), cells)["links_rank"].item() > 0.99
    for other in (oracle_match(truth, *grids), copy_match(1, *grids)):
        assert abs(link_scores(other, cells)["links_rank"].item()) < 0.2


def test_the_footprint_oracle_of_nothing_is_empty():
    truth = zooming_truth(1.0)
    hidden = Truth(truth.flow, torch.zeros_like(truth.visible), truth.count * 0)
    assert footprint_match(hidden, (12, 12), (12, 12)).mass().abs().max() == 0
