"""MATEBIT's mask against float64 loops, against the printed equations as recorded, and by what each form promises."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from exemplar_lab.ops import correlation
from exemplar_lab.ops.correlation import cosine_score, normalise
from exemplar_lab.ops.masking import (
    aggregate,
    cut_negative,
    masked_attend,
    masked_weight,
    reliable_share,
    unmatched_query,
)

FORMS = ("cosine", "mass", "printed")
few = settings(max_examples=15)
seeds = st.integers(0, 2**20)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def units(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.nn.functional.normalize(random(*shape, seed=seed), dim=-1)


def scores(*shape: int, seed: int = 0) -> torch.Tensor:
    """Cosines; the first row of each sample has no positive one."""
    score = torch.tanh(random(*shape, seed=seed))
    score[:, 0] = -score[:, 0].abs()
    return score


def weight_twin(score: np.ndarray, alpha: float, form: str) -> np.ndarray:
    weight = np.zeros_like(score)
    for b, q in np.ndindex(score.shape[:2]):
        row = score[b, q]
        if form == "printed":
            power = [np.exp(alpha * max(a, 0)) for a in row]
            weight[b, q] = [one / sum(power) for one in power]
        elif form == "mass":
            power = [np.exp(alpha * a) for a in row]
            weight[b, q] = [one / sum(power) if a > 0 else 0 for one, a in zip(power, row, strict=True)]
        else:
            power = [np.exp(alpha * a) if a > 0 else 0 for a in row]
            weight[b, q] = [one / sum(power) if sum(power) else 0 for one in power]
    return weight


def share_twin(score: np.ndarray, weight: np.ndarray, form: str) -> np.ndarray:
    share = np.zeros(score.shape[:2])
    for b, q, k in np.ndindex(score.shape):
        a, w = score[b, q, k], weight[b, q, k]
        share[b, q] += {"printed": max(a, 0), "mass": w, "cosine": w * a}[form]
    return share


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("alpha", [1.0, 8.0, 100.0])
def test_weights_and_shares_are_their_twins(form, alpha):
    score = scores(2, 5, 7)
    expected = weight_twin(score.numpy(), alpha, form)
    weight = masked_weight(score, alpha, form)
    np.testing.assert_allclose(weight, expected, atol=1e-12)
    np.testing.assert_allclose(reliable_share(score, weight, form), share_twin(score.numpy(), expected, form), atol=1e-12)
    np.testing.assert_allclose(masked_weight(score.float(), alpha, form), expected, atol=2e-5)
    assert torch.equal(cut_negative(score), torch.where(score > 0, score, 0))


def test_a_row_without_any_link():
    """Printed, it becomes the mean of the exemplar, whatever α; in the other forms it is silent and the query speaks alone."""
    score = scores(1, 3, 8)[:, :1]
    assert (masked_weight(score, 100.0, "printed") == 1 / 8).all()
    for form in ("cosine", "mass"):
        weight = masked_weight(score, 100.0, form)
        assert (weight == 0).all() and (reliable_share(score, weight, form) == 0).all()
    gathered, reliable = masked_attend(-units(1, 1, 4), units(1, 1, 4).expand(-1, 6, -1).contiguous(), random(1, 6, 2))
    assert (gathered == 0).all() and (reliable == 0).all()


@pytest.mark.parametrize("cells", [30, 2**20])
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("alpha", [3.0, 100.0])
def test_attending_in_linear_memory_is_the_form_cosine(monkeypatch, cells, masked, alpha):
    monkeypatch.setitem(correlation._CHUNK, "cpu", cells)
    query, key, value = (one.requires_grad_() for one in (units(2, 9, 3), units(2, 7, 3, seed=1), random(2, 7, 4, seed=2)))
    gathered, reliable = masked_attend(query, key, value, alpha, masked)
    score = cosine_score(query, key)
    weight = masked_weight(score, alpha) if masked else torch.softmax(alpha * score, dim=-1)
    share = reliable_share(score, weight)
    torch.testing.assert_close(gathered, weight @ value, atol=1e-12, rtol=0)
    torch.testing.assert_close(reliable, share, atol=1e-12, rtol=0)
    cotangents = random(2, 9, 4, seed=3), random(2, 9, seed=4)
    for got, wanted in zip(
        torch.autograd.grad([gathered, reliable], [query, key, value], cotangents),
        torch.autograd.grad([weight @ value, share], [query, key, value], cotangents),
        strict=True,
    ):
        torch.testing.assert_close(got, wanted, atol=1e-9, rtol=0)


@pytest.mark.parametrize("seed", range(3))
def test_a_cut_row_gives_no_gradient_and_no_nan(seed):
    """Beside a row that is kept, in single precision, where the normaliser of the cut row is infinite."""
    query = units(1, 2, 4, seed=seed).float()
    query[:, 1] = -query[:, 0]
    key = (query[:, :1] + 0.1 * random(1, 6, 4, seed=seed + 9).float()).requires_grad_()
    query, value = query.requires_grad_(), random(1, 6, 2, seed=7).float().requires_grad_()
    gathered, reliable = masked_attend(query, key, value)
    assert (gathered[:, 0] != 0).any() and (gathered[:, 1] == 0).all()
    gradients = torch.autograd.grad(gathered.sum() + reliable.sum(), [query, key, value])
    assert all(one.isfinite().all() for one in gradients)
    assert (gradients[0][:, 1] == 0).all() and (gradients[0][:, 0] != 0).any()


def test_gradients():
    score = scores(1, 3, 4).requires_grad_()
    for form in FORMS:
        assert gradcheck(lambda one, form=form: masked_weight(one, 5.0, form), score)
        weight = masked_weight(score.detach(), 5.0, form).requires_grad_()
        assert gradcheck(lambda *both, form=form: reliable_share(*both, form), (score, weight))
    for masked in (True, False):
        given_ = [one.requires_grad_() for one in (units(1, 4, 3), units(1, 5, 3, seed=1), random(1, 5, 2, seed=2))]
        assert gradcheck(lambda *three, masked=masked: masked_attend(*three, alpha=4.0, masked=masked), given_)
    maps = [random(1, 3, 2, 2, seed=seed).requires_grad_() for seed in range(3)]
    assert gradcheck(aggregate, maps)
    assert gradcheck(unmatched_query, (random(1, 2, 2).requires_grad_(), maps[0]))


@few
@given(seeds, st.sampled_from([1.0, 10.0, 100.0]), st.integers(1, 12))
def test_what_each_form_promises(seed, alpha, keys):
    score = torch.tanh(random(2, 6, keys, seed=seed))
    some = (score > 0).any(-1)
    for form in FORMS:
        weight = masked_weight(score, alpha, form)
        share = reliable_share(score, weight, form)
        order = random(keys, seed=seed).argsort()
        torch.testing.assert_close(masked_weight(score[..., order], alpha, form), weight[..., order])
        assert weight.min() >= 0
        if form != "printed":
            assert (weight[score <= 0] == 0).all()
            assert share.min() >= 0 and share.max() <= 1 + 1e-12
        if form != "mass":
            total = torch.ones_like(share) if form == "printed" else some.to(share.dtype)
            torch.testing.assert_close(weight.sum(-1), total)
    expected = reliable_share(score, masked_weight(score, alpha))
    assert (expected <= score.amax(-1).clamp_min(0) + 1e-12).all()


@few
@given(seeds, st.sampled_from([1.0, 10.0, 100.0]))
def test_without_a_negative_score_all_forms_are_the_softmax(seed, alpha):
    score = torch.tanh(random(1, 4, 6, seed=seed)).abs() + 1e-6
    for form in FORMS:
        torch.testing.assert_close(masked_weight(score, alpha, form), torch.softmax(alpha * score, dim=-1))


@few
@given(seeds, st.floats(-0.9, 0.0))
def test_a_cut_link_has_no_say_unless_printed(seed, lower):
    """However negative a negative score is, nothing changes; printed, it keeps exp(0), which is not little beside 0.02."""
    score = torch.tanh(random(1, 4, 6, seed=seed))
    moved = torch.where(score <= 0, lower, score)
    for form in ("cosine", "printed"):
        assert torch.equal(masked_weight(score, 100.0, form), masked_weight(moved, 100.0, form))
    faint = torch.full((1, 1, 50), -0.3, dtype=torch.float64)
    faint[..., 0] = 0.02
    assert masked_weight(faint, 100.0, "printed")[..., 1:].sum() > 0.85
    assert masked_weight(faint, 100.0, "cosine")[..., 0] == 1


@pytest.mark.parametrize(("width", "sum_of_cosines"), [(256, 26), (64, 52)])
def test_the_printed_share_of_random_features_is_far_above_one(width, sum_of_cosines):
    """The numbers of the module's docstring, for a grid of 32 × 32."""
    query, key = (normalise(random(1, width, 32, 32, seed=seed)) for seed in (0, 1))
    score = cosine_score(query[:, :200], key)
    share = reliable_share(score, masked_weight(score, 100.0, "printed"), "printed")
    assert share.mean().item() == pytest.approx(sum_of_cosines, abs=1)


def test_unmatched_and_aggregate_are_their_twins():
    reliable, modulated = random(2, 3, 4), random(2, 5, 3, 4, seed=1)
    got = unmatched_query(reliable, modulated)
    gathered, query = random(2, 5, 3, 4, seed=2), random(2, 5, 3, 4, seed=3)
    mixed = aggregate(gathered, got, query)
    for b, y, x in np.ndindex(2, 3, 4):
        alone = (1 - reliable[b, y, x].item()) * modulated[b, :, y, x].numpy()
        np.testing.assert_allclose(got[b, :, y, x], alone, atol=1e-12)
        total = gathered[b, :, y, x].numpy() + alone + query[b, :, y, x].numpy()
        expected = (total - total.mean()) / np.sqrt(total.var(ddof=1) + 1e-5)
        np.testing.assert_allclose(mixed[b, :, y, x], expected, atol=1e-12)
    assert (unmatched_query(torch.ones_like(reliable), modulated) == 0).all()
    assert torch.equal(unmatched_query(torch.zeros_like(reliable), modulated), modulated)


def test_the_printed_equations_equal_the_recording(parity):
    recorded = parity("mat_masked_attention")
    score = cosine_score(normalise(recorded["q"]), normalise(recorded["k"]))
    torch.testing.assert_close(score, recorded["paper_A"], atol=1e-6, rtol=0)
    weight = masked_weight(score, 100.0, "printed")
    value = recorded["v"].flatten(2).transpose(1, 2)
    gathered = (weight @ value).transpose(1, 2).unflatten(2, (8, 8))
    torch.testing.assert_close(gathered, recorded["paper_Xcor"], atol=1e-4, rtol=0)
    share = reliable_share(score, weight, "printed").unflatten(1, (8, 8))
    left = unmatched_query(share, torch.ones(2, 1, 8, 8))
    torch.testing.assert_close(left, recorded["paper_one_minus_sum"], atol=1e-5, rtol=0)


def test_half_precision_cuts_as_well():
    """The score of a cut link must be a number of the type."""
    query, key, value = units(1, 6, 4).half(), units(1, 5, 4, seed=1).half(), random(1, 5, 2, seed=2).half()
    found, _ = masked_attend(query, key, value, 10.0)
    score = cosine_score(query.float(), key.float())
    torch.testing.assert_close(found.float(), masked_weight(score, 10.0) @ value.float(), atol=0.02, rtol=0)
