"""The procedural world, first task: people. A figure in one pose, and the same figure in another, with the exact truth between
them."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.data.pose import CHANNELS, pose_maps
from exemplar_lab.data.seeds import choose, fold, uniform
from exemplar_lab.data.synth.dials import Dials, dials_of
from exemplar_lab.data.synth.lattice import seed_of
from exemplar_lab.data.synth.people.anatomy import grow, keypoints
from exemplar_lab.data.synth.people.body import PARTS, Bones, pack
from exemplar_lab.data.synth.people.frame import into_strip, outside
from exemplar_lab.data.synth.people.render import Surfaces, find_surfaces, render
from exemplar_lab.data.synth.people.skeleton import HEIGHT, draw_pose
from exemplar_lab.data.synth.people.studio import studio
from exemplar_lab.data.synth.people.texture import look_of
from exemplar_lab.data.synth.people.truth import parts_of, truth_of
from exemplar_lab.data.synth.people.wardrobe import draw_identity, twins_alike, under_hat
from exemplar_lab.data.synth.source import check_source, keys_of, length_of
from exemplar_lab.data.synth.staging import condition_channels, condition_of, drop_blocks, drop_points, occlude, repeat_halves
from exemplar_lab.translation import Batch

VERSION = 2
"""Part of every seed: raise it when pictures change, so that numbers from before are not mistaken for numbers after."""


@dataclass(frozen=True)
class People:
    """A source of pairs of people, made on the device that asks.

    A sample depends on (VERSION, split, index) and the dials alone. Both images show one identity before one backdrop, so that
    the target is determined by the exemplar and the target's pose; the backdrop itself has no match.

    size: image side in pixels, at least 16. split: train, val, test or ood. tier: easy, medium or hard, or the `Dials` of your
    own. truth: False leaves Batch.truth None, for training, which needs none. Raises ValueError for anything else.

    The exemplar shows 0.97 of what the target shows of an easy figure, 0.72 of a medium and 0.49 of a hard one (means over 128
    pairs at 128, validation split; 0.85 and 0.70 if nothing stood in front). The rest turned away, passed behind a limb, left
    the frame or is hidden.
    """

    size: int = 64
    split: str = "train"
    tier: str | Dials | dict[str, Any] = "medium"
    truth: bool = True

    def __post_init__(self):
        check_source(self.size, self.split, self.tier, "people")

    @property
    def condition_channels(self) -> int:
        return condition_channels(dials_of(self.tier, "people").gap, CHANNELS, len(PARTS))

    @property
    def length(self) -> int | None:
        return length_of(self.split)

    def batch(self, indices: Int[Tensor, " b"], device: torch.device | str = "cpu") -> Batch:
        """The pairs `indices`, on `device`. Raises ValueError for an index below 0 or not below `length`."""
        if not len(indices):
            return self.batch(indices.new_zeros(1), device)[:0]
        key = keys_of(VERSION, self.split, indices, device)
        dials = dials_of(self.tier, "people")
        identity = fold(key, "identity")
        measures, wardrobe = draw_identity(identity, self.split == "ood", dials.distinct, dials.repetition)
        bones, unit = _figures(key, dials, measures)
        look = look_of(wardrobe, seed_of(identity, "entropy"), dials.entropy)
        surfaces = find_surfaces(pack(bones), self.size, self.truth or dials.gap == "parts")
        light, backdrop = studio(key, dials.light)
        images, paints, figures = render(bones, surfaces, look, light, backdrop, unit.float())
        points = keypoints(bones) * self.size
        conditions = self._conditions(key, dials, images, surfaces, points)
        truth = None
        if self.truth:
            alike = twins_alike(wardrobe) * (dials.entropy is None or dials.entropy <= 0.5)
            truth = truth_of(bones, surfaces, look, alike, dials.repetition > 0, paints, points)
        (target, exemplar), (condition, exemplar_condition) = images.chunk(2), conditions.chunk(2)
        paired = torch.ones(len(key), dtype=torch.bool, device=key.device)
        batch = Batch(condition, target, exemplar, exemplar_condition, paired, truth)
        batch = occlude(batch, figures.chunk(2)[1], key, dials.occlusion)
        return repeat_halves(batch, dials.halves)

    def _conditions(self, key: Tensor, dials: Dials, images: Tensor, surfaces: Surfaces, points: Tensor) -> Tensor:
        """The structures of targets and then exemplars, less what the dial dropout takes."""
        both = torch.cat([fold(key, "target"), fold(key, "exemplar")])
        if dials.gap == "structure":
            return pose_maps(drop_points(points, both, dials.dropout), self.size)
        part = parts_of(surfaces) if dials.gap == "parts" else torch.full_like(images[:, 0], -1).long()
        return drop_blocks(condition_of(dials.gap, images[:, :0], images, part, len(PARTS)), both, dials.dropout)


def _figures(key: Tensor, dials: Dials, measures: dict[str, Tensor]) -> tuple[Bones, Float[Tensor, " n"]]:
    """Bones of all targets and then all exemplars, and the heights of the figures as fractions of the image side."""
    both = torch.cat([fold(key, "target"), fold(key, "exemplar")])
    shown = torch.arange(2, device=key.device).repeat_interleave(len(key))
    low, high = torch.tensor(dials.zoom, dtype=torch.float64).log().tolist()
    ratio = uniform(key, "zoom", (), low, high).exp()
    base = uniform(key, "base", (), 0.88, 1.06)
    zoom = torch.cat([base, base * ratio])
    # A small figure may stand anywhere; of a large one, the frame shows the surroundings of a point somewhere on the body.
    room = (1.12 - zoom).clamp(0.06, 0.6) * 0.5
    focus = uniform(both, "focus", (), -0.42, 0.25) * (zoom - 1.1).clamp(0, 0.5) * 2
    x = 0.5 + uniform(both, "x", (), -0.7, 0.7) * room
    y = 0.5 + uniform(both, "y", (), -0.35, 0.35) * room - focus * zoom * HEIGHT
    pose = draw_pose(both, dials.yaw, dials.articulation)
    turned = (uniform(key, "back") < dials.back).repeat(2) * shown
    pose["yaw"] = pose["yaw"] + math.pi * turned
    measures = {name: v.repeat(2) for name, v in measures.items()} | _extras(key, measures, dials.extras)
    measures |= under_hat(measures)
    bones = grow(pose, measures, zoom, torch.stack([x, y], dim=-1))
    unit = zoom * HEIGHT
    if dials.halves > 1:
        bones, scale = into_strip(bones, shown, dials.halves)
        unit = unit * scale
    if dials.crop > 0:
        bones = outside(bones, shown, key, dials.crop)
    return bones, unit


def _extras(key: Tensor, measures: dict[str, Tensor], chance: float) -> dict[str, Tensor]:
    """Hats and bags: those that belong to the figure, and in the exemplar, by chance, what is still missing of a hat (0), a bag
    (1) or both (2)."""
    extra, kind = uniform(key, "extra") < chance, choose(key, "extra kind", (1, 1, 1))
    hat, bag = measures["hat"] > 0, measures["bag"] > 0
    gets_hat = extra & ~hat & ((kind != 1) | bag)
    gets_bag = extra & ~bag & ((kind != 0) | hat)
    return {name: torch.cat([has, has | gets]).double() for name, has, gets in (("hat", hat, gets_hat), ("bag", bag, gets_bag))}
