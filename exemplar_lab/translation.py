"""The nouns that flow through the package: a `Batch` goes in, a `Translation` comes out.

Conventions, everywhere: images are float in [0, 1], axes `b c h w`. Points are (x, y) in pixels of the image they lie in, and
the centre of the first pixel is (0.5, 0.5), so that a point keeps its meaning when multiplied by a change of resolution.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from exemplar_lab.correspondence import Correspondence

Record = TypeVar("Record", bound="_Tensors")
"""The kind of record one has; typing.Self would say it better, but the run-time check of annotations refuses it in methods."""


class _Tensors:
    """What records of tensors share: move, cut, and join along the batch axis."""

    def map(self: Record, function: Callable[[Tensor], Tensor]) -> Record:
        """The same record with `function` applied to every tensor, in nested records too; None stays None."""
        changed = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor):
                changed[field.name] = function(value)
            elif isinstance(value, _Tensors):
                changed[field.name] = value.map(function)
        return replace(self, **changed)

    def to(self: Record, device: torch.device | str) -> Record:
        return self.map(lambda tensor: tensor.to(device))

    def __getitem__(self: Record, which: slice | Tensor | list[int]) -> Record:
        """The samples `which` of the batch; an integer is refused because it would drop the batch axis."""
        if isinstance(which, int):
            raise TypeError(f"got the integer {which}, expected a slice or a list: use [{which}:{which + 1}]")
        return self.map(lambda tensor: tensor[which])


def concatenate(records: list[Record]) -> Record:
    """Join records of the same kind along the batch axis; ValueError unless each field is present in all of them or in none."""
    first = records[0]
    joined = {}
    for field in fields(first):
        values = [getattr(record, field.name) for record in records]
        if len({value is None for value in values}) > 1:
            raise ValueError(
                f"got {field.name} in some of the records, expected it in all or in none: "
                f"drop it first with dataclasses.replace(record, {field.name}=None)"
            )
        if isinstance(values[0], Tensor):
            joined[field.name] = torch.cat(values)
        elif isinstance(values[0], _Tensors):
            joined[field.name] = concatenate(values)
    return replace(first, **joined)


@dataclass(frozen=True)
class Truth(_Tensors):
    """What only a made world knows: for each target pixel, where in the exemplar it came from.

    flow: exemplar (x, y) in exemplar pixels; NaN where the target pixel has no counterpart at all (background).
    visible: the counterpart lies inside the exemplar and is not hidden there.
    count: exemplar pixels that one target pixel covers, visible · |det ∂flow|: 0.25 when the exemplar is half the size.
    match_set: all equally right answers, the first being `flow`; the others are visible ones (left and right parts that look
        alike, repeats of a pattern; of a balloon every other balloon, whatever its colours), NaN where none.
    albedo: colour before light. part: −1 is background; of a scene, the class. uv: position on the part, along and across it.
    keypoints: p points (x, y) in pixels: OpenPose's 18 of a body, the 68 landmarks of a face.
    style: the numbers that the look of a scene or a painting is drawn from; each task names its columns.
    """

    flow: Float[Tensor, "b 2 h w"]
    visible: Bool[Tensor, "b h w"]
    count: Float[Tensor, "b h w"] | None = None
    match_set: Float[Tensor, "b s 2 h w"] | None = None
    target_albedo: Float[Tensor, "b 3 h w"] | None = None
    exemplar_albedo: Float[Tensor, "b 3 h w"] | None = None
    target_part: Int[Tensor, "b h w"] | None = None
    exemplar_part: Int[Tensor, "b h w"] | None = None
    target_uv: Float[Tensor, "b 2 h w"] | None = None
    exemplar_uv: Float[Tensor, "b 2 h w"] | None = None
    target_keypoints: Float[Tensor, "b p 2"] | None = None
    exemplar_keypoints: Float[Tensor, "b p 2"] | None = None
    target_style: Float[Tensor, "b t"] | None = None
    exemplar_style: Float[Tensor, "b t"] | None = None


@dataclass(frozen=True)
class Batch(_Tensors):
    """Structure and exemplar, with the image that the structure was taken from.

    condition: the structure (pose, edges, labels) of the target, in [0, 1].
    target: the image that belongs to `condition`; losses and metrics see it, a model never does.
    exemplar, exemplar_condition: the image that gives the look, and its own structure.
    paired: True where `target` is the right answer for this exemplar (same identity, or a warp of the target), so that Eq. (8)
        of [CoCosNet] may ask for it.
    """

    condition: Float[Tensor, "b cc h w"]
    target: Float[Tensor, "b 3 h w"]
    exemplar: Float[Tensor, "b 3 h w"]
    exemplar_condition: Float[Tensor, "b cc h w"]
    paired: Bool[Tensor, " b"]
    truth: Truth | None = None

    def __len__(self) -> int:
        return self.target.shape[0]


@runtime_checkable
class Source(Protocol):
    """Where batches come from: sample i is the same whoever asks, in whatever batch, process or order.

    Training draws its indices from (seed, step), which is why a run can be stopped anywhere and shared among processes.
    """

    size: int
    condition_channels: int
    length: int | None
    """Number of samples; None when there is no end to them."""

    def batch(self, indices: Int[Tensor, " b"], device: torch.device | str = "cpu") -> Batch: ...


@dataclass(frozen=True)
class Translation:
    """What a model answers: the image, and where every pixel of it came from.

    matches: one record per layer that matched, coarse to fine; empty when the caller said record=False.
    warps: the exemplar carried to the target by each match, at the resolution of the match.
    features: what the losses of the paper need beside the image, by the name used there.
    """

    image: Float[Tensor, "b 3 h w"]
    warps: tuple[Float[Tensor, "b 3 _ _"], ...]
    matches: tuple[Correspondence, ...] = ()
    features: dict[str, Tensor] | None = None


@runtime_checkable
class Translator(Protocol):
    """A model: structure and exemplar in, `Translation` out."""

    def __call__(
        self,
        condition: Float[Tensor, "b cc h w"],
        exemplar: Float[Tensor, "b 3 h w"],
        exemplar_condition: Float[Tensor, "b cc h w"] | None = None,
        *,
        record: bool = True,
    ) -> Translation: ...
