"""The papers' data sets in their own layouts: what is found on made-up folders, and what is said of broken ones."""

import shutil
from pathlib import Path

import layout_folders
import pytest
from layout_folders import names, said
from PIL import Image

from exemplar_lab.data.collection import read_collection, write_collection
from exemplar_lab.data.layouts.celeba import JOINED_PARTS, PARTS
from exemplar_lab.data.layouts.class_names import ADE20K, COCO_STUFF
from exemplar_lab.data.layouts.finding import LAYOUTS, find_collection
from exemplar_lab.data.layouts.listing import is_image, list_files
from exemplar_lab.data.layouts.scenes import is_outdoors

OFFICIAL = {
    "deepfashion": ("pose", layout_folders.deepfashion),
    "celeba": ("edges", layout_folders.celeba),
    "ade20k": ("labels", layout_folders.ade20k),
    "coco_stuff": ("labels", layout_folders.coco_stuff),
    "camvid": ("labels", layout_folders.camvid),
    "pictures": ("edges", layout_folders.pictures),
    "styles": ("style", layout_folders.styles),
    "own_poses": ("pose", layout_folders.own_poses),
}
"""By name: the task, and what makes the folder."""


def spoil(folder: Path) -> Path:
    """Nothing that is called an image is one any more."""
    for path in folder.rglob("*"):
        if is_image(path.name):
            path.write_bytes(b"no image")
    return folder


@pytest.fixture(params=OFFICIAL)
def any_layout(request, tmp_path):
    task, make = OFFICIAL[request.param]
    return make(tmp_path / request.param), task


# All layouts


def test_no_image_is_opened(any_layout, monkeypatch):
    folder, task = any_layout
    before = find_collection(folder, task)
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("an image was opened"))
    assert find_collection(spoil(folder), task) == before


def test_everything_named_is_there_and_in_one_split(any_layout):
    folder, task = any_layout
    found = find_collection(folder, task)
    whole = [item for split in found.items.values() for item in split]
    assert all((folder / name).is_file() for item in whole for name in (item.name, *item.files))
    assert len({item.name for item in whole}) == len(whole) and all(found.items[split] for split in ("train", "val"))
    assert "\\" not in "".join(item.name for item in whole)
    known = found.named()
    assert all(
        other in known and other != name
        for split, pairs in found.exemplars.items()
        for name, others in pairs.items()
        for other in others
    )


def test_a_collection_is_written_and_read_again(any_layout, tmp_path):
    folder, task = any_layout
    found = find_collection(folder, task)
    write_collection(found, tmp_path / "room")
    assert read_collection(tmp_path / "room")[0] == found


def test_the_room_of_an_earlier_run_and_hidden_files_are_no_images(any_layout):
    folder, task = any_layout
    before = find_collection(folder, task)
    for place in ("exemplar-lab/contact.png", "exemplar-lab/cache/a.png", ".trash/b.png", "__MACOSX/c.jpg", "._d.jpg"):
        layout_folders.save(folder / place, layout_folders.drawing(20, 20))
    assert find_collection(folder, task) == before


def test_suffixes_in_capitals_change_nothing_else(any_layout):
    folder, task = any_layout
    before = find_collection(folder, task)
    for path in [path for path in folder.rglob("*.jpg")]:
        path.rename(path.with_suffix(".JPG"))
    after = find_collection(folder, task)
    assert sorted(Path(name).stem for name in after.named()) == sorted(Path(name).stem for name in before.named())
    assert (after.layout, after.structure, after.labels, after.remarks) == (
        before.layout,
        before.structure,
        before.labels,
        before.remarks,
    )


def test_the_folder_may_be_a_word_a_link_or_relative(any_layout, tmp_path, monkeypatch):
    folder, task = any_layout
    before = find_collection(folder, task)
    (tmp_path / "link").symlink_to(folder, target_is_directory=True)
    assert find_collection(tmp_path / "link", task).items == before.items
    monkeypatch.chdir(folder)
    assert find_collection(".", task).items == before.items


@pytest.mark.parametrize("task", LAYOUTS)
def test_nothing_usable_is_one_clear_line(task, tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist; expected a folder"):
        find_collection(tmp_path / "nowhere", task)
    (tmp_path / "file.png").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match="is a file; expected a folder"):
        find_collection(tmp_path / "file.png", task)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError) as problem:
        find_collection(tmp_path / "empty", task)
    told = str(problem.value)
    assert "holds 0 images and 0 other files" in told and task in told and "\n" not in told
    assert all(words in told for _, words in LAYOUTS[task])


def test_a_folder_too_high_up_names_the_right_one(any_layout):
    folder, task = any_layout
    if task == "edges" and folder.name == "pictures" or folder.name == "own_poses":
        assert len(find_collection(folder.parent, task).named()) == len(find_collection(folder, task).named())
    elif folder.name in ("deepfashion", "celeba", "ade20k"):
        right = find_collection(folder, task).layout
        assert said(find_collection(folder.parent, task), f"{folder.name}/ is laid out as {right}: name that folder")
    else:
        with pytest.raises(FileNotFoundError, match=f"name the folder {folder}"):
            find_collection(folder.parent, task)


def test_other_tasks_are_refused(tmp_path):
    with pytest.raises(ValueError, match="'masks', expected one of edges, labels, pose, style"):
        find_collection(tmp_path, "masks")
    with pytest.raises(ValueError, match="soft edges for the task pose"):
        find_collection(tmp_path, "pose", soft=True)


def test_links_are_followed_but_not_in_circles(tmp_path):
    layout_folders.pictures(tmp_path / "disc", many=3)
    folder = layout_folders.pictures(tmp_path / "mine", many=2)
    (folder / "more").symlink_to(tmp_path / "disc", target_is_directory=True)
    (folder / "more again").symlink_to(tmp_path / "disc", target_is_directory=True)
    (folder / "circle").symlink_to(folder, target_is_directory=True)
    (folder / "lost.png").symlink_to(tmp_path / "nothing.png")
    found = find_collection(folder, "edges")
    assert sorted(found.named()) == ["IMG_0000.png", "IMG_0001.JPG", *(f"more/IMG_000{i}" for i in ("0.png", "1.JPG", "2.jpg"))]
    assert "2 links were left out" in said(found, "here already", "circle/")
    assert said(found, "lead nowhere", "lost.png").startswith("1 ")


def test_names_that_are_no_text_are_left_out(tmp_path):
    folder = layout_folders.pictures(tmp_path / "mine", many=3)
    try:
        (folder / "bad\udcff.png").write_bytes(b"")
    except OSError:
        pytest.skip("this disk takes no names that are no text")
    found = find_collection(folder, "edges")
    assert len(found.named()) == 3 and "bad?.png" in said(found, "names that are no text")
    write_collection(found, tmp_path / "room")


def test_a_listing_is_sorted_and_whole(tmp_path):
    for name in ("b/2.png", "b/1.txt", "a.png", "b.png", "b/c/3.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    listing = list_files(tmp_path)
    assert listing.files == ("a.png", "b.png", "b/1.txt", "b/2.png", "b/c/3.jpg") and listing.folders == ("b",)
    assert listing.inside("b") == ("b/2.png", "b/c/3.jpg") and listing.inner("b").files == ("1.txt", "2.png", "c/3.jpg")


# DeepFashion


def test_deepfashion(tmp_path):
    folder = layout_folders.deepfashion(tmp_path / "DeepFashion")
    found = find_collection(folder, "pose")
    person = "WOMEN/Dresses/id_00000205"
    assert (found.layout, found.structure, found.channels, found.remarks) == ("DeepFashion", "pose", 35, ())
    assert names(found, "val") == [f"img/{person}/01_1_front.jpg"] and len(found.items["train"]) == 5
    assert found.items["val"][0].files == tuple(f"pose/{person}/01_1_front_{half}.txt" for half in ("candidate", "subset"))
    assert found.paired == ("train", "val") and found.exemplars["val"] == {
        f"img/{person}/01_1_front.jpg": (f"img/{person}/01_2_side.jpg",)
    }
    # What is held out is never shown in training, not even as an exemplar.
    assert f"img/{person}/01_2_side.jpg" not in found.exemplars["train"] and len(found.exemplars["train"]) == 4


def test_another_outfit_is_no_pair(tmp_path):
    folder = layout_folders.deepfashion(tmp_path / "d", people=1, views=4)
    for half in ("img", "pose"):
        for path in (folder / half).rglob("01_3*"):
            path.rename(path.with_name(path.name.replace("01_3", "02_3")))
    (folder / "val.txt").unlink()
    found = find_collection(folder, "pose")
    pairs = {name for named in found.exemplars.values() for name in named}
    assert pairs and not any("02_3" in name for name in pairs)
    assert not any("02_3" in other for named in found.exemplars.values() for others in named.values() for other in others)


def test_without_a_list_no_person_is_on_both_sides(tmp_path):
    folder = layout_folders.deepfashion(tmp_path / "d", people=12)
    (folder / "val.txt").unlink()
    found = find_collection(folder, "pose")
    people = [{name.split("/")[3] for name in names(found, split)} for split in ("train", "val")]
    assert all(people) and not people[0] & people[1] and len(found.named()) == 24


def test_images_without_poses_are_counted(tmp_path):
    folder = layout_folders.deepfashion(tmp_path / "d")
    dress = folder / "pose/WOMEN/Dresses"
    (dress / "id_00000203/01_1_front_subset.txt").unlink()
    shutil.move(folder / "img/WOMEN/Dresses/id_00000204/01_2_side.jpg", folder / "elsewhere.jpg")
    found = find_collection(folder, "pose")
    assert len(found.named()) == 4
    assert "pose/WOMEN/Dresses/id_00000203/01_1_front_subset.txt" in said(found, "1 images without a whole pose")
    assert said(found, "files of poses have no image").startswith("2 ")
    shutil.rmtree(folder / "pose")
    with pytest.raises(FileNotFoundError, match="as DeepFashion"):
        find_collection(folder, "pose")


def test_a_list_that_names_what_is_not_there(tmp_path):
    folder = layout_folders.deepfashion(tmp_path / "d")
    layout_folders.write_lines(
        folder / "val.txt", ["", "img\\MEN\\none.jpg", (folder / "val.txt").read_text(), "nothing"], "\r\n"
    )
    found = find_collection(folder, "pose")
    assert len(found.items["val"]) == 1 and "img\\MEN\\none.jpg" in said(found, "2 of 3 names in val.txt")
    (folder / "val.txt").write_bytes(bytes(range(256)))
    found = find_collection(folder, "pose")
    assert found.items["val"] and "cannot be read as text" in said(found, "val.txt was left out")
    (folder / "val.txt").write_text("")
    assert find_collection(folder, "pose").items["val"]


# CelebAMask-HQ


@pytest.mark.parametrize("task", ["edges", "labels"])
@pytest.mark.parametrize("joined", [False, True])
def test_faces(tmp_path, task, joined):
    folder = layout_folders.celeba(tmp_path / "faces", joined)
    found = find_collection(folder, task)
    assert found.layout == "CelebAMask-HQ" and found.structure == {"edges": "part edges", "labels": "labels"}[task]
    assert found.channels == {"edges": 15, "labels": 19}[task] and found.labels.masks and not found.remarks
    assert found.labels.names == (JOINED_PARTS if joined else PARTS)
    assert sorted(names(found, "val")) == ["CelebA-HQ-img/26397.jpg", "CelebA-HQ-img/29922.jpg"]
    glasses = found.named()["CelebA-HQ-img/15064.jpg"].files
    place = "CelebAMask-HQ-mask-anno"
    assert f"{place}/7/15064_eye_g.png" in glasses
    if joined:
        assert glasses[0] == f"{place}/all_parts_except_glasses/15064.png" and len(glasses) == 2
        assert found.named()["CelebA-HQ-img/1999.jpg"].files == (f"{place}/all_parts_except_glasses/01999.png",)
    else:
        assert found.named()["CelebA-HQ-img/1999.jpg"].files[:2] == (f"{place}/0/01999_skin.png", f"{place}/0/01999_nose.png")
        assert len(glasses) == 14


def test_parts_have_the_names_of_the_made_up_ones():
    assert PARTS[1:] == layout_folders.PARTS and JOINED_PARTS == layout_folders.JOINED
    assert sorted(PARTS) == sorted(JOINED_PARTS) and len(set(PARTS)) == 19


def test_whole_masks_come_before_the_map_without_glasses(tmp_path):
    layout_folders.celeba(tmp_path / "faces", joined=True)
    found = find_collection(layout_folders.celeba(tmp_path / "faces"), "labels")
    assert found.labels.names == PARTS and all(len(item.files) > 2 for item in found.named().values())


def test_soft_edges_of_faces_need_no_masks(tmp_path):
    found = find_collection(layout_folders.celeba(tmp_path / "faces"), "edges", soft=True)
    assert found.structure == "soft edges" and len(found.named()) == 6 and len(found.items["val"]) == 2
    assert said(found, "folders of label maps or poses").startswith("79 ")


def test_what_is_wrong_with_faces_is_counted(tmp_path):
    folder = layout_folders.celeba(tmp_path / "faces")
    masks = folder / "CelebAMask-HQ-mask-anno"
    for path in (masks / "1").glob("02994_*"):
        path.unlink()
    (folder / "CelebA-HQ-img/1999.jpg").unlink()
    shutil.copy(folder / "CelebA-HQ-img/14721.jpg", folder / "CelebA-HQ-img/014721.jpeg")
    shutil.copy(folder / "CelebA-HQ-img/14721.jpg", folder / "CelebA-HQ-img/me.jpg")
    shutil.copy(masks / "7/14721_skin.png", masks / "7/14721_moustache.png")
    shutil.copy(masks / "7/14721_skin.png", masks / "0/14721_skin.png")
    layout_folders.write_lines(folder / "val.txt", ["29922", "29922", "77777", "26397.jpg"])
    found = find_collection(folder, "labels")
    assert sorted(Path(name).stem for name in found.named()) == ["014721", "15064", "26397", "29922"]
    assert len(found.items["val"]) == 2
    assert "02994" not in said(found, "1 faces without a mask", "CelebA-HQ-img/2994.jpg") and said(
        found, "masks were left out", "1 "
    )
    assert said(found, "1 numbers have a mask and no image, 1999")
    assert said(found, "whose name is no number", "me.jpg") and said(found, "have the number of another", "14721.jpg")
    assert said(found, "named after no part", "moustache") and said(found, "1 of 3 names in val.txt", "77777")
    shutil.rmtree(masks)
    with pytest.raises(FileNotFoundError, match="as CelebAMask-HQ"):
        find_collection(folder, "labels")
    assert find_collection(folder, "edges").structure == "edges"


# ADE20K


def test_ade20k(tmp_path):
    folder = layout_folders.ade20k(tmp_path / "ade")
    found = find_collection(folder, "labels")
    assert (found.layout, found.structure, found.channels) == ("ADE20K", "labels", 150)
    assert (found.labels.names, found.labels.first, found.labels.void) == (ADE20K, 1, None)
    assert found.items["val"][0].files == ("validation/ADE_val_00001000.png",)
    assert {split: len(items) for split, items in found.items.items()} == {"train": 6, "val": 3}
    assert "indoor scenes are kept" in said(found, "no sceneCategories.txt")


def test_indoor_scenes_are_left_out_where_scenes_are_known(tmp_path):
    folder = layout_folders.ade20k(tmp_path / "ade")
    layout_folders.ade20k_scenes(folder)
    found = find_collection(folder, "labels")
    assert "training/ADE_train_00001000.jpg" not in found.named() and len(found.named()) == 7
    assert said(found, "2 of 9 images were left out", "sceneCategories.txt", "training/ADE_train_00001000.jpg")
    layout_folders.write_lines(folder / "outdoor.txt", ["ADE_train_00001000", "ADE_train_00001037.jpg", "ADE_val_00001037.png"])
    found = find_collection(folder, "labels")
    assert names(found, "train") == ["training/ADE_train_00001000.jpg", "training/ADE_train_00001037.jpg"]
    assert names(found, "val") == ["validation/ADE_val_00001037.jpg"] and said(found, "6 of 9 images", "outdoor.txt")
    (folder / "outdoor.txt").unlink()
    layout_folders.ade20k_scenes(folder, tuple(path.stem for path in folder.rglob("*.jpg")))
    assert len(find_collection(folder, "labels").named()) == 9


def test_the_release_of_the_challenge_has_maps_in_folders_of_their_own(tmp_path):
    folder = layout_folders.ade20k(tmp_path / "ade")
    before = find_collection(folder, "labels")
    for split in ("training", "validation"):
        for path in sorted((folder / split).iterdir()):
            place = folder / ("images" if path.suffix == ".jpg" else "annotations") / split / path.name
            place.parent.mkdir(parents=True, exist_ok=True)
            path.rename(place)
    found = find_collection(folder, "labels")
    assert found.layout == "ADE20K" and found.labels == before.labels
    assert names(found, "val") == [f"images/{name}" for name in names(before, "val")]
    assert found.items["val"][0].files == ("annotations/validation/ADE_val_00001000.png",)


def test_scenes_that_sound_outdoors():
    outdoors = ("street", "mountain_snowy", "market/outdoor", "building_facade", "balcony/exterior", "gas_station", "ski_slope")
    indoors = ("bedroom", "bus_interior", "market/indoor", "bowling_alley", "misc", "engine_room", "", "bakery/shop")
    assert all(map(is_outdoors, outdoors)) and not any(map(is_outdoors, indoors))


# COCO-Stuff and CamVid


def test_coco_stuff(tmp_path):
    folder = layout_folders.coco_stuff(tmp_path / "coco", many=12)
    found = find_collection(folder, "labels")
    assert (found.layout, found.channels, found.labels.names) == ("COCO-Stuff", 182, COCO_STUFF) and not found.remarks
    assert len(found.named()) == 12 and found.named()["train_img/000000017914.jpg"].files == ("train_label/000000017914.png",)
    for kind in ("img", "label"):
        (folder / f"val_{kind}").mkdir()
        last = sorted((folder / f"train_{kind}").iterdir())[-1]
        last.rename(folder / f"val_{kind}" / last.name)
    assert len(find_collection(folder, "labels").items["val"]) == 1


def test_names_of_classes():
    assert len(set(ADE20K)) == len(ADE20K) == 150 and len(set(COCO_STUFF)) == len(COCO_STUFF) == 182
    assert (ADE20K[2], ADE20K[104]) == ("sky", "fountain") and (COCO_STUFF[16], COCO_STUFF[156]) == ("cat", "sky-other")


def test_camvid(tmp_path):
    found = find_collection(layout_folders.camvid(tmp_path / "town"), "labels")
    assert (found.layout, found.channels, found.labels.void, found.labels.first) == ("CamVid", 11, 11, 0)
    assert found.labels.names[0] == "sky" and names(found, "val")[0] == "val/0016E5_07961.jpg" and not found.remarks


def test_what_is_wrong_with_label_folders_is_counted(tmp_path):
    folder = layout_folders.camvid(tmp_path / "town")
    (folder / "trainannot/0001TP_006690.png").unlink()
    (folder / "train/0001TP_006720.jpg").unlink()
    shutil.copy(folder / "train/0001TP_006750.jpg", folder / "train/0001TP_006750.png")
    shutil.rmtree(folder / "valannot")
    found = find_collection(folder, "labels")
    assert len(found.named()) == 4 and found.items["val"]
    assert said(found, "1 photographs without a label map", "train/0001TP_006690.jpg")
    assert said(found, "1 label maps without a photograph", "trainannot/0001TP_006720.png")
    assert said(found, "but for the suffix", "train/0001TP_006750.png")
    assert said(found, "3 images were left out", "val/0016E5_07961.jpg", "both val/ and valannot/")
    shutil.rmtree(folder / "trainannot")
    with pytest.raises(FileNotFoundError, match="as CamVid"):
        find_collection(folder, "labels")
