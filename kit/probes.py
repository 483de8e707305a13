"""What a training run measures as it goes: each probe fills a few columns of the history.

A probe looks at the run's present parameters and never changes them, nor the random numbers that
training draws. Probes that follow an eigenvector keep it from one measurement to the next.

>>> sorted(PROBES)  # doctest: +NORMALIZE_WHITESPACE
['batch_sharpness', 'bound', 'eigenvalue_2', 'invariant_sharpness', 'jacobian_max',
 'jacobian_mean', 'preconditioned_sharpness', 'riemannian_sharpness', 'sharpness', 'swing_max']
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from kit.batches import batch_quotients, summarise
from kit.bounds import BoundCalculator
from kit.curvature import eigenvalues
from kit.jacobian import point_jacobian_norms
from kit.lanczos import NotFiniteError
from kit.operators import Product, operator_product
from kit.tracking import COLD_EVERY, EigenTracker, Tracked

if TYPE_CHECKING:
    from kit.training import Training

Values = dict[str, float]


class Probe:
    """One measure along a run. `stride`: measured at every stride-th measurement only."""

    columns: tuple[str, ...]
    stride = 1

    def __init__(self, training: Training, name: str) -> None:
        self.name = name

    def measure(self, training: Training) -> Values:
        raise NotImplementedError

    def restart(self) -> None:
        """The parameters have jumped: forget what was followed."""

    def state_dict(self) -> dict:
        return {}

    def load_state_dict(self, state: dict) -> None:
        pass


class EigenProbe(Probe):
    """The largest eigenvalue of an operator, with its residual and products."""

    operator: str | None = None
    lag = 0  # of the cold checks, so that no step has two

    def __init__(self, training: Training, name: str) -> None:
        super().__init__(training, name)
        self.columns = (name, f"{name}_residual", f"{name}_matvecs")
        self.tracker = EigenTracker(self.product(training), seed=training.seed, lag=self.lag)
        self.last: Tracked | None = None
        self.last_check: float | None = None

    def product(self, training: Training):
        return self.operator

    def measure(self, training: Training) -> Values:
        self.last = self.tracker.measure(training.objective)
        if self.last.mismatch is not None:
            self.last_check = self.last.mismatch
        numbers = (self.last.value, self.last.residual, float(self.last.matvecs))
        return dict(zip(self.columns, numbers, strict=True))

    def restart(self) -> None:
        self.tracker.restart()

    def state_dict(self) -> dict:
        return {
            "tracker": self.tracker.state_dict(),
            "last": self.last,
            "last_check": self.last_check,
        }

    def load_state_dict(self, state: dict) -> None:
        self.tracker.load_state_dict(state["tracker"])
        self.last, self.last_check = state["last"], state["last_check"]


class Sharpness(EigenProbe):
    """lambda_max(H)."""

    operator = "hessian"


class InvariantSharpness(EigenProbe):
    """lambda_max(S), S = D H D (theory.md, (9))."""

    operator = "layer"
    lag = COLD_EVERY // 2


class RiemannianSharpness(EigenProbe):
    """lambda_max(H_q), the Hessian on the quotient by layer-wise rescaling."""

    operator = "riemannian"
    lag = COLD_EVERY // 4


class PreconditionedSharpness(EigenProbe):
    """lambda_max(Q^{-1/2} (H + mu I) Q^{-1/2}): what Adam's threshold is about.

    Q = (1 - b1^t) (sqrt(s / (1 - b2^t)) + eps), s the mean of squared gradients, b1 and b2 Adam's
    two betas, mu the weight decay: `kit.optimizers.Adam.preconditioner`. NaN before Adam's first
    step, and for other optimisers.
    """

    def product(self, training: Training):
        def preconditioned(objective) -> Product:
            D = training.preconditioner().rsqrt().unsqueeze(1)
            H = operator_product(objective, "hessian")
            mu = training.weight_decay
            return lambda V: D * (H(D * V) + mu * D * V)

        return preconditioned

    def measure(self, training: Training) -> Values:
        if training.preconditioner() is None:
            return dict.fromkeys(self.columns, math.nan)
        return super().measure(training)


class TopEigenvalues(Probe):
    """The second to the fourth largest eigenvalue of H, at every fifth measurement."""

    columns = ("eigenvalue_2", "eigenvalue_3", "eigenvalue_4")
    stride = 5
    TOL, MOST = 2e-2, 60

    def __init__(self, training: Training, name: str) -> None:
        super().__init__(training, name)
        self._start: Tensor | None = None

    def measure(self, training: Training) -> Values:
        k = min(4, training.objective.parameters)
        try:
            top = eigenvalues(
                training.objective, k, tol=self.TOL, max_matvecs=self.MOST, start=self._start
            )
        except NotFiniteError:
            self.restart()
            return dict.fromkeys(self.columns, math.nan)
        self._start = top.vectors
        return dict(zip(self.columns, top.values[1:].tolist(), strict=False))

    def restart(self) -> None:
        self._start = None

    def state_dict(self) -> dict:
        return {"start": self._start}

    def load_state_dict(self, state: dict) -> None:
        self._start = state["start"]


class Swings(Probe):
    """Which training samples swing in cost: |c_i(t) - c_i(s)|, s the measurement before, averaged.

    `each` (n,) is the mean over some ten measurements, the newest weighing most; the column is its
    largest entry. At the edge costs swing with period two: a cadence of 1, or another odd one,
    shows that, and the drift between two measurements besides; an even one shows the drift alone.
    Cost: nothing, the costs are known.
    """

    columns = ("swing_max",)
    KEEP = 0.9

    def __init__(self, training: Training, name: str) -> None:
        super().__init__(training, name)
        self.restart()

    def restart(self) -> None:
        self.each: Tensor | None = None
        self._costs: Tensor | None = None

    def measure(self, training: Training) -> Values:
        costs, before = training.objective.point().losses().clone(), self._costs
        self._costs = costs
        if before is None:
            return {"swing_max": math.nan}
        swing = (costs - before).abs()
        old = self.each
        self.each = swing if old is None else self.KEEP * old + (1 - self.KEEP) * swing
        return {"swing_max": float(self.each.max())}

    def state_dict(self) -> dict:
        return {"each": self.each, "costs": self._costs}

    def load_state_dict(self, state: dict) -> None:
        self.each, self._costs = state["each"], state["costs"]


class Jacobian(Probe):
    """Largest or mean ||J(x_i)||_2 over the training samples."""

    def __init__(self, training: Training, name: str) -> None:
        super().__init__(training, name)
        self.columns = (name,)

    def measure(self, training: Training) -> Values:
        norms: Tensor = training.once("jacobian", point_jacobian_norms)
        value = norms.max() if self.name == "jacobian_max" else norms.mean()
        return {self.name: float(value)}


class BatchSharpness(Probe):
    """E_B[g' H g / |g|^2], a running mean over the last 100 batches, with its standard error.

    As many batches a measurement as fit about 1000 samples; NaN until 100 have been drawn, and
    again after the batch size changes.
    """

    columns = ("batch_sharpness", "batch_sharpness_se")
    WINDOW = 100
    SAMPLES = 1000

    def __init__(self, training: Training, name: str) -> None:
        super().__init__(training, name)
        self._generator = torch.Generator().manual_seed(training.seed)
        self.restart()

    def restart(self) -> None:
        self._curvature = torch.zeros(0, dtype=torch.float64)
        self._square = torch.zeros(0, dtype=torch.float64)
        self._size: int | None = None

    def measure(self, training: Training) -> Values:
        b = training.batch_size
        if b is None or b == training.objective.n:
            return dict.fromkeys(self.columns, math.nan)
        if b != self._size:
            self.restart()
            self._size = b
        m = max(1, min(self.WINDOW, self.SAMPLES // b))
        curvature, square = batch_quotients(training.objective, b, m, self._generator)
        self._curvature = torch.cat([self._curvature, curvature])[-self.WINDOW :]
        self._square = torch.cat([self._square, square])[-self.WINDOW :]
        if len(self._square) < self.WINDOW:
            return dict.fromkeys(self.columns, math.nan)
        estimate = summarise(self._curvature, self._square)
        return {"batch_sharpness": estimate.value, "batch_sharpness_se": estimate.standard_error}

    def ratio_of_means(self) -> float:
        """The other definition, E[g' H g] / E[|g|^2], over the same batches."""
        if len(self._square) < self.WINDOW:
            return math.nan
        return summarise(self._curvature, self._square, "ratio_of_means").value

    def state_dict(self) -> dict:
        return {
            "generator": self._generator.get_state(),
            "curvature": self._curvature,
            "square": self._square,
            "size": self._size,
        }

    def load_state_dict(self, state: dict) -> None:
        self._generator.set_state(state["generator"])
        self._curvature, self._square = state["curvature"], state["square"]
        self._size = state["size"]


class BoundProbe(Probe):
    """The generalisation bound, or its estimate, less the training cost (`kit.bounds`)."""

    columns = ("bound", "bound_vacuous")
    stride = 10

    def __init__(self, training: Training, name: str) -> None:
        super().__init__(training, name)
        self._calculator = BoundCalculator(training.dataset, loss=training.loss)
        self.last = None

    def measure(self, training: Training) -> Values:
        self.last = self._calculator(training.model)
        return {"bound": self.last.gap, "bound_vacuous": float(self.last.vacuous)}

    def state_dict(self) -> dict:
        return {"last": copy.copy(self.last)}

    def load_state_dict(self, state: dict) -> None:
        self.last = state["last"]


PROBES: dict[str, type[Probe]] = {
    "sharpness": Sharpness,
    "invariant_sharpness": InvariantSharpness,
    "riemannian_sharpness": RiemannianSharpness,
    "preconditioned_sharpness": PreconditionedSharpness,
    "eigenvalue_2": TopEigenvalues,
    "swing_max": Swings,
    "jacobian_max": Jacobian,
    "jacobian_mean": Jacobian,
    "batch_sharpness": BatchSharpness,
    "bound": BoundProbe,
}
