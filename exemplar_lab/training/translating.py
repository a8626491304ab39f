"""Files of one's own through a model: which checkpoint reads them, what it is given, and what has to be said about it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from exemplar_lab.data.edges import edge_condition
from exemplar_lab.data.images import read_image, square
from exemplar_lab.data.label_maps import label_shares
from exemplar_lab.data.pose import pose_maps, pose_rgb
from exemplar_lab.data.structure_files import (
    LABELS,
    PICTURE,
    POSE,
    kind_of_file,
    no_label_map,
    pose_of,
    readable_as,
    square_labels,
    square_pose,
)
from exemplar_lab.data.synth.scenes.materials import CLASSES, label_rgb
from exemplar_lab.models import MODELS
from exemplar_lab.ops.edges import soft_edges
from exemplar_lab.training.catalogue import Described, answer_of, checkpoint_folders, describe
from exemplar_lab.translation import Batch, Translation

KINDS = {
    "a pose": POSE,
    "labels of the world": LABELS,
    "labels of a folder": LABELS,
    "edges": PICTURE,
    "soft edges": PICTURE,
    "a photograph": PICTURE,
}
"""What a checkpoint reads -> the kind of file that it is made from."""

ASKED = tuple(MODELS)
"""Models that can be asked for by name, without a checkpoint."""

PCK = {"own pose": 0.803, "mean pose": 0.447, "target's pose": 0.408, "zeros": 0.152, "copy": 0.461, "cocosnet": 0.574}
"""PCK@0.1 over the 256 validation pairs of dynast-people-cpu (people, medium), by what stands in the place of the exemplar's
pose; and of the unwarped exemplar and of WITHOUT_POSE, which reads no pose of the exemplar, on the same pairs."""

WITHOUT_POSE = "cocosnet-people-cpu-occluded"
"""On those pairs cocosnet-people-cpu, trained without occluders, reaches 0.411: this one goes first where cocosnet is asked."""

MEAN_POSE = (
    *((0.507, 0.227), (0.503, 0.3), (0.438, 0.326), (0.37, 0.413), (0.314, 0.451), (0.569, 0.327), (0.636, 0.413)),
    *((0.699, 0.439), (0.467, 0.54), (0.445, 0.717), (0.431, 0.866), (0.536, 0.54), (0.56, 0.717), (0.569, 0.867)),
    *((0.486, 0.208), (0.527, 0.208), (0.45, 0.214), (0.548, 0.218)),
)
"""Key points of 128 exemplars of the procedural training people on average, as shares of the image side."""

_NEVER = {
    "People": "it was trained on figures of the procedural world and has never seen a photograph of a person",
    "Faces": "it was trained on faces of the procedural world and has never seen a photograph of a face",
    "Scenes": "it was trained on landscapes of the procedural world and has never seen a photograph",
    "Paintings": "it was trained on procedural scenes and their paintings and has never seen a photograph",
    "StylePairs": "it was trained on procedural scenes, a few photographs and procedural paint: it never saw a real painting",
    "Photographs": "it was trained on a few photographs, each with a distorted copy of itself: it has never seen two motifs",
}
"""What the shipped checkpoints are known to lack."""


@dataclass(frozen=True)
class Translated:
    """batch: one pair as the checkpoint was given it; its target is the structure as people look at it.

    kind: of the condition's file. chosen: why this checkpoint. notes: what was assumed, and what is weak, a sentence each.
    """

    translation: Translation
    batch: Batch
    checkpoint: Described
    kind: str
    chosen: str
    notes: tuple[str, ...]

    @property
    def mass(self) -> list[float]:
        """Of each layer, the mean over rows of what its weights sum to."""
        return [float(match.mass().mean()) for match in self.translation.matches]


def translate_files(
    condition: str | Path,
    exemplar: str | Path,
    model: str | Path = "dynast",
    exemplar_condition: str | Path | None = None,
    size: int | None = None,
) -> Translated:
    """The structure of one file, the look of another.

    condition: a pose, a label map or a picture. model: a checkpoint or a run folder, which says how the condition is read; or
    one of MODELS: then the shipped checkpoint that reads what it most likely is (`structure_files.kind_of_file`).
    exemplar_condition: the exemplar's own structure; by default
    the pose beside it, or what is drawn from it. size: of the image, for models of style transfer, which paint at any.

    Of everything the middle square is taken. Raises FileNotFoundError for files and checkpoints that are not there, ValueError
    for a model that does not read what was given.
    """
    kind, doubts = _kind(condition, model)
    checkpoint, chosen = choose_checkpoint(model, kind, Path(condition).name)
    size = _size(checkpoint, size)
    look = square(read_image(exemplar, 2 * size), size)
    maps, drawn, notes = _structure(condition, None, checkpoint, size)
    notes = doubts + notes
    own = torch.zeros_like(maps)
    if checkpoint.asks_exemplar:
        own, more = _own_structure(exemplar, exemplar_condition, checkpoint, size, maps)
        notes += more
    batch = Batch(maps[None], drawn[None], look[None], own[None], torch.zeros(1, dtype=torch.bool))
    if checkpoint.source in _NEVER:
        notes.append(f"{_NEVER[checkpoint.source]}; nothing was measured on pictures like yours")
    return Translated(answer_of(checkpoint)(batch), batch, checkpoint, kind, chosen, tuple(notes))


def _kind(condition: str | Path, model: str | Path) -> tuple[str, list[str]]:
    """What a condition is: what a named checkpoint reads, if the file can be that; else what it looks like, and what speaks for
    that where it could be another kind."""
    if str(model) not in MODELS:
        wanted = KINDS.get(describe(model).reads)
        if wanted is not None and readable_as(condition, wanted):
            return wanted, []
    reading = [one for one in map(describe, checkpoint_folders()) if KINDS.get(one.reads) == LABELS]
    own = [one for one in reading if one.model == str(model)]
    classes = max(one.channels for one in own or reading)
    kind, name = kind_of_file(condition, classes), Path(condition).name
    if own and kind == LABELS:
        return kind, [f"{name} is taken for a label map: mostly numbers of 0 … {classes - 1}, in large areas"]
    if own and kind == PICTURE and readable_as(condition, LABELS):
        why = no_label_map(condition, classes)
        return kind, [f"{name} is taken for a picture: {why}; if it is a label map, use --model {own[0].name}"]
    return kind, []


def choose_checkpoint(model: str | Path, kind: str, name: str = "the condition") -> tuple[Described, str]:
    """(checkpoint, why): the one that is named, or of a model the first shipped one that reads files of this kind.

    Raises FileNotFoundError for a checkpoint that is not there, ValueError for one that does not read this kind, naming those
    that do.
    """
    shipped = [describe(one) for one in checkpoint_folders()]
    able = [one for one in shipped if KINDS.get(one.reads) == kind]
    able.sort(key=lambda one: one.name != WITHOUT_POSE)
    if str(model) in MODELS:
        of_model = [one for one in able if one.model == str(model)]
        if of_model:
            others = [one.name for one in of_model[1:]]
            also = f" (so does {', '.join(others)})" if others else ""
            return of_model[0], f"{name} is {kind}; of the shipped {model} checkpoints this one reads {of_model[0].reads}{also}"
        raise ValueError(
            f"got {name}, which is {kind}, for {model}; expected one of {_listed(shipped, str(model))}: choose "
            f"{' or '.join(one.name for one in able)}, or give another file"
        )
    found = describe(model)
    if KINDS.get(found.reads) != kind:
        raise ValueError(
            f"got {name}, which is {kind}, for {found.name}, expected {found.reads}: choose "
            f"{' or '.join(one.name for one in able)}, or give another file"
        )
    return found, f"it was named, and reads {found.reads}"


def _listed(shipped: Sequence[Described], model: str) -> str:
    return ", ".join(f"{one.reads} ({one.name})" for one in shipped if one.model == model)


def _size(checkpoint: Described, size: int | None) -> int:
    if size in (None, checkpoint.size):
        return checkpoint.size
    if checkpoint.source != "StylePairs" or size % 64 or not 64 <= size <= 512:
        able = (
            "a multiple of 64 up to 512" if checkpoint.source == "StylePairs" else f"{checkpoint.size}, which it was trained at"
        )
        raise ValueError(f"got size {size} for {checkpoint.name}, expected {able}: leave it away, or choose dynast-style-cpu")
    return size


def _structure(
    path: str | Path, image: str | Path | None, checkpoint: Described, size: int
) -> tuple[Float[Tensor, "c s s"], Float[Tensor, "3 s s"], list[str]]:
    """The condition as the model reads it, as people look at it, and what had to be assumed."""
    if checkpoint.reads == "a pose":
        points, said = square_pose(path, size, image)
        maps = pose_maps(points[None], size)
        return maps[0], pose_rgb(maps)[0], [said] if said else []
    if KINDS[checkpoint.reads] == LABELS:
        labels = _classes(square_labels(path), checkpoint, path)
        maps = label_shares(labels, size, checkpoint.channels)
        said = []
        if checkpoint.reads == "labels of the world":
            known = ", ".join(f"{number} {CLASSES[number]}" for number in labels.unique().tolist() if number >= 0)
            said = [f"the numbers of {Path(path).name} are read as classes of the procedural world: {known}"]
        return maps, _label_picture(maps), said
    picture = square(read_image(path, 2 * size), size)
    if checkpoint.reads == "a photograph":
        return picture, picture, []
    maps = (edge_condition if checkpoint.reads == "edges" else soft_edges)(picture[None])[0]
    return maps, 1 - maps[:1].expand(3, -1, -1), []


def _own_structure(
    exemplar: str | Path, given: str | Path | None, checkpoint: Described, size: int, maps: Float[Tensor, "c s s"]
) -> tuple[Float[Tensor, "c s s"], list[str]]:
    """That of the exemplar."""
    kind = KINDS[checkpoint.reads]
    if given is not None and not readable_as(given, kind):
        found = kind_of_file(given, checkpoint.channels)
        raise ValueError(f"got {given}, which is {found}, as the exemplar's structure, expected {kind}, like the condition")
    if kind == PICTURE:
        return _structure(given or exemplar, None, checkpoint, size)[0], []
    if kind == LABELS:
        if given is None:
            raise ValueError(
                f"got no label map of {exemplar} for {checkpoint.name}, which reads one of each picture; expected "
                "--exemplar-condition FILE: or choose cocosnet-scenes-cpu, which does not ask for it"
            )
        return _structure(given, exemplar, checkpoint, size)[0], []
    path = given or pose_of(exemplar)
    if path is not None:
        found, _, said = _structure(path, exemplar, checkpoint, size)
        return found, [*said, *([] if given else [f"the exemplar's pose was found beside it: {Path(path).name}"])]
    return pose_maps(maps.new_tensor([MEAN_POSE]) * size, size)[0], [
        "WARNING: no pose of the exemplar is known, and a mean pose stands in its place. Measured for dynast-people-cpu on "
        f"made-up people: PCK@0.1 {PCK['own pose']:.2f} with the exemplar's own pose, {PCK['mean pose']:.2f} with the mean "
        f"pose (an unmoved copy has {PCK['copy']:.2f}), {PCK['zeros']:.2f} with an empty one. Give --exemplar-condition, or "
        f"use --model {WITHOUT_POSE}, which reads no pose of the exemplar ({PCK['cocosnet']:.2f})"
    ]


def _classes(labels: Tensor, checkpoint: Described, path: str | Path) -> Tensor:
    """Stored numbers as classes of the checkpoint, −1 where unknown."""
    first, void = _numbering(checkpoint)
    labels = torch.where(labels == (-2 if void is None else void), -1, labels)
    largest = int(labels.max())
    if largest - first >= checkpoint.channels or largest < first:
        names = f" ({', '.join(CLASSES)})" if checkpoint.reads == "labels of the world" else ""
        raise ValueError(
            f"got {path} with numbers up to {largest} for {checkpoint.name}, expected {first} … "
            f"{first + checkpoint.channels - 1}{names}, or 255 for unknown: renumber it, or train on your own maps "
            "(exemplar-lab prepare FOLDER --task labels)"
        )
    return (labels - first).clamp_min(-1)


def _numbering(checkpoint: Described) -> tuple[int, int | None]:
    """Which number is class 0, and which is unknown beside 255, as it was written down when training began."""
    source = json.loads((checkpoint.folder / "checkpoint.json").read_text(encoding="utf-8"))["recipe"]["source"]
    return source.get("first", 0), source.get("void")


def _label_picture(maps: Float[Tensor, "c s s"]) -> Float[Tensor, "3 s s"]:
    """Classes in the colours of the world, again from the start where there are more."""
    folded = maps.new_zeros(len(CLASSES), *maps.shape[1:])
    for number, one in enumerate(maps):
        folded[number % len(CLASSES)] += one
    return label_rgb(folded[None])[0].clamp(0, 1)
