"""The samples of the papers' data sets, where they are beside the checkout: each layout is found, each item read."""

from pathlib import Path

import pytest
from layout_folders import names, said

from exemplar_lab.data.canvas import canvases
from exemplar_lab.data.collection import Collection
from exemplar_lab.data.layouts.finding import find_collection

SHARED = Path(__file__).parents[2] / "shared" / "data"

SAMPLES = {
    "official_layouts/DeepFashion": ("pose", "DeepFashion", "pose", 35, (4, 4), 4),
    "official_layouts/celebahqedge": ("edges", "CelebAMask-HQ", "part edges", 15, (4, 4), 4),
    "official_layouts/celebahq": ("labels", "CelebAMask-HQ", "labels", 19, (4, 4), 4),
    "official_layouts/ade20k": ("labels", "ADE20K", "labels", 150, (6, 6), 6),
    "official_layouts/coco_stuff": ("labels", "COCO-Stuff", "labels", 182, (12, 1), 0),
    "camvid": ("labels", "CamVid", "labels", 11, (367, 101), 0),
    "style_transfer": ("style", "contents and styles", "photograph", 3, (38, 2), 29),
    "style_transfer/adain_style": ("edges", "pictures", "edges", 2, (19, 1), 0),
}
"""By folder: the task, and what is found: layout, structure, channels, images of train and of val, targets with pairs."""


def sample(name: str, task: str | None = None) -> Collection:
    if not (SHARED / name).is_dir():
        pytest.skip(f"no samples of {name} beside the checkout")
    return find_collection(SHARED / name, task or SAMPLES[name][0])


@pytest.mark.parametrize("name", SAMPLES)
def test_what_is_found(name):
    _, layout, structure, channels, counts, pairs = SAMPLES[name]
    found = sample(name)
    assert (found.layout, found.structure, found.channels) == (layout, structure, channels)
    assert tuple(len(found.items[split]) for split in ("train", "val")) == counts
    assert sum(map(len, found.exemplars.values())) == pairs and not found.paired


@pytest.mark.parametrize("name", SAMPLES)
def test_every_item_can_be_read(name):
    found = sample(name)
    some = [item for of in found.items.values() for item in (of if len(of) < 50 else of[::25])]
    for canvas in canvases(found, some, 64):
        assert min(canvas.image.shape[-2:]) == 64
        assert (canvas.labels is not None) == (found.labels is not None)
        assert canvas.labels is None or -1 <= canvas.labels.min() < canvas.labels.max() < len(found.labels.names)
        assert (canvas.keypoints is not None) == (found.structure == "pose")


def test_the_list_of_deepfashion():
    found = sample("official_layouts/DeepFashion")
    dresses = "img/WOMEN/Dresses"
    assert found.exemplars["val"][f"{dresses}/id_00000244/02_1_front.jpg"] == (
        "img/WOMEN/Tees_Tanks/id_00007059/03_3_back.jpg",
    )
    assert found.how == "deepfashion_ref_test.txt" and said(found, "3 of 3 names in deepfashion_self_pair.txt")


def test_the_labels_of_both_releases_of_faces_mean_the_same():
    """Where a face has an eye by its mask, the label map without glasses has one too."""
    found = sample("official_layouts/celebahq")
    eye = found.labels.names.index("l_eye")
    assert eye == 5
    canvas = canvases(found, found.items["val"][:1], 256)[0]
    x = (canvas.labels == eye).nonzero()[:, 1].float().mean()
    other = (canvas.labels == found.labels.names.index("r_eye")).nonzero()[:, 1].float().mean()
    nose = (canvas.labels == found.labels.names.index("nose")).nonzero()[:, 1].float().mean()
    assert other < nose < x  # the left eye of a person is on the right of the picture


def test_the_sky_is_above_the_ground():
    """The names of classes belong to their numbers: measured in all scenes that have both."""
    for name, below in (("official_layouts/ade20k", ("road", "grass", "earth", "floor")), ("camvid", ("road", "pavement"))):
        found = sample(name)
        items = [item for of in found.items.values() for item in of[:12]]
        for canvas in canvases(found, items, 64):
            rows = [(canvas.labels == found.labels.names.index(one)).nonzero()[:, 0].float() for one in ("sky", *below)]
            assert all(rows[0].mean() < other.mean() for other in rows[1:] if min(len(other), len(rows[0])) > 20)


def test_the_other_task_on_the_same_faces():
    found = sample("official_layouts/celebahq", "edges")
    assert found.structure == "part edges" and found.items == sample("official_layouts/celebahq").items
    assert sample("official_layouts/celebahqedge", "labels").channels == 19


def test_pictures_of_a_labelled_set_are_its_photographs():
    found = sample("camvid", "edges")
    assert found.structure == "edges" and len(found.named()) == 468 and names(found, "val")[0].startswith("val/")
    assert said(found, "468 images in folders of label maps")
