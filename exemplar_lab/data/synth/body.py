"""The surface of a figure: tapered, jointed tubes seen from far away, and the closed forms between pixels and surface
coordinates.

A part is a tube around a bone from A to B. Its surface coordinates are `along` (0 at A, 1 at B, beyond in the rounded ends) and
the angle `turn` around the bone (0 faces forward), held as sine and cosine. Where two bones of a limb meet, lines of equal
`along` are sheared towards the bisector of the joint, so that both parts end on the same line and a bent elbow neither opens
nor overlaps. The nearest surface to the viewer wins a pixel (z, growing towards the viewer).

Lengths and positions are fractions of the image side. Per pixel only + − × ÷ √ and comparisons occur, which IEEE 754 rounds in
one way: a sample is then bitwise the same in every batch and on every number of threads, which a vectorised sine would not be.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

_SIDE = ("upper_arm", "forearm", "hand", "thigh", "shin", "foot")
PARTS = (
    "chest",
    "pelvis",
    "neck",
    "head",
    "hair",
    "bun",
    "skirt",
    *(f"{p}_right" for p in _SIDE),
    *(f"{p}_left" for p in _SIDE),
)
INDEX = {name: i for i, name in enumerate(PARTS)}
TWIN = tuple(
    INDEX.get(n[:-5] + "left" if n.endswith("right") else n[:-4] + "right" if n.endswith("left") else n, i)
    for i, n in enumerate(PARTS)
)
"""The part on the other side of the body; a part without one is its own twin."""


class Bones(NamedTuple):
    """One number per tube and quantity, shape (b, parts) as built, (n,) once gathered for n points. All float32."""

    ax: Tensor
    ay: Tensor
    az: Tensor
    bx: Tensor
    by: Tensor
    bz: Tensor
    shear_a: Tensor
    """Slope of the line on which the part ends at A; 0 is straight across."""
    shear_b: Tensor
    cap_a: Tensor
    """Height of the rounded end beyond A."""
    cap_b: Tensor
    r0: Tensor
    """Half-widths: control values of a cubic Bézier curve from A to B."""
    r1: Tensor
    r2: Tensor
    r3: Tensor
    cloth: Tensor
    """Thickness of the garment, from A up to along = hem."""
    hem: Tensor
    widen: Tensor
    """Half-width as seen, relative to the half-width seen from the front."""
    deep: Tensor
    """Depth in the middle relative to the half-width seen from the front."""
    slant: Tensor
    """Depth gained per distance across, of an oval section seen at an angle."""
    sin: Tensor
    """Angle between the forward direction of the part and the viewer."""
    cos: Tensor
    push_a: Tensor
    """How far the rounded end at A, when it sits inside a joint, is moved back: it only fills what would stay open."""
    push_b: Tensor

    def at(self, index: Int[Tensor, " n"]) -> "Bones":
        """The quantities of n tubes, named by index = sample · parts + part."""
        return Bones(*torch.stack(self).flatten(1).index_select(1, index).unbind(0))

    def of(self, number: int) -> "Bones":
        """Part `number` of every sample, each quantity (b, 1)."""
        return Bones(*(v[:, number, None] for v in self))


class Spot(NamedTuple):
    """Where points lie on one tube."""

    inside: Tensor
    z: Tensor
    along: Tensor
    sin: Tensor
    """Sine and cosine of the angle `turn` around the bone."""
    cos: Tensor
    across: Tensor
    """Surface normal: its component across the bone, along it (in the rounded ends), and towards the viewer."""
    lengthwise: Tensor
    facing: Tensor


def _radius(bone: Bones, along: Tensor) -> Tensor:
    u = along.clamp(0, 1)
    w = 1 - u
    bare = w * w * (w * bone.r0 + 3 * u * bone.r1) + u * u * (3 * w * bone.r2 + u * bone.r3)
    return bare + bone.cloth * ((bone.hem - u) * 40 + 0.5).clamp(0, 1)


def _axes(bone: Bones) -> tuple[Tensor, Tensor, Tensor]:
    dx, dy = bone.bx - bone.ax, bone.by - bone.ay
    length = (dx * dx + dy * dy).sqrt().clamp_min(1e-4)
    return dx / length, dy / length, length


def locate(bone: Bones, x: Tensor, y: Tensor) -> Spot:
    """The surface point seen at (x, y) on the tube, `inside` False where the tube does not cover (x, y)."""
    dx, dy, length = _axes(bone)
    x, y = x - bone.ax, y - bone.ay
    t = x * dx + y * dy
    s = x * dy - y * dx
    start = s * bone.shear_a
    end = length + s * bone.shear_b
    u = (t - start) / (end - start).clamp_min(1e-5)
    over_a = ((start - t) / bone.cap_a).clamp_min(0)
    over_b = ((t - end) / bone.cap_b).clamp_min(0)
    over = over_a + over_b
    between = over == 0
    # Past the square end of the bone but before the sheared line: an arc around the joint, so that an elbow is round.
    past = torch.where(between, (t - length).clamp_min(0) + (-t).clamp_min(0), torch.zeros_like(t))
    bent = torch.where(s < 0, -1.0, 1.0) * (s * s + past * past).sqrt()
    radius = _radius(bone, u) * bone.widen
    w = (1 - over * over).clamp_min(1e-6).sqrt()
    sine = bent / (radius * w)
    inside = (sine.abs() < 1) & (over < 1)
    sine = sine.clamp(-1, 1)
    cosine = (1 - sine * sine).clamp_min(0).sqrt()
    flat = w * cosine
    z = bone.az + u.clamp(0, 1) * (bone.bz - bone.az) + bone.slant * s + radius / bone.widen * bone.deep * flat
    z = (
        z
        - torch.where(over_a > 0, bone.push_a, 0) * (over_a * 0.5 + 1)
        - torch.where(over_b > 0, bone.push_b, 0) * (over_b * 0.5 + 1)
    )
    along = torch.where(between, u, torch.where(over_a > 0, -over_a, 1 + over_b))
    return Spot(
        inside,
        z,
        along,
        sine * bone.cos - cosine * bone.sin,
        cosine * bone.cos + sine * bone.sin,
        sine * w,
        over_b - over_a,
        flat,
    )


def place(bone: Bones, along: Tensor, sin: Tensor, cos: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The inverse of `locate`: (x, y) of a surface point, and how much it faces the viewer (negative on the far side)."""
    dx, dy, length = _axes(bone)
    sine = sin * bone.cos + cos * bone.sin
    facing = cos * bone.cos - sin * bone.sin
    over_a, over_b = (-along).clamp(0, 1), (along - 1).clamp(0, 1)
    over = over_a + over_b
    w = (1 - over * over).clamp_min(1e-6).sqrt()
    u = along.clamp(0, 1)
    bent = sine * _radius(bone, u) * bone.widen * w
    slope = bone.shear_a + u * (bone.shear_b - bone.shear_a)
    t = u * length + bent * slope
    # Undo the arc: the point lies on the sheared line t = u·length + slope·s at distance |bent| from the joint.
    gap = torch.where(t > length, u * length - length, u * length)
    arc = (over == 0) & ((t > length) | (t < 0))
    root = (bent * bent * (1 + slope * slope) - gap * gap).clamp_min(0).sqrt()
    on_arc = (torch.where(bent < 0, -root, root) - slope * gap) / (1 + slope * slope)
    s = torch.where(arc, on_arc, bent)
    t = u * length + slope * s + over_b * bone.cap_b - over_a * bone.cap_a
    return bone.ax + t * dx + s * dy, bone.ay + t * dy - s * dx, facing


def near(bone: Bones, x: Tensor, y: Tensor, margin: Tensor) -> Tensor:
    """Whether (x, y) comes within `margin` of the tube; generous, for leaving out what cannot matter."""
    distance, widest, _ = clearance(bone, x, y)
    reach = torch.maximum(bone.cap_a, bone.cap_b)
    return (widest > 1e-3) & (distance < torch.maximum(widest, reach) + margin)


def clearance(bone: Bones, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Distance to the bone, a bound on the half-width, and the depth of the bone at the nearest point."""
    dx, dy = bone.bx - bone.ax, bone.by - bone.ay
    x, y = x - bone.ax, y - bone.ay
    u = ((x * dx + y * dy) / (dx * dx + dy * dy).clamp_min(1e-8)).clamp(0, 1)
    x, y = x - u * dx, y - u * dy
    widest = torch.maximum(torch.maximum(bone.r0, bone.r1), torch.maximum(bone.r2, bone.r3)) + bone.cloth
    return (x * x + y * y).sqrt(), widest * bone.widen, bone.az + u * (bone.bz - bone.az)


def cast(
    bones: Bones, x: Float[Tensor, "k b m"], y: Float[Tensor, "k b m"]
) -> tuple[Int[Tensor, "k b m"], Float[Tensor, "k b m"]]:
    """Which part is seen at each point of each of b samples, −1 for none, and its depth.

    The points come in m blocks of k, close together; a part is tried only on blocks near it. A point that is NaN sees nothing.
    """
    centre_x, centre_y = (x[0] + x[-1]) * 0.5, (y[0] + y[-1]) * 0.5
    spread = (x[-1] - x[0]).abs() + (y[-1] - y[0]).abs()
    blocks = x.shape[2]
    x, y = x.flatten(1), y.flatten(1)
    depth = torch.full_like(x, -torch.inf)
    part = torch.full(x.shape, -1, dtype=torch.long, device=x.device)
    for number in range(len(PARTS)):
        chosen = near(bones.of(number), centre_x, centre_y, spread).flatten().nonzero().flatten()
        bone = bones.at(chosen.div(blocks, rounding_mode="floor") * len(PARTS) + number)
        spot = locate(bone, x.index_select(1, chosen), y.index_select(1, chosen))
        before = depth.index_select(1, chosen)
        wins = spot.inside & (spot.z > before)
        depth.index_copy_(1, chosen, torch.where(wins, spot.z, before))
        part.index_copy_(1, chosen, torch.where(wins, number, part.index_select(1, chosen)))
    return part.unflatten(1, (-1, blocks)), depth.unflatten(1, (-1, blocks))
