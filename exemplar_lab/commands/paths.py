"""A path as a terminal can click it."""

from pathlib import Path


def clickable(path: Path) -> Path:
    """The path as seen from the working directory, where it lies below."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
