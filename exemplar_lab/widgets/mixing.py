"""Three sliders for what can be done with MSCA: how much of a style, where the border runs, how many windows make a canvas."""

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from exemplar_lab.ops.mixing import between_two, from_left_to_right
from exemplar_lab.translation import Translation
from exemplar_lab.widgets.frames import Panel, frame_panel


@runtime_checkable
class Mixer(Protocol):
    """A model that mixes exemplars, as `models.msca.MSCA.mix` does."""

    def mix(
        self,
        condition: Tensor,
        exemplars: Sequence[Tensor],
        exemplar_conditions: Sequence[Tensor],
        amount: Tensor,
        *,
        record: bool,
    ) -> Translation: ...


def style_panel(
    model: Mixer,
    condition: Float[Tensor, "1 c h w"],
    exemplars: Sequence[Float[Tensor, "1 3 h w"]],
    exemplar_conditions: Sequence[Float[Tensor, "1 c h w"]],
    truth: Float[Tensor, "s 3 h w"],
) -> Panel:
    """Fig. 5 of [MSCA] under a slider: the share of the second of two exemplars, 0 … 1, in as many stops as `truth` has.

    truth: what each mixture truly looks like, evenly spaced from the first style to the second.
    """
    stops = [round(one, 3) for one in torch.linspace(0, 1, len(truth)).tolist()]
    made = _mixed(model, condition, exemplars, exemplar_conditions)

    def draw(share: float) -> dict[str, Tensor]:
        return {
            "first exemplar": exemplars[0][0],
            "mixed in the model": made(between_two(torch.tensor([share]))),
            "truth": truth[stops.index(share)],
            "second exemplar": exemplars[1][0],
        }

    return frame_panel("Style of one exemplar, of the other, and between", draw, {"share": stops})


def border_panel(
    model: Mixer,
    condition: Float[Tensor, "1 c h w"],
    exemplars: Sequence[Float[Tensor, "1 3 h w"]],
    exemplar_conditions: Sequence[Float[Tensor, "1 c h w"]],
    borders: Sequence[float] = (0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0),
    softness: Sequence[float] = (0.0, 0.25, 0.5, 1.0),
) -> Panel:
    """Fig. 7 of [MSCA] under two sliders: where the border between two looks runs, and how soft it is."""
    made = _mixed(model, condition, exemplars, exemplar_conditions)
    width = condition.shape[3]

    def draw(border: float, softness: float) -> dict[str, Tensor]:
        amount = from_left_to_right(width, border, softness)
        return {
            "first exemplar": exemplars[0][0],
            "share of the second": amount[0, 1].expand(3, condition.shape[2], width),
            "mixed in the model": made(amount),
            "second exemplar": exemplars[1][0],
        }

    return frame_panel("One style at the left, another at the right", draw, {"border": borders, "softness": softness})


def canvas_panel(
    make: Callable[..., Float[Tensor, "1 3 ch cw"]],
    truth: Float[Tensor, "1 3 ch cw"],
    exemplar: Float[Tensor, "1 3 h w"],
    at_random: Sequence[int] = (0, 1, 2, 5, 10),
    seeds: Sequence[int] = (0, 1, 2),
) -> Panel:
    """Fig. 8 of [MSCA] under two sliders: how many windows are put together beside those that cover the canvas, and which.

    make: `training.panorama.extrapolate` with all but `at_random` and `seed` given. exemplar: the patch at the centre of
        `truth`.
    """

    rest = [large - small for large, small in zip(truth.shape[2:], exemplar.shape[2:], strict=True)]
    down, right = (one // 2 for one in rest)
    given = F.pad(exemplar[0], (right, rest[1] - right, down, rest[0] - down), value=1.0)

    def draw(at_random: int, seed: int) -> dict[str, Tensor]:
        return {"given": given, "extrapolated": make(at_random=at_random, seed=seed)[0], "truth": truth[0]}

    start = {"at_random": at_random[-1], "seed": seeds[0]}
    return frame_panel("What lies around a patch", draw, {"at_random": at_random, "seed": seeds}, start)


def _mixed(
    model: Mixer, condition: Tensor, exemplars: Sequence[Tensor], exemplar_conditions: Sequence[Tensor]
) -> Callable[[Tensor], Tensor]:
    def made(amount: Tensor) -> Tensor:
        with torch.inference_mode():
            return model.mix(condition, exemplars, exemplar_conditions, amount, record=False).image[0]

    return made
