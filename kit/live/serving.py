"""What a server of the pages sees to: solutions are kept back, and kernels fit into the memory.

>>> is_kept_back("labs/instructor/lab_a.ipynb"), is_kept_back("labs//x/../Instructor/lab_a.ipynb")
(True, True)
>>> is_kept_back("02_sharpness_live.ipynb")
False
"""

from __future__ import annotations

import asyncio
import os
import posixpath
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from tornado.web import HTTPError
from traitlets import Int, default

from kit.live.forked import CAN_FORK

KEPT_BACK = "instructor"
GIB = 2**30
KERNEL = (0.25 if CAN_FORK else 0.39) * GIB  # that a page's kernel takes, but for what all share
FULL = "All places are taken"
REFILL = 10.0  # seconds after one has ended until another may wait in its place


def is_kept_back(path: str) -> bool:
    """Whether a notebook lies where no reader is to look, however its path is written.

    >>> is_kept_back("../secret.ipynb"), is_kept_back("/etc/secret.ipynb")
    (True, True)
    """
    parts = posixpath.normpath(path.replace("\\", "/")).lower().split("/")
    return KEPT_BACK in parts[:-1] or parts[0] in ("", "..")


def pages_only(page_config: dict[str, Any], *, notebook_path: str, **_: Any) -> dict[str, Any]:
    """Voila's `page_config_hook`: answers 404 before a kernel is started."""
    if is_kept_back(notebook_path):
        raise HTTPError(404, f"{notebook_path} can not be found")
    return page_config


def memory() -> int:
    """Bytes that this server may use: of its container, or of the machine."""
    if os.environ.get("MEM_LIMIT", "").isdigit():  # set by JupyterHub and Binder
        return int(os.environ["MEM_LIMIT"])
    with suppress(OSError, ValueError):
        return int(Path("/sys/fs/cgroup/memory.max").read_text())
    with suppress(AttributeError, OSError, ValueError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return 8 * GIB


def room(bytes_: int) -> int:
    """How many kernels fit into so much memory, with a gibibyte left for the rest; 1 at least.

    >>> room(GIB), room(2 * GIB) in (2, 4)
    (1, True)
    """
    return max(1, int((bytes_ - GIB) / KERNEL))


class BoundedKernels(AsyncMappingKernelManager):
    """Kernels of the pages, so many at most: who comes when all are taken is asked to come again.

    `make serve FLAGS=--BoundedKernels.most=20` sets how many; else as many as the memory holds. One
    that waits for a reader of its page, preheated, ends where a reader of another one needs the
    place. Voila keeps those in `_pools`: page -> tasks that come to {"kernel_id": ...}.
    """

    most = Int(help="Kernels at once, those that wait for a reader included").tag(config=True)

    _starting = Int()  # on their way: a fork is not waited for in this thread

    def __init__(self, **settings: Any) -> None:
        self._pools: dict[str, list[asyncio.Task]] = {}
        self._seen: set[str] = set()  # those that have been looked at since they have a reader
        super().__init__(**settings)

    @default("most")
    def _most(self) -> int:
        return room(memory())

    @property
    def full(self) -> bool:
        return len(self.list_kernel_ids()) + self._starting >= self.most

    async def start_kernel(self, **options: Any) -> str:
        task = asyncio.current_task()
        waits = any(task in pool for pool in self._pools.values())  # else a reader has asked
        while not waits and self.full:
            waiting = self._waiting()
            if waiting is None:
                break
            with suppress(HTTPError):  # it has died meanwhile
                await self.shutdown_kernel(waiting, now=True)
        if self.full:
            if waits:
                task.add_done_callback(self._leave_pool)
            raise HTTPError(503, reason=FULL)
        self._starting += 1
        try:
            return await super().start_kernel(**options)
        finally:
            self._starting -= 1

    def _waiting(self) -> str | None:
        """One that waits for a reader."""
        tasks = (task for pool in self._pools.values() for task in pool)
        ready = (t for t in tasks if t.done() and not t.cancelled() and t.exception() is None)
        return next((task.result()["kernel_id"] for task in ready), None)

    def _leave_pool(self, task: asyncio.Task) -> None:
        """A task that has failed: Voila would ask it for its kernel at every shutdown."""
        if not task.cancelled():
            task.exception()  # seen, or asyncio complains that nobody did
        for pool in self._pools.values():
            if task in pool:
                pool.remove(task)

    async def shutdown_kernel(self, kernel_id: str, *arguments: Any, **options: Any) -> None:
        await super().shutdown_kernel(kernel_id, *arguments, **options)
        asyncio.get_running_loop().call_later(REFILL, self._refill)

    def _refill(self) -> None:
        """Let a kernel wait again for each page that has lost its own, as far as there is room."""
        for page, pool in list(self._pools.items()):
            if not pool and not self.full:
                self.fill_if_needed(notebook_name=page)

    async def cull_kernel_if_idle(self, kernel_id: str) -> None:
        """End one that nobody uses: asked of those that have a reader, not of those that wait.

        What it has waited, idle, does not count: at first its reader's page has yet to connect.
        """
        if kernel_id in self._seen:
            await super().cull_kernel_if_idle(kernel_id)
            return
        self._seen = (self._seen & set(self.list_kernel_ids())) | {kernel_id}
        self._kernels[kernel_id].last_activity = datetime.now(UTC)
