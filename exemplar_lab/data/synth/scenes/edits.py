"""A landscape before and after one thing of it was moved, added or removed: the true answer to editing a map of labels."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from exemplar_lab.data.seeds import fold, sample_keys, uniform
from exemplar_lab.data.synth.dials import Dials
from exemplar_lab.data.synth.scenes.cast import layers, look
from exemplar_lab.data.synth.scenes.ground import settle
from exemplar_lab.data.synth.scenes.layout import FIRST_THING, Camera, World, draw_world, target_camera
from exemplar_lab.data.synth.scenes.materials import CLASSES
from exemplar_lab.data.synth.scenes.source import VERSION, look_of, painted

EDITS = ("move", "add", "remove")
SMALLEST, LARGEST = 0.008, 0.15
"""The share of the picture that the edited thing covers."""

FEWEST_CHANGED = 0.004
"""The share of labels that an edit has to change."""

_PLACES = 24
"""So many places across the view are tried for a thing that is moved or added."""

_NEW = 99
"""The name of what was put somewhere, so that it is found again."""

_LOOKED_AT = 64
"""Pixels at which it is decided what is edited, so that a sample is the same edit at every size."""


@dataclass(frozen=True)
class Edits:
    """n landscapes and the same ones edited, in the same style and light; maps have a channel for each of `CLASSES`.

    numbers: of the samples. things: the class of what was edited. changed: where the labels are no longer what they were.
    """

    numbers: Int[Tensor, " n"]
    things: Int[Tensor, " n"]
    condition: Float[Tensor, "n 12 h w"]
    image: Float[Tensor, "n 3 h w"]
    edited_condition: Float[Tensor, "n 12 h w"]
    edited_image: Float[Tensor, "n 3 h w"]
    changed: Bool[Tensor, "n h w"]


def edited_scenes(numbers: Int[Tensor, " n"], edit: str, size: int = 64, split: str = "val") -> Edits:
    """The target views of the samples `numbers`, and what they truly look like after one edit; see `EDITS`.

    The thing (tree, bush, house, balloon) is drawn by the sample's seed among those that cover 0.8 to 15 % of the picture. It
    is moved across the view at its depth, to a place that bears it; what is added is another one like it. Its shadow, its
    mirror image and what stands behind it come with it. Left out are samples where nothing can be edited so, or where fewer
    than 0.4 % of the labels change (a tree moved before trees).
    Raises ValueError for another edit, and where no sample is left.
    """
    if edit not in EDITS:
        raise ValueError(f"got edit {edit!r}, expected one of {', '.join(EDITS)}: choose one of these")
    found = [one for number in numbers.tolist() if (one := _edited(number, edit, split)) is not None]
    if not found:
        raise ValueError(f"got {len(numbers)} samples of which none has a thing to {edit}, expected one: try more numbers")
    kept, things, before, after = zip(*found, strict=True)
    world = World(*(torch.cat(pair) for pair in zip(*before, *after, strict=True)))
    key = sample_keys(VERSION, split, torch.tensor(kept)).repeat(2)
    _, labels, images = painted(world, target_camera(key), *look_of(key, split), size)
    maps = F.one_hot(labels, len(CLASSES)).movedim(-1, 1).to(images.dtype)
    changed = labels.chunk(2)[0] != labels.chunk(2)[1]
    enough = changed.flatten(1).float().mean(1) >= FEWEST_CHANGED
    if not enough.any():
        raise ValueError(f"got {len(numbers)} samples of which none changes where a thing is to {edit}: try more numbers")
    halves = (half[enough] for value in (maps, images) for half in value.chunk(2))
    condition, edited_condition, image, edited_image = halves
    of = (torch.tensor(one)[enough] for one in (kept, things))
    return Edits(*of, condition, image, edited_condition, edited_image, changed[enough])


def _edited(number: int, edit: str, split: str) -> tuple[int, int, World, World] | None:
    """The number, the class of what is edited, and the world before and after."""
    key = sample_keys(VERSION, split, torch.tensor([number]))
    camera = target_camera(key)
    world = settle(draw_world(key, key, camera, split, Dials()))
    cover = _cover(world, camera)[0]
    area = cover.flatten(1).float().mean(1)
    candidates = ((area >= SMALLEST) & (area <= LARGEST)).nonzero().flatten()
    if not len(candidates):
        return None
    thing = int(candidates[int(uniform(fold(key, "edit"), edit) * len(candidates))])
    after = _removed(world, thing) if edit == "remove" else _placed(world, camera, thing, cover[thing], key, edit)
    return None if after is None else (number, int(world.thing_class[0, thing]), world, after)


def _cover(world: World, camera: Camera) -> Bool[Tensor, "n things h w"]:
    """Where each thing is what one sees."""
    layer = layers(world, look(world, camera, _LOOKED_AT), _LOOKED_AT)[0]
    layer = layer.view(len(camera.axis), 1, _LOOKED_AT, _LOOKED_AT)
    return layer == FIRST_THING + torch.arange(world.thing_on.shape[1]).view(1, -1, 1, 1)


def _removed(world: World, thing: int) -> World:
    on = world.thing_on.clone()
    on[0, thing] = 0
    return world._replace(thing_on=on)


def _placed(world: World, camera: Camera, thing: int, cover: Bool[Tensor, "h w"], key: Tensor, edit: str) -> World | None:
    """The world with the thing somewhere else (move), or there too (add); None where no place bears it."""
    slot = thing if edit == "move" else _free_slot(world, thing)
    if slot is None:
        return None
    z = world.thing_z[0, thing]
    across = torch.linspace(0.08, 0.92, _PLACES)
    every = World(*(v.expand(_PLACES, *v.shape[1:]).clone() for v in world))
    for name in (name for name in World._fields if name.startswith("thing_")):
        getattr(every, name)[:, slot] = getattr(world, name)[0, thing]
    every.thing_x[:, slot] = ((across - camera.axis[0]) * z / camera.focal[0]).float()
    every.thing_name[:, slot] = _NEW
    every = _from_far_to_near(every)
    slot = int((every.thing_name[0] == _NEW).nonzero())
    borne = (settle(every).thing_on == every.thing_on).all(1)
    covers = _cover(every, Camera(*(v.expand(_PLACES) for v in camera)))
    seen = covers[:, slot].flatten(1).float()
    apart = (seen * cover.flatten()).sum(1) <= 0.1 * cover.sum()
    good = (borne & apart & (seen.sum(1) >= 0.7 * cover.sum())).nonzero().flatten()
    if not len(good):
        return None
    place = good[int(uniform(fold(key, "place"), edit) * len(good))]
    return World(*(v[place : place + 1] for v in every))


def _free_slot(world: World, thing: int) -> int | None:
    """Where a second one can be kept: the nearest slot behind it, or before it, of a thing that is not there."""
    free = (world.thing_on[0] == 0).nonzero().flatten()
    return int(free[(free - thing).abs().argmin()]) if len(free) else None


def _from_far_to_near(world: World) -> World:
    order = world.thing_z.argsort(dim=1, descending=True, stable=True)

    def sorted_(value: Tensor) -> Tensor:
        return value.gather(1, order) if value.ndim == 2 else value.gather(1, order[..., None].expand_as(value))

    return world._replace(**{name: sorted_(getattr(world, name)) for name in World._fields if name.startswith("thing_")})
