"""Transfer matrices and the trees of classes: against loops and SciPy, and the oracle that gives the true one."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.cluster.hierarchy import cophenet
from scipy.spatial.distance import squareform
from worlds import all_three, worlds

from exemplar_lab.metrics.cells import copy_match
from exemplar_lab.metrics.transfer import (
    class_features,
    class_oracle,
    class_tree,
    cophenetic_correlation,
    expected_transfer,
    labels_of_cells,
    mean_transfer,
    strongest_others,
    transfer_matrix,
    transfer_rank,
    transfer_summary,
)

quick = settings(max_examples=25)
CLASSES = 4


def materials(classes: int = 6, seed: int = 0) -> torch.Tensor:
    """Classes in pairs that help one another more than the others: (0, 1), (2, 3) …"""
    generator = torch.Generator().manual_seed(seed)
    matrix = 0.05 * torch.rand(classes, classes, generator=generator, dtype=torch.float64)
    for i in range(0, classes, 2):
        matrix[i : i + 2, i : i + 2] += 0.5
    return matrix / matrix.sum(-1, keepdim=True)


@quick
@given(worlds(), st.integers(0, 2**31))
def test_transfer_matrix_against_a_loop(world, seed):
    matrix, cells, key_size = world
    query_size = tuple(cells.visible.shape[1:])
    random = np.random.default_rng(seed)
    target = random.integers(-1, CLASSES, (len(matrix), *query_size))
    exemplar = random.integers(-1, CLASSES, (len(matrix), *key_size))
    for match in all_three(matrix, query_size, key_size):
        answer = transfer_matrix(match, torch.from_numpy(exemplar), torch.from_numpy(target), CLASSES)
        for b in range(len(matrix)):
            gathered = np.zeros((CLASSES, CLASSES))
            for q, k in np.ndindex(*matrix.shape[1:]):
                i, j = target[b].flat[q], exemplar[b].flat[k]
                if i >= 0 and j >= 0:
                    gathered[i, j] += matrix[b, q, k].item()
            for i, j in np.ndindex(CLASSES, CLASSES):
                present = gathered[i].sum() > 0 and (exemplar[b] == j).any()
                expected = gathered[i, j] / gathered[i].sum() if present else math.nan
                assert answer[b, i, j].item() == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_labels_that_are_no_class_of_these_are_refused():
    label = torch.full((1, 2, 2), 4)
    with pytest.raises(ValueError, match="got labels from 4 to 4, expected −1 … 3"):
        transfer_matrix(copy_match(1, (2, 2), (2, 2)), label, label, CLASSES)


def test_labels_of_cells_are_those_that_fill_most():
    label = torch.tensor([[[0, 0, 2, -1], [1, 0, -1, -1]]])
    assert labels_of_cells(label, (1, 2), 3).tolist() == [[[0, -1]]]
    assert labels_of_cells(label, (2, 4), 3).tolist() == label.tolist()


@quick
@given(st.integers(0, 2**31))
def test_the_oracle_of_classes_gives_the_true_matrix(seed):
    generator = torch.Generator().manual_seed(seed)
    true = torch.rand(CLASSES, CLASSES, generator=generator, dtype=torch.float64)
    true = true / true.sum(-1, keepdim=True)
    target, exemplar = torch.randint(-1, CLASSES, (2, 1, 5, 6), generator=generator)
    match = class_oracle(true, exemplar, target)
    answer = transfer_matrix(match, exemplar, target, CLASSES)[0]
    torch.testing.assert_close(answer, expected_transfer(true, exemplar, target)[0], equal_nan=True)
    there = torch.tensor([(exemplar == j).any() for j in range(CLASSES)])
    for i in range(CLASSES):
        if (target == i).any() and there.any():
            expected = torch.where(there, true[i] / true[i][there].sum(), math.nan)
            torch.testing.assert_close(answer[i], expected, equal_nan=True)
        else:
            assert answer[i].isnan().all()
    assert torch.allclose(match.mass()[target >= 0], torch.tensor(1.0 * bool(there.any()), dtype=torch.float64))
    assert match.mass()[target < 0].abs().sum() == 0


def test_rank_looks_off_the_diagonal_at_what_is_known():
    true, other = materials(seed=0), materials(seed=1)
    off = ~np.eye(6, dtype=bool)
    expected = stats.spearmanr(true.numpy()[off], other.numpy()[off]).statistic
    assert transfer_rank(other, true) == pytest.approx(expected, abs=1e-6)
    assert transfer_rank(true + 5 * torch.eye(6), true) == pytest.approx(1)
    other[2] = math.nan
    off[2] = False
    expected = stats.spearmanr(true.numpy()[off], other.numpy()[off]).statistic
    assert transfer_rank(other, true) == pytest.approx(expected, abs=1e-6)
    assert math.isnan(transfer_rank(torch.full((6, 6), math.nan), true))


def test_the_strongest_others_are_not_oneself():
    matrix = torch.tensor([[0.7, 0.2, 0.1], [0.5, 0.1, 0.4], [math.nan, 0.0, 0.7]])
    assert strongest_others(matrix, 2).tolist() == [[1, 2], [0, 2], [-1, -1]]
    assert strongest_others(matrix).tolist() == [[1], [0], [-1]]


def test_features_put_the_second_largest_on_the_diagonal():
    matrix = torch.tensor([[0.7, 0.2, 0.1], [0.5, 0.1, 0.4], [0.3, math.nan, 0.7]])
    expected = torch.tensor([[0.2, 0.2, 0.1], [0.5, 0.4, 0.4], [0.3, 0.0, 0.3]])
    torch.testing.assert_close(class_features(matrix), expected)


def test_classes_of_one_material_meet_first():
    heights = squareform(cophenet(class_tree(materials())))
    for i in range(6):
        others = [heights[i, j] for j in range(6) if j not in (i, i ^ 1)]
        assert heights[i, i ^ 1] < min(others)
    with pytest.raises(ValueError, match="of 2 classes, expected at least 3"):
        class_tree(torch.eye(2))


def test_average_linkage_against_a_loop():
    """The two closest groups join at the mean distance of their members, again and again."""
    matrix = materials(seed=3)
    rows = class_features(matrix).numpy()
    distance = np.linalg.norm(rows[:, None] - rows[None], axis=-1)
    groups, heights = [[i] for i in range(6)], np.zeros((6, 6))
    while len(groups) > 1:
        between = {
            (a, b): distance[np.ix_(groups[a], groups[b])].mean() for a in range(len(groups)) for b in range(a)
        }  # fmt: skip
        a, b = min(between, key=between.get)
        for i in groups[a]:
            for j in groups[b]:
                heights[i, j] = heights[j, i] = between[a, b]
        groups = [group for n, group in enumerate(groups) if n not in (a, b)] + [groups[a] + groups[b]]
    np.testing.assert_allclose(squareform(cophenet(class_tree(matrix))), heights, atol=1e-12)


def test_cophenetic_correlation_tells_like_trees_from_unlike_ones():
    true = materials(seed=0)
    swapped = true[[2, 1, 4, 3, 0, 5]][:, [2, 1, 4, 3, 0, 5]]
    assert cophenetic_correlation(true, true) == pytest.approx(1)
    assert cophenetic_correlation(materials(seed=1), true) > 0.9 > 0.3 > cophenetic_correlation(swapped, true)
    one, other = (cophenet(class_tree(m)) for m in (materials(seed=1), true))
    assert cophenetic_correlation(materials(seed=1), true) == pytest.approx(stats.pearsonr(one, other).statistic)
    unseen = true.clone()
    unseen[1], unseen[:, 1] = math.nan, math.nan
    assert cophenetic_correlation(unseen, true) > 0.9
    assert math.isnan(cophenetic_correlation(torch.full((6, 6), math.nan), true))
    assert math.isnan(cophenetic_correlation(torch.ones(6, 6), true))


def test_the_mean_matrix_counts_only_what_occurred():
    one, two = torch.tensor([[1.0, math.nan], [math.nan, math.nan]]), torch.tensor([[0.0, 0.5], [0.25, math.nan]])
    expected = torch.tensor([[0.5, 0.5], [0.25, math.nan]])
    torch.testing.assert_close(mean_transfer(torch.stack([one, two])), expected, equal_nan=True)
    times = torch.tensor([[1.0, 1], [0, 2], [3, 1]])
    again = [mean_transfer(torch.stack(images)) for images in ([one, two], [two, two], [one, one, one, two])]
    torch.testing.assert_close(mean_transfer(torch.stack([one, two]), times), torch.stack(again), equal_nan=True)


def test_summary_is_of_the_mean_matrix_and_its_interval_shrinks():
    true = materials()
    noise = torch.randn(60, 6, 6, dtype=torch.float64)
    matrices = (true + 0.15 * noise).masked_fill(torch.rand(60, 6, 6) < 0.2, math.nan)
    expected = true.expand(60, 6, 6)
    few, many = transfer_summary(matrices[:6], expected[:6]), transfer_summary(matrices, expected)
    assert many["transfer_rank"]["mean"] == pytest.approx(transfer_rank(mean_transfer(matrices), true))
    assert many["cophenetic"]["mean"] == pytest.approx(cophenetic_correlation(mean_transfer(matrices), true))
    assert few["transfer_rank"]["half_width"] > many["transfer_rank"]["half_width"] > 0
    assert transfer_summary(matrices, expected) == many
    perfect = {"mean": pytest.approx(1), "half_width": pytest.approx(0, abs=1e-12)}
    assert transfer_summary(expected, expected) == {"transfer_rank": perfect, "cophenetic": perfect}
