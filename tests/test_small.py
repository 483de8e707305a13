"""The NumPy passes of a small network against the tensor passes of a stack of one."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from kit import Objective, mlp
from kit.losses import NamedLoss, one_hot
from kit.models import ACTIVATIONS
from kit.small import CURVES, LARGEST, SmallPoint, is_small
from kit.stack import StackPoint, architecture
from tests.oracles import flat, net, samples


def both(widths, activation, bias, loss, n, seed, smoothing=0.0):
    """The same network, samples and loss on either route, in float64."""
    model, (X, y) = net(widths, activation, bias=bias, seed=seed), samples(n, widths[0], widths[-1])
    targets = one_hot(y, widths[-1], smoothing, dtype=torch.float64)
    parts = architecture(model), NamedLoss(loss, targets)
    theta = flat(model)
    return SmallPoint(*parts, theta, X), StackPoint(*parts, theta[None], X)


def close(a, b):
    a, b = torch.as_tensor(a), torch.as_tensor(b)
    return float((a - b).abs().max()) <= 1e-11 * (1 + float(b.abs().max()))


@settings(max_examples=80)
@given(
    widths=st.lists(st.integers(1, 5), min_size=2, max_size=5),
    activation=st.sampled_from(["relu", "leaky_relu", "tanh", "linear"]),
    bias=st.booleans(),
    loss=st.sampled_from(["mse", "cross_entropy"]),
    n=st.integers(1, 6),
    seed=st.integers(0, 999),
    smoothing=st.sampled_from([0.0, 0.3]),
    k=st.integers(1, 4),
)
def test_both_routes_give_the_same_to_rounding(
    widths, activation, bias, loss, n, seed, smoothing, k
):
    small, stack = both(widths, activation, bias, loss, n, seed, smoothing)
    assert close(small.outputs, stack.outputs[0])
    assert close(small.losses(), stack.losses()[0])
    assert close(small.gradient(), stack.gradient()[0])
    v = torch.randn(k, len(flat(net(widths, bias=bias))), dtype=torch.float64)
    for gauss_newton in (False, True):
        ours = small.product(v.numpy(), gauss_newton=gauss_newton)
        assert close(ours, stack.product(v, gauss_newton=gauss_newton))


def test_a_small_cost_keeps_its_digits_in_float32():
    model = mlp((3, 3), activation="linear")
    with torch.no_grad():
        model[0].weight.copy_(12 * torch.eye(3))
        model[0].bias.fill_(300.0)
    net, X, y = architecture(model), torch.eye(3), torch.arange(3)
    small = SmallPoint(net, NamedLoss("cross_entropy", one_hot(y, 3)), flat(model), X)
    exact = float(nn.functional.cross_entropy(model(X).detach().double(), y))
    assert float(small.losses().mean()) == pytest.approx(exact, rel=0.01)


def test_the_size_decides_which_route_an_objective_takes():
    width, n = 64, LARGEST // 64**2
    model = mlp((2, width, width, 1))
    for samples_, small in ((n, True), (n + 1, False)):
        objective = Objective(model, torch.ones(samples_, 2), torch.zeros(samples_, 1), loss="mse")
        assert is_small(objective.point().net, objective.X) == small
        assert (objective.point()._small is not None) == small


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_objective_gives_tensors_of_its_own_dtype(dtype):
    model = mlp((2, 3, 2)).to(dtype)
    objective = Objective(model, torch.eye(2), torch.arange(2))
    point = objective.point()
    v = torch.ones(objective.parameters, 2)
    parts = (point.outputs, point.losses(), objective.gradient(), objective.hvp(v))
    assert {part.dtype for part in (*parts, objective.ggnvp(v))} == {dtype}


def test_an_activation_without_a_curve_here_takes_the_tensor_route():
    kinds = {name for name, kind in ACTIVATIONS.items() if kind in CURVES}
    assert kinds == {"relu", "leaky_relu", "tanh", "linear"}
    assert not is_small(architecture(mlp((2, 3, 1), activation="gelu")), torch.ones(1, 2))


def test_half_precision_takes_the_tensor_route():
    net = architecture(mlp((2, 3, 1)))
    assert is_small(net, torch.ones(1, 2))
    assert not is_small(net, torch.ones(1, 2, dtype=torch.bfloat16))


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_what_has_diverged_gives_numbers_that_are_not_finite_and_no_warning(loss):
    model = mlp((2, 3, 2))
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(1e30)
    parts = architecture(model), NamedLoss(loss, torch.eye(2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        point = SmallPoint(*parts, flat(model).detach(), torch.eye(2))
        numbers = [point.losses(), point.gradient(), point.product(np.ones((1, 17), np.float32))]
    assert not all(np.isfinite(part).all() for part in numbers)


def test_the_point_keeps_its_own_parameters():
    model = mlp((2, 3, 1))
    objective = Objective(model, torch.eye(2), torch.zeros(2, 1), loss="mse")
    point, before = objective.point(), objective.hvp(torch.ones(13))
    with torch.no_grad():
        model[0].weight.zero_()
    assert torch.equal(point.hvp(torch.ones(13, 1))[:, 0], before)
    assert not torch.equal(objective.hvp(torch.ones(13)), before)


def test_tied_parameters_read_and_write_as_one_and_stay_the_same_parameters():
    model = mlp((2, 3, 1))
    names = [id(p) for p in model.parameters()]
    objective = Objective(model, torch.eye(2), torch.zeros(2, 1), loss="mse")
    theta, gradient = objective.flat_parameters(), objective.gradient()
    objective.tie()
    assert [id(p) for p in model.parameters()] == names
    assert torch.equal(objective.flat_parameters(), theta)
    assert torch.equal(objective.gradient(), gradient)
    objective.write(2 * theta)
    assert torch.equal(model[0].weight.flatten(), 2 * theta[:6])
    model[2].bias = nn.Parameter(torch.tensor([7.0]))  # no longer tied: read as it is
    assert float(objective.flat_parameters()[-1]) == 7
    objective.write(theta)
    assert torch.equal(objective.flat_parameters(), theta)
    assert torch.equal(model[2].bias, theta[-1:])
