"""Images drawn again while they stream, the Fréchet and the kernel distance: against loops, SciPy and torchmetrics."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kornia.filters import gaussian_blur2d
from scipy.linalg import sqrtm
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from exemplar_lab.data.synth.people import People
from exemplar_lab.metrics.frechet import Moments, frechet_distance, join_moments, moments, pooled
from exemplar_lab.metrics.kernel import BLOCK, KernelSums, join_kernel_sums, kernel_distance, kernel_sums
from exemplar_lab.metrics.resampling import basic_interval, distance_interval, half_times
from exemplar_lab.nn.features import features

quick = settings(max_examples=20)


def cloud(n: int, d: int, seed: int = 0, rank: int | None = None) -> Tensor:
    """n correlated vectors far from the origin, float64; `rank`: of their covariance."""
    generator = torch.Generator().manual_seed(seed)
    mixed = torch.randn(n, rank or d, generator=generator, dtype=torch.float64)
    return 3 + mixed @ torch.randn(rank or d, d, generator=generator, dtype=torch.float64) / d**0.5


# Drawn again


@quick
@given(st.permutations(range(12)), st.integers(0, 12), st.integers(-5, 5))
def test_times_depend_on_number_draw_and_seed_alone(order, cut, seed):
    number = torch.arange(12) * 1000
    whole = half_times(number, 7, seed)
    shuffled = torch.tensor(order)
    parts = [half_times(number[part], 7, seed) for part in (shuffled[:cut], shuffled[cut:])]
    assert torch.equal(torch.cat(parts, 1), whole[:, shuffled])
    assert torch.equal(half_times(number, 3, seed), whole[:4])  # more draws change no earlier one
    assert not torch.equal(half_times(number, 7, seed + 1), whole)


def test_halves_are_complementary_and_independent():
    times = half_times(torch.arange(2000), 101)
    assert times.shape == (102, 2000) and (times[0] == 1).all()
    first, second = times[1:-1].unflatten(0, (-1, 2)).unbind(1)
    assert torch.equal(first + second, torch.full_like(first, 2)) and set(first.unique().tolist()) == {0, 2}
    centred = first - 1
    assert abs(centred.mean()) < 5 / math.sqrt(first.numel())
    assert (centred @ centred.T / 2000 - torch.eye(50)).abs().max() < 0.15
    assert abs((centred[:, 1:] * centred[:, :-1]).mean()) < 5 / math.sqrt(first.numel())
    shuffled = torch.randperm(2000)
    assert torch.equal(half_times(shuffled, 101), times[:, shuffled])
    assert torch.equal(half_times(shuffled, 4), times[:5, shuffled])
    assert not torch.equal(half_times(shuffled, 4, seed=1), times[:5, shuffled])
    with pytest.raises(ValueError, match="got -2 draws"):
        half_times(shuffled, -2)


def mean_distances(one: Tensor, other: Tensor, trial: int) -> Tensor:
    """|μ₁ − μ₂|² with its replicates, of independent sets."""
    means = []
    for side, x in enumerate((one, other)):
        times = half_times(torch.arange(len(x)), 60, 2 * trial + side)
        means.append(times @ x / times.sum(1, keepdim=True))
    return (means[0] - means[1]).square().sum(1)


@pytest.mark.parametrize(
    ("apart", "d", "holds_zero"), [(0, 1, (0.9, 0.99)), (0, 20, (0.9, 0.99)), (1, 1, (0, 0.02)), (1, 20, (0, 0.1))]
)
def test_interval_of_a_distance_holds_the_truth_and_no_more(apart, d, holds_zero):
    """150 pairs of independent sets, equal or one deviation apart: 95 % of the intervals hold the true square."""
    generator = torch.Generator().manual_seed(d)
    truth, zero = 0, 0
    for trial in range(150):
        one, other = torch.randn(2, 60, d, generator=generator, dtype=torch.float64)
        other[:, 0] += apart
        interval = distance_interval(mean_distances(one, other, trial))
        truth += interval["low"] <= apart**2 <= interval["high"]
        zero += interval["low"] <= 0 <= interval["high"]
    assert 0.89 <= truth / 150 <= 0.99
    assert holds_zero[0] <= zero / 150 <= holds_zero[1]


def test_interval_of_a_root_is_the_root_of_the_interval():
    values = mean_distances(cloud(60, 3), cloud(60, 3, 1) + 2, 0)
    squares, roots = distance_interval(values), distance_interval(values.sqrt(), root=True)
    assert roots["mean"] == pytest.approx(values[0].item() ** 0.5)
    assert (roots["low"], roots["high"]) == pytest.approx((squares["low"] ** 0.5, squares["high"] ** 0.5))
    alike = mean_distances(cloud(60, 3), cloud(60, 3)[torch.randperm(60)], 0)
    below = distance_interval(alike)
    assert below["low"] < 0
    assert distance_interval(alike.sqrt(), root=True)["low"] == pytest.approx(-math.sqrt(-below["low"]))
    spoilt = torch.cat([values, torch.tensor([math.nan, 1.0, 2.0])])  # a pair with NaN, and half a pair
    assert distance_interval(spoilt) == squares
    assert math.isnan(distance_interval(values[:3])["low"])


def test_nothing_but_zeros_has_an_interval_of_zero():
    assert distance_interval(torch.zeros(21)) == {"mean": 0, "half_width": 0, "low": 0, "high": 0}


def test_basic_interval_turns_the_replicates_around_what_was_measured():
    values = torch.cat([torch.tensor([10.0]), torch.linspace(12, 16, 1001), torch.tensor([math.nan, math.inf])])
    interval = basic_interval(values)
    assert interval == pytest.approx({"mean": 10, "half_width": 1.9, "low": 4.1, "high": 7.9}, abs=1e-5)
    alone = basic_interval(values[:1])
    assert alone["mean"] == 10 and math.isnan(alone["low"]) and math.isnan(alone["half_width"])


def test_interval_of_a_mean_covers_it_as_often_as_it_says():
    """Half-samples of a mean, 200 times: 95 % of the intervals hold the truth."""
    generator = torch.Generator().manual_seed(0)
    hits = 0
    for trial in range(200):
        value = torch.empty(100, dtype=torch.float64).exponential_(generator=generator)
        times = half_times(torch.arange(100), 300, trial)
        interval = basic_interval(times @ value / times.sum(1))
        hits += interval["low"] < 1 < interval["high"]
    assert 0.88 <= hits / 200 <= 0.99


# Fréchet distance


def by_scipy(one: Tensor, other: Tensor) -> float:
    means, covariances = ([f(x) for x in (one, other)] for f in (lambda x: x.mean(0), lambda x: torch.atleast_2d(x.T.cov())))
    root = np.real(sqrtm((covariances[0] @ covariances[1]).numpy()))
    return float((means[0] - means[1]).square().sum() + sum(c.trace() for c in covariances) - 2 * np.trace(root))


def once(x: Tensor) -> Moments:
    return moments(x, torch.ones(1, len(x)))


@pytest.mark.filterwarnings("ignore:Matrix is singular")
@quick
@given(st.integers(2, 40), st.integers(2, 40), st.integers(1, 12), st.integers(0, 1000))
def test_frechet_distance_equals_scipy(n, m, d, seed):
    one, other = cloud(n, d, seed), cloud(m, d, seed + 1) * 1.5
    assert frechet_distance(once(one), once(other)).item() == pytest.approx(by_scipy(one, other), abs=1e-4, rel=1e-5)


def test_frechet_distance_of_gaussians_along_axes():
    """Diagonal covariances commute: |μ₁ − μ₂|² + Σ (σ₁ − σ₂)²."""
    axis = torch.tensor([[1.0, 0], [-1, 0], [0, 1], [0, -1]], dtype=torch.float64)
    one, other = axis * torch.tensor([1.0, 3]), axis * torch.tensor([2.0, 0]) + torch.tensor([4.0, 5])
    expected = 41 + (2 / 3) * (1 + 9)  # unbiased variances of ±a, 0, 0 are 2a²/3; the second set is flat
    assert frechet_distance(once(one), once(other)).item() == pytest.approx(expected)


@quick
@given(st.integers(0, 1000), st.permutations(range(4)))
def test_moments_join_in_any_order(seed, order):
    x, number = cloud(21, 5, seed), torch.arange(21)
    cuts = [slice(0, 1), slice(1, 9), slice(9, 9), slice(9, 21)]
    parts = [moments(x[cut], half_times(number[cut], 6)) for cut in cuts]
    whole = moments(x, half_times(number, 6))
    for joined in (
        join_moments([parts[i] for i in order]),
        join_moments([join_moments(parts[:2]), join_moments(parts[2:])]),
    ):
        assert torch.equal(joined.weight, whole.weight)
        torch.testing.assert_close(joined.total, whole.total)
        torch.testing.assert_close(joined.square, whole.square)
    untouched = moments(x[:1], half_times(number[:1], 6))
    assert torch.equal(parts[0].square, untouched.square)  # what is joined stays as it was


def test_replicates_are_the_distances_of_images_repeated():
    one, other = cloud(30, 4), cloud(25, 4, 1)
    times = [half_times(torch.arange(n), 5, seed) for seed, n in enumerate((30, 25))]
    found = frechet_distance(moments(one, times[0]), moments(other, times[1]))
    for r, distance in enumerate(found.tolist()):
        repeated = [x.repeat_interleave(t[r].long(), dim=0) for x, t in ((one, times[0]), (other, times[1]))]
        assert distance == pytest.approx(by_scipy(*repeated), abs=1e-6)


@pytest.mark.parametrize(("n", "rank"), [(5, None), (60, 3), (60, None)])
def test_frechet_distance_of_a_set_to_itself_is_nothing_even_when_singular(n, rank):
    x = cloud(n, 40, rank=rank)
    found = frechet_distance(once(x), once(x))
    assert found.dtype == torch.float64 and abs(found.item()) < 1e-5 * float(x.T.cov().trace())
    moved = frechet_distance(once(x), once(x + 0.1)).item()
    assert moved == pytest.approx(0.4, rel=1e-3)  # 40 · 0.1²
    constant = frechet_distance(once(torch.full((4, 3), 2.0)), once(torch.full((9, 3), 5.0)))
    assert constant.item() == pytest.approx(27)


def test_frechet_distance_equals_torchmetrics():
    """The whole way from images: its sums over batches with a network of ours in Inception's place."""

    class Extractor(nn.Module):
        num_features = 6

        def __init__(self) -> None:
            super().__init__()
            self.filters = nn.Conv2d(3, 6, 5, stride=3)

        def forward(self, image: Tensor) -> Tensor:
            return pooled(self.filters(image).relu())

    extractor = Extractor().requires_grad_(False)
    theirs = FrechetInceptionDistance(feature=extractor, normalize=True, input_img_size=(3, 16, 16))
    real, made = torch.rand(40, 3, 16, 16), torch.rand(56, 3, 16, 16) ** 2
    ours: dict[bool, list[Moments]] = {True: [], False: []}
    for is_real, images in ((True, real), (False, made)):
        for batch in images.split(8):
            theirs.update(batch, real=is_real)
            ours[is_real].append(once(extractor(batch)))
    distance = frechet_distance(*(join_moments(parts) for parts in ours.values()))
    assert distance.item() == pytest.approx(theirs.compute().item(), rel=1e-4)
    assert distance.item() > 1e-3


def test_what_cannot_be_measured_is_refused(unchecked):
    x, times = cloud(6, 4), torch.ones(1, 6)
    with pytest.raises(ValueError, match="set of 1 images, expected at least 2"):
        frechet_distance(once(x), once(x[:1]))
    with pytest.raises(ValueError, match="expected the same: measure both with one network"):
        frechet_distance(once(x), once(x[:, :3]))
    with pytest.raises(ValueError, match="expected the same: measure both"):
        frechet_distance(once(x), moments(x, torch.ones(2, 6)))
    with pytest.raises(ValueError, match="NaN or infinite of 2 of 6 images"):
        moments(x.index_fill(0, torch.tensor([1, 4]), math.nan), times)
    with pytest.raises(ValueError, match="expected as many"):
        moments(x[:5], times)
    with pytest.raises(ValueError, match="at least one"):
        join_moments([])
    with pytest.raises(ValueError, match="of all parts"):
        join_moments([once(x), once(x[:, :3])])


def test_a_replicate_without_images_is_unknown():
    x = cloud(3, 2)
    times = torch.tensor([[1.0, 1, 1], [0, 0, 0], [0, 1, 0], [0, 2, 1]])
    found = frechet_distance(moments(x, times), moments(x, torch.ones(4, 3)))
    assert found.isnan().tolist() == [False, True, True, False]


# Kernel distance


def kernel_by_loops(made: Tensor, target: Tensor, number: Tensor, paired: bool, times: Tensor, target_times: Tensor) -> float:
    """All pairs of rows of one block of 64 numbers, three means."""
    sums = {kind: [0.0, 0.0] for kind in ("made", "target", "across")}
    for i in range(len(made)):
        for j in range(len(made)):
            if number[i] // 64 != number[j] // 64:
                continue
            rows = {"made": (made[i], made[j], times[i] * times[j]), "across": (made[i], target[j], times[i] * target_times[j])}
            rows["target"] = (target[i], target[j], target_times[i] * target_times[j])
            for kind, (x, y, weight) in rows.items():
                if number[i] != number[j] or (kind == "across" and not paired):
                    sums[kind][0] += float(weight * (x @ y / len(x) + 1) ** 3)
                    sums[kind][1] += float(weight)
    means = {kind: total / weight if weight else math.nan for kind, (total, weight) in sums.items()}
    return means["made"] + means["target"] - 2 * means["across"]


@quick
@given(st.integers(2, 20), st.integers(0, 100), st.booleans())
def test_kernel_distance_equals_loops(n, seed, paired):
    made, target = cloud(n, 3, seed), cloud(n, 3, seed + 1) + 0.3
    number = torch.arange(n) * 3 + 60  # the first two of them end a block
    times, other = half_times(number, 2), half_times(number, 2, 1)
    found = kernel_distance(kernel_sums(made, target, number, times, None if paired else other))
    for r in range(3):
        expected = kernel_by_loops(made, target, number, paired, times[r], (times if paired else other)[r])
        assert found[r].item() == pytest.approx(expected, rel=1e-6, abs=1e-9, nan_ok=True)


@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance`")
@pytest.mark.parametrize("n", [2, 40, 64])
def test_kernel_distance_of_one_block_equals_torchmetrics(n):
    class Given(nn.Module):
        num_features = 8

        def forward(self, image: Tensor) -> Tensor:
            return image

    theirs = KernelInceptionDistance(feature=Given(), subset_size=n, subsets=1, normalize=False)
    one, other = cloud(n, 8).float(), cloud(n, 8, 1).float() + 0.2
    theirs.update(one, real=True)
    theirs.update(other, real=False)
    ones = torch.ones(1, n)
    ours = kernel_distance(kernel_sums(one, other, torch.arange(n), ones, ones)).item()
    assert ours == pytest.approx(theirs.compute()[0].item(), rel=1e-4)


@quick
@given(st.permutations(range(150)), st.lists(st.integers(0, 150), max_size=4), st.booleans())
def test_kernel_sums_join_in_any_order_and_keep_nothing_but_unfilled_blocks(order, cuts, paired):
    made, target = cloud(150, 3), cloud(150, 3, 1)
    shuffled = torch.tensor(order)
    times = half_times(torch.arange(150), 2)
    other = None if paired else half_times(torch.arange(150), 2, 1)

    def part(rows: Tensor) -> KernelSums:
        return kernel_sums(made[rows], target[rows], rows, times[:, rows], None if paired else other[:, rows])

    edges = [0, *sorted(cuts), 150]
    parts = [part(shuffled[a:b]) for a, b in zip(edges, edges[1:], strict=False)]
    joined = join_kernel_sums(parts)
    one_by_one = parts[0]
    for each in parts[1:]:
        one_by_one = join_kernel_sums([one_by_one, each])
    whole = part(torch.arange(150))
    for each in (whole, joined, one_by_one):
        assert sorted(each.number.tolist()) == list(range(128, 150))
        torch.testing.assert_close(kernel_distance(each), kernel_distance(whole))


def test_kernel_distance_is_unbiased_and_blocks_do_not_favour_a_copy():
    """Independent sets of one distribution: 0 on average. Pairs that are alike are not compared, so a copy is at 0 exactly."""
    x, y = cloud(64 * 60, 4), cloud(64 * 60, 4, 0)[torch.randperm(64 * 60)]
    ones = torch.ones(1, 64)
    found = torch.stack(
        [
            kernel_distance(kernel_sums(a, b, torch.arange(64), ones, ones))[0]
            for a, b in zip(x.split(64), y.split(64), strict=True)
        ]
    )
    assert found.mean().abs() < 3 * found.std() / 60**0.5
    assert (found < 0).any()
    copied = kernel_distance(kernel_sums(x[:64], x[:64], torch.arange(64), ones))
    assert copied.abs().item() < 1e-9
    assert kernel_distance(kernel_sums(x[:64], x[:64], torch.arange(64), ones, ones)).item() < -1e-3


def test_levels_of_one_pair_are_not_compared():
    x = cloud(6, 3)
    number = torch.tensor([0, 0, 1, 1, 2, 2])
    sums = kernel_sums(x, x + 1, number, torch.ones(1, 6))
    assert sums.number.tolist() == number.tolist() and not sums.pairs.any()
    assert kernel_distance(sums).item() == pytest.approx(
        kernel_by_loops(x, x + 1, number, True, torch.ones(6), torch.ones(6)), rel=1e-6
    )


def test_a_kernel_distance_that_cannot_be_measured_is_refused(unchecked):
    x, ones = cloud(3, 4), torch.ones(1, 3)
    with pytest.raises(ValueError, match="no two images in a block"):
        kernel_distance(kernel_sums(x, x, torch.arange(3) * BLOCK, ones))
    with pytest.raises(ValueError, match="NaN or infinite of 1 of 3 targets"):
        kernel_sums(x, x.index_fill(0, torch.tensor([1]), math.inf), torch.arange(3), ones)
    with pytest.raises(ValueError, match="equally many of one network"):
        kernel_sums(x, x[:, :2], torch.arange(3), ones)
    with pytest.raises(ValueError, match="of all parts"):
        join_kernel_sums([kernel_sums(x, x, torch.arange(3), ones), kernel_sums(x, x, torch.arange(3), ones, ones)])
    with pytest.raises(ValueError, match="at least one"):
        join_kernel_sums([])


# On the procedural world


@pytest.mark.parametrize("name", ["fixed", "lab"])
def test_two_halves_of_one_split_cannot_be_told_apart_and_a_blur_can(name):
    """The numbers that are asked for, on few images: 0 within the interval of disjoint halves, not within that of a change."""
    network = features(name)
    image = People(32, "test", truth=False).batch(torch.arange(128)).target
    number = torch.arange(128)

    def sums(x: Tensor, which: Tensor) -> Moments:
        return moments(pooled(network(x, ["relu5_2"])["relu5_2"]), half_times(which, 40))

    halves = distance_interval(frechet_distance(sums(image[:64], number[:64]), sums(image[64:], number[64:])))
    blurred = distance_interval(frechet_distance(sums(image, number), sums(gaussian_blur2d(image, (5, 5), (1.0, 1.0)), number)))
    inverted = distance_interval(frechet_distance(sums(image[:64], number[:64]), sums(1 - image[64:], number[64:])))
    assert halves["low"] < 0 < halves["high"]
    assert blurred["low"] > 0 and inverted["low"] > 0
