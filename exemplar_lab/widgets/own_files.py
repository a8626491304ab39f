"""Files of one's own in a notebook: chosen or dropped, put through a checkpoint, and all that has to be said about it."""

import html
import tempfile
from collections.abc import Callable
from pathlib import Path

import ipywidgets

from exemplar_lab.training.translating import ASKED, Translated, translate_files
from exemplar_lab.widgets.explorer import AttentionExplorer
from exemplar_lab.widgets.frames import Panel, captions, row_png
from exemplar_lab.widgets.own_images import Upload

FILES = ("condition", "exemplar", "exemplar's structure")
_ACCEPT = "image/*,.json,.txt"
_WIDTH = 768
_ALERT = "margin: 4px 0; padding-left: 8px; border-left: 3px solid #D55E00; line-height: 1.35"


class OwnFiles(Panel):
    """`OwnFiles("pose.png", "me.png")`: what `exemplar-lab translate` does, with a button for each file and a menu of models.

    The files that are given stand until others are chosen or dropped; an exemplar that is chosen leaves the structure behind
    that was given for the earlier one. `done` is the `Translated` that is shown, `explorer` an `AttentionExplorer` of it that
    follows every change (show it in a cell of its own), `problem` why the last change could not be shown, "" where it was.

    Raises what `translate_files` does for the files that are given.
    """

    def __init__(
        self,
        condition: str | Path,
        exemplar: str | Path,
        model: str | Path = "dynast",
        exemplar_condition: str | Path | None = None,
    ):
        self._files = dict(zip(FILES, (condition, exemplar, exemplar_condition), strict=True))
        self._folder = tempfile.TemporaryDirectory()
        self.uploads = {name: Upload(name, self._changed(name)) for name in FILES}
        for name, upload in self.uploads.items():
            upload.button.accept = _ACCEPT if name != "exemplar" else "image/*"
            upload.button.tooltip = f"{name}: " + ("any picture file" if name == "exemplar" else "pose, label map or picture")
        models = [*ASKED] + [str(model)] * (str(model) not in ASKED)
        self.model = ipywidgets.Dropdown(options=models, value=str(model), description="model")
        self._said, self._names = ipywidgets.HTML(), ipywidgets.HTML()
        self._picture = ipywidgets.Image(format="png", layout={"max_width": "100%"})
        self.problem, self.explorer = "", None
        self.done = self._asked()
        rows = ipywidgets.HBox([*self.uploads.values(), self.model], layout={"flex_flow": "row wrap"})
        super().__init__([rows, self._said, self._names, self._picture], "", lambda: bytes(self._picture.value))
        self.explorer = AttentionExplorer(*self._shown(), title=self.done.checkpoint.name, portable=8)
        self._show()
        self.model.observe(lambda _: self._redo(), "value")

    def _asked(self) -> Translated:
        condition, exemplar, own = self._files.values()
        return translate_files(condition, exemplar, self.model.value, own)

    def _shown(self):
        return self.done.translation, self.done.batch

    def _changed(self, name: str) -> Callable[[], None]:
        def changed() -> None:
            file = self.uploads[name].button.value[0]
            # A folder for each: what lay beside one file does not belong to another of the same name.
            path = Path(tempfile.mkdtemp(dir=self._folder.name)) / Path(str(file["name"]).replace("\\", "/")).name
            path.write_bytes(bytes(file["content"]))
            self._files[name] = path
            if name == "exemplar" and not self.uploads[FILES[2]].button.value:
                self._files[FILES[2]] = None
            self._redo()

        return changed

    def _redo(self) -> None:
        try:
            self.done = self._asked()
        except (ValueError, OSError) as problem:
            self.problem = str(problem).replace(f"{self._folder.name}/", "")
            self._said.value = (
                f'<p role="alert" style="{_ALERT}">{html.escape(self.problem)}. What is shown below is the last that could be '
                "made.</p>"
            )
            return
        self.problem = ""
        self._show()
        self.explorer.show(*self._shown(), title=self.done.checkpoint.name)

    def _show(self) -> None:
        batch, answer = self.done.batch, self.done.translation
        pictures = {"structure": batch.target, "exemplar": batch.exemplar, "image": answer.image, "last warp": answer.warps[-1]}
        files = " and ".join(Path(path).name for path in list(self._files.values())[:2])
        self.words = f"OwnFiles: {files}, {self.done.checkpoint.name}"
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.done.notes)
        why = html.escape(f"{self.done.checkpoint.name}: {self.done.chosen}")
        self._said.value = f'<p style="line-height: 1.35"><b>{why}</b></p><ul style="line-height: 1.35">{notes}</ul>'
        self._names.value = captions(list(pictures), _WIDTH)
        self._picture.value = row_png([one[0] for one in pictures.values()], _WIDTH)
        self._picture.alt = ", ".join(pictures)
