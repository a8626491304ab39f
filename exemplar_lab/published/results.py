"""The printed tables as tidy data frames: one line for each number, misprints kept and marked."""

import json
from importlib.resources import files
from typing import Any

import pandas

from exemplar_lab.papers import PAPERS

COLUMNS = (
    "paper", "table", "dataset", "method", "metric", "value", "better", "note", "printed", "step",
    "ablation", "misprint", "doubtful",
)  # fmt: skip

_UNITS = {"time_1e-2s_3090": ("time", 0.01), "time_s_3090": ("time", 1.0), "user_choice_%": ("user choice", 1.0)}
"""Printed name of a metric -> its name here, and what one unit of the print is worth."""


def published_results() -> pandas.DataFrame:
    """Every number of the ten tables that hold results, oldest paper first: COLUMNS.

    value: as a number; times in seconds, which one paper prints in hundredths; user choices in per cent. printed: the paper's
    own digits. step: the worth of the last digit, so that 8.4 and 8.36 can be told from a disagreement.
    better: "lower" or "higher". misprint: cannot be what was measured; doubtful: may not be; note: why.
    method: one name for one method everywhere. ablation: of its paper's method, and named by what is changed ("DynaST −inner").
    """
    table = pandas.read_csv(_file("results.csv"), dtype=str, keep_default_na=False)
    table["printed"] = table["value"]
    worth = table["metric"].map(lambda name: _UNITS.get(name, (name, 1.0))[1])
    table["value"] = table["printed"].astype(float) * worth
    table["step"] = table["printed"].map(last_digit) * worth
    table["metric"] = table["metric"].map(lambda name: _UNITS.get(name, (name, 1.0))[0])
    own = [method.startswith(paper) and method != paper for paper, method in zip(table["paper"], table["method"], strict=True)]
    table["ablation"] = own
    table["misprint"] = table["note"].str.startswith("misprint")
    table["doubtful"] = table["note"].str.startswith("in doubt")
    oldest_first = table["paper"].map(_years()).sort_values(kind="stable").index
    return table.loc[oldest_first, list(COLUMNS)].reset_index(drop=True)


def published_tables() -> pandas.DataFrame:
    """The eleven tables: paper, table, what it shows, kind ("results" or "architecture"), what its paper claims of it, and how
    many numbers it prints, how many of them misprinted or in doubt."""
    tables = pandas.DataFrame(source()["tables"])
    results = published_results()
    found = results.groupby(["paper", "table"]).agg(
        numbers=("value", "size"), misprints=("misprint", "sum"), in_doubt=("doubtful", "sum")
    )
    tables = tables.join(found, on=["paper", "table"])
    counts = ["numbers", "misprints", "in_doubt"]
    tables[counts] = tables[counts].fillna(0).astype(int)
    return tables


def published_architecture() -> pandas.DataFrame:
    """Table 5 of [CoCosNet], which prints layers instead of results: network, module, layers, output (h×w×c), note."""
    return pandas.read_csv(_file("architecture.csv"), dtype=str, keep_default_na=False)


def reproductions() -> pandas.DataFrame:
    """What readers found when they measured a released model again: printed, found, how, and the address where they say so."""
    return pandas.read_csv(_file("reproductions.csv"))


def source() -> dict[str, Any]:
    """Where the data come from: tables, who typed them, every correction of the first typing, and slips of the papers."""
    return json.loads(_file("source.json").read_text(encoding="utf-8"))


def last_digit(printed: str) -> float:
    """The worth of the last printed digit: 0.01 for "8.36", 1e-5 for "7.10e-3"."""
    digits, _, power = printed.partition("e")
    return 10.0 ** (int(power or 0) - len(digits.partition(".")[2]))


def _years() -> dict[str, int]:
    return {paper.key: paper.year for paper in PAPERS.values()}


def _file(name: str):
    return files("exemplar_lab.published") / name
