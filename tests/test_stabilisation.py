"""The toy against autograd on its loss, and a network's two numbers in cases that are known."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kit import Objective, eigenvalues, mlp
from kit.stabilisation import displacement, phase, quadratic_descent, slice_along, toy_path


@settings(max_examples=50)
@given(st.floats(-2, 2), st.floats(-1, 1), st.floats(0.05, 1), st.floats(0, 0.3))
def test_the_toy_is_gradient_descent_on_its_loss(x, y, eta, drift):
    z = torch.tensor([x, y], dtype=torch.float64, requires_grad=True)
    loss = 0.5 * (2 / eta + z[1]) * z[0] ** 2 - drift * z[1]
    (g,) = torch.autograd.grad(loss, z)
    xs, ys = toy_path(x, y, eta=eta, drift=drift, steps=1)
    expected = (z - eta * g).detach()
    assert (xs[1], ys[1]) == pytest.approx(tuple(expected.tolist()), rel=1e-9, abs=1e-12)


def test_without_the_cubic_term_sharpness_drifts_for_ever_and_x_leaves():
    x, y = toy_path(0.05, -0.3, eta=0.2, drift=0.02, steps=400, cubic=False)
    assert np.allclose(np.diff(y), 0.2 * 0.02)
    assert abs(x).max() > 1e5
    assert np.isfinite(x).all()


def test_with_it_the_toy_goes_through_the_four_phases_in_order():
    _, y = toy_path(0.05, -0.3, eta=0.2, drift=0.02, steps=600)
    names = [phase(b, b - a) for a, b in pairwise(y)]
    turns = [name for name, before in zip(names, [None, *names], strict=False) if name != before]
    cycle = ["sharpening", "blowing up", "self-stabilising", "returning"]
    assert turns[:8] == 2 * cycle


def test_without_a_drift_the_toy_comes_to_rest_below_the_threshold():
    x, y = toy_path(0.05, -0.3, eta=0.2, drift=0.0, steps=400)
    assert abs(x[-1]) < 1e-9
    assert -0.31 < y[-1] < 0


@pytest.fixture
def problem():
    X = torch.randn(12, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    model = mlp((3, 2), bias=False).double()  # linear: the loss is a parabola
    return Objective(model, X, X[:, :2] ** 2, loss="mse")


def test_on_a_parabola_the_displacement_is_the_distance_to_the_lowest_point(problem):
    top = eigenvalues(problem, tol=1e-12)
    v, value = top.vectors[:, 0], float(top.values[0])
    x = displacement(problem, v, value)
    at = np.linspace(-3, 3, 601)
    values = slice_along(problem, v, at)
    assert at[values.argmin()] == pytest.approx(-x, abs=0.01)
    parabola = problem.value() + 0.5 * value * ((at + x) ** 2 - x * x)
    assert np.allclose(values, parabola, rtol=1e-9)


@pytest.mark.parametrize(("share", "grows"), [(0.9, False), (1.1, True)])
def test_descent_on_the_quadratic_grows_above_two_over_lambda_only(problem, share, grows):
    top = eigenvalues(problem, tol=1e-12)
    v, value = top.vectors[:, 0], float(top.values[0])
    path = list(quadratic_descent(problem, v, share * 2 / value, 40))
    assert path[0] == pytest.approx(displacement(problem, v, value), rel=1e-6)
    factor = 1 - share * 2
    expected = [path[0] * factor**t for t in range(40)]
    assert path == pytest.approx(expected, rel=1e-6, abs=1e-9)
    assert (abs(path[-1]) > abs(path[0])) == grows


def test_a_flat_direction_has_no_displacement(problem):
    assert np.isnan(displacement(problem, torch.ones(6, dtype=torch.float64), 0.0))


@pytest.mark.parametrize(
    ("options", "name"),
    [({"eta": 0.0}, "eta"), ({"drift": -1.0}, "drift"), ({"steps": -1}, "steps")],
)
def test_bad_input_is_refused(options, name):
    with pytest.raises(ValueError, match=name):
        toy_path(0.1, 0.0, **{"eta": 0.1, "drift": 0.1, "steps": 3} | options)
