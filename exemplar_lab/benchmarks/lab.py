"""JupyterLab on 127.0.0.1, in folders of its own, and what a reader does there: open a notebook, run cells, save."""

import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import ProxyHandler, Request, build_opener

from exemplar_lab.benchmarks.browser import HERE, Heard, Page

NOISE = ("Could not restore the debugger state",)  # said when a kernel is shut down before it has told of its debugger
"""Beginnings of errors that JupyterLab itself makes and that no reader notices."""

_SETTINGS = {
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/docmanager-extension/plugin": {"autosave": False},
    "@jupyter-widgets/jupyterlab-manager/plugin": {"saveState": True},
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},  # all outputs are in the page, seen or not
}

_FOLDERS = {
    "JUPYTER_CONFIG_DIR": "config",
    "JUPYTER_DATA_DIR": "data",
    "JUPYTER_RUNTIME_DIR": "runtime",
    "JUPYTERLAB_SETTINGS_DIR": "settings",
    "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    "IPYTHONDIR": "ipython",
}

_OPEN = "() => window.jupyterapp?.shell.currentWidget?.content?.widgets?.length > 0"

_CONNECTED = """async () => {
    const notebook = window.jupyterapp.shell.currentWidget;
    await notebook.revealed;
    await notebook.sessionContext.ready;
    await notebook.sessionContext.session.kernel.info;
    window.exemplarLab = {connected: true};
}"""

_CHOOSE = """(cell) => {
    const notebook = window.jupyterapp.shell.currentWidget.content;
    notebook.deselectAll();
    notebook.activeCellIndex = cell;
}"""

_START = """([name, given]) => {
    const state = window.exemplarLab = {done: false, error: ""};
    window.jupyterapp.commands.execute(name, given).then(
        () => { state.done = true; },
        (error) => Object.assign(state, {error: String(error), done: true}),
    );
}"""

_READ = """() => window.jupyterapp.shell.currentWidget.content.model.sharedModel.toJSON().cells.map((cell) => ({
    kind: cell.cell_type,
    source: [].concat(cell.source).join(""),
    count: cell.execution_count ?? null,
    outputs: cell.outputs ?? [],
}))"""


@dataclass(frozen=True)
class Lab:
    """A server that runs, its token, and the folder that it shows."""

    address: str
    token: str
    root: Path


@contextmanager
def serve(root: Path, patience: float = 60.0) -> Iterator[Lab]:
    """JupyterLab over `root` on a free port of 127.0.0.1, with a random token and settings of its own; stopped at the end.

    Raises RuntimeError with the server's last words when it does not start within `patience` seconds.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as private:
        token = secrets.token_hex(16)
        log = Path(private) / "server.log"
        with log.open("wb") as words:
            process = subprocess.Popen(
                [sys.executable, "-m", "jupyterlab", *_options(root, token)],
                env=_environment(Path(private)),
                cwd=root,
                stdout=words,
                stderr=subprocess.STDOUT,
            )
        try:
            lab = Lab(_address(process, Path(private), log, patience), token, root)
            yield lab
            end_sessions(lab)
        finally:
            _stop(process)


def complaints(heard: Heard) -> list[str]:
    """Errors that are no NOISE, and requests to other places than 127.0.0.1."""
    errors = [error for error in heard.errors if not error.startswith(NOISE)]
    return errors + [f"asked for {address}" for address in heard.away()]


def end_sessions(lab: Lab) -> None:
    """Shut down every kernel of the server."""
    for session in ask(lab, "/api/sessions"):
        ask(lab, f"/api/sessions/{session['id']}", "DELETE")


def ask(lab: Lab, path: str, method: str = "GET") -> Any:
    """What the server's own interface answers, None when it says nothing."""
    request = Request(lab.address + path, method=method, headers={"Authorization": f"token {lab.token}"})
    with build_opener(ProxyHandler({})).open(request, timeout=30) as answer:
        body = answer.read()
    return json.loads(body) if body else None


def open_notebook(page: Page, lab: Lab, path: str, patience: float = 60.0) -> None:
    """Open the notebook at `path` (below the server's root) in a fresh JupyterLab, and wait until its kernel answers."""
    page.goto(f"{lab.address}/lab/tree/{quote(path)}?reset&token={lab.token}", wait_until="domcontentloaded")
    page.wait_for_function(_OPEN, timeout=1e3 * patience)
    wait_for_kernel(page, patience)


def wait_for_kernel(page: Page, patience: float = 60.0) -> None:
    """Wait until the kernel of the open notebook has answered: one that is called idle need not be connected yet."""
    page.evaluate("() => { window.exemplarLab = {connected: false}; }")
    page.evaluate(f"() => {{ ({_CONNECTED})(); }}")
    page.wait_for_function("() => window.exemplarLab.connected", timeout=1e3 * patience)


def run_all(page: Page, patience: float = 300.0) -> None:
    """Run the open notebook from top to bottom, and wait; like JupyterLab it stops at the first error."""
    command(page, "notebook:run-all-cells", patience=patience)


def run_cell(page: Page, index: int, patience: float = 120.0) -> None:
    """Run the cell `index` (Markdown cells count) of the open notebook, and wait."""
    page.evaluate(_CHOOSE, index)
    command(page, "notebook:run-cell", patience=patience)


def shut_down_kernel(page: Page) -> None:
    """Shut down the kernel of the open notebook, so that its page has no Python behind it."""
    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")


def save(page: Page) -> None:
    """Save the open notebook, with the state of its widgets."""
    command(page, "docmanager:save")


def command(page: Page, name: str, given: dict[str, Any] | None = None, patience: float = 60.0) -> None:
    """Do what an entry of JupyterLab's menus does, and wait for its end. RuntimeError when it fails."""
    page.evaluate(_START, [name, given or {}])
    page.wait_for_function("() => window.exemplarLab.done", timeout=1e3 * patience)
    if error := page.evaluate("() => window.exemplarLab.error"):
        raise RuntimeError(f"JupyterLab could not do {name}: {error}")


def cells(page: Page) -> list[dict[str, Any]]:
    """The cells of the open notebook as they stand: {"kind", "source", "count", "outputs"}."""
    return page.evaluate(_READ)


def problem(found: Sequence[dict[str, Any]]) -> str:
    """Why the first of these cells that did not run to its end did not; "" when all did. One without code need not run."""
    for cell in found:
        source = cell["source"].strip()
        if cell["kind"] != "code" or not source:
            continue
        raised = next((one for one in cell["outputs"] if one["output_type"] == "error"), None)
        if raised or cell["count"] is None:
            words = f"{raised['ename']}: {raised['evalue']}" if raised else "not run"
            return f"the cell {source.splitlines()[0]!r}: {words}"
    return ""


def write_notebook(path: Path, sources: Sequence[str]) -> None:
    """A notebook of these code cells, for this package's kernel."""
    kept = [{"cell_type": "code", "id": f"cell-{n}", "source": one, **_NOT_RUN} for n, one in enumerate(sources)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path.write_text(json.dumps({"cells": kept, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}))


_NOT_RUN: dict[str, Any] = {"metadata": {}, "outputs": [], "execution_count": None}


def _options(root: Path, token: str) -> list[str]:
    return [
        "--no-browser",
        "--allow-root",
        f"--ServerApp.ip={HERE}",
        "--ServerApp.port=0",
        f"--ServerApp.root_dir={root}",
        f"--IdentityProvider.token={token}",
        "--LabApp.expose_app_in_browser=True",
    ]


def _environment(private: Path) -> dict[str, str]:
    """This process's own, with none of the user's settings of Jupyter."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "IPYTHON"))}
    for folder in _FOLDERS.values():
        (private / folder).mkdir()
    for name, settings in _SETTINGS.items():
        file = private / "settings" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(settings))
    return kept | {name: str(private / folder) for name, folder in _FOLDERS.items()}


def _address(process: subprocess.Popen, private: Path, log: Path, patience: float) -> str:
    """Where the server says that it can be reached, as soon as it answers there."""
    end = time.monotonic() + patience
    while time.monotonic() < end and process.poll() is None:
        for written in (private / "runtime").glob("jpserver-*.json"):
            try:
                about = json.loads(written.read_text())
                address = f"http://{HERE}:{about['port']}"
                ask(Lab(address, about["token"], private), "/api/status")
                return address
            except (ValueError, URLError, TimeoutError):  # written in part, or not listening yet
                continue
        _ended(process, 0.05)
    last = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
    raise RuntimeError(f"JupyterLab did not start within {patience:g} s; its last words:\n{last}")


def _stop(process: subprocess.Popen) -> None:
    process.terminate()
    if not _ended(process, 15.0):
        process.kill()
        process.wait()


def _ended(process: subprocess.Popen, within: float) -> bool:
    try:
        process.wait(within)
    except subprocess.TimeoutExpired:
        return False
    return True
