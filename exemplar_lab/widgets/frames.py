"""Sliders that turn the pages of pictures drawn in advance, so that they move without a kernel too, in a saved notebook."""

import base64
import html
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets
import numpy as np
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from exemplar_lab.viz.style import as_rgb

Bundle = dict[str, Any]
"""An output as JupyterLab takes it: kind -> content."""

_ALERT = "margin: 4px 0; padding-left: 8px; border-left: 3px solid #D55E00; line-height: 1.35"


class Panel(ipywidgets.VBox):
    """A box of widgets that says the same words each time and, where no widget can be shown, shows its picture instead.

    words: what stands for it in plain text. now: gives the picture that it shows at the moment, as a PNG file.
    """

    def __init__(self, children: Sequence[ipywidgets.Widget], words: str, now: Callable[[], bytes]):
        super().__init__(children)
        self.words, self.now = words, now

    def _repr_mimebundle_(self, **given):
        bundle = super()._repr_mimebundle_(**given)
        if bundle is None:
            return None
        return bundle | {"text/plain": self.words, "image/png": self.now()}


def frame_panel(
    title: str,
    draw: Callable[..., Mapping[str, Float[Tensor, "3 h w"]]],
    values: Mapping[str, Sequence[int | float]],
    start: Mapping[str, int | float] | None = None,
    width: int = 640,
) -> Panel:
    """A slider for each of `values`, and the pictures that `draw` gives for where the sliders stand, side by side.

    draw: called once for each combination of values, by their names, before the panel appears; what it raises is raised here.
        Its pictures have the same names each time. start: where the sliders stand first; by default in their middle.
    The panel's children are, in order, a line of words, the sliders in a box, the names of the pictures, and the pages: a stack
    of pages for the first slider, each a stack for the next, and so on to the pictures.
    """
    sliders = {
        name: ipywidgets.SelectionSlider(
            options=[(f"{one:g}", one) for one in several],
            value=(start or {}).get(name, several[len(several) // 2]),
            description=name.replace("_", " "),
            style={"description_width": "initial"},
        )
        for name, several in values.items()
    }
    names: list[str] = []

    def pages(chosen: dict[str, int | float], left: list[str]) -> ipywidgets.Widget:
        if not left:
            pictures = draw(**chosen)
            names[:] = pictures
            return ipywidgets.Image(value=row_png(list(pictures.values()), width), format="png", width=width)
        first, *rest = left
        stack = ipywidgets.Stack([pages(chosen | {first: one}, rest) for one in values[first]])
        # Twice: in Python for code that moves a slider, in the browser for a page that has no Python behind it.
        ipywidgets.dlink((sliders[first], "index"), (stack, "selected_index"))
        ipywidgets.jsdlink((sliders[first], "index"), (stack, "selected_index"))
        return stack

    book = pages({}, list(values))
    words = f"{title}: {', '.join(f'{name} {several[0]:g} … {several[-1]:g}' for name, several in values.items())}"
    children = [
        ipywidgets.HTML(f"<b>{title}</b>"),
        ipywidgets.HBox(list(sliders.values())),
        ipywidgets.HTML(captions(names, width)),
        book,
    ]
    return Panel(children, words, lambda: bytes(shown_page(book).value))


def shown_page(book: ipywidgets.Widget) -> ipywidgets.Image:
    """The picture to which the sliders of a panel have turned."""
    while isinstance(book, ipywidgets.Stack):
        book = book.children[book.selected_index]
    return book


def row_png(images: Sequence[Float[Tensor, "_ _ _"]], width: int = 0) -> bytes:
    """Pictures side by side as a PNG file, as high as the highest, and enlarged by the largest whole number that `width` pixels
    have room for."""
    pixels = [as_rgb(image) for image in images]
    height = max(len(one) for one in pixels)
    joined = np.concatenate([_enlarged(one, height // len(one)) for one in pixels], axis=1)
    file = io.BytesIO()
    Image.fromarray((_enlarged(joined, max(1, width // joined.shape[1])) * 255).round().astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def _enlarged(pixels: np.ndarray, times: int) -> np.ndarray:
    return pixels.repeat(times, axis=0).repeat(times, axis=1)


def captions(names: Sequence[str], width: int) -> str:
    """The names of pictures of one width, each above its own."""
    spans = "".join(f'<span style="flex: 1; text-align: center">{name}</span>' for name in names)
    return f'<div style="display: flex; width: {width}px">{spans}</div>'


def with_picture(bundle: Bundle | tuple[Bundle, Bundle] | None, words: str, picture: bytes) -> tuple[Bundle, Bundle] | None:
    """What a widget's `_repr_mimebundle_` gives, and for where no widget can be: words, and a picture (PNG)."""
    if bundle is None:
        return None
    data, about = bundle if isinstance(bundle, tuple) else (bundle, {})
    return data | {"text/plain": words, "image/png": base64.b64encode(picture).decode()}, about


def alert(words: str) -> str:
    """A paragraph that says what could not be done; a screen reader says it at once. words: plain text, not HTML."""
    return f'<p role="alert" style="{_ALERT}">{html.escape(words)}</p>'
