"""Training schemes: crops that share nothing or a known shift, exemplars found by their labels; brute-force twins."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from exemplar_lab.data import retrieval
from exemplar_lab.data.crops import crops_with_global, disjoint_crops
from exemplar_lab.data.retrieval import (
    Retrieved,
    label_histogram,
    nearest_by_histogram,
    read_pairs,
    retrieval_list,
    write_pairs,
)
from exemplar_lab.data.seeds import sample_keys
from exemplar_lab.data.synth.people import People
from exemplar_lab.grid import sample_at
from exemplar_lab.translation import Batch, Source, Truth

_PEOPLE = People(32, "val", "easy")


def _canvas(samples: int, side: int) -> Batch:
    """Pictures in which every pixel tells its own place: red is x, green is y, blue is the sample."""
    at = torch.arange(side) + 0.5
    y, x = torch.meshgrid(at, at, indexing="ij")
    number = torch.arange(samples).float()[:, None, None].expand(-1, side, side)
    image = torch.stack([x.expand(samples, -1, -1), y.expand(samples, -1, -1), number], dim=1) / 1000
    part = ((x // 4 + y // 4) % 3 - 1).long().expand(samples, -1, -1)
    truth = Truth(
        flow=torch.zeros(samples, 2, side, side),
        visible=torch.ones(samples, side, side, dtype=torch.bool),
        target_albedo=image * 2,
        exemplar_albedo=image,
        target_part=part,
        target_uv=image[:, :2],
        target_keypoints=torch.full((samples, 3, 2), 10.0),
        target_style=torch.arange(samples * 4.0).unflatten(0, (samples, 4)),
    )
    return Batch(image[:, :2], image, image.flip(0), image[:, :2].flip(0), torch.ones(samples, dtype=torch.bool), truth)


def _places(image) -> list[set]:
    """The pixels (x, y) that each picture shows, as it tells itself."""
    return [{(round(x), round(y)) for x, y in (one[:2] * 1000 - 0.5).flatten(1).T.tolist()} for one in image]


@settings(max_examples=20)
@given(first=st.integers(0, 10**6), spare=st.integers(0, 5), flip=st.sampled_from([0.0, 1.0]))
def test_disjoint_crops_share_no_pixel(first, spare, flip):
    size = 6
    seeds = sample_keys(1, "train", torch.arange(first, first + 8))
    crops = disjoint_crops(_canvas(8, 2 * size + spare), seeds, size, flip)
    for batch, other in ((crops.first, crops.second), (crops.second, crops.first)):
        for shown, exemplar in zip(_places(batch.target), _places(batch.exemplar), strict=True):
            assert len(shown) == len(exemplar) == size * size
            assert not shown & exemplar
        assert torch.equal(batch.target, other.exemplar)
        assert torch.equal(batch.condition, other.exemplar_condition)
        assert torch.equal(batch.condition, batch.target[:, :2])
        assert (batch.target[:, 2] * 1000).round().eq(torch.arange(8.0)[:, None, None]).all()
        assert batch.paired.all()
        truth = batch.truth
        assert truth.flow.isnan().all()
        assert not truth.visible.any()
        assert (truth.count == 0).all()
        assert torch.equal(truth.target_albedo, batch.target * 2)
        assert torch.equal(truth.exemplar_uv, batch.exemplar[:, :2])
        x, y = (batch.target[:, i] * 1000 - 0.5 for i in (0, 1))
        assert torch.equal(truth.target_part, ((x.round() // 4 + y.round() // 4) % 3 - 1).long())
        assert torch.equal(truth.target_style, truth.exemplar_style)


def test_disjoint_crops_lie_in_every_direction():
    crops = disjoint_crops(_canvas(300, 20), sample_keys(1, "train", torch.arange(300)), 8)
    move = ((crops.first.target - crops.first.exemplar)[:, :2, 0, 0] * 1000).round()
    right, down = move.unbind(1)
    for apart in (right, -right, down, -down):
        assert (apart >= 8).float().mean() > 0.15
    assert (torch.maximum(right.abs(), down.abs()) >= 8).all()
    assert ((right.abs() >= 8) & (down.abs() >= 8)).any()
    assert len(set(map(tuple, move.tolist()))) > 60


def test_keypoints_move_with_the_crop():
    crops = disjoint_crops(_canvas(5, 16), sample_keys(1, "train", torch.arange(5)), 8)
    corner = crops.first.target[:, :2, 0, 0] * 1000 - 0.5
    assert torch.allclose(crops.first.truth.target_keypoints, 10 - corner[:, None], atol=1e-3)


def test_the_whole_matches_itself():
    canvas = _canvas(3, 16)
    whole = disjoint_crops(canvas, sample_keys(1, "train", torch.arange(3)), 8).whole
    assert torch.equal(whole.target, whole.exemplar)
    assert torch.allclose(whole.target, torch.nn.functional.avg_pool2d(canvas.target, 2), atol=1e-6)
    assert whole.truth.visible.all()
    assert (whole.truth.count == 1).all()
    assert torch.allclose(sample_at(whole.exemplar, whole.truth.flow), whole.target, atol=1e-5)
    assert whole.truth.flow[0, :, 2, 5].tolist() == [5.5, 2.5]


@pytest.mark.parametrize(("side", "patch", "size"), [(16, 12, 12), (32, 24, 16)])
def test_overlapping_crops_match_by_their_shift(side, patch, size):
    crops = crops_with_global(_canvas(6, side), sample_keys(1, "train", torch.arange(6)), patch, size)
    for batch in (crops.first, crops.second):
        truth = batch.truth
        assert 0.2 < truth.visible.float().mean() < 1
        # Away from the border, where the flow falls between pixels, red and green say the same place.
        inner = ((truth.flow > 1) & (truth.flow < size - 1)).all(1)
        error = (sample_at(batch.exemplar, truth.flow) - batch.target).abs().amax(1) * 1000
        # Means of 1.5 pixels lie up to 1/12 of a pixel from their middle.
        assert error[inner].max() < (0.02 if patch == size else 0.2)
        assert torch.equal(truth.visible, ((truth.flow >= 0) & (truth.flow <= size)).all(1))
    assert torch.equal(crops.whole.target, crops.whole.exemplar)
    assert crops.whole.truth.visible.all()


def test_crops_of_a_source_of_the_world():
    canvas = People(64, "val", "easy").batch(torch.arange(3))
    crops = disjoint_crops(canvas, sample_keys(1, "val", torch.arange(3)), 32)
    assert crops.first.target.shape == crops.whole.target.shape == (3, 3, 32, 32)
    assert crops.first.condition.shape[1] == canvas.condition.shape[1]
    blind = disjoint_crops(replace(canvas, truth=None), sample_keys(1, "val", torch.arange(3)), 32)
    assert blind.first.truth is None
    assert torch.equal(blind.first.target, crops.first.target)
    alone = disjoint_crops(canvas[[2]], sample_keys(1, "val", torch.arange(3))[2:], 32)
    assert torch.equal(alone.first.target, crops.first.target[2:])


def test_crops_that_do_not_fit_are_refused():
    seeds = torch.arange(2)
    with pytest.raises(ValueError, match="at least 20 × 20"):
        disjoint_crops(_canvas(2, 16), seeds, 10)
    with pytest.raises(ValueError, match="got a canvas of 129 for pictures of 64, expected a round ratio"):
        disjoint_crops(_canvas(1, 129), torch.arange(1), 64)
    with pytest.raises(ValueError, match="patches of 20"):
        crops_with_global(_canvas(2, 16), seeds, 20, 10)


def test_histogram_against_a_brute_force_twin():
    label = torch.randint(-1, 5, (4, 6, 7))
    expected = torch.tensor([[(one == c).sum().item() / 42 for c in range(5)] for one in label])
    assert torch.equal(label_histogram(label, 5), expected)
    with pytest.raises(ValueError, match="expected −1 … 2"):
        label_histogram(label, 3)


@given(
    n=st.integers(1, 12),
    m=st.integers(2, 15),
    exclude=st.booleans(),
    seed=st.integers(0, 1000),
    few=st.booleans(),
)
def test_nearest_against_a_brute_force_twin(n, m, exclude, seed, few):
    generator = torch.Generator().manual_seed(seed)
    # Quarters make ties, which must fall to the first.
    pool = torch.randint(0, 4, (m, 3), generator=generator) / 4
    query = pool if exclude else torch.randint(0, 4, (n, 3), generator=generator) / 4
    k = 1 if few else m - exclude
    result = nearest_by_histogram(query, pool, k, exclude)
    for i, row in enumerate(query.tolist()):
        shared = [
            (-sum(min(a, b) for a, b in zip(row, other, strict=True)), j)
            for j, other in enumerate(pool.tolist())
            if not (exclude and i == j)
        ]
        assert result[i].tolist() == [j for _, j in sorted(shared)[:k]]


@given(
    st.integers(0, 2**31),
    st.integers(1, 40),
    st.integers(2, 60),
    st.integers(1, 12),
    st.booleans(),
    st.sampled_from((2, 9, 400)),
)
def test_nearest_is_the_stable_order_of_the_shared_counts(seed, n, m, classes, exclude, highest):
    """Whole numbers of pixels, so that every way to add them up is exact, with many ties and rows that share nothing."""
    draw = torch.Generator().manual_seed(seed)
    pool = (torch.randint(0, highest, (m, classes), generator=draw) * torch.randint(0, 2, (m, 1), generator=draw)).float()
    query = pool if exclude else torch.randint(0, highest, (n, classes), generator=draw).float()
    shared = torch.minimum(query[:, None], pool).sum(-1)
    if exclude:
        shared.fill_diagonal_(-1)
    whole = shared.sort(dim=1, descending=True, stable=True).indices
    for k in {1, (m - exclude + 1) // 2, m - exclude}:
        assert torch.equal(nearest_by_histogram(query, pool, k, exclude), whole[:, :k])


def test_the_search_shows_how_far_it_is(monkeypatch):
    monkeypatch.setattr(retrieval, "_ROWS", 8)
    seen = []
    pool = torch.rand(20, 3)
    found = nearest_by_histogram(pool, pool, 2, progress=lambda blocks: (seen.append(one) or one for one in blocks))
    assert seen == [0, 8, 16] and torch.equal(found, nearest_by_histogram(pool, pool, 2))


def test_nearest_in_blocks_is_the_same(monkeypatch):
    query, pool = torch.rand(50, 9), torch.rand(70, 9)
    expected = nearest_by_histogram(query, pool, 5)
    with pytest.raises(ValueError, match="k = 71 of 70"):
        nearest_by_histogram(query, pool, 71)
    with pytest.raises(ValueError, match="k = 70 of 69"):
        nearest_by_histogram(pool, pool, 70, exclude_self=True)
    monkeypatch.setattr(retrieval, "_BLOCK", 200)
    assert torch.equal(nearest_by_histogram(query, pool, 5), expected)
    assert nearest_by_histogram(query[:0], pool, 5).shape == (0, 5)


def test_retrieval_against_a_brute_force_twin():
    indices, pool = torch.tensor([3, 9, 4]), torch.tensor([4, 0, 7, 9, 12, 5])
    seen = []

    def progress(blocks):
        for block in blocks:
            seen.append(len(block))
            yield block

    pairs = retrieval_list(_PEOPLE, indices, pool, 2, progress)
    assert sum(seen) == 7
    parts = _PEOPLE.batch(torch.arange(13)).truth.target_part
    classes = int(parts.max()) + 1
    histogram = label_histogram(parts, classes).double()
    expected = []
    for i in indices.tolist():
        ranked = sorted(
            (j for j in pool.tolist() if j != i), key=lambda j, i=i: -torch.minimum(histogram[i], histogram[j]).sum()
        )
        expected += [(i, j) for j in ranked[:2]]
    assert list(pairs) == expected
    with pytest.raises(ValueError, match="enlarge the pool"):
        retrieval_list(_PEOPLE, torch.tensor([3]), torch.tensor([3, 4]), 2)
    with pytest.raises(ValueError, match="truth"):
        retrieval_list(People(32, "val", "easy", truth=False), indices, pool, 2)


def test_pairs_survive_their_file(tmp_path):
    path = tmp_path / "lists" / "people.json"
    pairs = ((3, 4), (3, 12), (9, 0))
    write_pairs(path, pairs)
    assert read_pairs(path) == pairs
    assert [one.name for one in path.parent.iterdir()] == ["people.json"]
    assert len(path.read_text().splitlines()) == 5
    write_pairs(path, ())
    assert read_pairs(path) == ()


@pytest.mark.parametrize("text", ["", "{}x", "[[1, 2, 3]]", "[1, 2]", '[["a", 1]]', "[[1, -2]]", "[[1.5, 2]]", '"ab"'])
def test_broken_files_are_named(tmp_path, text):
    path = tmp_path / "pairs.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="pairs.json"):
        read_pairs(path)
    with pytest.raises(FileNotFoundError, match="missing.json"):
        read_pairs(tmp_path / "missing.json")


def test_retrieved_pairs():
    source = Retrieved(_PEOPLE, ((3, 4), (9, 0)))
    assert isinstance(source, Source)
    assert (source.size, source.length, source.condition_channels) == (32, 2, _PEOPLE.condition_channels)
    batch = source.batch(torch.tensor([1, 0]))
    targets, exemplars = _PEOPLE.batch(torch.tensor([9, 3])), _PEOPLE.batch(torch.tensor([0, 4]))
    assert torch.equal(batch.target, targets.target)
    assert torch.equal(batch.condition, targets.condition)
    assert torch.equal(batch.exemplar, exemplars.target)
    assert torch.equal(batch.exemplar_condition, exemplars.condition)
    assert not batch.paired.any()
    assert batch.truth.flow.isnan().all()
    assert not batch.truth.visible.any()
    assert torch.equal(batch.truth.target_part, targets.truth.target_part)
    assert torch.equal(batch.truth.exemplar_part, exemplars.truth.target_part)
    blind = Retrieved(People(32, "val", "easy", truth=False), ((3, 4),)).batch(torch.tensor([0]))
    assert blind.truth is None
    with pytest.raises(ValueError, match="0 … 1"):
        source.batch(torch.tensor([2]))
    with pytest.raises(ValueError, match="no pairs"):
        Retrieved(_PEOPLE, ())
