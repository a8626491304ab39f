"""One image of a collection, decoded and made smaller, and on the same grid what its structure is drawn from."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float, Int16, UInt8
from torch import Tensor

from exemplar_lab.data.collection import Collection, Item, Labels
from exemplar_lab.data.derived import derived
from exemplar_lab.data.images import read_image, read_size
from exemplar_lab.data.label_maps import nearest_labels, read_labels
from exemplar_lab.data.memory import remembered
from exemplar_lab.data.part_masks import joined_masks
from exemplar_lab.data.pose_files import read_pose

THREADS = min(8, os.cpu_count() or 1)
"""Images decoded at a time; a decoder lets other threads run. Each takes 0.4 GB for a PNG of 12 million pixels, 11 MB for
such a JPEG, which is decoded small."""

ASPECT = 0.02
"""How far height over width of a drawn pose may be from that of its image."""


@dataclass(frozen=True)
class Canvas:
    """labels: the class of each pixel of the image, −1 where unknown. keypoints: in pixels of the image, NaN where absent."""

    image: UInt8[Tensor, "3 h w"]
    labels: Int16[Tensor, "h w"] | None = None
    keypoints: Float[Tensor, "18 2"] | None = None


def read_canvas(collection: Collection, item: Item, shortest: int, cache: str | Path | None = None) -> Canvas:
    """An image upright, its shorter side made `shortest` by averaging where it is longer, with its labels or key points.

    cache: a folder; what is decoded is kept in it, and read from it as long as the files of the item hold what they held.
    Raises FileNotFoundError when a file is missing; ValueError, which names the file, when one cannot be read, the image is
    smaller than SMALLEST, labels are of another size or beyond the classes, or a pose has no key point in the image.
    """
    sources = [collection.folder / name for name in (item.name, *item.files)]
    if cache is None:
        return Canvas(*_decoded(collection, item, shortest))
    read_as = collection.structure == "pose", collection.labels, [Path(name).name for name in item.files]
    said = repr((shortest, *read_as))
    return Canvas(*derived(Path(cache), sources, said, lambda: _decoded(collection, item, shortest)))


def canvases(collection: Collection, items: Sequence[Item], shortest: int, cache: str | Path | None = None) -> list[Canvas]:
    """`read_canvas` of many, several at a time and through the memory of bounded size that all sources share.

    A file that was changed is read again.
    """

    def read(item: Item) -> Canvas:
        stamps = tuple(_stamp(collection.folder / name) for name in (item.name, *item.files))
        key = "canvas", collection.folder, collection.structure, collection.labels, item, stamps, shortest
        return Canvas(*remembered(key, lambda: _parts(read_canvas(collection, item, shortest, cache))))

    wanted = list(dict.fromkeys(items))
    with ThreadPoolExecutor(THREADS) as pool:
        found = dict(zip(wanted, pool.map(read, wanted), strict=True))
    return [found[item] for item in items]


def _parts(canvas: Canvas) -> tuple[Tensor | None, ...]:
    return canvas.image, canvas.labels, canvas.keypoints


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _decoded(collection: Collection, item: Item, shortest: int) -> tuple[Tensor | None, ...]:
    """The parts of a canvas."""
    path = collection.folder / item.name
    files = [collection.folder / name for name in item.files]
    pixels = read_image(path, shortest, exact=True)
    labels = keypoints = None
    if collection.labels is not None:
        labels = _labels(path, files, collection.labels, tuple(pixels.shape[-2:]))
    elif collection.structure == "pose":
        keypoints = _keypoints(path, files, tuple(pixels.shape[-2:]))
    return (255 * pixels).round().byte(), labels, keypoints


def _labels(path: Path, files: Sequence[Path], labels: Labels, size: tuple[int, int]) -> Int16[Tensor, "h w"]:
    """On a grid of `size`, by the number at the centre of each pixel."""
    if not files or (len(files) > 1 and not labels.masks):
        wanted = "at least one mask" if labels.masks else "one"
        raise ValueError(f"got {len(files)} label maps for {path}, expected {wanted}: prepare the folder again")
    if labels.masks:
        return joined_masks(files, labels.names, size)
    numbers = read_labels(files[0], labels.void)
    whole = read_size(path)
    if tuple(numbers.shape) != whole:
        (tall, wide), (height, width) = numbers.shape, whole
        turned = " (the photograph upright, as its EXIF says)" if (wide, tall) == (height, width) else ""
        raise ValueError(
            f"got {files[0]} of {wide} × {tall} for {path} of {width} × {height}{turned}; expected one size: resize one of "
            "them, a label map without mixing its numbers (nearest neighbour)"
        )
    largest = int(numbers.max())
    if largest - labels.first >= len(labels.names):
        raise ValueError(
            f"got label {largest} in {files[0]}, expected {labels.first} … {labels.first + len(labels.names) - 1} for "
            f"{len(labels.names)} classes, or 255 for unknown: name more classes, or correct the label map"
        )
    return (nearest_labels(numbers, size) - labels.first).clamp_min(-1).short()


def _keypoints(path: Path, files: Sequence[Path], size: tuple[int, int]) -> Float[Tensor, "18 2"]:
    """In pixels of a canvas of `size`."""
    if not files:
        raise ValueError(f"got no pose for {path}, expected the files of one: prepare the folder again")
    points, drawn = read_pose(*files)
    (tall, wide) = whole = read_size(path)
    (height, width) = drawn or whole
    if abs(height * wide - width * tall) > ASPECT * height * wide:
        raise ValueError(
            f"got a pose drawn on {width} × {height} in {files[0]} for {path} of {wide} × {tall}; expected one shape: cut "
            "one of them as the other was cut"
        )
    within = ((points > 0) & (points < points.new_tensor([width, height]))).all(-1).sum()
    found = points.isfinite().all(-1).sum()
    if 2 * within <= found:
        raise ValueError(
            f"got {found} key points in {files[0]}, {found - within} of them outside {path} of {width} × {height}; expected "
            "the pose of a person in this image: find it again, in the image as it is now, or leave the image out"
        )
    return points * (points.new_tensor([size[1], size[0]]) / points.new_tensor([width, height]))
