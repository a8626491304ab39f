"""Pictures of landscapes, painted from far to near: sky, clouds, plain, ridges, things; then water mirrors what is there."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from exemplar_lab.data.synth.noise import level_of, noise, ridge
from exemplar_lab.data.synth.scene_cast import PATCH, Fragments, View, boxes, class_of_ground, crest, ground, ridge_rows
from exemplar_lab.data.synth.scene_layout import FIRST_RIDGE, FIRST_THING, RIDGES, World
from exemplar_lab.data.synth.scene_materials import CLASSES, colours
from exemplar_lab.data.synth.scene_palette import thing_colours
from exemplar_lab.data.synth.scene_sprites import BASE, extents, sprite
from exemplar_lab.data.synth.scene_sprites import level_of as sprite_level_of
from exemplar_lab.data.synth.scene_style import Light

_C = {name: number for number, name in enumerate(CLASSES)}
_SNOW = (0.92, 0.94, 0.98)


class Lamps(NamedTuple):
    """The light on the left of the world's border, and on the right of it where there is another; the border as a tangent."""

    left: Light
    right: Light | None
    border: Tensor

    def at(self, name: str, picture: Tensor, bearing: Tensor) -> Tensor:
        """Field `name` for points of the pictures, colours first; `bearing` is X / Z of the point in the world."""
        here = _of(getattr(self.left, name), picture)
        if self.right is None:
            return here
        there = _of(getattr(self.right, name), picture)
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


def scenery(world: World, view: View, style: Float[Tensor, "n 9"], lamps: Lamps, rough: Float[Tensor, " n"], size: int) -> Scenery:
    bare = torch.cat([style[:, :8], torch.zeros_like(style[:, 8:])], dim=-1)
    haze = 0.0015 + 0.016 * style[:, 2]
    return Scenery(world, view, style, lamps, colours(bare).float(), style[:, 8].float(), haze.float(), rough.float(), size)


def _of(value: Tensor, picture: Tensor) -> Tensor:
    """Numbers or colours of pictures for the points of `picture`, colours first."""
    found = value.index_select(0, picture.flatten()).unflatten(0, picture.shape)
    return found if value.ndim == 1 else found.movedim(-1, 0)


def _mix(here: Tensor, there: Tensor | float, share: Tensor | float) -> Tensor:
    return here + (there - here) * share


def _white(like: Tensor) -> Tensor:
    return torch.tensor(_SNOW, device=like.device)[:, None]


def paint(
    scene: Scenery, parts: Fragments, found: Float[Tensor, "8 f"], grain: Int[Tensor, "n 2"]
) -> tuple[Float[Tensor, "n 3 h w"], Float[Tensor, "n 3 h w"], Int[Tensor, " p"]]:
    """Image, albedo, and the class of the plain or sky at each pixel, flat, where nothing stands before them."""
    size, samples = scene.size, len(scene.style)
    # Lit colour, albedo, how much of the pixel is water, and the row where what is seen stands.
    canvas = torch.zeros(8, samples * size * size, device=scene.colour.device)
    _sky(canvas, scene)
    _clouds(canvas, scene)
    behind = _plain(canvas, scene)
    _shadows(canvas, scene)
    for number in range(len(RIDGES)):
        _ridge(canvas, scene, number)
    bare = canvas[[0, 1, 2, 6]]
    _things(canvas, scene, parts, found)
    canvas = canvas.unflatten(1, (samples, size, size))
    lit = _mirror(canvas, bare, scene)
    return _finish(lit, scene, grain), canvas[3:6].movedim(0, 1).clamp(0, 1), behind


def _lay(canvas: Tensor, pixel: Tensor, cover: Tensor, lit: Tensor, albedo: Tensor, water: Tensor | float = 0.0, foot: Tensor | float = 0.0) -> None:
    """Paint over the pixels, each named at most once."""
    old = canvas.index_select(1, pixel)
    new = torch.empty_like(old)
    new[:3], new[3:6], new[6], new[7] = lit, albedo, water, foot
    canvas.index_copy_(1, pixel, old + (new - old) * cover)


def _rows(keep: Bool[Tensor, "n h"], size: int) -> tuple[Tensor, Tensor, Tensor]:
    """The rows kept of all pictures, (r,), the pictures they belong to, (r, 1), and x of their pixels, (1, w)."""
    row = keep.flatten().nonzero().flatten()
    x = (torch.arange(size, device=row.device).float() + 0.5) / size
    return row, row.div(size, rounding_mode="floor")[:, None], x[None]


def _sky(canvas: Tensor, scene: Scenery) -> None:
    view, size = scene.view, scene.size
    y = ((torch.arange(size, device=canvas.device) + 0.5) / size)[None]
    up = (view.horizon[:, None] - y) / view.focal[:, None]
    row, picture, x = _rows(up * view.focal[:, None] * size > -1, size)
    up = up.flatten()[row][:, None].clamp_min(0)
    right = (x - view.axis[picture]) / view.focal[picture]
    lamps = scene.lamps
    horizon, zenith = lamps.at("horizon", picture, right), lamps.at("zenith", picture, right)
    high = up / (up + 0.20)
    albedo = _mix(horizon, zenith, (high * 1.28).clamp_max(1))
    # High thin clouds: streaks that draw together towards the horizon.
    seed = scene.world.seed[picture]
    texels = 0.35 * 512 / (view.focal * size)
    level = level_of(texels * 1.4)[picture]
    streak = noise(right * 0.20 + seed[..., 0] + high * 0.35, high * 1.5 + seed[..., 1] + right * 0.06, level)
    overcast = lamps.at("overcast", picture, right)
    veil = (streak[0] * 0.9 + streak[1] * 0.45 + overcast * 1.15 - 0.42).clamp(0, 1) * (0.45 + 0.45 * overcast)
    veil = veil * (high * 3.2).clamp(0, 1) * scene.rough[picture].clamp_max(1.2)
    bright = horizon * 0.62 + lamps.at("key", picture, right) * 0.30 + 0.06
    albedo = _mix(albedo, bright, veil)
    place, key = lamps.at("place", picture, right), lamps.at("key", picture, right)
    night = lamps.at("night", picture, right)
    dx, dy = right - place[0], up - place[1]
    square = dx * dx + dy * dy
    clear = 1 - 0.75 * overcast
    glow = key * ((0.30 / (1 + 26 * square) + 0.20 / (1 + 170 * square)) * clear)
    disc = ((0.036 - 0.008 * night - square.sqrt()) * view.focal[picture] * size + 0.5).clamp(0, 1) * clear
    lit = albedo + glow
    face = (key * 0.7 + 0.55).clamp_max(1.1) + night * 0.25
    lit = _mix(lit, face, disc * (1 - 0.7 * veil))
    if bool((scene.lamps.left.night > 0).any()):
        grit = noise(right * 0.9 + seed[..., 1], up * 0.9 + seed[..., 0], level_of(0.9 * 512 / (view.focal * size))[picture])[3]
        lit = lit + ((grit - 1.12) * 3).clamp(0, 1) * night * (1 - disc) * clear * high
    _lay(canvas.unflatten(1, (-1, size)), row, torch.ones_like(up), lit, albedo)


def _clouds(canvas: Tensor, scene: Scenery) -> None:
    world, view, size, lamps = scene.world, scene.view, scene.size, scene.lamps
    samples, many = world.cloud_x.shape
    side = world.cloud_side * view.focal[:, None] * world.cloud_on
    left = view.axis[:, None] + view.focal[:, None] * world.cloud_x - side / 2
    top = view.horizon[:, None] - view.focal[:, None] * world.cloud_y - side * 0.55
    frame = torch.stack([left, top, side, side], dim=-1)
    part = extents(str(canvas.device))[world.cloud_sprite] * side[..., None]
    box = torch.stack([left + part[..., 0], top + part[..., 1], part[..., 2] - part[..., 0], part[..., 3] - part[..., 1]], dim=-1)
    parts = boxes(box, frame, size)
    picture = torch.arange(samples, device=side.device).repeat_interleave(many)
    bearing = world.cloud_x.flatten()
    names = ("key", "fill", "towards", "horizon", "overcast")
    of_cloud = {name: lamps.at(name, picture, bearing) for name in names}
    low = (1 - (world.cloud_y.flatten() / 0.30).clamp(0.25, 1)) * 0.6
    pixels = (side * size).flatten()
    base = view.horizon[picture] * size
    columns = [*of_cloud["key"], *of_cloud["fill"], *of_cloud["towards"], *of_cloud["horizon"], of_cloud["overcast"], low, pixels, base]
    rows = torch.stack(columns, dim=1).index_select(0, parts.owner).T.contiguous()
    key, fill, towards, horizon = rows[:12].unflatten(0, (4, 3))
    overcast, low, pixels, base = rows[12:]
    which = torch.stack([world.cloud_sprite, sprite_level_of(side * size)], dim=-1).flatten(0, 1).index_select(0, parts.owner)
    found = sprite(which[:, 0], which[:, 1], parts.u, parts.v)
    sky = base - (parts.pixel.div(size, rounding_mode="floor") % size)
    cover = (0.5 + found[0] * pixels / (0.75 + 0.022 * pixels)).clamp(0, 1) * sky.clamp(0, 1)
    cover = cover * (0.72 + 0.28 * (0.80 - parts.v * 1.39).clamp(0, 1))
    forward = (1 - found[2] * found[2] - found[3] * found[3]).clamp_min(0).sqrt()
    facing = (0.30 + 0.70 * (found[2] * towards[0] + found[3] * towards[1] + forward * 0.5)).clamp(0, 1)
    body = _mix(fill * 0.85 + horizon * 0.30, horizon, 0.35)
    albedo = _mix(body, key * 0.62 + body * 0.52, 0.55 * (1 - 0.5 * overcast)) * found[1]
    lit = (body * (0.86 + 0.10 * facing) + key * (facing * 0.42 * (1 - 0.4 * overcast))) * found[1]
    lit, albedo = _mix(lit, horizon, low), _mix(albedo, horizon, low)
    start = 0
    for end in parts.ends:
        some = slice(start, end)
        _lay(canvas, parts.pixel[some], cover[some], lit[:, some], albedo[:, some])
        start = end


def _plain(canvas: Tensor, scene: Scenery) -> Tensor:
    world, view, size = scene.world, scene.view, scene.size
    y = ((torch.arange(size, device=canvas.device) + 0.5) / size)[None]
    below = (y - view.horizon[:, None]) * size
    row, picture, x = _rows(below > -0.5, size)
    below, depth, log, step = (v.flatten()[row][:, None] for v in (below, view.row_depth, view.row_log, view.row_scale))
    level, level_4, level_18 = (level_of(view.row_texels * times).flatten()[row][:, None] for times in (1, 4, 18))
    right = view.camera.right.float()[picture] + (x - view.axis[picture]) * step
    cover, wide = ground(world, picture, right, depth, log, size / step, level)
    seed = world.seed[picture]
    near = noise(right * (4 / PATCH[0]) + seed[..., 1], log * (4 / PATCH[1]) + seed[..., 0], level_4)
    close = noise(right * (18.0 / PATCH[0]) + seed[..., 0], log * (12.0 / PATCH[1]) + seed[..., 1], level_18)
    rough = scene.rough[picture]
    lamps, bearing = scene.lamps, right / depth
    colour = [_of(scene.colour[:, number], picture) for number in range(len(CLASSES))]
    season = scene.style[:, 3].float()[picture]
    grass = colour[_C["grass"]] * (1 + rough * (0.20 * wide[0] + 0.24 * near[1] + 0.20 * close[1] + 0.12 * close[2]))
    grass = grass + (wide[1] + 0.5 * near[0]) * rough * torch.tensor([0.10, 0.055, 0.0], device=x.device)[:, None, None]
    flower = ((close[3] - 0.62 - season) * 4).clamp(0, 1) * (near[0] * 3 + 0.3).clamp(0, 1) * rough.clamp_max(1)
    grass = _mix(grass, torch.where(near[1] > 0, 0.92, 0.80) * torch.tensor([1.0, 0.96, 0.72], device=x.device)[:, None, None], flower * 0.8)
    sand = colour[_C["sand"]] * (1 + rough * (0.07 * wide[1] + 0.08 * near[1] + 0.09 * close[3] + 0.05 * close[2]))
    dirt = colour[_C["dirt"]] * (1 + rough * (0.14 * wide[1] + 0.18 * near[1] + 0.16 * close[1] + 0.06 * close[3]))
    snow = (scene.snow[picture] * 2.2 - 0.75 + 1.1 * wide[0] + 0.8 * near[1] + 0.5 * close[1]).clamp(0, 1) * (scene.snow[picture] * 4).clamp(0, 1)
    white = _white(x)[..., None]
    grass, sand, dirt = _mix(grass, white, snow * 0.95), _mix(sand, white, snow * 0.5), _mix(dirt, white, snow * 0.45)
    # Units from the shore: wet sand, foam on the first waves, and water that darkens as it gets deeper.
    off = (cover[4] / (size / step)).clamp(-9, 9)
    wet = (1 + off * 4 + 0.6 * near[0]).clamp(0, 1)
    sand, dirt = sand * (1 - 0.30 * wet), dirt * (1 - 0.22 * wet)
    far = (off * 0.8).clamp(0, 1)
    sea = colour[_C["sea"]] * (1.18 - 0.32 * far + rough * (0.06 * wide[0] + 0.05 * near[1]))
    sea = _mix(sea, colour[_C["sand"]] * 0.75, (0.42 - off * 1.1).clamp(0, 0.42))
    waves = (1 - (off - 0.05 - 0.06 * near[0]).abs() * 16).clamp(0, 1) + 0.8 * (1 - (off - 0.42 - 0.16 * near[0]).abs() * 13).clamp(0, 1)
    foam = (waves * (0.75 + 1.2 * close[1])).clamp(0, 1) * (world.land[picture] == 1) * rough.clamp_max(1)
    sea = _mix(sea, 0.95, foam * 0.85)
    river = colour[_C["river"]] * (1.08 - 0.25 * far + rough * 0.05 * near[1])
    river = _mix(river, colour[_C["dirt"]] * 0.7, (0.5 - off * 2.5).clamp(0, 0.5))
    albedo = grass
    for number, top in zip((1, 0, 2, 3), (sand, dirt, sea, river), strict=True):
        albedo = _mix(albedo, top, cover[number])
    water = 1 - (1 - cover[2]) * (1 - cover[3])
    key, fill, towards = (lamps.at(name, picture, bearing) for name in ("key", "fill", "towards"))
    relief = 1 + rough * (0.20 * close[2] + 0.15 * near[2]) * (1 - water)
    lit = albedo * (fill + key * (-towards[1] * (0.72 * relief)))
    horizon = lamps.at("horizon", picture, bearing)
    sheen = scene.style[:, 6].float()[picture] * (1 - water) / (1 + below * (14 / size)) * (0.55 + near[0]).clamp(0, 1) * (1 - snow)
    lit = _mix(lit, horizon, sheen * 0.22)
    thick = scene.haze[picture] * depth
    lit = _mix(lit, lamps.at("haze", picture, bearing), thick / (1 + thick))
    # White water is no mirror.
    _lay(canvas.unflatten(1, (-1, size)), row, (below + 0.5).clamp(0, 1), lit, albedo, water * (1 - 0.45 * foam))
    behind = torch.full_like(canvas[0], _C["sky"], dtype=torch.long).unflatten(0, (-1, size))
    named = torch.where(below > 0, class_of_ground(cover), _C["sky"])
    return behind.index_copy_(0, row, named).flatten()


def _shadows(canvas: Tensor, scene: Scenery) -> None:
    """Soft pools of shade at the feet of things, drawn away from the light."""
    world, view, size = scene.world, scene.view, scene.size
    lamp = scene.lamps.left
    ground_ = (world.thing_foot == 0) & (view.box_side > 0)
    side = view.box_side * ground_
    narrow = (world.thing_class == _C["tree"]).float()
    wide = side * (1.25 - 0.25 * narrow)
    slide = -lamp.towards[:, :1] / (0.3 - lamp.towards[:, 1:2]) * side * 0.62
    foot = view.box_top + view.box_side * 0.965
    tall = ((foot - view.horizon[:, None]) * wide * 0.24 / (0.10 + (foot - view.horizon[:, None]))).clamp_min(0) * 2.0
    tall = torch.minimum(tall, side * 0.3)
    frame = torch.stack([view.box_left + (side - wide) / 2 + slide, foot - tall * 0.5, wide, tall], dim=-1)
    parts = boxes(frame, frame, size)
    picture = parts.owner.div(side.shape[1], rounding_mode="floor")
    x, y = parts.u * 2 - 1, parts.v * 2 - 1
    inside = (1 - x * x - y * y).clamp_min(0)
    strength = (lamp.key.sum(1) / (lamp.key.sum(1) + lamp.fill.sum(1)) * 0.85)[picture]
    keep = 1 - inside * strength * (1 - 0.6 * canvas[6].index_select(0, parts.pixel))
    start = 0
    for end in parts.ends:
        pixel = parts.pixel[start:end]
        canvas[:3].index_copy_(1, pixel, canvas[:3].index_select(1, pixel) * keep[start:end])
        start = end


def _ridge(canvas: Tensor, scene: Scenery, number: int) -> None:
    world, view, size = scene.world, scene.view, scene.size
    at = (torch.arange(size, device=canvas.device, dtype=torch.float32) + 0.5) / size
    crests = crest(world, view, number, torch.arange(len(view.axis), device=at.device)[:, None], at[None])
    line, height = ridge_rows(view, number, crests, size)
    top = crests[line.div(size, rounding_mode="floor")]
    cover = ((top - height) * size + 0.5).clamp(0, 1) * (height * size + 0.5).clamp(0, 1)
    some = (cover > 0.004).flatten().nonzero().flatten()
    row = some.div(size, rounding_mode="floor")
    column = some - row * size
    pixel, picture, x = line[row] * size + column, line.div(size, rounding_mode="floor")[row], at[column]
    cover, height, top = cover.flatten()[some], height.flatten()[row].clamp_min(0), top.flatten()[some]
    scale, rise, period = view.ridge_scale[:, number], world.ridge_rise[:, number], world.ridge_period[:, number]
    right = (x - view.ridge_origin[picture, number]) / scale[picture]
    full = (rise * scale)[picture]
    down, share = ((top - height) / full).clamp_min(0), height / full
    tile = rise * (2.6 if number < 2 else 5.0)
    texels = 512 / (tile * scale * size)
    seed = world.seed[picture]
    grainy = noise(right / tile[picture] + seed[:, 0] + 0.37 * number, share / (2.6 if number < 2 else 3.0) + seed[:, 1] - 0.35 * right / tile[picture], level_of(texels)[picture])
    rough = scene.rough[picture]
    # Spurs: the slope of the ridge line, blurred the more the lower one looks, runs down from the peaks like ribs.
    wobble = (grainy[1] * 0.16 + grainy[0] * 0.22) * (0.05 + down).clamp_max(0.5) * rise[picture]
    along = (right + wobble) / period[picture] + world.ridge_start[picture, number]
    blur = view.ridge_blur[picture, number].clamp_min(1.0)
    slope = ridge(world.ridge_line[picture, number], along, blur + (4.5 + 4.5 * down.sqrt() if number < 2 else 7.0 + 3.0 * down.sqrt()))[1]
    steep = slope * (rise / period)[picture] * (0.9 + 2.4 * down)
    lamps = scene.lamps
    bearing = right / RIDGES[number]
    key, fill, towards = (lamps.at(name, picture, bearing) for name in ("key", "fill", "towards"))
    side = steep * -towards[0] * 2.4 + rough * (0.22 * grainy[1])
    facing = 0.5 + 0.5 * side / (0.10 + side * side).sqrt()
    colour = {name: _of(scene.colour[:, _C[name]], picture) for name in ("mountain", "hill", "tree", "sand")}
    snow = scene.snow[picture]
    if number < 2:
        albedo = colour["mountain"] * (1 + rough * (0.22 * grainy[1] + 0.16 * grainy[2]))
        meadow = ((0.30 - share + 0.35 * grainy[0]) * 4).clamp(0, 1) * 0.55
        albedo = _mix(albedo, colour["hill"], meadow)
        cap = (share - 0.86 + 0.20 * world.snowy[picture] + 0.95 * snow + 0.22 * grainy[0] + 0.10 * grainy[1] - 0.05 * steep.abs()) * 9
        albedo = _mix(albedo, _white(x), cap.clamp(0, 1) * 0.97 * (0.3 + snow + world.snowy[picture]).clamp(0, 1))
    else:
        woods = ((grainy[0] * 1.6 + grainy[1] * 0.9 - 0.05) * 4).clamp(0, 1)
        albedo = colour["hill"] * (1 + rough * (0.16 * grainy[1] + 0.10 * grainy[2]))
        dark = colour["tree"] * (0.86 + rough * (0.30 * grainy[2] + 0.20 * grainy[3]))
        sandy = (world.land[picture] == 4).float()
        albedo = _mix(albedo, dark, woods * 0.75 * rough.clamp_max(1) * (1 - sandy))
        albedo = _mix(albedo, colour["sand"], sandy * 0.75)
        cap = (snow * 2.2 - 0.7 + 1.0 * grainy[0] + 0.6 * grainy[1] + 0.3 * share).clamp(0, 1) * (snow * 4).clamp(0, 1)
        albedo = _mix(albedo, _white(x), cap * (0.85 - 0.35 * woods))
    albedo = albedo.clamp(0.02, 1)
    lit = albedo * (fill * 1.05 + key * (0.10 + 0.78 * facing) * (0.55 - 0.45 * towards[1]))
    distance = (RIDGES[number] - view.camera.along.float())[picture] * scene.haze[picture]
    # Mist lies low.
    thick = distance * (0.55 + 0.9 * (1 - share).clamp(0, 1))
    lit = _mix(lit, lamps.at("haze", picture, bearing), thick / (1 + thick))
    _lay(canvas, pixel, cover, lit, albedo)


def _things(canvas: Tensor, scene: Scenery, parts: Fragments, found: Tensor) -> None:
    world, view, size, lamps = scene.world, scene.view, scene.size, scene.lamps
    samples, many = world.thing_x.shape
    cover = (0.5 + found[0] * size).clamp(0, 1)
    # What a whole thing shares is worked out for the thing and then handed to its pixels.
    picture = torch.arange(samples, device=cover.device).repeat_interleave(many)
    depth, kind = world.thing_z.flatten(), world.thing_class.flatten()
    bearing = world.thing_x.flatten() / depth
    light = {name: lamps.at(name, picture, bearing) for name in ("key", "fill", "towards", "haze", "night", "dusk")}
    house, balloon = ((kind == _C[name]).float() for name in ("house", "balloon"))
    holds = 0.92 * house + 0.83 * ((kind == _C["tree"]) | (kind == _C["bush"])).float()
    thick = scene.haze[picture] * depth
    foot = ((view.box_top + view.box_side * BASE) * (world.thing_foot == 0) * size).flatten()
    windows = house * (light["night"] + 0.75 * light["dusk"]).clamp(0, 1) * 0.92
    snow = scene.snow[picture]
    columns = [*light["key"], *light["fill"], *light["towards"], *light["haze"]]
    columns += [0.4 + 0.6 * scene.rough[picture], snow * 0.9 - 0.30, holds * (snow * 3).clamp(0, 1), house, windows]
    columns += [balloon * light["night"], thick / (1 + thick), foot]
    paints = thing_colours(world, scene.style).flatten(0, 1).flatten(1)
    rows = torch.cat([paints, torch.stack(columns, dim=1)], dim=1).index_select(0, parts.owner).T.contiguous()
    paints = rows[:15].unflatten(0, (5, 3))
    key, fill, towards, haze = rows[15:27].unflatten(0, (4, 3))
    rough, high, holds, house, windows, fire, thick, foot = rows[27:]
    albedo = paints[0]
    for number in range(1, 5):
        albedo = albedo + (paints[number] - paints[0]) * found[3 + number]
    albedo = albedo * (1 + (found[1] - 1) * rough)
    if bool((scene.snow > 0).any()):
        lies = ((high - found[3] + 1.2 * (found[1] - 1)) * 4).clamp(0, 1) * holds
        # Trunks, windows and doors stay free; of a house only the roof is white.
        lies = lies * _mix(1 - found[4], found[4] * (found[3] < -0.55), house)
        albedo = _mix(albedo, _white(cover), lies)
    albedo = albedo.clamp(0.01, 1)
    forward = (1 - found[2] * found[2] - found[3] * found[3]).clamp_min(0).sqrt()
    facing = (0.12 + 0.88 * (found[2] * towards[0] + found[3] * towards[1] + forward * towards[2])).clamp(0, 1)
    lit = albedo * (fill * (0.86 - 0.30 * found[3]) + key * facing)
    if bool((light["night"] + light["dusk"] > 0).any()):
        lit = _mix(lit, torch.tensor([1.0, 0.78, 0.38], device=cover.device)[:, None], windows * found[5])
        fire = fire * (1 - (found[3] - 0.75).abs()).clamp(0, 1)
        lit = lit + albedo * fire * torch.tensor([0.50, 0.34, 0.14], device=cover.device)[:, None]
    lit = _mix(lit, haze, thick)
    start = 0
    for end in parts.ends:
        some = slice(start, end)
        _lay(canvas, parts.pixel[some], cover[some], lit[:, some], albedo[:, some], 0.0, foot[some])
        start = end


def _mirror(canvas: Float[Tensor, "8 n h w"], bare: Float[Tensor, "4 p"], scene: Scenery) -> Float[Tensor, "n 3 h w"]:
    """Water shows what stands above its far bank, upside down and broken by ripples that grow towards the viewer."""
    view, size = scene.view, scene.size
    lit, water = canvas[:3], canvas[6]
    pixel = (water > 0.01).flatten().nonzero().flatten()
    if len(pixel) == 0:
        return lit.movedim(0, 1)
    row = torch.arange(size, device=water.device)
    # The last row above without water is where the mirror begins.
    bank = torch.where(bare[3].view_as(water) < 0.5, row[None, :, None], -1).cummax(1).values.flatten()[pixel]
    line = pixel.div(size, rounding_mode="floor")
    picture = line.div(size, rounding_mode="floor")
    y = line - picture * size
    x = ((pixel - line * size).float() + 0.5) / size
    depth, log, step = (v.flatten()[line] for v in (view.row_depth, view.row_log, view.row_scale))
    right = view.camera.right.float()[picture] + (x - view.axis[picture]) * step
    seed = scene.world.seed[picture]
    # Ripples are long across the view; each octave fades where a pixel is wider than it.
    small = noise(right * (9 / PATCH[0]) + seed[:, 0], log * (62 / PATCH[1]) + seed[:, 1], level_of(view.row_texels * 12).flatten()[line])
    large = noise(right * (2.2 / PATCH[0]) + seed[:, 1], log * (16 / PATCH[1]) + seed[:, 0], level_of(view.row_texels * 3).flatten()[line])
    ripple = small[1] * 0.55 + large[1] * 0.65 + small[3] * 0.25
    below = (y.float() + 0.5) / size - view.horizon[picture]
    calm = 1 - 0.55 * scene.style[:, 7].float()[picture]
    reach = size * (0.008 + 0.22 * below.clamp_min(0)) * (1.15 - 0.6 * calm)
    column = ((pixel - line * size).float() + large[0] * reach * 0.4).abs().clamp(0, size - 1).long()
    flat, foot = lit.flatten(1), canvas[7].flatten()

    def above(mirror):
        """Where the mirrored ray meets the picture: the upper of two rows, and the share of the lower."""
        source = (2 * mirror - y.float() - ripple * reach).abs().clamp(0, size - 1)
        source = torch.minimum(source, mirror.clamp_min(0))
        upper = source.floor()
        first = (picture * size + upper.long()) * size + column
        return first, torch.where(upper < size - 1, first + size, first), source - upper

    # What is far away is mirrored at the horizon, where nothing near hides it; things on the far bank at their feet.
    first, second, share = above(view.horizon[picture] * size - 0.5)
    far = [torch.where(foot[at] == 0, flat.index_select(1, at), bare.index_select(1, at)[:3]) for at in (first, second)]
    seen = far[0] * (1 - share) + far[1] * share
    first, second, share = above(bank.float() + 0.5)
    near = [((foot[at] > 0) & (foot[at] <= bank + 4)).float() for at in (first, second)]
    tall = near[0] * (1 - share) + near[1] * share
    bright = flat.index_select(1, torch.where(near[0] > 0, first, second))
    seen = _mix(seen, bright, tall)
    steepness = below.clamp_min(0) / (below.clamp_min(0) + 0.22)
    strength = (0.78 - 0.42 * steepness + 0.10 * ripple).clamp(0, 0.9) * water.flatten()[pixel]
    own = flat.index_select(1, pixel)
    mixed = _mix(own, seen * 0.94, strength)
    bearing = right / depth
    key, place = scene.lamps.at("key", picture, bearing), scene.lamps.at("place", picture, bearing)
    lane = bearing - place[0]
    glint = (ripple - 0.35).clamp(0, 1) / (1 + 60 * lane * lane) * (1 - scene.lamps.at("overcast", picture, bearing))
    mixed = mixed + key * (glint * 0.9 * water.flatten()[pixel])
    return flat.index_copy(1, pixel, mixed).unflatten(1, lit.shape[1:]).movedim(0, 1)


def _finish(lit: Float[Tensor, "n 3 h w"], scene: Scenery, grain: Int[Tensor, "n 2"]) -> Float[Tensor, "n 3 h w"]:
    """Exposure, a shoulder for the highlights, vignette and grain."""
    size = scene.size
    at = (torch.arange(size, device=lit.device, dtype=torch.float32) + 0.5) / size - 0.5
    corner = at[:, None] * at[:, None] + at[None] * at[None]
    step = torch.arange(size, device=lit.device)
    speckle = _speckle(lit.device)[((step + grain[:, :1]) % 256)[:, :, None], ((step + grain[:, 1:]) % 256)[:, None, :]]
    grey = lit[:, :1] * 0.3 + lit[:, 1:2] * 0.58 + lit[:, 2:] * 0.12
    lit = _mix(grey, lit, 1.12).clamp(0, 2)
    lit = lit * (1.34 - 0.30 * lit.clamp_max(1.6))
    lit = lit * (1 - 0.30 * corner) + (speckle * 0.016)[:, None]
    return lit.clamp(0, 1)


def _speckle(device: torch.device) -> Float[Tensor, "256 256"]:
    from exemplar_lab.data.synth.noise import numbers

    if str(device) not in _TILES:
        _TILES[str(device)] = torch.from_numpy(numbers("speckle", (256, 256)) - 0.5).float().to(device)
    return _TILES[str(device)]


_TILES: dict[str, Tensor] = {}
