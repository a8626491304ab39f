"""Human poses as networks read them: 18 key points become heat maps, 17 limbs become distance maps.

Order, limbs and colours are those of OpenPose (Cao et al. 2017, the 18-point COCO model).
"""

import torch
from jaxtyping import Float
from torch import Tensor

KEYPOINTS = (
    *("nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist"),
    *("right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"),
    *("right_eye", "left_eye", "right_ear", "left_ear"),
)
LIMBS = (
    *((1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13)),
    *((1, 0), (0, 14), (14, 16), (0, 15), (15, 17)),
)
COLOURS = (
    *((255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0), (0, 255, 0), (0, 255, 85)),
    *((0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255), (0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255)),
    *((255, 0, 170), (255, 0, 85)),
)
CHANNELS = len(KEYPOINTS) + len(LIMBS)

SIGMA = 0.0235
"""Width of a heat map as a fraction of the image side: 6 pixels at 256."""
REACH = 0.25
"""Distance from a limb, as a fraction of the image side, at which its map has faded to 0."""


def pose_maps(keypoints: Float[Tensor, "b 18 2"], size: int) -> Float[Tensor, "b 35 h w"]:
    """The condition maps of poses given in pixels of an image of side `size`; all in [0, 1], the same picture at every size.

    Channels 0–17 are exp(−d² / 2σ²), d the distance to a key point, σ = SIGMA · size. Channels 18–34 are max(0, 1 − d / reach),
    d the distance to a limb, so 1 on the limb and 0 from reach = REACH · size on. A key point that is NaN, and every limb it
    ends, is 0 everywhere. Key points may lie outside the image.

    Released code: CoCosNet stores min(d / 3, 255) / 255 with d in city blocks at 256, which depends on the size and is 1 far
    away.
    """
    if not isinstance(size, int) or size < 1:
        raise ValueError(f"got size {size!r}, expected a positive integer: the side of the condition maps in pixels")
    points = keypoints.double() / size
    found = points.isfinite().all(-1)
    points = points.nan_to_num()
    centre = (torch.arange(size, device=points.device, dtype=torch.float64) + 0.5) / size
    maps = torch.empty(len(points), CHANNELS, size, size, device=points.device)
    # A Gaussian is a product of two one-dimensional ones, and few exponentials in double precision round alike in every batch.
    bell = torch.exp(-((centre - points[..., None]) ** 2) / (2 * SIGMA**2)) * found[..., None, None]
    across, down = bell.float().unbind(2)
    torch.mul(down[..., :, None], across[..., None, :], out=maps[:, : len(KEYPOINTS)])

    # Limb after limb in three maps that are written again and again: the memory is what takes the time.
    position, off_x, off_y = (torch.empty(len(points), size, size, device=points.device) for _ in range(3))
    for channel, (a, b) in enumerate(LIMBS, len(KEYPOINTS)):
        along = points[:, b] - points[:, a]
        inverse = 1 / (along * along).sum(-1, keepdim=True).clamp_min(1e-12)
        shift = (centre - points[:, a, :, None]).float()
        step = along.float()[..., None]
        share = shift * (along * inverse).float()[..., None]
        torch.add(share[:, 0, None, :], share[:, 1, :, None], out=position).clamp_(0, 1)
        torch.mul(position, step[:, 0, None], out=off_x).sub_(shift[:, 0, None, :])
        torch.mul(position, step[:, 1, None], out=off_y).sub_(shift[:, 1, :, None])
        distance = off_x.mul_(off_x).add_(off_y.mul_(off_y)).sqrt_().mul_(-1 / REACH)
        torch.add(distance, (found[:, a] & found[:, b]).float()[:, None, None] * 11 - 10, out=maps[:, channel])
    maps[:, len(KEYPOINTS) :].clamp_min_(0)
    return maps


def pose_rgb(condition: Float[Tensor, "b 35 h w"]) -> Float[Tensor, "b 3 h w"]:
    """The coloured skeleton that OpenPose draws, painted from the maps of `pose_maps` for people to look at; in [0, 1]."""
    heat, limbs = condition.split([len(KEYPOINTS), len(LIMBS)], dim=1)
    colour = torch.tensor(COLOURS, device=condition.device, dtype=condition.dtype) / 255
    size = condition.shape[-1]
    edge = max(1 / (REACH * size), 1e-3)
    image = condition.new_zeros(condition.shape[0], 3, *condition.shape[-2:])
    for channel in range(len(LIMBS)):
        cover = ((limbs[:, channel, None] - (1 - 0.008 / REACH)) / edge + 0.5).clamp(0, 1)
        image = image * (1 - cover) + 0.6 * colour[channel, :, None, None] * cover
    for channel in range(len(KEYPOINTS)):
        distance = SIGMA * size * (-2 * heat[:, channel, None].clamp_min(1e-12).log()).sqrt()
        cover = (0.013 * size - distance + 0.5).clamp(0, 1)
        image = image * (1 - cover) + colour[channel, :, None, None] * cover
    return image
