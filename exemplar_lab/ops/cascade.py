"""DynaST's matching blocks one after the other, with nothing learnt between them, and what they cost.

No equation lives here: the blocks are those of `candidates`, `attention` and `correlation`.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.correspondence import DenseMatch, SparseMatch
from exemplar_lab.ops.attention import sparse_attention
from exemplar_lab.ops.candidates import first_of_each, inner_scale, inter_scale, kept_candidates, top_candidates
from exemplar_lab.ops.correlation import cosine_score, softmax_match


class CascadeLayer(NamedTuple):
    """One block: its kind, its match, whose `index` holds the candidates (of a sparse one), and the best k of each row."""

    kind: Literal["dense", "inter", "inner"]
    match: DenseMatch | SparseMatch
    kept: Int[Tensor, "b q k"]


def match_cascade(
    queries: Sequence[Float[Tensor, "b _ _"]],
    keys: Sequence[Float[Tensor, "b _ _"]],
    sizes: Sequence[tuple[int, int]],
    top_k: int = 4,
    tau: float = 100.0,
    inner: int = 1,
    once: bool = False,
) -> list[CascadeLayer]:
    """Dense on the coarsest grid; on every finer one an inter-scale block and `inner` inner-scale blocks.

    queries, keys: b q c for each scale, vectors of length one, coarse to fine; sizes: (h, w) of the grids, which target and
        exemplar share, each twice as fine as the last.
    top_k: k, how many candidates each row hands on; 4 in the paper. tau: τ, 100 in the paper.
    inner: 0 is the ablation "wo Inner"; the second inter-scale block it has there would see the same candidates again.
    once: each position counts once, in the softmax and among the k. Released code: as often as it stands.
    """
    if not len(queries) == len(keys) == len(sizes):
        raise ValueError(
            f"got {len(queries)} queries, {len(keys)} keys and {len(sizes)} sizes, expected one of each for every scale: "
            "cut the longer lists"
        )
    for coarse, fine in zip(sizes, sizes[1:], strict=False):
        if fine != (2 * coarse[0], 2 * coarse[1]):
            raise ValueError(f"got a grid of {fine} after {coarse}, expected {2 * coarse[0], 2 * coarse[1]}: double each side")
    dense = softmax_match(cosine_score(queries[0], keys[0]), sizes[0], sizes[0], 1 / tau)
    layers = [CascadeLayer("dense", dense, top_candidates(dense.weight, top_k))]
    for query, key, coarse, size in zip(queries[1:], keys[1:], sizes, sizes[1:], strict=False):
        layers.append(_block("inter", inter_scale(layers[-1].kept, coarse, coarse), query, key, size, top_k, tau, once))
        for _ in range(inner):
            layers.append(_block("inner", inner_scale(layers[-1].kept, size, size), query, key, size, top_k, tau, once))
    return layers


def _block(kind, index, query, key, size, top_k, tau, once) -> CascadeLayer:
    counted = first_of_each(index) if once else None
    _, weight = sparse_attention(query, key, index, tau, counted)
    # Repetitions have no weight by now; -1 puts them behind positions whose weight is too small for a float.
    rank = weight if counted is None else weight.masked_fill(~counted, -1.0)
    return CascadeLayer(kind, SparseMatch(size, size, index, weight), kept_candidates(rank, index, top_k))


class Cost(NamedTuple):
    """What the scores and weights of one block cost for one pair, in float32 and int64; projections and values left out.

    scores: how many. flops: of the scores, 2 c each. moved: bytes read and written when a dense block reads each feature once
    and a sparse one each candidate's features where they lie. held: bytes of the weights, and of the indices of a sparse block.
    """

    scores: int
    flops: int
    moved: int
    held: int


def cascade_cost(
    sides: Sequence[int], channels: Sequence[int], top_k: int = 4, inner: int = 1, gathered: bool = False
) -> list[Cost]:
    """The cost of every block of `match_cascade` on square grids; of one side, that of dense attention.

    gathered: the candidates' features are written out first, as the released code does, t · c numbers for each position.
    """
    positions = [side * side for side in sides]
    width = channels[0]
    costs = [_cost(positions[0], positions[0], width, 4 * (2 * positions[0] * width), 0)]
    for count, width in zip(positions[1:], channels[1:], strict=True):
        for links in (4 * top_k, *[5 * top_k] * inner):
            vectors = 4 * count * links * width
            read = 4 * count * width + vectors + 8 * count * links
            costs.append(_cost(count, links, width, read + 2 * vectors * gathered, 8 * count * links + vectors * gathered))
    return costs


def _cost(positions: int, links: int, width: int, read: int, held: int) -> Cost:
    scores = positions * links
    return Cost(scores, 2 * width * scores, read + 4 * scores, held + 4 * scores)
