"""Sums along a few links per position, without ever writing out the vectors at their ends.

Position i is linked to the rows index[i, ·] of a table. The plain way writes those rows out, b · q · t · c numbers, 400 MB at
256² with 80 channels and 20 links, and their products as well. Here the sums run inside kernels that read each row where it
lies. The three functions are each other's gradients, of any order.

Milliseconds on one core of a Zen 5, 256², 20 links: dots of 80 channels 9.5, sums of 64 channels 4.1, sums the other way 9.
Tried: the weight gradient of an embedding bag for the dots, 21 (it stays where the faster kernel cannot go); gathering and
multiplying in chunks that fit the cache, 28; torch.compile, dots 7.2 and sums 125, after a minute of compiling; a CSR product
for the sums, 10.6; torch's sort for the way back, 20; indices of 32 bits, no gain.
"""

import warnings
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from scipy.sparse import csr_array
from torch import Tensor

_LONGEST = 2**25
"""Links that one kernel of a GPU takes, a warp of 32 threads each."""


def gather_dot(
    query: Float[Tensor, "b q c"], key: Float[Tensor, "b k c"], index: Int[Tensor, "b q t"]
) -> Float[Tensor, "b q t"]:
    """⟨query_i, key_j⟩ for the links j = index[i, ·] of each position i; equal links are computed as often as they stand."""
    return _Dot.apply(rows_of(query), rows_of(key), index)


def gather_sum(
    weight: Float[Tensor, "b q t"], value: Float[Tensor, "b k c"], index: Int[Tensor, "b q t"]
) -> Float[Tensor, "b q c"]:
    """Σ_t weight[i, t] · value[index[i, t]]: what each position i gathers along its links."""
    return _Sum.apply(weight, rows_of(value), index)


def scatter_sum(
    weight: Float[Tensor, "b q t"], value: Float[Tensor, "b q c"], index: Int[Tensor, "b q t"], rows: int
) -> Float[Tensor, "b {rows} c"]:
    """Σ weight[i, t] · value[i] over all links that end at j, for each of the `rows` ends j: the same links the other way."""
    return _Scatter.apply(weight, rows_of(value), index, rows)


def rows_of(feature: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
    """The same numbers with each vector in one piece, which the kernels read several times faster.

    A map seen as vectors goes one sample at a time, there and back: torch copies a transposed matrix in blocks, and a batch of
    them number by number.
    """
    of_a_map = feature.transpose(1, 2).is_contiguous() and not feature.is_contiguous()
    return _Rows.apply(feature) if of_a_map else feature.contiguous()


class _Rows(torch.autograd.Function):
    @staticmethod
    def forward(ctx, feature: Tensor) -> Tensor:
        rows = feature.new_empty(feature.shape)
        for into, one in zip(rows, feature, strict=True):
            into.copy_(one)
        return rows

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return rows_of(gradient.transpose(1, 2)).transpose(1, 2)


class _Dot(torch.autograd.Function):
    @staticmethod
    def forward(ctx, query: Tensor, key: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(query, key, index)
        return _dot(query, key, index)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        query, key, index = ctx.saved_tensors
        to_query = gather_sum(gradient, key, index) if ctx.needs_input_grad[0] else None
        to_key = scatter_sum(gradient, query, index, key.shape[1]) if ctx.needs_input_grad[1] else None
        return to_query, to_key, None


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx, weight: Tensor, value: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(weight, value, index)
        return _sum(weight, value, index)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        weight, value, index = ctx.saved_tensors
        gradient = rows_of(gradient)
        to_weight = gather_dot(gradient, value, index) if ctx.needs_input_grad[0] else None
        to_value = scatter_sum(weight, gradient, index, value.shape[1]) if ctx.needs_input_grad[1] else None
        return to_weight, to_value, None


class _Scatter(torch.autograd.Function):
    @staticmethod
    def forward(ctx, weight: Tensor, value: Tensor, index: Tensor, rows: int) -> Tensor:
        ctx.save_for_backward(weight, value, index)
        return _scatter(weight, value, index, rows)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        weight, value, index = ctx.saved_tensors
        gradient = rows_of(gradient)
        to_weight = gather_dot(value, gradient, index) if ctx.needs_input_grad[0] else None
        to_value = gather_sum(weight, gradient, index) if ctx.needs_input_grad[1] else None
        return to_weight, to_value, None, None


def _dot(query: Tensor, key: Tensor, index: Tensor) -> Tensor:
    sampled = _has_cpu_kernels(query) and index.shape[2] <= key.shape[1]  # torch lets no sparse matrix be more than full
    dots = _dot_sampled if sampled else _dot_of_bags
    return dots(query.flatten(0, 1), key.flatten(0, 1), _links(index, key.shape[1])).view(index.shape)


def _sum(weight: Tensor, value: Tensor, index: Tensor) -> Tensor:
    links = _links(index, value.shape[1])
    gathered = F.embedding_bag(links, value.flatten(0, 1), per_sample_weights=weight.flatten(0, 1), mode="sum")
    return gathered.unflatten(0, index.shape[:2])


def _scatter(weight: Tensor, value: Tensor, index: Tensor, rows: int) -> Tensor:
    back = _back_counted if _has_cpu_kernels(weight) else _back_sorted
    origin, starts, weight = back(_links(index, rows), weight.flatten(), len(index) * rows)
    scattered = F.embedding_bag(origin, value.flatten(0, 1), starts, per_sample_weights=weight, mode="sum")
    return scattered.unflatten(0, (len(index), rows))


def _dot_sampled(query: Tensor, key: Tensor, links: Tensor) -> Tensor:
    """The entries of query · keyᵀ where a sparse matrix has its own. The kernel looks at no index before it reads there."""
    if links.numel() and not 0 <= (ends := links.aminmax()).min <= ends.max < len(key):
        raise IndexError(f"got links from {int(ends.min)} to {int(ends.max)}, expected 0 … {len(key) - 1}")
    starts = torch.arange(len(links) + 1, dtype=links.dtype) * links.shape[1]
    zeros, size = query.new_zeros(links.numel()), (len(query), len(key))
    _csr_without_warning()
    dots = torch.sparse_csr_tensor(starts, links.flatten(), zeros, size, check_invariants=False)
    return torch.sparse.sampled_addmm(dots, query, key.t(), beta=0.0, out=dots).values()


def _dot_of_bags(query: Tensor, key: Tensor, links: Tensor) -> Tensor:
    """The gradient of the weights of an embedding bag; its GPU kernel knows no bfloat16 and counts its threads in 32 bits."""
    if query.dtype not in (torch.float32, torch.float64):
        return _dot_of_bags(query.float(), key.float(), links).to(query.dtype)
    if links.numel() > _LONGEST and len(links) > 1:
        halves = zip(query.tensor_split(2), links.tensor_split(2), strict=True)
        return torch.cat([_dot_of_bags(one, key, of_one) for one, of_one in halves])
    bag = torch.arange(len(links), device=links.device, dtype=links.dtype)
    owner = bag.repeat_interleave(links.shape[1])
    op = torch.ops.aten._embedding_bag_per_sample_weights_backward
    return op(query, key, links.flatten(), bag * links.shape[1], owner, 0, -1)


def _back_counted(links: Tensor, weight: Tensor, rows: int) -> tuple[Tensor, Tensor, Tensor]:
    """The links in the order of the rows they end at: the position each comes from, where each row begins, the weights."""
    starts = np.arange(len(links) + 1, dtype=np.int32) * links.shape[1]
    by_end = csr_array((weight.numpy(), links.flatten().int().numpy(), starts), shape=(len(links), rows)).tocsc()
    origin, starts, weight = (torch.from_numpy(part) for part in (by_end.indices, by_end.indptr, by_end.data))
    return origin, starts[:-1], weight


def _back_sorted(links: Tensor, weight: Tensor, rows: int) -> tuple[Tensor, Tensor, Tensor]:
    """The same by a stable sort, so that sums are added in one order."""
    order = links.flatten().int().sort(stable=True).indices
    count = torch.bincount(links.flatten(), minlength=rows)
    return order.div(links.shape[1], rounding_mode="floor"), count.cumsum(0) - count, weight.index_select(0, order)


def _has_cpu_kernels(tensor: Tensor) -> bool:
    return tensor.device.type == "cpu" and tensor.dtype in (torch.float32, torch.float64)


def _links(index: Tensor, rows: int) -> Tensor:
    """One list of links per position of the whole batch, as indices into the rows of the whole batch."""
    if len(index) == 1:
        return index[0].contiguous()
    return (index + torch.arange(len(index), device=index.device)[:, None, None] * rows).flatten(0, 1)


@cache
def _csr_without_warning() -> None:
    """The first sparse matrix of a process warns that they are in beta; what is used of them here is tested."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.sparse_csr_tensor(torch.tensor([0, 0]), torch.empty(0, dtype=torch.long), torch.empty(0), (1, 1))
