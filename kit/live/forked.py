"""Kernels as forks of one process that has imported everything: they start at once and share it.

Voila finds `ForkedProvisioner` by its name, `kit-forked`, among the kernel provisioners of
jupyter_client, and asks it for each kernel; notebooks/voila.json says so. Python's own
forkserver (multiprocessing) is the process that waits: it imports `kit.live.zygote` once, and a
kernel is a copy of it, which shares all pages of memory that neither writes to.

>>> is_ours([sys.executable, "-m", "ipykernel_launcher", "-f", "kernel.json"])
True
>>> is_ours(["R", "--slave"])
False
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import pathlib
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import Any

from jupyter_client.provisioning import LocalProvisioner

LAUNCHER = ["-m", "ipykernel_launcher"]
CAN_FORK = "forkserver" in multiprocessing.get_all_start_methods() and sys.platform == "linux"
INLINE = "module://matplotlib_inline.backend_inline"  # of a notebook's plots
LOCK = threading.Lock()  # one fork after the other
POLITE = 5  # of 19
NAME = "kit-kernel"  # of the process, in a list of them


def is_ours(command: Sequence[str]) -> bool:
    """Whether a command starts Python's kernel in this interpreter, and a fork can stand for it."""
    python, rest = command[0], list(command[1:3])
    ours = os.path.realpath(python) == os.path.realpath(sys.executable)
    return CAN_FORK and ours and rest == LAUNCHER


def forks() -> Any:
    """The context whose processes are forks of the one that has imported everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["kit.live.zygote"])
    return context


def make_ready() -> None:
    """Start the process that is forked, where there can be one; returns at once."""
    if CAN_FORK:
        forks()
        from multiprocessing.forkserver import ensure_running

        ensure_running()


def serve(arguments: Sequence[str], environment: Mapping[str, str], folder: str) -> None:
    """Be the kernel: what the fork does, until it is told to end."""
    os.setsid()
    multiprocessing.current_process().daemon = False  # it may have children of its own
    give_way()
    pathlib.Path("/proc/self/comm").write_text(NAME)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update({"MPLBACKEND": INLINE} | dict(environment))
    os.chdir(folder)
    sys.argv = ["ipykernel_launcher", *arguments]
    sys.path[0] = ""
    import matplotlib as mpl
    from ipykernel.kernelapp import IPKernelApp
    from ipywidgets import register_comm_target

    mpl.rcParams["backend"] = os.environ["MPLBACKEND"]  # it was imported before this was set
    threading.Thread(target=end_with_server, daemon=True).start()
    kernel = IPKernelApp.instance()
    kernel.initialize([*arguments, f"--IPKernelApp.parent_handle={os.getppid()}"])
    register_comm_target()  # as ipywidgets does where it is imported in a kernel
    kernel.start()


def give_way() -> None:
    """Let the server and the browser go first: they answer a reader, where a kernel computes.

    Linux weighs sessions first, then the processes of one. It lets a user weigh one session in
    0.1 s, so where many kernels start at once some have to ask again.
    """

    def weigh_session() -> None:
        for _ in range(50):
            try:
                pathlib.Path("/proc/self/autogroup").write_text(str(POLITE))
                return
            except BlockingIOError:
                time.sleep(random.uniform(0.1, 0.5))
            except OSError:  # no such weights here
                return

    with suppress(OSError):
        os.nice(POLITE)
    threading.Thread(target=weigh_session, daemon=True).start()


def end_with_server() -> None:
    """Wait until the process that asked for this kernel is gone, however it went."""
    multiprocessing.parent_process().join()
    os._exit(1)


@contextmanager
def no_script() -> Iterator[None]:
    """Keep the server from being run again in a fork, as multiprocessing does with a script."""
    with LOCK:
        script, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = script


class Fork:
    """A forked kernel, with what jupyter_client wants of a `subprocess.Popen`."""

    stdin = stdout = stderr = None

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], folder: str):
        # Voila names some variables by an enumeration, for which a fork would import Voila.
        plain = {os.fsdecode(os.fsencode(k)): v for k, v in environment.items()}
        self._process = forks().Process(
            target=serve, args=(list(arguments), plain, folder), daemon=True
        )
        with no_script():
            self._process.start()
        self.pid = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self) -> int | None:
        self._process.join()
        return self.poll()

    def send_signal(self, sign: int) -> None:
        with suppress(ProcessLookupError):  # as a Popen: it has ended
            os.kill(self.pid, sign)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


class ForkedProvisioner(LocalProvisioner):
    """Starts a kernel as a fork, or as a process of its own where that cannot be."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> dict[str, Any]:
        if not is_ours(cmd):
            return await super().launch_kernel(cmd, **kwargs)
        folder = str(kwargs.get("cwd") or pathlib.Path.cwd())
        environment = kwargs.get("env") or os.environ
        # The first one waits until everything is imported.
        self.process = await asyncio.to_thread(Fork, cmd[3:], environment, folder)
        self.pid = self.pgid = self.process.pid
        self.cwd = folder
        return self.connection_info
