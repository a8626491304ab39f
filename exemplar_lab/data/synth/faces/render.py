"""Pictures of portraits: what each pixel sees, its light, and finer points where parts meet."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.data.synth.faces.backdrop import Backdrop, behind
from exemplar_lab.data.synth.faces.cast import Bands, Front, Spot, cast_finer, cast_pixels, cast_points, locate
from exemplar_lab.data.synth.faces.coat import Coat
from exemplar_lab.data.synth.faces.identity import Person
from exemplar_lab.data.synth.faces.mesh import MESHES, OWNER, blend, flat
from exemplar_lab.data.synth.faces.paint import keep, paint


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
    """n portraits, ready to be seen: posed and own coordinates of their vertices (n, 3, v), which quads they have, and of which
    a part may be cut away (n, q)."""

    posed: Tensor
    own: Tensor
    on: Tensor
    cut: Tensor
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
        return cast_points(self.front, self.bands, len(self.posed), self.size, keep(self.person), sample, x, y)


class View(NamedTuple):
    """What every pixel of n pictures sees: quad and part, −1 where nothing (n, h, w); of the m pixels that see something, in
    the order of the layers: which they are, triangle and shares (3, m)."""

    quad: Tensor
    part: Tensor
    seen: Tensor
    vertex: Tensor
    share: Tensor


class _Look(NamedTuple):
    """What points look like: colour and albedo (6, m), part, triangle and shares."""

    colour: Tensor
    part: Tensor
    vertex: Tensor
    share: Tensor


_FINER = ((-0.125, -0.375), (0.375, -0.125), (0.125, 0.375), (-0.375, 0.125))
_PORTION = {"cpu": 1 << 15}
"""Points treated at once: what fits the cache of a processor."""


def render(scene: Scene) -> tuple[Float[Tensor, "n 3 h w"], Float[Tensor, "n 3 h w"], View]:
    """Image, albedo and what every pixel sees. Where layers meet, a pixel is the mean of four points: each takes the colour of
    the layer that it sees, which a layer has once in a pixel; what is painted on it has soft borders already."""
    size, count, front = scene.size, len(scene.posed), scene.front
    device = scene.posed.device
    spot = cast_pixels(front, count, size, keep(scene.person))
    # −1 where nothing is seen.
    none = front.quad.new_tensor([-1])
    layers = torch.cat([none, OWNER.to(device).index_select(0, front.quad)])
    layer = layers.index_select(0, spot.which + 1)
    quad = torch.cat([none, front.quad]).index_select(0, spot.which + 1)
    seen = _by_layer(layer)
    x, y = (seen % size).float() + 0.5, (seen.div(size, rounding_mode="floor") % size).float() + 0.5
    values = flat(torch.cat([scene.own, scene.normal], dim=1))
    look = _look(scene, values, spot.which.index_select(0, seen), x, y)
    meet = _meet(layer.view(count, size, size), spot.depth.view(count, size, size), scene.unit).flatten()
    # Target and exemplar stand before one wall, so that each point of it is painted once.
    empty = layer < 0
    wanted = (empty | meet).view(2, -1).any(0).nonzero().flatten()
    wall = torch.zeros(3, len(layer) // 2, device=device)
    for some in wanted.split(_PORTION.get(device.type, 1 << 25)):
        x, y = ((some % size) + 0.5) / size, (some.div(size, rounding_mode="floor") % size + 0.5) / size
        sample = some.div(size * size, rounding_mode="floor")
        wall.index_copy_(1, some, behind(scene.backdrop, sample, x, y, 1 / size))
    colour = wall.repeat(2, 2).index_copy_(1, seen, look.colour)
    meet = meet.nonzero().flatten()
    colour.index_copy_(1, meet, _finer(scene, values, meet, spot, layer, colour, wall, layers))
    colour = colour.view(6, count, size, size).movedim(1, 0)
    part = torch.full_like(layer, -1).index_copy_(0, seen, look.part)
    view = View(quad.view(count, size, size), part.view(count, size, size), seen, look.vertex, look.share)
    return colour[:, :3].contiguous(), colour[:, 3:].contiguous(), view


def _by_layer(layer: Int[Tensor, " n"]) -> Int[Tensor, " m"]:
    """The points that see something, layer by layer."""
    seen = (layer >= 0).nonzero().flatten()
    layer = layer.index_select(0, seen).to(torch.int8)
    return torch.cat([seen.index_select(0, (layer == number).nonzero().flatten()) for number in range(len(MESHES))])


def _finer(
    scene: Scene, values: Tensor, meet: Tensor, spot: Spot, layer: Tensor, colour: Tensor, wall: Tensor, layers: Tensor
) -> Float[Tensor, "6 m"]:
    """Colour and albedo of m pixels in which layers meet."""
    size, many, points = scene.size, len(meet), len(_FINER)
    finer = torch.tensor(_FINER, device=meet.device)
    inner = cast_finer(scene.front, scene.bands, size, keep(scene.person), meet, len(scene.posed), finer + 0.5)
    own = layers.index_select(0, inner.which + 1).view(points, many)
    depth = inner.depth.view(points, many)
    far = _far(scene.unit).index_select(0, meet.div(size * size, rounding_mode="floor"))
    # Whose colour each point takes: 0 that of the pixel's middle, 1 that of the wall, 2 … that of one of the points.
    middle, nearer = layer.index_select(0, meet), spot.depth.index_select(0, meet)
    take = torch.arange(2, 2 + points, device=meet.device)[:, None].repeat(1, many)
    for k in reversed(range(points)):
        for j in reversed(range(k)):
            take[k] = torch.where((own[k] == own[j]) & ((depth[k] - depth[j]).abs() <= far), 2 + j, take[k])
    take = torch.where((own == middle) & ((depth - nearer).abs() <= far), 0, take)
    take = torch.where(own < 0, 1, take)
    wanted = (take == torch.arange(2, 2 + points, device=meet.device)[:, None]).flatten()
    asked = _by_layer(torch.where(wanted, own.flatten(), -1))
    pixel = meet.index_select(0, asked % many)
    offset = finer.index_select(0, asked.div(many, rounding_mode="floor")) + 0.5
    x = (pixel % size).float() + offset[:, 0]
    y = (pixel.div(size, rounding_mode="floor") % size).float() + offset[:, 1]
    table = torch.zeros(6, (2 + points) * many, device=meet.device)
    table[:, :many] = colour.index_select(1, meet)
    table[:, many : 2 * many] = wall.index_select(1, meet % wall.shape[1]).repeat(2, 1)
    table.index_copy_(1, asked + 2 * many, _look(scene, values, inner.which.index_select(0, asked), x, y).colour)
    take = take * many + torch.arange(many, device=meet.device)
    first, second, third, fourth = (table.index_select(1, of) for of in take)
    return (first + second + third + fourth) * 0.25


def _far(unit: Tensor) -> Tensor:
    """From which step in depth on a layer is seen behind itself, in pixels."""
    return (unit * 0.10).clamp_min(1.5)


def _meet(layer: Tensor, depth: Tensor, unit: Tensor) -> Tensor:
    """Pixels beside which another layer begins, or the same one much farther away; what is painted has soft borders already."""
    mark = torch.zeros_like(layer, dtype=torch.bool)
    far = _far(unit)[:, None, None]
    for axis in (1, 2):
        length = layer.shape[axis] - 1
        near, next_ = layer.narrow(axis, 0, length), layer.narrow(axis, 1, length)
        step = (depth.narrow(axis, 0, length) - depth.narrow(axis, 1, length)).abs() > far
        differ = (near != next_) | step.nan_to_num(0).bool()
        mark.narrow(axis, 0, length).logical_or_(differ)
        mark.narrow(axis, 1, length).logical_or_(differ)
    return mark


def _look(scene: Scene, values: Tensor, which: Int[Tensor, " n"], x: Tensor, y: Tensor) -> _Look:
    """What points (x, y) look like that see quads `which` of the front, in the order of their layers. values: where vertices
    lie on their layers, and their normals."""
    front, fine = scene.front, 1 / scene.unit
    layers = OWNER.to(x.device)
    total, step = len(which), _PORTION.get(x.device.type, 1 << 25)
    look = _Look(
        torch.empty(6, total, device=x.device),
        torch.empty_like(which),
        torch.empty(3, total, dtype=torch.long, device=x.device),
        torch.empty(3, total, device=x.device),
    )
    for begin in range(0, total, step):
        here = slice(begin, begin + step)
        owner, quad = (v.index_select(0, which[here]) for v in (front.sample, front.quad))
        vertex, share = locate(front, which[here], x[here], y[here])
        value = blend(values, owner, vertex, share)
        coat = paint(scene.person, owner, layers.index_select(0, quad), value[:3], fine)
        look.colour[:3, here] = _shade(scene.light, coat, owner, value[3:])
        look.colour[3:, here], look.part[here] = coat.colour, coat.part
        look.vertex[:, here], look.share[:, here] = vertex, share
    return look


def _shade(light: Light, coat: Coat, owner: Tensor, normal: Tensor) -> Tensor:
    nx, ny, nz = normal.unbind(0)
    length = (nx * nx + ny * ny + nz * nz).sqrt().clamp_min(1e-4)
    # Surfaces seen from inside turn their other side.
    flip = (1 - 2 * (nz < -0.2 * length).float()) / length
    nx, ny, nz = nx * flip, ny * flip, (nz * flip).clamp_min(0)
    lx, ly, lz, from_, middle = (
        v.index_select(0, owner) for v in (light.x, light.y, light.z, light.side, (2 + 2 * light.z).sqrt())
    )
    key, fill, back = (v.T.contiguous().index_select(1, owner) for v in (light.key, light.fill, light.rim))
    facing = nx * lx + ny * ly + nz * lz
    # Light strays in skin: the terminator is soft, and softest for red.
    skin = coat.skin.clamp(0, 1)
    wrap = torch.stack([0.10 + 0.30 * skin, 0.10 + 0.16 * skin, 0.10 + 0.10 * skin])
    lambert = ((facing + wrap) / (1 + wrap)).clamp(0, 1)
    lambert = lambert * (0.55 + 0.45 * lambert)
    sky = 0.5 - 0.5 * ny
    open_ = coat.open
    lit = key * lambert * (0.45 + 0.55 * open_) + fill * (0.58 + 0.10 * skin + (0.42 - 0.10 * skin) * sky) * open_
    # Shoulders and chest throw some light back from below.
    lit = lit + key * (0.15 * ny.clamp(0, 1) * open_)
    # Where it is dark, skin is red.
    bleed = torch.tensor((0.06, 0.005, 0.0), device=nx.device)[:, None] * skin * (1 - lambert[0]) * open_
    half_z = lz + 1
    half = ((nx * lx + ny * ly + nz * half_z) / middle).clamp(0, 1)
    broad = half
    for _ in range(4):
        broad = broad * broad
    sharp = broad * broad
    sharp = sharp * sharp
    gloss = coat.gloss * (0.55 * broad + 0.65 * sharp) * (0.4 + 0.6 * open_)
    grazing = (1 - nz).clamp(0, 1)
    grazing = grazing * grazing * grazing
    rim = grazing * (nx * from_ * 0.8 - ny * 0.5 + 0.1).clamp(0, 1) * (0.35 + 0.65 * open_)
    seen = coat.colour * (lit + bleed) + back * (rim * 0.55) + key * (gloss * 0.55)
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
