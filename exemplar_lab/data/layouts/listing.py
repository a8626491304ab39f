"""Which files a folder holds, found by one walk through it. No file is opened."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from exemplar_lab.data.collection import CONTACT, FILE, ROOM
from exemplar_lab.data.images import SUFFIXES

PASSED_OVER = {ROOM, "__MACOSX", "@eaDir", "Thumbs.db"}
"""What programs leave behind beside one's own files, hidden files apart."""


@dataclass(frozen=True)
class Listing:
    """All files in a folder and the folders in it but hidden ones, as sorted paths in it with "/" on every system."""

    folder: Path
    files: tuple[str, ...]
    remarks: tuple[str, ...] = ()

    @cached_property
    def images(self) -> tuple[str, ...]:
        return tuple(name for name in self.files if is_image(name))

    @cached_property
    def _within(self) -> dict[str, tuple[str, ...]]:
        """By folder directly in this one: the paths in it."""
        found: dict[str, list[str]] = {}
        for name in self.files:
            place, slash, rest = name.partition("/")
            if slash:
                found.setdefault(place, []).append(rest)
        return {place: tuple(rest) for place, rest in found.items()}

    @property
    def folders(self) -> tuple[str, ...]:
        """Those directly in the folder which hold any file."""
        return tuple(self._within)

    def called(self, name: str) -> str:
        """The folder in this one that has a name, "a/b" say, in whatever capitals; the name itself where there is none."""
        first, _, rest = name.partition("/")
        own = first if first in self._within else next((one for one in self.folders if one.lower() == first.lower()), first)
        return f"{own}/{self.inner(own).called(rest)}" if rest else own

    def inside(self, *places: str) -> tuple[str, ...]:
        """The images in any of the folders `places` and the folders in them."""
        starts = tuple(f"{place}/" for place in places)
        return tuple(name for name in self.images if name.startswith(starts))

    def inner(self, place: str) -> "Listing":
        """Of the folder `place` alone."""
        return Listing(self.folder / place, self._within.get(place, ()))


def list_files(folder: str | Path) -> Listing:
    """Every file in `folder`. Links are followed, but into no folder twice; what cannot be looked into is said in `remarks`.

    The contact sheet of an earlier preparation, which is beside its prepared.json, is none of the images.

    Raises FileNotFoundError for what is no folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise FileNotFoundError(f"got {folder}, which {what}; expected a folder of images: check the spelling")
    files, closed, lost, again = [], [], [], []
    waiting, seen = [""], set()
    while waiting:
        place = waiting.pop()
        try:
            facts = os.stat(folder / place)
            if (facts.st_dev, facts.st_ino) in seen:
                again.append(place)
                continue
            seen.add((facts.st_dev, facts.st_ino))
            with os.scandir(folder / place) as entries:
                found = sorted(entries, key=lambda entry: entry.name, reverse=True)
        except OSError as problem:
            closed.append((place, problem))
            continue
        sheets = {CONTACT} if any(entry.name == FILE for entry in found) else set()
        for entry in found:
            name = f"{place}{entry.name}"
            if entry.name.startswith(".") or entry.name in PASSED_OVER | sheets:
                continue
            kind = _kind(entry)
            if kind == "folder":
                waiting.append(f"{name}/")
            elif kind == "file" and _can_be_written(name):
                files.append(name)
            else:
                lost.append(name)
    remarks = [f"{folder / place} was left out: {problem.strerror}" for place, problem in closed]
    remarks += say(
        sorted(lost), "links or files were left out, which lead nowhere, are no files, or have names that are no text"
    )
    remarks += say(sorted(again), "links were left out, which lead into folders that are here already")
    return Listing(folder, tuple(sorted(files)), tuple(remarks))


def _kind(entry: os.DirEntry) -> str:
    """Of what a link leads to; nothing where that cannot be told, as of a link to itself."""
    try:
        return "folder" if entry.is_dir() else "file" if entry.is_file() else ""
    except OSError:
        return ""


def _can_be_written(name: str) -> bool:
    """Names on a disk may be any bytes; in a prepared.json they must be text."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def is_image(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in SUFFIXES


def stem(name: str) -> str:
    """A path without the suffix of its file."""
    return name[: len(name) - len(PurePosixPath(name).suffix)]


def keyed(names: Iterable[str], key: Callable[[str], str | None]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Names by their keys, and those that are left over: of several with one key the first is taken, a JPEG before others."""
    found: dict[str, str] = {}
    over = []
    for name in sorted(names, key=lambda name: not name.lower().endswith((".jpg", ".jpeg"))):
        own = key(name)
        if own is None or own in found:
            over.append(name)
        else:
            found[own] = name
    return dict(sorted(found.items())), tuple(sorted(over))


def say(names: Iterable[str], what: str, wanted: str = "") -> tuple[str, ...]:
    """A remark on names that are left out, or none: how many, what is wrong, which is the first, what was expected."""
    names = [name.encode("utf-8", "replace").decode() for name in names]
    if not names:
        return ()
    which = f"the first being {names[0]}" if len(names) > 1 else names[0]
    return (f"{len(names)} {what}, {which}" + (f": expected {wanted}" if wanted else ""),)
