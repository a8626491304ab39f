"""DynaST's layers, each beside the printed equations followed one position after the other."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from exemplar_lab.nn.dynast import EPSILON, Decoder, DynaSTBlock, Links, PatchEmbedding, PositionMaps
from exemplar_lab.ops.candidates import inner_scale, inter_scale

WIDTH, POSITION, QUERY, KEY = 8, 2, (4, 6), (6, 4)


def rand(*shape: int) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64)


def shaken(module: nn.Module) -> nn.Module:
    """Away from its first values, at which α and β are the identity and all links are kept."""
    for parameter in module.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return module


def block_of(tau: float = 3.0, **changes) -> DynaSTBlock:
    return shaken(DynaSTBlock(WIDTH, POSITION, 4, 3, 5, tau, **changes).double()).eval()


def inputs() -> tuple:
    """F_tgt, F_ref, their positions, and S_tgt at another size; the exemplar has another shape than the target."""
    positions = rand(1, POSITION, *QUERY), rand(1, POSITION, *KEY)
    return rand(2, WIDTH, *QUERY), rand(2, WIDTH, *KEY), positions, torch.rand(2, 3, 8, 12, dtype=torch.float64)


def candidates(kind: str) -> torch.Tensor | None:
    """k = 2: none for the dense block, 2 × 4 for inter-scale, 2 × 5 for inner-scale; many stand twice in a row."""
    if kind == "dense":
        return None
    coarse, keys = (tuple(n // 2 for n in size) for size in (QUERY, KEY)) if kind == "inter" else (QUERY, KEY)
    found = torch.randint(keys[0] * keys[1], (2, coarse[0] * coarse[1], 2))
    return (inter_scale if kind == "inter" else inner_scale)(found, coarse, keys)


# Eq. (2) to (9), (12), (13), printed as a list of steps.


def normed(x: torch.Tensor) -> torch.Tensor:
    return (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True) + 1e-5).sqrt()


def over_space(x: torch.Tensor) -> torch.Tensor:
    variance, mean = torch.var_mean(x, (2, 3), keepdim=True, correction=0)
    return (x - mean) / (variance + 1e-5).sqrt()


def joined(block: DynaSTBlock, feature: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
    """What α and β see: as printed, or features of length one and the position as it is."""
    position = position.repeat(len(feature), 1, 1, 1)
    if block.norm == "instance":
        return over_space(torch.cat([feature, position], 1))
    feature = over_space(feature) if block.norm == "unit" else feature
    return torch.cat([feature / feature.square().sum(1, keepdim=True).sqrt(), position], 1)


def mixed(layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """A 1 × 1 convolution: one matrix for all positions."""
    out = torch.einsum("oi,bihw->bohw", layer.weight.flatten(1), x)
    return out if layer.bias is None else out + layer.bias[:, None, None]


def mlp(layers: nn.Sequential, x: torch.Tensor) -> torch.Tensor:
    return mixed(layers[2], F.leaky_relu(mixed(layers[0], x), 0.2))


def restored(block: DynaSTBlock, target: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
    if block.restore is None:
        return torch.zeros_like(target)
    style = block.restore.style
    small = F.interpolate(condition, target.shape[-2:], mode="bilinear")
    hidden = F.conv2d(small, style.shared.weight, style.shared.bias, padding=1).relu()
    gain, shift = F.conv2d(hidden, style.affine.weight, style.affine.bias, padding=1).chunk(2, 1)
    return normed(target) * (1 + gain) + shift


def by_hand(block, target, reference, position, condition, index, image, released=False):
    """Position by position: features, warp, mass; D is 0 or 1 with the slope of a sigmoid."""
    query, key = (
        mixed(block.alpha, joined(block, target, position[0])),
        mixed(block.beta, joined(block, reference, position[1])),
    )
    wants, offers = (mlp(block.omega, target.detach()), mlp(block.phi, reference.detach())) if block.omega else (query, key)
    key, offers, value, image = (one.flatten(2) for one in (key, offers, mixed(block.eta, reference), image))
    fill, features, warp, masses = restored(block, target, condition), [], [], []
    for b, y, x in torch.cartesian_prod(*(torch.arange(n) for n in (2, *QUERY))).tolist():
        links = range(KEY[0] * KEY[1]) if index is None else index[b, y * QUERY[1] + x].tolist()
        links = list(dict.fromkeys(links)) if block.once else list(links)
        score = block.tau * query[b, :, y, x] @ key[b, :, links]
        weight = score.exp() / score.exp().sum()
        p = wants[b, :, y, x] @ offers[b, :, links]
        keep = (p > 0) + torch.sigmoid(p) - torch.sigmoid(p).detach() if block.omega else torch.ones_like(p)
        mass = (keep * weight).sum()
        features.append((1 - mass) * fill[b, :, y, x] + value[b, :, links] @ (keep * weight))
        likely = (score - score.max().detach()).exp() * keep
        likely = likely / (likely.sum() + EPSILON)
        if released:  # what is kept is masked away; with nothing left all links are equal
            likely = torch.where(keep > 0.5, -1e4, score).softmax(0)
        warp.append(image[b, :, links] @ likely)
        masses.append(mass)
    features, warp, masses = (
        torch.stack(one).unflatten(0, (2, *QUERY)).movedim(3, 1) if one[0].ndim else torch.stack(one).unflatten(0, (2, *QUERY))
        for one in (features, warp, masses)
    )
    features = normed(features + target)
    hidden = F.conv2d(features, block.refine[0].weight, block.refine[0].bias, padding=1).relu()
    return normed(features + F.conv2d(hidden, block.refine[2].weight, block.refine[2].bias, padding=1)), warp, masses


KINDS = {
    "as built": {},
    "norm as printed": {"norm": "instance", "tau": 0.1},
    "norm of the released code": {"norm": "channel"},
    "without pruning": {"pruning": False},
    "once": {"once": True},
}


@pytest.mark.parametrize("kind", ["dense", "inter", "inner"])
@pytest.mark.parametrize("changes", KINDS.values(), ids=KINDS)
def test_block_is_what_is_printed(kind, changes):
    """Features, warp and mass, and the gradients of the features and of the warp towards every parameter."""
    block, given, index = block_of(**changes), inputs(), candidates(kind)
    image, pull, pull_warp = torch.rand(2, 3, *KEY, dtype=torch.float64), rand(2, WIDTH, *QUERY), rand(2, 3, *QUERY)

    def learn(features, warp):
        block.zero_grad()
        ((features * pull).sum() + (warp * pull_warp).sum()).backward()
        return {name: p.grad.clone() for name, p in block.named_parameters() if p.grad is not None}

    features, links = block(*given, index)
    warp, mass = links.warp(image), links.pruned().mass().detach()
    ours = learn(features, warp)
    expected_features, expected_warp, expected_mass = by_hand(block, *given, index, image)
    torch.testing.assert_close(features, expected_features)
    torch.testing.assert_close(warp, expected_warp)
    torch.testing.assert_close(mass, expected_mass.detach())
    theirs = learn(expected_features, expected_warp)
    assert ours.keys() == theirs.keys()
    for name, gradient in theirs.items():
        torch.testing.assert_close(ours[name], gradient, msg=name)
    assert ((mass > 0.01) & (mass < 0.99)).any() == changes.get("pruning", True)


@pytest.mark.parametrize("kind", ["dense", "inter", "inner"])
@pytest.mark.parametrize("once", [False, True])
def test_released_warp_is_made_of_the_pruned_links(kind, once):
    block, given, index = block_of(once=once), inputs(), candidates(kind)
    image = torch.rand(2, 3, *KEY, dtype=torch.float64)
    _, links = block(*given, index)
    warp = links.warp(image, released=True)
    torch.testing.assert_close(warp, by_hand(block, *given, index, image, released=True)[1])
    assert not torch.autograd.grad(warp.sum(), block.omega[2].weight, allow_unused=True)[0]  # learns nothing from it


@pytest.mark.parametrize("kind", ["dense", "inter", "inner"])
def test_what_is_gathered_and_what_is_filled_sum_to_one(kind, monkeypatch):
    """Eq. (8) with F_ref and SPADE both constant: whatever was pruned, F_out is that constant."""
    block, given = block_of(), inputs()
    nn.init.zeros_(block.eta.weight)
    nn.init.constant_(block.eta.bias, 0.7)
    monkeypatch.setattr(block.restore, "forward", lambda x, _: torch.full_like(x, 0.7))
    monkeypatch.setattr(block, "_refined", lambda x: x)
    features, links = block(*given, candidates(kind))
    torch.testing.assert_close(features, normed(0.7 + given[0]))
    assert links.pruned().mass().min() < 0.5


def test_row_that_keeps_nothing_is_filled_and_its_warp_is_zero():
    block, given = block_of(), inputs()
    for last in (block.omega[2], block.phi[2]):
        nn.init.zeros_(last.weight)
    nn.init.ones_(block.omega[2].bias)
    nn.init.constant_(block.phi[2].bias, -1)
    _, links = block(*given)
    assert not links.pruned().mass().any() and not links.warp(rand(2, 3, *KEY)).any()
    features = normed(restored(block, given[0], given[3]) + given[0])
    torch.testing.assert_close(block(*given)[0], block._refined(features))


def test_links_are_kept_until_there_is_a_reason_to_cut_them():
    block = DynaSTBlock(64, 16, 16, 3, 8, 30.0).eval()
    _, links = block(
        torch.randn(2, 64, 8, 8), torch.randn(2, 64, 8, 8), (torch.zeros(1, 16, 8, 8),) * 2, torch.rand(2, 3, 8, 8)
    )
    assert links.keep.all()


def test_equal_features_find_each_other_at_first():
    """α and β start as the identity and features have length one: nothing resembles a position more than itself, by τ."""
    block, feature = DynaSTBlock(32, 8, 8, 3, 8, 30.0).eval(), torch.randn(2, 32, 6, 6)
    _, links = block(feature, feature, (torch.zeros(1, 8, 6, 6),) * 2, torch.rand(2, 3, 6, 6))
    assert torch.equal(links.pruned().argmax().flatten(1), torch.arange(36).expand(2, -1))
    torch.testing.assert_close(links.score.amax(-1), torch.full((2, 36), 30.0))


def test_what_the_next_block_chooses_by_is_not_pruned():
    block = block_of()
    _, links = block(*inputs(), candidates("inter"))
    torch.testing.assert_close(links.weight.sum(-1), torch.ones(2, 24, dtype=torch.float64))
    assert links.pruned().mass().min() < 0.9
    assert torch.equal(links.pruned().weight, links.weight * links.keep)
    assert (links.query_size, links.key_size) == (QUERY, KEY) == (links.pruned().query_size, links.pruned().key_size)


def effective_links(links: Links) -> torch.Tensor:
    return links.match(links.weight).entropy().exp()


def test_printed_normalisation_leaves_one_link_and_no_gradient():
    """Eq. (2) as printed, at the paper's coarsest scale: 512 + 128 channels and τ = 100."""
    features = torch.randn(1, 512, 16, 16), torch.randn(1, 512, 16, 16)
    position, condition = (torch.randn(1, 128, 16, 16),) * 2, torch.rand(1, 3, 16, 16)
    links = {}
    for norm in ("instance", "unit"):
        block = DynaSTBlock(512, 128, 128, 3, 8, 100.0, norm).eval()
        links[norm] = block(*features, tuple(0.01 * one for one in position) if norm == "unit" else position, condition)[1]
        (gradient,) = torch.autograd.grad(links[norm].weight[..., 0].sum(), block.alpha.weight)
        assert (gradient.abs().max() > 1e-3) == (norm == "unit")
    assert f"{effective_links(links['instance']).mean():.2f}" == "1.00"
    assert effective_links(links["unit"]).mean() > 2


def test_deviation_of_the_printed_scores():
    """100 · √640 = 2,530, where target and exemplar are independent and no two positions are one."""
    block = DynaSTBlock(512, 128, 128, 3, 8, 100.0, "instance").eval()
    position = torch.randn(1, 128, 16, 16), torch.randn(1, 128, 16, 16)
    with torch.no_grad():
        _, links = block(torch.randn(1, 512, 16, 16), torch.randn(1, 512, 16, 16), position, torch.rand(1, 3, 16, 16))
    assert links.score.std().item() == pytest.approx(2530, rel=0.03)


# Eq. (1), (16), (17) and the decoder.


def patches_by_hand(layer: nn.Conv2d, image: torch.Tensor, side: int) -> torch.Tensor:
    """Cut into patches, each a vector, times one matrix."""
    cut = F.unfold(image, side, stride=side)
    mapped = layer.weight.flatten(1) @ cut + layer.bias[:, None]
    return mapped.unflatten(2, tuple(n // side for n in image.shape[-2:]))


def halved(x: torch.Tensor, times: int) -> torch.Tensor:
    for _ in range(times):
        x = (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4
    return x


@pytest.mark.parametrize("size", [(16, 16), (8, 24)])
def test_patch_embedding_is_what_is_printed(size):
    """Every scale sees the patches of all scales, brought to its size."""
    embedding = shaken(PatchEmbedding(5, (12, 9, 8), 4).double()).eval()
    image = rand(2, 5, *size)
    embedded = [patches_by_hand(layer, image, 2**j) for j, layer in enumerate(embedding.patches)]
    scales = embedding(image)
    assert [tuple(scale.shape) for scale in scales] == [
        (2, width, size[0] // side, size[1] // side) for width, side in ((12, 4), (9, 2), (8, 1))
    ]
    for i, (scale, mix) in enumerate(zip(reversed(scales), reversed(embedding.mix), strict=True)):
        seen = [
            halved(one, i - j) if j < i else F.interpolate(one, scale_factor=2 ** (j - i), mode="bilinear") if j > i else one
            for j, one in enumerate(embedded)
        ]
        torch.testing.assert_close(scale, mix(torch.cat(seen, 1)))


def test_target_and_reference_share_no_patches():
    first, second = (PatchEmbedding(5, (8, 8), 4) for _ in range(2))
    assert not torch.equal(first.patches[0].weight, second.patches[0].weight)


def test_positions_grow_with_the_scale():
    maps = shaken(PositionMaps((2, 3), (4, 3, 2)).double())
    coarsest, middle, finest = maps((2, 3))
    assert coarsest is maps.coarsest and middle.shape == (1, 3, 4, 6) and finest.shape == (1, 2, 8, 12)
    for before, conv, after in ((coarsest, maps.grow[0], middle), (middle, maps.grow[1], finest)):
        larger = before.repeat_interleave(2, 2).repeat_interleave(2, 3)
        torch.testing.assert_close(after, F.leaky_relu(F.conv2d(larger, conv.weight, conv.bias, padding=1), 0.2))


@pytest.mark.parametrize("size", [(4, 6), (1, 3), (2, 3), (6, 2)])
def test_positions_of_another_size_are_resized(size):
    maps = PositionMaps((2, 3), (4, 3))
    nn.init.constant_(maps.coarsest, 0.3)
    coarsest, finer = maps(size)
    assert coarsest.shape == (1, 4, *size) and finer.shape == (1, 3, 2 * size[0], 2 * size[1])
    torch.testing.assert_close(coarsest, torch.full_like(coarsest, 0.3))


def test_decoder_joins_every_scale():
    decoder = shaken(Decoder((8, 6, 4)).double())
    features = [0.1 * rand(2, width, side, 2 * side) for width, side in ((8, 2), (6, 4), (4, 8))]
    x = F.leaky_relu(F.conv2d(features[0], decoder.first.weight, decoder.first.bias, padding=1), 0.2)
    for layer, feature in zip(decoder.join, features[1:], strict=True):
        x = torch.cat([x.repeat_interleave(2, 2).repeat_interleave(2, 3), feature], 1)
        x = F.leaky_relu(F.conv2d(x, layer.weight, layer.bias, padding=1), 0.2)
    image = decoder(features)
    logits = F.conv2d(x, decoder.last.weight, decoder.last.bias, padding=1)
    stretch = torch.logit(image) / logits  # one factor before the sigmoid, whichever
    torch.testing.assert_close(stretch, torch.full_like(stretch, stretch[0, 0, 0, 0].item()))
    assert image.shape == (2, 3, 8, 16) and stretch.min() > 0


@pytest.mark.parametrize("kind", ["dense", "inter"])
def test_a_decision_learns_from_the_features_and_does_not_shape_them(kind):
    block, given = block_of(), inputs()
    features = [one.clone().requires_grad_() for one in given[:2]]
    _, links = block(*features, *given[2:], candidates(kind))
    to_features = torch.autograd.grad(links.keep.sum(), features, retain_graph=True, allow_unused=True)
    assert all(gradient is None or not gradient.any() for gradient in to_features)
    assert torch.autograd.grad(links.keep.sum(), block.omega[2].weight)[0].any()
