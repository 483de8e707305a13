"""Path norms by enumerating paths, and the metric that is made of them."""

import copy
import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kit import Objective, convnet, matrix, rescale_layers, rescale_nodes
from kit.paths import path_norm, path_scales
from tests.oracles import flat, net, samples


def enumerate_paths(model, p):
    """Every path from an input or a bias to an output, one by one."""
    model = copy.deepcopy(model).requires_grad_(False)
    layers = [m for m in model if hasattr(m, "weight")]
    widths = [layers[0].in_features, *(layer.out_features for layer in layers)]
    total = 0.0
    for first in range(len(layers)):
        sources = [None] if first else [None, "input"]
        for source in sources:
            ranges = [range(w) for w in widths[first + 1 :]]
            if source == "input":
                ranges = [range(widths[0]), *ranges]
            for units in itertools.product(*ranges):
                if source == "input":
                    value, rest = 1.0, list(itertools.pairwise(units))
                    layer = 0
                elif layers[first].bias is None:
                    continue
                else:
                    value = float(layers[first].bias[units[0]])
                    rest, layer = list(itertools.pairwise(units)), first + 1
                for i, j in rest:
                    value *= float(layers[layer].weight[j, i])
                    layer += 1
                total += abs(value) ** p
    return total ** (1 / p)


def test_worked_number_thirty_four():
    model = net((2, 2, 1), bias=False)
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, -2], [3, 0.5]]))
        model[2].weight.copy_(torch.tensor([[2.0, -1]]))
    assert path_norm(model) == pytest.approx(math.sqrt(29.25), rel=1e-12)
    assert path_norm(model, p=1) == 9.5


@settings(max_examples=20)
@given(
    st.lists(st.integers(1, 3), min_size=3, max_size=4),
    st.booleans(),
    st.sampled_from([1, 2]),
    st.integers(0, 50),
)
def test_it_is_the_sum_over_paths(widths, bias, p, seed):
    model = net(widths, bias=bias, seed=seed)
    assert path_norm(model, p=p) == pytest.approx(enumerate_paths(model, p), rel=1e-10)


@settings(max_examples=20)
@given(st.lists(st.floats(-2, 2), min_size=9, max_size=9), st.booleans())
def test_node_wise_rescaling_leaves_norm_and_metric(logs, bias):
    model = net((3, 5, 4, 2), bias=bias)
    nodes = [[10.0**t for t in logs[:5]], [10.0**t for t in logs[5:]]]
    other = rescale_nodes(model, nodes)
    assert path_norm(other) == pytest.approx(path_norm(model), rel=1e-10)
    ratio = flat(other) / flat(model)
    torch.testing.assert_close(path_scales(other), path_scales(model) * ratio.square())
    X, y = samples(8, 3, 2)
    S, other_S = (matrix(Objective(m, X, y), "path") for m in (model, other))
    torch.testing.assert_close(S, other_S, rtol=1e-7, atol=1e-9 * float(S.abs().max()))


def test_the_formula_by_hand_for_two_layers():
    model = net((2, 2, 2))
    W, b = model[0].weight.detach(), model[0].bias.detach()
    P = W.square().sum(1) + b.square()
    rho = torch.cat([P[:, None].expand(2, 2).flatten(), P, (1 / P).expand(2, 2).flatten()])
    rho = torch.cat([rho, torch.ones(2)])
    torch.testing.assert_close(path_scales(model), rho.double())


def test_a_unit_that_no_path_reaches_counts_as_flat():
    model = net((3, 4, 2))
    with torch.no_grad():
        model[0].weight[1].zero_()
        model[0].bias[1].zero_()
    rho = path_scales(model)
    assert bool(torch.isfinite(rho).all())
    dead = [3, 4, 5, 13, 17, 21]  # its weights, its bias, and the two that go out
    assert float(rho[dead].abs().max()) == 0
    assert bool((rho[[i for i in range(26) if i not in dead]] > 0).all())
    X, y = samples(6, 3, 2)
    S = matrix(Objective(model, X, y), "path")
    assert bool(torch.isfinite(S).all())


def test_what_path_norms_do_not_take():
    residual = convnet((4, 4), (2,), 2, residual=True)
    with pytest.raises(ValueError, match="has residual blocks"):
        path_scales(residual)
    with pytest.raises(ValueError, match="has convolutions"):
        path_norm(convnet((4, 4), (2,), 2))
    with pytest.raises(ValueError, match="Tanh is not positively homogeneous"):
        path_norm(net((2, 3, 1), "tanh"))
    with pytest.raises(ValueError, match="p: got 3"):
        path_norm(net((2, 3, 1)), p=3)
    with pytest.raises(ValueError, match="Tanh is not positively homogeneous"):
        matrix(Objective(net((2, 3, 2), "tanh"), *samples(4, 2, 2)), "path")


def test_layer_wise_rescaling_is_a_case_of_node_wise():
    model = net((3, 5, 4, 2))
    other = rescale_layers(model, (10, 0.02, 5))
    assert path_norm(other) == pytest.approx(path_norm(model), rel=1e-12)
