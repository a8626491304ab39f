"""Two pictures of your own: what can be made of plain photographs, and by which checkpoint."""

from collections.abc import Callable
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from exemplar_lab.data.images import read_image, square
from exemplar_lab.data.photos import pair
from exemplar_lab.data.style_pairs import style_pair
from exemplar_lab.nn.feature_match import answer_by_features
from exemplar_lab.nn.features import features
from exemplar_lab.training.catalogue import PLAIN, Described, answer_of, describe
from exemplar_lab.translation import Batch, Translation

LAB = "lab features"
"""Stands where a checkpoint could: no model, but `nn.feature_match`, which matches any two images."""

SIDE = 64
"""Of the squares that are matched where no model says what it wants."""

_CURES = {
    "a pose": "a photograph does not say where the joints are: choose the task people, or draw with "
    "data.pose.pose_maps a person whose 18 key points you know",
    "68 landmarks": "a photograph does not say where they are: choose the task faces, whose landmarks are known",
    "labels of the world": "a photograph does not say which class each pixel is: choose the task scenes, or train on "
    "photographs with label maps (exemplar-lab train msca --data FOLDER)",
}


def own_pair(structure: str | Path, exemplar: str | Path, checkpoint: str | Path = LAB) -> tuple[Translation, Batch]:
    """The structure of one picture file, the look of another: what the checkpoint answers, and the pair that it was asked.

    The middle squares are resized to the size of the model's images. checkpoint: one of
    `catalogue.checkpoint_folders`, a run on photographs, or "lab features", which need no training. The right correspondence is
    not known.

    Raises FileNotFoundError for a file or checkpoint that is not there; ValueError for a file that is no picture, and for a
    model that reads more than a photograph shows.
    """
    described = None if str(checkpoint) == LAB else describe(checkpoint)
    size = SIDE if described is None else described.size
    batch = own_batch(*(square(read_image(path, 2 * size), size) for path in (structure, exemplar)), described)
    return own_answer(described)(batch), batch


def own_batch(structure: Float[Tensor, "3 h w"], exemplar: Float[Tensor, "3 h w"], checkpoint: Described | None) -> Batch:
    """Two pictures of one size as the checkpoint reads them; edges are drawn for None. Raises ValueError as `own_pair` does."""
    if checkpoint is not None:
        check_plain(checkpoint)
    draw = pair if checkpoint is None or checkpoint.reads == "edges" else style_pair
    return draw(structure[None], exemplar[None])


def check_plain(checkpoint: Described) -> None:
    """Raise ValueError, in one sentence that says what will do instead, unless any photograph will do for the checkpoint."""
    reads = checkpoint.reads
    if checkpoint.source == "Paintings" and reads == "a photograph" and checkpoint.asks_exemplar:
        raise ValueError(
            f"got plain pictures for {checkpoint.name}, which reads the photograph that the exemplar was painted from; "
            "expected a model that does not: choose matebit-paintings-cpu or dynast-style-cpu"
        )
    if reads not in PLAIN:
        cure = _CURES.get(reads, "a photograph alone does not give it: choose a task that does")
        raise ValueError(
            f"got plain pictures for {checkpoint.name}, expected {reads}; {cure}, or choose a model that reads edges"
        )


def own_answer(checkpoint: Described | None) -> Callable[[Batch], Translation]:
    """How the checkpoint is asked; None: by lab features."""
    return answer_by_features(features("lab")) if checkpoint is None else answer_of(checkpoint)
