"""The procedural paintings: the truth of what is painted, styles by split, the same picture whoever asks."""

from dataclasses import fields, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from exemplar_lab.data.edges import edge_condition
from exemplar_lab.data.seeds import sample_keys
from exemplar_lab.data.synth.dials import TIERS, Dials
from exemplar_lab.data.synth.lattice import clouds, clouds_map, noise, noise_map
from exemplar_lab.data.synth.paintings import Paintings, paint
from exemplar_lab.data.synth.paintings.strokes import Brush, Level, begin, directions, lay
from exemplar_lab.data.synth.paintings.style import (
    HELD_OUT_PAIRS,
    HELD_OUT_PALETTES,
    MEDIA,
    PALETTES,
    STYLE_COLUMNS,
    draw_style,
    is_held_out,
)
from exemplar_lab.data.synth.paintings.wash import kuwahara, lines
from exemplar_lab.data.synth.people import People
from exemplar_lab.grid import sample_at
from exemplar_lab.translation import concatenate

_KEYS = sample_keys(1, "train", torch.arange(6))


def _tensors(record):
    for field in fields(record):
        value = getattr(record, field.name)
        if isinstance(value, torch.Tensor):
            yield value
        elif value is not None:
            yield from _tensors(value)


@pytest.fixture(scope="module")
def photographs():
    """Six pictures of people at 64."""
    return People(64, "val", "easy", truth=False).batch(torch.arange(6)).target


def test_a_painting_has_the_truth_of_its_content():
    dials = replace(TIERS["medium"], occlusion=(0.0, 0.0))
    content = People(64, "val", dials).batch(torch.arange(4))
    batch = Paintings(64, "val", "medium", content="people").batch(torch.arange(4))
    for field in fields(content.truth):
        ours, theirs = getattr(batch.truth, field.name), getattr(content.truth, field.name)
        if field.name.endswith("style"):
            assert ours.shape == (4, len(STYLE_COLUMNS))
        elif theirs is None:
            assert ours is None
        else:
            assert torch.equal(ours.nan_to_num(-7.0), theirs.nan_to_num(-7.0)), field.name
    assert torch.equal(batch.condition, content.target)
    assert torch.equal(batch.exemplar_condition, content.exemplar)
    assert (batch.target - content.target).abs().mean() > 0.03
    assert torch.equal(batch.truth.target_style, batch.truth.exemplar_style)


@pytest.mark.parametrize("content", ["scenes", "faces"])
def test_every_content_can_be_painted(content):
    source = Paintings(32, "ood", "easy", content=content)
    batch = source.batch(torch.arange(2))
    assert torch.equal(batch.truth.visible, source.motif.batch(torch.arange(2)).truth.visible)
    assert batch.truth.visible.float().mean() > 0.1
    assert batch.condition.shape == batch.target.shape == (2, 3, 32, 32)
    assert batch.truth.target_style.shape == (2, len(STYLE_COLUMNS))


def test_the_albedo_warps_to_the_target():
    truth = Paintings(256, "val", "easy", content="people", medium="ink").batch(torch.arange(3)).truth
    error = (sample_at(truth.exemplar_albedo, truth.flow) - truth.target_albedo).abs().mean(1)
    assert error[truth.visible & (truth.count > 0.2)].mean() <= 0.02


def test_both_paintings_are_of_one_style():
    """Backgrounds of one pair are more alike than those of two pairs."""
    batch = Paintings(64, "val", "easy", content="people").batch(torch.arange(12))
    corners = [
        torch.stack([image[..., :12].mean((2, 3)), image[..., :12].std((2, 3))], 1) for image in (batch.target, batch.exemplar)
    ]
    distance = torch.cdist(*(corner.flatten(1) for corner in corners))
    own = distance.diagonal().mean()
    assert own < 0.5 * (distance.sum() - distance.trace()) / (12 * 11)


@pytest.mark.parametrize("medium", MEDIA)
def test_every_medium_paints_what_it_sees(photographs, medium):
    """In range, recognisable (edges of the painting lie near edges of the photograph), and no blur."""
    painting = paint(photographs, _KEYS, medium)
    assert painting.isfinite().all()
    assert painting.min() >= 0
    assert painting.max() <= 1
    assert (painting - photographs).abs().mean() > 0.03

    def pooled(image):
        image = torch.nn.functional.avg_pool2d(image, 4).flatten(1)
        return image - image.mean(1, keepdim=True)

    ours, theirs = pooled(painting), pooled(photographs)
    likeness = torch.nn.functional.cosine_similarity(ours[:, None], theirs[None], dim=2)
    assert (likeness.argmax(1) == torch.arange(6)).float().mean() > 0.6
    blurred = torch.nn.functional.avg_pool2d(painting, 3, 1, 1)
    assert (painting - blurred).abs().mean() > 0.006


@pytest.mark.parametrize("medium", MEDIA)
def test_a_painting_does_not_depend_on_its_batch(photographs, medium):
    joined = torch.cat([paint(photographs[[i]], _KEYS[[i]], medium) for i in range(6)])
    assert torch.equal(paint(photographs, _KEYS, medium), joined)


def test_a_sample_does_not_depend_on_its_batch_or_threads():
    source = Paintings(48, "train", "hard", content="people")
    together = source.batch(torch.tensor([3, 7, 9]))
    joined = concatenate([source.batch(torch.tensor([i])) for i in (3, 7, 9)])
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1 if threads > 1 else 2)
        again = source.batch(torch.tensor([3, 7, 9]))
    finally:
        torch.set_num_threads(threads)
    for ours, alone, other in zip(*(_tensors(b) for b in (together, joined, again)), strict=True):
        assert torch.equal(ours.nan_to_num(-7.0), alone.nan_to_num(-7.0))
        assert torch.equal(ours.nan_to_num(-7.0), other.nan_to_num(-7.0))


@settings(max_examples=15)
@given(first=st.integers(0, 10**6), tier=st.sampled_from(["easy", "hard"]), size=st.sampled_from([16, 33, 48]))
def test_no_seed_breaks_a_painting(first, tier, size):
    batch = Paintings(size, "train", tier, False, content="people").batch(torch.arange(first, first + 4))
    assert batch.truth is None
    for image in (batch.condition, batch.target, batch.exemplar, batch.exemplar_condition):
        assert image.shape == (4, 3, size, size)
        assert image.isfinite().all()
        assert image.min() >= 0
        assert image.max() <= 1


def test_truth_does_not_change_the_pictures():
    with_truth, without = (Paintings(32, "val", "easy", truth, "people").batch(torch.arange(3)) for truth in (True, False))
    assert torch.equal(with_truth.target, without.target)
    assert torch.equal(with_truth.exemplar, without.exemplar)


def test_pictures_agree_at_every_size():
    """Strokes are proportional to the side: large paintings, shrunk, are the small ones but for the finest strokes."""
    large, small = (Paintings(size, "val", "easy", False, "people").batch(torch.arange(8)) for size in (256, 128))
    difference = (torch.nn.functional.avg_pool2d(large.target, 2) - small.target).abs().mean((1, 2, 3))
    assert difference.max() < 0.06
    others = (large.target[:, :, ::2, ::2] - small.target.roll(1, 0)).abs().mean((1, 2, 3))
    assert others.mean() > 2 * difference.mean()


def test_styles_by_split():
    key = sample_keys(1, "train", torch.arange(3000))
    seen = {}
    for split in ("train", "ood"):
        style = draw_style(key, split)
        seen[split] = set(zip(style.medium.tolist(), style.palette.tolist(), strict=True))
        shares = torch.bincount(style.medium, minlength=len(MEDIA)) / len(key)
        assert (shares - 1 / len(MEDIA)).abs().max() < 0.04
    assert not seen["train"] & seen["ood"]
    assert len(seen["train"]) + len(seen["ood"]) == len(MEDIA) * len(PALETTES)
    names = list(PALETTES)
    assert all(is_held_out(MEDIA[m], names[p]) for m, p in seen["ood"])
    assert all(names[p] in HELD_OUT_PALETTES or (MEDIA[m], names[p]) in HELD_OUT_PAIRS for m, p in seen["ood"])
    numbers = draw_style(key).numbers()
    assert numbers.shape == (3000, len(STYLE_COLUMNS))
    assert numbers.dtype == torch.float32
    assert (draw_style(key, medium="ink").medium == MEDIA.index("ink")).all()


def test_columns_of_the_style_are_seen(photographs):
    """Turning one column up changes the picture as the column's name says."""
    from exemplar_lab.data.synth.paintings.source import paint_in

    style = draw_style(_KEYS, medium="watercolour")
    ones = torch.ones(6)

    def painted(**columns):
        return paint_in(photographs, style._replace(**columns), _KEYS)

    def chroma(image):
        return (image.amax(1) - image.amin(1)).mean()

    assert chroma(painted(saturation=1.5 * ones)) > 1.2 * chroma(painted(saturation=0.7 * ones))
    warm, cool = painted(warmth=ones), painted(warmth=-ones)
    assert (warm[:, 0] - warm[:, 2]).mean() > (cool[:, 0] - cool[:, 2]).mean() + 0.02
    assert painted(outline=ones).mean() < painted(outline=0 * ones).mean()


def test_strokes_follow_edges():
    """Near a slanted edge, strokes lead along it."""
    at = torch.arange(128) / 128
    image = ((at[None, :] * 0.6 + at[:, None] * 0.8) > 0.7).float().expand(1, 3, -1, -1)
    lead = directions(image, torch.zeros(1, dtype=torch.int32))
    y, x = torch.meshgrid(*[(torch.arange(64) + 0.5) / 64] * 2, indexing="ij")
    near = (x * 0.6 + y * 0.8 - 0.7).abs() < 0.02
    # Tangent (0.8, −0.6): cosine and sine of twice its angle are 0.28 and −0.96.
    assert (lead[0, 0][near] - 0.28).abs().median() < 0.05
    assert (lead[0, 1][near] + 0.96).abs().median() < 0.05


def test_strokes_are_laid_where_the_canvas_is_wrong():
    picture = torch.full((1, 3, 128, 128), 0.5)
    canvas = picture.clone()
    canvas[..., :64] = 0.9
    seed, one = torch.zeros(1, dtype=torch.int32), torch.ones(1)
    brush = Brush(one, one, 0 * one, 1.2, one)
    painted = lay(begin(canvas), picture, directions(picture, seed), Level(16, 8, 0.3, 32), brush, seed)
    assert (painted.trace[..., :48] > 0).float().mean() > 0.6
    assert (painted.trace[..., 80:] > 0).float().mean() == 0
    assert (painted.canvas - picture).abs().mean() < 0.4 * (canvas - picture).abs().mean()
    assert torch.equal(painted.canvas[..., 80:], picture[..., 80:])


def test_kuwahara_against_a_brute_force_twin():
    image = torch.rand(2, 3, 9, 9, generator=torch.Generator().manual_seed(1))
    radius = 1
    padded = torch.nn.functional.pad(image, [2 * radius] * 4, mode="replicate").double()
    grey = padded[:, 0] * 0.3 + padded[:, 1] * 0.59 + padded[:, 2] * 0.11
    result = kuwahara(image, radius)
    for sample in range(2):
        for y in range(9):
            for x in range(9):
                squares = [(slice(y + dy, y + dy + 3), slice(x + dx, x + dx + 3)) for dy in (0, 2) for dx in (0, 2)]
                best = min(squares, key=lambda at: grey[sample][at].var(unbiased=False).item())
                expected = padded[(sample, slice(None), *best)].mean((1, 2)).float()
                assert torch.allclose(result[sample, :, y, x], expected, atol=1e-5)


def test_lines_lie_on_the_dark_side_of_edges():
    image = torch.full((1, 3, 128, 128), 0.9)
    image[..., 64:] = 0.2
    line = lines(image, torch.tensor([0.004]), 0.8)[0, 0, 64]
    assert line[64:68].max() == 1
    assert line[:60].max() == line[80:].max() == 0
    assert line[64:68].sum() > line[60:64].sum()


def test_maps_of_noise_equal_noise_at_their_points():
    seed = torch.arange(3, dtype=torch.int32) * 991
    at = (torch.arange(50) + 0.5) / 50
    x, y = at[None, None, :], at[None, :, None]
    for across, down in ((7, 5), (1.5, 0), (3, 2.25)):
        assert torch.equal(noise_map(seed, 50, across, down, 3)[:, 0], noise(seed[:, None, None], x * across, y * down, 3))
        assert torch.equal(clouds_map(seed, 50, across, down)[:, 0], clouds(seed[:, None, None], x * across, y * down))
    flat = noise(seed[:, None], torch.linspace(0, 4000, 20001)[None], torch.zeros(1, 1))
    assert flat.min() >= 0
    assert flat.max() < 1
    assert (flat.mean(1) - 0.5).abs().max() < 0.02


def test_dials():
    indices = torch.arange(3)
    rest = Paintings(48, "val", Dials(), content="people").batch(indices)
    edges = Paintings(48, "val", Dials(gap="edges"), content="people")
    assert edges.condition_channels == 2
    assert torch.equal(edges.batch(indices).condition, edge_condition(rest.condition))
    assert torch.equal(edges.batch(indices).target, rest.target)
    parts = Paintings(48, "val", Dials(gap="parts"), content="people")
    assert torch.equal(parts.batch(indices).condition.sum(1) > 0, rest.truth.target_part >= 0)
    assert parts.batch(indices).condition.shape[1] == parts.condition_channels
    lost = Paintings(48, "val", Dials(dropout=0.4), content="people").batch(indices).condition
    assert ((lost.sum(1) == 0).float().mean((1, 2)) - 0.4).abs().max() < 0.05
    halves = Paintings(48, "val", Dials(halves=2), content="people").batch(indices)
    assert torch.equal(halves.exemplar[..., :24], halves.exemplar[..., 24:])
    assert torch.equal(halves.exemplar[..., :24], rest.exemplar[..., :24])
    zoomed = Paintings(48, "val", Dials(zoom=(0.5, 0.5)), content="people").batch(indices).truth
    assert zoomed.count[zoomed.visible].median() < 0.4


def test_lengths_and_channels():
    assert Paintings(content="people").length is None
    assert Paintings(split="ood", content="people").length == 2000
    assert Paintings().condition_channels == 3


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"size": 15}, "at least 16"),
        ({"split": "dev"}, "train, val, test, ood"),
        ({"tier": "extreme"}, "easy, medium, hard"),
        ({"content": "cars"}, "scenes, people, faces"),
        ({"medium": "crayon"}, "oil, ink, ukiyo-e"),
        ({"tier": Dials(repetition=4)}, "people"),
    ],
)
def test_wrong_settings_are_refused(wrong, word):
    with pytest.raises(ValueError, match=word):
        Paintings(**wrong)


def test_wrong_indices_are_refused():
    with pytest.raises(ValueError, match="2000"):
        Paintings(16, "val", content="people").batch(torch.tensor([2000]))
