"""What a match prefers apart from areas: against a search for the largest likelihood, and matches whose preference is known."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from exemplar_lab.correspondence import DenseMatch
from exemplar_lab.metrics.preference import (
    class_area,
    class_preference,
    pixel_oracle,
    preference_rank,
    preference_summary,
    uniform_match,
)
from exemplar_lab.metrics.transfer import class_oracle, mean_transfer, transfer_matrix, transfer_rank

quick = settings(max_examples=15)
CLASSES = 5


def a_truth(seed: int = 0) -> torch.Tensor:
    true = torch.rand(CLASSES, CLASSES, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) ** 3 + 1e-3
    return true / true.sum(1, keepdim=True)


def label_pairs(images: int = 40, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Exemplars and targets; class 0 covers most, and each class is lacking in some exemplars."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.tensor([30.0, 8.0, 4.0, 2.0, 1.0]).expand(images, -1) * (torch.rand(images, 5, generator=generator) > 0.25)
    weight[weight.sum(1) == 0] = 1.0
    exemplar = torch.multinomial(weight, 48, replacement=True, generator=generator).view(images, 6, 8)
    return exemplar, torch.randint(0, CLASSES, (images, 4, 4), generator=generator)


def as_found(match, exemplar, target) -> tuple[torch.Tensor, torch.Tensor]:
    return transfer_matrix(match, exemplar, target, CLASSES), class_area(exemplar, CLASSES)


def test_areas_are_shares_of_what_is_labelled():
    label = torch.tensor([[[0, 0, 2, -1]], [[-1, -1, -1, -1]]])
    assert class_area(label, 3).tolist() == [[pytest.approx(2 / 3), 0, pytest.approx(1 / 3)], [0, 0, 0]]


@quick
@given(st.integers(0, 2**31))
def test_the_oracle_of_pixels_prefers_what_is_true(seed):
    true, labels = a_truth(seed), label_pairs(seed=seed % 1000)
    match = pixel_oracle(true, *labels)
    exemplar, target = labels
    rows = match.rows(torch.arange(16))
    for b, q in ((0, 3), (5, 15)):
        wanted = true[target[b].flatten()[q]][exemplar[b].flatten()]
        torch.testing.assert_close(rows[b, q], wanted / wanted.sum())
    found = class_preference(*as_found(match, *labels))
    torch.testing.assert_close(found, true, atol=1e-4, rtol=1e-2)
    assert preference_rank(found, true) == pytest.approx(1)


def test_the_fit_is_that_of_the_largest_likelihood():
    """Of shares that no preference explains, found by a general search."""
    labels = label_pairs(images=30)
    matrices, area = as_found(class_oracle(a_truth(), *labels), *labels)
    times = torch.tensor([[1.0] * 30, [2.0] * 10 + [1.0] * 10 + [0.0] * 10], dtype=torch.float64)
    found = class_preference(matrices, area, times)
    torch.testing.assert_close(found[0], class_preference(matrices, area))
    for m, i in ((0, 2), (1, 0)):
        share = matrices[:, i].numpy()
        known, row = np.isfinite(share), np.isfinite(share).any(1)

        def loss(log_f, m=m, share=share, known=known, row=row):
            offered = area.numpy() * np.exp(log_f)
            with np.errstate(divide="ignore"):
                log_share = np.log(offered / offered.sum(1, keepdims=True))
            return -sum(times[m, n] * (share[n][known[n]] * log_share[n][known[n]]).sum() for n in np.flatnonzero(row))

        best = np.exp(optimize.minimize(loss, np.zeros(CLASSES), tol=1e-12).x)
        np.testing.assert_allclose(found[m, i], best / best.sum(), rtol=2e-3)


def test_softness_and_areas_change_shares_but_no_order_of_preference():
    true, labels = a_truth(), label_pairs(images=120)
    sharp, even = pixel_oracle(true, *labels), uniform_match(120, (4, 4), (6, 8))
    expected = mean_transfer(as_found(class_oracle(true, *labels), *labels)[0])
    ranks = {}
    for softness in (0.0, 0.3, 0.6):
        mixed = (true / true.amax(1, keepdim=True)) * (1 - softness) + softness
        matrices, area = as_found(pixel_oracle(mixed, *labels), *labels)
        ranks[softness] = transfer_rank(mean_transfer(matrices), expected)
        assert preference_rank(class_preference(matrices, area), true) == pytest.approx(1)
    assert ranks[0.0] > ranks[0.3] + 0.1 and ranks[0.0] > ranks[0.6] + 0.2
    matrices, area = as_found(even, *labels)
    torch.testing.assert_close(matrices.nan_to_num(), (area[:, None] * matrices.isfinite()).float(), atol=1e-6, rtol=1e-5)
    assert preference_rank(class_preference(matrices, area), true) == 0
    weights = torch.softmax(sharp.dense().weight.log() * 0.4, dim=2)  # a higher temperature
    assert preference_rank(class_preference(*as_found(DenseMatch((4, 4), (6, 8), weights), *labels)), true) == pytest.approx(1)


def test_what_never_met_is_unknown():
    exemplar, target = torch.tensor([[[0, 1, 1, 2]]]), torch.tensor([[[0, 3]]])
    found = class_preference(*as_found(uniform_match(1, (1, 2), (1, 4)), exemplar, target))
    assert found[:, 3:].isnan().all() and found[[1, 2, 4]].isnan().all()
    torch.testing.assert_close(found[[0, 3], :3], torch.full((2, 3), 1 / 3, dtype=torch.float64))


def test_rank_is_the_mean_of_the_rows():
    true, other = a_truth(0), a_truth(1)
    off = ~np.eye(CLASSES, dtype=bool)
    rows = [stats.spearmanr(true[i].numpy()[off[i]], other[i].numpy()[off[i]]).statistic for i in range(CLASSES)]
    assert preference_rank(other, true) == pytest.approx(np.mean(rows), abs=1e-6)
    assert preference_rank(other + 5 * torch.eye(CLASSES), true) == pytest.approx(np.mean(rows), abs=1e-6)
    flat = other.clone()
    flat[2] = 0.2
    assert preference_rank(flat, true) == pytest.approx((sum(rows) - rows[2]) / CLASSES, abs=1e-6)
    flat[2, :3] = math.nan
    assert preference_rank(flat, true) == pytest.approx((sum(rows) - rows[2]) / (CLASSES - 1), abs=1e-6)
    assert math.isnan(preference_rank(torch.full((3, 3), math.nan), torch.ones(3, 3)))


def test_summary_is_of_all_images_and_its_interval_shrinks():
    true, labels = a_truth(), label_pairs(images=120)
    noise = 3 * torch.rand(120, 16, 48, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) ** 8
    noisy = DenseMatch((4, 4), (6, 8), pixel_oracle(true, *labels).dense().weight + noise / 48)
    matrices, area = as_found(noisy, *labels)
    few, many = (preference_summary(matrices[:n], area[:n], true) for n in (15, 120))
    assert many["preference_rank"]["mean"] == pytest.approx(preference_rank(class_preference(matrices, area), true), abs=1e-6)
    assert few["preference_rank"]["half_width"] > many["preference_rank"]["half_width"] > 0
    exact = preference_summary(*as_found(pixel_oracle(true, *labels), *labels), true)
    for number in ("preference_rank", "preference_cophenetic"):
        assert exact[number]["mean"] == pytest.approx(1, abs=1e-4) and exact[number]["half_width"] < 1e-4
