"""The procedural world, fourth task: from photograph to painting, with the exact truth of whatever is painted."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.data.seeds import fold
from exemplar_lab.data.synth.dials import Dials, dials_of
from exemplar_lab.data.synth.lattice import seed_of
from exemplar_lab.data.synth.paintings import wash as paint_wash
from exemplar_lab.data.synth.paintings.strokes import Brush, Level, begin, bristles, directions, lay, smooth
from exemplar_lab.data.synth.paintings.style import MEDIA, Style, draw_style, graded, table_of
from exemplar_lab.data.synth.source import check_source, keys_of, length_of
from exemplar_lab.data.synth.staging import drop_blocks, repeat_halves
from exemplar_lab.translation import Batch, Source

VERSION = 1
"""Part of every seed: raise it when pictures change, so that numbers from before are not mistaken for numbers after."""

_PORTION = 2**18
"""Pixels painted at once on a processor, so that a map of them stays in its cache."""

CONTENTS = ("scenes", "people", "faces")

_OIL = (Level(5, 7, 0.0, 16), Level(11, 6, 0.11, 64), Level(24, 6, 0.13, 128), Level(48, 5, 0.13, 256))
_PASTEL = (Level(7, 6, 0.0, 32), Level(15, 5, 0.08, 64), Level(32, 5, 0.12, 128), Level(52, 4, 0.15, 256))


@dataclass(frozen=True)
class Paintings:
    """A source of pairs: a photograph, and the same world painted once from where the photograph was taken and once otherwise.

    condition is the photograph of the target (the dial gap: its parts or its edges), exemplar_condition that of the exemplar;
    both paintings are of one style. A painter covers what he sees and moves nothing, so that the truth of the content (flow,
    visible, count …) is that of its paintings; albedo stays the colour before light and paint. target_style holds the columns
    `style.STYLE_COLUMNS`.

    size, split, tier, truth: as for the other tasks; the dials that the content listens to are the content's, but that nothing
    stands in front of it; with `halves` the left strip of the painting repeats. content:
    what is painted, one of CONTENTS. medium: one of `style.MEDIA`, or None, which draws one. Raises ValueError for
    anything else.
    """

    size: int = 64
    split: str = "train"
    tier: str | Dials | dict[str, Any] = "medium"
    truth: bool = True
    content: str = "scenes"
    medium: str | None = None

    def __post_init__(self):
        check_source(self.size, self.split, self.tier, "paintings")
        if self.content not in CONTENTS:
            raise ValueError(f"got content {self.content!r}, expected one of {', '.join(CONTENTS)}: choose one of these")
        draw_style(torch.zeros(1, dtype=torch.long), self.split, self.medium)

    @cached_property
    def motif(self) -> Source:
        """The source of what is painted."""
        # Imported here, because a painter needs only the one world that is painted.
        if self.content == "people":
            from exemplar_lab.data.synth.people import People as Content
        elif self.content == "faces":
            from exemplar_lab.data.synth.faces import Faces as Content
        else:
            from exemplar_lab.data.synth.scenes import Scenes as Content
        dials = replace(dials_of(self.tier, "paintings"), halves=1, occlusion=(0.0, 0.0))
        return Content(self.size, self.split, dials, self.truth)

    @property
    def condition_channels(self) -> int:
        return 3 if dials_of(self.tier, "paintings").gap == "structure" else self.motif.condition_channels

    @property
    def length(self) -> int | None:
        return length_of(self.split)

    def batch(self, indices: Int[Tensor, " b"], device: torch.device | str = "cpu") -> Batch:
        """The pairs `indices`, on `device`. Raises ValueError for an index below 0 or not below `length`."""
        if not len(indices):
            return self.batch(indices.new_zeros(1), device)[:0]
        dials = dials_of(self.tier, "paintings")
        seen = self.motif.batch(indices, device)
        key = keys_of(VERSION, self.split, indices, device)
        style = draw_style(key, self.split, self.medium)
        both = torch.cat([fold(key, "target"), fold(key, "exemplar")])
        twice = Style(*(column.repeat(2) for column in style))
        photographs = torch.cat([seen.target, seen.exemplar])
        target, exemplar = paint_in(photographs, twice, both).chunk(2)
        conditions = torch.cat([seen.condition, seen.exemplar_condition])
        if dials.gap == "structure":
            conditions = drop_blocks(photographs, both, dials.dropout)
        condition, exemplar_condition = conditions.chunk(2)
        numbers = style.numbers()
        truth = None if seen.truth is None else replace(seen.truth, target_style=numbers, exemplar_style=numbers)
        batch = Batch(condition, target, exemplar, exemplar_condition, seen.paired, truth)
        return repeat_halves(batch, dials.halves)


def paint(
    image: Float[Tensor, "b 3 h w"], key: Int[Tensor, " b"], medium: str | None = None, split: str = "train"
) -> Float[Tensor, "b 3 h w"]:
    """Any square images as paintings, one style per key; medium None draws that too (see `style.MEDIA`)."""
    return paint_in(image, draw_style(key, split, medium), key)


def paint_in(image: Float[Tensor, "b 3 h w"], style: Style, key: Int[Tensor, " b"]) -> Float[Tensor, "b 3 h w"]:
    """The images painted in a given style; `key` moves the hand, not the style."""
    result = torch.empty_like(image)
    for number, name in enumerate(MEDIA):
        which = (style.medium == number).nonzero().flatten()
        portion = _PORTION // image[0, 0].numel() if image.device.type == "cpu" else len(which)
        for some in which.split(max(1, portion)):
            if len(some):
                result[some] = _PAINTERS[name](image[some], style.of(some), key[some])
    return result


def _oil(image: Tensor, style: Style, key: Tensor) -> Tensor:
    seed = seed_of(key, "oil")
    picture = graded(image, style)
    lead = directions(picture, seed)
    toned = table_of(style, "dark") * 0.5 + table_of(style, "light") * 0.35
    ground = smooth(picture, max(1, round(picture.shape[-1] / 16)))
    painted = begin(ground * 0.75 + toned[..., None, None] * 0.25)
    brush = Brush(style.length, style.width, style.jitter, 1.2, torch.full_like(style.length, 0.96))
    for level in _that_show(_OIL, image):
        # The first strokes must cover the ground, and are broad.
        broad = brush if level.error else brush._replace(width=brush.width * 1.7)
        painted = lay(painted, picture, lead, level, broad, seed)
    return bristles(painted, seed, style.paper)


def _pastel(image: Tensor, style: Style, key: Tensor) -> Tensor:
    seed = seed_of(key, "pastel")
    picture = graded(image, style)
    picture = picture + (1 - picture) * 0.06
    lead = directions(picture, seed)
    tint = table_of(style, "dark") * 0.40 + table_of(style, "light") * 0.55
    ground = (tint[..., None, None] * 0.8 + smooth(picture, 2) * 0.2).clamp(0, 1)
    brush = Brush(style.length * 1.05, style.width * 0.62, style.jitter, 2.0, torch.full_like(style.length, 0.85))
    painted = begin(ground)
    for level in _that_show(_PASTEL, image):
        painted = lay(painted, picture, lead, level, brush, seed)
    tooth = paint_wash.tooth_of(image.shape[-1], image.device)
    skipped = ((tooth - 0.48) * 3.5).clamp(0, 1) * (0.25 + 0.35 * style.paper[:, None, None, None])
    return painted.canvas + (ground - painted.canvas) * skipped


def _that_show(levels: tuple[Level, ...], image: Tensor) -> tuple[Level, ...]:
    """The levels whose strokes are at least half a pixel wide."""
    return tuple(level for level in levels if image.shape[-1] >= 2.5 * level.blocks)


def _enlarged(painter: Callable[[Tensor, Style, Tensor], Tensor]) -> Callable[[Tensor, Style, Tensor], Tensor]:
    """A painter of small pictures on a larger sheet: lines and borders are thinner than their pixels."""

    def enlarged(image: Tensor, style: Style, key: Tensor) -> Tensor:
        times = -(-_SHEET // image.shape[-1])
        if times == 1:
            return painter(image, style, key)
        large = _enlarge(_enlarge(image, times, 2), times, 3)
        return F.avg_pool2d(painter(large, style, key), times)

    return enlarged


def _enlarge(image: Float[Tensor, "b 3 h w"], times: int, dim: int) -> Float[Tensor, "b 3 hn wn"]:
    """Linear along one axis. torch.nn.functional.interpolate rounds differently on another number of threads."""
    count = image.shape[dim]
    at = ((torch.arange(count * times, device=image.device) + 0.5) / times - 0.5).clamp(0, count - 1)
    before = at.floor().clamp(max=count - 2)
    share = (at - before).unsqueeze(1) if dim == 2 else at - before
    first, second = (image.index_select(dim, before.long() + step) for step in (0, 1))
    return first + (second - first) * share


_SHEET = 128
"""Washes are painted on sheets of at least so many pixels a side."""

_PAINTERS = {
    "oil": _oil,
    "ink": _enlarged(paint_wash.ink),
    "ukiyo-e": _enlarged(paint_wash.woodblock),
    "watercolour": _enlarged(paint_wash.watercolour),
    "pastel": _pastel,
}
