"""Files of one's own in a notebook: chosen or dropped, put through a checkpoint, and all that has to be said about it."""

import base64
import html
import tempfile
from collections.abc import Callable
from pathlib import Path

import ipywidgets

from exemplar_lab.training.translating import ASKED, Translated, translate_files
from exemplar_lab.widgets.explorer import AttentionExplorer
from exemplar_lab.widgets.frames import Panel, alert
from exemplar_lab.widgets.own_images import Upload
from exemplar_lab.widgets.translated import check_folder, wall_png, write_translation

FILES = ("condition", "exemplar", "exemplar's structure")
_KEYS = ("condition", "exemplar", "exemplar_condition")
"""What `translate_files` calls them."""
_ACCEPT = "image/*,.json"
"""Of a structure. Not the two texts of OpenPose: a button gives one file."""


class OwnFiles(Panel):
    """`OwnFiles("pose.png", "me.png")`: what `exemplar-lab translate` does, with a button for each file, a menu of models, one
    picture of everything with the warps of all layers, and a button that writes.

    The files that are given stand until others are chosen or dropped; an exemplar that is chosen leaves the structure behind
    that was given for the earlier one. `done` is the `Translated` that is shown, `given` the files it was made of by the names
    in FILES, `explorer` an `AttentionExplorer` of it that follows every change (show it in a cell of its own), and `problem`
    why the last change could not be shown, "" where it was.

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
        self._said, self._saved, self._picture = (ipywidgets.HTML() for _ in range(3))
        self.folder = ipywidgets.Text(value="out", description="folder")
        self.save = ipywidgets.Button(description="save", tooltip="write image, warps and the explorer's page to the folder")
        self.problem, self.explorer = "", None
        self._answer()
        rows = ipywidgets.HBox([*self.uploads.values(), self.model], layout={"flex_flow": "row wrap"})
        below = ipywidgets.HBox([self.folder, self.save, self._saved], layout={"flex_flow": "row wrap"})
        super().__init__([rows, self._said, self._picture, below], "", lambda: self._png)
        self.explorer = AttentionExplorer(*self._shown(), title=self.done.checkpoint.name, portable=8)
        self._show()
        self.model.observe(lambda _: self._redo(), "value")
        self.save.on_click(lambda _: self._save())

    def write(self, folder: str | Path = "out") -> list[Path]:
        """Write what is shown, as `exemplar-lab translate --out FOLDER` does; returns the files.

        Raises ValueError for an empty name and where a file that is shown would be written over, OSError where nothing can be
        written.
        """
        if not str(folder):
            raise ValueError("got no name of a folder, expected one: out")
        check_folder(Path(folder), *self.given.values())
        given = {name: str(path) for name, path in zip(_KEYS, self.given.values(), strict=True) if path is not None}
        # Of what was chosen with a button nobody needs to know where it was kept.
        given = {name: Path(path).name if path.startswith(self._folder.name) else path for name, path in given.items()}
        return write_translation(self.done, Path(folder), given | {"model": self.done.checkpoint.name})

    def _answer(self) -> None:
        condition, exemplar, own = self._files.values()
        self.done: Translated = translate_files(condition, exemplar, self.model.value, own)
        self.given: dict[str, Path | None] = {name: None if path is None else Path(path) for name, path in self._files.items()}

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
            self._answer()
        except (ValueError, OSError) as problem:
            self.problem = str(problem).replace(f"{self._folder.name}/", "")
            self._said.value = alert(f"{self.problem}. What is shown below is the last that could be made.")
            return
        self.problem = ""
        self._show()
        self.explorer.show(*self._shown(), title=self.done.checkpoint.name)

    def _show(self) -> None:
        files = " and ".join(path.name for path in list(self.given.values())[:2] if path is not None)
        self.words = f"OwnFiles: {files}, {self.done.checkpoint.name}"
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.done.notes)
        why = html.escape(f"{self.done.checkpoint.name}: {self.done.chosen}")
        self._said.value = f'<p style="line-height: 1.35"><b>{why}</b></p><ul style="line-height: 1.35">{notes}</ul>'
        self._saved.value = ""
        self._png = wall_png(self.done)
        words = f"structure, exemplar, image, and the exemplar as each of {len(self.done.translation.warps)} layers carried it"
        source = f"data:image/png;base64,{base64.b64encode(self._png).decode()}"
        # Not ipywidgets.Image, which has no words for those who do not see it.
        self._picture.value = f'<img alt="{words}" src="{source}" style="max-width: 100%">'

    def _save(self) -> None:
        try:
            written = self.write(self.folder.value.strip())
        except (ValueError, OSError) as problem:
            self._saved.value = alert(str(problem))
            return
        files = html.escape(f"{', '.join(path.name for path in written)} in {written[0].parent}")
        self._saved.value = f'<p role="status" style="line-height: 1.35">written: {files}</p>'
