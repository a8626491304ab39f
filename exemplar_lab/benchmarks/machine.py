"""What this machine can do, and what a call takes of it."""

import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

_PATIENCE = 3.0
"""Seconds after which a slow call is not repeated any more, once there are three times."""

HEAPS = {
    "default": {},
    "warm": {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**33), "MALLOC_TOP_PAD_": str(2**28)},
    "exact": {"MALLOC_MMAP_THRESHOLD_": str(2**16), "MALLOC_TRIM_THRESHOLD_": str(2**16)},
}
"""What the allocator of a fresh process is told. `exact` gives everything back at once, so that resident is what is alive."""


def milliseconds(call: Callable[[], object], device: str, repeats: int) -> list[float]:
    """Times in rising order, up to `repeats`, after one call that is not counted."""
    times: list[float] = []
    for _ in range(repeats + 1):
        _synchronise(device)
        start = time.perf_counter()
        call()
        _synchronise(device)
        times.append(1e3 * (time.perf_counter() - start))
        if len(times) > 3 and sum(times[1:]) > 1e3 * _PATIENCE:
            break
    return sorted(times[1:])


def ceilings(device: str) -> dict[str, float]:
    """Gigabytes per second of a copy, read and written, and 10⁹ operations per second of a product of matrices of side 2048."""
    source = torch.rand(2**25, device=device)
    target = torch.empty_like(source)
    square = torch.rand(2048, 2048, device=device)
    copied = milliseconds(lambda: target.copy_(source), device, 9)[0]
    multiplied = milliseconds(lambda: square @ square, device, 9)[0]
    return {
        "copy_gb_s": round(2 * 4 * source.numel() / copied / 1e6, 1),
        "matmul_gflop_s": round(2 * 2048**3 / multiplied / 1e6, 1),
    }


def peak_bytes(call: Callable[[], object], device: str) -> int | None:
    """The most that one call holds beyond what is there before it, its answer included; None where the system does not say."""
    gc.collect()
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        answer = call()  # noqa: F841  held until the peak is read
        return torch.cuda.max_memory_allocated() - before
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew from what is resident
        before = _of_this_process("VmRSS")
        answer = call()  # noqa: F841
        return _of_this_process("VmHWM") - before
    except OSError:
        return None


def in_a_process(benchmark: str, heap: str, job: dict) -> dict:
    """What `answer_in_json` of a module of this room says to a job, in a fresh process with one of HEAPS.

    Raises RuntimeError when the process fails.
    """
    done = subprocess.run(
        [sys.executable, "-c", f"from exemplar_lab.benchmarks import {benchmark}; {benchmark}.answer_in_json()"],
        input=json.dumps(job),
        env=os.environ | HEAPS[heap],
        stdout=subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"the process that measures {job['what']} ended with exit code {done.returncode}, see above")
    return json.loads(done.stdout.splitlines()[-1])


def _of_this_process(name: str) -> int:
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split(name + ":")[1].split()[0])


def _synchronise(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()
