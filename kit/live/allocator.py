"""What the C library does with freed memory: kept while a page works, given back when it rests.

>>> keep()
>>> give_back()

Both do nothing where there is no glibc.
"""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, KEPT = -1, -3, 2**28  # malloc.h; bytes


def keep() -> None:
    """Keep freed memory, up to 256 MB.

    A step frees some megabytes and the next one asks for them again. glibc hands them back to the
    system in between, which costs up to half of the time of a product H v.
    """
    libc = _glibc()
    if hasattr(libc, "mallopt"):
        for parameter in (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD):
            libc.mallopt(parameter, KEPT)


def give_back() -> None:
    """Hand free memory back to the system, now. Cost: milliseconds."""
    libc = _glibc()
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if sys.platform == "linux" else None
