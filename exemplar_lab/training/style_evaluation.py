"""Style transfer against its two wishes, beside rows between which it must lie (Fig. 8 of [DynaST])."""

from collections.abc import Callable, Iterable, Iterator, Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from exemplar_lab.data.style_pairs import StylePairs
from exemplar_lab.losses.style import STYLE_LAYERS, style_transfer
from exemplar_lab.metrics.appearance import l1
from exemplar_lab.metrics.structure import content_ssim, edge_correlation
from exemplar_lab.ops.modulation import adain, channel_statistics
from exemplar_lab.translation import Batch, Source, Translator

STYLE_COLUMNS = ("content_ssim", "edge_correlation", "style_loss", "content_loss", "painting_l1")
"""What `style_scores` measures; painting_l1 only where the true painting is known."""

STYLE_THROUGH_FEATURES = ("style_loss", "content_loss")
"""Of these, what means nothing without the name of the network beside it."""


@torch.inference_mode()
def measure_styles(
    model: Translator,
    source: Source,
    indices: Int[Tensor, " n"],
    features: nn.Module,
    name: str = "DynaST",
    device: torch.device | str = "cpu",
    batch_size: int = 4,
    progress: Callable[[Iterable], Iterator] = iter,
) -> dict[str, dict[str, Tensor]]:
    """{row: {number: one value per image}} over the samples `indices`: the rows of `style_answers` and, where styles are
    paintings, "true painting", the content as the world itself paints it in that style.

    features: φ of Eq. (11); its `name` belongs beside every number.
    """
    found: dict[str, list[dict[str, Tensor]]] = {}
    for chosen in progress(indices.split(batch_size)):
        batch = source.batch(chosen, device)
        known = isinstance(source, StylePairs) and source.style == "paintings"
        painting = source.painted(chosen, device) if known else None
        answers = style_answers(model, batch, name) | ({} if painting is None else {"true painting": painting})
        for row, scores in style_scores(answers, batch, features, painting).items():
            found.setdefault(row, []).append(scores)
    return {row: {number: torch.cat([one[number] for one in parts]) for number in parts[0]} for row, parts in found.items()}


def style_answers(model: Translator, batch: Batch, name: str = "DynaST") -> dict[str, Float[Tensor, "b 3 h w"]]:
    """Row -> image: the two that fulfil one wish each, the colours of the style alone, the model's last warp, the model.

    "colours": `adain` of the RGB channels, each given the mean and deviation of the style image. An AdaIN of deep features
    would need a decoder trained for it, which the fixed features do not have.
    """
    made = model(batch.condition, batch.exemplar, batch.exemplar_condition, record=False)
    return {
        "content": batch.target,
        "style image": batch.exemplar,
        "colours": adain(batch.target, *channel_statistics(batch.exemplar)).clamp(0, 1),
        "warp": F.interpolate(made.warps[-1], batch.target.shape[-2:], mode="bilinear", align_corners=False).clamp(0, 1),
        name: made.image,
    }


def style_scores(
    answers: Mapping[str, Float[Tensor, "b 3 h w"]],
    batch: Batch,
    features: nn.Module,
    painting: Float[Tensor, "b 3 h w"] | None = None,
) -> dict[str, dict[str, Float[Tensor, " b"]]]:
    """STYLE_COLUMNS per row and image: SSIM and edges against the content, both terms of Eq. (11), L1 to the true painting."""
    of_content, of_style = (features(image, STYLE_LAYERS) for image in (batch.target, batch.exemplar))
    rows = {}
    for row, image in answers.items():
        seen = (features(image, STYLE_LAYERS), of_content, of_style)
        # Eq. (11) is a mean over the batch, and asked of one image at a time here.
        terms = [
            style_transfer(*({layer: each[one : one + 1] for layer, each in maps.items()} for maps in seen))
            for one in range(len(image))
        ]
        content, style = (torch.stack(term) for term in zip(*terms, strict=True))
        rows[row] = {
            "content_ssim": content_ssim(image, batch.target),
            "edge_correlation": edge_correlation(image, batch.target),
            "style_loss": style,
            "content_loss": content,
        }
        if painting is not None:
            rows[row]["painting_l1"] = l1(image, painting, torch.ones_like(painting[:, 0], dtype=torch.bool))
    return rows
