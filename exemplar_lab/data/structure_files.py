"""A file of one's own that says where things belong: a pose, a label map, or a picture; and the square in its middle."""

from pathlib import Path

from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.data.drawn_pose import DARK
from exemplar_lab.data.images import SMALLEST, SUFFIXES, middle_square, opened, read_image, read_size
from exemplar_lab.data.label_maps import read_labels
from exemplar_lab.data.pose_files import TEXT, read_pose

POSE, LABELS, PICTURE = "a pose", "a label map", "a picture"

_POSES_BESIDE = ("{}_candidate.txt", "{}_keypoints.json", "{}_pose.png")
_POSES_IN_FOLDER = (*_POSES_BESIDE, "{}.json", "{}.png")
_FOLDERS = (("img", "pose"), ("images", "poses"), ("images", "pose"))
"""Folders of images, and of their poses beside them."""

_TEXTS = (".txt", ".json")

_WITHIN, _AREA, _FLAT = 0.9, 0.01, 0.9
"""Of a label map: share of the known pixels that are classes, share of all that makes a class count, and share that equal their
right neighbour."""
_MARGIN = 0.125
"""Room round a body whose image is not known, as a share of its longer side."""


def kind_of_file(path: str | Path, classes: int) -> str:
    """What a structure file most likely is: POSE (OpenPose's texts or JSON, or a skeleton on black), LABELS (a label map of so
    many classes, see `no_label_map`), or else PICTURE. Who knows better asks `readable_as`.

    Raises FileNotFoundError for a file that is not there, ValueError for one that is nothing of these, in one sentence.
    """
    path = Path(path)
    if path.suffix.lower() in _TEXTS:
        read_pose(path)
        return POSE
    labels = not no_label_map(path, classes)
    with opened(path) as file:
        palette = file.mode == "P"
    if labels and not palette:
        return LABELS
    # A skeleton in a palette has few numbers in large areas too.
    picture = read_image(path)
    if (picture.amax(0) < DARK).float().mean() > 0.5 and readable_as(path, POSE):
        return POSE
    return LABELS if labels else PICTURE


def readable_as(path: str | Path, kind: str) -> bool:
    """Whether a file can be read as POSE, as LABELS (one whole number for each pixel, kept as it was) or as PICTURE, which any
    image can, whole or not. Raises FileNotFoundError for a pose or labels that are not there.
    """
    if kind == PICTURE:
        return Path(path).suffix.lower() not in _TEXTS
    try:
        read_pose(path) if kind == POSE else read_labels(path)
    except ValueError:
        return False
    return True


def no_label_map(path: str | Path, classes: int) -> str:
    """Why an image is rather no label map of so many classes, "" where it is one: grey or palette, mostly of known numbers that
    are classes, several of them, in large areas.

    A drawing on white paper is mostly 255, which label maps have for unknown; one on black is nearly all of one class.
    Raises FileNotFoundError for a file that is not there.
    """
    if not readable_as(path, LABELS):
        return "it does not have one whole number for each pixel"
    with opened(path) as file:
        if file.mode == "1":
            return "it is in black and white"
    labels = read_labels(path)
    known, within = labels >= 0, (labels >= 0) & (labels < classes)
    share = float(within.float().mean())
    if share <= 0.5 or share < _WITHIN * float(known.float().mean()):
        return f"{share:.0%} of it are numbers of 0 … {classes - 1}, and {float(known.float().mean()):.0%} are not 255"
    areas = labels[within].bincount(minlength=classes) / labels.numel()
    if (areas >= _AREA).sum() < 2:
        return f"all but little of it is {int(areas.argmax())}"
    flat = float((labels[:, 1:] == labels[:, :-1]).float().mean())
    return "" if flat > _FLAT else f"of neighbours {1 - flat:.0%} differ"


def square_pose(path: str | Path, size: int, image: str | Path | None = None) -> tuple[Float[Tensor, "18 2"], str]:
    """The key points in the middle square of their image, in pixels of `size`; and what had to be assumed, "" for nothing.

    image: the one they were found in, if the file does not tell its size; by default the one with its name. Without an image
    the square is drawn round the body. Raises what `read_pose` does, ValueError too where no key point lies in the square.
    """
    points, known = read_pose(path)
    image = image_of(path) if image is None else image
    whole = known or (None if image is None else read_size(image))
    said = ""
    if whole is None:
        there = points[points.isfinite().all(-1)]
        low, high = there.amin(0), there.amax(0)
        side = float((high - low).max()) * (1 + 2 * _MARGIN)
        corner = (low + high) / 2 - side / 2
        said = f"{Path(path).name} does not say how large its image is, and no image lies beside it: a square round the body"
    else:
        left, top, side = middle_square(whole)
        corner = points.new_tensor([left, top])
    points = (points - corner) * (size / max(side, 1e-6))
    if not ((points > 0) & (points < size)).all(-1).any():
        raise ValueError(
            f"got {path} with no key point in the middle square of its image"
            + (f" of {whole[1]} × {whole[0]}" if whole else "")
            + "; expected the pose of that image: cut both alike, or find the pose again"
        )
    return points, said


def square_labels(path: str | Path) -> Int[Tensor, "s s"]:
    """The middle square of a label map, as it is stored; −1 where unknown."""
    labels = read_labels(path)
    left, top, side = middle_square(tuple(labels.shape))
    if side < SMALLEST:
        raise ValueError(f"got {path} of {labels.shape[1]} × {labels.shape[0]}, expected at least {SMALLEST} × {SMALLEST}")
    return labels[top : top + side, left : left + side]


def pose_of(image: str | Path) -> Path | None:
    """The pose beside an image: NAME_candidate.txt, NAME_keypoints.json or NAME_pose.png in its folder; or, in pose/ beside
    img/ (as DeepFashion comes), also NAME.json or NAME.png."""
    image = Path(image)
    places = [(image.parent, _POSES_BESIDE), (image.parent / "pose", _POSES_IN_FOLDER)]
    places += [(folder, _POSES_IN_FOLDER) for folder in _exchanged(image.parent)]
    found = (folder / name.format(image.stem) for folder, names in places for name in names)
    return next((path for path in found if path.is_file() and path != image), None)


def image_of(pose: str | Path) -> Path | None:
    """The image that `pose_of` would give this pose for."""
    pose = Path(pose)
    ends = (*TEXT, "_keypoints.json", "_pose.png", ".json")
    stem = next((pose.name.removesuffix(end) for end in ends if pose.name.endswith(end)), pose.stem)
    folders = [pose.parent, *([pose.parent.parent] if pose.parent.name == "pose" else []), *_exchanged(pose.parent, back=True)]
    found = (folder / f"{stem}{suffix}" for folder in folders for suffix in SUFFIXES)
    return next((path for path in found if path.is_file() and path != pose), None)


def _exchanged(folder: Path, back: bool = False) -> list[Path]:
    """The folders that hold the partners of what is in this one: img/a/b → pose/a/b."""
    found = []
    for images, poses in _FOLDERS:
        one, other = (poses, images) if back else (images, poses)
        parts = list(folder.parts)
        for at in (number for number, part in enumerate(parts) if part == one):
            found.append(Path(*parts[:at], other, *parts[at + 1 :]))
    return found
