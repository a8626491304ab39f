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
        self.columns = [name for name in kept[0] if any(row[name] for row in kept)] if kept else []
        self._begin(kept)

    def _begin(self, rows: list[dict[str, str]]) -> None:
        """Put `rows` under the columns there are now, all at once or not at all, and go on after them."""
        beside = self.path.with_suffix(".tmp")
        with beside.open("w", newline="") as file:
            if self.columns:
                writer = csv.DictWriter(file, self.columns, extrasaction="ignore", restval="")
                writer.writeheader()
                writer.writerows(rows)
        os.replace(beside, self.path)
        self.file = self.path.open("a", newline="")

    def write(self, step: int, terms: dict[str, float], seconds: float) -> None:
        """One line. A term that no step had so far gets a column, empty in the lines before; one that is gone stays empty."""
        row = {"step": step, **terms, "seconds": round(seconds, 4)}
        if not row.keys() <= set(self.columns):
            self.file.close()
            self.columns = [*(name for name in {**dict.fromkeys(self.columns), **row} if name != "seconds"), "seconds"]
            self._begin(_rows(self.path))
        csv.DictWriter(self.file, self.columns, restval="").writerow(row)
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
