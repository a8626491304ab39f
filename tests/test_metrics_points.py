"""PCK with every threshold, outliers, and the box round an exemplar's objects: against float64 loops."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import all_three, mean, read_point, worlds

from exemplar_lab.metrics.cells import truth_of_cells
from exemplar_lab.metrics.points import outliers, pck_scores, point_error, predicted_points, set_error, within
from exemplar_lab.translation import Truth

quick = settings(max_examples=25)


@quick
@given(worlds())
def test_points_errors_and_shares_against_a_loop(world):
    matrix, cells, key_size = world
    query_size = cells.visible.shape[1:]
    height, width = cells.image_size
    for match in all_three(matrix, tuple(query_size), key_size):
        points = predicted_points(match, cells.image_size)
        plain, nearest = point_error(points, cells), set_error(points, cells)
        shares, fl = pck_scores(plain, cells), outliers(plain, cells)
        set_shares = pck_scores(nearest, cells, "set_pck")
        for b in range(len(matrix)):
            errors, set_errors, wrong = [], [], []
            for y, x in cells.visible[b].nonzero().tolist():
                at = read_point(matrix[b, y * query_size[1] + x].tolist(), key_size)
                at = at[0] * width / key_size[1], at[1] * height / key_size[0]
                answers = [math.dist(at, answer) for answer in cells.points[b, :, :, y, x].tolist()]
                errors.append(answers[0])
                set_errors.append(min(d for d in answers if not math.isnan(d)))
                start = (x + 0.5) * width / query_size[1], (y + 0.5) * height / query_size[0]
                motion = math.dist(start, cells.points[b, 0, :, y, x].tolist())
                wrong.append(float(errors[-1] > 3 and errors[-1] > 0.05 * motion))
            box = cells.box[b].item()
            thresholds = {"@0.1": 0.1 * max(height, width), "@0.05 box": 0.05 * box, "@1px": 1, "@3px": 3, "@5px": 5}
            for name, threshold in thresholds.items():
                expected = mean([float(e <= threshold) for e in errors])
                assert shares[f"pck{name}"][b].item() == pytest.approx(expected, abs=1e-9, nan_ok=True), name
                expected = mean([float(e <= threshold) for e in set_errors])
                assert set_shares[f"set_pck{name}"][b].item() == pytest.approx(expected, abs=1e-9, nan_ok=True), name
            assert fl[b].item() == pytest.approx(mean(wrong), abs=1e-9, nan_ok=True)


@quick
@given(worlds(), st.floats(0, 20))
def test_a_wider_threshold_and_more_answers_never_lower_the_share(world, threshold):
    matrix, cells, key_size = world
    points = predicted_points(all_three(matrix, tuple(cells.visible.shape[1:]), key_size)[0], cells.image_size)
    plain = within(point_error(points, cells), cells, threshold).nan_to_num()
    assert (within(point_error(points, cells), cells, threshold + 1).nan_to_num() >= plain).all()
    assert (within(set_error(points, cells), cells, threshold).nan_to_num() >= plain).all()


def test_fl_forgives_small_errors_of_large_motions():
    flow = torch.tensor([[100.5, 101.5], [0.5, 0.5]])[None, :, None]
    cells = truth_of_cells(Truth(flow, torch.ones(1, 1, 2, dtype=torch.bool)), (1, 2))
    off = torch.tensor([[[4.0, 4.0]]])  # of 100 pixels: 4 %
    assert outliers(off, cells).item() == 0 and outliers(off * 1.3, cells).item() == 1
    near = torch.tensor([[[2.9, 3.1]]])
    cells.points[:, 0, 0] = torch.tensor([0.5, 1.5])  # no motion
    assert outliers(near, cells).item() == 0.5


@pytest.mark.parametrize(
    "things, expected",
    [([(2, 3)], 1), ([(2, 3), (2, 9)], 7), ([(0, 0), (7, 1)], 8), ([], 12), ("no parts", 12), ("no background", 12)],
)
def test_box_is_the_longer_side_round_all_objects(things, expected):
    part = torch.full((1, 8, 12), -1)
    for y, x in things if isinstance(things, list) else []:
        part[0, y, x] = 3
    part = {"no parts": None, "no background": part + 1}.get(things if isinstance(things, str) else "", part)
    nowhere = torch.zeros(1, 8, 12, dtype=torch.bool)
    truth = Truth(torch.full((1, 2, 8, 12), math.nan), nowhere, target_part=None, exemplar_part=part)
    assert truth_of_cells(truth, (4, 6)).box.tolist() == [expected]
