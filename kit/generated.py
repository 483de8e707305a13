"""The generated data sets, whose truth is known: chebyshev, spirals and teacher.

Each generator takes (seed, options) and gives X_train, y_train, X_test, y_test and, where the law
of the data is known, a `Population`. `kit.load_dataset` calls them.

>>> X_train, y_train, X_test, y_test, population = GENERATORS["chebyshev"](0, degree=3, n=5)
>>> X_train[:, 0].tolist(), population.lipschitz
([-1.0, -0.5, 0.0, 0.5, 1.0], 9.0)
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from kit.checks import check_int, check_number

TEST_SEED = 999  # of every generated test set


@dataclass(frozen=True)
class Population:
    """The truth behind a generated set: x uniform on the cube [low, high]^d, y = target(x).

    target: (m, d) -> (m, K), differentiable almost everywhere, in the dtype of x.
    lipschitz: the exact Euclidean Lipschitz constant of target on the cube.
    bound: no smaller than sup |target| over the cube.
    """

    low: float
    high: float
    d: int
    target: Callable[[Tensor], Tensor]
    lipschitz: float
    bound: float


def _chebyshev(seed, *, degree=6, n=20):
    """T_degree at n equispaced points; |T'| <= degree^2 on [-1, 1], attained at both ends."""
    degree = check_int("degree", degree, low=1, high=1000)
    n = check_int("n", n, low=2, high=10**6)
    X_test = np.random.default_rng(TEST_SEED).uniform(-1, 1, (1000, 1))
    target = partial(chebyshev_polynomial, degree=degree)
    population = Population(-1.0, 1.0, 1, target, float(degree**2), 1.0)
    return _with_targets(population, np.linspace(-1, 1, n)[:, None], X_test)


def chebyshev_polynomial(x, degree):
    """T_degree(x) = cos(degree arccos x), by T_(k+1) = 2 x T_k - T_(k-1): smooth at x = +-1 too."""
    previous, current = torch.ones_like(x), x
    for _ in range(degree - 1):
        previous, current = current, 2 * x * current - previous
    return current


def _spirals(seed, *, classes=3, n=300, noise=0.0375):
    """Arm c: 2 (r (cos, sin)(1.5 pi r + 2 pi c / classes) + noise N(0, I)), r^2 ~ U(0, 1)."""
    classes = check_int("classes", classes, low=2, high=1000)
    n = check_int("n", n, low=classes, high=10**6)
    noise = check_number("noise", noise, low=0, high=1e6)

    def draw(n, rng):
        counts = [n // classes + (c < n % classes) for c in range(classes)]
        arms = []
        for c, m in enumerate(counts):
            radius = np.sqrt(rng.random(m))
            angle = 1.5 * np.pi * radius + 2 * np.pi * c / classes
            arm = radius[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
            arms.append(2 * (arm + noise * rng.standard_normal((m, 2))))
        return np.concatenate(arms), np.repeat(np.arange(classes), counts)

    # 10 + seed, as in the labs of theory P1.9, but never the seed of the test set
    X_train, y_train = draw(n, np.random.default_rng(10 + seed + (10 + seed >= TEST_SEED)))
    X_test, y_test = draw(3000, np.random.default_rng(TEST_SEED))
    X_train, X_test = _apart(X_train, X_test)
    return X_train, y_train, X_test, y_test, None


# g(t) of the teacher: hinges, and slopes between them; flat outside, steepest around t = 0
HINGES = np.array([-0.48, -0.32, -0.13, 0.13, 0.32, 0.48])
SLOPES = np.array([0.0, 0.9, -0.8, 1.0, -0.9, 0.8, 0.0])


def _teacher(seed, *, lipschitz=2.0, d=2, n=100):
    """f(x) = sum_j s g(u_j . (x - c)) on [0, 1]^d, u_j an orthonormal basis, c the centre.

    g is a zig-zag with |g'| <= 1, so that with s = lipschitz / sqrt(d)
    |grad f|^2 = s^2 sum_j g'(u_j . (x - c))^2 <= lipschitz^2, with equality around the centre.
    """
    lipschitz = check_number("lipschitz", lipschitz, low=1e-6, high=1e6)
    d = check_int("d", d, low=1, high=1000)
    n = check_int("n", n, low=1, high=10**6)
    basis, triangle = np.linalg.qr(np.random.default_rng(0).standard_normal((d, d)))
    basis *= np.sign(np.diag(triangle))  # with these signs QR is unique, on any machine
    scale = lipschitz / math.sqrt(d)
    target = partial(relu_teacher, basis=torch.tensor(basis), scale=scale)
    peak = float(_zigzag(torch.tensor(HINGES)).abs().max())  # a piecewise linear g peaks at a hinge
    population = Population(0.0, 1.0, d, target, lipschitz, d * scale * peak)
    X_train = np.random.default_rng([seed, 3]).random((n, d))
    X_test = np.random.default_rng([TEST_SEED, 4]).random((2000, d))
    return _with_targets(population, X_train, X_test)


def relu_teacher(x, basis, scale):
    """One hidden layer of 6 d ReLU units: (m, d) -> (m, 1); the columns of basis are the u_j."""
    return scale * _zigzag((x - 0.5) @ basis.to(x)).sum(1, keepdim=True)


def _zigzag(t):
    """g(t), elementwise, with g(0) = 0: every hinge changes the slope."""
    hinges, jumps = (torch.tensor(a).to(t) for a in (HINGES, np.diff(SLOPES)))
    return (torch.relu(t[..., None] - hinges) - torch.relu(-hinges)) @ jumps


def _with_targets(population, X_train, X_test):
    """Targets in float64, at the very float32 points that the networks will see."""
    X_train, X_test = _apart(X_train, X_test)
    y_train, y_test = (
        population.target(torch.tensor(X, dtype=torch.float64)).numpy() for X in (X_train, X_test)
    )
    return X_train, y_train, X_test, y_test, population


def _apart(X_train, X_test):
    """Both in float32; a training row that rounding put onto a test row moves by one last place."""
    X_train, X_test = X_train.astype(np.float32), X_test.astype(np.float32)
    test = {row.tobytes() for row in X_test}
    while shared := [i for i, row in enumerate(X_train) if row.tobytes() in test]:
        X_train[shared] = np.nextafter(X_train[shared], np.float32(0.3))
    return X_train, X_test


GENERATORS = {"chebyshev": _chebyshev, "spirals": _spirals, "teacher": _teacher}
