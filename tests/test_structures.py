"""Views: a square of a canvas against a slow twin in double precision, mirrored or not, and the condition of each structure."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from exemplar_lab.data.canvas import Canvas
from exemplar_lab.data.collection import STRUCTURES, Collection, Labels
from exemplar_lab.data.edges import edge_condition
from exemplar_lab.data.part_edges import part_edges
from exemplar_lab.data.pose import KEYPOINTS, pose_maps
from exemplar_lab.data.structures import exchanged, view
from exemplar_lab.ops.edges import soft_edges

FACE = ("background", "skin", "l_eye", "r_eye", "l_lip", "u_lip", "r_ear", "l_ear", "ear_r")
IN_A_MIRROR = ("background", "skin", "r_eye", "l_eye", "l_lip", "u_lip", "l_ear", "r_ear", "ear_r")


def collection(structure: str) -> Collection:
    return Collection(Path(), "made", structure, {}, Labels(FACE) if structure in ("labels", "part edges") else None)


def made(seed: int = 0, size: tuple[int, int] = (37, 52)) -> Canvas:
    random = torch.Generator().manual_seed(seed)
    image = torch.randint(0, 256, (3, *size), generator=random, dtype=torch.uint8)
    labels = torch.randint(-1, len(FACE), size, generator=random).short()
    keypoints = torch.rand(18, 2, generator=random) * torch.tensor([size[1], size[0]])
    keypoints[4] = torch.nan
    return Canvas(image, labels, keypoints)


# A slow twin


def weights(old: int, new: int) -> np.ndarray:
    """Of each old pixel in each new one: a triangle that reaches one pixel, of the larger of the two, to either side."""
    centre = (np.arange(new) + 0.5) * old / new
    reach = max(1.0, old / new)
    weight = np.maximum(0, 1 - np.abs(np.arange(old) + 0.5 - centre[:, None]) / reach)
    return weight / weight.sum(1, keepdims=True)


def twin(canvas: Canvas, window: tuple[int, int, int], size: int, mirrored: bool) -> dict[str, np.ndarray]:
    left, top, side = window
    image = np.zeros((3, side, side))
    labels = np.zeros((side, side), int)
    for y in range(side):
        for x in range(side):
            at = left + (side - 1 - x if mirrored else x)
            image[:, y, x] = canvas.image[:, top + y, at] / 255
            number = int(canvas.labels[top + y, at])
            labels[y, x] = number if number < 0 or not mirrored else FACE.index(IN_A_MIRROR[number])
    shares, part = np.zeros((len(FACE), size, size)), np.zeros((size, size), int)
    for v in range(size):
        for u in range(size):
            part[v, u] = labels[int((v + 0.5) * side / size), int((u + 0.5) * side / size)]
            for y in range(side):
                for x in range(side):
                    down = min((v + 1) / size, (y + 1) / side) - max(v / size, y / side)
                    across = min((u + 1) / size, (x + 1) / side) - max(u / size, x / side)
                    if down > 0 and across > 0 and labels[y, x] >= 0:
                        shares[labels[y, x], v, u] += down * across * size**2
    resized = np.einsum("vy,cyx,ux->cvu", weights(side, size), image, weights(side, size))
    points = np.full((18, 2), np.nan)
    for number, name in enumerate(KEYPOINTS):
        other = name
        if mirrored and name.startswith(("left_", "right_")):
            other = name.replace("left_", "right_") if name.startswith("left_") else name.replace("right_", "left_")
        x, y = canvas.keypoints[KEYPOINTS.index(other)].tolist()
        x, y = (x - left) * size / side, (y - top) * size / side
        points[number] = size - x if mirrored else x, y
    return {"image": resized, "shares": shares, "part": part, "keypoints": points}


@settings(max_examples=40)
@given(st.data(), st.booleans(), st.integers(0, 10**6))
def test_a_view_is_what_its_slow_twin_says(data, mirrored, seed):
    height, width = data.draw(st.integers(5, 14)), data.draw(st.integers(5, 14))
    side = data.draw(st.integers(1, min(height, width)))
    window = data.draw(st.integers(0, width - side)), data.draw(st.integers(0, height - side)), side
    size, canvas = data.draw(st.integers(1, 9)), made(seed, (height, width))
    found, expected = view(collection("labels"), canvas, window, size, mirrored), twin(canvas, window, size, mirrored)
    np.testing.assert_allclose(found.image, expected["image"], atol=2e-6)
    np.testing.assert_allclose(found.condition, expected["shares"], atol=2e-6)
    np.testing.assert_array_equal(found.part, expected["part"])
    np.testing.assert_allclose(found.keypoints, expected["keypoints"], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_a_mirrored_view_is_the_view_of_a_mirrored_canvas(structure):
    canvas, found = made(), collection(structure)
    named = found.labels is not None
    image = canvas.image.flip(-1)
    labels = torch.tensor([*map(FACE.index, IN_A_MIRROR), -1])[canvas.labels.flip(-1).long()].short()
    swapped = ["right" + n[4:] if n[:5] == "left_" else "left" + n[5:] if n[:6] == "right_" else n for n in KEYPOINTS]
    keypoints = (torch.tensor([52.0, 0]) - canvas.keypoints * torch.tensor([1, -1]))[[KEYPOINTS.index(n) for n in swapped]]
    canvas = Canvas(canvas.image, canvas.labels if named else None, canvas.keypoints)
    one = view(found, canvas, (3, 5, 30), 20, mirrored=True)
    other = view(found, Canvas(image, labels if named else None, keypoints), (52 - 3 - 30, 5, 30), 20)
    for name in ("image", "condition", "part", "keypoints"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name), equal_nan=True, atol=1e-5, rtol=0)
    assert (one.image - view(found, canvas, (3, 5, 30), 20).image).abs().max() > 0.1


def test_sides_are_exchanged_by_their_names():
    assert [FACE[i] for i in exchanged(FACE)[:-1]] == list(IN_A_MIRROR) and exchanged(FACE)[-1] == -1
    for names in (FACE, KEYPOINTS, ("left_arm", "l_arm", "right_arm", "left", "r_x")):
        both = exchanged(names)
        assert torch.equal(both[both], torch.tensor([*range(len(names)), -1]))
    assert exchanged(("left_arm", "l_arm", "right_arm", "left", "r_x")).tolist() == [2, 1, 0, 3, 4, -1]
    assert sum(a != b for a, b in enumerate(exchanged(KEYPOINTS)[:-1].tolist())) == 16


# Conditions


@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_condition_of_each_structure(structure):
    found = collection(structure)
    seen = view(found, made(), (3, 5, 30), 24)
    assert seen.condition.shape == (found.channels, 24, 24) and seen.condition.dtype == torch.float32
    assert seen.image.shape == (3, 24, 24) and seen.image.min() >= 0 and seen.image.max() <= 1
    assert seen.condition.min() >= 0 and seen.condition.max() <= 1 + 1e-6
    expected = {
        "edges": lambda: edge_condition(seen.image[None])[0],
        "soft edges": lambda: soft_edges(seen.image[None])[0],
        "part edges": lambda: part_edges(seen.image, seen.part, FACE),
        "pose": lambda: pose_maps(seen.keypoints[None], 24)[0],
        "photograph": lambda: seen.image,
    }
    if structure in expected:
        assert torch.equal(seen.condition, expected[structure]())
    else:
        known = (made().labels[5:35, 3:33] >= 0).float().mean()
        torch.testing.assert_close(seen.condition.sum(0).mean(), known, atol=1e-5, rtol=0)


def test_what_a_canvas_lacks_a_view_lacks():
    seen = view(collection("edges"), Canvas(made().image), (0, 0, 20), 16)
    assert seen.part is None and seen.keypoints is None


@pytest.mark.parametrize("window", [(-1, 0, 5), (0, -1, 5), (48, 0, 5), (0, 33, 5), (0, 0, 0), (0, 0, 38), (0, 0, -3)])
def test_a_square_that_is_not_inside_is_refused(window):
    with pytest.raises(ValueError, match=r"got a square of side .* at .*, expected one inside the canvas of 52 × 37 pixels"):
        view(collection("edges"), made(), window, 16)
