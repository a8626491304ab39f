"""The panel of tasks, dials and checkpoints: a dial that is turned in the browser makes a new pair, its answer and its rows."""

import json
from io import BytesIO

import pytest
from exploring import ask, assert_same, below, cell_of, sizes
from PIL import Image

from exemplar_lab.benchmarks.explorer import drawing, shown_row
from exemplar_lab.benchmarks.lab import cells, open_notebook, run_all, run_cell, write_notebook

pytestmark = pytest.mark.browser

ROW = """
import json

explorer = panel.explorer
row, numbers = explorer.row(), explorer.numbers()
numbers["expected"] = list(numbers["expected"])
found = {"index": row.index.tolist(), "weight": row.weight.tolist(), "numbers": numbers}
print(json.dumps({"row": found, "words": panel.words, "problem": panel.problem, "pins": explorer.pins}))
"""

EXEMPLAR_CHANGED = "([panel, before]) => panel.querySelectorAll('figure img')[1].src !== before"


@pytest.fixture
def panel(lab, page):
    """The output with a panel of people and its checkpoint."""
    make = "from exemplar_lab.widgets.model_panel import ModelPanel\n\npanel = ModelPanel('people')\npanel"
    write_notebook(lab.root / "panel.ipynb", [make, ROW])
    open_notebook(page, lab, "panel.ipynb")
    run_all(page)
    return page.locator(".jp-CodeCell").nth(0).locator(".jp-OutputArea").first


def kernel(page) -> dict:
    run_cell(page, 1)
    (output,) = cells(page)[1]["outputs"]
    return json.loads(output["text"])


def pictures(panel) -> list[str]:
    return panel.locator("figure:not(.exl-pane) img").evaluate_all("(all) => all.map((one) => one.src)")


def test_a_dial_makes_a_new_pair_and_the_explorer_keeps_its_query(panel, page):
    explorer, before = below(page, 0), pictures(panel)
    first = ask(explorer, "target", 30.5, 30.5)
    explorer.get_by_test_id("pin").click()
    assert len(before) == 5
    zoom = panel.locator(".widget-inline-hbox", has_text="zoom").get_by_role("slider").last
    with drawing(explorer):
        zoom.press("End")
    found = kernel(page)
    assert "zoom" in found["words"] and found["problem"] == ""
    page.wait_for_function(EXEMPLAR_CHANGED, arg=[panel.element_handle(), before[1]])
    assert pictures(panel)[2] == before[2], "the target stays"
    row = shown_row(explorer)
    assert row["cell"] == first["cell"] == cell_of(30.5, 30.5, sizes(explorer)[-1]["target"])
    assert row["weight"] != first["weight"] and len(found["pins"]) == 1
    assert_same(row, found["row"])


def test_own_pictures_are_chosen_and_dropped(panel, page):
    panel.get_by_role("combobox").first.select_option("own images")
    panel.get_by_role("alert").get_by_text("no structure and no exemplar").wait_for(timeout=30000)
    with page.expect_file_chooser() as chooser:
        panel.get_by_role("button", name="choose structure").click()
    chooser.value.set_files({"name": "structure.png", "mimeType": "image/png", "buffer": a_picture("teal")})
    panel.get_by_role("alert").get_by_text("got no exemplar image").wait_for(timeout=30000)
    panel.get_by_test_id("drop").nth(1).evaluate(
        """(place, bytes) => {
            const carried = new DataTransfer();
            carried.items.add(new File([new Uint8Array(bytes)], "exemplar.png", {type: "image/png"}));
            place.dispatchEvent(new DragEvent("drop", {dataTransfer: carried, bubbles: true, cancelable: true}));
        }""",
        list(a_picture("orange")),
    )
    panel.get_by_role("alert").wait_for(state="detached", timeout=60000)
    assert "structure.png and exemplar.png" in kernel(page)["words"]


def a_picture(colour: str) -> bytes:
    file = BytesIO()
    picture = Image.radial_gradient("L").resize((80, 96))
    Image.composite(Image.new("RGB", picture.size, colour), Image.new("RGB", picture.size, "white"), picture).save(file, "PNG")
    return file.getvalue()
