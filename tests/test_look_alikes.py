"""What two images have in common to look alike, the nearest of others, and pictures that are there twice."""

from io import BytesIO

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from exemplar_lab.data import look_alikes
from exemplar_lab.data.images import resize
from exemplar_lab.data.look_alikes import LAYERS, colour_shares, copies, look, nearest_looks, others, small, thumbnail
from exemplar_lab.data.synth.people import People
from exemplar_lab.data.synth.scenes import Scenes
from exemplar_lab.nn.features import features


@pytest.fixture(scope="module")
def network():
    return features("lab")


def test_colours_are_counted():
    image = torch.zeros(1, 3, 64, 64)
    image[0, 0, :16] = 1  # a quarter in red
    image[0, :, 48:] = torch.tensor([0.0, 0.5, 0.99])[:, None, None]
    shares = colour_shares(image)[0]
    assert shares.sum() == 1 and shares[3 * 16] == 0.25 and shares[2 * 4 + 3] == 0.25 and shares[0] == 0.5


def test_a_look_is_half_features_half_colours(network):
    one, other = look(torch.rand(2, 3, 64, 64), network).double()
    assert torch.allclose(one.norm(), torch.tensor(1.0).double(), atol=1e-6) and len(one) == 1728
    images = torch.rand(2, 3, 64, 64)
    one, other = look(images, network).double()
    cosines = []
    for layer, feature in network(images, LAYERS).items():
        half = feature.shape[-1] // 2
        means = feature.double().unflatten(-1, (2, half)).unflatten(-3, (2, half)).mean((-1, -3)).flatten(1)
        cosines.append(F.cosine_similarity(*means, dim=0))
        assert layer in LAYERS
    counts = [torch.zeros(64).double() for _ in images]
    for count, image in zip(counts, images, strict=True):
        for red, green, blue in (image.flatten(1).T * 4).long().tolist():
            count[16 * red + 4 * green + blue] += 1 / 64**2
    colours = (counts[0] * counts[1]).sqrt().sum()
    assert torch.allclose(one @ other, (torch.stack(cosines).mean() + colours) / 2, atol=1e-6)


@given(st.integers(0, 2**31), st.integers(1, 30), st.integers(1, 9), st.integers(1, 9), st.sampled_from((8, 64, 2**24)))
def test_nearest_looks_in_blocks(seed, many, queries, k, block):
    draw = torch.Generator().manual_seed(seed)
    pool, query = torch.randn(many, 5, generator=draw), torch.randn(queries, 5, generator=draw)
    k, seen = min(k, many), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(look_alikes, "_BLOCK", block)
        found = nearest_looks(query, pool, k)
    brute = np.argsort(-(query.double().numpy() @ pool.double().numpy().T), axis=1, kind="stable")[:, :k]
    assert found.tolist() == brute.tolist()
    nearest_looks(query, pool, k, lambda blocks: (seen.append(len(one)) or one for one in blocks))
    assert sum(seen) == queries


def test_nearest_looks_says_what_is_too_many():
    with pytest.raises(ValueError, match=r"got k = 3 of 2 candidates"):
        nearest_looks(torch.rand(1, 4), torch.rand(2, 4), 3)


def saved(image: torch.Tensor) -> torch.Tensor:
    file = BytesIO()
    Image.fromarray((image * 255).byte().movedim(0, -1).numpy()).save(file, "jpeg", quality=90)
    return torch.from_numpy(np.asarray(Image.open(file)).copy()).movedim(-1, 0) / 255


def test_copies_are_found_however_they_were_saved():
    pictures = Scenes(96, "val").batch(torch.arange(6)).target
    again = [saved(pictures[2]), resize(pictures[4], (70, 90)), pictures[0].flip(-1)]
    shown = torch.stack([small(image) for image in (*pictures, *again)])
    assert copies(thumbnail(shown)).tolist() == [0, 1, 2, 3, 4, 5, 2, 4, 8]
    assert copies(thumbnail(shown).half()).tolist() == [0, 1, 2, 3, 4, 5, 2, 4, 8]


def test_copies_in_blocks(monkeypatch):
    monkeypatch.setattr(look_alikes, "_BLOCK", 1)
    few = torch.rand(40, 12)
    order = torch.randperm(600) % 40
    seen = []
    first = copies(few[order], lambda blocks: (seen.append(one) or one for one in blocks))
    assert seen == [0, 256, 512]
    assert first.tolist() == [order.tolist().index(which) for which in order.tolist()]


def test_others_leave_out_the_picture_itself_and_its_copies():
    first = torch.tensor([0, 1, 0, 3, 4])
    nearest = torch.tensor([[0, 1, 2], [1, 0, 2], [2, 1, 0]])  # places in the pool
    assert others(nearest, own=[2, 1, 4], pool=[0, 1, 3], first=first, k=2) == [(1, 3), (0, 3), (3, 1)]


@pytest.mark.parametrize(("source", "least"), [(People, 0.45), (Scenes, 0.8)], ids=["person", "land"])
def test_the_same_person_and_the_same_land_are_found(network, source, least):
    """Of 47 others; guessing finds 0.02. The docstring of `look` has the numbers of 511 others."""
    batch = source(64, "val", "medium").batch(torch.arange(24))
    looks = look(torch.cat([batch.target, batch.exemplar]), network)
    nearest = nearest_looks(looks, looks, 2)
    found = torch.tensor([next(at for at in row if at != own) for own, row in enumerate(nearest.tolist())])
    assert (found == torch.arange(48).roll(24)).float().mean() >= least
