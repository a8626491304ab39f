"""Image editing by changing the map of labels (Fig. 10 and 20 of [CoCosNet]), measured: the image itself is the exemplar.

The procedural world paints the edited scene too, so that there is a right answer (`data.synth.scenes.edits`).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from exemplar_lab.data.synth.scenes.edits import Edits, edited_scenes
from exemplar_lab.metrics.appearance import l1
from exemplar_lab.metrics.cells import nearest_label_match
from exemplar_lab.metrics.mixing import class_colours, painted_flat
from exemplar_lab.training.evaluation import Answer, PerImage, joined
from exemplar_lab.training.references import warped_image
from exemplar_lab.translation import Batch, Translation

NUMBERS = ("inside", "outside", "changed outside", "changed inside", "colour", "features")
EDIT_REFERENCES = ("copy", "class colours", "nearest label")
_LAYER = "relu2_2"


def with_classes(condition: Float[Tensor, "c h w"], strokes: Int[Tensor, "h w"]) -> Float[Tensor, "c h w"]:
    """A map of labels painted over: `strokes` has the number of a class, −1 where nothing was painted.

    Raises ValueError for a class that the map has not, and for strokes of another size.
    """
    if strokes.shape != condition.shape[1:] or int(strokes.max()) >= len(condition):
        raise ValueError(
            f"got strokes of {tuple(strokes.shape)} with classes up to {int(strokes.max())}, expected "
            f"{tuple(condition.shape[1:])} and at most {len(condition) - 1}: paint on a picture of the map's own size"
        )
    painted = F.one_hot(strokes.clamp_min(0), len(condition)).movedim(-1, 0).to(condition.dtype)
    return torch.where(strokes >= 0, painted, condition)


def edit_batch(image: Float[Tensor, "b 3 h w"], condition: Float[Tensor, "b c h w"], edited: Float[Tensor, "b c h w"]) -> Batch:
    """What a model is asked: the edited labels, and the image with its own labels as the exemplar. The target is unknown; the
    image stands in its place."""
    return Batch(edited, image, image, condition, torch.ones(len(image), dtype=torch.bool))


@torch.inference_mode()
def edited_images(answers: Mapping[str, Answer], batch: Batch) -> dict[str, Float[Tensor, "b 3 h w"]]:
    """{row: image} of every answer, and of three ways without a model.

    "copy": the image as it was. "class colours": each class in its mean colour in the image. "nearest label": the image, moved;
    every pixel takes the nearest one that had its label, which is itself wherever the labels did not change.
    """
    asked = {name: answer(batch) for name, answer in answers.items()}
    made = {name: one.image if isinstance(one, Translation) else warped_image(one, batch) for name, one in asked.items()}
    flat = painted_flat(batch.condition, class_colours(batch.exemplar, batch.exemplar_condition))
    nearest = nearest_label_match(batch.condition.argmax(1), batch.exemplar_condition.argmax(1))
    return made | {"copy": batch.exemplar, "class colours": flat, "nearest label": nearest.warp(batch.exemplar)}


def kept_outside(
    image: Float[Tensor, "b 3 h w"], made: Float[Tensor, "b 3 h w"], changed: Bool[Tensor, "b h w"], reach: int = 1
) -> Float[Tensor, "b 3 h w"]:
    """What an editor would do: of the made image only the edit and `reach` pixels around it, the rest as it was."""
    near = F.max_pool2d(changed[:, None].float(), 2 * reach + 1, stride=1, padding=reach) > 0
    return torch.where(near, made, image)


@torch.inference_mode()
def edit_scores(
    answers: Mapping[str, Answer],
    numbers: Int[Tensor, " n"],
    edit: str,
    network: nn.Module,
    size: int = 64,
    batch_size: int = 16,
    progress: Callable[[Iterable], Iterator] = iter,
) -> PerImage:
    """{row: {number: one value per edit}} of one kind of edit (`data.synth.scenes.edits.EDITS`), on the very same scenes.

    Rows: those of `answers`; `EDIT_REFERENCES`; of each that paints all of the picture also "…, rest kept" (`kept_outside`):
    features look beyond the border of the edit, and only rows that keep the rest are on a par in them; "truth".
    Numbers, L1 of colours: "inside" and "outside" of the edit, to the truth, whose shadows and mirror images change outside
    too; "changed inside" and "changed outside", to what the same row makes of the labels before the edit. "colour": how far
    the mean colour of each class in the edit is from that of the class in the image before, root mean square over the classes
    by their area. "features": distance inside the edit to the truth in `network` (relu2_2, unit length), 0 to 4.
    """
    rows: dict[str, list[dict[str, Tensor]]] = {}
    for chosen in progress(numbers.split(batch_size)):
        scene = edited_scenes(chosen, edit, size)
        before = edited_images(answers, edit_batch(scene.image, scene.condition, scene.condition))
        after = edited_images(answers, edit_batch(scene.image, scene.condition, scene.edited_condition))
        for name in (*answers, "class colours"):  # the other references are the picture itself outside of the edit
            before[f"{name}, rest kept"] = scene.image
            after[f"{name}, rest kept"] = kept_outside(scene.image, after[name], scene.changed)
        for row, image in (after | {"truth": scene.edited_image}).items():
            found = _scores(image, before.get(row, scene.image), scene, network)
            rows.setdefault(row, []).append(found)
    return joined(rows)


def _scores(image: Tensor, before: Tensor, scene: Edits, network: nn.Module) -> dict[str, Tensor]:
    inside = scene.changed
    return {
        "inside": l1(image, scene.edited_image, inside),
        "outside": l1(image, scene.edited_image, ~inside),
        "changed inside": l1(image, before, inside),
        "changed outside": l1(image, before, ~inside),
        "colour": colour_distance(image, scene),
        "features": feature_distance(image, scene.edited_image, inside, network),
    }


def colour_distance(image: Float[Tensor, "b 3 h w"], scene: Edits) -> Float[Tensor, " b"]:
    """How far the classes inside the edit are from their mean colours in the image before; classes it had not are left out."""
    wanted = class_colours(scene.image, scene.condition)
    label = scene.edited_condition * scene.changed[:, None]
    apart = (class_colours(image, label) - wanted).square().mean(2)
    area = label.sum((2, 3)) * apart.isfinite()
    return ((apart.nan_to_num() * area).sum(1) / area.sum(1)).sqrt()


def feature_distance(
    image: Float[Tensor, "b 3 h w"], target: Float[Tensor, "b 3 h w"], keep: Bool[Tensor, "b h w"], network: nn.Module
) -> Float[Tensor, " b"]:
    """Squared distance of unit features at the same place, the mean over what `keep` keeps; 0 for equal images."""
    one, other = (F.normalize(network(picture, [_LAYER])[_LAYER], dim=1) for picture in (image, target))
    share = F.interpolate(keep[:, None].float(), one.shape[-2:], mode="area")[:, 0]
    return ((one - other).square().sum(1) * share).flatten(1).sum(1) / share.flatten(1).sum(1)
