"""A PAC-Bayes bound on the 0-1 error, with the noise that the loss's curvature allows.

Prior N(theta_0, s^2 I), fixed before the data are seen; posterior N(theta, diag sigma^2). With the
quadratic model of the loss, whose curvature in weight k is h_k = (diag G)_k, the best noise is

    sigma_k^2 = 1 / (beta h_k + 1 / s^2)

(Pitas 2019; formula ours, theory.md, II, row 9). With probability at least 1 - p over n samples

    kl(E_Q error on the samples || E_Q error) <= (KL(Q || P) + log(2 sqrt(n) / p)) / n

(Seeger; Maurer), where kl is between two coins; inverted it bounds the error of a network drawn
from the posterior. The mean error on the samples is estimated by draws, at a price in p. The linear
form of Alquier and Catoni, which the noise above is made for, is given beside it:

    E_Q error <= E_Q error on the samples + (KL(Q || P) + log(1 / p)) / beta + beta / (8 n)

>>> round(kl_inverse(0.1, 0.05), 4)  # the largest error within 0.05 nats of one of 10%
0.2201
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from kit.checks import check_int, check_number, check_seed
from kit.curvature import check_objective
from kit.objective import Objective
from kit.statement import Statement
from kit.tangent import gauss_newton_diagonal

# Tried by default; the union bound over all pairs is paid for in p.
PRIOR_DEVIATIONS = (0.003, 0.01, 0.03, 0.1, 0.3)
BETAS = (100.0, 1_000.0, 10_000.0)


def pac_bayes_bound(
    objective: Objective,
    *,
    initial: Tensor | None = None,
    failure: float = 0.05,
    draws: int = 200,
    deviations: Sequence[float] = PRIOR_DEVIATIONS,
    betas: Sequence[float] = BETAS,
    seed: int = 0,
) -> Statement:
    """A bound on the expected 0-1 error of a network drawn from the posterior.

    >>> from kit.models import mlp
    >>> X = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
    >>> y = (X[:, 0] > 0).long()
    >>> result = pac_bayes_bound(Objective(mlp((3, 2), seed=0), X, y), draws=20)
    >>> result.terms["Gibbs error"] < result.value <= 1
    True

    `initial` (P,): the prior's centre, 0 by default; the parameters at the start of training, or
    those of a network trained on *other* samples, of which none may be in the objective. The
    smallest of the bounds over `deviations` of the prior (s) and `betas` is returned, each at an
    equal share of `failure`; half of that pays for the mean error, estimated by `draws`. Vacuous
    where not below the error of the most frequent label. The term "linear form" is what the linear
    form gives instead, for the same pair and price. The bound depends on the scale of the weights,
    so rescaling moves it. Labels only. Cost: diag G, and draws x deviations x betas forward passes.
    Source: Dziugaite and Roy, arXiv 1703.11008; theory.md, II, row 9 and II.3.
    """
    check_objective(objective)
    if objective.y.is_floating_point():
        raise ValueError("objective: takes labels, since the bound is on the 0-1 error")
    p = check_number("failure", failure, above=0, below=1)
    draws = check_int("draws", draws, low=2)
    generator = torch.Generator().manual_seed(check_seed(seed))
    for name, values in (("deviations", deviations), ("betas", betas)):
        if not isinstance(values, Sequence):
            raise TypeError(f"{name}: got {values!r}; takes a sequence of positive numbers")
    grid = [
        (check_number("deviations", s, above=0), check_number("betas", b, above=0))
        for s in deviations
        for b in betas
    ]
    if not grid:
        raise ValueError("deviations, betas: take at least one number each")
    theta = objective.flat_parameters().double()
    away = theta - _centre(initial, theta)
    h, n = gauss_newton_diagonal(objective).double(), objective.n
    share = p / len(grid)
    best: Statement | None = None
    for s, beta in grid:
        sigma = posterior_deviation(h, beta, s)
        kl = gaussian_kl(away, sigma, s)
        budget = (kl + math.log(2 * math.sqrt(n) / (share / 2))) / n
        if best is not None and kl_inverse(0.0, budget) >= best.value:
            continue  # not even without an error on the samples
        gibbs = _gibbs_error(objective, theta, sigma, draws, generator)
        # Langford and Caruana: the mean over draws, at a price, in place of the exact mean.
        upper = kl_inverse(gibbs, math.log(2 / (share / 2)) / draws)
        value = kl_inverse(upper, budget)
        if best is None or value < best.value:
            terms = {
                "Gibbs error": gibbs,
                "Gibbs error, at most": upper,
                "linear form": upper + (kl + math.log(2 / share)) / beta + beta / (8 * n),
                "KL": kl,
                "s": s,
                "beta": beta,
                "mean sigma": float(sigma.mean()),
                "n": float(n),
            }
            best = Statement(value, terms, (), vacuous=False)
    counts = torch.bincount(objective.y, minlength=objective.K)
    constant = 1 - float(counts.max()) / n
    assumptions = (
        f"independent samples; holds with probability {1 - p:g}, over {len(grid)} pairs (s, beta)",
        f"the error on the samples from {draws} draws of the posterior",
        "the prior's centre does not depend on these samples",
        "the bound is for a network drawn from the posterior, not for its mean",
    )
    terms = best.terms | {"best constant": constant}
    return Statement(best.value, terms, assumptions, vacuous=not best.value < constant)


def posterior_deviation(h: Tensor, beta: float, s: float) -> Tensor:
    """sigma_k = (beta h_k + 1 / s^2)^{-1/2}: the noise that minimises the objective below, (P,).

    >>> posterior_deviation(torch.tensor([0.0, 3.0]), beta=1.0, s=1.0)
    tensor([1.0000, 0.5000])

    (1/2) sum h_k sigma_k^2 + KL(Q || P) / beta. A direction without curvature keeps the prior's
    noise.
    """
    return (beta * h.clamp(min=0) + 1 / s**2).rsqrt()


def gaussian_kl(away: Tensor, sigma: Tensor, s: float) -> float:
    """KL(N(theta, diag sigma^2) || N(theta_0, s^2 I)) in nats, away = theta - theta_0.

    >>> gaussian_kl(torch.tensor([2.0]), torch.tensor([1.0]), 1.0)
    2.0
    """
    ratio = (sigma / s).square()
    return 0.5 * float((ratio - 1 - ratio.log()).sum() + (away / s).square().sum())


def optimal_objective(h: Tensor, away: Tensor, beta: float, s: float) -> float:
    """The least of (1/2) sum h_k sigma_k^2 + KL / beta over sigma.

    >>> optimal_objective(torch.tensor([0.0]), torch.tensor([1.0]), beta=2.0, s=1.0)
    0.25

    = (1 / 2 beta) sum log(1 + beta s^2 h_k) + |theta - theta_0|^2 / (2 beta s^2).
    """
    spread = float(torch.log1p(beta * s**2 * h).sum())
    return (spread + float(away.square().sum()) / s**2) / (2 * beta)


def kl_inverse(q: float, budget: float) -> float:
    """The largest b with kl(q || b) <= budget, kl between coins of bias q and b.

    >>> round(kl_inverse(0.0, 1.0), 6)  # 1 - exp(-1)
    0.632121
    """
    q, budget = check_number("q", q, low=0, high=1), check_number("budget", budget, low=0)

    def part(x: float, y: float, change: float) -> float:
        """x log(x / y), y = x + change, to the last digits where x and y nearly agree."""
        if x == 0:
            return 0.0
        near = abs(change) < 0.5 * x
        return -x * math.log1p(change / x) if near else x * (math.log(x) - math.log(y))

    def excess(b: float) -> float:
        return part(q, b, b - q) + part(1 - q, 1 - b, q - b) - budget

    low, high = q, 1 - 1e-15
    if budget == 0 and q < 1:
        return q
    if q >= high or excess(high) <= 0:
        return 1.0
    for _ in range(80):  # kl grows with b from q on: halve where it passes the budget
        middle = 0.5 * (low + high)
        low, high = (middle, high) if excess(middle) <= 0 else (low, middle)
    return high


def _centre(initial: Tensor | None, theta: Tensor) -> Tensor:
    if initial is None:
        return torch.zeros_like(theta)
    if not isinstance(initial, Tensor) or initial.shape != theta.shape:
        got = tuple(initial.shape) if isinstance(initial, Tensor) else type(initial).__name__
        raise ValueError(f"initial: got {got}; takes the {len(theta)} parameters of the centre")
    return initial.detach().to(theta)


def _gibbs_error(
    objective: Objective, theta: Tensor, sigma: Tensor, draws: int, generator: torch.Generator
) -> float:
    """The mean 0-1 error on the samples over draws of the posterior."""
    wrong = 0
    for _ in range(draws):
        z = torch.randn(len(theta), generator=generator, dtype=torch.float64)
        outputs = objective.at(theta + sigma * z).outputs
        wrong += int((outputs.argmax(1) != objective.y).sum())
    return wrong / (draws * objective.n)
