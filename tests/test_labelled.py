"""Photographs with label maps as a source: batches whose truth holds, what uses them, and real ones where there are any."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from label_folders import STRIPE, fill

from exemplar_lab.data import labelled, memory
from exemplar_lab.data.crops import crops_with_global, disjoint_crops
from exemplar_lab.data.distort import pseudo_exemplar
from exemplar_lab.data.label_maps import CAMVID
from exemplar_lab.data.labelled import LabelledPhotographs
from exemplar_lab.data.retrieval import Retrieved, retrieval_list
from exemplar_lab.grid import sample_at
from exemplar_lab.metrics.cells import nearest_label_match
from exemplar_lab.metrics.transfer import transfer_matrix
from exemplar_lab.training.recipe import make_source
from exemplar_lab.training.recipes import make_recipe
from exemplar_lab.translation import Source

SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture
def camvid(tmp_path):
    fill(tmp_path, "train", "trainannot")
    fill(tmp_path, "val", "valannot", many=2)
    return tmp_path


def shared(name: str) -> Path:
    if not (SHARED / name).is_dir():
        pytest.skip(f"no samples of {name} beside the checkout")
    return SHARED / name


# The source


def test_batches_are_what_a_source_promises(camvid):
    source = LabelledPhotographs(48, "train", camvid)
    batch = source.batch(torch.tensor([2**62, 0, 5]))
    assert isinstance(source, Source) and source.length is None and replace(source, split="val").length == 256
    assert batch.target.shape == batch.exemplar.shape == (3, 3, 48, 48) and batch.paired.all()
    assert batch.condition.shape == batch.exemplar_condition.shape == (3, 5, 48, 48)
    for image in (batch.condition, batch.target, batch.exemplar, batch.exemplar_condition):
        assert image.min() >= 0 and image.max() <= 1 + 1e-6
    assert len(source.batch(torch.tensor([], dtype=torch.long))) == 0


@pytest.mark.parametrize("size, shape", [(48, (100, 140)), (20, (130, 101)), (16, (200, 250))])
def test_photograph_and_labels_show_the_same_square(tmp_path, size, shape):
    """Red says x and the label is x // STRIPE; of the largest photographs every second to fourth label is taken."""
    fill(tmp_path, "train", "trainannot", size=shape)
    batch = LabelledPhotographs(size, "train", tmp_path).batch(torch.arange(24))
    sides = (
        (batch.target, batch.condition, batch.truth.target_part),
        (batch.exemplar, batch.exemplar_condition, batch.truth.exemplar_part),
    )
    for image, condition, part in sides:
        x, y = 255 * image[:, 0] + 0.5, 255 * image[:, 1] + 0.5
        scale = x.diff(dim=2).abs().mean((1, 2))[:, None, None]
        torch.testing.assert_close(y.diff(dim=1).mean((1, 2)), scale[:, 0, 0], rtol=0.02, atol=0)
        corner = (x < 30) & (y < 20)
        expected = torch.where(corner, -1, (x / STRIPE).long().clamp_max(4))
        # Borders, where a pixel has more labels than one, are left out: those of stripes, the corner and the square.
        from_stripe = ((x + STRIPE / 2) % STRIPE - STRIPE / 2).abs()
        from_corner = torch.minimum((x - 30).abs(), (y - 20).abs())
        clear = torch.minimum(from_stripe.where(x < 4.5 * STRIPE, 99), from_corner) > scale + 1
        clear[:, [0, -1]], clear[:, :, [0, -1]] = False, False
        assert clear.float().mean() > 0.4 and torch.equal(part[clear], expected[clear])
        shares = condition.movedim(1, -1)[clear]
        known = expected[clear] >= 0
        assert (shares.sum(1) - known.float()).abs().max() < 1e-6
        assert (shares[known].gather(1, expected[clear][known, None]) - 1).abs().max() < 1e-6
        #     assert (condition.sum(1) <= 1 + 1e-6).all()
        fraction = (condition > 1e-4) & (condition < 1 - 1e-4)
        assert fraction.any() and not fraction.movedim(1, -1)[clear].any()


def test_squares_differ_in_place_and_scale(camvid):
    batch = LabelledPhotographs(32, "train", camvid).batch(torch.arange(40))
    red, green = (255 * batch.target[:, :2]).unbind(1)
    scale = red.diff(dim=2).mean((1, 2))
    assert scale.min() >= 0.99 and scale.max() <= 100 / 32 + 0.01 and scale.max() > 2 * scale.min()
    assert red.amin() < 5 and red.amax() > 134 and green.amin() < 5 and green.amax() > 94
    roomy = scale < 2
    left, top = (place[roomy, 0, 0] / (length - 32 * scale[roomy]) for place, length in ((red, 140), (green, 100)))
    assert (left - top).abs().max() > 0.4  # across and down are drawn each by itself
    near = LabelledPhotographs(32, "train", camvid, closest=1.0).batch(torch.arange(8)).target[:, 1]
    torch.testing.assert_close((255 * near).diff(dim=1).mean((1, 2)), torch.full((8,), 100 / 32), rtol=0.02, atol=0)


def test_the_exemplar_warped_by_the_true_flow_is_the_target(camvid):
    batch = LabelledPhotographs(48, "train", camvid).batch(torch.arange(24))
    visible, flow = batch.truth.visible, batch.truth.flow
    inside = visible & ((flow > 1) & (flow < 47)).all(1)
    warped = sample_at(batch.exemplar, flow)
    assert (255 * (warped - batch.target)).abs().amax(1)[inside].quantile(0.999) < 2.5
    assert 0.3 < visible.float().mean() < 0.9
    x, y = flow.long().clamp(0, 47).unbind(1)
    there = batch.truth.exemplar_part[torch.arange(24)[:, None, None], y, x]
    assert (there == batch.truth.target_part)[visible].float().mean() > 0.95
    slope = flow[:, 1].diff(dim=1).mean((1, 2))
    torch.testing.assert_close(batch.truth.count, visible * slope.square()[:, None, None], rtol=1e-3, atol=0)
    mirrored = batch.exemplar[:, 0].diff(dim=2).mean((1, 2)) < 0
    assert torch.equal(mirrored, flow[:, 0].diff(dim=2).mean((1, 2)) < 0) and 4 < mirrored.sum() < 20
    seen = LabelledPhotographs(48, "train", camvid, flip=0.0).batch(torch.arange(24))
    assert (seen.exemplar[:, 0].diff(dim=2).mean((1, 2)) > 0).all() and torch.equal(seen.target, batch.target)


def test_a_sample_depends_on_its_index_alone(camvid):
    source, again = LabelledPhotographs(32, "train", camvid), LabelledPhotographs(32, "train", camvid)
    together, alone = source.batch(torch.arange(20)), again.batch(torch.tensor([13]))
    for name in ("condition", "target", "exemplar", "exemplar_condition"):
        assert torch.equal(getattr(together, name)[13:14], getattr(alone, name))
    for name in ("flow", "visible", "count", "target_part", "exemplar_part"):
        assert torch.equal(getattr(together.truth, name)[13:14], getattr(alone.truth, name))
    other = replace(source, split="val").batch(torch.tensor([13]))
    assert (other.target - alone.target).abs().mean() > 0.01


def test_photographs_are_decoded_once_while_the_memory_holds_them(tmp_path, monkeypatch):
    fill(tmp_path, "train", "trainannot", many=70, size=(20, 40))
    fill(tmp_path, "val", "valannot", many=1, size=(20, 40))  # so that none of the others is held out
    source, decoded = LabelledPhotographs(16, "train", tmp_path), []
    memory.forget()
    honest = labelled._decoded
    monkeypatch.setattr(labelled, "_decoded", lambda *key: decoded.append(key) or honest(*key))
    first, again = source.batch(torch.arange(70)), source.batch(torch.arange(70))
    one = 5 * 20 * 40  # three bytes of colour and two of labels
    assert len(decoded) == 70 and memory.held() == 70 * one and torch.equal(first.target, again.target)
    LabelledPhotographs(16, "train", tmp_path, void=7).batch(torch.arange(70))
    assert len(decoded) == 140
    monkeypatch.setattr(memory, "MOST", 1)
    assert torch.equal(source.batch(torch.arange(3)).target, first.target[:3])


def test_without_truth_the_pictures_are_the_same(camvid):
    source = LabelledPhotographs(32, "train", camvid)
    full, bare = (replace(source, truth=truth).batch(torch.arange(6)) for truth in (True, False))
    assert full.truth is not None and bare.truth is None
    for name in ("condition", "target", "exemplar", "exemplar_condition", "paired"):
        assert torch.equal(getattr(full, name), getattr(bare, name))


@pytest.mark.parametrize(
    "wrong", [{"size": 8}, {"split": "test"}, {"closest": 0.0}, {"closest": 1.5}, {"flip": 2.0}, {"classes": 0}]
)
def test_wrong_arguments_are_named(camvid, wrong):
    with pytest.raises(ValueError, match=r"got .*, expected "):
        LabelledPhotographs(**{"folder": camvid} | wrong)


# In use


def test_a_recipe_keeps_the_source(camvid):
    source = LabelledPhotographs(32, "train", str(camvid), void=4)
    recipe = replace(make_recipe("cocosnet", "photos", "smoke"), source=source, validation=replace(source, split="val"))
    described = recipe.describe()
    again = [make_source(json.loads(json.dumps(described[name]))) for name in ("source", "validation")]
    assert again == [source, replace(source, split="val")]
    path = replace(recipe, source=replace(source, folder=camvid)).describe()
    assert make_source(json.loads(json.dumps(path["source"]))) == source
    assert torch.equal(again[0].batch(torch.arange(2)).condition, source.batch(torch.arange(2)).condition)


def test_crops_of_a_canvas(camvid):
    canvas = LabelledPhotographs(64, "train", camvid).batch(torch.arange(6))
    for crops in (disjoint_crops(canvas, torch.arange(6), 32, 0.5), crops_with_global(canvas, torch.arange(6), 48, 32)):
        for pair in (crops.first, crops.second, crops.whole):
            assert pair.condition.shape == (6, 5, 32, 32) and len(pair.truth.target_part.unique()) >= 5
            whole = pair.condition.movedim(1, -1) == 1
            assert (whole.float().argmax(-1) == pair.truth.target_part)[whole.any(-1)].float().mean() > 0.99


def test_exemplars_with_similar_labels_and_what_goes_where(camvid):
    source = LabelledPhotographs(32, "train", camvid)
    pairs = retrieval_list(source, torch.arange(3), torch.arange(3, 12), 2)
    batch = Retrieved(source, pairs).batch(torch.arange(len(pairs)))
    assert len(batch) == 6 and not batch.paired.any()
    assert torch.equal(batch.truth.exemplar_part, source.batch(torch.tensor([e for _, e in pairs])).truth.target_part)
    target, exemplar = (part[:, 2::4, 2::4] for part in (batch.truth.target_part, batch.truth.exemplar_part))
    matrix = transfer_matrix(nearest_label_match(target, exemplar), exemplar, target, 5)
    both = torch.stack([torch.stack([(part == k).any() for k in range(5)]) for part in (target[0], exemplar[0])]).all(0)
    assert both.sum() > 1 and (matrix[0].diagonal()[both] == 1).all()


def test_a_distorted_copy_keeps_its_labels(camvid):
    batch = pseudo_exemplar(LabelledPhotographs(32, "train", camvid).batch(torch.arange(6)), torch.arange(6))
    strongest = batch.exemplar_condition.argmax(1)
    sure = batch.exemplar_condition.amax(1) > 0.9
    assert sure.float().mean() > 0.5 and (strongest == batch.truth.exemplar_part)[sure].float().mean() > 0.95


# Real photographs, where there are any


def test_camvid():
    source = LabelledPhotographs(128, "train", shared("camvid"), void=11)
    assert source.condition_channels == 11 and len(source.pairs) == 367 and len(replace(source, split="val").pairs) == 101
    batch = source.batch(torch.arange(0, 367, 24))
    sky, road = (batch.truth.target_part == CAMVID.index(name) for name in ("sky", "road"))
    brightness = batch.target.mean(1)
    assert brightness[sky].mean() > brightness[road].mean() + 0.2
    height = torch.arange(128)[:, None].expand(128, 128)
    assert height.expand_as(sky)[sky].float().mean() < height.expand_as(road)[road].float().mean() - 20
    inside = batch.truth.visible & ((batch.truth.flow > 1) & (batch.truth.flow < 127)).all(1)
    assert (sample_at(batch.exemplar, batch.truth.flow) - batch.target).abs().mean(1)[inside].mean() < 0.02


def test_coco_stuff():
    folder = shared("official_layouts/coco_stuff")
    train, val = (LabelledPhotographs(64, split, folder, classes=182) for split in ("train", "val"))
    assert len(train.pairs) + len(val.pairs) == 13 and len(val.pairs) >= 1
    batch = train.batch(torch.arange(len(train.pairs)))
    assert batch.condition.shape[1] == 182 and 0.5 < batch.condition.sum(1).mean() < 1
    assert (batch.truth.target_part == -1).any() and batch.truth.target_part.max() < 182
