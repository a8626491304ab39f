"""A folder of decoded images, so that no second run decodes them again: each is found by the content of its sources."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

from safetensors.torch import load, save
from torch import Tensor

from exemplar_lab.data.whole import written_whole

VERSION = 1
"""Raised whenever the same sources give another result than before."""

_DIGEST = 16


def derived(
    cache: Path, sources: Sequence[Path], said: str, make: Callable[[], tuple[Tensor | None, ...]]
) -> tuple[Tensor | None, ...]:
    """`make()`, or what it gave before from files of the same content and with the same settings `said`.

    A file of the cache begins with the digest of the rest: one that was damaged is made again. Files appear whole or not at
    all, and always with the same content, so any number of processes can share a folder. Where it cannot be written to, the
    cache stays as it is.
    """
    try:
        path = cache / _name(sources, said)
    except OSError:  # it will say better what is missing
        return make()
    kept = _read(path)
    if kept is None:
        kept = make()
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            with written_whole(path) as beside:
                beside.write_bytes(_packed(kept))
    return kept


def sweep(cache: str | Path) -> None:
    """Remove what processes that were killed left half-written in a cache more than an hour ago; it is never read."""
    for path in Path(cache).glob("*/.*.part"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > 3600:
                path.unlink()


def _name(sources: Sequence[Path], said: str) -> str:
    """Of the file in the cache; a folder for each 256th of them."""
    key = blake2b(f"{VERSION} {said}".encode(), digest_size=_DIGEST)
    for path in sources:
        content = path.read_bytes()
        key.update(len(content).to_bytes(8, "big"))
        key.update(content)
    name = key.hexdigest()
    return f"{name[:2]}/{name[2:]}.canvas"


def _packed(tensors: tuple[Tensor | None, ...]) -> bytes:
    there = {str(place): one.contiguous() for place, one in enumerate(tensors) if one is not None}
    packed = bytes([len(tensors)]) + save(there)
    return blake2b(packed, digest_size=_DIGEST).digest() + packed


def _read(path: Path) -> tuple[Tensor | None, ...] | None:
    """None where there is no such file, or it is not as it was written."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    if blake2b(content[_DIGEST:], digest_size=_DIGEST).digest() != content[:_DIGEST]:
        return None
    there = load(content[_DIGEST + 1 :])
    return tuple(there.get(str(place)) for place in range(content[_DIGEST]))
