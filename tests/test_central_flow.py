"""The central flow against closed forms, gradient flow, autograd and descent itself."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kit import Objective, mlp
from kit.central_flow import CentralFlow, least_covariance
from kit.flow import GradientFlow
from kit.stored import stored_run


def scalar_net(w1, w2):
    """f(x) = w2 w1 x, target 2 at x = 1: sharpness is w1^2 + w2^2 where w1 w2 = 2."""
    model = mlp((1, 1, 1), bias=False).double()
    for parameter, value in zip(model.parameters(), (w1, w2), strict=True):
        torch.nn.init.constant_(parameter, value)
    return Objective(model, [[1.0]], [[2.0]], loss="mse")


def smooth_net():
    X = torch.randn(12, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    y = torch.randn(12, 2, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    return Objective(mlp((3, 8, 2), activation="tanh", seed=1).double(), X, y, loss="mse")


def test_below_the_edge_it_is_gradient_flow():
    lr = 0.01
    flow, central = GradientFlow(smooth_net()), CentralFlow(smooth_net(), lr)
    flow.advance(100 * lr, sharpness=10.0)
    central.advance(100)
    assert central.swing == 0
    moved = (flow.theta - smooth_net().flat_parameters()).norm()
    assert (central.theta - flow.theta).norm() < 0.01 * moved


def test_a_quadratic_above_the_edge_has_no_third_derivative_to_hold_it():
    """Nothing lowers the curvature of a linear model, and the covariance would be infinite."""
    objective = Objective(mlp((1, 1), bias=False).double(), [[2.0]], [[1.0]], loss="mse")
    central = CentralFlow(objective, 1.0)  # 2 / lr = 2, H = 4
    with pytest.raises(RuntimeError, match="third"):
        central.advance(1)


def test_on_a_valley_of_minima_it_stops_where_sharpness_is_two_over_eta():
    central = CentralFlow(scalar_net(0.3, 2.0), 0.4)
    central.advance(60)
    assert np.allclose(central.theta, [1.0, 2.0], atol=1e-3)  # w1 w2 = 2, w1^2 + w2^2 = 5
    assert central.swing < 1e-4


@given(st.integers(1, 4), st.integers(0, 10_000))
def test_least_covariance_is_both_inequalities_and_their_complement(m, seed):
    rng = np.random.default_rng(seed)
    F = rng.normal(size=(m, m, 6))
    F = (F + F.transpose(1, 0, 2)).reshape(m * m, 6)
    A = rng.normal(size=(m, m))
    # Where no Sigma of the span would do, there is none: the identity added to the Gram matrix.
    gram = F @ F.T + 0.1 * np.eye(m * m)
    room = A + A.T
    Sigma = least_covariance(room, gram)
    slack = room + (gram @ Sigma.reshape(-1)).reshape(m, m)
    assert np.linalg.eigvalsh(Sigma).min() > -1e-9
    assert np.linalg.eigvalsh(slack).min() > -1e-4 * abs(room).max()
    assert abs((Sigma * slack).sum()) < 1e-4 * abs(room).max()


def test_the_third_derivative_is_that_of_autograd():
    objective = smooth_net()
    central = CentralFlow(objective, 0.5)
    P = objective.parameters
    U = torch.linalg.qr(torch.randn(P, 2, generator=torch.Generator().manual_seed(0)).double())[0]

    def entry(theta, i, j):
        names = [name for name, _ in objective.model.named_parameters()]
        parts = theta.split([p.numel() for p in objective.model.parameters()])
        shaped = [x.view_as(p) for x, p in zip(parts, objective.model.parameters(), strict=True)]

        def loss(theta):
            parts = theta.split([p.numel() for p in shaped])
            state = {n: x.view_as(p) for n, x, p in zip(names, parts, shaped, strict=True)}
            f = torch.func.functional_call(objective.model, state, (objective.X,))
            return 0.5 * (f - objective.y).square().sum(1).mean()

        (g,) = torch.autograd.grad(loss(theta), theta, create_graph=True)
        (Hu,) = torch.autograd.grad(g @ U[:, i], theta, create_graph=True)
        return Hu @ U[:, j]

    T = central._third(U)
    for i, j in ((0, 0), (0, 1), (1, 1)):
        theta = objective.flat_parameters().requires_grad_()
        (exact,) = torch.autograd.grad(entry(theta, i, j), theta)
        assert torch.allclose(T[i, j], exact, rtol=1e-3, atol=1e-3 * exact.abs().max())


def test_descent_stays_near_it_and_leaves_gradient_flow():
    """A tanh network at its edge: the averaged path of descent, its mean loss and its sharpness."""
    lr, steps, last = 0.4, 300, 20
    from kit.presets import PRESETS

    run = PRESETS["chebyshev"].build(measures=(), seed=0)
    start = run.objective.flat_parameters()
    central, flow = CentralFlow(run.fork().objective, lr), GradientFlow(run.fork().objective)
    central.advance(steps)
    flow.advance(steps * lr, sharpness=12.0)
    run.run(steps - last // 2)
    path, losses = [], []
    for _ in range(last):
        path.append(run.objective.flat_parameters())
        losses.append(run.objective.value())
        run.step()
    mean = torch.stack(path).mean(0)
    moved = (mean - start).norm()
    near, far = (central.theta - mean).norm() / moved, (flow.theta - mean).norm() / moved
    print(f"from descent: central {near:.3g}, gradient flow {far:.3g}")
    print(
        f"loss: {np.mean(losses):.4g}, predicted {central.loss():.4g}, {flow.point().value():.4g}"
    )
    print(central.values)
    assert near < 0.5 * far
    assert abs(central.values[0] * lr / 2 - 1) < 0.02


@pytest.mark.parametrize("preset", ["edge", "slow"])
def test_of_the_kept_runs_it_tells_sharpness_and_the_mean_loss_better_than_gradient_flow(preset):
    kept = {name: np.array(column) for name, column in stored_run(preset).items()}
    late = kept["step"] > 400
    edge = kept["threshold"][0]
    assert abs(kept["smooth_sharpness"][late] / edge - 1).max() < 0.02
    assert kept["flow_sharpness"][late].min() > 1.15 * edge
    mean = kept["loss"][late].mean()
    smooth, flow = (
        abs(kept[name][late].mean() / mean - 1) for name in ("smooth_loss", "flow_loss")
    )
    print(f"{preset}: mean loss {mean:.4g}, off by {smooth:.1%} smoothed, {flow:.1%} gradient flow")
    assert smooth < 0.6 * flow


@pytest.mark.parametrize("lr", [0.0, -1.0, float("nan")])
def test_bad_input_is_refused(lr):
    with pytest.raises(ValueError, match="lr"):
        CentralFlow(scalar_net(1.0, 1.0), lr)
