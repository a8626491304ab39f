"""Two crops of one canvas, each the other's exemplar, and the whole canvas as its own: the training pairs of [MSCA].

Four schemes make training pairs here, each for any source. The same identity in another pose or view [DynaST] is what every
source of the world gives by itself; a geometric warp of the target as its exemplar [CoCosNet, MATEBIT] is
`distort.pseudo_exemplar`; an exemplar with similar labels [CoCosNet, MSCA] is `retrieval.Retrieved`; and these are the fourth.
"""

from dataclasses import dataclass, replace
from math import gcd

import torch
import torch.nn.functional as F
from jaxtyping import Int
from torch import Tensor

from exemplar_lab.data.distort import pixel_centres
from exemplar_lab.data.retrieval import unrelated
from exemplar_lab.data.seeds import choose, fold, uniform
from exemplar_lab.translation import Batch, Truth


@dataclass(frozen=True)
class Crops:
    """Pairs for Eq. 9–12 of [MSCA]: first reconstructs crop p from crop q, second q from p, whole the canvas from itself."""

    first: Batch
    second: Batch
    whole: Batch


def disjoint_crops(canvas: Batch, seeds: Int[Tensor, " b"], size: int, flip: float = 0.0) -> Crops:
    """Two crops of size × size from the target of each canvas that share no pixel: side by side, one above the other, or
    corner to corner, as far apart as chance has it ([MSCA], Appendix F, first 20 epochs).

    canvas: square, at least 2 · size wide; its exemplars are not looked at. flip: chance that a canvas is mirrored first.
    Between the crops there is no match: flow is NaN, nothing visible. The whole matches itself, pixel by pixel. Part, albedo,
    uv, key points and style are kept where the canvas knows them.
    """
    height, width = canvas.target.shape[-2:]
    if min(height, width) < 2 * size:
        raise ValueError(
            f"got a canvas of {width} × {height} for crops of {size}, expected at least {2 * size} × {2 * size}: "
            "two crops must fit beside each other; make a larger canvas, or use crops_with_global"
        )
    seeds = fold(seeds.to(canvas.target.device), "disjoint crops")
    apart = choose(seeds, "apart", (2, 2, 1))  # side by side, one above the other, both
    swap = uniform(seeds, "swap", (3,)) < 0.5
    corners = []
    for axis, (name, length, free) in enumerate((("x", width, 1), ("y", height, 0))):
        near = _whole_number(uniform(seeds, f"near {name}"), length - 2 * size + 1)
        far = near + size + _whole_number(uniform(seeds, f"far {name}"), length - 2 * size - near + 1)
        loose = [_whole_number(uniform(seeds, f"loose {name} {n}"), length - size + 1) for n in (0, 1)]
        ordered = torch.where(swap[:, axis], far, near), torch.where(swap[:, axis], near, far)
        corners.append([torch.where(apart == free, a, b) for a, b in zip(loose, ordered, strict=True)])
    (left_p, left_q), (top_p, top_q) = corners
    canvas = _mirrored(canvas, uniform(seeds, "flip") < flip)
    p, q = ((left_p, top_p), (left_q, top_q))
    return Crops(
        _pair(canvas, p, q, size, size, related=False),
        _pair(canvas, q, p, size, size, related=False),
        _self(canvas, size),
    )


def crops_with_global(canvas: Batch, seeds: Int[Tensor, " b"], patch: int, size: int, flip: float = 0.5) -> Crops:
    """Two crops of patch × patch from anywhere in each canvas, resized to `size`, and the whole canvas resized to it ([MSCA],
    Appendix F, last 20 epochs: patches of 384 from canvases of 512, resized to 256).

    Crops may overlap. What they share matches exactly: flow is that shift, visible where it ends inside the other crop.
    """
    height, width = canvas.target.shape[-2:]
    if not size <= patch <= min(height, width):
        raise ValueError(
            f"got patches of {patch} for pictures of {size} from a canvas of {width} × {height}, expected size ≤ patch ≤ side "
            "of the canvas: choose a patch between them"
        )
    seeds = fold(seeds.to(canvas.target.device), "crops")
    corners = [
        tuple(
            _whole_number(uniform(seeds, f"{name} {n}"), length - patch + 1) for name, length in (("x", width), ("y", height))
        )
        for n in (0, 1)
    ]
    canvas = _mirrored(canvas, uniform(seeds, "flip") < flip)
    p, q = corners
    return Crops(
        _pair(canvas, p, q, patch, size, related=True), _pair(canvas, q, p, patch, size, related=True), _self(canvas, size)
    )


def _whole_number(unit: Tensor, count: Tensor | int) -> Int[Tensor, " b"]:
    """0 … count − 1, from a number in [0, 1)."""
    return (unit * count).long()


def _pair(
    canvas: Batch, at: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor], patch: int, size: int, related: bool
) -> Batch:
    """The crop at (left, top) of a canvas with another crop of it as its exemplar, both resized from `patch` to `size`."""
    pair = unrelated(_crop(canvas, *at, patch, size), _crop(canvas, *other, patch, size), paired=True)
    if not related:
        return pair
    shift = torch.stack([at[0] - other[0], at[1] - other[1]], dim=1).float() * (size / patch)
    flow = pixel_centres((size, size), device=shift.device) + shift[..., None, None]
    inside = ((flow >= 0) & (flow <= size)).all(1)
    known = pair.truth or Truth(flow, inside)
    return replace(pair, truth=replace(known, flow=flow, visible=inside, count=inside.to(flow.dtype)))


def _self(canvas: Batch, size: int) -> Batch:
    """The whole canvas as target and exemplar: every pixel matches itself."""
    height, width = canvas.target.shape[-2:]
    if height != width:
        raise ValueError(f"got a canvas of {width} × {height}, expected a square one: crop it first")
    if width * size // gcd(width, size) > 4096:  # areas are averaged exactly, on the finest grid that holds both
        raise ValueError(
            f"got a canvas of {width} for pictures of {size}, expected a round ratio, for example {2 * size}: resize it first"
        )
    zero = torch.zeros(len(canvas), dtype=torch.long, device=canvas.target.device)
    return _pair(canvas, (zero, zero), (zero, zero), width, size, related=True)


def _crop(canvas: Batch, left: Tensor, top: Tensor, patch: int, size: int) -> Batch:
    """The target side of a canvas within a window; images are averaged when they shrink, parts and uv read at pixel centres."""
    corners = list(zip(top.tolist(), left.tolist(), strict=True))

    def cut(value: Tensor) -> Tensor:
        # Slices copy rows; an index for every number takes five times as long where there are many classes.
        return torch.stack([one[..., y : y + patch, x : x + patch] for one, (y, x) in zip(value, corners, strict=True)])

    def averaged(value: Tensor) -> Tensor:
        # Area averages, exactly: 384 → 256 doubles every pixel and takes the means of 3 × 3.
        common = gcd(patch, size)
        found = cut(value)
        if size > common:
            found = found.repeat_interleave(size // common, -1).repeat_interleave(size // common, -2)
        return F.avg_pool2d(found, patch // common) if patch > common else found

    nearest = ((torch.arange(size, device=left.device) + 0.5) * patch / size).long()

    def picked(value: Tensor) -> Tensor:
        return cut(value)[..., nearest[:, None], nearest]

    truth = canvas.truth
    if truth is not None:
        corner = torch.stack([left, top], dim=1)[:, None]
        changed = {
            "target_albedo": averaged,
            "target_part": picked,
            "target_uv": picked,
            "target_keypoints": lambda points: (points - corner) * (size / patch),
            "target_style": lambda style: style,
        }
        known = {name: change(getattr(truth, name)) for name, change in changed.items() if getattr(truth, name) is not None}
        truth = Truth(picked(truth.flow), picked(truth.visible), **known)
    condition = averaged(canvas.condition)
    target = averaged(canvas.target)
    return Batch(condition, target, target, condition, canvas.paired, truth)


def _mirrored(canvas: Batch, which: Tensor) -> Batch:
    """Some of the canvases, left to right; the target side only."""
    if not which.any():
        return canvas
    width = canvas.target.shape[-1]

    def turned(value: Tensor | None) -> Tensor | None:
        if value is None:
            return None
        return torch.where(which.reshape(-1, *[1] * (value.dim() - 1)), value.flip(-1), value)

    truth = canvas.truth
    if truth is not None:
        changed = {name: turned(getattr(truth, name)) for name in ("target_albedo", "target_part", "target_uv")}
        if truth.target_keypoints is not None:
            x, y = truth.target_keypoints.unbind(-1)
            changed["target_keypoints"] = torch.stack([torch.where(which[:, None], width - x, x), y], dim=-1)
        truth = replace(truth, **changed)
    return replace(canvas, condition=turned(canvas.condition), target=turned(canvas.target), truth=truth)
