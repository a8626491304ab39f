"""The target as its own exemplar, as it is or mirrored: two of the three tasks of [MSCA], Sec. 4, whose answer is the target.

The third, an exemplar with similar labels, is `retrieval.Retrieved`, or scheme "retrieval" of the scenes, which knows the
answer too.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.data.distort import pixel_centres
from exemplar_lab.translation import Batch, Source, Truth


@dataclass(frozen=True)
class Duplicated:
    """A source whose exemplar is the target itself with its own structure ("duplicating").

    Every pixel of the target, background included, has its counterpart at the same place. Labels and whatever else the truth of
    the other source says of the target alone are said of the exemplar too; of other answers that are equally right nothing is.
    """

    source: Source

    @property
    def size(self) -> int:
        return self.source.size

    @property
    def condition_channels(self) -> int:
        return self.source.condition_channels

    @property
    def length(self) -> int | None:
        return self.source.length

    def batch(self, indices: Int[Tensor, " b"], device: torch.device | str = "cpu") -> Batch:
        return _self_exemplar(self.source.batch(indices, device), _as_it_is, _as_it_is)


@dataclass(frozen=True)
class Mirrored(Duplicated):
    """A source whose exemplar is the target mirrored left to right, and so is its structure ("mirroring").

    As in `Duplicated`, but the counterpart of (x, y) is (width − x, y). What is left and what is right of a body or a face in
    its structure is not exchanged: the structure is mirrored as a picture.
    """

    def batch(self, indices: Int[Tensor, " b"], device: torch.device | str = "cpu") -> Batch:
        batch = self.source.batch(indices, device)
        width = batch.target.shape[-1]
        return _self_exemplar(batch, lambda image: image.flip(-1), lambda x: width - x)


def _self_exemplar(batch: Batch, of_map: Callable[[Tensor], Tensor], of_x: Callable[[Tensor], Tensor]) -> Batch:
    """The target of a batch as its exemplar. of_map, of_x: what becomes of maps, and of the first coordinate of points."""
    points = pixel_centres(batch.target.shape[-2:], device=batch.target.device).expand(len(batch), -1, -1, -1)
    visible = torch.ones_like(points[:, 0], dtype=torch.bool)
    truth = Truth(_moved(points, of_x, dim=1), visible, visible.to(points.dtype))
    if (known := batch.truth) is not None:
        changes = {name: of_map for name in ("albedo", "part", "uv")}
        changes |= {"keypoints": lambda xy: _moved(xy, of_x, dim=2), "style": _as_it_is}
        for name, change in changes.items():
            of_target = getattr(known, f"target_{name}")
            of_exemplar = None if of_target is None else change(of_target)
            truth = replace(truth, **{f"target_{name}": of_target, f"exemplar_{name}": of_exemplar})
    own = of_map(batch.target), of_map(batch.condition)
    return Batch(batch.condition, batch.target, *own, torch.ones_like(batch.paired), truth)


def _moved(points: Float[Tensor, "..."], of_x: Callable[[Tensor], Tensor], dim: int) -> Float[Tensor, "..."]:
    x, y = points.unbind(dim)
    return torch.stack([of_x(x), y], dim)


def _as_it_is(value: Tensor) -> Tensor:
    return value
