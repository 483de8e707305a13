"""A session's share of the processor, where many readers train at once on one machine.

    Neighbours  how many kernels of this server are at work now
    Budget      how long to rest after each piece of work

>>> budget = Budget(even=lambda: 0.1)  # one of twenty at work on two cores
>>> budget.spent(wall=0.02, cpu=0.02) > 0.1, budget.share
(True, 0.1)
>>> rests = [budget.spent(wall=0.2, cpu=0.02) for _ in range(60)]
>>> budget.share < 0.05, rests[-1] > 0.3  # it has had to wait: less
(True, True)
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

SLICE = 0.015  # seconds of training between two looks at the mail
OF_LATE = 0.9  # what counts of a piece of work when the next one is done
WAITED = 0.6  # share of the time that was computing: below it, there was a wait
SHRINK, GROW = 0.97, 0.005  # of the share
STEEP = 0.2  # the longer the wait, the more the share shrinks
LEAST = 0.03  # share, where others are at work or nobody knows
LOOK = 5.0  # seconds between two looks at the neighbours: more than one rests
STALE = 4 * LOOK  # what was seen before says nothing of now
AT_WORK = 0.01  # of a core that a kernel uses, at least, which is at work


@cache
def cores() -> int:
    """That this process may use: fewer than the machine has where a container says so."""
    from joblib import cpu_count

    return cpu_count()


class Neighbours:
    """The kernels of this server, this one among them; Linux tells what each has computed."""

    def __init__(self) -> None:
        self._before: dict[str, float] = {}
        self._at = -math.inf

    def computed(self) -> dict[str, float]:
        """Process -> seconds of processor time so far; without this one, nothing is known."""
        parent, seconds = os.getppid(), {}
        with suppress(OSError, AttributeError):  # not on Linux, or Windows
            tick = os.sysconf("SC_CLK_TCK")
            for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
                with suppress(OSError):  # it has ended meanwhile
                    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
                    seconds[pid] = (int(fields[11]) + int(fields[12])) / tick
        return seconds

    def at_work(self) -> int | None:
        """How many were at work since the last look, and this one; None where it cannot be known.

        Nor is it known at the first look, or at one long after the last.
        """
        now, seconds, mine = time.monotonic(), self.computed(), str(os.getpid())
        elapsed, before = now - self._at, self._before
        self._before, self._at = seconds, now
        if mine not in seconds or elapsed > STALE:
            return None
        least = AT_WORK * elapsed
        new = {pid for pid in seconds if seconds[pid] - before.get(pid, math.inf) >= least}
        return len(new | {mine})

    def even(self) -> float | None:
        """Cores for each that is at work."""
        count = self.at_work()
        return None if count is None else cores() / count


class Budget:
    """A session's share of the processor, found as TCP finds its share of a line.

    It is an even share at most: one greedy page takes no more. A piece of work that took much
    longer than its own computing had to wait for other sessions: then the share shrinks by a part
    of itself, else it grows by a little. So a piece of work does not take many times its computing,
    which a slider would have to wait for. Where each that is at work can have a core nobody rests:
    who makes it wait then is no reader. Where training wants all it can get, pictures get half of
    that at most: the frame rate falls before the training starves.
    """

    def __init__(
        self,
        even: Callable[[], float | None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.share = 1.0
        self._even, self._clock = even or Neighbours().even, clock
        self._most, self._least, self._looked = 1.0, LEAST, -math.inf
        self._wall = self._cpu = 0.0  # of late
        self._drawn = self._worked = 0.0

    def _look(self) -> None:
        """At the others, now and then."""
        now = self._clock()
        if now - self._looked < LOOK:
            return
        even, self._looked = self._even(), now
        self._most = 1.0 if even is None else min(even, 1.0)
        self._least = 1.0 if even is not None and even >= 1 else LEAST

    def spent(self, wall: float, cpu: float, *, drawing: bool = False) -> float:
        """Seconds to rest after a piece of work that took so long and computed for so long."""
        if drawing:
            self._drawn += cpu
        else:
            self._worked += cpu
        if wall <= 0:
            return 0.0
        self._look()
        self._wall, self._cpu = OF_LATE * self._wall + wall, OF_LATE * self._cpu + cpu
        computing, weight = min(self._cpu / self._wall, 1.0), min(wall / SLICE, 1.0)
        if computing < WAITED:
            shrink = min((computing / WAITED) ** STEEP, SHRINK)
            self.share *= shrink**weight
        else:
            self.share += GROW * weight
        self.share = min(max(self.share, self._least), self._most)
        return cpu * (1 / self.share - 1)

    def may_draw(self) -> bool:
        """Whether the pictures have not had more than the training."""
        return self.share == 1.0 or self._drawn <= self._worked

    def begin(self) -> None:
        """A run begins, or it has had all the training that it wanted."""
        self._drawn = self._worked = 0.0
