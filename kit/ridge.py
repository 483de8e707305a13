"""Ridge regression, where the soft rank is the gap, exactly and with any number of samples.

With a fixed design X (n, d), y = X theta + noise of variance sigma^2, and test responses at the
same inputs, the ridge fit with penalty mu has

    E[ test - training cost ] = (sigma^2 / n) rank_mu(X'X / n),      cost 1/2 (.)^2,

for every mu and every true theta. Source: theory.md, P3.2.

>>> X = design(n=30, d=5, seed=0)
>>> exact = ridge_gap(X, 0.1, noise=0.5)
>>> mean, error = simulated_gap(X, 0.1, noise=0.5, draws=4000, seed=0)
>>> bool(abs(mean - exact) < 4 * error)
True
"""

from __future__ import annotations

import math

import numpy as np

from kit.checks import check_int, check_number


def design(n: int, d: int, seed: int = 0) -> np.ndarray:
    """Inputs (n, d) whose directions have variances 1, 1/2, 1/4 ..., told apart by mu."""
    n, d = check_int("n", n, low=1), check_int("d", d, low=1)
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) * 2.0 ** (-0.5 * np.arange(d))


def ridge_gap(X: np.ndarray, mu: float, *, noise: float) -> float:
    """The expected gap, (sigma^2 / n) rank_mu(X'X / n)."""
    mu, noise = check_number("mu", mu, above=0), check_number("noise", noise, low=0)
    a = np.linalg.eigvalsh(X.T @ X / len(X)).clip(0)
    return float(noise**2 / len(X) * (a / (a + mu)).sum())


def simulated_gap(
    X: np.ndarray, mu: float, *, noise: float, draws: int = 400, seed: int = 0
) -> tuple[float, float]:
    """Mean gap over fresh noise, and its standard error. theta is 1 in every direction."""
    mu, noise = check_number("mu", mu, above=0), check_number("noise", noise, low=0)
    draws = check_int("draws", draws, low=2)
    n, d = X.shape
    rng = np.random.default_rng(seed)
    clean = X @ np.ones(d)
    train, test = (clean[:, None] + noise * rng.normal(size=(n, draws)) for _ in range(2))
    fit = X @ np.linalg.solve(X.T @ X + n * mu * np.eye(d), X.T @ train)
    gaps = 0.5 * (((test - fit) ** 2).mean(0) - ((train - fit) ** 2).mean(0))
    return float(gaps.mean()), float(gaps.std(ddof=1) / math.sqrt(draws))
