"""What can be done with a model of scenes, measured: looks mixed everywhere or from side to side, and the land around a patch.

The procedural world paints any layout in any mixture of styles, so each of these has a true answer (see `repaint`).
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.data.synth.scenes import repaint
from exemplar_lab.metrics.appearance import l1, psnr
from exemplar_lab.metrics.mixing import class_colours, look_of, painted_flat, path_scores, seam_strength, share_of_second
from exemplar_lab.models.msca import MSCA
from exemplar_lab.ops.mixing import between_two, from_left_to_right
from exemplar_lab.training.evaluation import PerImage, joined
from exemplar_lab.training.panorama import centre_patch, extrapolate, window_places
from exemplar_lab.translation import Batch, Source, Translator

Progress = Callable[[Iterable], Iterator]


class Mixture(NamedTuple):
    """A layout, two scenes that lend it their looks, and what each mixture of the two truly looks like.

    condition: 1 12 h w. exemplars, exemplar_conditions: of the first and of the second scene, each 1 · h w. painted: s 3 h w.
    """

    condition: Tensor
    exemplars: list[Tensor]
    exemplar_conditions: list[Tensor]
    painted: Tensor


def mixture(
    number: int, share: Float[Tensor, " s"], size: int, split: str = "val", device: torch.device | str = "cpu"
) -> Mixture:
    """Mixture `number` of a split: three scenes of their own, samples 3 · number and the next two.

    share: how much of the second style each painting has.
    """
    layout, *lenders = (torch.tensor([3 * number + i], device=device) for i in range(3))
    condition, painted = repaint(layout, torch.cat(lenders), size, split, between_two(share)[..., 0, 0])
    maps, pictures = zip(*(repaint(one, one, size, split) for one in lenders), strict=True)
    return Mixture(condition, [one[:, 0] for one in pictures], list(maps), painted[0])


@torch.inference_mode()
def mixed(model: MSCA, given: Mixture, amount: Float[Tensor, "s 2 _ _"]) -> Float[Tensor, "s 3 h w"]:
    """The layout of a mixture in s mixtures of both looks, as the model makes them."""

    def each(value: Tensor) -> Tensor:
        return value.expand(len(amount), -1, -1, -1)

    conditions = [each(one) for one in given.exemplar_conditions]
    return model.mix(each(given.condition), [each(one) for one in given.exemplars], conditions, amount, record=False).image


def cross_fade(first: Float[Tensor, "1 3 h w"], second: Float[Tensor, "1 3 h w"], share: Float[Tensor, " s"]) -> Tensor:
    """Both pictures on top of each other, pixel by pixel: what needs no model that knows how to mix."""
    return torch.lerp(first, second, share.to(first)[:, None, None, None])


def interpolation_scores(
    model: MSCA,
    share: Float[Tensor, " s"],
    numbers: Int[Tensor, " n"],
    size: int,
    device: torch.device | str = "cpu",
    progress: Progress = iter,
) -> PerImage:
    """{row: {number: one value per mixture}}: Fig. 5 of [MSCA] against the truth.

    share: of the second style, from 0 to 1. Rows: "mixed in the model"; "cross-faded", the model's own two ends on top of each
    other; "true ends cross-faded", which no model makes; and "truth", of which only the path is measured.
    Numbers: psnr (dB) and l1 to the truth for each share, as "psnr@0.5", and those of `path_scores`, of the mean colours of the
    classes (see `look_of`).
    """
    rows: dict[str, list[dict[str, Tensor]]] = {}
    for number in progress(numbers.tolist()):
        given = mixture(number, share, size, device=device)
        made = mixed(model, given, between_two(share))
        true = given.painted
        shown = {
            "mixed in the model": made,
            "cross-faded": cross_fade(made[:1], made[-1:], share),
            "true ends cross-faded": cross_fade(true[:1], true[-1:], share),
            "truth": true,
        }
        everywhere = torch.ones_like(true[:, 0], dtype=torch.bool)
        for row, images in shown.items():
            found = {name: value[None] for name, value in path_scores(look_of(images, given.condition)).items()}
            if row != "truth":
                for name, function in (("psnr", psnr), ("l1", l1)):
                    values = function(images, true, everywhere)
                    found |= {f"{name}@{at:g}": one[None] for at, one in zip(share.tolist(), values, strict=True)}
            rows.setdefault(row, []).append(found)
    return joined(rows)


@torch.inference_mode()
def gathered_shares(
    model: MSCA,
    share: Float[Tensor, " s"],
    numbers: Int[Tensor, " n"],
    size: int,
    device: torch.device | str = "cpu",
    progress: Progress = iter,
) -> PerImage:
    """{row: {number: one value per mixture}}: how much of what each scale gathers comes from the second exemplar.

    Rows: the scales, coarse to fine, as "4 × 4". Numbers: "share@0.5", the mean over the positions of the target, where 0.5 was
    asked for. It need not be that: one softmax runs over both exemplars, and where one of them has the higher scores a little
    of it outweighs much of the other.
    """
    rows: dict[str, list[dict[str, Tensor]]] = {}
    for number in progress(numbers.tolist()):
        given = mixture(number, share[:1], size, device=device)
        wide = [one.expand(len(share), -1, -1, -1) for one in (given.condition, *given.exemplars, *given.exemplar_conditions)]
        matches = model.mix(wide[0], wide[1:3], wide[3:], between_two(share)).matches
        for match in matches:
            first, second = match.query_factor.sum(1).chunk(2, dim=1)
            found = second.sum(1) / (first.sum(1) + second.sum(1))
            values = {f"share@{at:g}": one[None] for at, one in zip(share.tolist(), found, strict=True)}
            rows.setdefault("{} × {}".format(*match.query_size), []).append(values)
    return joined(rows)


def ramp_scores(
    model: MSCA,
    numbers: Int[Tensor, " n"],
    size: int,
    bands: int = 8,
    softness: float = 1.0,
    device: torch.device | str = "cpu",
    progress: Progress = iter,
) -> PerImage:
    """{row: {number: one value per mixture}}: Fig. 7 of [MSCA], from the first look at the left to the second at the right.

    Rows: "wanted", the share of the second look that was asked for; "mixed in the model"; "cross-faded", the model's own two
    ends with the same amounts; "truth", every column painted in its own style. Numbers: "band 1" … from left to right, the
    share that is found in it (see `share_of_second`), between the model's own ends, or the true ones; psnr to the truth.
    """
    amount = from_left_to_right(size, softness=softness)
    amount = torch.cat([between_two(torch.tensor([0.0, 1.0])).expand(-1, -1, 1, size), amount]).to(device)
    wanted = amount[2, 1, 0]
    rows: dict[str, list[dict[str, Tensor]]] = {}
    for number in progress(numbers.tolist()):
        given = mixture(number, torch.cat([wanted, wanted.new_tensor([0.0, 1.0])]), size, device=device)
        true = torch.stack([given.painted[column, :, :, column] for column in range(size)], dim=2)[None]
        made = mixed(model, given, amount)
        shown = {
            "mixed in the model": (made[2:], made[:1], made[1:2]),
            "cross-faded": (made[:1] + (made[1:2] - made[:1]) * wanted, made[:1], made[1:2]),
            "truth": (true, given.painted[-2:-1], given.painted[-1:]),
        }
        everywhere = torch.ones_like(true[:, 0], dtype=torch.bool)
        rows.setdefault("wanted", []).append(_by_band(wanted.view(1, bands, -1).mean(2)))
        for row, (image, first, second) in shown.items():
            found = _by_band(share_of_second(image, first, second, bands))
            rows.setdefault(row, []).append(found | {"psnr": psnr(image, true, everywhere)})
    return joined(rows)


class Canvas(NamedTuple):
    """A canvas, and the patch at its centre, which is all that is given of it beside its labels."""

    condition: Tensor
    target: Tensor
    exemplar: Tensor
    exemplar_condition: Tensor


def canvas_of(batch: Batch, size: int) -> Canvas:
    """The target side of a batch of canvases, the patches of size × size."""
    patch = [centre_patch(value, (size, size)) for value in (batch.target, batch.condition)]
    return Canvas(batch.condition, batch.target, *patch)


@torch.inference_mode()
def extrapolations(
    models: dict[str, Translator], canvas: Canvas, at_random: int = 10, seed: int = 0, at_once: str | None = None
) -> dict[str, tuple[Tensor, Int[Tensor, "n 2"] | None]]:
    """{row: (canvas, places of its windows)}, what each way makes of a canvas. None: it has no windows.

    Rows: each of `models`, with 4 + `at_random` windows put together by `raised_cosine`; of the first also "…, plain mean" of
    the same windows and "…, corners only", which do not overlap; "…, at once" of the model of the name `at_once`: the
    whole canvas in one go, the patch enlarged to its size. "class colours": of the patch, flat (see `painted_flat`).
    """
    window = canvas.exemplar.shape[2], canvas.exemplar.shape[3]
    size = canvas.condition.shape[2], canvas.condition.shape[3]
    given = canvas.condition, canvas.exemplar, canvas.exemplar_condition
    places = window_places(size, window, at_random, seed)
    corners = window_places(size, window, 0)
    shown = {name: (extrapolate(model, *given, at_random, seed), places) for name, model in models.items()}
    first, model = next(iter(models.items()))
    plain = torch.ones(window)
    shown[f"{first}, plain mean"] = extrapolate(model, *given, at_random, seed, plain), places
    shown[f"{first}, corners only"] = extrapolate(model, *given, 0), corners
    if at_once is not None:
        large = [F.interpolate(one, size, mode=mode) for one, mode in zip(given[1:], ("bilinear", "nearest"), strict=True)]
        shown[f"{at_once}, at once"] = models[at_once](canvas.condition, *large, record=False).image, None
    flat = painted_flat(canvas.condition, class_colours(canvas.exemplar, canvas.exemplar_condition))
    return shown | {"class colours": (flat, None)}


def extrapolation_scores(
    models: dict[str, Translator],
    source: Source,
    numbers: Int[Tensor, " n"],
    size: int,
    at_once: str | None = None,
    device: torch.device | str = "cpu",
    progress: Progress = iter,
) -> PerImage:
    """{row: {number: one value per canvas}}: Fig. 8 of [MSCA] against the truth, the canvas itself.

    source: of canvases. Rows: those of `extrapolations`, and "truth". Numbers: psnr (dB) and l1 outside of the patch; "psnr,
    patch" inside of it; seam, see `seam_strength`, at the borders of the windows of a row, for those without windows at the
    borders of all.
    """
    rows: dict[str, list[dict[str, Tensor]]] = {}
    for number in progress(numbers.tolist()):
        canvas = canvas_of(source.batch(torch.tensor([number]), device=device), size)
        shown = extrapolations(models, canvas, seed=number, at_once=at_once)
        every = next(iter(shown.values()))[1]
        inside = torch.zeros_like(canvas.target[:, 0], dtype=torch.bool)
        centre_patch(inside[:, None], (size, size)).fill_(True)
        for row, (image, places) in (shown | {"truth": (canvas.target, None)}).items():
            found = {"seam": seam_strength(image, every if places is None else places, (size, size))}
            if row != "truth":
                found |= {"psnr": psnr(image, canvas.target, ~inside), "l1": l1(image, canvas.target, ~inside)}
                found |= {"psnr, patch": psnr(image, canvas.target, inside)}
            rows.setdefault(row, []).append(found)
    return joined(rows)


def _by_band(values: Float[Tensor, "1 n"]) -> dict[str, Tensor]:
    return {f"band {band}": value for band, value in enumerate(values.unbind(1), start=1)}
