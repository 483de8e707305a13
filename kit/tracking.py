"""An extreme eigenvalue followed along a training run, for a few products a measurement.

Each measurement starts from what the last two left: the leading Ritz vector of the last one, and
the two leading ones of the one before. At the edge of stability the parameters swing with period
two, so the older vectors are often the better start; the second one is there when two eigenvalues
cross. The error of a Ritz value is about r^2 / gap, r its residual, and most of r lies well below
the next eigenvalue: products go on until r is at most 0.7% of the eigenvalue where the next Ritz
value is as large, 2.3% where it is 0 (the second residual: 20%). A small residual does not prove
that the pair is the largest, so every 50th measurement also solves from random vectors. Each Ritz
value is a lower bound, so the larger of the two is kept and followed from there.

>>> from kit.models import mlp
>>> X, y = torch.eye(3), torch.arange(3)
>>> objective = Objective(mlp((3, 4, 3), seed=0), X, y, loss="mse")
>>> tracker = EigenTracker()
>>> cold, warm = tracker.measure(objective), tracker.measure(objective)
>>> cold.cold, warm.cold, warm.matvecs <= 3
(True, False, True)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from kit.checks import check_int, check_one_of, check_seed
from kit.lanczos import EigenResult, NotFiniteError, random_vectors, ritz
from kit.objective import Objective
from kit.operators import OPERATORS, Product, operator_product

COLD_EVERY = 50
ACCURACY, BULK = 5e-4, 0.1  # of a warm value: r^2 / (gap + BULK), relative to it
SECOND_TOL = 2e-1
COLD_TOL = (1e-3, 1e-2)
COLD_MATVECS = 200
MISMATCH = 1e-2  # relative difference of a warm from a cold value that is reported


@dataclass(frozen=True)
class Tracked:
    """One measurement: the value, its residual, the products spent, and the last cold check.

    `cold`: whether there was a solve from random vectors. `mismatch`: by how much, relatively, the
    followed value was below the cold one that checked it, 0 where it was not; None where nothing
    was checked.
    """

    value: float
    residual: float
    matvecs: int
    cold: bool
    mismatch: float | None = None


class EigenTracker:
    """Follows the largest eigenvalue of one operator of an objective.

    `operator`: a name from `kit.operators`, or a function objective -> product. `lag` moves the
    cold checks by so many measurements: those of two trackers need not fall on the same step.

    Cost: 3 products for a typical measurement, up to 16; about 20 for a cold one. Accuracy along
    whole runs at the edge, against a converged solve: tests/test_tracking.py. Where several
    eigenvalues sit at the edge and change places, the lower of two can be followed for a few steps:
    on MNIST-1D (n = 300, eta 0.4) 0.7% of 600 steps were more than 1% low, the worst 4%.
    """

    def __init__(
        self,
        operator: str | Callable[[Objective], Product] = "hessian",
        *,
        seed: int = 0,
        max_matvecs: int = 16,
        lag: int = 0,
    ) -> None:
        if not callable(operator):
            check_one_of("operator", operator, OPERATORS)
        self.operator = operator
        self.max_matvecs = check_int("max_matvecs", max_matvecs, low=1)
        self._generator = torch.Generator().manual_seed(check_seed(seed))
        self._last: Tensor | None = None
        self._before: Tensor | None = None
        self._count = check_int("lag", lag, low=0)

    def restart(self) -> None:
        """Forget the vectors: the next measurement is a cold one. Call after a jump."""
        self._last = self._before = None

    @property
    def vector(self) -> Tensor | None:
        """The unit Ritz vector of the last value, (P,); None before a first measurement."""
        return None if self._last is None else self._last[:, 0]

    def measure(self, objective: Objective) -> Tracked:
        """Measure at the objective's present parameters; NaN where they have diverged."""
        check = self._last is None or self._count % COLD_EVERY == 0
        self._count += 1
        try:
            followed = None if self._last is None else self._solve(objective, cold=False)
            cold = self._solve(objective, cold=True) if check else None
        except (NotFiniteError, torch.linalg.LinAlgError):
            self.restart()
            return Tracked(float("nan"), float("nan"), 0, True)
        matvecs = sum(result.matvecs for result in (followed, cold) if result is not None)
        mismatch = None
        if cold is None or (followed is not None and followed.values[0] >= cold.values[0]):
            best = followed
        else:
            best = cold
        value = float(best.values[0])
        if followed is not None and cold is not None:
            mismatch = (value - float(followed.values[0])) / max(abs(value), 1e-12)
        self._before = self._last
        self._last = best.vectors
        return Tracked(value, float(best.residuals[0]), matvecs, check, mismatch)

    def _solve(self, objective: Objective, *, cold: bool) -> EigenResult:
        theta = objective.point().theta
        if cold:
            start = random_vectors(theta, 2, self._generator)
            tol, limit = COLD_TOL, COLD_MATVECS
        else:
            older = self._before
            blocks = [self._last] if older is None else [self._last[:, :1], older]
            start = torch.cat(blocks, dim=1)
            tol, limit = _warm_tolerances, self.max_matvecs
        named = isinstance(self.operator, str)
        return ritz(
            operator_product(objective, self.operator) if named else self.operator(objective),
            start[:, : len(theta)],
            2,
            tol=tol,
            max_matvecs=limit,
            generator=self._generator,
        )

    def state_dict(self) -> dict:
        """Everything that the next measurement depends on."""
        return {
            "last": self._last,
            "before": self._before,
            "count": self._count,
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state: dict) -> None:
        self._last, self._before, self._count = state["last"], state["before"], state["count"]
        self._generator.set_state(state["generator"])


def _warm_tolerances(theta: list[float]) -> tuple[float, float]:
    """Relative residuals at which a warm measurement stops, from its Ritz values."""
    first, second = theta[0], theta[min(1, len(theta) - 1)]
    gap = (first - second) / max(abs(first), abs(second), 1e-300)
    return math.sqrt(ACCURACY * (min(gap, 1.0) + BULK)), SECOND_TOL
