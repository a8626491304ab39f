"""A picture larger than a model makes: windows of its size are made one by one and put together ([MSCA], Fig. 8).

Any `Translator` will do: nothing of it is asked but an image for a label map and an exemplar.
"""

from collections.abc import Callable, Iterable, Iterator

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from exemplar_lab.ops.hashing import counted, mix, unit
from exemplar_lab.translation import Translator


def window_places(canvas: tuple[int, int], window: tuple[int, int], at_random: int = 10, seed: int = 0) -> Int[Tensor, "n 2"]:
    """Upper left corners (y, x) of windows that cover a canvas, then of `at_random` windows anywhere in it.

    canvas, window: (height, width). The first are as few as will do, evenly spaced: the four corners where the canvas is twice
    as large as a window, as in the paper, whose further ten are random too. seed: of these; the same on every device.
    Raises ValueError for a window larger than the canvas, and for a number below 0.
    """
    if at_random < 0 or not all(0 < small <= large for small, large in zip(window, canvas, strict=True)):
        raise ValueError(
            f"got windows of {window[0]} × {window[1]} on a canvas of {canvas[0]} × {canvas[1]} and {at_random} at random, "
            "expected windows no larger than the canvas and a number from 0 on"
        )
    free = [large - small for large, small in zip(canvas, window, strict=True)]
    starts = [
        torch.linspace(0, room, -(-large // small)).round().long()
        for room, large, small in zip(free, canvas, window, strict=True)
    ]
    first = torch.cartesian_prod(*starts)
    key = mix(torch.tensor([seed], dtype=torch.int64))
    chance = unit(counted(key, 2 * at_random)).view(at_random, 2)
    return torch.cat([first, (chance * (torch.tensor(free) + 1)).long()])


def raised_cosine(window: tuple[int, int]) -> Float[Tensor, "h w"]:
    """How much each pixel of a window counts where windows overlap: 1 − cos, from almost 0 at its edges to 1 in the middle.

    The edge itself lies half a pixel outside of the first pixel, so that no weight is 0 and what one window covers alone stays
    as it is. The paper says "weighted combining" and not by which weights.
    """
    rise = [0.5 - 0.5 * torch.cos(2 * torch.pi * (torch.arange(side) + 0.5) / side) for side in window]
    return rise[0][:, None] * rise[1]


@torch.inference_mode()
def extrapolate(
    model: Translator,
    condition: Float[Tensor, "b c ch cw"],
    exemplar: Float[Tensor, "b 3 h w"],
    exemplar_condition: Float[Tensor, "b c h w"],
    at_random: int = 10,
    seed: int = 0,
    weight: Float[Tensor, "h w"] | None = None,
    at_once: int = 8,
    progress: Callable[[Iterable], Iterator] = iter,
) -> Float[Tensor, "b 3 ch cw"]:
    """What lies around the exemplar, as the labels of the canvas say: Sec. 4 of [MSCA], "Extrapolation".

    condition: of the whole canvas. exemplar, exemplar_condition: of the size that the model makes, in the paper the patch at
        the centre of the canvas; every window has the same. at_random, seed: see `window_places`.
    weight: of the pixels of a window, above 0 (see `raised_cosine`, the default); ones are a plain mean.
    at_once: so many windows are made at a time. progress: wraps the list of portions, for example `tqdm`.
    The patch at the centre is made anew like everything else, and not pasted in.
    Raises ValueError for a canvas smaller than the exemplar, and for weights that are not above 0.
    """
    window = (exemplar.shape[2], exemplar.shape[3])
    places = window_places((condition.shape[2], condition.shape[3]), window, at_random, seed)
    weight = (raised_cosine(window) if weight is None else weight).to(exemplar)
    if not weight.min() > 0:
        raise ValueError(f"got weights from {float(weight.min()):g}, expected all above 0: no pixel may be left without any")
    total = exemplar.new_zeros(len(exemplar), 4, *condition.shape[2:])
    asked = [(sample, y, x) for y, x in places.tolist() for sample in range(len(exemplar))]
    for portion in progress([asked[i : i + at_once] for i in range(0, len(asked), at_once)]):
        samples = [sample for sample, _, _ in portion]
        wanted = torch.stack([condition[s, :, y : y + window[0], x : x + window[1]] for s, y, x in portion])
        made = model(wanted, exemplar[samples], exemplar_condition[samples], record=False).image
        for image, (s, y, x) in zip(made, portion, strict=True):
            total[s, :3, y : y + window[0], x : x + window[1]] += weight * image
            total[s, 3, y : y + window[0], x : x + window[1]] += weight
    return total[:, :3] / total[:, 3:]


def centre_patch(value: Shaped[Tensor, "b c ch cw"], size: tuple[int, int]) -> Shaped[Tensor, "b c h w"]:
    """The patch of `size` (height, width) at the centre of a canvas. Raises ValueError for a canvas that is smaller."""
    (height, width), (h, w) = value.shape[2:], size
    if h > height or w > width:
        raise ValueError(f"got a canvas of {height} × {width}, expected one no smaller than the patch, {h} × {w}")
    top, left = (height - h) // 2, (width - w) // 2
    return value[:, :, top : top + h, left : left + w]
