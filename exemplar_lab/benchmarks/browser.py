"""A real Chromium, driven through playwright, and everything that its pages complain about or ask for."""

import importlib.util
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

Page = Any
"""A page of playwright's, whose import is left to the call, so that the package does without it."""

VARIABLE = "CHROMIUM"
"""The environment variable that names another browser than the first of NAMES on the path."""

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

HERE = "127.0.0.1"

_FLAGS = (
    "--no-sandbox",  # in containers, and as root, it has none
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    f"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE {HERE}",  # what asks for another place is heard, and gets nothing
)


@dataclass(frozen=True)
class Heard:
    """What the pages of a browser said and asked for since it was last cleared."""

    errors: list[str] = field(default_factory=list)
    """Errors on the console, and those that no script caught."""
    requests: list[str] = field(default_factory=list)
    """Addresses of all requests, without those that a page makes of its own bytes."""

    def away(self) -> list[str]:
        """Addresses that are not on 127.0.0.1, each once."""
        return sorted({address for address in self.requests if urlsplit(address).hostname != HERE})

    def clear(self) -> None:
        self.errors.clear()
        self.requests.clear()


def find_chromium() -> Path:
    """The browser that is driven: the file that CHROMIUM names, else the first of NAMES on the path.

    Raises FileNotFoundError when there is none, and when playwright, which drives it, is not installed.
    """
    if importlib.util.find_spec("playwright") is None:
        raise FileNotFoundError('found no playwright to drive a browser with: pip install "exemplar-lab[test]"')
    given = os.environ.get(VARIABLE)
    names = (given,) if given else NAMES
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        raise FileNotFoundError(
            f"found no Chromium ({', '.join(names)}): apt-get install chromium, or name the file of one in {VARIABLE}"
        )
    return Path(found)


@contextmanager
def browse(width: int = 1400, height: int = 1000, dark: bool = False) -> Iterator[tuple[Any, Heard]]:
    """A browser without a window and without a past, and what is heard of its pages; closed at the end.

    Raises what `find_chromium` raises.
    """
    chromium = find_chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver, tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = driver.chromium.launch_persistent_context(
            profile,
            executable_path=chromium,
            headless=True,
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            args=list(_FLAGS),
        )
        heard = Heard()
        listen(browser, heard)
        try:
            yield browser, heard
        finally:
            browser.close()


def listen(browser: Any, heard: Heard) -> None:
    """Write into `heard` what any page of the browser says and asks for from now on."""
    browser.on("console", lambda said: heard.errors.append(_in_words(said)) if said.type == "error" else None)
    browser.on("weberror", lambda one: heard.errors.append(f"uncaught: {str(one.error)[:600]}"))
    browser.on("request", lambda asked: _note(asked.url, heard))
    for page in browser.pages:
        page.on("websocket", lambda socket: _note(socket.url, heard))
    browser.on("page", lambda page: page.on("websocket", lambda socket: _note(socket.url, heard)))


def _in_words(said: Any) -> str:
    place = said.location.get("url", "").partition("?")[0]
    return f"{said.text[:600]} ({place})" if place else said.text[:600]


def _note(address: str, heard: Heard) -> None:
    if not address.startswith(("data:", "blob:", "about:")):
        heard.requests.append(address)
