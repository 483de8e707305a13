"""Vertical and horizontal: what of a direction only rescales the layers, and what changes f.

    vertical      V = { (a_l W_l)_l, (a_1 + ... + a_l) b_l : sum_l a_l = 0 }
    horizontal    orthogonal to V in <u, v> = sum_b <u_b, v_b> / ||theta_b||^2

The metric is the layer-wise one of Rangamani et al., over weight tensors and bias vectors b. The
quotient by rescaling has the horizontal directions as its tangent space, the Riemannian gradient
is horizontal by itself, and the operator "riemannian" (H_q) is 0 on vertical ones (theory.md, P2.3
and P2.4).

>>> from kit.models import mlp
>>> from kit.objective import Objective
>>> objective = Objective(mlp((2, 3, 2), seed=0).double(), torch.eye(2), [0, 1])
>>> V = vertical_basis(objective)  # one direction: two layers, whose factors multiply to 1
>>> V.shape, float((objective.gradient() @ V).abs()) < 1e-12  # along it the loss is constant
(torch.Size([17, 1]), True)
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from kit.curvature import check_objective
from kit.objective import Objective
from kit.operators import block_norms
from kit.symmetry import Symmetry, find_symmetry


def vertical_basis(objective: Objective) -> Tensor:
    """Tangent vectors of the orbit of layer-wise rescaling, (P, m): a basis.

    >>> from kit.models import mlp
    >>> objective = Objective(mlp((2, 3, 3, 2)), torch.eye(2), [0, 1])
    >>> vertical_basis(objective).shape  # L - 1 directions
    torch.Size([29, 2])

    m is L - 1 for a chain of L layers, less one more for each residual block. Raises ValueError for
    a model without the symmetry. Source: theory.md, P2.3.
    """
    check_objective(objective)
    symmetry = find_symmetry(objective.model)
    theta = objective.flat_parameters()
    rates = _log_rates(objective, symmetry).to(theta)
    columns = []
    for group in symmetry.groups:
        # Each pair of neighbours: one layer grows as the other shrinks.
        columns += [rates[:, a] - rates[:, b] for a, b in pairwise(group)]
    if not columns:
        return theta.new_zeros(len(theta), 0)
    return theta.unsqueeze(1) * torch.stack(columns, dim=1)


def vertical_part(objective: Objective, v: Tensor) -> Tensor:
    """The part of v (P,) that rescales layers and leaves f as it is, (P,).

    >>> from kit.models import mlp
    >>> objective = Objective(mlp((2, 3, 2)).double(), torch.eye(2), [0, 1])
    >>> V = vertical_basis(objective)
    >>> torch.allclose(vertical_part(objective, V[:, 0]), V[:, 0])
    True

    The orthogonal projection in the layer metric. A tensor that is 0 throughout has no vertical
    direction, and its part of v counts as horizontal.
    """
    V, v = vertical_basis(objective), _vector(objective, v)
    D = block_norms(objective).unsqueeze(1)
    inverse = torch.where(D > 0, 1 / D.clamp(min=torch.finfo(D.dtype).tiny), 0.0)
    # In e = u / ||theta_b|| the metric is Euclidean.
    E = (inverse * V).double()
    return (V.double() @ torch.linalg.lstsq(E, (inverse[:, 0] * v).double()).solution).to(v)


def horizontal_part(objective: Objective, v: Tensor) -> Tensor:
    """v less its vertical part, (P,): the direction that it stands for in the quotient.

    >>> from kit.models import mlp
    >>> objective = Objective(mlp((2, 3, 2)).double(), torch.eye(2), [0, 1])
    >>> v = horizontal_part(objective, torch.ones(17))
    >>> float(vertical_part(objective, v).norm()) < 1e-12
    True
    """
    return _vector(objective, v) - vertical_part(objective, v)


def riemannian_gradient(objective: Objective) -> Tensor:
    """||theta_b||^2 g_b on each block, (P,): the gradient in the layer metric.

    >>> from kit.models import mlp
    >>> objective = Objective(mlp((2, 3, 2)).double(), torch.eye(2), [0, 1])
    >>> gradient = riemannian_gradient(objective)
    >>> torch.allclose(horizontal_part(objective, gradient), gradient)
    True

    Horizontal by itself where the loss does not change under rescaling; weight decay breaks that.
    """
    check_objective(objective)
    return block_norms(objective).square() * objective.gradient()


def _log_rates(objective: Objective, symmetry: Symmetry) -> Tensor:
    """d log (parameter) / d log (factor of layer l), (P, L)."""
    L, rates = len(symmetry.layers), {}
    for index, (layer, carried) in enumerate(zip(symmetry.layers, symmetry.carried, strict=True)):
        rates[id(layer.weight)] = [float(m == index) for m in range(L)]
        if layer.bias is not None:
            rates[id(layer.bias)] = [float(m in carried) for m in range(L)]
    rows = [torch.tensor(rates[id(p)]).expand(p.numel(), L) for p in objective.model.parameters()]
    return torch.cat(rows)


def _vector(objective: Objective, v: object) -> Tensor:
    P = objective.parameters
    if not isinstance(v, Tensor) or v.shape != (P,):
        got = tuple(v.shape) if isinstance(v, Tensor) else type(v).__name__
        raise ValueError(f"v: got {got}; takes a tensor ({P},), flat as the parameters")
    return v.detach().to(objective.point().theta)
