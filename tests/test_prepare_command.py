"""`exemplar-lab prepare` as it is typed: what it prints, what it writes, and what is wrong in one sentence."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from layout_folders import camvid, pictures
from PIL import Image

from exemplar_lab.cli import main
from exemplar_lab.data.collection import ROOM, read_collection
from exemplar_lab.training import preparing
from exemplar_lab.training.recipes import make_recipe


@pytest.fixture
def town(tmp_path) -> Path:
    camvid(tmp_path / "town")
    return tmp_path / "town"


def test_it_says_what_is_there_and_what_to_do_next(town, capsys):
    assert main(["prepare", str(town), "--task", "labels", "--size", "32"]) == 0
    said = capsys.readouterr().out
    done, _ = read_collection(town)
    counts = ", ".join(f"{len(items)} {split}" for split, items in done.items.items())
    assert f"CamVid: {counts}" in said and "condition: labels of 11 classes" in said
    assert f"exemplars of {sum(map(len, done.items.values()))} images: training images with similar labels\n" in said
    assert said.rstrip().endswith(f"next: exemplar-lab train dynast --data {town}")
    with Image.open(town / ROOM / "contact.png") as sheet:
        assert sheet.format == "PNG" and min(sheet.size) > 300
    assert not [path for path in (town / ROOM).rglob("*") if path.name.endswith(".part")]


def test_another_room_is_what_trains(town, tmp_path, capsys):
    room = tmp_path / "my room"
    assert main(["prepare", str(town), "--task", "labels", "--size", "32", "--out", str(room), "--by", "none"]) == 0
    said = capsys.readouterr().out
    assert f"train dynast --data '{room}'" in said and "exemplars: distorted copies of the targets\n" in said
    assert not (town / ROOM).exists() and read_collection(room)[0].exemplars == {}


def test_a_bare_name_is_no_data_set_of_the_recipes(town, capsys, monkeypatch):
    town.rename(town.parent / "photos")
    monkeypatch.chdir(town.parent)
    assert main(["prepare", "photos", "--task", "labels", "--size", "32"]) == 0
    assert capsys.readouterr().out.rstrip().endswith("train dynast --data ./photos")
    assert make_recipe("dynast", "./photos", "smoke").source.condition_channels == 11
    monkeypatch.chdir("photos")
    assert main(["prepare", ".", "--task", "labels", "--size", "32"]) == 0
    assert capsys.readouterr().out.rstrip().endswith("train dynast --data .")


def test_names_that_no_font_has(tmp_path):
    """A folder of bytes that are no text, and a letter that is not in the font: the sheet has boxes there, and no warnings."""
    folder = tmp_path / os.fsdecode(b"f\xff")
    try:
        pictures(folder, 12)
    except OSError:
        pytest.skip("this file system takes text alone")
    for path in folder.iterdir():
        path.rename(path.with_stem(f"{path.stem}\u732b"))
    asked = [sys.executable, "-m", "exemplar_lab", "prepare", str(folder), "--task", "edges", "--size", "32"]
    run = subprocess.run(asked, capture_output=True, env=os.environ | {"PYTHONIOENCODING": "utf-8:strict"}, timeout=120)
    assert run.returncode == 0 and b"Glyph" not in run.stderr
    assert run.stdout.rstrip().endswith(os.fsencode(folder) + b"'")
    assert (folder / ROOM / "contact.png").is_file()


def test_broken_files_are_said_once_and_counted(tmp_path, capsys):
    pictures(tmp_path / "own", 12)
    first, *_ = sorted(path for path in (tmp_path / "own").rglob("*") if path.suffix in (".png", ".jpg"))
    first.write_bytes(first.read_bytes()[:100])
    assert main(["prepare", str(tmp_path / "own"), "--task", "edges", "--size", "32"]) == 0
    said = capsys.readouterr()
    assert said.err.count(first.name) == 1 and "images were left out" in said.out


@pytest.mark.parametrize(
    ("task", "more", "said"),
    [
        ("pose", [], "nothing that pose can be made from"),
        ("labels", ["--by", "lists"], "no list names any of its images"),
        ("labels", ["--soft"], "got soft edges for the task labels"),
        ("labels", ["--size", "4"], "got size 4"),
        ("labels", ["--size", "100000"], "got size 100000 and 3 exemplars, expected a size of 16 … 1024"),
        ("labels", ["--exemplars", "0"], "and 0 exemplars"),
        ("labels", ["--out", "/proc/nowhere"], "got /proc/nowhere to write to, which is not possible"),
    ],
)
def test_what_is_wrong_is_one_sentence(town, task, more, said, capsys):
    assert main(["prepare", str(town), "--task", task, *more]) == 2
    wrong = capsys.readouterr().err.strip().splitlines()
    assert said in wrong[-1] and wrong[-1].startswith("exemplar-lab: ") and not any("Traceback" in line for line in wrong)


@pytest.mark.parametrize("more", [["--task", "labels", "--by", "colour"], ["--task", "depth"], []])
def test_what_the_parser_refuses(town, more, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["prepare", str(town), *more])
    assert stopped.value.code == 2 and "usage" in capsys.readouterr().err


def test_a_folder_that_is_not_there(tmp_path, capsys):
    assert main(["prepare", str(tmp_path / "nowhere"), "--task", "edges"]) == 2
    assert "nowhere, which does not exist" in capsys.readouterr().err


def test_an_interrupt_is_no_traceback(town, monkeypatch, capsys):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(preparing, "write_collection", stopped)
    assert main(["prepare", str(town), "--task", "labels", "--size", "32"]) == 130
    said = capsys.readouterr().err
    assert "goes on from there" in said and "checkpoint" not in said


SLOWLY = """
import signal, sys, time
import exemplar_lab.data.canvas as canvas
from exemplar_lab.cli import main

signal.signal(signal.SIGINT, signal.default_int_handler)  # tests that a shell runs in the background inherit that it is ignored

at_once = canvas.read_image
canvas.read_image = lambda *given, **how: (time.sleep(0.2), at_once(*given, **how))[1]
sys.exit(main(sys.argv[1:]))
"""
"""The command on a disk so slow that it is still reading when the signal comes."""


def test_a_real_interrupt_leaves_nothing_half_written(tmp_path):
    """The signal of Ctrl-C, once files appear in the cache."""
    folder = tmp_path / "own"
    pictures(folder, 100)
    asked = [sys.executable, "-c", SLOWLY, "prepare", str(folder), "--task", "edges", "--size", "32"]
    with subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        cache = folder / ROOM / "cache"
        while run.poll() is None and not (cache.is_dir() and any(path.is_file() for path in cache.rglob("*"))):
            time.sleep(0.01)
        run.send_signal(signal.SIGINT)
        _, wrong = run.communicate(timeout=120)
    left = [path.name for path in (folder / ROOM).rglob("*") if path.is_file()]
    assert run.returncode == 130 and "interrupted" in wrong and "Traceback" not in wrong
    assert left and "prepared.json" not in left and not any(name.endswith(".part") for name in left)
    shutil.rmtree(folder)
