"""What a run was like: one row a step, and what was changed by hand.

>>> history = History(("step", "loss", "sharpness"))
>>> history.append({"step": 0.0, "loss": 1.0})
>>> history.fill_last({"sharpness": 5.0})
>>> dict(history), history.rows
({'step': [0.0], 'loss': [1.0], 'sharpness': [5.0]}, 1)
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Intervention:
    """A change made by hand: from this step on, `name` is `new`."""

    step: int
    name: str
    old: Any
    new: Any


class History(Mapping):
    """Columns of equal length, one row a step; NaN where nothing was measured."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns: dict[str, list[float]] = {name: [] for name in columns}

    def __getitem__(self, name: str) -> list[float]:
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    @property
    def rows(self) -> int:
        """The number of rows: steps taken, and one for the start."""
        return len(self._columns["step"])

    def append(self, row: Mapping[str, float]) -> None:
        for name, column in self._columns.items():
            column.append(row.get(name, math.nan))

    def fill_last(self, row: Mapping[str, float]) -> None:
        for name, value in row.items():
            self._columns[name][-1] = value

    def copy(self) -> dict[str, list[float]]:
        return {name: list(column) for name, column in self._columns.items()}
