"""Torch's global random state, seeded for a while and put back, by one thread at a time.

PyTorch's layers draw their first weights from the state that all threads of a process share.
Without a lock, two threads that make networks at once (a Dask cluster of threads) would each draw
from the other's seed, and leave the caller's state changed.

>>> before = torch.get_rng_state()
>>> with seeded(0):
...     first = torch.rand(1)
>>> with seeded(0):
...     bool(torch.rand(1) == first)
True
>>> torch.equal(before, torch.get_rng_state())
True
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

import torch

RANDOM_STATE = RLock()  # held by whoever may change torch's global random state


@contextmanager
def seeded(seed: int | None = None) -> Iterator[None]:
    """Within it, torch's global generator starts at `seed` (None: where it is); then it is back."""
    with RANDOM_STATE, torch.random.fork_rng(devices=[]):
        if seed is not None:
            torch.manual_seed(seed)
        yield
