"""What lies between two looks: how a path from the one to the other runs, and how much of each a picture has, column by column.
And what shows where pictures were put together."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def class_colours(image: Float[Tensor, "b 3 h w"], label: Float[Tensor, "b n h w"]) -> Float[Tensor, "b n 3"]:
    """The mean colour of each class, NaN where there is none of it. label: the share of each class in each pixel."""
    area = label.sum((2, 3))
    total = torch.einsum("bchw,bnhw->bnc", image, label)
    return torch.where(area[..., None] > 0, total / area[..., None], torch.nan)


def painted_flat(label: Float[Tensor, "b n h w"], colours: Float[Tensor, "b n 3"]) -> Float[Tensor, "b 3 h w"]:
    """Every class in one colour, such as that of `class_colours`; classes without one (NaN) get the mean of those that have.

    What a picture would be that knows the labels and nothing else of the exemplar than that.
    """
    mean = colours.nanmean(1, keepdim=True)
    return torch.einsum("bnhw,bnc->bchw", label, torch.where(colours.isnan(), mean, colours))


def look_of(image: Float[Tensor, "s 3 h w"], label: Float[Tensor, "1 n h w"]) -> Float[Tensor, "s d"]:
    """A picture as one point: the mean colours of its classes, so that its distance to another of the same labels is the
    root of the mean square difference of class colours, classes counting by their area."""
    here = label.flatten(2).sum(2)[0] > 0
    label = label[:, here]
    weight = (label.sum((2, 3)) / label.sum() / 3).sqrt()
    return (class_colours(image, label.expand(len(image), -1, -1, -1)) * weight[..., None]).flatten(1)


def path_scores(points: Float[Tensor, "s d"]) -> dict[str, Float[Tensor, ""]]:
    """How a path of s points runs from its first to its last.

    monotone: the share of steps that leave the first point behind and come nearer to the last. detour: the length of the path
    over the distance of its ends; 1 is straight. largest_step: the longest step over the mean step; 1 is even.
    """
    from_first, to_last = (points - points[:1]).norm(dim=1), (points - points[-1:]).norm(dim=1)
    step = points.diff(dim=0).norm(dim=1)
    onward = (from_first.diff() > 0) & (to_last.diff() < 0)
    return {
        "monotone": onward.to(points.dtype).mean(),
        "detour": step.sum() / to_last[0],
        "largest_step": step.max() / step.mean(),
    }


def share_of_second(
    image: Float[Tensor, "b 3 h w"], first: Float[Tensor, "b 3 h w"], second: Float[Tensor, "b 3 h w"], bands: int
) -> Float[Tensor, "b {bands}"]:
    """How far each upright band of a picture has gone from one picture to another: 0 is the first, 1 the second.

    The least-squares answer: the difference to the first, projected on the difference of both, over all pixels of a band.
    """
    if image.shape[3] % bands:
        raise ValueError(f"got {bands} bands for a width of {image.shape[3]}, expected a divisor of the width")

    def cut(value: Tensor) -> Tensor:
        return value.unflatten(3, (bands, -1)).movedim(3, 1).flatten(2)

    way, gone = cut(second - first), cut(image - first)
    return (way * gone).sum(2) / way.square().sum(2)


def seam_strength(image: Float[Tensor, "b c h w"], places: Int[Tensor, "n 2"], window: tuple[int, int]) -> Float[Tensor, " b"]:
    """How much more neighbours differ across the borders of windows than two pixels beside them; 1 where no border shows.

    places: upper left corners (y, x). The mean absolute difference of the pixels on both sides of all borders within the
    canvas, over that of the pairs of pixels two further on either side. NaN where no window has a border within the canvas.
    """
    across, beside = image.new_zeros(len(image)), image.new_zeros(len(image))
    for turned in (False, True):
        value = image.transpose(2, 3) if turned else image
        jump = value.diff(dim=3).abs().mean(1)
        for y, x in places.flip(1).tolist() if turned else places.tolist():
            high, wide = window[::-1] if turned else window
            for at in (x - 1, x + wide - 1):
                if 2 <= at < jump.shape[2] - 2:
                    rows = jump[:, y : y + high]
                    across += rows[..., at].sum(1)
                    beside += (rows[..., at - 2] + rows[..., at + 2]).sum(1) / 2
    return across / beside
