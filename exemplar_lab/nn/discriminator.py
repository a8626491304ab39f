"""Real or made, patch by patch, at several scales."""

from itertools import pairwise

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from exemplar_lab.nn.blocks import conv


class PatchDiscriminator(nn.Module):
    """One logit per patch, at `scales` scales, each half the size of the one before (pix2pixHD; D of CoCosNet Eq. 13).

    Released code: sees the condition beside the image; Eq. (13) shows it the image alone. Its kernels are 4
    in every layer; here 3 where the stride is 1, which keeps the size.
    """

    def __init__(self, inputs: int, width: int = 64, layers: int = 4, scales: int = 2):
        super().__init__()
        widths = [min(width * 2**i, 512) for i in range(layers)]

        def one_scale() -> nn.Module:
            body = [conv(inputs, widths[0], 4, 2), nn.LeakyReLU(0.2)]
            for i, (before, after) in enumerate(pairwise(widths)):
                stride = 1 if i == layers - 2 else 2
                kernel = 4 if stride == 2 else 3
                body += [conv(before, after, kernel, stride, bias=False), nn.InstanceNorm2d(after), nn.LeakyReLU(0.2)]
            return nn.Sequential(*body, conv(widths[-1], 1))

        self.scales = nn.ModuleList(one_scale() for _ in range(scales))

    def forward(self, image: Float[Tensor, "b c h w"]) -> list[Float[Tensor, "b 1 _ _"]]:
        """Logits at each scale, for an image in [0, 1], or a structure and an image side by side."""
        return [inner[-1] for inner in self.activations(image)]

    def activations(self, image: Float[Tensor, "b c h w"]) -> list[list[Float[Tensor, "b _ _ _"]]]:
        """For each scale what every layer finds, after its LReLU, and last the logits: what feature matching compares."""
        image = image * 2 - 1
        found = []
        for scale in self.scales:
            x, inner = image, []
            for module in scale:
                x = module(x)
                if isinstance(module, nn.LeakyReLU):
                    inner.append(x)
            found.append([*inner, x])
            image = F.avg_pool2d(image, 3, stride=2, padding=1, count_include_pad=False)
        return found
