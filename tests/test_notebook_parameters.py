"""A misspelt or mistyped parameter of a notebook is refused, by the notebook itself and before papermill starts it."""

import sys

import nbformat
import pytest

from exemplar_lab.cli import main
from exemplar_lab.notebook import check_parameters, run_notebook

PARAMETERS = """profile: str = "smoke"  # smoke | cpu | gpu
seed = 0
rate: float = 1e-3
steps: int | None = None
names = ["a", "b"]
total = 2 * 3
"""
CHECK = """from exemplar_lab.notebook import check_parameters

P = check_parameters(globals(), profile=("smoke", "cpu", "gpu"), seed=int, rate=float, steps=(int, None), names=list, total=int)
"""
DECLARED = {"profile": ("smoke", "cpu", "gpu"), "seed": int, "rate": float, "steps": (int, None)}
GOOD = {"profile": "smoke", "seed": 0, "rate": 1e-3, "steps": None}


def test_good_parameters_come_back_checked():
    checked = check_parameters(dict(GOOD), **DECLARED)
    assert vars(checked) == GOOD


def test_an_integer_will_do_for_a_float():
    checked = check_parameters(GOOD | {"rate": 1}, **DECLARED)
    assert checked.rate == 1.0 and isinstance(checked.rate, float)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"profile": "fast"}, "got profile = 'fast' (str), expected 'smoke' or 'cpu' or 'gpu'"),
        ({"seed": True}, "got seed = True (bool), expected an integer"),
        ({"seed": 1.0}, "got seed = 1.0 (float), expected an integer"),
        ({"rate": "1e-3"}, "got rate = '1e-3' (str), expected a number"),
        ({"rate": False}, "got rate = False (bool), expected a number"),
        ({"steps": "12"}, "got steps = '12' (str), expected an integer or None"),
        ({"steps": False}, "got steps = False (bool), expected an integer or None"),
    ],
)
def test_a_wrong_value_is_refused(wrong, message):
    with pytest.raises(ValueError) as refusal:
        check_parameters(GOOD | wrong, **DECLARED)
    assert str(refusal.value) == message


def test_a_misspelt_name_is_refused_with_a_guess():
    with pytest.raises(ValueError) as refusal:
        check_parameters(GOOD | {"profil": "gpu"}, **DECLARED)
    assert str(refusal.value) == "got a parameter 'profil', expected one of profile, seed, rate, steps; did you mean 'profile'?"


def test_a_missing_parameter_is_named():
    with pytest.raises(ValueError, match="expected a parameter 'seed', got none"):
        check_parameters({name: value for name, value in GOOD.items() if name != "seed"}, **DECLARED)


def test_what_ipython_and_imports_leave_is_no_parameter():
    check_parameters(GOOD | {"In": [""], "Out": {}, "_": 1, "__name__": "x", "_i1": "", "exit": print, "sys": sys}, **DECLARED)


def test_run_again_in_a_full_namespace_the_values_are_still_checked():
    namespace = dict(GOOD)
    check_parameters(namespace, **DECLARED)
    namespace |= {"loss": 0.3, "seed": 5}
    assert check_parameters(namespace, **DECLARED).seed == 5
    with pytest.raises(ValueError, match="got seed = 'five'"):
        check_parameters(namespace | {"seed": "five"}, **DECLARED)


@pytest.fixture
def notebook(tmp_path):
    """Writes a notebook whose last cell is `body`."""

    def write(body: str):
        cells = [nbformat.v4.new_code_cell(source) for source in (PARAMETERS, CHECK, body)]
        cells[0].metadata["tags"] = ["parameters"]
        path = tmp_path / "notebooks" / "lesson.ipynb"
        path.parent.mkdir()
        nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
        return path

    return write


def outputs(path):
    return "".join(out.get("text", "") for cell in nbformat.read(path, as_version=4).cells for out in cell.get("outputs", []))


def test_a_notebook_runs_with_its_parameters(notebook, tmp_path, capfd):
    path = notebook("import os\nprint(P.profile, P.seed, P.rate, P.steps, os.path.basename(os.getcwd()))")
    out = tmp_path / "runs" / "lesson.ipynb"
    assert main(["run", str(path), "-p", "profile=cpu", "-p", "rate=1", "-p", "steps=12", "-o", str(out)]) == 0
    assert outputs(out) == "cpu 0 1.0 12 notebooks\n"
    printed = capfd.readouterr()
    assert printed.out == f"{out}\n"
    assert "unknown parameter" not in printed.err


def test_a_failing_cell_is_named_and_the_output_kept(notebook, tmp_path, capfd):
    path = notebook("print('so far')\n1 / 0")
    out = tmp_path / "lesson.ipynb"
    assert main(["run", str(path), "-p", "profile=cpu", "-o", str(out), "--quiet"]) == 1
    assert (
        f"lesson.ipynb failed in cell [4]: ZeroDivisionError: division by zero (executed so far: {out})"
        in capfd.readouterr().err
    )
    assert "so far" in outputs(out)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"profil": "cpu"},
            "got a parameter 'profil', expected one of profile, seed, rate, steps, names, total; did you mean 'profile'?",
        ),
        ({"seed": "3"}, "got seed = '3' (str), expected an integer"),
        ({"seed": True}, "got seed = True (bool), expected an integer"),
        ({"rate": "1e-3"}, "got rate = '1e-3' (str), expected a number"),
        ({"steps": 1.5}, "got steps = 1.5 (float), expected an integer or None"),
        ({"names": "a"}, "got names = 'a' (str), expected list"),
    ],
)
def test_bad_parameters_are_refused_before_anything_starts(notebook, tmp_path, parameters, message):
    out = tmp_path / "lesson.ipynb"
    with pytest.raises(ValueError) as refusal:
        run_notebook(notebook("pass"), out, parameters)
    assert str(refusal.value) == message
    assert not out.exists()


def test_files_that_are_no_notebook(tmp_path):
    with pytest.raises(FileNotFoundError, match="is no file"):
        run_notebook(tmp_path / "none.ipynb", tmp_path / "out.ipynb")
    for name, text, message in (("a.py", "1", "expected a notebook"), ("b.ipynb", "{", "expected a readable notebook")):
        (tmp_path / name).write_text(text)
        with pytest.raises(ValueError, match=message):
            run_notebook(tmp_path / name, tmp_path / "out.ipynb")


def test_a_notebook_is_not_overwritten_by_its_output(notebook):
    path = notebook("pass")
    with pytest.raises(ValueError, match="would be overwritten"):
        run_notebook(path, path)
