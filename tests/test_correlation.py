"""Correlation and warp: what NumPy says in float64, what the released code said, with and without the q × k matrix."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck
from torch.utils._python_dispatch import TorchDispatchMode

from exemplar_lab.ops import correlation
from exemplar_lab.ops.correlation import attend, correlation_warp, cosine_score, normalise, softmax_match

seeds = st.integers(0, 2**31)
quick = settings(max_examples=25)

RECORDINGS = {
    "cocos_warp_mk1_ponoc": {"centring": "channel", "patch": 1},
    "cocos_warp_mk3_ponoc": {"centring": "channel", "patch": 3},
    "cocos_warp_mk1_spatialmean": {"centring": "space", "patch": 1},
}


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def units(*shape: int, seed: int = 0) -> torch.Tensor:
    return F.normalize(random(*shape, seed=seed), dim=-1)


# The twins: loops over positions, float64, nothing shared with the package.


def vectors_twin(feature: np.ndarray, centring: str, patch: int) -> np.ndarray:
    batch, channels, height, width = feature.shape
    reach = patch // 2
    padded = np.zeros((batch, channels, height + 2 * reach, width + 2 * reach))
    padded[:, :, reach : reach + height, reach : reach + width] = feature
    vectors = np.stack(
        [padded[:, :, y : y + patch, x : x + patch].reshape(batch, -1) for y in range(height) for x in range(width)], axis=1
    )
    if centring == "channel":
        vectors = vectors - vectors.mean(-1, keepdims=True)
    elif centring == "space":
        vectors = vectors - vectors.mean(1, keepdims=True)
    return vectors / np.sqrt((vectors**2).sum(-1, keepdims=True))


def warp_twin(query: np.ndarray, key: np.ndarray, value: np.ndarray, scale: float) -> np.ndarray:
    """b q d, b k d, b k c -> b q c"""
    answer = np.zeros((*query.shape[:2], value.shape[2]))
    for b, u in np.ndindex(*query.shape[:2]):
        logit = scale * np.array([query[b, u] @ key[b, v] for v in range(key.shape[1])])
        weight = np.exp(logit - logit.max())
        answer[b, u] = (weight / weight.sum()) @ value[b]
    return answer


@pytest.mark.parametrize("centring", ["channel", "space", "none"])
@pytest.mark.parametrize("patch", [1, 3, 5])
def test_normalise_is_its_twin(centring, patch):
    feature = random(2, 5, 3, 4)
    expected = vectors_twin(feature.numpy(), centring, patch)
    np.testing.assert_allclose(normalise(feature, centring, patch), expected, atol=1e-12)
    np.testing.assert_allclose(normalise(feature.float(), centring, patch), expected, atol=1e-6)


def test_score_and_warp_are_their_twins(monkeypatch):
    query, key, image = random(2, 5, 3, 4), random(2, 5, 2, 5, seed=1), random(2, 3, 2, 5, seed=2)
    q, k = vectors_twin(query.numpy(), "channel", 1), vectors_twin(key.numpy(), "channel", 1)
    score = cosine_score(normalise(query), normalise(key))
    np.testing.assert_allclose(score, np.einsum("bqd,bkd->bqk", q, k), atol=1e-12)

    expected = warp_twin(q, k, image.flatten(2).transpose(1, 2).numpy(), 100).transpose(0, 2, 1).reshape(2, 3, 3, 4)
    np.testing.assert_allclose(softmax_match(score, (3, 4), (2, 5)).warp(image), expected, atol=1e-12)
    for cells in (1, 30, 2**20):  # one row at a time, several, all
        monkeypatch.setitem(correlation._CHUNK, "cpu", cells)
        np.testing.assert_allclose(correlation_warp(normalise(query), normalise(key), image, (3, 4)), expected, atol=1e-12)


def test_single_precision_stays_near_the_twin():
    query, key, value = units(1, 64, 32), units(1, 64, 32, seed=1), random(1, 64, 3, seed=2).sigmoid()
    expected = warp_twin(query.numpy(), key.numpy(), value.numpy(), 10)
    np.testing.assert_allclose(attend(query.float(), key.float(), value.float(), 10.0), expected, atol=1e-6)


@quick
@given(seeds, st.sampled_from([0.01, 0.1, 1.0]))
def test_score_is_a_cosine_and_rows_sum_to_one(seed, temperature):
    score = cosine_score(normalise(random(2, 4, 2, 3, seed=seed)), normalise(random(2, 4, 3, 1, seed=seed + 1)))
    assert score.abs().max() <= 1 + 1e-12
    match = softmax_match(score, (2, 3), (3, 1), temperature)
    assert match.weight.min() >= 0
    torch.testing.assert_close(match.mass(), torch.ones(2, 2, 3, dtype=torch.float64))


@quick
@given(seeds)
def test_the_order_of_the_keys_does_not_matter(seed):
    query, key, value = units(2, 6, 4, seed=seed), units(2, 8, 4, seed=seed + 1), random(2, 8, 3, seed=seed + 2)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(attend(query, key[:, order], value[:, order], 100.0), attend(query, key, value, 100.0))
    turned = torch.randperm(6, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(attend(query[:, turned], key, value, 100.0), attend(query, key, value, 100.0)[:, turned])


@quick
@given(seeds)
def test_the_colder_the_nearer_to_the_best_match(seed):
    query, key, image = units(1, 6, 4, seed=seed), units(1, 6, 4, seed=seed + 1), random(1, 3, 2, 3, seed=seed + 2)
    best = cosine_score(query, key).argmax(-1)
    copied = image.flatten(2)[0][:, best[0]].reshape(1, 3, 2, 3)
    torch.testing.assert_close(correlation_warp(query, key, image, (2, 3), temperature=1e-7), copied)


@quick
@given(seeds, st.floats(0.01, 100), st.floats(-5, 5))
def test_scale_and_constant_are_taken_out(seed, factor, constant):
    feature = random(2, 4, 3, 3, seed=seed)
    for centring in ("channel", "space", "none"):
        torch.testing.assert_close(normalise(feature * factor, centring), normalise(feature, centring))
    per_position, per_channel = random(2, 1, 3, 3, seed=seed) * constant, random(2, 4, 1, 1, seed=seed) * constant
    torch.testing.assert_close(normalise(feature + per_position, "channel"), normalise(feature, "channel"))
    torch.testing.assert_close(normalise(feature + per_channel, "space"), normalise(feature, "space"))


def test_a_feature_matches_itself():
    feature, image = random(1, 16, 4, 4), random(1, 3, 4, 4, seed=1)
    vectors = normalise(feature)
    match = softmax_match(cosine_score(vectors, vectors), (4, 4), (4, 4))
    torch.testing.assert_close(match.argmax()[0].flatten(), torch.arange(16))
    torch.testing.assert_close(match.warp(image), image, atol=1e-3, rtol=0)


def test_an_empty_feature_looks_everywhere():
    empty = torch.zeros(1, 8, 2, 2, requires_grad=True)
    image = random(1, 3, 2, 2, dtype=torch.float32)
    warp = correlation_warp(normalise(empty), normalise(empty), image, (2, 2))
    torch.testing.assert_close(warp, image.mean((2, 3), keepdim=True).expand(1, 3, 2, 2))
    warp.sum().backward()
    assert empty.grad.isfinite().all()


def test_gradients():
    def leaf(tensor):
        return tensor.requires_grad_()

    query, key = leaf(random(2, 5, 3)), leaf(random(2, 6, 3, seed=1))
    value, image = leaf(random(2, 6, 2, seed=2)), leaf(random(2, 2, 2, 3, seed=3))
    assert gradcheck(lambda q, k, v: attend(q, k, v, 3.0), (query, key, value))
    assert gradcheck(lambda q, k, i: correlation_warp(q, k, i, (5, 1), 0.5), (query, key, image))
    assert gradcheck(lambda q, k, i: softmax_match(cosine_score(q, k), (5, 1), (2, 3), 0.5).warp(i), (query, key, image))
    feature = leaf(random(1, 3, 2, 3, seed=4))
    for centring in ("channel", "space", "none"):
        assert gradcheck(lambda f, c=centring: normalise(f, c), (feature,))
        assert gradcheck(lambda f, c=centring: normalise(f, c, 3), (feature,))


@pytest.mark.parametrize("needed", [(True, True, False), (False, False, True), (True, False, False), (False, True, True)])
@pytest.mark.parametrize("cells", [1, 2**20])
def test_exact_path_is_the_recorded_path(monkeypatch, needed, cells):
    """The same warp and the same gradients, whichever inputs ask for one, whether in one piece or row by row."""
    monkeypatch.setitem(correlation._CHUNK, "cpu", cells)
    inputs = units(2, 20, 8), units(2, 12, 8, seed=1), random(2, 3, 3, 4, seed=2)
    pull = random(2, 3, 4, 5, seed=3)

    def answer_and_gradients(warp):
        leaves = [tensor.clone().requires_grad_(need) for tensor, need in zip(inputs, needed, strict=True)]
        answer = warp(*leaves)
        return answer, torch.autograd.grad((answer * pull).sum(), [leaf for leaf in leaves if leaf.requires_grad])

    exact = answer_and_gradients(lambda q, k, v: correlation_warp(q, k, v, (4, 5)))
    recorded = answer_and_gradients(lambda q, k, v: softmax_match(cosine_score(q, k), (4, 5), (3, 4)).warp(v))
    torch.testing.assert_close(exact, recorded)


class Largest(TorchDispatchMode):
    """Remembers the largest tensor that any operation gave back, in backward passes too."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        answer = func(*args, **(kwargs or {}))
        for tensor in answer if isinstance(answer, tuple | list) else (answer,):
            if isinstance(tensor, torch.Tensor):
                self.numel = max(self.numel, tensor.numel())
        return answer


def test_no_matrix_is_held():
    """64 × 64 positions against as many, the paper's size: 16.8 million weights, of which at most a chunk exists at a time."""
    inputs = [random(1, 4096, 16, dtype=torch.float32, seed=s) for s in range(2)] + [random(1, 3, 64, 64, dtype=torch.float32)]
    query, key, image = (tensor.requires_grad_() for tensor in inputs)
    with Largest() as exact:
        correlation_warp(query, key, image, (64, 64)).sum().backward()
    assert query.grad.abs().sum() > 0
    assert exact.numel <= correlation._CHUNK["cpu"] == 2**20
    with Largest() as recorded, torch.no_grad():
        softmax_match(cosine_score(query, key), (64, 64), (64, 64)).warp(image)
    assert recorded.numel == 4096**2


@pytest.mark.parametrize("name", RECORDINGS)
@pytest.mark.parametrize("exact", [True, False])
def test_parity_with_the_released_code(parity, name, exact):
    """Scores, warp of image and label map, cycle, and the gradients of all of them together.

    Both sides are float32 with logits up to 100, where the last place is 8e-6: hence the tolerances, for sums in another order.
    """
    recording = parity(name)
    features = [recording[f"feat_{side}"].clone().requires_grad_() for side in ("seg", "ref")]
    query, key = (normalise(F.normalize(feature, dim=1, eps=1e-10), **RECORDINGS[name]) for feature in features)
    image, label = F.avg_pool2d(recording["ref"], 4), F.interpolate(recording["ref_seg"], (8, 8), mode="nearest")
    if exact:
        warp, warped_label = (correlation_warp(query, key, value, (8, 8)) for value in (image, label))
        cycle = correlation_warp(key, query, warp, (8, 8))
    else:
        score = cosine_score(query, key)
        torch.testing.assert_close(score / 0.01, recording["out_corr_over_tau"], atol=1e-4, rtol=0)
        match = softmax_match(score, (8, 8), (8, 8))
        warp, warped_label = match.warp(image), match.warp(label)
        cycle = softmax_match(score.transpose(1, 2), (8, 8), (8, 8)).warp(warp)
    outputs = {"warp": F.interpolate(warp, scale_factor=4), "warp_mask": warped_label, "warp_cycle": cycle}
    for output, tensor in outputs.items():
        torch.testing.assert_close(tensor, recording[f"out_{output}"], atol=1e-5, rtol=0)
    pulled = sum((tensor * recording[f"cot_{output}"]).sum() for output, tensor in outputs.items())
    gradients = torch.autograd.grad(pulled, features)
    for side, gradient in zip(("seg", "ref"), gradients, strict=True):
        expected = recording[f"grad_feat_{side}"]
        torch.testing.assert_close(gradient, expected, atol=3e-5 * float(expected.abs().max()), rtol=0)


def test_parity_of_the_length(parity):
    recording = parity("feature_normalize")
    vectors = normalise(recording["x"], "none")
    torch.testing.assert_close(vectors.transpose(1, 2).unflatten(2, (8, 8)), recording["out"], atol=1e-6, rtol=0)
