"""Printed numbers held against printed numbers: what papers have in common, where they differ, whose order turns round."""

from itertools import combinations

import numpy as np
import pandas

TOLERANCE = 1e-9
"""Of comparisons between printed decimals, which binary numbers only approximate."""

_CELL = ["method", "dataset", "metric"]


def shared_cells(results: pandas.DataFrame) -> pandas.DataFrame:
    """Every two tables that print the same number: the same method, data set and metric. Misprints are left out.

    results: as `published_results` gives them. A time belongs to no data set: all of them are for one image of 256².
    Columns: method, dataset, metric, one and other ("DynaST Tab1"), of_one and of_other (values), papers (1 or 2),
    factor: larger over smaller; relative: |difference| over the mean of the two;
    verdict: "same", "rounding" when both could be one number printed with fewer digits, or "differs".
    """
    rows = []
    for cell, printed in _cells(results):
        for (_, one), (_, other) in combinations(printed.iterrows(), 2):
            values, steps = (np.array([one[name], other[name]], dtype=float) for name in ("value", "step"))
            difference = abs(values[0] - values[1])
            verdict = "differs"
            if difference <= TOLERANCE * abs(values).max():
                verdict = "same"
            elif difference <= steps.sum() / 2 + TOLERANCE:
                verdict = "rounding"
            rows.append(
                dict(zip(_CELL, cell, strict=True))
                | {"one": _place(one), "other": _place(other), "of_one": values[0], "of_other": values[1]}
                | {"papers": len({one["paper"], other["paper"]}), "factor": values.max() / values.min()}
                | {"relative": difference / values.mean(), "verdict": verdict}
            )
    return pandas.DataFrame(rows)


def order_changes(results: pandas.DataFrame, across: str) -> pandas.DataFrame:
    """Does the order of two methods turn round? One line for every two methods that were compared twice.

    across: what the two comparisons differ in, "paper", "dataset" or "metric"; the two others are the same in both. Between
    data sets and between metrics the paper is the same, and what several papers print counts once, for the oldest.
    Columns: method, against, the two columns that are the same, one and other (the two values of `across`),
    turned: True where one comparison prefers `method` and the other `against`; None where a comparison is a tie.
    Raises ValueError for any other `across`.
    """
    if across not in ("paper", "dataset", "metric"):
        raise ValueError(f"got across={across!r}, expected 'paper', 'dataset' or 'metric'")
    results = _with_places(results)
    same = [name for name in ("paper", "dataset", "metric") if name != across]
    rows = []
    for where, group in results.groupby(same, sort=False):
        signed = group["value"].where(group["better"] == "lower", -group["value"])
        values = group.assign(value=signed).drop_duplicates(["method", across]).pivot(index="method", columns=across)["value"]
        for one, other in combinations(values.columns, 2):
            both = values[[one, other]].dropna()
            for method, against in combinations(both.index, 2):
                signs = np.sign((both.loc[method] - both.loc[against]).round(9))
                turned = None if (signs == 0).any() else bool(signs.iloc[0] != signs.iloc[1])
                pair = {"method": method, "against": against, "one": one, "other": other, "turned": turned}
                rows.append(dict(zip(same, where, strict=True)) | pair)
    changes = pandas.DataFrame(rows)
    return changes.drop_duplicates([name for name in changes.columns if name not in ("paper", "turned")], ignore_index=True)


def best_cells(results: pandas.DataFrame) -> pandas.DataFrame:
    """In how many columns of its own table a paper's method is the best, ties included: what "outperforms" amounts to.

    Columns: paper, table, columns, best (how many), elsewhere ("CelebA-HQ Col: CoCosNet −domain, …", the others' wins).
    """
    rows = []
    for (paper, table), group in results[~results["misprint"]].groupby(["paper", "table"], sort=False):
        columns, best, elsewhere = 0, 0, []
        for (dataset, metric), column in group.groupby(["dataset", "metric"], sort=False):
            lowest = column["better"].iloc[0] == "lower"
            top = column["value"].min() if lowest else column["value"].max()
            winners = list(column.loc[column["value"] == top, "method"])
            columns += 1
            best += paper in winners
            if paper not in winners:
                elsewhere.append(f"{dataset} {metric}: {', '.join(winners)}")
        rows.append({"paper": paper, "table": table, "columns": columns, "best": best, "elsewhere": "; ".join(elsewhere)})
    return pandas.DataFrame(rows)


def _with_places(results: pandas.DataFrame) -> pandas.DataFrame:
    """Without misprints; a time has no data set."""
    results = results[~results["misprint"]]
    return results.assign(dataset=results["dataset"].where(results["metric"] != "time", "one image"))


def _cells(results: pandas.DataFrame):
    return _with_places(results).groupby(_CELL, sort=False)


def _place(row: pandas.Series) -> str:
    return f"{row['paper']} {row['table']}"
