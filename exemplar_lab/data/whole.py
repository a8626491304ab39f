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


def writable_folder(folder: Path) -> Path:
    """The folder, made where it is missing. Raises OSError, in one sentence, where nothing can be written to it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with written_whole(folder / ".writable") as beside:
            beside.touch()
        (folder / ".writable").unlink()
    except OSError as problem:
        raise OSError(
            f"got {folder} to write to, which is not possible ({problem.strerror or problem}); expected a folder of your own: "
            "name one with --out"
        ) from problem
    return folder
