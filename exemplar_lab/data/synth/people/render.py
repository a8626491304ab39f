"""Pictures of tubes: who wins each pixel, its colour, light, contact shadows, backdrop; supersampled 2 × 2.

The picture is cut into small tiles. A surface is a part in one tile of one picture where it wins at least one point; all that
follows is computed for whole surfaces, so that what belongs to a tube is fetched once per tile and not once per point.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from exemplar_lab.data.synth.people.body import INDEX, PARTS, Bones, Spot, axes, clearance, depth, locate, pack, take
from exemplar_lab.data.synth.people.cast import (
    Blocks,
    Tiling,
    cast,
    chunks,
    corners,
    gather_rows,
    hulls,
    near,
    offsets,
    part_slices,
    picture_of,
    tiling,
    wins,
)
from exemplar_lab.data.synth.people.texture import Look, albedo

_SHADOW_REACH = 0.045
"""How far a part darkens what lies behind it, as a fraction of the height of the figure."""


_GLOSS = {"hair": 0.16, "bun": 0.16, "foot": 0.16, "head": 0.08, "bag": 0.1}


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


class Surfaces(NamedTuple):
    """m parts in tiles, in the order of the parts, and who wins where."""

    part: Int[Tensor, " m"]
    sample: Int[Tensor, " m"]
    tile: Int[Tensor, " m"]
    share: Float[Tensor, "m f k"]
    """1 where the part wins, for f points per pixel and k pixels: four at the quarters, then the centre if asked for."""
    best: Float[Tensor, "n f k"]
    """The winning key of every point of every tile, sample after sample."""
    tiles: Tiling

    @property
    def row(self) -> Int[Tensor, " m"]:
        return self.sample * self.tiles.across**2 + self.tile


def find_surfaces(tubes: Float[Tensor, "q t"], size: int, middle: bool, fine: bool = True) -> Surfaces:
    """What pictures of side `size` show; `middle` asks for pixel centres too, `fine` for the four points around them."""
    device = tubes.device
    tiles = tiling(size)
    x, y = corners(tiles, device)
    off_x, off_y = offsets(tiles, fine, middle, device)
    samples, half = tubes.shape[1] // len(PARTS), 0.5 * tiles.side / size
    tile = torch.arange(len(x), device=device).repeat(samples)
    blocks = Blocks(
        torch.arange(samples, device=device).repeat_interleave(len(x)),
        x + half,
        y + half,
        torch.full_like(x, half * 1.4143),
        lambda block: (x[tile[block], None] + off_x, y[tile[block], None] + off_y),
    )
    best, found = cast(tubes, hulls(tubes), blocks, len(off_x), samples)
    share = wins(found.key, best.index_select(0, found.block))
    seen = share.amax(1).nonzero().flatten()
    block = found.block[seen]
    pixels = tiles.side**2
    share = share.index_select(0, seen).unflatten(1, (-1, pixels))
    return Surfaces(found.part[seen], blocks.sample[block], tile[block], share, best.unflatten(1, (-1, pixels)), tiles)


def render(
    bones: Bones,
    surfaces: Surfaces,
    look: Look,
    light: Light,
    backdrop: Backdrop,
    unit: Float[Tensor, " b"],
) -> tuple[Float[Tensor, "b 3 h w"], Float[Tensor, "b 3 h w"], Bool[Tensor, "b h w"]]:
    """Image, albedo, and where the figure covers half a pixel or more. `unit` is the height of the figure as a fraction of the
    image."""
    tiles, device = surfaces.tiles, unit.device
    tubes, lamps = pack(bones), torch.cat([torch.stack(light[:3]), light.key.T, light.fill.T])
    x, y = corners(tiles, device)
    off_x, off_y = offsets(tiles, True, False, device)
    pixels, figures = tiles.side**2, look.people.shape[1]
    dim = _contact(tubes, surfaces, light, unit)
    canvas = torch.empty(len(surfaces.part), 7, pixels, device=device)
    for chunk in chunks(len(surfaces.part), 4 * pixels, device):
        part, sample, tile = surfaces.part[chunk], surfaces.sample[chunk], surfaces.tile[chunk]
        bone = take(tubes, sample * len(PARTS) + part)
        spot = locate(bone, x[tile, None] + off_x, y[tile, None] + off_y)
        colour = albedo(look, sample % figures, part, spot.along, spot.sin, spot.cos)
        shaded = _shade(colour, spot, bone, part, dim[chunk].repeat(1, 4), lamps.index_select(1, sample)[..., None])
        share = surfaces.share[chunk, :4] * 0.25
        here = canvas[chunk]
        here[:, :3] = _pooled(shaded, share)
        here[:, 3:6] = _pooled(colour, share)
        here[:, 6] = share.sum(1)
    canvas = picture_of(gather_rows(surfaces.row, surfaces.part, canvas, len(surfaces.best)), tiles)
    behind = _backdrop(backdrop, bones, unit, tiles.size) * (1 - canvas[:, 6:])
    return (canvas[:, :3] + behind).clamp_(0, 1), (canvas[:, 3:6] + behind).clamp_(0, 1), canvas[:, 6] >= 0.5


def _pooled(value: Float[Tensor, "3 n k4"], share: Float[Tensor, "n 4 k"]) -> Float[Tensor, "n 3 k"]:
    """The four points of each pixel together, as far as they are seen."""
    value = value.unflatten(2, (4, -1)) * share
    return (value[:, :, 0] + value[:, :, 1] + value[:, :, 2] + value[:, :, 3]).transpose(0, 1)


def _contact(tubes: Tensor, surfaces: Surfaces, light: Light, unit: Tensor) -> Float[Tensor, "m k"]:
    """1 in the open, less where a nearer part stands between the surface and the light; once per pixel."""
    tiles, device, part, sample = surfaces.tiles, tubes.device, surfaces.part, surfaces.sample
    pixels = tiles.side**2
    corner_x, corner_y = corners(tiles, device)
    off_x, off_y = offsets(tiles, False, True, device)
    soft = (unit * _SHADOW_REACH)[sample]
    corner_x = corner_x[surfaces.tile] + light.x[sample] * soft * 0.6
    corner_y = corner_y[surfaces.tile] + light.y[sample] * soft * 0.6
    # The depth of each surface. Ends inside a joint are not moved back here: a pixel whose centre lies just beyond its part
    # would else be darkened by the next part of the same limb, in a line across every joint.
    level = torch.empty(len(part), pixels, device=device)
    for chunk in chunks(len(part), pixels, device):
        x, y = corner_x[chunk, None] + off_x, corner_y[chunk, None] + off_y
        bone = take(tubes, sample[chunk] * len(PARTS) + part[chunk])
        bone = bone._replace(push_a=0 * bone.push_a, push_b=0 * bone.push_b)
        shift = soft[chunk, None] * 0.6
        level[chunk] = depth(bone, x - light.x[sample[chunk], None] * shift, y - light.y[sample[chunk], None] * shift)[0]
    half = 0.5 * tiles.side / tiles.size
    hull = hulls(tubes)
    caster, surface = near(hull.index_select(2, sample), corner_x + half, corner_y + half, soft + half * 1.4143)
    bone = Bones(*tubes.unbind(0))
    higher = torch.maximum(bone.az, bone.bz)[sample[surface] * len(PARTS) + caster] > level.amin(1)[surface]
    caster, surface = caster[higher], surface[higher]
    darker = torch.empty(len(caster), pixels, device=device)
    for chunk in chunks(len(caster), pixels, device):
        at = surface[chunk]
        bone = take(tubes, sample[at] * len(PARTS) + caster[chunk])
        distance, wide, height = clearance(bone, corner_x[at, None] + off_x, corner_y[at, None] + off_y)
        near_ = 1 / soft[at, None]
        close = ((wide - distance) * near_ + 1).clamp(0, 1)
        above = ((height - level.index_select(0, at)) * near_).clamp(0, 1)
        darker[chunk] = 1 - 0.45 * close * close * above
    dim = torch.ones(len(part), pixels, device=device)
    for _, rows in part_slices(caster):
        at = surface[rows]
        dim.index_copy_(0, at, dim.index_select(0, at) * darker[rows])
    return dim


def _shade(
    colour: Float[Tensor, "3 n k"], spot: Spot, bone: Bones, part: Tensor, dim: Tensor, lamps: Float[Tensor, "9 n 1"]
) -> Float[Tensor, "3 n k"]:
    dx, dy, _ = axes(bone)
    light_x, light_y, light_z = lamps[:3]
    nx = spot.across * dy + spot.lengthwise * dx
    ny = spot.lengthwise * dy - spot.across * dx
    nz = spot.facing
    scale = 1 / (nx * nx + ny * ny + nz * nz).sqrt().clamp_min(1e-3)
    nx, ny, nz = nx * scale, ny * scale, nz * scale
    facing = nx * light_x + ny * light_y + nz * light_z
    lambert = facing.clamp(0, 1)
    sky = 0.5 - 0.5 * ny
    rim = (1 - nz).clamp(0, 1)
    rim = rim * rim * rim * (0.35 + 0.65 * sky)
    # A sheen halfway between the light and the viewer, (n · h)³²: strong on hair and shoes, faint on cloth.
    sheen = ((facing + nz) * (1 / (2 + 2 * light_z).sqrt())).clamp(0, 1)
    for _ in range(5):
        sheen = sheen * sheen
    gloss = torch.tensor(
        [_GLOSS.get(name.removesuffix("_right").removesuffix("_left"), 0.04) for name in PARTS], device=sheen.device
    )
    lit = lamps[3:6] * (lambert * dim) + lamps[6:] * ((0.72 + 0.28 * sky) * (0.5 + 0.5 * dim))
    seen = colour * lit + (0.12 * rim + gloss[part, None] * sheen) * dim
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
