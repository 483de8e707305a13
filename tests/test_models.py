"""The multilayer perceptron is the one of its formula, with PyTorch's own initialisation."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from kit import convnet, mlp
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


# Convolutional networks.


@settings(max_examples=20)
@given(
    side=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    channels=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    kernel=st.sampled_from([1, 3, 5]),
    pool=st.sampled_from(["avg", "max", "none"]),
    residual=st.booleans(),
)
def test_a_conv_net_takes_flat_and_shaped_images(side, channels, kernel, pool, residual):
    model = convnet((2, *side), channels, 3, kernel=kernel, pool=pool, residual=residual)
    flat = torch.randn(4, 2 * side[0] * side[1], generator=torch.Generator().manual_seed(0))
    out = model(flat)
    assert out.shape == (4, 3)
    assert torch.equal(out, model(flat.view(4, 2, *side)))


def test_a_conv_net_is_the_one_of_its_formula():
    model = convnet((4, 6), (2,), 3, pool="max", residual=True, activation="tanh")
    x = torch.randn(5, 24, generator=torch.Generator().manual_seed(0))
    _, conv, _, block, _, _, head = model
    h = torch.tanh(F.conv2d(x.view(5, 1, 4, 6), conv.weight, conv.bias, padding=1))
    one, _, two = block.inside
    inner = torch.tanh(F.conv2d(h, one.weight, one.bias, padding=1))
    h = h + F.conv2d(inner, two.weight, two.bias, padding=1)
    h = F.max_pool2d(h, 2).flatten(1)
    assert torch.allclose(model(x), h @ head.weight.T + head.bias, atol=1e-6)


def test_conv_nets_repeat_with_their_seed_and_leave_the_global_state():
    state = torch.get_rng_state()
    a, b, c = (convnet((4, 4), (2,), 3, seed=s) for s in (0, 0, 1))
    assert torch.equal(a[1].weight, b[1].weight)
    assert not torch.equal(a[1].weight, c[1].weight)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"image_shape": 8}, TypeError, "image_shape: got 8"),
        ({"image_shape": (8,)}, ValueError, "image_shape: got \\(8,\\); takes \\(h, w\\)"),
        ({"image_shape": (8, 0)}, ValueError, "image_shape: got 0"),
        ({"channels": ()}, ValueError, "channels: got none"),
        ({"channels": 4}, TypeError, "channels: got 4"),
        ({"channels": (4, -1)}, ValueError, "channels: got -1"),
        ({"classes": 0}, ValueError, "classes: got 0"),
        ({"kernel": 0}, ValueError, "kernel: got 0"),
        ({"kernel": 4}, ValueError, "kernel: got 4; takes an odd number"),
        ({"pool": "sum"}, ValueError, "pool: got 'sum'; takes one of 'avg', 'max', 'none'"),
        ({"activation": "sine"}, ValueError, "activation: got 'sine'"),
        ({"residual": 1}, TypeError, "residual: got 1"),
        ({"seed": -1}, ValueError, "seed: got -1"),
    ],
)
def test_bad_arguments_of_a_conv_net_are_named(arguments, error, said):
    with pytest.raises(error, match=said):
        convnet(**{"image_shape": (4, 4), "channels": (2,), "classes": 3} | arguments)
