"""Edge networks for the structural loss: an image in, how much of an edge each pixel is out.

`edge_network("soft")` needs no weights; `edge_network("hed")` is the network of the papers, once its weights are there. Both
have a `name` to write beside every number they made.
"""

import os
from collections.abc import Mapping
from math import sqrt
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn

from exemplar_lab.nn.feature_stack import activations, layer_names, vgg_stack
from exemplar_lab.ops.edges import soft_edges

HED_URL = "http://content.sniklaus.com/github/pytorch-hed/network-bsds500.pytorch"
HED_VARIABLE = "EXEMPLAR_LAB_HED"
"""Environment variable that may name the weights file."""

NETWORKS = ("soft", "hed")

_WIDTHS, _DEPTHS = (64, 128, 256, 512, 512), (2, 2, 3, 3, 3)
_STAGES = ("One", "Two", "Thr", "Fou", "Fiv")
_MEAN_BGR = (104.00698793, 116.66876762, 122.67891434)


def edge_network(name: Literal["soft", "hed"] = "soft", path: str | Path | None = None) -> "SoftEdges | HED":
    """The network called `name`: "soft", Canny's steps made differentiable; "hed", trained on how people draw outlines.

    path: a file of weights, for "hed" (see `load_hed`). Raises ValueError for an unknown name.
    """
    if name == "hed":
        return load_hed(path)
    if name != "soft":
        raise ValueError(f"got the edges {name!r}, expected one of {', '.join(NETWORKS)}")
    if path is not None:
        raise ValueError(f"got a weights file {str(path)!r} for 'soft', which has none: leave it out, or ask for 'hed'")
    return SoftEdges()


class SoftEdges(nn.Module):
    """`soft_edges` with a Gaussian of √(side / 64) pixels: 1 at 64², 2 at 256², so that larger images may show finer lines.

    No network at all: it draws every edge there is, of a brush stroke as of a person, where HED keeps those that people draw.
    """

    name = "soft-edges-v1"

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 h w"]:
        """Edges, 0 to 1, of images in [0, 1]; gradients flow to the image."""
        return soft_edges(image, sigma=sqrt(min(image.shape[-2:]) / 64))


class HED(nn.Module):
    """Holistically-nested edge detection (Xie & Tu 2015): VGG-16, a map of edges after each of its five stages, and their sum.

    Each stage's last activation goes through a 1 × 1 convolution and is brought to the size of the image; a learned weighted
    sum of the five and a sigmoid make the edges. Gradients flow to the image only; `load_hed` fills in the trained weights.
    """

    name = "hed-bsds500"

    def __init__(self) -> None:
        super().__init__()
        self.layers = layer_names(_DEPTHS)
        self.features = vgg_stack(_WIDTHS, _DEPTHS, nn.MaxPool2d(2))
        with torch.random.fork_rng(devices=[]):
            self.scores = nn.ModuleList(nn.Conv2d(width, 1, 1) for width in _WIDTHS)
            self.combine = nn.Conv2d(len(_WIDTHS), 1, 1)
        self.register_buffer("mean", torch.tensor(_MEAN_BGR).view(3, 1, 1) / 255, persistent=False)
        self.register_buffer("std", torch.full((3, 1, 1), 1 / 255), persistent=False)
        self.requires_grad_(False).eval()

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 h w"]:
        """Edges, 0 to 1, of images in [0, 1], at least 16 × 16."""
        last = [f"relu{stage}_{depth}" for stage, depth in enumerate(_DEPTHS, 1)]
        maps = activations(self, image.flip(1), last)
        sides = [
            F.interpolate(score(maps[layer]), image.shape[-2:], mode="bilinear", align_corners=False)
            for score, layer in zip(self.scores, last, strict=True)
        ]
        return self.combine(torch.cat(sides, dim=1)).sigmoid()


def load_hed(path: str | Path | None = None) -> HED:
    """HED trained on BSDS500, from a file in the layout of github.com/sniklaus/pytorch-hed (56 MB), .pytorch or .safetensors.

    Taken from `path`, else from the file named by EXEMPLAR_LAB_HED; nothing is downloaded. Raises FileNotFoundError when there
    is no file, ValueError for a damaged one or one whose weights are of another network.
    """
    given = path or os.environ.get(HED_VARIABLE)
    cure = f"fetch {HED_URL} and give its path, or set {HED_VARIABLE} to it; the edges 'soft' need no file"
    if not given or not Path(given).is_file():
        got = repr(str(given)) if given else "no path"
        raise FileNotFoundError(f"got {got} for the weights of HED, expected a file that is there: {cure}")
    try:
        weights = load_file(given) if str(given).endswith(".safetensors") else torch.load(given, "cpu", weights_only=True)
        network = HED()
        network.load_state_dict(_renamed(weights))
    except Exception as error:  # torch.load raises whatever the damaged bytes lead it to
        raise ValueError(f"got {str(given)!r} for the weights of HED, which they are not ({error!r}): {cure}") from error
    return network


def _renamed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights by the names they have here; KeyError for too many or too few. Published: moduleVggOne.0.weight or netVggOne…"""
    here, place = {"Combine.0": "combine"}, 0
    for at, (stage, depth) in enumerate(zip(_STAGES, _DEPTHS, strict=True)):
        here[f"Score{stage}"] = f"scores.{at}"
        first = min(at, 1)  # a pooling comes before every stage but the first
        here |= {f"Vgg{stage}.{step}": f"features.{place + step}" for step in range(first, first + 2 * depth, 2)}
        place += first + 2 * depth
    names = {f"{there}.{kind}": f"{name}.{kind}" for there, name in here.items() for kind in ("weight", "bias")}
    found = {key.removeprefix("module").removeprefix("net"): value for key, value in weights.items()}
    if missing := sorted(names.keys() - found):
        raise KeyError(f"of {len(names)} tensors {len(missing)} are missing, the first of them module{missing[0]}")
    if unknown := sorted(found.keys() - names):
        raise KeyError(f"{len(unknown)} tensors too many, the first of them {unknown[0]}")
    return {names[key]: value.float() for key, value in found.items()}
