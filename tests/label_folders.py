"""Made-up folders of photographs and label maps, which say of each pixel where it was."""

from pathlib import Path

import numpy as np
from PIL import Image

STRIPE = 24
"""Label pixels from one class to the next."""


def photograph(height: int, width: int) -> np.ndarray:
    """Red says x, green says y: a crop shows where it was taken."""
    down, across = np.mgrid[:height, :width]
    return np.stack([across, down, 0 * down], axis=-1).astype(np.uint8)


def numbers(height: int, width: int, classes: int = 5) -> np.ndarray:
    """Upright stripes 0, 1, … from the left, the last of them up to the right border; unknown in the upper left corner."""
    labels = np.minimum(np.arange(width) // STRIPE, classes - 1)[None].repeat(height, 0).astype(np.uint8)
    labels[:20, :30] = 255
    return labels


def fill(folder: Path, photographs: str, labels: str, many: int = 3, size: tuple[int, int] = (100, 140), **how) -> None:
    for directory in (photographs, labels):
        (folder / directory).mkdir(parents=True)
    for i in range(many):
        name = f"{photographs[0]}{i:02}.{i}"
        Image.fromarray(photograph(*size)).save(folder / photographs / f"{name}{'.png' if i % 2 else '.bmp'}")
        Image.fromarray(numbers(*size, **how)).save(folder / labels / f"{name}.png")
