"""From a folder of photographs and label maps to a trained MSCA, and to what can be measured where no answer is known."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from label_folders import fill

from exemplar_lab.cli import main
from exemplar_lab.data.joined import Joined
from exemplar_lab.data.label_folder import write_label_folder
from exemplar_lab.data.labelled import LabelledPhotographs
from exemplar_lab.data.retrieval import Retrieved, retrieval_list
from exemplar_lab.data.synth.scenes import Scenes
from exemplar_lab.metrics.perceptual import gatys_style_loss
from exemplar_lab.metrics.swaps import explained_by_labels, own_structure, own_style, style_distances
from exemplar_lab.training.checkpoint import last_checkpoint, read_checkpoint
from exemplar_lab.training.log import read_log
from exemplar_lab.training.loop import train
from exemplar_lab.training.recipe import make_source
from exemplar_lab.training.recipes import make_recipe
from exemplar_lab.viz.swaps import SwapPanel, swap_numbers

SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture
def camvid(tmp_path):
    fill(tmp_path / "town", "train", "trainannot")
    fill(tmp_path / "town", "val", "valannot", many=2)
    return tmp_path / "town"


def shared(name: str) -> Path:
    if not (SHARED / name).is_dir():
        pytest.skip(f"no samples of {name} beside the checkout")
    return SHARED / name


# Training


def test_a_folder_trains_from_the_command_line(camvid, tmp_path, capsys):
    asked = ["train", "msca", "--data", str(camvid), "--profile", "smoke", "--variant", "gap", "--out", str(tmp_path / "run")]
    assert main(asked) == 0
    assert len(read_log(tmp_path / "run")) == 12 and "step-00000012" in capsys.readouterr().out
    checkpoint = read_checkpoint(last_checkpoint(tmp_path / "run"))
    assert checkpoint.about["recipe"]["name"] == "msca-town-smoke-gap" and checkpoint.build().config.condition_channels == 5
    source = make_source(checkpoint.about["recipe"]["validation"])
    assert source == LabelledPhotographs(32, "val", str(camvid)) and source.void is None
    batch = source.batch(torch.arange(2))
    with torch.inference_mode():
        image = checkpoint.build()(batch.condition, batch.exemplar, batch.exemplar_condition).image
    assert image.shape == batch.target.shape and image.isfinite().all()


def test_a_broken_folder_is_one_clear_line(camvid, tmp_path, capsys):
    (camvid / "trainannot" / "t01.1.png").unlink()
    assert main(["train", "msca", "--data", str(camvid), "--profile", "smoke", "--out", str(tmp_path / "run")]) != 0
    said = capsys.readouterr().err.strip()
    assert "without a label map" in said and "t01.1" in said and "\n" not in said and not (tmp_path / "run").exists()
    (tmp_path / "nothing").mkdir()
    assert main(["train", "msca", "--data", str(tmp_path / "nothing"), "--profile", "smoke"]) != 0
    said = capsys.readouterr().err.strip()
    assert "holds no known folders" in said and "trainannot" in said and "\n" not in said


def test_the_unknown_label_of_a_folder(camvid, tmp_path):
    for split in ("train", "val"):
        fill(tmp_path / "eleven", split, f"{split}annot", many=2, size=(100, 300), classes=12)
        fill(tmp_path / "coco", f"{split}_img", f"{split}_label", many=2, size=(100, 300), classes=12)
    known = {name: make_recipe("msca", str(tmp_path / name), "smoke") for name in ("town", "eleven", "coco")}
    assert {name: one.source.void for name, one in known.items()} == {"town": None, "eleven": 11, "coco": None}
    assert [one.model.condition_channels for one in known.values()] == [5, 11, 12]
    (tmp_path / "eleven" / "classes.txt").write_text("\n".join(f"class {k}" for k in range(12)))
    assert make_recipe("msca", str(tmp_path / "eleven"), "smoke").source.void is None
    (camvid / "classes.txt").write_text("a\nb\nc\nd\nVoid\n")
    recipe = make_recipe("msca", str(camvid), "smoke")
    assert (recipe.source.void, recipe.validation.void, recipe.model.condition_channels) == (4, 4, 4)


def test_camvid_has_eleven_classes():
    recipe = make_recipe("msca", str(shared("camvid")), "small")
    assert recipe.source.void == 11 and recipe.model.condition_channels == 11 and len(recipe.validation.pairs) == 101


def test_a_step_of_182_classes(tmp_path):
    recipe = make_recipe("msca", str(shared("official_layouts/coco_stuff")), "smoke")
    assert recipe.model.condition_channels > 100 and len(recipe.source.pairs) + len(recipe.validation.pairs) == 13
    few = replace(recipe, steps=3, save_every=3, patches=replace(recipe.patches, pretraining=1, disjoint=1))
    assert [all(map(math.isfinite, step.terms.values())) for step in train(few, tmp_path)] == [True] * 3


# Folders and pools


def test_a_world_written_to_a_folder_is_read_again(tmp_path):
    scenes = {split: Scenes(size=32, split=split) for split in ("train", "val")}
    folder = write_label_folder(tmp_path / "world", scenes, 3, names=[f"class {k}" for k in range(12)])
    read = LabelledPhotographs(32, "val", folder, closest=1.0, flip=0.0)
    batch, made = read.batch(torch.arange(3)), scenes["val"].batch(torch.arange(3))
    assert torch.equal(batch.truth.target_part, made.truth.target_part) and read.class_names[11] == "class 11"
    assert (batch.target - made.target.clamp(0, 1)).abs().max() <= 0.5 / 255 + 1e-6
    for wrong in ({"sources": {"test": scenes["val"]}}, {"sources": {}}, {"count": 0}):
        with pytest.raises(ValueError, match="got the splits"):
            write_label_folder(**{"folder": tmp_path, "sources": scenes, "count": 1} | wrong)
    with pytest.raises(ValueError, match="without truth.target_part"):
        write_label_folder(tmp_path, {"train": Scenes(size=32, truth=False)}, 1)


def test_joined_sources_keep_the_order_asked_for():
    first, second = (Scenes(size=32, split=split) for split in ("val", "train"))
    joined = Joined(first, 5, second)
    batch = joined.batch(torch.tensor([7, 0, 5, 4]))
    expected = [second, first, second, first]
    for k, (source, index) in enumerate(zip(expected, (2, 0, 0, 4), strict=True)):
        alone = source.batch(torch.tensor([index]))
        assert torch.equal(batch.target[k : k + 1], alone.target)
        assert torch.equal(batch.truth.target_part[k : k + 1], alone.truth.target_part)
    assert torch.equal(joined.batch(torch.tensor([6])).target, second.batch(torch.tensor([1])).target)
    assert len(joined.batch(torch.tensor([], dtype=torch.long))) == 0 and joined.length is None
    with pytest.raises(ValueError, match="expected the same"):
        Joined(first, 5, Scenes(size=64))


def test_targets_of_one_source_have_exemplars_of_the_other():
    val, training = (Scenes(size=32, split=split) for split in ("val", "train"))
    joined = Joined(val, 3, training)
    pairs = retrieval_list(joined, torch.arange(3), 3 + torch.arange(6), 1)
    assert [target for target, _ in pairs] == [0, 1, 2] and all(3 <= exemplar < 9 for _, exemplar in pairs)
    batch = Retrieved(joined, pairs).batch(torch.arange(3))
    assert torch.equal(batch.target, val.batch(torch.arange(3)).target)
    assert torch.equal(batch.exemplar, training.batch(torch.tensor([k - 3 for _, k in pairs])).target)


# What can be asked without an answer


def test_explained_by_labels_is_adjusted_r_squared():
    torch.manual_seed(0)
    image, part = torch.rand(2, 3, 6, 5, dtype=torch.float64), torch.randint(-1, 4, (2, 6, 5))
    for k in range(2):
        inside = residual = total = 0.0
        known = [(y, x) for y in range(6) for x in range(5) if part[k, y, x] >= 0]
        for c in range(3):
            mean = sum(float(image[k, c, y, x]) for y, x in known) / len(known)
            for y, x in known:
                same = [float(image[k, c, v, u]) for v, u in known if part[k, v, u] == part[k, y, x]]
                residual += (float(image[k, c, y, x]) - sum(same) / len(same)) ** 2
                total += (float(image[k, c, y, x]) - mean) ** 2
        regions = len(part[k][part[k] >= 0].unique())
        inside = 1 - (residual / (len(known) - regions)) / (total / (len(known) - 1))
        assert explained_by_labels(image, part)[k].item() == pytest.approx(inside, abs=1e-9)


def test_explained_by_labels_at_its_ends():
    part = torch.arange(16).view(1, 4, 4) // 4
    flat = part[:, None].expand(-1, 3, -1, -1) / 3
    assert explained_by_labels(flat, part).item() == pytest.approx(1)
    assert explained_by_labels(flat, part.transpose(1, 2).contiguous()).item() < 0.01
    assert explained_by_labels(torch.ones(1, 3, 4, 4), part).isnan().all()
    assert explained_by_labels(flat, torch.arange(16).view(1, 4, 4)).isnan().all()
    noise = torch.rand(200, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    many = torch.arange(64).view(1, 8, 8).expand(200, -1, -1) // 4
    assert abs(explained_by_labels(noise, many).mean().item()) < 0.02  # unadjusted it would be about 0.24


def test_own_style_and_own_structure_know_rows_from_columns():
    """Two structures, three exemplars; every cell is painted by its own labels in the colours of its own exemplar."""
    part = torch.stack([torch.arange(8).expand(8, 8) // 4, torch.arange(8).expand(8, 8).T // 4])
    colours = torch.tensor([[0.1, 0.9], [0.2, 0.4], [0.9, 0.6]])
    made = colours[None, :, :].expand(2, -1, -1)[
        torch.arange(2)[:, None, None, None], torch.arange(3)[:, None, None], part[:, None]
    ]
    made = made[:, :, None].expand(-1, -1, 3, -1, -1)
    explained, kept = own_structure(made, part)
    assert explained.shape == (2, 3) and kept.all() and torch.allclose(explained, torch.ones(2, 3), atol=1e-5)
    explained, kept = own_structure(made.flip(0), part)
    assert not kept.any() and explained.max() < 0.01

    exemplars = {"relu1_1": made[0]}
    distance = style_distances({"relu1_1": made.flatten(0, 1)}, exemplars, ("relu1_1",))
    assert distance.shape == (2, 3, 3)
    one = gatys_style_loss({"relu1_1": made[1, 2][None]}, {"relu1_1": made[0, 1][None]}, ("relu1_1",))
    assert distance[1, 2, 1].item() == pytest.approx(one.item(), rel=1e-4)
    relative, nearest = own_style(distance)
    assert nearest.all() and relative.max() < 0.05
    relative, nearest = own_style(distance[:, [1, 2, 0]])
    assert not nearest.any() and relative.max() > 10
    with pytest.raises(ValueError, match="at least 2"):
        own_style(torch.ones(2, 1, 1))
    with pytest.raises(ValueError, match="every structure with every exemplar"):
        style_distances({"relu1_1": made.flatten(0, 1)[:5]}, exemplars, ("relu1_1",))


def test_panels_count_their_frames_and_share_their_scales():
    right = torch.tensor([[True, False, True], [True, False, False]])
    panels = {
        "a": SwapPanel(torch.tensor([[0.5, 1.0, 2.0], [0.7, 1.1, 0.9]]), right, even=1.0),
        "b": SwapPanel(torch.full((2, 3), 1.2), even=1.0),
        "c": SwapPanel(torch.tensor([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]), right),
    }
    figure = swap_numbers(panels, ["s1", "s2"], ["e1", "e2", "e3"], columns=3, title="swaps")
    first, second, third = figure.axes
    assert [word.get_text() for word in first.get_xticklabels()] == ["e1\n2/2", "e2\n0/2", "e3\n1/2"]
    assert len(first.patches) == 3 and not second.patches and len(third.patches) == 3
    assert first.collections[0].get_clim() == second.collections[0].get_clim() == (0.0, 2.0)
    assert third.collections[0].get_clim() == pytest.approx((0.1, 0.6))
