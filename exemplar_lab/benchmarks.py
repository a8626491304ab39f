"""Speed, side by side in one run: times are reported here and asserted nowhere."""

import time
from collections.abc import Callable
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor

from exemplar_lab.data.synth.world import TASKS
from exemplar_lab.ops.correlation import attend

CORRELATION_CASES = {"32² b8 c64": (8, 32 * 32, 64), "64² b1 c256": (1, 64 * 64, 256), "128² b1 c64": (1, 128 * 128, 64)}
"""Grid, batch and feature width: the `cpu` profile, the paper's match, and a grid whose q × k weights would take 1 GB."""

_LARGEST_PLAIN = 2**25
"""Weights beyond which the plain formulation is left out (128 MB per copy, several copies)."""


def correlation(device: str = "cpu", repeats: int = 5) -> dict[str, dict[str, dict[str, float]]]:
    """{case: {method: {"forward_ms", "both_ms", "difference"}}} for CoCosNet Eq. (4) at a temperature of 0.01.

    plain: softmax(q kᵀ / τ) v, weights written out. sdpa: torch's scaled_dot_product_attention, which wants values as wide as
    the keys. ours: `ops.correlation.attend`. Medians of `repeats`, in milliseconds; both: forward and backward. difference:
    largest absolute difference of the answer to ours.
    """
    report = {}
    for case, (batch, positions, width) in CORRELATION_CASES.items():
        generator = torch.Generator().manual_seed(0)
        query, key = (
            F.normalize(torch.randn(batch, positions, width, generator=generator), dim=-1).to(device).requires_grad_()
            for _ in range(2)
        )
        value = torch.rand(batch, positions, 3, generator=generator).to(device)
        methods = {"plain": _plain, "sdpa": _sdpa, "ours": lambda q, k, v: attend(q, k, v, 100.0)}
        if batch * positions**2 > _LARGEST_PLAIN:
            del methods["plain"]
        with torch.no_grad():
            ours = methods["ours"](query, key, value)
        report[case] = {
            name: _time(method, (query, key, value), repeats)
            | {"difference": float((method(query, key, value).detach() - ours).abs().max())}
            for name, method in methods.items()
        }
    return report


WORLD_CASES = {64: (16, 64), 128: (8, 32), 256: (2, 8)}
"""Image side -> sizes of batches to try; the faster one counts."""


def world(device: str = "cpu", repeats: int = 3) -> dict[str, dict[str, dict[str, float]]]:
    """{"64²": {task: {"pairs_per_s", "batch", "pairs_per_s_without_truth"}}}.

    Pairs per second with all fields of the truth, the size of batch that gave them, and the same without truth; medium tier,
    the best of `repeats`, on one core when on a CPU.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if device == "cpu" else threads)
    larger = {} if device == "cpu" else {128: (128, 512), 256: (32, 128)}
    try:
        report: dict[str, dict[str, dict[str, float]]] = {}
        for size, batches in (WORLD_CASES | larger).items():
            report[f"{size}²"] = {name: _pairs_per_second(name, size, batches, device, repeats) for name in TASKS}
    finally:
        torch.set_num_threads(threads)
    return report


def _pairs_per_second(task: str, size: int, batches: tuple[int, ...], device: str, repeats: int) -> dict[str, float]:
    speed = {}
    for truth in (True, False):
        source = TASKS[task](size, "val", truth=truth)
        for batch in batches:
            indices = torch.arange(batch, device=device)
            times = [_seconds(lambda: source.batch(indices, device), device) for _ in range(repeats + 1)]  # noqa: B023
            speed[truth, batch] = batch / min(times[1:])
    best = max(batches, key=lambda batch: speed[True, batch])
    return {
        "pairs_per_s": round(speed[True, best], 1),
        "batch": best,
        "pairs_per_s_without_truth": round(max(speed[False, batch] for batch in batches), 1),
    }


def _seconds(call: Callable[[], object], device: str) -> float:
    start = time.perf_counter()
    call()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _plain(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return torch.softmax(query @ key.transpose(1, 2) * 100, dim=-1) @ value


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
