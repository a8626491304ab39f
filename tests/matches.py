"""Matches of all kinds at random, and the matrix that each of them is."""

import numpy as np
import torch
from hypothesis import strategies as st

from exemplar_lab.correspondence import DenseMatch, FactoredMatch, SparseMatch

sides = st.integers(1, 4)
sizes = st.tuples(sides, sides)


@st.composite
def sparse_matches(draw) -> SparseMatch:
    """Any grids, candidates that repeat, rows that do not sum to one, some of them without any weight."""
    query_size, key_size = draw(sizes), draw(sizes)
    batch, candidates = draw(st.integers(1, 3)), draw(st.integers(1, 6))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    shape = (batch, query_size[0] * query_size[1], candidates)
    index = torch.randint(key_size[0] * key_size[1], shape, generator=generator)
    weight = torch.rand(shape, generator=generator, dtype=torch.float64)
    empty = torch.rand(shape[:2], generator=generator) < 0.1
    return SparseMatch(query_size, key_size, index, weight.masked_fill(empty[..., None], 0))


def written_out(match: SparseMatch) -> np.ndarray:
    matrix = np.zeros((match.batch, match.index.shape[1], match.key_size[0] * match.key_size[1]))
    for b, q, t in np.ndindex(*match.index.shape):
        matrix[b, q, match.index[b, q, t]] += float(match.weight[b, q, t])
    return matrix


def all_three(match: SparseMatch) -> list:
    """The sparse record, and the dense and the factored one of the same matrix (rank q, its gates not one)."""
    matrix = torch.from_numpy(written_out(match))
    b, q, _ = matrix.shape
    gate = torch.linspace(0.5, 2, q, dtype=matrix.dtype).expand(b, q)
    factored = FactoredMatch(
        match.query_size, match.key_size, torch.eye(q, dtype=matrix.dtype).expand(b, q, q), gate, matrix / gate[..., None]
    )
    return [match, DenseMatch(match.query_size, match.key_size, matrix), factored]
