"""Extreme eigenvalues of a symmetric operator that is known by its products only.

Rayleigh-Ritz on a growing orthonormal basis V: the Ritz pairs are the eigenpairs (theta, y) of
V' A V, and each new basis vector is the residual A x - theta x of a wanted pair x = V y. Started
from one vector this is Lanczos' method with full reorthogonalisation; written so, it takes a whole
starting subspace as well (Davidson's method without a preconditioner), and the residual is
computed, not estimated.

>>> A = torch.diag(torch.tensor([5.0, 3.0, -7.0, 1.0], dtype=torch.float64))
>>> result = ritz(lambda V: A @ V, torch.ones(4, 1, dtype=torch.float64), 1, tol=1e-8)
>>> round(float(result.values[0]), 6), result.matvecs
(5.0, 4)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

BASIS = 64  # basis vectors kept before a restart
GUARD_TOL = 1e-3


class NotFiniteError(ValueError):
    """A product A v has an entry that is not finite: the parameters have diverged."""


@dataclass(frozen=True)
class EigenResult:
    """Eigenpairs with what is known of their accuracy.

    values (k,) sorted from the asked end; vectors (P, k) of unit norm; residuals
    ||A v - value v||_2 (k,); matvecs, the number of products; converged, whether each residual is
    at most tol * max |value| (or all values are 0 to rounding). A Ritz value is a lower bound on
    the largest eigenvalue. A residual says that *some* eigenvalue lies that near, not that it is
    the largest.
    """

    values: Tensor
    vectors: Tensor
    residuals: Tensor
    matvecs: int
    converged: bool


def ritz(
    product: Callable[[Tensor], Tensor],
    start: Tensor,
    k: int,
    *,
    tol: float | tuple[float, ...],
    guard: bool = False,
    max_matvecs: int = 1000,
    largest: bool = True,
    generator: torch.Generator | None = None,
) -> EigenResult:
    """The k algebraically largest (or smallest) eigenpairs, from the subspace `start` (P, m).

    Stops when each residual is at most tol * max |value|, or at `max_matvecs`. With a tuple,
    tol[i] is for pair i, and pairs beyond it are not waited for. A pair can converge before a
    larger one has shown itself (a start that barely contains it, or an exact eigenvector of
    another): with `guard`, one pair more than asked must converge as well, to GUARD_TOL or tol.
    Raises NotFiniteError where a product is not finite.
    """
    sign = 1.0 if largest else -1.0
    P = len(start)
    k, matvecs = min(k, P), 0
    tols = torch.tensor(tol if isinstance(tol, tuple) else (tol,) * k, dtype=torch.float64)[:k]
    asked = len(tols)
    room = min(P, max(BASIS, 3 * k + start.shape[1]))
    # Rows, so that a growing basis is contiguous.
    V, AV = start.new_empty(room, P), start.new_empty(room, P)
    size = 0
    new = _orthonormal(start, V[:0], generator)
    T = torch.zeros(room, room, dtype=torch.float64)
    while True:
        end = size + len(new)
        V[size:end] = new
        AV[size:end] = sign * product(new.mT).mT
        matvecs += end - size
        block = (AV[size:end] @ V[:end].mT).double()
        if not torch.isfinite(block).all():
            raise NotFiniteError("objective: a product H v is not finite: the run has diverged")
        T[size:end, :end], T[:end, size:end] = block, block.mT
        size = end
        theta, Y = torch.linalg.eigh(0.5 * (T[:size, :size] + T[:size, :size].mT))
        theta, Y = theta.flip(0), Y.flip(1).to(V.dtype)
        pairs = min(k + guard, size)
        X = Y[:, :pairs].mT @ V[:size]
        R = Y[:, :pairs].mT @ AV[:size] - theta[:pairs, None].to(V.dtype) * X
        residuals = R.norm(dim=1).double()
        scale = float(theta[:k].abs().max())
        floor = 8 * torch.finfo(V.dtype).eps * float(theta.abs().max())
        excess = residuals[:asked] - tols[:pairs] * scale
        stalled = size >= k and bool((residuals[:asked] <= floor).all())
        # A value that is 0 to rounding has no relative accuracy to reach.
        converged = (size >= k and bool((excess <= 0).all())) or (stalled and scale <= floor)
        found = converged or stalled
        limit = max(float(tols[-1]), GUARD_TOL) * scale + floor
        guarded = not guard or (pairs > k and float(residuals[k]) <= limit)
        if found and guarded:
            break
        if matvecs >= max_matvecs or (size == P and pairs >= k):
            break
        if size == room:  # thick restart: the best half of the Ritz vectors carries on
            keep = max(k + 8, room // 2) if room > k + 8 else k
            V[:keep], AV[:keep] = Y[:, :keep].mT @ V, Y[:, :keep].mT @ AV
            T.zero_()
            T.diagonal()[:keep] = theta[:keep]
            size = keep
        worst = pairs - 1 if found else int(excess.argmax())
        new = _orthonormal(R[worst].unsqueeze(1), V[:size], generator)
    return EigenResult(
        values=sign * theta[:k],
        vectors=(X[:k] / X[:k].norm(dim=1, keepdim=True)).mT,
        residuals=residuals[:k],
        matvecs=matvecs,
        converged=converged,
    )


def random_vectors(like: Tensor, k: int, generator: torch.Generator | None) -> Tensor:
    """k Gaussian vectors (P, k) with the length, dtype and device of `like` (P, ...)."""
    v = torch.randn(len(like), k, generator=generator, dtype=torch.float64)
    return v.to(dtype=like.dtype, device=like.device)


def random_signs(like: Tensor, k: int, generator: torch.Generator | None) -> Tensor:
    """k vectors (P, k) of independent signs (Rademacher) with the length and dtype of `like`."""
    signs = torch.randint(2, (len(like), k), generator=generator, dtype=torch.int8)
    return (2 * signs - 1).to(dtype=like.dtype, device=like.device)


def _orthonormal(start: Tensor, basis: Tensor, generator: torch.Generator | None) -> Tensor:
    """Orthonormal rows that span the columns of `start`, orthogonal to the rows of `basis`.

    A column that adds nothing to the basis is replaced by a random one.
    """
    start = start[:, : start.shape[0] - len(basis)]
    for _ in range(4):
        rows = (start / start.norm(dim=0).clamp(min=torch.finfo(start.dtype).tiny)).mT
        for _ in range(2):
            rows = rows - (rows @ basis.mT) @ basis
            Q, R = torch.linalg.qr(rows.mT)
            independent = R.diagonal().abs() > torch.finfo(rows.dtype).eps ** 0.5
            rows = Q.mT
        if independent.all():
            break
        fresh = random_vectors(start, start.shape[1], generator)
        start = torch.where(independent, Q, fresh)
    return rows
