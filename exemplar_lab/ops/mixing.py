"""How much each of several exemplars counts: the same everywhere, over a grid of four, or from left to right.

What comes out is the `amount` of `models.msca.MSCA.mix`: (samples, exemplars, height, width), the sum over exemplars one.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def between_two(share: Float[Tensor, " n"]) -> Float[Tensor, "n 2 1 1"]:
    """Fig. 5 of [MSCA], one line of it: for each of n pictures the second exemplar counts `share`, 0 … 1, the first the rest.

    The paper's letter counts the other way round: it is 1 where the second exemplar is ignored.
    """
    _check("share", share)
    return torch.stack([1 - share, share], dim=1)[..., None, None]


def between_four(rows: int, columns: int) -> Float[Tensor, "n 4 1 1"]:
    """Fig. 5 of [MSCA], the whole: a grid of mixtures, row-major, with one of four exemplars alone at each corner.

    The exemplars are those of the upper left, upper right, lower left and lower right corner; between them the amounts are
    bilinear. Raises ValueError for fewer than two rows or columns.
    """
    if min(rows, columns) < 2:
        raise ValueError(f"got a grid of {rows} × {columns}, expected at least 2 × 2: a corner for each exemplar")
    down = torch.linspace(0, 1, rows)[:, None].expand(rows, columns)
    right = torch.linspace(0, 1, columns)[None].expand(rows, columns)
    corners = [(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right]
    return torch.stack(corners).flatten(1).T[..., None, None]


def from_left_to_right(width: int, border: float = 0.5, softness: float = 1.0) -> Float[Tensor, "1 2 1 w"]:
    """Fig. 7 of [MSCA]: the first exemplar counts at the left, the second at the right.

    border: where both count alike, 0 … 1 of the width. softness: over how much of the width the one gives way to the other, in
    a straight line; 0 is a sharp border, and the defaults reach from edge to edge.
    """
    at = (torch.arange(width) + 0.5) / width - border
    share = (at / softness + 0.5).clamp(0, 1) if softness > 0 else (at > 0).float()
    return between_two(share).movedim(0, -1).reshape(1, 2, 1, width)


def _check(name: str, share: Tensor) -> None:
    if share.numel() and not 0 <= float(share.min()) <= float(share.max()) <= 1:
        raise ValueError(f"got {name} from {float(share.min()):g} to {float(share.max()):g}, expected numbers in 0 … 1")
