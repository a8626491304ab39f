"""The attention explorer in a real browser: how it is driven, and how long a click takes to become a row over the picture."""

import os
import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from exemplar_lab.benchmarks.browser import browse
from exemplar_lab.benchmarks.lab import cells, end_sessions, open_notebook, problem, run_all, serve, write_notebook

CASES = {
    "dense 64²": ("DenseMatch((64, 64), (64, 64), torch.softmax(4 * torch.randn(1, 4096, 4096), -1))", 60),
    "sparse 64²": ("sparse(64)", 60),
    "sparse 256²": ("sparse(256)", 100),
}
"""What is clicked, as the kernel makes it, and the milliseconds that half of the clicks should stay below."""

_MAKE = """
import torch

from exemplar_lab.correspondence import DenseMatch, SparseMatch
from exemplar_lab.widgets.explorer import AttentionExplorer


def sparse(side):
    \"\"\"20 candidates for each position, of which up to 4 get no weight.\"\"\"
    weight = torch.rand(1, side**2, 20)
    weight[..., 16:] *= torch.rand(1, side**2, 4) > 0.5
    return SparseMatch((side, side), (side, side), torch.randint(side**2, weight.shape), weight / weight.sum(-1, keepdim=True))


torch.manual_seed(0)
pictures = torch.rand(2, 3, 16, 16).repeat_interleave(16, 2).repeat_interleave(16, 3)
explorer = AttentionExplorer({match}, *pictures)
explorer.to_html("portable.html")
explorer
"""

Place = Any
"""A page of playwright's, or a part of one."""

_DRAWN = """([explorer, before]) => Number(explorer.dataset.seq) > before && explorer.dataset.state === "ready" """

_ROW = """(explorer) => {
    const row = explorer.shownRow;
    return row && {...row, index: Array.from(row.index), weight: Array.from(row.weight)};
}"""


def explorer_in(place: Place, patience: float = 60.0) -> Place:
    """The first explorer that a place shows, as soon as it has drawn a row."""
    place.locator(".exl[data-state=ready]").first.wait_for(timeout=1e3 * patience)
    return place.get_by_test_id("explorer").first


def click(explorer: Place, side: str, x: float, y: float) -> None:
    """Click the picture of a side at (x, y), in shares of its width and height, and wait until that row is drawn."""
    pane = explorer.get_by_test_id(side)
    size = pane.bounding_box()
    with drawing(explorer):
        pane.click(position={"x": x * size["width"], "y": y * size["height"]})


@contextmanager
def drawing(explorer: Place, patience: float = 20.0) -> Iterator[None]:
    """Wait at the end until a row has been drawn since the beginning, and none is on its way."""
    before = int(explorer.get_attribute("data-seq"))
    yield
    explorer.page.wait_for_function(_DRAWN, arg=[explorer.element_handle(), before], timeout=1e3 * patience)


def shown_row(explorer: Place) -> dict[str, Any] | None:
    """What is drawn: {"layer", "side", "cell", "index", "weight", "numbers"}; None while no row is."""
    return explorer.evaluate(_ROW)


def latency(explorer: Place) -> float:
    """Milliseconds from the last click, as the browser dates it, to the end of the drawing of its row."""
    return float(explorer.get_attribute("data-latency-ms"))


def report(_device: str = "cpu", clicks: int = 100) -> dict[str, Any]:
    """{"cores", "browser", "clicks", "cases": {case: {mode: {"median_ms", "p95_ms", "worst_ms", "goal_ms"}}}}.

    From a click to the end of the drawing of its row, at random places of a picture. mode: `live` asks a kernel behind
    JupyterLab on this machine, `portable` is one HTML file with 32 links of each position. The matches lie on the CPU.
    Raises FileNotFoundError where there is no Chromium, or no playwright.
    """
    browser, found = times(clicks)
    return {
        "cores": os.cpu_count(),
        "browser": browser,
        "clicks": clicks,
        "cases": {case: {mode: _summary(some, CASES[case][1]) for mode, some in of.items()} for case, of in found.items()},
    }


def times(clicks: int) -> tuple[str, dict[str, dict[str, list[float]]]]:
    """(name of the browser, {case: {mode: the milliseconds of each click}})."""
    found: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as folder, browse() as (browser, _), serve(Path(folder)) as lab:
        page = browser.pages[0]
        for case, (match, _) in CASES.items():
            write_notebook(lab.root / "clicked.ipynb", [_MAKE.replace("{match}", match)])
            open_notebook(page, lab, "clicked.ipynb")
            run_all(page)
            if words := problem(cells(page)):
                raise RuntimeError(f"the notebook that is clicked failed: {words}")
            live = clicked(explorer_in(page), clicks)
            end_sessions(lab)
            page.goto((lab.root / "portable.html").as_uri())
            found[case] = {"live": live, "portable": clicked(explorer_in(page), clicks)}
        name = page.evaluate("() => navigator.userAgent.match(/[A-Za-z]*Chrome[^ ]*/)[0]")
    return name, found


def clicked(explorer: Place, clicks: int) -> list[float]:
    """Milliseconds of as many clicks on the target, at random places; the first, which is not counted, warms up."""
    draw = random.Random(0)
    found = []
    for _ in range(clicks + 1):
        click(explorer, "target", draw.uniform(0.01, 0.99), draw.uniform(0.01, 0.99))
        found.append(latency(explorer))
    return found[1:]


def _summary(some: list[float], goal: int) -> dict[str, float]:
    return {
        "median_ms": round(median(some), 1),
        "p95_ms": round(quantiles(some, n=20, method="inclusive")[-1], 1),
        "worst_ms": round(max(some), 1),
        "goal_ms": goal,
    }
