"""The 68 landmarks of a face in the order of iBUG 300-W, and what they draw with the backdrop's edges: the condition.

[CoCosNet] joins the landmarks of CelebA-HQ's faces and adds Canny edges of what lies around the face. Released code: it draws
the borders of labelled parts instead, and gives beside them the distance to each of 13 parts; here the distances are those to
five groups of lines.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from exemplar_lab.data.synth.faces.cast import bands_of, cast_points, crowded, expand, front_of, pieces
from exemplar_lab.data.synth.faces.coat import INDEX
from exemplar_lab.data.synth.faces.expression import Expression
from exemplar_lab.data.synth.faces.identity import Person
from exemplar_lab.data.synth.faces.layers import pose
from exemplar_lab.data.synth.faces.mesh import OWNER
from exemplar_lab.data.synth.faces.paint import keep
from exemplar_lab.data.synth.faces.skin import lip_edges
from exemplar_lab.data.synth.faces.surface import SQUARE, angles, column, head, jaw_edge, lids, lips, profile

GROUPS = {
    "jaw": [list(range(17))],
    "brows": [list(range(17, 22)), list(range(22, 27))],
    "nose": [list(range(27, 31)), list(range(31, 36)), [30, 33]],
    "eyes": [[36, 37, 38, 39, 40, 41, 36], [42, 43, 44, 45, 46, 47, 42]],
    "mouth": [[48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 48], [60, 61, 62, 63, 64, 65, 66, 67, 60]],
}
"""Which landmarks are joined."""
CHANNELS = 2 + len(GROUPS)
"""The drawing, lines and edges together; nearness to jaw, brows, nose, eyes, mouth; edges of the backdrop alone."""
REACH = 12
"""Nearness falls to 0 at 1/12 of the side."""

_SEGMENTS = [(g, a, b) for g, chains in enumerate(GROUPS.values()) for c in chains for a, b in zip(c[:-1], c[1:], strict=True)]
_FACE = (
    "skin",
    "nose",
    "eye_right",
    "eye_left",
    "brow_right",
    "brow_left",
    "mouth",
    "lip_upper",
    "lip_lower",
    "beard",
    "glasses",
)


def _spots(person: Person) -> tuple[Tensor, Tensor, Tensor]:
    """S, C and y of the landmarks at rest, (n, 68) each."""
    eye_x, eye_y, wide, brow_y, arch = column(person, "eye_x", "eye_y", "eye_wide", "brow_y", "brow_arch")
    device = eye_x.device

    def row(*values):
        return torch.tensor(values, dtype=torch.float32, device=device)[None]

    # The face line: down the side of the head, then along the jaw.
    theta = np.radians([84, 84, 84, 84, 76, 62, 45, 23, 0])
    low = jaw_edge(torch.from_numpy(theta).float().to(device), person) + 0.015
    side = torch.cat([row(0.02, -0.16, -0.33).expand(len(low), -1), low[:, 3:]], 1)
    side = torch.maximum(side, low)
    jaw = torch.cat([side, side[:, :-1].flip(1)], 1)
    sine, cosine = angles(np.concatenate([-theta, theta[-2::-1]]))

    along = row(1.0, 0.76, 0.52, 0.27, 0.02)
    brow_x, brow = 0.115 + 0.375 * along, brow_y + 0.055 * arch * (1 - (along - 0.62) * (along - 0.62) * 3.2) - 0.045
    brow_x = brow_x.expand_as(brow)
    nose_wide, tip = column(person, "nose_wide", "nose_long")
    tip = -0.375 - tip
    bridge = (eye_y + 0.06) + (tip - eye_y - 0.06) * row(0, 1 / 3, 2 / 3, 1)
    base_x = nose_wide * row(-0.85, -0.42, 0, 0.42, 0.85)
    base = tip - 0.085 + row(0.01, -0.008, -0.012, -0.008, 0.01)
    across = row(1, 0.38, -0.38, -1, -0.38, 0.38)
    eye = eye_x + wide * across
    eye_low, eye_high, _ = lids(eye, person)
    eye_line = torch.cat([eye_high[:, :4], eye_low[:, 4:]], 1)
    mouth_wide = column(person, "mouth_wide")[0]
    place = mouth_wide * row(-1, -0.62, -0.28, 0, 0.28, 0.62, 1, 0.62, 0.28, 0, -0.28, -0.62)
    bottom, top = lip_edges(place.abs(), person)
    outer = torch.cat([top[:, :7], bottom[:, 7:]], 1)
    inside = mouth_wide * row(-0.96, -0.45, 0, 0.45, 0.96, 0.45, 0, -0.45)
    below, over, _ = lips(inside.abs(), person)
    inner = torch.cat([over[:, :5], below[:, 5:]], 1)

    left = [3, 2, 1, 0, 5, 4]
    x = torch.cat(
        [-brow_x, brow_x.flip(1), 0 * bridge, base_x, -eye, eye[:, left], place, inside], 1
    )  # fmt: skip
    y = torch.cat([brow, brow.flip(1), bridge, base, eye_line, eye_line[:, left], outer, inner], 1)
    wide, _, _ = profile(y, person)
    s = (x / wide).clamp(-0.999, 0.999).double()
    c = (1 - s.abs() ** (2 / SQUARE)) ** (SQUARE / 2)
    sine = torch.cat([sine.to(device).expand(len(x), -1), s.float()], 1)
    cosine = torch.cat([cosine.to(device).expand(len(x), -1), c.float()], 1)
    return sine, cosine, torch.cat([jaw, y], 1)


def landmarks(
    person: Person,
    face: Expression,
    unit: Float[Tensor, " n"],
    centre: Float[Tensor, "n 2"],
    place: Float[Tensor, "n 3 v"],
    own: Float[Tensor, "n 3 v"],
    cut: Bool[Tensor, "n q"],
) -> Float[Tensor, "n 68 2"]:
    """The landmarks (x, y) in pixels; NaN where the head turns them away or hides them behind itself. unit, centre: as `pose`
    takes them. place, own: the vertices as `build` gives them; cut: the `doubtful` quads."""
    sine, cosine, y = _spots(person)
    _, spots = head(sine, cosine, y, torch.ones_like(y), person, face)
    # Seen on a picture of their own, of the head alone and whole, so that neither frame nor resolution matters.
    many, side, scale = len(unit), 48, 12.0
    alone = torch.full_like(unit, scale), torch.full_like(centre, side / 2)
    posed = pose(place, face, *alone)
    seen = pose(spots, face, *alone)
    whole = (OWNER == 0).to(unit.device).expand(many, -1)
    owner = torch.arange(many, device=unit.device).repeat_interleave(68)
    x, y, depth = (seen[:, k].flatten() for k in range(3))
    front = crowded(front_of(posed, own, whole, cut), side, owner, x, y)
    spot = cast_points(front, bands_of(front, side), many, side, keep(person), owner, x, y)
    hidden = (spot.depth > depth + 0.06 * scale).view(many, 68)
    points = pose(spots, face, unit, centre)[:, :2].movedim(1, 2)
    return torch.where(hidden[..., None], torch.nan, points)


def condition(points: Float[Tensor, "n 68 2"], edges: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n cc h w"]:
    """Landmarks that are not NaN, joined in soft lines a pixel wide, with the edges of the backdrop; see `CHANNELS`."""
    size = edges.shape[-1]
    lines = (1.25 - (1 - _nearness(points, size, 1.5, 1)) * 1.5).clamp(0, 1)
    # Nearness is smooth: a quarter of the pixels of a large picture are enough.
    coarse = max(1, round(size / 64))
    near = _nearness(points / coarse, -(-size // coarse), max(2.0, size / REACH) / coarse, len(GROUPS))
    if coarse > 1:
        near = _enlarged(_enlarged(near.mT.contiguous(), size, coarse).mT.contiguous(), size, coarse)
    return torch.cat([torch.maximum(lines, edges), near, edges], dim=1)


def _enlarged(value: Tensor, size: int, by: int) -> Tensor:
    """Rows between rows in straight lines, `by` times as many; sums that round alike in every batch."""
    at = ((torch.arange(size, device=value.device) + 0.5) / by - 0.5).clamp(0, value.shape[2] - 1)
    low = at.floor().long().clamp(max=value.shape[2] - 2)
    here, there = value.index_select(2, low), value.index_select(2, low + 1)
    return there.sub_(here).mul_((at - low)[:, None]).add_(here)


def _nearness(points: Tensor, size: int, reach: float, groups: int) -> Float[Tensor, "n g h w"]:
    """max(0, 1 − d / reach), d the distance to the nearest line of each group, or of all if groups is 1, in pixels."""
    device, many = points.device, len(points)
    group, first, last = torch.tensor(_SEGMENTS, device=device).unbind(1)
    group = group.clamp(max=groups - 1)
    ax, ay, bx, by = (points[:, end, axis] for end in (first, last) for axis in (0, 1))
    near = torch.zeros(many * groups * size * size, device=device)
    known = ~(ax + bx).isnan()
    low_x, high_x = (
        (torch.minimum(ax, bx) - reach - 0.5).ceil().clamp(0, size),
        (torch.maximum(ax, bx) + reach - 0.5).floor().clamp(-1, size - 1),
    )
    low_y, high_y = (
        (torch.minimum(ay, by) - reach - 0.5).ceil().clamp(0, size),
        (torch.maximum(ay, by) + reach - 0.5).floor().clamp(-1, size - 1),
    )
    known = known & (high_x >= low_x) & (high_y >= low_y)
    sample, segment = known.nonzero().unbind(1)
    ax, ay, bx, by, low_x, high_x, low_y, high_y = (v[sample, segment] for v in (ax, ay, bx, by, low_x, high_x, low_y, high_y))
    wide, high = (high_x - low_x + 1).long(), (high_y - low_y + 1).long()
    corner = ((sample * groups + group[segment]) * size + low_y.long()) * size + low_x.long()
    dx, dy = bx - ax, by - ay
    numbers = low_x, low_y, ax, ay, dx, dy, (dx * dx + dy * dy).clamp_min(1e-6)
    for begin, end in pieces(wide * high):
        which, inner = expand((wide * high)[begin:end])
        which = which + begin
        across = wide.index_select(0, which)
        row = inner.div(across, rounding_mode="floor")
        column_ = inner - row * across
        x, y, ax, ay, dx, dy, squared = (v.index_select(0, which) for v in numbers)
        px, py = x + column_ + 0.5 - ax, y + row + 0.5 - ay
        t = ((px * dx + py * dy) / squared).clamp(0, 1)
        px, py = px - t * dx, py - t * dy
        value = (1 - (px * px + py * py).sqrt() / reach).clamp_min(0)
        near.scatter_reduce_(0, corner.index_select(0, which) + row * size + column_, value, "amax")
    return near.view(many, groups, size, size)


def backdrop_edges(image: Float[Tensor, "n 3 h w"], part: Int[Tensor, "n h w"]) -> Float[Tensor, "n 1 h w"]:
    """Edges outside the face, hair and clothes counting as outside: 1 on an edge, 0 elsewhere.

    Canny's steps (blur, slopes, thin lines) in sums that round alike in every batch, with one threshold and no tracking.
    """
    grey = image[:, 0] * 0.30 + image[:, 1] * 0.59 + image[:, 2] * 0.11
    padded = torch.nn.functional.pad(grey[:, None], [2] * 4, mode="replicate")[:, 0]
    rows = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    soft = (rows[..., :-2] + 2 * rows[..., 1:-1] + rows[..., 2:]) * 0.0625  # h + 2, w + 2
    gx, gy = soft[:, 1:-1, 2:] - soft[:, 1:-1, :-2], soft[:, 2:, 1:-1] - soft[:, :-2, 1:-1]
    slope = (gx * gx + gy * gy).sqrt()
    around = torch.nn.functional.pad(slope, [1] * 4)

    def beside(dx, dy):
        height, width = slope.shape[-2:]
        return around[:, 1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]

    flat, steep = gy.abs() < 0.414 * gx.abs(), gy.abs() > 2.414 * gx.abs()
    same = gx * gy > 0
    ahead = torch.where(flat, beside(1, 0), torch.where(steep, beside(0, 1), torch.where(same, beside(1, 1), beside(-1, 1))))
    back = torch.where(flat, beside(-1, 0), torch.where(steep, beside(0, -1), torch.where(same, beside(-1, -1), beside(1, -1))))
    thin = (slope > 0.10) & (slope > ahead) & (slope >= back)
    face = torch.zeros_like(thin)
    for name in _FACE:
        face |= part == INDEX[name]
    return (thin & ~face)[:, None].to(image.dtype)
