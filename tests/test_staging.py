"""What happens to a finished pair: hidden shares are met, the truth stays true, brute-force twins agree."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from exemplar_lab.data.edges import edge_condition
from exemplar_lab.data.seeds import fold, sample_keys, uniform
from exemplar_lab.data.synth.occluder import KINDS, draw_occluder, height
from exemplar_lab.data.synth.people import People
from exemplar_lab.data.synth.staging import condition_channels, condition_of, drop_blocks, occlude, repeat_halves
from exemplar_lab.grid import sample_at
from exemplar_lab.translation import concatenate

_BATCHES = {size: People(size, "val", "easy").batch(torch.arange(12)) for size in (32, 64, 256)}
_KEYS = sample_keys(1, "val", torch.arange(12))


def _figure(batch):
    return batch.truth.exemplar_part >= 0


def _same(first, second) -> bool:
    return torch.equal(first.nan_to_num(-7.0), second.nan_to_num(-7.0))


def _records_agree(first, second):
    for name, value in vars(first).items():
        other = getattr(second, name)
        if isinstance(value, torch.Tensor):
            assert _same(value, other), name
        elif value is not None:
            _records_agree(value, other)


@pytest.mark.parametrize(("size", "tolerance"), [(256, 0.03), (64, 0.06)])
@pytest.mark.parametrize("share", [0.15, 0.6])
def test_the_wanted_share_of_the_figure_is_hidden(size, tolerance, share):
    batch = _BATCHES[size]
    figure = _figure(batch)
    hidden = occlude(batch, figure, _KEYS, (share, share)).truth.exemplar_part < 0
    got = (hidden & figure).sum((1, 2)) / figure.sum((1, 2))
    assert (got - share).abs().max() < tolerance


def test_shares_are_drawn_from_their_range():
    batch = _BATCHES[64]
    figure = _figure(batch)
    hidden = occlude(batch, figure, _KEYS, (0.1, 0.5)).truth.exemplar_part < 0
    got = (hidden & figure).sum((1, 2)) / figure.sum((1, 2))
    assert got.min() > 0.05
    assert got.max() < 0.55
    assert got.std() > 0.05


def test_at_rest_nothing_changes():
    batch = _BATCHES[32]
    assert occlude(batch, _figure(batch), _KEYS, (0.0, 0.0)) is batch
    assert repeat_halves(batch, 1) is batch
    assert drop_blocks(batch.condition, _KEYS, 0.0) is batch.condition


def test_an_empty_figure_hides_nothing():
    batch = _BATCHES[32]
    changed = occlude(batch, torch.zeros_like(_figure(batch)), _KEYS, (0.3, 0.6))
    assert torch.equal(changed.exemplar, batch.exemplar)
    assert torch.equal(changed.truth.visible, batch.truth.visible)


@given(first=st.integers(0, 10**6), low=st.sampled_from([0.0, 0.3, 0.9]))
def test_hidden_truth_is_consistent(first, low):
    """At any seed: pictures in range, what is hidden lies inside the thing, flow is untouched, nothing becomes visible."""
    batch = _BATCHES[32]
    key = sample_keys(2, "train", torch.arange(first, first + 12))
    changed = occlude(batch, _figure(batch), key, (low, 0.9))
    before, after = batch.truth, changed.truth
    assert changed.exemplar.isfinite().all()
    assert changed.exemplar.min() >= 0
    assert changed.exemplar.max() <= 1
    assert _same(after.flow, before.flow)
    assert _same(after.match_set[:, 0], before.match_set[:, 0])
    assert not (after.visible & ~before.visible).any()
    assert (after.count[~after.visible] == 0).all()
    assert _same(after.count[after.visible], before.count[after.visible])
    assert torch.equal(changed.target, batch.target)
    gone = (after.exemplar_part < 0) & _figure(batch)
    assert after.exemplar_uv[:, 0][gone].isnan().all()
    # What is still visible lies beside an exemplar pixel of the figure, as it did before, but for slivers thinner than a pixel.
    own, left = (sample_at((truth.exemplar_part >= 0).float()[:, None], after.flow)[:, 0] for truth in (before, after))
    assert low == 0.9 or ((left > 0) | (own == 0))[after.visible].float().mean() > 0.95


def test_visibility_against_a_brute_force_twin():
    """One point at a time, with the height of the thing as the only thing shared."""
    batch = _BATCHES[32]
    figure, share = _figure(batch), 0.4
    changed = occlude(batch, figure, _KEYS, (share, share))
    key = fold(_KEYS, "occlusion")
    thing = draw_occluder(key, figure, torch.full((12,), share, dtype=torch.float64))
    for sample in (0, 5, 11):
        for y in range(0, 32, 3):
            for x in range(0, 32, 3):
                point = batch.truth.flow[sample, :, y, x] / 32
                behind = bool(height(thing.of(torch.tensor([sample])), point[None, :1], point[None, 1:]) < thing.edge[sample])
                expected = bool(batch.truth.visible[sample, y, x]) and not behind
                assert bool(changed.truth.visible[sample, y, x]) == expected


def test_the_albedo_still_warps_to_the_target():
    batch = _BATCHES[256]
    truth = occlude(batch, _figure(batch), _KEYS, (0.2, 0.6)).truth
    error = (sample_at(truth.exemplar_albedo, truth.flow) - truth.target_albedo).abs().mean(1)
    lost = batch.truth.visible & ~truth.visible
    assert error[truth.visible & (truth.count > 0.2)].mean() < 0.02
    assert error[lost].mean() > 0.1


def test_other_answers_behind_the_thing_are_lost():
    batch = _BATCHES[64]
    answers = batch.truth.match_set.clone()
    answers[:, 1] = batch.truth.flow
    batch = replace(batch, truth=replace(batch.truth, match_set=answers))
    truth = occlude(batch, _figure(batch), _KEYS, (0.4, 0.4)).truth
    shown = ~truth.match_set[:, 1, 0].isnan()
    assert torch.equal(shown & batch.truth.visible, truth.visible)
    assert shown.any()
    assert not shown.eq(~batch.truth.flow[:, 0].isnan()).all()


def test_pictures_agree_at_every_size_and_without_truth():
    small, large = (_BATCHES[size] for size in (64, 256))
    coarse = occlude(small, _figure(small), _KEYS, (0.3, 0.3)).exemplar
    fine = occlude(large, _figure(large), _KEYS, (0.3, 0.3)).exemplar
    assert (torch.nn.functional.avg_pool2d(fine, 4) - coarse).abs().mean() < 0.03
    blind = occlude(replace(small, truth=None), _figure(small), _KEYS, (0.3, 0.3))
    assert blind.truth is None
    assert torch.equal(blind.exemplar, coarse)


def test_a_sample_does_not_depend_on_its_batch():
    batch = _BATCHES[64]
    figure = _figure(batch)
    alone = concatenate([occlude(batch[[i]], figure[[i]], _KEYS[[i]], (0.1, 0.6)) for i in range(12)])
    _records_agree(occlude(batch, figure, _KEYS, (0.1, 0.6)), alone)
    blobs = torch.cat([drop_blocks(batch.condition[[i]], _KEYS[[i]], 0.3) for i in range(12)])
    assert torch.equal(drop_blocks(batch.condition, _KEYS, 0.3), blobs)


def test_every_kind_of_thing_comes_and_its_height_is_continuous():
    key = sample_keys(1, "train", torch.arange(40))
    figure = torch.ones(40, 16, 16, dtype=torch.bool)
    thing = draw_occluder(key, figure, uniform(key, "share", (), 0.1, 0.9))
    assert set(thing.kind.tolist()) == set(range(len(KINDS)))
    x, y = torch.rand(2, 40, 4000)
    step = 1e-5
    change = (height(thing, x + step, y + step) - height(thing, x, y)).abs()
    assert (change > 0.01).float().mean() < 1e-3


@pytest.mark.parametrize("copies", [2, 3, 5])
def test_repeated_halves_against_a_brute_force_twin(copies):
    batch = _BATCHES[32]
    changed = repeat_halves(batch, copies)
    before, after = batch.truth, changed.truth
    strip = -(-32 // copies)
    assert after.match_set.shape[1] == copies * before.match_set.shape[1]
    for x in range(32):
        assert torch.equal(changed.exemplar[..., x], batch.exemplar[..., x % strip])
        assert torch.equal(changed.exemplar_condition[..., x], batch.exemplar_condition[..., x % strip])
        assert torch.equal(after.exemplar_part[..., x], before.exemplar_part[..., x % strip])
    assert _same(after.flow, before.flow)
    for sample, y, x in [(s, y, x) for s in range(12) for y in range(0, 32, 5) for x in range(0, 32, 5)]:
        expected = set()
        for number, (px, py) in enumerate(before.match_set[sample, :, :, y, x].tolist()):
            if 0 <= px < strip and (number > 0 or before.visible[sample, y, x]):
                expected |= {(round(px + j * strip, 3), round(py, 3)) for j in range(copies) if px + j * strip < 32}
        answers = after.match_set[sample, :, :, y, x]
        if not after.visible[sample, y, x]:
            answers = answers[1:]
        got = {(round(px, 3), round(py, 3)) for px, py in answers.tolist() if px == px}
        assert got == expected
        assert bool(after.visible[sample, y, x]) == (
            bool(before.visible[sample, y, x]) and bool(before.flow[sample, 0, y, x] < strip)
        )
    assert (after.count[~after.visible] == 0).all()


def test_all_copies_show_the_same_colour():
    batch = _BATCHES[256]
    truth = repeat_halves(batch, 2).truth
    for answer in truth.match_set.unbind(1):
        found = ~answer[:, 0].isnan() & truth.visible & (truth.count > 0.3)
        error = (sample_at(truth.exemplar_albedo, answer) - truth.target_albedo).abs().mean(1)
        assert error[found].mean() < 0.03


@given(first=st.integers(0, 10**6), share=st.floats(0, 1))
def test_dropped_blocks_cover_the_share(first, share):
    key = sample_keys(3, "train", torch.arange(first, first + 3))
    for size in (16, 48):
        kept = drop_blocks(torch.ones(3, 2, size, size), key, share)
        assert set(kept.unique().tolist()) <= {0.0, 1.0}
        assert (1 - kept.mean((1, 2, 3)) - share).abs().max() < 0.05
        assert torch.equal(kept[:, 0], kept[:, 1])


def test_dropped_blocks_are_smooth_and_alike_at_every_size():
    large, small = (drop_blocks(torch.ones(4, 1, size, size), _KEYS[:4], 0.4) for size in (128, 64))
    border = (large[..., 1:] != large[..., :-1]).float().mean()
    assert border < 0.06
    assert (torch.nn.functional.avg_pool2d(large, 2) - small).abs().mean() < 0.03


def test_conditions_of_every_gap():
    batch = _BATCHES[32]
    part = batch.truth.target_part
    parts = int(part.max()) + 1
    arguments = batch.condition, batch.target, part, parts
    assert condition_of("structure", *arguments) is batch.condition
    assert torch.equal(condition_of("edges", *arguments), edge_condition(batch.target))
    maps = condition_of("parts", *arguments)
    assert torch.equal(maps.sum(1) == 1, part >= 0)
    assert torch.equal(maps.argmax(1)[part >= 0], part[part >= 0])
    for gap in ("structure", "edges", "parts"):
        assert condition_of(gap, *arguments).shape[1] == condition_channels(gap, batch.condition.shape[1], parts)


def test_errors():
    batch = _BATCHES[32]
    with pytest.raises(ValueError, match="0 copies"):
        repeat_halves(batch, 0)
    with pytest.raises(ValueError, match="0 … 1"):
        drop_blocks(batch.condition, _KEYS, 1.5)
    with pytest.raises(ValueError, match="structure, parts, edges"):
        condition_of("depth", batch.condition, batch.target, batch.truth.target_part, 3)
