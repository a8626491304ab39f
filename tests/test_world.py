"""The world on a page, in a panel, and by command."""

import io
import json
from functools import partial

import ipywidgets
import numpy as np
import pytest
import torch
from PIL import Image

from exemplar_lab.benchmarks import world as benchmark
from exemplar_lab.cli import main
from exemplar_lab.data.synth.dials import DIALS
from exemplar_lab.data.synth.world import TASKS, at_levels
from exemplar_lab.metrics.cells import oracle_match, truth_of_cells
from exemplar_lab.metrics.matching import INDEX_FLOOR
from exemplar_lab.metrics.points import end_point_error, predicted_points
from exemplar_lab.translation import Batch, Truth
from exemplar_lab.viz.transfer import class_trees, transfer_heatmaps
from exemplar_lab.viz.world import contact_sheet, count_picture, dial_strip, part_picture, true_warp
from exemplar_lab.widgets.world import CAPTIONS, world_panel


def pair() -> Batch:
    """One 4 × 4 pair whose exemplar is the target moved one pixel to the right; the first column has no counterpart."""
    torch.manual_seed(0)
    target = torch.rand(1, 3, 4, 4)
    exemplar = target.roll(1, -1)
    y, x = torch.meshgrid(torch.arange(4) + 0.5, torch.arange(4) + 0.5, indexing="ij")
    flow = torch.stack([x + 1, y])[None]
    visible = (x < 3)[None]
    flow[:, :, :, 0] = torch.nan
    visible = visible & ~flow.isnan().any(1)
    part = torch.arange(16).reshape(1, 4, 4) - 1
    truth = Truth(flow, visible, count=visible * 4.0, target_part=part, exemplar_part=part)
    return Batch(target, target, exemplar, exemplar, torch.ones(1, dtype=torch.bool), truth)


def test_the_true_warp_is_the_target_where_it_is_seen():
    batch = pair()
    warp = true_warp(batch)
    seen = batch.truth.visible[:, None].expand_as(warp)
    assert torch.allclose(warp[seen], batch.target[seen], atol=1e-5)
    assert (warp[..., 0] > 0.95).all() and (warp[..., 3] == warp[0, 0, 0, 3]).all()


def test_counts_and_parts_have_colours_of_their_own():
    batch = pair()
    counts = count_picture(batch.truth)
    assert counts[:, :, :, 1:3].flatten(2).std(-1).max() < 1e-6, "one count, one colour"
    more = count_picture(Truth(batch.truth.flow, batch.truth.visible, count=batch.truth.count / 16))
    assert (more - counts)[..., 1:3].abs().max() > 0.2
    colours = part_picture(batch.truth.target_part)
    assert len({tuple(c.tolist()) for c in colours[0].flatten(1).T}) == 16


def test_pages_keep_to_the_page():
    batch = pair()
    for figure in (
        contact_sheet(batch, batch.condition, "Pairs"),
        dial_strip({name: batch for name in "abc"}, {name: batch.condition[:, :2] for name in "abc"}, "A dial"),
        transfer_heatmaps({"true": torch.eye(5), "found": torch.full((5, 5), torch.nan)}, tuple("abcde"), "Transfer"),
        class_trees({"true": np.array([[0, 1, 0.1, 2], [2, 3, 0.5, 3.0]])}, tuple("abc"), "Trees"),
    ):
        figure.savefig("/dev/null", format="png", dpi=50)
        box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
        assert box.x0 >= -0.05 and box.y0 >= -0.05 and box.x1 <= width + 0.05 and box.y1 <= height + 0.05


def test_a_batch_without_truth_is_told():
    with pytest.raises(ValueError, match="got a batch without truth, expected one of a source with truth=True"):
        contact_sheet(TASKS["people"](16, truth=False).batch(torch.arange(1)), torch.zeros(1, 3, 16, 16))


def picture_of(panel: ipywidgets.VBox) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(panel.children[2].value)))


def test_the_panel_draws_what_the_sliders_say():
    panel = world_panel("people", "zoom", size=32, index=2)
    controls, words, _ = panel.children
    (tasks, dials), (sample, place) = (row.children for row in controls.children)
    first = picture_of(panel)
    assert first.shape == (32, len(CAPTIONS) * 32, 3)
    (_, batch), *_ = at_levels("people", "zoom", torch.tensor([2]), size=32).values()
    expected = (batch.exemplar[0].movedim(0, -1) * 255).round().byte().numpy()
    assert np.array_equal(first[:, 32:64], expected)
    place.children[0].value = 2.0
    assert not np.array_equal(picture_of(panel), first)
    assert DIALS["zoom"].claims in words.value
    for name in dials.options:
        dials.value = name
        assert picture_of(panel).shape == first.shape and "got" not in words.value
    before = picture_of(panel)
    sample.value = 7
    assert not np.array_equal(picture_of(panel), before)


@pytest.mark.parametrize("task", TASKS)
def test_the_panel_changes_the_task(task):
    panel = world_panel("people", "extras", size=16)
    tasks, dials = panel.children[0].children[0].children
    tasks.value = task
    assert set(dials.options) == {name for name, dial in DIALS.items() if task in dial.tasks}
    assert "got" not in panel.children[1].value


def test_other_dials_stay_set_while_one_is_turned(tmp_path):
    plain, dark = ([*extra, "--out", str(tmp_path / f"{len(extra)}.png")] for extra in ([], ["--set", "light=4"]))
    for arguments in (plain, dark):
        assert main(["world", "people", "--dial", "back", "--n", "1", "--size", "32", *arguments]) == 0
    pictures = [np.asarray(Image.open(arguments[-1]).convert("L"), dtype=float) for arguments in (plain, dark)]
    assert np.abs(pictures[0][-200:] - pictures[1][-200:]).max() > 20


@pytest.mark.parametrize("task", TASKS)
def test_no_indices_give_no_pairs(task):
    for truth in (True, False):
        batch = TASKS[task](16, "val", truth=truth).batch(torch.arange(0))
        assert len(batch) == 0 and batch.condition.shape[2:] == (16, 16) and (batch.truth is None) != truth


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("task", TASKS)
def test_a_gpu_makes_the_same_pairs(task):
    """On a CPU samples are the same bit by bit; a GPU may fuse a product and a sum, so 1e-3 is asked of nearly all pixels."""
    source = TASKS[task](64, "val")
    here, there = source.batch(torch.arange(8)), source.batch(torch.arange(8), "cuda").to("cpu")
    for ours, theirs in ((here.target, there.target), (here.exemplar, there.exemplar), (here.condition, there.condition)):
        assert ((ours - theirs).abs() < 1e-3).float().mean() > 0.999
    assert (here.truth.visible == there.truth.visible).float().mean() > 0.999


@pytest.mark.parametrize("extra", [[], ["--dial", "zoom"], ["--set", "zoom=2", "--set", "gap=edges", "--split", "ood"]])
def test_world_draws_a_sheet_and_says_how(extra, tmp_path, capsys):
    out = tmp_path / "new" / "sheet.png"
    assert main(["world", "people", "--n", "2", "--seed", "3", "--size", "32", "--out", str(out), *extra]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    made = json.loads(out.with_suffix(".json").read_text())["parameters"]
    assert made["task"] == "people" and len(made["indices"]) == 2
    assert Image.open(out).width > 400


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["dogs"], "got the task 'dogs', expected one of people"),
        (["people", "--dial", "unmatched"], "unmatched is heard by scenes"),
        (["people", "--set", "unmatched=2"], "unmatched is heard by scenes"),
        (["people", "--set", "zoom=9"], "got zoom = (9.0, 9.0), expected two numbers"),
        (["people", "--n", "0"], "got --n 0, expected 1 … 64 pairs"),
        (["people", "--out", "sheet.gif"], "expected a name that ends in .png"),
    ],
)
def test_world_tells_what_is_wrong(arguments, message, capsys):
    assert main(["world", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_the_benchmark_counts_pairs(monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "CASES", {16: (1,)})
    monkeypatch.setattr(benchmark, "report", partial(benchmark.report, repeats=1))
    assert main(["benchmark", "world", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report.keys() == {"16²"} and report["16²"].keys() == set(TASKS)
    assert all(speed["pairs_per_s"] > 0 and speed["batch"] == 1 for speed in report["16²"].values())
    monkeypatch.setattr(benchmark, "report", lambda device: report)
    assert main(["benchmark", "world"]) == 0
    assert capsys.readouterr().out.count("pairs/s with truth") == len(TASKS)


@pytest.mark.parametrize("task", TASKS)
def test_the_best_single_cell_errs_by_the_analytic_floor(task):
    """Points of a true flow fall evenly into cells, so the nearest centre is 0.383 cells away, whatever the grid."""
    batch = TASKS[task](128, "val", "easy").batch(torch.arange(12))
    for grid in (16, 32):
        cells = truth_of_cells(batch.truth, (grid, grid))
        match = oracle_match(batch.truth, (grid, grid), (grid, grid), nearest=True)
        error = end_point_error(predicted_points(match, (128, 128)), cells).nanmean() * grid / 128
        assert error == pytest.approx(INDEX_FLOOR, abs=0.03)
