"""Weights as they were at another temperature: of one row (`ops.rows.reweighted`), or of a whole match."""

from jaxtyping import Float
from torch import Tensor

from exemplar_lab.correspondence import DenseMatch


def softened(weight: Float[Tensor, "*rows k"], temperature: float) -> Float[Tensor, "*rows k"]:
    """w^(1/temperature), scaled to the mass of its row: a softmax at temperature τ becomes one at `temperature` · τ.

    Links without any weight stay without. Raises ValueError for a temperature that is not above 0.
    """
    if not temperature > 0:
        raise ValueError(f"got a temperature of {temperature}, expected one above 0: 1 leaves the weights as they are")
    return (weight.log() / temperature).softmax(-1).nan_to_num(nan=0.0) * weight.sum(-1, keepdim=True)


def at_temperature(match: DenseMatch, temperature: float) -> DenseMatch:
    """The match whose softmax had `temperature` times its temperature; 1 gives the match itself. ValueError as `softened`."""
    if temperature == 1:
        return match
    return DenseMatch(match.query_size, match.key_size, softened(match.weight, temperature))
