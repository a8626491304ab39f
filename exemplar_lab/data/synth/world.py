"""The procedural world as a whole: its tasks by name, and one pair at every level of a dial."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.data.pose import pose_rgb
from exemplar_lab.data.synth.dials import DIALS, Dials, dials_of
from exemplar_lab.data.synth.faces import Faces, coat
from exemplar_lab.data.synth.paintings import Paintings
from exemplar_lab.data.synth.people import People, body
from exemplar_lab.data.synth.scenes import Scenes
from exemplar_lab.data.synth.scenes.materials import CLASSES, label_rgb
from exemplar_lab.translation import Batch, Source

TASKS: dict[str, type] = {"people": People, "faces": Faces, "scenes": Scenes, "paintings": Paintings}
"""Name of the task -> its source; all take (size, split, tier, truth)."""


def lines_rgb(condition: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 3 h w"]:
    """The first channel, a drawing in white on black."""
    return condition[:, :1].expand(-1, 3, -1, -1)


def _named(parts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(part.replace("_", " ") for part in parts)


_PICTURES: dict[str, Callable[[Tensor], Tensor]] = {"people": pose_rgb, "faces": lines_rgb, "scenes": label_rgb}


LABELS: dict[str, tuple[str, ...]] = {
    "people": _named(body.PARTS),
    "faces": _named(coat.PARTS),
    "scenes": CLASSES,
    "paintings": CLASSES,
}
"""Task -> names of the numbers in `Truth.target_part`; paintings have the classes of the scenes that are painted."""


def task_of(source: Source) -> str:
    """The name of the task that a source belongs to. Raises ValueError for one that is not of the procedural world."""
    for name, kind in TASKS.items():
        if isinstance(source, kind):
            return name
    raise ValueError(f"got a {type(source).__name__}, expected a source of the procedural world: {', '.join(TASKS)}")


def structure_picture(source: Source, batch: Batch) -> Float[Tensor, "b c h w"]:
    """The condition as people look at it: the coloured skeleton, white lines, coloured labels; three channels, or one per part
    when the dial `gap` says "parts"."""
    task = task_of(source)
    gap = dials_of(source.tier, task).gap
    if gap == "edges":
        return lines_rgb(batch.condition)
    return batch.condition if gap == "parts" or task not in _PICTURES else _PICTURES[task](batch.condition)


def at_levels(
    task: str,
    dial: str,
    indices: Int[Tensor, " b"],
    size: int = 64,
    tier: str | Dials = "easy",
    split: str = "val",
    device: torch.device | str = "cpu",
) -> dict[str, tuple[Source, Batch]]:
    """{level: (source, pairs)}: the pairs `indices` at every level of a dial's suite, all other dials as `tier` has them.

    Raises ValueError for an unknown task or dial, and for a dial that the task does not listen to.
    """
    check_heard(task, dial)
    rest = dials_of(tier, task)
    sources = {level_name(level): TASKS[task](size, split, replace(rest, **{dial: level})) for level in DIALS[dial].levels}
    return {name: (source, source.batch(indices.to(device), device)) for name, source in sources.items()}


def check_heard(task: str, dial: str) -> None:
    """Raise ValueError unless there are such a task and such a dial, and the one listens to the other."""
    if task not in TASKS:
        raise ValueError(f"got the task {task!r}, expected one of {', '.join(TASKS)}")
    heard = [name for name, one in DIALS.items() if task in one.tasks]
    if dial not in heard:
        where = f" ({dial} is heard by {', '.join(DIALS[dial].tasks)})" if dial in DIALS else ""
        raise ValueError(f"got the dial {dial!r} for {task}{where}, expected one of {', '.join(heard)}")


def level_name(level: Any) -> str:
    """A level of a dial in words: 0.33, 1 → 4, parts; a range of one value is that value."""
    if level is None:
        return "as drawn"
    if isinstance(level, tuple):
        return f"{level[0]:g} → {level[1]:g}" if isinstance(level[0], int) else f"{level[0]:.2g}"
    return level if isinstance(level, str) else f"{level:.2g}"
