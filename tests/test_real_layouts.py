"""The official layouts as they are, where samples of them lie beside the checkout: found, read, cached and seen."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from exemplar_lab.data.canvas import canvases, read_canvas
from exemplar_lab.data.collection import Collection
from exemplar_lab.data.images import read_size
from exemplar_lab.data.layouts.finding import find_collection
from exemplar_lab.data.part_edges import PARTS, borders, city_blocks
from exemplar_lab.data.skipped import Skipped, readable
from exemplar_lab.data.structures import view

SHARED = Path(__file__).parents[2] / "shared" / "data"
SAMPLES = {  # folder and task: what is found in it, how many channels a condition has, and how many images there are
    ("official_layouts/DeepFashion", "pose"): ("DeepFashion", "pose", 35, 8),
    ("official_layouts/celebahqedge", "edges"): ("CelebAMask-HQ", "part edges", 15, 8),
    ("official_layouts/celebahqedge", "labels"): ("CelebAMask-HQ", "labels", 19, 8),
    ("official_layouts/celebahq", "labels"): ("CelebAMask-HQ", "labels", 19, 8),
    ("official_layouts/ade20k", "labels"): ("ADE20K", "labels", 150, 12),
    ("official_layouts/coco_stuff", "labels"): ("COCO-Stuff", "labels", 182, 13),
    ("camvid", "labels"): ("CamVid", "labels", 11, 468),
    ("style_transfer", "style"): ("contents and styles", "photograph", 3, 89),
    ("style_transfer/content", "edges"): ("pictures", "edges", 2, 30),
}


def sample(name: str, task: str) -> Collection:
    if not (SHARED / name).is_dir():
        pytest.skip(f"no samples of {name} beside the checkout")
    return find_collection(SHARED / name, task)


def few(collection: Collection) -> list:
    return [item for items in collection.items.values() for item in items[:3]]


@pytest.mark.parametrize("name, task", SAMPLES)
def test_every_layout_is_found_and_read(name, task, tmp_path):
    collection, (layout, structure, channels, many) = sample(name, task), SAMPLES[name, task]
    assert (collection.layout, collection.structure, collection.channels) == (layout, structure, channels)
    assert len(collection.named()) == many
    first, again = ([read_canvas(collection, item, 96, tmp_path) for item in few(collection)] for _ in range(2))
    for item, canvas, kept in zip(few(collection), first, again, strict=True):
        height, width = read_size(collection.folder / item.name)
        assert min(canvas.image.shape[1:]) == min(96, height, width)
        assert canvas.image.shape[2] / canvas.image.shape[1] == pytest.approx(width / height, rel=0.01)
        assert torch.equal(canvas.image, kept.image)
        side = min(canvas.image.shape[1:]) - 4
        seen, mirrored = (view(collection, canvas, (2, 1, side), 64, flip) for flip in (False, True))
        for one in (seen, mirrored):
            assert one.condition.shape == (channels, 64, 64) and one.condition.isfinite().all()
            assert one.condition.min() >= 0 and one.condition.max() <= 1 + 1e-5
        torch.testing.assert_close(mirrored.image, seen.image.flip(-1), atol=1e-5, rtol=0)
        assert (seen.part is None) == (collection.labels is None) == (canvas.labels is None)
        if structure == "labels":
            assert torch.equal(canvas.labels, kept.labels) and len(canvas.labels.unique()) > 2
            assert ((seen.condition.sum(0) - 1).abs() < 1e-5)[seen.part >= 0].float().mean() > 0.8
        if structure == "pose":
            there = canvas.keypoints.isfinite().all(-1)
            assert there.sum() >= 8 and canvas.keypoints[there].min() > 0 and canvas.keypoints[there].max() < 96
            assert seen.condition[:18].amax((1, 2)).gt(0.5).sum() >= 8


def test_the_edges_of_a_face_are_nearly_those_of_the_released_code():
    collection = sample("official_layouts/celebahqedge", "edges")
    for item, canvas in zip(few(collection), canvases(collection, few(collection), 256), strict=True):
        condition = view(collection, canvas, (0, 0, 256), 256).condition
        files = {Path(name).stem.partition("_")[2]: collection.folder / name for name in item.files}
        drawn = torch.zeros(256, 256, dtype=torch.bool)
        for channel, part in enumerate(PARTS, start=1):
            expected = torch.ones(256, 256)
            if part in files:
                mask = Image.open(files[part]).convert("L").resize((256, 256), Image.Resampling.NEAREST)
                border = borders(torch.from_numpy(np.array(mask) == 255)[None])
                expected = city_blocks(border)[0] / 3 / 255
                drawn |= border[0]
            difference = (condition[channel] - expected).abs().mean()
            assert difference < (1e-3 if part in ("l_eye", "r_eye", "nose", "u_lip", "l_lip", "eye_g") else 0.015)
        found = condition[14] > 0
        assert (found & drawn).sum() > 0.6 * (found | drawn).sum()


def test_photographs_and_labels_of_camvid_show_the_same(tmp_path):
    """Of a class that is told by its colour: the sky is the brightest, and it stays so when both are made smaller."""
    collection = sample("camvid", "labels")
    sky, road = collection.labels.names.index("sky"), collection.labels.names.index("road")
    several = list(islice(collection.items["train"], 0, None, 40))
    for canvas in canvases(collection, several, 90, tmp_path):
        grey = canvas.image.float().mean(0)
        assert (canvas.labels == sky).sum() > 100 and grey[canvas.labels == sky].mean() > 1.3 * grey[
            canvas.labels == road
        ].mean()


def test_a_broken_file_among_real_ones(tmp_path, capsys):
    sample("official_layouts/ade20k", "labels")
    copied = tmp_path / "ade20k"
    for path in (SHARED / "official_layouts" / "ade20k").rglob("*.*g"):
        (copied / path.parent.name).mkdir(parents=True, exist_ok=True)
        (copied / path.parent.name / path.name).write_bytes(path.read_bytes())
    photograph, labels = sorted((copied / "training").glob("*.jpg"))[0], sorted((copied / "validation").glob("*.png"))[0]
    photograph.write_bytes(photograph.read_bytes()[:5000])
    labels.write_bytes(b"")
    skipped = Skipped()
    found = list(readable(find_collection(copied, "labels"), 64, None, skipped))
    assert len(found) == 10 and skipped.words().startswith("2 of 12 images were left out: ")
    said = capsys.readouterr().err
    assert str(photograph) in said and str(labels) in said and len(said.splitlines()) == 2
