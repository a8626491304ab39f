"""The functions of MSCA against loops written out in float64, by their gradients, and by what they promise."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from exemplar_lab.correspondence import FactoredMatch
from exemplar_lab.ops.msca import (
    channel_aggregation,
    channel_attention,
    label_attention,
    region_shares,
    spatial_aggregation,
    spatial_attention,
)


def random(*shape: int, seed: int = 0, grad: bool = False) -> torch.Tensor:
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return drawn.requires_grad_(grad)


def softmax(score: np.ndarray) -> np.ndarray:
    exponentials = [float(np.exp(one)) for one in score]
    return np.array([one / sum(exponentials) for one in exponentials])


def drawn_factors(regions: int = 3, key: tuple[int, int] = (3, 4), query: tuple[int, int] = (2, 5), samples: int = 2):
    """Scores of both sides, gate, and features of the exemplar, of two samples."""
    gate = torch.sigmoid(random(samples, regions, seed=2))
    return random(samples, regions, *key), random(samples, regions, *query, seed=1), gate, random(samples, 4, *key, seed=3)


def test_every_step_is_its_loop():
    key_score, query_score, gate, feature = drawn_factors()
    alpha, beta = spatial_attention(key_score), channel_attention(query_score)
    region = spatial_aggregation(feature, alpha)
    out = channel_aggregation(region * gate[..., None], beta, (2, 5))
    assert alpha.shape == (2, 3, 12) and beta.shape == (2, 10, 3) and region.shape == (2, 3, 4) and out.shape == (2, 4, 2, 5)
    for b in range(2):
        of_key = np.array([softmax(key_score[b, r].numpy().ravel()) for r in range(3)])
        np.testing.assert_allclose(alpha[b], of_key, atol=1e-6)
        gathered = np.zeros((3, 4))
        for r, c, place in np.ndindex(3, 4, 12):
            gathered[r, c] += of_key[r, place] * feature[b, c, place // 4, place % 4]
        np.testing.assert_allclose(region[b], gathered, atol=1e-6)
        for y, x in np.ndindex(2, 5):
            mixture = softmax(query_score[b, :, y, x].numpy())
            np.testing.assert_allclose(beta[b, 5 * y + x], mixture, atol=1e-6)
            given_out = sum(mixture[r] * float(gate[b, r]) * gathered[r] for r in range(3))
            np.testing.assert_allclose(out[b, :, y, x], given_out, atol=1e-6)


def test_gradients():
    key_score, query_score, gate, feature = (one.detach().requires_grad_() for one in drawn_factors(2, (2, 2), (1, 3)))

    def whole(key_score, query_score, gate, feature):
        region = spatial_aggregation(feature, spatial_attention(key_score)) * gate[..., None]
        return channel_aggregation(region, channel_attention(query_score), (1, 3))

    assert gradcheck(whole, (key_score, query_score, gate, feature))
    amount = torch.rand(1, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 0.1
    assert gradcheck(region_shares, (random(1, 2, 2, grad=True), amount.requires_grad_()))
    share = torch.rand(1, 2, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert gradcheck(label_attention, (share,))


@given(st.integers(1, 6), st.integers(1, 5), st.integers(1, 5), st.floats(0, 300), st.integers(0, 999))
def test_rows_of_alpha_and_beta_sum_to_one(regions, height, width, sharpness, seed):
    score = sharpness * random(2, regions, height, width, seed=seed)
    alpha, beta = spatial_attention(score), channel_attention(score)
    assert alpha.min() >= 0 and beta.min() >= 0
    torch.testing.assert_close(alpha.sum(2), torch.ones(2, regions, dtype=torch.float64))
    torch.testing.assert_close(beta.sum(2), torch.ones(2, height * width, dtype=torch.float64))


@given(st.integers(1, 5), st.tuples(st.integers(1, 4), st.integers(1, 4)), st.tuples(st.integers(1, 4), st.integers(1, 4)))
def test_the_four_steps_are_one_matrix_and_the_record_holds_it(regions, key, query):
    key_score, query_score, gate, feature = drawn_factors(regions, key, query)
    alpha, beta = spatial_attention(key_score), channel_attention(query_score)
    out = channel_aggregation(spatial_aggregation(feature, alpha) * gate[..., None], beta, query)
    match = FactoredMatch(query, key, beta, gate, alpha)
    torch.testing.assert_close(match.warp(feature), out)
    for b in range(2):
        dense = beta[b] @ torch.diag(gate[b]) @ alpha[b]
        torch.testing.assert_close(out[b].flatten(1), feature[b].flatten(1) @ dense.T)
        torch.testing.assert_close(match.rows(torch.arange(query[0] * query[1]))[b], dense)
    assert match.mass().max() < 1 and torch.allclose(match.mass().flatten(1), (beta * gate[:, None]).sum(2))


def test_one_region_of_constant_scores_is_global_average_pooling():
    feature = random(2, 4, 3, 5)
    alpha, beta = spatial_attention(torch.full((2, 1, 3, 5), 7.0).double()), channel_attention(random(2, 1, 4, 4))
    pooled = channel_aggregation(spatial_aggregation(feature, alpha), beta, (4, 4))
    torch.testing.assert_close(pooled, feature.mean((2, 3), keepdim=True).expand(-1, -1, 4, 4))


# Regions that are read from labels.


def test_label_attention_is_the_mean_of_a_class():
    label = torch.zeros(1, 3, 2, 2, dtype=torch.float64)
    label[0, 0] = torch.tensor([[1, 0.5], [0, 0]])
    label[0, 1] = torch.tensor([[0, 0.5], [1, 1]])
    alpha, beta = label_attention(label)
    expected = torch.tensor([[1 / 1.5, 0.5 / 1.5, 0, 0], [0, 0.5 / 2.5, 1 / 2.5, 1 / 2.5], [0, 0, 0, 0]]).double()
    torch.testing.assert_close(alpha[0], expected)
    torch.testing.assert_close(beta[0], torch.tensor([[1, 0, 0], [0.5, 0.5, 0], [0, 1, 0], [0, 1, 0]]).double())
    feature = random(1, 2, 2, 2)
    out = channel_aggregation(spatial_aggregation(feature, alpha), beta, (2, 2))
    torch.testing.assert_close(out[0, :, 1, 0], (0.5 * feature[0, :, 0, 1] + feature[0, :, 1, 0] + feature[0, :, 1, 1]) / 2.5)
    wanted = torch.zeros(1, 3, 2, 2).double()
    wanted[:, 2] = 1  # a class that the exemplar does not have gives nothing
    assert not channel_aggregation(spatial_aggregation(feature, alpha), label_attention(wanted)[1], (2, 2)).any()


# Several exemplars.


def joint_twin(score: np.ndarray, other: np.ndarray, a: float) -> np.ndarray:
    """One softmax over both exemplars' positions, logit(a) added to the scores of the first: b = 1, one region."""
    odds = np.log(a / (1 - a))
    exponentials = [*(np.exp(one + odds) for one in score), *(np.exp(one) for one in other)]
    return np.array([one / sum(exponentials) for one in exponentials])


def shares_of(scores: list[torch.Tensor], amount: torch.Tensor) -> torch.Tensor:
    return region_shares(torch.stack([one.flatten(2).logsumexp(2) for one in scores], dim=1), amount)


@pytest.mark.parametrize("a", [0.03, 0.5, 0.8])
def test_two_exemplars_are_one_softmax_with_log_odds(a):
    scores = [random(1, 3, 2, 4), random(1, 3, 3, 3, seed=1)]
    share = shares_of(scores, torch.tensor([[[a], [1 - a]]]).double())
    alphas = [spatial_attention(one) for one in scores]
    for r in range(3):
        joint = joint_twin(*(one[0, r].numpy().ravel() for one in scores), a)
        ours = np.concatenate([share[0, n, 0, r] * alphas[n][0, r] for n in (0, 1)])
        np.testing.assert_allclose(ours, joint, atol=1e-6)


def test_three_exemplars_are_one_softmax_with_logarithms():
    scores = [random(1, 2, 2, 2, seed=seed) for seed in range(3)]
    amount = torch.tensor([0.2, 0.7, 0.1]).double()
    share = shares_of(scores, amount[None, :, None])
    joint = torch.softmax(torch.cat([one.flatten(2) + a.log() for one, a in zip(scores, amount, strict=True)], dim=2), dim=2)
    ours = torch.cat([share[:, n, 0, :, None] * spatial_attention(scores[n]) for n in range(3)], dim=2)
    torch.testing.assert_close(ours, joint)
    # two of the three that are the same one, with their amounts shared out between them, are two exemplars
    twice = shares_of([scores[0], scores[1], scores[1]], torch.tensor([[[0.3], [0.5], [0.2]]]).double())
    once = shares_of(scores[:2], torch.tensor([[[0.3], [0.7]]]).double())
    torch.testing.assert_close(twice[:, 1] + twice[:, 2], once[:, 1])


@given(st.integers(2, 4), st.integers(0, 999), st.floats(0, 60))
def test_shares_sum_to_one_and_are_exact_at_the_ends(exemplars, seed, sharpness):
    log_total = sharpness * random(2, exemplars, 3, seed=seed)
    amount = torch.rand(2, exemplars, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) + 1e-6
    amount[:, :, 0], amount[:, 1, 0] = 0, 1  # all on one
    amount[:, 0, 1] = 0
    amount = amount / amount.sum(1, keepdim=True)
    share = region_shares(log_total, amount)
    torch.testing.assert_close(share.sum(1), torch.ones(2, 5, 3, dtype=torch.float64))
    assert torch.equal(share[:, 1, 0], torch.ones(2, 3).double()) and not share[:, 0, :2].any() and not share[:, 2:, 0].any()
    more = amount.clone()
    more[:, 0] *= 2
    assert (region_shares(log_total, more / more.sum(1, keepdim=True))[:, 0] >= share[:, 0] - 1e-12).all()


# Cost.


class LargestTensor(TorchDispatchMode):
    """Remembers how many numbers the largest tensor had that any operation gave."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        answer = func(*args, **(kwargs or {}))
        found = [leaf.numel() for leaf in tree_leaves(answer) if isinstance(leaf, torch.Tensor)]
        self.elements = max([self.elements, *found])
        return answer


def largest_of(side: int) -> int:
    key_score, query_score, gate, feature = (
        one.float().requires_grad_() for one in drawn_factors(8, (side, side), (side, side), samples=1)
    )
    with LargestTensor() as largest:
        region = spatial_aggregation(feature, spatial_attention(key_score)) * gate[..., None]
        out = channel_aggregation(region, channel_attention(query_score), (side, side))
        out.sum().backward()
    return largest.elements


def test_nothing_of_the_size_of_all_pairs_is_made():
    """Neither forward nor backward: 8 regions times the positions, of 64 × 64 not 4096 × 4096."""
    assert [largest_of(side) for side in (16, 32, 64)] == [8 * side * side for side in (16, 32, 64)]
