"""What a folder of real images holds: which images, what the structure of each is read from, and which exemplars belong to it.

Found by `layouts`, completed by `training.preparing`, kept in a file, read by `prepared.PreparedPairs`.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path

from exemplar_lab.data import edges, pose
from exemplar_lab.data.whole import written_whole

FORMAT = 1
FILE = "prepared.json"
CONTACT = "contact.png"
"""The contact sheet beside FILE."""
ROOM = "exemplar-lab"
"""The folder, in that of the images, which holds FILE, the contact sheet and the cache unless another place is named."""

SPLITS = ("train", "val")

_SIGNED = ("structure", "items", "labels", "exemplars", "paired")

STRUCTURES = {
    "edges": edges.CHANNELS,
    "soft edges": 1,
    "part edges": 15,
    "pose": pose.CHANNELS,
    "photograph": 3,
    "labels": None,
}
"""What a condition shows, and its channels; of labels there are as many as classes."""


@dataclass(frozen=True)
class Item:
    """One image. Names are paths in the folder of the collection, with "/" on every system.

    files: what its structure is read from: nothing (it is drawn from the image), a label map, OpenPose's candidate and subset,
    or the masks of the parts of a face.
    """

    name: str
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Labels:
    """What the numbers of label maps mean: `first` is class 0, and the numbers after it classes 1, 2, …

    255 and `void` are unknown, and so is what is smaller than `first`. masks: there is no map but a mask for each part of a
    face, whose file name ends in the name of its class.
    """

    names: tuple[str, ...]
    first: int = 0
    void: int | None = None
    masks: bool = False


@dataclass(frozen=True)
class Collection:
    """A folder of images in a known layout.

    structure: one of STRUCTURES. items: by split, "train" and "val"; "style" holds images that are exemplars alone.
    exemplars: by split, the names of a target's exemplars, best first; they may be of any split. Targets without any have
        distorted copies of themselves. paired: the splits whose exemplars show what the target shows (the same person, the
        same day), so that the target is the right answer. how: where the exemplars come from, in words.
    remarks: what is missing or was left out, a sentence each.
    """

    folder: Path
    layout: str
    structure: str
    items: Mapping[str, tuple[Item, ...]]
    labels: Labels | None = None
    exemplars: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    paired: tuple[str, ...] = ()
    how: str = ""
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.structure not in STRUCTURES:
            raise ValueError(f"got the structure {self.structure!r}, expected one of {', '.join(STRUCTURES)}")
        if (self.structure == "labels" or self.structure == "part edges") != (self.labels is not None):
            raise ValueError(f"got labels {self.labels} for {self.structure}, expected them for labels and part edges alone")

    @property
    def channels(self) -> int:
        """Of a condition."""
        return STRUCTURES[self.structure] or len(self.labels.names)

    def named(self) -> dict[str, Item]:
        """All images of all splits by their names."""
        return {item.name: item for items in self.items.values() for item in items}


def write_collection(collection: Collection, room: str | Path) -> Path:
    """`room`/prepared.json, whole or not at all. The folder of the images is kept relative to `room`, so that both can move."""
    room = Path(room)
    room.mkdir(parents=True, exist_ok=True)
    try:
        folder = Path(os.path.relpath(collection.folder.resolve(), room.resolve())).as_posix()
    except ValueError:  # another drive of Windows
        folder = collection.folder.resolve().as_posix()
    written = {"format": FORMAT} | asdict(collection) | {"folder": folder}
    with written_whole(room / FILE) as beside:
        beside.write_text(json.dumps(written, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return room / FILE


def prepared_file(folder: str | Path) -> Path | None:
    """prepared.json of a folder of images or of the room itself; None where there is none."""
    found = (Path(folder) / FILE, Path(folder) / ROOM / FILE)
    return next((path for path in found if path.is_file()), None)


def read_collection(folder: str | Path) -> tuple[Collection, str]:
    """What `write_collection` wrote, and its digest, which changes with the images, their structure and their exemplars.

    Raises FileNotFoundError for a folder that is not prepared, and when the images are no longer where they were; ValueError
    for a file that says anything else.
    """
    path = prepared_file(folder)
    if path is None:
        raise FileNotFoundError(
            f"got {folder} without {ROOM}/{FILE}, expected a folder that is prepared: exemplar-lab prepare {folder} --task …"
        )
    try:
        said = json.loads(path.read_bytes())
        if said.pop("format") != FORMAT:
            raise KeyError("format")
        digest = sha256(json.dumps([said[name] for name in _SIGNED], sort_keys=True).encode()).hexdigest()[:16]
        said["folder"] = (path.parent.resolve() / said["folder"]).resolve()
        said["items"] = {
            split: tuple(Item(one["name"], tuple(one["files"])) for one in items) for split, items in said["items"].items()
        }
        said["exemplars"] = {
            split: {name: tuple(others) for name, others in of.items()} for split, of in said["exemplars"].items()
        }
        said["paired"] = tuple(said["paired"])
        said["remarks"] = tuple(said["remarks"])
        labels = said["labels"]
        said["labels"] = None if labels is None else Labels(**labels | {"names": tuple(labels["names"])})
        found = Collection(**said)
        known = found.named().keys()
        if strangers := {name for of in found.exemplars.values() for few in of.values() for name in few} - known:
            raise ValueError(f"the exemplar {min(strangers)} is none of the images")
    except (OSError, KeyError, TypeError, AttributeError, ValueError, RecursionError) as problem:
        raise ValueError(
            f"got {path}, which cannot be read ({problem}); expected what this version of exemplar-lab prepare writes: "
            "prepare the folder again"
        ) from problem
    if not found.folder.is_dir():
        raise FileNotFoundError(
            f"got {path}, whose images were in {found.folder}, which does not exist; expected them to have moved together: "
            "move one of them, or prepare the images again"
        )
    return found, digest
