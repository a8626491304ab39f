"""Notebooks with explorers in them, and what their kernel says of the rows that the browser shows."""

import json
import random
from math import floor
from pathlib import Path

import pytest

from exemplar_lab.benchmarks.explorer import click, drawing, explorer_in, shown_row
from exemplar_lab.benchmarks.lab import cells, problem, run_cell

MAKE = """
import json
import os
import sys
from pathlib import Path

sys.path.append("{here}")
from shipped import explorer_of

explorers = {}


def explore(kind, links=0):
    explorers[kind] = explorer_of(kind, links)
    return explorers[kind]


def in_words(found):
    return {**found, "expected": found["expected"] and list(found["expected"])}


def answer():
    asked = json.loads(Path("asked.json").read_text())
    explorer = explorers[asked["kind"]]
    rows = []
    for layer, side, x, y in asked["queries"]:
        row = explorer.row((x, y), layer, side)
        numbers = in_words(explorer.numbers((x, y), layer, side))
        rows.append({"index": row.index.tolist(), "weight": row.weight.tolist(), "numbers": numbers})
    traits = ("point", "side", "layer", "temperature", "top_k", "off", "pins", "sample")
    state = {name: getattr(explorer, name) for name in traits}
    Path("answered.json").write_text(json.dumps({"rows": rows, "traits": state, "process": os.getpid()}))
""".replace("{here}", str(Path(__file__).parent))


ROUNDED = 1e-5
"""What 16 bits leave of the factors of the last layer here, whose weights are about 1e-3."""


class Kernel:
    """The kernel behind an open notebook, whose cell `cell` says `answer()`."""

    def __init__(self, page, folder, cell: int):
        self.page, self.folder, self.cell = page, folder, cell

    def answers(self, kind: str, queries=()) -> dict:
        """{"rows": one for each (layer, side, x, y) as the explorer has it now, "traits": its state, "process": a number}."""
        (self.folder / "asked.json").write_text(json.dumps({"kind": kind, "queries": list(queries)}))
        run_cell(self.page, self.cell)
        assert problem([cells(self.page)[self.cell]]) == ""
        return json.loads((self.folder / "answered.json").read_text())

    def traits(self, kind: str) -> dict:
        return self.answers(kind)["traits"]


def below(page, cell: int):
    """The explorer in the output of a cell."""
    return explorer_in(page.locator(".jp-CodeCell").nth(cell))


def sizes(explorer) -> list[dict]:
    """Of each layer its grids, {"target": [h, w], "exemplar": [h, w]}, as the titles of the cards say them."""
    titles = explorer.locator(".exl-card").evaluate_all("(cards) => cards.map((card) => card.title)")
    words = [title.split(": ", 1)[1].partition(" cells look at ") for title in titles]
    grids = [[part.split(". Left")[0].split()[-1].split("×")[-2:] for part in (first, last)] for first, _, last in words]
    return [{"target": list(map(int, first)), "exemplar": list(map(int, last))} for first, last in grids]


def cell_of(x: float, y: float, grid: list[int], size: int = 64) -> int:
    """The cell that holds (x, y), pixels of a picture of size × size."""
    return floor(y * grid[0] / size) * grid[1] + floor(x * grid[1] / size)


def at_rest(explorer) -> None:
    """Wait until the page has heard what RESETS has said."""
    cell = cell_of(32.5, 32.5, sizes(explorer)[0]["target"])
    explorer.page.wait_for_function(
        """([explorer, cell]) => {
            const row = explorer.shownRow;
            return explorer.dataset.state === "ready" && row?.cell === cell && row.layer === 0 && row.side === "target"
                && explorer.querySelectorAll("[data-testid=pins] tbody tr").length === 0;
        }""",
        arg=[explorer.element_handle(), cell],
        timeout=20000,
    )


def go_to_layer(explorer, layer: int) -> None:
    if explorer.get_by_test_id(f"layer-{layer}").count() and shown_row(explorer)["layer"] != layer:
        with drawing(explorer):
            explorer.get_by_test_id(f"layer-{layer}").click()


def ask(explorer, side: str, x: float, y: float) -> dict:
    """Click at (x, y) in pixels of the picture; the row that is then shown."""
    click(explorer, side, x / 64, y / 64)
    return shown_row(explorer)


def reaches(explorer, cell: int) -> None:
    """Wait until the row of a cell is shown and no other one is on its way."""
    explorer.page.wait_for_function(
        "([explorer, cell]) => explorer.shownRow?.cell === cell && explorer.dataset.state === 'ready'",
        arg=[explorer.element_handle(), cell],
        timeout=20000,
    )


def put(explorer, slider: str, value: float) -> None:
    """Move a slider to a value."""
    with drawing(explorer):
        explorer.get_by_test_id(slider).fill(str(value))


def assert_same(shown: dict, wanted: dict, weight: float = 1e-6) -> None:
    """What the page shows is what the kernel says. weight: how far a weight may be off, absolutely."""
    assert shown["index"] == wanted["index"]
    assert shown["weight"] == pytest.approx(wanted["weight"], rel=1e-5, abs=weight)
    found, expected = shown["numbers"], wanted["numbers"]
    for name in ("kept", "pruned", "never", "argmax", "label"):
        assert found[name] == expected[name], name
    for name in ("mass", "entropy", "distance", "cut", "expected", "shares"):
        assert found[name] == (expected[name] and pytest.approx(expected[name], rel=1e-3, abs=1e-3)), name


def assert_part(shown: dict, wanted: dict, links: int, step: float | None = None) -> None:
    """What a page shows of a row that was sent along: its largest links, and how much is left out.

    step: how far a weight may be off; None is what 16 bits leave of the row's largest. Of a factored layer it is ROUNDED.
    """
    row = dict(zip(wanted["index"], wanted["weight"], strict=True))
    step = step or max(row.values()) / 65535 + 1e-8
    best = sorted(row.values(), reverse=True)[:links]
    assert len(set(shown["index"])) == len(shown["index"]) == len(best)
    assert [row[index] for index in shown["index"]] == pytest.approx(shown["weight"], abs=step)
    assert sorted(shown["weight"], reverse=True) == pytest.approx(best, abs=step)
    found, expected = shown["numbers"], wanted["numbers"]
    assert found["omitted"] == pytest.approx(expected["mass"] - sum(best), abs=links * step)
    for name in ("kept", "pruned", "never", "label"):
        assert found[name] == expected[name], name
    for name in ("mass", "entropy"):
        assert found[name] == pytest.approx(expected[name], rel=1e-2, abs=1e-3), name
    assert row[found["argmax"]] == pytest.approx(max(row.values()), abs=step)


def random_points(count: int, seed: int = 0) -> list[tuple[float, float]]:
    """Middles of pixels of a picture of 64 × 64."""
    draw = random.Random(seed)
    return [(draw.randrange(64) + 0.5, draw.randrange(64) + 0.5) for _ in range(count)]
