"""Positions of a grid as indices and as points: index = y · width + x, and the centre of the first cell is (0.5, 0.5)."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


def index_to_xy(index: Int[Tensor, "..."], size: tuple[int, int]) -> Float[Tensor, "... 2"]:
    """The centres (x, y) of the cells `index` of a grid of `size` (h, w)."""
    return torch.stack([index % size[1], index.div(size[1], rounding_mode="floor")], dim=-1) + 0.5


def xy_to_index(xy: Float[Tensor, "... 2"], size: tuple[int, int]) -> Int[Tensor, "..."]:
    """The cell of a grid of `size` (h, w) that holds the point (x, y); points outside fall into the nearest border cell."""
    height, width = size
    x, y = xy.floor().long().unbind(-1)
    return y.clamp(0, height - 1) * width + x.clamp(0, width - 1)


def cell_centres(
    size: tuple[int, int], device: torch.device | str | None = None, dtype: torch.dtype = torch.float32
) -> Float[Tensor, "n 2"]:
    """The centres (x, y) of all cells, in the order of their indices."""
    return index_to_xy(torch.arange(size[0] * size[1], device=device), size).to(dtype)


def sample_at(image: Float[Tensor, "b c h w"], xy: Float[Tensor, "b 2 hq wq"]) -> Float[Tensor, "b c hq wq"]:
    """The image read bilinearly at points (x, y) in its own pixels; NaN and outside points read the nearest border."""
    height, width = image.shape[-2:]
    scale = torch.tensor([width, height], device=xy.device, dtype=xy.dtype)
    grid = xy.nan_to_num().movedim(1, -1) / scale * 2 - 1
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=False)
