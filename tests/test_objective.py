"""The objective: the right derivatives for any module, a live view, and no trace left behind."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from kit import Objective, eigenvalues, input_output_jacobian, matrix, mlp
from tests.oracles import flat, gauss_newton, gradient, hessian, loss_of, net, put, samples


def directions(objective, k=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    v = torch.randn(objective.parameters, k, generator=generator, dtype=torch.float64)
    return v / v.norm(dim=0)


def close(a, b):
    return torch.allclose(a, b, rtol=1e-10, atol=1e-12)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.inner, self.last = nn.Linear(4, 5), nn.Linear(5, 5), nn.Linear(5, 3)

    def forward(self, x):
        h = torch.tanh(self.first(x))
        return self.last(h + torch.tanh(self.inner(h)))


class Recurrent(nn.Module):
    """One cell applied three times: shared weights inside one module."""

    def __init__(self):
        super().__init__()
        self.cell, self.out = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x):
        for _ in range(3):
            x = torch.tanh(self.cell(x))
        return self.out(x)


class Tied(nn.Module):
    """Two layers with one weight tensor."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.out = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3)
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.out(torch.tanh(self.b(torch.tanh(self.a(x)))))


class Unused(nn.Module):
    """A parameter that the outputs do not depend on."""

    def __init__(self):
        super().__init__()
        self.idle, self.out = nn.Parameter(torch.ones(2)), nn.Linear(4, 3)

    def forward(self, x):
        return self.out(x)


def convolutional():
    return nn.Sequential(
        nn.Unflatten(1, (1, 2, 2)), nn.Conv2d(1, 3, 2, padding=1), nn.Tanh(),
        nn.AvgPool2d(2, 1), nn.Flatten(), nn.Linear(12, 3),
    )  # fmt: skip


def normalised():
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 3))
    model[1].running_mean.copy_(torch.linspace(-1, 1, 5))
    return model.eval()


MODULES = {
    "residual": Residual,
    "recurrent": Recurrent,
    "tied": Tied,
    "unused": Unused,
    "convolutional": convolutional,
    "batch norm in eval": normalised,
    "layer norm": lambda: nn.Sequential(nn.Linear(4, 5), nn.LayerNorm(5), nn.Linear(5, 3)),
    "dropout in eval": lambda: nn.Sequential(nn.Linear(4, 5), nn.Dropout(), nn.Linear(5, 3)).eval(),
    "dropout of rate 0": lambda: nn.Sequential(nn.Linear(4, 5), nn.Dropout(0), nn.Linear(5, 3)),
}


def module(name, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MODULES[name]().double()


# Derivatives


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
@pytest.mark.parametrize("name", MODULES)
def test_any_module_has_the_derivatives_that_torch_gives(name, loss):
    model, (X, y) = module(name), samples(7, 4, 3)
    objective, problem = Objective(model, X, y, loss=loss), (model, X, y)
    assert objective.value() == pytest.approx(float(loss_of(*problem, loss=loss)(flat(model))))
    assert close(objective.gradient(), gradient(*problem, loss=loss))
    v = directions(objective)
    assert close(objective.hvp(v), hessian(*problem, loss=loss) @ v)
    assert close(objective.ggnvp(v), gauss_newton(*problem, loss=loss) @ v)


@settings(max_examples=15)
@given(
    widths=st.lists(st.integers(1, 5), min_size=2, max_size=4),
    loss=st.sampled_from(["mse", "cross_entropy"]),
    seed=st.integers(0, 99),
)
def test_products_are_finite_differences_of_the_gradient(widths, loss, seed):
    model, (X, y) = net(widths, "tanh", seed=seed), samples(5, widths[0], widths[-1])
    objective = Objective(model, X, y, loss=loss)
    theta, v = flat(model), directions(objective, 1, seed)[:, 0]
    exact, step = objective.hvp(v), 1e-5
    sides = []
    for sign in (1, -1):
        put(model, theta + sign * step * v)
        sides.append(objective.gradient())
    assert torch.allclose((sides[0] - sides[1]) / (2 * step), exact, atol=1e-7)


def test_the_gradient_is_a_finite_difference_of_the_value():
    model, (X, y) = net((3, 4, 2), "gelu"), samples(6, 3, 2)
    objective, theta = Objective(model, X, y, label_smoothing=0.1), flat(net((3, 4, 2), "gelu"))
    exact, v = objective.gradient(), directions(objective, 1)[:, 0]
    up = Objective(put(model, theta + 1e-6 * v), X, y, label_smoothing=0.1).value()
    down = Objective(put(model, theta - 1e-6 * v), X, y, label_smoothing=0.1).value()
    assert (up - down) / 2e-6 == pytest.approx(float(exact @ v), abs=1e-8)


def test_products_are_linear_symmetric_and_agree_with_the_dense_matrix():
    model, (X, y) = net((3, 4, 2), "tanh"), samples(6, 3, 2)
    for product, operator in (("hvp", "hessian"), ("ggnvp", "gauss_newton")):
        objective = Objective(model, X, y)
        multiply, v = getattr(objective, product), directions(objective)
        assert close(multiply(2 * v[:, 0] - v[:, 1]), 2 * multiply(v)[:, 0] - multiply(v)[:, 1])
        assert float(v[:, 0] @ multiply(v[:, 1])) == pytest.approx(
            float(v[:, 1] @ multiply(v[:, 0]))
        )
        assert close(multiply(v), matrix(objective, operator) @ v)


def test_the_gauss_newton_matrix_has_no_negative_eigenvalue_but_the_hessian_does():
    model, (X, y) = net((3, 6, 2), "tanh"), samples(6, 3, 2)
    objective = Objective(model, X, y, loss="mse")
    assert torch.linalg.eigvalsh(matrix(objective, "gauss_newton"))[0] > -1e-14
    assert torch.linalg.eigvalsh(matrix(objective))[0] < -0.01


@pytest.mark.parametrize("closed_form", [True, False])
def test_label_smoothing_and_soft_targets_are_those_of_torch(closed_form):
    model, (X, y) = net((3, 4, 3), "tanh"), samples(6, 3, 3)
    soft = torch.softmax(samples(6, 3, 3, seed=1)[0], 1)
    for target, smoothing in ((y, 0.0), (y, 0.3), (soft, 0.0), (soft, 0.3)):
        options = {"label_smoothing": smoothing}
        objective = Objective(model, X, target, **options, closed_form=closed_form)
        assert close(objective.gradient(), gradient(model, X, target, **options))
        v = directions(objective)
        assert close(objective.hvp(v), hessian(model, X, target, **options) @ v)


def test_mse_is_half_the_squared_error_summed_over_outputs():
    model, (X, y) = net((3, 4, 2)), samples(6, 3, 2)
    one_hot = F.one_hot(y, 2).double()
    expected = F.mse_loss(model(X), one_hot).item() * 2 / 2  # MSELoss times K/2
    assert Objective(model, X, y, loss="mse").value() == pytest.approx(expected)
    assert Objective(model, X, one_hot, loss="mse").value() == pytest.approx(expected)


# Losses of one's own


def huber(f, y):
    return F.smooth_l1_loss(f, F.one_hot(y, 3).to(f), reduction="none").sum(1)


def linear_cost(f, y):
    return (f * F.one_hot(y, 3).to(f)).sum(1)


def constant_cost(f, y):
    return torch.zeros(len(f), dtype=f.dtype)


@pytest.mark.parametrize("name", ["residual", "tied", "unused"])
@pytest.mark.parametrize("loss", [huber, linear_cost])
def test_a_loss_of_ones_own(loss, name):
    model, (X, y) = module(name), samples(7, 4, 3)
    objective, problem = Objective(model, X, y, loss=loss), (model, X, y)
    assert close(objective.gradient(), gradient(*problem, loss=loss))
    v = directions(objective)
    assert close(objective.hvp(v), hessian(*problem, loss=loss) @ v)
    assert close(objective.ggnvp(v), gauss_newton(*problem, loss=loss) @ v)


def test_a_loss_without_curvature_has_no_gauss_newton_matrix():
    objective = Objective(module("residual"), *samples(7, 4, 3), loss=linear_cost)
    assert objective.ggnvp(directions(objective)).abs().max() == 0
    assert objective.hvp(directions(objective)).abs().max() > 1e-3


def test_a_loss_that_ignores_the_outputs_has_no_derivatives():
    objective = Objective(module("residual"), *samples(7, 4, 3), loss=constant_cost)
    v = directions(objective)
    for zero in (objective.gradient(), objective.hvp(v), objective.ggnvp(v)):
        assert zero.abs().max() == 0


def test_a_written_out_cross_entropy_is_the_named_one():
    model, (X, y) = net((3, 4, 3)), samples(6, 3, 3)
    named = Objective(model, X, y)
    own = Objective(model, X, y, loss=lambda f, y: F.cross_entropy(f, y, reduction="none"))
    v = directions(named)
    assert own.value() == pytest.approx(named.value())
    assert close(own.hvp(v), named.hvp(v))
    assert close(own.ggnvp(v), named.ggnvp(v))


def test_a_loss_that_is_no_cost_a_sample_is_refused():
    model, (X, y) = net((3, 4, 3)), samples(6, 3, 3)
    for loss in (F.cross_entropy, lambda f, y: f, lambda f, y: 1.0):
        with pytest.raises(ValueError, match=r"loss: returned .*takes one cost a sample"):
            Objective(model, X, y, loss=loss).value()


class Unit(nn.Module):
    """w / |w|, whatever x is."""

    def __init__(self, w):
        super().__init__()
        self.w = nn.Parameter(torch.tensor(w, dtype=torch.float64))

    def forward(self, x):
        return (self.w / self.w.norm()).expand(len(x), 3) + 0 * x[:, :1]


def test_a_scale_invariant_loss():
    """theory.md, Part III, D 28."""
    target = torch.tensor([[0.3, 0.1, 0.9]], dtype=torch.float64)

    def square(f, y):
        return (f - y).pow(2).sum(1)

    model = Unit([1.0, 2.0, -1.0])
    objective = Objective(model, torch.zeros(1, 1), target, loss=square)
    g, w = objective.gradient(), flat(model)
    assert float(g @ w) == pytest.approx(0, abs=1e-14)
    assert close(objective.hvp(w), -g)
    top = eigenvalues(objective, tol=1e-8).values[0]
    assert float(top) == pytest.approx(0.287249485038, abs=1e-11)
    put(model, 3 * w)
    assert float(eigenvalues(objective, tol=1e-8).values[0]) == pytest.approx(float(top) / 9)


def test_logistic_regression_as_worked_by_hand():
    """theory.md, Part III, C 16, as a loss of one's own and as the difference of two logits."""
    X = torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]], dtype=torch.float64)
    y = torch.tensor([1, 0, 1])
    theta = torch.tensor([0.5, -0.25], dtype=torch.float64)
    g = torch.tensor([-0.271788055971, 0.105752612827], dtype=torch.float64)
    H = [[0.160379264980, 0.082044694246], [0.082044694246, 0.395382977181]]
    H = torch.tensor(H, dtype=torch.float64)
    one, two = put(net((2, 1), bias=False), theta), net((2, 2), bias=False)
    put(two, torch.cat([torch.zeros(2, dtype=torch.float64), theta]))

    def logistic(f, y):
        return F.softplus(f[:, 0]) - y * f[:, 0]

    own, named = Objective(one, X, y, loss=logistic), Objective(two, X, y)
    for objective, part in ((own, slice(0, 2)), (named, slice(2, 4))):
        assert objective.value() == pytest.approx(0.508031129413, abs=1e-11)
        assert torch.allclose(objective.gradient()[part], g, atol=1e-11)
        assert torch.allclose(matrix(objective)[part, part], H, atol=1e-11)
        assert torch.allclose(matrix(objective, "gauss_newton")[part, part], H, atol=1e-11)
    values = torch.linalg.eigvalsh(matrix(own))
    assert torch.allclose(values, torch.tensor([0.134570207187, 0.421192034974]).double())
    # Per-sample gradients, and the two traces that the gap is estimated by.
    rows, _ = own.on_batches(torch.arange(3).unsqueeze(1))
    C = rows.T @ rows / 3
    expected = [[0.111408790991, 0.063896472126], [0.063896472126, 0.253945747588]]
    assert torch.allclose(C, torch.tensor(expected, dtype=torch.float64), atol=1e-11)
    centred = C - torch.outer(g, g)
    assert float(torch.trace(C @ H.inverse())) == pytest.approx(1.310729897935, abs=1e-9)
    assert float(torch.trace(centred @ H.inverse())) == pytest.approx(0.680588144934, abs=1e-9)


# Batches


@pytest.mark.parametrize("closed_form", [True, False])
def test_batches_have_their_own_gradients_and_products(closed_form):
    model, (X, y) = net((4, 5, 3), "tanh"), samples(12, 4, 3)
    objective = Objective(model, X, y, label_smoothing=0.1, closed_form=closed_form)
    indices = torch.tensor([[0, 5, 7], [2, 2, 11]])
    g, Hg = objective.on_batches(indices)
    for row, part in enumerate(indices):
        one = Objective(model, X[part], y[part], label_smoothing=0.1)
        assert close(g[row], one.gradient())
        assert close(Hg[row], one.hvp(one.gradient()))
        value, slope = objective.batch_gradient(X[part], objective.targets[part])
        assert value == pytest.approx(one.value())
        assert close(slope, one.gradient())
    assert close(objective.gradient(), gradient(model, X, y, label_smoothing=0.1))


def test_duplicating_the_data_changes_nothing():
    """theory.md, Part III, (x)."""
    model, (X, y) = net((4, 5, 3)), samples(8, 4, 3)
    once, twice = Objective(model, X, y), Objective(model, X.repeat(2, 1), y.repeat(2))
    v = directions(once)
    assert twice.value() == pytest.approx(once.value())
    for name in ("hvp", "ggnvp"):
        assert close(getattr(twice, name)(v), getattr(once, name)(v))


# A live view


def change_by_optimiser(model):
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    F.cross_entropy(model(samples(7, 4, 3)[0]), samples(7, 4, 3)[1]).backward()
    optimiser.step()
    optimiser.zero_grad()


def change_by_state_dict(model):
    model.load_state_dict({name: 0.5 * t for name, t in model.state_dict().items()})


def change_by_assigned_state_dict(model):
    state = {name: 0.5 * t for name, t in model.state_dict().items()}
    model.load_state_dict(state, assign=True)


def change_data(model):
    next(model.parameters()).data -= 0.1


def change_in_place(model):
    with torch.no_grad():
        next(model.parameters()).mul_(1.5)


def change_one_entry_back_and_forth(model):
    p = next(model.parameters()).data.view(-1)
    p[0] += 1
    p[0] -= 2


def exchange_a_parameter(model):
    layer = next(m for m in model.modules() if isinstance(m, nn.Linear))
    layer.weight = nn.Parameter(2 * layer.weight.detach())


CHANGES = [
    change_by_optimiser,
    change_by_state_dict,
    change_by_assigned_state_dict,
    change_data,
    change_in_place,
    change_one_entry_back_and_forth,
    exchange_a_parameter,
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", ["perceptron", "residual"])
def test_each_call_is_at_the_present_parameters(name, change):
    model = net((4, 5, 3), "tanh") if name == "perceptron" else module(name)
    X, y = samples(7, 4, 3)
    objective = Objective(model, X, y)
    v = directions(objective)
    before = objective.value(), objective.gradient(), objective.hvp(v), objective.ggnvp(v)
    change(model)
    fresh = Objective(model, X, y)
    assert objective.value() == fresh.value() != before[0]
    assert torch.equal(objective.hvp(v), fresh.hvp(v))
    assert torch.equal(objective.gradient(), fresh.gradient())
    assert torch.equal(objective.ggnvp(v), fresh.ggnvp(v))
    assert close(objective.outputs(), model(X).detach())
    assert torch.equal(objective.flat_parameters(), flat(model))
    for old, new in zip(before[1:], (fresh.gradient(), fresh.hvp(v), fresh.ggnvp(v)), strict=True):
        assert not close(old, new)


def test_what_was_computed_is_kept_until_a_parameter_changes():
    model = net((4, 5, 3))
    objective = Objective(model, *samples(7, 4, 3))
    point = objective.point()
    objective.value(), objective.gradient(), objective.hvp(directions(objective))
    assert objective.point() is point
    change_data(model)
    assert objective.point() is not point


def test_running_statistics_that_change_drop_what_was_kept():
    model, (X, y) = module("batch norm in eval"), samples(7, 4, 3)
    objective = Objective(model, X, y)
    before, v = objective.value(), directions(objective)
    objective.hvp(v)
    model[1].running_var.mul_(4)
    fresh = Objective(model, X, y)
    assert objective.value() == fresh.value() != before
    assert torch.equal(objective.hvp(v), fresh.hvp(v))


def test_a_mode_that_changes_is_checked_again():
    model, (X, y) = module("batch norm in eval"), samples(7, 4, 3)
    objective = Objective(model, X, y)
    objective.value()
    model.train()
    with pytest.raises(ValueError, match=r"submodule '1' .BatchNorm1d. mixes the samples"):
        objective.value()
    model.eval()
    assert objective.value() == Objective(model, X, y).value()


def test_a_model_taken_apart_is_refused_rather_than_measured_as_it_was():
    X, y = samples(7, 4, 3)
    model = net((4, 5, 3))
    objective = Objective(model, X, y)
    model[1] = nn.Tanh()
    with pytest.raises(ValueError, match="model: its modules have been replaced"):
        objective.value()
    model = net((4, 5, 3))
    objective = Objective(model, X, y)
    model.float()
    with pytest.raises(ValueError, match=r"model: had 43 parameters of torch.float64, has 43 of"):
        objective.value()


def test_later_changes_of_the_callers_arrays_are_not_seen():
    X, y = np.ones((3, 4)), np.array([0, 1, 2])
    objective = Objective(net((4, 5, 3)), X, y)
    before = objective.value()
    X[:], y[:] = 7, 0
    assert objective.value() == before
    assert torch.equal(objective.X, torch.ones(3, 4, dtype=torch.float64))
    assert objective.y.tolist() == [0, 1, 2]


def test_lists_of_numbers_keep_their_digits_in_a_float64_model():
    objective = Objective(net((1, 1)), [[0.1], [0.2]], ((0.3,), (0.7,)), loss="mse")
    assert objective.X.tolist() == [[0.1], [0.2]]
    assert objective.y.tolist() == [[0.3], [0.7]]


# No trace


class Counting(nn.Module):
    """Counts its calls in a buffer, as a batch norm counts batches."""

    def __init__(self):
        super().__init__()
        self.out = nn.Linear(4, 3)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        return self.out(x)


@pytest.mark.parametrize(
    "name", ["perceptron", "residual", "tied", "batch norm in eval", "counting"]
)
def test_the_model_its_gradients_modes_and_the_random_state_are_left_alone(name):
    models = {"perceptron": lambda: net((4, 5, 3)), "counting": lambda: Counting().double()}
    model = models[name]() if name in models else module(name)
    X, y = samples(7, 4, 3)
    for p in model.parameters():
        p.grad = torch.full_like(p, 3.0)
    state = copy.deepcopy(model.state_dict())
    modes = [m.training for m in model.modules()]
    random, numpy_random = torch.get_rng_state(), np.random.get_state()[1].copy()
    objective = Objective(model, X, y)
    v = directions(objective)
    objective.value(), objective.gradient(), objective.hvp(v), objective.ggnvp(v)
    objective.outputs_only()
    objective.on_batches(torch.tensor([[0, 1], [2, 3]]))
    eigenvalues(objective, 2)
    input_output_jacobian(model, X)
    assert all(torch.equal(t, state[name]) for name, t in model.state_dict().items())
    assert all((p.grad == 3).all() and p.requires_grad for p in model.parameters())
    assert [m.training for m in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), random)
    assert (np.random.get_state()[1] == numpy_random).all()


@pytest.mark.parametrize("name", ["perceptron", "residual"])
def test_frozen_parameters_are_part_of_theta_and_stay_frozen(name):
    model = net((4, 5, 3), "tanh") if name == "perceptron" else module(name)
    X, y = samples(7, 4, 3)
    expected = hessian(model, X, y)
    frozen = next(model.parameters()).requires_grad_(False)
    objective = Objective(model, X, y)
    assert close(matrix(objective), expected)
    assert close(objective.gradient(), gradient(model, X, y))
    assert not frozen.requires_grad


@pytest.mark.parametrize("name", ["perceptron", "residual"])
def test_derivatives_are_there_without_grad_mode_too(name):
    model = net((4, 5, 3), "tanh") if name == "perceptron" else module(name)
    X, y = samples(7, 4, 3)
    objective = Objective(model, X, y)
    v = directions(objective)
    with torch.no_grad():
        inside = objective.hvp(v)
        assert not inside.requires_grad
    assert close(inside, hessian(model, X, y) @ v)


def test_results_are_the_callers_to_change():
    objective = Objective(net((4, 5, 3)), *samples(7, 4, 3))
    objective.gradient().zero_()
    assert objective.gradient().abs().max() > 0


def test_data_follow_the_model():
    X, y = samples(7, 4, 3)
    objective = Objective(mlp((4, 5, 3)), X, F.one_hot(y, 3).double(), loss="mse")
    assert objective.X.dtype == objective.y.dtype == objective.gradient().dtype == torch.float32
    v = torch.ones(objective.parameters, dtype=torch.float64)
    assert objective.hvp(v).dtype == torch.float32
    plain = Objective(mlp((4, 5, 3)), X.tolist(), y.tolist())
    assert plain.value() == Objective(mlp((4, 5, 3)), X.numpy(), y.numpy()).value()


# Bad arguments

PROBLEM = (torch.ones(4, 3), torch.tensor([0, 1, 2, 1]))
BAD = [
    ({"model": "mlp"}, TypeError, "model: got str; takes a torch.nn.Module"),
    ({"X": torch.ones(4)}, ValueError, r"X: got shape \(4,\); takes \(n, ...\)"),
    ({"X": torch.ones(0, 3)}, ValueError, r"X: got shape \(0, 3\)"),
    ({"X": torch.full((4, 3), float("nan"))}, ValueError, "X: got NaN or infinity"),
    ({"X": torch.full((4, 3), 1e300, dtype=torch.float64)}, ValueError, "X: got NaN or infinity"),
    ({"X": "text"}, TypeError, "X: got str; takes an array"),
    ({"X": None}, TypeError, "X: got NoneType; takes an array"),
    ({"X": [[1.0, 2.0], [3.0]]}, TypeError, "X: got list; takes an array"),
    ({"X": torch.ones(4, 3, dtype=torch.complex64)}, TypeError, "X: got torch.complex64"),
    ({"X": torch.ones(4, 5)}, ValueError, r"X: the model does not take samples of shape \(5,\)"),
    ({"y": torch.tensor([0, 1])}, ValueError, r"y: got shape \(2,\); takes one target for"),
    ({"y": 3}, ValueError, r"y: got shape \(\)"),
    ({"y": ["a", "b", "c", "d"]}, TypeError, "y: got list; takes an array of labels"),
    ({"y": torch.tensor([0, 1, 2, 3])}, ValueError, "y: got labels from 0 to 3; takes 0 to 2"),
    ({"y": torch.tensor([0, 1, 2, -1])}, ValueError, "y: got labels from -1 to 2; takes 0 to 2"),
    ({"y": torch.tensor([True, False, True, True])}, ValueError, "y: got torch.bool"),
    ({"y": torch.ones(4, 3, dtype=torch.long)}, ValueError, "y: got torch.int64 of shape"),
    ({"y": torch.ones(4)}, ValueError, r"y: got float targets of shape \(4,\); takes \(4, 3\)"),
    ({"y": torch.ones(4, 3)}, ValueError, "y: got float targets that are not probabilities"),
    ({"y": torch.full((4, 3), float("inf"))}, ValueError, "y: got NaN or infinity"),
    ({"y": torch.ones(4, 2), "loss": "mse"}, ValueError, r"y: got float targets .*takes \(4, 3\)"),
    ({"loss": "hinge"}, ValueError, "loss: got 'hinge'; takes one of 'cross_entropy', 'mse'"),
    ({"loss": None}, TypeError, "loss: got None"),
    ({"label_smoothing": 1.0}, ValueError, "label_smoothing: got 1.0; takes a number from 0"),
    ({"label_smoothing": "a"}, TypeError, "label_smoothing: got 'a'"),
    ({"label_smoothing": 0.1, "loss": "mse"}, ValueError, "label_smoothing: got 0.1; takes 0 with"),
    ({"label_smoothing": 0.1, "loss": huber}, ValueError, "label_smoothing: got 0.1; takes 0 with"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "error", "said"), BAD)
def test_bad_arguments_are_named(arguments, error, said):
    given_ = {"model": mlp((3, 3)), "X": PROBLEM[0], "y": PROBLEM[1]} | arguments
    with pytest.raises(error, match=said):
        Objective(given_.pop("model"), given_.pop("X"), given_.pop("y"), **given_)


@pytest.mark.parametrize("product", ["hvp", "ggnvp"])
def test_bad_vectors_are_named(product):
    multiply = getattr(Objective(mlp((3, 3)), *PROBLEM), product)
    with pytest.raises(TypeError, match="v: got list; takes a tensor"):
        multiply([0.0] * 12)
    for shape in ((11,), (1, 12), (12, 2, 2), ()):
        with pytest.raises(ValueError, match=r"v: got shape .*; takes \(12,\) or \(12, k\)"):
            multiply(torch.ones(shape))


@pytest.mark.parametrize("closed_form", [True, False])
def test_it_can_be_looked_at_elsewhere_without_moving_the_model(closed_form):
    model = net((3, 5, 2), "tanh")
    X, y = samples(8, 3, 2)
    objective = Objective(model, X, y, closed_form=closed_form)
    before = flat(model)
    elsewhere = before + 0.3
    point = objective.at(elsewhere)
    there = Objective(put(net((3, 5, 2), "tanh"), elsewhere), X, y)
    assert point.value() == pytest.approx(there.value(), rel=1e-12)
    torch.testing.assert_close(point.gradient(), there.gradient())
    assert torch.equal(flat(model), before)
    assert objective.value() != pytest.approx(point.value())
    with pytest.raises(ValueError, match=r"theta: got \(3,\); takes a tensor \(32,\)"):
        objective.at(torch.zeros(3))


def test_one_tensor_of_parameters_is_a_live_view_too():
    """Its flat form must be a copy: a view would always equal itself."""
    model = net((3, 1), bias=False)
    objective = Objective(model, *samples(5, 3, 1)[:1], torch.ones(5, 1), loss="mse")
    before, theta = objective.value(), objective.flat_parameters()
    with torch.no_grad():
        model[0].weight.add_(1.0)
    assert not torch.equal(theta, objective.flat_parameters())
    assert objective.value() != before


def test_outputs_are_the_callers_own():
    X, y = samples(8, 3, 2)
    objective = Objective(net((3, 4, 2)), X, y)
    value, norm = objective.value(), objective.gradient().norm()
    f = objective.outputs()
    f -= f.max(1, keepdim=True).values
    f *= 3
    fresh = Objective(objective.model, X, y)
    assert objective.value() == value == fresh.value()
    assert torch.equal(objective.gradient().norm(), norm)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.uint32, np.uint64, np.int8, np.int16])
def test_labels_of_any_kind_of_integer(kind):
    X, y = samples(8, 3, 2)
    objective = Objective(net((3, 4, 2)), X, y.numpy().astype(kind))
    assert objective.value() == Objective(objective.model, X, y).value()
