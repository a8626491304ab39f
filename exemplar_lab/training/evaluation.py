"""A model against exact truth, beside an oracle, a copy and a random row, so that its numbers can be read."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from exemplar_lab.metrics.appearance import l1, masked_ssim, psnr
from exemplar_lab.metrics.cells import copy_match, oracle_match, random_match
from exemplar_lab.metrics.matching import evaluate_matching
from exemplar_lab.metrics.tables import summarise
from exemplar_lab.training.checkpoint import find_checkpoint, read_checkpoint
from exemplar_lab.training.recipe import make_source
from exemplar_lab.translation import Batch, Source, Translator

Rows = dict[str, dict[str, dict[str, float]]]


@torch.inference_mode()
def evaluate(
    model: Translator,
    source: Source,
    pairs: int = 256,
    batch_size: int = 16,
    name: str = "model",
    device: torch.device | str = "cpu",
    progress: Callable[[Any], Iterator] = iter,
) -> Rows:
    """{row: {number: {"mean", "half_width"}}} over the first `pairs` samples of `source`; `metrics.tables.table` prints it.

    Rows: `name`, the model's last match and its image; "oracle", the best any match on this grid can do; "copy", every position looks
    at itself; "random", everywhere at random. progress: wraps the list of batches, for example `tqdm`.
    """
    rows: dict[str, list[dict[str, Tensor]]] = {name: [], "oracle": [], "copy": [], "random": []}
    for indices in progress(torch.arange(min(pairs, source.length or pairs)).split(batch_size)):
        batch = source.batch(indices, device=device)
        translation = model(batch.condition, batch.exemplar)
        match = translation.matches[-1]
        grids = match.query_size, match.key_size
        rows[name].append(evaluate_matching(match, batch) | _image_scores(translation.image, batch))
        rows["oracle"].append(evaluate_matching(oracle_match(batch.truth, *grids), batch))
        rows["copy"].append(evaluate_matching(copy_match(len(batch), *grids).to(device), batch))
        rows["random"].append(evaluate_matching(random_match(len(batch), *grids, seed=int(indices[0])).to(device), batch))
    return {row: summarise(batches) for row, batches in rows.items()}


def evaluate_checkpoint(
    where: str | Path, pairs: int = 256, device: torch.device | str = "cpu", progress: Callable[[Any], Iterator] = iter
) -> Rows:
    """`evaluate` for a checkpoint (see `find_checkpoint`) on the validation source its recipe names."""
    checkpoint = read_checkpoint(find_checkpoint(where))
    recipe = checkpoint.about["recipe"]
    return evaluate(
        checkpoint.build().to(device), make_source(recipe["validation"]), pairs, name=recipe["name"], device=device, progress=progress
    )


def _image_scores(image: Tensor, batch: Batch) -> dict[str, Tensor]:
    """The generated image against the target, over the whole image; meant for paired samples, whose target is the right answer."""
    everywhere = torch.ones_like(batch.target[:, 0], dtype=torch.bool)
    return {
        "image_l1": l1(image, batch.target, everywhere),
        "image_psnr": psnr(image, batch.target, everywhere),
        "image_ssim": masked_ssim(image, batch.target, everywhere),
    }
