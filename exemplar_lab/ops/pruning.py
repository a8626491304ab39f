"""Which links are kept: DynaST's learned decision, its gradient, and the weights of what is left."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def decide(decision_score: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Eq. (5) of [DynaST]: D = 1 where P > 0 and the link is kept, 0 where it is pruned; the gradient is that of Eq. (6).

    decision_score: P = Ω(F_tgt) Φ(F_ref)ᵀ, any shape. The answer is 0 or 1 in its dtype.
    """
    return _Decide.apply(decision_score)


def decision_slope(decision_score: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Eq. (6) of [DynaST]: dD/dP = exp(−P) / (1 + exp(−P))², the slope of a sigmoid in place of the step's, at most ¼."""
    likely = torch.sigmoid(decision_score)
    return likely * (1 - likely)


def prune(weight: Float[Tensor, "..."], keep: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Eq. (7) of [DynaST]: Ã = D ⊙ A. Rows then sum to less than one; what is missing is the mass that Eq. (8) fills."""
    return weight * keep


def fill_lost_mass(
    gathered: Float[Tensor, "b c h w"], mass: Float[Tensor, "b h w"], restored: Float[Tensor, "b c h w"]
) -> Float[Tensor, "b c h w"]:
    """Eq. (8) of [DynaST], its first line: F_out = (1 − Σ Ã) ⊙ SP(F_tgt, S_tgt) + Ã η(F_ref).

    gathered: Ã η(F_ref). mass: Σ Ã of each position. restored: SP(F_tgt, S_tgt), what the structure alone suggests.
    """
    return (1 - mass)[:, None] * restored + gathered


def kept_weight(
    score: Float[Tensor, "b q t"],
    keep: Float[Tensor, "b q t"],
    counted: Bool[Tensor, "b q t"] | None = None,
    eps: float = 1e-8,
    released: bool = False,
) -> Float[Tensor, "b q t"]:
    """Eq. (12) of [DynaST]: W = D ⊙ exp(C) / (Σ D ⊙ exp(C) + ε), the weights that the matching loss warps with.

    score: C, before the softmax; its maximum over the row is taken away first, so ε is relative to the best link of all. A row
    that keeps no link has no weight. counted: False for candidates that stand in the row already.

    Released code: the links with D = 1 get −10⁴ in place of their score, so those that are *pruned* make the warp, and the mask
    is a boolean, so the decision learns nothing from it; `released` does the same.
    """
    if released:
        score = score.masked_fill(keep > 0, -1e4)
        keep = torch.ones_like(keep)
    best = score.detach() if counted is None else score.detach().masked_fill(~counted, -torch.inf)
    likely = (score - best.amax(-1, keepdim=True)).exp() * keep
    likely = likely if counted is None else likely * counted
    return likely / (likely.sum(-1, keepdim=True) + (0 if released else eps))


class _Decide(torch.autograd.Function):
    @staticmethod
    def forward(ctx, decision_score: Tensor) -> Tensor:
        ctx.save_for_backward(decision_score)
        return (decision_score > 0).to(decision_score.dtype)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        (decision_score,) = ctx.saved_tensors
        return gradient * decision_slope(decision_score)
