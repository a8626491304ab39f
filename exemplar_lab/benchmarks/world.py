"""Pairs of the procedural world per second."""

import time
from collections.abc import Callable

import torch

from exemplar_lab.data.synth.world import TASKS

CASES = {64: (16, 64), 128: (8, 32), 256: (2, 8)}
"""Image side -> sizes of batches to try; the faster one counts."""


def report(device: str = "cpu", repeats: int = 3) -> dict[str, dict[str, dict[str, float]]]:
    """{"64²": {task: {"pairs_per_s", "batch", "pairs_per_s_without_truth"}}}.

    Pairs per second with all fields of the truth, the size of batch that gave them, and the same without truth; medium tier,
    the best of `repeats`, on one core when on a CPU.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if device == "cpu" else threads)
    larger = {} if device == "cpu" else {128: (128, 512), 256: (32, 128)}
    try:
        speeds: dict[str, dict[str, dict[str, float]]] = {}
        for size, batches in (CASES | larger).items():
            speeds[f"{size}²"] = {name: _pairs_per_second(name, size, batches, device, repeats) for name in TASKS}
    finally:
        torch.set_num_threads(threads)
    return speeds


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
