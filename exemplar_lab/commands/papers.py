"""Commands that look things up: the papers, and where their equations live."""

import argparse

from exemplar_lab.commands.paths import clickable


def equation(given: argparse.Namespace) -> None:
    """Say where an equation of a paper lives, or list all equations of the paper.

    exemplar-lab equation cocosnet 4
    """
    from exemplar_lab.equations import find_equation, find_equations, find_paper, number_list
    from exemplar_lab.papers import PAPERS

    if given.number is not None:
        here = find_equation(given.paper, given.number)
        print(f"{clickable(here.path)}:{here.line}  {here.name}\n{here.summary}")
        return
    key = find_paper(given.paper)
    paper = PAPERS[key]
    found = [one for one in find_equations() if one.paper == key]
    missing = set(range(1, paper.equations + 1)) - {one.number for one in found}
    print(f"[{paper.key}] {paper.title}\n{len({one.number for one in found})} of {paper.equations} equations")
    for one in found:
        print(f"{f'({one.number})':>5}  {clickable(one.path)}:{one.line}  {one.name}")
    if missing:
        print(f"not implemented: {number_list(missing)}")


def equation_arguments(parser: argparse.ArgumentParser) -> None:
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
