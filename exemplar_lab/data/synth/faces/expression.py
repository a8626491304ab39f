"""What a face does: where the head turns, how lids, brows, cheeks, lips and jaw move, where it stands in the frame."""

import torch
from jaxtyping import Int
from torch import Tensor

from exemplar_lab.data.seeds import choose, uniform

Expression = dict[str, Tensor]

_MOODS = {
    "calm": {"smile": 0.15},
    "smile": {"smile": 0.8, "squint": 0.35, "cheek": 0.5},
    "laugh": {"smile": 1.0, "jaw": 0.6, "squint": 0.6, "cheek": 1.0, "brow_right": 0.3, "brow_left": 0.3},
    "surprise": {"jaw": 0.75, "smile": -0.1, "blink": -0.22, "brow_right": 1.0, "brow_left": 1.0, "pucker": 0.35},
    "anger": {"frown": 1.0, "smile": -0.45, "squint": 0.4, "brow_right": -0.3, "brow_left": -0.3},
    "sad": {"smile": -0.75, "blink": 0.18, "sorrow": 1.0, "brow_right": 0.25, "brow_left": 0.25},
    "doubt": {"brow_right": 0.9, "brow_left": -0.2, "smile": 0.15, "crooked": 0.8, "squint": 0.2},
    "talk": {"jaw": 0.35, "pucker": 0.15, "smile": 0.3},
    "kiss": {"pucker": 1.0, "blink": 0.3},
    "wink": {"smile": 0.7, "wink": 0.9, "cheek": 0.5, "crooked": 0.5},
    "puff": {"puff": 1.0, "pucker": 0.5, "blink": -0.1},
}
_WEIGHTS = (1.2, 2.0, 1.2, 1.0, 0.8, 0.8, 0.8, 1.2, 0.4, 0.5, 0.4)
NAMES = (
    "smile",
    "jaw",
    "squint",
    "cheek",
    "blink",
    "brow_right",
    "brow_left",
    "frown",
    "sorrow",
    "pucker",
    "crooked",
    "wink",
    "puff",
)
_SLACK = {
    "smile": 0.2,
    "jaw": 0.12,
    "squint": 0.12,
    "blink": 0.07,
    "brow_right": 0.25,
    "brow_left": 0.25,
    "frown": 0.2,
    "pucker": 0.1,
    "crooked": 0.25,
}


def draw_expression(key: Int[Tensor, " n"], yaw: float, articulation: float) -> Expression:
    """Angles in radians (yaw positive when the head turns to its own left, the viewer's right), and muscles around 0 … 1.

    articulation 0 is a face at rest that looks ahead; turning the head is left to `yaw`.
    """
    mood = choose(key, "mood", _WEIGHTS)
    strength = uniform(key, "strength", (), 0.55, 1.1)
    face: Expression = {}
    for name in NAMES:
        of_mood = torch.tensor([m.get(name, 0.0) for m in _MOODS.values()], dtype=torch.float64, device=key.device)[mood]
        slack = uniform(key, name, (), -1.0, 1.0) * _SLACK.get(name, 0.0)
        face[name] = (of_mood * strength + slack) * articulation
    face["jaw"] = face["jaw"].clamp_min(0)
    face["gaze_x"] = uniform(key, "gaze x", (), -0.42, 0.42) * articulation
    face["gaze_y"] = uniform(key, "gaze y", (), -0.2, 0.2) * articulation
    face["yaw"] = uniform(key, "yaw", (), -yaw, yaw)
    face["pitch"] = uniform(key, "pitch", (), -yaw / 3, yaw / 3)
    face["roll"] = uniform(key, "roll", (), -0.22, 0.22) * articulation
    face["body"] = face["yaw"] * uniform(key, "body", (), 0.25, 0.5)
    # The eyes look back at the viewer when the head turns, as far as they can.
    back = uniform(key, "look back", (), 0.0, 0.8) * articulation
    face["gaze_x"] = (face["gaze_x"] - face["yaw"] * back).clamp(-0.6, 0.6)
    return face
