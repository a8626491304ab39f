"""Sparse and dense correspondence of any two pictures (Fig. 8, 17 of [CoCosNet]): points and pictures carried by a match."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from exemplar_lab.correspondence import Correspondence
from exemplar_lab.grid import xy_to_index
from exemplar_lab.nn.feature_match import TEMPERATURE, match_features
from exemplar_lab.translation import Batch, Truth


def spread_points(keep: Bool[Tensor, "h w"], count: int, border: int = 3) -> Float[Tensor, "n 2"]:
    """`count` centres of pixels that `keep` keeps, each as far from those before it as can be, the first next to the middle.

    border: pixels at the edge of the picture that are left alone, where there are others. Raises ValueError for too few.
    """
    inner = torch.zeros_like(keep)
    inner[border : len(keep) - border, border : keep.shape[1] - border] = True
    inner = keep & inner if (keep & inner).sum() >= count else keep
    y, x = inner.nonzero().T
    if len(y) < count:
        raise ValueError(f"got {len(y)} pixels for {count} points, expected at least as many: ask for fewer points")
    at = torch.stack([x, y], dim=1).float() + 0.5
    chosen = [int((at - at.mean(0)).norm(dim=1).argmin())]
    away = (at - at[chosen[0]]).norm(dim=1)
    while len(chosen) < count:
        chosen.append(int(away.argmax()))
        away = torch.minimum(away, (at - at[chosen[-1]]).norm(dim=1))
    return at[chosen]


def points_of(
    match: Correspondence, points: Float[Tensor, "n 2"], target: tuple[int, int], exemplar: tuple[int, int], sample: int = 0
) -> Float[Tensor, "n 2"]:
    """Where points of the target, in its pixels, lie in the exemplar, in its pixels; target, exemplar: sizes (h, w).

    A point asks the cell that it lies in, and moves on from its answer as far as it is from the middle of that cell.
    """
    to_query = torch.tensor([match.query_size[1] / target[1], match.query_size[0] / target[0]])
    to_key = torch.tensor([match.key_size[1] / exemplar[1], match.key_size[0] / exemplar[0]])
    cell = (points * to_query).floor() + 0.5
    index = xy_to_index(cell, match.query_size)
    found = match[sample : sample + 1].xy()[0].flatten(1).T[index].cpu() / to_key
    return found + (points - cell / to_query) * torch.tensor([exemplar[1] / target[1], exemplar[0] / target[0]])


def true_points(truth: Truth, points: Float[Tensor, "n 2"], sample: int = 0) -> Float[Tensor, "n 2"]:
    """The same by the true flow of the pixels that hold the points; NaN where the exemplar does not show them."""
    x, y = points.long().unbind(1)
    found = truth.flow[sample].cpu()[:, y, x].T
    return torch.where(truth.visible[sample].cpu()[y, x][:, None], found, torch.nan)


def by_features(network: nn.Module, times: int = 2, temperature: float = TEMPERATURE) -> Callable[[Batch], Correspondence]:
    """`nn.feature_match` of target and exemplar, enlarged so many times before: the grids have so many more cells a side."""

    def matched(batch: Batch) -> Correspondence:
        pair = (F.interpolate(one, scale_factor=times, mode="bilinear") for one in (batch.target, batch.exemplar))
        return match_features(*pair, network, temperature=temperature)

    return matched


def warped(match: Correspondence, exemplar: Float[Tensor, "b 3 h w"], size: tuple[int, int]) -> Float[Tensor, "b 3 hq wq"]:
    """The exemplar carried to the target and enlarged to `size`, as Fig. 17 shows it; white where no mass arrived."""
    warp = match.warp(F.interpolate(exemplar, match.key_size, mode="area")) + (1 - match.mass()[:, None]).clamp(0, 1)
    return F.interpolate(warp, size, mode="bilinear", align_corners=False).clamp(0, 1)
