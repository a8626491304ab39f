"""The evaluation suites: which pairs they hold, who may be scored on them, and what the command prints."""

import csv
import io
import json
import math
from dataclasses import fields, replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from exemplar_lab.cli import main
from exemplar_lab.data.synth.dials import DIALS, TIERS, dials_of
from exemplar_lab.data.synth.people import VERSION
from exemplar_lab.data.synth.suites import suite, suite_names
from exemplar_lab.data.synth.world import TASKS
from exemplar_lab.metrics.cells import copy_match, oracle_match, random_match
from exemplar_lab.metrics.matching import evaluate_matching, oracle_scores
from exemplar_lab.metrics.tables import summarise, table
from exemplar_lab.training import suite_report
from exemplar_lab.training.checkpoint import find_checkpoint, read_checkpoint
from exemplar_lab.training.evaluation import measure, score, sum_up, translate
from exemplar_lab.training.references import REFERENCES
from exemplar_lab.training.suite_report import Contestant, evaluate_suite, report_csv, report_text, without_nan, write_whole
from exemplar_lab.translation import Translation

GRID = (16, 16)
SHIPPED = "cocosnet-people-cpu"


def every_suite() -> list[tuple[str, str]]:
    return [(task, name) for task in TASKS for name in suite_names(task)]


@pytest.mark.parametrize("task, name", every_suite())
def test_a_suite_has_256_pairs_and_turns_one_dial_only(task, name):
    made = suite(name, task)
    assert made.pairs == 256 and (made.task, made.dial) == (task, name)
    counts = [level.pairs for level in made.levels]
    assert max(counts) - min(counts) <= 1
    assert all(level.indices.tolist() == list(range(level.pairs)) for level in made.levels)
    assert {level.source.split for level in made.levels} == {made.split} == {"ood" if name == "ood" else "test"}
    assert all(isinstance(level.source, TASKS[task]) and level.source.size == 64 for level in made.levels)
    assert len({level.name for level in made.levels}) == len(made.levels)
    if name in DIALS:
        assert [level.value for level in made.levels] == list(DIALS[name].levels)
        for level in made.levels:
            assert dials_of(level.source.tier, task) == replace(TIERS["medium"], **{name: level.value})
    else:
        assert [level.source.tier for level in made.levels] == [name if name in TIERS else "medium"]


@given(st.sampled_from(every_suite()), st.integers(8, 700), st.sampled_from(list(TIERS)))
def test_pairs_are_spread_evenly_whatever_their_number(which, pairs, tier):
    made = suite(which[1], which[0], 32, tier, pairs)
    counts = [level.pairs for level in made.levels]
    assert sum(counts) == pairs and max(counts) - min(counts) <= 1 and counts == sorted(counts, reverse=True)


def test_every_dial_of_a_task_has_a_suite():
    assert set(suite_names("people")) == {n for n, d in DIALS.items() if "people" in d.tasks} | {*TIERS, "ood"}
    assert {field.name for field in fields(TIERS["easy"])} >= set(suite_names("people")) - {*TIERS, "ood"}


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            ("unmatched",),
            r"got the suite 'unmatched' for people, .* choose a task that does \(scenes\), or one of the suites zoom",
        ),
        (("zooom",), "got the suite 'zooom', expected one of zoom, yaw"),
        (("zoom", "animals"), "got the task 'animals', expected one of people"),
        (("zoom", "people", 64, "harder"), "got tier 'harder', expected one of easy, medium, hard"),
        (("zoom", "people", 64, "easy", 7), "got 7 pairs for 8 levels of zoom"),
        (("zoom", "people", 8), "got size 8, expected an integer of at least 16"),
    ],
)
def test_what_cannot_be_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        suite(*arguments)


@pytest.fixture(scope="module")
def zoom():
    return evaluate_suite(suite("zoom", "people", 32, pairs=16), [Contestant("mine", lambda b: copy_match(len(b), GRID, GRID))])


def test_any_function_of_a_batch_is_scored_beside_the_references(zoom):
    assert [level["value"] for level in zoom["levels"]] == list(DIALS["zoom"].levels)
    for rows in [level["rows"] for level in zoom["levels"]] + [zoom["overall"]]:
        assert list(rows) == ["mine", *REFERENCES]
        assert rows["mine"] == rows["copy"] and "image_l1" not in rows["mine"]
        assert rows["oracle"]["epe"]["mean"] < rows["copy"]["epe"]["mean"] < rows["random"]["epe"]["mean"]
    about = {"task": "people", "dial": "zoom", "tier": "medium", "split": "test", "pairs": 16, "size": 32, "world": VERSION}
    assert zoom["suite"] == about and zoom["seed"] == 0


def test_the_same_pairs_at_every_level_and_the_dial_at_work(zoom):
    """The larger the exemplar's figure, the more of its pixels a query needs."""
    needed = [level["rows"]["oracle"]["links"]["mean"] for level in zoom["levels"]]
    assert needed[-1] > 2 * needed[3] and needed[0] == pytest.approx(1, abs=0.2)
    small, large = (level.source.batch(level.indices) for level in suite("zoom", "people", 32, pairs=16).levels[::7])
    assert torch.equal(small.target, large.target)


def test_numbers_are_those_of_one_level_measured_alone(zoom):
    level = suite("zoom", "people", 32, pairs=16).levels[2]
    batch = level.source.batch(level.indices)
    expected = summarise([oracle_scores(batch, GRID, GRID)])
    assert zoom["levels"][2]["rows"]["oracle"]["epe"] == expected["epe"]
    expected = summarise([evaluate_matching(random_match(2, GRID, GRID, 0), batch)])
    assert zoom["levels"][2]["rows"]["random"]["pck@0.1"] == expected["pck@0.1"]
    per_level = [row["rows"]["copy"]["epe"]["mean"] for row in zoom["levels"]]
    assert zoom["overall"]["copy"]["epe"]["mean"] == pytest.approx(sum(per_level) / 8, rel=1e-5)


def test_the_report_is_strict_json_a_table_and_csv(zoom):
    again = json.loads(json.dumps(zoom, allow_nan=False))
    assert again["levels"][0]["rows"]["copy"].keys() == zoom["overall"]["copy"].keys()
    text = report_text(again).splitlines()
    assert text[0].startswith(
        "zoom (size in the exemplar relative to the target): 16 test pairs of people, 32 × 32, tier medium"
    )
    assert {"epe", "cycle", "pck@0.1", "links_rank"} <= set(text[1].split())
    assert [line.split()[:2] for line in text[3:6]] == [["0.33", "mine"], ["0.33", "oracle"], ["0.33", "copy"]]
    assert len(text) == 1 + 2 * (2 + 9 * 5) + 1 and text[-1].startswith("overall  random") and max(map(len, text[1:])) <= 140
    lines = list(csv.DictReader(io.StringIO(report_csv([zoom, zoom]))))
    assert len(lines) == 2 * 9 * 5 * len(zoom["overall"]["copy"])
    one = next(line for line in lines if (line["level"], line["row"], line["number"]) == ("2", "copy", "epe"))
    assert float(one["mean"]) == zoom["levels"][5]["rows"]["copy"]["epe"]["mean"]


def test_answers_on_different_grids_have_references_each():
    source = suite("easy", "people", 32).levels[0].source
    answers = {n: lambda b, side=n: copy_match(len(b), (side, side), (side, side)) for n in (8, 16)}
    measured = score({str(n): answer for n, answer in answers.items()}, source, torch.arange(3), batch_size=2)
    assert list(measured) == ["8", "16"] + [f"{row} {n} × {n}" for n in (8, 16) for row in REFERENCES]
    torch.testing.assert_close(measured["8"], measured["copy 8 × 8"], equal_nan=True)
    assert all(value.shape == (3,) for row in measured.values() for value in row.values())


def test_models_are_measured_as_before():
    """The model of a batch is a function as any other; `measure` is the short form for one."""
    model, source = read_checkpoint(find_checkpoint(SHIPPED)).build(), suite("easy").levels[0].source
    long = score({"model": translate(model)}, source, torch.arange(2))
    torch.testing.assert_close(measure(model, source, 2), long, equal_nan=True)
    assert {"image_l1", "image_psnr", "image_ssim"} <= long["model"].keys()
    with pytest.raises(ValueError, match="got 0 pairs to measure"):
        measure(model, source, 0)


def test_the_transfer_of_classes_is_measured_where_its_truth_is_known(monkeypatch):
    """People's parts stand in for classes: an oracle match keeps to the part, and the oracle row gives the truth itself."""
    true = torch.rand(24, 24) + 24 * torch.eye(24)
    true = true / true.sum(-1, keepdim=True)
    monkeypatch.setitem(suite_report.TRANSFER, "people", lambda: true)
    keeps = Contestant("keeps", lambda b: oracle_match(b.truth, GRID, GRID))
    rows = evaluate_suite(suite("easy", "people", 32, pairs=6), [keeps])["overall"]
    assert rows["oracle"]["transfer_rank"]["mean"] == pytest.approx(1) == rows["oracle"]["cophenetic"]["mean"]
    assert abs(rows["random"]["transfer_rank"]["mean"]) < 0.3
    assert all({"transfer_rank", "cophenetic"} <= numbers.keys() for numbers in rows.values())
    measured = score({}, suite("easy", "people", 32).levels[0].source, torch.arange(2), transfer=true)
    diagonal = measured["oracle"]["transfer"].diagonal(dim1=1, dim2=2)
    assert measured["oracle"]["transfer"].shape == (2, 24, 24) and diagonal.nan_to_num(1).min() > 0.6
    torch.testing.assert_close(measured["oracle"]["transfer"], measured["oracle"]["expected_transfer"], equal_nan=True)
    assert {"transfer", "expected_transfer"}.isdisjoint(sum_up(measured)["oracle"])


def test_a_model_takes_part_where_its_condition_is_shown():
    made = suite("gap", "people", 32, pairs=6)
    channels = [level.source.condition_channels for level in made.levels]
    edges = Contestant("edges", lambda b: copy_match(len(b), GRID, GRID), channels[-1], 32)
    report = evaluate_suite(made, [edges])
    assert ["edges" in level["rows"] for level in report["levels"]] == [c == channels[-1] for c in channels]
    assert len(set(channels)) > 1 and "edges" not in report["overall"] and "oracle" in report["overall"]
    first = evaluate_suite(made, [edges._replace(name="first", channels=channels[0])])
    assert "first" in first["levels"][0]["rows"] and "first" not in first["overall"]
    for wrong in (edges._replace(channels=3), edges._replace(size=64)):
        with pytest.raises(ValueError, match=r"got edges, trained for conditions of .* channels at .*, expected .* at 32 × 32"):
            evaluate_suite(made, [wrong])


def test_images_of_a_translation_are_judged_too():
    def answer(batch):
        match = copy_match(len(batch), GRID, GRID)
        return Translation(batch.target, (), (match,))

    measured = score({"perfect": answer}, suite("easy", "people", 32).levels[0].source, torch.arange(2), references=False)
    assert list(measured) == ["perfect"] and measured["perfect"]["image_l1"].max() == 0


def test_the_command_prints_json_and_nothing_else(capsys):
    assert main(["evaluate", "--suite", "extras", "--pairs", "4", "--size", "32", "--device", "cpu", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    (report,) = printed["suites"]
    assert [level["name"] for level in report["levels"]] == ["0", "1"]
    assert list(report["overall"]) == list(REFERENCES) and report["suite"]["dial"] == "extras"
    assert all(math.isfinite(report["overall"][row]["epe"]["mean"]) for row in report["overall"])


def test_the_command_scores_a_shipped_model_and_writes_files(capsys, tmp_path):
    files = tmp_path / "new" / "numbers.json", tmp_path / "numbers.csv"
    arguments = ["--pairs", "2", "--device", "cpu", "--json", str(files[0]), "--csv", str(files[1])]
    assert main(["evaluate", SHIPPED, SHIPPED, "--suite", "easy", *arguments]) == 0
    out = capsys.readouterr().out
    assert "easy: 2 test pairs of people, 64 × 64, tier easy" in out and out.split("\n\n")[0].count(f"easy  {SHIPPED} ") == 1
    report = json.loads(files[0].read_text())["suites"][0]
    assert "image_l1" in report["overall"][SHIPPED]
    assert files[1].read_text().startswith("task,suite,level,row,number,mean,half_width,low,high,features\npeople,easy,easy,")
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["numbers.csv", "numbers.json"]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--suite", "unmatched"], "got the suite 'unmatched' for people"),
        (["--suite", "zoom", "--task", "animals"], "got the task 'animals'"),
        (["--suite", "zoom", "--json", SHIPPED], f"got --json {SHIPPED}, expected a file name that ends in .json"),
        (["--suite", "zoom", "--csv", "out.txt"], "got --csv out.txt, expected a file name that ends in .csv"),
        ([SHIPPED, "--suite", "easy", "--size", "32"], f"got {SHIPPED}, trained for conditions of 35 channels at 64 × 64"),
        ([SHIPPED, "--suite", "easy", "--ship", "there"], "got --ship with a suite"),
        ([], "got no checkpoints without a suite, expected one checkpoint, or --suite"),
        ([SHIPPED, SHIPPED], "got 2 checkpoints without a suite"),
        ([SHIPPED, "--csv", "out.csv"], "got --csv without a suite"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, message, capsys):
    assert main(["evaluate", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_what_is_not_known_is_null():
    rows = {"a": {"epe": {"mean": math.nan, "half_width": math.inf}, "cycle": {"mean": 1.0, "half_width": 0.0}}}
    assert without_nan(rows) == {"a": {"epe": {"mean": None, "half_width": None}, "cycle": {"mean": 1.0, "half_width": 0.0}}}
    assert table(without_nan(rows), ("epe", "cycle")) == table(rows, ("epe", "cycle"))


def test_a_file_is_there_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "numbers.json"
    write_whole(path, "old")
    monkeypatch.setattr(suite_report.os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_whole(path, "new")
    assert path.read_text() == "old"


def test_a_suite_asks_for_no_more_than_there_is():
    with pytest.raises(ValueError, match="got 99999 pairs for 8 levels of zoom, expected at most 16000"):
        suite("zoom", pairs=99999)
    assert suite("zoom", pairs=16000).levels[0].pairs == 2000


def test_an_odd_size_is_refused_before_anything_is_measured(capsys):
    assert main(["evaluate", "--suite", "zoom", "--size", "33"]) == 2
    assert "got --size 33, expected an even number" in capsys.readouterr().err


def test_who_is_not_asked_is_told(capsys):
    """A checkpoint brings its task along, and what it was not trained for is said under the table."""
    arguments = ["--pairs", "3", "--device", "cpu"]
    assert main(["evaluate", "cocosnet-scenes-cpu", "--suite", "gap", *arguments]) == 0
    out = capsys.readouterr().out
    assert "3 test pairs of scenes" in out
    assert out.strip().endswith("cocosnet-scenes-cpu was not asked at edges: trained for other conditions")
