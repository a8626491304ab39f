"""What was decoded not long ago, in one memory for all sources of a process, which never holds more than MOST bytes."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock

from torch import Tensor

MOST = 2**29
"""Bytes. The 367 pairs of CamVid take 317 MB as `labelled` keeps them, 468 with those of its other split 404 MB."""

_kept: OrderedDict[Hashable, tuple[Tensor | None, ...]] = OrderedDict()
_lock = Lock()
_held = 0


def remembered(key: Hashable, make: Callable[[], tuple[Tensor | None, ...]]) -> tuple[Tensor | None, ...]:
    """`make()`, or what it gave when `key` was asked for not long ago. What was not asked for longest is forgotten first.

    Threads make different keys at the same time. What is larger than the memory is made each time. Nobody may write into what
    is handed out.
    """
    global _held
    with _lock:
        if key in _kept:
            _kept.move_to_end(key)
            return _kept[key]
    made = make()
    if _bytes(made) > MOST:
        return made
    with _lock:
        _held += _bytes(made) - _bytes(_kept.pop(key, ()))
        _kept[key] = made
        while _held > MOST:
            _held -= _bytes(_kept.popitem(last=False)[1])
    return made


def held() -> int:
    """Bytes in the memory now."""
    return _held


def forget() -> None:
    """Empty the memory."""
    global _held
    with _lock:
        _kept.clear()
        _held = 0


def _bytes(tensors: tuple[Tensor | None, ...]) -> int:
    return sum(one.nbytes for one in tensors if one is not None)
