"""The command that compares feature networks."""

import argparse
from pathlib import Path

PRINT = Path("-")


def features(given: argparse.Namespace) -> None:
    """Hold the feature networks that are there against questions with known answers, beside what needs no network.

    exemplar-lab features                          (a minute on one core for each small network)
    exemplar-lab features --pairs 16 --json
    exemplar-lab features runs/features-cpu        (beside them a run of `train features`, or a file that it wrote)
    exemplar-lab features runs/features-cpu --ship mine.safetensors

    Is a stronger distortion further away? Which paintings are by one hand? Where in another image is the same part? Each number
    is better when larger. Networks: fixed, lab, and VGG-19 where its weights are; nothing is downloaded.
    """
    import json

    from tqdm.auto import tqdm

    import exemplar_lab
    from exemplar_lab.training.feature_report import (
        available_networks,
        compare_looks,
        compared,
        ranking_verdicts,
        report_csv,
        report_text,
        verdict_text,
    )
    from exemplar_lab.training.feature_state import read_features, ship_features
    from exemplar_lab.training.feature_tasks import look_of, plain_looks
    from exemplar_lab.training.loop import make_fabric
    from exemplar_lab.training.suite_report import without_nan, write_whole

    for option, suffix in (("json", ".json"), ("csv", ".csv")):
        path = getattr(given, option)
        if path not in (None, PRINT) and path.suffix != suffix:
            raise ValueError(f"got --{option} {path}, expected a file name that ends in {suffix}")
    if given.name and not given.ship:
        raise ValueError(f"got --name {given.name} without --ship, expected both: it is the name that is shipped")
    if given.ship and len(given.weights) != 1:
        raise ValueError(f"got --ship with {len(given.weights)} networks, expected one: the run to ship from")
    if given.ship and given.weights[0].is_file():
        raise ValueError(
            f"got --ship with {given.weights[0]}, expected the folder of a run: a file is shipped already, copy it"
        )
    device = make_fabric(given.device).device
    networks, missing = available_networks()
    networks |= {str(path): read_features(path) for path in given.weights}
    names = {network.name: look_of(network.to(device)) for network in networks.values()}
    rows = compare_looks(
        names | plain_looks(), given.pairs, given.size, lambda work: tqdm(work, desc="features"), given.split, device
    )
    enough = {name: ranking_verdicts(rows[name]) for name in names}
    against_fixed = {
        network.name: compared(rows[network.name], rows[networks["fixed"].name])
        for name, network in networks.items()
        if name != "fixed"
    }
    about = {"pairs": given.pairs, "size": given.size, "split": given.split, "version": exemplar_lab.__version__}
    report = about | {
        "missing": missing,
        "rows": {name: without_nan(numbers) for name, numbers in rows.items()},
        "enough": enough,
        "against_fixed": against_fixed,
    }
    written = json.dumps(report, indent=1, ensure_ascii=False)
    if given.json == PRINT:
        print(written)
    else:
        print(f"{given.pairs} images a task, {given.size} × {given.size}, split {given.split}; ±: half of the 95 % interval\n")
        print(report_text(rows), verdict_text(enough, against_fixed), sep="\n\n")
        print("".join(f"\nnot there: {name}, {why}" for name, why in missing.items()))
    if given.json not in (None, PRINT):
        write_whole(given.json, written + "\n")
    if given.csv:
        write_whole(given.csv, report_csv(rows))
    if given.ship:
        (run,) = given.weights
        numbers = about | {"rows": report["rows"][networks[str(run)].name]}
        print(ship_features(run, given.ship, given.name or given.ship.stem, numbers))


def features_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "weights", type=Path, nargs="*", help="runs of `train features`, or files that it wrote, to stand beside the others"
    )
    parser.add_argument("--pairs", type=int, default=64, help="images for each question (default: 64)")
    parser.add_argument("--size", type=int, default=64, help="side of the images, a multiple of 16 (default: 64)")
    parser.add_argument("--split", choices=("val", "test"), default="test", help="of the procedural images (default: test)")
    parser.add_argument(
        "--json",
        type=Path,
        nargs="?",
        const=PRINT,
        metavar="FILE",
        help="print JSON and nothing else; with a file name, write it there and print the tables",
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="also write every number as a line of this file")
    parser.add_argument("--ship", type=Path, metavar="FILE", help="also write the run's features here, with the numbers")
    parser.add_argument("--name", help="of the shipped features, beside every number they make (default: that of the file)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
