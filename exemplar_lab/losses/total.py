"""The sum that is minimised."""

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor


def total_loss(terms: Mapping[str, Tensor], weights: Mapping[str, float | int]) -> Float[Tensor, ""]:
    """Eq. (14) of [CoCosNet] and Eq. (15) of [DynaST] and Eq. (14) of [MATEBIT] and Eq. (12) of [MSCA]: a weighted sum.

    Of any terms by name.

    ψ₁L_feat + ψ₂L_perc + ψ₃L_context + ψ₄L_adv + ψ₅L_domain + ψ₆L_reg of the first, L_t + λ_m L_m of the second, λ₁L_style +
    λ₂L_align + λ₃L_corr + λ₄L_str + λ₅(L_perc + L_ctx) + λ₆L_adv of the third, which prints max over D of a sum with the
    discriminator's loss; as Eq. (13) defines that loss, D must make it small, and does so for itself here.
    terms: scalars. weights: ψ by the same names. A term of weight 0 need not be there; where it is, it is not added, so that it
    can be watched at no risk. Raises ValueError for a term without a weight and for a weight without its term.
    Released code: adds 10 × the L1 distance of discriminator features.
    """
    unknown = sorted(terms.keys() - weights.keys())
    missing = sorted(name for name, weight in weights.items() if weight and name not in terms)
    if unknown or missing:
        raise ValueError(
            f"got the loss terms {sorted(terms)} with weights for {sorted(weights)}: "
            + "; ".join(
                [f"give {name!r} a weight (0 to only report it)" for name in unknown]
                + [f"compute {name!r} or set its weight to 0" for name in missing]
            )
        )
    weighted = [weights[name] * term for name, term in terms.items() if weights[name]]
    if not weighted:
        raise ValueError(f"got only zero weights for {sorted(weights)}, expected one above 0: nothing would be learned")
    return sum(weighted[1:], start=weighted[0])
