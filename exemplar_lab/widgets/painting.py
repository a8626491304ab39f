"""A picture to paint on: colours over it, or other classes into its map of labels; Python has each stroke as it ends."""

from collections.abc import Callable, Mapping, Sequence

import anywidget
import ipywidgets
import torch
import traitlets
from jaxtyping import Float, Int
from torch import Tensor

from exemplar_lab.data.makeup import painted_over
from exemplar_lab.viz.style import COLOURS
from exemplar_lab.widgets.doors import check_pictures
from exemplar_lab.widgets.frames import Panel, alert, captions, row_png, with_picture
from exemplar_lab.widgets.page import front_end

MOST = 255
"""Colours or classes that a stroke can have; a byte holds which, and one value of it says that nothing was painted."""

MAKEUP = {
    "lips, red": (0.78, 0.05, 0.16, 0.8),
    "lips, plum": (0.55, 0.02, 0.30, 0.8),
    "eyes, blue": (0.10, 0.35, 0.75, 0.7),
    "eyes, violet": (0.45, 0.15, 0.65, 0.7),
    "cheeks, rose": (0.95, 0.42, 0.45, 0.45),
    "cheeks, peach": (0.96, 0.52, 0.32, 0.45),
    "ink": (0.05, 0.05, 0.07, 1.0),
}
"""Colours to make up a face with: red, green, blue, and how much of what lies below they cover."""


class Painter(anywidget.AnyWidget):
    """`Painter(picture, MAKEUP)` paints colours over a picture, `Painter(picture, labels=map, names=…)` classes into labels.

        painter.layer()    # what was painted, 4 h w: red, green, blue, alpha
        painter.labels()   # the map of labels with the strokes in it, h w
        painter.painted()  # the number of the colour or class, h w, −1 where nothing was painted

    `strokes`, `colour` and `brush` hold what was done in the browser, and can be set from Python; `observe(…, "strokes")` hears
    each stroke. All is counted in pixels of the picture. Keys are told on the page.
    """

    _esm, _css = front_end("painting")

    shown = traitlets.Dict().tag(sync=True)
    strokes = traitlets.Bytes().tag(sync=True, from_json=lambda value, _: bytes(value))
    """A byte for each pixel, row by row: 0 where nothing was painted, else 1 + the number of the colour."""
    colour = traitlets.Int(0).tag(sync=True)
    """The number of the colour or class in hand; −1 is the eraser."""
    brush = traitlets.Int(4).tag(sync=True)
    """Its diameter."""

    def __init__(
        self,
        picture: Float[Tensor, "3 h w"],
        palette: Mapping[str, Sequence[float]] | None = None,
        *,
        labels: Int[Tensor, "h w"] | None = None,
        names: Sequence[str] = (),
        colours: Sequence[Sequence[float]] = (),
        brush: int | None = None,
        title: str = "",
    ):
        """palette: {name: (red, green, blue)} or with alpha, in [0, 1]. labels: the map of labels to paint into, with the
        `names` of its classes and the `colours` they are shown in. Either the one or the other. brush: by default 1/16 of the
        picture's shorter side. Raises ValueError for anything else."""
        check_pictures(picture)
        self._entries = _palette_of(palette) if labels is None else _classes_of(picture, palette, labels, names, colours)
        self._picture, self._start = picture.detach().cpu(), None if labels is None else labels.cpu()
        height, width = picture.shape[1:]
        super().__init__(strokes=bytes(height * width), brush=brush or max(1, min(height, width) // 16))
        self.shown = {
            "title": title,
            "width": width,
            "height": height,
            "png": row_png([self._picture]),
            "labels": b"" if labels is None else _as_bytes(self._start),
            "names": list(self._entries),
            "colours": [list(one) for one in self._entries.values()],
        }

    @traitlets.validate("strokes")
    def _fit(self, proposal) -> bytes:
        strokes, (height, width) = proposal["value"], self._picture.shape[1:]
        if len(strokes) != height * width or max(strokes, default=0) > len(self._entries):
            raise traitlets.TraitError(
                f"got {len(strokes)} strokes up to {max(strokes, default=0)}, expected a byte for each of {height} × {width} "
                f"pixels, at most {len(self._entries)}"
            )
        return strokes

    @traitlets.validate("colour", "brush")
    def _is_there(self, proposal) -> int:
        name, value = proposal["trait"].name, proposal["value"]
        low, high = (-1, len(self._entries) - 1) if name == "colour" else (1, max(self._picture.shape[1:]))
        if not low <= value <= high:
            raise traitlets.TraitError(f"got {name} {value}, expected {low} … {high}")
        return value

    def painted(self) -> Int[Tensor, "h w"]:
        """The number of the colour or class that each pixel was painted with; −1 where none was."""
        return torch.frombuffer(bytearray(self.strokes), dtype=torch.uint8).long().view(self._picture.shape[1:]) - 1

    def layer(self) -> Float[Tensor, "4 h w"]:
        """What was painted, red, green, blue, alpha; nothing but zeros where nothing was."""
        colours = torch.tensor([(0.0, 0.0, 0.0, 0.0), *self._entries.values()])
        return colours[self.painted() + 1].movedim(-1, 0)

    def labels(self) -> Int[Tensor, "h w"]:
        """The map of labels with the strokes in it. Raises ValueError where there was none to paint into."""
        if self._start is None:
            raise ValueError("got a painter of colours, expected one of labels: Painter(picture, labels=map, names=…)")
        strokes = self.painted()
        return torch.where(strokes >= 0, strokes, self._start)

    def put(self, strokes: Int[Tensor, "h w"]) -> None:
        """Paint from Python: the numbers of colours or classes, −1 where nothing is to be painted. What was there is gone.

        Raises ValueError for strokes of another size, and for numbers that no colour or class has.
        """
        size, most = tuple(self._picture.shape[1:]), len(self._entries) - 1
        if tuple(strokes.shape) != size or int(strokes.min()) < -1 or int(strokes.max()) > most:
            raise ValueError(
                f"got strokes of {tuple(strokes.shape)} from {int(strokes.min())} to {int(strokes.max())}, expected "
                f"{size} (h, w) from -1, where nothing is painted, to {most}"
            )
        self.strokes = _as_bytes(strokes + 1)

    def clear(self) -> None:
        self.strokes = bytes(len(self.strokes))

    def picture(self) -> bytes:
        """What is shown, as a PNG file."""
        layer, under = self.layer(), self._picture
        if self._start is not None:
            colours = torch.tensor(list(self._entries.values()))[:, :3]
            known = (self._start >= 0) & (self._start < len(colours))
            label = torch.where(known, colours[self._start.clamp(0, len(colours) - 1)].movedim(-1, 0), under)
            under = under + (label - under) * 0.6
        return row_png([painted_over(under[None], layer[None])[0]], width=320)

    def __repr__(self) -> str:
        height, width = self._picture.shape[1:]
        kind = "colours" if self._start is None else "classes"
        return f"Painter({width} × {height} pixels, {len(self._entries)} {kind})"

    def _repr_mimebundle_(self, **given):
        return with_picture(super()._repr_mimebundle_(**given), repr(self), self.picture())


def painted_panel(
    painter: Painter, draw: Callable[[Painter], Mapping[str, Float[Tensor, "3 h w"]]], title: str, width: int = 640
) -> Panel:
    """A painter, and below it the pictures that `draw` makes of it, side by side, anew after each stroke.

    What `draw` raises in ValueError is said in place of the names. The panel's children are, in order, a line of words, the
    painter, the names of the pictures, and the pictures.
    """
    names, pictures = ipywidgets.HTML(), ipywidgets.Image(format="png", width=width)

    def drawn(_=None) -> None:
        try:
            made = draw(painter)
        except ValueError as problem:
            names.value = alert(str(problem))
            return
        pictures.value, names.value = row_png(list(made.values()), width), captions(list(made), width)

    painter.observe(drawn, "strokes")
    drawn()
    words = f"{title}: {painter!r}"
    return Panel([ipywidgets.HTML(f"<b>{title}</b>"), painter, names, pictures], words, lambda: bytes(pictures.value))


def _palette_of(palette: Mapping[str, Sequence[float]] | None) -> dict[str, tuple[float, ...]]:
    if not palette or len(palette) > MOST:
        raise ValueError(
            f"got {len(palette or ())} colours, expected 1 to {MOST}: Painter(picture, MAKEUP), or labels=… to paint classes"
        )
    return {name: _colour(name, one) for name, one in palette.items()}


def _classes_of(picture: Tensor, palette, labels: Tensor, names: Sequence[str], colours) -> dict[str, tuple[float, ...]]:
    if palette is not None:
        raise ValueError("got a palette and labels, expected one of them: colours are painted over, classes into a map")
    if labels.shape != picture.shape[1:]:
        raise ValueError(
            f"got labels of {tuple(labels.shape)} and a picture of {tuple(picture.shape[1:])} pixels, expected one size"
        )
    if not 0 < len(names) <= MOST or int(labels.max()) >= len(names):
        raise ValueError(
            f"got {len(names)} names for labels up to {int(labels.max())}, expected a name for each class: names=…"
        )
    if len(set(names)) < len(names):
        raise ValueError(f"got {len(names)} names of which {len(set(names))} differ, expected each name once")
    if colours and len(colours) != len(names):
        raise ValueError(f"got {len(colours)} colours for {len(names)} names, expected as many, or none at all")
    some = colours or [_of_hex(COLOURS[n % len(COLOURS)]) for n in range(len(names))]
    return {name: _colour(name, one) for name, one in zip(names, some, strict=True)}


def _colour(name: str, colour: Sequence[float]) -> tuple[float, ...]:
    numbers = tuple(float(one) for one in colour)
    if len(numbers) not in (3, 4) or not all(0 <= one <= 1 for one in numbers):
        raise ValueError(f"got the colour {colour} for {name!r}, expected (red, green, blue) or with alpha, each in [0, 1]")
    return (*numbers, 1.0)[:4]


def _of_hex(colour: str) -> tuple[float, ...]:
    return tuple(int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))


def _as_bytes(numbers: Int[Tensor, "h w"]) -> bytes:
    """A byte each; what is unknown (below 0) is the last."""
    return torch.where(numbers < 0, MOST, numbers).to(torch.uint8).numpy().tobytes()
