"""The rows that a model stands beside, so that its numbers can be read: an oracle, a copy, the nearest of the same label, and a
random match. None of them makes an image: theirs is the exemplar, moved."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.correspondence import Correspondence
from exemplar_lab.grid import sample_at
from exemplar_lab.metrics.cells import copy_match, nearest_label_match, random_match
from exemplar_lab.metrics.transfer import labels_of_cells
from exemplar_lab.translation import Batch

REFERENCES = ("oracle", "copy", "nearest label", "random")
SEED = 0
"""Of the random row."""


def reference_matches(
    batch: Batch, query_size: tuple[int, int], key_size: tuple[int, int], seed: int = SEED
) -> dict[str, Correspondence]:
    """The references without the oracle, which no one match is (see `oracle_scores`); "nearest label" where truth has parts."""
    grids, device = (query_size, key_size), batch.target.device
    matches = {"copy": copy_match(len(batch), *grids).to(device)}
    if has_parts(batch):
        exemplar, target = part_labels(batch, *grids)
        matches["nearest label"] = nearest_label_match(target, exemplar)
    return matches | {"random": random_match(len(batch), *grids, seed=seed).to(device)}


def oracle_image(batch: Batch) -> Float[Tensor, "b 3 h w"]:
    """The exemplar read at the true flow, pixel by pixel; where nothing of it is visible, the exemplar at the same place.

    What a perfect match gives without a generator: light and shadow stay the exemplar's.
    """
    moved = sample_at(batch.exemplar, batch.truth.flow)
    return torch.where(batch.truth.visible[:, None], moved, batch.exemplar)


def warped_image(match: Correspondence, batch: Batch) -> Float[Tensor, "b 3 h w"]:
    """The exemplar of a batch, carried to its target; see `enlarged_warp`."""
    return enlarged_warp(match, batch.exemplar, tuple(batch.target.shape[-2:]))


def enlarged_warp(match: Correspondence, value: Float[Tensor, "b c h w"], size: tuple[int, int]) -> Float[Tensor, "b c hq wq"]:
    """A value of the exemplar's pixels on the key grid (means over cells), warped by a match, and enlarged bilinearly to `size`
    as the warps of models are."""
    warp = match.warp(F.interpolate(value, match.key_size, mode="area"))
    return F.interpolate(warp, size, mode="bilinear", align_corners=False)


def knows_flow(batch: Batch) -> bool:
    """Is it known of any pixel of the batch where it lies in the exemplar? Of pairs of two photographs it never is."""
    return batch.truth is not None and bool(batch.truth.flow.isfinite().any())


def has_parts(batch: Batch) -> bool:
    """Is it known which part each pixel of target and exemplar shows?"""
    return batch.truth is not None and batch.truth.target_part is not None and batch.truth.exemplar_part is not None


def part_labels(
    batch: Batch, query_size: tuple[int, int], key_size: tuple[int, int], classes: int | None = None
) -> tuple[Int[Tensor, "b hk wk"], Int[Tensor, "b hq wq"]]:
    """Of exemplar and target, on the grids of a match; classes: their number, by default as many as occur."""
    if not has_parts(batch):
        raise ValueError("got pairs without labels, expected truth.target_part and exemplar_part, as the procedural world has")
    exemplar, target = batch.truth.exemplar_part, batch.truth.target_part
    classes = classes or max(1, int(exemplar.max()) + 1, int(target.max()) + 1)
    return labels_of_cells(exemplar, key_size, classes), labels_of_cells(target, query_size, classes)
