"""Each control changes what it says, and what cannot be done is said in a sentence while the last picture stays."""

import io
import os
import shutil
from dataclasses import replace

import ipywidgets
import numpy as np
import pytest
import torch
from PIL import Image

from exemplar_lab.data.synth.dials import DIALS, TIERS
from exemplar_lab.data.synth.world import TASKS
from exemplar_lab.training.catalogue import answer_of, describe
from exemplar_lab.training.checkpoint import SHIPPED
from exemplar_lab.training.evaluation import score
from exemplar_lab.training.own_pair import LAB
from exemplar_lab.widgets import model_panel
from exemplar_lab.widgets.dials import AS_DRAWN, dial_value, heard, put, slider_at
from exemplar_lab.widgets.model_panel import ModelPanel


def without_explorer(*args, **given) -> ModelPanel:
    return ModelPanel(*args, explore=False, **given)


def picture(panel: ModelPanel) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(panel._repr_mimebundle_()["image/png"])))


def test_it_shows_what_the_model_makes_of_the_pair():
    panel = without_explorer("people", "cocosnet-people-cpu", sample=3)
    source = TASKS["people"](64, "val", "easy")
    batch = source.batch(torch.tensor([3]))
    made = answer_of(describe("cocosnet-people-cpu"))(batch)
    assert torch.equal(panel.batch.target, batch.target) and torch.equal(panel.translation.image, made.image)
    shown = picture(panel)
    assert shown.shape == (128, 5 * 128, 3)
    for place, image in enumerate((batch.exemplar, batch.target, made.image), 1):
        wanted = (image[0].movedim(0, -1) * 255).round().byte().numpy()
        assert np.array_equal(shown[::2, 128 * place : 128 * place + 128 : 2], wanted), place
    measured = score({"it": lambda one: made}, source, torch.tensor([3]), references=False)["it"]
    for name in ("image_l1", "image_psnr", "epe"):
        assert panel.numbers[name] == pytest.approx(measured[name].item(), rel=1e-5)
    assert panel.numbers["warp_l1_ratio"] == pytest.approx((measured["warp_l1"] / measured["copy_l1"]).item(), rel=1e-5)
    said = panel.children[3].value
    assert f"output L1 {panel.numbers['image_l1']:.3f}" in said and f"{panel.numbers['epe']:.1f} px from the truth" in said
    assert all(f'alt="{name}"' in said for name in ("structure", "exemplar", "target", "output", "last warp"))


@pytest.mark.parametrize("task", [*TASKS, "photographs", "styles"])
def test_every_task_opens_with_a_model_of_its_own(task):
    panel = without_explorer("people")
    before = picture(panel)
    panel.controls["task"].value = task
    assert panel.problem == "" and panel.words.startswith(f"ModelPanel: {task}, ")
    assert set(panel.dials) == set(heard(task))
    kinds = {"photographs": "Photographs", "styles": "StylePairs"}
    assert describe(panel.controls["checkpoint"].value).source == kinds.get(task, task.title())
    assert np.array_equal(picture(panel), before) == (task == "people")
    assert panel.words == without_explorer(task).words


@pytest.mark.parametrize(
    "checkpoint", [describe(folder.parent, folder.parent.name) for folder in SHIPPED.glob("*/checkpoint.json")]
)
def test_every_shipped_checkpoint_answers_its_task(checkpoint):
    kinds = {"Photographs": "photographs", "StylePairs": "styles"}
    panel = without_explorer(kinds.get(checkpoint.source, checkpoint.source.lower()), checkpoint.name)
    assert panel.problem == "" and panel.translation.matches and panel.words.endswith(checkpoint.name)
    assert panel.numbers["mass"] > 0


@pytest.mark.parametrize("name", heard("people"))
def test_every_dial_of_people_is_turned(name):
    panel = without_explorer("people", LAB, size=32, sample=1)
    before, slider, dial = picture(panel), panel.dials[name], DIALS[name]
    goal = {"gap": "parts", "distinct": 1.0, "entropy": 0.0, "extras": 1.0, "back": 1.0}.get(name, dial.high)
    slider.value = goal
    assert panel.problem == "" and slider.description.startswith("●")
    dials = replace(TIERS["easy"], **{name: dial_value(dial, goal)})
    wanted = TASKS["people"](32, "val", dials).batch(torch.tensor([1]))
    assert torch.equal(panel.batch.exemplar, wanted.exemplar) and torch.equal(panel.batch.condition, wanted.condition)
    assert not np.array_equal(picture(panel), before)
    assert f", {name.replace('_', ' ')} " in panel.words
    panel._reset.click()
    assert np.array_equal(picture(panel), before) and not slider.description.startswith("●")


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("tier", TIERS)
def test_sliders_stand_where_the_tier_has_them(task, tier):
    for name in heard(task):
        dial, value = DIALS[name], getattr(TIERS[tier], name)
        slider = slider_at(dial, value, name)
        assert dial.accepts(dial_value(dial, slider.value)), name
        if dial.kind != "range":
            assert dial_value(dial, slider.value) == value
        else:
            assert value[0] <= slider.value <= value[1] and dial_value(dial, slider.value) == (slider.value,) * 2
        assert slider.continuous_update is False
        for one in [slider.min, slider.max] if hasattr(slider, "min") else [level for _, level in slider.options]:
            slider.value = one
            assert dial.accepts(dial_value(dial, slider.value)), (name, one)
        put(slider, dial, value)
        assert dial.kind == "range" or dial_value(dial, slider.value) == value
    assert slider_at(DIALS["entropy"], None, "entropy").value == AS_DRAWN


def test_a_tier_moves_all_dials_and_forgets_what_was_turned():
    panel = without_explorer("people", LAB, size=32)
    panel.dials["zoom"].value = 2.0
    panel.controls["tier"].value = "hard"
    wanted = TASKS["people"](32, "val", "hard").batch(torch.tensor([0]))
    assert torch.equal(panel.batch.exemplar, wanted.exemplar) and "zoom" not in panel.words
    assert panel.dials["yaw"].value == pytest.approx(TIERS["hard"].yaw)


def test_the_sample_and_its_exemplar_are_chosen():
    panel = without_explorer("people", LAB, size=32)
    controls = panel.controls
    controls["sample"].value = 7
    batch = TASKS["people"](32, "val", "easy").batch(torch.tensor([7, 9]))
    assert torch.equal(panel.batch.target, batch.target[:1]) and "epe" in panel.numbers
    assert controls["other"] not in panel._choices.children[0].children
    before = panel.batch.exemplar
    controls["own"].value = False
    assert not torch.equal(panel.batch.exemplar, before), "that of sample 1, until another is chosen"
    controls["other"].value = 9
    assert controls["other"] in panel._choices.children[0].children
    assert torch.equal(panel.batch.target, batch.target[:1]) and torch.equal(panel.batch.exemplar, batch.exemplar[1:])
    assert panel.numbers.keys() == {"mass"} and "the right answer is not known" in panel.children[3].value
    assert "sample 7, exemplar of sample 9" in panel.words
    controls["own"].value = True
    assert torch.equal(panel.batch.exemplar, batch.exemplar[:1])
    controls["sample"].value = 10**6
    assert controls["sample"].value == 1999 and panel.problem == ""
    controls["task"].value = "photographs"
    assert controls["sample"].value == 255 and panel.problem == ""


def test_layer_and_temperature_belong_to_lab_features():
    panel = without_explorer("people", LAB, size=32)
    controls, shown = panel.controls, lambda: panel._choices.children[0].children
    assert controls["layer"] in shown() and panel.translation.matches[0].query_size == (8, 8)
    controls["layer"].value = "relu2_2"
    assert panel.translation.matches[0].query_size == (16, 16)
    entropy = panel.translation.matches[0].entropy().mean()
    controls["temperature"].value = 0.5
    assert panel.translation.matches[0].entropy().mean() > entropy and "relu2_2, temperature 0.5" in panel.words
    controls["checkpoint"].value = "cocosnet-people-cpu"
    assert controls["layer"] not in shown() and panel.batch.target.shape[-1] == 64


def test_pins_stay_while_the_dial_turns():
    panel = ModelPanel("people", "dynast-people-cpu")
    explorer, first = panel.explorer, panel.explorer.shown
    assert isinstance(explorer, ipywidgets.DOMWidget) and panel.children[-1].children == (explorer,)
    pins = [{"x": 30.5, "y": 20.5, "side": "target"}, {"x": 40.5, "y": 33.5, "side": "exemplar"}]
    explorer.pins, explorer.point, explorer.layer = pins, [33.5, 30.5], 3
    before = explorer.row().weight.clone()
    panel.dials["zoom"].value = 2.0
    assert panel.explorer is explorer and explorer.shown is not first
    assert (explorer.pins, explorer.point, explorer.layer) == (pins, [33.5, 30.5], 3)
    after = explorer.row()
    match = panel.translation.matches[3]
    assert after.weight.sum().item() == pytest.approx(match.mass()[0, 7, 8].item(), abs=1e-5)
    assert not torch.equal(before, after.weight) and explorer.shown["title"] in panel.words
    panel.controls["task"].value = "scenes"
    assert explorer.pins == pins and panel.problem == ""


def test_what_cannot_be_done_is_a_sentence_and_the_picture_stays(tmp_path):
    panel = without_explorer("people", "cocosnet-people-cpu")
    before, words = picture(panel), panel.words

    def refused(part: str) -> bool:
        said = panel.children[2].value
        kept = np.array_equal(picture(panel), before) and panel.words == words
        return (
            part in panel.problem
            and "\n" not in panel.problem
            and 'role="alert"' in said
            and "last that could" in said
            and kept
        )

    panel.dials["gap"].value = "parts"
    assert refused(
        "reads a pose (35 channels), for a pair that gives parts of people (24 channels): turn the dial gap to structure"
    )
    panel.dials["gap"].value = "structure"
    assert panel.problem == "" and panel.children[2].value == ""
    words = panel.words
    for folder, part in (
        (str(tmp_path / "none"), "no checkpoint there"),
        (str(SHIPPED / "features"), "no checkpoint there"),
        ("matebit-faces-cpu", "which reads 68 landmarks (7 channels)"),
    ):
        panel.controls["folder"].value = folder
        assert refused(part), (folder, panel.problem)
    (tmp_path / "checkpoint.json").write_text('{"format": "somebody-else"}')
    panel.controls["folder"].value = str(tmp_path)
    assert refused("which is no checkpoint of this package")
    panel.controls["checkpoint"].value = "dynast-people-cpu"
    assert panel.problem == "" and not np.array_equal(picture(panel), before)


def test_words_of_others_do_not_become_markup():
    panel = without_explorer("people", LAB, size=32)
    panel.controls["folder"].value = "<img src=x onerror=alert(1)>"
    assert "<img" in panel.problem and "<img" not in panel.children[2].value


def test_runs_stand_in_the_menu_whole_or_broken(tmp_path):
    runs = tmp_path / "runs"
    for name in ("mine", "cut"):
        shutil.copytree(SHIPPED / "cocosnet-people-cpu", runs / name / "step-00000400")
    weights = runs / "cut" / "step-00000400" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    (runs / "foreign" / "step-1").mkdir(parents=True)
    shutil.copytree(SHIPPED / "matebit-faces-cpu", runs / "faces")
    panel = without_explorer("people", runs=runs)
    menu = {name: words for words, name in panel.controls["checkpoint"].options}
    assert menu["runs/mine"] == "runs/mine" and menu["runs/foreign"] == "runs/foreign (cannot be read)"
    assert menu["runs/faces"] == "runs/faces (reads 68 landmarks)" and "matebit-faces-cpu" not in menu
    before = panel.translation.image
    panel.controls["checkpoint"].value = "runs/mine"
    assert panel.problem == "" and torch.equal(panel.translation.image, before), "weights of the first checkpoint"
    for name, part in (
        ("runs/cut", "truncated or altered"),
        ("runs/foreign", "no checkpoint there"),
        ("runs/faces", "reads 68"),
    ):
        panel.controls["checkpoint"].value = name
        assert part in panel.problem and panel.words.endswith("runs/mine")


def test_models_are_read_once_and_a_few_are_kept(monkeypatch, tmp_path):
    read = []
    monkeypatch.setattr(model_panel, "answer_of", lambda one: read.append(one.name) or answer_of(one))
    monkeypatch.setattr(model_panel, "_KEPT_MODELS", 2)
    run = shutil.copytree(SHIPPED / "cocosnet-people-cpu", tmp_path / "run")
    panel = without_explorer("people", run)
    panel.controls["sample"].value = 1
    panel.controls["checkpoint"].value = "dynast-people-cpu"
    panel.controls["checkpoint"].value = str(run)
    assert read == [str(run), "dynast-people-cpu"]
    os.utime(run / "checkpoint.json", ns=(1, 1))
    panel.controls["sample"].value = 2
    assert read[2:] == [str(run)], "a run that was written anew is read again"
    panel.controls["checkpoint"].value = "dynast-people-cpu"
    assert read[3:] == ["dynast-people-cpu"] and len(panel._answers) == 2


def test_the_words_are_stable_and_the_picture_is_a_png():
    one, other = (without_explorer("scenes", sample=4) for _ in "ab")
    bundle = one._repr_mimebundle_()
    assert bundle["text/plain"] == other._repr_mimebundle_()["text/plain"]
    assert bundle["text/plain"] == "ModelPanel: scenes, tier easy, sample 4, cocosnet-scenes-cpu"
    assert bundle["image/png"] == other._repr_mimebundle_()["image/png"] and bundle["image/png"].startswith(b"\x89PNG")
    assert "application/vnd.jupyter.widget-view+json" in bundle


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"task": "dogs"}, "got the task 'dogs', expected one of people"),
        ({"tier": "simple"}, "got the tier 'simple', expected one of easy"),
        ({"sample": 5000}, "got sample 5000, expected 0 … 1999"),
        ({"checkpoint": "none"}, "no checkpoint there"),
        ({"checkpoint": "matebit-faces-cpu"}, "which reads 68 landmarks"),
        ({"runs": "/no/such/place"}, "got the runs"),
    ],
)
def test_arguments_that_cannot_be_shown_are_told(arguments, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        without_explorer(**arguments)


def test_a_task_whose_pictures_are_missing_is_told(monkeypatch):
    panel = without_explorer("people", LAB, size=32)
    before, source = picture(panel), model_panel.pair_source

    def missing(task, *rest):
        if task == "photographs":
            raise FileNotFoundError("got no scikit-image")
        return source(task, *rest)

    monkeypatch.setattr(model_panel, "pair_source", missing)
    panel.controls["task"].value = "photographs"
    assert panel.problem == "got no scikit-image" and np.array_equal(picture(panel), before)
    panel.controls["task"].value = "scenes"
    assert panel.problem == "" and panel.words.startswith("ModelPanel: scenes")
