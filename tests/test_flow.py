"""Gradient flow against its closed forms."""

import pytest
import torch

from kit import Objective, mlp, sharpness
from kit.flow import GradientFlow


def test_on_a_parabola_it_is_the_matrix_exponential():
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(20, 3, generator=generator, dtype=torch.float64)
    model = mlp((3, 1), bias=False, seed=0).double()
    objective = Objective(model, X, torch.zeros(20, 1), loss="mse")
    H, start = X.mT @ X / 20, objective.flat_parameters()
    flow = GradientFlow(objective)
    flow.advance(2.5, sharpness=sharpness(objective))
    exact = torch.matrix_exp(-2.5 * H) @ start
    assert torch.allclose(flow.theta, exact, rtol=1e-3, atol=1e-4)
    assert torch.equal(objective.flat_parameters(), start)


def test_it_keeps_the_imbalance_of_a_scalar_network():
    """theory.md, II.2: gradient flow conserves w1^2 - w2^2, descent does not."""
    model = mlp((1, 1, 1), bias=False).double()
    with torch.no_grad():
        model[0].weight.fill_(2.0)
        model[2].weight.fill_(0.75)
    one = torch.ones(1, 1, dtype=torch.float64)
    flow = GradientFlow(Objective(model, one, one, loss="mse"))
    for _ in range(10):
        flow.advance(0.3, sharpness=6.0)
    w1, w2 = flow.theta.tolist()
    assert w1**2 - w2**2 == pytest.approx(3.4375, rel=1e-5)
    assert flow.point().value() < 1e-6


def test_the_loss_never_rises():
    X, y = torch.randn(30, 4, generator=torch.Generator().manual_seed(1)), torch.arange(30) % 3
    flow = GradientFlow(Objective(mlp((4, 16, 3), seed=0), X, y))
    values = [flow.point().value()]
    for _ in range(30):
        flow.advance(0.5, sharpness=5.0)
        values.append(flow.point().value())
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize(("time", "lam", "name"), [(-1.0, 1.0, "time"), (1.0, 0.0, "sharpness")])
def test_bad_input_is_refused(time, lam, name):
    flow = GradientFlow(Objective(mlp((1, 1)), [[1.0]], [[0.0]], loss="mse"))
    with pytest.raises(ValueError, match=name):
        flow.advance(time, sharpness=lam)
