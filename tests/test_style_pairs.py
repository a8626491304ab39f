"""Style transfer: contents and styles, what is measured of a stylised image, and the recipe."""

from dataclasses import replace

import pytest
import torch

from exemplar_lab.data.style_pairs import StylePairs
from exemplar_lab.data.synth.paintings.style import MEDIA
from exemplar_lab.losses.style import STYLE_LAYERS, style_transfer
from exemplar_lab.metrics.structure import content_ssim, dominated, edge_correlation, edge_strength, luminance
from exemplar_lab.models.dynast import DynaST
from exemplar_lab.nn.features import features
from exemplar_lab.training.checkpoint import find_checkpoint, last_checkpoint, read_checkpoint
from exemplar_lab.training.log import read_log
from exemplar_lab.training.loop import train
from exemplar_lab.training.recipe import make_source
from exemplar_lab.training.recipes import make_recipe
from exemplar_lab.training.style_evaluation import STYLE_COLUMNS, measure_styles, style_answers, style_scores

SMALL = StylePairs(size=16)
INDICES = torch.tensor([3, 0, 7])


def same(one, other) -> bool:
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in ("condition", "target", "exemplar", "paired"))


# The source


@pytest.mark.parametrize(("content", "style"), [("both", "paintings"), ("scenes", "photographs")])
def test_a_sample_is_the_same_in_any_batch(content, style):
    source = replace(SMALL, content=content, style=style)
    together = source.batch(INDICES)
    for place, index in enumerate(INDICES.tolist()):
        assert same(together[place : place + 1], source.batch(torch.tensor([index])))


def test_shapes_and_what_stands_where():
    batch = SMALL.batch(INDICES)
    assert batch.condition.shape == batch.exemplar.shape == (3, 3, 16, 16) and SMALL.condition_channels == 3
    assert torch.equal(batch.condition, batch.target) and torch.equal(batch.exemplar, batch.exemplar_condition)
    assert not batch.paired.any() and batch.truth is None
    assert batch.target.min() >= 0 and batch.target.max() <= 1 and batch.exemplar.min() >= 0 and batch.exemplar.max() <= 1
    assert len(SMALL.batch(INDICES[:0])) == 0


def test_samples_differ_and_so_do_splits():
    batch = SMALL.batch(torch.arange(4))
    for images in (batch.target, batch.exemplar):
        assert all((images[i] - images[j]).abs().max() > 0.02 for i in range(4) for j in range(i))
    assert not same(batch[:2], replace(SMALL, split="val").batch(torch.arange(2)))


def test_photographs_show_nothing_of_their_own_in_the_style():
    """With two photographs, the one that is painted is the other one."""
    source = replace(SMALL, split="val", content="photographs", style="photographs", canvas=1)
    batch = source.batch(torch.arange(6))
    for i in range(6):
        one, other = batch.target[i], batch.exemplar[i]
        assert min((one - other).abs().mean(), (one - other.flip(-1)).abs().mean()) > 0.05


@pytest.mark.parametrize("medium", MEDIA)
def test_the_true_painting_is_the_content_in_the_hand_of_the_style(medium):
    """It shows the content (its edges, not those of the style image), in other colours than the photograph's."""
    source = StylePairs(size=48, content="scenes", medium=medium, canvas=1)
    indices = torch.arange(2)
    batch, painting = source.batch(indices), source.painted(indices)
    assert painting.shape == batch.target.shape and (painting - batch.target).abs().mean() > 0.02
    assert (edge_correlation(painting, batch.target) > edge_correlation(painting, batch.exemplar)).all()


def test_the_true_painting_is_cut_where_the_content_is():
    whole, cut = replace(SMALL, size=32, canvas=1), replace(SMALL, size=16, canvas=2)
    for picture, part in (
        (whole.painted(INDICES), cut.painted(INDICES)),
        (whole.batch(INDICES).target, cut.batch(INDICES).target),
    ):
        windows = picture.unfold(2, 16, 1).unfold(3, 16, 1)
        distance = (windows - part[:, :, None, None]).abs().amax((1, 4, 5)).flatten(1)
        assert (distance.amin(1) == 0).all()


def test_a_folder_of_ones_own(tmp_path):
    from exemplar_lab.data.images import write_image

    for number in range(4):
        write_image(tmp_path / f"{number}.png", torch.rand(3, 40, 48, generator=torch.Generator().manual_seed(number)))
    source = StylePairs(size=16, content="photographs", folder=tmp_path)
    assert len(source.paths) == 3 and source.batch(torch.arange(3)).target.shape == (3, 3, 16, 16)
    with pytest.raises(ValueError, match="got one photograph, expected at least 2"):
        StylePairs(size=16, split="val", content="photographs", folder=tmp_path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 8}, "got size 8, expected an integer of at least 16"),
        ({"split": "dev"}, "got split 'dev', expected one of train"),
        ({"content": "people"}, "got content 'people', expected one of both, photographs, scenes"),
        ({"style": "music"}, "got style 'music', expected one of paintings, photographs"),
        ({"medium": "chalk"}, "got medium 'chalk'"),
        ({"canvas": 0}, "got canvas 0, expected at least 1"),
        ({"split": "ood"}, "got split 'ood', expected one of train, val"),
    ],
)
def test_settings_that_make_no_source(settings, message):
    with pytest.raises(ValueError, match=message):
        StylePairs(**({"size": 16} | settings))


def test_other_bad_input():
    with pytest.raises(ValueError, match="expected 'paintings'"):
        replace(SMALL, style="photographs").painted(INDICES)
    with pytest.raises(ValueError, match="expected 0 … 1999"):
        replace(SMALL, split="val").batch(torch.tensor([2000]))


def test_held_out_palettes_can_be_had_without_photographs():
    assert len(StylePairs(size=16, split="ood", content="scenes").batch(torch.arange(2))) == 2


# The metrics


def test_structure_is_blind_to_colour_and_sees_a_shift():
    content = SMALL.batch(INDICES).target
    grey = luminance(content).expand(-1, 3, -1, -1)
    assert torch.allclose(content_ssim(grey, content), torch.ones(3), atol=1e-4)
    assert torch.allclose(edge_correlation(0.5 * grey + 0.2, content), torch.ones(3), atol=1e-4)
    moved = content.roll(3, dims=-1)
    assert (content_ssim(moved, content) < 0.9).all() and (edge_correlation(moved, content) < 0.9).all()
    assert edge_correlation(torch.full_like(content, 0.5), content).isnan().all()


def test_edge_strength_of_a_ramp():
    ramp = (torch.arange(8.0) / 10).expand(1, 1, 8, 8)
    for one in (ramp, ramp.transpose(2, 3)):
        assert torch.allclose(edge_strength(one)[..., 1:-1, 1:-1], torch.tensor(0.1))


def test_who_dominates_whom():
    noise = 0.01 * torch.randn(50, generator=torch.Generator().manual_seed(0))
    rows = {
        "mine": {"content_ssim": 0.5 + noise, "style_loss": 1.0 + noise},
        "better": {"content_ssim": 0.6 + noise.flip(0), "style_loss": 0.5 + noise.flip(0)},
        "hardly": {"content_ssim": 0.5 + noise + 1e-4 + noise.flip(0) * 0.1 - noise.mean() * 0.1, "style_loss": 1.0 + noise},
        "trade": {"content_ssim": 0.9 + noise, "style_loss": 2.0 + noise},
    }
    assert dominated(rows, "mine") == {"better": "surely", "hardly": "in the mean"}
    assert dominated(rows, "better") == {} and dominated(rows, "trade") == {}


# Measuring, training, the checkpoint


def test_scores_know_the_rows_that_fulfil_one_wish_each():
    torch.manual_seed(0)
    model = DynaST(make_recipe("dynast", "style", "smoke").model).eval()
    source = StylePairs(size=32, split="val")
    look = features()
    rows = measure_styles(model, source, torch.arange(3), look, batch_size=2)
    assert set(rows) == {"content", "style image", "colours", "warp", "DynaST", "true painting"}
    assert all(set(numbers) == set(STYLE_COLUMNS) and len(numbers["style_loss"]) == 3 for numbers in rows.values())
    assert torch.allclose(rows["content"]["content_ssim"], torch.ones(3)) and not rows["content"]["content_loss"].any()
    assert not rows["style image"]["style_loss"].any() and not rows["true painting"]["painting_l1"].any()
    assert (rows["colours"]["style_loss"] < rows["content"]["style_loss"]).all()
    batch = source.batch(torch.arange(3))
    seen = [look(image, STYLE_LAYERS) for image in (batch.target, batch.target, batch.exemplar)]
    assert torch.allclose(rows["content"]["style_loss"].mean(), style_transfer(*seen)[1])
    photographs = replace(source, style="photographs").batch(torch.arange(1))
    answers = style_answers(model, photographs)
    assert all("painting_l1" not in numbers for numbers in style_scores(answers, photographs, look).values())


def test_the_recipe_trains_a_few_steps(tmp_path):
    recipe = replace(make_recipe("dynast", "style", "smoke"), steps=3)
    list(train(recipe, tmp_path))
    rows = read_log(tmp_path)
    assert len(rows) == 3 and set(rows[0]) == {"step", "pixel", "content", "style", "seconds"}
    about = read_checkpoint(last_checkpoint(tmp_path)).about
    assert make_source(about["recipe"]["validation"]) == recipe.validation
    with pytest.raises(ValueError, match="got the variant 'once', expected one of full"):
        make_recipe("dynast", "style", "smoke", variant="once")


def test_the_shipped_checkpoint_transfers_at_other_sizes():
    checkpoint = read_checkpoint(find_checkpoint("dynast-style-cpu"))
    model = checkpoint.build()
    assert checkpoint.about["features"] == "fixed-seed-v1"
    assert {"dynast-style-cpu", "content"} <= checkpoint.about["numbers"].keys()
    rows = measure_styles(model, StylePairs(size=96, split="val", canvas=1), torch.arange(3), features())
    mean = {name: {number: float(value.mean()) for number, value in numbers.items()} for name, numbers in rows.items()}
    assert mean["DynaST"]["style_loss"] < 0.5 * mean["content"]["style_loss"]
    assert mean["DynaST"]["content_ssim"] > mean["style image"]["content_ssim"] + 0.2
