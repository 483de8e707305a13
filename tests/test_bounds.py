"""The generalisation bound: closed forms of each term, and E phi computed by other means."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import kit.bounds
from kit import Training, load_dataset, mlp
from kit.bounds import (
    BoundCalculator,
    breakpoints,
    cube_covering_radius,
    generalisation_bound,
    generalisation_bounds,
    second_derivative_bound,
    uniform_w1,
)
from kit.jacobian import jacobian_norms
from kit.load import Dataset

unit = st.floats(0, 1, allow_nan=False)
TERMS = {"max J", "V", "sup J", "Lambda", "B", "Lhat", "r"}


def column(values):
    return torch.tensor(values, dtype=torch.float64)[:, None]


def interval_net():
    """relu(x) - 2 relu(x - 1) + 3 relu(0.5 - x), theory.md, III, 44."""
    model = mlp((1, 3, 1)).double()
    with torch.no_grad():
        model[0].weight.copy_(column([1.0, 1.0, -1.0]))
        model[0].bias.copy_(torch.tensor([0.0, -1.0, 0.5]))
        model[2].weight.copy_(column([1.0, -2.0, 3.0]).T)
        model[2].bias.zero_()
    return model


def trained(dataset, activation, hidden=(16, 16), steps=300, lr=0.1):
    model = mlp((dataset.d, *hidden, dataset.K), activation=activation, seed=1)
    run = Training(model, dataset, loss="mse", lr=lr, measures=(), every=steps)
    run.run(steps)
    assert run.diverged is None
    return run.model


# Distance of the samples from the uniform law.


@pytest.mark.parametrize("n", [1, 2, 5, 40])
def test_w1_of_cell_centres_is_a_quarter_of_a_cell(n):
    u = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    assert uniform_w1(u) == pytest.approx(1 / (4 * n), abs=1e-12)


@given(unit)
def test_w1_of_one_point_is_its_mean_distance(a):
    expected = (a**2 + (1 - a) ** 2) / 2  # the integral of |s - a|
    assert uniform_w1(torch.tensor([a], dtype=torch.float64)) == pytest.approx(expected, abs=1e-12)


@given(st.lists(unit, min_size=1, max_size=12))
def test_w1_is_the_area_between_the_two_distribution_functions(values):
    u = torch.tensor(sorted(values), dtype=torch.float64)
    s = (torch.arange(20000, dtype=torch.float64) + 0.5) / 20000
    F = torch.searchsorted(u, s, right=True) / len(u)
    assert uniform_w1(u) == pytest.approx(float((F - s).abs().mean()), abs=1e-4)


@pytest.mark.parametrize("n", [2, 3, 20])
def test_equispaced_samples_have_radius_cells_and_w1_in_closed_form(n):
    calculator = BoundCalculator(load_dataset("chebyshev", n=n))
    gap = 2 / (n - 1)
    assert calculator.radius == pytest.approx(gap / 2, abs=1e-6)
    assert calculator.cells.sum() == pytest.approx(1)
    assert calculator.cells[0] == pytest.approx(gap / 4, abs=1e-6)
    assert calculator.cells[1:-1] == pytest.approx(torch.full((n - 2,), gap / 2).double(), abs=1e-6)
    k = torch.arange(n, dtype=torch.float64) / (n - 1)
    assert calculator.w1 == pytest.approx(2 * uniform_w1(k), abs=1e-6)


def test_a_single_sample_covers_the_interval_from_where_it_is():
    data = load_dataset("teacher", d=1, n=1)
    x = float(data.X_train)
    calculator = BoundCalculator(data)
    assert calculator.radius == pytest.approx(max(x, 1 - x))
    assert calculator.cells.tolist() == [1]
    assert calculator.w1 == pytest.approx((x**2 + (1 - x) ** 2) / 2)


@pytest.mark.parametrize(("n", "d"), [(20, 1), (300, 1), (200, 2), (500, 3)])
def test_lemma_2_covers_with_probability_1_minus_p(n, d):
    p, draws = 0.2, 100
    radius = cube_covering_radius(n, d, p)
    generator = torch.Generator().manual_seed(n)
    grid = torch.linspace(0, 1, {1: 401, 2: 31, 3: 9}[d], dtype=torch.float64)
    points = torch.cartesian_prod(*[grid] * d).reshape(-1, d)
    covered = 0
    for _ in range(draws):
        X = torch.rand(n, d, generator=generator, dtype=torch.float64)
        covered += bool(torch.cdist(points, X).amin(1).max() <= radius)
    assert covered / draws >= 1 - p


@pytest.mark.parametrize(
    ("n", "d", "p", "radius"),
    [(100, 1, 0.05, 1 / 13), (100, 2, 0.05, math.sqrt(2) / 3), (2, 3, 0.5, math.sqrt(3))],
)
def test_lemma_2_by_hand(n, d, p, radius):
    """100 / log 2000 = 13.16, its root is 3.6; and too few samples give the diagonal."""
    assert cube_covering_radius(n, d, p) == pytest.approx(radius)


@given(st.integers(1, 10**6), st.integers(1, 6), st.floats(1e-6, 0.999))
def test_lemma_2_never_exceeds_the_diagonal_and_falls_with_n_and_p(n, d, p):
    radius = cube_covering_radius(n, d, p)
    assert 0 < radius <= math.sqrt(d)
    assert cube_covering_radius(10 * n, d, p) <= radius
    assert cube_covering_radius(n, d, min(2 * p, 0.999)) <= radius


# The steepest slope.


def test_breakpoints_are_the_kinks_of_a_known_net():
    assert breakpoints(interval_net(), -1, 2).tolist() == [-1, 0, 0.5, 1, 2]


@pytest.mark.parametrize(("low", "high", "constant"), [(0.2, 2, 2), (-1, 2, 3), (0.6, 2, 1)])
def test_lipschitz_constant_of_a_known_net_is_exact(low, high, constant):
    x = breakpoints(interval_net(), low, high)
    slopes = jacobian_norms(interval_net(), 0.5 * (x[1:] + x[:-1])[:, None])
    assert slopes.max() == constant


@settings(max_examples=25)
@given(
    st.integers(0, 10**6),
    st.sampled_from(["relu", "leaky_relu", "linear"]),
    st.lists(st.integers(1, 8), min_size=0, max_size=3),
)
def test_between_breakpoints_the_network_is_linear(seed, activation, hidden):
    model = mlp((1, *hidden, 2), activation=activation, seed=seed).double()
    x = breakpoints(model, -3, 3)
    assert (x.diff() > 0).all()
    assert (x[0], x[-1]) == (-3, 3)
    with torch.no_grad():
        for share in (0.25, 0.5, 0.9):
            between = x[:-1] + share * x.diff()
            f = model(between[:, None])
            line = (1 - share) * model(x[:-1, None]) + share * model(x[1:, None])
            torch.testing.assert_close(f, line, rtol=0, atol=1e-12)


def test_a_piece_too_narrow_for_float32_still_counts():
    model = mlp((1, 2, 1))
    with torch.no_grad():  # slope 1e4 on the last 5e-8 before x = 0.5, and 1e-3 after it
        model[0].weight.copy_(torch.tensor([[1e4], [1e4 + 1e-3]]))
        model[0].bias.fill_(-5000)
        model[2].weight.copy_(torch.tensor([[1.0, -1.0]]))
        model[2].bias.zero_()
    bound = generalisation_bound(model, load_dataset("teacher", d=1, n=50))
    assert bound.terms["sup J"] == pytest.approx(1e4)


@settings(max_examples=25)
@given(
    st.integers(0, 10**6),
    st.sampled_from(["tanh", "gelu"]),
    st.lists(st.integers(1, 10), min_size=1, max_size=3),
    st.floats(0.5, 4),
)
def test_second_derivatives_stay_within_their_bound(seed, activation, hidden, scale):
    model = mlp((1, *hidden, 2), activation=activation, seed=seed).double()
    x = torch.linspace(-3, 3, 2001, dtype=torch.float64)
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(scale)
        f = model(x[:, None])
    h = float(x[1] - x[0])
    bends = (f[2:] - 2 * f[1:-1] + f[:-2]).norm(dim=1) / h**2
    assert bends.max() <= second_derivative_bound(model) * (1 + 1e-6) + 1e-6


@pytest.mark.parametrize("activation", ["tanh", "gelu"])
def test_the_jacobian_of_many_inputs_and_outputs_is_as_lipschitz_as_stated(activation):
    model = mlp((3, 8, 8, 4), activation=activation, seed=5).double()
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(200, 3, generator=generator, dtype=torch.float64)
    Z = X + 0.01 * torch.randn(200, 3, generator=generator, dtype=torch.float64)
    jacobian = torch.func.vmap(torch.func.jacrev(lambda x: model(x)))
    change = torch.linalg.matrix_norm(jacobian(Z) - jacobian(X), 2)
    assert (change <= second_derivative_bound(model) * (Z - X).norm(dim=1)).all()


def test_a_slope_between_the_grid_points_is_not_missed():
    model, k = mlp((1, 1, 1), activation="tanh"), 8000.0
    with torch.no_grad():  # tanh(k (x - 0.0005)): slope k half way between two of 2001 points
        model[0].weight.fill_(k)
        model[0].bias.fill_(-k * 0.0005)
        model[2].weight.fill_(1)
        model[2].bias.zero_()
    sup = generalisation_bound(model, load_dataset("chebyshev")).terms["sup J"]
    grid = torch.linspace(-1, 1, 2001)[:, None]
    assert jacobian_norms(model, grid).max() < 0.5 * k
    assert sup >= k


def test_on_a_cube_the_layers_norms_and_the_slope_of_gelu_bound_the_jacobian():
    data = load_dataset("teacher", n=20)
    model = mlp((2, 50, 50, 1), activation="gelu", seed=0)
    with torch.no_grad():
        for layer in model[::2]:
            layer.weight.mul_(4)
    expected = 1.1290**2
    for layer in model[::2]:
        expected *= torch.linalg.matrix_norm(layer.weight.detach(), 2).item()
    assert generalisation_bound(model, data).terms["sup J"] == pytest.approx(expected, rel=1e-5)


def test_the_range_of_outputs_reaches_the_corners_that_no_sample_has():
    data = load_dataset("teacher", n=100)
    model = mlp((2, 1), bias=False)
    with torch.no_grad():
        model[0].weight.fill_(10)
        assert model(data.X_train).max() < 19.9
    assert generalisation_bound(model, data).terms["B"] >= 20


# The bound against E phi.


def expected_cost(model, population):
    """E phi on a fine grid (d = 1) or on many samples (d = 2)."""
    if population.d == 1:
        x = torch.linspace(population.low, population.high, 200_001, dtype=torch.float64)[:, None]
    else:
        draw = torch.rand(
            200_000, population.d, generator=torch.Generator().manual_seed(7), dtype=torch.float64
        )
        x = population.low + (population.high - population.low) * draw
    with torch.no_grad():
        f = model(x.float()).double()
    return float(0.5 * (f - population.target(x)).square().sum(1).mean())


@pytest.mark.parametrize("n", [20, 200])
@pytest.mark.parametrize("degree", [2, 6])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_on_an_interval_all_three_forms_bound_the_expected_cost(activation, degree, n):
    data = load_dataset("chebyshev", degree=degree, n=n)
    model = trained(data, activation)
    bound = generalisation_bound(model, data)
    truth = expected_cost(model, data.population)
    assert bound.kind == "bound"
    assert all(bound.terms[form] >= truth for form in ("G1", "G2", "G3"))
    assert bound.value == min(bound.terms[form] for form in ("G1", "G2", "G3"))
    assert bound.value == bound.terms[bound.form]
    assert bound.terms["Lambda"] == degree**2


@pytest.mark.parametrize("n", [50, 500])
@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_with_a_teacher_the_bound_holds(activation, d, n):
    data = load_dataset("teacher", d=d, n=n)
    model = trained(data, activation)
    bound = generalisation_bound(model, data)
    assert bound.kind == "bound"
    assert bound.value >= expected_cost(model, data.population)
    assert bound.terms["Lambda"] == 2
    assert (bound.form == "G1") or d == 1


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("d", [1, 2, 3])
def test_sup_J_and_B_bound_what_is_seen_on_the_whole_cube(activation, d):
    data = load_dataset("teacher", d=d, n=100)
    model = trained(data, activation)
    terms = generalisation_bound(model, data).terms
    x = torch.rand(20_000, d, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        largest = model(x).norm(dim=1).max()
    assert terms["sup J"] >= jacobian_norms(model, x).max() * (1 - 1e-6)
    assert terms["B"] >= max(largest, data.population.bound) * (1 - 1e-6)
    assert terms["sup J"] == pytest.approx(terms["max J"] + terms["V"])
    assert terms["Lhat"] == pytest.approx(2 * terms["B"] * (terms["sup J"] + terms["Lambda"]))


@pytest.mark.parametrize(("name", "sizes"), [("chebyshev", (10, 100)), ("teacher", (100, 5000))])
def test_more_samples_give_a_smaller_bound_for_the_same_network(name, sizes):
    few, many = (load_dataset(name, n=n) for n in sizes)
    model = mlp((few.d, 16, 1), activation="tanh", seed=0)
    assert generalisation_bound(model, many).value < generalisation_bound(model, few).value


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("degree", [1, 2])
def test_with_2000_samples_of_a_gentle_target_the_bound_is_not_vacuous(activation, degree):
    data = load_dataset("chebyshev", degree=degree, n=2000)
    model = trained(data, activation, hidden=(16,), lr=0.2)
    bound = generalisation_bound(model, data)
    assert expected_cost(model, data.population) <= bound.value < bound.best_constant
    assert not bound.vacuous


def test_with_20_samples_of_a_steep_target_the_bound_is_vacuous():
    data = load_dataset("chebyshev", degree=6, n=20)
    bound = generalisation_bound(trained(data, "tanh"), data)
    assert bound.value >= bound.best_constant
    assert bound.vacuous


def test_best_constant_is_what_the_mean_target_costs():
    data = load_dataset("chebyshev", degree=3)
    y = data.y_train
    expected = float(0.5 * (y - y.mean()).square().mean())
    assert BoundCalculator(data).best_constant == pytest.approx(expected, rel=1e-5)


def test_the_gap_is_the_bound_less_the_training_cost():
    data = load_dataset("chebyshev")
    model = mlp((1, 8, 1), seed=0)
    bound = generalisation_bound(model, data)
    with torch.no_grad():
        cost = float(0.5 * (model(data.X_train) - data.y_train).square().mean())
    assert bound.gap == pytest.approx(bound.value - cost)


def test_linear_pieces_are_counted_and_the_law_is_named():
    bound = generalisation_bound(mlp((1, 1, 1), activation="linear"), load_dataset("chebyshev"))
    law, how = bound.assumptions
    assert "uniform on a known interval" in law
    assert how.startswith("sup J exact")


def test_on_a_cube_the_probability_is_stated():
    bound = generalisation_bound(mlp((2, 4, 1)), load_dataset("teacher"), failure=0.1)
    assert bound.terms["p"] == 0.1
    assert "probability 0.9" in bound.assumptions[0]
    assert "spectral norms" in bound.assumptions[1]


# The estimate on data whose law is not known.


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_the_estimate_on_digits_is_vacuous_and_says_what_it_assumes(loss):
    data = load_dataset("digits", n_train=1000)
    run = Training(mlp((64, 64, 64, 10), seed=0), data, loss=loss, lr=0.6, measures=(), every=200)
    run.run(200)
    bound = generalisation_bound(run.model, data, loss=loss)
    print(f"digits, {loss}: {bound.value:.2f} against {bound.best_constant:.3f}; {bound.terms}")
    assert (bound.kind, bound.form) == ("estimate", "G1")
    assert bound.vacuous
    assert set(bound.terms) == TERMS
    assert all(math.isfinite(term) and term > 0 for term in bound.terms.values())
    text = " ".join(bound.assumptions)
    assert all(word in text for word in ("Lambda", "lower estimate", "95% quantile", "V sampled"))
    assert bound.best_constant == pytest.approx(
        {"mse": 0.45, "cross_entropy": math.log(10)}[loss], rel=1e-3
    )


def test_terms_of_the_estimate_by_hand():
    X, y = [[0.0], [1.0], [3.0]], [0, 1, 0]
    data = Dataset.from_arrays(X, y, [[0.5], [3.1]], [0, 1], task="classification", name="three")
    model = mlp((1, 2), bias=False).double()
    with torch.no_grad():
        model[0].weight.copy_(column([3.0, -1.0]))
    bound = generalisation_bound(model, data)
    outputs = torch.tensor([[0.0, 0.0], [3.0, -1.0], [9.0, -3.0]])
    phi = torch.logsumexp(outputs, 1) - outputs[[0, 1, 2], y]
    J, Lambda, B, r = math.sqrt(10), math.sqrt(2), 6 * math.sqrt(2), 0.1 + 0.95 * 0.4
    assert bound.terms["max J"] == pytest.approx(J)
    assert bound.terms["V"] == 0  # a linear network
    assert bound.terms["Lambda"] == pytest.approx(Lambda)
    assert bound.terms["B"] == pytest.approx(B)
    assert bound.terms["r"] == pytest.approx(r)
    expected = float(phi.max()) + (math.sqrt(2) * J + B * Lambda) * r
    assert bound.value == pytest.approx(expected, rel=1e-6)


def test_equal_inputs_with_different_labels_do_not_make_the_slope_infinite():
    X, y = [[0.0], [0.0], [2.0]], [0, 1, 0]
    data = Dataset.from_arrays(X, y, [[1.0]], [1], task="classification", name="twice")
    assert BoundCalculator(data).target_slope == pytest.approx(math.sqrt(2) / 2)


def test_networks_other_than_perceptrons_get_an_estimate_but_no_bound():
    model = nn.Sequential(nn.Linear(64, 8), nn.Softplus(), nn.Linear(8, 10))
    digits = load_dataset("digits", n_train=50)
    assert generalisation_bound(model, digits).kind == "estimate"
    for data in (load_dataset("chebyshev"), load_dataset("teacher")):
        model = nn.Sequential(nn.Linear(data.d, 8), nn.Softplus(), nn.Linear(8, 1))
        with pytest.raises(ValueError, match=r"^model: a bound on .* multilayer perceptron"):
            generalisation_bound(model, data)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("name", ["chebyshev", "teacher", "digits"])
def test_a_network_that_has_diverged_has_no_bound_but_nan(name, activation):
    data = load_dataset(name, n_train=20)
    model = mlp((data.d, 4, data.K), activation=activation)
    with torch.no_grad():
        model[0].weight[0, 0] = torch.nan
    bound = generalisation_bound(model, data)
    assert math.isnan(bound.value)
    assert bound.vacuous


def test_nothing_is_changed():
    data = load_dataset("chebyshev")
    model = mlp((1, 4, 1)).train()
    before = [p.detach().clone() for p in model.parameters()]
    state = torch.random.get_rng_state()
    first, second = generalisation_bound(model, data), generalisation_bound(model, data)
    assert first == second
    assert model.training
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"model": "net"}, TypeError, "model: got str"),
        ({"model": mlp((2, 4, 1))}, ValueError, "X: the model does not take"),
        ({"model": mlp((1, 4, 3))}, ValueError, "model: got 3 outputs; takes 1"),
        ({"dataset": [1, 2]}, TypeError, "dataset: got list"),
        ({"loss": "hinge"}, ValueError, "loss: got 'hinge'"),
        ({"loss": "cross_entropy"}, ValueError, "loss: got 'cross_entropy'; takes 'mse'"),
        ({"failure": 0}, ValueError, "failure: got 0"),
        ({"failure": 1.0}, ValueError, r"failure: got 1\.0"),
    ],
)
def test_bad_input_is_named(changes, error, message):
    arguments = {"model": mlp((1, 4, 1)), "dataset": load_dataset("chebyshev")} | changes
    with pytest.raises(error, match="^" + message):
        generalisation_bound(arguments.pop("model"), arguments.pop("dataset"), **arguments)


@pytest.mark.parametrize("model", [mlp((2, 3, 1)), mlp((1, 3, 1), activation="tanh"), nn.ReLU()])
def test_breakpoints_of_other_networks_are_refused(model):
    with pytest.raises(ValueError, match=r"^model: takes a multilayer perceptron of one input"):
        breakpoints(model, 0, 1)


@pytest.mark.parametrize("model", [mlp((2, 3, 1)), nn.ReLU()])
def test_second_derivatives_of_other_networks_are_refused(model):
    with pytest.raises(ValueError, match=r"^model: takes .* smooth activation"):
        second_derivative_bound(model)


def test_too_few_outputs_for_the_classes_are_refused():
    with pytest.raises(ValueError, match=r"^model: got 3 outputs; takes 10"):
        generalisation_bound(mlp((64, 3)), load_dataset("digits", n_train=20))


def test_every_bound_of_the_kit_can_be_had_from_here():
    for name in kit.bounds.__all__:
        assert getattr(kit.bounds, name).__doc__


# Each form by itself.


def test_the_bound_is_the_smallest_of_its_forms_and_each_holds():
    dataset = load_dataset("chebyshev", n=20)
    model = trained(dataset, "relu")
    forms = generalisation_bounds(model, dataset)
    assert list(forms) == ["G1", "G2", "G3"]
    best = generalisation_bound(model, dataset)
    assert best.value == min(bound.value for bound in forms.values())
    for name, bound in forms.items():
        assert bound.form == name
        assert bound.terms[name] == bound.value
        assert bound.gap == pytest.approx(bound.value - forms["G1"].value + forms["G1"].gap)
    assert forms["G2"].value <= forms["G1"].value


def test_the_estimate_has_a_voronoi_form_with_shares_of_held_out_points():
    dataset = load_dataset("digits", n_train=100)
    calculator = BoundCalculator(dataset)
    assert float(calculator.cells.sum()) == pytest.approx(1)
    forms = calculator.forms(mlp((64, 8, 10), seed=0))
    assert set(forms) == {"G1", "G2"}
    assert forms["G2"].value <= forms["G1"].value
    assert forms["G2"].kind == "estimate"
    assert any("cell probabilities" in text for text in forms["G2"].assumptions)
