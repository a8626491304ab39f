"""Positional normalisation, SPADE and AdaIN: what NumPy says in float64, and what the released code said."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from exemplar_lab.ops.modulation import adain, channel_statistics, positional_norm, spade

quick = settings(max_examples=25)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def standardised_twin(feature: np.ndarray, eps: float) -> np.ndarray:
    """A list of numbers to mean 0 and deviation 1, the sum of squares divided by one less than their number."""
    difference = feature - sum(feature) / len(feature)
    return difference / np.sqrt(sum(difference**2) / (len(feature) - 1) + eps)


def test_positional_norm_is_its_twin():
    feature = random(2, 6, 3, 4)
    expected = np.empty(feature.shape)
    for b, y, x in np.ndindex(2, 3, 4):
        expected[b, :, y, x] = standardised_twin(feature[b, :, y, x].numpy(), 1e-5)
    np.testing.assert_allclose(positional_norm(feature), expected, atol=1e-12)
    np.testing.assert_allclose(positional_norm(feature.float()), expected, atol=1e-6)


def test_spade_is_its_twin():
    normalised, scale, shift = random(2, 3, 2, 4), random(2, 3, 2, 4, seed=1), random(2, 3, 2, 4, seed=2)
    expected = np.empty(normalised.shape)
    for where in np.ndindex(*normalised.shape):
        expected[where] = scale[where] * normalised[where] + shift[where]
    np.testing.assert_allclose(spade(normalised, scale, shift), expected, atol=1e-12)


def test_adain_is_its_twin():
    content, mean, deviation = random(2, 3, 4, 5), random(2, 3, seed=1), random(2, 3, seed=2).exp()
    expected = np.empty(content.shape)
    for b, c in np.ndindex(2, 3):
        flat = standardised_twin(content[b, c].flatten().numpy(), 1e-5)
        expected[b, c] = (flat * deviation[b, c].item() + mean[b, c].item()).reshape(4, 5)
    np.testing.assert_allclose(adain(content, mean, deviation), expected, atol=1e-12)
    np.testing.assert_allclose(adain(content.float(), mean.float(), deviation.float()), expected, atol=2e-6)


def test_channel_statistics_are_their_twin():
    feature = random(2, 3, 4, 5)
    mean, deviation = channel_statistics(feature, eps=0.0)
    np.testing.assert_allclose(mean, feature.numpy().mean((2, 3)), atol=1e-12)
    np.testing.assert_allclose(deviation, feature.numpy().std((2, 3), ddof=1), atol=1e-12)


@quick
@given(st.integers(0, 2**31), st.floats(0.5, 50), st.floats(-5, 5))
def test_positional_norm_takes_mean_and_deviation_of_each_position(seed, factor, constant):
    feature = random(2, 8, 3, 3, seed=seed)
    normalised = positional_norm(feature, eps=0.0)
    torch.testing.assert_close(normalised.mean(1), torch.zeros(2, 3, 3, dtype=torch.float64))
    torch.testing.assert_close(normalised.std(1), torch.ones(2, 3, 3, dtype=torch.float64))
    moved = feature * factor + constant * random(2, 1, 3, 3, seed=seed + 1)
    torch.testing.assert_close(positional_norm(moved, eps=0.0), normalised)


@quick
@given(st.integers(0, 2**31))
def test_adain_gives_the_statistics_of_the_style(seed):
    content, style = random(2, 4, 5, 3, seed=seed), random(2, 4, 2, 6, seed=seed + 1) * 3 + 1
    mean, deviation = channel_statistics(style, eps=0.0)
    restyled = channel_statistics(adain(content, mean, deviation, eps=0.0), eps=0.0)
    torch.testing.assert_close(restyled, (mean, deviation))
    torch.testing.assert_close(adain(content, *channel_statistics(content)), content)


def test_a_flat_feature_stays_finite():
    flat = torch.full((1, 4, 2, 2), 3.0, requires_grad=True)
    answer = positional_norm(flat) + adain(flat, torch.zeros(1, 4), torch.ones(1, 4))
    answer.sum().backward()
    assert (answer == 0).all() and flat.grad.isfinite().all()


def test_gradients():
    feature, scale, shift = (random(2, 3, 2, 2, seed=s).requires_grad_() for s in range(3))
    mean, deviation = (random(2, 3, seed=s).requires_grad_() for s in range(2))
    assert gradcheck(positional_norm, (feature,))
    assert gradcheck(spade, (feature, scale, shift))
    assert gradcheck(adain, (feature, mean, deviation))
    assert gradcheck(channel_statistics, (feature,))


@pytest.mark.parametrize(("name", "eps"), [("pono_cocos", 1e-5), ("pono_dynast", 1e-8)])
def test_parity_of_positional_norm(parity, name, eps):
    recording = parity(name)
    torch.testing.assert_close(positional_norm(recording["x"], eps), recording["out"], atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", ["spade_cocos_pono1", "spade_cocos_pono0", "spade_nvlabs"])
def test_parity_of_spade(parity, name):
    """The released layer from its own weights: its 1 + γ is the scale α here, its β the shift.

    CoCosNet's copy pads by reflection, NVlabs' own with zeros; pono0 and NVlabs normalise over the batch.
    """
    recording = parity(name)
    zeros = name == "spade_nvlabs"

    def convolve(x: torch.Tensor, layer: str) -> torch.Tensor:
        padded = F.pad(x, (1, 1, 1, 1), mode="constant" if zeros else "reflect")
        return F.conv2d(padded, recording[f"w.{layer}.weight"], recording[f"w.{layer}.bias"])

    style = F.interpolate(recording["seg"], (8, 8), mode="nearest")
    hidden = F.relu(convolve(style, f"mlp_shared.{0 if zeros else 1}"))
    x = recording["x"]
    normalised = positional_norm(x) if name == "spade_cocos_pono1" else F.batch_norm(x, None, None, training=True)
    modulated = spade(normalised, 1 + convolve(hidden, "mlp_gamma"), convolve(hidden, "mlp_beta"))
    torch.testing.assert_close(modulated, recording["out"], atol=1e-5, rtol=0)
