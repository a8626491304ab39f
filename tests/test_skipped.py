"""Reading everything once: in order, within bounds, what is broken said once and counted, and a majority of it an error."""

import threading
from pathlib import Path

import pytest
import torch
from label_folders import photograph
from PIL import Image

from exemplar_lab.data import skipped as module
from exemplar_lab.data.canvas import read_canvas
from exemplar_lab.data.collection import Collection, Item
from exemplar_lab.data.skipped import Skipped, readable


def pictures(folder: Path, many: int, broken: tuple[int, ...] = ()) -> Collection:
    folder.mkdir(exist_ok=True)
    for i in range(many):
        path = folder / f"{i:02}.png"
        Image.fromarray(photograph(20, 20 + i)).save(path)
        if i in broken:
            path.write_bytes([b"", path.read_bytes()[:60], b"<html>"][i % 3])
    items = [Item(f"{i:02}.png") for i in range(many)]
    return Collection(folder, "made", "edges", {"train": tuple(items[: many - 4]), "val": tuple(items[many - 4 :])})


def names(collection: Collection, skipped: Skipped, cache: Path | None = None, progress=iter) -> list[str]:
    return [item.name for _, item, _ in readable(collection, 32, cache, skipped, progress)]


def test_everything_comes_in_order_with_its_split(tmp_path):
    collection, skipped, seen = pictures(tmp_path, 12), Skipped(), []
    found = list(readable(collection, 32, None, skipped, lambda wanted: seen.append(len(wanted)) or iter(wanted)))
    assert [(split, item.name) for split, item, _ in found] == [
        (split, item.name) for split, items in collection.items.items() for item in items
    ]
    for _, item, canvas in found:
        assert torch.equal(canvas.image, read_canvas(collection, item, 32).image)
    assert skipped == Skipped(tried=12) and skipped.words() == "" and seen == [12]
    skipped.check()


def test_what_is_broken_is_said_once_left_out_and_counted(tmp_path, capsys):
    collection, skipped = pictures(tmp_path, 12, broken=(1, 5, 9, 10)), Skipped()
    found = names(collection, skipped)
    assert found == [f"{i:02}.png" for i in (0, 2, 3, 4, 6, 7, 8, 11)] and skipped.tried == 12
    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert said.out == "" and len(lines) == 4
    for line, i in zip(lines, (1, 5, 9, 10), strict=True):
        path = str(tmp_path / f"{i:02}.png")
        assert line.startswith(f"left out: got {path}, ") and "which cannot be read as an image" in line
        assert skipped.reasons[path] in line
    first, second, third, _ = (str(tmp_path / f"{i:02}.png") for i in (1, 5, 9, 10))
    assert skipped.words() == f"4 of 12 images were left out: {first}, {second}, {third}, …"
    skipped.note(first, ValueError("again"))
    assert capsys.readouterr().err == "" and len(skipped.reasons) == 4
    skipped.note("other.png", "two\nlines")
    assert capsys.readouterr().err == "left out: other.png: two lines\n"


def test_missing_files_are_left_out_too(tmp_path):
    collection, skipped = pictures(tmp_path, 8), Skipped()
    (tmp_path / "03.png").unlink()
    (tmp_path / "04.png").unlink()
    (tmp_path / "04.png").mkdir()
    assert len(names(collection, skipped)) == 6
    assert [Path(path).name for path in skipped.reasons] == ["03.png", "04.png"]
    assert "which does not exist" in skipped.reasons[str(tmp_path / "03.png")]


def test_a_majority_stops_the_run_as_soon_as_it_is_certain(tmp_path, capsys):
    half, more = pictures(tmp_path / "half", 10, tuple(range(5))), pictures(tmp_path / "more", 10, (0, 1, 2, 3, 4, 6))
    assert len(names(half, skipped := Skipped())) == 5
    skipped.check()
    one_by_one = []
    with pytest.raises(
        ValueError, match=r"got 6 of 10 images that cannot be read, the first being .*00\.png \(.*expected at least"
    ):
        for _, item, _ in readable(more, 32, None, Skipped()):
            one_by_one.append(item.name)
    assert one_by_one == ["05.png"]
    with pytest.raises(ValueError, match=r"got 2 of 3 images"):
        Skipped({"a": "x", "b": "y"}, 3).check()
    Skipped({"a": "x", "b": "y"}, 4).check()
    with pytest.raises(ValueError, match=r"got 2 of 2 images"):
        Skipped({"a": "x", "b": "y"}, 4).check(2)


def test_a_cache_is_filled_and_broken_files_leave_nothing_in_it(tmp_path):
    collection, cache = pictures(tmp_path / "images", 12, (2,)), tmp_path / "cache"
    assert len(names(collection, Skipped(), cache)) == 11 == len(list(cache.rglob("*.canvas")))


def test_only_a_few_are_read_ahead(tmp_path, monkeypatch):
    collection, read, most = pictures(tmp_path, 40), [], 0
    monkeypatch.setattr(module, "THREADS", 2)
    monkeypatch.setattr(module, "read_canvas", lambda *asked: read.append(1) or read_canvas(*asked))
    for taken, _ in enumerate(readable(collection, 32, None, Skipped()), start=1):
        most = max(most, len(read) - taken)
    assert len(read) == 40 and 0 < most <= 4


def test_a_reader_who_stops_leaves_no_thread(tmp_path):
    before = threading.active_count()
    found = readable(pictures(tmp_path, 40), 32, None, Skipped())
    next(found)
    found.close()
    assert threading.active_count() == before


def test_an_error_of_the_program_is_no_broken_file(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "read_canvas", lambda *_: {}["bug"])
    with pytest.raises(KeyError, match="bug"):
        names(pictures(tmp_path, 6), Skipped())
