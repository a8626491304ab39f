"""The plain with its water and ways, the shadows on it, and what the water mirrors."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.data.synth.scenes.canvas import Scenery, lay, mix, of_picture, rows_of, white_like
from exemplar_lab.data.synth.scenes.cast import PATCH, boxes
from exemplar_lab.data.synth.scenes.ground import class_of_ground, ground
from exemplar_lab.data.synth.scenes.materials import CLASSES
from exemplar_lab.data.synth.scenes.noise import level_of, noise

_C = {name: number for number, name in enumerate(CLASSES)}


def paint_plain(canvas: Float[Tensor, "8 p"], scene: Scenery) -> Int[Tensor, " p"]:
    """Grass, sand, dirt and water below the horizon; gives the class of plain or sky at each pixel."""
    world, view, size = scene.world, scene.view, scene.size
    y = ((torch.arange(size, device=canvas.device) + 0.5) / size)[None]
    below = (y - view.horizon[:, None]) * size
    row, picture, x = rows_of(below > -0.5, size)
    below, depth, log, step = (v.flatten()[row][:, None] for v in (below, view.row_depth, view.row_log, view.row_scale))
    level, level_4, level_20 = (level_of(view.row_texels * times).flatten()[row][:, None] for times in (1, 4, 20))
    right = view.camera.right.float()[picture] + (x - view.axis[picture]) * step
    cover, wide = ground(world, picture, right, depth, log, size / step, level)
    seed = world.seed[picture]
    near = noise(right * (4 / PATCH[0]) + seed[..., 1], log * (4 / PATCH[1]) + seed[..., 0], level_4)
    close = noise(right * (22.0 / PATCH[0]) + seed[..., 0], log * (14.0 / PATCH[1]) + seed[..., 1], level_20)
    rough = scene.rough[picture]
    lamps, bearing = scene.lamps, right / depth
    colour = [of_picture(scene.colour[:, number], picture) for number in range(len(CLASSES))]
    season = scene.style[:, 3].float()[picture]
    grass = colour[_C["grass"]] * (1 + rough * (0.20 * wide[0] + 0.24 * near[1] + 0.20 * close[1] + 0.12 * close[2]))
    grass = grass + (wide[1] + 0.5 * near[0]) * rough * torch.tensor([0.10, 0.055, 0.0], device=x.device)[:, None, None]
    flower = ((close[3] - 0.62 - season) * 4).clamp(0, 1) * (near[0] * 3 + 0.3).clamp(0, 1) * rough.clamp_max(1)
    grass = mix(
        grass,
        torch.where(near[1] > 0, 0.92, 0.80) * torch.tensor([1.0, 0.96, 0.72], device=x.device)[:, None, None],
        flower * 0.8,
    )
    sand = colour[_C["sand"]] * (1 + rough * (0.07 * wide[1] + 0.08 * near[1] + 0.09 * close[3] + 0.05 * close[2]))
    dirt = colour[_C["dirt"]] * (1 + rough * (0.14 * wide[1] + 0.18 * near[1] + 0.16 * close[1] + 0.06 * close[3]))
    snow = (scene.snow[picture] * 2.2 - 0.75 + 1.1 * wide[0] + 0.8 * near[1] + 0.5 * close[1]).clamp(0, 1) * (
        scene.snow[picture] * 4
    ).clamp(0, 1)
    white = white_like(x)[..., None]
    grass, sand, dirt = mix(grass, white, snow * 0.95), mix(sand, white, snow * 0.5), mix(dirt, white, snow * 0.45)
    # Units from the shore: wet sand, foam on the first waves, and water that darkens as it gets deeper.
    off = (cover[4] / (size / step)).clamp(-9, 9)
    wet = (1 + off * 4 + 0.6 * near[0]).clamp(0, 1)
    sand, dirt = sand * (1 - 0.30 * wet), dirt * (1 - 0.22 * wet)
    far = (off * 0.8).clamp(0, 1)
    sea = colour[_C["sea"]] * (1.18 - 0.32 * far + rough * (0.06 * wide[0] + 0.05 * near[1]))
    sea = mix(sea, colour[_C["sand"]] * 0.75, (0.42 - off * 1.1).clamp(0, 0.42))
    waves = (1 - (off - 0.05 - 0.06 * near[0]).abs() * 16).clamp(0, 1) + 0.8 * (
        1 - (off - 0.42 - 0.16 * near[0]).abs() * 13
    ).clamp(0, 1)
    foam = (waves * (0.75 + 1.2 * close[1])).clamp(0, 1) * (world.land[picture] == 1) * rough.clamp_max(1)
    sea = mix(sea, 0.95, foam * 0.85)
    river = colour[_C["river"]] * (1.08 - 0.25 * far + rough * 0.05 * near[1])
    river = mix(river, colour[_C["dirt"]] * 0.7, (0.5 - off * 2.5).clamp(0, 0.5))
    albedo = grass
    for number, top in zip((1, 0, 2, 3), (sand, dirt, sea, river), strict=True):
        albedo = mix(albedo, top, cover[number])
    water = 1 - (1 - cover[2]) * (1 - cover[3])
    key, fill, towards = (lamps.at(name, picture, bearing) for name in ("key", "fill", "towards"))
    relief = 1 + rough * (0.20 * close[2] + 0.15 * near[2]) * (1 - water)
    lit = albedo * (fill + key * (-towards[1] * (0.72 * relief)))
    horizon = lamps.at("horizon", picture, bearing)
    sheen = (
        scene.style[:, 6].float()[picture] * (1 - water) / (1 + below * (14 / size)) * (0.55 + near[0]).clamp(0, 1) * (1 - snow)
    )
    lit = mix(lit, horizon, sheen * 0.22)
    thick = scene.haze[picture] * depth
    lit = mix(lit, lamps.at("haze", picture, bearing), thick / (1 + thick))
    # White water is no mirror.
    lay(canvas.unflatten(1, (-1, size)), row, (below + 0.5).clamp(0, 1), lit, albedo, water * (1 - 0.45 * foam))
    behind = torch.full_like(canvas[0], _C["sky"], dtype=torch.long).unflatten(0, (-1, size))
    named = torch.where(below > 0, class_of_ground(cover), _C["sky"])
    return behind.index_copy_(0, row, named).flatten()


def paint_shadows(canvas: Float[Tensor, "8 p"], scene: Scenery) -> None:
    """Soft pools of shade at the feet of things, drawn away from the light."""
    world, view, size = scene.world, scene.view, scene.size
    lamp = scene.lamps.left
    ground_ = (world.thing_foot == 0) & (view.box_side > 0)
    side = view.box_side * ground_
    narrow = (world.thing_class == _C["tree"]).float()
    wide = side * (1.15 - 0.35 * narrow)
    slide = -lamp.towards[:, :1] / (0.3 - lamp.towards[:, 1:2]) * side * 0.62
    foot = view.box_top + view.box_side * 0.965
    tall = ((foot - view.horizon[:, None]) * wide * 0.24 / (0.10 + (foot - view.horizon[:, None]))).clamp_min(0) * 2.0
    tall = torch.minimum(tall, side * 0.3)
    frame = torch.stack([view.box_left + (side - wide) / 2 + slide, foot - tall * 0.5, wide, tall], dim=-1)
    parts = boxes(frame, frame, size)
    picture = parts.owner.div(side.shape[1], rounding_mode="floor")
    x, y = parts.u * 2 - 1, parts.v * 2 - 1
    inside = (1 - x * x - y * y).clamp_min(0)
    strength = (lamp.key.sum(1) / (lamp.key.sum(1) + lamp.fill.sum(1)) * 0.72)[picture]
    keep = 1 - inside * strength * (1 - 0.6 * canvas[6].index_select(0, parts.pixel))
    start = 0
    for end in parts.ends:
        pixel = parts.pixel[start:end]
        canvas[:3].index_copy_(1, pixel, canvas[:3].index_select(1, pixel) * keep[start:end])
        start = end


def mirror_in_water(canvas: Float[Tensor, "8 n h w"], bare: Float[Tensor, "4 p"], scene: Scenery) -> Float[Tensor, "n 3 h w"]:
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
    small = noise(
        right * (9 / PATCH[0]) + seed[:, 0], log * (62 / PATCH[1]) + seed[:, 1], level_of(view.row_texels * 12).flatten()[line]
    )
    large = noise(
        right * (2.2 / PATCH[0]) + seed[:, 1], log * (16 / PATCH[1]) + seed[:, 0], level_of(view.row_texels * 3).flatten()[line]
    )
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
    # In water that begins near the viewer, ripples would tear what is thin to shreds.
    whole = (2 - (bank.float() / size - view.horizon[picture]) * 22).clamp(0, 1)
    near = [(foot[at] <= bank + 4) * (1 - (bank - foot[at]) / (0.05 * size)).clamp(0, 1) * whole for at in (first, second)]
    tall = near[0] * (1 - share) + near[1] * share
    bright = flat.index_select(1, torch.where(near[0] >= near[1], first, second))
    seen = mix(seen, bright, tall)
    steepness = below.clamp_min(0) / (below.clamp_min(0) + 0.22)
    strength = (0.78 - 0.42 * steepness + 0.10 * ripple).clamp(0, 0.9) * water.flatten()[pixel]
    own = flat.index_select(1, pixel)
    mixed = mix(own, seen * 0.94, strength)
    bearing = right / depth
    key, place = scene.lamps.at("key", picture, bearing), scene.lamps.at("place", picture, bearing)
    lane = bearing - place[0]
    glint = (ripple - 0.35).clamp(0, 1) / (1 + 60 * lane * lane) * (1 - scene.lamps.at("overcast", picture, bearing))
    mixed = mixed + key * (glint * 0.9 * water.flatten()[pixel])
    return flat.index_copy(1, pixel, mixed).unflatten(1, lit.shape[1:]).movedim(0, 1)
