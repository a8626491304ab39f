"""The layers of MATEBIT against float64 loops, against the released blocks' recordings, and by what they promise."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck

from exemplar_lab.nn.matebit import (
    AdaConv,
    AdaINBlock,
    CoordinateAttention,
    FeedForward,
    MATBlock,
    StyleCode,
    StyleQueue,
    position_encoding,
)
from exemplar_lab.ops.correlation import cosine_score, normalise
from exemplar_lab.ops.masking import masked_weight, reliable_share
from exemplar_lab.ops.modulation import adain, positional_norm


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def array(parameter: torch.Tensor) -> np.ndarray:
    return parameter.detach().double().numpy()


def pointwise(layer: torch.nn.Conv2d, vector: np.ndarray) -> np.ndarray:
    return array(layer.weight)[:, :, 0, 0] @ vector + array(layer.bias)


def coordinates_twin(layer: CoordinateAttention, x: np.ndarray) -> np.ndarray:
    """One image, c h w. Rows are averaged along x, columns along y; one squeeze and one normalisation serve both."""
    _, height, width = x.shape
    means = [x[:, y, :].mean(1) for y in range(height)] + [x[:, :, column].mean(1) for column in range(width)]
    gates = []
    for place, mean in enumerate(means):
        hidden = pointwise(layer.squeeze, mean)
        if isinstance(layer.norm, torch.nn.BatchNorm2d):
            centred = hidden - array(layer.norm.running_mean)
            hidden = centred / np.sqrt(array(layer.norm.running_var) + layer.norm.eps)
            hidden = hidden * array(layer.norm.weight) + array(layer.norm.bias)
        else:
            hidden = (hidden - hidden.mean()) / np.sqrt(hidden.var(ddof=1) + 1e-5)
        hidden = hidden * np.clip(hidden + 3, 0, 6) / 6
        gates.append(1 / (1 + np.exp(-pointwise(layer.of_rows if place < height else layer.of_columns, hidden))))
    out = np.zeros_like(x)
    for y, column in np.ndindex(height, width):
        out[:, y, column] = x[:, y, column] * gates[y] * gates[height + column]
    return out


def adaconv_twin(layer: AdaConv, x: np.ndarray) -> np.ndarray:
    """The paper's order, Fig. 3c: LN after the first pointwise convolution and its GELU."""
    channels, height, width = x.shape
    kernel, bias = array(layer.depthwise.weight), array(layer.depthwise.bias)
    deep = np.zeros_like(x)
    padded = np.pad(x, ((0, 0), (3, 3), (3, 3)))
    for c, y, column in np.ndindex(channels, height, width):
        deep[c, y, column] = bias[c] + sum(
            kernel[c, 0, i, j] * padded[c, y + i, column + j] for i in range(7) for j in range(7)
        )
    deep, out = coordinates_twin(layer.coordinates, deep), np.zeros_like(x)
    for y, column in np.ndindex(height, width):
        hidden = pointwise(layer.expand, deep[:, y, column])
        hidden = np.array([one * (1 + math.erf(one / 2**0.5)) / 2 for one in hidden])
        hidden = (hidden - hidden.mean()) / np.sqrt(hidden.var() + 1e-6) * array(layer.norm.weight) + array(layer.norm.bias)
        out[:, y, column] = x[:, y, column] + pointwise(layer.reduce, hidden)
    return out


def shaken(layer: torch.nn.Module) -> torch.nn.Module:
    """Every parameter and statistic away from its start, in double precision, in evaluation mode."""
    generator = torch.Generator().manual_seed(5)
    for one in [
        *layer.parameters(),
        *(norm.running_mean for norm in layer.modules() if isinstance(norm, torch.nn.BatchNorm2d)),
    ]:
        one.data += 0.3 * torch.randn(one.shape, generator=generator)
    return layer.double().eval()


@pytest.mark.parametrize("norm", ["position", "batch"])
def test_coordinate_attention_is_its_twin(norm):
    layer, x = shaken(CoordinateAttention(6, norm=norm)), random(2, 6, 5, 4)
    got = layer(x).detach()
    for sample in range(2):
        np.testing.assert_allclose(got[sample], coordinates_twin(layer, x[sample].numpy()), atol=1e-10)
    assert gradcheck(layer, random(1, 6, 2, 3).requires_grad_())


def test_coordinate_attention_of_another_image_changes_nothing_by_position():
    for norm, apart in (("position", True), ("batch", False)):
        layer, x = CoordinateAttention(6, norm=norm).double().train(), random(3, 6, 4, 4)
        assert torch.allclose(layer(x)[:1], layer(x[:1])) == apart


def test_adaconv_is_its_twin():
    layer, x = shaken(AdaConv(4, expansion=2)), random(2, 4, 5, 3)
    got = layer(x).detach()
    for sample in range(2):
        np.testing.assert_allclose(got[sample], adaconv_twin(layer, x[sample].numpy()), atol=1e-9)


RELEASED = {
    "depthwise": "dwconv",
    "coordinates.squeeze": "coordatten.conv1",
    "coordinates.norm": "coordatten.bn1",
    "coordinates.of_rows": "coordatten.conv_h",
    "coordinates.of_columns": "coordatten.conv_w",
    "norm": "norm",
    "expand": "pwconv1",
    "reduce": "pwconv2",
}


def test_released_adaconv_equals_the_recording(parity):
    recorded = parity("mat_adablock")
    state = {"gain": recorded["w.gamma"].view(-1, 1, 1)}
    for here, there in RELEASED.items():
        for key in (key for key in recorded if key.rpartition(".")[0] == f"w.{there}"):
            state[f"{here}.{key.rpartition('.')[2]}"] = recorded[key]
    layer = AdaConv(8, released=True).eval()
    for name, own in layer.state_dict().items():  # pointwise: linear there, 1 × 1 here
        state[name] = state[name].view(own.shape)
    layer.load_state_dict(state)
    change, expected = layer(recorded["x"]) - recorded["x"], recorded["out"] - recorded["x"]
    torch.testing.assert_close(change, expected, atol=5e-7, rtol=0)
    assert expected.abs().max() > 0.04


@pytest.mark.parametrize("kind", [AdaConv, FeedForward])
def test_augmentation_sees_its_context_or_does_not(kind):
    """One position moves: AdaConv answers around it, and in the rows and columns of that; a feed-forward only there."""
    layer, x = kind(8).eval(), random(1, 8, 16, 16).float()
    other = x.clone()
    other[..., 8, 8] += 1
    change = (layer(other) - layer(x)).abs().sum(1)[0].detach()
    assert change[8, 8] > 1e-3
    assert (change[6, 6] > 1e-6) == (kind is AdaConv)
    assert change[0, 0] == 0


def adain_block_twin(layer: AdaINBlock, x: torch.Tensor, said: torch.Tensor | None) -> torch.Tensor:
    """said: what the linear layer made of the style code."""
    if said is None:
        mean, deviation = torch.zeros(x.shape[:2]).double(), torch.ones(x.shape[:2]).double()
    else:
        mean, deviation = said[:, :4], 1 + said[:, 4:]

    def styled(feature: torch.Tensor) -> torch.Tensor:
        centred = feature - feature.mean((2, 3), keepdim=True)
        unit = centred / (feature.var((2, 3), keepdim=True) + 1e-5).sqrt()
        return unit * deviation[..., None, None] + mean[..., None, None]

    inside = styled(F.conv2d(x, layer.convs[0].weight, padding=1))
    inside = torch.where(inside > 0, inside, 0.2 * inside)
    return x + styled(F.conv2d(inside, layer.convs[1].weight, padding=1))


@pytest.mark.parametrize("style", [5, None])
def test_adain_block_is_its_twin(style):
    layer, x, z = shaken(AdaINBlock(4, style)), random(2, 4, 6, 5), random(2, 5, seed=1)
    heard = []
    if style:
        layer.modulate.register_forward_hook(lambda _, given, said: heard.append(said))
    got = layer(x, z)
    torch.testing.assert_close(got, adain_block_twin(layer, x, heard[0] if heard else None))
    assert torch.equal(layer(x, z), layer(x, -z)) == (style is None)


def test_adain_gives_the_released_residual_block(parity):
    """Built from `adain`, as the released block is: reflected border, ReLU, biased variance, the deviation itself predicted."""
    recorded = parity("mat_adain_resblock")
    x = recorded["x"]
    deviation, mean = F.linear(recorded["z"], recorded["w.styleModulator.weight"], recorded["w.styleModulator.bias"]).chunk(
        2, 1
    )
    positions = x[0, 0].numel()
    unbiased = (positions / (positions - 1)) ** 0.5

    def step(feature: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        feature = F.conv2d(F.pad(feature, (1, 1, 1, 1), mode="reflect"), weight)
        return adain(feature, mean, deviation * unbiased)

    got = x + step(step(x, recorded["w.conv1.weight"]).relu(), recorded["w.conv2.weight"])
    torch.testing.assert_close(got, recorded["out"], atol=1e-4, rtol=0)


@pytest.mark.parametrize("form", ["cosine", "mass", "printed"])
@pytest.mark.parametrize("matching", ["masked", "unmasked", "full"])
def test_a_block_is_equations_1_to_6(form, matching):
    """Written out once more: centred cosine, mask, softmax, SPADE where nothing was found, PONO of the sum, augmentation."""
    block = MATBlock(8, 3, 8, 100.0, form, matching, "adaconv").double().eval()
    x, y, condition, exemplar = (random(2, *shape, seed=sum(shape)) for shape in ((8, 4, 5), (8, 3, 4), (3, 16, 20), (3, 3, 4)))
    of_x, of_y = (position_encoding(8, size, x) for size in ((4, 5), (3, 4)))
    got, links = block(x, y, of_x, of_y, condition, exemplar, record=True)
    query, key = block.query(x + of_x), block.key(y + of_y)
    score = cosine_score(normalise(query), normalise(key))
    if matching == "masked":
        weight = masked_weight(score, 100.0, form)
        share = reliable_share(score, weight, form)
    else:
        weight = torch.softmax(100 * score, dim=-1)
        share = (weight * score).sum(-1)
    torch.testing.assert_close(links.score, score)
    torch.testing.assert_close(links.weight, weight)
    torch.testing.assert_close(links.reliable.flatten(1), share)
    gathered = torch.einsum("bqk,bck->bcq", weight, block.value(y).flatten(2)).unflatten(2, (4, 5))
    torch.testing.assert_close(links.warp.flatten(2), torch.einsum("bqk,bck->bcq", weight, exemplar.flatten(2)))
    if matching == "full":
        expected = positional_norm(gathered + query)
    else:
        unmatched = (1 - share).unflatten(1, (4, 5))[:, None] * block.modulate(query, condition)
        expected = block.augment(positional_norm(gathered + unmatched + query))
    torch.testing.assert_close(got, expected)


def test_style_codes_are_unit_vectors_of_means():
    layer = StyleCode((3, 4), 6).double()
    features = [random(2, 3, 6, 6), random(2, 4, 3, 3, seed=1)]
    code = layer(features)
    torch.testing.assert_close(code.norm(dim=1), torch.ones(2).double())
    order = random(36).argsort()
    moved = [features[0].flatten(2)[..., order].unflatten(2, (6, 6)), features[1].flip(2, 3)]
    torch.testing.assert_close(layer(moved), code)
    wider = features[0] + 3 * (features[0] - features[0].mean((2, 3), keepdim=True))
    torch.testing.assert_close(layer([wider, features[1]]), code)
    assert not torch.allclose(layer([2 * features[0], features[1]]), code)


def test_negatives_stay_when_the_queue_moves_on():
    queue = StyleQueue(2, 3)
    queue.push(torch.ones(2, 3), early=False)
    anchor = torch.ones(1, 3, requires_grad=True)
    loss = (anchor @ queue.negatives().T).sum()
    queue.push(torch.zeros(2, 3), early=False)
    loss.backward()
    assert torch.equal(anchor.grad, torch.full((1, 3), 2.0))
