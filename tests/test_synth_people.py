"""The procedural people: the same picture whoever asks, and a truth that is proven by rendering."""

import hashlib
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from exemplar_lab.data.seeds import choose, fold, sample_keys, uniform
from exemplar_lab.data.synth.curves import turn_of
from exemplar_lab.data.synth.dials import TIERS, Dials
from exemplar_lab.data.synth.people import People, body, source
from exemplar_lab.grid import sample_at
from exemplar_lab.translation import concatenate


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


@pytest.fixture(scope="module")
def large():
    """Eight pairs of each tier at 256."""
    return {tier: People(256, "val", tier).batch(torch.arange(8)) for tier in TIERS}


def test_a_sample_does_not_depend_on_its_batch():
    source = People(32, "train")
    joined = concatenate([source.batch(torch.tensor([i])) for i in (3, 7, 9)])
    for ours, alone in zip(_tensors(source.batch(torch.tensor([3, 7, 9]))), _tensors(joined), strict=True):
        assert torch.equal(ours.nan_to_num(-7.0), alone.nan_to_num(-7.0))


def test_a_sample_does_not_depend_on_the_number_of_threads():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = _digest(People(48).batch(torch.arange(5)))
        torch.set_num_threads(2)
        assert _digest(People(48).batch(torch.arange(5))) == one
    finally:
        torch.set_num_threads(before)


def test_a_sample_does_not_depend_on_the_process():
    program = (
        "import sys, torch; sys.path.insert(0, 'tests'); from test_synth_people import _digest, People; "
        "print(_digest(People(32, 'test', 'hard').batch(torch.tensor([4, 1999]))))"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
    assert answer == _digest(People(32, "test", "hard").batch(torch.tensor([4, 1999])))


def test_splits_and_indices_differ():
    pictures = [People(32, split).batch(torch.arange(2)).target for split in ("train", "val", "test")]
    flat = torch.cat(pictures).flatten(1)
    distance = torch.cdist(flat, flat) + torch.eye(6) * 1e3
    assert distance.min() > 1


def test_counted_numbers_are_even_and_unrelated():
    key = sample_keys(1, "train", torch.arange(20000))
    first, second = uniform(key, "a"), uniform(key, "b", (), -1.0, 3.0)
    assert first.dtype == torch.float64
    assert 0 <= first.min() < 1e-3
    assert 0.999 < first.max() < 1
    assert abs(first.mean() - 0.5) < 0.01
    assert abs(second.mean() - 1) < 0.04
    neighbours = torch.stack([first[:-1], first[1:], second[1:], uniform(fold(key, "c"), "a")[1:]])
    assert (torch.corrcoef(neighbours) - torch.eye(4)).abs().max() < 0.03
    share = choose(key, "d", (3, 1)).double().mean()
    assert abs(share - 0.25) < 0.015


def test_lengths_and_channels():
    assert People().length is None
    assert People(split="val").length == People(split="test").length == 2000
    batch = People(32, truth=False).batch(torch.arange(2))
    assert batch.truth is None
    assert batch.paired.all()
    assert batch.condition.shape == (2, People().condition_channels, 32, 32) == (2, 35, 32, 32)


def test_truth_does_not_change_the_pictures():
    with_truth, without = (People(32, truth=truth).batch(torch.arange(2)) for truth in (True, False))
    assert torch.equal(with_truth.target, without.target)
    assert torch.equal(with_truth.exemplar_condition, without.exemplar_condition)


@pytest.mark.parametrize("size", [16, 33, 100])
def test_sizes_need_not_be_round(size):
    batch = People(size, "val").batch(torch.arange(2))
    assert batch.target.shape == (2, 3, size, size)
    for image in (batch.target, batch.exemplar, batch.condition):
        assert image.min() >= 0
        assert image.max() <= 1


@pytest.mark.parametrize("tier", TIERS)
def test_warping_the_exemplar_by_the_flow_gives_the_target(large, tier):
    truth = large[tier].truth
    error = (sample_at(truth.exemplar_albedo, truth.flow) - truth.target_albedo).abs().mean(1)
    # A third of the size, as the hard tier has it, shows a third of the detail: judge where the exemplar has some.
    judged = truth.visible & (truth.count > 0.2)
    mean = error[judged].mean()
    shifted = (sample_at(truth.exemplar_albedo, truth.flow + 6) - truth.target_albedo).abs().mean(1)[judged].mean()
    assert mean <= 0.02
    assert shifted > 2 * mean
    assert truth.visible.sum() > 0.35 * (truth.target_part >= 0).sum()


@pytest.mark.parametrize("tier", TIERS)
def test_flow_leads_to_the_same_surface_point(large, tier):
    """The exemplar's own uv, read at the flow, is the target's uv: two independent inverses agree."""
    truth = large[tier].truth
    inner = truth.visible & (truth.target_uv[:, 1].abs() < 0.9)
    there = sample_at(truth.exemplar_uv.nan_to_num(), truth.flow)
    error = (there - truth.target_uv.nan_to_num()).abs().amax(1)[inner]
    assert error.median() < 2e-3


def test_count_is_the_stretch_of_the_flow(large):
    """|det ∂flow| by central differences between pixels, where all of a 3 × 3 neighbourhood shows one part and is seen."""
    for truth in (batch.truth for batch in large.values()):
        dx, dy = (truth.flow.roll(-1, axis) - truth.flow.roll(1, axis) for axis in (3, 2))
        stretch = (dx[:, 0] * dy[:, 1] - dx[:, 1] * dy[:, 0]).abs() / 4
        part = torch.where(truth.visible, truth.target_part, -1).float()[:, None]
        highest, lowest = (torch.nn.functional.max_pool2d(sign * part, 3, 1, 1)[:, 0] * sign for sign in (1, -1))
        inner = (highest == lowest) & (part[:, 0] >= 0)
        ratio = stretch[inner] / truth.count[inner]
        assert ratio.median() == pytest.approx(1, abs=0.01)
        assert ((ratio - 1).abs() < 0.15).float().mean() > 0.93


def test_visible_is_what_the_exemplar_shows_there(large):
    """The four exemplar pixels round the true point all show the surface point, or all show another part."""
    for batch in large.values():
        truth, size = batch.truth, batch.target.shape[-1]
        corner = (truth.flow.nan_to_num() - 0.5).floor().long()
        inside = (truth.target_part >= 0) & ((corner >= 0) & (corner < size - 1)).all(1)
        x, y = corner.clamp(0, size - 2).unbind(1)
        sample = torch.arange(len(x))[:, None, None]
        alike, akin = [], []
        for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
            part, uv = truth.exemplar_part[sample, y + down, x + right], truth.exemplar_uv[sample, :, y + down, x + right]
            near = (uv - truth.target_uv.movedim(1, -1)).nan_to_num(9).abs().amax(-1) < 0.06
            akin.append(part == truth.target_part)
            alike.append(akin[-1] & near)
        shown, foreign = inside & torch.stack(alike).all(0), inside & ~torch.stack(akin).any(0)
        assert shown.sum() > 1000 and foreign.sum() > 100
        assert truth.visible[shown].float().mean() > 0.985
        assert truth.visible[foreign].float().mean() < 0.02


def test_there_and_back_again(monkeypatch):
    """Forward and backward flow are each other's inverse where both images show the point; the pair is swapped at its bones."""
    people, pairs = People(128, "val", replace(TIERS["medium"], occlusion=(0.0, 0.0))), torch.arange(6)
    forward = people.batch(pairs).truth
    figures = source._figures

    def swapped(*arguments):
        bones, unit = figures(*arguments)
        return type(bones)(*(v.roll(len(pairs), 0) for v in bones)), unit.roll(len(pairs), 0)

    monkeypatch.setattr(source, "_figures", swapped)
    backward = people.batch(pairs).truth
    assert torch.equal(forward.exemplar_part, backward.target_part)
    seen_again = sample_at(backward.visible[:, None].float(), forward.flow)[:, 0] == 1
    at = torch.arange(128) + 0.5
    home = torch.stack([at[None].expand(128, -1), at[:, None].expand(-1, 128)])
    error = (sample_at(backward.flow, forward.flow) - home).norm(dim=1)[forward.visible & seen_again]
    # Read bilinearly from a map that curves, and that jumps where a part ends.
    assert len(error) > 5000
    assert error.nanmedian() < 0.03
    assert (error.nan_to_num(9) < 0.5).float().mean() > 0.9


def test_background_has_no_match(large):
    truth = large["medium"].truth
    background = truth.target_part < 0
    assert truth.flow.isnan().all(1).eq(background).all()
    assert not truth.visible[background].any()
    assert (truth.count[~truth.visible] == 0).all()
    assert truth.count.isfinite().all()
    assert truth.target_uv.isnan().all(1).eq(background).all()


def test_flow_does_not_depend_on_resolution(large):
    """A pixel centre at 128 is the corner of four pixels at 256, so their mean is its flow, twice as large."""
    fine, coarse = large["medium"].truth, People(128, "val", "medium").batch(torch.arange(8)).truth
    pooled = torch.nn.functional.avg_pool2d(fine.flow, 2) / 2
    parts = fine.target_part.unfold(1, 2, 2).unfold(2, 2, 2).flatten(3)
    same = (parts == coarse.target_part[..., None]).all(-1) & (coarse.target_part >= 0)
    error = (pooled - coarse.flow).norm(dim=1)[same]
    assert error.median() < 0.01
    assert error.mean() < 0.1


@pytest.mark.parametrize("zoom", [0.5, 1.0, 1.6])
def test_count_is_the_square_of_the_zoom(zoom):
    """Without turning, every target pixel covers zoom² exemplar pixels, give or take what foreshortening changes."""
    truth = People(64, "val", Dials((zoom, zoom), 0.0, 0.3)).batch(torch.arange(8)).truth
    assert truth.count[truth.visible].median() == pytest.approx(zoom**2, rel=0.12)


def _lonely(hidden):
    """Hidden pixels that a 3 × 3 median would remove."""
    neighbours = torch.nn.functional.avg_pool2d(hidden[:, None].float(), 3, 1, 1)[:, 0] * 9
    return hidden & (neighbours < 4.5)


def _interior(part):
    """Where all of a 5 × 5 neighbourhood belongs to one limb, or to the trunk."""
    chains = [("chest", "pelvis")]
    for side in ("right", "left"):
        chains += [tuple(f"{name}_{side}" for name in limb) for limb in (("upper_arm", "forearm", "hand"), ("thigh", "shin"))]
    chain = torch.arange(100, 100 + len(body.PARTS) + 1)
    for number, names in enumerate(chains):
        chain[[body.INDEX[name] for name in names]] = number
    chain[-1] = -1
    of_chain = chain[part].float()
    highest, lowest = (torch.nn.functional.max_pool2d(sign * of_chain, 5, 1, 2) * sign for sign in (1, -1))
    return (highest == lowest) & (part >= 0)


def test_no_dark_lines_cross_the_joints(large):
    """What light makes of a colour changes smoothly along a limb, from one part to the next."""
    batch = large["easy"]
    shade = batch.target.mean(1) / batch.truth.target_albedo.mean(1).clamp_min(0.05)
    around = torch.nn.functional.unfold(shade[:, None], 5, padding=2).median(1).values.unflatten(1, shade.shape[1:])
    interior = _interior(batch.truth.target_part)
    assert ((shade < 0.85 * around) & interior).sum() < 1e-3 * interior.sum()


def test_visibility_has_no_cracks(large):
    """Thin hidden lines occur where one body part passes behind another or turns away, but not at joints nor within a part."""
    for batch in large.values():
        part = batch.truth.target_part
        hidden = (part >= 0) & ~batch.truth.visible
        interior = _interior(part)
        assert interior.sum() > 0.5 * (part >= 0).sum()
        assert (_lonely(hidden) & interior).sum() < 1e-3 * interior.sum()
        assert _lonely(hidden).sum() < 0.025 * (part >= 0).sum()


def test_twins_are_answers_where_they_look_alike(large):
    truth = large["easy"].truth
    assert torch.equal(truth.match_set[:, 0].nan_to_num(-1), truth.flow.nan_to_num(-1))
    twin = truth.match_set[:, 1]
    found = ~twin[:, 0].isnan()
    names = [body.PARTS[i] for i in truth.target_part[found].unique()]
    assert names
    assert all(name.endswith(("left", "right")) for name in names)
    error = (sample_at(truth.exemplar_albedo, twin) - truth.target_albedo).abs().mean(1)[found]
    assert error.mean() < 0.03


def test_locate_and_place_are_inverse():
    """On bent, tapered, oval tubes: from a pixel to the surface and back."""
    generator = torch.Generator().manual_seed(0)
    n = 4000

    def between(low, high):
        return torch.rand(n, generator=generator) * (high - low) + low

    turn, tilt, oval = between(-3, 3), between(-1, 1), between(0.6, 1)
    widen = (turn.cos() ** 2 + oval**2 * turn.sin() ** 2).sqrt()
    values = dict.fromkeys(body.Bones._fields, torch.zeros(n)) | {
        "ax": between(0.3, 0.7),
        "ay": between(0.3, 0.7),
        "shear_a": between(-0.5, 0.5),
        "shear_b": between(-0.5, 0.5),
        "cap_a": between(0.02, 0.05),
        "cap_b": between(0.02, 0.05),
        **{f"r{i}": between(0.03, 0.06) for i in range(4)},
        "widen": widen,
        "deep": oval / widen,
        "sin": oval * turn.sin() / widen,
        "cos": turn.cos() / widen,
    }
    values["bx"], values["by"] = values["ax"] + 0.2 * tilt.sin(), values["ay"] + 0.2 * tilt.cos()
    bone = body.Bones(**values)
    x, y = (
        values["ax"] + between(-0.08, 0.25) * tilt.sin() + between(-0.05, 0.05),
        values["ay"] + between(-0.05, 0.25) * tilt.cos(),
    )
    spot = body.locate(bone, x, y)
    assert spot.inside.mean() > 0.4
    back_x, back_y, facing = body.place(bone, spot.along, spot.sin, spot.cos)
    inside = spot.inside > 0
    error = ((back_x - x) ** 2 + (back_y - y) ** 2).sqrt()[inside]
    assert error.median() < 1e-6
    assert error.max() < 1e-3
    assert (facing[inside] >= 0).all()


def test_turn_of_is_the_angle():
    angle = torch.linspace(-3.14, 3.14, 2001)
    assert torch.allclose(turn_of(angle.sin(), angle.cos()) * torch.pi, angle, atol=2e-5)


@pytest.mark.parametrize(
    ("dial", "word"),
    [
        ({"size": 15}, "at least 16"),
        ({"split": "dev"}, "train, val, test"),
        ({"tier": "extreme"}, "easy, medium, hard"),
    ],
)
def test_wrong_dials_are_refused(dial, word):
    with pytest.raises(ValueError, match=word):
        People(**dial)


def test_wrong_indices_are_refused():
    with pytest.raises(ValueError, match="2000"):
        People(16, "val").batch(torch.tensor([1, 2000]))
    with pytest.raises(ValueError, match="-1"):
        People(16).batch(torch.tensor([-1]))
