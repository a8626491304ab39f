"""What the world knows about a pair: for each target pixel its surface point, and where that point lies in the exemplar."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.data.synth.curves import turn_of
from exemplar_lab.data.synth.people.body import PARTS, TWIN, Bones, locate, pack, place, take
from exemplar_lab.data.synth.people.cast import Blocks, cast, corners, gather_rows, hulls, offsets, part_of, picture_of
from exemplar_lab.data.synth.people.render import Surfaces
from exemplar_lab.data.synth.people.texture import Look, albedo, repeats_of
from exemplar_lab.translation import Truth

_SAME = 0.03
"""Two surface points are one when they differ by less: in `along`, and in the sine and cosine of the angle."""


class _Points(NamedTuple):
    """k surface points on each of n tubes, sample by sample of the figure that shows them."""

    sample: Int[Tensor, " n"]
    part: Int[Tensor, " n"]
    along: Float[Tensor, "n k"]
    sin: Float[Tensor, "n k"]
    cos: Float[Tensor, "n k"]


def parts_of(surfaces: Surfaces) -> Int[Tensor, "b h w"]:
    """The part at every pixel centre, −1 for none."""
    return part_of(picture_of(surfaces.best[:, -1:], surfaces.tiles)[:, 0])


def truth_of(
    bones: Bones,
    surfaces: Surfaces,
    look: Look,
    alike: Float[Tensor, "b parts"],
    repeated: bool,
    paints: Float[Tensor, "n 3 h w"],
    points: Float[Tensor, "n 18 2"],
) -> Truth:
    """The truth between the first half of the figures (targets) and the second (exemplars), all fields of `Truth`.

    surfaces: with pixel centres. alike: 1 where a part looks as its twin. uv holds `along` and the angle as a fraction of half
    a turn. The second answer of match_set is the mirrored point of the twin part where the two look alike and it is visible,
    NaN elsewhere; when `repeated`, four more follow, one repeat of the pattern away, where visible and of the same colour.
    """
    size, samples = surfaces.tiles.size, len(points) // 2
    tubes, device = pack(bones), points.device
    won = surfaces.share[:, -1]
    kept = won.amax(1).nonzero().flatten()
    part, sample, row, won = surfaces.part[kept], surfaces.sample[kept], surfaces.row[kept], won.index_select(0, kept)
    corner, centre = corners(surfaces.tiles, device), offsets(surfaces.tiles, False, True, device)
    x, y = (start[surfaces.tile[kept], None] + off for start, off in zip(corner, centre, strict=True))
    spot = locate(take(tubes, sample * len(PARTS) + part), x, y)
    parts = parts_of(surfaces)
    nowhere = (parts < 0)[:, None]
    uv = gather_rows(
        row, part, torch.stack([spot.along, turn_of(spot.sin, spot.cos)], dim=1) * won[:, None], len(surfaces.best)
    )
    uv = picture_of(uv, surfaces.tiles).masked_fill(nowhere, torch.nan)

    mine = (sample < samples).nonzero().flatten()
    part, sample, row, won, x, y = (v.index_select(0, mine) for v in (part, sample, row, won, x, y))
    here = _Points(sample + samples, part, *(v.index_select(0, mine) for v in (spot.along, spot.sin, spot.cos)))
    flow, visible = _seen(tubes, here)
    count = _stretch(tubes, sample, here, flow, x, y, 0.25 / size) * visible
    answers = [*flow, visible, count]
    for asked, right in _others(look, here, alike, samples, repeated):
        answers += _answer(tubes, asked, right)
    rows = gather_rows(row, part, torch.stack(answers, dim=1) * won[:, None], samples * surfaces.tiles.across**2)
    maps = picture_of(rows, surfaces.tiles)
    away = nowhere[:samples]
    flow = (maps[:, :2] * size).masked_fill_(away, torch.nan)
    others = maps[:, 4:]
    others = (others * size).masked_fill_(away | (others < -1), torch.nan)
    return Truth(
        flow=flow,
        visible=maps[:, 2] > 0,
        count=maps[:, 3].contiguous(),
        match_set=torch.cat([flow, others], dim=1).unflatten(1, (-1, 2)),
        target_albedo=paints[:samples],
        exemplar_albedo=paints[samples:],
        target_part=parts[:samples],
        exemplar_part=parts[samples:],
        target_uv=uv[:samples],
        exemplar_uv=uv[samples:],
        target_keypoints=points[:samples],
        exemplar_keypoints=points[samples:],
    )


def _seen(tubes: Tensor, at: _Points) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """Where the surface points lie, as fractions of the image side, and 1 where they are seen there; decided at the exact
    point, not at a pixel, so that the answer does not fray where parts meet."""
    bone = take(tubes, at.sample * len(PARTS) + at.part)
    x, y, _ = place(bone, at.along, at.sin, at.cos)
    spot = locate(bone, x, y)
    apart = torch.maximum((spot.sin - at.sin).abs(), (spot.cos - at.cos).abs()).maximum((spot.along - at.along).abs())
    likely = (spot.inside > 0) & (apart < _SAME) & (x > 0) & (x < 1) & (y > 0) & (y < 1)
    left, right, top, low = x.amin(1), x.amax(1), y.amin(1), y.amax(1)
    spread = 0.5001 * ((right - left) ** 2 + (low - top) ** 2).sqrt() + 1e-4
    blocks = Blocks(
        at.sample, (left + right) * 0.5, (top + low) * 0.5, spread, lambda of: (x.index_select(0, of), y.index_select(0, of))
    )
    best, _ = cast(tubes, hulls(tubes), blocks, x.shape[1])
    return (x, y), (likely & (part_of(best) == at.part[:, None])).float()


def _answer(tubes: Tensor, at: _Points, right: Tensor) -> list[Tensor]:
    """Where the points are seen, −9 where they are not or are not `right`."""
    rows = right.amax(1).nonzero().flatten()
    place_of = [torch.full_like(at.along, -9.0) for _ in range(2)]
    if len(rows):
        where, seen = _seen(tubes, _Points(*(v.index_select(0, rows) for v in at)))
        seen = seen * right.index_select(0, rows)
        for all_, found in zip(place_of, where, strict=True):
            all_.index_copy_(0, rows, (found + 9) * seen - 9)
    return place_of


def _others(look: Look, here: _Points, alike: Tensor, samples: int, repeated: bool) -> Iterator[tuple[_Points, Tensor]]:
    """Other surface points that may look the same, and 1 where they do."""
    twin = torch.tensor(TWIN, device=here.part.device)[here.part]
    figure = here.sample - samples
    right = ((twin != here.part) & (alike.flatten()[figure * len(PARTS) + here.part] > 0)).float()[:, None]
    yield here._replace(part=twin, sin=-here.sin), right.expand_as(here.along)
    if repeated:
        colour = albedo(look, figure, here.part, here.along, here.sin, here.cos)
        along, sin, cos, has = (v[figure * len(PARTS) + here.part, None] for v in repeats_of(look))
        for sign in (-1, 1):
            turned = {"sin": here.sin * cos + sign * here.cos * sin, "cos": here.cos * cos - sign * here.sin * sin}
            for change in ({"along": here.along + sign * along}, turned):
                asked = here._replace(**change)
                same = (albedo(look, figure, asked.part, asked.along, asked.sin, asked.cos) - colour).abs().amax(0) < 2e-3
                yield asked, has * same * (asked.along > 0) * (asked.along < 1)


def _stretch(
    tubes: Tensor, sample: Tensor, there: _Points, here: tuple[Tensor, Tensor], x: Tensor, y: Tensor, step: float
) -> Float[Tensor, "n k"]:
    """|det ∂flow| by differences on the part itself, on the side that stays on the part; `here` is the flow at (x, y)."""
    from_, to = (take(tubes, of * len(PARTS) + there.part) for of in (sample, there.sample))

    def carried(dx, dy):
        spot = locate(from_, x + dx, y + dy)
        at_x, at_y, _ = place(to, spot.along, spot.sin, spot.cos)
        return at_x, at_y, spot.inside

    def slope(dx, dy):
        ahead, back = carried(dx, dy), carried(-dx, -dy)
        width = 1 / (step * (ahead[2] + back[2]).clamp_min(1))
        return [((ahead[i] - here[i]) * ahead[2] - (back[i] - here[i]) * back[2]) * width for i in (0, 1)]

    (xx, yx), (xy, yy) = slope(step, 0), slope(0, step)
    return (xx * yy - xy * yx).abs()
