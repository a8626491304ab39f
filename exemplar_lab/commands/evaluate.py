"""The command that measures checkpoints."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn

PRINT = Path("-")


def evaluate(given: argparse.Namespace) -> None:
    """Measure checkpoints on exact truth, beside an oracle, a copy, the nearest of the same label and a random row.

    exemplar-lab evaluate runs/cocosnet-people-cpu     (on the validation pairs of its recipe)
    exemplar-lab evaluate cocosnet-people-cpu          (a name: one of the checkpoints that come with the package)
    exemplar-lab evaluate cocosnet-people-cpu --suite zoom
    exemplar-lab evaluate cocosnet-people-cpu --suite zoom --images
    exemplar-lab evaluate --suite zoom --json          (no checkpoint: the reference rows alone)

    A suite is 256 test pairs spread over the levels of a dial of the procedural world, all other dials at rest; a tier; "ood";
    or "all" of them. --json alone prints JSON and nothing else.

    --images measures what is made as well as what is matched: pixels (l1, psnr, ssim, content_ssim), features (perceptual,
    style), regions of equal labels (semantic, colour, texture) and distances between sets (fd, kd, swd). A number made through
    features is worth nothing without their name, which stands beside it everywhere; a Fréchet distance in them is not FID.
    """
    for option, suffix in (("json", ".json"), ("csv", ".csv")):
        path = getattr(given, option)
        if path not in (None, PRINT) and path.suffix != suffix:
            raise ValueError(
                f"got --{option} {path}, expected a file name that ends in {suffix}: name checkpoints before the options"
            )
    if given.pairs < 1:
        raise ValueError(f"got {given.pairs} pairs to measure, expected at least 1")
    if given.features and not given.images:
        raise ValueError(f"got --features {given.features} without --images, expected both: matches need no features")
    if given.suite:
        _evaluate_suites(given)
    else:
        _evaluate_checkpoint(given)


def _evaluate_checkpoint(given: argparse.Namespace) -> None:
    from tqdm.auto import tqdm

    from exemplar_lab.data.prepared import skipped_words
    from exemplar_lab.metrics.image import IMAGE_NUMBERS
    from exemplar_lab.metrics.tables import SHOWN, table
    from exemplar_lab.training.checkpoint import last_checkpoint, ship_checkpoint
    from exemplar_lab.training.image_evaluation import image_tables
    from exemplar_lab.training.loop import make_fabric
    from exemplar_lab.training.suite_report import without_nan
    from exemplar_lab.training.validation_report import evaluate_checkpoint

    if len(given.checkpoint) != 1 or given.csv:
        what = "--csv" if given.csv else f"{len(given.checkpoint) or 'no'} checkpoint{'s' * (len(given.checkpoint) != 1)}"
        raise ValueError(f"got {what} without a suite, expected one checkpoint, or --suite for any number of them")
    where = given.checkpoint[0]
    if given.ship and last_checkpoint(Path(where)) is None:
        raise ValueError(f"got {where}, expected a run to ship from: a folder that holds step-… folders")
    device = make_fabric(given.device).device
    network = _network(given, device)
    rows = without_nan(evaluate_checkpoint(where, given.pairs, device, lambda it: tqdm(it, desc="evaluating"), network))
    columns = SHOWN if network is None else tuple(name for name in SHOWN if name not in IMAGE_NUMBERS)
    if words := skipped_words():
        print(words, file=sys.stderr)
    text = f"validation pairs, at most {given.pairs}: mean ± half width of the 95 % interval\n{table(rows, columns, width=140)}"
    if network is not None:
        text += f"\n\n{image_tables(rows, network.name)}"
    elif seen := {
        name: number["features"] for numbers in rows.values() for name, number in numbers.items() if "features" in number
    }:
        text += f"\n{', '.join(seen)} through {' and '.join(sorted(set(seen.values())))}"
    _print_or_write(given, rows, text)
    if given.ship:
        print(ship_checkpoint(Path(where), given.ship, rows))


def _evaluate_suites(given: argparse.Namespace) -> None:
    from tqdm.auto import tqdm

    from exemplar_lab.training.loop import make_fabric
    from exemplar_lab.training.suite_report import (
        evaluate_suite,
        load_contestants,
        report_csv,
        report_text,
        write_whole,
    )

    if given.ship:
        raise ValueError(
            "got --ship with a suite, expected one or the other: a checkpoint is shipped with its validation numbers"
        )
    device = make_fabric(given.device).device
    if given.size is not None and given.size % 2:
        raise ValueError(f"got --size {given.size}, expected an even number: cells of the match are two pixels wide")
    if given.task or not given.checkpoint:  # what is misspelt is refused before models are read
        _suites(given, given.task or "people", given.size or 64)
    network = _network(given, device)
    contestants = load_contestants(given.checkpoint, device)
    task = given.task or next((one.task for one in contestants if one.task), "people")
    suites = _suites(given, task, given.size or (contestants[0].size if contestants else 64))
    reports = [
        evaluate_suite(one, contestants, device, lambda it, name: tqdm(it, desc=name, leave=False), network) for one in suites
    ]
    _print_or_write(given, {"suites": reports}, "\n\n".join(map(report_text, reports)))
    if given.csv:
        write_whole(given.csv, report_csv(reports))


def _suites(given: argparse.Namespace, task: str, size: int) -> list:
    from exemplar_lab.data.synth.suites import suite, suite_names

    names = suite_names(task) if given.suite == "all" else (given.suite,)
    return [suite(name, task, size, given.tier, given.pairs) for name in names]


def _network(given: argparse.Namespace, device: "torch.device") -> "nn.Module | None":
    """What the images are looked at through; None where they are not looked at."""
    from exemplar_lab.nn.features import DEFAULT, features

    if not given.images:
        return None
    name = given.features or DEFAULT
    own = name.endswith(".safetensors")
    return (features("lab", name) if own else features(name)).to(device)


def _print_or_write(given: argparse.Namespace, numbers: dict, text: str) -> None:
    import json

    from exemplar_lab.training.suite_report import write_whole

    written = json.dumps(numbers, indent=1)
    print(written if given.json == PRINT else text)
    if given.json not in (None, PRINT):
        write_whole(given.json, written + "\n")


def evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "checkpoint",
        nargs="*",
        help="a run, a checkpoint folder, or the name of a checkpoint that comes with the package; with --suite any number",
    )
    parser.add_argument("--suite", help="a dial (zoom, occlusion, light, …), a tier (easy, medium, hard), ood, or all")
    parser.add_argument("--task", help="the task of the suite (default: that of the checkpoint, or people)")
    parser.add_argument("--size", type=int, help="side of the suite's images (default: that of the checkpoint, or 64)")
    parser.add_argument("--tier", default="medium", help="where the other dials of the suite stand (default: medium)")
    parser.add_argument("--pairs", type=int, default=256)
    parser.add_argument("--images", action="store_true", help="also measure what is made, as images")
    parser.add_argument(
        "--features", help="what --images looks through: lab, fixed, vgg19, or a file of `train features` (default: lab)"
    )
    parser.add_argument(
        "--json",
        type=Path,
        nargs="?",
        const=PRINT,
        metavar="FILE",
        help="print JSON and nothing else; with a file name, write it there and print the table",
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="also write the numbers of the suites to this file")
    parser.add_argument(
        "--ship", type=Path, help="also write the run's last checkpoint here, in half precision, with the numbers"
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
