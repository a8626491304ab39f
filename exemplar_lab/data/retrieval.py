"""Exemplars with similar labels: lists of pairs by label histogram, their files, and the source that reads them."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.data.whole import written_whole
from exemplar_lab.translation import Batch, Source, Truth

_OF_TARGET = ("target_albedo", "target_part", "target_uv", "target_keypoints", "target_style")

_BLOCK = 2**24
"""Numbers compared at once: 64 MB."""

_ROWS = 256
"""Queries compared at once at most, so that a bar moves."""


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
    query: Float[Tensor, "n c"],
    pool: Float[Tensor, "m c"],
    k: int,
    exclude_self: bool = False,
    progress: Callable[[Iterable], Iterable] = iter,
) -> Int[Tensor, "n {k}"]:
    """For each query the k rows of the pool whose histograms share most with it: Σ min(query, pool), best first, and of equally
    good ones the first. exclude_self: query i is row i of the pool and no answer to itself.

    Σ min(a, b) is (Σ a + Σ b − Σ |a − b|) / 2, in single precision. progress: wraps the loop over blocks of queries, as tqdm
    does. Memory is bounded by _BLOCK numbers and the pool. Raises ValueError when the pool has fewer than k answers.
    """
    answers = len(pool) - exclude_self
    if not 1 <= k <= answers:
        raise ValueError(f"got k = {k} of {answers} candidates, expected 1 … {answers}: ask for fewer or enlarge the pool")
    query, pool = query.float(), pool.float()
    area, place = pool.sum(1), torch.arange(len(pool), device=pool.device)
    rows = min(_ROWS, max(1, _BLOCK // (4 * len(pool))))
    found = []
    for start in progress(range(0, len(query), rows)):
        part = query[start : start + rows]
        shared = part.sum(1, keepdim=True) + area - torch.cdist(part, pool, p=1)
        # The bits of a float that is not negative, as a whole number, are ordered as the float is: the place can stand below.
        order = (shared.clamp_min(0).abs().view(torch.int32).long() << 32) - place
        if exclude_self:
            order[place[: len(part)], place[start : start + len(part)]] = torch.iinfo(order.dtype).min
        found.append(order.topk(k, dim=1).indices)
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
    lines = ",\n".join(json.dumps([int(target), int(exemplar)]) for target, exemplar in pairs)
    with written_whole(path) as beside:
        beside.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


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
        return unrelated(target, exemplar, paired=False)


def unrelated(target: Batch, exemplar: Batch, paired: bool) -> Batch:
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
