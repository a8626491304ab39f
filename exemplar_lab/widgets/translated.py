"""What `exemplar-lab translate` and the panel of one's own files write: pictures, the explorer's page, and an account."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch.nn.functional as F

from exemplar_lab import __version__
from exemplar_lab.data.images import write_image
from exemplar_lab.data.whole import written_whole
from exemplar_lab.training.translating import Translated
from exemplar_lab.viz.explorer import figure_bytes
from exemplar_lab.viz.pictures import translation_wall
from exemplar_lab.widgets.explorer import AttentionExplorer

LINKS = 32
"""Of each query that the explorer's page holds, at 64²; fewer for larger images, so that the page stays small."""


def write_translation(done: Translated, out: Path, given: Mapping[str, str], links: int | None = None) -> None:
    """Write image.png, condition.png, exemplar.png, warp-1.png … (the exemplar as each layer carried it), overview.png,
    explorer.html and translation.json to the folder `out`, which is made where missing.

    given: what was asked for, for the account. links: of each query in the page; by default what LINKS says. Warps of an
    earlier answer in the folder are removed. Raises NotADirectoryError for a folder that is a file, OSError for one that cannot
    be written.
    """
    if out.exists() and not out.is_dir():
        raise NotADirectoryError(f"got the folder {out}, which is a file; expected a folder: name another one")
    answer, batch = done.translation, done.batch
    write_image(out / "image.png", answer.image[0])
    write_image(out / "condition.png", batch.target[0])
    write_image(out / "exemplar.png", batch.exemplar[0])
    for old in out.glob("warp-*.png"):
        old.unlink()
    size = batch.target.shape[-2:]
    for number, warp in enumerate(answer.warps, 1):
        write_image(out / f"warp-{number}.png", F.interpolate(warp, size)[0])
    with written_whole(out / "overview.png") as beside:
        beside.write_bytes(wall_png(done))
    links = links or max(1, LINKS * 64**2 // (size[0] * size[1]))
    AttentionExplorer(answer, batch, title=done.checkpoint.name).to_html(out / "explorer.html", links)
    with written_whole(out / "translation.json") as beside:
        beside.write_text(json.dumps(_account(done, given, links), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


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
