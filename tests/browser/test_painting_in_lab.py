"""The painter in JupyterLab: what is painted with the mouse or the keys is what Python has, and can be taken back."""

import json

import pytest
from contrast import contrast

from exemplar_lab.benchmarks.lab import cells, open_notebook, run_all, run_cell, write_notebook

pytestmark = pytest.mark.browser

MAKE = """
import json, torch
from exemplar_lab.widgets.painting import MAKEUP, Painter, painted_panel

picture = torch.rand(3, 32, 48, generator=torch.Generator().manual_seed(0))
labels = (torch.arange(32)[:, None].expand(32, 48) > 15).long()
asked = False
"""
COLOURS = "painter = Painter(picture, MAKEUP, brush=3, title='a face')\npainter"
CLASSES = """
shown = lambda one: {"labels": (one.labels() == 2).float().expand(3, -1, -1)}
classes = Painter(picture, labels=labels, names=["sky", "grass", "tree"], brush=1)
panel = painted_panel(classes, shown, "labels")
panel"""
PUT = """
if asked:
    strokes = torch.full((32, 48), -1)
    strokes[4:6, 8:10] = 6
    painter.put(strokes)
asked = True
"""
FIFTY = """
if asked:
    for number in range(50):
        strokes = torch.full((32, 48), -1)
        strokes.view(-1)[: number + 1] = 0
        classes.put(strokes)
"""
SAYS = "print(json.dumps({}))"


@pytest.fixture
def painters(lab, page):
    sources = [
        MAKE,
        COLOURS,
        CLASSES,
        SAYS.format("{'painted': (painter.painted() + 1).tolist(), 'brush': painter.brush, 'colour': painter.colour}"),
        SAYS.format("classes.labels().tolist()"),
        FIFTY,
        PUT,
    ]
    write_notebook(lab.root / "painting.ipynb", sources)
    open_notebook(page, lab, "painting.ipynb")
    run_all(page)
    page.get_by_test_id("painter").nth(1).locator("canvas").wait_for()
    return page


def told(page, cell: int):
    for _ in range(2):  # a widget holds back what it has to say while its last message is under way: the second run has it
        run_cell(page, cell)
    (output,) = cells(page)[cell]["outputs"]
    return json.loads(output["text"])


def canvas(page, which: int = 0):
    return page.get_by_test_id("painter").nth(which).get_by_test_id("canvas")


def drag(page, which: int, start: tuple[float, float], end: tuple[float, float]) -> None:
    """From one pixel of the picture to another with the mouse."""
    canvas(page, which).scroll_into_view_if_needed()
    box = canvas(page, which).bounding_box()
    places = [(box["x"] + x / 48 * box["width"], box["y"] + y / 32 * box["height"]) for x, y in (start, end)]
    page.mouse.move(*places[0])
    page.mouse.down()
    page.mouse.move(*places[1], steps=4)
    page.mouse.up()


def alpha(page, x: int, y: int) -> int:
    """How opaque the strokes are at a pixel."""
    return (
        canvas(page)
        .locator("canvas")
        .evaluate("(canvas, [x, y]) => canvas.getContext('2d').getImageData(x, y, 1, 1).data[3]", [x, y])
    )


def test_a_stroke_of_the_mouse_is_what_python_has(painters):
    page = painters
    assert all(page.get_by_test_id("painter").nth(which).get_by_test_id("colour-0").is_checked() for which in (0, 1))
    page.get_by_test_id("painter").first.get_by_test_id("colour-2").locator("xpath=..").click()
    drag(page, 0, (10.5, 8.5), (30.5, 8.5))
    found = told(page, 3)
    painted = {(x, y) for y, row in enumerate(found["painted"]) for x, one in enumerate(row) if one == 3}
    assert found["colour"] == 2 and found["brush"] == 3
    assert {(x, y) for x in range(10, 31) for y in (7, 8, 9)} <= painted <= {(x, y) for x in range(9, 32) for y in (7, 8, 9)}
    assert not any(one not in (0, 3) for row in found["painted"] for one in row)
    assert abs(alpha(page, 20, 8) - 0.7 * 255) < 1 and alpha(page, 20, 20) == 0


def test_strokes_are_taken_back_one_by_one_and_cleared_and_python_follows(painters):
    page, first = painters, painters.get_by_test_id("painter").first
    drag(page, 0, (5.5, 5.5), (9.5, 5.5))
    one = told(page, 3)["painted"]
    drag(page, 0, (5.5, 25.5), (40.5, 20.5))
    assert sum(map(sum, told(page, 3)["painted"])) > sum(map(sum, one)) > 0
    first.get_by_test_id("undo").click()
    assert told(page, 3)["painted"] == one
    first.get_by_test_id("clear").click()
    assert not any(map(any, told(page, 3)["painted"])) and first.get_by_test_id("clear").is_disabled()
    first.get_by_test_id("undo").click()
    assert told(page, 3)["painted"] == one
    page.keyboard.press("z")  # on the button: not the painter's, and nothing of the notebook's either
    assert told(page, 3)["painted"] == one


def test_it_can_be_done_with_the_keys_alone_and_says_what_it_does(painters):
    page = painters
    canvas(page).focus()
    for key in ("4", "[", "[", "p", "ArrowRight", "ArrowRight", "Shift+ArrowDown", "Escape", "ArrowLeft"):
        page.keyboard.press(key)
    found = told(page, 3)
    assert (found["colour"], found["brush"]) == (3, 1)
    painted = {(x, y) for y, row in enumerate(found["painted"]) for x, one in enumerate(row) if one}
    assert painted == {(24, 16), (25, 16), (26, 16)} | {(26, y) for y in range(16, 25)}
    status = page.get_by_test_id("painter").first.get_by_test_id("status")
    assert status.inner_text() == "eyes, violet, brush 1 px · at 25, 24: not painted · 11 pixels painted"
    canvas(page).focus()
    page.keyboard.press("ArrowRight")
    assert page.get_by_test_id("painter").first.locator("[aria-live]").inner_text() == "26, 24: eyes, violet"
    page.keyboard.press("e")
    page.keyboard.press("Space")
    assert sum(bool(one) for row in told(page, 3)["painted"] for one in row) == 10


def test_classes_are_painted_into_labels_and_the_picture_below_follows(painters):
    page = painters
    below = page.locator(".jp-CodeCell").nth(2).locator(".widget-image, img.jupyter-widgets").last
    before = below.get_attribute("src")
    page.get_by_test_id("painter").nth(1).get_by_test_id("colour-2").locator("xpath=..").click()
    drag(page, 1, (3.5, 3.5), (20.5, 3.5))
    labels = told(page, 4)
    assert labels[3][3:21] == [2] * 18 and labels[2] == [0] * 48 and labels[31] == [1] * 48
    page.wait_for_function("([one, before]) => one.src !== before", arg=[below.element_handle(), before])


def test_a_stroke_that_leaves_the_picture_ends_at_its_edge_and_does_not_run_along_it(painters):
    page = painters
    canvas(page, 0).scroll_into_view_if_needed()
    box = canvas(page, 0).bounding_box()
    width, height = box["width"] / 48, box["height"] / 32
    page.mouse.move(box["x"] + 40.5 * width, box["y"] + 16.5 * height)
    page.mouse.down()
    for x, y in ((52.5, 16.5), (52.5, 28.5), (40.5, 28.5)):
        page.mouse.move(box["x"] + x * width, box["y"] + y * height, steps=6)
    page.mouse.up()
    found = told(page, 3)["painted"]
    rows = {y for y, row in enumerate(found) if row[47]}
    assert rows == {15, 16, 17, 27, 28, 29}, rows


def test_who_comes_back_with_the_keys_sees_where_they_are(painters):
    page = painters
    outline = "(node) => getComputedStyle(node).outlineStyle"
    drag(page, 0, (5.5, 5.5), (9.5, 5.5))
    assert canvas(page).evaluate(outline) == "none"
    page.keyboard.press("Tab")
    page.keyboard.press("Shift+Tab")
    assert canvas(page).evaluate("(node) => document.activeElement === node")
    assert canvas(page).evaluate(outline) != "none"


def test_every_class_can_be_reached_with_the_keys_and_undo_ends_with_what_python_put(painters):
    page, second = painters, painters.get_by_test_id("painter").nth(1)
    assert second.get_by_role("radiogroup").get_attribute("aria-label") == "class"
    canvas(page, 1).focus()
    for key, number in ((".", 1), (".", 2), (".", 2), (",", 1), (",", 0), (",", -1), (",", -1)):
        page.keyboard.press(key)
        assert second.get_by_test_id(f"colour-{number}").is_checked()
    assert second.locator("[aria-live]").inner_text() == "eraser"
    run_cell(page, 5)
    second.get_by_text("50 pixels painted").wait_for()
    for _ in range(45):
        canvas(page, 1).press("z")
    assert second.get_by_test_id("undo").is_disabled()
    assert (
        second.get_by_test_id("status").inner_text().endswith("10 pixels painted")
    )  # forty can be taken back, whoever made them


def test_what_python_paints_is_shown(painters):
    page = painters
    run_cell(page, 6)
    page.get_by_test_id("painter").first.get_by_text("4 pixels painted").wait_for()
    assert alpha(page, 9, 5) == 255 and alpha(page, 10, 5) == 0


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_words_can_be_read_in_light_and_dark(painters, theme):
    painters.evaluate("(theme) => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", theme)
    painters.wait_for_function("(dark) => document.body.dataset.jpThemeLight === String(!dark)", arg="Dark" in theme)
    first = painters.get_by_test_id("painter").first
    first.get_by_test_id("help").click()
    parts = [first.get_by_test_id("status"), first.locator(".exp-colour span").last, first.locator("dd").first]
    assert all(contrast(part) >= 4.5 for part in parts)
