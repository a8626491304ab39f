"""What the configs of all models share: their way to JSON and back, and how they refuse what makes no network."""

from collections.abc import Iterable
from dataclasses import fields
from typing import Any, TypeVar

Config = TypeVar("Config")


def config_from_dict(kind: type[Config], values: dict[str, Any]) -> Config:
    """A config from JSON, where tuples have become lists; ValueError for a setting that does not exist."""
    if unknown := values.keys() - {field.name for field in fields(kind)}:
        raise ValueError(
            f"got the settings {', '.join(sorted(unknown))}, expected only those of {kind.__name__}: "
            "take them out, or use the version of exemplar_lab that wrote them"
        )
    return kind(**{name: _frozen(value) for name, value in values.items()})


def check_settings(kind: str, settings: Iterable[tuple[bool, str, str]]) -> None:
    """ValueError for the first setting (does it hold?, what was got, what was expected) that does not hold."""
    for holds, got, expected in settings:
        if not holds:
            raise ValueError(f"got {got}, expected {expected}: change it in the {kind}")


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
