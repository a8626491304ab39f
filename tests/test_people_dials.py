"""The dials of the people: each one does what it says and nothing else, in every combination."""

from dataclasses import replace

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_synth_people import _tensors

from exemplar_lab.data.pose import KEYPOINTS
from exemplar_lab.data.seeds import fold, sample_keys
from exemplar_lab.data.synth.dials import TIERS, Dials
from exemplar_lab.data.synth.people import VERSION, People, body, wardrobe
from exemplar_lab.data.synth.people.source import _figures
from exemplar_lab.data.synth.people.wardrobe import FABRIC, MATERIALS, PATTERNS, draw_identity
from exemplar_lab.grid import sample_at
from exemplar_lab.translation import concatenate

STILL = Dials(zoom=(0.9, 0.9), yaw=0.0, articulation=0.3)


def _pairs(size=48, count=8, split="val", truth=True, **dials):
    return People(size, split, replace(STILL, **dials), truth).batch(torch.arange(count))


def _area(part):
    return (part >= 0).sum((1, 2)).double()


wild = st.builds(
    Dials,
    zoom=st.sampled_from([(1.0, 1.0), (1 / 3, 3.0), (3.0, 3.0)]),
    yaw=st.floats(0, 1.3),
    articulation=st.floats(0, 1),
    occlusion=st.sampled_from([(0.0, 0.0), (0.0, 0.6), (0.9, 0.9)]),
    crop=st.sampled_from([0.0, 0.3, 0.7]),
    extras=st.floats(0, 1),
    back=st.floats(0, 1),
    repetition=st.integers(0, 12),
    distinct=st.none() | st.floats(0, 1),
    entropy=st.none() | st.floats(0, 1),
    gap=st.sampled_from(["structure", "parts", "edges"]),
    dropout=st.floats(0, 0.9),
    light=st.floats(0, 4),
    halves=st.integers(1, 3),
)


@settings(max_examples=40)
@given(dials=wild, index=st.integers(0, 1998), split=st.sampled_from(["val", "ood"]), size=st.sampled_from([17, 32]))
def test_no_dial_breaks_a_picture(dials, index, split, size):
    source = People(size, split, dials)
    batch = source.batch(torch.arange(index, index + 2))
    truth = batch.truth
    for image in (batch.target, batch.exemplar, batch.condition, truth.target_albedo, truth.exemplar_albedo):
        assert image.isfinite().all()
        assert image.min() >= 0
        assert image.max() <= 1
    assert batch.condition.shape[1] == source.condition_channels
    covered = truth.target_part >= 0
    assert truth.target_part.min() >= -1
    assert truth.target_part.max() < len(body.PARTS)
    assert truth.flow.isfinite().all(1).eq(covered).all()
    assert truth.target_uv.isfinite().all(1).eq(covered).all()
    assert truth.exemplar_uv.isfinite().all(1).eq(truth.exemplar_part >= 0).all()
    assert not (truth.visible & ~covered).any()
    assert truth.count.isfinite().all()
    assert (truth.count[~truth.visible] == 0).all()
    inside = (truth.flow > 0).all(1) & (truth.flow < size).all(1)
    assert inside[truth.visible].all()
    assert torch.equal(truth.match_set[:, 0].nan_to_num(-1), truth.flow.nan_to_num(-1))
    others = truth.match_set[:, 1:]
    assert (others[~others.isnan()] >= 0).all()
    assert (others[~others.isnan()] <= size).all()


@settings(max_examples=5)
@given(dials=wild)
@example(Dials(entropy=1.0, crop=0.4, occlusion=(0.2, 0.4), extras=0.5, repetition=3))
def test_no_dial_ties_samples_together(dials):
    source = People(20, "train", dials)
    joined = concatenate([source.batch(torch.tensor([i])) for i in (3, 5)])
    for ours, alone in zip(_tensors(source.batch(torch.tensor([3, 5]))), _tensors(joined), strict=True):
        assert torch.equal(ours.nan_to_num(-7.0), alone.nan_to_num(-7.0))


def test_winners_and_visibility_against_all_parts_at_all_points():
    """Without tiles, candidates or keys: every part is tried at every point."""
    size, dials = 64, TIERS["medium"]
    dials = replace(dials, occlusion=(0.0, 0.0))
    truth = People(size, "val", dials).batch(torch.arange(3)).truth
    key = sample_keys(VERSION, "val", torch.arange(3))
    bones, _ = _figures(key, dials, draw_identity(fold(key, "identity"))[0])

    def winner(figure, x, y):
        z = []
        for number in range(len(body.PARTS)):
            bone = body.Bones(*(v[figure, number].reshape(1, 1) for v in bones))
            height, inside = body.depth(bone, x, y)
            shown = (body.widest(bone) > 1e-3) & (inside > 0)
            z.append(torch.where(shown, height, -torch.inf)[0])
        z = torch.stack(z)
        return torch.where(z.amax(0) > -torch.inf, z.argmax(0), -1)

    centre = (torch.arange(size) + 0.5) / size
    y, x = (v.reshape(1, -1) for v in torch.meshgrid(centre, centre, indexing="ij"))
    for sample in range(3):
        part = truth.target_part[sample].flatten()
        assert (winner(sample, x, y) != part).sum() <= 1
        assert (winner(sample + 3, x, y) != truth.exemplar_part[sample].flatten()).sum() <= 1
        at = truth.flow[sample].flatten(1).nan_to_num(-size) / size
        inside = ((at > 0) & (at < 1)).all(0)
        shown = inside & (winner(sample + 3, at[:1], at[1:]) == part) & (part >= 0)
        visible = truth.visible[sample].flatten()
        assert (visible & ~shown).sum() <= 1
        # Shown by the right part but not visible: its far side. There are some, and few.
        assert (shown & ~visible).sum() < 0.25 * visible.sum()


@pytest.mark.parametrize(
    "dial",
    [
        {"zoom": (2.0, 2.0)}, {"occlusion": (0.5, 0.5)}, {"crop": 0.5}, {"extras": 1.0}, {"back": 1.0}, {"halves": 3},
        {"dropout": 0.5},
    ],
)  # fmt: skip
def test_dials_of_the_exemplar_leave_the_target_as_it_is(dial):
    rest, turned = _pairs(), _pairs(**dial)
    assert torch.equal(rest.target, turned.target)
    assert torch.equal(rest.truth.target_keypoints.nan_to_num(), turned.truth.target_keypoints.nan_to_num())


@pytest.mark.parametrize("dial", [{"repetition": 4}, {"distinct": 1.0}, {"entropy": 1.0}, {"light": 4.0}, {"gap": "edges"}])
def test_dials_of_the_look_leave_the_bodies_as_they_are(dial):
    rest, turned = _pairs().truth, _pairs(**dial).truth
    assert torch.equal(rest.target_part, turned.target_part)
    assert torch.equal(rest.exemplar_part, turned.exemplar_part)
    assert torch.equal(rest.flow.nan_to_num(), turned.flow.nan_to_num())


def test_without_truth_the_pictures_are_the_same_under_all_dials():
    dials = {"occlusion": (0.2, 0.6), "crop": 0.3, "extras": 1.0, "gap": "parts", "dropout": 0.3, "halves": 2, "light": 3.0}
    with_truth, without = _pairs(**dials), _pairs(truth=False, **dials)
    for name in ("condition", "target", "exemplar", "exemplar_condition"):
        assert torch.equal(getattr(with_truth, name), getattr(without, name)), name


def test_yaw_turns_the_shoulders():
    """The shoulders of a turned body stand closer together."""
    widths = []
    for yaw in (0.0, 0.7, 1.3):
        points = _pairs(yaw=yaw, count=32, size=16).truth.exemplar_keypoints
        widths.append((points[:, 2, 0] - points[:, 5, 0]).abs().mean())
    assert widths[0] > 1.05 * widths[1] > 1.1 * widths[2]


def test_articulation_moves_the_limbs():
    moved = []
    for level in (0.0, 0.33, 0.67, 1.0):
        truth = _pairs(articulation=level, count=32, size=32, zoom=(1.0, 1.0)).truth
        one, other = (p[:, [4, 7, 10, 13]] - p[:, 1:2] for p in (truth.target_keypoints, truth.exemplar_keypoints))
        moved.append((one - other).norm(dim=-1).mean())
    assert sorted(moved) == moved
    assert moved[-1] > 3 * moved[0]


def test_occlusion_hides_its_share():
    rest, hidden = _pairs(64).truth, _pairs(64, occlusion=(0.4, 0.4)).truth
    share = 1 - _area(hidden.exemplar_part) / _area(rest.exemplar_part)
    assert (share - 0.4).abs().max() < 0.06
    assert hidden.visible.sum() < 0.8 * rest.visible.sum()


@pytest.mark.parametrize("share", [0.2, 0.4, 0.6])
def test_crop_cuts_its_share(share):
    rest, cut = _pairs(64, 16).truth, _pairs(64, 16, crop=share).truth
    gone = 1 - _area(cut.exemplar_part) / _area(rest.exemplar_part)
    assert (gone - share).abs().max() < 0.05
    assert cut.visible.sum() < (1 - 0.5 * share) * rest.visible.sum()


def test_extras_are_worn_in_the_exemplar_alone_and_hide_what_they_cover():
    worn = [body.INDEX[name] for name in ("hat", "brim", "bag", "strap_right", "strap_left")]
    rest, dressed = (_pairs(64, 24, extras=chance, zoom=(1.0, 1.0)).truth for chance in (0.0, 1.0))

    def shows(part):
        return torch.isin(part, torch.tensor(worn)).sum((1, 2))

    assert torch.equal(shows(rest.target_part), shows(dressed.target_part))
    gained = shows(dressed.exemplar_part) > shows(rest.exemplar_part)
    both = torch.tensor([{"hat", "bag"} <= {body.PARTS[i] for i in part.unique() if i >= 0} for part in rest.exemplar_part])
    assert (gained | both).float().mean() > 0.9
    assert dressed.visible.sum() < 0.99 * rest.visible.sum()
    assert 0.03 < (shows(rest.target_part) > 0).float().mean() < 0.6


def test_back_shows_no_face():
    front, back = _pairs(yaw=0.3).truth, _pairs(yaw=0.3, back=1.0).truth
    face = [KEYPOINTS.index(name) for name in ("nose", "right_eye", "left_eye")]
    assert back.exemplar_keypoints[:, face].isnan().all()
    assert front.exemplar_keypoints[:, face].isfinite().all()
    assert back.visible.sum() < 0.25 * front.visible.sum()
    right, left = (KEYPOINTS.index(f"{side}_shoulder") for side in ("right", "left"))
    assert (back.exemplar_keypoints[:, right, 0] > back.exemplar_keypoints[:, left, 0]).all()


@pytest.mark.parametrize("times", [1, 2, 4, 8])
def test_repetition_repeats_the_chest(times):
    batch = _pairs(128, 6, repetition=times, distinct=0.0)
    truth = batch.truth
    assert truth.match_set.shape[1] == 6
    repeats = truth.match_set[:, 2:]
    chest = truth.target_part == body.INDEX["chest"]
    found = ~repeats[:, :, 0].isnan()
    assert not found[:, :, truth.target_part[0] < 0][0].any()
    # Read there or at the flow, the exemplar's colours are as good, but on the outline, where the background shines in.
    middle = chest & (sample_at(truth.exemplar_part[:, None].float(), truth.flow)[:, 0] == body.INDEX["chest"])
    errors = [(sample_at(truth.exemplar_albedo, at) - truth.target_albedo).abs().mean(1) for at in truth.match_set.unbind(1)]
    for number in range(4):
        there = sample_at((truth.exemplar_part[:, None] == body.INDEX["chest"]).float(), truth.match_set[:, 2 + number])
        where = found[:, number] & truth.visible & middle & (there[:, 0] > 0.99)
        assert not where.any() or errors[2 + number][where].mean() < 1.3 * errors[0][where].mean() + 0.01
    # Along the chest an inner point has neighbours wherever there is room for them.
    along = truth.target_uv[:, 0]
    between = chest & (along > 0) & (along < 1)
    assert bool((found[:, [0, 2]].any(1) & between).any()) == (times > 1)
    room = chest & truth.visible & (along > 1 / times + 0.35) & (along < 0.9)
    assert times == 1 or not room.any() or found[:, 0][room].float().mean() > 0.6


@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_distinct_sides_differ_or_not(chance):
    key = sample_keys(VERSION, "val", torch.arange(64))
    _, worn = draw_identity(key, distinct=chance)
    alike = wardrobe.twins_alike(worn)
    limbs = [i for i, name in enumerate(body.PARTS) if body.TWIN[i] != i and not name.startswith("strap")]
    assert (alike[:, limbs] == 1 - chance).all()
    colours = worn.fabric[:3].gather(2, worn.cover[0].long().expand(3, -1, -1))
    apart = (colours - colours[:, :, list(body.TWIN)]).abs().amax(0)[:, limbs]
    assert apart.max() == 0 if chance == 0 else apart.min() > 0.05
    twins = _pairs(distinct=chance).truth.match_set[:, 1]
    assert (~twins.isnan()).any() == (chance == 0)


def test_entropy_grows():
    roughness = []
    for level in (0.0, 0.25, 0.5, 0.75, 1.0):
        truth = _pairs(96, 6, entropy=level).truth
        paint, part = truth.target_albedo, truth.target_part
        same = (part[:, :, 1:] == part[:, :, :-1]) & (part[:, :, 1:] >= 0)
        roughness.append((paint[..., 1:] - paint[..., :-1]).abs().mean(1)[same].median().item())
    assert sorted(roughness) == roughness
    assert roughness[0] < 1e-3
    assert roughness[-1] > 0.03


@pytest.mark.parametrize(("gap", "channels"), [("structure", 35), ("parts", len(body.PARTS)), ("edges", None)])
def test_gap_chooses_the_condition(gap, channels):
    source = People(48, "val", replace(STILL, gap=gap))
    batch = source.batch(torch.arange(4))
    assert batch.condition.shape[1] == source.condition_channels
    assert channels in (None, source.condition_channels)
    if gap == "parts":
        assert torch.equal(batch.condition.sum(1) > 0, batch.truth.target_part >= 0)
        assert torch.equal(
            batch.condition.argmax(1)[batch.condition.amax(1) > 0], batch.truth.target_part[batch.truth.target_part >= 0]
        )


def test_dropout_loses_its_share_of_the_condition_only():
    rest, less = _pairs(), _pairs(dropout=0.5)
    found = (rest.condition[:, :18].amax((2, 3)) > 0).sum(1)
    left = (less.condition[:, :18].amax((2, 3)) > 0).sum(1)
    assert ((found - left - 9).abs() <= 18 - found).all()
    assert torch.equal(rest.truth.exemplar_keypoints.nan_to_num(), less.truth.exemplar_keypoints.nan_to_num())
    assert not torch.equal(less.condition[:, :18].amax((2, 3)) > 0, less.exemplar_condition[:, :18].amax((2, 3)) > 0)
    parts = [_pairs(gap="parts", dropout=share).condition.sum() for share in (0.0, 0.4, 0.8)]
    assert parts[0] > parts[1] > parts[2]


def test_light_sets_the_images_apart():
    differences = []
    for level in (0.0, 1.0, 2.0, 3.0, 4.0):
        batch = _pairs(64, 12, light=level, zoom=(1.0, 1.0), articulation=0.0)
        warped = sample_at(batch.exemplar, batch.truth.flow)
        judged = batch.truth.visible & (
            (sample_at(batch.truth.exemplar_albedo, batch.truth.flow) - batch.truth.target_albedo).abs().amax(1) < 0.05
        )
        differences.append((warped - batch.target).abs().mean(1)[judged].mean().item())
    assert sorted(differences) == differences
    assert differences[1] < 2.5 * differences[0] + 0.03
    assert differences[-1] > 3 * differences[1]


def test_far_apart_lamps_stand_on_opposite_sides():
    batch = _pairs(64, 12, light=4.0, articulation=0.0)
    truth, sides = batch.truth, []
    shown = (
        (batch.target, truth.target_albedo, truth.target_part),
        (batch.exemplar, truth.exemplar_albedo, truth.exemplar_part),
    )
    for image, paint, part in shown:
        chest = part == body.INDEX["chest"]
        shade = image.mean(1) / paint.mean(1).clamp_min(0.05)
        column = torch.arange(64.0) * chest
        right = torch.arange(64.0) > (column.sum((1, 2)) / chest.sum((1, 2)))[:, None, None]
        halves = [(shade * half).sum((1, 2)) / half.sum((1, 2)) for half in (chest & right, chest & ~right)]
        sides.append((halves[0] - halves[1]).sign())
    assert torch.equal(sides[0], -sides[1])


@pytest.mark.parametrize("copies", [2, 3])
def test_halves_show_whole_and_equal_figures(copies):
    batch = _pairs(60, halves=copies, zoom=(1.0, 1.0), articulation=1.0, yaw=0.7)
    strip = 60 // copies
    for number in range(1, copies):
        assert torch.equal(batch.exemplar[..., :strip], batch.exemplar[..., number * strip : (number + 1) * strip])
    part = batch.truth.exemplar_part
    for edge in (part[:, :, 0], part[:, :, strip - 1], part[:, 0], part[:, -1]):
        assert (edge < 0).all()
    answers = batch.truth.match_set[:, ::2]
    assert answers.shape[1] == copies
    found = ~answers[:, :, 0].isnan()
    assert found[:, 1][batch.truth.visible].all()
    step = answers[:, 1, 0] - answers[:, 0, 0]
    assert torch.allclose(step[batch.truth.visible], torch.tensor(float(strip)), atol=1e-3)


def test_out_of_distribution_shows_what_no_other_split_does():
    held = [PATTERNS.index("zigzag"), PATTERNS.index("diamonds")]

    def drawn(outside):
        _, worn = draw_identity(sample_keys(VERSION, "val", torch.arange(2000)), outside)
        return worn.fabric

    within, outside = drawn(False), drawn(True)
    pattern, top = FABRIC.index("pattern"), MATERIALS.index("top")
    assert not torch.isin(within[pattern], torch.tensor(held).float()).any()
    assert torch.isin(outside[pattern, :, top], torch.tensor(held).float()).all()
    for name in ("top", "hair", "shoe"):
        number = MATERIALS.index(name)
        ours, theirs = ({tuple(c) for c in of[:3, :, number].T.tolist()} for of in (within, outside))
        assert ours
        assert theirs
        assert not ours & theirs


def test_a_tier_may_be_what_json_keeps_of_it():
    dials = {"zoom": [0.9, 0.9], "yaw": 0.0, "articulation": 0.3}
    assert torch.equal(People(16, "val", dials).batch(torch.arange(1)).target, _pairs(16, 1).target)


@pytest.mark.parametrize("dial", [{"instances": (2, 1)}, {"unmatched": 1}, {"two_lights": 0.5}])
def test_dials_of_other_tasks_are_refused(dial):
    with pytest.raises(ValueError, match="people"):
        People(tier=Dials(**dial))
