"""How well something can be told from features by the simplest reader there is: a linear map, fitted by least squares."""

import torch
from jaxtyping import Float
from torch import Tensor


def fit_readout(
    feature: Float[Tensor, "n c"], answer: Float[Tensor, "n a"], ridge: float = 1e-3, floor: float = 0.03
) -> tuple[Float[Tensor, "c a"], Float[Tensor, " a"]]:
    """Weight and bias: `feature @ weight + bias` is the linear map that comes nearest to `answer`, in squares.

    ridge: what a weight costs, each feature measured in its deviation. floor: features that vary by much less than this, in
    their own unit, are hardly read: where a normalisation has taken everything, rounding is left, and rounding can be read too.
    Solved in double precision; given back in the precision of `feature`.
    """
    x, y = feature.double(), answer.double()
    middle, unit = x.mean(0), (x.var(0, correction=0) + floor**2).sqrt()
    x = (x - middle) / unit
    of_pairs = x.T @ x / len(x) + ridge * torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    weight = torch.linalg.solve(of_pairs, x.T @ (y - y.mean(0)) / len(x)) / unit[:, None]
    return weight.to(feature), (y.mean(0) - middle @ weight).to(feature)
