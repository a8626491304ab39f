"""The match read backwards: which places of the exemplar are used, and which should be."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from exemplar_lab.correspondence import Correspondence
from exemplar_lab.metrics.ranks import auroc, spearman
from exemplar_lab.translation import Truth


def usage(match: Correspondence, asked: Bool[Tensor, "b hq wq"] | None = None) -> Float[Tensor, "b hk wk"]:
    """How much weight the target positions `asked` (None: all) together give each exemplar position, in target cells."""
    back = match.transpose()
    return back.mass() if asked is None else back.warp(asked[:, None].to(match.mass().dtype))[:, 0]


def true_usage(truth: Truth, key_size: tuple[int, int]) -> Float[Tensor, "b hk wk"]:
    """How many target pixels truly come from each cell of the exemplar's grid: those whose (first) counterpart lies in it."""
    height, width = truth.flow.shape[-2:]
    scale = truth.flow.new_tensor([key_size[1] / width, key_size[0] / height])
    seen = truth.visible.flatten(1)
    x, y = (truth.flow.flatten(2).transpose(1, 2).nan_to_num() * scale).floor().unbind(-1)
    inside = seen & (x >= 0) & (y >= 0) & (x < key_size[1]) & (y < key_size[0])
    cell = torch.where(inside, y * key_size[1] + x, 0).long()
    empty = truth.flow.new_zeros(len(cell), key_size[0] * key_size[1])
    return empty.scatter_add(1, cell, inside.to(empty.dtype)).unflatten(1, key_size)


def usage_scores(
    match: Correspondence, truth: Truth, asked: Bool[Tensor, "b hq wq"], least: float = 0.05
) -> dict[str, Float[Tensor, " b"]]:
    """Of each image. asked: the target cells that count, such as those whose counterpart can be seen.

    An exemplar position is used when `usage` gives it at least `least`, and needed when `true_usage` is above 0.
    used, needed: shares of the positions. never used: of the needed ones, the share that is not used. in vain: of the used
    ones, the share that is not needed. auroc: the chance that a needed position is used more than one that is not; 0.5 is a
    guess. rank: Spearman's ρ of usage and true usage, over all positions. NaN where there are none of a kind.
    """
    given, wanted = usage(match, asked).flatten(1), true_usage(truth, match.key_size).flatten(1)
    used, needed = given >= least, wanted > 0
    number = given.dtype
    return {
        "used": used.to(number).mean(1),
        "needed": needed.to(number).mean(1),
        "never used": (needed & ~used).sum(1) / needed.sum(1).to(number),
        "in vain": (used & ~needed).sum(1) / used.sum(1).to(number),
        "auroc": torch.stack([auroc(one[~at], one[at]) for one, at in zip(given, needed, strict=True)]).to(number),
        "rank": torch.stack([spearman(*one) for one in zip(given, wanted, strict=True)]).to(number),
    }
