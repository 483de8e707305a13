"""Level spacings: do neighbouring eigenvalues repel each other, as those of a random matrix do?

    spacings      s_i = the gaps between neighbouring eigenvalues
    ratio         r_i = min(s_i, s_{i+1}) / max(s_i, s_{i+1}), free of the local density
    independent   mean r = 2 ln 2 - 1 = 0.386       Poisson: p(s) = exp(-s)
    GOE           mean r = 0.5307                   p(s) about (pi s / 2) exp(-pi s^2 / 4)

>>> spacing_ratios(torch.tensor([0.0, 1.0, 3.0, 4.0]))
tensor([0.5000, 0.5000], dtype=torch.float64)

Source: theory.md, II, row 13; for networks Baskerville, Granziol and Keating, arXiv 2102.06740.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kit.checks import check_int, check_number
from kit.curvature import check_objective, matrix
from kit.objective import Objective

POISSON = 2 * math.log(2) - 1
GOE = 0.5307


@dataclass(frozen=True)
class LevelSpacing:
    """Mean spacing ratio with its standard error, over `count` ratios, and what was left out.

    `dropped`: eigenvalues that are null to rounding, which have no spacing to speak of.
    """

    mean_ratio: float
    standard_error: float
    count: int
    dropped: int


def level_spacing(
    objective: Objective, operator: str = "hessian", *, cutoff: float = 1e-6
) -> LevelSpacing:
    """The mean spacing ratio of the spectrum: 0.386 for independent levels, 0.531 for the GOE.

    >>> from kit.models import mlp
    >>> X = torch.randn(30, 4, generator=torch.Generator().manual_seed(0)).double()
    >>> objective = Objective(mlp((4, 8, 2), activation="tanh").double(), X, torch.arange(30) % 2)
    >>> POISSON < level_spacing(objective).mean_ratio < GOE + 0.1
    True

    Eigenvalues within `cutoff` of 0, relative to the largest in size, are the null space, and are
    dropped. Best in float64. The standard error allows for the correlation of neighbouring ratios.
    Raises ValueError where fewer than 10 eigenvalues remain, or above 5000 parameters. Cost: the
    dense matrix (P products) and its eigenvalues, O(P^3).
    """
    check_objective(objective)
    cutoff = check_number("cutoff", cutoff, low=0, below=1)
    values = torch.linalg.eigvalsh(matrix(objective, operator).double())
    kept = values[values.abs() > cutoff * values.abs().max()]
    if len(kept) < 10:
        raise ValueError(
            f"objective: has {len(kept)} eigenvalues that are not null; takes at least 10"
        )
    return summarise_ratios(spacing_ratios(kept), dropped=len(values) - len(kept))


def spacing_ratios(values: Tensor) -> Tensor:
    """r_i = min(s_i, s_{i+1}) / max of eigenvalues (m,) -> (m - 2,), float64; 0 between equals.

    >>> spacing_ratios(torch.tensor([3.0, 1.0, 0.0]))
    tensor([0.5000], dtype=torch.float64)
    """
    gaps = _sorted(values, 3).diff()
    larger = torch.maximum(gaps[1:], gaps[:-1])
    return torch.where(larger > 0, torch.minimum(gaps[1:], gaps[:-1]) / larger.clamp(min=1e-300), 0)


def summarise_ratios(ratios: Tensor, dropped: int = 0) -> LevelSpacing:
    """Mean and standard error; neighbours share a gap, so covariances up to lag 2 are counted."""
    m = len(ratios)
    centred = ratios - ratios.mean()
    covariance = [float((centred[lag:] * centred[: m - lag]).sum()) / m for lag in range(3)]
    variance = max(covariance[0] + 2 * covariance[1] + 2 * covariance[2], covariance[0] / m) / m
    return LevelSpacing(float(ratios.mean()), math.sqrt(variance), m, dropped)


def unfolded_spacings(values: Tensor, *, degree: int = 7) -> Tensor:
    """Gaps after mapping the eigenvalues through their smoothed counting function, mean 1.

    >>> gaps = unfolded_spacings(torch.linspace(1, 2, 50).square())
    >>> round(float(gaps.mean()), 2), float(gaps.std()) < 0.01
    (1.0, True)

    The counting function is smoothed by a polynomial of `degree`, a choice that the ratios do not
    need. (m,) -> (m - 1,).
    """
    values = _sorted(values, 10)
    degree = check_int("degree", degree, low=1, high=len(values) - 2)
    count = np.arange(1, len(values) + 1, dtype=float)
    smooth = np.polynomial.Polynomial.fit(values.numpy(), count, degree)
    gaps = torch.as_tensor(np.diff(smooth(values.numpy())))
    return gaps / gaps.mean()


def wigner_surmise(s: Tensor) -> Tensor:
    """p(s) = (pi s / 2) exp(-pi s^2 / 4), the spacing density of 2 x 2 GOE matrices.

    >>> wigner_surmise(torch.tensor([0.0, 1.0]))
    tensor([0.0000, 0.7162])
    """
    return 0.5 * math.pi * s * torch.exp(-0.25 * math.pi * s * s)


def wigner_cdf(s: Tensor) -> Tensor:
    """P(spacing <= s) = 1 - exp(-pi s^2 / 4).

    >>> wigner_cdf(torch.tensor(1.0))
    tensor(0.5441)
    """
    return -torch.expm1(-0.25 * math.pi * s * s)


def _sorted(values: Tensor, at_least: int) -> Tensor:
    if not isinstance(values, Tensor):
        raise TypeError(f"values: got {type(values).__name__}; takes a tensor of eigenvalues")
    if values.ndim != 1 or len(values) < at_least or not torch.isfinite(values).all():
        raise ValueError(
            f"values: got shape {tuple(values.shape)}; takes at least {at_least} finite eigenvalues"
        )
    return values.detach().double().sort().values
