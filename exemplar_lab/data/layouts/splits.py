"""Which images train and which are held out: by the lists that come with them, by their folders, or else by their names."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from exemplar_lab.data.collection import SPLITS, Item
from exemplar_lab.data.layouts.listing import say
from exemplar_lab.data.pair_lists import finder, read_lines
from exemplar_lab.data.photos import split_by_name

FOLDERS = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "eval", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""What folders of splits are called, in small letters. What is in "test" is held out where nothing is in "val"."""

LISTS = {"train": "train.txt", "val": "val.txt", "test": "test.txt"}


def split_items(
    folder: Path, items: Iterable[Item], group: Callable[[str], str] | None = None
) -> tuple[dict[str, tuple[Item, ...]], tuple[str, ...]]:
    """The items of "train" and of "val", and remarks.

    Lists in `folder` come first, then folders named as in FOLDERS; without either one in ten is held out by its name alone.
    group: of a name, what that must not tear apart: the person who is seen, say. Raises ValueError for a single item.
    """
    named = {item.name: item for item in items}
    told, remarks = _by_lists(folder, list(named))
    told = told or {name: _by_folder(name) for name in named}
    if "val" not in told.values():
        told = {name: "val" if split == "test" else split for name, split in told.items()}
    over = sorted(name for name, split in told.items() if split not in SPLITS)
    remarks += say(over, "images were left out, which belong neither to train nor to val")
    names = [name for name in named if told[name] in SPLITS]
    if len({told[name] for name in names}) < 2:
        if folder_says(told) or any((folder / title).is_file() for title in LISTS.values()):
            remarks += ("all images belong to one split: one in ten is held out by its name",)
        told = by_name(folder, names, group)
    return {split: tuple(named[name] for name in names if told[name] == split) for split in SPLITS}, remarks


def folder_says(told: dict[str, str]) -> bool:
    """Whether any name has a folder of a split."""
    return any(part in FOLDERS for name in told for part in name.lower().split("/")[:-1])


def _by_folder(name: str) -> str:
    """Of the first of its folders that is called like a split."""
    return next((FOLDERS[part] for part in name.lower().split("/")[:-1] if part in FOLDERS), "train")


def by_name(folder: Path, names: Sequence[str], group: Callable[[str], str] | None) -> dict[str, str]:
    """The split of every name: one in ten groups is held out, or one name in ten where there is one group alone."""
    groups = {name: group(name) if group else name for name in names}
    if len(set(groups.values())) < 2:
        groups = {name: name for name in names}
    paths = [folder / one for one in sorted(set(groups.values()))]
    held_out = set(split_by_name(paths, folder, "val"))
    return {name: "val" if folder / one in held_out else "train" for name, one in groups.items()}


def _by_lists(folder: Path, names: list[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """The split of every name, or nothing where no list says any; a split without a list has what is in no other."""
    told: dict[str, str] = {}
    remarks: tuple[str, ...] = ()
    find = finder(names)
    for split, title in LISTS.items():
        if not (folder / title).is_file():
            continue
        try:
            found = {name: find(name) for name in read_lines(folder / title)}
        except ValueError as problem:
            remarks += (f"{title} was left out: {problem}",)
            continue
        lost = [name for name, own in found.items() if own is None]
        remarks += say(lost, f"of {len(found)} names in {title} are not among the images")
        there = [own for own in found.values() if own is not None]
        twice = sorted(own for own in there if own in told)
        remarks += say(twice, f"images are in {title} and in another list, and belong to {split}")
        told |= dict.fromkeys(there, split)
    rest = next((split for split in SPLITS if split not in told.values()), "neither")
    return {name: told.get(name, rest) for name in names} if told else {}, remarks
