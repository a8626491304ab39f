"""A checkpoint on the validation samples that its own recipe names, as the numbers that are shipped with it."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from exemplar_lab.data.prepared import PreparedPairs
from exemplar_lab.data.style_pairs import StylePairs
from exemplar_lab.data.synth.suites import TRANSFER
from exemplar_lab.data.synth.world import TASKS
from exemplar_lab.metrics.tables import Rows
from exemplar_lab.nn.features import features
from exemplar_lab.training.checkpoint import find_checkpoint, read_checkpoint
from exemplar_lab.training.evaluation import Answer, measure, score, sum_up, translate
from exemplar_lab.training.image_evaluation import beside, measure_images, score_with_images, sum_up_all
from exemplar_lab.training.pair_evaluation import measure_pairs
from exemplar_lab.training.recipe import make_source
from exemplar_lab.training.style_evaluation import STYLE_THROUGH_FEATURES, measure_styles


def evaluate_checkpoint(
    where: str | Path,
    pairs: int = 256,
    device: torch.device | str = "cpu",
    progress: Callable[[Any], Iterator] = iter,
    network: nn.Module | None = None,
) -> Rows:
    """`evaluation.measure` for a checkpoint (see `find_checkpoint`) on the validation source of its recipe, summed up per row.

    Of scenes, whose true transfer matrix is known, also how the match's own compares with it.
    network: of `nn.features.features`; with it the images are measured too (see `image_evaluation`), beside the matches.
    Of a prepared folder matches are measured on distorted copies of the validation images, whose flow is exact, and, as
    pair_…, on the exemplars that were found for these images (see `pair_evaluation`), as are all other numbers of images.
    A checkpoint of style transfer has no truth of matches: it gets the rows of `style_evaluation.measure_styles`, which are
    numbers of images already, through the features of its recipe. ValueError where another network is asked for.
    """
    checkpoint = read_checkpoint(find_checkpoint(where))
    model, recipe = checkpoint.build().to(device), checkpoint.about["recipe"]
    source = make_source(recipe["validation"])
    indices = torch.arange(min(pairs, source.length or pairs))
    if isinstance(source, StylePairs) or (isinstance(source, PreparedPairs) and source.structure == "photograph"):
        if network is not None:
            raise ValueError(
                f"got --images for {where}, a checkpoint of style transfer, expected one of a task with targets: leave it out, "
                "its rows are numbers of images as they are"
            )
        looks = features(recipe["features"]).to(device)
        rows = sum_up(measure_styles(model, source, indices, looks, recipe["name"], device, progress=progress))
        for numbers in rows.values():
            for name in STYLE_THROUGH_FEATURES:
                numbers[name] |= {"features": looks.name}
        return rows
    name, shows_condition = recipe["name"], recipe["warm_up_steps"] is None
    answers = {name: translate(model, exemplar_condition=shows_condition)}
    if isinstance(source, PreparedPairs):
        rows = _on_prepared(answers, source, indices, device, progress)
        if network is None:
            return rows
        return beside(rows, sum_up_all(measure_images(answers, source, indices, network, device, progress=progress)))
    transfer = next((true() for task, true in TRANSFER.items() if isinstance(source, TASKS[task])), None)
    if network is None:
        asked = {"exemplar_condition": shows_condition, "transfer": transfer, "progress": progress}
        return sum_up(measure(model, source, pairs, name, device, **asked))
    measured, images = score_with_images(answers, source, indices, network, device, transfer=transfer, progress=progress)
    return beside(sum_up(measured), sum_up_all(images))


def _on_prepared(
    answers: dict[str, Answer],
    source: PreparedPairs,
    indices: Int[Tensor, " n"],
    device: torch.device | str,
    progress: Callable[[Any], Iterator],
) -> Rows:
    copies = replace(source, copies=True)
    rows = sum_up(score(answers, copies, indices, device, progress=progress))
    if not source.collection.exemplars.get(source.split):
        return rows
    return beside(rows, sum_up(measure_pairs(answers, source, indices, device, progress=progress)))
