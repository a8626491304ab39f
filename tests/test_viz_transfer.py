"""Pages of transfer matrices and trees: what stands on them, and that nothing leaves them."""

import numpy as np
import torch
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle
from pages import on_the_page

from exemplar_lab.data.synth.scenes.materials import CLASSES, true_transfer_matrix
from exemplar_lab.metrics.transfer import class_tree
from exemplar_lab.viz.transfer import GROUP_COLOURS, class_trees, transfer_page


def test_a_page_of_matrices_has_one_scale_and_frames_what_is_true():
    true = true_transfer_matrix()
    found = true.clone()
    found[3, 5] = torch.nan
    names = ("truth", "dense", "masked", "sparse")
    figure = transfer_page(dict(zip(names, (true, found, found, found), strict=True)), CLASSES, true, title="Four")
    maps = [axis for axis in figure.axes if axis.get_title(loc="left")]
    assert [axis.get_title(loc="left") for axis in maps] == list(names)
    assert {axis.collections[0].get_clim() for axis in maps} == {(0, 1)}
    numbers = {text.get_text() for text in maps[0].texts} - {""}
    assert numbers == {f"{share:.2f}" for share in true.flatten().tolist() if share >= 0.095}
    assert [bool(axis.get_yticklabels()) for axis in maps] == [True, False, False, True]
    assert [bool(axis.get_xticklabels()) for axis in maps] == [False, True, True, True]
    others = true.clone().fill_diagonal_(0).topk(2).indices
    framed = {patch.get_xy() for patch in maps[1].patches if isinstance(patch, Rectangle)}
    assert framed == {(int(column), row) for row, pair in enumerate(others) for column in pair}
    assert on_the_page(figure)


def test_a_page_of_trees_colours_the_names_of_groups():
    tree = class_tree(true_transfer_matrix())
    groups = np.arange(len(CLASSES)) % 3
    figure = class_trees({str(n): tree for n in range(4)}, CLASSES, "Trees", columns=3, groups=groups.tolist())
    drawn = [axis for axis in figure.axes if axis.get_title()]
    assert len(drawn) == 4 and len(figure.axes) == 6
    for label in drawn[0].get_yticklabels():
        assert to_hex(label.get_color()) == GROUP_COLOURS[groups[CLASSES.index(label.get_text())]].lower()
    assert on_the_page(figure)
