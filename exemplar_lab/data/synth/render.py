"""Pictures of tubes: who wins each pixel, its colour, light, contact shadows, backdrop; supersampled 2 × 2."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.data.synth.body import INDEX, PARTS, Bones, Spot, cast, clearance, locate
from exemplar_lab.data.synth.texture import albedo
from exemplar_lab.data.synth.wardrobe import Wardrobe

_SHADOW_REACH = 0.045
"""How far a part darkens what lies behind it, as a fraction of the height of the figure."""


class Light(NamedTuple):
    """A key light from (x, y, z), unit length, and the colours of the light and of the sky that fills the shadows, each (b,) or (b, 3)."""

    x: Tensor
    y: Tensor
    z: Tensor
    key: Tensor
    fill: Tensor


class Backdrop(NamedTuple):
    """Two colours, above and below, (b, 3), and the place and brightness of a soft spot of light, (b,)."""

    above: Tensor
    below: Tensor
    spot_x: Tensor
    spot_y: Tensor
    spot: Tensor


def blocks(samples: int, size: int, device) -> tuple[Int[Tensor, " n"], Float[Tensor, "k n"], Float[Tensor, "k n"], int]:
    """The centres of a size × size grid in square blocks: owner (n,), x and y (k, n) in fractions of the side, and the side of a block."""
    side = 2 * max(1, -(-size // 64))
    across = -(-size // side)
    step = torch.arange(side, device=device)
    corner = torch.arange(across, device=device) * side
    owner, down, right = torch.meshgrid(torch.arange(samples, device=device), corner, corner, indexing="ij")
    y, x = torch.meshgrid(step, step, indexing="ij")
    x = (x.reshape(-1, 1) + right.reshape(1, -1) + 0.5) / size
    y = (y.reshape(-1, 1) + down.reshape(1, -1) + 0.5) / size
    return owner.flatten(), x.float(), y.float(), side


def unblock(value: Tensor, samples: int, size: int, side: int) -> Tensor:
    """(…, k, n) in blocks -> (samples, …, size, size)."""
    across = -(-size // side)
    value = value.unflatten(-1, (samples, across, across)).unflatten(-4, (side, side))
    value = value.movedim((-3, -2, -5, -1, -4), (0, -4, -3, -2, -1)).flatten(-4, -3).flatten(-2)
    return value[..., :size, :size]


def render(
    bones: Bones, wardrobe: Wardrobe, light: Light, backdrop: Backdrop, unit: Float[Tensor, " b"], size: int
) -> tuple[Float[Tensor, "b 3 h w"], Float[Tensor, "b 3 h w"]]:
    """Image and albedo. `unit` is the height of the figure as a fraction of the image."""
    samples = len(unit)
    fine = 2 * size
    owner, x, y, side = blocks(samples, fine, unit.device)
    part, depth = cast(bones, owner, x, y)
    dim = _contact(bones, owner, x, y, part, depth, light, unit)
    behind = _backdrop(backdrop, bones, unit, size)
    canvas = torch.zeros(6, *x.shape, device=x.device)
    seen = (part >= 0).nonzero()
    where = (seen[:, 0], seen[:, 1])
    sample, number = owner[seen[:, 1]], part[where]
    spot = locate(bones.at(sample * len(PARTS) + number), x[where], y[where])
    colour = albedo(wardrobe, sample, number, spot.along, spot.sin, spot.cos)
    bone = bones.at(sample * len(PARTS) + number)
    shaded = _shade(colour, spot, bone, sample, dim[where], light)
    canvas[:, where[0], where[1]] = torch.cat([shaded, colour])
    canvas = unblock(canvas, samples, fine, side)
    cover = unblock((part >= 0).float()[None], samples, fine, side)
    fourth = _pool(canvas), _pool(cover)
    image = fourth[0][:, :3] + (1 - fourth[1]) * behind
    paint = fourth[0][:, 3:] + (1 - fourth[1]) * behind
    return image.clamp(0, 1), paint.clamp(0, 1)


def _pool(fine: Tensor) -> Tensor:
    return (fine[..., ::2, ::2] + fine[..., 1::2, ::2] + fine[..., ::2, 1::2] + fine[..., 1::2, 1::2]) * 0.25


def _contact(bones, owner, x, y, part, depth, light, unit) -> Float[Tensor, "k n"]:
    """1 in the open, less where a nearer part stands between the point and the light."""
    table = torch.stack(bones)
    dim = torch.ones_like(x)
    soft = unit[owner] * _SHADOW_REACH
    shift_x, shift_y = light.x[owner] * soft * 0.6, light.y[owner] * soft * 0.6
    centre_x, centre_y = (x[0] + x[-1]) * 0.5 + shift_x, (y[0] + y[-1]) * 0.5 + shift_y
    spread = (x[-1, 0] - x[0, 0]) * 1.5
    occupied = (part >= 0).any(0)
    for number in range(len(PARTS)):
        of_sample = table[:, :, number]
        distance, widest, _ = clearance(Bones(*of_sample[:, owner].unbind(0)), centre_x, centre_y)
        chosen = ((widest > 1e-3) & (distance < widest + soft + spread) & occupied).nonzero().flatten()
        bone = Bones(*of_sample[:, owner[chosen]].unbind(0))
        distance, widest, height = clearance(bone, x[:, chosen] + shift_x[chosen], y[:, chosen] + shift_y[chosen])
        close = (1 + (widest - distance) / soft[chosen]).clamp(0, 1)
        above = ((height - depth[:, chosen]) / soft[chosen]).clamp(0, 1)
        dim[:, chosen] = dim[:, chosen] * (1 - 0.45 * close * close * above)
    return dim


def _shade(colour: Tensor, spot: Spot, bone: Bones, owner: Tensor, dim: Tensor, light: Light) -> Tensor:
    dx, dy = bone.bx - bone.ax, bone.by - bone.ay
    length = (dx * dx + dy * dy).sqrt().clamp_min(1e-4)
    dx, dy = dx / length, dy / length
    nx = spot.across * dy + spot.lengthwise * dx
    ny = spot.lengthwise * dy - spot.across * dx
    nz = spot.facing
    norm = (nx * nx + ny * ny + nz * nz).sqrt().clamp_min(1e-3)
    nx, ny, nz = nx / norm, ny / norm, nz / norm
    lambert = (nx * light.x[owner] + ny * light.y[owner] + nz * light.z[owner]).clamp(0, 1)
    sky = 0.5 - 0.5 * ny
    rim = (1 - nz).clamp(0, 1)
    rim = rim * rim * rim * (0.35 + 0.65 * sky)
    key, fill = light.key.T[:, owner], light.fill.T[:, owner]
    lit = key * (lambert * dim) + fill * ((0.72 + 0.28 * sky) * (0.5 + 0.5 * dim))
    return colour * lit + 0.14 * rim * dim


def _backdrop(backdrop: Backdrop, bones: Bones, unit: Tensor, size: int) -> Float[Tensor, "b 3 h w"]:
    """A studio wall, brighter in one place, and the shadow of the figure on the floor."""
    at = (torch.arange(size, device=unit.device, dtype=torch.float32) + 0.5) / size
    x, y = at[None, None, :], at[None, :, None]
    t = (y * y * (3 - 2 * y))[:, None]
    wall = backdrop.above[..., None, None] * (1 - t) + backdrop.below[..., None, None] * t
    qx, qy = x - backdrop.spot_x[:, None, None], y - backdrop.spot_y[:, None, None]
    glow = 1 / (1 + 5 * (qx * qx + qy * qy))
    wall = wall * (0.84 + backdrop.spot[:, None, None] * glow)[:, None]
    shade = torch.zeros_like(glow)
    for side in ("right", "left"):
        number = INDEX[f"foot_{side}"]
        wide, low = unit[:, None, None] * 0.085, unit[:, None, None] * 0.024
        sx = (x - (bones.ax[:, number] + bones.bx[:, number])[:, None, None] * 0.5) / wide
        sy = (y - (torch.maximum(bones.ay[:, number], bones.by[:, number]) + unit * 0.018)[:, None, None]) / low
        q = 1 + sx * sx + sy * sy
        shade = torch.maximum(shade, 1 / (q * q))
    return (wall * (1 - 0.42 * shade)[:, None]).clamp(0, 1)
