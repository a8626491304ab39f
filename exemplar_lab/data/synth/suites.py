"""The evaluation suites of the world: 256 pairs for each dial, tier, and the split out of distribution.

A suite shows the same pairs at every level of its dial: pair 7 has the same body, clothes and light at each, and the dial alone
differs. So the difference between two levels is one of pairs, with far less scatter than that of two crowds would have.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.data.synth.dials import DIALS, TIERS
from exemplar_lab.data.synth.scenes.materials import true_transfer_matrix
from exemplar_lab.data.synth.source import length_of
from exemplar_lab.data.synth.world import TASKS, level_name
from exemplar_lab.translation import Source

TRANSFER: dict[str, Callable[[], Float[Tensor, "c c"]]] = {"scenes": true_transfer_matrix}
"""Task -> the true transfer matrix of its classes: a row says what share of a target class's look each class of an exemplar
should give. Materials lend as they borrow, so that but for the scale of its rows it reads alike from both sides."""


class Level(NamedTuple):
    """One setting of the dial: its value, the source that shows it, and how many pairs of it, the first ones of the split."""

    value: Any
    source: Source
    pairs: int

    @property
    def name(self) -> str:
        return level_name(self.value)

    @property
    def indices(self) -> Int[Tensor, " n"]:
        return torch.arange(self.pairs)


@dataclass(frozen=True)
class Suite:
    """What to measure a matcher on. dial: the name of the dial, of a tier, or "ood"; the latter two have one level.

    task: the name of the task. tier: where all other dials stand. split: test, or ood.
    """

    task: str
    dial: str
    tier: str
    split: str
    levels: tuple[Level, ...]

    @property
    def pairs(self) -> int:
        return sum(level.pairs for level in self.levels)


def suite_names(task: str) -> tuple[str, ...]:
    """The suites of a task: the dials that it listens to, the tiers, and "ood". Raises ValueError for an unknown task."""
    if task not in TASKS:
        raise ValueError(f"got the task {task!r}, expected one of {', '.join(TASKS)}")
    return (*(name for name, dial in DIALS.items() if task in dial.tasks), *TIERS, "ood")


def suite(dial: str, task: str = "people", size: int = 64, tier: str = "medium", pairs: int = 256) -> Suite:
    """`pairs` pairs of images of side `size`, spread evenly over the levels of `dial`, all other dials as `tier` has them.

    dial: one that the task listens to; or a tier, which then takes the place of `tier`; or "ood", `tier` with patterns,
    palettes and pairs of classes that training never shows. Pairs are the first of the split; the levels named first have one
    more where the number does not divide. Raises ValueError for an unknown name, and for fewer pairs than levels.
    """
    known = suite_names(task)
    if tier not in TIERS:
        raise ValueError(f"got tier {tier!r}, expected one of {', '.join(TIERS)}: choose one of these")
    if dial in TIERS or dial == "ood":
        tier = tier if dial == "ood" else dial
        values, settings = (dial,), (tier,)
    elif dial in known:
        values = DIALS[dial].levels
        settings = tuple(replace(TIERS[tier], **{dial: value}) for value in values)
    elif dial in DIALS:
        heard = ", ".join(DIALS[dial].tasks)
        raise ValueError(
            f"got the suite {dial!r} for {task}, which does not listen to this dial: choose a task that does ({heard}), or one "
            f"of the suites {', '.join(known)}"
        )
    else:
        raise ValueError(f"got the suite {dial!r}, expected one of {', '.join(known)}: choose one of these")
    if pairs < len(values):
        raise ValueError(f"got {pairs} pairs for {len(values)} levels of {dial}, expected at least one pair of each")
    share, rest = divmod(pairs, len(values))
    split = "ood" if dial == "ood" else "test"
    if share + (rest > 0) > length_of(split):
        most = length_of(split) * len(values)
        raise ValueError(
            f"got {pairs} pairs for {len(values)} levels of {dial}, expected at most {most}: the split {split} has "
            f"{length_of(split)} samples"
        )
    levels = tuple(
        Level(value, TASKS[task](size, split, setting), share + (number < rest))
        for number, (value, setting) in enumerate(zip(values, settings, strict=True))
    )
    return Suite(task, dial, tier, split, levels)
