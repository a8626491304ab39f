"""The cascade without learning, its features, its metrics and its figures: against loops, and where the answer is known."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.patches import Polygon
from pages import on_the_page
from test_sparse import inner_twin, inter_twin

from exemplar_lab.correspondence import SparseMatch
from exemplar_lab.data.synth.planted import planted_features, planted_pyramid
from exemplar_lab.grid import cell_centres
from exemplar_lab.metrics.candidates import block_seams, candidate_recall, distinct_candidates, exact_match, true_index
from exemplar_lab.metrics.cells import CellTruth
from exemplar_lab.ops.cascade import cascade_cost, match_cascade
from exemplar_lab.translation import Truth
from exemplar_lab.viz.intervals import interval_curves, scaling_curves
from exemplar_lab.viz.propagation import candidate_journey

seeds = st.integers(0, 2**31)
SIZES = [(2, 3), (4, 6), (8, 12)]


def random_features(sizes=SIZES, batch: int = 2, channels: int = 5, seed: int = 0) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return [F.normalize(torch.randn(batch, h * w, channels, generator=draw, dtype=torch.float64), dim=-1) for h, w in sizes]


def square_truth(points: torch.Tensor, visible: torch.Tensor, pixels: int) -> CellTruth:
    return CellTruth(
        points[:, None], visible, ~visible, visible.to(points), torch.full((len(points),), float(pixels)), (pixels, pixels)
    )


# The cascade.


def chosen(weight: np.ndarray, index: np.ndarray, count: int, once: bool) -> np.ndarray:
    """The best of one row; with `once` a position's first place stands for all of them."""
    if once:
        places = [t for t in range(len(index)) if index[t] not in index[:t]]
        total = [weight[index == index[t]].sum() for t in places]
        return np.array([index[t] for _, t in sorted(zip(total, places, strict=True), key=lambda one: -one[0])][:count])
    return index[np.argsort(-weight, kind="stable")[:count]]


def cascade_twin(queries, keys, sizes, count, tau, inner, once):
    """One sample, one row at a time: [(candidates, weights, kept)] for every block."""
    blocks = []
    for scale, (query, key, size) in enumerate(zip(queries, keys, sizes, strict=True)):
        steps = ["dense"] if scale == 0 else ["inter"] + ["inner"] * inner
        for step in steps:
            if step == "dense":
                index = np.tile(np.arange(len(key)), (len(query), 1))
            else:
                before = blocks[-1][2], sizes[scale - 1] if step == "inter" else size
                index = {"inter": inter_twin, "inner": inner_twin}[step](before[0], before[1], before[1])
            weights, kept = [], []
            for q, row in zip(query, index, strict=True):
                score = tau * key[row] @ q
                likely = np.exp(score - score.max())
                if once:
                    likely *= [row[t] not in row[:t] for t in range(len(row))]
                weights.append(likely / likely.sum())
                kept.append(chosen(weights[-1], row, count, once))
            blocks.append((index, np.array(weights), np.array(kept)))
    return blocks


@pytest.mark.parametrize("inner, once", list(product((0, 1, 2), (False, True))))
def test_the_cascade_is_that_of_the_loops(inner, once):
    queries, keys = random_features(), random_features(seed=1)
    ours = match_cascade(queries, keys, SIZES, top_k=3, tau=4.0, inner=inner, once=once)
    assert [layer.kind for layer in ours] == ["dense"] + (["inter"] + ["inner"] * inner) * 2
    for sample in range(2):
        twin = cascade_twin([q[sample].numpy() for q in queries], [k[sample].numpy() for k in keys], SIZES, 3, 4.0, inner, once)
        for layer, (index, weight, kept) in zip(ours, twin, strict=True):
            assert np.array_equal(np.sort(layer.kept[sample].numpy()), np.sort(kept))
            rows = np.zeros((len(index), layer.match.key_size[0] * layer.match.key_size[1]))
            for row, at, how_much in zip(rows, index, weight, strict=True):
                np.add.at(row, at, how_much)
            assert np.abs(layer.match.dense().weight[sample].numpy() - rows).max() < 1e-9


def test_all_positions_as_candidates_are_dense_matching():
    queries, keys = random_features(SIZES[:2]), random_features(SIZES[:2], seed=1)
    last = match_cascade(queries, keys, SIZES[:2], top_k=6, tau=3.0, inner=0)[-1].match
    dense = match_cascade(queries[1:], keys[1:], SIZES[1:2], tau=3.0)[0].match
    assert torch.allclose(last.dense().weight, dense.weight, atol=1e-9)


@pytest.mark.parametrize("inner, once", list(product((0, 1, 2), (False, True))))
def test_an_image_finds_itself(inner, once):
    features = random_features(channels=16)
    for layer in match_cascade(features, features, SIZES, inner=inner, once=once):
        itself = torch.arange(layer.match.query_size[0] * layer.match.query_size[1])
        assert (layer.match.argmax().flatten(1) == itself).all()


def test_counted_once_a_position_is_not_kept_twice_even_where_weights_vanish():
    layers = match_cascade(random_features(), random_features(seed=1), SIZES, top_k=4, tau=1e4, once=True)
    for layer in layers[1:]:
        assert (layer.match.weight == 0).float().mean() > 0.5
        for offered, kept in zip(layer.match.index.flatten(0, 1).tolist(), layer.kept.flatten(0, 1).tolist(), strict=True):
            assert len(set(kept)) == min(4, len(set(offered)))


def test_a_cascade_refuses_what_does_not_fit():
    features = random_features()
    with pytest.raises(ValueError, match="got 3 queries, 3 keys and 2 sizes, expected one of each"):
        match_cascade(features, features, SIZES[:2])
    with pytest.raises(ValueError, match=r"got a grid of \(8, 12\) after \(2, 3\), expected \(4, 6\)"):
        match_cascade(features[::2], features[::2], SIZES[::2])


@pytest.mark.parametrize("inner", [0, 1, 2])
def test_the_cost_is_what_is_computed(inner):
    sides, channels, k = (4, 8, 16), (12, 8, 4), 3
    features = [F.normalize(torch.rand(1, n * n, c), dim=-1) for n, c in zip(sides, channels, strict=True)]
    layers = match_cascade(features, features, [(n, n) for n in sides], top_k=k, inner=inner)
    costs = cascade_cost(sides, channels, k, inner)
    for layer, cost in zip(layers, costs, strict=True):
        assert cost.scores == layer.match.weight.numel()
        tensors = [layer.match.weight] if layer.kind == "dense" else [layer.match.weight, layer.match.index]
        assert cost.held == sum(one.numel() * one.element_size() for one in tensors)
    dense = costs[0]
    assert dense == (256, 2 * 12 * 256, 4 * (2 * 16 * 12 + 256), 4 * 256)
    plain, gathered = costs[1], cascade_cost(sides, channels, k, inner, gathered=True)[1]
    assert gathered.held - plain.held == 4 * 64 * 4 * k * 8 and gathered.scores == plain.scores
    assert gathered.moved - plain.moved == 2 * 4 * 64 * 4 * k * 8, "written once, read once more"


# Planted features.


def shifted(side: int, by: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """A flow by whole cells, and where it stays inside."""
    points = cell_centres((side, side)).T.unflatten(1, (side, side))[None] + torch.tensor(by)[:, None, None]
    return points, ((points > 0) & (points < side)).all(1)


@pytest.mark.parametrize("smooth", [0, 1, 2])
def test_without_noise_the_planted_match_is_found(smooth):
    points, visible = shifted(8, (2, -1))
    query, key = planted_features(points, visible, (8, 8), 0.0, smooth, channels=32)
    best = (query @ key.transpose(1, 2)).argmax(-1).unflatten(1, (8, 8))
    truth = square_truth(points, visible, 8)
    assert (best == true_index(truth, (8, 8)))[visible].all()
    assert torch.allclose(key.norm(dim=-1), torch.ones(1, 64)) and torch.allclose(query.norm(dim=-1), torch.ones(1, 64))
    near = (key[:, 1:] * key[:, :-1]).sum(-1).mean()
    assert abs(near) < 0.15 if smooth == 0 else near > 0.35, "smoothing makes neighbours alike"


def test_noise_has_the_length_it_says_and_one_direction():
    points, visible = shifted(8, (0, 0))
    clean, key = planted_features(points, visible, (8, 8), 0.0, seed=3)
    for noise in (0.5, 2.0):
        query, same = planted_features(points, visible, (8, 8), noise, seed=3)
        assert torch.equal(same, key)
        cosine = (query * clean).sum(-1).mean()
        assert abs(cosine - (1 + noise**2) ** -0.5) < 0.03
    assert not torch.equal(planted_features(points, visible, (8, 8), 0.0, seed=4)[1], key)


def test_hidden_cells_know_nothing_and_may_be_nan():
    points, visible = shifted(8, (3, 0))
    gone = torch.where(visible[:, None], points, torch.nan)
    query, key = planted_features(gone, visible, (8, 8), 0.0, smooth=0)
    assert query.isfinite().all()
    best = (query @ key.transpose(1, 2)).amax(-1).unflatten(1, (8, 8))
    assert best[visible].min() > 0.99 and best[~visible].max() < 0.6
    queries, keys = planted_pyramid([gone, gone], [visible, visible], 1.0)
    assert len(queries) == len(keys) == 2 and not torch.equal(keys[0], keys[1]), "each grid has a texture of its own"


# Metrics.


@settings(max_examples=15)
@given(seeds, st.integers(1, 4))
def test_recall_and_diversity_are_those_of_the_loops(seed, count):
    draw = torch.Generator().manual_seed(seed)
    points = torch.rand(2, 2, 3, 3, generator=draw) * 12
    visible = torch.rand(2, 3, 3, generator=draw) < 0.6
    index = torch.randint(16, (2, 9, count), generator=draw)
    cells = square_truth(torch.where(visible[:, None], points, torch.nan), visible, 12)
    match = SparseMatch((3, 3), (4, 4), index, torch.rand(2, 9, count, generator=draw))
    ours = candidate_recall(index, cells, (4, 4)), distinct_candidates(index, cells), exact_match(match, cells)
    for sample in range(2):
        found, kinds, exact = [], [], []
        for q in range(9):
            y, x = divmod(q, 3)
            if visible[sample, y, x]:
                u, v = (points[sample, :, y, x] / 3).long().tolist()
                row = index[sample, q].tolist()
                found.append(4 * v + u in row)
                kinds.append(len(set(row)))
                exact.append(match.dense().weight[sample, q].argmax().item() == 4 * v + u)
        for our, twin in zip(ours, (found, kinds, exact), strict=True):
            assert np.allclose(our[sample], np.mean(twin) if twin else np.nan, equal_nan=True)


def test_seams_tell_blocks_from_noise():
    visible = torch.ones(1, 16, 16, dtype=torch.bool)
    truth = torch.rand(1, 2, 16, 16) * 64
    cells = square_truth(truth, visible, 64)
    blocks = torch.randn(1, 2, 8, 8).repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert block_seams(truth + blocks, cells) > 0.99
    assert abs(block_seams(truth + torch.randn(1, 2, 16, 16), cells) - 0.5) < 0.05
    inside_blocks = torch.randn(1, 2, 18, 18)[:, :, ::2, ::2].repeat_interleave(2, 2).repeat_interleave(2, 3)[:, :, 1:17, 1:17]
    assert block_seams(truth + inside_blocks, cells) < 0.01, "blocks that begin elsewhere have no seams here"
    assert block_seams(truth, cells).isnan() and block_seams(truth, square_truth(truth, ~visible, 64)).isnan()


def test_seams_are_those_of_the_loops():
    points, visible = torch.rand(1, 2, 6, 4) * 8, torch.rand(1, 6, 4) < 0.7
    truth = torch.where(visible[:, None], torch.rand(1, 2, 6, 4) * 8, torch.nan)
    steps: dict[bool, list[float]] = {True: [], False: []}
    for y, x, (down, right) in product(range(6), range(4), ((0, 1), (1, 0))):
        if y + down < 6 and x + right < 4 and visible[0, y, x] and visible[0, y + down, x + right]:
            errors = [(points - truth)[0, :, v, u] for v, u in ((y, x), (y + down, x + right))]
            steps[(x if right else y) % 2 == 1].append((errors[1] - errors[0]).norm().item())
    within, between = np.mean(steps[False]), np.mean(steps[True])
    assert block_seams(points, square_truth(truth, visible, 8)).item() == pytest.approx(between / (within + between), rel=1e-5)


# Figures.


def test_a_journey_shows_each_vote_once_and_stays_on_the_page():
    sizes = [(4, 4), (8, 8), (16, 16)]
    features = random_features(sizes, batch=1)
    layers = match_cascade(features, random_features(sizes, batch=1, seed=1), sizes, tau=2.0)
    image = torch.rand(1, 3, 32, 32)
    truth = Truth(torch.full((1, 2, 32, 32), 9.0), torch.ones(1, 32, 32, dtype=torch.bool))
    for query, known in ((0, truth), (137, None), (255, replace(truth, flow=truth.flow * torch.nan))):
        figure = candidate_journey(layers, image, image, query, known, title="Journey")
        assert on_the_page(figure) and len(figure.axes) == 10
        size = 8
        at = (query // 16) // 2 * size + (query % 16) // 2
        votes = {(t // 4, one) for t, one in enumerate(layers[2].match.index[0, at].tolist())}
        assert sum(isinstance(patch, Polygon) for patch in figure.axes[7].patches) == len(votes)
        assert sum(isinstance(patch, Polygon) for patch in figure.axes[2].patches) == 5, (
            "itself and four neighbours, missing or not"
        )
    assert on_the_page(candidate_journey(layers[:3], image, image, 63, truth)) and on_the_page(
        candidate_journey(layers[:2], image, image, 63)
    )


def test_curves_with_intervals():
    number = [{"mean": 0.5, "half_width": 0.1}] * 3
    panels = {name: {"a": number, "b": number[::-1]} for name in ("one", "two", "three")}
    figure = interval_curves([1, 4, 16], panels, "k", "recall", 2, logarithmic=True, limits=(0, 1), levels={"two": 0.5})
    assert on_the_page(figure) and len(figure.axes[1].lines) == len(figure.axes[0].lines) + 1
    assert on_the_page(interval_curves(["x", "y", "z"], {"one": {"a": number}}, "block", ["share"], title="Words"))
    low, high = figure.axes[0].collections[0].get_paths()[0].get_extents().intervaly
    assert (low, high) == pytest.approx((0.4, 0.6))


def test_scaling_leaves_out_what_was_not_measured():
    sides = [32, 64, 128]
    panels = {
        "scores": {"dense": [10**6, 16 * 10**6, 27 * 10**7], "sparse": [1e4, 4e4, 2e5]},
        "ms": {"dense": [1.0, float("nan"), 9.0]},
    }
    figure = scaling_curves(sides, panels, chosen=64, title="Cost")
    assert on_the_page(figure) and figure.axes[1].lines[0].get_xdata().tolist() == [32, 128]
    assert on_the_page(scaling_curves(sides, panels | {"a": panels["ms"], "b": panels["ms"], "c": panels["ms"]}))
