"""The command that executes a notebook with parameters."""

import argparse
import ast
from pathlib import Path


def run(given: argparse.Namespace) -> None:
    """Execute a notebook with parameters and keep the result; a misspelt or mistyped parameter is refused before it starts.

    exemplar-lab run notebooks/01_correspondence.ipynb -p profile=cpu -p seed=3
    """
    from exemplar_lab.notebook import run_notebook

    out = given.out or Path("runs/notebooks") / given.notebook.name
    print(run_notebook(given.notebook, out, dict(given.parameter), progress=not given.quiet))


def run_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("notebook", type=Path)
    parser.add_argument(
        "-p",
        dest="parameter",
        metavar="NAME=VALUE",
        type=_name_and_value,
        action="append",
        default=[],
        help="a parameter, as often as needed; relative paths are read from the folder of the notebook",
    )
    parser.add_argument("-o", "--out", type=Path, help="where the executed notebook goes (default: runs/notebooks/NAME.ipynb)")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar")


def _name_and_value(text: str) -> tuple[str, object]:
    """`seed=3` -> ("seed", 3)."""
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"got {text!r}, expected NAME=VALUE, for example seed=3")
    return name, as_python(value)


def as_python(text: str) -> object:
    """The value as Python would read it, and a string where Python would not."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return {"true": True, "false": False, "none": None, "null": None}.get(text, text)
