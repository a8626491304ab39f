"""Contrast: what belongs together against everything else at hand (InfoNCE, van den Oord et al. 2018)."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor


def info_nce(query: Float[Tensor, "b c"], key: Float[Tensor, "b c"], temperature: float = 0.1) -> Float[Tensor, ""]:
    """−log softmax of cosine / temperature at the pair itself, over all keys of the batch; the mean of both directions.

    log b for features that tell nothing, 0 for those that tell everything.
    """
    score = F.normalize(query, dim=1) @ F.normalize(key, dim=1).T / temperature
    own = torch.arange(len(score), device=score.device)
    return (F.cross_entropy(score, own) + F.cross_entropy(score.T, own)) / 2


def dense_info_nce(
    query: Float[Tensor, "b c n"],
    key: Float[Tensor, "b c n"],
    near: Bool[Tensor, "b n n"] | None = None,
    temperature: float = 0.07,
) -> Float[Tensor, ""]:
    """The same for n points of each image: a point against the other points of its own image, both directions.

    near: points so close to the right one that they are no wrong answer; the right one itself always counts.
    """
    score = torch.einsum("bcq,bck->bqk", F.normalize(query, dim=1), F.normalize(key, dim=1)) / temperature
    points = score.shape[-1]
    if near is not None:
        score = score.masked_fill(near & ~torch.eye(points, dtype=torch.bool, device=score.device), -1e4)
    own = torch.arange(points, device=score.device).expand(len(score), -1)
    return (F.cross_entropy(score, own) + F.cross_entropy(score.transpose(1, 2), own)) / 2


def contrastive_style(
    anchor: Float[Tensor, "b d"], positive: Float[Tensor, "b d"], negatives: Float[Tensor, "m d"], temperature: float = 0.07
) -> Float[Tensor, ""]:
    """Eq. (7) of [MATEBIT]: −log(exp(zᵀz⁺/τ) / (exp(zᵀz⁺/τ) + Σ_j exp(zᵀz_j⁻/τ))), the mean over the batch.

    anchor: z, style codes of the generated images. positive: z⁺, those of their exemplars. negatives: z_j⁻, those of early
    generated images, which the paper keeps in a queue of m = 1024. temperature: τ.
    As printed, without any normalisation: codes of any length would lower the loss by growing, with nothing learned, so give
    unit vectors, as the model here does; then one negative at the positive's own place costs log 2, and m of them log(1 + m).
    Without negatives 0.
    Released code: z⁺ detached; the negatives are codes of earlier exemplars, and nothing makes the codes unit vectors.
    """
    score = torch.cat([(anchor * positive).sum(1, keepdim=True), anchor @ negatives.T], dim=1) / temperature
    return (score.logsumexp(1) - score[:, 0]).mean()
