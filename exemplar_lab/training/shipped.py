"""What comes with the package, measured as the papers measure theirs: any model that was trained on the procedural world."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from exemplar_lab.data.synth.dials import dials_of
from exemplar_lab.data.synth.world import TASKS, task_of
from exemplar_lab.metrics.image import ImageStatistics, set_distances
from exemplar_lab.metrics.resampling import basic_interval
from exemplar_lab.metrics.tables import summarise
from exemplar_lab.models import MODELS
from exemplar_lab.papers import PAPERS
from exemplar_lab.training.checkpoint import SHIPPED, find_checkpoint, read_checkpoint
from exemplar_lab.training.evaluation import Answer, translate
from exemplar_lab.training.image_evaluation import Statistics, measure_images
from exemplar_lab.training.recipe import make_source
from exemplar_lab.translation import Batch, Source, Translation

WARP = ", warp"
"""What the row of a model's last warp is called after the model."""


@dataclass(frozen=True)
class Shipped:
    """A checkpoint of the package: its name, the paper's name of its method, the task, and the pairs it is validated on."""

    name: str
    method: str
    task: str
    source: Source


@dataclass(frozen=True)
class DrawnSets:
    """What differences are made of: values per image, and distances between sets with their replicates, as measured first."""

    features: str
    number: Int[Tensor, " n"]
    values: dict[str, Float[Tensor, " n"]]
    distances: dict[str, Float[Tensor, " r"]]


def shipped_models() -> list[Shipped]:
    """One checkpoint for each method and task of the procedural world: that trained longest, and of equals the shortest name.

    Ablations are trained no longer than the whole, and bear its name and more. Reads no weights.
    """
    found: dict[tuple[str, str], tuple[tuple[int, int], Shipped]] = {}
    kinds = {kind.__name__: task for task, kind in TASKS.items()}
    for path in sorted(SHIPPED.glob("*/checkpoint.json")):
        about: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        described = about.get("recipe", {}).get("validation", {})
        task = kinds.get(described.get("kind"))
        if about.get("model") not in MODELS or task is None:
            continue
        name, method = path.parent.name, PAPERS[about["model"]].key if about["model"] in PAPERS else about["model"]
        merit = (about["step"], -len(name))
        one = Shipped(name, method, task, make_source(described))
        if (method, task) not in found or merit > found[method, task][0]:
            found[method, task] = merit, one
    return [one for _, one in found.values()]


def measure_shipped(
    network: nn.Module,
    pairs: int,
    device: torch.device | str = "cpu",
    models: list[Shipped] | None = None,
    progress: Callable[[Iterable], Iterator] = iter,
) -> dict[str, Statistics]:
    """{task: {row: record}}: image and last warp of every model (see `shipped_models`), and the reference rows.

    Models of a task answer the same first `pairs` validation pairs, so that differences can be paired. A model validated
    on other pairs of the same task, such as larger ones, stands in a table of its own, named by its checkpoint too.
    """
    models = shipped_models() if models is None else models
    groups: dict[str, list[Shipped]] = {}
    for one in models:
        groups.setdefault(repr(_same_pairs(one.source)), []).append(one)
    measured: dict[str, Statistics] = {}
    for group in groups.values():
        task = group[0].task
        task = task if task not in measured else f"{task}, {group[0].name}"
        answers = {}
        for one in group:
            checkpoint = read_checkpoint(find_checkpoint(one.name))
            shows_condition = checkpoint.about["recipe"]["warm_up_steps"] is None
            answers |= with_warp(one.method, translate(checkpoint.build().to(device), shows_condition))
        indices = torch.arange(min(pairs, group[0].source.length or pairs))
        measured[task] = measure_images(answers, group[0].source, indices, network, device, progress=progress)
    return measured


def with_warp(name: str, answer: Answer) -> dict[str, Answer]:
    """{name: answer, "name, warp": the same with its last warp, at the size of the image, in the image's place}.

    Of one batch the model is asked once.
    """
    last: list[tuple[Batch, Translation]] = []

    def image(batch: Batch) -> Translation:
        if not last or last[0][0] is not batch:
            last[:] = [(batch, answer(batch))]
        return last[0][1]

    def warp(batch: Batch) -> Translation:
        translation = image(batch)
        size = batch.target.shape[-2:]
        return replace(translation, image=F.interpolate(translation.warps[-1], size, mode="bilinear", align_corners=False))

    return {name: image, f"{name}{WARP}": warp}


def drawn_sets(statistics: ImageStatistics) -> DrawnSets:
    """Distances of sets take seconds, so they are found once for each row and not for each difference."""
    return DrawnSets(statistics.features, statistics.number, statistics.values, set_distances(statistics))


def difference(one: DrawnSets, other: DrawnSets) -> dict[str, dict[str, float]]:
    """{number: {"mean", "half_width", "low", "high"}}: one minus other, 95 %.

    Both were made of the same pairs: numbers per image are subtracted pair by pair, distances between sets replicate by
    replicate, which drew the same pairs. Raises ValueError for records of different pairs or networks.
    """
    if one.features != other.features or not torch.equal(one.number, other.number):
        raise ValueError("got records of different pairs or networks, expected the same, to subtract one from the other")
    paired = {name: one.values[name] - other.values[name] for name in one.values if name in other.values}
    found = {name: _ends(number) for name, number in summarise([paired], group=one.number).items()}
    return found | {name: basic_interval(one.distances[name] - other.distances[name]) for name in one.distances}


def _ends(number: dict[str, float]) -> dict[str, float]:
    mean, half = number["mean"], number["half_width"]
    return {"mean": mean, "half_width": half, "low": mean - half, "high": mean + half}


def _same_pairs(source: Source) -> Source:
    """With its tier spelt out, so that two descriptions of the same pairs are equal."""
    return replace(source, tier=dials_of(source.tier, task_of(source)))
