"""Matchers on the evaluation suites of the world: numbers per level of a dial and over all levels, to be printed or kept."""

import csv
import io
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

import exemplar_lab
from exemplar_lab.data.synth.dials import DIALS
from exemplar_lab.data.synth.suites import TRANSFER, Suite
from exemplar_lab.data.synth.world import TASKS
from exemplar_lab.metrics.image import DRAWS
from exemplar_lab.metrics.tables import Rows, table
from exemplar_lab.training.checkpoint import find_checkpoint, read_checkpoint
from exemplar_lab.training.evaluation import Answer, PerImage, score, sum_up, translate
from exemplar_lab.training.image_evaluation import (
    Statistics,
    beside,
    image_tables,
    joined_statistics,
    score_with_images,
    sum_up_all,
)
from exemplar_lab.training.references import REFERENCES, SEED
from exemplar_lab.translation import Source

SHOWN = (
    "epe", "cycle", "pck@0.1", "footprint", "mutual_precision", "no_match_auroc", "links_rank", "ause", "albedo_l1_ratio",
    "transfer_rank", "cophenetic",
)  # fmt: skip
"""What a table shows; JSON and CSV hold everything."""


class Contestant(NamedTuple):
    """A matcher with what it can be asked: conditions of so many channels, images of this side. None: of any."""

    name: str
    answer: Answer
    channels: int | None = None
    size: int | None = None
    task: str | None = None
    """The task of the world that it was trained on, if any."""

    def fits(self, source: Source) -> bool:
        return self.channels in (None, source.condition_channels) and self.size in (None, source.size)


def load_contestants(checkpoints: list[str], device: torch.device | str = "cpu") -> list[Contestant]:
    """The models of checkpoints (see `find_checkpoint`), named by their recipes; by where they lie, if two are named alike."""
    loaded = [read_checkpoint(find_checkpoint(where)) for where in checkpoints]
    recipes = [checkpoint.about["recipe"] for checkpoint in loaded]
    names = [recipe["name"] for recipe in recipes]
    contestants = []
    for where, checkpoint, recipe, name in zip(checkpoints, loaded, recipes, names, strict=True):
        answer = translate(checkpoint.build().to(device), exemplar_condition=recipe["warm_up_steps"] is None)
        config = checkpoint.about["config"]
        name = name if names.count(name) == 1 and name not in REFERENCES else str(where)
        task = next((task for task, kind in TASKS.items() if kind.__name__ == recipe["validation"]["kind"]), None)
        contestants.append(Contestant(name, answer, config["condition_channels"], config["size"], task))
    return contestants


def evaluate_suite(
    suite: Suite,
    contestants: list[Contestant],
    device: torch.device | str = "cpu",
    progress: Callable[[Iterable, str], Iterator] = lambda batches, _: iter(batches),
    network: nn.Module | None = None,
    draws: int = DRAWS,
) -> dict[str, Any]:
    """All matchers and the reference rows at every level of a suite: what was measured, then {row: {number: …}} per level and
    over all of them, ready for JSON.

    A model takes part where the level's condition is of the kind it was trained for (the dial `gap` changes it), and in
    "overall" when it took part everywhere; intervals there draw a pair together with all its levels. Raises ValueError for a
    model that can take part nowhere.
    progress: wraps the list of batches of a level, whose name is its second argument.
    network: of `nn.features.features`; with it the images are measured too, by the same pass (see `image_evaluation`), sets of
        them with intervals of so many `draws`.
    """
    for one in contestants:
        if not any(one.fits(level.source) for level in suite.levels):
            kinds = sorted({(level.source.condition_channels, level.source.size) for level in suite.levels})
            expected = " or ".join(f"{channels} channels at {size} × {size}" for channels, size in kinds)
            raise ValueError(
                f"got {one.name}, trained for conditions of {one.channels} channels at {one.size} × {one.size} pixels, "
                f"expected {expected}, which the suite {suite.dial} of {suite.task} gives: choose --task and --size as in its "
                "training"
            )
    transfer = TRANSFER[suite.task]() if suite.task in TRANSFER else None
    levels: list[dict[str, Any]] = []
    everything: list[PerImage] = []
    images: Statistics = {}
    for level in suite.levels:
        answers = {one.name: one.answer for one in contestants if one.fits(level.source)}
        asked = {
            "transfer": transfer,
            "progress": lambda batches, name=level.name: progress(batches, f"{suite.dial} {name}"),
        }
        if network is None:
            measured, of_level = score(answers, level.source, level.indices, device, **asked), {}
        else:
            measured, of_level = score_with_images(answers, level.source, level.indices, network, device, draws=draws, **asked)
        everything.append(measured)
        images = joined_statistics(images, of_level)
        rows = without_nan(beside(sum_up(measured), sum_up_all(of_level)))
        levels.append({"value": level.value, "name": level.name, "pairs": level.pairs, "rows": rows})
    overall = sum_up(_joined(everything), torch.cat([level.indices for level in suite.levels]))
    images = {row: one for row, one in images.items() if all(row in level["rows"] for level in levels)}
    return {
        "suite": _described(suite),
        "version": exemplar_lab.__version__,
        "seed": SEED,
        "levels": levels,
        "overall": without_nan(beside(overall, sum_up_all(images))),
        "features": None if network is None else network.name,
    }


def report_text(report: dict[str, Any], width: int = 140) -> str:
    """The report as a headline and tables no wider than `width`: a line per level and row, and those of all levels together.

    First what is known of matches, then what is known of images.
    """
    suite = report["suite"]
    meaning = f" ({DIALS[suite['dial']].meaning})" if suite["dial"] in DIALS else ""
    pairs = f"{suite['pairs']} {suite['split']} pairs of {suite['task']}, {suite['size']} × {suite['size']}"
    headline = f"{suite['dial']}{meaning}: {pairs}, tier {suite['tier']}; mean ± half width of the 95 % interval"
    groups = [(level["name"], level["rows"]) for level in report["levels"]]
    groups += [("overall", report["overall"])] if len(groups) > 1 else []
    longest = max(len(name) for name, _ in groups)
    lines = {f"{name.ljust(longest)}  {row}": numbers for name, rows in groups for row, numbers in rows.items()}
    text = table({line: numbers for line, numbers in lines.items() if any(one in numbers for one in SHOWN)}, SHOWN, width)
    everyone = dict.fromkeys(row for _, rows in groups for row in rows)
    silent = {row: [name for name, rows in groups[: len(report["levels"])] if row not in rows] for row in everyone}
    notes = [
        f"{row} was not asked at {', '.join(names)}: trained for other conditions" for row, names in silent.items() if names
    ]
    images = ["", image_tables(lines, report["features"], width)] if report["features"] else []
    return "\n".join([headline, text, *images, *notes])


def report_csv(reports: list[dict[str, Any]]) -> str:
    """One line per number: task, suite, level, row, number, mean, half_width, low, high, features; empty where there is none.

    low and high stand where the interval does not lie evenly about the mean; features is the network that the number was made
    through.
    """
    file = io.StringIO()
    measured = ("mean", "half_width", "low", "high", "features")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(("task", "suite", "level", "row", "number", *measured))
    for report in reports:
        suite = report["suite"]
        for level in [*report["levels"], {"name": "overall", "rows": report["overall"]}]:
            for row, numbers in level["rows"].items():
                for number, value in numbers.items():
                    of_number = (value.get(name) for name in measured)
                    writer.writerow((suite["task"], suite["dial"], level["name"], row, number, *of_number))
    return file.getvalue()


def without_nan(rows: Rows) -> Rows:
    """The rows with None for what is not known, because JSON has no word for NaN."""
    return {
        row: {number: {name: _or_none(value) for name, value in one.items()} for number, one in numbers.items()}
        for row, numbers in rows.items()
    }


def _or_none(value: float | str) -> float | str | None:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_whole(path: Path, text: str) -> None:
    """Write a text file that is there whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, path)


def _described(suite: Suite) -> dict[str, Any]:
    """All that decides which pairs were seen."""
    source = suite.levels[0].source
    about = {name: getattr(suite, name) for name in ("task", "dial", "tier", "split", "pairs")}
    return about | {"size": source.size, "world": sys.modules[type(source).__module__].VERSION}


def _joined(levels: list[PerImage]) -> PerImage:
    """The images of all levels, for rows that every level has."""
    shared = [row for row in levels[0] if all(row in level for level in levels)]
    return {row: {number: torch.cat([level[row][number] for level in levels]) for number in levels[0][row]} for row in shared}
