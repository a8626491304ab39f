"""Metrics of matching, on worlds whose truth can be written down, and against float64 loops."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from worlds import all_three

from exemplar_lab.correspondence import DenseMatch, SparseMatch
from exemplar_lab.grid import cell_centres, sample_at
from exemplar_lab.metrics.appearance import l1, masked_ssim, psnr
from exemplar_lab.metrics.cells import copy_match, oracle_match, random_match, truth_of_cells
from exemplar_lab.metrics.confidence import no_match_auroc
from exemplar_lab.metrics.links import mass_in_footprint
from exemplar_lab.metrics.matching import INDEX_FLOOR, evaluate_matching, oracle_scores
from exemplar_lab.metrics.points import (
    end_point_error,
    pck,
    point_error,
    predicted_points,
    set_error,
)
from exemplar_lab.metrics.tables import over_runs, summarise, table
from exemplar_lab.translation import Batch, Truth

SIZE = (24, 32)


def pixel_centres(size: tuple[int, int] = SIZE) -> torch.Tensor:
    return cell_centres(size).T.unflatten(1, size)[None]


def affine_world(batch: int = 2) -> Batch:
    """The exemplar is the target seen smaller, shifted and a little turned; smooth, so that a right warp is a good one."""

    def look(xy: torch.Tensor) -> torch.Tensor:
        return 0.5 + 0.4 * torch.stack([(xy[:, 0] / 5).sin(), (xy[:, 1] / 4).cos(), ((xy[:, 0] + xy[:, 1]) / 7).sin()], dim=1)

    xy = pixel_centres()
    turn = torch.tensor([[0.8, 0.1], [-0.1, 0.8]])
    shift = torch.tensor([3.3, 2.9])[:, None, None]
    flow = torch.einsum("ij,bjhw->bihw", turn, xy) + shift
    back = torch.einsum("ij,bjhw->bihw", turn.inverse(), xy - shift)
    inside = (flow[:, 0] > 0) & (flow[:, 0] < SIZE[1]) & (flow[:, 1] > 0) & (flow[:, 1] < SIZE[0])
    visible = inside & (xy[:, 0] > 4)
    truth = Truth(
        flow=torch.where(visible[:, None], flow, math.nan),
        visible=visible,
        count=visible * float(turn.det()),
        target_albedo=look(xy),
        exemplar_albedo=look(back),
    )
    one = Batch(look(xy), look(xy), look(back), look(back), torch.ones(1, dtype=torch.bool), truth)
    return one[[0] * batch]


def test_truth_of_cells_takes_the_part_that_fills_most_and_never_mixes():
    """One cell of 2 × 2 pixels each: whole, two parts, mostly hidden, background."""
    nan = math.nan
    flow = torch.tensor([[1.0, 2, 10, 30, 5, nan, nan, nan], [1, 2, 11, 12, nan, nan, nan, nan]])
    part = torch.tensor([[0, 0, 1, 2, 3, 3, -1, -1], [0, 0, 1, 1, 3, 3, -1, -1]])[None]
    truth = Truth(flow.expand(1, 2, 2, 8), flow.isfinite()[None], count=torch.full((1, 2, 8), 0.5), target_part=part)
    cells = truth_of_cells(truth, (1, 4))
    assert cells.points[0, 0, 0, 0, :3].tolist() == pytest.approx([1.5, 11, 5])
    assert cells.points[0, 0, :, 0, 3].isnan().all()
    assert cells.visible.tolist() == [[[True, True, False, False]]]
    assert cells.no_match.tolist() == [[[False, False, False, True]]]
    assert cells.count[0, 0].tolist() == pytest.approx([0.5, 0.5, 0, 0])


def test_truth_of_cells_refuses_a_grid_that_cuts_pixels():
    with pytest.raises(ValueError, match="24 × 32 pixels and a query grid of 7 × 8 cells, expected a whole number"):
        truth_of_cells(affine_world().truth, (7, 8))


@pytest.mark.parametrize("cell", [1, 2, 4])
def test_oracle_points_are_exact_and_the_index_floor_is_as_computed(cell):
    truth = affine_world().truth
    size = SIZE[0] // cell, SIZE[1] // cell
    cells = truth_of_cells(truth, size)
    interior = (cells.points[:, 0] > cell).all(1) & cells.visible
    exact = point_error(predicted_points(oracle_match(truth, size, size), cells.image_size), cells)
    assert exact[interior].max() < 1e-4 * SIZE[1]
    index = point_error(predicted_points(oracle_match(truth, size, size, nearest=True), cells.image_size), cells)
    assert index[interior].mean() / cell == pytest.approx(INDEX_FLOOR, rel=0.1)
    assert oracle_match(truth, size, size).mass()[~cells.visible].abs().max() == 0


def test_errors_against_a_loop():
    torch.manual_seed(0)
    visible = torch.rand(2, 4, 6) < 0.7
    points = torch.rand(2, 3, 2, 4, 6) * 6
    points[:, 1:] = points[:, 1:].masked_fill(torch.rand(2, 2, 1, 4, 6) < 0.5, math.nan)
    truth = Truth(points[:, 0].masked_fill(~visible[:, None], math.nan), visible, match_set=points)
    cells = truth_of_cells(truth, (4, 6))
    predicted = torch.rand(2, 2, 4, 6) * 6
    for b in range(2):
        errors, nearest = [], []
        for y, x in np.ndindex(4, 6):
            if visible[b, y, x]:
                distances = [math.dist(predicted[b, :, y, x].tolist(), points[b, s, :, y, x].tolist()) for s in range(3)]
                errors.append(distances[0])
                nearest.append(min(d for d in distances if not math.isnan(d)))
        assert end_point_error(predicted, cells)[b].item() == pytest.approx(np.mean(errors), rel=1e-5)
        for error, distances in ((point_error, errors), (set_error, nearest)):
            share = pck(error(predicted, cells), cells, 0.3)[b].item()
            assert share == pytest.approx(np.mean(np.array(distances) <= 0.3 * 6), abs=1e-6)
    assert (set_error(predicted, cells)[visible] <= point_error(predicted, cells)[visible]).all()


def test_mass_in_footprint_against_a_loop():
    truth = affine_world(1).truth
    size, key_size = (12, 16), (6, 8)
    cells = truth_of_cells(truth, size)
    match = DenseMatch(size, key_size, torch.softmax(torch.randn(1, 192, 48), -1))
    centres = cell_centres(key_size).numpy()
    expected = []
    for q in range(192):
        y, x = divmod(q, 16)
        if cells.visible[0, y, x]:
            point = cells.points[0, 0, :, y, x].numpy() / 4
            radius = math.sqrt(cells.count[0, y, x].item() * 48 / 192 / math.pi) + math.sqrt(0.5)
            expected.append(match.weight[0, q].numpy()[np.hypot(*(centres - point).T) <= radius].sum())
    assert mass_in_footprint(match, cells)[0].item() == pytest.approx(np.mean(expected), rel=1e-5)
    assert mass_in_footprint(oracle_match(truth, size, key_size, nearest=True), cells)[0].item() == pytest.approx(1)


def test_lost_mass_tells_what_has_no_match():
    cells = truth_of_cells(affine_world().truth, SIZE)
    match = copy_match(2, SIZE, SIZE)
    assert no_match_auroc(match, cells).tolist() == pytest.approx([0.5, 0.5])
    knows = SparseMatch(SIZE, SIZE, match.index, cells.visible.flatten(1)[..., None].float())
    assert no_match_auroc(knows, cells).tolist() == pytest.approx([1, 1])
    wrong = SparseMatch(SIZE, SIZE, match.index, 1 - knows.weight)
    assert no_match_auroc(wrong, cells).tolist() == pytest.approx([0, 0])
    guess = SparseMatch(SIZE, SIZE, match.index, torch.rand(match.index.shape, generator=torch.Generator().manual_seed(0)))
    mass, dark = guess.mass()[0], cells.no_match[0]
    pairs = [(a < b) + (a == b) / 2 for a in mass[dark].tolist() for b in mass[cells.visible[0]].tolist()]
    assert no_match_auroc(guess, cells)[0].item() == pytest.approx(np.mean(pairs), abs=1e-5)


def test_image_errors_see_only_what_they_are_asked():
    torch.manual_seed(0)
    target, keep = torch.rand(2, 3, 16, 16), torch.zeros(2, 16, 16, dtype=torch.bool)
    keep[0, 4:9, 3:7] = True
    image = torch.where(keep[:, None], target + 0.1, torch.rand_like(target))
    assert l1(image, target, keep)[0].item() == pytest.approx(0.1, rel=1e-5)
    assert psnr(image, target, keep)[0].item() == pytest.approx(20, rel=1e-4)
    assert l1(image, target, keep)[1].isnan() and psnr(image, target, keep)[1].isnan()
    right = torch.where(keep[:, None], target, image)
    assert masked_ssim(right, target, keep)[0].item() == pytest.approx(1, abs=1e-5)
    assert masked_ssim(image, target, keep)[0] < 0.999
    assert masked_ssim(torch.rand_like(target), target, torch.ones_like(keep))[0] < 0.3


def test_evaluation_orders_oracle_copy_and_random():
    batch, size = affine_world(), (12, 16)
    rows = {
        "oracle": oracle_match(batch.truth, size, size),
        "nearest": oracle_match(batch.truth, size, size, nearest=True),
        "copy": copy_match(2, size, size),
        "random": random_match(2, size, size),
    }
    scores = {name: evaluate_matching(match, batch) for name, match in rows.items()}
    assert all(value.shape == (2,) for row in scores.values() for value in row.values())
    known = [name for name in scores["oracle"] if not name.endswith("_rank")]  # all counts of this world are equal
    assert all(row[name].isfinite().all() for row in scores.values() for name in known)
    assert list(scores["oracle"]) == list(scores["random"])
    epe = {name: row["epe"].mean().item() for name, row in scores.items()}
    assert epe["oracle"] < epe["nearest"] < epe["copy"] < epe["random"]
    assert scores["oracle"]["pck@0.05"].min() == 1 and scores["random"]["pck@0.1"].max() < 0.2
    assert scores["copy"]["warp_l1"].tolist() == pytest.approx(scores["copy"]["copy_l1"].tolist(), rel=1e-5)
    assert scores["oracle"]["warp_l1"].max() < 0.15 * scores["copy"]["warp_l1"].min()
    assert scores["oracle"]["no_match_auroc"].min() == 1
    with pytest.raises(ValueError, match="without truth"):
        evaluate_matching(rows["copy"], Batch(batch.target, batch.target, batch.exemplar, batch.exemplar, batch.paired))


def zooming_world() -> Batch:
    """Random colours through a lens, whose cells cover from a fraction of an exemplar pixel to several; some are hidden.

    Random, because in a smooth world neighbours look alike and a wrong match costs little.
    """
    xy = pixel_centres((32, 32))
    middle = (xy - 16) / 16
    flow = 16 + 16 * middle * (0.3 + 0.7 * middle.square().sum(1, keepdim=True)) * 0.8
    visible = (xy[:, 0] > 8) & (flow > 0).all(1) & (flow < 32).all(1)
    radius = middle.square().sum(1)
    count = (0.64 * (0.3 + 0.7 * radius) * (0.3 + 2.1 * radius)) * visible
    look = F.interpolate(torch.rand(1, 3, 16, 16), (32, 32), mode="bilinear")
    flow = torch.where(visible[:, None], flow, math.nan)
    target = sample_at(look, flow)
    truth = Truth(flow, visible, count, target_albedo=target, exemplar_albedo=look)
    return Batch(target, target, look, look, torch.ones(1, dtype=torch.bool), truth)


BEST = {"fl": 0, "mutual_precision": 1, "mutual_false": 0, "no_match_auroc": 1, "ause": 0} | {
    f"{kind}@{threshold}": 1
    for kind in ("pck", "set_pck")
    for threshold in ("0.1", "0.05", "0.1 box", "0.05 box", "1px", "5px")
}


def test_the_oracle_is_perfect_and_random_is_at_chance():
    batch, size = zooming_world(), (32, 32)
    oracle = {name: value.item() for name, value in oracle_scores(batch, size, size).items()}
    assert {name: oracle[name] for name in BEST} == pytest.approx(BEST, abs=1e-6)
    assert oracle["epe"] < 0.05 and oracle["footprint"] > 0.99 and oracle["links_rank"] > 0.7 and oracle["albedo_ssim"] > 0.95
    draws = [evaluate_matching(random_match(1, size, size, seed), batch) for seed in range(20)]
    random = {name: torch.cat([draw[name] for draw in draws]).mean().item() for name in oracle}
    chance = {
        "pck@0.1": math.pi * 3.2**2 / 32**2,
        "pck@3px": math.pi * 3**2 / 32**2,
        "mutual_rate": 1 - math.exp(-1),
        "mutual_precision": math.pi * 3.2**2 / 32**2,
        "no_match_auroc": 0.5,
        "links_rank": 0,
    }
    # Of 1024 queries with one link each, 1024 · (1 − 1/e) keys are somebody's, and each has one partner.
    assert {name: random[name] for name in chance} == pytest.approx(chance, rel=0.15)
    assert random["albedo_psnr"] < oracle["albedo_psnr"] - 10 and random["cycle"] < random["epe"]
    assert set(oracle) == set(random)


def test_all_numbers_are_those_of_the_matrix_whatever_the_record():
    batch = affine_world()
    matrix = torch.softmax(4 * torch.randn(2, 48, 192), -1) * torch.rand(2, 48, 1)
    first, *others = (evaluate_matching(match, batch) for match in all_three(matrix, (6, 8), (12, 16)))
    for other in others:
        assert other.keys() == first.keys()
        for name, value in first.items():
            torch.testing.assert_close(other[name], value, rtol=1e-4, atol=1e-5, equal_nan=True, msg=name)


def test_a_way_back_of_its_own_changes_only_what_goes_back():
    batch, size = affine_world(), (12, 16)
    match = oracle_match(batch.truth, size, size)
    plain, with_back = evaluate_matching(match, batch), evaluate_matching(match, batch, back=copy_match(2, size, size))
    changed = {name for name, value in plain.items() if not torch.allclose(value, with_back[name], equal_nan=True)}
    assert changed and changed <= {"cycle", "mutual_rate", "mutual_precision", "mutual_recall", "mutual_false"}


def test_other_size_of_the_exemplar_grid():
    """The key grid need not be the query grid: points and copies keep their meaning."""
    batch = affine_world()
    scores = evaluate_matching(oracle_match(batch.truth, (12, 16), (24, 32)), batch)
    assert scores["epe"].max() < 0.1
    copied = copy_match(1, (12, 16), (6, 8)).xy()
    assert copied[0, :, 0, 0].tolist() == [0.5, 0.5] and copied[0, :, 11, 15].tolist() == [7.5, 5.5]


def test_summary_and_table():
    batches = [
        {"cells": torch.tensor([10.0, 30.0]), "pck@0.1": torch.tensor([1.0, 0.0]),
         "warp_l1": torch.tensor([0.1, 0.1]), "copy_l1": torch.tensor([0.1, 0.3])},
        {"cells": torch.tensor([0.0]), "pck@0.1": torch.tensor([math.nan]),
         "warp_l1": torch.tensor([math.nan]), "copy_l1": torch.tensor([math.nan])},
    ]  # fmt: skip
    summary = summarise(batches)
    assert summary["pck@0.1"]["mean"] == pytest.approx(0.5)
    assert summary["pck@0.1 per point"]["mean"] == pytest.approx(0.25)
    assert summarise([{"cells": torch.tensor([10.0, 30]), "epe": torch.tensor([1.0, 3])}])["epe per point"]["mean"] == 2.5
    assert "warp_l1 per point" not in summary
    assert summary["warp_l1_ratio"]["mean"] == pytest.approx(0.5, rel=1e-5)
    assert summary == summarise(batches)
    text = table({"ours": summary, "nothing": {}})
    assert text.splitlines()[0].split() == ["pck@0.1", "warp_l1", "warp_l1_ratio"]
    assert "0.500 ±" in text.splitlines()[2] and text.splitlines()[3].count("–") == 3
    values = torch.randn(40, generator=torch.Generator().manual_seed(0))
    alone = summarise([{"epe": values}])["epe"]
    thrice = summarise([{"epe": values.repeat(3)}], group=torch.arange(40).repeat(3))["epe"]
    assert thrice == {name: pytest.approx(number) for name, number in alone.items()}
    assert summarise([{"epe": values.repeat(3)}])["epe"]["half_width"] < 0.7 * alone["half_width"]
    many = summarise([{"epe": torch.randn(400, generator=torch.Generator().manual_seed(0))}])
    assert many["epe"]["half_width"] == pytest.approx(1.96 / 20, rel=0.15)


def test_a_hidden_point_with_a_visible_twin_is_no_lack_of_a_match():
    """Left cell: the flow is hidden and there is no other answer. Right cell: its twin can be seen, so it counts nowhere."""
    flow, hidden = torch.ones(1, 2, 2, 4), torch.zeros(1, 2, 4, dtype=torch.bool)
    twin = torch.full((1, 2, 2, 4), torch.nan)
    twin[..., 2:] = 1.5
    cells = truth_of_cells(Truth(flow, hidden, match_set=torch.stack([flow, twin], dim=1)), (1, 2))
    assert cells.no_match.tolist() == [[[True, False]]] and not cells.visible.any()


def test_interval_over_runs_is_students():
    """Three runs: t(0.975, 2) = 4.303 times the standard error; one run says nothing of its spread."""
    found = over_runs([1.0, 2.0, 4.0])
    assert found["mean"] == pytest.approx(7 / 3)
    assert found["half_width"] == pytest.approx(4.302653 * math.sqrt(7 / 3) / math.sqrt(3), rel=1e-6)
    assert math.isnan(over_runs([1.0])["half_width"])
