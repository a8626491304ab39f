"""The records that flow through the package keep their samples together."""

from dataclasses import fields, replace

import pytest
import torch
from jaxtyping import TypeCheckError

from exemplar_lab import Batch, Translation, Truth
from exemplar_lab.models.cocosnet import CoCosNet
from exemplar_lab.translation import Source, Translator, concatenate


def a_batch(samples: int, start: int = 0) -> Batch:
    """Sample i is filled with the number i, in every field."""
    number = torch.arange(start, start + samples)

    def filled(*shape: int) -> torch.Tensor:
        return number.float().reshape(-1, *[1] * len(shape)).expand(samples, *shape)

    truth = Truth(filled(2, 4, 6), filled(4, 6) > 0, target_part=filled(4, 6).long(), target_keypoints=filled(18, 2))
    return Batch(filled(5, 4, 6), filled(3, 4, 6), filled(3, 4, 6), filled(5, 4, 6), number > 0, truth)


def numbers(batch: Batch) -> list[int]:
    """Which samples the batch holds; every field must say the same."""
    tensors = [batch.condition, batch.target, batch.exemplar, batch.exemplar_condition]
    tensors += [batch.truth.flow, batch.truth.target_part, batch.truth.target_keypoints]
    answers = [tensor.flatten(1)[:, 0].long().tolist() for tensor in tensors]
    assert all(answer == answers[0] for answer in answers)
    assert batch.paired.tolist() == [answer > 0 for answer in answers[0]]
    return answers[0]


def test_cutting_and_joining():
    batch = a_batch(4)
    assert len(batch) == 4 and numbers(batch) == [0, 1, 2, 3]
    assert numbers(batch[1:3]) == [1, 2]
    assert numbers(batch[[3, 0, 0]]) == [3, 0, 0]
    assert numbers(batch[torch.tensor([True, False, False, True])]) == [0, 3]
    assert numbers(concatenate([batch[2:], batch[:2], a_batch(1, start=7)])) == [2, 3, 0, 1, 7]


def test_joining_keeps_none_and_refuses_half():
    batch = a_batch(2)
    without = replace(batch, truth=None)
    assert concatenate([without, without]).truth is None
    assert concatenate([batch, batch]).truth.count is None
    for records in ([batch, without], [without, batch]):
        with pytest.raises(ValueError, match="truth in some of the records, expected it in all or in none"):
            concatenate(records)


def test_an_integer_would_lose_the_batch_axis(unchecked):
    with pytest.raises(TypeError, match=r"use \[2:3\]"):
        a_batch(4)[2]


def test_map_reaches_nested_records_and_leaves_none():
    moved = a_batch(2).to("meta")
    assert moved.target.is_meta and moved.truth.flow.is_meta and moved.truth.count is None
    seen = []
    a_batch(2).map(lambda tensor: seen.append(tensor) or tensor)
    assert len(seen) == 5 + 4


def test_shapes_are_checked():
    batch = a_batch(2)
    with pytest.raises(TypeCheckError):
        replace(batch, target=torch.zeros(2, 1, 4, 6))
    with pytest.raises(TypeCheckError):
        replace(batch, exemplar=torch.zeros(3, 3, 4, 6))
    assert {field.name for field in fields(Translation)} == {"image", "warps", "matches", "features"}


def test_protocols():
    class Two:
        size, condition_channels, length = 4, 5, 2

        def batch(self, indices, device="cpu"):
            return a_batch(2)[indices].to(device)

    assert isinstance(Two(), Source) and not isinstance(a_batch(1), Source)
    assert issubclass(CoCosNet, Translator)
