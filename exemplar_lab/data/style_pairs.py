"""Contents and styles for style transfer: a photograph, real or procedural, and a painting of something else."""

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.data.images import check_same_size, read_image, square
from exemplar_lab.data.photos import Photographs
from exemplar_lab.data.seeds import fold, uniform
from exemplar_lab.data.synth.paintings.source import paint_in
from exemplar_lab.data.synth.paintings.style import Style, draw_style
from exemplar_lab.data.synth.scenes import Scenes
from exemplar_lab.data.synth.source import check_source, keys_of, length_of
from exemplar_lab.translation import Batch

VERSION = 1
"""Raised whenever the same index gives another sample than before."""

CONTENTS = ("both", "photographs", "scenes")
STYLES = ("paintings", "photographs")


class _Drawn(NamedTuple):
    """What a sample is made from: canvases, the style, the key of the hand, and where to cut each canvas (left, top)."""

    content: Tensor
    motif: Tensor
    style: Style
    key: Tensor
    content_at: Tensor
    motif_at: Tensor


@dataclass(frozen=True)
class StylePairs:
    """A source of unpaired contents and styles, as Eq. (11) of [DynaST] wants them.

    condition and target are the content photograph, exemplar is the style image. A style image has no structure of its own, so
    exemplar_condition is the style image again: then E_ref sees I_s and nothing else, as section 3.3 says. No sample is
    paired, and there is no truth of a correspondence; what the content looks like in this style is known, see `painted`.

    content: "photographs", those that come with scikit-image (or those in `folder`); "scenes", procedural landscapes; "both",
        one or the other. style: "paintings" of another content, in any `medium` (None draws one of five); "photographs".
    canvas: images are made `canvas` × `size` large and cut to `size` anywhere; 2 as in section 4, where crops of 256 come from
        images of 512; with 1 nothing is cut. Photographs are held out whole, and enlarged where the canvas is larger.
    Raises ValueError for settings that make no source; FileNotFoundError when there are no photographs.
    """

    size: int = 64
    split: str = "train"
    content: str = "both"
    style: str = "paintings"
    medium: str | None = None
    canvas: int = 2
    folder: str | Path | None = None

    def __post_init__(self) -> None:
        check_source(self.size, self.split, "medium", "scenes")
        for name, value, known in (("content", self.content, CONTENTS), ("style", self.style, STYLES)):
            if value not in known:
                raise ValueError(f"got {name} {value!r}, expected one of {', '.join(known)}: choose one of these")
        if self.canvas < 1:
            raise ValueError(f"got canvas {self.canvas}, expected at least 1, sides of the image")
        draw_style(torch.zeros(1, dtype=torch.long), self.split, self.medium)
        if self._shows_photographs and len(self.paths) < 2:
            raise ValueError("got one photograph, expected at least 2: what is painted must be another than the content")

    @property
    def condition_channels(self) -> int:
        return 3

    @property
    def length(self) -> int | None:
        return length_of(self.split)

    @cached_property
    def paths(self) -> tuple[Path, ...]:
        """The photographs of this split."""
        return Photographs(16, self.split, self.folder).paths

    @property
    def _shows_photographs(self) -> bool:
        return self.content != "scenes" or self.style == "photographs"

    def batch(self, indices: Int[Tensor, " b"], device: torch.device | str = "cpu") -> Batch:
        """The pairs `indices`, on `device`. Raises ValueError for an index below 0 or not below `length`."""
        if not len(indices):
            return self.batch(indices.new_zeros(1), device)[:0]
        drawn = self._drawn(indices, device)
        painted = self.style == "paintings"
        style = paint_in(drawn.motif, drawn.style, fold(drawn.key, "exemplar")) if painted else drawn.motif
        return style_pair(_cut(drawn.content, drawn.content_at, self.size), _cut(style, drawn.motif_at, self.size))

    def painted(self, indices: Int[Tensor, " b"], device: torch.device | str = "cpu") -> Float[Tensor, "b 3 h w"]:
        """The contents of these pairs, painted in the style of their exemplars: the right answer, which only this world knows.

        Raises ValueError where styles are photographs.
        """
        if self.style != "paintings":
            raise ValueError(f"got style {self.style!r}, expected 'paintings': nobody knows what a photograph's style would be")
        drawn = self._drawn(indices, device)
        return _cut(paint_in(drawn.content, drawn.style, fold(drawn.key, "target")), drawn.content_at, self.size)

    def _drawn(self, indices: Tensor, device: torch.device | str) -> _Drawn:
        key = keys_of(VERSION, self.split, indices, device)
        # The other end of the split: another scene, and with an odd number another photograph.
        half = self.length // 2 if self.length else 2**39
        others = (indices + half + 1) % self.length if self.length else indices + half + 1
        motif = replace(self, content="photographs") if self.style == "photographs" else self
        room = self.size * (self.canvas - 1)
        at = (uniform(key, "crop", (2, 2)) * (room + 1)).long()
        return _Drawn(
            self._pictures(indices, fold(key, "content"), device),
            motif._pictures(others, fold(key, "motif"), device, shift=indices),
            draw_style(key, self.split, self.medium),
            key,
            at[:, 0],
            at[:, 1],
        )

    def _pictures(
        self, indices: Tensor, key: Tensor, device: torch.device | str, shift: Tensor | None = None
    ) -> Float[Tensor, "b 3 h w"]:
        """Canvases; a photograph among them is number `shift` + 1, or without it number `indices`, modulo their number."""
        side = self.size * self.canvas
        result = torch.empty(len(indices), 3, side, side, device=device)
        real = torch.full_like(key, self.content == "photographs").bool()
        if self.content == "both":
            real = uniform(key, "real") < 0.5
        if real.any():
            numbers = (indices if shift is None else shift + 1)[real.cpu()]
            photographs = [_photograph(self.paths[n % len(self.paths)], side) for n in numbers.tolist()]
            mirrored = (uniform(key, "flip") < 0.5)[real][:, None, None, None]
            photograph = torch.stack(photographs).to(device)
            result[real] = torch.where(mirrored, photograph.flip(-1), photograph)
        if not real.all():
            scenes = Scenes(side, self.split, truth=False)
            result[~real] = scenes.batch(indices[~real.cpu()], device).target
        return result


def style_pair(content: Float[Tensor, "b 3 h w"], style: Float[Tensor, "b 3 h w"]) -> Batch:
    """Any contents with any style images of their size, as a batch of `StylePairs` has them."""
    check_same_size(content=content, style=style)
    unpaired = torch.zeros(len(content), dtype=torch.bool, device=content.device)
    return Batch(condition=content, target=content, exemplar=style, exemplar_condition=style, paired=unpaired)


@lru_cache(maxsize=64)
def _photograph(path: Path, side: int) -> Float[Tensor, "3 h w"]:
    return square(read_image(path, 2 * side), side)


def _cut(canvas: Float[Tensor, "b 3 hc wc"], at: Int[Tensor, "b 2"], size: int) -> Float[Tensor, "b 3 {size} {size}"]:
    corners = zip(canvas, at.tolist(), strict=True)
    return torch.stack([one[:, top : top + size, left : left + size] for one, (left, top) in corners])
