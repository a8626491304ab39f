"""The feature network of the package: what it is asked while it learns, its way through a run, and the file that is shipped."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch.autograd import gradcheck

from exemplar_lab.cli import main
from exemplar_lab.data.synth.people import People
from exemplar_lab.grid import sample_at
from exemplar_lab.losses.contrast import dense_info_nce, info_nce
from exemplar_lab.nn.features import features
from exemplar_lab.nn.lab_features import SHIPPED, FeatureTrainer, LabFeatures, load_lab, style_statistics
from exemplar_lab.training.checkpoint import last_checkpoint, read_checkpoint
from exemplar_lab.training.feature_objective import (
    DRAWS,
    distance_order,
    draw_points,
    draw_views,
    draw_worse,
    feature_terms,
    part_shares,
)
from exemplar_lab.training.feature_recipe import PARTS, STYLES, feature_recipe
from exemplar_lab.training.feature_report import measure_network
from exemplar_lab.training.feature_state import features_of, ship_features
from exemplar_lab.training.loop import make_fabric, train
from exemplar_lab.training.state import DivergedError

WIDTHS = (4, 8, 8, 8, 8)
TINY = replace(feature_recipe("smoke"), steps=4, save_every=2)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A whole run at smoke size."""
    folder = tmp_path_factory.mktemp("features") / "run"
    terms = [step.terms for step in train(TINY, folder, make_fabric("cpu"))]
    return folder, terms


# What is asked


def test_info_nce_by_hand():
    query, key = torch.randn(5, 7, dtype=torch.float64), torch.randn(5, 7, dtype=torch.float64)
    total = 0.0
    for one, other in ((query, key), (key, query)):
        for i in range(5):
            scores = torch.stack([torch.dot(one[i], other[j]) / one[i].norm() / other[j].norm() / 0.2 for j in range(5)])
            total += (scores.exp().sum().log() - scores[i]) / 10
    torch.testing.assert_close(info_nce(query, key, 0.2), total)
    assert info_nce(key, key, 0.01) < 1e-6
    assert gradcheck(info_nce, (query.requires_grad_(), key.requires_grad_()))


def test_dense_info_nce_asks_within_an_image_and_forgives_neighbours():
    query, key = (torch.randn(2, 6, 4, dtype=torch.float64) for _ in range(2))
    alone = torch.stack([info_nce(query[i].T, key[i].T, 0.07) for i in range(2)]).mean()
    torch.testing.assert_close(dense_info_nce(query, key), alone)
    near = torch.zeros(2, 4, 4, dtype=torch.bool)
    near[:, 0, 1] = near[:, 1, 0] = True
    near |= torch.eye(4, dtype=torch.bool)
    torch.testing.assert_close(dense_info_nce(query, key, torch.eye(4, dtype=torch.bool).expand(2, 4, 4)), alone)
    twins = key.clone()
    twins[:, :, 1] = twins[:, :, 0]
    assert dense_info_nce(twins, twins, near) < dense_info_nce(twins, twins) - 0.3  # log 2 for half of the points


def test_points_are_visible_and_their_counterparts_look_alike():
    batch = People(size=64, split="val").batch(torch.arange(4))
    keys = torch.arange(4)
    enough, here, there = draw_points(batch.truth, keys, 16)
    assert here.shape == there.shape == (int(enough.sum()), 2, 16)
    assert here.isfinite().all() and there.isfinite().all()
    colour = sample_at(batch.truth.target_albedo[enough], here[..., None])
    found = sample_at(batch.truth.exemplar_albedo[enough], there[..., None])
    wrong = sample_at(batch.truth.exemplar_albedo[enough], there.flip(2)[..., None])
    assert (colour - found).abs().mean() < 0.4 * (colour - wrong).abs().mean()
    again = draw_points(batch.truth[[2]], keys[[2]], 16)
    assert torch.equal(again[1][0], here[int(enough[:2].sum())])  # whatever else is in the batch
    assert len({tuple(point.tolist()) for point in here[0].T}) == 16


def test_part_shares_add_up_and_background_comes_first():
    truth = People(size=32, split="val").batch(torch.arange(2)).truth
    shares = part_shares(truth, PARTS["people"], (8, 8))
    torch.testing.assert_close(shares.sum(1), torch.ones(4, 8, 8))
    empty = F.avg_pool2d((truth.target_part < 0).float()[:, None], 4)[:, 0]
    torch.testing.assert_close(shares[:2, 0], empty)


def test_order_of_distances():
    """Three features per position, so that unit length leaves an angle: the larger the angle, the further away."""
    angle = torch.linspace(0.1, 1, 2 * DRAWS, dtype=torch.float64)
    clean = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64).view(1, 3, 1, 1).expand(2, -1, 2, 2)
    worse = torch.stack([angle.cos(), angle.sin(), 0 * angle], dim=1)[..., None, None].expand(-1, -1, 2, 2)
    maps = {f"relu{i}_2": torch.cat([clean, worse]) for i in range(1, 6)}
    strength = torch.linspace(0.1, 0.9, 2 * DRAWS, dtype=torch.float64)
    right, wrong = distance_order(maps, strength), distance_order(maps, strength.flip(0))
    assert right < 0.1 < 5 < wrong
    distance = 2 - 2 * angle.cos()
    means = []
    for of_one_picture in (False, True):
        total = weight = 0.0
        for i in range(2 * DRAWS):
            for j in range(2 * DRAWS):
                if strength[i] > strength[j] and not (of_one_picture and i % 2 != j % 2):
                    apart = strength[i] - strength[j]
                    total += apart * torch.log1p(torch.exp(-10 * ((distance[i] + 1e-6) / (distance[j] + 1e-6)).log()))
                    weight += apart
        means.append(total / weight)
    torch.testing.assert_close(right, sum(means) / 2)


def test_a_step_depends_on_its_number_alone_and_asks_everything():
    first, again, next_one = (draw_views(TINY, number) for number in (1, 1, 2))
    assert list(first) == list(TINY.pairs)
    for name, pair in first.items():
        assert torch.equal(pair.one, again[name].one) and not torch.equal(pair.one, next_one[name].one)
        assert len(pair.one) == len(pair.other) == len(pair.keys) == 2
    assert not torch.equal(first["styles"].one, first["styles"].other)
    worse = draw_worse(first, 1)
    assert len(worse.worse) == len(worse.strength) == DRAWS * len(worse.image) == DRAWS * len(first)
    assert torch.equal(worse.worse, draw_worse(again, 1).worse)
    trainer = FeatureTrainer(PARTS, STYLES, WIDTHS)
    terms = feature_terms(trainer, first, worse, TINY.points)
    assert set(terms) == set(TINY.weights)
    for name, term in terms.items():
        trainer.zero_grad()
        term.backward(retain_graph=True)
        first_layer = trainer.features[0].weight.grad
        assert first_layer is not None and first_layer.abs().sum() > 0, f"{name} teaches the network nothing"
    sum(terms.values()).backward()
    assert all(parameter.grad is not None for parameter in trainer.parameters())


# The network


def test_folded_weights_give_what_was_trained():
    trainer = FeatureTrainer(PARTS, STYLES, WIDTHS)
    for _ in range(3):
        trainer(torch.rand(4, 3, 32, 32))
    trainer.eval()
    for norm in (module for module in trainer.features if isinstance(module, torch.nn.BatchNorm2d)):
        torch.nn.init.uniform_(norm.weight, 0.5, 2)
        torch.nn.init.uniform_(norm.bias, -1, 1)
    network = LabFeatures(WIDTHS)
    network.load_state_dict(trainer.folded())
    image = torch.rand(2, 3, 32, 48)
    expected = trainer(image)
    for layer, found in network(image, network.layers).items():
        torch.testing.assert_close(found, expected[layer], atol=1e-5, rtol=1e-4)
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_style_statistics_are_means_and_deviations():
    maps = {f"relu{i}_2": torch.rand(2, 3, 4, 5) for i in range(1, 6)}
    found = style_statistics(maps)
    assert found.shape == (2, 30)
    torch.testing.assert_close(found[:, 6:9], maps["relu2_2"].mean((2, 3)))
    torch.testing.assert_close(found[:, 9:12], maps["relu2_2"].flatten(2).std(2))


# A run


def test_a_stopped_run_goes_on_as_if_nothing_had_happened(run, tmp_path):
    folder, terms = run
    assert len(terms) == 4 and all(set(one) == set(TINY.weights) for one in terms)
    for step in train(TINY, tmp_path / "run", make_fabric("cpu")):
        if step.number == 3:
            break
    rest = [step.terms for step in train(TINY, tmp_path / "run", make_fabric("cpu"))]
    assert rest == terms[3:]
    whole, stopped = (read_checkpoint(last_checkpoint(one)).model for one in (folder, tmp_path / "run"))
    assert all(torch.equal(whole[name], stopped[name]) for name in whole)
    with pytest.raises(ValueError, match="learning_rate was 0.002, is 0.1"):
        next(train(replace(TINY, learning_rate=0.1), tmp_path / "run", make_fabric("cpu")))


def test_nan_stops_a_run_and_says_which_term(tmp_path, monkeypatch):
    monkeypatch.setattr("exemplar_lab.training.feature_objective.STEEPNESS", float("nan"))
    with pytest.raises(DivergedError, match="step 1: the loss term order is nan"):
        next(train(TINY, tmp_path / "run", make_fabric("cpu")))


def test_only_one_process():
    class Two(Fabric):
        world_size = 2

    from exemplar_lab.training.feature_state import FeatureState

    with pytest.raises(ValueError, match="got 2 processes, expected one"):
        FeatureState(TINY, Two(accelerator="cpu", devices=1))


def test_shipped_features_are_the_trained_ones_in_half_precision(run, tmp_path):
    folder, _ = run
    file = ship_features(folder, tmp_path / "there" / "mine", "mine-v1", {"a": 1})
    about = json.loads(file.with_suffix(".json").read_text())
    assert about["name"] == "mine-v1" and about["numbers"] == {"a": 1} and about["recipe"]["seed"] == 0
    network, image = features("lab", file), torch.rand(1, 3, 32, 32)
    assert network.name == "mine-v1"
    trained = features_of(read_checkpoint(last_checkpoint(folder)))
    for layer, found in network(image, network.layers).items():
        torch.testing.assert_close(found, trained(image, network.layers)[layer], atol=0.02, rtol=0.02)
    assert sorted(path.name for path in file.parent.iterdir()) == ["mine.json", "mine.safetensors"]


def test_broken_features_are_refused(run, tmp_path):
    file = ship_features(run[0], tmp_path / "features", "mine")
    with pytest.raises(FileNotFoundError, match=r"nothing\.safetensors.*train features"):
        load_lab(tmp_path / "nothing.safetensors")
    cut, beside = tmp_path / "cut.safetensors", tmp_path / "cut.json"
    cut.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(FileNotFoundError, match=r"cut\.json"):
        load_lab(cut)
    shutil.copy(file.with_suffix(".json"), beside)
    with pytest.raises(ValueError, match="truncated or another file"):
        load_lab(cut)
    shutil.copy(file, cut)
    about = json.loads(beside.read_text())
    beside.write_text(json.dumps(about | {"widths": [4, 8, 8, 8, 16]}))
    with pytest.raises(ValueError, match=r"do not fit cut\.json"):
        load_lab(cut)
    beside.write_text("{}")
    with pytest.raises(ValueError, match="does not describe lab features"):
        load_lab(cut)


def test_a_run_of_features_is_no_model(run, tmp_path, capsys):
    with pytest.raises(ValueError, match="got a run of `train features`, expected one of cocosnet"):
        read_checkpoint(last_checkpoint(run[0])).build()
    with pytest.raises(FileNotFoundError, match="no checkpoint there"):
        ship_features(tmp_path, tmp_path / "features", "mine")
    assert main(["evaluate", str(run[0])]) == 2
    assert "train features" in capsys.readouterr().err


def test_one_command_trains_them(tmp_path, capsys):
    assert main(["train", "features", "--profile", "smoke", "--out", str(tmp_path / "run"), "--device", "cpu"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(tmp_path / "run" / "features.safetensors")
    assert load_lab(tmp_path / "run" / "features.safetensors").name == "features-smoke"


@pytest.mark.parametrize("option", [("--data", "photos"), ("--variant", "without-domain"), ("--features", "vgg19")])
def test_what_features_are_not_trained_with_is_refused(option, tmp_path, capsys):
    assert main(["train", "features", "--profile", "smoke", "--out", str(tmp_path / "run"), *option]) == 2
    assert f"got {' '.join(option)} for the features" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_file_is_not_shipped_again_and_that_is_said_before_all_is_measured(run, tmp_path, capsys):
    file = ship_features(run[0], tmp_path / "features", "mine")
    assert main(["features", str(file), "--ship", str(tmp_path / "again")]) == 2
    streams = capsys.readouterr()
    assert "expected the folder of a run" in streams.err and "ranking" not in streams.out


def test_features_of_a_run_are_compared_and_shipped_with_their_numbers(run, tmp_path, capsys):
    given = ["features", "--pairs", "4", "--size", "32", "--device", "cpu", str(run[0])]
    assert main([*given, "--ship", str(tmp_path / "mine"), "--name", "mine-v2"]) == 0
    assert f"{run[0]} better than fixed weights in" in capsys.readouterr().out
    about = json.loads((tmp_path / "mine.json").read_text())
    assert about["name"] == "mine-v2" and about["numbers"]["pairs"] == 4
    assert about["numbers"]["rows"]["style"]["top-1"]["mean"] >= 0
    assert main([*given, str(run[0]), "--ship", str(tmp_path / "mine")]) == 2  # twice the same is two
    assert "got --ship with 2 networks, expected one" in capsys.readouterr().err
    assert main([*given, "--name", "mine-v2"]) == 2
    assert "got --name mine-v2 without --ship" in capsys.readouterr().err


# What comes with the package


def test_other_weights_must_bear_another_name():
    about = json.loads((SHIPPED / "features-lab.json").read_text())
    assert load_lab().name == about["name"] == LabFeatures.name == "lab-v1"
    assert about["sha256"] == "f90ee11e1e1ca1e0357a70d7759c27f0c1a70e99d695e1db834f32f339faba31"
    assert (SHIPPED / "features-lab.safetensors").stat().st_size <= 8_000_000
    assert about["recipe"] == feature_recipe().describe(), "train the features again, or say here what still holds"


def test_shipped_features_know_more_than_fixed_weights():
    """A quick look, one question of each kind, with the margins far below what `exemplar-lab features` measures."""
    lab, fixed = (measure_network(features(name), 8, 64) for name in ("lab", "fixed"))
    assert lab["parts people"]["pck@0.1 relu4_2"]["mean"] > fixed["parts people"]["pck@0.1 relu4_2"]["mean"] + 0.1
    assert lab["parts faces"]["other relu4_2"]["mean"] > fixed["parts faces"]["other relu4_2"]["mean"] + 0.1
    assert lab["style"]["reciprocal rank"]["mean"] > fixed["style"]["reciprocal rank"]["mean"]
    assert min(one["mean"] for one in lab["ranking world, per image"].values()) > 0.85
