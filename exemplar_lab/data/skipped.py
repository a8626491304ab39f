"""Reading all images of a collection: what cannot be read is said once, left out and counted; a majority of it is an error."""

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from exemplar_lab.data.canvas import THREADS, Canvas, read_canvas
from exemplar_lab.data.collection import Collection, Item
from exemplar_lab.data.derived import sweep

NAMED = 3
"""Files that the last words name."""


@dataclass
class Skipped:
    """reasons: why each file was left out, by its path. tried: the number of images that were to be read."""

    reasons: dict[str, str] = field(default_factory=dict)
    tried: int = 0

    def note(self, path: str | Path, problem: Exception | str) -> None:
        """Leave a file out, and say so in one line of standard error, unless it was said before."""
        if str(path) not in self.reasons:
            self.reasons[str(path)] = reason = " ".join(str(problem).split())
            tqdm.write(f"left out: {reason if str(path) in reason else f'{path}: {reason}'}", file=sys.stderr)

    def check(self, of: int | None = None) -> None:
        """Raise ValueError when more than half of `of` images, of all that were tried unless it is given, were left out."""
        of = self.tried if of is None else of
        if 2 * len(self.reasons) > of:
            path, reason = next(iter(self.reasons.items()))
            raise ValueError(
                f"got {len(self.reasons)} of {of} images that cannot be read, the first being {path} ({reason}); expected at "
                "least half of them to be whole: look at these files, and whether this is the right folder and task"
            )

    def words(self) -> str:
        """How many were left out, and the first of them; "" for none."""
        if not self.reasons:
            return ""
        names = ", ".join(list(self.reasons)[:NAMED])
        return f"{len(self.reasons)} of {self.tried} images were left out: {names}{', …' if len(self.reasons) > NAMED else ''}"


def readable(
    collection: Collection,
    shortest: int,
    cache: str | Path | None,
    skipped: Skipped,
    progress: Callable[[Iterable], Iterable] = iter,
) -> Iterator[tuple[str, Item, Canvas]]:
    """Split, item and canvas of each image, in order; several are read ahead at a time, and no more than these are held.

    progress: is given what is gone through, and gives it back one by one: `tqdm`, for example.
    Raises ValueError as soon as more than half of all images cannot be read.
    """
    if cache is not None:
        sweep(cache)
    wanted = [(split, item) for split, items in collection.items.items() for item in items]
    ahead, waiting = iter(wanted), deque()
    with ThreadPoolExecutor(THREADS) as pool:
        try:
            for split, item in progress(wanted):
                while len(waiting) < 2 * THREADS and (coming := next(ahead, None)) is not None:
                    waiting.append(pool.submit(read_canvas, collection, coming[1], shortest, cache))
                skipped.tried += 1
                try:
                    canvas = waiting.popleft().result()
                except (OSError, ValueError) as problem:
                    skipped.note(collection.folder / item.name, problem)
                    skipped.check(max(len(wanted), skipped.tried))
                else:
                    yield split, item, canvas
        finally:
            for future in waiting:
                future.cancel()
