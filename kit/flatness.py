"""Flatness measures that weigh curvature with the size of the weights, layer by layer.

    relative flatness     kappa_Tr = sum_{s,s'} <w_s, w_s'> Tr H_{s,s'}           (one layer)
    minimum sharpness     min over rescalings of the layers of Tr H
    normalized sharpness  sum over layers of min over s, t of
                          sum_ij H_ij e^{s_i + t_j} + W_ij^2 e^{-s_i - t_j}
    Fisher-Rao norm       theta' G theta

w_s is row s of a layer's weight W, H_{s,s'} the block of the Hessian between two rows, H_ij a
diagonal entry. Where the activation is piecewise linear, these parts of H are those of the
Gauss-Newton matrix (theory.md, (1')), which `kit.tangent` has in closed form.

>>> from kit.models import mlp
>>> from kit.objective import Objective
>>> objective = Objective(mlp((1, 1), bias=False), [[2.0]], [[1.0]], loss="mse")
>>> w = float(objective.model[0].weight.detach())
>>> abs(fisher_rao_norm(objective) - 4 * w * w) < 1e-6  # theta' x^2 theta
True
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from kit.checks import check_int, check_one_of
from kit.curvature import check_objective
from kit.determinism import buffer_copies
from kit.objective import Objective
from kit.points import ClosedFormPoint
from kit.tangent import gauss_newton_diagonal, output_root, partial_jacobians

SWEEPS = 2000


def fisher_rao_norm(objective: Objective) -> float:
    """theta' G theta, the squared Fisher-Rao norm, with the model's own Fisher matrix.

    >>> from kit.models import mlp
    >>> objective = Objective(mlp((2, 3, 2), bias=False).double(), torch.eye(2), [0, 1])
    >>> f, L = objective.outputs(), 2  # without biases theta' grad f = L f
    >>> p = torch.softmax(f, 1)
    >>> spread = (p * f * f).sum(1) - (p * f).sum(1).square()
    >>> abs(fisher_rao_norm(objective) - L**2 * float(spread.mean())) < 1e-12
    True

    Cost: one Gauss-Newton product. Source: Liang et al., arXiv 1711.01530; theory.md, II, row 7.
    """
    check_objective(objective)
    theta = objective.point().theta
    return float(theta @ objective.ggnvp(theta))


def relative_flatness(objective: Objective, *, layer: int = -1, kind: str = "trace") -> float:
    """Petzka's relative flatness of one layer, by default the last.

    >>> from kit.models import mlp
    >>> model = mlp((2, 3), bias=False).double()
    >>> with torch.no_grad():
    ...     _ = model[0].weight.copy_(torch.tensor([[.3, -.2], [.1, .4], [-.5, .2]]))
    >>> objective = Objective(model, [[1.0, 2.0]], [1])
    >>> [round(relative_flatness(objective, kind=kind), 6) for kind in ("trace", "max")]
    [0.668089, 0.558322]

    `kind`: "trace", kappa_Tr, or "max", sum_s ||w_s||^2 lambda_max(H_{s,s}). `layer` counts linear
    layers from 0, negative from the end. The last layer of any module that ends in a linear one;
    the others of a perceptron with a piecewise-linear activation. Biases are left out. Raises
    ValueError elsewhere. Cost: K backward passes. Source: Petzka et al., arXiv 2001.00939;
    theory.md, II, row 3.
    """
    check_objective(objective)
    check_one_of("kind", kind, ("trace", "max"))
    W, h, rows = _layer(objective, check_int("layer", layer))
    if kind == "trace":
        return float((h.square().sum(1) * (rows @ W).square().sum((1, 2))).sum())
    # H_{s,s} = sum_i (rows' rows)_ss h_i h_i'.
    weights = rows.square().sum(1)
    tops = [
        float(torch.linalg.eigvalsh((h * w.unsqueeze(1)).mT @ h)[-1]) for w in weights.unbind(1)
    ]
    return float((W.square().sum(1).cpu() * torch.tensor(tops, dtype=W.dtype)).sum())


def minimum_sharpness(objective: Objective) -> float:
    """The least Tr H over all layer-wise rescalings of the same function.

    >>> from kit.models import mlp
    >>> from kit.rescaling import rescale_layers
    >>> model = mlp((2, 4, 2), seed=0).double()
    >>> other = rescale_layers(model, (7, 1 / 7))
    >>> a, b = (Objective(m, torch.eye(2), [0, 1]) for m in (model, other))
    >>> abs(minimum_sharpness(a) - minimum_sharpness(b)) < 1e-9
    True

    With t_l, s_l the traces over a layer's weight and bias it is the minimum of sum_l t_l / a_l^2 +
    s_l / (a_1 ... a_l)^2 over prod a = 1, convex in log a; without biases L (t_1 ... t_L)^{1/L}. A
    layer whose trace is 0, or a single layer, has the infimum as its value. Perceptrons with a
    positively homogeneous activation only. Source: Ibayashi, Hamaguchi and Imaizumi (2021); the
    closed form is ours (theory.md, II, row 4).
    """
    weights, biases, _ = _diagonals(objective)
    L = len(weights)
    t = torch.stack([w.sum() for w in weights]).numpy()
    s = torch.stack([b.sum() for b in biases]).numpy() if biases else None
    if L == 1:
        return float(t.sum() if s is None else t.sum() + s.sum())
    if s is None:
        return 0.0 if t.min() <= 0 else L * math.exp(float(np.log(t).mean()))
    # With u_l = log a_1 ... a_l, u_L = 0, log a_l is u_l - u_{l-1}.
    ends = np.eye(L + 1)[:, 1:-1]
    A = -2 * np.concatenate([np.diff(ends, axis=0), ends[1:-1]])
    c = np.concatenate([t, s[:-1]])
    there, scale = c > 0, c.max()
    if scale == 0:
        return float(s[-1])
    logs = np.log(t) if t.min() > 0 else np.zeros(L)
    start = 0.5 * (logs - logs.mean()).cumsum()[:-1]  # the balance of the weights alone
    least = least_exponential_sum(c[there] / scale, A[there], start)
    return float(scale * least + s[-1])


def least_exponential_sum(c: np.ndarray, A: np.ndarray, u: np.ndarray) -> float:
    """The minimum over u of sum_k c_k exp(<a_k, u>), c (m,) >= 0, A (m, d), from a start u (d,).

    >>> least_exponential_sum(np.array([1.0, 4.0]), np.array([[1.0], [-1.0]]), np.zeros(1))
    4.0

    Convex: Newton's method with halved steps. Scipy has it, for 23 MB of every page that asks.
    """
    for _ in range(200):
        e = c * np.exp(A @ u)
        value, g = e.sum(), A.T @ e
        step = np.linalg.lstsq((A.T * e) @ A, g)[0]  # a direction that nothing depends on: 0
        if g @ step <= 1e-15 * value:
            break
        size = 1.0
        while (c * np.exp(A @ (u - size * step))).sum() > value - 0.25 * size * (g @ step):
            size /= 2
            if size < 1e-12:
                return float(value)
        u = u - size * step
    return float(value)


def normalized_sharpness(objective: Objective) -> float:
    """Tsuzuku's normalized sharpness, in the form of its first version, weights only.

    >>> from kit.models import mlp
    >>> model = mlp((1, 1), bias=False).double()
    >>> objective = Objective(model, [[2.0]], [[1.0]], loss="mse")
    >>> w = abs(float(model[0].weight.detach()))
    >>> abs(normalized_sharpness(objective) - 2 * 2 * w) < 1e-9  # 2 sqrt(H) |w|, H = 4
    True

    The minimum over s and t is found by solving for one with the other fixed, in turns, until it
    no longer falls; the problem is convex. Node-wise rescaling does not change it. Perceptrons
    with a piecewise-linear activation only. Source: Tsuzuku, Sato and Sugiyama, arXiv 1901.04653;
    theory.md, II, row 5.
    """
    weights, _, layers = _diagonals(objective)
    return sum(_balanced(H, W.square()) for H, W in zip(weights, layers, strict=True))


def _balanced(H: Tensor, squares: Tensor) -> float:
    """min over s, t of sum H e^{s + t} + squares e^{-s - t}; a row or column of zeros drops out."""
    tiny = torch.finfo(H.dtype).tiny
    t, value = H.new_ones(H.shape[1]), math.inf
    for _ in range(SWEEPS):
        up, down = H @ t, squares @ (1 / t)
        r = _root(down, up, tiny)
        up, down = H.mT @ r, squares.mT @ (1 / r)
        t = _root(down, up, tiny)
        new = float(2 * (up * down).sqrt().sum())
        if abs(value - new) <= 1e-13 * abs(new):
            break
        value = new
    return new


def _root(down: Tensor, up: Tensor, tiny: float) -> Tensor:
    return ((down.clamp(min=tiny) / up.clamp(min=tiny)).sqrt()).clamp(1e-150, 1e150)


def _diagonals(objective: Objective) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """diag H over each weight (out, in) and each bias, and the weights; float64."""
    check_objective(objective)
    point = objective.point()
    if not isinstance(point, ClosedFormPoint) or point.stack.net.curve[2] is not None:
        raise ValueError(
            "model: takes a multilayer perceptron with a piecewise-linear activation, whose "
            "Hessian has the diagonal of its Gauss-Newton matrix"
        )
    net = point.stack.net
    weights, biases = net.split(gauss_newton_diagonal(objective).double().unsqueeze(0))
    layers = [W[0].double() for W in point.stack.W]
    return [w[0] for w in weights], [b[0, 0] for b in biases] if net.bias else [], layers


def _layer(objective: Objective, layer: int) -> tuple[Tensor, Tensor, Tensor]:
    """W (out, in), the layer's inputs h (n, in), and C_i' J_{>l} (n, K, out)."""
    point = objective.point()
    C = output_root(objective)
    if isinstance(point, ClosedFormPoint):
        net = point.stack.net
        if not -net.layers <= layer < net.layers:
            raise ValueError(
                f"layer: got {layer}; takes {-net.layers} to {net.layers - 1}, one of the "
                f"{net.layers} linear layers"
            )
        layer %= net.layers
        if layer < net.layers - 1 and net.curve[2] is not None:
            raise ValueError(
                f"layer: got {layer}; takes the last, since {net.activation.__name__} is not "
                "piecewise linear"
            )
        J = dict(partial_jacobians(point.stack))[layer][0]
        return point.stack.W[layer][0], point.stack.h[layer][0], C.mT @ J
    if layer != -1:
        raise ValueError(f"layer: got {layer}; takes -1, the last, of {type(objective.model)}")
    W, h = _last_linear(objective)
    return W, h, C.mT


def _last_linear(objective: Objective) -> tuple[Tensor, Tensor]:
    """Weight and inputs of the linear layer that gives the outputs."""
    seen: list[tuple[nn.Linear, Tensor, Tensor]] = []
    linears = [m for m in objective.model.modules() if isinstance(m, nn.Linear)]
    hooks = [
        m.register_forward_hook(lambda m, inputs, output: seen.append((m, inputs[0], output)))
        for m in linears
    ]
    try:
        with torch.no_grad():
            torch.func.functional_call(
                objective.model, buffer_copies(objective.model), (objective.X,)
            )
    finally:
        for hook in hooks:
            hook.remove()
    if not seen or not torch.equal(seen[-1][2], objective.outputs()):
        raise ValueError("model: does not end in a linear layer; takes one that does")
    linear, h, _ = seen[-1]
    return linear.weight.detach(), h.detach()
