"""Functions of known steepness against brute force, and covering radii whose value is known."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from kit.covering import interval_sample_radius
from kit.jacobian import input_output_jacobian, jacobian_norms
from kit.lipschitz import jacobian_bracket, lipschitz_constant_1d, local_variation
from kit.steepness import (
    KINKS,
    SHAPES,
    AdditiveFunction,
    bracket,
    covering_radius,
    covering_search,
    draw,
    embedding,
    measured_slope,
    nearest,
    shortfalls,
)

DIMENSIONS = (1, 2, 3, 4)


def away_from_kinks(U, gap=1e-4):
    return U[(np.abs(U[..., None] - KINKS) > gap).all((1, 2))]


def lattice(k, d):
    ticks = (np.arange(k) + 0.5) / k
    return np.stack(np.meshgrid(*[ticks] * d), -1).reshape(-1, d)


@pytest.mark.parametrize("d", DIMENSIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_constant_is_attained_and_never_exceeded(shape, d):
    f = AdditiveFunction(shape, d, 3.0)
    assert f.norms(f.steepest[None])[0] == pytest.approx(3.0, rel=1e-12)
    around = f.steepest + 0.01 * (draw(20_000, d, 1) - 0.5)
    everywhere = np.concatenate([draw(100_000, d, 0), around, lattice({1: 9999}.get(d, 11), d)])
    assert f.norms(everywhere).max() <= 3.0 * (1 + 1e-12)


@pytest.mark.parametrize("d", DIMENSIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_gradient_is_that_of_the_values(shape, d):
    f, step = AdditiveFunction(shape, d), 1e-6
    U = away_from_kinks(0.001 + 0.998 * draw(300, d, 2))
    for k in range(d):
        e = step * np.eye(d)[k]
        difference = (f.values(U + e) - f.values(U - e)) / (2 * step)
        assert np.allclose(difference, f.gradients(U)[:, k], atol=1e-5)


@pytest.mark.parametrize("shape", ["pointed", "rounded"])
def test_M_is_the_largest_slope_of_the_jacobian(shape):
    t = np.linspace(0, 1, 20_001)[:, None]
    for d in DIMENSIONS:
        f = AdditiveFunction(shape, d)
        one = np.abs(np.diff(f.gradients(t)[:, 0])) / np.diff(t[:, 0])
        assert one.max() == pytest.approx(f.smoothness, rel=1e-3)
        U, W = draw(5000, d, 3), draw(5000, d, 4)
        change = np.linalg.norm(f.gradients(U) - f.gradients(W), axis=1)
        assert (change <= f.smoothness * np.linalg.norm(U - W, axis=1) * (1 + 1e-9)).all()


@pytest.mark.parametrize("d", DIMENSIONS)
def test_the_network_is_that_function(d):
    f = AdditiveFunction("network", d, 1.5)
    model, U = f.network(), away_from_kinks(draw(200, d, 5))
    X = torch.from_numpy(U)
    assert np.allclose(model(X).detach().numpy()[:, 0], f.values(U), atol=1e-12)
    assert np.allclose(jacobian_norms(model, X).numpy(), f.norms(U), atol=1e-12)
    if d == 1:
        assert lipschitz_constant_1d(model, 0.0, 1.0) == pytest.approx(1.5, rel=1e-12)


@pytest.mark.parametrize("r", [0.0, 0.003, 0.05, 0.3])
def test_in_one_dimension_the_networks_variation_is_exact(r):
    f, U = AdditiveFunction("network", 1), draw(60, 1, 6)
    exact = local_variation(f.network(), torch.from_numpy(U), r, interval=(0.0, 1.0))
    assert exact.exact
    assert np.allclose(f.variation(U, r), exact.values.numpy(), atol=1e-9)
    whole = jacobian_bracket(f.network(), torch.from_numpy(U), r, interval=(0.0, 1.0))
    assert bracket(f, U, r) == pytest.approx((whole.terms["max J"], whole.value), rel=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("d", [2, 3, 4])
def test_no_point_of_a_ball_differs_by_more_than_the_variation(shape, d):
    f, U, rng = AdditiveFunction(shape, d), draw(40, d, 7), np.random.default_rng(0)
    for r in (0.02, 0.2):
        V = f.variation(U, r)
        for _ in range(200):
            step = rng.standard_normal(U.shape)
            step *= r * rng.random((len(U), 1)) / np.linalg.norm(step, axis=1, keepdims=True)
            there = np.clip(U + step, 0, 1)  # no further away: the cube is convex
            change = np.linalg.norm(f.gradients(there) - f.gradients(U), axis=1)
            assert (change <= V + 1e-12).all()


@pytest.mark.parametrize("d", DIMENSIONS)
def test_in_the_larger_space_norms_and_distances_are_the_same(d):
    Q, U = embedding(d), away_from_kinks(draw(50, d, 8))
    assert Q.shape == (8, d)
    assert np.allclose(Q.T @ Q, np.eye(d), atol=1e-12)
    X = torch.from_numpy(U @ Q.T)
    assert torch.allclose(torch.pdist(X), torch.pdist(torch.from_numpy(U)), atol=1e-12)
    f = AdditiveFunction("network", d)
    turn = nn.Linear(8, d, bias=False).double()
    with torch.no_grad():
        turn.weight.copy_(torch.from_numpy(Q.T.copy()))
    whole = nn.Sequential(turn, nn.Identity(), *f.network())
    assert np.allclose(jacobian_norms(whole, X).numpy(), f.norms(U), atol=1e-10)
    across = np.linalg.svd(Q)[0][:, d:]  # directions in which the data do not vary
    J = input_output_jacobian(whole, X)[:, 0].numpy()
    assert np.abs(J @ across).max() < 1e-10


@pytest.mark.parametrize("d", DIMENSIONS)
@pytest.mark.parametrize("k", [1, 2, 5])
def test_the_radius_of_a_lattice_is_known(k, d):
    low, high = covering_radius(lattice(k, d), tolerance=0.02)
    exact = math.sqrt(d) / (2 * k)
    assert low <= exact * (1 + 1e-6)
    assert exact <= high * (1 + 1e-6)
    assert high <= 1.02 * low * (1 + 1e-6)


@settings(max_examples=25)
@given(st.integers(2, 4), st.integers(1, 80), st.integers(0, 10**6))
def test_no_place_is_further_than_the_radius_and_some_place_is_nearly(d, n, seed):
    U = draw(n, d, seed)
    low, high = covering_radius(U)
    assert low <= high <= 1.05 * low * (1 + 1e-6)
    corners = lattice(2, d) * 2 - 0.5
    probes = np.concatenate([draw(4000, d, seed + 1), corners])
    assert nearest(probes, U).max() <= high * (1 + 1e-6)


def test_in_one_dimension_the_radius_is_exact():
    U = draw(50, 1, 0)
    exact = interval_sample_radius(torch.from_numpy(U[:, 0]), 0.0, 1.0)
    assert covering_radius(U) == (exact, exact)


def test_the_search_only_comes_closer():
    steps = list(covering_search(draw(300, 3, 0)))
    lows, highs = np.array(steps).T
    assert (np.diff(lows) >= 0).all()
    assert (np.diff(highs[np.isfinite(highs)]) <= 1e-9).all()
    final = 0.5 * (lows[-1] + highs[-1])
    assert (lows <= final).all()
    assert (highs >= final).all()


def test_nearest_is_the_least_distance():
    U, points = draw(30, 3, 0), draw(20, 3, 1)
    exact = torch.cdist(torch.from_numpy(points), torch.from_numpy(U)).amin(1).numpy()
    assert np.allclose(nearest(points, U), exact, rtol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_shortfalls_are_of_the_first_n(shape):
    f, U, ns = AdditiveFunction(shape, 2), draw(64, 2, 0), np.array([1, 7, 64])
    found = shortfalls(f, U, ns)
    assert np.allclose(found, [2.0 - f.norms(U[:n]).max() for n in ns], atol=1e-11)
    assert (np.diff(found) <= 0).all()
    assert (found >= 0).all()


def test_a_power_law_has_its_slope_and_noise_its_error():
    ns = 2.0 ** np.arange(6, 12)
    slope, error = measured_slope(ns, np.tile(ns**-0.4, (9, 1)))
    assert slope == pytest.approx(-0.4, abs=1e-12)
    assert error == pytest.approx(0.0, abs=1e-9)
    rng = np.random.default_rng(0)
    tables = [ns**-0.4 * rng.exponential(size=(40, len(ns))) for _ in range(300)]
    slopes, errors = np.array([measured_slope(ns, table) for table in tables]).T
    assert slopes.mean() == pytest.approx(-0.4, abs=0.02)
    assert errors.mean() == pytest.approx(slopes.std(), rel=0.15)


def test_where_there_is_no_slope_it_is_nan():
    ns = np.array([1, 2, 4])
    assert all(map(math.isnan, measured_slope(ns, np.empty((0, 3)))))
    assert all(map(math.isnan, measured_slope(ns, np.array([[1.0, 0.5, 0.0]]))))
    slope, error = measured_slope(ns, np.array([[1.0, 0.5, 0.25]]))
    assert slope == pytest.approx(-1.0)
    assert math.isnan(error)
    _, error = measured_slope(ns, np.array([[1.0, 0.5, 0.25], [1.0, 0.5, 0.0]]))
    assert math.isnan(error)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: AdditiveFunction("flat", 1), "shape"),
        (lambda: AdditiveFunction("pointed", 0), "d"),
        (lambda: AdditiveFunction("pointed", 1, 0.0), "lipschitz"),
        (lambda: AdditiveFunction("pointed", 1).network(), "shape"),
        (lambda: AdditiveFunction("network", 1).variation(draw(2, 1, 0), -1.0), "r"),
        (lambda: covering_radius(draw(4, 2, 0), tolerance=0.0), "tolerance"),
        (lambda: draw(4, 2, -1), "seed"),
    ],
    ids=["shape", "d", "lipschitz", "no network", "r", "tolerance", "seed"],
)
def test_what_is_wrong_is_named(call, named):
    with pytest.raises(ValueError, match=f"^{named}: "):
        call()
