"""The explorer when Python is gone or busy: saved rows where they were sent along, and words that say so."""

import json
import os
import signal
from contextlib import contextmanager

import pytest
from exploring import MAKE, ROUNDED, Kernel, assert_part, assert_same, below, cell_of, random_points, sizes
from shipped import MODELS

from exemplar_lab.benchmarks.explorer import click, drawing, shown_row
from exemplar_lab.benchmarks.lab import complaints, open_notebook, run_all, save, shut_down_kernel, write_notebook

pytestmark = pytest.mark.browser

KINDS = tuple(MODELS)
LINKS = 16
POINTS = random_points(12)


@pytest.fixture(scope="module")
def saved(fresh_page, lab):
    """A saved notebook of portable explorers, its kernel gone; {kind: what that said of POINTS in the last layer}."""
    sources = [MAKE, *(f'explore("{kind}", {LINKS})' for kind in KINDS), "answer()"]
    write_notebook(lab.root / "saved.ipynb", sources)
    with fresh_page() as page:
        open_notebook(page, lab, "saved.ipynb")
        run_all(page)
        kernel, rows = Kernel(page, lab.root, 4), {}
        for cell, kind in enumerate(KINDS, 1):
            last = len(sizes(below(page, cell))) - 1
            rows[kind] = kernel.answers(kind, [(last, "target", *point) for point in POINTS])["rows"]
        save(page)
    return rows


@pytest.fixture(scope="module")
def reopened(saved, fresh_page, lab):
    """The saved notebook, opened again, and then without any kernel."""
    with fresh_page() as page:
        reopen(page, lab)
        yield page


def reopen(page, lab) -> None:
    open_notebook(page, lab, "saved.ipynb")
    for cell, _ in enumerate(KINDS, 1):
        below(page, cell)
    shut_down_kernel(page)


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_notebook_can_be_clicked_without_a_kernel(kind, saved, reopened):
    explorer = below(reopened, 1 + KINDS.index(kind))
    *_, last = sizes(explorer)
    for (x, y), wanted in zip(POINTS, saved[kind], strict=True):
        click(explorer, "target", x / 64, y / 64)
        row = shown_row(explorer)
        assert row["cell"] == cell_of(x, y, last["target"])
        assert explorer.get_attribute("data-source") == "saved"
        assert "saved rows (no python)" in explorer.get_by_test_id("status").inner_text().lower()
        if kind == "factored":
            assert_part(row, wanted, len(wanted["index"]), step=ROUNDED)
            continue
        assert_part(row, wanted, LINKS)
        told = explorer.locator(".exl-caveat").inner_text()
        assert told == (f"{omitted:.2f} of the mass was not sent." if (omitted := row["numbers"]["omitted"]) > 0.0005 else "")


@pytest.mark.parametrize("kind", KINDS)
def test_everything_else_works_without_a_kernel_too(kind, saved, lab, page):
    reopen(page, lab)
    explorer = below(page, 1 + KINDS.index(kind))
    grids = sizes(explorer)
    click(explorer, "target", 0.3, 0.6)
    explorer.get_by_test_id("pin").click()
    if len(grids) > 1:
        with drawing(explorer):
            explorer.get_by_test_id("layer").fill("0")
        assert shown_row(explorer)["layer"] == 0
    whole = shown_row(explorer)
    with drawing(explorer):
        explorer.get_by_test_id("top-k").fill("1")
    part = shown_row(explorer)
    assert part["numbers"]["kept"] == 2 and sum(part["weight"]) == pytest.approx(sum(whole["weight"]), rel=1e-4)
    with drawing(explorer):
        explorer.get_by_test_id("temperature").fill("0.5")
    assert max(shown_row(explorer)["weight"]) <= max(part["weight"])
    with drawing(explorer):
        explorer.get_by_test_id("reverse").click()
    click(explorer, "exemplar", 0.5, 0.5)
    assert shown_row(explorer)["side"] == "exemplar" and explorer.get_attribute("data-source") == "saved"
    assert explorer.get_by_test_id("pins").locator("tbody tr").count() == 1


def test_where_it_is_not_trusted_the_picture_stands_for_it(saved, lab, page):
    notebook = json.loads((lab.root / "saved.ipynb").read_text())
    notebook["cells"][0]["source"] = "# from somebody else"
    (lab.root / "untrusted.ipynb").write_text(json.dumps(notebook))
    open_notebook(page, lab, "untrusted.ipynb")
    pictures = page.locator(".jp-OutputArea-output img")
    pictures.nth(len(KINDS) - 1).wait_for(timeout=20000)
    assert page.evaluate(
        "() => [...document.querySelectorAll('.jp-OutputArea-output img')].every((one) => one.naturalWidth > 300)"
    )
    assert page.get_by_test_id("explorer").count() == 0


@contextmanager
def stopped(process: int):
    """The process stands still, whatever it is told."""
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


def is_shown(explorer, source: str, cell: int) -> None:
    explorer.page.wait_for_function(
        """([explorer, source, cell]) => explorer.dataset.source === source && explorer.dataset.state === "ready"
            && explorer.shownRow?.cell === cell""",
        arg=[explorer.element_handle(), source, cell],
        timeout=20000,
    )


def test_while_python_does_not_answer_saved_rows_stand_in_and_the_rest_comes_later(lab, page, heard):
    write_notebook(lab.root / "busy.ipynb", [MAKE, f'explore("dense", {LINKS})', 'explore("sparse")', "answer()"])
    open_notebook(page, lab, "busy.ipynb")
    run_all(page)
    portable, live = below(page, 1), below(page, 2)
    kernel = Kernel(page, lab.root, 3)
    cell = cell_of(20.5, 30.5, sizes(portable)[0]["target"])
    pane = live.get_by_test_id("target")
    with stopped(kernel.answers("dense")["process"]):
        click(portable, "target", 20.5 / 64, 30.5 / 64)
        is_shown(portable, "saved", cell)
        assert len(shown_row(portable)["index"]) == LINKS
        size = pane.bounding_box()
        for share in (0.2, 0.7):
            pane.click(position={"x": share * size["width"], "y": 0.5 * size["height"]})
        live.get_by_test_id("status").get_by_text("Python is busy or gone").wait_for()
        assert live.get_attribute("data-state") == "waiting" and shown_row(live) is None
    is_shown(portable, "kernel", cell)
    is_shown(live, "kernel", cell_of(0.7 * 64, 32, sizes(live)[-1]["target"]))
    assert "live" in live.get_by_test_id("status").inner_text().lower()
    (wanted,) = kernel.answers("dense", [(0, "target", 20.5, 30.5)])["rows"]
    assert_same(shown_row(portable), wanted)
    shut_down_kernel(page)
    pane.click(position={"x": 0.1 * size["width"], "y": 0.1 * size["height"]})
    live.get_by_test_id("status").get_by_text("Python is busy or gone").wait_for()
    click(portable, "target", 0.8, 0.2)
    assert portable.get_attribute("data-source") == "saved"
    # ipywidgets says so for every widget whose kernel is shut down below an open page.
    assert all(said.startswith("Could not send widget sync message") for said in complaints(heard))
    heard.clear()
