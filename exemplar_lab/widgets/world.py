"""Turn the dials of the procedural world and watch the pair and its truth change."""

from dataclasses import replace

import ipywidgets
import torch

from exemplar_lab.data.synth.dials import DIALS, TIERS
from exemplar_lab.data.synth.world import TASKS, structure_picture
from exemplar_lab.translation import Batch, Source
from exemplar_lab.viz.world import count_picture, true_warp
from exemplar_lab.widgets.dials import dial_slider, dial_value, heard
from exemplar_lab.widgets.frames import captions, row_png

CAPTIONS = ("structure", "exemplar", "target", "by the true flow", "exemplar pixels needed")


def world_panel(
    task: str = "people", dial: str = "zoom", size: int = 128, tier: str = "easy", index: int = 0
) -> ipywidgets.VBox:
    """A menu of tasks and dials, a slider for the value, a slider for the sample, and the pair, drawn anew at each change.

    The five pictures are those of CAPTIONS, from samples of the split "val". All dials but the one in hand stay where `tier`
    has them. The panel's `children` are, in order, the row of controls, a line of words and the picture.
    """
    tasks = ipywidgets.Dropdown(options=list(TASKS), value=task, description="task")
    dials = ipywidgets.Dropdown(options=heard(task), value=dial, description="dial")
    sample = ipywidgets.IntSlider(value=index, min=0, max=TASKS[task](split="val").length - 1, description="sample")
    words, picture = ipywidgets.HTML(), ipywidgets.Image(format="png", width=5 * max(size, 160))
    place = ipywidgets.HBox()
    controls = ipywidgets.VBox([ipywidgets.HBox([tasks, dials]), ipywidgets.HBox([sample, place])])

    def draw(_=None) -> None:
        value = dial_value(DIALS[dials.value], place.children[0].value)
        try:
            source = TASKS[tasks.value](size, "val", replace(TIERS[tier], **{dials.value: value}))
            picture.value = pair_png(source.batch(torch.tensor([sample.value])), source)
            words.value = f"<b>{DIALS[dials.value].meaning}</b>: {DIALS[dials.value].claims}" + captions(
                CAPTIONS, int(picture.width)
            )
        except ValueError as problem:  # the slider stands where the task cannot follow: say so and keep the last picture
            words.value = f"<b>{problem}</b>"

    def new_dial(_=None) -> None:
        place.children = (dial_slider(DIALS[dials.value]),)
        place.children[0].observe(draw, "value")
        draw()

    def new_task(_) -> None:
        before = dials.value
        dials.options = heard(tasks.value)  # the first of them is chosen, and drawn unless it was chosen before
        if dials.value == before:
            draw()

    tasks.observe(new_task, "value")
    dials.observe(new_dial, "value")
    sample.observe(draw, "value")
    new_dial()
    return ipywidgets.VBox([controls, words, picture])


def pair_png(batch: Batch, source: Source) -> bytes:
    """The five pictures of the first sample, side by side, as a PNG file."""
    structure = structure_picture(source, batch)
    shown = (structure, batch.exemplar, batch.target, true_warp(batch), count_picture(batch.truth))
    return row_png([one[0] for one in shown])
