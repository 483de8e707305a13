"""Rescaling: other parameters, the same function; and sharpness that does not see it.

    layer-wise   W_l -> a_l W_l,   b_l -> (a_1 ... a_l) b_l,          prod_l a_l = 1
    node-wise    W_l -> D_l W_l D_{l-1}^{-1},   b_l -> D_l b_l,       D_0 = D_L = 1

Both leave f as it is when the activation is positively homogeneous, s(c z) = c s(z) for c > 0:
relu, leaky_relu, linear; average and max pooling, too. Not tanh, not gelu. A node of a convolution
is a channel. (theory.md, P2.1; `kit.symmetry` finds the layers.)

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
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from kit.checks import check_bool, check_number, check_one_of
from kit.curvature import converged_value, eigenvalues
from kit.objective import Objective
from kit.operators import zero_blocks
from kit.symmetry import Symmetry, find_symmetry


def rescale_layers(model: nn.Module, factors: Sequence[float]) -> nn.Module:
    """A new model with W_l times factors[l] that computes the same function.

    >>> from kit.models import mlp
    >>> rescale_layers(mlp((2, 3, 1)), (2, 2))
    Traceback (most recent call last):
    ValueError: factors: got a product of 4; takes factors whose product is 1 (to 1e-6)

    One positive factor a layer, with product 1; in a residual network those of the layers inside
    each block, and those of the layers outside. Raises ValueError for other factors and for a
    model without the symmetry; the source model is left alone. Source: theory.md, P2.1.
    """
    factors = check_factors(factors, find_symmetry(model))
    scaled = copy.deepcopy(model)
    scale_parameters(find_symmetry(scaled), factors)
    return scaled


def rescale_nodes(model: nn.Module, factors: Sequence[Sequence[float]]) -> nn.Module:
    """A new model with each hidden unit or channel scaled by its own factor; the same function.

    >>> from kit.models import mlp
    >>> model = mlp((2, 3, 1), seed=0)
    >>> torch.allclose(rescale_nodes(model, [[1, 2, 4]])(torch.ones(1, 2)), model(torch.ones(1, 2)))
    True

    `factors`: one vector of positive numbers a hidden layer, one number a unit, or a channel of a
    convolution. In a residual network the hidden layers are those inside the blocks. Source: P2.1.
    """
    hidden = find_symmetry(model).hidden()
    try:
        factors = [_numbers(vector) for vector in factors]
    except TypeError as error:
        raise TypeError(f"factors: takes one vector of numbers a hidden layer; {error}") from error
    if len(factors) != len(hidden):
        raise ValueError(
            f"factors: got {len(factors)} vectors; takes {len(hidden)}, one a hidden layer"
        )
    scaled = copy.deepcopy(model)
    layers = find_symmetry(scaled).layers
    with torch.no_grad():
        for index, (vector, (here, after)) in enumerate(zip(factors, hidden, strict=True)):
            layer, following = layers[here], layers[after]
            if len(vector) != len(layer.weight):
                raise ValueError(
                    f"factors: got {len(vector)} numbers for hidden layer {index + 1}; "
                    f"takes {len(layer.weight)}, one a unit"
                )
            if getattr(following, "groups", 1) != 1:
                raise ValueError("model: a grouped convolution cannot be scaled channel by channel")
            D = layer.weight.new_tensor(vector)
            layer.weight.mul_(_along(D, layer.weight, 0))
            if layer.bias is not None:
                layer.bias.mul_(D)
            # A flattened channel is one input for each of its pixels.
            repeats = following.weight.shape[1] // len(D)
            following.weight.div_(_along(D.repeat_interleave(repeats), following.weight, 1))
    return scaled


def _along(D: Tensor, weight: Tensor, axis: int) -> Tensor:
    return D.view([-1 if i == axis else 1 for i in range(weight.ndim)])


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
    bias vector; with `riemannian=True`, lambda_max(H_q), the Hessian on the quotient by layer-wise
    rescaling, the same at a critical point; "elementwise", |theta| H |theta|, or "path", weighed by
    path norms, which node-wise rescaling cannot change either. Warns where `tol` was not reached,
    and where a whole tensor is 0, such as a fresh bias: its directions then count as flat.
    Source: Rangamani et al., arXiv 1902.02434; theory.md, P2.4 and P2.6.
    """
    check_one_of("metric", metric, ("layer", "elementwise", "path"))
    if check_bool("riemannian", riemannian) and metric != "layer":
        raise ValueError(f"riemannian: got True with metric={metric!r}; takes metric='layer'")
    operator = "riemannian" if riemannian else metric
    if metric == "layer" and isinstance(objective, Objective) and (zero := zero_blocks(objective)):
        warnings.warn(
            f"invariant_sharpness: {', '.join(zero)} is 0 and counts as flat: the metric is "
            "singular there; take a step of training first",
            stacklevel=2,
        )
    result = eigenvalues(objective, operator=operator, tol=tol, start=start, seed=seed)
    return converged_value(result, f"invariant_sharpness ({operator})")


def symmetry_fault(model: nn.Module) -> str | None:
    """Why a model lacks the rescaling symmetry, or None if it has it.

    >>> from kit.models import mlp
    >>> symmetry_fault(mlp((2, 3, 1), activation="tanh"))
    'Tanh is not positively homogeneous: s(c z) = c s(z) fails for c > 0'
    """
    try:
        find_symmetry(model)
    except ValueError as error:
        return str(error).removeprefix("model: ")
    return None


def check_factors(factors: Sequence[float], symmetry: Symmetry) -> list[float]:
    """Positive factors, one a layer, with product 1 to 1e-6 in each group of the symmetry."""
    factors = _numbers(factors)
    layers = len(symmetry.layers)
    if len(factors) != layers:
        raise ValueError(f"factors: got {len(factors)}; takes {layers}, one a layer")
    for group in symmetry.groups:
        product = math.prod(factors[index] for index in group)
        if abs(product - 1) > 1e-6:
            which = "" if symmetry.is_chain else f" for the layers {group}, counted from 0"
            raise ValueError(
                f"factors: got a product of {product:g}{which}; takes factors whose product is 1 "
                "(to 1e-6)"
            )
    return factors


def _numbers(factors: Sequence[float]) -> list[float]:
    """Any sequence of positive numbers, or a tensor or array of one axis, as floats."""
    items = factors.tolist() if hasattr(factors, "tolist") else factors
    if isinstance(items, str) or not isinstance(items, Sequence):
        raise TypeError(f"factors: got {factors!r}; takes a sequence of positive numbers")
    items = [item.item() if isinstance(item, Tensor) and item.ndim == 0 else item for item in items]
    return [check_number("factors", item, above=0) for item in items]


def scale_parameters(symmetry: Symmetry, factors: Sequence[float]) -> None:
    """W_l times a_l, and b_l times the factors that it carries, in place."""
    with torch.no_grad():
        for parameter, factor in _factors(symmetry, factors):
            parameter.mul_(factor)


def block_factors(model: nn.Module, factors: Sequence[float]) -> list[float]:
    """The factor of each parameter tensor, in the order of `model.parameters()`."""
    pairs = _factors(find_symmetry(model), factors)
    by_tensor = {id(parameter): factor for parameter, factor in pairs}
    return [by_tensor[id(p)] for p in model.parameters()]


def _factors(symmetry: Symmetry, factors: Sequence[float]) -> list[tuple[nn.Parameter, float]]:
    pairs = []
    for layer, factor, carried in zip(symmetry.layers, factors, symmetry.carried, strict=True):
        pairs.append((layer.weight, factor))
        if layer.bias is not None:
            pairs.append((layer.bias, math.prod(factors[index] for index in carried)))
    return pairs
