"""Descent on a parabola against the table of theory.md, II.1, and against simulation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.curvature import stability_threshold
from kit.quadratic import boundaries, descend, loss, rate, regime, roots

METHODS = st.sampled_from([(0.0, False), (0.5, False), (0.9, False), (0.5, True), (0.9, True)])


@pytest.mark.parametrize(("eta_h", "expected"), [(3.7, 0.948683298), (3.8, 1), (3.9, 1.316227766)])
def test_worked_numbers_of_the_heavy_ball(eta_h, expected):
    """Part III, 2."""
    assert rate(eta_h, 0.9) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize(("eta_h", "expected"), [(1.34, 0.963569278), (1.36, 1.006051203)])
def test_worked_numbers_of_nesterov(eta_h, expected):
    """Part III, 3."""
    assert rate(eta_h, 0.9, True) == pytest.approx(expected, rel=1e-8)


def test_worked_number_one():
    """Part III, 1: ten steps from (1, 1, 1)."""
    path = descend([1.0] * 3, [1.0, 4.0, 9.0], 0.2, 10)
    assert path[-1] == pytest.approx([0.1073741824, 1.024e-7, 0.1073741824], rel=1e-9)
    assert abs(descend([1.0] * 3, [1.0, 4.0, 9.0], 2 / 9, 10)[-1, 2]) == pytest.approx(1)


@given(METHODS)
def test_the_limit_is_the_stability_threshold(method):
    momentum, nesterov = method
    edge = stability_threshold(1.0, momentum=momentum, nesterov=nesterov and momentum > 0)
    assert boundaries(momentum, nesterov)[1] == pytest.approx(edge, rel=1e-12)


@settings(max_examples=200)
@given(METHODS, st.floats(0.001, 5))
def test_regimes_are_those_between_the_boundaries(method, eta_h):
    calm, edge = boundaries(*method)
    if min(abs(eta_h - calm), abs(eta_h - edge)) < 1e-6:
        return
    expected = "monotone" if eta_h < calm else "oscillating" if eta_h < edge else "diverging"
    if method == (0.0, False) or eta_h < calm or eta_h > edge:
        assert regime(eta_h, *method) == expected
    else:  # beyond two complex roots momentum can have two real ones
        assert regime(eta_h, *method) != "diverging"


@settings(max_examples=60)
@given(METHODS, st.floats(0.01, 4.5))
def test_a_simulated_path_does_what_the_regime_says(method, eta_h):
    momentum, nesterov = method
    if abs(rate(eta_h, *method) - 1) < 1e-3:
        return
    path = descend([1.0], [eta_h], 1.0, 3000, momentum=momentum, nesterov=nesterov)[:, 0]
    what = regime(eta_h, *method)
    assert (abs(path[-1]) > 1) == (what == "diverging")
    if what == "monotone" and momentum == 0:
        assert (path[:40] >= 0).all()
        assert (np.diff(path[:40]) <= 0).all()


@given(st.floats(0, 5), METHODS)
def test_roots_solve_their_quadratic(eta_h, method):
    momentum, nesterov = method
    shrink = 1 - eta_h
    total = (1 + momentum) * shrink if nesterov else 1 + momentum - eta_h
    product = momentum * shrink if nesterov else momentum
    for z in roots(eta_h, momentum, nesterov):
        assert abs(z * z - total * z + product) < 1e-9


def test_the_loss_is_half_the_weighted_square():
    assert loss(np.array([[1.0, 1.0], [2.0, 0.0]]), [1.0, 4.0]).tolist() == [2.5, 2.0]


def test_a_path_that_leaves_stays_finite():
    assert np.isfinite(descend([1.0], [10.0], 5.0, 5000)).all()


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: roots(-1.0), "eta_h"),
        (lambda: rate(1.0, 1.0), "momentum"),
        (lambda: regime(1.0, 0.5, "yes"), "nesterov"),
    ],
)
def test_bad_input_is_refused(call, name):
    with pytest.raises((ValueError, TypeError), match=name):
        call()
