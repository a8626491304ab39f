"""A file that appears whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import get_ident


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """The name to write to instead of `path`; after the body the file is moved there, after an error in it it is gone.

    Processes and threads that write the same file do not touch each other's: the last one stays.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}-{get_ident()}.part")
    try:
        yield beside
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
