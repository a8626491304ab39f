"""Does a generated image say which exemplar it was made from? Asked of MATEBIT's style codes, Eq. (7), and of any features."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from exemplar_lab.metrics.retrieval import descriptor_distance, retrieval_scores, style_descriptor
from exemplar_lab.models.matebit import MATEBIT
from exemplar_lab.training.evaluation import PerImage
from exemplar_lab.translation import Batch, Source

GALLERY = 32
"""Exemplars among which an image looks for its own."""

STYLE_LAYERS = ("relu1_2", "relu2_2", "relu3_2", "relu4_2")


@torch.inference_mode()
def measure_style_retrieval(
    model: MATEBIT,
    source: Source,
    galleries: int = 4,
    network: nn.Module | None = None,
    device: torch.device | str = "cpu",
) -> PerImage:
    """{row: {"top-1", "reciprocal rank": one value per image}}: z of an image against z of all exemplars of its gallery.

    "own structure": images made from pairs as they are, whose structure shows the person of the exemplar. "other structure":
    from the structure of the pair before it in the gallery, so that the look alone can tell. "target": the true target image,
    which has the answer in it. galleries: how many, of `GALLERY` pairs each, from the first pair of `source` on; guessing finds
    one in `GALLERY`. network: the same rows once more by `style_descriptor` of its features, "own structure, lab-v1" and so on,
    which say whether the style is in the image where the model's own code does not see it.
    """
    found: dict[str, list[dict[str, Tensor]]] = {}
    for start in range(0, galleries * GALLERY, GALLERY):
        batch = source.batch(torch.arange(start, start + GALLERY), device=device)
        images = _images(model, batch)
        for words, distance in _distances(model, batch, network).items():
            for row, (condition, image) in images.items():
                found.setdefault(row + words, []).append(retrieval_scores(distance(image, condition)))
    return {row: {name: torch.cat([one[name] for one in scores]) for name in scores[0]} for row, scores in found.items()}


def _images(model: MATEBIT, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
    """{row: (structure, image)}"""
    moved = batch.condition.roll(1, 0)
    made = {"own structure": batch.condition, "other structure": moved}
    images = {
        row: (condition, model(condition, batch.exemplar, batch.exemplar_condition, record=False).image)
        for row, condition in made.items()
    }
    return images | {"target": (batch.condition, batch.target)}


def _distances(
    model: MATEBIT, batch: Batch, network: nn.Module | None
) -> dict[str, Callable[[Tensor, Tensor], Float[Tensor, "n n"]]]:
    """{words after the row: distance of an image with its structure to each exemplar}"""
    codes = model.style_code(batch.exemplar, batch.exemplar_condition)
    distances = {"": lambda image, condition: _apart(model.style_code(image, condition), codes)}
    if network is not None:
        gallery = style_descriptor(network(batch.exemplar, STYLE_LAYERS))
        distances[f", {network.name}"] = lambda image, _: descriptor_distance(
            style_descriptor(network(image, STYLE_LAYERS)), gallery
        )
    return distances


def _apart(one: Float[Tensor, "n z"], other: Float[Tensor, "m z"]) -> Float[Tensor, "n m"]:
    return torch.cdist(one, other, compute_mode="donot_use_mm_for_euclid_dist")  # a matrix product is 5e-4 off for equal codes
