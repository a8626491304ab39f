"""The real notebooks under papermill; nbval runs every cell of them, at smoke, beside these tests."""

import csv
import json
import re
import shlex
from pathlib import Path

import pytest

from exemplar_lab.cli import main
from exemplar_lab.notebook import read_notebook, reported, run_notebook

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


@pytest.mark.parametrize("name", sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")))
@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"profil": "cpu"}, "got a parameter 'profil', .*did you mean 'profile'"),
        ({"seed": "3"}, r"got seed = '3' \(str\), expected an integer"),
    ],
)
def test_a_wrong_parameter_is_refused_before_anything_runs(name, parameters, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        run_notebook(NOTEBOOKS / f"{name}.ipynb", tmp_path / "out.ipynb", parameters, progress=False)
    assert not (tmp_path / "out.ipynb").exists()


def test_an_unknown_profile_is_refused_by_what_the_second_cell_will_say(tmp_path):
    with pytest.raises(ValueError, match="expected 'smoke' or 'cpu' or 'gpu'"):
        run_notebook(NOTEBOOKS / "10_cocosnet.ipynb", tmp_path / "out.ipynb", {"profile": "laptop"}, progress=False)
    assert not (tmp_path / "out.ipynb").exists()


def test_cocosnet_writes_its_figures_with_their_origin(tmp_path):
    run_notebook(NOTEBOOKS / "10_cocosnet.ipynb", tmp_path / "out.ipynb", {"figures": str(tmp_path)}, progress=False)
    pictures = sorted(path.stem for path in tmp_path.glob("*.png"))
    assert {"10_training", "10_people", "10_links", "10_rows", "10_field", "10_ablations", "10_photos"} <= set(pictures)
    for name in pictures:
        manifest = json.loads((tmp_path / f"{name}.json").read_text())
        assert manifest["parameters"]["profile"] == "smoke" and "torch" in manifest["versions"]
    rows = json.loads((tmp_path / "10_people.json").read_text())["parameters"]["rows"]
    assert {"CoCosNet", "oracle", "copy", "nearest label", "random"} == rows.keys()


def printed_sweeps() -> dict[str, list[str]]:
    """{notebook: the arguments of the sweep that its words tell a reader to type}."""
    found = {}
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        for cell in read_notebook(path).cells:
            typed = re.search(r"^exemplar-lab (sweep .*?)\n```", cell.source, re.M | re.S)
            if cell.cell_type == "markdown" and typed:
                found[path.stem] = shlex.split(typed[1].replace("\\\n", ""))
    return found


@pytest.mark.parametrize("name", printed_sweeps())
def test_a_printed_sweep_is_accepted_and_makes_the_table_of_ablations(name, tmp_path, capsys, monkeypatch):
    """Typed as printed, it plans the rows of the table, if there is one, and the table has no row but those."""
    monkeypatch.chdir(NOTEBOOKS.parent)
    typed = printed_sweeps()[name]
    assert main([*typed, "--dry-run", "--out", str(tmp_path / "sweep")]) == 0
    points = [re.split(" {2,}", line)[1] for line in capsys.readouterr().out.splitlines()[:-1]]
    planned = {tuple(sorted(point.split(", "))) for point in points}
    table = NOTEBOOKS.parent / "figures" / f"{name[:2]}_ablations.csv"
    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines())) if table.exists() else []
    found = {(f"seed={row['seed']}", f"variant={row['variant']}") for row in rows}
    assert found <= planned and len(rows) == len(found)
    fixed = [words.split("=") for words in typed if re.match("(steps|pairs)=", words)]
    assert all(row[parameter] == value for row in rows for parameter, value in fixed)


def test_what_a_sweep_keeps_of_cocosnet_is_what_its_table_holds(tmp_path):
    """A variant, few steps, nothing compared: one row with the table's columns, and the photographs are not trained."""
    asked = {"variant": "batch-norm", "steps": 2, "pairs": 4, "compare": False, "runs": str(tmp_path / "runs")}
    out = run_notebook(NOTEBOOKS / "10_cocosnet.ipynb", tmp_path / "out.ipynb", asked, progress=False)
    (row,) = reported(read_notebook(out))
    with (NOTEBOOKS.parent / "figures" / "10_ablations.csv").open(encoding="utf-8") as file:
        columns = csv.DictReader(file).fieldnames
    assert set(columns) == {"variant", "seed", "steps", "pairs", *row} and all(value > 0 for value in row.values())
    assert row["image_l1_worst"] >= row["image_l1"]
    assert [run.name for run in (tmp_path / "runs").iterdir()] == ["cocosnet-people-smoke-batch-norm-2steps"]


def test_what_a_sweep_keeps_of_msca_is_what_its_table_holds(tmp_path):
    """A variant, few steps, nothing compared: one row of tasks and transfer matrix, and GAP is not trained beside it."""
    asked = {"variant": "without-masking", "steps": 8, "pairs": 4, "compare": False, "runs": str(tmp_path / "runs")}
    out = run_notebook(NOTEBOOKS / "14_msca.ipynb", tmp_path / "out.ipynb", asked, progress=False)
    (row,) = reported(read_notebook(out))
    numbers = ("psnr", "perceptual", "fd", "gatys", "kd")
    of_tasks = [f"{task} {number}" for task in ("retrieving", "mirroring", "duplicating") for number in numbers]
    assert list(row) == [*of_tasks, "transfer_rank", "cophenetic"]
    assert [run.name for run in (tmp_path / "runs").iterdir()] == ["msca-scenes-smoke-without-masking-8steps"]
    table = NOTEBOOKS.parent / "figures" / "14_ablations.csv"
    if table.exists():
        with table.open(encoding="utf-8") as file:
            assert row.keys() <= set(csv.DictReader(file).fieldnames)
