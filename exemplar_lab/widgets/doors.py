"""What the explorer is given is looked at before it is shown: each thing that cannot be gets one sentence."""

import torch
from torch import Tensor

from exemplar_lab.correspondence import Correspondence


def size_in_words(picture: Tensor) -> str:
    return "{} × {} pixels".format(*picture.shape[-2:])


def check_pictures(*pictures: Tensor) -> None:
    """Raise ValueError for what is no float, as far from [0, 1] as 0 … 255 is, or a batch of another length than the others."""
    for picture in pictures:
        if not picture.is_floating_point() or picture.min() < -0.5 or picture.max() > 1.5:
            low, high = picture.min().item(), picture.max().item()
            raise ValueError(
                f"got a picture of {picture.dtype} from {low:g} to {high:g}, expected floats in [0, 1]: divide by 255?"
            )
    samples = {len(picture) for picture in pictures}
    if len(samples) > 1:
        raise ValueError(f"got batches of {' and '.join(map(str, sorted(samples)))} pictures, expected the same number of each")


def checked_match(match: Correspondence, this: slice) -> Correspondence:
    """One sample of a match. Raises ValueError where its weights are none: negative, not finite, or not of its grids."""
    one = match[this]
    sizes = {"query_size": one.query_size, "key_size": one.key_size}
    try:
        mass = one.mass()
    except (RuntimeError, IndexError) as problem:
        raise ValueError(f"got a {type(match).__name__} whose tensors do not fit {sizes} (h, w): {problem}") from None
    if tuple(mass.shape) != (1, *one.query_size):
        raise ValueError(
            f"got a {type(match).__name__} with a mass of shape {tuple(mass.shape)}, expected 1 × h × w for {sizes}: weights "
            "have a batch axis, b q k, and as many samples as there are pictures"
        )
    parts = [value for value in vars(one).values() if isinstance(value, Tensor) and value.is_floating_point()]
    if any(not value.isfinite().all() or value.min() < 0 for value in parts):
        raise ValueError(
            f"got a {type(match).__name__} with weights below 0 or not finite, expected weights: of scores take a softmax, of "
            "similarities also what is left of them above 0"
        )
    return one


def device_of(match: Correspondence) -> torch.device:
    """Where a match lies, as far as its own tensors say."""
    return next((value.device for value in vars(match).values() if isinstance(value, Tensor)), torch.device("cpu"))
