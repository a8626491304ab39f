"""One JupyterLab and one Chromium for all tests of a worker; each test gets a page, no kernels, and what the page said."""

import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

from exemplar_lab.benchmarks.browser import browse, find_chromium
from exemplar_lab.benchmarks.lab import complaints, end_sessions, serve

ROOT = Path(__file__).parents[2]

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"  # for the kernels, which are children of this process


def missing() -> str:
    """Why no browser can be driven; "" when one can."""
    try:
        find_chromium()
    except FileNotFoundError as words:
        return str(words)
    return ""


def pytest_terminal_summary(terminalreporter):
    """Once for all, and not once for each test."""
    if missing() and terminalreporter.stats.get("skipped"):
        terminalreporter.write_line(f"Nothing was tried in a browser: {missing()}.", yellow=True)


@pytest.fixture(scope="session")
def chromium():
    if words := missing():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(words)


@pytest.fixture(scope="session")
def lab(chromium, tmp_path_factory):
    """A server over copies of the notebooks and of the figures that they show, so that nothing of the checkout is changed."""
    root = tmp_path_factory.mktemp("lab")
    for folder, kept in {"notebooks": "*.ipynb", "figures": "*"}.items():
        (root / folder).mkdir()
        for path in (ROOT / folder).glob(kept):
            shutil.copy(path, root / folder)
    with serve(root) as running:
        yield running


@pytest.fixture(scope="session")
def browser(chromium):
    with browse() as driven:
        yield driven


@pytest.fixture(scope="session")
def fresh_page(browser, lab):
    """`with fresh_page() as page`: an empty page; afterwards it is closed, no kernel is left, and nothing was wrong."""
    context, heard = browser

    @contextmanager
    def opened():
        page = context.new_page()
        try:
            yield page
        finally:
            page.close()
            end_sessions(lab)
            wrong = taken(heard)
        assert wrong == []

    return opened


@pytest.fixture
def page(fresh_page):
    with fresh_page() as opened:
        yield opened


@pytest.fixture(autouse=True)
def heard(browser):
    """What pages said and asked for in this test, and before it while the page was made that it shares with others of its
    file: nothing is forgotten at the start. In the end there must be no error, and no request off this machine."""
    yield browser[1]
    assert taken(browser[1]) == []


def taken(heard) -> list[str]:
    """What there is to complain of; then all is forgotten, so that the next one is not blamed for it."""
    wrong = complaints(heard)
    heard.clear()
    return wrong
