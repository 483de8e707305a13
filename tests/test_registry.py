"""Every entry of the registry: what it says of itself holds, and what it does not say does not.

The closed-form test of a measure stands with its function (tests/test_curvature.py,
test_spectrum.py, test_flatness.py, test_perturbation.py, test_softrank.py, test_spacing.py,
test_evidence.py, test_batches.py, test_paths.py, test_rescaling.py, test_jacobian.py); here each
entry gives that function's number, and has exactly the invariances that it claims.
"""

import math

import pytest
import torch
from torch import nn

import kit
from kit import Estimate, Objective, measures, rescale_layers, rescale_nodes
from kit.registry import COSTS, INVARIANCES
from tests.oracles import net, put, samples

REGISTRY = measures()
WIDTHS, N = (4, 12, 10, 3), 8


def problem(model=None, X=None, y=None):
    own_X, own_y = samples(N, WIDTHS[0], WIDTHS[-1])
    return Objective(
        net(WIDTHS) if model is None else model,
        own_X if X is None else X,
        own_y if y is None else y,
    )


def permuted(model):
    order = torch.randperm(WIDTHS[1], generator=torch.Generator().manual_seed(1))
    other = net(WIDTHS)
    other.load_state_dict(model.state_dict())
    with torch.no_grad():
        other[0].weight.copy_(model[0].weight[order])
        other[0].bias.copy_(model[0].bias[order])
        other[2].weight.copy_(model[2].weight[:, order])
    return other


def input_scaled(objective, a=3.0):
    model = net(WIDTHS)
    model.load_state_dict(objective.model.state_dict())
    with torch.no_grad():
        model[0].weight.div_(a)
    return problem(model, a * objective.X)


def duplicated(objective):
    return problem(objective.model, objective.X.repeat(2, 1), objective.y.repeat(2))


NODES = [[0.1, 3, 10, 1, 0.5, 7, 0.02, 1, 4, 9, 0.3, 2], [1, 0.05, 20, 2, 0.3] * 2]
TRANSFORMATIONS = {
    "layer-wise": lambda o: problem(rescale_layers(o.model, (5, 0.02, 10))),
    "node-wise": lambda o: problem(
        rescale_nodes(
            o.model, [[0.1, 3, 10, 1, 0.5, 7, 0.02, 1, 4, 9, 0.3, 2], [1, 0.05, 20, 2, 0.3] * 2]
        )
    ),
    "permutation": lambda o: problem(permuted(o.model)),
    "duplication": duplicated,
    "input scale": input_scaled,
}
OPTIONS = {"tol": 1e-9, "probes": 5000, "rho": 0.01, "draws": 50, "batch_size": 5}


def tight(entry):
    """Options under which iterative and sampled measures are exact enough to compare."""
    return {name: value for name, value in OPTIONS.items() if name in entry.options}


def value(entry, objective):
    result = entry.fn(objective, **tight(entry))
    return result.value if isinstance(result, Estimate) else result


def test_the_issues_list_is_there():
    asked = {
        "sharpness",
        "trace",
        "frobenius",
        "keskar",
        "relative_flatness",
        "minimum_sharpness",
        "normalized_sharpness",
        "adaptive_sharpness",
        "average_adaptive_sharpness",
        "fisher_rao",
        "takeuchi",
        "path_norm",
        "level_spacing",
        "interpolating_information_criterion",
        "batch_sharpness",
        "critical_sharpness",
        "invariant_sharpness_layer",
        "invariant_sharpness_elementwise",
        "invariant_sharpness_path",
        "invariant_sharpness_riemannian",
        "soft_rank",
        "jacobian_max",
        "jacobian_mean",
        "pac_bayes",
    }
    assert asked <= set(REGISTRY)


@pytest.mark.parametrize("name", REGISTRY)
def test_an_entry_says_what_it_is(name):
    entry = REGISTRY[name]
    assert entry.name == name
    assert entry.formula
    assert entry.source
    assert entry.cost in COSTS
    assert entry.invariances <= set(INVARIANCES)
    assert all(v is not entry for v in entry.options.values())
    assert set(entry.needs) <= set(entry.options)
    result = entry.fn(problem())
    assert isinstance(result, float | Estimate)
    number = result.value if isinstance(result, Estimate) else result
    assert math.isfinite(number)


# The bound of PAC-Bayes is 1 on so few samples: tests/test_pac_bayes.py shows what moves it.
COMPARED = sorted(set(REGISTRY) - {"pac_bayes"})


@pytest.mark.parametrize("transformation", INVARIANCES)
@pytest.mark.parametrize("name", COMPARED)
def test_it_has_the_invariances_that_it_claims_and_no_others(name, transformation):
    entry, objective = REGISTRY[name], problem()
    before = value(entry, objective)
    if (name, transformation) == ("interpolating_information_criterion", "duplication"):
        with pytest.raises(ValueError, match="repeated samples"):
            value(entry, duplicated(objective))
        return
    after = value(entry, TRANSFORMATIONS[transformation](objective))
    change = abs(after - before) / abs(before)
    if transformation in entry.invariances:
        assert change < 1e-6, f"{name} claims {transformation}: {before} became {after}"
    else:
        assert change > 1e-4, f"{name} could claim {transformation}"


@pytest.mark.parametrize("name", COMPARED)
def test_no_measure_survives_a_change_of_the_function(name):
    """The last layer times three: another function with the same predictions."""
    objective = problem()
    model = net(WIDTHS)
    model.load_state_dict(objective.model.state_dict())
    with torch.no_grad():
        model[-1].weight.mul_(3)
        model[-1].bias.mul_(3)
    before, after = value(REGISTRY[name], objective), value(REGISTRY[name], problem(model))
    assert abs(after - before) / abs(before) > 1e-3


@pytest.mark.parametrize("name", REGISTRY)
def test_it_leaves_everything_as_it_was(name):
    objective = problem()
    objective.model.eval()
    before, state = objective.flat_parameters(), torch.get_rng_state()
    REGISTRY[name].fn(objective)
    assert torch.equal(before, objective.flat_parameters())
    assert torch.equal(state, torch.get_rng_state())
    assert not objective.model.training
    assert all(p.grad is None for p in objective.model.parameters())


@pytest.mark.parametrize("name", REGISTRY)
def test_it_refuses_what_is_not_an_objective(name):
    with pytest.raises((TypeError, AttributeError)):
        REGISTRY[name].fn(nn.Linear(2, 2))


GENERAL = {
    "minimum_sharpness",
    "normalized_sharpness",
    "path_norm",
    "invariant_sharpness_path",
}


@pytest.mark.parametrize("name", sorted(set(REGISTRY) - GENERAL))
def test_it_takes_any_module_that_ends_in_a_linear_layer(name):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 9), nn.LayerNorm(9), nn.GELU(), nn.Linear(9, 3))
        with torch.no_grad():
            model[1].bias.normal_()
    objective = problem(model.double())
    result = REGISTRY[name].fn(objective)
    assert math.isfinite(result.value if isinstance(result, Estimate) else result)


# Closed forms: one weight w, one sample, x = 2, y = 1, cost (w x - y)^2 / 2 at w = 1.5.


def scalar():
    model = put(net((1, 1), bias=False), torch.tensor([1.5]).double())
    return Objective(model, [[2.0]], [[1.0]], loss="mse")


CLOSED = {
    "sharpness": 4.0,
    "trace": 4.0,
    "frobenius": 4.0,
    "keskar": 100 * (0.5 * (2 * 1.5025 - 1) ** 2 - 2.0) / 3.0,
    "relative_flatness": 1.5**2 * 4,
    "minimum_sharpness": 4.0,
    "normalized_sharpness": 2 * 1.5 * 2,
    "adaptive_sharpness": 0.5 * (2 * 1.5 * 1.05 - 1) ** 2 - 2.0,
    "fisher_rao": 1.5**2 * 4,
    "takeuchi": 0.0,
    "interpolating_information_criterion": math.log(1.5**2)
    + math.log(4)
    + 1
    + math.log(2 * math.pi),
    "critical_sharpness": 4.0,
    "invariant_sharpness_layer": 1.5**2 * 4,
    "invariant_sharpness_elementwise": 1.5**2 * 4,
    "soft_rank": 4 / 4.01,
    "jacobian_max": 1.5,
    "jacobian_mean": 1.5,
}


@pytest.mark.parametrize("name", CLOSED)
def test_one_weight_by_hand(name):
    result = REGISTRY[name].fn(scalar())
    number = result.value if isinstance(result, Estimate) else result
    assert number == pytest.approx(CLOSED[name], rel=1e-6, abs=1e-12)


def test_two_layers_by_hand():
    """f = w2 relu(w1 x), w = (2, 3/4), x = y = 1: theory.md, Part III, 9."""
    model = put(net((1, 1, 1), bias=False), torch.tensor([2.0, 0.75]).double())
    objective = Objective(model, [[1.0]], [[1.0]], loss="mse")
    expected = {
        "sharpness": 4.918313056224,
        "invariant_sharpness_layer": 5.25,
        "invariant_sharpness_elementwise": 5.25,
        "invariant_sharpness_riemannian": 6.0,
        "minimum_sharpness": 2 * math.sqrt(0.5625 * 4),
        "path_norm": 1.5,
        "fisher_rao": 9.0,
    }
    for name, number in expected.items():
        assert REGISTRY[name].fn(objective, **tight(REGISTRY[name])) == pytest.approx(
            number, rel=1e-7
        ), name


def test_average_adaptive_and_batch_sharpness_by_hand():
    average = REGISTRY["average_adaptive_sharpness"].fn(scalar(), rho=0.1, draws=4000)
    exact = 0.5 * 0.01 * 1.5**2 * 4
    assert abs(average.value - exact) < 4 * average.standard_error
    batch = REGISTRY["batch_sharpness"].fn(scalar(), batch_size=32)
    assert batch.value == pytest.approx(4.0)


def test_the_registry_is_not_changed_by_its_readers():
    table = measures()
    table.clear()
    assert measures()
    assert kit.measures is measures
