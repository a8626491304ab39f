"""What pairs a network is trained on: four schemes, each for any source.

- The same identity in another pose or view [DynaST]: what every source of the world gives by itself (`source.batch`).
- A pseudo exemplar, a geometric warp of the target [CoCosNet, MATEBIT]: `distort.pseudo_exemplar(batch, seeds)`.
- Two crops of one canvas, each the other's exemplar, and the whole canvas as its own [MSCA]: `disjoint_crops`, and
  `crops_with_global` for the second stage of its Appendix F.
- An exemplar retrieved by its labels [CoCosNet, MSCA]: `retrieval_list`, and the source `Retrieved`.
"""

import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from math import gcd
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.data.distort import pixel_centres
from exemplar_lab.data.seeds import choose, fold, uniform
from exemplar_lab.translation import Batch, Source, Truth

_OF_TARGET = ("target_albedo", "target_part", "target_uv", "target_keypoints", "target_style")


_BLOCK = 2**24
"""Numbers compared at once: 64 MB."""


@dataclass(frozen=True)
class Crops:
    """Pairs for Eq. 9–12 of [MSCA]: first reconstructs crop p from crop q, second q from p, whole the canvas from itself."""

    first: Batch
    second: Batch
    whole: Batch


def disjoint_crops(canvas: Batch, seeds: Int[Tensor, " b"], size: int, flip: float = 0.0) -> Crops:
    """Two crops of size × size from the target of each canvas that share no pixel: side by side, one above the other, or
    corner to corner, as far apart as chance has it ([MSCA], Appendix F, first 20 epochs).

    canvas: at least 2 · size wide and high; its exemplars are not looked at. flip: chance that a canvas is mirrored first.
    Between the crops there is no match: flow is NaN, nothing visible. The whole matches itself, pixel by pixel. Part, albedo,
    uv, key points and style are kept where the canvas knows them.
    """
    height, width = canvas.target.shape[-2:]
    if min(height, width) < 2 * size:
        raise ValueError(
            f"got a canvas of {width} × {height} for crops of {size}, expected at least {2 * size} × {2 * size}: "
            "two crops must fit beside each other; make a larger canvas, or use crops_with_global"
        )
    seeds = fold(seeds.to(canvas.target.device), "disjoint crops")
    apart = choose(seeds, "apart", (2, 2, 1))  # side by side, one above the other, both
    swap = uniform(seeds, "swap", (3,)) < 0.5
    corners = []
    for axis, (name, length, free) in enumerate((("x", width, 1), ("y", height, 0))):
        near = _whole_number(uniform(seeds, f"near {name}"), length - 2 * size + 1)
        far = near + size + _whole_number(uniform(seeds, f"far {name}"), length - 2 * size - near + 1)
        loose = [_whole_number(uniform(seeds, f"loose {name} {n}"), length - size + 1) for n in (0, 1)]
        ordered = torch.where(swap[:, axis], far, near), torch.where(swap[:, axis], near, far)
        corners.append([torch.where(apart == free, a, b) for a, b in zip(loose, ordered, strict=True)])
    (left_p, left_q), (top_p, top_q) = corners
    canvas = _mirrored(canvas, uniform(seeds, "flip") < flip)
    p, q = ((left_p, top_p), (left_q, top_q))
    return Crops(
        _pair(canvas, p, q, size, size, related=False),
        _pair(canvas, q, p, size, size, related=False),
        _self(canvas, size),
    )


def crops_with_global(canvas: Batch, seeds: Int[Tensor, " b"], patch: int, size: int, flip: float = 0.5) -> Crops:
    """Two crops of patch × patch from anywhere in each canvas, resized to `size`, and the whole canvas resized to it ([MSCA],
    Appendix F, last 20 epochs: patches of 384 from canvases of 512, resized to 256).

    Crops may overlap. What they share matches exactly: flow is that shift, visible where it ends inside the other crop.
    """
    height, width = canvas.target.shape[-2:]
    if not size <= patch <= min(height, width):
        raise ValueError(
            f"got patches of {patch} for pictures of {size} from a canvas of {width} × {height}, expected size ≤ patch ≤ side "
            "of the canvas: choose a patch between them"
        )
    seeds = fold(seeds.to(canvas.target.device), "crops")
    corners = [
        tuple(
            _whole_number(uniform(seeds, f"{name} {n}"), length - patch + 1) for name, length in (("x", width), ("y", height))
        )
        for n in (0, 1)
    ]
    canvas = _mirrored(canvas, uniform(seeds, "flip") < flip)
    p, q = corners
    return Crops(
        _pair(canvas, p, q, patch, size, related=True), _pair(canvas, q, p, patch, size, related=True), _self(canvas, size)
    )


def label_histogram(label: Int[Tensor, "b h w"], classes: int) -> Float[Tensor, "b {classes}"]:
    """The share of each picture that each class covers; labels of −1 count for none.

    Raises ValueError for a label that is neither −1 nor a class.
    """
    if label.numel() and (label.min() < -1 or label.max() >= classes):
        raise ValueError(f"got labels {int(label.min())} … {int(label.max())}, expected −1 … {classes - 1}: count all classes")
    flat = label.flatten(1) + 1
    count = torch.zeros(len(flat), classes + 1, device=label.device)
    return count.scatter_add_(1, flat.long(), torch.ones_like(flat, dtype=count.dtype))[:, 1:] / max(flat.shape[1], 1)


def nearest_by_histogram(
    query: Float[Tensor, "n c"], pool: Float[Tensor, "m c"], k: int, exclude_self: bool = False
) -> Int[Tensor, "n {k}"]:
    """For each query the k rows of the pool whose histograms share most with it: Σ min(query, pool), best first, and of equally
    good ones the first. exclude_self: query i is row i of the pool and no answer to itself.

    Memory is bounded by _BLOCK numbers and the pool. Raises ValueError when the pool has fewer than k answers.
    """
    answers = len(pool) - exclude_self
    if not 1 <= k <= answers:
        raise ValueError(f"got k = {k} of {answers} candidates, expected 1 … {answers}: ask for fewer or enlarge the pool")
    rows = max(1, _BLOCK // max(pool.numel(), 1))
    columns = max(1, _BLOCK // (rows * max(pool.shape[1], 1)))
    found = []
    for start in range(0, len(query), rows):
        part = query[start : start + rows, None]
        shared = torch.cat([torch.minimum(part, block).sum(-1) for block in pool.split(columns)], dim=1)
        if exclude_self:
            own = torch.arange(start, start + len(part), device=pool.device)
            shared[torch.arange(len(part), device=pool.device), own] = -torch.inf
        found.append(shared.sort(dim=1, descending=True, stable=True).indices[:, :k])
    return torch.cat(found) if found else torch.empty(0, k, dtype=torch.long, device=pool.device)


def retrieval_list(
    source: Source,
    indices: Int[Tensor, " n"],
    pool_indices: Int[Tensor, " m"],
    k: int,
    progress: Callable[[Iterable], Iterable] = iter,
) -> tuple[tuple[int, int], ...]:
    """Pairs (target, exemplar) of sample numbers of a source: for each of `indices` the k of `pool_indices` whose targets have
    the most similar labels (truth.target_part), best first. A sample is never its own exemplar.

    progress: wraps the loop over blocks of 64 samples, as tqdm does. Raises ValueError when the source knows no parts.
    """
    every, place = torch.unique(torch.cat([indices, pool_indices]).cpu(), return_inverse=True)
    histograms = []
    for block in progress(every.split(64)):
        truth = source.batch(block).truth
        if truth is None or truth.target_part is None:
            raise ValueError("got a source without truth.target_part, expected one that knows its labels: switch its truth on")
        histograms.append(label_histogram(truth.target_part, int(truth.target_part.max()) + 1))
    classes = max(histogram.shape[1] for histogram in histograms)
    table = torch.cat([F.pad(histogram, (0, classes - histogram.shape[1])) for histogram in histograms])
    # The query itself may be in the pool: ask for one more, and leave it out.
    pool = pool_indices.tolist()
    more = min(k + int(bool(set(indices.tolist()) & set(pool))), len(pool))
    nearest = nearest_by_histogram(table[place[: len(indices)]], table[place[len(indices) :]], more)
    pairs = []
    for index, row in zip(indices.tolist(), nearest.tolist(), strict=True):
        others = [pool[at] for at in row if pool[at] != index][:k]
        if len(others) < k:
            raise ValueError(f"got a pool of {len(pool)} for k = {k}, expected k others than sample {index}: enlarge the pool")
        pairs += [(index, other) for other in others]
    return tuple(pairs)


def write_pairs(path: str | Path, pairs: Sequence[tuple[int, int]]) -> None:
    """Pairs of sample numbers as JSON, one pair a line. The file appears whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    lines = ",\n".join(json.dumps([int(target), int(exemplar)]) for target, exemplar in pairs)
    try:
        beside.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def read_pairs(path: str | Path) -> tuple[tuple[int, int], ...]:
    """What `write_pairs` wrote. Raises FileNotFoundError when there is no file, ValueError when it holds anything else."""
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"got {path}, which does not exist; expected a list of pairs: write one with write_pairs")
    try:
        pairs = tuple((target, exemplar) for target, exemplar in json.loads(path.read_text(encoding="utf-8")))
        whole = all(type(number) is int and number >= 0 for pair in pairs for number in pair)
    except (ValueError, TypeError) as problem:
        raise ValueError(f"got {path}, which cannot be read ({problem}); expected [[target, exemplar], …]") from problem
    if not whole:
        raise ValueError(f"got {path} with something else than whole numbers, expected [[target, exemplar], …], each 0 or more")
    return pairs


@dataclass(frozen=True)
class Retrieved:
    """A source of retrieved pairs: sample i shows the targets of samples pairs[i] of another source, the second as the exemplar
    of the first.

    They are no pair of one identity: paired is False, and of the truth only what belongs to either image alone is kept; flow is
    NaN. Raises ValueError for an empty list.
    """

    source: Source
    pairs: tuple[tuple[int, int], ...]

    def __post_init__(self):
        if not self.pairs:
            raise ValueError("got no pairs, expected at least one: make them with retrieval_list")

    @property
    def size(self) -> int:
        return self.source.size

    @property
    def condition_channels(self) -> int:
        return self.source.condition_channels

    @property
    def length(self) -> int | None:
        return len(self.pairs)

    def batch(self, indices: Int[Tensor, " b"], device: torch.device | str = "cpu") -> Batch:
        """The pairs `indices`, on `device`. Raises ValueError for an index that is not in the list."""
        wanted = indices.tolist()
        if wanted and not 0 <= min(wanted) <= max(wanted) < len(self.pairs):
            raise ValueError(f"got indices {min(wanted)} … {max(wanted)}, expected 0 … {len(self.pairs) - 1}")
        numbers = torch.tensor([self.pairs[i] for i in wanted], dtype=torch.long).reshape(-1, 2)
        target, exemplar = (self.source.batch(column, device) for column in numbers.unbind(1))
        return _joined(target, exemplar, paired=False)


def _whole_number(unit: Float[Tensor, " b"], count: Tensor | int) -> Int[Tensor, " b"]:
    """0 … count − 1, from a number in [0, 1)."""
    return (unit * count).long()


def _joined(target: Batch, exemplar: Batch, paired: bool) -> Batch:
    """The target of one batch with the target of another as its exemplar; of the truth what belongs to either alone."""
    truth = None
    if target.truth is not None and exemplar.truth is not None:
        blank = torch.full_like(target.target[:, :2], torch.nan)
        own = {name: getattr(target.truth, name) for name in _OF_TARGET}
        other = {name.replace("target", "exemplar"): getattr(exemplar.truth, name) for name in _OF_TARGET}
        visible = torch.zeros_like(blank[:, 0], dtype=torch.bool)
        truth = Truth(blank, visible, visible.to(blank.dtype), **own, **other)
    return Batch(
        target.condition,
        target.target,
        exemplar.target,
        exemplar.condition,
        torch.full_like(target.paired, paired),
        truth,
    )


def _pair(
    canvas: Batch, at: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor], patch: int, size: int, related: bool
) -> Batch:
    """The crop at (left, top) of a canvas with another crop of it as its exemplar, both resized from `patch` to `size`."""
    pair = _joined(_crop(canvas, *at, patch, size), _crop(canvas, *other, patch, size), paired=True)
    if not related:
        return pair
    shift = torch.stack([at[0] - other[0], at[1] - other[1]], dim=1).float() * (size / patch)
    flow = pixel_centres((size, size), device=shift.device) + shift[..., None, None]
    inside = ((flow >= 0) & (flow <= size)).all(1)
    known = pair.truth or Truth(flow, inside)
    return replace(pair, truth=replace(known, flow=flow, visible=inside, count=inside.to(flow.dtype)))


def _self(canvas: Batch, size: int) -> Batch:
    """The whole canvas as target and exemplar: every pixel matches itself."""
    height, width = canvas.target.shape[-2:]
    if height != width:
        raise ValueError(f"got a canvas of {width} × {height}, expected a square one: crop it first")
    zero = torch.zeros(len(canvas), dtype=torch.long, device=canvas.target.device)
    return _pair(canvas, (zero, zero), (zero, zero), width, size, related=True)


def _crop(canvas: Batch, left: Tensor, top: Tensor, patch: int, size: int) -> Batch:
    """The target side of a canvas within a window; images are averaged when they shrink, parts and uv read at pixel centres."""
    rows, columns = (start[:, None] + torch.arange(patch, device=start.device) for start in (top, left))

    def cut(value: Tensor) -> Tensor:
        maps = value.flatten(1, -3) if value.dim() > 3 else value[:, None]
        index = (rows[:, :, None] * value.shape[-1] + columns[:, None, :]).flatten(1)[:, None].expand(-1, maps.shape[1], -1)
        return maps.flatten(2).gather(2, index).unflatten(2, (patch, patch)).reshape(*value.shape[:-2], patch, patch)

    def averaged(value: Tensor) -> Tensor:
        # Area averages, exactly: 384 → 256 doubles every pixel and takes the means of 3 × 3.
        common = gcd(patch, size)
        doubled = cut(value).repeat_interleave(size // common, -1).repeat_interleave(size // common, -2)
        return F.avg_pool2d(doubled, patch // common)

    nearest = ((torch.arange(size, device=left.device) + 0.5) * patch / size).long()

    def picked(value: Tensor) -> Tensor:
        return cut(value)[..., nearest[:, None], nearest]

    truth = canvas.truth
    if truth is not None:
        corner = torch.stack([left, top], dim=1)[:, None]
        changed = {
            "target_albedo": averaged,
            "target_part": picked,
            "target_uv": picked,
            "target_keypoints": lambda points: (points - corner) * (size / patch),
            "target_style": lambda style: style,
        }
        known = {name: change(getattr(truth, name)) for name, change in changed.items() if getattr(truth, name) is not None}
        truth = Truth(picked(truth.flow), picked(truth.visible), **known)
    condition = averaged(canvas.condition)
    target = averaged(canvas.target)
    return Batch(condition, target, target, condition, canvas.paired, truth)


def _mirrored(canvas: Batch, which: Tensor) -> Batch:
    """Some of the canvases, left to right; the target side only."""
    if not which.any():
        return canvas
    width = canvas.target.shape[-1]

    def turned(value: Tensor | None) -> Tensor | None:
        if value is None:
            return None
        return torch.where(which.reshape(-1, *[1] * (value.dim() - 1)), value.flip(-1), value)

    truth = canvas.truth
    if truth is not None:
        changed = {name: turned(getattr(truth, name)) for name in ("target_albedo", "target_part", "target_uv")}
        if truth.target_keypoints is not None:
            x, y = truth.target_keypoints.unbind(-1)
            changed["target_keypoints"] = torch.stack([torch.where(which[:, None], width - x, x), y], dim=-1)
        truth = replace(truth, **changed)
    return replace(canvas, condition=turned(canvas.condition), target=turned(canvas.target), truth=truth)
