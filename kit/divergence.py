"""When a run breaks: a blow-up or a collapse, told apart.

    blow-up    a number that is not finite, or a loss above 1e6
    collapse   a hidden layer with no active unit on the training set; or 50 steps within 1% of
               the best constant predictor, after having been better

>>> watch = DivergenceWatch(best_constant=0.45)
>>> watch.check(step=3, loss=float("inf"), active=None)
'blow-up'
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from kit.points import ClosedFormPoint, Point

LOSS_LIMIT = 1e6
STUCK_STEPS = 50
STUCK_WITHIN = 0.01


@dataclass(frozen=True)
class Divergence:
    """The first bad step of a run, with what was last known there.

    sharpness is the last finite one measured, NaN if there was none; threshold is that of the
    optimiser at that step, NaN where none is known; reason says which rule it met.
    """

    kind: str
    step: int
    loss: float
    sharpness: float
    threshold: float
    reason: str


class DivergenceWatch:
    """Watches losses and active units along a run; its state is three plain values."""

    def __init__(self, best_constant: float | None) -> None:
        self.best_constant = best_constant
        self.was_better = False
        self.stuck_since: int | None = None
        self.reason = ""

    def check(self, step: int, loss: float, active: Sequence[int] | None) -> str | None:
        """The kind of divergence at this step, or None. `active`: active units a hidden layer."""
        if not math.isfinite(loss) or loss > LOSS_LIMIT:
            finite = math.isfinite(loss)
            self.reason = "the loss passed 1e6" if finite else "the loss is not finite"
            return "blow-up"
        if active is not None and any(count == 0 for count in active):
            layer = list(active).index(0) + 1
            self.reason = f"no unit of hidden layer {layer} is active on any training sample"
            return "collapse"
        if self.best_constant is None:
            return None
        near = abs(loss - self.best_constant) <= STUCK_WITHIN * self.best_constant
        if not near:
            self.was_better = self.was_better or loss < self.best_constant
            self.stuck_since = None
        elif self.was_better:
            self.stuck_since = step if self.stuck_since is None else self.stuck_since
            if step - self.stuck_since >= STUCK_STEPS:
                self.reason = "the loss has stayed at that of the best constant predictor"
                return "collapse"
        return None


def active_units(point: Point) -> list[int] | None:
    """Hidden units a layer that some training sample activates; None but for relu perceptrons."""
    if not isinstance(point, ClosedFormPoint) or point.net.activation is not nn.ReLU:
        return None
    return [int((h.amax(0) > 0).sum()) for h in point.activations()[1:]]
