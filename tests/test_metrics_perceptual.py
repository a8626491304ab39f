"""Perceptual distance and Gram style distance against float64 loops, the released code's recording, and what they must do."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from exemplar_lab.metrics.perceptual import (
    GATYS_LAYERS,
    PERCEPTUAL_LAYERS,
    gatys_style_loss,
    gram_style_distance,
    maps_of,
    perceptual_distance,
)
from exemplar_lab.nn.features import features
from exemplar_lab.ops.modulation import gram_matrix

few = settings(max_examples=20)
seeds = st.integers(0, 2**20)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def pyramid(seed: int = 0, batch: int = 2, height: int = 16, width: int = 32) -> dict[str, torch.Tensor]:
    """Maps as a network gives them: never negative, half as large from layer to layer."""
    return {
        layer: random(batch, 3 + stage, height >> stage, width >> stage, seed=seed + stage).relu()
        for stage, layer in enumerate(PERCEPTUAL_LAYERS)
    }


def distance_twin(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], sample: int) -> float:
    of_layers = []
    for layer in PERCEPTUAL_LAYERS:
        a, b = one[layer][sample].numpy(), other[layer][sample].numpy()
        total = 0.0
        for y, x in np.ndindex(a.shape[1:]):
            units = [v / np.linalg.norm(v) if np.linalg.norm(v) > 0 else 0 * v for v in (a[:, y, x], b[:, y, x])]
            total += sum((units[0] - units[1]) ** 2)
        of_layers.append(total / a[0].size)
    return sum(of_layers) / len(of_layers)


def gram_twin(feature: np.ndarray) -> np.ndarray:
    c, h, w = feature.shape
    gram = np.zeros((c, c))
    for i, j, y, x in np.ndindex(c, c, h, w):
        gram[i, j] += feature[i, y, x] * feature[j, y, x] / (c * h * w)
    return gram


def test_perceptual_distance_is_its_twin():
    one, other = pyramid(), pyramid(100)
    for layer in PERCEPTUAL_LAYERS[:2]:
        one[layer][0, :, 0, 0] = 0
        other[layer][0, :, 0, :2] = 0
    expected = [distance_twin(one, other, sample) for sample in range(2)]
    np.testing.assert_allclose(perceptual_distance(one, other), expected, atol=1e-12)
    single = [{layer: feature.float() for layer, feature in each.items()} for each in (one, other)]
    np.testing.assert_allclose(perceptual_distance(*single), expected, atol=1e-6)


def test_what_no_filter_sees_is_at_nought_from_itself_and_at_one_from_all_else():
    nothing, something = ({layer: x * k for layer, x in pyramid().items()} for k in (0, 1))
    something = {layer: feature + 0.1 for layer, feature in something.items()}
    assert perceptual_distance(nothing, nothing).tolist() == [0, 0]
    torch.testing.assert_close(perceptual_distance(nothing, something), torch.ones(2, dtype=torch.float64))
    leaf = torch.zeros(1, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    perceptual_distance({"relu1_2": leaf}, {"relu1_2": something["relu1_2"][:1, :, :2, :2]}, ["relu1_2"]).sum().backward()
    assert leaf.grad.isfinite().all()


@few
@given(seeds, seeds)
def test_perceptual_distance_is_symmetric_bounded_and_blind_to_brightness(one_seed, other_seed):
    one, other = pyramid(one_seed), pyramid(other_seed + 7)
    distance = perceptual_distance(one, other)
    assert (distance >= 0).all() and (distance <= 2).all()
    torch.testing.assert_close(perceptual_distance(other, one), distance)
    brighter = {layer: feature * (1 + random(1, 1, *feature.shape[2:]).abs()) for layer, feature in one.items()}
    torch.testing.assert_close(perceptual_distance(brighter, other), distance)
    assert perceptual_distance(one, one).tolist() == [0, 0]


def test_gradients_of_the_distances():
    layers = PERCEPTUAL_LAYERS[:2]
    one = [random(1, 3, 4, 2).abs().add(0.1).requires_grad_(), random(1, 2, 2, 1, seed=1).abs().add(0.1).requires_grad_()]
    other = [random(1, 3, 4, 2, seed=2), random(1, 2, 2, 1, seed=3)]

    def ask(function):
        return lambda *maps: function(dict(zip(layers, maps, strict=True)), dict(zip(layers, other, strict=True)), layers)

    assert gradcheck(ask(perceptual_distance), one)
    assert gradcheck(ask(gram_style_distance), one)


def test_gram_matrix_is_its_twin():
    feature = random(2, 3, 4, 5)
    expected = [gram_twin(sample) for sample in feature.numpy()]
    np.testing.assert_allclose(gram_matrix(feature), expected, atol=1e-12)
    np.testing.assert_allclose(gram_matrix(feature.float()), expected, atol=1e-6)
    assert gradcheck(gram_matrix, random(1, 2, 3, 2).requires_grad_())


def test_style_distance_equals_the_recording(parity):
    recorded = parity("gram_style_loss")
    one, other = ({layer: recorded[f"{side}{i}"] for i, layer in enumerate(PERCEPTUAL_LAYERS[:2])} for side in "xy")
    got = gram_style_distance(one, other, PERCEPTUAL_LAYERS[:2])
    torch.testing.assert_close(got.mean(), recorded["out"], atol=1e-7, rtol=1e-6)


def test_style_distance_is_its_twin_for_images_of_two_sizes():
    one, other = pyramid(), pyramid(100, height=32, width=16)
    for sample in range(2):
        expected = 0.0
        for layer, weight in zip(PERCEPTUAL_LAYERS, (1, 1 / 2, 1 / 4, 1 / 8, 1 / 16), strict=True):
            grams = [gram_twin(each[layer][sample].numpy()) for each in (one, other)]
            expected += weight * np.abs(grams[0] - grams[1]).mean()
        assert gram_style_distance(one, other)[sample].item() == pytest.approx(expected, abs=1e-12)


@few
@given(seeds)
def test_style_is_what_stays_when_positions_change_places(seed):
    one, other = pyramid(seed), pyramid(seed + 50)
    shuffled = {}
    for layer, feature in one.items():
        order = random(feature[0, 0].numel(), seed=seed).argsort()
        shuffled[layer] = feature.flatten(2)[..., order].view_as(feature)
    assert gram_style_distance(one, shuffled).max() < 1e-12 < perceptual_distance(one, shuffled).min()
    torch.testing.assert_close(gram_style_distance(shuffled, other), gram_style_distance(other, one))


def test_half_precision_is_compared_in_single():
    """The sum of 4096 squares of 8 is beyond float16's 65504, a square of 1e-4 below its smallest number."""
    bright = {"relu1_2": torch.full((1, 2, 64, 64), 8.0, dtype=torch.float16)}
    dark = {"relu1_2": torch.full((1, 2, 64, 64), 1e-4, dtype=torch.float16)}
    assert gram_matrix(bright["relu1_2"]).tolist() == [[[32.0, 32.0], [32.0, 32.0]]]
    assert gram_style_distance(bright, dark, ["relu1_2"]).item() == pytest.approx(32)
    assert perceptual_distance(bright, dark, ["relu1_2"]).item() == pytest.approx(0, abs=1e-6)
    nothing = {"relu1_2": torch.zeros(1, 2, 64, 64, dtype=torch.float16)}
    assert perceptual_distance(nothing, dark, ["relu1_2"]).item() == pytest.approx(1)


def test_noise_changes_the_style_and_a_mirror_the_places():
    network = features("fixed")
    image = torch.rand(1, 3, 32, 32)
    noise = image + 0.3 * torch.randn(image.shape)
    of_image, of_noise, of_mirror = (network(each, PERCEPTUAL_LAYERS) for each in (image, noise, image.flip(3)))
    assert 0 < perceptual_distance(of_image, of_noise) < perceptual_distance(of_image, of_mirror)
    assert 0 < gram_style_distance(of_image, of_mirror) < gram_style_distance(of_image, of_noise)


def test_refuses_what_it_cannot_compare(unchecked):
    one = pyramid()
    with pytest.raises(ValueError, match="got features of relu1_2, expected also relu2_2"):
        maps_of({"relu1_2": one["relu1_2"]}, PERCEPTUAL_LAYERS[:2])
    other = pyramid(height=32)
    with pytest.raises(ValueError, match=r"got feature maps of \(2, 3, 16, 32\) and \(2, 3, 32, 32\), expected equal ones"):
        perceptual_distance(one, other)


def test_the_style_loss_of_gatys_is_its_printed_form():
    """E = 1 / (4 N² M²) Σ (G − A)² with Gram matrices that are sums, N channels and M positions; each layer counts a fifth."""
    one, other = ({f"relu{layer[4]}_1": x for layer, x in pyramid(seed).items()} for seed in (0, 100))
    for sample in range(2):
        expected = 0.0
        for layer in GATYS_LAYERS:
            of_one, of_other = (each[layer][sample].flatten(1).numpy() for each in (one, other))
            difference = of_one @ of_one.T - of_other @ of_other.T
            expected += 0.2 * (difference**2).sum() / (4 * of_one.size**2)
        assert gatys_style_loss(one, other)[sample].item() == pytest.approx(expected, rel=1e-10)
    assert gatys_style_loss(one, one).tolist() == [0, 0]
    turned = {layer: x.flip(-1) for layer, x in one.items()}
    assert gatys_style_loss(turned, one).max() < 1e-20
    layers = GATYS_LAYERS[:2]
    leaves = [random(1, 3, 4, 2, seed=1).requires_grad_(), random(1, 2, 2, 1, seed=2).requires_grad_()]
    against = dict(zip(layers, [random(1, 3, 4, 2, seed=3), random(1, 2, 2, 1, seed=4)], strict=True))
    assert gradcheck(lambda *maps: gatys_style_loss(dict(zip(layers, maps, strict=True)), against, layers), leaves)
