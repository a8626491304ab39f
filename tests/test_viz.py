"""Figures: drawn without pyplot, cut nowhere, saying what the match says; pixels are looked at by people, not by tests."""

import json
from io import BytesIO

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from pages import on_the_page
from PIL import Image

from exemplar_lab.correspondence import DenseMatch, FactoredMatch, SparseMatch
from exemplar_lab.translation import Batch, Truth
from exemplar_lab.viz import curves, matches, palette, pictures, style

QUERY, KEY, IMAGE = (4, 6), (8, 12), (16, 24)


def three_matches() -> dict:
    torch.manual_seed(0)
    index, weight = torch.randint(96, (2, 24, 3)), torch.rand(2, 24, 3) / 3
    return {
        "dense": DenseMatch(QUERY, KEY, torch.softmax(4 * torch.randn(2, 24, 96), -1)),
        "sparse": SparseMatch(QUERY, KEY, index, weight),
        "factored": FactoredMatch(QUERY, KEY, torch.rand(2, 24, 5), torch.ones(2, 5), torch.rand(2, 5, 96) / 96),
    }


def batch() -> Batch:
    torch.manual_seed(0)
    target, exemplar = torch.rand(2, 3, *IMAGE), torch.rand(2, 3, *IMAGE)
    flow, visible = torch.rand(2, 2, *IMAGE) * 16, torch.rand(2, *IMAGE) < 0.8
    truth = Truth(flow.masked_fill(~visible[:, None], torch.nan), visible)
    return Batch(torch.rand(2, 20, *IMAGE), target, exemplar, torch.rand(2, 20, *IMAGE), torch.ones(2, dtype=torch.bool), truth)


@pytest.mark.parametrize("kind", ["dense", "sparse", "factored"])
def test_every_view_takes_every_match(kind):
    match, b = three_matches()[kind], batch()
    before = dict(matplotlib.rcParams)
    for figure in (
        matches.row_heatmaps(match, b.target, b.exemplar, [0, 7, 23], b.truth, sample=1, title="Rows"),
        matches.row_heatmaps(match, b.target, b.exemplar, list(range(7))),
        matches.column_heatmaps(match, b.target, b.exemplar, [0, 95], title="Columns"),
        matches.sparse_links(match, b.target, b.exemplar, [3, 4, 20], b.truth, title="Links"),
        matches.correspondence_field(match, b.target, b.exemplar, b.truth, title="Field"),
        matches.correspondence_field(match, b.target, b.exemplar),
        matches.matrix_view({kind: match, "again": match}, sample=1, cells=10, title="Matrix"),
        pictures.dense_warps(b, match.warp(torch.rand(2, 3, *KEY)), b.target, title="Warps"),
    ):
        assert isinstance(figure, Figure) and on_the_page(figure)
    assert dict(matplotlib.rcParams) == before, "the style leaked into matplotlib's global settings"
    assert "matplotlib.pyplot" not in vars(style) and not matplotlib._pylab_helpers.Gcf.figs


def test_heat_lies_where_the_weight_lies():
    weight = torch.zeros(1, 24, 96)
    weight[0, 5, 30] = 1.0
    b = batch()
    figure = matches.row_heatmaps(DenseMatch(QUERY, KEY, weight), b.target[:1] * 0, b.exemplar[:1] * 0, [5])
    picture = figure.axes[1].images[0].get_array()
    y, x = np.unravel_index(picture.sum(-1).argmax(), picture.shape[:2])
    assert (y // 2, x // 2) == divmod(30, 12)


def test_lost_mass_fades_to_white():
    b = batch()
    nothing = DenseMatch(QUERY, KEY, torch.zeros(1, 24, 96))
    field = matches.correspondence_field(nothing, b.target, b.exemplar).axes[1].images[0].get_array()
    assert np.asarray(field).min() == 1


def test_matrix_view_keeps_the_largest_weights_and_the_mass():
    match = three_matches()["sparse"]
    figure = matches.matrix_view({"sparse": match}, cells=6)
    picture = figure.axes[0].images[0].get_array()
    dense = match.dense().weight[0].reshape(6, 4, 6, 16).amax((1, 3)).clamp_min(1e-4)
    np.testing.assert_allclose(picture, dense, rtol=1e-6)
    chosen = matches.matrix_view({"sparse": match}, query=[7, 2], key=[90, 3, 5]).axes[0].images[0].get_array()
    np.testing.assert_allclose(chosen, match.dense().weight[0][[7, 2]][:, [90, 3, 5]].clamp_min(1e-4), rtol=1e-6)


def test_links_end_where_the_match_looks():
    b, match = batch(), three_matches()["dense"]
    figure = matches.sparse_links(match, b.target, b.exemplar, [3, 20])
    ends = [tuple(float(c[0]) for c in line.get_data()) for line in figure.axes[1].lines]
    expected = (match.xy()[0].flatten(1).T[[3, 20]] * 2).tolist()
    np.testing.assert_allclose(ends, expected, rtol=1e-5)
    starts = [tuple(float(c[0]) for c in line.get_data()) for line in figure.axes[0].lines]
    assert starts == [(14.0, 2.0), (10.0, 14.0)]


def test_grid_refuses_columns_of_different_length():
    walls = {name: torch.rand(3, 5, 4) for name in "abcdefg"}
    assert on_the_page(pictures.picture_wall(walls, title="Wall")) and on_the_page(
        pictures.scalar_maps({"m": walls["a"][0]}, "mass", 1.0)
    )
    with pytest.raises(ValueError, match=r"columns of \[1, 2\] images"):
        pictures.image_grid({"a": torch.rand(2, 3, 4, 4), "b": torch.rand(1, 3, 4, 4)})
    assert on_the_page(pictures.image_grid({"a": torch.rand(2, 1, 4, 4), "b": torch.rand(2, 3, 8, 8)}, ["one", "two"], "Grid"))


def test_curves():
    steps = [{"step": i, "loss": 1 / (i + 1), **({"pck": 0.5} if i % 2 else {})} for i in range(6)]
    figure = curves.training_curves([*steps, {"step": 6, "loss": float("nan")}], title="Training")
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["loss", "pck"] and on_the_page(figure)
    assert len(figure.axes[0].lines[0].get_xdata()) == 6 and len(figure.axes[1].lines[0].get_xdata()) == 3
    with pytest.raises(ValueError, match="train first"):
        curves.training_curves([])
    sweep = curves.sweep_curves([0.01, 0.1], {"PCK": {"a": [0.1, 0.2], "b": [0.2, 0.3]}}, "temperature", True, 0.01, "Sweep")
    assert on_the_page(sweep)


def test_running_mean_starts_at_the_first_value():
    assert curves._running_mean(np.array([2.0, 2.0, 2.0]), 0.9).tolist() == pytest.approx([2, 2, 2])


def test_saved_figure_is_small_and_says_where_it_comes_from(tmp_path):
    noise = pictures.image_grid({"noise": torch.rand(3, 3, 600, 600), "more": torch.rand(3, 3, 600, 600)})
    path = style.save_figure(noise, tmp_path / "new", "01_noise", profile="smoke", seed=3)
    assert path == tmp_path / "new" / "01_noise.png" and path.stat().st_size <= 500_000
    note = json.loads(path.with_suffix(".json").read_text())
    assert note["parameters"] == {"profile": "smoke", "seed": 3}
    assert set(note["versions"]) == {"exemplar_lab", "python", "torch"}
    assert sorted(p.name for p in path.parent.iterdir()) == ["01_noise.json", "01_noise.png"]


def test_the_manifest_is_json_even_of_a_single_run(tmp_path):
    one_run = style.save_figure(Figure(), tmp_path, "01_once", rows={"full": [{"mean": 1.0, "half_width": float("nan")}]})
    kept = json.loads(one_run.with_suffix(".json").read_text(), parse_constant=pytest.fail)["parameters"]["rows"]
    assert kept == {"full": [{"mean": 1.0, "half_width": None}]}


def test_no_folder_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert style.save_figure(Figure(), "", "01_nothing") is None
    assert list(tmp_path.iterdir()) == []


def test_a_figure_gets_few_colours_only_where_nobody_will_see_it(tmp_path):
    """A drawing of three colours keeps every pixel; noise of all colours stays a file of full colour."""
    random = np.random.default_rng(0)
    drawing = np.array([(213, 94, 0), (0, 114, 178), (255, 255, 255)], dtype=np.uint8)[random.integers(0, 3, (200, 300))]
    noise = random.integers(0, 256, (200, 200, 3), dtype=np.uint8)
    for name, pixels, mode in (("drawing", drawing, "P"), ("noise", noise, "RGB")):
        path = tmp_path / f"{name}.png"
        Image.fromarray(pixels).save(path)
        small = palette.in_few_colours(path.read_bytes())
        assert len(small) <= path.stat().st_size
        with Image.open(BytesIO(small)) as file:
            assert file.mode == mode
            np.testing.assert_array_equal(np.asarray(file.convert("RGB")), pixels)


def as_png(pixels: np.ndarray) -> bytes:
    Image.fromarray(pixels).save(file := BytesIO(), "PNG", compress_level=0)
    return file.getvalue()


def packed(pixels: np.ndarray, **options: float) -> tuple[np.ndarray, int, float]:
    """What the picture becomes, how many colours it then has, and its decibels."""
    with Image.open(BytesIO(palette.in_few_colours(as_png(pixels), **options))) as file:
        got = np.asarray(file.convert("RGB"))
    error = np.square(got.astype(float) - pixels).mean()
    return got, len(np.unique(got.reshape(-1, 3), axis=0)), 10 * np.log10(255**2 / max(error, 1e-9))


def shades(sides: int = 6) -> np.ndarray:
    """Slow blobs of red, green and blue."""
    noise = torch.rand(1, 3, sides, sides, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.interpolate(noise, (200, 200), mode="bicubic").clamp(0, 1)
    return (255 * smooth[0].movedim(0, -1)).numpy().astype(np.uint8)


def test_a_palette_reaches_its_floor_or_is_not_taken():
    """Full colour stays below 36 decibels in 256 colours and comes back whole; asked for less, it gets the palette."""
    whole, colours, _ = packed(shades())
    assert colours > 256 and np.array_equal(whole, shades())
    _, colours, decibels = packed(shades(), decibels=28.0)
    assert 200 < colours <= 256 and decibels >= 28
    one_hue = (shades()[..., :1] * np.array([1.0, 0.8, 0.6])).astype(np.uint8)
    _, colours, decibels = packed(one_hue)
    assert colours < 128 and decibels >= 44, "fewer colours only where they are closer"


def test_small_and_pale_things_keep_their_colours():
    """A dot of a few pixels and a pale band, beside many shades that would have all colours if only pixels counted."""
    pixels = (shades()[..., :1] * np.array([0.9, 0.95, 1.0])).astype(np.uint8)
    pixels[20:24, 20:24] = (213, 94, 0)
    for row, pink in zip(range(100, 160, 10), range(228, 246, 3), strict=True):
        pixels[row : row + 10] = (244, pink, 238)
    got, colours, _ = packed(pixels)
    assert colours <= 192
    assert np.abs(got[20:24, 20:24].astype(int) - pixels[20:24, 20:24]).max() <= 2
    assert np.array_equal(got[100:160], pixels[100:160])


def test_packing_twice_changes_nothing_more():
    once = palette.in_few_colours(as_png(pixels := (shades() // 16 * 16)), decibels=28.0)
    assert once == palette.in_few_colours(as_png(pixels), decibels=28.0)
    again = palette.in_few_colours(once)
    with Image.open(BytesIO(once)) as one, Image.open(BytesIO(again)) as other:
        np.testing.assert_array_equal(np.asarray(one.convert("RGB")), np.asarray(other.convert("RGB")))


def test_few_colours_leave_a_transparent_picture_alone():
    file = BytesIO()
    Image.new("RGBA", (200, 300), (213, 94, 0, 100)).save(file, "PNG", compress_level=0)
    assert palette.in_few_colours(file.getvalue()) == file.getvalue()


def test_the_number_of_a_point_never_stands_over_the_picture():
    figure = Figure(figsize=(2, 2))
    axis = figure.add_axes((0, 0, 1, 1))
    axis.imshow(np.zeros((64, 64)), extent=(0, 64, 64, 0))
    for y in (2.0, 30.0):
        style.mark(axis, 30.0, y, "red", "1")
    below, above = (text.xyann[1] for text in axis.texts)
    assert below < 0 < above
