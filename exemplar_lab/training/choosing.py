"""Which images are exemplars of which: by official lists, by similar labels, by a similar look, or none."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.data.canvas import Canvas
from exemplar_lab.data.collection import SPLITS, Collection, Item
from exemplar_lab.data.look_alikes import copies, look, nearest_looks, others, small, thumbnail
from exemplar_lab.data.pair_lists import held_out_words
from exemplar_lab.data.retrieval import label_histogram, nearest_by_histogram
from exemplar_lab.nn.features import features

WAYS = ("labels", "features", "lists", "none")

BATCH = 64
"""Images that go through the feature network together."""

_SAID = {"labels": "with similar labels", "features": "that look alike"}
_NEAREST = {"labels": nearest_by_histogram, "features": nearest_looks}


@dataclass(frozen=True)
class Plan:
    """named: take what lists name. search: how others are found for targets without: "labels", "features" or "none"."""

    named: bool
    search: str


@dataclass(frozen=True)
class Compared:
    """What stays of all images after they were read: 1.5 kB of each, and 3.5 kB more for features.

    of: the names, in the order of the rows. first: whose copy each image is, itself if of none. by: histograms or looks.
    """

    of: tuple[str, ...]
    first: Int[Tensor, " n"]
    by: Float[Tensor, "n d"] | None


def plan(collection: Collection, by: str | None) -> Plan:
    """How exemplars are found when `by` is asked for, one of WAYS; None: lists where there are any, then labels, then features.

    Lists of the same person leave the targets that they do not name with copies of themselves, as those are right answers too:
    the others in their split, and all in a split that no list names.
    Raises ValueError for another way, for labels of what has none and for lists where none are.
    """
    natural = "labels" if collection.structure == "labels" else "features"
    if by is None:
        named = any(collection.exemplars.values())
        left = sum(len(collection.items[split]) - len(collection.exemplars.get(split, {})) for split in _open(collection))
        return Plan(named, "none" if named and not left else natural)
    if by not in WAYS:
        raise ValueError(f"got the way {by!r}, expected one of {', '.join(WAYS)}: choose one of these")
    if by == "labels" and collection.labels is None:
        raise ValueError(
            f"got exemplars by labels for the {collection.structure} of {collection.folder}, which has no label maps; expected "
            "features, lists or none: choose one of these"
        )
    if by == "lists" and not any(collection.exemplars.values()):
        raise ValueError(
            f"got exemplars by lists for {collection.folder}, in which and beside which no list names any of its images; "
            "expected one such as NAME_ref.txt (image,exemplar in each line), or labels, features or none: add it, or choose"
        )
    return Plan(by == "lists", by if by in _SAID else "none")


def _open(collection: Collection) -> tuple[str, ...]:
    """The splits in which exemplars are found for targets that lists do not name."""
    shut = set(collection.paired)
    return tuple(split for split in SPLITS if split not in shut and (collection.exemplars.get(split) or not shut))


def compare(
    collection: Collection,
    read: Iterable[tuple[str, Item, Canvas]],
    search: str,
    progress: Callable[[Iterable], Iterable] = iter,
) -> tuple[dict[str, tuple[Item, ...]], Compared]:
    """The items that could be read, by split, and what is compared of them; one batch of images is held at a time.

    progress: wraps the search for copies, as tqdm does.
    """
    describe = _describer(collection, search)
    items: dict[str, list[Item]] = {split: [] for split in collection.items}
    names, thumbnails, described, waiting = [], [], [], []

    def look_at_waiting() -> None:
        images = torch.stack([image for image, _ in waiting])
        thumbnails.append(thumbnail(images).half())
        if describe is not None:
            described.append(describe(images, [labels for _, labels in waiting]))
        waiting.clear()

    for split, item, canvas in read:
        items[split].append(item)
        names.append(item.name)
        waiting.append((small(canvas.image.float() / 255), canvas.labels if search == "labels" else None))
        if len(waiting) == BATCH:
            look_at_waiting()
    if waiting:
        look_at_waiting()
    first = copies(torch.cat(thumbnails), progress) if thumbnails else torch.empty(0, dtype=torch.long)
    compared = Compared(tuple(names), first, torch.cat(described) if described else None)
    return {split: tuple(those) for split, those in items.items()}, compared


def _describer(collection: Collection, search: str) -> Callable[[Tensor, list[Tensor | None]], Tensor] | None:
    if search == "none":
        return None
    if search == "labels":
        classes = len(collection.labels.names)
        return lambda _, labels: torch.cat([label_histogram(one[None].long(), classes) for one in labels])
    network = features("lab")

    def described(images: Tensor, _: list[Tensor | None]) -> Tensor:
        with torch.inference_mode():
            return look(images, network).half()

    return described


def choose(
    collection: Collection,
    compared: Compared,
    chosen: Plan,
    count: int,
    progress: Callable[[Iterable], Iterable] = iter,
) -> Collection:
    """The collection with `count` exemplars of each target, or as many as there are, best first.

    Targets of both splits look among training images, of style transfer among the style images. An image and its copies are
    never exemplars of each other, and of several copies one can be an exemplar. Each style serves at least one training image,
    which then has more than `count`. progress: wraps the search, as tqdm does.
    """
    row = {name: at for at, name in enumerate(compared.of)}
    named, held = _still_there(collection, row) if chosen.named else ({}, {})
    found: dict[str, dict[str, tuple[str, ...]]] = {split: dict(named.get(split, {})) for split in SPLITS}
    searched = 0
    if chosen.search != "none":
        styles = collection.items.get("style", ()) if collection.structure == "photograph" else ()
        pool = _one_of_each([row[item.name] for item in styles or collection.items["train"]], compared.first)
        for split in _open(collection) if chosen.named else SPLITS:
            own = [row[item.name] for item in collection.items[split] if item.name not in found[split]]
            nearest = _search(compared, own, pool, chosen.search, count, progress)
            if styles and split == "train" and own:
                named_already = {row[name] for of in named.values() for names in of.values() for name in names}
                free = [at for at in pool if at not in named_already]
                nearest = _each_serves(compared, own, free, chosen.search, nearest)
            answers = {compared.of[at]: tuple(compared.of[o] for o in few) for at, few in zip(own, nearest, strict=True) if few}
            searched += len(answers)
            found[split] |= answers
    left = sum(len(collection.items[split]) - len(found[split]) for split in SPLITS)
    return replace(
        collection,
        exemplars={split: of for split, of in found.items() if of},
        paired=tuple(split for split in collection.paired if named.get(split)),
        how=_words(collection, named, chosen.search if searched else "none", left),
        remarks=(*collection.remarks, *held_out_words(held), *_copied(collection, compared, row)),
    )


def _still_there(
    collection: Collection, row: Mapping[str, int]
) -> tuple[dict[str, dict[str, tuple[str, ...]]], dict[str, str]]:
    """What lists name, without what could not be read; and held-out images, taken from images that train, by these."""
    held_out = {item.name for item in collection.items["val"]}
    kept: dict[str, dict[str, tuple[str, ...]]] = {}
    held: dict[str, str] = {}
    for split, of in collection.exemplars.items():
        away = held_out if split == "train" else set()
        held |= {name: target for target, names in of.items() for name in names if name in away and target in row}
        few = {target: tuple(name for name in names if name in row and name not in away) for target, names in of.items()}
        kept[split] = {target: names for target, names in few.items() if names and target in row}
    return kept, held


def _one_of_each(rows: list[int], first: Int[Tensor, " n"]) -> list[int]:
    pictures: dict[int, int] = {}
    for at in rows:
        pictures.setdefault(int(first[at]), at)
    return list(pictures.values())


def _search(
    compared: Compared,
    own: list[int],
    pool: list[int],
    search: str,
    count: int,
    progress: Callable[[Iterable], Iterable] = iter,
) -> list[tuple[int, ...]]:
    if not own or not pool:
        return [() for _ in own]
    nearest = _NEAREST[search](compared.by[own], compared.by[pool], min(count + 1, len(pool)), progress=progress)
    return others(nearest, own, pool, compared.first, count)


def _each_serves(
    compared: Compared, own: list[int], styles: list[int], search: str, nearest: list[tuple[int, ...]]
) -> list[tuple[int, ...]]:
    """Nearest neighbours have favourites: a style that is nobody's is given to the target nearest to it, as its last."""
    unused = sorted(set(styles) - {at for few in nearest for at in few})
    fuller = dict(zip(own, nearest, strict=True))
    for style, target in zip(unused, _search(compared, unused, own, search, 1), strict=True):
        for at in target:
            fuller[at] = (*fuller[at], style)
    return [fuller[at] for at in own]


def _words(collection: Collection, named: Mapping[str, Mapping], search: str, left: int) -> str:
    """left: how many targets have no exemplar."""
    where = "style images" if collection.items.get("style") else "training images"
    lists = (collection.how or "named by lists") if any(named.values()) else ""
    found = "" if search == "none" else f"{where} {_SAID[search]}"
    copied = "distorted copies of the targets" if left else ""
    return "; for the others, ".join(filter(None, (lists, found, copied)))


def _copied(collection: Collection, compared: Compared, row: Mapping[str, int]) -> tuple[str, ...]:
    """Remarks on pictures that are there more than once."""
    first = compared.first.tolist()
    train = {first[row[item.name]]: item.name for item in reversed(collection.items["train"])}
    known = [(item.name, train[first[row[item.name]]]) for item in collection.items["val"] if first[row[item.name]] in train]
    twice = [(compared.of[at], compared.of[of]) for at, of in enumerate(first) if at != of]
    said = []
    if twice:
        many = "1 image shows" if len(twice) == 1 else f"{len(twice)} images show"
        said.append(f"{many} the same picture as another, the first being {twice[0][0]} as {twice[0][1]}")
    if known:
        said.append(
            f"{len(known)} held-out image{'s are' if len(known) > 1 else ' is'} among those that train, the first being "
            f"{known[0][0]} as {known[0][1]}: take one of them away, or what is measured is too good"
        )
    return tuple(said)
