"""One pair to look at, of any task that the package has pairs of, and the numbers of one answer to it."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from exemplar_lab.data.photos import Photographs
from exemplar_lab.data.style_pairs import StylePairs
from exemplar_lab.data.synth.dials import GAPS, Dials, dials_of
from exemplar_lab.data.synth.world import TASKS, lines_rgb, structure_picture, task_of
from exemplar_lab.metrics.appearance import l1, psnr, warp_scores
from exemplar_lab.metrics.cells import truth_of_cells
from exemplar_lab.metrics.points import end_point_error, predicted_points
from exemplar_lab.training.catalogue import Described, reads
from exemplar_lab.translation import Batch, Source, Translation, Truth

PAIR_TASKS = (*TASKS, "photographs", "styles")


@dataclass(frozen=True)
class ShownPair:
    """A batch of one. structure: the condition as people look at it. right: the right answer, where it is known."""

    batch: Batch
    structure: Float[Tensor, "1 c h w"]
    right: Float[Tensor, "1 3 h w"] | None


def pair_source(task: str, size: int = 64, dials: str | Dials = "easy") -> Source:
    """The validation pairs of a task; only those of the procedural world listen to `dials`. Raises ValueError as sources do."""
    if task in TASKS:
        return TASKS[task](size, "val", dials)
    if task not in PAIR_TASKS:
        raise ValueError(f"got the task {task!r}, expected one of {', '.join(PAIR_TASKS)}")
    return (Photographs if task == "photographs" else StylePairs)(size, "val")


def shown_pair(source: Source, sample: int, exemplar_of: int | None = None) -> ShownPair:
    """Sample number `sample`, with its own exemplar or with that of another sample; then nobody knows the right answer."""
    numbers = [sample] if exemplar_of in (None, sample) else [sample, exemplar_of]
    batch = source.batch(torch.tensor(numbers))
    right = None
    if len(numbers) == 2:
        batch = _with_exemplar(batch[:1], batch[1:])
    else:
        right = source.painted(torch.tensor(numbers)) if isinstance(source, StylePairs) else batch.target
    if isinstance(source, tuple(TASKS.values())):
        return ShownPair(batch, structure_picture(source, batch), right)
    return ShownPair(batch, plain_structure(batch), right)


def plain_structure(batch: Batch) -> Float[Tensor, "b 3 h w"]:
    """The condition that was made of a photograph: the photograph itself, or its edges."""
    return batch.condition if batch.condition.shape[1] == 3 else lines_rgb(batch.condition)


def source_reads(source: Source) -> str:
    """What the conditions of a source show, in the words of `catalogue.reads`."""
    return reads(type(source).__name__, getattr(source, "tier", None))


def check_fits(checkpoint: Described, source: Source) -> None:
    """Raise ValueError, in one sentence, unless the checkpoint reads what the source gives."""
    given = source_reads(source)
    if (checkpoint.reads, checkpoint.channels) == (given, source.condition_channels):
        return
    cure = ""
    if isinstance(source, tuple(TASKS.values())):
        gaps = {
            reads(type(source).__name__, replace(dials_of(source.tier, task_of(source)), gap=gap)): gap
            for gap in reversed(GAPS)
        }
        cure = f"turn the dial gap to {gaps[checkpoint.reads]}, or " if checkpoint.reads in gaps else ""
    raise ValueError(
        f"got {checkpoint.name}, which reads {checkpoint.reads} ({checkpoint.channels} channels), for a pair that gives "
        f"{given} ({source.condition_channels} channels): {cure}choose another checkpoint or task"
    )


def pair_numbers(translation: Translation, pair: ShownPair) -> dict[str, float]:
    """Those that are known of: image_l1, image_psnr (dB) of the image against the right answer; of the last match warp_l1_ratio
    (colour error of the warp relative to that of the exemplar as it is), epe (pixels from the truth), mass (mean over rows)."""
    batch, found = pair.batch, {}
    if pair.right is not None:
        everywhere = torch.ones_like(pair.right[:, 0], dtype=torch.bool)
        found["image_l1"] = l1(translation.image, pair.right, everywhere)
        found["image_psnr"] = psnr(translation.image, pair.right, everywhere)
    if not translation.matches:
        return {name: value.item() for name, value in found.items()}
    match = translation.matches[-1]
    if batch.truth is not None and batch.truth.visible.any():
        cells = truth_of_cells(batch.truth, match.query_size)
        scores = warp_scores(match, batch, cells.visible)
        found["warp_l1_ratio"] = scores["warp_l1"] / scores["copy_l1"]
        found["epe"] = end_point_error(predicted_points(match, cells.image_size), cells)
    found["mass"] = match.mass().mean()
    return {name: number for name, value in found.items() if (number := value.item()) == number}


def _with_exemplar(batch: Batch, other: Batch) -> Batch:
    """The structure of one and the exemplar of the other; of the truth the parts remain."""
    truth = None
    if batch.truth is not None:
        nowhere = torch.full_like(batch.truth.flow, torch.nan)
        parts = {"target_part": batch.truth.target_part, "exemplar_part": other.truth.exemplar_part}
        truth = Truth(nowhere, torch.zeros_like(batch.truth.visible), **parts)
    looks = {"exemplar": other.exemplar, "exemplar_condition": other.exemplar_condition}
    return replace(batch, **looks, paired=torch.zeros_like(batch.paired), truth=truth)
