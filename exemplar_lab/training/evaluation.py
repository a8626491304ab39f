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

PerImage = dict[str, dict[str, Tensor]]
Rows = dict[str, dict[str, dict[str, float]]]


@torch.inference_mode()
def measure(
    model: Translator,
    source: Source,
    pairs: int = 256,
    name: str = "model",
    device: torch.device | str = "cpu",
    references: bool = True,
    exemplar_condition: bool = True,
    batch_size: int = 16,
    progress: Callable[[Any], Iterator] = iter,
) -> PerImage:
    """{row: {number: one value per image}} over the first `pairs` samples of `source`.

    Rows: `name`, the model's last match and its image; with `references` also "oracle", the best that a match on this grid can
    say, "copy", every position looks at itself, and "random", everywhere at random. Numbers: those of `evaluate_matching`, and
    image_l1, image_psnr, image_ssim of the generated image against the target, whole images, meant for paired samples.
    exemplar_condition: False withholds it, as App. E of [CoCosNet] does once its warm-up is over.
    progress: wraps the list of batches, for example `tqdm`.
    """
    if pairs < 1:
        raise ValueError(f"got {pairs} pairs to measure, expected at least 1")
    rows: dict[str, list[dict[str, Tensor]]] = {name: []}
    if references:
        rows |= {"oracle": [], "copy": [], "random": []}
    for indices in progress(torch.arange(min(pairs, source.length or pairs)).split(batch_size)):
        batch = source.batch(indices, device=device)
        translation = model(batch.condition, batch.exemplar, batch.exemplar_condition if exemplar_condition else None)
        match = translation.matches[-1]
        rows[name].append(evaluate_matching(match, batch) | _image_scores(translation.image, batch))
        if references:
            grids = match.query_size, match.key_size
            rows["oracle"].append(evaluate_matching(oracle_match(batch.truth, *grids), batch))
            rows["copy"].append(evaluate_matching(copy_match(len(batch), *grids).to(device), batch))
            rows["random"].append(evaluate_matching(random_match(len(batch), *grids, seed=int(indices[0])).to(device), batch))
    return {row: {number: torch.cat([b[number] for b in batches]) for number in batches[0]} for row, batches in rows.items()}


def evaluate_checkpoint(
    where: str | Path, pairs: int = 256, device: torch.device | str = "cpu", progress: Callable[[Any], Iterator] = iter
) -> Rows:
    """`measure` for a checkpoint (see `find_checkpoint`) on the validation source its recipe names, summed up per row.

    {row: {number: {"mean", "half_width"}}}; `metrics.tables.table` prints it.
    """
    checkpoint = read_checkpoint(find_checkpoint(where))
    recipe = checkpoint.about["recipe"]
    model, source = checkpoint.build().to(device), make_source(recipe["validation"])
    shows_condition = recipe["warm_up_steps"] is None
    measured = measure(model, source, pairs, recipe["name"], device, exemplar_condition=shows_condition, progress=progress)
    return {row: summarise([numbers]) for row, numbers in measured.items()}


def _image_scores(image: Tensor, batch: Batch) -> dict[str, Tensor]:
    everywhere = torch.ones_like(batch.target[:, 0], dtype=torch.bool)
    return {
        "image_l1": l1(image, batch.target, everywhere),
        "image_psnr": psnr(image, batch.target, everywhere),
        "image_ssim": masked_ssim(image, batch.target, everywhere),
    }
