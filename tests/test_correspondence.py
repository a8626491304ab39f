"""The three records give the same answers about the same matrix, and those answers are what NumPy says in float64."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matches import all_three, sparse_matches, written_out
from torch.autograd import gradcheck

from exemplar_lab.correspondence import DenseMatch, FactoredMatch, SparseMatch, TransposedMatch

quick = settings(max_examples=25, deadline=None)


def centres(size: tuple[int, int]) -> np.ndarray:
    return np.array([(x + 0.5, y + 0.5) for y in range(size[0]) for x in range(size[1])])


@quick
@given(sparse_matches())
def test_rows_columns_mass_and_dense(sparse):
    matrix = written_out(sparse)
    q, k = matrix.shape[1:]
    some_queries, some_keys = torch.tensor([q - 1, 0, q // 2, 0]), torch.tensor([k - 1, 0, k // 2, 0])
    for match in all_three(sparse):
        np.testing.assert_allclose(match.rows(some_queries), matrix[:, some_queries], atol=1e-12)
        np.testing.assert_allclose(match.columns(some_keys), matrix[:, :, some_keys].transpose(0, 2, 1), atol=1e-12)
        np.testing.assert_allclose(match.dense().weight, matrix, atol=1e-12)
        np.testing.assert_allclose(match.mass(), matrix.sum(-1).reshape(-1, *match.query_size), atol=1e-12)


@quick
@given(sparse_matches())
def test_transpose_is_the_matrix_of_the_other_side(sparse):
    matrix = written_out(sparse).transpose(0, 2, 1)
    for match in all_three(sparse):
        turned = match.transpose()
        assert type(turned) is type(match)
        assert (turned.query_size, turned.key_size) == (match.key_size, match.query_size)
        np.testing.assert_allclose(turned.dense().weight, matrix, atol=1e-12)
        np.testing.assert_allclose(turned.transpose().dense().weight, matrix.transpose(0, 2, 1), atol=1e-12)


@quick
@given(sparse_matches(), st.integers(1, 4))
def test_warp(sparse, channels):
    matrix = written_out(sparse)
    value = np.random.default_rng(0).normal(size=(len(matrix), channels, *sparse.key_size))
    expected = np.einsum("bqk,bck->bcq", matrix, value.reshape(len(matrix), channels, -1))
    for match in all_three(sparse):
        warped = match.warp(torch.from_numpy(value))
        assert warped.shape == (len(matrix), channels, *match.query_size)
        np.testing.assert_allclose(warped.flatten(2), expected, atol=1e-12)


@quick
@given(sparse_matches())
def test_argmax_and_entropy(sparse):
    matrix = written_out(sparse)
    occupied = matrix.sum(-1) > 0
    share = matrix / np.where(occupied, matrix.sum(-1), 1)[..., None]
    entropy = -(share * np.log(np.where(share > 0, share, 1))).sum(-1)
    for match in all_three(sparse):
        best = match.argmax().flatten(1).numpy()
        np.testing.assert_array_equal(best[occupied], matrix.argmax(-1)[occupied])
        np.testing.assert_allclose(match.entropy().flatten(1), entropy, atol=1e-10)


@quick
@given(sparse_matches(), st.sampled_from([0.0, 1.0, 1.5, 3.0, None]))
def test_xy_is_the_expectation_near_the_peak(sparse, radius):
    matrix = written_out(sparse)
    points = centres(sparse.key_size)
    expected = np.zeros((*matrix.shape[:2], 2))
    for b, q in np.ndindex(*matrix.shape[:2]):
        row = matrix[b, q]
        if radius is not None:
            row = row * (np.abs(points - points[row.argmax()]).max(-1) <= radius)
        if row.sum() > 0:
            expected[b, q] = row @ points / row.sum()
    for match in all_three(sparse):
        np.testing.assert_allclose(match.xy(radius).flatten(2).transpose(1, 2), expected, atol=1e-10)


def test_xy_of_two_peaks_keeps_to_the_higher_one():
    row = torch.tensor([[[0.0, 0.6, 0.0, 0.0, 0.0, 0.0, 0.4]]])
    match = DenseMatch((1, 1), (1, 7), row)
    assert match.xy().flatten().tolist() == pytest.approx([1.5, 0.5])
    assert match.xy(None).flatten().tolist() == pytest.approx([0.6 * 1.5 + 0.4 * 6.5, 0.5])


@quick
@given(sparse_matches(), st.integers(2, 5))
def test_labels_go_where_most_weight_comes_from(sparse, classes):
    matrix = written_out(sparse)
    label = np.random.default_rng(1).integers(classes, size=(len(matrix), *sparse.key_size))
    votes = np.einsum("bqk,bkc->bqc", matrix, np.eye(classes)[label.reshape(len(matrix), -1)])
    clear = (votes.max(-1, keepdims=True) - votes < 1e-9).sum(-1) == 1
    for match in all_three(sparse):
        carried = match.transfer_labels(torch.from_numpy(label), classes).flatten(1).numpy()
        np.testing.assert_array_equal(carried[clear], votes.argmax(-1)[clear])


@quick
@given(sparse_matches())
def test_a_part_of_the_batch_is_the_record_of_that_part(sparse):
    matrix = written_out(sparse)
    for match in all_three(sparse):
        for which in (slice(1), [len(matrix) - 1], torch.arange(len(matrix)).flip(0)):
            part = match[which].to("cpu").detach()
            assert type(part) is type(match) and part.query_size == match.query_size
            np.testing.assert_allclose(part.dense().weight, matrix[torch.arange(len(matrix))[which].numpy()], atol=1e-12)


def test_rows_in_pieces_are_the_rows(monkeypatch):
    match = DenseMatch((3, 4), (2, 5), torch.rand(2, 12, 10))
    whole = match.xy(), match.argmax(), match.entropy()
    monkeypatch.setattr("exemplar_lab.correspondence._CHUNK", 50)
    for piecewise, expected in zip((match.xy(), match.argmax(), match.entropy()), whole, strict=True):
        torch.testing.assert_close(piecewise, expected)
    torch.testing.assert_close(match.dense().weight, match.weight)


def test_sparse_answers_write_out_no_matrix():
    """256 × 256 positions on both sides: the written-out matrix would take 16 GiB."""
    size, t = (256, 256), 4
    generator = torch.Generator().manual_seed(0)
    index = torch.randint(size[0] * size[1], (1, size[0] * size[1], t), generator=generator)
    match = SparseMatch(size, size, index, torch.full(index.shape, 1 / t))
    assert match.xy().shape == (1, 2, *size)
    assert match.xy(None).shape == (1, 2, *size)
    assert match.argmax().shape == match.entropy().shape == (1, *size)
    assert match.columns(torch.tensor([0, 7])).shape == (1, 2, size[0] * size[1])


def test_gradients_of_the_warp():
    """With respect to the weights and to what is carried."""
    torch.manual_seed(0)

    def free(*shape):
        return torch.rand(*shape, dtype=torch.float64, requires_grad=True)

    value, query_size, key_size = free(2, 3, 2, 3), (2, 2), (2, 3)
    index = torch.randint(6, (2, 4, 5))
    assert gradcheck(lambda w, v: DenseMatch(query_size, key_size, w).warp(v), (free(2, 4, 6), value))
    assert gradcheck(lambda w, v: SparseMatch(query_size, key_size, index, w).warp(v), (free(2, 4, 5), value))
    factors = free(2, 4, 3), free(2, 3), free(2, 3, 6)
    assert gradcheck(lambda a, g, c, v: FactoredMatch(query_size, key_size, a, g, c).warp(v), (*factors, value))


def test_gradients_of_the_point():
    """A loss may pull on where a row looks."""
    torch.manual_seed(0)
    weight = torch.rand(1, 4, 9, dtype=torch.float64, requires_grad=True)
    index = torch.stack([torch.randperm(9)[:5] for _ in range(4)])[None]
    few = torch.rand(1, 4, 5, dtype=torch.float64, requires_grad=True)
    for radius in (1.5, None):
        assert gradcheck(lambda w, radius=radius: DenseMatch((2, 2), (3, 3), w).xy(radius), (weight,))
        assert gradcheck(lambda w, radius=radius: SparseMatch((2, 2), (3, 3), index, w).xy(radius), (few,))


@pytest.mark.parametrize("record", range(3))
def test_a_value_of_another_size_is_refused_with_a_remedy(record):
    match = all_three(SparseMatch((2, 2), (2, 3), torch.zeros(1, 4, 1, dtype=torch.long), torch.ones(1, 4, 1)))[record]
    with pytest.raises(ValueError, match=r"size \(3, 2\), expected the key grid \(2, 3\).*interpolate"):
        match.warp(torch.zeros(1, 3, 3, 2))
    with pytest.raises(ValueError, match=r"labels from 0 to 4, expected 0 … 3"):
        match.transfer_labels(torch.tensor([[[0, 1, 2], [3, 4, 0]]]), 4)
    with pytest.raises(TypeError):
        match[0]


def test_a_position_that_all_look_at_makes_no_padding():
    """The transposed links of a collapsed match would need a place for every query at every key."""
    torch.manual_seed(0)
    index = torch.randint(64, (2, 64, 3))
    index[:, :, 0] = 5
    sparse = SparseMatch((8, 8), (8, 8), index, torch.rand(2, 64, 3))
    back, exact = sparse.transpose(), sparse.dense().transpose()
    assert isinstance(back, TransposedMatch) and back.transpose() is sparse
    everything = torch.arange(64)
    value = torch.rand(2, 4, 8, 8)
    for answer, expected in (
        (back.rows(everything), exact.rows(everything)),
        (back.columns(everything), exact.columns(everything)),
        (back.warp(value), exact.warp(value)),
        (back.mass(), exact.mass()),
        (back.argmax(), exact.argmax()),
        (back.xy(), exact.xy()),
        (back.entropy(), exact.entropy()),
        (back[1:].rows(everything), exact[1:].rows(everything)),
    ):
        torch.testing.assert_close(answer, expected)


@given(st.integers(2, 4), st.integers(2, 4), st.integers(1, 5), st.integers(0, 2**31))
def test_links_are_the_rows_and_a_match_turned_round_finds_what_its_matrix_finds(height, width, links, seed):
    """Links may lead to one position twice, and some carry nothing; some positions nobody looks at."""
    generator = torch.Generator().manual_seed(seed)
    size, other = (height, width), (width, height + 1)
    shape = 2, height * width, links
    index = torch.randint(max(2, other[0] * other[1] // 2), shape, generator=generator)
    weight = torch.rand(shape, generator=generator).double() * (torch.rand(shape, generator=generator) < 0.7)
    sparse = SparseMatch(size, other, index, weight)
    every = torch.arange(shape[1])
    for match in (sparse, sparse.dense(), TransposedMatch(other, size, sparse)):
        query = every if match.query_size == size else torch.arange(other[0] * other[1])
        place, value = match.links(query)
        rows = match.rows(query)
        torch.testing.assert_close(torch.zeros_like(rows).scatter_add(2, place, value), rows)
        torch.testing.assert_close(value.amax(-1), rows.amax(-1))
        assert torch.equal((value > 0).sum(-1), (rows > 0).sum(-1))
    turned, exact = TransposedMatch(other, size, sparse), sparse.dense().transpose()
    assert torch.equal(turned.argmax(), exact.argmax())
    for radius in (0.5, 1.5, None):
        torch.testing.assert_close(turned.xy(radius), exact.xy(radius))
