"""The derivatives of a multilayer perceptron in closed form, for a whole stack of them at once.

Everything is written over a leading axis of S networks of the same shape: weights W_l are
(S, out, in), activations h_l are (S, n, out). One network is a stack with S = 1; a block of k
vectors through one network's Hessian is the same network k times (broadcast, not copied).

    forward      z_l = h_{l-1} W_l' + b_l,   h_l = s(z_l),   h_0 = X,   f = z_L
    backward     d_L = grad_f c / n,   d_l = (d_{l+1} W_{l+1}) * s'(z_l)
                 dl/dW_l = d_l' h_{l-1},   dl/db_l = sum_i d_l
    R-operator   the directional derivative of both passes (Pearlmutter 1994) gives H v;
                 without the terms in d_l it gives the Gauss-Newton product G v
    Jacobians    J_{>L} = I,   J_{>l} = J_{>l+1} W_{l+1} diag s'(z_l),   J = J_{>1} W_1

(theory.md, P1.2). Autograd gives the same to rounding; the tests hold the two together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, leaky_relu

from kit.losses import NamedLoss

# activation -> s(z), s'(z) from z and h = s(z), and s''(z) (None where it is 0 almost everywhere)
Curve = tuple[
    Callable[[Tensor], Tensor],
    Callable[[Tensor, Tensor], Tensor],
    Callable[[Tensor, Tensor], Tensor] | None,
]


NARROW = 16  # outputs of a layer
CACHE = 2**17  # numbers


def _normal_pdf(z: Tensor) -> Tensor:
    return torch.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)


CURVES: dict[type[nn.Module], Curve] = {
    nn.ReLU: (torch.relu, lambda z, h: (z > 0).to(z.dtype), None),
    nn.LeakyReLU: (leaky_relu, lambda z, h: torch.where(z > 0, 1.0, z.new_tensor(0.01)), None),
    nn.Identity: (lambda z: z, lambda z, h: torch.ones_like(z), None),
    nn.Tanh: (torch.tanh, lambda z, h: 1 - h * h, lambda z, h: -2 * h * (1 - h * h)),
    nn.GELU: (
        gelu,
        lambda z, h: torch.special.ndtr(z) + z * _normal_pdf(z),
        lambda z, h: _normal_pdf(z) * (2 - z * z),
    ),
}


class Architecture:
    """Shape and activation of a multilayer perceptron, and where each block lies in theta."""

    def __init__(self, widths: tuple[int, ...], activation: type[nn.Module], bias: bool) -> None:
        self.widths, self.bias = widths, bias
        self.activation = activation
        self.curve = CURVES[activation]
        self.sizes = [
            size
            for fan_in, fan_out in pairwise(widths)
            for size in ((fan_out * fan_in, fan_out) if bias else (fan_out * fan_in,))
        ]
        self.parameters = sum(self.sizes)
        self.layers = len(widths) - 1
        self.slices = list(self._slices())  # of the weights and the bias, and the weights' shape

    def _slices(self) -> Iterator[tuple[slice, slice, tuple[int, int]]]:
        start = 0
        for fan_in, fan_out in pairwise(self.widths):
            middle = start + fan_out * fan_in
            end = middle + fan_out * self.bias
            yield slice(start, middle), slice(middle, end), (fan_out, fan_in)
            start = end

    def split(self, theta: Tensor) -> tuple[list[Tensor], list[Tensor | None]]:
        """Flat (S, P) -> weights (S, out, in) and biases (S, 1, out), as views."""
        blocks = iter(theta.split(self.sizes, dim=1))
        weights, biases = [], []
        for fan_in, fan_out in pairwise(self.widths):
            weights.append(next(blocks).unflatten(1, (fan_out, fan_in)))
            biases.append(next(blocks).unsqueeze(1) if self.bias else None)
        return weights, biases

    def join(self, weights: list[Tensor], biases: list[Tensor | None]) -> Tensor:
        """The inverse of `split`: blocks -> flat (S, P)."""
        blocks = []
        for weight, bias in zip(weights, biases, strict=True):
            blocks.append(weight.flatten(1))
            if bias is not None:
                blocks.append(bias.flatten(1))
        return torch.cat(blocks, dim=1)


def architecture(model: nn.Module) -> Architecture | None:
    """The architecture of a plain multilayer perceptron, or None for any other module.

    >>> from kit.models import mlp
    >>> architecture(mlp((2, 3, 1), activation="tanh")).widths
    (2, 3, 1)
    """
    if type(model) is not nn.Sequential or len(model) % 2 == 0:
        return None
    modules = list(model)
    linears, activations = modules[::2], modules[1::2]
    own = [p for linear in linears for p in linear.parameters(recurse=False)]
    kinds = {type(module) for module in activations} or {nn.Identity}
    plain = (
        all(type(linear) is nn.Linear for linear in linears)
        and len({linear.bias is None for linear in linears}) == 1
        and len({id(p) for p in own}) == len(own)  # no layer shares its weights
        and len(kinds) == 1
        and kinds <= CURVES.keys()
        and all(m.negative_slope == 0.01 for m in activations if type(m) is nn.LeakyReLU)
        and all(m.approximate == "none" for m in activations if type(m) is nn.GELU)
        and not any(m._forward_hooks or m._forward_pre_hooks for m in (model, *modules))
    )
    if not plain:
        return None
    widths = (linears[0].in_features, *(linear.out_features for linear in linears))
    return Architecture(widths, kinds.pop(), linears[0].bias is not None)


def forward(net: Architecture, parameters: list[Tensor], X: Tensor) -> Tensor:
    """f(x_i), (n, K), of one network from its parameter tensors."""
    blocks, h = iter([p.detach() for p in parameters]), X
    for layer in range(net.layers):
        if layer:
            h = net.curve[0](h)
        weight = next(blocks)
        h = torch.addmm(next(blocks), h, weight.mT) if net.bias else h @ weight.mT
    return h


def _affine(h: Tensor, weight: Tensor, shift: Tensor | None) -> Tensor:
    """h W' + shift, (S, n, out); `shift` is a bias (S, 1, out), or a full (S, n, out)."""
    if weight.shape[1] < NARROW:  # as its transpose: BLAS is slow on a long matrix of few columns
        if shift is None:
            return torch.bmm(weight, h.mT).mT
        return torch.baddbmm(shift.mT, weight, h.mT).mT
    if shift is None:
        return torch.bmm(h, weight.mT)
    return torch.baddbmm(shift, h, weight.mT)


class StackPoint:
    """A stack of networks evaluated at one theta: loss, gradient, H v, G v and Jacobians.

    theta (S, P), X (n, d) or (S, n, d). The forward pass runs at once; the backward pass when
    first asked for; both are kept, so that each product H v costs about two gradients' flops.
    """

    def __init__(self, net: Architecture, loss: NamedLoss, theta: Tensor, X: Tensor) -> None:
        self.net, self.loss, self.theta = net, loss, theta
        self.W, self.b = net.split(theta)
        s = net.curve[0]
        h = X if X.ndim == 3 else X.unsqueeze(0).expand(len(theta), *X.shape)
        self.h, self._z = [h], []
        for weight, bias in zip(self.W[:-1], self.b[:-1], strict=True):
            z = _affine(h, weight, bias)
            h = s(z)
            self.h.append(h)
            self._z.append(z)
        self.outputs = _affine(h, self.W[-1], self.b[-1])
        self.n = h.shape[1]
        self._delta: list[Tensor] | None = None

    @cached_property
    def slope(self) -> list[Tensor]:
        """s'(z_l), (S, n, width_l), for the hidden layers."""
        return [self.net.curve[1](z, h) for z, h in zip(self._z, self.h[1:], strict=True)]

    @cached_property
    def bend(self) -> list[Tensor] | None:
        """s''(z_l), (S, n, width_l); None where it is 0 almost everywhere."""
        if self.net.curve[2] is None:
            return None
        return [self.net.curve[2](z, h) for z, h in zip(self._z, self.h[1:], strict=True)]

    @cached_property
    def _bent(self) -> list[Tensor]:
        """e_l s''(z_l): what a change of z_l does to d_l by itself."""
        self.delta()
        return [e * s for e, s in zip(self._back, self.bend, strict=True)]

    def losses(self) -> Tensor:
        """Per-sample costs, (S, n)."""
        return self.loss.value(self.outputs)

    def delta(self) -> list[Tensor]:
        """d_l = dl/dz_l, (S, n, width_l), for l = 1..L; and keeps e_l = d_{l+1} W_{l+1}."""
        if self._delta is None:
            d = self.loss.gradient(self.outputs) / self.n
            deltas, self._back = [d], []
            for layer in range(self.net.layers - 1, 0, -1):
                e = torch.bmm(d, self.W[layer])
                d = e * self.slope[layer - 1]
                deltas.append(d)
                self._back.append(e)
            self._delta = deltas[::-1]
            self._back.reverse()
        return self._delta

    def gradient(self) -> Tensor:
        """grad l, (S, P)."""
        return self._outer(self.delta(), self.h)

    def _outer(self, delta: list[Tensor], h: list[Tensor]) -> Tensor:
        weights = [torch.bmm(d.mT, a) for d, a in zip(delta, h, strict=True)]
        biases = [d.sum(1) if self.net.bias else None for d in delta]
        return self.net.join(weights, biases)

    def product(self, v: Tensor, *, gauss_newton: bool = False) -> Tensor:
        """H v or G v for v (k, P): k = S, or any k with one network (S = 1)."""
        V, c = self.net.split(v)
        k = len(v)

        def wide(a: Tensor) -> Tensor:
            return a if a.shape[0] == k else a.expand(k, *a.shape[1:])

        Rz, Rh = [], [None]
        for layer in range(self.net.layers):
            r = _affine(wide(self.h[layer]), V[layer], c[layer])
            if Rh[-1] is not None:
                r = _affine(Rh[-1], wide(self.W[layer]), r)
            Rz.append(r)
            if layer < self.net.layers - 1:
                Rh.append(self.slope[layer] * r)
        Rd = self.loss.hessian_product(self.outputs, Rz[-1]) / self.n
        Rdelta = [Rd]
        delta = None if gauss_newton else self.delta()
        for layer in range(self.net.layers - 1, 0, -1):
            r = torch.bmm(Rd, wide(self.W[layer]))
            if delta is not None:
                r = torch.baddbmm(r, wide(delta[layer]), V[layer])
            Rd = r * self.slope[layer - 1]
            if delta is not None and self.bend is not None:
                Rd = torch.addcmul(Rd, self._bent[layer - 1], Rz[layer - 1])
            Rdelta.append(Rd)
        Rdelta.reverse()
        weights = []
        for layer in range(self.net.layers):
            w = torch.bmm(Rdelta[layer].mT, wide(self.h[layer]))
            if delta is not None and layer > 0:
                w = torch.baddbmm(w, wide(delta[layer]).mT, Rh[layer])
            weights.append(w)
        biases = [r.sum(1) if self.net.bias else None for r in Rdelta]
        return self.net.join(weights, biases)

    def jacobian_after_first(self, samples: slice = slice(None)) -> Tensor:
        """J_{>1}(x_i) = df/dz_1, (S, n, K, width_1); the identity for a linear model."""
        slopes = [slope[:, samples] for slope in self.slope]
        S, n, K = self.outputs[:, samples].shape
        J = torch.eye(K, dtype=self.theta.dtype, device=self.theta.device).expand(S, n, K, K)
        for layer in range(self.net.layers - 1, 0, -1):
            rows = J.reshape(S, n * K, -1) if layer < self.net.layers - 1 else None
            J = (
                self.W[layer].unsqueeze(1)
                if rows is None
                else torch.bmm(rows, self.W[layer]).unflatten(1, (n, K))
            ) * slopes[layer - 1].unsqueeze(2)
        return J

    def input_output_jacobian(self, samples: slice = slice(None)) -> Tensor:
        """J(x_i) = df/dx, (S, n, K, d)."""
        J = self.jacobian_after_first(samples)
        S, n, K, width = J.shape
        return torch.bmm(J.reshape(S, n * K, width), self.W[0]).unflatten(1, (n, K))

    def jacobian_gram(self) -> Tensor:
        """J J' = J_{>1} (W_1 W_1') J_{>1}', (S, n, K, K): without J, where d is the larger side.

        A few samples at a time, so that what is multiplied stays in the processor's cache.
        """
        S, n, K = self.outputs.shape
        d, width = self.net.widths[:2]
        WW = torch.bmm(self.W[0], self.W[0].mT) if d > width else None
        step = max(1, CACHE // (S * K * max(self.net.widths[1:])))
        grams = []
        for start in range(0, n, step):
            samples = slice(start, start + step)
            if WW is None:
                J = self.input_output_jacobian(samples)
                grams.append(torch.matmul(J, J.mT))
            else:
                J = self.jacobian_after_first(samples)
                JW = torch.bmm(J.flatten(1, 2), WW).view(J.shape)
                grams.append(torch.matmul(JW, J.mT))
        return torch.cat(grams, dim=1)
