"""Lipschitz constants against fine grids, and what a sample of Jacobians misses."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from kit import input_output_jacobian, jacobian_norms
from kit.covering import interval_sample_radius
from kit.lipschitz import (
    breakpoints,
    jacobian_bracket,
    layer_norm_product,
    lipschitz_constant_1d,
    local_variation,
)
from tests.oracles import net, put, samples


def forty_four():
    """relu(x) - 2 relu(x - 1) + 3 relu(0.5 - x), theory.md, III, 44."""
    theta = [1.0, 1.0, -1.0, 0.0, -1.0, 0.5, 1.0, -2.0, 3.0, 0.0]
    return put(net((1, 3, 1)), torch.tensor(theta, dtype=torch.float64))


def column(*values):
    return torch.tensor(values, dtype=torch.float64)[:, None]


def test_worked_number_forty_four():
    model = forty_four()
    points = column(-1.0, 0, 0.5, 1, 2)
    torch.testing.assert_close(model(points).detach(), column(4.5, 1.5, 0.5, 1, 0))
    for (low, high), expected in {(0.2, 2.0): 2, (-1.0, 2.0): 3, (0.6, 2.0): 1}.items():
        assert lipschitz_constant_1d(model, low, high) == pytest.approx(expected, abs=1e-12)
    torch.testing.assert_close(
        breakpoints(model, -1.0, 2.0), torch.tensor([-1.0, 0, 0.5, 1, 2], dtype=torch.float64)
    )


@settings(max_examples=25)
@given(
    st.lists(st.integers(1, 8), min_size=1, max_size=3),
    st.sampled_from(["relu", "leaky_relu", "linear"]),
    st.integers(1, 3),
    st.integers(0, 99),
)
def test_it_is_not_beaten_by_any_pair_of_points_and_is_reached(hidden, activation, K, seed):
    model = net((1, *hidden, K), activation, seed=seed)
    constant = lipschitz_constant_1d(model, -2.0, 3.0)
    grid = torch.linspace(-2, 3, 2001, dtype=torch.float64)[:, None]
    with torch.no_grad():
        f = model(grid)
    slopes = f.diff(dim=0).norm(dim=1) / grid.diff(dim=0)[:, 0]
    assert float(slopes.max()) <= constant * (1 + 1e-9) + 1e-12
    ends = breakpoints(model, -2.0, 3.0)
    with torch.no_grad():
        g = model(ends[:, None])
    reached = (g.diff(dim=0).norm(dim=1) / ends.diff()).max()
    assert float(reached) == pytest.approx(constant, rel=1e-6, abs=1e-9)


@settings(max_examples=25)
@given(
    st.lists(st.integers(1, 8), min_size=2, max_size=4),
    st.sampled_from(["relu", "leaky_relu", "linear", "tanh", "gelu"]),
    st.integers(0, 99),
)
def test_no_jacobian_is_above_the_product_of_norms(widths, activation, seed):
    """theory.md, Part III, (v)."""
    model = net(widths, activation, seed=seed)
    X = 3 * samples(40, widths[0], 1, seed=seed)[0]
    assert float(jacobian_norms(model, X).max()) <= layer_norm_product(model) * (1 + 1e-12)


def test_the_product_of_norms_of_worked_number_fifteen():
    model = net((2, 3, 2), "linear", bias=False)
    theta = torch.tensor([1.0, 2, 0, 1, 1, -1, 1, 0, 2, -1, 1, 0], dtype=torch.float64)
    put(model, theta)
    assert layer_norm_product(model) == pytest.approx(5.750519050166, abs=1e-11)
    assert float(jacobian_norms(model, torch.zeros(1, 2))) == pytest.approx(3.179586801559)


def test_each_hidden_layer_of_gelu_adds_its_steepest_slope():
    model = net((1, 1, 1, 1), "gelu", bias=False)
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(2.0)
    z = torch.linspace(-5, 5, 100_001, dtype=torch.float64).requires_grad_()
    slope = float(torch.autograd.grad(nn.functional.gelu(z).sum(), z)[0].max())
    assert 8 * slope**2 <= layer_norm_product(model) <= 8 * slope**2 * 1.001


class HalfSquare(nn.Module):
    """f(x) = |x|^2 / 2, so that J(x) = x' and V is the length of the longest step."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, x):
        return 0.5 * self.scale * x.square().sum(1, keepdim=True)


@pytest.mark.parametrize("d", [1, 3, 10])
def test_points_are_uniform_in_the_ball(d):
    """The longer of two steps of a ball of radius r has mean length 2 d r / (2 d + 1)."""
    X = torch.zeros(4000, d, dtype=torch.float64)
    V = local_variation(HalfSquare(), X, 0.7, points=2)
    assert float(V.values.mean()) == pytest.approx(0.7 * 2 * d / (2 * d + 1), rel=0.02)
    assert float(V.half.mean()) == pytest.approx(0.7 * d / (d + 1), rel=0.02)
    assert V.largest <= 0.7


def test_local_variation_of_a_known_net_is_the_largest_jump_within_reach():
    """Slopes -3, -2, 1, -1 with kinks at 0, 1/2, 1."""
    model = forty_four()
    X = column(-0.3, 0.2, 0.45, 0.9, 1.5)
    V = local_variation(model, X, 0.25, interval=(-1.0, 2.0))
    assert V.exact
    torch.testing.assert_close(V.values, torch.tensor([0.0, 1, 3, 2, 0], dtype=torch.float64))
    wide = local_variation(model, X, 0.31, interval=(-1.0, 2.0))
    torch.testing.assert_close(wide.values, torch.tensor([1.0, 3, 3, 2, 0], dtype=torch.float64))
    nowhere = local_variation(model, X[:1], 0.0)
    assert (nowhere.exact, nowhere.largest) == (True, 0)
    cut = local_variation(model, X, 5.0, interval=(-1.0, 0.4))
    assert float(cut.values[1]) == 1.0


@settings(max_examples=15)
@given(st.integers(0, 99), st.floats(0.01, 1.0))
def test_exact_variation_is_what_a_fine_grid_finds_and_samples_stay_below(seed, r):
    model = net((1, 7, 5, 2), seed=seed)
    X = column(-0.5, 0.1, 0.8)
    exact = local_variation(model, X, r).values
    for x, value in zip(X[:, 0], exact, strict=True):
        grid = (x + torch.linspace(-r, r, 2001, dtype=torch.float64))[:, None]
        jumps = input_output_jacobian(model, grid) - input_output_jacobian(model, x.view(1, 1))
        found = float(jumps[:, :, 0].norm(dim=1).max())
        assert found <= float(value) + 1e-12
        ends = breakpoints(model, float(x) - r, float(x) + r)
        if float(ends.diff().min()) > 2 * r / 2000:
            assert found == pytest.approx(float(value), rel=1e-9, abs=1e-12)


def test_sampled_variation_is_a_lower_estimate_that_grows_with_the_points():
    model = net((4, 9, 3), "tanh")
    X, _ = samples(10, 4, 3)
    few, many = (local_variation(model, X, 0.5, points=p) for p in (8, 400))
    assert not few.exact
    assert bool((few.half <= few.values).all())
    assert many.largest > few.largest
    assert float((many.values - many.half).max()) < float(many.values.max())
    assert local_variation(model, X, 0.0, points=4).largest == 0
    assert torch.equal(local_variation(model, X, 0.5).values, local_variation(model, X, 0.5).values)


@pytest.mark.parametrize("n", [10, 40, 200])
def test_theorem_a_brackets_the_true_constant(n):
    """Our version: max_i ||J|| <= Lip <= max_i (||J|| + V_i), with the sample's own radius."""
    model = net((1, 16, 16, 1), seed=3)
    x = torch.rand(n, generator=torch.Generator().manual_seed(0), dtype=torch.float64).sort().values
    r = interval_sample_radius(x, 0.0, 1.0)
    result = jacobian_bracket(model, x[:, None], r, interval=(0.0, 1.0))
    constant = lipschitz_constant_1d(model, 0.0, 1.0)
    assert result.kind == "bound"
    assert result.terms["max J"] <= constant * (1 + 1e-12)
    assert constant <= result.value * (1 + 1e-12)


def test_theorem_a_says_what_it_rests_on_and_when_it_says_nothing():
    model = net((3, 6, 2), "tanh")
    X, _ = samples(20, 3, 2)
    near, far = (jacobian_bracket(model, X, r) for r in (0.01, 50.0))
    assert near.kind == "estimate"
    assert not near.vacuous
    assert "within 0.01 of a sample" in near.assumptions[0]
    assert far.value > near.value
    steep = net((3, 6, 2), "tanh")
    product = layer_norm_product(steep)
    assert far.terms["product of norms"] == pytest.approx(product)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: layer_norm_product(nn.LayerNorm(3)), "takes a multilayer perceptron"),
        (lambda m: layer_norm_product("x"), "takes a multilayer perceptron"),
        (lambda m: lipschitz_constant_1d(m, 1.0, 0.0), "high: got 0; takes a number above low"),
        (lambda m: lipschitz_constant_1d(m, math.nan, 0.0), "low: got nan"),
        (lambda m: lipschitz_constant_1d(net((2, 1)), 0.0, 1.0), "one input, piecewise linear"),
        (lambda m: lipschitz_constant_1d(net((1, 2, 1), "tanh"), 0.0, 1.0), "piecewise linear"),
        (lambda m: local_variation(m, column(0.0), -1.0), "r: got -1"),
        (lambda m: local_variation(m, column(0.0), 1.0, points=1), "points: got 1"),
        (lambda m: local_variation(3, column(0.0), 1.0), "model: got int"),
        (
            lambda m: local_variation(net((2, 3, 1)), torch.ones(2, 2), 1.0, interval=(0, 1)),
            "interval: takes None",
        ),
        (lambda m: jacobian_bracket(m, column(math.nan), 1.0), "X: got NaN"),
        (lambda m: local_variation(m, torch.ones(2, 2), 1.0), "X: the model does not take"),
        (lambda m: local_variation(m, column(0.0), 1.0, interval=3), "interval: got 3"),
        (lambda m: local_variation(m, column(0.0), 1.0, interval=(0, 1, 2)), "interval: got"),
        (lambda m: local_variation(m, column(0.0), 1.0, interval=(1, 0)), "high: got 0"),
        (lambda m: breakpoints(m, 1.0, 0.0), "high: got 0; takes a number above low"),
    ],
    ids=[str(i) for i in range(16)],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call(forty_four())
