"""The symmetric operators whose eigenvalues the kit measures, as matrix-block products.

    hessian        H                          grad^2 of the mean loss
    gauss_newton   G = J_theta' (grad^2 c) J_theta / n
    layer          S = D H D                  D = ||theta_b|| on each block b       (theory.md, 9)
    riemannian     H_q = S + T                T_b = g_b w_b' + w_b g_b' - <g_b, w_b> I
    elementwise    |theta| H |theta|          second-order adaptive sharpness       (P2.6)
    path           rho^{1/2} H rho^{1/2}      rho from path norms                   (P2.6)
    residual       R = H - G                  what the fit's errors add             (1)

A block is a weight tensor or a bias vector. S, H_q and the elementwise form are the same matrix for
every rescaling of a positively homogeneous network (layer-wise for S and H_q, node-wise too for the
elementwise form and the path metric). A block of zeros, such as a fresh bias, contributes zero rows
and columns, and so does, in the path metric, a unit that no path reaches.

>>> sorted(OPERATORS)
['elementwise', 'gauss_newton', 'hessian', 'layer', 'path', 'residual', 'riemannian']
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kit.checks import check_one_of
from kit.objective import Objective
from kit.paths import path_scales
from kit.points import Point

Product = Callable[[Tensor], Tensor]


def operator_product(objective: Objective, operator: str) -> Product:
    """V (P, k) -> A V at the objective's present parameters, frozen there."""
    check_one_of("operator", operator, OPERATORS)
    return OPERATORS[operator](objective, objective.point())


def _layer(objective: Objective, point: Point) -> Product:
    D = block_norms(objective).unsqueeze(1)
    return lambda V: D * point.hvp(D * V)


def _riemannian(objective: Objective, point: Point) -> Product:
    S = _layer(objective, point)
    sizes = [block.numel() for block in objective.blocks()]
    pairs = list(zip(point.gradient().split(sizes), point.theta.split(sizes), strict=True))

    def product(V: Tensor) -> Tensor:
        corrections = [
            torch.outer(g, w @ e) + torch.outer(w, g @ e) - (g @ w) * e
            for (g, w), e in zip(pairs, V.split(sizes), strict=True)
        ]
        return S(V) + torch.cat(corrections)

    return product


def _elementwise(objective: Objective, point: Point) -> Product:
    D = point.theta.abs().unsqueeze(1)
    return lambda V: D * point.hvp(D * V)


def _path(objective: Objective, point: Point) -> Product:
    D = path_scales(objective.model).to(point.theta).sqrt().unsqueeze(1)
    return lambda V: D * point.hvp(D * V)


def _residual(objective: Objective, point: Point) -> Product:
    return lambda V: point.hvp(V) - point.ggnvp(V)


def zero_blocks(objective: Objective) -> list[str]:
    """Names of the parameter tensors that are 0 throughout: the layer metric is singular there.

    >>> from kit.models import mlp
    >>> model = mlp((2, 1))
    >>> _ = torch.nn.init.zeros_(model[0].bias)
    >>> zero_blocks(Objective(model, [[1.0, 2.0]], [[0.0]], loss="mse"))
    ['0.bias']
    """
    names = [name for name, _ in objective.model.named_parameters()]
    blocks = zip(names, objective.blocks(), strict=True)
    return [name for name, block in blocks if not bool(block.any())]


def block_norms(objective: Objective) -> Tensor:
    """||theta_b|| of the block that each parameter belongs to, (P,)."""
    return torch.cat([b.norm().expand(b.numel()) for b in objective.blocks()])


OPERATORS: dict[str, Callable[[Objective, Point], Product]] = {
    "hessian": lambda objective, point: point.hvp,
    "gauss_newton": lambda objective, point: point.ggnvp,
    "layer": _layer,
    "riemannian": _riemannian,
    "elementwise": _elementwise,
    "path": _path,
    "residual": _residual,
}
