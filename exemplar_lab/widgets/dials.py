"""Sliders for the dials of the procedural world."""

from typing import Any

import ipywidgets

from exemplar_lab.data.synth.dials import DIALS, Dial
from exemplar_lab.data.synth.world import level_name

AS_DRAWN = "as drawn"
"""What a slider says of a dial that is left to the draw."""


def heard(task: str) -> list[str]:
    """The dials that a task listens to; none for what is no task of the procedural world."""
    return [name for name, dial in DIALS.items() if task in dial.tasks]


def dial_slider(dial: Dial, description: str = "value", **look: Any) -> ipywidgets.ValueWidget:
    """A slider over the range of a dial, standing at the first of its levels; `dial_value` says what its value means."""
    if dial.kind in ("counts", "choice"):
        options = [(str(level), level) for level in dial.levels]
        return ipywidgets.SelectionSlider(options=options, description=description, **look)
    first = dial.levels[0][0] if dial.kind == "range" else dial.levels[0]
    kind, step = (ipywidgets.IntSlider, {}) if dial.kind == "whole" else (ipywidgets.FloatSlider, {"step": 0.01})
    bounds = {"min": dial.low, "max": dial.high}
    return kind(value=first, description=description, continuous_update=False, **bounds, **step, **look)


def slider_at(dial: Dial, value: Any, description: str, **look: Any) -> ipywidgets.ValueWidget:
    """A slider that stands at `value`; it has stops where a dial may also be left to the draw."""
    if dial.kind not in ("chance", "counts", "choice"):
        slider = dial_slider(dial, description, **look)
        put(slider, dial, value)
        return slider
    levels = [step / 20 for step in range(21)] if dial.kind == "chance" else list(dial.levels)
    levels = levels if value in levels else [value, *levels]
    options = [(AS_DRAWN if level in (None, (0, 0)) else level_name(level), _never_none(level)) for level in levels]
    look["continuous_update"] = False
    return ipywidgets.SelectionSlider(options=options, value=_never_none(value), description=description, **look)


def put(slider: ipywidgets.ValueWidget, dial: Dial, value: Any) -> None:
    """Move a slider to `value`; a range is shown at its middle, of sizes at the geometric one."""
    if dial.kind == "range":
        low, high = value
        value = (low * high) ** 0.5 if dial.low > 0 else (low + high) / 2
    slider.value = _never_none(value)


def dial_value(dial: Dial, given: Any) -> Any:
    """What a dial is set to where its slider says `given`."""
    if given == AS_DRAWN:
        return None
    return (given, given) if dial.kind == "range" else given


def _never_none(value: Any) -> Any:
    """A slider with stops takes None for no value at all."""
    return AS_DRAWN if value is None else value
