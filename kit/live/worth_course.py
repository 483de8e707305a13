"""The run of page 7: a network trains, and every ten steps its bounds are computed.

>>> course = Course("chebyshev", 20)
>>> course.go(10)
>>> course.step, course.best.form, course.rows["step"]
(10, 'G3', [0.0, 10.0])
"""

from __future__ import annotations

import math

from kit.bounds import Bound, BoundCalculator
from kit.live.worth_pictures import FAILURE, STEPS
from kit.load import load_dataset
from kit.models import mlp
from kit.training import Training

EVERY, DEGREE, LR = 10, 3, 0.3  # steps between two bounds; of the curve; learning rate


class Course:
    """A training run with its bounds: every ten steps, `rows` gets what was measured."""

    def __init__(self, name: str, n: int) -> None:
        self.name, self.n = name, n
        options = {"degree": DEGREE, "n": n} if name == "chebyshev" else {"n_train": n}
        data = load_dataset(name, **options)
        self.calculator = BoundCalculator(data, failure=FAILURE)
        self.exact = data.population is not None
        hidden, activation = ((30, 20), "tanh") if self.exact else ((32,), "relu")
        model = mlp((data.d, *hidden, data.K), activation=activation, seed=0)
        self.training = Training(
            model, data, loss=self.calculator.loss, lr=LR, measures=(), every=EVERY
        )
        self.rows: dict[str, list[float]] = {}
        self._look()

    @property
    def step(self) -> int:
        return self.training.steps

    @property
    def ended(self) -> bool:
        return self.step >= STEPS or self.training.diverged is not None

    def go(self, steps: int) -> None:
        for _ in range(steps):
            if not self.ended and self.training.step() and self.step % EVERY == 0:
                self._look()

    def _look(self) -> None:
        self.forms = self.calculator.forms(self.training.model)
        history = self.training.history
        row = {"step": float(self.step), "best constant": self.calculator.best_constant}
        row |= {k: history[k][-1] for k in ("train_loss", "test_loss", "loss_gap", "loss_gap_se")}
        row |= {form: bound.value for form, bound in self.forms.items()} | {"best": self.best.value}
        for name, value in row.items():
            self.rows.setdefault(name, []).append(value)

    @property
    def best(self) -> Bound:
        return min(self.forms.values(), key=lambda bound: bound.value)

    def last(self, name: str) -> float:
        return self.rows[name][-1]

    @property
    def distance(self) -> float:
        """What the Lipschitz constant is multiplied by, in the best bound."""
        return self.best.terms["W_1" if self.best.form == "G3" else "r"]

    def shares(self) -> list[tuple[str, str, float]]:
        """The parts of the best bound: name, exact or estimate, and value."""
        terms, distance = self.best.terms, self.distance
        L1 = 2 * terms["B"] if self.calculator.loss == "mse" else math.sqrt(2)
        steep = L1 * terms["sup J"]
        cost = self.best.value - terms["Lhat"] * distance
        which = {"G1": "largest", "G2": "cells'", "G3": "mean"}[self.best.form]
        known, least = ("exact", "at most") if self.exact else ("estimate", "estimate")
        costs = "exact" if self.best.form != "G2" or self.exact else "estimate"
        return [
            (f"training cost\n({which})", costs, cost),
            ("slope of f at\nthe samples", known, L1 * terms["max J"] * distance),
            ("slope of f\nbetween them", least, L1 * terms["V"] * distance),
            ("slope of the\ntarget", known, (terms["Lhat"] - steep) * distance),
        ]

    @property
    def needed(self) -> float:
        """The distance from which on the best bound would say something."""
        cost = self.best.value - self.best.terms["Lhat"] * self.distance
        return max(self.calculator.best_constant - cost, 0.0) / self.best.terms["Lhat"]
