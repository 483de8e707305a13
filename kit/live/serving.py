"""What a server of the pages sees to: solutions are kept back, and kernels fit into the memory.

>>> is_kept_back("labs/instructor/lab_a.ipynb"), is_kept_back("labs//x/../Instructor/lab_a.ipynb")
(True, True)
>>> is_kept_back("02_sharpness_live.ipynb")
False
"""

from __future__ import annotations

import os
import posixpath
from contextlib import suppress
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

    `make serve FLAGS=--BoundedKernels.most=20` sets how many; else as many as the memory holds.
    """

    most = Int(help="Kernels at once, those that wait for a reader included").tag(config=True)

    _starting = Int()  # on their way: a fork is not waited for in this thread

    @default("most")
    def _most(self) -> int:
        return room(memory())

    async def start_kernel(self, **options: Any) -> str:
        if len(self.list_kernel_ids()) + self._starting >= self.most:
            raise HTTPError(503, reason=FULL)
        self._starting += 1
        try:
            return await super().start_kernel(**options)
        finally:
            self._starting -= 1
