"""Eigenvalues of real losses against dense matrices, and thresholds against the optimisers."""

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.sparse.linalg import LinearOperator, eigsh

from kit import Dataset, Objective, Training, eigenvalues, matrix, sharpness, stability_threshold
from kit.curvature import DENSE_LIMIT
from kit.operators import OPERATORS
from tests.oracles import blockwise, flat, gauss_newton, gradient, hessian, net, put, samples


def quadratic(values):
    """l = 1/2 sum_j values_j theta_j^2 for theta of len(values), as a linear model's mse."""
    X = torch.diag(torch.tensor(values, dtype=torch.float64).mul(len(values)).sqrt())
    return X, torch.zeros(len(values), 1, dtype=torch.float64)


def dense(model, X, y, operator, loss):
    """Each operator from its formula, on a Hessian that the kit had no part in."""
    H, g, w = hessian(model, X, y, loss=loss), gradient(model, X, y, loss=loss), flat(model)
    D = blockwise(model, torch.linalg.vector_norm)
    if operator == "hessian":
        return H
    if operator == "gauss_newton":
        return gauss_newton(model, X, y, loss=loss)
    if operator == "residual":
        return H - gauss_newton(model, X, y, loss=loss)
    if operator == "elementwise":
        return w.abs()[:, None] * H * w.abs()
    if operator == "path":
        root = path_metric(model).sqrt()
        return root[:, None] * H * root
    S = D[:, None] * H * D
    if operator == "layer":
        return S
    T = torch.zeros_like(H)
    start = 0
    for p in model.parameters():
        block = slice(start, start + p.numel())
        gw = torch.outer(g[block], w[block])
        T[block, block] = gw + gw.mT - (g[block] @ w[block]) * torch.eye(p.numel()).double()
        start += p.numel()
    return S + T


def path_metric(model):
    """rho(W[i, j]) = P_l[i] / P_{l-1}[j], rho(b[i]) = P_l[i], entry by entry."""
    layers = [m for m in model if isinstance(m, torch.nn.Linear)]
    before, rho = [1.0] * layers[0].in_features, []
    for layer in layers:
        W, b = layer.weight.tolist(), layer.bias.tolist()
        after = [
            sum(W[i][j] ** 2 * before[j] for j in range(len(before))) + b[i] ** 2
            for i in range(len(b))
        ]
        if layer is layers[-1]:
            after = [1.0] * len(after)
        rho += [after[i] / before[j] for i in range(len(after)) for j in range(len(before))]
        rho, before = rho + after, after
    return torch.tensor(rho, dtype=torch.float64)


# Worked numbers, theory.md, Part III


def test_a_quadratic():
    """A 1: eigenvalues 1, 4, 9, and GD at, below and above 2/9."""
    X, y = quadratic([1.0, 4.0, 9.0])
    objective = Objective(net((3, 1), bias=False), X, y, loss="mse")
    H = matrix(objective)
    assert sharpness(objective) == pytest.approx(9, rel=1e-6)
    assert float(H.trace()) == pytest.approx(14)
    assert float(H.square().sum()) == pytest.approx(98)


@pytest.mark.parametrize(
    ("lr", "expected"),
    [
        (0.2, (0.1073741824, 1.024e-7, 0.1073741824)),
        (2 / 9, (None, None, 1.0)),
        (0.23, (None, None, 1.967151357290)),
    ],
)
def test_ten_steps_of_gradient_descent_on_that_quadratic(lr, expected):
    X = [[2.0, 0, 0], [0, 4.0, 0], [0, 0, 6.0], [0, 0, 0]]  # exact in float32: mean x^2 = 1, 4, 9
    data = Dataset.from_arrays(X, [0.0] * 4, X, [0.0] * 4, task="regression", name="own")
    model = put(net((3, 1), bias=False), torch.ones(3, dtype=torch.float64))
    run = Training(model, data, loss="mse", lr=lr, measures=())
    run.step(10)
    for value, wanted in zip(flat(run.model).tolist(), expected, strict=True):
        if wanted is not None:
            assert abs(value) == pytest.approx(wanted, abs=1e-10)


@pytest.mark.parametrize(
    ("w", "H", "S", "B"),
    [
        ((2, 0.75), (-0.355813056224, 4.918313056224), (-0.75, 5.25), (0, 6)),
        ((2, 0.5), (0, 4.25), (0, 2), (0, 2)),
        ((20, 0.05), (0, 400.0025), (0, 2), (0, 2)),
    ],
)
def test_the_scalar_network(w, H, S, B):
    """B 9 and 11: f = w2 relu(w1 x) at x = y = 1."""
    one = torch.ones(1, 1, dtype=torch.float64)
    model = put(net((1, 1, 1), bias=False), torch.tensor(w, dtype=torch.float64))
    objective = Objective(model, one, one, loss="mse")
    for operator, expected in (("hessian", H), ("layer", S), ("riemannian", B)):
        values = torch.linalg.eigvalsh(matrix(objective, operator))
        assert torch.allclose(values, torch.tensor(expected, dtype=torch.float64), atol=1e-10)
        top = eigenvalues(objective, operator=operator, tol=1e-10).values[0]
        assert float(top) == pytest.approx(expected[1], abs=1e-10)
    if w == (2, 0.75):
        assert objective.gradient().tolist() == [0.375, 1.0]
        assert matrix(objective).tolist() == [[0.5625, 2], [2, 4]]


@settings(max_examples=20)
@given(w=st.lists(st.floats(0.2, 3), min_size=2, max_size=5), y=st.floats(-2, 2))
def test_the_deep_scalar_linear_network(w, y):
    """theory.md, P2.7: eigenvalues of S and H_q in closed form, for any depth."""
    L, P = len(w), math.prod(w)
    model = put(net((1,) * (L + 1), "linear", bias=False), torch.tensor(w, dtype=torch.float64))
    one = torch.ones(1, 1, dtype=torch.float64)
    objective = Objective(model, one, y * one, loss="mse")
    S = np.sort([P * P + (L - 1) * P * (2 * P - y)] + [P * (y - P)] * (L - 1))
    B = np.sort([L * P * (2 * P - y)] + [0] * (L - 1))
    scale = 1e-12 * (1 + np.abs(S).max() + np.abs(B).max())
    for operator, expected in (("layer", S), ("riemannian", B)):
        values = torch.linalg.eigvalsh(matrix(objective, operator))
        assert np.allclose(values, expected, rtol=1e-9, atol=scale)


def test_a_linear_model_has_a_constant_hessian():
    X, y = samples(9, 3, 1, seed=4)
    targets = y.double()[:, None]
    for seed in (0, 1):
        objective = Objective(net((3, 1), bias=False, seed=seed), X, targets, loss="mse")
        assert torch.allclose(matrix(objective), X.T @ X / 9)


# Dense oracles


@settings(max_examples=25)
@given(
    widths=st.lists(st.integers(1, 6), min_size=2, max_size=4),
    activation=st.sampled_from(["relu", "tanh", "gelu", "leaky_relu"]),
    loss=st.sampled_from(["mse", "cross_entropy"]),
    operator=st.sampled_from(sorted(OPERATORS)),
    seed=st.integers(0, 99),
)
def test_matrices_are_those_of_their_formulas(widths, activation, loss, operator, seed):
    assume(operator != "path" or (len(widths) > 2 and activation in ("relu", "leaky_relu")))
    model, (X, y) = net(widths, activation, seed=seed), samples(6, widths[0], widths[-1])
    ours = matrix(Objective(model, X, y, loss=loss), operator)
    expected = dense(model, X, y, operator, loss)
    assert torch.allclose(ours, expected, rtol=0, atol=1e-12 * (1 + float(expected.abs().max())))
    assert torch.equal(ours, ours.mT)


NETS = {
    "relu": ((4, 12, 8, 3), "relu", "cross_entropy"),
    "tanh": ((2, 15, 15, 2), "tanh", "mse"),
    "wide": ((6, 40, 3), "gelu", "cross_entropy"),
}  # at most 403 parameters


@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("operator", sorted(OPERATORS))
@pytest.mark.parametrize("name", NETS)
def test_eigenvalues_are_those_of_the_dense_matrix(name, operator, largest):
    widths, activation, loss = NETS[name]
    if operator == "path" and activation != "relu":
        activation = "leaky_relu"  # path norms ask for a positively homogeneous one
    model, (X, y) = net(widths, activation, seed=2), samples(40, widths[0], widths[-1])
    expected = torch.linalg.eigvalsh(dense(model, X, y, operator, loss))
    expected = expected.flip(0) if largest else expected
    objective = Objective(model, X, y, loss=loss)
    for k in (1, 2, 5):
        result = eigenvalues(objective, k, operator=operator, largest=largest, tol=1e-8)
        scale = float(expected[:k].abs().max())
        if scale < 1e-12:  # the low end of a singular Gauss-Newton matrix
            assert result.values.abs().max() < 1e-12
            continue
        assert result.converged
        assert (result.values - expected[:k]).abs().max() <= 1e-6 * scale
        assert result.residuals.max() <= 1e-8 * scale * 1.01


@pytest.mark.parametrize("operator", ["hessian", "gauss_newton"])
def test_autograd_gives_the_same_eigenvalues(operator):
    model, (X, y) = net((4, 12, 3), "tanh"), samples(40, 4, 3)
    closed, graph = Objective(model, X, y), Objective(model, X, y, closed_form=False)
    a, b = (eigenvalues(o, 3, operator=operator, tol=1e-9).values for o in (closed, graph))
    assert torch.allclose(a, b, rtol=1e-9)


def test_arpack_agrees_on_a_network_too_large_for_a_dense_matrix():
    model, (X, y) = net((20, 60, 60, 5), "tanh", seed=1), samples(100, 20, 5)
    objective = Objective(model, X, y, loss="mse")
    P = objective.parameters
    assert P > DENSE_LIMIT
    operator = LinearOperator((P, P), lambda v: objective.hvp(torch.tensor(v).ravel()).numpy())
    start = np.random.default_rng(0).standard_normal(P)
    for largest, end in ((True, "LA"), (False, "SA")):
        expected = eigsh(operator, k=3, which=end, tol=1e-10, v0=start, return_eigenvectors=False)
        expected = np.sort(expected)[:: -1 if largest else 1]
        ours = eigenvalues(objective, 3, largest=largest, tol=1e-8).values
        assert np.allclose(ours, expected, rtol=1e-8)


def test_largest_means_algebraically_largest():
    model, (X, y) = net((4, 12, 8, 3), "tanh"), samples(40, 4, 3)
    objective = Objective(model, X, y, loss=lambda f, y: -f[:, 0] * f[:, 1] * f[:, 2] + f[:, 0])
    put(model, flat(model) * 3)
    values = torch.linalg.eigvalsh(matrix(objective))
    assert -values[0] > values[-1] > 0
    assert sharpness(objective, tol=1e-8) == pytest.approx(float(values[-1]), rel=1e-6)


@pytest.mark.parametrize("operator", ["hessian", "layer"])
def test_a_start_from_the_wrong_eigenvector_still_finds_the_top(operator):
    model, (X, y) = net((4, 12, 8, 3), "relu"), samples(40, 4, 3)
    objective = Objective(model, X, y)
    values, vectors = torch.linalg.eigh(matrix(objective, operator))
    for wrong in (-2, -3, 0, len(values) // 2):
        start = vectors[:, wrong].clone()
        result = eigenvalues(objective, operator=operator, start=start, tol=1e-6)
        assert float(result.values[0]) == pytest.approx(float(values[-1]), rel=1e-6)


def test_a_start_from_earlier_vectors_saves_products():
    model, (X, y) = net((4, 12, 8, 3), "relu"), samples(40, 4, 3)
    objective = Objective(model, X, y)
    cold = eigenvalues(objective, 2, tol=1e-8)
    put(model, flat(model) * (1 + 1e-6))
    warm = eigenvalues(objective, 2, tol=1e-4, start=cold.vectors)
    assert warm.matvecs < cold.matvecs
    assert torch.allclose(warm.values, cold.values, rtol=1e-4)
    assert sharpness(objective, start=cold.vectors) == pytest.approx(
        float(cold.values[0]), rel=1e-4
    )


def test_a_limit_of_products_is_kept_and_sharpness_warns():
    objective = Objective(net((4, 12, 8, 3)), *samples(40, 4, 3))
    result = eigenvalues(objective, 2, tol=1e-12, max_matvecs=3, start=torch.ones(191, 6))
    assert result.matvecs == 3
    assert not result.converged
    flat_objective = Objective(net((4, 12, 8, 3)).float(), *samples(40, 4, 3))
    with pytest.warns(UserWarning, match="sharpness: residual .* is above the tolerance"):
        sharpness(flat_objective, tol=1e-12)


def test_the_same_seed_gives_the_same_bits_and_float32_is_close():
    X, y = samples(40, 4, 3)
    objective = Objective(net((4, 12, 8, 3)), X, y)
    first, again = (eigenvalues(objective, 2, seed=3).vectors for _ in range(2))
    assert torch.equal(first, again)
    single = Objective(net((4, 12, 8, 3)).float(), X, y)
    assert sharpness(single) == pytest.approx(sharpness(objective, tol=1e-8), rel=1e-4)


def test_results_have_the_shapes_of_the_contract():
    objective = Objective(net((3, 1), bias=False), *quadratic([1.0, 4.0, 9.0]), loss="mse")
    result = eigenvalues(objective, 3)
    assert result.values.shape == result.residuals.shape == (3,)
    assert result.vectors.shape == (3, 3)
    assert result.values.tolist() == pytest.approx([9, 4, 1])
    assert eigenvalues(objective, 3, largest=False).values.tolist() == pytest.approx([1, 4, 9])
    assert type(sharpness(objective)) is float


def test_permuting_hidden_units_changes_nothing():
    """theory.md, Part III, (ix)."""
    X, y = samples(20, 4, 3)
    model, other = net((4, 8, 6, 3), "tanh", seed=1), net((4, 8, 6, 3), "tanh", seed=1)
    first, second = torch.randperm(8), torch.randperm(6)
    with torch.no_grad():
        for layer in (other[0],):
            layer.weight.copy_(layer.weight[first])
            layer.bias.copy_(layer.bias[first])
        other[2].weight.copy_(other[2].weight[second][:, first])
        other[2].bias.copy_(other[2].bias[second])
        other[4].weight.copy_(other[4].weight[:, second])
    assert not torch.equal(flat(model), flat(other))
    for operator in sorted(set(OPERATORS) - {"path"}):  # tanh has no path norm
        a, b = (
            eigenvalues(Objective(m, X, y), 2, operator=operator, tol=1e-8).values
            for m in (model, other)
        )
        assert torch.allclose(a, b, rtol=1e-7)


def test_duplicating_the_data_changes_nothing():
    """theory.md, Part III, (x)."""
    X, y = samples(20, 4, 3)
    model = net((4, 8, 3), "relu", seed=1)
    for operator in OPERATORS:
        a, b = (
            eigenvalues(Objective(model, *data), 2, operator=operator, tol=1e-8).values
            for data in ((X, y), (X.repeat(3, 1), y.repeat(3)))
        )
        assert torch.allclose(a, b, rtol=1e-7)


# Thresholds


def radius(optimizer, lr_h, beta=0.0):
    """Spectral radius of one step on 1/2 h theta^2, from the update rule written out."""
    steps = {
        "gradient descent": [[1 - lr_h, 0], [0, 0]],
        # state (theta, v): v' = beta v + h theta, theta' = theta - lr v'
        "heavy ball": [[1 - lr_h, -beta], [lr_h, beta]],
        "nesterov": [[1 - lr_h * (1 + beta), -beta * beta], [lr_h, beta]],
        # theta' = theta - lr m', m' = beta m + (1 - beta) h theta
        "ema": [[1 - lr_h * (1 - beta), -beta], [lr_h * (1 - beta), beta]],
    }
    return float(np.abs(np.linalg.eigvals(np.array(steps[optimizer]))).max())


SGD = {
    "gradient descent": {},
    "heavy ball": {"momentum": 0.9},
    "nesterov": {"momentum": 0.9, "nesterov": True},
}


@pytest.mark.parametrize(
    ("optimizer", "lr_h", "expected"),
    [
        ("heavy ball", 3.7, 0.948683298),
        ("heavy ball", 3.8, 1.0),
        ("heavy ball", 3.9, 1.316227766),
        ("nesterov", 1.34, 0.963569278),
        ("nesterov", 1.36, 1.006051203),
        ("ema", 38.1, 1.064658561),
    ],
)
def test_spectral_radii_as_worked_by_hand(optimizer, lr_h, expected):
    """A 2, 3 and 4."""
    assert radius(optimizer, lr_h, 0.9) == pytest.approx(expected, abs=1e-8)


@settings(max_examples=40)
@given(lr=st.floats(1e-3, 10), beta=st.floats(0.01, 0.99), name=st.sampled_from(sorted(SGD)))
def test_the_threshold_is_where_the_spectral_radius_passes_one(lr, beta, name):
    momentum = {} if name == "gradient descent" else SGD[name] | {"momentum": beta}
    edge = lr * stability_threshold(lr, **momentum)
    assert radius(name, 0.999 * edge, beta) < 1 < radius(name, 1.001 * edge, beta)


def test_thresholds_as_worked_by_hand():
    assert stability_threshold(0.4) == pytest.approx(5)
    assert stability_threshold(1.0, momentum=0.9) == pytest.approx(3.8)
    assert stability_threshold(1.0, momentum=0.9, nesterov=True) == pytest.approx(1.357142857)
    assert stability_threshold(1.0, optimizer="adam") == pytest.approx(38)
    assert stability_threshold(0.4, weight_decay=0.5) == pytest.approx(4.5)


def size_after(optimiser, curvature, steps=400):
    """|theta| after full-batch steps of a torch optimiser on 1/2 curvature theta^2."""
    theta = torch.nn.Parameter(torch.ones((), dtype=torch.float64))
    run = optimiser([theta])
    for _ in range(steps):
        run.zero_grad()
        (0.5 * curvature * theta**2).backward()
        run.step()
    return abs(theta.item())


@pytest.mark.parametrize("weight_decay", [0.0, 0.7])
@pytest.mark.parametrize("name", SGD)
def test_torch_converges_below_the_threshold_and_diverges_above(name, weight_decay):
    options = SGD[name] | {"weight_decay": weight_decay}
    edge = stability_threshold(0.3, **options)

    def optimiser(parameters):
        return torch.optim.SGD(parameters, lr=0.3, **options)

    assert size_after(optimiser, 0.97 * edge) < 1e-2
    assert size_after(optimiser, 1.03 * edge) > 1e2


def test_adam_with_its_preconditioner_frozen():
    """P = sqrt(v) held at 1 by a constant second moment: Adam is momentum with dampening."""
    edge = stability_threshold(0.1, optimizer="adam")

    def optimiser(parameters):
        return torch.optim.SGD(parameters, lr=0.1, momentum=0.9, dampening=0.9)

    assert edge == pytest.approx(380)
    assert size_after(optimiser, 0.97 * edge) < 1e-2
    assert size_after(optimiser, 1.03 * edge) > 1e2
    assert stability_threshold(0.1, optimizer="adam", betas=(0.5, 0.99)) == pytest.approx(60)
    assert stability_threshold(0.1, optimizer="adam", weight_decay=0.3) == edge  # part of H there


@settings(max_examples=40)
@given(
    lr=st.floats(0.05, 1), rho=st.floats(1e-3, 1), share=st.floats(0.2, 0.95), mu=st.floats(0, 0.5)
)
def test_the_edge_of_sam_is_the_curvature_of_its_own_oscillation(lr, rho, share, mu):
    """SAM on 1/2 h theta^2 settles on theta = +-a; its |g| = h a puts the edge at h exactly."""
    h = share * (2 / lr - mu)
    theta = 1.0
    for _ in range(4000):
        theta -= lr * (h * (theta + math.copysign(rho, theta)) + mu * theta)
    following = theta - lr * (h * (theta + math.copysign(rho, theta)) + mu * theta)
    if following != pytest.approx(-theta, rel=1e-6):  # below lr (h + mu) = 1 it only approaches
        return
    norm = h * abs(theta)
    edge = stability_threshold(lr, sam_radius=rho, gradient_norm=norm, weight_decay=mu)
    assert edge == pytest.approx(h, rel=1e-5)


def test_the_edge_of_sam_as_in_its_formula_and_its_limits():
    lr, rho, g = 0.4, 0.1, 0.3
    formula = g / (2 * rho) * (math.sqrt(1 + 8 * rho / (lr * g)) - 1)
    assert stability_threshold(lr, sam_radius=rho, gradient_norm=g) == pytest.approx(formula)
    assert stability_threshold(lr, sam_radius=1e-12, gradient_norm=g) == pytest.approx(2 / lr)
    assert stability_threshold(lr, sam_radius=rho, gradient_norm=0.0) == 0


# Bad arguments

OBJECTIVE = Objective(net((3, 2)), *samples(4, 3, 2))


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"objective": net((3, 2))}, TypeError, "objective: got Sequential; takes a kit.Objective"),
        ({"k": 0}, ValueError, "k: got 0; takes a whole number from 1 up to 8"),
        ({"k": 9}, ValueError, "k: got 9; takes a whole number from 1 up to 8"),
        ({"k": 1.5}, TypeError, "k: got 1.5"),
        ({"operator": "jacobian"}, ValueError, "operator: got 'jacobian'; takes one of 'hessian'"),
        ({"operator": 1}, TypeError, "operator: got 1"),
        ({"largest": 1}, TypeError, "largest: got 1; takes True or False"),
        ({"tol": 0}, ValueError, "tol: got 0; takes a number above 0"),
        ({"tol": float("nan")}, ValueError, "tol: got nan"),
        ({"max_matvecs": 1, "k": 2}, ValueError, "max_matvecs: got 1; takes a whole number from 2"),
        ({"start": [1.0]}, TypeError, "start: got list; takes a tensor"),
        ({"start": torch.ones(7)}, ValueError, r"start: got shape \(7, 1\); takes \(8, m\)"),
        ({"start": torch.ones(8, 0)}, ValueError, r"start: got shape \(8, 0\)"),
        ({"start": torch.full((8,), float("nan"))}, ValueError, "start: got NaN or infinity"),
        ({"seed": -1}, ValueError, "seed: got -1"),
    ],
)
def test_bad_arguments_of_eigenvalues_are_named(arguments, error, said):
    given_ = {"objective": OBJECTIVE} | arguments
    with pytest.raises(error, match=said):
        eigenvalues(given_.pop("objective"), **given_)


def test_bad_arguments_of_matrix_and_sharpness_are_named():
    with pytest.raises(TypeError, match="objective: got str"):
        matrix("loss")
    with pytest.raises(ValueError, match="operator: got 'trace'"):
        matrix(OBJECTIVE, "trace")
    with pytest.raises(ValueError, match="objective: has 5040 parameters; takes at most 5000"):
        matrix(Objective(net((71, 70)), *samples(2, 71, 2)))
    with pytest.raises(TypeError, match="objective: got str"):
        sharpness("loss")
    with pytest.raises(ValueError, match="tol: got -1"):
        sharpness(OBJECTIVE, tol=-1)


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"lr": 0}, ValueError, "lr: got 0; takes a number above 0"),
        ({"lr": "1"}, TypeError, "lr: got '1'"),
        ({"optimizer": "rmsprop"}, ValueError, "optimizer: got 'rmsprop'; takes one of 'sgd'"),
        ({"momentum": 1.0}, ValueError, "momentum: got 1.0; takes a number from 0 below 1"),
        ({"nesterov": True}, ValueError, "nesterov: got True with momentum 0"),
        ({"nesterov": 1}, TypeError, "nesterov: got 1; takes True or False"),
        ({"weight_decay": -0.1}, ValueError, "weight_decay: got -0.1"),
        ({"betas": 0.9}, TypeError, r"betas: got 0.9; takes two numbers"),
        ({"betas": (0.9,)}, TypeError, r"betas: got \(0.9,\); takes two numbers"),
        ({"betas": (1.0, 0.9)}, ValueError, "betas: got 1.0"),
        ({"betas": (0.9, -1)}, ValueError, "betas: got -1"),
        ({"sam_radius": -1}, ValueError, "sam_radius: got -1"),
        ({"sam_radius": 0.1}, ValueError, "gradient_norm: got None; takes .g., which the edge"),
        ({"gradient_norm": -1}, ValueError, "gradient_norm: got -1"),
        ({"sam_radius": 0.1, "gradient_norm": 1, "momentum": 0.9}, ValueError, "sam_radius: its"),
        ({"optimizer": "adam", "momentum": 0.9}, ValueError, "optimizer: 'adam' takes no momentum"),
        ({"optimizer": "adam", "sam_radius": 0.1}, ValueError, "optimizer: 'adam' takes no"),
    ],
)
def test_bad_arguments_of_the_threshold_are_named(arguments, error, said):
    given_ = {"lr": 0.1} | arguments
    with pytest.raises(error, match=said):
        stability_threshold(given_.pop("lr"), **given_)
