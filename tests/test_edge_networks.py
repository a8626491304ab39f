"""Edges with a gradient: Canny's steps made soft against loops in NumPy and Canny itself; HED by the layout of its weights."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch.autograd import gradcheck

from exemplar_lab.data.edges import canny_edges
from exemplar_lab.nn.edges import HED_VARIABLE, edge_network
from exemplar_lab.nn.features import features
from exemplar_lab.ops.edges import FAINT, sobel, soft_edges, steepest, thinned

few = settings(max_examples=20)
seeds = st.integers(0, 2**20)


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def step(height: float, side: int = 48) -> torch.Tensor:
    image = torch.full((1, 3, side, side), 0.2, dtype=torch.float64)
    image[..., side // 2 :] += height
    return image


def at(array: np.ndarray, y: int, x: int) -> float:
    """The border is repeated."""
    return array[min(max(y, 0), array.shape[0] - 1), min(max(x, 0), array.shape[1] - 1)]


def edges_twin(image: np.ndarray, sigma: float, threshold: float, crispness: float, tie: float) -> np.ndarray:
    """One image, c h w, by the definitions: Gaussian, Sobel, structure tensor, crests of four directions, threshold."""
    channels, height, width = image.shape
    reach = max(1, round(3 * sigma))
    offsets = range(-reach, reach + 1)
    bell = np.exp(-np.array([one**2 for one in offsets]) / (2 * sigma**2))
    bell /= bell.sum()
    gain = 2 / (bell[reach] + bell[reach + 1])
    strength, shares = np.zeros((height, width)), np.zeros((4, height, width))
    smooth = np.zeros_like(image)
    for c, y, x in np.ndindex(*image.shape):
        smooth[c, y, x] = sum(
            bell[i] * bell[j] * at(image[c], y + dy, x + dx) for i, dy in enumerate(offsets) for j, dx in enumerate(offsets)
        )
    directions = [np.array(one) / np.linalg.norm(one) for one in ((1, 0), (1, 1), (0, 1), (-1, 1))]
    for y, x in np.ndindex(height, width):
        tensor = np.zeros((2, 2))
        for channel in smooth:
            slope = [0.0, 0.0]
            for far, weight in ((-1, 1), (0, 2), (1, 1)):
                slope[0] += weight * (at(channel, y + far, x + 1) - at(channel, y + far, x - 1)) / 8
                slope[1] += weight * (at(channel, y + 1, x + far) - at(channel, y - 1, x + far)) / 8
            tensor += gain**2 * np.outer(slope, slope) / channels
        tensor += np.eye(2) * FAINT**2 / 2
        strength[y, x] = np.sqrt(np.trace(tensor)) - FAINT
        share = np.array([(u @ tensor @ u / np.trace(tensor)) ** 4 for u in directions])
        shares[:, y, x] = share / share.sum()
    edges = np.zeros((height, width))
    sharpness = crispness * 4 * (sigma**2 + 0.5)
    for y, x in np.ndindex(height, width):
        for k, (dx, dy) in enumerate(((1, 0), (1, 1), (0, 1), (-1, 1))):
            crest = 1.0
            for sign in (1, -1):
                m, n = strength[y, x], at(strength, y + sign * dy, x + sign * dx)
                crest /= 1 + np.exp(-sharpness * (m - n) / (m + n + FAINT) - tie)
            edges[y, x] += shares[k, y, x] * crest
        square = strength[y, x] ** 2
        edges[y, x] *= square / (square + threshold**2)
    return edges


@pytest.mark.parametrize("given_", [(1.0, 0.1, 3.0, 1.0), (0.6, 0.3, 1.0, 0.0)])
def test_soft_edges_are_their_twin(given_):
    image = noise(2, 3, 9, 7)
    got = soft_edges(image, *given_)
    for sample in range(2):
        np.testing.assert_allclose(got[sample, 0], edges_twin(image[sample].numpy(), *given_), atol=1e-9)
    np.testing.assert_allclose(soft_edges(image.float(), *given_), got, atol=2e-6)


def test_gradients_of_soft_edges():
    image = noise(1, 3, 5, 4).requires_grad_()
    assert gradcheck(soft_edges, image)
    slopes = noise(1, 2, 2, 3, 3, seed=4).sub(0.5).requires_grad_()
    assert gradcheck(steepest, slopes)
    strength, along = noise(1, 1, 4, 3).requires_grad_(), noise(1, 4, 4, 3, seed=1).requires_grad_()
    assert gradcheck(lambda *both: thinned(*both, sharpness=5.0, tie=0.5), (strength, along))


def test_sobel_of_a_slope_is_the_slope():
    y, x = torch.meshgrid(torch.arange(6.0), torch.arange(7.0), indexing="ij")
    slopes = sobel(torch.stack([0.3 * x - 0.2 * y, 5 * y])[None])
    inner = slopes[0, ..., 1:-1, 1:-1].mean((2, 3))
    torch.testing.assert_close(inner, torch.tensor([[0.3, -0.2], [0, 5.0]]), atol=1e-5, rtol=0)


@pytest.mark.parametrize("channels", [1, 2])
def test_directions_are_those_of_the_gradient(channels):
    for k, (x, y) in enumerate(((1, 0), (1, 1), (0, 1), (-1, 1))):
        for sign in (1, -1):
            slopes = sign * torch.tensor([x, y], dtype=torch.float64).view(1, 1, 2, 1, 1).expand(1, channels, 2, 1, 1)
            strength, share = steepest(slopes)
            assert strength.item() == pytest.approx((x * x + y * y) ** 0.5, abs=2 * FAINT)
            assert share.argmax().item() == k and share[0, k] > 0.85
            assert share.sum().item() == pytest.approx(1)


@few
@given(seeds, st.floats(-0.3, 0.3), st.floats(-0.3, 0.3))
def test_a_constant_added_to_a_channel_changes_nothing(seed, red, blue):
    image = noise(1, 3, 12, 10, seed=seed)
    other = image + torch.tensor([red, 0.1, blue], dtype=torch.float64).view(3, 1, 1)
    torch.testing.assert_close(soft_edges(other), soft_edges(image), atol=1e-9, rtol=0)


@few
@given(seeds, st.floats(0.5, 2.5))
def test_a_turned_image_has_turned_edges_between_0_and_1(seed, sigma):
    image = noise(1, 3, 12, 12, seed=seed)
    edges = soft_edges(image, sigma)
    assert edges.min() >= 0 and edges.max() <= 1
    for turned in (lambda one: one.flip(3), lambda one: one.rot90(1, (2, 3)), lambda one: one.flip(1)):
        torch.testing.assert_close(soft_edges(turned(image), sigma), turned(edges), atol=1e-9, rtol=0)


@pytest.mark.parametrize("sigma", [0.7, 1.0, 2.0, 3.0])
@pytest.mark.parametrize("height", [0.05, 0.1, 0.4])
def test_threshold_is_the_height_of_a_step_and_lines_are_thin(sigma, height):
    """Two pixels share a step between them: each stays by σ(tie) towards the other and by more towards the outside."""
    tie, row = 4.0, soft_edges(step(height), sigma, threshold=0.1, tie=4.0)[0, 0, 24]
    wanted = height**2 / (height**2 + 0.1**2) * torch.sigmoid(torch.tensor(tie)).item()
    assert row[23].item() == pytest.approx(wanted, rel=0.06)
    assert row[24].item() == pytest.approx(row[23].item(), abs=1e-9)
    usual = soft_edges(step(height), sigma)[0, 0, 24]
    assert usual[22] < 0.35 * usual[23] and usual[:21].max() < 0.1 * usual[23]


def test_edges_of_equal_luminance_are_seen():
    image = torch.zeros(1, 3, 16, 16)
    image[:, 0, :, :8] = 0.5
    image[:, 1, :, 8:] = 0.5 * 0.299 / 0.587
    assert soft_edges(image)[0, 0, 8, 7:9].min() > 0.5


def test_flat_images_have_no_edges_and_no_infinite_gradient():
    flat = torch.full((1, 3, 16, 16), 0.3, requires_grad=True)
    edges = soft_edges(flat)
    assert edges.abs().max() < 1e-6
    (gradient,) = torch.autograd.grad(edges.sum(), flat)
    assert gradient.isfinite().all()
    nearly = (flat.detach() + 0.01 * torch.randn(flat.shape)).requires_grad_()
    (gradient,) = torch.autograd.grad(soft_edges(nearly).sum(), nearly)
    assert gradient.isfinite().all() and gradient.abs().mean() > 1e-3


def test_lines_are_where_canny_has_them():
    image = F.interpolate(noise(4, 1, 8, 8, dtype=torch.float32), (64, 64), mode="nearest").expand(-1, 3, -1, -1)
    soft, hard = edge_network("soft")(image), canny_edges(image)
    near = F.max_pool2d(hard, 3, 1, 1)
    assert soft[hard > 0].mean() > 0.5 and soft[near == 0].mean() < 0.06
    assert (near[soft > 0.5] > 0).float().mean() > 0.9


def test_soft_edges_of_a_larger_image_are_smoothed_more():
    network, small = edge_network("soft"), noise(1, 3, 64, 64, dtype=torch.float32)
    assert network.name == "soft-edges-v1"
    torch.testing.assert_close(network(small), soft_edges(small, sigma=1.0))
    torch.testing.assert_close(
        network(noise(1, 3, 256, 300, dtype=torch.float32)), soft_edges(noise(1, 3, 256, 300, dtype=torch.float32), sigma=2.0)
    )


STAGES = {"One": (64, 2), "Two": (128, 2), "Thr": (256, 3), "Fou": (512, 3), "Fiv": (512, 3)}


@pytest.fixture(scope="module")
def published() -> dict[str, torch.Tensor]:
    """Weights as published, names and shapes, with random numbers for values."""
    generator = torch.Generator().manual_seed(0)

    def layer(out: int, into: int, side: int) -> torch.Tensor:
        return torch.randn(out, into, side, side, generator=generator) * (2 / (into * side * side)) ** 0.5

    weights, into = {}, 3
    for stage, (width, depth) in STAGES.items():
        for place in range(depth):
            key = f"moduleVgg{stage}.{2 * place + (stage != 'One')}"
            weights[f"{key}.weight"], weights[f"{key}.bias"] = layer(width, into, 3), layer(width, 1, 1).flatten() * 0.1
            into = width
        weights[f"moduleScore{stage}.weight"], weights[f"moduleScore{stage}.bias"] = layer(1, width, 1) / 100, torch.ones(1)
    weights["moduleCombine.0.weight"], weights["moduleCombine.0.bias"] = layer(1, 5, 1), torch.full((1,), -0.5)
    return weights


@pytest.fixture(scope="module")
def file(published, tmp_path_factory):
    path = tmp_path_factory.mktemp("hed") / "network-bsds500.pytorch"
    torch.save(published, path)
    return path


def hed_twin(weights: dict[str, torch.Tensor], image: torch.Tensor) -> torch.Tensor:
    """As published: blue, green, red of 0 to 255 without their means, in double precision."""
    weights = {key: value.double() for key, value in weights.items()}
    red, green, blue = image.double().mul(255).unbind(1)
    x = torch.stack([blue - 104.00698793, green - 116.66876762, red - 122.67891434], dim=1)
    sides = []
    for stage, (_, depth) in STAGES.items():
        if stage != "One":
            x = F.max_pool2d(x, 2)
        for place in range(depth):
            key = f"moduleVgg{stage}.{2 * place + (stage != 'One')}"
            x = F.conv2d(x, weights[f"{key}.weight"], weights[f"{key}.bias"], padding=1).relu()
        side = F.conv2d(x, weights[f"moduleScore{stage}.weight"], weights[f"moduleScore{stage}.bias"])
        sides.append(F.interpolate(side, image.shape[-2:], mode="bilinear", align_corners=False))
    return F.conv2d(torch.cat(sides, 1), weights["moduleCombine.0.weight"], weights["moduleCombine.0.bias"]).sigmoid()


def test_hed_is_its_twin(published, file):
    network, image = edge_network("hed", file), noise(2, 3, 20, 36, dtype=torch.float32)
    got = network(image)
    assert network.name == "hed-bsds500" and got.shape == (2, 1, 20, 36)
    assert got.std() > 0.02
    torch.testing.assert_close(got.double(), hed_twin(published, image), atol=1e-4, rtol=0)
    image.requires_grad_()
    network(image).sum().backward()
    assert image.grad.abs().max() > 0 and not any(one.requires_grad for one in network.parameters())


def test_hed_is_found_in_every_form(published, file, tmp_path, monkeypatch):
    image = noise(1, 3, 16, 16, dtype=torch.float32)
    expected = edge_network("hed", file)(image)
    renamed = {key.replace("module", "net"): value for key, value in published.items()}
    save_file(renamed, tmp_path / "hed.safetensors")
    assert torch.equal(edge_network("hed", tmp_path / "hed.safetensors")(image), expected)
    monkeypatch.setenv(HED_VARIABLE, str(file))
    assert torch.equal(edge_network("hed")(image), expected)


def test_edges_feed_the_feature_network(file):
    for network in (edge_network("soft"), edge_network("hed", file)):
        edges = network(noise(2, 3, 32, 32, dtype=torch.float32)).expand(-1, 3, -1, -1)
        assert features("lab")(edges, ("relu1_2",))["relu1_2"].shape[-2:] == (32, 32)


def test_what_is_missing_or_wrong_is_named(published, tmp_path, monkeypatch, unchecked):
    monkeypatch.delenv(HED_VARIABLE, raising=False)
    with pytest.raises(ValueError, match="got the edges 'canny', expected one of soft, hed"):
        edge_network("canny")
    with pytest.raises(ValueError, match="got a weights file 'a' for 'soft', which has none"):
        edge_network("soft", "a")
    with pytest.raises(FileNotFoundError, match=f"got no path for the weights of HED.*fetch http.*set {HED_VARIABLE}"):
        edge_network("hed")
    with pytest.raises(FileNotFoundError, match="got '.*nowhere' for the weights of HED, expected a file that is there"):
        edge_network("hed", tmp_path / "nowhere")

    def refused(content: object, match: str) -> None:
        torch.save(content, tmp_path / "bad")
        with pytest.raises(ValueError, match=match):
            edge_network("hed", tmp_path / "bad")

    light = {key: value for key, value in published.items() if "Fou" not in key and "Fiv" not in key}
    refused(light, "got '.*bad' for the weights of HED.*of 38 tensors 16 are missing, the first of them moduleScoreFiv.bias")
    refused(published | {"classifier": torch.zeros(1)}, "1 tensors too many, the first of them classifier")
    refused(published | {"moduleCombine.0.weight": torch.zeros(1, 4, 1, 1)}, "size mismatch for combine.weight")
    refused([1, 2], "which they are not")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(ValueError, match="which they are not"):
        edge_network("hed", tmp_path / "text")


def test_hed_needs_sixteen_pixels(file):
    with pytest.raises(ValueError, match="too small"):
        edge_network("hed", file)(noise(1, 3, 8, 32, dtype=torch.float32))
