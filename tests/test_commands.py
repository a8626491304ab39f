"""The commands that train and measure, at the smallest size, as a user types them."""

import json

import pytest

from exemplar_lab.benchmarks import correlation
from exemplar_lab.cli import main


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "small"
    assert main(["train", "cocosnet", "--profile", "smoke", "--device", "cpu", "--out", str(out)]) == 0
    return out


def test_trained_once_is_not_trained_again(run, capsys):
    before = (run / "log.csv").read_text()
    assert main(["train", "cocosnet", "--profile", "smoke", "--device", "cpu", "--out", str(run)]) == 0
    assert "cocosnet-people-smoke: trained already" in capsys.readouterr().out
    assert (run / "log.csv").read_text() == before


def test_evaluate_prints_a_table_and_writes_json_and_a_shipped_checkpoint(run, capsys, tmp_path):
    arguments = ["--pairs", "4", "--json", str(tmp_path / "numbers.json"), "--ship", str(tmp_path / "shipped")]
    assert main(["evaluate", str(run), *arguments, "--images", "--features", "fixed"]) == 0
    printed = capsys.readouterr().out
    assert all(row in printed for row in ("cocosnet-people-smoke", "oracle", "copy", "nearest label", "random", "pck@0.1"))
    rows = json.loads((tmp_path / "numbers.json").read_text())
    assert rows["oracle"]["pck@0.1"]["mean"] > 0.99 > rows["random"]["pck@0.1"]["mean"]
    shipped = json.loads((tmp_path / "shipped" / "checkpoint.json").read_text())
    assert shipped["numbers"] == rows and shipped["features"] == "fixed-seed-v1"
    assert rows["cocosnet-people-smoke"]["fd"]["features"] == "fixed-seed-v1"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["train", "cocosnet", "--profile", "laptop"], "got the profile 'laptop', expected one of smoke, cpu, gpu, paper"),
        (["train", "pix2pix"], "got the model 'pix2pix', expected one of cocosnet, dynast, matebit, msca"),
        (["train", "cocosnet", "--data", "no/such/folder"], "expected people, faces, scenes, paintings, photos, or an"),
        (["train", "cocosnet", "--variant", "cheap"], "got the variant 'cheap', expected one of full, without-domain"),
        (["evaluate", "no/such/run"], "no/such/run: no checkpoint there"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, message, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and "Traceback" not in error


def test_folder_without_photographs(tmp_path, capsys):
    assert main(["train", "cocosnet", "--profile", "smoke", "--data", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert str(tmp_path) in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_benchmark_compares_equal_things(monkeypatch, capsys):
    monkeypatch.setattr(correlation, "CASES", {"small": (2, 64, 8)})
    assert main(["benchmark", "correlation", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)["small"]
    assert report.keys() == {"plain", "sdpa", "ours", "masked plain", "masked"} and all(
        one["difference"] < 1e-4 for one in report.values()
    )
