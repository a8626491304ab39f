"""Table 1 of MSCA: three tasks on the same targets, rows that lie where they must, and swaps against their truth."""

import math

import pytest
import torch
from matplotlib.colors import to_rgba

from exemplar_lab.data.retrieval import Retrieved, retrieval_list
from exemplar_lab.data.synth.scenes import Scenes, repaint
from exemplar_lab.data.synth.scenes.materials import true_transfer_matrix
from exemplar_lab.metrics.swaps import swap_scores
from exemplar_lab.nn.features import features
from exemplar_lab.training.references import warped_image
from exemplar_lab.training.scene_tasks import (
    TASK_NUMBERS,
    every_swap,
    reference_answers,
    score_tasks,
    three_tasks,
)
from exemplar_lab.translation import Translation
from exemplar_lab.viz.style import COLOURS
from exemplar_lab.viz.stylised import style_matrix

SOURCE = Scenes(32, "val", scheme="retrieval")
TASKS = three_tasks(SOURCE)


@pytest.fixture(scope="module")
def rows():
    answers = reference_answers() | {"perfect": lambda batch: Translation(batch.target, ())}
    return score_tasks(answers, TASKS, torch.arange(8), features("fixed"), draws=4, batch_size=4)


def test_all_tasks_show_the_same_targets():
    batches = [source.batch(torch.arange(3)) for source in TASKS.values()]
    assert list(TASKS) == ["retrieving", "mirroring", "duplicating"]
    for batch in batches[1:]:
        assert torch.equal(batch.target, batches[0].target) and torch.equal(batch.condition, batches[0].condition)
    assert not torch.equal(batches[0].exemplar_condition, batches[0].condition)


def test_rows_lie_where_they_must(rows):
    mean = {row: {task: {n: v["mean"] for n, v in of.items()} for task, of in tasks.items()} for row, tasks in rows.items()}
    assert all(list(of_task) == list(TASK_NUMBERS) for tasks in mean.values() for of_task in tasks.values())
    for task in TASKS:
        assert mean["perfect"][task]["psnr"] == pytest.approx(100) and mean["perfect"][task]["gatys"] == 0
        assert mean["perfect"][task]["fd"] == pytest.approx(0, abs=1e-4)
        assert mean["class colours"][task]["gatys"] > 0
    assert mean["copy"]["duplicating"] == mean["perfect"]["duplicating"]
    assert mean["nearest label"]["duplicating"]["psnr"] == pytest.approx(100)
    for row in ("copy", "class colours"):
        assert mean[row]["retrieving"]["psnr"] < mean[row]["mirroring"]["psnr"] <= mean[row]["duplicating"]["psnr"] + 1e-3
    assert mean["class colours"]["retrieving"]["psnr"] > mean["copy"]["retrieving"]["psnr"] + 1
    # A mirror changes where things are, which the style loss asks only as far as filters have a direction.
    assert mean["copy"]["mirroring"]["gatys"] < mean["class colours"]["mirroring"]["gatys"]
    assert rows["copy"]["retrieving"]["psnr"]["half_width"] > 0
    assert {n for n, v in rows["copy"]["retrieving"].items() if "features" in v} == set(TASK_NUMBERS) - {"psnr"}


def test_psnr_is_that_of_the_pictures(rows):
    batch = TASKS["mirroring"].batch(torch.arange(8))
    expected = -10 * (batch.target - batch.target.flip(-1)).square().mean((1, 2, 3)).log10()
    assert rows["copy"]["mirroring"]["psnr"]["mean"] == pytest.approx(float(expected.mean()), rel=1e-5)


@pytest.mark.parametrize("transfer", [None, true_transfer_matrix()])
def test_class_colours_are_the_means_of_the_classes(transfer):
    batch = SOURCE.batch(torch.arange(4))
    made = warped_image(reference_answers(transfer)["class colours"](batch), batch)
    lacking = 0
    for sample in range(4):
        image, target, exemplar = batch.exemplar[sample], batch.truth.target_part[sample], batch.truth.exemplar_part[sample]
        means = {int(c): image[:, exemplar == c].mean(1) for c in exemplar.unique()}
        for c in target.unique().tolist():
            if c in means:
                wanted = means[c]
            else:
                lacking += 1
                weight = torch.tensor([1.0 if transfer is None else float(transfer[c, other]) for other in means])
                wanted = (weight[:, None] * torch.stack(list(means.values()))).sum(0) / weight.sum()
            torch.testing.assert_close(made[sample][:, target == c].mean(1), wanted, atol=2e-4, rtol=0)
    assert lacking > 0


def test_other_sources_have_the_three_tasks_too():
    pairs = retrieval_list(SOURCE, torch.arange(2), torch.arange(2, 5), 1)
    tasks = three_tasks(Retrieved(SOURCE, pairs))
    answers = {"copy": reference_answers()["copy"]}
    found = score_tasks(answers, tasks, torch.arange(2), features("fixed"), draws=2)
    assert found["copy"]["duplicating"]["psnr"]["mean"] == pytest.approx(100)
    assert found["copy"]["retrieving"]["psnr"]["mean"] < 30


def a_translator(condition, exemplar, exemplar_condition=None, *, record=True):
    """The exemplar's mean colour, darker where the first class is, by how much the exemplar has of it."""
    mean = exemplar.mean((2, 3), keepdim=True)
    return Translation(mean * (1 - 0.5 * condition[:, :1] * exemplar_condition[:, :1].mean((2, 3), keepdim=True)), ())


def test_every_structure_meets_every_exemplar():
    maps, truth = repaint(torch.arange(3), torch.arange(2), 16)
    exemplar, labels = truth[range(2), range(2)], maps[:2]
    made = every_swap(a_translator, maps, exemplar, labels)
    assert made.shape == (3, 2, 3, 16, 16)
    for i in range(3):
        for j in range(2):
            one = a_translator(maps[[i]], exemplar[[j]], labels[[j]]).image[0]
            torch.testing.assert_close(made[i, j], one)


def test_swaps_are_held_against_their_own_truth():
    _, truth = repaint(torch.arange(3), torch.arange(3), 16)
    made = (truth + 0.005).clone()
    made[2, 0] = truth[2, 1]  # the wrong style
    decibels, own = swap_scores(made, truth)
    assert decibels[0, 1].item() == pytest.approx(-20 * math.log10(0.005), abs=1e-3)
    expected = -10 * math.log10(float((truth[2, 1] - truth[2, 0]).square().mean()))
    assert decibels[2, 0].item() == pytest.approx(expected, abs=1e-3)
    assert not own[2, 0] and own.sum() == 8


def test_a_matrix_of_swaps_shows_both_and_frames_what_belongs_together():
    _, truth = repaint(torch.arange(2), torch.arange(2), 16)
    pictures = truth[range(2), range(2)]
    numbers = [["1 dB", "2 dB"], ["3 dB", "4 dB"]]
    names = (["a", "b"], ["c", "d"])
    figure = style_matrix(pictures, pictures, 1 - truth, names, truth=truth, numbers=numbers, own=True)
    axes = figure.axes
    assert len(axes) == 9 and [axes[at].get_title() for at in (4, 5, 7, 8)] == ["1 dB", "2 dB", "3 dB", "4 dB"]
    shown = torch.from_numpy(axes[5].images[0].get_array())
    torch.testing.assert_close(shown[:, 16:], truth[0, 1].movedim(0, -1))
    torch.testing.assert_close(shown[:, :16], 1 - truth[0, 1].movedim(0, -1))
    framed = [axes[at].spines["left"].get_edgecolor() == to_rgba(COLOURS[4]) for at in (4, 5, 7, 8)]
    assert framed == [True, False, False, True]
