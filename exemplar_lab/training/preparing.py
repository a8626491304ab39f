"""A folder of one's own, made ready for training: all images read, the broken left out, exemplars found, all written down."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.data.canvas import Canvas, canvases
from exemplar_lab.data.collection import ROOM, SPLITS, Collection, write_collection
from exemplar_lab.data.distort import pseudo_exemplar
from exemplar_lab.data.images import SMALLEST, middle_square
from exemplar_lab.data.layouts.finding import GROUPS, find_collection
from exemplar_lab.data.layouts.splits import by_name
from exemplar_lab.data.pose import pose_rgb
from exemplar_lab.data.prepared import CACHE, FINER, LARGEST
from exemplar_lab.data.skipped import Skipped, readable
from exemplar_lab.data.structures import View, view
from exemplar_lab.data.whole import writable_folder
from exemplar_lab.training.choosing import choose, compare, plan
from exemplar_lab.translation import Batch

ROWS, COLUMNS = 6, 4
"""Targets of each split, and exemplars of each target, that are shown at most."""

Named = tuple[str | None, Float[Tensor, "3 h w"]]
"""An image and its name; None: a distorted copy of the target."""

Row = tuple[Named, Float[Tensor, "3 s s"] | Int[Tensor, "s s"], list[Named]]
"""A target, its structure as people look at it (colours, or the class of each pixel), and its exemplars."""


@dataclass(frozen=True)
class Prepared:
    """collection: as it stands in prepared.json of `room`. skipped: how many images were left out, "" for none.

    rows: pairs of each split for `viz.contact.prepared_sheet`.
    """

    collection: Collection
    room: Path
    skipped: str
    rows: dict[str, list[Row]]


def prepare_folder(
    folder: str | Path,
    task: str,
    room: str | Path | None = None,
    size: int = 64,
    soft: bool = False,
    count: int = 3,
    by: str | None = None,
    progress: Callable[[Iterable], Iterable] = iter,
    searching: Callable[[Iterable], Iterable] = iter,
) -> Prepared:
    """Look at a folder (see `layouts.finding.find_collection`) and `prepare` what is in it."""
    return prepare(find_collection(folder, task, soft=soft), room, size, count, by, progress, searching)


def prepare(
    collection: Collection,
    room: str | Path | None = None,
    size: int = 64,
    count: int = 3,
    by: str | None = None,
    progress: Callable[[Iterable], Iterable] = iter,
    searching: Callable[[Iterable], Iterable] = iter,
) -> Prepared:
    """Read every image once, leave out what is broken, find exemplars, and write prepared.json.

    room: where it is written, with a cache of decoded images; by default the folder ROOM in that of the images. size: of the
    images that will be trained on. count: exemplars of each target. by: one of `choosing.WAYS`, see `choosing.plan`.
    progress, searching: wrap the loops over images and, later, over blocks of what is compared, as tqdm does. Stopped at any
    moment, the next call takes from the cache what is there; prepared.json appears whole or not at all.

    Raises ValueError for settings that make no sense, when most images cannot be read or fewer than two are left, and OSError
    when nothing can be written to the room.
    """
    if not SMALLEST <= size <= LARGEST or count < 1:
        raise ValueError(
            f"got size {size} and {count} exemplars, expected a size of {SMALLEST} … {LARGEST} and 1 exemplar or more: "
            "change them"
        )
    chosen = plan(collection, by)
    room = writable_folder(Path(room) if room is not None else collection.folder / ROOM)
    skipped = Skipped()
    read = readable(collection, FINER * size, room / CACHE, skipped, progress)
    items, compared = compare(collection, read, chosen.search, searching)
    collection = choose(_both_splits(replace(collection, items=items)), compared, chosen, count, searching)
    if words := skipped.words():
        collection = replace(collection, remarks=(*collection.remarks, words))
    write_collection(collection, room)
    return Prepared(collection, room, words, {split: rows_of(collection, room, split, size) for split in SPLITS})


def _both_splits(collection: Collection) -> Collection:
    """With an image to train on and one to measure with, even where all of one split were broken."""
    left = [item for split in SPLITS for item in collection.items.get(split, ())]
    if len(left) < 2:
        raise ValueError(
            f"got {len(left)} image{'s' * (len(left) != 1)} that can be read in {collection.folder}, expected at least two, so "
            "that one can be held out: add images, or name another folder"
        )
    empty = [split for split in SPLITS if not collection.items.get(split)]
    if not empty:
        return collection
    told = by_name(collection.folder, [item.name for item in left], GROUPS.get(collection.layout))
    held = {split: tuple(item for item in left if told[item.name] == split) for split in SPLITS}
    remark = f"no image of the split {empty[0]} is left: one in ten of the others is held out by its name"
    return replace(collection, items=collection.items | held, exemplars={}, remarks=(*collection.remarks, remark))


def rows_of(collection: Collection, room: Path, split: str, size: int, most: int = ROWS) -> list[Row]:
    """Pairs of a split, from its first image to its last in equal steps: the squares in the middle, structure as it trains."""
    items = collection.items[split]
    shown = [items[at * (len(items) - 1) // max(min(most, len(items)) - 1, 1)] for at in range(min(most, len(items)))]
    named = collection.named()
    names = [collection.exemplars.get(split, {}).get(item.name, ())[:COLUMNS] for item in shown]
    wanted = dict.fromkeys([*shown, *(named[name] for few in names for name in few)])
    seen = dict(zip(wanted, canvases(collection, list(wanted), FINER * size, room / CACHE), strict=True))
    rows = []
    for number, (item, few) in enumerate(zip(shown, names, strict=True)):
        exemplars = [(name, _middle(collection, seen[named[name]], FINER * size).image) for name in few]
        target = _middle(collection, seen[item], FINER * size)
        rows.append(
            (
                (item.name, target.image),
                _drawn(collection, _middle(collection, seen[item], size)),
                exemplars or [(None, _copy(target.image, number))],
            )
        )
    return rows


def _middle(collection: Collection, canvas: Canvas, size: int) -> View:
    return view(collection, canvas, middle_square(tuple(canvas.image.shape[-2:])), size)


def _copy(image: Float[Tensor, "3 s s"], seed: int) -> Float[Tensor, "3 s s"]:
    batch = Batch(image[None], image[None], image[None], image[None], torch.ones(1, dtype=torch.bool))
    return pseudo_exemplar(batch, torch.tensor([seed])).exemplar[0]


def _drawn(collection: Collection, seen: View) -> Float[Tensor, "3 s s"] | Int[Tensor, "s s"]:
    """The structure as people look at it: lines in ink on paper, a coloured skeleton, the class of each pixel, the image."""
    if collection.structure == "labels":
        return seen.part
    if collection.structure == "photograph":
        return seen.image
    if collection.structure == "pose":
        return pose_rgb(seen.condition[None])[0]
    return 1 - seen.condition[:1].expand(3, -1, -1)


def found_words(collection: Collection) -> Sequence[str]:
    """What a folder holds, in two or three short lines."""
    counts = ", ".join(f"{len(items)} {split}" for split, items in collection.items.items() if items)
    lines = [f"{collection.layout}: {counts}", f"condition: {reads(collection)}"]
    if collection.how:
        lines.append(f"exemplars: {collection.how}")
    return lines


def reads(collection: Collection) -> str:
    """What a condition of the collection shows, in words."""
    if collection.structure == "labels":
        return f"labels of {collection.channels} classes"
    words = {"photograph": "photographs, to be painted in styles", "pose": "poses of 18 key points"}
    return words.get(collection.structure, collection.structure)
