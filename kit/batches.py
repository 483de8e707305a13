"""Batch sharpness: the curvature that stochastic gradient descent meets along its own steps.

For a mini-batch B with gradient g_B and Hessian H_B, the Rayleigh quotient g_B' H_B g_B / |g_B|^2
is the curvature of that batch's loss along that batch's own step. Its mean over batches hovers at
2/eta in runs where the full-batch lambda stays below (Andreyev and Beneventano; theory.md, II,
row 17). Two definitions: the mean of the ratios (ours by default) and the ratio of the means.

>>> from kit.models import mlp
>>> X, y = torch.eye(4), torch.arange(4)
>>> objective = Objective(mlp((4, 3, 4), seed=0), X, y, loss="mse")
>>> full = batch_sharpness(objective, 4, batches=5)  # every batch is the whole set
>>> full.standard_error < 1e-6 * full.value
True
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kit.checks import check_int, check_one_of, check_seed
from kit.estimate import Estimate
from kit.objective import Objective

NUMBERS = 2**22  # of the inputs that are worked on at once


def batch_sharpness(
    objective: Objective,
    batch_size: int,
    *,
    batches: int = 100,
    definition: str = "mean_of_ratios",
    seed: int = 0,
) -> Estimate:
    """E_B[g_B' H_B g_B / |g_B|^2] over random batches, with its standard error.

    >>> from kit.models import mlp
    >>> objective = Objective(mlp((1, 1), bias=False), [[1.0], [2.0]], [[1.0], [1.0]], loss="mse")
    >>> batch_sharpness(objective, 2).value  # one weight: H = mean x^2
    2.5

    `definition`: "mean_of_ratios", or "ratio_of_means", E[g' H g] / E[|g|^2] (standard error by
    the delta method). Batches are drawn without replacement within a batch, independently of each
    other. Cost: a gradient and a Hessian-vector product a batch.
    """
    if not isinstance(objective, Objective):
        raise TypeError(f"objective: got {type(objective).__name__}; takes a kit.Objective")
    batch_size = check_int("batch_size", batch_size, low=1, high=objective.n)
    batches = check_int("batches", batches, low=2)
    check_one_of("definition", definition, ("mean_of_ratios", "ratio_of_means"))
    generator = torch.Generator().manual_seed(check_seed(seed))
    curvature, square = batch_quotients(objective, batch_size, batches, generator)
    return summarise(curvature, square, definition)


def batch_quotients(
    objective: Objective, batch_size: int, batches: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """g_B' H_B g_B and |g_B|^2 of random batches, each (batches,), float64."""
    indices = torch.stack(
        [torch.randperm(objective.n, generator=generator)[:batch_size] for _ in range(batches)]
    )
    at_once = max(1, NUMBERS // (batch_size * objective.X[0].numel()))
    parts = [objective.on_batches(part) for part in indices.split(at_once)]
    curvature = torch.cat([(g * Hg).sum(1).double() for g, Hg in parts])
    return curvature, torch.cat([g.square().sum(1).double() for g, _ in parts])


def summarise(curvature: Tensor, square: Tensor, definition: str = "mean_of_ratios") -> Estimate:
    """The estimate from g' H g and |g|^2 of m batches; a batch without gradient counts as 0."""
    m = len(square)
    if definition == "mean_of_ratios":
        ratios = torch.where(square > 0, curvature / square.clamp(min=1e-300), 0.0)
        return Estimate(float(ratios.mean()), float(ratios.std()) / math.sqrt(m), m)
    mean = float(square.mean())
    ratio = float(curvature.mean()) / mean if mean > 0 else 0.0
    error = (curvature - ratio * square).std() / math.sqrt(m) / mean if mean > 0 else 0.0
    return Estimate(ratio, float(error), m)
