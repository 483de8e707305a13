"""The interpolating information criterion: the evidence of a model that fits its data exactly.

For a linear model y = X theta with prior N(0, tau^2 I), and tau^2 = |theta|^2 / m chosen to make
the data most likely, with theta the interpolator of least norm (theory.md, II, row 15, ours):

    -(2/m) log evidence = log |theta|^2 + (1/m) log det X X' - log m + 1 + log 2 pi

A network is taken as linear in its parameters around where it is: X becomes DF, and X X' the
tangent kernel of the m = nK outputs. Hodgkinson et al. have one term more, the curvature of the
set of interpolators, which this leaves out.

>>> from kit.models import mlp
>>> from kit.objective import Objective
>>> objective = Objective(mlp((2, 1), bias=False), [[3.0, 4.0]], [[1.0]], loss="mse")
>>> with torch.no_grad():
...     _ = objective.model[0].weight.copy_(torch.tensor([[3.0, 4.0]]) / 25)
>>> round(interpolating_information_criterion(objective), 4)  # 0 - 0 + 1 + log 2 pi
2.8379
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kit.curvature import check_objective
from kit.objective import Objective
from kit.tangent import tangent_kernel


def interpolating_information_criterion(
    objective: Objective, *, initial: Tensor | None = None
) -> float:
    """log |theta - initial|^2 + (1/m) log det (DF DF') - log m + 1 + log 2 pi, m = nK.

    >>> from kit.models import mlp
    >>> X = torch.eye(3).double()
    >>> objective = Objective(mlp((3, 20, 1)).double(), X, torch.ones(3, 1), loss="mse")
    >>> math.isfinite(interpolating_information_criterion(objective))
    True

    `initial` (P,): the centre of the prior, 0 by default. It says something of models that
    interpolate only. Raises ValueError where the kernel is singular (more outputs than parameters,
    or repeated samples) or nK above 5000. Cost: the tangent kernel and its Cholesky factor.
    Source: Hodgkinson, van der Heide, Salomone, Roosta and Mahoney, arXiv 2307.07785; our local
    form, theory.md, II, row 15.
    """
    check_objective(objective)
    theta = objective.flat_parameters().double()
    if initial is not None:
        if not isinstance(initial, Tensor) or initial.shape != theta.shape:
            got = tuple(initial.shape) if isinstance(initial, Tensor) else type(initial).__name__
            raise ValueError(f"initial: got {got}; takes the {len(theta)} parameters at the start")
        theta = theta - initial.double()
    square = float(theta @ theta)
    if square == 0:
        raise ValueError("objective: its parameters are those of the prior's centre")
    kernel = tangent_kernel(objective).double()
    m = len(kernel)
    values = torch.linalg.eigvalsh(kernel)
    if float(values[0]) <= m * torch.finfo(objective.X.dtype).eps * float(values[-1]):
        raise ValueError(
            f"objective: its tangent kernel ({m} x {m}) is singular; takes fewer outputs than its "
            f"{objective.parameters} parameters, and no repeated samples"
        )
    logdet = float(values.log().sum())
    return math.log(square) + logdet / m - math.log(m) + 1 + math.log(2 * math.pi)
