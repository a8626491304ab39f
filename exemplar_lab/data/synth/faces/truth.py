"""What is known about a pair of portraits: for each target pixel its surface point, and where that lies in the exemplar."""

import torch
from jaxtyping import Float
from torch import Tensor

from exemplar_lab.data.synth.faces.layers import UV
from exemplar_lab.data.synth.faces.mesh import MIRROR, blend, facing, flat, upper_of
from exemplar_lab.data.synth.faces.paint import alike
from exemplar_lab.data.synth.faces.render import Scene, View
from exemplar_lab.translation import Truth

_DEEP = 0.012
"""A point is hidden when something stands before it by more than this, in half heads: layers keep a larger distance."""


def truth_of(scene: Scene, view: View, paints: Float[Tensor, "n 3 h w"], points: Float[Tensor, "n 68 2"]) -> Truth:
    """The truth between the first half of the portraits (targets) and the second (exemplars), all fields of `Truth` but style.

    uv holds, of the large layers, the angle from the front in half turns and the height; of the small ones, two coordinates of
    their own. The second answer of match_set is the mirrored point where both sides of the face look alike and the exemplar
    shows it; NaN elsewhere.
    """
    size, device = scene.size, scene.posed.device
    samples = len(points) // 2
    pixels = samples * size * size
    quad, places = view.quad.flatten(), flat(scene.posed)
    seen, vertex, share = view.seen, view.vertex, view.share
    owner = seen.div(size * size, rounding_mode="floor")
    uv = torch.full((2, 2 * pixels), torch.nan, device=device)
    table = UV.to(device)
    uv.index_copy_(1, seen, sum(table.index_select(1, vertex[k]) * share[k] for k in range(3)))

    mine = (seen < pixels).nonzero().flatten()
    seen, owner = seen.index_select(0, mine), owner.index_select(0, mine)
    vertex, share = vertex.index_select(1, mine), share.index_select(1, mine)
    sign = upper_of(quad.index_select(0, seen), vertex)
    there = owner + samples
    place = blend(places, there, vertex, share)
    from_, to = facing(places, owner, vertex, sign), facing(places, there, vertex, sign)
    # Mirrored, the corners of a triangle run the other way round.
    twin = MIRROR.to(device)[vertex]
    right = alike(scene.person)[owner, view.part.flatten()[seen]] & (facing(places, there, twin, -sign) > 1e-6)
    at = right.nonzero().flatten()
    across = blend(places, there[at], twin[:, at], share[:, at])
    front = torch.cat([to > 1e-6, torch.ones_like(at, dtype=torch.bool)])
    visible, found = _is_seen(scene, torch.cat([there, there[at]]), torch.cat([place, across], 1), front).split(
        [len(seen), len(at)]
    )
    count = visible * (to / from_.clamp_min(1e-6)).clamp_min(0)
    answers = torch.full((6, pixels), torch.nan, device=device)
    second = torch.full((2, len(seen)), torch.nan, device=device)
    second[:, at] = torch.where(found, across[:2], torch.nan)
    answers.index_copy_(1, seen, torch.cat([place[:2], second, visible.float()[None], count[None]]))
    answers = answers.view(6, samples, size, size).movedim(1, 0)
    uvs = uv.view(2, 2 * samples, size, size).movedim(1, 0).contiguous()
    return Truth(
        flow=answers[:, 0:2].contiguous(),
        visible=answers[:, 4] == 1,
        count=answers[:, 5].nan_to_num(),
        match_set=answers[:, 0:4].unflatten(1, (2, 2)).contiguous(),
        target_albedo=paints[:samples],
        exemplar_albedo=paints[samples:],
        target_part=view.part[:samples],
        exemplar_part=view.part[samples:],
        target_uv=uvs[:samples],
        exemplar_uv=uvs[samples:],
        target_keypoints=points[:samples],
        exemplar_keypoints=points[samples:],
    )


def _is_seen(scene: Scene, sample: Tensor, place: Float[Tensor, "3 n"], front: Tensor) -> Tensor:
    """Whether portraits show the surface points at `place`: inside the frame, facing the viewer, nothing before them; decided
    at the exact point, not at a pixel, so that the answer does not fray where parts meet."""
    x, y, depth = place
    inside = (x > 0) & (x < scene.size) & (y > 0) & (y < scene.size)
    likely = (inside & front).nonzero().flatten()
    seen = torch.zeros_like(inside)
    sample, x, y, depth = (v.index_select(0, likely) for v in (sample, x, y, depth))
    seen[likely] = scene.cast(sample, x, y).depth <= depth + scene.unit.index_select(0, sample) * _DEEP
    return seen
