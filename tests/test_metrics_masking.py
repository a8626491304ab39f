"""What the mask adds to the true footprint, against sums in two hundred digits; the weight of cut links; twins."""

import math
from dataclasses import replace

import mpmath
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import mean, worlds

from exemplar_lab.correspondence import DenseMatch
from exemplar_lab.metrics.cells import truth_of_cells
from exemplar_lab.metrics.links import footprint, mass_in_footprint
from exemplar_lab.metrics.masking import READINGS, mask_gains, weight_on_cut
from exemplar_lab.metrics.points import mean_where
from exemplar_lab.metrics.twins import twin_scores, twins_of
from exemplar_lab.ops.masking import masked_weight
from exemplar_lab.translation import Truth

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


@settings(max_examples=25)
@given(worlds(), st.randoms(use_true_random=False))
def test_twins_against_a_loop(world, random):
    matrix, cells, key_size = world
    query_size = tuple(cells.visible.shape[1:])
    twins = twins_of(cells, key_size)
    score = torch.tensor([random.uniform(-1, 1) for _ in range(matrix.numel())], dtype=torch.float64).view(matrix.shape)
    found = twin_scores(score, matrix, twins, twins.apart)
    scale = [key_size[1] / cells.image_size[1], key_size[0] / cells.image_size[0]]
    ratio = math.prod(key_size) / math.prod(query_size)
    spots = [(i % key_size[1] + 0.5, i // key_size[1] + 0.5) for i in range(math.prod(key_size))]
    for b in range(len(matrix)):
        rows = {name: [] for name in found}
        for y, x in cells.visible[b].nonzero().tolist():
            radius = math.sqrt(cells.count[b, y, x].item() * ratio / math.pi) + math.sqrt(0.5)
            points = [[p * s for p, s in zip(cells.points[b, i, :, y, x].tolist(), scale, strict=True)] for i in (0, 1)]
            true, twin = ({i for i, at in enumerate(spots) if math.dist(at, p) <= radius} for p in points)
            assert twins.apart[b, y, x].item() == bool(true and twin and not true & twin)
            if not twins.apart[b, y, x]:
                continue
            weight, row = (one[b, y * query_size[1] + x].tolist() for one in (matrix, score))
            for name, disc in (("true", true), ("twin", twin)):
                rows[name].append(sum(weight[i] for i in disc))
                rows[f"{name} in |A|"].append(sum(abs(row[i]) for i in disc) / sum(map(abs, row)))
                above = sum(max(v, 0) for v in row)
                rows[f"{name} in ReLU(A)"].append(sum(max(row[i], 0) for i in disc) / above if above else 0)
            rows["twin has more"].append(rows["twin"][-1] > rows["true"][-1])
            rows["true score > 0"].append(sum(row[i] for i in true) > 0)
            rows["twin score < 0"].append(sum(row[i] for i in twin) < 0)
        for name, values in rows.items():
            assert found[name][b].item() == pytest.approx(mean(values), abs=1e-9, nan_ok=True)


def test_a_cell_that_is_mostly_hidden_is_asked_nothing():
    flow = torch.tensor([1.0, 7.0])[:, None, None].expand(2, 8, 8)
    seen = torch.ones(1, 8, 8, dtype=torch.bool)
    seen[:, 4:, 4:] = torch.tensor([1, 0, 0, 0]).bool()  # one pixel of four, in each line of this cell
    truth = Truth(flow[None], seen, match_set=torch.stack([flow, flow.flip(0)])[None])
    cells = truth_of_cells(truth, (2, 2))
    assert cells.points.isfinite().all()
    assert twins_of(cells, (8, 8)).apart.tolist() == [[[True, True], [True, False]]]


def test_truth_without_a_second_answer_is_refused():
    seen = torch.ones(1, 4, 4, dtype=torch.bool)
    with pytest.raises(ValueError, match="got cells with one right answer, expected a second"):
        twins_of(truth_of_cells(Truth(torch.rand(1, 2, 4, 4), seen), (2, 2)), (2, 2))
