"""Feature extractors: names, strides, weights that are the same everywhere, the right file of them, and a usable distance."""

import hashlib
import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck

from exemplar_lab.losses.contextual import CONTEXTUAL_WEIGHTS, contextual
from exemplar_lab.losses.perceptual import FEATURE_WEIGHTS, feature_matching
from exemplar_lab.nn import features as features_module
from exemplar_lab.nn.features import FixedFeatures, VGG19Features, features, load_vgg19

FIVE = tuple(FEATURE_WEIGHTS)
SMALL = (16, 4, 4, 4, 4)


@pytest.fixture(scope="module")
def fixed() -> FixedFeatures:
    return features("fixed")


def picture(size: int = 64) -> torch.Tensor:
    """A disc, stripes and a colour gradient."""
    y, x = torch.meshgrid(torch.linspace(0, 1, size), torch.linspace(0, 1, size), indexing="ij")
    ground = torch.stack([x, 0.4 + 0 * x, 1 - y])
    stripes = (0.5 + 0.5 * torch.sin(40 * (x + 0.5 * y))).expand(3, -1, -1)
    image = torch.where(y > 0.6, stripes, ground)
    disc = (x - 0.4) ** 2 + (y - 0.35) ** 2 < 0.05
    return torch.where(disc, torch.tensor([0.9, 0.3, 0.1])[:, None, None], image)[None]


# The network without a download


def test_layers_have_the_names_and_strides_of_vgg(fixed):
    found = fixed(torch.rand(2, 3, 64, 48), FIVE)
    assert list(found) == list(FIVE)
    assert [tuple(one.shape) for one in found.values()] == [
        (2, width, 64 // stride, 48 // stride) for width, stride in zip((16, 48, 96, 128, 128), (1, 2, 4, 8, 16), strict=True)
    ]
    assert set(CONTEXTUAL_WEIGHTS) <= set(fixed.layers)


def test_weights_are_the_same_on_every_machine_and_leave_the_random_state_alone(fixed):
    before = torch.get_rng_state()
    again = FixedFeatures()
    assert torch.equal(torch.get_rng_state(), before)
    digest = hashlib.sha256()
    for one, other in zip(fixed.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
        digest.update(one.numpy().tobytes())
    assert fixed.name == "fixed-seed-v1"
    assert digest.hexdigest() == "027328f1872e99466682787c3a0cb665a38d08ff2890d4c9425ff36b8aca5d50", (
        "other weights must bear another name"
    )


def test_first_activations_by_hand():
    """Normalisation, filters, ReLU, borders and averaging, in NumPy and float64."""
    network = FixedFeatures(SMALL).double()
    image = torch.rand(1, 3, 6, 4, dtype=torch.float64)

    def convolution(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
        x = np.pad(x, ((0, 0), (1, 1), (1, 1)), mode="edge")
        out = np.zeros((len(weight), x.shape[1] - 2, x.shape[2] - 2))
        for o, i, j in np.ndindex(*out.shape):
            out[o, i, j] = max(0, (weight[o] * x[:, i : i + 3, j : j + 3]).sum())
        return out

    first, second, third = (m.weight.numpy() for m in list(network.features)[0:6] if isinstance(m, torch.nn.Conv2d))
    x = (image[0].numpy() - np.array([0.485, 0.456, 0.406])[:, None, None]) / np.array([0.229, 0.224, 0.225])[:, None, None]
    one = convolution(x, first)
    two = convolution(one, second)
    three = convolution(two.reshape(len(two), 3, 2, 2, 2).mean((2, 4)), third)
    found = network(image, ("relu1_1", "relu1_2", "relu2_1"))
    for got, expected in zip(found.values(), (one, two, three), strict=True):
        np.testing.assert_allclose(got[0].numpy(), expected, atol=1e-6)


def test_only_the_image_learns(fixed):
    image = torch.rand(1, 3, 32, 32, requires_grad=True)
    assert not any(parameter.requires_grad for parameter in fixed.parameters())
    sum(one.mean() for one in fixed(image, FIVE).values()).backward()
    assert torch.isfinite(image.grad).all() and (image.grad.abs().amax((0, 1)) > 0).all()


def test_gradient_with_respect_to_the_image():
    network = FixedFeatures(SMALL).double()
    image = torch.rand(1, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x: tuple(network(x, ("relu1_2", "relu4_2")).values()), image)


def test_nothing_deeper_than_asked_is_computed(fixed):
    calls = []
    convolutions = [module for module in fixed.features if isinstance(module, torch.nn.Conv2d)]
    handles = [module.register_forward_hook(lambda *_: calls.append(1)) for module in convolutions]
    fixed(torch.rand(1, 3, 16, 16), ("relu2_1",))
    for handle in handles:
        handle.remove()
    assert len(calls) == 3


def test_features_do_not_tell_where_they_are(fixed):
    """No border effect: one colour gives one feature, at every layer."""
    plain = torch.tensor([0.2, 0.7, 0.4]).view(1, 3, 1, 1).expand(1, 3, 64, 64)
    for one in fixed(plain, FIVE).values():
        torch.testing.assert_close(one, one[..., :1, :1].expand_as(one), atol=1e-4, rtol=1e-4)


def test_activations_keep_their_size_through_the_layers(fixed):
    for one in fixed(picture(), FIVE).values():
        assert 0.1 < one.mean() < 2


@pytest.mark.parametrize("size", [(16, 16), (16, 64), (33, 47)])
def test_small_and_odd_images(fixed, size):
    deepest = fixed(torch.rand(1, 3, *size), FIVE)["relu5_2"]
    assert deepest.shape[-2:] == (size[0] // 16, size[1] // 16)


def test_too_small_an_image_and_unknown_layers_are_named(fixed):
    with pytest.raises(ValueError, match=r"\(15, 40\).*relu5_2.*16 × 16"):
        fixed(torch.rand(1, 3, 15, 40), FIVE)
    with pytest.raises(ValueError, match=r"relu3_4.*fixed-seed-v1 has only relu1_1"):
        fixed(torch.rand(1, 3, 32, 32), ("relu3_4",))
    with pytest.raises(ValueError, match=r"'vgg16'.*fixed, lab, vgg19"):
        features("vgg16")
    with pytest.raises(ValueError, match="vgg19"):
        features("fixed", "weights.pth")


# A distance to use


def distance(fixed: FixedFeatures, image: torch.Tensor, other: torch.Tensor) -> float:
    return feature_matching(fixed(other, FIVE), fixed(image, FIVE), FEATURE_WEIGHTS).item()


def blurred(image: torch.Tensor, sigma: float) -> torch.Tensor:
    reach = int(3 * sigma + 1)
    bell = torch.exp(-(torch.arange(-reach, reach + 1.0) ** 2) / (2 * sigma**2))
    kernel = (bell / bell.sum()).outer(bell / bell.sum()).expand(3, 1, -1, -1)
    return F.conv2d(F.pad(image, (reach,) * 4, mode="replicate"), kernel, groups=3)


def noisy(image: torch.Tensor, strength: float) -> torch.Tensor:
    return image + strength * torch.randn(image.shape, generator=torch.Generator().manual_seed(0))


def shifted(image: torch.Tensor, pixels: int) -> torch.Tensor:
    return F.pad(image, (pixels, 0, 0, 0), mode="replicate")[..., : image.shape[-1]]


@pytest.mark.parametrize(
    ("distort", "strengths"),
    [
        (blurred, (0.5, 1.0, 2.0, 4.0)),
        (noisy, (0.02, 0.05, 0.1, 0.2)),
        (shifted, (1, 2, 4, 8)),
        (lambda x, s: x * (1 - s), (0.05, 0.1, 0.2, 0.4)),
    ],
    ids=["blur", "noise", "shift", "dark"],
)
def test_distance_grows_with_the_distortion(fixed, distort, strengths):
    image = picture()
    distances = [distance(fixed, image, image), *(distance(fixed, image, distort(image, s)) for s in strengths)]
    assert distances[0] == 0
    assert all(a < b for a, b in itertools.pairwise(distances)), distances


def test_distance_forgives_what_pixels_do_not(fixed):
    """A shift by one pixel costs more than a blur in pixels, and less in features."""
    image = picture()
    pixels = [(image - other).abs().mean().item() for other in (shifted(image, 1), blurred(image, 1.5))]
    felt = [distance(fixed, image, other) for other in (shifted(image, 1), blurred(image, 1.5))]
    assert felt[0] / pixels[0] < felt[1] / pixels[1]


@pytest.mark.parametrize("layer", ["relu2_2", "relu3_2", "relu4_2"])
def test_contextual_prefers_the_right_look_in_the_wrong_place(fixed, layer):
    """A mirrored copy has the look of the exemplar; the same structure in other colours has not."""
    image = picture()
    exemplar, mirrored, recoloured = (fixed(x, (layer,))[layer] for x in (image, image.flip(3), image[:, [2, 0, 1]]))
    assert contextual(mirrored, exemplar) < contextual(recoloured, exemplar)


# VGG-19


def test_vgg19_has_the_structure_and_names_of_torchvision():
    network = VGG19Features()
    assert network.name == "vgg19-imagenet"
    widths = [64] * 2 + [128] * 2 + [256] * 4 + [512] * 8
    places = [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34]
    expected = {}
    for place, inside, outside in zip(places, [3, *widths], widths, strict=False):
        expected |= {f"features.{place}.weight": (outside, inside, 3, 3), f"features.{place}.bias": (outside,)}
    assert {name: tuple(value.shape) for name, value in network.state_dict().items()} == expected
    image = torch.rand(1, 3, 32, 32)
    found = network(image, ("relu4_2", "relu1_2"))
    normalised = (image - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    torch.testing.assert_close(found["relu4_2"], network.features[:23](normalised))
    torch.testing.assert_close(found["relu1_2"], network.features[:4](normalised))
    assert not any(parameter.requires_grad for parameter in network.parameters())


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory):
    """A file in torchvision's layout and old format, whose hash is then taken for the right one."""
    folder = tmp_path_factory.mktemp("vgg")
    state = VGG19Features().state_dict() | {"classifier.0.weight": torch.zeros(3, 2)}
    torch.save(state, folder / "vgg19.pth", _use_new_zipfile_serialization=False)
    return folder / "vgg19.pth", state


@pytest.fixture
def right_hash(weights_file, monkeypatch):
    digest = hashlib.sha256(weights_file[0].read_bytes()).hexdigest()
    monkeypatch.setattr(features_module, "VGG19_SHA256_PREFIX", digest[:8])
    monkeypatch.delenv("EXEMPLAR_LAB_VGG19", raising=False)


def test_vgg19_is_read_from_the_given_file(weights_file, right_hash):
    path, state = weights_file
    network = features("vgg19", path)
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_vgg19_is_read_from_the_file_named_by_the_environment(weights_file, right_hash, monkeypatch):
    monkeypatch.setenv("EXEMPLAR_LAB_VGG19", str(weights_file[0]))
    assert torch.equal(load_vgg19().features[0].bias, weights_file[1]["features.0.bias"])


def test_vgg19_is_downloaded_once(weights_file, right_hash, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(features_module, "VGG19_URL", weights_file[0].as_uri())
    load_vgg19()
    monkeypatch.setattr(features_module, "VGG19_URL", "file:///nowhere/vgg19.pth")
    load_vgg19()
    assert [file.name for file in tmp_path.rglob("*.*")] == ["vgg19.pth"]


def test_a_damaged_download_leaves_nothing_behind(weights_file, monkeypatch, tmp_path):
    monkeypatch.delenv("EXEMPLAR_LAB_VGG19", raising=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(features_module, "VGG19_URL", weights_file[0].as_uri())
    with pytest.raises(ValueError, match="damaged.*try again"):
        load_vgg19()
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


def test_without_file_and_network_the_way_out_is_named(monkeypatch, tmp_path):
    monkeypatch.delenv("EXEMPLAR_LAB_VGG19", raising=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(features_module, "VGG19_URL", "file:///nowhere/vgg19.pth")
    with pytest.raises(FileNotFoundError, match="EXEMPLAR_LAB_VGG19.*'fixed'"):
        load_vgg19()
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


def test_another_a_truncated_and_a_missing_file_are_refused(weights_file, right_hash, tmp_path):
    truncated = tmp_path / "vgg19-dcbb9e9d.pth"
    truncated.write_bytes(weights_file[0].read_bytes()[:-100])
    foreign = tmp_path / "notes.txt"
    foreign.write_text("no weights")
    for path in (truncated, foreign):
        with pytest.raises(ValueError, match=f"{path.name}.*SHA-256.*truncated or another file"):
            load_vgg19(path)
    with pytest.raises(FileNotFoundError, match=r"missing\.pth"):
        load_vgg19(tmp_path / "missing.pth")
