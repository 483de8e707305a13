"""The pairs of samples and their floor, against kit.sharpening and worked numbers."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kit.forcing import Pairs, floor_on_sharpness, segment_norms
from kit.models import mlp
from kit.objective import Objective
from kit.sharpening import along_segment, jacobian_floor, sharpness_floor


def residuals(objective):
    return (objective.outputs() - objective.targets).norm(dim=1).numpy()


@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_floor_of_kit_sharpening(seed):
    rng = np.random.default_rng(seed)
    X, Y = rng.normal(size=(12, 3)), 4 * rng.normal(size=(12, 2))
    model = mlp((3, 8, 2), seed=seed).double()
    objective = Objective(model, torch.tensor(X), torch.tensor(Y), loss="mse")
    ours, theirs = Pairs(X, Y).floor(residuals(objective)), jacobian_floor(objective)
    assert ours.raw == pytest.approx(theirs.terms["sup J"], rel=1e-6)
    assert {ours.i, ours.j} == set(theirs.pair)
    assert ours.vacuous == theirs.vacuous
    assert ours.value == pytest.approx(theirs.value, rel=1e-6)
    bound = sharpness_floor(objective)
    assert floor_on_sharpness(objective, ours.value) == pytest.approx(bound.value, rel=1e-6)
    a, b = objective.X[ours.i], objective.X[ours.j]
    norms = segment_norms(model, a, b, 101)
    assert norms.max() == pytest.approx(along_segment(model, a, b, points=101), rel=1e-9)


@given(st.lists(st.floats(-3, 3), min_size=3, max_size=3), st.floats(0.1, 10))
def test_it_scales_with_the_labels_and_against_the_distances(y, scale):
    X, Y, none = np.array([[0.0], [0.3], [1.0]]), np.array(y)[:, None], np.zeros(3)
    floor = Pairs(X, Y).floor(none).value
    assert Pairs(X, scale * Y).floor(none).value == pytest.approx(scale * floor)
    assert Pairs(scale * X, Y).floor(none).value == pytest.approx(floor / scale)


def test_large_residuals_force_nothing():
    floor = Pairs([[0.0], [1.0]], [[0.0], [1.0]]).floor([0.5, 0.6])
    assert floor.vacuous
    assert floor.value == 0
    assert floor.raw == pytest.approx(-0.1)


def test_what_it_does_not_take():
    with pytest.raises(ValueError, match="Y: got 1 rows"):
        Pairs([[0.0], [1.0]], [[0.0]])
    with pytest.raises(ValueError, match="not at the same place"):
        Pairs([[1.0], [1.0]], [[0.0], [1.0]])
    objective = Objective(mlp((1, 2)), [[0.0], [1.0]], [0, 1], loss="cross_entropy")
    with pytest.raises(ValueError, match="loss='mse'"):
        floor_on_sharpness(objective, 1.0)
