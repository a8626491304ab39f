"""Label maps: folders as people have them, numbers as they are stored, the classes that they make, and shares of a pixel."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from label_folders import fill, numbers
from PIL import Image

from exemplar_lab.data.label_maps import CAMVID, LAYOUTS, find_pairs, label_shares, read_labels
from exemplar_lab.data.labelled import LabelledPhotographs


@pytest.fixture
def camvid(tmp_path):
    fill(tmp_path, "train", "trainannot")
    fill(tmp_path, "val", "valannot", many=2)
    return tmp_path


@pytest.fixture
def coco(tmp_path):
    """Only one split, a folder deeper than the others, and what else lies around."""
    fill(tmp_path, "train_img/indoor", "train_label/indoor", many=20)
    (tmp_path / "train_inst").mkdir()
    (tmp_path / "train_img" / "notes.txt").write_text("no image")
    return tmp_path


# Folders


def test_a_folder_as_camvid_comes(camvid):
    train, val = (LabelledPhotographs(32, split, camvid).pairs for split in ("train", "val"))
    assert [path.name for path in train] == ["t00.0.bmp", "t01.1.png", "t02.2.bmp"]
    assert len(val) == 2 and all(path.parent.name == "val" for path in val)
    for path, labels in {**train, **val}.items():
        assert labels == camvid / f"{path.parent.name}annot" / f"{path.stem}.png"


def test_a_folder_as_coco_stuff_comes_is_split_by_name(coco):
    train, val = (LabelledPhotographs(32, split, coco).pairs for split in ("train", "val"))
    assert len(train) + len(val) == 20 and not train.keys() & val.keys() and 1 <= len(val) <= 6
    assert all(labels.parts[-3:] == ("train_label", "indoor", f"{path.stem}.png") for path, labels in train.items())
    fill(coco, "val_img", "val_label", many=2)
    assert len(LabelledPhotographs(32, "train", coco).pairs) == 20 and len(LabelledPhotographs(32, "val", coco).pairs) == 2


def test_folders_that_are_not_laid_out(tmp_path):
    wanted = r"expected a folder with train/ with trainannot/, or train_img/ with train_label/"
    with pytest.raises(FileNotFoundError, match=rf"nowhere, which does not exist; {wanted}"):
        LabelledPhotographs(folder=tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(FileNotFoundError, match=r"file, which is a file"):
        find_pairs(tmp_path / "file")
    with pytest.raises(FileNotFoundError, match=r"holds no known folders; expected train/ with trainannot/, or"):
        find_pairs(tmp_path)
    with pytest.raises(ValueError, match=r"got no folder, expected one of photographs and label maps"):
        LabelledPhotographs()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_half_a_folder_is_named(tmp_path, layout):
    photographs, labels = (name.format("train") for name in layout)
    (tmp_path / photographs).mkdir()
    with pytest.raises(FileNotFoundError, match=rf"got .*{photographs} without .*{labels}, expected both"):
        find_pairs(tmp_path)
    (tmp_path / labels).mkdir()
    with pytest.raises(FileNotFoundError, match=rf"{photographs}, which holds no image"):
        find_pairs(tmp_path)
    (tmp_path / photographs).rmdir()
    with pytest.raises(FileNotFoundError, match=rf"got .*{labels} without .*{photographs}, expected both"):
        find_pairs(tmp_path)


def test_half_a_second_split_does_not_go_unseen(camvid):
    for path in (camvid / "valannot").iterdir():
        path.unlink()
    with pytest.raises(FileNotFoundError, match="valannot, which holds no image"):
        LabelledPhotographs(32, "train", camvid)
    (camvid / "valannot").rmdir()
    with pytest.raises(FileNotFoundError, match="val without .*valannot, expected both"):
        LabelledPhotographs(32, "train", camvid)


def test_a_missing_partner_is_named(camvid):
    (camvid / "trainannot" / "t01.1.png").rename(camvid / "trainannot" / "other.png")
    with pytest.raises(
        FileNotFoundError, match=r"got 1 of 3 files without a label map, .*t01\.1\.png; .*trainannot/t01\.1 with"
    ):
        LabelledPhotographs(32, "train", camvid)
    (camvid / "trainannot" / "t01.1.png").write_bytes((camvid / "trainannot" / "other.png").read_bytes())
    with pytest.raises(FileNotFoundError, match=r"got 1 of 4 files without a photograph, .*other\.png; .*train/other with"):
        LabelledPhotographs(32, "train", camvid)


# Label maps


def written(tmp_path, image: Image.Image, name: str = "labels.png", **how) -> Path:
    image.save(tmp_path / name, **how)
    return tmp_path / name


def test_numbers_are_read_as_they_are_stored(tmp_path):
    labels = numbers(40, 150)
    expected = torch.from_numpy(labels.astype("int32"))
    expected[expected == 255] = -1
    assert torch.equal(read_labels(written(tmp_path, Image.fromarray(labels))), expected)
    palette = Image.fromarray(labels).convert("P")
    palette.putpalette(np.random.default_rng(0).permutation(256).repeat(3).astype(np.uint8).tobytes())
    for path in (written(tmp_path, palette), written(tmp_path, palette, transparency=0), written(tmp_path, palette, "a.bmp")):
        assert torch.equal(read_labels(path), expected)
    wide = Image.fromarray(labels.astype(np.uint16) + 300)
    assert read_labels(written(tmp_path, wide)).unique().tolist() == [300, 301, 302, 303, 304, 555]
    assert read_labels(written(tmp_path, Image.fromarray(labels == 3))).unique().tolist() == [0, 1]


def test_a_second_number_can_mean_unknown(tmp_path):
    path = written(tmp_path, Image.fromarray(numbers(40, 150)))
    assert read_labels(path).unique().tolist() == [-1, 0, 1, 2, 3, 4]
    assert read_labels(path, void=4).unique().tolist() == [-1, 0, 1, 2, 3]
    assert read_labels(path, void=0).unique().tolist() == [-1, 1, 2, 3, 4]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "F"])
def test_colours_are_no_labels(tmp_path, mode):
    path = written(tmp_path, Image.fromarray(numbers(40, 40)).convert(mode), "labels.tif")
    with pytest.raises(ValueError, match=rf"labels\.tif with pixels of type {mode}, expected one whole number per pixel"):
        read_labels(path)


def test_other_broken_label_maps(tmp_path):
    with pytest.raises(ValueError, match="a JPEG, which does not keep numbers as they were; expected a PNG"):
        read_labels(written(tmp_path, Image.fromarray(numbers(40, 40)), "labels.jpg"))
    with pytest.raises(ValueError, match=r"got label -3 in .*negative\.tif, expected 0 or more"):
        read_labels(written(tmp_path, Image.fromarray(np.full((20, 20), -3, np.int32)), "negative.tif"))
    with pytest.raises(FileNotFoundError, match="which does not exist"):
        read_labels(tmp_path / "nowhere.png")


def test_broken_files_are_refused_at_the_door(camvid):
    path = camvid / "trainannot" / "t01.1.png"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"t01\.1\.png, which cannot be read as an image.*save or download it again"):
        LabelledPhotographs(32, "train", camvid)
    path.write_bytes(whole)
    (camvid / "train" / "t01.1.png").write_bytes(b"broken")
    with pytest.raises(ValueError, match=r"train/t01\.1\.png, which cannot be read as an image"):
        LabelledPhotographs(32, "train", camvid)


def test_sizes_must_agree_and_be_large_enough(camvid):
    with pytest.raises(ValueError, match=r"got 3 of 3 photographs with a side below 101 .*t00\.0\.bmp of 140 × 100; .*smaller"):
        LabelledPhotographs(101, "train", camvid)
    Image.fromarray(numbers(100, 141)).save(camvid / "trainannot" / "t01.1.png")
    with pytest.raises(
        ValueError, match=r"got 1 of 3 label maps .*t01\.1\.png of 141 × 100 for .*t01\.1\.png of 140 × 100; exp"
    ):
        LabelledPhotographs(32, "train", camvid)
    assert LabelledPhotographs(32, "val", camvid).pairs


# Classes


def test_the_largest_label_of_all_splits_counts(camvid):
    assert LabelledPhotographs(32, "train", camvid).condition_channels == 5
    Image.fromarray(np.full((100, 140), 8, np.uint8)).save(camvid / "valannot" / "v00.0.png")
    assert all(LabelledPhotographs(32, split, camvid).condition_channels == 9 for split in ("train", "val"))
    assert LabelledPhotographs(32, "train", camvid, classes=7).condition_channels == 7
    with pytest.raises(
        ValueError, match=r"got label 8 in .*v00\.0\.png, expected 0 … 6, or 255 .*give more classes, or void=8"
    ):
        LabelledPhotographs(32, "val", camvid, classes=7)
    assert LabelledPhotographs(32, "val", camvid, classes=7, void=8).condition_channels == 7
    assert LabelledPhotographs(32, "val", camvid, void=8).condition_channels == 5


def test_a_label_map_that_changes_is_read_again(camvid, monkeypatch):
    LabelledPhotographs(32, "train", camvid)
    monkeypatch.setattr("exemplar_lab.data.label_maps.read_labels", lambda *_: pytest.fail("read twice"))
    LabelledPhotographs(32, "train", camvid)
    os.utime(camvid / "trainannot" / "t01.1.png", (1, 1))
    with pytest.raises(pytest.fail.Exception, match="read twice"):
        LabelledPhotographs(32, "train", camvid)


@pytest.mark.parametrize("labels", [np.full((100, 140), 255, np.uint8), np.full((100, 140), 5000, np.uint16)])
def test_numbers_that_are_no_classes(tmp_path, labels):
    fill(tmp_path, "train", "trainannot")
    for path in (tmp_path / "trainannot").iterdir():
        Image.fromarray(labels).save(path)
    with pytest.raises(ValueError, match=r"got (0|5001) classes in .*, expected 1 … 1024"):
        LabelledPhotographs(32, "train", tmp_path)


def test_classes_have_names(camvid):
    assert LabelledPhotographs(32, "train", camvid).class_names == ("0", "1", "2", "3", "4")
    (camvid / "classes.txt").write_text("\n".join(CAMVID[:6]) + "\n\n", encoding="utf-8")
    source = LabelledPhotographs(32, "train", camvid)
    assert source.class_names == CAMVID[:6] and source.condition_channels == 6
    assert replace(source, classes=5).class_names == CAMVID[:5]
    assert replace(source, void=5).class_names == CAMVID[:5] and replace(source, void=2).condition_channels == 6
    (camvid / "classes.txt").write_text("sky\nroad")
    with pytest.raises(ValueError, match=r"got 2 names in .*classes\.txt for 5 classes, expected a name for each"):
        LabelledPhotographs(32, "train", camvid, classes=5)
    with pytest.raises(ValueError, match=r"got label 4 in .*, expected 0 … 1"):
        LabelledPhotographs(32, "train", camvid)
    (camvid / "classes.txt").write_text("\n")
    with pytest.raises(ValueError, match=r"classes\.txt without a name in it"):
        LabelledPhotographs(32, "train", camvid)
    (camvid / "classes.txt").write_bytes(b"stra\xdfe")
    with pytest.raises(ValueError, match=r"classes\.txt, which cannot be read .*UTF-8"):
        LabelledPhotographs(32, "train", camvid)


# Shares


@settings(max_examples=30)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 7), st.integers(1, 4), st.integers(0, 2**31))
def test_shares_are_areas(height, width, size, classes, seed):
    labels = torch.randint(-1, classes, (height, width), generator=torch.Generator().manual_seed(seed))
    expected = torch.zeros(classes, size, size, dtype=torch.float64)
    for v in range(size):
        for u in range(size):
            for y in range(height):
                for x in range(width):
                    down = min((v + 1) / size, (y + 1) / height) - max(v / size, y / height)
                    across = min((u + 1) / size, (x + 1) / width) - max(u / size, x / width)
                    if down > 0 and across > 0 and labels[y, x] >= 0:
                        expected[labels[y, x], v, u] += down * across * size**2
    torch.testing.assert_close(label_shares(labels, size, classes).double(), expected, atol=1e-6, rtol=0)


def test_shares_are_one_hot_where_labels_agree():
    labels = torch.from_numpy(numbers(96, 96).astype("int32"))
    labels[labels == 255] = -1
    shares = label_shares(labels, 48, 5)
    assert shares.unique().tolist() == [0, 1]
    assert torch.equal(shares.argmax(0).where(shares.sum(0) > 0, -1), labels[::2, ::2].long())
