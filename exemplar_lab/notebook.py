"""The parameters of notebooks, refused before they do harm: papermill itself only logs a misspelt name and takes any type.

`check_parameters` stands in the second cell of a notebook and `run_notebook` in front of papermill; both know the same rules.
"""

import ast
import logging
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType, SimpleNamespace

Kind = object
"""What a parameter may be: a type, a value, or a tuple of these. int; ("smoke", "cpu", "gpu"); (int, None)."""

_OF_IPYTHON = {"In", "Out"}
_CHECKED = "_exemplar_lab_parameters_checked"


class NotebookFailedError(RuntimeError):
    """A cell raised; the message names the cell, the error, and where the executed part lies."""


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
    if not path.is_file():
        raise FileNotFoundError(f"got {path}, which is no file, expected a notebook (.ipynb)")
    if path.suffix != ".ipynb":
        raise ValueError(f"got {path}, expected a notebook (.ipynb)")
    if out.resolve() == path.resolve():
        raise ValueError(
            f"got {out} as both the notebook and its output, expected another file: the notebook would be overwritten"
        )
    values = _against_notebook(path, parameters or {})
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


def _against_notebook(path: Path, parameters: Mapping[str, object]) -> dict[str, object]:
    """`parameters`, each held against what the notebook's cell tagged `parameters` says of it."""
    import nbformat

    try:
        cells = nbformat.read(path, as_version=4).cells
        tagged = next((cell.source for cell in cells if "parameters" in cell.metadata.get("tags", [])), "")
        declared = dict(_declared(ast.parse(tagged)))
    except Exception as error:  # what nbformat raises for a damaged file is neither documented nor of one type
        raise ValueError(f"got {path}, expected a readable notebook ({type(error).__name__}: {error})") from None
    _refuse_strangers(list(parameters), declared)
    return {name: _checked(name, value, declared[name]) for name, value in parameters.items()}


def _declared(cell: ast.Module) -> Iterator[tuple[str, Kind]]:
    """The names that a `parameters` cell sets, with their annotation, or without one with the type of their value.

    papermill.inspect_notebook would overlook `steps: int | None = None`.
    """
    known = {"int": int, "float": float, "str": str, "bool": bool, "None": None}
    for line in cell.body:
        if isinstance(line, ast.AnnAssign):
            words = ast.unparse(line.annotation).split(" | ")
            yield ast.unparse(line.target), tuple(known[word] for word in words) if set(words) <= set(known) else object
        elif isinstance(line, ast.Assign):
            try:
                value = ast.literal_eval(line.value)
            except ValueError:
                value = None
            yield ast.unparse(line.targets[0]), object if value is None else type(value)


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
