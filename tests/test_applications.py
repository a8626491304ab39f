"""Editing by labels and points of any pair: right where the answer is known, on made worlds and on photographs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from test_cocosnet import SMALL

from exemplar_lab.data.images import read_image, square, write_image
from exemplar_lab.data.label_maps import CAMVID, find_pairs, label_shares, nearest_labels, read_labels
from exemplar_lab.data.synth.faces.source import Faces
from exemplar_lab.data.synth.scenes import repaint
from exemplar_lab.data.synth.scenes.edits import EDITS, FEWEST_CHANGED, edited_scenes
from exemplar_lab.data.synth.scenes.materials import CLASSES
from exemplar_lab.metrics.cells import copy_match
from exemplar_lab.models.cocosnet import CoCosNet
from exemplar_lab.nn.features import features
from exemplar_lab.training.any_pair import LARGEST, by_features, match_files, points_of, spread_points, true_points, warped
from exemplar_lab.training.evaluation import translate
from exemplar_lab.training.scene_edits import (
    NUMBERS,
    colour_distance,
    edit_batch,
    edit_scores,
    edited_images,
    feature_distance,
    kept_outside,
    with_classes,
)
from exemplar_lab.translation import Batch
from exemplar_lab.viz.applications import Shown, named_rows

SHARED = Path(__file__).parents[2] / "shared" / "data"
SOME = torch.arange(6)


def shared(name: str) -> Path:
    if not (SHARED / name).is_dir():
        pytest.skip(f"no samples of {name} beside the checkout")
    return SHARED / name


def untrained() -> CoCosNet:
    return CoCosNet(replace(SMALL, condition_channels=12)).eval()


@pytest.fixture(scope="module")
def worlds():
    return {edit: edited_scenes(SOME, edit) for edit in EDITS}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_world_is_the_same_but_for_one_thing(edit, worlds):
    scene = worlds[edit]
    maps, pictures = repaint(scene.numbers, scene.numbers)
    assert torch.equal(maps, scene.condition)
    assert torch.equal(torch.stack([pictures[i, i] for i in range(len(scene.numbers))]), scene.image)
    assert torch.equal(scene.changed, (scene.condition != scene.edited_condition).any(1))
    assert (scene.changed.flatten(1).float().mean(1) >= FEWEST_CHANGED).all()
    apart = (scene.image - scene.edited_image).abs().mean(1)
    inside, outside = ((apart * keep).flatten(1).sum(1) / keep.flatten(1).sum(1) for keep in (scene.changed, ~scene.changed))
    assert (inside > 3 * outside).all() and outside.mean() < 0.01
    assert {CLASSES[one] for one in scene.things} <= {"tree", "bush", "house", "balloon"}


def test_what_is_added_is_more_what_is_removed_is_less_and_what_is_moved_is_as_much(worlds):
    def cover(maps, scene):
        return maps[torch.arange(len(maps)), scene.things].flatten(1).sum(1)

    for edit, scene in worlds.items():
        was, now = cover(scene.condition, scene), cover(scene.edited_condition, scene)
        gone = scene.condition[torch.arange(len(was)), scene.things].bool() & scene.changed
        assert {"add": now > was, "remove": now < was, "move": gone.flatten(1).any(1)}[edit].all(), edit
        assert edit != "add" or not gone.any()


def test_edits_do_not_depend_on_their_batch_and_are_the_same_at_any_size(worlds):
    scene = worlds["move"]
    alone = edited_scenes(scene.numbers[-1:], "move")
    assert torch.equal(alone.edited_image[0], scene.edited_image[-1])
    large = edited_scenes(scene.numbers, "move", size=128)
    again = F.interpolate(large.edited_image, (64, 64), mode="area")
    assert torch.equal(large.things, scene.things) and (again - scene.edited_image).abs().mean() < 0.03


def test_another_edit_and_worlds_without_a_thing_are_refused():
    with pytest.raises(ValueError, match="got edit 'paint', expected one of move, add, remove"):
        edited_scenes(SOME, "paint")
    empty = next(n for n in range(200) if _none(n))
    with pytest.raises(ValueError, match="got 1 samples of which none"):
        edited_scenes(torch.tensor([empty]), "remove")


def _none(number: int) -> bool:
    try:
        edited_scenes(torch.tensor([number]), "remove")
    except ValueError:
        return True
    return False


def test_classes_are_painted_into_one_hot_maps(unchecked):
    condition = F.one_hot(torch.ones(2, 3, dtype=torch.long), 4).movedim(-1, 0).float()
    strokes = torch.tensor([[-1, 2, -1], [0, -1, 3]])
    assert torch.equal(with_classes(condition, strokes).argmax(0), torch.tensor([[1, 2, 1], [0, 1, 3]]))
    for wrong in (strokes[:1], strokes + 2):
        with pytest.raises(ValueError, match="got strokes of"):
            with_classes(condition, wrong)


def test_references_of_edits(worlds):
    scene = worlds["move"]
    ways = edited_images({}, edit_batch(scene.image, scene.condition, scene.edited_condition))
    assert torch.equal(ways["copy"], scene.image)
    outside = ~scene.changed[:, None].expand_as(scene.image)
    assert torch.equal(ways["nearest label"][outside], scene.image[outside])
    assert not torch.equal(ways["nearest label"], scene.image)
    for picture, condition, label in zip(ways["class colours"], scene.condition, scene.edited_condition, strict=True):
        sky = picture[:, label[0] > 0]
        assert (sky - sky[:, :1]).abs().max() < 1e-6 and condition[0].any()
    kept = kept_outside(scene.image, torch.zeros_like(scene.image), scene.changed)
    near = F.max_pool2d(scene.changed[:, None].float(), 3, 1, 1) > 0
    assert torch.equal(kept == 0, near.expand_as(kept) | (scene.image == 0))


def test_numbers_of_edits_are_nothing_for_the_truth_and_ordered():
    network = features("fixed")
    found = edit_scores({"untrained": translate(untrained())}, SOME, "remove", network, size=32, batch_size=4)
    both = {f"{row}{kept}" for row in ("untrained", "class colours") for kept in ("", ", rest kept")}
    assert set(found) == {*both, "copy", "nearest label", "truth"}
    flat = found["class colours, rest kept"]
    assert torch.equal(flat["inside"], found["class colours"]["inside"])
    assert (flat["outside"] < found["class colours"]["outside"]).all()
    assert not torch.equal(flat["features"], found["class colours"]["features"])
    assert all(set(row) == set(NUMBERS) and len({len(one) for one in row.values()}) == 1 for row in found.values())
    truth, copy, kept = found["truth"], found["copy"], found["untrained, rest kept"]
    assert all((truth[name] == 0).all() for name in ("inside", "outside", "features"))
    assert torch.equal(copy["outside"], truth["changed outside"]) and torch.equal(copy["inside"], truth["changed inside"])
    assert (copy["changed inside"] == 0).all() and (found["class colours"]["colour"] < 1e-5).all()
    assert torch.equal(kept["inside"], found["untrained"]["inside"])
    assert (kept["outside"] < found["untrained"]["outside"]).all() and (copy["features"] > 0).all()


def test_colours_and_features_are_asked_inside_of_the_edit_alone(worlds):
    scene = worlds["add"]
    elsewhere = torch.where(scene.changed[:, None], scene.edited_image, 0.0)
    assert torch.equal(colour_distance(elsewhere, scene), colour_distance(scene.edited_image, scene))
    assert (colour_distance(torch.zeros_like(elsewhere), scene) > colour_distance(scene.edited_image, scene)).all()
    far = torch.zeros_like(scene.changed)
    far[:, :8] = True
    low = scene.image.clone()
    low[:, :, 40:] = 0
    assert (feature_distance(low, scene.image, far, features("fixed")) == 0).all()
    assert (feature_distance(low, scene.image, ~far, features("fixed")) > 0).all()


def test_points_are_spread_where_they_may_be():
    keep = torch.zeros(20, 30, dtype=torch.bool)
    keep[4:16, 5:25] = True
    points = spread_points(keep, 5)
    x, y = points.long().unbind(1)
    assert keep[y, x].all() and torch.pdist(points).min() >= 8
    assert (points[0] - torch.tensor([15.0, 10.0])).norm() < 1
    with pytest.raises(ValueError, match="got 240 pixels for 241 points"):
        spread_points(keep, 241)


def test_points_of_a_copy_are_where_they_were_and_true_points_are_those_of_the_flow():
    points = torch.tensor([[3.5, 60.5], [20.25, 7.0]])
    assert torch.allclose(points_of(copy_match(2, (16, 16), (16, 16)), points, (64, 64), (64, 64))[1], points)
    found = points_of(copy_match(1, (16, 16), (8, 16)), points, (64, 64), (32, 96))[0]
    assert torch.allclose(found, points * torch.tensor([1.5, 0.5]), atol=2.1)  # half the height of a cell of the exemplar
    batch = Faces(32, "val", "easy").batch(torch.tensor([0, 1]))
    y, x = batch.truth.visible[1].nonzero()[10]
    known = true_points(batch.truth, torch.tensor([[x + 0.5, y + 0.5]]), 1)
    assert torch.equal(known[0], batch.truth.flow[1, :, y, x])
    y, x = (~batch.truth.visible[1]).nonzero()[0]
    assert true_points(batch.truth, torch.tensor([[x + 0.5, y + 0.5]]), 1).isnan().all()
    match = copy_match(1, (2, 2), (2, 2))
    empty = type(match)((2, 2), (2, 2), match.index, match.weight * torch.tensor([0.0, 1.0, 1.0, 1.0])[:, None])
    assert points_of(empty, torch.tensor([[10.0, 10.0], [50.0, 50.0]]), (64, 64), (64, 64)).isnan().tolist() == [
        [[True] * 2, [False] * 2]
    ]


def test_warps_show_what_came_and_white_where_nothing_did():
    exemplar = torch.rand(1, 3, 32, 32)
    match = copy_match(1, (32, 32), (32, 32))
    assert torch.allclose(warped(match, exemplar, (32, 32)), exemplar)
    none = type(match)(match.query_size, match.key_size, match.index, match.weight * 0)
    assert (warped(none, exemplar, (64, 64)) == 1).all()


def test_rows_of_pictures_have_their_own_names():
    picture = torch.rand(3, 16, 16)
    area = torch.zeros(16, 16, dtype=torch.bool)
    area[4:8, 4:8] = True
    points = torch.tensor([[4.0, 4.0], [9.0, 3.0]])
    true = torch.tensor([[5.0, 4.0], [torch.nan, torch.nan]])
    rows = [{"a": Shown(picture, points), "b": Shown(picture, points, true)}, {"a": Shown(picture, area=area)}]
    figure = named_rows(rows, title="rows")
    assert [axis.get_title() for axis in figure.axes] == ["a", "b", "", ""]
    lines = [len(axis.lines) for axis in figure.axes]
    assert lines[:2] == [2, 2 + 1 + 2] and len(figure.axes[2].collections) == 2 and not figure.axes[3].axison


def test_editing_runs_on_the_samples_of_camvid():
    pairs = find_pairs(shared("camvid"))["val"]
    photograph, labels = next(iter(sorted(pairs.items())))
    image, labels = read_image(photograph), read_labels(labels)
    side = min(labels.shape)
    image, labels = square(image, 32), nearest_labels(labels[:side, :side], (32, 32))
    condition = label_shares(labels, 32, 12)
    road = CAMVID.index("road")
    strokes = torch.full((32, 32), -1)
    strokes[4:12, 4:12] = road  # where houses or trees were
    changed = (strokes >= 0) & (condition.argmax(0) != road)
    assert changed.sum() >= 32 and (condition.argmax(0) == road).sum() >= 32
    batch = edit_batch(image[None], condition[None], with_classes(condition, strokes)[None])
    ways = edited_images({"untrained": translate(untrained())}, batch)
    assert all(one.shape == (1, 3, 32, 32) and one.isfinite().all() for one in ways.values())
    assert torch.equal(ways["nearest label"][0][:, ~changed], image[:, ~changed])
    of_road = image[:, condition.argmax(0) == road].T
    moved = ways["nearest label"][0][:, changed].T
    assert (moved[:, None] == of_road).all(2).any(1).all()  # each pixel of the edit is one of the road
    flat = ways["class colours"][0][:, changed]
    assert torch.allclose(flat, (image * condition[road]).sum((1, 2))[:, None] / condition[road].sum(), atol=1e-5)
    kept = kept_outside(image[None], ways["untrained"], changed[None], reach=0)[0]
    assert torch.equal(kept[:, ~changed], image[:, ~changed])
    assert torch.equal(kept[:, changed], ways["untrained"][0][:, changed])


def test_any_two_photographs_are_matched_and_makeup_is_carried_between_them():
    from exemplar_lab.training.makeup import carried

    folder = shared("official_layouts") / "celebahq" / "CelebA-HQ-img"
    one, other = (square(read_image(path, 128), 64)[None] for path in sorted(folder.glob("*.jpg"))[:2])
    unknown = torch.zeros(1, 1, 64, 64)
    match = by_features(features("lab"))(Batch(unknown, one, other, unknown, torch.zeros(1, dtype=torch.bool)))
    layer = torch.zeros(1, 4, 64, 64)
    layer[:, :, 40:48, 24:40] = torch.tensor([0.8, 0.1, 0.1, 1.0]).view(1, 4, 1, 1)
    for by_points in (False, True):
        there = carried(match, layer, by_points=by_points)
        assert there.shape == layer.shape and 0 < there[:, 3].sum() < 4 * layer[:, 3].sum()
    points = points_of(match, torch.tensor([[32.0, 32.0]]), (64, 64), (64, 64))
    assert points.isfinite().all() and warped(match, other, (64, 64)).shape == other.shape


@pytest.mark.parametrize(("one", "other"), [(((40, 64), "L"), ((300, 500), "RGBA")), (((17, 900), "P"), ((64, 64), "I;16"))])
def test_files_of_any_size_and_mode_are_matched(tmp_path, one, other):
    paths = []
    for name, ((height, width), mode) in (("target", one), ("exemplar", other)):
        pixels = np.random.default_rng(0).integers(0, 255, (height, width), dtype=np.uint8)
        grey = Image.fromarray(pixels)
        picture = Image.fromarray(pixels.astype(np.uint16) * 256) if mode == "I;16" else grey.convert(mode)
        picture.save(tmp_path / f"{name}.png")
        paths.append(tmp_path / f"{name}.png")
    target, exemplar, match = match_files(*paths, features("fixed"))
    for picture, grid, ((height, width), _) in ((target, match.query_size, one), (exemplar, match.key_size, other)):
        h, w = picture.shape[2:]
        assert h * w <= LARGEST and abs(h / w / (height / width) - 1) < 0.05 and grid == (h // 4, w // 4)
        assert height * width > LARGEST or (h, w) == (height, width)
    found = points_of(match, torch.tensor([[8.0, 8.0]]), tuple(target.shape[2:]), tuple(exemplar.shape[2:]))
    assert found.isfinite().all() and warped(match, exemplar, tuple(target.shape[2:])).shape == target.shape


def test_a_file_matched_with_itself_finds_itself_and_what_is_no_picture_is_refused(tmp_path):
    write_image(tmp_path / "a.png", Faces(64, "val", "easy").batch(torch.tensor([0])).target[0])
    *_, match = match_files(tmp_path / "a.png", tmp_path / "a.png", features("fixed"))
    assert torch.equal(match.argmax().flatten(), torch.arange(256))
    (tmp_path / "b.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match="b.png"):
        match_files(tmp_path / "a.png", tmp_path / "b.png", features("fixed"))
