"""The feature network of this package: VGG's shape, trained on what the procedural world knows (see `training.features`)."""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from exemplar_lab.nn.feature_stack import activations, expect_images, freeze, layer_names, vgg_stack

WIDTHS = (16, 48, 96, 160, 160)
DEPTHS = (2, 2, 2, 2, 2)
STATISTICS = tuple(f"relu{stage}_2" for stage in range(1, 6))
"""Layers whose channel means and deviations say in what style an image is."""

SHIPPED = Path(__file__).parent.parent / "weights" / "features"
"""Where features-lab.safetensors lies, half precision, and features-lab.json, which says how it was made and what it can do."""


class LabFeatures(nn.Module):
    """Two convolutions in each of five stages, relu1_1 … relu5_2, trained on the procedural world and on real photographs.

    The shape of `features.FixedFeatures`, and like it this averages where VGG takes the maximum and repeats the border where
    VGG pads with zeros. Trained with batch normalisation, which is folded into the weights: over the images of the training
    every channel before its ReLU has a mean and a deviation of its own, near 0 and 1. Gradients flow to the image only.
    """

    name = "lab-v1"

    def __init__(self, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        self.layers = layer_names(DEPTHS)
        self.features = vgg_stack(widths, DEPTHS, nn.AvgPool2d(2), padding_mode="replicate")
        freeze(self)

    def forward(self, image: Float[Tensor, "b 3 h w"], layers: Collection[str]) -> dict[str, Float[Tensor, "b _ _ _"]]:
        """The activations of `layers` for images in [0, 1]; nothing deeper than the last of them is computed."""
        return activations(self, image, layers)


def load_lab(path: str | Path | None = None) -> LabFeatures:
    """The trained network: that which comes with the package, or a file that `exemplar-lab train features` wrote.

    Beside NAME.safetensors lies NAME.json, which gives the network its name, the widths of its stages and the hash of its
    weights. Raises FileNotFoundError when one of them is missing, ValueError for a damaged or foreign file.
    """
    path = SHIPPED / "features-lab.safetensors" if path is None else Path(path)
    beside = path.with_suffix(".json")
    for file in (path, beside):
        if not file.is_file():
            cure = "install the package again" if path.parent == SHIPPED else "`exemplar-lab train features` writes both"
            raise FileNotFoundError(f"got no file {file}, expected the lab features and their JSON: {cure}")
    content = path.read_bytes()
    try:
        about = json.loads(beside.read_text())
        whole = about["sha256"] == hashlib.sha256(content).hexdigest()
        network = LabFeatures(about["widths"])
        network.name = about["name"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"got {beside}, which does not describe lab features ({error!r}): train them again") from error
    if not whole:
        raise ValueError(
            f"got {path}, whose SHA-256 is not the one in {beside.name}: it is truncated or another file, copy it again"
        )
    try:
        network.load_state_dict({key: value.float() for key, value in load(content).items()})
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(f"got {path}, whose weights do not fit {beside.name} ({error}): train them again") from error
    return network


class FeatureTrainer(nn.Module):
    """The same network with batch normalisation, and what it is asked while it learns: one small head per question.

    parts: {task: number of classes}, asked of every position at a quarter of the image side, through the last three stages
        together. styles: {question: number of answers}, asked of the whole image through `style_statistics`.
    """

    name = "lab features in training"

    def __init__(self, parts: Mapping[str, int], styles: Mapping[str, int], widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        self.widths = tuple(widths)
        self.layers = layer_names(DEPTHS)
        self.features = vgg_stack(widths, DEPTHS, nn.AvgPool2d(2), padding_mode="replicate", normalised=True)
        expect_images(self)
        deep, numbers = sum(widths[2:]), 2 * sum(widths)
        self.parts = nn.ModuleDict(
            {
                task: nn.Sequential(nn.Conv2d(deep, 96, 1), nn.ReLU(), nn.Conv2d(96, classes, 1))
                for task, classes in parts.items()
            }
        )
        self.identity = nn.Linear(widths[-1], 64)
        self.normalise = nn.BatchNorm1d(numbers, affine=False)
        self.styles = nn.ModuleDict({question: nn.Linear(numbers, answers) for question, answers in styles.items()})
        for module in self.modules():  # what `vgg_stack` leaves to its callers
            if isinstance(module, nn.Conv2d) and module.bias is None:
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> dict[str, Float[Tensor, "b _ _ _"]]:
        return activations(self, image, self.layers)

    def part_scores(self, of_image: Mapping[str, Tensor], task: str) -> Float[Tensor, "b classes h4 w4"]:
        """Before the softmax, at the size of relu3_2."""
        size = of_image["relu3_2"].shape[-2:]
        deep = [of_image["relu3_2"]]
        deep += [F.interpolate(of_image[one], size, mode="bilinear", align_corners=False) for one in ("relu4_2", "relu5_2")]
        return self.parts[task](torch.cat(deep, dim=1))

    def folded(self) -> dict[str, Tensor]:
        """The state of a `LabFeatures` that gives what this gives in evaluation mode."""
        stack = list(self.features)
        state, place = {}, 0
        for at, module in enumerate(stack):
            if isinstance(module, nn.BatchNorm2d):
                continue
            if isinstance(module, nn.Conv2d):
                norm = stack[at + 1]
                gain = norm.weight / (norm.running_var + norm.eps).sqrt()
                state[f"features.{place}.weight"] = (module.weight * gain[:, None, None, None]).detach()
                state[f"features.{place}.bias"] = (norm.bias - norm.running_mean * gain).detach()
            place += 1
        return state


def style_statistics(of_image: Mapping[str, Float[Tensor, "b _ _ _"]]) -> Float[Tensor, "b n"]:
    """Mean and deviation of every channel of `STATISTICS`, side by side."""
    maps = [of_image[layer].flatten(2) for layer in STATISTICS]
    return torch.cat([torch.cat([one.mean(2), one.std(2)], dim=1) for one in maps], dim=1)
