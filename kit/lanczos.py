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

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

BASIS = 64  # basis vectors kept before a restart
GROWTH = 8  # rows by which their memory grows
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
    tol: float | tuple[float, ...] | Callable[[list[float]], tuple[float, ...]],
    guard: bool = False,
    max_matvecs: int = 1000,
    largest: bool = True,
    generator: torch.Generator | None = None,
) -> EigenResult:
    """The k algebraically largest (or smallest) eigenpairs, from the subspace `start` (P, m).

    Stops when each residual is at most tol * max |value|, or at `max_matvecs`. With a tuple,
    tol[i] is for pair i, and pairs beyond it are not waited for; a function gives such a tuple for
    the Ritz values so far. A pair can converge before a
    larger one has shown itself (a start that barely contains it, or an exact eigenvector of
    another): with `guard`, one pair more than asked must converge as well, to GUARD_TOL or tol.
    Raises NotFiniteError where a product is not finite.
    """
    sign = 1.0 if largest else -1.0
    P = len(start)
    k, matvecs = min(k, P), 0
    if isinstance(tol, float):
        tol = (tol,) * k
    room = min(P, max(BASIS, 3 * k + start.shape[1]))
    new = _orthonormal(start, start.mT[:0], generator)
    V = AV = new[:0]  # rows
    size, eps = 0, torch.finfo(start.dtype).eps
    T = np.zeros((room, room))
    while True:
        end = size + len(new)
        image = product(new.mT).mT
        image = image if largest else -image
        if size == 0:  # most calls need no more
            V, AV = new, image
        else:
            if end > len(V):
                more = start.new_empty(min(room - len(V), GROWTH), P)
                V, AV = torch.cat([V, more]), torch.cat([AV, more])
            V[size:end], AV[size:end] = new, image
        matvecs += end - size
        block = _small(AV[size:end] @ V[:end].mT)
        if not math.isfinite(block.sum()):
            raise NotFiniteError("objective: a product H v is not finite: the run has diverged")
        T[:end, size:end] = block.T
        T[size:end, :end] = block
        size = end
        theta, Y = np.linalg.eigh(T[:size, :size])  # of the lower triangle
        theta, Y = theta[::-1], Y.T[::-1]  # rows
        pairs = min(k + guard, size)
        X, R = _combine(Y[:pairs], V[:size]), _combine(Y[:pairs], AV[:size])
        R = R.addcmul_(X, _like(theta[:pairs, None], V), value=-1)
        residuals = torch.linalg.vector_norm(R, dim=1).tolist()
        theta = theta.tolist()
        scale = max(abs(theta[0]), abs(theta[min(k, size) - 1]))
        floor = 8 * eps * max(abs(theta[0]), abs(theta[-1]))
        tols = (tol(theta) if callable(tol) else tol)[:k]
        excess = [r - t * scale for r, t in zip(residuals, tols, strict=False)]
        stalled = size >= k and max(residuals[: len(tols)]) <= floor
        # A value that is 0 to rounding has no relative accuracy to reach.
        converged = (size >= k and max(excess) <= 0) or (stalled and scale <= floor)
        found = converged or stalled
        limit = max(tols[-1], GUARD_TOL) * scale + floor
        guarded = not guard or (pairs > k and residuals[k] <= limit)
        if found and guarded:
            break
        if matvecs >= max_matvecs or (size == P and pairs >= k):
            break
        if size == room:  # thick restart: the best half of the Ritz vectors carries on
            keep = max(k + 8, room // 2) if room > k + 8 else k
            V[:keep], AV[:keep] = _combine(Y[:keep], V), _combine(Y[:keep], AV)
            T[:] = 0
            np.fill_diagonal(T[:keep, :keep], theta[:keep])
            size = keep
        worst = pairs - 1 if found else excess.index(max(excess))
        new = _beside(R[worst : worst + 1], V[:size], generator)
    return EigenResult(
        values=torch.tensor([sign * a for a in theta[:k]], dtype=torch.float64),
        vectors=X[:k].mT,
        residuals=torch.tensor(residuals[:k], dtype=torch.float64),
        matvecs=matvecs,
        converged=converged,
    )


def _small(matrix: Tensor) -> np.ndarray:
    """A small matrix for numpy, whose calls cost less than torch's, in float64."""
    return matrix.detach().cpu().numpy().astype(np.float64)


def _like(small: np.ndarray, V: Tensor) -> Tensor:
    return torch.from_numpy(small.copy()).to(V)


def _combine(coefficients: np.ndarray, rows: Tensor) -> Tensor:
    return _like(coefficients, rows) @ rows


def random_vectors(like: Tensor, k: int, generator: torch.Generator | None) -> Tensor:
    """k Gaussian vectors (P, k) with the length, dtype and device of `like` (P, ...)."""
    v = torch.randn(len(like), k, generator=generator, dtype=torch.float64)
    return v.to(dtype=like.dtype, device=like.device)


def random_signs(like: Tensor, k: int, generator: torch.Generator | None) -> Tensor:
    """k vectors (P, k) of independent signs (Rademacher) with the length and dtype of `like`."""
    signs = torch.randint(2, (len(like), k), generator=generator, dtype=torch.int8)
    return (2 * signs - 1).to(dtype=like.dtype, device=like.device)


def _beside(r: Tensor, basis: Tensor, generator: torch.Generator | None) -> Tensor:
    """r (1, P) made orthogonal to the rows of `basis`, of unit length.

    A Ritz residual is orthogonal but for rounding, so that one pass is nearly always enough; where
    it took away more than half of r, the long way with its second pass.
    """
    before = torch.linalg.vector_norm(r)
    v = torch.addmm(r, r @ basis.mT, basis, alpha=-1)
    length = torch.linalg.vector_norm(v)
    if bool(length > 0.5 * before):
        return v / length
    return _orthonormal(r.mT, basis, generator)


def _orthonormal(start: Tensor, basis: Tensor, generator: torch.Generator | None) -> Tensor:
    """Orthonormal rows that span the columns of `start`, orthogonal to the rows of `basis`.

    A column that adds nothing to the basis is replaced by a random one.
    """
    start = start[:, : start.shape[0] - len(basis)]
    enough = torch.finfo(start.dtype).eps ** 0.5
    if len(basis) == 0:  # one QR is orthogonal to rounding
        Q, R = torch.linalg.qr(start)
        lengths = torch.linalg.vector_norm(R, dim=0).tolist()
        new = R.diagonal().tolist()
        if all(abs(a) > enough * b for a, b in zip(new, lengths, strict=True)):
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
