"""The match that knows labels alone: every position looks at the nearest exemplar position of its own label."""

import math

import torch
from hypothesis import given
from hypothesis import strategies as st
from worlds import sizes

from exemplar_lab.metrics.cells import copy_match, nearest_label_match


def twin(target: list[list[int]], exemplar: list[list[int]]) -> list[int]:
    """By looking at every position for every position; the distance is exact, in whole numbers."""
    (hq, wq), (hk, wk) = ((len(label), len(label[0])) for label in (target, exemplar))
    answer = []
    for y in range(hq):
        for x in range(wq):
            found = None
            for index in range(hk * wk):
                v, u = divmod(index, wk)
                dy, dx = ((2 * y + 1) * hk - (2 * v + 1) * hq) * wq, ((2 * x + 1) * wk - (2 * u + 1) * wq) * hq
                distance = dx * dx + dy * dy
                if exemplar[v][u] == target[y][x] and (found is None or distance <= found[0]):
                    found = distance, index
            same_place = (2 * y + 1) * hk // (2 * hq) * wk + (2 * x + 1) * wk // (2 * wq)
            answer.append(same_place if found is None else found[1])
    return answer


@given(sizes, sizes, st.integers(1, 4), st.integers(0, 2**31))
def test_the_nearest_of_the_same_label_wherever_it_is(query_size, key_size, labels, seed):
    generator = torch.Generator().manual_seed(seed)
    target, exemplar = (torch.randint(-1, labels, (2, *s), generator=generator) for s in (query_size, key_size))
    match = nearest_label_match(target, exemplar)
    assert match.index[..., 0].tolist() == [twin(*pair) for pair in zip(target.tolist(), exemplar.tolist(), strict=True)]
    assert match.weight.min() == match.weight.max() == 1 and match.weight.shape == match.index.shape


@given(sizes, sizes)
def test_where_all_is_one_label_it_is_the_copy(query_size, key_size):
    match = nearest_label_match(torch.full((1, *query_size), 3), torch.full((1, *key_size), 3))
    assert torch.equal(match.index, copy_match(1, query_size, key_size).index)


def test_grids_far_apart_in_size_do_not_overflow():
    target, exemplar = torch.zeros(1, 251, 3, dtype=torch.long), torch.full((1, 256, 2), 1)
    exemplar[0, 255, 1] = 0
    assert nearest_label_match(target, exemplar).index.unique().tolist() == [511]
    side = 64
    label = torch.arange(side * side).view(1, side, side)
    moved = nearest_label_match(label, label.roll((5, -7), (1, 2))).index[0, :, 0]
    assert torch.equal(label.roll((5, -7), (1, 2)).flatten()[moved], label.flatten())
    assert math.prod(label.shape) == len(moved.unique())
