"""The procedural world, third task: landscapes from maps of labels. One world is seen twice, or another lends its
style."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from exemplar_lab.data.seeds import fold, sample_keys, uniform
from exemplar_lab.data.synth.dials import Dials, dials_of
from exemplar_lab.data.synth.scenes.canvas import Lamps, scenery
from exemplar_lab.data.synth.scenes.cast import layers, look
from exemplar_lab.data.synth.scenes.ground import classes_of_plain, settle
from exemplar_lab.data.synth.scenes.layout import Camera, World, draw_world, exemplar_camera, target_camera
from exemplar_lab.data.synth.scenes.materials import CLASSES
from exemplar_lab.data.synth.scenes.render import paint
from exemplar_lab.data.synth.scenes.style import draw_style, light_of
from exemplar_lab.data.synth.scenes.truth import classes_of, truth_of
from exemplar_lab.data.synth.source import check_source, keys_of, length_of
from exemplar_lab.data.synth.staging import condition_channels, condition_of, drop_blocks, repeat_halves
from exemplar_lab.translation import Batch, concatenate

VERSION = 1
"""Part of every seed: raise it when pictures change, so that numbers from before are not mistaken for numbers after."""

SCHEMES = ("view", "retrieval")

CANDIDATES = 16
"""Worlds among which scheme "retrieval" finds the one whose labels are spread most alike."""

REMOVABLE = ("mountain", "hill", "sea", "river", "sand", "dirt", "bush", "tree", "house", "balloon")

_PIXELS = 2**19
"""So many pixels are painted at a time."""

_C = {name: number for number, name in enumerate(CLASSES)}


@dataclass(frozen=True)
class Scenes:
    """A source of pairs of landscapes, made on the device that asks.

    A sample depends on (VERSION, split, index), the dials and the scheme alone. The condition is the map of labels, one channel
    per class; the target is painted in the exemplar's style (`STYLE`, nine numbers), so that both determine it.

    scheme "view": the exemplar is the same world seen by another camera. "retrieval": it is another world, the one among 16
    whose labels are spread most like the target's; only balloons and houses, which both worlds share, have counterparts.
    size: image side in pixels, at least 16. split: train, val, test or ood. tier: easy, medium or hard, or the `Dials` of your
    own. truth: False leaves Batch.truth None, for training, which needs none. Raises ValueError for anything else.

    The exemplar of scheme "view" shows 0.87 of an easy target, 0.71 of a medium and 0.61 of a hard one (measured at 64
    on 256 pairs of the validation split); the rest is outside its frame or behind something.
    """

    size: int = 64
    split: str = "train"
    tier: str | Dials | dict[str, Any] = "medium"
    truth: bool = True
    scheme: str = "view"

    def __post_init__(self):
        check_source(self.size, self.split, self.tier, "scenes")
        if self.scheme not in SCHEMES:
            raise ValueError(f"got scheme {self.scheme!r}, expected one of {', '.join(SCHEMES)}: choose one of these")

    @property
    def condition_channels(self) -> int:
        return condition_channels(dials_of(self.tier, "scenes").gap, len(CLASSES), len(CLASSES))

    @property
    def length(self) -> int | None:
        return length_of(self.split)

    def batch(self, indices: Int[Tensor, " b"], device: torch.device | str = "cpu") -> Batch:
        """The pairs `indices`, on `device`. Raises ValueError for an index below 0 or not below `length`."""
        key = keys_of(VERSION, self.split, indices, device)
        dials = dials_of(self.tier, "scenes")
        plan = _plan(key, self.split, dials, self.scheme)
        # Small portions stay in the cache; a sample does not notice.
        portion = max(1, (_PIXELS if key.device.type == "cpu" else 64 * _PIXELS) // (2 * self.size * self.size))
        parts = [self._pairs(plan.cut(at), dials) for at in torch.arange(len(key), device=key.device).split(portion)]
        return repeat_halves(concatenate(parts), dials.halves)

    def _pairs(self, plan: "_Plan", dials: Dials) -> Batch:
        key, world = plan.key, plan.world
        view = look(world, plan.camera, self.size)
        style = draw_style(fold(key, "style"), self.split, plan.frost).repeat(2, 1)
        rough = uniform(key, "texture", (), 0.8, 1.2)
        if dials.entropy is not None:
            rough = torch.full_like(rough, 2.2 * dials.entropy)
        scene = scenery(world, view, style, _lamps(key, style, dials), rough.repeat(2), self.size)
        layer, picture, things, found = layers(world, view, self.size)
        both = torch.cat([fold(key, "target"), fold(key, "exemplar")])
        images, albedo, behind = paint(scene, things, found, uniform(both, "grain", (2,), 0.0, 256.0).long())
        part = classes_of(world, layer, picture, behind)
        labels = part.view(-1, 1, self.size, self.size)
        maps = images.new_zeros(len(both), len(CLASSES), self.size, self.size).scatter_(1, labels, 1.0)
        conditions = drop_blocks(condition_of(dials.gap, maps, images, labels[:, 0], len(CLASSES)), both, dials.dropout)
        truth = None
        if self.truth:
            same = self.scheme == "view"
            truth = truth_of(world, view, layer, part, albedo, style, plan.lacking, dials.instances, same, self.size)
        (target, exemplar), (condition, exemplar_condition) = images.chunk(2), conditions.chunk(2)
        paired = torch.ones(len(key), dtype=torch.bool, device=key.device)
        return Batch(condition, target, exemplar, exemplar_condition, paired, truth)


def repaint(
    layouts: Int[Tensor, " l"],
    styles: Int[Tensor, " s"],
    size: int = 64,
    split: str = "val",
    blend: Float[Tensor, "m s"] | None = None,
) -> tuple[Float[Tensor, "l 12 h w"], Float[Tensor, "l _ 3 h w"]]:
    """Every layout in every style: the label maps, and the pictures, row by row.

    layouts, styles: sample numbers of `split`; the target view of the one, the style of the other. This is the true answer to
    the swaps of style and structure in Fig. 9 and 14 of [MSCA].
    blend: each of m looks is a mixture of the s styles, by weights of sum one: their nine numbers are mixed, and the side the
        sun stands on, before anything is painted. That is the true answer to the interpolation of Fig. 5, as this world
        defines what lies between two styles. None: the styles as they are.
    """
    key, other = (sample_keys(VERSION, split, numbers) for numbers in (layouts, styles))
    here = target_camera(key)
    world = settle(draw_world(key, key, here, split, Dials()))
    style, side = look_of(other, split)
    if blend is not None:
        style, side = blend.to(style) @ style, blend.to(side) @ side
    looks = len(style)
    each = torch.arange(len(key), device=key.device).repeat_interleave(looks)
    worlds, cameras = World(*(v[each] for v in world)), Camera(*(v[each] for v in here))
    _, labels, images = painted(worlds, cameras, style.repeat(len(key), 1), side.repeat(len(key)), size)
    maps = F.one_hot(labels.unflatten(0, (len(key), looks))[:, 0], len(CLASSES)).movedim(-1, 1).to(images.dtype)
    return maps, images.unflatten(0, (len(key), looks))


def look_of(key: Int[Tensor, " s"], split: str) -> tuple[Float[Tensor, "s 9"], Float[Tensor, " s"]]:
    """The nine numbers of the styles that the keys stand for, and the side on which their sun stands."""
    style = draw_style(fold(key, "style"), split, torch.ones(len(key), dtype=torch.float64, device=key.device))
    return style, uniform(key, "side", (), 0.3, 0.95) * torch.where(uniform(key, "which side") < 0.5, -1.0, 1.0)


def painted(
    world: World, camera: Camera, style: Float[Tensor, "n 9"], side: Float[Tensor, " n"], size: int
) -> tuple[Int[Tensor, "n h w"], Int[Tensor, "n h w"], Float[Tensor, "n 3 h w"]]:
    """Layers, labels and pictures of worlds under one sun, without grain. side: of the sun, as `look_of` has it."""
    none = torch.zeros(len(style), dtype=torch.float64, device=style.device)
    lamps = Lamps(light_of(style, side, none), None, none.float())
    view = look(world, camera, size)
    layer, picture, things, found = layers(world, view, size)
    scene = scenery(world, view, style, lamps, torch.ones_like(none), size)
    images, _, behind = paint(scene, things, found, torch.zeros(len(style), 2, dtype=torch.long, device=style.device))
    labels = classes_of(world, layer, picture, behind)
    return layer.view(-1, size, size), labels.view(-1, size, size), images


class _Plan(NamedTuple):
    """What is decided before anything is drawn: keys, worlds and cameras of targets and then exemplars, whether there may be
    frost, and the classes that the exemplars lack."""

    key: Tensor
    world: World
    camera: Camera
    frost: Tensor
    lacking: Tensor

    def cut(self, at: Int[Tensor, " m"]) -> "_Plan":
        """The plan of some of the pairs."""
        both = torch.cat([at, at + len(self.key)])
        world, camera = World(*(v[both] for v in self.world)), Camera(*(v[both] for v in self.camera))
        return _Plan(self.key[at], world, camera, self.frost[at], self.lacking[at])


def _plan(key: Int[Tensor, " b"], split: str, dials: Dials, scheme: str) -> _Plan:
    camera = target_camera(key)
    here = _counted(settle(draw_world(key, key, camera, split, dials)), dials.instances, 0)
    there, other = (here, camera) if scheme == "view" else _retrieved(key, here, camera, split, dials)
    there = _counted(there, dials.instances, 1)
    there, lacking = _robbed(key, here, there, camera, dials.unmatched)
    other = exemplar_camera(key, other, dials)
    if dials.halves > 1:
        # What is to be repeated is the middle of the view, not its left edge.
        other = other._replace(axis=other.axis - 0.5 + 0.5 / dials.halves)
    world = World(*(torch.cat(pair) for pair in zip(here, there, strict=True)))
    if dials.instances[1]:
        world = _dressed(world, dials.instances[1])
    camera = Camera(*(torch.cat(pair) for pair in zip(camera, other, strict=True)))
    return _Plan(key, world, camera, there.snowy.double(), lacking)


def _counted(world: World, instances: tuple[int, int], which: int) -> World:
    """The world with as many balloons as the dial asks for in the target (0) or exemplar (1)."""
    if instances == (0, 0):
        return world
    balloon = world.thing_class == _C["balloon"]
    return world._replace(thing_on=torch.where(balloon, (world.thing_name < instances[which]).float(), world.thing_on))


def _dressed(world: World, count: int) -> World:
    """Balloon i of the targets wears what balloon i modulo `count` of the exemplars wears: its drawing and its colours."""
    balloon = world.thing_class == _C["balloon"]
    samples = len(world.land) // 2
    worn = torch.where(balloon, world.thing_name, 0)
    worn = torch.cat([worn[:samples] % count, worn[samples:]])
    # Where among the things the balloon of each name is.
    order = torch.where(balloon, world.thing_name, len(world.thing_name[0])).argsort(dim=1, stable=True)
    owner = order.gather(1, worn)
    hue = world.thing_hue.gather(1, owner[..., None].expand_as(world.thing_hue))
    return world._replace(
        thing_sprite=torch.where(balloon, world.thing_sprite.gather(1, owner), world.thing_sprite),
        thing_hue=torch.where(balloon[..., None], hue, world.thing_hue),
    )


def _labels(world: World, camera: Camera, size: int) -> Int[Tensor, "n p"]:
    view = look(world, camera, size)
    layer, picture, *_ = layers(world, view, size)
    return classes_of(world, layer, picture, classes_of_plain(world, view, size)).unflatten(0, (-1, size * size))


def _spread(labels: Int[Tensor, "n p"]) -> Int[Tensor, "n 12"]:
    """How many of the labels each class has; whole numbers, so that the sum does not depend on its order."""
    return F.one_hot(labels, len(CLASSES)).sum(1)


def _retrieved(key: Tensor, here: World, camera: Camera, split: str, dials: Dials) -> tuple[World, Camera]:
    """Of some other worlds the one that is most like `here` in its labels, and its camera."""
    keys = torch.stack([fold(key, f"candidate {number}") for number in range(CANDIDATES)], dim=1).flatten()
    cameras = target_camera(keys)
    worlds = _counted(settle(draw_world(keys, key.repeat_interleave(CANDIDATES), cameras, split, dials)), dials.instances, 1)
    wanted = _spread(_labels(here, camera, 16))
    found = _spread(_labels(worlds, cameras, 16)).unflatten(0, (-1, CANDIDATES))
    # Of equally good ones the first.
    apart = (found - wanted[:, None]).abs().sum(-1) * CANDIDATES + torch.arange(CANDIDATES, device=key.device)
    best = apart.argmin(1)
    chosen = torch.arange(len(key), device=key.device) * CANDIDATES + best
    return World(*(v[chosen] for v in worlds)), Camera(*(v[chosen] for v in cameras))


def _robbed(key: Tensor, here: World, there: World, camera: Camera, count: int) -> tuple[World, Bool[Tensor, "b 12"]]:
    """The exemplar's world without `count` of the classes that the target shows, and which they are."""
    lacking = torch.zeros(len(key), len(CLASSES), dtype=torch.bool, device=key.device)
    if count == 0:
        return there, lacking
    shown = _spread(_labels(here, camera, 32)) >= 6
    removable = torch.tensor([name in REMOVABLE for name in CLASSES], device=key.device)
    order = torch.where(shown & removable, uniform(key, "unmatched", (len(CLASSES),)), 2.0).argsort(dim=1).argsort(dim=1)
    lacking = (order < count) & shown & removable
    gone = {name: lacking[:, number].float() for name, number in _C.items()}
    ridge_kept = torch.stack([1 - gone["mountain"]] * 2 + [1 - gone["hill"]] * 2, dim=1)
    things_gone = lacking.gather(1, there.thing_class).float()
    keep_sand, keep_dirt = 1 - gone["sand"], 1 - gone["dirt"]
    return there._replace(
        ridge_on=there.ridge_on * ridge_kept,
        sea=there.sea * (1 - gone["sea"]),
        river=there.river * (1 - gone["river"]),
        sandy=there.sandy * keep_sand,
        beach=there.beach * keep_sand,
        land=torch.where((there.land == 4) & lacking[:, _C["sand"]], 0, there.land),
        path=there.path * keep_dirt,
        fields=there.fields * keep_dirt,
        thing_on=there.thing_on * (1 - things_gone),
    ), lacking


def _lamps(key: Tensor, style: Float[Tensor, "n 9"], dials: Dials) -> Lamps:
    """The light of targets and then exemplars: the same sun a little later, or from the other side; two suns if asked."""
    side = uniform(key, "side", (), 0.3, 0.95) * torch.where(uniform(key, "which side") < 0.5, -1.0, 1.0)
    little = min(dials.light, 1.0)
    across = max(0.0, dials.light - 1) / 3
    moved = (side + little * uniform(key, "later", (), -0.12, 0.12)) * (1 - across) - side * across
    lift = uniform(key, "lift", (), -0.3, 0.3)
    side, lift = torch.cat([side, moved]), torch.cat([lift, lift + dials.light * uniform(key, "higher", (), -0.2, 0.2)])
    border = uniform(key, "border", (), -0.2, 0.2).repeat(2).float()
    amount = dials.two_lights
    if amount == 0:
        return Lamps(light_of(style, side, lift), None, border)
    noon_left = (uniform(key, "noon left") < 0.5).double().repeat(2)

    def lamp(noon):
        sun = 0.30 + 0.55 * noon
        warmth = 1 - 0.7 * noon
        mixed = torch.stack([style[:, 0] * (1 - amount) + sun * amount, style[:, 1] * (1 - amount) + warmth * amount], dim=-1)
        return light_of(torch.cat([mixed, style[:, 2:]], dim=-1), side, lift)

    return Lamps(lamp(noon_left), lamp(1 - noon_left), border)
