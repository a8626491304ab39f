"""MATEBIT as a whole and by its layers: small ones in every variant, and the paper's own size, shape by shape."""

import json
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from exemplar_lab.correspondence import DenseMatch
from exemplar_lab.models.config import config_from_dict
from exemplar_lab.models.matebit import MATEBIT, MATEBITConfig
from exemplar_lab.nn.matebit import AdaINBlock, CoordinateAttention, StyleQueue, position_encoding

SMALL = MATEBITConfig(
    size=32,
    condition_channels=5,
    widths=(8, 12, 16),
    encoder_blocks=1,
    decoder_blocks=1,
    blocks=3,
    style_hidden=8,
    style=6,
    queue=10,
)
VARIANTS = {
    "paper": {},
    "printed": {"form": "printed"},
    "mass": {"form": "mass"},
    "w/o ReLU": {"matching": "unmasked"},
    "full correspondence": {"matching": "full"},
    "feed-forward": {"augmentation": "feed-forward"},
    "w/o skips": {"skips": False},
    "w/o global style": {"global_style": False},
    "w/o MAT": {"blocks": 0},
    "sees condition and colours": {"exemplar_sees_condition": True, "values_see_colours": True},
}


def model_of(**changes) -> MATEBIT:
    torch.manual_seed(1)
    return MATEBIT(replace(SMALL, **changes)).eval()


def inputs(samples: int = 2, size: int = 32, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(2)
    return tuple(torch.rand(samples, c, size, size, generator=generator, dtype=dtype) for c in (5, 3, 5))


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_every_variant_runs_and_the_record_changes_nothing(changes):
    model = model_of(**changes)
    recorded, exact = model(*inputs()), model(*inputs(), record=False)
    assert recorded.image.shape == (2, 3, 32, 32) and recorded.image.min() > 0 and recorded.image.max() < 1
    assert exact.matches == () and len(recorded.matches) == len(recorded.warps) == model.config.blocks
    torch.testing.assert_close(exact.image, recorded.image, atol=1e-4, rtol=0)
    small = F.interpolate(inputs()[1], (8, 8), mode="area")
    for match, warp, other in zip(recorded.matches, recorded.warps, exact.warps, strict=True):
        assert isinstance(match, DenseMatch) and match.query_size == match.key_size == (8, 8)
        torch.testing.assert_close(warp, match.warp(small))
        torch.testing.assert_close(other, warp, atol=1e-4, rtol=0)
    if recorded.matches:
        score, reliable = recorded.features["score"], recorded.features["reliable"]
        assert score.shape == (2, 3, 64, 64) and reliable.shape == (2, 3, 8, 8) and "score" not in exact.features
        torch.testing.assert_close(exact.features["reliable"], reliable, atol=1e-4, rtol=0)
        kept = torch.stack([match.weight for match in recorded.matches], dim=1) > 0
        if changes.get("matching", "masked") == "masked" and changes.get("form") != "printed":
            assert not (kept & (score <= 0)).any()
            assert reliable.min() >= 0 and reliable.max() <= 1 + 1e-6
    torch.testing.assert_close(recorded.features["style"].norm(dim=1), torch.ones(2))


@pytest.mark.parametrize("record", [True, False])
@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_every_parameter_learns(changes, record):
    model = model_of(**changes, alpha=5.0).double()
    translation = model(*inputs(dtype=torch.float64), record=record)
    pull = torch.randn(translation.image.shape, dtype=torch.float64)
    ((translation.image * pull).sum() + translation.features["style"][:, 0].sum()).backward()
    idle = {name for name, p in model.named_parameters() if p.grad is None or p.grad.abs().max() < 1e-12}
    assert {name.split(".")[0] for name in idle} <= ({"exemplar_encoder"} if changes.get("blocks") == 0 else set())


def test_other_sizes_than_the_trained_one():
    image = model_of()(*inputs(size=64)).image
    assert image.shape == (2, 3, 64, 64)


def test_samples_do_not_touch_each_other():
    together, alone = model_of()(*inputs()), model_of()(*(tensor[1:] for tensor in inputs()))
    torch.testing.assert_close(together.image[1:], alone.image, atol=1e-4, rtol=0)


def test_what_each_part_lets_through():
    """Without matching only z tells the exemplar, without z nothing does; without skips the structure still comes by MAT."""
    condition, exemplar, own = inputs()
    other = exemplar.flip(0)
    for changes, moves in (({"blocks": 0}, True), ({"blocks": 0, "global_style": False}, False), ({"skips": False}, True)):
        model = model_of(**changes)
        change = (model(condition, exemplar, own).image - model(condition, other, own).image).abs().max()
        assert (change > 1e-5) == moves
    model = model_of(skips=False)
    assert (model(condition, exemplar).image - model(condition.flip(0), exemplar).image).abs().max() > 1e-5


def test_style_code_of_the_exemplar_is_the_one_that_is_used():
    condition, exemplar, own = inputs()
    for changes in ({}, {"exemplar_sees_condition": True}):
        model = model_of(**changes)
        translation = model(condition, exemplar, own)
        torch.testing.assert_close(model.style_code(exemplar, own), translation.features["style"])
        aligned, structure = model.align(exemplar, own), translation.features["structure"]
        assert aligned.shape == structure.shape == (2, 16, 8, 8)
        for one in (aligned, structure):  # Eq. (8) compares what was scaled alike
            torch.testing.assert_close(one.mean((1, 2, 3)), torch.zeros(2), atol=1e-4, rtol=0)
            torch.testing.assert_close(one.std((1, 2, 3)), torch.ones(2), atol=1e-2, rtol=0)


def test_the_queue_keeps_the_first_or_the_newest():
    queue = StyleQueue(5, 2)
    assert queue.negatives().shape == (0, 2)
    codes = torch.arange(16.0).reshape(8, 2)
    queue.push(codes[:3], early=True)
    torch.testing.assert_close(queue.negatives(), codes[:3])
    held = queue.negatives()
    queue.push(codes[3:], early=True)
    assert torch.equal(queue.negatives(), codes[:5]) and torch.equal(held, codes[:3])
    queue.push(codes, early=True)
    assert torch.equal(queue.negatives(), codes[:5])

    queue = StyleQueue(5, 2)
    for start in (0, 3, 6):
        queue.push(codes[start : start + 3], early=False)
    assert sorted(queue.negatives()[:, 0].tolist()) == codes[3:, 0].tolist()
    queue.push(codes, early=False)  # more than there is room for
    assert sorted(queue.negatives()[:, 0].tolist()) == codes[3:, 0].tolist()
    other = StyleQueue(5, 2)
    other.load_state_dict(queue.state_dict())
    assert torch.equal(other.negatives(), queue.negatives())


def test_coordinate_attention_gates_rows_and_columns():
    """A constant map has a constant gate; what moves along x changes gates along x alone."""
    torch.manual_seed(0)
    layer = CoordinateAttention(16).eval()
    ramp = torch.linspace(-1, 1, 6)[None, None, None].expand(1, 16, 4, 6) + torch.randn(1, 16, 1, 1)
    gate = layer(ramp) / ramp
    torch.testing.assert_close(gate, gate[:, :, :1].expand_as(gate))
    assert (gate[..., 0] - gate[..., -1]).abs().max() > 1e-4 and gate.min() > 0 and gate.max() < 1


def test_adain_block_has_the_look_of_the_code():
    """Channel statistics of what the block adds are what the linear layer says; without a code, 0 and 1."""
    torch.manual_seed(0)
    x, style = torch.randn(2, 8, 12, 12), torch.randn(2, 3)
    for width in (3, None):
        block = AdaINBlock(8, width).eval()
        change = (block(x, style) - x).flatten(2)
        mean, deviation = (
            (0 * change[..., 0], 1 + 0 * change[..., 0]) if width is None else block.modulate(style * 3**0.5).chunk(2, dim=1)
        )
        torch.testing.assert_close(change.mean(2), mean, atol=1e-5, rtol=0)
        torch.testing.assert_close(
            change.std(2), deviation.abs() if width is None else (1 + deviation).abs(), atol=1e-4, rtol=0
        )


def test_positions_differ_everywhere_and_keep_their_place_at_another_size():
    small, large = (position_encoding(16, size, torch.zeros(())) for size in ((4, 4), (12, 12)))
    flat = small[0].flatten(1).T
    assert small.shape == (1, 16, 4, 4) and torch.cdist(flat, flat).fill_diagonal_(9).min() > 0.1
    torch.testing.assert_close(large[..., 1::3, 1::3], small, atol=1e-5, rtol=0)


def test_saved_and_loaded_is_equal(tmp_path):
    model = model_of()
    model.queue.push(torch.randn(4, 6), early=True)
    torch.save(model.state_dict(), tmp_path / "model.pt")
    torch.manual_seed(7)
    other = MATEBIT(config_from_dict(MATEBITConfig, json.loads(json.dumps(model.config.to_dict())))).eval()
    other.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    assert torch.equal(other(*inputs()).image, model(*inputs()).image)
    assert torch.equal(other.queue.negatives(), model.queue.negatives())


def test_the_paper_preset_has_the_size_of_the_released_model():
    with torch.device("meta"):
        model = MATEBIT(MATEBITConfig())
        count = sum(parameter.numel() for parameter in model.parameters())
        translation = model(torch.empty(2, 3, 256, 256), torch.empty(2, 3, 256, 256))
    assert 100e6 < count < 110e6 and len(model.queue.codes) == 1024
    assert translation.image.shape == (2, 3, 256, 256)
    assert [match.weight.shape for match in translation.matches] == [(2, 1024, 1024)] * 3


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"widths": (8,)}, r"widths \(8,\), expected two or more"),
        ({"widths": (8, 10)}, "multiples of 4"),
        ({"size": 30}, "size 30, expected a multiple of 4"),
        ({"blocks": -1}, "blocks -1, expected at least 0"),
        ({"alpha": 0.0}, "alpha 0.0, expected a number above 0"),
        ({"queue": 0}, "queue 0, expected at least 1"),
    ],
)
def test_settings_that_make_no_network(changes, said):
    with pytest.raises(ValueError, match=said):
        replace(SMALL, **changes)


@pytest.mark.parametrize(
    "change, said",
    [
        (
            lambda c, e, o: (c[..., :30], e[..., :30], o[..., :30]),
            "got condition of 32 × 30, expected multiples of 4, at least 8",
        ),
        (lambda c, e, o: (c[..., :4], e[..., :4], o[..., :4]), "got condition of 32 × 4, expected multiples of 4, at least 8"),
        (lambda c, e, o: (c[:, :4], e, o[:, :4]), r"got condition of shape \(2, 4, 32, 32\), expected \(2, 5, 32, 32\)"),
        (lambda c, e, o: (c, e, None), "got no exemplar_condition, expected the exemplar's structure"),
    ],
)
def test_inputs_that_do_not_fit(change, said):
    model = model_of(exemplar_sees_condition=True)
    with pytest.raises(ValueError, match=said):
        model(*change(*inputs()))
