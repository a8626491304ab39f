"""A run may be stopped at any moment, shared among processes, or go wrong, and nothing is lost."""

import csv
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric

from exemplar_lab.data.synth.people import VERSION
from exemplar_lab.training import objective, state
from exemplar_lab.training.checkpoint import last_checkpoint, read_checkpoint
from exemplar_lab.training.log import read_log
from exemplar_lab.training.loop import train
from exemplar_lab.training.recipe import make_source
from exemplar_lab.training.recipes.cocosnet import cocosnet_people
from exemplar_lab.training.samples import local_indices, sample_indices
from exemplar_lab.training.state import DivergedError

WORKER = Path(__file__).parent / "train_worker.py"


def tiny(**changes):
    return replace(cocosnet_people("smoke"), **({"steps": 6, "batch_size": 4, "save_every": 2} | changes))


def weights_of(run: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(last_checkpoint(run)).model


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], tolerance: float = 0.0) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert torch.allclose(one[name], other[name], rtol=0, atol=tolerance), name


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    run = tmp_path_factory.mktemp("whole")
    steps = list(train(tiny(), run))
    assert [step.number for step in steps] == [1, 2, 3, 4, 5, 6]
    return run


def test_every_step_lowers_into_the_log(uninterrupted):
    rows = read_log(uninterrupted)
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert {"feat", "perc", "context", "adv", "domain", "reg", "warp", "discriminator", "seconds"} <= rows[0].keys()


def test_break_and_go_on_gives_the_same_weights(uninterrupted, tmp_path):
    for step in train(tiny(), tmp_path):
        if step.number == 3:
            break
    assert read_checkpoint(last_checkpoint(tmp_path)).about["step"] == 3
    assert [step.number for step in train(tiny(), tmp_path)] == [4, 5, 6]
    assert_same(weights_of(tmp_path), weights_of(uninterrupted))
    assert [row["step"] for row in read_log(tmp_path)] == [1, 2, 3, 4, 5, 6]
    assert list(train(tiny(), tmp_path)) == []


def test_killed_run_gives_the_same_weights(uninterrupted, tmp_path):
    worker = subprocess.Popen([sys.executable, WORKER, tmp_path, "--pause"], stdout=subprocess.PIPE, text=True)
    assert any(line.startswith("step 5") for line in worker.stdout)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    assert read_checkpoint(last_checkpoint(tmp_path)).about["step"] == 4
    assert [step.number for step in train(tiny(), tmp_path)] == [5, 6]
    assert_same(weights_of(tmp_path), weights_of(uninterrupted))
    assert [row["step"] for row in read_log(tmp_path)] == [1, 2, 3, 4, 5, 6]


def test_two_processes_give_what_one_gives(uninterrupted, tmp_path):
    """Gradients are compared after one step, in Adam's second moments; its step itself turns rounding into whole steps."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", WORKER, tmp_path / "two"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-3000:]
    logs = [[list(row.values())[:-1] for row in read_log(run)] for run in (tmp_path / "two", uninterrupted)]
    assert torch.allclose(*map(torch.tensor, logs), rtol=0.02, atol=0.01)
    assert torch.allclose(*(torch.tensor(log[0]) for log in logs), rtol=1e-4)

    list(train(tiny(save_every=1, steps=1), tmp_path / "one"))
    one, two = (read_checkpoint(tmp_path / folder).training for folder in ("one/step-00000001", "two/first"))
    assert one.keys() == two.keys() and any(name.endswith("exp_avg_sq") for name in one)
    for name in one:
        assert torch.allclose(one[name].float(), two[name].float(), rtol=1e-2, atol=1e-4 * one[name].float().abs().max()), name


def test_batch_that_cannot_be_shared_is_refused():
    with pytest.raises(ValueError, match="batch of 5 for 2 processes"):
        local_indices(tiny(batch_size=5), 1, rank=0, world=2)


def test_nan_stops_with_step_term_and_last_good_checkpoint(tmp_path, monkeypatch):
    steps = train(tiny(), tmp_path)
    for step in steps:
        if step.number == 3:
            monkeypatch.setattr(objective, "warp_matching", lambda *_: torch.tensor(float("nan")))
            with pytest.raises(DivergedError, match="step 4: the loss term warp is nan.*step-00000002"):
                next(steps)
            break
    assert last_checkpoint(tmp_path).name == "step-00000002"
    assert all(torch.isfinite(tensor).all() for tensor in weights_of(tmp_path).values() if tensor.is_floating_point())


def test_an_interrupt_inside_a_step_saves_nothing_of_it(uninterrupted, tmp_path, monkeypatch):
    steps = train(tiny(), tmp_path)
    assert [next(steps).number for _ in range(3)] == [1, 2, 3]
    with monkeypatch.context() as patch:
        patch.setattr(state, "discriminator_loss", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            next(steps)
    assert last_checkpoint(tmp_path).name == "step-00000002"
    assert [step.number for step in train(tiny(), tmp_path)] == [3, 4, 5, 6]
    assert_same(weights_of(tmp_path), weights_of(uninterrupted))


def test_batch_normalisation_is_for_one_process(tmp_path, monkeypatch):
    recipe = cocosnet_people("smoke", variant="batch-norm")
    monkeypatch.setattr(Fabric, "world_size", 2)
    with pytest.raises(ValueError, match="batch normalisation in 2 processes"):
        next(train(recipe, tmp_path))


def test_samples_of_another_version_are_refused():
    described = tiny().describe()["validation"]
    assert described["version"] == VERSION and make_source(described) == tiny().validation
    with pytest.raises(ValueError, match="got samples of version 0 of People"):
        make_source(described | {"version": 0})


def test_folder_of_another_recipe_is_refused(uninterrupted):
    with pytest.raises(ValueError, match="another recipe: seed was 0, is 1"):
        next(train(tiny(seed=1), uninterrupted))


def test_mask_warm_up_ends_in_noise(tmp_path):
    """App. E: masks and their cross-entropy first, Gaussian noise after; resuming in the noise gives the same weights."""
    recipe = tiny()
    model = replace(recipe.model, exemplar_sees_condition=True)
    recipe = replace(recipe, model=model, warm_up_steps=2, weights={**recipe.weights, "mask": 1.0}, steps=5)
    whole = list(train(recipe, tmp_path / "whole"))
    assert ["mask" in step.terms for step in whole] == [True, True, False, False, False]
    for step in train(recipe, tmp_path / "parts"):
        if step.number == 4:
            break
    list(train(recipe, tmp_path / "parts"))
    assert_same(weights_of(tmp_path / "parts"), weights_of(tmp_path / "whole"))


def test_samples_of_a_finite_source_come_once_per_epoch():
    recipe = tiny(batch_size=5)
    recipe = replace(recipe, source=replace(recipe.source, split="val"))
    assert recipe.source.length == 2000
    seen = torch.cat([sample_indices(recipe, number) for number in range(1, 401)])
    assert sorted(seen.tolist()) == list(range(2000))
    assert seen[:5].tolist() != torch.cat([sample_indices(recipe, 401)]).tolist()


def test_learning_rate_falls_to_nothing():
    recipe = tiny(steps=10, decay_from=0.5, learning_rate=1.0, discriminator_learning_rate=4.0)
    assert recipe.learning_rates(0) == (1.0, 4.0) and recipe.learning_rates(5) == (1.0, 4.0)
    assert recipe.learning_rates(10) == (0.0, 0.0) and recipe.learning_rates(9)[0] == pytest.approx(0.2)


def test_log_and_recipe_are_plain_text(uninterrupted):
    about = json.loads((last_checkpoint(uninterrupted) / "checkpoint.json").read_text())
    assert about["recipe"]["source"]["kind"] == "People" and about["recipe"]["steps"] == 6
    assert len(list(csv.reader((uninterrupted / "log.csv").open()))) == 7
