"""The report of `exemplar-lab benchmark factored` at tiny sizes. What it says about speed is asserted nowhere."""

import json
from functools import partial

import pytest
import torch

from exemplar_lab.benchmarks import factored
from exemplar_lab.cli import main
from exemplar_lab.ops.msca import spatial_aggregation

NUMBERS = ["forward_ms", "both_ms", "forward_mb", "both_mb"]


@pytest.fixture
def tiny(monkeypatch):
    """In this process; that one of its own answers the same is tested with the other benchmark. No matrix at 16²."""
    monkeypatch.setattr(factored, "LARGEST_QUADRATIC", 8)
    monkeypatch.setattr(factored, "report", partial(factored.report, sides=(4, 8, 16), repeats=1))
    monkeypatch.setattr(factored, "in_a_process", lambda name, heap, job: json.loads(json.dumps(factored.answer(job))))


def test_the_report_holds_what_it_promises(tiny, capsys):
    assert main(["benchmark", "factored", "--json"]) == 0
    handed = json.loads(capsys.readouterr().out)
    assert list(handed["cases"]) == ["4", "8", "16"] and handed["exponents"].keys() == factored.METHODS.keys()
    for side, methods in handed["cases"].items():
        assert set(methods) == {name for name in factored.METHODS if side != "16" or name.startswith("factored")}
        for found in methods.values():
            assert list(found) == NUMBERS and found["forward_ms"] > 0 and found["both_ms"] > 0
    assert list(handed["difference"]) == ["4", "8", "16"] and handed["difference"]["16"] == {}
    assert handed["difference"]["8"].keys() == factored.PAIRS.keys()


def test_the_table_and_the_exit_code(tiny, capsys, monkeypatch):
    assert main(["benchmark", "factored"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("factored, K = 8") == 4 and printed.count("softmax, ours") == 3 and "exponents" in printed
    monkeypatch.setattr(factored, "spatial_aggregation", lambda *given: 1.001 * spatial_aggregation(*given))
    assert main(["benchmark", "factored"]) == 1
    assert "not equal to the plain formulation within 0.0001: factored, K = 8 at 4" in capsys.readouterr().err


def test_all_ways_get_the_same_inputs_and_pairs_are_equal():
    few, many = (factored.inputs(6, regions) for regions in factored.REGIONS)
    assert torch.equal(few.feature, many.feature) and torch.equal(few.spatial, many.spatial[:8])
    ways = {name: way(factored.inputs(6, regions)) for name, (way, regions) in factored.METHODS.items()}
    for one, other in factored.PAIRS.items():
        torch.testing.assert_close(ways[one], ways[other], atol=1e-4, rtol=1e-4)
    assert (ways["factored, K = 8"] - ways["softmax, ours"]).abs().max() > 0.01
    assert all(0 < value < factored.TOLERANCE for value in factored.differences(6).values())


def test_exponents_are_those_of_the_number_of_positions():
    cases = {
        str(side): {"way": {"forward_ms": 3.0 * side**2, "both_ms": 0.1 * side**4, "forward_mb": None, "both_mb": 0.0}}
        for side in (4, 8, 32)
    }
    expected = {"forward_ms": 1.0, "both_ms": 2.0, "forward_mb": None, "both_mb": None}
    assert factored.exponents(cases, "way") == expected
    assert set(factored.exponents({"4": cases["4"]}, "way").values()) == {None}
