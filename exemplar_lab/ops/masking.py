"""MATEBIT's masked correspondence: negative scores are cut, and what no link explains is filled by the query itself.

Eq. (1), the score A, is `correlation.cosine_score`; Eq. (4), the modulated query, `modulation.spade`.

Two of the printed equations cannot do what their text asks for. After Eq. (2) a cut link has the score 0, so that the softmax
of Eq. (3) still gives it the weight exp(0): little beside a strong match at α = 100, but a row whose scores are all negative
becomes the plain mean of the exemplar. And Σ_j A_mask of Eq. (5) is a sum of cosines over all positions: about 26 to 52 for
random features on a grid of 32 × 32, so that the "unreliable share" 1 − Σ_j A_mask is far below zero. `Form` says what is done:

"cosine": cut links have no weight, the others sum to one; reliable is the cosine that a row finds on average, Σ_j Ã A_mask,
    a number in [0, 1]. The default of the package.
"mass": the softmax is taken before the cut, cut links lose their weight, and reliable is what is left, Σ_j Ã ≤ 1. The released
    code does this with the sign it has learnt (it has no ReLU). At α = 100 nearly nothing is ever lost.
"printed": Eq. (3) and (5) to the letter.
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from exemplar_lab.ops.correlation import attend
from exemplar_lab.ops.modulation import positional_norm

Form = Literal["cosine", "mass", "printed"]


def cut_negative(score: Float[Tensor, "b q k"]) -> Float[Tensor, "b q k"]:
    """Eq. (2) of [MATEBIT]: A_mask = ReLU(A); a link between features that point away from each other is cut.

    Released code: no ReLU and no cosine; scaled dot products, and a sign learnt as in [DynaST].
    """
    return torch.relu(score)


def masked_weight(score: Float[Tensor, "b q k"], alpha: float = 100.0, form: Form = "cosine") -> Float[Tensor, "b q k"]:
    """Eq. (3) of [MATEBIT]: Ã_mask = softmax(α A_mask), to the letter with form="printed"; by default without cut links.

    The weights with which the values of the exemplar are gathered.

    score: A, before the cut. alpha: α. Rows sum to one, unless in the form "mass"; a row of which every link is cut is zero,
    unless "printed", where it is uniform.
    """
    if form == "printed":
        return torch.softmax(alpha * cut_negative(score), dim=-1)
    kept = score > 0
    if form == "mass":
        return torch.softmax(alpha * score, dim=-1) * kept
    return torch.softmax((alpha * score).masked_fill(~kept, -1e4), dim=-1) * kept


def reliable_share(
    score: Float[Tensor, "b q k"], weight: Float[Tensor, "b q k"], form: Form = "cosine"
) -> Float[Tensor, "b q"]:
    """What stands in the place of Σ_j A_mask of Eq. (5): how far each row is to be believed. In [0, 1] unless "printed",
    or of weights that were not masked.

    score: A, before the cut. weight: Ã_mask of `masked_weight` in the same form.
    """
    if form == "printed":
        return cut_negative(score).sum(-1)
    return weight.sum(-1) if form == "mass" else (weight * score).sum(-1)


def masked_attend(
    query: Float[Tensor, "b q d"],
    key: Float[Tensor, "b k d"],
    value: Float[Tensor, "b k c"],
    alpha: float = 100.0,
    masked: bool = True,
) -> tuple[Float[Tensor, "b q c"], Float[Tensor, "b q"]]:
    """Ã V and the reliable share in the form "cosine", exact, without ever holding the q × k weights; for training.

    query, key: unit vectors from `correlation.normalise`. masked: False leaves the cut out.
    The expected cosine of a row needs no pass of its own: Σ_j Ã(u, j) q(u)·k(j) = q(u) · Σ_j Ã(u, j) k(j).
    """
    gathered, keys = attend(query, key, torch.cat([value, key], dim=2), alpha, masked).split(
        [value.shape[2], key.shape[2]], dim=2
    )
    return gathered, (query * keys).sum(-1)


def unmatched_query(reliable: Float[Tensor, "b h w"], modulated: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Eq. (5) of [MATEBIT]: X_uncor = (1 − Σ_j A_mask) ⊙ Q_norm, what the structure itself says where the exemplar is silent.

    reliable: Σ_j A_mask or what stands in its place, `reliable_share`. modulated: Q_norm of Eq. (4).
    """
    return (1 - reliable)[:, None] * modulated


def aggregate(
    gathered: Float[Tensor, "b c h w"], unmatched: Float[Tensor, "b c h w"], query: Float[Tensor, "b c h w"]
) -> Float[Tensor, "b c h w"]:
    """Eq. (6) of [MATEBIT]: X_agg = PONO(X_cor + X_uncor + Q)."""
    return positional_norm(gathered + unmatched + query)
