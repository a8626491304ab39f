"""Pictures of tubes: who wins each pixel, its colour, light, contact shadows, backdrop; supersampled 2 × 2."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from exemplar_lab.data.synth.body import INDEX, PARTS, Bones, Spot, cast, clearance, locate, near
from exemplar_lab.data.synth.texture import albedo
from exemplar_lab.data.synth.wardrobe import Wardrobe

_SHADOW_REACH = 0.045
"""How far a part darkens what lies behind it, as a fraction of the height of the figure."""


_GLOSS = {"hair": 0.16, "bun": 0.16, "foot": 0.16, "head": 0.08}


class Light(NamedTuple):
    """A key light from (x, y, z), unit length, and the colours of the light and of the sky that fills the shadows, each (b,) or
    (b, 3)."""

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


def blocks(samples: int, size: int, device) -> tuple[Float[Tensor, "k b m"], Float[Tensor, "k b m"], int]:
    """The centres of a size × size grid in m square blocks of k, as fractions of the side, and how many centres a block has on
    a side."""
    side = 2 * max(1, -(-size // 64))
    across = -(-size // side)
    step = torch.arange(side, device=device)
    corner = torch.arange(across, device=device) * side
    down, right = torch.meshgrid(corner, corner, indexing="ij")
    y, x = torch.meshgrid(step, step, indexing="ij")
    x, y = ((of.reshape(-1, 1, 1) + start.reshape(1, 1, -1) + 0.5) / size for of, start in ((x, right), (y, down)))
    return x.repeat(1, samples, 1), y.repeat(1, samples, 1), side


def unblock(value: Shaped[Tensor, "c k b m"], size: int, side: int) -> Shaped[Tensor, "b c h w"]:
    """From blocks to pictures."""
    across = -(-size // side)
    value = value.unflatten(3, (across, across)).unflatten(1, (side, side))
    return value.permute(3, 0, 4, 1, 5, 2).flatten(4, 5).flatten(2, 3)[..., :size, :size]


def render(
    bones: Bones, wardrobe: Wardrobe, light: Light, backdrop: Backdrop, unit: Float[Tensor, " b"], size: int
) -> tuple[Float[Tensor, "b 3 h w"], Float[Tensor, "b 3 h w"]]:
    """Image and albedo. `unit` is the height of the figure as a fraction of the image."""
    fine = 2 * size
    x, y, side = blocks(len(unit), fine, unit.device)
    part, depth = cast(bones, x, y)
    dim = _contact(bones, x, y, part, depth, light, unit)
    seen = (part >= 0).flatten().nonzero().flatten()
    sample = seen.div(x.shape[2], rounding_mode="floor") % len(unit)
    number = part.flatten()[seen]
    bone = bones.at(sample * len(PARTS) + number)
    spot = locate(bone, x.flatten()[seen], y.flatten()[seen])
    colour = albedo(wardrobe, sample, number, spot.along, spot.sin, spot.cos)
    shaded = _shade(colour, spot, bone, sample, number, dim.flatten()[seen], light)
    canvas = torch.zeros(7, x.numel(), device=x.device)
    canvas.index_copy_(1, seen, torch.cat([shaded, colour, torch.ones_like(colour[:1])]))
    canvas = unblock(_pool(canvas.unflatten(1, x.shape), side), size, side // 2)
    behind = (1 - canvas[:, 6:]) * _backdrop(backdrop, bones, unit, size)
    return (canvas[:, :3] + behind).clamp(0, 1), (canvas[:, 3:6] + behind).clamp(0, 1)


def _pool(fine: Float[Tensor, "c k b m"], side: int) -> Float[Tensor, "c k4 b m"]:
    """The means of 2 × 2 neighbours within blocks of `side` points squared."""
    fine = fine.unflatten(1, (side // 2, 2, side // 2, 2))
    return ((fine[:, :, 0, :, 0] + fine[:, :, 1, :, 0] + fine[:, :, 0, :, 1] + fine[:, :, 1, :, 1]) * 0.25).flatten(1, 2)


def _contact(
    bones: Bones, x: Tensor, y: Tensor, part: Tensor, depth: Tensor, light: Light, unit: Tensor
) -> Float[Tensor, "k b m"]:
    """1 in the open, less where a nearer part stands between the point and the light."""
    soft = unit[:, None] * _SHADOW_REACH
    x, y = x + light.x[:, None] * soft * 0.6, y + light.y[:, None] * soft * 0.6
    centre_x, centre_y = (x[0] + x[-1]) * 0.5, (y[0] + y[-1]) * 0.5
    margin = soft + (x[-1] - x[0]) + (y[-1] - y[0])
    occupied = (part >= 0).any(0)
    shape, blocks = x.shape, x.shape[2]
    x, y, depth, dim = x.flatten(1), y.flatten(1), depth.flatten(1), torch.ones_like(x).flatten(1)
    for number in range(len(PARTS)):
        chosen = (near(bones.of(number), centre_x, centre_y, margin) & occupied).flatten().nonzero().flatten()
        sample = chosen.div(blocks, rounding_mode="floor")
        bone = bones.at(sample * len(PARTS) + number)
        distance, widest, height = clearance(bone, x.index_select(1, chosen), y.index_select(1, chosen))
        reach = soft.flatten()[sample]
        close = (1 + (widest - distance) / reach).clamp(0, 1)
        above = ((height - depth.index_select(1, chosen)) / reach).clamp(0, 1)
        dim.index_copy_(1, chosen, dim.index_select(1, chosen) * (1 - 0.45 * close * close * above))
    return dim.unflatten(1, shape[1:])


def _shade(colour: Tensor, spot: Spot, bone: Bones, owner: Tensor, part: Tensor, dim: Tensor, light: Light) -> Tensor:
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
    # A sheen halfway between the light and the viewer, (n · h)³²: strong on hair and shoes, faint on cloth.
    half = (2 + 2 * light.z).sqrt()[owner]
    sheen = ((nx * light.x[owner] + ny * light.y[owner] + nz * (1 + light.z[owner])) / half).clamp(0, 1)
    for _ in range(5):
        sheen = sheen * sheen
    gloss = torch.tensor(
        [_GLOSS.get(name.removesuffix("_right").removesuffix("_left"), 0.04) for name in PARTS], device=sheen.device
    )
    key, fill = light.key.T[:, owner], light.fill.T[:, owner]
    lit = key * (lambert * dim) + fill * ((0.72 + 0.28 * sky) * (0.5 + 0.5 * dim))
    seen = colour * lit + (0.12 * rim + gloss[part] * sheen) * dim
    return seen * (1.22 - 0.22 * seen.clamp_max(1.2))


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
