"""The benchmark of the explorer and what drives its browser, without one: what is clicked, counted, printed and refused."""

import json
from types import SimpleNamespace
from urllib.error import HTTPError

import nbformat
import pytest

from exemplar_lab.benchmarks import browser, explorer, lab
from exemplar_lab.cli import main


class FakeExplorer:
    """Draws the row of a click the second time it is asked whether it has, 10, 20, 30 … ms after it."""

    def __init__(self):
        self.clicks, self.page = [], self

    def get_by_test_id(self, name: str):
        assert name == "target"
        return self

    def bounding_box(self) -> dict[str, float]:
        return {"x": 5.0, "y": 5.0, "width": 200.0, "height": 100.0}

    def click(self, position: dict[str, float]) -> None:
        self.clicks.append((position["x"], position["y"]))

    def get_attribute(self, name: str) -> str:
        return str({"data-seq": len(self.clicks), "data-latency-ms": 10.0 * len(self.clicks)}[name])

    def element_handle(self) -> str:
        return "handle"

    def wait_for_function(self, script: str, arg: list, timeout: float) -> None:
        assert arg == ["handle", len(self.clicks) - 1], "waits for a row that was there before"


def test_each_click_is_waited_for_and_the_first_warms_up():
    fake = FakeExplorer()
    assert explorer.clicked(fake, 5) == [20.0, 30.0, 40.0, 50.0, 60.0]
    assert len(set(fake.clicks)) == 6 and all(0 < x < 200 and 0 < y < 100 for x, y in fake.clicks)


@pytest.fixture
def times(monkeypatch):
    some = [float(ms) for ms in range(1, 101)]
    found = {case: {"live": some, "portable": [2.0] * 100} for case in explorer.CASES}
    monkeypatch.setattr(explorer, "times", lambda clicks: ("HeadlessChrome/1", found))


def test_the_table_says_median_and_tail_beside_the_goal(times, capsys):
    assert main(["benchmark", "explorer"]) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert "HeadlessChrome/1" in first and "100 clicks" in first and len(lines) == 2 * len(explorer.CASES)
    words = " ".join(lines[0].split())
    assert words == "dense 64² live median 50.5 95 % below 95.0 all below 100.0 goal: median at most 60"
    assert lines[-1].startswith("sparse 256²  portable") and lines[-1].endswith("100")
    assert main(["benchmark", "explorer", "--json"]) == 0
    cases = json.loads(capsys.readouterr().out)["cases"]
    assert cases["sparse 64²"]["portable"] == {"median_ms": 2.0, "p95_ms": 2.0, "worst_ms": 2.0, "goal_ms": 60}


def test_without_a_browser_there_is_one_clear_sentence(monkeypatch, capsys):
    monkeypatch.setenv(browser.VARIABLE, "no-such-browser")
    assert main(["benchmark", "explorer"]) == 2
    error = capsys.readouterr().err
    assert "found no Chromium (no-such-browser)" in error and error.count("\n") == 1
    monkeypatch.setattr(browser.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match="found no playwright"):
        browser.find_chromium()


def test_what_was_heard_tells_this_machine_from_others():
    handlers = {}
    context = SimpleNamespace(pages=[], on=handlers.setdefault)
    heard = browser.Heard()
    browser.listen(context, heard)
    for address in ("http://127.0.0.1:8888/lab", "data:image/png;base64,a", "https://unpkg.com/x.js", "ws://127.0.0.1/api"):
        handlers["request"](SimpleNamespace(url=address))
    for kind in ("error", "warning", "log"):
        handlers["console"](SimpleNamespace(type=kind, text=f"an {kind}", location={"url": "http://127.0.0.1/a.js?v=1"}))
    handlers["weberror"](SimpleNamespace(error="TypeError: x"))
    assert heard.away() == ["https://unpkg.com/x.js"] and len(heard.requests) == 3
    assert heard.errors == ["an error (http://127.0.0.1/a.js)", "uncaught: TypeError: x"]
    heard.errors.append(f"{lab.NOISE[0]}: whatever")
    assert lab.complaints(heard) == [*heard.errors[:2], "asked for https://unpkg.com/x.js"]
    heard.clear()
    assert lab.complaints(heard) == []


def test_jupyterlab_listens_here_alone_and_wants_its_token(tmp_path):
    lab.write_notebook(tmp_path / "a.ipynb", ["1 + 1", "2"])
    nbformat.validate(nbformat.read(tmp_path / "a.ipynb", as_version=4))
    with lab.serve(tmp_path) as running:
        assert running.address.startswith("http://127.0.0.1:")
        assert [one["name"] for one in lab.ask(running, "/api/contents")["content"]] == ["a.ipynb"]
        assert lab.ask(running, "/api/sessions") == []
        with pytest.raises(HTTPError, match="403"):
            lab.ask(lab.Lab(running.address, "another", tmp_path), "/api/contents")
    with pytest.raises(OSError):
        lab.ask(running, "/api/status")


def test_a_server_that_does_not_start_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr(lab, "_options", lambda root, token: ["--no-such-option=1", "--version"])
    with pytest.raises(RuntimeError, match="(?s)did not start.*its last words"), lab.serve(tmp_path):
        pass
