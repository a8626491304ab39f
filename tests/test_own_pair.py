"""Two pictures of one's own: matched without a model, given to models that can read them, refused in a sentence by others."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from exemplar_lab.correspondence import DenseMatch
from exemplar_lab.data.synth.dials import TIERS, Dials
from exemplar_lab.nn.feature_match import answer_by_features, feature_translation, match_features
from exemplar_lab.nn.features import features
from exemplar_lab.training.catalogue import answer_of, checkpoint_folders, describe, reads
from exemplar_lab.training.checkpoint import SHIPPED
from exemplar_lab.training.own_pair import LAB, own_pair
from exemplar_lab.training.shown_pair import PAIR_TASKS, check_fits, pair_numbers, pair_source, shown_pair

PLAIN = ("cocosnet-photos-cpu", "dynast-style-cpu", "matebit-paintings-cpu")


@pytest.fixture
def files(tmp_path):
    """Two noisy pictures, neither square."""
    generator = np.random.default_rng(0)
    paths = [tmp_path / name for name in ("structure.png", "exemplar.jpg")]
    for path, size in zip(paths, ((80, 120), (100, 70)), strict=True):
        Image.fromarray(generator.integers(0, 255, (*size, 3), np.uint8)).resize((size[1], size[0])).save(path)
    return paths


def test_the_match_is_the_softmax_of_the_centred_cosine():
    """Written out in float64, position by position."""
    network = features("lab")
    target, exemplar = torch.rand(1, 3, 16, 16), torch.rand(1, 3, 16, 24)
    match = match_features(target, exemplar, network, "relu3_1", 0.1)
    assert (match.query_size, match.key_size) == ((4, 4), (4, 6))
    query, key = (network(one, ["relu3_1"])["relu3_1"][0].flatten(1).double().numpy() for one in (target, exemplar))
    query, key = (one - one.mean(1, keepdims=True) for one in (query, key))
    for at in range(16):
        score = np.array([query[:, at] @ k / (np.linalg.norm(query[:, at]) * np.linalg.norm(k)) for k in key.T])
        weight = np.exp(score / 0.1)
        assert np.allclose(match.weight[0, at].numpy(), weight / weight.sum(), atol=1e-5)


def test_an_image_matches_itself_and_a_shifted_one_its_shift():
    batch = pair_source("scenes").batch(torch.tensor([1]))
    network = features("lab")
    same = match_features(batch.target, batch.target, network).argmax()
    assert torch.equal(same.flatten(), torch.arange(256))
    shifted = match_features(batch.target, batch.target.roll(8, -1), network).argmax()[0]
    middle = torch.arange(256).view(16, 16)[4:12, 4:10]
    assert (shifted[4:12, 4:10] == middle + 2).float().mean() > 0.9
    match = DenseMatch((16, 16), (16, 16), torch.eye(256)[None])
    answer = feature_translation(batch.target, batch.exemplar, match)
    small = torch.nn.functional.interpolate(batch.exemplar, (16, 16), mode="area")
    assert torch.allclose(answer.warps[0], small, atol=1e-6) and answer.image.shape == batch.target.shape


def test_a_temperature_is_above_zero():
    with pytest.raises(ValueError, match="got the temperature 0, expected one above 0"):
        match_features(torch.rand(1, 3, 16, 16), torch.rand(1, 3, 16, 16), features("lab"), temperature=0.0)


def test_lab_features_find_more_than_not_moving():
    pair = shown_pair(pair_source("people"), 3)
    found = pair_numbers(answer_by_features(features("lab"))(pair.batch), pair)
    assert found["epe"] < 5 and found["warp_l1_ratio"] < 1


@pytest.mark.parametrize("checkpoint", [LAB, *PLAIN])
def test_own_pictures_are_answered(files, checkpoint):
    translation, batch = own_pair(*files, checkpoint)
    again, _ = own_pair(*files, checkpoint)
    assert translation.image.shape == batch.target.shape == (1, 3, 64, 64) and torch.equal(translation.image, again.image)
    assert translation.matches and translation.warps and translation.image.isfinite().all()
    assert batch.truth is None and not batch.paired.any()
    assert batch.condition.shape[1] == (2 if checkpoint in (LAB, "cocosnet-photos-cpu") else 3)
    turned, _ = own_pair(*files[::-1], checkpoint)
    assert not torch.equal(translation.image, turned.image)


@pytest.mark.parametrize(
    "checkpoint, message",
    [
        ("dynast-people-cpu", "got plain pictures for dynast-people-cpu, expected a pose; .* choose the task people"),
        ("matebit-faces-cpu", "expected 68 landmarks; .* choose the task faces"),
        ("msca-scenes-cpu", "expected labels of the world; .* choose the task scenes, or train on photographs with label maps"),
    ],
)
def test_models_that_read_more_say_what_they_need(files, checkpoint, message):
    with pytest.raises(ValueError, match=message) as told:
        own_pair(*files, checkpoint)
    assert "\n" not in str(told.value)


def test_files_and_checkpoints_that_are_not_there(files, tmp_path):
    with pytest.raises(FileNotFoundError, match="which does not exist; expected an image file"):
        own_pair(files[0], tmp_path / "none.png")
    with pytest.raises(FileNotFoundError, match="no checkpoint there"):
        own_pair(*files, "none")


def test_every_shipped_checkpoint_is_described_as_its_config_is():
    for name, folder in checkpoint_folders().items():
        about = json.loads((folder / "checkpoint.json").read_text())
        one = describe(name)
        assert (one.model, one.size, one.channels) == (about["model"], 64, about["config"]["condition_channels"])
        source = pair_source(next(task for task in PAIR_TASKS if type(pair_source(task)).__name__ == one.source))
        check_fits(one, source)


def test_what_a_source_gives_follows_its_dial():
    assert reads("People") == "a pose" and reads("People", {"gap": "edges"}) == "edges" == reads("Photographs")
    labels, parts = (
        pair_source("scenes", 16, Dials(gap=gap)).batch(torch.arange(2)).condition for gap in ("structure", "parts")
    )
    assert torch.equal(labels, parts) and reads("Scenes") == reads("Scenes", {"gap": "parts"})
    assert reads("Faces", {"gap": "parts"}) == "parts of faces" and reads("Scenes", "hard") == "labels of the world"


@pytest.mark.parametrize("content", ["{}", "[]", "no json", '{"format": "exemplar-lab-1", "model": "dynast"}', "\xff"])
def test_foreign_folders_are_told_apart(content, tmp_path):
    (tmp_path / "checkpoint.json").write_text(content, encoding="latin-1")
    with pytest.raises(ValueError, match="which is no checkpoint of this package; expected a folder"):
        describe(tmp_path)


def test_a_run_of_features_holds_no_model(tmp_path):
    about = {"format": "exemplar-lab-1", "model": "features", "sha256": {"model.safetensors": ""}}
    (tmp_path / "checkpoint.json").write_text(json.dumps(about))
    with pytest.raises(ValueError, match="a run of `train features`, expected a model"):
        describe(tmp_path)


def test_runs_are_listed_by_their_names(tmp_path):
    runs = tmp_path / "runs"
    for name in ("b", "a", ".hidden"):
        shutil.copytree(SHIPPED / "cocosnet-photos-cpu", runs / name / "step-00000400")
    (runs / "notes").mkdir()
    listed = checkpoint_folders(runs)
    assert [name for name in listed if "/" in name] == ["runs/a", "runs/b"] and "cocosnet-photos-cpu" in listed
    one = describe(listed["runs/a"], "runs/a")
    assert (one.name, one.folder) == ("runs/a", runs / "a" / "step-00000400")
    batch = pair_source("photographs").batch(torch.arange(1))
    shipped = answer_of(describe("cocosnet-photos-cpu"))(batch)
    assert torch.equal(answer_of(one)(batch).image, shipped.image)
    with pytest.raises(FileNotFoundError, match="which is no folder; expected one that `exemplar-lab train` wrote"):
        checkpoint_folders(tmp_path / "none")


def test_another_exemplar_has_no_right_answer():
    source = pair_source("people", 32)
    pair, own, other = shown_pair(source, 2, 5), shown_pair(source, 2), shown_pair(source, 5)
    assert torch.equal(pair.batch.target, own.batch.target) and torch.equal(pair.batch.exemplar, other.batch.exemplar)
    assert torch.equal(pair.batch.exemplar_condition, other.batch.exemplar_condition)
    assert pair.right is None and not pair.batch.paired.any() and pair.batch.truth.flow.isnan().all()
    assert torch.equal(pair.batch.truth.target_part, own.batch.truth.target_part)
    assert torch.equal(pair.batch.truth.exemplar_part, other.batch.truth.exemplar_part)
    assert torch.equal(shown_pair(source, 2, 2).right, own.batch.target)
    assert pair_numbers(answer_by_features(features("lab"))(pair.batch), pair).keys() == {"mass"}


def test_a_style_has_a_right_answer_that_is_not_the_content():
    source = pair_source("styles")
    pair = shown_pair(source, 1)
    assert torch.equal(pair.right, source.painted(torch.tensor([1]))) and not torch.equal(pair.right, pair.batch.target)


def test_a_misfit_says_which_dial_to_turn():
    people = pair_source("people", 64, TIERS["easy"])
    with pytest.raises(
        ValueError, match=r"reads edges \(2 channels\), for a pair that gives a pose \(35 channels\): turn the dial"
    ):
        check_fits(describe("cocosnet-photos-cpu"), people)
    scenes = pair_source("scenes", 64, Dials(gap="edges"))
    with pytest.raises(ValueError, match="turn the dial gap to structure, or choose another"):
        check_fits(describe("msca-scenes-cpu"), scenes)
    with pytest.raises(ValueError, match="channels\\): choose another checkpoint or task"):
        check_fits(describe("matebit-faces-cpu"), people)
    with pytest.raises(ValueError, match="got the task 'dogs', expected one of people"):
        pair_source("dogs")


def test_a_model_of_styles_sees_the_painting_and_not_what_it_was_painted_from():
    batch = pair_source("paintings").batch(torch.tensor([2]))
    answer = answer_of(describe("dynast-style-cpu"))
    told = answer(replace(batch, exemplar_condition=torch.zeros_like(batch.exemplar)))
    assert torch.equal(answer(batch).image, told.image)
    people = pair_source("people").batch(torch.tensor([2]))
    answer = answer_of(describe("dynast-people-cpu"))
    told = answer(replace(people, exemplar_condition=torch.zeros_like(people.condition)))
    assert not torch.equal(answer(people).image, told.image)
