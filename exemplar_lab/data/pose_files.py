"""Where the joints of a body are, from what OpenPose writes: its two text files, its JSON, or the skeleton it draws."""

import json
import re
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from exemplar_lab.data.drawn_pose import drawn_keypoints
from exemplar_lab.data.images import SUFFIXES, read_image
from exemplar_lab.data.pose import KEYPOINTS

FEWEST = 3
"""Joints that a pose must have."""
TEXT = ("_candidate.txt", "_subset.txt")

_FROM_25 = (*range(8), *range(9, 19))
"""Which joint of BODY_25 is each of the 18: its eighth is the middle of the hips, which the 18 do not have."""
_WANTED = (
    f"name{TEXT[0]} beside name{TEXT[1]}, OpenPose's JSON with pose_keypoints_2d of 18 or 25 joints, "
    "or a picture of a skeleton in OpenPose's colours on black"
)


def read_pose(*paths: str | Path) -> tuple[Float[Tensor, "18 2"], tuple[int, int] | None]:
    """The joints in the order of `pose.KEYPOINTS`, in pixels, NaN where not found; and the size (h, w) where the file tells it.

    paths: one file or both of OpenPose's text files; the other one is found beside the one. Of several people, the one with the
    most joints. Pixel i of a file has its middle at i + 0.5.

    Raises FileNotFoundError for a file that is not there, ValueError for one that holds no pose.
    """
    if not paths:
        raise ValueError(f"got no file, expected {_WANTED}")
    for path in map(Path, paths):
        if not path.is_file():
            raise FileNotFoundError(f"got {path}, which does not exist; expected {_WANTED}: check the spelling")
    first, size = Path(paths[0]), None
    suffix = first.suffix.lower()
    if len(paths) > 2 or (len(paths) == 2 and suffix != ".txt"):
        raise ValueError(f"got {', '.join(map(str, paths))}, expected one pose: {_WANTED}")
    try:
        if suffix == ".txt":
            people = _from_text(*text_files(*paths))
        elif suffix == ".json":
            people, size = _from_json(json.loads(first.read_text(encoding="utf-8-sig")))
        elif suffix in SUFFIXES:
            picture = read_image(first)
            people, size = [drawn_keypoints(picture)], (picture.shape[1], picture.shape[2])
        else:
            raise ValueError(f"its name ends in {suffix or 'nothing'}")
        many = [int(one.isfinite().all(-1).sum()) for one in people]
        if max(many, default=0) < FEWEST:
            raise ValueError(f"{max(many, default=0)} joints were found, at least {FEWEST} are needed")
    except FileNotFoundError:
        raise
    except (ValueError, OSError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as problem:
        raise ValueError(f"got {first}, which gives no pose ({problem}); expected {_WANTED}") from problem
    return people[many.index(max(many))], size


def text_files(*paths: str | Path) -> tuple[Path, Path]:
    """(candidate, subset), where one or both are given. Raises ValueError for other names, FileNotFoundError for a lone one."""
    given: dict[str, Path] = {}
    for path in map(Path, paths):
        kind = next((kind for kind in TEXT if path.name.endswith(kind)), None)
        if kind is None or kind in given:
            raise ValueError(f"the name {path.name} does not end in {' or '.join(TEXT)}" if kind is None else f"two {kind}")
        given[kind] = path
    known = next(iter(given))
    stem = given[known].name.removesuffix(known)
    found = [given.get(kind, given[known].with_name(stem + kind)) for kind in TEXT]
    for path in found:
        if not path.is_file():
            raise FileNotFoundError(
                f"got {given[known]} without {path.name}, expected both in one folder: the one holds all "
                "points, the other says which of them are joints of one person"
            )
    return found[0], found[1]


def _from_text(candidate: Path, subset: Path) -> list[Float[Tensor, "18 2"]]:
    """Rows x y score id, and for each person a row of 18 numbers of those rows, −1 where absent, before score and count."""
    points, people = _table(candidate, 2), _table(subset, len(KEYPOINTS))
    found = []
    for row in people[:, : len(KEYPOINTS)]:
        if (row != row.round()).any() or row.max(initial=-1) >= len(points) or row.min(initial=0) < -1:
            raise ValueError(f"{subset.name} names row {row.max():g} of {candidate.name}, which has {len(points)}")
        there = np.where(row[:, None] < 0, np.nan, points[row.astype(int).clip(0), :2] + 0.5)
        found.append(torch.from_numpy(there).float())
    return found


def _table(path: Path, columns: int) -> np.ndarray:
    """All numbers of a text file, a row each line."""
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    rows = [[float(number) for number in re.split(r"[\s,]+", line.strip())] for line in lines if line.strip()]
    widths = {len(row) for row in rows}
    if not rows:
        raise ValueError(f"{path.name} is empty: no person was found")
    if len(widths) > 1 or min(widths) < columns or not np.isfinite(rows).all():
        many = sorted(width for width, _ in groupby(sorted(widths)))
        raise ValueError(f"{path.name} has rows of {many} numbers, expected as many in each, at least {columns}, all finite")
    return np.array(rows)


def _from_json(said: Any) -> tuple[list[Float[Tensor, "18 2"]], tuple[int, int] | None]:
    """The people of a file, and the size of its canvas where it has one (as tools around OpenPose write)."""
    said = said[0] if isinstance(said, list) and len(said) == 1 else said
    if not isinstance(said, dict) or not isinstance(said.get("people"), list):
        raise ValueError("it has no list of people")
    size = None
    if "canvas_height" in said and "canvas_width" in said:
        size = (int(said["canvas_height"]), int(said["canvas_width"]))
    people = [_joints(one.get("pose_keypoints_2d", one.get("pose_keypoints")), size) for one in said["people"]]
    if not people:
        raise ValueError("its list of people is empty: no person was found")
    return people, size


def _joints(numbers: Any, size: tuple[int, int] | None) -> Float[Tensor, "18 2"]:
    """x, y, confidence of each joint; a confidence of 0 is an absent one."""
    if not isinstance(numbers, list) or len(numbers) not in (54, 75):
        got = f"{len(numbers)} numbers" if isinstance(numbers, list) else "no pose_keypoints_2d"
        raise ValueError(f"a person has {got}, 54 or 75 are needed")
    joints = torch.tensor(numbers, dtype=torch.float64).view(-1, 3)
    joints = joints[list(_FROM_25)] if len(joints) == 25 else joints
    points, there = joints[:, :2], joints[:, 2] > 0
    if there.any() and points[there].abs().max() <= 1:
        if size is None:
            raise ValueError("its points are shares of an unknown size: let OpenPose write pixels (--keypoint_scale 0)")
        points = points * torch.tensor([size[1], size[0]], dtype=torch.float64) - 0.5
    points = (points + 0.5).masked_fill(~there[:, None], torch.nan)
    return points.float()
