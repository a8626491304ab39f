"""What a camera sees of a landscape: where ridges and things stand in the picture, what the ground is, and who is in front."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from exemplar_lab.data.synth.scenes.layout import FIRST_RIDGE, FIRST_THING, GROUND, RIDGES, SKY, Camera, World
from exemplar_lab.data.synth.scenes.materials import CLASSES
from exemplar_lab.data.synth.scenes.noise import NODES, ridge
from exemplar_lab.data.synth.scenes.sprites import BASE, extents, sprite
from exemplar_lab.data.synth.scenes.sprites import level_of as sprite_level_of

_C = {name: number for number, name in enumerate(CLASSES)}
PATCH = (11.0, 5.0)
"""One period of the ground's texture: to the right, and along the logarithm of depth, where patches keep their shape in
view."""

NEAREST = 0.25
"""Nothing closer to the camera than this is drawn."""


class View(NamedTuple):
    """The numbers of n pictures that pixels need, float32; sides of the picture are 1.

    row_*: per row, the depth of the ground from the world's origin, its logarithm and its distance from the camera, (n, h).
    row_texels: how many texels of the ground's noise a pixel of the row covers. ridge_*: place of X = 0, scale, row of the
    foot, blur, (n, 4).
    box_*: left, top and side of each thing's square, and the level of its sprite, (n, things). cut: left, top, width and height
    of the part of the square that is drawn on, (n, things, 4).
    """

    axis: Tensor
    horizon: Tensor
    focal: Tensor
    row_depth: Tensor
    row_log: Tensor
    row_scale: Tensor
    row_texels: Tensor
    ridge_origin: Tensor
    ridge_scale: Tensor
    ridge_foot: Tensor
    ridge_blur: Tensor
    box_left: Tensor
    box_top: Tensor
    box_side: Tensor
    box_level: Tensor
    cut: Tensor
    camera: Camera


class Fragments(NamedTuple):
    """Pixels of squares: which square (picture · squares + number), which pixel of all, and (u, v) on the sprite. `ends` cuts
    them by number, far to near."""

    owner: Tensor
    pixel: Tensor
    u: Tensor
    v: Tensor
    ends: list[int]

    def keep(self, some: Int[Tensor, " m"]) -> "Fragments":
        """Some of them, in their order."""
        ends = torch.searchsorted(some, torch.tensor(self.ends, device=some.device)).tolist()
        return Fragments(*(v[some] for v in self[:4]), ends)


def look(world: World, camera: Camera, size: int) -> View:
    """Everything about a picture that does not need a pixel; from float64 parameters."""
    axis, horizon, focal, right, along, height = (v.double()[:, None] for v in camera)
    row = (torch.arange(size, device=axis.device, dtype=torch.float64) + 0.5) / size
    below = (row[None] - horizon).clamp_min(2e-4)
    distance = focal * height / below
    depth = (distance + along).clamp_min(0.05)
    log = depth.log()
    # Texels of the patch's tile that one pixel covers, across and along: the larger decides.
    across = distance / (focal * size) / PATCH[0] * 512
    down = distance * distance / (focal * height * size) / depth / PATCH[1] * 512
    away = torch.tensor(RIDGES, dtype=torch.float64, device=axis.device) - along
    scale = focal / away
    nodes = NODES / (world.ridge_period.double() * scale * size)
    thing = world.thing_z.double() - along
    # What is behind the camera gets a square of no size.
    seen = (thing > NEAREST) & (world.thing_on > 0)
    thing = thing.clamp_min(NEAREST)
    side = torch.where(seen, focal * world.thing_square.double() / thing, 0.0)
    left = axis + focal * (world.thing_x.double() - right) / thing - side / 2
    top = horizon + focal * (height - world.thing_foot.double()) / thing - side * BASE
    single = [axis[:, 0], horizon[:, 0], focal[:, 0], depth, log, distance / focal]
    upright = [axis - right * scale, scale, horizon + height * scale, (nodes.clamp_min(1).log2() * 2)]
    return View(
        *(v.float() for v in single),
        torch.maximum(across, down * 0.7).float(),
        *(v.float() for v in (*upright, left, top, side)),
        sprite_level_of(side * size),
        _cut(world, left.float(), top.float(), side.float()),
        camera,
    )


def _cut(world: World, left: Tensor, top: Tensor, side: Tensor) -> Tensor:
    extent = extents(str(left.device))[world.thing_sprite]
    flipped = torch.stack([1 - extent[..., 2], extent[..., 1], 1 - extent[..., 0], extent[..., 3]], dim=-1)
    extent = torch.where(world.thing_flip[..., None] > 0, flipped, extent) * side[..., None]
    return torch.stack(
        [left + extent[..., 0], top + extent[..., 1], extent[..., 2] - extent[..., 0], extent[..., 3] - extent[..., 1]], -1
    )


def boxes(box: Float[Tensor, "n k 4"], frame: Float[Tensor, "n k 4"], size: int) -> Fragments:
    """The pixels of n · k upright boxes (left, top, width, height), clipped to the pictures, the first box of every picture
    first. (u, v) are fractions of `frame`."""
    samples, many = box.shape[:2]
    margin = 0.5 / size

    def pixels(start, length):
        low = ((start - margin) * size).ceil().clamp(0, size)
        high = ((start + length + margin) * size).floor().clamp(0, size)
        return low.T.flatten(), torch.where(length > 0, high - low, torch.zeros_like(low)).clamp_min(0).T.flatten()

    column, columns = pixels(box[..., 0], box[..., 2])
    row, rows = pixels(box[..., 1], box[..., 3])
    columns, rows = columns.long(), rows.long()
    area = columns * rows
    ends = area.cumsum(0)
    left, top, wide, tall = frame.transpose(0, 1).flatten(0, 1).unbind(-1)
    # One row per line of a box first, then one per pixel: what a line shares is looked up once.
    box_of_line = torch.repeat_interleave(torch.arange(len(area), device=box.device), rows * (columns > 0))
    first_line = (rows * (columns > 0)).cumsum(0) - rows * (columns > 0)
    y = torch.arange(len(box_of_line), device=box.device) - first_line[box_of_line] + row.long()[box_of_line]
    number = box_of_line.div(samples, rounding_mode="floor")
    picture = box_of_line - number * samples
    v = ((y.float() + 0.5) / size - top[box_of_line]) / tall[box_of_line]
    length = columns[box_of_line]
    line_ends = length.cumsum(0)
    start = (picture * size + y) * size + column.long()[box_of_line]
    table = torch.stack([picture * many + number, start - (line_ends - length), line_ends - length], dim=1)
    line = torch.repeat_interleave(torch.arange(len(length), device=box.device), length)
    owner, shift, _ = table.index_select(0, line).unbind(1)
    pixel = torch.arange(len(line), device=box.device) + shift
    x = (pixel & (size - 1)) if size & (size - 1) == 0 else pixel % size
    floats = torch.stack([v, left[box_of_line], wide[box_of_line]], dim=1).index_select(0, line)
    u = ((x.float() + 0.5) / size - floats[:, 1]) / floats[:, 2]
    last = ends.reshape(many, samples)[:, -1].tolist() if samples else [0] * many
    return Fragments(owner, pixel, u, floats[:, 0].contiguous(), last)


def square(view: View) -> Float[Tensor, "n k 4"]:
    """The squares of the things as boxes."""
    return torch.stack([view.box_left, view.box_top, view.box_side, view.box_side], dim=-1)


def outline(world: World, view: View, owner: Tensor, u: Tensor, v: Tensor, only: bool = False) -> Float[Tensor, "c n"]:
    """The sprite's numbers at (u, v) of the squares `owner`, the distance in picture sides, mirrored where it is. only: the
    distance alone."""
    whole = torch.stack([world.thing_sprite, view.box_level], dim=-1).flatten(0, 1).index_select(0, owner)
    parts = torch.stack([world.thing_flip, view.box_side], dim=-1).flatten(0, 1).index_select(0, owner)
    flip, side = parts[:, 0], parts[:, 1]
    found = sprite(whole[:, 0], whole[:, 1], u + flip * (1 - 2 * u), v, only)
    inside = ((u - 0.5).abs() <= 0.5) & ((v - 0.5).abs() <= 0.5)
    found[0] = torch.where(inside, found[0] * side, -1.0)
    if not only:
        found[2] = found[2] * (1 - 2 * flip)
    return found


def crest(world: World, view: View, number: int, picture: Tensor, x: Tensor) -> Float[Tensor, "..."]:
    """Height of ridge `number` of the pictures above its foot, at x; in picture sides. Shapes broadcast."""
    scale, line = view.ridge_scale[:, number], world.ridge_line[:, number]
    columns = [view.ridge_origin[:, number], scale * world.ridge_period[:, number], world.ridge_start[:, number]]
    columns += [view.ridge_blur[:, number], world.ridge_floor[:, number], world.ridge_rise[:, number] * scale]
    columns += [world.ridge_on[:, number], line.float()]
    found = torch.stack(columns, dim=1).index_select(0, picture.flatten()).T.contiguous().unflatten(1, picture.shape)
    origin, period, start, blur, floor, rise, on, line = found
    height = ridge(line.long(), (x - origin) / period + start, blur)[0]
    return torch.where(on > 0, (height - floor) * rise, -1.0)


def hidden(
    world: World,
    view: View,
    picture: Int[Tensor, " n"],
    layer: Int[Tensor, " n"],
    x: Float[Tensor, " n"],
    y: Float[Tensor, " n"],
) -> Bool[Tensor, " n"]:
    """Whether anything painted after `layer` covers the points (x, y) of the pictures; decided at the point itself."""
    covered = torch.zeros_like(layer, dtype=torch.bool)
    # No ridge line rises above 1.15 of its rise.
    rising = torch.where(world.ridge_on > 0, view.ridge_scale * world.ridge_rise * 1.2, -1.0)
    feet, rising = (v.index_select(0, picture).T.contiguous() for v in (view.ridge_foot, rising))
    for number in range(len(RIDGES)):
        height = feet[number] - y
        at = ((layer < FIRST_RIDGE + number) & (height >= 0) & (height < rising[number])).nonzero().flatten()
        covered[at] |= height[at] <= crest(world, view, number, picture[at], x[at])
    # A coarse map of who might be where spares most points most questions.
    tiles, many = 32, view.box_side.shape[1]
    spots = torch.zeros(len(view.axis), tiles, tiles, dtype=torch.long, device=x.device)
    edge = torch.arange(tiles, device=x.device) / tiles
    for number in range(many):
        left, top, across, down = view.cut[:, number, :, None].unbind(1)
        wide = (edge + 1 / tiles >= left) & (edge <= left + across) & (across > 0)
        tall = (edge + 1 / tiles >= top) & (edge <= top + down)
        spots |= (tall[:, :, None] & wide[:, None, :]).long() << number
    row, column = ((v * tiles).floor().clamp(0, tiles - 1).long() for v in (y, x))
    suspects = spots.flatten()[(picture * tiles + row) * tiles + column]
    suspects = suspects & ~((torch.ones_like(layer) << (layer - FIRST_THING + 1).clamp_min(0)) - 1)
    some = ((suspects != 0) & ~covered).nonzero().flatten()
    suspects, at, numbers = suspects[some], [], []
    for number in range(many):
        at.append(((suspects >> number) & 1).nonzero().flatten())
        numbers.append(torch.full_like(at[-1], number))
    at = some[torch.cat(at)]
    owner = picture[at] * many + torch.cat(numbers)
    frame = square(view).flatten(0, 1).index_select(0, owner)
    u, v = (x[at] - frame[:, 0]) / frame[:, 2], (y[at] - frame[:, 1]) / frame[:, 3]
    touched = (outline(world, view, owner, u, v, True)[0] >= 0).nonzero().flatten()
    covered[at[touched]] = True
    return covered


def layers(world: World, view: View, size: int) -> tuple[Int[Tensor, " p"], Int[Tensor, " p"], Fragments, Float[Tensor, "8 f"]]:
    """The topmost layer of each pixel and the picture it belongs to, flat; and the pixels of things that may be seen, with
    their sprites."""
    samples = len(view.axis)
    at = (torch.arange(size, device=view.axis.device, dtype=torch.float32) + 0.5) / size
    layer = torch.where(at > view.horizon[:, None], GROUND, SKY)[:, :, None].expand(-1, -1, size).contiguous()
    everyone = torch.arange(samples, device=at.device)[:, None]
    for number in range(len(RIDGES)):
        crests = crest(world, view, number, everyone, at[None])
        line, height = ridge_rows(view, number, crests, size)
        rows = layer.flatten(0, 1)
        top = crests[line.div(size, rounding_mode="floor")]
        rows[line] = torch.where((height >= 0) & (height <= top), FIRST_RIDGE + number, rows[line])
    layer = layer.flatten()
    solid = torch.zeros_like(layer)
    parts = boxes(view.cut, square(view), size)
    edge = outline(world, view, parts.owner, parts.u, parts.v, True)[0]
    near = (edge * size > -0.5).nonzero().flatten()
    parts, edge = parts.keep(near), edge[near]
    start = 0
    for number, end in enumerate(parts.ends):
        pixel, inside = parts.pixel[start:end], edge[start:end]
        layer[pixel] = torch.where(inside >= 0, FIRST_THING + number, layer[pixel])
        solid[pixel] = torch.where(inside * size >= 0.5, number, solid[pixel])
        start = end
    number = parts.owner % view.box_side.shape[1]
    parts = parts.keep((solid[parts.pixel] <= number).nonzero().flatten())
    picture = torch.arange(samples, device=at.device).repeat_interleave(size * size)
    return layer, picture, parts, outline(world, view, parts.owner, parts.u, parts.v)


def ridge_rows(
    view: View, number: int, crests: Float[Tensor, "n w"], size: int
) -> tuple[Int[Tensor, " r"], Float[Tensor, "r 1"]]:
    """The rows, picture · h + row, in which a ridge may be seen, and their heights above its foot in picture sides."""
    at = (torch.arange(size, device=crests.device, dtype=torch.float32) + 0.5) / size
    height = view.ridge_foot[:, number, None] - at
    line = ((height * size > -0.5) & ((crests.amax(1, keepdim=True) - height) * size > -0.5)).flatten().nonzero().flatten()
    return line, height.flatten()[line][:, None]
