"""Label maps beside photographs: which file belongs to which, the numbers in it, and how much of a pixel each label covers."""

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from exemplar_lab.data.images import find_images, opened

SPLITS = ("train", "val")

LAYOUTS = (("{}", "{}annot"), ("{}_img", "{}_label"))
"""Folders of photographs and of label maps for each split: as CamVid comes (train, trainannot), and as COCO-Stuff does."""

UNKNOWN = 255
"""The label that says, in COCO-Stuff as in most data sets, that nobody named this pixel."""

MOST = 1024
"""More classes than this are no classes: the numbers are those of instances, or colours packed into one number."""

CAMVID = (
    *("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist"),
    "unlabelled",
)
"""What labels 0 … 11 show in the CamVid of eleven classes, 480 × 360; the last of them is for void=11."""

_MODES = {"1", "L", "P", "I", "I;16", "I;16L", "I;16B", "I;16N"}
"""Pillow's names for one whole number per pixel; of a palette, the index."""


def find_pairs(folder: str | Path) -> dict[str, dict[Path, Path]]:
    """The photographs of each split that a folder has ("train", "val" or both), each with its label map.

    A label map has the place and the name of its photograph, but for the suffix, in the folder of label maps of that split.
    Raises FileNotFoundError for a folder that follows none of LAYOUTS, and for a photograph or a label map without the other.
    """
    folder = Path(folder)
    wanted = ", or ".join(f"{a.format('train')}/ with {b.format('train')}/" for a, b in LAYOUTS)
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise FileNotFoundError(f"got {folder}, which {what}; expected a folder with {wanted} in it: check the spelling")
    known = [{split: (folder / a.format(split), folder / b.format(split)) for split in SPLITS} for a, b in LAYOUTS]
    halves = [{split: two for split, two in layout.items() if any(one.is_dir() for one in two)} for layout in known]
    whole = [layout for layout in halves if any(all(one.is_dir() for one in two) for two in layout.values())]
    layout = next(iter(whole or filter(None, halves)), None)
    if layout is None:
        raise FileNotFoundError(
            f"got {folder}, which holds no known folders; expected {wanted}, and the same with val: rename the folders of "
            "photographs and of label maps, or name another folder"
        )
    for two in layout.values():
        for one, other in (two, two[::-1]):
            if not one.is_dir():
                raise FileNotFoundError(f"got {other} without {one}, expected both: add the folder that is missing")
    return {split: _partners(*two) for split, two in layout.items()}


def _partners(photographs: Path, labels: Path) -> dict[Path, Path]:
    images = {path.relative_to(photographs).with_suffix(""): path for path in find_images(photographs)}
    maps = {path.relative_to(labels).with_suffix(""): path for path in find_images(labels)}
    for own, other, kind, there in ((images, maps, "label map", labels), (maps, images, "photograph", photographs)):
        alone = sorted(own.keys() - other.keys())
        if alone:
            raise FileNotFoundError(
                f"got {len(alone)} of {len(own)} files without a {kind}, the first being {own[alone[0]]}; expected "
                f"{there / alone[0]} with the suffix of an image: add what is missing, or take these files out"
            )
    return {path: maps[name] for name, path in images.items()}


def read_labels(path: str | Path, void: int | None = None) -> Int[Tensor, "h w"]:
    """The numbers in a label map as they are stored, of a palette the indices; −1 where they say UNKNOWN or `void`.

    Raises FileNotFoundError when there is no such file; ValueError when it cannot be read, holds colours or was saved as JPEG.
    """
    with opened(path) as file:
        mode, kind, values = file.mode, file.format, numpy.asarray(file)
    if mode not in _MODES:
        raise ValueError(
            f"got {path} with pixels of type {mode}, expected one whole number per pixel (grey or palette): colours are not "
            "labels; replace each colour by its class and save as PNG"
        )
    if kind == "JPEG":
        raise ValueError(f"got {path}, a JPEG, which does not keep numbers as they were; expected a PNG: save the labels again")
    values = values.astype("int32")
    if values.size and values.min() < 0:
        raise ValueError(f"got label {values.min()} in {path}, expected 0 or more: use {UNKNOWN} for what is unknown")
    values[(values == UNKNOWN) | (values == (UNKNOWN if void is None else void))] = -1
    return torch.from_numpy(values)


def survey(paths: list[Path], void: int | None = None) -> list[tuple[int, int, int]]:
    """Height, width and largest label but `void` (−1: all unknown) of each label map.

    Read once while files stay the same, whatever `void` is asked about.
    """
    with ThreadPoolExecutor() as pool:  # decoding a PNG lets other threads run
        facts = list(pool.map(lambda path: _facts(path, path.stat().st_mtime_ns), paths))
    return [(height, width, second if largest == void else largest) for height, width, largest, second in facts]


@lru_cache(maxsize=2**18)
def _facts(path: Path, stamp: int) -> tuple[int, int, int, int]:
    """Height, width, and the two largest labels; −1 where there is none."""
    labels = read_labels(path)
    largest = int(labels.max())
    return *labels.shape, largest, int(labels.where(labels < largest, -1).max())


def read_names(folder: str | Path) -> tuple[str, ...] | None:
    """The names of classes 0, 1, … in classes.txt of a folder, one per line; None without such a file."""
    path = Path(folder) / "classes.txt"
    if not path.exists():
        return None
    try:
        names = tuple(line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as problem:
        raise ValueError(f"got {path}, which cannot be read ({problem}); expected UTF-8 text, one name per line") from problem
    if not names:
        raise ValueError(f"got {path} without a name in it, expected one name per line: write them, or remove the file")
    return names


def label_shares(labels: Int[Tensor, "h w"], size: int, classes: int) -> Float[Tensor, "{classes} {size} {size}"]:
    """How much of each pixel each class covers when a label map is seen at `size` × `size`: exact areas, −1 counts for none.

    One-hot where all labels in a pixel agree. Pixels of the map and of the picture are cut along each other's borders, and the
    pieces counted in whole numbers: no rounding, and the same in any order.
    """
    (top, left, tall), (across, along, wide) = (_pieces(length, size, labels.device) for length in labels.shape)
    piece = labels[top][:, across].long()
    piece = torch.where(piece < 0, classes, piece)
    index = piece * size**2 + left[:, None] * size + along
    area = (tall[:, None] * wide).float()
    total = area.new_zeros((classes + 1) * size**2).scatter_add_(0, index.flatten(), area.flatten())
    return total[: classes * size**2].view(classes, size, size) / (labels.shape[0] * labels.shape[1])


def nearest_labels(labels: Shaped[Tensor, "h w"], size: tuple[int, int]) -> Shaped[Tensor, "hn wn"]:
    """A label map at another size (h, w): of each new pixel the label at its centre."""
    down, across = ((2 * torch.arange(new) + 1) * old // (2 * new) for old, new in zip(labels.shape, size, strict=True))
    return labels[down[:, None].to(labels.device), across.to(labels.device)]


def _pieces(length: int, size: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """A side cut at the borders of its `length` old and `size` new pixels: old pixel, new pixel and length of each piece."""
    old, new = (torch.arange(count + 1, device=device) for count in (length, size))
    cuts = torch.cat([old * size, new * length]).unique()
    return cuts[:-1] // size, cuts[:-1] // length, cuts.diff()
