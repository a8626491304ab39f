"""The command line. A command is a function: its docstring is its help, and it imports what is heavy only when it is called."""

import argparse
import ast
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from exemplar_lab import __version__
from exemplar_lab.notebook import NotebookFailedError

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
        code = COMMANDS[given.command].run(given) or 0
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print("\nexemplar-lab: interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `| head` has read enough; what is still buffered goes nowhere, so that the exit stays quiet
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (*USER_ERRORS, NotebookFailedError) as error:
        if given.debug:
            traceback.print_exc()
        print(f"exemplar-lab: {error}", file=sys.stderr)
        return 1 if isinstance(error, NotebookFailedError) else 2


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


def run(given: argparse.Namespace) -> None:
    """Execute a notebook with parameters and keep the result; a misspelt or mistyped parameter is refused before it starts.

    exemplar-lab run notebooks/01_correspondence.ipynb -p profile=cpu -p seed=3
    """
    from exemplar_lab.notebook import run_notebook

    out = given.out or Path("runs/notebooks") / given.notebook.name
    print(run_notebook(given.notebook, out, dict(given.parameter), progress=not given.quiet))


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


def train(given: argparse.Namespace) -> None:
    """Train a model; interrupted at any moment, the same command goes on from the last checkpoint.

    exemplar-lab train cocosnet --data people --profile cpu
    exemplar-lab train cocosnet --data photos
    exemplar-lab train cocosnet --data MY_FOLDER_OF_PHOTOGRAPHS
    torchrun --nproc-per-node 8 -m exemplar_lab train cocosnet --profile paper
    """
    from exemplar_lab.training.recipes import make_recipe

    recipe = make_recipe(given.model, given.data, given.profile, given.seed, given.variant, given.features)
    _train(recipe, given.out or Path("runs") / recipe.name, given.device)


def _train(recipe, run: Path, device: str) -> Path:
    """Train to the end with a progress bar; prints the last checkpoint and gives it back."""
    from tqdm.auto import tqdm

    from exemplar_lab.training.checkpoint import last_checkpoint
    from exemplar_lab.training.loop import make_fabric, train

    fabric = make_fabric(device)
    bar = None
    for step in train(recipe, run, fabric):
        bar = bar or tqdm(
            total=step.of, initial=step.number - 1, unit="step", desc=recipe.name, disable=not fabric.is_global_zero
        )
        bar.set_postfix({name: f"{value:.3f}" for name, value in step.terms.items()}, refresh=False)
        bar.update()
    if bar:
        bar.close()
    else:
        print(f"{recipe.name}: trained already")
    checkpoint = last_checkpoint(run)
    if fabric.is_global_zero:
        print(checkpoint)
    return checkpoint


def _train_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="cocosnet")
    parser.add_argument("--data", default="people", help="people, photos, or a folder of photographs (default: people)")
    parser.add_argument("--profile", default="cpu", help="smoke, cpu, gpu or paper (default: cpu)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--features", default="fixed", help="what perceptual losses look through: fixed or vgg19 (default: fixed)"
    )
    parser.add_argument("--variant", default="full", help="an ablation of the paper: without-domain, without-cycle, …")
    parser.add_argument("--out", type=Path, help="folder of the run (default: runs/NAME_OF_THE_RECIPE)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")


def evaluate(given: argparse.Namespace) -> None:
    """Measure a checkpoint on the validation pairs of its recipe, beside an oracle, a copy and a random row.

    exemplar-lab evaluate runs/cocosnet-people-cpu
    exemplar-lab evaluate cocosnet-people-cpu     (a name: one of the checkpoints that come with the package)
    """
    import json

    from tqdm.auto import tqdm

    from exemplar_lab.metrics.tables import table
    from exemplar_lab.training.checkpoint import last_checkpoint, ship_checkpoint
    from exemplar_lab.training.evaluation import evaluate_checkpoint
    from exemplar_lab.training.loop import make_fabric

    if given.ship and last_checkpoint(Path(given.checkpoint)) is None:
        raise ValueError(f"got {given.checkpoint}, expected a run to ship from: a folder that holds step-… folders")
    device = make_fabric(given.device).device
    rows = evaluate_checkpoint(given.checkpoint, given.pairs, device, progress=lambda it: tqdm(it, desc="evaluating"))
    print(f"validation pairs, at most {given.pairs}: mean ± half width of the 95 % interval\n{table(rows)}")
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(rows, indent=1) + "\n")
    if given.ship:
        print(ship_checkpoint(Path(given.checkpoint), given.ship, rows))


def _evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "checkpoint", help="a run, a checkpoint folder, or the name of a checkpoint that comes with the package"
    )
    parser.add_argument("--pairs", type=int, default=256)
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    parser.add_argument(
        "--ship", type=Path, help="also write the run's last checkpoint here, in half precision, with the numbers"
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")


def demo(given: argparse.Namespace) -> None:
    """Train CoCosNet on procedural people, measure it, do the same with photographs, and show all of it in a notebook.

    Under 12 minutes on two cores, installing included. What is already trained is not trained again.
    """
    from exemplar_lab.training.recipes import make_recipe

    if not Path("notebooks/10_cocosnet.ipynb").exists():
        raise FileNotFoundError("no notebooks/10_cocosnet.ipynb here: start the demo in the folder of the checkout")
    checkpoints = []
    for number, (data, title) in enumerate({"people": "poses → people", "photos": "edges → photographs"}.items(), start=1):
        print(f"{number}/3  {title}: training", flush=True)
        recipe = make_recipe("cocosnet", data, given.profile)
        checkpoints.append(_train(recipe, Path("runs") / recipe.name, "auto"))
    print("3/3  measuring and drawing: notebooks/10_cocosnet.ipynb", flush=True)
    _show_demo(given.profile, checkpoints)


def _show_demo(profile: str, checkpoints: list[Path]) -> None:
    """Execute the notebook, unless that was done after these checkpoints were written; print its tables and what it wrote."""
    import json

    from exemplar_lab.metrics.tables import table
    from exemplar_lab.notebook import run_notebook

    notebook, out = Path("notebooks/10_cocosnet.ipynb"), Path(f"runs/notebooks/10_cocosnet-{profile}.ipynb")
    figures = Path("runs/figures", profile).resolve()
    newest = max(path.stat().st_mtime for path in (notebook, *checkpoints))
    last_written = figures / "10_photos.json"  # the notebook writes figures in its last cell
    if not last_written.exists() or last_written.stat().st_mtime < newest:
        run_notebook(notebook, out, {"profile": profile, "figures": str(figures)})
    columns = ("epe", "pck@0.1", "pck@0.05", "warp_l1_ratio", "image_l1", "image_ssim")
    for title, name in (("poses → people", "10_people"), ("edges → photographs", "10_photos")):
        made = json.loads((figures / f"{name}.json").read_text())["parameters"]
        print(f"\n{title}: {made['pairs']} validation pairs, mean ± half width of the 95 % interval")
        print(table(made["rows"], columns))
    print(f"\nnotebook  {out}")
    for path in sorted(figures.glob("10_*.png")):
        print(f"figure    {_clickable(path)}")


def benchmark(given: argparse.Namespace) -> None:
    """Time the package's operators beside the plain formulation and the library's own, in one run.

    exemplar-lab benchmark correlation
    """
    import json

    from exemplar_lab import benchmarks
    from exemplar_lab.training.loop import make_fabric

    report = benchmarks.correlation(str(make_fabric(given.device).device))
    if given.json:
        print(json.dumps(report, indent=1))
        return
    for case, methods in report.items():
        for name, times in methods.items():
            print(f"{case:12} {name:6} forward {times['forward_ms']:8.1f} ms   forward + backward {times['both_ms']:8.1f} ms")


def _benchmark_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("correlation",))
    parser.add_argument("--json", action="store_true", help="print JSON, with the differences between the answers")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")


COMMANDS: dict[str, Command] = {
    "demo": Command(demo, lambda parser: parser.add_argument("--profile", choices=("smoke", "cpu", "gpu"), default="cpu")),
    "train": Command(train, _train_arguments),
    "evaluate": Command(evaluate, _evaluate_arguments),
    "benchmark": Command(benchmark, _benchmark_arguments),
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
