"""MSCA as a whole: small ones in every variant, mixtures of exemplars to the last bit, and the paper's own size."""

import json
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from exemplar_lab.correspondence import FactoredMatch
from exemplar_lab.models.config import config_from_dict
from exemplar_lab.models.msca import MSCA, MSCAConfig
from exemplar_lab.nn.features import FixedFeatures, VGG19Features
from exemplar_lab.training.checkpoint import read_checkpoint, write_checkpoint

SMALL = MSCAConfig(
    size=32,
    condition_channels=5,
    features="fixed",
    regions=(3, 4, 4, 4, 4),
    exemplar_widths=(4, 6, 8, 8, 8),
    label_widths=(4, 6, 6, 8, 8),
    generator_widths=(6, 8, 8, 8, 10),
    style_hidden=6,
    norm="position",
)
VARIANTS = {
    "paper": {},
    "batch normalisation": {"norm": "batch"},
    "GAP": {"attention": "average"},
    "w/o att": {"attention": "labels"},
    "w/o fm": {"gated": False},
}
SIDES = (2, 4, 8, 16, 32)


def model_of(**changes) -> MSCA:
    torch.manual_seed(1)
    return MSCA(replace(SMALL, **changes)).eval()


def inputs(
    samples: int = 2, size: tuple[int, int] = (32, 32), seed: int = 2, dtype: torch.dtype = torch.float32
) -> tuple[torch.Tensor, ...]:
    """A label map, an image and its label map."""
    generator = torch.Generator().manual_seed(seed)
    conditions = [torch.rand(samples, 5, 8, 8, generator=generator, dtype=dtype).argmax(1) for _ in range(2)]
    label, other = (F.interpolate(F.one_hot(one, 5).permute(0, 3, 1, 2).to(dtype), size, mode="nearest") for one in conditions)
    return label, torch.rand(samples, 3, *size, generator=generator, dtype=dtype), other


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_every_variant_runs_and_the_record_changes_nothing(changes):
    model, (label, exemplar, other) = model_of(**changes), inputs()
    recorded, plain = model(label, exemplar, other), model(label, exemplar, other, record=False)
    assert recorded.image.shape == (2, 3, 32, 32) and recorded.image.min() > 0 and recorded.image.max() < 1
    assert plain.matches == () and torch.equal(plain.image, recorded.image) and recorded.features == {}
    assert all(torch.equal(one, another) for one, another in zip(plain.warps, recorded.warps, strict=True))
    assert [match.query_size for match in recorded.matches] == [(side, side) for side in SIDES]
    kept = {"average": (1,) * 5, "labels": (5,) * 5}.get(model.config.attention, model.config.regions)
    for match, warp, regions in zip(recorded.matches, recorded.warps, kept[::-1], strict=True):
        assert isinstance(match, FactoredMatch) and match.key_size == match.query_size == tuple(warp.shape[2:])
        assert match.gate.shape == (2, regions) and match.key_factor.shape[1] == match.query_factor.shape[2] == regions
        gated = changes.get("gated", True) and changes.get("attention") != "average"
        assert bool((match.gate < 1).all()) == gated and bool((match.gate == 1).all()) == (not gated)
        if model.config.attention != "labels":
            torch.testing.assert_close(match.key_factor.sum(2), torch.ones(2, regions))
        torch.testing.assert_close(match.query_factor.sum(2), torch.ones(2, match.query_factor.shape[1]))
        ungated = replace(match, gate=torch.ones_like(match.gate))
        small = F.interpolate(exemplar, match.key_size, mode="area")
        torch.testing.assert_close(warp * ungated.mass()[:, None], ungated.warp(small), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_every_parameter_learns(changes):
    """What the pretraining of App. G leaves out, the generator, and what comes after it leaves out, the decoders, are all."""
    model, given = model_of(**changes).double(), inputs(dtype=torch.float64)
    idle = []
    for synthesise in (False, True):
        model.zero_grad(set_to_none=True)
        translation = model(*given, synthesise=synthesise)
        seen = [translation.image] if synthesise else list(translation.features.values())
        sum((one * torch.randn_like(one)).sum() for one in seen).backward()
        idle.append({name for name, p in model.named_parameters() if p.grad is None or p.grad.abs().max() < 1e-12})
    assert [{name.split(".")[0] for name in names} for names in idle] == [{"synthesis"}, {"decoders"}]
    assert len(idle[0]) == sum(1 for _ in model.synthesis.parameters()) and len(idle[1]) == 10
    assert not any("extractor" in name for name, _ in model.named_parameters())


def test_pretraining_decodes_what_the_network_sees():
    model, given = model_of(), inputs()
    translation = model(*given, synthesise=False)
    seen = dict(zip(model.exemplar_features.layers, model.exemplar_features.see(given[1]), strict=True))
    assert {name: one.shape for name, one in translation.features.items()} == {name: one.shape for name, one in seen.items()}
    assert translation.image is translation.warps[-1] and translation.image.shape == (2, 3, 32, 32)
    warps = model(*given).warps
    assert all(torch.equal(one, other) for one, other in zip(translation.warps, warps, strict=True))
    coarsest = model.attention[-1](
        model.label_features(given[0])[-1],
        F.avg_pool2d(given[0], 16),
        [(model.exemplar_features(given[1])[-1], model.label_features(given[2])[-1], F.avg_pool2d(given[2], 16))],
    )
    both = torch.cat([coarsest.feature, model.label_features(given[0])[-1]], dim=1)
    torch.testing.assert_close(translation.features["relu5_2"], model.decoders[-1](both))


@pytest.mark.parametrize("size", [(64, 64), (32, 48), (48, 32)])
def test_other_sizes_than_the_trained_one(size):
    translation = model_of()(*inputs(size=size))
    assert translation.image.shape == (2, 3, *size)
    assert [match.query_size for match in translation.matches] == [(size[0] >> s, size[1] >> s) for s in (4, 3, 2, 1, 0)]


@pytest.mark.parametrize("changes", [{}, {"attention": "average"}, {"attention": "labels"}], ids=["paper", "GAP", "w/o att"])
def test_samples_do_not_touch_each_other(changes):
    model = model_of(**changes)
    together, alone = model(*inputs(3)), model(*(one[1:2] for one in inputs(3)))
    torch.testing.assert_close(together.image[1:2], alone.image, atol=1e-5, rtol=0)
    batch = model_of(norm="batch")
    for norm in (module for module in batch.modules() if isinstance(module, torch.nn.BatchNorm2d)):
        norm.train()
    assert (batch(*inputs(3)).image[1:2] - batch(*(one[1:2] for one in inputs(3))).image).abs().max() > 1e-4


def test_global_average_pooling_knows_no_place():
    """Constant attention: the exemplar's means at every scale are all that is seen; the learnt attention sees more."""
    label, exemplar, other = inputs()
    for changes in ({"attention": "average"}, {}):
        model = model_of(**changes)
        if changes:
            features = model.exemplar_features(exemplar)
            aligned = []
            for scale, (module, x, c) in enumerate(zip(model.attention, features, model.label_features(label), strict=True)):
                share = F.avg_pool2d(label, 2**scale)
                aligned.append(module(c, share, [(x, c, share)]))
            for one, x in zip(aligned, features, strict=True):
                torch.testing.assert_close(one.feature, x.mean((2, 3), keepdim=True).expand_as(x))
        warp = model(label, exemplar, other).warps[-1]
        flat = torch.allclose(warp, exemplar.mean((2, 3), keepdim=True).expand_as(warp), atol=1e-5)
        deaf = torch.equal(model(label, exemplar, other).image, model(label, exemplar, label).image)
        assert flat == deaf == bool(changes)


# Several exemplars.


def amounts(a: float, samples: int = 2) -> torch.Tensor:
    return torch.tensor([a, 1 - a]).view(1, 2, 1, 1).expand(samples, -1, -1, -1)


def two_exemplars() -> tuple[torch.Tensor, list[torch.Tensor], list[torch.Tensor]]:
    (label, one, of_one), (_, two, of_two) = inputs(), inputs(seed=7)
    return label, [one, two], [of_one, of_two]


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_all_of_one_exemplar_is_that_exemplar(changes):
    """To the last bit: the image; and the match, where the other exemplar lies with weights of zero."""
    model, (label, exemplars, labels) = model_of(**changes), two_exemplars()
    for n, a in ((0, 1.0), (1, 0.0)):
        alone, mixed = model(label, exemplars[n], labels[n]), model.mix(label, exemplars, labels, amounts(a))
        assert torch.equal(mixed.image, alone.image)
        assert torch.equal(model.mix(label, exemplars, labels, 3 * amounts(a), record=False).image, alone.image)
        assert all(map(torch.equal, mixed.warps, alone.warps)), "neither has the gate in it"
        for match, single in zip(mixed.matches, alone.matches, strict=True):
            height, width = single.key_size
            assert match.key_size == (height, 2 * width) and match.query_size == single.query_size
            query = torch.arange(height * width)
            rows = match.rows(query).unflatten(2, match.key_size)
            own, others = rows[..., n * width : (n + 1) * width], rows[..., (1 - n) * width : (2 - n) * width]
            assert not others.any()
            torch.testing.assert_close(own.flatten(2), single.rows(query))


def test_between_them_the_first_gains_all_the_way():
    model, (label, exemplars, labels) = model_of(), two_exemplars()
    images, gained = [], []
    for a in (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0):
        mixed = model.mix(label, exemplars, labels, amounts(a))
        images.append(mixed.image.detach())
        shares = []
        for match in mixed.matches:
            ungated = replace(match, query_factor=match.query_factor / match.query_factor.sum(2, keepdim=True))
            rows = ungated.rows(torch.arange(4)).unflatten(2, match.key_size)
            shares.append(rows[..., : match.key_size[0]].sum((2, 3)))
        gained.append(torch.stack(shares))
    assert all((later > earlier).all() for earlier, later in zip(gained, gained[1:], strict=False))
    away = [float((image - images[0]).square().mean()) for image in images]
    assert away == sorted(away) and away[-1] > away[0] == 0
    steps = [float((later - earlier).abs().max()) for earlier, later in zip(images, images[1:], strict=False)]
    assert max(steps) < 0.8 * sum(steps)


def test_more_of_three_and_in_another_order():
    model, (label, exemplars, labels) = model_of(), two_exemplars()
    _, third, of_third = inputs(seed=11)
    amount = torch.tensor([0.2, 0.5, 0.3]).view(1, 3, 1, 1).expand(2, -1, -1, -1)
    three = model.mix(label, [*exemplars, third], [*labels, of_third], amount)
    turned = model.mix(label, [third, *exemplars], [of_third, *labels], amount.roll(1, 1))
    torch.testing.assert_close(three.image, turned.image, atol=1e-5, rtol=0)
    assert three.matches[-1].key_size == (32, 96)
    same = model.mix(label, [exemplars[0]] * 2, [labels[0]] * 2, amounts(0.3))
    torch.testing.assert_close(same.image, model(label, exemplars[0], labels[0]).image, atol=1e-5, rtol=0)


def test_a_map_of_amounts_leads_from_one_exemplar_to_the_other():
    """Fig. 7: the left edge is the first exemplar's, the right edge the second's; a map of constants is a constant."""
    model, (label, exemplars, labels) = model_of(), two_exemplars()
    across = torch.linspace(1, 0, 32).clamp(0, 1).view(1, 1, 1, 32).expand(2, 1, 32, 32)
    mixed = model.mix(label, exemplars, labels, torch.cat([across, 1 - across], dim=1))
    finest = mixed.matches[-1]
    rows = finest.rows(torch.arange(32)).unflatten(2, finest.key_size)
    first, second = rows[..., :32].sum((2, 3)), rows[..., 32:].sum((2, 3))
    share = first / (first + second)
    assert (share[:, 0] == 1).all() and (share[:, -1] == 0).all() and 0.1 < share[:, 16].mean() < 0.9
    smooth = share[:, 1:] - share[:, :-1]
    assert smooth.mean() < 0 and smooth.abs().max() < 0.3
    left, right = (model(label, *pair).image for pair in zip(exemplars, labels, strict=True))
    of_left, of_right = ((mixed.image - one).abs().mean((0, 1, 2)) for one in (left, right))
    assert of_left[:8].mean() < of_right[:8].mean() and of_left[-8:].mean() > of_right[-8:].mean()
    constant = model.mix(label, exemplars, labels, amounts(0.3).expand(-1, -1, 32, 32)).image
    torch.testing.assert_close(constant, model.mix(label, exemplars, labels, amounts(0.3)).image, atol=1e-5, rtol=0)


def test_the_gradient_of_a_mixture_is_finite_at_its_ends():
    model, (label, exemplars, labels) = model_of(), two_exemplars()
    model.mix(label, exemplars, labels, amounts(1.0), record=False).image.sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize(
    "amount, said",
    [
        (torch.ones(2, 3, 1, 1), r"got 2 exemplars, 2 label maps of them and amounts of shape \(2, 3, 1, 1\) for 2 conditions"),
        (torch.ones(1, 2, 1, 1), r"amounts of shape \(1, 2, 1, 1\) for 2 conditions"),
        (torch.tensor([1.5, -0.5]).view(1, 2, 1, 1).expand(2, -1, -1, -1), "got amounts from -0.5"),
        (torch.tensor([torch.nan, 1.0]).view(1, 2, 1, 1).expand(2, -1, -1, -1), "got amounts from nan"),
        (torch.tensor([torch.inf, 1.0]).view(1, 2, 1, 1).expand(2, -1, -1, -1), "expected none below 0"),
        (torch.zeros(2, 2, 4, 4), "with sums from 0, expected none below 0 and every sum above it"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_amounts_that_mean_nothing(amount, said):
    label, exemplars, labels = two_exemplars()
    with pytest.raises(ValueError, match=said):
        model_of().mix(label, exemplars, labels, amount)


def test_as_many_label_maps_as_exemplars():
    label, exemplars, labels = two_exemplars()
    with pytest.raises(ValueError, match="got 2 exemplars, 1 label maps"):
        model_of().mix(label, exemplars, labels[:1], amounts(0.5))


# Doors and disk.


def test_written_and_read_is_equal(tmp_path):
    model = model_of()
    about = {"model": "msca", "config": model.config.to_dict()}
    write_checkpoint(tmp_path / "saved", about, model.state_dict())
    checkpoint = read_checkpoint(tmp_path / "saved")
    torch.manual_seed(7)
    other = checkpoint.build()
    assert isinstance(other, MSCA) and other.config == model.config and not other.training
    assert config_from_dict(MSCAConfig, json.loads(json.dumps(model.config.to_dict()))) == model.config
    assert torch.equal(other(*inputs()).image, model(*inputs()).image)
    assert not any("extractor" in name for name in checkpoint.model)


def test_the_extractor_that_is_given_is_the_one_that_is_used():
    torch.manual_seed(1)
    model = MSCA(SMALL, FixedFeatures((4, 5, 6, 7, 8))).eval()
    assert model.exemplar_features.seen_widths == (4, 5, 6, 7, 8)
    assert [one.out_channels for one in model.decoders] == [4, 5, 6, 7, 8]
    assert model(*inputs()).image.isfinite().all()


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"size": 40}, "size 40, expected a multiple of 16, at least 32"),
        ({"size": 16}, "size 16, expected a multiple of 16, at least 32"),
        ({"condition_channels": 0}, "condition_channels 0, expected at least 1"),
        ({"style_hidden": 0}, "style_hidden 0, expected at least 1"),
        ({"regions": (8, 16)}, r"regions \(8, 16\), expected 5 numbers from 1 on"),
        ({"regions": (8, 16, 0, 16, 16)}, "expected 5 numbers from 1 on, fine to coarse"),
        ({"exemplar_widths": ()}, r"exemplar_widths \(\), expected 5 numbers"),
        ({"label_widths": (4,) * 6}, r"label_widths \(4, 4, 4, 4, 4, 4\), expected 5 numbers"),
        ({"generator_widths": (4, 4, 4, 4, -4)}, "generator_widths"),
        ({"features": "resnet"}, "features 'resnet', expected one of fixed, lab, vgg19"),
        ({"attention": "softmax"}, "attention 'softmax', expected one of learnt, average, labels"),
        ({"norm": "layer"}, "norm 'layer', expected one of position, batch"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_settings_that_make_no_network(changes, said):
    with pytest.raises(ValueError, match=said):
        replace(SMALL, **changes)


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda c, e, o: (c[..., :24], e[..., :24], o[..., :24]), "got condition of 32 × 24, expected multiples of 16"),
        (
            lambda c, e, o: (c[..., :16], e[..., :16], o[..., :16]),
            "got condition of 32 × 16, expected multiples of 16, at",
        ),
        (lambda c, e, o: (c[:, :4], e, o), r"got condition of shape \(2, 4, 32, 32\), expected \(2, 5, 32, 32\)"),
        (lambda c, e, o: (c, e, o[:, :4]), r"got exemplar_condition of shape \(2, 4, 32, 32\), expected \(2, 5, 32, 32\)"),
        (lambda c, e, o: (c, e[..., :16], o), r"got exemplar of shape \(2, 3, 32, 16\), expected \(2, 3, 32, 32\): resize"),
        (lambda c, e, o: (c, e[:1], o), r"got exemplar of shape \(1, 3, 32, 32\), expected \(2, 3, 32, 32\): resize or repeat"),
        (lambda c, e, o: (c, e, None), "got no exemplar_condition, expected the exemplar's label map"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_inputs_that_do_not_fit(change, said):
    with pytest.raises(ValueError, match=said):
        model_of()(*change(*inputs()))


# The paper's size.


def test_the_paper_s_size_runs():
    """256 × 256 with a VGG-19 that is not trained, one image forward; the heaviest test of this file."""
    paper = MSCAConfig()
    assert paper.regions == (8, 16, 16, 16, 16) and paper.size == 256 and paper.condition_channels == 182
    assert (paper.attention, paper.gated, paper.norm) == ("learnt", True, "batch")
    model = MSCA(paper, VGG19Features()).eval()
    assert model.exemplar_features.seen_widths == (64, 128, 256, 512, 512)
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(29.6e6, rel=1e-3)
    generator = torch.Generator().manual_seed(0)
    label, exemplar, other = (torch.rand(1, c, 256, 256, generator=generator) for c in (182, 3, 182))
    with torch.inference_mode():
        translation = model(label, exemplar, other)
    assert translation.image.shape == (1, 3, 256, 256) and translation.image.isfinite().all() and translation.image.std() > 0
    shapes = [(16, 16), (32, 16), (64, 16), (128, 16), (256, 8)]
    assert [match.query_factor.shape for match in translation.matches] == [(1, side**2, k) for side, k in shapes]
    assert [match.key_factor.shape for match in translation.matches] == [(1, k, side**2) for side, k in shapes]
