"""The closed forms of `kit.stack` for one network so small that calls cost more than arithmetic.

The same passes in the same names, with NumPy's arrays, whose calls cost a third of a tensor's. One
theta (P,), samples (n, d), and blocks of k vectors (k, P) through H or G.

>>> from kit.models import mlp
>>> from kit.stack import architecture
>>> net, X = architecture(mlp((2, 3, 1), activation="tanh")), torch.ones(4, 2)
>>> point = SmallPoint(net, NamedLoss("mse", torch.zeros(4, 1)), torch.ones(13), X)
>>> point.outputs.shape, point.product(np.ones((5, 13), np.float32)).shape
((4, 1), (5, 13))
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from kit.losses import NamedLoss
from kit.stack import Architecture

LARGEST = 2**18  # multiplications in one matrix product; a larger one is worth a second thread
Array = np.ndarray
quietly = np.errstate(over="ignore", invalid="ignore", divide="ignore")  # what diverged is found

# activation -> s(z), s' and s'' from h = s(z); None where s'' is 0 almost everywhere
CURVES: dict[type[nn.Module], tuple[Callable, Callable, Callable | None]] = {
    nn.ReLU: (lambda z: np.maximum(z, 0), lambda h: (h > 0).astype(h.dtype), None),
    nn.LeakyReLU: (
        lambda z: np.where(z > 0, z, z.dtype.type(0.01) * z),
        lambda h: np.where(h > 0, h.dtype.type(1), h.dtype.type(0.01)),
        None,
    ),
    nn.Identity: (lambda z: z, np.ones_like, None),
    nn.Tanh: (np.tanh, lambda h: 1 - h * h, lambda h: -2 * h * (1 - h * h)),
}


def is_small(net: Architecture, X: Tensor) -> bool:
    """Whether a network on these samples is one for `SmallPoint`."""
    products = len(X) * max(a * b for a, b in pairwise(net.widths))
    known = X.dtype in (torch.float32, torch.float64) and X.device.type == "cpu"
    return net.activation in CURVES and products <= LARGEST and known


class SmallPoint:
    """One small network evaluated at one theta: outputs, costs, gradient, H v and G v.

    The formulas are those at the top of `kit.stack`.
    """

    @quietly
    def __init__(self, net: Architecture, loss: NamedLoss, theta: Tensor, X: Tensor) -> None:
        self.net, self.loss_name, self.targets = net, loss.name, loss.targets.numpy()
        self.n = len(X)
        self.curve = CURVES[net.activation]
        flat = theta.numpy()
        self.W = [flat[w].reshape(shape) for w, _, shape in self.net.slices]
        self.b = [flat[b] for _, b, _ in self.net.slices]
        h = X.numpy()
        self.h = [h]
        for weight, bias in zip(self.W[:-1], self.b[:-1], strict=True):
            h = self.curve[0](h @ weight.T + bias if net.bias else h @ weight.T)
            self.h.append(h)
        self.outputs = h @ self.W[-1].T
        if net.bias:
            self.outputs += self.b[-1]

    @cached_property
    def _softmax(self) -> Array:
        e = np.exp(self.outputs - self.outputs.max(1, keepdims=True))
        return e / e.sum(1, keepdims=True)

    @cached_property
    def slope(self) -> list[Array]:
        """s'(z_l), (n, width_l), for the hidden layers."""
        return [self.curve[1](h) for h in self.h[1:]]

    @quietly
    def losses(self) -> Array:
        """Per-sample costs, (n,)."""
        f, q = self.outputs, self.targets
        if self.loss_name == "mse":
            return 0.5 * np.square(f - q).sum(1)
        f = f - f.max(1, keepdims=True)  # first: a small cost keeps its digits
        return np.log(np.exp(f).sum(1)) - (q * f).sum(1)

    @cached_property
    def _backward(self) -> tuple[list[Array], list[Array]]:
        """d_l = dl/dz_l, (n, width_l), for l = 1..L, and e_l = d_{l+1} W_{l+1}."""
        f = self.outputs if self.loss_name == "mse" else self._softmax
        d = (f - self.targets) / self.n
        deltas, back = [d], []
        for layer in range(self.net.layers - 1, 0, -1):
            e = d @ self.W[layer]
            d = e * self.slope[layer - 1]
            deltas.append(d)
            back.append(e)
        return deltas[::-1], back[::-1]

    @cached_property
    def _bent(self) -> list[Array] | None:
        """e_l s''(z_l): what a change of z_l does to d_l by itself."""
        if self.curve[2] is None:
            return None
        return [e * self.curve[2](h) for e, h in zip(self._backward[1], self.h[1:], strict=True)]

    @quietly
    def gradient(self) -> Array:
        """grad l, (P,)."""
        g = np.empty(self.net.parameters, self.outputs.dtype)
        for (w, b, shape), d, h in zip(self.net.slices, self._backward[0], self.h, strict=True):
            np.matmul(d.T, h, out=g[w].reshape(shape))
            if self.net.bias:
                d.sum(0, out=g[b])
        return g

    @quietly
    def product(self, v: Array, *, gauss_newton: bool = False) -> Array:
        """H v or G v for v (k, P)."""
        k, blocks = len(v), self.net.slices
        V = [v[:, w].reshape(k, *shape) for w, _, shape in blocks]
        Rz, Rh = [], [None]
        for layer, (_, b, _) in enumerate(blocks):
            r = self.h[layer] @ V[layer].mT
            if self.net.bias:
                r += v[:, None, b]
            if layer:
                r += Rh[layer] @ self.W[layer].T
            Rz.append(r)
            if layer < self.net.layers - 1:
                Rh.append(self.slope[layer] * r)
        Rd = self._cost_hessian(Rz[-1]) / self.n
        deltas = None if gauss_newton else self._backward[0]
        bent = None if gauss_newton else self._bent
        out = np.empty_like(v)
        for layer in range(self.net.layers - 1, -1, -1):
            w, b, shape = blocks[layer]
            weights = out[:, w].reshape(k, *shape)  # a view
            np.matmul(Rd.mT, self.h[layer], out=weights)
            if self.net.bias:
                Rd.sum(1, out=out[:, b])
            if layer == 0:
                return out
            r = Rd @ self.W[layer]
            if deltas is not None:
                weights += deltas[layer].T @ Rh[layer]
                r += deltas[layer] @ V[layer]
            r *= self.slope[layer - 1]
            if bent is not None:
                r += bent[layer - 1] * Rz[layer - 1]
            Rd = r

    def _cost_hessian(self, u: Array) -> Array:
        """(grad_f^2 c) u, (k, n, K)."""
        if self.loss_name == "mse":
            return u
        p = self._softmax
        return p * (u - (p * u).sum(2, keepdims=True))
