"""The other layers of a portrait, shaped around the head: neck and shoulders, ears, eyeballs, mouth, hair, glasses; and how all
of them are posed in a picture."""

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from exemplar_lab.data.synth.curves import wave
from exemplar_lab.data.synth.faces.expression import Expression
from exemplar_lab.data.synth.faces.identity import KNOTS, Person
from exemplar_lab.data.synth.faces.mesh import GRIDS, MESHES, START, VERTICES
from exemplar_lab.data.synth.faces.surface import (
    EYEBALL,
    HEIGHTS,
    THETA,
    angles,
    around_head,
    bump,
    column,
    eyeball,
    head,
    profile,
    soft,
)

_NECK = np.array(
    [  # y, half-width, depth; from below
        (-9.0, 1.46, 0.70),
        (-5.0, 1.46, 0.70),
        (-3.6, 1.48, 0.70),
        (-2.6, 1.50, 0.70),
        (-1.95, 1.49, 0.68),
        (-1.68, 1.44, 0.64),
        (-1.54, 1.35, 0.60),
        (-1.44, 1.21, 0.57),
        (-1.37, 1.04, 0.54),
        (-1.32, 0.86, 0.51),
        (-1.27, 0.69, 0.47),
        (-1.21, 0.56, 0.44),
        (-1.15, 0.47, 0.41),
        (-1.08, 0.42, 0.39),
        (-1.00, 0.395, 0.38),
        (-0.90, 0.385, 0.375),
        (-0.78, 0.385, 0.37),
        (-0.62, 0.375, 0.34),
        (-0.45, 0.36, 0.30),
    ]
)
_CAP_HEIGHTS = np.concatenate([np.linspace(-0.62, 0.55, 17), 0.55 + 0.45 * np.sin(np.linspace(0, np.pi / 2, 10))[1:]])
_EVEN = {name: np.linspace(-np.pi, np.pi, GRIDS[name].columns) for name in ("neck", "ear_right", "bun", "rim_right")}


def hairline(turn: Tensor, person: Person, pick=lambda v: v[:, None]) -> Tensor:
    """Height of the edge of the hair at an angle from the front, in half turns; `pick` chooses the sample of each point."""
    line, sweep, smooth = (pick(person[name]) for name in ("hairline", "sweep", "soft"))
    front = (1 - turn.abs() * 2.6).clamp_min(0)
    # Swept hair is parted on one side and falls lower on the other.
    moved = (turn + sweep * 0.10 * front).abs()
    height = torch.zeros_like(turn)
    for number, knot in enumerate(KNOTS):
        before = knot - KNOTS[number - 1] if number else 1.0
        after = KNOTS[number + 1] - knot if number + 1 < len(KNOTS) else 1.0
        away = moved - knot
        hat = (1 - torch.maximum(away / -before, away / after)).clamp_min(0)
        height += hat.mul_(line[..., number])
    peak = smooth * -0.02 - 0.03
    return height + peak * bump(turn, turn * 0, 0.05, 1) * (line[..., 0] < 1)


def _rows(values, shape: tuple[int, int], device) -> Tensor:
    """One value per row, for all vertices of a grid."""
    return torch.as_tensor(np.asarray(values), dtype=torch.float32, device=device)[:, None].expand(shape).flatten()[None]


def _columns(values, shape: tuple[int, int], device) -> Tensor:
    return torch.as_tensor(np.asarray(values), dtype=torch.float32, device=device)[None].expand(shape).flatten()[None]


def _size(name: str) -> tuple[int, int]:
    return GRIDS[name].rows, GRIDS[name].columns


def _neck(person: Person) -> tuple[Tensor, Tensor]:
    device = person["neck"].device
    shape = _size("neck")
    sine, cosine = angles(_EVEN["neck"])
    sine, cosine = _columns(sine, shape, device), _columns(cosine, shape, device)
    y, wide, deep = (_rows(_NECK[:, k], shape, device) for k in range(3))
    thick = column(person, "neck")[0]
    shoulder = soft((-1.05 - y) / 0.5)
    wide = wide * (thick + (1 - thick) * 0.55 * shoulder)
    deep = deep * (thick + (1 - thick) * shoulder)
    # Cloth lies a little off the body.
    off = 0.02 * soft((-1.1 - y) / 0.15)
    x, z = (wide + off) * sine, (deep + off) * cosine - 0.17 - 0.06 * shoulder
    # Below the throat the chest comes forward; the chin has room above.
    z = z + 0.10 * soft((-1.2 - y) / 0.8) * cosine.clamp_min(0)
    # The nape meets the skull.
    z = z - 0.14 * soft((y + 1.0) / 0.45) * (-cosine).clamp_min(0)
    y = y.expand_as(x) - 0.05 * shoulder * (cosine.clamp_min(0)) * (1 - sine * sine)
    turn = _columns(_EVEN["neck"] / np.pi, shape, device)
    return torch.stack([x, _rows(_NECK[:, 0], shape, device).expand_as(x), turn.expand_as(x)], 1), torch.stack([x, y, z], 1)


def _ear(person: Person) -> tuple[Tensor, Tensor]:
    """The right ear: a bowl with a rolled rim, rows from the rim to the middle."""
    device = person["ear"].device
    shape = _size("ear_right")
    angle = _EVEN["ear_right"]
    a, b = _columns(np.round(np.sin(angle), 9), shape, device), _columns(np.round(np.cos(angle), 9), shape, device)
    radius = _rows((1.0, 0.98, 0.86, 0.66, 0.36, 0.0), shape, device)
    lift = _rows((-0.05, 0.03, 0.045, 0.0, -0.02, -0.03), shape, device)
    scale = column(person, "ear")[0]
    broad = (0.118 + 0.022 * b) * radius * scale
    tall = (0.205 + 0.01 * b) * radius * scale
    p, q = broad * a, tall * b
    lobe = (-b).clamp_min(0)
    p = p * (1 - 0.25 * lobe)
    wide, _, _ = profile(column(person, "eye_y")[0], person)
    x = wide * 0.955 + 0.04 + p * 0.62 + lift * 0.75
    y = column(person, "eye_y")[0] - 0.10 + q
    z = -0.07 - p * 0.74 + q * -0.12 + lift * 0.45
    return torch.stack([p + 0 * x, q + 0 * x, radius + 0 * x], 1), torch.stack([-x, y, z], 1)


def _eye(person: Person, face: Expression, mirrored: bool) -> tuple[Tensor, Tensor]:
    """An eyeball: its own directions, and where they look."""
    device = person["eye_x"].device
    shape = _size("eye_right")
    alpha = np.radians(np.linspace(-78, 78, 9))
    sx, cx = (_columns(f(alpha), shape, device) for f in (np.sin, np.cos))
    sy, cy = (_rows(f(alpha), shape, device) for f in (np.sin, np.cos))
    ox, oy, oz = (-sx if mirrored else sx), sy * cx, cy * cx
    # Right and left are each other's mirror images before they look somewhere, together.
    turn, tilt = column(face, "gaze_x", "gaze_y")
    sin_a, cos_a, sin_b, cos_b = (f(v.double()).float() for v in (turn, tilt) for f in (torch.sin, torch.cos))
    y, z = oy * cos_b + oz * sin_b, oz * cos_b - oy * sin_b
    x, z = ox * cos_a + z * sin_a, z * cos_a - ox * sin_a
    ball_x, ball_y, ball_z = eyeball(person)
    place = torch.stack([(ball_x if mirrored else -ball_x) + EYEBALL * x, ball_y + EYEBALL * y, ball_z + EYEBALL * z], 1)
    return torch.stack([ox + 0 * x, oy + 0 * x, oz + 0 * x], 1), place


def _mouth(person: Person, face: Expression) -> tuple[Tensor, Tensor]:
    """What an open mouth shows: rows from the lower jaw to the upper one."""
    device = person["mouth_y"].device
    shape = _size("mouth")
    across = _columns(np.linspace(-1, 1, 9), shape, device)
    up = _rows(np.linspace(-1, 1, 7), shape, device)
    mouth_y, wide = column(person, "mouth_y", "mouth_wide")
    jaw, smile, pucker = column(face, "jaw", "smile", "pucker")
    broad, fore, _ = profile(mouth_y, person)
    x = across * wide * (1.22 + 0.1 * smile.clamp_min(0) - 0.2 * pucker)
    low, high = mouth_y - 0.12 - 0.27 * jaw, mouth_y + 0.11 + 0.02 * smile.clamp_min(0)
    y = low + (high - low) * (up * 0.5 + 0.5)
    # A bowl: deep in the middle, close behind the skin around.
    bowl = (1 - across * across) * (1 - up * up)
    square = (x / broad) * (x / broad)
    skin = fore * ((1 - square) * (1 + 0.17 * square)).clamp_min(0).sqrt()
    z = (
        skin
        - 0.045
        - 0.10 * bowl
        - 0.06 * across * across
        - 0.10 * jaw * (1 - up) * 0.5
        + 0.05 * pucker * (1 - across * across)
    )
    # In its own coordinates the upper row of teeth stays with the head, the lower one with the jaw.
    return torch.stack([across * wide * 1.22 + 0 * x, up * 0.11 + 0 * x, 0 * x + jaw], 1), torch.stack([x, y, z], 1)


def _cap(person: Person) -> tuple[Tensor, Tensor]:
    """Hair on the skull, thickest above, thin along the hairline."""
    device = person["volume"].device
    shape = _size("cap")
    sine, cosine = (_columns(v, shape, device) for v in angles(THETA))
    turn = _columns(THETA / np.pi, shape, device)
    y = _rows(_CAP_HEIGHTS, shape, device)
    volume, quiff, sweep, curl, buzz = column(person, "volume", "quiff", "sweep", "curl", "buzz")
    above = y - hairline(turn.expand(len(volume), -1), person).clamp_max(0.6)
    afro = (volume > 0.3).float()
    full = soft(above / (0.42 - 0.06 * afro) + 0.12 * afro)
    thick = 0.022 + volume * full
    # Locks stand out, more so where hair curls; not at the crown, where all directions meet.
    free = 1 - soft((y - 0.74) / 0.2)
    lumps = wave(turn * 11 + y * 2.3) * wave(y * 3.1 - turn * 7 + 0.3) - 0.3
    locks = wave(turn * 7.3 + 0.35 * wave(y * 1.9) + 0.2) + 0.6 * wave(turn * 16.7 + y * 0.8) - 0.8
    side = soft((sweep * sine + 0.25) / 0.9) - 0.5
    thick = thick * (1 + (0.30 * curl * lumps + 0.35 * sweep.abs() * side * full) * free)
    thick = thick + 0.030 * (1 - buzz) * locks * full * soft((y + 0.2) / 0.5) * free
    wide, fore, back = profile(y, person)
    depth = torch.where(cosine > 0, fore, back)
    top = soft((y - 0.2) / 0.8)
    front = soft(cosine * 1.4) * soft((y - 0.35) / 0.4) * soft((1 - y) / 0.22)
    crown = ((1 - y) / (0.30 + 0.75 * afro)).clamp(0, 1)
    out = thick * (crown * (2 - crown)).sqrt()
    x = (wide + out * (0.9 - 0.1 * afro)) * sine
    z = (depth + out * 0.85) * cosine + quiff * 0.10 * front
    place = torch.stack([x, y + thick * top * 0.95 + quiff * 0.16 * front * (1 - 0.3 * sine * sine), z], 1)
    return torch.stack([turn + 0 * x, y + 0 * x, above.expand_as(x)], 1), place


def _drape(person: Person) -> tuple[Tensor, Tensor]:
    """Hair that hangs around the back and the sides, open in front."""
    device = person["volume"].device
    shape = _size("drape")
    theta = np.linspace(np.radians(40), np.radians(320), 41)
    sine, cosine = (_columns(v, shape, device) for v in angles(theta))
    turn = _columns((theta - np.pi) / np.pi, shape, device)  # 0 at the back, negative on the right of the picture
    share = _rows(np.linspace(0, 1, 20), shape, device)
    end, volume, curl = column(person, "drape", "volume", "curl")
    y = end + (0.80 - end) * share
    wide, fore, back = profile(y.clamp_min(-0.3), person)
    hang = soft((-0.1 - y) / 1.5)
    thick = (0.055 + volume) * (1 + 0.30 * curl * (wave(turn * 9 + y * 1.7) * wave(y * 2.3 - turn * 5) - 0.4) * (1 - share))
    inward = soft((-0.35 - y) / 0.55) * (end > -1).float()  # a bob turns in below
    x = (wide + thick + 0.16 * hang - 0.16 * inward) * sine
    z = torch.where(cosine > 0, (fore * 0.70 + thick) * cosine, (back + thick - 0.22 * hang - 0.1 * inward) * cosine)
    return torch.stack([turn + 0 * x, y + 0 * x, share + 0 * x], 1), torch.stack([x, y + 0.06 * share * volume, z], 1)


def _bun(person: Person) -> tuple[Tensor, Tensor]:
    device = person["volume"].device
    shape = _size("bun")
    sine, cosine = (_columns(f(_EVEN["bun"]).round(9), shape, device) for f in (np.sin, np.cos))
    polar = np.linspace(-np.pi / 2, np.pi / 2, 11)
    up, ring = _rows(np.sin(polar), shape, device), _rows(np.cos(polar).round(9), shape, device)
    low, strand = column(person, "bun_low", "strand")
    radius = 0.27 + 0.06 * strand
    x = ring * sine * radius * (1 - 0.25 * low)
    y = 1.16 - 0.95 * low + up * (radius * 0.92 + 0.55 * low) - 0.25 * low
    z = -0.32 - 0.78 * low + ring * cosine * radius - 0.18 * low * up * up
    return torch.stack([_columns(_EVEN["bun"] / np.pi, shape, device) + 0 * x, up + 0 * x, ring + 0 * x], 1), torch.stack(
        [x, y, z], 1
    )


def _glass(person: Person) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Centre, size and shape of the rims: x, y of the left one, radius, how square."""
    eye_x, eye_y, size, shape = column(person, "eye_x", "eye_y", "rim_size", "rim_shape")
    return eye_x + 0.012, eye_y - 0.02, size, shape


def _plane(x: Tensor, person: Person) -> Tensor:
    _, _, ball_z = eyeball(person)
    return ball_z + EYEBALL + 0.135 - 0.30 * x * x


def _rim(person: Person) -> tuple[Tensor, Tensor]:
    """The right rim: a ring of two rows, from inside to outside."""
    device = person["rim_size"].device
    shape = _size("rim_right")
    sine, cosine = (_columns(f(_EVEN["rim_right"]).round(9), shape, device) for f in (np.sin, np.cos))
    centre_x, centre_y, size, square = _glass(person)
    cat, thick = column(person, "rim_cat", "rim_thick")
    # Between a circle and a rounded square: r = 1 / ⁴√(s⁴ + c⁴), in square roots.
    corner = 1 / (sine * sine * sine * sine + cosine * cosine * cosine * cosine).sqrt().sqrt()
    radius = size * (1 + square * (0.92 * corner - 1))
    radius = radius + (_rows((-0.5, 0.5), shape, device)) * thick
    x = radius * sine
    y = radius * cosine * (0.94 - 0.12 * square) + cat * 0.22 * (x / size).clamp_min(0) * soft(cosine + 0.6) * size
    x = centre_x + x
    edge = _rows((0.0, 1.0), shape, device)
    return torch.stack([_columns(_EVEN["rim_right"] / np.pi, shape, device) + 0 * x, edge + 0 * x, 0 * x], 1), torch.stack(
        [-x, centre_y + y, _plane(x, person) - 0.0 * edge], 1
    )


def _bridge(person: Person) -> tuple[Tensor, Tensor]:
    device = person["rim_size"].device
    shape = _size("bridge")
    across = _columns(np.linspace(-1, 1, 7), shape, device)
    edge = _rows((-0.5, 0.5), shape, device)
    centre_x, centre_y, size, square = _glass(person)
    thick = column(person, "rim_thick")[0]
    half = centre_x - size * (0.93 - 0.03 * square)
    x = across * half
    y = centre_y + 0.065 + 0.03 * (1 - across * across) + edge * thick * 1.1
    return torch.stack([across + 0 * x, edge + 0.5 + 0 * x, 0 * x], 1), torch.stack(
        [x, y, _plane(x, person) + 0.02 * (1 - across * across)], 1
    )


def _arm(person: Person) -> tuple[Tensor, Tensor]:
    """The right arm of the glasses, from the rim to the ear."""
    device = person["rim_size"].device
    shape = _size("arm_right")
    along = _columns(np.linspace(0, 1, 7), shape, device)
    edge = _rows((-0.5, 0.5), shape, device)
    centre_x, centre_y, size, square = _glass(person)
    thick, eye_y = column(person, "rim_thick", "eye_y")
    wide, _, _ = profile(eye_y, person)
    start = centre_x + size * (0.97 - 0.05 * square)
    bow = along * (2 - along)
    x = start + (wide + 0.045 - start) * bow
    z = _plane(start, person) + (-0.16 - _plane(start, person)) * along
    y = centre_y + 0.06 + edge * thick * 1.25
    return torch.stack([along + 0 * x, edge + 0.5 + 0 * x, 0 * x], 1), torch.stack([-x, y + 0 * x, z], 1)


def build(person: Person, face: Expression) -> tuple[Float[Tensor, "n 3 v"], Float[Tensor, "n 3 v"]]:
    """Where all vertices lie on their layers, and where they are in space before the head turns."""
    rest, skin = head(*around_head(person), person, face)
    turn = _columns(THETA / np.pi, _size("head"), rest.device)[:, None].expand(len(rest), 1, -1)
    made = {"head": (torch.cat([rest, turn], 1), skin), "neck": _neck(person), "mouth": _mouth(person, face)}
    made |= {"cap": _cap(person), "drape": _drape(person), "bun": _bun(person), "bridge": _bridge(person)}
    made |= {"eye_right": _eye(person, face, False), "eye_left": _eye(person, face, True)}
    flip = torch.tensor((-1.0, 1.0, 1.0), device=person["jaw"].device)[:, None]
    for name, maker in (("ear", _ear), ("rim", _rim), ("arm", _arm)):
        own, place = maker(person)
        made |= {f"{name}_right": (own, place), f"{name}_left": (own, place * flip)}
    return tuple(torch.cat([made[name][k] for name in MESHES], dim=2) for k in (0, 1))


def pose(
    place: Float[Tensor, "n 3 v"], face: Expression, unit: Float[Tensor, " n"], centre: Float[Tensor, "n 2"]
) -> Float[Tensor, "n 3 v"]:
    """Turned and set into the picture: x, y in pixels and depth, positive towards the viewer. unit: half a head in pixels.

    place: all vertices, or points of the head alone, which need not be v in number.
    """
    x, y, z = place.unbind(1)
    sin, cos = (
        {n: f(face[n].double()).float()[:, None] for n in ("yaw", "pitch", "roll", "body")} for f in (torch.sin, torch.cos)
    )
    # Turn about the top of the neck: yaw, then nod, then roll.
    up, back = y + 0.75, z + 0.17
    hx, hz = x * cos["yaw"] + back * sin["yaw"], back * cos["yaw"] - x * sin["yaw"]
    hy, hz = up * cos["pitch"] + hz * sin["pitch"], hz * cos["pitch"] - up * sin["pitch"]
    hx, hy = hx * cos["roll"] + hy * sin["roll"], hy * cos["roll"] - hx * sin["roll"]
    bx, bz = x * cos["body"] + back * sin["body"], back * cos["body"] - x * sin["body"]
    weight = torch.ones_like(x)
    for name, low, reach in (("neck", -1.35, 0.70), ("drape", -1.75, 0.95)) if x.shape[1] == VERTICES else ():
        part = slice(START[name], START[name] + math.prod(_size(name)))
        weight[:, part] = soft((y[:, part] - low) / reach)
    x, y, z = bx + (hx - bx) * weight, up + (hy - up) * weight, bz + (hz - bz) * weight
    unit = unit[:, None]
    return torch.stack([centre[:, :1] + unit * x, centre[:, 1:] - unit * (y - 0.75), unit * (z + 8)], 1)


def _table() -> Tensor:
    """Canonical coordinates of all vertices, (2, v), the same for everybody."""
    turns = {
        "head": THETA / np.pi,
        "cap": THETA / np.pi,
        "neck": _EVEN["neck"] / np.pi,
        "drape": np.linspace(40, 320, 41) / 180 - 1,
    }
    heights = {"head": np.concatenate([(-1.15, -1.10, -1.05), HEIGHTS]), "cap": _CAP_HEIGHTS, "neck": _NECK[:, 0]}
    columns = [np.tile(turns.get(n, np.linspace(-1, 1, g.columns)), g.rows) for n, g in GRIDS.items()]
    rows = [np.repeat(heights.get(n, np.linspace(-1, 1, g.rows)), g.columns) for n, g in GRIDS.items()]
    return torch.from_numpy(np.stack([np.concatenate(columns), np.concatenate(rows)])).float()


UV = _table()
"""Of head, hair on the skull, neck and shoulders: the angle from the front in half turns, and the height in half heads of a
standard head; of other layers the place on their grid, −1 … 1."""
