"""The dials of the procedural world: what makes matching easy or hard, each one a number, and which claim it puts to the test.

A source of the world takes a tier by name ("easy", "medium", "hard") or a `Dials` of your own:
`Scenes(64, "val", replace(TIERS["medium"], unmatched=2))`.
"""

import math
from dataclasses import dataclass, fields
from typing import Any, NamedTuple


@dataclass(frozen=True)
class Dials:
    """Settings of one pair, at rest unless said otherwise; `DIALS` tells their ranges and which task listens to which.

    zoom: range of the size of things in the exemplar relative to the target, drawn evenly in its logarithm.
    yaw: bound on the turn of a body or a head away from the viewer, in radians, in either image.
    articulation: 0 all bodies stand, all faces rest; 1 limbs and expressions move over their whole range.
    occlusion: range of the share of the exemplar's figure that something in front of it hides.
    crop: share of the exemplar's figure that the frame cuts away.
    extras: chance that the exemplar wears a hat or carries a bag that the target does not.
    back: chance that the exemplar shows the back.
    repetition: how often the pattern of the clothes repeats around and along the chest; 0 as the wardrobe draws it.
    instances: how many things of one kind target and exemplar hold, each of another colour; (0, 0) as the layout draws it. They
        stand anew at each level, and where the exemplar is zoomed or turned some may leave its frame.
    distinct: chance that left and right differ; None as drawn.
    entropy: 0 flat colours, 1 every point has a colour of its own; None as drawn.
    gap: what the condition shows. "structure": pose, landmarks or labels, the papers' own; "parts": a map of all parts;
        "edges": the edges of the target itself, the smallest gap between the two domains.
    dropout: share of the condition that is lost.
    light: difference of light between the two images; 1 two photographs of one afternoon, 0 none, 4 lamps on opposite sides.
    unmatched: how many classes of the target the exemplar lacks.
    two_lights: how differently the two halves of the exemplar's world are lit; 0 alike, 1 noon beside dusk.
    halves: how often the exemplar repeats its content side by side, pixel by pixel.
    """

    zoom: tuple[float, float] = (1.0, 1.0)
    yaw: float = 0.26
    articulation: float = 0.6
    occlusion: tuple[float, float] = (0.0, 0.0)
    crop: float = 0.0
    extras: float = 0.0
    back: float = 0.0
    repetition: int = 0
    instances: tuple[int, int] = (0, 0)
    distinct: float | None = None
    entropy: float | None = None
    gap: str = "structure"
    dropout: float = 0.0
    light: float = 1.0
    unmatched: int = 0
    two_lights: float = 0.0
    halves: int = 1

    def __post_init__(self):
        for name, dial in DIALS.items():
            value = getattr(self, name)
            if not dial.accepts(value):
                raise ValueError(f"got {name} = {value!r}, expected {dial.expects()}: {dial.meaning}")


GAPS = ("structure", "parts", "edges")


class Dial(NamedTuple):
    """What a dial is: `low` … `high` bound it, `levels` are those of its evaluation suite, `claims` the rows of the papers it
    puts to the test, `tasks` those that listen to it."""

    meaning: str
    claims: str
    tasks: tuple[str, ...]
    low: float
    high: float
    levels: tuple[Any, ...]
    kind: str = "number"
    """number, whole, chance (a number, or None: as drawn), range (two numbers in order), counts (two whole numbers), choice."""

    def accepts(self, value: Any) -> bool:
        if self.kind == "choice":
            return value in self.levels
        if value is None:
            return self.kind == "chance"
        pair = self.kind in ("range", "counts")
        if pair and not (isinstance(value, tuple | list) and len(value) == 2):
            return False
        numbers = value if pair else (value,)
        whole = self.kind in ("whole", "counts")
        if not all(isinstance(v, int if whole else int | float) and not isinstance(v, bool) for v in numbers):
            return False
        ordered = self.kind != "range" or numbers[0] <= numbers[1]
        return ordered and all(math.isfinite(v) and self.low - 1e-6 <= v <= self.high + 1e-6 for v in numbers)

    def expects(self) -> str:
        if self.kind == "choice":
            return "one of " + ", ".join(self.levels)
        what = {"whole": "a whole number", "range": "two numbers, low ≤ high,", "counts": "two whole numbers"}
        none = " or None" if self.kind == "chance" else ""
        return f"{what.get(self.kind, 'a number')} within {self.low:g} … {self.high:g}{none}"


_FIGURES = ("people", "faces")
_ALL = ("people", "faces", "scenes", "paintings")

DIALS: dict[str, Dial] = {
    "zoom": Dial(
        "size in the exemplar relative to the target",
        "a target pixel needs zoom² exemplar pixels, not a fixed k: DynaST's pruning (D6, D16)",
        _ALL,
        1 / 3,
        3.0,
        tuple((z, z) for z in (1 / 3, 0.5, 0.71, 1.0, 1.41, 2.0, 2.5, 3.0)),
        "range",
    ),
    "yaw": Dial(
        "turn away from the viewer in radians",
        "self-occlusion: what can be matched at all (D7)",
        _FIGURES,
        0.0,
        1.3,
        (0.0, 0.26, 0.7, 1.22),
    ),
    "articulation": Dial(
        "how far limbs and expressions move",
        "offset prior of DynaST's inner-scale propagation (D5)",
        _FIGURES,
        0.0,
        1.0,
        (0.0, 0.33, 0.67, 1.0),
    ),
    "occlusion": Dial(
        "share of the exemplar's figure that is hidden",
        "no match: DynaST Eq. 8 (D7), MATEBIT's mask (M2, M3)",
        _FIGURES,
        0.0,
        0.9,
        tuple((s, s) for s in (0.0, 0.15, 0.3, 0.45, 0.6, 0.75)),
        "range",
    ),
    "crop": Dial("share of the exemplar's figure outside the frame", "no match (D7)", _FIGURES, 0.0, 0.7, (0.0, 0.2, 0.4, 0.6)),
    "extras": Dial("chance of a hat or a bag in the exemplar alone", "no match (D7, M2)", ("people",), 0.0, 1.0, (0.0, 1.0)),
    "back": Dial("chance that the exemplar shows the back", "no match (D7, M2)", ("people",), 0.0, 1.0, (0.0, 1.0)),
    "repetition": Dial(
        "repeats of the pattern on the clothes",
        "one-to-many: top-k (D4), CoCosNet Fig. 24 (C18)",
        ("people",),
        0,
        12,
        (0, 1, 2, 4, 8, 12),
        "whole",
    ),
    "instances": Dial(
        "coloured things of one kind in target and exemplar",
        "one-to-many and many-to-one, CoCosNet Fig. 24 (C18)",
        ("scenes",),
        0,
        8,
        ((1, 1), (1, 2), (1, 4), (1, 8), (2, 1), (4, 1), (8, 1)),
        "counts",
    ),
    "distinct": Dial(
        "chance that left and right differ",
        "position embedding (D2, M1); the left eye of MATEBIT Fig. 1 (M12)",
        _FIGURES,
        0.0,
        1.0,
        (0.0, 1.0),
        "chance",
    ),
    "entropy": Dial("texture", "what any matcher can know", _ALL, 0.0, 1.0, (0.0, 0.25, 0.5, 0.75, 1.0), "chance"),
    "gap": Dial("what the condition shows", "domain loss (C4), CoCosNet Fig. 9 (C13)", _ALL, 0, 0, GAPS, "choice"),
    "dropout": Dial("share of the condition that is lost", "domain loss (C4)", _ALL, 0.0, 0.9, (0.0, 0.2, 0.4, 0.6, 0.8)),
    "light": Dial(
        "difference of light",
        "centring and PONO: CoCosNet Fig. 18 and 19 (C16, C17)",
        (*_FIGURES, "scenes"),
        0.0,
        4.0,
        (0.0, 1.0, 2.0, 3.0, 4.0),
    ),
    "unmatched": Dial(
        "classes of the target that the exemplar lacks",
        "MSCA's feature masking (S3)",
        ("scenes",),
        0,
        4,
        (0, 1, 2, 3, 4),
        "whole",
    ),
    "two_lights": Dial(
        "difference of light between the halves of the world",
        "K regions against global pooling (S5, S13)",
        ("scenes",),
        0.0,
        1.0,
        (0.0, 0.33, 0.67, 1.0),
    ),
    "halves": Dial(
        "identical copies of the content side by side", "blind spot of the cycle loss (C5)", _ALL, 1, 3, (1, 2, 3), "whole"
    ),
}
"""Every dial by its name. The specification counts twelve: crop, extras and back belong to occlusion there, dropout to gap, and
yaw to none."""

TIERS = {
    "easy": Dials(zoom=(0.8, 1.25), yaw=0.26, articulation=0.6),
    "medium": Dials(zoom=(0.5, 2.0), yaw=0.70, articulation=1.0, occlusion=(0.0, 0.3)),
    "hard": Dials(zoom=(1 / 3, 3.0), yaw=1.22, articulation=1.0, occlusion=(0.0, 0.6), light=1.5),
}


def dials_of(tier: str | Dials | dict[str, Any], task: str) -> Dials:
    """The dials behind the name of a tier, checked for a task.

    A dict is what JSON keeps of a `Dials`. Raises ValueError for an unknown tier, and for a dial away from rest to which `task`
    does not listen.
    """
    if isinstance(tier, dict):
        known = {field.name for field in fields(Dials)}
        if unknown := set(tier) - known:
            raise ValueError(f"got the dials {', '.join(sorted(unknown))}, expected some of {', '.join(sorted(known))}")
        tier = Dials(**{name: tuple(v) if isinstance(v, list) else v for name, v in tier.items()})
    if isinstance(tier, str):
        if tier not in TIERS:
            raise ValueError(f"got tier {tier!r}, expected one of {', '.join(TIERS)} or a Dials: choose one of these")
        return TIERS[tier]
    rest = Dials()
    for name, dial in DIALS.items():
        ignored = name in ("yaw", "articulation", "occlusion", "light")  # tiers turn these; a task without them takes no notice
        if task not in dial.tasks and not ignored and getattr(tier, name) != getattr(rest, name):
            raise ValueError(
                f"got the dial {name} for {task}, expected one of the tasks that listen to it ({', '.join(dial.tasks)}): "
                "leave it at rest, or choose another task"
            )
    return tier
