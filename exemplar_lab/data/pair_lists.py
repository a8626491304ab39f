"""Lists of names that come with the papers' data: which image is an exemplar of which, whatever system wrote them."""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from exemplar_lab.data.collection import Collection

ENDINGS = ("_ref.txt", "_ref_test.txt", "_self_pair.txt")
"""Of the released lists, after the name of the data set. The last holds the images of one person per line."""

BESIDE = "pairs"
"""A folder in that of the images, or beside it, where lists are looked for too."""


class Finder:
    """Which image a name in a list means: `find(name)` is the image, or None where there is none or more than one.

    Folders may be missing in front, or too many; back-slashes, capitals, another suffix or none make no difference, unless it
    needs them to tell two images apart.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._known = {_plain(name): name for name in names}
        self._alike: dict[str, list[tuple[tuple[str, ...], str]]] = {}
        for name in self._known.values():
            parts = _parts(name)
            self._alike.setdefault(parts[-1], []).append((parts, name))

    def __call__(self, name: str) -> str | None:
        if _plain(name) in self._known:
            return self._known[_plain(name)]
        wanted = _parts(name)
        alike = [one for one in self._alike.get(wanted[-1], []) if _one_ends_in_the_other(one[0], wanted)]
        same = [one for one in alike if PurePosixPath(one[1]).name.lower() == PurePosixPath(_plain(name)).name.lower()]
        for few in (alike, same):
            if len(few) == 1:
                return few[0][1]
        return None


def read_lines(path: str | Path) -> tuple[str, ...]:
    """What the lines of a list say, in order and once each, without blank ones: UTF-8 or UTF-16, ends of lines of any system.

    Raises ValueError for what is no text.
    """
    try:
        content = Path(path).read_bytes()
        wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
        text = content.decode("utf-16" if wide else "utf-8-sig")
        if "\0" in text:
            raise ValueError("zero bytes")
    except (OSError, ValueError) as problem:
        raise ValueError(
            f"got {path}, which cannot be read as text ({problem}); expected UTF-8 with a name, or names and commas, in each "
            "line: save it as plain text, or take it away"
        ) from problem
    return tuple(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))


def read_pair_list(path: str | Path) -> dict[str, tuple[str, ...]]:
    """The exemplars of each image in a list, best first, with "/" in all names, otherwise as they are written.

    In *_ref.txt and *_ref_test.txt a line is an image and its exemplars, from the one most like it to the hardest. In
    *_self_pair.txt it is a group of images of one person: each has the others. A name without others has none; where an image
    begins several lines, their exemplars are joined.

    Released code: training draws from the first and the last exemplar of a line alone.

    Raises ValueError for what is no text, and for text without one pair in it.
    """
    path = Path(path)
    lines = [[_plain(name) for name in line.split(",") if name.strip()] for line in read_lines(path)]
    pairs: dict[str, tuple[str, ...]] = {}
    for names in filter(None, lines):
        pairs[names[0]] = _joined(names[0], pairs.get(names[0], ()), names[1:])
    if path.name.endswith("_self_pair.txt"):
        for names in lines:
            for name in names[1:]:
                pairs[name] = _joined(name, pairs.get(name, ()), names)
    if not any(pairs.values()):
        raise ValueError(
            f"got {path} without a pair in it, expected lines of an image, a comma and its exemplars: add them, or take it away"
        )
    return pairs


def find_pair_lists(folder: str | Path, *data_sets: str) -> tuple[Path, ...]:
    """All lists in `folder` and in BESIDE in it; of BESIDE beside it those of `data_sets`, "deepfashion" say."""
    folder = Path(folder).resolve()
    own = [path for place in (folder, folder / BESIDE) for path in _files(place) if path.name.endswith(ENDINGS)]
    official = {f"{name}{ending}" for name in data_sets for ending in ENDINGS}
    return (*own, *(path for path in _files(folder.parent / BESIDE) if path.name in official))


def exemplars_of(collection: Collection, lists: Sequence[str | Path]) -> Collection:
    """The collection with the exemplars that `lists` name. What they name and is not there is counted in remarks.

    Lists of one person's images make pairs whose target is the right answer, others do not, and a collection holds one kind:
    that which serves more targets. A list that cannot be read is a remark.
    """
    find = Finder(collection.named())
    kinds: dict[bool, dict[str, tuple[str, ...]]] = {True: {}, False: {}}
    sources: dict[bool, list[str]] = {True: [], False: []}
    remarks = []
    for path in map(Path, lists):
        try:
            said = read_pair_list(path)
        except ValueError as problem:
            remarks.append(f"{path.name} was left out: {problem}")
            continue
        same = path.name.endswith("_self_pair.txt")
        found = {name: find(name) for name in dict.fromkeys(one for key in said for one in (key, *said[key]))}
        lost = [name for name, own in found.items() if own is None]
        if lost:
            remarks.append(f"{len(lost)} of {len(found)} names in {path.name} are not among the images, as {lost[0]}")
        for name, others in said.items():
            target = found[name]
            there = [found[other] for other in others if found[other] is not None]
            if target is not None and there:
                kinds[same][target] = _joined(target, kinds[same].get(target, ()), there)
        sources[same].append(path.name)
    split_of = {item.name: split for split in ("train", "val") for item in collection.items.get(split, ())}
    served = {same: {name: all_ for name, all_ in pairs.items() if all_ and name in split_of} for same, pairs in kinds.items()}
    paired = len(served[True]) >= len(served[False])
    if not served[paired]:
        return replace(collection, remarks=(*collection.remarks, *remarks))
    if served[not paired]:
        remarks.append(f"{' and '.join(sources[not paired])} would serve fewer images, and cannot be mixed with other pairs")
    exemplars = {split: {n: o for n, o in served[paired].items() if split_of[n] == split} for split in ("train", "val")}
    return replace(
        collection,
        exemplars={split: named for split, named in exemplars.items() if named},
        paired=paired,
        how=f"named by {' and '.join(sources[paired])}",
        remarks=(*collection.remarks, *remarks),
    )


def _joined(name: str, known: Sequence[str], more: Sequence[str]) -> tuple[str, ...]:
    """Each once, in order, and never the image itself."""
    return tuple(other for other in dict.fromkeys((*known, *more)) if other != name)


def _plain(name: str) -> str:
    """A name with "/", without what means the folder itself, accents written in the one way."""
    return unicodedata.normalize("NFC", name.strip().replace("\\", "/")).removeprefix("./")


def _parts(name: str) -> tuple[str, ...]:
    """Folders and file, in small letters, the suffix of the file taken off."""
    path = PurePosixPath(_plain(name).lower())
    return (*path.parts[:-1], path.stem) if path.parts else ("",)


def _one_ends_in_the_other(one: Sequence[str], other: Sequence[str]) -> bool:
    shared = min(len(one), len(other))
    return one[-shared:] == other[-shared:]


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.txt") if path.is_file()) if folder.is_dir() else []
