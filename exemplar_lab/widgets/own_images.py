"""A picture from the browser: chosen with a button or dropped on a place beside it."""

import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import traitlets
from jaxtyping import Float
from torch import Tensor

from exemplar_lab.data.images import read_image, square

_STATIC = Path(__file__).parent / "static"


class DropPlace(anywidget.AnyWidget):
    """A place to drop a file on, which ipywidgets' button has not; `file` holds name, type, size, content and
    last_modified in milliseconds."""

    _esm = _STATIC / "drop.js"
    _css = _STATIC / "drop.css"

    words = traitlets.Unicode().tag(sync=True)
    file = traitlets.Dict().tag(sync=True)


class Upload(ipywidgets.VBox):
    """A button and a place to drop on, for one picture; a dropped file lands in `button.value` too."""

    def __init__(self, what: str, changed: Callable[[], None]):
        self.button = ipywidgets.FileUpload(
            accept="image/*", description=f"choose {what}", tooltip=f"{what}: any picture file", layout={"width": "auto"}
        )
        self.place = DropPlace(words="or drop it here")
        super().__init__([self.button, self.place], layout={"min_width": "0"})
        self.place.observe(self._dropped, "file")
        self.button.observe(self._named, "value")
        self.button.observe(lambda _: changed(), "value")

    def _named(self, change) -> None:
        if change["new"]:
            self.place.words = f"{change['new'][0]['name']}: drop another here"

    def _dropped(self, change) -> None:
        if change["new"]:
            when = datetime.fromtimestamp(change["new"]["last_modified"] / 1000, UTC)
            self.button.value = (change["new"] | {"last_modified": when},)

    def picture(self, size: int) -> Float[Tensor, "3 {size} {size}"] | None:
        """The middle square of the picture, or None where none was chosen. Raises ValueError for a file that is no picture."""
        return uploaded(self.button.value[0], size) if self.button.value else None


def uploaded(file: Mapping[str, Any], size: int) -> Float[Tensor, "3 {size} {size}"]:
    """The middle square of an uploaded picture, resized: any file that `data.images.read_image` reads.

    Raises ValueError in one sentence that names the file.
    """
    name = Path(str(file["name"]).replace("\\", "/")).name or "picture"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture"
        path.write_bytes(bytes(file["content"]))
        try:
            return square(read_image(path, 2 * size), size)
        except ValueError as problem:
            raise ValueError(str(problem).replace(str(path), name)) from problem
