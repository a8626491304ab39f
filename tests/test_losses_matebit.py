"""MATEBIT's own losses, contrastive style and structure, against float64 loops, the released code's recording, and limits."""

from math import log

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from exemplar_lab.losses.contrast import contrastive_style
from exemplar_lab.losses.structure import SHORTEST, structural
from exemplar_lab.nn.edges import edge_network
from exemplar_lab.nn.features import features
from exemplar_lab.ops.feature_distance import unit_distance

few = settings(max_examples=30)
seeds = st.integers(0, 2**20)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def style_twin(anchor: np.ndarray, positive: np.ndarray, negatives: np.ndarray, tau: float) -> float:
    losses = []
    for z, plus in zip(anchor, positive, strict=True):
        above = np.exp(sum(z * plus) / tau)
        below = above + sum(np.exp(sum(z * minus) / tau) for minus in negatives)
        losses.append(-np.log(above / below))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("count", [0, 1, 7])
@pytest.mark.parametrize("tau", [0.07, 1.0])
def test_contrastive_style_is_its_twin(count, tau):
    anchor, positive, negatives = random(3, 5), random(3, 5, seed=1), random(count, 5, seed=2)
    got = contrastive_style(anchor, positive, negatives, tau)
    expected = style_twin(anchor.numpy(), positive.numpy(), negatives.numpy(), tau)
    assert got.item() == pytest.approx(expected, abs=1e-9)
    if not count:
        assert got.item() == 0


def test_contrastive_style_equals_the_recording(parity):
    recorded = parity("csl_contrastive")
    query, key, queue = (recorded[name].requires_grad_() for name in ("query", "key", "queue"))
    loss = contrastive_style(query, key.detach(), queue)
    torch.testing.assert_close(loss, recorded["out_loss"], atol=0, rtol=1e-6)
    loss.backward(recorded["cot_loss"])
    torch.testing.assert_close(query.grad, recorded["grad_query"], atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(queue.grad, recorded["grad_queue"], atol=2e-5, rtol=1e-5)
    assert (recorded["grad_key"] == 0).all() and key.grad is None


def test_gradients_of_contrastive_style():
    codes = [F.normalize(random(count, 4, seed=count), dim=1).requires_grad_() for count in (2, 2, 5)]
    assert gradcheck(lambda *given: contrastive_style(*given, temperature=0.3), codes)


@few
@given(seeds, st.integers(1, 40), st.floats(0.02, 2))
def test_equal_codes_are_told_apart_by_chance_alone(seed, count, tau):
    code = F.normalize(random(1, 6, seed=seed), dim=1)
    got = contrastive_style(code.expand(3, -1), code.expand(3, -1), code.expand(count, -1), tau)
    assert got.item() == pytest.approx(log(1 + count), abs=1e-9)


@few
@given(seeds, st.floats(0.05, 0.95))
def test_style_loss_falls_towards_the_positive_and_rises_with_more_negatives(seed, step):
    positive, negatives = F.normalize(random(1, 8, seed=seed), dim=1), F.normalize(random(9, 8, seed=seed + 1), dim=1)
    # From a code at a right angle to everything but the positive, so that on the way no negative comes nearer.
    basis = torch.linalg.qr(torch.cat([positive, negatives[:3], random(4, 8, seed=seed + 2)]).T).Q.T
    away = basis[-1:]
    nearer = F.normalize((1 - step) * away + step * positive, dim=1)
    few_negatives = negatives[:3] - negatives[:3] @ positive.T * positive
    losses = [contrastive_style(anchor, positive, few_negatives) for anchor in (away, nearer, positive)]
    assert losses[0] > losses[1] > losses[2] >= 0
    assert (
        contrastive_style(away, positive, negatives[:3]) < contrastive_style(away, positive, negatives) < log(1 + 9) + 2 / 0.07
    )


def test_style_loss_of_long_codes_stays_finite_and_falls_when_they_grow():
    """Why the docstring asks for unit vectors: the loss goes to 0 by the length of z, whatever z means."""
    anchor, positive, negatives = random(2, 6), random(2, 6), random(5, 6, seed=3)
    positive = anchor + 0.5 * positive
    losses = [contrastive_style(scale * anchor, positive, negatives, 1.0).item() for scale in (0.0, 1.0, 2.0, 1e4)]
    assert losses[0] == pytest.approx(log(6)) and losses[0] > losses[1] > losses[2] > losses[3] >= 0
    grown = contrastive_style(1e3 * -anchor.float(), 1e3 * positive.float(), negatives.float())
    assert grown.isfinite() and grown > 1e5


def unit_twin(one: np.ndarray, other: np.ndarray, shortest: float) -> float:
    c, h, w = one.shape
    total = 0.0
    for y, x in np.ndindex(h, w):
        units = [v / max(np.sqrt(sum(v * v)), shortest) for v in (one[:, y, x], other[:, y, x])]
        total += sum((units[0] - units[1]) ** 2)
    return total / (h * w)


@pytest.mark.parametrize("shortest", [1e-10, 0.5])
def test_unit_distance_is_its_twin(shortest):
    one, other = random(2, 3, 4, 5), random(2, 3, 4, 5, seed=1)
    one[0, :, 0, 0] = 0
    expected = [unit_twin(*(each[sample].numpy() for each in (one, other)), shortest) for sample in range(2)]
    np.testing.assert_allclose(unit_distance(one, other, shortest), expected, atol=1e-12)
    assert gradcheck(lambda a, b: unit_distance(a, b, shortest), [one[1:].requires_grad_(), other[1:].requires_grad_()])


def test_shortest_bounds_the_gradient():
    """A position that is nearly dark pulls no harder than 4 / shortest, over the positions."""
    faint = torch.full((1, 3, 2, 2), 1e-9, dtype=torch.float64, requires_grad=True)
    bright = random(1, 3, 2, 2)
    steepest = []
    for shortest in (1e-10, SHORTEST):
        (gradient,) = torch.autograd.grad(unit_distance(faint, bright, shortest).sum(), faint)
        steepest.append(gradient.norm(dim=1).max())
        assert 0 < steepest[-1] <= 4 / shortest / 4
    assert steepest[0] > 1e6 > steepest[1]


def test_structural_is_the_mean_over_layers_and_samples():
    maps = {"relu1_2": random(2, 3, 8, 6), "relu3_2": random(2, 5, 4, 3, seed=1)}
    other = {layer: random(*one.shape, seed=9) for layer, one in maps.items()}
    maps["relu1_2"][0, :, 0, 0] = SHORTEST / 3  # counts as a third of a feature
    per_sample = [unit_twin(maps[layer][b].numpy(), other[layer][b].numpy(), SHORTEST) for layer in maps for b in range(2)]
    assert structural(maps, other).item() == pytest.approx(np.mean(per_sample), abs=1e-12)
    assert structural(maps, dict(reversed(other.items()))).item() == pytest.approx(np.mean(per_sample), abs=1e-12)
    assert structural(maps, maps).item() == 0
    assert gradcheck(lambda one: structural({"relu1_2": one}, {"relu1_2": other["relu1_2"]}), maps["relu1_2"].requires_grad_())


def test_structural_sees_edges_and_no_brightness_and_moves_them_home():
    """Through soft edges and lab features, as in training: a step down the gradient brings a shifted square nearer."""
    edges, network, layers = edge_network("soft"), features("lab"), ("relu1_2", "relu2_2", "relu3_2")

    def square(shift: int, low: float = 0.2, high: float = 0.6) -> torch.Tensor:
        image = torch.full((1, 3, 32, 32), low)
        image[..., 10:22, 8 + shift : 20 + shift] = high
        return image

    def distance(image: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return structural(*(network(edges(each).expand(-1, 3, -1, -1), layers) for each in (image, target)))

    target = square(0)
    assert distance(target + 0.3, target) < 1e-6 < distance(square(1), target) < distance(square(6), target)
    image = square(1).requires_grad_()
    start = distance(image, target)
    (gradient,) = torch.autograd.grad(start, image)
    assert gradient.isfinite().all() and gradient.abs().max() > 0
    assert distance(image.detach() - 0.1 * gradient / gradient.norm(), target) < start
    flat = torch.full((1, 3, 32, 32), 0.5, requires_grad=True)
    (gradient,) = torch.autograd.grad(distance(flat, target), flat)
    assert gradient.isfinite().all()


def test_structural_refuses_layers_that_differ():
    maps = {"relu1_2": random(1, 2, 4, 4)}
    with pytest.raises(ValueError, match="got features of relu1_2 and of relu2_2, expected the same layers"):
        structural(maps, {"relu2_2": maps["relu1_2"]})
    with pytest.raises(ValueError, match="got features of no layer and of no layer"):
        structural({}, {})
