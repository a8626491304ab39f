"""A match as bytes that a browser can draw without Python: the largest links of every query, or the factors of a factored one.

The weights of links become whole numbers of 16 bits, relative to the largest of their row; what is left out is counted, so
that a page can say how much of a row it does not have. Factors are sent as they are, and leave nothing out.
"""

import numpy as np
import torch
from torch import Tensor

from exemplar_lab.correspondence import Correspondence, FactoredMatch

_STEPS = 65535
_CHUNK = 2**22
"""Weights looked at in one go."""

Pack = dict[str, object]


def pack(match: Correspondence, links: int, device: torch.device | str = "cpu") -> Pack:
    """The first sample of a match, as the explorer's page reads it. links: how many of each query are sent.

    Raises ValueError for fewer than one link.
    """
    if links < 1:
        raise ValueError(f"got {links} links to send for each query, expected at least one: 32 show most of what a row has")
    return _factors(match) if isinstance(match, FactoredMatch) else _links(match, links, device)


def _factors(match: FactoredMatch) -> Pack:
    return {
        "kind": "factors",
        "query": _bytes(match.query_factor[0], np.float32),
        "gate": match.gate[0].tolist(),
        "key": _bytes(match.key_factor[0], np.float32),
    }


def _links(match: Correspondence, links: int, device: torch.device | str) -> Pack:
    queries, keys = (height * width for height, width in (match.query_size, match.key_size))
    some = torch.arange(queries, device=device).split(max(1, _CHUNK // keys))
    parts = [_largest(*(one[0].detach() for one in match.links(query)), links) for query in some]
    width = max(index.shape[1] for index, *_ in parts)
    # Where chunks differ in how many links a row has, the shorter ones are filled with void places.
    index = torch.cat([torch.nn.functional.pad(one[0], (0, width - one[0].shape[1]), value=-1) for one in parts])
    weight = torch.cat([torch.nn.functional.pad(one[1], (0, width - one[1].shape[1])) for one in parts])
    mass, entropy, kept, considered = (torch.cat([one[which] for one in parts]) for which in (2, 3, 4, 5))
    peak = weight[:, :1]
    wide = keys >= _STEPS
    number = np.uint32 if wide else np.uint16
    return {
        "kind": "links",
        "t": width,
        "wide": wide,
        "index": index.cpu().numpy().astype(number).tobytes(),  # −1 becomes the largest number
        "weight": _steps(weight, peak),
        "peak": _bytes(peak, np.float32),
        "mass": _bytes(mass, np.float32),
        "entropy": _bytes(entropy, np.float32),
        "kept": _bytes(kept, np.uint32),
        "considered": _bytes(considered, np.uint32),
        "complete": bool((considered <= width).all()),
    }


def _largest(index: Tensor, weight: Tensor, links: int) -> tuple[Tensor, ...]:
    """Of each row the largest links, from large to small, and the row's mass, entropy, links kept and links considered."""
    index, order = index.sort(dim=1, stable=True)
    index = index.contiguous()
    first = torch.searchsorted(index, index)
    weight = torch.zeros_like(weight).scatter_add(1, first, weight.gather(1, order))  # several links to one place are one
    again = first != torch.arange(index.shape[1], device=index.device)
    kept, considered = (weight > 0).sum(1), (~again).sum(1)
    mass = weight.sum(1)
    entropy = torch.special.entr(weight / mass[:, None].clamp_min(torch.finfo(weight.dtype).tiny)).sum(1)
    best = weight.masked_fill(again, -1.0).topk(min(links, int(considered.max())), dim=1)
    void = best.values < 0
    return index.gather(1, best.indices).masked_fill(void, -1), best.values.clamp_min(0), mass, entropy, kept, considered


def _steps(weight: Tensor, peak: Tensor) -> bytes:
    """Whole numbers 0 … 65535 of `peak`; what has weight keeps some, however small, or it would look pruned."""
    relative = weight.double() / peak.double().clamp_min(torch.finfo(torch.float64).tiny)
    return _bytes(torch.where(weight > 0, (relative * _STEPS).round().clamp_min(1), 0), np.uint16)


def _bytes(value: Tensor, number: type) -> bytes:
    return value.detach().cpu().numpy().astype(np.dtype(number).newbyteorder("<")).tobytes()
