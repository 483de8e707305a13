"""The Gauss-Newton matrix seen from the samples: the tangent kernel, its dual, its layers.

With DF (nK x P) the derivative of all outputs in the parameters and C C' the cost's second
derivative, block-diagonal with C_i C_i' = (grad_f^2 c_i) / n,

    G = DF' C C' DF        and        C' (DF DF') C = C' sum_l (kernel of layer l) C

have the same non-zero eigenvalues (theory.md, (2) to (5)). The second is nK x nK: small where the
samples are few, however many parameters there are.

>>> from kit.curvature import sharpness
>>> from kit.models import mlp
>>> from kit.objective import Objective
>>> objective = Objective(mlp((2, 50, 1)), [[1.0, 0.0], [0.0, 1.0]], [[1.0], [0.0]], loss="mse")
>>> tangent_kernel(objective).shape  # two samples, one output; 201 parameters
torch.Size([2, 2])
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.func import functional_call, jacrev, vmap

from kit.curvature import check_objective, eigenvalues
from kit.determinism import buffer_copies
from kit.objective import Objective
from kit.points import ClosedFormPoint
from kit.stack import StackPoint

DUAL_LIMIT = 5000  # nK of the largest dual matrix, 200 MB in float64
JACOBIAN_LIMIT = 2**27  # numbers in the largest parameter Jacobian


def tangent_kernel(objective: Objective, layer: str | None = None) -> Tensor:
    """DF DF', (nK, nK): the neural tangent kernel on the samples, or one layer's share of it.

    >>> from kit.models import mlp
    >>> objective = Objective(mlp((2, 1)), [[1.0, 2.0], [0.0, 1.0]], [[0.0], [0.0]], loss="mse")
    >>> tangent_kernel(objective)  # <x_i, x_j> + 1, for the bias
    tensor([[6., 3.],
            [3., 2.]])

    Row i K + k is output k at sample i. `layer`: a name from `layer_names`; the kernels of all
    layers add up to the whole (theory.md, (4)). Cost: for a multilayer perceptron by (5),
    O((nK)^2 width) without any derivative in the parameters; else K backward passes a sample.
    Raises ValueError above nK = 5000.
    """
    check_objective(objective)
    _check_dual(objective)
    names = layer_names(objective)
    if layer is not None and layer not in names:
        raise ValueError(f"layer: got {layer!r}; takes one of {', '.join(map(repr, names))}")
    kernels = dict(zip(names, layer_kernels(objective), strict=True))
    return sum(kernels.values()) if layer is None else kernels[layer]


def dual_gauss_newton(objective: Objective) -> Tensor:
    """C' (DF DF') C, (nK, nK): it has the non-zero eigenvalues of G.

    >>> from kit.curvature import matrix
    >>> from kit.models import mlp
    >>> objective = Objective(mlp((2, 3, 2), seed=0).double(), [[1.0, 2.0], [0.0, 1.0]], [0, 1])
    >>> dual = torch.linalg.eigvalsh(dual_gauss_newton(objective))[-1]
    >>> torch.allclose(dual, torch.linalg.eigvalsh(matrix(objective, "gauss_newton"))[-1])
    True

    Cost as `tangent_kernel`. Raises ValueError for a cost that is not convex in the outputs, since
    C is then not real. Source: theory.md, (2).
    """
    C = output_root(objective)
    return conjugate(tangent_kernel(objective), C)


def layer_shares(objective: Objective, *, tol: float = 1e-4, seed: int = 0) -> dict[str, float]:
    """What each layer contributes to lambda_max(G): shares that add up to 1.

    >>> from kit.models import mlp
    >>> objective = Objective(mlp((2, 8, 2), seed=0), torch.eye(2), [0, 1], loss="mse")
    >>> shares = layer_shares(objective)
    >>> list(shares), round(sum(shares.values()), 6)
    (['0', '2'], 1.0)

    With v the top eigenvector of the dual matrix, layer l contributes v' C' K_l C v; that is
    lambda_max times the squared length of the layer's part of the top eigenvector of G, which is
    how it is computed. Cost: an eigenvector of G. Source: theory.md, (4).
    """
    check_objective(objective)
    top = eigenvalues(objective, operator="gauss_newton", tol=tol, seed=seed).vectors[:, 0]
    parts = dict.fromkeys(layer_names(objective), 0.0)
    squares = top.double().square().split([block.numel() for block in objective.blocks()])
    for name, square in zip(_homes(objective), squares, strict=True):
        parts[name] += float(square.sum())
    return parts


def layer_names(objective: Objective) -> list[str]:
    """The submodules that own parameters, in the order of theta."""
    return list(dict.fromkeys(_homes(objective)))


def _homes(objective: Objective) -> list[str]:
    """For each parameter tensor, the name of the submodule that owns it."""
    return [name.rpartition(".")[0] for name, _ in objective.model.named_parameters()]


# The cost's second derivative.


def output_gradient(objective: Objective) -> Tensor:
    """grad_f c(f_i, y_i), (n, K)."""
    f, named = objective.outputs(), objective.named_loss
    if named is not None:
        return named.gradient(f)
    f = f.clone().requires_grad_()
    with torch.enable_grad():
        total = objective.loss(f, objective.y).sum()
        return torch.autograd.grad(total, f, materialize_grads=True)[0]


def output_hessian(objective: Objective) -> Tensor:
    """grad_f^2 c(f_i, y_i), (n, K, K): diag p - p p' with p = softmax f, or 1 for mse."""
    f, named = objective.outputs(), objective.named_loss
    if named is not None:
        return named.hessian(f)
    f = f.clone().requires_grad_()
    with torch.enable_grad():
        total = objective.loss(f, objective.y).sum()
        slope = torch.autograd.grad(total, f, create_graph=True, materialize_grads=True)[0]
        if not slope.requires_grad:
            return torch.zeros(*f.shape, objective.K, dtype=f.dtype, device=f.device)
        rows = [
            torch.autograd.grad(column.sum(), f, retain_graph=True, materialize_grads=True)[0]
            for column in slope.unbind(1)
        ]
    return torch.stack(rows, dim=1)


def output_root(objective: Objective) -> Tensor:
    """C_i with C_i C_i' = (grad_f^2 c_i) / n, (n, K, K), symmetric."""
    check_objective(objective)
    values, vectors = torch.linalg.eigh(output_hessian(objective).double() / objective.n)
    scale = float(values.abs().max())
    if float(values.min()) < -1e-6 * scale:
        raise ValueError("loss: is not convex in the outputs here; takes a convex one for the dual")
    C = vectors * values.clamp(min=0).sqrt().unsqueeze(1) @ vectors.mT
    return C.to(objective.point().theta.dtype)


def conjugate(kernel: Tensor, C: Tensor) -> Tensor:
    """C' kernel C for block-diagonal C (n, K, K) and a kernel (nK, nK)."""
    n, K, _ = C.shape
    blocks = kernel.view(n, K, n, K)
    blocks = torch.einsum("iab,iajc->ibjc", C, blocks)
    return torch.einsum("ibjc,jcd->ibjd", blocks, C).reshape(n * K, n * K)


# Derivatives in the parameters.


def layer_kernels(objective: Objective) -> Iterator[Tensor]:
    """D_l F D_l F', (nK, nK), layer by layer in the order of `layer_names`."""
    point, n = objective.point(), objective.n
    size = n * objective.K
    if isinstance(point, ClosedFormPoint):
        kernels = []
        for layer, J in partial_jacobians(point.stack):
            h = point.stack.h[layer][0]
            gram = h @ h.mT + float(point.stack.net.bias)
            rows = J[0].reshape(size, -1)
            blocks = (rows @ rows.mT).view(n, objective.K, n, objective.K)
            kernels.append((blocks * gram[:, None, :, None]).reshape(size, size))
        yield from reversed(kernels)
        return
    J = parameter_jacobian(objective).reshape(size, -1)
    parts = J.split([block.numel() for block in objective.blocks()], dim=1)
    homes = _homes(objective)
    for name in layer_names(objective):
        yield sum(D @ D.mT for home, D in zip(homes, parts, strict=True) if home == name)


def partial_jacobians(stack: StackPoint) -> Iterator[tuple[int, Tensor]]:
    """(l, J_{>l+1}(x_i) = df/dz_{l+1}, (S, n, K, width)), from the last layer to the first.

    Layer l takes h_l and gives z_{l+1}, so D F with respect to its weight is J h_l'.
    """
    S, n, K = stack.outputs.shape
    eye = torch.eye(K, dtype=stack.theta.dtype, device=stack.theta.device)
    J = eye.expand(S, n, K, K)
    for layer in range(stack.net.layers - 1, -1, -1):
        yield layer, J
        if layer:
            J = (J @ stack.W[layer].unsqueeze(1)) * stack.slope[layer - 1].unsqueeze(2)


def parameter_jacobian(objective: Objective) -> Tensor:
    """DF, the derivative of each output at each sample in the parameters, (n, K, P).

    Raises ValueError above 2^27 numbers. Cost: K backward passes a sample.
    """
    n, K, P = objective.n, objective.K, objective.parameters
    if n * K * P > JACOBIAN_LIMIT:
        raise ValueError(
            f"objective: its parameter Jacobian has {n} x {K} x {P} numbers; takes at most "
            f"{JACOBIAN_LIMIT}; use fewer samples"
        )
    point = objective.point()
    if isinstance(point, ClosedFormPoint):
        blocks: list[Tensor] = []
        for layer, J in partial_jacobians(point.stack):
            J, h = J[0], point.stack.h[layer][0]
            weight = (J.unsqueeze(-1) * h[:, None, None, :]).flatten(2)
            blocks = [weight, *([J] if point.stack.net.bias else []), *blocks]
        return torch.cat(blocks, dim=2)
    model = objective.model
    tensors = {name: p.detach() for name, p in model.named_parameters()}
    buffers = buffer_copies(model)

    def outputs(tensors: dict[str, Tensor], x: Tensor) -> Tensor:
        return functional_call(model, tensors | buffers, (x.unsqueeze(0),))[0]

    try:
        rows = vmap(jacrev(outputs), (None, 0), chunk_size=max(1, 2**24 // (K * P)))
        parts = rows(tensors, objective.X).values()
    except RuntimeError:  # a module that branches on its data cannot be batched
        each = [_sample_jacobian(outputs, tensors, x) for x in objective.X]
        parts = [torch.stack(blocks) for blocks in zip(*each, strict=True)]
    return torch.cat([part.flatten(2) for part in parts], dim=2).detach()


def _sample_jacobian(outputs, tensors: dict[str, Tensor], x: Tensor) -> list[Tensor]:
    """D f(x) in each parameter tensor, (K, ...)."""
    leaves = {name: t.clone().requires_grad_() for name, t in tensors.items()}
    with torch.enable_grad():
        f = outputs(leaves, x)
        rows = [
            torch.autograd.grad(k, list(leaves.values()), retain_graph=True, materialize_grads=True)
            for k in f
        ]
    return [torch.stack(parts) for parts in zip(*rows, strict=True)]


def per_sample_gradients(objective: Objective) -> Tensor:
    """grad c(f_i, y_i) in the parameters, (n, P). Refused above 2^27 numbers."""
    if objective.n * objective.parameters > JACOBIAN_LIMIT:
        raise ValueError(
            f"objective: has {objective.n} x {objective.parameters} per-sample derivatives; "
            f"takes at most {JACOBIAN_LIMIT}"
        )
    slope, point = output_gradient(objective), objective.point()
    if isinstance(point, ClosedFormPoint):
        blocks: list[Tensor] = []
        for layer, d in enumerate(point.stack.delta()):
            d, h = objective.n * d[0], point.stack.h[layer][0]
            blocks.append((d.unsqueeze(2) * h.unsqueeze(1)).flatten(1))
            if point.stack.net.bias:
                blocks.append(d)
        return torch.cat(blocks, dim=1)
    return torch.einsum("ikp,ik->ip", parameter_jacobian(objective), slope)


def gauss_newton_diagonal(objective: Objective) -> Tensor:
    """diag G, (P,): sum_i sum_k (C_i' DF_i)_k^2."""
    C, point = output_root(objective), objective.point()
    if not isinstance(point, ClosedFormPoint):
        rows = torch.einsum("iab,iap->ibp", C, parameter_jacobian(objective))
        return rows.square().sum((0, 1))
    blocks: list[Tensor] = []
    for layer, J in partial_jacobians(point.stack):
        square = (C.mT @ J[0]).square().sum(1)
        weight = (square.mT @ point.stack.h[layer][0].square()).flatten()
        blocks = [weight, *([square.sum(0)] if point.stack.net.bias else []), *blocks]
    return torch.cat(blocks)


def _check_dual(objective: Objective) -> None:
    size = objective.n * objective.K
    if size > DUAL_LIMIT:
        raise ValueError(
            f"objective: has {objective.n} samples x {objective.K} outputs = {size}; takes at most "
            f"{DUAL_LIMIT} for a dense dual matrix; use fewer samples"
        )
