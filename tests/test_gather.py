"""Sums along links: the plain gathered formulation in float64, gradients of both orders, and no array of links × channels."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck, gradgradcheck
from torch.profiler import ProfilerActivity, profile

from exemplar_lab import gather
from exemplar_lab.correspondence import SparseMatch
from exemplar_lab.gather import gather_dot, gather_sum, rows_of, scatter_sum
from exemplar_lab.ops.attention import sparse_attention, sparse_match

BATCH, QUERIES, KEYS, LINKS, WIDTH = 2, 6, 9, 4, 3


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.fixture
def index() -> torch.Tensor:
    index = torch.randint(KEYS - 1, (BATCH, QUERIES, LINKS), generator=torch.Generator().manual_seed(0))
    index[0, 0] = 2  # one position four times; nobody asks for the last one
    return index


def gathered(table: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    return table[torch.arange(len(table))[:, None, None], index]


def plain_dot(query: torch.Tensor, key: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    return (query[:, :, None] * gathered(key, index)).sum(-1)


def plain_sum(weight: torch.Tensor, value: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    return (weight[..., None] * gathered(value, index)).sum(2)


def plain_scatter(weight: torch.Tensor, value: torch.Tensor, index: torch.Tensor, rows: int) -> torch.Tensor:
    source = (weight[..., None] * value[:, :, None]).flatten(1, 2)
    empty = source.new_zeros(len(value), rows, value.shape[2])
    return empty.scatter_add(1, index.flatten(1)[..., None].expand_as(source), source)


@settings(max_examples=25)
@given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5), st.integers(1, 7), st.integers(1, 4), st.integers(0, 2**31))
def test_sums_are_those_of_the_gathered_vectors(batch, queries, keys, links, width, seed):
    """Also with more links than there are positions to link to."""
    index = torch.randint(keys, (batch, queries, links), generator=torch.Generator().manual_seed(seed))
    query, key = random(batch, queries, width, seed=seed), random(batch, keys, width, seed=seed + 1)
    weight = random(batch, queries, links, seed=seed + 2)
    assert torch.allclose(gather_dot(query, key, index), plain_dot(query, key, index), atol=1e-12)
    assert torch.allclose(gather_sum(weight, key, index), plain_sum(weight, key, index), atol=1e-12)
    assert torch.allclose(scatter_sum(weight, query, index, keys), plain_scatter(weight, query, index, keys), atol=1e-12)


def test_gradients_of_both_orders(index):
    query, value = random(BATCH, QUERIES, WIDTH).requires_grad_(), random(BATCH, QUERIES, WIDTH, seed=1).requires_grad_()
    key, weight = random(BATCH, KEYS, WIDTH, seed=2).requires_grad_(), random(BATCH, QUERIES, LINKS, seed=3).requires_grad_()
    for function, inputs in (
        (lambda a, b: gather_dot(a, b, index), (query, key)),
        (lambda a, b: gather_sum(a, b, index), (weight, key)),
        (lambda a, b: scatter_sum(a, b, index, KEYS), (weight, value)),
    ):
        assert gradcheck(function, inputs)
        assert gradgradcheck(function, inputs, fast_mode=True)


def test_the_warp_has_the_gradients_of_the_gathered_values(index):
    """As the decoder asks for them: a map that is seen as vectors, and a map whose channels lie together already."""
    weight, value = random(BATCH, QUERIES, LINKS).requires_grad_(), random(BATCH, 5, 3, 3, seed=1)
    cotangent = random(BATCH, 5, 2, 3, seed=2)
    for layout in (torch.contiguous_format, torch.channels_last):
        value = value.contiguous(memory_format=layout).detach().requires_grad_()
        plain = plain_sum(weight, value.flatten(2).transpose(1, 2), index).transpose(1, 2).unflatten(2, (2, 3))
        warped = SparseMatch((2, 3), (3, 3), index, weight).warp(value)
        assert torch.allclose(warped, plain, atol=1e-12)
        wanted = torch.autograd.grad(plain, (weight, value), cotangent)
        for ours, theirs in zip(torch.autograd.grad(warped, (weight, value), cotangent), wanted, strict=True):
            assert torch.allclose(ours, theirs, atol=1e-12)
        assert (ours[..., 2, 2] == 0).all(), "nobody looks at the last position"
    assert gradcheck(lambda w, v: SparseMatch((2, 3), (3, 3), index, w).warp(v), (weight, value))


def test_only_what_is_asked_for_gets_a_gradient(index):
    weight, value = random(BATCH, QUERIES, LINKS).requires_grad_(), random(BATCH, KEYS, WIDTH)
    gather_sum(weight, value, index).sum().backward()
    assert torch.allclose(weight.grad, gathered(value, index).sum(-1))
    query, key = random(BATCH, QUERIES, WIDTH), random(BATCH, KEYS, WIDTH).requires_grad_()
    gather_dot(query, key, index).sum().backward()
    assert torch.allclose(key.grad, plain_scatter(torch.ones_like(weight), query, index, KEYS))


def test_any_layout_of_the_inputs(index):
    query, key = random(BATCH, WIDTH, QUERIES).transpose(1, 2), random(BATCH, KEYS, 2 * WIDTH)[..., ::2]
    weight = random(LINKS, QUERIES, BATCH).permute(2, 1, 0)
    crossed = index.transpose(1, 2).contiguous().transpose(1, 2)
    for one in (slice(0, 2), slice(1, 2)):
        q, k, w, i = query[one], key[one], weight[one], crossed[one]
        assert torch.allclose(gather_dot(q, k, i), plain_dot(q, k, i), atol=1e-12)
        assert torch.allclose(gather_sum(w, k, i), plain_sum(w, k, i), atol=1e-12)
        assert torch.allclose(scatter_sum(w, q, i, KEYS), plain_scatter(w, q, i, KEYS), atol=1e-12)
        assert torch.equal(gather_dot(q, k, i.int()), gather_dot(q, k, i))
        assert rows_of(q).is_contiguous() and torch.equal(rows_of(q), q)


def test_other_devices_and_number_types_take_kernels_that_agree(index, monkeypatch):
    """What a GPU runs, run on a CPU: dots by an embedding bag's gradient, whole and in halves, and the way back by sorting."""
    monkeypatch.setattr(gather, "_has_cpu_kernels", lambda tensor: False)
    query, key = random(BATCH, QUERIES, WIDTH).requires_grad_(), random(BATCH, KEYS, WIDTH, seed=1).requires_grad_()
    weight = random(BATCH, QUERIES, LINKS, seed=2).requires_grad_()
    for longest in (2**25, 5):
        monkeypatch.setattr(gather, "_LONGEST", longest)
        assert gradcheck(lambda q, k: gather_dot(q, k, index), (query, key))
        assert gradcheck(lambda w, k: gather_sum(w, k, index), (weight, key))
        assert torch.allclose(gather_dot(query, key, index), plain_dot(query, key, index), atol=1e-12)
    assert torch.allclose(scatter_sum(weight, query, index, KEYS), plain_scatter(weight, query, index, KEYS), atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_number_types(index, dtype):
    query, key, weight = (
        random(BATCH, *shape, dtype=dtype).requires_grad_() for shape in ((QUERIES, WIDTH), (KEYS, WIDTH), (QUERIES, LINKS))
    )
    for ours, plain, first in ((gather_dot, plain_dot, query), (gather_sum, plain_sum, weight)):
        answers = [function(first, key, index) for function in (ours, plain)]
        of_first, of_key = zip(*(torch.autograd.grad(answer.sum(), (first, key)) for answer in answers), strict=True)
        for one, other in (answers, of_first, of_key):
            assert one.dtype == dtype
            assert (one - other).abs().max() <= 4 * torch.finfo(dtype).eps * other.abs().max()


@pytest.mark.parametrize("wrong", [-1, KEYS])
def test_links_to_nowhere_are_refused(index, wrong):
    index[1, 2, 3] = wrong
    with pytest.raises(IndexError, match=f"expected 0 … {KEYS - 1}"):
        gather_dot(random(1, QUERIES, WIDTH), random(1, KEYS, WIDTH), index[1:])


def test_the_record_holds_the_weights_of_the_attention(index):
    query, key = random(BATCH, QUERIES, WIDTH), random(BATCH, KEYS, WIDTH, seed=1)
    counted = random(BATCH, QUERIES, LINKS) > -1
    counted[..., 0] = True
    match = sparse_match(query, key, index, (2, 3), (3, 3), 5.0, counted)
    assert torch.equal(match.weight, sparse_attention(query, key, index, 5.0, counted)[1])
    assert torch.equal(match.index, index) and (match.query_size, match.key_size) == ((2, 3), (3, 3))


def test_no_array_of_links_times_channels_is_made():
    """The largest block that torch asks for, forward and backward, is a feature map, not the gathered features."""
    side, links, width = 24, 20, 64
    index = torch.randint(side**2, (1, side**2, links))
    query, key = (random(1, side**2, width, seed=s, dtype=torch.float32).requires_grad_() for s in (0, 1))
    value = random(1, width, side, side, dtype=torch.float32).requires_grad_()

    def ours() -> torch.Tensor:
        return sparse_match(query, key, index, (side, side), (side, side)).warp(value)

    def plain() -> torch.Tensor:
        return plain_sum(torch.softmax(100 * plain_dot(query, key, index), -1), value.flatten(2).transpose(1, 2), index)

    of_a_map, of_links = 4 * side**2 * width, 4 * side**2 * links * width
    assert largest_block(ours) <= 1.1 * of_a_map
    assert largest_block(plain) >= of_links


def largest_block(call: Callable[[], torch.Tensor]) -> int:
    call().sum().backward()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        call().sum().backward()
    return max(event.self_cpu_memory_usage for event in seen.events())
