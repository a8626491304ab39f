"""What `exemplar-lab translate` and the panel of one's own files write: pictures, the explorer's page, and an account."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import torch.nn.functional as F

from exemplar_lab import __version__
from exemplar_lab.data.images import write_image
from exemplar_lab.data.structure_files import image_of, pose_of
from exemplar_lab.data.whole import writable_folder, written_whole
from exemplar_lab.training.translating import Translated
from exemplar_lab.viz.explorer import figure_bytes
from exemplar_lab.viz.pictures import translation_wall
from exemplar_lab.widgets.explorer import AttentionExplorer

LINKS = 32
"""Of each query that the explorer's page holds, at 64²; fewer for larger images, so that the page stays small."""

_ACCOUNT = "translation.json"
_WARP = re.compile(r"warp-\d+\.png")
_WRITTEN = re.compile(rf"(image|condition|exemplar|overview)\.png|explorer\.html|{re.escape(_ACCOUNT)}|{_WARP.pattern}")


def check_folder(out: Path, condition: Path, exemplar: Path, exemplar_condition: Path | None = None) -> None:
    """Raise NotADirectoryError for a folder that is a file, ValueError where one of the files that are read, or what is found
    beside them, is one that `write_translation` writes.
    """
    if out.exists() and not out.is_dir():
        raise NotADirectoryError(f"got the folder {out}, which is a file; expected a folder: name another one")
    read = [path for path in (condition, exemplar, exemplar_condition) if path is not None and path.exists()]
    beside = [image_of(condition), pose_of(exemplar) if exemplar_condition is None else None]
    there = [path for path in out.glob("*") if _WRITTEN.fullmatch(path.name)]
    for path in (*read, *filter(None, beside)):
        for other in there:
            if other.exists() and path.samefile(other):
                raise ValueError(
                    f"got {path} to read, and the folder {out}, where {other.name} will be written over it; expected another "
                    "folder: name one"
                )


def write_translation(done: Translated, out: Path, given: Mapping[str, str], links: int | None = None) -> list[Path]:
    """Write image.png, condition.png, exemplar.png, warp-1.png … (the exemplar as each layer carried it), overview.png,
    explorer.html and translation.json to the folder `out`, which is made where missing; returns what was written.

    given: what was asked for, for the account. links: of each query in the page; by default what LINKS says. Warps of an
    earlier answer in the folder are removed. Raises OSError for a folder that cannot be written to; see `check_folder` too.
    """
    writable_folder(out)
    answer, batch = done.translation, done.batch
    size = batch.target.shape[-2:]
    pictures = {"image": answer.image, "condition": batch.target, "exemplar": batch.exemplar}
    pictures |= {f"warp-{number}": F.interpolate(warp, size) for number, warp in enumerate(answer.warps, 1)}
    if (out / _ACCOUNT).is_file():  # of an earlier call, whose model may have had more layers
        for old in out.glob("warp-*.png"):
            if _WARP.fullmatch(old.name):
                old.unlink()
    written = [out / f"{name}.png" for name in pictures]
    for path, picture in zip(written, pictures.values(), strict=True):
        write_image(path, picture[0])
    with written_whole(out / "overview.png") as beside:
        beside.write_bytes(wall_png(done))
    links = links or max(1, LINKS * 64**2 // (size[0] * size[1]))
    AttentionExplorer(answer, batch, title=done.checkpoint.name).to_html(out / "explorer.html", links)
    with written_whole(out / _ACCOUNT) as beside:
        beside.write_text(json.dumps(_account(done, given, links), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return [*written, out / "overview.png", out / "explorer.html", out / _ACCOUNT]


def wall_png(done: Translated) -> bytes:
    """What was given, what came of it, and the exemplar as each layer carried it, in one picture."""
    return figure_bytes(translation_wall(done.translation, done.batch, done.checkpoint.name), "png")


def _account(done: Translated, given: Mapping[str, str], links: int) -> dict:
    layers = [
        {"grid": list(match.query_size), "kind": type(match).__name__, "mass": round(mass, 6)}
        for match, mass in zip(done.translation.matches, done.mass, strict=True)
    ]
    return {
        "given": dict(given),
        "condition_is": done.kind,
        "checkpoint": done.checkpoint.name,
        "chosen": done.chosen,
        "notes": list(done.notes),
        "size": done.batch.target.shape[-1],
        "layers": layers,
        "links_in_explorer": links,
        "version": __version__,
    }
