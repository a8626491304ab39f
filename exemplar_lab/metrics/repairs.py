"""What a layer does to the match of the layer before it: where it comes nearer to the truth, and whether that is at borders."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from exemplar_lab.correspondence import Correspondence
from exemplar_lab.metrics.cells import CellTruth, in_the_middle, truth_of_cells
from exemplar_lab.metrics.points import mean_where, predicted_points, set_error
from exemplar_lab.translation import Truth


def pixels_gained(before: Correspondence, after: Correspondence, cells: CellTruth) -> Float[Tensor, "b hq wq"]:
    """By how many pixels `after` points nearer to the nearest right answer than `before`; NaN where a cell is not visible.

    Both on one grid. Negative: farther. A row without any weight points to the corner, as `xy()` has it.
    Raises ValueError for two grids.
    """
    if tuple(before.query_size) != tuple(after.query_size):
        raise ValueError(
            f"got matches of {tuple(before.query_size)} and {tuple(after.query_size)} cells, expected two layers of one grid"
        )
    errors = [set_error(predicted_points(match, cells.image_size), cells) for match in (before, after)]
    return torch.where(cells.visible, errors[0] - errors[1], torch.nan)


def near_borders(label: Int[Tensor, "b h w"], size: tuple[int, int], reach: int = 2) -> Bool[Tensor, "b hq wq"]:
    """Cells of a grid whose middle pixel has another label within `reach` pixels, along either axis or both."""
    around = F.pad(label[:, None].double(), (reach,) * 4, mode="replicate")
    largest, smallest = (sign * F.max_pool2d(sign * around, 2 * reach + 1, 1)[:, 0] for sign in (1, -1))
    return in_the_middle(largest != smallest, size)


def repair_scores(
    before: Correspondence, after: Correspondence, cells: CellTruth, at_border: Bool[Tensor, "b hq wq"], least: float = 0.5
) -> dict[str, Float[Tensor, " b"]]:
    """Of each image, over its visible cells; `at_border` from `near_borders`. NaN without any such cell.

    gained: mean of `pixels_gained`; gained at borders, gained inside: the same over the cells at borders, and over the others.
    nearer, farther: shares of the cells that moved by more than `least` pixels towards the truth, and away from it.
    """
    gained = pixels_gained(before, after, cells).nan_to_num()
    number = gained.dtype
    return {
        "gained": mean_where(gained, cells.visible),
        "gained at borders": mean_where(gained, cells.visible & at_border),
        "gained inside": mean_where(gained, cells.visible & ~at_border),
        "nearer": mean_where((gained > least).to(number), cells.visible),
        "farther": mean_where((gained < -least).to(number), cells.visible),
    }


def repairs_kept(
    before: Correspondence, after: Correspondence, last: Correspondence, truth: Truth, least: float = 3.0
) -> Float[Tensor, " b"]:
    """Of the cells that `after` brought nearer by at least `least` pixels, the share where half of that is left in `last`.

    last: a match on the same grid or a finer one; the error of a coarse cell is the mean over its visible fine cells. NaN where
    nothing was repaired.
    """
    cells, fine = (truth_of_cells(truth, match.query_size) for match in (after, last))
    gained = pixels_gained(before, after, cells)
    start = set_error(predicted_points(before, cells.image_size), cells)
    step = fine.visible.shape[1] // cells.visible.shape[1]
    error = set_error(predicted_points(last, fine.image_size), fine)
    seen = F.avg_pool2d(fine.visible[:, None].to(error.dtype), step)[:, 0]
    end = F.avg_pool2d(torch.where(fine.visible, error, 0)[:, None], step)[:, 0]
    repaired = (gained >= least) & (seen > 0)
    return mean_where((start - end / seen >= gained / 2).to(gained.dtype), repaired)
