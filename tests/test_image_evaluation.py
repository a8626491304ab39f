"""Images measured beside their references: each number alone, records that join, one answer for everything, and the command."""

import csv
import json
import math
from dataclasses import fields, replace

import pytest
import torch
import torch.nn.functional as F

from exemplar_lab.cli import main
from exemplar_lab.correspondence import SparseMatch
from exemplar_lab.data.photos import Photographs
from exemplar_lab.data.synth.suites import suite
from exemplar_lab.metrics import image
from exemplar_lab.metrics.cells import copy_match
from exemplar_lab.metrics.frechet import frechet_distance, moments, pooled
from exemplar_lab.metrics.image import (
    IMAGE_NUMBERS,
    OF_REGIONS,
    OF_SETS,
    SET_LAYER,
    THROUGH_FEATURES,
    image_statistics,
    join_statistics,
    on_their_span,
    sum_up_images,
)
from exemplar_lab.metrics.kernel import kernel_distance, kernel_sums
from exemplar_lab.metrics.perceptual import PERCEPTUAL_LAYERS, gram_style_distance, perceptual_distance
from exemplar_lab.metrics.regions import colour_consistency, resized, semantic_consistency, texture_consistency
from exemplar_lab.metrics.resampling import half_times
from exemplar_lab.metrics.sliced import patches, sliced_wasserstein
from exemplar_lab.metrics.structure import content_ssim
from exemplar_lab.metrics.tables import table
from exemplar_lab.nn.features import features
from exemplar_lab.training.evaluation import ask
from exemplar_lab.training.image_evaluation import (
    batch_statistics,
    image_tables,
    joined_statistics,
    made_images,
    measure_images,
    score_with_images,
    sum_up_all,
)
from exemplar_lab.training.references import REFERENCES, oracle_image, reference_matches, warped_image
from exemplar_lab.training.suite_report import Contestant, evaluate_suite, report_csv, report_text
from exemplar_lab.translation import Translation

GRID = (16, 16)
SHIPPED = "cocosnet-people-cpu"


@pytest.fixture(scope="module", autouse=True)
def smaller_regions():
    """At 64 px, which takes a sixteenth of the time; the test of each number sets it back."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image, "REGION_SIDE", 64)
        yield


@pytest.fixture(scope="module")
def network():
    return features("fixed")


@pytest.fixture(scope="module")
def source():
    return suite("medium", "people", 32).levels[0].source


@pytest.fixture(scope="module")
def batch(source):
    return source.batch(torch.arange(4))


@pytest.fixture(scope="module")
def measured(source, network):
    """Sixteen pairs, the target itself among the answers."""
    answers = {"perfect": lambda b: Translation(b.target, (), (copy_match(len(b), GRID, GRID),))}
    return sum_up_all(measure_images(answers, source, torch.arange(16), network, draws=20, batch_size=8))


def test_each_number_is_that_of_its_own_function(batch, network, monkeypatch):
    monkeypatch.setattr(image, "REGION_SIDE", 256)
    made = (batch.target.flip(-1) * 1.2).clamp(0, 1)
    found = image_statistics(made, batch, network, torch.arange(4), draws=3)
    of_made, of_target, of_exemplar = (network(each, PERCEPTUAL_LAYERS) for each in (made, batch.target, batch.exemplar))
    large = [network(resized(each), PERCEPTUAL_LAYERS) for each in (made, batch.target, batch.exemplar)]
    target, exemplar = batch.truth.target_part + 1, batch.truth.exemplar_part + 1
    expected = {
        "l1": (made - batch.target).abs().mean((1, 2, 3)),
        "psnr": -10 * (made - batch.target).square().mean((1, 2, 3)).log10(),
        "content_ssim": content_ssim(made, batch.target),
        "perceptual": perceptual_distance(of_made, of_target),
        "style": gram_style_distance(of_made, of_exemplar),
        "semantic": semantic_consistency(large[0], large[1], target),
        "colour": colour_consistency(large[0], large[2], target, exemplar),
        "texture": texture_consistency(large[0], large[2], target, exemplar),
    }
    assert expected.keys() | {"ssim"} == found.values.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found.values[name], value, rtol=1e-4, atol=1e-5, equal_nan=True)
    numbers = sum_up_images(found)
    assert list(numbers) == list(IMAGE_NUMBERS)
    times = half_times(torch.arange(4), 3)
    vectors = [pooled(each[SET_LAYER]) for each in (of_target, of_made)]
    fd = frechet_distance(*(moments(each, times) for each in vectors))
    assert numbers["fd"]["mean"] == pytest.approx(float(fd[0]), rel=1e-3)
    kd = kernel_distance(kernel_sums(vectors[1], vectors[0], torch.arange(4), times))
    assert numbers["kd"]["mean"] == pytest.approx(float(kd[0]), rel=1e-3)
    swd = sliced_wasserstein(*(patches(each, torch.arange(4), seed) for each, seed in ((made, 1), (batch.target, 0))))
    assert numbers["swd"]["mean"] == pytest.approx(float(swd.mean()), rel=1e-4)
    assert {name for name, number in numbers.items() if number.get("features")} == set(THROUGH_FEATURES)
    assert numbers["fd"]["features"] == network.name == "fixed-seed-v1"


@pytest.fixture
def of_few(monkeypatch):
    """Intervals of few images too, which keeps tests short."""
    monkeypatch.setattr("exemplar_lab.metrics.image.LEAST", {"fd": 2, "kd": 2, "swd": 2})


def test_few_images_have_no_interval_of_sets(batch, network):
    numbers = sum_up_images(image_statistics(batch.exemplar, batch, network, torch.arange(4), draws=40))
    for name in OF_SETS:
        assert math.isfinite(numbers[name]["mean"]) and math.isnan(numbers[name]["low"]) and math.isnan(numbers[name]["high"])
    assert numbers["l1"]["half_width"] > 0


def test_records_join_to_the_record_of_all_in_any_order(batch, network, of_few):
    made, number = batch.exemplar, torch.tensor([5, 0, 9, 2])
    whole = sum_up_images(image_statistics(made, batch, network, number, draws=40))
    parts = [image_statistics(made[rows], batch[rows], network, number[rows], draws=40) for rows in ([2, 0], [3], [1])]
    for joined in (join_statistics(parts), join_statistics([join_statistics(parts[:2]), parts[2]])):
        assert joined.number.tolist() == [9, 5, 2, 0]
        for name, number in sum_up_images(joined).items():
            for key in ("mean", "low", "high") if "low" in number else ("mean",):
                assert number[key] == pytest.approx(whole[name][key], rel=1e-3, abs=1e-4, nan_ok=name == "kd"), (name, key)
    with pytest.raises(ValueError, match="got no statistics"):
        join_statistics([])
    with pytest.raises(ValueError, match="expected one network and the same numbers"):
        join_statistics([parts[0], replace(parts[1], features="another")])


def test_what_is_kept_does_not_hold_the_images(batch, network):
    """The size of the sums is that of one image; of each image a few values stay."""
    one, all_four = (
        image_statistics(part.exemplar, part, network, torch.arange(len(part)), draws=5) for part in (batch[:1], batch)
    )
    for name in ("made", "target"):
        sums = (getattr(each, name) for each in (one, all_four))
        assert len({tuple(getattr(each, field.name).shape for field in fields(each)) for each in sums}) == 1
    assert all(value.shape == (4,) for value in all_four.values.values())


@pytest.mark.parametrize("images", [3, 7, 40])
def test_the_distance_is_the_same_in_the_directions_that_images_take(images):
    times = half_times(torch.arange(images), 4)
    one, other = (moments(torch.randn(images, 24).relu() * (0.5 + k), times) for k in (0, 1))
    fewer = on_their_span(one, other)
    assert fewer[0].total.shape[1] == min(24, 2 * images)
    torch.testing.assert_close(frechet_distance(*fewer), frechet_distance(one, other), rtol=1e-6, atol=1e-6, equal_nan=True)


def test_images_are_cut_to_what_a_file_can_hold(batch, network):
    pale = batch.target * 1.5 - 0.2
    found, cut = (image_statistics(one, batch, network, torch.arange(4), 2) for one in (pale, pale.clamp(0, 1)))
    torch.testing.assert_close(found.values, cut.values, equal_nan=True)
    with pytest.raises(ValueError, match=r"got images of \(4, 3, 16, 16\) for targets of \(4, 3, 32, 32\)"):
        image_statistics(F.avg_pool2d(pale, 2), batch, network, torch.arange(4))


def test_references_lie_where_they_must(measured):
    assert list(measured) == ["perfect", *REFERENCES]
    mean = {row: {name: number["mean"] for name, number in numbers.items()} for row, numbers in measured.items()}
    perfect = mean["perfect"]
    assert perfect["l1"] == 0 and perfect["psnr"] == pytest.approx(100)
    assert all(perfect[name] == pytest.approx(1, abs=1e-4) for name in ("ssim", "content_ssim", "semantic"))
    assert perfect["perceptual"] == pytest.approx(0, abs=1e-6) and perfect["fd"] == pytest.approx(0, abs=1e-4)
    assert mean["copy"]["style"] == 0 < mean["oracle"]["style"]
    assert mean["oracle"]["l1"] < mean["copy"]["l1"] < mean["random"]["l1"]
    for name in ("fd", "kd", "swd", "perceptual"):
        assert mean["random"][name] == max(row[name] for row in mean.values()), name
        assert mean["perfect"][name] < mean["random"][name]
    for name in ("ssim", *OF_REGIONS):
        assert mean["random"][name] == min(row[name] for row in mean.values()), name
    assert mean["oracle"]["colour"] > mean["nearest label"]["colour"] > mean["copy"]["colour"]


def test_the_exemplar_has_its_own_colours_where_it_has_its_own_labels(batch, network):
    same = replace(batch.truth, target_part=batch.truth.exemplar_part)
    found = image_statistics(batch.exemplar, replace(batch, truth=same), network, torch.arange(4), 2)
    torch.testing.assert_close(found.values["colour"], torch.ones(4))
    torch.testing.assert_close(found.values["texture"], torch.ones(4))


def test_the_oracle_reads_the_true_place_and_else_the_same_place(batch):
    moved, truth = oracle_image(batch), batch.truth
    assert torch.equal(moved.movedim(1, -1)[~truth.visible], batch.exemplar.movedim(1, -1)[~truth.visible])
    n, y, x = truth.visible.nonzero()[::37].unbind(1)
    for one in zip(n.tolist(), y.tolist(), x.tolist(), strict=True):
        u, v = (float(each) - 0.5 for each in truth.flow[one[0], :, one[1], one[2]])
        expected = torch.zeros(3)
        for j, i in ((math.floor(v) + a, math.floor(u) + b) for a in (0, 1) for b in (0, 1)):
            corner = batch.exemplar[one[0], :, min(max(j, 0), 31), min(max(i, 0), 31)]
            expected += corner * (1 - abs(u - i)) * (1 - abs(v - j))
        torch.testing.assert_close(moved[one[0], :, one[1], one[2]], expected, rtol=1e-4, atol=1e-5)


def test_the_warp_of_a_match_is_shown_as_a_model_s_is(batch):
    match = reference_matches(batch, GRID, GRID, seed=3)["random"]
    cells = F.avg_pool2d(batch.exemplar, 2).flatten(2).gather(2, match.index[:, None, :, 0].expand(-1, 3, -1))
    shown = F.interpolate(cells.unflatten(2, GRID), (32, 32), mode="bilinear", align_corners=False)
    torch.testing.assert_close(warped_image(match, batch), shown)


def test_every_model_is_asked_once_for_each_batch(source, network):
    asked = []

    def answer(batch):
        asked.append(len(batch))
        return Translation(batch.exemplar, (), (copy_match(len(batch), GRID, GRID),))

    scores, images = score_with_images({"mine": answer}, source, torch.arange(5), network, draws=2, batch_size=2)
    assert asked == [2, 2, 1]
    assert list(scores) == list(images) == ["mine", *REFERENCES]
    torch.testing.assert_close(images["mine"].values, images["copy"].values, equal_nan=True)
    torch.testing.assert_close(images["mine"].values["l1"], scores["mine"]["image_l1"])
    alone = measure_images({"mine": answer}, source, torch.arange(5), network, draws=2, batch_size=2)
    assert sum_up_all(alone) == sum_up_all(images)


def test_a_match_without_a_generator_is_judged_by_its_warp_and_grids_have_references_each(source, network):
    answers = {str(n): lambda b, side=n: copy_match(len(b), (side, side), (side, side)) for n in (8, 16)}
    (asked,) = ask(answers, source, torch.arange(2))
    images = made_images(asked)
    assert list(images) == ["8", "16", "oracle", "copy"] + [
        f"{row} {n} × {n}" for n in (8, 16) for row in ("nearest label", "random")
    ]
    torch.testing.assert_close(images["8"], warped_image(answers["8"](asked.batch), asked.batch))
    assert batch_statistics(asked, network, draws=1).keys() == images.keys()
    assert isinstance(asked.references[" 8 × 8"]["nearest label"], SparseMatch)


def test_photographs_have_no_parts_hence_no_regions_and_no_nearest_label(network):
    rows = sum_up_all(measure_images({}, Photographs(32, "val"), torch.arange(3), network, draws=2))
    assert list(rows) == ["oracle", "copy", "random"]
    assert all(set(numbers) == set(IMAGE_NUMBERS) - set(OF_REGIONS) for numbers in rows.values())
    assert rows["oracle"]["l1"]["mean"] < 0.5 * rows["copy"]["l1"]["mean"]
    assert "no regions, because no parts are known" in image_tables(rows, network.name)


def test_levels_of_a_dial_are_drawn_together(network, of_few):
    """Two levels that show the same: as one twice, the interval is that of one, not narrower."""
    source = suite("easy", "people", 32).levels[0].source
    once = measure_images({}, source, torch.arange(6), network, draws=20)
    twice = sum_up_all(joined_statistics(once, once))["random"]
    for name, number in sum_up_all(once)["random"].items():
        if name not in ("fd", "kd", "swd"):  # these see twice as many images, and know it
            assert twice[name]["half_width"] == pytest.approx(number["half_width"], rel=0.15), name
    assert twice["fd"]["half_width"] == pytest.approx(sum_up_all(once)["random"]["fd"]["half_width"], rel=0.3)


def test_one_pair_alone_has_no_distance_between_sets(source, network):
    numbers = sum_up_all(measure_images({}, source, torch.arange(1), network, draws=3))["random"]
    assert math.isnan(numbers["fd"]["mean"]) and math.isnan(numbers["kd"]["mean"]) and numbers["l1"]["mean"] > 0


def test_a_suite_with_images_is_one_report(network, of_few):
    mine = Contestant("mine", lambda b: Translation(b.target, (), (copy_match(len(b), GRID, GRID),)))
    made = suite("extras", "people", 32, pairs=4)
    report, without = evaluate_suite(made, [mine], network=network, draws=40), evaluate_suite(made, [mine])
    assert report["features"] == "fixed-seed-v1" and without["features"] is None
    for with_images, plain in zip(report["levels"], without["levels"], strict=True):
        for row, numbers in plain["rows"].items():
            assert numbers.items() <= with_images["rows"][row].items()
            assert with_images["rows"][row].keys() - numbers.keys() == set(IMAGE_NUMBERS)
    assert report["overall"]["copy"]["l1"]["mean"] == pytest.approx(
        sum(level["rows"]["copy"]["l1"]["mean"] for level in report["levels"]) / 2
    )
    assert report["overall"]["mine"]["fd"]["mean"] == pytest.approx(0, abs=1e-4)
    text = report_text(json.loads(json.dumps(report, allow_nan=False)))
    assert "through fixed-seed-v1" in text and "at 256 px" in text and "FD is not FID" in text
    assert max(map(len, text.splitlines()[1:])) <= 140
    assert all(f"  {name}" in text for name in IMAGE_NUMBERS)
    lines = list(csv.DictReader(report_csv([report]).splitlines()))
    named = {line["number"] for line in lines if line["features"] == "fixed-seed-v1"}
    assert named == set(THROUGH_FEATURES) and {line["features"] for line in lines} == {"", "fixed-seed-v1"}
    fd = next(line for line in lines if line["number"] == "fd" and line["low"])
    assert float(fd["high"]) - float(fd["low"]) == pytest.approx(2 * float(fd["half_width"]), rel=1e-6)


def test_who_was_not_asked_at_every_level_has_no_images_over_all(network):
    made = suite("gap", "people", 32, pairs=4)
    channels = [level.source.condition_channels for level in made.levels]
    edges = Contestant("edges", lambda b: copy_match(len(b), GRID, GRID), channels[-1], 32)
    report = evaluate_suite(made, [edges], network=network, draws=1)
    assert ["l1" in level["rows"].get("edges", {}) for level in report["levels"]] == [c == channels[-1] for c in channels]
    assert len(set(channels)) > 1 and list(report["overall"]) == list(REFERENCES)
    assert "edges was not asked at" in report_text(report)


def test_wide_tables_are_cut_into_several_and_intervals_have_both_ends():
    number = {"mean": 1.0, "half_width": 0.25}
    rows = {"a row": {"epe": number, "l1": number, "fd": {**number, "low": 0.5, "high": 1.0}}}
    whole = table(rows, ("epe", "l1", "fd"))
    assert whole.count("\n") == 2 and "1.000 ±0.250" in whole and "1.000 [0.500, 1.000]" in whole
    cut = table(rows, ("epe", "l1", "fd"), width=40).split("\n\n")
    assert [part.split("\n")[0].split() for part in cut] == [["epe", "l1"], ["fd"]]
    assert all(part.split("\n")[2].startswith("a row") for part in cut)
    narrow = table(rows, ("epe", "l1", "fd"), 10).split("\n\n")
    assert [part.split("\n")[0].split() for part in narrow] == [["epe"], ["l1"], ["fd"]]


def test_the_command_gives_the_full_table_of_a_shipped_model(capsys, tmp_path):
    arguments = ["--images", "--features", "fixed", "--pairs", "2", "--device", "cpu"]
    assert main(["evaluate", SHIPPED, *arguments, "--json", str(tmp_path / "numbers.json")]) == 0
    out = capsys.readouterr().out
    assert "through fixed-seed-v1" in out and "nearest label" in out and "pck@0.1" in out
    rows = json.loads((tmp_path / "numbers.json").read_text())
    assert set(rows) == {SHIPPED, *REFERENCES}
    assert all({"epe", *IMAGE_NUMBERS} <= numbers.keys() for numbers in rows.values())
    assert rows[SHIPPED]["l1"]["mean"] == pytest.approx(rows[SHIPPED]["image_l1"]["mean"])
    assert rows[SHIPPED]["fd"]["features"] == "fixed-seed-v1"


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([SHIPPED, "--images", "--features", "inception"], "got the features 'inception', expected one of fixed, lab, vgg19"),
        (["--suite", "zoom", "--images", "--features", "FID"], "got the features 'FID', expected one of fixed, lab, vgg19"),
        ([SHIPPED, "--features", "fixed"], "got --features fixed without --images, expected both"),
        ([SHIPPED, "--pairs", "0"], "got 0 pairs to measure, expected at least 1"),
        ([SHIPPED, "--images", "--pairs", "-3"], "got -3 pairs to measure, expected at least 1"),
        (["dynast-style-cpu", "--images"], "got --images for dynast-style-cpu, a checkpoint of style transfer"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, message, capsys):
    assert main(["evaluate", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_references_are_made_only_where_they_are_asked_for(source, monkeypatch):
    made = []
    monkeypatch.setattr("exemplar_lab.training.evaluation.reference_matches", lambda *given: made.append(given) or {})
    answers = {"mine": lambda batch: copy_match(len(batch), GRID, GRID)}
    assert [asked.references for asked in ask(answers, source, torch.arange(2), references=False)] == [{}]
    assert not made
    assert [list(asked.references) for asked in ask(answers, source, torch.arange(2))] == [[""]] and len(made) == 1
