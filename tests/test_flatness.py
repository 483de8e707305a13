"""Weight-times-curvature measures: worked numbers, other minimisers, invariances or none."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from torch import nn

from kit import Objective, rescale_layers, rescale_nodes
from kit.flatness import (
    fisher_rao_norm,
    minimum_sharpness,
    normalized_sharpness,
    relative_flatness,
)
from tests import oracles
from tests.oracles import flat, net, put, samples


def problem(widths=(4, 6, 5, 3), activation="relu", *, bias=True, n=15, **options):
    X, y = samples(n, widths[0], widths[-1])
    return Objective(net(widths, activation, bias=bias), X, y, **options)


def layer_hessian(objective, index):
    """The Hessian block of the index-th parameter tensor, (out, in, out, in), from the oracle."""
    model = objective.model
    H = oracles.hessian(model, objective.X, objective.y)
    parameters = list(model.parameters())
    sizes = [p.numel() for p in parameters]
    start = sum(sizes[:index])
    end = start + sizes[index]
    return H[start:end, start:end].view(*parameters[index].shape, *parameters[index].shape)


def test_worked_number_nineteen():
    W = torch.tensor([0.3, -0.2, 0.1, 0.4, -0.5, 0.2], dtype=torch.float64)
    model = put(net((2, 3), bias=False), W)
    objective = Objective(model, torch.tensor([[1.0, 2.0]]).double(), [1])
    assert relative_flatness(objective) == pytest.approx(0.668089335088, abs=1e-11)
    assert relative_flatness(objective, kind="max") == pytest.approx(0.558322187797, abs=1e-11)
    H = oracles.hessian(model, objective.X, objective.y)
    assert float(W.square().sum() * H.trace()) == pytest.approx(1.705840117822, abs=1e-11)


@pytest.mark.parametrize("layer", [0, 1, 2, -1])
def test_relative_flatness_is_that_of_the_dense_hessian(layer):
    """A relu net: each diagonal block of H is that of G."""
    objective = problem()
    index = 2 * (layer % 3)
    H, W = layer_hessian(objective, index), list(objective.model.parameters())[index].detach()
    trace = torch.einsum("ai,bi,ajbj->", W, W, H)
    assert relative_flatness(objective, layer=layer) == pytest.approx(float(trace), rel=1e-9)
    tops = [float(torch.linalg.eigvalsh(H[s, :, s, :])[-1]) for s in range(len(W))]
    expected = float((W.square().sum(1) * torch.tensor(tops, dtype=torch.float64)).sum())
    assert relative_flatness(objective, layer=layer, kind="max") == pytest.approx(
        expected, rel=1e-9
    )


def test_the_last_layer_has_a_closed_form_under_cross_entropy():
    """kappa = mean ||phi||^2 (sum_c G_cc p_c - p' G p), G = W W'."""
    objective = problem(activation="tanh")
    W = list(objective.model.parameters())[-2].detach()
    p = torch.softmax(objective.outputs(), 1)
    gram = W @ W.mT
    phi = objective.model[:-1](objective.X).detach()
    inner = p @ gram.diagonal() - torch.einsum("ik,kl,il->i", p, gram, p)
    expected = float((phi.square().sum(1) * inner).mean())
    assert relative_flatness(objective) == pytest.approx(expected, rel=1e-9)


class Convolution(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 3, 3), nn.Linear(12, 2)

    def forward(self, x):
        return self.head(torch.tanh(self.conv(x)).flatten(1))


def test_a_convolutional_network_has_the_relative_flatness_of_its_last_layer():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Convolution().double()
    X = torch.randn(6, 1, 4, 4, generator=torch.Generator().manual_seed(0)).double()
    y = torch.arange(6) % 2
    objective = Objective(model, X, y)
    W = model.head.weight.detach()
    H = oracles.hessian(model, X, y)[30:54, 30:54].view(2, 12, 2, 12)
    expected = float(torch.einsum("ai,bi,ajbj->", W, W, H))
    assert relative_flatness(objective) == pytest.approx(expected, rel=1e-9)
    with pytest.raises(ValueError, match="layer: got 0; takes -1"):
        relative_flatness(objective, layer=0)
    ends_otherwise = nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2)).double()
    with pytest.raises(ValueError, match="does not end in a linear layer"):
        relative_flatness(Objective(ends_otherwise, *samples(6, 3, 2)))


@pytest.mark.parametrize("bias", [True, False])
def test_minimum_sharpness_is_the_least_trace_that_a_general_search_finds(bias):
    objective = problem(bias=bias)

    def trace(u):
        logs = [*u, -sum(u)]
        model = rescale_layers(objective.model, [math.exp(v) for v in logs])
        return float(oracles.hessian(model, objective.X, objective.y).trace())

    search = minimize(trace, [0.0, 0.0], method="Nelder-Mead", tol=1e-8)
    assert minimum_sharpness(objective) == pytest.approx(search.fun, rel=1e-6)


@settings(max_examples=25)
@given(
    st.lists(st.floats(-2, 2), min_size=2, max_size=2),
    st.booleans(),
    st.sampled_from(["relu", "leaky_relu", "linear"]),
)
def test_no_rescaling_is_below_the_minimum_or_changes_it(logs, bias, activation):
    objective = problem(bias=bias, activation=activation)
    a, b = (10.0**t for t in logs)
    model = rescale_layers(objective.model, (a, b, 1 / (a * b)))
    other = Objective(model, objective.X, objective.y)
    least = minimum_sharpness(objective)
    trace = float(oracles.hessian(model, objective.X, objective.y).trace())
    assert least <= trace * (1 + 1e-9)
    assert minimum_sharpness(other) == pytest.approx(least, rel=1e-6)


def test_minimum_sharpness_of_one_layer_and_of_a_dead_network():
    one = problem((3, 2))
    trace = float(oracles.hessian(one.model, one.X, one.y).trace())
    assert minimum_sharpness(one) == pytest.approx(trace, rel=1e-9)
    dead = problem((3, 4, 2))
    with torch.no_grad():
        dead.model[0].bias.fill_(-100.0)
    last_bias = layer_hessian(dead, 3)
    assert minimum_sharpness(dead) == pytest.approx(float(last_bias.diagonal().sum()), rel=1e-9)


def test_minimum_sharpness_where_only_the_first_layer_is_dead():
    """Its terms are 0, and the others go on: 2 sqrt(s_2 t_3) + s_3."""
    objective = problem((3, 4, 4, 2))
    with torch.no_grad():
        objective.model[0].bias.fill_(-50.0)
        objective.model[2].bias.fill_(0.5)
    s = [float(layer_hessian(objective, k).diagonal().sum()) for k in (1, 3, 5)]
    t = float(torch.einsum("abab->", layer_hessian(objective, 4)))
    assert s[0] == 0
    expected = 2 * math.sqrt(s[1] * t) + s[2]
    assert minimum_sharpness(objective) == pytest.approx(expected, rel=1e-6)
    a = (t / s[1]) ** 0.25
    scaled = rescale_layers(objective.model, (1.0, 1 / a, a))
    trace = float(oracles.hessian(scaled, objective.X, objective.y).trace())
    assert trace >= expected * (1 - 1e-9)


def test_normalized_sharpness_is_the_least_that_a_general_search_finds():
    objective = problem((3, 4, 2))
    total = 0.0
    for index in (0, 2):
        W = list(objective.model.parameters())[index].detach()
        H = torch.einsum("aiai->ai", layer_hessian(objective, index))
        out, width = W.shape

        def value(u, H=H, W=W, out=out):
            s, t = torch.as_tensor(u[:out])[:, None], torch.as_tensor(u[out:])[None]
            return float((H * (s + t).exp() + W.square() * (-s - t).exp()).sum())

        total += minimize(value, [0.0] * (out + width), tol=1e-12).fun
    assert normalized_sharpness(objective) == pytest.approx(total, rel=1e-5)


@settings(max_examples=25)
@given(st.lists(st.floats(-2, 2), min_size=11, max_size=11))
def test_node_wise_rescaling_leaves_normalized_sharpness_and_fisher_rao(logs):
    objective = problem()
    nodes = [[10.0**t for t in logs[:6]], [10.0**t for t in logs[6:]]]
    other = Objective(rescale_nodes(objective.model, nodes), objective.X, objective.y)
    for measure in (normalized_sharpness, fisher_rao_norm):
        assert measure(other) == pytest.approx(measure(objective), rel=1e-7)


def test_the_measures_that_node_wise_rescaling_changes():
    objective = problem()
    nodes = [[1.0, 10, 0.1, 3, 1, 5], [0.1, 1, 1, 7, 2]]
    other = Objective(rescale_nodes(objective.model, nodes), objective.X, objective.y)
    for measure in (minimum_sharpness, relative_flatness):
        assert measure(other) != pytest.approx(measure(objective), rel=0.05)


@pytest.mark.parametrize("bias", [True, False])
def test_fisher_rao_is_the_quadratic_form_of_the_dense_matrix(bias):
    objective = problem(bias=bias)
    theta = flat(objective.model)
    G = oracles.gauss_newton(objective.model, objective.X, objective.y)
    assert fisher_rao_norm(objective) == pytest.approx(float(theta @ G @ theta), rel=1e-10)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fisher_rao_norm(1), "objective: got int"),
        (lambda: relative_flatness("x"), "objective: got str"),
        (lambda: relative_flatness(problem(), kind="sum"), "kind: got 'sum'"),
        (lambda: relative_flatness(problem(), layer=3), "layer: got 3; takes -3 to 2"),
        (lambda: relative_flatness(problem(), layer=0.5), "layer: got 0.5"),
        (lambda: relative_flatness(problem(activation="tanh"), layer=0), "not piecewise linear"),
        (lambda: minimum_sharpness(problem(activation="gelu")), "piecewise-linear activation"),
        (lambda: normalized_sharpness(problem(activation="tanh")), "piecewise-linear activation"),
    ],
    ids=[str(i) for i in range(8)],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()


def test_nothing_of_the_callers_changes():
    objective = problem()
    before, state = flat(objective.model), torch.get_rng_state()
    for measure in (fisher_rao_norm, relative_flatness, minimum_sharpness, normalized_sharpness):
        measure(objective)
    assert torch.equal(before, flat(objective.model))
    assert torch.equal(state, torch.get_rng_state())
    assert all(p.grad is None for p in objective.model.parameters())
