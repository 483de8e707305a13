"""Sharpness and other extreme eigenvalues, and the thresholds that optimisers set them.

>>> from kit.models import mlp
>>> from kit.objective import Objective
>>> X, y = torch.eye(3), torch.arange(3)
>>> objective = Objective(mlp((3, 4, 3), seed=0), X, y, loss="mse")
>>> top = eigenvalues(objective, 2, tol=1e-4)
>>> top.converged, bool(abs(top.values[0] - sharpness(objective, tol=1e-4)) < 1e-3)
(True, True)
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

from kit.checks import check_bool, check_int, check_number, check_one_of, check_seed
from kit.lanczos import EigenResult, random_vectors, ritz
from kit.objective import Objective
from kit.operators import operator_product

DENSE_LIMIT = 5000  # parameters of the largest dense matrix, 200 MB in float64


def eigenvalues(
    objective: Objective,
    k: int = 1,
    *,
    operator: str = "hessian",
    largest: bool = True,
    tol: float = 1e-3,
    max_matvecs: int | None = None,
    start: Tensor | None = None,
    seed: int = 0,
) -> EigenResult:
    """The k algebraically largest (or smallest) eigenvalues of an operator of the loss.

    >>> from kit.models import mlp
    >>> objective = Objective(mlp((1, 1), bias=False), [[2.0]], [[1.0]], loss="mse")
    >>> float(eigenvalues(objective).values[0])  # H = x^2
    4.0

    `operator`: "hessian", "gauss_newton", "layer" (S), "riemannian" (H_q), "elementwise", "path" or
    "residual" (`kit.operators`). Stops when each residual ||A v - value v|| is at most tol * max
    |value|, or after `max_matvecs` products (default: 40 k + 1000); `.converged` says which.
    `start` (P, m) takes the `.vectors` of an earlier result; random vectors are added to it, and
    one pair more than asked must converge too, to find an eigenvalue that has crossed since. Cost:
    one to two gradients a product, typically 5 to 40 products. Source: Lanczos with full
    reorthogonalisation (`kit.lanczos`).
    """
    check_objective(objective)
    k = check_int("k", k, low=1, high=objective.parameters)
    tol = check_number("tol", tol, above=0)
    seed = check_seed(seed)
    check_bool("largest", largest)
    limit = 40 * k + 1000 if max_matvecs is None else check_int("max_matvecs", max_matvecs, low=k)
    product = operator_product(objective, operator)
    like = objective.point().theta
    generator = torch.Generator().manual_seed(seed)
    # As many random vectors as eigenvalues: one alone cannot see a repeated eigenvalue twice.
    block = random_vectors(like, k, generator)
    if start is not None:
        block = torch.cat([_check_start(start, like), block], dim=1)
    return ritz(
        product,
        block[:, : min(len(like), limit)],
        k,
        tol=tol,
        guard=True,
        max_matvecs=limit,
        largest=largest,
        generator=generator,
    )


def sharpness(
    objective: Objective, *, tol: float = 1e-3, start: Tensor | None = None, seed: int = 0
) -> float:
    """lambda_max(H): the largest (algebraic) eigenvalue of the Hessian of the mean loss.

    >>> from kit.models import mlp
    >>> sharpness(Objective(mlp((1, 1), bias=False), [[3.0]], [[1.0]], loss="mse"))
    9.0

    Warns where the tolerance was not reached; `eigenvalues` returns the residual.
    """
    return converged_value(eigenvalues(objective, tol=tol, start=start, seed=seed), "sharpness")


def converged_value(result: EigenResult, name: str) -> float:
    """The first value of a result, with a warning if it has not converged."""
    if not result.converged:
        warnings.warn(
            f"{name}: residual {float(result.residuals[0]):.2g} after {result.matvecs} products is "
            "above the tolerance; use a larger tol, or float64",
            stacklevel=3,
        )
    return float(result.values[0])


def matrix(objective: Objective, operator: str = "hessian") -> Tensor:
    """The operator as a dense symmetric matrix, (P, P).

    >>> from kit.models import mlp
    >>> matrix(Objective(mlp((1, 1)), [[2.0]], [[1.0]], loss="mse"))
    tensor([[4., 2.],
            [2., 1.]])

    Cost: P products. Refused above 5000 parameters.
    """
    check_objective(objective)
    P = objective.parameters
    if P > DENSE_LIMIT:
        raise ValueError(
            f"objective: has {P} parameters; takes at most {DENSE_LIMIT} for a dense matrix; "
            "use eigenvalues() for the ends of the spectrum"
        )
    product = operator_product(objective, operator)
    theta = objective.point().theta
    identity = torch.eye(P, dtype=theta.dtype, device=theta.device)
    A = torch.cat([product(columns) for columns in identity.split(64, dim=1)], dim=1)
    return 0.5 * (A + A.mT)


def stability_threshold(
    lr: float,
    *,
    optimizer: str = "sgd",
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    betas: tuple[float, float] = (0.9, 0.999),
    sam_radius: float = 0.0,
    gradient_norm: float | None = None,
) -> float:
    """The largest Hessian eigenvalue at which full-batch descent on a quadratic is stable.

    >>> stability_threshold(0.4), stability_threshold(0.1, momentum=0.5)
    (5.0, 30.0)

    | optimiser            | lambda at most                                             |
    |----------------------|------------------------------------------------------------|
    | gradient descent     | 2 / eta                                                    |
    | heavy ball           | (2 + 2 beta) / eta                                         |
    | Nesterov             | (2 + 2 beta) / ((1 + 2 beta) eta)                          |
    | Adam, frozen         | (2 + 2 beta_1) / ((1 - beta_1) eta), preconditioned Hessian |
    | coupled weight decay | the above less mu (Adam: mu is part of the Hessian instead)  |
    | SAM, radius rho      | (|g| / 2 rho) (sqrt(1 + 8 rho / (eta |g|)) - 1)             |
    | SAM, weight decay    | the same with 2 / eta - mu in place of 2 / eta              |

    Conventions are those of `torch.optim` (dampening 0). Source: theory.md, II.1; SAM: Long and
    Bartlett, arXiv 2309.12488, for plain gradient descent only.
    """
    lr = check_number("lr", lr, above=0)
    check_one_of("optimizer", optimizer, ("sgd", "adam"))
    momentum = check_number("momentum", momentum, low=0, below=1)
    weight_decay = check_number("weight_decay", weight_decay, low=0)
    sam_radius = check_number("sam_radius", sam_radius, low=0)
    if gradient_norm is not None:
        gradient_norm = check_number("gradient_norm", gradient_norm, low=0)
    if not isinstance(betas, Sequence) or len(betas) != 2:
        raise TypeError(f"betas: got {betas!r}; takes two numbers, (0.9, 0.999)")
    beta, _ = (check_number("betas", b, low=0, below=1) for b in betas)
    if check_bool("nesterov", nesterov) and momentum == 0:
        raise ValueError("nesterov: got True with momentum 0; takes a momentum above 0")
    if optimizer == "adam":
        if momentum or nesterov or sam_radius:
            raise ValueError("optimizer: 'adam' takes no momentum, nesterov or sam_radius")
        return (2 + 2 * beta) / ((1 - beta) * lr)
    if sam_radius:
        if momentum:
            raise ValueError("sam_radius: its edge is known for momentum 0 only")
        if gradient_norm is None:
            raise ValueError("gradient_norm: got None; takes |g|, which the edge of SAM depends on")
        if gradient_norm == 0:
            return 0.0  # the limit: at a stationary point every positive curvature is unstable
        # The positive root h of h + rho h^2 / |g| = room, without the cancellation at small rho.
        room = 2 / lr - weight_decay
        if room <= 0:
            return room
        return 2 * room / (1 + math.sqrt(1 + 4 * sam_radius * room / gradient_norm))
    factor = (2 + 2 * momentum) / ((1 + 2 * momentum) if nesterov else 1)
    return factor / lr - weight_decay


def check_objective(objective: object) -> None:
    """TypeError for anything but an Objective."""
    if not isinstance(objective, Objective):
        raise TypeError(f"objective: got {type(objective).__name__}; takes a kit.Objective")


def _check_start(start: object, like: Tensor) -> Tensor:
    if not isinstance(start, Tensor):
        raise TypeError(f"start: got {type(start).__name__}; takes a tensor ({len(like)}, m)")
    if start.ndim == 1:
        start = start.unsqueeze(1)
    if start.ndim != 2 or len(start) != len(like) or start.shape[1] == 0:
        raise ValueError(f"start: got shape {tuple(start.shape)}; takes ({len(like)}, m)")
    if not torch.isfinite(start).all():
        raise ValueError("start: got NaN or infinity; takes finite vectors, as in `.vectors`")
    return start.detach().to(dtype=like.dtype, device=like.device)
