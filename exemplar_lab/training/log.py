"""A line per step in run/log.csv, for curves and for people with a spreadsheet."""

import csv
import os
from pathlib import Path


class StepLog:
    """Appends to run/log.csv; lines beyond the step `done`, which a resumed run will do again, are dropped first."""

    def __init__(self, run: Path, done: int):
        self.path = Path(run) / "log.csv"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        kept = [row for row in _rows(self.path) if int(row["step"]) <= done] if done and self.path.exists() else []
        self.columns = list(kept[0]) if kept else []
        beside = self.path.with_suffix(".tmp")
        with beside.open("w", newline="") as file:
            if kept:
                writer = csv.DictWriter(file, self.columns)
                writer.writeheader()
                writer.writerows(kept)
        os.replace(beside, self.path)
        self.file = self.path.open("a", newline="")

    def write(self, step: int, terms: dict[str, float], seconds: float) -> None:
        """One line; a term that the first step did not have is left out, one that is gone stays empty."""
        row = {"step": step, **terms, "seconds": round(seconds, 4)}
        if not self.columns:
            self.columns = list(row)
            csv.DictWriter(self.file, self.columns).writeheader()
        csv.DictWriter(self.file, self.columns, extrasaction="ignore", restval="").writerow(row)
        self.file.flush()

    def close(self) -> None:
        self.file.close()


def read_log(run: Path) -> list[dict[str, float | None]]:
    """The steps of a run so far: step, loss terms, seconds; None where a term was not computed.

    A last line that a kill cut off is left out.
    """
    rows = _rows(Path(run) / "log.csv")
    return [{name: float(value) if value else None for name, value in row.items()} for row in rows]


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return [row for row in csv.DictReader(file) if None not in row.values() and row["seconds"]]
