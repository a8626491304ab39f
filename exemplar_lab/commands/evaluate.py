"""The command that measures checkpoints."""

import argparse
from pathlib import Path


def evaluate(given: argparse.Namespace) -> None:
    """Measure a checkpoint on the validation pairs of its recipe, beside an oracle, a copy and a random row.

    exemplar-lab evaluate runs/cocosnet-people-cpu
    exemplar-lab evaluate cocosnet-people-cpu     (a name: one of the checkpoints that come with the package)
    """
    import json

    from tqdm.auto import tqdm

    from exemplar_lab.metrics.tables import table
    from exemplar_lab.training.checkpoint import last_checkpoint, ship_checkpoint
    from exemplar_lab.training.evaluation import evaluate_checkpoint
    from exemplar_lab.training.loop import make_fabric

    if given.ship and last_checkpoint(Path(given.checkpoint)) is None:
        raise ValueError(f"got {given.checkpoint}, expected a run to ship from: a folder that holds step-… folders")
    device = make_fabric(given.device).device
    rows = evaluate_checkpoint(given.checkpoint, given.pairs, device, progress=lambda it: tqdm(it, desc="evaluating"))
    print(f"validation pairs, at most {given.pairs}: mean ± half width of the 95 % interval\n{table(rows)}")
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(rows, indent=1) + "\n")
    if given.ship:
        print(ship_checkpoint(Path(given.checkpoint), given.ship, rows))


def evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "checkpoint", help="a run, a checkpoint folder, or the name of a checkpoint that comes with the package"
    )
    parser.add_argument("--pairs", type=int, default=256)
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    parser.add_argument(
        "--ship", type=Path, help="also write the run's last checkpoint here, in half precision, with the numbers"
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
