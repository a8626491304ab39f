"""The command that makes a folder of one's own ready for training."""

import argparse
import sys
from contextlib import suppress
from pathlib import Path

TASKS = ("edges", "labels", "pose", "style")


def prepare(given: argparse.Namespace) -> int | None:
    """Look at a folder of images, leave out what is broken, find exemplars, and show all of it before anything is trained.

    exemplar-lab prepare MY_PHOTOGRAPHS --task edges
    exemplar-lab prepare CamVid --task labels
    exemplar-lab prepare DeepFashion --task pose --out runs/fashion
    exemplar-lab prepare MY_PICTURES --task style --exemplars 5
    """
    from tqdm.auto import tqdm

    from exemplar_lab.data.layouts.finding import find_collection
    from exemplar_lab.training.preparing import found_words, prepare

    with suppress(AttributeError):  # a notebook's output has none; names of folders are bytes, and not all of them are text
        sys.stdout.reconfigure(errors="surrogateescape")
    collection = find_collection(given.folder, given.task, soft=given.soft)
    print("\n".join(found_words(collection)))
    _remark(collection.remarks)
    sys.stdout.flush()
    try:
        prepared = prepare(
            collection,
            given.out,
            given.size,
            given.exemplars,
            given.by,
            lambda items: tqdm(items, desc="reading", unit="image"),
            lambda blocks: tqdm(blocks, desc="comparing", unit="block", delay=1, leave=False),
        )
        sheet = _write_sheet(prepared)
    except KeyboardInterrupt:
        print("\nexemplar-lab: interrupted; what was read is kept, the same command goes on from there", file=sys.stderr)
        return 130
    done = prepared.collection
    _remark(done.remarks[len(collection.remarks) :])
    pairs = sum(len(of) for of in done.exemplars.values())
    print(f"exemplars{f' of {pairs} images' if pairs else ''}: {done.how}")
    print(f"contact sheet: {sheet}")
    where = given.folder if given.out is None else given.out
    print(f"next: exemplar-lab train dynast --data {_as_data(where)}")
    return None


def _write_sheet(prepared) -> Path:
    """contact.png, whole or not at all."""
    from exemplar_lab.data.collection import CONTACT
    from exemplar_lab.data.whole import written_whole
    from exemplar_lab.training.preparing import reads
    from exemplar_lab.viz.contact import prepared_sheet

    done = prepared.collection
    counts = {split: len(items) for split, items in done.items.items() if items}
    said = {"train": "{} to train on", "val": "{} held out", "style": "{} styles"}
    words = ", ".join(said[split].format(count) for split, count in counts.items())
    left_out = f" · {prepared.skipped.partition(':')[0]}" if prepared.skipped else ""
    figure = prepared_sheet(
        prepared.rows,
        "" if done.structure == "photograph" else done.structure,
        f"{done.folder.resolve().name}: {reads(done)}",
        f"{done.layout} · {words} · exemplars: {done.how}{left_out}",
        done.labels.names if done.structure == "labels" else (),
    )
    path = prepared.room / CONTACT
    with written_whole(path) as beside:
        figure.savefig(beside, format="png", dpi=200, metadata={"Software": None})
    return path


def _remark(remarks) -> None:
    for remark in remarks:
        print(f"  note: {remark}")


def _as_data(folder: Path) -> str:
    """As --data takes it: a bare name could be one of those that the recipes have, such as photos."""
    import os
    import shlex

    bare = len(folder.parts) == 1 and not folder.is_absolute()
    return shlex.quote(f"{os.curdir}{os.sep}{folder}" if bare else str(folder))


def prepare_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="of images, in a layout of the papers' data sets or your own")
    parser.add_argument("--task", choices=TASKS, required=True, help="what the structure of an image is")
    parser.add_argument(
        "--out", type=Path, help="where prepared.json, contact.png and the cache go (default: FOLDER/exemplar-lab)"
    )
    parser.add_argument("--size", type=int, default=64, help="side of the images that will be trained on (default: 64)")
    parser.add_argument("--soft", action="store_true", help="edges as grey lines, for faces and paintings (--task edges)")
    parser.add_argument("--exemplars", type=int, default=3, help="how many of each image (default: 3)")
    parser.add_argument(
        "--by",
        choices=("labels", "features", "lists", "none"),
        help="how exemplars are found: by similar labels, by a similar look, by the lists of pairs that came with the "
        "images, or not at all: distorted copies (default: lists, else labels where there are label maps, else features)",
    )
