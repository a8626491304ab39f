"""The command that times things."""

import argparse


def benchmark(given: argparse.Namespace) -> None:
    """Time the package's operators beside the plain formulation and the library's own, in one run.

    exemplar-lab benchmark correlation
    """
    import json

    from exemplar_lab import benchmarks
    from exemplar_lab.training.loop import make_fabric

    report = benchmarks.correlation(str(make_fabric(given.device).device))
    if given.json:
        print(json.dumps(report, indent=1))
        return
    for case, methods in report.items():
        for name, times in methods.items():
            print(f"{case:12} {name:6} forward {times['forward_ms']:8.1f} ms   forward + backward {times['both_ms']:8.1f} ms")


def benchmark_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("correlation",))
    parser.add_argument("--json", action="store_true", help="print JSON, with the differences between the answers")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
