"""A notebook on every point of a grid of parameters: several at once, each in a process of its own, each done only once.

A point is complete when its executed notebook lies in the sweep's folder. It gets there by one renaming, under a name that ends
in the point's key: a hash of all parameters, of the notebook's code cells, and of the package's version. So a sweep that was
killed goes on when it is started again, and a changed notebook is run anew. The code of the package is no part of the key, or
each edit would throw away hours; every result says by which code it was made, so that a mixed table can be seen.
"""

import csv
import hashlib
import io
import itertools
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from exemplar_lab import __version__
from exemplar_lab.notebook import NotebookFailedError, check_values, declared_parameters, read_notebook, reported, run_notebook

_PATIENCE = 12.0
"""Seconds that a point may take to stop: a kernel is asked first, and killed after five."""


class Point(NamedTuple):
    """One place of the grid."""

    label: str
    """What tells it from the others: "top_k=2, seed=0"."""
    given: dict[str, object]
    parameters: dict[str, object]
    """All of the notebook's, `given` and defaults."""
    path: Path
    """The executed notebook, once the point is complete."""

    @property
    def failed(self) -> Path:
        """The executed part, when it failed."""
        return self.path.with_suffix(".failed.ipynb")


class Result(NamedTuple):
    """What an executed point left."""

    point: Point
    rows: list[dict[str, object]]
    """What the notebook reported."""
    seconds: float
    code: str
    """Which code of the package made it."""
    error: str
    """The cell and the exception that ended it, or ""."""
    path: Path


class Progress(NamedTuple):
    """How a sweep stands; told whenever a point ends, and a few times per second in between."""

    running: tuple[str, ...]
    ended: Result | None


def make_points(notebook: Path | str, axes: Mapping[str, Sequence], folder: Path | str, limit: int = 1000) -> list[Point]:
    """All points of a grid; the last axis changes fastest.

    axes: the values of each parameter, one or more. Raises ValueError for a parameter or a value that the notebook would not
    take, for an axis that is empty or names a value twice, and for more than `limit` points.
    """
    notebook, folder = Path(notebook), Path(folder)
    declared = declared_parameters(notebook)
    checked = {}
    for name, values in axes.items():
        if not values:
            raise ValueError(f"got no value for {name}, expected one or more")
        checked[name] = [check_values({name: value}, declared)[name] for value in values]
        for at, value in enumerate(checked[name]):
            if repr(value) in map(repr, checked[name][:at]):
                raise ValueError(f"got {name} = {value!r} twice, expected each value once")
    grid = [dict(zip(checked, values, strict=True)) for values in itertools.product(*checked.values())]
    if len(grid) > limit:
        raise ValueError(f"got a grid of {len(grid)} points, expected at most {limit}: name fewer values, or raise --limit")
    defaults = {name: one.default for name, one in declared.items()}
    source = source_hash(notebook)
    several = [name for name, values in checked.items() if len(values) > 1] or list(checked)
    points = []
    for given in grid:
        parameters = defaults | given
        name = f"{_file_name(given, defaults)}{_key(parameters, source)}.ipynb"
        label = ", ".join(f"{axis}={given[axis]}" for axis in several) or notebook.stem
        points.append(Point(label, given, parameters, folder / name))
    return points


def run_points(
    notebook: Path | str, points: Sequence[Point], jobs: int = 1, start: Callable[..., subprocess.Popen] | None = None
) -> Iterator[Progress]:
    """Run what is not complete, `jobs` points at a time, and tell how it stands. Points that fail do not stop the others.

    Closing the generator, as an interrupt does, ends what is running and leaves no trace of it; no process survives a sweep
    that is killed. start: begins one point, as `start_point` does, which is the default.
    Raises ValueError while another sweep works in the same folder, and when the notebook is changed meanwhile.
    """
    if jobs < 1:
        raise ValueError(f"got {jobs} jobs, expected at least 1")
    notebook, start = Path(notebook), start or start_point
    source = source_hash(notebook)
    todo = deque(point for point in points if not point.path.exists())
    threads = max(1, _cores() // min(jobs, max(1, len(todo))))
    running: list[_Run] = []
    changed = False
    lock = _lock(points[0].path.parent) if todo else None
    try:
        while todo or running:
            while todo and len(running) < jobs:
                if changed := source_hash(notebook) != source:
                    todo.clear()
                    break
                running.append(_begin(notebook, todo.popleft(), threads, start))
            ended = [run for run in running if run.process.poll() is not None]
            for run in ended:
                running.remove(run)
                yield Progress(tuple(one.point.label for one in running), _end(notebook, run))
            if not ended:
                yield Progress(tuple(one.point.label for one in running), None)
                time.sleep(0.2)
    finally:
        _stop(running)
        if lock:
            lock.close()
    if changed:
        raise ValueError(f"{notebook} was changed while the sweep ran, so the rest was left: start again, for the new notebook")


def read_result(point: Point) -> Result | None:
    """What lies in the folder of a point: complete, or failed, or nothing."""
    path = next((path for path in (point.path, point.failed) if path.exists()), None)
    if path is None:
        return None
    notebook = read_notebook(path)
    made = notebook.metadata.get("exemplar_lab", {})
    return Result(point, reported(notebook), made.get("seconds", 0.0), made.get("code", ""), made.get("error", ""), path)


def results_csv(results: Sequence[Result]) -> str:
    """A line for each reported row: parameters, what was reported, seconds, the package's code, the error, the notebook.

    A reported name that is taken already, by a parameter for instance, becomes `reported NAME`.
    """
    after = ("seconds", "code", "error", "notebook")
    lines = []
    for one in results:
        taken = {*one.point.parameters, *after}
        for row in one.rows or [{}]:
            found = {f"reported {name}" if name in taken else name: value for name, value in row.items()}
            ends = dict(zip(after, (round(one.seconds, 2), one.code, one.error, one.path.name), strict=True))
            lines.append((one.point.parameters, found, ends))
    parts = [dict.fromkeys(name for line in lines for name in line[part]) for part in range(3)]
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, [name for part in parts for name in part], lineterminator="\n")
    writer.writeheader()
    writer.writerows(parameters | found | ends for parameters, found, ends in lines)
    return file.getvalue()


def source_hash(notebook: Path | str) -> str:
    """Of the code cells alone: neither words nor outputs change what a notebook computes."""
    cells = [cell.source for cell in read_notebook(notebook).cells if cell.cell_type == "code"]
    return hashlib.sha256(repr(cells).encode()).hexdigest()


def code_hash() -> str:
    """Of the package's Python files, as they are now."""
    here = Path(__file__).parent
    text = hashlib.sha256()
    for path in sorted(here.rglob("*.py")):
        with suppress(FileNotFoundError):  # someone is at work on the package
            text.update(str(path.relative_to(here)).encode() + path.read_bytes())
    return text.hexdigest()[:12]


def start_point(notebook: Path, out: Path, values: dict[str, object], threads: int, errors: Path) -> subprocess.Popen:
    """Begin `run_notebook` in a process that ends with this one; what it has to say goes into the file `errors`."""
    with errors.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", "from exemplar_lab.sweep import _be_a_point; _be_a_point()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=file,
            env={"OMP_NUM_THREADS": str(threads)} | os.environ,
            start_new_session=True,  # Ctrl-C reaches the sweep alone, which then stops its points
        )
    process.stdin.write(pickle.dumps((notebook, out, values)))
    process.stdin.flush()
    return process


class _Run(NamedTuple):
    point: Point
    process: subprocess.Popen
    part: Path
    errors: Path
    code: str
    since: float


def _lock(folder: Path) -> BinaryIO:
    """An open file that is locked as long as it is open, and so as long as this process lives."""
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / ".lock").open("wb")
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ValueError(f"another sweep is at work in {folder}: wait for it, or name another folder") from None
    except (ImportError, OSError):  # Windows has no such lock, nor have some folders on a network
        pass
    return file


def _begin(notebook: Path, point: Point, threads: int, start: Callable[..., subprocess.Popen]) -> _Run:
    part = point.path.with_name(f".{point.path.name}")  # papermill writes it cell by cell
    errors = part.with_suffix(".err")
    part.unlink(missing_ok=True)
    process = start(notebook, part, point.given, threads, errors)
    return _Run(point, process, part, errors, code_hash(), time.monotonic())


def _end(notebook: Path, run: _Run) -> Result:
    """Give what the point left its name, and a note of how it was made."""
    import nbformat

    failed = run.process.returncode != 0
    try:
        made = read_notebook(run.part)
    except (OSError, ValueError):  # it ended before papermill had written anything whole
        made, failed = read_notebook(notebook), True
    error = _problem(made, run) if failed else ""
    seconds = made.metadata.get("papermill", {}).get("duration") or time.monotonic() - run.since
    made.metadata["exemplar_lab"] = {
        "parameters": {name: repr(value) for name, value in run.point.parameters.items()},
        "version": __version__,
        "code": run.code,
        "seconds": seconds,
        "error": error,
    }
    nbformat.write(made, run.part)
    os.replace(run.part, run.point.failed if failed else run.point.path)
    if not failed:
        run.point.failed.unlink(missing_ok=True)
    _clear(run)
    return read_result(run.point)


def _problem(made: Mapping, run: _Run) -> str:
    """The error that a cell shows, or else the last that the process said."""
    for cell in made["cells"]:
        for output in cell.get("outputs", ()):
            if output["output_type"] == "error":
                return f"cell [{cell['execution_count']}]: {output['ename']}: {output['evalue']}".rstrip(": ")
    said = run.errors.read_text(errors="replace").strip() if run.errors.exists() else ""
    return said.splitlines()[-1] if said else f"the process ended with exit code {run.process.returncode}"


def _stop(running: list[_Run]) -> None:
    for run in running:
        run.process.stdin.close()  # for `_end_with_the_sweep`
    until = time.monotonic() + _PATIENCE
    for run in running:
        try:
            run.process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            run.process.kill()
            run.process.wait()
        _clear(run)


def _clear(run: _Run) -> None:
    run.part.unlink(missing_ok=True)
    run.errors.unlink(missing_ok=True)
    if run.process.stdin:
        with suppress(BrokenPipeError):
            run.process.stdin.close()


def _be_a_point() -> None:
    """What the process of a point does: its orders come through stdin, which stays open as long as the sweep lives."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell in the background would have it ignored
    notebook, out, values = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_the_sweep, daemon=True).start()
    try:
        run_notebook(notebook, out, values, progress=False)
    except NotebookFailedError as error:
        sys.exit(str(error))


def _end_with_the_sweep() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGINT)  # the kernel is asked to stop
    time.sleep(_PATIENCE)
    os._exit(1)


def _key(parameters: Mapping[str, object], source: str) -> str:
    return hashlib.sha256(repr((sorted(parameters.items()), source, __version__)).encode()).hexdigest()[:12]


def _file_name(given: Mapping[str, object], defaults: Mapping[str, object]) -> str:
    """ "top_k=2,rate=0.1-": what is not as the notebook has it, short, in letters that any file system takes."""
    differs = [f"{name}={value}" for name, value in given.items() if repr(value) != repr(defaults[name])]
    short = re.sub(r"[^\w.,=+-]+", "_", ",".join(sorted(differs)))[:80]
    return f"{short}-" if short else ""


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
