"""What a correspondence must satisfy: one domain, a way back, and the right answer where it is known.

Images and maps finer than the grid of the match are averaged down to it first.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from exemplar_lab.losses.contextual import direction
from exemplar_lab.losses.reduction import batch_mean


def domain_alignment(x_s: Float[Tensor, "b c h w"], y_s: Float[Tensor, "b c h w"]) -> Float[Tensor, ""]:
    """Eq. (9) of [CoCosNet] and Eq. (8) of [MATEBIT]: ‖F_A→S(x_A) − F_B→S(x_B)‖₁.

    Structure and photograph of one scene meet in the shared domain S.

    x_s, y_s: the adapted features of `Batch.condition` and `Batch.target` (not of the exemplar). Both are scaled to unit
    length over channels here, so the loss cannot fall by shrinking them; features that come so scaled are not changed. Mean
    over all elements.
    Released code: the same, weight 10; of [MATEBIT] at four scales.
    """
    return (direction(x_s) - direction(y_s)).abs().mean()


def cycle(warped_back: Float[Tensor, "b c hk wk"], exemplar: Float[Tensor, "b c h w"]) -> Float[Tensor, ""]:
    """Eq. (12) of [CoCosNet]: ‖r_y→x→y − y_B‖₁, the exemplar survives the way to the target and back.

    warped_back: r_y→x→y on the key grid, made by the backward warp in `ops.correlation`. Mean over all elements.
    Released code: weight 0 by default, 1 for edges, 0.1 for label maps; the authors warn that a large weight makes the warp
    the identity.
    """
    return (warped_back - _at_size_of(warped_back, exemplar)).abs().mean()


def warp_matching(
    warp: Float[Tensor, "b c hq wq"],
    target: Float[Tensor, "b c h w"],
    paired: Float[Tensor, " b"] | Bool[Tensor, " b"] | None = None,
) -> Float[Tensor, ""]:
    """Eq. (9) of [MATEBIT]: ‖Ã y_B↓ − x_B↓‖₁, the warped exemplar against the target, where the target is the right answer.

    Printed is Ãᵀ y_B; but Ã has a row for each position of the target, as Eq. (3) multiplies it. ‖·‖₁ is the mean of all
    elements. Not in [CoCosNet], whose released code uses it for DeepFashion, weight 100.
    Released code: over all blocks, weight 1000.
    """
    difference = (warp - _at_size_of(warp, target)).abs().flatten(1).mean(1)
    return batch_mean(difference, paired)


def cascade_matching(
    warps: Sequence[Float[Tensor, "b c _ _"]],
    target: Float[Tensor, "b c h w"],
    paired: Float[Tensor, " b"] | Bool[Tensor, " b"] | None = None,
) -> Float[Tensor, ""]:
    """Eq. (14) of [DynaST]: L_m = Σ_i Σ_j ‖Î_warp,j^i − I'_tgt‖²: every block of every scale shall warp right.

    warps: one per block, at the resolution of its scale; ' averages the target down to it. ‖·‖² is the mean over channels and
    positions. λ_m = 100. Released code: L1, weight 1000, and divided by the batch of each GPU once more.
    """
    per_block = [(warp - _at_size_of(warp, target)).square().flatten(1).mean(1) for warp in warps]
    return batch_mean(sum(per_block), paired)


def mask_alignment(
    warped_label: Float[Tensor, "b classes hq wq"], target_label: Float[Tensor, "b classes h w"]
) -> Float[Tensor, ""]:
    """Cross-entropy in nats between the warped label map of the exemplar and that of the target ([CoCosNet] App. E, warm-up).

    warped_label: class probabilities, the warp of a one-hot map; a row that lost mass is punished for it. target_label:
    one-hot, or its average where a cell of the grid covers several classes. Mean over samples and positions.
    Released code: the label of the nearest pixel instead of the average, log(p + 1e-10) as here, weight 100.
    """
    log_probability = torch.log(warped_label + 1e-10)
    return -(_at_size_of(warped_label, target_label) * log_probability).sum(1).mean()


def _at_size_of(small: Float[Tensor, "b c h w"], image: Float[Tensor, "b c H W"]) -> Float[Tensor, "b c h w"]:
    return F.interpolate(image, small.shape[-2:], mode="area") if image.shape[-2:] != small.shape[-2:] else image
