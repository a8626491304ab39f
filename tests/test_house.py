"""The rules of the house that a reader of one file cannot see: who imports whom, how long files are, where equations live."""

import ast
import json
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from exemplar_lab.equations import find_equations
from exemplar_lab.papers import PAPERS

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "exemplar_lab").rglob("*.py"))
PAGES = sorted(path for kind in ("js", "css") for path in (ROOT / "exemplar_lab").rglob(f"*.{kind}"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
FIGURES = sorted(path for path in (ROOT / "figures").rglob("*") if path.is_file())

NOUNS = {"papers", "correspondence", "translation", "grid", "gather"}
SIBLINGS = {"models", "losses", "metrics", "data"}
MAY_IMPORT = {
    **dict.fromkeys(NOUNS, NOUNS),
    "ops": NOUNS,
    "nn": NOUNS | {"ops"},
    **dict.fromkeys(SIBLINGS, NOUNS | {"ops", "nn"}),
    "training": NOUNS | {"ops", "nn"} | SIBLINGS,
    "viz": NOUNS | {"ops"},
    "widgets": NOUNS | {"ops", "viz", "data", "nn", "training"},
    "benchmarks": NOUNS | {"ops", "data"},
    "equations": {"papers"},
    "published": {"papers"},
    "notebook": set(),
    "sweep": {"notebook"},
    "commands": NOUNS | {"ops", "nn", "training", "viz", "widgets", "benchmarks", "equations", "notebook", "sweep"} | SIBLINGS,
    "cli": {"commands", "notebook"},
    "__main__": {"cli"},
    "__init__": set(),
}
"""Room -> the rooms it may import; every room may import itself, and the version from the package."""

ONLY_IN = {
    "torchvision": set(),
    "matplotlib": {"viz"},
    "seaborn": {"viz"},
    "IPython": {"widgets"},
    "ipywidgets": {"widgets"},
    "anywidget": {"widgets"},
    "papermill": {"notebook"},
    "nbformat": {"notebook", "sweep"},
    "playwright": {"benchmarks"},
}
"""Packages that whole rooms do without."""

MEGABYTE = 1_000_000
DEFINITION = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def room(path: Path) -> str:
    first = path.relative_to(ROOT / "exemplar_lab").parts[0]
    return first.removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Full names of everything a source file imports, relative imports resolved, `from a import b` as a.b."""
    package = path.relative_to(ROOT).parent.parts
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            origin = ".".join(filter(None, (start, node.module)))
            names |= {f"{origin}.{alias.name}" for alias in node.names}
    return names


def test_every_room_has_its_place():
    assert {room(path) for path in SOURCES} <= MAY_IMPORT.keys(), (
        "give the new room a line in MAY_IMPORT, or a place in an old one"
    )


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path):
    here = room(path)
    of_the_package = {name.split(".")[1] for name in imports(path) if name.startswith("exemplar_lab.")}
    wrong = of_the_package - MAY_IMPORT[here] - {here, "__version__"}
    assert not wrong, f"{here} must not import {', '.join(sorted(wrong))}"
    outside = {name.partition(".")[0] for name in imports(path)}
    misplaced = {name for name in outside if here not in ONLY_IN.get(name, {here})}
    assert not misplaced, f"{', '.join(sorted(misplaced))} has no place in {here}"


@pytest.mark.parametrize(
    "path", [*SOURCES, *PAGES, *sorted((ROOT / "tests").rglob("*.py"))], ids=lambda path: str(path.relative_to(ROOT))
)
def test_files_are_short_and_named_for_what_they_hold(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= 400, f"{lines} lines: two ideas, two files"
    assert not {"util", "utils", "misc", "base", "common", "helper", "helpers", "opt", "options"} & {
        part.removesuffix(".py") for part in path.relative_to(ROOT).parts
    }


def test_every_equation_has_one_home():
    homes = Counter((equation.paper, equation.number) for equation in find_equations())
    assert {which: count for which, count in homes.items() if count > 1} == {}


def test_the_papers_number_57_equations():
    assert sum(paper.equations for paper in PAPERS.values()) == 57


@pytest.mark.parametrize("paper", ["cocosnet", "dynast", "matebit", "msca"])
def test_paper_is_complete(paper):
    found = {equation.number for equation in find_equations() if equation.paper == paper}
    assert found == set(range(1, PAPERS[paper].equations + 1))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebooks_call_and_define_nothing(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for cell in cells:
        lines = "".join(cell["source"]).splitlines()
        source = "\n".join("pass" if line.lstrip().startswith(("%", "!")) else line for line in lines)
        defined = [node.name for node in ast.walk(ast.parse(source)) if isinstance(node, DEFINITION)]
        assert not defined or "exercise" in cell["metadata"].get("tags", []), f"move {defined} into the package"
    tagged = ["".join(cell["source"]) for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    assert len(tagged) == 1, "one cell is tagged `parameters`"
    assert '"smoke"' in tagged[0].split("profile")[1].splitlines()[0], "the committed profile is smoke, which the tests run"
    assert path.stat().st_size <= 1.5 * MEGABYTE


def test_figures_are_small():
    assert [path.name for path in FIGURES if path.stat().st_size > 0.5 * MEGABYTE] == []


def test_checkout_is_small():
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    assert sum(path.stat().st_size for path in files if path.is_file()) <= 40 * MEGABYTE
