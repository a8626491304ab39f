"""The layers of DynaST: patch embeddings of all sizes, positions that grow with the scale, and the block that matches, prunes
and fills what was pruned."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from exemplar_lab.correspondence import DenseMatch, SparseMatch
from exemplar_lab.gather import gather_dot
from exemplar_lab.nn.blocks import ResidualBlock, upsample
from exemplar_lab.nn.spade import SpadeNorm
from exemplar_lab.ops.attention import dense_attention, sparse_attention
from exemplar_lab.ops.candidates import first_of_each
from exemplar_lab.ops.modulation import positional_norm
from exemplar_lab.ops.pruning import decide, fill_lost_mass, kept_weight, prune

MatchNorm = Literal["unit", "instance", "channel"]

EPSILON = 1e-2
"""ε of Eq. (12), relative to the best link of a row. The gradient of a row that keeps nothing is 1 / ε times that of another:
with 1e-8 one such row would outweigh all others, with 1e-2 a warp loses a hundredth of its colour where the best link is kept,
and fades to grey where only links far weaker than the best are."""


class PatchEmbedding(nn.Module):
    """Eq. (1) of [DynaST]: F^i = X([E^j(S)' | 0 ≤ j < M]): every scale sees the patches of all scales.

    inputs: channels of S_tgt, or of [S_ref, I_ref]. widths: channels of F^i, coarse to fine; patches: channels of each E^j, a
    linear map of patches of 2^j × 2^j pixels. ' brings them to the size of scale i: bilinear upwards, and downwards the mean,
    since bilinear samples would skip most of the patches. scales: so many F^i, the coarse ones; None for all.
    Printed is 0 < j < M; without j = 0 no pixel would be seen as such.
    X, Y, "two convolutional blocks", are a residual block: its way past keeps the colours that instance normalisation takes.
    Released code: a pyramid of strided convolutions; the class with the patches is there and never used.
    """

    def __init__(self, inputs: int, widths: tuple[int, ...], patches: int, scales: int | None = None):
        super().__init__()
        self.scales = scales or len(widths)
        self.patches = nn.ModuleList(_conv(inputs, patches, 2**j, 2**j) for j in range(len(widths)))
        self.mix = nn.ModuleList(ResidualBlock(patches * len(widths), width) for width in widths[: self.scales])

    def forward(self, image: Float[Tensor, "b i h w"]) -> list[Float[Tensor, "b _ _ _"]]:
        """F^i, coarse to fine."""
        embedded = [patch(image) for patch in self.patches]
        return [
            mix(torch.cat([_resized(one, of_scale.shape[-2:]) for one in embedded], dim=1))
            for mix, of_scale in zip(self.mix, reversed(embedded), strict=False)
        ]


@torch.no_grad()
def start_alike(target: PatchEmbedding, reference: PatchEmbedding) -> None:
    """Give the reference's embedding the target's weights, where both see a structure: equal structures then start as equal
    features, and a match of structures is there before anything is learnt.

    I_ref starts with the gain it would have alone: beside the 35 channels of a pose its three would be a whisper, and the
    colours of the exemplar reached no image within 700 steps. Ours, and a matter of initial values only: the two embeddings
    are independent from the first step on, as Eq. (1) wants them.
    """
    for of_target, of_reference in zip(target.patches, reference.patches, strict=True):
        channels = of_target.weight.shape[1]
        nn.init.kaiming_normal_(of_reference.weight[:, channels:], 0.2, nonlinearity="leaky_relu")
        of_reference.weight[:, :channels] = of_target.weight
        of_reference.bias.copy_(of_target.bias)
    for of_target, of_reference in zip(target.mix, reference.mix, strict=False):
        of_reference.load_state_dict(of_target.state_dict())


class PositionMaps(nn.Module):
    """Eq. (16), (17) of [DynaST]: pos_{M−1} is learnt, pos_i = LReLU(Conv(Up(pos_{i+1}))), and each is joined to its F^i.

    size: (h, w) of the coarsest scale; widths: channels, coarse to fine. An image of another size gets the learnt map resized.
    """

    def __init__(self, size: tuple[int, int], widths: tuple[int, ...]):
        super().__init__()
        self.coarsest = nn.Parameter(0.1 * torch.randn(1, widths[0], *size) / widths[0] ** 0.5)
        self.grow = nn.ModuleList(_conv(before, after) for before, after in pairwise(widths))

    def forward(self, size: tuple[int, int]) -> list[Float[Tensor, "1 _ _ _"]]:
        """pos_i, coarse to fine, for a coarsest scale of `size`."""
        maps = [_resized(self.coarsest, size)]
        for conv in self.grow:
            maps.append(F.leaky_relu(conv(upsample(maps[-1])), 0.2))
        return maps


@dataclass(frozen=True)
class Links:
    """What a block decided: scores, weights and decisions over the candidates `index`; over all positions where it is None."""

    query_size: tuple[int, int]
    key_size: tuple[int, int]
    index: Int[Tensor, "b q t"] | None
    counted: Bool[Tensor, "b q t"] | None
    score: Float[Tensor, "b q t"]
    weight: Float[Tensor, "b q t"]
    """A, before pruning: what the next block chooses its candidates by."""
    keep: Float[Tensor, "b q t"]

    def match(self, weight: Float[Tensor, "b q t"]) -> DenseMatch | SparseMatch:
        """The record with any weights over these links."""
        if self.index is None:
            return DenseMatch(self.query_size, self.key_size, weight)
        return SparseMatch(self.query_size, self.key_size, self.index, weight)

    def pruned(self) -> DenseMatch | SparseMatch:
        """Ã: what the features are gathered with; the mass that is missing was filled by SPADE."""
        return self.match(prune(self.weight, self.keep))

    def warp(self, image: Float[Tensor, "b c hk wk"], released: bool = False) -> Float[Tensor, "b c hq wq"]:
        """Eq. (13) of [DynaST]: Î_warp = W I'_ref, with the weights W of the kept links alone (Eq. 12)."""
        return self.match(kept_weight(self.score, self.keep, self.counted, EPSILON, released)).warp(image)


class DynaSTBlock(nn.Module):
    """Match, prune, gather, fill, refine: one block of any of the three kinds, which differ in their candidates only.

    width, position, decision: channels of F, pos, and of the space of Ω and Φ. hidden: of the SPADE that fills what was pruned.
    norm: how features become queries and keys before α and β; pos joins them. "instance" is Eq. (2) as printed: instance
        normalisation of [F, pos]. With τ = 100 and 640 channels its scores have a deviation of 2,530, every row has one single
        link, and the softmax passes no gradient. "unit", the default, scales what instance normalisation left of each position
        to length one, so that scores are cosines times τ, and joins pos after that. "channel" leaves instance normalisation
        out, as the released code does: then the overall colours stay in the keys, which no query can know.
    once: a position that stands several times among the candidates counts once.
    Norm of Eq. (8), (9) is `positional_norm`, over the channels of each position without gain and shift, as in the released
    code.
    """

    def __init__(
        self,
        width: int,
        position: int,
        decision: int,
        condition_channels: int,
        hidden: int,
        tau: float,
        norm: MatchNorm = "unit",
        pruning: bool = True,
        once: bool = False,
    ):
        super().__init__()
        self.tau, self.norm, self.once = tau, norm, once
        joined = width + position
        self.alpha, self.beta = (nn.Linear(joined, joined, bias=False) for _ in range(2))
        for projection in (self.alpha, self.beta):
            nn.init.eye_(projection.weight)
        self.omega, self.phi = (_decision_mlp(width, decision), _decision_mlp(width, decision)) if pruning else (None, None)
        self.eta = nn.Linear(width, width)
        self.restore = SpadeNorm(width, condition_channels, hidden, "position") if pruning else None
        self.refine = nn.Sequential(_conv(width, width), nn.ReLU(), _conv(width, width))

    def forward(
        self,
        target: Float[Tensor, "b c h w"],
        reference: Float[Tensor, "b c hk wk"],
        position: tuple[Float[Tensor, "1 p h w"], Float[Tensor, "1 p hk wk"]],
        condition: Float[Tensor, "b cc hc wc"],
        index: Int[Tensor, "b q t"] | None = None,
    ) -> tuple[Float[Tensor, "b c h w"], Links]:
        """The target's features with what was found in the reference, and the links it was found by.

        position: of target and reference. condition: S_tgt at any size. index: candidates; None looks everywhere (Eq. 2).
        """
        links = self._links(target, reference, position, index)
        pruned = links.pruned()
        value = _image(self.eta(_tokens(reference)), reference.shape[-2:])
        found = pruned.warp(value)
        if self.restore is not None:
            found = fill_lost_mass(found, pruned.mass(), self.restore(target, condition))
        return self._refined(positional_norm(found + target)), links

    def _links(self, target: Tensor, reference: Tensor, position: tuple[Tensor, Tensor], index: Tensor | None) -> Links:
        query = self.alpha(self._normalised(target, position[0]))
        key = self.beta(self._normalised(reference, position[1]))
        counted = first_of_each(index) if self.once and index is not None else None
        if index is None:
            score, weight = dense_attention(query, key, self.tau)
        else:
            score, weight = sparse_attention(query, key, index, self.tau, counted)
        sizes = tuple(target.shape[-2:]), tuple(reference.shape[-2:])
        return Links(*sizes, index, counted, score, weight, self._keep(target, reference, index, score))

    def _keep(self, target: Tensor, reference: Tensor, index: Tensor | None, score: Tensor) -> Tensor:
        """D of Eq. (5); all links where nothing is pruned.

        Ours: the decision learns from the features and does not shape them, since the gradient of a step that is taken for a
        sigmoid is large and often wrong. A run of 1000 steps without this, and without a bound on the gradient's length, fell
        apart after 650; which of the two it needs was not separated.
        """
        if self.omega is None:
            return torch.ones_like(score)
        query, key = self.omega(_tokens(target).detach()), self.phi(_tokens(reference).detach())
        return decide(query @ key.transpose(1, 2) if index is None else gather_dot(query, key, index))

    def _normalised(self, feature: Float[Tensor, "b c h w"], position: Float[Tensor, "1 p h w"]) -> Float[Tensor, "b n d"]:
        position = position.expand(len(feature), -1, -1, -1)
        if self.norm == "instance":
            return _tokens(F.instance_norm(torch.cat([feature, position], dim=1)))
        feature = F.instance_norm(feature) if self.norm == "unit" else feature
        return torch.cat([F.normalize(_tokens(feature), dim=2), _tokens(position)], dim=2)

    def _refined(self, feature: Tensor) -> Tensor:
        """Eq. (9) of [DynaST]: Norm(F' + Conv(ReLU(Conv(F')))).

        Released code: no norm after it, PReLU and BatchNorm inside.
        """
        return positional_norm(feature + self.refine(feature))


class Decoder(nn.Module):
    """A light decoder: from the coarsest features up, each scale joined by those of the transformer at that scale (Fig. 2)."""

    def __init__(self, widths: tuple[int, ...]):
        super().__init__()
        self.first = _conv(widths[0], widths[0])
        self.join = nn.ModuleList(_conv(before + after, after) for before, after in pairwise(widths))
        self.last = nn.Conv2d(widths[-1], 3, 3, padding=1)

    def forward(self, features: list[Float[Tensor, "b _ _ _"]]) -> Float[Tensor, "b 3 h w"]:
        """features: coarse to fine. The image in [0, 1]."""
        x = F.leaky_relu(self.first(features[0]), 0.2)
        for join, feature in zip(self.join, features[1:], strict=True):
            x = F.leaky_relu(join(torch.cat([upsample(x), feature], dim=1)), 0.2)
        return torch.sigmoid(2 * self.last(x))


def _conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    """A plain convolution that starts with the gain of a rectifier: with torch's own start, which halves each layer's signal,
    the exemplar's colours reached no image within the first hundred steps."""
    layer = nn.Conv2d(inputs, outputs, kernel, stride, padding=(kernel - 1) // 2 if stride == 1 else 0)
    nn.init.kaiming_normal_(layer.weight, 0.2, nonlinearity="leaky_relu")
    nn.init.zeros_(layer.bias)
    return layer


def _decision_mlp(width: int, decision: int) -> nn.Module:
    """Ω or Φ. Its bias makes P > 0 everywhere at first: links are kept until there is a reason to cut them."""
    last = nn.Linear(width, decision)
    nn.init.normal_(last.weight, std=0.1 * width**-0.5)
    nn.init.constant_(last.bias, decision**-0.5)
    return nn.Sequential(nn.Linear(width, width), nn.LeakyReLU(0.2), last)


def _resized(feature: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(feature.shape[-2:]) == tuple(size):
        return feature
    down = size[0] < feature.shape[-2]
    return F.adaptive_avg_pool2d(feature, size) if down else F.interpolate(feature, size, mode="bilinear", align_corners=False)


def _tokens(feature: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n c"]:
    return feature.flatten(2).transpose(1, 2)


def _image(token: Float[Tensor, "b n c"], size: tuple[int, int]) -> Float[Tensor, "b c h w"]:
    return token.transpose(1, 2).unflatten(2, tuple(size))
