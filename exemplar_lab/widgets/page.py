"""JavaScript and style of the widgets; and of the explorer one file that shows it without Python and without a network."""

import base64
import html
import json
from functools import cache
from pathlib import Path

_STATIC = Path(__file__).parent / "static"

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
body {{ margin: 0 auto; padding: 16px; max-width: 1200px; font-family: system-ui, sans-serif; }}
{style}
</style>
</head>
<body>
<div id="explorer"></div>
<noscript><p>{words}</p><img alt="{words}" src="data:image/png;base64,{picture}"></noscript>
<script type="application/json" id="state">{state}</script>
<script type="module">
{script}
</script>
</body>
</html>
"""


@cache
def front_end(room: str = "explorer") -> tuple[str, str]:
    """(ES module, style sheet) of a widget: the files of static/shared and static/`room`, in the order of their names."""
    places = (_STATIC / "shared", _STATIC / room)
    files = {kind: [path for place in places for path in sorted(place.glob(f"*.{kind}"))] for kind in ("js", "css")}
    return tuple("\n".join(map(_text, of)) for of in files.values())


def offline_page(state: dict[str, object], words: str, picture: bytes) -> str:
    """One HTML file that needs nothing else. state: the traits of the explorer; words, picture (PNG): where no script runs."""
    script, style = front_end()
    return _PAGE.format(
        title=html.escape(state["shown"]["title"] or "Where every pixel came from"),
        words=html.escape(words, quote=True),
        picture=base64.b64encode(picture).decode(),
        style=style,
        script=script.replace("export default { render };", "") + _text(_STATIC / "offline.js"),
        # A page ends a script at "</script", wherever it stands, even in a string.
        state=json.dumps(state, default=_in_base64, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
    )


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _in_base64(value: object) -> dict[str, str]:
    if not isinstance(value, bytes):
        raise TypeError(f"got {type(value).__name__} in the explorer's state, expected bytes or what JSON knows")
    return {"$bytes": base64.b64encode(value).decode()}
