"""Outputs that are committed: the command that makes them, what it leaves out of them, and what it refuses."""

import base64
import io

import nbformat
import numpy as np
import pytest
from PIL import Image

from exemplar_lab.cli import main
from exemplar_lab.notebook import keep_outputs

DRAW = """import sys
from IPython.display import Image as Png, display
from PIL import Image
import io
shades = Image.merge("RGB", [Image.linear_gradient("L").resize((400, 300))] * 3)
Image.Image.save(shades, file := io.BytesIO(), "PNG", compress_level=0)
print("one")
display(Png(file.getvalue()))
print("two", end=" ")
print("three")
6 * 7"""

CELLS = ['profile: str = "smoke"', DRAW, "## Words"]


def write(path, sources=CELLS):
    """A notebook that was executed long ago."""
    cells = [nbformat.v4.new_code_cell(source) for source in sources[:-1]] + [nbformat.v4.new_markdown_cell(sources[-1])]
    cells[0].metadata["tags"] = ["parameters"]
    cells[1].outputs = [nbformat.v4.new_output("stream", text="old\n")]
    cells[1].execution_count = 99
    path.parent.mkdir(exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"title": "kept"}), path)
    return path


def picture(output) -> bytes:
    return base64.b64decode(output["data"]["image/png"])


def pixels(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as file:
        return np.asarray(file.convert("RGB"))


def test_a_notebook_gets_its_outputs_and_small_pictures(tmp_path, monkeypatch, capsys):
    path = write(tmp_path / "notebooks" / "lesson.ipynb")
    before = nbformat.read(path, as_version=4)
    monkeypatch.chdir(tmp_path)
    assert main(["renew", str(path), "--quiet"]) == 0
    after, executed = (nbformat.read(one, as_version=4) for one in (path, tmp_path / "runs/notebooks/lesson.ipynb"))
    first, shown, second, value = after.cells[1].outputs
    assert (first["text"], second["text"], value["data"]["text/plain"]) == ("one\n", "two three\n", "42")
    full = next(picture(one) for one in executed.cells[1].outputs if "image/png" in one.get("data", {}))
    assert len(picture(shown)) < 0.2 * len(full)
    np.testing.assert_allclose(pixels(picture(shown)), pixels(full), atol=3)
    assert [cell.execution_count for cell in after.cells[:2]] == [1, 2]
    for old, new in zip(before.cells, after.cells, strict=True):
        assert (old.id, old.source, old.metadata) == (new.id, new.source, new.metadata)
    assert after.metadata == before.metadata
    assert [one.name for one in path.parent.iterdir()] == ["lesson.ipynb"]
    size = f"{path.stat().st_size / 1e6:.2f} MB"
    assert capsys.readouterr().out.startswith(f"{path}  {size}, executed ")
    bytes_before = path.read_bytes()
    assert main(["renew", str(path), "--quiet"]) == 0
    assert path.read_bytes() == bytes_before, "the same outputs, the same file"


def executed_with(tmp_path, outputs, sources=CELLS):
    """The notebook, and a run of it that left `outputs` in its second cell."""
    path, ran = write(tmp_path / "notebooks" / "lesson.ipynb"), write(tmp_path / "ran.ipynb", sources)
    made = nbformat.read(ran, as_version=4)
    made.cells[1].outputs = [nbformat.from_dict(one) for one in outputs]
    nbformat.write(made, ran)
    return path, ran


def test_what_differs_each_time_is_left_out(tmp_path):
    """Where a stream was cut, and widgets by their ids: a progress bar keeps its text, a bare widget nothing."""
    text = {"output_type": "stream", "name": "stdout", "text": "ab\n"}
    error = {"output_type": "stream", "name": "stderr", "text": "careful\n"}
    widget = {"application/vnd.jupyter.widget-view+json": {"model_id": "5f2c"}}
    bar = {"output_type": "display_data", "metadata": {}, "data": widget | {"text/plain": "0%"}}
    bare = {"output_type": "display_data", "metadata": {}, "data": dict(widget)}
    path, ran = executed_with(tmp_path, [text, text, error, bar, text, bare, text])
    keep_outputs(path, ran, lambda png: png)
    kept = nbformat.read(path, as_version=4).cells[1].outputs
    assert [one.get("text", one.get("data")) for one in kept] == ["ab\nab\n", "careful\n", {"text/plain": "0%"}, "ab\nab\n"]
    assert "5f2c" not in path.read_text()


def test_too_large_a_notebook_stays_as_it_was(tmp_path):
    path, ran = executed_with(tmp_path, [{"output_type": "stream", "name": "stdout", "text": "many words " * 500}])
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"of 0\.01 MB with its outputs, expected at most 0\.005"):
        keep_outputs(path, ran, lambda png: png, largest=5_000)
    assert path.read_bytes() == before and [one.name for one in path.parent.iterdir()] == ["lesson.ipynb"]


def test_outputs_of_other_cells_are_refused(tmp_path):
    path, ran = executed_with(tmp_path, [], [*CELLS[:1], "print(1)", *CELLS[2:]])
    with pytest.raises(ValueError, match="expected a run of .*lesson.ipynb as it is now"):
        keep_outputs(path, ran, lambda png: png)


def test_a_cell_that_fails_leaves_the_notebook_alone(tmp_path, monkeypatch, capsys):
    path = write(tmp_path / "notebooks" / "lesson.ipynb", [*CELLS[:1], "1 / 0", *CELLS[2:]])
    before = path.read_bytes()
    monkeypatch.chdir(tmp_path)
    assert main(["renew", str(path), "--quiet"]) == 1
    assert "lesson.ipynb failed in cell [2]: ZeroDivisionError" in capsys.readouterr().err
    assert path.read_bytes() == before
