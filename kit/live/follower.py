"""Redraws a page as rows come from somebody else's loop, at the pace of frames and no faster.

Such a loop runs in a cell and holds the kernel: no event loop turns, and no answer of the page
arrives, before the cell ends. So a frame goes from within `record`, when one is due by the clock
alone; a timer, which can only fire once the loop lets go, brings the page to rest. No thread, and
nothing that is left over keeps a notebook from finishing.

>>> pace = Pace()
>>> pace.due(now=0.0), pace.drawn(start=0.0, end=0.02), pace.due(now=0.05), pace.due(now=0.11)
(True, None, False, True)
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

from kit.live.loop import FRAME

SHARE = 4  # times as long for the reader's loop as for drawing
REST = 0.2  # seconds without a row after which the page is brought to rest


class Pace:
    """When the next frame is due: so long after the last one, and longer if that took long."""

    def __init__(self) -> None:
        self._next = 0.0

    def due(self, now: float) -> bool:
        return now >= self._next

    def drawn(self, start: float, end: float) -> None:
        self._next = end + max(FRAME, SHARE * (end - start))


class Page(Protocol):
    """What a follower draws on."""

    def show_frame(self) -> None: ...
    def still(self) -> None: ...


class Follower:
    """Called after each row. Without an event loop there is no page, and nothing is drawn."""

    def __init__(self, page: Page) -> None:
        self.page, self._pace = page, Pace()
        self._last = 0.0
        self._armed = False
        try:
            self._loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            self._loop = None

    def __call__(self) -> None:
        if self._loop is None or self._loop.is_closed():
            return
        start = self._last = time.perf_counter()
        if self._pace.due(start):
            self.page.show_frame()
            self._pace.drawn(start, time.perf_counter())
        if not self._armed:
            self._armed = True
            self._loop.call_soon_threadsafe(self._wait)

    def _wait(self) -> None:
        self._loop.call_later(REST, self._rest)

    def _rest(self) -> None:
        if time.perf_counter() - self._last < REST:
            self._wait()
        else:
            self._armed = False
            self.page.still()
