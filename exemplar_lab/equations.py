"""Where each equation of the papers lives: read from the docstrings, so that no list of them can grow old.

A function, class or module implements an equation when its docstring begins `Eq. (4) of [CoCosNet]`. Several equations are
written `Eq. (1), (2) of [CoCosNet]`, and several papers `Eq. (13) of [CoCosNet] and Eq. (13) of [MATEBIT]`. The sources are
only read, never imported.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from inspect import cleandoc
from pathlib import Path
from typing import NamedTuple

from exemplar_lab.papers import PAPERS, Paper

_CITATION = r"Eq\. \(\d+\)(?:, \(\d+\))* of \[\w+\]"
_HEAD = re.compile(rf"{_CITATION}(?: and {_CITATION})*(?=[:.,; ]|$)")
_LOOKS_LIKE_HEAD = re.compile(r"Eqs?\b|Equations?\b", re.IGNORECASE)

PACKAGE = Path(__file__).parent


class Equation(NamedTuple):
    """One numbered equation and the place that implements it."""

    paper: str
    """Key of `PAPERS`."""
    number: int
    name: str
    """Qualified name, such as exemplar_lab.ops.correlation.warp."""
    path: Path
    line: int
    summary: str
    """First paragraph of the docstring."""


def find_equations(package: Path = PACKAGE) -> list[Equation]:
    """Every equation that the sources under `package` claim to implement, by paper and number.

    Raises ValueError, naming file and line, for a docstring that begins like a citation and is none, or that cites an equation
    which the paper does not have.
    """
    found = [
        equation
        for path in sorted(package.rglob("*.py"))
        for name, line, docstring in _docstrings(path, package)
        for equation in _cited(name, path, line, docstring)
    ]
    order = list(PAPERS)
    return sorted(found, key=lambda equation: (order.index(equation.paper), equation.number, equation.name))


def find_paper(name: str) -> str:
    """The key in `PAPERS` of a paper given by that key or by its citation key, in any case."""
    if name.lower() in PAPERS:
        return name.lower()
    guess = get_close_matches(name.lower(), PAPERS, n=1)
    hint = f" Did you mean {guess[0]}?" if guess else ""
    raise ValueError(f"got the paper {name!r}, expected one of {', '.join(PAPERS)}.{hint}")


def find_equation(paper: str, number: int) -> Equation:
    """The home of one equation. Raises ValueError when the paper has no such number or nothing here implements it."""
    key = find_paper(paper)
    count = PAPERS[key].equations
    if not 1 <= number <= count:
        raise ValueError(f"got equation ({number}), expected 1 to {count}: [{PAPERS[key].key}] numbers {count} equations")
    here = {equation.number: equation for equation in find_equations() if equation.paper == key}
    if number not in here:
        raise ValueError(
            f"Eq. ({number}) of [{PAPERS[key].key}] is not implemented; implemented are {number_list(here) or 'none so far'}"
        )
    return here[number]


def number_list(numbers: Iterable[int]) -> str:
    """1, 2, 5 -> "(1), (2), (5)"."""
    return ", ".join(f"({number})" for number in sorted(numbers))


def _docstrings(path: Path, package: Path) -> Iterator[tuple[str, int, str]]:
    """(qualified name, line, docstring) of the module and of everything defined in it."""

    def visit(node: ast.AST, name: str) -> Iterator[tuple[str, int, str]]:
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            name = name if isinstance(node, ast.Module) else f"{name}.{node.name}"
            if docstring := ast.get_docstring(node):
                yield name, getattr(node, "lineno", 1), docstring
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, ast.expr):  # nothing is defined inside an expression, and most nodes are one
                yield from visit(child, name)

    module = ".".join(path.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__")
    yield from visit(ast.parse(path.read_text(encoding="utf-8"), str(path)), module)


def _cited(name: str, path: Path, line: int, docstring: str) -> Iterator[Equation]:
    summary = " ".join(cleandoc(docstring).split("\n\n")[0].split())
    if not _LOOKS_LIKE_HEAD.match(summary):
        return
    head = _HEAD.match(summary)
    if head is None:
        raise ValueError(f"{path}:{line}: got {summary[:60]!r}, expected a beginning like 'Eq. (1), (2) of [CoCosNet]: …'")
    papers: dict[str, tuple[str, Paper]] = {paper.key: (key, paper) for key, paper in PAPERS.items()}
    for citation in re.findall(_CITATION, head[0]):
        cited = citation.partition("[")[2].rstrip("]")
        if cited not in papers:
            raise ValueError(f"{path}:{line}: got a citation of [{cited}], expected one of {', '.join(papers)}")
        key, paper = papers[cited]
        for number in map(int, re.findall(r"\((\d+)\)", citation)):
            if not 1 <= number <= paper.equations:
                raise ValueError(f"{path}:{line}: got Eq. ({number}) of [{cited}], expected 1 to {paper.equations}")
            yield Equation(key, number, name, path, line, summary)
