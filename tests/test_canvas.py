"""Canvases: image and labels lie on one grid whatever the file is like, and what is broken is named in one sentence."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from label_folders import photograph
from layout_folders import body, deepfashion, own_poses
from PIL import Image

from exemplar_lab.data import canvas, memory
from exemplar_lab.data.canvas import canvases, read_canvas
from exemplar_lab.data.collection import Collection, Item, Labels
from exemplar_lab.data.images import SMALLEST
from exemplar_lab.data.layouts.finding import find_collection
from exemplar_lab.data.pose_files import read_pose

CLASSES = tuple("abcdefghij")
TENTHS = Labels(CLASSES)
STORED = {  # what a viewer does to stand an image upright, undone
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def collection(folder: Path, *items: Item, labels: Labels | None = TENTHS) -> Collection:
    structure = "edges" if labels is None else "labels"
    return Collection(folder, "made", structure, {"train": items}, labels)


def ramp(height: int, width: int) -> np.ndarray:
    """Red grows evenly from the left border to the right one, green downwards."""
    down, across = np.mgrid[:height, :width] + 0.5
    return np.stack([across / width, down / height, 0.5 + 0 * down], axis=-1)


def tenths(height: int, width: int) -> np.ndarray:
    """The label of a pixel is the tenth of the width that its middle lies in."""
    return ((2 * np.arange(width) + 1) * 10 // (2 * width))[None].repeat(height, 0).astype(np.uint8)


def pair(folder: Path, height: int, width: int, name: str = "a.png") -> Item:
    Image.fromarray((255 * ramp(height, width)).round().astype(np.uint8)).save(folder / name, quality=95, subsampling=0)
    Image.fromarray(tenths(height, width)).save(folder / "labels.png")
    return Item(name, ("labels.png",))


def check(found: canvas.Canvas, noise: float = 1.0) -> None:
    """Colours and labels are those of their place, seen in shares of the sides."""
    height, width = found.image.shape[-2:]
    expected = torch.from_numpy(255 * ramp(height, width)).movedim(-1, 0)
    inner = slice(1, -1)  # at a border the mean of a pixel's neighbours is not its own value
    assert (found.image - expected)[:2, inner, inner].abs().max() <= noise
    centre = 10 * (torch.arange(width) + 0.5) / width
    clear = (centre - centre.round()).abs() > 5 / width
    assert clear.float().mean() > 0.2
    assert (found.labels == centre.long())[:, clear].all()


# One grid


@pytest.mark.parametrize("size", [(60, 80), (93, 61), (400, 300), (211, 307)])
@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_image_and_labels_lie_on_one_grid(tmp_path, size, name):
    found = read_canvas(collection(tmp_path, pair(tmp_path, *size, name)), Item(name, ("labels.png",)), 60)
    assert found.image.dtype == torch.uint8 and found.labels.dtype == torch.int16 and found.keypoints is None
    assert min(found.image.shape[1:]) == 60 and found.labels.shape == found.image.shape[1:]
    assert abs(max(found.image.shape[1:]) - 60 * max(size) / min(size)) <= 0.5
    check(found, noise=3)


@pytest.mark.parametrize("orientation", STORED)
def test_a_jpeg_that_is_decoded_small_keeps_its_borders(tmp_path, orientation):
    """At 1/8 of 257 pixels a decoder gives 33, which reach 7 pixels too far, on the left where the photograph is turned."""
    for size, shortest in (((257, 263), 16), ((512, 768), 32), ((601, 599), 32)):
        item = pair(tmp_path, *size)
        turned(tmp_path / "a.png", tmp_path / "a.jpg", orientation)
        check(read_canvas(collection(tmp_path), Item("a.jpg", item.files), shortest), noise=3)


def test_nothing_is_enlarged(tmp_path):
    item = pair(tmp_path, 40, 60)
    found = read_canvas(collection(tmp_path), item, 128)
    assert found.image.shape == (3, 40, 60)
    assert torch.equal(found.image.movedim(0, -1), torch.from_numpy(np.array(Image.open(tmp_path / "a.png"))))
    assert torch.equal(found.labels, torch.from_numpy(tenths(40, 60)).short())


def turned(upright: Path, path: Path, orientation: int) -> None:
    """Store an image so that EXIF has to turn it upright."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    image, way = Image.open(upright), STORED[orientation]
    (image if way is None else image.transpose(way)).save(
        path, exif=exif, quality=95, **({"subsampling": 0} if path.suffix == ".jpg" else {})
    )


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
def test_the_label_map_of_a_turned_photograph_is_stored_upright(tmp_path, orientation, suffix):
    item = pair(tmp_path, 192, 256)
    turned(tmp_path / "a.png", tmp_path / f"turned.{suffix}", orientation)
    found = read_canvas(collection(tmp_path), Item(f"turned.{suffix}", item.files), 48)
    assert found.image.shape == (3, 48, 64)
    check(found, noise=3)


def test_a_label_map_that_lies_as_the_file_does_is_named_with_the_reason(tmp_path):
    item = pair(tmp_path, 60, 80)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(tmp_path / "a.png").save(tmp_path / "a.png", exif=exif)
    with pytest.raises(
        ValueError, match=r"labels\.png of 80 × 60 for .*a\.png of 60 × 80 \(the photograph upright, as its EXIF says"
    ):
        read_canvas(collection(tmp_path), item, 64)


# Modes


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "LA", "1", "I;16", "CMYK", "YCbCr"])
def test_every_mode_of_image(tmp_path, mode):
    colours = (255 * ramp(40, 50)).round().astype(np.uint8)
    picture, name = Image.fromarray(colours), "a.png"
    if mode == "I;16":
        picture = Image.fromarray((65535 * ramp(40, 50)[..., 0]).astype(np.uint16))
    elif mode in ("CMYK", "YCbCr"):
        picture, name = picture.convert(mode), "a.jpg"
    else:
        picture = picture.convert(mode)
    picture.save(tmp_path / name, quality=100)
    found = read_canvas(collection(tmp_path, labels=None), Item(name), 64).image
    assert found.shape == (3, 40, 50) and found.dtype == torch.uint8
    if mode in ("RGB", "RGBA", "CMYK", "YCbCr"):
        assert (found.movedim(0, -1).float() - torch.from_numpy(colours)).abs().mean() < 4
    elif mode == "I;16":
        assert (found[1].float() - torch.from_numpy(255 * ramp(40, 50)[..., 0])).abs().max() <= 0.51
    elif mode in ("L", "LA"):
        assert (found[2].float() - torch.from_numpy(np.array(Image.fromarray(colours).convert("L")))).abs().max() <= 1


@pytest.mark.parametrize("mode", ["L", "P", "I;16", "I"])
def test_every_mode_of_label_map(tmp_path, mode):
    numbers = tenths(40, 50)
    pair(tmp_path, 40, 50)
    if mode == "P":
        stored = Image.fromarray(numbers).convert("P")
        stored.putpalette(np.random.default_rng(0).permutation(256).repeat(3).astype(np.uint8).tobytes())
    else:
        stored = Image.fromarray(numbers.astype({"L": np.uint8, "I;16": np.uint16, "I": np.int32}[mode]))
    stored.save(tmp_path / "labels.tif")
    item = Item("a.png", ("labels.tif",))
    assert torch.equal(read_canvas(collection(tmp_path), item, 64).labels, torch.from_numpy(numbers).short())


def test_numbers_become_classes(tmp_path):
    item, numbers = pair(tmp_path, 20, 40), np.array([0, 1, 5, 10, 11, 255], np.uint8)
    Image.fromarray(numbers.repeat(7)[None, :40].repeat(20, 0)).save(tmp_path / "labels.png")

    def classes(**labels) -> list[int]:
        found = read_canvas(collection(tmp_path, labels=Labels(**labels)), item, 64).labels
        return found.unique().tolist()

    assert classes(names=tuple("abcdefghijkl")) == [-1, 0, 1, 5, 10, 11]
    assert classes(names=tuple("abcdefghijkl"), void=11) == [-1, 0, 1, 5, 10]
    assert classes(names=tuple("abcdefghijk"), first=1) == [-1, 0, 4, 9, 10]
    assert classes(names=tuple("abcdefghij"), first=1, void=11) == [-1, 0, 4, 9]
    assert classes(names=tuple("abcdefghij"), first=5, void=1) == [-1, 0, 5, 6]


# What is broken


def cut(path: Path, share: float) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


BROKEN = {
    "cut in half": lambda path: cut(path, 0.5),
    "cut at its end": lambda path: cut(path, 0.8),
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("<html>404 not found</html>"),
    "a folder": a_folder,
}


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
@pytest.mark.parametrize("how", BROKEN)
@pytest.mark.parametrize("cached", [False, True])
def test_a_broken_image_is_named(tmp_path, name, how, cached):
    item = pair(tmp_path, 64, 80, name)
    BROKEN[how](tmp_path / name)
    with pytest.raises(
        ValueError, match=rf"got .*a\.{name[2:]}, which cannot be read as an image.*expected a whole file.*: open"
    ):
        read_canvas(collection(tmp_path), item, 32, tmp_path / "cache" if cached else None)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_label_map_is_named(tmp_path, how):
    item = pair(tmp_path, 64, 80)
    BROKEN[how](tmp_path / "labels.png")
    with pytest.raises(ValueError, match=r"got .*labels\.png, which cannot be read as an image"):
        read_canvas(collection(tmp_path), item, 32)


@pytest.mark.parametrize("missing", ["a.png", "labels.png"])
@pytest.mark.parametrize("cached", [False, True])
def test_a_missing_file_is_named(tmp_path, missing, cached):
    item = pair(tmp_path, 64, 80)
    (tmp_path / missing).unlink()
    with pytest.raises(FileNotFoundError, match=rf"got .*{missing}, which does not exist; expected an image file"):
        read_canvas(collection(tmp_path), item, 32, tmp_path / "cache" if cached else None)


def test_images_that_are_too_small(tmp_path):
    with pytest.raises(ValueError, match=rf"a\.png of 40 × 15 pixels, expected at least {SMALLEST}"):
        read_canvas(collection(tmp_path), pair(tmp_path, 15, 40), 32)


def test_label_maps_that_do_not_fit(tmp_path):
    item = pair(tmp_path, 60, 80)
    Image.fromarray(tenths(30, 40)).save(tmp_path / "labels.png")
    with pytest.raises(ValueError, match=r"labels\.png of 40 × 30 for .*a\.png of 80 × 60; expected one size: resize one"):
        read_canvas(collection(tmp_path), item, 32)
    Image.fromarray(tenths(60, 80) + np.uint8(1)).save(tmp_path / "labels.png")
    with pytest.raises(ValueError, match=r"got label 10 in .*labels\.png, expected 0 … 9 for 10 classes, or 255 for unknown: "):
        read_canvas(collection(tmp_path), item, 32)
    assert read_canvas(collection(tmp_path, labels=Labels(CLASSES, first=1)), item, 32).labels.max() == 9
    read_canvas(collection(tmp_path, labels=None), Item("a.png"), 32, tmp_path / "cache")
    for labels, wanted in ((TENTHS, "one"), (Labels(CLASSES, masks=True), "at least one mask")):
        with pytest.raises(ValueError, match=rf"got 0 label maps for .*a\.png, expected {wanted}: prepare"):
            read_canvas(collection(tmp_path, labels=labels), Item("a.png"), 32, tmp_path / "cache")
    Image.fromarray(tenths(60, 80)).convert("RGB").save(tmp_path / "labels.png")
    with pytest.raises(ValueError, match=r"labels\.png with pixels of type RGB, expected one whole number per pixel"):
        read_canvas(collection(tmp_path), item, 32)


# Poses


def test_key_points_move_with_the_image(tmp_path):
    found = find_collection(deepfashion(tmp_path, size=96), "pose")
    item = found.items["train"][0]
    whole, small = (read_canvas(found, item, shortest) for shortest in (96, 48))
    assert small.image.shape == (3, 48, 48) and small.labels is None and small.keypoints.dtype == torch.float32
    expected, _ = read_pose(*(tmp_path / name for name in item.files))
    assert expected.isnan().any() and torch.equal(whole.keypoints.nan_to_num(-1), expected.nan_to_num(-1))
    torch.testing.assert_close(small.keypoints, expected / 2, equal_nan=True)
    image = Image.open(tmp_path / item.name).resize((288, 96))
    image.save(tmp_path / item.name)
    assert torch.equal(read_canvas(found, item, 48).keypoints.nan_to_num(-1), (expected / 2).nan_to_num(-1))


def test_poses_of_ones_own_in_every_form(tmp_path):
    found = find_collection(own_poses(tmp_path, many=6), "pose")
    items = sorted(found.named().values(), key=lambda item: item.name)
    assert {Path(item.files[0]).suffix for item in items} == {".json", ".txt", ".png"}
    for number, item in enumerate(items):
        expected = torch.from_numpy(body((96, 72), number, absent=())).float() + 0.5
        points = read_canvas(found, item, 36).keypoints
        there = points.isfinite().all(-1)
        assert there.sum() >= 12 and (points - expected / 2)[there].abs().max() < (
            1.0 if item.files[0].endswith("png") else 1e-4
        )
    # A drawing of another size shows the same pose; one of another shape does not.
    drawn = next(item for item in items if item.files[0].endswith("png"))
    before = read_canvas(found, drawn, 96).keypoints
    picture = Image.open(tmp_path / drawn.files[0])
    picture.resize((144, 192), Image.Resampling.NEAREST).save(tmp_path / drawn.files[0])
    assert (read_canvas(found, drawn, 96).keypoints - before).abs().nan_to_num().max() < 1
    picture.resize((96, 96)).save(tmp_path / drawn.files[0])
    with pytest.raises(
        ValueError, match=r"got a pose drawn on 96 × 96 in .*_pose\.png for .*\.jpg of 72 × 96; expected one shape"
    ):
        read_canvas(found, drawn, 96)


def test_poses_that_do_not_fit_are_named(tmp_path):
    found = find_collection(deepfashion(tmp_path), "pose")
    item = found.items["train"][0]
    candidate, subset = (tmp_path / name for name in item.files)
    points = np.loadtxt(candidate)
    points[:, :2] *= 4
    np.savetxt(candidate, points)
    with pytest.raises(ValueError, match=r"got 17 key points in .*_candidate\.txt, 1[0-9] of them outside .*\.jpg of 96 × 96"):
        read_canvas(found, item, 48)
    for content in ("", "1 2 3", "nonsense"):
        subset.write_text(content)
        with pytest.raises(ValueError, match=r"_candidate\.txt, which gives no pose"):
            read_canvas(found, item, 48)
    subset.unlink()
    with pytest.raises(FileNotFoundError, match=r"_subset\.txt"):
        read_canvas(found, item, 48, tmp_path / "cache")
    with pytest.raises(ValueError, match=r"got no pose for .*\.jpg, expected the files of one"):
        read_canvas(found, Item(item.name), 48)


# Many


@pytest.fixture
def twelve(tmp_path):
    memory.forget()
    for i in range(12):
        Image.fromarray(photograph(40, 40 + i)).save(tmp_path / f"{i:02}.png")
    yield collection(tmp_path, *(Item(f"{i:02}.png") for i in range(12)), labels=None)
    memory.forget()


def test_many_come_in_the_order_they_are_asked_for(twelve, monkeypatch):
    read = []
    honest = canvas.read_canvas
    monkeypatch.setattr(canvas, "read_canvas", lambda *asked: read.append(asked[1].name) or honest(*asked))
    items = [twelve.items["train"][i] for i in (7, 3, 3, 11, 0, 7)]
    assert [one.image.shape[2] for one in canvases(twelve, items, 64)] == [47, 43, 43, 51, 40, 47]
    assert sorted(read) == ["00.png", "03.png", "07.png", "11.png"]
    canvases(twelve, items[::-1], 64)
    assert len(read) == 4
    assert canvases(twelve, items[:1], 20)[0].image.shape == (3, 20, 24) and len(read) == 5
    assert canvases(twelve, [], 64) == []
    monkeypatch.setattr(memory, "MOST", 0)
    memory.forget()
    canvases(twelve, items, 64)
    assert len(read) == 9


def test_the_memory_of_canvases_never_exceeds_its_bound(twelve, monkeypatch):
    monkeypatch.setattr(memory, "MOST", 20_000)  # four of the twelve
    held, honest = [], memory._bytes
    monkeypatch.setattr(memory, "_bytes", lambda tensors: held.append(memory.held()) or honest(tensors))
    for start in range(9):
        for one, item in zip(
            found := canvases(twelve, items := twelve.items["train"][start : start + 4], 64), items, strict=True
        ):
            assert torch.equal(one.image, read_canvas(twelve, item, 64).image)
        assert len(found) == 4 and memory.held() <= 20_000
    assert memory.held() > 14_000 and max(held) <= 20_000 + 3 * 40 * 51


def test_a_file_that_changes_is_read_again(twelve):
    item, path = twelve.items["train"][0], twelve.folder / "00.png"
    before = canvases(twelve, [item], 64)[0]
    Image.fromarray(255 - photograph(40, 41)).save(path)
    after = canvases(twelve, [item], 64)[0]
    assert before.image.shape == (3, 40, 40) and after.image.shape == (3, 40, 41)


def test_the_same_names_in_other_folders_and_with_other_labels_are_others(tmp_path):
    memory.forget()
    item = Item("a.bmp", ("labels.png",))
    for folder, size in (("one", (40, 60)), ("two", (60, 40))):
        (tmp_path / folder).mkdir()
        pair(tmp_path / folder, *size, "a.bmp")
        for name in ("a.bmp", "labels.png"):
            content = (tmp_path / folder / name).read_bytes()
            (tmp_path / folder / name).write_bytes(content + b"." * (8000 - len(content)))
            os.utime(tmp_path / folder / name, (1, 1))
    one, two = (collection(tmp_path / folder) for folder in ("one", "two"))
    assert [canvases(each, [item], 64)[0].image.shape[2] for each in (one, two)] == [60, 40]
    other = replace(one, labels=Labels(CLASSES, void=3))
    assert -1 in canvases(other, [item], 64)[0].labels and -1 not in canvases(one, [item], 64)[0].labels
    bare = collection(tmp_path / "one", labels=None)
    assert canvases(bare, [item], 64)[0].labels is None


def test_what_is_broken_is_named_among_many_too(twelve):
    (twelve.folder / "05.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"05\.png, which cannot be read"):
        canvases(twelve, twelve.items["train"], 64)
    assert len(canvases(twelve, twelve.items["train"][:5], 64)) == 5
