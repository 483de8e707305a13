"""Sharpness of a whole stack along its training, against cold solves in float64."""

import math

import pytest
import torch

from kit.fleet import Fleet
from kit.load import load_dataset
from kit.losses import NamedLoss
from kit.stack import StackPoint, architecture
from kit.stack_tracking import COLD_EVERY, StackTracker
from tests import oracles
from tests.oracles import flat, net, samples


@pytest.mark.slow
@pytest.mark.parametrize("degree", [4, 6])
def test_every_value_along_runs_at_the_edge_is_within_one_percent(degree):
    data = load_dataset("chebyshev", degree=degree)
    fleet = Fleet(
        (1, 30, 20, 1),
        data,
        loss="mse",
        activation="tanh",
        lr=[0.2, 0.4] * 3,
        seed=[0, 0, 1, 1, 2, 2],
    )
    thetas, values, products = [], [], []
    for _ in range(900):
        thetas.append(fleet.theta)
        values.append(fleet.sharpness())
        products.append(fleet.tracker.matvecs)
        fleet.step()
    values, thetas = torch.stack(values)[::3].double(), torch.stack(thetas)[::3]
    for i in range(fleet.size):
        exact, residual = oracles.top_eigenvalues(
            fleet.model(i), data.X_train, data.y_train, thetas[:, i]
        )
        assert float(residual.max()) < 1e-3
        assert float(((values[:, i] - exact) / exact).abs().max()) < 0.01
    assert sum(products) / len(products) < 6


def stack(X, targets, thetas, widths=(3, 6, 2)):
    return StackPoint(architecture(net(widths)), NamedLoss("mse", targets), thetas, X)


def problem(S=4):
    X, y = samples(12, 3, 2)
    targets = torch.nn.functional.one_hot(y, 2).double()
    models = [net((3, 6, 2), seed=seed) for seed in range(S)]
    return X, y, targets, models


def test_a_cold_measurement_is_the_top_of_each_dense_hessian():
    X, y, targets, models = problem()
    point = stack(X, targets, torch.stack([flat(m) for m in models]))
    value, residual = StackTracker(seed=0).measure(point)
    for i, model in enumerate(models):
        exact = torch.linalg.eigvalsh(oracles.hessian(model, X, y, loss="mse"))[-1]
        assert float(value[i]) == pytest.approx(float(exact), rel=1e-4)
        assert float(residual[i]) < 1e-2 * float(exact)


def test_the_residual_is_that_of_the_vector():
    X, _, targets, models = problem()
    point = stack(X, targets, torch.stack([flat(m) for m in models]))
    tracker = StackTracker(seed=0)
    value, residual = tracker.measure(point)
    v = tracker.vectors
    direct = (point.product(v) - value.unsqueeze(1) * v).norm(dim=1)
    torch.testing.assert_close(direct, residual, rtol=1e-3, atol=1e-9)


def test_a_jump_to_another_top_eigenvector_is_seen_at_the_next_cold_check():
    """A followed eigenvector that stays exact hides a larger one until then."""
    eye = architecture(net((2, 1), bias=False))
    loss = NamedLoss("mse", torch.zeros(2, 1).double())
    theta = torch.ones(1, 2).double()

    def point(a, b):
        X = torch.diag(torch.tensor([a, b], dtype=torch.float64).sqrt() * math.sqrt(2))
        return StackPoint(eye, loss, theta, X)

    tracker = StackTracker(seed=0)
    for _ in range(COLD_EVERY):
        tracker.measure(point(5.0, 1.0))
    value, _ = tracker.measure(point(5.0, 9.0))
    assert float(value) == pytest.approx(9.0, rel=1e-6)


@pytest.mark.parametrize("dead", ["unit", "layer"])
def test_a_network_with_few_directions_has_no_eigenvalues_from_rounding(dead):
    """Its Krylov space is used up while those of the others go on."""
    X, y = samples(40, 6, 3)
    targets = torch.nn.functional.one_hot(y, 3).to(X)
    models = [net((6, 10, 3), seed=seed) for seed in (0, 9)]
    with torch.no_grad():
        if dead == "unit":
            models[0][0].bias.fill_(-50.0)
        else:
            models[0][2].weight.zero_()
            models[0][2].bias.zero_()
    for dtype in (torch.float64, torch.float32):
        thetas = torch.stack([flat(m) for m in models]).to(dtype)
        value, residual = StackTracker(seed=0).measure(
            stack(X.to(dtype), targets.to(dtype), thetas, (6, 10, 3))
        )
        for k, model in enumerate(models):
            top = torch.linalg.eigvalsh(oracles.hessian(model, X, targets, "mse"))[-1]
            assert float(value[k]) == pytest.approx(float(top), rel=2e-3)
        assert float(residual[0]) < 1e-3 * float(value[0])


def test_a_network_that_is_not_finite_leaves_the_others_alone():
    X, _, targets, models = problem()
    thetas = torch.stack([flat(m) for m in models])
    broken = thetas.clone()
    broken[1] = math.inf
    tracker, sound = StackTracker(seed=0), StackTracker(seed=0)
    for _ in range(3):
        value, residual = tracker.measure(stack(X, targets, broken))
        expected, _ = sound.measure(stack(X, targets, thetas))
        assert math.isnan(float(value[1]))
        assert math.isnan(float(residual[1]))
        keep = [0, 2, 3]
        torch.testing.assert_close(value[keep], expected[keep], rtol=1e-3, atol=0)
