"""Photographs with label maps as a source of batches: a square of one, its labels as the condition, another as the exemplar."""

from dataclasses import dataclass
from functools import cached_property, partial
from math import ceil
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from exemplar_lab.data.distort import pixel_centres
from exemplar_lab.data.images import SMALLEST, read_image, read_size, resize
from exemplar_lab.data.label_maps import MOST, SPLITS, find_pairs, label_shares, nearest_labels, read_labels, read_names, survey
from exemplar_lab.data.memory import remembered
from exemplar_lab.data.photos import split_by_name
from exemplar_lab.data.seeds import sample_keys, uniform
from exemplar_lab.translation import Batch, Truth

VERSION = 1
"""Raised whenever the same index gives another sample than before."""


@dataclass(frozen=True)
class LabelledPhotographs:
    """Squares of `size` pixels cut from photographs with label maps at a random place and scale; a `Source`.

    condition: one channel per class, the share of each pixel that the class covers; all 0 where the label is unknown.
    exemplar: another square of the same photograph. What both show matches exactly; the rest of the target has its counterpart
        outside the exemplar. truth.target_part, exemplar_part: the label at the centre of each pixel, −1 where unknown.

    folder: laid out as CamVid (train, trainannot, val, valannot) or as COCO-Stuff (train_img, train_label, val_img, val_label);
        see `label_maps.find_pairs`. Where only one split is there, one photograph in ten is held out by its name alone.
    classes: their number; None asks classes.txt, if the folder has one, or takes the largest label of all splits, and 1.
    void: a label that means unknown, besides 255: 11 in CamVid.
    closest: the smallest square, in shorter sides of its photograph; the largest is 1.
    flip: how often the exemplar is mirrored.
    truth: False leaves Batch.truth None, for training that needs none.

    All label maps are read once, here, so that none is found to be broken in the middle of training.
    Raises FileNotFoundError when photographs or label maps are missing; ValueError for settings that make no source, for a
    photograph that is smaller than `size` or not as large as its label map, and for a label beyond the classes.
    """

    size: int = 64
    split: str = "train"
    folder: str | Path | None = None
    classes: int | None = None
    void: int | None = None
    closest: float = 0.4
    flip: float = 0.5
    truth: bool = True

    def __post_init__(self) -> None:
        if self.size < SMALLEST:
            raise ValueError(f"got size {self.size}, expected at least {SMALLEST} pixels: choose a larger size")
        if self.split not in SPLITS:
            raise ValueError(f"got split {self.split!r}, expected one of {', '.join(SPLITS)}: choose one of these")
        if self.folder is None:
            raise ValueError("got no folder, expected one of photographs and label maps: none comes with the package, name one")
        if not 0 < self.closest <= 1 or not 0 <= self.flip <= 1:
            raise ValueError(f"got closest {self.closest} and flip {self.flip}, expected 0 < closest <= 1 and 0 <= flip <= 1")
        _check_sizes(self.pairs, self.size, self.void)
        channels = self.condition_channels
        names = read_names(self.folder)
        if names is not None and len(names) < channels:
            raise ValueError(
                f"got {len(names)} names in {Path(self.folder) / 'classes.txt'} for {channels} classes, expected a name for "
                "each: add names, or give the number of classes"
            )
        paths = list(self.pairs.values())
        largest, path = max((facts[2], path) for facts, path in zip(survey(paths, self.void), paths, strict=True))
        if largest >= channels:
            raise ValueError(
                f"got label {largest} in {path}, expected 0 … {channels - 1}, or 255 for unknown: give more classes, or "
                f"void={largest} if this number means unknown"
            )

    @cached_property
    def pairs(self) -> dict[Path, Path]:
        """The photographs of this split, each with its label map."""
        found = find_pairs(self.folder)
        if len(found) > 1:
            return found[self.split]
        (both,) = found.values()
        return {path: both[path] for path in split_by_name(list(both), Path(self.folder), self.split)}

    @cached_property
    def condition_channels(self) -> int:
        """The number of classes."""
        names = read_names(self.folder)
        if self.classes is not None:
            found = self.classes
        elif names is not None:
            found = len(names) - (self.void == len(names) - 1)
        else:
            paths = [path for split in find_pairs(self.folder).values() for path in split.values()]
            found = 1 + max(facts[2] for facts in survey(paths, self.void))
        if not 1 <= found <= MOST:
            raise ValueError(
                f"got {found} classes in {self.folder}, expected 1 … {MOST}: label maps must name classes and not "
                "number objects; give classes, or void where a large number means unknown, or name another folder"
            )
        return found

    @property
    def class_names(self) -> tuple[str, ...]:
        """From classes.txt, one name per line in the order of the labels; without it the numbers themselves."""
        names = read_names(self.folder) or map(str, range(self.condition_channels))
        return tuple(names)[: self.condition_channels]

    @property
    def length(self) -> int | None:
        return None if self.split == "train" else 256

    def batch(self, indices: Int[Tensor, " b"], device: torch.device | str = "cpu") -> Batch:
        """Sample i shows photograph i modulo their number; places and scales depend on (VERSION, split, i) alone."""
        keys = sample_keys(VERSION, self.split, indices.cpu())
        place, mirrored = uniform(keys, "squares", (2, 3)).tolist(), uniform(keys, "flip") < self.flip
        pairs, classes, size = list(self.pairs.items()), self.condition_channels, self.size
        image = torch.empty(2, len(keys), 3, size, size, device=device)
        condition = torch.empty(2, len(keys), classes, size, size, device=device)
        part = torch.empty(2, len(keys), size, size, dtype=torch.long, device=device)
        window = torch.empty(2, len(keys), 3)
        for i, index in enumerate(indices.tolist()):
            key = *pairs[index % len(pairs)], 4 * size, self.void, str(device)
            colours, labels = remembered(key, partial(_decoded, *key))
            for j in (0, 1):  # the target, the exemplar
                left, top, side = _square(labels.shape, max(float(size), self.closest * min(labels.shape)), *place[i][j])
                rows, columns = slice(top, top + side), slice(left, left + side)
                seen, named = colours[:, rows, columns], labels[rows, columns]
                if j and mirrored[i]:
                    seen, named = seen.flip(-1), named.flip(-1)
                image[j, i] = resize(seen.float() / 255, (size, size))
                condition[j, i] = label_shares(named, size, classes)
                if self.truth:
                    part[j, i] = nearest_labels(named, (size, size))
                    window[j, i] = torch.tensor([left, top, side])
        return Batch(
            condition=condition[0],
            target=image[0],
            exemplar=image[1],
            exemplar_condition=condition[1],
            paired=torch.ones(len(keys), dtype=torch.bool, device=device),
            truth=_truth(window.to(device), mirrored.to(device), image, part) if self.truth else None,
        )


def _truth(
    window: Float[Tensor, "2 b 3"],
    mirrored: Bool[Tensor, " b"],
    image: Float[Tensor, "2 b 3 s s"],
    part: Int[Tensor, "2 b s s"],
) -> Truth:
    """What two squares (left, top, side) of one photograph have to do with each other, the second mirrored or not."""
    size = image.shape[-1]
    (corner, other), (side, others) = window[..., :2], window[..., 2]
    scale = (side / others)[:, None, None, None]
    shift = (corner - other) * size / others[:, None]
    flow = pixel_centres((size, size), device=image.device) * scale + shift[..., None, None]
    x, y = flow.unbind(1)
    flow = torch.stack([torch.where(mirrored[:, None, None], size - x, x), y], dim=1)
    visible = ((flow >= 0) & (flow <= size)).all(1)
    return Truth(
        flow,
        visible,
        visible * scale[:, 0].square(),
        target_albedo=image[0],
        exemplar_albedo=image[1],
        target_part=part[0],
        exemplar_part=part[1],
    )


def _square(shape: tuple[int, int], least: float, zoom: float, across: float, down: float) -> tuple[int, int, int]:
    """Left, top and side of a square in whole pixels, by three numbers in [0, 1); the side is at least `least`."""
    height, width = shape
    side = round(least * (min(shape) / least) ** zoom)
    return int(across * (width - side + 1)), int(down * (height - side + 1)), side


_Pair = tuple[UInt8[Tensor, "3 h w"], Int[Tensor, "h w"]]


def _decoded(photograph: Path, labels: Path, shortest: int, void: int | None, device: str) -> _Pair:
    """A photograph (0 … 255) and its labels on the device.

    What is larger than squares need is made smaller by a whole number, so that both stay on one grid: colours are averaged, of
    the labels every second, third … is taken.
    """
    image, numbers = read_image(photograph), read_labels(labels, void)
    step = ceil(min(numbers.shape) / shortest)
    if step > 1:
        image = F.avg_pool2d(image, step)
        numbers = numbers[step // 2 :: step, step // 2 :: step][: image.shape[1], : image.shape[2]]
    return (255 * image).round().byte().to(device), numbers.short().to(device)


def _check_sizes(pairs: dict[Path, Path], size: int, void: int | None) -> None:
    sizes = [read_size(path) for path in pairs]
    small = [(path, one) for path, one in zip(pairs, sizes, strict=True) if min(one) < size]
    if small:
        path, (height, width) = small[0]
        raise ValueError(
            f"got {len(small)} of {len(pairs)} photographs with a side below {size} pixels, the first being {path} of {width} "
            f"× {height}; expected every side to be at least that of the square: choose a smaller size, or leave these out"
        )
    maps = [facts[:2] for facts in survey(list(pairs.values()), void)]
    other = [(*two, *both) for *both, two in zip(sizes, maps, pairs.items(), strict=True) if both[0] != both[1]]
    if other:
        path, labels, (height, width), (tall, wide) = other[0]
        raise ValueError(
            f"got {len(other)} of {len(pairs)} label maps of another size than their photograph, the first being {labels} of "
            f"{wide} × {tall} for {path} of {width} × {height}; expected one size: resize one of them, a label map without "
            "mixing its numbers (nearest neighbour)"
        )
