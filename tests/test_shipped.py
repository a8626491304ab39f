"""Shipped models measured: which are chosen, that a model is asked once for image and warp, and differences by plain loops."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from exemplar_lab.metrics.frechet import frechet_distance
from exemplar_lab.metrics.image import DRAWS
from exemplar_lab.nn.features import features
from exemplar_lab.training import shipped
from exemplar_lab.training.evaluation import translate
from exemplar_lab.training.shipped import WARP, difference, drawn_sets, measure_shipped, shipped_models, with_warp
from exemplar_lab.training.validation_report import evaluate_checkpoint
from exemplar_lab.translation import Batch, Translation

NETWORK = features("fixed")


@pytest.fixture(scope="module")
def measured():
    """One model on four pairs, its reference rows among them."""
    one = next(model for model in shipped_models() if model.method == "CoCosNet" and model.task == "people")
    return measure_shipped(NETWORK, 4, models=[one])


def test_one_checkpoint_for_each_method_and_task():
    models = shipped_models()
    assert len({(one.method, one.task) for one in models}) == len(models)
    names = {one.name for one in models}
    assert {"cocosnet-people-cpu-occluded", "dynast-people-cpu", "cocosnet-scenes-cpu", "msca-scenes-cpu"} <= names
    assert not {"cocosnet-photos-cpu", "dynast-style-cpu"} & names, "no task of the procedural world"


def test_a_model_of_scenes_says_what_feeds_what():
    """Beside its matches and images, how its transfer matrix compares with the true one; people have no such matrix."""
    rows = evaluate_checkpoint("msca-scenes-cpu", pairs=8)
    model = rows["msca-scenes-cpu"]
    assert model["image_psnr"]["mean"] > model["warp_image_psnr"]["mean"] > 15
    assert 0.1 < model["transfer_rank"]["mean"] < rows["oracle"]["transfer_rank"]["mean"]
    assert rows["oracle"]["transfer_rank"]["mean"] == pytest.approx(1) and "cophenetic" in rows["copy"]
    assert "transfer_rank" not in evaluate_checkpoint("cocosnet-people-cpu", pairs=2)["cocosnet-people-cpu"]


def test_a_new_checkpoint_appears_by_itself(tmp_path, monkeypatch):
    """Equal steps: the shorter name. More steps: that one. What is no model, or of no task, is passed over."""
    people = (shipped.SHIPPED / "dynast-people-cpu" / "checkpoint.json").read_text()
    for name, text in {
        "dynast-people-cpu": people,
        "dynast-people-cpu-once": people,
        "cocosnet-people-late": people.replace('"model": "dynast"', '"model": "cocosnet"', 1),
        "lab": people.replace('"model": "dynast"', '"model": "features"', 1),
        "photos": people.replace('"kind": "People"', '"kind": "Photographs"'),
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "checkpoint.json").write_text(text)
    monkeypatch.setattr(shipped, "SHIPPED", tmp_path)
    assert {(one.method, one.name) for one in shipped_models()} == {
        ("DynaST", "dynast-people-cpu"), ("CoCosNet", "cocosnet-people-late"),
    }  # fmt: skip
    longer = people.replace('"step": 700', '"step": 701')
    assert longer != people
    (tmp_path / "dynast-people-cpu-once" / "checkpoint.json").write_text(longer)
    assert "dynast-people-cpu-once" in {one.name for one in shipped_models()}


def test_rows_are_the_model_its_warp_and_the_references(measured):
    assert list(measured) == ["people"]
    assert list(measured["people"]) == ["CoCosNet", "CoCosNet, warp", "oracle", "copy", "nearest label", "random"]
    assert all(one.features == NETWORK.name and len(one.number) == 4 for one in measured["people"].values())


def test_other_pairs_of_a_task_stand_by_themselves(monkeypatch):
    """Two models of one task, validated on different tiers: two tables, the second named by its checkpoint."""
    one = next(model for model in shipped_models() if model.name == "cocosnet-people-cpu-occluded")
    other = replace(one, method="DynaST", name="dynast-people-cpu", source=replace(one.source, tier="easy"))
    asked = []
    monkeypatch.setattr(
        shipped, "measure_images", lambda answers, source, *_, **__: asked.append((list(answers), source)) or {}
    )
    assert list(measure_shipped(NETWORK, 2, models=[one, other])) == ["people", "people, dynast-people-cpu"]
    assert [source for _, source in asked] == [one.source, other.source]
    same = replace(other, source=replace(one.source, tier="medium"))
    assert list(measure_shipped(NETWORK, 2, models=[one, same])) == ["people"], "medium is those dials by another name"
    assert asked[-1][0] == ["CoCosNet", "CoCosNet, warp", "DynaST", "DynaST, warp"]


def test_the_model_is_asked_once_for_image_and_warp():
    torch.manual_seed(0)
    asked = []

    def answer(batch: Batch) -> Translation:
        asked.append(batch)
        return Translation(batch.target, (torch.rand(2, 3, 4, 4),))

    both = with_warp("it", answer)
    assert list(both) == ["it", f"it{WARP}"]
    images = torch.rand(2, 3, 8, 8)
    batches = [Batch(images, images, images, images, torch.ones(2, dtype=torch.bool), None) for _ in range(2)]
    for batch in batches:
        image, warp = (one(batch) for one in both.values())
        assert torch.equal(image.image, batch.target)
        expected = F.interpolate(image.warps[-1], (8, 8), mode="bilinear", align_corners=False)
        assert torch.equal(warp.image, expected)
    assert len(asked) == 2


def test_difference_by_plain_loops(measured):
    found = measured["people"]
    one, other = drawn_sets(found["CoCosNet"]), drawn_sets(found["copy"])
    change = difference(one, other)
    for name in ("l1", "psnr", "semantic", "colour"):
        values = [float(a - b) for a, b in zip(found["CoCosNet"].values[name], found["copy"].values[name], strict=True)]
        assert change[name]["mean"] == pytest.approx(sum(values) / 4, rel=1e-5)
        assert change[name]["low"] <= change[name]["mean"] <= change[name]["high"]
    distances = [frechet_distance(found[row].target, found[row].made) for row in ("CoCosNet", "copy")]
    gaps = [float(a - b) for a, b in zip(*distances, strict=True)]
    assert len(gaps) == DRAWS + 1 and change["fd"]["mean"] == pytest.approx(gaps[0])
    known = torch.tensor([gap for gap in gaps[1:] if gap == gap], dtype=torch.float64)
    assert change["fd"]["high"] == pytest.approx(2 * gaps[0] - float(known.quantile(0.025)))
    assert {"fd", "kd", "swd"} <= change.keys()


def test_nothing_differs_from_itself(measured):
    same = drawn_sets(measured["people"]["copy"])
    for name, change in difference(same, same).items():
        assert change["mean"] == 0 == change["half_width"], name


def test_records_of_different_pairs_are_refused(measured):
    one = drawn_sets(measured["people"]["copy"])
    with pytest.raises(ValueError, match="different pairs or networks"):
        difference(one, replace(one, features="lab-v1"))
    with pytest.raises(ValueError, match="different pairs or networks"):
        difference(one, replace(one, number=one.number + 1))


def test_the_answer_is_that_of_the_model():
    """`with_warp` changes nothing of what `translate` answers."""
    one = next(model for model in shipped_models() if model.name == "cocosnet-scenes-cpu")
    model = shipped.read_checkpoint(shipped.find_checkpoint(one.name)).build()
    batch = one.source.batch(torch.arange(2))
    with torch.inference_mode():
        plain, both = translate(model)(batch), with_warp("it", translate(model))
        assert torch.equal(both["it"](batch).image, plain.image)
