"""The truth of pixels brought to the cells of a match, and matches to compare with: oracle, copy, nearest label, random."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from exemplar_lab.correspondence import SparseMatch
from exemplar_lab.grid import cell_centres, xy_to_index
from exemplar_lab.translation import Truth


@dataclass(frozen=True)
class CellTruth:
    """Where each cell of the query grid came from.

    points: the s equally right answers (x, y) in exemplar pixels, the true flow first; NaN where there is none.
    visible: the cell has a counterpart that can be seen; metrics count these cells only.
    no_match: not one pixel of the cell has a visible counterpart, nor another right answer (the twin of a hidden cheek). Cells
        between the two are counted nowhere.
    count: exemplar pixels that one target pixel of the cell covers; 0 outside `visible`.
    box: longer side of the box round all objects of the exemplar, in pixels; of the image, where nothing is background.
    image_size: of target and exemplar, in pixels.
    """

    points: Float[Tensor, "b s 2 hq wq"]
    visible: Bool[Tensor, "b hq wq"]
    no_match: Bool[Tensor, "b hq wq"]
    count: Float[Tensor, "b hq wq"]
    box: Float[Tensor, " b"]
    image_size: tuple[int, int]


def truth_of_cells(truth: Truth, query_size: tuple[int, int]) -> CellTruth:
    """The mean of the true flow over the visible pixels of the part that fills most of the cell.

    A mean over two parts would point between them, where neither came from. A cell is visible when that one part, seen in the
    exemplar too, fills at least half of it; so the mean of its flow stays within half a cell of the flow of the cell's centre.
    """
    height, width = truth.flow.shape[-2:]
    if height % query_size[0] or width % query_size[1]:
        raise ValueError(
            f"got images of {height} × {width} pixels and a query grid of {query_size[0]} × {query_size[1]} cells, expected a "
            "whole number of pixels in each cell: resize the batch before it is matched"
        )
    cell = height // query_size[0], width // query_size[1]

    def mean(of_pixels: Tensor) -> Tensor:
        return F.avg_pool2d(of_pixels, cell)

    part = torch.zeros_like(truth.visible, dtype=torch.long) if truth.target_part is None else truth.target_part.long() + 1
    votes = F.one_hot(part, int(part.max()) + 1).movedim(-1, 1) * truth.visible[:, None]
    share, winner = mean(votes.to(truth.flow.dtype)).max(1)
    of_winner = truth.visible & (part == winner.repeat_interleave(cell[0], 1).repeat_interleave(cell[1], 2))

    answers = truth.flow[:, None] if truth.match_set is None else truth.match_set
    counted = of_winner[:, None] & answers.isfinite().all(2)
    total = mean((answers.nan_to_num() * counted[:, :, None]).flatten(1, 2)).unflatten(1, answers.shape[1:3])
    points = total / mean(counted.to(answers.dtype))[:, :, None]

    visible = share >= 0.5 - 1e-6
    count = torch.ones_like(share) if truth.count is None else mean((truth.count * of_winner)[:, None])[:, 0] / share
    answered = truth.visible | answers[:, 1:].isfinite().all(2).any(1)  # all answers but the flow are visible ones
    no_match = mean(answered[:, None].to(truth.flow.dtype))[:, 0] == 0
    return CellTruth(points, visible, no_match, count.nan_to_num() * visible, _object_box(truth).to(points), (height, width))


def in_the_middle(value: Tensor, size: tuple[int, int]) -> Tensor:
    """b … h w, a number for each pixel -> b … hq wq: for each cell of a grid, that of the pixel which holds its centre."""
    height, width = value.shape[-2:]
    scale = torch.tensor([width / size[1], height / size[0]])
    x, y = (cell_centres(size) * scale).long().to(value.device).unbind(-1)
    return value[..., y, x].unflatten(-1, size)


def _object_box(truth: Truth) -> Int[Tensor, " b"]:
    """The longer side of the bounding box of exemplar_part >= 0; of the image where there is no background, or no object."""
    batch, height, width = truth.visible.shape
    if truth.exemplar_part is None:
        return torch.full((batch,), max(height, width))
    thing = truth.exemplar_part >= 0
    sides = [_extent(thing.any(axis)) for axis in (1, 2)]
    longer = torch.maximum(*sides)
    return torch.where(longer > 0, longer, max(height, width))


def _extent(occupied: Bool[Tensor, "b n"]) -> Int[Tensor, " b"]:
    """From the first to the last True, both counted; 0 where there is none."""
    number = torch.arange(1, occupied.shape[1] + 1, device=occupied.device)
    last = (occupied * number).amax(1)
    first = torch.where(occupied, number, occupied.shape[1] + 1).amin(1)
    return (last - first + 1).clamp_min(0)


def oracle_match(truth: Truth, query_size: tuple[int, int], key_size: tuple[int, int], nearest: bool = False) -> SparseMatch:
    """The best that a match on these grids can say: the true point as weights on its four neighbours.

    `nearest` puts all on the nearest cell and so shows the floor of all that ends in an index: 0.383 of a cell on average.
    Cells without a visible counterpart have no weight at all.
    """
    cells = truth_of_cells(truth, query_size)
    scale = torch.tensor([key_size[1] / cells.image_size[1], key_size[0] / cells.image_size[0]]).to(cells.points)
    point = cells.points[:, 0].flatten(2).transpose(1, 2).nan_to_num() * scale
    visible = cells.visible.flatten(1)[..., None]
    if nearest:
        return SparseMatch(query_size, key_size, xy_to_index(point, key_size)[..., None], visible.to(point.dtype))
    first = (point - 0.5).floor() + 0.5
    corners = first[:, :, None] + torch.tensor([[0, 0], [1, 0], [0, 1], [1, 1]]).to(point)
    weight = (1 - (point[:, :, None] - corners).abs()).prod(-1)
    return SparseMatch(query_size, key_size, xy_to_index(corners, key_size), weight * visible)


def footprint_match(truth: Truth, query_size: tuple[int, int], key_size: tuple[int, int]) -> SparseMatch:
    """The oracle of how many links a row needs: the exemplar cells nearest to the true point, as many as the true count says.

    All weights are equal but the last, which stands for the fraction of a cell; no row of a visible cell has fewer than one
    link, and no other row has any.
    """
    cells = truth_of_cells(truth, query_size)
    scale = torch.tensor([key_size[1] / cells.image_size[1], key_size[0] / cells.image_size[0]]).to(cells.points)
    visible = cells.visible.flatten(1)
    point = cells.points[:, 0].flatten(2).transpose(1, 2)[visible] * scale
    keys_per_query = math.prod(key_size) / math.prod(query_size)
    needed = (cells.count.flatten(1)[visible] * keys_per_query).clamp(1, math.prod(key_size))[:, None]
    most = math.ceil(float(needed.max())) if len(needed) else 1
    radius = min(math.ceil(math.sqrt(most / math.pi)) + 1, max(key_size))
    reach = torch.arange(-radius, radius + 1).to(point)
    around = point.floor()[:, None] + 0.5 + torch.cartesian_prod(reach, reach)
    inside = (around > 0).all(-1) & (around[..., 0] < key_size[1]) & (around[..., 1] < key_size[0])
    distance = (around - point[:, None]).norm(dim=-1).masked_fill(~inside, math.inf)
    distance, order = distance.topk(min(most, distance.shape[1]), largest=False, sorted=True)
    nearest = (needed - torch.arange(order.shape[1]).to(needed)).clamp(0, 1) * distance.isfinite()
    index = torch.zeros(*visible.shape, order.shape[1], dtype=torch.long, device=visible.device)
    weight = needed.new_zeros(index.shape)
    index[visible] = xy_to_index(around.gather(1, order[..., None].expand(-1, -1, 2)), key_size)
    weight[visible] = nearest / nearest.sum(-1, keepdim=True)
    return SparseMatch(query_size, key_size, index, weight)


def copy_match(batch: int, query_size: tuple[int, int], key_size: tuple[int, int]) -> SparseMatch:
    """Every position looks at the same place of the exemplar: what one gets without matching."""
    scale = torch.tensor([key_size[1] / query_size[1], key_size[0] / query_size[0]])
    index = xy_to_index(cell_centres(query_size) * scale, key_size)[None, :, None].expand(batch, -1, -1)
    return SparseMatch(query_size, key_size, index, torch.ones(index.shape))


def random_match(batch: int, query_size: tuple[int, int], key_size: tuple[int, int], seed: int = 0) -> SparseMatch:
    """Every position looks at one exemplar position, drawn from all with equal chance."""
    shape = batch, query_size[0] * query_size[1], 1
    index = torch.randint(key_size[0] * key_size[1], shape, generator=torch.Generator().manual_seed(seed))
    return SparseMatch(query_size, key_size, index, torch.ones(shape))


def nearest_label_match(target_label: Int[Tensor, "b hq wq"], exemplar_label: Int[Tensor, "b hk wk"]) -> SparseMatch:
    """Every position looks at the nearest exemplar position of its own label: what labels give without looking at the image.

    Labels lie on the grids of the match, see `transfer.labels_of_cells`; background, −1, is a label as any other. Distances are
    counted in cells of the exemplar, both grids laid over each other; of equally near positions it is the last, in which
    `copy_match` agrees. Where the exemplar lacks the label, the same place.
    """
    query_size, key_size = (tuple(label.shape[1:]) for label in (target_label, exemplar_label))
    copy = copy_match(len(target_label), query_size, key_size).to(target_label.device)
    nearest = [_nearest_of_label(*pair) for pair in zip(target_label, exemplar_label, strict=True)]
    index = torch.stack(nearest).flatten(1)[..., None]
    index = torch.where(index < 0, copy.index, index)
    return SparseMatch(query_size, key_size, index, copy.weight)


def _nearest_of_label(target: Int[Tensor, "hq wq"], exemplar: Int[Tensor, "hk wk"]) -> Int[Tensor, "hq wq"]:
    """The index of the nearest key cell of the same label; −1 where there is none.

    First the nearest within each column of the exemplar, then the nearest of the columns: the squared distance is a sum over
    axes. It is counted in whole steps, times the number of keys, so that the lowest digits have room for the index and one
    minimum finds both, exactly.
    """
    (hq, wq), (hk, wk) = target.shape, exemplar.shape
    down, across = _steps(hq, hk, target.device) * wq, _steps(wq, wk, target.device) * hq
    step = math.gcd(*(math.gcd(2 * q, 2 * k, q - k) * other for q, k, other in ((hq, hk, wq), (wq, wk, hq))))
    down = (down // step).square() * hk * wk - torch.arange(hk, device=target.device) * wk
    across = (across // step).square() * hk * wk - torch.arange(wk, device=target.device)
    far = torch.iinfo(torch.long).max // 2
    index = torch.full_like(target, -1, dtype=torch.long)
    for label in target.unique():
        asked = target == label
        row, column = asked.nonzero(as_tuple=True)
        rows, row = row.unique(return_inverse=True)
        in_column = torch.where(exemplar == label, down[rows][:, :, None], far).amin(1)
        best = (in_column[row] + across[column]).amin(1)
        index[asked] = torch.where(best < far // 2, -best % (hk * wk), -1)
    return index


def _steps(queries: int, keys: int, device: torch.device) -> Int[Tensor, "{queries} {keys}"]:
    """From the centre of each query cell to that of each key cell along one axis, in 1 / (2 · queries) of a key cell."""
    query, key = (2 * torch.arange(number, device=device) + 1 for number in (queries, keys))
    return query[:, None] * keys - key * queries
