"""Choose a task, its dials, a pair and a model, and see at once what the model makes of it, and where every pixel came from."""

import base64
import html
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import ipywidgets
import torch
from torch import Tensor

from exemplar_lab.data.synth.dials import DIALS, GAPS, TIERS, Dials
from exemplar_lab.data.synth.world import LABELS, TASKS
from exemplar_lab.nn.feature_match import answer_by_features
from exemplar_lab.nn.features import features
from exemplar_lab.training.catalogue import PLAIN, Described, answer_of, checkpoint_folders, describe, reads
from exemplar_lab.training.evaluation import Answer
from exemplar_lab.training.own_pair import LAB, check_plain, own_batch
from exemplar_lab.training.shown_pair import (
    PAIR_TASKS,
    ShownPair,
    check_fits,
    pair_numbers,
    pair_source,
    plain_structure,
    shown_pair,
)
from exemplar_lab.translation import Batch, Source, Translation
from exemplar_lab.widgets.dials import dial_value, put
from exemplar_lab.widgets.explorer import AttentionExplorer
from exemplar_lab.widgets.frames import Panel, alert, row_png
from exemplar_lab.widgets.model_controls import choice_controls, dial_sliders, in_columns, words_of_dials
from exemplar_lab.widgets.own_images import Upload

OWN = "own images"
_WIDTH = 800
_WIDEST = 960
_KEPT_MODELS = 4


class ModelPanel(Panel):
    """`ModelPanel("people")`: menus and sliders, the pictures of one pair and of the answer, and an `AttentionExplorer` below
    that keeps its query and its pins while a dial turns.

    task: one of `shown_pair.PAIR_TASKS`, or "own images", which takes two pictures. checkpoint: one that is shipped, a run or
    checkpoint folder, or "lab features", which match any two images without a model; by default the first that was trained on
    the task. runs: a folder of runs that shall be in the menu too. size: of the images where no model says its own.
    explore: False leaves the explorer out.

    `controls`, `dials` (sliders of the task, by name) and `uploads` are the widgets; `batch`, `translation` and `numbers` what
    is shown. What cannot be done is said in a sentence, `problem`, while the last picture stays. Raises ValueError or
    FileNotFoundError for arguments that cannot be shown at all.
    """

    def __init__(
        self,
        task: str = "people",
        checkpoint: str | Path | None = None,
        tier: str = "easy",
        sample: int = 0,
        runs: str | Path | None = None,
        size: int = 64,
        explore: bool = True,
    ):
        tasks = [*PAIR_TASKS, OWN]
        for what, got, known in (("task", task, tasks), ("tier", tier, TIERS)):
            if got not in known:
                raise ValueError(f"got the {what} {got!r}, expected one of {', '.join(known)}")
        self._folders, self._unasked = checkpoint_folders(runs), set(checkpoint_folders())
        self._size, self._explore = size, explore
        self._answers: OrderedDict[tuple[Path, int], Answer] = OrderedDict()
        self._turned: list[str] = []
        self._quiet = False
        self.batch: Batch | None = None
        self.translation: Translation | None = None
        self.numbers: dict[str, float] = {}
        self.problem = ""
        self.explorer: AttentionExplorer | None = None

        self.controls = choice_controls([(name, name) for name in tasks], task, tier, sample)
        self.dials: dict[str, ipywidgets.ValueWidget] = {}
        self.uploads = {name: Upload(f"{name} image", self._draw) for name in ("structure", "exemplar")}
        self._reset = ipywidgets.Button(description="dials as the tier has them", layout={"width": "auto"})
        self._status, self._shown = ipywidgets.HTML(), ipywidgets.HTML()
        self._png = row_png([torch.full((3, 16, 16), 0.9)], _WIDTH // 5)
        self._choices, self._below, self._place = (ipywidgets.VBox() for _ in range(3))
        children = [self._choices, self._below, self._status, self._shown, self._place]
        super().__init__(children, f"ModelPanel: {task}, nothing to show yet", lambda: self._png)
        self.add_class("exl-panel")

        if checkpoint is not None:
            checkpoint = self._learn(str(checkpoint))
        self._show_task(checkpoint)
        if self._value("sample") != sample:
            raise ValueError(f"got sample {sample}, expected 0 … {self.controls['sample'].max}")
        reactions = dict.fromkeys(self.controls, self._draw) | {
            "task": self._new_task,
            "tier": self._new_tier,
            "folder": self._new_folder,
            "own": self._new_own,
            "checkpoint": self._new_checkpoint,
        }
        for name, reaction in reactions.items():
            self.controls[name].observe(reaction, "value")
        self._reset.on_click(self._new_tier)
        self._draw()
        if self.problem and task != OWN:
            raise ValueError(self.problem)

    def _value(self, name: str):
        return self.controls[name].value

    def _learn(self, where: str) -> str:
        """The name under which a checkpoint stands in the menu, after it was put there. Raises as `describe` does."""
        if where != LAB and where not in self._folders:
            folder = describe(where).folder
            self._folders[where] = Path(where) if Path(where).is_dir() else folder  # a run goes on, and has a newer one then
        self._unasked -= {where}
        return where

    def _menu(self, source: Source | None) -> list[tuple[str, str]]:
        """(words, name) of the checkpoints that may answer: those that were trained on the task, those that can answer it,
        those for which the dial gap must be turned, and those that will say why they cannot."""
        kind = type(source).__name__
        gaps = dict.fromkeys(PLAIN, "structure")
        if source is not None:
            gaps = {reads(kind, replace(Dials(), gap=gap)): gap for gap in reversed(GAPS)}
        found = [(2 if source else 0, f"{LAB} (no model: they see the target)" if source else f"{LAB} (no model)", LAB)]
        for name, folder in self._folders.items():
            try:
                one = describe(folder, name)
            except (ValueError, OSError):
                found.append((5, f"{name} (cannot be read)", name))
                continue
            if gaps.get(one.reads) == "structure":
                found.append((one.source != kind, name, name))
            elif one.reads in gaps:
                found.append((3, f"{name} (dial gap: {gaps[one.reads]})", name))
            elif source is None or name not in self._unasked:
                found.append((4, f"{name} (reads {one.reads})", name))
        return [(words, name) for _, words, name in sorted(found)]

    def _show_task(self, checkpoint: str | None = None) -> None:
        """Menus and sliders of the task, without drawing."""
        task, controls = self._value("task"), self.controls
        source = None if task == OWN else pair_source(task, self._size)
        menu = self._menu(source)
        self._quiet = True
        if source is not None:
            for name in ("sample", "other"):
                controls[name].max = source.length - 1
        controls["checkpoint"].options = menu
        controls["checkpoint"].value = checkpoint or menu[0][1]
        self.dials = dial_sliders(task, TIERS[self._value("tier")])
        for name, slider in self.dials.items():
            slider.observe(partial(self._new_dial, name), "value")
        self._turned = []
        sliders = [in_columns([*self.dials.values(), self._reset], 250)] if self.dials else []
        self._below.children = [in_columns(self.uploads.values(), 250)] if source is None else sliders
        self._source, self._quiet = source, False
        self._arrange()

    def _arrange(self) -> None:
        """Only the controls that mean something now."""
        task, shown = self._value("task"), ["task", "checkpoint"]
        shown += ["tier"] * (task in TASKS) + ["folder"]
        shown += [] if task == OWN else ["sample", "own"] + ["other"] * (not self._value("own"))
        shown += ["layer", "temperature"] * (self._value("checkpoint") == LAB)
        self._choices.children = [in_columns([self.controls[name] for name in shown], 330)]

    def _new_task(self, _) -> None:
        try:
            self._show_task()
        except (ValueError, OSError) as problem:  # no photographs on this machine
            self._say(str(problem))
            return
        self._draw()

    def _new_tier(self, _) -> None:
        self._quiet = True
        for name, slider in self.dials.items():
            put(slider, DIALS[name], getattr(TIERS[self._value("tier")], name))
            slider.description = name.replace("_", " ")
        self._turned, self._quiet = [], False
        self._draw()

    def _new_dial(self, name: str, _) -> None:
        if not self._quiet:
            self._turned += [name] * (name not in self._turned)
            self.dials[name].description = f"● {name.replace('_', ' ')}"
            self._draw()

    def _new_own(self, _) -> None:
        self._arrange()
        self._draw()

    def _new_checkpoint(self, _) -> None:
        if not self._quiet:
            self._arrange()
            self._draw()

    def _new_folder(self, change) -> None:
        where = change["new"].strip()
        if not where:
            return
        try:
            name = self._learn(where)
        except (ValueError, OSError) as problem:
            self._say(str(problem))
            return
        self._quiet = True
        self.controls["checkpoint"].options = self._menu(self._source)
        self.controls["checkpoint"].value = name
        self._quiet = False
        self._new_checkpoint(None)

    def _dials(self) -> Dials:
        """The tier, and the dials that were turned."""
        turned = {name: dial_value(DIALS[name], self.dials[name].value) for name in self._turned}
        return replace(TIERS[self._value("tier")], **turned)

    def _draw(self, _=None) -> None:
        """Show what the controls say; where that cannot be, say why and leave the last picture."""
        if self._quiet:
            return
        try:
            chosen = self._chosen()
            pair = self._pair(chosen)
            translation = self._answer(chosen)(pair.batch)
        except (ValueError, OSError) as problem:
            self._say(str(problem))
            return
        self._say("")
        self.batch, self.translation = pair.batch, translation
        self.numbers = pair_numbers(translation, pair)
        task = self._value("task")
        target = ("your structure image" if task == OWN else "target", pair.batch.target)
        if pair.right is not None and pair.right is not pair.batch.target:
            target = ("true painting", pair.right)
        shown = {"structure": pair.structure, "exemplar": pair.batch.exemplar, target[0]: target[1]}
        shown |= {"output": translation.image, "last warp": translation.warps[-1]}
        self._png = row_png([one[0] for one in shown.values()], _WIDTH)
        self.words = self._title()
        self._shown.value = _pictures(shown) + f"<div>{_in_words(self.numbers, pair)}</div>"
        if self._explore:
            about = {"title": self.words.removeprefix("ModelPanel: "), "label_names": LABELS.get(task, ())}
            self._explorer(translation, pair.batch, about)

    def _explorer(self, translation: Translation, batch: Batch, about: dict) -> None:
        if self.explorer is None:
            self.explorer = AttentionExplorer(translation, batch, **about)
            self._place.children = [self.explorer]
        else:
            self.explorer.show(translation, batch, **about)

    def _chosen(self) -> Described | None:
        name = self._value("checkpoint")
        return None if name == LAB else describe(self._folders[name], name)

    def _pair(self, chosen: Described | None) -> ShownPair:
        task, size = self._value("task"), self._size if chosen is None else chosen.size
        if task != OWN:
            source = pair_source(task, size, self._dials())
            if chosen is not None:
                check_fits(chosen, source)
            return shown_pair(source, self._value("sample"), None if self._value("own") else self._value("other"))
        if chosen is not None:
            check_plain(chosen)
        pictures = {name: upload.picture(size) for name, upload in self.uploads.items()}
        if missing := [name for name, picture in pictures.items() if picture is None]:
            raise ValueError(
                f"got no {' and no '.join(missing)} image, expected two pictures: choose them with the buttons, or drop them"
            )
        batch = own_batch(pictures["structure"], pictures["exemplar"], chosen)
        return ShownPair(batch, plain_structure(batch), None)

    def _answer(self, chosen: Described | None) -> Answer:
        """The last few models are kept; one that was written anew since is read again."""
        if chosen is None:
            return answer_by_features(_lab(), self._value("layer"), self._value("temperature"))
        key = chosen.folder, (chosen.folder / "checkpoint.json").stat().st_mtime_ns
        if key not in self._answers:
            self._status.value = f"<p>reading {html.escape(chosen.name)} …</p>"
            self._answers[key] = answer_of(chosen)
        self._answers.move_to_end(key)
        while len(self._answers) > _KEPT_MODELS:
            self._answers.popitem(last=False)
        return self._answers[key]

    def _title(self) -> str:
        """What is shown, in words that are the same each time."""
        task, own = self._value("task"), self._value("own")
        parts = [task]
        if task == OWN:
            parts += [" and ".join(str(upload.button.value[0]["name"]) for upload in self.uploads.values())]
        else:
            parts += [f"tier {self._value('tier')}"] * (task in TASKS)
            parts += [words_of_dials(self._dials(), self._turned)] * bool(self._turned)
            parts += [f"sample {self._value('sample')}"]
            parts += [] if own else [f"exemplar of sample {self._value('other')}"]
        answered = self._value("checkpoint")
        answered += f" {self._value('layer')}, temperature {self._value('temperature'):.3g}" if answered == LAB else ""
        return f"ModelPanel: {', '.join([*parts, answered])}"

    def _say(self, problem: str) -> None:
        self.problem = problem
        kept = " The pictures below are the last that could be made." if self.batch is not None else ""
        self._status.value = alert(f"{problem}.{kept}") if problem else ""


def _pictures(shown: Mapping[str, Tensor]) -> str:
    """Pictures side by side, each with its name for those who see it and for those who do not."""
    figures = []
    for name, picture in shown.items():
        source = f"data:image/png;base64,{base64.b64encode(row_png([picture[0]])).decode()}"
        look = "width: 100%; aspect-ratio: 1; image-rendering: pixelated; display: block"
        caption = f'<figcaption style="text-align: center">{name}</figcaption>'
        figures.append(f'<figure style="margin: 0"><img alt="{name}" src="{source}" style="{look}">{caption}</figure>')
    grid = f"display: grid; grid-template-columns: repeat({len(figures)}, 1fr); gap: 4px; max-width: {_WIDEST}px"
    return f'<div style="{grid}">{"".join(figures)}</div>'


def _in_words(numbers: dict[str, float], pair: ShownPair) -> str:
    """A line of what was measured; each number says what it is where the mouse rests on it."""
    words = {
        "image_l1": ("output L1 {:.3f}", "mean difference of the output and the right answer; colours are in 0 … 1"),
        "image_psnr": ("PSNR {:.1f} dB", "of the output against the right answer"),
        "warp_l1_ratio": ("warp {:.2f} × the error of not moving", "colour error of the warp / that of the exemplar as it is"),
        "epe": ("{:.1f} px from the truth", "mean distance of the matched to the true point, where it can be seen"),
        "mass": ("mass {:.2f}", "mean sum of the rows of the last match; what is missing does not come from the exemplar"),
    }
    found = [f'<span title="{words[name][1]}">{words[name][0].format(value)}</span>' for name, value in numbers.items()]
    unknown = [] if pair.right is not None else ["the right answer is not known"]
    return " · ".join(unknown + found)


@cache
def _lab():
    return features("lab")
