"""MATEBIT's recipes: the rows of Table 2, the queue of style codes, and a run that may be stopped at any moment."""

import os
import subprocess
import sys
from dataclasses import replace
from math import isfinite
from pathlib import Path

import pytest
import torch
from test_training import WORKER, assert_same, weights_of

from exemplar_lab.losses.adversarial import hinge_discriminator
from exemplar_lab.losses.contrast import contrastive_style
from exemplar_lab.losses.correspondence import domain_alignment, warp_matching
from exemplar_lab.losses.perceptual import perceptual
from exemplar_lab.losses.structure import structural
from exemplar_lab.models.matebit import MATEBIT
from exemplar_lab.training import state
from exemplar_lab.training.checkpoint import last_checkpoint, read_checkpoint
from exemplar_lab.training.log import read_log
from exemplar_lab.training.loop import make_fabric, train
from exemplar_lab.training.objective import EDGE_LAYERS, discriminator_loss, matebit_terms
from exemplar_lab.training.recipes import make_recipe
from exemplar_lab.training.recipes.matebit import MATEBIT as PRESETS
from exemplar_lab.training.recipes.matebit import MATEBIT_DATA, MATEBIT_VARIANTS
from exemplar_lab.training.state import TrainingState

SMOKE = make_recipe("matebit", "faces", "smoke")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    run = tmp_path_factory.mktemp("whole")
    assert [step.number for step in train(SMOKE, run)] == list(range(1, 13))
    return run


def test_smoke_trains(uninterrupted):
    rows = read_log(uninterrupted)
    asked = {name for name, weight in SMOKE.weights.items() if weight}
    assert len(rows) == 12 and asked | {"step", "discriminator", "seconds"} == rows[0].keys()
    assert all(isfinite(value) for row in rows for value in row.values())
    checkpoint = read_checkpoint(last_checkpoint(uninterrupted))
    assert checkpoint.about["model"] == "matebit" and checkpoint.about["features"].startswith("lab")
    model = checkpoint.build()
    assert isinstance(model, MATEBIT) and model.config == SMOKE.model
    batch = SMOKE.validation.batch(torch.arange(2))
    with torch.inference_mode():
        assert model(batch.condition, batch.exemplar, batch.exemplar_condition).image.isfinite().all()


def test_every_weight_moves(uninterrupted, tmp_path):
    next(train(replace(SMOKE, steps=1), tmp_path))
    before, after = weights_of(tmp_path), weights_of(uninterrupted)
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert same == set()


def test_break_and_go_on_gives_the_same_weights_and_the_same_queue(uninterrupted, tmp_path):
    """Stopped while the queue is half full: its codes are buffers of the model and go on from where they were."""
    for step in train(SMOKE, tmp_path):
        if step.number == 2:
            break
    held = read_checkpoint(last_checkpoint(tmp_path)).model
    assert held["queue.pushed"] == 8 and held["queue.codes"][:8].abs().sum(1).min() > 0 and not held["queue.codes"][8:].any()
    assert [step.number for step in train(SMOKE, tmp_path)] == list(range(3, 13))
    assert_same(weights_of(tmp_path), weights_of(uninterrupted))


@pytest.mark.parametrize(
    "variant, term", [("full", "style"), ("exemplars-loss", "style_exemplars"), ("cast-loss", "style_cast")]
)
def test_early_generations_stay_in_the_queue_and_exemplars_pass_through_it(variant, term):
    training = TrainingState(make_recipe("matebit", "faces", "smoke", variant=variant), make_fabric("cpu"))
    queues = []
    for number in range(1, 7):
        batch = training.batch(number)
        with torch.no_grad():
            of_exemplars = training.model.style_code(batch.exemplar, batch.exemplar_condition)
        values, _ = training.step(batch, number, Path())
        queues.append(training.model.queue.negatives())
        if number == 1:
            pushed_exemplars = torch.allclose(queues[0], of_exemplars, atol=0.02)
    assert values[term] > 0 and len(queues[0]) == 4 and len(queues[3]) == len(queues[5]) == 16
    early = variant == "full"
    assert torch.equal(queues[3], queues[5]) == early and pushed_exemplars != early


def test_no_image_is_held_against_itself():
    """At the first step the queue is empty, and the loss of Eq. (7) with it; the code of this step is pushed after it."""
    training = TrainingState(SMOKE, make_fabric("cpu"))
    values, _ = training.step(training.batch(1), 1, Path())
    assert values["style"] == 0 and len(training.model.queue.negatives()) == 4
    values, _ = training.step(training.batch(2), 2, Path())
    assert values["style"] > 0


@pytest.mark.parametrize("variant", MATEBIT_VARIANTS)
def test_every_row_of_table_2_takes_a_step(variant):
    recipe = make_recipe("matebit", "faces", "smoke", variant=variant)
    training = TrainingState(recipe, make_fabric("cpu"))
    for number in (1, 2):
        values, translation = training.step(training.batch(number), number, Path())
    assert all(map(isfinite, values.values())) and len(translation.warps) == recipe.model.blocks
    gone = {"without-style-loss": {"style"}, "without-structure-loss": {"str"}, "without-mat": {"corr"}}.get(variant, set())
    renamed = {"exemplars-loss": {"style_exemplars"}, "cast-loss": {"style_cast"}}.get(variant, set())
    usual = {name for name, weight in SMOKE.weights.items() if weight}
    assert values.keys() - {"discriminator"} == usual - gone - ({"style"} if renamed else set()) | renamed
    assert recipe.name == "matebit-faces-smoke" + ("" if variant == "full" else f"-{variant}")


@pytest.mark.parametrize("data", [*MATEBIT_DATA, "folder"])
def test_every_source_gives_what_the_model_expects(data, tmp_path):
    if data == "folder":
        from PIL import Image

        Image.effect_mandelbrot((80, 80), (-2, -1.5, 1, 1.5), 20).convert("RGB").save(tmp_path / "one.png")
        Image.effect_noise((80, 80), 50).convert("RGB").save(tmp_path / "two.png")
    recipe = make_recipe("matebit", str(tmp_path) if data == "folder" else data, "smoke")
    batch = recipe.source.batch(torch.arange(2))
    model = MATEBIT(recipe.model).eval()
    with torch.inference_mode():
        assert model(batch.condition, batch.exemplar, batch.exemplar_condition).image.shape == batch.target.shape


def test_every_term_is_what_its_equation_says():
    """By hand: Eq. (8) asks the target, (9) all blocks, (12) the edges of the target, and (7) moves the image alone."""
    training = TrainingState(make_recipe("matebit", "faces", "smoke"), make_fabric("cpu"))
    model, network = training.model.eval(), training.features
    model.queue.push(torch.nn.functional.normalize(torch.randn(5, 8), dim=1), early=True)
    batch = training.batch(1)
    translation = model(batch.condition, batch.exemplar, batch.exemplar_condition, record=False)
    made_style = model.style_code(translation.image, batch.condition).detach().requires_grad_()
    bare = (model, training.discriminator, network, training.edges)
    terms = matebit_terms(*bare, batch, translation, SMOKE.weights, SMOKE.feature_weights, made_style)
    z, aligned = translation.features["style"], model.align(batch.target, batch.condition)
    of_edges = [network(training.edges(one).expand(-1, 3, -1, -1), EDGE_LAYERS) for one in (translation.image, batch.target)]
    expected = {
        "style": contrastive_style(made_style, z, model.queue.negatives()),
        "align": domain_alignment(translation.features["structure"], aligned),
        "corr": sum(warp_matching(warp, batch.target, batch.paired) for warp in translation.warps) / len(translation.warps),
        "str": structural(*of_edges),
        "perc": perceptual(network(translation.image, ["relu4_2"]), network(batch.target, ["relu4_2"])),
        "pixel": (translation.image - batch.target).abs().mean(),
        "adv": -torch.stack([logit.mean() for logit in training.discriminator(translation.image)]).mean(),
    }
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value, atol=1e-5, rtol=1e-4)
    (of_z,) = torch.autograd.grad(terms["style"], z, allow_unused=True, retain_graph=True)
    assert of_z is None and torch.autograd.grad(terms["style"], made_style)[0].abs().max() > 0


def test_the_discriminator_holds_images_against_exemplars():
    training = TrainingState(SMOKE, make_fabric("cpu"))
    batch, image = training.batch(1), torch.rand(4, 3, 32, 32)
    real, made = (training.discriminator.eval()(one) for one in (batch.exemplar, image))
    found = discriminator_loss(SMOKE.model, training.discriminator, batch, image)
    torch.testing.assert_close(found, hinge_discriminator(real, made), atol=1e-5, rtol=1e-4)


def test_a_nan_names_step_and_term(tmp_path, monkeypatch):
    monkeypatch.setattr(state, "matebit_terms", lambda *_: {"style": torch.tensor(float("nan")), "align": torch.tensor(1.0)})
    with pytest.raises(state.DivergedError, match="step 1: the loss term style is nan"):
        next(train(SMOKE, tmp_path))


def test_a_run_from_before_a_setting_existed_is_still_this_run(uninterrupted):
    """What a recipe does not say yet has its default; another value is another recipe."""
    found = read_checkpoint(last_checkpoint(uninterrupted)).about["recipe"]
    del found["edges"]
    state.refuse_other_recipe(found, SMOKE, uninterrupted)
    with pytest.raises(ValueError, match="edges was"):
        state.refuse_other_recipe(found, replace(SMOKE, edges="hed"), uninterrupted)


def test_profiles_and_variants_are_checked():
    assert {"smoke", "small", "cpu", "gpu", "paper"} == PRESETS.keys()
    for arguments, said in (
        (("matebit", "faces", "huge"), "got the profile 'huge', expected one of smoke, small, cpu, gpu, paper"),
        (("matebit", "faces", "smoke", 0, "cheap"), "got the variant 'cheap', expected one of full, without-mat"),
    ):
        with pytest.raises(ValueError, match=said):
            make_recipe(*arguments)


def test_two_processes_share_a_step_and_the_queue(tmp_path):
    """Both push the codes of both, in the order of the batch, so that what is held against an image is what one would hold."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += [WORKER, tmp_path / "two", "--recipe=matebit"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-3000:]
    recipe = replace(make_recipe("matebit", "people", "smoke"), steps=6, batch_size=4, save_every=2)
    list(train(recipe, tmp_path / "one"))
    logs = [[list(row.values())[:-1] for row in read_log(tmp_path / run)] for run in ("two", "one")]
    assert torch.allclose(*(torch.tensor(log[0]) for log in logs), rtol=1e-3)
    assert torch.allclose(*(torch.tensor(log[1]) for log in logs), rtol=0.05, atol=0.02)  # now something is in the queue
    shared, alone = (read_checkpoint(last_checkpoint(tmp_path / run)).model for run in ("two", "one"))
    assert shared["queue.pushed"] == alone["queue.pushed"] == 16
    torch.testing.assert_close(shared["queue.codes"][:4], alone["queue.codes"][:4], atol=1e-3, rtol=0)


def test_the_edges_of_the_structural_loss_are_chosen_by_name(monkeypatch):
    hed = make_recipe("matebit", "faces", "smoke", edges="hed")
    assert hed.edges == "hed" and hed.name == "matebit-faces-smoke-hed" and SMOKE.edges == "soft"
    monkeypatch.delenv("EXEMPLAR_LAB_HED", raising=False)
    with pytest.raises((ValueError, FileNotFoundError), match="hed"):
        TrainingState(hed, make_fabric("cpu"))
    for arguments, said in (
        (("matebit", "faces", "smoke", 0, "full", None, "canny"), "got the edges 'canny', expected one of soft, hed"),
        (("dynast", "people", "smoke", 0, "full", None, "hed"), "dynast-people-smoke, which has no term that looks at edges"),
        (("matebit", "faces", "smoke", 0, "without-structure-loss", None, "hed"), "which has no term that looks at edges"),
    ):
        with pytest.raises(ValueError, match=said):
            make_recipe(*arguments)
