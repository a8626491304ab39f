"""Pictures of portraits: what each pixel sees, its light, and finer points where parts meet."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.data.synth.face_backdrop import Backdrop, behind
from exemplar_lab.data.synth.face_cast import Bands, Front, Spot, cast_pixels, cast_points, locate
from exemplar_lab.data.synth.face_coat import Coat
from exemplar_lab.data.synth.face_identity import Person
from exemplar_lab.data.synth.face_mesh import OWNER, blend
from exemplar_lab.data.synth.face_paint import keep, paint


class Light(NamedTuple):
    """A key light from (x, y, z), y down, unit length; the colours of key, fill and rim, (n, 3); where the rim comes from."""

    x: Tensor
    y: Tensor
    z: Tensor
    key: Tensor
    fill: Tensor
    rim: Tensor
    side: Tensor


class Scene(NamedTuple):
    """n portraits, ready to be seen: posed and own coordinates of their vertices (n, 3, v), which quads they have (n, q)."""

    posed: Tensor
    own: Tensor
    on: Tensor
    front: Front
    bands: Bands
    normal: Tensor
    unit: Tensor
    person: Person
    light: Light
    backdrop: Backdrop
    size: int

    def cast(self, sample: Tensor, x: Tensor, y: Tensor) -> Spot:
        """What points (x, y), in pixels, of portraits `sample` see."""
        return cast_points(self.front, self.bands, self.own, self.size, keep(self.person), sample, x, y)


class View(NamedTuple):
    """What every pixel of n pictures sees: quad and part, −1 where nothing (n, h, w); triangle and shares (3, n·h·w)."""

    quad: Tensor
    part: Tensor
    vertex: Tensor
    share: Tensor


_FINER = ((-0.125, -0.375), (0.375, -0.125), (0.125, 0.375), (-0.375, 0.125))


def render(scene: Scene) -> tuple[Float[Tensor, "n 3 h w"], Float[Tensor, "n 3 h w"], View]:
    """Image, albedo and what every pixel sees. Pixels in which layers meet are the mean of four points."""
    size, count = scene.size, len(scene.posed)
    device = scene.posed.device
    spot = cast_pixels(scene.front, scene.own, size, keep(scene.person))
    at = torch.arange(size * size * count, device=device)
    sample = at.div(size * size, rounding_mode="floor")
    x = (at % size).float() + 0.5
    y = (at.div(size, rounding_mode="floor") % size).float() + 0.5
    colour, part, vertex, share = _look(scene, spot, sample, x, y)
    # Target and exemplar stand before one wall, so that each point of it is painted once.
    empty = (spot.quad < 0).view(2, -1)
    wanted = empty.any(0).nonzero().flatten()
    wall = torch.zeros(3, empty.shape[1], device=device)
    wall.index_copy_(1, wanted, behind(scene.backdrop, sample[wanted], x[wanted] / size, y[wanted] / size, 1 / size))
    colour = colour.view(2, 3, 2, -1)
    colour = torch.where(empty, wall[None, :, None], colour).view(6, -1)
    layer = torch.where(spot.quad < 0, -1, OWNER.to(device)[spot.quad])
    meet = _meet(layer.view(count, size, size), spot.depth.view(count, size, size), scene.unit).flatten().nonzero().flatten()
    finer = torch.tensor(_FINER, device=device)
    fx, fy = ((v[meet, None] + finer[:, axis]).flatten() for axis, v in enumerate((x, y)))
    owner = sample[meet].repeat_interleave(len(_FINER))
    spot_ = scene.cast(owner, fx, fy)
    parts = _look(scene, spot_, owner, fx, fy)[0]
    empty = (spot_.quad < 0).nonzero().flatten()
    wall = behind(scene.backdrop, owner[empty], fx[empty] / size, fy[empty] / size, 1 / size)
    parts = parts.index_copy_(1, empty, torch.cat([wall, wall])).unflatten(1, (-1, len(_FINER)))
    colour.index_copy_(1, meet, (parts[..., 0] + parts[..., 1] + parts[..., 2] + parts[..., 3]) * 0.25)
    colour = colour.view(6, count, size, size).movedim(1, 0)
    view = View(spot.quad.view(count, size, size), part.view(count, size, size), vertex, share)
    return colour[:, :3].contiguous(), colour[:, 3:].contiguous(), view


def _meet(layer: Tensor, depth: Tensor, unit: Tensor) -> Tensor:
    """Pixels beside which another layer begins, or the same one much farther away; what is painted has soft borders already."""
    mark = torch.zeros_like(layer, dtype=torch.bool)
    far = (unit * 0.10).clamp_min(1.5)[:, None, None]
    for axis in (1, 2):
        length = layer.shape[axis] - 1
        near, next_ = layer.narrow(axis, 0, length), layer.narrow(axis, 1, length)
        step = (depth.narrow(axis, 0, length) - depth.narrow(axis, 1, length)).abs() > far
        differ = (near != next_) | step.nan_to_num(0).bool()
        mark.narrow(axis, 0, length).logical_or_(differ)
        mark.narrow(axis, 1, length).logical_or_(differ)
    return mark


def _look(scene: Scene, spot: Spot, sample: Int[Tensor, " n"], x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Colour and albedo (6, n), part, and triangle and shares of points; black where they see nothing."""
    device = x.device
    colour = torch.zeros(6, len(x), device=device)
    part = torch.full_like(spot.quad, -1)
    vertex = torch.zeros(3, len(x), dtype=torch.long, device=device)
    share = torch.zeros(3, len(x), device=device)
    seen = (spot.quad >= 0).nonzero().flatten()
    owner, quad = sample[seen], spot.quad[seen]
    three, weights = locate(scene.posed, owner, quad, x[seen], y[seen])
    point = blend(scene.own, owner, three, weights)
    mesh = OWNER.to(device)[quad]
    coat = paint(scene.person, owner, mesh, point, 1 / scene.unit)
    shaded = _shade(scene, coat, owner, blend(scene.normal, owner, three, weights))
    colour.index_copy_(1, seen, torch.cat([shaded, coat.colour]))
    part.index_copy_(0, seen, coat.part)
    vertex.index_copy_(1, seen, three)
    share.index_copy_(1, seen, weights)
    return colour, part, vertex, share


def _shade(scene: Scene, coat: Coat, owner: Tensor, normal: Tensor) -> Tensor:
    light = scene.light
    nx, ny, nz = normal.unbind(0)
    length = (nx * nx + ny * ny + nz * nz).sqrt().clamp_min(1e-4)
    # Surfaces seen from inside turn their other side.
    flip = torch.where(nz < -0.2 * length, -1.0, 1.0) / length
    nx, ny, nz = nx * flip, ny * flip, (nz * flip).clamp_min(0)
    lx, ly, lz = (v[owner] for v in (light.x, light.y, light.z))
    facing = nx * lx + ny * ly + nz * lz
    # Light strays in skin: the terminator is soft, and softest for red.
    skin = coat.skin.clamp(0, 1)
    wrap = torch.stack([0.10 + 0.30 * skin, 0.10 + 0.16 * skin, 0.10 + 0.10 * skin])
    lambert = ((facing + wrap) / (1 + wrap)).clamp(0, 1)
    lambert = lambert * (0.55 + 0.45 * lambert)
    sky = 0.5 - 0.5 * ny
    open_ = coat.open
    key, fill = light.key.T[:, owner], light.fill.T[:, owner]
    lit = key * lambert * (0.45 + 0.55 * open_) + fill * (0.58 + 0.10 * skin + (0.42 - 0.10 * skin) * sky) * open_
    # Shoulders and chest throw some light back from below.
    lit = lit + key * (0.15 * ny.clamp(0, 1) * open_)
    # Where it is dark, skin is red.
    bleed = torch.tensor((0.06, 0.005, 0.0), device=nx.device)[:, None] * skin * (1 - lambert[0]) * open_
    half_z = lz + 1
    half = ((nx * lx + ny * ly + nz * half_z) / (2 + 2 * lz).sqrt()).clamp(0, 1)
    broad = half
    for _ in range(4):
        broad = broad * broad
    sharp = broad * broad
    sharp = sharp * sharp
    gloss = coat.gloss * (0.55 * broad + 0.65 * sharp) * (0.4 + 0.6 * open_)
    grazing = (1 - nz).clamp(0, 1)
    grazing = grazing * grazing * grazing
    rim = grazing * (nx * light.side[owner] * 0.8 - ny * 0.5 + 0.1).clamp(0, 1) * (0.35 + 0.65 * open_)
    seen = coat.colour * (lit + bleed) + light.rim.T[:, owner] * (rim * 0.55) + key * (gloss * 0.55)
    # Eyes: a shadow of the lid above, no rim, two reflections of the lamp.
    eye = (coat.skin < 0).nonzero().flatten()
    ex, ey, lx, ly = (v.index_select(0, eye) for v in (nx, ny, lx, ly))
    lid = 1 - 0.42 * ((-ey - 0.02) / 0.42).clamp(0, 1)
    glint = (_glint(ex, ey, lx * 0.42, ly * 0.42, 0.115) + 0.35 * _glint(ex, ey, lx * -0.38, 0.26, 0.07)).clamp(0, 1)
    white = coat.colour.index_select(1, eye) * lit.index_select(1, eye) * lid
    seen = seen.index_copy(1, eye, white + (1 - white) * glint)
    # A film's shoulder: bright parts keep their colour.
    return (seen * (1.20 - 0.20 * seen.clamp(0, 1.3))).clamp(0, 1)


def _glint(nx: Tensor, ny: Tensor, x: Tensor, y: Tensor | float, radius: float) -> Tensor:
    dx, dy = nx - x, ny - y
    return ((1 - (dx * dx + dy * dy) / (radius * radius)) * 2.5).clamp(0, 1)
