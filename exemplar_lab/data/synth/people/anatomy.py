"""Flesh and cloth on the bones: which tube joins which joints, how wide it is, and where two tubes meet."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from exemplar_lab.data.synth.people.body import INDEX, PARTS, Bones, place
from exemplar_lab.data.synth.people.skeleton import HEIGHT, place_joints

_LIMBS = {
    "upper_arm": ("shoulder", "elbow", (0.031, 0.036, 0.028, 0.0255), 0.030, 0.0255, "b", "sleeve", 0),
    "forearm": ("elbow", "wrist", (0.0255, 0.030, 0.021, 0.0170), 0.0255, 0.017, "ab", "sleeve", 1),
    "hand": ("wrist", "tip", (0.0170, 0.023, 0.025, 0.0170), 0.017, 0.017, "a", "sleeve", 2),
    "thigh": ("hip", "knee", (0.043, 0.051, 0.042, 0.034), 0.045, 0.034, "b", "leg", 0),
    "shin": ("knee", "ankle", (0.034, 0.044, 0.029, 0.021), 0.034, 0.020, "a", "leg", 1),
    "foot": ("heel", "toe", (0.027, 0.028, 0.030, 0.027), 0.026, 0.027, "", "", 0),
}
"""Joints A and B; half-widths (control values, A to B) and heights of the rounded ends, in body heights; which ends sit
inside a joint; the garment that covers the limb, and how many parts of the limb come before."""


_FACE = {0: (0.62, 0.0, 1.0), 14: (0.22, -0.39, 0.92), 15: (0.22, 0.39, 0.92), 16: (0.35, -1.0, 0.0), 17: (0.35, 1.0, 0.0)}
"""Nose, eyes and ears on the head: along, and the sine and cosine of the angle."""


def grow(pose: dict[str, Tensor], body: dict[str, Tensor], zoom: Float[Tensor, " b"], centre: Float[Tensor, "b 2"]) -> Bones:
    """The tubes of a posed body; `zoom` and `centre` as in `place_joints`, `body` holds the measures of the identity."""
    yaw, face = pose["yaw"], pose["yaw"] + pose["look"]
    joints = place_joints(pose, body, zoom, centre)
    tubes = [None] * len(PARTS)
    unit = zoom * HEIGHT
    none = torch.zeros_like(yaw)

    def tube(name, a, b, radii, cap_a, cap_b, roll, oval=1.0, cloth=none, hem=none - 1, joints_at="", far=none):
        """Radii, caps and cloth in body heights; `oval` is depth over width."""
        widen = (roll.cos() ** 2 + oval**2 * roll.sin() ** 2).sqrt()
        start, end = joints[a], joints[b]
        values = {
            "ax": start[:, 0], "ay": start[:, 1], "az": start[:, 2], "bx": end[:, 0], "by": end[:, 1], "bz": end[:, 2],
            "shear_a": none, "shear_b": none, "cap_a": cap_a * unit + none, "cap_b": cap_b * unit + none,
            **{f"r{i}": r * unit + none for i, r in enumerate(radii)},
            "cloth": cloth * unit + none, "hem": hem + none, "widen": widen, "deep": oval / widen,
            "slant": (oval**2 - 1) * roll.sin() * roll.cos() / widen**2,
            "sin": oval * roll.sin() / widen, "cos": roll.cos() / widen,
            "push_a": (0.06 * ("a" in joints_at) + far) * unit, "push_b": 0.06 * ("b" in joints_at) * unit,
        }  # fmt: skip
        tubes[INDEX[name]] = values

    wide, waist, hips = body["chest"], body["waist"], body["hips"]
    top, lap = body["top_cloth"], body["top_hem"]
    tube("chest", "neck", "waist", (wide * 0.90, wide * 1.07, wide * 0.92, waist), 0.030, 0.03, yaw, 0.66, top, lap, "b")
    tube("pelvis", "waist", "hips", (waist, waist * 1.05, hips * 1.06, hips), 0.03, 0.032, yaw, 0.66, top, lap - 1, "a")
    tube("neck", "jaw", "neck", (0.031, 0.028, 0.029, 0.036), 0.03, 0.028, yaw, 1.0)
    girth = body["head"]
    tube("head", "skull", "jaw", (girth, girth * 1.03, girth * 0.93, girth * 0.74), girth * 0.98, girth * 0.53, face, 1.06)
    hair = body["hair_girth"]
    tube("hair", "hair_root", "hair_end", (hair, hair * 1.03, hair * 1.03, hair * body["hair_taper"]), hair, hair * 0.45, face)
    bun = body["bun_girth"]
    tube("bun", "bun_root", "bun_end", (bun, bun * 1.1, bun * 0.9, bun * body["bun_taper"]), bun, bun * 0.8, face)
    skirt = body["skirt"]
    flare = hips * body["flare"]
    cone = (hips * 0.94, hips * 1.22, flare * 0.98, flare)
    tube("skirt", "skirt_top", "skirt_hem", tuple(r * skirt for r in cone), 0.008, 0.006, yaw, 0.92)
    _wear(tube, body, yaw, face)
    for side in ("right", "left"):
        for name, (start, end, radii, cap_a, cap_b, inner, garment, before) in _LIMBS.items():
            start, end = f"{start}_{side}", f"{end}_{side}"
            radii = tuple(r * body["build"] for r in radii)
            # Only a hanging limb turns about its own axis when the body turns, and a limb turns as a whole.
            if name in ("upper_arm", "thigh"):
                roll = _hanging(joints[start], joints[end]) * yaw
            cloth, hem = (body[f"{garment}_cloth"], body[f"{garment}_{side}"] - before) if garment else (none, none - 1)
            tube(f"{name}_{side}", start, end, radii, cap_a, cap_b, roll if garment else none, 1.0, cloth, hem, inner)
    _join(tubes[INDEX["chest"]], tubes[INDEX["pelvis"]])
    for side in ("right", "left"):
        for upper, lower in (("upper_arm", "forearm"), ("forearm", "hand"), ("thigh", "shin")):
            _join(tubes[INDEX[f"{upper}_{side}"]], tubes[INDEX[f"{lower}_{side}"]])
    return Bones(*(torch.stack([tube[name] for tube in tubes], dim=1).float() for name in Bones._fields))


def _wear(tube: Callable[..., None], body: dict[str, Tensor], yaw: Tensor, face: Tensor) -> None:
    """Hat, brim, bag and straps; what is not worn has no width and is never seen."""
    hat, brim = body["hat_girth"] * body["hat"], body["brim_girth"] * body["hat"]
    shape = (hat * body["hat_taper"], hat * 0.5 * (1 + body["hat_taper"]), hat, hat)
    tube("hat", "hat_top", "hat_edge", shape, hat * body["hat_dome"] + 1e-4, 0.016 * body["hat"] + 1e-4, face)
    # Seen from a little above, a disc is an ellipse; its far half lies behind the head.
    disc = brim * body["brim_flat"] + 1e-4
    tube("brim", "brim_top", "brim_low", (brim,) * 4, disc, disc, face, 1.0, far=brim * body["brim_behind"])
    bag, carried = body["bag"], body["backpack"]
    wide = (0.062 * carried + 0.036 * (1 - carried)) * bag
    deep = 0.62 * carried + 0.5 * (1 - carried)
    tube("bag", "bag_top", "bag_low", (wide * 0.86, wide, wide * 1.04, wide), wide * 0.42 + 1e-4, wide * 0.22 + 1e-4, yaw, deep)
    for side in ("right", "left"):
        strap = 0.0085 * bag * (carried if side == "left" else 1)
        tube(f"strap_{side}", f"strap_top_{side}", f"strap_low_{side}", (strap,) * 4, strap + 1e-4, strap + 1e-4, yaw * 0)


def _hanging(start: Tensor, end: Tensor) -> Tensor:
    """How far a bone hangs: 1 straight down, 0 level."""
    x, y, z = (end - start).unbind(-1)
    return (y / (x * x + y * y + z * z).sqrt()).clamp(0, 1)


def _join(upper: dict[str, Tensor], lower: dict[str, Tensor]) -> None:
    """Let two bones end on the bisector of their joint.

    In the frame of the upper bone, points of the bisector satisfy t = −s · sin β / (1 + cos β), β the angle of the joint as
    seen. The slope is held down where bones are short or the joint is sharp, so that the lines of a part never cross inside it.
    """

    def frame(tube):
        dx, dy = tube["bx"] - tube["ax"], tube["by"] - tube["ay"]
        length = (dx * dx + dy * dy).sqrt().clamp_min(1e-4)
        return dx / length, dy / length, length

    ux, uy, upper_length = frame(upper)
    lx, ly, lower_length = frame(lower)
    cosine = ux * lx + uy * ly
    sine = lx * uy - ly * ux
    radius = upper["r3"] * upper["widen"]
    most = torch.minimum(torch.minimum(upper_length, lower_length) * 0.45 / radius, torch.full_like(radius, 1.3))
    slope = torch.minimum((-sine / (1 + cosine).clamp_min(1e-3)).clamp_min(-1e3), most).maximum(-most)
    upper["shear_b"], lower["shear_a"] = slope, -slope


def keypoints(bones: Bones) -> Float[Tensor, "b 18 2"]:
    """The OpenPose points of a figure as fractions of the image side; an eye, an ear or a nose that faces away is NaN."""
    points = {}

    def joint(name, end):
        return torch.stack([getattr(bones, f"{end}x")[:, INDEX[name]], getattr(bones, f"{end}y")[:, INDEX[name]]], dim=-1)

    points[1] = joint("chest", "a")
    for first, side in ((2, "right"), (5, "left")):
        for step, part in enumerate(("upper_arm", "forearm", "hand")):
            points[first + step] = joint(f"{part}_{side}", "a")
    for first, side in ((8, "right"), (11, "left")):
        for step, (part, end) in enumerate((("thigh", "a"), ("shin", "a"), ("shin", "b"))):
            points[first + step] = joint(f"{part}_{side}", end)
    head = Bones(*(v[:, INDEX["head"], None] for v in bones))
    for number, (along, sine, cosine) in _FACE.items():
        at = (torch.full_like(head.ax, value) for value in (along, sine, cosine))
        x, y, facing = place(head, *at)
        points[number] = torch.where(facing > -0.35, torch.cat([x, y], dim=1), torch.nan)
    return torch.stack([points[i] for i in range(18)], dim=1)
