"""Table 1 of [MSCA] for any model: retrieving, mirroring and duplicating; and every structure in every style (Fig. 9, 14)."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from exemplar_lab.correspondence import Correspondence
from exemplar_lab.data.self_exemplar import Duplicated, Mirrored
from exemplar_lab.metrics.cells import nearest_label_match
from exemplar_lab.metrics.image import DRAWS, image_statistics, shared_by_rows, sum_up_images
from exemplar_lab.metrics.perceptual import GATYS_LAYERS, gatys_style_loss
from exemplar_lab.metrics.tables import Rows, summarise
from exemplar_lab.metrics.transfer import class_oracle
from exemplar_lab.training.evaluation import Answer, ask
from exemplar_lab.training.image_evaluation import Statistics, joined_statistics, made_images
from exemplar_lab.training.references import part_labels
from exemplar_lab.translation import Batch, Source, Translation, Translator

TASK_NUMBERS = ("psnr", "perceptual", "fd", "gatys", "kd")
"""PSNR, LPIPS, FID and L_style of Table 1 as they are here: dB, `perceptual_distance`, the Fréchet distance and
`gatys_style_loss`, all against the target, the last three through features; and the kernel distance, which few images do not
make too large."""

TaskRows = dict[str, Rows]
"""{row: {task: {number: {"mean", "half_width", …}}}}"""

NEAREST_SIDE = 32
"""Of the grid on which the nearest place of the same label is looked for."""

_LITTLE = 1e-6
"""So much of other labels is seen beside one's own, and all of it where one's own is missing."""


def three_tasks(retrieving: Source) -> dict[str, Source]:
    """The tasks of Sec. 4, in the order of Table 1, all with the targets of `retrieving`.

    retrieving: pairs of images with similar labels; `Scenes(scheme="retrieval")`, whose targets are painted in the exemplar's
    style and therefore exactly right, or `data.retrieval.Retrieved`, whose targets are only what the structure was taken from:
    the paper corrects their colours first, which nothing here does.
    """
    return {"retrieving": retrieving, "mirroring": Mirrored(retrieving), "duplicating": Duplicated(retrieving)}


def reference_answers(transfer: Float[Tensor, "c c"] | None = None) -> dict[str, Answer]:
    """Rows that no network made, for sources that know their parts; none of them makes an image of its own.

    copy: the exemplar. nearest label: its colours at the nearest place of the same label. class colours: to each label the mean
    colour that it has in the exemplar; labels that the exemplar lacks take from the others as `transfer` says (see
    `class_oracle`), without it from all alike.
    """
    return {"copy": _copy, "nearest label": _nearest_label, "class colours": lambda batch: _class_colours(batch, transfer)}


def score_tasks(
    answers: Mapping[str, Answer],
    tasks: Mapping[str, Source],
    indices: Int[Tensor, " n"],
    network: nn.Module,
    device: torch.device | str = "cpu",
    draws: int = DRAWS,
    batch_size: int = 16,
    progress: Callable[[Iterable], Iterator] = iter,
) -> TaskRows:
    """TASK_NUMBERS of all answers on the samples `indices` of all tasks, with 95 % intervals; see `measure_tasks`."""
    return sum_up_tasks(measure_tasks(answers, tasks, indices, network, device, draws, batch_size, progress))


@torch.inference_mode()
def measure_tasks(
    answers: Mapping[str, Answer],
    tasks: Mapping[str, Source],
    indices: Int[Tensor, " n"],
    network: nn.Module,
    device: torch.device | str = "cpu",
    draws: int = DRAWS,
    batch_size: int = 16,
    progress: Callable[[Iterable], Iterator] = iter,
) -> dict[str, Statistics]:
    """{task: {row: record}}, of which `sum_up_tasks` makes numbers, and `shipped.difference` differences with their intervals.

    answers: name of the row -> function of a batch, as `evaluation.translate` makes it of a model. tasks: as of `three_tasks`.
    network: of `nn.features.features`; its name stands beside the numbers that were made through it.
    """
    measured: dict[str, Statistics] = {}
    for task, source in tasks.items():
        found: Statistics = {}
        for asked in ask(dict(answers), source, indices, device, references=False, batch_size=batch_size, progress=progress):
            batch = replace(asked.batch, truth=None)  # no number of Table 1 is by regions, which take most of the time
            shared, looks = shared_by_rows(batch, network, asked.numbers, draws), network(batch.target, GATYS_LAYERS)
            each = {}
            for row, image in made_images(asked).items():
                record = image_statistics(image, batch, network, asked.numbers, draws, shared)
                style = gatys_style_loss(network(image.clamp(0, 1), GATYS_LAYERS), looks)
                each[row] = replace(record, values=record.values | {"gatys": style.cpu()})
            found = joined_statistics(found, each)
        measured[task] = found
    return measured


def sum_up_tasks(measured: Mapping[str, Statistics]) -> TaskRows:
    """{row: {task: {number: {"mean", "half_width", …}}}} of TASK_NUMBERS; those through features say which."""
    rows: TaskRows = {}
    for task, statistics in measured.items():
        for row, one in statistics.items():
            (style,) = summarise([{"gatys": one.values["gatys"]}], group=one.number).values()
            numbers = sum_up_images(one) | {"gatys": style | {"features": one.features}}
            rows.setdefault(row, {})[task] = {name: numbers[name] for name in TASK_NUMBERS}
    return rows


@torch.inference_mode()
def every_swap(
    model: Translator,
    condition: Float[Tensor, "n cc h w"],
    exemplar: Float[Tensor, "m 3 h w"],
    exemplar_condition: Float[Tensor, "m cc h w"],
) -> Float[Tensor, "n m 3 h w"]:
    """Every structure in the look of every exemplar; n at a time."""
    count = len(condition)
    columns = [
        model(condition, x.expand(count, -1, -1, -1), c.expand(count, -1, -1, -1), record=False).image
        for x, c in zip(exemplar, exemplar_condition, strict=True)
    ]
    return torch.stack(columns, dim=1)


def _copy(batch: Batch) -> Translation:
    return Translation(batch.exemplar, ())


def _nearest_label(batch: Batch) -> Correspondence:
    grid = tuple(min(NEAREST_SIDE, side) for side in batch.target.shape[-2:])
    exemplar, target = part_labels(batch, grid, grid)
    return nearest_label_match(target, exemplar)


def _class_colours(batch: Batch, transfer: Tensor | None) -> Correspondence:
    size = tuple(batch.target.shape[-2:])
    exemplar, target = part_labels(batch, size, size, None if transfer is None else len(transfer))
    classes = max(1, int(exemplar.max()) + 1, int(target.max()) + 1) if transfer is None else len(transfer)
    others = torch.ones(classes, classes) if transfer is None else transfer
    own_first = torch.eye(classes, dtype=others.dtype) + _LITTLE * others
    return class_oracle(own_first.to(batch.target), exemplar, target)
