"""Rescaling keeps the function, and S, H_q and the elementwise measure; it changes sharpness."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from kit import (
    Objective,
    invariant_sharpness,
    jacobian_norms,
    matrix,
    mlp,
    rescale_layers,
    rescale_nodes,
    sharpness,
)
from kit.models import ACTIVATIONS
from kit.rescaling import symmetry_fault
from kit.stack import architecture
from tests.oracles import flat, gradient, net, samples

FACTORS = st.floats(0.01, 100)
SYMMETRIC = ["relu", "leaky_relu", "linear"]
WIDTHS = st.lists(st.integers(1, 5), min_size=3, max_size=4)
TIGHT = {"tol": 1e-9}


def product_one(factors):
    return [*factors, 1 / np.prod(factors)]


@st.composite
def layer_problems(draw):
    """A model, its samples, and layer factors whose product is 1, all within [0.01, 100]."""
    widths = draw(WIDTHS)
    options = {"bias": draw(st.booleans()), "seed": draw(st.integers(0, 99))}
    model = net(widths, draw(st.sampled_from(SYMMETRIC)), **options)
    largest = 100 ** (1 / (len(widths) - 2))
    first = [draw(st.floats(1 / largest, largest)) for _ in widths[2:]]
    return model, samples(8, widths[0], widths[-1]), product_one(first)


@st.composite
def node_problems(draw):
    widths = draw(WIDTHS)
    model = net(widths, draw(st.sampled_from(SYMMETRIC)), seed=draw(st.integers(0, 99)))
    factors = [draw(st.lists(FACTORS, min_size=w, max_size=w)) for w in widths[1:-1]]
    return model, samples(8, widths[0], widths[-1]), factors


def relative(a, b):
    return ((a - b).abs().max() / b.abs().max().clamp(min=1e-300)).item()


# The function


@settings(max_examples=40)
@given(layer_problems())
def test_layer_wise_rescaling_keeps_the_function_and_its_jacobian(problem):
    model, (X, _), factors = problem
    other = rescale_layers(model, factors)
    assert relative(other(X), model(X)) < 1e-12
    assert torch.allclose(jacobian_norms(other, X), jacobian_norms(model, X), rtol=1e-10)
    layers, scaled = ([m for m in net_ if isinstance(m, nn.Linear)] for net_ in (model, other))
    so_far = 1.0
    for a, before, after in zip(factors, layers, scaled, strict=True):
        so_far *= a
        assert torch.allclose(after.weight, a * before.weight)
        if before.bias is not None:
            assert torch.allclose(after.bias, so_far * before.bias)


@settings(max_examples=40)
@given(node_problems())
def test_node_wise_rescaling_keeps_the_function_and_its_jacobian(problem):
    model, (X, _), factors = problem
    other = rescale_nodes(model, factors)
    assert relative(other(X), model(X)) < 1e-12
    assert torch.allclose(jacobian_norms(other, X), jacobian_norms(model, X), rtol=1e-10)
    assert torch.allclose(other[0].weight, torch.tensor(factors[0])[:, None] * model[0].weight)


def test_equal_factors_of_nodes_are_a_factor_of_the_layer():
    model = net((3, 4, 5, 2), seed=1)
    by_layer = rescale_layers(model, (4, 0.5, 0.5))
    by_node = rescale_nodes(model, [[4.0] * 4, [2.0] * 5])
    assert torch.allclose(flat(by_layer), flat(by_node))


def test_a_rescale_is_undone_by_its_inverse():
    model = net((3, 4, 5, 2), seed=1)
    back = rescale_layers(rescale_layers(model, (4, 0.5, 0.5)), (0.25, 2, 2))
    assert torch.equal(flat(back), flat(model))  # powers of two are exact


def test_in_float32_a_factor_of_ten_moves_outputs_by_rounding_only():
    model, (X, _) = mlp((20, 30, 30, 5)), samples(50, 20, 5)
    for factors in ((10, 1, 0.1), (0.01, 1, 100)):
        assert relative(rescale_layers(model, factors)(X.float()), model(X.float())) < 1e-5


@pytest.mark.parametrize("activation", ["tanh", "gelu"])
def test_without_the_symmetry_the_same_scaling_changes_function_and_loss(activation):
    model, (X, y) = net((3, 4, 2), activation, seed=1), samples(8, 3, 2)
    scaled = net((3, 4, 2), activation, seed=1)
    with torch.no_grad():
        scaled[0].weight.mul_(10)
        scaled[0].bias.mul_(10)
        scaled[2].weight.div_(10)
    assert relative(scaled(X), model(X)) > 0.1
    assert abs(Objective(scaled, X, y).value() / Objective(model, X, y).value() - 1) > 0.01
    before, after = (
        invariant_sharpness(Objective(m, X, y), metric="elementwise") for m in (model, scaled)
    )
    assert abs(after / before - 1) > 0.01


# What is invariant


@settings(max_examples=30)
@given(layer_problems(), st.sampled_from(["mse", "cross_entropy"]))
def test_s_and_b_are_the_same_matrices_after_layer_wise_rescaling(problem, loss):
    model, data, factors = problem
    before = Objective(model, *data, loss=loss)
    after = Objective(rescale_layers(model, factors), *data, loss=loss)
    for operator in ("layer", "riemannian", "elementwise"):
        assert relative(matrix(after, operator), matrix(before, operator)) < 1e-9


@settings(max_examples=30)
@given(node_problems())
def test_the_elementwise_matrix_is_the_same_after_node_wise_rescaling(problem):
    model, data, factors = problem
    before = Objective(model, *data)
    after = Objective(rescale_nodes(model, factors), *data)
    assert relative(matrix(after, "elementwise"), matrix(before, "elementwise")) < 1e-9


@settings(max_examples=15)
@given(layer_problems())
def test_invariant_sharpness_is_invariant(problem):
    model, data, factors = problem
    other = rescale_layers(model, factors)
    for options in ({}, {"riemannian": True}, {"metric": "elementwise"}):
        a, b = (
            invariant_sharpness(Objective(m, *data, loss="mse"), **options, **TIGHT)
            for m in (model, other)
        )
        size = matrix(Objective(model, *data, loss="mse"), "layer").abs().max()
        assert a == pytest.approx(b, rel=1e-6, abs=1e-9 * float(size))


def test_sharpness_is_not_invariant_and_grows_with_the_square_of_the_factor():
    model, data = net((3, 6, 2), seed=1), samples(30, 3, 2)
    values = [
        sharpness(Objective(rescale_layers(model, (a, 1 / a)), *data, loss="mse"))
        for a in (1, 10, 100, 0.01)
    ]
    assert values[1] > 10 * values[0]
    assert values[2] / values[1] == pytest.approx(100, rel=0.1)
    assert values[3] > 10 * values[0]


def test_the_layer_metric_is_not_node_wise_invariant_but_the_elementwise_one_is():
    model, data = net((3, 6, 2), seed=1), samples(30, 3, 2)
    other = rescale_nodes(model, [[100, 0.01, 10, 0.1, 1, 1]])
    layer, elementwise = (
        [invariant_sharpness(Objective(m, *data), metric=metric, **TIGHT) for m in (model, other)]
        for metric in ("layer", "elementwise")
    )
    assert layer[1] > 2 * layer[0]
    assert elementwise[1] == pytest.approx(elementwise[0], rel=1e-8)


@settings(max_examples=20)
@given(layer_problems())
def test_b_annihilates_the_vertical_directions_and_s_does_not(problem):
    """theory.md, P2.4 b and c: H_q v = 0 along the orbit, at every theta, critical or not."""
    model, (X, y), _ = problem
    objective = Objective(model, X, y, loss="mse")
    layers, bias = architecture(model).layers, architecture(model).bias
    beta = torch.zeros(layers, dtype=torch.float64)
    beta[0], beta[-1] = 1.0, -1.0
    factors = []
    for layer in range(layers):
        factors += [beta[layer], beta[: layer + 1].sum()] if bias else [beta[layer]]
    e = torch.cat(  # vertical vector in the coordinates in which the metric is Euclidean
        [f * (p / p.norm()).flatten() for f, p in zip(factors, model.parameters(), strict=True)]
    ).detach()
    B, S = matrix(objective, "riemannian"), matrix(objective, "layer")
    scale = float(S.abs().max()) + 1e-300
    assert (B @ e).abs().max() < 1e-12 * scale
    g, blocks = gradient(model, X, y, loss="mse"), [p.numel() for p in model.parameters()]
    pairs = zip(factors, g.split(blocks), flat(model).split(blocks), strict=True)
    spurious = -sum(f**2 * (gb @ wb) for f, gb, wb in pairs)
    assert float(e @ S @ e) == pytest.approx(float(spurious), abs=1e-11 * scale)


def test_one_block_of_zeros_contributes_nothing():
    model, data = net((3, 4, 2)), samples(8, 3, 2)
    with torch.no_grad():
        model[0].bias.zero_()
    for operator in ("layer", "elementwise"):
        S = matrix(Objective(model, *data), operator)
        assert S[12:16].abs().max() == 0
        assert S.isfinite().all()


# What is refused


def test_the_source_model_and_its_settings_are_left_alone():
    model = net((3, 4, 2)).eval()
    model[0].weight.requires_grad_(False)
    before = flat(model)
    for other in (rescale_layers(model, (2, 0.5)), rescale_nodes(model, [[2.0] * 4])):
        assert torch.equal(flat(model), before)
        assert not other.training
        assert not other[0].weight.requires_grad
        assert other[2].weight.requires_grad
        assert other[0].weight.dtype == torch.float64


@pytest.mark.parametrize(
    "factors", [(2, 0.5), [2.0, 0.5], np.array([2, 0.5]), torch.tensor([2, 0.5])]
)
def test_any_sequence_of_factors_is_taken(factors):
    model = net((3, 4, 2))
    assert torch.equal(rescale_layers(model, factors)[0].weight, 2 * model[0].weight)
    assert torch.equal(
        rescale_nodes(model, [factors[0] * torch.ones(4)])[0].weight, 2 * model[0].weight
    )


def test_a_product_of_one_is_asked_for_to_1e_6():
    model = net((3, 4, 2))
    rescale_layers(model, (2, 0.5 * (1 + 9e-7)))
    with pytest.raises(ValueError, match="factors: got a product of 1; takes factors"):
        rescale_layers(model, (2, 0.5 * (1 + 2e-6)))


MODEL = mlp((3, 4, 2))
HOMOGENEOUS = {nn.ReLU, nn.LeakyReLU, nn.Identity}
BAD = [
    ("layers", "model", (2, 0.5), TypeError, "model: got str; takes a torch.nn.Module"),
    ("layers", mlp((3, 4, 2), activation="tanh"), (2, 0.5), ValueError, "model: Tanh is not pos"),
    ("layers", mlp((3, 4, 2), activation="gelu"), (2, 0.5), ValueError, "model: GELU is not pos"),
    ("layers", mlp((3, 2)), (1,), ValueError, "model: a linear model has one layer"),
    ("layers", nn.Linear(3, 2), (1,), ValueError, "model: Linear is not a plain chain"),
    ("layers", MODEL, (2,), ValueError, "factors: got 1; takes 2, one a layer"),
    ("layers", MODEL, (2, 2), ValueError, "factors: got a product of 4"),
    ("layers", MODEL, (-2, -0.5), ValueError, "factors: got -2; takes a number above 0"),
    ("layers", MODEL, (0, 1), ValueError, "factors: got 0; takes a number above 0"),
    ("layers", MODEL, (float("nan"), 1), ValueError, "factors: got nan"),
    ("layers", MODEL, ("2", 0.5), TypeError, "factors: got '2'"),
    ("layers", MODEL, (True, 1), TypeError, "factors: got True"),
    ("layers", MODEL, 2, TypeError, "factors: got 2; takes a sequence"),
    ("layers", MODEL, None, TypeError, "factors: got None; takes a sequence"),
    ("layers", MODEL, "ab", TypeError, "factors: got 'ab'; takes a sequence"),
    ("nodes", "model", [[1, 1]], TypeError, "model: got str"),
    ("nodes", mlp((3, 4, 2), activation="tanh"), [[1] * 4], ValueError, "model: Tanh is not pos"),
    ("nodes", MODEL, [[1] * 4, [1] * 2], ValueError, "factors: got 2 vectors; takes 1"),
    ("nodes", MODEL, [[1] * 3], ValueError, "factors: got 3 numbers for hidden layer 1; takes 4"),
    ("nodes", MODEL, [[1, 1, 1, 0]], ValueError, "factors: got 0; takes a number above 0"),
    ("nodes", MODEL, [1, 2], TypeError, "factors: takes one vector of numbers a hidden layer"),
    ("nodes", MODEL, 1, TypeError, "factors: takes one vector"),
]


@pytest.mark.parametrize(("kind", "model", "factors", "error", "said"), BAD)
def test_bad_arguments_are_named(kind, model, factors, error, said):
    rescale = {"layers": rescale_layers, "nodes": rescale_nodes}[kind]
    with pytest.raises(error, match=said):
        rescale(model, factors)


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_the_fault_is_named_exactly_where_there_is_one(activation):
    fault = symmetry_fault(mlp((3, 4, 2), activation=activation))
    assert (fault is None) == (ACTIVATIONS[activation] in HOMOGENEOUS)
    assert fault is None or ACTIVATIONS[activation].__name__ in fault


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"metric": "node"}, ValueError, "metric: got 'node'; takes one of 'layer', 'elementwise'"),
        ({"metric": None}, TypeError, "metric: got None"),
        ({"metric": "elementwise", "riemannian": True}, ValueError, "riemannian: got True with"),
        ({"riemannian": "yes"}, TypeError, "riemannian: got 'yes'; takes True or False"),
        ({"tol": 0}, ValueError, "tol: got 0"),
        ({"start": torch.ones(3)}, ValueError, "start: got shape"),
        ({"seed": -1}, ValueError, "seed: got -1"),
    ],
)
def test_bad_options_of_invariant_sharpness_are_named(options, error, said):
    objective = Objective(MODEL, *samples(5, 3, 2))
    with pytest.raises(error, match=said):
        invariant_sharpness(objective, **options)


def test_invariant_sharpness_warns_where_it_has_not_converged():
    objective = Objective(MODEL, *samples(5, 3, 2))
    with pytest.warns(UserWarning, match=r"invariant_sharpness \(layer\): residual"):
        invariant_sharpness(objective, tol=1e-14)
    with pytest.raises(TypeError, match="objective: got Sequential"):
        invariant_sharpness(MODEL)
