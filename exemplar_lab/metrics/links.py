"""How many links a row keeps beside the number that it truly needs, and how much of its weight falls where the truth lies."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from exemplar_lab.correspondence import Correspondence
from exemplar_lab.grid import cell_centres
from exemplar_lab.metrics.cells import CellTruth
from exemplar_lab.metrics.points import mean_where
from exemplar_lab.metrics.ranks import spearman

_CHUNK = 2**22
"""Weights read at once, 16 MB of float32."""


def per_row(
    match: Correspondence, answer: Callable[[Float[Tensor, "b n k"]], Float[Tensor, "b n"]]
) -> Float[Tensor, "b hq wq"]:
    """`answer` of every row, read a few rows at a time, so that no record need be written out."""
    queries = torch.arange(math.prod(match.query_size), device=match.mass().device)
    size = max(1, _CHUNK // (len(match.mass()) * math.prod(match.key_size)))
    return torch.cat([answer(match.rows(query)) for query in queries.split(size)], 1).unflatten(1, match.query_size)


def peak_weight(match: Correspondence) -> Float[Tensor, "b hq wq"]:
    """The largest weight of each row as it stands: small where the row is undecided, and where it has little mass."""
    return per_row(match, lambda rows: rows.amax(-1))


def kept_links(match: Correspondence, share: float = 1e-3) -> Float[Tensor, "b hq wq"]:
    """Links that carry weight: more than `share` of what their row carries, so that the tail of a softmax is none."""
    return per_row(match, lambda rows: (rows > share * rows.sum(-1, keepdim=True)).to(rows.dtype).sum(-1))


def effective_links(match: Correspondence) -> Float[Tensor, "b hq wq"]:
    """exp(entropy): the number of equally strong links that would be as undecided; 0 for a row without any weight."""
    entropy = (match.entropy() * 1e4).round() / 1e4  # the rounding of a softmax should not pass for knowledge
    return entropy.exp() * (match.mass() > 0)


def count_correlation(links: Float[Tensor, "b hq wq"], cells: CellTruth) -> Float[Tensor, " b"]:
    """Spearman's ρ between the links of the visible cells and the exemplar pixels that they truly cover (`cells.count`).

    Links that are the same everywhere know nothing, which is 0; NaN where the truth is the same everywhere, or no cell visible.
    No row has fewer than one link: the oracle falls short of 1 where cells cover less than an exemplar pixel.
    """
    answer = []
    for of_image, count, keep in zip(links, cells.count, cells.visible, strict=True):
        of_image, count = of_image[keep], count[keep]
        known = len(count) > 2 and count.min() < count.max()
        zero_or_nan = of_image.new_tensor(0.0 if known else math.nan)
        answer.append(
            spearman(of_image, count).to(of_image.dtype) if known and of_image.min() < of_image.max() else zero_or_nan
        )
    return torch.stack(answer)


def link_scores(match: Correspondence, cells: CellTruth) -> dict[str, Float[Tensor, " b"]]:
    """kept_links, links: the means over visible cells of `kept_links` and `effective_links`; …_rank: `count_correlation`."""
    links = {"kept_links": kept_links(match), "links": effective_links(match)}
    scores = {name: mean_where(number, cells.visible) for name, number in links.items()}
    return scores | {f"{name}_rank": count_correlation(number, cells) for name, number in links.items()}


def mass_in_footprint(match: Correspondence, cells: CellTruth) -> Float[Tensor, " b"]:
    """The weight that falls on the true footprint of each visible cell, so that a soft row is judged whole, not by its peak.

    The footprint is a disc round the true point (any of the equally right ones) with the area that the cell covers in the
    exemplar, widened by half a cell's diagonal so that the cell holding the point always belongs to it.
    """
    scale = cells.points.new_tensor([match.key_size[i] / cells.image_size[i] for i in (1, 0)])
    truth = cells.points.flatten(3).movedim(2, -1) * scale
    keys_per_query = math.prod(match.key_size) / math.prod(match.query_size)
    radius = (cells.count.flatten(1) * keys_per_query / math.pi).sqrt() + math.sqrt(0.5)
    centres = cell_centres(match.key_size, device=truth.device, dtype=truth.dtype)
    visible = cells.visible.flatten(1)
    inside = torch.zeros_like(radius)
    for query in visible.any(0).nonzero()[:, 0].split(max(1, _CHUNK // (len(truth) * len(centres)))):
        exact = "donot_use_mm_for_euclid_dist"  # a GPU's matrix product may round to ten bits
        distance = torch.cdist(truth[:, :, query], centres, compute_mode=exact).nan_to_num(nan=math.inf).amin(1)
        inside[:, query] = (match.rows(query) * (distance <= radius[:, query, None])).sum(-1)
    return mean_where(inside.unflatten(1, match.query_size), cells.visible)
