"""A cascade measured layer by layer: each match on its own grid, as it would be measured alone."""

import torch

from exemplar_lab.data.synth.people import People
from exemplar_lab.metrics.cells import copy_match, oracle_match
from exemplar_lab.metrics.layers import layer_scores
from exemplar_lab.metrics.matching import evaluate_matching
from exemplar_lab.training.evaluation import layer_names


def test_each_layer_is_measured_on_its_own_grid():
    batch = People(size=64, split="val").batch(torch.arange(2))
    matches = [copy_match(2, (8, 8), (8, 8)), oracle_match(batch.truth, (32, 32), (32, 32))]
    coarse, fine = layer_scores(matches, batch)
    for found, match in ((coarse, matches[0]), (fine, matches[1])):
        alone = evaluate_matching(match, batch)
        for number in ("epe", "pck@0.05", "no_match_auroc", "kept_links", "warp_l1"):
            torch.testing.assert_close(found[number], alone[number], equal_nan=True)
    assert (fine["epe"] < 0.01).all() and (coarse["epe"][1] > 1) and (fine["mass"] > fine["no_match_mass"]).all()
    assert layer_names([*matches, matches[1]]) == ["8 × 8, block 1", "32 × 32, block 1", "32 × 32, block 2"]
