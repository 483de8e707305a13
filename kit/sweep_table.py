"""The table of a sweep as it grows: kept on disk, shown, taken up again.

>>> same_setting(8) == same_setting(8.0), same_setting((4, 2)) == same_setting("(4, 2)")
(True, True)
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from kit.fleet import Fleet
from kit.sweep_plan import DEFAULTS, Plan


@dataclass(frozen=True)
class Progress:
    """What a sweep is doing: runs finished, runs in all, and the fleet in training, if there is.

    `runs` are the run numbers of the fleet's networks; the fleet can be asked for the losses and
    the sharpness of all of them. `table` is what is known so far.
    """

    finished: float
    total: int
    table: pd.DataFrame
    fleet: Fleet | None = None
    runs: tuple[int, ...] = ()


class Cancelled(Exception):
    """The caller has had enough."""


@dataclass
class Book:
    """The rows so far, by run number; tells the caller, and keeps the file, as they come."""

    plan: Plan
    runs: list[dict[str, Any]]
    rows: dict[int, dict[str, Any]]
    progress: bool | Callable[[Progress], object]
    path: Path | None
    started: float = field(default_factory=time.perf_counter)

    def add(self, rows: dict[int, dict[str, Any]], more: float = 0.0) -> None:
        """Finished rows; `more` runs are trained but not yet measured."""
        self.rows |= rows
        if self.path is not None:
            beside = self.path.with_name(self.path.name + ".part")
            self.table().to_csv(beside, index=False)
            os.replace(beside, self.path)  # a killed process leaves a whole file
        self.advance(more)

    def advance(self, more: float, fleet: Fleet | None = None, runs: tuple[int, ...] = ()) -> None:
        finished, total = len(self.rows) + more, len(self.runs)
        if callable(self.progress):
            if self.progress(Progress(finished, total, self.table(), fleet, runs)) is True:
                raise Cancelled
        elif self.progress:
            elapsed = time.perf_counter() - self.started
            self.say(f"{finished:.0f} of {total} runs, {elapsed:.0f} s", end="\r")
            if len(self.rows) == total:
                self.say("")

    def say(self, text: str, end: str = "\n") -> None:
        if self.progress is True:
            print(f"sweep: {text}" if text else "", end=end, file=sys.stderr, flush=True)

    def table(self) -> pd.DataFrame:
        n = len(self.plan.dataset.X_train)
        signature, records = self.plan.signature(), []
        for index in sorted(self.rows):
            settings = dict(self.runs[index])
            settings["batch_size"] = settings["batch_size"] or n
            if "widths" in settings:
                settings["widths"] = str(settings["widths"])
            records.append({"run": index} | settings | self.rows[index] | signature)
        if not records:
            return pd.DataFrame(columns=["run", *DEFAULTS, "status"])
        return pd.DataFrame.from_records(records)


def resumed(resume: object, plan: Plan, runs: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """The rows of an earlier table that need not run again, by run number of this sweep."""
    if resume is None:
        return {}
    if isinstance(resume, str | os.PathLike):
        path = Path(resume)
        if not path.exists():  # nothing was finished before the first run was stopped
            return {}
        try:
            resume = pd.read_csv(path)
        except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
            raise ValueError(f"resume: {path.name} is not a table of a sweep: {error}") from error
    if not isinstance(resume, pd.DataFrame):
        raise TypeError(f"resume: got {type(resume).__name__}; takes a table or its file")
    if resume.empty:
        return {}
    for name, value in plan.signature().items():
        found = set(resume[name]) if name in resume else {"nothing"}
        if found != {value}:
            raise ValueError(f"resume: {name} is {', '.join(map(str, found))}; this has {value}")
    missing = [name for name in plan.measures if name not in resume]
    if missing:
        raise ValueError(f"resume: has no column {missing[0]!r}, which this sweep measures")
    n = len(plan.dataset.X_train)
    names = [*DEFAULTS, *(["widths"] if "widths" in runs[0] else [])]
    keys = {}
    for index, run in enumerate(runs):
        shown = run | {"batch_size": run["batch_size"] or n}
        keys[tuple(same_setting(shown[name]) for name in names)] = index
    rows, own = {}, {"run", *names, *plan.signature()}
    for record in resume.to_dict("records"):
        index = keys.get(tuple(same_setting(record[name]) for name in names))
        if index is not None and not str(record["status"]).startswith("failed"):
            rows[index] = {name: value for name, value in record.items() if name not in own}
    return rows


def same_setting(value: Any) -> Any:
    """A setting as it compares: numbers by value, whatever type a file gave them."""
    return str(value) if isinstance(value, str | tuple) else float(value)
