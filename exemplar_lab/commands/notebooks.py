"""Commands that execute a notebook: with parameters, or for the outputs that are committed with it."""

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


def renew(given: argparse.Namespace) -> None:
    """Execute notebooks as they stand and put the new outputs into them, pictures made small: how committed ones are made.

    exemplar-lab renew notebooks/10_cocosnet.ipynb

    Only outputs change, and nothing in them that is different each time, such as the ids of widgets. A notebook whose cell
    fails, or that would be larger than 1.5 MB, stays as it was; the executed one lies in runs/notebooks.
    """
    from exemplar_lab.notebook import keep_outputs, run_notebook
    from exemplar_lab.viz.palette import in_few_colours

    for notebook in given.notebook:
        executed = run_notebook(notebook, Path("runs/notebooks") / notebook.name, progress=not given.quiet)
        before, full = (path.stat().st_size / 1e6 for path in (notebook, executed))
        after = keep_outputs(notebook, executed, in_few_colours) / 1e6
        print(f"{notebook}  {after:.2f} MB, executed {full:.2f}, before {before:.2f}", flush=True)


def renew_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("notebook", type=Path, nargs="+")
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
