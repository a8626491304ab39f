"""Two sources as one, so that a target of the first can have an exemplar of the second."""

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from exemplar_lab.translation import Batch, Source, concatenate


@dataclass(frozen=True)
class Joined:
    """Samples 0 … count − 1 are those of `first`, sample count + i is sample i of `second`; a `Source`.

    For `retrieval.retrieval_list`: validation images as targets, training images as the pool of exemplars. Samples of both come
    in the order asked for. Raises ValueError for sources of different sizes or numbers of channels.
    """

    first: Source
    count: int
    second: Source

    def __post_init__(self) -> None:
        of = [(one.size, one.condition_channels) for one in (self.first, self.second)]
        if of[0] != of[1]:
            raise ValueError(f"got sources of (size, channels) {of[0]} and {of[1]}, expected the same: make them alike")

    @property
    def size(self) -> int:
        return self.first.size

    @property
    def condition_channels(self) -> int:
        return self.first.condition_channels

    @property
    def length(self) -> int | None:
        return None if self.second.length is None else self.count + self.second.length

    def batch(self, indices: Int[Tensor, " b"], device: torch.device | str = "cpu") -> Batch:
        of_first = indices < self.count
        parts = [(self.first, indices[of_first]), (self.second, indices[~of_first] - self.count)]
        batches = [source.batch(chosen, device) for source, chosen in parts if len(chosen)]
        if len(batches) < 2:
            return batches[0] if batches else self.first.batch(indices, device)
        order = torch.cat([torch.where(of_first)[0], torch.where(~of_first)[0]])
        return concatenate(batches)[order.argsort().to(device)]
