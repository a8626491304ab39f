"""The structure of an image as a model is given it: a square of a canvas, and what is drawn from it."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.data.canvas import Canvas
from exemplar_lab.data.collection import Collection
from exemplar_lab.data.edges import edge_condition
from exemplar_lab.data.images import resize
from exemplar_lab.data.label_maps import label_shares, nearest_labels
from exemplar_lab.data.part_edges import part_edges
from exemplar_lab.data.pose import KEYPOINTS, pose_maps
from exemplar_lab.ops.edges import soft_edges

SIDES = (("l_", "r_"), ("left_", "right_"))
"""How names begin that a mirror exchanges; l_lip, the lower lip, has no r_lip and stays."""


@dataclass(frozen=True)
class View:
    """part: the class at the centre of each pixel, −1 where unknown. keypoints: in pixels of the view, NaN where absent."""

    image: Float[Tensor, "3 s s"]
    condition: Float[Tensor, "c s s"]
    part: Int[Tensor, "s s"] | None = None
    keypoints: Float[Tensor, "18 2"] | None = None


def view(collection: Collection, canvas: Canvas, window: tuple[int, int, int], size: int, mirrored: bool = False) -> View:
    """A square of a canvas (left, top, side in its pixels) seen at `size` × `size`, with its structure.

    mirrored: left to right; then the left eye is the right one, of key points as of classes.
    Raises ValueError for a square that is not inside the canvas.
    """
    left, top, side = window
    height, width = canvas.image.shape[-2:]
    if not (0 <= left <= left + side <= width and 0 <= top <= top + side <= height and side > 0):
        raise ValueError(
            f"got a square of side {side} at ({left}, {top}), expected one inside the canvas of {width} × {height} pixels"
        )
    rows, columns = slice(top, top + side), slice(left, left + side)
    seen, labels, keypoints = canvas.image[:, rows, columns], canvas.labels, canvas.keypoints
    if labels is not None:
        labels = labels[rows, columns]
    if keypoints is not None:
        keypoints = (keypoints - keypoints.new_tensor([left, top])) * (size / side)
    if mirrored:
        seen = seen.flip(-1)
        if labels is not None:
            labels = exchanged(collection.labels.names, labels.device)[labels.flip(-1).long()]
        if keypoints is not None:
            across, down = keypoints[exchanged(KEYPOINTS, keypoints.device)[:-1]].unbind(-1)
            keypoints = torch.stack([size - across, down], dim=-1)
    image = resize(seen.float() / 255, (size, size))
    part = None if labels is None else nearest_labels(labels, (size, size)).long()
    return View(image, _condition(collection, image, labels, part, keypoints), part, keypoints)


def _condition(
    collection: Collection, image: Tensor, labels: Tensor | None, part: Tensor | None, keypoints: Tensor | None
) -> Float[Tensor, "c s s"]:
    size = image.shape[-1]
    if collection.structure == "labels":
        return label_shares(labels, size, len(collection.labels.names))
    if collection.structure == "part edges":
        return part_edges(image, part, collection.labels.names)
    if collection.structure == "pose":
        return pose_maps(keypoints[None], size)[0]
    if collection.structure == "soft edges":
        return soft_edges(image[None])[0]
    if collection.structure == "edges":
        return edge_condition(image[None])[0]
    return image


def exchanged(names: tuple[str, ...], device: torch.device | str = "cpu") -> Int[Tensor, " n_and_one"]:
    """Which class, or key point, each becomes in a mirror; the last entry, that of −1, stays −1."""
    place = {name: number for number, name in enumerate(names)}
    becomes = list(range(len(names)))
    for left, right in SIDES:
        for name, number in place.items():
            other = place.get(right + name[len(left) :]) if name.startswith(left) else None
            if other is not None:
                becomes[number], becomes[other] = other, number
    return torch.tensor([*becomes, -1], device=device)
