"""The surface of a figure: tapered, jointed tubes seen from far away, and the closed forms between pixels and surface
coordinates.

A part is a tube around a bone from A to B. Its surface coordinates are `along` (0 at A, 1 at B, beyond in the rounded ends) and
the angle `turn` around the bone (0 faces forward), held as sine and cosine. Where two bones of a limb meet, lines of equal
`along` are sheared towards the bisector of the joint, so that both parts end on the same line and a bent elbow neither opens
nor overlaps. The nearest surface to the viewer wins a pixel (z, growing towards the viewer).

Lengths and positions are fractions of the image side. Per pixel only + − × ÷ √ and bounds occur, which IEEE 754 rounds in one
way: a sample is then bitwise the same in every batch and on every number of threads, which a vectorised sine would not be. A
choice between two values is a product with a 0 or 1 (`positive`), several times as fast as torch.where.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.data.synth.curves import positive

_TRUNK = ("chest", "pelvis", "neck", "head", "hair", "bun", "skirt", "hat", "brim", "bag")
_SIDED = ("strap", "upper_arm", "forearm", "hand", "thigh", "shin", "foot")
PARTS = _TRUNK + tuple(f"{name}_{side}" for name in _SIDED for side in ("right", "left"))
INDEX = {name: i for i, name in enumerate(PARTS)}
TWIN = tuple(
    INDEX.get(n[:-5] + "left" if n.endswith("right") else n[:-4] + "right" if n.endswith("left") else n, i)
    for i, n in enumerate(PARTS)
)
"""The part on the other side of the body; a part without one is its own twin."""


class Bones(NamedTuple):
    """One number per tube and quantity: (b, parts) as built, (n, 1) once taken for n tubes. All float32."""

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

    def moved(self, scale: Float[Tensor, " b"], x: Float[Tensor, " b"], y: Float[Tensor, " b"]) -> "Bones":
        """The figures scaled about the corner of the image, then shifted."""
        scale = scale[:, None]
        lengths = ("ax", "ay", "az", "bx", "by", "bz", "cap_a", "cap_b", "r0", "r1", "r2", "r3", "cloth", "push_a", "push_b")
        changed = {name: getattr(self, name) * scale for name in lengths}
        for end in "ab":
            changed[f"{end}x"] = changed[f"{end}x"] + x[:, None]
            changed[f"{end}y"] = changed[f"{end}y"] + y[:, None]
        return self._replace(**changed)


def pack(bones: Bones) -> Float[Tensor, "q t"]:
    """All quantities of all tubes, tube = sample · parts + part."""
    return torch.stack(bones).flatten(1)


def take(tubes: Float[Tensor, "q t"], index: Int[Tensor, " n"]) -> Bones:
    """The n tubes `index` of `pack`, each quantity (n, 1)."""
    return Bones(*tubes.index_select(1, index)[:, :, None].unbind(0))


class Spot(NamedTuple):
    """Where points lie on one tube; a point beside the tube is moved to its rim."""

    inside: Tensor
    """1 where the tube covers the point, else 0."""
    z: Tensor
    along: Tensor
    sin: Tensor
    """Sine and cosine of the angle `turn` around the bone."""
    cos: Tensor
    across: Tensor
    """Surface normal: its component across the bone, along it (in the rounded ends), and towards the viewer."""
    lengthwise: Tensor
    facing: Tensor


def _radius(bone: Bones, u: Tensor) -> Tensor:
    """Half-width as seen at u in [0, 1]."""
    c1 = 3 * (bone.r1 - bone.r0)
    c2 = 3 * (bone.r0 - 2 * bone.r1 + bone.r2)
    c3 = bone.r3 - bone.r0 + 3 * (bone.r1 - bone.r2)
    bare = ((u * (c3 * bone.widen) + c2 * bone.widen) * u + c1 * bone.widen) * u + bone.r0 * bone.widen
    return bare + ((bone.hem * 40 + 0.5) - u * 40).clamp(0, 1) * (bone.cloth * bone.widen)


def axes(bone: Bones) -> tuple[Tensor, Tensor, Tensor]:
    """Direction of the bone as seen, and its length."""
    dx, dy = bone.bx - bone.ax, bone.by - bone.ay
    length = (dx * dx + dy * dy).sqrt().clamp_min(1e-4)
    return dx / length, dy / length, length


def _section(bone: Bones, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    """What `depth` and `locate` share: distance across (plain, and squared along the arc), u, overhang at both ends, radius."""
    dx, dy, length = axes(bone)
    x, y = x - bone.ax, y - bone.ay
    t = x * dx + y * dy
    s = x * dy - y * dx
    start, end = s * bone.shear_a, s * bone.shear_b + length
    before = t - start
    u = (before / (end - start).clamp_min(1e-5)).clamp(0, 1)
    over_a = (before * (-1 / bone.cap_a)).clamp_min(0)
    over_b = ((t - end) * (1 / bone.cap_b)).clamp_min(0)
    # Past the square end of the bone but before the sheared line: an arc around the joint, so that an elbow is round.
    past = (torch.minimum(t, end) - length).clamp_min(0) - torch.maximum(t, start).clamp_max(0)
    return s, s * s + past * past, u, over_a, over_b, _radius(bone, u)


def _height(bone: Bones, s: Tensor, u: Tensor, over_a: Tensor, over_b: Tensor, radius: Tensor, flat: Tensor) -> Tensor:
    z = bone.az + u * (bone.bz - bone.az) + s * bone.slant + radius * (bone.deep / bone.widen) * flat
    z = z - ((over_a * 1e6).clamp_max(1) + over_a * 0.5) * bone.push_a
    return z - ((over_b * 1e6).clamp_max(1) + over_b * 0.5) * bone.push_b


def depth(bone: Bones, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """z of the surface at (x, y), and 1 where the tube covers (x, y), else 0."""
    s, bent, u, over_a, over_b, radius = _section(bone, x, y)
    over = over_a + over_b
    flat = 1 - over * over - bent / (radius * radius).clamp_min(1e-12)
    return _height(bone, s, u, over_a, over_b, radius, flat.clamp_min(0).sqrt()), positive(flat)


def locate(bone: Bones, x: Tensor, y: Tensor) -> Spot:
    """The surface point seen at (x, y) on the tube."""
    s, bent, u, over_a, over_b, radius = _section(bone, x, y)
    over = over_a + over_b
    radius = radius.clamp_min(1e-6)
    inside = positive(1 - over * over - bent / (radius * radius))
    w = (1 - over * over).clamp_min(1e-6).sqrt()
    sine = (bent.sqrt() / (radius * w)).clamp_max(1)
    sine = sine * (positive(s) * 2 - 1)
    cosine = (1 - sine * sine).clamp_min(0).sqrt()
    flat = w * cosine
    return Spot(
        inside,
        _height(bone, s, u, over_a, over_b, radius, flat),
        u - over_a.clamp_max(1) + over_b.clamp_max(1),
        sine * bone.cos - cosine * bone.sin,
        cosine * bone.cos + sine * bone.sin,
        sine * w,
        over_b - over_a,
        flat,
    )


def place(bone: Bones, along: Tensor, sin: Tensor, cos: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The inverse of `locate`: (x, y) of a surface point, and how much it faces the viewer (negative on the far side)."""
    dx, dy, length = axes(bone)
    sine = sin * bone.cos + cos * bone.sin
    facing = cos * bone.cos - sin * bone.sin
    u = along.clamp(0, 1)
    over = along - u
    w = (1 - over * over).clamp_min(1e-6).sqrt()
    bent = sine * _radius(bone, u) * w
    slope = bone.shear_a + u * (bone.shear_b - bone.shear_a)
    t = u * length + bent * slope
    # Undo the arc: the point lies on the sheared line t = u·length + slope·s at distance |bent| from the joint.
    beyond = positive(t - length)
    arc = beyond + positive(-t)
    gap = u * length - beyond * length
    bow = 1 / (1 + slope * slope)
    root = (bent * bent * (1 + slope * slope) - gap * gap).clamp_min(0).sqrt()
    on_arc = (root * (positive(bent) * 2 - 1) - slope * gap) * bow
    s = bent + (on_arc - bent) * arc
    t = u * length + slope * s + over.clamp_min(0) * bone.cap_b + over.clamp_max(0) * bone.cap_a
    return bone.ax + t * dx + s * dy, bone.ay + t * dy - s * dx, facing


def clearance(bone: Bones, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Distance to the bone, a bound on the half-width, and the depth of the bone at the nearest point."""
    dx, dy = bone.bx - bone.ax, bone.by - bone.ay
    x, y = x - bone.ax, y - bone.ay
    inverse = 1 / (dx * dx + dy * dy).clamp_min(1e-8)
    u = (x * (dx * inverse) + y * (dy * inverse)).clamp(0, 1)
    x, y = x - u * dx, y - u * dy
    return (x * x + y * y).sqrt(), widest(bone), bone.az + u * (bone.bz - bone.az)


def widest(bone: Bones) -> Tensor:
    """A bound on the half-width as seen."""
    bound = torch.maximum(torch.maximum(bone.r0, bone.r1), torch.maximum(bone.r2, bone.r3))
    return (bound + bone.cloth) * bone.widen
