"""What the regions of a factored match hold, whom they serve, and what their gate takes away: Fig. 6 and Sec. 3.2 of [MSCA].

Of one match the product of `served_regions` and `gathered_classes` is its transfer matrix (`metrics.transfer`): which class
feeds which is decided by who gathers it and who is served by whom. Labels lie on the grids of the match, see
`transfer.labels_of_cells`; −1 is no class.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from exemplar_lab.correspondence import FactoredMatch
from exemplar_lab.metrics.ranks import auroc, spearman
from exemplar_lab.metrics.transfer import one_hot_labels


def gathered_classes(match: FactoredMatch, exemplar_label: Int[Tensor, "b hk wk"], classes: int) -> Float[Tensor, "b r c"]:
    """Of what each region gathers, the share that lies on each class of the exemplar. NaN for a region that gathers from
    no class."""
    weight = match.key_factor @ one_hot_labels(exemplar_label, classes).to(match.key_factor.dtype)
    return _shares(weight)


def served_regions(match: FactoredMatch, target_label: Int[Tensor, "b hq wq"], classes: int) -> Float[Tensor, "b c r"]:
    """Of what target positions of each class are given, the share that comes from each region, after the gate. NaN for a class
    that the target lacks."""
    given = match.query_factor * (match.gate * match.key_factor.sum(-1))[:, None]
    return _shares(one_hot_labels(target_label, classes).transpose(1, 2).to(given.dtype) @ given)


def share_of_classes(gathered: Float[Tensor, "b r c"], which: Bool[Tensor, "b c"]) -> Float[Tensor, "b r"]:
    """How much of each region lies on the classes `which` of its image, 0 … 1."""
    return (gathered * which[:, None]).sum(-1)


def present_classes(label: Int[Tensor, "b h w"], classes: int) -> Bool[Tensor, "b c"]:
    """The classes that each label map shows."""
    return one_hot_labels(label, classes).any(1)


def gate_scores(
    gate: Float[Tensor, "b r"], unwanted: Float[Tensor, "b r"], least: float = 0.5
) -> dict[str, Float[Tensor, " b"]]:
    """Does the gate switch off the regions that hold what is not wanted?

    gate: in 0 … 1. unwanted: the share of each region that lies on classes the target lacks; `least` of it makes a region one
    that should be switched off. Over the regions of each image:
    auroc: the chance that the gate of such a region is the lower one; 0.5 is a guess; NaN without both kinds.
    rank: Spearman's ρ of gate and share; −1 is a perfect filter.
    off, on: the mean gates of both kinds; NaN where there is none.
    """
    scores: dict[str, list[Tensor]] = {"auroc": [], "rank": [], "off": [], "on": []}
    for of_image, share in zip(gate, unwanted, strict=True):
        holding = share >= least
        off, on = of_image[holding], of_image[~holding]
        scores["auroc"].append(auroc(off, on) if len(off) else of_image.new_tensor(math.nan))
        scores["rank"].append(spearman(of_image, share).to(of_image.dtype))
        scores["off"].append(off.mean())
        scores["on"].append(on.mean())
    return {name: torch.stack(values) for name, values in scores.items()}


def region_cells(match: FactoredMatch) -> Float[Tensor, "b r"]:
    """Over how many cells of the exemplar each region is spread: exp(entropy) of its row, 1 … k."""
    return torch.special.entr(_shares(match.key_factor)).sum(-1).exp()


def regions_of_rows(match: FactoredMatch) -> Float[Tensor, "b hq wq"]:
    """Of how many regions each target position is mixed: exp(entropy) of what it takes from each before the gate, 1 … r."""
    return torch.special.entr(_shares(match.query_factor)).sum(-1).exp().unflatten(1, match.query_size)


def singular_values(match: FactoredMatch) -> Float[Tensor, "b r"]:
    """Those of W = β · diag(gate) · α that are not zero by its form, the largest first, without writing W out."""
    left = torch.linalg.qr(match.query_factor * match.gate[:, None]).R
    right = torch.linalg.qr(match.key_factor.transpose(1, 2)).R
    found = torch.linalg.svdvals(left @ right.transpose(1, 2))
    return F.pad(found, (0, match.gate.shape[1] - found.shape[1]))


def effective_rank(match: FactoredMatch) -> Float[Tensor, " b"]:
    """exp(entropy) of the singular values as shares of their sum (Roy and Vetterli 2007): as many independent rows as it is
    worth, 1 for one region and at most r."""
    return torch.special.entr(_shares(singular_values(match))).sum(-1).exp()


def _shares(weight: Float[Tensor, "*n m"]) -> Float[Tensor, "*n m"]:
    """Parts of the sum; NaN where there is nothing to share."""
    return weight / weight.sum(-1, keepdim=True)
