"""Which exemplar made an image? One that copies it is found always, one that ignores it as often as chance has it."""

import pytest
import torch

from exemplar_lab.models.matebit import MATEBIT, MATEBITConfig
from exemplar_lab.nn.features import features
from exemplar_lab.training.evaluation import last_match
from exemplar_lab.training.recipes import make_recipe
from exemplar_lab.training.style_retrieval import GALLERY, measure_style_retrieval
from exemplar_lab.translation import Translation

SOURCE = make_recipe("matebit", "faces", "smoke").validation


class Copies(MATEBIT):
    """Gives back the exemplar, whatever the structure."""

    def forward(self, condition, exemplar, exemplar_condition=None, *, record=True):
        return Translation(exemplar, ())


class Ignores(MATEBIT):
    """Gives everybody the same grey."""

    def forward(self, condition, exemplar, exemplar_condition=None, *, record=True):
        return Translation(torch.full_like(exemplar, 0.5), ())


def measured(kind, network=None, galleries=1):
    torch.manual_seed(0)
    config = MATEBITConfig(
        size=32, condition_channels=7, widths=(8, 12), encoder_blocks=1, decoder_blocks=1, style_hidden=8, style=8, queue=4
    )
    return measure_style_retrieval(kind(config).eval(), SOURCE, galleries=galleries, network=network)


def test_a_copy_is_found_and_nothing_is_not():
    copies, ignores = measured(Copies, features("fixed")), measured(Ignores, features("fixed"))
    rows = ["own structure", "other structure", "target"]
    assert list(copies) == rows + [f"{row}, fixed-seed-v1" for row in rows]
    for words in ("", ", fixed-seed-v1"):
        for row in ("own structure", "other structure"):
            assert copies[row + words]["top-1"].shape == (GALLERY,) and (copies[row + words]["top-1"] == 1).all()
            assert ignores[row + words]["top-1"].sum() <= 1
        assert torch.equal(copies["target" + words]["top-1"], ignores["target" + words]["top-1"])


def test_galleries_follow_one_another():
    two = measured(MATEBIT, galleries=2)
    assert two["target"]["reciprocal rank"].shape == (2 * GALLERY,)
    torch.testing.assert_close(two["target"]["reciprocal rank"][:GALLERY], measured(MATEBIT)["target"]["reciprocal rank"])


class Echoes(MATEBIT):
    """Shows the structure alone."""

    def forward(self, condition, exemplar, exemplar_condition=None, *, record=True):
        return Translation(condition[:, :3], ())


def test_the_other_structure_is_another_ones():
    echoes = measured(Echoes)
    assert not torch.equal(echoes["own structure"]["reciprocal rank"], echoes["other structure"]["reciprocal rank"])


def test_a_translation_without_a_match_is_refused_where_a_match_is_measured():
    with pytest.raises(ValueError, match="got a translation without a match, expected at least one"):
        last_match(Translation(torch.rand(1, 3, 8, 8), ()))
