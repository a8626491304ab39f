"""The objectives of discriminator and generator: with a hinge [CoCosNet], or as the logarithm of a probability [DynaST]."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def hinge_discriminator(real_logits: Sequence[Tensor], fake_logits: Sequence[Tensor]) -> Float[Tensor, ""]:
    """Eq. (13) of [CoCosNet] and Eq. (13) of [MATEBIT], first line: −E[h(D(y_B))] − E[h(−D(x̂_B))] with h(t) = min(0, −1 + t).

    One tensor of logits, of any shape, per scale of the discriminator; E is the mean over a scale, then over the scales.
    Released code: the real samples are targets x_B, not exemplars y_B.
    """
    terms = [
        torch.relu(1 - real).mean() + torch.relu(1 + fake).mean() for real, fake in zip(real_logits, fake_logits, strict=True)
    ]
    return torch.stack(terms).mean()


def hinge_generator(fake_logits: Sequence[Tensor]) -> Float[Tensor, ""]:
    """Second line of the same equation: −E[D(x̂_B)], the mean over a scale, then over the scales."""
    return -torch.stack([fake.mean() for fake in fake_logits]).mean()


def log_discriminator(real_logits: Sequence[Tensor], fake_logits: Sequence[Tensor]) -> Float[Tensor, ""]:
    """What Dis maximises in the third term of Eq. (10), its sign turned: −log Dis(S, I) − log(1 − Dis(S, Î)).

    One tensor of logits per scale; Dis is their sigmoid. The mean over a scale, then over the scales.
    Released code: the hinge.
    """
    terms = [F.softplus(-real).mean() + F.softplus(fake).mean() for real, fake in zip(real_logits, fake_logits, strict=True)]
    return torch.stack(terms).mean()


def log_generator(fake_logits: Sequence[Tensor]) -> Float[Tensor, ""]:
    """What the generator minimises of the same term, as printed: log(1 − Dis(S, Î)), which is at most 0.

    Its slope vanishes where Dis is sure of itself; λ_adv = 10 in the paper. Released code: the hinge's −Dis(S, Î).
    """
    return -torch.stack([F.softplus(fake).mean() for fake in fake_logits]).mean()


def discriminator_matching(made: Sequence[Sequence[Tensor]], real: Sequence[Sequence[Tensor]]) -> Float[Tensor, ""]:
    """The feature matching loss of [SPADE] in Eq. (11): L1 between what the layers of D find in the made and in the real image.

    made, real: for each scale of the discriminator its activations and last its logits, which are not compared. The mean over
    the elements of a layer, then over the layers, then over the scales.
    """
    scales = [
        torch.stack([(one - other).abs().mean() for one, other in zip(mine[:-1], theirs[:-1], strict=True)]).mean()
        for mine, theirs in zip(made, real, strict=True)
    ]
    return torch.stack(scales).mean()
