"""What a match prefers, whatever area the classes cover: the transfer matrix standardised.

The shares of `metrics.transfer`, which are those of Fig. 10 of [MSCA], hold two things at once: what a position wants, and how
much of it the exemplar shows. A match that looks everywhere alike gives the sky the largest share because the sky is large; one
that has every order right, but a tenth of whose weight is spread evenly, gives that tenth to the sky too, and its rank
correlation falls from 0.88 to 0.32 (procedural scenes, 128 pairs). Here that is taken out: the numbers stand beside those.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.correspondence import FactoredMatch
from exemplar_lab.metrics.ranks import spearman
from exemplar_lab.metrics.tables import drawn_again, with_interval
from exemplar_lab.metrics.transfer import cophenetic_correlation, one_hot_labels

_FLAT = 1e-3
"""A row whose values differ by less, relative to the largest, has no order."""

_STILL = 1e-6
"""Relative change of a round at which the fit has come to rest."""


def class_area(label: Int[Tensor, "b h w"], classes: int) -> Float[Tensor, "b c"]:
    """The share of each class in the labelled area; −1 is no class. Zeros where nothing is labelled."""
    count = one_hot_labels(label, classes).sum(1).double()
    return count / count.sum(1, keepdim=True).clamp_min(1)


def class_preference(
    matrices: Float[Tensor, "n c c"],
    area: Float[Tensor, "n c"],
    times: Float[Tensor, "m n"] | None = None,
    rounds: int = 1000,
) -> Float[Tensor, "*m c c"]:
    """Row i: the shares that classes would get from an exemplar in which all of them cover the same area. Rows sum to one.

    If positions of class i give a pixel of class j the weight f_ij, each exemplar's shares are s_ij = f_ij a_j / Σ_l f_il a_l,
    Luce's choice among what is there. f is the one for which the sums of shares over the exemplars are those found, which for
    shares that were counted is that of the largest likelihood; it is found by Hunter's iteration (MM algorithms for generalized
    Bradley–Terry models, 2004). A match that goes by the look of pixels alone has such an f, and one that gives a class
    its share whatever area it covers has none: f is then too large for what is small.

    matrices: shares (`transfer_matrix`), one for each image, NaN where unknown. area: of the exemplar (`class_area`). times: m
    fits, each counting the images so many times. rounds: at most, and fewer where nothing moves any more. NaN where a pair of
    classes never occurred.
    """
    area, share = area.double(), matrices.detach().double()
    counted = torch.ones(1, len(share), dtype=share.dtype, device=share.device) if times is None else times.to(share)
    known = share.isfinite()
    met = torch.einsum("mn,nij->mij", counted, known.to(share.dtype)) > 0
    got = torch.einsum("mn,nij->mij", counted, share.nan_to_num())
    row = counted[:, :, None] * known.any(2)
    preference = met.to(share.dtype)
    for _ in range(rounds):
        offered = torch.einsum("mij,nj->mni", preference, area)
        wanted = torch.where(offered > 0, row / offered.clamp_min(1e-300), 0)
        before, preference = preference, got / torch.einsum("mni,nj->mij", wanted, area).clamp_min(1e-300)
        preference = preference / preference.sum(2, keepdim=True).clamp_min(1e-300)
        if ((preference - before).abs() <= _STILL * before + 1e-12).all():
            break
    preference = torch.where(met, preference, math.nan)
    return preference[0] if times is None else preference


def preference_rank(preference: Float[Tensor, "c c"], true: Float[Tensor, "c c"]) -> float:
    """The mean over target classes of Spearman's ρ between what they take from each other class, and what is true.

    Within a row the order is the same however soft a match is; between rows it is not. A row that is flat counts as 0, one of
    which fewer than three others are known is left out.
    """
    found = []
    for number, (row, truth) in enumerate(zip(preference.double(), true.double().to(preference.device), strict=True)):
        known = row.isfinite() & truth.isfinite()
        known[number] = False
        if known.sum() > 2:
            row = row[known]
            flat = row.max() - row.min() <= _FLAT * row.max()
            found.append(0.0 if flat else float(spearman(row, truth[known])))
    return sum(found) / len(found) if found else math.nan


def preference_summary(
    matrices: Float[Tensor, "n c c"],
    area: Float[Tensor, "n c"],
    true: Float[Tensor, "c c"],
    draws: int = 50,
    group: Int[Tensor, " n"] | None = None,
) -> dict[str, dict[str, float]]:
    """{"preference_rank", "preference_cophenetic"}: `class_preference` against the truth, with intervals of images drawn again
    as `tables.summarise` gives them, whose `group` this is.
    """
    true = true.double().cpu()
    times = torch.cat([torch.ones(1, len(matrices), dtype=torch.float64), drawn_again(len(matrices), draws, group)])
    fitted = class_preference(matrices.cpu(), area.cpu(), times)
    return {
        "preference_rank": with_interval(torch.tensor([preference_rank(one, true) for one in fitted])),
        "preference_cophenetic": with_interval(torch.tensor([cophenetic_correlation(one, true) for one in fitted])),
    }


def pixel_oracle(
    true: Float[Tensor, "c c"], exemplar_label: Int[Tensor, "b hk wk"], target_label: Int[Tensor, "b hq wq"]
) -> FactoredMatch:
    """The match whose preference is `true`: a position of class i gives every pixel of class j the weight true[i, j], scaled to
    a sum of one. `transfer.class_oracle` gives it to the class as a whole.
    """
    exemplar, target = (one_hot_labels(label, len(true)).to(true.dtype) for label in (exemplar_label, target_label))
    true = true.to(exemplar.device)
    size = exemplar.sum(1)
    total = (true[None] * size[:, None]).sum(2)
    factor = target @ torch.where(total[..., None] > 0, true / total.clamp_min(1e-30)[..., None], 0)
    sizes = tuple(target_label.shape[1:]), tuple(exemplar_label.shape[1:])
    return FactoredMatch(*sizes, factor, torch.ones_like(size), exemplar.transpose(1, 2))


def uniform_match(batch: int, query_size: tuple[int, int], key_size: tuple[int, int]) -> FactoredMatch:
    """Every position looks at the whole exemplar alike, as global average pooling does."""
    queries, keys = math.prod(query_size), math.prod(key_size)
    ones = torch.ones(batch, queries, 1), torch.ones(batch, 1)
    return FactoredMatch(query_size, key_size, *ones, torch.full((batch, 1, keys), 1 / keys))
