"""The command that times things."""

import argparse


def benchmark(given: argparse.Namespace) -> None:
    """Time the package's operators beside the plain formulation and the library's own, or the making of the world's pairs.

    exemplar-lab benchmark correlation
    exemplar-lab benchmark world          (pairs of the procedural world per second, on one core or on a GPU)
    """
    import json

    from exemplar_lab import benchmarks
    from exemplar_lab.training.loop import make_fabric

    device = str(make_fabric(given.device).device)
    report = {"correlation": benchmarks.correlation, "world": benchmarks.world}[given.what](device)
    if given.json:
        print(json.dumps(report, indent=1))
    elif given.what == "world":
        _print_world(report)
    else:
        _print_times(report)


def _print_world(report: dict[str, dict[str, dict[str, float]]]) -> None:
    for size, tasks in report.items():
        for task, speed in tasks.items():
            print(
                f"{size:5} {task:10} {speed['pairs_per_s']:8.1f} pairs/s with truth (batches of {speed['batch']})"
                f"   {speed['pairs_per_s_without_truth']:8.1f} without"
            )


def _print_times(report: dict[str, dict[str, dict[str, float]]]) -> None:
    for case, methods in report.items():
        for name, times in methods.items():
            print(f"{case:12} {name:6} forward {times['forward_ms']:8.1f} ms   forward + backward {times['both_ms']:8.1f} ms")


def benchmark_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("correlation", "world"))
    parser.add_argument("--json", action="store_true", help="print JSON, with the differences between the answers")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
