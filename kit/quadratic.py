"""Gradient descent on a parabola: everything about it is known in closed form.

Along an eigenvector of H with eigenvalue h the optimisers of theory.md, II.1, are linear maps of
(theta, v), so that the size of the roots of a quadratic decides what happens:

    plain        root 1 - eta h
    heavy ball   z^2 - (1 + beta - eta h) z + beta = 0
    Nesterov     z^2 - (1 + beta) (1 - eta h) z + beta (1 - eta h) = 0

>>> regime(0.5), regime(1.5), regime(2.5)
('monotone', 'oscillating', 'diverging')
>>> boundaries(momentum=0.9)[1]
3.8
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from kit.checks import check_bool, check_number

LARGEST = 1e150
REGIMES = ("monotone", "oscillating", "diverging")


def roots(eta_h: float, momentum: float = 0.0, nesterov: bool = False) -> tuple[complex, complex]:
    """The roots whose powers a step multiplies the distance by; 1 - eta h and 0 without momentum.

    >>> roots(0.5)
    ((0.5+0j), 0j)
    """
    _check(eta_h, momentum, nesterov)
    if nesterov:
        total, product = (1 + momentum) * (1 - eta_h), momentum * (1 - eta_h)
    else:
        total, product = 1 + momentum - eta_h, momentum
    square = complex(total * total - 4 * product) ** 0.5
    return (total + square) / 2, (total - square) / 2


def rate(eta_h: float, momentum: float = 0.0, nesterov: bool = False) -> float:
    """What the distance to the minimum is multiplied by a step, in the long run.

    >>> rate(0.5), rate(2.5)
    (0.5, 1.5)
    """
    return max(abs(z) for z in roots(eta_h, momentum, nesterov))


def regime(eta_h: float, momentum: float = 0.0, nesterov: bool = False) -> str:
    """ "monotone", "oscillating" or "diverging", for eta times the curvature h at least 0.

    Diverging: the distance does not shrink (at the threshold itself it stays as it is). Monotone:
    no root that lasts changes sign, so the ball comes down on its side of the valley.
    """
    first, second = roots(eta_h, momentum, nesterov)
    if max(abs(first), abs(second)) >= 1 and eta_h > 0:
        return "diverging"
    lasting = first if abs(first) >= abs(second) else second
    real = abs(lasting.imag) < 1e-12 and lasting.real >= 0
    return "monotone" if real else "oscillating"


def boundaries(momentum: float = 0.0, nesterov: bool = False) -> tuple[float, float]:
    """eta h up to which descent is monotone, and from which it diverges.

    >>> boundaries()
    (1.0, 2.0)

    Heavy ball: (1 - sqrt beta)^2 and 2 + 2 beta. Nesterov: ((1 - beta) / (1 + beta))^2, where the
    roots become complex, and (2 + 2 beta) / (1 + 2 beta). Source: theory.md, II.1; the first column
    from the discriminants of the quadratics above, ours.
    """
    _check(1.0, momentum, nesterov)
    if momentum == 0:
        return 1.0, 2.0
    if nesterov:
        return ((1 - momentum) / (1 + momentum)) ** 2, (2 + 2 * momentum) / (1 + 2 * momentum)
    return (1 - math.sqrt(momentum)) ** 2, 2 + 2 * momentum


def descend(
    start: Sequence[float],
    curvatures: Sequence[float],
    lr: float,
    steps: int,
    *,
    momentum: float = 0.0,
    nesterov: bool = False,
) -> np.ndarray:
    """The path theta_0 ... theta_steps, (steps + 1, k), on l = 1/2 sum_j h_j theta_j^2.

    >>> descend([1.0], [4.0], 0.25, 2).ravel()
    array([1., 0., 0.])

    Numbers beyond 1e150 stay there, so that their squares are finite.
    """
    theta, h = np.array(start, dtype=float), np.array(curvatures, dtype=float)
    v, path = np.zeros_like(theta), [theta]
    for _ in range(steps):
        g = h * theta
        v = momentum * v + g
        theta = theta - lr * (g + momentum * v if nesterov else v)
        theta = np.clip(theta, -LARGEST, LARGEST)
        path.append(theta)
    return np.array(path)


def loss(path: np.ndarray, curvatures: Sequence[float]) -> np.ndarray:
    """1/2 sum_j h_j theta_j^2 along a path, (steps + 1,).

    >>> loss(np.array([[2.0, 1.0]]), [1.0, 4.0])
    array([4.])
    """
    return 0.5 * (np.square(path) * np.asarray(curvatures)).sum(1)


def _check(eta_h: float, momentum: float, nesterov: bool) -> None:
    check_number("eta_h", eta_h, low=0)
    check_number("momentum", momentum, low=0, below=1)
    check_bool("nesterov", nesterov)
