"""Applications to do oneself: paint, and see below the painter what models and matches make of it."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from exemplar_lab.correspondence import Correspondence
from exemplar_lab.data.makeup import painted_over
from exemplar_lab.training.evaluation import Answer
from exemplar_lab.training.makeup import carried
from exemplar_lab.training.scene_edits import edit_batch, edited_images, kept_outside, with_classes
from exemplar_lab.widgets.frames import Panel
from exemplar_lab.widgets.painting import MAKEUP, Painter, painted_panel


def edit_panel(
    answers: Mapping[str, Answer],
    image: Float[Tensor, "3 h w"],
    condition: Float[Tensor, "c h w"],
    names: Sequence[str],
    colours: Sequence[Sequence[float]],
    title: str = "Edit a picture by its labels",
) -> tuple[Panel, Painter]:
    """Fig. 10 of [CoCosNet] by hand: classes are painted into the labels of an image, which is its own exemplar.

    condition: a channel for each of `names`. Below the painter: the edited labels, and of each answer its whole image and one
    that is kept outside of the edit. Also gives the painter, whose `labels()` say what was done.
    """
    labels = condition.argmax(0)
    painter = Painter(image, labels=labels, names=names, colours=colours, title="Choose a class and paint; e erases")
    shades = torch.tensor(colours, dtype=torch.float32)

    def draw(painter: Painter) -> dict[str, Tensor]:
        edited = with_classes(condition, painter.painted())
        batch = edit_batch(image[None], condition[None], edited[None])
        changed = (painter.labels() != labels)[None]
        made = {name: one for name, one in edited_images(answers, batch).items() if name in answers}
        both = {f"{name}, rest kept": kept_outside(image[None], one, changed)[0] for name, one in made.items()}
        shown = {name: one[0] for name, one in made.items()}
        return {"edited labels": shades[painter.labels()].movedim(-1, 0)} | shown | both

    return painted_panel(painter, draw, title), painter


def carry_panel(
    matches: Mapping[str, Correspondence],
    target: Float[Tensor, "3 h w"],
    exemplar: Float[Tensor, "3 he we"],
    palette: Mapping[str, Sequence[float]] = MAKEUP,
    by_points: bool = False,
    title: str = "Paint on the exemplar",
) -> tuple[Panel, Painter]:
    """Fig. 11 of [CoCosNet] by hand: what is painted on the exemplar is carried to the target by each match (one sample each).

    by_points: see `training.makeup.carried`. Also gives the painter.
    """
    painter = Painter(exemplar, palette, title="Paint here")

    def draw(painter: Painter) -> dict[str, Tensor]:
        layer, size = painter.layer()[None], tuple(target.shape[1:])
        shown = {name: painted_over(target[None], carried(m, layer, size, by_points))[0] for name, m in matches.items()}
        return {"target": target} | shown

    return painted_panel(painter, draw, title), painter
