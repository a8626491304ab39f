"""What every source of the world asks of its arguments, and the keys that its samples are drawn from."""

from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from exemplar_lab.data.seeds import SPLITS, sample_keys
from exemplar_lab.data.synth.dials import Dials, dials_of


def check_source(size: Any, split: str, tier: str | Dials | dict[str, Any], task: str) -> None:
    """Raise ValueError unless size, split and tier suit a source of the world."""
    if not isinstance(size, int) or size < 16:
        raise ValueError(f"got size {size!r}, expected an integer of at least 16: on smaller pictures there is nothing to see")
    if split not in SPLITS:
        raise ValueError(f"got split {split!r}, expected one of {', '.join(SPLITS)}: choose one of these")
    dials_of(tier, task)


def length_of(split: str) -> int | None:
    """Samples of a split: train has no end, the others 2,000 each."""
    return None if split == "train" else 2000


def keys_of(version: int, split: str, indices: Int[Tensor, " b"], device: torch.device | str) -> Int[Tensor, " b"]:
    """One key per sample, on `device`. Raises ValueError for an index below 0 or beyond the split."""
    length = length_of(split)
    if len(indices) and (indices.min() < 0 or (length is not None and indices.max() >= length)):
        raise ValueError(f"got indices {int(indices.min())} … {int(indices.max())}, expected 0 … {(length or 2**63) - 1}")
    return sample_keys(version, split, indices.to(device))
