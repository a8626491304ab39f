"""Semantic, colour and texture consistency: as the released code computes them, with features repeated pixel by pixel."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.autograd import gradcheck

from exemplar_lab.metrics.regions import (
    COLOUR_LAYER,
    REGION_SIDE,
    SEMANTIC_LAYERS,
    TEXTURE_LAYER,
    colour_consistency,
    region_labels,
    resized,
    semantic_consistency,
    texture_consistency,
)

few = settings(max_examples=25)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def labels(*shape: int, seed: int = 0, highest: int = 4) -> torch.Tensor:
    return torch.randint(highest + 1, shape, generator=torch.Generator().manual_seed(seed))


def maps(seed: int, batch: int = 2, side: int = 16) -> dict[str, torch.Tensor]:
    """The layers used here, half as large from stage to stage."""
    layers = (COLOUR_LAYER, TEXTURE_LAYER, *SEMANTIC_LAYERS)
    return {name: random(batch, 3 + i, side >> i, side >> i, seed=seed + i).relu() for i, name in enumerate(layers)}


def repeated(array: np.ndarray, height: int, width: int) -> np.ndarray:
    """Nearest neighbour, one pixel after the other."""
    out = np.empty((*array.shape[:-2], height, width), array.dtype)
    for y, x in np.ndindex(height, width):
        out[..., y, x] = array[..., int((y + 0.5) * array.shape[-2] / height), int((x + 0.5) * array.shape[-1] / width)]
    return out


def twin(one, other, label_one, label_other, least: int) -> float:
    """One layer of one pair. Features and labels are repeated to the larger of the two."""
    sides = []
    for feature, label in ((one.numpy(), label_one.numpy()), (other.numpy(), label_other.numpy())):
        size = [max(feature.shape[1 + axis], label.shape[axis]) for axis in (0, 1)]
        sides.append((repeated(feature, *size), repeated(label, *size), label))
    total, area = 0.0, 0
    for name in range(least, 300):
        inside = [label == name for _, label, _ in sides]
        if all(each.any() for each in inside):
            a, b = (feature[:, where].mean(1) for (feature, _, _), where in zip(sides, inside, strict=True))
            count = (sides[0][2] == name).sum()
            lengths = np.linalg.norm(a) * np.linalg.norm(b)
            total += count * ((a @ b) / lengths if lengths > 0 else 0)
            area += count
    return total / area if area else np.nan


def test_equals_the_recording(parity):
    recorded = parity("eval_region_cosine")
    one, other = recorded["f1"][None], recorded["f2"][None]
    label_one, label_other = recorded["label1"].int(), recorded["label2"].int()
    style = colour_consistency({COLOUR_LAYER: one}, {COLOUR_LAYER: other}, label_one, label_other)
    assert style.item() == pytest.approx(recorded["out_style"].item(), abs=1e-6)
    deeper = texture_consistency({TEXTURE_LAYER: one}, {TEXTURE_LAYER: other}, label_one, label_other)
    assert deeper.item() == style.item()
    semantic = semantic_consistency(dict.fromkeys(SEMANTIC_LAYERS, one), dict.fromkeys(SEMANTIC_LAYERS, other), label_one)
    assert semantic.item() == pytest.approx(recorded["out_semantic"].item(), abs=1e-6)


@pytest.mark.parametrize("side", [16, 32, 8, 4, 2])
def test_semantic_is_its_twin_with_labels_finer_and_coarser_than_the_maps(side):
    one, other, label = maps(0), maps(50), labels(2, side, side)
    got = semantic_consistency(one, other, label)
    for sample in range(2):
        layers = "relu3_2", "relu4_2", "relu5_2"
        of_layers = [twin(one[name][sample], other[name][sample], label[sample], label[sample], 0) for name in layers]
        assert got[sample].item() == pytest.approx(np.mean(of_layers), abs=1e-12)


@pytest.mark.parametrize(("function", "layer"), [(colour_consistency, COLOUR_LAYER), (texture_consistency, TEXTURE_LAYER)])
def test_style_is_its_twin_with_labels_that_only_one_has(function, layer):
    one, other = maps(0), maps(50)
    label_one, label_other = labels(2, 32, 16, highest=3), labels(2, 8, 8, seed=1) + 1
    label_one[0][label_one[0] == 2] = 7
    got = function(one, other, label_one, label_other)
    for sample in range(2):
        expected = twin(one[layer][sample], other[layer][sample], label_one[sample], label_other[sample], 1)
        assert got[sample].item() == pytest.approx(expected, abs=1e-12)
    assert got.isfinite().all()


@few
@given(st.integers(1, 7), st.integers(1, 7), st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**20))
def test_counting_pixels_in_cells_is_repeating_the_map_at_any_two_sizes(h, w, label_h, label_w, seed):
    one, other = random(1, 3, h, w, seed=seed), random(1, 3, w, h, seed=seed + 1)
    label_one, label_other = (
        labels(1, label_h, label_w, seed=seed, highest=2),
        labels(1, label_w, label_h, seed=seed + 1, highest=2),
    )
    got = colour_consistency({COLOUR_LAYER: one}, {COLOUR_LAYER: other}, label_one, label_other).item()
    assert got == pytest.approx(twin(one[0], other[0], label_one[0], label_other[0], 1), abs=1e-12, nan_ok=True)


def test_repeating_is_what_torch_does_to_features_and_pillow_to_labels():
    """The two sizes of the released code: features of VGG at 256², label maps of any size at 256²."""
    feature, label = random(1, 5, 16, 16), labels(1, 100, 150, highest=5)
    at_256 = F.interpolate(feature, (256, 256), mode="nearest")
    np.testing.assert_array_equal(repeated(feature.numpy(), 256, 256), at_256)
    small = torch.from_numpy(np.array(Image.fromarray(label[0].numpy().astype(np.uint8)).resize((256, 256), Image.NEAREST)))
    np.testing.assert_array_equal(repeated(label[0].numpy(), 256, 256), small)
    args = {COLOUR_LAYER: at_256}, {COLOUR_LAYER: at_256.flip(3)}, small[None].long(), small[None].long().flip(2)
    big = {COLOUR_LAYER: random(1, 5, 256, 256)}
    torch.testing.assert_close(
        colour_consistency({COLOUR_LAYER: feature}, {COLOUR_LAYER: feature.flip(3)}, *args[2:]), colour_consistency(*args)
    )
    torch.testing.assert_close(colour_consistency(big, big, label, label), torch.ones(1, dtype=torch.float64))


@few
@given(st.integers(0, 2**20), st.permutations(range(1, 6)))
def test_regions_alike_give_one_and_names_do_not_matter(seed, names):
    one, label = maps(seed), labels(2, 16, 16, seed=seed)
    flat = {}
    for layer, feature in one.items():
        mean = torch.stack([random(feature.shape[1], seed=name).abs() for name in range(5)], dim=1)
        at_side = label[:, :: 16 // feature.shape[2], :: 16 // feature.shape[2]]
        flat[layer] = mean[:, at_side].movedim(0, 1)
    moved = {layer: feature.flip(2) for layer, feature in flat.items()}
    torch.testing.assert_close(colour_consistency(flat, moved, label, label.flip(1)), torch.ones(2, dtype=torch.float64))
    other, other_label = maps(seed + 9), labels(2, 8, 8, seed=seed + 1)
    renamed = torch.tensor(names)
    expected, got = (semantic_consistency(one, other, each) for each in (label, renamed[label]))
    torch.testing.assert_close(got, expected)
    expected = texture_consistency(one, other, label + 1, other_label + 1)
    torch.testing.assert_close(texture_consistency(one, other, renamed[label], renamed[other_label]), expected)
    assert (expected >= 0).all() and (expected <= 1 + 1e-9).all()
    torch.testing.assert_close(semantic_consistency(other, one, label), semantic_consistency(one, other, label))


def test_background_has_meaning_and_no_style():
    one, other, label = maps(0), maps(50), labels(2, 16, 16, highest=1)
    changed = {
        layer: torch.where(F.interpolate(label[:, None].double(), x.shape[-2:]) > 0, x, x + 3) for layer, x in one.items()
    }
    before = colour_consistency(one, other, label, label)
    torch.testing.assert_close(colour_consistency(changed, other, label, label), before)
    assert (semantic_consistency(changed, other, label) - semantic_consistency(one, other, label)).abs().min() > 1e-3


def test_weight_is_the_area_in_the_image_and_not_in_the_exemplar():
    """Label 1 has the same feature on both sides, label 2 features at right angles."""
    feature = torch.zeros(1, 2, 2, 4)
    label_one, label_other = torch.tensor([[[1, 1, 1, 2], [1, 1, 1, 2]]]), torch.tensor([[[1, 2, 2, 2], [1, 2, 2, 2]]])
    one, other = feature.clone(), feature.clone()
    one[0, 0] = 1
    other[0, 0], other[0, 1] = (label_other[0] == 1).float(), (label_other[0] == 2).float()
    got = colour_consistency({COLOUR_LAYER: one}, {COLOUR_LAYER: other}, label_one, label_other)
    assert got.item() == pytest.approx(0.75)


def test_nothing_in_common_is_not_a_number_for_that_pair_alone():
    one, other, label = maps(0), maps(50), labels(2, 16, 16)
    lonely = label.clone()
    lonely[0] += 10
    got = texture_consistency(one, other, label, lonely)
    assert got.isnan().tolist() == [True, False]
    only_background = torch.zeros_like(label)
    assert colour_consistency(one, other, only_background, only_background).isnan().all()
    dark = {layer: torch.zeros_like(feature) for layer, feature in one.items()}
    assert semantic_consistency(dark, other, label).tolist() == [0, 0]


def test_half_precision_is_averaged_in_single():
    """65 536 times 4 is beyond float16."""
    bright, label = (
        {COLOUR_LAYER: torch.full((1, 2, 256, 256), 4.0, dtype=torch.float16)},
        torch.ones(1, 64, 64, dtype=torch.int32),
    )
    assert colour_consistency(bright, bright, label, label).item() == pytest.approx(1, abs=1e-6)


def test_gradients():
    label_one, label_other = labels(1, 4, 4, highest=2), labels(1, 2, 2, seed=3, highest=2)
    one, other = random(1, 3, 2, 2).requires_grad_(), random(1, 3, 4, 4, seed=1).requires_grad_()
    assert gradcheck(
        lambda a, b: colour_consistency({COLOUR_LAYER: a}, {COLOUR_LAYER: b}, label_one, label_other + 1), (one, other)
    )


def test_images_are_resized_as_pillow_does():
    image = torch.rand(1, 3, 90, 70)
    for side in (48, 128):
        expected = [np.array(Image.fromarray(channel).resize((side, side), Image.BILINEAR)) for channel in image[0].numpy()]
        np.testing.assert_allclose(resized(image, side)[0], np.stack(expected), atol=1e-5)
    already = torch.rand(1, 3, REGION_SIDE, REGION_SIDE)
    assert resized(already) is already


def test_refuses_labels_below_nought():
    one, part = maps(0), labels(2, 16, 16) - 1
    with pytest.raises(ValueError, match="got the label -1, expected labels from 0 up"):
        semantic_consistency(one, one, part)
    torch.testing.assert_close(semantic_consistency(one, one, region_labels(part)), torch.ones(2, dtype=torch.float64))
