"""Where the exemplar stands in its frame when a dial asks for it: partly outside, or whole within a narrow strip."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.data.seeds import choose
from exemplar_lab.data.synth.people.body import Bones, pack, widest
from exemplar_lab.data.synth.people.cast import picture_of
from exemplar_lab.data.synth.people.render import find_surfaces

_RASTER, _MOVES = 96, 128
"""Side of the picture on which the figure is weighed, and how many moves are tried in each direction."""


def into_strip(bones: Bones, chosen: Int[Tensor, " n"], strips: int) -> tuple[Bones, Float[Tensor, " n"]]:
    """The chosen figures made small enough and moved so that they stand whole in the leftmost of `strips` equal strips, in its
    middle; and by how much all were scaled."""
    left, right, top, low = bounds(bones)
    scale = torch.minimum(0.92 / (strips * (right - left)), 0.94 / (low - top)).clamp_max(1)
    scale = torch.where(chosen > 0, scale, 1.0)
    x = torch.where(chosen > 0, 0.5 / strips - (left + right) * 0.5 * scale, 0.0)
    y = torch.where(chosen > 0, 0.5 - (top + low) * 0.5 * scale, 0.0)
    return bones.moved(scale, x, y), scale.double()


def outside(bones: Bones, chosen: Int[Tensor, " n"], key: Int[Tensor, " b"], share: float) -> Bones:
    """The chosen figures moved sideways, up or down until the frame cuts `share` of what can be seen of them.

    The figure is weighed on a coarse picture of all of it. One that is too large for the frame already loses more across the
    movement; then the movement leaves as little beyond as it can.
    """
    left, right, top, low = bounds(bones)
    wide = torch.maximum(right - left, low - top) * 1.02
    middle_x, middle_y = (left + right) * 0.5, (top + low) * 0.5
    fit = bones.moved(1 / wide, 0.5 - middle_x / wide, 0.5 - middle_y / wide)
    found = find_surfaces(pack(fit), _RASTER, True, False)
    mass = (picture_of(found.best, found.tiles)[:, 0] > 0).double()
    at = (torch.arange(_RASTER, device=mass.device) + 0.5) / _RASTER - 0.5
    x, y = middle_x[:, None] + at * wide[:, None], middle_y[:, None] + at * wide[:, None]
    which = choose(key, "crop side", (1, 1, 0.6, 1)).repeat(2)
    moves = []
    for place, along, total in ((x, middle_x, mass * _framed(y)[:, :, None]), (y, middle_y, (mass * _framed(x)[:, None]).mT)):
        for sign in (-1, 1):
            steps = sign * torch.arange(_MOVES, device=mass.device) / _MOVES * (0.5 + 0.5 * wide[:, None])
            tried = (0.5 - along)[:, None] + steps
            inside = (total.sum(1)[:, None] * _framed(place[:, None] + tried[..., None])).sum(2)
            miss = (1 - inside / mass.sum((1, 2)).clamp_min(1)[:, None] - share).abs()
            moves.append(tried.gather(1, miss.argmin(1, keepdim=True))[:, 0])
    move = torch.where(chosen > 0, torch.stack(moves).gather(0, which[None])[0], 0.0)
    sideways = (which < 2).float()
    return bones.moved(torch.ones_like(move), move * sideways, move * (1 - sideways))


def bounds(bones: Bones) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"], Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Left, right, top and bottom of what can be seen of each figure, generously."""
    wide = widest(bones)
    reach = torch.where(wide > 1e-3, torch.maximum(wide, torch.maximum(bones.cap_a, bones.cap_b)), -10.0)
    low_x, low_y = torch.minimum(bones.ax, bones.bx) - reach, torch.minimum(bones.ay, bones.by) - reach
    high_x, high_y = torch.maximum(bones.ax, bones.bx) + reach, torch.maximum(bones.ay, bones.by) + reach
    return low_x.amin(1), high_x.amax(1), low_y.amin(1), high_y.amax(1)


def _framed(place: Tensor) -> Tensor:
    """1 inside the frame, else 0."""
    return ((place > 0) & (place < 1)).double()
