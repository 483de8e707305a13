"""Which samples a step of stochastic gradient descent sees: shuffled passes, and mixup.

>>> sampler = Sampler(4, seed=0)
>>> first, second = sampler.draw(2).indices, sampler.draw(2).indices
>>> sorted([*first.tolist(), *second.tolist()])  # one pass over the four
[0, 1, 2, 3]
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Sample indices (b,); with mixup, sample i is share x_i + (1 - share) x_{other_i}."""

    indices: Tensor
    share: float | None = None
    other: Tensor | None = None


class Sampler:
    """Draws batches from n samples; its own generator, so that nothing else changes its draws."""

    def __init__(self, n: int, seed: int) -> None:
        self.n = n
        self._generator = torch.Generator().manual_seed(seed)
        self._order = torch.zeros(0, dtype=torch.long)
        self._at = 0  # what comes before has been drawn

    def draw(self, b: int, mixup: float = 0.0) -> Batch:
        """The next b samples of shuffled passes; `mixup` a > 0 draws the share from Beta(a, a)."""
        while len(self._order) < self._at + b:
            order = torch.randperm(self.n, generator=self._generator)
            self._order, self._at = torch.cat([self._order[self._at :], order]), 0
        indices = self._order[self._at : self._at + b]
        self._at += b
        if not mixup:
            return Batch(indices)
        # Beta(a, a) from two Gamma draws of this generator.
        a = torch.full((2,), mixup, dtype=torch.float64)
        u, v = torch._standard_gamma(a, generator=self._generator).tolist()
        share = u / (u + v) if u + v > 0 else 0.5
        return Batch(indices, share, torch.randperm(b, generator=self._generator))

    def state_dict(self) -> dict:
        return {"generator": self._generator.get_state(), "order": self._order[self._at :]}

    def load_state_dict(self, state: dict) -> None:
        self._generator.set_state(state["generator"])
        self._order, self._at = state["order"], 0
