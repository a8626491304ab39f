"""The command that runs a notebook on a grid of parameters."""

import argparse
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from exemplar_lab.commands.notebooks import as_python
from exemplar_lab.commands.paths import clickable

if TYPE_CHECKING:
    from exemplar_lab.sweep import Point, Result


def sweep(given: argparse.Namespace) -> int | None:
    """Run a notebook on every point of a grid of parameters and gather what it reports into one table and a figure.

    exemplar-lab sweep notebooks/11_dynast.ipynb -p top_k=1,2,4,8 -p seed=0,1,2 --jobs 2
    exemplar-lab sweep notebooks/11_dynast.ipynb -p top_k=1,2,4,8 -p profile=cpu --dry-run

    Commas separate the values of a parameter; one that holds a comma stands in quotes or brackets: -p 'sizes=[1,2],[3]'.
    Points that are complete are not run again: same parameters, same code cells of the notebook, same version of the package.
    Stopped in any way, the same command goes on. A point that fails keeps what it executed, as ….failed.ipynb, stops no other,
    and is tried again next time. The folder also holds sweep.csv, renewed after every point, and sweep.png, with a panel for
    each number that the notebook reports.
    """
    from exemplar_lab.sweep import code_hash, make_points, read_result, results_csv

    folder = given.out or Path("runs/sweeps") / given.notebook.stem
    points = make_points(given.notebook, _axes(given.parameter), folder, given.limit)
    if given.dry_run:
        _print_plan(points)
        return None
    from exemplar_lab.training.suite_report import write_whole

    results = {point.label: result for point in points if (result := read_result(point))}
    before = sum(not result.error for result in results.values())

    def write_table() -> None:
        write_whole(folder / "sweep.csv", results_csv([results[one.label] for one in points if one.label in results]))

    if results:
        write_table()
    for ended in _run_with_progress(given, points):
        results[ended.point.label] = ended
        write_table()
    done = [results[point.label] for point in points if point.label in results]
    failures = [result for result in done if result.error]
    complete = [result for result in done if not result.error]
    print(f"{len(points)} points: {len(complete) - before} made now, {before} before, {len(failures)} failed")
    print(f"table   {clickable(folder / 'sweep.csv')}")
    _say_doubts(complete, code_hash())
    for result in failures:
        print(f"failed  {result.point.label}: {result.error}\n        {clickable(result.path)}", file=sys.stderr)
    if complete:
        print(f"figure  {clickable(_draw(given, points, complete, folder))}")
    return 1 if failures else 0


def _run_with_progress(given: argparse.Namespace, points: "list[Point]"):
    """Results as they come in. On a terminal a bar names what is running; in a log there is a line for each point."""
    from tqdm.auto import tqdm

    from exemplar_lab.sweep import run_points

    terminal = sys.stderr.isatty()
    complete = sum(point.path.exists() for point in points)
    bar = tqdm(total=len(points), initial=complete, unit="point", desc=given.notebook.stem, disable=not terminal)
    failed = 0
    with bar, closing(run_points(given.notebook, points, given.jobs)) as progress:
        for now in progress:
            if now.ended:
                complete += 1
                failed += bool(now.ended.error)
                words = f"{now.ended.point.label}: {now.ended.error or f'{now.ended.seconds:.0f} s'}"
                if now.ended.error and terminal:
                    bar.write(f"failed  {words}", file=sys.stderr)
                elif not terminal:
                    print(f"{complete}/{len(points)}  {words}", file=sys.stderr, flush=True)
                bar.update()
                yield now.ended
            bar.set_postfix_str(" | ".join((*now.running, *([f"{failed} failed"] if failed else []))), refresh=True)


def _say_doubts(complete: "list[Result]", code: str) -> None:
    """What a reader of the table should know about it."""
    if complete and not any(result.rows for result in complete):
        print("the notebook reported nothing, so the table holds times only: end a cell with exemplar_lab.notebook.report(…)")
    if older := sum(result.code != code for result in complete):
        print(
            f"{older} of {len(complete)} points were made by other code of the package than today's, see the column `code`: "
            "name another folder with --out to make all of them anew"
        )


def _draw(given: argparse.Namespace, points: "list[Point]", complete: "list[Result]", folder: Path) -> Path:
    from exemplar_lab.viz.style import save_figure
    from exemplar_lab.viz.sweep import sweep_figure

    several = [name for name in points[0].given if len({repr(point.given[name]) for point in points}) > 1]
    rows = [
        {**{name: result.point.given[name] for name in several}, **row, "seconds": result.seconds}
        for result in complete
        for row in result.rows or [{}]
    ]
    names = given.numbers.split(",") if given.numbers else None
    title = given.notebook.stem
    if missing := len(points) - len(complete):
        title += f", {missing} of {len(points)} points failed and are missing"
    figure = sweep_figure(rows, several, names, title)
    fixed = {name: value for name, value in points[0].parameters.items() if name not in several}
    return save_figure(
        figure, folder, "sweep", notebook=str(given.notebook), axes=dict(given.parameter), fixed=fixed,
        code=sorted({result.code for result in complete}),
    )  # fmt: skip


def _print_plan(points: "list[Point]") -> None:
    for point in points:
        state = "complete" if point.path.exists() else "failed" if point.failed.exists() else "to do"
        print(f"{state:8}  {point.label}  {clickable(point.failed if state == 'failed' else point.path)}")
    print(f"{sum(point.path.exists() for point in points)} of {len(points)} points are complete")


def _axes(given: list[tuple[str, list[object]]]) -> dict[str, list[object]]:
    axes = dict(given)
    if len(axes) < len(given):
        names = [name for name, _ in given]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"got -p {twice}=… twice, expected all its values in one: -p {twice}=1,2")
    return axes


def sweep_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("notebook", type=Path)
    parser.add_argument(
        "-p",
        dest="parameter",
        metavar="NAME=VALUE,…",
        type=name_and_values,
        action="append",
        default=[],
        help="a parameter and its values, as often as needed; relative paths are read from the folder of the notebook",
    )
    parser.add_argument("-j", "--jobs", type=int, default=1, help="points at a time; they share the cores (default: 1)")
    parser.add_argument("-o", "--out", type=Path, help="folder for everything (default: runs/sweeps/NAME_OF_THE_NOTEBOOK)")
    parser.add_argument("--numbers", metavar="A,B", help="the reported numbers to draw (default: all)")
    parser.add_argument("--limit", type=int, default=1000, help="the largest grid that is taken for meant (default: 1000)")
    parser.add_argument("--dry-run", action="store_true", help="list the points and which are complete; run and write nothing")


def name_and_values(text: str) -> tuple[str, list[object]]:
    """`seed=0,1` -> ("seed", [0, 1]), `sizes=[1,2],[3]` -> ("sizes", [[1, 2], [3]]): commas outside of quotes and brackets."""
    name, equals, values = text.partition("=")
    parts = [part.strip() for part in _split(values)]
    if not equals or not name.isidentifier() or not all(parts):
        raise argparse.ArgumentTypeError(
            f"got {text!r}, expected NAME=VALUE or NAME=VALUE,VALUE,…, for example seed=0,1,2; an empty string is written ''"
        )
    return name, [as_python(part) for part in parts]


def _split(text: str) -> list[str]:
    parts = [""]
    closing, quote = [], ""
    for letter in text:
        if letter == "," and not closing and not quote:
            parts.append("")
            continue
        parts[-1] += letter
        if quote or letter in "'\"":
            quote = "" if letter == quote else quote or letter
        elif letter in "([{":
            closing.append(letter)
        elif letter in ")]}" and closing:
            closing.pop()
    return parts
