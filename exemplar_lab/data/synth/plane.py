"""A plane seen at two sizes, with features that nobody learnt: how many exemplar cells a target cell needs is known everywhere,
and a part of the target is on no plane that the exemplar shows."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from exemplar_lab.grid import cell_centres
from exemplar_lab.translation import Batch, Truth

FREQUENCY = 0.6
"""Deviation of the waves, in radians per target pixel."""

STRANGER = (0.15, 0.35, 0.85)
"""The colour of what only the target shows; the structure says where, so that it can be painted without the exemplar."""


def plane_pairs(
    zoom: Float[Tensor, " b"], side: int = 16, noise: float = 0.3, stranger: float = 0.4, channels: int = 64, seed: int = 0
) -> tuple[Batch, Float[Tensor, "b q c"], Float[Tensor, "b k c"]]:
    """Pairs of side × side pixels, one cell each, and the features (query, key) of their cells, vectors of length one.

    zoom: size of things in the exemplar relative to the target, about a centre that is moved at random.
    noise: length of what is added to each feature, relative to the feature. stranger: side of a square of the target, relative
        to the image's, that shows nothing of the exemplar: its features are those of places far away. The condition marks it.
    Features are waves over the plane, the same waves in all pairs (random Fourier features): places a target pixel apart have
    a cosine of about 0.84, two pixels apart 0.49, five 0.01. Colours are slow waves, others in each pair. One seed draws one
    set of pairs.
    """
    generator = torch.Generator().manual_seed(seed)
    batch = len(zoom)

    def draw(*size: int) -> Tensor:
        return torch.rand(*size, generator=generator)

    place = cell_centres((side, side)).T - side / 2
    centre = side * (draw(batch, 2, 1) - 0.5) / 4
    on_target = place + centre
    on_exemplar = place / zoom[:, None, None] + centre
    corner = draw(batch, 2) * (1 - stranger) * side
    inside = cell_centres((side, side)).T - corner[..., None]
    strange = ((inside >= 0) & (inside <= stranger * side)).all(1)

    waves = FREQUENCY * torch.randn(channels // 2, 2, generator=torch.Generator().manual_seed(10_000))
    home = 1e3 * draw(batch, 2, 1)
    far = torch.where(strange[:, None], 1e5 + 1e3 * draw(batch, 2, 1), home)
    query, key = (
        _noisy(_waves(point + where, waves), noise, generator) for point, where in ((on_target, far), (on_exemplar, home))
    )
    slow = 0.35 * torch.randn(batch, 3, 6, 2, generator=generator)
    phase = 2 * math.pi * draw(batch, 3, 6, 1)
    target, exemplar = (_colours(point, slow, phase, side) for point in (on_target, on_exemplar))
    mark = strange.unflatten(1, (side, side))[:, None]
    target = torch.where(mark, torch.tensor(STRANGER)[:, None, None], target)

    flow = ((on_target - centre) * zoom[:, None, None] + side / 2).unflatten(2, (side, side))
    seen = ((flow > 0) & (flow < side)).all(1) & ~mark[:, 0]
    truth = Truth(flow=torch.where(mark, torch.nan, flow), visible=seen, count=torch.where(seen, zoom[:, None, None] ** 2, 0.0))
    condition = mark.float()
    batch_of = Batch(condition, target, exemplar, torch.zeros_like(condition), torch.ones(batch, dtype=torch.bool), truth)
    return batch_of, query, key


def _waves(point: Float[Tensor, "b 2 n"], waves: Float[Tensor, "m 2"]) -> Float[Tensor, "b n c"]:
    phase = point.double().transpose(1, 2) @ waves.double().T  # far places need more digits than a float has
    return torch.cat([phase.cos(), phase.sin()], dim=2).float()


def _noisy(feature: Float[Tensor, "b n c"], noise: float, generator: torch.Generator) -> Float[Tensor, "b n c"]:
    error = torch.randn(feature.shape, generator=generator)
    return F.normalize(F.normalize(feature, dim=2) + noise * F.normalize(error, dim=2), dim=2)


def _colours(
    point: Float[Tensor, "b 2 n"], slow: Float[Tensor, "b 3 m 2"], phase: Float[Tensor, "b 3 m 1"], side: int
) -> Float[Tensor, "b 3 h w"]:
    wave = (torch.einsum("brmd,bdn->brmn", slow, point) + phase).cos().mean(2)
    return (0.5 + 0.9 * wave).clamp(0, 1).unflatten(2, (side, side))
