"""The key points of a drawn skeleton: what `pose_rgb`, OpenPose and the tools that copy its colours paint is read back."""

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from exemplar_lab.data.pose import COLOURS, KEYPOINTS, LIMBS

DARK = 0.1
"""Largest channel of a pixel that counts as background."""
_NEAR = 0.33
"""Distance of two colours at which one no longer counts as the other; neighbours in COLOURS are 1/3 apart."""
_FAINT = 0.3
"""Share of the largest joint's area that a joint must have: less is the rim of another."""


def drawn_keypoints(picture: Float[Tensor, "3 h w"]) -> Float[Tensor, "18 2"]:
    """The middle of the disc of each joint, in pixels of the picture (colours in [0, 1]); NaN where there is none.

    A joint is the largest patch of its colour at full brightness; limbs are darker. Raises ValueError, without the name of the
    file, for a picture that is no skeleton on black, and where no limbs join what was found: limbs that were mixed over the
    discs (as the papers' releases draw) hide their colours.
    """
    if (picture.amax(0) < DARK).float().mean() < 0.5:
        raise ValueError("its background is not black")
    colours = torch.tensor(COLOURS, dtype=picture.dtype) / 255
    # Each colour has a channel that is full, so only such pixels can be near one.
    bright = (picture.amax(0) > 1 - _NEAR).nonzero()
    distance = torch.cdist(picture[:, bright[:, 0], bright[:, 1]].T[None], colours[None])[0]
    likeness = (1 - distance / _NEAR).clamp_min(0) * (distance == distance.amin(1, keepdim=True))
    reach = max(1, round(0.02 * min(picture.shape[1:])))
    patches = [_heaviest_patch(like, bright, reach) for like in likeness.T]
    heaviest = torch.stack([patch.sum() for patch, _, _ in patches])
    points = torch.full((len(KEYPOINTS), 2), torch.nan)
    for joint in (heaviest > _FAINT * heaviest.median().clamp_min(1)).nonzero()[:, 0].tolist():
        patch, top, left = patches[joint]
        share = patch / patch.sum()
        points[joint, 0] = (share.sum(0) * (torch.arange(share.shape[1]) + left + 0.5)).sum()
        points[joint, 1] = (share.sum(1) * (torch.arange(share.shape[0]) + top + 0.5)).sum()
    _check_limbs(picture, points)
    return points


def _heaviest_patch(
    likeness: Float[Tensor, " n"], places: Int[Tensor, "n 2"], reach: int
) -> tuple[Float[Tensor, "_ _"], int, int]:
    """The window of ± `reach` pixels with the largest sum, cut at the border, and its top and left; the rest of it is 0.

    likeness: of the pixels at `places` (row, column). The work grows with the box round those that are like at all, not with
    the window.
    """
    there = likeness > 0
    if not there.any():
        return likeness.new_zeros(1, 1), 0, 0
    places = places[there]
    corner, far = places.amin(0), places.amax(0)
    box = likeness.new_zeros(*(far - corner + 1).tolist())
    box[tuple((places - corner).T)] = likeness[there]
    sums = _window_sums(_window_sums(box.double(), reach, 0), reach, 1)
    row, column = divmod(int(sums.argmax()), box.shape[1])
    top, left = max(0, row - reach), max(0, column - reach)
    patch = box[top : row + reach + 1, left : column + reach + 1]
    return patch, top + int(corner[0]), left + int(corner[1])


def _window_sums(values: Float64[Tensor, "h w"], reach: int, axis: int) -> Float64[Tensor, "h w"]:
    """At each place the sum over ± `reach` places along an axis."""
    last = values.shape[axis] - 1
    sums = values.cumsum(axis)
    at = torch.arange(last + 1)
    high = sums.index_select(axis, (at + reach).clamp_max(last))
    low = sums.index_select(axis, (at - reach - 1).clamp_min(0))
    outside = (at <= reach).view(-1, 1) if axis == 0 else (at <= reach)
    return high - low.masked_fill(outside, 0)


def _check_limbs(picture: Float[Tensor, "3 h w"], points: Float[Tensor, "18 2"]) -> None:
    """Raise ValueError unless most places along the limbs of these joints are lit."""
    start, end = points[[a for a, _ in LIMBS]], points[[b for _, b in LIMBS]]
    along = torch.stack([start + share * (end - start) for share in (0.3, 0.4, 0.5, 0.6, 0.7)])
    places = along[along.isfinite().all(-1)].floor().long()
    height, width = picture.shape[1:]
    x, y = places[:, 0].clamp(0, width - 1), places[:, 1].clamp(0, height - 1)
    if len(places) and (picture.amax(0)[y, x] > 2 * DARK).float().mean() < 0.7:
        raise ValueError("no limbs join the joints that it shows: discs must be drawn over limbs; give OpenPose's text or JSON")
