"""The links that a row cut, beside those that it kept: how far from the truth are they, and do they lead to the right label?"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.correspondence import Correspondence
from exemplar_lab.grid import index_to_xy
from exemplar_lab.metrics.cells import CellTruth, in_the_middle
from exemplar_lab.ops.candidates import first_of_each

_CHUNK = 2**22
"""Links looked at in one go."""


def pruned_scores(
    match: Correspondence,
    cells: CellTruth,
    target_label: Int[Tensor, "b h w"] | None = None,
    exemplar_label: Int[Tensor, "b he we"] | None = None,
) -> dict[str, Float[Tensor, " b"]]:
    """Of each image, over the visible cells; every position counts once in a row. NaN where there are no such links.

    links: considered, per row. pruned: the share of them that has no weight at all.
    kept distance, pruned distance: from the middle of a link's cell to the nearest right answer, in pixels, all links alike.
    weighted distance: the same of the kept links, by their weight.
    With labels (of pixels; read in the middle of a cell): kept same label, pruned same label: the share of links that lead to
    the label of their query.
    """
    queries = torch.arange(math.prod(match.query_size), device=cells.points.device)
    per_row = match.links(queries[:1])[0]
    parts = [
        _sums(match, cells, some, target_label, exemplar_label)
        for some in queries.split(max(1, _CHUNK // (per_row.shape[0] * per_row.shape[-1])))
    ]
    total = {name: sum(part[name] for part in parts) for name in parts[0]}
    rows = cells.visible.flatten(1).sum(1)
    both = total["kept"] + total["pruned"]
    scores = {"links": both / rows, "pruned": total["pruned"] / both}
    scores |= {f"{kind} distance": total[f"{kind} distance"] / total[kind] for kind in ("kept", "pruned")}
    scores["weighted distance"] = total["weighted distance"] / total["weight"]
    if target_label is not None and exemplar_label is not None:
        scores |= {f"{kind} same label": total[f"{kind} same label"] / total[kind] for kind in ("kept", "pruned")}
    return scores


def _sums(
    match: Correspondence,
    cells: CellTruth,
    query: Int[Tensor, " n"],
    target_label: Tensor | None,
    exemplar_label: Tensor | None,
) -> dict[str, Float[Tensor, " b"]]:
    index, weight = match.links(query)  # of a position that stands several times, the first place has all its weight
    seen = cells.visible.flatten(1)[:, query, None] & first_of_each(index)
    distance = _distance(match, cells, query, index).double()
    links = {"kept": seen & (weight > 0), "pruned": seen & (weight == 0)}
    sums = {name: which.sum((1, 2)).double() for name, which in links.items()}
    sums |= {f"{name} distance": torch.where(which, distance, 0).sum((1, 2)) for name, which in links.items()}
    heavy = torch.where(links["kept"], weight, 0).double()
    sums |= {"weight": heavy.sum((1, 2)), "weighted distance": torch.where(links["kept"], heavy * distance, 0).sum((1, 2))}
    if target_label is not None and exemplar_label is not None:
        here = in_the_middle(target_label, match.query_size).flatten(1)[:, query, None]
        there = in_the_middle(exemplar_label, match.key_size).flatten(1)
        same = there.gather(1, index.flatten(1)).unflatten(1, index.shape[1:]) == here
        sums |= {f"{name} same label": (which & same).sum((1, 2)).double() for name, which in links.items()}
    return sums


def _distance(match: Correspondence, cells: CellTruth, query: Tensor, index: Int[Tensor, "b n t"]) -> Float[Tensor, "b n t"]:
    """To the nearest right answer, in pixels of the exemplar."""
    pixels = cells.points.new_tensor([cells.image_size[1] / match.key_size[1], cells.image_size[0] / match.key_size[0]])
    centre = index_to_xy(index, match.key_size).to(pixels) * pixels
    right = cells.points.flatten(3)[..., query].movedim(2, -1)[:, :, :, None]
    return (centre[:, None] - right).norm(dim=-1).nan_to_num(nan=math.inf).amin(1)
