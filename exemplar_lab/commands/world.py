"""The command that draws the procedural world."""

import argparse
import ast
from pathlib import Path

from exemplar_lab.data.synth.dials import DIALS, TIERS


def world(given: argparse.Namespace) -> None:
    """Draw pairs of the procedural world with all that is known about them, or the same pairs at every level of a dial.

    exemplar-lab world people --n 8 --seed 3 --out sheet.png
    exemplar-lab world scenes --dial unmatched --n 2
    exemplar-lab world faces --set yaw=1.2 --set light=3
    """
    from dataclasses import replace

    import torch

    from exemplar_lab.data.synth.world import TASKS, at_levels, check_heard, structure_picture
    from exemplar_lab.viz.style import save_figure
    from exemplar_lab.viz.world import contact_sheet, dial_strip

    if given.task not in TASKS:
        raise ValueError(f"got the task {given.task!r}, expected one of {', '.join(TASKS)}")
    if not 1 <= given.n <= 64:
        raise ValueError(f"got --n {given.n}, expected 1 … 64 pairs: what fits on a page")
    if given.out.suffix != ".png":
        raise ValueError(f"got --out {given.out}, expected a name that ends in .png")
    indices = torch.randperm(2000, generator=torch.Generator().manual_seed(given.seed))[: given.n]
    words = f"{given.task}, {given.tier}, {given.split}, seed {given.seed}"
    for name in [*dict(given.set), *([given.dial] if given.dial else [])]:
        check_heard(given.task, name)
    dials = replace(TIERS[given.tier], **dict(given.set))
    settings = "".join(f", {name} {value}" for name, value in given.set)
    if given.dial:
        levels = at_levels(given.task, given.dial, indices, given.size, dials, given.split)
        structures = {name: structure_picture(*level) for name, level in levels.items()}
        figure = dial_strip(
            {name: batch for name, (_, batch) in levels.items()}, structures, f"{given.dial}: {words}{settings}"
        )
    else:
        source = TASKS[given.task](given.size, given.split, dials)
        batch = source.batch(indices)
        figure = contact_sheet(batch, structure_picture(source, batch), title=words + settings)
    print(save_figure(figure, given.out.parent or Path(), given.out.stem, **_made_how(given, indices.tolist())))


def _made_how(given: argparse.Namespace, indices: list[int]) -> dict[str, object]:
    shown = ("task", "tier", "split", "size", "seed", "dial", "set")
    return {name: getattr(given, name) for name in shown} | {"indices": indices}


def world_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("task", help="people, faces, scenes or paintings")
    parser.add_argument("--n", type=int, default=6, help="how many pairs (default: 6)")
    parser.add_argument("--seed", type=int, default=0, help="which pairs")
    parser.add_argument("--dial", help=f"show every level of one dial: {', '.join(DIALS)}")
    parser.add_argument(
        "--set", metavar="DIAL=VALUE", type=_setting, action="append", default=[], help="turn a dial, as often as needed"
    )
    parser.add_argument("--tier", choices=TIERS, default="medium")
    parser.add_argument("--split", choices=("train", "val", "test", "ood"), default="val")
    parser.add_argument("--size", type=int, default=128, help="side of the pictures in pixels (default: 128)")
    parser.add_argument("--out", type=Path, default=Path("world.png"), help="the sheet; a JSON beside it says how it was made")


def _setting(text: str) -> tuple[str, object]:
    """`zoom=2` -> ("zoom", (2, 2)): one number stands for a range of just this number."""
    name, equals, value = text.partition("=")
    if not equals or name not in DIALS:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected DIAL=VALUE with one of the dials {', '.join(DIALS)}")
    try:
        value = ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value
    if DIALS[name].kind == "range" and not isinstance(value, tuple):
        value = (value, value)
    if DIALS[name].kind in ("number", "chance", "range"):
        value = tuple(map(_as_float, value)) if isinstance(value, tuple) else _as_float(value)
    return name, value


def _as_float(value: object) -> object:
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
