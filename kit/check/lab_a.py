"""Checks of lab (a): power iteration and Lanczos, the stability threshold, the edge."""

from __future__ import annotations

import numpy as np

from kit.check.exercise import Exercise, Mistake

WINDOW = 20  # steps of the running mean in `reaches_the_edge`


def _symmetric(rng: np.random.Generator) -> tuple:
    """A symmetric matrix whose most negative eigenvalue is the largest in size, half the time.

    Of any scale; in one case of four it is larger in size than any entry, too.
    """
    m, scale = int(rng.integers(3, 9)), np.exp(rng.uniform(-3, 3))
    if rng.random() < 0.25:
        diagonal = np.append(1.0, rng.uniform(0.3, 0.6, m - 1))
        return (scale * (np.diag(rng.permutation(diagonal)) - np.ones((m, m))),)
    Q = np.linalg.qr(rng.normal(size=(m, m)))[0]
    values = np.sort(rng.uniform(-1, 1, m))
    values[-1] = rng.uniform(2, 3)
    values[0] = -rng.uniform(3.5, 5) if rng.random() < 0.5 else -rng.uniform(0.1, 1)
    A = scale * (Q * values) @ Q.T
    return ((A + A.T) / 2,)


largest_eigenvalue = Exercise(
    "largest_eigenvalue",
    _symmetric,
    lambda A: np.linalg.eigvalsh(A)[-1],
    (
        Mistake(
            "largest in size",
            lambda A: np.abs(np.linalg.eigvalsh(A)).max(),
            "Your eigenvalue is the largest in size, not the largest: the spectrum has a negative "
            "end. Shift the matrix, then take the shift back.",
        ),
        Mistake(
            "sign lost",
            lambda A: max(np.linalg.eigvalsh(A), key=abs),
            "You stop at the eigenvalue of largest size, with its sign. If it is negative the "
            "largest is another one: shift the matrix so that all are positive.",
        ),
        Mistake(
            "shift kept",
            lambda A: np.linalg.eigvalsh(A)[-1] + np.linalg.norm(A),
            "The shift is still in your answer. Take it off at the end.",
        ),
        Mistake(
            "smallest",
            lambda A: np.linalg.eigvalsh(A)[0],
            "That is the other end of the spectrum: the smallest eigenvalue.",
        ),
        Mistake(
            "frobenius",
            lambda A: np.linalg.norm(A),
            "That is the Frobenius norm, the root of the sum of all squared eigenvalues.",
        ),
        Mistake(
            "squared",
            lambda A: np.linalg.eigvalsh(A @ A)[-1],
            "That is the square of an eigenvalue: is A applied twice in a step?",
        ),
    ),
    tolerance=1e-3,
    takes="It takes a symmetric matrix A (m, m) and returns one number.",
)


def _pair(rng: np.random.Generator) -> tuple:
    (A,) = _symmetric(rng)
    return A, 3 * rng.normal(size=len(A))


def _rayleigh(A, v, scale=1.0):
    v = v / np.linalg.norm(v)
    value = v @ A @ v
    return value, np.linalg.norm(A @ v - scale * value * v)


rayleigh = Exercise(
    "rayleigh",
    _pair,
    _rayleigh,
    (
        Mistake(
            "not normalised",
            lambda A, v: (v @ A @ v, np.linalg.norm(A @ v - (v @ A @ v) * v)),
            "v has not length 1. Divide it by its norm first, or the quotient by v'v.",
        ),
        Mistake(
            "residual of the long vector",
            lambda A, v: (_rayleigh(A, v)[0], np.linalg.norm(A @ v - _rayleigh(A, v)[0] * v)),
            "The value is right. The residual is that of a v of length 1: yours grows with v.",
        ),
        Mistake(
            "squared residual",
            lambda A, v: (_rayleigh(A, v)[0], _rayleigh(A, v)[1] ** 2),
            "The value is right. The residual is the norm, and you have its square.",
        ),
        Mistake(
            "relative residual",
            lambda A, v: (_rayleigh(A, v)[0], _rayleigh(A, v)[1] / abs(_rayleigh(A, v)[0])),
            "The value is right. The residual is not to be divided by it.",
        ),
        Mistake(
            "norm of Av",
            lambda A, v: (_rayleigh(A, v)[0], _rayleigh(A, v, 0.0)[1]),
            "The value is right. The residual is of A v - value v; you left the second part out.",
        ),
        Mistake(
            "swapped",
            lambda A, v: _rayleigh(A, v)[::-1],
            "Both numbers are right, in the wrong order: first the value, then the residual.",
        ),
    ),
    takes="It takes A (m, m) and v (m,) and returns (value, residual).",
)


def _krylov(rng: np.random.Generator) -> tuple:
    m, k = 8, int(rng.integers(2, 5))
    Q = np.linalg.qr(rng.normal(size=(m, m)))[0]
    A = (Q * np.linspace(-2, 3, m)) @ Q.T
    return (A + A.T) / 2, 2 * rng.normal(size=m), k


def _tridiagonal(A, start, k):
    """Q' A Q on the Krylov space, by Gram-Schmidt against all: another way than the recursion."""
    basis = [start / np.linalg.norm(start)]
    for _ in range(k - 1):
        w = A @ basis[-1]
        for _ in range(2):
            for q in basis:
                w = w - (q @ w) * q
        basis.append(w / np.linalg.norm(w))
    Q = np.stack(basis, axis=1)
    return Q.T @ A @ Q


def _without_memory(A, start, k):
    q, T = start / np.linalg.norm(start), np.zeros((k, k))
    for j in range(k):
        w = A @ q
        T[j, j] = q @ w
        w = w - T[j, j] * q
        if j + 1 < k:
            T[j, j + 1] = T[j + 1, j] = np.linalg.norm(w)
            q = w / T[j, j + 1]
    return T


def _changed(change):
    def answer(A, start, k):
        T = _tridiagonal(A, start, k)
        return change(T)

    return answer


lanczos = Exercise(
    "lanczos",
    _krylov,
    _tridiagonal,
    (
        Mistake(
            "no second term",
            _without_memory,
            "From the third vector on your vectors are not orthogonal: subtract the part along the "
            "vector before the last, beta times it, as well.",
        ),
        Mistake(
            "one-sided",
            _changed(np.tril),
            "The matrix has to be symmetric: each beta stands above and below the diagonal.",
        ),
        Mistake(
            "diagonal only",
            _changed(lambda T: np.diag(np.diag(T))),
            "The alphas are right. The betas, beside the diagonal, are missing.",
        ),
        Mistake(
            "squared betas",
            _changed(lambda T: np.diag(np.diag(T)) + (T - np.diag(np.diag(T))) ** 2),
            "A beta is the norm of what is left, and you have its square.",
        ),
        Mistake(
            "start not normalised",
            lambda A, start, k: (
                _tridiagonal(A, start, k)
                * np.where(np.arange(k)[:, None] + np.arange(k) == 0, start @ start, 1.0)
            ),
            "The first alpha is of a vector that has not length 1: normalise the start.",
        ),
        Mistake(
            "eigenvalues of A",
            lambda A, start, k: np.diag(np.linalg.eigvalsh(A)[-k:]),
            "Those are eigenvalues of A. Wanted is the matrix that the recursion makes.",
        ),
    ),
    tolerance=1e-5,
    takes="It takes A (m, m), a start (m,) and k, and returns T (k, k).",
)

threshold = Exercise(
    "threshold",
    lambda rng: (float(rng.uniform(0.01, 2)), float(rng.uniform(0.1, 0.95))),
    lambda eta, beta: (2 + 2 * beta) / eta,
    (
        Mistake(
            "no momentum",
            lambda eta, beta: 2 / eta,
            "You leave the momentum out: it lets the heavy ball stand more curvature.",
        ),
        Mistake(
            "wrong sign",
            lambda eta, beta: (2 - 2 * beta) / eta,
            "With your sign momentum would make the step less stable. Look at the map of page 1.",
        ),
        Mistake(
            "one over eta",
            lambda eta, beta: (1 + beta) / eta,
            "That is where the path begins to oscillate without momentum, not where it diverges.",
        ),
        Mistake(
            "inverted",
            lambda eta, beta: eta / (2 + 2 * beta),
            "Upside down: a smaller step stands more curvature, not less.",
        ),
        Mistake(
            "nesterov",
            lambda eta, beta: (2 + 2 * beta) / ((1 + 2 * beta) * eta),
            "That is the threshold of Nesterov's momentum. The heavy ball's is higher.",
        ),
        Mistake(
            "averaged gradient",
            lambda eta, beta: (2 + 2 * beta) / ((1 - beta) * eta),
            "That is the threshold where the gradient enters with weight 1 - beta, as in Adam's "
            "average. Here it enters whole.",
        ),
    ),
    takes="It takes eta and beta and returns one number.",
)


def _path(theta, eta, curvature, steps):
    return theta * (1 - eta * curvature) ** np.arange(steps + 1)


descend = Exercise(
    "descend",
    lambda rng: (
        float(rng.uniform(0.5, 2)),
        float(rng.uniform(0.05, 0.6)),
        float(rng.uniform(1, 4)),
        int(rng.integers(3, 9)),
    ),
    _path,
    (
        Mistake(
            "uphill",
            lambda theta, eta, curvature, steps: (
                theta * (1 + eta * curvature) ** np.arange(steps + 1)
            ),
            "It walks uphill: the step goes against the gradient.",
        ),
        Mistake(
            "without eta",
            lambda theta, eta, curvature, steps: theta * (1 - curvature) ** np.arange(steps + 1),
            "The learning rate is not in your step.",
        ),
        Mistake(
            "factor two",
            lambda theta, eta, curvature, steps: (
                theta * (1 - 2 * eta * curvature) ** np.arange(steps + 1)
            ),
            "The loss is one half curvature theta squared: its gradient has no factor 2.",
        ),
        Mistake(
            "sign only",
            lambda theta, eta, curvature, steps: theta - eta * curvature * np.arange(steps + 1),
            "The gradient changes as theta does: take it at the newest theta in every step.",
        ),
        Mistake(
            "start lost",
            lambda theta, eta, curvature, steps: _path(theta, eta, curvature, steps + 1)[1:],
            "The start is missing: the first entry is theta before any step.",
        ),
    ),
    takes="It takes theta, eta, curvature, steps and returns an array (steps + 1,).",
)


def _climb(rng: np.random.Generator) -> tuple:
    """A sharpness that climbs and then swings about 2 / eta, or never gets there.

    It may begin far above for some steps, and fall below the line and come back.
    """
    eta = float(rng.uniform(0.1, 1))
    edge, steps = 2 / eta, 200
    top = 1.04 if rng.random() < 0.75 else 0.7
    rise = np.minimum(np.linspace(0.2, rng.uniform(1.5, 3), steps), top)
    swing = 0.2 * (-1.0) ** np.arange(steps) * (rise > 0.6)
    if top > 1 and rng.random() < 0.6:
        swing[: int(rng.integers(2, 6))] += 1.5
    if top > 1 and rng.random() < 0.6:
        swing[150:175] -= 0.4
    return edge * (rise + swing), eta


def _running(values):
    sums = np.cumsum(np.concatenate([[0.0], values]))
    return (sums[WINDOW:] - sums[:-WINDOW]) / WINDOW


def _first(found, shift=0):
    at = np.flatnonzero(found)
    return int(at[0]) + shift if len(at) else -1


reaches_the_edge = Exercise(
    "reaches_the_edge",
    _climb,
    lambda sharpness, eta: _first(_running(sharpness) >= 2 / eta, WINDOW - 1),
    (
        Mistake(
            "single measurements",
            lambda sharpness, eta: _first(sharpness >= 2 / eta),
            "A single measurement touches the line earlier, since sharpness swings. Take the mean "
            "of the last 20.",
        ),
        Mistake(
            "window's start",
            lambda sharpness, eta: _first(_running(sharpness) >= 2 / eta),
            "You return where the window begins. At that step the later values are not known yet: "
            "return where it ends.",
        ),
        Mistake(
            "the 20 before",
            lambda sharpness, eta: _first(_running(sharpness) >= 2 / eta, WINDOW),
            "One step late: the measurement at a step counts among its last 20. Which entries does "
            "your slice hold?",
        ),
        Mistake(
            "one over eta",
            lambda sharpness, eta: _first(_running(sharpness) >= 1 / eta, WINDOW - 1),
            "The threshold is 2/eta; yours is lower.",
        ),
        Mistake(
            "never",
            lambda sharpness, eta: max(_first(_running(sharpness) >= 2 / eta, WINDOW - 1), 0),
            "Where it never gets there the answer is -1: 0 would mean the first step.",
        ),
        Mistake(
            "the last one",
            lambda sharpness, eta: len(sharpness) - 1,
            "You return the last step, whatever happened.",
        ),
    ),
    takes="It takes the sharpness of each step (T,) and eta, and returns a step, or -1.",
)

EXERCISES = {
    e.name: e for e in (largest_eigenvalue, rayleigh, lanczos, threshold, descend, reaches_the_edge)
}
