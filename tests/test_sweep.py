"""Grids of notebooks: refused before they start, run once, going on after a kill, gathered into one table and one figure."""

import csv
import io
import os
import signal
import subprocess
import sys
import time
from argparse import ArgumentTypeError

import nbformat
import numpy as np
import pytest
import torch

from exemplar_lab import sweep
from exemplar_lab.cli import main
from exemplar_lab.commands.sweep import name_and_values
from exemplar_lab.notebook import report, reported
from exemplar_lab.sweep import make_points, read_result, results_csv, run_points
from exemplar_lab.viz.sweep import _interval, sweep_figure

PARAMETERS = """profile: str = "smoke"
top_k: int = 4
rate: float = 0.5
seed: int = 0
"""
CHECK = """from exemplar_lab.notebook import check_parameters, report

P = check_parameters(globals(), profile=("smoke", "cpu"), top_k=int, rate=float, seed=int)
"""


def write_notebook(path, body="report(pck=0.1 * P.top_k)", check=CHECK):
    cells = [nbformat.v4.new_code_cell(source) for source in (PARAMETERS, check, body)]
    cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("words"), *cells]), path)
    return path


@pytest.fixture
def notebook(tmp_path):
    return write_notebook(tmp_path / "lesson.ipynb")


class Pretend:
    """In place of `start_point`: papermill's output is there at once, the process ends after `seconds`."""

    def __init__(self, fails=lambda values: False, seconds=0.0):
        self.fails, self.seconds, self.given, self.processes, self.threads = fails, seconds, [], [], set()

    def __call__(self, notebook, out, values, threads, errors):
        self.given.append(values)
        self.threads.add(threads)
        made, fails = nbformat.read(notebook, as_version=4), self.fails(values)
        made.cells[-1].execution_count = 4
        if fails:
            shown = nbformat.v4.new_output("error", ename="ValueError", evalue="unlucky", traceback=[])
        else:
            data = report(pck=0.1 * values.get("top_k", 4), epe=3.0)._repr_mimebundle_()
            shown = nbformat.v4.new_output("execute_result", data, execution_count=4)
        made.cells[-1].outputs = [shown]
        nbformat.write(made, out)
        code = f"import sys, time\ntime.sleep({self.seconds})\nsys.exit({int(fails)})"
        self.processes.append(subprocess.Popen([sys.executable, "-S", "-c", code], stdin=subprocess.PIPE))
        return self.processes[-1]


def run(notebook, points, start, jobs=2):
    return [now.ended for now in run_points(notebook, points, jobs, start) if now.ended]


def table(points):
    text = results_csv([result for point in points if (result := read_result(point))])
    return list(csv.DictReader(io.StringIO(text)))


def test_a_grid_has_all_points_and_the_last_axis_runs_fastest(notebook, tmp_path):
    points = make_points(notebook, {"top_k": [1, 2], "profile": ["cpu"], "seed": [0, 1]}, tmp_path)
    assert [point.label for point in points] == [f"top_k={k}, seed={s}" for k in (1, 2) for s in (0, 1)]
    assert points[1].given == {"top_k": 1, "profile": "cpu", "seed": 1}
    assert points[1].parameters == {"profile": "cpu", "top_k": 1, "rate": 0.5, "seed": 1}
    assert len({point.path for point in points}) == 4 and not list(tmp_path.glob("*cpu*"))


def test_without_axes_there_is_one_point(notebook, tmp_path):
    (point,) = make_points(notebook, {}, tmp_path)
    assert (point.label, point.given) == ("lesson", {})


def only_path(notebook, folder, **given):
    return make_points(notebook, {name: [value] for name, value in given.items()}, folder)[0].path


def test_the_key_is_parameters_code_cells_and_version(notebook, tmp_path, monkeypatch):
    path = only_path(notebook, tmp_path, seed=1, rate=2)
    assert path == only_path(notebook, tmp_path, rate=2.0, seed=1, top_k=4), "defaults and order say nothing new"
    assert path != only_path(notebook, tmp_path, seed=1, rate=2, top_k=5)
    changed = nbformat.read(notebook, as_version=4)
    changed.cells[0].source = "other words"
    changed.cells[-1].outputs = [nbformat.v4.new_output("stream", text="out")]
    nbformat.write(changed, notebook)
    assert path == only_path(notebook, tmp_path, seed=1, rate=2)
    monkeypatch.setattr(sweep, "__version__", "9.9")
    assert path != only_path(notebook, tmp_path, seed=1, rate=2)
    monkeypatch.undo()
    write_notebook(notebook, "report(pck=0.2)")
    assert path != only_path(notebook, tmp_path, seed=1, rate=2)


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"topk": [1]}, "got a parameter 'topk', expected one of profile, top_k, rate, seed; did you mean 'top_k'?"),
        ({"top_k": [1, "two"]}, "got top_k = 'two' (str), expected an integer"),
        ({"seed": [0, True]}, "got seed = True (bool), expected an integer"),
        ({"profile": ["cpu", "laptop"]}, "got profile = 'laptop' (str), expected 'smoke' or 'cpu'"),
        ({"seed": []}, "got no value for seed, expected one or more"),
        ({"rate": [1, 2, 1.0]}, "got rate = 1.0 twice, expected each value once"),
        (
            {"seed": list(range(100)), "top_k": list(range(11))},
            "got a grid of 1100 points, expected at most 1000: name fewer values, or raise --limit",
        ),
    ],
)
def test_a_grid_with_a_fault_is_refused_whole(notebook, tmp_path, axes, message):
    with pytest.raises(ValueError) as refusal:
        make_points(notebook, axes, tmp_path)
    assert str(refusal.value) == message


def test_a_check_that_only_the_kernel_can_read_leaves_the_types_of_the_cell(tmp_path):
    path = write_notebook(
        tmp_path / "a.ipynb", check=CHECK.replace('("smoke", "cpu")', "PROFILES").replace("seed=int", "**more")
    )
    make_points(path, {"profile": ["laptop"]}, tmp_path)
    with pytest.raises(ValueError, match="got seed = 'x'"):
        make_points(path, {"seed": ["x"]}, tmp_path)


@pytest.mark.parametrize("arguments", [["-p", "topk=1"], ["-p", "seed=0", "-p", "seed=1"]])
def test_the_command_refuses_before_it_starts(notebook, tmp_path, monkeypatch, capsys, arguments):
    monkeypatch.setattr(sweep, "start_point", pytest.fail)
    assert main(["sweep", str(notebook), "--out", str(tmp_path / "out"), *arguments]) == 2
    assert capsys.readouterr().err.count("\n") == 1 and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a=1,2,4", [1, 2, 4]),
        ("a=cpu", ["cpu"]),
        ("a=full,without-domain", ["full", "without-domain"]),
        ("a=1e-3, none,true", [0.001, None, True]),
        ("a='x,y',z", ["x,y", "z"]),
        ("a=[1,2],[3]", [[1, 2], [3]]),
        ("a=(1,2)", [(1, 2)]),
        ("a={'b': (1, ')')},'it\\'s'", [{"b": (1, ")")}, "it's"]),
        ("a=''", [""]),
        ("a=x=y", ["x=y"]),
    ],
)
def test_values_of_an_axis(text, values):
    assert name_and_values(text) == ("a", values)


@pytest.mark.parametrize("text", ["a", "a=", "a=1,,2", "a=1,", "2a=1"])
def test_no_values_of_an_axis(text):
    with pytest.raises(ArgumentTypeError, match="expected NAME=VALUE"):
        name_and_values(text)


def test_complete_points_are_not_run_again(notebook, tmp_path):
    points = make_points(notebook, {"top_k": [1, 2], "seed": [0, 1]}, tmp_path / "out")
    first = Pretend()
    assert len(run(notebook, points, first)) == 4 and len(first.given) == 4
    assert first.threads == {max(1, sweep._cores() // 2)}
    again = make_points(notebook, {"seed": [0, 1, 2], "top_k": [2]}, tmp_path / "out")
    second = Pretend()
    assert [ended.point.label for ended in run(notebook, again, second)] == ["seed=2"]
    assert second.given == [{"seed": 2, "top_k": 2}] and second.threads == {sweep._cores()}
    rows = table(points)
    assert [(row["top_k"], row["seed"], row["pck"]) for row in rows] == [
        (k, s, p) for k, p in (("1", "0.1"), ("2", "0.2")) for s in "01"
    ]
    assert list(rows[0]) == ["profile", "top_k", "rate", "seed", "pck", "epe", "seconds", "code", "error", "notebook"]
    assert rows[0]["profile"] == "smoke" and rows[0]["code"] == sweep.code_hash()
    assert all((tmp_path / "out" / row["notebook"]).exists() and float(row["seconds"]) >= 0 for row in rows)
    assert [path.name for path in (tmp_path / "out").glob(".*")] == [".lock"]


def test_a_failed_point_is_kept_and_tried_again(notebook, tmp_path):
    points = make_points(notebook, {"seed": [0, 1, 2]}, tmp_path)
    ended = run(notebook, points, Pretend(fails=lambda values: values["seed"] == 1), jobs=1)
    assert [result.error for result in ended] == ["", "cell [4]: ValueError: unlucky", ""]
    assert points[1].failed.exists() and not points[1].path.exists()
    assert [row["error"] for row in table(points)] == ["", "cell [4]: ValueError: unlucky", ""]
    assert [row["pck"] for row in table(points)] == ["0.4", "", "0.4"]
    assert len(run(notebook, points, Pretend())) == 1
    assert points[1].path.exists() and not points[1].failed.exists()


def test_a_process_that_ends_without_a_notebook_has_failed(notebook, tmp_path):
    def start(notebook, out, values, threads, errors):
        errors.write_text("Traceback …\nMemoryError: no room\n")
        return subprocess.Popen([sys.executable, "-S", "-c", "import os; os._exit(0)"], stdin=subprocess.PIPE)

    points = make_points(notebook, {}, tmp_path)
    assert [result.error for result in run(notebook, points, start)] == ["MemoryError: no room"]
    assert points[0].failed.exists() and not points[0].path.exists()


def test_a_sweep_that_is_stopped_ends_its_points_and_goes_on_later(notebook, tmp_path):
    points = make_points(notebook, {"seed": [0, 1, 2]}, tmp_path)
    slow = Pretend(seconds=60)
    sweep_ = run_points(notebook, points, 2, slow)
    assert next(sweep_).running == ("seed=0", "seed=1")
    for process in slow.processes:  # a real point ends itself when its stdin is closed
        process.terminate()
    sweep_.close()
    assert all(process.returncode is not None for process in slow.processes)
    assert [path.name for path in tmp_path.iterdir() if path != notebook] == [".lock"]
    assert len(run(notebook, points, Pretend())) == 3


def test_no_jobs_at_all(notebook, tmp_path):
    with pytest.raises(ValueError, match="got 0 jobs, expected at least 1"):
        run(notebook, make_points(notebook, {}, tmp_path), pytest.fail, jobs=0)


def test_two_sweeps_do_not_share_a_folder(notebook, tmp_path):
    points = make_points(notebook, {"seed": [0, 1]}, tmp_path)
    first = run_points(notebook, points, 1, Pretend(seconds=0.5))
    next(first)
    with pytest.raises(ValueError, match="another sweep is at work"):
        run(notebook, points, Pretend())
    assert sum(now.ended is not None for now in first) == 2


def test_a_notebook_that_changes_meanwhile_stops_the_sweep(notebook, tmp_path):
    points = make_points(notebook, {"seed": [0, 1]}, tmp_path)
    progress = run_points(notebook, points, 1, Pretend())
    next(now for now in progress if now.ended)
    write_notebook(notebook, "report(pck=0.2)")
    with pytest.raises(ValueError, match="was changed while the sweep ran"):
        list(progress)
    assert [point.path.exists() for point in points] == [True, False]


def test_a_reported_name_that_is_a_parameter_keeps_both(notebook, tmp_path):
    point = make_points(notebook, {"seed": [3]}, tmp_path)[0]
    result = sweep.Result(point, [{"seed": 7, "epe": 1.0}, {"pck": None}], 1.0, "c", "", point.path)
    rows = list(csv.DictReader(io.StringIO(results_csv([result]))))
    assert [(row["seed"], row["reported seed"], row["epe"], row["pck"]) for row in rows] == [
        ("3", "7", "1.0", ""),
        ("3", "", "", ""),
    ]


def shown(*reports):
    """A notebook that shows these reports, written and read again."""
    outputs = [nbformat.v4.new_output("display_data", one._repr_mimebundle_()) for one in reports]
    cells = [nbformat.v4.new_markdown_cell("words"), nbformat.v4.new_code_cell("", outputs=outputs)]
    text = nbformat.writes(nbformat.v4.new_notebook(cells=cells))
    assert "NaN" not in text
    return nbformat.reads(text, as_version=4)


def test_reports_survive_the_file_in_their_order():
    assert reported(shown()) == []
    numbers = report(
        z=torch.tensor(0.5), b=np.float64(2), c=3, d="x", e=float("nan"), f={"mean": 4.0, "half_width": 1.0}, g=True
    )
    (row,) = reported(shown(numbers))
    assert list(row.items()) == [("z", 0.5), ("b", 2.0), ("c", 3), ("d", "x"), ("e", None), ("f", 4.0), ("g", True)]
    rows = report([{"method": "a", "epe": 1}, {"method": "b", "epe": 2}], scale=8)
    assert reported(shown(report(time=9), rows, report(time=7))) == [
        {"method": "a", "epe": 1, "scale": 8, "time": 7},
        {"method": "b", "epe": 2, "scale": 8, "time": 7},
    ]
    assert str(rows) == "method  epe  scale\n     a    1      8\n     b    2      8"


def test_what_cannot_be_reported():
    with pytest.raises(ValueError, match=r"got epe = .* \(Tensor\) to report, expected one number or a string"):
        report(epe=torch.zeros(2))
    with pytest.raises(ValueError, match="got nothing to report"):
        report()


def grid(**levels):
    rows = [{}]
    for name, values in levels.items():
        rows = [{**row, name: value} for row in rows for value in values]
    return rows


def test_the_figure_shows_the_mean_over_seeds_with_its_interval():
    rows = [{**row, "epe": row["top_k"] + 0.1 * row["seed"]} for row in grid(top_k=(8, 1), seed=(0, 1, 2))]
    figure = sweep_figure(rows, ["top_k", "seed"], title="Lesson")
    (axis,) = figure.axes
    mean = axis.lines[0]
    assert mean.get_xdata().tolist() == pytest.approx([1, 8]) and mean.get_ydata().tolist() == pytest.approx([1.1, 8.1])
    low, high = _interval([1.0, 2.0, 3.0])
    assert (low, high) == pytest.approx((2 - 4.30265 / 3**0.5, 2 + 4.30265 / 3**0.5), rel=1e-5)
    assert np.isnan(_interval([1.0])).all()
    assert axis.lines[1].get_ydata().tolist() == pytest.approx(list(_interval([1.0, 1.1, 1.2])))
    assert figure.get_suptitle() == "Lesson: mean and 95 % interval over seed"


def test_words_are_an_axis_and_the_axes_beyond_eight_colours_are_averaged():
    rows = [{**row, "epe": 1.0, "pck": None, "ok": True} for row in grid(variant=("a", "b"), seed=(0, 1), method=("x", "y"))]
    figure = sweep_figure(rows, ["variant", "seed"])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["x", "y"]
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["epe"], "neither None nor True is a number"
    rows = [{**row, "epe": 1.0} for row in grid(a=(1, 2), b=(1, 2, 3), c=(1, 2, 3))]
    figure = sweep_figure(rows, ["a", "b", "c"])
    assert len(figure.legends[0].get_texts()) == 3 and "interval over c" in figure.get_suptitle()


def test_figures_of_very_little():
    assert sweep_figure([{"seconds": 3.0}], []).axes[0].get_title(loc="left") == "seconds"
    rows = [{"seed": 0, "epe": 1.0, "pck": 2.0, "seconds": 1.0}, {"seed": 1, "epe": 2.0, "seconds": 2.0}]
    assert [axis.get_title(loc="left") for axis in sweep_figure(rows, ["seed"]).axes] == ["epe", "pck"]
    assert len(sweep_figure(rows, ["seed"], ["pck"]).axes) == 1
    assert sweep_figure([{"top_k": 1, "epe": 1.0}], ["top_k"]).axes[0].get_xlabel() == "top_k"
    with pytest.raises(ValueError, match="got no number 'pcl' to draw, expected some of epe, pck, seconds"):
        sweep_figure(rows, ["seed"], ["pcl"])
    with pytest.raises(ValueError, match="run the sweep first"):
        sweep_figure([], ["seed"])


def test_the_command_gathers_lists_and_says_what_is_doubtful(notebook, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    command = ["sweep", str(notebook), "-p", "top_k=1,2", "-p", "seed=0,1", "--jobs", "2", "--out", str(out)]
    assert main([*command, "--dry-run"]) == 0
    assert "to do     top_k=1, seed=0" in capsys.readouterr().out and not out.exists()
    monkeypatch.setattr(sweep, "start_point", Pretend(fails=lambda values: values == {"top_k": 2, "seed": 1}))
    assert main(command) == 1
    printed = capsys.readouterr()
    assert printed.out.startswith("4 points: 3 made now, 0 before, 1 failed\n")
    assert "4/4" in printed.err and "failed  top_k=2, seed=1: cell [4]: ValueError: unlucky" in printed.err
    assert len(list(csv.DictReader((out / "sweep.csv").open()))) == 4 and (out / "sweep.png").exists()
    monkeypatch.setattr(sweep, "code_hash", lambda: "other")
    monkeypatch.setattr(sweep, "start_point", Pretend())
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert (
        printed.startswith("4 points: 1 made now, 3 before, 0 failed\n") and "3 of 4 points were made by other code" in printed
    )
    assert main([*command, "--dry-run"]) == 0
    assert "4 of 4 points are complete" in capsys.readouterr().out


BODY = """import time
from pathlib import Path

assert P.seed != 2, "unlucky"
while not Path("go").exists():
    with open("beat", "a") as file:
        file.write(".")
    time.sleep(0.05)
report(pck=0.1 * P.top_k)
"""


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")
def test_killed_nothing_survives_and_started_again_it_goes_on(tmp_path, capsys):
    notebook, out, beat = write_notebook(tmp_path / "lesson.ipynb", BODY), tmp_path / "out", tmp_path / "beat"
    command = ["sweep", str(notebook), "-p", "seed=1,2", "--jobs", "2", "--out", str(out)]
    killed = subprocess.Popen(
        [sys.executable, "-m", "exemplar_lab", *command[:3], "seed=1", *command[4:]], stderr=-3, stdout=-3
    )
    wait_until(beat.exists)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    wait_until(lambda: size_after(beat, 0) == size_after(beat, 1.0))
    assert not list(out.glob("[!.]*.ipynb"))
    (tmp_path / "go").touch()
    assert main(command) == 1
    printed = capsys.readouterr()
    assert "2 points: 1 made now, 0 before, 1 failed" in printed.out
    assert "failed  seed=2: cell [4]: AssertionError: unlucky" in printed.err
    rows = list(csv.DictReader((out / "sweep.csv").open()))
    assert [(row["seed"], row["pck"], row["error"][:8]) for row in rows] == [("1", "0.4", ""), ("2", "", "cell [4]")]
    assert len(list(out.glob("[!.]*.failed.ipynb"))) == 1


def size_after(path, seconds):
    time.sleep(seconds)
    return path.stat().st_size


def wait_until(true, seconds=120):
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.1)
