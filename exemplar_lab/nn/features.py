"""Feature extractors for the perceptual and contextual losses: an image in, the activations of named layers out.

`features("lab")`, trained on the procedural world, comes with the package; `features("fixed")` is not trained at all;
`features("vgg19")` is the network of the papers. All have VGG's layer names and strides (relu1_* at full size, relu5_* at a
sixteenth), and a `name` to write beside every number they made.
"""

import hashlib
import os
import socket
from collections.abc import Collection, Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from exemplar_lab.nn.feature_stack import activations, freeze, layer_names, vgg_stack
from exemplar_lab.nn.lab_features import LabFeatures, load_lab

VGG19_URL = "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"
VGG19_SHA256_PREFIX = "dcbb9e9d"
VGG19_VARIABLE = "EXEMPLAR_LAB_VGG19"
"""Environment variable that may name the weights file."""

NETWORKS = ("fixed", "lab", "vgg19")
DEFAULT = "lab"
"""What metrics look through where nothing else is asked for; a recipe names its own."""


def features(name: str = DEFAULT, path: str | Path | None = None) -> "LabFeatures | FixedFeatures | VGG19Features":
    """The network called `name`: "lab", trained on the procedural world; "fixed", not trained at all; "vgg19", the papers'.

    path: a file of weights, for "lab" (see `load_lab`) and "vgg19" (see `load_vgg19`). Raises ValueError for an unknown name.
    """
    if name == "lab":
        return load_lab(path)
    if name == "vgg19":
        return load_vgg19(path)
    if name != "fixed":
        raise ValueError(f"got the features {name!r}, expected one of {', '.join(NETWORKS)}")
    if path is not None:
        raise ValueError(f"got a weights file {str(path)!r} for 'fixed', which has none: leave it out, or ask for 'vgg19'")
    return FixedFeatures()


class FixedFeatures(nn.Module):
    """A small VGG-shaped network that is not trained: a bank of colour and edge filters, then random ones from a fixed seed.

    Two convolutions in each of five stages, relu1_1 … relu5_2. It measures texture, colour and edges at five scales and knows
    nothing of objects. It averages where VGG takes the maximum, and repeats the border where VGG pads with zeros, so that
    features change little under small shifts and do not tell where in the image they are. Filters have length √2, which keeps
    activations near the size of the normalised image (mean 0 and deviation 1, as for VGG). The weights are rounded to
    multiples of 2⁻¹², so that they are the same to the last bit on every machine; other weights must bear another `name`.
    Gradients flow to the image only.
    """

    name = "fixed-seed-v1"

    def __init__(self, widths: Sequence[int] = (16, 48, 96, 128, 128)) -> None:
        super().__init__()
        self.layers = layer_names((2, 2, 2, 2, 2))
        self.features = vgg_stack(widths, (2, 2, 2, 2, 2), nn.AvgPool2d(2), padding_mode="replicate")
        generator = torch.Generator().manual_seed(0)
        for convolution in (module for module in self.features if isinstance(module, nn.Conv2d)):
            with torch.no_grad():
                convolution.weight.copy_(_random_filters(convolution.weight.shape, generator))
                convolution.bias.zero_()
        with torch.no_grad():
            bank = _first_filters()[: widths[0]]
            self.features[0].weight[: len(bank)] = bank
        freeze(self)

    def forward(self, image: Float[Tensor, "b 3 h w"], layers: Collection[str]) -> dict[str, Float[Tensor, "b _ _ _"]]:
        """The activations of `layers` for images in [0, 1]; nothing deeper than the last of them is computed."""
        return activations(self, image, layers)


class VGG19Features(nn.Module):
    """VGG-19 up to relu5_4, with torchvision's parameter names; `load_vgg19` fills in the trained weights.

    Images in [0, 1] are normalised with ImageNet's mean and deviation per RGB channel, as these weights want it.
    Gradients flow to the image only.
    Released code: Caffe's weights instead, fed with (BGR − (0.4076, 0.4580, 0.4850)) · 255, so that its features have another
    scale and its loss weights do not fit these.
    """

    name = "vgg19-imagenet"

    def __init__(self) -> None:
        super().__init__()
        self.layers = layer_names((2, 2, 4, 4, 4))
        self.features = vgg_stack((64, 128, 256, 512, 512), (2, 2, 4, 4, 4), nn.MaxPool2d(2))
        freeze(self)

    def forward(self, image: Float[Tensor, "b 3 h w"], layers: Collection[str]) -> dict[str, Float[Tensor, "b _ _ _"]]:
        """The activations of `layers` for images in [0, 1]; nothing deeper than the last of them is computed."""
        return activations(self, image, layers)


def load_vgg19(path: str | Path | None = None) -> VGG19Features:
    """VGG-19 trained on ImageNet, from torchvision's file vgg19-dcbb9e9d.pth (574 MB).

    Taken from `path`; else from the file named by EXEMPLAR_LAB_VGG19; else from torch.hub's cache, into which it is
    downloaded if it is not there. The file must be that very one, by its SHA-256. Raises FileNotFoundError when there is no
    file and no network, ValueError for another or a truncated file.
    """
    given = path or os.environ.get(VGG19_VARIABLE)
    file = Path(given) if given else Path(torch.hub.get_dir(), "checkpoints", Path(VGG19_URL).name)
    if not given and not file.exists():
        _download(VGG19_URL, file)
    if not file.is_file():
        raise FileNotFoundError(f"got {str(file)!r} for the weights of VGG-19, but there is no such file: download {VGG19_URL}")
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if not digest.startswith(VGG19_SHA256_PREFIX):
        raise ValueError(
            f"got {str(file)!r} for the weights of VGG-19, whose SHA-256 starts with {digest[:8]}; expected "
            f"{VGG19_SHA256_PREFIX}: it is truncated or another file, delete it and download {VGG19_URL}"
        )
    weights = torch.load(file, map_location="cpu", weights_only=True)
    network = VGG19Features()
    network.load_state_dict({key: value for key, value in weights.items() if key.startswith("features.")})
    return network


def _download(url: str, file: Path) -> None:
    """The file appears under its name only when it is whole and its hash is right."""
    file.parent.mkdir(parents=True, exist_ok=True)
    patience = socket.getdefaulttimeout()
    socket.setdefaulttimeout(30)
    try:
        torch.hub.download_url_to_file(url, str(file), hash_prefix=VGG19_SHA256_PREFIX)
    except OSError as error:
        raise FileNotFoundError(
            f"could not download the weights of VGG-19 ({error}): fetch {url} by any other way and set "
            f"{VGG19_VARIABLE} to where it lies, or use the features 'fixed', which need no download"
        ) from error
    except RuntimeError as error:
        raise ValueError(f"the download of {url} is damaged ({error}): try again") from error
    finally:
        socket.setdefaulttimeout(patience)


def _random_filters(shape: Sequence[int], generator: torch.Generator) -> Float[Tensor, "out in 3 3"]:
    """Gaussian filters that fade towards their corners: smoother in space, hence steadier under noise and small shifts."""
    smooth = torch.tensor([1.0, 2.0, 1.0], dtype=torch.float64)
    return _quantised(torch.randn(tuple(shape), generator=generator, dtype=torch.float64) * smooth.outer(smooth))


def _first_filters() -> Float[Tensor, "16 3 3 3"]:
    """What colour is here, and what edge, each with its opposite because a ReLU lets only one sign through."""
    light, red_green, blue_yellow = torch.tensor([[0.299, 0.587, 0.114], [1, -1, 0], [-0.5, -0.5, 1]], dtype=torch.float64)
    smooth, slope = torch.tensor([[1, 2, 1], [-1, 0, 1]], dtype=torch.float64)
    blur, right, down = smooth.outer(smooth), smooth.outer(slope), slope.outer(smooth)
    spot = torch.zeros_like(blur).index_put((torch.tensor(1), torch.tensor(1)), blur.sum()) - blur
    pairs = [(light, blur), (red_green, blur), (blue_yellow, blur)]
    pairs += [(light, shape) for shape in (right, down, right + down, right - down, spot)]
    bank = torch.stack([colour[:, None, None] * shape for colour, shape in pairs])
    return _quantised(torch.stack([bank, -bank], dim=1).flatten(0, 1))


def _quantised(filters: Float[Tensor, "out in 3 3"]) -> Float[Tensor, "out in 3 3"]:
    """Length √2 each, as ReLU halves the energy; without the last bits, in which mathematical libraries differ."""
    filters = filters * (2**0.5 / filters.flatten(1).norm(dim=1))[:, None, None, None]
    return (filters * 2**12).round().div(2**12).float()
