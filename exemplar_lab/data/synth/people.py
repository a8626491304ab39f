"""The procedural world, first task: people. A figure in one pose, and the same figure in another, with the exact truth between
them."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.data.pose import CHANNELS, pose_maps
from exemplar_lab.data.seeds import SPLITS, fold, sample_keys, uniform
from exemplar_lab.data.synth.anatomy import grow, keypoints
from exemplar_lab.data.synth.body import Bones
from exemplar_lab.data.synth.render import Backdrop, Light, render
from exemplar_lab.data.synth.skeleton import HEIGHT, draw_pose
from exemplar_lab.data.synth.truth import truth_of
from exemplar_lab.data.synth.wardrobe import Wardrobe, draw_identity
from exemplar_lab.translation import Batch

VERSION = 1
"""Part of every seed: raise it when pictures change, so that numbers from before are not mistaken for numbers after."""


@dataclass(frozen=True)
class Tier:
    """How far the exemplar is from the target.

    zoom: range of the size of the figure in the exemplar relative to the target. yaw: bound on the turn of either body, in
    radians. bend: how far limbs leave rest, 0 … 1.

    The exemplar shows 0.97 of an easy figure, 0.83 of a medium and 0.68 of a hard one (measured at 256, validation split); the
    rest turned away, passed behind a limb or left the frame.
    """

    zoom: tuple[float, float]
    yaw: float
    bend: float


TIERS = {
    "easy": Tier(zoom=(0.8, 1.25), yaw=0.26, bend=0.6),
    "medium": Tier(zoom=(0.5, 2.0), yaw=0.70, bend=1.0),
    "hard": Tier(zoom=(1 / 3, 3.0), yaw=1.22, bend=1.0),
}


@dataclass(frozen=True)
class People:
    """A source of pairs of people, made on the device that asks.

    A sample depends on (VERSION, split, index) and the dials alone. Both images show one identity before one backdrop, so that
    the target is determined by the exemplar and the target's pose; the backdrop itself has no match.

    size: image side in pixels, at least 16. split: train, val or test. tier: easy, medium or hard, or a Tier of your own.
    truth: False leaves Batch.truth None, for training, which needs none. Raises ValueError for anything else.
    """

    size: int = 64
    split: str = "train"
    tier: str | Tier = "medium"
    truth: bool = True
    condition_channels: ClassVar[int] = CHANNELS

    def __post_init__(self):
        if not isinstance(self.size, int) or self.size < 16:
            raise ValueError(
                f"got size {self.size!r}, expected an integer of at least 16: a smaller figure has no limbs to see"
            )
        if self.split not in SPLITS:
            raise ValueError(f"got split {self.split!r}, expected one of {', '.join(SPLITS)}: choose one of these")
        if not isinstance(self.tier, Tier) and self.tier not in TIERS:
            raise ValueError(f"got tier {self.tier!r}, expected one of {', '.join(TIERS)} or a Tier: choose one of these")

    @property
    def length(self) -> int | None:
        return None if self.split == "train" else 2000

    def batch(self, indices: Int[Tensor, " b"], device: torch.device | str = "cpu") -> Batch:
        """The pairs `indices`, on `device`. Raises ValueError for an index below 0 or not below `length`."""
        if len(indices) and (indices.min() < 0 or (self.length is not None and indices.max() >= self.length)):
            raise ValueError(
                f"got indices {int(indices.min())} … {int(indices.max())}, expected 0 … {(self.length or 2**63) - 1}"
            )
        key = sample_keys(VERSION, self.split, indices.to(device))
        tier = self.tier if isinstance(self.tier, Tier) else TIERS[self.tier]
        measures, wardrobe = draw_identity(fold(key, "identity"))
        bones, unit = _figures(key, tier, measures)
        images, paints = render(bones, _twice(wardrobe), *_studio(key), unit.float(), self.size)
        points = keypoints(bones) * self.size
        conditions = pose_maps(points, self.size)
        (target, exemplar), (condition, exemplar_condition) = images.chunk(2), conditions.chunk(2)
        truth = truth_of(bones, wardrobe, paints, points, self.size) if self.truth else None
        return Batch(
            condition, target, exemplar, exemplar_condition, torch.ones(len(key), dtype=torch.bool, device=key.device), truth
        )


def _twice(wardrobe: Wardrobe) -> Wardrobe:
    """The wardrobe for targets and exemplars, one after the other."""
    person = {name: v.repeat(2) for name, v in wardrobe.person.items()}
    return Wardrobe(*(v.repeat(2, 1) for v in wardrobe[:-1]), person)


def _figures(key: Tensor, tier: Tier, measures: dict[str, Tensor]) -> tuple[Bones, Float[Tensor, " n"]]:
    """Bones of all targets and then all exemplars, and the heights of the figures as fractions of the image side."""
    both = torch.cat([fold(key, "target"), fold(key, "exemplar")])
    low, high = torch.tensor(tier.zoom, dtype=torch.float64).log().tolist()
    ratio = uniform(key, "zoom", (), low, high).exp()
    base = uniform(key, "base", (), 0.88, 1.06)
    zoom = torch.cat([base, base * ratio])
    # A small figure may stand anywhere; of a large one, the frame shows the surroundings of a point somewhere on the body.
    room = (1.12 - zoom).clamp(0.06, 0.6) * 0.5
    focus = uniform(both, "focus", (), -0.42, 0.25) * (zoom - 1.1).clamp(0, 0.5) * 2
    x = 0.5 + uniform(both, "x", (), -0.7, 0.7) * room
    y = 0.5 + uniform(both, "y", (), -0.35, 0.35) * room - focus * zoom * HEIGHT
    bones = grow(
        draw_pose(both, tier.yaw, tier.bend), {n: v.repeat(2) for n, v in measures.items()}, zoom, torch.stack([x, y], dim=-1)
    )
    return bones, zoom * HEIGHT


def _studio(key: Tensor) -> tuple[Light, Backdrop]:
    """Light, a little different in the two images of a pair, and the backdrop they share."""
    both = torch.cat([fold(key, "target"), fold(key, "exemplar")])

    def shared(name, low, high, shape=()):
        return uniform(key, name, shape, low, high).repeat(2, *[1] * len(shape))

    x = shared("light", -0.55, 0.55) + uniform(both, "light", (), -0.18, 0.18)
    y = -0.55 + uniform(both, "light height", (), -0.08, 0.08)
    z = torch.full_like(x, 0.75)
    norm = (x * x + y * y + z * z).sqrt()
    warm = shared("warmth", -0.05, 0.05)
    strength = uniform(both, "strength", (), 0.68, 0.76)
    key_light = torch.stack([strength * (1 + warm), strength, strength * (1 - warm)], dim=-1)
    fill = torch.stack([0.44 - warm * 0.4, 0.45 + 0 * warm, 0.49 + warm * 0.4], dim=-1)
    # A wall of one hue: pale, and a little darker and warmer towards the floor.
    grey = shared("grey", 0.62, 0.92)[:, None]
    tint = shared("tint", -0.12, 0.12, (3,))
    above = grey + tint
    below = grey * shared("floor", 0.72, 1.0)[:, None] + shared("floor tint", -0.06, 0.06, (3,)) + tint * 0.4
    light = Light(*(v.float() for v in (x / norm, y / norm, z / norm, key_light, fill)))
    spots = shared("spot x", 0.2, 0.8), shared("spot y", 0.1, 0.6), shared("spot", 0.12, 0.24)
    return light, Backdrop(*(v.float() for v in (above, below, *spots)))
