"""Features that nobody learnt and whose match is known: a random texture on the exemplar, carried to the target by the true
flow, with as much noise as one likes."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from exemplar_lab.grid import sample_at


def planted_features(
    points: Float[Tensor, "b 2 hq wq"],
    visible: Bool[Tensor, "b hq wq"],
    key_size: tuple[int, int],
    noise: float,
    smooth: int = 1,
    channels: int = 64,
    seed: int = 0,
) -> tuple[Float[Tensor, "b q c"], Float[Tensor, "b k c"]]:
    """(query, key), vectors of length one.

    points: where each target cell lies in the exemplar, in cells of the key grid; read only where `visible`, elsewhere a cell
    carries a texture of its own. noise: its length over that of the texture, 0 none, 1 as strong; drawn anew for each target
    cell. smooth: how often the texture is averaged with its neighbours (1 2 1 along both axes); at 0 a cell has nothing in
    common with the next. One seed draws one texture and one noise, whatever its strength.
    """
    generator = torch.Generator().manual_seed(seed)
    batch, _, height, width = points.shape
    texture, own, error = (
        torch.randn(batch, channels, *size, generator=generator).to(points)
        for size in (key_size, (height, width), (height, width))
    )
    for _ in range(smooth):
        texture, own = _smoothed(texture), _smoothed(own)
    texture, own, error = (F.normalize(one, dim=1) for one in (texture, own, error))
    carried = F.normalize(sample_at(texture, points), dim=1)
    query = F.normalize(torch.where(visible[:, None], carried, own) + noise * error, dim=1)
    return query.flatten(2).transpose(1, 2), texture.flatten(2).transpose(1, 2)


def planted_pyramid(
    points: Sequence[Float[Tensor, "b 2 _ _"]],
    visible: Sequence[Bool[Tensor, "b _ _"]],
    noise: float,
    smooth: int = 1,
    channels: int = 64,
    seed: int = 0,
) -> tuple[list[Float[Tensor, "b _ _"]], list[Float[Tensor, "b _ _"]]]:
    """(queries, keys) of several grids, target and exemplar alike, each grid with a texture of its own."""
    pairs = [
        planted_features(place, seen, (place.shape[2], place.shape[3]), noise, smooth, channels, 1000 * seed + number)
        for number, (place, seen) in enumerate(zip(points, visible, strict=True))
    ]
    return [query for query, _ in pairs], [key for _, key in pairs]


def _smoothed(texture: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    for axis in (2, 3):
        count = texture.shape[axis]
        before, after = (texture.narrow(axis, at, 1) for at in (0, count - 1))
        wide = torch.cat([before, texture, after], axis)
        texture = 0.25 * (wide.narrow(axis, 0, count) + wide.narrow(axis, 2, count)) + 0.5 * texture
    return texture
