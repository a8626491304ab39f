"""One image between a file and a tensor: any image that Pillow opens comes in, nothing half-written goes out."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

import numpy
import torch
import torch.nn.functional as F
from jaxtyping import Float
from PIL import ExifTags, Image, ImageOps
from torch import Tensor

from exemplar_lab.data.whole import written_whole

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")

SMALLEST = 16
"""Pixels that the shorter side of an image must have: below, four halvings leave nothing to match."""


_ONE_AT_A_TIME = Lock()
"""What is done with warnings holds for all threads."""


def read_image(path: str | Path, shortest: int | None = None, exact: bool = False) -> Float[Tensor, "3 h w"]:
    """The image in a file as colours in [0, 1]: upright as EXIF says, on white where transparent, grey as three equal channels.

    shortest: shrink, by averaging, an image whose shorter side is longer than this; nothing is enlarged.
    exact: the result reaches from border to border of the image, so that a point lies where its share of the sides says.
        Without it the borders of a large JPEG may lie further out, by 7 pixels at most.

    Raises FileNotFoundError when there is no such file, ValueError when it is no image, is cut off or is smaller than SMALLEST.
    """
    with opened(path) as file:
        whole = file
        if shortest is not None:  # a JPEG is decoded at 1/2, 1/4 or 1/8 of its size for a fraction of the work
            small = file.draft(None, (2 * shortest, 2 * shortest))
            if exact and small is not None and small[1][2:] != file.size:  # sides that do not divide are rounded up
                whole = file.resize(file.size, Image.Resampling.BILINEAR, box=small[1])
        pixels = _colours(ImageOps.exif_transpose(whole))
    height, width = pixels.shape[-2:]
    if min(height, width) < SMALLEST:
        raise ValueError(
            f"got {path} of {width} × {height} pixels, expected at least {SMALLEST} × {SMALLEST}: use a larger image"
        )
    if shortest is not None and min(height, width) > shortest:
        size = (round(height * shortest / min(height, width)), round(width * shortest / min(height, width)))
        pixels = resize(pixels, size)
    return pixels


def write_image(path: str | Path, image: Float[Tensor, "c h w"]) -> None:
    """Write colours in [0, 1] (c = 3) or grey (c = 1) in the format that the suffix of `path` names.

    The file appears whole or not at all: it is written beside its place under another name and then moved there. Folders that
    are missing are made.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"got the file name {path.name}, expected a name that ends in {' '.join(SUFFIXES)}: rename it")
    if image.shape[0] not in (1, 3) or not image.isfinite().all():
        raise ValueError(
            f"got an image of shape {tuple(image.shape)}, finite: {bool(image.isfinite().all())}; expected 3 h w or 1 h w "
            "without NaN: choose one image of the batch, and look for the NaN where the image was made"
        )
    pixels = (image.detach().float().clamp(0, 1) * 255).round().byte().movedim(0, -1).cpu().numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as beside, open(beside, "wb") as file:
        picture = Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)
        picture.save(file, Image.registered_extensions()[path.suffix.lower()], quality=95)


def find_images(folder: str | Path) -> list[Path]:
    """All images in a folder and the folders in it, sorted by name; hidden files are passed over.

    Raises FileNotFoundError when there is no such folder, or no image in it.
    """
    folder = Path(folder)
    wanted = " ".join(SUFFIXES)
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise FileNotFoundError(f"got {folder}, which {what}; expected a folder of images ({wanted}): check the spelling")
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    if not found:
        raise FileNotFoundError(f"got {folder}, which holds no image; expected files that end in {wanted}: name another folder")
    return found


def read_size(path: str | Path) -> tuple[int, int]:
    """The size (h, w) of an image file, upright as its EXIF says, without decoding the image; raises what `read_image` does."""
    with opened(path) as file:
        # Pillow turns the size of a TIFF by itself, but not in all its versions.
        stored = (file.tag_v2[256], file.tag_v2[257]) if file.format == "TIFF" else file.size
        sideways = file.getexif().get(ExifTags.Base.Orientation, 1) >= 5
        return stored if sideways else stored[::-1]


def square(image: Float[Tensor, "3 h w"], size: int) -> Float[Tensor, "3 {size} {size}"]:
    """The largest square in the middle of an image, resized to `size`."""
    left, top, side = middle_square(tuple(image.shape[-2:]))
    return resize(image[:, top : top + side, left : left + side], (size, size))


def middle_square(size: tuple[int, int]) -> tuple[int, int, int]:
    """Left, top and side of the largest square in the middle of an image of `size` (h, w), in whole pixels."""
    height, width = size
    side = min(size)
    return (width - side) // 2, (height - side) // 2, side


def resize(image: Float[Tensor, "c h w"], size: tuple[int, int]) -> Float[Tensor, "c hn wn"]:
    """The image at another size (h, w): averaged when it shrinks, bilinear when it grows."""
    return F.interpolate(image[None], size, mode="bilinear", antialias=True, align_corners=False)[0].clamp(0, 1)


def check_same_size(**images: Float[Tensor, "..."]) -> None:
    """Raise ValueError unless all `images` have one size (h, w): `check_same_size(condition=condition, exemplar=exemplar)`."""
    sizes = {name: tuple(image.shape[-2:]) for name, image in images.items()}
    first = next(iter(sizes.values()))
    if any(size != first for size in sizes.values()):
        got = ", ".join(f"{name} of {height} × {width}" for name, (height, width) in sizes.items())
        raise ValueError(
            f"got {got} pixels (height × width), expected one size for all: crop or resize them first, for example with "
            "exemplar_lab.data.images.square(image, size)"
        )


@contextmanager
def opened(path: str | Path) -> Iterator[Image.Image]:
    """The image file, opened; whatever goes wrong with it, in here or in the body, is said in one sentence that names it."""
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"got {path}, which does not exist; expected an image file: check the spelling and the folder")
    try:
        with _open(path) as file:
            yield file
    except Image.DecompressionBombError as problem:
        raise ValueError(
            f"got {path} of more than {2 * Image.MAX_IMAGE_PIXELS:,} pixels, expected fewer: make it smaller, or leave it out"
        ) from problem
    except Exception as problem:  # Pillow's decoders raise a dozen types for broken files, SyntaxError among them.
        raise ValueError(
            f"got {path}, which cannot be read as an image ({problem}); expected a whole file of type {' '.join(SUFFIXES)}: "
            "open it in a viewer, save or download it again, or leave it out"
        ) from problem


def _open(path: Path) -> Image.Image:
    """Without Pillow's warning of what is half as large as it refuses: a large photograph is no bomb."""
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(path)


def _colours(image: Image.Image) -> Float[Tensor, "3 h w"]:
    """Decoded pixels in [0, 1], whatever the mode of the file."""
    if image.mode.startswith("I"):  # 16-bit grey; Pillow's own conversion to RGB would cut everything above 255 to white
        grey = torch.from_numpy(numpy.asarray(image).astype("float32") / 65535).clamp(0, 1)
        return grey.expand(3, -1, -1).contiguous()
    if image.mode == "F":
        raise ValueError("floating-point pixels, whose white is unknown: save it with 8 or 16 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return torch.from_numpy(numpy.array(image.convert("RGB"))).movedim(-1, 0).float() / 255
