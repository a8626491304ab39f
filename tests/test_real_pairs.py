"""The samples of the official layouts, from the folder as it was published to what a model answers."""

from pathlib import Path

import pytest
import torch

from exemplar_lab.data.collection import STRUCTURES
from exemplar_lab.data.prepared import PreparedPairs
from exemplar_lab.models import MODELS
from exemplar_lab.training.preparing import prepare_folder
from exemplar_lab.training.recipes import make_recipe

SHARED = Path(__file__).parents[2] / "shared" / "data"

OFFICIAL = [
    ("official_layouts/DeepFashion", "pose", "DeepFashion", "pose", None),
    ("official_layouts/celebahqedge", "edges", "CelebAMask-HQ", "part edges", None),
    ("official_layouts/celebahq", "labels", "CelebAMask-HQ", "labels", 19),
    ("official_layouts/ade20k", "labels", "ADE20K", "labels", 150),
    ("official_layouts/coco_stuff", "labels", "COCO-Stuff", "labels", 182),
    ("style_transfer", "style", None, "photograph", None),
]


@pytest.mark.parametrize(("where", "task", "layout", "structure", "classes"), OFFICIAL, ids=[one[0] for one in OFFICIAL])
def test_official_samples_reach_a_model(where, task, layout, structure, classes, tmp_path):
    if not (SHARED / where).is_dir():
        pytest.skip(f"no samples of {where} beside the checkout")
    before = sorted((path, path.stat().st_mtime_ns) for path in (SHARED / where).rglob("*"))
    prepared = prepare_folder(SHARED / where, task, tmp_path / "room", size=32)
    assert sorted((path, path.stat().st_mtime_ns) for path in (SHARED / where).rglob("*")) == before, "data sets stay untouched"
    assert prepared.skipped == "" and prepared.collection.structure == structure
    assert layout is None or prepared.collection.layout == layout
    recipe = make_recipe("dynast", str(tmp_path / "room"), "smoke")
    assert recipe.model.condition_channels == (classes or STRUCTURES[structure])
    model = MODELS["dynast"][0](recipe.model).eval()
    for split in ("train", "val"):
        source = PreparedPairs(str(tmp_path / "room"), size=32, split=split)
        batch = source.batch(torch.arange(3))
        assert batch.target.min() >= 0 and batch.target.max() <= 1 and batch.target.std() > 0.05
        assert batch.condition.isfinite().all() and batch.condition.flatten(1).std(1).min() > 0
        assert not torch.equal(batch.target, batch.exemplar)
        with torch.inference_mode():
            answer = model(batch.condition, batch.exemplar, batch.exemplar_condition)
        assert answer.image.shape == batch.target.shape and answer.image.isfinite().all()


def test_the_official_pairs_are_those_of_the_lists(tmp_path):
    if not (SHARED / "official_layouts/pairs").is_dir():
        pytest.skip("no official lists of pairs beside the checkout")
    prepare_folder(SHARED / "official_layouts/ade20k", "labels", tmp_path / "room", size=32)
    source = PreparedPairs(str(tmp_path / "room"), size=32, split="val")
    pairs = dict(source.pair_names(k) for k in range(source.length))
    assert pairs["validation/ADE_val_00001232.jpg"] == "training/ADE_train_00004996.jpg"
    assert pairs["validation/ADE_val_00001517.jpg"] == "training/ADE_train_00007201.jpg"
