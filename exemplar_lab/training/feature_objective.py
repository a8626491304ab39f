"""What the lab features are asked while they learn; every answer is known, because the world made the picture."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from exemplar_lab.data.degrade import FAMILIES, degrade
from exemplar_lab.data.seeds import fold, sample_keys, uniform
from exemplar_lab.grid import sample_at
from exemplar_lab.losses.contrast import dense_info_nce, info_nce
from exemplar_lab.metrics.perceptual import perceptual_distance
from exemplar_lab.nn.lab_features import FeatureTrainer, style_statistics
from exemplar_lab.training.feature_recipe import PARTS, FeatureRecipe
from exemplar_lab.translation import Truth

MATCHED = {"relu2_2": 2, "relu3_2": 4, "relu4_2": 8}
"""Layers at which a point must know its counterpart, and their strides."""

STEEPNESS = 10.0
"""Of the order of distances: one that is larger by a tenth where it should be smaller costs log(1 + e)."""

DRAWS = 5
"""Distortions of each picture."""

TURNS = (*FAMILIES, "colour shift")
"""Whose turn it is; colours are the hardest, because unit length hides how bright a position is, and come twice."""

VERSION = 1
"""Part of the seed of the points and of the distortions."""


class Views(NamedTuple):
    """Two pictures of one thing for every sample of a source, and what is known of them."""

    one: Float[Tensor, "b 3 h w"]
    other: Float[Tensor, "b 3 h w"]
    truth: Truth | None
    keys: Int[Tensor, " b"]


class Worse(NamedTuple):
    """b pictures, and what one family of distortions made of them, DRAWS times each: all of them, and then all again."""

    image: Float[Tensor, "b 3 h w"]
    worse: Float[Tensor, "n 3 h w"]
    strength: Float[Tensor, " n"]


def draw_views(recipe: FeatureRecipe, number: int, device: torch.device | str = "cpu") -> dict[str, Views]:
    """{source: views} of step `number`; they depend on the recipe's seed and the number alone."""
    size = recipe.size(number)
    views = {}
    for name, source in recipe.sources(size).items():
        most = recipe.pairs[name]
        pairs = most if size == recipe.sizes[0] else max(2, most // 2)
        indices = recipe.seed * 2**40 + (number - 1) * most + torch.arange(pairs)
        batch = source.batch(indices, device)
        # One style on two contents: the exemplar, and the content as the world paints it in the exemplar's style.
        one = source.painted(indices, device) if name == "styles" else batch.target
        keys = fold(sample_keys(VERSION, "train", indices), name)
        views[name] = Views(one, batch.exemplar, batch.truth, keys.to(device))
    return views


def draw_worse(views: Mapping[str, Views], number: int) -> Worse:
    """One picture of every source, by the family whose turn it is in step `number`; every draw is a distortion of its own."""
    image, keys = (torch.cat([getattr(pair, field)[:1] for pair in views.values()]) for field in ("one", "keys"))
    drawn = torch.cat([fold(keys, f"worse {number} {draw}") for draw in range(DRAWS)])
    strength = uniform(drawn, "strength").to(image.dtype)
    return Worse(image, degrade(image.repeat(DRAWS, 1, 1, 1), TURNS[number % len(TURNS)], strength, drawn), strength)


def feature_terms(
    trainer: FeatureTrainer, views: Mapping[str, Views], worse: Worse, points: int
) -> dict[str, Float[Tensor, ""]]:
    """The terms of one step, over all sources at once.

    parts: cross-entropy of the parts of people, faces, scenes and paintings, in which shares of a cell count.
    contrast: `dense_info_nce` of `points` visible points against their counterparts, at MATCHED, on the features as they are.
    identity: `info_nce` of the mean deepest features of two pictures of one person or face.
    same_style: `info_nce` of the `style_statistics` of two contents in one style.
    style: the style vectors of scenes and paintings; medium and palette as classes, the rest by squared error in units of the
        variance of a uniform number.
    order: the `perceptual_distance` from a picture to its distortions must order these as their true strengths do.
    """
    shown = [image for pair in views.values() for image in (pair.one, pair.other)]
    of_all = trainer(torch.cat([*shown, worse.image, worse.worse]))
    rest = sum(map(len, shown))
    of_worse = {layer: one[rest:] for layer, one in of_all.items()}
    of_all = {layer: one[:rest] for layer, one in of_all.items()}
    statistics = trainer.normalise(style_statistics(of_all))
    terms: dict[str, list[Tensor]] = {"parts": [], "contrast": [], "identity": [], "same_style": [], "style": []}
    at = 0
    for name, pair in views.items():
        count = len(pair.one)
        both = {layer: one[at : at + 2 * count] for layer, one in of_all.items()}
        style = statistics[at : at + 2 * count]
        at += 2 * count
        task = "scenes" if name == "paintings" else name
        if task in PARTS:
            scores = trainer.part_scores(both, task)
            terms["parts"].append(F.cross_entropy(scores, part_shares(pair.truth, PARTS[task], tuple(scores.shape[-2:]))))
        if pair.truth is not None:
            terms["contrast"] += _matched(both, pair, points)
        if name in ("people", "faces"):
            terms["identity"].append(info_nce(*trainer.identity(both["relu5_2"].mean((2, 3))).chunk(2)))
        if name == "styles":
            terms["same_style"].append(info_nce(*style.chunk(2)))
        if pair.truth is not None and pair.truth.target_style is not None:
            wanted = torch.cat([pair.truth.target_style, pair.truth.exemplar_style])
            terms["style"].append(_style_errors(trainer, name, style, wanted))
    terms["order"] = [distance_order(of_worse, worse.strength)]
    return {name: torch.stack(parts).mean() for name, parts in terms.items() if parts}


def distance_order(of_worse: Mapping[str, Tensor], strength: Float[Tensor, " n"]) -> Float[Tensor, ""]:
    """log(1 + exp(−steepness · log(d₁ / d₂))) over pairs of distorted pictures of which the first is the stronger one; pairs
    count by the difference of their strengths. The mean of two means: over pairs of one picture, and over all pairs.

    of_worse: the features of b pictures, then of the n distorted ones, in the order of `Worse`.
    """
    count = len(strength) // DRAWS
    clean = {layer: one[:count].repeat(DRAWS, 1, 1, 1) for layer, one in of_worse.items()}
    distance = perceptual_distance({layer: one[count:] for layer, one in of_worse.items()}, clean)
    log = (distance + 1e-6).log()
    cost = F.softplus(-STEEPNESS * (log[:, None] - log))
    stronger = (strength[:, None] - strength).clamp_min(0)
    picture = torch.arange(count, device=strength.device).repeat(DRAWS)
    alike = stronger * (picture[:, None] == picture)
    return ((stronger * cost).sum() / stronger.sum() + (alike * cost).sum() / alike.sum()) / 2


def part_shares(truth: Truth, classes: int, size: tuple[int, int]) -> Float[Tensor, "b2 {classes} hq wq"]:
    """How much of each cell every part fills, of targets and then exemplars; the background, −1, is the first class if any."""
    part = torch.cat([truth.target_part, truth.exemplar_part]).long()
    part = part + 1 if classes != PARTS["scenes"] else part
    return F.adaptive_avg_pool2d(F.one_hot(part, classes).movedim(-1, 1).float(), size)


def draw_points(truth: Truth, keys: Int[Tensor, " b"], points: int) -> tuple[Bool[Tensor, " b"], Tensor, Tensor]:
    """Which samples show at least `points` visible pixels, and of these as many points (x, y) in target and exemplar."""
    visible = truth.visible.flatten(1)
    enough = visible.sum(1) >= points
    drawn = uniform(fold(keys[enough], "points"), "pixel", (visible.shape[1],)).masked_fill(~visible[enough], 2.0)
    index = drawn.topk(points, largest=False).indices
    width = truth.visible.shape[-1]
    here = torch.stack([index % width, index // width], dim=1) + 0.5
    there = truth.flow[enough].flatten(2).gather(2, index[:, None].expand(-1, 2, -1))
    return enough, here.to(there.dtype), there


def _matched(both: Mapping[str, Tensor], pair: Views, points: int) -> list[Tensor]:
    enough, here, there = draw_points(pair.truth, pair.keys, points)
    if not enough.any():
        return []
    terms = []
    for layer, stride in MATCHED.items():
        one, other = both[layer].chunk(2)
        read = [sample_at(one[enough], (here / stride)[..., None]), sample_at(other[enough], (there / stride)[..., None])]
        near = torch.cdist(there.mT, there.mT) < 1.5 * stride
        terms.append(dense_info_nce(read[0][..., 0], read[1][..., 0], near))
    return terms


def _style_errors(trainer: FeatureTrainer, name: str, style: Tensor, wanted: Tensor) -> Tensor:
    if name == "scenes":
        return 12 * F.mse_loss(trainer.styles["scenes"](style), wanted)
    medium, palette, rest = wanted[:, 0].long(), wanted[:, 1].long(), wanted[:, 2:]
    classes = F.cross_entropy(trainer.styles["medium"](style), medium) + F.cross_entropy(
        trainer.styles["palette"](style), palette
    )
    return classes + 12 * F.mse_loss(trainer.styles["paintings"](style), rest)
