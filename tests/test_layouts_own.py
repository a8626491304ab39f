"""Anybody's folders: pictures, label maps, poses and styles without a list, and how they are divided."""

import json
import shutil

import layout_folders
import numpy as np
import pytest
from layout_folders import names, said
from PIL import Image

from exemplar_lab.data.collection import Item
from exemplar_lab.data.label_maps import CAMVID
from exemplar_lab.data.layouts.finding import find_collection
from exemplar_lab.data.layouts.splits import split_items

# Pictures


def test_pictures(tmp_path):
    found = find_collection(layout_folders.pictures(tmp_path / "mine", many=40), "edges")
    assert (found.layout, found.structure, found.labels, found.channels) == ("pictures", "edges", None, 2)
    assert len(found.named()) == 40 and 1 <= len(found.items["val"]) <= 10 and not found.remarks
    assert all(item.files == () for item in found.named().values())


@pytest.mark.parametrize(
    ("folder", "layout"),
    [
        *(("metfaces", "MetFaces"), ("AAHQ-dataset", "AAHQ"), ("ukiyo-e", "Ukiyo-e"), ("Ukiyo_e", "Ukiyo-e")),
        *(("cartoon", "Cartoon"), ("MetFaces/images", "MetFaces"), ("mine", "pictures"), ("metfaces/mine", "pictures")),
    ],
)
def test_painted_faces_have_soft_edges(tmp_path, folder, layout):
    found = find_collection(layout_folders.pictures(tmp_path / folder, many=3), "edges")
    assert (found.layout, found.structure) == (layout, "edges" if layout == "pictures" else "soft edges")
    assert find_collection(tmp_path / folder, "edges", soft=True).structure == "soft edges"


def test_folders_of_splits_are_honoured(tmp_path):
    for place, many in (("train", 4), ("val", 2), ("test", 1)):
        layout_folders.pictures(tmp_path / "mine" / place, many)
    layout_folders.pictures(tmp_path / "mine" / "Validation" / "deeper", many=1)
    found = find_collection(tmp_path / "mine", "edges")
    held_out = ["Validation/deeper/IMG_0000.png", "val/IMG_0000.png", "val/IMG_0001.JPG"]
    assert len(names(found, "train")) == 4 and names(found, "val") == held_out
    assert said(found, "1 images were left out", "neither to train nor to val", "test/IMG_0000.png")
    shutil.rmtree(tmp_path / "mine" / "val")
    shutil.rmtree(tmp_path / "mine" / "Validation")
    found = find_collection(tmp_path / "mine", "edges")
    assert names(found, "val") == ["test/IMG_0000.png"] and not found.remarks


def test_one_split_alone_is_divided(tmp_path):
    found = find_collection(layout_folders.pictures(tmp_path / "mine/train").parent, "edges")
    assert found.items["val"] and len(found.named()) == 12 and said(found, "all images belong to one split")


def test_label_maps_are_no_pictures(tmp_path):
    folder = layout_folders.camvid(tmp_path / "town")
    layout_folders.pictures(folder / "more_masks", many=2)
    layout_folders.pictures(folder / "purposes", many=2)
    found = find_collection(folder, "edges")
    assert {name.split("/")[0] for name in found.named()} == {"train", "val", "purposes"} and len(found.named()) == 11
    assert said(found, "folders of label maps or poses").startswith("11 ")
    scenes = find_collection(layout_folders.ade20k(tmp_path / "scenes"), "edges")
    assert len(scenes.named()) == 9 and all(name.endswith(".jpg") for name in scenes.named())
    assert said(scenes, "but for the suffix").startswith("9 ")


def test_of_two_files_of_one_name_the_photograph_is_taken(tmp_path):
    folder = layout_folders.pictures(tmp_path / "mine", many=3)
    for name in ("IMG_0002.bmp", "IMG_0002.png", "IMG_0002.tiff"):
        shutil.copy(folder / "IMG_0000.png", folder / name)
    found = find_collection(folder, "edges")
    assert set(found.named()) == {"IMG_0000.png", "IMG_0001.JPG", "IMG_0002.jpg"}
    assert said(found, "but for the suffix", "the first being IMG_0002.bmp").startswith("3 ")


def test_where_all_are_masks_masks_are_what_is_wanted(tmp_path):
    found = find_collection(layout_folders.pictures(tmp_path / "carnival/masks").parent, "edges")
    assert len(found.named()) == 12 and not found.remarks


def test_a_single_image_cannot_be_divided(tmp_path):
    folder = layout_folders.pictures(tmp_path / "mine", many=1)
    with pytest.raises(ValueError, match="got one image in .*mine, expected at least two"):
        find_collection(folder, "edges")
    with pytest.raises(FileNotFoundError, match="rename folders, or name another one"):
        find_collection(tmp_path, "labels")


# Splits


def items(*names: str) -> list[Item]:
    return [Item(name) for name in names]


def divided(folder, *names: str) -> tuple[list[str], list[str], tuple[str, ...]]:
    splits, remarks = split_items(folder, items(*names))
    return *([item.name for item in splits[split]] for split in ("train", "val")), remarks


def test_lists_of_splits(tmp_path):
    names = ("a.png", "b.png", "c.png", "d.png")
    layout_folders.write_lines(tmp_path / "val.txt", ["b", "D.PNG"], "\r\n")
    assert divided(tmp_path, *names) == (["a.png", "c.png"], ["b.png", "d.png"], ())
    layout_folders.write_lines(tmp_path / "train.txt", ["a.png"])
    train, val, remarks = divided(tmp_path, *names)
    assert (train, val) == (["a.png"], ["b.png", "d.png"]) and "neither to train nor to val, c.png" in remarks[0]
    (tmp_path / "val.txt").unlink()
    assert divided(tmp_path, *names) == (["a.png"], ["b.png", "c.png", "d.png"], ())
    layout_folders.write_lines(tmp_path / "test.txt", ["b.png"])
    assert divided(tmp_path, *names)[:2] == (["a.png"], ["c.png", "d.png"])


def test_an_image_in_two_lists_is_held_out(tmp_path):
    layout_folders.write_lines(tmp_path / "train.txt", ["a.png", "b.png"])
    layout_folders.write_lines(tmp_path / "val.txt", ["b.png"])
    train, val, remarks = divided(tmp_path, "a.png", "b.png")
    assert (train, val) == (["a.png"], ["b.png"])
    assert remarks == ("1 images are in val.txt and in another list, and belong to val, b.png",)


@pytest.mark.parametrize("content", [b"", b"x.png\ny.png\n", bytes(range(256)), b"a.png\nb.png\nc.png"])
def test_lists_that_divide_nothing_leave_it_to_the_names(tmp_path, content):
    (tmp_path / "val.txt").write_bytes(content)
    train, val, remarks = divided(tmp_path, "a.png", "b.png", "c.png")
    assert train and val and len(train) + len(val) == 3 and (remarks or not content)


def test_groups_stay_together(tmp_path):
    names = [f"{person}/{view}.png" for person in range(30) for view in range(3)]
    splits, _ = split_items(tmp_path, items(*names), lambda name: name.split("/")[0])
    sides = [{item.name.split("/")[0] for item in splits[split]} for split in ("train", "val")]
    assert all(sides) and not sides[0] & sides[1] and sum(map(len, splits.values())) == 90
    splits, _ = split_items(tmp_path, items("a/1.png", "a/2.png"), lambda name: "a")
    assert all(splits.values())


# Label maps


def own_labels(folder, names=("ground", "sky", "tree"), size=(40, 50)):
    for i in range(5):
        layout_folders.save(folder / "images" / f"shot {i}.png", layout_folders.drawing(*size, seed=i))
        layout_folders.save(folder / "labels" / f"shot {i}.png", layout_folders.stripes(*size, (0, 1, 2, 255), seed=i))
    if names:
        layout_folders.write_lines(folder / "classes.txt", list(names))
    return folder


def test_own_label_maps(tmp_path):
    found = find_collection(own_labels(tmp_path / "mine"), "labels")
    assert (found.layout, found.labels.names, found.channels) == ("label folders", ("ground", "sky", "tree"), 3)
    assert found.named()["images/shot 3.png"].files == ("labels/shot 3.png",) and not found.remarks
    (tmp_path / "mine/labels").rename(tmp_path / "mine/masks")
    (tmp_path / "mine/images").rename(tmp_path / "mine/photos")
    assert find_collection(tmp_path / "mine", "labels").named()["photos/shot 3.png"].files == ("masks/shot 3.png",)
    (tmp_path / "mine/masks").rename(tmp_path / "mine/Masks")
    assert find_collection(tmp_path / "mine", "labels").named()["photos/shot 3.png"].files == ("Masks/shot 3.png",)


@pytest.mark.parametrize(
    ("lines", "first", "void"),
    [
        *((["a", "b"], 0, None), (["Unknown", "a", "b"], 1, None), (["a", "b", "unlabelled"], 0, 2)),
        *((["void", "a", "b"], 1, None), (["a", "b", "Ignore"], 0, 2)),
    ],
)
def test_a_class_that_is_none(tmp_path, lines, first, void):
    labels = find_collection(own_labels(tmp_path / "mine", lines), "labels").labels
    assert (labels.names, labels.first, labels.void) == (("a", "b"), first, void)


def test_classes_are_counted_where_nobody_named_them(tmp_path):
    folder = own_labels(tmp_path / "mine", None)
    (folder / "labels/shot 0.png").write_bytes(b"no image")
    found = find_collection(folder, "labels")
    assert found.labels.names == ("0", "1", "2") and "3 classes, counted" in said(found, "no classes.txt")
    assert len(found.named()) == 5


@pytest.mark.parametrize(
    ("spoilt", "problem"),
    [
        (lambda path: path.write_bytes(b"no image"), "none of which names a class; .*cannot be read as an image"),
        (lambda path: Image.new("RGB", (50, 40)).save(path), "none of which names a class; .*colours are not labels"),
        (lambda path: Image.new("L", (50, 40), 255).save(path), "none of which names a class; .*unknown"),
        (lambda path: Image.fromarray(np.full((40, 50), 5000, np.uint16)).save(path), "got label 5000 .*number objects"),
    ],
)
def test_label_maps_that_name_no_classes(tmp_path, spoilt, problem):
    folder = own_labels(tmp_path / "mine", None)
    for path in (folder / "labels").iterdir():
        spoilt(path)
    with pytest.raises(ValueError, match=problem):
        find_collection(folder, "labels")


def test_a_broken_list_of_classes(tmp_path):
    folder = own_labels(tmp_path / "mine", ["a"])
    (folder / "classes.txt").write_bytes(bytes(range(256)))
    with pytest.raises(ValueError, match="classes.txt, which cannot be read"):
        find_collection(folder, "labels")


def test_of_two_arrangements_that_with_more_is_taken(tmp_path):
    folder = own_labels(tmp_path / "mine")
    layout_folders.camvid(tmp_path / "town", many=2)
    for place in ("val", "valannot"):
        shutil.copytree(tmp_path / "town" / place, folder / place)
    found = find_collection(folder, "labels")
    assert {name.split("/")[0] for name in found.named()} == {"images"}


def test_label_maps_beside_their_photographs(tmp_path):
    folder = layout_folders.ade20k(tmp_path / "mine")
    for path in [*folder.rglob("*.*")]:
        path.rename(path.with_name(path.name.replace("ADE_", "my_")))
    layout_folders.write_lines(folder / "classes.txt", ["unknown", "wall", "sky"])
    found = find_collection(folder, "labels")
    assert (found.layout, found.labels.names, len(found.items["val"])) == ("label folders", ("wall", "sky"), 3)
    for path in sorted(folder.rglob("*.png"))[:5]:
        path.unlink()
    with pytest.raises(FileNotFoundError, match="holds 13 images and 1 other files"):
        find_collection(folder, "labels")


def test_camvid_with_a_list_of_classes(tmp_path):
    folder = layout_folders.camvid(tmp_path / "town")
    layout_folders.write_lines(folder / "classes.txt", list(CAMVID))
    found = find_collection(folder, "labels")
    assert (found.layout, found.labels.names, found.labels.void) == ("CamVid", CAMVID[:-1], 11)


# Poses


def test_own_poses(tmp_path):
    found = find_collection(layout_folders.own_poses(tmp_path / "mine"), "pose")
    assert (found.layout, found.structure, found.paired, found.exemplars) == ("images and poses", "pose", (), {})
    files = {name: item.files for name, item in found.named().items()}
    assert files["shot00.jpg"] == ("shot00_keypoints.json",) and files["shot02.jpg"] == ("shot02_pose.png",)
    assert files["shot01.jpg"] == ("shot01_candidate.txt", "shot01_subset.txt") and len(files) == 6 and not found.remarks


def test_poses_in_a_folder_of_their_own(tmp_path):
    folder = layout_folders.own_poses(tmp_path / "mine", many=3)
    before = {name: item.files for name, item in find_collection(folder, "pose").named().items()}
    for path in sorted(folder.iterdir()):
        place = folder / ("images" if path.suffix == ".jpg" else "poses") / path.name
        place.parent.mkdir(exist_ok=True)
        path.rename(place)
    found = find_collection(folder, "pose")
    moved = {f"images/{name}": tuple(f"poses/{file}" for file in files) for name, files in before.items()}
    assert {name: item.files for name, item in found.named().items()} == moved and not found.remarks
    (folder / "poses/shot02_pose.png").rename(folder / "poses/shot02.png")
    (folder / "poses/shot00_keypoints.json").rename(folder / "poses/shot00.json")
    assert find_collection(folder, "pose").named()["images/shot02.jpg"].files == ("poses/shot02.png",)
    assert find_collection(folder, "pose").named()["images/shot00.jpg"].files == ("poses/shot00.json",)


def test_images_without_a_pose_and_poses_without_an_image(tmp_path):
    folder = layout_folders.own_poses(tmp_path / "mine", many=9)
    (folder / "shot01_subset.txt").unlink()
    (folder / "shot03.jpg").unlink()
    (folder / "notes.json").write_text(json.dumps({}))
    found = find_collection(folder, "pose")
    assert len(found.named()) == 7
    assert "expected shot01_keypoints.json, shot01_candidate.txt" in said(found, "1 images without a pose", "shot01.jpg")
    assert said(found, "1 poses have no image", "shot03_keypoints.json")
    for path in (*folder.glob("*_*"), folder / "notes.json"):
        path.unlink()
    with pytest.raises(FileNotFoundError, match="holds 8 images and 0 other files.*your own: NAME.jpg with"):
        find_collection(folder, "pose")


# Styles


def test_styles_of_equal_numbers_are_pairs(tmp_path):
    found = find_collection(layout_folders.styles(tmp_path / "mine"), "style")
    assert (found.layout, found.structure, found.paired) == ("contents and styles", "photograph", ())
    assert len(found.items["style"]) == 11 and not any(name.startswith("style") for name in names(found, "train"))
    pairs = {name: others for named in found.exemplars.values() for name, others in named.items()}
    assert pairs["content/in07.jpg"] == ("style/tar07.jpg",) and len(pairs) == 11 and "content/in11.jpg" not in pairs
    assert found.how == "equal numbers" and said(found, "1 of 12 photographs have no style")
    assert set(found.exemplars["val"]) == set(names(found, "val")) - {"content/in11.jpg"}


@pytest.mark.parametrize(
    ("contents", "styles", "many"),
    [
        *((["07", "9"], ["7", "09"], 2), (["a1", "a2"], ["b2", "b3"], 1), (["in1", "out1"], ["tar1", "tar2"], 0)),
        *(
            (["cat", "dog"], ["cat", "dog"], 0),
            (["in1", "in2"], ["monet1", "rembrandt2"], 0),
            (["in1", "x"], ["tar1", "tar2"], 0),
        ),
    ],
)
def test_which_names_are_pairs(tmp_path, contents, styles, many):
    for place, those in (("content", contents), ("style", styles)):
        for name in those:
            layout_folders.save(tmp_path / place / f"{name}.png", layout_folders.drawing(20, 20))
    found = find_collection(tmp_path, "style")
    assert sum(map(len, found.exemplars.values())) == many and bool(found.how) == bool(many)


def test_both_folders_of_contents(tmp_path):
    layout_folders.styles(tmp_path / "mine", many=4)
    for place in ("content", "style"):
        layout_folders.pictures(tmp_path / "mine" / f"adain_{place}", many=3)
    found = find_collection(tmp_path / "mine", "style")
    assert len(found.items["train"]) + len(found.items["val"]) == 7 and len(found.items["style"]) == 7
    (tmp_path / "mine" / "content").rename(tmp_path / "mine" / "Content")
    assert len(find_collection(tmp_path / "mine", "style").named()) == 14
    shutil.rmtree(tmp_path / "mine" / "style")
    found = find_collection(tmp_path / "mine", "style")
    assert {name.split("/")[0] for name in found.named()} == {"adain_content", "adain_style"}
    shutil.rmtree(tmp_path / "mine" / "adain_style")
    with pytest.raises(FileNotFoundError, match="photographs in content/ and images"):
        find_collection(tmp_path / "mine", "style")
