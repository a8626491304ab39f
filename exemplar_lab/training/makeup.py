"""Makeup transfer (Fig. 11, 21 of [CoCosNet]), measured: what was painted on one portrait is carried to another by a match."""

from collections.abc import Callable, Iterable, Iterator, Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from exemplar_lab.correspondence import Correspondence
from exemplar_lab.data.makeup import STROKES, Makeup, makeup_at, painted_over, premultiplied, straight
from exemplar_lab.data.synth.faces.coat import INDEX, PARTS
from exemplar_lab.data.synth.faces.source import Faces
from exemplar_lab.grid import cell_centres, sample_at
from exemplar_lab.metrics.appearance import l1
from exemplar_lab.metrics.cells import copy_match, oracle_match
from exemplar_lab.training.any_pair import points_of
from exemplar_lab.training.evaluation import Answer, PerImage, joined, last_match
from exemplar_lab.training.references import enlarged_warp, has_parts, knows_flow, reference_matches
from exemplar_lab.translation import Batch, Source, Truth

NUMBERS = ("iou", *(f"iou {name}" for name in STROKES), "l1", "spill")
MAKEUP_REFERENCES = ("oracle on the grid", "landmarks", "nearest label", "copy", "not painted")
PAINTABLE = ("skin", "nose", "lip_upper", "lip_lower", "mouth", "eye_right", "eye_left", "beard")
_LEAST = 6.0
"""Pixels that have to be painted in the target: with fewer, there is nothing to measure."""


def carried(
    match: Correspondence, layer: Float[Tensor, "b 4 h w"], size: tuple[int, int] | None = None, by_points: bool = False
) -> Float[Tensor, "b 4 hq wq"]:
    """A layer that was painted on the exemplar, carried to the target: red, green, blue, alpha.

    size: of the target in pixels, by default that of the layer. The layer is averaged onto the grid of the match and warped,
    colours weighed by alpha, and the answer is enlarged. by_points: each pixel of the target reads it instead, at its full
    resolution, at the point that its cell looks at (`any_pair.points_of`); sharper, and torn where neighbours look at different
    places.
    """
    size, seen = size or tuple(layer.shape[-2:]), tuple(layer.shape[-2:])
    layer = premultiplied(layer)
    if by_points:
        points = points_of(match, cell_centres(size), size, seen).to(layer).transpose(1, 2).unflatten(2, size)
        return straight(sample_at(layer, points) * points.isfinite().all(1, keepdim=True))
    return straight(enlarged_warp(match, layer, size).clamp(0, 1))


def by_landmarks(
    shape: tuple[int, int], target: Float[Tensor, "b p 2"], exemplar: Float[Tensor, "b p 2"]
) -> Float[Tensor, "b 2 h w"]:
    """The exemplar point of each target pixel as landmarks alone have it: moved as the nearest ones, by their inverse square
    distance; landmarks that are hidden in either (NaN) do not count."""
    step = (exemplar - target).nan_to_num()
    known = (exemplar - target).isfinite().all(2)
    at = cell_centres(shape).to(target)
    near = (torch.cdist(at.expand(len(target), -1, -1), target.nan_to_num()).square() + 0.5).reciprocal() * known[:, None]
    moved = at + (near @ step) / near.sum(2, keepdim=True).clamp_min(1e-9)
    return moved.movedim(1, 2).unflatten(2, shape)


def skin_of(part: Int[Tensor, "b h w"]) -> Bool[Tensor, "b h w"]:
    """Where a brush may paint a portrait of the procedural world."""
    return torch.isin(part, torch.tensor([INDEX[name] for name in PAINTABLE], device=part.device))


def exemplar_makeup(batch: Batch, numbers: Int[Tensor, " b"]) -> Makeup:
    """Painted at the landmarks of the exemplars."""
    size = tuple(batch.exemplar.shape[-2:])
    return makeup_at(batch.truth.exemplar_keypoints, size, numbers, skin_of(batch.truth.exemplar_part))


def true_makeup(batch: Batch, makeup: Makeup) -> Makeup:
    """The strokes where the true flow has them, and nowhere else: what is hidden in the exemplar was not painted."""
    return Makeup(makeup.colour, sample_at(makeup.cover, batch.truth.flow) * batch.truth.visible[:, None])


def makeup_pair(source: Source, numbers: Int[Tensor, " b"], others: bool = False) -> tuple[Batch, Makeup, Makeup]:
    """Pairs of faces, the makeup of the exemplars, and what it truly is on the targets.

    others: False, the same person in another pose, and the true flow moves the strokes. True, each target has the exemplar of
    the next sample, another person whom no flow relates: the truth is the same makeup at the target's own landmarks, and of
    the batch the parts and landmarks of both are known.
    """
    batch = source.batch(numbers)
    if not others:
        makeup = exemplar_makeup(batch, numbers)
        return batch, makeup, true_makeup(batch, makeup)
    lenders = (numbers + 1) % (source.length or int(numbers.max()) + 2)
    lender = source.batch(lenders)
    size = tuple(batch.target.shape[-2:])
    known = Truth(
        torch.full_like(batch.truth.flow, torch.nan),
        torch.zeros_like(batch.truth.visible),
        target_part=batch.truth.target_part,
        exemplar_part=lender.truth.exemplar_part,
        target_keypoints=batch.truth.target_keypoints,
        exemplar_keypoints=lender.truth.exemplar_keypoints,
    )
    looks = lender.exemplar, lender.exemplar_condition
    mixed = Batch(batch.condition, batch.target, *looks, torch.zeros_like(batch.paired), known)
    true = makeup_at(batch.truth.target_keypoints, size, lenders, skin_of(batch.truth.target_part))
    return mixed, exemplar_makeup(lender, lenders), true


def looked_at(match: Correspondence, part: Int[Tensor, "b h w"], area: Float[Tensor, "b h w"]) -> dict[str, float]:
    """{part of the exemplars: share of the weight that it gets from an area of the targets}, the largest first.

    part: of the exemplars, −1 is "background". area: how much each target pixel counts.
    """
    names = ("background", *PARTS)
    shares = F.one_hot(part + 1, len(names)).movedim(-1, 1).to(area)
    given = match.warp(F.interpolate(shares, match.key_size, mode="area"))
    total = (given * F.interpolate(area[:, None], match.query_size, mode="area")).sum((0, 2, 3))
    order = total.argsort(descending=True).tolist()
    return {names[one]: (total[one] / total.sum()).item() for one in order if total[one] > 0}


@torch.inference_mode()
def makeup_scores(
    answers: Mapping[str, Answer],
    numbers: Int[Tensor, " n"],
    others: bool = False,
    size: int = 64,
    tier: str = "medium",
    batch_size: int = 16,
    progress: Callable[[Iterable], Iterator] = iter,
) -> PerImage:
    """{row: {number: one value per pair}} over the validation pairs of faces.

    others: False, the same person in another pose, truth is the flow; True, another person, truth is the same makeup at that
    person's own landmarks, so that there is no row "oracle on the grid", and the row "landmarks" is favoured: it reads the very
    points that the truth is painted at.
    Rows: those of `answers`, each also "…, by points" (`carried`), and `MAKEUP_REFERENCES`.
    Numbers: "iou": the smaller alpha over the larger, each summed over the picture; also stroke by stroke. "l1": of the painted
    portraits, where makeup truly is. "spill": alpha where truly is none, over all true alpha. NaN: too little to be seen.
    """
    rows: dict[str, list[dict[str, Tensor]]] = {}
    for chosen in progress(numbers.split(batch_size)):
        asked, makeup, true = makeup_pair(Faces(size, "val", tier), chosen, others)
        for row, found in carried_makeup(answers, asked, makeup).items():
            rows.setdefault(row, []).append(_scores(found, true, asked.target))
    return joined(rows)


@torch.inference_mode()
def carried_makeup(answers: Mapping[str, Answer], batch: Batch, makeup: Makeup) -> dict[str, Makeup]:
    """{row: the makeup on the targets} of each answer, by its warp and by points, and of references; see `makeup_scores`."""
    size = tuple(batch.target.shape[-2:])
    matches = {name: last_match(answer(batch)) for name, answer in answers.items()}
    found = {name: _each(match, makeup, size, False) for name, match in matches.items()}
    found |= {f"{name}, by points": _each(match, makeup, size, True) for name, match in matches.items()}
    if knows_flow(batch):
        first = next(iter(matches.values()), copy_match(len(batch), size, size))
        found["oracle on the grid"] = _each(oracle_match(batch.truth, first.query_size, first.key_size), makeup, size, False)
    if has_parts(batch):
        points = by_landmarks(size, batch.truth.target_keypoints, batch.truth.exemplar_keypoints)
        found["landmarks"] = Makeup(makeup.colour, sample_at(makeup.cover, points))
        found["nearest label"] = _each(reference_matches(batch, size, size)["nearest label"], makeup, size, False)
    return found | {"copy": makeup, "not painted": Makeup(makeup.colour, torch.zeros_like(makeup.cover))}


def _each(match: Correspondence, makeup: Makeup, size: tuple[int, int], by_points: bool) -> Makeup:
    """Stroke by stroke; `carried` leaves their colours alone."""
    layers = [torch.cat([c[:, :, None, None].expand(-1, -1, *a.shape[1:]), a[:, None]], 1) for c, a in _strokes(makeup)]
    return Makeup(makeup.colour, torch.cat([carried(match, one, size, by_points)[:, 3:] for one in layers], dim=1))


def _strokes(makeup: Makeup) -> Iterator[tuple[Tensor, Tensor]]:
    return zip(makeup.colour.unbind(1), makeup.cover.unbind(1), strict=True)


def _scores(found: Makeup, true: Makeup, target: Float[Tensor, "b 3 h w"]) -> dict[str, Tensor]:
    def overlap(one: Tensor, other: Tensor) -> Tensor:
        smaller, larger = (f(one, other).flatten(1).sum(1) for f in (torch.minimum, torch.maximum))
        return torch.where(other.flatten(1).sum(1) >= _LEAST, smaller / larger, torch.nan)

    layers = found.layer(), true.layer()
    alpha, wanted = (one[:, 3] for one in layers)
    enough = wanted.flatten(1).sum(1) >= _LEAST
    spill = (alpha * (wanted == 0)).flatten(1).sum(1) / wanted.flatten(1).sum(1)
    painted = [painted_over(target, one) for one in layers]
    return {
        "iou": overlap(alpha, wanted),
        **{f"iou {name}": overlap(found.cover[:, n], true.cover[:, n]) for n, name in enumerate(STROKES)},
        "l1": torch.where(enough, l1(*painted, wanted > 0), torch.nan),
        "spill": torch.where(enough, spill, torch.nan),
    }
