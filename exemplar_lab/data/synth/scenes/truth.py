"""What is true of two views of landscapes: where each point of the target lies in the exemplar, whether it is seen there."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from exemplar_lab.data.synth.scenes.cast import View, hidden
from exemplar_lab.data.synth.scenes.layout import BUSHES, FIRST_RIDGE, FIRST_THING, GROUND, HOUSES, RIDGES, TREES, World
from exemplar_lab.data.synth.scenes.materials import CLASSES
from exemplar_lab.translation import Truth

_C = {name: number for number, name in enumerate(CLASSES)}


class Planes(NamedTuple):
    """Where the flat layers of n pictures lie: (x, y) of a layer's own (0, 0), and its unit, in picture sides, (n, layers).

    Sky: tangents to the right and above the horizon. Ridges: X and Y over their depth. Things: the square of their sprite. The
    plain is no such layer.
    """

    x: Tensor
    y: Tensor
    unit: Tensor
    up: Tensor
    """−1 where the layer's second coordinate points up."""

    def at(self, slot: Int[Tensor, " n"]) -> Float[Tensor, "4 n"]:
        """All four for the slots picture · layers + layer."""
        return torch.stack(self, dim=-1).flatten(0, 1).index_select(0, slot).T.contiguous()


def planes(view: View) -> Planes:
    depth = torch.tensor(RIDGES, device=view.axis.device)
    ridge_unit = view.ridge_scale * depth
    sky = [v[:, None] for v in (view.axis, view.horizon, view.focal)]
    x, y, unit = (
        torch.cat([first, torch.zeros_like(first), ridge, thing], dim=1)
        for first, ridge, thing in zip(
            sky,
            (view.ridge_origin, view.ridge_foot, ridge_unit),
            (view.box_left, view.box_top, view.box_side),
            strict=True,
        )
    )
    up = torch.ones_like(unit)
    up[:, :FIRST_THING] = -1
    return Planes(x, y, unit, up)


def classes_of(
    world: World, layer: Int[Tensor, " p"], picture: Int[Tensor, " p"], behind: Int[Tensor, " p"]
) -> Int[Tensor, " p"]:
    """The class of each pixel; `behind` is that of the sky or the plain there."""
    samples = len(world.land)
    fixed = torch.tensor([_C["sky"], _C["grass"], *[_C["mountain"]] * 2, *[_C["hill"]] * 2], device=layer.device)
    table = torch.cat([fixed.expand(samples, -1), world.thing_class], dim=1)
    found = table.flatten()[picture * table.shape[1] + layer]
    return torch.where(layer < FIRST_RIDGE, behind, found)


def counterparts(world: World, view: View, instances: tuple[int, int], same: bool) -> Int[Tensor, "b layers"]:
    """For each layer of the targets (the first half of the pictures) that of the exemplar which answers, −1 for none.

    same: both look at one world. Otherwise only balloons and houses have counterparts, by their name.
    """
    samples = len(world.land) // 2
    there = view.box_side[samples:] > 0
    class_, name = world.thing_class, world.thing_name
    wanted = name[:samples]
    if instances[1]:
        wanted = torch.where(class_[:samples] == _C["balloon"], wanted % instances[1], wanted)
    answers = (
        (class_[:samples, :, None] == class_[samples:, None]) & (wanted[:, :, None] == name[samples:, None]) & there[:, None]
    )
    thing = torch.where(answers.any(2), answers.long().argmax(2) + FIRST_THING, -1)
    if not same:
        shared = (class_[:samples] == _C["balloon"]) | (class_[:samples] == _C["house"])
        thing = torch.where(shared, thing, -1)
    fixed = torch.arange(FIRST_THING, device=thing.device).expand(samples, -1)
    if not same:
        return torch.cat([torch.full_like(fixed, -1), thing], dim=1)
    ridge_on = world.ridge_on[samples:] > 0
    fixed = torch.cat([fixed[:, :FIRST_RIDGE], torch.where(ridge_on, fixed[:, FIRST_RIDGE:], -1)], dim=1)
    return torch.cat([fixed, thing], dim=1)


def truth_of(
    world: World,
    view: View,
    layer: Int[Tensor, " p"],
    part: Int[Tensor, " p"],
    albedo: Float[Tensor, "n 3 h w"],
    style: Float[Tensor, "n 9"],
    lacking: Bool[Tensor, "b 12"],
    instances: tuple[int, int],
    same: bool,
    size: int,
) -> Truth:
    """The truth between the first half of the pictures (targets) and the second (exemplars).

    uv: see `Planes`; of the plain X and the logarithm of Z. lacking: the classes that the exemplar was robbed of. match_set
    lists, after `flow`, the other balloons of the exemplar that are in view.
    """
    samples = len(view.axis) // 2
    area = size * size
    flat = planes(view)
    layers = flat.x.shape[1]
    pixel = torch.arange(2 * samples * area, device=layer.device)
    line = pixel.div(size, rounding_mode="floor")
    picture = line.div(size, rounding_mode="floor")
    x, y = ((v.float() + 0.5) / size for v in (pixel - line * size, line - picture * size))
    left, top, unit, up = flat.at(picture * layers + layer)
    uv = torch.stack([(x - left) / unit, (y - top) / unit * up])
    plain = (layer == GROUND).nonzero().flatten()
    who, row = picture[plain], line[plain]
    uv[0, plain] = view.camera.right.float()[who] + (x[plain] - view.axis[who]) * view.row_scale.flatten()[row]
    uv[1, plain] = view.row_log.flatten()[row]

    mine = slice(0, samples * area)
    layer, picture, part_here = layer[mine], picture[mine], part[mine]
    answer = counterparts(world, view, instances, same)
    answer = answer.flatten()[picture * layers + layer]
    answer = torch.where(lacking.flatten()[picture * len(CLASSES) + part_here], -1, answer)
    flow_x, flow_y, ratio = _carry(flat, picture + samples, answer.clamp_min(0), uv[:, mine], unit[mine])
    plain = plain[plain < samples * area]
    flow_x[plain], flow_y[plain], ratio[plain] = _carry_plain(view, samples, picture[plain], uv[0, plain], line[plain])
    none = answer < 0
    visible = ~none & (flow_x > 0) & (flow_x < 1) & (flow_y > 0) & (flow_y < 1)
    balloons = (part_here == _C["balloon"]).nonzero().flatten()
    who, other, *at_other, seen = _others(world, view, flat, picture[balloons], answer[balloons], uv[:, balloons], samples)
    at, also = visible.nonzero().flatten(), seen.nonzero().flatten()
    asked = ((picture, who), (answer, other), (flow_x, at_other[0]), (flow_y, at_other[1]))
    whose, layer, x, y = (torch.cat([first[at], second[also]]) for first, second in asked)
    lost = hidden(world, view, whose + samples, layer, x, y)
    visible[at], seen[also] = ~lost[: len(at)], ~lost[len(at) :]
    flow = torch.stack([flow_x, flow_y]).masked_fill(none, torch.nan) * size
    others = torch.stack(at_other).masked_fill(~seen, torch.nan) * size
    match_set = torch.full((_balloons(world), 2, samples * area), torch.nan, device=x.device)
    match_set[0] = flow
    match_set[1:, :, balloons] = others.unflatten(1, (len(match_set) - 1, len(balloons))).movedim(1, 0)

    def pictures(value):
        return value.unflatten(-1, (-1, size, size))

    return Truth(
        flow=pictures(flow).movedim(1, 0).contiguous(),
        visible=pictures(visible),
        count=pictures(ratio * visible),
        match_set=pictures(match_set).movedim(2, 0).contiguous(),
        target_albedo=albedo[:samples],
        exemplar_albedo=albedo[samples:],
        target_part=pictures(part)[:samples],
        exemplar_part=pictures(part)[samples:],
        target_uv=pictures(uv).movedim(1, 0)[:samples].contiguous(),
        exemplar_uv=pictures(uv).movedim(1, 0)[samples:].contiguous(),
        target_style=style[:samples].float(),
        exemplar_style=style[samples:].float(),
    )


def _carry(flat: Planes, picture: Tensor, layer: Tensor, uv: Tensor, unit: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Points of flat layers in other pictures, and how many times larger an area is there."""
    left, top, there, up = flat.at(picture * flat.x.shape[1] + layer)
    ratio = there / unit
    return left + uv[0] * there, top + uv[1] * up * there, ratio * ratio


def _carry_plain(view: View, samples: int, picture: Tensor, right: Tensor, line: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same for points of the plain; all but `right` follows from the row."""
    camera = view.camera
    axis, horizon, focal, at, along, height = (v[samples:].double()[:, None] for v in camera)
    focal_here, along_here, height_here = (v[:samples].double()[:, None] for v in (camera.focal, camera.along, camera.height))
    depth = view.row_depth[:samples].double()
    away = (depth - along).clamp_min(0.05)
    shrink = (depth - along_here) / away
    ratio = (focal / focal_here) ** 2 * (height / height_here) * shrink**3
    zoom, row, ratio = ((v.float().flatten()[line]) for v in (focal / away, horizon + focal * height / away, ratio))
    return axis[:, 0].float()[picture] + (right - at[:, 0].float()[picture]) * zoom, row, ratio


def _balloons(world: World) -> int:
    """How many balloons a world has room for."""
    return world.thing_x.shape[1] - TREES - BUSHES - HOUSES


def _others(
    world: World, view: View, flat: Planes, picture: Tensor, answer: Tensor, uv: Tensor, samples: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The same points of the exemplar's other balloons, one balloon after the other: picture, layer, x, y, and whether they are
    there, inside the frame."""
    balloon = world.thing_class[samples:] == _C["balloon"]
    many = _balloons(world)
    slots = balloon.long().argsort(dim=1, descending=True, stable=True)[:, :many] + FIRST_THING
    own = (slots[picture] == answer[:, None]).long().argmax(1)
    step = torch.arange(1, many, device=uv.device)[:, None]
    layer = slots[picture, (own + step) % many].flatten()
    seen = (answer >= 0).repeat(many - 1)
    picture, uv = picture.repeat(many - 1), uv.repeat(1, many - 1)
    x, y, _ = _carry(flat, picture + samples, layer, uv, torch.ones_like(uv[0]))
    seen &= (view.box_side[samples:][picture, layer - FIRST_THING] > 0) & (x > 0) & (x < 1) & (y > 0) & (y < 1)
    return picture, layer, x, y, seen
