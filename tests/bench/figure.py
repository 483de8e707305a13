"""One line of the bench: what is measured, how, and the bar it is held to."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """`measure` returns (value, text); `bar` says whether a value will do, None: only printed."""

    name: str
    measure: Callable[[], tuple[float, str]]
    bar: Callable[[float], bool] | None = None


def seconds(function: Callable[[], object], repeats: int = 5) -> float:
    """Median time of a call."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)
