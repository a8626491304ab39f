"""The explorer with Python behind it: whatever is clicked, moved or pinned, the page shows what the kernel says."""

import json
import random
import xml.etree.ElementTree as ET

import pytest
from contrast import contrast
from exploring import MAKE, Kernel, ask, assert_same, at_rest, below, cell_of, go_to_layer, put, reaches, sizes
from shipped import MODELS

from exemplar_lab.benchmarks.explorer import drawing, latency, shown_row
from exemplar_lab.benchmarks.lab import cells, open_notebook, run_all, run_cell, write_notebook

pytestmark = pytest.mark.browser

KINDS = tuple(MODELS)
ANSWER, RESET = 5, 6
RESETS = """
for one in explorers.values():
    with one.hold_sync():
        one.side, one.point, one.layer, one.sample = "target", [32.5, 32.5], 0, 0
        one.temperature, one.top_k, one.off, one.pins = 1.0, 0, {}, []
"""


@pytest.fixture(scope="module")
def opened(fresh_page, lab):
    """A notebook with an explorer for each kind of rows, and the sparse one twice."""
    sources = [MAKE, *(f'explore("{kind}")' for kind in KINDS), 'explorers["sparse"]', "answer()", RESETS]
    write_notebook(lab.root / "explorers.ipynb", sources)
    with fresh_page() as page:
        open_notebook(page, lab, "explorers.ipynb")
        run_all(page)
        for cell in range(1, 5):
            below(page, cell)
        yield page


@pytest.fixture
def page(opened):
    """The notebook, every explorer at the query (32.5, 32.5) of its first layer."""
    run_cell(opened, RESET)
    for cell in range(1, 5):
        at_rest(below(opened, cell))
    return opened


@pytest.fixture
def kernel(page, lab):
    return Kernel(page, lab.root, ANSWER)


def of(page, kind: str):
    return below(page, 1 + KINDS.index(kind))


def random_queries(layers: int, count: int, side: str = "target", seed: int = 0) -> list[tuple]:
    """(layer, side, x, y), middles of pixels, by layer."""
    draw = random.Random(seed)
    layer_of = sorted(draw.randrange(layers) for _ in range(count))
    return [(layer, side, draw.randrange(64) + 0.5, draw.randrange(64) + 0.5) for layer in layer_of]


@pytest.mark.parametrize("kind", KINDS)
def test_a_hundred_clicks_show_the_rows_of_the_kernel(kind, page, kernel):
    explorer = of(page, kind)
    grids = sizes(explorer)
    queries = random_queries(len(grids), 100)
    shown = []
    for layer, side, x, y in queries:
        go_to_layer(explorer, layer)
        row = ask(explorer, side, x, y)
        assert (row["layer"], row["side"], row["cell"]) == (layer, side, cell_of(x, y, grids[layer][side]))
        assert explorer.get_attribute("data-source") == "kernel" and latency(explorer) > 0
        shown.append(row)
    for row, wanted in zip(shown, kernel.answers(kind, queries)["rows"], strict=True):
        assert_same(row, wanted)
    assert kernel.traits(kind)["point"] == list(queries[-1][2:])


@pytest.mark.parametrize("kind", KINDS)
def test_in_reverse_the_exemplar_tells_who_uses_it(kind, page, kernel):
    explorer = of(page, kind)
    grids = sizes(explorer)
    with drawing(explorer):
        explorer.get_by_test_id("reverse").click()
    assert explorer.get_by_test_id("reverse").get_attribute("aria-pressed") == "true"
    assert shown_row(explorer)["side"] == "exemplar"
    queries = random_queries(len(grids), 15, "exemplar")
    shown = []
    for layer, side, x, y in queries:
        go_to_layer(explorer, layer)
        shown.append(ask(explorer, side, x, y))
    for row, (layer, side, x, y), wanted in zip(shown, queries, kernel.answers(kind, queries)["rows"], strict=True):
        assert (row["side"], row["cell"]) == (side, cell_of(x, y, grids[layer][side]))
        assert_same(row, wanted)
    assert kernel.traits(kind)["side"] == "exemplar"


def test_arrow_keys_go_from_cell_to_cell_and_stop_at_the_border(page, kernel):
    explorer = of(page, "dense")
    height, width = sizes(explorer)[0]["target"]
    ask(explorer, "target", 0.5, 0.5)
    pane = explorer.get_by_test_id("target")
    active = "() => window.jupyterapp.shell.currentWidget.content.activeCellIndex"
    before = page.evaluate(active)
    for key, cell in {
        "ArrowRight": 1, "ArrowDown": width + 1, "Shift+ArrowRight": width + 5, "ArrowLeft": width + 4, "ArrowUp": 4,
        "Shift+ArrowDown": 4 * width + 4,
    }.items():  # fmt: skip
        with drawing(explorer):
            pane.press(key)
        assert shown_row(explorer)["cell"] == cell, key
    for _ in range(height):
        with drawing(explorer):
            pane.press("Shift+ArrowRight")
    assert shown_row(explorer)["cell"] == 5 * width - 1
    assert page.evaluate(active) == before, "JupyterLab went to another cell"
    x, y = kernel.traits("dense")["point"]
    assert cell_of(x, y, [height, width]) == 5 * width - 1


def test_a_drag_asks_along_its_way_and_hovering_only_when_it_follows(page, kernel):
    explorer = of(page, "sparse")
    go_to_layer(explorer, 7)
    pane = explorer.get_by_test_id("target")

    def move(x: float, y: float) -> None:
        pane.scroll_into_view_if_needed()
        box = pane.bounding_box()
        page.mouse.move(box["x"] + box["width"] * x / 64, box["y"] + box["height"] * y / 64, steps=5)

    move(10.5, 10.5)
    with drawing(explorer):
        page.mouse.down()
    before = int(explorer.get_attribute("data-seq"))
    move(50.5, 20.5)
    with drawing(explorer):
        move(52.5, 40.5)
    page.mouse.up()
    reaches(explorer, 40 * 64 + 52)
    assert int(explorer.get_attribute("data-seq")) - before >= 2
    assert kernel.traits("sparse")["point"] == pytest.approx([52.5, 40.5], abs=0.1)
    move(5.5, 5.5)
    assert shown_row(explorer)["cell"] == 40 * 64 + 52
    explorer.get_by_test_id("follow").click()
    move(30.5, 30.5)
    reaches(explorer, 30 * 64 + 30)
    (wanted,) = kernel.answers("sparse", [(7, "target", 30.5, 30.5)])["rows"]
    assert_same(shown_row(explorer), wanted)
    explorer.get_by_test_id("follow").click()


def test_pins_stay_while_layers_change(page, kernel):
    explorer = of(page, "sparse")
    go_to_layer(explorer, 7)
    pins = [(20.5, 20.5), (40.5, 33.5)]
    for x, y in pins:
        ask(explorer, "target", x, y)
        explorer.get_by_test_id("pin").click()
    table = explorer.get_by_test_id("pins").locator("tbody tr")
    assert table.count() == 2
    assert kernel.traits("sparse")["pins"] == [{"x": x, "y": y, "side": "target"} for x, y in pins]
    for layer in (5, 2):
        with drawing(explorer):
            explorer.get_by_test_id("layer").fill(str(layer))
        assert shown_row(explorer)["layer"] == layer == kernel.traits("sparse")["layer"]
        rows = kernel.answers("sparse", [(layer, "target", x, y) for x, y in pins])["rows"]
        for number, wanted in enumerate(rows):
            mass = table.nth(number).locator(".exl-col-mass")
            mass.get_by_text(f"{wanted['numbers']['mass']:.3f}", exact=True).wait_for(timeout=20000)
            assert table.nth(number).locator(".exl-col-entropy").inner_text() == f"{wanted['numbers']['entropy']:.2f}"
    with drawing(explorer):
        table.nth(0).get_by_role("button", name="pin 1: ask this again").click()
    assert shown_row(explorer)["cell"] == cell_of(20.5, 20.5, sizes(explorer)[2]["target"])
    explorer.get_by_test_id("clear-pins").click()
    assert table.count() == 0 and kernel.traits("sparse")["pins"] == []


@pytest.mark.parametrize("kind", KINDS)
def test_temperature_and_top_k_recompute_the_row(kind, page, kernel):
    explorer = of(page, kind)
    query = (0, "target", 20.5, 40.5)
    ask(explorer, *query[1:])
    for slider, value in (("temperature", -0.5), ("top-k", 2), ("temperature", 0.3)):
        put(explorer, slider, value)
        found = kernel.answers(kind, [query])
        assert_same(shown_row(explorer), found["rows"][0])
    assert found["traits"]["temperature"] == pytest.approx(10**0.3, rel=0.01) and found["traits"]["top_k"] == 3
    assert shown_row(explorer)["numbers"]["kept"] == 3 and shown_row(explorer)["numbers"]["cut"] > 0


def test_regions_are_switched_off_and_on(page, kernel):
    explorer = of(page, "factored")
    layer = len(sizes(explorer)) - 1
    go_to_layer(explorer, layer)
    query = (layer, "target", 33.5, 50.5)
    whole = ask(explorer, *query[1:])
    for off in ([0], [0, 4]):
        with drawing(explorer):
            explorer.get_by_test_id(f"region-{off[-1]}").click()
        found = kernel.answers("factored", [query])
        assert found["traits"]["off"] == {str(layer): off}
        assert_same(shown_row(explorer), found["rows"][0])
        assert explorer.get_by_test_id(f"region-{off[-1]}").get_attribute("aria-checked") == "false"
    assert shown_row(explorer)["numbers"]["mass"] < whole["numbers"]["mass"]
    with drawing(explorer):
        explorer.get_by_test_id("region-0").click()
    with drawing(explorer):
        explorer.get_by_test_id("region-4").click()
    assert shown_row(explorer)["weight"] == whole["weight"] and kernel.traits("factored")["off"] == {}


@pytest.mark.parametrize("kind", KINDS)
def test_the_overlay_is_hottest_where_the_weight_is_largest(kind, page):
    explorer = of(page, kind)
    (height, width) = sizes(explorer)[0]["exemplar"]
    for x, y in ((32.5, 32.5), (10.5, 50.5)):
        row = ask(explorer, "target", x, y)
        opacity = (
            explorer.get_by_test_id("exemplar")
            .locator("canvas.exl-heat")
            .first.evaluate(
                """(canvas) => {
                const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
                return {size: [canvas.height, canvas.width], alpha: Array.from(data).filter((_, i) => i % 4 === 3)};
            }"""
            )
        )
        assert opacity["size"] == [height, width]
        assert opacity["alpha"][row["numbers"]["argmax"]] == max(opacity["alpha"]) == 255
        known = dict(zip(row["index"], row["weight"], strict=True))
        assert all(alpha == 0 for cell, alpha in enumerate(opacity["alpha"]) if not known.get(cell))
        ranked = sorted(known, key=known.get)
        assert sorted(opacity["alpha"]) == [0] * (height * width - len(ranked)) + [opacity["alpha"][cell] for cell in ranked]


def test_what_is_shown_can_be_switched_off(page):
    explorer = of(page, "sparse")
    go_to_layer(explorer, 7)
    ask(explorer, "target", 32.5, 32.5)
    pane = explorer.get_by_test_id("exemplar")
    explorer.evaluate("(explorer) => explorer.scrollIntoView()")
    for name in ("heat", "links", "never"):
        toggle = explorer.get_by_test_id(name)
        pressed, before = toggle.get_attribute("aria-pressed"), pane.screenshot()
        toggle.click()
        assert toggle.get_attribute("aria-pressed") == {"true": "false", "false": "true"}[pressed]
        assert pane.screenshot() != before, f"{name} changes nothing that can be seen"
        toggle.click()
        assert pane.screenshot() == before, name


def test_another_sample_is_another_pair(page, kernel):
    explorer = of(page, "dense")
    first = shown_row(explorer)
    with drawing(explorer):
        explorer.get_by_test_id("sample").fill("1")
        explorer.get_by_test_id("sample").press("Enter")
    found = kernel.answers("dense", [(0, "target", 32.5, 32.5)])
    assert found["traits"]["sample"] == 1
    assert_same(shown_row(explorer), found["rows"][0])
    assert shown_row(explorer)["weight"] != first["weight"]


def test_two_views_of_one_explorer_stay_in_step(page):
    one, other = below(page, 2), below(page, 4)
    with drawing(other):
        go_to_layer(one, 6)
    with drawing(other):
        ask(one, "target", 12.5, 30.5)
    assert shown_row(other) == shown_row(one)
    with drawing(one):
        ask(other, "target", 40.5, 9.5)
    assert shown_row(other) == shown_row(one)
    other.get_by_test_id("pin").click()
    one.get_by_test_id("pins").locator("tbody tr").wait_for()


def test_the_figure_that_is_saved_holds_what_it_was_drawn_from(page):
    explorer = of(page, "sparse")
    go_to_layer(explorer, 7)
    ask(explorer, "target", 30.5, 30.5)
    explorer.get_by_test_id("pin").click()
    row = ask(explorer, "target", 33.5, 20.5)
    with page.expect_download() as saved:
        explorer.get_by_test_id("save-svg").click()
    figure = ET.parse(saved.value.path()).getroot()
    name = "{http://www.w3.org/2000/svg}"
    assert figure.tag == f"{name}svg" and len(figure.findall(f".//{name}image")) >= 2
    data = json.loads(figure.find(f"{name}metadata").text)
    assert data["index"] == row["index"] and data["weight"] == pytest.approx(row["weight"], rel=1e-6)
    assert data["query"]["cell"] == row["cell"] and [pin["point"] for pin in data["pins"]] == [[30.5, 30.5]]


def test_figure_and_table_are_copied(page, lab):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=lab.address)
    explorer = of(page, "sparse")
    ask(explorer, "target", 33.5, 20.5)
    explorer.get_by_test_id("copy-table").click()
    explorer.get_by_test_id("status").get_by_text("Table copied.").wait_for()
    header, line = page.evaluate("() => navigator.clipboard.readText()").splitlines()
    assert header.split("\t")[:2] == ["pin", "asked"] and line.split("\t")[1] == "target (33.5, 20.5)"
    explorer.get_by_test_id("copy-figure").click()
    explorer.get_by_test_id("status").get_by_text("Figure copied.").wait_for()
    kinds = page.evaluate("async () => (await navigator.clipboard.read()).flatMap((item) => item.types)")
    assert kinds == ["image/png"]


def test_everything_has_a_name_that_can_be_read_aloud(page):
    roles = ("button", "slider", "combobox", "switch", "radio", "radiogroup", "application", "spinbutton", "group", "region")
    for kind in KINDS:
        explorer = of(page, kind)
        lines = [line.strip(" -'").rstrip(":") for line in explorer.aria_snapshot().splitlines()]
        named = [line for line in lines if line.split(" ")[0] in roles]
        assert [line for line in named if '"' not in line] == [] and len(named) > 20
        pane = next(line for line in named if line.startswith('application "exemplar'))
        assert f"mass {shown_row(explorer)['numbers']['mass']:.2f}" in pane
        explorer.locator(".exl-spoken").get_by_text("mass").wait_for(state="attached")


def test_everything_can_be_reached_with_the_tab_key(page):
    explorer = of(page, "dense")
    wanted = ["target", "exemplar", "reverse", "pin", "heat", "save-svg", "layer", "temperature", "top-k", "sample"]
    wanted = [name for name in wanted if explorer.get_by_test_id(name).is_enabled()]
    explorer.get_by_test_id("reverse").focus()
    reached = []
    for _ in range(40):
        reached.append(page.evaluate("() => document.activeElement.dataset.testid"))
        page.keyboard.press("Tab")
    assert set(wanted) <= set(reached)


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_words_can_be_read_in_light_and_dark(theme, page):
    change = "(theme) => window.jupyterapp.commands.execute('apputils:change-theme', {theme})"
    page.evaluate(change, theme)
    page.wait_for_function("(dark) => document.body.dataset.jpThemeLight === String(!dark)", arg="Dark" in theme)
    try:
        for name in ("numbers", "status", "reverse", "layer-0"):
            assert contrast(of(page, "sparse").get_by_test_id(name)) >= 4.5, name
    finally:
        page.evaluate(change, "JupyterLab Light")
        page.wait_for_function("() => document.body.dataset.jpThemeLight === 'true'")


def test_what_is_saved_has_a_picture_and_stable_words(page):
    outputs = [cells(page)[cell]["outputs"][0]["data"] for cell in (1, 2, 3)]
    words = ["dense 32×32", "dense 8×8, dense 8×8, sparse 16×16", "factored 4×4"]
    for data, part in zip(outputs, words, strict=True):
        assert data["image/png"].startswith("iVBOR") and data["text/plain"].startswith(f"AttentionExplorer({part}")
        assert "application/vnd.jupyter.widget-view+json" in data
