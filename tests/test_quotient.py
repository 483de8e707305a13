"""Vertical directions leave the function; the Hessian on the quotient does not see them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kit import Objective, convnet, mlp, rescale_layers
from kit.curvature import matrix
from kit.operators import block_norms
from kit.quotient import (
    horizontal_part,
    riemannian_gradient,
    vertical_basis,
    vertical_part,
)
from kit.rescaling import block_factors
from kit.symmetry import find_symmetry
from tests.oracles import flat, net, put, samples


def problem(kind="mlp", bias=True):
    if kind == "mlp":
        return Objective(net((3, 5, 4, 2), bias=bias), *samples(9, 3, 2))
    model = convnet((4, 4), (2, 2), 3, residual=kind == "residual").double()
    X, y = samples(5, 16, 3)
    return Objective(model, X, y)


KINDS = ["mlp", "conv", "residual"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_function_does_not_change_along_vertical_directions_to_first_order(kind):
    objective = problem(kind)
    V = vertical_basis(objective)
    assert V.shape[1] == {"mlp": 2, "conv": 2, "residual": 4}[kind]
    assert int(torch.linalg.matrix_rank(V)) == V.shape[1]
    assert float((objective.gradient() @ V).abs().max()) < 1e-12
    f, theta = objective.outputs(), flat(objective.model)
    for v in V.unbind(1):
        small = [float((objective.at(theta + t * v).outputs - f).abs().max()) for t in (1e-3, 1e-4)]
        assert small[1] < 0.02 * small[0]  # of second order: the orbit is curved


@pytest.mark.parametrize("kind", KINDS)
def test_they_are_the_tangents_of_the_orbit(kind):
    objective = problem(kind)
    V, t = vertical_basis(objective), 1e-6
    symmetry = find_symmetry(objective.model)
    group, factors = symmetry.groups[0], [1.0] * len(symmetry.layers)
    factors[group[0]], factors[group[1]] = 1 + t, 1 / (1 + t)
    moved = flat(rescale_layers(objective.model, factors))
    torch.testing.assert_close((moved - flat(objective.model)) / t, V[:, 0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_b_annihilates_them_at_every_point_and_s_does_not(kind):
    """theory.md, P2.4, b: in e = u / ||theta_b|| coordinates."""
    objective = problem(kind)
    V = vertical_basis(objective) / block_norms(objective).unsqueeze(1)
    B, S = matrix(objective, "riemannian"), matrix(objective, "layer")
    scale = float(B.abs().max())
    assert float((B @ V).abs().max()) < 1e-11 * max(scale, 1)
    assert float((S @ V).abs().max()) > 1e-3 * scale


@pytest.mark.parametrize("kind", KINDS)
def test_the_two_parts_add_up_and_are_orthogonal_in_the_metric(kind):
    objective = problem(kind)
    generator = torch.Generator().manual_seed(0)
    v = torch.randn(objective.parameters, generator=generator, dtype=torch.float64)
    up, along = vertical_part(objective, v), horizontal_part(objective, v)
    torch.testing.assert_close(up + along, v)
    weights = block_norms(objective).square().reciprocal()
    assert float((weights * up) @ along) == pytest.approx(0, abs=1e-9)
    torch.testing.assert_close(vertical_part(objective, up), up)
    assert float(vertical_part(objective, along).abs().max()) < 1e-10
    V = vertical_basis(objective)
    assert float((V.mT @ (weights * along)).abs().max()) < 1e-9


def test_without_biases_it_is_the_closed_form():
    """P_H(u)_l = u_l - (a_l - abar) W_l, a_l = <u_l, W_l> / ||W_l||^2."""
    objective = problem(bias=False)
    generator = torch.Generator().manual_seed(0)
    u = torch.randn(objective.parameters, generator=generator, dtype=torch.float64)
    blocks = objective.blocks()
    parts = u.split([b.numel() for b in blocks])
    a = [float(p @ b.flatten() / b.square().sum()) for p, b in zip(parts, blocks, strict=True)]
    mean = sum(a) / len(a)
    expected = [p - (x - mean) * b.flatten() for p, x, b in zip(parts, a, blocks, strict=True)]
    torch.testing.assert_close(horizontal_part(objective, u), torch.cat(expected))


@pytest.mark.parametrize("kind", KINDS)
def test_the_riemannian_gradient_is_horizontal(kind):
    objective = problem(kind)
    gradient = riemannian_gradient(objective)
    torch.testing.assert_close(
        horizontal_part(objective, gradient), gradient, rtol=1e-9, atol=1e-12
    )
    plain = objective.gradient()
    assert float(vertical_part(objective, plain).norm()) > 1e-4 * float(plain.norm())


@settings(max_examples=15)
@given(st.lists(st.floats(-2, 2), min_size=2, max_size=2))
def test_rescaling_maps_parts_to_parts(logs):
    a, b = (10.0**t for t in logs)
    factors = (a, b, 1 / (a * b))
    objective = problem()
    model = rescale_layers(objective.model, factors)
    other = Objective(model, objective.X, objective.y)
    sizes = zip(block_factors(objective.model, factors), objective.blocks(), strict=True)
    A = torch.cat([torch.full((p.numel(),), f, dtype=torch.float64) for f, p in sizes])
    generator = torch.Generator().manual_seed(0)
    v = torch.randn(objective.parameters, generator=generator, dtype=torch.float64)
    expected = A * vertical_part(objective, v)
    torch.testing.assert_close(vertical_part(other, A * v), expected, rtol=1e-6, atol=1e-9)
    # A gradient divides where a direction multiplies; the Riemannian one is a direction.
    torch.testing.assert_close(
        riemannian_gradient(other), A * riemannian_gradient(objective), rtol=1e-7, atol=1e-10
    )


def test_the_scalar_net_of_worked_number_nine():
    """w = (2, 3/4): vertical is (2, -3/4), B = diag in log coordinates with eigenvalues 0, 6."""
    model = put(net((1, 1, 1), bias=False), torch.tensor([2.0, 0.75]).double())
    objective = Objective(model, [[1.0]], [[1.0]], loss="mse")
    torch.testing.assert_close(
        vertical_basis(objective)[:, 0], torch.tensor([2.0, -0.75], dtype=torch.float64)
    )
    values = torch.linalg.eigvalsh(matrix(objective, "riemannian"))
    torch.testing.assert_close(values, torch.tensor([0.0, 6.0], dtype=torch.float64))
    torch.testing.assert_close(
        riemannian_gradient(objective), torch.tensor([1.5, 0.5625], dtype=torch.float64)
    )


def test_a_zero_bias_has_no_vertical_part():
    objective = problem()
    with torch.no_grad():
        objective.model[0].bias.zero_()
    v = torch.ones(objective.parameters, dtype=torch.float64)
    part = vertical_part(objective, v)
    assert bool(torch.isfinite(part).all())
    assert float(part[15:20].abs().max()) == 0


def test_bad_input_is_refused():
    objective = problem()
    for call in (vertical_part, horizontal_part):
        with pytest.raises(ValueError, match=r"v: got \(3,\); takes a tensor \(54,\)"):
            call(objective, torch.ones(3))
    with pytest.raises(TypeError, match="objective: got Sequential"):
        vertical_basis(objective.model)
    with pytest.raises(ValueError, match="Tanh is not positively homogeneous"):
        vertical_basis(Objective(mlp((3, 4, 2), activation="tanh"), *samples(4, 3, 2)))
