"""The key points of a drawn skeleton: what `pose_rgb`, OpenPose and the tools that copy its colours paint is read back."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
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
    size = (picture.shape[1], picture.shape[2])
    if (picture.amax(0) < DARK).float().mean() < 0.5:
        raise ValueError("its background is not black")
    colours = torch.tensor(COLOURS, dtype=picture.dtype) / 255
    distance = torch.cdist(picture.flatten(1).T[None], colours[None])[0].T
    nearest = distance == distance.amin(0)
    likeness = ((1 - distance / _NEAR).clamp_min(0) * nearest).view(len(KEYPOINTS), *size)
    reach = max(1, round(0.02 * min(size)))
    window = 2 * reach + 1
    mass = F.avg_pool2d(likeness[None], window, 1, reach, divisor_override=1)[0]
    points = torch.full((len(KEYPOINTS), 2), torch.nan)
    heaviest, where = mass.flatten(1).max(1)
    for joint in (heaviest > _FAINT * heaviest.median().clamp_min(1)).nonzero()[:, 0].tolist():
        row, column = divmod(int(where[joint]), size[1])
        top, left = max(0, row - reach), max(0, column - reach)
        patch = likeness[joint, top : row + reach + 1, left : column + reach + 1]
        share = patch / patch.sum()
        points[joint, 0] = (share.sum(0) * (torch.arange(share.shape[1]) + left + 0.5)).sum()
        points[joint, 1] = (share.sum(1) * (torch.arange(share.shape[0]) + top + 0.5)).sum()
    _check_limbs(picture, points)
    return points


def _check_limbs(picture: Float[Tensor, "3 h w"], points: Float[Tensor, "18 2"]) -> None:
    """Raise ValueError unless most places along the limbs of these joints are lit."""
    start, end = points[[a for a, _ in LIMBS]], points[[b for _, b in LIMBS]]
    along = torch.stack([start + share * (end - start) for share in (0.3, 0.4, 0.5, 0.6, 0.7)])
    places = along[along.isfinite().all(-1)].floor().long()
    height, width = picture.shape[1:]
    x, y = places[:, 0].clamp(0, width - 1), places[:, 1].clamp(0, height - 1)
    if len(places) and (picture.amax(0)[y, x] > 2 * DARK).float().mean() < 0.7:
        raise ValueError("no limbs join the joints that it shows: discs must be drawn over limbs; give OpenPose's text or JSON")
