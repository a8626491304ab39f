"""What all feature networks share: VGG's shape and layer names, and activations by layer."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's RGB images in [0, 1]."""


def layer_names(depths: Sequence[int]) -> tuple[str, ...]:
    """relu1_1, relu1_2, …: the stage, and the convolution in it."""
    return tuple(f"relu{stage}_{step}" for stage, depth in enumerate(depths, 1) for step in range(1, depth + 1))


def vgg_stack(
    widths: Sequence[int], depths: Sequence[int], pool: nn.Module, padding_mode: str = "zeros", normalised: bool = False
) -> nn.Sequential:
    """VGG: in each stage `depth` times convolution and ReLU; between stages the image is halved.

    normalised: batch normalisation in place of the bias, for training.
    PyTorch's own start values are overwritten later, so drawing them must not move the random numbers of a training run.
    """
    modules: list[nn.Module] = []
    channels = 3
    with torch.random.fork_rng(devices=[]):
        for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            modules += [pool] if stage else []
            for _ in range(depth):
                modules += [nn.Conv2d(channels, width, 3, padding=1, padding_mode=padding_mode, bias=not normalised)]
                modules += [nn.BatchNorm2d(width)] if normalised else []
                modules += [nn.ReLU(inplace=True)]
                channels = width
    return nn.Sequential(*modules)


def expect_images(network: nn.Module) -> None:
    """Give `network` the mean and deviation that `activations` takes from images in [0, 1] first."""
    for name, value in (("mean", _MEAN), ("std", _STD)):
        network.register_buffer(name, torch.tensor(value).view(3, 1, 1), persistent=False)


def freeze(network: nn.Module) -> None:
    """For a network that is only looked through: gradients flow to the image only."""
    expect_images(network)
    network.requires_grad_(False).eval()


def built_in(network: nn.Module) -> nn.Module:
    """A frozen network that becomes part of a model: its weights move to the device with the model, but are neither trained nor
    saved with it. The same network, changed in place."""
    for module in network.modules():
        for name, weight in list(module.named_parameters(recurse=False)):
            delattr(module, name)
            module.register_buffer(name, weight.detach(), persistent=False)
    return network


def layer_widths(network: nn.Module) -> dict[str, int]:
    """{layer: channels} of a network with `features` and `layers`."""
    convolutions = (module for module in network.features if isinstance(module, nn.Conv2d))
    return {layer: one.out_channels for layer, one in zip(network.layers, convolutions, strict=True)}


def activations(network: nn.Module, image: Tensor, layers: Iterable[str]) -> dict[str, Tensor]:
    """{layer: b c h w} of a network with `features`, `layers`, `name`; nothing deeper than the last of them is computed."""
    wanted = set(layers)
    if unknown := wanted.difference(network.layers):
        raise ValueError(f"got the layers {sorted(unknown)}, but {network.name} has only {', '.join(network.layers)}")
    found: dict[str, Tensor] = {}
    names = iter(network.layers)
    x = (image - network.mean) / network.std
    for module in network.features:
        if len(found) == len(wanted):
            break
        if isinstance(module, nn.MaxPool2d | nn.AvgPool2d) and min(x.shape[-2:]) < 2:
            raise ValueError(
                f"got images of {tuple(image.shape[-2:])} pixels, too small for {max(wanted)}: use images of at least "
                "16 × 16, or layers of earlier stages"
            )
        x = module(x)
        if isinstance(module, nn.ReLU) and (name := next(names)) in wanted:
            found[name] = x
    return found
