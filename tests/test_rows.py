"""Rows as a person reads them, held against loops in NumPy."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matches import all_three, sparse_matches, written_out

from exemplar_lab.correspondence import DenseMatch, SparseMatch
from exemplar_lab.ops.rows import Row, dropped_share, reading, reweighted, row_of, users_of

quick = settings(max_examples=25, deadline=None)


def on_grid(row: Row) -> np.ndarray:
    line = np.zeros(row.size[0] * row.size[1])
    line[row.index] = row.weight
    return line


@quick
@given(sparse_matches())
def test_rows_and_users_are_lines_of_the_matrix(sparse):
    matrix = written_out(sparse)[0]
    for match in all_three(sparse):
        for query in {0, len(matrix) // 2, len(matrix) - 1}:
            row = row_of(match, query)
            assert row.size == match.key_size and len(row.index) == len(row.index.unique()) == row.considered
            np.testing.assert_allclose(on_grid(row), matrix[query], atol=1e-12)
        for key in {0, matrix.shape[1] - 1}:
            users = users_of(match, key)
            assert users.size == match.query_size and (users.weight > 0).all()
            np.testing.assert_allclose(on_grid(users), matrix[:, key], atol=1e-12)


def test_a_candidate_without_weight_is_pruned_and_the_rest_was_never_considered():
    match = SparseMatch((1, 1), (2, 3), torch.tensor([[[4, 1, 4, 2]]]), torch.tensor([[[0.25, 0.0, 0.5, 0.25]]]))
    row = row_of(match, 0)
    assert row.index.tolist() == [1, 2, 4] and row.weight.tolist() == [0.0, 0.25, 0.75]
    found = reading(row)
    assert (found.kept, found.pruned, found.never, found.argmax, found.mass) == (2, 1, 3, 4, 1.0)


def read_slowly(line: np.ndarray, size: tuple[int, int]) -> tuple:
    """mass, entropy, argmax, expected point within 1.5 cells of it."""
    mass = line.sum()
    entropy = -sum(w / mass * np.log(w / mass) for w in line if w > 0)
    peak = int(np.argmax(line))
    total, x, y = 0.0, 0.0, 0.0
    for index, w in enumerate(line):
        if abs(index % size[1] - peak % size[1]) <= 1 and abs(index // size[1] - peak // size[1]) <= 1:
            total, x, y = total + w, x + w * (index % size[1] + 0.5), y + w * (index // size[1] + 0.5)
    return mass, entropy, peak, (x / total, y / total)


@quick
@given(sparse_matches())
def test_readings(sparse):
    for query, line in enumerate(written_out(sparse)[0]):
        found = reading(row_of(sparse, query))
        if line.sum() == 0:
            assert found.argmax is None and found.expected is None and found.mass == found.kept == 0
            continue
        mass, entropy, peak, expected = read_slowly(line, sparse.key_size)
        assert found.argmax == peak
        np.testing.assert_allclose([found.mass, found.entropy, *found.expected], [mass, entropy, *expected], atol=1e-12)
        asked = sparse.xy()[0].flatten(1).T[query]
        np.testing.assert_allclose(found.expected, asked, atol=1e-12, err_msg="the point that the match itself answers")


@quick
@given(sparse_matches(), st.floats(0.1, 4), st.integers(0, 8))
def test_another_temperature_and_fewer_links(sparse, temperature, top_k):
    row = row_of(sparse, 0)
    changed = reweighted(row, temperature, top_k)
    line, size = on_grid(row), len(on_grid(row))
    best = sorted(range(size), key=lambda index: (-line[index], index))[: top_k or size]
    kept = [index for index in best if line[index] > 0]
    wanted = np.zeros(size)
    if kept:
        power = line[kept] ** (1 / temperature)
        wanted[kept] = line.sum() * power / power.sum()
    np.testing.assert_allclose(on_grid(changed), wanted, atol=1e-9)
    assert changed.considered == row.considered and reading(changed).pruned == reading(row).pruned
    if line.sum() > 0 and top_k:
        gone = line.sum() - line[best].sum()
        np.testing.assert_allclose(dropped_share(row, top_k), gone / line.sum(), atol=1e-12)
    else:
        assert dropped_share(row, top_k) == 0


def test_a_softmax_at_another_temperature():
    score = torch.randn(1, 4, 9, dtype=torch.float64)
    match = DenseMatch((2, 2), (3, 3), torch.softmax(score / 0.5, -1))
    changed = reweighted(row_of(match, 2), temperature=0.3)
    np.testing.assert_allclose(changed.weight, torch.softmax(score[0, 2] / 0.15, -1), atol=1e-12)


def test_nothing_to_change_changes_nothing():
    row = Row((2, 2), torch.tensor([0, 3]), torch.tensor([0.25, 0.5], dtype=torch.float64), 2)
    assert reweighted(row) is row and reweighted(row, 1.0, 2) is row and reweighted(row, 1.0, 7) is row


def test_refuses_what_makes_no_sense():
    row = Row((1, 1), torch.tensor([0]), torch.tensor([1.0], dtype=torch.float64), 1)
    with pytest.raises(ValueError, match="got a temperature of 0.0, expected one above 0"):
        reweighted(row, 0.0)
    with pytest.raises(ValueError, match="got top_k = -1, expected 0"):
        reweighted(row, 1.0, -1)
