"""What the attention explorer shows: one pair, what each layer says of it, and what the world knows of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.correspondence import Correspondence, FactoredMatch
from exemplar_lab.grid import index_to_xy, xy_to_index
from exemplar_lab.ops.rows import Row, row_of, users_of
from exemplar_lab.translation import Batch, Translation, Truth
from exemplar_lab.widgets.doors import check_pictures, checked_match, device_of, size_in_words

SIDES = ("target", "exemplar")
UNKNOWN = 255
"""Stands for no label, where labels are written as bytes."""


@dataclass(frozen=True)
class Layer:
    """A match of one sample, its name, and the exemplar as it carries it to the target."""

    name: str
    match: Correspondence
    warp: Float[Tensor, "_ hq wq"]


@dataclass(frozen=True)
class Contents:
    """Everything about one pair that can be looked at; on both sides, the first view is the picture itself.

    answers: for each target pixel the exemplar points (x, y), in pixels, that are equally right; NaN where there is none.
    labels of target and exemplar: −1 where a pixel has none.
    """

    title: str
    layers: tuple[Layer, ...]
    target: dict[str, Float[Tensor, "_ h w"]]
    exemplar: dict[str, Float[Tensor, "_ he we"]]
    answers: Float[Tensor, "s 2 h w"] | None
    target_labels: Int[Tensor, "h w"] | None
    exemplar_labels: Int[Tensor, "he we"] | None
    label_names: tuple[str, ...]

    def views(self, side: str) -> dict[str, Tensor]:
        return self.target if side == "target" else self.exemplar

    def picture(self, side: str) -> Float[Tensor, "_ _ _"]:
        return next(iter(self.views(side).values()))

    def grid(self, layer: int, side: str) -> tuple[int, int]:
        match = self.layers[layer].match
        return tuple(match.query_size if side == "target" else match.key_size)


def of_translation(
    translation: Translation,
    batch: Batch,
    sample: int = 0,
    names: Sequence[str] | None = None,
    label_names: Sequence[str] = (),
    title: str = "",
) -> Contents:
    """One sample of a batch and what a model made of it. Raises ValueError for a translation that has no matches."""
    if not translation.matches:
        raise ValueError("got a Translation without matches, expected them: call the model with record=True")
    check_sample(sample, len(batch))
    check_pictures(batch.target, batch.exemplar, translation.image)
    this = slice(sample, sample + 1)
    matches = [checked_match(match, this) for match in translation.matches]
    truth = None if batch.truth is None else batch.truth[this]
    return Contents(
        title,
        _layers(matches, [warp[sample] for warp in translation.warps], names),
        {"target": batch.target[sample], "structure": batch.condition[sample], "output": translation.image[sample]},
        {"exemplar": batch.exemplar[sample], "structure": batch.exemplar_condition[sample]},
        None if truth is None else right_answers(truth)[0],
        None if truth is None or truth.target_part is None else truth.target_part[0],
        None if truth is None or truth.exemplar_part is None else truth.exemplar_part[0],
        tuple(label_names),
    )


def of_matches(
    matches: Correspondence | Sequence[Correspondence],
    target: Float[Tensor, "... c h w"],
    exemplar: Float[Tensor, "... ce he we"],
    sample: int = 0,
    names: Sequence[str] | None = None,
    label_names: Sequence[str] = (),
    truth: Truth | None = None,
    target_labels: Int[Tensor, "... h w"] | None = None,
    exemplar_labels: Int[Tensor, "... he we"] | None = None,
    title: str = "",
) -> Contents:
    """Any correspondence between two pictures, or several. Pictures and labels may come without the batch axis.

    Raises ValueError for pictures that are not in [0, 1], weights that are negative or not finite, and sizes that do not fit.
    """
    several = [matches] if isinstance(matches, Correspondence) else list(matches)
    if not several:
        raise ValueError("got no correspondence, expected at least one: a DenseMatch, SparseMatch or FactoredMatch")
    target, exemplar = (one if one.ndim == 4 else one[None] for one in (target, exemplar))
    check_sample(sample, len(target))
    this = slice(sample, sample + 1)
    check_pictures(target, exemplar)
    several = [checked_match(match, this) for match in several]
    warps = [
        match.warp(F.interpolate(exemplar[this], match.key_size, mode="area").to(device_of(match)))[0] for match in several
    ]

    def labels(given: Tensor | None, known: str) -> Tensor | None:
        if given is not None:
            return given if given.ndim == 2 else given[sample]
        part = None if truth is None else getattr(truth, known)
        return None if part is None else part[sample]

    maps = {
        "target labels": (labels(target_labels, "target_part"), target),
        "exemplar labels": (labels(exemplar_labels, "exemplar_part"), exemplar),
        "truth": (None if truth is None else truth.visible[sample], target),
    }
    for name, (given, picture) in maps.items():
        if given is not None and given.shape != picture.shape[2:]:
            raise ValueError(
                f"got {name} of {size_in_words(given)}, expected those of their picture, {size_in_words(picture)}: resize them"
            )
    return Contents(
        title,
        _layers(several, warps, names),
        {"target": target[sample]},
        {"exemplar": exemplar[sample]},
        None if truth is None else right_answers(truth[this])[0],
        maps["target labels"][0],
        maps["exemplar labels"][0],
        tuple(label_names),
    )


def check_sample(sample: int, samples: int) -> None:
    if not 0 <= sample < samples:
        raise ValueError(f"got sample {sample}, expected 0 … {samples - 1}")


def right_answers(truth: Truth) -> Float[Tensor, "b s 2 h w"]:
    """All exemplar points that are equally right for a target pixel and can be seen there; the first is that of the flow."""
    flow = torch.where(truth.visible[:, None], truth.flow, torch.nan)[:, None]
    return flow if truth.match_set is None else torch.cat([flow, truth.match_set[:, 1:]], dim=1)


def kind_of(match: Correspondence) -> str:
    """dense, sparse, factored … as its record is called."""
    return type(match).__name__.removesuffix("Match").lower()


def _layers(matches: Sequence[Correspondence], warps: Sequence[Tensor], names: Sequence[str] | None) -> tuple[Layer, ...]:
    if names is None:
        names = [f"{number}: {match.query_size[0]}×{match.query_size[1]}" for number, match in enumerate(matches, 1)]
    if len(names) != len(matches):
        raise ValueError(f"got {len(names)} names for {len(matches)} layers, expected one for each")
    return tuple(Layer(*one) for one in zip(names, matches, warps, strict=True))


def cell_at(point: Sequence[float], picture: tuple[int, int], grid: tuple[int, int]) -> int:
    """The cell of `grid` (h, w) that holds a point (x, y) of a picture of size (h, w)."""
    return int(xy_to_index(torch.tensor(point, dtype=torch.float64) * _per_pixel(picture, grid), grid))


def point_of(cell: int, picture: tuple[int, int], grid: tuple[int, int]) -> tuple[float, float]:
    """The centre of a cell in pixels of the picture."""
    return tuple((index_to_xy(torch.tensor(cell), grid).double() / _per_pixel(picture, grid)).tolist())


def _per_pixel(picture: tuple[int, int], grid: tuple[int, int]) -> Tensor:
    """Cells for each pixel, along x and y."""
    return torch.tensor([grid[1] / picture[1], grid[0] / picture[0]], dtype=torch.float64)


def row_at(contents: Contents, layer: int, side: str, cell: int, off: Sequence[int] = ()) -> Row:
    """The row of a target cell, or of an exemplar cell the target cells that use it, as layer `layer` has it.

    off: regions of a factored match that are switched off. Raises ValueError for what is not there.
    """
    if not 0 <= layer < len(contents.layers):
        raise ValueError(f"got layer {layer}, expected 0 … {len(contents.layers) - 1}")
    if side not in SIDES:
        raise ValueError(f"got the side {side!r}, expected one of {', '.join(SIDES)}")
    height, width = contents.grid(layer, side)
    if not 0 <= cell < height * width:
        raise ValueError(f"got cell {cell}, expected 0 … {height * width - 1} in a grid of {height} × {width}")
    match = without_regions(contents.layers[layer].match, off)
    return (row_of if side == "target" else users_of)(match, cell, device_of(match))


def region_shares(contents: Contents, layer: int, side: str, cell: int, off: Sequence[int] = ()) -> list[float] | None:
    """The share of a row's mass that each region of a factored match gives it (all zero for an empty row); None for others."""
    match = without_regions(contents.layers[layer].match, off)
    if not isinstance(match, FactoredMatch):
        return None
    one, other = match.query_factor[0, cell], match.key_factor[0].sum(1)
    if side == "exemplar":
        one, other = match.key_factor[0, :, cell], match.query_factor[0].sum(0)
    parts = (one * match.gate[0] * other).detach().cpu().double()
    return (parts / parts.sum().clamp_min(torch.finfo(parts.dtype).tiny)).tolist()


def without_regions(match: Correspondence, off: Sequence[int]) -> Correspondence:
    """A factored match whose gates `off` are shut; any other match as it is."""
    if not isinstance(match, FactoredMatch) or not off:
        return match
    regions = match.gate.shape[1]
    if not set(off) <= set(range(regions)):
        raise ValueError(f"got the regions {sorted(off)} to switch off, expected some of 0 … {regions - 1}")
    shut = torch.zeros(regions, dtype=torch.bool, device=match.gate.device).scatter(
        0, torch.tensor(list(off), device=match.gate.device), True
    )
    return replace(match, gate=match.gate.masked_fill(shut, 0.0))
