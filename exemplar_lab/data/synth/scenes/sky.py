"""Sky, sun, stars and clouds."""

import torch
from jaxtyping import Float
from torch import Tensor

from exemplar_lab.data.synth.scenes.canvas import Scenery, lay, mix, rows_of
from exemplar_lab.data.synth.scenes.cast import boxes
from exemplar_lab.data.synth.scenes.noise import level_of, noise
from exemplar_lab.data.synth.scenes.sprites import extents, sprite
from exemplar_lab.data.synth.scenes.sprites import level_of as sprite_level_of


def paint_sky(canvas: Float[Tensor, "8 p"], scene: Scenery) -> None:
    """Gradient, thin clouds, sun or moon with their glow, stars; down to the horizon."""
    view, size = scene.view, scene.size
    y = ((torch.arange(size, device=canvas.device) + 0.5) / size)[None]
    up = (view.horizon[:, None] - y) / view.focal[:, None]
    row, picture, x = rows_of(up * view.focal[:, None] * size > -1, size)
    up = up.flatten()[row][:, None].clamp_min(0)
    right = (x - view.axis[picture]) / view.focal[picture]
    lamps = scene.lamps
    horizon, zenith = lamps.at("horizon", picture, right), lamps.at("zenith", picture, right)
    high = up / (up + 0.20)
    albedo = mix(horizon, zenith, (high * 1.28).clamp_max(1))
    # High thin clouds: streaks that draw together towards the horizon.
    seed = scene.world.seed[picture]
    texels = 0.35 * 512 / (view.focal * size)
    level = level_of(texels * 1.4)[picture]
    streak = noise(right * 0.20 + seed[..., 0] + high * 0.35, high * 1.5 + seed[..., 1] + right * 0.06, level)
    overcast = lamps.at("overcast", picture, right)
    veil = (streak[0] * 0.9 + streak[1] * 0.45 + overcast * 1.15 - 0.42).clamp(0, 1) * (0.45 + 0.45 * overcast)
    veil = veil * (high * 3.2).clamp(0, 1) * scene.rough[picture].clamp_max(1.2)
    bright = horizon * 0.62 + lamps.at("key", picture, right) * 0.30 + 0.06
    albedo = mix(albedo, bright, veil)
    place, key = lamps.at("place", picture, right), lamps.at("key", picture, right)
    night = lamps.at("night", picture, right)
    dx, dy = right - place[0], up - place[1]
    square = dx * dx + dy * dy
    clear = 1 - 0.75 * overcast
    glow = key * ((0.30 / (1 + 26 * square) + 0.20 / (1 + 170 * square)) * clear)
    disc = ((0.036 - 0.008 * night - square.sqrt()) * view.focal[picture] * size + 0.5).clamp(0, 1) * clear
    lit = albedo + glow
    face = (key * 0.7 + 0.55).clamp_max(1.1) + night * 0.25
    lit = mix(lit, face, disc * (1 - 0.7 * veil))
    if bool((scene.lamps.left.night > 0).any()):
        grit = noise(right * 0.9 + seed[..., 1], up * 0.9 + seed[..., 0], level_of(0.9 * 512 / (view.focal * size))[picture])[3]
        lit = lit + ((grit - 1.12) * 3).clamp(0, 1) * night * (1 - disc) * clear * high
    canvas[:6].unflatten(1, (-1, size)).index_copy_(1, row, torch.cat([lit, albedo.expand_as(lit)]))


def paint_clouds(canvas: Float[Tensor, "8 p"], scene: Scenery) -> None:
    """Cumulus, lit by the sun, paler towards the horizon."""
    world, view, size, lamps = scene.world, scene.view, scene.size, scene.lamps
    samples, many = world.cloud_x.shape
    side = world.cloud_side * view.focal[:, None] * world.cloud_on
    left = view.axis[:, None] + view.focal[:, None] * world.cloud_x - side / 2
    top = view.horizon[:, None] - view.focal[:, None] * world.cloud_y - side * 0.55
    frame = torch.stack([left, top, side, side], dim=-1)
    part = extents(str(canvas.device))[world.cloud_sprite] * side[..., None]
    box = torch.stack(
        [left + part[..., 0], top + part[..., 1], part[..., 2] - part[..., 0], part[..., 3] - part[..., 1]], dim=-1
    )
    parts = boxes(box, frame, size)
    picture = torch.arange(samples, device=side.device).repeat_interleave(many)
    bearing = world.cloud_x.flatten()
    names = ("key", "fill", "towards", "horizon", "overcast")
    of_cloud = {name: lamps.at(name, picture, bearing) for name in names}
    low = (1 - (world.cloud_y.flatten() / 0.30).clamp(0.25, 1)) * 0.6
    pixels = (side * size).flatten()
    base = view.horizon[picture] * size
    columns = [
        *of_cloud["key"],
        *of_cloud["fill"],
        *of_cloud["towards"],
        *of_cloud["horizon"],
        of_cloud["overcast"],
        low,
        pixels,
        base,
    ]
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
    body = mix(fill * 0.85 + horizon * 0.30, horizon, 0.35)
    albedo = mix(body, key * 0.62 + body * 0.52, 0.55 * (1 - 0.5 * overcast)) * found[1]
    lit = (body * (0.86 + 0.10 * facing) + key * (facing * 0.42 * (1 - 0.4 * overcast))) * found[1]
    lit, albedo = mix(lit, horizon, low), mix(albedo, horizon, low)
    start = 0
    for end in parts.ends:
        some = slice(start, end)
        lay(canvas, parts.pixel[some], cover[some], lit[:, some], albedo[:, some])
        start = end
