"""The procedural world, second task: faces. A portrait, and the same person with another pose and expression, with the exact
truth between them."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.data.seeds import fold, uniform
from exemplar_lab.data.synth.dials import Dials, dials_of
from exemplar_lab.data.synth.faces.backdrop import draw_backdrop
from exemplar_lab.data.synth.faces.cast import bands_of, front_of
from exemplar_lab.data.synth.faces.coat import PARTS
from exemplar_lab.data.synth.faces.expression import draw_expression
from exemplar_lab.data.synth.faces.identity import draw_person, twice
from exemplar_lab.data.synth.faces.landmarks import CHANNELS, backdrop_edges, condition, landmarks
from exemplar_lab.data.synth.faces.layers import build, pose
from exemplar_lab.data.synth.faces.mesh import MESHES, areas_of, normals
from exemplar_lab.data.synth.faces.quads import doubtful, useful
from exemplar_lab.data.synth.faces.render import Light, Scene, View, render
from exemplar_lab.data.synth.faces.truth import truth_of
from exemplar_lab.data.synth.source import check_source, keys_of, length_of
from exemplar_lab.data.synth.staging import condition_channels, condition_of, drop_blocks, drop_points, occlude, repeat_halves
from exemplar_lab.translation import Batch

VERSION = 1
"""Part of every seed: raise it when pictures change, so that numbers from before are not mistaken for numbers after."""


@dataclass(frozen=True)
class Faces:
    """A source of pairs of portraits, made on the device that asks.

    A sample depends on (VERSION, split, index) and the dials alone. Both images show one person before one backdrop, so that
    the target is determined by the exemplar and the target's pose and expression; the backdrop itself has no match. The
    condition draws the 68 landmarks, joined, and the edges around the face.

    size: image side in pixels, at least 16. split: train, val, test or ood. tier: easy, medium or hard, or the `Dials` of your
    own. truth: False leaves Batch.truth None, for training, which needs none. Raises ValueError for anything else.

    The exemplar shows 0.89 of an easy portrait, 0.66 of a medium and 0.48 of a hard one (measured at 96, validation split); the
    rest turned away, left the frame, was covered by lids or lips, or is hidden by what stands in front.
    """

    size: int = 64
    split: str = "train"
    tier: str | Dials | dict[str, Any] = "medium"
    truth: bool = True

    def __post_init__(self):
        check_source(self.size, self.split, self.tier, "faces")

    @property
    def condition_channels(self) -> int:
        return condition_channels(dials_of(self.tier, "faces").gap, CHANNELS, len(PARTS))

    @property
    def length(self) -> int | None:
        return length_of(self.split)

    def batch(self, indices: Int[Tensor, " b"], device: torch.device | str = "cpu") -> Batch:
        """The pairs `indices`, on `device`. Raises ValueError for an index below 0 or not below `length`."""
        key = keys_of(VERSION, self.split, indices, device)
        dials = dials_of(self.tier, "faces")
        scene, points = _portraits(key, dials, self.split == "ood", self.size)
        images, paints, view = render(scene)
        conditions = _conditions(key, dials, images, view, points)
        truth = truth_of(scene, view, paints, points) if self.truth else None
        (target, exemplar), (condition_, exemplar_condition) = images.chunk(2), conditions.chunk(2)
        paired = torch.ones(len(key), dtype=torch.bool, device=key.device)
        batch = Batch(condition_, target, exemplar, exemplar_condition, paired, truth)
        batch = occlude(batch, view.part.chunk(2)[1] >= 0, key, dials.occlusion)
        return repeat_halves(batch, dials.halves)


def _conditions(key: Tensor, dials: Dials, images: Tensor, view: View, points: Tensor) -> Tensor:
    """The structures of targets and then exemplars, less what the dial dropout takes: landmarks and all lines that need them,
    and the same share of the edges around."""
    both = torch.cat([fold(key, "target"), fold(key, "exemplar")])
    if dials.gap == "structure":
        edges = drop_blocks(backdrop_edges(images, view.part), both, dials.dropout)
        return condition(drop_points(points, both, dials.dropout), edges)
    return drop_blocks(condition_of(dials.gap, images[:, :0], images, view.part, len(PARTS)), both, dials.dropout)


def _portraits(key: Tensor, dials: Dials, ood: bool, size: int) -> tuple[Scene, Float[Tensor, "n 68 2"]]:
    """All targets and then all exemplars, and their landmarks."""
    person = twice(draw_person(fold(key, "identity"), ood, dials.distinct, dials.entropy))
    both = torch.cat([fold(key, "target"), fold(key, "exemplar")])
    face = {name: value.float() for name, value in draw_expression(both, dials.yaw, dials.articulation).items()}
    own, place = build(person, face)
    there, cut = useful(own, person), doubtful(own, person)
    unit, centre = _framing(key, both, dials)
    if dials.crop > 0:
        centre = _cropped(key, pose(place, face, unit.float(), centre.float()), there, centre, dials.crop)
    unit, centre = (unit * size).float(), (centre * size).float()
    posed = pose(place, face, unit, centre)
    backdrop = {n: v.repeat(2, *[1] * (v.ndim - 1)) for n, v in draw_backdrop(fold(key, "backdrop"), ood).items()}
    front = front_of(posed, own, there, cut)
    scene = Scene(
        posed,
        own,
        there,
        cut,
        front,
        bands_of(front, size),
        normals(posed),
        unit,
        person,
        _studio(key, both, dials.light),
        backdrop,
        size,
    )
    return scene, landmarks(person, face, unit, centre, place, own, cut)


def _framing(key: Tensor, both: Tensor, dials: Dials) -> tuple[Tensor, Tensor]:
    low, high = torch.tensor(dials.zoom, dtype=torch.float64).log().tolist()
    ratio = uniform(key, "zoom", (), low, high).exp()
    base = uniform(key, "base", (), 0.27, 0.315)
    unit = torch.cat([base, base * ratio])
    room = (0.46 - unit * 1.25).clamp(0.03, 0.3)
    x = 0.5 + uniform(both, "x", (), -0.6, 0.6) * room
    focus = uniform(both, "focus", (), -0.45, 0.25) * (unit - 0.33).clamp(0, 0.5) * 2
    y = 0.47 + uniform(both, "y", (), -0.35, 0.35) * room + focus
    if dials.halves > 1:  # the exemplar's head fits into the strip that will be repeated
        pairs = len(key)
        unit[pairs:] = unit[pairs:].clamp(max=0.46 / dials.halves)
        x[pairs:], y[pairs:] = 0.5 / dials.halves, 0.5
    return unit, torch.stack([x, y], dim=-1)


def _cropped(key: Tensor, posed: Tensor, there: Tensor, centre: Tensor, share: float) -> Tensor:
    """The centres, those of exemplars moved sideways until the frame cuts away `share` of the head."""
    pairs = len(key)
    heads = [MESHES.index(name) for name in ("head", "cap", "drape", "bun")]
    areas, middles = areas_of(posed[pairs:], there[pairs:], heads)
    to_left = (uniform(key, "crop") < 0.5)[:, None]
    # From the side that leaves the frame: the place up to which the share lies.
    order = torch.where(to_left, middles, -middles).argsort(dim=1)
    sums = areas.gather(1, order).double().cumsum(1)
    first = (sums >= share * sums[:, -1:]).long().argmax(1, keepdim=True)
    at = middles.gather(1, order.gather(1, first))[:, 0].double()
    moved = centre.clone()
    moved[pairs:, 0] += torch.where(to_left[:, 0], -at, 1 - at)
    return moved


def _studio(key: Tensor, both: Tensor, light: float) -> Light:
    def shared(name, low, high):
        return uniform(key, name, (), low, high).repeat(2)

    x = shared("light", -0.75, 0.75) + uniform(both, "light", (), -0.22, 0.22) * light
    y = -0.50 + uniform(both, "light height", (), -0.12, 0.12) * light
    z = torch.full_like(x, 0.80)
    norm = (x * x + y * y + z * z).sqrt()
    warm = shared("warmth", -0.05, 0.09) + uniform(both, "warmth", (), -0.04, 0.04) * light
    strength = uniform(both, "strength", (), -0.05, 0.05) * light + 0.78
    keys = torch.stack([strength * (1 + warm), strength, strength * (1 - warm)], dim=-1)
    fill = torch.stack([0.42 - warm * 0.5, 0.43 + 0 * warm, 0.48 + warm * 0.5], dim=-1)
    rim = torch.stack([0.55 - warm, 0.60 + 0 * warm, 0.68 + warm], dim=-1)
    side = torch.where(x > 0, -1.0, 1.0)
    return Light(*(v.float() for v in (x / norm, y / norm, z / norm, keys, fill, rim, side)))
