"""How many links a row keeps beside the number that it truly needs, and how much of its weight falls where the truth lies."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from exemplar_lab.correspondence import Correspondence
from exemplar_lab.grid import cell_centres, index_to_xy
from exemplar_lab.metrics.cells import CellTruth
from exemplar_lab.metrics.points import mean_where
from exemplar_lab.metrics.ranks import spearman

_CHUNK = 2**22
"""Weights read at once, 16 MB of float32."""


def per_row(
    match: Correspondence, answer: Callable[[Float[Tensor, "b n t"]], Float[Tensor, "b n"]]
) -> Float[Tensor, "b hq wq"]:
    """`answer` of the weights of every row, whatever their order and without some that are zero.

    A few rows are read at a time, so that no record need be written out; what a record knows to be zero is not read at all.
    """
    queries = torch.arange(math.prod(match.query_size), device=match.mass().device)
    found = [answer(match.links(query)[1]) for query in _few_rows(match, queries)]
    return torch.cat(found, 1).unflatten(1, match.query_size)


def _few_rows(match: Correspondence, queries: Int[Tensor, " n"]) -> tuple[Int[Tensor, " _"], ...]:
    """In parts that have at most `_CHUNK` links."""
    return queries.split(max(1, _CHUNK // (len(match.mass()) * _links_per_row(match))))


def _links_per_row(match: Correspondence) -> int:
    return match.links(torch.zeros(1, dtype=torch.long, device=match.mass().device))[1].shape[-1]


def peak_weight(match: Correspondence) -> Float[Tensor, "b hq wq"]:
    """The largest weight of each row as it stands: small where the row is undecided, and where it has little mass."""
    return per_row(match, lambda weight: weight.amax(-1))


def kept_links(match: Correspondence, share: float = 1e-3) -> Float[Tensor, "b hq wq"]:
    """Links that carry weight: more than `share` of what their row carries, so that the tail of a softmax is none."""
    return per_row(match, lambda weight: (weight > share * weight.sum(-1, keepdim=True)).to(weight.dtype).sum(-1))


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


def footprint(cells: CellTruth, key_size: tuple[int, int]) -> Bool[Tensor, "b q k"]:
    """Which cells of the exemplar are the true footprint of each cell of the target; none where it has no counterpart.

    The footprint is a disc round the true point (any of the equally right ones) with the area that the cell covers in the
    exemplar, widened by half a cell's diagonal so that the cell holding the point always belongs to it.
    """
    truth, radius = _discs(cells, key_size)
    centres = cell_centres(key_size, device=truth.device, dtype=truth.dtype)
    return _nearest(truth, centres) <= radius[..., None]


def mass_in_footprint(match: Correspondence, cells: CellTruth) -> Float[Tensor, " b"]:
    """The weight that falls on the true `footprint` of visible cells, so that a soft row is judged whole, not by its peak."""
    truth, radius = _discs(cells, match.key_size)
    centres = cell_centres(match.key_size, device=truth.device, dtype=truth.dtype)
    visible = cells.visible.flatten(1)
    inside = torch.zeros_like(radius)
    for query in _few_rows(match, visible.any(0).nonzero()[:, 0]):
        if _links_per_row(match) < len(centres):
            index, weight = match.links(query)
            distance = (index_to_xy(index, match.key_size).to(truth)[:, None] - truth[:, :, query, None]).norm(dim=-1)
            distance = distance.nan_to_num(nan=math.inf).amin(1)
        else:
            weight, distance = match.rows(query), _nearest(truth[:, :, query], centres)
        inside[:, query] = (weight * (distance <= radius[:, query, None])).sum(-1)
    return mean_where(inside.unflatten(1, match.query_size), cells.visible)


def _discs(cells: CellTruth, key_size: tuple[int, int]) -> tuple[Float[Tensor, "b s q 2"], Float[Tensor, "b q"]]:
    """Centres, one for each right answer, and radius of every cell's footprint, in cells of the exemplar."""
    scale = cells.points.new_tensor([key_size[i] / cells.image_size[i] for i in (1, 0)])
    truth = cells.points.flatten(3).movedim(2, -1) * scale
    keys_per_query = math.prod(key_size) / math.prod(cells.visible.shape[1:])
    return truth, (cells.count.flatten(1) * keys_per_query / math.pi).sqrt() + math.sqrt(0.5)


def _nearest(truth: Float[Tensor, "b s q 2"], centres: Float[Tensor, "k 2"]) -> Float[Tensor, "b q k"]:
    """From each centre to the nearest right answer; infinity where there is none."""
    exact = "donot_use_mm_for_euclid_dist"  # a GPU's matrix product may round to ten bits
    return torch.cdist(truth, centres, compute_mode=exact).nan_to_num(nan=math.inf).amin(1)
