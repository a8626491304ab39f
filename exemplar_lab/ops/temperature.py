"""A match as it were at another temperature: every row at once what `rows.reweighted` does to one."""

from jaxtyping import Float
from torch import Tensor

from exemplar_lab.correspondence import DenseMatch


def at_temperature(match: DenseMatch, temperature: float) -> DenseMatch:
    """The match whose softmax had `temperature` times its temperature: w^(1/temperature), scaled to the mass of the row.

    Links without any weight stay without. Raises ValueError for a temperature that is not above 0.
    """
    if not temperature > 0:
        raise ValueError(f"got a temperature of {temperature}, expected one above 0: 1 leaves the match as it is")
    if temperature == 1:
        return match
    mass = match.weight.sum(-1, keepdim=True)
    return DenseMatch(match.query_size, match.key_size, _softened(match.weight, temperature) * mass)


def _softened(weight: Float[Tensor, "b q k"], temperature: float) -> Float[Tensor, "b q k"]:
    """Rows that sum to one; a row without any weight stays zero."""
    return (weight.log() / temperature).softmax(-1).nan_to_num(nan=0.0)
