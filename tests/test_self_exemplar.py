"""The target as its own exemplar: what is said to match does, in pictures, labels, points and numbers."""

import pytest
import torch

from exemplar_lab.correspondence import SparseMatch
from exemplar_lab.data.self_exemplar import Duplicated, Mirrored
from exemplar_lab.data.synth.people import People
from exemplar_lab.data.synth.scenes import Scenes
from exemplar_lab.grid import sample_at
from exemplar_lab.metrics.cells import copy_match
from exemplar_lab.metrics.matching import evaluate_matching

SOURCES = [Scenes(32, "val", scheme="retrieval"), People(32, "val", "easy")]
INDICES = torch.tensor([4, 0, 7])


@pytest.mark.parametrize("source", SOURCES, ids=["scenes", "people"])
@pytest.mark.parametrize("kind", [Duplicated, Mirrored])
def test_what_lies_at_the_true_place_is_the_same(source, kind):
    batch, plain = kind(source).batch(INDICES), source.batch(INDICES)
    truth = batch.truth
    assert torch.equal(batch.target, plain.target) and torch.equal(batch.condition, plain.condition)
    torch.testing.assert_close(sample_at(batch.exemplar, truth.flow), batch.target, atol=1e-5, rtol=0)
    torch.testing.assert_close(sample_at(batch.exemplar_condition, truth.flow), batch.condition, atol=1e-5, rtol=0)
    part = sample_at(truth.exemplar_part[:, None].float(), truth.flow)[:, 0]
    torch.testing.assert_close(part, truth.target_part.float(), atol=1e-4, rtol=0)
    assert torch.equal(truth.target_part, plain.truth.target_part)
    torch.testing.assert_close(sample_at(truth.exemplar_albedo, truth.flow), truth.target_albedo, atol=1e-5, rtol=0)
    assert truth.visible.all() and (truth.count == 1).all() and batch.paired.all()
    assert torch.equal(truth.flow[:, 1], truth.flow[:1, 1].expand(3, -1, -1))
    mirrored = kind is Mirrored
    assert torch.equal(batch.exemplar, batch.target) != mirrored
    assert truth.flow[0, 0, 5, 3] == (32 - 3.5 if mirrored else 3.5) and truth.flow[0, 1, 5, 3] == 5.5
    if truth.target_keypoints is not None:
        x = truth.target_keypoints[..., 0]
        torch.testing.assert_close(truth.exemplar_keypoints[..., 0], 32 - x if mirrored else x, equal_nan=True)
        assert torch.equal(truth.exemplar_keypoints[..., 1].nan_to_num(), truth.target_keypoints[..., 1].nan_to_num())
    if truth.target_style is not None:
        assert torch.equal(truth.exemplar_style, truth.target_style)


@pytest.mark.parametrize("kind", [Duplicated, Mirrored])
def test_the_right_match_has_no_error(kind):
    batch = kind(SOURCES[0]).batch(INDICES)
    grid = (32, 32)
    match = copy_match(3, grid, grid)
    if kind is Mirrored:
        index = torch.arange(32 * 32).view(32, 32).flip(-1).flatten().expand(3, -1)[..., None]
        wrong, match = match, SparseMatch(grid, grid, index.contiguous(), torch.ones(3, 32 * 32, 1))
        assert evaluate_matching(wrong, batch)["epe"].mean() > 10
    scores = evaluate_matching(match, batch)
    assert scores["epe"].max() < 1e-4 and scores["footprint"].min() > 0.999 and scores["warp_l1"].max() < 1e-6


def test_a_source_without_truth_gets_the_flow_alone():
    blind = Scenes(32, "val", truth=False)
    wrapped = Mirrored(blind)
    truth = wrapped.batch(INDICES).truth
    assert truth.flow.shape == (3, 2, 32, 32) and truth.target_part is None and truth.exemplar_part is None
    assert (wrapped.size, wrapped.condition_channels, wrapped.length) == (32, blind.condition_channels, blind.length)
