"""What the world knows about a pair: for each target pixel its surface point, and where that point lies in the exemplar."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.data.synth.body import PARTS, TWIN, Bones, cast, locate, place
from exemplar_lab.data.synth.render import blocks, unblock
from exemplar_lab.data.synth.texture import turn_of
from exemplar_lab.data.synth.wardrobe import Wardrobe, twins_alike
from exemplar_lab.translation import Truth

_SAME = 0.03
"""Two surface points are one when they differ by less: in `along`, and in the sine and cosine of the angle."""


def truth_of(
    bones: Bones, wardrobe: Wardrobe, paints: Float[Tensor, "n 3 h w"], points: Float[Tensor, "n 18 2"], size: int
) -> Truth:
    """The truth between the first half of the figures (targets) and the second (exemplars), all fields of `Truth`.

    uv holds `along` and the angle as a fraction of half a turn. The second answer of match_set is the mirrored point of the twin part
    where the two look alike and it is visible; NaN elsewhere.
    """
    samples = len(points) // 2
    owner, x, y, side = blocks(2 * samples, size, points.device)
    part, _ = cast(bones, owner, x, y)
    seen = (part >= 0).nonzero()
    where = (seen[:, 0], seen[:, 1])
    slot = owner[where[1]] * len(PARTS) + part[where]
    spot = locate(bones.at(slot), x[where], y[where])
    uv = torch.full((2, *x.shape), torch.nan, device=x.device)
    uv[:, where[0], where[1]] = torch.stack([spot.along, turn_of(spot.sin, spot.cos)])

    mine = owner[where[1]] < samples
    where = (where[0][mine], where[1][mine])
    sample, number, here = owner[where[1]], part[where], type(spot)(*(v[mine] for v in spot))
    there = sample + samples
    to = bones.at(there * len(PARTS) + number)
    from_ = bones.at(sample * len(PARTS) + number)
    flow_x, flow_y, _ = place(to, here.along, here.sin, here.cos)
    visible = _is_seen(bones, there, number, flow_x, flow_y, here.along, here.sin, here.cos)
    count = visible * _stretch(from_, to, x[where], y[where], 0.25 / size)

    twin = torch.tensor(TWIN, device=x.device)[number]
    twin_x, twin_y, _ = place(bones.at(there * len(PARTS) + twin), here.along, -here.sin, here.cos)
    right = (twin != number) & (twins_alike(wardrobe).flatten()[sample * len(PARTS) + number] > 0)
    right &= _is_seen(bones, there, twin, twin_x, twin_y, here.along, -here.sin, here.cos)
    twin_x, twin_y = (torch.where(right, v, torch.nan) for v in (twin_x, twin_y))

    answers = torch.full((6, *x.shape), torch.nan, device=x.device)
    answers[:, where[0], where[1]] = torch.stack([flow_x * size, flow_y * size, twin_x * size, twin_y * size, visible.float(), count])
    answers = unblock(answers, 2 * samples, size, side)[:samples]
    parts, uvs = unblock(part[None], 2 * samples, size, side)[:, 0], unblock(uv, 2 * samples, size, side)
    return Truth(
        flow=answers[:, 0:2].contiguous(),
        visible=answers[:, 4] == 1,
        count=answers[:, 5].nan_to_num(),
        match_set=answers[:, 0:4].unflatten(1, (2, 2)).contiguous(),
        target_albedo=paints[:samples],
        exemplar_albedo=paints[samples:],
        target_part=parts[:samples],
        exemplar_part=parts[samples:],
        target_uv=uvs[:samples],
        exemplar_uv=uvs[samples:],
        target_keypoints=points[:samples],
        exemplar_keypoints=points[samples:],
    )


def _is_seen(bones: Bones, owner: Int[Tensor, " n"], number: Tensor, x: Tensor, y: Tensor, along: Tensor, sin: Tensor, cos: Tensor) -> Tensor:
    """Whether figure `owner` shows, at (x, y), the part `number` and on it the surface point given; decided at the exact point, not at a
    pixel, so that the answer does not fray where parts meet."""
    inside = (x > 0) & (x < 1) & (y > 0) & (y < 1)
    winner, _ = cast(bones, owner, x[None], y[None])
    spot = locate(bones.at(owner * len(PARTS) + number), x, y)
    same = ((spot.along - along).abs() < _SAME) & ((spot.sin - sin).abs() < _SAME) & ((spot.cos - cos).abs() < _SAME)
    return inside & (winner[0] == number) & same


def _stretch(from_: Bones, to: Bones, x: Tensor, y: Tensor, step: float) -> Float[Tensor, " n"]:
    """|det ∂flow| by differences on the part itself, on the side that stays on the part."""
    def carried(dx, dy):
        spot = locate(from_, x + dx, y + dy)
        at_x, at_y, _ = place(to, spot.along, spot.sin, spot.cos)
        return at_x, at_y, spot.inside

    here = carried(0, 0)

    def slope(dx, dy):
        ahead, back = carried(dx, dy), carried(-dx, -dy)
        width = step * (ahead[2].float() + back[2].float()).clamp_min(1)
        return [(torch.where(ahead[2], ahead[i], here[i]) - torch.where(back[2], back[i], here[i])) / width for i in (0, 1)]

    (xx, yx), (xy, yy) = slope(step, 0), slope(0, step)
    return (xx * yy - xy * yx).abs()
