"""Which class feeds which: the transfer matrix of a match, its order against the truth, and the tree of classes it draws.

Fig. 10 and Fig. 12 of [MSCA]. A matrix has a row per class of the target and a column per class of the exemplar, as every match
has a row per target position; the paper's Fig. 10 shows the exemplar down and the target across. What never occurred is NaN.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from scipy.cluster.hierarchy import cophenet, linkage
from scipy.spatial.distance import pdist
from torch import Tensor

from exemplar_lab.correspondence import Correspondence, FactoredMatch
from exemplar_lab.metrics.ranks import spearman
from exemplar_lab.metrics.tables import drawn_again, with_interval


def labels_of_cells(label: Int[Tensor, "b h w"], size: tuple[int, int], classes: int) -> Int[Tensor, "b hc wc"]:
    """The class that fills most of each cell of a grid of `size`, the lowest of equal ones; −1 where most is no class."""
    shares = F.one_hot(label.long() + 1, classes + 1).movedim(-1, 1).float()
    return F.adaptive_avg_pool2d(shares, size).argmax(1) - 1


def transfer_matrix(
    match: Correspondence,
    exemplar_label: Int[Tensor, "b hk wk"],
    target_label: Int[Tensor, "b hq wq"],
    classes: int,
) -> Float[Tensor, "b c c"]:
    """Row i: of all the weight that target positions of class i give to classes, the share that goes to each exemplar class.

    Labels lie on the grids of the match, see `labels_of_cells`; −1 is no class. A row whose class the target lacks is NaN, and
    so is one that gives no weight to any class; a column whose class the exemplar lacks is NaN.
    """
    exemplar, target = (one_hot_labels(label, classes) for label in (exemplar_label, target_label))
    carried = match.warp(exemplar.movedim(-1, 1).unflatten(-1, match.key_size).to(match.mass().dtype)).flatten(2)
    weight = target.transpose(1, 2).to(carried.dtype) @ carried.transpose(1, 2)
    total = weight.sum(-1, keepdim=True)
    known = (total > 0) & exemplar.any(1)[:, None]
    return torch.where(known, weight / total, math.nan)


def expected_transfer(
    true: Float[Tensor, "c c"],
    exemplar_label: Int[Tensor, "b hk wk"],
    target_label: Int[Tensor, "b hq wq"],
) -> Float[Tensor, "b c c"]:
    """What `true` makes of each image: classes that the exemplar lacks give their share to the others; NaN as above.

    A match is compared with this, and so not blamed for the classes that a scene happens to lack.
    """
    exemplar, target = (one_hot_labels(label, len(true)).any(1) for label in (exemplar_label, target_label))
    share = _present_share(true, exemplar)
    known = target[:, :, None] & exemplar[:, None] & (share.sum(-1, keepdim=True) > 0)
    return torch.where(known, share, math.nan)


def class_oracle(
    true: Float[Tensor, "c c"],
    exemplar_label: Int[Tensor, "b hk wk"],
    target_label: Int[Tensor, "b hq wq"],
) -> FactoredMatch:
    """The match whose transfer matrix is the expected one: positions of class i look at class j as much as `true` says, at all
    positions of that class alike.
    """
    exemplar, target = (one_hot_labels(label, len(true)).to(true.dtype) for label in (exemplar_label, target_label))
    size = exemplar.sum(1)
    key_factor = exemplar.transpose(1, 2) / size.clamp_min(1)[..., None]
    sizes = tuple(target_label.shape[1:]), tuple(exemplar_label.shape[1:])
    return FactoredMatch(*sizes, target @ _present_share(true, size > 0), torch.ones_like(size), key_factor)


def mean_transfer(matrices: Float[Tensor, "n c c"], times: Float[Tensor, "m n"] | None = None) -> Float[Tensor, "*m c c"]:
    """The mean over images of each entry that occurred; NaN for those that never did. times: m means, each counting the images
    so many times."""
    if times is None:
        return matrices.nanmean(0)
    total, known = (torch.einsum("mn,nij->mij", times, m) for m in (matrices.nan_to_num(), matrices.isfinite().to(times.dtype)))
    return total / known


def transfer_rank(matrix: Float[Tensor, "c c"], true: Float[Tensor, "c c"]) -> float:
    """Spearman's ρ between the entries off the diagonal that are known in both: who helps whom, apart from each itself."""
    off = ~torch.eye(len(true), dtype=torch.bool, device=true.device)
    known = off & matrix.isfinite() & true.isfinite()
    return float(spearman(matrix[known].double(), true[known].double())) if known.sum() > 2 else math.nan


def strongest_others(matrix: Float[Tensor, "c c"], count: int = 1) -> Int[Tensor, "c t"]:
    """The classes that each class takes most from, apart from itself, the strongest first; −1 where nothing is taken."""
    own = torch.eye(len(matrix), dtype=torch.bool, device=matrix.device)
    share, index = matrix.nan_to_num().masked_fill(own, 0).topk(count, dim=-1)
    return torch.where(share > 0, index, -1)


def class_features(matrix: Float[Tensor, "c c"]) -> Float[Tensor, "c c"]:
    """The rows as features of the classes: each diagonal entry becomes the second largest of its row, so that no class stands
    alone for feeding on itself; NaN counts as 0, what a class never got.

    Fig. 12 of [MSCA] does so to rows of exemplar classes, whom each of them feeds; rows here are target classes, and the
    feature is what each is fed by.
    """
    matrix = matrix.nan_to_num()
    return torch.where(
        torch.eye(len(matrix), dtype=torch.bool, device=matrix.device), matrix.topk(2, dim=-1).values[:, 1:], matrix
    )


def class_tree(matrix: Float[Tensor, "c c"]) -> np.ndarray:
    """The tree of classes in SciPy's form (c − 1, 4): average linkage of the Euclidean distances of `class_features`.

    Raises ValueError for fewer than three classes, of which there is only one tree.
    """
    if len(matrix) < 3:
        raise ValueError(
            f"got a transfer matrix of {len(matrix)} classes, expected at least 3: there is only one tree of fewer"
        )
    return linkage(pdist(class_features(matrix).double().cpu().numpy()), method="average")


def cophenetic_correlation(one: Float[Tensor, "c c"], other: Float[Tensor, "c c"]) -> float:
    """How alike the trees of two transfer matrices are: Pearson's r of the heights at which each pair of classes meets.

    Only what is known in both takes part; NaN for fewer than three classes, and where a tree is flat.
    """
    known = one.isfinite() & other.isfinite()
    classes = known.any(1)
    if classes.sum() < 3:
        return math.nan
    both = (torch.where(known, matrix, math.nan)[classes][:, classes] for matrix in (one, other))
    heights = np.stack([cophenet(class_tree(matrix)) for matrix in both])
    return float(np.corrcoef(heights)[0, 1]) if (np.ptp(heights, axis=1) > 1e-12).all() else math.nan


def transfer_summary(
    matrices: Float[Tensor, "n c c"], expected: Float[Tensor, "n c c"], draws: int = 200, group: Int[Tensor, " n"] | None = None
) -> dict[str, dict[str, float]]:
    """{"transfer_rank", "cophenetic"}: the mean matrix of n images against the mean of what was expected of the same images,
    with intervals as `tables.summarise` gives them, whose `group` this is."""
    times = drawn_again(len(matrices), draws, group)
    times = torch.cat([torch.ones(1, len(matrices), dtype=times.dtype), times])
    pairs = list(zip(*(mean_transfer(m.detach().double().cpu(), times) for m in (matrices, expected)), strict=True))
    numbers = {"transfer_rank": transfer_rank, "cophenetic": cophenetic_correlation}
    return {name: with_interval(torch.tensor([number(*pair) for pair in pairs])) for name, number in numbers.items()}


def _present_share(true: Float[Tensor, "c c"], present: Bool[Tensor, "b c"]) -> Float[Tensor, "b c c"]:
    """Rows of `true` over the classes that are present, scaled to sum to one."""
    share = true.to(present.device) * present[:, None]
    return share / share.sum(-1, keepdim=True).clamp_min(1e-12)


def one_hot_labels(label: Int[Tensor, "b h w"], classes: int) -> Int[Tensor, "b n c"]:
    """A one for the class of each position, row by row; −1 becomes a row of zeros. Raises ValueError for other labels."""
    if label.min() < -1 or label.max() >= classes:
        raise ValueError(
            f"got labels from {int(label.min())} to {int(label.max())}, expected −1 … {classes - 1}: raise `classes`"
        )
    return F.one_hot(label.long() + 1, classes + 1)[..., 1:].flatten(1, 2)
