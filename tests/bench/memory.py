"""Peak memory of a call: how much the resident memory of a forked child grows while it runs."""

import ctypes
import os
import resource
from collections.abc import Callable

PAGE = os.sysconf("SC_PAGE_SIZE")


def peak_megabytes(function: Callable[[], object]) -> float:
    """Runs the function in a child; its own results are lost."""
    _give_back()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover
        try:
            with open("/proc/self/statm") as file:
                before = int(file.read().split()[1]) * PAGE
            function()
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            os.write(write, f"{max(peak - before, 0) / 2**20}".encode())
        finally:
            os._exit(0)
    os.close(write)
    with open(read) as file:
        text = file.read()
    os.waitpid(child, 0)
    return float(text)


def _give_back() -> None:
    """Free memory that the C library keeps would be used again, and so not be counted."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
