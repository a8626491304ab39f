"""The self-supervision of MSCA: two patches of one picture, each to be made from the other, and the whole from itself."""

from dataclasses import dataclass, replace

from jaxtyping import Int
from torch import Tensor

from exemplar_lab.data.crops import Crops, crops_with_global, disjoint_crops
from exemplar_lab.translation import Batch, concatenate


@dataclass(frozen=True)
class Patches:
    """What is trained when (Sec. 3.4, App. F and G of [MSCA]). The source gives canvases, larger than the model's images.

    pretraining: steps in which the attention alone learns to reconstruct features of one disjoint patch from the other.
    disjoint: steps after these with disjoint patches of the size of the model, as they are. patch: side of the patches of all
        further steps, which may overlap and are resized; the whole canvas joins them. None: there are no such steps.
    flip: chance that a canvas is mirrored. whole: λ of Eq. (11), how much the whole canvas counts.
    Raises ValueError for numbers below 0.
    """

    pretraining: int
    disjoint: int
    patch: int | None
    flip: float = 0.5
    whole: float = 1.0

    def __post_init__(self):
        if min(self.pretraining, self.disjoint, self.whole) < 0 or not 0 <= self.flip <= 1:
            raise ValueError(
                f"got pretraining {self.pretraining}, disjoint {self.disjoint}, whole {self.whole}, flip {self.flip}, expected "
                "none below 0, and a chance of at most 1"
            )

    def enlarged(self, number: int) -> bool:
        """Does step `number` have large patches, and the whole canvas beside them?"""
        return self.patch is not None and number > self.pretraining + self.disjoint


def patch_batch(patches: Patches, canvas: Batch, seeds: Int[Tensor, " b"], number: int, size: int) -> Batch:
    """What step `number` reconstructs from the target side of b canvases: 2b samples.

    First b patches, each from another patch of its canvas. Then, of disjoint patches, the same pairs the other way round; of
    enlarged ones the b whole canvases, each from itself.
    """
    if patches.enlarged(number):
        crops = crops_with_global(canvas, seeds, patches.patch, size, patches.flip)
        return concatenate([cross_reconstruction(crops), self_reconstruction(crops)])
    crops = disjoint_crops(canvas, seeds, size, patches.flip)
    return concatenate([cross_reconstruction(crops), cross_reconstruction(replace(crops, first=crops.second))])


def cross_reconstruction(crops: Crops) -> Batch:
    """Eq. (9) of [MSCA]: x̂_p = G(c_p, x_q, c̃_q), a patch from another patch of the same picture.

    The style of a picture is taken to be the same all over it, and what one patch shows the other may lack.
    """
    return replace(crops.first, truth=None)


def self_reconstruction(crops: Crops) -> Batch:
    """Eq. (10) of [MSCA]: x̂ = G(c, x, c̃), the whole picture from itself."""
    return replace(crops.whole, truth=None)
