"""The parts of a face, a mask each, joined to a label map as the authors of CelebAMask-HQ join them."""

from collections.abc import Sequence
from pathlib import Path

import numpy
import torch
from jaxtyping import Bool, Int16
from torch import Tensor

from exemplar_lab.data.images import opened
from exemplar_lab.data.label_maps import nearest_labels, read_labels


def joined_masks(files: Sequence[Path], names: Sequence[str], size: tuple[int, int]) -> Int16[Tensor, "h w"]:
    """A label map of `size` from files of any size: class 0 where there is nothing, later classes over earlier ones.

    A mask is white where its part is, and its file name ends in "_" and the name of its class. What ends in none is a label map
    that lies under the masks: all_parts_except_glasses, to which the mask of glasses belongs.
    Raises ValueError for a label beyond the classes, and for a file that cannot be read.
    """
    joined = torch.zeros(size, dtype=torch.int16)
    for number, path in sorted((_class_of(path, names), path) for path in files):
        if number >= 0:
            joined[nearest_labels(_read_mask(path), size)] = number
            continue
        labels = read_labels(path)
        if labels.max() >= len(names):
            raise ValueError(f"got label {int(labels.max())} in {path}, expected 0 … {len(names) - 1}: correct the label map")
        joined = nearest_labels(labels, size).short()
    return joined


def _class_of(path: Path, names: Sequence[str]) -> int:
    """−1 for a file that is named after no class."""
    found = [number for number, name in enumerate(names) if path.stem.lower().endswith(f"_{name}")]
    return max(found, key=lambda number: len(names[number]), default=-1)


def _read_mask(path: Path) -> Bool[Tensor, "h w"]:
    with opened(path) as file:
        return torch.from_numpy(numpy.asarray(file.convert("L")) > 127)
