"""Folders as people have them: other capitals, links to themselves, sheets of earlier runs, broken label maps, lists of 151."""

import shutil

import layout_folders
import numpy as np
import pytest
from layout_folders import names, said
from PIL import Image
from test_layouts import OFFICIAL

from exemplar_lab.data.collection import CONTACT, FILE
from exemplar_lab.data.label_maps import CAMVID
from exemplar_lab.data.layouts.class_names import ADE20K
from exemplar_lab.data.layouts.finding import find_collection
from exemplar_lab.data.layouts.listing import list_files


def recased(folder, other, capitals):
    """A copy whose folders are written in other capitals, but for those that number a person."""
    shutil.copytree(folder, other)
    for place in sorted((path for path in other.rglob("*") if path.is_dir()), reverse=True):
        if not place.name.startswith("id_"):
            between = place.rename(place.with_name("between"))  # some disks take two capitals for one name
            between.rename(place.with_name(capitals(place.name)))
    return other


def small(found, *splits):
    return sorted(name.lower() for split in splits for name in names(found, split))


@pytest.mark.parametrize("capitals", [str.upper, str.lower, str.title])
@pytest.mark.parametrize("layout", OFFICIAL)
def test_capitals_of_folders_make_no_difference(tmp_path, layout, capitals):
    task, make = OFFICIAL[layout]
    before = find_collection(make(tmp_path / layout), task)
    other = recased(tmp_path / layout, tmp_path / "other" / layout, capitals)
    found = find_collection(other, task)
    same = ("layout", "structure", "labels", "paired", "how")
    assert [getattr(found, name) for name in same] == [getattr(before, name) for name in same]
    told = layout in ("deepfashion", "celeba", "ade20k", "camvid")  # the others are split by their names
    for splits in [("train",), ("val",)] if told else [("train", "val")]:
        assert small(found, *splits) == small(before, *splits)
    assert all((other / file).is_file() for item in found.named().values() for file in (item.name, *item.files))
    assert sum(len(item.files) for item in found.named().values()) == sum(len(item.files) for item in before.named().values())
    assert [remark.lower() for remark in found.remarks] == [remark.lower() for remark in before.remarks]


def test_capitals_within_folders_of_images_and_of_maps_may_differ(tmp_path):
    folder = layout_folders.ade20k(tmp_path / "ade")
    for path in sorted(folder.glob("*/*")):
        kind = f"Images/{path.parent.name}" if path.suffix == ".jpg" else f"annotations/{path.parent.name.title()}"
        (folder / kind).mkdir(parents=True, exist_ok=True)
        path.rename(folder / kind / path.name)
    found = find_collection(folder, "labels")
    assert found.layout == "ADE20K" and found.items["val"][0].files == ("annotations/Validation/ADE_val_00001000.png",)


def test_a_folder_is_found_by_its_own_name_first(tmp_path):
    for name in ("IMG/Deep/a.jpg", "img/deep/b.jpg"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    listing = list_files(tmp_path)
    if len(listing.folders) < 2:
        pytest.skip("this disk takes two capitals for one name")
    assert [listing.called(name) for name in ("img", "IMG", "Img", "img/DEEP", "none/of")] == [
        *("img", "IMG", "IMG", "img/deep", "none/of"),
    ]


def test_a_link_to_itself_leads_nowhere(tmp_path):
    folder = layout_folders.pictures(tmp_path / "mine", many=2)
    for name in ("loop.png", "loop"):
        (folder / name).symlink_to(folder / name)
    found = find_collection(folder, "edges")
    assert len(found.named()) == 2 and said(found, "lead nowhere", "the first being loop").startswith("2 ")


def test_the_contact_sheet_of_any_room_is_no_image(tmp_path):
    folder = layout_folders.pictures(tmp_path / "mine", many=2)
    for place in ("a", "deep/b", "own"):
        layout_folders.save(folder / place / CONTACT, layout_folders.drawing(40, 40))
        (folder / place / (FILE if place != "own" else "notes.json")).write_text("{}")
    assert sorted(find_collection(folder, "edges").named()) == ["IMG_0000.png", "IMG_0001.JPG", f"own/{CONTACT}"]


@pytest.mark.parametrize(
    ("lines", "void"),
    [(ADE20K, None), (("unlabelled", *ADE20K), None), ((*ADE20K, "Void"), 151)],
    ids=["150 names", "a first line for 0", "a last line"],
)
def test_names_of_ade20k_belong_to_their_numbers(tmp_path, lines, void):
    folder = layout_folders.ade20k(tmp_path / "ade")
    layout_folders.write_lines(folder / "classes.txt", list(lines))
    labels = find_collection(folder, "labels").labels
    assert (labels.names, labels.first, labels.void) == (ADE20K, 1, void)


def numbered(folder, many, largest):
    """CamVid under other names, whose first label map holds one pixel of `largest`."""
    layout_folders.camvid(folder, many)
    for path in folder.rglob("*.*"):
        path.rename(path.with_name(path.name.replace("TP_", "a").replace("E5_", "b")))
    first = min((folder / "trainannot").iterdir())
    numbers = np.asarray(Image.open(first)).astype(np.uint16)
    numbers[0, 0] = largest
    Image.fromarray(numbers).save(first)
    return first.name


@pytest.mark.parametrize(("many", "largest"), [(12, 111), (4, 300)])
def test_the_label_map_that_names_most_classes_is_said(tmp_path, many, largest):
    name = numbered(tmp_path / "town", many, largest)
    found = find_collection(tmp_path / "town", "labels")
    assert found.channels == largest + 1 and name in said(found, f"{largest + 1} classes, counted")


def test_a_label_far_above_those_of_all_other_maps_is_refused(tmp_path):
    name = numbered(tmp_path / "town", 12, 300)
    with pytest.raises(ValueError, match=rf"got label 300 in .*{name}, and none above 11 in 17 of 18 label maps"):
        find_collection(tmp_path / "town", "labels")
    layout_folders.write_lines(tmp_path / "town" / "classes.txt", list(CAMVID))
    assert find_collection(tmp_path / "town", "labels").channels == len(CAMVID) - 1
