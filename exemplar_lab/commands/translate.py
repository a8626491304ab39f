"""The command that puts files of one's own through a model."""

import argparse
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LINKS = 32
"""Of each query that the explorer's page holds, at 64²; fewer for larger images, so that the page stays small."""

_ACCOUNT = "translation.json"
_WARP = re.compile(r"warp-\d+\.png")
_WRITTEN = re.compile(rf"(image|condition|exemplar|overview)\.png|explorer\.html|{re.escape(_ACCOUNT)}|{_WARP.pattern}")


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

    if given.links is not None and given.links < 1:
        raise ValueError(f"got --links {given.links}, expected at least 1: a page without Python has no others")
    if given.out.exists() and not given.out.is_dir():
        raise NotADirectoryError(f"got --out {given.out}, which is a file; expected a folder: name another one")
    _check_inputs(given)
    with _made(given.out):
        done = translate_files(given.condition, given.exemplar, given.model, given.exemplar_condition, given.size)
    one = done.checkpoint
    print(f"checkpoint: {one.name}: {done.chosen}")
    for note in done.notes:
        print(f"  note: {note}")
    print(f"image: {given.out / 'image.png'}, {done.batch.target.shape[-1]} pixels a side")
    _write(given, done)
    layers = ", ".join(
        f"{match.query_size[0]}² {mass:.2f}" for match, mass in zip(done.translation.matches, done.mass, strict=True)
    )
    print(f"layers, coarse to fine, and what the weights of a row sum to on average: {layers}")
    print(f"all in one picture: {given.out / 'overview.png'}")
    print(f"where every pixel came from: open {given.out / 'explorer.html'} in a browser")


def _check_inputs(given: argparse.Namespace) -> None:
    """Raise ValueError where a file that is read is one that will be written."""
    from exemplar_lab.data.structure_files import image_of, pose_of

    read = [path for path in (given.condition, given.exemplar, given.exemplar_condition) if path is not None and path.exists()]
    beside = [image_of(given.condition), pose_of(given.exemplar) if given.exemplar_condition is None else None]
    there = [path for path in given.out.glob("*") if _WRITTEN.fullmatch(path.name)]
    for path in (*read, *filter(None, beside)):
        for other in there:
            if other.exists() and path.samefile(other):
                raise ValueError(
                    f"got {path} to read, and --out {given.out}, where {other.name} will be written over it; expected another "
                    "folder: name one with --out"
                )


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


def _write(given: argparse.Namespace, done) -> None:
    import torch.nn.functional as F

    from exemplar_lab.data.images import write_image
    from exemplar_lab.data.whole import written_whole
    from exemplar_lab.viz.explorer import figure_bytes
    from exemplar_lab.viz.pictures import translation_wall
    from exemplar_lab.widgets.explorer import AttentionExplorer

    answer, batch, out = done.translation, done.batch, given.out
    write_image(out / "image.png", answer.image[0])
    write_image(out / "condition.png", batch.target[0])
    write_image(out / "exemplar.png", batch.exemplar[0])
    if (out / _ACCOUNT).is_file():  # of an earlier call, whose model may have had more layers
        for old in out.glob("warp-*.png"):
            if _WARP.fullmatch(old.name):
                old.unlink()
    size = batch.target.shape[-2:]
    for number, warp in enumerate(answer.warps, 1):
        write_image(out / f"warp-{number}.png", F.interpolate(warp, size)[0])
    with written_whole(out / "overview.png") as beside:
        beside.write_bytes(figure_bytes(translation_wall(answer, batch, done.checkpoint.name), "png"))
    links = given.links or max(1, LINKS * 64**2 // (size[0] * size[1]))
    AttentionExplorer(answer, batch, title=done.checkpoint.name).to_html(out / "explorer.html", links)
    _write_account(given, done, links)


def _write_account(given: argparse.Namespace, done, links: int) -> None:
    """translation.json: what was given, by what it was answered, and numbers."""
    import json

    from exemplar_lab import __version__
    from exemplar_lab.data.whole import written_whole

    files = ("condition", "exemplar", "exemplar_condition")
    layers = [
        {"grid": list(match.query_size), "kind": type(match).__name__, "mass": round(mass, 6)}
        for match, mass in zip(done.translation.matches, done.mass, strict=True)
    ]
    account = {
        "given": {name: str(path) for name in files if (path := getattr(given, name)) is not None} | {"model": given.model},
        "condition_is": done.kind,
        "checkpoint": done.checkpoint.name,
        "chosen": done.chosen,
        "notes": list(done.notes),
        "size": done.batch.target.shape[-1],
        "layers": layers,
        "links_in_explorer": links,
        "version": __version__,
    }
    with written_whole(given.out / _ACCOUNT) as beside:
        beside.write_text(json.dumps(account, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


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
