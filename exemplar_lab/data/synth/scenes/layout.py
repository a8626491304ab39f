"""Landscapes: ridges, a plain with water and ways, and things that stand on it; and the cameras that look at them.

The eye of the target's camera is the unit of length: it stands 1 above the plain at the origin and looks along Z. X points
right, Y up. Everything upright is a picture at one depth, so that any two views are related in closed form.
"""

from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from exemplar_lab.data.seeds import choose, fold, uniform
from exemplar_lab.data.synth.dials import Dials
from exemplar_lab.data.synth.scenes.materials import CLASSES
from exemplar_lab.data.synth.scenes.noise import PROFILES
from exemplar_lab.data.synth.scenes.sprites import FIRST, KINDS

KINDS_OF_LAND = ("meadow", "coast", "valley", "lake", "dunes", "village")

RIDGES = (130.0, 75.0, 44.0, 27.0)
"""Depths of the two ranges of mountains and the two of hills."""

SKY, GROUND, FIRST_RIDGE, FIRST_THING = 0, 1, 2, 2 + len(RIDGES)
"""Layers are numbered in the order they are painted."""

TREES, BUSHES, HOUSES, CLOUDS = 16, 7, 3, 6

_C = {name: number for number, name in enumerate(CLASSES)}


class Camera(NamedTuple):
    """Where the axis meets the picture, the horizon, focal length, in picture sides; position right, along, height; (n,)."""

    axis: Tensor
    horizon: Tensor
    focal: Tensor
    right: Tensor
    along: Tensor
    height: Tensor


class World(NamedTuple):
    """What there is. Numbers are float32, (n,) or (n, how many); a switch is 0 or 1.

    Things are sorted from far to near; `square` is the side of the sprite's square, `foot` the height of its lower edge.
    """

    land: Tensor
    snowy: Tensor
    ridge_on: Tensor
    ridge_line: Tensor
    ridge_start: Tensor
    ridge_period: Tensor
    ridge_rise: Tensor
    ridge_floor: Tensor
    sandy: Tensor
    sea: Tensor
    shore: Tensor
    shore_tilt: Tensor
    shore_wave: Tensor
    beach: Tensor
    river: Tensor
    path: Tensor
    fields: Tensor
    bend: Tensor
    """Line, start, sweep and lean of the river (0 … 3), then of the path (4 … 7), (n, 8)."""
    seed: Tensor
    """Where the textures begin, (n, 2)."""
    thing_on: Tensor
    thing_class: Tensor
    thing_x: Tensor
    thing_z: Tensor
    thing_foot: Tensor
    thing_square: Tensor
    thing_sprite: Tensor
    thing_flip: Tensor
    thing_name: Tensor
    """Which thing of its class it is, 0, 1, …"""
    thing_hue: Tensor
    """Three numbers 0 … 1 that vary its colour, (n, things, 3)."""
    cloud_x: Tensor
    cloud_y: Tensor
    cloud_side: Tensor
    cloud_sprite: Tensor
    cloud_on: Tensor


def target_camera(key: Int[Tensor, " b"]) -> Camera:
    """The camera of a target: it decides nothing but the horizon and how wide it looks."""
    zero = torch.zeros(len(key), dtype=torch.float64, device=key.device)
    horizon, focal = uniform(key, "horizon", (), 0.40, 0.56), uniform(key, "focal", (), 1.0, 1.25)
    return Camera(zero + 0.5, horizon, focal, zero, zero, zero + 1)


def exemplar_camera(key: Int[Tensor, " b"], camera: Camera, dials: Dials) -> Camera:
    """Another camera: it zooms, looks aside, and stands a few steps away."""
    low, high = torch.tensor(dials.zoom, dtype=torch.float64).log().tolist()
    ratio = uniform(key, "zoom", (), low, high).exp()
    room = 0.40 * (1 - 1 / ratio).clamp_min(0)
    pan = 0.26 * dials.yaw / ratio.clamp_min(0.6)
    centre_x = 0.5 + uniform(key, "aside", (), -1.0, 1.0) * (room + pan)
    centre_y = 0.49 + uniform(key, "up", (), -1.0, 1.0) * (room * 0.55 + pan * 0.25)
    focal, right = camera.focal * ratio, uniform(key, "right", (), -1.1, 1.1) * dials.yaw
    return Camera(
        0.5 + ratio * (camera.axis - centre_x) + 0.8 * focal * right / 9,
        0.5 + ratio * (camera.horizon - centre_y),
        focal,
        right,
        uniform(key, "along", (), -0.45, 0.45) * dials.yaw,
        1 + uniform(key, "height", (), -0.2, 0.25) * dials.yaw,
    )


def draw_world(key: Int[Tensor, " b"], paint: Int[Tensor, " b"], camera: Camera, split: str, dials: Dials) -> World:
    """Landscapes that look well from `camera`. `paint` decides patterns and colours of balloons and houses."""
    land = choose(key, "land", (3, 3, 3, 3, 1.4, 2))
    is_ = {name: land == number for number, name in enumerate(KINDS_OF_LAND)}
    device, samples = key.device, len(key)

    def chance(name, **of_land):
        share = torch.zeros(samples, dtype=torch.float64, device=device)
        for kind in KINDS_OF_LAND:
            share = torch.where(is_[kind], of_land.get(kind, of_land["other"]), share)
        return (uniform(key, name) < share).double()

    on = torch.stack(
        [
            chance("mountains", other=0.75, coast=0.45, valley=1.0, lake=1.0, dunes=0.4),
            chance("mountains 2", other=0.6, coast=0.3, valley=0.95, lake=0.9, dunes=0.3),
            chance("hills", other=0.8, coast=0.45, dunes=0.5),
            chance("hills 2", other=0.7, coast=0.3, lake=0.4, dunes=0.4),
        ],
        dim=-1,
    )
    depth = torch.tensor(RIDGES, dtype=torch.float64, device=device)
    unit = depth / camera.focal[:, None]
    low, high = torch.tensor([[0.13, 0.08, 0.05, 0.035], [0.30, 0.20, 0.12, 0.075]], dtype=torch.float64, device=device)
    rise = (low + (high - low) * uniform(key, "rise", (4,))) * unit
    island = is_["coast"].double()[:, None] * torch.tensor([0.45, 0.5, 0.5, 0.55], dtype=torch.float64, device=device)
    line = (uniform(key, "ridge line", (4,)) * (PROFILES // 2)).long()
    line = line + torch.tensor([0, 0, PROFILES // 2, PROFILES // 2], device=device)
    shore = torch.where(is_["lake"], uniform(key, "lake shore", (), 1.9, 2.5), uniform(key, "shore", (), 1.25, 1.75))
    world = World(
        land=land,
        snowy=1 - (is_["coast"] | is_["dunes"]).double(),
        ridge_on=on,
        ridge_line=line,
        ridge_start=uniform(key, "ridge start", (4,)),
        ridge_period=uniform(key, "ridge period", (4,), 4.5, 8.0) * unit,
        ridge_rise=rise,
        ridge_floor=torch.maximum(island, 0.28 * uniform(key, "ridge floor", (4,)) * (depth < 100)),
        sandy=(is_["dunes"] | is_["coast"] & (uniform(key, "sandy coast") < 0.7)).double(),
        sea=(is_["coast"] | is_["lake"]).double(),
        shore=shore,
        shore_tilt=uniform(key, "tilt", (), -0.10, 0.10) * is_["coast"],
        shore_wave=uniform(key, "shore wave", (), 0.10, 0.38),
        beach=torch.where(is_["coast"], uniform(key, "beach", (), 0.20, 0.5), uniform(key, "bank", (), 0.0, 0.10)),
        river=is_["valley"].double() * uniform(key, "river", (), 0.7, 1.25),
        path=chance("path", other=0.0, meadow=0.85, dunes=0.45, village=0.9, coast=0.2)
        * uniform(key, "path width", (), 0.20, 0.36),
        fields=chance("fields", other=0.35, coast=0.0, village=0.7, dunes=0.6),
        bend=torch.cat([_bend(fold(key, "river")), _bend(fold(key, "path"))], dim=-1),
        seed=uniform(key, "seed", (2,)),
        **_things(key, paint, camera, split, dials, is_),
        cloud_x=uniform(key, "cloud x", (CLOUDS,), -1.0, 1.0),
        cloud_y=uniform(key, "cloud y", (CLOUDS,), 0.07, 0.42),
        cloud_side=uniform(key, "cloud side", (CLOUDS,), 0.16, 0.52),
        cloud_sprite=FIRST["cloud"] + (uniform(key, "cloud sprite", (CLOUDS,)) * KINDS["cloud"]).long(),
        cloud_on=(uniform(key, "cloud", (CLOUDS,)) < uniform(key, "clouds")[:, None] * 1.2).double(),
    )
    return World(*(v.float() if v.is_floating_point() else v for v in world))


def _bend(key: Tensor) -> Tensor:
    line = PROFILES // 2 + (uniform(key, "line") * (PROFILES // 2)).floor()
    return torch.stack(
        [line, uniform(key, "start"), uniform(key, "sweep", (), 0.45, 0.95), uniform(key, "lean", (), -0.22, 0.22)], -1
    )


def _things(key: Tensor, paint: Tensor, camera: Camera, split: str, dials: Dials, is_: dict[str, Tensor]) -> dict[str, Tensor]:
    """Trees in groves, bushes near by, houses, balloons; sorted from far to near. `settle` asks if the ground bears them."""
    balloons = max(3, *dials.instances)
    counts = {"tree": TREES, "bush": BUSHES, "house": HOUSES, "balloon": balloons}
    device, samples = key.device, len(key)
    hot = is_["coast"] | is_["dunes"]
    parts: dict[str, list[Tensor]] = {
        name: [] for name in ("on", "class", "x", "z", "foot", "square", "sprite", "flip", "name", "hue")
    }
    for kind, count in counts.items():
        own = fold(key, kind)

        def drawn(name, low=0.0, high=1.0, count=count, own=own):
            return uniform(own, name, (count,), low, high)

        across, far = drawn("across", -0.75, 1.75), drawn("far")
        number = torch.arange(count, device=device).expand(samples, -1)
        foot = torch.zeros_like(across)
        if kind == "tree":
            # Two of three trees belong to one of three groves, with one kind of tree each.
            grove = (drawn("grove") * 3).long()
            centre, reach = uniform(own, "groves", (3,), -0.3, 1.3), uniform(own, "reach", (3,), 0.05, 0.22)
            back = uniform(own, "groves far", (3,))
            member = drawn("member") < 0.7
            across = torch.where(member, centre.gather(1, grove) + (across - 0.5) * reach.gather(1, grove), across)
            far = torch.where(member, (back.gather(1, grove) + (far - 0.5) * 0.3).clamp(0, 1), far)
            z = 4.2 * (6.0**far)
            across = _aside(across, z, 6.5)
            species = uniform(own, "species", (3,)).gather(1, grove)
            square = drawn("square", 0.7, 1.25)
            sprite, square = _species(species, square, drawn("variant"), hot, is_, split)
            on = drawn("on") < torch.where(is_["dunes"], 0.4, uniform(own, "density", (), 0.45, 1.0))[:, None]
        elif kind == "bush":
            z = 2.8 * (4.5**far)
            across = _aside(across, z, 3.3)
            square = drawn("square", 0.42, 0.85)
            sprite = FIRST["bush"] + (drawn("variant") * KINDS["bush"]).long()
            on = drawn("on") < torch.where(is_["dunes"], 0.3, 0.75)[:, None]
        elif kind == "house":
            across, z = drawn("across", 0.05, 0.95), 5.5 * (2.6**far)
            square = drawn("square", 1.35, 1.8)
            sprite = FIRST["house"] + (uniform(fold(paint, kind), "variant", (count,)) * KINDS["house"]).long()
            share = torch.where(is_["village"], 0.95, torch.where(is_["meadow"] | is_["lake"], 0.35, 0.16))
            on = drawn("on") < share[:, None]
        else:
            z = drawn("far", 8.0, 17.0)
            if dials.instances == (0, 0):
                across = 0.12 + 0.76 * (number + 0.15 + 0.7 * drawn("across")) / count
                on = number < choose(own, "how many", (5, 3, 2, 1))[:, None]
            else:
                # All of them have to be in view, so they hang side by side in a shuffled order.
                order = drawn("order").argsort(dim=1).argsort(dim=1)
                across = 0.12 + 0.76 * (order + 0.3 + 0.4 * drawn("across")) / count
                on = torch.ones_like(across, dtype=torch.bool)
            square = drawn("square", 1.3, 2.2) * (1.15 if count <= 3 else 0.8)
            up = drawn("up", 0.10, 0.36) * camera.horizon[:, None] / 0.5
            foot = 1 + (camera.horizon[:, None] - up) * z / camera.focal[:, None] - square * 0.6
            sprite = FIRST["balloon"] + (uniform(fold(paint, kind), "variant", (count,)) * KINDS["balloon"]).long()
        hue = uniform(fold(paint if kind in ("house", "balloon") else own, "hue " + kind), "hue", (count, 3))
        if kind == "balloon":
            # Steps of the golden ratio keep the colours of neighbours apart.
            hue[..., 0] = (hue[:, :1, 0] + number * 0.61803) % 1
        values = {
            "on": on.double(),
            "class": torch.full_like(number, _C[kind]),
            "x": (across - 0.5) * z / camera.focal[:, None],
            "z": z,
            "foot": foot,
            "square": square,
            "sprite": sprite,
            "flip": (drawn("flip") < 0.5).double() * (kind not in ("house",)),
            "name": number,
            "hue": hue,
        }
        for name, value in values.items():
            parts[name].append(value)
    joined = {name: torch.cat(values, dim=1) for name, values in parts.items()}
    order = joined["z"].argsort(dim=1, descending=True, stable=True)
    return {
        f"thing_{name}": v.gather(1, order) if v.ndim == 2 else v.gather(1, order[..., None].expand_as(v))
        for name, v in joined.items()
    }


def _aside(across: Tensor, z: Tensor, near: float) -> Tensor:
    """Things nearer than `near` leave the middle of the view free."""
    off = across - 0.5
    push = 0.30 * ((near - z) / near).clamp_min(0).sqrt()
    return torch.where(off < 0, across - push, across + push)


def _species(
    species: Tensor, square: Tensor, variant: Tensor, hot: Tensor, is_: dict[str, Tensor], split: str
) -> tuple[Tensor, Tensor]:
    """Sprites and sizes of trees: palms in hot land, conifers in the mountains; in split ood the other way round."""
    if split == "ood":
        hot = ~hot
    wild = (is_["valley"] | is_["lake"])[:, None]
    share = torch.where(wild, 0.72, 0.30)
    conifer = species < share
    poplar = species > 0.86
    kind = torch.where(conifer, 0, torch.where(poplar, 2, 1))
    kind = torch.where(hot[:, None], torch.where(species < 0.75, 3, 2), kind)
    names = ("conifer", "broadleaf", "poplar", "palm")
    first = torch.tensor([FIRST[name] for name in names], device=hot.device)[kind]
    many = torch.tensor([KINDS[name] for name in names], device=hot.device)[kind]
    size = torch.tensor([2.15, 2.0, 2.2, 2.1], dtype=torch.float64, device=hot.device)[kind]
    return first + (variant * many).long(), square * size
