"""The parameters of notebooks, refused before they do harm: papermill itself only logs a misspelt name and takes any type.

`check_parameters` stands in the second cell of a notebook and `run_notebook` in front of papermill; both know the same rules.
What goes in is checked here; what comes out, for others to read, is a `report`, and for the eye the outputs that a committed
notebook keeps.
"""

import ast
import base64
import logging
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import NamedTuple

Kind = object
"""What a parameter may be: a type, a value, or a tuple of these. int; ("smoke", "cpu", "gpu"); (int, None)."""

REPORT = "application/vnd.exemplar-lab.report+json"
"""The kind of output under which the .ipynb keeps a report."""

_KNOWN = {"int": int, "float": float, "str": str, "bool": bool, "list": list, "dict": dict, "tuple": tuple, "None": None}

LARGEST = 1_500_000
"""Bytes that a committed notebook may have."""

_WIDGET = "application/vnd.jupyter.widget-view+json"
_OF_IPYTHON = {"In", "Out"}
_CHECKED = "_exemplar_lab_parameters_checked"


class NotebookFailedError(RuntimeError):
    """A cell raised; the message names the cell, the error, and where the executed part lies."""


class Declared(NamedTuple):
    """What a notebook says of one of its parameters."""

    kind: Kind
    default: object
    """The value in the cell tagged `parameters`; its source text where it is no literal."""


@dataclass(frozen=True)
class Report:
    """What a notebook found: a table when a cell shows it, and JSON in the .ipynb under the name REPORT."""

    rows: list[dict[str, object]] = field(default_factory=list)
    numbers: dict[str, object] = field(default_factory=dict)
    """What holds for every row, or alone when there are no rows."""

    def __repr__(self) -> str:
        lines = [{**row, **self.numbers} for row in self.rows or [{}]]
        columns = list(dict.fromkeys(name for line in lines for name in line))
        cells = [columns] + [[_in_short(line.get(name)) for name in columns] for line in lines]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        return "\n".join("  ".join(map(str.rjust, line, widths)) for line in cells)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, object]:
        pairs = {"rows": [list(row.items()) for row in self.rows], "numbers": list(self.numbers.items())}
        return {"text/plain": repr(self), REPORT: pairs}  # pairs, because nbformat sorts the names of a dict


def report(rows: Sequence[Mapping[str, object]] = (), /, **numbers: object) -> Report:
    """What a notebook wants a sweep to know of it, to be shown by the last line of a cell: `report(pck=0.61, epe=3.2)`.

    Values are numbers or strings; a tensor or array of one number will do, and so will {"mean": …} as `summarise` gives it,
    of which the mean is taken. NaN and infinity, which JSON does not know, become None.
    rows: for more than one line of numbers, such as one for each method; `numbers` then belong to every line.
    A notebook may show several reports: their rows are put together, and numbers without rows belong to all rows.
    """
    if not rows and not numbers:
        raise ValueError("got nothing to report, expected numbers by name, report(epe=3.2), or a list of rows, each a dict")
    return Report(
        [{name: _reportable(name, value) for name, value in row.items()} for row in rows],
        {name: _reportable(name, value) for name, value in numbers.items()},
    )


def reported(notebook: Mapping) -> list[dict[str, object]]:
    """The rows that an executed notebook (as nbformat reads it) shows in reports; [] when it reports nothing."""
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", ())]
    reports = [output["data"][REPORT] for output in outputs if REPORT in output.get("data", {})]
    everywhere = {name: value for one in reports if not one["rows"] for name, value in one["numbers"]}
    rows = [dict(row) | dict(one["numbers"]) | everywhere for one in reports for row in one["rows"]]
    return rows or ([everywhere] if everywhere else [])


def check_parameters(namespace: dict[str, object], **declared: Kind) -> SimpleNamespace:
    """The checked parameters of a notebook: `P = check_parameters(globals(), profile=("smoke", "cpu", "gpu"), seed=int)`.

    namespace: globals() of the notebook, right after its `parameters` cell; `declared`: every parameter and what it may be.
    An int is taken where a float is declared; a bool is no int, and a string such as "1e-3" no float.
    Raises ValueError for a parameter that is missing or not what was declared, and for a name that was not declared: it is
    misspelt. Names are looked through only the first time in a kernel; later the namespace holds the notebook's own variables.
    """
    if _CHECKED not in namespace:
        _refuse_strangers([name for name, value in namespace.items() if _is_parameter(name, value)], declared)
    if missing := [name for name in declared if name not in namespace]:
        raise ValueError(f"expected a parameter {missing[0]!r}, got none: set it in the cell tagged `parameters`")
    checked = {name: _checked(name, namespace[name], kind) for name, kind in declared.items()}
    namespace[_CHECKED] = True
    return SimpleNamespace(**checked)


def run_notebook(
    path: Path | str, out: Path | str, parameters: Mapping[str, object] | None = None, progress: bool = True
) -> Path:
    """Execute the notebook at `path` with `parameters` and write it, with its outputs, to `out`; gives `out` back.

    It runs in the notebook's own folder, as in JupyterLab, so a relative path among the parameters is read from there.
    Before anything starts, names and types are held against the notebook's `parameters` cell (ValueError). When a cell fails,
    NotebookFailedError names it, and `out` keeps everything up to and including the failure.
    """
    import papermill

    path, out = Path(path), Path(out)
    declared = declared_parameters(path)
    if out.resolve() == path.resolve():
        raise ValueError(
            f"got {out} as both the notebook and its output, expected another file: the notebook would be overwritten"
        )
    values = check_values(parameters or {}, declared)
    logging.getLogger("papermill").setLevel(logging.ERROR)  # it takes `steps: int | None = None` for unknown, and says so
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        papermill.execute_notebook(
            path,
            out,
            values,
            kernel_name="python3",
            language="python",
            cwd=path.parent,
            progress_bar=progress,
            extra_arguments=["--IPKernelApp.log_level=40"],  # its warnings would break the bar
        )
    except papermill.PapermillExecutionError as error:
        what = f"{error.ename}: {error.evalue}".rstrip(": ")
        raise NotebookFailedError(f"{path.name} failed in cell [{error.exec_count}]: {what} (executed so far: {out})") from None
    return out


def keep_outputs(path: Path | str, executed: Path | str, shrink: Callable[[bytes], bytes], largest: int = LARGEST) -> int:
    """Put the outputs of `executed` into the notebook at `path`, of which it is a run; gives the bytes that it then has.

    Nothing else of it changes. Outputs lose what differs from run to run and shows nothing in a file: the ids of widgets, and
    where a stream of text happened to be cut. shrink: rewrites the PNG of a picture. The file appears whole or stays as it was.
    Raises ValueError when the two have different cells, and above `largest` bytes.
    """
    import nbformat

    path = Path(path)
    notebook, made = read_notebook(path), read_notebook(executed)
    if [cell.source for cell in notebook.cells] != [cell.source for cell in made.cells]:
        raise ValueError(f"got {executed}, expected a run of {path} as it is now: execute it again")
    for cell, ran in zip(notebook.cells, made.cells, strict=True):
        if cell.cell_type == "code":
            cell.execution_count, cell.outputs = ran.execution_count, list(_lasting(ran.outputs, shrink))
    part = path.with_name(f".{path.name}.part")
    try:
        nbformat.write(notebook, part)
        size = part.stat().st_size
        if size > largest:
            raise ValueError(
                f"got {path} of {size / 1e6:.2f} MB with its outputs, expected at most {largest / 1e6:g}: draw fewer or "
                f"smaller pictures ({executed} has them all)"
            )
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return size


def declared_parameters(path: Path | str) -> dict[str, Declared]:
    """The parameters of a notebook: what its cell tagged `parameters` sets, and its call of `check_parameters` allows."""
    cells = read_notebook(path).cells
    tagged = next((cell.source for cell in cells if "parameters" in cell.metadata.get("tags", [])), "")
    try:
        found = dict(_declared(ast.parse(tagged)))
    except SyntaxError as error:
        raise ValueError(f"got {path}, expected a notebook whose `parameters` cell Python can read ({error})") from None
    allowed = dict(_allowed(cell.source for cell in cells if cell.cell_type == "code"))
    return {name: Declared(allowed.get(name, one.kind), one.default) for name, one in found.items()}


def check_values(values: Mapping[str, object], declared: Mapping[str, Declared]) -> dict[str, object]:
    """`values` by parameter, each held against what the notebook says of it. ValueError for what is misspelt or mistyped."""
    _refuse_strangers(list(values), declared)
    return {name: _checked(name, value, declared[name].kind) for name, value in values.items()}


def read_notebook(path: Path | str):
    """The notebook as nbformat gives it. FileNotFoundError or ValueError when there is none."""
    import nbformat

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"got {path}, which is no file, expected a notebook (.ipynb)")
    if path.suffix != ".ipynb":
        raise ValueError(f"got {path}, expected a notebook (.ipynb)")
    try:
        return nbformat.read(path, as_version=4)
    except Exception as error:  # what nbformat raises for a damaged file is neither documented nor of one type
        raise ValueError(f"got {path}, expected a readable notebook ({type(error).__name__}: {error})") from None


def _lasting(outputs: Sequence[dict], shrink: Callable[[bytes], bytes]) -> Iterator[dict]:
    """Outputs as a file keeps them; see `keep_outputs`."""
    stream = None
    for output in outputs:
        data = output.get("data", {})
        if data.pop(_WIDGET, None) and not data:
            continue
        if stream and output["output_type"] == "stream" and output["name"] == stream["name"]:
            stream["text"] += output["text"]
            continue
        stream = output if output["output_type"] == "stream" else None
        if "image/png" in data:
            data["image/png"] = base64.b64encode(shrink(base64.b64decode(data["image/png"]))).decode() + "\n"
        yield output


def _declared(cell: ast.Module) -> Iterator[tuple[str, Declared]]:
    """The names that a `parameters` cell sets, with their annotation, or without one with the type of their value.

    papermill.inspect_notebook would overlook `steps: int | None = None`.
    """
    for line in cell.body:
        if not isinstance(line, (ast.AnnAssign, ast.Assign)):
            continue
        try:
            default = ast.literal_eval(line.value) if line.value else None
            kind = object if default is None else type(default)
        except ValueError:
            default, kind = ast.unparse(line.value), object
        if isinstance(line, ast.AnnAssign):
            words = ast.unparse(line.annotation).split(" | ")
            kind = tuple(_KNOWN[word] for word in words) if set(words) <= set(_KNOWN) else object
        yield ast.unparse(line.target if isinstance(line, ast.AnnAssign) else line.targets[0]), Declared(kind, default)


def _allowed(sources: Iterator[str]) -> Iterator[tuple[str, Kind]]:
    """What the notebook's own call of `check_parameters` will allow, so that a wrong value need not wait for that cell."""
    for source in sources:
        try:
            nodes = list(ast.walk(ast.parse(source)))
        except SyntaxError:  # a cell with magics
            continue
        calls = [node for node in nodes if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("check_parameters")]
        for given in (given for call in calls for given in call.keywords):
            try:
                yield given.arg, _kind(given.value)
            except ValueError:  # written in a way that only the kernel can read
                continue


def _kind(node: ast.expr) -> Kind:
    if isinstance(node, ast.Tuple):
        return tuple(map(_kind, node.elts))
    return _KNOWN[node.id] if isinstance(node, ast.Name) and node.id in _KNOWN else ast.literal_eval(node)


def _refuse_strangers(names: list[str], declared: Mapping[str, object]) -> None:
    strangers = [name for name in names if name not in declared]
    if not strangers:
        return
    guess = get_close_matches(strangers[0], declared, n=1)
    hint = f"did you mean {guess[0]!r}?" if guess else "correct or remove it"
    expected = f"one of {', '.join(declared)}" if declared else "none: this notebook takes no parameters"
    raise ValueError(f"got a parameter {strangers[0]!r}, expected {expected}; {hint}")


def _is_parameter(name: str, value: object) -> bool:
    """Whether a name of the namespace was put there by a `parameters` cell: not by IPython, and not by an import."""
    return not (name.startswith("_") or name in _OF_IPYTHON or isinstance(value, ModuleType) or callable(value))


def _checked(name: str, value: object, kind: Kind) -> object:
    """`value`, an int made a float where only a float will do. ValueError when it is nothing that `kind` names."""
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if any(_is(value, one) for one in kinds):
        return value
    if float in kinds and _is(value, int):
        return float(value)
    raise ValueError(f"got {name} = {value!r} ({type(value).__name__}), expected {' or '.join(map(_in_words, kinds))}")


def _is(value: object, kind: object) -> bool:
    if isinstance(kind, type):
        return isinstance(value, kind) and (kind is not int or not isinstance(value, bool))
    return type(value) is type(kind) and value == kind


def _in_words(kind: object) -> str:
    return {bool: "True or False", str: "a string", int: "an integer", float: "a number"}.get(kind) or (
        kind.__name__ if isinstance(kind, type) else repr(kind)
    )


def _reportable(name: str, value: object) -> object:
    """`value` as JSON can hold it."""
    if isinstance(value, Mapping) and "mean" in value:
        value = value["mean"]
    if hasattr(value, "item"):
        with suppress(ValueError, RuntimeError):  # more than one number, as NumPy and torch say it
            value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise ValueError(f"got {name} = {value!r} ({type(value).__name__}) to report, expected one number or a string")


def _in_short(value: object) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
