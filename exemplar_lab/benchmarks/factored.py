"""MSCA's factored attention beside the same matrix written out, and beside softmax attention of full rank."""

import json
import math
import sys
from collections.abc import Callable
from statistics import linear_regression
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from exemplar_lab.benchmarks.machine import in_a_process, milliseconds, peak_bytes
from exemplar_lab.ops.correlation import correlation_warp, normalise
from exemplar_lab.ops.msca import channel_aggregation, channel_attention, spatial_aggregation, spatial_attention

SIDES = (32, 64, 128, 256)
REGIONS = (8, 16)
"""K of the coarsest scale of the model, and of the other four."""

WIDTH = 64
"""Channels of F_x2, F_c1 and F_c2."""

LARGEST_QUADRATIC = 128
"""The side beyond which only what is linear is timed: at 256² the matrix would take 17 GB, and softmax minutes."""

TOLERANCE = 1e-4
"""Largest difference between two ways to one answer or gradient, relative to its largest number. Sums over 16384 positions in
two orders differ by about 1e-6."""


class Inputs(NamedTuple):
    """F_x2, F_c2 and F_c1, each 1 c h w; φ, r 2c 1 1; ψ, r c 1 1; the gate, 1 r, which costs the same at any size: given."""

    feature: Tensor
    exemplar_label: Tensor
    label: Tensor
    spatial: Tensor
    channel: Tensor
    gate: Tensor


def factored(given: Inputs) -> Tensor:
    """As `nn.msca.MaskedSpatialChannelAttention` does it: gather, gate, give. Nothing is larger than K × H·W or c × H·W."""
    alpha, beta = _factors(given)
    return channel_aggregation(spatial_aggregation(given.feature, alpha), beta, _size(given))


def written_out(given: Inputs) -> Tensor:
    """The same, with the matrix β · diag(gate) · α made, and the values multiplied by it."""
    alpha, beta = _factors(given)
    weight = beta @ alpha
    return (weight @ given.feature.flatten(2).transpose(1, 2)).transpose(1, 2).unflatten(2, _size(given))


def full_rank(given: Inputs) -> Tensor:
    """Every position of F_c1 looks at every one of F_c2 by itself: `ops.correlation.correlation_warp`, in linear memory."""
    query, key = normalise(given.label), normalise(given.exemplar_label)
    return correlation_warp(query, key, given.feature, _size(given))


def full_rank_torch(given: Inputs) -> Tensor:
    """The same by torch's scaled_dot_product_attention."""
    tokens = normalise(given.label), normalise(given.exemplar_label), given.feature.flatten(2).transpose(1, 2)
    answer = F.scaled_dot_product_attention(*(one[:, None] for one in tokens), scale=100.0)[:, 0]
    return answer.transpose(1, 2).unflatten(2, _size(given))


METHODS: dict[str, tuple[Callable[[Inputs], Tensor], int]] = {
    **{f"factored, K = {regions}": (factored, regions) for regions in REGIONS},
    **{f"written out, K = {regions}": (written_out, regions) for regions in REGIONS},
    "softmax, ours": (full_rank, REGIONS[0]),
    "softmax, torch": (full_rank_torch, REGIONS[0]),
}
"""The way, and its K, which softmax has no use for."""

PAIRS = {
    **{f"factored, K = {regions}": f"written out, K = {regions}" for regions in REGIONS},
    "softmax, ours": "softmax, torch",
}
"""What must be equal to what."""


def report(device: str = "cpu", sides: tuple[int, ...] = SIDES, repeats: int = 9) -> dict:
    """{"device", "threads", "cases": {side: {method: {"forward_ms", "both_ms", "forward_mb", "both_mb"}}},
    "exponents": {method: the same four}, "difference": {side: {method: largest difference}}}.

    ms: the fastest of up to `repeats` calls, from features to what is carried, on a heap that keeps its pages; both: forward
    and backward. mb: the peak of one call above what is resident before it, its answer and gradients included, or None where
    the system does not say. exponents: the slope of the logarithm against that of H·W by least squares; doubling
    H·W takes 2^exponent times as much. difference: of answer and gradients, relative to the largest number; see PAIRS. Times
    in one process, memory in another for each method.
    """
    times = in_a_process("factored", "warm", {"what": "times", "device": device, "sides": sides, "repeats": repeats})
    memory = {}
    for method in METHODS:
        print(f"memory: {method}", file=sys.stderr, flush=True)
        memory[method] = in_a_process(
            "factored", "exact", {"what": "memory", "device": device, "sides": sides, "method": method}
        )
    cases = {
        side: {method: found | memory[method][side] for method, found in methods.items()}
        for side, methods in times["cases"].items()
    }
    return {
        "device": device,
        "threads": times["threads"],
        "cases": cases,
        "exponents": {method: exponents(cases, method) for method in METHODS},
        "difference": times["difference"],
    }


def exponents(cases: dict[str, dict[str, dict[str, float | None]]], method: str) -> dict[str, float | None]:
    """Of each number of a method; None where fewer than two sides have it, and where one is not positive."""
    found: dict[str, float | None] = {}
    for name in ("forward_ms", "both_ms", "forward_mb", "both_mb"):
        numbers = {int(side): methods[method][name] for side, methods in cases.items() if method in methods}
        found[name] = None
        if len(numbers) > 1 and all(numbers.values()):
            positions, costs = [2 * math.log(side) for side in numbers], [math.log(number) for number in numbers.values()]
            found[name] = round(linear_regression(positions, costs).slope, 2)
    return found


def answer(job: dict) -> dict:
    """What one process finds out."""
    device = job["device"]
    if job["what"] == "memory":
        method = job["method"]
        return {str(side): _memory(method, side, device) for side in job["sides"] if method in methods_at(side)}
    cases, difference = {}, {}
    for side in job["sides"]:
        print(f"{side}² …", file=sys.stderr, flush=True)
        cases[str(side)] = {
            method: {
                f"{name}_ms": round(milliseconds(call, device, job["repeats"])[0], 3)
                for name, call in _calls(method, side, device).items()
            }
            for method in methods_at(side)
        }
        difference[str(side)] = differences(side, device)
    return {"threads": torch.get_num_threads(), "cases": cases, "difference": difference}


def answer_in_json() -> None:
    """The job comes on standard input, what was found goes to standard output."""
    print(json.dumps(answer(json.load(sys.stdin))))


def methods_at(side: int) -> tuple[str, ...]:
    return tuple(name for name, (method, _) in METHODS.items() if method is factored or side <= LARGEST_QUADRATIC)


def inputs(side: int, regions: int, device: str = "cpu") -> Inputs:
    """Leaves that want gradients, the same for all ways."""
    draw = torch.Generator().manual_seed(0)
    maps = torch.randn(3, 1, WIDTH, side, side, generator=draw)
    spatial, channel = (torch.randn(16, n * WIDTH, 1, 1, generator=draw)[:regions] / (n * WIDTH) ** 0.5 for n in (2, 1))
    gate = torch.rand(1, 16, generator=draw)[:, :regions]
    return Inputs(*(one.to(device).contiguous().requires_grad_() for one in (*maps, 3 * spatial, 3 * channel, gate)))


def differences(side: int, device: str = "cpu") -> dict[str, float]:
    """Of each of PAIRS: the largest difference of the answer and of all gradients, relative to the largest number of each."""
    found = {}
    for one, other in PAIRS.items():
        if other not in methods_at(side):
            continue
        (first, *grads), (second, *others) = (_answer_and_gradients(name, side, device) for name in (one, other))
        pairs = [(first, second), *zip(grads, others, strict=True)]
        found[one] = max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs)
    return found


def _factors(given: Inputs) -> tuple[Tensor, Tensor]:
    """α, and β times the gate."""
    seen = torch.cat([given.feature, given.exemplar_label], dim=1)
    alpha = spatial_attention(F.conv2d(seen, given.spatial))
    return alpha, channel_attention(F.conv2d(given.label, given.channel)) * given.gate[:, None]


def _size(given: Inputs) -> tuple[int, int]:
    return given.label.shape[2], given.label.shape[3]


def _answer_and_gradients(method: str, side: int, device: str) -> list[Tensor]:
    way, regions = METHODS[method]
    given = inputs(side, regions, device)
    made = way(given)
    made.backward(torch.randn(made.shape, generator=torch.Generator().manual_seed(1)).to(device))
    return [made.detach(), *(one.grad for one in given if one.grad is not None)]


def _calls(method: str, side: int, device: str) -> dict[str, Callable[[], object]]:
    way, regions = METHODS[method]
    given = inputs(side, regions, device)
    gradient = torch.randn(given.feature.shape, device=device)

    def forward() -> Tensor:
        with torch.no_grad():
            return way(given)

    def both() -> Tensor:
        for leaf in given:
            leaf.grad = None
        made = way(given)
        made.backward(gradient)
        return made

    return {"forward": forward, "both": both}


def _memory(method: str, side: int, device: str) -> dict[str, float | None]:
    _calls(method, 8, device)["both"]()  # libraries load and kernels are built at the first call
    peaks = {}
    for name, call in _calls(method, side, device).items():
        peak = peak_bytes(call, device)
        peaks[f"{name}_mb"] = None if peak is None else round(peak / 1e6, 2)
    return peaks
