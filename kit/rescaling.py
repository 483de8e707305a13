"""Rescaling: other parameters, the same function; and sharpness that does not see it.

    layer-wise   W_l -> a_l W_l,   b_l -> (a_1 ... a_l) b_l,          prod_l a_l = 1
    node-wise    W_l -> D_l W_l D_{l-1}^{-1},   b_l -> D_l b_l,       D_0 = D_L = 1

Both leave f as it is when the activation is positively homogeneous, s(c z) = c s(z) for c > 0:
relu, leaky_relu, linear. Not tanh, not gelu. (theory.md, P2.1.)

>>> from kit.models import mlp
>>> model = mlp((2, 5, 1), seed=0)
>>> other = rescale_layers(model, (10, 0.1))
>>> X = torch.ones(1, 2)
>>> torch.allclose(model(X), other(X)), torch.allclose(10 * model[0].weight, other[0].weight)
(True, True)
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from kit.checks import check_bool, check_number, check_one_of
from kit.curvature import converged_value, eigenvalues
from kit.objective import Objective
from kit.stack import architecture

HOMOGENEOUS = (nn.ReLU, nn.LeakyReLU, nn.Identity)


def rescale_layers(model: nn.Module, factors: Sequence[float]) -> nn.Module:
    """A new model with W_l times factors[l] that computes the same function.

    >>> from kit.models import mlp
    >>> rescale_layers(mlp((2, 3, 1)), (2, 2))
    Traceback (most recent call last):
    ValueError: factors: got a product of 4; takes factors whose product is 1 (to 1e-6)

    One positive factor a layer, with product 1. Raises ValueError for other factors and for a
    model without the symmetry; the source model is left alone. Source: theory.md, P2.1.
    """
    layers = symmetric_layers(model)
    factors = check_factors(factors, len(layers))
    scaled = copy.deepcopy(model)
    scale_parameters(symmetric_layers(scaled), factors)
    return scaled


def rescale_nodes(model: nn.Module, factors: Sequence[Sequence[float]]) -> nn.Module:
    """A new model with each hidden unit scaled by its own factor, and the same function.

    >>> from kit.models import mlp
    >>> model = mlp((2, 3, 1), seed=0)
    >>> torch.allclose(rescale_nodes(model, [[1, 2, 4]])(torch.ones(1, 2)), model(torch.ones(1, 2)))
    True

    `factors`: one vector of positive numbers a hidden layer, one number a unit. Source: P2.1.
    """
    hidden = symmetric_layers(model)[:-1]
    try:
        factors = [_numbers(vector) for vector in factors]
    except TypeError as error:
        raise TypeError(f"factors: takes one vector of numbers a hidden layer; {error}") from error
    if len(factors) != len(hidden):
        raise ValueError(
            f"factors: got {len(factors)} vectors; takes {len(hidden)}, one a hidden layer"
        )
    scaled = copy.deepcopy(model)
    layers = symmetric_layers(scaled)
    with torch.no_grad():
        for index, (vector, layer) in enumerate(zip(factors, layers, strict=False)):
            if len(vector) != layer.out_features:
                raise ValueError(
                    f"factors: got {len(vector)} numbers for hidden layer {index + 1}; "
                    f"takes {layer.out_features}, one a unit"
                )
            D = layer.weight.new_tensor(vector)
            layer.weight.mul_(D.unsqueeze(1))
            if layer.bias is not None:
                layer.bias.mul_(D)
            layers[index + 1].weight.div_(D)
    return scaled


def invariant_sharpness(
    objective: Objective,
    *,
    metric: str = "layer",
    riemannian: bool = False,
    tol: float = 1e-3,
    start: Tensor | None = None,
    seed: int = 0,
) -> float:
    """The largest eigenvalue of the Hessian in a metric that rescaling cannot change.

    >>> from kit.models import mlp
    >>> from kit.objective import Objective
    >>> model = mlp((2, 4, 2), seed=0).double()
    >>> def measure(m):
    ...     return invariant_sharpness(Objective(m, torch.eye(2), [0, 1], loss="mse"), tol=1e-6)
    >>> abs(measure(rescale_layers(model, (10, 0.1))) / measure(model) - 1) < 1e-6
    True

    `metric`: "layer", lambda_max(S) with S = D H D, D = ||theta_b|| on each weight tensor and
    bias vector; with `riemannian=True`, lambda_max(B), the Hessian on the quotient by layer-wise
    rescaling, the same at a critical point; or "elementwise", |theta| H |theta|, which is
    invariant to node-wise rescaling as well. Warns where `tol` was not reached.
    Source: Rangamani et al., arXiv 1902.02434; theory.md, P2.4 and P2.6.
    """
    check_one_of("metric", metric, ("layer", "elementwise"))
    if check_bool("riemannian", riemannian) and metric != "layer":
        raise ValueError(f"riemannian: got True with metric={metric!r}; takes metric='layer'")
    operator = "riemannian" if riemannian else metric
    result = eigenvalues(objective, operator=operator, tol=tol, start=start, seed=seed)
    return converged_value(result, f"invariant_sharpness ({operator})")


def symmetry_fault(model: nn.Module) -> str | None:
    """Why a model lacks the rescaling symmetry, or None if it has it.

    >>> from kit.models import mlp
    >>> symmetry_fault(mlp((2, 3, 1), activation="tanh"))
    'Tanh is not positively homogeneous: s(c z) = c s(z) fails for c > 0'
    """
    net = architecture(model)
    if net is None:
        return (
            f"{type(model).__name__} is not a plain chain of linear layers and one activation; "
            "rescaling of other modules is not supported"
        )
    if net.layers < 2:
        return "a linear model has one layer, and its only factor is 1"
    if net.activation not in HOMOGENEOUS:
        return (
            f"{net.activation.__name__} is not positively homogeneous: "
            "s(c z) = c s(z) fails for c > 0"
        )
    return None


def symmetric_layers(model: nn.Module) -> list[nn.Linear]:
    """The linear layers of a model with the symmetry; ValueError with the reason without it."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: got {type(model).__name__}; takes a torch.nn.Module")
    fault = symmetry_fault(model)
    if fault is not None:
        raise ValueError(f"model: {fault}")
    return [module for module in model if isinstance(module, nn.Linear)]


def check_factors(factors: Sequence[float], layers: int) -> list[float]:
    """Positive factors, one a layer, with product 1 to 1e-6."""
    factors = _numbers(factors)
    if len(factors) != layers:
        raise ValueError(f"factors: got {len(factors)}; takes {layers}, one a layer")
    product = math.prod(factors)
    if abs(product - 1) > 1e-6:
        raise ValueError(
            f"factors: got a product of {product:g}; takes factors whose product is 1 (to 1e-6)"
        )
    return factors


def _numbers(factors: Sequence[float]) -> list[float]:
    """Any sequence of positive numbers, or a tensor or array of one axis, as floats."""
    items = factors.tolist() if hasattr(factors, "tolist") else factors
    if isinstance(items, str) or not isinstance(items, Sequence):
        raise TypeError(f"factors: got {factors!r}; takes a sequence of positive numbers")
    items = [item.item() if isinstance(item, Tensor) and item.ndim == 0 else item for item in items]
    return [check_number("factors", item, above=0) for item in items]


def scale_parameters(layers: list[nn.Linear], factors: list[float]) -> None:
    """W_l times a_l and b_l times a_1 ... a_l, in place."""
    so_far = 1.0
    with torch.no_grad():
        for layer, factor in zip(layers, factors, strict=True):
            so_far *= factor
            layer.weight.mul_(factor)
            if layer.bias is not None:
                layer.bias.mul_(so_far)


def block_factors(layers: list[nn.Linear], factors: list[float]) -> list[float]:
    """The factor of each parameter tensor, in the order of `model.parameters()`."""
    blocks, so_far = [], 1.0
    for layer, factor in zip(layers, factors, strict=True):
        so_far *= factor
        blocks += [factor] if layer.bias is None else [factor, so_far]
    return blocks
