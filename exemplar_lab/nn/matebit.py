"""The layers of MATEBIT: two encoders, the masked and adaptive transformer (MAT), style codes and their queue, the decoder."""

from itertools import pairwise
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from exemplar_lab.nn.blocks import ResidualBlock, conv, upsample
from exemplar_lab.nn.spade import SpadeNorm
from exemplar_lab.ops.correlation import cosine_score, normalise
from exemplar_lab.ops.masking import (
    Form,
    aggregate,
    masked_attend,
    masked_weight,
    reliable_share,
    unmatched_query,
)
from exemplar_lab.ops.modulation import adain, positional_norm

CoordinateNorm = Literal["position", "batch"]
Augmentation = Literal["adaconv", "feed-forward"]
Matching = Literal["masked", "unmasked", "full"]


class Encoder(nn.Module):
    """E_A or E_B: features at every scale, from the size of the image down to the grid of the match, each half as large.

    Instance normalisation stands only inside the residual blocks, whose way past keeps the colours that it takes.
    """

    def __init__(self, inputs: int, widths: tuple[int, ...], blocks: int):
        super().__init__()
        self.first = conv(inputs, widths[0])
        self.levels = nn.ModuleList(
            nn.Sequential(conv(before, after, 4, 2), nn.LeakyReLU(0.2), *(ResidualBlock(after, after) for _ in range(blocks)))
            for before, after in pairwise(widths)
        )

    def forward(self, image: Float[Tensor, "b i h w"]) -> list[Float[Tensor, "b _ _ _"]]:
        """Fine to coarse."""
        features = [F.leaky_relu(self.first(image), 0.2)]
        for level in self.levels:
            features.append(level(features[-1]))
        return features


class CoordinateAttention(nn.Module):
    """A gate per channel and row times a gate per channel and column, from the means along the other axis (Hou et al. 2021).

    norm: "batch" as in its paper and in the released code; "position", the default, so that the features of an image do not
    depend on the batch that it stands in.
    """

    def __init__(self, width: int, reduction: int = 32, norm: CoordinateNorm = "position"):
        super().__init__()
        hidden = max(8, width // reduction)
        self.squeeze = nn.Conv2d(width, hidden, 1)
        self.norm = nn.BatchNorm2d(hidden) if norm == "batch" else positional_norm
        self.of_rows, self.of_columns = nn.Conv2d(hidden, width, 1), nn.Conv2d(hidden, width, 1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        rows, columns = x.mean(3, keepdim=True), x.mean(2, keepdim=True).transpose(2, 3)
        both = F.hardswish(self.norm(self.squeeze(torch.cat([rows, columns], dim=2))))
        rows, columns = both.split([x.shape[2], x.shape[3]], dim=2)
        return x * self.of_rows(rows).sigmoid() * self.of_columns(columns).sigmoid().transpose(2, 3)


class AdaConv(nn.Module):
    """The AdaConv block of Fig. 3c, with its residual: depthwise, coordinate attention, pointwise, GELU, LN, pointwise.

    expansion: of the width between the two pointwise convolutions. Layer normalisation goes over the channels of a position.
    released: LN before the first pointwise convolution and a gain per channel that starts at 1e-6, as ConvNeXt has it, no
    spectral normalisation, and coordinate attention with batch normalisation.
    """

    def __init__(self, width: int, expansion: int = 4, released: bool = False):
        super().__init__()
        norm = (lambda layer: layer) if released else spectral_norm
        hidden = width * expansion
        self.depthwise = norm(nn.Conv2d(width, width, 7, padding=3, groups=width))
        self.coordinates = CoordinateAttention(width, norm="batch" if released else "position")
        self.norm = nn.LayerNorm(width if released else hidden, eps=1e-6)
        self.expand, self.reduce = norm(nn.Conv2d(width, hidden, 1)), norm(nn.Conv2d(hidden, width, 1))
        self.gain = nn.Parameter(torch.full((width, 1, 1), 1e-6)) if released else None

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        change = self.coordinates(self.depthwise(x))
        if self.gain is not None:
            return x + self.gain * self.reduce(F.gelu(self.expand(self._normed(change))))
        return x + self.reduce(self._normed(F.gelu(self.expand(change))))

    def _normed(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return self.norm(x.movedim(1, -1)).movedim(-1, 1)


class FeedForward(nn.Module):
    """What a vanilla transformer has in the place of AdaConv (Fig. 3a, Table 2): every position for itself, with a residual."""

    def __init__(self, width: int, expansion: int = 4):
        super().__init__()
        self.layers = nn.Sequential(conv(width, width * expansion, 1), nn.GELU(), conv(width * expansion, width, 1))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return x + self.layers(x)


class MaskedLinks(NamedTuple):
    """What a MAT block decided.

    warp: the exemplar by the weights that gathered. reliable: how far each row was believed. score: A of Eq. (1) and weight:
    Ã of Eq. (3), both b q k, where they were asked for.
    """

    warp: Float[Tensor, "b 3 h w"]
    reliable: Float[Tensor, "b h w"]
    score: Float[Tensor, "b q k"] | None = None
    weight: Float[Tensor, "b q k"] | None = None


class MATBlock(nn.Module):
    """Masked correspondence, reliability-adaptive aggregation, context-aware augmentation (Fig. 3b): X_MAT from X_A and Y_B.

    hidden: of the SPADE of Eq. (4). alpha, form: see `ops.masking`. matching: "unmasked" leaves the ReLU out (Table 2, w/o
    ReLU): the softmax is that of A, and reliable its expected cosine. "full" is a layer of full correspondence [CoCosNet]
    alone (→ Full Corr.): PONO(X_cor + Q), neither filled nor augmented.
    Queries and keys see the positions, values do not, so that a place carries its look and not its address (the paper adds
    them to X_A and Y_B, and so to V). μ and σ of Eq. (4) are those of a position over its channels; the paper does not say.
    values_see_colours: V is made from [Y_B, y_B↓] and not from Y_B alone.
    """

    def __init__(
        self,
        width: int,
        condition_channels: int,
        hidden: int,
        alpha: float,
        form: Form,
        matching: Matching,
        augmentation: Augmentation,
        values_see_colours: bool = False,
    ):
        super().__init__()
        self.query, self.key = conv(width, width, 1), conv(width, width, 1)
        self.value = conv(width + 3 * values_see_colours, width, 1)
        self.values_see_colours = values_see_colours
        full = matching == "full"
        self.modulate = None if full else SpadeNorm(width, condition_channels, hidden, "position")
        self.augment = None if full else AdaConv(width) if augmentation == "adaconv" else FeedForward(width)
        self.alpha, self.form, self.masked = alpha, form, matching == "masked"

    def forward(
        self,
        x: Float[Tensor, "b c h w"],
        y: Float[Tensor, "b c hk wk"],
        positions: Float[Tensor, "1 c h w"],
        key_positions: Float[Tensor, "1 c hk wk"],
        condition: Float[Tensor, "b cc _ _"],
        exemplar: Float[Tensor, "b 3 hk wk"],
        record: bool,
    ) -> tuple[Float[Tensor, "b c h w"], MaskedLinks]:
        """exemplar: y_B on the grid of the match, to be warped. record: keep scores and weights, b q k each."""
        query = self.query(x + positions)
        unit_query, unit_key = normalise(query), normalise(self.key(y + key_positions))
        # In [−1, 1], three colours would be a whisper beside the features.
        seen = torch.cat([y, 4 * exemplar - 2], dim=1) if self.values_see_colours else y
        values = torch.cat([self.value(seen), exemplar], dim=1).flatten(2).transpose(1, 2)
        score = weight = None
        if record or self.form != "cosine":
            score = cosine_score(unit_query, unit_key)
            form = self.form if self.masked else None
            weight = masked_weight(score, self.alpha, form) if form else torch.softmax(self.alpha * score, dim=-1)
            reliable = reliable_share(score, weight, form or "cosine")
            gathered = weight @ values
        else:
            gathered, reliable = masked_attend(unit_query, unit_key, values, self.alpha, self.masked)
        size = (x.shape[2], x.shape[3])
        gathered, warp = gathered.transpose(1, 2).unflatten(2, size).split([x.shape[1], 3], dim=1)
        links = MaskedLinks(warp, reliable.unflatten(1, size), score, weight)
        if self.modulate is None:
            return positional_norm(gathered + query), links
        unmatched = unmatched_query(links.reliable, self.modulate(query, condition))
        return self.augment(aggregate(gathered, unmatched, query)), links


def position_encoding(width: int, size: tuple[int, int], like: Tensor) -> Float[Tensor, "1 c h w"]:
    """Sines and cosines of x and y, at wave lengths from two images down to an eighth of one; `width` is a multiple of 4.

    The paper says "positional encoding" and no more. Released code: a learnt map of fixed size.
    """
    octaves = torch.arange(width // 4, device=like.device, dtype=like.dtype) * (4 / max(1, width // 4 - 1))
    waves = torch.pi * 2**octaves
    phases = [(torch.arange(side, device=like.device, dtype=like.dtype) + 0.5)[:, None] / side * waves for side in size]
    y, x = (torch.cat([phase.sin(), phase.cos()], dim=1) for phase in phases)
    height, wide = size
    both = torch.cat([y[:, None].expand(-1, wide, -1), x[None].expand(height, -1, -1)], dim=-1)
    return both.movedim(-1, 0)[None]


class StyleCode(nn.Module):
    """z = MLP(E_B(·)): the means of the exemplar's features at every scale, to a code of length one.

    Unit length, which the paper does not print, keeps Eq. (7) from being met by longer codes alone. No deviations and no
    biases: what all images have in common makes all codes alike. With the deviations, which instance normalisation keeps near
    one, the mean cosine between the codes of two portraits was 0.996 before training and 0.97 after it; without 0.75 before.
    """

    def __init__(self, widths: tuple[int, ...], code: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(sum(widths), elementwise_affine=False),
            nn.Linear(sum(widths), 2 * code, bias=False),
            nn.LeakyReLU(0.2),
            nn.Linear(2 * code, code, bias=False),
        )

    def forward(self, features: list[Float[Tensor, "b _ _ _"]]) -> Float[Tensor, "b z"]:
        return F.normalize(self.layers(torch.cat([feature.mean((2, 3)) for feature in features], dim=1)), dim=1)


class StyleQueue(nn.Module):
    """The style codes that Eq. (7) holds against an image: a buffer, so that checkpoints keep it.

    length: m, 1024 in the paper. `push` with `early` keeps the first m codes for good: "images generated in early training
    stages"; without it the newest m, first in, first out, as the released code does with the codes of exemplars. With 32 images
    a step the first 32 steps fill 1024 places, and a code stays what E_B made of its image then: the paper says neither how
    long the early stages last nor whether codes are renewed.
    """

    def __init__(self, length: int, code: int):
        super().__init__()
        self.register_buffer("codes", torch.zeros(length, code))
        self.register_buffer("pushed", torch.zeros((), dtype=torch.long))

    def negatives(self) -> Float[Tensor, "m z"]:
        """What has been pushed so far, no row before the first push; a copy, which a push before the backward pass spares."""
        return self.codes[: min(int(self.pushed), len(self.codes))].clone()

    @torch.no_grad()
    def push(self, codes: Float[Tensor, "b z"], early: bool) -> None:
        length, done = len(self.codes), int(self.pushed)
        codes = codes[: max(0, length - done)] if early else codes[-length:]
        place = (done + torch.arange(len(codes), device=self.codes.device)) % length
        self.codes[place] = codes.to(self.codes)
        self.pushed += len(codes)


class AdaINBlock(nn.Module):
    """x + AdaIN(conv(LReLU(AdaIN(conv(x))))): a residual block whose look the style code decides, for the whole image at once.

    style: width of z; None leaves each channel with mean 0 and deviation 1 (Table 2, w/o global style z).
    Released code: the deviation of AdaIN is what the linear layer says, while here it starts near 1; ReLU, reflection padding,
    and biased variances.
    """

    def __init__(self, width: int, style: int | None):
        super().__init__()
        self.convs = nn.ModuleList(conv(width, width, bias=False) for _ in range(2))
        self.modulate = nn.Linear(style, 2 * width) if style else None

    def forward(self, x: Float[Tensor, "b c h w"], style: Float[Tensor, "b z"]) -> Float[Tensor, "b c h w"]:
        if self.modulate is None:
            mean, deviation = x.new_zeros(x.shape[:2]), x.new_ones(x.shape[:2])
        else:
            mean, deviation = self.modulate(style * style.shape[1] ** 0.5).chunk(2, dim=1)
            deviation = 1 + deviation
        change = F.leaky_relu(adain(self.convs[0](x), mean, deviation), 0.2)
        return x + adain(self.convs[1](change), mean, deviation)


class Decoder(nn.Module):
    """D_B: from X_MAT to the image, each scale joined by the structure's features of that scale (U-Net) and styled by z.

    widths: of the encoder, fine to coarse. skips: False takes the structure's features away (Table 2, w/o skip connection).
    """

    def __init__(self, widths: tuple[int, ...], blocks: int, style: int | None, skips: bool):
        super().__init__()
        coarse_to_fine = widths[::-1]
        self.skips = skips
        self.blocks = nn.ModuleList(nn.ModuleList(AdaINBlock(width, style) for _ in range(blocks)) for width in coarse_to_fine)
        self.narrow = nn.ModuleList(conv(before + after * skips, after) for before, after in pairwise(coarse_to_fine))
        self.last = conv(widths[0], 3)

    def forward(
        self, x: Float[Tensor, "b c h w"], structure: list[Float[Tensor, "b _ _ _"]], style: Float[Tensor, "b z"]
    ) -> Float[Tensor, "b 3 H W"]:
        for step, blocks in enumerate(self.blocks):
            if step:
                x = upsample(x)
                if self.skips:
                    x = torch.cat([x, structure[-1 - step]], dim=1)
                x = F.leaky_relu(self.narrow[step - 1](x), 0.2)
            for block in blocks:
                x = block(x, style)
        return torch.sigmoid(2 * self.last(F.leaky_relu(x, 0.2)))
