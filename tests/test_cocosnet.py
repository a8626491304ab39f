"""CoCosNet as a whole: small ones in every variant, and the paper's own size, shape by shape, against its Table 5."""

import json
from dataclasses import fields, replace

import pytest
import torch
from torch import nn

from exemplar_lab.correspondence import DenseMatch
from exemplar_lab.models.cocosnet import CoCosNet, CoCosNetConfig
from exemplar_lab.models.config import config_from_dict

SMALL = CoCosNetConfig(
    size=32,
    condition_channels=5,
    adaptor_convolutions=((8, 1), (12, 2)),
    adaptor_blocks=(12, 16),
    shared_blocks=1,
    match_channels=12,
    generator_blocks=((16, False), (16, True), (8, True)),
    nonlocal_after=2,
    style_hidden=8,
)
VARIANTS = {
    "paper": {},
    "batch norm": {"norm": "batch"},
    "centred over space": {"centring": "space"},
    "patches": {"patch": 3},
    "style sees condition": {"style_sees_condition": True},
    "mask warm-up": {"exemplar_sees_condition": True},
    "no non-local block": {"nonlocal_after": None},
    "no upsampling": {"generator_blocks": ((8, False),), "nonlocal_after": None},
}


def model_of(**changes) -> CoCosNet:
    torch.manual_seed(1)
    return CoCosNet(replace(SMALL, **changes)).eval()


def inputs(samples: int = 2, size: int = 32, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(2)
    return tuple(torch.rand(samples, c, size, size, generator=generator, dtype=dtype) for c in (5, 3, 5))


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_every_variant_runs_and_the_record_changes_nothing(changes):
    model = model_of(**changes)
    recorded, exact = model(*inputs()), model(*inputs(), record=False)
    assert recorded.image.shape == (2, 3, 32, 32) and recorded.image.min() > 0 and recorded.image.max() < 1
    assert exact.matches == () and set(recorded.features) == {"adapted_condition", "query", "key"}

    (match,), (warp,) = recorded.matches, recorded.warps
    assert isinstance(match, DenseMatch) and match.query_size == match.key_size == (16, 16)
    torch.testing.assert_close(match.mass(), torch.ones(2, 16, 16))
    small = inputs()[1].unflatten(2, (16, 2)).unflatten(4, (16, 2)).mean((3, 5))
    torch.testing.assert_close(warp, match.warp(small))
    torch.testing.assert_close(exact.warps[0], warp, atol=1e-5, rtol=0)
    torch.testing.assert_close(exact.image, recorded.image, atol=1e-5, rtol=0)


@pytest.mark.parametrize("record", [True, False])
@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_every_parameter_learns(changes, record):
    model = model_of(**changes).double()
    model.train(changes.get("norm") != "batch")  # in training, batch normalisation takes every bias before it away
    if model.generator.nonlocal_block:
        nn.init.constant_(model.generator.nonlocal_block.gain, 0.5)  # at its first value, 0, only the gain itself learns
    translation = model(*inputs(dtype=torch.float64), record=record)
    pull = torch.randn(translation.image.shape, dtype=torch.float64)
    (translation.image * pull).sum().backward()
    idle = {name for name, p in model.named_parameters() if p.grad is None or p.grad.abs().max() < 1e-12}
    # A constant per channel is what centring over space takes away, so the last bias of the shared block is for nothing there.
    assert idle == ({"shared.1.bias"} if changes.get("centring") == "space" else set())


def test_query_and_key_are_the_vectors_that_were_matched():
    for changes, width in ({}, 12), ({"patch": 3}, 12 * 9), ({"centring": "space"}, 12):
        translation = model_of(**changes)(*inputs())
        query, key = translation.features["query"], translation.features["key"]
        assert query.shape == key.shape == (2, 256, width)
        torch.testing.assert_close(query.norm(dim=-1), torch.ones(2, 256))
        weight = torch.softmax(100 * query @ key.transpose(1, 2), dim=-1)
        torch.testing.assert_close(translation.matches[0].weight, weight, atol=1e-4, rtol=0)


def test_a_domain_each_and_one_shared_block():
    """A→S reads the condition, B→S the exemplar (Eq. 1, 2); no weights are shared, and Eq. (9) may ask B→S for the target."""
    model = model_of()
    condition, exemplar, _ = inputs()
    translation = model(condition, exemplar)
    torch.testing.assert_close(translation.features["adapted_condition"], model.condition_adaptor(condition * 2 - 1))
    torch.testing.assert_close(model.adapt_exemplar(exemplar), model.exemplar_adaptor(exemplar * 2 - 1))
    ours = {p.data_ptr() for p in model.condition_adaptor.parameters()}
    assert ours.isdisjoint(p.data_ptr() for p in model.exemplar_adaptor.parameters())


def test_the_generator_sees_the_structure_only_in_the_warp():
    """Eq. (7): an exemplar of one colour gives every structure the same warp, hence the same image; unless style sees more."""
    grey = torch.full((2, 3, 32, 32), 0.5)
    condition = inputs()[0]
    first, second = model_of()(condition, grey).image
    torch.testing.assert_close(first, second)
    first, second = model_of(style_sees_condition=True)(condition, grey).image
    assert (first - second).abs().max() > 1e-3


def test_samples_do_not_touch_each_other():
    together, alone = model_of()(*inputs()), model_of()(*(tensor[1:] for tensor in inputs()))
    torch.testing.assert_close(together.image[1:], alone.image, atol=1e-5, rtol=0)


def test_mask_warm_up():
    model = model_of(exemplar_sees_condition=True)
    condition, exemplar, mask = inputs()
    with_mask, with_zeros = model(condition, exemplar, mask).image, model(condition, exemplar, torch.zeros_like(mask)).image
    assert torch.equal(model(condition, exemplar).image, with_zeros)
    assert (with_mask - with_zeros).abs().max() > 1e-4
    plain = model_of()
    assert torch.equal(plain(condition, exemplar, mask).image, plain(condition, exemplar).image)


def test_same_seed_same_model_same_answer():
    first, second = model_of(), model_of()
    answers = first(*inputs()), second(*inputs()), first(*inputs())
    assert torch.equal(answers[0].image, answers[1].image) and torch.equal(answers[0].image, answers[2].image)
    torch.manual_seed(7)
    other = CoCosNet(SMALL).eval()
    assert torch.equal(other.generator.code, first.generator.code)  # the constant code z is the same in every model
    assert not torch.equal(other(*inputs()).image, answers[0].image)


def test_saved_and_loaded_is_equal(tmp_path):
    model = model_of(norm="batch").train()
    model(*inputs())  # so that the running statistics and the spectral norm's vectors are not the first ones
    model.generator.code.mul_(2)  # a checkpoint brings its own constant code
    torch.save(model.eval().state_dict(), tmp_path / "model.pt")
    torch.manual_seed(7)
    other = CoCosNet(config_from_dict(CoCosNetConfig, json.loads(json.dumps(model.config.to_dict())))).eval()
    other.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    assert torch.equal(other(*inputs()).image, model(*inputs()).image)


@pytest.mark.parametrize("config", [CoCosNetConfig(), SMALL, replace(SMALL, nonlocal_after=None)])
def test_config_survives_json(config):
    again = config_from_dict(CoCosNetConfig, json.loads(json.dumps(config.to_dict())))
    assert again == config and hash(again) == hash(config)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 30}, "got size 30, expected a multiple of 4"),
        ({"size": 0}, "got size 0"),
        ({"patch": 2}, "got patch 2, expected an odd number"),
        ({"temperature": 0.0}, "got temperature 0.0, expected a number above 0"),
        ({"centring": "chanel"}, "got centring 'chanel', expected one of channel, space, none"),
        ({"norm": "instance"}, "got norm 'instance', expected one of position, batch"),
        ({"nonlocal_after": 3}, "got nonlocal_after 3, expected None or a number from 1 to 2"),
    ],
)
def test_config_refuses_what_makes_no_network(unchecked, changes, message):
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **changes)


def test_config_refuses_settings_it_does_not_know():
    with pytest.raises(ValueError, match="got the settings depth, width, expected only those of CoCosNetConfig"):
        config_from_dict(CoCosNetConfig, {**SMALL.to_dict(), "width": 3, "depth": 4})
    assert {field.name for field in fields(CoCosNetConfig)} == set(SMALL.to_dict())


@pytest.mark.parametrize(
    ("condition", "exemplar", "mask", "message"),
    [
        ((2, 5, 64, 64), (2, 3, 64, 64), None, r"got condition of shape .* = \(5, 64, 64\), expected \(5, 32, 32\): resize it"),
        ((2, 3, 32, 32), (2, 3, 32, 32), None, r"got condition of shape .* = \(3, 32, 32\), expected \(5, 32, 32\)"),
        ((2, 5, 32, 32), (2, 3, 32, 16), None, r"got exemplar of shape .* = \(3, 32, 16\), expected \(3, 32, 32\)"),
        ((2, 5, 32, 32), (2, 1, 32, 32), None, r"got exemplar of shape .* = \(1, 32, 32\)"),
        ((2, 5, 32, 32), (1, 3, 32, 32), None, r"got 2 of condition and 1 of exemplar, .*exemplar.expand\(2, -1, -1, -1\)"),
        ((2, 5, 32, 32), (2, 3, 32, 32), (2, 4, 32, 32), r"got exemplar_condition of shape .* = \(4, 32, 32\)"),
    ],
)
def test_the_door(unchecked, condition, exemplar, mask, message):
    model = model_of(exemplar_sees_condition=True)
    with pytest.raises(ValueError, match=message):
        model(torch.rand(condition), torch.rand(exemplar), None if mask is None else torch.rand(mask))


def test_the_size_door_also_in_front_of_the_record():
    with pytest.raises(ValueError, match="got condition of shape"):
        model_of()(*inputs(size=64), record=False)


# The paper's size.


def remember_shapes(wanted: dict[str, nn.Module]) -> dict[str, list[tuple[int, ...]]]:
    """(h, w, c) of what each module will give, as often as it is called."""
    shapes = {name: [] for name in wanted}
    for name, module in wanted.items():
        module.register_forward_hook(lambda _, __, out, name=name: shapes[name].append((*out.shape[2:], out.shape[1])))
    return shapes


def kernels(module: nn.Module) -> list[str]:
    convolutions = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d)]
    return [f"k{layer.kernel_size[0]}s{layer.stride[0]}" for layer in convolutions]


def test_table_5():
    """Every row of Table 5, on the meta device, which knows shapes and holds no numbers."""
    with torch.device("meta"):
        model = CoCosNet(CoCosNetConfig()).eval()
        images = torch.empty(1, 3, 256, 256), torch.empty(1, 3, 256, 256)
    shared, generator = model.shared, model.generator
    wanted = {"shared blocks": shared[3], "shared last": shared[4], "first": generator.first, "last": generator.last}
    wanted |= {f"block {i}": block for i, block in enumerate(generator.blocks, 1)} | {"nonlocal": generator.nonlocal_block}
    for side, adaptor in ("A", model.condition_adaptor), ("B", model.exemplar_adaptor):
        convolutions = [layer for layer in adaptor.layers if isinstance(layer, nn.Conv2d)]
        wanted |= {f"{side} conv {i}": layer for i, layer in enumerate(convolutions, 1)} | {f"{side} blocks": adaptor}
        assert [kernels(layer)[0] for layer in convolutions] == ["k3s1", "k4s2", "k3s1", "k4s2", "k3s1"]
        assert [type(layer).__name__ for layer in adaptor.layers[-4:]] == ["LeakyReLU"] + 3 * ["ResidualBlock"]
    shapes = remember_shapes(wanted)
    translation = model(*images, record=False)

    for side in "AB":
        assert shapes[f"{side} conv 1"] == [(256, 256, 64)]
        assert shapes[f"{side} conv 2"] == [(128, 128, 128)]
        assert shapes[f"{side} conv 3"] == [(128, 128, 256)]
        assert shapes[f"{side} conv 4"] == [(64, 64, 512)]
        assert shapes[f"{side} conv 5"] == [(64, 64, 512)]
        assert shapes[f"{side} blocks"] == [(64, 64, 256)]
    assert shapes["shared blocks"] == shapes["shared last"] == 2 * [(64, 64, 256)]  # of both sides
    assert kernels(shared[4]) == ["k1s1"]
    assert translation.warps[0].shape == (1, 3, 64, 64)

    assert shapes["first"] == [(8, 8, 1024)]
    assert [shapes[f"block {i}"] for i in range(1, 6)] == [
        [(8, 8, 1024)], [(16, 16, 1024)], [(16, 16, 1024)], [(32, 32, 512)], [(64, 64, 256)]
    ]  # fmt: skip
    assert shapes["nonlocal"] == [(128, 128, 256)]  # the fifth block, up-sampled: Table 5 writes 128 × 128 × 256 for it as well
    assert [shapes[f"block {i}"] for i in (6, 7)] == [[(128, 128, 128)], [(256, 256, 64)]]
    assert shapes["last"] == [(256, 256, 3)]
    assert len(generator.blocks) == 7
    for block in generator.blocks:
        for norm in filter(None, (block.norm_0, block.norm_1, block.norm_past)):
            assert (norm.style.shared.in_channels, norm.style.shared.out_channels) == (3, 128)
            assert kernels(norm.style) == ["k3s1", "k3s1"]
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(138.8e6, rel=1e-3)


def test_the_paper_s_size_runs():
    """256 × 256, 139 million parameters, one image forward; 10 to 20 seconds, most of them in the layers at full size."""
    model = CoCosNet(CoCosNetConfig()).eval()
    with torch.inference_mode():
        translation = model(torch.rand(1, 3, 256, 256), torch.rand(1, 3, 256, 256), record=False)
    assert translation.image.shape == (1, 3, 256, 256) and translation.image.isfinite().all()
    assert translation.warps[0].shape == (1, 3, 64, 64) and translation.image.std() > 0
