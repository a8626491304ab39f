"""The dials: bounded, named, tied to claims, and heard by the tasks that say so."""

import json
from dataclasses import asdict, fields, replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from exemplar_lab.data.synth.dials import DIALS, TIERS, Dials, dials_of
from exemplar_lab.data.synth.world import TASKS, at_levels, check_heard, level_name, structure_picture, task_of


def test_every_dial_is_described_once():
    assert [field.name for field in fields(Dials)] == list(DIALS)
    assert {task for dial in DIALS.values() for task in dial.tasks} == set(TASKS)
    for name, dial in DIALS.items():
        assert f"    {name}: " in Dials.__doc__, "the docstring says what the dial does"
        assert dial.meaning and dial.claims and len(dial.levels) >= 2


def test_levels_and_tiers_lie_within_the_bounds():
    for name, dial in DIALS.items():
        assert all(dial.accepts(level) for level in dial.levels), name
        assert all(dial.accepts(getattr(tier, name)) for tier in (*TIERS.values(), Dials()))


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"zoom": (2.0, 1.0)}, "got zoom = .*two numbers, low ≤ high, within 0.333333 … 3"),
        ({"occlusion": (0.0, 1.5)}, "got occlusion"),
        ({"instances": (1, 99)}, "two whole numbers within 0 … 8"),
        ({"halves": 0}, "within 1 … 3"),
        ({"distinct": 2.0}, "a number within 0 … 1 or None"),
        ({"gap": "sound"}, "one of structure, parts, edges"),
        ({"light": float("nan")}, "got light = nan"),
    ],
)
def test_a_dial_turned_too_far_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Dials(**wrong)


def test_a_dial_of_another_kind_is_refused():
    """Asked of the dial itself: in these tests the run-time check of annotations would speak first."""
    wrong = {"zoom": 2.0, "repetition": 2.5, "light": None, "crop": True, "instances": (1, 1.0), "gap": None, "yaw": "1"}
    assert not any(DIALS[name].accepts(value) for name, value in wrong.items())
    assert DIALS["repetition"].expects() == "a whole number within 0 … 12"


@given(st.sampled_from(list(DIALS)), st.floats(0, 1))
def test_everything_between_the_bounds_is_taken(name, share):
    dial = DIALS[name]
    value = dial.low + share * (dial.high - dial.low)
    value = {"range": (value, value), "whole": round(value), "counts": (round(value), 0), "choice": "parts"}.get(
        dial.kind, value
    )
    assert getattr(Dials(**{name: value}), name) == value


def test_json_keeps_dials():
    dials = replace(TIERS["hard"], instances=(1, 4), distinct=None)
    assert dials_of(json.loads(json.dumps(asdict(dials))), "scenes") == dials
    with pytest.raises(ValueError, match="got the dials bend, expected some of"):
        dials_of({"bend": 1.0}, "people")


def test_a_task_refuses_dials_it_does_not_hear():
    with pytest.raises(ValueError, match=r"got the dial unmatched for people, .*\(scenes\)"):
        dials_of(replace(TIERS["easy"], unmatched=2), "people")
    with pytest.raises(ValueError, match=r"got the dial 'unmatched' for people \(unmatched is heard by scenes\)"):
        check_heard("people", "unmatched")
    with pytest.raises(ValueError, match="got the dial 'volume' for people, expected one of zoom"):
        check_heard("people", "volume")
    with pytest.raises(ValueError, match="got the task 'dogs', expected one of people"):
        check_heard("dogs", "zoom")


@pytest.mark.parametrize("task", TASKS)
def test_sources_refuse_what_is_no_source(task):
    for arguments, message in (
        ({"size": 8}, "got size 8, expected an integer of at least 16"),
        ({"split": "dev"}, "got split 'dev', expected one of train, val, test, ood"),
        ({"tier": "extreme"}, "got tier 'extreme', expected one of easy, medium, hard"),
    ):
        with pytest.raises(ValueError, match=message):
            TASKS[task](**arguments)
    assert TASKS[task]().length is None and TASKS[task](split="ood").length == 2000
    with pytest.raises(ValueError, match="expected 0 … 1999"):
        TASKS[task](split="val").batch(torch.tensor([2000]))


@pytest.mark.parametrize("task", TASKS)
def test_every_task_hears_its_dials(task):
    """Every level of every dial gives another pair or another truth, but for what three samples need not show: balloons that
    stand outside the frame, patterns of bare chests, classes that a land lacks."""
    source = TASKS[task](16, "val", "easy")
    assert task_of(source) == task
    for name, dial in DIALS.items():
        if task not in dial.tasks:
            continue
        seen = set()
        for _level, (source, batch) in at_levels(task, name, torch.arange(3), size=32).items():
            assert source.condition_channels == batch.condition.shape[1]
            assert structure_picture(source, batch).shape[0] == 3
            shown = (batch.condition.sum(), batch.target.sum(), batch.exemplar.sum(), batch.truth.visible.sum())
            seen.add(tuple(round(float(v), 3) for v in shown))
        few = name in ("instances", "repetition", "unmatched") or (task, name) == ("scenes", "gap")  # labels are its parts
        assert len(seen) >= (2 if few else len(dial.levels)), f"{task} does not hear {name}"


def test_levels_in_words():
    names = [level_name(level) for level in (None, (1 / 3, 1 / 3), (1, 4), 0.67, 12, "parts")]
    assert names == ["as drawn", "0.33", "1 → 4", "0.67", "12", "parts"]
