"""What the painters of a landscape share: the scenery, the lamps, and laying colour over colour."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from exemplar_lab.data.synth.scenes.cast import View
from exemplar_lab.data.synth.scenes.layout import World
from exemplar_lab.data.synth.scenes.materials import colours
from exemplar_lab.data.synth.scenes.style import Light

_SNOW = (0.86, 0.88, 0.93)


class Lamps(NamedTuple):
    """The light on the left of the world's border, and on the right of it where there is another; the border as a tangent."""

    left: Light
    right: Light | None
    border: Tensor

    def at(self, name: str, picture: Tensor, bearing: Tensor) -> Tensor:
        """Field `name` for points of the pictures, colours first; `bearing` is X / Z of the point in the world."""
        here = of_picture(getattr(self.left, name), picture)
        if self.right is None or name == "place":
            return here
        there = of_picture(getattr(self.right, name), picture)
        t = ((bearing - self.border[picture]) * 3.5 + 0.5).clamp(0, 1)
        return here + (there - here) * (t * t * (3 - 2 * t))


class Scenery(NamedTuple):
    """What painting needs: the world, the view, the styles (n, 9) in float64, the lamps, colours of classes (n, 12, 3) without
    snow, how much snow lies and how thick the haze is, (n,), the amplitude of texture, (n,)."""

    world: World
    view: View
    style: Tensor
    lamps: Lamps
    colour: Tensor
    snow: Tensor
    haze: Tensor
    rough: Tensor
    size: int


def scenery(
    world: World, view: View, style: Float[Tensor, "n 9"], lamps: Lamps, rough: Float[Tensor, " n"], size: int
) -> Scenery:
    bare = torch.cat([style[:, :8], torch.zeros_like(style[:, 8:])], dim=-1)
    haze = 0.0015 + 0.016 * style[:, 2]
    return Scenery(world, view, style, lamps, colours(bare).float(), style[:, 8].float(), haze.float(), rough.float(), size)


def of_picture(value: Tensor, picture: Tensor) -> Tensor:
    """Numbers or colours of pictures for the points of `picture`, colours first."""
    found = value.index_select(0, picture.flatten()).unflatten(0, picture.shape)
    return found if value.ndim == 1 else found.movedim(-1, 0)


def gathered(which: Int[Tensor, " m"], *values: Tensor) -> list[Tensor]:
    """Numbers (n,) or colours (n, c) of the rows `which`, colours first, all fetched at once."""
    columns = [value[:, None] if value.ndim == 1 else value for value in values]
    found = torch.cat([value.float() for value in columns], dim=1).index_select(0, which).T.contiguous()
    parts = found.split([value.shape[1] for value in columns])
    return [part[0] if value.ndim == 1 else part for part, value in zip(parts, values, strict=True)]


def mix(here: Tensor, there: Tensor | float, share: Tensor | float) -> Tensor:
    changed = (there - here) * share
    return changed.add_(here)


def white_like(like: Tensor) -> Tensor:
    return torch.tensor(_SNOW, device=like.device)[:, None]


def lay(
    canvas: Tensor,
    pixel: Tensor,
    cover: Tensor,
    lit: Tensor,
    albedo: Tensor,
    water: Tensor | float = 0.0,
    foot: Tensor | None = None,
) -> None:
    """Paint over the pixels, each named at most once. No foot: what is there so far stands nowhere."""
    canvas = canvas[: 7 if foot is None else 8]
    old = canvas.index_select(1, pixel)
    new = torch.empty_like(old)
    new[:3], new[3:6], new[6] = lit, albedo, water
    if foot is not None:
        new[7] = foot
    new -= old
    new *= cover
    new += old
    canvas.index_copy_(1, pixel, new)


def rows_of(keep: Bool[Tensor, "n h"], size: int) -> tuple[Tensor, Tensor, Tensor]:
    """The rows kept of all pictures, (r,), the pictures they belong to, (r, 1), and x of their pixels, (1, w)."""
    row = keep.flatten().nonzero().flatten()
    x = (torch.arange(size, device=row.device).float() + 0.5) / size
    return row, row.div(size, rounding_mode="floor")[:, None], x[None]
