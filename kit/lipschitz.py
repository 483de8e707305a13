"""How steep a network can be: Lipschitz constants, and what a sample of Jacobians misses of them.

    product of norms    Lip(f) <= prod_l ||W_l||_2 (sup |s'|)^{L-1}         any perceptron
    one input           the steepest of its linear pieces: exact            piecewise linear
    local variation     V_i = sup { ||J(x) - J(x_i)||_2 : ||x - x_i|| <= r }
    Theorem A           max_i ||J(x_i)|| <= sup ||J|| <= max_i (||J(x_i)|| + V_i)

The last is our version of the paper's theorem on the Jacobian and the Lipschitz norm: it holds
where every point of the support lies within r of a sample (theory.md, P1.5).

>>> from kit.models import mlp
>>> model = mlp((1, 1, 1))
>>> with torch.no_grad():
...     for p, value in zip(model.parameters(), (2.0, -1.0, 3.0, 0.0), strict=True):
...         _ = p.fill_(value)
>>> lipschitz_constant_1d(model, 0.0, 1.0), layer_norm_product(model)  # 3 relu(2 x - 1)
(6.0, 6.0)
>>> lipschitz_constant_1d(model, 0.0, 0.4)
0.0
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kit.checks import check_int, check_number, check_seed
from kit.jacobian import gram_norms, input_output_jacobian, jacobian_norms
from kit.objective import as_features
from kit.stack import architecture
from kit.statement import Statement

# sup |s'| and sup |s''| of the smooth activations
CURVE_BOUNDS = {nn.Tanh: (1.0, 4 / (3 * math.sqrt(3))), nn.GELU: (1.1290, 0.7979)}


def layer_norm_product(model: nn.Module) -> float:
    """prod_l ||W_l||_2 (sup |s'|)^{L-1}: an upper bound on the Lipschitz constant everywhere.

    >>> from kit.models import mlp
    >>> model = mlp((3, 2), bias=False)
    >>> spectral = torch.linalg.matrix_norm(model[0].weight, 2)
    >>> abs(layer_norm_product(model) - float(spectral.detach())) < 1e-6
    True

    The classic one, loose by the misalignment of the layers. In units of output per unit of input.
    Raises ValueError for anything but a multilayer perceptron: a convolution's norm depends on the
    size of its input, and its kernel's norm is no bound. Cost: an SVD a layer.
    """
    net = architecture(model) if isinstance(model, nn.Module) else None
    if net is None:
        raise ValueError("model: takes a multilayer perceptron, whose layers' norms are known")
    slope = CURVE_BOUNDS.get(net.activation, (1.0, 0.0))[0]
    norms = layer_norms(model)
    return math.prod(norms) * slope ** (len(norms) - 1)


def lipschitz_constant_1d(model: nn.Module, low: float, high: float) -> float:
    """sup |f'| on [low, high] of a piecewise-linear network of one input: exact.

    >>> from kit.models import mlp
    >>> lipschitz_constant_1d(mlp((1, 1), bias=False), -1.0, 1.0) > 0
    True

    The largest norm of the slope over the linear pieces between `breakpoints`, in float64.
    Raises ValueError for any other network, and for low not below high. Cost: a Jacobian a piece.
    Source: theory.md, P1.5.
    """
    x = breakpoints(model, low, high)
    middle = 0.5 * (x[1:] + x[:-1])
    exact = copy.deepcopy(model).double()  # pieces can be narrower than float32 tells apart
    return float(jacobian_norms(exact, middle.unsqueeze(1)).max())


@dataclass(frozen=True)
class LocalVariation:
    """V_i (n,) over balls of radius r, and how it was found.

    exact: for a piecewise-linear network of one input. Else `values` are the largest of `points`
    random points a ball: lower estimates; `half` (n,) is what half of the points give, so that
    their difference shows what more points still add.
    """

    values: Tensor
    exact: bool
    points: int
    half: Tensor

    @property
    def largest(self) -> float:
        return float(self.values.max())


def local_variation(
    model: nn.Module,
    X: Tensor,
    r: float,
    *,
    interval: tuple[float, float] | None = None,
    points: int = 64,
    seed: int = 0,
) -> LocalVariation:
    """V_i = sup ||J(x) - J(x_i)||_2 over ||x - x_i|| <= r, for each sample.

    >>> from kit.models import mlp
    >>> model = mlp((1, 1, 1))
    >>> with torch.no_grad():
    ...     for p, value in zip(model.parameters(), (2.0, -1.0, 3.0, 0.0), strict=True):
    ...         _ = p.fill_(value)
    >>> local_variation(model, torch.tensor([[0.2], [0.45]]), 0.1).values  # the kink is at 0.5
    tensor([0., 6.], dtype=torch.float64)

    X (n, ...), r in units of X. Exact for a piecewise-linear network of one input, on the part of
    the ball inside `interval`. Sampled otherwise: `points` drawn uniformly from each ball, with
    `seed`. Cost: n x points Jacobians. Raises ValueError or TypeError that names the argument.
    Source: theory.md, P1.5.
    """
    X = _samples(model, X)
    here = input_output_jacobian(model, X)
    r = check_number("r", r, low=0)
    points = check_int("points", points, low=2)
    generator = torch.Generator().manual_seed(check_seed(seed))
    net = architecture(model)
    if net is not None and net.widths[0] == 1 and net.curve[2] is None:
        if interval is None:  # past every ball: r may be 0
            interval = (float(X.min()) - r - 1, float(X.max()) + r + 1)
        if not isinstance(interval, tuple) or len(interval) != 2:
            raise TypeError(f"interval: got {interval!r}; takes (low, high)")
        return _piecewise_variation(model, X[:, 0].double(), r, *interval)
    if interval is not None:
        raise ValueError("interval: takes None, but for a piecewise-linear network of one input")
    flat = X.flatten(1)
    n, d = flat.shape
    largest = []
    for _ in range(points):
        step = torch.randn(n, d, generator=generator, dtype=torch.float64)
        length = torch.rand(n, 1, generator=generator, dtype=torch.float64) ** (1 / d)
        step = r * length * step / step.norm(dim=1, keepdim=True)
        there = input_output_jacobian(model, (flat + step.to(flat)).view(X.shape))
        change = there - here
        gram = change @ change.mT if change.shape[1] <= change.shape[2] else change.mT @ change
        largest.append(gram_norms(gram, "spectral").double())
    every = torch.stack(largest)
    return LocalVariation(every.amax(0), False, points, every[: points // 2].amax(0))


def _piecewise_variation(
    model: nn.Module, x: Tensor, r: float, low: float, high: float
) -> LocalVariation:
    """The largest jump of the slope among the linear pieces that meet each ball."""
    ends = breakpoints(model, low, high)
    exact = copy.deepcopy(model).double()
    middle = 0.5 * (ends[1:] + ends[:-1])
    slopes = input_output_jacobian(exact, middle.unsqueeze(1))[:, :, 0]
    own = input_output_jacobian(exact, x.unsqueeze(1))[:, :, 0]
    # Piece k meets the ball of x where ends[k] < x + r and ends[k + 1] > x - r.
    meets = (ends[:-1] < (x + r)[:, None]) & (ends[1:] > (x - r)[:, None])
    jumps = (slopes[None] - own[:, None]).norm(dim=2)
    values = torch.where(meets, jumps, 0.0).amax(1)
    return LocalVariation(values, True, len(middle), values)


def jacobian_bracket(
    model: nn.Module,
    X: Tensor,
    r: float,
    *,
    interval: tuple[float, float] | None = None,
    points: int = 64,
    seed: int = 0,
) -> Statement:
    """Theorem A, our version: sup ||J|| lies between max_i ||J(x_i)|| and max_i (||J(x_i)|| + V_i).

    >>> from kit.models import mlp
    >>> result = jacobian_bracket(mlp((1, 8, 1), seed=0), torch.linspace(0, 1, 11)[:, None], 0.05)
    >>> result.kind, result.terms["max J"] <= result.value
    ('bound', True)

    `value` is the upper end, `terms["max J"]` the lower. r must be a covering radius of the
    support (`kit.covering`); on a convex support the supremum is the Lipschitz constant of f. An
    estimate where V is sampled. Vacuous where the product of the layers' norms says as much.
    Source: theory.md, P1.5; in the spirit of MacDonald, Valmadre and Lucey, arXiv 2305.14683.
    """
    V = local_variation(model, X, r, interval=interval, points=points, seed=seed)
    norms = jacobian_norms(model, _samples(model, X)).double()
    value = float((norms + V.values).max())
    terms = {"max J": float(norms.max()), "V": V.largest, "r": float(r)}
    known = architecture(model) is not None
    if known:
        terms["product of norms"] = layer_norm_product(model)
    at_samples = "f is differentiable at the samples"
    how = "V exact: linear pieces" if V.exact else f"V from {V.points} points: a lower estimate"
    return Statement(
        value,
        terms,
        (f"every point of the support lies within {r:g} of a sample", how, at_samples),
        vacuous=known and not value < terms["product of norms"],
        kind="bound" if V.exact else "estimate",
    )


def breakpoints(model: nn.Module, low: float, high: float) -> Tensor:
    """Where a piecewise-linear network of one input has its kinks on [low, high], with the ends.

    >>> from kit.models import mlp
    >>> model = mlp((1, 1, 1))
    >>> with torch.no_grad():
    ...     _ = model[0].weight.fill_(2.0), model[0].bias.fill_(-1.0)
    >>> breakpoints(model, 0.0, 2.0)
    tensor([0.0000, 0.5000, 2.0000], dtype=torch.float64)

    Between two of them every pre-activation is linear, so its zeros are found exactly, layer by
    layer, in float64. Raises ValueError for any other network, and for low not below high.
    """
    low, high = check_number("low", low), check_number("high", high)
    if not low < high:
        raise ValueError(f"high: got {high:g}; takes a number above low, {low:g}")
    net = architecture(model)
    if net is None or net.widths[0] != 1 or net.curve[2] is not None:
        raise ValueError("model: takes a multilayer perceptron of one input, piecewise linear")
    x = torch.tensor([low, high], dtype=torch.float64)
    h = x.unsqueeze(1)
    with torch.no_grad():
        for module in model:
            if isinstance(module, nn.Linear):
                bias = 0.0 if module.bias is None else module.bias.double()
                h = h @ module.weight.double().T + bias
                continue
            left, right = h[:-1], h[1:]
            crossing = left * right < 0
            t = torch.where(crossing, left / (left - right), 0.0)
            new = (x[:-1, None] + t * x.diff()[:, None])[crossing]
            finer = torch.cat([x, new]).unique()
            index = torch.searchsorted(x, finer).clamp(1, len(x) - 1)
            share = ((finer - x[index - 1]) / (x[index] - x[index - 1])).unsqueeze(1)
            z = h[index - 1] + share * (h[index] - h[index - 1])
            x, h = finer, module(z)
    return x


def second_derivative_bound(model: nn.Module) -> float:
    """An upper bound on M, the Lipschitz constant of J, from layer norms (theory.md, P1.5).

    With z_l' the derivative along a unit direction: ||h''|| <= sup|s''| ||z'||^2 + sup|s'| ||z''||.
    """
    net = architecture(model)
    if net is None or net.activation not in CURVE_BOUNDS:
        raise ValueError("model: takes a multilayer perceptron with a smooth activation")
    slope, bend = CURVE_BOUNDS[net.activation]
    first, second = 1.0, 0.0
    for index, norm in enumerate(layer_norms(model)):
        if index:
            first, second = slope * first, bend * first**2 + slope * second
        first, second = norm * first, norm * second
    return second


def layer_norms(model: nn.Module) -> list[float]:
    """||W_l||_2 for each layer; NaN where a weight is not finite."""
    weights = [module.weight.detach() for module in model if isinstance(module, nn.Linear)]
    return [
        float(torch.linalg.matrix_norm(W, 2)) if torch.isfinite(W).all() else math.nan
        for W in weights
    ]


def _samples(model: nn.Module, X: object) -> Tensor:
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: got {type(model).__name__}; takes a torch.nn.Module")
    return as_features(X, next(model.parameters(), torch.zeros(())))
