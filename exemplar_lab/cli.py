"""The command line. A command is a function: its docstring is its help, and it imports what is heavy only when it is called."""

import argparse
import ast
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from exemplar_lab import __version__

USER_ERRORS = (ValueError, OSError)
"""What bad input raises, told in one line. Anything else is a fault of ours and keeps its traceback."""


def main(argv: list[str] | None = None) -> int:
    """Run one command and give its exit code: 0 done, 1 failed, 2 bad input, 130 interrupted."""
    parser = _parser()
    given = parser.parse_args(argv)
    if given.command is None:
        parser.print_help()
        return 0
    try:
        return COMMANDS[given.command].run(given) or 0
    except KeyboardInterrupt:
        print("\nexemplar-lab: interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        return 130
    except USER_ERRORS as error:
        if given.debug:
            traceback.print_exc()
        print(f"exemplar-lab: {error}", file=sys.stderr)
        return 2


class Command(NamedTuple):
    run: Callable[[argparse.Namespace], int | None]
    """Gives the exit code, or None when all went well."""
    arguments: Callable[[argparse.ArgumentParser], None]


def equation(given: argparse.Namespace) -> None:
    """Say where an equation of a paper lives, or list all equations of the paper.

    exemplar-lab equation cocosnet 4
    """
    from exemplar_lab.equations import find_equation, find_equations, find_paper, number_list
    from exemplar_lab.papers import PAPERS

    if given.number is not None:
        here = find_equation(given.paper, given.number)
        print(f"{_clickable(here.path)}:{here.line}  {here.name}\n{here.summary}")
        return
    key = find_paper(given.paper)
    paper = PAPERS[key]
    found = [one for one in find_equations() if one.paper == key]
    missing = set(range(1, paper.equations + 1)) - {one.number for one in found}
    print(f"[{paper.key}] {paper.title}\n{len({one.number for one in found})} of {paper.equations} equations")
    for one in found:
        print(f"{f'({one.number})':>5}  {_clickable(one.path)}:{one.line}  {one.name}")
    if missing:
        print(f"not implemented: {number_list(missing)}")


def _equation_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paper", help="cocosnet, dynast, matebit or msca")
    parser.add_argument("number", type=int, nargs="?", help="number of the equation; all of them when left out")


def papers(given: argparse.Namespace) -> None:
    """List the papers: key, authors, year, title, link, and how many of their equations are implemented."""
    from exemplar_lab.equations import find_equations
    from exemplar_lab.papers import PAPERS

    found = find_equations()
    for key, paper in PAPERS.items():
        count = len({one.number for one in found if one.paper == key})
        print(f"{key:9} {paper.authors} ({paper.year}). {paper.title}.")
        print(f"{'':9} {paper.link}  {count} of {paper.equations} equations")


def run(given: argparse.Namespace) -> int:
    """Execute a notebook with parameters and keep the result; a misspelt or mistyped parameter is refused before it starts.

    exemplar-lab run notebooks/01_correspondence.ipynb -p profile=cpu -p seed=3
    """
    from exemplar_lab.notebook import run_notebook

    out = given.out or Path("runs/notebooks") / given.notebook.name
    try:
        print(run_notebook(given.notebook, out, dict(given.parameter), progress=not given.quiet))
    except RuntimeError as error:
        if given.debug:
            traceback.print_exc()
        print(f"exemplar-lab: {error}", file=sys.stderr)
        return 1
    return 0


def _run_arguments(parser: argparse.ArgumentParser) -> None:
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


COMMANDS: dict[str, Command] = {
    "run": Command(run, _run_arguments),
    "equation": Command(equation, _equation_arguments),
    "papers": Command(papers, lambda parser: None),
}


def _parser() -> argparse.ArgumentParser:
    everywhere = argparse.ArgumentParser(add_help=False)
    everywhere.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser = argparse.ArgumentParser(prog="exemplar-lab", description="Exemplar-guided image generation.")
    parser.add_argument("--version", action="version", version=f"exemplar-lab {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, command in COMMANDS.items():
        purpose = command.run.__doc__.replace("%", "%%")  # argparse would read a percent sign as a placeholder
        one = commands.add_parser(
            name,
            parents=[everywhere],
            help=purpose.splitlines()[0],
            description=purpose.replace("\n    ", "\n"),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.arguments(one)
    return parser


def _name_and_value(text: str) -> tuple[str, object]:
    """`seed=3` -> ("seed", 3): the value as Python would read it, and a string where Python would not."""
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"got {text!r}, expected NAME=VALUE, for example seed=3")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, {"true": True, "false": False, "none": None, "null": None}.get(value, value)


def _clickable(path: Path) -> Path:
    """The path as seen from the working directory, where it lies below."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
