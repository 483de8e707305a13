"""An objective at one set of parameters: in closed form where that is known, else by autograd.

What was computed for one theta (activations, or autograd's graph of the gradient) is kept, so that
products with H or G cost one to two gradients each.

>>> from kit.models import mlp
>>> from kit.objective import Objective
>>> point = Objective(mlp((2, 3, 1)), torch.eye(2), torch.zeros(2, 1), loss="mse").point()
>>> type(point).__name__, point.gradient().shape
('ClosedFormPoint', torch.Size([13]))
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor, from_numpy
from torch.func import functional_call

from kit.determinism import buffer_copies
from kit.small import SmallPoint, is_small
from kit.stack import StackPoint

if TYPE_CHECKING:
    from kit.objective import Objective

BLOCK = 2**19  # activations of a layer in one product


class Point:
    """An objective at one theta. Subclasses say how derivatives are taken."""

    outputs: Tensor

    def __init__(self, objective: Objective, theta: Tensor) -> None:
        self.objective, self.theta = objective, theta
        self._gradient: Tensor | None = None

    def is_at(self, theta: Tensor) -> bool:
        """Whether the parameters still are those of this point: compared by value, since
        `p.data` can change without a new version number."""
        return torch.equal(self.theta, theta)

    def value(self) -> float:
        return float(self.losses().mean())

    def losses(self) -> Tensor:
        raise NotImplementedError

    def gradient(self) -> Tensor:
        raise NotImplementedError

    def hvp(self, v: Tensor) -> Tensor:
        raise NotImplementedError

    def ggnvp(self, v: Tensor) -> Tensor:
        raise NotImplementedError


class ClosedFormPoint(Point):
    """A multilayer perceptron, by the closed forms of `kit.stack`, or of `kit.small`."""

    def __init__(self, objective: Objective, theta: Tensor) -> None:
        super().__init__(objective, theta)
        self.net = objective._architecture
        self._parts = self.net, objective.named_loss, theta, objective.X
        small = is_small(self.net, objective.X)
        self._small = SmallPoint(*self._parts) if small else None
        self.outputs = from_numpy(self._small.outputs) if small else self.stack.outputs[0]
        self._losses: Tensor | None = None

    @cached_property
    def stack(self) -> StackPoint:
        """The network as a stack of one."""
        net, loss, theta, X = self._parts
        return StackPoint(net, loss, theta.unsqueeze(0), X)

    def activations(self) -> list[Tensor]:
        """h_0 = X to h_{L-1}, (n, width_l) each."""
        if self._small is not None:
            return [from_numpy(h) for h in self._small.h]
        return [h[0] for h in self.stack.h]

    def losses(self) -> Tensor:
        if self._losses is None:
            small = self._small
            self._losses = self.stack.losses()[0] if small is None else from_numpy(small.losses())
        return self._losses

    def gradient(self) -> Tensor:
        if self._gradient is None:
            small = self._small
            g = self.stack.gradient()[0] if small is None else from_numpy(small.gradient())
            self._gradient = g
        return self._gradient

    def hvp(self, v: Tensor) -> Tensor:
        return self._product(v.mT.contiguous(), gauss_newton=False).mT

    def ggnvp(self, v: Tensor) -> Tensor:
        return self._product(v.mT.contiguous(), gauss_newton=True).mT

    def _product(self, v: Tensor, *, gauss_newton: bool) -> Tensor:
        if self._small is None:
            # A few vectors at a time, whose activations stay in the processor's cache.
            few = max(1, BLOCK // (len(self.outputs) * max(self.net.widths[1:])))
            blocks = [self.stack.product(b, gauss_newton=gauss_newton) for b in v.split(few)]
            return blocks[0] if len(blocks) == 1 else torch.cat(blocks)
        return from_numpy(self._small.product(v.numpy(), gauss_newton=gauss_newton))


class AutogradPoint(Point):
    """Any module, by backward passes through graphs that are kept."""

    def __init__(self, objective: Objective, theta: Tensor) -> None:
        super().__init__(objective, theta)
        model = objective.model
        self._buffers = [buffer.detach().clone() for buffer in objective.buffers()]
        names = [name for name, _ in model.named_parameters()]
        # Copies: the caller's parameters may be frozen, and may change in place under the graph.
        shapes = [p.shape for p in model.parameters()]
        parts = theta.split([shape.numel() for shape in shapes])
        self._leaves = [
            t.view(shape).clone().requires_grad_() for t, shape in zip(parts, shapes, strict=True)
        ]
        with torch.enable_grad():
            tensors = dict(zip(names, self._leaves, strict=True)) | buffer_copies(model)
            self._outputs = functional_call(model, tensors, (objective.X,))
            self._losses = self._per_sample(self._outputs)
        self.outputs = self._outputs.detach()
        self._graph: Tensor | None = None
        self._vjp: tuple[Tensor, Tensor] | None = None

    def is_at(self, theta: Tensor) -> bool:
        """The same parameters, and the same buffers."""
        buffers = zip(self._buffers, self.objective.buffers(), strict=False)
        return super().is_at(theta) and all(torch.equal(a, b) for a, b in buffers)

    def _per_sample(self, outputs: Tensor) -> Tensor:
        objective = self.objective
        if objective.named_loss is not None:
            return objective.named_loss.value(outputs)
        losses = objective.loss(outputs, objective.y)
        if not isinstance(losses, Tensor) or losses.shape != (objective.n,):
            got = tuple(losses.shape) if isinstance(losses, Tensor) else type(losses).__name__
            raise ValueError(f"loss: returned {got}; takes one cost a sample, ({objective.n},)")
        return losses

    def losses(self) -> Tensor:
        return self._losses.detach()

    def _grad(self, of: Tensor, along: Tensor | None = None, *, graph: bool = False) -> Tensor:
        """grad of <of, along> in the parameters, flat; zero where `of` does not depend on them."""
        if not of.requires_grad:
            return torch.zeros_like(self.theta)
        grads = torch.autograd.grad(
            of, self._leaves, along, retain_graph=True, create_graph=graph, materialize_grads=True
        )
        return torch.cat([g.flatten() for g in grads])

    def gradient(self) -> Tensor:
        if self._graph is None:
            with torch.enable_grad():
                self._graph = self._grad(self._losses.mean(), graph=True)
        return self._graph.detach()

    def hvp(self, v: Tensor) -> Tensor:
        self.gradient()
        return torch.stack([self._grad(self._graph, column) for column in v.mT], dim=1)

    def ggnvp(self, v: Tensor) -> Tensor:
        return torch.stack([self._ggnvp(column) for column in v.mT], dim=1)

    def _ggnvp(self, v: Tensor) -> Tensor:
        return self._grad(self._outputs, self._cost_hessian(self.jvp(v)))

    def jvp(self, v: Tensor) -> Tensor:
        """D_theta F v, (n, K): a backward pass through the vector-Jacobian product u -> u' DF."""
        if self._vjp is None:
            u = torch.zeros_like(self.outputs, requires_grad=True)
            with torch.enable_grad():
                self._vjp = u, self._grad(self._outputs, u, graph=True)
        u, vjp = self._vjp
        if not vjp.requires_grad:
            return torch.zeros_like(self.outputs)
        return torch.autograd.grad(vjp, u, v, retain_graph=True)[0]

    def _cost_hessian(self, u: Tensor) -> Tensor:
        """(1/n) (grad_f^2 c) u, (n, K)."""
        named = self.objective.named_loss
        if named is not None:
            return named.hessian_product(self.outputs, u) / self.objective.n
        f = self.outputs.clone().requires_grad_()
        with torch.enable_grad():
            mean = self._per_sample(f).mean()
            if not mean.requires_grad:
                return torch.zeros_like(u)
            slope = torch.autograd.grad(mean, f, create_graph=True)[0]
        if not slope.requires_grad:
            return torch.zeros_like(u)
        return torch.autograd.grad(slope, f, u, materialize_grads=True)[0]
