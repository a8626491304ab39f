"""From a pose to bones: joint angles place joints in space, a camera a little above looks at them, and tubes grow around the bones."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.data.seeds import fold, uniform
from exemplar_lab.data.synth.body import INDEX, PARTS, Bones, place

_CAMERA_PITCH = 0.19
"""Radians by which the camera looks down; it shows the shoes and the floor."""
HEIGHT = 0.9
"""Height of the figure at zoom 1, as a fraction of the image side."""


_LIMBS = {
    "upper_arm": ("shoulder", "elbow", (0.031, 0.036, 0.028, 0.0255), 0.030, 0.0255, "b"),
    "forearm": ("elbow", "wrist", (0.0255, 0.030, 0.021, 0.0170), 0.0255, 0.017, "ab"),
    "hand": ("wrist", "tip", (0.0170, 0.026, 0.027, 0.0170), 0.017, 0.017, "a"),
    "thigh": ("hip", "knee", (0.050, 0.054, 0.041, 0.034), 0.040, 0.034, "b"),
    "shin": ("knee", "ankle", (0.034, 0.044, 0.029, 0.021), 0.034, 0.020, "a"),
    "foot": ("heel", "toe", (0.027, 0.028, 0.030, 0.027), 0.026, 0.027, ""),
}
"""Joints, half-widths (control values, A to B), heights of the rounded ends in body heights, and which ends sit inside a joint."""


def draw_pose(key: Int[Tensor, " b"], yaw: float, bend: float) -> dict[str, Tensor]:
    """Joint angles in radians, float64, one per sample. `yaw` bounds the turn of the body; `bend` 0 … 1 says how far limbs leave rest."""

    def angle(name, low, high):
        return uniform(key, name, (), low, high)

    pose = {
        "yaw": angle("yaw", -yaw, yaw),
        "look": angle("look", -0.45, 0.45) * bend,
        "tilt": angle("tilt", -0.16, 0.16) * bend,
        "hip": angle("hip", -0.10, 0.10) * bend,
        "spine": angle("spine", -0.16, 0.16) * bend,
        "lean": angle("lean", -0.06, 0.10) * bend,
    }
    for side in ("right", "left"):
        own = fold(key, side)

        def limb(name, low, high, own=own):
            return uniform(own, name, (), low, high)

        raised = limb("raised", 0.0, 1.0)
        pose[f"arm_{side}"] = 0.16 + bend * (raised * raised * 1.5)
        pose[f"arm_swing_{side}"] = bend * limb("arm_swing", -0.5, 0.6)
        pose[f"elbow_{side}"] = bend * limb("elbow", -0.7, 1.7)
        pose[f"elbow_swing_{side}"] = bend * limb("elbow_swing", 0.05, 0.7)
        pose[f"wrist_{side}"] = bend * limb("wrist", -0.35, 0.35)
        pose[f"leg_{side}"] = 0.04 + bend * limb("leg", -0.06, 0.34)
        pose[f"leg_swing_{side}"] = bend * limb("leg_swing", -0.45, 0.5)
        pose[f"knee_{side}"] = bend * limb("knee", -0.12, 0.16)
        pose[f"knee_swing_{side}"] = bend * limb("knee_swing", 0.0, 0.75)
        pose[f"toe_{side}"] = limb("toe", 0.15, 0.5)
    return pose


def _joints(pose: dict[str, Tensor], body: dict[str, Tensor]) -> dict[str, Tensor]:
    """Joints in body heights, x to the image's right, y down, z to the viewer, before the body turns; each (b, 3)."""
    zero = torch.zeros_like(pose["yaw"])

    def direction(sideways, forward):
        """Straight down, swung sideways and then forward."""
        return torch.stack([sideways.sin() * forward.cos(), sideways.cos() * forward.cos(), forward.sin()], dim=-1)

    def upward(sideways, forward):
        return direction(-sideways, forward) * torch.tensor([-1.0, -1.0, 1.0], dtype=torch.float64, device=zero.device)

    def vector(x, y, z):
        return torch.stack([x + zero, y + zero, z + zero], dim=-1)

    def sideways(angle, by):
        return vector(angle.cos() * by, angle.sin() * by, zero)

    joints = {"hips": vector(zero, zero, zero)}
    spine = pose["hip"] + pose["spine"]
    joints["waist"] = joints["hips"] + 0.105 * upward(pose["hip"], pose["lean"])
    joints["neck"] = joints["waist"] + 0.175 * upward(spine, pose["lean"])
    head = spine * 0.5 + pose["tilt"]
    joints["jaw"] = joints["neck"] + 0.066 * upward(head, pose["lean"] + 0.12)
    joints["skull"] = joints["jaw"] + body["face"][:, None] * upward(head, pose["lean"] * 0.5)
    for side, sign in (("right", -1.0), ("left", 1.0)):
        shoulder = joints["neck"] + sideways(spine, sign * body["shoulders"]) + vector(zero, zero + 0.020, zero)
        hip = joints["hips"] + sideways(pose["hip"], sign * body["hips"] * 0.52)
        arm, swing = pose[f"arm_{side}"], pose[f"arm_swing_{side}"]
        elbow = shoulder + 0.150 * direction(sign * arm, swing)
        arm, swing = arm + pose[f"elbow_{side}"], swing + pose[f"elbow_swing_{side}"]
        wrist = elbow + 0.130 * direction(sign * arm, swing)
        tip = wrist + 0.040 * direction(sign * (arm + pose[f"wrist_{side}"]), swing)
        # Skirts hold the legs together.
        leg, swing = pose[f"leg_{side}"] * (1 - 0.6 * body["skirt"]), pose[f"leg_swing_{side}"] * (1 - 0.6 * body["skirt"])
        knee = hip + 0.215 * direction(sign * leg, swing)
        leg, swing = leg * 0.6 + pose[f"knee_{side}"] * (1 - 0.7 * body["skirt"]), swing - pose[f"knee_swing_{side}"]
        ankle = knee + 0.215 * direction(sign * leg, swing)
        toe = pose[f"toe_{side}"]
        heel = ankle + vector(zero, zero + 0.020, zero - 0.006)
        joints |= {
            f"shoulder_{side}": shoulder,
            f"elbow_{side}": elbow,
            f"wrist_{side}": wrist,
            f"tip_{side}": tip,
            f"hip_{side}": hip,
        }
        joints |= {f"knee_{side}": knee, f"ankle_{side}": ankle, f"heel_{side}": heel}
        joints[f"toe_{side}"] = heel + 0.058 * vector(sign * toe.sin(), zero + 0.10, toe.cos())
    knees = (joints["knee_right"] + joints["knee_left"]) * 0.5
    joints["skirt_top"] = joints["waist"] * 0.55 + joints["hips"] * 0.45
    joints["skirt_hem"] = joints["hips"] + (knees - joints["hips"]) * body["skirt_length"][:, None]
    return joints


def _turn(points: Float[Tensor, "b 3"], yaw: Tensor) -> Float[Tensor, "b 3"]:
    x, y, z = points.unbind(-1)
    return torch.stack([x * yaw.cos() + z * yaw.sin(), y, z * yaw.cos() - x * yaw.sin()], dim=-1)


def grow(pose: dict[str, Tensor], body: dict[str, Tensor], zoom: Float[Tensor, " b"], centre: Float[Tensor, "b 2"]) -> Bones:
    """Tubes, as fractions of the image side, of a body with the given pose.

    zoom 1 makes the figure 0.9 of the image tall; `centre` is where the middle of the figure falls. `body` holds the measures of the identity.
    """
    yaw, face = pose["yaw"], pose["yaw"] + pose["look"]
    joints = _joints(pose, body)
    # The head turns further than the body, about the neck; hair hangs behind the head as seen from its own front.
    for name in ("jaw", "skull"):
        joints[name] = joints["neck"] + _turn(joints[name] - joints["neck"], pose["look"])
    back = _turn(torch.tensor([[0.0, 0.0, -1.0]], dtype=torch.float64, device=yaw.device).expand(len(yaw), 3), pose["look"])
    down = torch.tensor([[0.0, 1.0, 0.0]], dtype=torch.float64, device=yaw.device)
    joints["hair_root"] = joints["skull"] + back * body["hair_back"][:, None] + down * -0.004
    joints["hair_end"] = joints["hair_root"] + back * 0.006 + down * body["hair_length"][:, None]
    joints["bun_root"] = joints["skull"] + back * body["bun_back"][:, None] - down * body["bun_up"][:, None]
    joints["bun_end"] = joints["bun_root"] + back * 0.01 + down * body["bun_length"][:, None]
    scale = (zoom * HEIGHT)[:, None]

    def project(point):
        x, y, z = _turn(point, yaw).unbind(-1)
        tilt = torch.tensor(_CAMERA_PITCH, dtype=torch.float64, device=yaw.device)
        seen = torch.stack([x, y * tilt.cos() + z * tilt.sin(), z * tilt.cos() - y * tilt.sin()], dim=-1) * scale
        return seen + torch.cat([centre, torch.zeros_like(centre[:, :1])], dim=-1)

    joints = {name: project(point) for name, point in joints.items()}
    tubes = [None] * len(PARTS)
    unit = zoom * HEIGHT
    none = torch.zeros_like(yaw)

    def tube(name, a, b, radii, cap_a, cap_b, roll, oval=1.0, cloth=none, hem=none - 1, joints_at=""):
        """Radii, caps and cloth in body heights; `oval` is depth over width."""
        widen = (roll.cos() ** 2 + oval**2 * roll.sin() ** 2).sqrt()
        start, end = joints[a], joints[b]
        values = {
            "ax": start[:, 0], "ay": start[:, 1], "az": start[:, 2], "bx": end[:, 0], "by": end[:, 1], "bz": end[:, 2],
            "shear_a": none, "shear_b": none, "cap_a": cap_a * unit + none, "cap_b": cap_b * unit + none,
            **{f"r{i}": r * unit + none for i, r in enumerate(radii)},
            "cloth": cloth * unit + none, "hem": hem + none, "widen": widen, "deep": oval / widen,
            "slant": (oval**2 - 1) * roll.sin() * roll.cos() / widen**2, "sin": oval * roll.sin() / widen, "cos": roll.cos() / widen,
            **{f"push_{end}": (0.06 if end in joints_at else 0.0) * unit for end in "ab"},
        }  # fmt: skip
        tubes[INDEX[name]] = values

    wide, waist, hips = body["chest"], body["waist"], body["hips"]
    top, lap = body["top_cloth"], body["top_hem"]
    tube("chest", "neck", "waist", (wide * 0.80, wide * 1.10, wide * 0.92, waist), 0.026, 0.03, yaw, 0.70, top, lap, "b")
    tube("pelvis", "waist", "hips", (waist, waist * 1.05, hips * 1.06, hips), 0.03, 0.045, yaw, 0.70, top, lap - 1, "a")
    tube("neck", "jaw", "neck", (0.031, 0.028, 0.029, 0.036), 0.03, 0.028, yaw, 1.0)
    girth = body["head"]
    tube("head", "skull", "jaw", (girth, girth * 1.03, girth * 0.93, girth * 0.74), girth * 0.98, girth * 0.53, face, 1.06)
    hair = body["hair_girth"]
    tube("hair", "hair_root", "hair_end", (hair, hair * 1.03, hair * 1.03, hair * body["hair_taper"]), hair, hair * 0.45, face)
    bun = body["bun_girth"]
    tube("bun", "bun_root", "bun_end", (bun, bun * 1.1, bun * 0.9, bun * body["bun_taper"]), bun, bun * 0.8, face)
    skirt = body["skirt"]
    flare = hips * body["flare"]
    cone = (hips * 0.86, hips * 1.14, flare * 0.95, flare)
    tube("skirt", "skirt_top", "skirt_hem", tuple(r * skirt for r in cone), 0.008, 0.006, yaw, 0.92)
    for side in ("right", "left"):
        for name, (start, end, radii, cap_a, cap_b, inner) in _LIMBS.items():
            start, end = f"{start}_{side}", f"{end}_{side}"
            radii = tuple(r * body["build"] for r in radii)
            # Only a hanging limb turns about its own axis when the body turns, and a limb turns as a whole.
            if name in ("upper_arm", "thigh"):
                roll = _hanging(joints[start], joints[end]) * yaw
            if name == "foot":
                tube(f"foot_{side}", start, end, radii, cap_a, cap_b, none)
                continue
            cloth, cuff = (body["leg_cloth"], body[f"leg_{side}"]) if name in ("thigh", "shin") else (body["sleeve_cloth"], body[f"sleeve_{side}"])
            before = {"forearm": 1, "hand": 2, "shin": 1}.get(name, 0)
            tube(f"{name}_{side}", start, end, radii, cap_a, cap_b, roll, 1.0, cloth, cuff - before, inner)
    chains = [("chest", "pelvis")]
    for side in ("right", "left"):
        chains += [
            (f"upper_arm_{side}", f"forearm_{side}"),
            (f"forearm_{side}", f"hand_{side}"),
            (f"thigh_{side}", f"shin_{side}"),
        ]
    for upper, lower in chains:
        _join(tubes[INDEX[upper]], tubes[INDEX[lower]])
    return Bones(*(torch.stack([tube[name] for tube in tubes], dim=1).float() for name in Bones._fields))


def _hanging(start: Tensor, end: Tensor) -> Tensor:
    """How far a bone hangs: 1 straight down, 0 level."""
    x, y, z = (end - start).unbind(-1)
    return (y / (x * x + y * y + z * z).sqrt()).clamp(0, 1)


def _join(upper: dict[str, Tensor], lower: dict[str, Tensor]) -> None:
    """Let two bones end on the bisector of their joint.

    In the frame of the upper bone, points of the bisector satisfy t = −s · sin β / (1 + cos β), β the angle of the joint as seen. The
    slope is held down where bones are short or the joint is sharp, so that the lines of a part never cross inside it.
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
    head = Bones(*(v[:, INDEX["head"]] for v in bones))
    for number, (along, sine, cosine) in {
        0: (0.62, 0.0, 1.0),
        14: (0.22, -0.39, 0.92),
        15: (0.22, 0.39, 0.92),
        16: (0.35, -1.0, 0.0),
        17: (0.35, 1.0, 0.0),
    }.items():
        at = (torch.full_like(head.ax, value) for value in (along, sine, cosine))
        x, y, facing = place(head, *at)
        points[number] = torch.where((facing > -0.35)[:, None], torch.stack([x, y], dim=-1), torch.nan)
    return torch.stack([points[i] for i in range(18)], dim=1)
