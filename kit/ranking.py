"""Does a measure rank networks as their gaps do? Kendall's tau over the rows of a sweep.

>>> table = pd.DataFrame({"lr": [0.1, 0.1, 0.2, 0.2], "seed": [0, 1, 0, 1],
...                       "sharpness": [1.0, 2.0, 3.0, 4.0], "loss_gap": [0.1, 0.3, 0.2, 0.4]})
>>> round(kendall_tau(table, "sharpness").tau, 3)  # five of six pairs agree
0.667
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kit.checks import check_int, check_number, check_seed


@dataclass(frozen=True)
class Tau:
    """Kendall's tau-b with a bootstrap interval; `count`: the rows, or groups, that it rests on.

    `dropped`: rows left out, since they did not finish or lack a number.
    """

    tau: float
    low: float
    high: float
    count: int
    dropped: int = 0


def kendall_tau(
    table: pd.DataFrame,
    measure: str,
    gap: str = "loss_gap",
    *,
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> Tau:
    """Tau between a measure and the gap over all rows, whatever varies in them.

    >>> table = pd.DataFrame({"trace": [1.0, 2, 3, 4, 5, 6], "loss_gap": [6.0, 5, 4, 3, 2, 1]})
    >>> result = kendall_tau(table, "trace")
    >>> round(result.tau, 6), round(result.high, 6)
    (-1.0, -1.0)

    1 where the measure ranks every pair as the gap does, -1 where it ranks none so. Pooled over
    several settings it can have the opposite sign of what holds within each (Simpson's paradox):
    see `granulated_tau`. The interval is the percentile bootstrap over rows. NaN with fewer than
    two rows, or where a column is constant.
    """
    kept = _usable(table, measure, gap)
    level = check_number("level", level, above=0, below=1)
    draws, rng = check_int("draws", draws, low=1), np.random.default_rng(check_seed(seed))
    x, y = kept[measure].to_numpy(float), kept[gap].to_numpy(float)
    n = len(x)
    samples = _resampled(x, y, rng.multinomial(n, np.full(n, 1 / n), size=draws)) if n > 1 else []
    return Tau(_tau(x, y), *_interval(samples, level), n, len(table) - n)


def granulated_tau(
    table: pd.DataFrame,
    measure: str,
    gap: str = "loss_gap",
    *,
    vary: Sequence[str],
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> dict[str, Tau]:
    """Tau with one hyper-parameter varied at a time, for each of `vary`, and their "mean".

    >>> table = pd.DataFrame({"lr": [0.1, 0.1, 0.2, 0.2], "wd": [0.0, 0.1, 0.0, 0.1],
    ...                       "trace": [1.0, 2.0, 11.0, 12.0], "loss_gap": [5.0, 6.0, 1.0, 2.0]})
    >>> result = granulated_tau(table, "trace", vary=("lr", "wd"))
    >>> {name: round(tau.tau, 6) for name, tau in result.items()}
    {'lr': -1.0, 'wd': 1.0, 'mean': 0.0}

    For each name, the rows are grouped by the other names; psi is the mean over groups of tau
    within the group, and rests on `count` groups. Name the seed in `vary` too, unless rows that
    differ in it only are to be ranked against each other. The interval is the percentile bootstrap
    over groups; that of the mean draws all of them together. Source: Jiang, Neyshabur, Mobahi,
    Krishnan and Bengio, arXiv 1912.02178.
    """
    kept = _usable(table, measure, gap)
    names = [vary] if isinstance(vary, str) else list(vary)
    for name in names:
        if name not in table:
            raise ValueError(f"vary: got {name!r}; takes columns of the table")
    if len(set(names)) != len(names) or not names:
        raise ValueError(f"vary: got {names!r}; takes at least one name, each once")
    level = check_number("level", level, above=0, below=1)
    draws, rng = check_int("draws", draws, low=1), np.random.default_rng(check_seed(seed))
    result, boots, dropped = {}, [], len(table) - len(kept)
    for name in names:
        others = [other for other in names if other != name]
        groups = [g for _, g in kept.groupby(others)] if others else [kept]
        within = [
            _tau(g[measure].to_numpy(float), g[gap].to_numpy(float))
            for g in groups
            if g[name].nunique() > 1
        ]
        taus = np.array([t for t in within if math.isfinite(t)])
        m = len(taus)
        samples = taus[rng.integers(m, size=(draws, m))].mean(1) if m else np.full(draws, np.nan)
        boots.append(samples)
        mean = float(taus.mean()) if m else math.nan
        result[name] = Tau(mean, *_interval(samples, level), m, dropped)
    mean = float(np.mean([tau.tau for tau in result.values()]))
    count = sum(tau.count for tau in result.values())
    result["mean"] = Tau(mean, *_interval(np.mean(boots, axis=0), level), count, dropped)
    return result


def _usable(table: object, measure: str, gap: str) -> pd.DataFrame:
    """The rows that finished and have both numbers."""
    if not isinstance(table, pd.DataFrame):
        raise TypeError(f"table: got {type(table).__name__}; takes the table of a sweep")
    for argument, name in (("measure", measure), ("gap", gap)):
        if not isinstance(name, str) or name not in table:
            columns = ", ".join(map(str, table.columns))
            raise ValueError(f"{argument}: got {name!r}; takes a column of the table: {columns}")
    numbers = table[[measure, gap]].apply(pd.to_numeric, errors="coerce")
    usable = np.isfinite(numbers.to_numpy(float)).all(axis=1)
    if "status" in table:
        usable &= (table["status"] == "done").to_numpy()
    return table[usable]


def _tau(x: np.ndarray, y: np.ndarray) -> float:
    """NaN where there is no pair to compare."""
    return float(_resampled(x, y, np.ones((1, len(x))))[0]) if len(x) else math.nan


def _resampled(x: np.ndarray, y: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Tau-b of resamples, counts (draws, n) of how often each row is drawn, all at once."""
    dx, dy = (np.sign(np.subtract.outer(v, v)) for v in (x, y))
    agree, in_x, in_y = (((counts @ A) * counts).sum(1) for A in (dx * dy, dx * dx, dy * dy))
    with np.errstate(invalid="ignore", divide="ignore"):
        return agree / np.sqrt(in_x * in_y)


def _interval(samples: Sequence[float], level: float) -> tuple[float, float]:
    finite = np.asarray(samples, dtype=float)
    finite = finite[np.isfinite(finite)]
    if len(finite) == 0:
        return math.nan, math.nan
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
