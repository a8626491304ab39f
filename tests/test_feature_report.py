import io
import json
import math
from contextlib import redirect_stdout
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from exemplar_lab.cli import main
from exemplar_lab.data.degrade import FAMILIES, HELD_OUT
from exemplar_lab.data.synth.people import People
from exemplar_lab.metrics.ranking import ranked, weighted_spearman
from exemplar_lab.metrics.ranks import spearman
from exemplar_lab.metrics.retrieval import (
    descriptor_distance,
    nearest_positions,
    part_accuracy,
    retrieval_scores,
    style_descriptor,
)
from exemplar_lab.nn.features import features
from exemplar_lab.training import feature_report
from exemplar_lab.training.feature_report import (
    available_networks,
    compare_looks,
    compared,
    firsts,
    measure_network,
    ranking_verdicts,
    report_csv,
    report_text,
    verdict_text,
)
from exemplar_lab.training.feature_tasks import (
    MEASURED,
    STRENGTHS,
    Look,
    both,
    corresponding,
    distances,
    distorted,
    hands,
    part_scores,
    photographs,
    plain_looks,
    search_parts,
    style_difference,
    world_pictures,
)
from exemplar_lab.viz.features import distance_curves, distortion_strip, part_maps, retrieved_by_style


def number(mean, half_width=0.02):
    return {"mean": mean, "half_width": half_width}


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """What `exemplar-lab features` says of the fixed network, at the smallest size."""
    folder, printed = tmp_path_factory.mktemp("features"), io.StringIO()
    files = ["--json", str(folder / "report.json"), "--csv", str(folder / "report.csv")]
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
        patch.setattr(feature_report, "NETWORKS", ("fixed", "vgg19"))
        patch.setenv("EXEMPLAR_LAB_VGG19", str(folder / "none.pth"))
        assert main(["features", "--pairs", "2", "--size", "32", "--device", "cpu", *files]) == 0
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)
    return SimpleNamespace(
        printed=printed.getvalue(), report=report, lines=(folder / "report.csv").read_text(encoding="utf-8").splitlines()
    )


# Rank correlation


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 3)), min_size=3, max_size=12))
def test_weighted_spearman_is_spearman_of_the_values_written_out(drawn):
    one, other, times = (torch.tensor(column, dtype=torch.float64) for column in zip(*drawn, strict=True))
    counts = times.long()
    if counts.sum() < 2:
        return
    found = weighted_spearman(one, other, torch.stack([times, torch.ones_like(times)]))
    expected = torch.stack(
        [spearman(one.repeat_interleave(counts), other.repeat_interleave(counts)), spearman(one, other)]
    ).double()
    assert torch.allclose(found, expected, atol=1e-6, equal_nan=True)


def test_pooled_rank_sees_what_the_rank_of_each_image_cannot():
    strength = torch.arange(1.0, 9.0)
    alike = ranked(strength.repeat(6, 1), strength)
    assert alike["per image"]["mean"] == pytest.approx(1) and alike["pooled"]["mean"] == pytest.approx(1)
    scaled = strength * torch.tensor([1.0, 1, 1, 20, 20, 20])[:, None]
    found = ranked(scaled, strength)
    assert found["per image"]["mean"] == pytest.approx(1)
    assert found["pooled"]["mean"] == pytest.approx(spearmanr(scaled.flatten(), strength.repeat(6)).statistic, abs=1e-6)
    assert found["pooled"]["mean"] < 0.6 and found["pooled"]["half_width"] > 0.05


def test_a_distance_that_never_changes_ranks_nothing():
    found = ranked(torch.zeros(3, 8), torch.arange(8.0))
    assert found["per image"]["mean"] == 0 and found["pooled"]["mean"] == 0


# Retrieval


def test_style_descriptor_forgets_where_things_are():
    feature = torch.rand(2, 5, 8, 6, dtype=torch.float64)
    shuffled = feature.flatten(2)[..., torch.randperm(48)].unflatten(2, (6, 8))
    one, other = (style_descriptor({"layer": map_})["layer"] for map_ in (feature, shuffled))
    assert torch.allclose(one, other)
    assert torch.allclose(one, torch.cat([feature.mean((2, 3)), (feature.var((2, 3)) + 1e-5).sqrt()], dim=1))


def test_descriptor_distance_counts_layers_of_any_scale_alike():
    query, gallery = ({"a": torch.rand(n, 4).double(), "b": torch.rand(n, 7).double()} for n in (3, 5))
    distance = descriptor_distance(query, gallery)
    scaled = [{"a": one["a"] * 1000, "b": one["b"]} for one in (query, gallery)]
    assert torch.allclose(descriptor_distance(*scaled), distance)
    of_layers = 0
    for layer in "ab":
        spread = math.sqrt(sum(float((row - gallery[layer].mean(0)).square().sum()) for row in gallery[layer]) / 5)
        of_layers = of_layers + (query[layer][:, None] - gallery[layer]).norm(dim=2) / spread
    assert torch.allclose(distance, of_layers)


def test_retrieval_scores_by_hand():
    distance = torch.tensor([[0.0, 1.0, 2.0], [0.5, 1.0, 2.0], [3.0, 3.0, 3.0]])
    found = retrieval_scores(distance)
    assert found["top-1"].tolist() == [1, 0, 0]
    assert torch.allclose(found["reciprocal rank"], torch.tensor([1, 1 / 2, 1 / 3]))  # equal ones stand before the right one


def test_nearest_positions_against_a_loop():
    query, key = torch.randn(2, 5, 3, 4, dtype=torch.float64), torch.randn(2, 5, 2, 6, dtype=torch.float64)
    found = nearest_positions(query, 7 * key)
    for b in range(2):
        for y in range(3):
            for x in range(4):
                cosines = torch.cosine_similarity(query[b, :, y, x, None], key[b].flatten(1), dim=0)
                assert found[b, y, x] == cosines.argmax()


def test_part_accuracy_asks_only_for_parts_that_are_there():
    part = torch.tensor([[[0, 1, 2, -1]], [[-1, -1, 3, 3]]])
    key_part = torch.tensor([[[0, 0, 1, -1]], [[0, 0, 0, 0]]])
    index = torch.tensor([[[1, 3, 0, 0]], [[0, 0, 0, 0]]])
    found = part_accuracy(index, part, key_part)
    assert found[0] == 0.5  # 0 found, 1 led to the background, 2 is not there to be found
    assert found[1].isnan()


# The questions


def test_one_network_alone_has_the_numbers_that_it_has_among_others(command):
    seen = []
    found = measure_network(features("fixed"), 2, 32, progress=lambda work: seen.extend(work) or work)
    assert [task for task, _ in seen] == list(MEASURED)
    headings = {
        f"ranking {of}, {way}" for of in ("world", "photographs", "growing", "unseen") for way in ("per image", "pooled")
    }
    assert found.keys() == headings | {"style"} | {f"parts {kind}" for kind in ("people", "faces", "scenes")}
    assert all(found[task].keys() == (HELD_OUT if "unseen" in task else FAMILIES).keys() for task in headings)
    for task, numbers in found.items():
        for name, one in numbers.items():
            other = command.report["rows"]["fixed-seed-v1"][task][name]
            mean = math.nan if other["mean"] is None else other["mean"]  # two scenes are one pair, and one pair has no ranks
            assert one["mean"] == pytest.approx(mean, abs=1e-5, nan_ok=True)


def test_a_look_that_sees_nothing_knows_nothing_and_a_look_is_asked_only_what_it_can_answer():
    blind = Look(lambda image: {"none": torch.ones(len(image), 2, 8, 8)}, lambda one, other: torch.zeros(len(one["none"])),
                 ("none",), ("none",))  # fmt: skip
    rows = compare_looks({"blind": blind} | plain_looks(), 2, 32)
    assert all(one["mean"] == 0 for way in ("per image", "pooled") for one in rows["blind"][f"ranking world, {way}"].values())
    assert rows["blind"]["style"]["top-1"]["mean"] == 0
    assert rows["L1"]["ranking world, per image"]["noise"]["mean"] > 0.99
    assert rows["L1"].keys() == rows["1 − SSIM"].keys() and "style" not in rows["L1"]
    assert rows["same place"].keys() == {f"parts {kind}" for kind in ("people", "faces", "scenes")}


def test_part_scores_of_the_truth_itself():
    """The exemplar is the target: the nearest feature is the same place, whatever the look, if it tells places apart."""
    batch = People(32, "test").batch(torch.arange(2))
    size = (16, 16)
    index = corresponding(plain_looks()["same place"], batch.target, batch.exemplar)["place"][0]
    assert torch.equal(index[0], torch.arange(256).view(size))
    flow = torch.stack(torch.meshgrid(torch.arange(32) + 0.5, torch.arange(32) + 0.5, indexing="xy"))
    truth = batch.truth
    itself = type(truth)(flow.expand(2, -1, -1, -1), truth.target_part >= 0, target_part=truth.target_part,
                         exemplar_part=truth.target_part)  # fmt: skip
    same = type(batch)(batch.condition, batch.target, batch.target, batch.condition, batch.paired, itself)
    scores = part_scores(plain_looks()["same place"], same, same)
    assert all(torch.allclose(value, torch.ones(2)) for value in scores.values())


def test_distorted_copies_are_drawn_anew_at_every_strength():
    image = torch.full((2, 3, 32, 32), 0.5)
    shifts = distorted(image, "colour shift", torch.tensor([0, 1]))[..., 0, 0] - 0.5
    directions = torch.nn.functional.normalize(shifts.flatten(0, 1), dim=1)
    cosines = directions @ directions.T
    assert (cosines - torch.eye(16)).max() < 0.999
    assert torch.allclose(shifts.norm(dim=2) / shifts.norm(dim=2)[:, -1:], torch.tensor(STRENGTHS).expand(2, -1), atol=1e-5)
    l1 = plain_looks()["L1"]
    worse = distorted(image, "noise", torch.tensor([0, 1]))
    assert torch.allclose(distances(l1, image, worse), (worse - 0.5).abs().mean((2, 3, 4)))


def test_hands_paint_two_contents_and_the_gallery_holds_each_content_once():
    one, part = hands(torch.arange(4), 4, 32), hands(torch.tensor([2, 3]), 4, 32)
    assert torch.equal(one.query[2:], part.query) and torch.equal(one.gallery[2:], part.gallery)
    unpainted = [(one.gallery[i] - one.scene[(i + 2) % 4]).abs().mean() < (one.gallery[i] - one.scene[i]).abs().mean()
                 for i in range(4)]  # fmt: skip
    assert all(unpainted)


def test_style_difference_by_hand():
    style = torch.tensor([[0.0, 2.0], [3.0, 4.0], [3.0, 6.0]])
    expected = torch.tensor([[0, 1 + 0.5, 1 + 1], [1.5, 0, 0.5], [2, 0.5, 0]]) / 2
    assert torch.allclose(style_difference(style, [True, False]), expected)


def test_pictures_by_turns_do_not_depend_on_their_company():
    together, alone = world_pictures(torch.arange(6), 32), world_pictures(torch.tensor([5]), 32)
    assert torch.equal(together[5:], alone)
    assert len({picture.sum().item() for picture in together}) == 6
    mixed = both(torch.tensor([4, 5]), 32)
    assert torch.equal(mixed[:1], world_pictures(torch.tensor([2]), 32))
    assert torch.equal(mixed[1:], photographs(torch.tensor([2]), 32))


def test_searched_parts_are_those_of_the_place_that_was_found():
    search = search_parts(plain_looks(), "faces", 0, 1, 32)
    same_place, other = search.parts["same place"], search.parts["of the other"]
    inside = search.parts["true parts"] >= 0
    assert torch.equal(same_place[inside], other[inside]) and (same_place[~inside] == -1).all()
    there = inside & torch.isin(search.parts["true parts"], other)
    right = (search.parts["true parts"] == other)[there].float().mean()
    assert search.share["same place"] == pytest.approx(float(right)) and search.share.keys() == {"colours", "same place"}
    figure = part_maps([search, search], "Parts")
    words = [axis.get_xlabel() for axis in figure.axes]
    assert words.count(f"{right:.0%} right") == 2 and figure.axes[0].get_title() == "target"


@pytest.mark.parametrize("pairs, size", [(1, 64), (4, 40), (4, 8)])
def test_what_cannot_be_measured_is_refused(pairs, size):
    with pytest.raises(ValueError, match="expected at least 2, and a side that is a multiple of 16"):
        measure_network(features("fixed"), pairs, size)


# In words


def test_verdicts_follow_from_the_numbers():
    numbers = {"ranking world, pooled": {"blur": number(0.95), "noise": number(0.89), "warp": number(0.8)}, "style": {}}
    assert ranking_verdicts(numbers) == {"ranking world, pooled": {"blur": "yes", "noise": "perhaps", "warp": "no"}}
    lab = {
        "style": {"top-1": number(0.5), "ρ": number(0.3), "rank": number(0.1), "odd": number(math.nan)},
        "new": {"x": number(1)},
    }
    fixed = {"style": {"top-1": number(0.4), "ρ": number(0.32), "rank": number(0.2), "odd": number(0.1)}}
    found = compared(lab, fixed)
    assert found == {"style": {"top-1": "better", "ρ": "no difference shown", "rank": "worse", "odd": "no difference shown"}}
    text = verdict_text({"lab": ranking_verdicts(numbers)}, {"lab": found})
    assert "lab, ranking world, pooled: ρ ≥ 0.9 blur yes, noise perhaps, warp no; each of them: no" in text
    assert "lab better than fixed weights in 1 of 4: style top-1" in text and "worse than fixed weights in 1 of 4" in text


def test_firsts_give_each_number_to_one_look_and_parts_to_the_best_layer():
    rows = {"a": {"style": {"top-1": number(0.5)}, "parts people": {"other relu3_2": number(0.2), "other relu4": number(0.4)}},
            "b": {"parts people": {"other pixels": number(0.3)}, "style": {"top-1": number(0.6), "ρ": number(1.0)}},
            "c": {"style": {"ρ": number(0.99999)}}}  # fmt: skip
    assert firsts(rows) == {"a": ["parts people: other"], "b": ["style: top-1", "style: ρ"], "c": ["style: ρ"]}


def test_figures_say_what_was_found():
    image, worse = torch.rand(3, 16, 16), {family: torch.rand(2, 3, 16, 16) for family in ("blur", "noise")}
    far = {"L1": {"blur": torch.tensor([1.0, 2.0]), "noise": torch.tensor([3.0, 4.0])}}
    figure = distortion_strip(image, worse, (0.5, 1.0), far)
    words = [text.get_text() for axis in figure.axes for text in axis.texts]
    assert words == ["L1", "25", "50", "L1", "74", "99"]
    order = {"lab": torch.tensor([[2, 0, 1, 3]]), "fixed": torch.tensor([[0, 1, 3, 2]])}
    figure = retrieved_by_style(
        image[None], torch.rand(4, 3, 16, 16), torch.tensor([2]), {"medium": torch.tensor([0, 1, 1, 1])}, order
    )
    frames = [axis.spines["top"].get_linewidth() for axis in figure.axes]
    assert frames[1:4] == [2.6, 0.4, 1.2] and frames[6:9] == [0.4, 1.2, 1.2]
    words = [text.get_text() for axis in figure.axes for text in axis.texts]
    assert words == ["lab:\nright one at\nplace 1", "fixed:\nright one at\nplace 4"]
    curves = {"lab": {"blur": torch.tensor([[1.0, 2.0], [3.0, 4.0]])}}
    axis = distance_curves((0.5, 1.0), curves, {"lab": {"blur": 0.75}}).axes[0]
    assert axis.lines[0].get_ydata().tolist() == pytest.approx([2 / 3, 1]) and axis.texts[0].get_text() == "ρ 0.75"


def test_report_holds_every_number():
    rows = {"lab": {"style": {"top-1": number(0.5)}, "parts people": {"exemplar relu3_2": number(0.25)}},
            "L1": {"parts people": {"exemplar pixels": number(0.125)}}}  # fmt: skip
    text = report_text(rows)
    assert "lab, relu3_2  0.250 ±0.020" in text and "L1, pixels    0.125 ±0.020" in text and "lab  0.500 ±0.020" in text
    assert report_csv(rows).splitlines() == [
        "features,task,number,mean,half_width",
        "lab,style,top-1,0.5,0.02",
        "lab,parts people,exemplar relu3_2,0.25,0.02",
        "L1,parts people,exemplar pixels,0.125,0.02",
    ]


def test_networks_that_are_not_there_are_named_and_nothing_is_downloaded(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *_, **__: pytest.fail("a download was started"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.delenv("EXEMPLAR_LAB_VGG19", raising=False)
    found, missing = available_networks()
    assert found["fixed"].name == "fixed-seed-v1" and "EXEMPLAR_LAB_VGG19" in missing["vgg19"]
    broken = tmp_path / "vgg.pth"
    broken.write_bytes(b"no weights")
    monkeypatch.setenv("EXEMPLAR_LAB_VGG19", str(broken))
    assert "truncated or another file" in available_networks()[1]["vgg19"]


def test_command_prints_tables_and_writes_json_and_csv(command):
    assert "fixed-seed-v1, relu3_2" in command.printed and "not there: vgg19, no weights" in command.printed
    rows = command.report["rows"]
    assert rows.keys() == {"fixed-seed-v1", *plain_looks()} and command.report["against_fixed"] == {}
    assert len(command.lines) == 1 + sum(len(numbers) for row in rows.values() for numbers in row.values())


def test_command_refuses_a_wrong_suffix_before_it_measures(capsys, tmp_path):
    assert main(["features", "--csv", str(tmp_path / "report.json")]) == 2
    assert "expected a file name that ends in .csv" in capsys.readouterr().err


def test_one_draw_that_grows_is_more_of_the_same():
    image = torch.rand(2, 3, 32, 32)
    growing, fresh = (distorted(image, "colour shift", torch.tensor([3, 4]), growing=one) for one in (True, False))
    direction = torch.nn.functional.normalize((growing - image[:, None]).mean((3, 4)), dim=2)
    torch.testing.assert_close(direction, direction[:, -1:].expand_as(direction), atol=0.15, rtol=0)
    assert torch.equal(growing[:, 0], fresh[:, 0]) and not torch.allclose(growing[:, 1:], fresh[:, 1:], atol=0.05)
