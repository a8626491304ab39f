"""Sparse and dense correspondence of any two pictures (Fig. 8, 17 of [CoCosNet]): points and pictures carried by a match."""

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from exemplar_lab.correspondence import Correspondence, DenseMatch
from exemplar_lab.data.images import read_image, resize
from exemplar_lab.grid import xy_to_index
from exemplar_lab.nn.feature_match import TEMPERATURE, match_features
from exemplar_lab.training.references import enlarged_warp
from exemplar_lab.translation import Batch, Truth

LARGEST = 36_864
"""Pixels that pictures of any size are shrunk to before they are matched: 192², which is 48² positions for lab features."""


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
    match: Correspondence, points: Float[Tensor, "n 2"], target: tuple[int, int], exemplar: tuple[int, int]
) -> Float[Tensor, "b n 2"]:
    """Where points of the target, in its pixels, lie in the exemplar, in its pixels; target, exemplar: sizes (h, w).

    A point asks the cell that it lies in and no other, for between the answers of two cells nobody may have looked, and moves
    on from its answer as far as it is from the middle of that cell. NaN where the cell looks nowhere: its row has no weight.
    """
    xy, mass = match.xy(), match.mass()
    points = points.to(xy)
    to_query = points.new_tensor([match.query_size[1] / target[1], match.query_size[0] / target[0]])
    to_key = points.new_tensor([match.key_size[1] / exemplar[1], match.key_size[0] / exemplar[0]])
    cell = (points * to_query).floor() + 0.5
    index = xy_to_index(cell, match.query_size)
    step = (points - cell / to_query) * points.new_tensor([exemplar[1] / target[1], exemplar[0] / target[0]])
    found = xy.flatten(2).transpose(1, 2)[:, index] / to_key + step
    return torch.where(mass.flatten(1)[:, index, None] > 0, found, torch.nan)


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
    nothing = F.interpolate((1 - match.mass()[:, None]).clamp(0, 1), size, mode="bilinear", align_corners=False)
    return (enlarged_warp(match, exemplar, size) + nothing).clamp(0, 1)


@torch.inference_mode()
def match_files(
    target: str | Path, exemplar: str | Path, network: nn.Module
) -> tuple[Float[Tensor, "1 3 h w"], Float[Tensor, "1 3 he we"], DenseMatch]:
    """Two picture files, each in its own size and shape, and how they match by `nn.feature_match`.

    Both are shrunk until they have no more than `LARGEST` pixels. Raises what `data.images.read_image` does.
    """
    pair = [_at_most(read_image(path, shortest=int(LARGEST**0.5)))[None] for path in (target, exemplar)]
    return *pair, match_features(*pair, network)


def _at_most(image: Float[Tensor, "3 h w"]) -> Float[Tensor, "3 hn wn"]:
    height, width = image.shape[1:]
    times = (LARGEST / (height * width)) ** 0.5
    return image if times >= 1 else resize(image, (max(1, int(height * times)), max(1, int(width * times))))
