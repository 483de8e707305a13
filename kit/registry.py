"""Every measure that has been proposed to say how well a network generalises, in one table.

>>> entry = measures()["sharpness"]
>>> entry.formula, entry.cost
('lambda_max(H)', 'live')
>>> from kit.models import mlp
>>> from kit.objective import Objective
>>> entry.fn(Objective(mlp((1, 1), bias=False), [[3.0]], [[1.0]], loss="mse"))
9.0
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from kit.batches import batch_sharpness
from kit.curvature import sharpness
from kit.estimate import Estimate
from kit.evidence import interpolating_information_criterion
from kit.flatness import (
    fisher_rao_norm,
    minimum_sharpness,
    normalized_sharpness,
    relative_flatness,
)
from kit.jacobian import jacobian_norms
from kit.objective import Objective
from kit.pac_bayes import pac_bayes_bound
from kit.paths import path_norm
from kit.perturbation import (
    adaptive_sharpness,
    average_adaptive_sharpness,
    critical_sharpness,
    keskar_sharpness,
)
from kit.rescaling import invariant_sharpness
from kit.softrank import soft_rank, takeuchi_trace
from kit.spacing import level_spacing
from kit.spectrum import frobenius_norm, trace

COSTS = ("live", "slow", "offline")
INVARIANCES = ("layer-wise", "node-wise", "permutation", "duplication", "input scale")


@dataclass(frozen=True)
class Measure:
    """A measure of a trained network, and what is known of it.

    formula and source; invariances, what leaves it as it is where the network has the symmetry:
    "layer-wise" and "node-wise" rescaling, "permutation" of hidden units, "duplication" of the
    data set, "input scale" (inputs times a, first weights divided by a); cost: "live" (under 50 ms
    for 2,410 parameters and 200 samples of digits, one core), "slow" (under 2 s), or "offline";
    needs: arguments that the objective alone does not have; options with their defaults.

    `fn(objective, **options)` gives a float, or an `Estimate` with its standard error.
    """

    name: str
    formula: str
    source: str
    invariances: frozenset[str]
    cost: str
    needs: tuple[str, ...]
    fn: Callable[..., float | Estimate]

    @property
    def options(self) -> dict[str, Any]:
        """Names of the options, and their defaults."""
        parameters = list(inspect.signature(self.fn).parameters.values())[1:]
        return {p.name: p.default for p in parameters}


def measures() -> Mapping[str, Measure]:
    """The registry: name -> `Measure`.

    >>> sorted(measures())[:4]
    ['adaptive_sharpness', 'average_adaptive_sharpness', 'batch_sharpness', 'critical_sharpness']
    >>> measures()["soft_rank"].options["damping"]
    0.01
    """
    return dict(_REGISTRY)


def takeuchi(objective: Objective, damping: float = 0.01, centered: bool = True) -> float:
    """Tr(Sigma_g (G + mu I)^{-1}) / n: Takeuchi's estimate of the gap."""
    return takeuchi_trace(objective, damping, centered=centered) / objective.n


def spacing_ratio(objective: Objective, cutoff: float = 1e-6) -> Estimate:
    """Mean ratio of neighbouring level spacings of H."""
    result = level_spacing(objective, cutoff=cutoff)
    return Estimate(result.mean_ratio, result.standard_error, objective.parameters)


def jacobian_max(objective: Objective, output: str = "logits") -> float:
    """max_i ||J(x_i)||_2 over the samples."""
    return float(jacobian_norms(objective.model, objective.X, output=output).max())


def jacobian_mean(objective: Objective, output: str = "logits") -> float:
    """mean_i ||J(x_i)||_2 over the samples."""
    return float(jacobian_norms(objective.model, objective.X, output=output).mean())


def _sharpness(objective: Objective, tol: float = 1e-3, seed: int = 0) -> float:
    return sharpness(objective, tol=tol, seed=seed)


def _soft_rank(
    objective: Objective,
    damping: float = 0.01,
    method: str = "exact",
    probes: int = 64,
    seed: int = 0,
) -> float | Estimate:
    return soft_rank(objective, damping, method=method, probes=probes, seed=seed)


def _batch_sharpness(
    objective: Objective, batch_size: int = 32, batches: int = 100, seed: int = 0
) -> Estimate:
    b = min(batch_size, objective.n) if isinstance(batch_size, int) else batch_size
    return batch_sharpness(objective, b, batches=batches, seed=seed)


def _invariant(metric: str, riemannian: bool = False) -> Callable[..., float]:
    def measure(objective: Objective, tol: float = 1e-3, seed: int = 0) -> float:
        return invariant_sharpness(
            objective, metric=metric, riemannian=riemannian, tol=tol, seed=seed
        )

    return measure


def _pac_bayes(
    objective: Objective,
    initial: Tensor | None = None,
    failure: float = 0.05,
    draws: int = 200,
    seed: int = 0,
) -> float:
    return pac_bayes_bound(
        objective, initial=initial, failure=failure, draws=draws, seed=seed
    ).value


def _path_norm(objective: Objective, p: int = 2) -> float:
    return path_norm(objective.model, p=p)


LAYERS = ("layer-wise", "permutation", "duplication")
NODES = ("node-wise", *LAYERS)
PLAIN = ("permutation", "duplication")

_ROWS = (
    ("sharpness", "lambda_max(H)", "classic", PLAIN, "live", (), _sharpness),
    ("trace", "Tr H", "classic; Hutch++, arXiv 2010.09649", PLAIN, "live", (), trace),
    ("frobenius", "||H||_F", "classic", PLAIN, "live", (), frobenius_norm),
    (
        "keskar",
        "100 (max l(theta + e) - l) / (1 + l), |e_k| <= epsilon (|theta_k| + 1)",
        "Keskar et al., arXiv 1609.04836",
        PLAIN,
        "live",
        (),
        keskar_sharpness,
    ),
    (
        "relative_flatness",
        "sum_{s,s'} <w_s, w_s'> Tr H_{s,s'}, last layer",
        "Petzka et al., arXiv 2001.00939",
        (*LAYERS, "input scale"),
        "live",
        (),
        relative_flatness,
    ),
    (
        "minimum_sharpness",
        "min over layer-wise rescalings of Tr H",
        "Ibayashi, Hamaguchi, Imaizumi 2021; closed form ours",
        LAYERS,
        "live",
        (),
        minimum_sharpness,
    ),
    (
        "normalized_sharpness",
        "sum over layers of min_{s,t} sum_ij H_ij e^{s_i+t_j} + W_ij^2 e^{-s_i-t_j}",
        "Tsuzuku, Sato, Sugiyama, arXiv 1901.04653, first version",
        (*NODES, "input scale"),
        "live",
        (),
        normalized_sharpness,
    ),
    (
        "adaptive_sharpness",
        "l(theta + rho T^2 g / ||T g||) - l, T = |theta| + eta",
        "Kwon et al., arXiv 2102.11600",
        (*NODES, "input scale"),
        "live",
        (),
        adaptive_sharpness,
    ),
    (
        "average_adaptive_sharpness",
        "E l(theta + rho |theta| z) - l",
        "Andriushchenko et al., arXiv 2302.07011",
        ("layer-wise", "node-wise", "duplication", "input scale"),
        "live",
        (),
        average_adaptive_sharpness,
    ),
    (
        "fisher_rao",
        "theta' G theta",
        "Liang et al., arXiv 1711.01530",
        (*NODES, "input scale"),
        "live",
        (),
        fisher_rao_norm,
    ),
    (
        "takeuchi",
        "Tr(Sigma_g (G + mu I)^{-1}) / n",
        "Takeuchi 1976; Thomas et al., arXiv 1906.07774",
        ("permutation",),
        "slow",
        (),
        takeuchi,
    ),
    (
        "level_spacing",
        "mean of min(s_i, s_{i+1}) / max(s_i, s_{i+1})",
        "Baskerville, Granziol, Keating, arXiv 2102.06740",
        PLAIN,
        "slow",
        (),
        spacing_ratio,
    ),
    (
        "interpolating_information_criterion",
        "log |theta|^2 + (1/m) log det(DF DF') - log m + 1 + log 2 pi",
        "Hodgkinson et al., arXiv 2307.07785; our local form",
        ("permutation",),
        "slow",
        (),
        interpolating_information_criterion,
    ),
    (
        "batch_sharpness",
        "E_B[g_B' H_B g_B / |g_B|^2]",
        "Andreyev, Beneventano",
        ("permutation",),
        "live",
        ("batch_size",),
        _batch_sharpness,
    ),
    (
        "critical_sharpness",
        "2 / eta_c, l(theta - eta_c g) = l(theta)",
        "arXiv 2601.16979",
        PLAIN,
        "live",
        (),
        critical_sharpness,
    ),
    (
        "invariant_sharpness_layer",
        "lambda_max(S), S = D H D, D = ||theta_b||",
        "Rangamani et al., arXiv 1902.02434",
        (*LAYERS, "input scale"),
        "live",
        (),
        _invariant("layer"),
    ),
    (
        "invariant_sharpness_riemannian",
        "lambda_max(H_q), the Hessian on the quotient by layer-wise rescaling",
        "our reading of Rangamani et al.; theory.md, (9)",
        (*LAYERS, "input scale"),
        "live",
        (),
        _invariant("layer", riemannian=True),
    ),
    (
        "invariant_sharpness_elementwise",
        "lambda_max(|theta| H |theta|)",
        "theory.md, P2.6; second-order adaptive sharpness",
        (*NODES, "input scale"),
        "live",
        (),
        _invariant("elementwise"),
    ),
    (
        "invariant_sharpness_path",
        "lambda_max(rho^{1/2} H rho^{1/2}), rho from path norms",
        "theory.md, P2.6",
        NODES,
        "live",
        (),
        _invariant("path"),
    ),
    (
        "pac_bayes",
        "kl^{-1}(Gibbs error | (KL(Q || P) + log(2 sqrt(n) / p)) / n), sigma from diag G",
        "Pitas 2019; Dziugaite and Roy, arXiv 1703.11008; our form",
        (),
        "slow",
        ("initial",),
        _pac_bayes,
    ),
    (
        "path_norm",
        "(sum over paths of the squared product of weights)^{1/2}",
        "Neyshabur, Tomioka, Srebro, arXiv 1503.00036",
        NODES,
        "live",
        (),
        _path_norm,
    ),
    (
        "soft_rank",
        "Tr(G (G + mu I)^{-1})",
        "Shoham, Mor-Yosef, Avron, arXiv 2506.17809",
        PLAIN,
        "slow",
        (),
        _soft_rank,
    ),
    ("jacobian_max", "max_i ||J(x_i)||_2", "theory.md, P1.10", NODES, "live", (), jacobian_max),
    ("jacobian_mean", "mean_i ||J(x_i)||_2", "theory.md, P1.10", NODES, "live", (), jacobian_mean),
)
_REGISTRY = {
    name: Measure(name, formula, source, frozenset(invariances), cost, needs, fn)
    for name, formula, source, invariances, cost, needs, fn in _ROWS
}
