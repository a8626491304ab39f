"""The panel of one's own files in the browser: a chosen file is shown, by words too, and the button writes what is shown."""

import json

import pytest

from exemplar_lab.benchmarks.lab import open_notebook, run_all, write_notebook

pytestmark = pytest.mark.browser

MAKE = """
from pathlib import Path
import torch
from exemplar_lab.data.images import write_image
from exemplar_lab.data.pose import pose_rgb
from exemplar_lab.data.synth.people import People
from exemplar_lab.widgets.own_files import OwnFiles

batch = People(256, "val", "easy").batch(torch.arange(2))
for number in (0, 1):
    write_image(f"own/pose{number}.png", pose_rgb(batch.condition)[number])
write_image("own/me.png", batch.exemplar[0])
panel = OwnFiles("own/pose0.png", "own/me.png")
panel.folder.value = "own/out"
"""


def test_a_chosen_file_is_shown_and_saved(lab, page):
    write_notebook(lab.root / "own.ipynb", [MAKE, "panel"])
    open_notebook(page, lab, "own.ipynb")
    run_all(page)
    area = page.locator(".jp-CodeCell").nth(1).locator(".jp-OutputArea").first
    picture = area.get_by_alt_text("the exemplar as each of 8 layers carried it")
    picture.wait_for()
    before = picture.get_attribute("src")
    with page.expect_file_chooser() as chooser:
        area.locator("button", has_text="choose condition").click()
    chooser.value.set_files(lab.root / "own" / "pose1.png")
    page.wait_for_function("([one, old]) => !one.isConnected || one.src !== old", arg=[picture.element_handle(), before])
    area.get_by_role("button", name="save").click()
    area.get_by_role("status").filter(has_text="warp-8.png").wait_for(timeout=30000)
    account = json.loads((lab.root / "own" / "out" / "translation.json").read_text())
    assert account["given"]["condition"] == "pose1.png"
    assert (lab.root / "own" / "out" / "explorer.html").is_file()
