"""Images that look like each other: what is compared, the nearest of others, and which images are copies of one picture."""

from collections.abc import Callable, Iterable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from exemplar_lab.data.images import resize

SIDE = 64
"""Images are compared at 64 × 64, squeezed where they are longer than high."""

LAYERS = ("relu3_2", "relu4_2", "relu5_2")
GRID = 2
"""Each layer is averaged in the four quarters of the image: things may move a little, and the sky stays above the ground."""

LEVELS = 4
"""Of each of red, green and blue: 64 colours are counted."""

THUMBNAIL = 16
COPY = 2 / 255
"""Two pictures whose thumbnails differ by less than this (root of the mean square) are one picture, saved or resized anew."""

_BLOCK = 2**24
"""Numbers compared at once: 64 MB."""


def small(image: Float[Tensor, "3 h w"]) -> Float[Tensor, "3 64 64"]:
    """The whole image as `look` and `thumbnail` want it."""
    return resize(image, (SIDE, SIDE))


def look(image: Float[Tensor, "b 3 64 64"], network: nn.Module) -> Float[Tensor, "b d"]:
    """What an image shows, as a vector of length 1: half of it features of `network`, half of it colours.

    Features are the means of LAYERS in a grid of GRID × GRID, each layer of the same length; colours are the roots of the
    shares of 64 colours. The product of two vectors is then the mean of two cosines. With lab features they have 1728 numbers.

    How often the nearest of 511 others is the other picture of the same person, face, land or motif and hand (256 pairs of the
    validation split, medium tier; guessing 0.002), and of 243 others the other side of the same photograph (122 photographs,
    sides of 60 %, one of them in another light; guessing 0.004); and the share of pixels that have the label of the nearest of
    CamVid's 367 training images (101 held-out images; guessing 0.51, the nearest by labels 0.78):

                          person   face   land  painting  photograph   same labels
        features            0.31   0.36   0.70      0.83        0.28          0.69
        colours             0.34   0.59   0.82      0.88        0.52          0.76
        both                0.41   0.55   0.86      0.93        0.46          0.77
        8 × 8 pixels        0.10   0.19   0.43      0.54           –             –

    Colours alone tell faces and halves of one photograph best, as those keep theirs; for the rest both are best.
    """
    parts = [F.adaptive_avg_pool2d(feature, GRID).flatten(1) for feature in network(image, LAYERS).values()]
    seen = torch.cat([F.normalize(part, dim=1) for part in parts], dim=1) / len(parts) ** 0.5
    return torch.cat([seen, colour_shares(image).sqrt()], dim=1) / 2**0.5


def colour_shares(image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 64"]:
    """The share of each image that each of LEVELS³ colours covers."""
    level = (image * LEVELS).long().clamp(0, LEVELS - 1)
    colour = ((level[:, 0] * LEVELS + level[:, 1]) * LEVELS + level[:, 2]).flatten(1)
    count = image.new_zeros(len(image), LEVELS**3).scatter_add_(1, colour, torch.ones_like(colour, dtype=image.dtype))
    return count / colour.shape[1]


def nearest_looks(
    query: Float[Tensor, "n d"], pool: Float[Tensor, "m d"], k: int, progress: Callable[[Iterable], Iterable] = iter
) -> Int[Tensor, "n {k}"]:
    """For each query the k rows of the pool with the largest product, best first. Memory is bounded by _BLOCK numbers.

    Half precision is enough to keep vectors in; products are made in single. progress: wraps the loop over blocks of
    queries, as tqdm does. Raises ValueError when the pool has fewer than k.
    """
    if not 1 <= k <= len(pool):
        raise ValueError(f"got k = {k} of {len(pool)} candidates, expected 1 … {len(pool)}: ask for fewer or enlarge the pool")
    rows, columns = (max(k, _BLOCK // (4 * count)) for count in (query.shape[1], pool.shape[1]))
    found = []
    for part in progress(query.split(min(rows, 2048))):
        score, index = part.new_empty(len(part), 0, dtype=torch.float32), part.new_empty(len(part), 0, dtype=torch.long)
        for start, block in zip(range(0, len(pool), columns), pool.split(columns), strict=True):
            among = part.float() @ block.float().T
            place = torch.arange(start, start + len(block), device=pool.device).expand_as(among)
            score, index = torch.cat([score, among], dim=1), torch.cat([index, place], dim=1)
            score, best = score.topk(min(k, score.shape[1]), dim=1)
            index = index.gather(1, best)
        found.append(index)
    return torch.cat(found) if found else torch.empty(0, k, dtype=torch.long, device=pool.device)


def thumbnail(image: Float[Tensor, "b 3 64 64"]) -> Float[Tensor, "b 768"]:
    """What `copies` compares."""
    return F.adaptive_avg_pool2d(image, THUMBNAIL).flatten(1)


def copies(thumbnails: Float[Tensor, "n d"], progress: Callable[[Iterable], Iterable] = iter) -> Int[Tensor, " n"]:
    """For each image the first that shows the same picture (see COPY): itself, unless it is a copy of an earlier one.

    progress: wraps the loop over blocks of images, as tqdm does.
    """
    first = torch.arange(len(thumbnails))
    rows = max(1, _BLOCK // max(thumbnails.numel(), 1))
    rows = max(rows, min(256, len(thumbnails)))
    exact = thumbnails.float()
    for start in progress(range(0, len(exact), rows)):
        apart = torch.cdist(exact[start : start + rows], exact[: start + rows]) / max(exact.shape[1], 1) ** 0.5
        first[start : start + rows] = (apart < COPY).to(torch.uint8).argmax(1)
    return first[first]


def others(
    nearest: Int[Tensor, "n t"], own: Sequence[int], pool: Sequence[int], first: Int[Tensor, " all"], k: int
) -> list[tuple[int, ...]]:
    """Of the candidates of each query (rows of `pool`, best first) the k best that are another picture.

    own, pool: numbers of images, of which `first` says whose copies they are. One picture of each group of copies may be in the
    pool, so that k + 1 candidates are enough.
    """
    pictures = first.tolist()
    return [
        tuple(pool[at] for at in row if pictures[pool[at]] != pictures[mine])[:k]
        for row, mine in zip(nearest.tolist(), own, strict=True)
    ]
