"""The whole spectrum of a curvature operator from a few products: trace, norm and density.

A sum over the spectrum, tr f(A), is a mean of quadratic forms z' f(A) z over vectors z of random
signs. Hutch++ takes the part of A in the span of A S exactly, for a random S, and leaves the rest
to chance; where few directions do not carry most of A, plain signs do better. Lanczos' method,
started from z, gives z' f(A) z for every f at once, as a quadrature rule: its nodes are Ritz
values, its weights the squared first entries of their vectors.

>>> from kit.models import mlp
>>> from kit.objective import Objective
>>> objective = Objective(mlp((2, 1), bias=False), [[1.0, 0.0], [0.0, 3.0]], [[0.0], [0.0]],
...                       loss="mse")
>>> round(trace(objective).value, 6)  # H = diag(1/2, 9/2): few parameters, so exact
5.0
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from kit.checks import check_int, check_number, check_seed
from kit.curvature import check_objective, matrix
from kit.estimate import Estimate
from kit.lanczos import NotFiniteError, random_signs
from kit.objective import Objective
from kit.operators import Product, operator_product

EXACT = 500  # parameters up to which a density is computed from all eigenvalues
FEWEST = 12  # probes of which some are spent on finding large directions
BASIS_NUMBERS = 2**25  # numbers that the Lanczos bases of a block of probes may hold


def trace(
    objective: Objective, operator: str = "hessian", *, probes: int = 64, seed: int = 0
) -> Estimate:
    """Tr A, for any operator of `kit.operators`, with its standard error.

    >>> from kit.models import mlp
    >>> objective = Objective(mlp((3, 20, 3), seed=0), torch.eye(3), [0, 1, 2])
    >>> estimate = trace(objective, probes=60)
    >>> exact = float(matrix(objective).trace())
    >>> abs(estimate.value - exact) < 4 * estimate.standard_error, estimate.matvecs
    (True, 60)

    `probes`: the number of products, at least 2; with as many as there are parameters the trace is
    exact and its standard error 0. A third of the products finds the directions that carry most of
    A; where they do not, or there are fewer than 12, all of them are plain probes. Cost: one to two
    gradients a product.
    Source: Hutch++, Meyer, Musco, Musco and Woodruff, arXiv 2010.09649; the choice is ours.
    """
    mean, error, matvecs = _hutch(objective, operator, probes, seed, _quadratic_form)
    return Estimate(mean, error, matvecs)


def frobenius_norm(
    objective: Objective, operator: str = "hessian", *, probes: int = 64, seed: int = 0
) -> Estimate:
    """||A||_F, the root of the sum of squared eigenvalues, with its standard error.

    >>> from kit.models import mlp
    >>> objective = Objective(mlp((2, 1), bias=False), [[1.0, 0.0], [0.0, 3.0]], [[0.0], [0.0]],
    ...                       loss="mse")
    >>> round(frobenius_norm(objective).value, 4)  # diag(1/2, 9/2)
    4.5277

    As `trace`, applied to A^2: each product A z gives z' A^2 z = |A z|^2. The standard error is
    that of the root to first order.
    """
    square, error, matvecs = _hutch(objective, operator, probes, seed, _squared_length)
    norm = math.sqrt(max(square, 0.0))
    return Estimate(norm, error / (2 * norm) if norm else 0.0, matvecs)


@dataclass(frozen=True)
class SpectralDensity:
    """The density of the eigenvalues of an operator, smoothed by a Gaussian.

    x (m,), in units of the eigenvalues; density (m,), its mean over the probes, which integrates
    to 1; standard_error (m,), of that mean; width, the Gaussian's standard deviation. Behind it
    stand the quadrature rules: nodes and weights (probes, steps), each probe's weights summing to
    1. With `exact`, there is one rule: its nodes are all the eigenvalues, its errors 0.
    """

    x: Tensor
    density: Tensor
    standard_error: Tensor
    width: float
    nodes: Tensor
    weights: Tensor
    parameters: int
    matvecs: int
    exact: bool

    def total(self, f: Callable[[Tensor], Tensor]) -> Estimate:
        """Tr f(A) = P sum_j w_j f(x_j), the mean over the probes.

        >>> from kit.models import mlp
        >>> objective = Objective(mlp((1, 1)), [[2.0]], [[1.0]], loss="mse")  # eigenvalues 0, 5
        >>> round(spectral_density(objective).total(lambda t: t / (t + 1)).value, 6)
        0.833333
        """
        totals = self.parameters * (self.weights * f(self.nodes)).sum(1)
        error = 0.0 if self.exact else float(totals.std()) / math.sqrt(len(totals))
        return Estimate(float(totals.mean()), error, self.matvecs)


def spectral_density(
    objective: Objective,
    operator: str = "hessian",
    *,
    probes: int = 10,
    steps: int = 80,
    points: int = 400,
    width: float | None = None,
    seed: int = 0,
) -> SpectralDensity:
    """The density of the eigenvalues, by stochastic Lanczos quadrature; exact for few parameters.

    >>> from kit.models import mlp
    >>> objective = Objective(mlp((3, 4, 3), seed=0), torch.eye(3), [0, 1, 2])
    >>> result = spectral_density(objective)
    >>> result.exact, round(float(torch.trapezoid(result.density, result.x)), 3)
    (True, 1.0)

    `probes` random vectors, `steps` products each; `points` on the axis; `width` of the Gaussian,
    by default 1% of the range of the spectrum. Up to 500 parameters all eigenvalues are computed
    instead. The error bars are of the sampling, not of the smoothing. Cost: probes x steps
    products, and memory for `steps` vectors a probe. Source: Lin, Saad and Yang, arXiv 1308.5467;
    for networks Ghorbani, Krishnan and Xiao, arXiv 1901.10159.
    """
    check_objective(objective)
    probes, steps = check_int("probes", probes, low=2), check_int("steps", steps, low=1)
    points, seed = check_int("points", points, low=2), check_seed(seed)
    P = objective.parameters
    if exact := P <= EXACT:
        nodes = torch.linalg.eigvalsh(_finite(matrix(objective, operator)).double()).unsqueeze(0)
        weights, matvecs = torch.full_like(nodes, 1 / P), P
    else:
        product = operator_product(objective, operator)
        like, generator = objective.point().theta, torch.Generator().manual_seed(seed)
        steps = min(steps, P)
        chunk = max(1, BASIS_NUMBERS // (steps * P))
        Z = random_signs(like, probes, generator)
        rules = [quadrature(product, block, steps) for block in Z.split(chunk, dim=1)]
        nodes, weights = (torch.cat(parts) for parts in zip(*rules, strict=True))
        matvecs = probes * steps
    low, high = float(nodes.min()), float(nodes.max())
    spread = (high - low) or abs(high) or 1.0
    width = 0.01 * spread if width is None else check_number("width", width, above=0)
    x = torch.linspace(low - 5 * width, high + 5 * width, points, dtype=torch.float64)
    curves = torch.stack(
        [
            torch.exp(-0.5 * ((x[:, None] - t) / width).square()) @ w
            for t, w in zip(nodes, weights, strict=True)
        ]
    ) / (width * math.sqrt(2 * math.pi))
    density = curves.mean(0)
    error = torch.zeros_like(density) if exact else curves.std(0) / math.sqrt(len(curves))
    return SpectralDensity(x, density, error, width, nodes, weights, P, matvecs, exact)


def quadrature(product: Product, start: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Gauss quadrature of z' f(A) z / |z|^2 for each column z of `start`: nodes and weights.

    >>> A = torch.diag(torch.tensor([1.0, 2.0, 4.0]))
    >>> nodes, weights = quadrature(lambda V: A @ V, torch.ones(3, 1), 3)
    >>> [round(t, 4) for t in nodes[0].tolist()], round(float(nodes[0] @ weights[0]), 4)
    ([1.0, 2.0, 4.0], 2.3333)

    Lanczos' method with full reorthogonalisation, all columns side by side; (m, steps) each, in
    float64. Where a column's Krylov space is exhausted, the weights of what follows are 0.
    """
    P, m = start.shape
    steps = min(steps, P)
    V = start.new_zeros(steps, P, m)
    T = torch.zeros(m, steps, steps, dtype=torch.float64)
    v, scale = start / start.norm(dim=0), torch.zeros(m, dtype=torch.float64)
    for j in range(steps):
        V[j] = v
        w = _finite(product(v))
        T[:, j, j] = (v * w).sum(0).double()
        scale = torch.maximum(scale, w.norm(dim=0).double())
        for _ in range(2):
            w = w - torch.einsum(
                "jpm,jm->pm", V[: j + 1], torch.einsum("jpm,pm->jm", V[: j + 1], w)
            )
        length = w.norm(dim=0)
        alive = length.double() > P**0.5 * torch.finfo(w.dtype).eps * scale
        v = torch.where(alive, w / length.clamp(min=torch.finfo(w.dtype).tiny), 0.0)
        if j + 1 < steps:
            T[:, j, j + 1] = T[:, j + 1, j] = torch.where(alive, length, 0.0).double()
    nodes, Y = torch.linalg.eigh(T)
    return nodes, Y[:, 0, :].square()


Form = Callable[[Tensor, Tensor], Tensor]


def _quadratic_form(z: Tensor, Az: Tensor) -> Tensor:
    return (z * Az).sum(0).double()


def _squared_length(z: Tensor, Az: Tensor) -> Tensor:
    return Az.square().sum(0).double()


def _hutch(
    objective: Objective, operator: str, probes: int, seed: int, form: Form
) -> tuple[float, float, int]:
    """The sum of form(z, A z) over an orthonormal basis: value, standard error, products."""
    check_objective(objective)
    probes = check_int("probes", probes, low=2)
    generator = torch.Generator().manual_seed(check_seed(seed))
    product, like = operator_product(objective, operator), objective.point().theta
    P = len(like)
    if probes >= P:
        identity = torch.eye(P, dtype=like.dtype, device=like.device)
        return float(form(identity, _finite(product(identity))).sum()), 0.0, P
    if probes < FEWEST:
        Z = random_signs(like, probes, generator)
        forms = form(Z, _finite(product(Z)))
        return float(forms.mean()), float(forms.std()) / math.sqrt(probes), probes
    sketch = probes // 3
    S = random_signs(like, sketch, generator)
    AS = _finite(product(S))
    if form is _quadratic_form and not _sketch_pays(AS):
        Z = random_signs(like, probes - sketch, generator)
        all_forms = torch.cat([form(S, AS), form(Z, product(Z))])
        return float(all_forms.mean()), float(all_forms.std()) / math.sqrt(probes), probes
    Q = torch.linalg.qr(AS).Q
    known = float(form(Q, product(Q)).sum())
    Z = random_signs(like, probes - 2 * sketch, generator)
    Z = Z - Q @ (Q.mT @ Z)
    rest = form(Z, product(Z))
    return known + float(rest.mean()), float(rest.std()) / math.sqrt(len(rest)), probes


def _sketch_pays(AS: Tensor) -> bool:
    """Whether the span of A S holds two thirds of ||A||_F^2: that much is worth the products.

    One half of the columns says it of the other.
    """
    first, second = AS.chunk(2, dim=1)
    held = torch.linalg.qr(first).Q.mT @ second
    return bool(held.square().sum() >= 2 / 3 * second.square().sum())


def _finite(A: Tensor) -> Tensor:
    if not torch.isfinite(A).all():
        raise NotFiniteError("objective: a product A v is not finite: the run has diverged")
    return A
