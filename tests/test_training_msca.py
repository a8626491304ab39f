"""MSCA's recipe: what each step sees and what it moves, the rows of Table 1, and a run that may be stopped at any moment."""

import os
import subprocess
import sys
from dataclasses import replace
from math import isfinite
from pathlib import Path

import pytest
import torch
from test_training import WORKER, assert_same, weights_of

from exemplar_lab.data.synth.scenes import Scenes
from exemplar_lab.models.msca import MSCA
from exemplar_lab.training.checkpoint import last_checkpoint, read_checkpoint
from exemplar_lab.training.log import read_log
from exemplar_lab.training.loop import make_fabric, train
from exemplar_lab.training.objective import discriminator_loss, msca_terms, pretraining_terms, shown_to_discriminator
from exemplar_lab.training.patches import Patches, patch_batch
from exemplar_lab.training.recipe import make_source
from exemplar_lab.training.recipes import make_recipe
from exemplar_lab.training.recipes.msca import MSCA as PRESETS
from exemplar_lab.training.recipes.msca import MSCA_VARIANTS
from exemplar_lab.training.samples import local_batch
from exemplar_lab.training.state import TrainingState
from exemplar_lab.translation import Batch

SMOKE = replace(
    make_recipe("msca", "scenes", "smoke"), steps=9, save_every=3, patches=Patches(pretraining=3, disjoint=3, patch=48)
)
"""Three steps of each kind: attention alone, disjoint patches, large ones."""

OF_SYNTHESIS = {"feat", "gan", "adv", "pixel", "discriminator"}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    run = tmp_path_factory.mktemp("whole")
    assert [step.number for step in train(SMOKE, run)] == list(range(1, 10))
    return run


def test_smoke_trains(uninterrupted):
    rows = read_log(uninterrupted)
    assert rows[0].keys() == {"step", "decoded", "seconds"} | OF_SYNTHESIS
    for row in rows:
        told = {name for name, value in row.items() if value is not None} - {"step", "seconds"}
        assert told == ({"decoded"} if row["step"] <= 3 else OF_SYNTHESIS)
        assert all(isfinite(row[name]) for name in told)
    checkpoint = read_checkpoint(last_checkpoint(uninterrupted))
    assert checkpoint.about["model"] == "msca" and checkpoint.about["step"] == 9
    assert not any("extractor" in name for name in checkpoint.model)
    model = checkpoint.build()
    assert isinstance(model, MSCA) and model.config == SMOKE.model
    assert make_source(checkpoint.about["recipe"]["source"]) == SMOKE.source
    batch = SMOKE.validation.batch(torch.arange(2))
    with torch.inference_mode():
        assert model(batch.condition, batch.exemplar, batch.exemplar_condition).image.isfinite().all()


def test_both_losses_fall_on_the_same_canvases(tmp_path):
    """Eight pictures again and again: features are decoded better, and images come nearer to their targets."""
    few = replace(Scenes(size=64, truth=False), split="val")
    for pretraining, term in ((16, "decoded"), (0, "pixel")):
        recipe = replace(SMOKE, source=few, steps=16, save_every=16, patches=Patches(pretraining, 16, None, flip=0.0))
        training = TrainingState(replace(recipe, decay_from=1.0), make_fabric("cpu"))
        batch = local_batch(recipe, 1)
        found = [training.step(batch, number, tmp_path)[0][term] for number in range(1, 17)]
        assert sum(found[-4:]) < 0.9 * sum(found[:4])


@pytest.mark.parametrize("last", [2, 3, 5, 6, 8])
def test_break_and_go_on_gives_the_same_weights(uninterrupted, tmp_path, last):
    """Stopped inside every stage and at every border between two."""
    for step in train(SMOKE, tmp_path):
        if step.number == last:
            break
    assert read_checkpoint(last_checkpoint(tmp_path)).about["step"] == last
    assert [step.number for step in train(SMOKE, tmp_path)] == list(range(last + 1, 10))
    assert_same(weights_of(tmp_path), weights_of(uninterrupted))
    ours, theirs = ([{**row, "seconds": 0} for row in read_log(run)] for run in (tmp_path, uninterrupted))
    assert ours == theirs and [list(row) for row in ours] == [list(row) for row in theirs]


def snapshot(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in module.named_parameters()}


def moved(before: dict[str, torch.Tensor], module: torch.nn.Module) -> set[str]:
    return {name for name, p in module.named_parameters() if not torch.equal(before[name], p)}


def parts(names: set[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


def test_pretraining_moves_the_attention_alone_and_later_steps_all_but_the_decoders():
    training = TrainingState(SMOKE, make_fabric("cpu"))
    for number in (1, 4):
        before, judge = snapshot(training.model), snapshot(training.discriminator)
        seen = training.model.exemplar_features.extractor.features[0].weight.clone()
        training.step(training.batch(number), number, Path())
        expected = {"exemplar_features", "label_features", "attention"} | ({"decoders"} if number == 1 else {"synthesis"})
        changed = moved(before, training.model)
        assert parts(changed) == expected
        assert parts(before.keys() - changed) == {"synthesis" if number == 1 else "decoders"}
        assert moved(judge, training.discriminator) == (set() if number == 1 else judge.keys())
        assert torch.equal(seen, training.model.exemplar_features.extractor.features[0].weight)


def test_the_generator_moves_at_every_fifth_step_and_the_discriminator_always():
    """As printed; while the attention is pretrained there is nothing to wait for."""
    recipe = make_recipe("msca", "scenes", "smoke", variant="every-fifth")
    assert recipe.generator_every == 5 == make_recipe("msca", "scenes", "paper").generator_every
    training = TrainingState(replace(recipe, steps=12, patches=Patches(1, 4, 48)), make_fabric("cpu"))
    for number in range(1, 11):
        before, judge = snapshot(training.model), snapshot(training.discriminator)
        values, translation = training.step(training.batch(number), number, Path())
        assert bool(moved(before, training.model)) == (number in (1, 5, 10))
        assert bool(moved(judge, training.discriminator)) == (number > 1)
        whole = {1: {"decoded"}, 5: OF_SYNTHESIS, 10: OF_SYNTHESIS}
        assert values.keys() == whole.get(number, {"discriminator"}) and translation.image.isfinite().all()


# What a step sees.


def numbered_canvases(side: int, count: int = 6) -> Batch:
    """Canvases in which every pixel has a number of its own, in the first channel; the second says which canvas."""
    target = torch.zeros(count, 3, side, side, dtype=torch.float64)
    target[:, 0] = torch.arange(side * side).view(side, side)
    target[:, 1] = torch.arange(count).view(-1, 1, 1)
    condition = torch.cat([target[:, :1], 1 - target[:, :1]], dim=1)
    return Batch(condition, target, 0 * target, 0 * condition, torch.ones(count, dtype=torch.bool), None)


def pixels(image: torch.Tensor) -> set[int]:
    return set(image[0].flatten().long().tolist())


SCHEDULE = Patches(pretraining=2, disjoint=3, patch=12, flip=0.5)


@pytest.mark.parametrize("number", [1, 2, 3, 5])
def test_small_patches_share_no_pixel_and_are_made_from_each_other(number):
    canvas, seeds = numbered_canvases(16), torch.arange(6) + 10 * number
    batch = patch_batch(SCHEDULE, canvas, seeds, number, 8)
    assert len(batch) == 12 and batch.target.shape[2:] == (8, 8) and batch.truth is None
    for i in range(6):
        target, exemplar = pixels(batch.target[i]), pixels(batch.exemplar[i])
        assert len(target) == len(exemplar) == 64 and not target & exemplar  # as they are: not resized
        assert batch.target[i, 1].unique().tolist() == batch.exemplar[i, 1].unique().tolist() == [i]
        assert torch.equal(batch.target[i], batch.exemplar[i + 6]) and torch.equal(batch.exemplar[i], batch.target[i + 6])
        assert torch.equal(batch.condition[i], batch.exemplar_condition[i + 6])
    assert torch.equal(batch.condition[:, 0], batch.target[:, 0])
    assert torch.equal(batch.exemplar_condition[:, 0], batch.exemplar[:, 0])


@pytest.mark.parametrize("number", [6, 100])
def test_large_patches_bring_the_whole_which_is_its_own_exemplar(number):
    canvas, seeds = numbered_canvases(16), torch.arange(6) + 10 * number
    batch = patch_batch(SCHEDULE, canvas, seeds, number, 8)
    assert len(batch) == 12 and batch.target.shape[2:] == (8, 8) and batch.paired.all()
    shared, mirrored = 0, 0
    for i in range(6):
        step = batch.target[i, 0, :, 1:] - batch.target[i, 0, :, :-1]
        mirrored += int((step < 0).all())
        torch.testing.assert_close(step.abs(), torch.full_like(step, 12 / 8), atol=0.6, rtol=0)  # 12 pixels in 8
        shared += torch.equal(batch.target[i], batch.exemplar[i])
        assert torch.equal(batch.target[i + 6], batch.exemplar[i + 6])
        assert torch.equal(batch.condition[i + 6], batch.exemplar_condition[i + 6])
        whole = canvas.target[i].unfold(1, 2, 2).unfold(2, 2, 2).mean((3, 4))
        assert torch.equal(batch.target[i + 6], whole) or torch.equal(batch.target[i + 6], whole.flip(-1))
    assert shared < 6 and 0 < mirrored < 6


def test_the_schedule_and_its_borders():
    assert [SCHEDULE.enlarged(number) for number in range(1, 8)] == [False] * 5 + [True] * 2
    assert not any(replace(SCHEDULE, patch=None).enlarged(number) for number in range(1, 99))
    for changes in ({"pretraining": -1}, {"disjoint": -1}, {"whole": -0.5}, {"flip": 1.5}):
        with pytest.raises(ValueError, match="got pretraining .* expected none below 0, and a chance of at most 1"):
            replace(SCHEDULE, **changes)


def test_steps_see_what_their_number_says_and_processes_share_it():
    for number in (1, 4, 7):
        batch = local_batch(SMOKE, number)
        assert len(batch) == 4 and batch.target.shape[2:] == (32, 32) and batch.condition.shape[1] == 12
        assert torch.equal(batch.target, local_batch(SMOKE, number).target)
        assert not torch.equal(batch.target, local_batch(SMOKE, number + 10).target)
        halves = [local_batch(SMOKE, number, rank, 2) for rank in (0, 1)]
        order = [0, 2, 1, 3]  # each process has its pairs first, then their way back, or its wholes
        assert torch.equal(torch.cat([half.target for half in halves])[order], batch.target)
        assert torch.equal(torch.cat([half.exemplar for half in halves])[order], batch.exemplar)


# Eq. (11)


def mean_log(logits: list[torch.Tensor], turned: bool) -> torch.Tensor:
    """E log D, or E log(1 − D), over one scale and then over the scales."""
    probability = [torch.sigmoid(one.double()) for one in logits]
    return torch.stack([(1 - p if turned else p).log().mean() for p in probability]).mean()


@pytest.mark.parametrize("number", [4, 7])
def test_every_term_is_what_its_equation_says(number):
    """Both tasks by hand, sample by sample, with λ = 0.3; before the canvases are there, one task."""
    recipe = replace(SMOKE, patches=replace(SMOKE.patches, whole=0.3))
    training = TrainingState(recipe, make_fabric("cpu"))
    judge, network, batch = training.discriminator.eval(), training.features, training.batch(number)
    image = torch.rand_like(batch.target)
    tasks = training._tasks(batch, number)
    assert tasks == (((slice(None), 1.0),) if number == 4 else ((slice(2), 1.0), (slice(2, None), 0.3)))
    terms = msca_terms(judge, network, batch, image, tasks, recipe.weights, recipe.feature_weights)

    per_sample = {name: [] for name in (*terms, "judge")}
    for i in range(4):
        one = batch[i : i + 1]
        beside = [one.condition, one.exemplar, one.exemplar_condition]
        made, real = (torch.cat([picture, *beside], dim=1) for picture in (image[i : i + 1], one.target))
        assert torch.equal(made, shown_to_discriminator(type(recipe.model), one, image[i : i + 1]))
        per_sample["pixel"].append((image[i] - batch.target[i]).abs().mean())
        per_sample["adv"].append(mean_log(judge(made), True))
        per_sample["judge"].append(-mean_log(judge(real), False) - mean_log(judge(made), True))
        layers = tuple(recipe.feature_weights)
        seen, wanted = network(image[i : i + 1], layers), network(one.target, layers)
        per_sample["feat"].append(
            sum(weight * (seen[layer] - wanted[layer]).abs().mean() for layer, weight in recipe.feature_weights.items())
        )
        inner = [
            torch.stack([(a - b).abs().mean() for a, b in zip(mine[:-1], theirs[:-1], strict=True)]).mean()
            for mine, theirs in zip(judge.activations(made), judge.activations(real), strict=True)
        ]
        per_sample["gan"].append(torch.stack(inner).mean())
    assert terms.keys() == {"feat", "gan", "adv", "pixel"}
    loss = discriminator_loss(recipe.model, judge, batch, image, tasks)
    for name, value in {**terms, "judge": loss}.items():
        own = [float(one.detach()) for one in per_sample[name]]
        expected = sum(own) / 4 if number == 4 else sum(own[:2]) / 2 + 0.3 * sum(own[2:]) / 2
        assert float(value.detach()) == pytest.approx(expected, rel=1e-4, abs=1e-6), name
    fewer = msca_terms(judge, network, batch, image, tasks, {"pixel": 1.0, "adv": 0.0}, recipe.feature_weights)
    assert fewer.keys() == {"pixel"}


def test_the_generator_is_told_by_its_image_alone():
    training = TrainingState(SMOKE, make_fabric("cpu"))
    batch, weights = training.batch(4), SMOKE.weights
    image = torch.rand_like(batch.target).requires_grad_()
    judge = training.discriminator.requires_grad_(False)
    for name, term in msca_terms(
        judge, training.features, batch, image, ((slice(None), 1.0),), weights, SMOKE.feature_weights
    ).items():
        (slope,) = torch.autograd.grad(term, image, retain_graph=True)
        assert slope.abs().max() > 0, name


def test_what_pretraining_reconstructs():
    """App. G: the mean L1 distance to what the frozen network sees of the target, a weight per layer."""
    training = TrainingState(SMOKE, make_fabric("cpu"))
    model, batch = training.model.eval(), training.batch(1)
    translation = model(batch.condition, batch.exemplar, batch.exemplar_condition, record=False, synthesise=False)
    terms = pretraining_terms(model, batch, translation, SMOKE.feature_weights)
    seen = model.exemplar_features.extractor(batch.target, tuple(SMOKE.feature_weights))
    expected = sum(
        weight * (translation.features[layer] - seen[layer]).abs().mean() for layer, weight in SMOKE.feature_weights.items()
    )
    assert terms.keys() == {"decoded"}
    torch.testing.assert_close(terms["decoded"], expected)


# Recipes.


def test_variants_are_the_rows_of_table_1():
    full = make_recipe("msca", "scenes", "smoke")
    for variant, changes in MSCA_VARIANTS.items():
        recipe = make_recipe("msca", "scenes", "smoke", variant=variant)
        assert recipe.model == replace(full.model, **changes)
        assert recipe.name == "msca-scenes-smoke" + (f"-{variant}" if variant != "full" else "")
        assert (recipe.patches.patch is None) == (variant == "without-global")
        assert (recipe.patches.pretraining == 0) == (variant == "without-pretraining")
        assert recipe.generator_every == (5 if variant == "every-fifth" else 1)
        after = recipe.steps - recipe.patches.pretraining
        assert after == full.steps - full.patches.pretraining, "as many steps of synthesis whatever is taken away"
        same = replace(recipe, model=full.model, name=full.name, patches=full.patches, generator_every=1, steps=full.steps)
        assert same == full


@pytest.mark.parametrize("variant", ["gap", "without-attention", "without-masking", "without-global"])
def test_every_row_of_table_1_takes_a_step_of_each_kind(variant):
    recipe = make_recipe("msca", "scenes", "smoke", variant=variant)
    patch = None if variant == "without-global" else 48
    training = TrainingState(replace(recipe, steps=3, patches=Patches(1, 1, patch)), make_fabric("cpu"))
    for number in (1, 2, 3):
        values, translation = training.step(training.batch(number), number, Path())
        assert values.keys() == ({"decoded"} if number == 1 else OF_SYNTHESIS)
        assert all(map(isfinite, values.values())) and len(translation.warps) == 5


@pytest.mark.parametrize("profile", PRESETS)
def test_recipes_fit_together(profile):
    recipe = make_recipe("msca", "scenes", profile, seed=3)
    assert recipe.source.size == 2 * recipe.model.size and recipe.validation.size == recipe.model.size
    assert recipe.model.condition_channels == recipe.source.condition_channels == 12
    assert recipe.name == f"msca-scenes-{profile}-seed3" and recipe.seed == 3
    assert recipe.validation.split == "val" and recipe.validation.scheme == "retrieval"
    patches = recipe.patches
    assert recipe.model.size <= patches.patch == 1.5 * recipe.model.size <= recipe.source.size
    assert 0 < patches.pretraining < recipe.steps and 0 < patches.disjoint < recipe.steps - patches.pretraining
    assert patches.enlarged(recipe.steps) and patches.whole == 1.0  # λ = 1


def test_the_paper_profile_has_the_printed_numbers():
    paper = make_recipe("msca", "scenes", "paper")
    assert paper.betas == (0.9, 0.999) and paper.learning_rate == paper.discriminator_learning_rate == 2e-4
    assert (paper.model.size, paper.patches.patch, paper.source.size) == (256, 384, 512)
    assert "pixel" not in paper.weights and paper.generator_every == 5
    stages = paper.patches.pretraining, paper.patches.disjoint, paper.steps - paper.patches.pretraining - paper.patches.disjoint
    assert len(set(stages)) == 1 and stages[0] == pytest.approx(20 * 34_698 / paper.batch_size, rel=0.01), "20 epochs each"


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"patches": None}, "without patches"),
        ({"generator_every": 0}, "got generator_every 0"),
        ({"patches": Patches(4, 4, 200)}, "large patches of 200 for images of 32"),
        ({"patches": Patches(4, 4, 16)}, "large patches of 16"),
        ({"source": Scenes(size=48, truth=False)}, "got canvases of 48"),
    ],
)
def test_a_schedule_that_would_stop_later_is_refused_at_once(changes, said):
    with pytest.raises(ValueError, match=said):
        TrainingState(replace(SMOKE, **changes), make_fabric("cpu"))


def test_features_are_those_of_the_model_as_well():
    for features in ("fixed", "lab"):
        recipe = make_recipe("msca", "scenes", "paper", features=features)
        assert recipe.features == recipe.model.features == features
    with pytest.raises(ValueError, match="folder of photographs with label maps"):
        make_recipe("msca", "people")


def test_two_processes_share_a_batch(tmp_path):
    """Also where parameters are idle: the generator while the attention is pretrained, the decoders afterwards."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += [WORKER, tmp_path / "two", "--recipe=msca"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-3000:]
    recipe = replace(make_recipe("msca", "scenes", "smoke"), steps=6, batch_size=4, save_every=2, patches=Patches(2, 2, 48))
    list(train(recipe, tmp_path / "one"))
    rows = [read_log(tmp_path / run) for run in ("two", "one")]
    for ours, theirs in zip(*rows, strict=True):
        assert ours.keys() == theirs.keys()
        for name in ours.keys() - {"seconds"}:
            same = ours[name] is theirs[name] is None or ours[name] == pytest.approx(theirs[name], rel=1e-2, abs=1e-3)
            assert same, f"step {ours['step']}: {name} {ours[name]}, {theirs[name]}"
