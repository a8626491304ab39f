"""The layers of MSCA against loops in float64, against their ops, and by what moves, learns and is saved."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from test_msca_ops import LargestTensor, softmax
from torch import nn
from torch.autograd import gradcheck

from exemplar_lab.nn.feature_stack import built_in, layer_widths
from exemplar_lab.nn.features import FixedFeatures, VGG19Features
from exemplar_lab.nn.msca import ExemplarFeatures, LabelPyramid, MaskedSpatialChannelAttention, RegionGate
from exemplar_lab.ops.msca import channel_attention, label_attention, region_shares, spatial_attention

WIDTHS = (4, 6, 3, 5, 2)
PACE = 10.0
"""Scores of attention, over what the convolution gives."""


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def array(parameter: torch.Tensor) -> np.ndarray:
    return parameter.detach().numpy()


def pointwise(layer: nn.Conv2d, vector: np.ndarray) -> np.ndarray:
    return array(layer.weight)[:, :, 0, 0] @ vector + (0 if layer.bias is None else array(layer.bias))


def leaky(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, 0.2 * x)


# Eq. (1)


def test_exemplar_features_are_compressed_by_one_matrix_per_scale():
    layer = ExemplarFeatures(FixedFeatures(), WIDTHS).double()
    image = torch.rand(2, 3, 32, 32, dtype=torch.float64)
    seen = FixedFeatures().double()(image, layer.layers)
    found = layer(image)
    assert layer.layers == ("relu1_2", "relu2_2", "relu3_2", "relu4_2", "relu5_2")
    assert layer.seen_widths == (16, 48, 96, 128, 128)
    for scale, (name, one) in enumerate(zip(layer.layers, found, strict=True)):
        assert one.shape == (2, WIDTHS[scale], 32 >> scale, 32 >> scale)
        for b, y, x in ((0, 0, 0), (1, 1, 0), (1, -1, -1)):
            expected = pointwise(layer.compress[scale], seen[name][b, :, y, x].numpy())
            np.testing.assert_allclose(one[b, :, y, x].detach(), expected, atol=1e-6)
    assert all(torch.equal(one, seen[name]) for name, one in zip(layer.layers, layer.see(image), strict=True))


def test_the_extractor_is_neither_trained_nor_saved_but_moves_along():
    network = FixedFeatures()
    names = [name for name, _ in network.named_parameters()]
    assert names and built_in(network) is network
    assert not list(network.parameters()) and not network.state_dict()
    assert [name for name, _ in network.named_buffers() if name in names] == names

    layer = ExemplarFeatures(FixedFeatures(), WIDTHS)
    trained = {name.split(".")[0] for name, _ in layer.named_parameters()}
    assert trained == {"compress"} == {name.split(".")[0] for name in layer.state_dict()}
    assert {one.dtype for one in layer.double().extractor.buffers()} == {torch.float64}
    assert {one.device.type for one in layer.to("meta").extractor.buffers()} == {"meta"}
    other = ExemplarFeatures(FixedFeatures(), WIDTHS)
    other.load_state_dict(copy.deepcopy(other).state_dict())  # strict: nothing is missing

    image = torch.rand(1, 3, 32, 32, requires_grad=True)
    sum(one.sum() for one in other(image)).backward()
    assert image.grad.abs().max() > 0 and all(p.grad.abs().max() > 0 for p in other.parameters())


def test_widths_of_the_layers_of_every_network():
    assert layer_widths(FixedFeatures())["relu3_1"] == 96 and len(layer_widths(FixedFeatures())) == 10
    with torch.device("meta"):
        vgg = VGG19Features()
    widths = layer_widths(vgg)
    assert list(widths) == list(vgg.layers) and len(widths) == 16
    assert [widths[f"relu{stage}_2"] for stage in range(1, 6)] == [64, 128, 256, 512, 512]
    assert layer_widths(built_in(vgg)) == widths


# Eq. (2) and (3)


def test_label_pyramid_is_its_loop():
    layer, label = LabelPyramid(3, (4, 5, 2)).double(), torch.rand(2, 3, 8, 12, dtype=torch.float64)
    found = layer(label)
    assert [tuple(one.shape[1:]) for one in found] == [(4, 8, 12), (5, 4, 6), (2, 2, 3)]
    for b in range(2):
        coarser = None
        for scale in (2, 1, 0):
            side = 2**scale
            expected = np.zeros(found[scale].shape[1:])
            for y, x in np.ndindex(8 // side, 12 // side):
                share = label[b, :, y * side : (y + 1) * side, x * side : (x + 1) * side].mean((1, 2)).numpy()
                above = [] if coarser is None else between(coarser, (y + 0.5) / 2 - 0.5, (x + 0.5) / 2 - 0.5)
                expected[:, y, x] = leaky(pointwise(layer.convolutions[scale], np.concatenate([above, share])))
            np.testing.assert_allclose(found[scale][b].detach(), expected, atol=1e-6)
            coarser = expected


def between(grid: np.ndarray, y: float, x: float) -> np.ndarray:
    """Bilinear, at a place between the cells of c h w; beyond the border its cells go on."""
    _, height, width = grid.shape
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = int(y), int(x)
    down, right = min(top + 1, height - 1), min(left + 1, width - 1)
    upper = grid[:, top, left] * (1 - x + left) + grid[:, top, right] * (x - left)
    lower = grid[:, down, left] * (1 - x + left) + grid[:, down, right] * (x - left)
    return upper * (1 - y + top) + lower * (y - top)


# Eq. (6)


def test_region_gate_is_its_loop():
    layer, label, other = RegionGate(3, 5).double(), random(2, 3, 2, 4), random(2, 3, 3, 3, seed=1)
    first, _, second = layer.mlp
    for b in range(2):
        pooled = np.concatenate([one[b].mean((1, 2)).numpy() for one in (label, other)])
        hidden = leaky(array(first.weight) @ pooled + array(first.bias))
        expected = 1 / (1 + np.exp(-(array(second.weight) @ hidden + array(second.bias))))
        np.testing.assert_allclose(layer(label, other)[b].detach(), expected, atol=1e-6)
    assert gradcheck(layer, (label.requires_grad_(), other.requires_grad_()))
    assert not torch.equal(layer(label, label), layer(label, other[:, :, :2]))


# Eq. (4) to (8)


def drawn(samples: int = 2, key: tuple[int, int] = (4, 3), query: tuple[int, int] = (2, 5), seed: int = 0):
    """F_c1 and c1; F_x2, F_c2 and c2 of an exemplar: 3 label features, 4 classes, 5 features."""
    label, feature, of_exemplar = (
        random(samples, 3, *query, seed=seed),
        random(samples, 5, *key, seed=seed + 1),
        random(samples, 3, *key, seed=seed + 2),
    )
    classes, exemplar_classes = (random(samples, 4, *size, seed=seed + 3 + n).softmax(1) for n, size in enumerate((query, key)))
    return label, classes, (feature, of_exemplar, exemplar_classes)


def module_of(attention: str = "learnt", gated: bool = True, regions: int = 4) -> MaskedSpatialChannelAttention:
    torch.manual_seed(3)
    return MaskedSpatialChannelAttention(5, 3, regions, attention, gated).double()


@pytest.mark.parametrize("gated", [True, False])
def test_the_module_is_its_loop(gated):
    module, (label, classes, exemplar) = module_of(gated=gated), drawn()
    aligned = module(label, classes, [exemplar])
    feature, of_exemplar, _ = (one.numpy() for one in exemplar)
    gate = array(module.gate(label, exemplar[1])) if gated else np.ones((2, 4))
    for b in range(2):
        both = np.concatenate([feature[b], of_exemplar[b]]).reshape(8, -1)
        score = np.stack([PACE * pointwise(module.spatial, both[:, place]) for place in range(12)], axis=1)
        region = np.stack([feature[b].reshape(5, -1) @ softmax(one) for one in score])
        for y, x in np.ndindex(2, 5):
            mixture = softmax(PACE * pointwise(module.channel, label[b, :, y, x].numpy()))
            np.testing.assert_allclose(aligned.wanted[0][b, 5 * y + x].detach(), mixture, atol=1e-6)
            np.testing.assert_allclose(aligned.feature[b, :, y, x].detach(), (mixture * gate[b]) @ region, atol=1e-6)


@pytest.mark.parametrize("attention", ["learnt", "labels"])
def test_the_module_is_its_ops_and_the_record_is_the_module(attention):
    module, (label, classes, exemplar) = module_of(attention), drawn()
    aligned = module(label, classes, [exemplar])
    match = aligned.match((4, 3))
    if attention == "learnt":
        alpha = spatial_attention(PACE * module.spatial(torch.cat(exemplar[:2], 1)))
        beta = channel_attention(PACE * module.channel(label))
    else:
        alpha, beta = label_attention(exemplar[2])[0], label_attention(classes)[1]
    assert torch.equal(match.key_factor, alpha) and torch.equal(match.query_factor, beta)
    assert torch.equal(match.gate, module.gate(label, exemplar[1])) and match.gate.min() > 0 and match.gate.max() < 1
    torch.testing.assert_close(match.warp(exemplar[0]), aligned.feature)


@pytest.mark.parametrize("attention", ["average", "learnt"])
def test_one_region_that_is_constant_is_global_average_pooling(attention):
    module, (label, classes, exemplar) = module_of(attention, gated=False, regions=1), drawn()
    if attention == "learnt":
        nn.init.zeros_(module.spatial.weight)
    aligned = module(label, classes, [exemplar])
    torch.testing.assert_close(aligned.feature, exemplar[0].mean((2, 3), keepdim=True).expand(-1, -1, 2, 5))
    match = aligned.match((4, 3))
    torch.testing.assert_close(match.rows(torch.arange(10)), torch.full((2, 10, 12), 1 / 12).double())
    assert (module.regions, len(list(module_of("average").parameters()))) == (1, 0)


@pytest.mark.parametrize("attention", ["learnt", "labels", "average"])
def test_several_exemplars(attention):
    """Amounts at the ends give one exemplar to the last bit; between them the joint softmax, region by region."""
    module = module_of(attention)
    label, classes, first = drawn()
    second, third = drawn(seed=20)[2], drawn(seed=40)[2]
    alone = [module(label, classes, [one]) for one in (first, second, third)]
    for n, one in enumerate(alone):
        amount = torch.zeros(2, 3, 2, 5).double()
        amount[:, n] = 1
        mixed = module(label, classes, [first, second, third], amount)
        assert torch.equal(mixed.feature, one.feature)

    amount = (random(2, 3, 2, 5, seed=9)).softmax(1)
    with torch.no_grad():
        mixed = module(label, classes, [first, second, third], amount)
    match = mixed.match((4, 3))
    assert match.query_size == (2, 5) and match.key_size == (4, 9) and match.key_factor.shape[1] == 3 * module.regions
    side_by_side = torch.cat([first[0], second[0], third[0]], dim=3)
    torch.testing.assert_close(match.warp(side_by_side), mixed.feature)
    log_total = torch.stack([one.log_total for one in mixed.regions], dim=1)
    beta = alone[0].wanted[0].detach()
    share = region_shares(log_total, amount.flatten(2))
    gates = torch.stack([one.gate for one in mixed.regions], dim=1)
    for b, q in np.ndindex(2, 10):
        gate = sum(amount[b, n].flatten()[q] * gates[b, n] for n in range(3))
        expected = sum(
            float(beta[b, q, r] * gate[r] * share[b, n, q, r]) * mixed.regions[n].value[b, r]
            for n in range(3)
            for r in range(module.regions)
        )
        torch.testing.assert_close(mixed.feature[b].flatten(1)[:, q], expected)


def test_gradients_of_the_module():
    module, (label, classes, exemplar) = module_of(regions=2), drawn(1, (2, 2), (1, 2))
    other = drawn(1, (2, 2), (1, 2), seed=9)[2]
    amount = random(1, 2, 1, 2, seed=4).softmax(1).requires_grad_()
    leaves = [one.detach().requires_grad_() for one in (label, *exemplar[:2])]
    assert gradcheck(lambda c, x, m: module(c, classes, [(x, m, exemplar[2])]).feature, leaves)
    assert gradcheck(lambda a: module(label, classes, [exemplar, other], a).feature, (amount,))
    module(label, classes, [exemplar, other], amount).feature.square().sum().backward()
    assert all(p.grad.abs().max() > 0 for p in module.parameters())


@pytest.mark.parametrize("exemplars", [1, 2])
def test_memory_grows_with_the_number_of_positions_alone(exemplars):
    """16 regions and 32 + 8 features: doubled area, doubled cost; 64 × 64 stays sixty times below 4096 × 4096."""
    module = MaskedSpatialChannelAttention(32, 8, 16)
    largest = {}
    for size in ((32, 32), (32, 64), (64, 64)):
        generator = torch.Generator().manual_seed(0)
        label, feature = (torch.randn(1, c, *size, generator=generator, requires_grad=True) for c in (8, 32))
        given = [(feature, label, torch.zeros(1, 3, *size))] * exemplars
        amount = None if exemplars == 1 else torch.full((1, 2, *size), 0.5)
        with LargestTensor() as found:
            aligned = module(label, torch.zeros(1, 3, *size), given, amount)
            F.mse_loss(aligned.feature, feature).backward()
            aligned.match(size).warp(feature.repeat(1, 1, 1, exemplars))
        largest[size] = found.elements
    assert largest[32, 64] == 2 * largest[32, 32] and largest[64, 64] == 4 * largest[32, 32]
    assert largest[64, 64] < 4096 * 4096 / 60


def test_at_the_start_a_class_looks_at_its_like():
    """The same labels on both sides: before any training a class has twice the weight on itself that chance has."""
    torch.manual_seed(0)
    label = F.one_hot(torch.arange(6), 6).T.float().view(1, 6, 1, 6).repeat_interleave(8, 3).repeat_interleave(16, 2)
    of_its_like = torch.zeros(8, 3)
    for start in of_its_like:
        for scale, features in enumerate(LabelPyramid(6, (16,) * 3)(label)):
            module = MaskedSpatialChannelAttention(8, 16, 12)
            classes = F.avg_pool2d(label, 2**scale)
            exemplar = (torch.randn(1, 8, *features.shape[2:]), features, classes)
            match = module(features, classes, [exemplar]).match(tuple(features.shape[2:]))
            found = match.warp(classes) / match.mass()[:, None]
            start[scale] = (found * classes).sum(1).mean().detach()
    assert (of_its_like.mean(0) > 2 / 6).all(), f"per scale: {of_its_like.mean(0)}"
