"""Questions to a feature network whose answers are known: how far is a distorted image, who painted this, where is the same
part? Each is asked of images that no training has seen, and also of ways of looking that need no network.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from kornia.metrics import ssim
from torch import Tensor, nn

from exemplar_lab.data.degrade import FAMILIES, HELD_OUT, degrade
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
from exemplar_lab.translation import Batch

STRENGTHS = tuple(level / 8 for level in range(1, 9))
STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
PART_LAYERS = ("relu3_2", "relu4_2")
Maps = Mapping[str, Float[Tensor, "b _ _ _"]]
Numbers = dict[str, dict[str, float]]
"""{number: {"mean", "half_width"}}"""


class Look(NamedTuple):
    """A way of looking at images: maps by layer, and which of them answer which question; None: it has no answer."""

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
        "L1": Look(_pixels, lambda one, other: (one["pixels"] - other["pixels"]).abs().flatten(1).mean(1)),
        "1 − SSIM": Look(_pixels, lambda one, other: 1 - ssim(one["pixels"], other["pixels"], 11).flatten(1).mean(1)),
        "colours": Look(_pixels, style=("pixels",), parts=("pixels",)),
        "same place": Look(_places, parts=("place",)),
    }


def _pixels(image: Float[Tensor, "b 3 h w"]) -> Maps:
    return {"pixels": image}


def _places(image: Float[Tensor, "b 3 h w"]) -> Maps:
    """Points on a dome over the image: the nearer two places, the smaller the angle between their vectors."""
    height, width = image.shape[-2:]
    xy = cell_centres((height, width), image.device).T.unflatten(1, (height, width)) / max(height, width) - 0.5
    return {"place": torch.cat([xy, (1 - xy.square().sum(0, keepdim=True)).sqrt()]).expand(len(image), -1, -1, -1)}


class Setting(NamedTuple):
    """How many images a task has, of what side, where; split: of the procedural images, "val" or "test". Photographs are always
    those of val, the cat and the cup: training sees all others."""

    pairs: int
    size: int
    split: str
    device: torch.device


class Task(NamedTuple):
    """measure: (looks, numbers of the images, setting) -> {look: answer}, for the looks that have one; sum_up: the answers of
    all portions -> {what is put after the task's name: numbers}."""

    measure: Callable[[Mapping[str, Look], Tensor, Setting], dict[str, Any]]
    sum_up: Callable[[list], dict[str, Numbers]]


def world_pictures(numbers: Int[Tensor, " n"], size: int, split: str = "test") -> Float[Tensor, "n 3 h w"]:
    """Held-out pictures of the procedural world, its four tasks by turns; no number shows what another shows."""
    pictures = torch.empty(len(numbers), 3, size, size)
    for turn, source in enumerate(TASKS.values()):
        of_task = numbers % len(TASKS) == turn
        pictures[of_task] = source(size, split, truth=False).batch(numbers[of_task]).target
    return pictures


def photographs(numbers: Int[Tensor, " n"], size: int, split: str = "val") -> Float[Tensor, "n 3 h w"]:
    """Held-out photographs: squares of the cat and of the cup by turns, each at a place and scale of its own. There is
    no other split than val."""
    source = Photographs(size, "val")
    return source.batch(numbers % source.length).target


def both(numbers: Int[Tensor, " n"], size: int, split: str = "test") -> Float[Tensor, "n 3 h w"]:
    """Pictures of the world and photographs by turns: numbers of their own, which show the pictures of half the number."""
    world, real = world_pictures(numbers // 2, size, split), photographs(numbers // 2, size)
    return torch.where((numbers % 2 == 0)[:, None, None, None], world, real)


def distorted(
    image: Float[Tensor, "b 3 h w"], family: str, seeds: Int[Tensor, " b"], growing: bool = False
) -> Float[Tensor, "b l 3 h w"]:
    """Each image as strongly distorted as STRENGTHS says, every time by a draw of its own: what is to be ranked is then the
    strength of a distortion. growing: by one draw per image, which grows."""
    levels = len(STRENGTHS)
    strength = torch.tensor(STRENGTHS, device=image.device).repeat(len(image))
    draws = (seeds[:, None] * levels + (0 if growing else 1) * torch.arange(levels)).flatten()
    return degrade(image.repeat_interleave(levels, 0), family, strength, draws).unflatten(0, (-1, levels))


def distances(look: Look, image: Float[Tensor, "b 3 h w"], worse: Float[Tensor, "b l 3 h w"]) -> Float[Tensor, "b l"]:
    """From each image to its distorted copies."""
    levels = worse.shape[1]
    maps = {layer: feature.repeat_interleave(levels, 0) for layer, feature in look.maps(image).items()}
    return look.distance(look.maps(worse.flatten(0, 1)), maps).unflatten(0, (-1, levels))


def _measure_ranking(
    pictures: Callable, families: Iterable[str], looks: Mapping, numbers: Tensor, setting: Setting, growing: bool = False
) -> dict[str, dict[str, Float[Tensor, "b l"]]]:
    image = pictures(numbers, setting.size, setting.split).to(setting.device)
    found = {name: {} for name, look in looks.items() if look.distance}
    for family in families:
        worse = distorted(image, family, numbers, growing)
        for name, answer in found.items():
            answer[family] = distances(looks[name], image, worse).cpu()
    return found


def _sum_up_ranking(answers: list[dict[str, Tensor]]) -> dict[str, Numbers]:
    strength = torch.tensor(STRENGTHS)
    found = {family: ranked(torch.cat([one[family] for one in answers]), strength) for family in answers[0]}
    return {f", {way}": {family: two[way] for family, two in found.items()} for way in ("per image", "pooled")}


class Hands(NamedTuple):
    """Paintings by n hands, twice each; `style` is the truth. scene: photographs, so to speak, with styles of their own."""

    query: Float[Tensor, "n 3 h w"]
    gallery: Float[Tensor, "n 3 h w"]
    style: Float[Tensor, "n 9"]
    scene: Float[Tensor, "n 3 h w"]
    scene_style: Float[Tensor, "n t"]


def hands(numbers: Int[Tensor, " n"], of: int, size: int, split: str = "test") -> Hands:
    """The hands `numbers` out of `of`. What number i of the gallery shows, number i + of / 2 of the queries shows as well: the
    right answer has another content than the query, and a wrong one has the same."""
    key = sample_keys(1, split, numbers)
    style = draw_style(fold(key, "hand"), split)
    scenes = TASKS["scenes"](size, split)
    seen, other = scenes.batch(numbers), scenes.batch((numbers + of // 2) % of)
    query, gallery = paint_in(seen.target, style, fold(key, "query")), paint_in(other.target, style, fold(key, "gallery"))
    return Hands(query, gallery, style.numbers(), seen.target, seen.truth.target_style)


def described(look: Look, image: Float[Tensor, "b 3 h w"]) -> dict[str, Float[Tensor, "b _"]]:
    """The style descriptor of images, on the processor."""
    maps = look.maps(image)
    return {layer: one.cpu() for layer, one in style_descriptor({layer: maps[layer] for layer in look.style}).items()}


def _measure_style(looks: Mapping, numbers: Tensor, setting: Setting) -> dict:
    painted = hands(numbers, setting.pairs, setting.size, setting.split)
    images = [image.to(setting.device) for image in (painted.query, painted.gallery, painted.scene)]
    truth = (painted.style, painted.scene_style)
    return {name: (*(described(look, image) for image in images), *truth) for name, look in looks.items() if look.style}


def _sum_up_style(answers: list[tuple]) -> dict[str, Numbers]:
    query, gallery, scene = (
        {layer: torch.cat([one[place][layer] for one in answers]) for layer in answers[0][place]} for place in range(3)
    )
    style, scene_style = (torch.cat([one[place] for one in answers]) for place in (3, 4))
    distance = descriptor_distance(query, gallery)
    same_medium = (style[distance.argmin(1), 0] == style[:, 0]).to(distance.dtype)
    found = summarise([retrieval_scores(distance) | {"same medium": same_medium}])
    categories = [name in ("medium", "palette") for name in STYLE_COLUMNS]
    found["ρ paintings"] = _rank_of_pairs(gallery, style_difference(style, categories))
    found["ρ scenes"] = _rank_of_pairs(scene, style_difference(scene_style, [False] * scene_style.shape[1]))
    return {"": found}


def style_difference(style: Float[Tensor, "n t"], categories: list[bool]) -> Float[Tensor, "n n"]:
    """How different two true styles are, 0 … 1: the mean over columns of |difference| relative to the range of the column; of
    a category, 1 for any difference."""
    apart = (style[:, None] - style).abs()
    spread = (style.amax(0) - style.amin(0)).clamp_min(1e-12)
    return torch.where(torch.tensor(categories), (apart > 0).to(style.dtype), apart / spread).mean(2)


def _rank_of_pairs(descriptor: Mapping[str, Tensor], true: Float[Tensor, "n n"], draws: int = 200) -> dict[str, float]:
    """Over pairs of images; an image that is drawn twice is in twice as many pairs, but never paired with itself."""
    one, other = torch.triu_indices(len(true), len(true), 1)
    times = torch.cat([torch.ones(1, len(true), dtype=torch.float64), drawn_again(len(true), draws)])
    distance = descriptor_distance(descriptor, descriptor)[one, other]
    return with_interval(weighted_spearman(distance, true[one, other], times[:, one] * times[:, other]))


def _measure_parts(kind: str, looks: Mapping, numbers: Tensor, setting: Setting) -> dict:
    source = TASKS[kind](setting.size, setting.split)
    batch, other = (source.batch(which, setting.device) for which in (numbers, numbers + setting.pairs))
    return {name: part_scores(look, batch, other) for name, look in looks.items() if look.parts}


def part_scores(look: Look, batch: Batch, other: Batch) -> dict[str, Float[Tensor, " b"]]:
    """Per layer and image: part accuracy in the exemplar (exemplar) and in the target of `other` (other), and PCK@0.1."""
    size = (batch.target.shape[-2] // 2, batch.target.shape[-1] // 2)
    cells = truth_of_cells(batch.truth, size)
    part, exemplar_part, other_part = parts_of_cells(
        size, batch.truth.target_part, batch.truth.exemplar_part, other.truth.target_part
    )
    seen = part.masked_fill(~cells.visible, -1)
    scores = {}
    for layer, (index, index_other) in corresponding(look, batch.target, batch.exemplar, other.target).items():
        error = point_error(2 * index_to_xy(index, size).movedim(-1, 1), cells)
        scores |= {
            f"exemplar {layer}": part_accuracy(index, seen, exemplar_part),
            f"other {layer}": part_accuracy(index_other, part, other_part),
            f"pck@0.1 {layer}": pck(error, cells, 0.1),
        }
    return {name: value.cpu() for name, value in scores.items()}


class PartSearch(NamedTuple):
    """One sample's parts looked for in another sample: pictures, maps of parts (−1 is none), and how much of each is right."""

    pictures: dict[str, Float[Tensor, "3 h w"]]
    parts: dict[str, Int[Tensor, "hc wc"]]
    share: dict[str, float]


def search_parts(looks: Mapping[str, Look], kind: str, one: int, other: int, size: int, split: str = "test") -> PartSearch:
    """The part that each cell of the target `one` finds in the target `other`, for every look and its first layer."""
    here, there = (TASKS[kind](size, split).batch(torch.tensor([number])) for number in (one, other))
    part, other_part = parts_of_cells((size // 2, size // 2), here.truth.target_part, there.truth.target_part)
    pictures = {"target": here.target[0], "another": there.target[0]}
    parts, share = {"true parts": part[0], "of the other": other_part[0]}, {}
    for name, look in looks.items():
        if look.parts:
            index = corresponding(look, here.target, there.target)[look.parts[0]][0]
            found = other_part.flatten(1).gather(1, index.flatten(1)).view_as(part)
            parts[name] = found.masked_fill(part < 0, -1)[0]
            share[name] = float(part_accuracy(index, part, other_part))
    return PartSearch(pictures, parts, share)


def parts_of_cells(size: tuple[int, int], *parts: Int[Tensor, "b h w"]) -> list[Int[Tensor, "b hc wc"]]:
    """The part that fills most of each cell, of all images alike."""
    classes = max(int(part.max()) for part in parts) + 1
    return [labels_of_cells(part, size, classes) for part in parts]


def corresponding(
    look: Look, image: Float[Tensor, "b 3 h w"], *others: Float[Tensor, "b 3 h w"]
) -> dict[str, list[Int[Tensor, "b hc wc"]]]:
    """{layer: for each of `others`, where in it the nearest feature of every cell lies}; cells are two pixels wide."""
    size = (image.shape[-2] // 2, image.shape[-1] // 2)
    maps = [look.maps(one) for one in (image, *others)]
    answer = {}
    for layer in look.parts:
        query, *keys = (F.interpolate(one[layer], size, mode="bilinear", antialias=True) for one in maps)
        answer[layer] = [nearest_positions(query, key) for key in keys]
    return answer


MEASURED = {
    "ranking world": Task(partial(_measure_ranking, world_pictures, FAMILIES), _sum_up_ranking),
    "ranking photographs": Task(partial(_measure_ranking, photographs, FAMILIES), _sum_up_ranking),
    "ranking growing": Task(partial(_measure_ranking, both, FAMILIES, growing=True), _sum_up_ranking),
    "ranking unseen": Task(partial(_measure_ranking, both, HELD_OUT), _sum_up_ranking),
    "style": Task(_measure_style, _sum_up_style),
    **{
        f"parts {kind}": Task(partial(_measure_parts, kind), lambda answers: {"": summarise(answers)})
        for kind in ("people", "faces", "scenes")
    },
}
"""All tasks by name; a number is better when it is larger."""
