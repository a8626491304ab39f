"""A canvas from windows: where they lie, how they are weighted, and that any model will do."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from exemplar_lab.training.panorama import centre_patch, extrapolate, raised_cosine, window_places
from exemplar_lab.translation import Translation, Translator

SIDES = st.integers(2, 40)


@given(SIDES, SIDES, st.integers(1, 40), st.integers(1, 40), st.integers(0, 6), st.integers(0, 2**40))
def test_windows_cover_the_canvas_and_stay_inside(height, width, h, w, at_random, seed):
    h, w = min(h, height), min(w, width)
    places = window_places((height, width), (h, w), at_random, seed)
    covered = torch.zeros(height, width)
    for y, x in places[: len(places) - at_random].tolist():
        covered[y : y + h, x : x + w] += 1
    assert covered.min() > 0
    assert places.min() >= 0 and (places + torch.tensor([h, w]) <= torch.tensor([height, width])).all()


def test_four_corners_and_ten_at_random():
    places = window_places((64, 64), (32, 32))
    assert places[:4].tolist() == [[0, 0], [0, 32], [32, 0], [32, 32]] and len(places) == 14
    assert torch.equal(window_places((64, 64), (32, 32), 3), places[:7])
    assert not torch.equal(window_places((64, 64), (32, 32), seed=1), places)
    random = window_places((64, 64), (32, 32), 4000)[4:].float()
    assert random.amin() == 0 and random.amax() == 32 and (random.mean(0) - 16).abs().max() < 0.6
    for wrong in (((16, 64), (32, 32), 10), ((64, 64), (32, 32), -1)):
        with pytest.raises(ValueError, match="expected windows no larger than the canvas"):
            window_places(*wrong)


def test_raised_cosine_is_never_zero_and_symmetric():
    weight = raised_cosine((6, 8))
    assert weight.min() > 0 and torch.allclose(weight, weight.flip(0, 1), atol=1e-7) and weight.argmax() in (19, 20, 27, 28)
    assert torch.allclose(weight[:3] + weight[3:], weight[0] + weight[3], atol=1e-6), (
        "half overlapping windows sum to one weight"
    )


class Painter:
    """A model of which each answer is known: the labels' first three channels, and how bright the exemplar is."""

    def __init__(self, flat: bool = False):
        self.flat, self.batches = flat, []

    def __call__(self, condition, exemplar, exemplar_condition=None, *, record=True):
        assert exemplar_condition is not None and not record
        self.batches.append(len(condition))
        image = condition[:, :3] * exemplar.mean((1, 2, 3), keepdim=True)
        return Translation(image.mean((2, 3), keepdim=True).expand_as(image) if self.flat else image, ())


def parts(samples=2, size=(20, 24), window=(12, 14)):
    return torch.rand(samples, 4, *size), torch.rand(samples, 3, *window), torch.rand(samples, 4, *window)


def test_what_windows_agree_on_comes_out_as_it_is():
    condition, exemplar, other = parts()
    painter = Painter()
    assert isinstance(painter, Translator)
    made = extrapolate(painter, condition, exemplar, other, at_random=5, at_once=3)
    assert torch.allclose(made, condition[:, :3] * exemplar.mean((1, 2, 3))[:, None, None, None], atol=1e-5)
    assert max(painter.batches) == 3 and sum(painter.batches) == 2 * 9


@pytest.mark.parametrize("weight", [None, "plain"])
def test_weighted_combination_by_hand(weight):
    condition, exemplar, other = parts()
    weights = raised_cosine((12, 14)) if weight is None else torch.ones(12, 14)
    made = extrapolate(Painter(flat=True), condition, exemplar, other, 5, 7, None if weight is None else weights)
    for sample in range(2):
        top, bottom = torch.zeros(3, 20, 24).double(), torch.zeros(20, 24).double()
        for y, x in window_places((20, 24), (12, 14), 5, 7).tolist():
            colour = condition[sample, :3, y : y + 12, x : x + 14].mean((1, 2)).double() * exemplar[sample].mean().double()
            for i in range(12):
                for j in range(14):
                    top[:, y + i, x + j] += weights[i, j] * colour
                    bottom[y + i, x + j] += weights[i, j]
        assert torch.allclose(made[sample].double(), top / bottom, atol=1e-5)


def test_a_canvas_depends_on_its_seed_alone():
    given_parts = parts()
    one, same, other = (
        extrapolate(Painter(flat=True), *given_parts, seed=seed, at_once=n) for seed, n in ((3, 8), (3, 5), (4, 8))
    )
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_what_makes_no_canvas_is_refused():
    condition, exemplar, other = parts()
    with pytest.raises(ValueError, match="got weights from 0, expected all above 0"):
        extrapolate(Painter(), condition, exemplar, other, weight=torch.zeros(12, 14))
    with pytest.raises(ValueError, match="on a canvas of 8 × 24"):
        extrapolate(Painter(), condition[:, :, :8], exemplar, other)
    assert torch.equal(centre_patch(condition, (12, 14)), condition[:, :, 4:16, 5:19])
    with pytest.raises(ValueError, match="expected one no smaller than the patch"):
        centre_patch(condition, (21, 2))
