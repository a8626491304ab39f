"""Looks that are mixed: how much of each, what the world says lies between, and what is measured of it."""

import copy
import math

import pytest
import torch

from exemplar_lab.data.synth.scenes import Scenes, repaint, source
from exemplar_lab.data.synth.scenes.style import draw_style
from exemplar_lab.metrics.mixing import class_colours, look_of, painted_flat, path_scores, seam_strength, share_of_second
from exemplar_lab.models.msca import MSCA, MSCAConfig
from exemplar_lab.ops.mixing import between_four, between_two, from_left_to_right
from exemplar_lab.training.editing import (
    canvas_of,
    extrapolation_scores,
    extrapolations,
    gathered_shares,
    interpolation_scores,
    mixed,
    mixture,
    ramp_scores,
)
from exemplar_lab.viz.mixing import canvases, mixture_grid, ramps


def test_amounts_between_two_and_four():
    assert between_two(torch.tensor([0.0, 0.25, 1.0]))[:, :, 0, 0].tolist() == [[1, 0], [0.75, 0.25], [0, 1]]
    with pytest.raises(ValueError, match="got share from 0 to 1.5, expected numbers in 0 … 1"):
        between_two(torch.tensor([0.0, 1.5]))
    grid = between_four(3, 5)[..., 0, 0].view(3, 5, 4)
    assert torch.equal(torch.stack([grid[0, 0], grid[0, 4], grid[2, 0], grid[2, 4]]), torch.eye(4))
    for row in range(3):
        for column in range(5):
            y, x = row / 2, column / 4
            wanted = torch.tensor([(1 - y) * (1 - x), (1 - y) * x, y * (1 - x), y * x])
            assert torch.allclose(grid[row, column], wanted)
    with pytest.raises(ValueError, match="got a grid of 1 × 5, expected at least 2 × 2"):
        between_four(1, 5)


@pytest.mark.parametrize("border, softness", [(0.5, 1.0), (0.25, 0.3), (0.7, 0.0), (0.0, 0.5)])
def test_a_ramp_by_hand(border, softness):
    amount = from_left_to_right(20, border, softness)
    assert amount.shape == (1, 2, 1, 20)
    for column in range(20):
        away = (column + 0.5) / 20 - border
        share = float(away > 0) if softness == 0 else min(1.0, max(0.0, away / softness + 0.5))
        assert amount[0, :, 0, column].tolist() == pytest.approx([1 - share, share], abs=1e-6)


def test_the_world_paints_mixtures_of_styles(monkeypatch):
    layout, styles = torch.tensor([4]), torch.tensor([1, 6])
    maps, plain = repaint(layout, styles, 32)
    same, ends = repaint(layout, styles, 32, blend=torch.eye(2))
    assert torch.equal(ends, plain) and torch.equal(same, maps)
    blend = torch.tensor([[0.25, 0.75]])
    _, between = repaint(layout, styles, 32, blend=blend)
    assert torch.equal(between, repaint(layout, styles.flip(0), 32, blend=blend.flip(1))[1])
    assert min((between - plain[:, which : which + 1]).abs().mean() for which in (0, 1)) > 0.01
    seen = []
    light_of, drawn = source.light_of, []
    monkeypatch.setattr(source, "light_of", lambda style, *rest: seen.append(style) or light_of(style, *rest))
    monkeypatch.setattr(source, "draw_style", lambda *given: drawn.append(draw_style(*given)) or drawn[-1])
    repaint(layout, styles, 32, blend=blend)
    assert torch.allclose(seen[0][0], 0.25 * drawn[0][0] + 0.75 * drawn[0][1])


def test_class_colours_by_hand():
    image, which = torch.rand(2, 3, 4, 6), torch.randint(0, 3, (2, 4, 6))
    label = torch.nn.functional.one_hot(which, 4).movedim(3, 1).float()
    colours = class_colours(image, label)
    for sample in range(2):
        for one in range(3):
            wanted = image[sample][:, which[sample] == one].mean(1)
            assert torch.allclose(colours[sample, one], wanted, atol=1e-6)
    assert colours[:, 3].isnan().all()
    flat = painted_flat(label, colours)
    assert torch.allclose(class_colours(flat, label)[:, :3], colours[:, :3], atol=1e-5)
    absent = painted_flat(torch.nn.functional.one_hot(torch.full((2, 4, 6), 3), 4).movedim(3, 1).float(), colours)
    assert torch.allclose(absent, colours[:, :3].mean(1)[..., None, None].expand_as(absent), atol=1e-6)
    looks = look_of(image[:, :, :, :], label[:1])
    apart = (class_colours(image, label[:1].expand(2, -1, -1, -1))[:, :3].diff(dim=0)[0].square().mean(1)).nan_to_num()
    areas = label[0, :3].sum((1, 2))
    assert torch.allclose(looks.diff(dim=0).norm().square(), (apart * areas).sum() / areas.sum(), atol=1e-6)


def test_paths_straight_round_and_back():
    straight = path_scores(torch.linspace(0, 1, 6)[:, None] * torch.tensor([3.0, 4.0]))
    assert {name: round(float(value), 5) for name, value in straight.items()} == {
        "monotone": 1,
        "detour": 1,
        "largest_step": 1,
    }
    angle = torch.linspace(0, math.pi, 101)
    assert float(path_scores(torch.stack([angle.cos(), angle.sin()], 1))["detour"]) == pytest.approx(math.pi / 2, rel=1e-3)
    back = path_scores(torch.tensor([[0.0], [0.6], [0.4], [1.0]]))
    assert float(back["monotone"]) == pytest.approx(2 / 3) and float(back["detour"]) == pytest.approx(1.4)
    aside = path_scores(torch.tensor([[0.0, 0.0], [0.0, 1.0], [2.0, 0.0]]))
    assert float(aside["monotone"]) == 0.5, "the first step leaves the one end and comes no nearer to the other"
    assert float(back["largest_step"]) == pytest.approx(0.6 * 3 / 1.4)


def test_the_share_of_the_second_is_found_band_by_band():
    first, second = torch.rand(2, 2, 3, 8, 12)
    share = torch.tensor([0.0, 0.2, 0.7, 1.0])
    image = first + (second - first) * share.repeat_interleave(3)
    assert torch.allclose(share_of_second(image, first, second, 4), share.expand(2, 4), atol=1e-5)
    with pytest.raises(ValueError, match="got 5 bands for a width of 12"):
        share_of_second(image, first, second, 5)


def test_seams_show_where_windows_end():
    places, window = torch.tensor([[0, 0], [0, 8], [5, 3]]), (16, 8)
    smooth = torch.linspace(0, 1, 16).expand(1, 3, 21, 16)
    assert seam_strength(smooth, places, window).item() == pytest.approx(1, abs=1e-3)
    stepped = smooth.clone()
    stepped[..., 8:] += 0.5  # a border of the first two windows
    assert seam_strength(stepped, places, window) > 3
    assert seam_strength(stepped.transpose(2, 3), places.flip(1), window[::-1]) > 3
    elsewhere = smooth.clone()
    elsewhere[..., 7:] += 0.5
    assert seam_strength(elsewhere, places, window) < 1.5
    assert seam_strength(smooth, torch.tensor([[0, 0]]), (21, 16)).isnan().all()


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    narrow = (8,) * 5
    config = MSCAConfig(
        size=32,
        condition_channels=12,
        regions=(4,) * 5,
        exemplar_widths=narrow,
        label_widths=narrow,
        generator_widths=narrow,
        style_hidden=8,
        norm="position",
    )
    return MSCA(config).eval()


def test_mixtures_begin_and_end_with_a_single_exemplar(model):
    share = torch.tensor([0.0, 0.5, 1.0])
    given = mixture(3, share, 32)
    assert torch.equal(given.painted[0], repaint(torch.tensor([9]), torch.tensor([10]), 32)[1][0, 0])
    assert torch.equal(given.exemplars[1], repaint(torch.tensor([11]), torch.tensor([11]), 32)[1][0])
    made = mixed(model, given, between_two(share))
    for end, which in ((0, 0), (2, 1)):
        with torch.inference_mode():
            alone = model(given.condition.expand(3, -1, -1, -1), *_three(given, which), record=False)
        assert torch.equal(made[end], alone.image[end])
    assert not torch.allclose(made[1], made[0])


def _three(given, which):
    return given.exemplars[which].expand(3, -1, -1, -1), given.exemplar_conditions[which].expand(3, -1, -1, -1)


def test_interpolation_against_the_truth(model):
    rows = interpolation_scores(model, torch.linspace(0, 1, 3), torch.arange(2), 32)
    mixed_rows, faded, true = rows["mixed in the model"], rows["cross-faded"], rows["true ends cross-faded"]
    for end in ("psnr@0", "psnr@1", "l1@0", "l1@1"):
        assert torch.allclose(mixed_rows[end], faded[end])
    assert (true["psnr@0"] == 100).all() and (true["psnr@0.5"] < 60).all() and (true["psnr@0.5"] > faded["psnr@0.5"]).all()
    assert torch.allclose(faded["detour"], torch.ones(2), atol=1e-4)
    assert rows["truth"].keys() == {"monotone", "detour", "largest_step"}
    assert (rows["truth"]["detour"] > 1).all()


def test_shares_are_those_of_the_match(model):
    share = torch.tensor([0.0, 0.3, 1.0])
    rows = gathered_shares(model, share, torch.tensor([1]), 32)
    assert list(rows) == ["2 × 2", "4 × 4", "8 × 8", "16 × 16", "32 × 32"]
    assert all(row["share@0"] == 0 and row["share@1"] == 1 for row in rows.values())
    given = mixture(1, share[:1], 32)
    match = model.mix(given.condition, given.exemplars, given.exemplar_conditions, between_two(share[1:2])).matches[1]
    weight = match.rows(torch.arange(16)).unflatten(-1, (4, 8))
    assert rows["4 × 4"]["share@0.3"].item() == pytest.approx(float(weight[..., 4:].sum() / weight.sum()), abs=1e-5)


def test_ramps_against_the_truth(model):
    rows = ramp_scores(model, torch.arange(2), 32, bands=4, softness=0.5)
    bands = [f"band {band}" for band in range(1, 5)]
    wanted = torch.stack([rows["wanted"][band] for band in bands])
    assert torch.allclose(wanted[:, 0], from_left_to_right(32, softness=0.5)[0, 1, 0].view(4, 8).mean(1))
    for row in ("cross-faded", "truth"):
        assert rows[row]["band 1"].abs().max() < 1e-5 and (rows[row]["band 4"] - 1).abs().max() < 1e-5
    assert (rows["truth"]["psnr"] == 100).all() and (rows["mixed in the model"]["psnr"] < 40).all()


def test_canvases_against_the_truth(model):
    canvas_source = Scenes(size=64, split="val", truth=False)
    rows = extrapolation_scores({"one": model, "other": model}, canvas_source, torch.arange(2), 32, at_once="other")
    assert rows.keys() == {
        *("one", "other", "one, plain mean", "one, corners only", "other, at once", "class colours", "truth")
    }
    assert torch.equal(rows["one"]["psnr"], rows["other"]["psnr"]) and rows["truth"].keys() == {"seam"}
    canvas = canvas_of(canvas_source.batch(torch.tensor([1])), 32)
    assert torch.equal(canvas.exemplar, canvas.target[:, :, 16:48, 16:48])
    made, places = extrapolations({"one": model}, canvas, seed=1)["one"]
    error = (made - canvas.target).square()
    error[:, :, 16:48, 16:48] = 0
    assert rows["one"]["psnr"][1].item() == pytest.approx(-10 * math.log10(error.sum() / (3 * (64 * 64 - 32 * 32))), abs=1e-3)
    assert len(places) == 14


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_everything_is_measured_on_the_device_that_is_asked_for(model):
    share, numbers, there = torch.linspace(0, 1, 3), torch.arange(2), copy.deepcopy(model).cuda()
    canvases_of = Scenes(size=64, split="val", truth=False)
    for measure in (
        lambda one, device: interpolation_scores(one, share, numbers, 32, device),
        lambda one, device: gathered_shares(one, share, numbers, 32, device),
        lambda one, device: ramp_scores(one, numbers, 32, device=device),
        lambda one, device: extrapolation_scores({"one": one}, canvases_of, numbers, 32, "one", device),
    ):
        here, found = measure(model, "cpu"), measure(there, "cuda")
        assert here.keys() == found.keys()
        for row, scores in here.items():
            for name, value in scores.items():
                assert found[row][name].device.type == "cuda" and torch.allclose(found[row][name].cpu(), value, rtol=0.02)


def test_pages_of_mixtures():
    images = torch.rand(6, 3, 8, 8)
    figure = mixture_grid(images, list(images[:4]), 3, "Mixtures")
    shown = [axis for axis in figure.axes if axis.images]
    assert len(figure.axes) == 10 and len(shown) == 10
    with pytest.raises(ValueError, match="got 6 images in 4 columns and 4 exemplars"):
        mixture_grid(images, list(images[:4]), 4)
    figure = ramps((images[0], images[1]), {"a": images[2], "b": images[3]}, {"a": torch.rand(8)}, {"a": torch.rand(4)})
    assert [len(axis.lines) for axis in figure.axes] == [0, 0, 0, 0, 0, 2, 0, 0]
    figure = canvases([{"made": images[0], "truth": images[1]}] * 2, (4, 4), "Canvases")
    frames = [axis.patches for axis in figure.axes]
    assert len(frames) == 4 and all(patch.get_bbox().bounds == (2, 2, 4, 4) for patches in frames for patch in patches)
