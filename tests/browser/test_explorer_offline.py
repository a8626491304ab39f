"""The explorer as one HTML file: no server, no Python, and the network off."""

import xml.etree.ElementTree as ET
from functools import cache
from io import BytesIO

import pytest
from exploring import ROUNDED, assert_part, cell_of, random_points, sizes
from PIL import Image
from shipped import MODELS, explorer_of

from exemplar_lab.benchmarks.explorer import click, drawing, explorer_in, shown_row

pytestmark = pytest.mark.browser

LINKS = 24


@pytest.fixture(scope="module")
def made():
    """`made(kind)`: an explorer of a shipped model; made once."""
    return cache(explorer_of)


@pytest.fixture
def alone(browser):
    """A page without a network."""
    context, _ = browser
    context.set_offline(True)
    page = context.new_page()
    yield page
    page.close()
    context.set_offline(False)


@pytest.fixture
def heard(browser):
    """What the page says and asks for; in the end there must be no error, and nothing asked for but the file itself."""
    heard = browser[1]
    yield heard
    errors, requests = list(heard.errors), list(heard.requests)
    heard.clear()
    assert errors == []
    assert len(requests) == 1 and requests[0].startswith("file://")


@pytest.mark.parametrize("kind", MODELS)
def test_the_file_can_be_clicked(kind, made, alone, tmp_path):
    made_of = made(kind)
    file = made_of.to_html(tmp_path / "explorer.html", links=LINKS)
    alone.goto(file.as_uri())
    explorer = explorer_in(alone)
    *_, last = sizes(explorer)
    number = len(sizes(explorer)) - 1
    for x, y in random_points(20):
        click(explorer, "target", x / 64, y / 64)
        row, numbers = made_of.row((x, y), number), made_of.numbers((x, y), number)
        shown, every = shown_row(explorer), len(row.index)
        assert shown["cell"] == cell_of(x, y, last["target"])
        links = every if kind == "factored" else LINKS
        wanted = {"index": row.index.tolist(), "weight": row.weight.tolist(), "numbers": numbers}
        assert_part(shown, wanted, links, step=ROUNDED if kind == "factored" else None)
    assert explorer.get_attribute("data-source") == "saved"
    assert alone.title() == kind


def test_the_file_goes_through_layers_pins_and_figures(made, alone, tmp_path):
    alone.goto(made("sparse").to_html(tmp_path / "explorer.html").as_uri())
    explorer = explorer_in(alone)
    click(explorer, "target", 0.5, 0.4)
    explorer.get_by_test_id("pin").click()
    for layer in (0, 5):
        with drawing(explorer):
            explorer.get_by_test_id(f"layer-{layer}").click()
        assert shown_row(explorer)["layer"] == layer
    assert explorer.get_by_test_id("pins").locator("tbody tr").count() == 1
    with drawing(explorer):
        explorer.get_by_test_id("target").press("ArrowRight")
    with alone.expect_download() as saved:
        explorer.get_by_test_id("save-svg").click()
    assert ET.parse(saved.value.path()).getroot().tag.endswith("svg")


def test_in_a_dark_browser_the_file_is_dark(made, alone, tmp_path):
    alone.emulate_media(color_scheme="dark")
    alone.goto(made("dense").to_html(tmp_path / "explorer.html").as_uri())
    words = explorer_in(alone).get_by_test_id("numbers").locator("dd").first
    brightness = words.evaluate("(one) => getComputedStyle(one).color.match(/\\d+/g).slice(0, 3).map(Number)")
    assert min(brightness) > 150, brightness
    pixel = alone.screenshot(clip={"x": 2, "y": 2, "width": 1, "height": 1})
    assert max(Image.open(BytesIO(pixel)).convert("RGB").getpixel((0, 0))) < 80
