"""The command that times things."""

import argparse
import sys


def benchmark(given: argparse.Namespace) -> int:
    """Time the package's operators beside the plain formulation and the library's own, or the making of the world's pairs.

    exemplar-lab benchmark correlation
    exemplar-lab benchmark attention      (about three minutes; times on two heaps, floors, memory; fails if answers differ)
    exemplar-lab benchmark factored       (MSCA's beside softmax: time, memory, how both grow; fails if answers differ)
    exemplar-lab benchmark world          (pairs of the procedural world per second, on one core or on a GPU)
    exemplar-lab benchmark explorer       (from a click to its row, in JupyterLab and a real Chromium; about a minute)
    """
    import json

    from exemplar_lab.benchmarks import attention, correlation, explorer, factored, world
    from exemplar_lab.training.loop import make_fabric

    device = str(make_fabric(given.device).device)
    benchmarks = {
        "correlation": correlation,
        "attention": attention,
        "factored": factored,
        "world": world,
        "explorer": explorer,
    }
    report = benchmarks[given.what].report(device)
    if given.json:
        print(json.dumps(report, indent=1))
    else:
        printed = {
            "correlation": _print_times,
            "attention": _print_attention,
            "factored": _print_factored,
            "world": _print_world,
            "explorer": _print_explorer,
        }
        printed[given.what](report)
    tolerance = {"attention": attention.TOLERANCE, "factored": factored.TOLERANCE}.get(given.what)
    return 0 if tolerance is None else _compared(report["difference"], tolerance)


def _compared(difference: dict[str, dict[str, float]], tolerance: float) -> int:
    wrong = [f"{of} at {case}" for case, found in difference.items() for of, value in found.items() if not value <= tolerance]
    if wrong:
        print(f"exemplar-lab: not equal to the plain formulation within {tolerance:g}: {', '.join(wrong)}", file=sys.stderr)
    return 1 if wrong else 0


def _print_attention(report: dict) -> None:
    print(f"{report['threads']} threads; milliseconds, fastest (median); floor: bytes, arithmetic; ×: how much faster is ours")
    for heap, found in report["heaps"].items():
        print(f"\n{heap} heap; copy {found['copy_gb_s']} GB/s, product of matrices {found['matmul_gflop_s']} GFLOP/s")
        for case, methods in found["cases"].items():
            for name, times in methods.items():
                print(f"{case:14} {name:6}" + "".join(_one_pass(times, methods["ours"], of) for of in ("forward", "both")))
    print("\npeak of one call, MB")
    for case, methods in report["memory_mb"].items():
        for name, peaks in methods.items():
            if peaks is not None:
                print(f"{case:14} {name:6}" + "".join(_one_peak(peaks, methods["ours"], of) for of in ("forward", "both")))
    print("\npeak of a forward pass of ours, bytes per pixel: " + str(report["bytes_per_pixel"]))
    largest = max(value for found in report["difference"].values() for value in found.values())
    print(f"largest difference to plain, answers and gradients, relative to the largest number: {largest:.1e}")


def _one_pass(times: dict[str, float], ours: dict[str, float], of: str) -> str:
    if f"{of}_bytes_ms" in times:
        return f"   {of} {times[f'{of}_bytes_ms']:8.2f}, {times[f'{of}_flops_ms']:8.2f}        "
    ratio = times[f"{of}_ms"] / ours[f"{of}_ms"]
    return f"   {of} {times[f'{of}_ms']:8.1f} ({times[f'{of}_median_ms']:8.1f}) {ratio:5.1f} ×"


def _one_peak(peaks: dict[str, float], ours: dict[str, float], of: str) -> str:
    ratio = f"{peaks[of] / ours[of]:5.1f} ×" if ours[of] else "–"
    return f"   {of} {peaks[of]:8.1f} {ratio}"


def _print_factored(report: dict) -> None:
    print(f"{report['threads']} threads; fastest milliseconds, peak of one call in MB; the last rows: exponents in H·W")
    for side, methods in [*((f"{side}²", found) for side, found in report["cases"].items()), ("", report["exponents"])]:
        for name, found in methods.items():
            row = "".join(f"{'–' if number is None else f'{number:.2f}':>12}" for number in found.values())
            print(f"{side:5} {name:20}" + row)
    largest = max(value for found in report["difference"].values() for value in found.values())
    print(f"columns: {', '.join(next(iter(report['exponents'].values())))}; largest relative difference: {largest:.1e}")


def _print_world(report: dict[str, dict[str, dict[str, float]]]) -> None:
    for size, tasks in report.items():
        for task, speed in tasks.items():
            print(
                f"{size:5} {task:10} {speed['pairs_per_s']:8.1f} pairs/s with truth (batches of {speed['batch']})"
                f"   {speed['pairs_per_s_without_truth']:8.1f} without"
            )


def _print_explorer(report: dict) -> None:
    print(f"{report['cores']} cores, {report['browser']}; milliseconds from a click to its row, {report['clicks']} clicks each")
    for case, modes in report["cases"].items():
        for mode, found in modes.items():
            print(
                f"{case:12} {mode:9} median {found['median_ms']:6.1f}   95 % below {found['p95_ms']:6.1f}"
                f"   all below {found['worst_ms']:6.1f}   goal: median at most {found['goal_ms']}"
            )


def _print_times(report: dict[str, dict[str, dict[str, float]]]) -> None:
    for case, methods in report.items():
        for name, times in methods.items():
            print(f"{case:12} {name:12} forward {times['forward_ms']:8.1f} ms   forward + backward {times['both_ms']:8.1f} ms")


def benchmark_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("correlation", "attention", "factored", "world", "explorer"))
    parser.add_argument("--json", action="store_true", help="print JSON, with the differences between the answers")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
