"""A session's share of the processor, where many readers train at once on one machine.

>>> budget = Budget(least=lambda: 0.03)  # of twenty readers on two cores
>>> budget.spent(wall=0.02, cpu=0.02), budget.share  # nobody else works: no rest
(0.0, 1.0)
>>> rests = [budget.spent(wall=0.2, cpu=0.02) for _ in range(60)]
>>> budget.share < 0.2, rests[-1] > 0.05
(True, True)
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

SLICE = 0.015  # seconds of training between two looks at the mail
OF_LATE = 0.9  # what counts of a piece of work when the next one is done
WAITED = 0.6  # share of the time that was computing: below it, there was a wait
SHRINK, GROW, LEAST = 0.97, 0.005, 0.03  # of the share
STEEP = 0.2  # the longer the wait, the more the share shrinks


@cache
def cores() -> int:
    """That this process may use: fewer than the machine has where a container says so."""
    from joblib import cpu_count

    return cpu_count()


def kernels() -> int | None:
    """Kernels that share this one's server, and itself; None where the system does not tell."""
    parent = os.getppid()
    try:
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    except OSError:
        return None
    return len(children) if str(os.getpid()) in children else None


def least_share() -> float:
    """All of a core, where each kernel can have one: who makes it wait then is no reader."""
    count = kernels()
    return 1.0 if count is not None and count <= cores() else LEAST


class Budget:
    """A session's share of the processor, found as TCP finds its share of a line.

    A piece of work that took much longer than its own computing had to wait for other sessions:
    then the share shrinks by a part of itself, down to the `least`, else it grows by a little. So
    all come to have equal shares, and a piece of work does not take many times its computing, which
    a slider would have to wait for. Where training wants all it can get, pictures get half of that
    at most: the frame rate falls before the training starves.
    """

    def __init__(self, least: Callable[[], float] = least_share) -> None:
        self.share = 1.0
        self._least = least
        self._wall = self._cpu = 0.0  # of late
        self._drawn = self._worked = 0.0

    def spent(self, wall: float, cpu: float, *, drawing: bool = False) -> float:
        """Seconds to rest after a piece of work that took so long and computed for so long."""
        if drawing:
            self._drawn += cpu
        else:
            self._worked += cpu
        if wall <= 0:
            return 0.0
        self._wall, self._cpu = OF_LATE * self._wall + wall, OF_LATE * self._cpu + cpu
        computing, weight = min(self._cpu / self._wall, 1.0), min(wall / SLICE, 1.0)
        if computing < WAITED:
            shrink = min((computing / WAITED) ** STEEP, SHRINK)
            self.share = max(self.share * shrink**weight, self._least())
        else:
            self.share = min(self.share + GROW * weight, 1.0)
        return cpu * (1 / self.share - 1)

    def may_draw(self) -> bool:
        """Whether the pictures have not had more than the training."""
        return self.share == 1.0 or self._drawn <= self._worked

    def begin(self) -> None:
        """A run begins, or it has had all the training that it wanted."""
        self._drawn = self._worked = 0.0
