"""Milliseconds of CoCosNet's Eq. (4) and of MATEBIT's Eq. (2), (3): ours, the plain formulation, and torch's own."""

import time
from collections.abc import Callable
from functools import partial
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor

from exemplar_lab.ops.correlation import attend
from exemplar_lab.ops.masking import masked_weight

CASES = {"32² b8 c64": (8, 32 * 32, 64), "64² b1 c256": (1, 64 * 64, 256), "128² b1 c64": (1, 128 * 128, 64)}
"""Grid, batch and feature width: the `cpu` profile, the paper's match, and a grid whose q × k weights would take 1 GB."""

_LARGEST_PLAIN = 2**25
"""Weights beyond which the plain formulation is left out (128 MB per copy, several copies)."""


def report(device: str = "cpu", repeats: int = 5) -> dict[str, dict[str, dict[str, float]]]:
    """{case: {method: {"forward_ms", "both_ms", "difference"}}} for CoCosNet Eq. (4) at a temperature of 0.01, and masked.

    plain: softmax(q kᵀ / τ) v, weights written out. sdpa: torch's scaled_dot_product_attention, which wants values as wide as
    the keys. ours: `ops.correlation.attend`. masked, masked plain: the same with negative scores cut. Medians of `repeats`, in
    milliseconds; both: forward and backward. difference: largest absolute difference of the answer to ours, or to masked.
    """
    times = {}
    for case, (batch, positions, width) in CASES.items():
        generator = torch.Generator().manual_seed(0)
        query, key = (
            F.normalize(torch.randn(batch, positions, width, generator=generator), dim=-1).to(device).requires_grad_()
            for _ in range(2)
        )
        value = torch.rand(batch, positions, 3, generator=generator).to(device)
        ours, masked = (partial(attend, scale=100.0, positive=positive) for positive in (False, True))
        methods = {"plain": _plain, "sdpa": _sdpa, "ours": ours, "masked plain": _masked_plain, "masked": masked}
        if batch * positions**2 > _LARGEST_PLAIN:
            del methods["plain"], methods["masked plain"]
        with torch.no_grad():
            answers = {cut: method(query, key, value) for cut, method in ((False, ours), (True, masked))}
        times[case] = {
            name: _time(method, (query, key, value), repeats)
            | {"difference": float((method(query, key, value).detach() - answers["masked" in name]).abs().max())}
            for name, method in methods.items()
        }
    return times


def _plain(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return torch.softmax(query @ key.transpose(1, 2) * 100, dim=-1) @ value


def _masked_plain(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return masked_weight(query @ key.transpose(1, 2), 100.0) @ value


def _sdpa(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    padded = F.pad(value, (0, key.shape[-1] - value.shape[-1]))
    one_head = (tensor[:, None] for tensor in (query, key, padded))
    return F.scaled_dot_product_attention(*one_head, scale=100.0)[:, 0, :, : value.shape[-1]]


def _time(method: Callable[..., Tensor], inputs: tuple[Tensor, ...], repeats: int) -> dict[str, float]:
    gradient = torch.ones_like(inputs[2])

    def forward() -> None:
        with torch.no_grad():
            method(*inputs)

    def both() -> None:
        method(*inputs).backward(gradient)

    return {
        name: _milliseconds(call, inputs[0].device, repeats) for name, call in {"forward_ms": forward, "both_ms": both}.items()
    }


def _milliseconds(call: Callable[[], None], device: torch.device, repeats: int) -> float:
    times = []
    for _ in range(repeats + 1):  # the first is a warm-up
        start = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(1e3 * (time.perf_counter() - start))
    return round(median(times[1:]), 2)
