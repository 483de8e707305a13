"""The mean loss over (X, y) as a function of the flat parameters, with H v and G v.

>>> from kit.models import mlp
>>> model = mlp((2, 8, 3), seed=0)
>>> X, y = torch.randn(20, 2, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 3
>>> objective = Objective(model, X, y)
>>> v = torch.ones(objective.parameters)
>>> objective.hvp(v).shape == objective.gradient().shape == v.shape
True

An objective is a live view of its model: each call evaluates at the model's present parameters.
What was computed for one set of parameters (activations, or autograd's graph of the gradient) is
kept and used again until a parameter or a buffer changes. A plain multilayer perceptron is
differentiated in closed form (`kit.stack`); any other module by autograd, twice backward through
a kept graph.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call

from kit.checks import check_number, check_one_of
from kit.determinism import buffer_copies, require_deterministic, training_modes
from kit.losses import LOSSES, NamedLoss, one_hot
from kit.points import AutogradPoint, ClosedFormPoint, Point
from kit.stack import StackPoint, architecture, forward

Loss = str | Callable[[Tensor, Tensor], Tensor]


class Objective:
    """l(theta) = (1/n) sum_i c(f_theta(x_i), y_i), at the model's present parameters.

    >>> from kit.models import mlp
    >>> Objective(mlp((1, 1), seed=0), [[0.0]], [[1.0]], loss="mse").value() >= 0
    True

    X: (n, ...) features; y: (n,) integer labels or (n, K) float targets. `loss` is
    "cross_entropy", with optional `label_smoothing` in [0, 1); "mse", one half of the squared
    error summed over the K outputs, mean over samples (torch's `MSELoss` times K/2), labels
    one-hot; or a callable `loss(outputs, targets) -> (n,)`, twice differentiable in the outputs.
    X and float y are cast to the model's dtype and device. Vectors are flat, in the order of
    `model.parameters()`. The model, its mode, its gradients and torch's random state are left
    alone. Raises ValueError or TypeError for wrong shapes, NaN, an unknown loss, and for a module
    whose output is random or depends on the batch. Source: theory.md, 0.2.
    """

    def __init__(
        self,
        model: nn.Module,
        X: Tensor,
        y: Tensor,
        *,
        loss: Loss = "cross_entropy",
        label_smoothing: float = 0.0,
        closed_form: bool = True,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(f"model: got {type(model).__name__}; takes a torch.nn.Module")
        if not callable(loss):
            check_one_of("loss", loss, LOSSES)
        label_smoothing = check_number("label_smoothing", label_smoothing, low=0, below=1)
        if label_smoothing and loss != "cross_entropy":
            raise ValueError(
                f"label_smoothing: got {label_smoothing}; takes 0 with loss={loss!r}, "
                "since smoothing is defined for cross_entropy only"
            )
        self.model, self.loss, self.label_smoothing = model, loss, label_smoothing
        self._modules = list(model.modules())
        self._children = _children(self._modules)
        self._modes = training_modes(self._modules)
        parameters = self.tensors()
        if not parameters:
            raise ValueError("model: has no parameters; takes a module with at least one")
        reference = parameters[0]
        # Copies: a change of the caller's arrays must not meet a kept graph.
        self.X = as_features(X, reference).clone()
        outputs = require_deterministic(model, self.X)
        self.K = outputs.shape[1]
        self.y = _targets(y, self.X, self.K, reference, loss).clone()
        self.n, self.parameters = len(self.X), sum(p.numel() for p in parameters)
        self.named_loss: NamedLoss | None = None
        if not callable(loss):
            targets = self.y
            if not targets.is_floating_point():
                targets = one_hot(targets, self.K, label_smoothing, reference.dtype)
            elif label_smoothing:
                targets = (1 - label_smoothing) * targets + label_smoothing / self.K
            self.named_loss = NamedLoss(loss, targets)
        # What the loss compares outputs with: (n, K) for a named loss, y for a callable.
        self.targets = self.y if self.named_loss is None else self.named_loss.targets
        use = closed_form and self.named_loss is not None and self.X.ndim == 2
        self._architecture = architecture(model) if use else None
        self._point: Point | None = None
        self._held: Point | None = None
        self._flat: Tensor | None = None  # what the parameters are views of, once tied
        self._addresses: list[int] = []

    @contextmanager
    def held(self) -> Iterator[Point]:
        """Within it, the parameters are taken not to change: no comparison at every call."""
        before, self._held = self._held, self.point()
        try:
            yield self._held
        finally:
            self._held = before

    def point(self) -> Point:
        """The objective evaluated and frozen at the present parameters; kept until they change."""
        if self._held is not None:
            return self._held
        if _children(self._modules) != self._children:
            raise ValueError("model: its modules have been replaced; takes a new Objective")
        modes = training_modes(self._modules)
        if modes != self._modes:
            require_deterministic(self.model, self.X)
            self._modes, self._point = modes, None
        theta = self.flat_parameters()
        if self._point is None or not self._point.is_at(theta):
            if theta.dtype != self.X.dtype or len(theta) != self.parameters:
                raise ValueError(
                    f"model: had {self.parameters} parameters of {self.X.dtype}, has {len(theta)} "
                    f"of {theta.dtype}; takes a new Objective"
                )
            kind = AutogradPoint if self._architecture is None else ClosedFormPoint
            self._point = None
            self._point = kind(self, theta)
        return self._point

    def flat_parameters(self) -> Tensor:
        """theta, a copy, (P,)."""
        tensors = self.tensors()
        if self._is_tied(tensors):
            return self._flat.clone()
        return torch.cat([p.data.flatten() for p in tensors])

    def write(self, theta: Tensor) -> None:
        """Set the model's parameters to theta (P,)."""
        tensors = self.tensors()
        if self._is_tied(tensors):
            self._flat.copy_(theta)
            return
        for p, part in zip(tensors, self._parts(theta, tensors), strict=True):
            p.data.copy_(part)

    def tie(self) -> None:
        """Lay the parameters side by side in one tensor, so that reading and writing them is one
        copy. For a model of one's own: each parameter gets new memory."""
        tensors = self.tensors()
        if len({(p.dtype, p.device) for p in tensors}) > 1:
            return
        self._flat = self.flat_parameters()
        for p, part in zip(tensors, self._parts(self._flat, tensors), strict=True):
            p.data = part
        self._addresses = [p.data_ptr() for p in tensors]

    def _is_tied(self, tensors: list[nn.Parameter]) -> bool:
        return self._flat is not None and self._addresses == [p.data_ptr() for p in tensors]

    @staticmethod
    def _parts(theta: Tensor, tensors: list[nn.Parameter]) -> list[Tensor]:
        parts = theta.split([p.numel() for p in tensors])
        return [part.view_as(p) for p, part in zip(tensors, parts, strict=True)]

    def blocks(self) -> list[Tensor]:
        """The parameter tensors, detached, in the order of theta."""
        return [p.detach() for p in self.tensors()]

    def buffers(self) -> list[Tensor]:
        """The buffers, which the outputs may depend on (running means of a batch norm)."""
        return [b for m in self._modules for b in m._buffers.values() if b is not None]

    def tensors(self) -> list[nn.Parameter]:
        """`model.parameters()` of this moment, since a tensor can be exchanged for another
        (`load_state_dict(..., assign=True)`); a shared one counts once."""
        found = [p for m in self._modules for p in m._parameters.values() if p is not None]
        return list(dict.fromkeys(found))

    def value(self) -> float:
        """The mean loss. Cost: one forward pass."""
        return self.point().value()

    def at(self, theta: Tensor) -> Point:
        """The objective at other parameters (P,): `.value()`, `.gradient()`. The model is left."""
        here = self.point().theta
        if not isinstance(theta, Tensor) or theta.shape != here.shape:
            got = tuple(theta.shape) if isinstance(theta, Tensor) else type(theta).__name__
            raise ValueError(f"theta: got {got}; takes a tensor ({len(here)},)")
        kind = AutogradPoint if self._architecture is None else ClosedFormPoint
        return kind(self, theta.detach().to(dtype=here.dtype, device=here.device))

    def outputs(self) -> Tensor:
        """f(x_i), (n, K)."""
        return self.point().outputs.clone()

    def outputs_only(self) -> Tensor:
        """f(x_i), (n, K), by a forward pass that keeps nothing for derivatives."""
        if self._architecture is not None:
            return forward(self._architecture, self.tensors(), self.X)
        with torch.no_grad():  # what a forward pass writes to buffers is lost
            return functional_call(self.model, buffer_copies(self.model), (self.X,))

    def gradient(self) -> Tensor:
        """g = grad l(theta), (P,). Cost: one forward and one backward pass, kept."""
        return self.point().gradient().clone()

    def hvp(self, v: Tensor) -> Tensor:
        """H v for v (P,), or a block (P, k). Cost: one to two gradients a vector."""
        v, single = self._vectors(v)
        product = self.point().hvp(v)
        return product[:, 0] if single else product

    def ggnvp(self, v: Tensor) -> Tensor:
        """G v for v (P,) or (P, k), G the Gauss-Newton matrix (theory.md, (1))."""
        v, single = self._vectors(v)
        product = self.point().ggnvp(v)
        return product[:, 0] if single else product

    def batch_gradient(self, X: Tensor, targets: Tensor) -> tuple[float, Tensor]:
        """The mean loss and its gradient (P,) on another batch, at the present parameters.

        `targets` are rows as in `self.targets`: (b, K) for a named loss.
        """
        point = self._batch(X, targets).point()
        return point.value(), point.gradient()

    def on_batches(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """g_B and H_B g_B for m batches of sample indices (m, b), each (m, P)."""
        if self._architecture is not None:
            theta = self.flat_parameters().expand(len(indices), -1)
            loss = NamedLoss(self.named_loss.name, self.targets[indices])
            stack = StackPoint(self._architecture, loss, theta, self.X[indices])
            g = stack.gradient()
            return g, stack.product(g)
        points = [self._batch(self.X[i], self.targets[i]).point() for i in indices]
        g = torch.stack([point.gradient() for point in points])
        Hg = [point.hvp(row.unsqueeze(1))[:, 0] for point, row in zip(points, g, strict=True)]
        return g, torch.stack(Hg)

    def _batch(self, X: Tensor, targets: Tensor) -> Objective:
        """The same model and loss on other samples, unchecked."""
        other = copy.copy(self)
        other.X, other.y, other.n = X, targets, len(X)
        other._point = other._held = None
        if self.named_loss is not None:
            other.named_loss = NamedLoss(self.named_loss.name, targets)
        return other

    def _vectors(self, v: Tensor) -> tuple[Tensor, bool]:
        if not isinstance(v, Tensor):
            raise TypeError(f"v: got {type(v).__name__}; takes a tensor ({self.parameters},)")
        if v.ndim not in (1, 2) or v.shape[0] != self.parameters:
            raise ValueError(
                f"v: got shape {tuple(v.shape)}; takes ({self.parameters},) or "
                f"({self.parameters}, k), the flat parameters"
            )
        reference = self.point().theta
        v = v.detach().to(dtype=reference.dtype, device=reference.device)
        return (v.unsqueeze(1), True) if v.ndim == 1 else (v, False)


def _children(modules: list[nn.Module]) -> list[nn.Module | None]:
    return [child for module in modules for child in module._modules.values()]


def _tensor(name: str, value: object, takes: str) -> Tensor:
    try:
        tensor = torch.as_tensor(value).detach()
        if isinstance(value, list | tuple) and tensor.is_floating_point():
            tensor = torch.as_tensor(value, dtype=torch.float64)  # as Python's own numbers are
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{name}: got {type(value).__name__}; takes {takes}; {error}") from error
    if tensor.is_complex():
        raise TypeError(f"{name}: got {tensor.dtype}; takes {takes}, real numbers")
    return tensor


def as_features(X: object, reference: Tensor) -> Tensor:
    """X (n, ...) with the dtype and device of `reference`, finite; else an error that names X."""
    X = _tensor("X", X, "an array of numbers (n, ...)")
    X = X.to(dtype=reference.dtype, device=reference.device)
    if X.ndim < 2 or X.numel() == 0:
        raise ValueError(f"X: got shape {tuple(X.shape)}; takes (n, ...) with n at least 1")
    if not torch.isfinite(X).all():
        raise ValueError("X: got NaN or infinity; takes finite numbers only")
    return X


def _targets(y: object, X: Tensor, K: int, reference: Tensor, loss: Loss) -> Tensor:
    y = _tensor("y", y, "an array of labels (n,) or targets (n, K)").to(reference.device)
    if y.ndim == 0 or len(y) != len(X):
        raise ValueError(f"y: got shape {tuple(y.shape)}; takes one target for each of {len(X)} X")
    if y.is_floating_point():
        if not torch.isfinite(y).all():
            raise ValueError("y: got NaN or infinity; takes finite numbers only")
        if not callable(loss) and y.shape != (len(X), K):
            raise ValueError(
                f"y: got float targets of shape {tuple(y.shape)}; takes ({len(X)}, {K}), "
                "one column an output, or integer labels (n,)"
            )
        if loss == "cross_entropy" and not _is_distribution(y):
            raise ValueError(
                "y: got float targets that are not probabilities; takes rows that are at least 0 "
                "and sum to 1, or integer labels, with loss='cross_entropy'; for other targets "
                "use loss='mse'"
            )
        return y.to(reference.dtype)
    if callable(loss):
        return y
    if y.dtype == torch.bool or y.ndim != 1:
        raise ValueError(
            f"y: got {y.dtype} of shape {tuple(y.shape)}; takes integer labels (n,) "
            f"or float targets (n, {K})"
        )
    y = y.long()  # numpy's unsigned kinds have no least entry
    if int(y.min()) < 0 or int(y.max()) >= K:
        raise ValueError(
            f"y: got labels from {int(y.min())} to {int(y.max())}; takes 0 to {K - 1}, "
            f"since the model has {K} outputs"
        )
    return y


def _is_distribution(y: Tensor) -> bool:
    return bool((y >= 0).all()) and torch.allclose(y.sum(1), torch.ones_like(y[:, 0]), atol=1e-4)
