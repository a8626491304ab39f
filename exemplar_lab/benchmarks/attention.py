"""Sparse attention and its warp beside the plain gathered formulation: times on two heaps, floors, memory, differences.

Two heaps, because glibc gives large blocks back to the system as soon as they are free and pays for each of their pages again.
`default` is what everybody has. `warm` keeps what it once had: what wins there wins by itself, and not against malloc.

One run of this command on one core of a Zen 5, the fastest of nine calls, `plain` over ours:

            warm: forward    forward + backward   default: forward   forward + backward   peak MB, forward   both
    64²     68 / 3.7 ms      196 / 10.5 ms        212 / 3.1 ms       484 / 9.3 ms         210 / 8.6          361 / 20
    128²    137 / 7.8 ms     390 / 22.5 ms        428 / 7.7 ms       996 / 23.3 ms        419 / 18           724 / 42
    256²    259 / 18.3 ms    786 / 56.2 ms        857 / 18.0 ms      1958 / 54.2 ms       839 / 40           1453 / 92

With links anywhere 518 / 33 and 1238 / 89 ms at 256², warm. `rows` gathers from values whose vectors lie in one piece, the best
plain way that was found: 40, 80 and 155 ms forward, 167, 332 and 676 ms in all. The floor at 256² is 3.5 ms forward and 10.5 ms
in all, of arithmetic. Training takes 16 times less memory at 256² and cannot take 20 times less: the answer and its gradients
alone are 76 MB. 616 bytes per pixel, from 256² to 1024². On a GPU it was never run.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from exemplar_lab.benchmarks.machine import ceilings, in_a_process, milliseconds, peak_bytes
from exemplar_lab.ops.attention import sparse_match
from exemplar_lab.ops.candidates import inner_scale

TAU, KEPT, LINKS = 100.0, 4, 20
TOLERANCE = 1e-5
"""Largest difference to the plain answer and gradients, relative to their largest number."""


@dataclass(frozen=True)
class Case:
    """A block of DynaST's inner-scale attention, batch 1. width: of queries and keys, positions included; channels: of values.

    near: links lie around a smooth displacement, as after a good match; else anywhere, as before one is found.
    """

    side: int
    width: int
    channels: int
    near: bool = True


CASES = {
    "64²": Case(64, 320, 256),
    "128²": Case(128, 160, 128),
    "256²": Case(256, 80, 64),
    "256² anywhere": Case(256, 80, 64, near=False),
}
"""Channels as in the released code, where a scale twice as fine has half as many."""

SIDES = (64, 128, 256, 512, 1024)
"""For the memory per pixel, with 80 and 64 channels."""


class Inputs(NamedTuple):
    query: Tensor
    key: Tensor
    value: Tensor
    index: Tensor
    cotangent: Tensor


def plain(query: Tensor, key: Tensor, value: Tensor, index: Tensor) -> Tensor:
    """The vectors are gathered from the tokens as they come, a map seen as tokens for the values; multiplied; summed."""
    return _gathered(query, key, value.flatten(2).transpose(1, 2), index).transpose(1, 2).unflatten(2, value.shape[2:])


def rows(query: Tensor, key: Tensor, value: Tensor, index: Tensor) -> Tensor:
    """The same after the values were copied so that each vector lies in one piece: the fastest plain way that was found."""
    table = value.flatten(2).transpose(1, 2).contiguous()
    return _gathered(query, key, table, index).transpose(1, 2).unflatten(2, value.shape[2:])


def ours(query: Tensor, key: Tensor, value: Tensor, index: Tensor) -> Tensor:
    size = tuple(value.shape[2:])
    return sparse_match(query, key, index, size, size, TAU).warp(value)


METHODS: dict[str, Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]] = {"plain": plain, "rows": rows, "ours": ours}


def report(device: str = "cpu", cases: dict[str, Case] | None = None, sides: tuple[int, ...] = SIDES, repeats: int = 9) -> dict:
    """{"threads", "heaps": {heap: {"copy_gb_s", "matmul_gflop_s", "cases": {case: {method: times, "floor": times}}}},
    "difference": {case: {"answer", "query", "key", "value"}}, "memory_mb": {case: {method: {"forward", "both"}}},
    "bytes_per_pixel": {side: bytes}}.

    times: the fastest and the median of up to `repeats` calls, forward and forward + backward, in milliseconds. floor: what the
    compulsory bytes take at the measured speed of a copy, and the arithmetic at that of a product of matrices. memory_mb: the
    peak of one call above what is resident before it, the answer and its gradients included. bytes_per_pixel: the same for the
    forward pass of ours. Each heap and each method's memory in a process of its own; a GPU needs neither.
    """
    cases = CASES if cases is None else cases
    listed = {name: asdict(case) for name, case in cases.items()}
    heaps = ("default", "warm") if device == "cpu" else ("default",)
    times = {
        heap: _in_a_process(heap, what="times", device=device, cases=listed, repeats=repeats, compare=heap == heaps[-1])
        for heap in heaps
    }
    difference = times[heaps[-1]].pop("difference")
    memory = {method: _in_a_process("exact", what="memory", device=device, cases=listed, method=method) for method in METHODS}
    grown = {f"{side}²": asdict(Case(side, 80, 64)) for side in sides}
    of_ours = _in_a_process("exact", what="memory", device=device, cases=grown, method="ours", passes=["forward"])
    return {
        "device": device,
        "threads": times[heaps[0]].pop("threads"),
        "heaps": {heap: {name: value for name, value in one.items() if name != "threads"} for heap, one in times.items()},
        "difference": difference,
        "memory_mb": {name: {method: memory[method][name] for method in METHODS} for name in cases},
        "bytes_per_pixel": {
            f"{side}²": peak and round(1e6 * peak["forward"] / side**2) for side in sides for peak in (of_ours[f"{side}²"],)
        },
    }


def answer(job: dict) -> dict:
    """What one process finds out."""
    cases = {name: Case(**case) for name, case in job["cases"].items()}
    if job["what"] == "memory":
        passes = job.get("passes", ["forward", "both"])
        return {name: _memory(METHODS[job["method"]], case, passes, job["device"]) for name, case in cases.items()}
    found = {"threads": torch.get_num_threads()} | ceilings(job["device"])
    found["cases"] = {}
    for name, case in cases.items():
        print(f"{name} …", file=sys.stderr, flush=True)
        given = inputs(case, job["device"])
        found["cases"][name] = {m: _times(method, given, job["repeats"]) for m, method in METHODS.items()}
        found["cases"][name]["floor"] = floor(case, found["copy_gb_s"], found["matmul_gflop_s"])
    if job["compare"]:
        found["difference"] = {name: differences(inputs(case, job["device"])) for name, case in cases.items()}
    return found


def answer_in_json() -> None:
    """The job comes on standard input, what was found goes to standard output."""
    print(json.dumps(answer(json.load(sys.stdin))))


def inputs(case: Case, device: str = "cpu") -> Inputs:
    draw = torch.Generator().manual_seed(0)
    positions = case.side**2
    query, key = (F.normalize(torch.randn(1, positions, case.width, generator=draw), dim=-1) for _ in range(2))
    value, cotangent = (torch.randn(1, case.channels, case.side, case.side, generator=draw) for _ in range(2))
    tensors = query, key, value, _links(case, draw), cotangent
    return Inputs(*(tensor.to(device) for tensor in tensors))


def floor(case: Case, copy_gb_s: float, matmul_gflop_s: float) -> dict[str, float]:
    """Milliseconds: every input read once and every answer written once; two operations per product, and in the backward pass
    as many again for each of the two factors."""
    maps = case.side**2 * (2 * case.width + 2 * case.channels)  # query, key, value, answer
    links = case.side**2 * LINKS
    read_once, flops = 4 * maps + 8 * links, 2 * links * (case.width + case.channels)
    return {
        "forward_bytes_ms": round(read_once / copy_gb_s / 1e6, 3),
        "both_bytes_ms": round((3 * 4 * maps + 2 * 8 * links) / copy_gb_s / 1e6, 3),
        "forward_flops_ms": round(flops / matmul_gflop_s / 1e6, 3),
        "both_flops_ms": round(3 * flops / matmul_gflop_s / 1e6, 3),
    }


def differences(given: Inputs) -> dict[str, float]:
    """Largest difference between ours and plain, relative to the largest number, of the answer and of the three gradients."""
    found = {}
    for name in ("plain", "ours"):
        leaves, call = _with_gradients(METHODS[name], given)
        answer = call()
        found[name] = answer.detach(), *(leaf.grad for leaf in leaves)
    pairs = zip(found["plain"], found["ours"], strict=True)
    return dict(
        zip(("answer", "query", "key", "value"), (float((a - b).abs().max() / a.abs().max()) for a, b in pairs), strict=True)
    )


def _gathered(query: Tensor, key: Tensor, value: Tensor, index: Tensor) -> Tensor:
    sample = torch.arange(len(query), device=query.device)[:, None, None]
    score = (query[:, :, None] * key[sample, index]).sum(-1) * TAU
    return (torch.softmax(score, dim=-1)[..., None] * value[sample, index]).sum(2)


def _links(case: Case, draw: torch.Generator) -> Tensor:
    side = case.side
    if case.near:
        at = torch.arange(side)
        wave = (side / 16 * torch.sin(at / side * 6.28)).round().long()
        jitter = torch.randint(-2, 3, (2, side, side, KEPT), generator=draw)
        y, x = (
            ((at + wave)[:, None, None] + jitter[0]).clamp(0, side - 1),
            ((at + wave)[:, None] + jitter[1]).clamp(0, side - 1),
        )
        kept = (y * side + x).view(1, side**2, KEPT)
    else:
        kept = torch.randint(side**2, (1, side**2, KEPT), generator=draw)
    return inner_scale(kept, (side, side), (side, side))


def _with_gradients(method: Callable[..., Tensor], given: Inputs) -> tuple[tuple[Tensor, ...], Callable[[], Tensor]]:
    leaves = tuple(tensor.detach().requires_grad_() for tensor in given[:3])

    def both() -> Tensor:
        for leaf in leaves:
            leaf.grad = None
        answer = method(*leaves, given.index)
        answer.backward(given.cotangent)
        return answer

    return leaves, both


def _calls(method: Callable[..., Tensor], given: Inputs) -> dict[str, Callable[[], Tensor]]:
    def forward() -> Tensor:
        with torch.no_grad():
            return method(*given[:4])

    return {"forward": forward, "both": _with_gradients(method, given)[1]}


def _times(method: Callable[..., Tensor], given: Inputs, repeats: int) -> dict[str, float]:
    times = {}
    for name, call in _calls(method, given).items():
        taken = milliseconds(call, given.query.device.type, repeats)
        times |= {f"{name}_ms": round(taken[0], 2), f"{name}_median_ms": round(taken[len(taken) // 2], 2)}
    return times


def _memory(method: Callable[..., Tensor], case: Case, passes: list[str], device: str) -> dict[str, float] | None:
    _with_gradients(method, inputs(Case(8, 8, 8), device))[1]()  # libraries load and kernels are built at the first call
    peaks = {}
    for name in passes:
        peak = peak_bytes(_calls(method, inputs(case, device))[name], device)
        if peak is None:
            return None
        peaks[name] = round(peak / 1e6, 2)
    return peaks


def _in_a_process(heap: str, **job: object) -> dict:
    print(f"{job['what']}: {job.get('method', heap + ' heap')}", file=sys.stderr, flush=True)
    return in_a_process("attention", heap, job)
