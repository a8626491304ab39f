"""The command that puts files of one's own through a model."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def translate(given: argparse.Namespace) -> None:
    """Give a structure and an exemplar, get an image, and a page that shows where every pixel came from.

    exemplar-lab translate --model dynast --condition pose.png --exemplar me.jpg --out out/
    exemplar-lab translate --model dynast --condition photo.jpg --exemplar painting.jpg --size 256
    exemplar-lab translate --model cocosnet --condition labels.png --exemplar landscape.jpg
    exemplar-lab translate --model runs/dynast-mine --condition a_keypoints.json --exemplar b.jpg

    A condition is a pose (OpenPose's JSON or text files, or a drawn skeleton), a label map, or a picture. Of all files the
    middle square is taken. --out gets image.png, condition.png, exemplar.png, warp-1.png … (the exemplar as each layer
    carried it), overview.png, explorer.html (open it in any browser, without a network) and translation.json.
    """
    from exemplar_lab.training.translating import translate_files
    from exemplar_lab.widgets.translated import check_folder, write_translation

    if given.links is not None and given.links < 1:
        raise ValueError(f"got --links {given.links}, expected at least 1: a page without Python has no others")
    check_folder(given.out, given.condition, given.exemplar, given.exemplar_condition)
    with _made(given.out):
        done = translate_files(given.condition, given.exemplar, given.model, given.exemplar_condition, given.size)
    one = done.checkpoint
    print(f"checkpoint: {one.name}: {done.chosen}")
    for note in done.notes:
        print(f"  note: {note}")
    print(f"image: {given.out / 'image.png'}, {done.batch.target.shape[-1]} pixels a side")
    names = ("condition", "exemplar", "exemplar_condition", "model")
    write_translation(done, given.out, {name: str(what) for name in names if (what := getattr(given, name))}, given.links)
    layers = ", ".join(
        f"{match.query_size[0]}² {mass:.2f}" for match, mass in zip(done.translation.matches, done.mass, strict=True)
    )
    print(f"layers, coarse to fine, and what the weights of a row sum to on average: {layers}")
    print(f"all in one picture: {given.out / 'overview.png'}")
    print(f"where every pixel came from: open {given.out / 'explorer.html'} in a browser")


@contextmanager
def _made(out: Path) -> Iterator[None]:
    """The folder, before anything long begins; gone again where it came to nothing."""
    from exemplar_lab.data.whole import writable_folder

    missing = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        writable_folder(out)
        yield
    except BaseException:
        for folder in missing:
            with suppress(OSError):
                folder.rmdir()
        raise


def translate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        default="dynast",
        help="cocosnet, dynast, matebit or msca (then a checkpoint of it that reads the condition), the name of a checkpoint "
        "that comes with the package, or a run folder (default: dynast)",
    )
    parser.add_argument("--condition", type=Path, required=True, help="a pose, a label map or a picture: what goes where")
    parser.add_argument("--exemplar", type=Path, required=True, help="a picture: what it looks like")
    parser.add_argument(
        "--exemplar-condition",
        type=Path,
        help="the exemplar's own structure (default: the pose beside it, or what is drawn from it)",
    )
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for everything that is written (default: out)")
    parser.add_argument("--size", type=int, help="side of the image, for style transfer: 64, 128 … 512 (default: as trained)")
    parser.add_argument("--links", type=int, help="of each pixel that the page holds (default: 32 at 64², fewer above)")
