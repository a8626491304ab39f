"""What is sent to a page without Python, read back as the page reads it, is the match it was made of."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matches import all_three, sparse_matches, written_out

from exemplar_lab.correspondence import DenseMatch, SparseMatch
from exemplar_lab.widgets import pack as packing
from exemplar_lab.widgets.pack import pack

quick = settings(max_examples=25, deadline=None)


def unpacked(sent: dict, queries: int, keys: int) -> np.ndarray:
    """The matrix that a page sees, −1 where it knows of no link."""
    if sent["kind"] == "factors":
        query = np.frombuffer(sent["query"], "<f4").reshape(queries, -1)
        key = np.frombuffer(sent["key"], "<f4").reshape(-1, keys)
        return query * np.array(sent["gate"]) @ key
    index = np.frombuffer(sent["index"], "<u4" if sent["wide"] else "<u2").reshape(queries, sent["t"])
    weight = np.frombuffer(sent["weight"], "<u2").reshape(queries, sent["t"])
    peak = np.frombuffer(sent["peak"], "<f4")
    matrix = np.full((queries, keys), -1.0)
    for q, t in np.ndindex(*index.shape):
        if index[q, t] != np.iinfo(index.dtype).max:
            assert matrix[q, index[q, t]] == -1, "each position once"
            matrix[q, index[q, t]] = weight[q, t] / 65535 * peak[q]
    return matrix


@quick
@given(sparse_matches(), st.integers(1, 20))
def test_the_largest_links_and_what_was_left_out(sparse, links):
    matrix = written_out(sparse)[0]
    for match in all_three(sparse)[:2]:
        sent = pack(match, links)
        seen = unpacked(sent, *matrix.shape)
        assert sent["t"] <= links
        for query, line in enumerate(matrix):
            known = seen[query] >= 0
            candidates = set(match.links(torch.tensor([query]))[0][0, 0].tolist())
            assert known.sum() == min(links, len(candidates)) and set(np.flatnonzero(known)) <= candidates
            np.testing.assert_allclose(seen[query][known], line[known], atol=line.max() / 65535 + 1e-7)
            assert ((seen[query] > 0) == (line > 0))[known].all(), "a small weight is no pruned link"
            left = line[~known].max(initial=0)
            assert left <= line[known].min() + 1e-12, "those that are sent are the largest"
        share = matrix / matrix.sum(1, keepdims=True).clip(1e-300)
        entropy = -(share * np.log(share.clip(1e-300))).sum(1)
        np.testing.assert_allclose(np.frombuffer(sent["mass"], "<f4"), matrix.sum(1), rtol=1e-6)
        np.testing.assert_allclose(np.frombuffer(sent["entropy"], "<f4"), entropy, atol=1e-6)
        assert np.frombuffer(sent["kept"], "<u4").tolist() == (matrix > 0).sum(1).tolist()
        considered = np.frombuffer(sent["considered"], "<u4")
        assert sent["complete"] == bool((considered <= sent["t"]).all())


@quick
@given(sparse_matches())
def test_factors_leave_nothing_out(sparse):
    matrix = written_out(sparse)[0]
    sent = pack(all_three(sparse)[2], 1)
    np.testing.assert_allclose(unpacked(sent, *matrix.shape), matrix, rtol=1e-6)


def test_chunks_with_fewer_candidates_are_filled_up(monkeypatch):
    index = torch.tensor([[[0, 1, 2], [3, 3, 3]]])
    match = SparseMatch((1, 2), (2, 2), index, torch.tensor([[[0.5, 0.0, 0.25], [0.1, 0.2, 0.3]]]))
    monkeypatch.setattr(packing, "_CHUNK", 4)  # a query in each
    seen = unpacked(pack(match, 8), 2, 4)
    np.testing.assert_allclose(seen, [[0.5, 0, 0.25, -1], [-1, -1, -1, 0.6]], atol=1e-5)


def test_grids_above_16_bits():
    index = torch.tensor([[[70_000, 3]]])
    sent = pack(SparseMatch((1, 1), (300, 300), index, torch.tensor([[[0.75, 0.25]]])), 2)
    assert sent["wide"] and np.frombuffer(sent["index"], "<u4").tolist() == [70_000, 3]


def test_the_smallest_weight_is_not_taken_for_a_pruned_link():
    weight = torch.tensor([[[1.0, 1e-9, 0.0]]])
    sent = pack(SparseMatch((1, 1), (1, 3), torch.tensor([[[0, 1, 2]]]), weight), 3)
    assert np.frombuffer(sent["weight"], "<u2").tolist() == [65535, 1, 0]


def test_at_least_one_link():
    with pytest.raises(ValueError, match="got 0 links to send for each query, expected at least one"):
        pack(DenseMatch((1, 1), (1, 1), torch.ones(1, 1, 1)), 0)
