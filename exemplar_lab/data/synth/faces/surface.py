"""The shape of a head: where each vertex lies at rest, and where an expression moves it.

x points to the viewer's right, y up, z towards the viewer, in half heads. A head is a surface around its axis, (W(y)·S(θ), y,
D(y)·C(θ)) with S, C a slightly square sine and cosine; brows, nose, cheeks, lips, chin stand out along z. Around eyes and mouth
an expression slides the skin over what lies below, and the jaw moves as a whole. The openings of eyes and mouth are fixed
regions of the skin at rest, cut out of it, which sliding opens and closes.
"""

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from exemplar_lab.data.synth.faces.expression import Expression
from exemplar_lab.data.synth.faces.identity import Person

SQUARE = 0.88
"""S = |sin θ|^SQUARE with its sign: 1 is an ellipse."""
EYEBALL = 0.195
OPEN = 0.045
"""Half the height of the opening of the mouth in the skin at rest; the lips close it."""


def angles(theta: Float[np.ndarray, "..."]) -> tuple[Tensor, Tensor]:
    """S and C of angles from the front."""
    sin, cos = np.sin(theta), np.cos(theta)
    return tuple(torch.from_numpy(np.sign(v) * np.abs(v) ** SQUARE).float() for v in (np.round(sin, 12), np.round(cos, 12)))


_STEPS = np.radians(np.concatenate([np.arange(0, 60, 3.0), np.linspace(60, 180, 13)]))
THETA = np.concatenate([-_STEPS[:0:-1], _STEPS])
"""Angles of the 65 columns of the head, finest where the face is."""
HEIGHTS = np.concatenate(
    [
        np.linspace(-1, -0.75, 4, endpoint=False),
        np.linspace(-0.75, -0.40, 14, endpoint=False),
        np.linspace(-0.40, -0.20, 5, endpoint=False),
        np.linspace(-0.20, 0.16, 14, endpoint=False),
        np.linspace(0.16, 0.40, 5, endpoint=False),
        0.40 + 0.60 * np.sin(np.linspace(0, np.pi / 2, 9)),
    ]
)


def soft(x: Tensor) -> Tensor:
    """From 0 below 0 to 1 above 1 without a corner."""
    x = x.clamp(0, 1)
    return x * x * (3 - 2 * x)


def bump(x: Tensor, y: Tensor, width: float | int | Tensor, height: float | int | Tensor) -> Tensor:
    """1 at the origin, 0 from the ellipse (width, height) on."""
    x, y = x / width, y / height
    q = (1 - x * x - y * y).clamp_min(0)
    return q * q * (1 + 0.5 * (1 - q))


def column(person: Person | Expression, *names: str) -> list[Tensor]:
    """Numbers of samples, ready to meet vertices: (b, 1) each."""
    return [person[name][:, None] for name in names]


def profile(y: Float[Tensor, "b v"], person: Person) -> tuple[Tensor, Tensor, Tensor]:
    """Half-width of the head at height y, its depth before the axis and behind it."""
    width, chin, jaw, cheek = column(person, "width", "chin", "jaw", "cheek")
    up = ((y - 0.15) / 0.85).clamp(0, 1)
    low = ((0.15 - y) / 1.15).clamp(0, 1.2)
    dome = (1 - up * up * (0.72 + 0.28 * up * up)).clamp_min(0).sqrt()
    wide = width * dome * (1 - (1 - chin) * low * low * (0.25 + 0.75 * low))
    nothing = torch.zeros_like(y)
    wide = wide + (jaw - 0.95) * 0.5 * bump(nothing, y + 0.62, 1, 0.42) + 0.022 * cheek * bump(nothing, y + 0.16, 1, 0.3)
    return wide, 0.79 * dome * (1 - 0.09 * low * low), 0.88 * dome * (1 - 1.25 * low * low).clamp_min(0.30)


def lids(x: Tensor, person: Person) -> tuple[Tensor, Tensor, Tensor]:
    """The edges of the opening of an eye at |x|, at rest, lower first, and the place across the eye, ±1 in its corners."""
    eye_x, eye_y, wide, high, tilt = column(person, "eye_x", "eye_y", "eye_wide", "eye_high", "eye_tilt")
    across = (x - eye_x) / wide
    inner = (1 - across * across).clamp_min(0)
    # The upper lid is fullest towards the nose, the lower one towards the temple.
    middle = eye_y + tilt * (x - eye_x)
    upper = middle + high * inner * (1.0 - 0.16 * across) * (1.24 - 0.24 * inner)
    return middle - high * 0.72 * inner * (1 + 0.22 * across), upper, across


def lips(x: Tensor, person: Person) -> tuple[Tensor, Tensor, Tensor]:
    """The edges of the opening of the mouth at |x|, at rest, and the place across it."""
    mouth_y, wide = column(person, "mouth_y", "mouth_wide")
    across = x / wide
    inner = (1 - across * across).clamp_min(0)
    bow = 0.010 * bump(across - 0.0, torch.zeros_like(across), 0.35, 1)
    return mouth_y - OPEN * inner, mouth_y + (OPEN - bow) * inner, across


def _squeeze(y: Tensor, low: Tensor, high: Tensor, new_low: Tensor, new_high: Tensor, below: float, above: float) -> Tensor:
    """How far heights move when low … high is pressed into new_low … new_high and the surroundings give way."""
    share = ((y - low) / (high - low).clamp_min(1e-5)).clamp(0, 1)
    inside = new_low - low + share * ((new_high - high) - (new_low - low))
    over = (1 - soft((y - high) / above)) * (new_high - high)
    under = (1 - soft((low - y) / below)) * (new_low - low)
    return torch.where(y > high, over, torch.where(y < low, under, inside))


def ridge(x: Tensor, y: Tensor, person: Person) -> Tensor:
    """How far the nose stands out."""
    eye_y, long, high, wide, hook = column(person, "eye_y", "nose_long", "nose_high", "nose_wide", "nose_hook")
    root, tip = eye_y + 0.17, -0.375 - long
    down = ((root - y) / (root - tip)).clamp(0, 1)
    back = down * down * (0.55 + 0.45 * down) * 0.80 + 0.20 * soft(down * 3.2) + hook * 2.5 * (down * (1 - down))
    under = ((tip - y) / 0.125).clamp(0, 1)
    back = back * (1 - under * under) * (1 - under * under)
    broad = 0.085 + (wide * 0.80 - 0.085) * soft(down * 1.25 - 0.2) + 0.10 * soft(1 - down * 4)
    q = (1 - (x / broad) * (x / broad)).clamp_min(0)
    blade = q * q * (1 + 0.6 * (1 - q))
    ball = bump(x, y - tip - 0.015, wide * 0.72, 0.11)
    wings = bump(x.abs() - wide * 0.74, y - tip + 0.045, wide * 0.48, 0.085)
    return high * (back * blade + 0.17 * ball) + 0.115 * wings


def head(
    sine: Float[Tensor, "b v"],
    cosine: Float[Tensor, "b v"],
    y: Float[Tensor, "b v"],
    inward: Tensor,
    person: Person,
    face: Expression,
) -> tuple[Float[Tensor, "b 2 v"], Float[Tensor, "b 3 v"]]:
    """Where points of the skin are: x and y at rest, and where an expression takes them.

    inward: 1 on the face, less below the jaw.
    """
    wide, fore, back = profile(y, person)
    x = wide * sine * inward
    depth = torch.where(cosine > 0, fore, back)
    side, front = x.abs(), (cosine * 3).clamp(0, 1)
    eye_x, eye_y, brow_y, mouth_y = column(person, "eye_x", "eye_y", "brow_y", "mouth_y")
    mouth_wide, lip_upper, lip_lower, masculine = column(person, "mouth_wide", "lip_upper", "lip_lower", "soft")
    masculine = 1 - masculine
    base = depth * cosine * inward - (1 - inward) * 0.1
    full = column(person, "full")[0]

    lip_low, lip_high, lip_across = lips(side, person)
    lip_taper = (1 - lip_across * lip_across).clamp_min(0)
    stand = (
        (0.022 + 0.026 * masculine) * bump(side - eye_x * 0.85, y - brow_y + 0.03, 0.34, 0.11)
        - 0.050 * bump(side - eye_x * 0.62, y - eye_y - 0.02, 0.17, 0.17)
        + 0.040 * bump(side - 0.42, y + 0.20, 0.27, 0.20)
        + 0.050 * bump(x, y - mouth_y, 0.40, 0.26)
        + 0.050 * lip_taper * bump(x * 0, y - lip_high - 0.4 * lip_upper, 1, lip_upper * 1.2)
        + 0.060 * lip_taper * bump(x * 0, y - lip_low + 0.45 * lip_lower, 1, lip_lower * 1.15)
        - 0.030 * bump(x, y - mouth_y + 0.19, 0.24, 0.07)
        + (0.075 + 0.02 * masculine) * bump(x, y + 0.90, 0.26, 0.20)
        + ridge(x, y, person)
        + 0.025 * full * bump(x, y + 0.85, 0.75, 0.5)
    )
    base = base + stand * front * inward
    rest = torch.stack([x, y.expand_as(x)], 1)

    dx, dy, dz = torch.zeros_like(x), torch.zeros_like(x), torch.zeros_like(x)
    right = x < 0
    smile, jaw, squint, blink, frown, sorrow, pucker, crooked, wink, puff, cheek = column(
        face, "smile", "jaw", "squint", "blink", "frown", "sorrow", "pucker", "crooked", "wink", "puff", "cheek"
    )
    # Brows: up or down as a whole, inner ends down and together in anger, up in sorrow.
    lift = torch.where(right, face["brow_right"][:, None], face["brow_left"][:, None])
    dy = dy + lift * 0.085 * bump(side - eye_x, y - brow_y - 0.03, 0.33, 0.21) * front
    inner = bump(side - 0.13, y - brow_y, 0.19, 0.17) * front
    dy = dy + (sorrow * 0.075 - frown * 0.080) * inner
    dx = dx - frown * 0.035 * inner * soft(side / 0.1) * torch.where(right, -1.0, 1.0)
    # Lids slide over the eyeball.
    low, high, across = lids(side, person)
    closing = (blink + 0.10 + torch.where(right, wink, torch.zeros_like(wink)) - face["gaze_y"][:, None] * 0.35).clamp(
        -0.2, 1.02
    )
    closing = closing + 0.10 * frown * (1 - across.clamp(-1, 1))
    gap = high - low
    raised = low + gap * (0.30 * squint.clamp(0, 1) + 0.10 * closing.clamp(0, 1))
    dropped = torch.maximum(high - gap * closing * 0.92, raised - 0.004)
    dy = dy + _squeeze(y, low, high, raised, dropped, 0.10, 0.13) * ((side > 0.02) & (front > 0))
    # Cheeks rise in a smile and fill when puffed.
    plump = bump(side - 0.40, y + 0.30, 0.26, 0.22) * front
    dy = dy + (0.045 * smile.clamp_min(0) + 0.03 * cheek) * plump
    dz = dz + (0.035 * smile.clamp_min(0) + 0.03 * cheek) * plump
    blown = puff * bump(side - 0.46, y - mouth_y - 0.06, 0.32, 0.34) * (cosine > -0.1)
    dx, dz = dx + 0.085 * blown * torch.where(right, -1.0, 1.0), dz + 0.075 * blown
    # Lips: closed by sliding together, corners out and up in a smile, forward in a kiss.
    closed_low, closed_high = mouth_y - 0.002 + 0 * lip_low, mouth_y - 0.003 + 0 * lip_high
    dy = dy + _squeeze(y, lip_low, lip_high, closed_low, closed_high, 0.17, 0.17) * (front > 0)
    pulled = soft(side / (mouth_wide * 1.15)) * bump(side - mouth_wide, y - mouth_y, 0.34, 0.28) * front
    here = smile + crooked * torch.where(right, -0.35, 0.45)
    dx = dx + (0.055 * here.clamp(-0.2, 1.4) - 0.085 * pucker) * pulled * torch.where(right, -1.0, 1.0)
    dy = dy + 0.085 * here * pulled
    dz = dz - 0.045 * here.clamp_min(0) * pulled + 0.07 * pucker * bump(x, y - mouth_y, 0.30, 0.20) * front
    # The jaw hangs below the line between the lips.
    hang = jaw * soft((mouth_y + OPEN - y) / (2 * OPEN)) * soft((cosine + 0.35) * 1.2)
    x, y, z = x + dx, y + dy, base + dz
    # Near the eye the skin lies on the eyeball.
    ball_x, ball_y, ball_z = eyeball(person)
    ex, ey = x.abs() - ball_x, y - ball_y
    cover = EYEBALL + 0.016
    sphere = ball_z + (cover * cover - ex * ex - ey * ey).clamp_min(0.02 * cover * cover).sqrt()
    near = ((side - eye_x) / 0.27) * ((side - eye_x) / 0.27) + ((rest[:, 1] - eye_y) / 0.19) * ((rest[:, 1] - eye_y) / 0.19)
    near = soft((1 - near) * 1.5) * (front > 0)
    z = z + (sphere - z) * near
    z = z - 0.10 * hang * front
    return rest, torch.stack([x, y - 0.24 * hang, z], 1)


def eyeball(person: Person) -> tuple[Tensor, Tensor, Tensor]:
    """The centre of the left eyeball; that of the right one has −x. Set so that the lid bulges a little from the face."""
    eye_x, eye_y = column(person, "eye_x", "eye_y")
    wide, fore, _ = profile(eye_y, person)
    # C from S on the slightly square circle; squares and roots only: C² ≈ (1 − S²)(1 + 0.17 S²) for SQUARE = 0.88.
    square = (eye_x / wide) * (eye_x / wide)
    face = fore * ((1 - square) * (1 + 0.17 * square)).clamp_min(0).sqrt()
    return eye_x - 0.004, eye_y + 0.01, face - 0.035 - EYEBALL


def jaw_edge(theta: Float[Tensor, " c"], person: Person) -> Float[Tensor, "b c"]:
    """Height of the lower edge of the head at angles from the front: from the chin along the jaw to its angle below the ear,
    then steeply up."""
    rise = 0.30 * soft((theta - math.radians(10)) / math.radians(70)) + 0.30 * soft(
        (theta - math.radians(66)) / math.radians(44)
    )
    return -1 + rise / person["jaw"][:, None]


def around_head(person: Person) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """S, C, y and inward of all vertices of the head, rows from below the jaw to the crown."""
    sine, cosine = (v.to(person["jaw"].device) for v in angles(THETA))
    theta = torch.from_numpy(np.abs(THETA)).float().to(sine.device)
    edge = jaw_edge(theta, person)
    share = torch.from_numpy((HEIGHTS + 1) / 2).float().to(sine.device)
    y = edge[:, None] + (1 - edge[:, None]) * share[:, None]
    under = torch.stack([edge + 0.10, edge + 0.05, edge - 0.002], 1)
    inward = torch.ones_like(y)
    below = torch.tensor((0.35, 0.72, 0.93), device=y.device)[:, None].expand_as(under)
    y, inward = torch.cat([under, y], 1), torch.cat([below, inward], 1)
    shape = (len(y), y.shape[1], len(theta))
    return (
        sine.expand(shape).flatten(1), cosine.expand(shape).flatten(1), y.flatten(1), inward.flatten(1)
    )  # fmt: skip
