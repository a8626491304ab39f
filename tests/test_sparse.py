"""Candidates, pruning and sparse attention: NumPy's answer in float64, what the released code said, and where the two part."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from exemplar_lab.correspondence import SparseMatch
from exemplar_lab.ops.attention import gather_dot, sparse_attention
from exemplar_lab.ops.candidates import first_of_each, inner_scale, inter_scale, kept_candidates, top_candidates
from exemplar_lab.ops.pruning import decide, decision_slope, fill_lost_mass, kept_weight, prune

seeds = st.integers(0, 2**31)
sizes = st.tuples(st.integers(1, 4), st.integers(1, 4))
quick = settings(max_examples=25)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def links(batch: int, queries: int, keys: int, count: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(keys, (batch, queries, count), generator=torch.Generator().manual_seed(seed))


def tokens(image: torch.Tensor) -> torch.Tensor:
    return image.flatten(2).transpose(1, 2)


# The twins: loops over positions.


def inter_twin(index: np.ndarray, query_size: tuple[int, int], key_size: tuple[int, int]) -> np.ndarray:
    (height, width), answer = query_size, []
    for y in range(2 * height):
        for x in range(2 * width):
            row = []
            for parent in index[y // 2 * width + x // 2]:
                v, u = divmod(int(parent), key_size[1])
                row += [(2 * v + i) * 2 * key_size[1] + 2 * u + j for i in (0, 1) for j in (0, 1)]
            answer.append(row)
    return np.array(answer)


def inner_twin(index: np.ndarray, query_size: tuple[int, int], key_size: tuple[int, int]) -> np.ndarray:
    (height, width), (tall, wide), answer = query_size, key_size, []
    for y in range(height):
        for x in range(width):
            row = []
            for dx, dy in ((0, 0), (0, -1), (0, 1), (-1, 0), (1, 0)):
                asked = min(max(y + dy, 0), height - 1) * width + min(max(x + dx, 0), width - 1)
                for match in index[asked]:
                    v, u = divmod(int(match), wide)
                    row.append(min(max(v - dy, 0), tall - 1) * wide + min(max(u - dx, 0), wide - 1))
            answer.append(row)
    return np.array(answer)


@quick
@given(sizes, sizes, st.integers(1, 3), seeds)
def test_candidates_are_those_of_the_loops(query_size, key_size, count, seed):
    index = links(2, query_size[0] * query_size[1], key_size[0] * key_size[1], count, seed)
    for ours, twin in ((inter_scale, inter_twin), (inner_scale, inner_twin)):
        expected = np.stack([twin(one, query_size, key_size) for one in index.numpy()])
        assert np.array_equal(ours(index, query_size, key_size).numpy(), expected)


def test_a_smooth_flow_is_its_own_neighbourhood():
    """Where all neighbours match at one offset, the four of them name the position's own match again."""
    own = torch.arange(64)[None, :, None]
    found = inner_scale(own, (8, 8), (8, 8)).unflatten(1, (8, 8))[0, 1:-1, 1:-1]
    assert (found == torch.arange(64).unflatten(0, (8, 8))[1:-1, 1:-1, None]).all()


@quick
@given(st.integers(1, 6), st.integers(1, 5), seeds)
def test_first_of_each_counts_every_position_once(count, keys, seed):
    index = links(2, 3, keys, count, seed)
    first = first_of_each(index)
    for row, marks in zip(index.flatten(0, 1).tolist(), first.flatten(0, 1).tolist(), strict=True):
        assert marks == [position not in row[:place] for place, position in enumerate(row)]


def test_the_best_candidates_once_or_as_often_as_they_stand():
    index = torch.tensor([[[7, 3, 7, 5]]])
    weight = torch.tensor([[[0.3, 0.35, 0.25, 0.1]]])
    assert kept_candidates(weight, index, 2).tolist() == [[[3, 7]]]
    assert kept_candidates(weight, index, 3).tolist() == [[[3, 7, 7]]]
    assert kept_candidates(weight, index, 3, once=True).tolist() == [[[7, 3, 5]]], "7 has 0.55 in all"
    assert set(kept_candidates(weight, index, 4, once=True)[0, 0].tolist()) == {7, 3, 5}, "there is no fourth"
    with pytest.raises(ValueError, match="got a count of 5, expected 1 … 4"):
        top_candidates(weight, 5)


@quick
@given(st.integers(1, 5), st.integers(1, 6), st.integers(1, 4), seeds)
def test_dots_are_those_of_the_gathered_vectors(queries, keys, count, seed):
    query, key, index = (
        random(2, queries, 3, seed=seed),
        random(2, keys, 3, seed=seed + 1),
        links(2, queries, keys, count, seed),
    )
    expected = np.zeros(index.shape)
    for b, q, t in np.ndindex(*index.shape):
        expected[b, q, t] = (query[b, q] * key[b, index[b, q, t]]).sum()
    assert np.abs(gather_dot(query, key, index).numpy() - expected).max() < 1e-12


def test_dots_have_the_gradients_of_the_gathered_vectors():
    query, key = random(2, 5, 4).requires_grad_(), random(2, 6, 4, seed=1).requires_grad_()
    index = links(2, 5, 6, 3)
    index[0, 0] = 2  # one position three times
    assert gradcheck(lambda q, k: gather_dot(q, k, index), (query, key))
    cotangent = random(2, 5, 3, seed=2)
    gathered = key[torch.arange(2)[:, None, None], index]
    plain = torch.autograd.grad((query[:, :, None] * gathered).sum(-1), (query, key), cotangent)
    ours = torch.autograd.grad(gather_dot(query, key, index), (query, key), cotangent)
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(plain, ours, strict=True))
    assert torch.autograd.grad(gather_dot(query.detach(), key, index).sum(), key)[0].shape == key.shape


def test_all_positions_as_candidates_are_dense_attention():
    query, key = random(2, 6, 4), random(2, 8, 4, seed=1)
    index = torch.arange(8).expand(2, 6, 8)
    score, weight = sparse_attention(query, key, index, tau=2.0)
    assert torch.allclose(score, 2 * query @ key.transpose(1, 2))
    assert torch.allclose(weight, torch.softmax(2 * query @ key.transpose(1, 2), -1))


def test_a_position_that_stands_twice_weighs_twice_unless_it_is_counted_once():
    query, key = torch.zeros(1, 1, 2, dtype=torch.float64), random(1, 4, 2)
    index = torch.tensor([[[1, 1, 3]]])
    _, twice = sparse_attention(query, key, index)
    _, once = sparse_attention(query, key, index, counted=first_of_each(index))
    of = [SparseMatch((1, 1), (2, 2), index, weight).rows(torch.tensor([0]))[0, 0] for weight in (twice, once)]
    assert torch.allclose(of[0], torch.tensor([0, 2 / 3, 0, 1 / 3], dtype=torch.float64))
    assert torch.allclose(of[1], torch.tensor([0, 1 / 2, 0, 1 / 2], dtype=torch.float64))


def test_decisions_are_steps_with_the_slope_of_a_sigmoid(parity):
    recorded = parity("sign_sigmoid_grad")
    x = recorded["x"].requires_grad_()
    assert torch.equal(decide(x), recorded["out"])
    (gradient,) = torch.autograd.grad(decide(x), x, recorded["cot"])
    assert torch.allclose(gradient, recorded["grad_x"], atol=1e-7)
    assert decision_slope(torch.zeros(())) == 0.25
    wide = torch.linspace(-90, 90, 7, dtype=torch.float64)
    assert torch.allclose(decision_slope(wide), torch.exp(-wide.abs()) / (1 + torch.exp(-wide.abs())) ** 2)


def test_lost_mass_is_filled_by_what_the_structure_suggests():
    gathered, restored = random(1, 2, 3, 3), random(1, 2, 3, 3, seed=1)
    nothing, all_ = torch.zeros(1, 3, 3, dtype=torch.float64), torch.ones(1, 3, 3, dtype=torch.float64)
    assert torch.equal(fill_lost_mass(0 * gathered, nothing, restored), restored)
    assert torch.equal(fill_lost_mass(gathered, all_, restored), gathered)


@quick
@given(st.integers(1, 5), seeds)
def test_kept_links_make_the_warp(count, seed):
    """Eq. (12) term by term, and what the released code makes of it: the complement."""
    score = 5 * random(1, 4, count, seed=seed)
    keep = (random(1, 4, count, seed=seed + 1) > 0).double()
    weight, released = kept_weight(score, keep), kept_weight(score, keep, released=True)
    for c, d, ours, theirs in zip(*(v.flatten(0, 1).numpy() for v in (score, keep, weight, released)), strict=True):
        likely = d * np.exp(c - c.max())
        assert np.abs(ours - likely / (likely.sum() + 1e-8)).max() < 1e-9
        others = np.exp(np.where(d > 0, -1e4, c) - np.where(d > 0, -1e4, c).max())
        assert np.abs(theirs - others / others.sum()).max() < 1e-9
    assert (weight * (1 - keep)).abs().max() == 0
    mixed = (keep.sum(-1) > 0) & (keep.sum(-1) < count)
    assert ((released * keep).sum(-1)[mixed] == 0).all()


def test_the_warp_teaches_the_decision_and_the_released_code_does_not():
    score, decision = random(1, 3, 4), random(1, 3, 4, seed=1).requires_grad_()
    value = random(1, 3, 4, seed=2)
    (gradient,) = torch.autograd.grad((kept_weight(score, decide(decision)) * value).sum(), decision)
    assert gradient.abs().max() > 1e-4
    with pytest.raises(RuntimeError, match="does not require grad"):
        torch.autograd.grad((kept_weight(score, decide(decision), released=True) * value).sum(), decision)


def test_candidates_counted_once_take_no_part_in_the_warp():
    score = torch.tensor([[[9.0, 1.0, 1.0]]])
    weight = kept_weight(score, torch.ones(1, 1, 3), counted=torch.tensor([[[False, True, True]]]))
    assert torch.allclose(weight, torch.tensor([[[0.0, 0.5, 0.5]]]))


@pytest.mark.parametrize("smooth, tau", [("none", 8**-0.5), ("0.01", 100.0)])
@pytest.mark.parametrize("kind", ["inter", "inner"])
def test_recordings_of_the_released_code(parity, kind, smooth, tau):
    recorded = parity(f"dynast_{kind}_smooth{smooth}")
    features = {n: tokens(recorded[n]).clone().requires_grad_() for n in ("q", "k", "q_prune", "k_prune", "v", "v2")}
    coarse = (8, 8) if kind == "inter" else (16, 16)
    index = {"inter": inter_scale, "inner": inner_scale}[kind](recorded["prev_idx"], coarse, coarse)
    if kind == "inner":
        assert torch.equal(index, recorded["cand_idx"])
    score, weight = sparse_attention(features["q"], features["k"], index, tau)
    keep = decide(gather_dot(features["q_prune"], features["k_prune"], index))
    pruned = prune(weight, keep)

    def warp(weights, values):
        grid = values.transpose(1, 2).unflatten(2, (16, 16))
        return SparseMatch((16, 16), (16, 16), index, weights).warp(grid)

    attended, mass = warp(pruned, features["v"]), pruned.sum(-1).unflatten(1, (16, 16))[:, None]
    warped = warp(kept_weight(score, keep, released=True), features["v2"])
    for ours, theirs in ((attended, "out_attn"), (mass, "out_conf"), (warped, "out_warp")):
        assert torch.allclose(ours, recorded[theirs], atol=2e-5), theirs
    best = kept_candidates(weight, index, 4)
    reached = gather_dot(features["q"], features["k"], best) - gather_dot(features["q"], features["k"], recorded["out_idx"])
    if smooth == "none":  # a saturated softmax leaves ties, whose order means nothing
        assert reached.abs().max() < 1e-4
    total = sum((ours * recorded[f"cot_{n}"]).sum() for ours, n in ((attended, "attn"), (mass, "conf"), (warped, "warp")))
    gradients = torch.autograd.grad(total, list(features.values()))
    for name, gradient in zip(features, gradients, strict=True):
        theirs = tokens(recorded[f"grad_{name}"])
        assert (gradient - theirs).abs().max() < 2e-4 * max(1.0, float(theirs.abs().max())), name


def test_once_prefers_a_position_without_weight_to_a_repetition():
    index = torch.tensor([[[3, 3, 5, 7, 3]]])
    weight = torch.tensor([[[0.5, 0.3, 0.0, 0.0, 0.2]]], dtype=torch.float64)
    assert sorted(kept_candidates(weight, index, 3, once=True).flatten().tolist()) == [3, 5, 7]
    assert kept_candidates(weight, index, 3).flatten().tolist() == [3, 3, 3]
