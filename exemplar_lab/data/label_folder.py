"""A folder of images and label maps made from any source that knows its parts: what `LabelledPhotographs` reads."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from PIL import Image

from exemplar_lab.data.label_maps import LAYOUTS, SPLITS, UNKNOWN
from exemplar_lab.translation import Source


def write_label_folder(folder: str | Path, sources: Mapping[str, Source], count: int, names: Sequence[str] = ()) -> Path:
    """The first `count` targets of each source as PNG, laid out as CamVid: train, trainannot, val, valannot.

    sources: by split, "train", "val" or both. Labels are truth.target_part, unknown where it is −1. names: of the classes, in
    classes.txt. Raises ValueError for another split, and for a source that knows no parts or more than an 8-bit map can hold.
    """
    folder = Path(folder)
    if not sources or not set(sources) <= set(SPLITS) or count < 1:
        raise ValueError(
            f"got the splits {', '.join(sources) or 'none'} and {count} images, expected some of {SPLITS}, and 1 or more"
        )
    for split, source in sources.items():
        batch = source.batch(torch.arange(count))
        if batch.truth is None or batch.truth.target_part is None:
            raise ValueError("got a source without truth.target_part, expected one that knows its labels: switch its truth on")
        if batch.truth.target_part.max() >= UNKNOWN:
            raise ValueError(f"got label {int(batch.truth.target_part.max())}, expected at most {UNKNOWN - 1}: a PNG of 8 bits")
        photographs, labels = (folder / name.format(split) for name in LAYOUTS[0])
        for directory in (photographs, labels):
            directory.mkdir(parents=True, exist_ok=True)
        colours = (255 * batch.target.clamp(0, 1)).round().byte().movedim(1, -1).cpu()
        parts = torch.where(batch.truth.target_part < 0, UNKNOWN, batch.truth.target_part).byte().cpu()
        for number, (colour, part) in enumerate(zip(colours, parts, strict=True)):
            Image.fromarray(colour.numpy()).save(photographs / f"{split}_{number:04}.png")
            Image.fromarray(part.numpy()).save(labels / f"{split}_{number:04}.png")
    if names:
        (folder / "classes.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    return folder
