"""Feature networks held against questions with known answers (`training.feature_tasks`), beside what needs no network.

`measure_network` asks one network, `compare_looks` many on the same images; the rest puts the numbers into words.
"""

import csv
import io
import math
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch
from torch import nn

from exemplar_lab.metrics.tables import table
from exemplar_lab.nn.features import NETWORKS, VGG19_URL, VGG19_VARIABLE, features
from exemplar_lab.training.feature_tasks import MEASURED, Look, Numbers, Setting, look_of

CHUNK = 8
"""Images looked at together."""

ENOUGH = 0.9
"""The rank correlation that a perceptual distance is asked for."""


def available_networks() -> tuple[dict[str, nn.Module], dict[str, str]]:
    """The feature networks that are there, by the name that `features` knows, and why others are not. Nothing is downloaded."""
    found, missing = {}, {}
    for name in NETWORKS:
        given = os.environ.get(VGG19_VARIABLE)
        weights = Path(given) if given else Path(torch.hub.get_dir(), "checkpoints", Path(VGG19_URL).name)
        if name == "vgg19" and not weights.is_file():
            where = given or "its usual place"
            missing[name] = f"no weights at {where}: fetch {VGG19_URL} and name the file in {VGG19_VARIABLE}"
            continue
        try:
            found[name] = features(name)
        except (ValueError, OSError) as problem:
            missing[name] = str(problem)
    return found, missing


def measure_network(
    network: nn.Module,
    pairs: int = 64,
    size: int = 64,
    progress: Callable[[list], Iterable] = iter,
    split: str = "test",
    device: torch.device | str = "cpu",
) -> dict[str, Numbers]:
    """All numbers of one network, see `compare_looks`."""
    return compare_looks({network.name: look_of(network)}, pairs, size, progress, split, device)[network.name]


@torch.inference_mode()
def compare_looks(
    looks: Mapping[str, Look],
    pairs: int = 64,
    size: int = 64,
    progress: Callable[[list], Iterable] = iter,
    split: str = "test",
    device: torch.device | str = "cpu",
) -> dict[str, dict[str, Numbers]]:
    """{look: {task: {number: {"mean", "half_width"}}}} on `pairs` held-out images of `size` a task; larger is always better.

    ranking world, ranking photographs: Spearman's ρ of the distance with the true strength for each family of distortions; per
        image, the mean over images; pooled, over all images at once (see `metrics.ranking.ranked`). Every strength has a
        draw of its own; ranking growing: of both kinds of image, with one draw per image, which grows. ranking unseen: of both
        kinds, with families that no network of this package is trained with.
    style: N scenes are painted by one of N hands each, and so are the same scenes moved on by half: the right answer shows
        another scene, and a wrong one the same. top-1, reciprocal rank: the painting by the same hand among N. same medium: the
        nearest is at least of the same medium (one of five). ρ paintings, ρ scenes: of the distance of descriptors with that of
        the true styles, over all pairs of images.
    parts people, parts faces, parts scenes: each cell, two pixels wide, asks for its nearest neighbour in another image: the
        share that finds the same part in the exemplar (cells visible there) and in the target of another sample (other), and
        the share that comes within a tenth of the image of the true point (pck@0.1); with the name of the layer.
    progress: wraps the list of all portions of work. split: of the procedural images, "val" to choose by, "test" to tell.
    Raises ValueError for fewer than two pairs, or a size that is no multiple of 16.
    """
    if pairs < 2 or size < 16 or size % 16:
        raise ValueError(f"got {pairs} pairs of {size}², expected at least 2, and a side that is a multiple of 16: change them")
    setting = Setting(pairs, size, split, torch.device(device))
    portions = [(task, which) for task in MEASURED for which in torch.arange(pairs).split(CHUNK)]
    found: dict[str, dict[str, list]] = {name: {task: [] for task in MEASURED} for name in looks}
    for task, which in progress(portions):
        for name, answer in MEASURED[task].measure(looks, which, setting).items():
            found[name][task].append(answer)
    return {
        name: {
            f"{task}{heading}": numbers
            for task, answers in answers_of.items()
            if answers
            for heading, numbers in MEASURED[task].sum_up(answers).items()
        }
        for name, answers_of in found.items()
    }


def ranking_verdicts(numbers: Mapping[str, Numbers], enough: float = ENOUGH) -> dict[str, dict[str, str]]:
    """{ranking task: {family: "yes", "no" or "perhaps"}}: is ρ at least `enough`? perhaps: it lies inside the interval."""
    return {
        task: {
            family: "perhaps" if abs(one["mean"] - enough) < one["half_width"] else "yes" if one["mean"] >= enough else "no"
            for family, one in of_task.items()
        }
        for task, of_task in numbers.items()
        if task.startswith("ranking")
    }


def compared(one: Mapping[str, Numbers], other: Mapping[str, Numbers]) -> dict[str, dict[str, str]]:
    """{task: {number: "better", "worse" or "no difference shown"}} of `one` against `other`, where both have the number: do the
    intervals of the two, added as independent ones, leave zero out? They come of the same images, so this is cautious."""
    verdicts = {}
    for task in [task for task in one if task in other]:
        shared = [number for number in one[task] if number in other[task]]
        verdicts[task] = {number: _compare(one[task][number], other[task][number]) for number in shared}
    return verdicts


def _compare(one: Mapping[str, float], other: Mapping[str, float]) -> str:
    gain, unsure = one["mean"] - other["mean"], (one["half_width"] ** 2 + other["half_width"] ** 2) ** 0.5
    return "better" if gain > unsure else "worse" if gain < -unsure else "no difference shown"


def firsts(rows: Mapping[str, Mapping[str, Numbers]]) -> dict[str, list[str]]:
    """{look: the numbers in which its mean is the largest, as printed: equal ones share the first place}; of parts, the best
    layer counts."""
    means: dict[str, dict[str, float]] = {}
    for name, of_look in rows.items():
        for task, numbers in of_look.items():
            for number, value in numbers.items():
                what = f"{task}: {number.partition(' ')[0] if task.startswith('parts') else number}"
                of_all = means.setdefault(what, {})
                of_all[name] = max(of_all.get(name, -math.inf), round(value["mean"], 3))
    return {name: [what for what, of_all in means.items() if of_all.get(name) == max(of_all.values())] for name in rows}


def verdict_text(enough: Mapping[str, Mapping], against_fixed: Mapping[str, Mapping]) -> str:
    """Both kinds of verdict in words: which families each network ranks well enough, and what it does better or worse than the
    network of fixed random weights."""
    lines = [
        f"{name}, {task}: ρ ≥ {ENOUGH} "
        + ", ".join(f"{family} {verdict}" for family, verdict in families.items())
        + f"; each of them: {_of_all(families.values())}"
        for name, tasks in enough.items()
        for task, families in tasks.items()
    ]
    for name, tasks in against_fixed.items():
        verdicts = [(f"{task} {number}", verdict) for task, numbers in tasks.items() for number, verdict in numbers.items()]
        for kind in ("better", "worse"):
            of_kind = [number for number, verdict in verdicts if verdict == kind]
            lines.append(f"{name} {kind} than fixed weights in {len(of_kind)} of {len(verdicts)}: {'; '.join(of_kind) or '–'}")
    return "\n".join(lines)


def _of_all(verdicts: Iterable[str]) -> str:
    verdicts = set(verdicts)
    return next(word for word in ("no", "perhaps", "yes") if word in verdicts)


def report_text(rows: Mapping[str, Mapping[str, Numbers]]) -> str:
    """A table for each task; in those of parts, a line for each layer."""
    texts = []
    for task in dict.fromkeys(task for of_look in rows.values() for task in of_look):
        lines: dict[str, Numbers] = {}
        for name, of_look in rows.items():
            for number, value in of_look.get(task, {}).items():
                number, _, layer = number.partition(" ") if task.startswith("parts") else (number, "", "")
                lines.setdefault(f"{name}, {layer}" if layer else name, {})[number] = value
        columns = tuple(dict.fromkeys(number for line in lines.values() for number in line))
        texts.append(f"{task}\n{table(lines, columns)}")
    return "\n\n".join(texts)


def report_csv(rows: Mapping[str, Mapping[str, Numbers]]) -> str:
    """One line per number: features, task, number, mean, half_width."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["features", "task", "number", "mean", "half_width"])
    writer.writerows(
        [name, task, number, value["mean"], value["half_width"]]
        for name, of_look in rows.items()
        for task, numbers in of_look.items()
        for number, value in numbers.items()
    )
    return out.getvalue()
