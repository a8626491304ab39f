"""The attention explorer: click a pixel of the target and see where in the exemplar it came from, in every layer."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import anywidget
import numpy as np
import pandas
import traitlets
from torch import Tensor

from exemplar_lab.correspondence import Correspondence
from exemplar_lab.ops.rows import Row, reweighted
from exemplar_lab.translation import Batch, Translation
from exemplar_lab.viz.explorer import Look, explorer_view, figure_bytes
from exemplar_lab.widgets.contents import (
    SIDES,
    Contents,
    cell_at,
    check_sample,
    kind_of,
    of_matches,
    of_translation,
    region_shares,
    row_at,
)
from exemplar_lab.widgets.frames import with_picture
from exemplar_lab.widgets.numbers import Numbers, numbers_of, right_points, truly_used_by
from exemplar_lab.widgets.page import front_end, offline_page
from exemplar_lab.widgets.source_data import source_data, write_whole
from exemplar_lab.widgets.state import state_of


class AttentionExplorer(anywidget.AnyWidget):
    """Where every pixel came from: `AttentionExplorer(translation, batch)`, or any correspondence between two pictures:

        AttentionExplorer(match, target, exemplar)                     # a record, or a list of records, one for each layer
        AttentionExplorer(translation, batch, sample=2, portable=32)   # and 32 links of each query sent along

    Further arguments: see `show`. What is chosen in the browser stands in `point`, `side`, `layer`, `temperature`, `top_k`,
    `off` and `pins`, and can be set from Python too. Points are (x, y) in pixels of the picture they lie in.
    """

    _esm, _css = front_end()

    shown = traitlets.Dict().tag(sync=True)
    point = traitlets.List(traitlets.Float(), maxlen=2).tag(sync=True)
    """The query, in pixels of the picture of `side`; [] for none."""
    side = traitlets.Enum(SIDES, "target").tag(sync=True)
    """The picture that is asked; "exemplar" asks in reverse: who uses this pixel?"""
    layer = traitlets.Int(0).tag(sync=True)
    temperature = traitlets.Float(1.0).tag(sync=True)
    """The rows are shown as they were at this many times their temperature."""
    top_k = traitlets.Int(0).tag(sync=True)
    """Only so many of the largest links are shown; 0 for all."""
    off = traitlets.Dict().tag(sync=True)
    """Regions of factored layers that are switched off: {"2": [0, 5]} for two regions of layer 2."""
    pins = traitlets.List(traitlets.Dict()).tag(sync=True)
    """Queries that stay: [{"x": 12.5, "y": 30.5, "side": "target"}]."""
    sample = traitlets.Int(0).tag(sync=True)

    def __init__(
        self,
        what: Translation | Correspondence | Sequence[Correspondence],
        *pictures: Batch | Tensor,
        sample: int = 0,
        portable: int = 0,
        **about,
    ):
        super().__init__()
        self.show(what, *pictures, sample=sample, portable=portable, **about)
        self.on_msg(self._answer)

    def show(
        self,
        what: Translation | Correspondence | Sequence[Correspondence],
        *pictures: Batch | Tensor,
        sample: int | None = None,
        portable: int | None = None,
        **about,
    ) -> None:
        """Show another pair, or another answer to it; the query, the pins and the sliders stay where they can.

        what, pictures: a `Translation` and its `Batch`; or a correspondence, or one for each layer, and the two pictures
        (b c h w or c h w). sample: which of the batch. portable: links of each query that are sent along, so that a saved
        notebook can be clicked without Python; 0 sends none. about: `names` of the layers, `label_names`, `title`; with two
        pictures also `truth`, `target_labels` and `exemplar_labels` (h w).
        """
        make, samples = _maker(what, pictures, about)
        sample = min(self.sample, samples - 1) if sample is None else sample
        check_sample(sample, samples)
        contents = make(sample)
        links = self._links if portable is None else portable
        state = state_of(contents, samples, links)
        self._make, self._samples, self._links, self._sample, self._contents = make, samples, links, sample, contents
        with self.hold_sync():
            layers = len(contents.layers)
            self.layer = min(self.layer, layers - 1) if self.shown else layers - 1  # opens with the finest
            regions = [one["regions"] for one in state["layers"]]
            self.off = {
                layer: kept
                for layer, some in self.off.items()
                if int(layer) < len(regions) and (kept := [one for one in some if one < regions[int(layer)]])
            }
            self.sample = sample
            self.shown = state
            if not self.point or not self._inside(self.point, self.side):
                self.side, self.point = "target", list(_first_query(contents))
            self.pins = [pin for pin in self.pins if self._inside((pin["x"], pin["y"]), pin["side"])]

    def _inside(self, point: Sequence[float], side: str) -> bool:
        height, width = self._contents.picture(side).shape[1:]
        return 0 <= point[0] <= width and 0 <= point[1] <= height

    @traitlets.validate("layer", "sample")
    def _is_there(self, proposal) -> int:
        name, value = proposal["trait"].name, proposal["value"]
        there = {"layer": len(self._contents.layers), "sample": self._samples}[name] if hasattr(self, "_contents") else 1
        if not 0 <= value < there:
            raise traitlets.TraitError(f"got {name} {value}, expected 0 … {there - 1}")
        return value

    @traitlets.validate("temperature", "top_k")
    def _is_allowed(self, proposal):
        name, value = proposal["trait"].name, proposal["value"]
        if name == "temperature" and not value > 0 or name == "top_k" and value < 0:
            raise traitlets.TraitError(f"got {name} = {value}, expected one above 0" + " or 0 for all" * (name == "top_k"))
        return value

    @traitlets.validate("point")
    def _is_point(self, proposal) -> list[float]:
        if len(proposal["value"]) not in (0, 2):
            raise traitlets.TraitError(f"got point {proposal['value']}, expected (x, y), or () for none")
        return proposal["value"]

    @traitlets.validate("pins")
    def _are_pins(self, proposal) -> list[dict]:
        for pin in proposal["value"]:
            if set(pin) != {"x", "y", "side"} or pin["side"] not in SIDES:
                raise traitlets.TraitError(
                    f'got the pin {pin}, expected {{"x": 12.5, "y": 30.5, "side": "target"}} (or "exemplar")'
                )
        return proposal["value"]

    @traitlets.validate("off")
    def _are_regions(self, proposal) -> dict[str, list[int]]:
        off = {str(layer): list(regions) for layer, regions in proposal["value"].items()}
        known = {str(n): getattr(one.match, "gate", None) for n, one in enumerate(self._contents.layers)}
        for layer, regions in off.items():
            gate = known.get(layer)
            if gate is None or not set(regions) <= set(range(gate.shape[1])):
                raise traitlets.TraitError(
                    f'got off = {proposal["value"]}, expected regions by the number of a factored layer: {{"2": [0, 5]}}'
                )
        return off

    @traitlets.observe("sample")
    def _show_sample(self, change) -> None:
        if change["new"] != self._sample:
            self._sample, self._contents = change["new"], self._make(change["new"])
            self.shown = state_of(self._contents, self._samples, self._links)

    def row(self, point: Sequence[float] | None = None, layer: int | None = None, side: str | None = None) -> Row:
        """The row of a query, by default the one that is shown, as the sliders and regions have it."""
        return reweighted(self._row(point, layer, side), self.temperature, self.top_k)

    def _row(self, point: Sequence[float] | None = None, layer: int | None = None, side: str | None = None) -> Row:
        layer, side = self.layer if layer is None else layer, side or self.side
        return row_at(self._contents, layer, side, self._cell(point or self.point, layer, side), self.off.get(str(layer), ()))

    def _cell(self, point: Sequence[float], layer: int, side: str) -> int:
        if not point:
            raise ValueError("got no query, expected one: click a picture, or set explorer.point = (x, y)")
        return cell_at(point, tuple(self._contents.picture(side).shape[1:]), self._contents.grid(layer, side))

    def numbers(self, point: Sequence[float] | None = None, layer: int | None = None, side: str | None = None) -> Numbers:
        """The numbers that the page shows of a query; see `widgets.numbers.numbers_of`."""
        point, layer, side = point or self.point, self.layer if layer is None else layer, side or self.side
        cell, grid = self._cell(point, layer, side), self._contents.grid(layer, side)
        row = self._row(point, layer, side)
        return numbers_of(self._contents, row, side, point, cell, grid, self.temperature, self.top_k)

    def table(self) -> pandas.DataFrame:
        """The pins, in every layer: a line for each pin and layer, with the numbers of its row."""
        lines = []
        for pin, at in enumerate(self.pins, 1):
            for layer, one in enumerate(self._contents.layers):
                found = self.numbers((at["x"], at["y"]), layer, at["side"])
                x, y = found.pop("expected") or (np.nan, np.nan)
                where = {"pin": pin, "side": at["side"], "x": at["x"], "y": at["y"], "layer": one.name}
                found["shares"] = ", ".join(f"{name} {share:.2f}" for name, share in found["shares"].items())
                lines.append(where | {"expected_x": x, "expected_y": y} | found)
        return pandas.DataFrame(lines)

    def figure(self):
        """What is shown now, as a matplotlib Figure: the query, the pins, and the query in all layers."""
        contents, other = self._contents, SIDES[self.side == "target"]
        asked = bool(self.point)
        layers = [(one.name, one.warp, self.row(layer=n) if asked else None) for n, one in enumerate(contents.layers)]
        pins = [self._look((pin["x"], pin["y"])) for pin in self.pins if pin["side"] == self.side]
        return explorer_view(
            contents.picture(self.side),
            contents.picture(other),
            self._look(self.point) if asked else None,
            pins,
            layers,
            self.layer,
            (self.side, other),
            self._words() if asked else "",
            contents.title,
        )

    def _look(self, point: Sequence[float]) -> Look:
        grid = self._contents.grid(self.layer, self.side)
        cell = self._cell(point, self.layer, self.side)
        right = right_points(self._contents, cell, grid) if self.side == "target" else []
        users = truly_used_by(self._contents, cell, grid) if self.side == "exemplar" else []
        return Look(tuple(point), self.row(point), self.numbers(point)["expected"], right, users)

    def _words(self) -> str:
        found, layer = self.numbers(), self._contents.layers[self.layer]
        words = [f"{layer.name}, {kind_of(layer.match)}", f"mass {found['mass']:.2f}", f"{found['kept']} links kept"]
        words += [f"{found['pruned']} pruned"] * (found["pruned"] > 0)
        words += [f"{found['never']} never considered"] * (found["never"] > 0)
        words += [f"spread over {np.exp(found['entropy']):.1f} cells"]
        words += [f"{found['distance']:.1f} px from the truth"] if found["distance"] is not None else []
        off = [str(region + 1) for region in self.off.get(str(self.layer), ())]
        words += [f"without region {', '.join(off)}"] * bool(off)
        words += [f"{self.temperature:g} × temperature"] * (self.temperature != 1) + [f"top {self.top_k}"] * (self.top_k > 0)
        return " · ".join(words)

    def to_svg(self, path: str | Path) -> Path:
        """What is shown now as a vector figure, and beside it, as .svg.csv, the links that it was drawn from."""
        return self._vector(Path(path), "svg")

    def to_pdf(self, path: str | Path) -> Path:
        """What is shown now as a vector figure, and beside it, as .pdf.csv, the links that it was drawn from."""
        return self._vector(Path(path), "pdf")

    def _vector(self, path: Path, kind: str) -> Path:
        if path.suffix != f".{kind}":
            raise ValueError(f"got {path}, expected a name that ends in .{kind}")
        data = path.with_name(f"{path.name}.csv")
        drawn = figure_bytes(self.figure(), kind, f"source data: {data.name}")
        queries = {"now": tuple(self.point)} if self.point else {}
        queries |= {str(n): (pin["x"], pin["y"]) for n, pin in enumerate(self.pins, 1) if pin["side"] == self.side}
        layers = range(len(self._contents.layers))
        rows = {(name, layer): (at, self.row(at, layer)) for name, at in queries.items() for layer in layers}
        made_with = self.temperature, self.top_k, self.off
        write_whole(data, source_data(self._contents, self.side, rows, *made_with).encode())
        return write_whole(path, drawn)

    def to_html(self, path: str | Path, links: int = 32) -> Path:
        """One file that can be clicked in any browser, without Python and without a network.

        links: of each query that the file holds, at least one; of factored layers it holds everything. The page says what mass
        is left out.
        """
        if links < 1:
            raise ValueError(f"got {links} links of each query, expected at least one: a page without Python has no others")
        names = ("point", "side", "layer", "temperature", "top_k", "off", "pins")
        state = {name: getattr(self, name) for name in names} | {"sample": 0, "shown": state_of(self._contents, 1, links)}
        return write_whole(Path(path), offline_page(state, repr(self), self.picture()).encode())

    def picture(self) -> bytes:
        """What is shown now, as a PNG file."""
        return figure_bytes(self.figure(), "png")

    def _answer(self, _, content: dict[str, object], __) -> None:
        """Answer the page that asks for a row."""
        if "ask" not in content:
            return
        try:
            asked = [content[name] for name in ("layer", "side", "cell", "off")]
            row, shares = row_at(self._contents, *asked), region_shares(self._contents, *asked)
        except Exception as problem:  # whatever it is, the page waits for an answer
            self.send({"answer": content["ask"], "error": f"{problem}"})
            return
        every = len(row.index) == row.size[0] * row.size[1]
        index = b"" if every else row.index.numpy().astype("<u4").tobytes()
        self.send({"answer": content["ask"], "shares": shares}, [index, row.weight.numpy().astype("<f4").tobytes()])

    def __repr__(self) -> str:
        contents = self._contents
        layers = [f"{kind_of(one.match)} {one.match.query_size[0]}×{one.match.query_size[1]}" for one in contents.layers]
        sizes = [f"{side} {'×'.join(map(str, contents.picture(side).shape[1:]))}" for side in SIDES]
        return f"AttentionExplorer({', '.join(layers)}; {', '.join(sizes)})"

    def _repr_mimebundle_(self, **given):
        return with_picture(super()._repr_mimebundle_(**given), repr(self), self.picture())


def _maker(
    what: Translation | Correspondence | Sequence[Correspondence], pictures: Sequence[Batch | Tensor], about: dict[str, object]
) -> tuple[Callable[[int], Contents], int]:
    """(what makes the contents of a sample, number of samples)."""
    if isinstance(what, Translation):
        if len(pictures) != 1 or not isinstance(pictures[0], Batch):
            raise ValueError(
                f"got a Translation and {_kinds(pictures)}, expected it with its Batch: AttentionExplorer(translation, batch)"
            )
        return partial(of_translation, what, pictures[0], **about), len(pictures[0])
    if len(pictures) != 2 or not all(isinstance(one, Tensor) for one in pictures):
        raise ValueError(
            f"got a correspondence and {_kinds(pictures)}, expected two pictures: AttentionExplorer(match, target, exemplar)"
        )
    samples = pictures[0].shape[0] if pictures[0].ndim == 4 else 1
    return partial(of_matches, what, *pictures, **about), samples


def _kinds(given: Sequence[object]) -> str:
    return " and ".join(type(one).__name__ for one in given) or "nothing else"


def _first_query(contents: Contents) -> tuple[float, float]:
    """The target pixel in the middle of the picture, or next to it, whose counterpart is known; the page opens with its row."""
    _, height, width = contents.picture("target").shape
    if contents.answers is None or not (known := contents.answers[0].isfinite().all(0)).any():
        return width / 2 + 0.5, height / 2 + 0.5
    y, x = known.nonzero().T.cpu()
    nearest = ((x - width / 2) ** 2 + (y - height / 2) ** 2).argmin()
    return float(x[nearest]) + 0.5, float(y[nearest]) + 0.5
