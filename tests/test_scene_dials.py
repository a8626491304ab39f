"""The dials of landscapes: each does what it says, and nothing else."""

from dataclasses import replace

import pytest
import torch

from exemplar_lab.data.seeds import sample_keys
from exemplar_lab.data.synth.dials import TIERS, Dials
from exemplar_lab.data.synth.scenes.materials import CLASSES
from exemplar_lab.data.synth.scenes.source import REMOVABLE, VERSION, Scenes, _plan
from exemplar_lab.data.synth.scenes.sprites import FIRST, KINDS
from exemplar_lab.grid import sample_at

_C = {name: number for number, name in enumerate(CLASSES)}


def test_entropy_turns_texture():
    def roughness(entropy):
        truth = Scenes(64, "val", replace(TIERS["easy"], entropy=entropy)).batch(torch.arange(6)).truth
        grass = truth.target_part == _C["grass"]
        step = (truth.target_albedo[..., 1:] - truth.target_albedo[..., :-1]).abs().mean(1)
        return step[grass[..., 1:] & grass[..., :-1]].median()

    levels = [roughness(entropy) for entropy in (0.0, 0.5, 1.0)]
    assert levels[0] < 0.3 * levels[1]
    assert levels[1] < 0.8 * levels[2]


def test_light_moves_the_sun_and_nothing_else():
    pairs = {light: Scenes(48, "val", Dials(light=light)).batch(torch.arange(6)) for light in (0.0, 1.0, 4.0)}
    assert torch.equal(pairs[0.0].truth.target_albedo, pairs[4.0].truth.target_albedo)
    assert torch.equal(pairs[0.0].truth.flow.nan_to_num(), pairs[4.0].truth.flow.nan_to_num())

    def change(batch):
        warp = sample_at(batch.exemplar, batch.truth.flow)
        return (warp - batch.target).abs().mean(1)[batch.truth.visible].mean()

    assert change(pairs[0.0]) < change(pairs[1.0]) < 0.8 * change(pairs[4.0])


@pytest.mark.parametrize(("n", "m"), [(1, 4), (4, 1), (3, 2)])
def test_instances(n, m):
    source = Scenes(96, "val", Dials(instances=(n, m), light=0.0, yaw=0.0))
    truth = source.batch(torch.arange(6)).truth
    balloon = truth.target_part == _C["balloon"]
    assert balloon.flatten(1).any(1).float().mean() > 0.8
    answers = (~truth.match_set[:, :, 0].isnan()).sum(1)[balloon & truth.visible]
    assert answers.max() == m
    assert answers.float().mean() > 0.6 * m
    error = (sample_at(truth.exemplar_albedo, truth.flow) - truth.target_albedo).abs().mean(1)
    assert error[balloon & truth.visible].mean() < 0.05
    for number in range(1, truth.match_set.shape[1]):
        point = truth.match_set[:, number]
        named = sample_at((truth.exemplar_part == _C["balloon"])[:, None].float(), point)[:, 0]
        assert (named[~point[:, 0].isnan()] > 0.5).float().mean() > 0.9 or point.isnan().all()


@pytest.mark.parametrize("count", [1, 2, 4])
def test_unmatched_classes_are_missing(count):
    truth = Scenes(64, "val", Dials(unmatched=count)).batch(torch.arange(12)).truth
    plain = Scenes(64, "val", Dials()).batch(torch.arange(12)).truth
    assert torch.equal(truth.target_part, plain.target_part)
    lost = []
    for sample in range(12):
        gone = truth.flow[sample].isnan().any(0)
        classes = truth.target_part[sample][gone].unique().tolist()
        lost.append(len(classes))
        assert {CLASSES[number] for number in classes} <= set(REMOVABLE)
        assert not torch.isin(truth.exemplar_part[sample], torch.tensor(classes)).any()
        assert not truth.visible[sample][gone].any()
    assert max(lost) == count
    assert sum(lost) > 0.7 * 12 * count


def test_two_lights_light_the_halves_differently():
    pairs = [Scenes(64, "val", Dials(two_lights=amount, light=0.0, yaw=0.0)).batch(torch.arange(8)) for amount in (0.0, 1.0)]
    assert torch.equal(pairs[0].truth.target_part, pairs[1].truth.target_part)

    def difference(batch):
        return (batch.exemplar[..., :16].mean((1, 2, 3)) - batch.exemplar[..., -16:].mean((1, 2, 3))).abs().mean()

    assert difference(pairs[1]) > 1.8 * difference(pairs[0])


def test_dropout_loses_its_share():
    whole, holed = (Scenes(64, tier=Dials(dropout=share), truth=False).batch(torch.arange(4)) for share in (0.0, 0.4))
    assert (holed.condition.sum(1) == 0).float().mean() == pytest.approx(0.4, abs=0.02)
    assert torch.equal(whole.target, holed.target)


def test_held_out_pairs_of_classes():
    """Palms in snow and conifers on sand are seen in split ood alone."""
    conifers, palms = (range(FIRST[name], FIRST[name] + KINDS[name]) for name in ("conifer", "palm"))
    seen = {}
    for split in ("train", "ood"):
        world = _plan(sample_keys(VERSION, split, torch.arange(200)), split, TIERS["easy"], "view").world
        hot = (world.snowy == 0)[:, None] & (world.thing_on > 0)
        wild = (world.snowy > 0)[:, None] & (world.thing_on > 0)
        seen[split] = [
            bool((torch.isin(world.thing_sprite, torch.tensor(kind)) & where).any())
            for kind, where in ((conifers, hot), (palms, wild))
        ]
    assert seen == {"train": [False, False], "ood": [True, True]}
