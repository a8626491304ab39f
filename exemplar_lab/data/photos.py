"""Photographs as a source of batches: a crop, its edges as the condition, and a distorted copy of it as the exemplar."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.util import find_spec
from math import log2
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.data import edges
from exemplar_lab.data.distort import distortion_truth, exemplar_to_target, pixel_centres, random_distortion
from exemplar_lab.data.images import SMALLEST, check_same_size, find_images, read_image, read_size, square
from exemplar_lab.data.seeds import fold, sample_keys, uniform
from exemplar_lab.grid import sample_at
from exemplar_lab.translation import Batch

VERSION = 1
"""Raised whenever the same index gives another sample than before."""

BUILT_IN = {
    "train": (
        "astronaut.png",
        "rocket.jpg",
        "motorcycle_left.png",
        "motorcycle_right.png",
        "ihc.png",
        "camera.png",
        "coins.png",
    ),
    "val": ("chelsea.png", "coffee.png"),
}
"""Photographs in scikit-image's wheel; two are grey. Training never sees the cat and the cup. The retina and the deep field are
left out because they have almost no edges that a match could follow."""

SUPERSAMPLING = 2
"""Points read per pixel and direction: crops are photographs scaled down, and would shimmer without."""

MARGIN = 0.1
"""Photograph kept around the crop where there is enough, in crop sides, so that the exemplar seldom reaches beyond it."""


@dataclass(frozen=True)
class Photographs:
    """Squares of `size` pixels cut from photographs at a random place and scale; a `Source`.

    split: "train" or "val". Photographs are held out whole, so val shows what training never saw.
    folder: any folder of photographs, searched with the folders in it; None takes those that come with scikit-image. One
        photograph in ten is held out by its name alone; it changes sides only where one of them would be left empty.
    strength, flip: how far the exemplar is distorted, and how often it is mirrored (see `distort.random_distortion`).

    Raises FileNotFoundError when there are no photographs; ValueError for a photograph smaller than `size`, at once and not in
    the middle of training, and for one that cannot be read.
    """

    size: int = 64
    split: str = "train"
    folder: str | Path | None = None
    strength: float = 1.0
    flip: float = 0.5

    def __post_init__(self) -> None:
        if self.size < SMALLEST:
            raise ValueError(f"got size {self.size}, expected at least {SMALLEST} pixels: choose a larger size")
        if self.split not in BUILT_IN:
            raise ValueError(f"got split {self.split!r}, expected one of {', '.join(BUILT_IN)}: choose one of these")
        small = [path for path in self.paths if min(read_size(path)) < self.size]
        if small:
            height, width = read_size(small[0])
            raise ValueError(
                f"got {len(small)} of {len(self.paths)} photographs with a side below {self.size} pixels, the first being "
                f"{small[0]} of {width} × {height}; expected every side to be at least the size of the crop: choose a smaller "
                "size, or leave these photographs out"
            )

    @property
    def condition_channels(self) -> int:
        return edges.CHANNELS

    @property
    def length(self) -> int | None:
        return None if self.split == "train" else 256

    @cached_property
    def paths(self) -> tuple[Path, ...]:
        """The photographs of this split."""
        if self.folder is None:
            return _built_in(self.split)
        return split_by_name(find_images(self.folder), Path(self.folder), self.split)

    def batch(self, indices: Int[Tensor, " b"], device: torch.device | str = "cpu") -> Batch:
        """Sample i shows photograph i modulo their number; place, scale and distortion depend on (VERSION, split, i) alone."""
        keys = sample_keys(VERSION, self.split, indices.cpu())
        distortion = random_distortion(fold(keys, "distortion"), (self.size, self.size), self.strength, self.flip, device)
        fine = pixel_centres(distortion.size, SUPERSAMPLING, device)
        points = torch.stack([fine.expand(len(keys), -1, -1, -1), exemplar_to_target(distortion, fine)], dim=1)
        place = uniform(keys, "crop", (3,)).tolist()
        paths = [self.paths[i % len(self.paths)] for i in indices.tolist()]
        both = torch.cat([_read(path, self.size, *at, xy) for path, at, xy in zip(paths, place, points, strict=True)])
        target, exemplar = F.avg_pool2d(both, SUPERSAMPLING).unflatten(0, (-1, 2)).unbind(1)
        condition, exemplar_condition = edges.edge_condition(torch.cat([target, exemplar])).chunk(2)
        return Batch(
            condition=condition,
            target=target,
            exemplar=exemplar,
            exemplar_condition=exemplar_condition,
            paired=torch.ones(len(keys), dtype=torch.bool, device=device),
            truth=distortion_truth(distortion, target, exemplar),
        )


def pair_from_files(structure: str | Path, exemplar: str | Path, size: int = 64) -> Batch:
    """One pair of a user's own: the edges of one photograph, the look of another. Each is cropped to its middle and resized."""
    return pair(*(square(read_image(path, 2 * size), size)[None] for path in (structure, exemplar)))


def pair(structure: Float[Tensor, "b 3 h w"], exemplar: Float[Tensor, "b 3 he we"]) -> Batch:
    """A batch from images of one size: the edges of `structure` are the condition. The right correspondence is not known."""
    check_same_size(structure=structure, exemplar=exemplar)
    return Batch(
        condition=edges.edge_condition(structure),
        target=structure,
        exemplar=exemplar,
        exemplar_condition=edges.edge_condition(exemplar),
        paired=torch.zeros(len(structure), dtype=torch.bool, device=structure.device),
    )


def _read(
    path: Path, size: int, zoom: float, across: float, down: float, points: Float[Tensor, "n 2 h w"]
) -> Float[Tensor, "n 3 h w"]:
    """One photograph read at points of a crop (in its pixels), the crop being placed by three numbers in [0, 1)."""
    levels = _pyramid(path, 4 * size, str(points.device))
    height, width = levels[0].shape[-2:]
    least = max(size, 0.4 * min(height, width))
    most = max(size, min(height, width) / (1 + 2 * MARGIN))
    side = least * (most / least) ** zoom
    left, top = (_place(length, side, at) for length, at in ((width, across), (height, down)))
    xy = points * (side / size) + points.new_tensor([left, top])[:, None, None]
    level = min(int(log2(side / size)), len(levels) - 1)
    return sample_at(levels[level].expand(len(xy), -1, -1, -1), xy / 2**level)


def _place(length: int, side: float, at: float) -> float:
    """Where a crop of `side` begins on a `length`, with MARGIN on both ends where there is room for it."""
    margin = min(MARGIN * side, (length - side) / 2)
    return margin + at * (length - side - 2 * margin)


@lru_cache(maxsize=32)
def _pyramid(path: Path, shortest: int, device: str) -> tuple[Float[Tensor, "1 3 h w"], ...]:
    """A photograph and its halves, quarters … on the device. Thirty-two stay in memory, whatever the size of the folder."""
    levels = [read_image(path, shortest)[None].to(device)]
    while min(levels[-1].shape[-2:]) >= 2 * SMALLEST:
        levels.append(F.avg_pool2d(levels[-1], 2))
    return tuple(levels)


def split_by_name(paths: Sequence[Path], folder: Path, split: str) -> tuple[Path, ...]:
    """Those of `paths`, all in `folder`, that belong to "train" or "val": one in ten is held out by its name alone.

    A photograph changes sides only where one of them would be left empty. Raises ValueError for fewer than two.
    """
    if len(paths) < 2:
        raise ValueError(
            f"got one image in {folder}, expected at least two, so that one can be held out: add images or name another folder"
        )
    rank = {path: zlib.crc32(path.relative_to(folder).as_posix().encode()) for path in paths}
    in_order = sorted(paths, key=rank.__getitem__)
    held_out = {path for path in paths if rank[path] % 10 == 0}
    held_out = (held_out or {in_order[0]}) - ({in_order[-1]} if len(held_out) == len(paths) else set())
    return tuple(path for path in paths if (path in held_out) == (split == "val"))


def _built_in(split: str) -> tuple[Path, ...]:
    """Found without importing scikit-image, which would offer to download what is missing."""
    package = find_spec("skimage")
    if package is None or package.origin is None:
        raise FileNotFoundError(
            "got no scikit-image, expected the photographs in its wheel: install it, or name a folder of your own"
        )
    paths = tuple(Path(package.origin).parent / "data" / name for name in BUILT_IN[split])
    missing = [path.name for path in paths if not path.exists()]
    if missing:
        raise FileNotFoundError(
            f"got a scikit-image without {', '.join(missing)} in {paths[0].parent}; expected the photographs of its wheel: "
            "reinstall scikit-image, or name a folder of your own"
        )
    return paths
