"""DynaST's recipes: the rows of Table 1, and a run that may be stopped at any moment."""

import os
import subprocess
import sys
from dataclasses import replace
from math import isfinite

import pytest
import torch
from lightning_fabric import Fabric
from PIL import Image
from test_training import WORKER, assert_same, weights_of

from exemplar_lab.models.dynast import DynaST
from exemplar_lab.training import state
from exemplar_lab.training.checkpoint import last_checkpoint, read_checkpoint
from exemplar_lab.training.log import read_log
from exemplar_lab.training.loop import train
from exemplar_lab.training.recipe import make_source
from exemplar_lab.training.recipes import make_recipe
from exemplar_lab.training.recipes.dynast import DYNAST, DYNAST_DATA, DYNAST_VARIANTS
from exemplar_lab.training.state import TrainingState

SMOKE = make_recipe("dynast", "people", "smoke")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    run = tmp_path_factory.mktemp("whole")
    steps = list(train(SMOKE, run))
    assert [step.number for step in steps] == list(range(1, 13))
    return run


def test_smoke_trains(uninterrupted):
    rows = read_log(uninterrupted)
    asked = {name for name, weight in SMOKE.weights.items() if weight}
    assert len(rows) == 12 and asked | {"step", "discriminator", "seconds"} == rows[0].keys()
    assert all(isfinite(value) for row in rows for value in row.values())
    checkpoint = read_checkpoint(last_checkpoint(uninterrupted))
    assert checkpoint.about["model"] == "dynast" and checkpoint.about["step"] == 12
    model = checkpoint.build()
    assert isinstance(model, DynaST) and model.config == SMOKE.model
    assert make_source(checkpoint.about["recipe"]["source"]) == SMOKE.source
    batch = SMOKE.validation.batch(torch.arange(2))
    with torch.inference_mode():
        assert model(batch.condition, batch.exemplar, batch.exemplar_condition).image.isfinite().all()


def test_every_weight_moves(uninterrupted, tmp_path):
    first = next(train(replace(SMOKE, steps=1), tmp_path))
    assert first.terms.keys() >= {"pixel", "match"} and first.translation.warps[0].grad_fn is None
    before, after = weights_of(tmp_path), weights_of(uninterrupted)
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert same == set()


def test_break_and_go_on_gives_the_same_weights(uninterrupted, tmp_path):
    for step in train(SMOKE, tmp_path):
        if step.number == 5:
            break
    assert read_checkpoint(last_checkpoint(tmp_path)).about["step"] == 5
    assert [step.number for step in train(SMOKE, tmp_path)] == list(range(6, 13))
    assert_same(weights_of(tmp_path), weights_of(uninterrupted))
    ours, theirs = ([{**row, "seconds": 0} for row in read_log(run)] for run in (tmp_path, uninterrupted))
    assert ours == theirs and list(train(SMOKE, tmp_path)) == []


def test_an_interrupt_inside_a_step_saves_nothing_of_it(uninterrupted, tmp_path, monkeypatch):
    steps = train(SMOKE, tmp_path)
    assert [next(steps).number for _ in range(8)][-1] == 8
    with monkeypatch.context() as patch:
        patch.setattr(state, "discriminator_loss", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            next(steps)
    assert last_checkpoint(tmp_path).name == "step-00000006"
    assert [step.number for step in train(SMOKE, tmp_path)] == list(range(7, 13))
    assert_same(weights_of(tmp_path), weights_of(uninterrupted))


def test_discriminator_is_conditional_and_frozen_while_the_translation_learns(tmp_path, monkeypatch):
    training = TrainingState(replace(SMOKE, batch_size=2), Fabric(accelerator="cpu", devices=1))
    shown, whole = [], training.discriminator.forward

    def watched(image):
        needed = [p.requires_grad for p in training.discriminator.parameters()]
        shown.append((tuple(image.shape), image[:, :-3].detach(), any(needed), all(needed)))
        return whole(image)

    monkeypatch.setattr(training.discriminator, "forward", watched)
    batch = SMOKE.source.batch(torch.arange(2))
    training.step(batch, 1, saved_in=tmp_path)
    channels = 3 + SMOKE.source.condition_channels
    generator, discriminator = shown
    assert generator[0] == (2, channels, 32, 32) and discriminator[0] == (4, channels, 32, 32)
    assert torch.equal(generator[1], batch.condition) and torch.equal(discriminator[1], batch.condition.repeat(2, 1, 1, 1))
    assert generator[2:] == (False, False) and discriminator[2:] == (True, True)


def test_without_its_weight_no_discriminator_is_trained(tmp_path):
    recipe = replace(SMOKE, steps=1, weights={"match": 1.0, "content": 1.0, "style": 3.0})
    (step,) = train(recipe, tmp_path)
    assert step.terms.keys() == {"match", "content", "style"}
    assert not any(name.startswith("discriminator") for name in read_checkpoint(last_checkpoint(tmp_path)).training)


TABLE_1 = {
    "full": {},
    "without-pruning": {"pruning": False},
    "without-inner-scale": {"inner_scale": False},
    "one-scale": {"finest_match": 32},
    "two-scales": {"finest_match": 64},
    "three-scales": {"finest_match": 128},
    "once": {"once": True},
    "released-mask": {"released_mask": True},
}


@pytest.mark.parametrize("variant", TABLE_1)
def test_variants_are_the_rows_of_table_1(variant):
    recipe, full = (make_recipe("dynast", "people", "paper", variant=one) for one in (variant, "full"))
    assert recipe.model == replace(full.model, **TABLE_1[variant])
    assert recipe.name == "dynast-people-paper" + (f"-{variant}" if variant != "full" else "")
    assert replace(recipe, model=full.model, name=full.name) == full
    assert variant in DYNAST_VARIANTS


def test_no_model_has_fewer_scales_than_it_matches_at():
    for variant in ("one-scale", "two-scales", "three-scales"):
        model = make_recipe("dynast", "people", "smoke", variant=variant).model
        assert model.matching_scales == min(len(model.widths), ["one", "two", "three"].index(variant.partition("-")[0]) + 1)


@pytest.mark.parametrize("profile", DYNAST)
@pytest.mark.parametrize("data", DYNAST_DATA)
def test_recipes_fit_together(data, profile):
    recipe = make_recipe("dynast", data, profile, seed=3)
    assert recipe.source.size == recipe.validation.size == recipe.model.size == DYNAST[profile].size
    assert recipe.model.condition_channels == recipe.source.condition_channels
    assert replace(recipe.model, condition_channels=3) == DYNAST[profile]
    assert recipe.name == f"dynast-{data}-{profile}-seed3" and recipe.seed == 3
    assert recipe.weights["match"] == 100 and recipe.validation.split == "val"


def test_unknown_variants_are_refused():
    with pytest.raises(ValueError, match="got the variant 'cheap', expected one of full, without-pruning"):
        make_recipe("dynast", "people", "smoke", variant="cheap")
    with pytest.raises(ValueError, match="got the model 'dynasty', expected one of cocosnet, dynast, matebit"):
        make_recipe("dynasty")


def test_two_processes_share_a_batch_and_leave_no_parameter_idle(tmp_path):
    """The row of Table 1 with most taken away: DistributedDataParallel refuses parameters that no gradient reaches."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += [WORKER, tmp_path / "two", "--recipe=dynast,one-scale"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-3000:]
    recipe = replace(make_recipe("dynast", "people", "smoke", variant="one-scale"), steps=6, batch_size=4, save_every=2)
    list(train(recipe, tmp_path / "one"))
    logs = [[list(row.values())[:-1] for row in read_log(tmp_path / run)] for run in ("two", "one")]
    assert torch.allclose(*(torch.tensor(log[0]) for log in logs), rtol=1e-3)


def test_a_bound_on_the_gradient_holds_it(tmp_path):
    """Adam undoes a common factor, until the gradient is far below its epsilon: then nothing moves."""
    moved = {}
    for name, longest in {"free": None, "held": 1e-14}.items():
        recipe = replace(SMOKE, steps=1, longest_gradient=longest, weights={"match": 100.0})
        state_of = TrainingState(recipe, Fabric(accelerator="cpu", devices=1))
        before = state_of.model.target_embedding.patches[0].weight.detach().clone()
        state_of.step(recipe.source.batch(torch.arange(4)), 1, tmp_path)
        moved[name] = (state_of.model.target_embedding.patches[0].weight - before).abs().max().item()
    assert moved["held"] < 1e-6 < 1e-4 < moved["free"]


def test_the_exemplar_of_a_photograph_is_not_distorted_twice(tmp_path):
    for name in ("one", "two"):
        Image.new("RGB", (80, 80)).save(tmp_path / f"{name}.png")
    assert make_recipe("dynast", "people", "cpu").pseudo == 0.3
    assert make_recipe("dynast", "photos", "cpu").pseudo == make_recipe("dynast", str(tmp_path), "cpu").pseudo == 0.0


def test_the_paper_profile_has_the_printed_weight_of_the_adversary():
    assert make_recipe("dynast", "people", "paper").weights["adv"] == 10.0 > make_recipe("dynast").weights["adv"]
