"""What the mask adds to the true footprint, against sums in two hundred digits, and the weight that cut links keep."""

import math
from dataclasses import replace

import mpmath
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import worlds

from exemplar_lab.correspondence import DenseMatch
from exemplar_lab.metrics.links import footprint, mass_in_footprint
from exemplar_lab.metrics.masking import READINGS, mask_gains, weight_on_cut
from exemplar_lab.metrics.points import mean_where
from exemplar_lab.ops.masking import masked_weight

ALPHA = 100.0
cosines = st.floats(-1, 1).map(lambda value: round(value, 3))


def exactly(row: list[float], inside: list[bool], reading: str) -> tuple[mpmath.mpf, mpmath.mpf]:
    """The share of the row inside, without the mask and with it, read in one way."""
    with mpmath.workdps(200):
        score = [mpmath.mpf(value) for value in row]
        zero, kept = mpmath.mpf(0), [value > 0 for value in score]
        if reading == "magnitude":
            full, masked = [abs(value) for value in score], [max(value, zero) for value in score]
        else:
            full = [mpmath.exp(ALPHA * value) for value in score]
            printed = [mpmath.exp(ALPHA * max(value, zero)) for value in score]
            masked = printed if reading == "printed" else [w * keep for w, keep in zip(full, kept, strict=True)]
        before = sum(w for w, here in zip(full, inside, strict=True) if here) / sum(full)
        whole = sum(full) if reading == "mass" else sum(masked)
        after = sum((w for w, here in zip(masked, inside, strict=True) if here), zero) / whole if whole else zero
        return before, after


@settings(max_examples=60)
@given(st.lists(st.tuples(cosines, st.booleans()), min_size=2, max_size=12))
def test_gains_in_two_hundred_digits(row):
    values, inside = [value for value, _ in row], [here for _, here in row]
    if not any(values):
        values[0] = 0.5
    gains = mask_gains(torch.tensor([[values]], dtype=torch.float64), torch.tensor([[inside]]), ALPHA)
    assert tuple(gains) == READINGS
    for reading, found in gains.items():
        before, after = exactly(values, inside, reading)
        with mpmath.workdps(200):
            change = after - before
        assert found.full.item() == pytest.approx(float(before), rel=1e-9, abs=1e-200)
        assert found.masked.item() == pytest.approx(float(after), rel=1e-9, abs=1e-200)
        if abs(change) > 1e-12 * max(before, after):  # below that the sums themselves round
            assert found.gain.item() == pytest.approx(float(change), rel=1e-3)


def test_a_gain_far_below_rounding_keeps_its_sign():
    score = torch.tensor([[[0.9, 0.3, -0.2, -0.8]]])
    inside = torch.tensor([[[True, False, False, False]]])
    gains = {reading: found.gain.item() for reading, found in mask_gains(score, inside).items()}
    assert 0 < gains["cosine"] == pytest.approx(math.exp(-110), rel=1e-3)
    assert gains["mass"] == 0 and gains["magnitude"] > 0.3
    assert gains["printed"] == pytest.approx(-2 * math.exp(-90), rel=1e-3)


def test_a_row_that_is_cut_whole():
    score, inside = torch.tensor([[[-0.9, -0.1]]]), torch.tensor([[[False, True]]])
    found = mask_gains(score, inside)
    assert found["cosine"].masked.item() == 0 and found["cosine"].gain.item() == pytest.approx(-1)
    assert found["magnitude"].masked.item() == 0 and found["mass"].masked.item() == 0
    assert found["printed"].masked.item() == pytest.approx(0.5) and found["printed"].gain.item() == pytest.approx(-0.5)
    assert weight_on_cut(score).item() == pytest.approx(1)


def test_the_shares_are_those_of_the_weights_that_gather():
    score = torch.rand(2, 5, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 - 1
    inside = torch.rand(2, 5, 7, generator=torch.Generator().manual_seed(1)) < 0.3
    for form in ("cosine", "mass", "printed"):
        found = mask_gains(score, inside, 5.0)[form]
        masked, full = masked_weight(score, 5.0, form), torch.softmax(5 * score, -1)
        torch.testing.assert_close(found.masked, (masked * inside).sum(-1))
        torch.testing.assert_close(found.full, (full * inside).sum(-1))
        torch.testing.assert_close(found.gain, ((masked - full) * inside).sum(-1))
    printed = masked_weight(score, 5.0, "printed")
    torch.testing.assert_close(weight_on_cut(score, 5.0), (printed * (score <= 0)).sum(-1))


@settings(max_examples=25)
@given(worlds())
def test_the_footprint_is_what_its_mass_is_counted_in(world):
    matrix, cells, key_size = world
    query_size = tuple(cells.visible.shape[1:])
    inside = footprint(cells, key_size)
    held = (matrix * inside).sum(-1).unflatten(1, query_size)
    torch.testing.assert_close(
        mass_in_footprint(DenseMatch(query_size, key_size, matrix), cells), mean_where(held, cells.visible), equal_nan=True
    )
    nowhere = replace(cells, points=torch.full_like(cells.points, math.nan))
    assert not footprint(nowhere, key_size).any()
