"""A prepared folder of real images as a source of batches: an image, its structure, and an exemplar that was found for it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.data.canvas import Canvas, canvases
from exemplar_lab.data.collection import SPLITS, Collection, Item, prepared_file, read_collection
from exemplar_lab.data.distort import pseudo_exemplar
from exemplar_lab.data.images import SMALLEST, middle_square
from exemplar_lab.data.seeds import fold, sample_keys, uniform
from exemplar_lab.data.skipped import Skipped
from exemplar_lab.data.structures import View, view
from exemplar_lab.translation import Batch, Truth, concatenate

VERSION = 1
"""Raised whenever the same index gives another sample than before."""

CACHE = "cache"
"""Folder of decoded images beside prepared.json."""

FINER = 2
"""Shorter side of a decoded image, in sides of the images that are trained on: squares are cut from it."""

LARGEST = 1024
"""Of the sides of images that are trained on."""

_skipped: dict[Path, Skipped] = {}


def skipped_words() -> str:
    """What sources of this process could not read any more, a line for each folder; "" for nothing."""
    return "\n".join(filter(None, (one.words() for one in _skipped.values())))


@dataclass(frozen=True)
class PreparedPairs:
    """Images of a folder that `exemplar-lab prepare` went through, each with an exemplar; a `Source`.

    "train" has no end: a random image, one of its exemplars, and of each a random square with sides of `closest` … 1 shorter
    sides, mirrored for `flip` of them, each by itself. "val" shows every image once: the squares in the middle, and the best
    exemplar. What has no exemplars has a distorted copy of itself (`distort.pseudo_exemplar`), whose flow is exact; of others
    truth.flow is NaN, and what is known of either image alone stays: labels, key points. Of style transfer the condition is the
    photograph, and the exemplar's condition the style image itself.

    folder: of the images, or of prepared.json. copies: every exemplar is such a copy, whatever was found.
    digest, structure: of prepared.json; others than it has now are refused, "" takes any.
    first, void: what `signed` writes down of its labels, for whoever reads a label map later.
    An exemplar that can no longer be read gives way to the target's next, or to a copy, and a target to the next pair;
    `skipped` counts them.
    Raises FileNotFoundError for a folder that is not prepared; ValueError for settings that make no source, and in `batch` when
    most images can no longer be read.
    """

    folder: str | Path
    size: int = 64
    split: str = "train"
    digest: str = ""
    structure: str = ""
    closest: float = 0.75
    flip: float = 0.5
    copies: bool = False
    truth: bool = True
    first: int = 0
    void: int | None = None

    def __post_init__(self) -> None:
        if not SMALLEST <= self.size <= LARGEST:
            raise ValueError(f"got size {self.size}, expected {SMALLEST} … {LARGEST} pixels: choose another size")
        if self.split not in SPLITS:
            raise ValueError(f"got split {self.split!r}, expected one of {', '.join(SPLITS)}: choose one of these")
        if not 0 < self.closest <= 1 or not 0 <= self.flip <= 1:
            raise ValueError(f"got closest {self.closest} and flip {self.flip}, expected 0 < closest <= 1 and 0 <= flip <= 1")
        if self.digest not in ("", self._read[1]):
            raise ValueError(
                f"got {prepared_file(self.folder)} with the digest {self._read[1]}, expected {self.digest}: the folder was "
                "prepared anew, and pairs may be others; train again under another name (--out)"
            )
        if self.structure not in ("", self.collection.structure):
            raise ValueError(f"got {self.folder} prepared with {self.collection.structure}, expected {self.structure}")
        if not self.items:
            raise ValueError(f"got no images of the split {self.split} in {self.folder}, expected some: prepare it again")

    @cached_property
    def _read(self) -> tuple[Collection, str]:
        return read_collection(self.folder)

    @property
    def collection(self) -> Collection:
        return self._read[0]

    @cached_property
    def items(self) -> tuple[Item, ...]:
        """The targets of this split."""
        return self.collection.items.get(self.split, ())

    @cached_property
    def _named(self) -> dict[str, Item]:
        return self.collection.named()

    @property
    def skipped(self) -> Skipped:
        """What could be read when the folder was prepared, and no longer: of all sources of this folder together."""
        return _skipped.setdefault(prepared_file(self.folder).resolve(), Skipped(tried=len(self._named)))

    @property
    def condition_channels(self) -> int:
        return self.collection.channels

    @property
    def class_names(self) -> tuple[str, ...]:
        return () if self.collection.labels is None else self.collection.labels.names

    @property
    def length(self) -> int | None:
        return None if self.split == "train" else len(self.items)

    def signed(self) -> "PreparedPairs":
        """The same source, which says what its conditions show and refuses a folder that was prepared anew."""
        labels = self.collection.labels
        numbering = {} if labels is None else {"first": labels.first, "void": labels.void}
        return replace(self, digest=self._read[1], structure=self.collection.structure, **numbering)

    def pair_names(self, index: int) -> tuple[str, str | None]:
        """The names of the target and of the exemplar of a sample; None: a distorted copy of the target."""
        target, exemplar = self._pairs(torch.tensor([index]))[0]
        return target.name, None if exemplar is None else exemplar.name

    def batch(self, indices: Int[Tensor, " b"], device: torch.device | str = "cpu") -> Batch:
        """The samples `indices`: places depend on (VERSION, split, index), and images on what is in the folder."""
        if not len(indices):
            return self.batch(indices.new_zeros(1), device)[:0]
        keys = sample_keys(VERSION, self.split, indices.cpu())
        pairs = self._canvases(self._pairs(indices))
        copied = torch.tensor([exemplar is None for _, exemplar in pairs])
        targets = self._views([target for target, _ in pairs], fold(keys, "target square"))
        others = [exemplar for _, exemplar in pairs if exemplar is not None]
        exemplars = iter(self._views(others, fold(keys, "exemplar square")[~copied]))
        both = [(one, one if copy else next(exemplars)) for one, copy in zip(targets, copied.tolist(), strict=True)]
        batch = _batch(both, self.split in self.collection.paired).to(device)
        if copied.any():
            made = pseudo_exemplar(batch[copied], fold(keys, "copy")[copied].to(device))
            order = torch.cat([torch.where(~copied)[0], torch.where(copied)[0]]).argsort()
            batch = concatenate([batch[~copied], made])[order.to(device)]
        return batch if self.truth else replace(batch, truth=None)

    def _exemplars(self, target: Item) -> list[Item]:
        """What was found for a target, best first."""
        of = {} if self.copies else self.collection.exemplars.get(self.split, {})
        return [self._named[name] for name in of.get(target.name, ())]

    def _pairs(self, indices: Int[Tensor, " b"]) -> list[tuple[Item, Item | None]]:
        keys = sample_keys(VERSION, self.split, indices.cpu())
        drawn = uniform(keys, "image and exemplar", (2,)).tolist()
        pairs = []
        for index, (which, other) in zip(indices.tolist(), drawn, strict=True):
            training = self.split == "train"
            target = self.items[int(which * len(self.items)) if training else index % len(self.items)]
            found = self._exemplars(target)
            pairs.append((target, found[int(other * len(found)) if training else 0] if found else None))
        return pairs

    def _canvases(self, pairs: Sequence[tuple[Item, Item | None]]) -> list[tuple[Canvas, Canvas | None]]:
        wanted = list(dict.fromkeys(item for pair in pairs for item in pair if item is not None))
        try:
            of = dict(zip(wanted, self._decoded(wanted), strict=True))
        except (OSError, ValueError):
            return [self._first_whole(*pair) for pair in pairs]
        return [(of[target], None if exemplar is None else of[exemplar]) for target, exemplar in pairs]

    def _first_whole(self, target: Item, exemplar: Item | None) -> tuple[Canvas, Canvas | None]:
        """A pair as far as it can be read: another exemplar of the target, or none; failing the target, the next one's pair."""
        start = self.items.index(target)
        for other in (*self.items[start:], *self.items[:start]):
            if (seen := self._if_whole(other)) is None:
                continue
            chosen = [exemplar] if other is target and exemplar is not None else []
            found = map(self._if_whole, dict.fromkeys(chosen + self._exemplars(other)))
            return seen, next((one for one in found if one is not None), None)
        raise ValueError(
            f"got a split of {len(self.items)} images, none of which can be read, the first being {target.name} in "
            f"{self.folder}; expected whole images: prepare the folder again"
        )

    def _if_whole(self, item: Item) -> Canvas | None:
        try:
            return self._decoded([item])[0]
        except (OSError, ValueError) as problem:
            self.skipped.note(self.collection.folder / item.name, problem)
            self.skipped.check()
            return None

    def _decoded(self, items: Sequence[Item]) -> list[Canvas]:
        return canvases(self.collection, items, FINER * self.size, prepared_file(self.folder).parent / CACHE)

    def _views(self, found: Sequence[Canvas], keys: Int[Tensor, " n"]) -> list[View]:
        places, mirrored = uniform(keys, "square", (3,)).tolist(), uniform(keys, "flip").lt(self.flip).tolist()
        return [self._view(*one) for one in zip(found, places, mirrored, strict=True)]

    def _view(self, canvas: Canvas, place: list[float], mirrored: bool) -> View:
        height, width = canvas.image.shape[-2:]
        if self.split != "train":
            return view(self.collection, canvas, middle_square((height, width)), self.size)
        least = max(min(self.size, height, width), round(self.closest * min(height, width)))
        side = least + int(place[0] * (min(height, width) - least + 1))
        window = int(place[1] * (width - side + 1)), int(place[2] * (height - side + 1)), side
        return view(self.collection, canvas, window, self.size, mirrored)


def _batch(pairs: Sequence[tuple[View, View]], paired: bool) -> Batch:
    """Targets with other images as their exemplars."""
    (image, condition, part, keypoints), other = (
        [_stacked([getattr(pair[side], name) for pair in pairs]) for name in ("image", "condition", "part", "keypoints")]
        for side in (0, 1)
    )
    unknown = torch.full_like(image[:, :2], torch.nan)
    hidden = torch.zeros_like(image[:, 0], dtype=torch.bool)
    truth = Truth(
        unknown,
        hidden,
        hidden.to(image.dtype),
        target_albedo=image,
        exemplar_albedo=other[0],
        target_part=part,
        exemplar_part=other[2],
        target_keypoints=keypoints,
        exemplar_keypoints=other[3],
    )
    known = torch.full((len(image),), paired)
    return Batch(condition, image, other[0], other[1], known, truth)


def _stacked(values: list[Tensor | None]) -> Float[Tensor, "b ..."] | Int[Tensor, "b ..."] | None:
    return None if values[0] is None else torch.stack(values)
