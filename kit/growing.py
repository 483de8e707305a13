"""A sweep that is carried out in small parts, for a page that answers its reader in between.

>>> from kit.studies import STUDIES
>>> part = STUDIES["batch_size"].parts["digits, updates"]
>>> growing = GrowingSweep(part, batch_size=[512], lr=[0.1], seed=[7])
>>> growing.advance(0.3)
>>> 0 < growing.share < 1, len(growing.table())
(True, 0)
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from kit.checks import check_number
from kit.sweep_engines import batched_parts
from kit.sweep_table import Book, Progress

if TYPE_CHECKING:
    from kit.studies import Part


class GrowingSweep:
    """The runs of a study's part with lists of the grid replaced, trained side by side.

    `share` of the work is done; `done` when all of it is; `table()` has the finished rows, as those
    of `kit.sweep`. The same numbers as `kit.sweep` with the batched engine, bit for bit.
    """

    def __init__(self, part: Part, **changes: Sequence) -> None:
        plan, runs = part.plan(), part.runs(**changes)
        self.share, self.done = 0.0, False
        self._book = Book(plan, runs, {}, self._look, None)
        self._parts: Iterator[None] = batched_parts(plan, runs, range(len(runs)), self._book)

    def _look(self, progress: Progress) -> None:
        self.share = progress.finished / progress.total

    def advance(self, seconds: float) -> None:
        """Go on for about that long: to the end of the step, or of the measurement, it falls in."""
        end = time.perf_counter() + check_number("seconds", seconds, low=0)
        while not self.done:
            self.done = next(self._parts, self) is self
            if time.perf_counter() >= end:
                return

    def table(self) -> pd.DataFrame:
        """The rows that are finished."""
        return self._book.table()
