"""The orbit of a trained network: what each measure claims in the registry, seen on a network."""

import numpy as np
import pytest
import torch

from kit import Training, load_dataset, measures, mlp
from kit.orbit import QUICK, Orbit


@pytest.fixture(scope="module")
def orbit():
    model = mlp((64, 12, 12, 10), seed=0).double()
    run = Training(
        model, load_dataset("digits", n_train=80), loss="mse", lr=0.3, measures=(), scores=False
    )
    run.run(60)
    return Orbit(run)


@pytest.mark.parametrize("alpha", [0.01, 0.3, 1.0, 100.0])
@pytest.mark.parametrize("spread", [0.0, 1.5])
def test_every_rescaling_is_the_same_function(orbit, alpha, spread):
    assert orbit.output_change(orbit.at(alpha, spread)) < 1e-12


@pytest.mark.parametrize("name", QUICK)
def test_a_measure_moves_unless_the_registry_says_that_it_does_not(orbit, name):
    invariant = measures()[name].invariances
    layers, nodes = orbit.at(alpha=7.0), orbit.at(spread=0.8)
    for model, kind in ((layers, "layer-wise"), (nodes, "node-wise")):
        ratio = orbit.ratio(name, model)
        if kind in invariant:
            assert ratio == pytest.approx(1, rel=1e-3)
        else:
            assert abs(ratio - 1) > 0.05


def test_sharpness_stays_below_alpha_squared(orbit):
    for alpha in (0.05, 3.0, 40.0):
        assert 1 < orbit.ratio("sharpness", orbit.at(alpha)) < max(alpha, 1 / alpha) ** 2


def test_layers_leave_filter_normalised_slices_alone_but_not_raw_ones(orbit):
    at, here, there = torch.linspace(-1, 1, 9), orbit.training.model, orbit.at(alpha=10.0)
    same = [orbit.slice(model, at, filters=True) for model in (here, there)]
    assert torch.allclose(*same, rtol=1e-9)
    nodes = orbit.slice(orbit.at(spread=1.0), at, filters=True)
    assert not torch.allclose(nodes, same[0], rtol=0.1)
    raw = [orbit.slice(model, at, filters=False) for model in (here, there)]
    assert float(raw[1][0] / raw[0][0]) > 3
    assert float(raw[0][4]) == pytest.approx(orbit.objective.value())


def test_with_weight_decay_the_objective_is_not_invariant(orbit):
    here, there = orbit.training.model, orbit.at(alpha=10.0)
    assert orbit.penalised(here, 0.0) == pytest.approx(orbit.penalised(there, 0.0), rel=1e-12)
    assert orbit.penalised(there, 0.01) > 2 * orbit.penalised(here, 0.01)


def test_the_loss_is_that_of_the_training():
    data = load_dataset("digits", n_train=40)
    run = Training(mlp((64, 6, 10), seed=0), data, label_smoothing=0.2, measures=(), scores=False)
    assert Orbit(run).objective.value() == pytest.approx(run.objective.value(), rel=1e-6)


def test_the_training_is_left_alone_and_seeds_repeat(orbit):
    theta = orbit.training.objective.flat_parameters()
    first, again, other = (orbit.at(spread=1.0, seed=s) for s in (0, 0, 1))
    assert torch.equal(first[0].weight, again[0].weight)
    assert not torch.equal(first[0].weight, other[0].weight)
    assert torch.equal(orbit.training.objective.flat_parameters(), theta)
    assert np.isfinite(orbit.ratio("sharpness", other))


def test_a_network_without_the_symmetry_is_refused():
    run = Training(mlp((64, 4, 10), activation="tanh"), load_dataset("digits", n_train=20))
    with pytest.raises(ValueError, match="Tanh"):
        Orbit(run)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda o: o.at(alpha=0.0), "alpha"),
        (lambda o: o.at(spread=-1.0), "spread"),
        (lambda o: o.ratio("soft_rank", o.at()), "name"),
    ],
)
def test_bad_input_is_refused(orbit, call, name):
    with pytest.raises(ValueError, match=name):
        call(orbit)
