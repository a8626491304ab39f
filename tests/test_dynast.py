"""DynaST as a whole: small ones in every variant, their candidates followed by hand, and the paper's size, shape by shape."""

import json
from dataclasses import fields, replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from exemplar_lab.correspondence import DenseMatch, SparseMatch
from exemplar_lab.models.config import config_from_dict
from exemplar_lab.models.dynast import DynaST, DynaSTConfig
from exemplar_lab.nn.dynast import DynaSTBlock, Links
from exemplar_lab.ops.candidates import NEIGHBOURS
from exemplar_lab.training.checkpoint import read_checkpoint, write_checkpoint
from exemplar_lab.training.recipes.dynast import DYNAST

SMALL = DynaSTConfig(size=32, condition_channels=5, widths=(16, 12, 8), top_k=2, patches=4, style_hidden=8, tau=10.0)
VARIANTS = {
    "full": {},
    "without pruning": {"pruning": False},
    "without inner scale": {"inner_scale": False},
    "one scale": {"finest_match": 8},
    "two scales": {"finest_match": 16},
    "once": {"once": True},
    "released mask": {"released_mask": True},
    "released norm": {"norm": "channel"},
    "printed norm": {"norm": "instance", "tau": 0.2},
    "one block": {"blocks": 1},
    "three blocks": {"blocks": 3},
    "no more than one scale": {"widths": (16,), "size": 8},
}


def model_of(cut: bool = True, **changes) -> DynaST:
    """cut: with decisions that prune about half of the links, as no model does at first."""
    torch.manual_seed(1)
    model = DynaST(replace(SMALL, **changes)).eval()
    for block in model.modules():
        if cut and isinstance(block, DynaSTBlock) and block.omega:
            for mlp in (block.omega, block.phi):
                nn.init.normal_(mlp[2].weight)
                nn.init.zeros_(mlp[2].bias)
    return model


def inputs(size: tuple[int, int] = (32, 32), samples: int = 2, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(2)
    return tuple(torch.rand(samples, c, *size, generator=generator, dtype=dtype) for c in (5, 3, 5))


def watched(model: DynaST, *given: torch.Tensor) -> list[tuple[torch.Tensor | None, Links]]:
    """What each block was given to look at, and the links it made."""
    seen = []
    hooks = [
        block.register_forward_hook(lambda _, given, out: seen.append((given[4], out[1])))
        for blocks in model.scales
        for block in blocks
    ]
    model(*given, record=False)
    for hook in hooks:
        hook.remove()
    return seen


def image_size(model: DynaST) -> tuple[int, int]:
    return (model.config.size,) * 2


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_every_variant_runs_and_the_record_changes_nothing(changes):
    model = model_of(**changes)
    given, config = inputs(image_size(model)), model.config
    recorded, bare = model(*given), model(*given, record=False)
    assert recorded.image.shape == given[1].shape and recorded.image.min() > 0 and recorded.image.max() < 1
    assert recorded.image.std() > 1e-3
    assert bare.matches == () and torch.equal(bare.image, recorded.image)
    assert all(torch.equal(*both) for both in zip(bare.warps, recorded.warps, strict=True))

    sides = [side for side in config.sides[: config.matching_scales] for _ in range(config.blocks)]
    assert [match.query_size for match in recorded.matches] == [match.key_size for match in recorded.matches]
    assert [match.query_size for match in recorded.matches] == [(side, side) for side in sides]
    assert [tuple(warp.shape) for warp in recorded.warps] == [(2, 3, side, side) for side in sides]
    kinds = [DenseMatch] * config.blocks + [SparseMatch] * (len(sides) - config.blocks)
    assert [type(match) for match in recorded.matches] == kinds
    for number, match in enumerate(recorded.matches):
        mass = match.mass()
        assert match.weight.min() >= 0 and mass.max() < 1 + 1e-5
        assert (mass.min() < 0.9) == config.pruning
        if isinstance(match, SparseMatch):
            later = number % config.blocks > 0 and config.inner_scale
            assert match.index.shape[2] == config.top_k * (5 if later else 4)
    for warp in recorded.warps:
        assert warp.min() > -1e-5 and warp.max() < 1 + 1e-5


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_every_parameter_learns(changes):
    model = model_of(**changes).double()
    image = model(*inputs(image_size(model), dtype=torch.float64), record=False).image
    (image * torch.randn_like(image)).sum().backward()
    assert {name for name, p in model.named_parameters() if p.grad is None or p.grad.abs().max() < 1e-12} == set()


@pytest.mark.parametrize("released", [False, True])
def test_the_matching_loss_teaches_decisions_as_printed_and_not_as_released(released):
    """Eq. (12) lets D learn from a block's warp; the released mask is a boolean and cuts it off."""
    model = model_of(released_mask=released, blocks=1, widths=(16,), size=8)
    (warp,) = model(*inputs((8, 8))).warps
    warp.square().sum().backward()
    learnt = model.scales[0][0].omega[2].weight.grad
    assert (learnt is None or not learnt.any()) == released


@pytest.mark.parametrize("size", [(16, 16), (64, 64), (32, 48), (24, 8), (8, 40)])
def test_other_sizes(size):
    """Multiples of the coarsest patch; the learnt positions are resized."""
    translation = model_of()(*inputs(size))
    assert translation.image.shape == (2, 3, *size) and translation.image.isfinite().all()
    assert [warp.shape[-2:] for warp in translation.warps[::2]] == [tuple(n // side for n in size) for side in (4, 2, 1)]
    assert all(match.warp(torch.rand(2, 1, *match.key_size)).shape[-2:] == match.query_size for match in translation.matches)


def test_samples_do_not_touch_each_other():
    """In float64: a rounding that moves a decision across its threshold moves the image."""
    model, given = model_of().double(), inputs(samples=3, dtype=torch.float64)
    together, turned = model(*given), model(*(tensor.flip(0) for tensor in given))
    alone = model(*(tensor[1:2] for tensor in given))
    torch.testing.assert_close(turned.image.flip(0), together.image)
    torch.testing.assert_close(alone.image, together.image[1:2])
    torch.testing.assert_close(alone.warps[-1], together.warps[-1][1:2])


def test_same_seed_same_model_same_answer():
    first, second = model_of(), model_of()
    answers = first(*inputs()).image, second(*inputs()).image, first(*inputs()).image
    assert torch.equal(answers[0], answers[1]) and torch.equal(answers[0], answers[2])
    torch.manual_seed(7)
    assert not torch.equal(DynaST(SMALL).eval()(*inputs()).image, answers[0])


# Candidates, one position after the other.


def best_of(weight: torch.Tensor, index: torch.Tensor | None, count: int, once: bool) -> list[int]:
    """The `count` positions of one row with the largest weights, equal ones added up where each counts once."""
    index = list(range(len(weight))) if index is None else index.tolist()
    if not once:
        return [index[i] for i in sorted(range(len(weight)), key=lambda i: -weight[i].item())[:count]]
    total = {}
    for position, one in zip(index, weight.tolist(), strict=True):
        total[position] = total.get(position, 0) + one
    return sorted(total, key=total.get, reverse=True)[:count]


def children(found: list[int], width: int) -> list[int]:
    return [
        2 * width * (2 * y + dy) + 2 * x + dx for y, x in (divmod(i, width) for i in found) for dy in (0, 1) for dx in (0, 1)
    ]


def of_neighbours(best: dict[tuple[int, int], list[int]], y: int, x: int, size: tuple[int, int]) -> list[int]:
    height, width = size
    found = []
    for step_x, step_y in NEIGHBOURS:
        beside = min(max(y + step_y, 0), height - 1), min(max(x + step_x, 0), width - 1)
        for row, column in (divmod(i, width) for i in best[beside]):
            found.append(min(max(row - step_y, 0), height - 1) * width + min(max(column - step_x, 0), width - 1))
    return found


@pytest.mark.parametrize("changes", [{}, {"once": True}, {"blocks": 3}, {"inner_scale": False}], ids=str)
def test_candidates_come_from_the_block_before(changes):
    """Two dense blocks; then the children of the best answers of the scale before; then what the neighbours point at."""
    model, sample = model_of(**changes), 1
    config, seen = model.config, watched(model, *inputs((16, 24)))
    assert [index is None for index, _ in seen[: config.blocks + 1]] == [True] * config.blocks + [False]
    for number in range(config.blocks, len(seen)):
        index, (before, links) = seen[number][0], seen[number - 1]
        height, width = links.query_size
        if number % config.blocks and not config.inner_scale:
            assert index is before
            continue
        best = {
            divmod(q, width): best_of(row, None if before is None else before[sample, q], config.top_k, config.once)
            for q, row in enumerate(links.weight[sample])
        }
        fine = width if number % config.blocks else 2 * width
        for q, row in enumerate(index[sample]):
            y, x = divmod(q, fine)
            inner = number % config.blocks
            expected = of_neighbours(best, y, x, (height, width)) if inner else children(best[y // 2, x // 2], width)
            assert sorted(row.tolist()) == sorted(expected), (number, y, x)


def test_candidates_are_chosen_before_pruning():
    """ΔD7: with every link cut the blocks ask the same positions as with none cut, and the image is that of SPADE alone."""
    cut, kept = model_of(), model_of()
    for model, sign in ((cut, -1.0), (kept, 1.0)):
        for block in model.modules():
            if isinstance(block, DynaSTBlock):
                for mlp, value in ((block.omega, 1.0), (block.phi, sign)):
                    nn.init.zeros_(mlp[2].weight)
                    nn.init.constant_(mlp[2].bias, value)
    first, second = watched(cut, *inputs())[2][0], watched(kept, *inputs())[2][0]
    assert not watched(cut, *inputs())[0][1].keep.any() and first.shape == second.shape
    nothing, everything = cut(*inputs()), kept(*inputs())
    assert all(not match.mass().any() for match in nothing.matches)
    assert all(torch.allclose(match.mass(), torch.ones(())) for match in everything.matches)
    torch.testing.assert_close(torch.stack([w.mean() for w in nothing.warps]), torch.full((6,), 0.5))  # mid grey
    condition, exemplar, structure = inputs()
    torch.testing.assert_close(cut(condition, 1 - exemplar, structure).image, nothing.image)
    assert (kept(condition, 1 - exemplar, structure).image - everything.image).abs().max() > 1e-3


def test_once_leaves_no_candidate_a_second_vote():
    model = model_of(once=True)
    for index, links in watched(model, *inputs())[2:]:
        ordered, order = index.sort(stable=True)
        again = F.pad(ordered[..., 1:] == ordered[..., :-1], (1, 0))
        assert not links.weight.gather(-1, order)[again].any()
    assert again.any()
    assert model_of(once=False)(*inputs()).matches[-1].index.shape == index.shape


def test_finest_match_ends_the_matching_and_not_the_image():
    """Table 1: finer scales see the structure alone, and still shape the image."""
    model = model_of(finest_match=8)
    assert len(model.scales) == 1 and len(model.positions.grow) == 0
    translation = model(*inputs())
    assert [match.query_size for match in translation.matches] == 2 * [(8, 8)] and translation.image.shape[-1] == 32
    with torch.no_grad():
        for parameter in model.target_embedding.mix[-1].parameters():
            parameter.mul_(1.5)
    after = model(*inputs())
    assert (after.image - translation.image).abs().max() > 1e-3 and torch.equal(after.warps[-1], translation.warps[-1])
    assert model_of(finest_match=32).config.matching_scales == 3


def test_without_pruning_nothing_is_lost():
    model = model_of(pruning=False)
    assert not any("omega" in name or "phi" in name for name, _ in model.named_parameters())
    for match in model(*inputs()).matches:
        torch.testing.assert_close(match.mass(), torch.ones_like(match.mass()))


def test_released_mask_changes_the_warps_and_nothing_else():
    printed, released = model_of()(*inputs()), model_of(released_mask=True)(*inputs())
    assert torch.equal(printed.image, released.image)
    assert all((a - b).abs().max() > 0.01 for a, b in zip(printed.warps, released.warps, strict=True))


# Doors, disk, and the paper's size.


def test_saved_and_loaded_is_equal(tmp_path):
    model = model_of(finest_match=16, once=True)
    write_checkpoint(tmp_path / "one", {"model": "dynast", "config": model.config.to_dict()}, model.state_dict())
    again = read_checkpoint(tmp_path / "one").build()
    assert again.config == model.config
    ours, theirs = again(*inputs()), model(*inputs())
    assert torch.equal(ours.image, theirs.image) and all(map(torch.equal, ours.warps, theirs.warps))


@pytest.mark.parametrize("config", [DynaSTConfig(), SMALL, replace(SMALL, finest_match=16, norm="instance")])
def test_config_survives_json(config):
    again = config_from_dict(DynaSTConfig, json.loads(json.dumps(config.to_dict())))
    assert again == config and hash(again) == hash(config)
    assert {field.name for field in fields(DynaSTConfig)} == set(config.to_dict())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"widths": ()}, r"got widths \(\), expected one per scale"),
        ({"widths": (16, 4)}, r"got widths \(16, 4\), expected one per scale, each at least 8"),
        ({"size": 30}, "got size 30, expected a multiple of 4"),
        ({"size": 0}, "got size 0"),
        ({"blocks": 0}, "got blocks 0, expected at least 1"),
        ({"top_k": 0}, "got top_k 0, expected 1 … 64"),
        ({"top_k": 65}, "got top_k 65, expected 1 … 64, the positions of the coarsest scale"),
        ({"tau": 0.0}, "got tau 0.0, expected a number above 0"),
        ({"norm": "layer"}, "got norm 'layer', expected one of "),
        ({"finest_match": 12}, "got finest_match 12, expected None or one of 8, 16, 32"),
    ],
)
def test_config_refuses_what_makes_no_network(unchecked, changes, message):
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **changes)


@pytest.mark.parametrize(
    ("condition", "exemplar", "structure", "message"),
    [
        ((2, 5, 32, 32), (2, 3, 32, 32), None, "got no exemplar_condition, expected the exemplar's structure"),
        ((2, 5, 32, 30), (2, 3, 32, 30), (2, 5, 32, 30), "got condition of 32 × 30, expected multiples of 4"),
        ((2, 4, 32, 32), (2, 3, 32, 32), (2, 5, 32, 32), r"got condition of shape \(2, 4, 32, 32\), expected \(2, 5, 32, 32\)"),
        ((2, 5, 32, 32), (2, 1, 32, 32), (2, 5, 32, 32), r"got exemplar of shape \(2, 1, 32, 32\), expected \(2, 3, 32, 32\)"),
        ((2, 5, 32, 32), (2, 3, 32, 16), (2, 5, 32, 32), r"got exemplar of shape \(2, 3, 32, 16\)"),
        ((2, 5, 32, 32), (1, 3, 32, 32), (2, 5, 32, 32), r"got exemplar of shape \(1, 3, 32, 32\)"),
        ((2, 5, 32, 32), (2, 3, 32, 32), (2, 4, 32, 32), r"got exemplar_condition of shape \(2, 4, 32, 32\)"),
    ],
)
def test_the_door(unchecked, condition, exemplar, structure, message):
    with pytest.raises(ValueError, match=message):
        model_of()(torch.rand(condition), torch.rand(exemplar), None if structure is None else torch.rand(structure))


@pytest.mark.parametrize("profile", DYNAST)
def test_every_profile_on_the_meta_device(profile):
    """Shapes without numbers: two dense blocks at the coarsest scale, then k × 4 and k × 5 candidates at every other."""
    config = DYNAST[profile]
    with torch.device("meta"):
        model = DynaST(config).eval()
        given = [torch.empty(1, channels, config.size, config.size) for channels in (config.condition_channels, 3, 3)]
    seen = watched(model, *given)
    assert [None if index is None else index.shape[2] for index, _ in seen] == [None, None] + [
        4 * config.top_k,
        5 * config.top_k,
    ] * (len(config.widths) - 1)
    assert [links.query_size for _, links in seen] == [(side, side) for side in config.sides for _ in range(2)]


def test_the_paper_s_numbers():
    """Sec. 4: scales of 32, 64, 128 and 256 with 512, 256, 128 and 64 channels, two blocks each, τ = 100, k = 4."""
    paper = DYNAST["paper"]
    assert paper == DynaSTConfig() and paper.sides == (32, 64, 128, 256) and paper.widths == (512, 256, 128, 64)
    assert (paper.blocks, paper.tau, paper.top_k, paper.pruning, paper.inner_scale) == (2, 100.0, 4, True, True)
    assert [replace(paper, finest_match=side).matching_scales for side in paper.sides] == [1, 2, 3, 4]
