"""The procedural faces: the same picture whoever asks, and a truth that is proven by rendering and by brute force."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from exemplar_lab.data.seeds import sample_keys
from exemplar_lab.data.synth.dials import TIERS, Dials
from exemplar_lab.data.synth.faces import mesh as face_mesh
from exemplar_lab.data.synth.faces.cast import bands_of, front_of
from exemplar_lab.data.synth.faces.coat import INDEX, PARTS
from exemplar_lab.data.synth.faces.identity import STYLES, draw_person
from exemplar_lab.data.synth.faces.landmarks import CHANNELS
from exemplar_lab.data.synth.faces.paint import keep
from exemplar_lab.data.synth.faces.render import Scene, render
from exemplar_lab.data.synth.faces.source import VERSION, Faces, _portraits
from exemplar_lab.data.synth.faces.truth import truth_of
from exemplar_lab.grid import sample_at
from exemplar_lab.translation import concatenate

STILL = Dials(yaw=0.0, articulation=0.0, light=0.0)


def _tensors(record):
    for value in vars(record).values():
        if isinstance(value, torch.Tensor):
            yield value
        elif value is not None:
            yield from _tensors(value)


def _equal(ours, others) -> bool:
    pairs = zip(_tensors(ours), _tensors(others), strict=True)
    return all(torch.equal(a.nan_to_num(-7.0), b.nan_to_num(-7.0)) for a, b in pairs)


def _scene(size, dials, indices, ood=False):
    return _portraits(sample_keys(VERSION, "val", indices), dials, ood, size)


@pytest.fixture(scope="module")
def large():
    """Three pairs of each tier at 256, nothing in front of the exemplar."""
    tiers = {name: replace(tier, occlusion=(0.0, 0.0)) for name, tier in TIERS.items()}
    return {name: Faces(256, "val", tier).batch(torch.arange(3)) for name, tier in tiers.items()}


def test_a_sample_does_not_depend_on_its_batch():
    source = Faces(48, "train", "hard")
    joined = concatenate([source.batch(torch.tensor([i])) for i in (3, 7, 9)])
    assert _equal(source.batch(torch.tensor([3, 7, 9])), joined)


def test_a_sample_does_not_depend_on_the_number_of_threads():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = Faces(32).batch(torch.arange(2))
        torch.set_num_threads(2)
        assert _equal(Faces(32).batch(torch.arange(2)), one)
    finally:
        torch.set_num_threads(before)


def test_splits_and_indices_differ():
    flat = torch.cat([Faces(32, split).batch(torch.arange(2)).target for split in ("train", "val", "test", "ood")]).flatten(1)
    assert (torch.cdist(flat, flat) + torch.eye(8) * 1e3).min() > 1


def test_lengths_and_channels():
    assert Faces().length is None
    assert Faces(split="val").length == Faces(split="ood").length == 2000
    batch = Faces(32, truth=False).batch(torch.arange(2))
    assert batch.truth is None
    assert batch.paired.all()
    assert batch.condition.shape == (2, Faces().condition_channels, 32, 32) == (2, CHANNELS, 32, 32)


def test_truth_does_not_change_the_pictures():
    with_truth, without = (Faces(32, truth=truth).batch(torch.arange(2)) for truth in (True, False))
    assert torch.equal(with_truth.target, without.target)
    assert torch.equal(with_truth.exemplar_condition, without.exemplar_condition)
    assert with_truth.truth.target_keypoints.shape == (2, 68, 2)


@pytest.mark.parametrize("tier", TIERS)
def test_warping_the_exemplar_by_the_flow_gives_the_target(large, tier):
    truth = large[tier].truth
    error = (sample_at(truth.exemplar_albedo, truth.flow) - truth.target_albedo).abs().mean(1)
    judged = truth.visible & (truth.count > 0.2)
    shifted = (sample_at(truth.exemplar_albedo, truth.flow + 6) - truth.target_albedo).abs().mean(1)[judged].mean()
    assert error[judged].mean() <= 0.02
    assert shifted > 2 * error[judged].mean()
    assert truth.visible.sum() > 0.25 * (truth.target_part >= 0).sum()


@pytest.mark.parametrize("tier", TIERS)
def test_flow_leads_to_the_same_surface_point(large, tier):
    """The exemplar's own uv and part, read at the flow, are the target's."""
    truth = large[tier].truth
    inner = truth.visible & (truth.target_uv[:, 0].abs() < 0.9) & (truth.count > 0.05)
    error = (sample_at(truth.exemplar_uv, truth.flow) - truth.target_uv).abs().amax(1)[inner]
    assert error.nanmedian() < 1e-4
    assert (error < 0.02).float().mean() > 0.9
    there = sample_at(truth.exemplar_part[:, None].float(), truth.flow)[:, 0]
    assert (there == truth.target_part)[inner].float().mean() > 0.85


def _brute(scene: Scene, sample: int, x: float, y: float) -> tuple[int, float, np.ndarray, np.ndarray]:
    """The nearest triangle at a point, all triangles tried in float64: quad, depth, vertices, shares."""
    points = scene.posed[sample].double().numpy()
    best = (-1, -np.inf, np.zeros(3, int), np.zeros(3))
    on = np.isin(face_mesh.OWNER, face_mesh.OWNER[scene.on[sample]].unique())  # also quads left out because nobody sees them
    quads = face_mesh.QUADS.numpy()
    for corners in ((0, 1, 2), (0, 2, 3)):
        three = quads[:, corners]
        ax, ay, bx, by, cx, cy = (points[axis, three[:, k]] for k in range(3) for axis in (0, 1))
        area = -((bx - ax) * (cy - ay) - (cx - ax) * (by - ay))
        area = np.where(on & (area > 1e-6), area, np.nan)
        wb = -((x - ax) * (cy - ay) - (cx - ax) * (y - ay)) / area
        wc = -((bx - ax) * (y - ay) - (x - ax) * (by - ay)) / area
        weights = np.stack([1 - wb - wc, wb, wc], 1)
        hit = np.flatnonzero((weights >= 0).all(1))
        for number in hit:
            depth = points[2, three[number]] @ weights[number]
            own = scene.own[sample].double().numpy()[:, three[number]] @ weights[number]
            mesh = face_mesh.OWNER[number : number + 1]
            there = keep(scene.person)(torch.tensor([sample]), mesh, torch.from_numpy(own).float()[:, None])
            if depth > best[1] and (there.item() or not face_mesh.CUT[number]):
                best = (int(number), depth, three[number], weights[number])
    return best


def test_brute_force_sees_the_same():
    """Part, flow, visibility and count of scattered pixels, against a twin that tries every triangle in float64."""
    torch.manual_seed(1)
    size, samples = 40, 3
    scene, points = _scene(size, replace(TIERS["hard"], occlusion=(0.0, 0.0)), torch.arange(samples))
    _, paints, view = render(scene)
    truth = truth_of(scene, view, paints, points)
    checked = wrong = 0
    for sample, row, column in torch.stack([torch.randint(0, n, (170,)) for n in (samples, size, size)], 1).tolist():
        quad, depth, vertices, shares = _brute(scene, sample, column + 0.5, row + 0.5)
        assert (quad < 0) == bool(truth.target_part[sample, row, column] < 0) or depth < 0
        if quad < 0:
            continue
        other = scene.posed[samples + sample].double().numpy()
        place = other[:, vertices] @ shares
        checked += 1
        if abs(depth - scene.posed[sample, 2, face_mesh.QUADS[view.quad[sample, row, column]]].mean()) > 5:
            wrong += 1
            continue
        assert np.abs(truth.flow[sample, :, row, column].numpy() - place[:2]).max() < 1e-3
        areas = []
        for positions in (scene.posed[sample].double().numpy(), other):
            a, b, c = positions[:2, vertices].T
            areas.append(-((b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1])))
        inside = (place[:2] > 0).all() and (place[:2] < size).all()
        near = _brute(scene, samples + sample, *place[:2])[1] if inside else np.inf
        visible = bool(inside and areas[1] > 1e-6 and near <= place[2] + 0.012 * float(scene.unit[samples + sample]))
        margin = abs(near - place[2] - 0.012 * float(scene.unit[samples + sample]))
        if abs(areas[1]) > 1e-4 and margin > 1e-3:
            assert bool(truth.visible[sample, row, column]) == visible
            expected = areas[1] / areas[0] if visible else 0.0
            assert truth.count[sample, row, column].item() == pytest.approx(expected, rel=2e-2, abs=1e-4)
    assert checked > 40
    assert wrong <= 1


def test_only_quads_in_doubt_can_be_cut():
    scene, _ = _scene(32, TIERS["hard"], torch.arange(24))
    sample, quad = (scene.on & ~scene.cut & face_mesh.CUT).nonzero().unbind(1)
    assert len(quad) > 0.5 * (scene.on & face_mesh.CUT).sum()
    corners = scene.own[sample[:, None], :, face_mesh.QUADS[quad]].permute(1, 2, 0)
    assert all(keep(scene.person)(sample, face_mesh.OWNER[quad], at).all() for at in (*corners, corners.mean(0)))


def test_there_and_back_again():
    """Forward and backward flow are each other's inverse where both images show the point."""
    scene, points = _scene(128, replace(TIERS["medium"], occlusion=(0.0, 0.0)), torch.arange(3))

    def swap(value):
        if isinstance(value, torch.Tensor):
            return value.roll(3, 0)
        if isinstance(value, dict):
            return {name: swap(v) for name, v in value.items()}
        return type(value)(*map(swap, value)) if isinstance(value, tuple) else value

    other = swap(scene)
    front = front_of(other.posed, other.own, other.on, other.cut)
    other = other._replace(front=front, bands=bands_of(front, 128))
    truths = []
    for one, marks in ((scene, points), (other, points.roll(3, 0))):
        _, paints, view = render(one)
        truths.append(truth_of(one, view, paints, marks))
    forward, backward = truths
    assert torch.equal(forward.exemplar_part, backward.target_part)
    returned = sample_at(backward.flow, forward.flow)
    at = torch.arange(128) + 0.5
    home = torch.stack([at[None].expand(128, -1), at[:, None].expand(-1, 128)])
    error = (returned - home).norm(dim=1)[
        forward.visible & (sample_at(backward.visible[:, None].float(), forward.flow)[:, 0] == 1)
    ]
    # Read bilinearly, across the seams of a map that is affine in pieces.
    assert error.nanmedian() < 1e-2
    assert (error.nan_to_num(9) < 0.5).float().mean() > 0.9


def test_background_has_no_match(large):
    for batch in large.values():
        truth = batch.truth
        background = truth.target_part < 0
        assert truth.flow.isnan().all(1).eq(background).all()
        assert truth.target_uv.isnan().all(1).eq(background).all()
        assert not truth.visible[background].any()
        assert (truth.count[~truth.visible] == 0).all()
        assert truth.count.isfinite().all()


def test_there_are_no_cracks(large):
    """Single pixels of the wall inside a figure, or single hidden pixels inside a part."""
    for batch in large.values():
        truth = batch.truth
        figure = (truth.target_part >= 0)[:, None].float()
        around = torch.nn.functional.avg_pool2d(figure, 3, 1, 1)[:, 0] * 9
        assert ((figure[:, 0] == 0) & (around > 7.5)).sum() < 1e-3 * figure.sum()
        hidden = (truth.target_part >= 0) & ~truth.visible
        alone = hidden & (torch.nn.functional.avg_pool2d(hidden[:, None].float(), 3, 1, 1)[:, 0] * 9 < 1.5)
        assert alone.sum() < 5e-3 * figure.sum()


@pytest.mark.parametrize("zoom", [0.5, 1.0, 2.0])
def test_count_is_the_square_of_the_zoom(zoom):
    truth = Faces(64, "val", replace(STILL, zoom=(zoom, zoom))).batch(torch.arange(4)).truth
    assert truth.count[truth.visible].median() == pytest.approx(zoom**2, rel=0.02)


def test_mirrored_points_are_answers_where_they_look_alike(large):
    truth = large["easy"].truth
    twin = truth.match_set[:, 1]
    found = ~twin[:, 0].isnan()
    assert found.sum() > 0.2 * (truth.target_part >= 0).sum()
    error = (sample_at(truth.exemplar_albedo, twin) - truth.target_albedo).abs().mean(1)[found]
    assert error.mean() < 0.03
    named = {PARTS[i] for i in truth.target_part[found].unique().tolist()}
    assert {"eye_right", "eye_left", "ear_right", "ear_left"} & named
    assert not {"hair", "hair_back"} & named


def test_landmarks_lie_on_the_face_and_move_with_it(large):
    truth = large["easy"].truth
    known = ~truth.target_keypoints.isnan().any(-1)
    assert known.float().mean() > 0.85
    inner = truth.target_keypoints[:, 27:].nan_to_num()
    flow = sample_at(truth.flow, inner.movedim(-1, 1)[:, :, None])[:, :, 0].movedim(1, -1)
    error = (flow - truth.exemplar_keypoints[:, 27:]).norm(dim=-1)
    assert error.nanmedian() < 1.5
    eyes = {"right": slice(36, 42), "left": slice(42, 48)}
    for side, which in eyes.items():
        eye = truth.target_part == INDEX[f"eye_{side}"]
        for b in range(len(eye)):
            if eye[b].sum() > 80 and known[b, which].all():
                at = eye[b].nonzero().float().mean(0).flip(0)
                assert (truth.target_keypoints[b, which].mean(0) - at).norm() < 8


def test_a_turned_head_hides_landmarks_of_its_far_side():
    missing = [
        Faces(32, "val", replace(STILL, yaw=yaw)).batch(torch.arange(12)).truth.target_keypoints.isnan().any(-1).float().mean()
        for yaw in (0.0, 1.22)
    ]
    assert missing[0] < 0.02
    assert missing[1] > 0.12


def _measured(**dials):
    return Faces(48, "val", replace(STILL, **dials)).batch(torch.arange(5))


def test_dials_of_pose():
    def spread(batch):
        moved = (batch.truth.flow - batch.truth.flow.nanmean((2, 3), keepdim=True)).abs()
        at = torch.arange(48) + 0.5
        own = torch.stack([at[None].expand(48, -1), at[:, None].expand(-1, 48)])
        own = torch.where(batch.truth.flow.isnan(), torch.nan, own)
        own = (own - own.nanmean((2, 3), keepdim=True)).abs()
        return (moved - own).abs()[batch.truth.visible[:, None].expand(-1, 2, -1, -1)].mean()

    rest, moving, turning = spread(_measured()), spread(_measured(articulation=1.0)), spread(_measured(yaw=0.7))
    assert rest < 1e-3
    assert moving > 0.3
    assert turning > 0.5


def test_dials_of_what_is_seen():
    share = [b.truth.visible.sum() / (b.truth.target_part >= 0).sum() for b in (_measured(), _measured(occlusion=(0.4, 0.4)))]
    assert share[0] > 0.95
    assert 0.4 < share[1] / share[0] < 0.8
    heads = ("skin", "nose", "hair", "lip_upper", "beard", "eye_left", "eye_right")
    head = torch.stack([_measured().truth.target_part == INDEX[name] for name in heads]).any(0)
    for crop in (0.2, 0.6):
        truth = _measured(crop=crop).truth
        inside = (truth.flow[:, 0] > 0) & (truth.flow[:, 0] < 48)
        assert 1 - inside[head].float().mean() == pytest.approx(crop, abs=0.13)


def test_dials_of_look():
    twins = [(~_measured(distinct=d).truth.match_set[:, 1, 0].isnan()).float().mean() for d in (0.0, 1.0)]
    assert twins[0] > 1.5 * twins[1] > 0

    def rough(batch):
        skin = (batch.truth.target_part == INDEX["skin"])[:, 1:] & (batch.truth.target_part == INDEX["skin"])[:, :-1]
        return (batch.truth.target_albedo[:, :, 1:] - batch.truth.target_albedo[:, :, :-1]).abs().mean(1)[skin].median()

    assert rough(_measured(entropy=1.0)) > 1.5 * rough(_measured(entropy=0.0))
    bright = [(b.target.mean((1, 2, 3)) - b.exemplar.mean((1, 2, 3))).abs().mean() for b in (_measured(), _measured(light=4.0))]
    assert bright[1] > 3 * bright[0]
    assert torch.equal(_measured(light=4.0).truth.target_albedo, _measured().truth.target_albedo)


def test_dials_of_the_condition():
    full, half = _measured(), _measured(dropout=0.5)
    assert half.condition[:, 1:6].sum() < 0.75 * full.condition[:, 1:6].sum()
    assert torch.equal(full.target, half.target)
    for gap, channels in (("parts", len(PARTS)), ("edges", 2)):
        source = Faces(32, "val", replace(STILL, gap=gap))
        assert source.condition_channels == channels
        assert source.batch(torch.arange(1)).condition.shape == (1, channels, 32, 32)


def test_repeated_halves():
    batch = _measured(halves=2)
    assert torch.equal(batch.exemplar[..., :24], batch.exemplar[..., 24:])
    assert batch.truth.match_set.shape[1] == 4
    assert batch.truth.visible.sum() > 0.7 * (batch.truth.target_part >= 0).sum()


def test_out_of_distribution_is_never_drawn_elsewhere():
    keys = sample_keys(VERSION, "train", torch.arange(800))
    inside, outside = (draw_person(keys, ood, None, None) for ood in (False, True))
    assert set(inside["style"].unique().tolist()).isdisjoint(outside["style"].unique().tolist())
    assert set(inside["pattern"].unique().tolist()).isdisjoint(outside["pattern"].unique().tolist())
    assert len(inside["style"].unique()) == len(STYLES) - 2
    assert torch.cdist(inside["hair"], outside["hair"]).min() > 0.03


@settings(max_examples=8)
@given(
    index=st.integers(0, 1999),
    zoom=st.floats(1 / 3, 3),
    yaw=st.floats(0, 1.3),
    articulation=st.floats(0, 1),
    crop=st.sampled_from([0.0, 0.5]),
    entropy=st.sampled_from([None, 0.0, 1.0]),
    split=st.sampled_from(["val", "ood"]),
)
def test_any_seed_and_any_dial(index, zoom, yaw, articulation, crop, entropy, split):
    dials = Dials(zoom=(zoom, zoom), yaw=yaw, articulation=articulation, crop=crop, entropy=entropy, light=2.0)
    batch = Faces(40, split, dials).batch(torch.tensor([index]))
    for image in (batch.target, batch.exemplar, batch.condition, batch.exemplar_condition, batch.truth.target_albedo):
        assert image.isfinite().all()
        assert image.min() >= 0
        assert image.max() <= 1
    for part, uv in ((batch.truth.target_part, batch.truth.target_uv), (batch.truth.exemplar_part, batch.truth.exemplar_uv)):
        assert (part >= 0).eq(~uv.isnan().any(1)).all()
        assert part.max() < len(PARTS)
    assert (batch.truth.target_part >= 0).float().mean() > 0.15
    seen = batch.truth.flow.movedim(1, -1)[batch.truth.visible]
    assert ((seen >= 0) & (seen <= 40)).all()


@pytest.mark.parametrize("size", [16, 33, 100])
def test_sizes_need_not_be_round(size):
    batch = Faces(size, "val").batch(torch.arange(2))
    assert batch.target.shape == (2, 3, size, size)
    assert batch.condition.isfinite().all()


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"size": 15}, "at least 16"),
        ({"split": "dev"}, "train, val, test"),
        ({"tier": "extreme"}, "easy, medium, hard"),
        ({"tier": Dials(extras=1.0)}, "extras"),
    ],
)
def test_wrong_dials_are_refused(wrong, word):
    with pytest.raises(ValueError, match=word):
        Faces(**wrong)


def test_wrong_indices_are_refused():
    for source, index in ((Faces(16, "val"), 2000), (Faces(16), -1)):
        with pytest.raises(ValueError, match=str(index)):
            source.batch(torch.tensor([1, index]))
