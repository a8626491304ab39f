"""Pairs of real images: nobody knows which point belongs to which, but the target is there, and the exemplar's own colours."""

from collections.abc import Callable, Iterable, Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.correspondence import Correspondence
from exemplar_lab.metrics.appearance import warp_scores
from exemplar_lab.training.evaluation import Answer, PerImage, ask, image_scores, joined, last_match
from exemplar_lab.translation import Batch, Source, Translation


@torch.inference_mode()
def measure_pairs(
    answers: dict[str, Answer],
    source: Source,
    indices: Int[Tensor, " n"],
    device: torch.device | str = "cpu",
    batch_size: int = 16,
    progress: Callable[[Iterable], Iterator] = iter,
) -> PerImage:
    """{row: {number: one value per image}} over the samples `indices` of a source of pairs without flow.

    pair_warp_…: the exemplar warped by the match against the target, both averaged to the grid of the match; every position
    counts. pair_image_…: the generated image against the target. The exemplar is another picture: what it does not show nobody
    can warp, so these numbers are read beside the rows "copy", "nearest label", which is told the true labels of both images,
    and "random".
    """
    rows: dict[str, list[dict[str, Tensor]]] = {}
    for asked in ask(answers, source, indices, device, batch_size=batch_size, progress=progress):
        found = {name: _scores(last_match(given), given, asked.batch) for name, given in asked.given.items()}
        for words, matches in asked.references.items():
            found |= {name + words: _scores(match, None, asked.batch) for name, match in matches.items()}
        for name, scores in found.items():
            rows.setdefault(name, []).append(scores)
    return joined(rows)


def _scores(match: Correspondence, given: Translation | Correspondence | None, batch: Batch) -> dict[str, Float[Tensor, " b"]]:
    everywhere = torch.ones(len(batch), *match.query_size, dtype=torch.bool, device=batch.target.device)
    warped = warp_scores(match, batch, everywhere)
    scores = {f"pair_{name}": warped[name] for name in ("warp_l1", "warp_psnr", "warp_ssim")}
    if isinstance(given, Translation):
        scores |= {f"pair_{name}": value for name, value in image_scores(given, batch).items() if name.startswith("image_")}
    return scores
