"""Kronecker factors of the Gauss-Newton matrix, layer by layer: G_l is taken as A_l (x) B_l.

    linear layer   A = mean_i h_i h_i'           B = sum_i J_i' Q_i J_i,  Q_i = (grad_f^2 c_i) / n
    convolution    A = mean_i sum_t a_it a_it'   B = (1/T) sum_i sum_t J_it' Q_i J_it

h is the layer's input and J = df/dz, z its output; a_it is the patch that the kernel meets at
position t of T, and J_it = df/dz at that position. A bias appends 1 to h and to a. The first form
takes inputs and derivatives as independent over samples; the second also takes the derivatives at
different positions as uncorrelated (Martens and Grosse, arXiv 1503.05671; Grosse and Martens, arXiv
1602.01407). A convolution with one position is a linear layer, and has its factors.

>>> from kit.models import convnet
>>> objective = Objective(convnet((4, 4), (2,), 3), torch.ones(5, 16), [0, 1, 2, 0, 1])
>>> [(len(a), len(b)) for a, b in kronecker_factors(objective)]
[(10, 2), (9, 3)]
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call

from kit.determinism import buffer_copies
from kit.objective import Objective
from kit.points import ClosedFormPoint
from kit.tangent import output_root, partial_jacobians

Factors = tuple[Tensor, Tensor]


def kronecker_factors(objective: Objective) -> list[Factors]:
    """The eigenvalues of A_l and of B_l, float64, for each layer in the order of the parameters.

    >>> from kit.models import mlp
    >>> objective = Objective(mlp((2, 3)), torch.eye(2), [0, 1])
    >>> [(len(a), len(b)) for a, b in kronecker_factors(objective)]
    [(3, 3)]

    Takes modules whose parameters all belong to linear layers and convolutions without groups, each
    used once in a forward pass; raises ValueError for others. Cost: K backward passes.
    """
    closed = isinstance(objective.point(), ClosedFormPoint)
    pairs = _closed_form(objective) if closed else _autograd(objective)
    return [tuple(torch.linalg.eigvalsh(M.double()).clamp(min=0) for M in pair) for pair in pairs]


def _closed_form(objective: Objective) -> list[Factors]:
    stack = objective.point().stack
    C, pairs = output_root(objective), []
    for layer, J in partial_jacobians(stack):
        rows = (C.mT @ J[0]).flatten(0, 1)
        pairs.append((_input_factor(stack.h[layer][0], stack.net.bias), rows.mT @ rows))
    return pairs[::-1]


def _autograd(objective: Objective) -> list[Factors]:
    model = objective.model
    layers = [m for m in model.modules() if _own(m)]
    for layer in layers:
        if type(layer) not in (nn.Linear, nn.Conv2d) or getattr(layer, "groups", 1) != 1:
            raise _refusal(f"{type(layer).__name__} has parameters of its own")
    if len({id(p) for layer in layers for p in _own(layer)}) < sum(len(_own(m)) for m in layers):
        raise _refusal("layers share their weights")
    seen: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def note(layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
        if layer in seen:
            raise _refusal(f"a {type(layer).__name__} is used twice")
        seen[layer] = inputs[0].detach().clone(), output
        return output.clone()  # what follows may work in place

    hooks = [layer.register_forward_hook(note) for layer in layers]
    tensors = {name: p.detach().clone() for name, p in model.named_parameters()}
    try:
        with torch.enable_grad():
            leaves = {name: t.requires_grad_() for name, t in tensors.items()}
            f = functional_call(model, leaves | buffer_copies(model), (objective.X,))
    finally:
        for hook in hooks:
            hook.remove()
    if len(seen) < len(layers):
        raise _refusal("a layer is not used")
    C, outputs = output_root(objective), [seen[layer][1] for layer in layers]
    B: list[Tensor | float] = [0.0] * len(layers)
    for k in range(objective.K):
        rows = torch.autograd.grad(
            f, outputs, C[:, :, k], retain_graph=True, materialize_grads=True
        )
        for index, (layer, row) in enumerate(zip(layers, rows, strict=True)):
            r = _positions(layer, row)
            B[index] = B[index] + r.flatten(0, 1).mT @ r.flatten(0, 1) / r.shape[1]
    return [
        (_input_factor(_patches(layer, seen[layer][0]), layer.bias is not None), b)
        for layer, b in zip(layers, B, strict=True)
    ]


def _own(module: nn.Module) -> list[nn.Parameter]:
    return [p for p in module._parameters.values() if p is not None]


def _positions(layer: nn.Module, values: Tensor) -> Tensor:
    """A layer's outputs, or what is like them, as (n, T, units)."""
    if isinstance(layer, nn.Conv2d):
        return values.flatten(2).mT
    return values.reshape(len(values), -1, values.shape[-1])


def _patches(layer: nn.Module, inputs: Tensor) -> Tensor:
    """What the weights of a layer meet at each position, (n, T, numbers)."""
    if isinstance(layer, nn.Linear):
        return _positions(layer, inputs)
    # With one kernel for each entry of a patch the layer itself cuts them out, padding and all.
    size = layer.weight[0].numel()
    kernels = torch.eye(size, dtype=inputs.dtype, device=inputs.device)
    single = {"weight": kernels.view(size, *layer.weight.shape[1:])}
    if layer.bias is not None:
        single["bias"] = kernels.new_zeros(size)
    with torch.no_grad():
        return _positions(layer, functional_call(layer, single, (inputs,)))


def _input_factor(a: Tensor, bias: bool) -> Tensor:
    """mean_i sum_t a_it a_it' for a (n, numbers) or (n, T, numbers)."""
    n = len(a)
    if bias:
        a = torch.cat([a, a.new_ones(*a.shape[:-1], 1)], dim=-1)
    a = a.reshape(-1, a.shape[-1])
    return a.mT @ a / n


def _refusal(reason: str) -> ValueError:
    return ValueError(
        f"method: 'kfac' takes linear layers and convolutions, each used once; here {reason}; "
        "use 'exact' or 'lanczos'"
    )
