"""The sharpness of every network of a stack, followed along their training side by side.

Each measurement is Lanczos' method for all networks in step, started from v(t-1) + 0.7 v(t-2), the
leading vectors of the last two measurements: at the edge of stability the parameters swing with
period two, so the older one helps. Products go on until the residual of every network is within
tolerance, or for `MOST` of them. Every 50th measurement also starts from random vectors; each Ritz
value is a lower bound, so the larger is kept. `kit.tracking` does the same for a single network of
any kind.

>>> from kit.losses import NamedLoss
>>> from kit.stack import Architecture, StackPoint
>>> net = Architecture((1, 1), torch.nn.Identity, bias=False)  # H = mean x^2
>>> X = torch.tensor([[1.0], [3.0]])
>>> point = StackPoint(net, NamedLoss("mse", torch.zeros(2, 1)), torch.ones(4, 1), X)
>>> StackTracker(seed=0).measure(point)[0]
tensor([5., 5., 5., 5.])
"""

from __future__ import annotations

import torch
from torch import Tensor

from kit.stack import StackPoint

COLD_EVERY = 50
COLD_TOL, WARM_TOL = 1e-3, 1e-2
COLD_MOST, WARM_MOST = 40, 8
LEAST = 2
OLDER = 0.7


class StackTracker:
    """Follows the largest Hessian eigenvalue of each network of a stack.

    Cost: 2 to 8 products of the whole stack for a typical measurement, about 15 more for a cold
    one. Accuracy along runs at the edge: tests/test_stack_tracking.py.
    """

    def __init__(self, *, seed: int = 0) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self._last: Tensor | None = None
        self._before: Tensor | None = None
        self._count = 0
        self.matvecs = 0  # products of the whole stack in the last measurement

    def measure(self, point: StackPoint) -> tuple[Tensor, Tensor]:
        """lambda_max(H) and its residual ||H v - lambda v||, (S,) each; NaN where diverged."""
        self.matvecs = 0
        theta = point.theta
        warm = self._last
        if warm is not None and self._before is not None:
            along = (self._before * warm).sum(1, keepdim=True).sign()
            warm = warm + OLDER * along * self._before
        results = []
        if warm is not None:
            results.append(self._lanczos(point, warm, WARM_MOST, WARM_TOL))
        if warm is None or self._count % COLD_EVERY == 0:
            start = torch.randn(theta.shape, generator=self._generator, dtype=theta.dtype)
            results.append(self._lanczos(point, start, COLD_MOST, COLD_TOL))
        self._count += 1
        value, vector, residual = results[0]
        for other_value, other_vector, other_residual in results[1:]:
            better = other_value > value
            value = torch.where(better, other_value, value)
            residual = torch.where(better, other_residual, residual)
            vector = torch.where(better.unsqueeze(1), other_vector, vector)
        self._before, self._last = self._last, vector
        return value, residual

    @property
    def vectors(self) -> Tensor | None:
        """The unit Ritz vectors of the last measurement, (S, P)."""
        return self._last

    def _lanczos(
        self, point: StackPoint, start: Tensor, most: int, tol: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        S, P = start.shape
        most = min(most, P)
        V = start.new_zeros(S, most, P)
        T = start.new_zeros(S, most, most)
        tiny, eps = torch.finfo(start.dtype).tiny, torch.finfo(start.dtype).eps
        alive = torch.ones(S, dtype=torch.bool, device=start.device)
        v = start / start.norm(dim=1, keepdim=True).clamp(min=tiny)
        for j in range(most):
            V[:, j] = v
            w = point.product(v)
            self.matvecs += 1
            basis = V[:, : j + 1]
            for sweep in range(2):
                # Sums of products: a batched matrix product is slow on a few vectors.
                overlap = (basis * w.unsqueeze(1)).sum(2)
                if sweep == 0:
                    T[:, j, : j + 1] = T[:, : j + 1, j] = overlap
                    # Of a network whose space is used up: no new eigenvalue, and none above it.
                    T[:, j, j] = torch.where(alive, T[:, j, j], T[:, 0, 0])
                w = w - (basis * overlap.unsqueeze(2)).sum(1)
            length = w.norm(dim=1)
            scale = T[:, : j + 1, : j + 1].abs().amax((1, 2))
            alive = alive & ~(length <= P**0.5 * eps * scale)
            last = j + 1 == most
            if j + 1 >= LEAST or last:
                small = T[:, : j + 1, : j + 1]
                finite = torch.isfinite(small).all(2).all(1) & torch.isfinite(length)
                values, Y = torch.linalg.eigh(torch.where(finite[:, None, None], small, 0.0))
                value, y = values[:, -1], Y[:, :, -1]
                residual = torch.where(alive, length * y[:, -1].abs(), 0.0)
                done = (residual <= tol * value.abs()) | ~finite
                if last or bool(done.all()):
                    break
            v = torch.where(alive, 1 / length.clamp(min=tiny), 0.0).unsqueeze(1) * w
        vector = (basis * y.unsqueeze(2)).sum(1)
        vector = torch.where(finite.unsqueeze(1), vector, start)
        nan = value.new_full((), torch.nan)
        return torch.where(finite, value, nan), vector, torch.where(finite, residual, nan)
