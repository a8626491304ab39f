"""Every notebook is opened in JupyterLab and run from top to bottom at its committed profile, as a reader does it."""

from pathlib import Path

import pytest

from exemplar_lab.benchmarks.lab import cells, open_notebook, run_all

pytestmark = pytest.mark.browser

NAMES = sorted(path.name for path in (Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("name", NAMES)
def test_runs_from_top_to_bottom(name, lab, page):
    open_notebook(page, lab, f"notebooks/{name}")
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
    run_all(page)
    assert problems(cells(page)) == [], f"{name} did not run to its end"
    assert page.get_by_text("Error displaying widget").count() == 0
    page.wait_for_function("() => [...document.querySelectorAll('.exl')].every((one) => one.dataset.state === 'ready')")


def problems(found: list[dict]) -> list[str]:
    """A line for each code cell that raised, or has not run; a cell without code needs no count."""
    lines = []
    for number, cell in enumerate(found, 1):
        if cell["kind"] != "code" or not cell["source"].strip():
            continue
        first = cell["source"].strip().splitlines()[0]
        raised = [one for one in cell["outputs"] if one["output_type"] == "error"]
        if raised:
            lines.append(f"cell {number} ({first}): {raised[0]['ename']}: {raised[0]['evalue']}")
        elif cell["count"] is None:
            lines.append(f"cell {number} ({first}): not run")
    return lines[:1]
