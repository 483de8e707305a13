"""Loss at displaced parameters: worked numbers, quadratics, and the invariances claimed."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kit import Objective, mlp, rescale_nodes
from kit.perturbation import (
    adaptive_sharpness,
    average_adaptive_sharpness,
    critical_sharpness,
    keskar_sharpness,
)
from tests import oracles
from tests.oracles import flat, net, put, samples


def quadratic(eigenvalues, theta):
    """1/2 theta' diag(eigenvalues) theta, as a linear model on scaled unit vectors."""
    eigenvalues = torch.tensor(eigenvalues, dtype=torch.float64)
    P = len(eigenvalues)
    X = torch.diag((P * eigenvalues).sqrt())
    model = put(net((P, 1), bias=False), torch.tensor(theta, dtype=torch.float64))
    return Objective(model, X, torch.zeros(P, 1), loss="mse")


def problem(widths=(4, 6, 5, 3), activation="relu"):
    return Objective(net(widths, activation), *samples(15, widths[0], widths[-1]))


def test_worked_number_six():
    objective = quadratic([1.0, 4.0], [1.0, 0.5])
    assert critical_sharpness(objective) == pytest.approx(3.4, abs=1e-9)
    objective = quadratic([1.0, 4.0, 9.0], [1.0, 1.0, 1.0])
    assert critical_sharpness(objective) == pytest.approx(8.102040816327, abs=1e-9)


@settings(max_examples=30)
@given(
    st.lists(st.floats(0.1, 20), min_size=1, max_size=5),
    st.integers(0, 100),
)
def test_on_a_quadratic_it_is_the_curvature_along_the_gradient(eigenvalues, seed):
    generator = torch.Generator().manual_seed(seed)
    theta = torch.randn(len(eigenvalues), generator=generator, dtype=torch.float64).tolist()
    objective = quadratic(eigenvalues, theta)
    g = objective.gradient()
    expected = float(g @ objective.hvp(g) / (g @ g))
    assert critical_sharpness(objective) == pytest.approx(expected, rel=1e-8)
    # Any direction of descent d: back at eta_c = 2 g'd / d'Hd.
    d = g + 0.3 * torch.randn(len(g), generator=generator, dtype=torch.float64)
    if float(g @ d) > 1e-3 * float(g @ g):
        expected = float(d @ objective.hvp(d) / (g @ d))
        assert critical_sharpness(objective, direction=d) == pytest.approx(expected, rel=1e-8)


def test_a_loss_that_never_comes_back_has_no_critical_step():
    model = put(net((1, 1), bias=False), torch.zeros(1).double())
    falls_for_ever = Objective(
        model, [[1.0]], [[0.0]], loss=lambda f, y: torch.nn.functional.softplus(-f[:, 0])
    )
    assert critical_sharpness(falls_for_ever) == 0
    assert math.isnan(critical_sharpness(falls_for_ever, direction=-falls_for_ever.gradient()))
    assert math.isnan(critical_sharpness(quadratic([1.0, 2.0], [0.0, 0.0])))  # stationary


def test_at_a_minimum_it_is_the_curvature_or_not_a_number_but_not_rounding():
    X = samples(60, 4, 1)[0].float()
    y = torch.sin(3 * X.sum(1, keepdim=True))
    model = mlp((4, 1), seed=0)
    run = Objective(model, X, y, loss="mse")
    for _ in range(100):
        g = run.gradient()
        put(model, run.flat_parameters() - 0.3 * g)
    assert float(g.norm()) < 1e-6
    found = critical_sharpness(run)
    assert run.value() > 0.05
    H = oracles.hessian(model.double(), X.double(), y.double(), "mse")
    low, *_, top = torch.linalg.eigvalsh(H).tolist()
    assert math.isnan(found) or 0.99 * low < found < 1.01 * top


def test_the_loss_really_is_back_at_the_critical_step_and_lower_before():
    objective = problem()
    eta, start = 2 / critical_sharpness(objective), objective.value()
    theta, g = flat(objective.model), objective.gradient()
    assert objective.at(theta - eta * g).value() == pytest.approx(start, rel=1e-6)
    for share in (0.01, 0.25, 0.5, 0.9):
        assert objective.at(theta - share * eta * g).value() < start


def test_keskars_box_on_a_separable_quadratic_has_its_maximum_in_a_corner():
    objective, epsilon = quadratic([1.0, 4.0], [1.0, -0.5]), 0.02
    box = [epsilon * 2.0, epsilon * 1.5]
    top = 0.5 * ((1 + box[0]) ** 2 + 4 * (0.5 + box[1]) ** 2)
    start = objective.value()
    expected = 100 * (top - start) / (1 + start)
    assert keskar_sharpness(objective, epsilon=epsilon) == pytest.approx(expected, rel=1e-12)
    minimum = quadratic([1.0, 4.0], [0.0, 0.0])
    expected = 100 * 0.5 * 5 * epsilon**2
    assert keskar_sharpness(minimum, epsilon=epsilon) == pytest.approx(expected, rel=1e-12)


def test_keskars_box_is_not_beaten_by_random_points_in_it():
    objective = problem()
    value, start = keskar_sharpness(objective, epsilon=0.01), objective.value()
    theta, generator = flat(objective.model), torch.Generator().manual_seed(0)
    for _ in range(200):
        e = 2 * torch.rand(len(theta), generator=generator, dtype=torch.float64) - 1
        e = 0.01 * (theta.abs() + 1) * e.sign()
        assert 100 * (objective.at(theta + e).value() - start) / (1 + start) <= value


def test_the_adaptive_step_is_the_first_order_maximiser():
    objective, rho = problem(), 1e-4
    theta, g = flat(objective.model), objective.gradient()
    first_order = rho * float((theta.abs() * g).norm())
    assert adaptive_sharpness(objective, rho=rho) == pytest.approx(first_order, rel=1e-2)
    plain = put(net((4, 6, 5, 3)), torch.ones_like(theta))
    flat_case = Objective(plain, objective.X, objective.y)
    g = flat_case.gradient()
    value = adaptive_sharpness(flat_case, rho=rho, eta=1.0)
    assert value == pytest.approx(2 * rho * float(g.norm()), rel=1e-2)
    assert adaptive_sharpness(quadratic([1.0], [0.0])) == 0


def test_the_average_is_half_the_weighted_trace_for_small_radii():
    """theory.md, row 6b: rho^2 / 2 sum theta_k^2 H_kk."""
    X, y = samples(15, 3, 2)
    objective, rho = Objective(net((3, 8, 2), "tanh"), X, y, loss="mse"), 1e-3
    H = oracles.hessian(objective.model, X, y, loss="mse")
    expected = 0.5 * rho**2 * float((flat(objective.model).square() * H.diagonal()).sum())
    estimate = average_adaptive_sharpness(objective, rho=rho, draws=4000)
    assert abs(estimate.value - expected) < 4 * estimate.standard_error
    assert estimate.standard_error < 0.1 * abs(expected)
    again = average_adaptive_sharpness(objective, rho=rho, draws=20, seed=3)
    assert again == average_adaptive_sharpness(objective, rho=rho, draws=20, seed=3)


@settings(max_examples=25)
@given(st.lists(st.floats(-2, 2), min_size=11, max_size=11))
def test_node_wise_rescaling_does_not_change_adaptive_sharpness(logs):
    objective = problem()
    nodes = [[10.0**t for t in logs[:6]], [10.0**t for t in logs[6:]]]
    other = Objective(rescale_nodes(objective.model, nodes), objective.X, objective.y)
    assert adaptive_sharpness(other) == pytest.approx(adaptive_sharpness(objective), rel=1e-7)
    a, b = (average_adaptive_sharpness(o, draws=10) for o in (objective, other))
    assert b.value == pytest.approx(a.value, rel=1e-7)


def test_what_rescaling_does_change():
    objective = problem()
    nodes = [[10.0] * 6, [1.0] * 5]
    other = Objective(rescale_nodes(objective.model, nodes), objective.X, objective.y)
    assert keskar_sharpness(other) != pytest.approx(keskar_sharpness(objective), rel=0.1)
    assert critical_sharpness(other) != pytest.approx(critical_sharpness(objective), rel=0.1)
    with_eta = [adaptive_sharpness(o, eta=0.01) for o in (objective, other)]
    assert with_eta[0] != pytest.approx(with_eta[1], rel=1e-3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: keskar_sharpness(1), "objective: got int"),
        (lambda: keskar_sharpness(problem(), epsilon=0), "epsilon: got 0"),
        (lambda: keskar_sharpness(problem(), steps=0), "steps: got 0"),
        (lambda: adaptive_sharpness(problem(), rho=-1), "rho: got -1"),
        (lambda: adaptive_sharpness(problem(), eta=-1), "eta: got -1"),
        (lambda: average_adaptive_sharpness(problem(), draws=3), "draws: got 3"),
        (lambda: average_adaptive_sharpness(None), "objective: got NoneType"),
        (lambda: critical_sharpness(problem(), direction=[1.0]), "direction: got list"),
        (lambda: critical_sharpness(problem(), direction=torch.ones(2)), r"direction: got \(2,\)"),
    ],
    ids=[str(i) for i in range(9)],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()


def test_nothing_of_the_callers_changes():
    objective = problem()
    before, state = flat(objective.model), torch.get_rng_state()
    for measure in (
        keskar_sharpness,
        adaptive_sharpness,
        average_adaptive_sharpness,
        critical_sharpness,
    ):
        measure(objective)
    assert torch.equal(before, flat(objective.model))
    assert torch.equal(state, torch.get_rng_state())
    assert all(p.grad is None for p in objective.model.parameters())
