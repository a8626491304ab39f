"""Every structure with every exemplar: against the truth where there is one, and where nobody knows the answer: whose look each
image has, and whose structure.

The last two are asked of the made image alone: among all exemplars, is its own the nearest in style? Among all structures, do
the labels of its own say most about its colours?
"""

import math
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from exemplar_lab.metrics.appearance import psnr
from exemplar_lab.metrics.perceptual import GATYS_LAYERS, gatys_style_loss


def style_distances(
    of_made: Mapping[str, Float[Tensor, "nm _ _ _"]],
    of_exemplars: Mapping[str, Float[Tensor, "m _ _ _"]],
    layers: Sequence[str] = GATYS_LAYERS,
) -> Float[Tensor, "n m m"]:
    """`gatys_style_loss` of the image in row i and column j to each exemplar k.

    of_made: features of the images, row by row; of_exemplars: of the m exemplars of the columns.
    Raises ValueError when the images are no whole number of rows.
    """
    images, count = (len(next(iter(maps.values()))) for maps in (of_made, of_exemplars))
    if not count or images % count:
        raise ValueError(f"got {images} images for {count} exemplars, expected every structure with every exemplar")
    columns = []
    for k in range(count):
        one = {layer: maps[k : k + 1].expand(images, -1, -1, -1) for layer, maps in of_exemplars.items()}
        columns.append(gatys_style_loss(of_made, one, layers))
    return torch.stack(columns, dim=-1).unflatten(0, (images // count, count))


def own_style(distance: Float[Tensor, "n m m"]) -> tuple[Float[Tensor, "n m"], Bool[Tensor, "n m"]]:
    """The distance of each cell to its own exemplar over the median of those to the others, and whether its own is the nearest.

    Below 1 a cell is nearer to its own than to most others. The median, because one exemplar of strong features is far from
    everything and would make every mean its own. Raises ValueError for fewer than two exemplars.
    """
    count = distance.shape[2]
    if count < 2:
        raise ValueError(f"got {count} exemplar, expected at least 2: there is nothing to tell it from")
    own = distance.diagonal(dim1=1, dim2=2)
    itself = torch.eye(count, dtype=torch.bool, device=distance.device)
    others = distance.masked_fill(itself, math.nan).nanmedian(2).values
    return own / others, distance.argmin(2) == torch.arange(count, device=distance.device)


def swap_scores(
    made: Float[Tensor, "n m 3 h w"], truth: Float[Tensor, "n m 3 h w"]
) -> tuple[Float[Tensor, "n m"], Bool[Tensor, "n m"]]:
    """PSNR in dB of every cell against its truth, and whether of all styles of its structure its own is the nearest.

    `own_style` asks the second where there is no truth: there the distances are to the exemplars, here to pictures of the very
    structure, so that one style is enough, and nothing is relative to the others.
    """
    of_cells = torch.stack([_cell_psnr(made, truth[:, [style]].expand_as(made)) for style in range(truth.shape[1])], dim=-1)
    own = torch.arange(truth.shape[1], device=made.device)
    return of_cells.diagonal(dim1=1, dim2=2), of_cells.argmax(-1) == own


def _cell_psnr(made: Float[Tensor, "n m 3 h w"], truth: Float[Tensor, "n m 3 h w"]) -> Float[Tensor, "n m"]:
    flat = made.flatten(0, 1)
    return psnr(flat, truth.flatten(0, 1), torch.ones_like(flat[:, 0], dtype=torch.bool)).unflatten(0, made.shape[:2])


def explained_by_labels(image: Float[Tensor, "b c h w"], part: Int[Tensor, "b h w"]) -> Float[Tensor, " b"]:
    """The share of the variance of the colours of an image that lies between the regions of a label map, not within them.

    1: every region has one colour; about 0: labels say nothing. Adjusted for the number of regions as R² is in regression, so
    that a map with more regions gains nothing by them, and a little below 0 by chance. part: −1 counts for no region; NaN where
    an image has one colour, or fewer labelled pixels than regions.
    """
    shares = []
    for colours, labels in zip(image.double().flatten(2), part.flatten(1), strict=True):
        known = labels >= 0
        colours, (names, region) = colours[:, known], labels[known].unique(return_inverse=True)
        pixels, regions = colours.shape[1], len(names)
        if pixels <= regions:
            shares.append(math.nan)
            continue
        sums = colours.new_zeros(len(colours), regions).index_add_(1, region, colours)
        means = sums / torch.bincount(region, minlength=regions)
        within = (colours - means[:, region]).square().sum() / (pixels - regions)
        total = (colours - colours.mean(1, keepdim=True)).square().sum() / (pixels - 1)
        shares.append(float(1 - within / total) if total > 1e-12 else math.nan)
    return image.new_tensor(shares)


def own_structure(
    made: Float[Tensor, "n m 3 h w"], part: Int[Tensor, "n h w"]
) -> tuple[Float[Tensor, "n m"], Bool[Tensor, "n m"]]:
    """`explained_by_labels` of each cell by the labels of its own row, and whether no other row's labels explain more."""
    images = made.flatten(0, 1)
    by_row = [explained_by_labels(images, labels.expand(len(images), -1, -1)).unflatten(0, made.shape[:2]) for labels in part]
    explained = torch.stack(by_row, dim=-1).nan_to_num(-math.inf)
    own = torch.arange(len(part), device=made.device)
    return explained.diagonal(dim1=0, dim2=2).T, explained.argmax(-1) == own[:, None]
