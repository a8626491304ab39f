"""Small worlds for the tests of metrics: truth at the cells, drawn at random, and one matrix in all three records."""

import math

import torch
from hypothesis import strategies as st

from exemplar_lab.correspondence import Correspondence, DenseMatch, FactoredMatch, SparseMatch
from exemplar_lab.metrics.cells import CellTruth

sides = st.integers(2, 5)
sizes = st.tuples(sides, sides)


def all_three(matrix: torch.Tensor, query_size: tuple[int, int], key_size: tuple[int, int]) -> list[Correspondence]:
    """The dense, the sparse and the factored record of a matrix b q k."""
    b, q, k = matrix.shape
    every = torch.arange(k).flip(0).expand(b, q, k)
    factors = torch.eye(q, dtype=matrix.dtype).expand(b, q, q), torch.ones(b, q, dtype=matrix.dtype), matrix
    return [
        DenseMatch(query_size, key_size, matrix),
        SparseMatch(query_size, key_size, every, matrix.flip(-1)),
        FactoredMatch(query_size, key_size, *factors),
    ]


@st.composite
def worlds(draw) -> tuple[torch.Tensor, CellTruth, tuple[int, int]]:
    """A matrix of weights b q k, the truth at its q cells, and the size of its key grid.

    Rows lose mass, some all of it; each cell has up to three right answers, the flow among them where it is visible.
    """
    query_size, key_size, batch = draw(sizes), draw(sizes), draw(st.integers(1, 3))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))

    def rand(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=generator, dtype=torch.float64)

    q, k = math.prod(query_size), math.prod(key_size)
    matrix = torch.softmax(6 * rand(batch, q, k), -1) * rand(batch, q, 1)
    matrix = matrix * (rand(batch, q, k) < 0.7) * (rand(batch, q, 1) < 0.9)
    image_size = 4 * query_size[0], 4 * query_size[1]
    visible = rand(batch, *query_size) < 0.6
    points = rand(batch, 3, 2, *query_size) * torch.tensor([image_size[1], image_size[0]])[:, None, None]
    points[:, 1:] = points[:, 1:].masked_fill(rand(batch, 2, 1, *query_size) < 0.5, math.nan)
    points = points.masked_fill(~visible[:, None, None], math.nan)
    no_match = ~visible & (rand(batch, *query_size) < 0.7)
    count = visible * (0.1 + 3 * rand(batch, *query_size))
    box = (1 + (rand(batch) * max(image_size)).floor()).double()
    return matrix, CellTruth(points, visible, no_match, count, box, image_size), key_size


def read_point(row, key_size: tuple[int, int]) -> tuple[float, float]:
    """`Correspondence.xy` of one row of numbers: the mean within 1.5 cells of the largest; the corner for an empty row."""
    best = max(range(len(row)), key=lambda i: (row[i], -i))
    top, left = divmod(best, key_size[1])
    total = x = y = 0.0
    for i, weight in enumerate(row):
        at_y, at_x = divmod(i, key_size[1])
        if abs(at_y - top) <= 1 and abs(at_x - left) <= 1:
            total, x, y = total + weight, x + weight * (at_x + 0.5), y + weight * (at_y + 0.5)
    return (x / total, y / total) if total > 0 else (0.0, 0.0)


def mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan
