"""Lists of names that come with the papers' data: which image is an exemplar of which, whatever system wrote them."""

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from exemplar_lab.data.collection import SPLITS, Collection

SAME = "_self_pair.txt"
"""The end of the name of a list which holds the images of one person per line."""

ENDINGS = ("_ref.txt", "_ref_test.txt", SAME)
"""Of the released lists, after the name of the data set."""

BESIDE = "pairs"
"""A folder in that of the images, or beside it, where lists are looked for too."""


def finder(names: Iterable[str]) -> Callable[[str], str | None]:
    """A function that says which image a name in a list means; None where there is none or more than one.

    Folders may be missing in front, or too many; back-slashes, capitals, another suffix or none make no difference, unless it
    needs them to tell two images apart.
    """
    known = {_plain(name): name for name in names}
    alike: dict[str, list[tuple[tuple[str, ...], str]]] = {}
    for name in known.values():
        parts = _parts(name)
        alike.setdefault(parts[-1], []).append((parts, name))

    def find(name: str) -> str | None:
        if _plain(name) in known:
            return known[_plain(name)]
        wanted = _parts(name)
        fit = [one for one in alike.get(wanted[-1], []) if _one_ends_in_the_other(one[0], wanted)]
        shared = max((min(len(one[0]), len(wanted)) for one in fit), default=0)
        fit = [one for one in fit if min(len(one[0]), len(wanted)) == shared]
        written = PurePosixPath(_plain(name)).parts
        same = [one for one in fit if PurePosixPath(one[1]).name.lower() == written[-1].lower()]
        to_the_letter = [one for one in same if _one_ends_in_the_other(PurePosixPath(_plain(one[1])).parts, written)]
        for few in (fit, same, to_the_letter):
            if len(few) == 1:
                return few[0][1]
        return None

    return find


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
    if path.name.endswith(SAME):
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
    """The collection with the exemplars that `lists` name, before those that it has. What they name in vain is in remarks.

    Images of one person make pairs whose target is the right answer, others do not. A split holds one kind, that which serves
    more targets, and of two that serve as many that which lists name. A held-out image is no exemplar of one that trains,
    whatever a list says. A list that cannot be read is a remark.
    """
    split_of = {item.name: split for split in SPLITS for item in collection.items.get(split, ())}
    find = finder(collection.named())
    kinds = [(split, same) for split in SPLITS for same in (True, False)]
    served: dict[tuple[str, bool], dict[str, tuple[str, ...]]] = {kind: {} for kind in kinds}
    sources: dict[tuple[str, bool], list[str]] = {kind: [] for kind in kinds}
    remarks = list(collection.remarks)
    held: dict[str, str] = {}
    for path in map(Path, lists):
        try:
            said = read_pair_list(path)
        except ValueError as problem:
            remarks.append(f"{path.name} was left out: {problem}")
            continue
        found = {name: find(name) for name in dict.fromkeys(one for key in said for one in (key, *said[key]))}
        lost = [name for name, own in found.items() if own is None]
        if lost:
            remarks.append(f"{len(lost)} of {len(found)} names in {path.name} are not among the images, the first is {lost[0]}")
        for name, others in said.items():
            target = found[name]
            if target not in split_of:
                continue
            kind = split_of[target], path.name.endswith(SAME)
            there = [found[one] for one in others if found[one] is not None]
            if kind[0] == "train":
                held |= {one: target for one in there if split_of.get(one) == "val" and one not in held}
                there = [one for one in there if split_of.get(one) != "val"]
            if joined := _joined(target, served[kind].get(target, ()), there):
                served[kind][target] = joined
                sources[kind] = list(dict.fromkeys([*sources[kind], path.name]))
    listed = {kind: len(of) for kind, of in served.items()}
    for split, named in collection.exemplars.items():
        kind = split, split in collection.paired
        if of_its_own := named.keys() - served[kind].keys():
            sources[kind].append(collection.how)
            served[kind] |= {name: named[name] for name in of_its_own}
    taken = {split: max((True, False), key=lambda same: (len(served[split, same]), listed[split, same])) for split in SPLITS}
    for split, same in taken.items():
        if served[split, not same]:
            remarks.append(
                f"{', '.join(sources[split, not same])}: would serve no more images of {split}, and cannot be mixed with "
                f"{sources[split, same][0]}"
            )
    exemplars = {
        split: {name: served[kind][name] for name, own in split_of.items() if own == split and name in served[kind]}
        for split, kind in ((split, (split, same)) for split, same in taken.items())
        if served[kind]
    }
    return replace(
        collection,
        exemplars=exemplars,
        paired=tuple(split for split in exemplars if taken[split]),
        how=", ".join(dict.fromkeys(source for split in exemplars for source in sources[split, taken[split]])),
        remarks=(*remarks, *held_out_words(held)),
    )


def held_out_words(held: Mapping[str, str]) -> tuple[str, ...]:
    """A remark on held-out images that are named as exemplars of images that train, or none. held: these by the former."""
    if not held:
        return ()
    name, target = next(iter(held.items()))
    many = "held-out image is" if len(held) == 1 else "held-out images are"
    return (f"{len(held)} {many} named as exemplars of images that train and left out there, the first is {name} for {target}",)


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
