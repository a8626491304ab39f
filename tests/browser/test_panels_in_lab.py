"""The panels of sliders: what is moved in the browser changes the picture, with Python behind it and, saved, without."""

import json

import pytest

from exemplar_lab.benchmarks.lab import (
    cells,
    end_sessions,
    open_notebook,
    run_all,
    run_cell,
    save,
    shut_down_kernel,
    write_notebook,
)

pytestmark = pytest.mark.browser

MAKE = """
import hashlib, json, torch
from io import BytesIO
from PIL import Image
from exemplar_lab.training.checkpoint import find_checkpoint, read_checkpoint
from exemplar_lab.training.editing import mixture
from exemplar_lab.widgets.frames import shown_page
from exemplar_lab.widgets.mixing import border_panel, style_panel
from exemplar_lab.widgets.world import world_panel

found = read_checkpoint(find_checkpoint("msca-scenes-cpu"))
given = mixture(1, torch.linspace(0, 1, 3), found.about["config"]["size"])
model = found.build()
"""
SHA = 'hashlib.sha256(Image.open(BytesIO({})).convert("RGBA").tobytes()).hexdigest()'

SHOWN = """async ([area, wanted, before, patience]) => {
    const picture = async () => {
        const shown = [...area.querySelectorAll("img")].filter((one) => one.offsetParent && one.complete && one.naturalWidth);
        if (shown.length !== 1) return "";
        const canvas = document.createElement("canvas");
        [canvas.width, canvas.height] = [shown[0].naturalWidth, shown[0].naturalHeight];
        canvas.getContext("2d").drawImage(shown[0], 0, 0);
        const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        const digest = await crypto.subtle.digest("SHA-256", data);
        return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    };
    for (const end = performance.now() + patience;;) {
        const now = await picture();
        if (wanted ? now === wanted : now && now !== before) return now;
        if (performance.now() > end) throw new Error(`got the picture ${now}, expected ${wanted || `another than ${before}`}`);
        await new Promise(requestAnimationFrame);
    }
}"""
"""Waits for the picture that is wanted, or for another than before; gives SHA-256 of its pixels. Here, because
`wait_for_function` takes the promise of an async function for a yes."""


def area(page, cell: int):
    """The output below a cell."""
    return page.locator(".jp-CodeCell").nth(cell).locator(".jp-OutputArea").first


def move(page, cell: int, slider: int, key: str) -> None:
    area(page, cell).locator("[role=slider]").nth(slider).press(key)


def shown(page, cell: int, wanted: str = "", before: str = "") -> str:
    """The picture that the panel below a cell shows, as soon as it is the wanted one, or another than before."""
    return page.evaluate(SHOWN, [area(page, cell).element_handle(), wanted, before, 20000])


def printed(page, cell: int) -> str:
    """What the kernel says when it runs the cell, as JSON; what the browser has sent before, it has heard by then."""
    run_cell(page, cell)
    (output,) = cells(page)[cell]["outputs"]
    return json.loads(output["text"])


def followed(page, cell: int, says: int, moves: list[tuple[int, str]]) -> None:
    """Move sliders one by one: each time the browser comes to show what the kernel has, and it is new."""
    seen = [shown(page, cell)]
    for slider, key in moves:
        move(page, cell, slider, key)
        shown(page, cell, before=seen[-1])
        seen.append(printed(page, says))
        shown(page, cell, wanted=seen[-1])
    assert len(set(seen)) == len(seen)


@pytest.fixture
def frames(lab, page):
    """A notebook with the style and the border panel, run; the name of its file."""
    sources = [
        MAKE,
        "style = style_panel(model, *given)\nstyle",
        "border = border_panel(model, *given[:3], borders=(0.0, 0.5, 1.0), softness=(0.0, 1.0))\nborder",
        f"print(json.dumps({SHA.format('shown_page(style.children[3]).value')}))",
        f"print(json.dumps({SHA.format('shown_page(border.children[3]).value')}))",
    ]
    write_notebook(lab.root / "frames.ipynb", sources)
    open_notebook(page, lab, "frames.ipynb")
    run_all(page)
    return "frames.ipynb"


def test_sliders_turn_the_pages_and_python_follows(frames, page):
    followed(page, 1, 3, [(0, "ArrowRight"), (0, "Home")])
    followed(page, 2, 4, [(0, "ArrowRight"), (1, "Home"), (0, "Home")])


def test_saved_and_opened_again_the_pages_turn_without_a_kernel(frames, lab, page):
    first = shown(page, 1)
    move(page, 1, 0, "Home")
    left = shown(page, 1, before=first)
    move(page, 1, 0, "ArrowRight")
    shown(page, 1, wanted=first)
    save(page)
    end_sessions(lab)
    open_notebook(page, lab, frames)
    area(page, 1).locator("[role=slider]").wait_for(timeout=20000)  # before, the picture may be that of its fallback
    shown(page, 1, wanted=first)
    shut_down_kernel(page)
    move(page, 1, 0, "Home")
    shown(page, 1, wanted=left)


def test_where_it_is_not_trusted_the_picture_stands_for_the_panel(frames, lab, page):
    save(page)
    notebook = json.loads((lab.root / frames).read_text())
    notebook["cells"][0]["source"] = "# from somebody else"
    (lab.root / "untrusted.ipynb").write_text(json.dumps(notebook))
    end_sessions(lab)
    open_notebook(page, lab, "untrusted.ipynb")
    fallback = area(page, 1).locator("img")
    fallback.wait_for(timeout=20000)
    assert fallback.get_attribute("src").startswith("data:image/png")
    assert area(page, 1).locator("[role=slider]").count() == 0


def test_the_dials_of_the_world_draw_a_new_pair(lab, page):
    says = f"print(json.dumps({SHA.format('panel.children[2].value')}))"
    write_notebook(lab.root / "world.ipynb", [MAKE, "panel = world_panel('people', 'zoom', size=32)\npanel", says])
    open_notebook(page, lab, "world.ipynb")
    run_all(page)
    followed(page, 1, 2, [(0, "ArrowRight"), (1, "End")])
    before = shown(page, 1)
    area(page, 1).locator("select").first.select_option("scenes")
    shown(page, 1, before=before)
    shown(page, 1, wanted=printed(page, 2))
