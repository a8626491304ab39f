"""MATEBIT: a masked correspondence refined by several transformer blocks, a style code for what no match explains, a U-Net."""

from dataclasses import asdict, dataclass
from typing import get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from exemplar_lab.correspondence import DenseMatch
from exemplar_lab.models.config import check_settings
from exemplar_lab.nn.matebit import (
    Augmentation,
    Decoder,
    Encoder,
    MATBlock,
    Matching,
    StyleCode,
    StyleQueue,
    position_encoding,
)
from exemplar_lab.ops.masking import Form
from exemplar_lab.translation import Translation


@dataclass(frozen=True)
class MATEBITConfig:
    """Widths and choices. The paper prints α, the three blocks, m and the size; its widths stand in a supplement that is not
    public, so the defaults follow the released code's: 32² for the match and about 105 M parameters.

    size: side of the images. condition_channels: of x_A.
    widths: of the encoders, fine to coarse; each scale is half as large as the one before, the first has the side `size`, the
        last is the grid of the match. encoder_blocks, decoder_blocks: residual blocks per scale.
    blocks: MAT blocks; 0 takes them away (Table 2, w/o MAT). alpha: α. form: see `ops.masking`. matching, augmentation: see
        `MATBlock`. style_hidden: of the SPADE in it.
    style: width of z. queue: m. global_style, skips: False takes z, or the skip connections, from the decoder (Table 2).
    exemplar_sees_condition: E_B sees the exemplar's own condition beside the image, which the paper does not give it.
    values_see_colours: the values V see the exemplar's colours on the grid beside E_B's features; not in the paper either.
    Raises ValueError for settings that make no network.
    """

    size: int = 256
    condition_channels: int = 3
    widths: tuple[int, ...] = (64, 128, 256, 512)
    encoder_blocks: int = 4
    decoder_blocks: int = 4
    blocks: int = 3
    alpha: float = 100.0
    form: Form = "cosine"
    matching: Matching = "masked"
    augmentation: Augmentation = "adaconv"
    style_hidden: int = 256
    style: int = 256
    queue: int = 1024
    global_style: bool = True
    skips: bool = True
    exemplar_sees_condition: bool = False
    values_see_colours: bool = False

    def __post_init__(self):
        widths = (
            len(self.widths) > 1 and all(width >= 8 and width % 4 == 0 for width in self.widths),
            f"widths {self.widths}",
            "two or more, multiples of 4 from 8 on",
        )
        check_settings("MATEBITConfig", [widths])
        step = 2 ** (len(self.widths) - 1)
        choices = {"form": Form, "matching": Matching, "augmentation": Augmentation}
        check_settings(
            "MATEBITConfig",
            (
                (self.size > step and self.size % step == 0, f"size {self.size}", f"a multiple of {step}, at least {2 * step}"),
                *(
                    (getattr(self, name) > 0, f"{name} {getattr(self, name)}", "at least 1")
                    for name in ("condition_channels", "decoder_blocks", "style_hidden", "style", "queue")
                ),
                *(
                    (getattr(self, name) >= 0, f"{name} {getattr(self, name)}", "at least 0")
                    for name in ("encoder_blocks", "blocks")
                ),
                (self.alpha > 0, f"alpha {self.alpha}", "a number above 0"),
                *(
                    (getattr(self, name) in get_args(kind), f"{name} {getattr(self, name)!r}", f"one of {get_args(kind)}")
                    for name, kind in choices.items()
                ),
            ),
        )

    def to_dict(self) -> dict:
        return asdict(self)


class MATEBIT(nn.Module):
    """The whole of the paper's Fig. 2. Built from `MATEBITConfig`; see `forward`.

    The paper says that all layers are spectrally normalised. Here all convolutions are, but those of coordinate attention,
    which only make gates; linear layers are not.
    """

    def __init__(self, config: MATEBITConfig):
        super().__init__()
        self.config = config
        width = config.widths[-1]
        self.condition_encoder = Encoder(config.condition_channels, config.widths, config.encoder_blocks)
        sees = 3 + config.condition_channels * config.exemplar_sees_condition
        self.exemplar_encoder = Encoder(sees, config.widths, config.encoder_blocks)
        self.style = StyleCode(config.widths, config.style)
        self.queue = StyleQueue(config.queue, config.style)
        self.blocks = nn.ModuleList(
            MATBlock(
                width,
                config.condition_channels,
                config.style_hidden,
                config.alpha,
                config.form,
                config.matching,
                config.augmentation,
                config.values_see_colours,
            )
            for _ in range(config.blocks)
        )
        self.decoder = Decoder(
            config.widths, config.decoder_blocks, config.style if config.global_style else None, config.skips
        )

    def forward(
        self,
        condition: Float[Tensor, "b cc h w"],
        exemplar: Float[Tensor, "b 3 h w"],
        exemplar_condition: Float[Tensor, "b cc h w"] | None = None,
        *,
        record: bool = True,
    ) -> Translation:
        """The image that has the structure of `condition` and the look of `exemplar`.

        condition, exemplar: x_A and y_B in [0, 1], of one size: that of the config, or another multiple of the coarsest cell.
        exemplar_condition: used only with `exemplar_sees_condition`, and then needed.
        record: True gives one `DenseMatch` per MAT block, with the weights Ã of Eq. (3) that gathered its values.
        Returned warps: the exemplar by the weights of each block, as in Eq. (9).
        Returned features: `structure`, E_A(x_A) as Eq. (8) compares it; `style`, z of the exemplar; `reliable` b blocks hq wq,
            how far each row was believed (what Eq. 5 takes from one); with `record` also `score`, A of Eq. (1), b blocks q k.
        Raises ValueError when sizes or channels do not fit.
        """
        self._check(condition, exemplar, exemplar_condition)
        structure = self.condition_encoder(condition)
        seen = self._encode_exemplar(exemplar, exemplar_condition)
        x, y = _on_grid(structure), _on_grid(seen)
        size = (x.shape[2], x.shape[3])
        features = {"structure": x, "style": self.style(seen)}
        positions = position_encoding(x.shape[1], size, x)
        small = F.interpolate(exemplar, size, mode="area")
        links = []
        for block in self.blocks:
            x, one = block(x, y, positions, positions, condition, small, record)
            links.append(one)
        if links:
            features["reliable"] = torch.stack([one.reliable for one in links], dim=1)
            if record:
                features["score"] = torch.stack([one.score for one in links], dim=1)
        image = self.decoder(x, structure, features["style"])
        matches = tuple(DenseMatch(size, size, one.weight) for one in links) if record else ()
        return Translation(image, tuple(one.warp for one in links), matches, features)

    def align(
        self, image: Float[Tensor, "b 3 h w"], condition: Float[Tensor, "b cc h w"] | None = None
    ) -> Float[Tensor, "b c hs ws"]:
        """E_B(x_B): what Eq. (8) compares with `structure`."""
        return _on_grid(self._encode_exemplar(image, condition))

    def style_code(
        self, image: Float[Tensor, "b 3 h w"], condition: Float[Tensor, "b cc h w"] | None = None
    ) -> Float[Tensor, "b z"]:
        """z of any image, of length one: of the generated one, and of the exemplar, Eq. (7) compares them."""
        return self.style(self._encode_exemplar(image, condition))

    def _encode_exemplar(self, image: Tensor, condition: Tensor | None) -> list[Tensor]:
        image = image * 2 - 1
        return self.exemplar_encoder(torch.cat([condition, image], dim=1) if self.config.exemplar_sees_condition else image)

    def _check(self, condition: Tensor, exemplar: Tensor, exemplar_condition: Tensor | None) -> None:
        step = 2 ** (len(self.config.widths) - 1)
        height, width = condition.shape[-2:]
        if height % step or width % step or min(height, width) < 2 * step:
            raise ValueError(
                f"got condition of {height} × {width}, expected multiples of {step}, at least {2 * step}: resize or crop it"
            )
        inputs = [("condition", condition, self.config.condition_channels), ("exemplar", exemplar, 3)]
        if self.config.exemplar_sees_condition:
            if exemplar_condition is None:
                raise ValueError(
                    "got no exemplar_condition, expected the exemplar's structure: this model was trained to see it beside the "
                    "image"
                )
            inputs.append(("exemplar_condition", exemplar_condition, self.config.condition_channels))
        for name, tensor, channels in inputs:
            expected = (len(condition), channels, height, width)
            if tuple(tensor.shape) != expected:
                raise ValueError(
                    f"got {name} of shape {tuple(tensor.shape)}, expected {expected}: resize or repeat it, "
                    "or load a checkpoint trained for this kind of condition"
                )


def _on_grid(features: list[Float[Tensor, "b _ _ _"]]) -> Float[Tensor, "b c hs ws"]:
    """The coarsest features, scaled to mean 0 and deviation 1 over the whole map, so that no scale has to be learnt first.

    A look that differs from place to place, colours too, survives this; positional normalisation would take it.
    """
    return F.group_norm(features[-1], 1)
