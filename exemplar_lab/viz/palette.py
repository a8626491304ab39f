"""Pictures in few colours: a PNG with a palette, a third of the size or less, where that leaves the picture as it looks."""

import io
import math

import numpy as np
from PIL import Image

_FEWER = (16, 24, 32, 48, 64, 96, 128, 192)
_CLOSER = 8.0
"""Decibels more than the floor that a palette of fewer than 256 colours must reach."""
_BLOCK, _BELOW = 16, 12.0
"""No block of so many pixels each way may lie more decibels than this under the mean: a small thing keeps its colour there."""
_KEPT = 48
"""So many of the most frequent shades, at most half of a palette, stay as they are: paper, ink, lines, pale bands of a plot."""
_ROUNDS = 6


def in_few_colours(png: bytes, decibels: float = 36.0) -> bytes:
    """A picture with a palette of as few colours as will do, at most 256.

    png: as a file holds it, which is what comes back, too. decibels: the least peak signal-to-noise ratio of 256 colours; fewer
    are taken where they reach 8 more. A picture that stays below, such as noise, is left as it is, and so is what is
    transparent or would not become smaller. The same picture gives the same bytes, by whole numbers only.
    """
    with Image.open(io.BytesIO(png)) as file:
        if file.convert("RGBA").getchannel("A").getextrema() != (255, 255):
            return png
        exact = np.asarray(file.convert("RGB"), dtype=np.int32)
    code, place, count = np.unique(exact.reshape(-1, 3) @ [65536, 256, 1], return_inverse=True, return_counts=True)
    shades = np.stack([code >> 16, code >> 8 & 255, code & 255], -1).astype(np.float32)
    samples, pixels = (shades, count) if len(shades) <= 4096 else _in_cells(shades, count)
    weight = np.ceil(np.sqrt(pixels))  # by its pixels alone, a dot of a plot would get no colour of its own
    frequent = shades[np.argsort(-count, kind="stable")[:_KEPT]]
    full = _fitted(samples, weight, frequent, 256)
    if _ratio((pixels * _error(samples, full[_nearest(samples, full)])).sum() / pixels.sum()) < decibels:
        return png  # what lies together in one cell only adds to the error
    for colours in (*_FEWER, len(full)):
        palette = full if colours >= len(full) else _fitted(samples, weight, frequent[: colours // 2], colours)
        least = decibels if palette is full else decibels + _CLOSER
        index = _nearest(shades, palette)
        error = _error(shades, palette[index])[place].reshape(exact.shape[:2])
        rows, columns = (np.arange(0, side, _BLOCK) for side in error.shape)
        blocks = np.add.reduceat(np.add.reduceat(error, rows, 0), columns, 1) / _BLOCK**2
        if _ratio(error.mean()) >= least and (palette is full or _ratio(blocks.max()) >= least - _BELOW):
            small = Image.fromarray(index[place].reshape(error.shape).astype(np.uint8))
            small.putpalette(palette.astype(np.uint8).tobytes())
            small.save(written := io.BytesIO(), format="png", optimize=True)
            return min(png, written.getvalue(), key=len)
    return png


def _in_cells(shades: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean shade of each cell of 8 × 8 × 8 levels that has any, and its pixels."""
    _, cell = np.unique(shades.astype(np.int32) // 8 @ [1024, 32, 1], return_inverse=True)
    pixels = np.bincount(cell, count)
    mean = np.stack([np.bincount(cell, count * channel) for channel in shades.T], -1) / pixels[:, None]
    return np.rint(mean).astype(np.float32), pixels


def _fitted(samples: np.ndarray, weight: np.ndarray, kept: np.ndarray, colours: int) -> np.ndarray:
    """A palette of at most so many colours: those `kept`, then each time the sample that the others serve worst, as a start.

    A few rounds of k-means move the latter to the mean of the samples nearest to them, a whole number.
    """
    distance = np.full(len(samples), np.inf, np.float32)
    for colour in kept:
        distance = np.minimum(distance, np.square(samples - colour).sum(-1))
    palette = list(kept)
    while len(palette) < colours and distance.any():
        palette.append(samples[(distance * weight).argmax()])
        distance = np.minimum(distance, np.square(samples - palette[-1]).sum(-1))
    palette = np.stack(palette)
    for _ in range(_ROUNDS):
        index = _nearest(samples, palette)
        total = np.bincount(index, weight, len(palette))[:, None]
        sums = np.stack([np.bincount(index, weight * channel, len(palette)) for channel in samples.T], -1)
        moved = np.where(total > 0, np.rint(sums / np.maximum(total, 1)), palette)
        palette[len(kept) :] = moved[len(kept) :]
    return palette


def _nearest(shades: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """The index of the nearest colour: exact, as products and sums of levels are whole numbers below 2^24."""
    own, palette = np.square(palette).sum(-1), palette.T
    parts = [(own - 2 * shades[start : start + 8192] @ palette).argmin(-1) for start in range(0, len(shades), 8192)]
    return np.concatenate(parts)


def _error(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.square(one - other).mean(-1, dtype=np.float64)


def _ratio(error: float) -> float:
    """Decibels of a mean squared error of 255 levels."""
    return 10 * math.log10(255**2 / max(error, 1e-9))
