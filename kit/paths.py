"""Path norms: the size of a network as it is seen from its paths, input to output.

A path multiplies the weights along it; rescaling a hidden unit multiplies what comes in and
divides what goes out, and leaves every path as it is. With P_0 = 1,

    P_l = (W_l o W_l) P_{l-1} + b_l o b_l         hidden l: all squared paths into each unit
    rho(W_l[i, j]) = P_l[i] / P_{l-1}[j],   rho(b_l[i]) = P_l[i],   P_L = 1

rho scales under node-wise rescaling as the square of its parameter does, so rho^{1/2} H rho^{1/2}
stays as it is (theory.md, P2.6). For convolutions P counts channels; a flattened channel stands
for each of its pixels.

>>> from kit.models import mlp
>>> model = mlp((1, 1, 1), bias=False)
>>> with torch.no_grad():
...     _ = model[0].weight.fill_(3.0), model[2].weight.fill_(2.0)
>>> path_norm(model), path_scales(model)
(6.0, tensor([9.0000, 0.1111], dtype=torch.float64))
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kit.checks import check_int
from kit.symmetry import NoSymmetry, Symmetry, find_symmetry


def path_norm(model: nn.Module, *, p: int = 2) -> float:
    """(sum over paths of |product of weights|^p)^{1/p}; paths start at inputs and at biases.

    >>> from kit.models import mlp
    >>> model = mlp((2, 2, 1), bias=False)
    >>> with torch.no_grad():
    ...     _ = model[0].weight.copy_(torch.tensor([[1.0, -2.0], [3.0, 0.5]]))
    ...     _ = model[2].weight.copy_(torch.tensor([[2.0, -1.0]]))
    >>> round(path_norm(model), 6), path_norm(model, p=1)
    (5.408327, 9.5)

    `p`: 1 or 2. Multilayer perceptrons with a positively homogeneous activation, whose node-wise
    rescaling leaves it as it is. Cost: a forward pass of one sample. Source: Neyshabur, Tomioka
    and Srebro, arXiv 1503.00036; theory.md, II, row 11.
    """
    p = check_int("p", p, low=1, high=2)
    symmetry = _chain(model)
    if not all(isinstance(layer, nn.Linear) for layer in symmetry.layers):
        raise NoSymmetry("model: has convolutions; a path norm takes linear layers only")
    total = torch.ones(symmetry.layers[0].in_features, dtype=torch.float64)
    for layer in symmetry.layers:
        total = layer.weight.detach().double().abs().pow(p) @ total
        if layer.bias is not None:
            total = total + layer.bias.detach().double().abs().pow(p)
    return float(total.sum()) ** (1 / p)


def path_scales(model: nn.Module) -> Tensor:
    """rho, (P,), float64, in the order of the parameters; 0 where no path comes in.

    Raises ValueError for a model without the symmetry, or with paths around its layers.
    """
    symmetry = _chain(model)
    scales: dict[int, Tensor] = {}
    before = torch.ones(symmetry.layers[0].weight.shape[1], dtype=torch.float64)
    for layer in symmetry.layers:
        weight = layer.weight.detach().double()
        before = before.repeat_interleave(weight.shape[1] // len(before))
        squares = weight.square().flatten(2).sum(2) if weight.ndim > 2 else weight.square()
        after = squares @ before
        if layer.bias is not None:
            after = after + layer.bias.detach().double().square()
        if layer is symmetry.layers[-1]:
            after = torch.ones_like(after)
        # A unit that no path reaches is 0 for every input: its out-going weights do nothing.
        inverse = torch.where(before > 0, 1 / before.clamp(min=1e-300), 0.0)
        rho = torch.outer(after, inverse)
        rho = rho.view(*rho.shape, *[1] * (weight.ndim - 2)).expand_as(weight)
        scales[id(layer.weight)] = rho.flatten()
        if layer.bias is not None:
            scales[id(layer.bias)] = after
        before = after
    return torch.cat([scales[id(p)] for p in model.parameters()])


def _chain(model: nn.Module) -> Symmetry:
    symmetry = find_symmetry(model)
    if not symmetry.is_chain:
        raise NoSymmetry("model: has residual blocks; path norms take a plain chain of layers")
    if any(getattr(layer, "groups", 1) != 1 for layer in symmetry.layers):
        raise NoSymmetry("model: has a grouped convolution; path norms take plain ones")
    return symmetry
