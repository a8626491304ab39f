"""Faces: masks joined to label maps, and the fifteen channels of their edges against slow twins."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from layout_folders import JOINED, celeba, face_parts
from layout_folders import PARTS as OFFICIAL
from PIL import Image

from exemplar_lab.data.canvas import Canvas, read_canvas
from exemplar_lab.data.collection import Labels
from exemplar_lab.data.edges import canny_edges
from exemplar_lab.data.layouts.finding import find_collection
from exemplar_lab.data.part_edges import CHANNELS, PARTS, borders, city_blocks, part_edges
from exemplar_lab.data.part_masks import joined_masks
from exemplar_lab.data.structures import view

NAMES = ("background", *OFFICIAL)
SHARED = Path(__file__).parents[2] / "shared" / "data" / "official_layouts"


def parts_of(size: int, glasses: bool = True) -> dict[str, np.ndarray]:
    """A drawn face, in which hair and neck, which lie over most other parts, do not hide them."""
    parts, down = face_parts(size, glasses), np.arange(size)[:, None] / size
    return parts | {"hair": parts["hair"] & (down < 0.33), "neck": parts["neck"] & (down > 0.82)}


def face(size: int, glasses: bool = True) -> torch.Tensor:
    """The label map of a drawn face."""
    labels = torch.zeros(size, size, dtype=torch.long)
    parts = parts_of(size, glasses)
    for name in sorted(parts, key=NAMES.index):
        labels[torch.from_numpy(parts[name])] = NAMES.index(name)
    return labels


# Masks


def masks(folder: Path, size: int = 24, mode: str = "RGB") -> list[Path]:
    for name, part in parts_of(size).items():
        Image.fromarray(np.uint8(255 * part)).convert(mode).save(folder / f"00007_{name}.png")
    return list(folder.glob("*.png"))


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "RGBA"])
def test_later_parts_lie_over_earlier_ones(tmp_path, mode):
    found = joined_masks(masks(tmp_path, mode=mode), NAMES, (24, 24))
    assert torch.equal(found.long(), face(24)) and found.dtype == torch.int16
    assert {NAMES[number] for number in found.unique()} >= {"background", "skin", "l_lip", "hair", "cloth", "l_ear"}


@pytest.mark.parametrize("size", [(24, 24), (48, 48), (12, 12), (17, 31)])
def test_masks_of_another_size_are_read_at_the_centre_of_each_pixel(tmp_path, size):
    found, whole = joined_masks(masks(tmp_path), NAMES, size), face(24)
    for y in range(size[0]):
        for x in range(size[1]):
            assert found[y, x] == whole[int((y + 0.5) * 24 / size[0]), int((x + 0.5) * 24 / size[1])]


def test_glasses_lie_over_the_map_of_all_other_parts(tmp_path):
    collection = find_collection(celeba(tmp_path, joined=True), "labels")
    item = collection.named()["CelebA-HQ-img/15064.jpg"]
    assert len(item.files) == 2 and collection.labels.names == JOINED
    found = read_canvas(collection, item, 96).labels
    expected = torch.from_numpy(np.array(Image.open(tmp_path / item.files[0]))).long()
    expected[torch.from_numpy(face_parts(48, glasses=True)["eye_g"])] = JOINED.index("eye_g")
    assert torch.equal(found[::2, ::2].long(), expected) and JOINED.index("eye_g") in expected


def test_masks_that_are_wrong_are_named(tmp_path):
    files = masks(tmp_path)
    (tmp_path / "00007_nose.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"00007_nose\.png, which cannot be read as an image"):
        joined_masks(files, NAMES, (24, 24))
    Image.fromarray(np.full((24, 24), 19, np.uint8)).save(tmp_path / "00007.png")
    with pytest.raises(ValueError, match=r"got label 19 in .*00007\.png, expected 0 … 18"):
        joined_masks([tmp_path / "00007.png"], NAMES, (24, 24))


# Channels


@given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 2**31), st.floats(0, 0.6))
def test_distances_and_borders_are_those_of_slow_twins(height, width, seed, share):
    there = torch.rand(2, height, width, generator=torch.Generator().manual_seed(seed)) < share
    distance, border = city_blocks(there), borders(there)
    for n in range(2):
        for y in range(height):
            for x in range(width):
                at = [abs(y - v) + abs(x - u) for v in range(height) for u in range(width) if there[n, v, u]]
                assert distance[n, y, x] == min(at, default=torch.inf)
                around = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
                inside = [(v, u) for v, u in around if 0 <= v < height and 0 <= u < width]
                assert border[n, y, x] == any(there[n, y, x] != there[n, v, u] for v, u in inside)


@pytest.mark.parametrize("size", [48, 128])
@pytest.mark.parametrize("glasses", [False, True])
def test_fifteen_channels(size, glasses):
    part, image = face(size, glasses), torch.rand(3, size, size)
    found = part_edges(image, part, NAMES)
    assert found.shape == (CHANNELS, size, size) and found.min() >= 0 and found.max() <= 1 and found.dtype == torch.float32
    canny, inner = canny_edges(image[None])[0, 0] > 0, torch.zeros(size, size, dtype=torch.bool)
    drawn = torch.zeros(size, size, dtype=torch.bool)
    for channel, name in enumerate(PARTS, start=1):
        region = part == NAMES.index(name)
        inner |= region & (name != "hair")
        if name == "skin":
            for other in ("nose", "eye_g", "l_eye", "r_eye", "l_brow", "r_brow", "mouth", "u_lip", "l_lip"):
                region |= part == NAMES.index(other)
        border = borders(region[None])[0]
        drawn |= border
        if border.any():
            at = border.nonzero().double()
            here = torch.stack(torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij"), -1).view(-1, 2).double()
            distance = torch.cdist(here, at, p=1).amin(1).view(size, size) * 256 / size
            torch.testing.assert_close(found[channel].double(), (distance / 3).clamp_max(255) / 255, atol=1e-6, rtol=0)
        else:
            assert (found[channel] == 1).all() and name in ("mouth", "eye_g")
    assert torch.equal(found[14], drawn.float()) and torch.equal(found[0], (drawn | canny & ~inner).float())
    assert (found[0] > found[14]).any()


def test_the_maps_of_a_face_are_the_same_picture_at_every_size():
    small, large = (part_edges(torch.zeros(3, size, size), face(size), NAMES)[1:14] for size in (64, 256))
    assert (small - large[:, 2::4, 2::4]).abs().max() < 0.03


def test_a_mirrored_face_exchanges_left_and_right(tmp_path):
    collection = find_collection(celeba(tmp_path), "edges")
    assert collection.structure == "part edges" and collection.labels == Labels(NAMES, masks=True)
    canvas = Canvas((255 * torch.rand(3, 96, 96)).byte(), face(96, glasses=False).short())
    one, other = (view(collection, canvas, (0, 0, 90), 48, mirrored) for mirrored in (False, True))
    left, right = (1 + torch.tensor([PARTS.index(name + part) for part in ("brow", "eye", "ear")]) for name in ("l_", "r_"))
    assert torch.equal(other.condition[left], one.condition[right].flip(-1))
    assert torch.equal(other.condition[right], one.condition[left].flip(-1))
    same = [1 + PARTS.index(name) for name in ("skin", "nose", "u_lip", "l_lip", "hair")]
    assert torch.equal(other.condition[same], one.condition[same].flip(-1))
    assert not torch.equal(other.condition[left], one.condition[left].flip(-1))
