"""Soft rank: how many directions the loss holds on to more firmly than the damping does.

    rank_mu(A) = Tr(A (A + mu I)^{-1}) = sum_k a_k / (a_k + mu)

With mu the weight decay and a calibrated model, rank_mu(G) / n estimates the gap between test and
training loss (Shoham, Mor-Yosef and Avron, arXiv 2506.17809; our derivation, theory.md, P3.2). The
same number is the effective dimension of MacKay (1992) and Maddox et al. (arXiv 2003.02139).
Without calibration the gap is Tr(Sigma_g (A + mu I)^{-1}) / n, with Sigma_g the covariance of the
per-sample gradients: Takeuchi's information criterion.

>>> from kit.models import mlp
>>> from kit.objective import Objective
>>> objective = Objective(mlp((1, 1)), [[2.0]], [[1.0]], loss="mse")  # eigenvalues 0 and 5
>>> round(soft_rank(objective, 5.0), 6)
0.5
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from kit.checks import check_bool, check_int, check_number, check_one_of, check_seed
from kit.curvature import DENSE_LIMIT, check_objective, eigenvalues, matrix
from kit.estimate import Estimate
from kit.kfac import kronecker_factors
from kit.lanczos import random_signs
from kit.objective import Objective
from kit.operators import Product, operator_product
from kit.spectrum import spectral_density
from kit.tangent import (
    DUAL_LIMIT,
    conjugate,
    gauss_newton_diagonal,
    output_gradient,
    output_root,
    per_sample_gradients,
    tangent_kernel,
)

METHODS = ("exact", "kfac", "diagonal", "lanczos", "hutchinson")
CG_STEPS = 1000
LANCZOS_STEPS = 100


def soft_rank(
    objective: Objective,
    damping: float,
    *,
    operator: str = "gauss_newton",
    method: str = "exact",
    probes: int = 64,
    seed: int = 0,
) -> float | Estimate:
    """rank_mu(A) of an operator without negative eigenvalues, mu = `damping`.

    >>> from kit.models import mlp
    >>> X = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
    >>> objective = Objective(mlp((6, 10, 3), seed=0), X, torch.arange(40) % 3)
    >>> exact, upper = (soft_rank(objective, 0.01, method=m) for m in ("exact", "diagonal"))
    >>> estimate = soft_rank(objective, 0.01, method="hutchinson")
    >>> abs(estimate.value - exact) < 4 * estimate.standard_error, exact < upper
    (True, True)

    | method     | how                                              | error                       |
    |------------|--------------------------------------------------|-----------------------------|
    | exact      | eigenvalues of A, or of its nK x nK dual         | none                        |
    | kfac       | Kronecker factors of each layer (`kit.kfac`)     | factors taken as independent|
    | diagonal   | sum_k A_kk / (A_kk + mu)                         | never too small             |
    | lanczos    | quadrature of t / (t + mu), 100 steps a probe    | a standard error            |
    | hutchinson | conjugate gradients for (A + mu I)^{-1} z        | a standard error            |

    A float for the first three, an `Estimate` for the others. "kfac" and "diagonal" are for the
    Gauss-Newton matrix only; any other operator of `kit.operators` is taken where it has no
    negative eigenvalue ("layer" gives a soft rank that rescaling cannot change, where the fit is
    exact and S has none). Raises ValueError where it has one. Cost: O(min(P, nK)^3); K backward
    passes; or `probes` times the solve's products. Source: theory.md, P3.3 and P3.4.
    """
    check_objective(objective)
    mu = check_number("damping", damping, above=0)
    check_one_of("method", method, METHODS)
    probes, seed = check_int("probes", probes, low=2), check_seed(seed)
    if method in ("kfac", "diagonal") and operator != "gauss_newton":
        raise ValueError(
            f"method: got {method!r} with operator={operator!r}; takes operator='gauss_newton'"
        )
    if method == "exact":
        return _rank(all_eigenvalues(objective, operator), mu)
    if method == "diagonal":
        return _rank(gauss_newton_diagonal(objective), mu)
    if method == "kfac":
        return sum(_rank(torch.outer(a, b).flatten(), mu) for a, b in kronecker_factors(objective))
    if method == "lanczos":
        density = spectral_density(
            objective, operator, probes=probes, steps=LANCZOS_STEPS, seed=seed
        )
        _refuse_negative(density.nodes, operator)
        return density.total(lambda t: t.clamp(min=0) / (t.clamp(min=0) + mu))
    return _hutchinson(objective, mu, operator, probes, seed)


def takeuchi_trace(
    objective: Objective, damping: float, *, operator: str = "gauss_newton", centered: bool = True
) -> float:
    """Tr(Sigma_g (A + mu I)^{-1}); divided by n it estimates the gap (Takeuchi).

    >>> from kit.models import mlp
    >>> objective = Objective(mlp((1, 1), bias=False).double(), [[1.0], [2.0]], [[0.0], [1.0]],
    ...                       loss="mse")
    >>> with torch.no_grad():
    ...     _ = objective.model[0].weight.fill_(1.0)
    >>> takeuchi_trace(objective, 0.5)  # gradients 1 and 2, H = 5/2
    0.08333333333333333

    Sigma_g = (1/n) sum_i g_i g_i', less g g' with `centered`. `damping` may be 0 where A is
    invertible. Of the training data, it underestimates at interpolation, where every g_i is near
    0. Cost: O(P^3), or O((nK)^3) by the dual where that is smaller and A the Gauss-Newton matrix.
    Raises ValueError where A + mu I is not positive definite. Source: theory.md, P3.2.
    """
    check_objective(objective)
    mu = check_number("damping", damping, low=0)
    check_bool("centered", centered)
    if mu > 0 and _dual_is_smaller(objective, operator):
        return _dual_takeuchi(objective, mu, centered)
    A = matrix(objective, operator).double()
    return _solve_trace(A, mu, gradient_covariance(objective, centered=centered), operator)


@dataclass(frozen=True)
class TakeuchiTerms:
    """Tr(Sigma_g (H + mu I)^{-1}) taken apart; the last three add up to the first.

    soft_rank: rank_mu(H). miscalibration: Tr((Sigma_g - G)(H + mu I)^{-1}), 0 where the model's
    own variance is that of the data. residual: Tr((G - H)(H + mu I)^{-1}), 0 where H = G.
    """

    takeuchi: float
    soft_rank: float
    miscalibration: float
    residual: float


def takeuchi_terms(
    objective: Objective, damping: float, *, operator: str = "gauss_newton", centered: bool = True
) -> TakeuchiTerms:
    """What the soft rank leaves out where the model is not calibrated (theory.md, P3.2).

    >>> from kit.models import mlp
    >>> X = torch.randn(40, 2, generator=torch.Generator().manual_seed(0)).double()
    >>> objective = Objective(mlp((2, 3, 2)).double(), X, torch.arange(40) % 2)
    >>> terms = takeuchi_terms(objective, 0.1)
    >>> parts = terms.soft_rank + terms.miscalibration + terms.residual
    >>> abs(parts - terms.takeuchi) < 1e-9
    True

    `operator` is the H of the formula: "hessian", or "gauss_newton", which makes the residual 0.
    Up to 5000 parameters. Raises ValueError where H + mu I is not positive definite.
    """
    check_objective(objective)
    mu = check_number("damping", damping, low=0)
    C = gradient_covariance(objective, centered=check_bool("centered", centered))
    A = matrix(objective, operator).double()
    G = A if operator == "gauss_newton" else matrix(objective, "gauss_newton").double()
    total, own, model = (_solve_trace(A, mu, M, operator) for M in (C, A, G))
    return TakeuchiTerms(total, own, total - model, model - own)


def over_confidence_index(objective: Objective, damping: float) -> float:
    """Tr(Sigma_g (G + mu I)^{-1}) / rank_mu(G) - 1, with the uncentred Sigma_g.

    >>> from kit.models import mlp
    >>> X, y = torch.eye(2).double(), torch.tensor([0, 1])
    >>> objective = Objective(mlp((2, 2)).double(), X, y)
    >>> with torch.no_grad():
    ...     _ = objective.model[0].weight.copy_(-9 * torch.eye(2)), objective.model[0].bias.zero_()
    >>> over_confidence_index(objective, 0.1) > 0  # sure, and wrong
    True

    0 where the model is calibrated, above 0 where its errors exceed its own variance, below 0
    where it is less sure than it should be. Source: our definition, theory.md, P3.2.
    """
    rank = soft_rank(objective, damping)
    if rank == 0:
        raise ValueError("objective: G is zero, and has no soft rank to compare with")
    return takeuchi_trace(objective, damping, centered=False) / rank - 1


def gradient_covariance(objective: Objective, *, centered: bool = True) -> Tensor:
    """Sigma_g = (1/n) sum_i g_i g_i' (less g g' with `centered`), (P, P), float64."""
    if objective.parameters > DENSE_LIMIT:
        raise ValueError(
            f"objective: has {objective.parameters} parameters; takes at most {DENSE_LIMIT} for a "
            "dense covariance"
        )
    U = per_sample_gradients(objective).double()
    if centered:
        U = U - U.mean(0)
    return U.mT @ U / len(U)


def _rank(eigenvalues: Tensor, mu: float) -> float:
    a = eigenvalues.double()
    return float((a / (a + mu)).sum())


def _dual_is_smaller(objective: Objective, operator: str) -> bool:
    size = objective.n * objective.K
    return operator == "gauss_newton" and size <= DUAL_LIMIT and size < objective.parameters


def all_eigenvalues(objective: Objective, operator: str = "gauss_newton") -> Tensor:
    """The whole spectrum of a non-negative operator, ascending, float64.

    >>> from kit.models import mlp
    >>> objective = Objective(mlp((1, 1)), [[2.0]], [[1.0]], loss="mse")
    >>> all_eigenvalues(objective)
    tensor([5.], dtype=torch.float64)

    (P,), or (nK,) where the dual is smaller, which lacks only zeros. Cost: O(min(P, nK)^3). Raises
    ValueError above 5000 of both, and for eigenvalues below 0 by more than rounding.
    """
    if _dual_is_smaller(objective, operator):
        A = conjugate(tangent_kernel(objective).double(), output_root(objective).double())
    elif objective.parameters <= DENSE_LIMIT:
        A = matrix(objective, operator).double()
    else:
        raise ValueError(
            f"objective: has {objective.parameters} parameters, and {objective.n} samples x "
            f"{objective.K} outputs; 'exact' takes at most {DENSE_LIMIT} parameters, or at most "
            f"{DUAL_LIMIT} samples x outputs with operator='gauss_newton'; use method='lanczos'"
        )
    values = torch.linalg.eigvalsh(A)
    _refuse_negative(values, operator)
    return values.clamp(min=0)


def _refuse_negative(values: Tensor, operator: str) -> None:
    """Negative beyond the rounding of products in float32."""
    low, high = float(values.min()), float(values.abs().max())
    if low < -1e-5 * high:
        raise ValueError(
            f"operator: {operator!r} has a negative eigenvalue here, {low:.3g}; takes one without, "
            "such as 'gauss_newton'"
        )


def _solve_trace(A: Tensor, mu: float, M: Tensor, operator: str) -> float:
    """Tr((A + mu I)^{-1} M)."""
    values, vectors = torch.linalg.eigh(A)
    values = values + mu
    if float(values.min()) <= 1e-12 * float(values.max()):
        raise ValueError(
            f"damping: got {mu:g}; takes more, since {operator!r} plus it has the eigenvalue "
            f"{float(values.min()):.3g} here, which is not above 0"
        )
    return float((((vectors.mT @ M) * vectors.mT).sum(1) / values).sum())


def _dual_takeuchi(objective: Objective, mu: float, centered: bool) -> float:
    """By Woodbury's identity, with B = DF' C and U the per-sample gradients U' = DF' E:

    mu U (G + mu I)^{-1} U' = U U' - U B (mu I + B'B)^{-1} B'U'.
    """
    n, K = objective.n, objective.K
    kernel, C = tangent_kernel(objective).double(), output_root(objective).double()
    slope = output_gradient(objective).double()
    rows = torch.einsum("ik,ikj->ij", slope, kernel.view(n, K, n * K))  # U DF'
    gram = torch.einsum("ijk,jk->ij", rows.view(n, n, K), slope)
    cross = torch.einsum("ija,jab->ijb", rows.view(n, n, K), C).reshape(n, n * K)
    if centered:
        gram = gram - gram.mean(0) - gram.mean(1, keepdim=True) + gram.mean()
        cross = cross - cross.mean(0)
    dual = conjugate(kernel, C)
    dual.diagonal().add_(mu)
    inside = torch.linalg.solve_triangular(torch.linalg.cholesky(dual), cross.mT, upper=False)
    return (float(gram.trace()) - float(inside.square().sum())) / (n * mu)


def _hutchinson(objective: Objective, mu: float, operator: str, probes: int, seed: int) -> Estimate:
    """z' A (A + mu I)^{-1} z = z'z - mu z' (A + mu I)^{-1} z, for random signs z."""
    if operator != "gauss_newton":  # products cannot tell: A + mu I may be positive all the same
        ends = (eigenvalues(objective, operator=operator, largest=end) for end in (False, True))
        _refuse_negative(torch.cat([end.values for end in ends]), operator)
    product, like = operator_product(objective, operator), objective.point().theta
    Z = random_signs(like, probes, torch.Generator().manual_seed(seed))
    solution, products = conjugate_gradients(lambda V: product(V) + mu * V, Z)
    values = (len(like) - mu * (Z * solution).sum(0)).double()
    error = float(values.std()) / math.sqrt(probes)
    return Estimate(float(values.mean()), error, products)


def conjugate_gradients(
    product: Product, B: Tensor, *, tol: float = 1e-5, max_steps: int = CG_STEPS
) -> tuple[Tensor, int]:
    """X with product(X) = B column by column, to |residual| <= tol |b|; and the products spent.

    >>> A = torch.diag(torch.tensor([1.0, 4.0]))
    >>> conjugate_gradients(lambda V: A @ V, torch.tensor([[1.0], [2.0]]))[0].flatten()
    tensor([1.0000, 0.5000])

    Raises ValueError where the operator is not positive definite, or the tolerance is not met.
    """
    X, R = torch.zeros_like(B), B.clone()
    D, square = R.clone(), R.square().sum(0)
    goal = (tol * B.norm(dim=0)).square()
    for step in range(max_steps):
        going = square > goal
        if not bool(going.any()):
            return X, step * B.shape[1]
        AD = product(D)
        curvature = (D * AD).sum(0)
        if not bool((curvature > 0)[going].all()):
            raise ValueError("operator: is not positive definite with this damping; takes more")
        length = torch.where(going, square / curvature, 0.0)
        X, R = X + length * D, R - length * AD
        new = R.square().sum(0)
        D = R + torch.where(going, new / square, 0.0) * D
        square = new
    raise ValueError(
        f"damping: conjugate gradients did not reach {tol:g} in {max_steps} steps; takes more "
        "damping, float64, or method='lanczos'"
    )
