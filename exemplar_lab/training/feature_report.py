"""What a feature network is good for, measured on images that no training has seen, beside what needs no network at all.

Three questions whose answers are known: is a stronger distortion further away (`data.degrade`), which paintings are by one
hand, and where in another image is the same part? `measure_network` answers them for one network, `compare_looks` for many on
the same images.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from kornia.metrics import ssim
from torch import Tensor, nn

from exemplar_lab.data.degrade import FAMILIES, degrade
from exemplar_lab.data.photos import Photographs
from exemplar_lab.data.seeds import fold, sample_keys
from exemplar_lab.data.synth.paintings.source import paint_in
from exemplar_lab.data.synth.paintings.style import STYLE_COLUMNS, draw_style
from exemplar_lab.data.synth.world import TASKS
from exemplar_lab.grid import cell_centres, index_to_xy
from exemplar_lab.metrics.cells import truth_of_cells
from exemplar_lab.metrics.perceptual import PERCEPTUAL_LAYERS, perceptual_distance
from exemplar_lab.metrics.points import pck, point_error
from exemplar_lab.metrics.ranking import ranked, weighted_spearman
from exemplar_lab.metrics.retrieval import (
    descriptor_distance,
    nearest_positions,
    part_accuracy,
    retrieval_scores,
    style_descriptor,
)
from exemplar_lab.metrics.tables import drawn_again, summarise, with_interval
from exemplar_lab.metrics.transfer import labels_of_cells
from exemplar_lab.nn.features import VGG19_URL, VGG19_VARIABLE, features
from exemplar_lab.translation import Batch

STRENGTHS = tuple(level / 8 for level in range(1, 9))
STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
PART_LAYERS = ("relu3_2", "relu4_2")
PART_TASKS = ("people", "faces", "scenes")
SPLIT = "test"
"""Of the procedural images. Photographs are those of split val, the cat and the cup, for there is no other."""

CHUNK = 8
"""Images looked at together."""

Maps = Mapping[str, Float[Tensor, "b _ _ _"]]
Numbers = dict[str, dict[str, dict[str, float]]]
"""{task: {number: {"mean", "half_width"}}}"""


class Look(NamedTuple):
    """A way of looking at images: maps at named layers, and which of them answer which question; None: it has no answer."""

    maps: Callable[[Float[Tensor, "b 3 h w"]], Maps]
    distance: Callable[[Maps, Maps], Float[Tensor, " b"]] | None = None
    style: tuple[str, ...] | None = None
    parts: tuple[str, ...] | None = None


def look_of(network: nn.Module) -> Look:
    """A network with layers of VGG's names."""
    layers = {*PERCEPTUAL_LAYERS, *STYLE_LAYERS, *PART_LAYERS}
    return Look(lambda image: network(image, layers), perceptual_distance, STYLE_LAYERS, PART_LAYERS)


def plain_looks() -> dict[str, Look]:
    """What needs no network: pixel by pixel, windows of pixels, nothing but colours, and the same place in the other image."""
    return {
        "L1": Look(_pixels, lambda one, other: (one["image"] - other["image"]).abs().flatten(1).mean(1)),
        "1 − SSIM": Look(_pixels, lambda one, other: 1 - ssim(one["image"], other["image"], 11).flatten(1).mean(1)),
        "colours": Look(_pixels, style=("image",), parts=("image",)),
        "same place": Look(_places, parts=("place",)),
    }


def available_networks() -> tuple[dict[str, nn.Module], dict[str, str]]:
    """The feature networks that are there, by the name that `features` knows, and why others are not. Nothing is downloaded."""
    found, missing = {}, {}
    for name in ("fixed", "lab", "vgg19"):
        weights = Path(os.environ.get(VGG19_VARIABLE) or Path(torch.hub.get_dir(), "checkpoints", Path(VGG19_URL).name))
        if name == "vgg19" and not weights.is_file():
            missing[name] = f"no weights at {weights}; name the file in {VGG19_VARIABLE}, or fetch {VGG19_URL}"
            continue
        try:
            found[name] = features(name)
        except (ValueError, OSError) as problem:
            missing[name] = str(problem)
    return found, missing


def measure_network(
    network: nn.Module,
    pairs: int = 64,
    size: int = 64,
    progress: Callable[[list], Iterable] = iter,
    device: torch.device | str = "cpu",
) -> Numbers:
    """All numbers of one network, see `compare_looks`."""
    return compare_looks({network.name: look_of(network)}, pairs, size, progress, device)[network.name]


@torch.inference_mode()
def compare_looks(
    looks: Mapping[str, Look],
    pairs: int = 64,
    size: int = 64,
    progress: Callable[[list], Iterable] = iter,
    device: torch.device | str = "cpu",
) -> dict[str, Numbers]:
    """{look: {task: {number: {"mean", "half_width"}}}} on `pairs` held-out images of `size` a task; larger is always better.

    ranking world, ranking photographs: Spearman's ρ of the distance with the true strength for each family of distortions, the
        mean over images; …, pooled: over all images at once (see `metrics.ranking.ranked`).
    style: N contents are painted, each by one of N hands, and once more, moved on by half, so that the right answer shows
        another content and a wrong one the same. top-1, reciprocal rank: the painting by the same hand among N. same
        medium: the nearest is at least of the same medium (one of five). ρ paintings, ρ scenes: of the distance of the descriptors with that of the true styles, over all pairs of images.
    parts people, parts faces, parts scenes: each cell, two pixels wide, asks for its nearest neighbour in another image: the
        share that finds the same part in the exemplar (cells visible there) and in another sample's target (other), and that
        comes within a tenth of the image of the true point (pck@0.1); with the name of the layer.
    progress: wraps the list of all portions of work.
    Raises ValueError for fewer than two pairs, or a size that is no multiple of 16.
    """
    if pairs < 2 or size < 16 or size % 16:
        raise ValueError(f"got {pairs} pairs of {size}², expected at least 2, and a side that is a multiple of 16: change them")
    portions = [(task, which) for task in MEASURES for which in torch.arange(pairs).split(CHUNK)]
    found: dict[str, dict[str, list]] = {task: {name: [] for name in looks} for task in MEASURES}
    for task, which in progress(portions):
        for name, answer in MEASURES[task](looks, which, pairs, size, torch.device(device)).items():
            found[task][name].append(answer)
    return {
        name: {
            heading: numbers
            for task, rows in found.items()
            if rows[name]
            for heading, numbers in SUMMARIES[task.partition(" ")[0]](task, rows[name]).items()
        }
        for name in looks
    }


# Ranking


@lru_cache(maxsize=64)
def world_pictures(first: int, number: int, size: int) -> Float[Tensor, "n 3 h w"]:
    """Held-out pictures `first` … of the procedural world, its four tasks by turns, none twice."""
    names = list(TASKS)
    one = [TASKS[names[i % 4]](size, SPLIT, truth=False).batch(torch.tensor([i])).target for i in range(first, first + number)]
    return torch.cat(one)


@lru_cache(maxsize=64)
def photographs(first: int, number: int, size: int) -> Float[Tensor, "n 3 h w"]:
    """Held-out photographs: squares of the cat and of the cup by turns."""
    return Photographs(size, "val").batch(torch.arange(first, first + number) % 256).target


def distances(look: Look, image: Float[Tensor, "b 3 h w"], family: str, seeds: Int[Tensor, " b"]) -> Float[Tensor, "b l"]:
    """From each image to itself, distorted as strongly as STRENGTHS says; each time by a draw of its own, so that what is ranked
    is the strength of a distortion and not one distortion as it grows."""
    levels = len(STRENGTHS)
    strength = torch.tensor(STRENGTHS, device=image.device).repeat(len(image))
    draws = (seeds[:, None] * levels + torch.arange(levels)).flatten()
    worse = degrade(image.repeat_interleave(levels, 0), family, strength, draws)
    maps = {layer: feature.repeat_interleave(levels, 0) for layer, feature in look.maps(image).items()}
    return look.distance(look.maps(worse), maps).unflatten(0, (-1, levels))


def _rank(pictures: Callable[[int, int, int], Tensor]):
    def measure(looks: Mapping[str, Look], which: Tensor, pairs: int, size: int, device: torch.device) -> dict:
        image = pictures(int(which[0]), len(which), size).to(device)
        able = {name: look for name, look in looks.items() if look.distance}
        return {name: {family: distances(look, image, family, which) for family in FAMILIES} for name, look in able.items()}

    return measure


def _sum_up_ranking(task: str, answers: list[dict[str, Tensor]]) -> Numbers:
    strength = torch.tensor(STRENGTHS)
    found = {family: ranked(torch.cat([one[family] for one in answers]), strength) for family in FAMILIES}
    each = {f"{task}{end}": {family: two[way] for family, two in found.items()} for end, way in _WAYS.items()}
    return each


_WAYS = {"": "per image", ", pooled": "pooled"}


# Style


def _style(looks: Mapping[str, Look], which: Tensor, pairs: int, size: int, device: torch.device) -> dict:
    query, gallery, style, scene, scene_style = _style_images(int(which[0]), len(which), pairs, size)
    answer = {}
    for name, look in looks.items():
        if look.style:
            described = [
                style_descriptor({layer: maps[layer] for layer in look.style})
                for maps in (look.maps(image.to(device)) for image in (query, gallery, scene))
            ]
            answer[name] = (*described, style, scene_style)
    return answer


@lru_cache(maxsize=64)
def _style_images(first: int, number: int, pairs: int, size: int) -> tuple[Tensor, ...]:
    """Queries, gallery, their style; and scenes with theirs. The content of gallery item i is that of query i + pairs / 2."""
    hand = torch.arange(first, first + number)
    key = sample_keys(1, SPLIT, hand)
    style = draw_style(fold(key, "hand"), SPLIT)
    scenes = TASKS["scenes"](size, SPLIT)
    content, other = scenes.batch(hand), scenes.batch((hand + pairs // 2) % pairs)
    query = paint_in(content.target, style, fold(key, "query"))
    gallery = paint_in(other.target, style, fold(key, "gallery"))
    return query, gallery, style.numbers(), content.target, content.truth.target_style


def _sum_up_style(task: str, answers: list[tuple]) -> Numbers:
    query, gallery, scene = (
        {layer: torch.cat([one[place][layer] for one in answers]).cpu() for layer in answers[0][place]} for place in range(3)
    )
    style, scene_style = (torch.cat([one[place] for one in answers]) for place in (3, 4))
    distance = descriptor_distance(query, gallery)
    same_medium = (style[distance.argmin(1), 0] == style[:, 0]).to(distance.dtype)
    numbers = summarise([retrieval_scores(distance) | {"same medium": same_medium}])
    categories = [name in ("medium", "palette") for name in STYLE_COLUMNS]
    numbers["ρ paintings"] = _pairwise_rank(gallery, style_difference(style, categories))
    numbers["ρ scenes"] = _pairwise_rank(scene, style_difference(scene_style, [False] * scene_style.shape[1]))
    return {task: numbers}


def style_difference(style: Float[Tensor, "n t"], categories: list[bool]) -> Float[Tensor, "n n"]:
    """How different two true styles are, 0 … 1: the mean over columns of |difference| relative to the range of the column; where
    a column is a category, 1 for any difference."""
    apart = (style[:, None] - style).abs()
    spread = (style.amax(0) - style.amin(0)).clamp_min(1e-12)
    return torch.where(torch.tensor(categories), (apart > 0).to(style.dtype), apart / spread).mean(2)


def _pairwise_rank(described: Mapping[str, Tensor], true: Float[Tensor, "n n"], draws: int = 200) -> dict[str, float]:
    """Over pairs of images; an image that is drawn twice is in twice as many pairs, but never paired with itself."""
    one, other = torch.triu_indices(len(true), len(true), 1)
    times = torch.cat([torch.ones(1, len(true), dtype=torch.float64), drawn_again(len(true), draws)])
    distance = descriptor_distance(described, described)[one, other]
    return with_interval(weighted_spearman(distance, true[one, other], times[:, one] * times[:, other]))


# Parts


def _parts(kind: str):
    def measure(looks: Mapping[str, Look], which: Tensor, pairs: int, size: int, device: torch.device) -> dict:
        batch, other = (_pairs(kind, int(start[0]), len(start), size).to(device) for start in (which, which + pairs))
        return {name: part_scores(look, batch, other) for name, look in looks.items() if look.parts}

    return measure


@lru_cache(maxsize=64)
def _pairs(kind: str, first: int, number: int, size: int) -> Batch:
    return TASKS[kind](size, SPLIT).batch(torch.arange(first, first + number))


def part_scores(look: Look, batch: Batch, other: Batch) -> dict[str, Float[Tensor, " b"]]:
    """Per layer and image: part accuracy in the exemplar and in the target of `other`, and PCK@0.1 in the exemplar."""
    size = tuple(side // 2 for side in batch.target.shape[-2:])
    cells = truth_of_cells(batch.truth, size)
    labels = (batch.truth.target_part, batch.truth.exemplar_part, other.truth.target_part)
    classes = max(int(label.max()) for label in labels) + 1
    part, exemplar_part, other_part = (labels_of_cells(label, size, classes) for label in labels)
    seen = part.masked_fill(~cells.visible, -1)
    maps = [look.maps(image) for image in (batch.target, batch.exemplar, other.target)]
    scores = {}
    for layer in look.parts:
        query, key, key_other = (
            F.interpolate(one[layer], size, mode="bilinear", align_corners=False, antialias=True) for one in maps
        )
        index = nearest_positions(query, key)
        error = point_error(2 * index_to_xy(index, size).movedim(-1, 1), cells)
        scores |= {
            f"exemplar {layer}": part_accuracy(index, seen, exemplar_part),
            f"other {layer}": part_accuracy(nearest_positions(query, key_other), part, other_part),
            f"pck@0.1 {layer}": pck(error, cells, 0.1),
        }
    return scores


def _sum_up_parts(task: str, answers: list[dict[str, Tensor]]) -> Numbers:
    return {task: summarise(answers)}


def _pixels(image: Float[Tensor, "b 3 h w"]) -> Maps:
    return {"image": image}


def _places(image: Float[Tensor, "b 3 h w"]) -> Maps:
    """Points on a dome over the image: the nearer two places, the smaller the angle between their vectors."""
    height, width = image.shape[-2:]
    xy = cell_centres((height, width), image.device).T.unflatten(1, (height, width)) / max(height, width) - 0.5
    return {"place": torch.cat([xy, (1 - xy.square().sum(0, keepdim=True)).sqrt()]).expand(len(image), -1, -1, -1)}


MEASURES = {
    "ranking world": _rank(world_pictures),
    "ranking photographs": _rank(photographs),
    "style": _style,
    **{f"parts {kind}": _parts(kind) for kind in PART_TASKS},
}
SUMMARIES = {"ranking": _sum_up_ranking, "style": _sum_up_style, "parts": _sum_up_parts}
