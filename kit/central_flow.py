"""The path of descent at the edge without its swinging: a central flow.

At the edge theta swings about a smooth path. Averaged over the swings, whose covariance is Sigma,
the mean gradient is that of  l + 1/2 <H, Sigma>, so the smooth path follows

    d theta / dt = -(grad l + 1/2 grad <H, Sigma>),    lambda_max(H) <= 2 / eta,

where Sigma is the least that keeps sharpness there: it lives on the eigenvectors at 2 / eta and is
zero below. The mean loss that it predicts is  l + 1/2 <H, Sigma>.

>>> from kit.models import mlp
>>> model = mlp((1, 1, 1), bias=False).double()
>>> for p, value in zip(model.parameters(), (0.3, 2.0)):
...     _ = torch.nn.init.constant_(p, value)
>>> flow = CentralFlow(Objective(model, [[1.0]], [[2.0]], loss="mse"), lr=0.4)
>>> flow.advance(40)
>>> [round(float(theta), 3) for theta in flow.theta], round(flow.values[0], 2)
([1.0, 2.0], 5.0)

Gradient flow ends at (0.92, 2.18) there, where sharpness is 5.59; this one goes on along the
minima to where it is 2 / eta = 5. Source: Cohen, Damian, Talwalkar, Kolter and Lee, arXiv
2410.24206; steps of half a step of descent, and the third derivative as a difference, are ours.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from kit.checks import check_int, check_number
from kit.curvature import eigenvalues
from kit.objective import Objective

PER_STEP = 2  # parts of a step of descent: in a direction at 2/eta each multiplies g by 0
NEAR = 0.05  # an eigenvalue this near below 2/eta, relatively, may be held there
SPREAD = 1e-2  # parameters' distance over which the Hessian's change is taken
TOL, MOST = 1e-3, 12  # of the eigenvalues, and how many can be held at the edge
UNHELD = "no swing that is small brings sharpness to 2/eta: the third derivative is too small"


class CentralFlow:
    """The smoothed path of full-batch descent from an objective's present parameters.

    `theta` (P,) moves with `advance`, and the model with it. Where the last half step began,
    `values` are the eigenvalues near the edge and the next one below, largest first, and `swing` is
    1/2 <H, Sigma>, by how much the swings raise the mean loss. Cost: a few products with H a step
    below the edge; with m eigenvalues at it some 10 + 4 m^2 products, twice a step. Raises
    RuntimeError for more than 11 there, and where no small swing can hold them.
    """

    def __init__(self, objective: Objective, lr: float) -> None:
        self.objective, self.lr = objective, check_number("lr", lr, above=0)
        self.theta = objective.flat_parameters()
        self.values: list[float] = []
        self.swing = 0.0
        self._start: Tensor | None = None

    def loss(self) -> float:
        """The mean loss of descent, as predicted: l + 1/2 <H, Sigma>."""
        return self.objective.value() + self.swing

    def sharpness(self) -> float:
        """The largest eigenvalue of H at theta."""
        self._at_the_edge()
        return self.values[0]

    def advance(self, steps: int) -> None:
        """Follow the path for as long as `steps` steps of descent take."""
        for _ in range(PER_STEP * check_int("steps", steps, low=0)):
            self._advance(self.lr / PER_STEP)

    def _advance(self, time: float) -> None:
        g = self.objective.point().gradient()
        drift = -g
        U, H = self._at_the_edge()
        self.swing = 0.0
        if U.shape[1]:
            m, T = U.shape[1], self._third(U)
            flat = T.reshape(m * m, -1)
            # H on the eigenvectors a time later is H - time (<T, g> + 1/2 <T, T> Sigma).
            room = 2 / self.lr * np.eye(m) - H + time * _numbers(flat @ g).reshape(m, m)
            gram = 0.5 * time * _numbers(flat @ flat.mT)
            Sigma = least_covariance(room, gram)
            if np.trace(Sigma) > 1 + float(self.theta @ self.theta):
                raise RuntimeError(UNHELD)
            self.swing = 0.5 * float((H * Sigma).sum())
            drift = drift - 0.5 * (torch.from_numpy(Sigma.reshape(-1)).to(flat) @ flat)
        self.theta = self.theta + time * drift
        self.objective.write(self.theta)

    def _at_the_edge(self) -> tuple[Tensor, np.ndarray]:
        """Eigenvectors U (P, m) at the edge, and U' H U (m, m)."""
        edge = (1 - NEAR) * 2 / self.lr
        k = max(1, len(self.values))
        while True:
            top = eigenvalues(self.objective, k, tol=TOL, start=self._start)
            self.values = [float(value) for value in top.values]
            self._start = top.vectors
            m = sum(value > edge for value in self.values)
            if m < k or k == self.objective.parameters:
                break
            if k == MOST:
                raise RuntimeError(f"advance: {k} eigenvalues at 2/eta; takes fewer: a smaller lr")
            k += 1
        self.values = self.values[: m + 1]
        U = top.vectors[:, :m]
        H = _numbers(U.mT @ self.objective.point().hvp(U)) if m else np.zeros((0, 0))
        return U, 0.5 * (H + H.T)

    def _third(self, U: Tensor) -> Tensor:
        """The gradient of u_i' H u_j for each pair of columns, (m, m, P)."""
        at, rows = self.objective.at, []
        for u in SPREAD * U.mT:
            change = at(self.theta + u).hvp(U) - at(self.theta - u).hvp(U)
            rows.append(change.mT / (2 * SPREAD))
        T = torch.stack(rows)
        return 0.5 * (T + T.transpose(0, 1))


def least_covariance(room: np.ndarray, gram: np.ndarray) -> np.ndarray:
    """Sigma >= 0 with room + gram Sigma >= 0 and no more than that needs, (m, m).

    >>> least_covariance(np.array([[-1.0]]), np.array([[2.0]]))
    array([[0.5]])
    >>> least_covariance(np.array([[1.0]]), np.array([[2.0]]))
    array([[0.]])

    Both inequalities as matrices, and <Sigma, room + gram Sigma> = 0: the minimum of
    <room, Sigma> + 1/2 <Sigma, gram Sigma> over Sigma >= 0, by accelerated projected descent.
    gram (m^2, m^2) acts on Sigma row by row. RuntimeError where no Sigma will do: for a linear
    model, whose Hessian nothing changes.
    """
    X = Y = np.zeros_like(room)
    t, size = 1.0, np.linalg.norm(gram, 2)
    step = 1 / size if size else 0.0
    for _ in range(5000):
        slope = room + (gram @ Y.reshape(-1)).reshape(room.shape)
        values, vectors = np.linalg.eigh(Y - step * slope)
        new = (vectors * np.maximum(values, 0)) @ vectors.T
        if np.abs(new - X).max() <= 1e-10 * (1e-12 + np.abs(new).max()):
            X = new
            break
        if ((Y - new) * (new - X)).sum() > 0:  # the momentum points uphill: start it anew
            t = 1.0
        later = (1 + math.sqrt(1 + 4 * t * t)) / 2
        X, Y, t = new, new + (t - 1) / later * (new - X), later
    slack = room + (gram @ X.reshape(-1)).reshape(room.shape)
    if np.linalg.eigvalsh(slack)[0] < -1e-2 * np.abs(room).max():
        raise RuntimeError(UNHELD)
    return X


def _numbers(values: Tensor) -> np.ndarray:
    return values.double().numpy()
