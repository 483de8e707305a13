"""Does a setting move a number? Paired differences between two of its values, over seeds.

>>> table = pd.DataFrame({"lr": [0.1, 0.1, 0.2, 0.2], "seed": [0, 1, 0, 1],
...                       "sharpness": [1.0, 2.0, 3.0, 4.5]})
>>> change = contrast(table, "sharpness", "lr", 0.1, 0.2)
>>> round(change.mean, 3), round(change.low, 2), change.count, change.word
(2.25, -0.93, 2, 'no difference seen')
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kit.checks import check_number

NOT_SEEN = "no difference seen"


@dataclass(frozen=True)
class Contrast:
    """Mean of high minus low over pairs, its interval, and how many pairs; `word` says the sign."""

    mean: float
    low: float
    high: float
    count: int

    @property
    def word(self) -> str:
        """ "rises", "falls" or "no difference seen": whether the interval leaves 0 out."""
        if math.isnan(self.low) or self.low <= 0 <= self.high:
            return NOT_SEEN
        return "rises" if self.mean > 0 else "falls"


def contrast(
    table: pd.DataFrame,
    column: str,
    setting: str,
    low: float,
    high: float,
    *,
    pairs: Sequence[str] = ("seed",),
    level: float = 0.95,
    relative: bool = False,
) -> Contrast:
    """Mean change of a column from `setting` = low to high, between rows alike in `pairs`.

    Rows that did not finish, or lack the number, are left out with their partner. The interval is
    Student's over pairs, grouped by the first of `pairs`: pairs that share a seed count once, since
    they share data order and starting weights. `relative`: of the logarithm, for ratios. NaN
    bounds with fewer than two seeds.
    """
    level = check_number("level", level, above=0, below=1)
    for name in (column, setting, *pairs):
        if name not in table:
            raise ValueError(f"column: got {name!r}; takes columns of the table")
    done = table[table["status"] == "done"] if "status" in table else table
    values = pd.to_numeric(done[column], errors="coerce")
    if relative:
        values = np.log(values.where(values > 0))
    done = done.assign(value=values).dropna(subset=["value"])
    ends = [
        done[done[setting] == end].groupby(list(pairs))["value"].mean().rename(name)
        for end, name in ((low, "low"), (high, "high"))
    ]
    both = pd.concat(ends, axis=1).dropna()
    change = (both["high"] - both["low"]).groupby(level=0).mean()
    m = len(change)
    if m == 0:
        return Contrast(math.nan, math.nan, math.nan, 0)
    mean = float(change.mean())
    if m == 1:
        return Contrast(mean, math.nan, math.nan, 1)
    from scipy.special import stdtrit  # here: 14 MB that a page without intervals does without

    half = float(stdtrit(m - 1, (1 + level) / 2) * change.std(ddof=1) / math.sqrt(m))
    return Contrast(mean, mean - half, mean + half, m)


def means(
    table: pd.DataFrame, column: str, setting: str, *, seeds: str = "seed"
) -> list[tuple[float, float, float]]:
    """(value of the setting, mean over the rows, two standard errors over seeds), in order.

    >>> means(pd.DataFrame({"lr": [1, 1], "seed": [0, 1], "loss": [1.0, 3.0]}), "loss", "lr")
    [(1.0, 2.0, 2.0)]
    """
    done = table[table["status"] == "done"] if "status" in table else table
    rows = []
    for value, group in done.groupby(setting):
        each = pd.to_numeric(group[column], errors="coerce").groupby(group[seeds]).mean().dropna()
        if len(each):
            error = 2 * float(each.std(ddof=1)) / math.sqrt(len(each)) if len(each) > 1 else 0.0
            rows.append((float(value), float(each.mean()), error))
    return rows
