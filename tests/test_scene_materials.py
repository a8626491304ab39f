"""What landscapes are made of: linked materials are near, and the truth about transfer and groups follows from them."""

import pytest
import torch

from exemplar_lab.data.seeds import sample_keys
from exemplar_lab.data.synth.scenes.materials import (
    CLASSES,
    LOADINGS,
    PIGMENTS,
    SNOW,
    TEXTURE,
    colours,
    true_dendrogram,
    true_distance,
    true_transfer_matrix,
)
from exemplar_lab.data.synth.scenes.style import HELD_OUT, STYLE, draw_style, light_of

_NUMBER = {name: number for number, name in enumerate(CLASSES)}


def test_every_class_has_its_factors():
    assert len(CLASSES) == len(set(CLASSES)) == 12
    assert set(LOADINGS) == set(TEXTURE) == set(CLASSES)
    assert set(SNOW) <= set(CLASSES)
    assert all(len(loads) == len(PIGMENTS) and 0 < sum(loads) <= 1 for loads in LOADINGS.values())


def test_distance_is_one():
    distance = true_distance()
    assert torch.equal(distance, distance.T)
    assert (distance.diagonal() == 0).all()
    off = distance + torch.eye(12) * 9
    assert off.min() > 0.02
    triangle = distance[:, None] + distance[None]
    assert (distance[..., None] <= triangle.transpose(1, 2) + 1e-9).all()


@pytest.mark.parametrize(
    ("one", "kin", "stranger"),
    [
        ("sea", "river", "sand"),
        ("river", "sky", "grass"),
        ("grass", "bush", "sky"),
        ("bush", "tree", "house"),
        ("sand", "dirt", "grass"),
        ("dirt", "sand", "grass"),
        ("hill", "grass", "sea"),
    ],
)
def test_linked_materials_are_near(one, kin, stranger):
    distance, transfer = true_distance(), true_transfer_matrix()
    one, kin, stranger = (_NUMBER[name] for name in (one, kin, stranger))
    assert distance[one, kin] < distance[one, stranger]
    assert transfer[one, kin] > transfer[one, stranger]


def test_the_sky_lends_itself_to_water_first():
    """MSCA Fig. 6 and 11: of all other classes, river and sea take most from the sky."""
    given = true_transfer_matrix()[:, _NUMBER["sky"]].clone()
    given[_NUMBER["sky"]] = 0
    assert set(given.topk(2).indices.tolist()) == {_NUMBER["river"], _NUMBER["sea"]}


def test_transfer_rows_are_shares():
    transfer = true_transfer_matrix()
    assert torch.allclose(transfer.sum(1), torch.ones(12, dtype=transfer.dtype))
    assert (transfer.argmax(1) == torch.arange(12)).all()


def test_groups_are_those_of_the_paper():
    """MSCA Fig. 12: sea and river, sand and dirt, plants are joined before anything foreign joins them."""
    groups = {i: frozenset([name]) for i, name in enumerate(CLASSES)}
    for number, (a, b, _, _) in enumerate(true_dendrogram().tolist()):
        groups[12 + number] = groups[int(a)] | groups[int(b)]
    found = set(groups.values())
    for wanted in ({"sea", "river"}, {"bush", "tree"}, {"sand", "dirt"}, {"sky", "sea", "river"}):
        assert frozenset(wanted) in found


def test_styles_stay_in_range_and_move_colours():
    key = sample_keys(1, "train", torch.arange(500))
    style = draw_style(key, "train", torch.ones(500).double())
    assert style.shape == (500, len(STYLE))
    assert style.min() >= 0
    assert style.max() <= 1
    assert (style[:, 8] > 0).double().mean() == pytest.approx(0.28, abs=0.06)
    assert (draw_style(key, "train", torch.zeros(500).double())[:, 8] == 0).all()
    look = colours(style)
    assert look.min() >= 0
    assert look.max() <= 1
    assert (look.std(0).amax(1) > 0.03).all()


def test_held_out_palettes_are_held_out():
    for split, low, high in (("train", 0, 0.75), ("val", 0, 0.75), ("test", 0, 0.75), ("ood", HELD_OUT, 1)):
        palette = draw_style(sample_keys(1, split, torch.arange(300)), split, torch.ones(300).double())[:, 5]
        assert low <= palette.min()
        assert palette.max() <= high


def test_light_follows_the_sun():
    style = torch.full((2, 9), 0.3, dtype=torch.float64)
    style[0, 0], style[1, 0] = 0.9, 0.02
    light = light_of(style, torch.tensor([-0.8, 0.8], dtype=torch.float64), torch.zeros(2, dtype=torch.float64))
    assert light.key[0].sum() > 1.5 * light.key[1].sum()
    assert light.night.tolist() == [0, 1]
    assert (light.towards[:, 0].sign() == torch.tensor([-1.0, 1.0])).all()
    assert torch.allclose(light.towards.norm(dim=1), torch.ones(2))
