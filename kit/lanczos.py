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

import numpy as np
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
    tols = (tol if isinstance(tol, tuple) else (tol,) * k)[:k]
    asked = len(tols)
    room = min(P, max(BASIS, 3 * k + start.shape[1]))
    new = _orthonormal(start, start.mT[:0], generator)
    V = AV = new[:0]  # rows
    size = 0
    T = np.zeros((room, room))
    while True:
        end = size + len(new)
        image = product(new.mT).mT
        image = image if largest else -image
        if size == 0:  # most calls need no more
            V, AV = new, image
        else:
            if end > len(V):  # buffers that grow by doubling
                more = start.new_empty(min(room, 2 * end) - len(V), P)
                V, AV = torch.cat([V, more]), torch.cat([AV, more])
            V[size:end], AV[size:end] = new, image
        matvecs += end - size
        block = _small(AV[size:end] @ V[:end].mT)
        if not np.isfinite(block).all():
            raise NotFiniteError("objective: a product H v is not finite: the run has diverged")
        T[size:end, :end], T[:end, size:end] = block, block.T
        size = end
        theta, Y = np.linalg.eigh(0.5 * (T[:size, :size] + T[:size, :size].T))
        theta, Y = theta[::-1], Y[:, ::-1]
        pairs = min(k + guard, size)
        W = Y[:, :pairs].T
        both = torch.as_tensor(np.concatenate([W, theta[:pairs, None] * W])).to(V)
        R = torch.addmm(both[:pairs] @ AV[:size], both[pairs:], V[:size], alpha=-1)
        residuals = _small(torch.linalg.vector_norm(R, dim=1))
        scale = float(np.abs(theta[:k]).max())
        floor = 8 * torch.finfo(V.dtype).eps * float(np.abs(theta).max())
        excess = [float(r) - t * scale for r, t in zip(residuals, tols, strict=False)]
        stalled = size >= k and bool((residuals[:asked] <= floor).all())
        # A value that is 0 to rounding has no relative accuracy to reach.
        converged = (size >= k and max(excess) <= 0) or (stalled and scale <= floor)
        found = converged or stalled
        limit = max(tols[-1], GUARD_TOL) * scale + floor
        guarded = not guard or (pairs > k and float(residuals[k]) <= limit)
        if found and guarded:
            break
        if matvecs >= max_matvecs or (size == P and pairs >= k):
            break
        if size == room:  # thick restart: the best half of the Ritz vectors carries on
            keep = max(k + 8, room // 2) if room > k + 8 else k
            best = torch.as_tensor(Y[:, :keep].T.copy()).to(V)
            V[:keep], AV[:keep] = best @ V, best @ AV
            T[:] = 0
            np.fill_diagonal(T[:keep, :keep], theta[:keep])
            size = keep
        worst = pairs - 1 if found else int(np.argmax(excess))
        new = _orthonormal(R[worst].unsqueeze(1), V[:size], generator)
    return EigenResult(
        values=torch.as_tensor(sign * theta[:k]),
        vectors=(both[:k] @ V[:size]).mT,
        residuals=torch.as_tensor(residuals[:k]),
        matvecs=matvecs,
        converged=converged,
    )


def _small(matrix: Tensor) -> np.ndarray:
    """A small matrix for numpy, whose calls cost less than torch's, in float64."""
    return matrix.detach().cpu().numpy().astype(np.float64)


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
    enough = torch.finfo(start.dtype).eps ** 0.5
    if len(basis) == 0:  # one QR is orthogonal to rounding
        Q, R = torch.linalg.qr(start)
        R = _small(R)
        if (np.abs(R.diagonal()) > enough * np.sqrt((R * R).sum(0))).all():
            return Q.mT
    tiny = torch.finfo(start.dtype).tiny
    for _ in range(4):
        rows = (start / torch.linalg.vector_norm(start, dim=0).clamp(min=tiny)).mT
        for _ in range(2):  # twice is enough
            rows = rows - (rows @ basis.mT) @ basis
            Q, R = torch.linalg.qr(rows.mT)
            independent = R.diagonal().abs() > enough
            rows = Q.mT
        if bool(independent.all()):
            break
        fresh = random_vectors(start, start.shape[1], generator)
        start = torch.where(independent, Q, fresh)
    return rows
