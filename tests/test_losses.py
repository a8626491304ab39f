"""Losses against the released code's recorded numbers, brute-force NumPy in float64, and what they must do by meaning."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from exemplar_lab.losses import contextual as contextual_module
from exemplar_lab.losses.adversarial import hinge_discriminator, hinge_generator
from exemplar_lab.losses.contextual import contextual, contextual_layers, direction
from exemplar_lab.losses.correspondence import cycle, domain_alignment, mask_alignment, warp_matching
from exemplar_lab.losses.perceptual import feature_matching, perceptual
from exemplar_lab.losses.total import total_loss

few = settings(max_examples=25, deadline=None)


def random(*shape: int, seed: int = 0, grad: bool = False) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_(grad)


# Eq. (8), (10)


def made_features(batch: int = 3, seed: int = 0) -> dict[str, torch.Tensor]:
    return {"relu1_2": random(batch, 2, 8, 6, seed=seed), "relu4_2": random(batch, 5, 2, 3, seed=seed + 1)}


def test_feature_matching_is_the_weighted_sum_over_layers_and_pairs():
    made, target = made_features(), made_features(seed=7)
    paired = torch.tensor([True, False, True])
    expected = 0.0
    for layer, weight in {"relu1_2": 0.5, "relu4_2": 2.0}.items():
        a, b = made[layer].numpy(), target[layer].numpy()
        expected += sum(weight * np.abs(a[i] - b[i]).mean() for i in (0, 2)) / 3
    got = feature_matching(made, target, {"relu1_2": 0.5, "relu4_2": 2.0}, paired)
    assert got.item() == pytest.approx(expected, abs=1e-12)
    as_numbers = feature_matching(made, target, {"relu1_2": 0.5, "relu4_2": 2.0}, paired.float())
    assert as_numbers.item() == pytest.approx(expected, abs=1e-7)


def test_shards_of_a_batch_average_to_the_whole_wherever_the_pairs_fall():
    made, target, paired = made_features(4), made_features(4, seed=7), torch.tensor([True, True, True, False])
    whole = feature_matching(made, target, {"relu1_2": 1.0}, paired)
    shards = [
        feature_matching({"relu1_2": made["relu1_2"][i]}, {"relu1_2": target["relu1_2"][i]}, {"relu1_2": 1.0}, paired[i])
        for i in (slice(0, 2), slice(2, 4))
    ]
    torch.testing.assert_close(torch.stack(shards).mean(), whole)


def test_feature_matching_without_a_pair_is_zero():
    none = torch.zeros(3, dtype=torch.bool)
    assert feature_matching(made_features(), made_features(seed=7), {"relu1_2": 1.0}, none) == 0


def test_perceptual_is_the_mean_distance_of_one_layer():
    made, target = made_features(), made_features(seed=7)
    expected = np.abs(made["relu4_2"].numpy() - target["relu4_2"].numpy()).mean()
    assert perceptual(made, target).item() == pytest.approx(expected, abs=1e-12)


# Eq. (9), (12), App. E


def test_domain_alignment_equals_the_recording(parity):
    recorded = parity("cocos_warp_mk1_ponoc")
    got = 10 * domain_alignment(recorded["feat_seg"], recorded["feat_real"])
    torch.testing.assert_close(got, recorded["out_loss_align"][0], atol=1e-6, rtol=1e-6)


def test_domain_alignment_sees_directions_only():
    x, y = random(2, 6, 3, 4), random(2, 6, 3, 4, seed=1)
    torch.testing.assert_close(domain_alignment(1e-2 * x, 50 * y), domain_alignment(x, y), atol=1e-4, rtol=1e-4)
    assert domain_alignment(x, 3 * x) < 1e-6


def test_direction_of_nothing_is_nothing_and_its_gradient_is_bounded():
    zero = torch.zeros(1, 4, 2, 2, requires_grad=True)
    domain_alignment(zero, torch.ones(1, 4, 2, 2)).backward()
    assert torch.isfinite(zero.grad).all()
    assert direction(zero).abs().max() == 0


def test_cycle_compares_with_the_exemplar_on_the_grid_of_the_warp():
    exemplar = random(2, 3, 8, 4)
    small = exemplar.numpy().reshape(2, 3, 4, 2, 2, 2).mean((3, 5))
    warped = random(2, 3, 4, 2, seed=1)
    assert cycle(warped, exemplar).item() == pytest.approx(np.abs(warped.numpy() - small).mean(), abs=1e-12)
    assert cycle(exemplar, exemplar) == 0


def test_warp_matching_counts_pairs_only():
    warp, target = random(2, 3, 4, 2, seed=1), random(2, 3, 8, 4)
    small = target.numpy().reshape(2, 3, 4, 2, 2, 2).mean((3, 5))
    expected = np.abs(warp.numpy() - small)[1].mean() / 2
    assert warp_matching(warp, target, torch.tensor([False, True])).item() == pytest.approx(expected, abs=1e-12)


def test_mask_alignment_is_the_negative_log_likelihood():
    label = torch.randint(5, (2, 4, 3))
    one_hot = F.one_hot(label, 5).movedim(-1, 1).double()
    probability = random(2, 5, 4, 3).softmax(1)
    torch.testing.assert_close(mask_alignment(probability, one_hot), F.nll_loss(probability.log(), label))
    uniform = torch.full_like(one_hot, 0.2)
    assert mask_alignment(uniform, one_hot).item() == pytest.approx(math.log(5), abs=1e-8)
    assert abs(mask_alignment(one_hot, one_hot)) < 1e-9
    torch.testing.assert_close(
        mask_alignment(probability, one_hot.repeat_interleave(2, 2).repeat_interleave(2, 3)),
        mask_alignment(probability, one_hot),
    )


def test_mask_alignment_survives_a_class_that_never_arrived():
    absent = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1).requires_grad_()
    loss = mask_alignment(absent, torch.tensor([0.0, 1.0]).view(1, 2, 1, 1))
    loss.backward()
    assert loss.item() == pytest.approx(-math.log(1e-10), rel=1e-6)
    assert torch.isfinite(absent.grad).all()


@pytest.mark.parametrize("loss", [domain_alignment, cycle, warp_matching])
def test_gradients_of_the_correspondence_losses(loss):
    assert gradcheck(loss, (random(2, 3, 4, 2, grad=True), random(2, 3, 4, 2, seed=1, grad=True)))


# Eq. (11)

RECORDED = {
    "contextual_forward_pono1": {"centring": "exemplar_channel"},
    "contextual_forward_pono0": {"centring": "space"},
    "contextual_original": {"centring": "space", "epsilon": 1e-5, "average_over": "exemplar"},
}


@pytest.mark.parametrize("chunk", [2**20, 2 * 64 * 10], ids=["whole", "ten rows at a time"])
@pytest.mark.parametrize("name", RECORDED)
def test_contextual_equals_the_recordings(parity, monkeypatch, name, chunk):
    monkeypatch.setitem(contextual_module._CHUNK, "cpu", chunk)
    recorded = parity(name)
    x, y = recorded["x"].requires_grad_(), recorded["y"].requires_grad_()
    loss = contextual(x, y, **RECORDED[name])
    loss.backward(recorded["cot_loss"])
    torch.testing.assert_close(loss, recorded["out_loss"], atol=1e-6, rtol=0)
    # A generated vector that is constant over channels is as far from every exemplar vector: they all tie for the nearest, and
    # rounding decides which of the equally right gradients comes out.
    decided = x.detach().std(1, keepdim=True) > 0
    torch.testing.assert_close(x.grad * decided, recorded["grad_x"] * decided, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(y.grad, recorded["grad_y"], atol=1e-5, rtol=1e-4)


def contextual_by_hand(x, y, bandwidth, epsilon, centring, average_over) -> np.ndarray:
    """One pair of positions after the other, as printed."""
    losses = []
    for b in range(len(x)):
        if centring == "channel":
            xs, ys = x[b] - x[b].mean(0), y[b] - y[b].mean(0)
        else:
            mean = y[b].mean((1, 2), keepdims=True) if centring == "space" else y[b].mean(0)
            xs, ys = x[b] - mean, y[b] - mean
        xs, ys = (v.reshape(len(v), -1).T for v in (xs, ys))
        xs, ys = (v / np.sqrt((v**2).sum(1, keepdims=True) + 1e-8) for v in (xs, ys))
        affinity = np.zeros((len(xs), len(ys)))
        for i, one in enumerate(xs):
            distance = np.array([1 - one @ other for other in ys])
            weight = np.exp((1 - distance / (distance.min() + epsilon)) / bandwidth)
            affinity[i] = weight / weight.sum()
        best = affinity.max(1) if average_over == "generated" else affinity.max(0)
        losses.append(-np.log(best.mean()))
    return np.array(losses)


@few
@given(
    st.tuples(*[st.integers(1, 4)] * 4),
    st.integers(1, 3),
    st.integers(2, 6),
    st.sampled_from(["channel", "space", "exemplar_channel"]),
    st.sampled_from(["generated", "exemplar"]),
    st.floats(0.05, 1),
    st.sampled_from([1e-5, 1e-3, 0.1]),
    st.integers(1, 64),
    st.integers(0, 1000),
)
def test_contextual_is_what_is_printed(sides, batch, channels, centring, average_over, bandwidth, epsilon, chunk, seed):
    x = random(batch, channels, sides[0], sides[1], seed=seed)
    y = random(batch, channels, *(sides[:2] if centring == "exemplar_channel" else sides[2:]), seed=seed + 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(contextual_module._CHUNK, "cpu", chunk)
        got = contextual(x, y, bandwidth=bandwidth, epsilon=epsilon, centring=centring, average_over=average_over)
    expected = contextual_by_hand(x.numpy(), y.numpy(), bandwidth, epsilon, centring, average_over)
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-9)
    assert (got > -1e-9).all()
    if average_over == "generated":
        assert (got <= math.log(y[0, 0].numel()) + 1e-9).all()


@pytest.mark.parametrize("average_over", ["generated", "exemplar"])
@pytest.mark.parametrize("centring", ["channel", "space"])
def test_contextual_in_chunks_has_the_gradient_of_the_whole(monkeypatch, centring, average_over):
    def gradients():
        x, y = random(2, 5, 6, 7, grad=True), random(2, 5, 4, 9, seed=1, grad=True)
        loss = contextual(x, y, centring=centring, average_over=average_over)
        return loss.detach(), *torch.autograd.grad(loss.sum(), (x, y))

    whole = gradients()
    monkeypatch.setitem(contextual_module._CHUNK, "cpu", 2 * 36 * 5)
    for got, expected in zip(gradients(), whole, strict=True):
        torch.testing.assert_close(got, expected, atol=1e-12, rtol=1e-10)


@pytest.mark.parametrize("chunk", [2**20, 2 * 6 * 2], ids=["whole", "two rows at a time"])
@pytest.mark.parametrize("average_over", ["generated", "exemplar"])
def test_gradient_of_contextual(monkeypatch, average_over, chunk):
    monkeypatch.setitem(contextual_module._CHUNK, "cpu", chunk)
    inputs = random(2, 4, 2, 3, grad=True), random(2, 4, 3, 2, seed=1, grad=True)
    # A wide bandwidth: at 0.1 the softmax of so few random features is all but saturated, and there is no gradient to check.
    assert gradcheck(lambda x, y: contextual(x, y, average_over=average_over, bandwidth=0.5), inputs)


class LargestTensor(TorchDispatchMode):
    """The most elements that any tensor made meanwhile has, in the forward and in the backward pass."""

    elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        sizes = [leaf.numel() for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
        self.elements = max([self.elements, *sizes])
        return result


def largest_tensor_of_contextual(average_over: str) -> int:
    x, y = torch.randn(1, 4, 64, 64, requires_grad=True), torch.randn(1, 4, 64, 64, requires_grad=True)
    with LargestTensor() as largest:
        contextual(x, y, average_over=average_over).sum().backward()
    assert x.grad.abs().max() > 0 and y.grad.abs().max() > 0
    return largest.elements


@pytest.mark.parametrize("average_over", ["generated", "exemplar"])
def test_contextual_never_holds_all_pairs(average_over):
    assert largest_tensor_of_contextual(average_over) <= 2**20 < 4096**2 / 10


def test_the_measure_of_memory_would_notice_all_pairs(monkeypatch):
    monkeypatch.setitem(contextual_module._CHUNK, "cpu", 2**40)
    assert largest_tensor_of_contextual("generated") >= 4096**2


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak of the process from Linux's /proc")
def test_contextual_takes_less_memory_than_one_matrix_of_all_pairs():
    """The largest tensor says nothing about how many there are, so a fresh process is measured: N = 9216, N × N of 340 MB."""
    script = """
import re, torch
from pathlib import Path
from exemplar_lab.losses.contextual import contextual
torch.set_num_threads(1)
def peak(side):
    x, y = torch.randn(1, 8, side, side, requires_grad=True), torch.randn(1, 8, side, side, requires_grad=True)
    contextual(x, y).sum().backward()
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
start = peak(32)
print(peak(96) - start)
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert float(result.stdout) < 170


def test_contextual_ignores_where_things_are():
    x, order = random(1, 5, 6, 6), torch.randperm(36)
    shuffled = x.flatten(2)[:, :, order].unflatten(2, (6, 6))
    assert contextual(x, shuffled, centring="channel") < 1e-3
    assert contextual(x, shuffled, centring="space") < 1e-3
    assert contextual(x, shuffled, centring="exemplar_channel") > 1e-2


def test_the_two_orders_of_contextual_ask_for_different_things():
    """Copying one exemplar feature everywhere satisfies the printed order, and not the other one."""
    exemplar = random(1, 8, 5, 5)
    one_feature_everywhere = exemplar[:, :, :1, :1].expand_as(exemplar).contiguous()
    assert contextual(one_feature_everywhere, exemplar, average_over="generated") < 0.05
    assert contextual(one_feature_everywhere, exemplar, average_over="exemplar") > 1


@pytest.mark.parametrize("average_over", ["generated", "exemplar"])
@pytest.mark.parametrize("centring", ["channel", "space", "exemplar_channel"])
@pytest.mark.parametrize("kind", ["same", "zero", "constant", "huge"])
def test_contextual_in_float32_is_finite(kind, centring, average_over):
    x = torch.randn(1, 8, 12, 12)
    y = x.clone()
    if kind == "zero":
        x, y = torch.zeros_like(x), torch.zeros_like(y)
    if kind == "constant":
        x, y = torch.full_like(x, 0.3), torch.full_like(y, 0.3)
    if kind == "huge":
        x, y = 1e4 * x, -1e4 * y
    x.requires_grad_()
    loss = contextual(x, y, centring=centring, average_over=average_over)
    loss.backward()
    assert torch.isfinite(loss).all() and torch.isfinite(x.grad).all()
    if kind == "same":
        assert loss < 1e-2


def test_contextual_layers_adds_layers_by_weight():
    made, exemplar = made_features(), made_features(seed=7)
    expected = sum(
        weight * contextual(made[layer], exemplar[layer]).mean() for layer, weight in {"relu1_2": 2.0, "relu4_2": 4.0}.items()
    )
    torch.testing.assert_close(contextual_layers(made, exemplar, {"relu1_2": 2.0, "relu4_2": 4.0}), expected)


def test_contextual_layers_averages_down_what_is_too_large():
    made, exemplar = made_features(), made_features(seed=7)
    expected = contextual(F.avg_pool2d(made["relu1_2"], 2), F.avg_pool2d(exemplar["relu1_2"], 2)).mean()
    expected = expected + contextual(made["relu4_2"], exemplar["relu4_2"]).mean()
    got = contextual_layers(made, exemplar, {"relu1_2": 1.0, "relu4_2": 1.0}, longest=4)
    torch.testing.assert_close(got, expected)


# Eq. (13), (14)


def test_hinge_equals_the_recording(parity):
    recorded = parity("gan_hinge")
    logits = [recorded["p0"], recorded["p1"]]
    sure = [torch.full_like(scale, 5.0) for scale in logits]
    unsure = [-scale for scale in sure]
    torch.testing.assert_close(hinge_discriminator(logits, unsure), recorded["out_D_real"][0])
    torch.testing.assert_close(hinge_discriminator(sure, logits), recorded["out_D_fake"][0])
    torch.testing.assert_close(hinge_generator(logits), recorded["out_G"][0])


def test_hinge_is_what_is_printed():
    real, fake = [random(2, 1, 4, 4), random(2, 1, 2, 2, seed=1)], [random(2, 1, 4, 4, seed=2), random(2, 1, 2, 2, seed=3)]

    def mean_hinge(logits):
        return np.minimum(0, -1 + logits).mean()

    expected = np.mean([-mean_hinge(r.numpy()) - mean_hinge(-f.numpy()) for r, f in zip(real, fake, strict=True)])
    assert hinge_discriminator(real, fake).item() == pytest.approx(expected, abs=1e-12)
    assert hinge_generator(fake).item() == pytest.approx(-np.mean([f.mean() for f in fake]), abs=1e-12)


def test_the_discriminator_rests_where_it_is_sure():
    real, fake = torch.tensor([[1.5, 0.5]], requires_grad=True), torch.tensor([[-1.5, -0.5]], requires_grad=True)
    hinge_discriminator([real], [fake]).backward()
    torch.testing.assert_close(real.grad, torch.tensor([[0.0, -0.5]]))
    torch.testing.assert_close(fake.grad, torch.tensor([[0.0, 0.5]]))


def test_scales_must_be_as_many():
    with pytest.raises(ValueError):
        hinge_discriminator([torch.ones(1, 1)], [torch.ones(1, 1)] * 2)


def test_total_is_the_weighted_sum():
    terms = {"feat": torch.tensor(2.0), "perc": torch.tensor(3.0), "watched": torch.tensor(math.nan)}
    assert total_loss(terms, {"feat": 10.0, "perc": 0.5, "watched": 0.0, "left_out": 0.0}) == 21.5


@pytest.mark.parametrize(
    ("weights", "named"),
    [({"feat": 1.0}, "'perc'"), ({"feat": 1.0, "perc": 1.0, "reg": 1.0}, "'reg'"), ({"feat": 0, "perc": 0}, "zero")],
)
def test_total_names_what_does_not_fit(weights, named):
    with pytest.raises(ValueError, match=named):
        total_loss({"feat": torch.tensor(1.0), "perc": torch.tensor(1.0)}, weights)
