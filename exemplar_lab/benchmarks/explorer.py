"""The attention explorer in a real browser: how it is driven, and how long a click takes to become a row over the picture."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

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
