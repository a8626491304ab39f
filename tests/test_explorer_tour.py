"""What the guided tour of the attention explorer counts, against sums written out one by one."""

import math
from dataclasses import replace

import pytest
import torch

from exemplar_lab.correspondence import DenseMatch, SparseMatch
from exemplar_lab.data.synth.plane import plane_pairs
from exemplar_lab.grid import index_to_xy
from exemplar_lab.metrics.cells import in_the_middle, oracle_match, truth_of_cells
from exemplar_lab.metrics.confidence import no_match_auroc
from exemplar_lab.metrics.pruned import pruned_scores
from exemplar_lab.metrics.repairs import near_borders, pixels_gained, repair_scores, repairs_kept
from exemplar_lab.metrics.usage import true_usage, usage, usage_scores
from exemplar_lab.ops.rows import reweighted, row_of
from exemplar_lab.ops.temperature import at_temperature
from exemplar_lab.training.planted_pruning import pruned_match, taught_to_prune
from exemplar_lab.translation import Truth
from exemplar_lab.widgets.contents import point_of
from exemplar_lab.widgets.finding import largest

SIDE = 6


@pytest.fixture
def draw():
    return torch.Generator().manual_seed(0)


def dense(draw, zeros=0.3, batch=2, side=SIDE):
    """Rows of any mass, some links without weight; the first row of all has none at all."""
    weight = torch.rand(batch, side**2, side**2, generator=draw, dtype=torch.float64)
    weight = weight * (torch.rand(weight.shape, generator=draw) > zeros)
    weight[0, 0] = 0
    return DenseMatch((side, side), (side, side), weight / side**2)


def sparse(draw, links=5, batch=2, side=SIDE):
    """Positions repeat within a row, and some have no weight."""
    index = torch.randint(side**2, (batch, side**2, links), generator=draw)
    index[..., -1] = index[..., 0]
    weight = torch.rand(index.shape, generator=draw, dtype=torch.float64)
    weight = weight * (torch.rand(index.shape, generator=draw) > 0.4)
    return SparseMatch((side, side), (side, side), index, weight)


def truth(draw, batch=2, pixels=2 * SIDE):
    flow = pixels * torch.rand(batch, 2, pixels, pixels, generator=draw, dtype=torch.float64)
    visible = torch.rand(batch, pixels, pixels, generator=draw) > 0.3
    other = pixels * torch.rand(batch, 2, pixels, pixels, generator=draw, dtype=torch.float64)
    other = torch.where(torch.rand(batch, 1, pixels, pixels, generator=draw) > 0.5, other, torch.nan)
    part = torch.randint(-1, 3, (batch, pixels, pixels), generator=draw)
    answers = torch.stack([flow, other], 1)
    return Truth(flow=flow, visible=visible, match_set=answers, target_part=part, exemplar_part=part.flip(0))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_match_at_a_temperature_has_the_rows_that_the_page_shows(draw, temperature):
    match = dense(draw)
    found = at_temperature(match, temperature)
    for query in (0, 7, 35):
        row = reweighted(row_of(match, query), temperature)
        twin = torch.zeros(SIDE**2, dtype=torch.float64).scatter(0, row.index, row.weight)
        assert torch.allclose(found.weight[0, query], twin, atol=1e-15, rtol=1e-12)
    with pytest.raises(ValueError, match="expected one above 0"):
        at_temperature(match, 0.0)


def test_pixels_gained_are_the_difference_of_two_distances(draw):
    before, after, cells = dense(draw), sparse(draw), truth_of_cells(truth(draw), (SIDE, SIDE))
    found = pixels_gained(before, after, cells)
    assert torch.equal(found.isnan(), ~cells.visible)
    for b, y, x in cells.visible.nonzero()[::3].tolist():
        right = [one for one in cells.points[b, :, :, y, x] if one.isfinite().all()]
        away = [min(float((2 * match.xy()[b, :, y, x] - one).norm()) for one in right) for match in (before, after)]
        assert math.isclose(found[b, y, x], away[0] - away[1], abs_tol=1e-12)
    assert torch.allclose(pixels_gained(after, before, cells).nan_to_num(), -found.nan_to_num())
    with pytest.raises(ValueError, match="two layers of one grid"):
        pixels_gained(dense(draw, side=3), after, cells)


def test_the_middle_of_a_cell_is_the_pixel_that_the_explorer_asks_the_truth_of(draw):
    value = torch.rand(2, 3, 12, 8, generator=draw)
    for size in ((3, 2), (6, 4), (12, 8)):
        found = in_the_middle(value, size)
        for cell in range(size[0] * size[1]):
            x, y = (int(one) for one in point_of(cell, (12, 8), size))
            assert torch.equal(found[..., cell // size[1], cell % size[1]], value[..., y, x])


def test_borders_are_where_another_label_is_within_reach(draw):
    label = torch.randint(-1, 2, (1, 2 * SIDE, 2 * SIDE), generator=draw)
    label[:, : 2 * SIDE // 2] = 1
    for size in ((SIDE, SIDE), (2 * SIDE, 2 * SIDE)):
        found = near_borders(label, size, reach=2)
        step = 2 * SIDE // size[0]
        for row in range(size[0]):
            for column in range(size[1]):
                y, x = int((row + 0.5) * step), int((column + 0.5) * step)
                around = label[0, max(0, y - 2) : y + 3, max(0, x - 2) : x + 3]
                assert found[0, row, column] == bool((around != label[0, y, x]).any())
        assert found.any() and not found.all()


def test_repairs_are_counted_over_visible_cells(draw):
    before, after, known = dense(draw), sparse(draw), truth(draw)
    cells = truth_of_cells(known, (SIDE, SIDE))
    border = torch.rand(cells.visible.shape, generator=draw) > 0.5
    gained = pixels_gained(before, after, cells)
    found = repair_scores(before, after, cells, border, least=0.5)
    for b in range(2):
        here, at = gained[b][cells.visible[b]], border[b][cells.visible[b]]
        assert torch.isclose(found["gained"][b], here.mean())
        assert torch.isclose(found["gained at borders"][b], here[at].mean())
        assert torch.isclose(found["gained inside"][b], here[~at].mean())
        assert torch.isclose(found["nearer"][b], (here > 0.5).double().mean())
        assert torch.isclose(found["farther"][b], (here < -0.5).double().mean())


def test_a_repair_is_kept_where_half_of_it_is_left(draw):
    before, known = dense(draw), truth(draw)
    after, right = (oracle_match(known, (side, side), (SIDE, SIDE)) for side in (SIDE, 2 * SIDE))
    wrong = torch.rand(right.index.shape[:2], generator=draw)[..., None] > 0.7
    elsewhere = torch.randint(SIDE**2, right.index.shape, generator=draw)
    last = replace(right, index=torch.where(wrong, elsewhere, right.index))
    cells, fine = (truth_of_cells(known, (side, side)) for side in (SIDE, 2 * SIDE))
    found = repairs_kept(before, after, last, known, least=1.0)
    gained = pixels_gained(before, after, cells)
    points = 2 * last.xy()
    for b in range(2):
        kept = []
        for y, x in (gained[b] >= 1.0).nonzero().tolist():
            away = 2 * before.xy()[b, :, y, x]
            start = min(float((away - one).norm()) for one in cells.points[b, :, :, y, x] if one.isfinite().all())
            ends = []
            for row, column in ((2 * y + i, 2 * x + j) for i in (0, 1) for j in (0, 1)):
                right = [one for one in fine.points[b, :, :, row, column] if one.isfinite().all()]
                if fine.visible[b, row, column]:
                    ends.append(min(float((points[b, :, row, column] - one).norm()) for one in right))
            if ends:
                kept.append(start - sum(ends) / len(ends) >= float(gained[b, y, x]) / 2)
        assert 0 < sum(kept) < len(kept)
        assert math.isclose(found[b], sum(kept) / len(kept), rel_tol=1e-9)
    assert (repairs_kept(before, after, after, known, least=1.0) == 1).all()
    assert repairs_kept(before, before, last, known).isnan().all()


@pytest.mark.parametrize("kind", [dense, sparse])
def test_pruned_links_are_counted_once_each(draw, kind, monkeypatch):
    monkeypatch.setattr("exemplar_lab.metrics.pruned._CHUNK", 50)  # several parts
    match, known = kind(draw), truth(draw)
    cells = truth_of_cells(known, (SIDE, SIDE))
    found = pruned_scores(match, cells, known.target_part, known.exemplar_part)
    for b in range(2):
        kept, pruned, same, heavy = [], [], {True: [], False: []}, []
        for query in cells.visible[b].flatten().nonzero()[:, 0].tolist():
            row = row_of(match[b : b + 1], query)
            y, x = divmod(query, SIDE)
            for at, weight in zip(row.index.tolist(), row.weight.tolist(), strict=True):
                middle = 2 * index_to_xy(torch.tensor(at), (SIDE, SIDE)).double()
                away = min(float((middle - one).norm()) for one in cells.points[b, :, :, y, x] if one.isfinite().all())
                (kept if weight > 0 else pruned).append(away)
                heavy += [(weight, away)] * (weight > 0)
                ky, kx = divmod(at, SIDE)
                here, there = known.target_part[b, 2 * y + 1, 2 * x + 1], known.exemplar_part[b, 2 * ky + 1, 2 * kx + 1]
                same[weight > 0].append(bool(here == there))
        twin = {
            "links": (len(kept) + len(pruned)) / int(cells.visible[b].sum()),
            "pruned": len(pruned) / (len(kept) + len(pruned)),
            "kept distance": sum(kept) / len(kept),
            "pruned distance": sum(pruned) / len(pruned),
            "weighted distance": sum(w * d for w, d in heavy) / sum(w for w, _ in heavy),
            "kept same label": sum(same[True]) / len(same[True]),
            "pruned same label": sum(same[False]) / len(same[False]),
        }
        assert found.keys() == twin.keys()
        for name, value in twin.items():
            assert math.isclose(found[name][b], value, rel_tol=1e-9), name


def test_without_labels_nothing_is_said_of_them(draw):
    cells = truth_of_cells(truth(draw), (SIDE, SIDE))
    assert not any("label" in name for name in pruned_scores(dense(draw), cells))
    whole = DenseMatch((SIDE, SIDE), (SIDE, SIDE), torch.ones(2, SIDE**2, SIDE**2, dtype=torch.float64))
    assert pruned_scores(whole, cells)["pruned distance"].isnan().all()


def test_usage_is_the_sum_of_a_column(draw):
    asked = torch.rand(2, SIDE, SIDE, generator=draw) > 0.5
    for match in (dense(draw), sparse(draw)):
        rows = match.rows(torch.arange(SIDE**2))
        assert torch.allclose(usage(match).flatten(1), rows.sum(1))
        assert torch.allclose(usage(match, asked).flatten(1), (rows * asked.flatten(1)[..., None]).sum(1))


def test_true_usage_counts_the_pixels_that_come_from_a_cell(draw):
    known = truth(draw)
    known.flow[0, :, 0, 0] = torch.tensor([-1.0, 3.0])  # outside the exemplar
    found = true_usage(known, (SIDE, SIDE))
    twin = torch.zeros(2, SIDE, SIDE, dtype=torch.float64)
    for b, y, x in known.visible.nonzero().tolist():
        column, row = (int(math.floor(one / 2)) for one in known.flow[b, :, y, x].tolist())
        if 0 <= column < SIDE and 0 <= row < SIDE:
            twin[b, row, column] += 1
    assert torch.equal(found, twin)


def test_usage_is_compared_with_what_is_needed(draw):
    match, known = dense(draw), truth(draw)
    known.visible[:, 3:] = False
    asked = truth_of_cells(known, (SIDE, SIDE)).visible
    given, wanted = usage(match, asked).flatten(1), true_usage(known, (SIDE, SIDE)).flatten(1) > 0
    least = float(given.median())
    found = usage_scores(match, known, asked, least)
    for b in range(2):
        used, needed = given[b] >= least, wanted[b]
        assert torch.isclose(found["used"][b], used.double().mean())
        assert torch.isclose(found["needed"][b], needed.double().mean())
        assert torch.isclose(found["never used"][b], (~used)[needed].double().mean())
        assert torch.isclose(found["in vain"][b], (~needed)[used].double().mean())
        pairs = given[b][~needed][:, None] - given[b][needed]
        assert torch.isclose(found["auroc"][b], (pairs < 0).double().mean() + (pairs == 0).double().mean() / 2)


def test_the_oracle_uses_what_is_needed():
    batch, _, _ = plane_pairs(torch.ones(4), 16, seed=5)
    cells = truth_of_cells(batch.truth, (16, 16))
    found = usage_scores(oracle_match(batch.truth, (16, 16), (16, 16), nearest=True), batch.truth, cells.visible)
    assert (found["never used"] == 0).all() and (found["in vain"] == 0).all() and (found["auroc"] == 1).all()


def test_the_largest_values_are_found_and_lie_apart(draw):
    value = torch.rand(3, 4, 4, generator=draw)
    value[1, 2, 3], value[1, 2, 2], value[0, 0, 0], value[2, 1, 1] = 5.0, 4.0, 3.0, torch.nan
    apart = largest(value, (8, 8), count=2, apart=3.0)
    assert apart == [(1, (7.0, 5.0), 5.0), (0, (1.0, 1.0), 3.0)]  # 4 lies beside 5
    assert [one.value for one in largest(value, (8, 8), count=3)] == [5.0, 4.0, 3.0]
    assert len(largest(value[:1], (8, 8), count=99, apart=100.0)) == 1
    assert largest(torch.full((1, 2, 2), torch.nan), (4, 4)) == []


def test_the_planted_decision_cuts_what_is_far_and_lets_go_of_strangers():
    """Chance would cut near and far links alike and lose the same mass everywhere."""
    state = torch.random.get_rng_state()
    block = taught_to_prune(steps=120)
    assert torch.equal(state, torch.random.get_rng_state())
    batch, query, key = plane_pairs(torch.tensor([0.5, 1.0, 2.0] * 3), 12, seed=77)
    with torch.no_grad():
        match = pruned_match(block, query, key, (12, 12))
    cells = truth_of_cells(batch.truth, (12, 12))
    found = pruned_scores(match, cells)
    assert (found["pruned distance"] - found["kept distance"]).mean() > 1
    assert no_match_auroc(match, cells).mean() > 0.75
