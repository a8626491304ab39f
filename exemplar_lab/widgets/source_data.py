"""The numbers behind a picture of the explorer, as a table in a file."""

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from exemplar_lab.grid import index_to_xy
from exemplar_lab.ops.rows import Row
from exemplar_lab.widgets.contents import Contents

_COLUMNS = ("query", "side", "query_x", "query_y", "layer", "temperature", "top_k", "regions_off", "index", "x", "y", "weight")


def source_data(
    contents: Contents,
    side: str,
    rows: Mapping[tuple[str, int], tuple[tuple[float, float], Row]],
    temperature: float,
    top_k: int,
    off: Mapping[str, Sequence[int]],
) -> str:
    """A line for each link, as CSV; (x, y) is the middle of the cell that is looked at, in pixels of the other picture.

    rows: by the name of the query and the number of the layer, the query's point on `side` and its row. temperature, top_k,
    off: what the rows were made with, as the explorer has them.
    """
    height, width = contents.picture("exemplar" if side == "target" else "target").shape[1:]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(_COLUMNS)
    for (name, layer), (at, row) in rows.items():
        regions = " ".join(map(str, off.get(str(layer), ())))
        query = [name, side, *(f"{one:g}" for one in at), contents.layers[layer].name, f"{temperature:g}", top_k, regions]
        centres = index_to_xy(row.index, row.size).tolist()
        for index, (x, y), weight in zip(row.index.tolist(), centres, row.weight.tolist(), strict=True):
            table.writerow([*query, index, f"{x * width / row.size[1]:g}", f"{y * height / row.size[0]:g}", f"{weight:.6g}"])
    return text.getvalue()


def write_whole(path: Path, content: bytes) -> Path:
    """Write a file that appears whole or stays as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(content)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return path
