"""What the explorer's page is given: `Contents` as plain values and bytes."""

import numpy as np
import torch

from exemplar_lab.correspondence import FactoredMatch
from exemplar_lab.viz.matches import heat_colours
from exemplar_lab.viz.style import COLOURS
from exemplar_lab.widgets.contents import UNKNOWN, Contents, Layer, kind_of
from exemplar_lab.widgets.doors import device_of
from exemplar_lab.widgets.frames import row_png
from exemplar_lab.widgets.pack import pack


def state_of(contents: Contents, samples: int = 1, links: int = 0) -> dict[str, object]:
    """The trait `shown` of the explorer. links: of each query that are sent along, so that no Python is needed; 0: none."""
    return {
        "title": contents.title,
        "target": _side(contents, "target"),
        "exemplar": _side(contents, "exemplar"),
        "layers": [_layer(layer, contents, links) for layer in contents.layers],
        "truth": _truth(contents),
        "labels": _labels(contents),
        "heat": heat_colours(),
        "pin_colours": list(COLOURS),
        "samples": samples,
    }


def _side(contents: Contents, side: str) -> dict[str, object]:
    height, width = contents.picture(side).shape[1:]
    views = [{"name": name, "png": row_png([picture])} for name, picture in contents.views(side).items()]
    return {"width": width, "height": height, "views": views}


def _layer(layer: Layer, contents: Contents, links: int) -> dict[str, object]:
    match = layer.match
    factored = isinstance(match, FactoredMatch)
    maps = None
    if factored:
        attention = match.key_factor[0].detach().cpu()
        relative = attention / attention.amax(1, keepdim=True).clamp_min(torch.finfo(attention.dtype).tiny)
        maps = (relative * 255).round().byte().numpy().tobytes()
    return {
        "name": layer.name,
        "kind": kind_of(match),
        "query": list(match.query_size),
        "key": list(match.key_size),
        "regions": match.gate.shape[1] if factored else 0,
        "region_maps": maps,
        "gates": match.gate[0].tolist() if factored else None,
        "warp": row_png([layer.warp]),
        "pack": pack(match, links, device_of(match)) if links else None,
    }


def _truth(contents: Contents) -> dict[str, object] | None:
    if contents.answers is None:
        return None
    sets, _, height, width = contents.answers.shape
    points = contents.answers.detach().cpu().numpy().astype("<f4").tobytes()
    return {"sets": sets, "width": width, "height": height, "points": points}


def _labels(contents: Contents) -> dict[str, object] | None:
    if contents.target_labels is None or contents.exemplar_labels is None:
        return None
    sides = [one.detach().cpu() for one in (contents.target_labels, contents.exemplar_labels)]
    count = max(int(max(one.max() for one in sides)) + 1, 0)
    names = [*contents.label_names, *(f"label {number}" for number in range(len(contents.label_names), count))]
    if len(names) > UNKNOWN:
        raise ValueError(f"got {len(names)} labels, expected at most {UNKNOWN}: join some, or explore without them")
    target, exemplar = (torch.where(one < 0, UNKNOWN, one).numpy().astype(np.uint8).tobytes() for one in sides)
    return {"names": names, "target": target, "exemplar": exemplar}
