"""Covering: how far from its nearest sample a point of the data law can be.

    Lemma 1    mu(B(z, r)) >= c r^d up to r_0:    r = 2 (log(2^d n / p) / (c n))^{1/d}
    Lemma 2    uniform on the unit cube:          r = sqrt(d) / floor((n / log(n / p))^{1/d})
    exact      uniform on an interval, from the spacings of the samples

each with probability at least 1 - p over n independent samples (theory.md, P1.5; ours). A sample
that is at hand has a radius of its own: exact on an interval, else estimated from held-out points.

>>> r = interval_covering_radius(20, 0.05)
>>> round(r, 4), round(interval_covering_probability(r, 20), 6)
(0.1718, 0.95)
"""

from __future__ import annotations

import math
from decimal import Decimal, localcontext

import torch
from torch import Tensor

from kit.checks import check_int, check_number
from kit.distance import distances
from kit.objective import as_features
from kit.statement import Statement


def regular_covering_radius(
    n: int, d: int, c: float, failure: float, *, r_0: float = math.inf
) -> float:
    """Lemma 1, for a law with mu(B(z, r)) >= c r^d for all z of its support and r up to r_0.

    >>> round(regular_covering_radius(1000, 1, 1.0, 0.05), 4)  # the unit interval
    0.0212

    d is the intrinsic dimension. The unit interval has c = 1, the unit cube c = V_d / 2^d
    (V_2 = pi, V_3 = 4 pi / 3), a circle of radius 1 with distances along its chords c = 1 / pi.
    The radius is in the units of the support. Raises ValueError where the lemma does not hold:
    2^d n / p below e, or a radius above r_0. Source: theory.md, P1.5, Lemma 1, ours.
    """
    n, d = check_int("n", n, low=1), check_int("d", d, low=1)
    c, p = check_number("c", c, above=0), check_number("failure", failure, above=0, high=1)
    if r_0 != math.inf:
        r_0 = check_number("r_0", r_0, above=0)
    log = d * math.log(2) + math.log(n / p)
    if log < 1:
        raise ValueError(f"n: got {n}; takes 2^d n / p of at least e")
    radius = 2 * (log / (c * n)) ** (1 / d)
    if radius > r_0:
        raise ValueError(f"n: got {n}, too few: the radius {radius:.3g} is above r_0 = {r_0:g}")
    return radius


def cube_covering_radius(n: int, d: int, failure: float) -> float:
    """Lemma 2: n uniform draws cover the unit cube within this radius, with probability 1 - p.

    >>> round(cube_covering_radius(1000, 2, 0.05), 4)
    0.1414

    In sides of the cube; the whole diagonal where n is too small for the lemma. Source: theory.md,
    P1.5, Lemma 2, ours.
    """
    n, d = check_int("n", n, low=1), check_int("d", d, low=1)
    failure = check_number("failure", failure, above=0, high=1)
    log = math.log(n / failure)
    cells = math.floor((n / log) ** (1 / d)) if log >= 1 and n > log else 1
    return math.sqrt(d) / max(cells, 1)


def interval_covering_probability(r: float, n: int) -> float:
    """P(R <= r) for the covering radius R of n uniform samples on [0, 1]: exact.

    >>> interval_covering_probability(0.75, 1)  # one sample: |x - 1/2| at most 1/4
    0.5

    sum_{j, k} (-1)^{j + k} C(2, j) C(n - 1, k) (1 - j r - 2 k r)_+^n, from Dirichlet spacings. The
    terms cancel, so it is summed with n / 3 + 50 digits: they reach 2^n. Cost: 1 / r powers of such
    numbers, milliseconds at n = 1000. Source: theory.md, P1.5, ours.
    """
    r, n = check_number("r", r, low=0), check_int("n", n, low=1)
    with localcontext() as context:
        context.prec = n // 3 + 50
        exact, total = Decimal(r), Decimal(0)
        for j in range(3):
            for k in range(n):
                rest = 1 - (j + 2 * k) * exact
                if rest <= 0:
                    break
                total += (-1) ** (j + k) * math.comb(2, j) * math.comb(n - 1, k) * rest**n
        return float(round(min(max(total, Decimal(0)), Decimal(1)), 30))


def interval_covering_radius(n: int, failure: float) -> float:
    """The r with P(R <= r) = 1 - p for n uniform samples on [0, 1]: the exact law inverted.

    >>> interval_covering_radius(1000, 0.05) < cube_covering_radius(1000, 1, 0.05)
    True

    Cost: some dozens of `interval_covering_probability`; 0.2 s at n = 1000, 13 s at 5000.
    """
    n, p = check_int("n", n, low=1), check_number("failure", failure, above=0, below=1)
    from scipy.optimize import brentq  # here: the pages, which do without, open sooner

    # n balls of radius 1 / (2 n) cover at best.
    root = brentq(lambda r: interval_covering_probability(r, n) - (1 - p), 0.5 / n, 1.0, xtol=1e-14)
    return float(root)


def interval_sample_radius(x: Tensor, low: float, high: float) -> float:
    """The covering radius of these samples (n,) on [low, high]: exact.

    >>> interval_sample_radius(torch.tensor([0.25, 0.5]), 0.0, 1.0)
    0.5
    """
    low, high = check_number("low", low), check_number("high", high)
    if not low < high:
        raise ValueError(f"high: got {high:g}; takes a number above low, {low:g}")
    if not isinstance(x, Tensor) or x.ndim != 1 or len(x) == 0 or not torch.isfinite(x).all():
        raise ValueError("x: takes a tensor of at least one finite number, (n,)")
    x = x.detach().double().sort().values
    if float(x[0]) < low or float(x[-1]) > high:
        reach = f"{float(x[0]):g} to {float(x[-1]):g}"
        raise ValueError(f"x: reaches from {reach}; takes samples from {low:g} to {high:g}")
    return float(torch.cat([x[:1] - low, x.diff() / 2, high - x[-1:]]).max())


def held_out_radius(X: Tensor, X_held_out: Tensor, *, quantile: float = 0.95) -> Statement:
    """An estimate of the radius of a sample: a quantile of held-out nearest distances.

    >>> X = torch.tensor([[0.0], [1.0]])
    >>> held_out_radius(X, torch.tensor([[0.1], [0.3], [0.5]]), quantile=1.0).value
    0.5

    It says how far most points are, not all: the radius that the theorems ask for is at least
    that of quantile 1. X (n, ...) and X_held_out (m, ...), both flattened to d features. Cost:
    n x m distances.
    """
    quantile = check_number("quantile", quantile, above=0, high=1)
    like = torch.zeros((), dtype=torch.float64)
    X, held_out = (as_features(x, like).flatten(1) for x in (X, X_held_out))
    if X.shape[1] != held_out.shape[1]:
        raise ValueError(f"X_held_out: has {held_out.shape[1]} features; takes {X.shape[1]}, as X")
    nearest = torch.cat([distances(part, X).amin(1) for part in held_out.split(1024)])
    value, largest = float(nearest.quantile(quantile)), float(nearest.max())
    return Statement(
        value,
        {"largest": largest, "quantile": quantile, "held out": float(len(held_out))},
        (f"the {quantile:.0%} quantile of {len(held_out)} held-out distances",),
        vacuous=False,
        kind="estimate",
    )


def uniform_w1(u: Tensor) -> float:
    """W, the Wasserstein distance of the uniform law on [0, 1] from that of u (n,): exact.

    >>> uniform_w1(torch.tensor([0.25, 0.75], dtype=torch.float64))
    0.125
    """
    if not isinstance(u, Tensor) or u.ndim != 1 or not len(u) or not ((u >= 0) & (u <= 1)).all():
        raise ValueError("u: takes a tensor of at least one number from 0 to 1, (n,)")
    n, u = len(u), u.detach().double().sort().values
    level = torch.arange(n + 1, dtype=torch.float64) / n
    a = torch.cat([u.new_zeros(1), u])
    b = torch.cat([u, u.new_ones(1)])

    def signed(t: Tensor) -> Tensor:  # the integral of |s - level| from level to t
        return 0.5 * (t - level) * (t - level).abs()

    return float((signed(b) - signed(a)).sum())
