"""What the world knows about a pair: for each target pixel its surface point, and where that point lies in the exemplar."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.data.synth.body import PARTS, TWIN, Bones, Spot, cast, locate, place
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

    uv holds `along` and the angle as a fraction of half a turn. The second answer of match_set is the mirrored point of the
    twin part where the two look alike and it is visible; NaN elsewhere.
    """
    samples = len(points) // 2
    x, y, side = blocks(2 * samples, size, points.device)
    part, _ = cast(bones, x, y)
    seen = (part >= 0).flatten().nonzero().flatten()
    owner = seen.div(x.shape[2], rounding_mode="floor") % (2 * samples)
    number, at_x, at_y = part.flatten()[seen], x.flatten()[seen], y.flatten()[seen]
    spot = locate(bones.at(owner * len(PARTS) + number), at_x, at_y)
    uv = torch.full((2, x.numel()), torch.nan, device=x.device)
    uv.index_copy_(1, seen, torch.stack([spot.along, turn_of(spot.sin, spot.cos)]))

    mine = owner < samples
    seen, sample, number, at_x, at_y = (v[mine] for v in (seen, owner, number, at_x, at_y))
    here = Spot(*(v[mine] for v in spot))
    there = sample + samples
    from_, to = bones.at(sample * len(PARTS) + number), bones.at(there * len(PARTS) + number)
    flow_x, flow_y, _ = place(to, here.along, here.sin, here.cos)
    visible = _is_seen(bones, there, number, flow_x, flow_y, here.along, here.sin, here.cos)
    count = visible * _stretch(from_, to, at_x, at_y, 0.25 / size)

    twin = torch.tensor(TWIN, device=x.device)[number]
    twin_x, twin_y, _ = place(bones.at(there * len(PARTS) + twin), here.along, -here.sin, here.cos)
    right = (twin != number) & (twins_alike(wardrobe).flatten()[sample * len(PARTS) + number] > 0)
    right &= _is_seen(bones, there, twin, twin_x, twin_y, here.along, -here.sin, here.cos)
    twin_x, twin_y = (torch.where(right, v, torch.nan) for v in (twin_x, twin_y))

    answers = torch.full((6, x.numel()), torch.nan, device=x.device)
    answers.index_copy_(1, seen, torch.stack([*(v * size for v in (flow_x, flow_y, twin_x, twin_y)), visible.float(), count]))
    answers = unblock(answers.unflatten(1, x.shape), size, side)[:samples]
    parts, uvs = unblock(part[None], size, side)[:, 0], unblock(uv.unflatten(1, x.shape), size, side)
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


def _is_seen(
    bones: Bones, owner: Int[Tensor, " n"], number: Tensor, x: Tensor, y: Tensor, along: Tensor, sin: Tensor, cos: Tensor
) -> Tensor:
    """Whether figure `owner` shows, at (x, y), the part `number` and on it the surface point given; decided at the exact point,
    not at a pixel, so that the answer does not fray where parts meet."""
    inside = (x > 0) & (x < 1) & (y > 0) & (y < 1)
    spot = locate(bones.at(owner * len(PARTS) + number), x, y)
    same = ((spot.along - along).abs() < _SAME) & ((spot.sin - sin).abs() < _SAME) & ((spot.cos - cos).abs() < _SAME)
    likely = (inside & same & spot.inside).nonzero().flatten()
    seen = torch.zeros_like(inside)
    seen[likely] = _winner(bones, owner[likely], x[likely], y[likely]) == number[likely]
    return seen


def _winner(bones: Bones, owner: Int[Tensor, " n"], x: Tensor, y: Tensor) -> Int[Tensor, " n"]:
    """`cast` for n scattered points, of which each belongs to some figure."""
    samples = bones.ax.shape[0]
    order = owner.argsort(stable=True)
    rank = torch.arange(len(owner), device=owner.device) - torch.searchsorted(
        owner[order].contiguous(), owner[order].contiguous()
    )
    slot = torch.empty_like(owner).index_copy_(0, order, rank)
    grid = torch.full((2, samples, int(rank.max()) + 1 if len(rank) else 1), torch.nan, device=x.device)
    grid[:, owner, slot] = torch.stack([x, y])
    return cast(bones, grid[:1], grid[1:])[0][0, owner, slot]


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
