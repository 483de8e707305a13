"""Batch sharpness against dense float64 Hessians and gradients of each batch."""

import math
from itertools import combinations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from kit import Objective, mlp
from kit.batches import batch_quotients, batch_sharpness, summarise
from tests import oracles


def problem(n=12, *, loss="mse", activation="tanh"):
    X, y = oracles.samples(n, 3, 2)
    return Objective(oracles.net((3, 4, 2), activation), X, y, loss=loss)


def ratio(objective, indices):
    """g' H g and g' g of one batch, by dense matrices."""
    batch = objective.X[indices], objective.y[indices], objective.loss
    g, H = oracles.gradient(objective.model, *batch), oracles.hessian(objective.model, *batch)
    return float(g @ H @ g), float(g @ g)


class ByAutograd(nn.Sequential):
    """Not a plain perceptron to the kit: each batch is differentiated by autograd."""


def test_one_weight_has_the_mean_square_input_as_curvature():
    model = mlp((1, 1), bias=False, seed=0).double()
    x = torch.tensor([[1.0], [2.0], [3.0], [5.0]])
    objective = Objective(model, x, torch.zeros(4, 1), loss="mse")
    full = batch_sharpness(objective, 4, batches=3)
    assert full.value == pytest.approx(39 / 4)
    assert full.standard_error == pytest.approx(0, abs=1e-12)
    single = batch_sharpness(objective, 1, batches=4000, seed=1)
    assert abs(single.value - 39 / 4) < 4 * single.standard_error


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
@pytest.mark.parametrize("kind", [nn.Sequential, ByAutograd])
def test_quotients_are_those_of_the_dense_matrices(kind, loss):
    objective = problem(loss=loss)
    objective = Objective(kind(*objective.model), objective.X, objective.y, loss=loss)
    curvature, square = batch_quotients(objective, 5, 4, torch.Generator().manual_seed(3))
    generator = torch.Generator().manual_seed(3)
    batches = [torch.randperm(12, generator=generator)[:5] for _ in range(4)]
    expected = [ratio(objective, batch) for batch in batches]
    assert curvature.tolist() == pytest.approx([c for c, _ in expected], rel=1e-9)
    assert square.tolist() == pytest.approx([s for _, s in expected], rel=1e-9)


@pytest.mark.parametrize("definition", ["mean_of_ratios", "ratio_of_means"])
def test_the_estimate_is_within_four_standard_errors_of_all_batches(definition):
    objective = problem(6)
    pairs = [ratio(objective, list(batch)) for batch in combinations(range(6), 3)]
    if definition == "mean_of_ratios":
        exact = sum(c / s for c, s in pairs) / len(pairs)
    else:
        exact = sum(c for c, _ in pairs) / sum(s for _, s in pairs)
    estimate = batch_sharpness(objective, 3, batches=2000, definition=definition, seed=5)
    assert abs(estimate.value - exact) < 4 * estimate.standard_error
    assert estimate.standard_error < 0.1 * abs(exact)
    assert estimate.matvecs == 2000


@pytest.mark.parametrize("definition", ["mean_of_ratios", "ratio_of_means"])
def test_the_standard_error_is_the_spread_of_repeated_estimates(definition):
    objective = problem(6)
    estimates = [
        batch_sharpness(objective, 2, batches=100, definition=definition, seed=seed)
        for seed in range(100)
    ]
    spread = torch.tensor([e.value for e in estimates]).std()
    stated = sum(e.standard_error for e in estimates) / 100
    assert 0.75 * stated < spread < 1.35 * stated


def test_the_two_definitions_differ_where_gradients_differ_in_size():
    curvature = torch.tensor([1.0, 30.0], dtype=torch.float64)
    square = torch.tensor([1.0, 10.0], dtype=torch.float64)
    mean = summarise(curvature, square)
    assert mean.value == 2
    assert mean.standard_error == pytest.approx(1)  # of 1 and 3: std sqrt 2, over sqrt 2
    assert summarise(curvature, square, "ratio_of_means").value == pytest.approx(31 / 11)


def test_full_batches_give_the_curvature_along_the_gradient():
    objective = problem()
    curvature, square = ratio(objective, torch.arange(12))
    for definition in ("mean_of_ratios", "ratio_of_means"):
        full = batch_sharpness(objective, 12, batches=5, definition=definition)
        assert full.value == pytest.approx(curvature / square, rel=1e-9)
        assert full.standard_error < 1e-9 * abs(full.value)


@given(st.integers(1, 12), st.integers(0, 1000))
def test_it_never_exceeds_the_largest_eigenvalue_that_a_batch_can_have(b, seed):
    objective = Objective(mlp((3, 2), seed=0).double(), *oracles.samples(12, 3, 2), loss="mse")
    # a linear model: H_B = mean x x' + 1 for the bias, at most the largest |x|^2 + 1
    limit = float(objective.X.square().sum(1).max()) + 1
    assert 0 < batch_sharpness(objective, b, batches=5, seed=seed).value <= limit


def test_a_batch_without_gradient_counts_as_zero():
    zero, one = torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    assert summarise(zero, zero).value == 0
    assert summarise(zero, zero, "ratio_of_means").value == 0
    some = torch.tensor([1.0, 0, 1], dtype=torch.float64)
    assert summarise(some * 6, some).value == pytest.approx(4)
    assert math.isfinite(summarise(one, some, "ratio_of_means").standard_error)


def test_many_large_batches_are_taken_in_parts(monkeypatch):
    X, y = oracles.samples(12, 4, 3)
    objective = Objective(mlp((4, 5, 3), seed=0).double(), X, y)
    whole = batch_sharpness(objective, 5, batches=9)
    monkeypatch.setattr("kit.batches.NUMBERS", 45)
    parts = batch_sharpness(objective, 5, batches=9)
    assert parts.value == pytest.approx(whole.value, rel=1e-12)
    assert parts.standard_error == pytest.approx(whole.standard_error, rel=1e-9)


def test_a_seed_gives_the_same_number_and_another_seed_another():
    objective = problem()
    first, again, other = (batch_sharpness(objective, 3, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first.value != other.value


def test_nothing_is_changed():
    objective = problem()
    theta, state = objective.flat_parameters(), torch.random.get_rng_state()
    value = objective.value()
    batch_sharpness(objective, 4)
    assert torch.equal(objective.flat_parameters(), theta)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(p.grad is None for p in objective.model.parameters())
    assert objective.value() == value


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"objective": mlp((3, 2))}, TypeError, "objective: got Sequential"),
        ({"batch_size": 0}, ValueError, "batch_size: got 0; takes a whole number from 1 up to 12"),
        ({"batch_size": 13}, ValueError, "batch_size: got 13"),
        ({"batch_size": 2.0}, TypeError, r"batch_size: got 2\.0"),
        ({"batches": 1}, ValueError, "batches: got 1"),
        ({"definition": "median"}, ValueError, "definition: got 'median'; takes one of"),
        ({"seed": -1}, ValueError, "seed: got -1"),
        ({"seed": None}, TypeError, "seed: got None"),
    ],
)
def test_bad_input_is_named(changes, error, message):
    arguments = {"objective": problem(), "batch_size": 4} | changes
    with pytest.raises(error, match="^" + message):
        batch_sharpness(arguments.pop("objective"), arguments.pop("batch_size"), **arguments)
