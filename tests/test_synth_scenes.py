"""The procedural landscapes: the same picture whoever asks, a truth proven by rendering, and dials that do what they say."""

import hashlib
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from exemplar_lab.data.seeds import sample_keys
from exemplar_lab.data.synth.dials import GAPS, TIERS, Dials
from exemplar_lab.data.synth.scenes import cast as scene_cast
from exemplar_lab.data.synth.scenes.layout import FIRST_RIDGE, FIRST_THING, RIDGES
from exemplar_lab.data.synth.scenes.materials import CLASSES
from exemplar_lab.data.synth.scenes.source import SCHEMES, VERSION, Scenes, _plan
from exemplar_lab.grid import sample_at
from exemplar_lab.translation import concatenate

_C = {name: number for number, name in enumerate(CLASSES)}


def _tensors(record):
    for value in vars(record).values():
        if isinstance(value, torch.Tensor):
            yield value
        elif value is not None:
            yield from _tensors(value)


def _digest(batch) -> str:
    digest = hashlib.sha256()
    for tensor in _tensors(batch):
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _same(one, other) -> bool:
    return all(torch.equal(a.nan_to_num(-7.0), b.nan_to_num(-7.0)) for a, b in zip(_tensors(one), _tensors(other), strict=True))


@pytest.fixture(scope="module")
def large():
    """Five pairs of each tier at 256."""
    return {tier: Scenes(256, "val", tier).batch(torch.arange(5)) for tier in TIERS}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_sample_does_not_depend_on_its_batch(scheme):
    source = Scenes(32, "train", scheme=scheme)
    joined = concatenate([source.batch(torch.tensor([i])) for i in (3, 7, 9)])
    assert _same(source.batch(torch.tensor([3, 7, 9])), joined)


def test_a_sample_does_not_depend_on_how_many_are_painted_at_a_time(monkeypatch):
    whole = Scenes(32).batch(torch.arange(5))
    monkeypatch.setattr("exemplar_lab.data.synth.scenes.source._PIXELS", 2 * 2 * 32 * 32)
    assert _same(Scenes(32).batch(torch.arange(5)), whole)


def test_a_sample_does_not_depend_on_the_number_of_threads():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = _digest(Scenes(48).batch(torch.arange(4)))
        torch.set_num_threads(2)
        assert _digest(Scenes(48).batch(torch.arange(4))) == one
    finally:
        torch.set_num_threads(before)


def test_a_sample_does_not_depend_on_the_process():
    program = (
        "import sys, torch; sys.path.insert(0, 'tests'); from test_synth_scenes import _digest, Scenes; "
        "print(_digest(Scenes(32, 'test', 'hard').batch(torch.tensor([4, 1999]))))"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
    assert answer == _digest(Scenes(32, "test", "hard").batch(torch.tensor([4, 1999])))


def test_splits_and_indices_differ():
    flat = torch.cat([Scenes(32, split).batch(torch.arange(2)).target for split in ("train", "val", "test", "ood")]).flatten(1)
    assert (torch.cdist(flat, flat) + torch.eye(8) * 1e3).min() > 1


def test_lengths_and_channels():
    assert Scenes().length is None
    assert Scenes(split="val").length == Scenes(split="ood").length == 2000
    batch = Scenes(32, truth=False).batch(torch.arange(2))
    assert batch.truth is None
    assert batch.paired.all()
    for gap, channels in zip(GAPS, (12, 12, 2), strict=True):
        source = Scenes(32, tier=Dials(gap=gap), truth=False)
        assert source.batch(torch.arange(2)).exemplar_condition.shape[1] == source.condition_channels == channels


@pytest.mark.parametrize("scheme", SCHEMES)
def test_truth_does_not_change_the_pictures(scheme):
    with_truth, without = (Scenes(32, truth=truth, scheme=scheme).batch(torch.arange(3)) for truth in (True, False))
    assert _same(replace(with_truth, truth=None), without)


def test_the_condition_is_the_map_of_labels(large):
    batch = large["medium"]
    assert torch.equal(batch.condition.argmax(1), batch.truth.target_part)
    assert torch.equal(batch.exemplar_condition.argmax(1), batch.truth.exemplar_part)
    assert (batch.condition.sum(1) == 1).all()


def test_all_classes_occur():
    part = Scenes(32, "val", "easy").batch(torch.arange(60)).truth.target_part
    share = torch.bincount(part.flatten(), minlength=len(CLASSES)) / part.numel()
    assert (share > 0.002).all()
    assert share.max() < 0.5


@pytest.mark.parametrize("tier", TIERS)
def test_warping_the_exemplar_by_the_flow_gives_the_target(large, tier):
    truth = large[tier].truth
    error = (sample_at(truth.exemplar_albedo, truth.flow) - truth.target_albedo).abs().mean(1)
    judged = truth.visible & (truth.count > 0.2)
    mean = error[judged].mean()
    shifted = (sample_at(truth.exemplar_albedo, truth.flow + 6) - truth.target_albedo).abs().mean(1)[judged].mean()
    assert mean <= 0.02
    assert shifted > 3 * mean
    assert truth.visible.float().mean() > 0.25


@pytest.mark.parametrize("tier", TIERS)
def test_flow_leads_to_the_same_point_of_the_same_thing(large, tier):
    truth = large[tier].truth
    there = sample_at(truth.exemplar_uv, truth.flow)
    error = (there - truth.target_uv).abs().amax(1)[truth.visible]
    assert error.median() < 1e-4
    # Between two things the map jumps, and reading it bilinearly mixes them.
    assert (error > 0.05).float().mean() < 0.06
    named = torch.nn.functional.one_hot(truth.exemplar_part, 12).movedim(-1, 1).float()
    assert (sample_at(named, truth.flow).argmax(1) == truth.target_part)[truth.visible].float().mean() > 0.96


def test_flows_there_and_back_agree():
    """The truth of the pair seen from the exemplar's side, made from the same plan with cameras exchanged."""
    key = sample_keys(VERSION, "val", torch.arange(6))
    source = Scenes(64, "val", "medium")
    plan = _plan(key, "val", TIERS["medium"], "view")
    swap = torch.arange(12).roll(6)
    back = plan._replace(
        world=type(plan.world)(*(v[swap] for v in plan.world)), camera=type(plan.camera)(*(v[swap] for v in plan.camera))
    )
    here, there = source._pairs(plan, TIERS["medium"]).truth, source._pairs(back, TIERS["medium"]).truth
    assert torch.equal(here.exemplar_part, there.target_part)
    centre = torch.stack(torch.meshgrid(torch.arange(64), torch.arange(64), indexing="xy")).float() + 0.5
    round_trip = sample_at(there.flow.nan_to_num(-99), here.flow)
    # Where the four neighbours of the landing point are on one flat layer, going back comes home.
    uv = sample_at(there.target_uv, here.flow)
    same = (
        here.visible
        & ((uv - here.target_uv).abs().amax(1) < 1e-3)
        & sample_at(there.visible[:, None].float(), here.flow)[:, 0].eq(1)
    )
    assert same.float().mean() > 0.2
    assert (round_trip - centre).norm(dim=1)[same].median() < 1e-3
    assert (round_trip - centre).norm(dim=1)[same].quantile(0.99) < 0.35
    assert ((here.count * sample_at(there.count[:, None], here.flow)[:, 0])[same] - 1).abs().median() < 1e-3


def test_near_things_move_more_than_far_ones():
    """A step to the right moves the sky not at all, and everything else to the left by focal · step / depth."""
    plan = _plan(sample_keys(VERSION, "val", torch.arange(6)), "val", TIERS["easy"], "view")
    step = torch.cat([torch.zeros(6), torch.full((6,), 0.6)]).double()
    camera = plan.camera._replace(
        **{name: getattr(plan.camera, name)[:6].repeat(2) for name in plan.camera._fields} | {"right": step}
    )
    truth = Scenes(64, "val", "easy")._pairs(plan._replace(camera=camera), TIERS["easy"]).truth
    centre = torch.stack(torch.meshgrid(torch.arange(64), torch.arange(64), indexing="xy")).float() + 0.5
    moved = truth.flow - centre
    assert moved[:, 1].abs().max() < 2e-3
    view = scene_cast.look(plan.world, camera, 64)
    layer = scene_cast.layers(plan.world, view, 64)[0].view(12, 64, 64)[:6]
    focal = camera.focal[:6].float()[:, None, None] * 64 * 0.6
    for number, depth in ((0, torch.inf), *((FIRST_RIDGE + i, depth) for i, depth in enumerate(RIDGES))):
        here = layer == number
        assert here.any()
        assert (moved[:, 0] + focal / depth)[here].abs().max() < 2e-3
    below = centre[1] / 64 - camera.horizon[:6].float()[:, None, None]
    plain = layer == 1
    assert (moved[:, 0] + 0.6 * 64 * below)[plain].abs().max() < 2e-2


def _brute_force(world, view, picture, layer, x, y):
    """Whether a later layer covers the point: every layer is asked, one point at a time."""
    covered = torch.zeros(len(x), dtype=torch.bool)
    for point in range(len(x)):
        one = slice(point, point + 1)
        who = picture[one]
        for number in range(int(layer[point]) + 1, FIRST_THING + view.box_side.shape[1]):
            if number < FIRST_RIDGE:
                continue
            if number < FIRST_THING:
                ridge = number - FIRST_RIDGE
                height = view.ridge_foot[who, ridge] - y[one]
                seen = 0 <= height <= scene_cast.crest(world, view, ridge, who, x[one])
            else:
                thing = number - FIRST_THING
                side = view.box_side[who, thing]
                u, v = (x[one] - view.box_left[who, thing]) / side, (y[one] - view.box_top[who, thing]) / side
                seen = side > 0 and scene_cast.outline(world, view, who * view.box_side.shape[1] + thing, u, v)[0, 0] >= 0
            if seen:
                covered[point] = True
                break
    return covered


def test_hidden_is_what_brute_force_finds():
    plan = _plan(sample_keys(VERSION, "val", torch.arange(4)), "val", TIERS["hard"], "view")
    view = scene_cast.look(plan.world, plan.camera, 64)
    generator = torch.Generator().manual_seed(0)
    picture = torch.randint(0, 8, (150,), generator=generator)
    layer = torch.randint(0, FIRST_THING + view.box_side.shape[1], (150,), generator=generator)
    layer[:75] = layer[:75] % FIRST_THING
    x, y = torch.rand(2, 150, generator=generator)
    found = scene_cast.hidden(plan.world, view, picture, layer, x, y)
    assert torch.equal(found, _brute_force(plan.world, view, picture, layer, x, y))
    assert 10 < found.sum() < 140


def test_a_visible_pixel_is_not_hidden_from_itself():
    """Each pixel's topmost layer is the one that nothing covers, and what lies under it is hidden."""
    plan = _plan(sample_keys(VERSION, "val", torch.arange(3)), "val", TIERS["easy"], "view")
    view = scene_cast.look(plan.world, plan.camera, 48)
    layer, picture, *_ = scene_cast.layers(plan.world, view, 48)
    at = torch.arange(48 * 48).repeat(6)
    x, y = (at % 48 + 0.5) / 48, (at // 48 + 0.5) / 48
    # Pixels whose centre lies within rounding of an outline may go either way.
    assert scene_cast.hidden(plan.world, view, picture, layer, x, y).float().mean() < 1e-3
    under = (layer - 1).clamp_min(0)
    raised = layer >= FIRST_RIDGE
    assert (scene_cast.hidden(plan.world, view, picture, under, x, y) == raised)[raised].float().mean() > 0.999


@pytest.mark.parametrize("zoom", [0.5, 1.0, 2.0])
def test_count_is_the_square_of_the_zoom(zoom):
    truth = Scenes(64, "val", Dials(zoom=(zoom, zoom), yaw=0.0)).batch(torch.arange(6)).truth
    assert torch.allclose(truth.count[truth.visible], torch.tensor(zoom**2), rtol=2e-3)
    assert (truth.count[~truth.visible] == 0).all()


def test_count_is_the_stretch_of_the_flow(large):
    truth = large["hard"].truth
    flow = truth.flow
    right, down = (flow[:, :, 1:-1, 2:] - flow[:, :, 1:-1, :-2]) / 2, (flow[:, :, 2:, 1:-1] - flow[:, :, :-2, 1:-1]) / 2
    stretch = (right[:, 0] * down[:, 1] - right[:, 1] * down[:, 0]).abs()
    inner = truth.visible[:, 1:-1, 1:-1]
    ratio = (stretch / truth.count[:, 1:-1, 1:-1])[inner]
    assert (ratio - 1).abs().median() < 1e-3
    assert ((ratio - 1).abs() < 0.02).float().mean() > 0.85


@given(
    index=st.integers(0, 1999),
    size=st.sampled_from([16, 33, 50]),
    scheme=st.sampled_from(SCHEMES),
    split=st.sampled_from(["train", "ood"]),
    dials=st.builds(
        Dials,
        zoom=st.sampled_from([(1 / 3, 1 / 3), (0.5, 2.0), (3.0, 3.0)]),
        yaw=st.sampled_from([0.0, 0.7, 1.3]),
        instances=st.sampled_from([(0, 0), (1, 4), (5, 2), (3, 0), (0, 8)]),
        entropy=st.sampled_from([None, 0.0, 1.0]),
        unmatched=st.integers(0, 4),
        two_lights=st.sampled_from([0.0, 1.0]),
        light=st.sampled_from([0.0, 4.0]),
        halves=st.integers(1, 3),
        dropout=st.sampled_from([0.0, 0.8]),
        gap=st.sampled_from(GAPS),
    ),
)
@settings(max_examples=15)
def test_whatever_the_dials_pictures_and_truth_are_whole(index, size, scheme, split, dials):
    batch = Scenes(size, split, dials, scheme=scheme).batch(torch.tensor([index]))
    truth = batch.truth
    for image in (
        batch.target,
        batch.exemplar,
        batch.condition,
        batch.exemplar_condition,
        truth.target_albedo,
        truth.exemplar_albedo,
    ):
        assert image.isfinite().all()
        assert image.min() >= 0
        assert image.max() <= 1
    for part in (truth.target_part, truth.exemplar_part):
        assert part.min() >= 0
        assert part.max() < len(CLASSES)
    assert truth.target_uv.isfinite().all()
    assert truth.count.isfinite().all()
    assert not truth.visible[truth.flow.isnan().any(1)].any()
    inside = ((truth.flow > 0) & (truth.flow < size)).all(1)
    assert inside[truth.visible].all()
    assert torch.equal(truth.match_set[:, 0].nan_to_num(-1), truth.flow.nan_to_num(-1))
    assert torch.equal(truth.target_style, truth.exemplar_style)


def test_retrieval_pairs_different_worlds_in_one_style():
    batch = Scenes(48, "val", "easy", scheme="retrieval").batch(torch.arange(24))
    truth = batch.truth
    matched = ~truth.flow.isnan().any(1)
    assert set(truth.target_part[matched].unique().tolist()) <= {_C["balloon"], _C["house"]}
    assert matched.any()

    def spread(part):
        return torch.stack([(part == number).flatten(1).float().mean(1) for number in range(len(CLASSES))], dim=1)

    mine, theirs = spread(truth.target_part), spread(truth.exemplar_part)
    assert (mine - theirs).abs().sum(1).mean() < 0.75 * (mine - theirs.roll(1, 0)).abs().sum(1).mean()
    error = (sample_at(truth.exemplar_albedo, truth.flow) - truth.target_albedo).abs().mean(1)
    assert error[truth.visible & (truth.count > 0.2)].mean() < 0.06


@pytest.mark.parametrize(
    ("setting", "word"),
    [
        ({"size": 15}, "at least 16"),
        ({"split": "dev"}, "train, val, test"),
        ({"tier": "extreme"}, "easy, medium, hard"),
        ({"scheme": "copy"}, "view, retrieval"),
        ({"tier": Dials(crop=0.5)}, "people, faces"),
    ],
)
def test_wrong_settings_are_refused(setting, word):
    with pytest.raises(ValueError, match=word):
        Scenes(**setting)


def test_wrong_indices_are_refused():
    with pytest.raises(ValueError, match="2000"):
        Scenes(16, "val").batch(torch.tensor([1, 2000]))
    with pytest.raises(ValueError, match="-1"):
        Scenes(16).batch(torch.tensor([-1]))
