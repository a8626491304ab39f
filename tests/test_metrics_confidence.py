"""Sparsification: does uncertainty grow with the error? Against loops over every order in which cells may be dropped."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import all_three, worlds

from exemplar_lab.metrics.confidence import no_match_auroc, sparsification_error

quick = settings(max_examples=30)


def area(errors_in_order_of_dropping: list[float]) -> float:
    """Under the curve of what is left, by the trapezoid rule."""
    n = len(errors_in_order_of_dropping)
    curve = [np.mean(errors_in_order_of_dropping[dropped:]) for dropped in range(n)] + [0]
    return sum((curve[i] + curve[i + 1]) / 2 / n for i in range(n)) / curve[0]


@quick
@given(st.lists(st.tuples(st.floats(0.1, 10), st.integers(0, 2)), min_size=1, max_size=6))
def test_ause_is_the_mean_over_all_orders_of_equals(cells):
    """Cells of equal uncertainty may be dropped in any order: the mean of the areas of all of them is what is given."""
    orders = [
        order for order in itertools.permutations(cells) if [d for _, d in order] == sorted((d for _, d in cells), reverse=True)
    ]
    by_doubt = np.mean([area([error for error, _ in order]) for order in orders])
    best = area(sorted((error for error, _ in cells), reverse=True))
    error, doubt = (torch.tensor([[part]], dtype=torch.float64) for part in zip(*cells, strict=True))
    keep = torch.ones_like(error, dtype=torch.bool)
    assert sparsification_error(error, doubt, keep).item() == pytest.approx(by_doubt - best, abs=1e-9)


@quick
@given(st.integers(0, 2**31), st.integers(2, 60))
def test_ause_of_error_itself_is_zero_and_no_other_is_less(seed, n):
    generator = torch.Generator().manual_seed(seed)
    error, doubt = torch.rand(2, 3, 1, n, generator=generator, dtype=torch.float64)
    keep = torch.rand(3, 1, n, generator=generator) < 0.8
    keep[..., 0] = True
    assert sparsification_error(error, error, keep).abs().max() < 1e-12
    assert sparsification_error(error, error.square(), keep).abs().max() < 1e-12  # the order alone counts
    assert (sparsification_error(error, doubt, keep) >= -1e-12).all()
    worst = sparsification_error(error, -error, keep)
    assert (worst >= sparsification_error(error, doubt, keep) - 1e-12).all()


def test_ause_sees_kept_cells_only_and_is_unknown_without_errors():
    error, doubt = torch.tensor([[[1.0, 2, 3, 50]]]), torch.tensor([[[1.0, 2, 3, 0]]])
    keep = torch.tensor([[[True, True, True, False]]])
    assert sparsification_error(error, doubt, keep).item() == 0
    assert sparsification_error(error, doubt, torch.ones_like(keep)).item() > 0.3
    assert sparsification_error(error, doubt, torch.zeros_like(keep)).isnan()
    assert sparsification_error(error * 0, doubt, keep).isnan()


def test_blind_doubt_has_the_area_above_the_best_curve():
    """Constant uncertainty drops at random: a flat curve at 1 that falls to 0 with the last cell."""
    error = torch.rand(1, 4, 5, dtype=torch.float64)
    keep = torch.ones(1, 4, 5, dtype=torch.bool)
    flat = 1 - 1 / 40
    expected = flat - area(sorted(error.flatten().tolist(), reverse=True))
    assert sparsification_error(error, torch.zeros_like(error), keep).item() == pytest.approx(expected, abs=1e-9)


@quick
@given(worlds())
def test_no_match_auroc_of_all_records_counts_pairs(world):
    matrix, cells, key_size = world
    mass = (matrix.sum(-1) * 1e5).round().unflatten(1, cells.visible.shape[1:])
    for match in all_three(matrix, tuple(cells.visible.shape[1:]), key_size):
        for b, answer in enumerate(no_match_auroc(match, cells).tolist()):
            pairs = [(a < v) + (a == v) / 2 for a in mass[b][cells.no_match[b]] for v in mass[b][cells.visible[b]]]
            expected = float(np.mean(pairs)) if pairs else math.nan
            assert answer == pytest.approx(expected, abs=1e-2, nan_ok=True)  # sums may round to either side of 1e-5
