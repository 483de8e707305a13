"""Why sharpness stops at 2/eta: a toy with one cubic term, and the same two numbers of a network.

The toy is gradient descent on  l(x, y) = 1/2 (2/eta + y) x^2 - gamma y.  Its curvature in x is
2/eta + y, so y is how far sharpness is above the threshold. The step is

    x <- -(1 + eta y) x                       grows while y > 0: a step too big
    y <- y + eta (gamma - x^2 / 2)            falls while x^2 > 2 gamma

The second term of the second line comes from the only term of third order, 1/2 y x^2. Without it
y grows for ever, as long as it drifts, and x with it; without the drift, too, y stays, and a step
multiplies x by -(1 + eta y). Source: self-stabilisation, Damian, Nichani and Lee, arXiv
2209.15594; this form of the toy is ours.

>>> x, y = toy_path(0.05, -0.3, eta=0.2, drift=0.02, steps=400)
>>> bool(abs(x).max() < 1), bool(abs(y).max() < 1)
(True, True)
>>> x, y = toy_path(0.05, -0.3, eta=0.2, drift=0.02, steps=400, cubic=False)
>>> bool(abs(x).max() > 1e3)
True
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from kit.checks import check_bool, check_int, check_number

if TYPE_CHECKING:
    from torch import Tensor

    from kit.objective import Objective

PHASES = ("sharpening", "blowing up", "self-stabilising", "returning")
FAR = 1e6  # where a path that diverges is left


def toy_path(
    x: float, y: float, *, eta: float, drift: float, steps: int, cubic: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """x_t and y_t of the toy for t = 0..steps, (steps + 1,) each, from one start.

    `drift`: gamma, how fast sharpness would grow by itself. `cubic`: whether the descent in y sees
    the cubic term. What passes 1e6 stays there.
    """
    eta, drift = check_number("eta", eta, above=0), check_number("drift", drift, low=0)
    steps = check_int("steps", steps, low=0)
    check_bool("cubic", cubic)
    x, y = check_number("x", x), check_number("y", y)
    xs, ys = [x], [y]
    for _ in range(steps):
        feedback = 0.5 * x * x if cubic else 0.0
        x, y = -(1 + eta * y) * x, y + eta * (drift - feedback)
        x, y = max(-FAR, min(x, FAR)), max(-FAR, min(y, FAR))
        xs.append(x)
        ys.append(y)
    return np.array(xs), np.array(ys)


def phase(y: float, change: float) -> str:
    """Which of the four phases: sharpness above or below the threshold, rising or falling.

    >>> phase(-1.0, 0.1), phase(0.5, 0.1), phase(0.5, -0.1), phase(-0.2, -0.1)
    ('sharpening', 'blowing up', 'self-stabilising', 'returning')
    """
    if y < 0:
        return PHASES[0] if change >= 0 else PHASES[3]
    return PHASES[1] if change >= 0 else PHASES[2]


def displacement(objective: Objective, v: Tensor, value: float) -> float:
    """x = <v, g> / lambda: how far the lowest point along v is, were the loss a parabola there.

    >>> import torch
    >>> from kit import Objective, mlp
    >>> model = mlp((1, 1), bias=False)
    >>> _ = torch.nn.init.constant_(model[0].weight, 1.5)
    >>> objective = Objective(model, [[2.0]], [[1.0]], loss="mse")  # least at weight 0.5
    >>> displacement(objective, torch.ones(1), 4.0)
    1.0

    v (P,) a unit eigenvector of the Hessian, `value` its eigenvalue; NaN where that is 0. Cost: one
    gradient, kept.
    """
    g = objective.point().gradient()
    return float(g @ v.to(g)) / value if value else math.nan


def slice_along(objective: Objective, v: Tensor, at: np.ndarray) -> np.ndarray:
    """l(theta + s v) for each s of `at` (m,), (m,). Cost: m forward passes."""
    theta, v = objective.flat_parameters(), v.to(objective.point().theta)
    return np.array([objective.at(theta + float(s) * v).value() for s in at])


def quadratic_descent(objective: Objective, v: Tensor, lr: float, steps: int) -> Iterator[float]:
    """<v, theta_t - theta_0> + x_0 of descent on the loss without terms of third order and higher.

    The loss is replaced by its Taylor polynomial of order two at the present parameters: what
    descent would do if the Hessian stayed as it is. Cost: one product with H a step.
    """
    point = objective.point()
    g, v = point.gradient(), v.to(point.theta)
    move = point.theta.new_zeros(len(g), 1)
    start = float(g @ v) / float(v @ point.hvp(v[:, None])[:, 0])
    for _ in range(steps):
        yield start + float(v @ move[:, 0])
        move = move - lr * (g[:, None] + point.hvp(move))
