"""The command line. A command is a function of `commands`: its docstring is its help, and it imports what is heavy only when it
is called."""

import argparse
import os
import sys
import traceback
from collections.abc import Callable
from typing import NamedTuple

from exemplar_lab import __version__
from exemplar_lab.commands.benchmark import benchmark, benchmark_arguments
from exemplar_lab.commands.evaluate import evaluate, evaluate_arguments
from exemplar_lab.commands.features import features, features_arguments
from exemplar_lab.commands.notebooks import renew, renew_arguments, run, run_arguments
from exemplar_lab.commands.papers import equation, equation_arguments, papers
from exemplar_lab.commands.prepare import prepare, prepare_arguments
from exemplar_lab.commands.sweep import sweep, sweep_arguments
from exemplar_lab.commands.train import demo, train, train_arguments
from exemplar_lab.commands.translate import translate, translate_arguments
from exemplar_lab.commands.world import world, world_arguments
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


COMMANDS: dict[str, Command] = {
    "demo": Command(demo, lambda parser: parser.add_argument("--profile", choices=("smoke", "cpu", "gpu"), default="cpu")),
    "prepare": Command(prepare, prepare_arguments),
    "train": Command(train, train_arguments),
    "translate": Command(translate, translate_arguments),
    "evaluate": Command(evaluate, evaluate_arguments),
    "features": Command(features, features_arguments),
    "world": Command(world, world_arguments),
    "benchmark": Command(benchmark, benchmark_arguments),
    "run": Command(run, run_arguments),
    "renew": Command(renew, renew_arguments),
    "sweep": Command(sweep, sweep_arguments),
    "equation": Command(equation, equation_arguments),
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
