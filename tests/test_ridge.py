"""The exact gap of ridge regression against simulation, and its limits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.ridge import design, ridge_gap, simulated_gap


@settings(max_examples=20, deadline=None)
@given(st.floats(0.001, 10), st.integers(1, 8), st.floats(0.1, 2), st.integers(0, 99))
def test_simulation_agrees_for_every_penalty(mu, d, noise, seed):
    X = design(20, d, seed)
    mean, error = simulated_gap(X, mu, noise=noise, draws=2000, seed=seed)
    assert abs(mean - ridge_gap(X, mu, noise=noise)) < 5 * error


def test_without_a_penalty_it_counts_parameters_and_with_a_large_one_nothing():
    X = design(50, 4)
    assert ridge_gap(X, 1e-12, noise=1.0) == pytest.approx(4 / 50)
    assert ridge_gap(X, 1e6, noise=1.0) < 1e-6
    assert np.isclose(ridge_gap(X, 0.1, noise=2.0), 4 * ridge_gap(X, 0.1, noise=1.0))


@pytest.mark.parametrize("mu", [0.0, -1.0, float("nan")])
def test_bad_input_is_refused(mu):
    with pytest.raises(ValueError, match="mu"):
        ridge_gap(design(5, 2), mu, noise=1.0)
