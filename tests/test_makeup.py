"""Makeup: painted where landmarks are, carried as any layer is, and measured where the answer is known."""

import pytest
import torch

from exemplar_lab.correspondence import DenseMatch
from exemplar_lab.data.makeup import OPACITY, STROKES, Makeup, makeup_at, painted_over, premultiplied, straight
from exemplar_lab.data.synth.faces.source import Faces
from exemplar_lab.metrics.cells import copy_match, nearest_label_match, oracle_match
from exemplar_lab.training.makeup import (
    MAKEUP_REFERENCES,
    NUMBERS,
    by_landmarks,
    carried,
    carried_makeup,
    looked_at,
    makeup_pair,
    makeup_scores,
    skin_of,
    true_makeup,
)
from exemplar_lab.training.references import knows_flow

SOURCE = Faces(64, "val", "easy")
SOME = torch.arange(4)


@pytest.fixture(scope="module")
def pair():
    return makeup_pair(SOURCE, SOME)


def test_strokes_lie_where_their_landmarks_are(pair):
    batch, makeup, *_ = pair
    assert makeup.cover.shape == (4, 3, 64, 64) and makeup.cover.max() <= OPACITY + 1e-6
    y, x = torch.meshgrid(torch.arange(64) + 0.5, torch.arange(64) + 0.5, indexing="ij")
    for sample, face in enumerate(batch.truth.exemplar_keypoints):
        if not face.isfinite().all():
            continue
        weight = makeup.cover[sample].double() / makeup.cover[sample].sum((1, 2), keepdim=True)
        middle = torch.stack([(weight * x).sum((1, 2)), (weight * y).sum((1, 2))], dim=1)
        high = (face[8] - face[27]).norm()
        assert (middle[0] - face[48:60].mean(0)).norm() < 0.1 * high
        assert face[36:48, 1].mean() - 0.5 * high < middle[1, 1] < face[36:48, 1].mean() + 1
        cheek = 0.72 * face[[36, 45, 48, 54], 1].mean() + 0.28 * face[[3, 13], 1].mean()
        assert (middle[2, 1] - cheek).abs() < 0.1 * high
    skin = skin_of(batch.truth.exemplar_part)
    assert (makeup.cover * ~skin[:, None]).sum() == 0


def test_a_polygon_covers_its_area_and_hidden_landmarks_are_not_painted():
    points = torch.rand(1, 68, 2) * 2 + 31
    ring = torch.arange(12) * (2 * torch.pi / 12)
    points[0, 48:60] = torch.stack([32 - 10 * ring.cos(), 40 - 6 * ring.sin()], dim=1)
    inner = torch.arange(8) * (2 * torch.pi / 8)
    points[0, 60:68] = torch.stack([32 - 5 * inner.cos(), 40 - 2 * inner.sin()], dim=1)
    lips = makeup_at(points, (64, 64), torch.tensor([0])).cover[0, 0] / OPACITY
    area = 0.5 * 12 * 60 * torch.tensor(2 * torch.pi / 12).sin() - 0.5 * 8 * 10 * torch.tensor(2 * torch.pi / 8).sin()
    assert abs(lips.sum() - area) < 3 and lips[40, 32] == 0 and lips[44, 32] == 1
    hidden = points.clone()
    hidden[:, 48:58] = torch.nan
    assert makeup_at(hidden, (64, 64), torch.tensor([0])).cover[0, 0].sum() == 0
    assert torch.equal(
        makeup_at(points, (64, 64), torch.tensor([3])).cover, makeup_at(points, (64, 64), torch.tensor([4])).cover
    )


def test_layers_are_averaged_by_their_alpha():
    layer = torch.tensor([[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 0.0]]).T[None, :, None]  # red, and green that is not there
    assert torch.allclose(straight(premultiplied(layer))[..., 0], layer[..., 0])
    match = DenseMatch((1, 1), (1, 2), torch.tensor([[[0.5, 0.5]]]))
    assert torch.allclose(carried(match, layer, (1, 1)).flatten(), torch.tensor([1.0, 0.0, 0.0, 0.5]))


def test_strokes_over_each_other_are_one_layer():
    colour = torch.tensor([[[1.0, 0, 0], [0, 0, 1.0]]])
    cover = torch.tensor([[[[0.5]], [[0.5]]]])
    layer = Makeup(colour, cover).layer()
    assert torch.allclose(layer.flatten(), torch.tensor([1 / 3, 0, 2 / 3, 0.75]))
    under = torch.full((1, 3, 1, 1), 0.2)
    by_hand = (under * 0.5 + colour[:, 0, :, None, None] * 0.5) * 0.5 + colour[:, 1, :, None, None] * 0.5
    assert torch.allclose(painted_over(under, layer), by_hand)


def test_a_layer_of_another_size_is_refused(unchecked):
    with pytest.raises(ValueError, match="got a layer of"):
        painted_over(torch.rand(1, 3, 2, 2), torch.rand(1, 4, 1, 1))


def test_a_layer_is_carried_by_its_warp_and_by_points():
    layer = straight(premultiplied(torch.rand(2, 4, 32, 32)))
    match = copy_match(2, (32, 32), (32, 32))
    for by_points in (False, True):
        assert torch.allclose(carried(match, layer, by_points=by_points), layer, atol=1e-5)
    fine = carried(copy_match(2, (8, 8), (8, 8)), layer, by_points=True)
    assert torch.allclose(fine, layer, atol=1e-4)  # by points nothing is averaged
    nothing = type(match)(match.query_size, match.key_size, match.index, match.weight * 0)
    assert all(carried(nothing, layer, by_points=one)[:, 3].abs().max() == 0 for one in (False, True))


def test_by_points_no_pixel_reads_between_what_its_cells_look_at():
    layer = torch.zeros(1, 4, 4, 32)
    layer[:, :, :, 8:24] = torch.tensor([1.0, 0.0, 0.0, 1.0]).view(1, 4, 1, 1)  # in the middle, where nobody looks
    weight = torch.zeros(1, 8, 8)
    weight[0, :4, 0] = weight[0, 4:, 7] = 1
    assert carried(DenseMatch((1, 8), (1, 8), weight), layer, by_points=True).abs().max() == 0
    weight[0, :4] = weight[0, :4].roll(4, 1)
    ways = [carried(DenseMatch((1, 8), (1, 8), one), layer, by_points=True)[0, 3] for one in (weight, weight * 0.3)]
    assert all((way[:, :16] == 1).all() and way[:, 16:].abs().max() == 0 for way in ways)


def test_by_points_a_cell_that_looks_nowhere_pulls_its_neighbours_to_no_corner():
    layer = torch.zeros(1, 4, 32, 32)
    layer[:, :, :16] = 1  # the upper half, with the corner that an empty row would answer
    match = copy_match(1, (8, 8), (8, 8))
    weight = match.weight.clone()
    weight[0, 36] = 0  # row 4, column 4: below the middle
    found = carried(type(match)((8, 8), (8, 8), match.index, weight), layer, by_points=True)
    assert torch.allclose(found, layer, atol=1e-5)
    weight = match.weight.clone()
    weight[0, 28] = 0  # row 3, column 4, which is painted
    found = carried(type(match)((8, 8), (8, 8), match.index, weight), layer, by_points=True)[0, 3]
    assert (found[12:16, 16:20] == 0).all() and (found[12:16, :16] == 1).all() and (found[12:16, 20:] == 1).all()


def test_the_oracle_carries_makeup_and_landmarks_alone_nearly_do(pair):
    batch, makeup, true = pair
    rows = carried_makeup({"oracle": lambda b: oracle_match(b.truth, (64, 64), (64, 64))}, batch, makeup)
    apart = {row: (found.cover - true.cover).abs().sum() / true.cover.sum() for row, found in rows.items()}
    assert apart["oracle"] < 0.05 and apart["oracle"] < apart["landmarks"] < 0.6 < apart["copy"]
    moved = by_landmarks((64, 64), batch.truth.target_keypoints, batch.truth.target_keypoints)
    y, x = torch.meshgrid(torch.arange(64) + 0.5, torch.arange(64) + 0.5, indexing="ij")
    assert torch.allclose(moved, torch.stack([x, y]).expand_as(moved), atol=1e-3)


def test_truth_is_what_the_flow_shows_and_no_more(pair):
    batch, makeup, true = pair
    assert (true.cover * ~batch.truth.visible[:, None]).sum() == 0
    everywhere = Makeup(makeup.colour, torch.ones_like(makeup.cover))
    assert torch.equal(true_makeup(batch, everywhere).cover[:, 0] > 0.5, batch.truth.visible)


def test_another_person_has_the_makeup_at_its_own_landmarks():
    batch, makeup, true = makeup_pair(SOURCE, SOME, others=True)
    own = makeup_pair(SOURCE, SOME + 1)
    assert not knows_flow(batch) and not batch.truth.visible.any() and not batch.paired.any()
    for name in ("part", "keypoints"):
        lent, kept = getattr(batch.truth, f"exemplar_{name}"), getattr(batch.truth, f"target_{name}")
        assert torch.equal(lent.nan_to_num(), getattr(own[0].truth, f"exemplar_{name}").nan_to_num())
        assert torch.equal(kept[1:].nan_to_num(), getattr(own[0].truth, f"target_{name}")[:-1].nan_to_num())
    assert torch.equal(batch.exemplar, own[0].exemplar) and torch.equal(batch.target[1:], own[0].target[:-1])
    assert torch.equal(makeup.cover, own[1].cover) and torch.equal(true.colour, own[1].colour)
    skin = skin_of(own[0].truth.target_part[:-1])
    assert true.cover.sum() > 0 and (true.cover[1:] * ~skin[:, None]).sum() == 0
    here = SOURCE.batch(SOME).truth
    expected = makeup_at(here.target_keypoints, (64, 64), SOME + 1, skin_of(here.target_part))
    assert torch.equal(true.cover, expected.cover)
    last = torch.tensor([SOURCE.length - 1])
    assert torch.equal(makeup_pair(SOURCE, last, others=True)[0].exemplar, SOURCE.batch(torch.tensor([0])).exemplar)


def test_numbers_know_the_right_answer_from_a_wrong_one():
    answers = {
        "oracle": lambda b: oracle_match(b.truth, (64, 64), (64, 64)),
        "copying": lambda b: copy_match(len(b), (64, 64), (64, 64)),
    }
    found = makeup_scores(answers, torch.arange(6), tier="easy", batch_size=4)
    assert all(set(row) == set(NUMBERS) and {len(one) for one in row.values()} == {6} for row in found.values())
    mean = {row: {name: one.nanmean() for name, one in numbers.items()} for row, numbers in found.items()}
    assert mean["oracle"]["iou"] > 0.9 > mean["landmarks"]["iou"] > mean["copy"]["iou"] and mean["oracle"]["spill"] < 0.05
    assert torch.allclose(found["copying"]["iou"], found["copy"]["iou"], equal_nan=True)
    assert mean["not painted"]["iou"] == mean["not painted"]["spill"] == 0
    assert mean["oracle"]["l1"] < 0.01 < mean["not painted"]["l1"]
    others = makeup_scores({"copying": answers["copying"]}, torch.arange(5), True, tier="easy", batch_size=2)
    assert set(others) == {"copying", "copying, by points", *MAKEUP_REFERENCES} - {"oracle on the grid"}
    assert len(others["copy"]["iou"]) == 5
    assert others["landmarks"]["iou"].nanmean() > 0.3 > others["copy"]["iou"].nanmean()
    assert torch.allclose(others["nearest label"]["iou"][0], _by_label(0), atol=1e-5)
    assert {f"iou {name}" for name in STROKES} <= set(others["copy"])


def _by_label(number: int) -> torch.Tensor:
    """The IoU of the makeup of the next face at the nearest pixels of its parts."""
    batch, makeup, true = makeup_pair(SOURCE, torch.tensor([number]), others=True)
    match = nearest_label_match(batch.truth.target_part, batch.truth.exemplar_part)
    alpha, wanted = (one.layer()[:, 3] for one in (Makeup(makeup.colour, match.warp(makeup.cover)), true))
    return torch.minimum(alpha, wanted).sum() / torch.maximum(alpha, wanted).sum()


def test_where_an_area_looks_is_told_by_part(pair):
    batch, _, true = pair
    part = batch.truth.exemplar_part
    found = looked_at(oracle_match(batch.truth, (64, 64), (64, 64)), part, true.cover[:, 0])
    assert next(iter(found)) in ("lip_upper", "lip_lower", "mouth") and abs(sum(found.values()) - 1) < 1e-5
    corner = torch.zeros(4, 64, 64)
    corner[:, :2, :2] = 1
    wall = looked_at(copy_match(4, (64, 64), (64, 64)), torch.full_like(part, -1), corner)
    assert wall == {"background": 1.0}
