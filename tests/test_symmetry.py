"""Rescaling of conv nets and residual blocks: found where it is, refused with the reason else."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from kit import Objective, Training, convnet, eigenvalues, load_dataset, matrix, mlp
from kit import rescale_layers as layer_wise
from kit import rescale_nodes as node_wise
from kit.models import ResidualBlock
from kit.rescaling import invariant_sharpness, symmetry_fault
from kit.symmetry import find_symmetry

SHAPE = (1, 4, 4)


def small(residual=False, pool="avg", activation="relu", seed=0):
    return convnet(
        SHAPE, (2, 3), 3, pool=pool, residual=residual, activation=activation, seed=seed
    ).double()


def images(n=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 16, generator=generator, dtype=torch.float64)


def objective(model, n=6):
    return Objective(model, images(n), torch.arange(n) % 3)


def factors_of(symmetry, logs):
    """Factors with product 1 in each group, from one number in [-2, 2] a layer."""
    factors = [1.0] * len(symmetry.layers)
    for group in symmetry.groups:
        mean = sum(logs[i] for i in group) / len(group)
        for i in group:
            factors[i] = 10.0 ** (logs[i] - mean)
    return factors


LOGS = st.lists(st.floats(-2, 2), min_size=7, max_size=7)


def test_the_layers_and_groups_of_each_kind_of_network():
    plain, residual = find_symmetry(small()), find_symmetry(small(residual=True))
    assert plain.groups == ((0, 1, 2),)
    assert plain.hidden() == [(0, 1), (1, 2)]
    assert [type(layer) for layer in plain.layers] == [nn.Conv2d, nn.Conv2d, nn.Linear]
    assert residual.groups == ((0, 3, 6), (1, 2), (4, 5))
    assert residual.hidden() == [(1, 2), (4, 5)]
    assert residual.carried[2] == (0, 1, 2)
    assert residual.carried[6] == (0, 3, 6)


@settings(max_examples=25)
@given(LOGS, st.booleans(), st.sampled_from(["avg", "max", "none"]), st.integers(0, 9))
def test_layer_wise_factors_leave_the_function(logs, residual, pool, seed):
    for activation in ("relu", "leaky_relu", "linear"):
        model = small(residual, pool, activation, seed)
        other = layer_wise(model, factors_of(find_symmetry(model), logs))
        torch.testing.assert_close(other(images()), model(images()), rtol=1e-8, atol=1e-10)


@settings(max_examples=25)
@given(st.lists(st.floats(-2, 2), min_size=5, max_size=5), st.sampled_from(["avg", "max", "none"]))
def test_node_wise_factors_leave_the_function(logs, pool):
    model = small(pool=pool)
    nodes = [[10.0**t for t in logs[:2]], [10.0**t for t in logs[2:]]]
    torch.testing.assert_close(
        node_wise(model, nodes)(images()), model(images()), rtol=1e-8, atol=1e-10
    )
    blocks = small(residual=True, pool=pool)
    torch.testing.assert_close(
        node_wise(blocks, nodes)(images()), blocks(images()), rtol=1e-8, atol=1e-10
    )


@settings(max_examples=8)
@given(LOGS, st.booleans())
def test_every_eigenvalue_of_s_and_b_survives_layer_wise_rescaling(logs, residual):
    """Top five and bottom five, by Lanczos, against each other; factors from 0.01 to 100."""
    model = small(residual)
    other = layer_wise(model, factors_of(find_symmetry(model), logs))
    for operator in ("layer", "riemannian"):
        for largest in (True, False):
            a, b = (
                eigenvalues(objective(m), 5, operator=operator, largest=largest, tol=1e-7).values
                for m in (model, other)
            )
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7 * float(a.abs().max()))


@pytest.mark.parametrize("operator", ["elementwise", "path"])
def test_node_wise_metrics_of_a_conv_net_survive_and_the_layer_metric_does_not(operator):
    model = small()
    other = node_wise(model, [[0.1, 7.0], [3.0, 0.02, 1.0]])
    a, b = (torch.linalg.eigvalsh(matrix(objective(m), operator)) for m in (model, other))
    torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-9 * float(a.abs().max()))
    for changed in ("layer", "hessian"):
        a, b = (torch.linalg.eigvalsh(matrix(objective(m), changed))[-1] for m in (model, other))
        assert float(b / a) == pytest.approx(float(b / a))
        assert abs(float(b / a) - 1) > 0.1


def test_a_scaled_training_of_a_conv_net_goes_on_from_the_same_function():
    dataset = load_dataset("digits", n_train=40)
    run = Training(
        convnet((8, 8), (2,), 10), dataset, lr=0.05, momentum=0.5, measures=("sharpness",)
    )
    run.step(2)
    loss = run.history["loss"][-1]
    run.rescale((4, 0.25))
    assert run.history["loss"][-1] == pytest.approx(loss, rel=1e-4)
    assert run.interventions[-1].new == (4.0, 0.25)
    run.step(1)


class Softish(nn.Module):
    """Looks harmless, is not homogeneous."""

    def forward(self, z):
        return torch.relu(z) + 1e-3 * torch.tanh(z)


class Double(nn.Module):
    """A homogeneous activation of one's own."""

    def forward(self, z):
        return torch.maximum(2 * z, 0.1 * z)


def shared():
    layer = nn.Linear(4, 4)
    return nn.Sequential(layer, nn.ReLU(), layer)


def hooked():
    model = mlp((4, 4, 4))
    model[1].register_forward_hook(lambda m, i, o: o + 1)
    return model


REFUSED = {
    "tanh": (lambda: small(activation="tanh"), "Tanh is not positively homogeneous"),
    "gelu block": (lambda: small(True, activation="gelu"), "GELU is not positively homogeneous"),
    "custom": (lambda: nn.Sequential(nn.Linear(4, 4), Softish(), nn.Linear(4, 4)), "Softish is no"),
    "softmax": (
        lambda: nn.Sequential(nn.Linear(4, 4), nn.Softmax(1), nn.Linear(4, 4)),
        "Softmax is not positively homogeneous",
    ),
    "batch norm": (
        lambda: nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 4)),
        "BatchNorm1d has parameters of its own",
    ),
    "layer norm": (
        lambda: nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4, elementwise_affine=False)),
        "LayerNorm could not be tried",
    ),
    "shared": (shared, "layers share their weights"),
    "hooks": (hooked, "ReLU has hooks"),
    "one layer": (lambda: nn.Sequential(nn.Linear(4, 4)), "a linear model has one layer"),
    "no layer": (lambda: nn.Sequential(nn.ReLU()), "has no linear layer"),
    "another module": (lambda: ResidualBlock(2, 3, "relu"), "ResidualBlock is not a plain chain"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_module_without_the_symmetry_is_refused_with_the_reason(name):
    make, reason = REFUSED[name]
    model = make()
    assert reason in symmetry_fault(model)
    for rescale in (layer_wise, node_wise):
        with pytest.raises(ValueError, match=reason):
            rescale(model, (2, 0.5))


def test_the_refused_tanh_net_indeed_changes_its_function():
    model = small(activation="tanh")
    other = small(activation="tanh")
    with torch.no_grad():
        other[1].weight.mul_(10)
        other[1].bias.mul_(10)
        other[-1].weight.div_(10)
    change = (other(images()) - model(images())).abs().max() / model(images()).abs().max()
    assert float(change.detach()) > 0.01


def test_an_activation_of_ones_own_is_taken_if_it_is_homogeneous():
    model = nn.Sequential(nn.Linear(3, 4), Double(), nn.Linear(4, 2)).double()
    X = images()[:, :3]
    torch.testing.assert_close(layer_wise(model, (5, 0.2))(X), model(X))


def test_factors_of_a_residual_network_are_checked_group_by_group():
    model = small(residual=True)
    with pytest.raises(ValueError, match=r"a product of 2 for the layers \(1, 2\)"):
        layer_wise(model, (1, 2, 1, 1, 1, 1, 1))
    with pytest.raises(ValueError, match="factors: got 3; takes 7"):
        layer_wise(model, (1, 1, 1))
    with pytest.raises(ValueError, match="got 3 numbers for hidden layer 1; takes 2"):
        node_wise(model, [[1, 1, 1], [1, 1, 1]])


def test_a_fresh_bias_is_said():
    model = small()
    with torch.no_grad():
        model[1].bias.zero_()
    with pytest.warns(UserWarning, match=r"1\.bias is 0 and counts as flat"):
        value = invariant_sharpness(objective(model))
    assert math.isfinite(value)
    assert invariant_sharpness(objective(model), metric="elementwise") > 0


def test_trying_an_activation_neither_depends_on_it_writing_nor_changes_it():
    inplace = nn.Sequential(nn.Linear(3, 4), nn.LeakyReLU(0.1, inplace=True), nn.Linear(4, 2))
    assert symmetry_fault(inplace) is None
    norm = nn.BatchNorm2d(4, affine=False)
    symmetry_fault(nn.Sequential(nn.Conv2d(4, 4, 1), norm, nn.Flatten(), nn.Linear(4, 2)))
    assert int(norm.num_batches_tracked) == 0
