"""A correspondence followed through the layers of a model: where it points, what it keeps and what it warps, layer by layer."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from exemplar_lab.correspondence import Correspondence
from exemplar_lab.metrics.appearance import warp_scores
from exemplar_lab.metrics.cells import truth_of_cells
from exemplar_lab.metrics.confidence import no_match_auroc
from exemplar_lab.metrics.links import link_scores
from exemplar_lab.metrics.points import mean_where, pck_scores, point_error, predicted_points
from exemplar_lab.translation import Batch


def layer_scores(matches: Sequence[Correspondence], batch: Batch) -> list[dict[str, Float[Tensor, " b"]]]:
    """For each match, on its own grid: epe in pixels of the image, pck@α, no_match_auroc, the mass of the rows of visible cells
    and of those without a counterpart (mass, no_match_mass), `link_scores`, and the error of its warp.

    Coarse and fine layers are asked about different cells; the epe of a perfect index is `matching.INDEX_FLOOR` of a cell.
    """
    answer = []
    for match in matches:
        cells = truth_of_cells(batch.truth, match.query_size)
        error, mass = point_error(predicted_points(match, cells.image_size), cells), match.mass()
        scores = {"epe": mean_where(error, cells.visible)} | pck_scores(error, cells)
        scores |= {"mass": mean_where(mass, cells.visible), "no_match_mass": mean_where(mass, cells.no_match)}
        scores |= {"no_match_auroc": no_match_auroc(match, cells)} | link_scores(match, cells)
        answer.append(scores | warp_scores(match, batch, cells.visible))
    return answer
