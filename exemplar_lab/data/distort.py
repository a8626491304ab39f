"""Pseudo exemplars: a randomly distorted copy of the target, and exactly where every target pixel went.

The distortion goes from the exemplar to the target, t = A (e + u(e)) + shift, because an image is drawn by asking each of its
own pixels where to read. u is a thin-plate spline; A is a turn, a zoom and perhaps a mirror. The flow that a match must find
goes the other way, from the target to the exemplar. Newton's method finds it, and always does: the slope of u is kept below one
half, so that e + u(e) can neither fold nor lose its inverse.

Inside this file points are in half sides of the longer side, with the centre of the image at (0, 0); outside they are pixels.
"""

from dataclasses import dataclass, replace
from math import log, radians

import torch
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.data.seeds import uniform
from exemplar_lab.grid import cell_centres, sample_at
from exemplar_lab.translation import Batch, Truth

TURN = radians(15)
ZOOM = 1.25
SHIFT = 0.15
BEND = 0.15
"""What strength 1 means: turned by up to ±15°, zoomed by 1/1.25 … 1.25, and moved by up to ±0.15 half sides in x and in y, the
whole image once (SHIFT) and each knot of the spline once more (BEND)."""

STEEPEST = 0.5
"""Bound on the slope of u (Frobenius norm): the bend alone changes no length by more than half."""

NEWTON_STEPS = 3
"""Three steps bring the inverse to about 0.001 pixels at 256²; the tests hold the round trip below 0.01."""

_KNOTS = torch.cartesian_prod(*[torch.linspace(-1, 1, 4, dtype=torch.float64)] * 2).flip(-1)


@dataclass(frozen=True)
class Distortion:
    """t = linear · (e + u(e)) + shift, one per sample; u is a thin-plate spline: 16 knot weights, then constant, x and y."""

    size: tuple[int, int]
    linear: Float[Tensor, "b 2 2"]
    shift: Float[Tensor, "b 2"]
    spline: Float[Tensor, "b 2 19"]


def random_distortion(
    seeds: Int[Tensor, " b"],
    size: tuple[int, int],
    strength: float = 1.0,
    flip: float = 0.5,
    device: torch.device | str | None = None,
) -> Distortion:
    """One smooth distortion per seed, for images of `size` (h, w).

    strength: 0 gives the identity, 1 what TURN, ZOOM, SHIFT and BEND say; more is allowed and stays free of folds.
    flip: probability of a mirror image, left to right.
    """
    if strength < 0 or not 0 <= flip <= 1:
        raise ValueError(f"got strength {strength} and flip {flip}, expected strength >= 0 and 0 <= flip <= 1: change them")
    seeds = seeds.to(device or seeds.device)
    angle = uniform(seeds, "turn", (), -TURN, TURN) * strength
    zoom = uniform(seeds, "zoom", (), -log(ZOOM), log(ZOOM)).mul(strength).exp()
    mirror = torch.where(uniform(seeds, "mirror") < flip, -1.0, 1.0)
    shift = uniform(seeds, "shift", (2,), -SHIFT, SHIFT) * strength
    moves = uniform(seeds, "bend", (2, len(_KNOTS)), -BEND, BEND) * strength

    cosine, sine = zoom * angle.cos(), zoom * angle.sin()
    linear = torch.stack([cosine * mirror, -sine, sine * mirror, cosine], dim=-1).unflatten(-1, (2, 2))
    spline = moves @ _solve_spline().to(moves).T
    around = cell_centres((33, 33), seeds.device, torch.float64).T[None] / 33 * 3 - 1.5
    steepest = _slope(spline, around, _to_knots(around)[1]).square().sum((1, 2)).amax(1).sqrt()
    spline = spline * (STEEPEST / steepest.clamp_min(STEEPEST))[:, None, None]
    return Distortion(size, linear.float(), shift.float(), spline.float())


def exemplar_to_target(distortion: Distortion, xy: Float[Tensor, "#b 2 h w"]) -> Float[Tensor, "n 2 h w"]:
    """Where exemplar points lie in the target, both (x, y) in pixels; in closed form. One set of points can serve all."""
    point = _centred(distortion.size, xy)
    point = point + _bend(distortion.spline, point, *_to_knots(point))
    point = distortion.linear @ point + distortion.shift[..., None]
    return _in_pixels(distortion.size, point, xy)


def target_to_exemplar(
    distortion: Distortion, xy: Float[Tensor, "#b 2 h w"]
) -> tuple[Float[Tensor, "n 2 h w"], Float[Tensor, "n h w"]]:
    """Where target points lie in the exemplar, (x, y) in pixels, and the determinant there: exemplar pixels per target pixel.

    The determinant is negative where the exemplar is a mirror image.
    """
    wanted = torch.linalg.inv(distortion.linear) @ (_centred(distortion.size, xy) - distortion.shift[..., None])
    point = wanted
    for _ in range(NEWTON_STEPS):
        square, logarithm = _to_knots(point)
        (a, b), (c, d) = (row.unbind(1) for row in _slope(distortion.spline, point, logarithm).unbind(1))
        a, d = a + 1, d + 1
        determinant = a * d - b * c
        x, y = (wanted - point - _bend(distortion.spline, point, square, logarithm)).unbind(1)
        point = point + torch.stack([d * x - b * y, a * y - c * x], dim=1) / determinant[:, None]
    scale = 1 / (determinant * torch.linalg.det(distortion.linear)[:, None])
    return _in_pixels(distortion.size, point, xy), scale.unflatten(1, xy.shape[-2:])


def random_flow(
    seeds: Int[Tensor, " b"],
    size: tuple[int, int],
    strength: float = 1.0,
    flip: float = 0.5,
    device: torch.device | str | None = None,
) -> Float[Tensor, "b 2 h w"]:
    """For each target pixel centre its exemplar point (x, y) in pixels, one random distortion per seed; some lie outside."""
    distortion = random_distortion(seeds, size, strength, flip, device)
    return target_to_exemplar(distortion, pixel_centres(size, device=distortion.linear.device))[0]


def pixel_centres(
    size: tuple[int, int], per_pixel: int = 1, device: torch.device | str | None = None
) -> Float[Tensor, "1 2 h w"]:
    """The pixel grid as points in pixels; per_pixel = 2 makes a grid twice as fine in each direction, for supersampling."""
    fine = (size[0] * per_pixel, size[1] * per_pixel)
    return cell_centres(fine, device).T.unflatten(1, fine)[None] / per_pixel


def distortion_truth(
    distortion: Distortion, target_albedo: Float[Tensor, "b 3 h w"], exemplar_albedo: Float[Tensor, "b 3 h w"]
) -> Truth:
    """What is known about a pair made by `distortion`: every pixel has a counterpart, visible if inside the exemplar."""
    height, width = distortion.size
    flow, scale = target_to_exemplar(distortion, pixel_centres((height, width), device=distortion.linear.device))
    visible = (flow[:, 0] >= 0) & (flow[:, 0] <= width) & (flow[:, 1] >= 0) & (flow[:, 1] <= height)
    return Truth(flow, visible, visible * scale.abs(), target_albedo=target_albedo, exemplar_albedo=exemplar_albedo)


def pseudo_exemplar(batch: Batch, seeds: Int[Tensor, " b"], strength: float = 1.0, flip: float = 0.5) -> Batch:
    """The same targets, each with a distorted copy of itself as its exemplar: the pseudo pairs x' = h(x) of [CoCosNet].

    Image, condition and albedo are read bilinearly (heat maps and distance maps stay smooth, label maps get soft borders),
    parts and uv from the nearest pixel; what lies outside the target repeats its border. The flow is exact, and so are the
    keypoints. Parts, uv and keypoints are kept where the batch knows them.

    Released code: 30 % of the exemplars are an independent 286 → 256 crop with a flip; nothing is bent.
    """
    size, device = tuple(batch.target.shape[-2:]), batch.target.device
    distortion = random_distortion(seeds, size, strength, flip, device)
    source = exemplar_to_target(distortion, pixel_centres(size, device=device))
    known = batch.truth
    albedo = batch.target if known is None or known.target_albedo is None else known.target_albedo
    exemplar = sample_at(batch.target, source)
    truth = distortion_truth(distortion, albedo, exemplar if albedo is batch.target else sample_at(albedo, source))
    if known is not None:
        truth = replace(truth, **_carried(known, distortion, source))
    return Batch(
        condition=batch.condition,
        target=batch.target,
        exemplar=exemplar,
        exemplar_condition=sample_at(batch.condition, source),
        paired=torch.ones_like(batch.paired),
        truth=truth,
    )


def _carried(known: Truth, distortion: Distortion, source: Float[Tensor, "b 2 h w"]) -> dict[str, Tensor]:
    """The fields of the truth that live on the target, and the same moved to its distorted copy."""
    height, width = distortion.size
    x, y = source[:, 0].long().clamp(0, width - 1), source[:, 1].long().clamp(0, height - 1)
    sample = torch.arange(len(source), device=source.device)[:, None, None]
    moved = {}
    if known.target_part is not None:
        moved |= {"target_part": known.target_part, "exemplar_part": known.target_part[sample, y, x]}
    if known.target_uv is not None:
        moved |= {"target_uv": known.target_uv, "exemplar_uv": known.target_uv.movedim(1, -1)[sample, y, x].movedim(-1, 1)}
    if known.target_keypoints is not None:
        there = target_to_exemplar(distortion, known.target_keypoints.mT[..., None])[0]
        moved |= {"target_keypoints": known.target_keypoints, "exemplar_keypoints": there.squeeze(-1).mT}
    return moved


def _centred(size: tuple[int, int], xy: Float[Tensor, "b 2 h w"]) -> Float[Tensor, "b 2 n"]:
    middle = xy.new_tensor([[size[1] / 2], [size[0] / 2]])
    return (xy.flatten(2) - middle) * (2 / max(size))


def _in_pixels(size: tuple[int, int], point: Float[Tensor, "b 2 n"], like: Tensor) -> Float[Tensor, "b 2 h w"]:
    middle = point.new_tensor([[size[1] / 2], [size[0] / 2]])
    return (point * (max(size) / 2) + middle).unflatten(2, like.shape[-2:])


def _solve_spline() -> Float[Tensor, "19 16"]:
    """Moves of the knots -> weights of the thin-plate spline ½ r² log r² through them: 16 knots, then 1, x and y."""
    square = (_KNOTS[:, None] - _KNOTS).square().sum(-1)
    affine = torch.cat([torch.ones(len(_KNOTS), 1), _KNOTS], dim=1)
    top = torch.cat([torch.special.xlogy(square, square) / 2, affine], dim=1)
    bottom = torch.cat([affine.T, affine.new_zeros(3, 3)], dim=1)
    return torch.linalg.inv(torch.cat([top, bottom]))[:, : len(_KNOTS)]


def _to_knots(point: Float[Tensor, "b 2 n"]) -> tuple[Float[Tensor, "b 16 n"], Float[Tensor, "b 16 n"]]:
    """r² and log r² from each knot to each point: what u and its slope share, and what costs most of their time."""
    knots = _KNOTS.to(point)
    square = (point[:, :1] - knots[:, :1]).square_() + (point[:, 1:] - knots[:, 1:]).square_()
    return square, square.clamp_min(torch.finfo(square.dtype).tiny).log_()


def _bend(
    spline: Float[Tensor, "b 2 19"],
    point: Float[Tensor, "#b 2 n"],
    square: Float[Tensor, "#b 16 n"],
    logarithm: Float[Tensor, "#b 16 n"],
) -> Float[Tensor, "b 2 n"]:
    """u = Σ weight · ½ r² log r² + constant + affine · point."""
    weight, constant, affine = spline.split([len(_KNOTS), 1, 2], dim=-1)
    return _weigh(weight / 2, square * logarithm) + _weigh(affine, point) + constant


def _slope(
    spline: Float[Tensor, "b 2 19"], point: Float[Tensor, "#b 2 n"], logarithm: Float[Tensor, "#b 16 n"]
) -> Float[Tensor, "b 2 2 n"]:
    """∂u_i/∂x_j = Σ weight_i (x_j − knot_j) (log r² + 1) + affine_ij.

    The 1 adds up to nothing, because Σ weight = Σ weight · knot = 0 in a thin-plate spline.
    """
    weight, affine = spline[..., : len(_KNOTS)], spline[..., -2:]
    at_knot = _weigh((weight[:, :, None] * _KNOTS.to(point).T).flatten(1, 2), logarithm).unflatten(1, (2, 2))
    return _weigh(weight, logarithm)[:, :, None] * point[:, None] - at_knot + affine[..., None]


def _weigh(weight: Float[Tensor, "b i k"], value: Float[Tensor, "#b k n"]) -> Float[Tensor, "b i n"]:
    """weight @ value; einsum does not copy one `value` for every sample."""
    return torch.einsum("bik,bkn->bin", weight, value)
