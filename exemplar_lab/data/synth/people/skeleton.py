"""From a pose to joints: angles place them in space, and a camera a little above looks at them."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.data.seeds import fold, uniform

_CAMERA_PITCH = 0.19
"""Radians by which the camera looks down; it shows the shoes and the floor."""
HEIGHT = 0.9
"""Height of the figure at zoom 1, as a fraction of the image side."""


def draw_pose(key: Int[Tensor, " b"], yaw: float, bend: float) -> dict[str, Tensor]:
    """Joint angles in radians, float64, one per sample. `yaw` bounds the turn of the body; `bend`, the dial articulation, says
    how far limbs leave rest, 0 … 1."""

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
        shoulder = joints["neck"] + sideways(spine, sign * body["shoulders"]) + vector(zero, zero + 0.031, zero)
        hip = joints["hips"] + sideways(pose["hip"], sign * body["hips"] * 0.50) + vector(zero, zero, zero + 0.014)
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


def place_joints(
    pose: dict[str, Tensor], body: dict[str, Tensor], zoom: Float[Tensor, " b"], centre: Float[Tensor, "b 2"]
) -> dict[str, Float[Tensor, "b 3"]]:
    """All joints as the camera sees them, in fractions of the image side, z to the viewer.

    zoom 1 makes the figure HEIGHT of the image tall; `centre` is where the middle of the figure falls.
    """
    yaw = pose["yaw"]
    joints = _joints(pose, body)
    # The head turns further than the body, about the neck; hair hangs behind the head as seen from its own front.
    for name in ("jaw", "skull"):
        joints[name] = joints["neck"] + _turn(joints[name] - joints["neck"], pose["look"])
    back, down = (torch.tensor([v], dtype=torch.float64, device=yaw.device) for v in ((0, 0, -1), (0, 1, 0)))
    back = _turn(back.expand(len(yaw), 3), pose["look"])
    joints["hair_root"] = joints["skull"] + back * body["hair_back"][:, None] - down * (0.004 - 0.028 * body["hat"][:, None])
    joints["hair_end"] = joints["hair_root"] + back * 0.006 + down * body["hair_length"][:, None]
    joints["bun_root"] = joints["skull"] + back * body["bun_back"][:, None] - down * body["bun_up"][:, None]
    joints["bun_end"] = joints["bun_root"] + back * 0.01 + down * body["bun_length"][:, None]
    joints |= _worn(joints, body, back, down)
    return {name: _project(point, yaw, zoom, centre) for name, point in joints.items()}


def _worn(joints: dict[str, Tensor], body: dict[str, Tensor], back: Tensor, down: Tensor) -> dict[str, Tensor]:
    """Where hats, bags and straps begin and end. `back` points away from the face."""

    def column(name):
        return body[name][:, None]

    axis = joints["jaw"] - joints["skull"]
    axis = axis / (axis * axis).sum(-1, keepdim=True).sqrt()
    crown = joints["skull"] - axis * column("hat_up") + back * column("hat_back")
    edge = joints["skull"] - axis * column("brim_up") - back * column("brim_forward")
    outward = torch.tensor([[0.0, 0.0, -1.0]], dtype=torch.float64, device=axis.device)
    spine = joints["waist"] - joints["neck"]
    right, left = joints["shoulder_right"], joints["shoulder_left"]
    across = right - left
    carried = column("backpack")
    # A backpack hangs behind the chest on two straps; a bag at the left hip, on one that crosses the chest.
    behind = joints["neck"] + spine * 0.18 + outward * 0.088
    beside = joints["hip_left"] - across * 0.34 + outward * -0.02
    ends = {
        "hat_top": crown,
        "hat_edge": crown + axis * column("hat_length"),
        "brim_top": edge - axis * 0.002,
        "brim_low": edge + axis * column("brim_length"),
        "bag_top": behind * carried + (beside - down * 0.005) * (1 - carried),
        "bag_low": (behind + spine * 0.85 + outward * 0.012) * carried + (beside + down * 0.055) * (1 - carried),
    }
    # Straps are straight, so they lie a little before the chest, as deep as it is.
    front = outward * -(0.71 * column("chest") + column("top_cloth") + 0.004)
    for side, sign in (("right", 1.0), ("left", -1.0)):
        top = joints["neck"] + across * (0.34 * sign) + down * 0.012 + front * (0.80 * carried + 1.06 * (1 - carried))
        under = joints["neck"] + across * (0.40 * sign) + spine * 0.62 + front * 0.62
        if side == "right":
            under = under * carried + (beside + front * 0.95 - down * 0.01) * (1 - carried)
        ends |= {f"strap_top_{side}": top, f"strap_low_{side}": under}
    return ends


def _project(point: Float[Tensor, "b 3"], yaw: Tensor, zoom: Tensor, centre: Float[Tensor, "b 2"]) -> Float[Tensor, "b 3"]:
    x, y, z = _turn(point, yaw).unbind(-1)
    sin, cos = math.sin(_CAMERA_PITCH), math.cos(_CAMERA_PITCH)
    scale = zoom * HEIGHT
    return torch.stack(
        [x * scale + centre[:, 0], (y * cos + z * sin) * scale + centre[:, 1], (z * cos - y * sin) * scale], dim=-1
    )
