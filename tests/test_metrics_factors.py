"""Regions of a factored match against loops in double precision; the gate's scores; the rank of a product."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import mean

from exemplar_lab.correspondence import FactoredMatch
from exemplar_lab.metrics.factors import (
    effective_rank,
    gate_scores,
    gathered_classes,
    present_classes,
    region_cells,
    regions_of_rows,
    served_regions,
    share_of_classes,
    singular_values,
)
from exemplar_lab.metrics.transfer import transfer_matrix

CLASSES = 4


@st.composite
def factored(draw) -> tuple[FactoredMatch, torch.Tensor, torch.Tensor]:
    """A match, and the labels of its exemplar and its target, some of them no class."""
    batch, regions, sides = draw(st.integers(1, 3)), draw(st.integers(1, 6)), st.integers(1, 4)
    query_size, key_size = (draw(sides), draw(sides)), (draw(sides), draw(sides))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))

    def rand(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=generator, dtype=torch.float64)

    query_factor = torch.softmax(4 * rand(batch, math.prod(query_size), regions), -1)
    key_factor = torch.softmax(4 * rand(batch, regions, math.prod(key_size)), -1)
    match = FactoredMatch(query_size, key_size, query_factor, 0.1 + 0.9 * rand(batch, regions), key_factor)
    exemplar, target = ((rand(batch, *size) * (CLASSES + 1)).long() - 1 for size in (key_size, query_size))
    return match, exemplar, target


@settings(max_examples=25)
@given(factored())
def test_what_regions_hold_and_give_against_loops(world):
    match, exemplar, target = world
    gathered, served = gathered_classes(match, exemplar, CLASSES), served_regions(match, target, CLASSES)
    for b in range(match.batch):
        regions = range(match.gate.shape[1])
        alpha, beta, gate = (one[b].tolist() for one in (match.key_factor, match.query_factor, match.gate))
        seen, asked = exemplar[b].flatten().tolist(), target[b].flatten().tolist()
        for r in regions:
            of_class = [sum(a for a, label in zip(alpha[r], seen, strict=True) if label == c) for c in range(CLASSES)]
            expected = [one / sum(of_class) if sum(of_class) else math.nan for one in of_class]
            assert gathered[b, r].tolist() == pytest.approx(expected, nan_ok=True)
        for c in range(CLASSES):
            given_by = [
                sum(row[r] * gate[r] * sum(alpha[r]) for row, label in zip(beta, asked, strict=True) if label == c)
                for r in regions
            ]
            expected = [one / sum(given_by) if sum(given_by) else math.nan for one in given_by]
            assert served[b, c].tolist() == pytest.approx(expected, nan_ok=True)


@settings(max_examples=25)
@given(factored())
def test_their_product_is_the_transfer_matrix(world):
    match, exemplar, target = world
    exemplar = exemplar.clamp_min(0)
    product = served_regions(match, target, CLASSES) @ gathered_classes(match, exemplar, CLASSES)
    matrix = transfer_matrix(match, exemplar, target, CLASSES)
    known = matrix.isfinite()
    assert known.any() or (target < 0).all()
    torch.testing.assert_close(product[known], matrix[known])
    lacking = ~present_classes(exemplar, CLASSES)[:, None].expand_as(product) & product.isfinite()
    assert (product[lacking] == 0).all()


@settings(max_examples=25)
@given(factored())
def test_spreads_and_rank_of_the_written_matrix(world):
    match, _, _ = world
    dense = match.dense().weight
    values, regions = singular_values(match), match.gate.shape[1]
    expected = torch.linalg.svdvals(dense)[:, :regions]
    torch.testing.assert_close(values[:, : expected.shape[1]], expected, atol=1e-10, rtol=1e-8)
    assert values.shape == match.gate.shape and (values[:, expected.shape[1] :].abs() < 1e-10).all()
    rank = effective_rank(match)
    assert (rank >= 1 - 1e-9).all() and (rank <= min(regions, *dense.shape[1:]) + 1e-6).all()
    cells, mixed = region_cells(match), regions_of_rows(match)
    for b in range(match.batch):
        for r, row in enumerate(match.key_factor[b].tolist()):
            assert cells[b, r].item() == pytest.approx(math.exp(-sum(p * math.log(p) for p in row if p > 0)))
        for row, found in zip(match.query_factor[b].tolist(), mixed[b].flatten().tolist(), strict=True):
            assert found == pytest.approx(math.exp(-sum(p * math.log(p) for p in row if p > 0)))


def test_one_even_region_is_everything_and_of_rank_one():
    """K = 1 with constant attention: global average pooling."""
    match = FactoredMatch((2, 3), (2, 2), torch.ones(1, 6, 1), torch.ones(1, 1), torch.full((1, 1, 4), 0.25))
    exemplar, target = torch.tensor([[[0, 0], [0, 2]]]), torch.tensor([[[1, 1, 1], [-1, -1, 3]]])
    assert gathered_classes(match, exemplar, CLASSES).tolist() == [[[0.75, 0.0, 0.25, 0.0]]]
    served = served_regions(match, target, CLASSES)[0, :, 0]
    assert served.isnan().tolist() == [True, False, True, False] and served[1] == 1
    assert effective_rank(match).item() == pytest.approx(1) and region_cells(match).item() == pytest.approx(4)
    assert regions_of_rows(match).unique().tolist() == [1]


def test_a_gate_that_filters_and_one_that_does_not():
    unwanted = torch.tensor([[0.9, 0.6, 0.1, 0.0], [0.9, 0.6, 0.1, 0.0], [0.1, 0.2, 0.3, 0.4]])
    gate = torch.tensor([[0.1, 0.2, 0.8, 0.9], [0.9, 0.8, 0.2, 0.1], [0.5, 0.5, 0.5, 0.5]])
    scores = gate_scores(gate, unwanted)
    assert scores["auroc"][:2].tolist() == [1, 0] and scores["auroc"][2].isnan()
    assert scores["rank"][:2].tolist() == pytest.approx([-1, 1]) and scores["rank"][2].isnan()
    assert scores["off"][:2].tolist() == pytest.approx([0.15, 0.85]) and scores["off"][2].isnan()
    assert scores["on"].tolist() == pytest.approx([0.85, 0.15, 0.5])
    assert gate_scores(gate, unwanted, least=0.95)["auroc"].isnan().all()


@settings(max_examples=30)
@given(st.integers(0, 2**31), st.sampled_from([0.2, 0.4, 0.5, 0.8]))
def test_gate_scores_against_pairs_of_regions(seed, least):
    generator = torch.Generator().manual_seed(seed)
    gate, unwanted = (torch.rand(2, 7, generator=generator, dtype=torch.float64).mul(5).round() / 5 for _ in range(2))
    found = gate_scores(gate, unwanted, least)
    for b in range(2):
        off = [g for g, u in zip(gate[b].tolist(), unwanted[b].tolist(), strict=True) if u >= least]
        on = [g for g, u in zip(gate[b].tolist(), unwanted[b].tolist(), strict=True) if u < least]
        lower = mean([(low < high) + 0.5 * (low == high) for low in off for high in on])
        assert found["auroc"][b].item() == pytest.approx(lower, nan_ok=True)
        assert found["off"][b].item() == pytest.approx(mean(off), nan_ok=True)
        assert found["on"][b].item() == pytest.approx(mean(on), nan_ok=True)


def test_share_of_classes_adds_up():
    gathered = torch.tensor([[[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]]])
    lacking = torch.tensor([[False, True, True]])
    torch.testing.assert_close(share_of_classes(gathered, lacking), torch.tensor([[0.8, 0.0]]))
    torch.testing.assert_close(share_of_classes(gathered, ~lacking), torch.tensor([[0.2, 1.0]]))
