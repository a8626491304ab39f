"""Mountains, hills, and the things that stand in front of them."""

import torch
from jaxtyping import Float
from torch import Tensor

from exemplar_lab.data.synth.scenes.canvas import Scenery, gathered, lay, mix, white_like
from exemplar_lab.data.synth.scenes.cast import Fragments, crest, ridge_rows
from exemplar_lab.data.synth.scenes.layout import RIDGES
from exemplar_lab.data.synth.scenes.materials import CLASSES
from exemplar_lab.data.synth.scenes.noise import level_of, noise, ridge
from exemplar_lab.data.synth.scenes.palette import thing_colours
from exemplar_lab.data.synth.scenes.sprites import BASE

_C = {name: number for number, name in enumerate(CLASSES)}


def paint_ridge(canvas: Float[Tensor, "8 p"], scene: Scenery, number: int) -> None:
    """One range of mountains (0, 1) or hills (2, 3), with lit and shaded spurs, meadows or woods, snow and mist."""
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
    tile = rise * (2.6 if number < 2 else 5.0)
    away = (RIDGES[number] - view.camera.along.float()) * scene.haze
    names = ("mountain", "hill") if number < 2 else ("hill", "tree", "sand")
    origin, scale_, full, rise_, period_, tile_, seed, start, blur, rough, snow, snowy, sandy, away, *colour = gathered(
        picture,
        *(view.ridge_origin[:, number], scale, rise * scale, rise, period, tile, world.seed, world.ridge_start[:, number]),
        *(view.ridge_blur[:, number].clamp_min(1.0), scene.rough, scene.snow, world.snowy, world.land == 4, away),
        *(scene.colour[:, _C[name]] for name in names),
    )
    right = (x - origin) / scale_
    down, share = ((top - height) / full).clamp_min(0), height / full
    grainy = noise(
        right / tile_ + seed[0] + 0.37 * number,
        share / (2.6 if number < 2 else 3.0) + seed[1] - 0.35 * right / tile_,
        level_of(512 / (tile * scale * size))[picture],
    )
    # Spurs: the slope of the ridge line, blurred the more the lower one looks, runs down from the peaks like ribs.
    wobble = (grainy[1] * 0.16 + grainy[0] * 0.22) * (0.05 + down).clamp_max(0.5) * rise_
    along = (right + wobble) / period_ + start
    blur = blur + (4.5 + 4.5 * down.sqrt() if number < 2 else 7.0 + 3.0 * down.sqrt())
    slope = ridge(world.ridge_line[picture, number], along, blur)[1]
    steep = slope * (rise_ / period_) * (0.9 + 2.4 * down)
    lamps = scene.lamps
    bearing = right / RIDGES[number]
    key, fill, towards = (lamps.at(name, picture, bearing) for name in ("key", "fill", "towards"))
    side = steep * -towards[0] * 2.4 + rough * (0.22 * grainy[1])
    facing = 0.5 + 0.5 * side / (0.10 + side * side).sqrt()
    if number < 2:
        albedo = colour[0] * (1 + rough * (0.22 * grainy[1] + 0.16 * grainy[2]))
        meadow = ((0.30 - share + 0.35 * grainy[0]) * 4).clamp(0, 1) * 0.55
        albedo = mix(albedo, colour[1], meadow)
        cap = share - 0.86 + 0.20 * snowy + 0.95 * snow + 0.22 * grainy[0] + 0.10 * grainy[1] - 0.05 * steep.abs()
        albedo = mix(albedo, white_like(x), (cap * 9).clamp(0, 1) * 0.97 * (0.3 + snow + snowy).clamp(0, 1))
    else:
        woods = ((grainy[0] * 1.6 + grainy[1] * 0.9 - 0.05) * 4).clamp(0, 1)
        albedo = colour[0] * (1 + rough * (0.16 * grainy[1] + 0.10 * grainy[2]))
        dark = colour[1] * (0.86 + rough * (0.30 * grainy[2] + 0.20 * grainy[3]))
        albedo = mix(albedo, dark, woods * 0.75 * rough.clamp_max(1) * (1 - sandy))
        albedo = mix(albedo, colour[2], sandy * 0.75)
        cap = (snow * 2.2 - 0.7 + 1.0 * grainy[0] + 0.6 * grainy[1] + 0.3 * share).clamp(0, 1) * (snow * 4).clamp(0, 1)
        albedo = mix(albedo, white_like(x), cap * (0.85 - 0.35 * woods))
    albedo = albedo.clamp(0.02, 1)
    lit = albedo * (fill * 1.05 + key * (0.10 + 0.78 * facing) * (0.55 - 0.45 * towards[1]))
    # Mist lies low.
    thick = away * (0.55 + 0.9 * (1 - share).clamp(0, 1))
    lit = mix(lit, lamps.at("haze", picture, bearing), thick / (1 + thick))
    lay(canvas, pixel, cover, lit, albedo)


def paint_things(canvas: Float[Tensor, "8 p"], scene: Scenery, parts: Fragments, found: Float[Tensor, "8 f"]) -> None:
    """Trees, bushes, houses and balloons, far to near; `found` holds the numbers of their sprites at each pixel."""
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
    columns += [0.4 + 0.6 * scene.rough[picture], snow * 0.7 - 0.52, holds * (snow * 3).clamp(0, 1), house, windows]
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
        lies = ((high - found[3] + 2.2 * (found[1] - 1)) * 4).clamp(0, 1) * holds
        # Trunks, windows and doors stay free; of a house only the roof is white.
        lies = lies * mix(1 - found[4], found[4] * (found[3] < -0.55), house)
        albedo = mix(albedo, white_like(cover), lies)
    albedo = albedo.clamp(0.01, 1)
    forward = (1 - found[2] * found[2] - found[3] * found[3]).clamp_min(0).sqrt()
    facing = (0.12 + 0.88 * (found[2] * towards[0] + found[3] * towards[1] + forward * towards[2])).clamp(0, 1)
    lit = albedo * (fill * (0.86 - 0.30 * found[3]) + key * facing)
    if bool((light["night"] + light["dusk"] > 0).any()):
        lit = mix(lit, torch.tensor([1.0, 0.78, 0.38], device=cover.device)[:, None], windows * found[5])
        fire = fire * (1 - (found[3] - 0.75).abs()).clamp(0, 1)
        lit = lit + albedo * fire * torch.tensor([0.50, 0.34, 0.14], device=cover.device)[:, None]
    lit = mix(lit, haze, thick)
    start = 0
    for end in parts.ends:
        some = slice(start, end)
        lay(canvas, parts.pixel[some], cover[some], lit[:, some], albedo[:, some], 0.0, foot[some])
        start = end
