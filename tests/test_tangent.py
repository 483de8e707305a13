"""Tangent kernel, dual and layer shares against dense matrices of torch's own, in float64."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from kit import Objective
from kit.models import ACTIVATIONS, mlp
from kit.tangent import (
    dual_gauss_newton,
    gauss_newton_diagonal,
    layer_kernels,
    layer_names,
    layer_shares,
    output_hessian,
    output_root,
    parameter_jacobian,
    per_sample_gradients,
    tangent_kernel,
)
from tests import oracles
from tests.oracles import net, samples


class Residual(nn.Module):
    """A convolution, a residual block, pooling and a head, on 1 x 4 x 4 images."""

    def __init__(self, pool):
        super().__init__()
        self.stem = nn.Conv2d(1, 2, 3, padding=1)
        self.inside = nn.Sequential(
            nn.Conv2d(2, 2, 3, padding=1), nn.Tanh(), nn.Conv2d(2, 2, 3, padding=1)
        )
        self.pool, self.head = pool, nn.Linear(8, 3)

    def forward(self, x):
        h = torch.relu(self.stem(x))
        return self.head(self.pool(h + self.inside(h)).flatten(1))


class Branches(nn.Module):
    """Takes another path by the sign of its input: cannot be batched by vmap."""

    def __init__(self):
        super().__init__()
        self.one = nn.Parameter(torch.randn(2, 3))
        self.two = nn.Parameter(torch.randn(2, 3))

    def forward(self, x):
        return torch.stack([self.one @ r if float(r.sum()) > 0 else self.two @ r for r in x])


def build(make, *args):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make(*args).double()


def quartic(f, y):
    return (f - y).pow(4).sum(1) + 0.5 * f.square().sum(1)


PROBLEMS = {
    "relu": lambda: (net((4, 6, 5, 3)), *samples(7, 4, 3)),
    "tanh, no bias": lambda: (net((4, 6, 5, 3), "tanh", bias=False), *samples(7, 4, 3)),
    "linear model": lambda: (net((4, 3)), *samples(7, 4, 3)),
    "residual, average": lambda: (build(Residual, nn.AvgPool2d(2)), images(), torch.arange(5) % 3),
    "residual, max": lambda: (build(Residual, nn.MaxPool2d(2)), images(), torch.arange(5) % 3),
    "branches": lambda: (build(Branches), *samples(6, 3, 2)),
}
LOSSES = {
    "cross_entropy": {},
    "smoothed": {"label_smoothing": 0.2},
    "mse": {"loss": "mse"},
    "custom": {"loss": quartic},
}


def images():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(5, 1, 4, 4, generator=generator, dtype=torch.float64)


def problem(name, loss="cross_entropy"):
    model, X, y = PROBLEMS[name]()
    options = LOSSES[loss]
    if loss == "custom":
        y = torch.nn.functional.one_hot(y).double()
    return Objective(model, X, y, **options), (model, X, y), options


def close(a, b, tol=1e-9):
    torch.testing.assert_close(a, b, rtol=tol, atol=tol * float(b.abs().max()))


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_parameter_jacobian_is_that_of_torch(name):
    objective, (model, X, _), _ = problem(name)
    if name == "branches":
        outputs = oracles.outputs_of(model, X)
        J = torch.autograd.functional.jacobian(outputs, oracles.flat(model))
    else:
        J = torch.func.jacrev(oracles.outputs_of(model, X))(oracles.flat(model))
    close(parameter_jacobian(objective), J)
    rows = J.reshape(-1, J.shape[2])
    close(tangent_kernel(objective), rows @ rows.mT)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", [name for name in PROBLEMS if name != "branches"])
def test_the_dual_has_the_spectrum_of_the_gauss_newton_matrix(name, loss):
    """theory.md, (2)."""
    objective, case, options = problem(name, loss)
    G = torch.linalg.eigvalsh(oracles.gauss_newton(*case, **options)).flip(0)
    dual = torch.linalg.eigvalsh(dual_gauss_newton(objective)).flip(0)
    m = min(len(G), len(dual))
    close(dual[:m], G[:m])
    assert float(G[m:].abs().sum() + dual[m:].abs().sum()) < 1e-10 * float(G[0])


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", PROBLEMS)
def test_diagonal_and_per_sample_gradients_are_those_of_the_dense_matrix(name, loss):
    objective, case, options = problem(name, loss)
    if name != "branches":
        close(gauss_newton_diagonal(objective), oracles.gauss_newton(*case, **options).diagonal())
    U = per_sample_gradients(objective)
    close(U.mean(0), objective.gradient())
    first = Objective(case[0], case[1][:1], case[2][:1], **options)
    close(U[0], first.gradient())


@pytest.mark.parametrize("name", PROBLEMS)
def test_layers_add_up_to_the_kernel(name):
    """theory.md, (4), and (5) for perceptrons."""
    objective, _, _ = problem(name)
    kernels = list(layer_kernels(objective))
    assert len(kernels) == len(layer_names(objective))
    close(sum(kernels), tangent_kernel(objective))
    for layer, kernel in zip(layer_names(objective), kernels, strict=True):
        close(tangent_kernel(objective, layer), kernel)
        J = parameter_jacobian(objective).flatten(0, 1)
        sizes = [p.numel() for p in objective.model.parameters()]
        owners = [n.rpartition(".")[0] for n, _ in objective.model.named_parameters()]
        D = torch.cat(
            [part for part, o in zip(J.split(sizes, 1), owners, strict=True) if o == layer], 1
        )
        close(kernel, D @ D.mT)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", [name for name in PROBLEMS if name != "branches"])
def test_layer_shares_are_those_of_the_dual(name, loss):
    """v' C' K_l C v / lambda_max for the dual's own top eigenvector v: the independent route."""
    objective, _, _ = problem(name, loss)
    shares = layer_shares(objective, tol=1e-9)
    values, vectors = torch.linalg.eigh(dual_gauss_newton(objective))
    C = output_root(objective)
    Cv = (C @ vectors[:, -1].view(objective.n, objective.K, 1)).flatten()
    expected = [float(Cv @ K @ Cv / values[-1]) for K in layer_kernels(objective)]
    assert list(shares.values()) == pytest.approx(expected, abs=1e-6)
    assert sum(shares.values()) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_cost_curvature_is_that_of_autograd(loss):
    objective, (model, X, y), options = problem("relu", loss)
    loss_options = {"loss": "cross_entropy"} | options

    def curvature(f, target):
        cost = oracles.cost_of(target[None], **loss_options)
        return torch.autograd.functional.hessian(lambda u: cost(u[None]).sum(), f)

    A = torch.stack([curvature(*pair) for pair in zip(model(X).detach(), y, strict=True)])
    close(output_hessian(objective), A)
    C = output_root(objective)
    close(C @ C.mT, A / objective.n)


def test_a_cost_that_is_not_convex_has_no_dual():
    model, X, _ = PROBLEMS["relu"]()
    objective = Objective(model, X, torch.zeros(7, 3), loss=lambda f, y: torch.sin(f).sum(1))
    with pytest.raises(ValueError, match="not convex in the outputs"):
        dual_gauss_newton(objective)


def test_a_cost_without_curvature_has_a_zero_dual():
    model, X, _ = PROBLEMS["relu"]()
    objective = Objective(model, X, torch.zeros(7, 3), loss=lambda f, y: f.sum(1))
    assert float(dual_gauss_newton(objective).abs().max()) == 0


@settings(max_examples=20)
@given(
    st.lists(st.integers(1, 6), min_size=2, max_size=4),
    st.sampled_from(list(ACTIVATIONS)),
    st.booleans(),
    st.integers(1, 5),
    st.integers(0, 100),
)
def test_any_perceptron_agrees_with_autograd(widths, activation, bias, n, seed):
    X, _ = samples(n, widths[0], 1, seed=seed)
    y = torch.randn(n, widths[-1], generator=torch.Generator().manual_seed(seed)).double()
    model = net(widths, activation, bias=bias, seed=seed)
    fast, slow = (Objective(model, X, y, loss="mse", closed_form=c) for c in (True, False))
    for function in (parameter_jacobian, per_sample_gradients, gauss_newton_diagonal):
        torch.testing.assert_close(function(fast), function(slow), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(tangent_kernel(fast), tangent_kernel(slow), rtol=1e-9, atol=1e-12)


def test_the_first_layer_carries_the_share_that_its_inputs_give_it():
    """f = w2 relu(w1 x): shares w2^2 x^2 and (w1 x)^2, by hand."""
    model = net((1, 1, 1), bias=False)
    with torch.no_grad():
        model[0].weight.fill_(2.0)
        model[2].weight.fill_(0.75)
    shares = layer_shares(Objective(model, [[1.0]], [[1.0]], loss="mse"))
    total = 0.75**2 + 4
    assert shares == pytest.approx({"0": 0.5625 / total, "2": 4 / total})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda o: tangent_kernel(o, "3"), "layer: got '3'; takes one of '0', '2'"),
        (lambda o: tangent_kernel(o.model), "objective: got Sequential"),
        (lambda o: dual_gauss_newton(None), "objective: got NoneType"),
        (lambda o: layer_shares(o, tol=0), "tol: got 0"),
        (lambda o: layer_shares(2), "objective: got int"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_input_is_refused(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call(Objective(net((2, 3, 2)), *samples(4, 2, 2)))


def test_what_does_not_fit_is_refused(monkeypatch):
    objective = Objective(net((2, 3, 2)), *samples(4, 2, 2))
    monkeypatch.setattr("kit.tangent.DUAL_LIMIT", 7)
    with pytest.raises(ValueError, match="4 samples x 2 outputs = 8; takes at most 7"):
        tangent_kernel(objective)
    monkeypatch.setattr("kit.tangent.JACOBIAN_LIMIT", 10)
    with pytest.raises(ValueError, match="4 x 2 x 17 numbers"):
        parameter_jacobian(objective)
    with pytest.raises(ValueError, match="4 x 17 per-sample"):
        per_sample_gradients(objective)


def test_nothing_of_the_callers_changes():
    for name in PROBLEMS:
        objective, (model, _, _), _ = problem(name)
        model.eval()
        before, state = oracles.flat(model), torch.get_rng_state()
        tangent_kernel(objective)
        layer_shares(objective)
        per_sample_gradients(objective)
        assert torch.equal(before, oracles.flat(model))
        assert torch.equal(state, torch.get_rng_state())
        assert all(p.grad is None for p in model.parameters())
        assert not model.training


def test_float32_stays_float32():
    objective = Objective(net((2, 3, 2)).float(), *samples(4, 2, 2))
    assert dual_gauss_newton(objective).dtype == torch.float32
    assert math.isclose(sum(layer_shares(objective).values()), 1, rel_tol=1e-6)


def test_the_cost_stays_convex_where_all_outputs_are_certain():
    """p (1 - p) of 1e-6 in float32: the league's networks without weight decay were refused."""
    generator = torch.Generator().manual_seed(0)
    outputs = 14 * torch.eye(10)[torch.arange(40) % 10] + torch.randn(40, 10, generator=generator)
    model = mlp((10, 10), bias=False)
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(10))
    for scale in (1.0, 2.0, 5.0):
        objective = Objective(model, scale * outputs, torch.arange(40) % 10)
        wide = Objective(
            copy.deepcopy(model).double(), (scale * outputs).double(), torch.arange(40) % 10
        )
        root, exact = output_root(objective), output_root(wide).float()
        assert (root - exact).abs().max() < 1e-3 * exact.abs().max()
