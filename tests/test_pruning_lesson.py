"""What the notebook on pruning stands on: planes of known zoom, the ROC curve, and its figures."""

import pytest
import torch

from exemplar_lab import DenseMatch
from exemplar_lab.data.synth.plane import STRANGER, plane_pairs
from exemplar_lab.grid import sample_at
from exemplar_lab.metrics.cells import truth_of_cells
from exemplar_lab.metrics.ranks import auroc, roc
from exemplar_lab.viz.pruning import decision_history, links_of_queries, roc_curves, step_and_slope


@pytest.mark.parametrize("zoom", [0.5, 1.0, 3.0])
def test_the_true_flow_of_a_plane_carries_its_colours_and_its_features(zoom):
    side = 32
    batch, query, key = plane_pairs(torch.full((4,), zoom), side, noise=0.0)
    truth = batch.truth
    inside = truth.visible & ((truth.flow > 1) & (truth.flow < side - 1)).all(1)
    # Colours wander slowly; a small exemplar is sampled coarsely, where linear interpolation errs most.
    error = (sample_at(batch.exemplar, truth.flow.nan_to_num()) - batch.target).abs().amax(1)[inside]
    assert error.max() < (0.15 if zoom < 1 else 0.05)
    if zoom > 1:  # some key lies within half a key cell of every true point
        best = (query @ key.transpose(1, 2)).amax(-1).unflatten(1, (side, side))
        assert best[inside].min() > 0.97


def test_a_target_cell_of_a_plane_needs_the_square_of_the_zoom():
    zoom = torch.tensor([0.5, 1.0, 2.0])
    batch, _, _ = plane_pairs(zoom)
    cells = truth_of_cells(batch.truth, (16, 16))
    for of_pair, seen, factor in zip(cells.count, cells.visible, zoom, strict=True):
        assert seen.any() and torch.allclose(of_pair[seen], factor**2)


def test_the_stranger_is_marked_painted_and_alike_nothing():
    batch, query, key = plane_pairs(torch.full((8,), 0.7), noise=0.0)
    strange = batch.condition[:, 0] > 0
    assert (batch.target.movedim(1, -1)[strange] == torch.tensor(STRANGER)).all()
    assert truth_of_cells(batch.truth, (16, 16)).no_match[strange].all()
    best = (query @ key.transpose(1, 2)).amax(-1).unflatten(1, (16, 16))
    assert best[strange].mean() < 0.6 < 0.9 < best[batch.truth.visible].mean()


def test_one_seed_draws_one_set_of_planes():
    zoom = torch.tensor([1.0, 2.0])
    first, again, other = (plane_pairs(zoom, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(first[1], again[1]) and torch.equal(first[0].target, again[0].target)
    assert not torch.equal(first[1], other[1])


def test_the_area_under_the_roc_curve_is_the_auroc():
    low, high = (torch.randint(0, 9, (40,)) / 8 - shift for shift in (0.3, 0.0))  # many equal values
    x, y = roc(low, high)
    assert torch.equal(torch.stack([x[0], y[0], x[-1], y[-1]]), torch.tensor([0.0, 0.0, 1.0, 1.0]))
    assert (x.diff() >= 0).all() and (y.diff() >= 0).all()
    torch.testing.assert_close(torch.trapezoid(y, x), auroc(low, high))


def test_links_that_were_cut_are_outlined_and_counted():
    before = torch.zeros(1, 16, 16)
    before[0, 5, :4] = 0.25
    after = before.clone()
    after[0, 5, 0] = 0.0
    image = torch.rand(1, 3, 32, 32)
    matches = (DenseMatch((4, 4), (4, 4), weight) for weight in (before, after))
    figure = links_of_queries(*matches, image, image, [(0, 5)], ["a query"], [(4.0, 4.0)])
    above, below = figure.axes
    assert below.get_xlabel() == "3 of 4 links kept, mass 0.75" and above.get_title() == "a query"
    boxes = [patch for patch in below.patches if patch.get_width() == 8]
    assert sorted(box.get_facecolor()[3] > 0 for box in boxes) == [False, True, True, True]


def test_the_other_figures_show_what_they_are_given():
    forward, backward = step_and_slope(reach=2.0).axes
    assert set(forward.lines[0].get_ydata().tolist()) == {0.0, 1.0}
    assert max(backward.lines[1].get_ydata()) == pytest.approx(0.25)
    keep = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    figure = decision_history({"one": [0.2, 0.1]}, {"one": keep}, [False, True, True])
    assert figure.axes[1].images[0].get_array().tolist() == [[0.0, 0.0], [1.0, 1.0], [1.0, 0.0]]
    curve = roc(torch.tensor([0.0, 0.1]), torch.tensor([0.5, 1.0]))
    panel = roc_curves({"panel": {"perfect": curve}}, "x", "y").axes[0]
    assert panel.lines[1].get_xydata().tolist() == curve.T.tolist()
