"""The plain: where it is grass, sand, dirt or water, as a function of the point on it alone."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.data.synth.scenes.cast import PATCH, View
from exemplar_lab.data.synth.scenes.layout import World
from exemplar_lab.data.synth.scenes.materials import CLASSES
from exemplar_lab.data.synth.scenes.noise import level_of, noise, ridge

_C = {name: number for number, name in enumerate(CLASSES)}


def ground(
    world: World, picture: Tensor, x: Tensor, depth: Tensor, log: Tensor, pixels: Tensor, level: Tensor
) -> tuple[Float[Tensor, "5 ..."], Float[Tensor, "4 ..."]]:
    """How much a point of the plain is covered by dirt, sand, sea and river, and how near the shore or bank it is (> 0 in the
    water, in pixels); and the patch noise there. `pixels`: how many a unit of X is wide. Shapes broadcast to that of x."""
    seed = world.seed[picture]
    texture = noise(x / PATCH[0] + seed[..., 0], log / PATCH[1] + seed[..., 1], level)
    none = torch.full_like(x, -1e6)
    shore = none
    if bool((world.sea > 0).any()):
        wave = ridge(world.ridge_line[picture, 2], x * 0.011 + seed[..., 1], torch.full_like(depth, 2.0))[0]
        # Along the view a step of log depth is about `pixels` high: the eye is at height 1.
        level_ = log - world.shore[picture] - world.shore_tilt[picture] * x - world.shore_wave[picture] * (wave - 0.5)
        shore = torch.where(world.sea[picture] > 0, (level_ + 0.06 * texture[1]) * pixels, -1e6)
    beach, dunes = world.beach[picture], world.land[picture] == 4
    strip = torch.where(beach > 0, shore + beach * pixels, torch.where(world.sandy[picture] > 0, 1e6, -1e6))
    strip = torch.where(world.sandy[picture] > 0, 1e6, strip)
    sand = torch.where(dunes, (texture[0] + 0.25) * pixels * 0.5, strip)
    field = (texture[1] * 0.4 - texture[0] - 0.34) * pixels * 0.5
    dirt = torch.where(world.fields[picture] > 0, field, -1e6)
    path = _along(world.bend[picture, 4:], x, depth, log, world.path, picture, pixels, texture)
    river = _along(world.bend[picture, :4], x, depth, log, world.river, picture, pixels, texture)
    cover = torch.stack([torch.maximum(dirt, path), sand.expand_as(x), shore.expand_as(x), river])
    bank = torch.maximum(shore, river)
    return torch.cat([(cover + 0.5).clamp(0, 1), bank[None]]), texture


def _along(
    bend: Tensor, x: Tensor, depth: Tensor, log: Tensor, wide: Tensor, picture: Tensor, pixels: Tensor, texture: Tensor
) -> Tensor:
    """Distance in pixels to the bank of something winding, > 0 inside."""
    if not bool((wide > 0).any()):
        return torch.full_like(x, -1e6)
    wide = wide[picture]
    middle = ridge(bend[..., 0].long(), log * 0.055 + bend[..., 1], torch.full_like(log, 6.0))[0]
    middle = depth * (bend[..., 3] + bend[..., 2] * (middle - 0.5))
    inside = (wide * (0.5 + 0.012 * depth) - (x - middle).abs() + 0.06 * texture[1]) * (pixels * 0.8)
    return torch.where(wide > 0, inside, -1e6)


def class_of_ground(cover: Float[Tensor, "5 ..."]) -> Int[Tensor, "..."]:
    """Class of the topmost cover; grass where there is none."""
    found = torch.full_like(cover[0], _C["grass"], dtype=torch.long)
    for number, name in zip((1, 0, 2, 3), ("sand", "dirt", "sea", "river"), strict=True):
        found = torch.where(cover[number] >= 0.5, _C[name], found)
    return found


def settle(world: World) -> World:
    """The world without the things that would stand in water or on the way."""
    count = world.thing_x.shape[1]
    picture = torch.arange(len(world.land), device=world.thing_x.device).repeat_interleave(count)
    x, z = world.thing_x.flatten(), world.thing_z.flatten()
    bad = torch.zeros_like(x, dtype=torch.bool)
    for step in (-0.22, 0.0, 0.22):
        side = world.thing_square.flatten() * step
        cover, _ = ground(
            world, picture, x + side, z, z.double().log().float(), torch.full_like(x, 50.0), torch.zeros_like(picture)
        )
        bad |= cover[2:4].amax(0) > 0
        bad |= (world.path[picture] > 0) & (
            _along(
                world.bend[picture, 4:],
                x + side,
                z,
                z.double().log().float(),
                world.path,
                picture,
                torch.full_like(x, 50.0),
                cover * 0,
            )
            > 0
        )
    bad &= world.thing_foot.flatten() == 0
    return world._replace(thing_on=world.thing_on * (~bad).float().unflatten(0, world.thing_on.shape))


def classes_of_plain(world: World, view: View, size: int) -> Int[Tensor, " p"]:
    """The class of sky or plain at each pixel, flat, as if nothing stood before them."""
    at = (torch.arange(size, device=view.axis.device, dtype=torch.float32) + 0.5) / size
    picture = torch.arange(len(view.axis), device=at.device)[:, None, None]
    depth, log, step = (v[:, :, None] for v in (view.row_depth, view.row_log, view.row_scale))
    right = view.camera.right.float()[picture] + (at - view.axis[picture]) * step
    cover, _ = ground(world, picture, right, depth, log, size / step, level_of(view.row_texels)[:, :, None])
    return torch.where(at[:, None] > view.horizon[picture], class_of_ground(cover), _C["sky"]).flatten()
