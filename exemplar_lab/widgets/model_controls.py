"""The controls of the model panel, each with its words; what they do is in `model_panel`."""

from collections.abc import Iterable, Sequence

import ipywidgets

from exemplar_lab.data.synth.dials import DIALS, TIERS, Dials
from exemplar_lab.data.synth.world import level_name
from exemplar_lab.nn.feature_match import LAYER, TEMPERATURE
from exemplar_lab.widgets.dials import heard, slider_at

_LOOK = {"layout": {"width": "auto"}, "style": {"description_width": "92px"}}
_LAYERS = {f"relu{stage}_2": 2 ** (stage - 1) for stage in range(1, 6)}
_ROWS = {"width": "100%", "grid_gap": "2px 12px", "align_items": "center"}


def choice_controls(tasks: Sequence[tuple[str, str]], task: str, tier: str, sample: int) -> dict[str, ipywidgets.ValueWidget]:
    """What is asked of every pair, by name."""

    def whole(value: int, description: str, tooltip: str) -> ipywidgets.BoundedIntText:
        return ipywidgets.BoundedIntText(value=value, min=0, max=1999, description=description, tooltip=tooltip, **_LOOK)

    layers = [(f"{name}, a cell each {stride} px", name) for name, stride in _LAYERS.items()]
    return {
        "task": ipywidgets.Dropdown(options=tasks, value=task, description="task", tooltip="what the pair shows", **_LOOK),
        "checkpoint": ipywidgets.Dropdown(description="checkpoint", tooltip="the model that answers", **_LOOK),
        "tier": ipywidgets.Dropdown(
            options=list(TIERS), value=tier, description="tier", tooltip="where the dials stand at first", **_LOOK
        ),
        "folder": ipywidgets.Text(
            description="or a folder",
            placeholder="a run, a checkpoint, or a name",
            tooltip="any run or checkpoint folder of exemplar-lab train; press Enter",
            continuous_update=False,
            **_LOOK,
        ),
        "sample": whole(sample, "sample", "the seed of the pair: its number in the validation split"),
        "own": ipywidgets.Checkbox(
            value=True, description="its own exemplar", indent=True, tooltip="off: the exemplar of another sample", **_LOOK
        ),
        "other": whole(1, "exemplar of", "sample whose exemplar is shown instead"),
        "layer": ipywidgets.Dropdown(options=layers, value=LAYER, description="layer", tooltip="of the lab features", **_LOOK),
        "temperature": ipywidgets.FloatLogSlider(
            value=TEMPERATURE,
            min=-3,
            max=0,
            step=0.05,
            readout_format=".3f",
            description="temperature",
            tooltip="of the softmax over cosines",
            continuous_update=False,
            **_LOOK,
        ),
    }


def dial_sliders(task: str, dials: Dials) -> dict[str, ipywidgets.ValueWidget]:
    """A slider for every dial that the task hears, standing where `dials` has it."""
    return {
        name: slider_at(DIALS[name], getattr(dials, name), name.replace("_", " "), tooltip=DIALS[name].meaning, **_LOOK)
        for name in heard(task)
    }


def in_columns(children: Iterable[ipywidgets.Widget], narrowest: int) -> ipywidgets.GridBox:
    """As many equal columns as there is room for, none narrower than `narrowest` pixels."""
    columns = f"repeat(auto-fit, minmax({narrowest}px, 1fr))"
    return ipywidgets.GridBox(list(children), layout={"grid_template_columns": columns, **_ROWS})


def words_of_dials(dials: Dials, turned: Sequence[str]) -> str:
    """The dials that were turned: "zoom 2, gap edges"."""
    return ", ".join(f"{name.replace('_', ' ')} {level_name(getattr(dials, name))}" for name in turned)
