"""How good a match is, measured on exact truth: everything at once. The numbers themselves live in the files beside this one.

Every number is per image; images without the cells in question answer NaN. Only `Correspondence` is asked, so that a model of
any kind is measured alike.
"""

import math

from jaxtyping import Float
from torch import Tensor

from exemplar_lab.correspondence import Correspondence
from exemplar_lab.metrics.appearance import warp_scores
from exemplar_lab.metrics.cells import CellTruth, footprint_match, oracle_match, truth_of_cells
from exemplar_lab.metrics.confidence import no_match_auroc, sparsification_error
from exemplar_lab.metrics.links import link_scores, mass_in_footprint, peak_weight
from exemplar_lab.metrics.mutual import cycle_error, mutual_scores
from exemplar_lab.metrics.points import ALPHAS, outliers, pck_scores, point_error, predicted_points, set_error
from exemplar_lab.translation import Batch

INDEX_FLOOR = (math.sqrt(2) + math.asinh(1)) / 6
"""Mean distance of a point to the centre of its cell, in cells: 0.383, the error of a perfect answer given as an index."""


def evaluate_matching(
    match: Correspondence,
    batch: Batch,
    alphas: tuple[float, ...] = ALPHAS,
    cells: CellTruth | None = None,
    back: Correspondence | None = None,
) -> dict[str, Float[Tensor, " b"]]:
    """All numbers of one batch, one value per image; join batches with `metrics.tables.summarise`.

    cells: visible cells, the weight of the image in averages over points.
    epe: pixels. fl: share of outliers. pck@α, pck@α box, pck@Npx: see `pck_scores`; set_pck…: the same for the nearest of the
        equally right answers. footprint: share of the weight that falls where the truth lies.
    cycle: pixels, for the way there and back; read it beside epe. mutual_…: see `mutual_scores`.
    no_match_auroc: does lost mass tell what has no counterpart? ause: is 1 − the peak large where the error is?
    kept_links, kept_links_rank, links, links_rank: see `link_scores`.
    warp_l1, warp_psnr, warp_ssim: the warped exemplar against the target on visible cells; copy_l1: the exemplar as it is;
    albedo_…, copy_albedo_l1: the same for the colours before light, where the truth has them.

    The argument `cells` saves the work where several matches are measured on one batch; `back` is a match of its own from the
    exemplar to the target, for models that have one: by default the way back is the transpose of `match`.
    """
    cells = _cells(batch, match.query_size) if cells is None else cells
    back = match.transpose() if back is None else back
    points = predicted_points(match, cells.image_size)
    error, nearest = point_error(points, cells), set_error(points, cells)
    cycle, epe = cycle_error(match, cells, back)
    scores = {"cells": cells.visible.flatten(1).sum(1).to(points.dtype), "epe": epe, "fl": outliers(error, cells)}
    scores |= pck_scores(error, cells, "pck", alphas) | pck_scores(nearest, cells, "set_pck", alphas)
    scores |= {"footprint": mass_in_footprint(match, cells), "cycle": cycle} | mutual_scores(match, cells, back=back)
    scores |= {
        "no_match_auroc": no_match_auroc(match, cells),
        "ause": sparsification_error(error, 1 - peak_weight(match), cells.visible),
    }
    return scores | link_scores(match, cells) | warp_scores(match, batch, cells.visible)


def oracle_scores(
    batch: Batch, query_size: tuple[int, int], key_size: tuple[int, int], alphas: tuple[float, ...] = ALPHAS
) -> dict[str, Float[Tensor, " b"]]:
    """The row of the oracle: to each question the answer of one that knows the truth and is limited by the grid alone.

    No one match answers all of them best: `oracle_match` says where to look, to a fraction of a cell; `footprint_match` which
    cells of the exemplar a row needs, and how many; and its uncertainty is its error.
    """
    cells = _cells(batch, query_size)
    match, footprint = (oracle(batch.truth, query_size, key_size) for oracle in (oracle_match, footprint_match))
    scores = evaluate_matching(match, batch, alphas, cells)
    scores |= {"footprint": mass_in_footprint(footprint, cells)} | link_scores(footprint, cells)
    error = point_error(predicted_points(match, cells.image_size), cells)
    return scores | {"ause": sparsification_error(error, error, cells.visible)}


def _cells(batch: Batch, query_size: tuple[int, int]) -> CellTruth:
    if batch.truth is None:
        raise ValueError(
            "got a batch without truth, expected one that knows its flow: use a source of the procedural world, or photographs"
        )
    return truth_of_cells(batch.truth, query_size)
