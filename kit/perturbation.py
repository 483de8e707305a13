"""Flatness by trying it: how much the loss rises when the parameters are moved.

>>> from kit.models import mlp
>>> from kit.objective import Objective
>>> model = mlp((1, 1), bias=False)
>>> with torch.no_grad():
...     _ = model[0].weight.fill_(1.5)
>>> objective = Objective(model, [[2.0]], [[1.0]], loss="mse")  # l = (2 w - 1)^2 / 2
>>> round(critical_sharpness(objective), 4)  # one direction, so it is the curvature itself
4.0
"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor

from kit.checks import check_int, check_number, check_seed
from kit.curvature import check_objective
from kit.estimate import Estimate
from kit.objective import Objective

DOUBLINGS = 60
BISECTIONS = 40
SEEN = 16 * torch.finfo(torch.float64).eps  # a change of the loss, relative, that is no rounding


def keskar_sharpness(objective: Objective, *, epsilon: float = 1e-3, steps: int = 20) -> float:
    """100 (max l(theta + e) - l) / (1 + l) over the box |e_k| <= epsilon (|theta_k| + 1).

    >>> from kit.models import mlp
    >>> model = mlp((1, 1), bias=False)
    >>> with torch.no_grad():
    ...     _ = model[0].weight.fill_(1.0)
    >>> objective = Objective(model.double(), [[1.0]], [[1.0]], loss="mse")  # l = (w - 1)^2 / 2
    >>> round(keskar_sharpness(objective, epsilon=0.01), 6)  # 100 x 0.02^2 / 2
    0.02

    The maximum is sought by `steps` sign steps of the gradient, projected on the box, from its
    middle (or, at a stationary point, from a corner); so the value is a lower bound. In percent.
    Cost: a gradient a step. Source: Keskar et al., arXiv 1609.04836; theory.md, II, row 2.
    """
    check_objective(objective)
    epsilon = check_number("epsilon", epsilon, above=0)
    steps = check_int("steps", steps, low=1)
    theta, start = objective.point().theta, objective.value()
    box = epsilon * (theta.abs() + 1)
    e, best = torch.zeros_like(theta), start
    for _ in range(steps):
        g = objective.at(theta + e).gradient()
        rise = torch.where(g == 0, 1.0, g.sign())
        e = (e + 0.5 * box * rise).clamp(-box, box)
        best = max(best, objective.at(theta + e).value())
    return 100 * (best - start) / (1 + start)


def adaptive_sharpness(objective: Objective, *, rho: float = 0.05, eta: float = 0.0) -> float:
    """max l(theta + e) - l over ||T^{-1} e||_2 <= rho, T = |theta| + eta, to first order.

    >>> from kit.models import mlp
    >>> model = mlp((1, 1), bias=False)
    >>> with torch.no_grad():
    ...     _ = model[0].weight.fill_(2.0)
    >>> objective = Objective(model.double(), [[1.0]], [[1.0]], loss="mse")  # l = (w - 1)^2 / 2
    >>> round(adaptive_sharpness(objective, rho=0.1), 6)  # w = 2.2: (1.2^2 - 1) / 2
    0.22

    One step, e = rho T^2 g / ||T g||, as in ASAM; with `eta` = 0 (ASAM: 0.01) node-wise rescaling
    does not change it. Our T covers biases too, where ASAM has 1. 0 at a stationary point, where
    there is no direction to first order; `invariant_sharpness(metric="elementwise")` times
    rho^2 / 2 is the second order. Cost: 2 gradients. Source: Kwon et al., arXiv 2102.11600;
    theory.md, II, row 6.
    """
    check_objective(objective)
    rho, eta = check_number("rho", rho, above=0), check_number("eta", eta, low=0)
    theta, g = objective.point().theta, objective.gradient()
    scale = theta.abs() + eta
    norm = (scale * g).norm()
    if norm == 0:
        return 0.0
    return objective.at(theta + rho * scale.square() * g / norm).value() - objective.value()


def average_adaptive_sharpness(
    objective: Objective, *, rho: float = 0.05, draws: int = 100, seed: int = 0
) -> Estimate:
    """E l(theta + rho |theta| z) - l for Gaussian z, with its standard error.

    >>> from kit.models import mlp
    >>> model = mlp((1, 1), bias=False)
    >>> with torch.no_grad():
    ...     _ = model[0].weight.fill_(1.0)
    >>> objective = Objective(model.double(), [[1.0]], [[1.0]], loss="mse")  # rho^2 / 2 exactly
    >>> estimate = average_adaptive_sharpness(objective, rho=0.1)
    >>> abs(estimate.value - 0.005) < 4 * estimate.standard_error
    True

    Each z is used with its opposite, which removes the first-order term. Cost: a forward pass a
    draw. Source: Andriushchenko et al., arXiv 2302.07011; theory.md, II, row 6b.
    """
    check_objective(objective)
    rho = check_number("rho", rho, above=0)
    pairs = check_int("draws", draws, low=4) // 2
    generator = torch.Generator().manual_seed(check_seed(seed))
    theta, start = objective.point().theta, objective.value()
    rises = []
    for _ in range(pairs):
        z = torch.randn(len(theta), generator=generator, dtype=torch.float64).to(theta)
        e = rho * theta.abs() * z
        rises.append(0.5 * sum(objective.at(theta + s * e).value() for s in (1, -1)) - start)
    values = torch.tensor(rises, dtype=torch.float64)
    return Estimate(float(values.mean()), float(values.std()) / math.sqrt(pairs), 0)


def critical_sharpness(objective: Objective, *, direction: Tensor | None = None) -> float:
    """2 / eta_c, eta_c the smallest step at which the loss is back at its start value.

    >>> from kit.models import mlp
    >>> X = torch.tensor([[1.0, 0.0], [0.0, 2.0]]).double()
    >>> model = mlp((2, 1), bias=False).double()
    >>> with torch.no_grad():
    ...     _ = model[0].weight.copy_(torch.tensor([[1.0, 0.5]]))
    >>> objective = Objective(model, 2**0.5 * X, torch.zeros(2, 1), loss="mse")
    >>> round(critical_sharpness(objective), 6)  # l = (w_1^2 + 4 w_2^2) / 2 at (1, 1/2)
    3.4

    Steps go along -`direction` (P,), by default the gradient. On a quadratic and along the
    gradient it is g' H g / |g|^2. The step is doubled until the loss is back, from a 64th of the
    quadratic's (a shorter excursion would be missed), then bisected. 0 where the loss never comes
    back; NaN where the direction is not one of descent, or the first step's decrease is less than
    rounding. Cost: about 50 forward passes in float64.
    Source: arXiv 2601.16979; theory.md, II, row 18.
    """
    check_objective(objective)
    objective = _in_float64(objective)  # near a minimum float32 sees no decrease at all
    theta, g = objective.point().theta, objective.gradient()
    d = g if direction is None else direction
    if not isinstance(d, Tensor) or d.shape != theta.shape:
        got = tuple(d.shape) if isinstance(d, Tensor) else type(d).__name__
        raise ValueError(f"direction: got {got}; takes a tensor ({len(theta)},)")
    d = d.detach().to(theta)
    slope, start = float(g @ d), objective.value()
    if not slope > 0:
        return math.nan
    curvature = abs(float(d @ objective.hvp(d)))

    def back(eta: float) -> bool:
        return not objective.at(theta - eta * d).value() < start

    high = 2 * slope / curvature / 64 if curvature > 0 else float(1 / d.norm())
    if slope * high < SEEN * abs(start):
        return math.nan
    low = 0.0
    for _ in range(DOUBLINGS):
        if back(high):
            break
        low, high = high, 2 * high
    else:
        return 0.0
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if back(middle) else (middle, high)
    return 4 / (low + high)


def _in_float64(objective: Objective) -> Objective:
    return Objective(
        copy.deepcopy(objective.model).double(),
        objective.X.double() if objective.X.is_floating_point() else objective.X,
        objective.y,
        loss=objective.loss,
        label_smoothing=objective.label_smoothing,
    )
