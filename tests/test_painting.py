"""The painter from Python's side: what it takes, what it gives, what it shows where no widget can; and the panels below it."""

import base64
import io

import numpy as np
import pytest
import torch
import traitlets
from PIL import Image

from exemplar_lab.data.synth.scenes import repaint
from exemplar_lab.data.synth.scenes.materials import CLASSES, LABEL_COLOURS
from exemplar_lab.metrics.cells import copy_match
from exemplar_lab.training.makeup import carried
from exemplar_lab.translation import Translation
from exemplar_lab.widgets.painted import carry_panel, edit_panel
from exemplar_lab.widgets.painting import MAKEUP, Painter, painted_panel

TWO = {"red": (1.0, 0.0, 0.0), "half blue": (0.0, 0.0, 1.0, 0.5)}


@pytest.fixture
def painter():
    return Painter(torch.full((3, 16, 24), 0.5), TWO)


def shown(widget) -> np.ndarray:
    data = widget._repr_mimebundle_()
    data = data[0] if isinstance(data, tuple) else data
    return np.asarray(
        Image.open(io.BytesIO(base64.b64decode(data["image/png"]) if isinstance(data["image/png"], str) else data["image/png"]))
    )


def test_strokes_are_a_layer(painter):
    assert (painter.painted() == -1).all() and (painter.layer() == 0).all() and painter.brush == 1
    strokes = torch.full((16, 24), -1)
    strokes[2, 3], strokes[5, 7] = 0, 1
    painter.put(strokes)
    assert torch.equal(painter.painted(), strokes) and len(painter.strokes) == 16 * 24
    layer = painter.layer()
    assert layer.shape == (4, 16, 24) and layer[:, 2, 3].tolist() == [1, 0, 0, 1] and layer[:, 5, 7].tolist() == [0, 0, 1, 0.5]
    assert layer.sum() == 2 + 1.5
    painter.clear()
    assert (painter.painted() == -1).all()


def test_what_the_browser_sends_is_bytes_whatever_they_came_as(painter):
    painter.set_state({"strokes": memoryview(bytes([2] + [0] * (16 * 24 - 1)))})
    assert isinstance(painter.strokes, bytes) and painter.painted()[0, 0] == 1


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("strokes", bytes(5), "got 5 strokes up to 0, expected a byte for each of 16 × 24 pixels, at most 2"),
        ("strokes", bytes([3]) + bytes(16 * 24 - 1), "got 384 strokes up to 3"),
        ("colour", 2, "got colour 2, expected -1 … 1"),
        ("brush", 0, "got brush 0, expected 1 … 24"),
    ],
)
def test_what_cannot_be_painted_is_refused(painter, name, value, words):
    with pytest.raises(traitlets.TraitError, match=words):
        setattr(painter, name, value)


@pytest.mark.parametrize(
    ("strokes", "words"),
    [
        (torch.zeros(24, 16, dtype=torch.long), r"got strokes of \(24, 16\) from 0 to 0, expected \(16, 24\)"),
        (torch.full((16, 24), 255), "from 255 to 255, expected .* to 1"),
        (torch.full((16, 24), -2), "from -2 to -2"),
        (torch.full((16, 24), 2), "from 2 to 2"),
    ],
)
def test_what_python_cannot_put_is_refused(unchecked, painter, strokes, words):
    painter.put(torch.zeros(16, 24, dtype=torch.long))
    with pytest.raises(ValueError, match=words):
        painter.put(strokes)
    assert (painter.painted() == 0).all()


def test_classes_are_painted_into_labels():
    labels = torch.zeros(8, 8, dtype=torch.long)
    labels[0, 0] = -1
    painter = Painter(torch.rand(3, 8, 8), labels=labels, names=["sky", "tree", "house"])
    strokes = torch.full((8, 8), -1)
    strokes[4, 4] = 2
    painter.put(strokes)
    assert painter.labels()[4, 4] == 2 and painter.labels()[0, 0] == -1 and (painter.labels() == 0).sum() == 62
    assert painter.shown["labels"][0] == 255 and painter.shown["labels"][1:] == bytes(63)
    assert repr(painter) == "Painter(8 × 8 pixels, 3 classes)"


def test_as_many_classes_as_coco_stuff_has_can_be_painted():
    names = [f"class {number}" for number in range(182)]
    painter = Painter(torch.rand(3, 4, 4), labels=torch.full((4, 4), 181), names=names)
    painter.put(torch.full((4, 4), 180))
    assert (painter.labels() == 180).all()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "got 0 colours, expected 1 to 255"),
        ({"palette": {"red": (255, 0, 0)}}, r"got the colour \(255, 0, 0\) for 'red'"),
        ({"palette": TWO, "labels": torch.zeros(8, 8, dtype=torch.long), "names": ["a"]}, "got a palette and labels"),
        ({"labels": torch.zeros(8, 4, dtype=torch.long), "names": ["a"]}, r"got labels of \(8, 4\) and a picture of \(8, 8\)"),
        ({"labels": torch.ones(8, 8, dtype=torch.long), "names": ["a"]}, "got 1 names for labels up to 1"),
        ({"labels": torch.zeros(8, 8, dtype=torch.long), "names": ["a", "a"]}, "got 2 names of which 1 differ"),
        (
            {"labels": torch.zeros(8, 8, dtype=torch.long), "names": ["a"], "colours": [(0, 0, 0)] * 2},
            "got 2 colours for 1 names",
        ),
    ],
)
def test_what_is_no_palette_and_no_map_is_refused(unchecked, given, words):
    with pytest.raises(ValueError, match=words):
        Painter(torch.rand(3, 8, 8), **given)
    with pytest.raises(ValueError, match="divide by 255"):
        Painter(torch.full((3, 8, 8), 255.0), TWO)


def test_a_painter_of_colours_has_no_labels(painter):
    with pytest.raises(ValueError, match="got a painter of colours"):
        painter.labels()


def test_a_picture_and_the_same_words_stand_for_it_where_no_widget_can(painter):
    painter.put(torch.where(torch.arange(16 * 24).view(16, 24) < 24, 0, -1))
    picture = shown(painter)
    times = picture.shape[0] // 16
    assert picture.shape == (16 * times, 24 * times, 3)
    assert (picture[0, 0] == [255, 0, 0]).all() and (abs(picture[-1, -1].astype(int) - 128) <= 1).all()
    assert repr(painter) == "Painter(24 × 16 pixels, 2 colours)"


def test_what_is_below_the_painter_follows_each_stroke_and_says_what_went_wrong(painter):
    def draw(one: Painter) -> dict[str, torch.Tensor]:
        if (one.painted() == 1).any():
            raise ValueError("got blue <b>")
        return {"alpha": one.layer()[3:].expand(3, -1, -1)}

    panel = painted_panel(painter, draw, "try")
    before = panel.children[3].value
    assert shown(panel).max() == 0 and "alpha" in panel.children[2].value
    painter.put(torch.zeros(16, 24, dtype=torch.long))
    assert panel.children[3].value != before and shown(panel).min() == 255
    painter.put(torch.ones(16, 24, dtype=torch.long))
    assert "got blue &lt;b&gt;" in panel.children[2].value and 'role="alert"' in panel.children[2].value
    assert shown(panel).min() == 255
    painter.clear()
    assert panel.children[3].value == before and "alpha" in panel.children[2].value
    assert panel.words == "try: Painter(24 × 16 pixels, 2 colours)"


def test_editing_by_hand_asks_the_model_with_what_was_painted():
    maps, pictures = repaint(torch.tensor([0]), torch.tensor([0]), 32)
    asked = []

    def answer(batch) -> Translation:
        asked.append(batch)
        return Translation(batch.exemplar * 0.5, ())

    panel, painter = edit_panel({"half": answer}, pictures[0, 0], maps[0], CLASSES, LABEL_COLOURS)
    assert torch.equal(asked[-1].condition, maps) and torch.equal(asked[-1].exemplar, pictures[0])
    strokes = torch.full((32, 32), -1)
    strokes[:4] = CLASSES.index("balloon")
    painter.put(strokes)
    assert asked[-1].condition[0, CLASSES.index("balloon"), :4].all() and torch.equal(asked[-1].exemplar_condition, maps)
    picture = shown(panel)
    side = picture.shape[1] // 3
    made, kept = picture[:, side : 2 * side].astype(int), picture[:, 2 * side :].astype(int)
    assert abs(kept[: side // 8] - made[: side // 8]).max() == 0  # in the edit, what was made; below it, what was there
    assert abs(kept[side // 2 :] - 2 * made[side // 2 :]).max() <= 2


def test_paint_is_carried_to_the_target_by_each_match():
    target, exemplar = torch.rand(3, 32, 32), torch.rand(3, 32, 32)
    matches = {"copy": copy_match(1, (32, 32), (32, 32)), "coarse": copy_match(1, (8, 8), (8, 8))}
    panel, painter = carry_panel(matches, target, exemplar)
    assert list(painter.shown["names"]) == list(MAKEUP)
    strokes = torch.full((32, 32), -1)
    strokes[8:16, 8:16] = 6
    painter.put(strokes)
    layer = carried(matches["copy"], painter.layer()[None])
    assert torch.allclose(layer[0], painter.layer(), atol=1e-6)
    picture = shown(panel)
    side = picture.shape[1] // 3
    plain, copied = picture[:, :side], picture[:, side : 2 * side]
    ink = copied[10 * side // 32, 10 * side // 32]
    assert (ink <= [14, 14, 19]).all() and (plain[: side // 4] == copied[: side // 4]).all()
