"""What models make, measured as images: beside the reference rows, and in one pass with their matches where both are asked."""

from collections.abc import Callable, Iterable, Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from exemplar_lab.correspondence import Correspondence
from exemplar_lab.metrics.image import (
    DRAWS,
    IMAGE_NUMBERS,
    LEAST,
    OF_EXEMPLAR,
    OF_IMAGES,
    OF_REGIONS,
    OF_SETS,
    THROUGH_FEATURES,
    ImageStatistics,
    image_statistics,
    join_statistics,
    shared_by_rows,
    sum_up_images,
)
from exemplar_lab.metrics.regions import REGION_SIDE
from exemplar_lab.metrics.tables import Rows, table
from exemplar_lab.training.evaluation import Answer, Asked, PerImage, ask, joined, matching_scores
from exemplar_lab.training.references import knows_flow, oracle_image, warped_image
from exemplar_lab.translation import Source, Translation

Statistics = dict[str, ImageStatistics]


@torch.inference_mode()
def measure_images(
    answers: dict[str, Answer],
    source: Source,
    indices: Int[Tensor, " n"],
    network: nn.Module,
    device: torch.device | str = "cpu",
    references: bool = True,
    draws: int = DRAWS,
    batch_size: int = 16,
    progress: Callable[[Iterable], Iterator] = iter,
) -> Statistics:
    """{row: record} of the images that `answers` make of the samples `indices` of `source`, and of the rows to compare with.

    answers: name of the row -> function of a batch, as `evaluation.translate` makes it of a model; what is looked at of each
    row says `made_images`. network: of `nn.features.features`. Records of other samples can be joined to these with
    `joined_statistics`; `sum_up_all` makes numbers of them.
    Memory does not grow with the number of samples but for a few values of each.
    """
    found: Statistics = {}
    for asked in ask(answers, source, indices, device, references, batch_size=batch_size, progress=progress):
        found = joined_statistics(found, batch_statistics(asked, network, draws))
    return found


@torch.inference_mode()
def score_with_images(
    answers: dict[str, Answer],
    source: Source,
    indices: Int[Tensor, " n"],
    network: nn.Module,
    device: torch.device | str = "cpu",
    references: bool = True,
    transfer: Float[Tensor, "c c"] | None = None,
    draws: int = DRAWS,
    batch_size: int = 16,
    progress: Callable[[Iterable], Iterator] = iter,
) -> tuple[PerImage, Statistics]:
    """`evaluation.score` and `measure_images` of the same answers, each of which is asked for once."""
    rows: dict[str, list[dict[str, Tensor]]] = {}
    found: Statistics = {}
    for asked in ask(answers, source, indices, device, references, batch_size=batch_size, progress=progress):
        for name, scores in matching_scores(asked, transfer).items():
            rows.setdefault(name, []).append(scores)
        found = joined_statistics(found, batch_statistics(asked, network, draws))
    return joined(rows), found


def batch_statistics(asked: Asked, network: nn.Module, draws: int = DRAWS) -> Statistics:
    """The records of all that `made_images` gives; what target and exemplar look like to the network is found once."""
    shared = shared_by_rows(asked.batch, network, asked.numbers, draws)
    return {
        row: image_statistics(image, asked.batch, network, asked.numbers, draws, shared)
        for row, image in made_images(asked).items()
    }


def made_images(asked: Asked) -> dict[str, Float[Tensor, "b 3 h w"]]:
    """{row: image}: of a `Translation` its image, of a match its warp of the exemplar, as of the references.

    oracle: the exemplar read at the true flow, where the source knows it. copy: the exemplar itself. Of several grids,
    oracle and copy stand once: neither depends on them.
    """
    batch = asked.batch
    images = {
        name: given.image if isinstance(given, Translation) else warped_image(given, batch)
        for name, given in asked.given.items()
    }
    if asked.references:
        images |= {"oracle": oracle_image(batch)} if knows_flow(batch) else {}
        images |= {"copy": batch.exemplar}
        images |= {row: warped_image(match, batch) for row, match in _moved(asked)}
    return images


def joined_statistics(one: Statistics, other: Statistics) -> Statistics:
    """Row by row; what only one of them has stays as it is."""
    rows = dict.fromkeys([*one, *other])
    return {row: join_statistics([each[row] for each in (one, other) if row in each]) for row in rows}


def sum_up_all(statistics: Statistics) -> Rows:
    """{row: {number: {"mean", "half_width", …}}}: `sum_up_images` of each row."""
    return {row: sum_up_images(one) for row, one in statistics.items()}


def beside(matching: Rows, images: Rows) -> Rows:
    """The numbers of both in one row each; rows that only images have come last."""
    return {row: matching.get(row, {}) | images.get(row, {}) for row in dict.fromkeys([*matching, *images])}


def image_tables(rows: Rows, network: str, width: int = 140) -> str:
    """What the image numbers of these rows mean, and the numbers, no line longer than `width`."""
    rows = {row: numbers for row, numbers in rows.items() if any(name in numbers for name in IMAGE_NUMBERS)}
    known = tuple(name for name in IMAGE_NUMBERS if any(name in numbers for numbers in rows.values()))
    regions, through, exemplar, sets = (
        ", ".join(name for name in names if name in known) for names in (OF_REGIONS, THROUGH_FEATURES, OF_EXEMPLAR, OF_SETS)
    )
    where = f"{regions} by regions, at {REGION_SIDE} px" if regions else "no regions, because no parts are known"
    blocks = (OF_IMAGES, OF_REGIONS + OF_SETS)
    return "\n".join(
        [
            f"images against their targets ({exemplar} against the exemplars), as they are; {where}",
            f"{through} through {network}; FD is not FID",
            f"{sets} of all images at once, which few make too large; [low, high]: 95 % interval for endless sets "
            f"(fd: from {LEAST['fd']} pairs on)",
            "\n\n".join(table(rows, tuple(name for name in block if name in known), width) for block in blocks),
        ]
    )


def _moved(asked: Asked) -> Iterator[tuple[str, Correspondence]]:
    for words, matches in asked.references.items():
        yield from ((name + words, match) for name, match in matches.items() if name != "copy")
