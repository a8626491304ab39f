import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.filters import gaussian

from exemplar_lab.data.degrade import (
    BLOCKS,
    BLUR,
    COLOUR,
    DEAD,
    FADED,
    FAMILIES,
    HELD_OUT,
    NOISE,
    PATCH,
    SHUFFLED,
    SMEAR,
    WARP,
    degrade,
)
from exemplar_lab.data.distort import pixel_centres
from exemplar_lab.data.seeds import uniform

LEVELS = tuple(level / 8 for level in range(9))
families = pytest.mark.parametrize("family", FAMILIES | HELD_OUT)


def smooth_images(number=3, size=(32, 48)):
    coarse = torch.rand(number, 3, 6, 9, dtype=torch.float64)
    return F.interpolate(coarse, size, mode="bicubic", align_corners=False).clamp(0.05, 0.95)


@families
def test_strength_0_changes_nothing_and_strength_1_does(family):
    image, seeds = smooth_images(), torch.arange(3)
    assert torch.allclose(degrade(image, family, 0, seeds), image, atol=1e-9)
    assert ((degrade(image, family, 1.0, seeds) - image).abs().flatten(1).mean(1) > 0.005).all()


@families
@settings(max_examples=25)
@given(seed=st.integers(0, 2**40), strength=st.floats(0, 1), size=st.sampled_from([(16, 16), (24, 32), (40, 16)]))
def test_colours_stay_colours_and_shapes_stay_shapes(family, seed, strength, size):
    image = torch.rand(2, 3, *size)
    worse = degrade(image, family, strength, torch.tensor([seed, 3]))
    assert worse.shape == image.shape and worse.dtype == image.dtype
    assert worse.min() >= 0 and worse.max() <= 1 + 1e-6


@families
def test_a_sample_depends_on_its_seed_and_strength_alone(family):
    image, seeds = smooth_images(), torch.tensor([5, 2**40, 7])
    strength = torch.tensor([0.3, 0.9, 0.6], dtype=torch.float64)
    together = degrade(image, family, strength, seeds)
    alone = [degrade(image[i : i + 1], family, float(strength[i]), seeds[i : i + 1]) for i in range(3)]
    assert torch.allclose(together, torch.cat(alone), atol=1e-9)
    again = degrade(image[:1].expand(2, -1, -1, -1), family, 0.9, torch.tensor([1, 2]))
    assert torch.equal(again[0], again[1]) == (family in ("blur", "fading"))


@families
def test_more_strength_is_more_of_the_same(family):
    image = smooth_images(4)
    steps = torch.stack([degrade(image, family, level, torch.arange(4)) for level in LEVELS])
    change = (steps - image).abs()
    if family not in ("blur", "warp", "motion blur"):  # at every pixel
        assert (change[1:] >= change[:-1] - 1e-9).all()
    assert (change.flatten(2).mean(2).diff(dim=0) > 0).all()


def test_blur_is_a_gaussian_of_the_promised_width():
    image = smooth_images(1)
    expected = gaussian(image[0].movedim(0, -1).numpy(), 0.5 * BLUR * 48, mode="mirror", truncate=6, channel_axis=-1)
    worse = degrade(image, "blur", 0.5, torch.zeros(1, dtype=torch.long))[0].movedim(0, -1)
    assert torch.allclose(worse, torch.from_numpy(expected), atol=2e-3)


def test_noise_has_the_promised_deviation_and_one_field_for_all_strengths():
    image = torch.full((1, 3, 64, 64), 0.5, dtype=torch.float64)
    weak, strong = (degrade(image, "noise", level, torch.tensor([3])) - image for level in (0.1, 0.2))
    assert torch.allclose(strong, 2 * weak, atol=1e-9)
    assert strong.std() == pytest.approx(0.2 * NOISE, rel=0.03) and abs(strong.mean()) < 0.01 * NOISE


def test_colours_all_move_one_way_by_the_promised_length():
    image = torch.full((200, 3, 16, 16), 0.5, dtype=torch.float64)
    moved = degrade(image, "colour shift", 1.0, torch.arange(200)) - image
    assert torch.allclose(moved, moved[:, :, :1, :1].expand_as(moved))
    direction = moved[:, :, 0, 0]
    assert torch.allclose(direction.norm(dim=1), torch.full((200,), COLOUR, dtype=torch.float64))
    assert (direction.mean(0).abs() < 0.25 * COLOUR).all()  # all ways alike


def test_warp_moves_points_by_the_promised_mean_square():
    """A picture of where each pixel lies: where it is read is what it shows."""
    size, seeds = (48, 48), torch.arange(40)
    place = pixel_centres(size)[0].double() / 48
    image = torch.cat([place, torch.zeros(1, 48, 48, dtype=torch.float64)]).expand(40, -1, -1, -1)
    moved = [(degrade(image, "warp", level, seeds) - image)[:, :2] for level in (0.5, 1.0)]
    inside = ((image[:, :2] + moved[1] - 0.5).abs().amax(1) < 0.48)[:, None].expand(-1, 2, -1, -1)  # the rest reads the border
    assert torch.allclose(moved[1][inside], 2 * moved[0][inside], atol=1e-6)
    assert (moved[1].square().sum(1).flatten(1).mean(1).sqrt() - WARP).abs().max() < 0.1 * WARP
    assert torch.where(inside, moved[1], 0).diff(dim=-1)[inside[..., 1:] & inside[..., :-1]].abs().max() < 1 / 48  # no folds


def test_shuffled_blocks_swap_in_pairs_and_the_order_of_swaps_does_not_change():
    number = torch.arange(BLOCKS**2, dtype=torch.float64).view(1, 1, BLOCKS, BLOCKS) / BLOCKS**2
    image = number.repeat_interleave(4, 2).repeat_interleave(2, 3).expand(1, 3, -1, -1)
    before: set = set()
    for level in LEVELS:
        shown = degrade(image, "block shuffle", level, torch.tensor([9]))[0, 0]
        block = (shown.unflatten(0, (BLOCKS, 4)).unflatten(2, (BLOCKS, 2))[:, 0, :, 0] * BLOCKS**2).round().long().flatten()
        assert torch.equal(block[block], torch.arange(BLOCKS**2))  # its own inverse
        swapped = {(i, int(j)) for i, j in enumerate(block) if i != j}
        assert len(swapped) == round(level * SHUFFLED * BLOCKS**2) and before <= swapped
        before = swapped


def test_motion_smears_a_point_along_a_line_of_the_promised_length():
    image = torch.zeros(20, 3, 65, 65, dtype=torch.float64)
    image[:, :, 32, 32] = 1
    smeared = degrade(image, "motion blur", 1.0, torch.arange(20))[:, 0]
    place = pixel_centres((65, 65))[0].double() - 32.5
    assert torch.allclose(smeared.sum((1, 2)), torch.ones(20, dtype=torch.float64))
    spread = torch.einsum("bhw,xhw,yhw->bxy", smeared, place, place)
    short, long = torch.linalg.eigvalsh(spread).unbind(1)
    reach = SMEAR * 65
    assert torch.allclose(long, torch.full_like(long, reach**2 * 91 * 2 / 36 / 13), rtol=0.15)  # Σ (i / 6)² / 13, i = −6 … 6
    assert (short < 0.6).all()


def test_dead_pixels_fading_and_patch_do_what_they_promise():
    image, seeds = smooth_images(2, (64, 64)), torch.arange(2)
    dead = degrade(image, "dead pixels", 0.5, seeds)
    changed = (dead != image).any(1)
    assert changed.double().mean() == pytest.approx(0.5 * DEAD, abs=0.02)
    assert set(dead.movedim(1, -1)[changed].unique().tolist()) == {0.0, 1.0}
    faded = degrade(image, "fading", 1.0, seeds)
    assert torch.allclose(faded.mean((2, 3)), image.mean((2, 3)))
    assert torch.allclose(faded.std((2, 3)), (1 - FADED) * image.std((2, 3)))
    covered = (degrade(image, "patch", 1.0, seeds) != image).any(1)
    assert torch.allclose(covered.double().mean((1, 2)), torch.full((2,), PATCH**2).double(), atol=0.04)


@pytest.mark.parametrize(
    "family, strength, size, message",
    [
        ("rain", 0.5, 16, "got the family 'rain', expected one of blur, noise"),
        ("blur", 1.5, 16, "got strengths from 1.5 to 1.5, expected 0 … 1"),
        ("noise", -0.1, 16, "expected 0 … 1"),
        ("warp", float("nan"), 16, "expected 0 … 1"),
        ("block shuffle", 0.5, 20, "got images of 20 × 20 pixels, expected sides that are multiples of 8"),
    ],
)
def test_what_cannot_be_is_refused(family, strength, size, message):
    with pytest.raises(ValueError, match=message):
        degrade(torch.rand(1, 3, size, size), family, strength, torch.zeros(1, dtype=torch.long))


@families
def test_no_images_are_no_images(family):
    assert degrade(torch.empty(0, 3, 16, 16), family, 0.5, torch.empty(0, dtype=torch.long)).shape == (0, 3, 16, 16)


def test_noise_is_drawn_as_all_numbers_of_the_world_are():
    image = torch.full((1, 3, 16, 16), 0.5)
    field = (degrade(image, "noise", 0.2, torch.tensor([4])) - image) / (0.2 * NOISE)
    share = uniform(torch.tensor([4]), "noise", (3, 16, 16))
    assert torch.allclose(torch.distributions.Normal(0, 1).cdf(field).double(), share, atol=1e-4)
