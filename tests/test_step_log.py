"""The log of a run: a line per step, columns as they come, and never half a file."""

import csv

import pytest

from exemplar_lab.training import log
from exemplar_lab.training.log import StepLog, read_log


def write_steps(run, steps: dict[int, dict[str, float]], done: int = 0) -> None:
    opened = StepLog(run, done)
    for number, terms in steps.items():
        opened.write(number, terms, 0.5)
    opened.close()


STEPS = {
    1: {"decoded": 1.0},
    2: {"decoded": 0.5},
    3: {"feat": 2.0, "adv": -1.0, "discriminator": 3.0},
    4: {"discriminator": 4.0},
}


def test_a_term_that_comes_later_gets_a_column(tmp_path):
    write_steps(tmp_path, STEPS)
    rows = read_log(tmp_path)
    assert list(rows[0]) == ["step", "decoded", "feat", "adv", "discriminator", "seconds"]
    assert [row["decoded"] for row in rows] == [1.0, 0.5, None, None]
    assert [row["feat"] for row in rows] == [None, None, 2.0, None]
    assert [row["discriminator"] for row in rows] == [None, None, 3.0, 4.0]
    assert [row["seconds"] for row in rows] == [0.5] * 4
    assert len(list(csv.reader((tmp_path / "log.csv").open()))) == 5 and [one.name for one in tmp_path.iterdir()] == ["log.csv"]


@pytest.mark.parametrize("done", range(1, 5))
def test_a_resumed_log_is_the_log_of_a_run_that_went_through(tmp_path, done):
    """Also where what is done again brought columns that the lines that are kept do not need."""
    for name, last in (("whole", 4), ("short", done), ("parts", 4)):
        write_steps(tmp_path / name, {number: terms for number, terms in STEPS.items() if number <= last})
    write_steps(tmp_path / "parts", {}, done)
    assert (tmp_path / "parts" / "log.csv").read_text() == (tmp_path / "short" / "log.csv").read_text()
    write_steps(tmp_path / "parts", {number: terms for number, terms in STEPS.items() if number > done}, done)
    assert (tmp_path / "parts" / "log.csv").read_text() == (tmp_path / "whole" / "log.csv").read_text()


def test_a_new_column_comes_whole_or_not_at_all(tmp_path, monkeypatch):
    write_steps(tmp_path, {1: STEPS[1], 2: STEPS[2]})
    before = (tmp_path / "log.csv").read_text()
    opened = StepLog(tmp_path, 2)
    with monkeypatch.context() as patch:
        patch.setattr(log.os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            opened.write(3, STEPS[3], 0.5)
    assert (tmp_path / "log.csv").read_text() == before
    write_steps(tmp_path, {3: STEPS[3]}, done=2)
    assert [row["adv"] for row in read_log(tmp_path)] == [None, None, -1.0]


def test_a_line_that_was_cut_off_is_not_read(tmp_path):
    write_steps(tmp_path, STEPS)
    with (tmp_path / "log.csv").open("a") as file:
        file.write("5,,1.0")
    assert [row["step"] for row in read_log(tmp_path)] == [1, 2, 3, 4]
    write_steps(tmp_path, {5: {"feat": 7.0}}, done=4)
    assert read_log(tmp_path)[-1]["feat"] == 7.0
