"""The multilayer perceptron is the one of its formula, with PyTorch's own initialisation."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from kit import mlp
from kit.models import ACTIVATIONS

FORMULAS = {
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "tanh": torch.tanh,
    "gelu": F.gelu,
    "linear": lambda z: z,
}


@settings(max_examples=25)
@given(
    widths=st.lists(st.integers(1, 6), min_size=2, max_size=5),
    activation=st.sampled_from(sorted(FORMULAS)),
    bias=st.booleans(),
)
def test_outputs_are_those_of_the_formula(widths, activation, bias):
    model = mlp(widths, activation=activation, bias=bias, seed=1)
    X = torch.linspace(-2, 2, 3 * widths[0]).view(3, -1)
    h = X
    layers = [module for module in model if isinstance(module, nn.Linear)]
    for index, layer in enumerate(layers):
        h = h @ layer.weight.T + (layer.bias if bias else 0)
        h = FORMULAS[activation](h) if index < len(layers) - 1 else h
    assert torch.allclose(model(X), h, atol=1e-6)
    counts = [a * b + bias * b for a, b in pairwise(widths)]
    assert sum(p.numel() for p in model.parameters()) == sum(counts)


def test_every_activation_is_tested():
    assert set(FORMULAS) == set(ACTIVATIONS)


def test_weights_are_those_that_pytorch_draws_from_this_seed():
    torch.manual_seed(7)
    expected = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    model = mlp((3, 4, 2), activation="tanh", seed=7)
    for a, b in zip(model.parameters(), expected.parameters(), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(mlp((3, 4, 2), seed=8)[0].weight, model[0].weight)


def test_the_global_random_state_is_left_alone():
    before = torch.get_rng_state()
    mlp((3, 4, 2), seed=7)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"widths": 3}, TypeError, "widths: got 3"),
        ({"widths": "33"}, TypeError, "widths: got '33'"),
        ({"widths": (3,)}, ValueError, "widths: got \\(3,\\); takes at least"),
        ({"widths": (3, 0)}, ValueError, "widths: got 0; takes a whole number from 1"),
        ({"widths": (3, 2.5)}, TypeError, "widths: got 2.5"),
        ({"activation": "sigmoid"}, ValueError, "activation: got 'sigmoid'; takes one of 'relu'"),
        ({"activation": nn.ReLU}, TypeError, "activation: got"),
        ({"bias": 1}, TypeError, "bias: got 1; takes True or False"),
        ({"seed": -1}, ValueError, "seed: got -1"),
        ({"seed": 2**64}, ValueError, "seed: got 18446744073709551616"),
        ({"seed": 1.5}, TypeError, "seed: got 1.5"),
    ],
)
def test_bad_arguments_are_named(arguments, error, said):
    with pytest.raises(error, match=said):
        mlp(**{"widths": (2, 2)} | arguments)
