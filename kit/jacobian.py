"""Input-output Jacobians J(x) = df/dx: how fast the function itself changes.

>>> from kit.models import mlp
>>> model = mlp((2, 1), bias=False)
>>> J = input_output_jacobian(model, torch.zeros(3, 2))
>>> J.shape, bool(torch.allclose(J[0], model[0].weight))
(torch.Size([3, 1, 2]), True)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from kit.checks import check_number, check_one_of
from kit.determinism import buffer_copies, require_deterministic
from kit.losses import NamedLoss
from kit.objective import Objective, as_features
from kit.points import ClosedFormPoint, Point
from kit.stack import StackPoint, architecture


def input_output_jacobian(model: nn.Module, X: Tensor, *, output: str = "logits") -> Tensor:
    """J(x_i) = df/dx at each sample, (n, K, d); inputs with more axes are flattened to d.

    >>> from kit.models import mlp
    >>> input_output_jacobian(mlp((4, 8, 3)), torch.ones(5, 4), output="softmax").shape
    torch.Size([5, 3, 4])

    `output`: "logits", or "softmax" for the Jacobian A(p) J of p = softmax f. Cost: K backward
    passes, or the closed form for a multilayer perceptron. Source: theory.md, P1.2 and P1.10.
    """
    X = _inputs(model, X)
    check_one_of("output", output, ("logits", "softmax"))
    net = architecture(model)
    if net is not None and X.ndim == 2:
        stack = _stack(model, X)
        J, f = stack.input_output_jacobian()[0], stack.outputs[0]
    else:
        J, f = _autograd_jacobian(model, X)
    return _softmax_rows(J, f) if output == "softmax" else J


def jacobian_norms(
    model: nn.Module, X: Tensor, *, norm: str = "spectral", output: str = "logits"
) -> Tensor:
    """||J(x_i)|| at each sample, (n,), spectral or Frobenius.

    >>> from kit.models import mlp
    >>> model = mlp((3, 2), bias=False)
    >>> torch.allclose(jacobian_norms(model, torch.zeros(1, 3)),
    ...                torch.linalg.matrix_norm(model[0].weight, 2))
    True

    The spectral norm is the root of the largest eigenvalue of the K x K (or, where smaller,
    d x d) Gram matrix. Source: theory.md, P1.10.
    """
    X = _inputs(model, X)
    check_one_of("norm", norm, ("spectral", "frobenius"))
    check_one_of("output", output, ("logits", "softmax"))
    if architecture(model) is not None and X.ndim == 2:
        return stack_jacobian_norms(_stack(model, X), norm=norm, output=output)[0]
    J = input_output_jacobian(model, X, output=output)
    return gram_norms(J @ J.mT if J.shape[1] <= J.shape[2] else J.mT @ J, norm)


@dataclass(frozen=True)
class JacobianDistribution:
    """||J(x_i)|| over the samples: norms (n,), and what is usually said of them.

    `quantiles` maps shares to norms; `steepest` is the index of the sample with the largest.
    """

    norms: Tensor
    mean: float
    maximum: float
    steepest: int
    quantiles: dict[float, float]


def jacobian_distribution(
    model: nn.Module,
    X: Tensor,
    *,
    norm: str = "spectral",
    output: str = "logits",
    quantiles: Sequence[float] = (0.05, 0.25, 0.5, 0.75, 0.95),
) -> JacobianDistribution:
    """How ||J(x_i)|| is spread over the samples.

    >>> from kit.models import mlp
    >>> spread = jacobian_distribution(mlp((2, 8, 3), seed=0), torch.eye(2))
    >>> spread.mean <= spread.maximum, list(spread.quantiles)
    (True, [0.05, 0.25, 0.5, 0.75, 0.95])

    Arguments and cost as `jacobian_norms`.
    """
    if not isinstance(quantiles, Sequence):
        raise TypeError(f"quantiles: got {quantiles!r}; takes a sequence of numbers, (0.5, 0.95)")
    levels = [check_number("quantiles", q, low=0, high=1) for q in quantiles]
    norms = jacobian_norms(model, X, norm=norm, output=output)
    at = norms.double().quantile(norms.new_tensor(levels, dtype=torch.float64))
    return JacobianDistribution(
        norms,
        float(norms.mean()),
        float(norms.max()),
        int(norms.argmax()),
        dict(zip(levels, at.tolist(), strict=True)),
    )


def largest_direction(
    model: nn.Module, X: Tensor, *, output: str = "logits"
) -> tuple[Tensor, Tensor, Tensor]:
    """The input direction along which f changes fastest at each sample, and what it does there.

    >>> from kit.models import mlp
    >>> model = mlp((2, 2), bias=False)
    >>> with torch.no_grad():
    ...     _ = model[0].weight.copy_(torch.tensor([[0.0, 3.0], [1.0, 0.0]]))
    >>> norms, inputs, outputs = largest_direction(model, torch.zeros(1, 2))
    >>> norms, inputs, outputs
    (tensor([3.]), tensor([[0., 1.]]), tensor([[1., 0.]]))

    Norms (n,), unit vectors (n, d) and (n, K) with J(x_i) input_i = norm_i output_i: the leading
    singular triple, from the eigenvectors of the Gram matrix. The sign is such that the largest
    entry of the input direction is positive; where the largest singular value is not single, the
    direction is one of many. A zero J gives a norm of 0 and zero vectors, one that is not finite
    NaN. Raises as, and costs little more than, `jacobian_norms`. Source: theory.md, P1.10.
    """
    J = input_output_jacobian(model, X, output=output)
    K, d = J.shape[1:]
    wide = d >= K
    gram = J @ J.mT if wide else J.mT @ J
    finite = torch.isfinite(gram).flatten(1).all(1)
    values, vectors = torch.linalg.eigh(gram.where(finite[:, None, None], 0.0))
    norms, short = values[:, -1].clamp(min=0).sqrt(), vectors[:, :, -1:]
    long = (J.mT if wide else J) @ short
    length = torch.linalg.vector_norm(long, dim=1, keepdim=True)
    long = torch.where(length > 0, long / length.clamp(min=torch.finfo(J.dtype).tiny), 0.0)
    short = torch.where(length > 0, short, 0.0)
    inputs, outputs = (long, short) if wide else (short, long)
    top = inputs.gather(1, inputs.abs().argmax(1, keepdim=True))
    sign = torch.where(top < 0, -1.0, 1.0)
    triple = norms, (sign * inputs)[:, :, 0], (sign * outputs)[:, :, 0]
    return tuple(part.where(finite.view(-1, *[1] * (part.ndim - 1)), torch.nan) for part in triple)


def point_jacobian_norms(point: Point) -> Tensor:
    """Spectral ||J(x_i)|| on an objective's own samples, using what its point has computed."""
    if isinstance(point, ClosedFormPoint):
        return stack_jacobian_norms(point.stack, norm="spectral", output="logits")[0]
    return jacobian_norms(point.objective.model, point.objective.X)


def stack_jacobian_norms(stack: StackPoint, *, norm: str, output: str) -> Tensor:
    """||J(x_i)|| for each network of a stack, (S, n)."""
    d, K = stack.net.widths[0], stack.net.widths[-1]
    if d < K or output == "softmax":
        J = stack.input_output_jacobian()
        if output == "softmax":
            J = _softmax_rows(J, stack.outputs)
        return gram_norms(J @ J.mT if d >= K else J.mT @ J, norm)
    return gram_norms(stack.jacobian_gram(), norm)


def gram_norms(gram: Tensor, norm: str) -> Tensor:
    """||J|| from J J' (..., m, m). NaN where an entry is not finite."""
    if norm == "frobenius" or gram.shape[-1] == 1:
        return gram.diagonal(dim1=-2, dim2=-1).sum(-1).clamp(min=0).sqrt()
    finite = torch.isfinite(gram).all(-1).all(-1)
    if not finite.all():
        gram = torch.where(finite[..., None, None], gram, torch.zeros_like(gram))
    top = torch.linalg.eigvalsh(gram)[..., -1].clamp(min=0).sqrt()
    return torch.where(finite, top, torch.full_like(top, torch.nan))


def _stack(model: nn.Module, X: Tensor) -> StackPoint:
    theta = torch.cat([p.detach().flatten() for p in model.parameters()])
    no_targets = X.new_zeros(len(X), 1)
    return StackPoint(architecture(model), NamedLoss("mse", no_targets), theta[None], X)


def _autograd_jacobian(model: nn.Module, X: Tensor) -> tuple[Tensor, Tensor]:
    """K backward passes for all samples: valid since the samples do not interact."""
    tensors = {name: p.detach() for name, p in model.named_parameters()} | buffer_copies(model)
    X = X.clone().requires_grad_()
    with torch.enable_grad():
        f = functional_call(model, tensors, (X,))
        rows = [
            torch.autograd.grad(f[:, k].sum(), X, retain_graph=True, materialize_grads=True)[0]
            for k in range(f.shape[1])
        ]
    return torch.stack([row.flatten(1) for row in rows], dim=1), f.detach()


def _softmax_rows(J: Tensor, f: Tensor) -> Tensor:
    """A(p) J = p * (J - p' J), A(p) = diag p - p p', p = softmax f."""
    p = torch.softmax(f, -1).unsqueeze(-1)
    return p * (J - (p * J).sum(-2, keepdim=True))


def _inputs(model: object, X: object) -> Tensor:
    if isinstance(model, Objective) or not isinstance(model, nn.Module):
        raise TypeError(f"model: got {type(model).__name__}; takes a torch.nn.Module")
    reference = next(model.parameters(), torch.zeros(()))
    X = as_features(X, reference)
    require_deterministic(model, X)
    return X
