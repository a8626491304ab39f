"""DynaST's losses: analytic cases, NumPy in float64, gradients, and which of them a training step asks for."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.autograd import gradcheck

from exemplar_lab.losses.adversarial import discriminator_matching, log_discriminator, log_generator
from exemplar_lab.losses.correspondence import cascade_matching
from exemplar_lab.losses.reconstruction import reconstruction
from exemplar_lab.losses.style import CONTENT_LAYER, STYLE_LAYERS, style_transfer
from exemplar_lab.models.cocosnet import CoCosNetConfig
from exemplar_lab.models.dynast import DynaSTConfig
from exemplar_lab.nn.discriminator import PatchDiscriminator
from exemplar_lab.nn.features import features
from exemplar_lab.training.objective import (
    discriminator_channels,
    discriminator_loss,
    dynast_terms,
    shown_to_discriminator,
)
from exemplar_lab.translation import Batch, Translation

PAIRED = torch.tensor([True, False, True])


def random(*shape: int, seed: int = 0, grad: bool = False) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_(grad)


def maps(seed: int, height: int = 6, samples: int = 3) -> dict[str, torch.Tensor]:
    sides = zip(STYLE_LAYERS, (2, 3, 4, 5), strict=True)
    return {name: random(samples, width, height, 4, seed=seed + width) for name, width in sides}


# Eq. (10)


def test_reconstruction_is_the_squared_error_of_pixels_and_of_features():
    image, target, made, wanted = random(3, 3, 6, 4), random(3, 3, 6, 4, seed=1), maps(2), maps(9)
    weights = {"relu2_1": 0.5, "relu4_1": 2}
    pixel, feat = reconstruction(image, target, made, wanted, weights)
    assert pixel.item() == pytest.approx(np.square(image.numpy() - target.numpy()).mean(), abs=1e-12)
    expected = sum(weight * np.square(made[name].numpy() - wanted[name].numpy()).mean() for name, weight in weights.items())
    assert feat.item() == pytest.approx(expected, abs=1e-12)


def test_reconstruction_of_a_shift():
    image = random(2, 3, 4, 4)
    pixel, feat = reconstruction(image + 0.5, image, {"a": image - 2}, {"a": image}, {"a": 3.0})
    assert (pixel.item(), feat.item()) == pytest.approx((0.25, 12.0))
    assert [term.item() for term in reconstruction(image, image, {}, {}, {})] == [0, 0]


def test_what_has_no_right_answer_is_not_asked_for():
    """Samples that are not `paired` change nothing and learn nothing; the divisor stays the whole batch."""
    image, target = random(3, 3, 6, 4, grad=True), random(3, 3, 6, 4, seed=1)
    made = {"relu1_1": random(3, 2, 6, 4, seed=2, grad=True)}
    warps = [random(3, 3, 3, 2, seed=3, grad=True), random(3, 3, 6, 4, seed=4, grad=True)]
    pixel, feat = reconstruction(image, target, made, maps(9), {"relu1_1": 1.0}, PAIRED)
    match = cascade_matching(warps, target, PAIRED)
    some = {"relu1_1": made["relu1_1"][PAIRED]}, {"relu1_1": maps(9)["relu1_1"][PAIRED]}
    fewer = reconstruction(image[PAIRED], target[PAIRED], *some, {"relu1_1": 1.0})
    torch.testing.assert_close((pixel, feat), tuple(2 / 3 * one for one in fewer))
    torch.testing.assert_close(match, 2 / 3 * cascade_matching([warp[PAIRED] for warp in warps], target[PAIRED]))
    (pixel + feat + match).backward()
    for one in (image, made["relu1_1"], *warps):
        assert [bool(sample.any()) for sample in one.grad] == PAIRED.tolist()
    nobody = torch.zeros(3, dtype=torch.bool)
    assert [one.item() for one in reconstruction(image, target, {}, {}, {}, nobody)] == [0, 0]
    assert cascade_matching(warps, target, nobody) == 0


def test_gradients_of_reconstruction():
    def both(image, target, made, wanted):
        return reconstruction(image, target, {"a": made}, {"a": wanted}, {"a": 0.3}, torch.tensor([True, False]))

    assert gradcheck(both, tuple(random(2, 3, 3, 2, seed=seed, grad=True) for seed in range(4)))


def test_log_losses_are_what_is_printed():
    real, fake = [random(2, 1, 4, 4), random(2, 1, 2, 2, seed=1)], [random(2, 1, 4, 4, seed=2), random(2, 1, 2, 2, seed=3)]

    def mean_log(logits: list[torch.Tensor], turned: bool) -> float:
        probability = [1 / (1 + np.exp(-logit.numpy())) for logit in logits]
        return np.mean([np.log(1 - p if turned else p).mean() for p in probability])

    assert log_discriminator(real, fake).item() == pytest.approx(-mean_log(real, False) - mean_log(fake, True), abs=1e-12)
    assert log_generator(fake).item() == pytest.approx(mean_log(fake, True), abs=1e-12)


def test_log_losses_where_the_answer_is_known():
    unsure, sure = [torch.zeros(2, 1, 3, 3)], [torch.full((2, 1, 3, 3), 1e4)]
    assert log_discriminator(unsure, unsure).item() == pytest.approx(2 * math.log(2))
    assert log_generator(unsure).item() == pytest.approx(-math.log(2))
    assert log_discriminator(sure, [-sure[0]]) == 0 and log_generator([-sure[0]]) == 0
    assert log_discriminator([-sure[0]], sure).item() == pytest.approx(2e4) and log_generator(sure).item() == -1e4
    with pytest.raises(ValueError):
        log_discriminator(unsure, unsure * 2)


def test_slope_of_the_log_losses():
    """−Dis for the generator: it vanishes where the discriminator is sure that the image is made."""
    logits = torch.tensor([[-1e4, -2.0, 0.0, 1e4]], dtype=torch.float64, requires_grad=True)
    log_generator([logits]).backward()
    torch.testing.assert_close(logits.grad, -torch.sigmoid(logits.detach()) / 4)
    assert logits.grad[0, 0] == 0
    inputs = random(2, 1, 3, 2, grad=True), random(2, 1, 3, 2, seed=1, grad=True)
    assert gradcheck(lambda real, fake: log_discriminator([real], [fake]) + log_generator([fake, 2 * fake]), inputs)


def test_discriminator_matching_is_what_is_printed():
    """Layers count alike whatever their width, scales whatever their number of layers; logits are not looked at."""
    shapes = [[(4, 6, 6), (8, 3, 3), (1, 3, 3)], [(4, 3, 3), (1, 2, 2)]]
    made, real = (
        [[random(2, *shape, seed=10 * start + n, grad=not start) for n, shape in enumerate(scale)] for scale in shapes]
        for start in (0, 1)
    )

    def apart(scale: int, layer: int) -> float:
        return abs(made[scale][layer].detach().numpy() - real[scale][layer].numpy()).mean()

    loss = discriminator_matching(made, real)
    assert loss.item() == pytest.approx(((apart(0, 0) + apart(0, 1)) / 2 + apart(1, 0)) / 2, abs=1e-12)
    loss.backward()
    assert [[one.grad is None for one in scale] for scale in made] == [[False, False, True], [False, True]]
    assert discriminator_matching(real, real) == 0
    assert gradcheck(lambda a, b: discriminator_matching([[a, b, b]], real[:1]), made[0][:2])
    with pytest.raises(ValueError):
        discriminator_matching(made[:1], real)


# Eq. (11)


def test_style_transfer_is_what_is_printed():
    image, content, style = maps(0), maps(20), maps(40, height=5)
    got = style_transfer(image, content, style)
    far = 0.0
    for name in STYLE_LAYERS:
        a, b = image[name].numpy(), style[name].numpy()
        far += np.square(a.mean((2, 3)) - b.mean((2, 3))).mean()
        deviations = [np.sqrt(one.var((2, 3), ddof=1) + 1e-5) for one in (a, b)]
        far += np.square(deviations[0] - deviations[1]).mean()
    assert got[0].item() == pytest.approx(np.square(image[CONTENT_LAYER].numpy() - content[CONTENT_LAYER].numpy()).mean())
    assert got[1].item() == pytest.approx(far, abs=1e-12)
    assert CONTENT_LAYER == "relu4_1" and tuple(f"relu{i}_1" for i in range(1, 5)) == STYLE_LAYERS


def test_style_does_not_know_where_and_content_does():
    image, order = maps(0), torch.randperm(24)
    shuffled = {name: one.flatten(2)[..., order].unflatten(2, (6, 4)) for name, one in image.items()}
    content, style = style_transfer(shuffled, image, image)
    assert style < 1e-20 and content > 0.1
    shifted = {name: one + 0.5 for name, one in image.items()}
    torch.testing.assert_close(style_transfer(shifted, shifted, image)[1].item(), 4 * 0.25)


def test_gradients_of_style_transfer():
    def both(*layers):
        named = [dict(zip(STYLE_LAYERS, layers[i : i + 4], strict=True)) for i in (0, 4, 8)]
        return style_transfer(*named)

    assert gradcheck(both, tuple(random(2, 2, 2, 3, seed=seed, grad=True) for seed in range(12)))
    flat = {name: torch.full_like(one, 0.3).requires_grad_() for name, one in maps(0).items()}
    sum(style_transfer(flat, maps(20), maps(40))).backward()  # a deviation of zero has a slope of its own
    assert all(one.grad.isfinite().all() for one in flat.values())


# Eq. (14)


def test_every_block_of_every_scale_shall_warp_right():
    target = random(2, 3, 8, 4)
    warps = [random(2, 3, 4, 2, seed=1), random(2, 3, 4, 2, seed=2), random(2, 3, 8, 4, seed=3)]
    small = target.numpy().reshape(2, 3, 4, 2, 2, 2).mean((3, 5))
    expected = [np.square(warp.numpy() - (small if warp.shape[2] == 4 else target.numpy())).mean() for warp in warps]
    assert cascade_matching(warps, target).item() == pytest.approx(sum(expected), abs=1e-12)
    assert cascade_matching([target + 0.1] * 5, target).item() == pytest.approx(5 * 0.01)
    assert gradcheck(lambda *all_of_them: cascade_matching(all_of_them[1:], all_of_them[0]), _leaves(target, *warps))


def _leaves(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return tuple(tensor.clone().requires_grad_() for tensor in tensors)


# Where they meet.

WEIGHTS = {"pixel": 1.0, "feat": 0.1, "adv": 0.01, "content": 1.0, "style": 3.0, "match": 100.0}
LAYERS = {"relu1_2": 1.0, "relu4_2": 0.5}


def scene() -> tuple[Batch, Translation, PatchDiscriminator]:
    batch = Batch(
        torch.rand(2, 5, 32, 32),
        *(torch.rand(2, 3, 32, 32) for _ in range(2)),
        torch.rand(2, 5, 32, 32),
        torch.tensor([True, False]),
    )
    warps = tuple(torch.rand(2, 3, side, side, requires_grad=True) for side in (16, 16))
    image = torch.rand(2, 3, 32, 32, requires_grad=True)
    return batch, Translation(image, warps), PatchDiscriminator(8, width=8, layers=2, scales=1).eval()


class Watched(nn.Module):
    """The fixed features, and what they were asked for."""

    def __init__(self):
        super().__init__()
        self.network, self.asked = features("fixed"), []

    def forward(self, image, layers):
        self.asked.append(set(layers))
        return self.network(image, layers)


def test_terms_are_their_losses():
    batch, translation, discriminator = scene()
    network = features("fixed")
    terms = dynast_terms(discriminator, network, batch, translation, WEIGHTS, LAYERS)
    assert terms.keys() == WEIGHTS.keys() and all(term.ndim == 0 and term.isfinite() for term in terms.values())
    every = (*STYLE_LAYERS, *LAYERS)
    made, target, exemplar = (network(one, every) for one in (translation.image, batch.target, batch.exemplar))
    pixel, feat = reconstruction(translation.image, batch.target, made, target, LAYERS, batch.paired)
    content, style = style_transfer(made, target, exemplar)
    seen = torch.cat([batch.condition, translation.image], 1)
    expected = {"pixel": pixel, "feat": feat, "adv": log_generator(discriminator(seen)), "content": content, "style": style}
    expected["match"] = cascade_matching(translation.warps, batch.target, batch.paired)
    for name, term in expected.items():
        torch.testing.assert_close(terms[name], term, msg=name)
    sum(terms[name] for name in ("feat", "content", "style", "adv")).backward()
    assert translation.image.grad.abs().sum() > 0 and translation.warps[0].grad is None
    terms["match"].backward()
    assert all(warp.grad[0].any() and not warp.grad[1].any() for warp in translation.warps)


@pytest.mark.parametrize(
    ("wanted", "looked_at"),
    [
        ("pixel", []),
        ("adv", []),
        ("match", []),
        ("feat", 2 * [set(LAYERS)]),
        ("content", 2 * [set(STYLE_LAYERS)] + [set(STYLE_LAYERS)]),
        ("style", 2 * [set(STYLE_LAYERS)] + [set(STYLE_LAYERS)]),
    ],
)
def test_a_term_of_no_weight_costs_nothing(wanted, looked_at):
    batch, translation, discriminator = scene()
    network, weights = Watched(), {name: weight * (name == wanted) for name, weight in WEIGHTS.items()}
    if wanted != "adv":
        discriminator.forward = None
    assert dynast_terms(discriminator, network, batch, translation, weights, LAYERS).keys() == {wanted}
    assert network.asked == looked_at


def test_discriminator_judges_the_image_together_with_the_structure():
    batch, translation, discriminator = scene()
    config = DynaSTConfig(size=32, condition_channels=5, widths=(8, 8), top_k=1)
    assert discriminator_channels(config) == 8 and discriminator_channels(CoCosNetConfig()) == 3
    image = translation.image.detach()
    shown = shown_to_discriminator(DynaSTConfig, batch, image)
    assert torch.equal(shown, torch.cat([batch.condition, image], 1))
    assert shown_to_discriminator(CoCosNetConfig, batch, image) is image
    loss = discriminator_loss(config, discriminator, batch, image)
    real = discriminator(torch.cat([batch.condition, batch.target], 1))
    torch.testing.assert_close(loss, log_discriminator(real, discriminator(shown)))
    other = replace(batch, condition=batch.condition.flip(0))
    assert discriminator_loss(config, discriminator, other, image) != loss
