"""The live loop: one asyncio task on the kernel's own loop that trains, measures and shows.

    Mailbox   what the controls were set to; callbacks may come from another thread
    Pacer     when the next frame may go: after the page has acknowledged the last one
    LiveLoop  takes the mail, trains for a slice of time, draws when a frame is due, sleeps

Paused, there is no task at all: new mail starts one.

>>> mailbox = Mailbox()
>>> for value in (0.1, 0.2, 0.3):
...     mailbox.put("lr", value)
>>> mailbox.put("step")
>>> mailbox.take()
[('lr', 0.3), ('step', None)]
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Protocol

from kit.live.budget import SLICE, Budget

FRAME = 1 / 25  # seconds between frames, at best
SLOWEST = 1.0  # seconds between frames on a slow link
LATE = 0.6  # an acknowledgement later than this halves the rate
QUICK = 0.25  # one earlier than this lets the next frame go before it
TURNS = 12  # of the event loop between two slices
GONE = 10.0  # after so long without one, nobody is watching
UNWATCHED = 1.0  # seconds between two looks whether somebody is again


class Mailbox:
    """Newest value of each setting, and every command, in the order of arrival; thread-safe."""

    def __init__(self, wake: Callable[[], None] = lambda: None) -> None:
        self._lock = threading.Lock()
        self._mail: list[tuple[str, Any]] = []
        self._wake = wake

    def put(self, name: str, value: Any = None) -> None:
        """Leave a setting (a value) or a command (None); a newer value replaces an older one.

        A value is only replaced where no command came in between: Step after one value and before
        the next belongs to the first.
        """
        with self._lock:
            if value is not None and self._mail and self._mail[-1][0] == name:
                self._mail[-1] = (name, value)
            else:
                self._mail.append((name, value))
        self._wake()

    def take(self) -> list[tuple[str, Any]]:
        with self._lock:
            mail, self._mail = self._mail, []
        return mail


class Pacer:
    """Frames go as the page shows them: while it is quick, one is on its way as one is drawn.

    >>> now = [0.0]
    >>> pacer = Pacer(clock=lambda: now[0])
    >>> pacer.due(), pacer.send(), pacer.due()
    (True, 1, False)
    >>> now[0] = 1.0; pacer.acknowledge(1)  # late: half the rate, and one at a time
    >>> pacer.interval, pacer.window
    (0.08, 1)
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.interval, self.window = FRAME, 1
        self._sent = 0
        self._on_the_way: dict[int, float] = {}  # frame -> when it went
        self._last = -1e9
        self._heard = clock()

    def begin(self) -> None:
        """A run begins: silence before it does not count, and a lost frame is forgotten."""
        self._on_the_way, self._heard = {}, self._clock()

    def due(self) -> bool:
        room = len(self._on_the_way) < self.window
        return room and self._clock() - self._last >= self.interval

    def send(self) -> int:
        """The number of the frame that goes now."""
        self._sent, self._last = self._sent + 1, self._clock()
        self._on_the_way[self._sent] = self._last
        return self._sent

    def acknowledge(self, frame: int) -> None:
        """The page has shown this frame, and with it all before."""
        self._heard = self._clock()
        sent = self._on_the_way.get(frame)
        if sent is None:
            return
        self._on_the_way = {n: t for n, t in self._on_the_way.items() if n > frame}
        late = self._heard - sent > LATE
        self.interval = min(2 * self.interval, SLOWEST) if late else max(self.interval / 2, FRAME)
        self.window = 2 if self._heard - sent < QUICK else 1

    def gone(self) -> bool:
        """Whether the page has been silent for so long that nobody can be watching."""
        return bool(self._on_the_way) and self._clock() - max(self._heard, self._last) > GONE


class Show(Protocol):
    """What a live loop drives."""

    def handle(self, name: str, value: Any) -> None: ...
    def running(self) -> bool: ...
    def wait(self) -> float: ...  # seconds until there is work; it may be none
    def work(self, seconds: float) -> None: ...
    def draw(self) -> Iterator[None]: ...  # one picture of the next frame at a time
    def send(self, frame: int) -> None: ...
    def rest(self) -> Iterator[None]: ...  # one sharp picture at a time
    def lost(self) -> None: ...
    def failed(self, error: Exception) -> None: ...


class LiveLoop:
    """Drives a show on the asyncio loop it was made on; of all loops, one at most is running."""

    _active: weakref.ref[LiveLoop] | None = None

    def __init__(self, show: Show, pacer: Pacer | None = None) -> None:
        self.show, self.pacer = show, pacer or Pacer()
        self.mailbox = Mailbox(self._wake)
        try:
            self._loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            self._loop = None
        self._task: asyncio.Task | None = None
        self.budget = Budget()
        self._bell = asyncio.Event()

    def _wake(self) -> None:
        """From any thread: see that a task is there to take the mail."""
        if self._loop is None:
            self._take_mail()
            for _ in self.show.rest():
                pass
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._ensure_task)

    def _ensure_task(self) -> None:
        self._bell.set()
        if self._task is None or self._task.done():
            self._task = self._loop.create_task(self._main())

    def _take_mail(self) -> bool:
        """Do what was asked for; whether anything was, besides answers to frames."""
        was_running, asked = self.show.running(), False
        for name, value in self.mailbox.take():
            if name == "ack":
                self.pacer.acknowledge(value)
            else:
                self.show.handle(name, value)
                asked = True
        if self.show.running() and not was_running:
            self._take_over()
            self.pacer.begin()
            self.budget.begin()
        return asked

    def _take_over(self) -> None:
        """Of several explorers only the one that was started last computes."""
        other = LiveLoop._active() if LiveLoop._active is not None else None
        if other is not None and other is not self:
            other.mailbox.put("pause", "Paused: another run on this page was started.")
        LiveLoop._active = weakref.ref(self)

    async def _let_others(self) -> None:
        """Time for the kernel to take a message: that needs several turns of the event loop, and
        with a slice of training between two of them a slider would lag by as many slices. Turns
        without a wait: asyncio sleeps for a millisecond at least."""
        for _ in range(TURNS):
            await asyncio.sleep(0)

    async def _main(self) -> None:
        try:
            self._take_mail()
            while not await self._live_and_rest():
                pass
        except Exception as error:  # a fault of ours: the page says so, and stands still
            logging.getLogger(__name__).exception("a page stopped")
            self.show.failed(error)
        # No await since the last look at the mail: what comes from now on finds no task.
        self._task = None

    async def _live_and_rest(self) -> bool:
        """Run until the show has come to rest; whether it has, and did not go on instead."""
        await self._live()
        for _ in self.show.rest():
            await self._let_others()
            self._take_mail()
            if self.show.running():
                return False
        return True

    async def _live(self) -> None:
        """While the show runs: one thing a turn, so that no message waits for two."""
        pictures: Iterator[None] | None = None
        while self.show.running():
            wall, cpu, drawing = time.perf_counter(), time.process_time(), False
            if self.pacer.gone():
                self.show.lost()
                if self.show.running():  # work that cannot be paused stands still, unwatched
                    await self._rest(UNWATCHED)
                    continue
            elif pictures is not None or (self.pacer.due() and self.budget.may_draw()):
                drawing = True
                pictures = pictures or self.show.draw()
                if next(pictures, "all") == "all":
                    pictures = None
                    self.show.send(self.pacer.send())
            elif (wait := self.show.wait()) > 0:
                self.budget.begin()  # it has had all the training that it wanted
                await self._rest(min(wait, SLICE))
                continue
            else:
                self.show.work(SLICE)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            await self._let_others()
            if not self._take_mail():
                await self._rest(self.budget.spent(wall, cpu, drawing=drawing))

    async def _rest(self, seconds: float) -> None:
        """Leave the processor to others, but for mail, which is taken at once."""
        end = time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            self._bell.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._bell.wait()
            if self._take_mail():
                return
