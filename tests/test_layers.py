"""Each layer is the operation it names, with weights of its own; where the released code has it too, with the same numbers."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrize import remove_parametrizations

from exemplar_lab.nn.blocks import NonLocal, ResidualBlock, conv, upsample
from exemplar_lab.nn.discriminator import PatchDiscriminator
from exemplar_lab.nn.domain import DomainAdaptor, shared_block
from exemplar_lab.nn.spade import SpadeNorm, SpadeResidualBlock, StyleEncoder
from exemplar_lab.ops import correlation
from exemplar_lab.ops.modulation import positional_norm, spade


def idle_parameters(module: nn.Module, loss: torch.Tensor, level: float = 1e-12) -> list[str]:
    """Names of the parameters whose gradient is nothing but rounding."""
    loss.backward()
    return [name for name, p in module.named_parameters() if p.grad is None or p.grad.abs().max() < level]


def wobble(output: torch.Tensor) -> torch.Tensor:
    """A loss to which every element matters, and matters differently."""
    return (output * torch.linspace(-1, 2, output.numel(), dtype=output.dtype).reshape(output.shape)).sum()


@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (4, 2)])
def test_conv_keeps_the_size_and_has_spectral_norm_one(kernel, stride):
    layer = conv(5, 7, kernel, stride)
    with torch.no_grad():
        layer.parametrizations.weight.original.mul_(30)
    for _ in range(100):
        answer = layer(torch.randn(1, 5, 8, 12))
    assert answer.shape == (1, 7, 8 // stride, 12 // stride)
    torch.testing.assert_close(torch.linalg.matrix_norm(layer.weight.flatten(1), 2), torch.tensor(1.0), atol=1e-3, rtol=0)
    assert layer.bias is not None and conv(5, 7, bias=False).bias is None


def test_upsample_repeats():
    x = torch.randn(2, 3, 2, 5)
    assert torch.equal(upsample(x), x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3))


@pytest.mark.parametrize("outputs", [4, 6])
def test_residual_block(outputs):
    block = ResidualBlock(4, outputs).double().eval()
    x = torch.randn(2, 4, 5, 5, dtype=torch.float64)
    body = F.instance_norm(F.conv2d(x, block.body[0].weight, padding=1))
    body = F.instance_norm(F.conv2d(F.leaky_relu(body, 0.2), block.body[3].weight, padding=1))
    past = x if outputs == 4 else F.conv2d(x, block.past.weight, block.past.bias)
    torch.testing.assert_close(block(x), past + body)
    assert not idle_parameters(block, wobble(block(x)))


def test_nonlocal_is_attention_written_out():
    block = NonLocal(16).double().eval()
    x = torch.randn(2, 16, 4, 6, dtype=torch.float64)
    torch.testing.assert_close(block(x), x)  # its weight starts at 0
    nn.init.constant_(block.gain, 0.7)
    query = F.conv2d(x, block.query.weight).flatten(2)
    key, value = (F.max_pool2d(F.conv2d(x, layer.weight), 2).flatten(2) for layer in (block.key, block.value))
    weight = torch.softmax(torch.einsum("bcq,bck->bqk", query, key), dim=-1)
    seen = torch.einsum("bqk,bck->bcq", weight, value).unflatten(2, (4, 6))
    torch.testing.assert_close(block(x), x + 0.7 * F.conv2d(seen, block.out.weight))
    assert not idle_parameters(block, wobble(block(x)))


def test_nonlocal_goes_row_by_row(monkeypatch):
    block, x = NonLocal(8).double().eval(), torch.randn(2, 8, 4, 4, dtype=torch.float64)
    nn.init.ones_(block.gain)
    whole = block(x)
    monkeypatch.setitem(correlation._CHUNK, "cpu", 1)
    torch.testing.assert_close(block(x), whole)


def test_domain_adaptor():
    adaptor = DomainAdaptor(5, ((4, 1), (8, 2), (6, 2)), (6, 7)).double().eval()
    image = torch.randn(3, 5, 16, 8, dtype=torch.float64)
    adapted = adaptor(image)
    assert adapted.shape == (3, 7, 4, 2)
    torch.testing.assert_close(adapted, positional_norm(adaptor.layers(image)))
    torch.testing.assert_close(adapted[1:2], adaptor(image[1:2]))  # an image's features do not depend on its batch
    assert not idle_parameters(adaptor, wobble(adapted))


def test_shared_block():
    block = shared_block(6, 9, 3).double().eval()
    assert [type(layer) for layer in block[:3]] == [ResidualBlock] * 3 and len(block) == 4
    answer = block(torch.randn(2, 6, 4, 4, dtype=torch.float64))
    assert answer.shape == (2, 9, 4, 4)
    assert not idle_parameters(block, wobble(answer))


def test_style_encoder():
    encoder = StyleEncoder(3, 5, 8).double().eval()
    style = torch.rand(2, 3, 4, 4, dtype=torch.float64)
    scale, shift = encoder(style, (6, 8))
    resized = F.interpolate(style, (6, 8), mode="bilinear", align_corners=False)
    hidden = F.relu(F.conv2d(resized, encoder.shared.weight, encoder.shared.bias, padding=1))
    answer = F.conv2d(hidden, encoder.affine.weight, encoder.affine.bias, padding=1)
    torch.testing.assert_close((scale - 1, shift), (answer[:, :5], answer[:, 5:]))
    assert (scale - 1).abs().max() < 1 > shift.abs().max()


def test_spade_norm_is_its_op():
    x, style = torch.randn(2, 5, 6, 6) * 3 + 1, torch.rand(2, 3, 6, 6)
    by_position = SpadeNorm(5, 3, 8, "position").eval()
    torch.testing.assert_close(by_position(x, style), spade(positional_norm(x), *by_position.style(style, (6, 6))))

    by_batch = SpadeNorm(5, 3, 8, "batch").eval()
    torch.testing.assert_close(by_batch(x, style), spade(x / (1 + 1e-5) ** 0.5, *by_batch.style(style, (6, 6))))
    by_batch.norm.train()
    of_batch = F.batch_norm(x, None, None, training=True)
    torch.testing.assert_close(by_batch(x, style), spade(of_batch, *by_batch.style(style, (6, 6))))


@pytest.mark.parametrize("norm", ["position", "batch"])
@pytest.mark.parametrize("outputs", [4, 6])
def test_spade_residual_block_grows_and_learns(norm, outputs):
    block = SpadeResidualBlock(4, outputs, 3, 8, norm).double().eval()
    answer = block(torch.randn(2, 4, 6, 6, dtype=torch.float64), torch.rand(2, 3, 3, 3, dtype=torch.float64))
    assert answer.shape == (2, outputs, 6, 6)
    assert not idle_parameters(block, wobble(answer))


# Parity: the released weights put into the layers of this package.


def fill(norm: SpadeNorm, recording: dict[str, torch.Tensor], prefix: str, shared: int) -> None:
    """The style encoder's weights; the released one is not spectrally normalised and keeps scale and shift apart."""

    def joined(kind: str) -> torch.Tensor:
        return torch.cat([recording[f"{prefix}mlp_{half}.{kind}"] for half in ("gamma", "beta")])

    with torch.no_grad():
        for layer in (norm.style.shared, norm.style.affine):
            remove_parametrizations(layer, "weight")
        norm.style.shared.weight.copy_(recording[f"{prefix}mlp_shared.{shared}.weight"])
        norm.style.shared.bias.copy_(recording[f"{prefix}mlp_shared.{shared}.bias"])
        norm.style.affine.weight.copy_(joined("weight"))
        norm.style.affine.bias.copy_(joined("bias"))


def pad_by_reflection(module: nn.Module) -> None:
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            layer.padding_mode = "reflect"


@pytest.mark.parametrize("name", ["spade_cocos_pono1", "spade_cocos_pono0", "spade_nvlabs"])
def test_parity_of_spade_norm(parity, name):
    """NVlabs' layer as it stands; CoCosNet's inside, and up to the border once this one pads by reflection too."""
    recording = parity(name)
    layer = SpadeNorm(8, 5, 128, "position" if name == "spade_cocos_pono1" else "batch")
    fill(layer, recording, "w.", 0 if name == "spade_nvlabs" else 1)
    style = F.interpolate(recording["seg"], (8, 8), mode="nearest")
    close = {"atol": 1e-5, "rtol": 0}
    with torch.no_grad():
        answer = layer(recording["x"], style)
        torch.testing.assert_close(answer[..., 2:-2, 2:-2], recording["out"][..., 2:-2, 2:-2], **close)
        if name != "spade_nvlabs":
            assert (answer - recording["out"]).abs().max() > 0.01
            pad_by_reflection(layer)
            answer = layer(recording["x"], style)
        torch.testing.assert_close(answer, recording["out"], **close)


def test_parity_of_spade_residual_block(parity):
    recording = parity("spade_resblock_cocos")
    block = SpadeResidualBlock(8, 6, 5, 128).eval()
    for ours, theirs in (("norm_0", "norm_0"), ("norm_1", "norm_1"), ("norm_past", "norm_s")):
        fill(getattr(block, ours), recording, f"w.{theirs}.", 1)
    with torch.no_grad():
        for ours, theirs in (("conv_0", "conv_0"), ("conv_1", "conv_1"), ("conv_past", "conv_s")):
            layer = getattr(block, ours)
            layer.parametrizations.weight.original.copy_(recording[f"w.{theirs}.weight_orig"])
            layer.parametrizations.weight[0]._u.copy_(recording[f"w.{theirs}.weight_u"])
            layer.parametrizations.weight[0]._v.copy_(recording[f"w.{theirs}.weight_v"])
            layer.bias.copy_(recording.get(f"w.{theirs}.bias", torch.zeros(())))
        pad_by_reflection(block)
        answer = block(recording["x"], F.interpolate(recording["seg"], (8, 8), mode="nearest"))
    torch.testing.assert_close(answer, recording["out"], atol=1e-5, rtol=0)


# The discriminator.


@pytest.mark.parametrize(("layers", "scales", "sides"), [(4, 2, [8, 4]), (3, 1, [16]), (1, 3, [32, 16, 8])])
def test_discriminator_gives_a_logit_per_patch(layers, scales, sides):
    discriminator = PatchDiscriminator(3, width=8, layers=layers, scales=scales).double().eval()
    logits = discriminator(torch.rand(2, 3, 64, 64, dtype=torch.float64))
    assert [logit.shape for logit in logits] == [(2, 1, side, side) for side in sides]
    assert not idle_parameters(discriminator, sum(wobble(logit) for logit in logits))


def test_discriminator_widths():
    default = PatchDiscriminator(3)
    widths = [layer.out_channels for layer in default.scales[0].modules() if isinstance(layer, nn.Conv2d)]
    assert widths == [64, 128, 256, 512, 1]
    assert sum(p.numel() for p in default.parameters()) == pytest.approx(3.7e6, rel=0.01)


def test_discriminator_sees_half_the_image_at_the_second_scale():
    discriminator = PatchDiscriminator(3, width=8, layers=2).eval()
    discriminator.scales[1].load_state_dict(discriminator.scales[0].state_dict())
    image = torch.rand(2, 3, 32, 32)
    fine, coarse = discriminator(image)
    torch.testing.assert_close(fine, discriminator.scales[0](image * 2 - 1))
    # the average of the pixels at most one away, as many as there are at the border
    neighbours = F.unfold(image, 3, padding=1, stride=2).unflatten(1, (3, 9)).sum(2)
    number = F.unfold(torch.ones(1, 1, 32, 32), 3, padding=1, stride=2).sum(1, keepdim=True)
    halved = (neighbours / number).unflatten(2, (16, 16))
    torch.testing.assert_close(coarse, discriminator.scales[0](halved * 2 - 1))


def test_activations_are_what_every_layer_finds_and_then_the_logits():
    """By hand: one convolution after the other, the image halved for the second scale; and what `forward` gives, last."""
    discriminator = PatchDiscriminator(5, width=4, layers=3).double().eval()
    image = torch.rand(2, 5, 32, 32, dtype=torch.float64)
    found = discriminator.activations(image)
    assert [[tuple(one.shape[1:]) for one in scale] for scale in found] == [
        [(4, 16, 16), (8, 8, 8), (16, 8, 8), (1, 8, 8)],
        [(4, 8, 8), (8, 4, 4), (16, 4, 4), (1, 4, 4)],
    ]
    x = image * 2 - 1
    for scale, inner in zip(discriminator.scales, found, strict=True):
        y = x
        for number, one in enumerate(inner):
            convolution = [layer for layer in scale if isinstance(layer, nn.Conv2d)][number]
            y = convolution(y)
            if 0 < number < 3:
                y = F.instance_norm(y)
            y = y if number == 3 else torch.where(y > 0, y, 0.2 * y)
            torch.testing.assert_close(one, y)
        x = F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
    assert all(torch.equal(logit, inner[-1]) for logit, inner in zip(discriminator(image), found, strict=True))
