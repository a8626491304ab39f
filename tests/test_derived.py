"""The cache of decoded images: found by content, whole or not there, and never trusted when it was damaged."""

import multiprocessing
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from layout_folders import camvid
from PIL import Image

from exemplar_lab.data import canvas, derived, whole
from exemplar_lab.data.canvas import Canvas, read_canvas
from exemplar_lab.data.collection import Collection, Item
from exemplar_lab.data.layouts.finding import find_collection
from exemplar_lab.data.skipped import Skipped, readable


@pytest.fixture
def town(tmp_path):
    return find_collection(camvid(tmp_path / "camvid"), "labels")


@pytest.fixture
def decoded(monkeypatch):
    """The names of what was decoded, as it happens."""
    names, honest = [], canvas._decoded
    monkeypatch.setattr(canvas, "_decoded", lambda *asked: names.append(asked[1].name) or honest(*asked))
    return names


def same(one: Canvas, other: Canvas) -> bool:
    return torch.equal(one.image, other.image) and torch.equal(one.labels, other.labels)


def files(cache):
    return sorted(path for path in cache.rglob("*") if path.is_file())


def test_what_is_in_the_cache_is_not_decoded_again(town, tmp_path, decoded):
    items, cache = town.items["train"], tmp_path / "cache"
    fresh = [read_canvas(town, item, 48) for item in items]
    first, second = ([read_canvas(town, item, 48, cache) for item in items] for _ in range(2))
    assert len(decoded) == 2 * len(items) and len(files(cache)) == len(items)
    for one, two, three in zip(fresh, first, second, strict=True):
        assert same(one, two) and same(one, three) and three.keypoints is None
        assert three.image.dtype == torch.uint8 and three.labels.dtype == torch.int16


def test_the_content_of_all_sources_counts_and_their_time_does_not(town, tmp_path, decoded):
    item, cache = town.items["train"][0], tmp_path / "cache"
    before = read_canvas(town, item, 48, cache)
    os.utime(town.folder / item.name, (1, 1))
    read_canvas(town, item, 48, cache)
    assert len(decoded) == 1
    labels = town.folder / item.files[0]
    numbers = np.array(Image.open(labels))
    Image.fromarray(numbers[:, ::-1].copy()).save(labels)
    os.utime(labels, (1, 1))
    after = read_canvas(town, item, 48, cache)
    assert len(decoded) == 2 and torch.equal(before.image, after.image) and not torch.equal(before.labels, after.labels)
    Image.fromarray(numbers).save(labels)
    assert same(read_canvas(town, item, 48, cache), before) and len(decoded) == 2
    os.rename(town.folder / item.name, town.folder / "train" / "renamed.jpg")
    assert same(read_canvas(town, Item("train/renamed.jpg", item.files), 48, cache), before) and len(decoded) == 2


def test_content_counts_where_length_is_the_same(tmp_path):
    pixels, collection = np.arange(20 * 20 * 3, dtype=np.uint8).reshape(20, 20, 3), Collection(tmp_path, "made", "edges", {})
    for value in (pixels, 255 - pixels, pixels):
        Image.fromarray(value).save(tmp_path / "a.bmp")
        found = read_canvas(collection, Item("a.bmp"), 32, tmp_path / "cache").image
        assert np.array_equal(found.movedim(0, -1), value)
    assert len(files(tmp_path / "cache")) == 2


def test_writers_of_one_file_do_not_touch_each_other(tmp_path):
    path = tmp_path / "file"

    def write(content: str, then=lambda: None) -> None:
        with whole.written_whole(path) as beside:
            beside.write_text(content)
            then()

    def another() -> None:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(write, "two").result()
        assert path.read_text() == "two"

    write("one", another)
    assert path.read_text() == "one" and files(tmp_path) == [path]


def test_the_same_files_with_other_settings_are_others(town, tmp_path, decoded):
    item, cache = town.items["train"][0], tmp_path / "cache"
    asked = [
        (town, item, 48),
        (town, item, 40),
        (replace(town, labels=replace(town.labels, names=(*town.labels.names, "more"), void=3)), item, 48),
        (replace(town, labels=replace(town.labels, names=(*town.labels.names, "more"))), item, 48),
        (replace(town, labels=None, structure="edges"), Item(item.name), 48),
    ]
    found = [read_canvas(*one, cache) for one in asked]
    assert len(decoded) == len(asked) == len(files(cache))
    assert found[1].image.shape[1] == 40 and found[4].labels is None and (found[2].labels != found[0].labels).any()
    for one, canvas_ in zip(asked, found, strict=True):
        again = read_canvas(*one, cache)
        assert torch.equal(again.image, canvas_.image) and (again.labels is None) == (canvas_.labels is None)
    read_canvas(replace(asked[4][0], structure="soft edges"), Item(item.name), 48, cache)
    assert len(decoded) == len(asked)  # edges of either kind are drawn from the same canvas


def test_another_version_is_made_anew(town, tmp_path, decoded, monkeypatch):
    item, cache = town.items["train"][0], tmp_path / "cache"
    read_canvas(town, item, 48, cache)
    monkeypatch.setattr(derived, "VERSION", derived.VERSION + 1)
    read_canvas(town, item, 48, cache)
    assert len(decoded) == 2


def test_a_damaged_file_is_made_again(town, tmp_path, decoded):
    item, cache, random = town.items["train"][0], tmp_path / "cache", np.random.default_rng(0)
    expected = read_canvas(town, item, 48, cache)
    (path,) = files(cache)
    content = path.read_bytes()
    damages = [content[:length] for length in (0, 1, 15, 16, 17, 30, len(content) // 2, len(content) - 1)]
    damages += [b"\0" * len(content), content + b"more", b"text" * 50]
    for at in [*range(0, 60, 7), *random.integers(0, len(content), 40).tolist()]:
        flipped = bytearray(content)
        flipped[at] ^= 1 << int(random.integers(8))
        damages.append(bytes(flipped))
    for count, damaged in enumerate(damages, start=2):
        path.write_bytes(damaged)
        assert same(read_canvas(town, item, 48, cache), expected)
        assert len(decoded) == count and path.read_bytes() == content
    path.unlink()
    path.mkdir()
    assert same(read_canvas(town, item, 48, cache), expected)


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_write_leaves_nothing(town, tmp_path, monkeypatch, error):
    item, cache = town.items["train"][0], tmp_path / "cache"

    def interrupted(path, content):
        with open(path, "wb") as file:
            file.write(content[: len(content) // 2])
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(type(cache), "write_bytes", interrupted)
        with pytest.raises(error):
            read_canvas(town, item, 48, cache)
    assert files(cache) == []
    with monkeypatch.context() as patch:
        patch.setattr(whole.os, "replace", lambda *_: (_ for _ in ()).throw(error))
        with pytest.raises(error):
            read_canvas(town, item, 48, cache)
    assert files(cache) == []


def test_where_nothing_can_be_written_images_are_read_all_the_same(town, tmp_path, monkeypatch):
    item = town.items["train"][0]
    (tmp_path / "cache").write_text("a file in the place of the folder")
    assert same(read_canvas(town, item, 48, tmp_path / "cache"), read_canvas(town, item, 48))

    def full_disk(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(type(tmp_path), "write_bytes", full_disk)
    assert same(read_canvas(town, item, 48, tmp_path / "full"), read_canvas(town, item, 48))
    assert files(tmp_path / "full") == []


def test_only_old_halves_are_swept_away(town, tmp_path):
    item, cache = town.items["train"][0], tmp_path / "cache"
    read_canvas(town, item, 48, cache)
    (kept,) = files(cache)
    old, new = (kept.with_name(f".{kept.name}.{pid}.part") for pid in (1, 2))
    for path in (old, new):
        path.write_bytes(b"half")
    for path in (old, kept):
        os.utime(path, (1, 1))
    next(readable(town, 48, cache, Skipped()))
    assert not old.exists() and new.exists() and kept.exists()
    derived.sweep(tmp_path / "nowhere")


# Other processes


def fill(folder, cache, rounds):
    town = find_collection(folder, "labels")
    for _ in range(rounds):
        for item in town.items["train"]:
            read_canvas(town, item, 48, cache)
        for path in cache.rglob("*.canvas"):
            path.unlink(missing_ok=True)
    for item in town.items["train"]:
        read_canvas(town, item, 48, cache)


def fill_alone(*asked):
    torch.set_num_threads(1)  # threads of the parent are not there after a fork
    fill(*asked)


@pytest.fixture
def spawn():
    started = []

    def start(*asked):
        process = multiprocessing.get_context("fork").Process(target=fill_alone, args=asked)
        process.start()
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.join()


def test_two_processes_at_once(town, tmp_path, spawn):
    cache = tmp_path / "cache"
    both = [spawn(town.folder, cache, 15) for _ in range(2)]
    fill(town.folder, cache, 5)
    for process in both:
        process.join(60)
        assert process.exitcode == 0
    assert len(files(cache)) == len(town.items["train"])
    for item in town.items["train"]:
        assert same(read_canvas(town, item, 48, cache), read_canvas(town, item, 48))


def test_a_process_that_is_killed_leaves_nothing_that_is_read(town, tmp_path, spawn):
    cache = tmp_path / "cache"
    for _ in range(3):
        process = spawn(town.folder, cache, 10**6)
        until = time.monotonic() + 20
        while not list(cache.rglob("*.canvas")) and time.monotonic() < until:
            time.sleep(0.001)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        for item in town.items["train"]:
            assert same(read_canvas(town, item, 48, cache), read_canvas(town, item, 48))
        for path in cache.rglob("*.canvas"):
            assert derived._read(path) is not None
