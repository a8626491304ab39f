"""What pip and conda are promised, and what an import costs."""

import ast
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import exemplar_lab

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
FIXED_BY_THE_USER = {
    "jupyterlab", "torch", "matplotlib", "ipywidgets", "numpy", "pillow", "seaborn", "nbval", "papermill",
}  # fmt: skip
IMPORTED_AS = {"skimage": "scikit-image", "PIL": "pillow", "yaml": "pyyaml"}
"""Where the name of the import is not that of the package with - for _."""
ASKED_FOR = [line for line in EXTRAS["test"] if line.startswith("playwright")]
"""What the package imports inside a call, saying how to install it where it is missing."""


def requirements(lines: list[str]) -> dict[str, Requirement]:
    return {requirement.name.lower(): requirement for requirement in map(Requirement, lines)}


def test_the_users_nine_packages_are_core():
    assert requirements(PROJECT["dependencies"]).keys() >= FIXED_BY_THE_USER


def test_environment_for_conda_says_the_same():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    *conda, pip = environment["dependencies"]
    lines = [line for line in pip["pip"] if not line.startswith("-")]
    assert requirements(lines) == requirements(PROJECT["dependencies"] + EXTRAS["test"])
    assert [line for line in pip["pip"] if line.startswith("-")] == ["-c constraints.txt", "-e ."]
    python = requirements(conda)["python"].specifier
    assert [minor for minor in range(8, 20) if python.contains(f"3.{minor}.1")] == [11, 12, 13]
    assert all(Requirement(f"python{PROJECT['requires-python']}").specifier.contains(f"3.{minor}.1") for minor in (11, 12, 13))


def test_tested_versions_lie_in_the_promised_ranges():
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pins = dict(line.split("==") for line in text.splitlines() if not line.startswith("#"))
    pins = {name.lower().replace("_", "-"): pin for name, pin in pins.items()}
    for name, requirement in requirements(PROJECT["dependencies"] + EXTRAS["test"] + EXTRAS["dev"]).items():
        assert requirement.specifier.contains(pins[name]), f"{requirement} against {pins[name]}"
    assert not any("+" in pin for pin in pins.values()), "a local version such as 2.13.0+cpu is found on one index only"


def test_version_is_that_of_the_installed_package():
    assert version("exemplar-lab") == exemplar_lab.__version__ == PROJECT["version"]


def test_files_beside_the_code_are_packed():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    patterns = settings["package-data"]["exemplar_lab"]
    package = ROOT / "exemplar_lab"
    files = [path.relative_to(package) for path in package.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")]
    left_out = [str(path) for path in files if not any(fnmatch(path.name, pattern.rsplit("/")[-1]) for pattern in patterns)]
    assert left_out == [], "add their suffix to [tool.setuptools.package-data]"


@pytest.mark.parametrize(
    ("folder", "declared"),
    [("exemplar_lab", PROJECT["dependencies"] + ASKED_FOR), ("tests", PROJECT["dependencies"] + EXTRAS["test"])],
)
def test_every_import_is_declared(folder, declared):
    own = {"exemplar_lab", *(path.stem for path in (ROOT / "tests").rglob("*.py"))}
    undeclared = {}
    for path in sorted((ROOT / folder).rglob("*.py")):
        for module in imported_modules(path):
            name = module.partition(".")[0]
            package = IMPORTED_AS.get(name, name.replace("_", "-")).lower()
            if name not in sys.stdlib_module_names | own and package not in requirements(declared):
                undeclared[str(path.relative_to(ROOT))] = package
    assert undeclared == {}, "add the package to pyproject.toml and environment.yml, or do without it"


def imported_modules(path: Path) -> list[str]:
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    absolute = [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.level == 0]
    return absolute + [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


IMPORT_TIMED = """
import sys, time
start = time.process_time()
import exemplar_lab, exemplar_lab.cli
spent = time.process_time() - start
assert "torch" not in sys.modules and "numpy" not in sys.modules, "the import loads what is heavy"
print(spent)
"""


def test_import_is_fast_and_loads_no_torch():
    seconds = float(run_python(IMPORT_TIMED))
    assert seconds < 0.5


def test_torch_comes_with_the_first_noun():
    assert run_python("import exemplar_lab, sys; exemplar_lab.DenseMatch; print('torch' in sys.modules)") == "True"


IMPORT_EVERYTHING = """
import importlib, pkgutil, sys

NEVER = {"torchvision", "IPython", "ipykernel", "ipywidgets", "jupyterlab", "jupyter_client", "jupyter_core", "nbclient",
         "nbformat", "papermill", "anywidget", "playwright"}

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in NEVER:
            raise ImportError(f"{name} must not be needed")

sys.meta_path.insert(0, Refuse())
import exemplar_lab
for module in pkgutil.walk_packages(exemplar_lab.__path__, "exemplar_lab."):
    if not module.name.startswith("exemplar_lab.widgets") and module.name != "exemplar_lab.__main__":
        importlib.import_module(module.name)
print("imported")
"""


def test_imports_need_neither_torchvision_nor_jupyter():
    assert run_python(IMPORT_EVERYTHING) == "imported"
