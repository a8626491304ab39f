"""The report of `exemplar-lab benchmark attention` at a tiny size. What it says about speed is asserted nowhere."""

import json
from functools import partial

import pytest
import torch

from exemplar_lab.benchmarks import attention
from exemplar_lab.benchmarks.attention import METHODS, Case, differences, floor, inputs
from exemplar_lab.cli import main

TINY = {"near": Case(8, 6, 4), "anywhere": Case(8, 6, 4, near=False)}


@pytest.fixture
def tiny(monkeypatch):
    """In this process; whether one of its own answers the same is another test."""
    monkeypatch.setattr(attention, "report", partial(attention.report, cases=TINY, sides=(8, 16), repeats=2))
    monkeypatch.setattr(attention, "ceilings", lambda device: {"copy_gb_s": 1.0, "matmul_gflop_s": 1.0})
    monkeypatch.setattr(attention, "_in_a_process", lambda heap, **job: json.loads(json.dumps(attention.answer(job))))


def job(**other: object) -> dict:
    return {"what": "memory", "device": "cpu", "cases": {"tiny": vars(TINY["near"])}, "method": "ours", **other}


def test_the_report_holds_what_it_promises(tiny, capsys):
    assert main(["benchmark", "attention", "--json"]) == 0
    handed = json.loads(capsys.readouterr().out)
    assert handed.keys() == {"device", "threads", "heaps", "difference", "memory_mb", "bytes_per_pixel"}
    assert handed["heaps"].keys() == {"default", "warm"}
    for heap in handed["heaps"].values():
        assert heap["copy_gb_s"] > 0 and heap["matmul_gflop_s"] > 0 and heap["cases"].keys() == TINY.keys()
        for case in heap["cases"].values():
            assert case.keys() == {*METHODS, "floor"}
            for method in METHODS:
                assert all(0 < case[method][f"{of}_ms"] <= case[method][f"{of}_median_ms"] for of in ("forward", "both"))
    assert handed["memory_mb"].keys() == handed["difference"].keys() == TINY.keys()
    assert handed["bytes_per_pixel"].keys() == {"8²", "16²"}


def test_the_table_and_the_exit_code(tiny, capsys, monkeypatch):
    assert main(["benchmark", "attention"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("\nnear ") == 2 * 4 + 3 and "warm heap" in printed and "bytes per pixel" in printed
    honest = METHODS["ours"]
    monkeypatch.setitem(METHODS, "ours", lambda *given: 1.001 * honest(*given))
    assert main(["benchmark", "attention"]) == 1
    assert "not equal to the plain formulation within 1e-05: answer at near" in capsys.readouterr().err


@pytest.mark.parametrize("case", TINY.values(), ids=TINY.keys())
def test_all_methods_answer_alike(case):
    given = inputs(case)
    assert given.index.shape == (1, 64, attention.LINKS) and len(given.index.unique()) > 32
    answers = [method(*given[:4]) for method in METHODS.values()]
    assert all(torch.allclose(answer, answers[0], atol=1e-5) for answer in answers)
    assert differences(given).keys() == {"answer", "query", "key", "value"}
    assert max(differences(given).values()) < attention.TOLERANCE


def test_the_floor_counts_each_number_once():
    of = floor(Case(10, 3, 2), copy_gb_s=1e-6, matmul_gflop_s=1e-6)  # a byte and an operation per ms
    assert of["forward_bytes_ms"] == 100 * (4 * (3 + 3 + 2 + 2) + 8 * 20)
    assert of["forward_flops_ms"] == 2 * 100 * 20 * (3 + 2)
    assert of["both_flops_ms"] == 3 * of["forward_flops_ms"]


def test_a_process_of_its_own_gives_the_same_kind_of_answer():
    there, here = attention._in_a_process("exact", **job()), attention.answer(job())
    assert there.keys() == here.keys() == {"tiny"}
    with pytest.raises(RuntimeError, match="ended with exit code 1"):
        attention._in_a_process("exact", **job(method="unheard"))
