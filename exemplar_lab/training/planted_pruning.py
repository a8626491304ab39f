"""A decision that does prune, learnt in seconds: the match is planted, and the filled image (Eq. 8) is the only lesson."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from exemplar_lab.correspondence import DenseMatch
from exemplar_lab.data.synth.plane import plane_pairs
from exemplar_lab.nn.dynast import DynaSTBlock
from exemplar_lab.ops.pruning import decide, fill_lost_mass, prune

TAU = 20.0
"""Factor of the scores."""


def taught_to_prune(steps: int = 120, side: int = 12, pairs: int = 4, rate: float = 5e-3, seed: int = 0) -> DynaSTBlock:
    """Ω and Φ of a block, taught by Eq. (8): gathered colours, and for the lost mass what a small network suggests from the
    structure, shall look like the target. It starts with decisions half yes and half no (see notebook 03).

    steps, pairs: of training, and in each of them. side: of the planes, in cells.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        block = DynaSTBlock(64, 0, 32, 1, 8, TAU)
        block.omega[-1].reset_parameters()
        block.phi[-1].reset_parameters()
        suggest = nn.Sequential(nn.Conv2d(1, 8, 1), nn.ReLU(), nn.Conv2d(8, 3, 1))
        optimiser = torch.optim.Adam([*block.omega.parameters(), *block.phi.parameters(), *suggest.parameters()], lr=rate)
        for step in range(steps):
            batch, query, key = plane_pairs(3 ** (2 * torch.rand(pairs) - 1), side, seed=10_000 * (seed + 1) + step)
            match = pruned_match(block, query, key, (side, side))
            filled = fill_lost_mass(match.warp(batch.exemplar * 2 - 1), match.mass(), suggest(batch.condition))
            optimiser.zero_grad()
            (filled - (batch.target * 2 - 1)).square().mean().backward()
            optimiser.step()
    return block.eval()


def pruned_match(
    block: DynaSTBlock, query: Float[Tensor, "b q c"], key: Float[Tensor, "b k c"], size: tuple[int, int]
) -> DenseMatch:
    """The softmax of planted features with the links that the block keeps; what it cuts has no weight, and rows lose mass."""
    weight = (TAU * query @ key.transpose(1, 2)).softmax(-1)
    return DenseMatch(size, size, prune(weight, decide(block.omega(query) @ block.phi(key).transpose(1, 2))))
