"""Covering radii against Monte Carlo, and samples whose radius is known."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.covering import (
    cube_covering_radius,
    held_out_radius,
    interval_covering_probability,
    interval_covering_radius,
    interval_sample_radius,
    regular_covering_radius,
    uniform_w1,
)


def radii(n, draws, seed=0):
    """Covering radii of uniform samples on [0, 1]."""
    x = torch.rand(draws, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    x = x.sort(dim=1).values
    return torch.cat([x[:, :1], x.diff(dim=1) / 2, 1 - x[:, -1:]], dim=1).amax(1)


@pytest.mark.parametrize("n", [1, 2, 5, 20, 200])
def test_the_exact_law_is_that_of_monte_carlo(n):
    sample, draws = radii(n, 40_000), 40_000
    for level in (0.1, 0.5, 0.9, 0.99):
        r = float(sample.quantile(level))
        share = float((sample <= r).double().mean())
        error = 4 * math.sqrt(share * (1 - share) / draws)
        assert interval_covering_probability(r, n) == pytest.approx(share, abs=error)


@settings(max_examples=30)
@given(st.floats(0, 1), st.integers(1, 60))
def test_it_is_a_probability_that_rises_with_the_radius(r, n):
    p = interval_covering_probability(r, n)
    assert 0 <= p <= interval_covering_probability(min(1, r + 0.05), n) <= 1
    assert interval_covering_probability(1.0, n) == 1
    assert interval_covering_probability(0.49 / n, n) == 0  # n balls cannot cover


@pytest.mark.parametrize(("n", "p"), [(1, 0.5), (20, 0.05), (1000, 0.01), (3000, 0.05)])
def test_the_inverse_is_the_inverse(n, p):
    r = interval_covering_radius(n, p)
    assert interval_covering_probability(r, n) == pytest.approx(1 - p, abs=1e-9)


@pytest.mark.parametrize(("n", "d"), [(50, 1), (400, 1), (300, 2), (2000, 3)])
def test_the_lemmas_cover_at_least_as_often_as_they_say(n, d):
    """Their radius, against the distance from probes to 200 samples of size n each."""
    p, generator = 0.1, torch.Generator().manual_seed(0)
    volume = {1: 2, 2: math.pi, 3: 4 * math.pi / 3}[d]
    lemmas = (
        cube_covering_radius(n, d, p),
        regular_covering_radius(n, d, volume / 2**d, p),
    )
    probes = torch.rand(400, d, generator=generator, dtype=torch.float64)
    failures = [0, 0]
    for _ in range(60):
        X = torch.rand(n, d, generator=generator, dtype=torch.float64)
        far = float(torch.cdist(probes, X).amin(1).max())
        for index, r in enumerate(lemmas):
            failures[index] += far > r
    assert max(failures) <= 0.1 * 60


def test_the_exact_law_is_sharper_than_the_lemmas():
    for n in (20, 100, 1000):
        exact = interval_covering_radius(n, 0.05)
        assert exact < cube_covering_radius(n, 1, 0.05)
        assert exact < regular_covering_radius(n, 1, 1.0, 0.05)


def test_lemma_one_is_refused_where_it_does_not_hold():
    with pytest.raises(ValueError, match=r"n: got 1; takes 2\^d n / p of at least e"):
        regular_covering_radius(1, 1, 1.0, 1.0)
    with pytest.raises(ValueError, match=r"n: got 10, too few: the radius .* is above r_0 = 0\.5"):
        regular_covering_radius(10, 1, 1.0, 0.05, r_0=0.5)


@settings(max_examples=30)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_a_sample_has_the_radius_that_a_fine_grid_finds(values):
    x = torch.tensor(values, dtype=torch.float64)
    grid = torch.linspace(0, 1, 4001, dtype=torch.float64)
    found = float((grid[:, None] - x).abs().amin(1).max())
    assert interval_sample_radius(x, 0.0, 1.0) == pytest.approx(found, abs=1 / 4000)
    wide = interval_sample_radius(2 * x - 1, -1.0, 1.0)
    assert wide == pytest.approx(2 * interval_sample_radius(x, 0.0, 1.0))


def test_the_order_of_a_sample_does_not_change_its_distance_from_the_uniform_law():
    assert uniform_w1(torch.tensor([0.75, 0.25])) == 0.125


def test_held_out_distances_are_those_to_the_nearest_sample():
    generator = torch.Generator().manual_seed(0)
    X, other = (torch.randn(n, 3, generator=generator) for n in (200, 3000))
    nearest = torch.tensor([float((X - z).norm(dim=1).min()) for z in other[:200]])
    few = held_out_radius(X, other[:200], quantile=1.0)
    assert few.value == pytest.approx(float(nearest.max()), rel=1e-4)
    result = held_out_radius(X, other)
    assert result.kind == "estimate"
    assert result.value < result.terms["largest"]
    images = held_out_radius(X.view(200, 3, 1), other.view(3000, 3, 1))
    assert images.value == pytest.approx(result.value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cube_covering_radius(100, 2, 0.0), "failure: got 0"),
        (lambda: cube_covering_radius(0, 2, 0.1), "n: got 0"),
        (lambda: regular_covering_radius(10, 0, 1.0, 0.1), "d: got 0"),
        (lambda: regular_covering_radius(10, 1, -1.0, 0.1), "c: got -1"),
        (lambda: interval_covering_probability(-0.1, 3), "r: got -0.1"),
        (lambda: interval_covering_probability(0.1, 2.5), "n: got 2.5"),
        (lambda: interval_covering_radius(10, 1.0), "failure: got 1"),
        (lambda: interval_sample_radius([0.5], 0, 1), "x: takes a tensor"),
        (lambda: interval_sample_radius(torch.tensor([2.0]), 0, 1), "takes samples from 0 to 1"),
        (lambda: held_out_radius(torch.ones(3, 2), torch.ones(3, 3)), "X_held_out: has 3"),
        (lambda: held_out_radius(torch.ones(3, 2), torch.ones(3, 2), quantile=0), "quantile: got"),
        (lambda: regular_covering_radius(10, 1, 1.0, 0.1, r_0="x"), "r_0: got 'x'"),
        (lambda: interval_sample_radius(torch.tensor([0.5]), 1, 0), "high: got 0"),
        (lambda: uniform_w1(torch.tensor([1.5])), "u: takes a tensor"),
        (lambda: uniform_w1([0.5]), "u: takes a tensor"),
    ],
    ids=[str(i) for i in range(15)],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()
