"""The optimisers' steps on a flat parameter vector, in the conventions of `torch.optim`.

    SGD       v = beta v + (g + mu theta),   theta -= eta v
    Nesterov  the same v,                    theta -= eta (g + mu theta + beta v)
    Adam      m = b1 m + (1 - b1) g,  s = b2 s + (1 - b2) g^2,
              theta -= eta m / (1 - b1^t) / (sqrt(s / (1 - b2^t)) + eps)

Written out, in the same order of operations as `torch.optim` (the tests hold them to the last
bit), because importing torch's optimisers at the first step loads a compiler: 1.5 s and 90 MB
of every page's kernel.

>>> step, theta = SGD(), torch.tensor([1.0])
>>> for _ in range(2):
...     theta = step(theta, 2 * theta, lr=0.1, momentum=0.5, weight_decay=0.0)
>>> theta
tensor([0.5400])
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


class SGD:
    """Gradient descent with momentum, dampening 0; `velocity` is None before a step with any."""

    def __init__(self, *, nesterov: bool = False) -> None:
        self.nesterov = nesterov
        self.velocity: Tensor | None = None

    def __call__(
        self, theta: Tensor, g: Tensor, *, lr: float, momentum: float, weight_decay: float
    ) -> Tensor:
        """The parameters after one step; theta and g (P,) are left alone."""
        if weight_decay:
            g = g.add(theta, alpha=weight_decay)
        if momentum:
            if self.velocity is None:
                self.velocity = g.clone()
            else:
                self.velocity = self.velocity.mul(momentum).add_(g)
            g = g.add(self.velocity, alpha=momentum) if self.nesterov else self.velocity
        else:
            self.velocity = None
        return theta.add(g, alpha=-lr)

    def rescale(self, factors: Tensor) -> None:
        """Parameters were multiplied by `factors` (P,): a velocity divides, as a gradient does."""
        if self.velocity is not None:
            self.velocity = self.velocity / factors


class Adam:
    """Adam with bias correction and coupled weight decay; `moments` is None before a step."""

    betas = (0.9, 0.999)
    eps = 1e-8

    def __init__(self) -> None:
        self.moments: tuple[Tensor, Tensor] | None = None
        self.t = 0

    def __call__(
        self, theta: Tensor, g: Tensor, *, lr: float, momentum: float, weight_decay: float
    ) -> Tensor:
        """The parameters after one step; `momentum` is Adam's own, and ignored."""
        if weight_decay:
            g = g.add(theta, alpha=weight_decay)
        b1, b2 = self.betas
        zero = torch.zeros_like(g)
        m, s = self.moments or (zero, zero)
        m, s = m.lerp(g, 1 - b1), s.mul(b2).addcmul_(g, g, value=1 - b2)
        self.moments, self.t = (m, s), self.t + 1
        root = (s.sqrt() / math.sqrt(1 - b2**self.t)).add_(self.eps)
        return theta.addcdiv(m, root, value=-lr / (1 - b1**self.t))

    def rescale(self, factors: Tensor) -> None:
        """The moments of squares mix what a rescale tells apart: they start anew."""
        self.moments, self.t = None, 0

    def preconditioner(self) -> Tensor | None:
        """Q in theta -= eta Q^{-1} m: (1 - b1^t) (sqrt(s / (1 - b2^t)) + eps), (P,)."""
        if self.moments is None:
            return None
        b1, b2 = self.betas
        root = (self.moments[1] / (1 - b2**self.t)).sqrt()
        return (1 - b1**self.t) * (root + self.eps)
