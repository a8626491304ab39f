"""Every notebook is opened in JupyterLab and run from top to bottom at its committed profile, as a reader does it."""

from pathlib import Path

import pytest

from exemplar_lab.benchmarks.lab import cells, open_notebook, problem, run_all

pytestmark = pytest.mark.browser

NAMES = sorted(path.name for path in (Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("name", NAMES)
def test_runs_from_top_to_bottom(name, lab, page):
    open_notebook(page, lab, f"notebooks/{name}")
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
    run_all(page)
    found = cells(page)
    assert problem(found) == "", f"{name} did not run to its end"
    assert page.get_by_text("Error displaying widget").count() == 0
    if wanted := explorers(found):
        page.locator(".exl[data-state=ready]").nth(wanted - 1).wait_for()
    assert page.locator(".exl").count() == page.locator(".exl[data-state=ready]").count() == wanted


def explorers(found: list[dict]) -> int:
    """How many explorers the outputs promise: those that stand alone, and the one in each ModelPanel."""
    words = ["".join(output.get("data", {}).get("text/plain", "")) for cell in found for output in cell["outputs"]]
    return sum(one.startswith(("AttentionExplorer(", "ModelPanel:")) for one in words)
