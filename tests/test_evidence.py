"""The interpolating information criterion against the evidence of a Gaussian linear model."""

import math

import pytest
import torch

from kit import Objective, interpolating_information_criterion, mlp
from tests.oracles import flat, net, put, samples


def interpolator(n=6, d=15, seed=0):
    X, _ = samples(n, d, 1, seed=seed)
    y = torch.sin(3 * X[:, :1])
    theta = torch.linalg.pinv(X) @ y
    model = put(net((d, 1), bias=False), theta[:, 0])
    return Objective(model, X, y, loss="mse")


@pytest.mark.parametrize("seed", range(3))
def test_a_linear_model_has_its_evidence_with_the_best_prior_variance(seed):
    objective = interpolator(seed=seed)
    assert objective.value() < 1e-20
    X, y, n = objective.X, objective.y[:, 0], objective.n

    def minus_log_evidence(tau2):
        cov = tau2 * X @ X.mT
        return 0.5 * float(y @ torch.linalg.solve(cov, y)) + 0.5 * float(
            torch.logdet(2 * math.pi * cov)
        )

    best = float(flat(objective.model).square().sum()) / n
    expected = 2 / n * minus_log_evidence(best)
    assert interpolating_information_criterion(objective) == pytest.approx(expected, rel=1e-10)
    for factor in (0.9, 1.1):
        assert minus_log_evidence(best * factor) > minus_log_evidence(best)


def test_a_prior_around_the_start_moves_the_norm_only():
    objective = interpolator()
    theta = flat(objective.model)
    base = interpolating_information_criterion(objective)
    moved = interpolating_information_criterion(objective, initial=-theta)
    assert moved - base == pytest.approx(math.log(4), rel=1e-9)


def test_what_has_no_evidence_is_refused():
    X, y = samples(8, 3, 2)
    few = Objective(mlp((3, 2)), X, y)
    with pytest.raises(ValueError, match=r"kernel \(16 x 16\) is singular"):
        interpolating_information_criterion(few)
    repeated = interpolator()
    with pytest.raises(ValueError, match="no repeated samples"):
        interpolating_information_criterion(
            Objective(repeated.model, repeated.X.repeat(2, 1), repeated.y.repeat(2, 1), loss="mse")
        )
    with pytest.raises(ValueError, match=r"initial: got \(2,\); takes the 15"):
        interpolating_information_criterion(repeated, initial=torch.ones(2))
    with pytest.raises(ValueError, match="those of the prior's centre"):
        interpolating_information_criterion(repeated, initial=flat(repeated.model))
    with pytest.raises(TypeError, match="objective: got int"):
        interpolating_information_criterion(3)
